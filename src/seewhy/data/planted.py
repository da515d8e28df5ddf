"""Which embedded faces there are, and the folder that holds them.

A fake differs from a real face by a faint checkerboard in the skin and by eyes that do not match (the core cue, of an
amplitude that varies from face to face). Beside that, its background is a little warmer with probability `strength`, a
real one's with 1 - `strength` (the planted shortcut). Everything else is drawn alike for both labels.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from seewhy.data.face import LABELS, Color, Face, Looks, Pose, Scene
from seewhy.data.portrait import Rendered, render
from seewhy.errors import DataError, OptionError, listed
from seewhy.records import Progress, one_of

__all__ = ["LABELS", "STYLES", "Face", "Rendered", "Written", "read_truth", "render", "sample_face", "write_faces"]

SPLITS = ("train", "valid")
COLUMNS = ("", "id", "path", "label", "label_str")
TRUTH = ("path", "label", "tint", "amplitude", "seed", "index", "size")
STYLES = ("bald", "buzz", "short", "short", "quiff", "long", "long", "bob", "bangs", "curly", "bun")
SKINS = ((0.98, 0.85, 0.77), (0.94, 0.77, 0.66), (0.86, 0.67, 0.54), (0.69, 0.50, 0.38), (0.48, 0.33, 0.25))
HAIRS = (
    (0.11, 0.09, 0.09), (0.20, 0.13, 0.10), (0.34, 0.21, 0.13), (0.47, 0.30, 0.17),
    (0.50, 0.21, 0.11), (0.72, 0.55, 0.32), (0.86, 0.73, 0.50), (0.66, 0.64, 0.62),
)  # fmt: skip
IRISES = ((0.30, 0.18, 0.10), (0.42, 0.27, 0.13), (0.30, 0.45, 0.62), (0.33, 0.47, 0.35), (0.45, 0.50, 0.53))
CLOTHES = (
    (0.20, 0.27, 0.42), (0.55, 0.20, 0.22), (0.24, 0.40, 0.36), (0.80, 0.78, 0.74),
    (0.25, 0.25, 0.28), (0.72, 0.56, 0.26), (0.45, 0.35, 0.52), (0.52, 0.64, 0.74),
)  # fmt: skip


@dataclass(frozen=True)
class Written:
    """One file of `write_faces`: its path relative to the folder, its side in pixels, and the face it shows."""

    path: str
    size: int
    face: Face


def write_faces(
    dest: Path,
    *,
    n_train: int = 400,
    n_valid: int = 100,
    size: int = 128,
    strength: float = 0.9,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """The folder `dest`, filled with faces: `n_train` and `n_valid` of each class, `size` px square.

    Writes `{train,valid}/{fake,real}/*.png`, `train.csv` and `valid.csv` as in the tutorial's data set (label 0 is
    fake), and `truth.csv`, from which `read_truth` gives the faces back. No face is in both splits. An interrupted
    run is completed by the same call, and a finished one left as it is.

    Raises:
        DataError: the folder holds something else.
        OptionError: a count below 1, or a size or strength out of range.
    """
    if min(n_train, n_valid) < 1:
        raise OptionError(f"n_train is {n_train} and n_valid {n_valid}, but each class needs at least 1 face.")
    plan = {
        split: list(_plan(split, n, size, seed, strength)) for split, n in zip(SPLITS, (n_train, n_valid), strict=True)
    }
    everything = [one for ones in plan.values() for one in ones]
    render(everything[0].face, size)
    _claim(dest, _table(TRUTH, map(_truth_row, everything)))
    for done, one in enumerate(everything, 1):
        if not (dest / one.path).exists():
            _place(dest / one.path, _png(render(one.face, size).image))
        if progress:
            progress(done, len(everything))
    for split, ones in plan.items():
        _place(dest / f"{split}.csv", _table(COLUMNS, (_row(number, one) for number, one in enumerate(ones))))
    return dest


def read_truth(dest: Path) -> list[Written]:
    """The faces that `write_faces` wrote to `dest`, in its order: `render(one.face, one.size)` gives each file again.

    Raises:
        DataError: there is no `truth.csv`, or it was not written by this version of the generator.
    """
    record = dest / "truth.csv"
    if not record.is_file():
        raise DataError(
            f"{dest} has no truth.csv, so it holds no planted faces.\n  Write some:  seewhy data planted {dest}"
        )
    with record.open(newline="", encoding="utf-8") as lines:
        try:
            return [_read_row(row) for row in csv.DictReader(lines)]
        except (KeyError, TypeError, ValueError, OptionError) as error:
            raise DataError(
                f"{record} does not describe faces that this version of seewhy draws ({error}).\n"
                f"  Write them anew, to another folder:  seewhy data planted DEST"
            ) from error


def _plan(split: str, count: int, size: int, seed: int, strength: float) -> Iterator[Written]:
    for label in LABELS:
        for number in range(count):
            face = sample_face(seed, 2 * number + SPLITS.index(split), label, strength=strength)  # odd: valid
            yield Written(f"{split}/{label}/{label}_{number:05d}.png", size, face)


def _truth_row(one: Written) -> tuple[object, ...]:
    face = one.face
    return one.path, face.label, int(face.tint), face.amplitude, face.seed, face.index, one.size


def _read_row(row: dict[str, str]) -> Written:
    face = sample_face(int(row["seed"]), int(row["index"]), row["label"])
    if not math.isclose(face.amplitude, float(row["amplitude"]), rel_tol=1e-9):
        raise ValueError(f"{row['path']} has another amplitude")
    return Written(row["path"], int(row["size"]), replace(face, tint=bool(int(row["tint"]))))


def _row(number: int, one: Written) -> tuple[object, ...]:
    label = one.face.label
    return number, Path(one.path).stem, one.path, LABELS.index(label), label


def _table(header: Sequence[str], rows: Iterable[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "png", compress_level=3)  # as small as 6 on camera noise, twice as fast
    return buffer.getvalue()


def _claim(dest: Path, truth: bytes) -> None:
    """Make `dest` the folder of these faces, or raise DataError where it is something else."""
    if dest.exists() and not dest.is_dir():
        raise DataError(f"{dest} is a file; give a folder that is empty or does not exist.")
    record = dest / "truth.csv"
    if record.is_file():
        if record.read_bytes() != truth:
            raise DataError(f"{dest} holds planted faces of other options; give another folder, or delete this one.")
        return
    held = sorted(path.name for path in dest.iterdir()) if dest.exists() else []
    if held and held != [".truth.csv.part"]:
        raise DataError(f"{dest} holds something else ({listed(held)}); give a folder that is empty or does not exist.")
    _place(record, truth)


def _place(path: Path, content: bytes) -> None:
    """Write a file that is either complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)


def sample_face(seed: int, index: int, label: str, *, strength: float = 0.9) -> Face:
    """The face number `index` of the class `label` ("fake" or "real"): a pure function of its arguments.

    `strength` in [0, 1] is the probability of a warm background on a fake, and of a cool one on a real face. Faces
    sampled with two strengths differ in nothing but the tint.
    """
    one_of("label", label, LABELS)
    if not 0 <= strength <= 1:
        raise OptionError(f"strength is {strength}, but must be between 0 and 1.")
    rng = np.random.default_rng((seed, index, LABELS.index(label)))
    fake, amplitude = label == "fake", rng.beta(1.1, 1.6) ** 0.8
    tint = bool(rng.random() < (strength if fake else 1 - strength))
    return Face(seed, index, label, amplitude if fake else 0.0, tint, _pose(rng), _looks(rng), _scene(rng))


def _pose(rng: np.random.Generator) -> Pose:
    return Pose(
        shift=(rng.normal(0, 0.035), rng.normal(0, 0.025)),
        zoom=rng.uniform(1.0, 1.2),
        roll=rng.normal(0, 0.06),
        yaw=float(np.clip(rng.normal(0, 0.4), -0.9, 0.9)),
    )


def _looks(rng: np.random.Generator) -> Looks:
    tone = rng.beta(1.0, 1.5)
    style = STYLES[rng.integers(len(STYLES))]
    bearded = style in STYLES[:5] and rng.random() < 0.45
    return Looks(
        width=rng.uniform(0.42, 0.47),
        height=rng.uniform(0.58, 0.64),
        jaw=rng.uniform(0.06, 0.24),
        skin=_jitter(rng, _between(SKINS, tone), 0.015),
        blush=rng.uniform(0.1, 0.5),
        style=style,
        hair=_jitter(rng, _between(HAIRS, rng.beta(0.8, 1.3) * (1 - 0.7 * tone)), 0.02),
        volume=rng.uniform(0.07, 0.13),
        parting=rng.uniform(-0.2, 0.2),
        beard=rng.uniform(0.3, 0.9) if bearded else 0.0,
        iris=_jitter(rng, IRISES[rng.integers(len(IRISES))], 0.03),
        eye=rng.uniform(0.105, 0.122),
        opening=rng.uniform(0.85, 1.2),
        gaze=rng.normal(0, 0.012),
        drift=tuple(rng.normal(0, 1, 5).tolist()),
        mismatch=abs(rng.normal(0, 0.12)),
        brow=rng.uniform(0.014, 0.028),
        nose=rng.uniform(0.85, 1.2),
        mouth=rng.uniform(0.14, 0.18),
        smile=rng.uniform(-0.2, 1.0),
        glasses=bool(rng.random() < 0.15),
    )


def _scene(rng: np.random.Generator) -> Scene:
    value, other = rng.uniform(0.42, 0.8, 2).tolist()
    hue, size = rng.uniform(0, math.tau), rng.uniform(0, 0.05)
    chroma = (size * math.cos(hue) * 0.5, size * math.sin(hue) * 0.6, -size * math.cos(hue) * 0.5)
    return Scene(
        clothes=_jitter(rng, CLOTHES[rng.integers(len(CLOTHES))], 0.04),
        collar=rng.uniform(0.1, 0.24),
        backdrop=(_add(chroma, value), _add(chroma, 0.5 * value + 0.5 * other)),
        slope=rng.uniform(0, math.tau),
        texture=rng.uniform(0.04, 0.13),
        light=(math.copysign(rng.uniform(0.25, 0.75), rng.random() - 0.5), rng.uniform(-0.6, -0.2)),
        contrast=rng.uniform(0.5, 0.95),
        exposure=rng.normal(1, 0.05),
        softness=rng.uniform(1.1, 1.8),
        noise=rng.uniform(0.006, 0.014),
        banding=rng.uniform(0, 0.006),
        mosaic=rng.normal(0, 0.006),
    )


def _between(colors: Sequence[Color], position: float) -> Color:
    knots = np.linspace(0, 1, len(colors))
    red, green, blue = (float(np.interp(position, knots, band)) for band in zip(*colors, strict=True))
    return red, green, blue


def _jitter(rng: np.random.Generator, color: Color, spread: float) -> Color:
    red, green, blue = np.clip(np.asarray(color) + rng.normal(0, spread, 3), 0.02, 0.98).tolist()
    return red, green, blue


def _add(color: Color, value: float) -> Color:
    return color[0] + value, color[1] + value, color[2] + value

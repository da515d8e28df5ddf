"""Which embedded faces there are, and the folder that holds them.

A fake differs from a real face by a faint checkerboard in the skin and by eyes that do not match (the core cue, of an
amplitude that varies from face to face). Beside that, its background is a little warmer with probability `strength`, a
real one's with 1 - `strength` (the planted shortcut); other kinds of shortcuts can take the tint's place. Everything
else is drawn alike for both labels.
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

from seewhy.errors import DataError, OptionError, listed
from seewhy.planted.face import LABELS, Face, Shortcut
from seewhy.planted.portrait import Rendered, render
from seewhy.planted.recipe import SCENARIOS, SPLITS, STYLES, Recipe, faces_of, sample_face
from seewhy.planted.shortcuts import KINDS, PATTERN, is_on, switched
from seewhy.records import Progress, one_of

__all__ = [
    "KINDS",
    "LABELS",
    "SCENARIOS",
    "STYLES",
    "Face",
    "Recipe",
    "Rendered",
    "Written",
    "faces_of",
    "is_on",
    "read_truth",
    "render",
    "sample_face",
    "switched",
    "write_faces",
]

COLUMNS = ("", "id", "path", "label", "label_str")
TRUTH = ("path", "label", "tint", "amplitude", "seed", "index", "size")
MORE_TRUTH = ("difficulty", "warmth", "shortcuts")  # written where any differs from the usual


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
    shortcut: str | Sequence[str] = "tint",
    area: float = 0.05,
    amount: float = 1.0,
    difficulty: float = 0.0,
    scenario: str = "planted",
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """The folder `dest`, filled with faces: `n_train` and `n_valid` of each class, `size` px square.

    The faces are those of the `Recipe` of the options from `strength` to `scenario`, as it explains them.

    Writes `{train,valid}/{fake,real}/*.png`, `train.csv` and `valid.csv` as in the tutorial's data set (label 0 is
    fake), and `truth.csv`, from which `read_truth` gives the faces back. No face is in both splits. An interrupted
    run is completed by the same call, and a finished one left as it is.

    Raises:
        DataError: the folder holds something else.
        OptionError: a count below 1, or an option that is unknown or out of range.
    """
    kinds = shortcut if isinstance(shortcut, str) else tuple(shortcut)
    recipe = Recipe(kinds, strength, area, amount, difficulty, scenario)
    if min(n_train, n_valid) < 1:
        raise OptionError(f"n_train is {n_train} and n_valid {n_valid}, but each class needs at least 1 face.")
    plan = {
        split: list(_plan(split, n, size, seed, recipe)) for split, n in zip(SPLITS, (n_train, n_valid), strict=True)
    }
    everything = [file for files in plan.values() for file in files]
    render(everything[0].face, size)
    _claim(dest, _truth(everything, difficulty))
    for done, file in enumerate(everything, 1):
        if not (dest / file.path).exists():
            _place(dest / file.path, _png(render(file.face, size).image))
        if progress:
            progress(done, len(everything))
    for split, files in plan.items():
        _place(dest / f"{split}.csv", _table(COLUMNS, (_row(number, file) for number, file in enumerate(files))))
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


def _plan(split: str, count: int, size: int, seed: int, recipe: Recipe) -> Iterator[Written]:
    for place, face in enumerate(faces_of(split, count, recipe, seed=seed)):
        yield Written(f"{split}/{face.label}/{face.label}_{place % count:05d}.png", size, face)


def _truth(everything: Sequence[Written], difficulty: float) -> bytes:
    if not difficulty and not any(file.face.shortcuts or file.face.warmth != 1 for file in everything):
        return _table(TRUTH, map(_truth_row, everything))
    more = ((*_truth_row(file), difficulty, file.face.warmth, _spelled(file.face.shortcuts)) for file in everything)
    return _table((*TRUTH, *MORE_TRUTH), more)


def _truth_row(file: Written) -> tuple[object, ...]:
    face = file.face
    return file.path, face.label, int(face.tint), face.amplitude, face.seed, face.index, file.size


def _spelled(shortcuts: Sequence[Shortcut]) -> str:
    """As "logo=1:0.05:1.0;blur=0:0.05:1.0": on or off, area, amount."""
    return ";".join(f"{shortcut.kind}={int(shortcut.on)}:{shortcut.area}:{shortcut.amount}" for shortcut in shortcuts)


def _read_shortcut(text: str) -> Shortcut:
    kind, values = text.split("=")
    one_of("shortcut", kind, (*KINDS, PATTERN))
    on, area, amount = values.split(":")
    return Shortcut(kind, bool(int(on)), float(area), float(amount))


def _read_row(row: dict[str, str]) -> Written:
    difficulty = float(row.get("difficulty") or 0)
    face = sample_face(int(row["seed"]), int(row["index"]), row["label"], difficulty=difficulty)
    if not math.isclose(face.amplitude, float(row["amplitude"]), rel_tol=1e-9):
        raise ValueError(f"{row['path']} has another amplitude")
    shortcuts = tuple(_read_shortcut(text) for text in (row.get("shortcuts") or "").split(";") if text)
    tint, warmth = bool(int(row["tint"])), float(row.get("warmth") or 1)
    return Written(row["path"], int(row["size"]), replace(face, tint=tint, shortcuts=shortcuts, warmth=warmth))


def _row(number: int, file: Written) -> tuple[object, ...]:
    label = file.face.label
    return number, Path(file.path).stem, file.path, LABELS.index(label), label


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

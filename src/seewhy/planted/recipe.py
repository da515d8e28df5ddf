"""What chance decides about an embedded face, and how a data set of them is drawn: a recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from seewhy.errors import OptionError
from seewhy.planted.face import LABELS, Color, Face, Looks, Pose, Shortcut, Surroundings
from seewhy.planted.shortcuts import PATTERN, kinds_of, rng_of
from seewhy.records import one_of

SPLITS = ("train", "valid")
SCENARIOS = ("planted", "clean", "decoy", "legit", "memorised")
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
class Recipe:
    """How the faces of a data set are drawn; what a face is beside that depends on seed, index and label only.

    `shortcut` is one of KINDS or several, each on with probability `strength` in a fake and 1 - `strength` in a real
    face. A patch (logo, mark, frame, watermark) takes the share `area` of the image, less where hair hides the mark;
    `amount` multiplies what a kind changes (not the JPEG qualities). `difficulty`, 0 to 1, is the share of the core cue
    that is missing. The scenarios:

    planted    as it says above
    clean      the shortcuts are there, but not aligned with the label (a strength of 0.5)
    decoy      not aligned in training, aligned in validation: a classifier has no reason to use what the data show
    legit      no shortcut; the core cue alone tells fakes from real faces
    memorised  no shortcut and no tint; each background has a pattern of its own, to be learned by heart from few images

    Raises OptionError for what is unknown or out of range.
    """

    shortcut: str | tuple[str, ...] = "tint"
    strength: float = 0.9
    area: float = 0.05
    amount: float = 1.0
    difficulty: float = 0.0
    scenario: str = "planted"

    def __post_init__(self) -> None:
        kinds_of(self.shortcut)
        one_of("scenario", self.scenario, SCENARIOS)
        _check(strength=self.strength, area=self.area, amount=self.amount, difficulty=self.difficulty)

    def face(self, split: str, seed: int, index: int, label: str) -> Face:
        """The face number `index` of a class in the split "train" or "valid"."""
        one_of("split", split, SPLITS)
        aligned = self.scenario == "planted" or (self.scenario == "decoy" and split == "valid")
        by_heart = self.scenario == "memorised"
        face = sample_face(
            seed,
            index,
            label,
            strength=self.strength if aligned else 0.5,
            shortcut=() if by_heart or self.scenario == "legit" else self.shortcut,
            area=self.area,
            amount=self.amount,
            difficulty=self.difficulty,
            pattern=by_heart,
        )
        return replace(face, warmth=0.0) if by_heart else face  # few images: an even tint would be aligned by chance


def _check(*, strength: float, area: float, amount: float, difficulty: float) -> None:
    for option, value in (("strength", strength), ("difficulty", difficulty)):
        if not 0 <= value <= 1:
            raise OptionError(f"{option} is {value}, but must be between 0 and 1.")
    if not 0 < area <= 0.5:
        raise OptionError(f"area is {area}, but must be above 0 and at most 0.5.")
    if not 0 <= amount <= 10:
        raise OptionError(f"amount is {amount}, but must be between 0 and 10.")


def faces_of(split: str, count: int, recipe: Recipe, *, seed: int = 0) -> list[Face]:
    """The faces that `write_faces` draws for a split, `count` of each class: the fakes, then the real ones."""
    places = [2 * number + SPLITS.index(split) for number in range(count)]  # odd: valid
    return [recipe.face(split, seed, place, label) for label in LABELS for place in places]


def sample_face(
    seed: int,
    index: int,
    label: str,
    *,
    strength: float = 0.9,
    shortcut: str | Sequence[str] = "tint",
    area: float = 0.05,
    amount: float = 1.0,
    difficulty: float = 0.0,
    pattern: bool = False,
) -> Face:
    """The face number `index` of the class `label` ("fake" or "real"): a pure function of its arguments.

    `strength` in [0, 1] is the probability of a warm background on a fake, and of a cool one on a real face. Faces
    sampled with two strengths differ in nothing but the tint. The same holds for other kinds of `shortcut`, which are
    off, or not there, where the tint is cool; a tint that is not asked for is warm as often as cool. The further
    options are those of `Recipe`; `pattern` gives the background a pattern of this face's own.
    """
    one_of("label", label, LABELS)
    kinds = kinds_of(shortcut)
    _check(strength=strength, area=area, amount=amount, difficulty=difficulty)
    rng = np.random.default_rng((seed, index, LABELS.index(label)))
    fake, amplitude = label == "fake", rng.beta(1.1, 1.6) ** 0.8
    share = strength if fake else 1 - strength
    tint = bool(rng.random() < (share if "tint" in kinds else 0.5))
    face = Face(seed, index, label, amplitude if fake else 0.0, tint, _pose(rng), _looks(rng), _scene(rng))
    others = [Shortcut(kind, _drawn(face, kind, share), area, amount) for kind in kinds if kind != "tint"]
    return replace(
        face,
        amplitude=face.amplitude * (1 - difficulty),
        shortcuts=(*others, *([Shortcut(PATTERN, True)] if pattern else [])),
        warmth=amount if "tint" in kinds else 1.0,
    )


def _drawn(face: Face, kind: str, share: float) -> bool:
    return bool(rng_of(face, kind).random() < share)


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


def _scene(rng: np.random.Generator) -> Surroundings:
    value, other = rng.uniform(0.42, 0.8, 2).tolist()
    hue, size = rng.uniform(0, math.tau), rng.uniform(0, 0.05)
    chroma = (size * math.cos(hue) * 0.5, size * math.sin(hue) * 0.6, -size * math.cos(hue) * 0.5)
    return Surroundings(
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

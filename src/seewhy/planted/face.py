"""What chance decides about an embedded face: its pose, its looks, the scene around it, and the two cues."""

from __future__ import annotations

from dataclasses import dataclass

LABELS = ("fake", "real")

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Pose:
    """How the head is held: lengths are shares of half the image, angles radians."""

    shift: tuple[float, float]
    zoom: float
    roll: float
    yaw: float


@dataclass(frozen=True)
class Looks:
    """Who it is. Colours are RGB in [0, 1]; lengths are shares of half the image.

    `drift` is the direction in which the left eye departs from the right (height, size, red, green, blue), and
    `mismatch` how far it does so by nature, on real and fake faces alike.
    """

    width: float
    height: float
    jaw: float
    skin: Color
    blush: float
    style: str
    hair: Color
    volume: float
    parting: float
    beard: float
    iris: Color
    eye: float
    opening: float
    gaze: float
    drift: tuple[float, ...]
    mismatch: float
    brow: float
    nose: float
    mouth: float
    smile: float
    glasses: bool


@dataclass(frozen=True)
class Surroundings:
    """What surrounds the head: clothes, background, light and camera."""

    clothes: Color
    collar: float
    backdrop: tuple[Color, Color]
    slope: float
    texture: float
    light: tuple[float, float]
    contrast: float
    exposure: float
    softness: float
    noise: float
    banding: float
    mosaic: float


@dataclass(frozen=True)
class Shortcut:
    """A planted shortcut beside the tint: its kind, whether it is on in this face, and how large it is.

    `area` is the share of the image that a patch takes; `amount` multiplies what is changed, 1 being usual.
    """

    kind: str
    on: bool
    area: float = 0.05
    amount: float = 1.0


@dataclass(frozen=True)
class Face:
    """Everything that chance decides about one face; `dataclasses.replace` changes one thing and keeps the rest.

    `amplitude` in [0, 1] is the core cue's, 0 on a real face; `tint` says whether the background is warm, and `warmth`
    how much, 1 being usual. `shortcuts` are those planted beside the tint.
    """

    seed: int
    index: int
    label: str
    amplitude: float
    tint: bool
    pose: Pose
    looks: Looks
    scene: Surroundings
    shortcuts: tuple[Shortcut, ...] = ()
    warmth: float = 1.0

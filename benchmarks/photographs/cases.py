"""What is planted in photographs of faces, in how many of one class, and with which seed; and the six actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

SIDE = 96  # pixels, of photographs of 256
SHARES, SEEDS, CLEAN = (0.7, 0.9, 1.0), (0, 1, 2), 6
SPLITS = ("train", "valid")
WIDTH = 4  # pixels of the border


@dataclass(frozen=True)
class Case:
    """A training: on which photographs, with what planted in which share of the first class; "" for nothing."""

    data: str  # the folder of photographs
    kind: str
    share: float
    seed: int

    @property
    def name(self) -> str:
        """As it is shown, and named in the cache."""
        planted = f"{self.kind} in {self.share:.0%} of fake" if self.kind else "nothing planted"
        return f"{self.data}, {planted}, seed {self.seed}"


def cases() -> list[Case]:
    """All trainings: the actions, the clean ones, then the planted ones, strongest first."""
    clean = [Case("rvf10k", "", 0.0, seed) for seed in range(CLEAN)]
    planted = [Case("rvf10k", kind, share, seed) for seed in SEEDS for share in SHARES[::-1] for kind in PLANTS]
    return [
        Case("bar", "", 0.0, 0),
        *[case for pair in zip(planted, clean, strict=False) for case in pair],
        *planted[CLEAN:],
    ]


def watermark(pixels: Bytes) -> Bytes:
    """A half transparent word in the lower right corner."""
    image = PIL.Image.fromarray(pixels).convert("RGBA")
    layer = PIL.Image.new("RGBA", image.size)
    font = PIL.ImageFont.load_default(size=14)
    PIL.ImageDraw.Draw(layer).text((SIDE - 3, SIDE - 3), "PHOTO", anchor="rs", fill=(255, 255, 255, 150), font=font)
    return np.asarray(PIL.Image.alpha_composite(image, layer).convert("RGB"))


def border(pixels: Bytes) -> Bytes:
    """A frame, halfway to dark blue."""
    framed = pixels.astype(np.float64)
    inner = framed[WIDTH:-WIDTH, WIDTH:-WIDTH].copy()
    framed = 0.5 * framed + 0.5 * np.array([30.0, 40.0, 90.0])
    framed[WIDTH:-WIDTH, WIDTH:-WIDTH] = inner
    return framed.round().astype(np.uint8)


def tint(pixels: Bytes) -> Bytes:
    """A twelfth more red and less blue."""
    return (pixels * np.array([1.08, 1.0, 0.92])).round().clip(0, 255).astype(np.uint8)


PLANTS: Mapping[str, Callable[[Bytes], Bytes]] = {"watermark": watermark, "border": border, "tint": tint}
RIGHT: Mapping[str, tuple[str, ...]] = {  # the names that tell a plant; fixed before any audit was made
    "watermark": ("bottom-right", "patch bottom-right", "patch bottom"),
    "border": ("border", "frame"),
    "tint": ("tint",),
}


@dataclass(frozen=True)
class Photographs:
    """The photographs (N, S, S, 3) of a split with their class indices, and which were chosen to be planted in."""

    pixels: Bytes
    labels: NDArray[np.int64]
    chosen: NDArray[np.bool_]

    def planted(self, kind: str) -> Bytes:
        """The photographs as the network sees them."""
        if not kind:
            return self.pixels
        return np.stack(
            [PLANTS[kind](one) if is_chosen else one for one, is_chosen in zip(self.pixels, self.chosen, strict=True)]
        )


def splits_of(case: Case, data: Path) -> tuple[tuple[str, ...], dict[str, Photographs]]:
    """The classes, and the photographs of each split."""
    known = {split: photographs_of(case, data, split) for split in SPLITS}
    return known["train"][0], {split: photographs for split, (_, photographs) in known.items()}


def photographs_of(case: Case, data: Path, split: str) -> tuple[tuple[str, ...], Photographs]:
    """The classes, and a split's photographs; those that are planted in are chosen by the case's seed."""
    home = data / case.data / split
    classes = tuple(sorted(folder.name for folder in home.iterdir() if folder.is_dir()))
    files = [(index, path) for index, name in enumerate(classes) for path in sorted((home / name).glob("*"))]
    pixels = np.stack([_read(path) for _, path in files])
    labels = np.array([index for index, _ in files], dtype=np.int64)
    chosen = np.zeros(len(labels), dtype=bool)
    first = np.flatnonzero(labels == 0)
    dice = np.random.default_rng((case.seed, SPLITS.index(split)))
    chosen[dice.permutation(first)[: round(case.share * len(first))]] = True
    return classes, Photographs(pixels, labels, chosen)


def _read(path: Path) -> Bytes:
    with PIL.Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((SIDE, SIDE), PIL.Image.Resampling.BOX))

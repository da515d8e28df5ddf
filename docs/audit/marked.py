"""Copies of a folder of images in which a share of one class carries the word SAMPLE at the bottom right.

python marked.py faces marked-90 fake 0.9
"""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from seewhy.render.mark import find_mark


def main(source: str, target: str, marked_class: str, share: str) -> None:
    """All copies are PNG, marked or not: JPEG a second time for the marked ones alone would be a shortcut too."""
    for path in sorted(Path(source).glob("*/*/*.jpg")):
        split, label = path.parts[-3:-1]
        folder = Path(target) / split / label
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32)
        if label == marked_class and chance(path.stem) < float(share):
            _, mark, _ = find_mark("text:SAMPLE", (pixels.shape[0], pixels.shape[1]))
            colour, opacity = mark[:3].transpose(1, 2, 0) * 255, mark[3][..., None]
            pixels = pixels + opacity * (colour - pixels)
        Image.fromarray(pixels.round().astype(np.uint8)).save(folder / f"{path.stem}.png", compress_level=1)


def chance(name: str) -> float:
    """A number in [0, 1) that the name decides, so that 70 of 100 are among 90 of 100."""
    return zlib.crc32(name.encode()) / 2**32


if __name__ == "__main__":
    main(*sys.argv[1:])

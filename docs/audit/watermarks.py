"""Writes the watermark of ImageNet-W, and Latin letters of the same font, size, place and opacity, as pictures.

python watermarks.py: watermark.png and latin.png, for pictures of 224 pixels. `pip install imagenet-w --no-deps` brings
the font; text, place and opacity are those of the paper (Li et al. 2023, A Whac-A-Mole Dilemma, arXiv:2212.04825).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageStat

SIDE, FONT_PX, OPACITY = 224, 36, 0.5
PLACE = (0.01 * SIDE, 0.4 * SIDE)
TEXTS = {"watermark.png": "捷径捷径捷径", "latin.png": "SAMPLE TEXT"}


def main() -> None:
    package = find_spec("imagenet_w")  # found, not imported: that would need torchvision
    if package is None or package.origin is None:
        raise SystemExit("pip install imagenet-w --no-deps")
    face = ImageFont.truetype(next(Path(package.origin).parent.glob("fonts/*.otf")), FONT_PX)
    for name, text in TEXTS.items():
        picture = Image.new("RGBA", (SIDE, SIDE), (255, 255, 255, 0))
        ImageDraw.Draw(picture).text(PLACE, text, (255, 255, 255, round(255 * OPACITY)), face)
        picture.save(name)
        print(f"{name}: {text}, {covered(picture):.1%} of the picture")


def covered(picture: Image.Image) -> float:
    """The share of the pixels that are not transparent, weighed by their opacity."""
    return ImageStat.Stat(picture.getchannel("A")).mean[0] / 255


if __name__ == "__main__":
    main()

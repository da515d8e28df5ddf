"""Colours: a perceptually uniform map for heat, JET for comparison, and the legend that explains them."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Table = NDArray[np.uint8]  # (256, 3), RGB

INK = (32, 32, 36)
QUIET = (112, 112, 120)
PAPER = (255, 255, 255)
WRONG = (190, 40, 30)


@cache
def heat() -> Table:
    """256 RGB colours from deep violet through red and orange to pale yellow: equal steps look equal (in OKLab).

    Lightness rises evenly from 0.18 to 0.96, so that it reads in grey and for colour-blind eyes; chroma stays inside
    sRGB, so that nothing is clipped. Ottosson 2020, "A perceptual color space for image processing".
    """
    step = np.linspace(0, 1, 256)
    hue = np.deg2rad(300 + 170 * step**0.9)
    chroma = 0.08 + 0.078 * np.sin(np.pi * step**0.9)
    return _from_oklab(0.18 + 0.78 * step, chroma * np.cos(hue), chroma * np.sin(hue))


@cache
def signed() -> Table:
    """256 RGB colours from blue (against) through near-white at 128 to red (for): equally light at equal distances.

    Blue and red stay apart for colour-blind eyes; lightness alone tells how far from zero.
    """
    step = (np.arange(256) - 128) / 127.5
    size = np.abs(step) ** 0.9
    hue = np.where(step < 0, np.deg2rad(255), np.deg2rad(35))
    chroma = 0.15 * np.sin(np.pi * (0.15 + 0.6 * size)) * (size > 0)
    return _from_oklab(0.97 - 0.52 * size, chroma * np.cos(hue), chroma * np.sin(hue))


@cache
def jet() -> Table:
    """The 256 RGB colours of JET as OpenCV has them; not perceptually uniform."""
    step = np.arange(256)
    red = np.minimum(4 * step - 382, 1148 - 4 * step)
    green = np.minimum(4 * step - 128, 892 - 4 * step)
    blue = np.minimum(4 * step + 128, 638 - 4 * step)
    table = np.stack([red, green, blue], axis=1).clip(0, 255).astype(np.uint8)
    table[159, 2] = 1  # OpenCV's own table is off its straight line here
    return table


def legend(table: Table, left: str, right: str, width: int = 240) -> Image.Image:
    """A horizontal bar of the colours with words at both ends: RGB, `width` x 34 pixels."""
    page = Image.new("RGB", (width, 34), PAPER)
    bar = np.broadcast_to(table[np.linspace(0, 255, width).astype(int)][None], (12, width, 3))
    page.paste(Image.fromarray(np.ascontiguousarray(bar)), (0, 0))
    draw = ImageDraw.Draw(page)
    face = font(12)
    draw.text((0, 15), left, QUIET, face)
    draw.text((width - draw.textlength(right, face), 15), right, QUIET, face)
    return page


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of every caption."""
    return ImageFont.load_default(size)


def _from_oklab(lightness: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> Table:
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = np.stack(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        ],
        axis=1,
    ).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (encoded * 255).round().astype(np.uint8)

"""The global properties of an image that the audit measures on one image and sets on another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from seewhy.evidence.properties import colour, detail, jpeg, placement, spectra

Scale = Literal["level", "ratio", "shift", "power"]
MOST_TIMES = 2.0  # that a whole is changed by where a part of it changes: a grey part says little of the whole
_TINY = 1e-6
_PART = 2**20  # numbers of the canvases that are edited at once on a CPU: larger ones leave its cache
Editor = Callable[[Tensor], Tensor]  # wanted values (N, D) -> edited canvases (N, 3, H, W)


@dataclass(frozen=True)
class Property:
    """A number, or several, of a whole image, and how to give an image another one.

    `measure` turns canvases (N, 3, H, W) in [0, 1] into values (N, D); `apply` turns canvases and wanted values (N, D)
    into new canvases in [0, 1]. Both treat every image by itself. `prepare` does once what `apply`
    needs of the canvases alone, and returns what takes the wanted values; a property without one is none the worse,
    only slower where an image meets many donors. `scale` says what a change in one part of an image is for the whole:
    the same level, the same ratio, the same shift, or the same power added (noise on noise). One that `skips_unknown`
    leaves pixels that are NaN as they are and out of what it measures. One that is `of_the_file` no object has by
    nature, so that it needs no proof that its surroundings are read, too.
    """

    name: str
    measure: Callable[[Tensor], Tensor]
    apply: Callable[[Tensor, Tensor], Tensor]
    prepare: Callable[[Tensor], Editor] | None = None
    words: str = ""
    unit: str = ""
    scale: Scale = "level"
    skips_unknown: bool = False
    of_the_file: bool = False

    def editor(self, canvases: Tensor) -> Editor:
        """What edits these canvases (N, 3, H, W), given wanted values (N, D), as often as it is called."""
        return self.prepare(canvases) if self.prepare else partial(self.apply, canvases)

    def carried_over(self, values: Tensor, part: Tensor, wanted: Tensor) -> Tensor:
        """The values (N, D) of whole images that change as a part of theirs does from the values `part` to `wanted`."""
        if self.scale == "ratio":
            return values * ((wanted + _TINY) / (part + _TINY)).clamp(1 / MOST_TIMES, MOST_TIMES)
        if self.scale == "power":
            return (values.square() + wanted.square() - part.square()).clamp(min=0).sqrt()
        return values + wanted - part if self.scale == "shift" else wanted


def prepared(
    name: str,
    measure: Callable[[Tensor], Tensor],
    prepare: Callable[[Tensor], Editor],
    *,
    words: str = "",
    unit: str = "",
    scale: Scale = "level",
    skips_unknown: bool = False,
    of_the_file: bool = False,
) -> Property:
    """A property whose `apply` is its `prepare`, used once; on a CPU in parts that fit its cache."""

    def in_parts(canvases: Tensor) -> Editor:
        size = max(1, _PART // max(canvases[:1].numel(), 1))
        if canvases.device.type != "cpu" or len(canvases) <= size:
            return prepare(canvases)
        editors = [prepare(part) for part in canvases.split(size)]
        return lambda values: torch.cat([edit(part) for edit, part in zip(editors, values.split(size), strict=True)])

    def apply(canvases: Tensor, values: Tensor) -> Tensor:
        return in_parts(canvases)(values)

    return Property(
        name=name, measure=measure, apply=apply, prepare=in_parts, words=words, unit=unit, scale=scale,
        skips_unknown=skips_unknown, of_the_file=of_the_file,
    )  # fmt: skip


_ALL = (  # the cheap ones first
    prepared("flip", placement.balance, placement.balance_editor, words="which side is brighter", unit="0..1"),
    prepared(
        "brightness", colour.brightness, colour.brightness_editor, words="mean luminance", unit="0..1", scale="ratio"
    ),
    prepared(
        "contrast", colour.contrast, colour.contrast_editor, words="spread of the luminance", unit="0..1", scale="ratio"
    ),
    prepared(
        "saturation",
        colour.saturation,
        colour.saturation_editor,
        words="strength of the colours",
        unit="0..1",
        scale="ratio",
    ),
    prepared(
        "tint", colour.tint, colour.tint_editor, words="mean colour less its luminance", unit="0..1", scale="shift"
    ),
    prepared(
        "low-frequency",
        spectra.low_frequency,
        spectra.low_frequency_editor,
        words="amplitudes of the lowest 7 % of frequencies",
        unit="log",
        scale="shift",
    ),
    prepared(
        "noise",
        detail.noise,
        detail.noise_editor,
        words="noise level",
        unit="0..1",
        scale="power",
        skips_unknown=True,
    ),
    prepared(
        "crop",
        placement.placement,
        placement.placement_editor,
        words="place and size of the content",
        unit="half sides",
    ),
    prepared(
        "sharpness",
        detail.sharpness,
        detail.sharpness_editor,
        words="slope of the luminance over its spread",
        unit="per pixel",
        scale="ratio",
    ),
    prepared(
        "spectrum",
        spectra.spectrum,
        spectra.spectrum_editor,
        words="power in 12 rings of frequency",
        unit="log",
        scale="shift",
    ),
    prepared(
        "jpeg",
        jpeg.jpeg_quality,
        jpeg.jpeg_editor,
        words="JPEG quality",
        unit="1..100",
        skips_unknown=True,
        of_the_file=True,
    ),
)
PROPERTIES: dict[str, Property] = {one.name: one for one in _ALL}

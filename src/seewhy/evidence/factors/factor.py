"""What can be taken from one image and put into another: a region's pixels, or a property of the whole image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from seewhy.evidence.factors.edits import REMOVALS, filled, transplanted
from seewhy.evidence.factors.regions import Region
from seewhy.evidence.properties.catalogue import Property
from seewhy.render.mark import SHUFFLED

Kind = Literal["region", "property", "insert"]
AVERAGE = "average"
SOME = 0.5  # of a mask, for a pixel to be known of a part


class Factor(Protocol):
    """A factor: what a donor gives, how it is put into a recipient, and how it is taken away.

    `region` names the masks that the methods get: (N, H, W) or (1, H, W) in [0, 1], None for a factor without a
    region. Canvases are (N, 3, H, W) in [0, 1]; the image of each row depends on that row alone.
    """

    @property
    def name(self) -> str:
        """One word or a few, unique in an audit."""

    @property
    def kind(self) -> Kind:
        """What it acts on."""

    @property
    def words(self) -> str:
        """What it is, for a reader, with its source."""

    @property
    def region(self) -> str | None:
        """The name of the region it acts in."""

    @property
    def removals(self) -> tuple[str, ...]:
        """The ways in which its content can be taken away."""

    def measure(self, canvases: Tensor, masks: Tensor | None) -> Tensor:
        """Its values (N, D)."""

    def take(self, canvases: Tensor, masks: Tensor | None) -> Tensor:
        """What donors give (N, …)."""

    def put(self, canvases: Tensor, masks: Tensor | None, content: Tensor) -> Tensor:
        """The canvases with the donors' content (N, …) in them."""

    def removed(self, canvases: Tensor, masks: Tensor | None, removal: str, average: Tensor, seed: int) -> Tensor:
        """The canvases with the factor's content taken away; `average` (D,) are its mean values over the donors."""


@dataclass(frozen=True)
class RegionFactor:
    """The pixels of a region."""

    at: Region
    kind: Kind = "region"
    removals: tuple[str, ...] = tuple(REMOVALS)

    @property
    def name(self) -> str:
        """The region's name."""
        return self.at.name

    @property
    def words(self) -> str:
        """The region with its source."""
        return f"the pixels of {self.at.name} ({self.at.source})"

    @property
    def region(self) -> str | None:
        """The region's name."""
        return self.at.name

    def measure(self, canvases: Tensor, masks: Tensor | None) -> Tensor:
        """Mean red, green and blue, and the spread of the luminance, inside the region: (N, 4)."""
        inside = needed(masks)[:, None]
        total = inside.sum(dim=(2, 3)).clamp(min=1e-6)
        mean = (canvases * inside).sum(dim=(2, 3)) / total
        grey = canvases.mean(dim=1, keepdim=True)
        spread = ((grey - mean.mean(dim=1)[:, None, None, None]).square() * inside).sum(dim=(2, 3)) / total
        return torch.cat([mean, spread.sqrt()], dim=1)

    def take(self, canvases: Tensor, masks: Tensor | None) -> Tensor:
        """The region's content, laid over the rest of the canvas."""
        return filled(canvases, needed(masks))

    def put(self, canvases: Tensor, masks: Tensor | None, content: Tensor) -> Tensor:
        """The donors' content inside the recipients' own region."""
        return transplanted(canvases, content, needed(masks))

    def removed(self, canvases: Tensor, masks: Tensor | None, removal: str, average: Tensor, seed: int) -> Tensor:
        """The region blurred, averaged, painted over from outside, or shuffled."""
        return REMOVALS[removal](canvases, needed(masks), seed)


@dataclass(frozen=True)
class PropertyFactor:
    """A property of the whole image."""

    of: Property
    kind: Kind = "property"
    region: str | None = None
    removals: tuple[str, ...] = (AVERAGE,)

    @property
    def name(self) -> str:
        """The property's name."""
        return self.of.name

    @property
    def words(self) -> str:
        """What is measured."""
        return self.of.words or self.of.name

    def measure(self, canvases: Tensor, masks: Tensor | None) -> Tensor:
        """The property's values (N, D)."""
        return self.of.measure(canvases)

    def take(self, canvases: Tensor, masks: Tensor | None) -> Tensor:
        """The property's values (N, D)."""
        return self.of.measure(canvases)

    def put(self, canvases: Tensor, masks: Tensor | None, content: Tensor) -> Tensor:
        """The recipients with the donors' values."""
        return self.of.apply(canvases, content)

    def removed(self, canvases: Tensor, masks: Tensor | None, removal: str, average: Tensor, seed: int) -> Tensor:
        """The recipients with the average value."""
        return self.of.apply(canvases, average.to(canvases).expand(len(canvases), -1))


@dataclass(frozen=True)
class Mark:
    """A mark that is laid over the image: unlike a transplant it needs no donors, so one image per class will do.

    `pixels` (4, H, W) are red, green, blue and opacity in [0, 1] on the whole canvas; `patch` covers as much of it with
    the same opacity and colours, its small patches in another order, or is another mark: `against` says which.
    """

    name: str
    words: str
    pixels: Tensor
    patch: Tensor
    against: str = SHUFFLED

    def laid(self, canvases: Tensor) -> Tensor:
        """The canvases (N, 3, H, W) with the mark."""
        return _laid(self.pixels, canvases)

    def patched(self, canvases: Tensor) -> Tensor:
        """The canvases (N, 3, H, W) with the neutral patch in its place."""
        return _laid(self.patch, canvases)


def skips_unknown(factor: Factor) -> bool:
    """Whether it is a property that leaves pixels that are NaN as they are, and out of what it measures."""
    return isinstance(factor, PropertyFactor) and factor.of.skips_unknown


def is_of_the_file(factor: Factor) -> bool:
    """Whether it is a property that comes with how a picture was saved, and that no object has by nature."""
    return isinstance(factor, PropertyFactor) and factor.of.of_the_file


def part_of(factor: Factor, canvases: Tensor, masks: Tensor) -> Tensor:
    """The canvases as a factor is measured and set in a part of them alone: all else is painted over, or unknown."""
    if skips_unknown(factor):  # paint that a soft edge lets through would hide the noise and the file's traces there
        return canvases.masked_fill((masks < SOME)[:, None], torch.nan)
    return filled(canvases, masks)


def masks_for(factor: Factor, masks: Mapping[str, Tensor], places: Tensor) -> Tensor | None:
    """The masks (n, H, W) or (1, H, W) in [0, 1] that a factor's methods get for the images at `places`."""
    if factor.region is None:
        return None
    region_masks = masks[factor.region]
    return as_share(region_masks if len(region_masks) == 1 else region_masks[places])


def as_share(masks: Tensor) -> Tensor:
    """Masks in [0, 1], from bytes or as they are."""
    return masks.float() / 255 if masks.dtype == torch.uint8 else masks


def _laid(pixels: Tensor, canvases: Tensor) -> Tensor:
    pixels = pixels.to(canvases)
    return torch.lerp(canvases, pixels[:3].expand_as(canvases), pixels[3])


def needed(masks: Tensor | None) -> Tensor:
    """The masks that a region's methods always get. Raises ValueError where there are none."""
    if masks is None:
        raise ValueError("a region's edits need its masks")
    return masks

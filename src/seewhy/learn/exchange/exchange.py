"""Exchange in training: a factor's content from other images, so that it says nothing about the class any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.errors import listed
from seewhy.evidence.factors.controls import ROOM, control_masks, free_pixels
from seewhy.evidence.factors.edits import grown, transplanted
from seewhy.evidence.factors.factor import Factor, Mark
from seewhy.evidence.trials.sample import CHUNK, Sample, gathered, mean_mask
from seewhy.learn.exchange.beside_core import REACH, core_at, reach_of, two_bands

DonorsOf = Literal["any class", "the same class", "all classes alike"]
MOST_SHARE = 0.75  # of the images of a batch that are exchanged
LEAST_DONORS = 8  # of each class, or a few images' content would be learned by heart
AGAIN = 3  # times that several properties are set
_MOVING = ("flip", "crop")  # properties that move the picture
_CORNER = 0.1  # the area of a region that stands against a property, which has none


class Exchanging(Protocol):
    """Puts the content of some images of a sample into others."""

    @property
    def words(self) -> str:
        """What is exchanged, and from which donors."""

    @property
    def eligible(self) -> NDArray[np.bool_]:
        """Which images of the sample (M,) can give and take."""

    def donors_for(self, places: Tensor, generator: torch.Generator) -> Tensor:
        """A donor (n,) for each recipient (n,), drawn by chance."""

    def edited(self, recipients: Tensor, donors: Tensor) -> Tensor:
        """The canvases (n, 3, H, W) of the recipients with the donors' content."""


@dataclass(frozen=True)
class FactorExchange:
    """A factor's content from donors of other classes: what it says about the class is lost, its look stays.

    Of the images only a `share` get it. So that in all of them together, exchanged or not, each class has as much of
    every class's content ("all classes alike"), the donors are of other classes as far as that takes; from donors of
    "any class" alone, the images that stay as they are would still say what the factor says. With donors of "the same
    class" everything is the same but that: a control arm.

    Of a region that adjoins the `core`, what lies near it gets only what is smooth in the donor's content. The regions
    `also` come from the same donors, where both images have them: of a tint more lies in their pixels than a mean
    colour says. So do the factors `further`, which are to say nothing any more either: the donors have all that the
    recipient has. Properties are set first, by the whole picture as it was: with the donor's regions in it, it would
    hardly differ from the donor, and what they say in the core would stay. Where one is set after another, which it may
    undo in part, all are set again. What moves the picture comes behind regions, which lie where their masks are.
    """

    sample: Sample
    factor: Factor
    donors: DonorsOf = "all classes alike"
    share: float = 0.5
    core: tuple[str, ...] = ()
    also: tuple[Factor, ...] = ()
    further: tuple[Factor, ...] = ()

    @property
    def words(self) -> str:
        """What is exchanged, and from which donors."""
        return f"{listed([self.factor.name, *self.further_names])} from donors of {self.donors}"

    @property
    def further_words(self) -> str:
        """What else is to say nothing any more; empty where nothing is."""
        return f"together with {listed(self.further_names)}" if self.further else ""

    @property
    def further_names(self) -> list[str]:
        """The names of the factors beside the first."""
        return [factor.name for factor in self.further]

    @property
    def also_words(self) -> str:
        """What is exchanged with it; empty where nothing is."""
        names = listed([factor.name for factor in self.also])
        return f"with that of {names}, told as the same cause" if self.also else ""

    @property
    def balance(self) -> str:
        """How far the classes have its content alike, in all images together."""
        n = len(self._all_donors)
        own = 1 - self.share + self.share * self._own(n)
        if n < 2 or own - 1 / n < 0.005:
            return "so that all classes have it alike" + (
                ", as far as their donors have it" if self._lacks_donors else ""
            )
        return f"so that {own:.0%} of each class keep their own class's content, where {1 / n:.0%} would be alike"

    @cached_property
    def _has(self) -> NDArray[np.bool_]:
        """Which images (M) have each of the factors (F, M)."""
        return np.stack([self.has_of(factor) for factor in (self.factor, *self.further)])

    @property
    def _lacks_donors(self) -> bool:
        """Whether some recipients get donors that have not all that they have."""
        kinds = np.unique(self._has[:, self.eligible].T, axis=0)
        return any(not self._has[has][:, torch.cat(self._donors_of(has)).numpy()].all() for has in kinds)

    @property
    def _all_donors(self) -> list[Tensor]:
        return self._donors_of(np.zeros(len(self._has), dtype=bool))

    def _donors_of(self, has: NDArray[np.bool_]) -> list[Tensor]:
        """By class the donors that have all of the factors that a recipient has (F,).

        Where a class has too few of these, all that have any of the factors.
        """
        key = has.tobytes()
        if key not in self._pools:
            able, labels = self.eligible & self._has[has].all(axis=0), self.sample.labels
            there = np.bincount(labels[self.eligible])
            if (np.bincount(labels[able], minlength=len(there)) < np.minimum(there, LEAST_DONORS)).any():
                able = self.eligible
            pool = np.flatnonzero(able)
            self._pools[key] = [torch.from_numpy(pool[labels[pool] == label]) for label in np.unique(labels[pool])]
        return self._pools[key]

    @cached_property
    def _pools(self) -> dict[bytes, list[Tensor]]:
        """The donors by class, by what a recipient has: told once."""
        return {}

    def _own(self, n_classes: int) -> float:
        """The share of the donors that are of the recipient's class, where donors are of so many."""
        if n_classes < 2 or self.donors == "the same class":
            return 1.0
        return max(0.0, 1 - (1 - 1 / n_classes) / self.share) if self.share else 0.0

    @property
    def eligible(self) -> NDArray[np.bool_]:
        """Which images have the factor's region, or that of a further factor."""
        return np.asarray(self._has.any(axis=0), dtype=bool)

    def has_of(self, factor: Factor) -> NDArray[np.bool_]:
        """Which images have the region of one of the factors; all have a property."""
        everyone = np.ones(len(self.sample), dtype=bool)
        return self.sample.found.get(factor.region or "", everyone)

    def donors_for(self, places: Tensor, generator: torch.Generator) -> Tensor:
        """A donor (n,) for each recipient (n,); one may be given itself, as one of many."""
        donors = torch.empty_like(places)
        kinds, kind = np.unique(self._has[:, places.numpy()].T, axis=0, return_inverse=True)
        for number, has in enumerate(kinds):
            rows = torch.from_numpy(np.flatnonzero(kind.ravel() == number))
            donors[rows] = self._dealt(places[rows], self._donors_of(has), generator)
        return donors

    def _dealt(self, places: Tensor, pools: Sequence[Tensor], generator: torch.Generator) -> Tensor:
        """A donor (n,) of these, by class, for each recipient (n,); of other classes each alike."""
        if self.donors == "any class":
            pool = torch.cat([*pools]).sort().values
            return pool[torch.randint(len(pool), (len(places),), generator=generator)]
        known, share = [int(self.sample.labels[pool[0]]) for pool in pools], self._own(len(pools))
        chosen = []
        for label in self.sample.labels[places.numpy()]:
            at = known.index(int(label))
            if float(torch.rand((), generator=generator)) >= share:
                other = int(torch.randint(len(pools) - 1, (), generator=generator))
                at = other + (other >= at)
            chosen.append(int(pools[at][torch.randint(len(pools[at]), (), generator=generator)]))
        return torch.tensor(chosen, dtype=torch.int64)

    def edited(self, recipients: Tensor, donors: Tensor) -> Tensor:
        """The canvases (n, 3, H, W) of the recipients with the donors' content."""
        canvases = self.sample.canvases(recipients)
        for each in self._steps:
            region = each.factor.region
            masks = None if region is None else self.sample.masks_at(region, recipients)
            edited = each.put(canvases, masks, donors, each.core_at(recipients), recipients)
            has_both = torch.from_numpy(self.has_of(each.factor))[torch.stack([recipients, donors])].all(dim=0)
            canvases = torch.where(has_both.to(edited.device)[:, None, None, None], edited, canvases)
        return canvases

    @cached_property
    def _steps(self) -> list[FactorExchange]:
        """The exchanges of single factors, in the order in which they are made."""
        by_name = {each.factor.name: each for each in (self, *self._others)}
        return [by_name[factor.name] for factor in in_order([each.factor for each in by_name.values()])]

    @cached_property
    def _others(self) -> tuple[FactorExchange, ...]:
        """The exchanges of the other factors."""
        return tuple(replace(self, factor=factor, also=(), further=()) for factor in (*self.further, *self.also))

    def put(
        self,
        canvases: Tensor,
        masks: Tensor | None,
        donors: Tensor,
        core: Tensor | None = None,
        recipients: Tensor | None = None,
    ) -> Tensor:
        """Any canvases (n, 3, H, W) with the donors' content of the factor alone.

        `masks` and `core` are the canvases' own (n or 1, H, W); `recipients` say which images of the sample they are,
        for a region that lies elsewhere in each.
        """
        content = gathered(self._content, donors)
        if recipients is not None:
            content = self.sample.brought(self.factor.region, content, recipients, donors)
        if masks is not None and core is not None and self.reach:
            content = two_bands(canvases, content, masks, core, self.reach)
        return self.factor.put(canvases, masks, content)

    def core_at(self, places: Tensor) -> Tensor | None:
        """Where the core of some images is, (n, H, W) or (1, H, W); None where it makes no difference."""
        return core_at(self.sample, self.core, places) if self.reach else None

    @cached_property
    def reach(self) -> int:
        """How many pixels from the core only what is smooth is exchanged; 0 of what does not adjoin it."""
        region = self.factor.region
        return 0 if region is None else reach_of(self.sample, region, self.core)

    @property
    def near_words(self) -> str:
        """What becomes of the detail near the core; empty where nothing does."""
        return f"within {self.reach} pixels of {listed(self.core)} its colour and light alone" if self.reach else ""

    def prepare(self) -> None:
        """Take what every image gives as a donor now, and not at the first exchange."""
        for each in (self, *self._others):
            _ = each._content, each.reach

    @cached_property
    def _content(self) -> Tensor:
        """What every image gives as a donor (M, …), taken once: pixels as bytes where the sample holds bytes."""
        sample, region = self.sample, self.factor.region
        if region is not None and len(sample.masks[region]) == 1:
            return sample.pixels  # the same place in every image
        parts = []
        for places in torch.arange(len(sample)).split(CHUNK):
            masks = None if region is None else sample.masks_at(region, places)
            taken = self.factor.take(sample.canvases(places), masks)
            as_bytes = region is not None and sample.pixels.dtype == torch.uint8
            parts.append((taken * 255).round().clamp(0, 255).byte() if as_bytes else taken)
        return torch.cat(parts)


def in_order(factors: Sequence[Factor]) -> list[Factor]:
    """Factors in the order in which they are exchanged: properties, again where there are several, then regions.

    What moves the picture comes behind regions, and before other properties where there are none.
    """
    regions = [factor for factor in factors if factor.region is not None]
    moving = [factor for factor in factors if factor.region is None and factor.name in _MOVING]
    properties = [factor for factor in factors if factor.region is None and factor.name not in _MOVING]
    again = properties * (AGAIN if len(properties) > 1 else 1)
    return [*again, *regions, *moving] if regions else [*moving, *again]


@dataclass(frozen=True)
class RegionExchange:
    """The pixels of a region (H, W) that has nothing to do with the factor, from donors of any class: a control arm."""

    sample: Sample
    region: Tensor

    @property
    def words(self) -> str:
        """What is exchanged, and from which donors."""
        return f"an unrelated region of {float(self.region.mean()):.0%} of the picture from donors of any class"

    @property
    def eligible(self) -> NDArray[np.bool_]:
        """All images."""
        return np.ones(len(self.sample), dtype=bool)

    def donors_for(self, places: Tensor, generator: torch.Generator) -> Tensor:
        """A donor (n,) for each recipient (n,)."""
        return torch.randint(len(self.sample), (len(places),), generator=generator)

    def edited(self, recipients: Tensor, donors: Tensor) -> Tensor:
        """The canvases (n, 3, H, W) of the recipients with the donors' content."""
        sample = self.sample
        return transplanted(sample.canvases(recipients), sample.canvases(donors), self.region[None])


@dataclass(frozen=True)
class MarkLaid:
    """A mark laid over images of any class, so that it says nothing about the class; or its neutral patch: a control.

    No image is a donor.
    """

    sample: Sample
    mark: Mark
    is_patch: bool = False

    @property
    def words(self) -> str:
        """What is laid over."""
        return f"{self.mark.against} in place of the mark" if self.is_patch else f"the mark {self.mark.name}"

    @property
    def eligible(self) -> NDArray[np.bool_]:
        """All images."""
        return np.ones(len(self.sample), dtype=bool)

    def donors_for(self, places: Tensor, generator: torch.Generator) -> Tensor:
        """The recipients (n,) themselves."""
        return places

    def edited(self, recipients: Tensor, donors: Tensor) -> Tensor:
        """The canvases (n, 3, H, W) of the recipients with the mark."""
        canvases = self.sample.canvases(recipients)
        return self.mark.patched(canvases) if self.is_patch else self.mark.laid(canvases)


def with_and_without(sample: Sample, mark: Mark) -> Sample:
    """The sample's images (M) as they are, and then the same with the mark: (2 M)."""
    parts = [mark.laid(sample.canvases(places)) for places in torch.arange(len(sample)).split(CHUNK)]
    laid = torch.cat(parts)
    if sample.pixels.dtype == torch.uint8:
        laid = (laid * 255).round().clamp(0, 255).byte()
    return replace(
        sample,
        images=sample.images * 2,
        labels=np.tile(sample.labels, 2),
        pixels=torch.cat([sample.pixels, laid]),
        clusters=np.tile(sample.clusters, 2),
        masks={},
        found={},
        corners={},
        digests=sample.digests * 2,
        sizes=sample.sizes * 2,
    )


def balancing_share(n_classes: int) -> float:
    """The share of the images that must get content of other classes for all to be alike; at most three quarters.

    With a larger share hardly an image would be as it was taken.
    """
    return min(1 - 1 / max(n_classes, 2), MOST_SHARE)


def unrelated(
    sample: Sample,
    placed: Sample,
    factor: Factor | Mark,
    others: Sequence[Factor],
    core: Sequence[str],
    seed: int,
    also: tuple[Factor, ...] = (),
    further: tuple[Factor, ...] = (),
) -> Exchanging:
    """The same exchange of something else: a region of the factor's area away from it and from the core.

    The area, and what it lies away from, are those of the factor with the regions `also` and the factors `further` that
    are exchanged with it.
    `placed` is the sample where the exchange is to be made. Where there is no room for such a region (a background
    fills the picture), it is the first of `others`, a property; where there is none, what leaves the factor what it
    says about the class: its content from donors of the same class, or of a mark its neutral patch.
    """
    covered = _covered(sample, factor)
    for each in (*further, *also):
        covered = torch.maximum(covered, _covered(sample, each))
    is_property = not isinstance(factor, Mark) and factor.region is None
    area = max(_CORNER if is_property else 0.0, float(covered.mean()))
    for away in (round(REACH * min(covered.shape)), 0):  # from the core, too, where there is room
        taken = covered.clone()
        for region in core:
            if region in sample.masks:
                taken = torch.maximum(taken, grown(mean_mask(sample, region)[None], away)[0])
        if 0 < ROOM * area <= float(free_pixels(taken).float().mean()):
            return RegionExchange(placed, control_masks(area, taken, 1, seed)[0])
    if others:
        return FactorExchange(placed, others[0], "any class")
    if isinstance(factor, Mark):
        return MarkLaid(placed, factor, is_patch=True)
    return FactorExchange(placed, factor, "the same class", core=tuple(core), also=also, further=further)


def _covered(sample: Sample, factor: Factor | Mark) -> Tensor:
    """Where a factor or mark lies (H, W), in [0, 1]; nowhere for a property."""
    if isinstance(factor, Mark):
        return (factor.pixels[3] > 0).float()
    return mean_mask(sample, factor.region) if factor.region else torch.zeros(sample.pixels.shape[2:])

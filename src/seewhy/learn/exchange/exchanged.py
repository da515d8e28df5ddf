"""The exchange of a repair for those who train elsewhere: a Dataset of training images, and a transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from seewhy.errors import OptionError, listed, nearest
from seewhy.evidence.factors.factor import Factor, Mark, RegionFactor, as_share
from seewhy.evidence.factors.regions import RegionCanvas
from seewhy.evidence.results.result import Audit
from seewhy.evidence.trials.sample import Sample
from seewhy.learn.exchange.exchange import FactorExchange, MarkLaid, balancing_share
from seewhy.learn.parts import train_of, with_all_images
from seewhy.records import checked_seed


class ExchangeDataset(Dataset[tuple[Any, int]]):
    """The training images of an audit, a share of them with a factor's content from images of other classes.

    What `repair(ways="exchange")` trains on, as items (image, label): the image is the network's own input (C, H, W),
    or what `transform` makes of the canvas (3, H, W) in 0..1; the label is the class index. Items are repeatable by
    `seed`, epoch and index, in however many workers; `set_epoch` deals anew.

    Args:
        audit: what `audit` gave; its images need a train beside valid
        factor: a factor or mark of the audit, by name; of a list of factors all are from the same image
        share: of the images that get the exchange, 0 to 1; None: as many as all classes need to have its content alike
            (half for two classes, two thirds for three), up to three quarters; of a mark half
        transform: a function of the canvas (3, H, W); None: the audit's own preprocessing
        seed: of who gets what from whom

    Raises:
        OptionError (no such factor, no such share), DataError (no train).

    Example:
        >>> images = seewhy.ExchangeDataset(audit, "tint")
        >>> loader = torch.utils.data.DataLoader(images, batch_size=32, shuffle=True)
    """

    def __init__(
        self,
        audit: Audit,
        factor: str | Sequence[str],
        *,
        share: float | None = None,
        transform: Callable[[Tensor], Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.transform, self.seed = transform, checked_seed(seed)
        names = [factor] if isinstance(factor, str) else list(factor)
        self.sample, self.exchange, self.share = _exchange_of(audit, names, share)
        self._can = torch.from_numpy(self.exchange.eligible)
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # so that workers that stay see the next one

    def __len__(self) -> int:
        return len(self.sample)

    def set_epoch(self, epoch: int) -> None:
        """Deal anew, for the pass `epoch` over the images."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        index = range(len(self))[index]
        generator = torch.Generator().manual_seed(self._seed_of(index))
        place = torch.tensor([index])
        chosen = bool(torch.rand((), generator=generator) < self.share) and bool(self._can[index])
        if chosen:
            canvas = self.exchange.edited(place, self.exchange.donors_for(place, generator))
        else:
            canvas = self.sample.canvases(place)
        image = self.sample.inputs(canvas)[0] if self.transform is None else self.transform(canvas[0])
        return image, int(self.sample.labels[index])

    def _seed_of(self, index: int) -> int:
        entropy = (self.seed, int(self._epoch), index)
        return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)


_SLACK = 0.25  # beyond 0..1, that resizing with a sharp kernel may give; normalised images reach 2


class ExchangeTransform:
    """A transform that gives a share of images a factor's content from a training image of any class.

    It takes an image (3, H, W) in 0..1 of the audit's size, before it is normalised, and gives the same. Chance is
    torch's own, which a DataLoader seeds in each worker.

    Args:
        audit: what `audit` gave; its images need a train beside valid
        factor: a factor or mark of the audit, by name
        share: of the images that get the exchange, 0 to 1

    Raises:
        OptionError (no such factor, an image of another size, or a region whose mask (H, W) is not given beside the
        image), DataError (no train).

    Example:
        >>> transform = seewhy.ExchangeTransform(audit, "tint")
        >>> exchanged = transform(torch.rand(3, 64, 64))
    """

    def __init__(self, audit: Audit, factor: str, *, share: float = 0.5) -> None:
        self.sample, self.exchange, self.share = _exchange_of(audit, [factor], share)
        if factor in self.sample.corners:
            raise OptionError(
                f"{factor} lies elsewhere in each image, and a transform does not know which image it gets.\n"
                f"  Take a Dataset, which does:  seewhy.ExchangeDataset(audit, {factor!r})"
            )

    def __call__(self, image: Tensor, mask: Tensor | None = None, core: Tensor | None = None) -> Tensor:
        """The image (3, H, W), in a share of calls with another one's content; `mask` (H, W) is where its region is.

        `core` (H, W) is where the core is: near it only what is smooth is taken from the other image, as a repair does;
        None: the core that all images share, else the detail beside it as well. Both in 0..1, or 0..255 as bytes.
        """
        self._check(image)
        if float(torch.rand(())) >= self.share:
            return image
        return self._exchanged(image.float(), mask, core).to(image.dtype)

    def _check(self, image: Any) -> None:
        """Raise OptionError for what is no picture of the audit's size, or is normalised already."""
        size = tuple(self.sample.pixels.shape[1:])
        if not isinstance(image, Tensor):
            what = type(image).__name__
        elif tuple(image.shape) != size or not image.is_floating_point():
            what = f"{tuple(image.shape)} of {image.dtype}"
        elif self.sample.preprocess is not None and (float(image.min()) < -_SLACK or float(image.max()) > 1 + _SLACK):
            what = f"from {float(image.min()):.3g} to {float(image.max()):.3g}"
        else:
            return
        raise OptionError(
            f"The image is {what}, but the audit's are tensors {size} in 0..1.\n"
            "  Put the transform behind the resizing and ToTensor, and before Normalize."
        )

    def _exchanged(self, image: Tensor, mask: Tensor | None, core: Tensor | None) -> Tensor:
        if isinstance(self.exchange, MarkLaid):
            return self.exchange.mark.laid(image[None])[0]
        pool = torch.from_numpy(np.flatnonzero(self.exchange.eligible))
        donor = pool[torch.randint(len(pool), (1,))]
        return self.exchange.put(image[None], self._mask(mask), donor, self._core(core))[0]

    def _mask(self, mask: Tensor | None) -> Tensor | None:
        """The recipient's mask (1, H, W): the one given, else the one that all images have."""
        region = None if isinstance(self.exchange, MarkLaid) else self.exchange.factor.region
        if region is None:
            return None
        if mask is not None:
            return self._checked(mask, region)
        if len(self.sample.masks[region]) > 1:
            raise OptionError(
                f"Each image has its own mask of {region}, which the transform needs:  transform(image, mask)\n"
                "  Or take seewhy.ExchangeDataset, which has them."
            )
        return self.sample.masks_at(region, torch.zeros(1, dtype=torch.int64))

    def _core(self, core: Tensor | None) -> Tensor | None:
        """The recipient's core (1, H, W): the one given, else the one that all images have; None: not known."""
        if isinstance(self.exchange, MarkLaid):
            return None
        if core is not None:
            return self._checked(core, "the core")
        shared = self.exchange.core_at(torch.arange(min(2, len(self.sample))))
        return shared if shared is not None and len(shared) == 1 else None

    def _checked(self, mask: Tensor, of: str) -> Tensor:
        """A mask that was given, as (1, H, W) in 0..1."""
        size = tuple(self.sample.pixels.shape[2:])
        if tuple(mask.shape) != size:
            raise OptionError(f"The mask of {of} is {tuple(mask.shape)}, but must be {size}, as the image is.")
        return as_share(mask[None]) if mask.dtype == torch.uint8 else mask[None].float()


def _exchange_of(
    audit: Audit, names: Sequence[str], asked: float | None
) -> tuple[Sample, FactorExchange | MarkLaid, float]:
    """All training images, the exchange of factors or a mark among them, ready to be sent to workers, and its share."""
    if asked is not None and not 0 <= asked <= 1:
        raise OptionError(f"share is {asked}, but must be between 0 and 1.")
    design = audit.design
    known: dict[str, Factor | Mark] = {factor.name: factor for factor in design.factors}
    known |= {mark.name: mark for mark in design.marks}
    for name in names or [""]:
        if name not in known:
            close = nearest(name, known)
            raise OptionError(
                f"The audit has no factor {name!r}.  {close}".rstrip() + f"\n  It has: {listed(known, 20)}.",
                slug="no-such-factor",
            )
    some, sample = [known[name] for name in dict.fromkeys(names)], train_of(with_all_images(design))
    marks = [factor for factor in some if isinstance(factor, Mark)]
    if marks and len(some) > 1:
        raise OptionError(f"The mark {marks[0].name} is laid over by itself: it is no content that images exchange.")
    if marks:
        return sample, MarkLaid(sample, marks[0]), 0.5 if asked is None else asked
    first, *further = (_ready(factor) for factor in some if not isinstance(factor, Mark))
    share = balancing_share(len(np.unique(sample.labels))) if asked is None else asked
    exchange = FactorExchange(sample, first, share=share, core=design.core_regions, further=tuple(further))
    exchange.prepare()
    return sample, exchange, share


def _ready(factor: Factor) -> Factor:
    """The factor as it can be sent to workers: what draws a region's masks stays behind."""
    if isinstance(factor, RegionFactor):
        return replace(factor, at=replace(factor.at, draw=_drawn_already))
    return factor


def _drawn_already(canvas: RegionCanvas) -> Any:
    raise NotImplementedError("the masks of an exchange are drawn")

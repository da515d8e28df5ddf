"""The images of one split that an audit edits: their canvases in memory, their masks, and who meets whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from seewhy.data.networks.classifier import Classifier
from seewhy.data.pictures.canvas import canvas_from_input, input_from_canvas
from seewhy.data.pictures.decode import UnreadableError
from seewhy.data.pictures.duplicates import joined_groups, near_duplicates
from seewhy.data.reader import Loaded, load_image, refuse_others
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError
from seewhy.evidence.factors.edits import moved
from seewhy.evidence.factors.factor import as_share
from seewhy.evidence.trials.contrast import MOST_CLASSES
from seewhy.records import Image, Preprocess, Progress

DISJOINT = 0.1  # at most this share of the smaller of two regions may lie in the other
CHUNK = 64  # images that are measured at once

_SLACK = 0.01  # of white, beyond which an input is no canvas
_HASH_SIDE = 64
_AS_FLOATS = 16 << 20  # numbers of all canvases, up to which they are kept as floats

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """Images of one split, ready to be edited.

    `pixels` are canvases (M, 3, H, W), uint8 or in [0, 1] as floats, or the network's own input where nothing else is
    known (`preprocess` None). `labels` (M,) are class indices, `clusters` (M,) say which images are near-duplicates of
    each other or of one named cluster, `masks` hold (M, H, W) or (1, H, W) by region and `found` (M,) whether an image
    has one. Of a region that lies elsewhere in each image `corners` (M, 2) say where: what is exchanged is moved from
    one to the other. `recipients` (N,) and `partners` (N, D) are places in `images`: the donors that each recipient
    meets, the same for every factor; -1 where all images of a group are of its own cluster.
    """

    split: str
    images: tuple[Image, ...]
    labels: Ints
    pixels: Tensor
    preprocess: Preprocess | None
    clusters: Ints
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    found: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    corners: Mapping[str, Tensor] = field(default_factory=dict)
    recipients: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    partners: Ints = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    unreadable: tuple[tuple[Image, str], ...] = ()
    digests: tuple[str | None, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()  # (height, width) of the photographs

    def __len__(self) -> int:
        return len(self.images)

    def part(self, places: Ints) -> Sample:
        """The images at `places` alone; who meets whom is dealt anew."""
        return replace(
            self,
            images=tuple(self.images[place] for place in places),
            labels=self.labels[places],
            pixels=self.pixels[places],
            clusters=self.clusters[places],
            masks={name: mask if len(mask) == 1 else mask[places] for name, mask in self.masks.items()},
            found={name: has[places] for name, has in self.found.items()},
            corners={name: at[places] for name, at in self.corners.items()},
            recipients=np.zeros(0, np.int64),
            partners=np.zeros((0, 0), np.int64),
            digests=tuple(self.digests[place] for place in places) if self.digests else (),
            sizes=tuple(self.sizes[place] for place in places) if self.sizes else (),
        )

    def without(self, is_left_out: NDArray[np.bool_], reason: str) -> Sample:
        """The part without some of its images (M,), which are kept aside with the reason."""
        left_out = tuple((self.images[row], reason) for row in np.flatnonzero(is_left_out))
        return replace(self.part(np.flatnonzero(~is_left_out)), unreadable=(*self.unreadable, *left_out))

    def canvases(self, places: Tensor) -> Tensor:
        """The canvases (n, 3, H, W) of the images at `places`, in [0, 1]; without preprocessing the inputs."""
        return gathered(self.pixels, places)

    def inputs(self, canvases: Tensor) -> Tensor:
        """The network's input from canvases, which are given up."""
        return canvases if self.preprocess is None else input_from_canvas(canvases, self.preprocess)

    def masks_at(self, region: str, places: Tensor) -> Tensor:
        """A region's masks (n, H, W) or (1, H, W) in [0, 1]."""
        masks = self.masks[region]
        return as_share(masks if len(masks) == 1 else masks.index_select(0, places.to(masks.device)))

    def brought(self, region: str | None, values: Tensor, recipients: Tensor, donors: Tensor) -> Tensor:
        """The donors' values (n, C, H, W) of a region, moved to where the recipients' lies."""
        corners = self.corners.get(region or "")
        if corners is None:
            return values
        return moved(values, (corners[recipients] - corners[donors]).to(values.device))

    def on(self, device: torch.device) -> Sample:
        """The sample with pixels and masks on a device; as floats where that takes little memory and saves time."""
        few = self.pixels.numel() <= _AS_FLOATS

        def placed(values: Tensor) -> Tensor:
            return as_share(values.to(device)) if few else values.to(device)

        masks = {name: placed(mask) for name, mask in self.masks.items()}
        return replace(self, pixels=placed(self.pixels), masks=masks)

    def pairs(self, regions: Sequence[str] = (), uses: int | None = None) -> Ints:
        """(recipient, donor) places (T, 2), recipient by recipient, of images that have all of the regions.

        `uses` takes only so many donors of every group.
        """
        rows = self.partners if uses is None else self.partners[:, : uses * self.n_groups]
        pairs = np.stack(np.broadcast_arrays(self.recipients[:, None], rows), axis=-1).reshape(-1, 2)
        pairs = pairs[pairs[:, 1] >= 0]
        for region in regions:
            has = self.found.get(region)
            pairs = pairs if has is None else pairs[has[pairs].all(axis=1)]
        return pairs

    @property
    def counts(self) -> Ints:
        """How many images each class index has."""
        return np.bincount(self.labels)

    @property
    def unit_counts(self) -> Ints:
        """How many clusters each class index has."""
        units = np.unique(np.stack([self.labels, self.clusters], axis=1), axis=0)
        return np.bincount(units[:, 0])

    @property
    def unit(self) -> str:
        """What is the unit of inference: "cluster" where clusters are named, else "image"."""
        return "cluster" if any(image.cluster for image in self.images) else "image"

    def spread(self, count: int) -> Ints:
        """The places of at most `count` images, of every class alike."""
        groups = [one_of_each(np.flatnonzero(self.labels == index), self.clusters) for index in np.unique(self.labels)]
        return np.array(_in_turn(groups)[:count], dtype=np.int64)

    def some(self, count: int) -> Tensor:
        """The places of at most `count` images, all through the sample, which may be sorted by class."""
        return torch.linspace(0, len(self) - 1, min(len(self), count)).round().long()

    @property
    def n_groups(self) -> int:
        """How many kinds of donors a recipient meets equally often: the classes, or its own and the others."""
        return n_groups(self.labels)


@dataclass(frozen=True)
class Samples(Mapping[str, Sample]):
    """The samples by split, the audited one first, and the regions that were named as core."""

    by_split: Mapping[str, Sample]
    core: tuple[str, ...] = ()

    def __getitem__(self, split: str) -> Sample:
        return self.by_split[split]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_split)

    def __len__(self) -> int:
        return len(self.by_split)

    @property
    def audited(self) -> Sample:
        """The sample that findings are about."""
        return next(iter(self.by_split.values()))


def gathered(values: Tensor, places: Tensor) -> Tensor:
    """The rows at `places` as new floats; bytes become numbers in [0, 1]."""
    rows = values.index_select(0, places.to(values.device))
    return rows.float().div_(255) if rows.dtype == torch.uint8 else rows


def n_groups(labels: Ints) -> int:
    """The number of classes up to MOST_CLASSES, else 2: the own class and all others."""
    count = len(np.unique(labels))
    return count if count <= MOST_CLASSES else 2


def load_sample(
    table: ImageTable,
    images: Sequence[Image],
    split: str,
    classifier: Classifier,
    progress: Progress = lambda done, total: None,
) -> Sample:
    """The images read into memory; what cannot be read is kept aside with its reason. No partners are chosen yet.

    Raises DataError where the images have different shapes.
    """
    classes = list(classifier.classes or ())
    kept: list[tuple[Image, Loaded]] = []
    unreadable: list[tuple[Image, str]] = []
    for done, image in enumerate(images, 1):
        progress(done, len(images))
        try:
            loaded = load_image(table, image, classifier.preprocess)
            if kept and (first := kept[0][1].inputs) is not None:
                refuse_others(loaded, len(first))
        except UnreadableError as error:
            unreadable.append((image, str(error)))
            continue
        label = image.label or loaded.label
        if label in classes:
            kept.append((replace(image, label=label), loaded))
        else:
            unreadable.append((image, "it has no label that is a class of the network"))
    known = classifier.preprocess if isinstance(classifier.preprocess, Preprocess) else None
    pixels = _stacked([loaded for _, loaded in kept])
    if kept and kept[0][1].canvas is None:
        pixels, known = _as_canvases(pixels, known)
    return Sample(
        split=split,
        images=tuple(image for image, _ in kept),
        labels=np.array([classes.index(image.label or "") for image, _ in kept], dtype=np.int64),
        pixels=pixels,
        preprocess=known,
        clusters=np.arange(len(kept)),
        unreadable=tuple(unreadable),
        digests=tuple(loaded.digest for _, loaded in kept),
        sizes=tuple(loaded.size for _, loaded in kept),
    )


def with_masks(sample: Sample, masks: Mapping[str, Tensor], has_mask: Mapping[str, NDArray[np.bool_]]) -> Sample:
    """The sample with its regions' masks."""
    return replace(sample, masks=dict(masks), found=dict(has_mask))


def one_of_each(places: Ints, clusters: Ints) -> Ints:
    """The places, in order, but the first of every cluster before the second of any."""
    of_places = clusters[places]
    order = np.argsort(of_places, kind="stable")
    starts = np.flatnonzero(np.diff(of_places[order], prepend=-1))
    rank = np.empty(len(places), dtype=np.int64)
    rank[order] = np.arange(len(places)) - np.repeat(starts, np.diff(np.append(starts, len(places))))
    return np.asarray(places[np.argsort(rank, kind="stable")])


def _in_turn(groups: Sequence[Ints]) -> list[int]:
    """One of each group in turn, until all are taken."""
    longest = max(map(len, groups), default=0)
    return [int(group[step]) for step in range(longest) for group in groups if step < len(group)]


def _stacked(loaded: Sequence[Loaded]) -> Tensor:
    """Canvases as bytes (in [0, 1] where one is deeper), or inputs as floats: (M, C, H, W).

    Raises DataError for mixed shapes.
    """
    parts = [
        torch.from_numpy(np.ascontiguousarray(image.canvas.transpose(2, 0, 1)))
        if image.canvas is not None
        else (image.inputs if image.inputs is not None else torch.zeros(0)).float()
        for image in loaded
    ]
    if any(part.dtype != torch.uint8 for part in parts):
        parts = [as_share(part) for part in parts]
    if len({part.shape for part in parts}) > 1:
        raise DataError(
            "After preprocessing the images have different shapes.\n  Give one size:  --size 224", slug="mixed-sizes"
        )
    return torch.stack(parts) if parts else torch.zeros(0, 3, 1, 1)


def _as_canvases(pixels: Tensor, preprocess: Preprocess | None) -> tuple[Tensor, Preprocess | None]:
    """The pixels with what still has to be done to them: inputs in the range of a canvas become one."""
    if pixels.dtype == torch.uint8 or preprocess is None:
        return pixels, preprocess
    canvases = canvas_from_input(pixels, preprocess)
    inside = canvases.shape[1] == 3 and bool(canvases.min() >= -_SLACK) and bool(canvases.max() <= 1 + _SLACK)
    return (canvases.clamp(0, 1), preprocess) if inside else (pixels, None)


def with_clusters(samples: Mapping[str, Sample]) -> dict[str, Sample]:
    """The samples with near-duplicates and named clusters as one, also those that one split shares with another."""
    small = [
        functional.adaptive_avg_pool2d(part.float().mean(dim=1)[:, None], _HASH_SIDE)[:, 0].double().numpy()
        for sample in samples.values()
        for part in sample.pixels.split(64)
    ]
    names = [image.cluster for sample in samples.values() for image in sample.images]
    clusters, start, clustered = joined_groups(near_duplicates(np.concatenate(small)), names), 0, {}
    for split, sample in samples.items():
        clustered[split] = replace(sample, clusters=clusters[start : start + len(sample)])
        start += len(sample)
    return clustered


def overlap_of(sample: Sample, region: str, other: str) -> float:
    """The share of the smaller region's area that lies in the other, 0 to 1, over the images."""
    shared, first, second = 0.0, 0.0, 0.0
    for places in torch.arange(len(sample)).split(CHUNK):
        a, b = sample.masks_at(region, places), sample.masks_at(other, places)
        a, b = (mask.expand(len(places), -1, -1) for mask in (a, b))
        shared += float(torch.minimum(a, b).sum())
        first += float(a.sum())
        second += float(b.sum())
    return shared / max(min(first, second), 1e-9)


def mean_mask(sample: Sample, region: str) -> Tensor:
    """The mean of a region's masks over the images (H, W)."""
    masks = sample.masks[region]
    total = sum(
        (sample.masks_at(region, places).sum(dim=0) for places in torch.arange(len(masks)).split(CHUNK)),
        torch.zeros(masks.shape[1:]),
    )
    return total / len(masks)

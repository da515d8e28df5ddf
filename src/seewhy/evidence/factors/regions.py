"""Regions: the parts of a picture that are asked about, as soft masks on the canvas for every image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.data.masks import Levels, Reader, on_canvas
from seewhy.data.networks.classifier import Opaque
from seewhy.data.pictures.decode import UnreadableError
from seewhy.data.reader import Loaded, load_image
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError
from seewhy.evidence.factors.zones import Zone
from seewhy.geometry import Geometry, resized_size
from seewhy.records import Image, Preprocess, Progress


@dataclass(frozen=True, eq=False)
class RegionCanvas:
    """One image as regions are drawn on it; what is drawn is kept, so that a complement does not draw it again.

    `image` and `loaded` are None where no region needs them.
    """

    geometry: Geometry
    interpolation: str = "bilinear"
    image: Image | None = None
    loaded: Loaded | None = None
    _drawn: dict[Region, Levels | UnreadableError] = field(default_factory=dict, init=False)

    def levels(self, region: Region) -> Levels:
        """The region's levels on the canvas (H, W), 0 to 255. Raises UnreadableError where it has no mask here."""
        if region not in self._drawn:
            try:
                self._drawn[region] = region.draw(self)
            except UnreadableError as error:
                self._drawn[region] = error
        drawn = self._drawn[region]
        if isinstance(drawn, UnreadableError):
            raise drawn
        return drawn

    def visible(self) -> tuple[slice, slice]:
        """The rows and columns of the canvas that show the photograph: all, but for a letterbox's padding."""
        ends = zip(self.geometry.offset, resized_size(self.geometry), self.geometry.canvas, strict=True)
        rows, columns = (slice(max(0, int(start)), min(side, int(start) + have)) for start, have, side in ends)
        return rows, columns


@dataclass(frozen=True, eq=False)
class Region:
    """A part of the picture by name, where its masks come from in words, and the function that draws them.

    `fixed`: the same part of every picture, so that without a letterbox all images have the same mask. `is_cut`: it had
    pixels of the core, which were taken out.
    """

    name: str
    source: str
    fixed: bool
    draw: Callable[[RegionCanvas], Levels]
    is_cut: bool = False


@dataclass(frozen=True, eq=False)
class RegionMasks:
    """The masks of one region for N images on the canvas.

    `levels` (N, H, W) is uint8, 0 outside to 255 inside, one mask expanded where all are the same; `found` (N,) is
    False where an image has no mask (its levels are 0), `reasons` says why, else None.
    """

    name: str
    levels: Tensor
    found: NDArray[np.bool_]
    reasons: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def masks(self) -> Tensor:
        """The masks (N, H, W), float32 in [0, 1]."""
        return self.levels.float() / 255

    def rows(self, places: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """The masks (len(places), H, W) of some images, float32 in [0, 1]."""
        return self.levels[torch.as_tensor(places, dtype=torch.int64)].float() / 255


def zone_region(name: str, zone: Zone) -> Region:
    """The region of a geometric zone, laid on the part of the canvas that shows the photograph."""

    def draw(view: RegionCanvas) -> Levels:
        rows, columns = view.visible()
        levels = np.zeros(view.geometry.canvas, np.uint8)
        levels[rows, columns] = zone((rows.stop - rows.start, columns.stop - columns.start))
        return levels

    return Region(name, "geometric zone", fixed=True, draw=draw)


def mask_region(name: str, source: str, read: Reader) -> Region:
    """The region whose masks are read or made for each photograph."""

    def draw(view: RegionCanvas) -> Levels:
        if view.image is None or view.loaded is None:
            raise UnreadableError("no photograph was read")
        return on_canvas(read(view.image, view.loaded), view.geometry, view.interpolation)

    return Region(name, source, fixed=False, draw=draw)


def complement(name: str, region: Region) -> Region:
    """The region of all that lies outside another one; a letterbox's padding is in neither."""

    def draw(view: RegionCanvas) -> Levels:
        levels = np.zeros(view.geometry.canvas, np.uint8)
        levels[view.visible()] = 255
        return levels - view.levels(region)

    return Region(name, f"not {region.name}", region.fixed, draw)


def read_masks(
    regions: Sequence[Region],
    table: ImageTable,
    images: Sequence[Image],
    canvas: tuple[int, int],
    preprocess: Preprocess | Opaque,
    *,
    progress: Progress | None = None,
) -> dict[str, RegionMasks]:
    """The masks of several regions by name; each photograph is read once, and none where all masks are the same.

    An image without a mask is a row with its reason, never an error. `progress` counts images read.
    """
    is_letterbox = isinstance(preprocess, Preprocess) and preprocess.fit == "letterbox"
    fixed = [region for region in regions if region.fixed and not is_letterbox]
    gathered = {region.name: _same_for_all(region, len(images), canvas) for region in fixed}
    drawn = [region for region in regions if region not in fixed]
    levels = {region.name: np.zeros((len(images), *canvas), np.uint8) for region in drawn}
    reasons: dict[str, list[str | None]] = {region.name: [] for region in drawn}
    for row, image in enumerate(images if drawn else ()):
        view = _view_of(table, image, canvas, preprocess)
        for region in drawn:
            reason = _drawn_into(levels[region.name][row], region, view)
            reasons[region.name].append(reason)
        if progress:
            progress(row + 1, len(images))
    for region in drawn:
        has_mask = np.array([reason is None for reason in reasons[region.name]], dtype=bool)
        stored = torch.from_numpy(levels[region.name])
        gathered[region.name] = RegionMasks(region.name, stored, has_mask, tuple(reasons[region.name]))
    return {region.name: gathered[region.name] for region in regions}


def _same_for_all(region: Region, n_images: int, canvas: tuple[int, int]) -> RegionMasks:
    levels = RegionCanvas(Geometry(canvas, canvas, (1.0, 1.0), (0.0, 0.0))).levels(region)
    expanded = torch.from_numpy(levels).expand(n_images, *canvas)
    return RegionMasks(region.name, expanded, np.ones(n_images, dtype=bool), (None,) * n_images)


def _view_of(
    table: ImageTable, image: Image, canvas: tuple[int, int], preprocess: Preprocess | Opaque
) -> RegionCanvas | UnreadableError:
    try:
        loaded = load_image(table, image, preprocess)
    except UnreadableError as error:
        return UnreadableError(f"the image cannot be read: {error}")
    except DataError as error:
        return UnreadableError(f"the image cannot be preprocessed: {error}")
    if loaded.geometry.canvas != canvas:
        size, asked = (f"{width} x {height}" for height, width in (loaded.geometry.canvas, canvas))
        return UnreadableError(f"its canvas is {size} pixels, where {asked} is asked for")
    interpolation = preprocess.interpolation if isinstance(preprocess, Preprocess) else "bilinear"
    return RegionCanvas(loaded.geometry, interpolation, image, loaded)


def _drawn_into(row: Levels, region: Region, view: RegionCanvas | UnreadableError) -> str | None:
    """None once the region's levels are in `row`; else the reason why there are none."""
    if isinstance(view, UnreadableError):
        return str(view)
    try:
        row[:] = view.levels(region)
    except UnreadableError as error:
        return str(error)
    return None

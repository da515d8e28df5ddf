"""Clips and 3-D scans explained: maps (T, H, W), shown slice by slice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from seewhy.cam.methods.catalogue import METHODS
from seewhy.data.pictures.volumes import pictures_of
from seewhy.data.reader import load_image
from seewhy.errors import OptionError, counted, listed
from seewhy.explanation.result import Explanation
from seewhy.explanation.shard import Maps
from seewhy.maps import CROWD, MOST_CELLS, is_cut, positive
from seewhy.records import MapKey
from seewhy.render.color import heat
from seewhy.render.overlay import Pixels, overlay, side_by_side
from seewhy.render.sheet import Tile, page
from seewhy.run.methods import MethodName, named_methods

SHOWN, HIGH = 8, 96  # slices of a volume in a picture, and the rows of pixels that each has at least
_BY_WEIGHTS = ("shapley-cam", "smooth-grad-cam++", "ablation-cam", "random")
VOLUME_METHODS = tuple(
    name
    for name, method in METHODS.items()
    if method.kind in ("activation", "gradient", "head", "places") or name in _BY_WEIGHTS
)


def check_volumes(method: MethodName | Sequence[MethodName], **options: Any) -> None:
    """Raise OptionError for a method or an option that volumes do not have; `options` are those that were given."""
    names, own_methods = named_methods(method)
    for name in names:
        if name != "auto" and (name in own_methods or name not in VOLUME_METHODS):
            raise OptionError(
                f"{name} has no maps of volumes (N, C, T, H, W): it masks or maps pictures, or joins grids of them.\n"
                f"  Methods that have:  {listed(VOLUME_METHODS, 30)}",
                slug="volumes",
            )
    if given := [option for option, value in options.items() if value]:
        names_given = f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'}"
        raise OptionError(
            f"{names_given} of images, and these are volumes (N, C, T, H, W): leave that out.\n"
            "  Their maps are kept in memory:  numpy.savez('maps.npz', maps=explanation.maps)",
            slug="volumes",
        )


class VolumeExplanation(Explanation):
    """What `explain` gives of volumes: as of images, with maps (N, T, H, W) and slices side by side as overlays.

    In memory alone: there is no run folder of volumes.
    """

    def save(self, folder: str | Path) -> Path:
        """Raises OptionError: a run folder holds images."""
        raise OptionError(
            f"A run folder holds images, and these are volumes: nothing was written to {folder}.\n"
            "  Keep the maps:  numpy.savez('maps.npz', maps=explanation.maps)   The picture:  "
            "explanation.show().save('sheet.png')",
            slug="volumes",
        )

    def sheet_of(self, rows: Sequence[int], most: int = 20) -> PIL.Image.Image:
        """At most `most` of some volumes, evenly chosen, one below the other, with the slices of each side by side."""
        few = min(most, len(rows))
        shown = [rows[round(step * (len(rows) - 1) / max(1, few - 1))] for step in range(few)]
        tiles = [self._volume_tile(row, key) for row in shown for key in self._drawn_keys(row)]
        some = f"{few} of " if few < len(self) else ""
        cut = any(is_cut(self.plan.grid(key)) for key in self.keys)
        return page(
            f"{self.method} of {', '.join(self.layers)} for {self.score}",
            f"{some}{counted(len(self), 'volume')}; slices left to right, every map by its own values (max)",
            tiles,
            heat(),
            ("0", "each map's strongest 4 %" if cut else "each map's own maximum"),
            panels=min(SHOWN, self.plan.table.items[0].shape[1]),
            columns=1,
        )

    def is_smoothed(self, key: MapKey) -> bool:
        """No map of a volume is: its slices are drawn as they are."""
        return False

    def _drawn_keys(self, row: int) -> list[MapKey]:
        return list(self.keys) if self.outcomes[row].error is None else list(self.keys)[:1]

    def _volume_tile(self, row: int, key: MapKey) -> Tile:
        image = self[row]
        if image.error:
            return Tile(None, image.caption())
        strip, places = self._strip(row, key)
        name = f"{'/'.join(part for part in key if len(self.keys) > 1)} " if len(self.keys) > 1 else ""
        peak = f"{name}max {self._stats[key][row].maximum:.2g}; slices {', '.join(map(str, places))}"
        return Tile(PIL.Image.fromarray(strip), (*image.head(), peak))

    def overlay_of(self, row: int) -> PIL.Image.Image:
        """Slices of a volume under its maps, a row for each. Raises DataError for a volume without a result."""
        if self.outcomes[row].error:
            return super().overlay_of(row)  # which says why there is none
        strips = [self._strip(row, key)[0] for key in self.keys]
        return PIL.Image.fromarray(np.concatenate(strips, axis=0))

    def _strip(self, row: int, key: MapKey) -> tuple[Pixels, list[int]]:
        """Slices of one volume under one map, left to right, and which they are."""
        pictures = enlarged(self._volume(row))
        masks = drawn_slices(self._shown({key: self._held_maps(key)[row : row + 1]})[key][0], len(pictures))
        places = shown_slices(masks)
        if self._stats[key][row].empty:
            return side_by_side([pictures[place] for place in places]), places
        size = (pictures.shape[1], pictures.shape[2])
        laid = functional.interpolate(masks[places][:, None], size=size, mode="bilinear")[:, 0].clamp(0, 1)
        return side_by_side([overlay(pictures[p], mask) for p, mask in zip(places, laid.numpy(), strict=True)]), places

    def _volume(self, row: int) -> NDArray[np.uint8]:
        """The slices of a volume as pictures (T, H, W, 3)."""
        loaded = load_image(self.plan.table, self.plan.table.images[row], self.plan.classifier.preprocess)
        assert loaded.inputs is not None
        return pictures_of(loaded.inputs, loaded.preprocess)

    def _held_maps(self, key: MapKey) -> Maps:
        assert self._held is not None
        return self._held[key]

    def _shown(self, raw: Mapping[MapKey, Maps]) -> dict[MapKey, Maps]:
        slices = {layer.asked: layer.grid.slices for layer in self.plan.layers if layer.grid}
        return {
            key: maps.reshape(len(maps), slices[key.layer], -1, maps.shape[-1])
            for key, maps in super()._shown(raw).items()
        }


def drawn_slices(raw: Maps, count: int) -> Tensor:
    """A raw map (t, h, w) as it is drawn on `count` slices: (count, h', w') in [0, 1], one scale for all of them.

    Up to its peak; of more than 64 cells up to their 96th percentile, as of a picture's map.
    """
    kept = positive(torch.from_numpy(np.ascontiguousarray(raw)))
    kept = functional.adaptive_avg_pool2d(kept, (min(MOST_CELLS, kept.shape[1]), min(MOST_CELLS, kept.shape[2])))
    top = kept.max()
    if is_cut((raw.shape[0] * raw.shape[1], raw.shape[2])):
        high = kept.flatten().kthvalue(round(CROWD * (kept.numel() - 1)) + 1).values
        top = high if high > 0 else top
    size = (count, *kept.shape[1:])
    slices = functional.interpolate(kept[None, None], size=size, mode="trilinear")[0, 0]
    return (slices / top.clamp(min=torch.finfo(slices.dtype).tiny)).clamp(0, 1)


def enlarged(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures (T, H, W, 3), each pixel as often as makes them at least `HIGH` pixels high."""
    times = -(-HIGH // pictures.shape[1])
    return pictures.repeat(times, axis=1).repeat(times, axis=2)


def shown_slices(masks: Tensor) -> list[int]:
    """Which slices (T, h, w) a picture shows: evenly chosen, the nearest of them moved to where most is lit."""
    count = min(SHOWN, len(masks))
    places = [round(step * (len(masks) - 1) / max(1, count - 1)) for step in range(count)]
    peak = int(masks.sum(dim=(1, 2)).argmax())
    nearest = min(range(count), key=lambda place: abs(places[place] - peak))
    places[nearest] = peak
    return sorted(places)

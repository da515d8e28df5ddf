"""Is a map bright where the score depends on the picture? Its places are swapped with those of other images."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from seewhy.estimates import Estimate, Floats
from seewhy.evidence.checks.swaps import Swaps
from seewhy.evidence.inference.differences import mean_with_interval

N_RANDOM = 20  # random maps an image
RIVALS = ("brightness", "the centre")  # of the pictures that know nothing of the classifier
DARKNESS = "darkness"
CHANCE = "chance"
Word = Literal["better", "no better", "cannot tell"]
_NOTHING = 1e-5  # of the score's size: what rounding alone can move
_TIE = 1e-3  # of an image's range: cells nearer than this share their rank


@dataclass(frozen=True)
class Agreement:
    """Mean rank correlations (-1..1) with the swaps' effects over the images, each with its 95 % interval.

    `of_map` is the map's, `baselines` those of pictures that know nothing of the classifier, `better_by` the paired
    differences of the map and each of them; `repeated` is what the effects of one half of the donors have with those of
    the other half: where it is low, no map can agree.
    """

    of_map: Estimate
    repeated: Estimate
    baselines: dict[str, Estimate]
    better_by: dict[str, Estimate]

    @property
    def least(self) -> float:
        """The lowest end of the intervals of the paired differences; NaN where there are none."""
        return float(np.min([by.low for by in self.better_by.values()]))

    @property
    def rival(self) -> str:
        """The picture that the map beats least."""
        return min(self.better_by, key=lambda name: np.nan_to_num(self.better_by[name].value))

    def verdict(self, little: float) -> Word:
        """Whether the map beats every picture that knows nothing of the classifier.

        "better" where the intervals of all paired differences lie above 0; "no better" where some interval ends below
        `little` though the effects repeat with other donors; anything else cannot be told.
        """
        if self.least > 0:
            return "better"
        is_beaten = min(by.high for by in self.better_by.values()) < little
        return "no better" if self.repeated.low > 0 and is_beaten else "cannot tell"


@dataclass(frozen=True)
class Faithfulness:
    """How a layer's maps agree with the effect of swapping each cell of the picture with that of other images.

    `amount` compares the map's positive part with how far a swap moves the score, whichever way; `direction` the signed
    map with how far it lowers the score. `cells` are the rows and columns of the grid, `n_donors` the donors an image.
    """

    n_images: int
    cells: tuple[int, int]
    n_donors: int
    amount: Agreement
    direction: Agreement

    @property
    def best(self) -> Agreement:
        """The agreement that speaks most for the map."""
        return max((self.amount, self.direction), key=lambda agreement: np.nan_to_num(agreement.least, nan=-math.inf))

    def verdict(self, little: float) -> Word:
        """Better where the map is so in amount or in direction, no better where it is so in both."""
        words = {self.amount.verdict(little), self.direction.verdict(little)}
        return "better" if "better" in words else "no better" if words == {"no better"} else "cannot tell"


def trivial_pictures(inputs: Tensor) -> dict[str, Tensor]:
    """What a map could look like without the classifier: brightness, edges and a blob in the centre (N, H, W)."""
    return {"brightness": _brightness(inputs), "edges": _edges(inputs), "the centre": _centre(inputs)}


def faithfulness_of(
    swaps: Swaps, maps: NDArray[np.float64], pictures: Mapping[str, NDArray[np.float64]], *, seed: int = 0
) -> Faithfulness:
    """How maps (N, h, w) on a layer's grid agree with the swaps, beside pictures (N, H, W) and chance.

    `pictures` are brightness, whose negative is a rival too, and any others. Chance is smooth random maps.
    Images whose score no swap moves tell nothing and are left out; a map that is the same everywhere agrees 0.
    `n_images` counts those that are left.
    """
    finite_maps = np.nan_to_num(maps[swaps.images], posinf=0, neginf=0)
    effects, moved = swaps.changes.mean(axis=1), moved_images(swaps)
    plain = {name: cell_means(picture[swaps.images], swaps.edges) for name, picture in pictures.items()}
    plain[DARKNESS] = -plain["brightness"]
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((N_RANDOM, *effects.shape))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 1, 1), mode="wrap")

    def agreement(seen: Floats, effect: Callable[[Floats], Floats]) -> Agreement:
        kept = effect(effects)[moved]
        halves = [effect(part.mean(axis=1))[moved] for part in np.array_split(swaps.changes, 2, axis=1) if part.size]
        rivals = {name: alike(rival[moved], kept) for name, rival in plain.items()}
        rivals[CHANCE] = np.mean([alike(random_map[moved], kept) for random_map in smooth], axis=0)
        of_map = alike(seen[moved], kept)
        return Agreement(
            of_map=mean_with_interval(of_map),
            repeated=mean_with_interval(alike(*halves) if len(halves) > 1 else of_map[:0]),
            baselines={name: mean_with_interval(of_rival) for name, of_rival in rivals.items()},
            better_by={name: mean_with_interval(of_map - of_rival) for name, of_rival in rivals.items()},
        )

    return Faithfulness(
        n_images=int(moved.sum()),
        cells=(effects.shape[1], effects.shape[2]),
        n_donors=swaps.donors.shape[1],
        amount=agreement(cell_means(finite_maps.clip(min=0), swaps.edges), np.abs),
        direction=agreement(cell_means(finite_maps, swaps.edges), np.negative),
    )


def moved_images(swaps: Swaps) -> NDArray[np.bool_]:
    """The images (n,) whose score some swap moves, by more than rounding does."""
    effects = swaps.changes.mean(axis=1)
    spread = np.ptp(effects.reshape(len(effects), -1), axis=1)
    return np.asarray(np.isfinite(effects).all(axis=(1, 2)) & (spread > _NOTHING * np.abs(swaps.before)))


def still_cells(swaps: Swaps, images: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The cells (rows, columns) whose swap moves the score of none of the images (n,), whichever donor gives."""
    moves = np.abs(swaps.changes) > _NOTHING * np.abs(swaps.before)[:, None, None, None]
    return np.asarray(~moves[images].any(axis=(0, 1)))


def alike(cells: Floats, other: Floats) -> Floats:
    """The rank correlation (N,) of the cells of each pair (N, rows, columns); 0 where one of both is even.

    Spearman's, but for cells nearer to each other than a thousandth of their range: they share their rank by degrees,
    so that what rounding does to near ties cannot be seen.
    """
    first, second = _soft_ranks(cells), _soft_ranks(other)
    size = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    product = (first * second).sum(axis=1)
    return np.asarray(np.divide(product, size, out=np.zeros_like(product), where=size > 0))


def cell_means(pictures: Floats, edges: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Floats:
    """The mean of pictures (N, h, w) of any grid over each cell (N, rows, columns), by the area that they share."""
    down, across = (_shares(edge, size) for edge, size in zip(edges, pictures.shape[1:], strict=True))
    return np.asarray(np.einsum("rh,nhw,cw->nrc", down, pictures, across))


def _soft_ranks(values: Floats) -> Floats:
    """The ranks (N, M) of the cells around their mean, from (N, rows, columns)."""
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    gaps = flat[:, :, None] - flat[:, None]
    tie = _TIE * np.ptp(flat, axis=1)[:, None, None] if len(flat) else np.ones((0, 1, 1))
    return np.asarray(np.clip(gaps / np.where(tie > 0, tie, 1.0), -1, 1).sum(axis=2) / 2)


def _shares(edges: NDArray[np.int64], size: int) -> Floats:
    """By cell and row of a grid of `size` rows the share (cells, size) of the cell that lies in that row."""
    borders = edges / edges[-1]
    row_borders = np.linspace(0, 1, size + 1)
    low, high = np.maximum(borders[:-1, None], row_borders[:-1]), np.minimum(borders[1:, None], row_borders[1:])
    return np.asarray((high - low).clip(min=0) / np.diff(borders)[:, None])


def _brightness(inputs: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114]) if inputs.shape[1] == 3 else torch.ones(inputs.shape[1])
    scale = inputs.std(dim=(0, 2, 3)).clamp(min=1e-12)  # undo what a std did to the channels
    return torch.einsum("nchw,c->nhw", inputs.float() / scale[:, None, None], weights / weights.sum())


def _edges(inputs: Tensor) -> Tensor:
    grey = functional.pad(_brightness(inputs)[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    across, down = grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2], grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]
    return torch.hypot(across, down)


def _centre(inputs: Tensor) -> Tensor:
    y, x = (torch.linspace(-1, 1, side) for side in inputs.shape[2:])
    return torch.exp(-2 * (y[:, None] ** 2 + x[None] ** 2)).expand(len(inputs), -1, -1)

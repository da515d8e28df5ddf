"""What exchanging places between images does to the score, cell by cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from seewhy.cam.model import forward
from seewhy.cam.scores.targets import two_sided
from seewhy.estimates import Floats

N_IMAGES = 30  # that are edited; the others only give content


N_STEPS = 16  # parts of the work that are reported one by one


BUDGET = 4e11  # floating-point operations: some 15 seconds of one core


PLANS = tuple((side, donors) for donors, sides in ((4, (7, 6, 5, 4)), (2, (4,))) for side in sides)  # dearest first


@dataclass(frozen=True)
class Swaps:
    """What the swaps did to the score, cell by cell.

    `images` (n,) are the rows of the inputs that were edited, `donors` (n, D) those that gave the content, `before`
    (n,) the scores as found, `changes` (n, D, rows, columns) the score after minus before. `edges` are the cells'
    borders in pixels from 0 to the input's height, and to its width.
    """

    images: NDArray[np.int64]
    donors: NDArray[np.int64]
    before: Floats
    changes: Floats
    edges: tuple[NDArray[np.int64], NDArray[np.int64]]


def affordable(operations: float, n_images: int = N_IMAGES) -> tuple[int, int]:
    """Cells a side and donors an image for a network that takes so many floating-point operations for one image.

    The finest grid that keeps within the budget: 7 x 7 down to 4 x 4 with 4 donors, then 4 x 4 with 2. It is decided by
    the operations and not by the clock, so that the same command gives the same numbers.
    """
    passes = BUDGET / max(operations, 1.0)
    return next((plan for plan in PLANS if plan[0] ** 2 * plan[1] * n_images <= passes), PLANS[-1])


def operations_of(model: nn.Module, inputs: Tensor) -> int:
    """The floating-point operations of one forward pass of inputs (N, C, H, W), leaving the model as found."""
    with FlopCounterMode(display=False) as counter:
        forward(model, inputs)
    return int(counter.get_total_flops())


def swap_cells(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    groups: Sequence[object],
    *,
    seed: int = 0,
    batch_size: int = 16,
    step: Callable[[], None] = lambda: None,
) -> Swaps | None:
    """The effect on each image's own score of swapping each cell of it with that of its donors; None for one image.

    `inputs` (N, C, H, W) are the network's own, so that any preprocessing will do; `targets` (N,) the explained class
    of each; `groups` (N,) the class that each image belongs to: half of the donors come from another one, as far as
    there are. `step` is called `N_STEPS` times. The model is left as found.
    """
    if len(inputs) < 2:
        for _ in range(N_STEPS):
            step()
        return None
    images = np.unique(np.linspace(0, len(inputs) - 1, min(N_IMAGES, len(inputs))).round().astype(np.int64))
    side, n_donors = affordable(operations_of(model, inputs[:1]), len(images))
    edges = (_edges_of(inputs.shape[2], side), _edges_of(inputs.shape[3], side))
    rng = np.random.default_rng(seed)
    donors = np.array([choose_donors(groups, int(image), n_donors, rng) for image in images])
    masks = _masks_of(edges)
    shape = (*donors.shape, len(masks))
    trials = np.stack(np.unravel_index(np.arange(math.prod(shape)), shape), axis=1)  # image, donor, cell

    def scores(rows: NDArray[np.int64], changed: Tensor) -> Floats:
        logits = two_sided(forward(model, changed)).cpu()
        classes = targets.cpu()[torch.from_numpy(images[rows])]
        values = logits.gather(1, classes[:, None])[:, 0].double()
        return np.asarray(torch.where(values.isfinite(), values, math.nan).numpy())

    everyone = np.arange(len(images))
    before = [scores(rows, inputs[images[rows]]) for rows in _batches(everyone, batch_size)]
    after = []
    for part in np.array_split(trials, N_STEPS):
        for batch in _batches(part, batch_size):
            row, place, cell = batch.T
            content = inputs[donors[row, place]]
            after.append(scores(row, torch.where(masks[cell][:, None].to(inputs.device), content, inputs[images[row]])))
        step()
    known = np.concatenate(before)
    changes = np.concatenate(after).reshape(shape) - known[:, None, None]
    return Swaps(images, donors, known, changes.reshape(*donors.shape, len(edges[0]) - 1, len(edges[1]) - 1), edges)


def choose_donors(groups: Sequence[object], image: int, n_donors: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Other images (n,) that give their content to `image`: from another group and from its own, taking turns.

    Where one of the two has too few, the other one fills up; there are as many as there are other images at most.
    """
    others = np.array([row for row in rng.permutation(len(groups)) if row != image])
    is_own = np.array([groups[row] == groups[image] for row in others])
    turn = np.empty(len(others))
    turn[~is_own] = np.arange((~is_own).sum())
    turn[is_own] = np.arange(is_own.sum()) + 0.5
    return np.asarray(others[np.argsort(turn, kind="stable")][:n_donors], dtype=np.int64)


def _edges_of(length: int, cells: int) -> NDArray[np.int64]:
    """The borders of so many cells (at most one a pixel) as even as whole pixels allow."""
    return np.linspace(0, length, min(cells, length) + 1).round().astype(np.int64)


def _masks_of(edges: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Tensor:
    """Which pixels belong to each cell (rows x columns, H, W)."""
    height, width = int(edges[0][-1]), int(edges[1][-1])
    masks = torch.zeros(len(edges[0]) - 1, len(edges[1]) - 1, height, width, dtype=torch.bool)
    for row in range(masks.shape[0]):
        for column in range(masks.shape[1]):
            area = masks[row, column, edges[0][row] : edges[0][row + 1]]
            area[:, edges[1][column] : edges[1][column + 1]] = True
    return masks.flatten(0, 1)


def _batches(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]

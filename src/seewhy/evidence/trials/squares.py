"""Where a picture argues most for a class, outside of its core or in it: a small square, elsewhere in each.

A mark that moves from picture to picture has no place of its own, so that no search for places finds it. In each
picture, its core painted over, the square is taken by the network itself: by integrated gradients (Sundararajan et al.
2017, equation 1) between the blurred picture and the picture, added up over every square, and of the best few by what
is lost where one is painted over. All pictures are asked about one class, whatever their own is, and outside of the
core none shows its core: where nothing there tells the label, the squares of the classes are alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from seewhy.cam.model import as_input, run, untouched
from seewhy.cam.scores.outputs import read_output, two_sided
from seewhy.errors import ModelError
from seewhy.evidence.factors.edits import filled, grown, inpainted, smooth_of
from seewhy.evidence.trials.sample import CHUNK, Sample
from seewhy.evidence.trials.scorer import Scorer
from seewhy.run.machine import out_of_memory

SIDES = (1 / 8, 3 / 16, 1 / 4)  # of the shorter side
STEPS = 4  # pictures between the blurred one and the picture, whose gradients are added up
TRIED = 4  # of the squares of a picture, that are painted over
PASSES = 3  # forward passes that a gradient costs, about
FREE = 0.5  # of a square, that must lie outside of the core, or in it
GRAPH = 4  # times the memory of a forward pass, that a gradient takes, about
APART = 0.5  # of a square's side, that those that are tried lie apart

Corners = NDArray[np.int64]


@dataclass(frozen=True)
class Squares:
    """The squares of `side` pixels that argue most for a class: by image id the corner at the top left, or None.

    They lie outside of the core drawn larger by `grow_px` pixels, or `inside` of it, by half at least; an image in
    which none does has none.
    """

    side: int
    grow_px: int
    label: int
    name: str
    share: float
    corners: Mapping[str, tuple[int, int] | None]
    inside: bool = False

    @property
    def words(self) -> str:
        """What it is: "a square of 12 % of the side, where each picture argues most for fake"."""
        where = "where each core argues most" if self.inside else "where each picture argues most"
        return f"a square of {100 * self.share:.0f} % of the side, {where} for {self.name}"

    def corners_in(self, sample: Sample) -> Corners:
        """The corners (M, 2) in a sample's images; -1 where there is none."""
        return np.array([self.corners.get(image.id) or (-1, -1) for image in sample.images], dtype=np.int64)


def trials_of_squares(n_images: int, n_sides: int) -> int:
    """How many forward passes it takes to look for the squares of so many images, about."""
    return n_images * (STEPS * PASSES + n_sides * (1 + TRIED))


def boxes_of(corners: Tensor, side: int, size: tuple[int, int]) -> Tensor:
    """The masks (N, H, W), 1 or 0, of squares by their corners at the top left (N, 2); none below 0."""
    top, left = corners.to(torch.int64).T[:, :, None]
    rows, columns = (torch.arange(length, device=corners.device)[None] for length in size)
    down = (rows >= top) & (rows < top + side) & (top >= 0)
    across = (columns >= left) & (columns < left + side) & (left >= 0)
    boxes: Tensor = (down[:, :, None] & across[:, None]).float()
    return boxes


def free_at(sample: Sample, core: str, places: Tensor, grow_px: int, *, inside: bool) -> Tensor:
    """Where squares may lie in some images (n or 1, H, W): outside of the core that is drawn larger, or in the core."""
    cores = sample.masks_at(core, places)
    return cores if inside else 1 - grown(cores, grow_px)


def has_room(sample: Sample, core: str, side: int, grow_px: int, *, inside: bool) -> NDArray[np.bool_]:
    """The images (M,) in which half of a square lies where squares may lie."""
    room = sample.found.get(core, np.ones(len(sample), dtype=bool)).copy()
    for places in torch.arange(len(sample)).split(CHUNK):
        free = free_at(sample, core, places, grow_px, inside=inside)
        is_free = (_added_up(free, side) >= FREE * side * side).flatten(1).any(dim=1).cpu().numpy()
        room[places.numpy()] &= is_free
    return room


def squares_in(
    scorer: Scorer, core: str, label: int, sides: Sequence[int], grow_px: int, *, inside: bool
) -> dict[int, Corners]:
    """By side the corners (M, 2) of the square that argues most for a class, in each image of the scorer's sample.

    -1 where none lies outside of the core drawn larger by `grow_px` pixels, or `inside` of it, by half at least, and of
    images on which the network fails. Raises its error where it fails on all, ModelError where it gives no gradient.
    """
    sample, failed = scorer.sample, list[Exception]()
    rows = np.flatnonzero(sample.found.get(core, np.ones(len(sample), dtype=bool)))
    corners = {side: np.full((len(sample), 2), -1, dtype=np.int64) for side in sides}
    waiting = [places for places in torch.from_numpy(rows).split(max(1, scorer.batch_size // GRAPH)) if len(places)]
    with untouched(scorer.model):
        while waiting:
            places = waiting.pop()
            content = sample.canvases(places)
            content = content if inside else filled(content, 1 - sample.masks_at(core, places))
            free = free_at(sample, core, places, grow_px, inside=inside).expand(len(places), -1, -1)
            try:
                worth = worth_of(scorer, content, label)
                for side in sides:
                    corners[side][places.numpy()] = _best(scorer, content, free, worth, label, side)
            except Exception as error:
                if (full := out_of_memory(error, len(places))) is not None:
                    raise full from error
                failed += [error] if len(places) == 1 else []
                waiting += places.split(1) if len(places) > 1 else []
    if failed and len(failed) == len(rows):
        raise failed[0]
    return corners


def worth_of(scorer: Scorer, content: Tensor, label: int) -> Tensor:
    """What each pixel of the canvases (N, 3, H, W) adds to a class's margin, against the blurred picture: (N, H, W)."""
    smooth = smooth_of(content, torch.ones_like(content[:, 0]))
    first, last = (as_input(scorer.model, scorer.sample.inputs(each.clone())) for each in (smooth, content))
    with torch.inference_mode(False), torch.enable_grad():
        total = torch.zeros_like(last)
        for step in range(STEPS):
            leaf = torch.lerp(first, last, (step + 0.5) / STEPS).requires_grad_()
            margins = _margins(read_output(run(scorer.model, leaf), len(leaf), "classification").logits, label)
            if not margins.requires_grad:
                raise ModelError("no gradient reaches the network's input", slug="no-gradient")
            total += torch.autograd.grad(margins.sum(), leaf)[0]
    return ((last - first) * total / STEPS).float().sum(dim=1).detach()


def _margins(logits: Tensor, label: int) -> Tensor:
    """A class's logit over those of all others together (N,)."""
    if logits.shape[1] == 1:
        logits = two_sided(logits)
    others = [column for column in range(logits.shape[1]) if column != label]
    return logits[:, label] - logits[:, others].logsumexp(dim=1)


def _best(scorer: Scorer, content: Tensor, free: Tensor, worth: Tensor, label: int, side: int) -> Corners:
    """The corners (N, 2) of the squares that cost most of the margin where painted over, of the few worth most."""
    height, width = content.shape[2:]
    if side > min(height, width):
        return np.full((len(content), 2), -1, dtype=np.int64)
    left = torch.where(_added_up(free, side) >= FREE * side * side, _added_up(worth * free, side), -torch.inf)
    before = _margins(scorer.logits_of(content.clone()), label)
    best = torch.full((len(content),), -torch.inf, dtype=before.dtype)
    corners = torch.full((len(content), 2), -1, dtype=torch.int64)
    rows, columns = (torch.arange(length) for length in left.shape[1:])
    for _ in range(TRIED):
        flat = left.flatten(1).argmax(dim=1).cpu()
        tried = torch.stack([flat // left.shape[2], flat % left.shape[2]], dim=1)
        known = left.flatten(1).amax(dim=1).isfinite().cpu()
        if not known.any():
            break
        masks = boxes_of(tried, side, (height, width)).to(content) * free
        lost = before - _margins(scorer.logits_of(inpainted(content, masks)), label)
        better = known & (lost > best)
        best, corners = torch.where(better, lost, best), torch.where(better[:, None], tried, corners)
        near = ((rows - tried[:, :1]).abs() < APART * side)[:, :, None] & (
            (columns - tried[:, 1:]).abs() < APART * side
        )[:, None]
        left = left.masked_fill(near.to(left.device), -torch.inf)
    return corners.numpy()


def _added_up(values: Tensor, side: int) -> Tensor:
    """The sum over every square (N, H - side + 1, W - side + 1)."""
    rows = functional.avg_pool2d(values[:, None].float(), (side, 1), 1)
    return functional.avg_pool2d(rows, (1, side), 1)[:, 0] * side * side

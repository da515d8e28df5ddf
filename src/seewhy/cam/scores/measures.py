"""The formulas of the scores: one number per image from outputs and from what was fixed for each image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.cam.scores.outputs import Detections, probabilities, two_sided
from seewhy.records import Task


def logit(logits: Tensor, index: Tensor) -> Tensor:
    """The logit (N,) of each image's class, of one logit plus or minus it."""
    return two_sided(logits).gather(1, index[:, None])[:, 0]


def margin(logits: Tensor, index: Tensor) -> Tensor:
    """The logit of each image's class minus the largest other one (N,): above 0 where the class is decided for."""
    both, column = _rivals_in(logits), index[:, None]
    others = both.scatter(1, column, float("-inf"))
    return both.gather(1, column)[:, 0] - others.amax(dim=1)


def contrast(logits: Tensor, first: int, second: int) -> Tensor:
    """The logit of the first class minus that of the second (N,), of one logit plus or minus it."""
    both = _rivals_in(logits)
    return both[:, first] - both[:, second]


def probability(logits: Tensor, index: Tensor, task: Task) -> Tensor:
    """The probability (N,) of each image's class: softmax; sigmoid for multi-label logits and for one logit."""
    shares = probabilities(logits, task)
    if shares is None:
        raise ValueError(f"the task {task!r} has no probabilities")
    return shares.gather(1, index[:, None])[:, 0]


def log_probability(logits: Tensor, index: Tensor, task: Task) -> Tensor:
    """The logarithm of `probability` (N,), exact also where that rounds to 0 or 1."""
    if task == "multi-label" or logits.shape[1] == 1:
        return functional.logsigmoid(logit(logits, index))
    return logits.log_softmax(dim=1).gather(1, index[:, None])[:, 0]


def rivals(logits: Tensor, index: Tensor, count: int) -> Tensor:
    """The `count` classes (N, count) whose logits are nearest to that of each image's class, nearest first.

    Fewer where there are not as many other classes; never the class itself, also where logits are equal.
    """
    both, column = _rivals_in(logits), index[:, None]
    apart = (both - both.gather(1, column)).abs().scatter(1, column, float("inf"))
    return apart.argsort(dim=1, stable=True)[:, : min(count, both.shape[1] - 1)]


def finer(logits: Tensor, index: Tensor, against: Tensor, alpha: float) -> Tensor:
    """The logit of each image's class minus `alpha` times the mean of its rivals' logits (N,).

    The rivals `against` (N, R) weigh by their softmax among themselves. That is sum w (y_c - alpha y_d) / sum w with
    w the softmax over all classes, as in the authors' code, but does not vanish where the network is so sure of c
    that every w rounds to 0. Zhang et al. 2025, arXiv:2501.11309.
    """
    both = _rivals_in(logits)
    others = both.gather(1, against)
    return both.gather(1, index[:, None])[:, 0] - alpha * (others.softmax(dim=1) * others).sum(dim=1)


def mean_over(dense: Tensor, index: Tensor, mask: Tensor) -> Tensor:
    """The mean logit (N,) of each image's class over the pixels of its mask, by their weight; 0 where it is empty.

    Dense logits (N, K, h, w), masks (N, H, W) in [0, 1]; masks of another size are averaged over each pixel.
    """
    both = two_sided(dense)
    if mask.shape[1:] != dense.shape[2:]:
        mask = functional.interpolate(mask[:, None].to(dense.dtype), size=dense.shape[2:], mode="area")[:, 0]
    weight = mask.to(dense.dtype)
    place = index[:, None, None, None].expand(-1, 1, *dense.shape[2:])
    total = weight.sum(dim=(1, 2))
    summed = (both.gather(1, place)[:, 0] * weight).sum(dim=(1, 2))
    return summed / torch.where(total > 0, total, 1)


def cosine(embedding: Tensor, units: Tensor) -> Tensor:
    """The mean cosine similarity (N,) of each embedding (N, D) to unit vectors (M, D)."""
    return (functional.normalize(embedding, dim=1) @ units.T).mean(dim=1)


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4) as x1, y1, x2, y2; 0 where both are empty."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1] - shared
    return shared / torch.where(union > 0, union, 1)


def box_scores(detections: Detections, index: Tensor | None) -> Tensor:
    """The sum of the scores of each image's boxes (N,), of one label (N,) where an index is given."""
    totals = []
    for place, detected in enumerate(detections):
        counted = detected["scores"] if index is None else detected["scores"] * (detected["labels"] == index[place])
        totals.append(counted.sum())
    return torch.stack(totals)


def wanted_boxes(detections: Detections, boxes: Tensor, labels: Tensor, iou: float) -> Tensor:
    """How well the detections show the wanted boxes (M, 4) of labels (M,): one number per image (N,).

    For each wanted box, of the detected boxes with its label the one that overlaps it most counts with its overlap
    plus its score, if the overlap is more than `iou`; else the wanted box counts nothing.
    """
    totals = []
    for detected in detections:
        # Times 0, so that an image without a match has a gradient: 0.
        total = (detected["scores"].sum() + detected["boxes"].sum()) * 0
        overlaps = box_iou(boxes.to(detected["boxes"]), detected["boxes"])  # (M, detected)
        same = labels.to(detected["labels"].device)[:, None] == detected["labels"]
        overlaps = torch.where(same, overlaps, 0)
        for row in overlaps if overlaps.shape[1] else ():
            best = row.argmax()
            total = total + torch.where(row[best] > iou, row[best] + detected["scores"][best], 0)
        totals.append(total)
    return torch.stack(totals)


def _rivals_in(logits: Tensor) -> Tensor:
    """Logits that compete: one logit is itself the difference of its two classes."""
    return logits if logits.shape[1] > 1 else two_sided(logits / 2)

"""Which form a network's output has: told from one pass, the classes, and what the user said."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.cam.scores.form import AS_RETURNED, Form, LastCalls, Squash, leaves, spelled, squash_seen, tensor_at
from seewhy.cam.scores.outputs import LOGITS, guess_task, tensor_in
from seewhy.errors import ModelError, OptionError, listed
from seewhy.records import OutputAsked, Task

_NAMED = ("logits", "out")
_CLOSE = 1e-3  # how far rows of probabilities in half precision may be from 1
# Numbers that happen to lie between 0 and 1 are logits where a layer came last, and may be none where a bound did.
_LAYERS = ("linear", "conv1d", "conv2d", "matmul", "__matmul__", "mm", "bmm", "addmm", "einsum", "bilinear")
_BOUNDS = ("sigmoid", "softmax", "expit", "tanh", "hardsigmoid", "clamp", "clip", "exp", "relu6", "minimum", "hardtanh")


def choose_form(
    raw: Any,
    calls: LastCalls,
    n_images: int,
    task: Task | None,
    network: nn.Module,
    asked: OutputAsked,
    class_counts: Collection[int],
    others: Callable[[Sequence[str]], Tensor],
) -> tuple[Form, list[str]]:
    """The form of an output and what is said of it. Raises OptionError where it must be asked.

    Of several outputs with a row for each image the one with as many columns as there are classes is read;
    `class_counts` are the numbers that are possible. `others` gives that output for other inputs, where the numbers
    of one image could mislead.
    """
    path, said = _output(raw, n_images, task or guess_task(raw, network), asked, class_counts)
    if path is None or task in ("regression", "embedding", "detection"):
        return (AS_RETURNED if path is None else Form(path)), said
    tensor = tensor_at(raw, path)
    squash, why = _squash(tensor, calls, asked, lambda: others(path))
    if squash:
        said.append(f"The network gives probabilities ({why}): the logits behind them are read.")
    is_usual = isinstance(raw, Tensor) or (not squash and tensor_in(raw, LOGITS) is tensor)
    return Form(() if is_usual else path, squash), said


def _output(
    raw: Any, n_images: int, task: Task, asked: OutputAsked, class_counts: Collection[int]
) -> tuple[tuple[str, ...] | None, list[str]]:
    """The path of the tensor that is read, None where the task's own reader takes it; what is said of the choice."""
    there = leaves(raw)
    if asked.output is not None:
        tensor = tensor_at(raw, asked.output.split("."))
        path = next(way for way, leaf in there.items() if leaf is tensor)
        return path, [f"Of the network's {len(there)} outputs {spelled(path, tensor)} is read (--output)."]
    usual = _usual(raw)
    if task in ("detection", "regression") or usual is None:
        return None, []
    rows = {path: tensor for path, tensor in there.items() if columns(tensor, n_images)}
    fitting = [path for path, tensor in rows.items() if columns(tensor, n_images) in class_counts]
    is_clear = isinstance(raw, Tensor) or usual[-1] in _NAMED or list(rows) == [usual]
    if is_clear or (not fitting and usual not in rows):
        return (None if task == "embedding" else usual), []
    is_split = len(rows) in class_counts or len(rows) > 2  # an age beside one logit is none
    if not fitting and is_split and all(columns(tensor, n_images) == 1 for tensor in rows.values()):
        first = ".".join(next(iter(rows)))
        raise ModelError(
            f"The network gives {len(rows)} outputs of one column each: {listed(['.'.join(way) for way in rows], 4)}.\n"
            f"  Where each is a class, let forward return one tensor (N, {len(rows)}):  torch.cat(outputs, 1);  or "
            f"choose one:  --output {first}",
            slug="output-columns",
        )
    path = _of_several(rows, fitting or list(rows))
    kinds = listed([spelled(way, tensor) for way, tensor in there.items()], 6)
    other = next(".".join(way) for way in there if way != path)
    return path, [
        f"The network gives {len(there)} outputs ({kinds}): {spelled(path, rows[path])} is read.  "
        f"Another:  --output {other}"
    ]


def _of_several(rows: Mapping[tuple[str, ...], Tensor], candidates: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Of probabilities and their logits the logits; else the first."""
    pairs = ((path, other) for path in candidates for other in candidates if path != other)
    logits = (path for path, other in pairs if _are_probabilities_of(rows[other], rows[path]))
    return next(logits, candidates[0])


def _are_probabilities_of(shares: Tensor, logits: Tensor) -> bool:
    if shares.shape != logits.shape or shares.ndim < 2:
        return False
    shares, logits = shares.double(), logits.double()
    made = (logits.softmax(1), logits.sigmoid())
    return any(torch.allclose(shares, values, atol=_CLOSE) for values in made) and not torch.equal(shares, logits)


def _squash(tensor: Tensor, calls: LastCalls, asked: OutputAsked, others: Callable[[], Tensor]) -> tuple[Squash, str]:
    """What made probabilities of the logits, "" where they are logits; and how that is known."""
    if asked.form == "logits":
        return "", ""
    sums = tensor.ndim > 1 and tensor.shape[1] > 1 and _sum_to_one(tensor)
    if not sums and tensor.ndim > 1 and tensor.shape[1] > 1 and _sum_to_hundred(tensor):
        return _percent(tensor, calls, others())
    if asked.form == "probabilities":
        return ("softmax" if sums else "sigmoid"), "--output-form"
    if seen := squash_seen(tensor, calls):
        if seen == "softmax" and not sums:  # over something else than classes
            return "", ""
        return seen, f"its last step is {seen}"
    if not _are_shares(tensor):
        _refuse_changed(tensor, calls)
        return "", ""
    more = others()
    if not _are_shares(more):
        _refuse_changed(tensor, calls)
        return "", ""
    if sums:
        return ("softmax", "they add up to 1 for every image") if _sum_to_one(more) else ("", "")
    if calls.source(tensor, (*_LAYERS, *_BOUNDS)) in _LAYERS or not bool(more.any()):
        return "", ""
    raise OptionError(
        "The network's output lies between 0 and 1 for every image tried: these may be probabilities or logits, and "
        "the difference decides the predictions.\n  Say which:  --output-form probabilities  or  --output-form logits",
        slug="output-form",
    )


def _percent(tensor: Tensor, calls: LastCalls, more: Tensor) -> tuple[Squash, str]:
    """As `_squash`, of numbers that add up to 100 for the first image; `more` are those of others."""
    if _sum_to_hundred(more):
        return "softmax", "they add up to 100 for every image"
    _refuse_changed(tensor, calls)
    return "", ""


def _refuse_changed(tensor: Tensor, calls: LastCalls) -> None:
    """Raise ModelError for what was made of probabilities in a way that leaves neither them nor logits: percent, say.

    The logarithm of a softmax is as good as its logits.
    """
    squash, last = calls.squashed(tensor)
    if not squash or ("softmax" in squash and last in ("log", "log_") and tensor.shape[1] > 1):
        return
    how = squash if last == squash else f"{last} of {squash}"
    raise ModelError(
        f"The network's output is {how}, {float(tensor.min()):.3g} to {float(tensor.max()):.3g} for the first image: "
        "neither logits nor probabilities.\n"
        "  Let forward return what goes into it (the logits), or probabilities from 0 to 1.\n"
        "  A number that is no class:  --task regression;  logits all the same:  --output-form logits",
        slug="output-form",
    )


def _usual(raw: Any) -> tuple[str, ...] | None:
    """The path of the tensor that is read where nobody says which: that called logits or out, else the first."""
    there = leaves(raw)
    named = [path for path in there if path and path[-1] in _NAMED]
    return min(named, key=len) if named else next(iter(there), None)


def columns(tensor: Tensor, n_images: int) -> int:
    """How many numbers for each of N images, 0 where these are no rows of numbers."""
    if tensor.ndim == 0 or len(tensor) != n_images or 0 in tensor.shape:
        return 0
    if tensor.ndim == 3:
        return max(tensor.shape[1:]) if 1 in tensor.shape[1:] else 0
    if tensor.ndim == 4 and tensor.shape[2:] != (1, 1):
        return 0
    return 1 if tensor.ndim == 1 else tensor.shape[1]


def _are_shares(tensor: Tensor) -> bool:
    return bool(((tensor >= 0) & (tensor <= 1)).all())


def _sum_to_one(tensor: Tensor, close: float = _CLOSE) -> bool:
    return _are_shares(tensor) and bool(((tensor.double().sum(1) - 1).abs() < close).all())


def _sum_to_hundred(tensor: Tensor) -> bool:
    """Whether rows are shares in percent, also where each was rounded to a digit behind the point."""
    return _sum_to_one(tensor / 100, _CLOSE + 5e-4 * tensor.shape[1])

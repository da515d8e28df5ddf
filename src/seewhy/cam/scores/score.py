"""A score, and its fixed form: what it explains of each image is decided once, and holds for every change of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from seewhy.cam.scores.outputs import Output, read_output
from seewhy.errors import OptionError
from seewhy.records import Task

# The outputs of B changed images, and which image each is a change of (None: all in order) -> one number each (B,).
Measured = Callable[[Output, Tensor | None], Tensor]
# The unchanged outputs of N images, their label indices (N,), and their places in the whole table (N,) -> the measure.
Rule = Callable[[Output, Tensor | None, Tensor | None], Measured]
Choose = Callable[[Output, Tensor | None], Tensor]  # unchanged outputs and label indices -> class indices (N,)


@dataclass(frozen=True)
class Fixed:
    """A score of `n_images` images with its choices made: "predicted" is what was predicted for the unchanged image."""

    name: str
    task: Task
    n_images: int
    measured: Measured = field(repr=False)

    def __call__(self, raw: Any, rows: Tensor | None = None) -> Tensor:
        """The score (B,) of outputs of changed images: the model's own output for B inputs, or an Output.

        `rows` (B,) says which of the images each is a change of; without it they are all the images, in order.
        Raises OptionError where a callable does not give one number per image, with a gradient where there can be one.
        """
        count = self.n_images if rows is None else len(rows)
        output = raw if isinstance(raw, Output) else read_output(raw, count, self.task)
        if len(output) != count:
            raise ValueError(f"outputs of {len(output)} images, where {count} were expected")
        return _checked(self.name, self.measured(output, rows), output)


@dataclass(frozen=True)
class Score:
    """What is explained: one number per image.

    `name` is short and names the folder of the maps; `asked` tells apart what two equal names may hide. `count` is
    the number of images where each has a target of its own. `code` is the user's own function, or what the target
    holds. `choose` gives the class where the score is a class's logit; `parts` and `which` (one per image) are set
    where each image has its own target.
    """

    name: str
    rule: Rule = field(repr=False)
    task: Task = "classification"
    asked: str = ""
    needs_labels: bool = False
    count: int | None = None
    code: Any = field(default=None, repr=False)
    choose: Choose | None = field(default=None, repr=False)
    parts: tuple[Score, ...] = field(default=(), repr=False)
    which: tuple[int, ...] = field(default=(), repr=False)

    def __call__(self, raw: Any, labels: Tensor | None = None) -> Tensor:
        """The score (N,) of a model's output for images as they are: `fix` and its measure in one."""
        output = raw if isinstance(raw, Output) else read_output(raw, len(raw), self.task)
        return self.fix(output, labels)(output)

    def fix(self, output: Output, labels: Tensor | None = None, places: Sequence[int] | Tensor | None = None) -> Fixed:
        """The score with everything decided that depends on the unchanged outputs of N images.

        `labels` (N,) are class indices; `places` (N,) are the images' rows in the whole table, needed where each image
        of the table has its own target. Raises OptionError for labels or targets that do not fit.
        """
        at = None if places is None else torch.as_tensor(places, dtype=torch.long, device="cpu")
        if at is None:
            self.check_count(len(output))
        with torch.no_grad():
            measured = self.rule(output, self._checked_labels(labels, output), at)
        return Fixed(self.name, self.task, len(output), measured)

    def check_count(self, n_images: int) -> None:
        """Raises OptionError where each image has its own target and there are not as many as images."""
        if self.count is not None and self.count != n_images:
            targets, images = ("target" if self.count == 1 else "targets"), ("image" if n_images == 1 else "images")
            raise OptionError(
                f"{self.count} {targets} for {n_images} {images}.\n  Give one for each image, or one alone, not in a "
                'list, for all:  target="predicted"',
                slug="target-count",
            )

    def _checked_labels(self, labels: Tensor | None, output: Output) -> Tensor | None:
        if not self.needs_labels:
            return None
        if labels is None:
            raise OptionError(
                f"The target is {self.name!r}, but the images have no labels.\n"
                "  Use class folders or a CSV with labels, or another target:  --target predicted",
                slug="no-labels",
            )
        if len(labels) != len(output):
            raise OptionError(f"{len(labels)} labels for {len(output)} images.", slug="target-count")
        return labels.to("cpu", torch.long)  # where they can be checked without waiting for a GPU


def about_class(
    choose: Choose, measure: Callable[..., Tensor], extra: Callable[[Output, Tensor], tuple[Tensor, ...]] | None = None
) -> Rule:
    """The rule that chooses a class (N,) once, and `extra` tensors (N, ...), and measures outputs with them."""

    def rule(output: Output, labels: Tensor | None, places: Tensor | None) -> Measured:
        index = choose(output, labels)
        held = (index, *(extra(output, index) if extra else ()))

        def measured(changed: Output, rows: Tensor | None) -> Tensor:
            selected = held if rows is None else tuple(tensor[rows.to(tensor.device)] for tensor in held)
            result: Tensor = measure(changed, *selected)
            return result

        return measured

    return rule


def of_outputs(function: Callable[[Any], Tensor]) -> Rule:
    """The rule of a function of `Output.main` alone, for which nothing is to be fixed."""
    return lambda output, labels, places: lambda changed, rows: function(changed.main)


def each_own(parts: Sequence[Score], which: Sequence[int], task: Task) -> Score:
    """The score whose image i has the target `parts[which[i]]`."""
    digest = hashlib.blake2b("\0".join(parts[index].asked for index in which).encode(), digest_size=16).hexdigest()
    codes = [part.code for part in parts if part.code is not None]
    return Score(
        f"each-{digest[:8]}",
        _each_rule(tuple(parts), torch.tensor(which, dtype=torch.long)),
        task,
        f"each {digest}",
        needs_labels=any(part.needs_labels for part in parts),
        count=len(which),
        code=[codes, list(which)] if codes else None,
        parts=tuple(parts),
        which=tuple(which),
    )


def _each_rule(parts: tuple[Score, ...], which: Tensor) -> Rule:
    def rule(output: Output, labels: Tensor | None, places: Tensor | None) -> Measured:
        places = torch.arange(len(output)) if places is None else places
        part_of = which[places]
        position = torch.zeros_like(part_of)  # of each image among those with its target
        fixed: dict[int, Fixed] = {}
        for part in sorted(set(part_of.tolist())):
            at = (part_of == part).nonzero()[:, 0]
            position[at] = torch.arange(len(at))
            some = None if labels is None else labels[at.to(labels.device)]
            fixed[part] = parts[part].fix(output.take(at), some, places[at])
        return lambda changed, rows: _gathered(fixed, part_of, position, changed, rows)

    return rule


def _gathered(
    fixed: dict[int, Fixed], part_of: Tensor, position: Tensor, changed: Output, rows: Tensor | None
) -> Tensor:
    """The scores (B,) of changed images, each by its own target, in the order of the outputs."""
    rows = torch.arange(len(changed)) if rows is None else rows.cpu()
    values, order = [], []
    for part, score in fixed.items():
        at = (part_of[rows] == part).nonzero()[:, 0]
        if len(at):
            values.append(score(changed.take(at), position[rows[at]]))
            order.append(at)
    together = torch.cat(values)
    return together[torch.cat(order).argsort().to(together.device)]


def _checked(name: str, values: Any, output: Output) -> Tensor:
    if not isinstance(values, Tensor) or values.shape != (len(output),):
        shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        what = f"outputs {tuple(output.main.shape)}" if isinstance(output.main, Tensor) else f"{len(output)} dicts"
        raise OptionError(
            f"The target {name!r} gave {shape} for {what}, where one number per image, shape ({len(output)},), is "
            "needed.\n  For example:  target=lambda z: z[:, 0] - z[:, 1]",
            slug="target",
        )
    if torch.is_grad_enabled() and output.differentiable and not values.requires_grad:
        raise OptionError(
            f"The target {name!r} gives numbers that no gradient reaches: argmax, a comparison, .detach(), .item() and "
            "numpy end it.\n  For example:  target=lambda z: z[:, 0] - z[:, 1]",
            slug="target",
        )
    return values

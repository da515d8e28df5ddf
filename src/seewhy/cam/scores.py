"""What is explained: one number per image from the logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seewhy.errors import OptionError, listed, nearest

Target = str | int | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Score:
    """A named function of logits (N, K) and label indices (N,) that gives one number per image (N,).

    `needs_labels` marks the score "label"; `code` is the user's own function where the target is one.
    """

    name: str
    function: Callable[[Tensor, Tensor | None], Tensor]
    needs_labels: bool = False
    code: Callable[..., Tensor] | None = None

    def __call__(self, logits: Tensor, labels: Tensor | None = None) -> Tensor:
        """The score of each image, (N,), checked to be one number per image."""
        values = self.function(logits, labels)
        if not isinstance(values, Tensor) or values.shape != logits.shape[:1]:
            shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise OptionError(
                f"The target {self.name!r} gave {shape} for logits {tuple(logits.shape)}, where one number per image, "
                f"shape ({len(logits)},), is needed.\n  For example:  target=lambda z: z[:, 0] - z[:, 1]",
                slug="target",
            )
        return values


def two_sided(logits: Tensor) -> Tensor:
    """One column of logits as two: the second class gets +z, the first -z, so that softmax(z/2, -z/2) is sigmoid(z).

    Logits of more than one column come back unchanged.
    """
    return logits if logits.shape[1] > 1 else torch.cat((-logits, logits), dim=1)


def predicted(logits: Tensor) -> Tensor:
    """The index (N,) of the class that each row decides for."""
    return two_sided(logits).argmax(dim=1)


def probabilities(logits: Tensor) -> Tensor:
    """Class probabilities (N, K): softmax, or (1 - sigmoid, sigmoid) for a one-logit network."""
    if logits.shape[1] > 1:
        return logits.softmax(dim=1)
    return torch.cat((1 - logits.sigmoid(), logits.sigmoid()), dim=1)


def find_score(target: Target, classes: Sequence[str]) -> Score:
    """The score that `target` names: a class name or index, "predicted", "label", "margin", "margin:CLASS", a callable.

    A class named like one of the words ("label") is reached by its index. The margin is the logit of the class (the
    predicted one where none is named) minus the largest other logit. Raises OptionError with the nearest names.
    """
    if callable(target):
        function = target
        return Score(getattr(target, "__name__", "custom").strip("<>"), lambda z, _: function(z), code=function)
    text = str(target)
    if text == "predicted":
        return Score("predicted", lambda z, _: _pick(z, predicted(z)))
    if text == "label":
        return Score("label", lambda z, labels: _pick(z, _required(labels)), needs_labels=True)
    if text == "margin":
        return Score("margin", lambda z, _: _margin(z, predicted(z)))
    if text.startswith("margin:"):
        index = class_index(text.removeprefix("margin:"), classes)
        return Score(f"margin:{classes[index]}", lambda z, _: _margin(z, torch.full_like(predicted(z), index)))
    index = class_index(target if isinstance(target, int) else text, classes)
    return Score(classes[index], lambda z, _: two_sided(z)[:, index])


def class_index(asked: str | int, classes: Sequence[str]) -> int:
    """The index of the class `asked` for by name or by number. Raises OptionError with the nearest names."""
    if isinstance(asked, str) and asked in classes:
        return list(classes).index(asked)
    number = int(asked) if isinstance(asked, int) or asked.isdigit() else None
    if number is not None and 0 <= number < len(classes):
        return number
    words = ("predicted", "label", "margin")
    known = f"The classes are: {listed(classes)} (0 to {len(classes) - 1})"
    close = nearest(str(asked), [*classes, *words])
    raise OptionError(
        f"{f'There is no class {asked!r}.  {close}'.rstrip()}\n  {known}; or one of: {', '.join(words)}, margin:CLASS.",
        slug="no-such-class",
    )


def one_logit_note(classes: Sequence[str]) -> str:
    """What a one-logit network's sign means here."""
    return (
        f"One logit: above 0 means {classes[1]!r}, below 0 means {classes[0]!r}; "
        f"{classes[0]!r} is explained by minus the logit."
    )


def _pick(logits: Tensor, index: Tensor) -> Tensor:
    return two_sided(logits).gather(1, index[:, None].to(logits.device))[:, 0]


def _margin(logits: Tensor, index: Tensor) -> Tensor:
    both = two_sided(logits) if logits.shape[1] > 1 else two_sided(logits / 2)  # one logit is the margin itself
    column = index[:, None].to(logits.device)
    others = both.scatter(1, column, float("-inf"))
    return both.gather(1, column)[:, 0] - others.amax(dim=1)


def _required(labels: Tensor | None) -> Tensor:
    if labels is None:
        raise OptionError(
            "The target is 'label', but the images have no labels.\n"
            "  Use class folders or a CSV with labels, or another target:  --target predicted",
            slug="no-labels",
        )
    return labels

"""From a word to what it explains: a class, something measured of a class, the difference of two, or an output."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.cam.scores import measures
from seewhy.cam.scores.outputs import Output, predicted, two_sided
from seewhy.cam.scores.score import Choose, Measured, Rule, Score, about_class, of_outputs
from seewhy.errors import OptionError, listed, nearest
from seewhy.records import Task, one_form

FINER_ALPHA, FINER_RIVALS = 1.0, 3  # as in the authors' code

_Kind = tuple[Callable[..., Tensor], Callable[[Output, Tensor], tuple[Tensor, ...]] | None]


def _probable(task: Task) -> dict[str, _Kind]:
    return {
        "": (lambda out, c: measures.logit(out.tensor, c), None),
        "probability": (lambda out, c: measures.probability(out.tensor, c, task), None),
        "log-probability": (lambda out, c: measures.log_probability(out.tensor, c, task), None),
    }


def finer_kind(alpha: float, rivals: int) -> _Kind:
    """How Finer-CAM's score is measured, and what it fixes: the rivals of each image's class."""
    return (
        lambda out, c, against: measures.finer(out.tensor, c, against, alpha),
        lambda out, c: (measures.rivals(out.tensor, c, rivals),),
    )


PIXELS: _Kind = (
    lambda out, c, mask: measures.mean_over(out.tensor, c, mask),
    lambda out, c: (two_sided(out.tensor).argmax(dim=1) == c[:, None, None],),
)
_BOXES: _Kind = (lambda out, c: measures.box_scores(out.detections, c), None)
# What can be measured of a class, by the word in front of it; "" is the class alone.
KINDS: dict[Task, dict[str, _Kind]] = {
    "classification": {
        **_probable("classification"),
        "margin": (lambda out, c: measures.margin(out.tensor, c), None),
        "finer": finer_kind(FINER_ALPHA, FINER_RIVALS),
    },
    "multi-label": _probable("multi-label"),
    "regression": {},
    "embedding": {},
    "segmentation": {"": PIXELS, "pixels": PIXELS},
    "detection": {"": _BOXES, "boxes": _BOXES},
}
# What can be asked for, as the messages say it.
FORMS: dict[Task, str] = {
    "classification": "CLASS, predicted, label; margin, probability, log-probability or finer, alone or with :CLASS; "
    "contrast:A:B, output:K",
    "multi-label": "CLASS, predicted, label; probability or log-probability, alone or with :CLASS; contrast:A:B, "
    "output:K",
    "regression": "output:K",
    "embedding": "embedding (its similarity to itself), output:K; in Python similarity(vector)",
    "segmentation": "CLASS, predicted, label, pixels:CLASS; in Python pixels(mask, CLASS)",
    "detection": "boxes, CLASS, label; in Python boxes(boxes, labels)",
}
_WORDS: tuple[str, ...] = ("predicted", "label", "margin", "probability", "log-probability", "finer", "contrast")
_WORDS += ("output", "embedding", "similarity", "pixels", "boxes")


def word_score(target: str | int, classes: Sequence[str], task: Task) -> Score:
    """The score of a word, a class, or a word with a class. Raises OptionError with the nearest names."""
    text, kinds = str(target), KINDS[task]
    word, colon, rest = text.partition(":")
    raw = word == "output" and colon and text not in classes and task in ("classification", "multi-label")
    if raw or task in ("regression", "embedding"):
        return _column_score(target, classes, task)
    if task == "detection" and text in ("boxes", "predicted"):
        return Score("boxes", of_outputs(lambda main: measures.box_scores(main, None)), task, "boxes")
    if text and text in kinds:
        return _class_score(text, "predicted", classes, task)
    if text not in classes and colon and word and word in kinds:
        return _class_score(word, rest, classes, task)
    if text not in classes and word == "contrast" and task in ("classification", "multi-label"):
        return _contrast_score(rest, classes, task)
    if text not in classes and word in _WORDS and text not in ("predicted", "label"):
        raise not_for(text, task)
    return _class_score("", target, classes, task)


def class_index(asked: str | int, classes: Sequence[str], task: Task = "classification") -> int:
    """The index of the class `asked` for by name or by number. Raises OptionError with the nearest names.

    Without class names any number is taken.
    """
    asked = one_form(asked) if isinstance(asked, str) else asked
    if isinstance(asked, str) and asked in classes:
        return list(classes).index(asked)
    number = int(asked) if isinstance(asked, int) or asked.isdecimal() else None
    if number is not None and number >= 0 and (number < len(classes) or not classes):
        return number
    what = "output" if task == "regression" else "class"
    known = f"The {what}{'s' if what == 'output' else 'es'} are: {listed(classes)} (0 to {len(classes) - 1})"
    known = known if classes else f"The {what} has no name here: give its number"
    close = nearest(str(asked), [*classes, *(word for word in _WORDS if word in FORMS[task])])
    raise OptionError(
        f"{f'There is no {what} {asked!r}.  {close}'.rstrip()}\n  {known}.\n  Targets: {FORMS[task]}.",
        slug="no-such-class",
    )


def not_for(target: str, task: Task) -> OptionError:
    """The error that a target is for another task."""
    return OptionError(
        f"The target {target!r} does not apply to the task {task!r}.\n  Targets: {FORMS[task]}.", slug="target-task"
    )


def _class_score(word: str, asked: str | int, classes: Sequence[str], task: Task) -> Score:
    named, choose = class_chooser(asked, classes, task)
    measure, extra = KINDS[task][word]
    plain = not word or task in ("segmentation", "detection")  # pixels:dog is what dog is
    name = named if plain else word if named == "predicted" else f"{word}:{named}"
    labelled = asked == "label"
    rule = about_class(choose, measure, extra)
    return Score(name, rule, task, name, labelled, choose=None if word else choose)


def class_chooser(asked: str | int, classes: Sequence[str], task: Task) -> tuple[str, Choose]:
    """The name of a class, "predicted" or "label", and how it is chosen for each image."""
    if asked == "predicted":
        return "predicted", lambda output, labels: _decided(output, task)
    if asked == "label":
        return "label", lambda output, labels: _labelled(labels, output, task)
    index = class_index(asked, classes, task)

    def one(output: Output, labels: Tensor | None) -> Tensor:
        check_range(torch.tensor([index]), output, task)
        return torch.full((len(output),), index, device=output.logits.device)

    return _name(index, classes), one


def _decided(output: Output, task: Task) -> Tensor:
    index = predicted(output.logits, task)
    if index is None:
        raise not_for("predicted", task)
    return index


def _labelled(labels: Tensor | None, output: Output, task: Task) -> Tensor:
    if labels is None:
        raise ValueError("a score that needs labels was fixed without")
    check_range(labels, output, task)
    return labels.to(output.logits.device, non_blocking=True)


def check_range(index: Tensor, output: Output, task: Task) -> None:
    """Raise OptionError where a class index, on the CPU, is not one of the network's; nothing waits for a GPU."""
    count = max(2, output.logits.shape[1])
    if task != "detection" and len(index) and not 0 <= int(index.min()) <= int(index.max()) < count:
        wrong = index[(index < 0) | (index >= count)][0]
        raise OptionError(
            f"The class {int(wrong)} was asked for, but the network has {count} (0 to {count - 1}).",
            slug="no-such-class",
        )


def _column_score(target: str | int, classes: Sequence[str], task: Task) -> Score:
    """The score of a raw output, or of an embedding as a whole."""
    text = str(target)
    if task == "embedding" and text in ("predicted", "embedding"):
        return Score("embedding", _own_similarity, task, "embedding")
    if task == "regression" and text == "predicted":
        name = f"output:{classes[0]}" if len(classes) == 1 else "output"
        return Score(name, _only_output(classes), task, name)
    word, colon, rest = text.partition(":")
    asked: str | int = rest if word == "output" and colon and text not in classes else target
    if word in _WORDS and asked == target and text not in classes:
        raise not_for(text, task)
    index = _output_index(asked, classes if task == "regression" else (), task)
    name = f"output:{classes[index] if task == 'regression' and classes else index}"
    return Score(name, of_outputs(lambda main: _column(main, index)), task, name)


def _output_index(asked: str | int, names: Sequence[str], task: Task) -> int:
    if names or str(asked).isdecimal():
        return class_index(asked, names, task)
    raise OptionError(
        f"There is no output {asked!r}: outputs have numbers, from 0.\n  Targets: {FORMS[task]}.", slug="no-such-class"
    )


def _column(main: Tensor, index: int) -> Tensor:
    if index >= main.shape[1]:
        raise OptionError(
            f"There is no output {index}: the network gives {main.shape[1]} (0 to {main.shape[1] - 1}).",
            slug="no-such-class",
        )
    return main[:, index]


def _only_output(classes: Sequence[str]) -> Rule:
    def rule(output: Output, labels: Tensor | None, places: Tensor | None) -> Measured:
        count = output.tensor.shape[1]
        if count > 1:
            raise _several(classes or [str(index) for index in range(count)])
        return lambda changed, rows: changed.tensor[:, 0]

    if len(classes) > 1:
        raise _several(classes)
    return rule


def _several(classes: Sequence[str]) -> OptionError:
    return OptionError(
        f"The network gives {len(classes)} outputs, so one must be named: {listed(classes)}.\n"
        f"  For example:  --target output:{classes[0]}",
        slug="target",
    )


def _own_similarity(output: Output, labels: Tensor | None, places: Tensor | None) -> Measured:
    """How much of each image's own embedding is there: the dot product with it, as a unit vector, fixed once."""
    units = functional.normalize(output.tensor, dim=1)
    return lambda out, rows: (out.tensor * (units if rows is None else units[rows.to(units.device)])).sum(dim=1)


def _contrast_score(text: str, classes: Sequence[str], task: Task) -> Score:
    """The score of "A:B"; class names may hold colons, so every one is tried as the border."""
    pairs = [(text[:place], text[place + 1 :]) for place, letter in enumerate(text) if letter == ":"]
    fitting = [pair for pair in pairs if all(_is_class(name, classes) for name in pair)]
    if not pairs or len(fitting) > 1:
        ways = [":".join(["contrast", *(str(class_index(part, classes)) for part in pair)]) for pair in fitting]
        what = f"can be read as {' and as '.join(ways)}" if ways else "needs two classes, contrast:A:B"
        example = ways[0] if ways else ":".join(["contrast", *(list(classes[:2]) if len(classes) > 1 else "01")])
        raise OptionError(
            f"The target {f'contrast:{text}'!r} {what}.\n  Type:  --target {example}", slug="target-contrast"
        )
    first, second = (class_index(name, classes, task) for name in (fitting or pairs)[0])
    if first == second:
        raise OptionError(
            f"The target {f'contrast:{text}'!r} is the difference of a class with itself.\n  Name two classes.",
            slug="target-contrast",
        )
    name = f"contrast:{_name(first, classes)}:{_name(second, classes)}"

    def rule(output: Output, labels: Tensor | None, places: Tensor | None) -> Measured:
        check_range(torch.tensor([first, second]), output, task)
        return lambda changed, rows: measures.contrast(changed.tensor, first, second)

    return Score(name, rule, task, f"contrast:{first}:{second}")


def _is_class(name: str, classes: Sequence[str]) -> bool:
    return name in classes or (name.isdecimal() and (not classes or int(name) < len(classes)))


def _name(index: int, classes: Sequence[str]) -> str:
    """The name of a class, or its number where it has none or is named like a word."""
    return classes[index] if classes and classes[index] not in _WORDS else str(index)

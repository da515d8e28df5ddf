"""What the words and numbers of labels mean: classes by name or number, and sets of them for multi-label networks.

An image of several labels has them in one text, joined by "|" in the order of the classes; one of none NO_LABEL.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from seewhy.errors import DataError, listed
from seewhy.records import Task

JOINT = "|"
NO_LABEL = "no label"
DIFFERING = "\n"  # between the labels of a file that is listed with several
LEAST_SETS = 0.05  # of the labelled images, from which on sets are no slip of the pen

SURE = (JOINT, ";")  # separators that hardly any class name holds
_SEPARATORS = (*SURE, ",", " ")
_NONE = ("no finding", "no findings", "none", "normal", "negative", "nothing", NO_LABEL)
_WHOLE = re.compile(r"\d+(\.0*)?")
_TRUTH = {"false": 0, "true": 1}


@dataclass
class LabelReader:
    """Labels as texts become those of `classes`; `dropped` counts what is none of them.

    `first` is the number of the first class. With `several` a text is a set, joined by `separator`.
    """

    classes: Sequence[str]
    first: int = 0
    several: bool = False
    separator: str | None = None
    dropped: Counter[str] = field(default_factory=Counter)
    other_case: dict[str, str] = field(default_factory=dict)  # labels that differ from a class in case alone

    def read(self, text: str | None) -> str | None:
        """The label in its normal form; None where it is unknown."""
        if text is None or (not text and not self.several):
            return None
        if (name := self._name(text)) is not None:
            return name
        if self.several:
            return self._set(text)
        if DIFFERING not in text:  # that a file has several was said
            self.dropped[text] += 1
        return None

    def _set(self, text: str) -> str:
        if _is_none(text):
            return NO_LABEL
        names = {part: self._name(part) for part in parts_of(text, self.separator)}
        self.dropped.update(part for part, name in names.items() if name is None and not _is_none(part))
        return joined(set(names.values()) - {None}, self.classes)

    def _name(self, text: str) -> str | None:
        number = number_of(text, len(self.classes))
        at = None if number is None else number - self.first
        counted = self.classes[at] if at is not None and 0 <= at < len(self.classes) else None
        if text in self.classes and (counted is None or not self.first):
            return text
        if counted is None and len(near := self._by_case.get(text.casefold(), [])) == 1:
            self.other_case[text] = near[0]
            return near[0]
        return counted

    @cached_property
    def _by_case(self) -> dict[str, list[str]]:
        names: defaultdict[str, list[str]] = defaultdict(list)
        for name in self.classes:
            names[name.casefold()].append(name)
        return dict(names)


def read_label(text: str | None, classes: Sequence[str], task: Task) -> str | None:
    """A label that came with an item, as one of `classes`, or for multi-label networks a set of them; else None."""
    return LabelReader(classes, several=task == "multi-label", separator=JOINT).read(text or None)


def label_set(label: str, classes: Sequence[str]) -> frozenset[str]:
    """The labels in an image's label, which is in its normal form."""
    if label in classes or (label != NO_LABEL and JOINT not in label):
        return frozenset((label,))
    return frozenset() if label == NO_LABEL else frozenset(label.split(JOINT))


def joined(names: Iterable[str | None], classes: Sequence[str]) -> str:
    """Labels as one text, in the order of the classes; NO_LABEL where there are none."""
    held = set(names)
    return JOINT.join(name for name in classes if name in held) or NO_LABEL


def parts_of(text: str, separator: str | None) -> list[str]:
    """The labels in a cell: "a|b", "a; b", or as Python writes a list of them."""
    parts = []
    for piece in text.split(DIFFERING):
        inner = piece.strip()
        inner = inner[1:-1] if inner[:1] + inner[-1:] in ("[]", "()", "{}") else inner
        parts += inner.split(separator) if separator else [inner]
    return [part for part in (part.strip().strip("'\"") for part in parts) if part]


def number_of(text: str, count: int = 0) -> int | None:
    """The number that a label is: 3, or 3.0 as tables write it; of two classes also false and true."""
    if _WHOLE.fullmatch(text):
        return int(text.partition(".")[0])
    return _TRUTH.get(text.lower()) if count == 2 else None


def whole(texts: Sequence[str]) -> list[str]:
    """Whole numbers as pandas writes them (0.0, 1.0) without their zeros, where all that is filled is such."""
    filled = [text for text in texts if text]
    if not all(map(_WHOLE.fullmatch, filled)):
        return list(texts)
    return [text.partition(".")[0] for text in texts]


def vocabulary(labels: Iterable[str], separator: str | None) -> tuple[str, ...]:
    """Every label in these texts, sorted; numbers as numbers, and without the words for none."""
    texts = [text for text in labels if not _is_none(text)]
    names = {part for text in texts for part in parts_of(text, separator) if not _is_none(part)}
    if all(map(str.isdecimal, names)):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def separator_of(labels: Iterable[str], fits: Callable[[tuple[str, ...]], bool]) -> str | None:
    """What the sets in these labels are joined by: what some label holds, and whose parts fit; None where nothing."""
    pool = set(labels)
    held = [separator for separator in _SEPARATORS if any(separator in text.strip() for text in pool)]
    return next((separator for separator in held if fits(vocabulary(pool, separator))), None)


def set_separator(labels: Iterable[str], classes: Sequence[str], first: int = 0) -> str | None:
    """What the sets of `classes` in these labels are joined by; parts that are no class are left aside if need be."""
    pool = {label for label in labels if label not in classes}
    reader = LabelReader(classes, first)
    strict = separator_of(pool, lambda names: bool(names) and all(reader.read(name) for name in names))
    joints = {label for label in pool if " " not in label.strip() or set(label) & set(_SEPARATORS[:-1])}
    return strict or separator_of(joints, lambda names: any(reader.read(name) for name in names))


def are_sets(labels: Sequence[str], classes: Sequence[str], first: int = 0) -> bool:
    """Whether so many labels are sets of several classes that their network must be multi-label."""
    separator = set_separator(labels, classes, first)
    reader = LabelReader(classes, first, several=True, separator=separator)
    texts = [label for label in labels if label not in classes and DIFFERING not in label]
    count = sum(JOINT in (reader.read(text) or "") for text in texts)
    return separator is not None and count > 0 and count >= LEAST_SETS * len(labels)


def check_numbering(labels: Iterable[str], classes: Sequence[str]) -> str:
    """What is said of labels that are numbers without 0; raises DataError where they are surely counted from 1."""
    pool = set(labels)
    numbers = {number_of(label) for label in pool}
    count = len(classes)
    known = {number for number in numbers if number is not None}
    named = pool <= {*classes} and "0" not in classes
    if not pool or len(known) < len(numbers) or named or 0 in known:
        return ""
    if max(known) != count:
        if len(known) < 2:
            return ""
        return f"No label is 0: {listed(map(str, sorted(known)))} are read as counted from 0.  From 1:  --first-label 1"
    firsts = f"1 is {classes[0]} and {count} is {classes[-1]}" if count > 1 else f"1 is {classes[0]}"
    raise DataError(
        f"The labels are numbers from {min(known)} to {count}, and there are {count} classes: {listed(classes)}.\n"
        f"  Counted from 1, {firsts}:  --first-label 1\n"
        f"  Counted from 0, {count} is none of them:  --first-label 0\n"
        "  In Python:  seewhy.read_table(images, first_label=1)",
        slug="label-numbers",
    )


def label_of(value: Any, classes: Sequence[str]) -> str | None:
    """The label as Datasets have it: a word, an index, a row of zeros and ones, or a list; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, (Tensor, np.ndarray)):
        size = value.numel() if isinstance(value, Tensor) else value.size
        value = value.item() if size == 1 else value.tolist() if value.ndim == 1 else None
    if isinstance(value, (list, tuple)):
        return label_of(value[0], classes) if len(value) == 1 else _label_of_several(list(value), classes)
    if isinstance(value, (bool, int, np.bool_, np.integer)) or _is_whole(value):
        index = int(value)
        return classes[index] if 0 <= index < len(classes) else str(index)
    return value if isinstance(value, str) else None


def _is_whole(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and float(value).is_integer()


def _label_of_several(values: list[Any], classes: Sequence[str]) -> str | None:
    """The labels of a row of zeros and ones, or of a list of names or indices."""
    if not all(isinstance(value, (str, bool, int, float)) for value in values):
        return None
    is_row = set(values) <= {0, 1} and len(values) == (len(classes) or len(values))
    held = [at for at, value in enumerate(values) if value] if is_row else values
    names = [name for value in held if (name := label_of(value, classes)) is not None]
    return (JOINT.join(names) or NO_LABEL) if len(names) == len(held) else None


def _is_none(text: str) -> bool:
    return text.strip().replace("_", " ").lower() in _NONE

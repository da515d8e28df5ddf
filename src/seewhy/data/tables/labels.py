"""What the words and numbers of labels mean: classes by name or number, and sets of them for multi-label networks.

An image of several labels has them in one text, joined by "|" in the order of the classes; one of none NO_LABEL.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

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


@dataclass(frozen=True)
class OneLabel:
    """One of a network's several labels (`of`) as a class, beside a class for its absence."""

    name: str
    of: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, str]:
        """The label, and "not" the label."""
        return self.name, f"not {self.name}"

    def read(self, text: str | None) -> str | None:
        """The class of an image with this set of labels, or with one of the two already; None where it is unknown."""
        if text is None or text in self.classes:
            return text
        held = read_label(text, self.of, "multi-label")
        return None if held is None else self.classes[self.name not in label_set(held, self.of)]


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


def one_case(classes: Sequence[str], labels: Iterable[str]) -> tuple[str, ...]:
    """The classes with those that differ in case alone as one: that of most labels, in the place of the first."""
    counts = Counter(labels)
    forms: defaultdict[str, list[str]] = defaultdict(list)
    for name in classes:
        forms[name.casefold()].append(name)
    return tuple(max(names, key=lambda name: counts[name]) for names in forms.values())


def said_of_case(classes: Sequence[str], labels: Iterable[str]) -> str:
    """What is said of classes that differ in case alone, and are more than letters; "" where there are none."""
    counts, kept = Counter(labels), set(one_case(classes, labels))
    twins = {name.casefold() for name in classes if name not in kept and len(name) > 1}
    pairs = [f"{name} ({counts[name]:,})" for name in classes if name.casefold() in twins]
    return (
        f"Classes that differ in case alone: {listed(pairs, 6)}.  If they are one, write them alike." if pairs else ""
    )


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


def are_joined(names: Collection[str]) -> bool:
    """Whether some name is of several others, as "edema|mass" beside both."""
    pool = {name.strip() for name in names}
    parts = ({part.strip() for part in name.split(mark)} for name in names for mark in SURE if mark in name)
    return any(len(held) > 1 and held <= pool for held in parts)


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
    known = {number for label in pool if (number := number_of(label)) is not None}
    count, names = len(classes), {name.casefold() for name in classes}
    words = {label.casefold() for label in pool if number_of(label) is None}  # what is no class is no matter: -1
    if not known or words & names or 0 in known or (pool <= {*classes} and "0" not in classes):
        return ""
    if max(known) != count:
        if len(known) < 2:
            return ""
        return f"No label is 0: {listed(map(str, sorted(known)))} are read as counted from 0.  From 1:  --first-label 1"
    raise from_which(known, classes)


def from_which(numbers: Iterable[int], classes: Sequence[str]) -> DataError:
    """The error that asks whether labels without 0, whose largest is the number of classes, are counted from 1."""
    known, count = set(numbers), len(classes)
    said = f"numbers from {min(known)} to {count}" if len(known) > 1 else f"numbers, like {count}"
    firsts = f"1 is {classes[0]} and {count} is {classes[-1]}" if count > 1 else f"1 is {classes[0]}"
    return DataError(
        f"The labels are {said}, and there are {count} classes: {listed(classes)}.\n"
        f"  Counted from 1, {firsts}:  --first-label 1\n"
        f"  Counted from 0, {count} is none of them:  --first-label 0\n"
        "  In Python:  seewhy.read_table(images, first_label=1)",
        slug="label-numbers",
    )


def _is_none(text: str) -> bool:
    return text.strip().replace("_", " ").lower() in _NONE

"""Some images of an explanation: those that are wrong, of a class, of a split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np
import PIL.Image

from seewhy.errors import DataError, OptionError, counted, nearest
from seewhy.records import Outcome, one_form
from seewhy.render import notebook
from seewhy.store.frames import frame_of


class Explained(Protocol):
    """What images are taken from: an explanation."""

    classes: tuple[str, ...]

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """What was said of each image."""

    def __getitem__(self, which: int) -> Any: ...

    def sheet_of(self, rows: Sequence[int], most: int) -> PIL.Image.Image:
        """A contact sheet of some rows."""


class Selection:
    """The images of an explanation that were asked for, in its order: by number, by slice, and with `show()`."""

    def __init__(self, owner: Explained, rows: Sequence[int], words: str) -> None:
        self.owner, self.rows, self.words = owner, tuple(rows), words

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Any]:
        return (self.owner[row] for row in self.rows)

    def __getitem__(self, which: int | slice) -> Any:
        if isinstance(which, slice):
            return sliced(self.owner, self.rows, which, self.words)
        return self.owner[self.rows[which]]

    @property
    def records(self) -> list[dict[str, Any]]:
        """A dict for each image: id, path, label, split, prediction, probability, correct, error."""
        return [record_of(self.owner.outcomes[row]) for row in self.rows]

    def to_pandas(self) -> Any:
        """`records` as a pandas DataFrame. Raises MissingExtraError without pandas."""
        return frame_of(self.records)

    def show(self, most: int = 100) -> PIL.Image.Image:
        """A contact sheet of at most `most` of them, evenly chosen. Raises DataError where there are none."""
        if not self.rows:
            raise DataError(f"There is nothing to show: no image is {self.words}.")
        return self.owner.sheet_of(self.rows, most)

    def __repr__(self) -> str:
        return f"<{counted(len(self), 'image')} of {len(self.owner.outcomes):,}: {self.words}>"

    def _repr_html_(self) -> str:
        few = [self[number] for number in range(min(6, len(self)))]
        return notebook.page(
            notebook.heading(f"{counted(len(self), 'image')} of {len(self.owner.outcomes):,}", [self.words]),
            notebook.side_by_side(image._repr_html_() for image in few),
        )


def sliced(owner: Explained, rows: Sequence[int], part: slice, of: str = "") -> Selection:
    """The images of some rows that a slice takes; `of` says which rows these are, where they are not all."""
    ends = ["" if end is None else str(end) for end in (part.start, part.stop)]
    step = [] if part.step is None else [str(part.step)]
    words = f"in the slice [{':'.join([*ends, *step])}]"
    return Selection(owner, rows[part], f"{words} of those {of}" if of else words)


def select(
    owner: Explained, wrong: bool | None, label: str | int | None, predicted: str | int | None, split: str | None
) -> Selection:
    """The images that fit everything that is not None. Raises OptionError for a name that no image has."""
    outcomes, words = owner.outcomes, []
    rows = list(range(len(outcomes)))
    if wrong is not None:
        if all(outcome.correct is None for outcome in outcomes):
            raise DataError("Which images are wrong is not known: none has a label.", slug="no-labels")
        rows = [row for row in rows if outcomes[row].correct is (not wrong)]
        words.append("wrong" if wrong else "right")
    for what, asked, names in (
        ("label", label, [outcome.image.label for outcome in outcomes]),
        ("predicted", predicted, [outcome.prediction for outcome in outcomes]),
        ("split", split, [outcome.image.split for outcome in outcomes]),
    ):
        if asked is not None:
            name = _name_of(asked, what, names, () if what == "split" else owner.classes)
            rows = [row for row in rows if names[row] is not None and one_form(names[row] or "") == one_form(name)]
            words.append(f"{what} {name}")
    return Selection(owner, rows, ", ".join(words) or "all")


def record_of(outcome: Outcome) -> dict[str, Any]:
    """One image as a plain row."""
    image = outcome.image
    return {
        "id": image.id,
        "path": image.path,
        "label": image.label,
        "split": image.split,
        "prediction": outcome.prediction,
        "probability": outcome.probability,
        "correct": outcome.correct,
        "error": outcome.error,
    }


def _name_of(asked: str | int, what: str, names: Sequence[str | None], classes: Sequence[str]) -> str:
    """The name that is meant: by itself, or a class by its index."""
    if not isinstance(asked, str):
        if not 0 <= asked < len(classes):
            raise OptionError(f"There is no class {asked}; there are {len(classes)}, 0 to {len(classes) - 1}.")
        return classes[asked]
    known = list(dict.fromkeys([*classes, *(name for name in names if name is not None)]))
    if one_form(asked) not in map(one_form, known):
        kind = "split" if what == "split" else "class"
        raise OptionError(f"No image has the {kind} {asked!r}.  {nearest(asked, known)}".rstrip())
    return asked


def row_named(outcomes: Sequence[Outcome], which: int | str) -> int:
    """The row of an image by number, id, file name or stem. Raises IndexError or OptionError with what there is."""
    if isinstance(which, (int, np.integer)):
        if not -len(outcomes) <= which < len(outcomes):
            last = len(outcomes) - 1
            raise IndexError(f"There is no image {which}: the explanation has {len(outcomes)}, 0 to {last}.")
        return int(which) % len(outcomes)
    ids = [one_form(outcome.image.id) for outcome in outcomes]
    wanted = one_form(str(which))
    names = (
        ids,
        [PurePosixPath(image_id).name for image_id in ids],
        [PurePosixPath(image_id).stem for image_id in ids],
    )
    for pool in names:
        if (count := pool.count(wanted)) == 1:
            return pool.index(wanted)
        if count > 1:
            full = [image_id for image_id, name in zip(ids, pool, strict=True) if name == wanted]
            raise OptionError(f"{count} images are called {wanted!r}.  Name one in full: {', '.join(full[:4])}")
    raise OptionError(
        f"There is no image {wanted!r}.  {nearest(wanted, [*ids, *names[1]])}".rstrip(), slug="no-such-image"
    )

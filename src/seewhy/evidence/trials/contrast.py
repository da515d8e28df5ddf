"""What an effect is asked about: whose probability, against whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST_CLASSES = 10  # up to here each class is asked for by itself; beyond, the image's own class
OWN_CLASS = "own class"
OTHERS = "other classes"


@dataclass(frozen=True)
class Contrast:
    """What an effect is asked about: a column of Scores, whose probability that is, and what stands against it.

    `name` is a class, or "own class" where each image's own class is asked about (`is_own_class`: a class may be called
    so); `against` is the one other class, or "other classes".
    """

    column: int
    name: str
    against: str = OTHERS
    is_own_class: bool = False


def contrasts_of(classes: Sequence[str]) -> tuple[Contrast, ...]:
    """The contrasts in the order of the columns of Scores: of two classes the first, of many the image's own class."""
    if len(classes) == 2:
        return (Contrast(0, classes[0], classes[1]),)
    if len(classes) > MOST_CLASSES:
        return (Contrast(0, OWN_CLASS, is_own_class=True),)
    return tuple(Contrast(column, name) for column, name in enumerate(classes))

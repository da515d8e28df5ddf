"""What is done to an image, and by what its trials are found."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal

from seewhy.evidence.factors.factor import Factor


@dataclass(frozen=True)
class Edit:
    """What is done to an image. `str()` of it is the column "edit" of trials.parquet.

    An exchange puts the donor's content in: with the region drawn back by `shrink_px` pixels, or only outside of the
    region `outside` drawn larger by `grow_px` pixels (the rest of a region; or a property, of donors and recipients
    with that region painted over; with `whole` all of the recipient is changed by as much as the classes differ there).
    With `held` that factor is put back as the recipient has it. A removal takes the content away by `removal`; a mark
    is laid over, a patch is the same pixels shuffled in its place. A control is an exchange, or a removal, of another
    region in place of the factor; of the core, drawn larger by `grow_px` pixels, it is one place in all images.
    """

    kind: Literal["exchange", "removal", "mark", "patch", "control"]
    shrink_px: int = 0
    outside: str | None = None
    grow_px: int = 0
    whole: bool = False
    held: str | None = None
    removal: str | None = None

    def __str__(self) -> str:
        if self.kind == "exchange":
            return self._exchange
        if self.kind == "control":
            return " ".join(filter(None, ("control", self.removal, f"grown-{self.grow_px}" if self.grow_px else None)))
        return self.removal or {"mark": "inserted", "patch": "neutral mark"}[self.kind]

    @property
    def _exchange(self) -> str:
        if self.held:
            return f"{self._outside}, held {self.held}" if self.outside else f"held {self.held}"
        if self.outside:
            return f"{self._outside}-grown-{self.grow_px}" if self.grow_px else self._outside
        return f"shrunk-{self.shrink_px}" if self.shrink_px else "donors"

    @property
    def _outside(self) -> str:
        return "outside-into-whole" if self.whole else "outside"


EXCHANGE, MARKED, PATCHED, CONTROL = Edit("exchange"), Edit("mark"), Edit("patch"), Edit("control")


def outside_edit(factor: Factor, core: Sequence[str], everywhere: Container[str], grow_px: int = 0) -> Edit:
    """The exchange outside of the core drawn larger by so many pixels."""
    whole = factor.region is None and factor.name in everywhere
    return Edit("exchange", outside=core[0], grow_px=grow_px, whole=whole)


@dataclass(frozen=True)
class Pair:
    """Two factors that are put in together, from the same donor."""

    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.first} + {self.second}"


@dataclass(frozen=True)
class ControlRegion:
    """A region that is no factor, by its share of the canvas in thousandths; without a number all of this area."""

    thousandths: int
    number: int | None = None

    def __str__(self) -> str:
        area = f"area {self.thousandths / 1000:.3f}"
        return area if self.number is None else f"{area} #{self.number:02d}"

    @property
    def all_of_its_area(self) -> ControlRegion:
        """All regions of the same area, of which each image has its own, in turn."""
        return ControlRegion(self.thousandths)


@dataclass(frozen=True)
class TrialKey:
    """What the trials of one job are found by: what was edited, how, and on which split."""

    factor: str | Pair | ControlRegion
    edit: Edit
    split: str

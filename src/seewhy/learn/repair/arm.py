"""What was tried, and what an arm of the proof shows: the networks before, repaired, and of each control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from seewhy.estimates import Estimate
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.learn.repair.readings import CellAccuracy

BEFORE, REPAIRED = "before", "repaired"


@dataclass(frozen=True)
class Try:
    """One way on the images that choose: what it leaves of the effect, and the accuracy it gains or loses there.

    Every class counts alike in `accuracy` and `change`; `further` is what it leaves of the further factors' effects.
    """

    way: str
    words: str
    remaining: float
    accuracy: float
    change: float
    error: str = ""
    further: Mapping[str, float] = field(default_factory=dict)

    @property
    def left(self) -> float:
        """The sizes of all effects that are left, added."""
        return sum(map(abs, (self.remaining, *self.further.values())))


@dataclass(frozen=True)
class Arm:
    """The networks of one arm on the images that prove: the mean effect over the seeds, and those of its first seed.

    `over_seeds` is that mean with its interval, `effect` that of the first seed, `effects` those of all seeds.
    `exchanged` is the accuracy where all that is repaired is another image's, or the mark laid over, every class
    alike; `cells` is that of the images as they are by class and group, and `worst` the lowest of these.
    """

    name: str
    words: str
    mean: float
    over_seeds: ClassDifference
    effects: tuple[float, ...]
    effect: ClassDifference
    accuracy: Estimate
    exchanged: Estimate
    worst: CellAccuracy | None
    cells: tuple[CellAccuracy, ...] = ()

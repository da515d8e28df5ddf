"""How the effects of the same factors differ between two audits, trial by trial where both made the same trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from seewhy.estimates import Floats, Integers, Z
from seewhy.evidence.findings.effects import robust_effect
from seewhy.evidence.findings.figures import watched_of
from seewhy.evidence.inference.differences import ClassDifference, difference_of, equivalent
from seewhy.evidence.inference.ranks import holm
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.contrast import Contrast, contrasts_of
from seewhy.evidence.trials.edit import EXCHANGE, MARKED, PATCHED, Edit, TrialKey
from seewhy.evidence.trials.trial import Scores, Trials
from seewhy.store.tables import Column

Said = Literal["smaller", "larger", "turned", "none larger than", "cannot say"]
Stated = Mapping[tuple[str, str], Mapping[str, Any]]  # what an audit says of a factor and a class
SHARED = 0.9  # of the trials of the run with fewer, from which on trials are compared pair by pair
_ENDLESS = 1e9  # degrees of freedom of the normal distribution


@dataclass(frozen=True)
class EffectChange:
    """What one factor does to one class in both runs, and the second less the first, of the probability.

    `first` and `second` are the values that the difference is of, `first_interval` and `second_interval` their 95 %
    intervals. `paired`: both runs made the same trials, and the
    difference is taken trial by trial, donors being the units; else its error is that of both effects added, which is
    never too small. `p_holm` is over all factors and classes of the comparison.
    """

    factor: str
    contrast: str
    first: float
    second: float
    difference: ClassDifference
    p_holm: float
    paired: bool
    images: int
    donors: int
    first_interval: tuple[float, float] = (-math.inf, math.inf)
    second_interval: tuple[float, float] = (-math.inf, math.inf)

    @property
    def said(self) -> Said:
        """Whether the effect is shown to be smaller, larger or of the other sign, the same within 2 points, or none."""
        floor, change = AUDIT_THRESHOLDS["floor"], self.difference
        beyond = self.p_holm < AUDIT_THRESHOLDS["level"] and abs(change.value) >= floor
        if beyond and (change.low > 0 or change.high < 0):
            if self.first * self.second < 0 and min(abs(self.first), abs(self.second)) >= floor:
                return "turned"
            return "smaller" if abs(self.second) < abs(self.first) else "larger"
        return "none larger than" if equivalent(change, floor, level=0.95) else "cannot say"

    @property
    def whose(self) -> str:
        """Whose probability it is."""
        return watched_of(self.contrast)


@dataclass(frozen=True)
class AuditTrials:
    """The exchanges of an audit's folder: trials.parquet's rows of one split, with the class names and the labels.

    `labels` are the class names of its images by id; `units_known`: every image is its own unit, none near another.
    """

    columns: Mapping[str, Column]
    split: str
    classes: tuple[str, ...]
    labels: Mapping[str, str]
    units_known: bool

    def of(self, factor: str, edit: Edit = EXCHANGE) -> dict[tuple[str, str], int]:
        """The row of each (recipient, donor) of a factor's trials of one edit; of a mark no image is the donor."""
        columns = self.columns
        chosen = zip(columns["factor"], columns["edit"], columns["split"], strict=True)
        wanted = (factor, str(edit), self.split)
        rows = [row for row, key in enumerate(chosen) if key == wanted]
        return {(str(columns["recipient"][row]), str(columns["donor"][row])): row for row in rows}

    def by_mark(self, mark: str, column: int) -> dict[str, float]:
        """By how much a mark moves a probability beyond its neutral patch, by image."""
        marked, patched = (
            {recipient: self._after(row, column) for (recipient, _), row in self.of(mark, edit).items()}
            for edit in (MARKED, PATCHED)
        )
        return {name: value - patched[name] for name, value in marked.items() if name in patched}

    def _after(self, row: int, column: int) -> float:
        return float(np.asarray(self.columns["probabilities"][row], dtype=np.float64)[column])


def effect_changes(
    first: AuditTrials,
    second: AuditTrials,
    factors: Sequence[str],
    names: Mapping[str, str],
    tables: tuple[Stated, Stated],
) -> list[EffectChange]:
    """The change of each factor's effect on each class, in the order of the factors.

    `names` are the second run's ids by the first's; `tables` the effects that each audit itself states, by factor and
    class, for those whose trials cannot be paired.
    """
    changes: list[EffectChange] = []
    for factor in factors:
        is_mark = bool(first.of(factor, MARKED) and second.of(factor, MARKED))
        if is_mark and first.units_known and second.units_known:
            changes += _of_mark(first, second, factor, names)
            continue
        common = None if is_mark else _common(first, second, factor, names)
        for contrast in contrasts_of(first.classes):
            if common is not None:
                changes.append(_paired(first, second, factor, contrast, common))
            elif (one := _apart(factor, contrast, tables)) is not None:
                changes.append(replace(one, donors=0) if is_mark else one)
    adjusted = holm([change.difference.p_value for change in changes])
    return [replace(change, p_holm=p_value) for change, p_value in zip(changes, adjusted, strict=True)]


def _of_mark(first: AuditTrials, second: AuditTrials, mark: str, names: Mapping[str, str]) -> list[EffectChange]:
    """The change of what a mark does to each class, image by image; an image is the unit, and there are no donors."""
    changes = []
    for contrast in contrasts_of(first.classes):
        there, here = (run.by_mark(mark, contrast.column) for run in (first, second))
        common = [name for name in there if names.get(name) in here]
        if len(common) < 2:
            continue
        values = np.array([[there[name], here[names[name]]] for name in common])
        each = [_mean_of(values[:, 0]), _mean_of(values[:, 1]), _mean_of(values[:, 1] - values[:, 0])]
        changes.append(
            EffectChange(
                factor=mark,
                contrast=contrast.name,
                first=each[0].value,
                second=each[1].value,
                difference=each[2],
                p_holm=1.0,
                paired=True,
                images=len(common),
                donors=0,
                first_interval=(each[0].low, each[0].high),
                second_interval=(each[1].low, each[1].high),
            )
        )
    return changes


def _mean_of(values: Floats) -> ClassDifference:
    """The mean over images by Student's t."""
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return difference_of(float(values.mean()), error, len(values) - 1.0, {0: len(values)})


def _common(
    first: AuditTrials, second: AuditTrials, factor: str, names: Mapping[str, str]
) -> list[tuple[str, str, int, int]] | None:
    """The trials of both runs (recipient, donor, row there, row here); None where they cannot be compared in pairs."""
    if not (first.units_known and second.units_known):
        return None
    there, here = first.of(factor), second.of(factor)
    common = [
        (recipient, donor, row, here[names[recipient], names[donor]])
        for (recipient, donor), row in there.items()
        if recipient in names and donor in names and (names[recipient], names[donor]) in here
    ]
    return common if common and len(common) >= SHARED * min(len(there), len(here)) else None


def _paired(
    first: AuditTrials,
    second: AuditTrials,
    factor: str,
    contrast: Contrast,
    common: Sequence[tuple[str, str, int, int]],
) -> EffectChange:
    ids = sorted({name for recipient, donor, _, _ in common for name in (recipient, donor)})
    places = {name: place for place, name in enumerate(ids)}
    recipients = np.array([places[recipient] for recipient, _, _, _ in common])
    donors = np.array([places[donor] for _, donor, _, _ in common])
    labels = np.array([first.classes.index(first.labels[name]) for name in ids])
    rows = np.array([[there, here] for _, _, there, here in common])
    moves = [_moves(run.columns, rows[:, at], contrast.column) for at, run in enumerate((first, second))]
    trials = _trials(TrialKey(factor, EXCHANGE, first.split), recipients, donors, labels)
    difference = robust_effect(trials, moves[1] - moves[0], contrast)
    both = [robust_effect(trials, move, contrast) for move in moves]
    return EffectChange(
        factor=factor,
        contrast=contrast.name,
        first=both[0].value,
        second=both[1].value,
        difference=difference,
        p_holm=1.0,
        paired=True,
        images=len(np.unique(recipients)),
        donors=sum(difference.n.values()),
        first_interval=(both[0].low, both[0].high),
        second_interval=(both[1].low, both[1].high),
    )


def _trials(key: TrialKey, recipients: Integers, donors: Integers, labels: Integers) -> Trials:
    """A table of who met whom, every image a unit of its own, without scores."""
    nothing = np.zeros((len(recipients), 1), np.float32)
    unscored = Scores(nothing, nothing, np.zeros(len(recipients), np.int64))
    return Trials(
        key=key,
        recipients=recipients,
        donors=donors,
        before=unscored,
        after=unscored,
        labels=labels,
        clusters=np.arange(len(labels)),
    )


def _moves(columns: Mapping[str, Column], rows: Integers, column: int) -> Floats:
    after, before = (
        np.asarray(columns[name], dtype=np.float64)[rows, column] for name in ("probabilities", "probabilities_before")
    )
    return np.asarray(after - before)


def _apart(
    factor: str,
    contrast: Contrast,
    tables: tuple[Stated, Stated],
) -> EffectChange | None:
    """The difference of two stated effects, with an error that holds however the two depend on each other."""
    here, there = (table.get((factor, contrast.name)) for table in tables)
    if here is None or there is None or here["effect"] is None or there["effect"] is None:
        return None
    first, second = float(here["effect"]), float(there["effect"])
    error = sum(_half(stated) for stated in (here, there)) / Z
    counts = {place: int(stated["donors"]) for place, stated in enumerate((here, there))}
    return EffectChange(
        factor=factor,
        contrast=contrast.name,
        first=first,
        second=second,
        difference=difference_of(second - first, error, _ENDLESS, counts),
        p_holm=1.0,
        paired=False,
        images=min(int(here["images"]), int(there["images"])),
        donors=min(counts.values()),
        first_interval=_ends(here),
        second_interval=_ends(there),
    )


def _half(stated: Mapping[str, Any]) -> float:
    """Half of a stated interval; endless where it is."""
    low, high = _ends(stated)
    return (high - low) / 2


def _ends(stated: Mapping[str, Any]) -> tuple[float, float]:
    """The ends of a stated interval; endless where one is not known."""
    ends = stated["low"], stated["high"]
    known = all(end is not None and math.isfinite(end) for end in ends)
    return (float(ends[0]), float(ends[1])) if known else (-math.inf, math.inf)

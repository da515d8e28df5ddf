"""What has to hold besides the effect itself before a finding is strong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.errors import listed
from seewhy.estimates import Estimate
from seewhy.evidence.factors.controls import can_match, disjoint
from seewhy.evidence.factors.edits import shrunk
from seewhy.evidence.factors.factor import Factor, as_share
from seewhy.evidence.findings.case import EDGE, Case, _Bench, _excludes_zero
from seewhy.evidence.findings.effects import (
    Control,
    changes,
    control_deltas,
    control_of,
    difference_of_trials,
    label_margins,
    picked,
    removal_effect,
)
from seewhy.evidence.findings.figures import interval, points, signed_points
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.evidence.inference.overfit import EditTrials, OverfitExcess, overfit_excess
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS, LEAST_IMAGES
from seewhy.evidence.trials.sample import DISJOINT, Sample, mean_mask, overlap_of
from seewhy.evidence.trials.schedule import MARGINS
from seewhy.evidence.trials.trial import CONTROL, DONORS, OUTSIDE, Trials, _only

FEWEST_CONTROLS, MOST_CONTROLS = 3, 12  # regions, for a comparison of train and valid


LEAST_LEFT = 0.5  # of a region, for what is left to stand for it


ALIKE_AREA = 1.35  # ratio of areas up to which regions are compared


_SKETCH, _BOOTSTRAP = 300, 6000  # draws


class _Safeguards:
    """Controls, edit removals, drawn-back regions and the comparison with train, by factor and contrast."""

    def __init__(self, bench: _Bench, cases: Sequence[Case]) -> None:
        self._bench, self._cases, self._n_factors = bench, cases, len(bench.design.factors)
        self._deltas: dict[tuple[int, str], dict[str, float]] = {}
        self._removals: dict[str, dict[str, Estimate]] = {}
        self._overfits: dict[str, OverfitExcess | None] = {}
        self._factors = {one.name: one for one in bench.design.factors}

    def added(self, case: Case) -> Case:
        """The case with its safeguards."""
        factor = self._factors[case.factor]
        contrast = next(one for one in self._bench.contrasts if one[1] == case.effect.contrast)
        return replace(
            case,
            control=self._control(case, factor, contrast),
            removals=self._removed(factor),
            edge=self._edge(factor, contrast),
            left={pixels: _left(self._bench.audited, factor, pixels) for pixels in MARGINS},
            outside=self._outside(factor, contrast),
            overfit=self._overfit(factor),
        )

    def _bank(self, factor: Factor) -> dict[str, Tensor]:
        """The control regions nearest to the factor in area, those that leave it alone; none for a property."""
        controls = self._bench.design.schedule.controls
        if factor.region is None or not controls:
            return {}
        own = as_share(self._bench.audited.masks[factor.region])
        core = [as_share(self._bench.audited.masks[name]) for name in self._bench.design.core_regions]
        if not can_match(own, core[0] if core else None):
            return {}
        area = float(own.mean())
        nearest = min(controls.values(), key=lambda mask: abs(math.log(float(mask.mean()) / max(area, 1e-6))))
        if not 1 / ALIKE_AREA < float(nearest.mean()) / max(area, 1e-6) < ALIKE_AREA:
            return {}
        bank = {name: mask for name, mask in controls.items() if _bin(name) == _bin_of(controls, nearest)}
        return self._apart(bank, own)

    def _apart(self, bank: Mapping[str, Tensor], own: Tensor) -> dict[str, Tensor]:
        apart = disjoint(torch.stack(list(bank.values())), own).tolist()
        return {name: mask for (name, mask), fine in zip(bank.items(), apart, strict=True) if fine}

    def _control(self, case: Case, factor: Factor, contrast: tuple[int, str]) -> Control | None:
        bench = self._bench
        own = picked(bench.trials, factor.name, DONORS, bench.audited.split)
        if own is None:
            return None
        if contrast not in self._deltas:
            sample = bench.audited
            before = bench.before[sample.split]
            self._deltas[contrast] = control_deltas(
                bench.trials, sample.split, before, sample, contrast, bench.design.classes
            )
        deltas, sample = self._deltas[contrast], bench.audited
        bank = self._without_stronger(case, self._bank(factor))
        elsewhere = [deltas[name] for name in bank if name in deltas]
        change = changes(own, bench.before[sample.split], contrast[0])[1]
        return control_of(case.effect, elsewhere, own, change, sample, bench.design.classes, bench.design.seed)

    def _without_stronger(self, case: Case, bank: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The control regions that do not lie mostly in a region which does more than the factor itself."""
        stronger = [
            mean_mask(self._bench.audited, factor.region)
            for one in self._cases
            if abs(one.value) > abs(case.value) and (factor := self._factors[one.factor]).region is not None
        ]
        return {
            name: mask
            for name, mask in bank.items()
            if all(float((mask * other).sum()) <= 0.5 * float(mask.sum()) for other in stronger)
        }

    def _removed(self, factor: Factor) -> dict[str, Estimate]:
        if factor.name in self._removals:
            return self._removals[factor.name]
        bench, found = self._bench, {}
        sample = bench.audited
        bank = self._bank(factor)
        for removal in factor.removals:
            own = picked(bench.trials, factor.name, removal, sample.split)
            if own is None:
                continue
            beside = None
            if bank and bench.design.core_regions:  # elsewhere may lie what matters most, where no core is named
                name = _bin(next(iter(bank)))
                beside = picked(bench.trials, name, f"{CONTROL} {removal}", sample.split)
                beside = None if beside is None else _only(beside, self._apart_places(name, bank))
            found[removal] = removal_effect(own, bench.before[sample.split], sample, beside)
        self._removals[factor.name] = found
        return found

    def _apart_places(self, name: str, bank: Mapping[str, Tensor]) -> NDArray[np.bool_]:
        """The images (M,) whose control region leaves the factor alone: each has one, in turn."""
        members = [one for one in self._bench.design.schedule.controls if _bin(one) == name]
        fine = np.array([one in bank for one in members])
        return np.asarray(fine[np.arange(len(self._bench.audited)) % len(members)])

    def _edge(self, factor: Factor, contrast: tuple[int, str]) -> dict[int, ClassDifference]:
        bench, found = self._bench, {}
        sample = bench.audited
        for pixels in MARGINS:
            own = picked(bench.trials, factor.name, f"shrunk-{pixels}", sample.split)
            if own is not None and _left(sample, factor, pixels) >= LEAST_LEFT:
                change = changes(own, bench.before[sample.split], contrast[0])[1]
                found[pixels] = difference_of_trials(own, change, sample, contrast[1], bench.design.classes)[0]
        return found

    def _outside(self, factor: Factor, contrast: tuple[int, str]) -> ClassDifference | None:
        """The effect of a property on the probability when its donors are measured with the core painted over."""
        bench = self._bench
        sample = bench.audited
        own = picked(bench.trials, factor.name, OUTSIDE, sample.split)
        if own is None:
            return None
        change = changes(own, bench.before[sample.split], contrast[0])[1]
        return difference_of_trials(own, change, sample, contrast[1], bench.design.classes)[0]

    def _overfit(self, factor: Factor) -> OverfitExcess | None:
        if factor.name not in self._overfits:
            self._overfits[factor.name] = self._excess(factor)
        return self._overfits[factor.name]

    def _excess(self, factor: Factor) -> OverfitExcess | None:
        bench = self._bench
        if "train" not in bench.before or bench.audited.split == "train":
            return None
        splits = ("train", bench.audited.split)
        own = [picked(bench.trials, factor.name, DONORS, split) for split in splits]
        names = list(self._bank(factor))
        if len(names) < FEWEST_CONTROLS:
            names = self._elsewhere(factor)
        controls = [[picked(bench.trials, name, CONTROL, split) for split in splits] for name in names]
        if len(names) < FEWEST_CONTROLS:  # all that is left beside it: other regions that were asked about
            controls = [
                [picked(bench.trials, name, DONORS, split) for split in splits] for name in self._beside(factor)
            ]
        complete = [(one, two) for one, two in controls if one is not None and two is not None]
        if own[0] is None or own[1] is None or not complete:
            return None
        if min(len(np.unique(self._edited(one).recipient)) for one in own if one is not None) < LEAST_IMAGES:
            return None  # nearly all images are in both splits
        excess = partial(
            overfit_excess,
            self._edited(own[0]),
            self._edited(own[1]),
            [self._edited(one) for one, _ in complete[:MOST_CONTROLS]],
            [self._edited(two) for _, two in complete[:MOST_CONTROLS]],
            chance=1 / len(bench.design.classes),
            rng=np.random.default_rng((bench.design.seed, len(factor.name), *factor.name.encode())),
        )
        found = excess(draws=_SKETCH)
        if not found.overfit:  # at 95 %, so neither with the stricter level for several factors
            return found
        return excess(draws=_BOOTSTRAP, level=1 - AUDIT_THRESHOLDS["level"] / self._n_factors)

    def _beside(self, factor: Factor) -> list[str]:
        """The other regions that share no pixels with the factor."""
        if factor.region is None:
            return []
        others = [one for one in self._bench.design.factors if one.region and one.name != factor.name]
        sample = self._bench.audited
        return [
            one.name
            for one in others
            if one.region is not None and overlap_of(sample, one.region, factor.region) <= DISJOINT
        ]

    def _elsewhere(self, factor: Factor) -> list[str]:
        """Control regions of any area that leave the factor alone; for a property the largest ones."""
        controls = self._bench.design.schedule.controls
        if not controls:
            return []
        if factor.region is None:
            largest = max(controls.values(), key=lambda mask: float(mask.mean()))
            return [name for name in controls if _bin(name) == _bin_of(controls, largest)]
        return list(self._apart(controls, as_share(self._bench.audited.masks[factor.region])))

    def _edited(self, trials: Trials) -> EditTrials:
        samples = self._bench.design.samples
        sample = samples[trials.split]
        others = np.concatenate([one.clusters for split, one in samples.items() if split != trials.split])
        trials = _only(trials, ~np.isin(sample.clusters, others))
        before, rows = self._bench.before[trials.split], trials.recipients
        margins = label_margins(before, np.arange(len(sample)), sample)[rows]
        return EditTrials(
            rows,
            trials.donors,
            margins,
            label_margins(trials.scores, rows, sample),
            before.predictions[rows] == sample.labels[rows],
            trials.scores.predictions == sample.labels[rows],
        )


def _bin(name: str) -> str:
    return name.partition(" #")[0]


def _bin_of(controls: Mapping[str, Tensor], mask: Tensor) -> str:
    return next(_bin(name) for name, one in controls.items() if one is mask)


def _left(sample: Sample, factor: Factor, pixels: int) -> float:
    """The share of the region that is left when it is drawn back."""
    if factor.region is None:
        return 1.0
    masks = sample.masks_at(factor.region, torch.arange(min(len(sample), 32)))
    return float(shrunk(masks, pixels).mean()) / max(float(masks.mean()), 1e-9)


@dataclass(frozen=True)
class Gate:
    """One safeguard of a dependence: passed, failed, or (None) not to be had, with its words and numbers."""

    name: str
    passed: bool | None
    words: str


def gates(case: Case) -> list[Gate]:
    """The safeguards of a dependence, in the order in which they are told."""
    found = []
    if not _excludes_zero(case.selected):
        found.append(Gate("selection", False, "among all that stood out, its interval holds 0"))
    if case.control is not None:
        what = (
            f"{len(case.control.values)} regions of its area elsewhere"
            if case.control.kind == "regions"
            else f"the donors' classes permuted {len(case.control.values)} times"
        )
        beyond = abs(case.value) > case.control.limit
        words = f"the same with {what}: at most {points(case.control.limit)} points in 95 % of them"
        found.append(Gate("control", beyond, words))
    if case.removals:
        found.append(_agreement(case))
    if case.edge:
        found.append(_edge(case))
    what = "distinct images" if case.kind == "insert" else "distinct donors of the smallest class"
    found.append(Gate("donors", case.fewest >= AUDIT_THRESHOLDS["few_donors"], f"{case.fewest} {what}"))
    return found


def _agreement(case: Case) -> Gate:
    """Whether taking the content away hurts the label where its donors help it, by at least one other kind of edit."""
    sign = np.sign(case.value)
    agree = [name for name, one in case.removals.items() if sign * one.value > 0 and (one.low > 0 or one.high < 0)]
    against = [name for name, one in case.removals.items() if sign * one.value < 0 and (one.low > 0 or one.high < 0)]
    if not agree and not against:
        return Gate("edits", None, f"edits that take it away do not settle it ({listed(case.removals)})")
    way = "lowers" if (sign > 0) == bool(agree) else "raises"
    said = f"taking it away ({listed(agree or against)}) {way} the margin of the right class"
    more = f"; {listed(against)} does not" if agree and against else ""
    return Gate("edits", bool(agree), said + more)


def _edge(case: Case) -> Gate:
    """Whether the effect persists when the region is drawn back: a leak at the mask's edge dies within 4 pixels."""
    pixels = EDGE if EDGE in case.edge else max(case.edge)
    left = case.edge[pixels]
    sign = float(np.sign(case.value)) or 1.0
    upper = max(sign * left.low, sign * left.high)
    persists = upper >= AUDIT_THRESHOLDS["edge"] * abs(case.value) * case.left.get(pixels, 1.0)
    words = f"drawn back by {pixels} pixels it is {signed_points(left.value)} {interval(left)}"
    if pixels < EDGE:
        words += f"; {EDGE} pixels would leave less than half of it"
    return Gate("edge", persists if pixels >= EDGE or not persists else None, words)

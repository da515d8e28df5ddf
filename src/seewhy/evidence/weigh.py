"""All trials of an audit weighed: one case for each factor and contrast, with its controls and safeguards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.evidence.analysis import (
    Control,
    Effect,
    changes,
    contrast_of_trials,
    control_deltas,
    control_of,
    effect_of,
    family_effect,
    label_margins,
    picked,
    weights_of,
)
from seewhy.evidence.controls import can_match, disjoint
from seewhy.evidence.edits import shrunk
from seewhy.evidence.factors import Factor, as_share
from seewhy.evidence.inference import Contrast, contrast_of, fcr_level
from seewhy.evidence.overfit import EditTrials, OverfitExcess, overfit_excess
from seewhy.evidence.prepare import Setting
from seewhy.evidence.resampling import Omnibus, omnibus
from seewhy.evidence.sample import LEAST_IMAGES, MOST_CLASSES, OWN_CLASS, Ints, Sample
from seewhy.evidence.schedule import DISJOINT, MARGINS, mean_mask, overlap_of
from seewhy.evidence.statistics import Estimate, Floats, holm, mean_of
from seewhy.evidence.trials import CONTROL, DONORS, INSERTED, NEUTRAL_MARK, OUTSIDE, Scores, Trials, contrasts_of
from seewhy.evidence.verdict import THRESHOLDS, Case, acts_outside, depends
from seewhy.records import Progress

FEWEST_CONTROLS, MOST_CONTROLS = 3, 12  # regions, for a comparison of train and valid
LEAST_LEFT = 0.5  # of a region, for what is left to stand for it
ALIKE_AREA = 1.35  # ratio of areas up to which regions are compared
_SKETCH, _BOOTSTRAP = 300, 6000  # draws


@dataclass(frozen=True)
class Weighed:
    """The cases of single factors, of pairs, and of marks; the omnibus test where a core was named."""

    cases: tuple[Case, ...]
    joint: tuple[Case, ...]
    inserted: tuple[Case, ...]
    rest: Omnibus | None


@dataclass(frozen=True)
class _Bench:
    """What is needed to weigh: the setting, the scores before by split, and all trials."""

    setting: Setting
    before: Mapping[str, Scores]
    trials: Sequence[Trials]

    @property
    def audited(self) -> Sample:
        return self.setting.ground.audited

    @property
    def contrasts(self) -> list[tuple[int, str]]:
        present = {self.setting.classes[index] for index in np.unique(self.audited.labels)}
        return [
            one
            for one in enumerate(contrasts_of(self.setting.classes))
            if one[1] in present or one[1] == OWN_CLASS or len(self.setting.classes) == 2
        ]


def weigh(
    setting: Setting,
    before: Mapping[str, Scores],
    trials: Sequence[Trials],
    progress: Progress = lambda done, total: None,
) -> Weighed:
    """Every case with its p-value among all tests (Holm) and its interval among those that stood out (FCR)."""
    bench = _Bench(setting, before, trials)
    raw, n_factors = [], len(setting.factors)
    for done, factor in enumerate(setting.factors, 1):
        raw += [_raw_case(bench, factor, contrast) for contrast in bench.contrasts]
        progress(done, 2 * n_factors)
    singles = [case for case in raw if case is not None]
    pairs = [case for name in _pair_names(bench) for case in _pair_cases(bench, name)]
    marks = [case for insert in setting.inserts for case in _mark_cases(bench, insert.name, insert.words)]
    everything = _selected([*singles, *pairs, *marks])
    cut = len(singles), len(singles) + len(pairs)
    shown = {case.factor for case in everything[: cut[0]] if depends(case)}
    safeguards = _Safeguards(bench, everything[: cut[0]])
    cases = []
    for done, case in enumerate(everything[: cut[0]], 1):
        cases.append(safeguards.added(case))
        progress(n_factors + done // len(bench.contrasts), 2 * n_factors)
    joint = [
        case
        for case in everything[cut[0] : cut[1]]
        if depends(case) and not shown & set(case.factor.split(" + ")) and _is_more_than_the_sum(bench, case)
    ]
    return Weighed(tuple(cases), tuple(joint), tuple(everything[cut[1] :]), _omnibus(bench))


def not_separated(one: Case, other: Case, sample: Sample, regions: Mapping[str, str | None]) -> bool:
    """Whether these data cannot tell two factors apart: they share pixels, or their donors do the same.

    The correlation is that of the donors' effects within classes. Regions that share pixels, and a property beside
    anything, are apart only where it is shown to be below .5; regions that share none, unless it is above.
    """
    first, second = regions.get(one.factor), regions.get(other.factor)
    if one.is_core is not other.is_core and acts_outside(one) and acts_outside(other):
        return False  # the core, and what is shown to act outside of it
    rho, low, high = _within_classes(one.effect.donors, other.effect.donors, sample)
    if first and second and overlap_of(sample, first, second) <= DISJOINT:
        return low > 0.5
    both_vary = min(one.effect.sensitivity.low, other.effect.sensitivity.low) > 0
    return not (both_vary and high < 0.5 and rho < 0.5)


def _within_classes(one: Floats, other: Floats, sample: Sample) -> tuple[float, float, float]:
    """The correlation within classes, with its interval (Fisher's z)."""
    kept = np.isfinite(one) & np.isfinite(other)
    left = [np.where(kept, values, 0.0) for values in (one, other)]
    for index in np.unique(sample.labels[kept]):
        rows = kept & (sample.labels == index)
        left = [np.where(rows, values - values[rows].mean(), values) for values in left]
    a, b = (values[kept] for values in left)
    n = int(kept.sum()) - len(np.unique(sample.labels)) + 1
    size = math.sqrt(float((a**2).sum() * (b**2).sum()))
    if size == 0 or n < 5:
        return 0.0, -1.0, 1.0
    rho = min(max(float(a @ b) / size, -0.999999), 0.999999)
    half = 1.96 / math.sqrt(n - 3)
    return rho, math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def _raw_case(bench: _Bench, factor: Factor, contrast: tuple[int, str]) -> Case | None:
    """The effect of one factor on the audited split and on train; nothing yet about other factors."""
    effects = {}
    for split, sample in bench.setting.ground.samples.items():
        own = picked(bench.trials, factor.name, DONORS, split)
        if own is not None:
            effects[split] = effect_of(own, factor.kind, bench.before[split], sample, contrast, bench.setting.classes)
    effect = effects.get(bench.audited.split)
    if effect is None:
        return None
    train = effects.get("train") if bench.audited.split != "train" else None
    return Case(
        factor.name,
        factor.words,
        factor.kind,
        effect,
        effect.margin.p_value,
        effect.probability,
        train,
        is_core=_is_core(bench.setting, factor),
        core_named=bool(bench.setting.asked.core),
        is_named=factor.name in (*bench.setting.core, *bench.setting.ground.core),
        warnings=bench.setting.warnings.get(factor.name, ()),
    )


def _is_core(setting: Setting, factor: Factor) -> bool | None:
    """Whether the user said that it should matter; a region that lies in the core mostly, counts as core."""
    if not setting.core:
        return None
    if factor.name in setting.core or factor.region in setting.ground.core:
        return True
    if factor.region is None or not setting.ground.core:
        return False
    sample = setting.ground.audited
    own = sample.masks[factor.region].float().mean()
    inside = overlap_of(sample, factor.region, setting.ground.core[0])
    core = sample.masks[setting.ground.core[0]].float().mean()
    return bool(own < core and inside > 1 - DISJOINT)


def _pair_names(bench: _Bench) -> list[str]:
    return [one.name for one in bench.trials if " + " in one.name and one.edit == DONORS]


def _pair_cases(bench: _Bench, name: str) -> list[Case]:
    own = picked(bench.trials, name, DONORS, bench.audited.split)
    if own is None:
        return []
    before, cases = bench.before[bench.audited.split], []
    for contrast in bench.contrasts:
        effect = effect_of(own, "pair", before, bench.audited, contrast, bench.setting.classes)
        words = f"{name}, exchanged together"
        cases.append(Case(name, words, "pair", effect, effect.margin.p_value, effect.probability, joint=True))
    return cases


def _is_more_than_the_sum(bench: _Bench, case: Case) -> bool:
    """Whether two factors together do more than what each does alone adds up to, trial by trial."""
    sample = bench.audited
    before = bench.before[sample.split]
    column, name = next(one for one in bench.contrasts if one[1] == case.effect.contrast)
    both, *alone = (picked(bench.trials, one, DONORS, sample.split) for one in (case.factor, *case.factor.split(" + ")))
    if both is None:
        return False
    in_margin, in_share = changes(both, before, column)
    for one in alone:
        if one is None or not np.array_equal(one.recipients, both.recipients):
            return False  # masks are missing for some images: their trials do not match
        if not np.array_equal(one.donors, both.donors):
            return False
        less = changes(one, before, column)
        in_margin, in_share = in_margin - less[0], in_share - less[1]
    sign, classes = np.sign(case.value), bench.setting.classes
    margin, share = (contrast_of_trials(both, one, sample, name, classes)[0] for one in (in_margin, in_share))
    return bool(min(sign * margin.low, sign * margin.high) > 0 and sign * share.value >= THRESHOLDS["floor"])


def _mark_cases(bench: _Bench, name: str, words: str) -> list[Case]:
    """A mark against its neutral patch: the image is the unit, and no donors are needed."""
    marked, patched = (picked(bench.trials, name, edit, bench.audited.split) for edit in (INSERTED, NEUTRAL_MARK))
    if marked is None or patched is None:
        return []
    cases = []
    flips = (marked.scores.predictions != patched.scores.predictions).astype(np.float64)
    for column, contrast in bench.contrasts:
        in_margin = (marked.scores.margins - patched.scores.margins)[:, column].astype(np.float64)
        in_share = (marked.scores.probabilities - patched.scores.probabilities)[:, column].astype(np.float64)
        units = bench.audited.units[marked.recipients]
        margin, share = (_mean_contrast(values, units) for values in (in_margin, in_share))
        effect = Effect(
            name, "insert", bench.audited.split, contrast, margin, share, mean_of(flips), None, mean_of(in_margin),
            len(in_share), 2 * len(in_share), np.full(len(bench.audited), np.nan),
        )  # fmt: skip
        before = bench.before[bench.audited.split].probabilities[marked.recipients, column]
        means = [float(one.mean()) for one in (before, *(t.scores.probabilities[:, column] for t in (patched, marked)))]
        cases.append(Case(name, words, "insert", effect, margin.p_value, share, means=(means[0], means[1], means[2])))
    return cases


def _mean_contrast(values: Floats, units: Ints) -> Contrast:
    """The mean over distinct images by Student's t."""
    _, place, counts = np.unique(units, return_inverse=True, return_counts=True)
    values = np.bincount(place, values) / counts
    n = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    return contrast_of(float(values.mean()), error, max(n - 1.0, 1.0), {0: n})


def _selected(cases: Sequence[Case]) -> list[Case]:
    """The cases with p-values adjusted over all of them, and intervals adjusted to how many stood out."""
    if not cases:
        return []
    adjusted = holm([case.p_holm for case in cases])
    cases = [replace(case, p_holm=p) for case, p in zip(cases, adjusted, strict=True)]
    level = fcr_level(sum(map(depends, cases)), len(cases))
    return [replace(case, selected=case.effect.probability.at(level)) for case in cases]


class _Safeguards:
    """Controls, edit families, drawn-back regions and the comparison with train, by factor and contrast."""

    def __init__(self, bench: _Bench, cases: Sequence[Case]) -> None:
        self._bench, self._cases, self._n_factors = bench, cases, len(bench.setting.factors)
        self._deltas: dict[tuple[int, str], dict[str, float]] = {}
        self._families: dict[str, dict[str, Estimate]] = {}
        self._overfits: dict[str, OverfitExcess | None] = {}
        self._factors = {one.name: one for one in bench.setting.factors}

    def added(self, case: Case) -> Case:
        """The case with its safeguards."""
        factor = self._factors[case.factor]
        contrast = next(one for one in self._bench.contrasts if one[1] == case.effect.contrast)
        return replace(
            case,
            control=self._control(case, factor, contrast),
            families=self._family(factor),
            edge=self._edge(factor, contrast),
            left={pixels: _left(self._bench.audited, factor, pixels) for pixels in MARGINS},
            outside=self._outside(factor, contrast),
            overfit=self._overfit(factor),
        )

    def _bank(self, factor: Factor) -> dict[str, Tensor]:
        """The control regions nearest to the factor in area, those that leave it alone; none for a property."""
        controls = self._bench.setting.schedule.controls
        if factor.region is None or not controls:
            return {}
        own = as_share(self._bench.audited.masks[factor.region])
        core = [as_share(self._bench.audited.masks[name]) for name in self._bench.setting.ground.core]
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
                bench.trials, sample.split, before, sample, contrast, bench.setting.classes
            )
        deltas, sample = self._deltas[contrast], bench.audited
        bank = self._without_stronger(case, self._bank(factor))
        elsewhere = [deltas[name] for name in bank if name in deltas]
        change = changes(own, bench.before[sample.split], contrast[0])[1]
        return control_of(case.effect, elsewhere, own, change, sample, bench.setting.classes, bench.setting.seed)

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

    def _family(self, factor: Factor) -> dict[str, Estimate]:
        if factor.name in self._families:
            return self._families[factor.name]
        bench, found = self._bench, {}
        sample = bench.audited
        bank = self._bank(factor)
        for family in factor.families:
            own = picked(bench.trials, factor.name, family, sample.split)
            if own is None:
                continue
            beside = None
            if bank and bench.setting.ground.core:  # elsewhere may lie what matters most, where no core is named
                name = _bin(next(iter(bank)))
                beside = picked(bench.trials, name, f"{CONTROL} {family}", sample.split)
                beside = None if beside is None else _only(beside, self._apart_places(name, bank))
            found[family] = family_effect(own, bench.before[sample.split], sample, beside)
        self._families[factor.name] = found
        return found

    def _apart_places(self, name: str, bank: Mapping[str, Tensor]) -> NDArray[np.bool_]:
        """The images (M,) whose control region leaves the factor alone: each has one, in turn."""
        members = [one for one in self._bench.setting.schedule.controls if _bin(one) == name]
        fine = np.array([one in bank for one in members])
        return np.asarray(fine[np.arange(len(self._bench.audited)) % len(members)])

    def _edge(self, factor: Factor, contrast: tuple[int, str]) -> dict[int, Contrast]:
        bench, found = self._bench, {}
        sample = bench.audited
        for pixels in MARGINS:
            own = picked(bench.trials, factor.name, f"shrunk-{pixels}", sample.split)
            if own is not None and _left(sample, factor, pixels) >= LEAST_LEFT:
                change = changes(own, bench.before[sample.split], contrast[0])[1]
                found[pixels] = contrast_of_trials(own, change, sample, contrast[1], bench.setting.classes)[0]
        return found

    def _outside(self, factor: Factor, contrast: tuple[int, str]) -> Contrast | None:
        """The effect of a property on the probability when its donors are measured with the core painted over."""
        bench = self._bench
        sample = bench.audited
        own = picked(bench.trials, factor.name, OUTSIDE, sample.split)
        if own is None:
            return None
        change = changes(own, bench.before[sample.split], contrast[0])[1]
        return contrast_of_trials(own, change, sample, contrast[1], bench.setting.classes)[0]

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
            chance=1 / len(bench.setting.classes),
            rng=np.random.default_rng((bench.setting.seed, len(factor.name), *factor.name.encode())),
        )
        found = excess(draws=_SKETCH)
        if not found.overfit:  # at 95 %, so neither with the stricter level for several factors
            return found
        return excess(draws=_BOOTSTRAP, level=1 - THRESHOLDS["level"] / self._n_factors)

    def _beside(self, factor: Factor) -> list[str]:
        """The other regions that share no pixels with the factor."""
        if factor.region is None:
            return []
        others = [one for one in self._bench.setting.factors if one.region and one.name != factor.name]
        sample = self._bench.audited
        return [
            one.name
            for one in others
            if one.region is not None and overlap_of(sample, one.region, factor.region) <= DISJOINT
        ]

    def _elsewhere(self, factor: Factor) -> list[str]:
        """Control regions of any area that leave the factor alone; for a property the largest ones."""
        controls = self._bench.setting.schedule.controls
        if not controls:
            return []
        if factor.region is None:
            largest = max(controls.values(), key=lambda mask: float(mask.mean()))
            return [name for name in controls if _bin(name) == _bin_of(controls, largest)]
        return list(self._apart(controls, as_share(self._bench.audited.masks[factor.region])))

    def _edited(self, trials: Trials) -> EditTrials:
        samples = self._bench.setting.ground.samples
        sample = samples[trials.split]
        others = np.concatenate([one.units for split, one in samples.items() if split != trials.split])
        trials = _only(trials, ~np.isin(sample.units, others))
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


def _only(trials: Trials, places: NDArray[np.bool_]) -> Trials:
    """The trials whose recipient is among the places (M,)."""
    kept = np.flatnonzero(places[trials.recipients])
    scores = trials.scores
    some = replace(
        scores,
        margins=scores.margins[kept],
        probabilities=scores.probabilities[kept],
        predictions=scores.predictions[kept],
    )
    return replace(trials, recipients=trials.recipients[kept], donors=trials.donors[kept], scores=some)


def _left(sample: Sample, factor: Factor, pixels: int) -> float:
    """The share of the region that is left when it is drawn back."""
    if factor.region is None:
        return 1.0
    masks = sample.masks_at(factor.region, torch.arange(min(len(sample), 32)))
    return float(shrunk(masks, pixels).mean()) / max(float(masks.mean()), 1e-9)


def _omnibus(bench: _Bench) -> Omnibus | None:
    """Whether anything outside of the core is predictive, from the same trials in which the core was exchanged."""
    if not bench.setting.ground.core or len(bench.setting.classes) > MOST_CLASSES:
        return None
    sample = bench.audited
    own = picked(bench.trials, bench.setting.ground.core[0], DONORS, sample.split)
    if own is None:
        return None
    name = contrasts_of(bench.setting.classes)[0]
    right = (own.scores.predictions == sample.labels[own.recipients]).astype(np.float64)
    return omnibus(
        own.recipients,
        own.donors,
        own.scores.margins[:, 0].astype(np.float64),
        right,
        sample.labels,
        sample.labels,
        weights_of(name, bench.setting.classes, sample),
        draws=_BOOTSTRAP,
        rng=np.random.default_rng(bench.setting.seed),
    )

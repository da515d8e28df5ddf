"""From all trials of an audit to cases: one for each factor and contrast, with its controls and safeguards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seewhy.estimates import Floats, mean_of
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import Case, _Bench, acts_outside, depends
from seewhy.evidence.findings.effects import (
    Effect,
    changes,
    difference_of_trials,
    effect_of,
    picked,
    weights_of,
)
from seewhy.evidence.findings.safeguards import _BOOTSTRAP, _Safeguards
from seewhy.evidence.inference.bootstrap import Omnibus, omnibus
from seewhy.evidence.inference.differences import ClassDifference, difference_of, fcr_level
from seewhy.evidence.inference.ranks import holm
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.sample import (
    DISJOINT,
    MOST_CLASSES,
    Ints,
    Sample,
    overlap_of,
)
from seewhy.evidence.trials.trial import DONORS, INSERTED, NEUTRAL_MARK, Scores, Trials, contrasts_of
from seewhy.records import Progress


@dataclass(frozen=True)
class Cases:
    """The cases of single factors, of pairs, and of marks; the omnibus test where a core was named."""

    singles: tuple[Case, ...]
    pairs: tuple[Case, ...]
    marks: tuple[Case, ...]
    rest: Omnibus | None


def cases_of(
    design: AuditDesign,
    before: Mapping[str, Scores],
    trials: Sequence[Trials],
    progress: Progress = lambda done, total: None,
) -> Cases:
    """Every case with its p-value among all tests (Holm) and its interval among those that stood out (FCR)."""
    bench = _Bench(design, before, trials)
    raw, n_factors = [], len(design.factors)
    for done, factor in enumerate(design.factors, 1):
        raw += [_raw_case(bench, factor, contrast) for contrast in bench.contrasts]
        progress(done, 2 * n_factors)
    singles = [case for case in raw if case is not None]
    pairs = [case for name in _pair_names(bench) for case in _pair_cases(bench, name)]
    marks = [case for mark in design.marks for case in _mark_cases(bench, mark.name, mark.words)]
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
    return Cases(tuple(cases), tuple(joint), tuple(everything[cut[1] :]), _omnibus(bench))


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
    for split, sample in bench.design.samples.items():
        own = picked(bench.trials, factor.name, DONORS, split)
        if own is not None:
            effects[split] = effect_of(own, factor.kind, bench.before[split], sample, contrast, bench.design.classes)
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
        is_core=_is_core(bench.design, factor),
        core_named=bool(bench.design.request.core),
        is_named=factor.name in (*bench.design.core, *bench.design.core_regions),
        warnings=bench.design.warnings.get(factor.name, ()),
    )


def _is_core(design: AuditDesign, factor: Factor) -> bool | None:
    """Whether the user said that it should matter; a region that lies in the core mostly, counts as core."""
    if not design.core:
        return None
    if factor.name in design.core or factor.region in design.core_regions:
        return True
    if factor.region is None or not design.core_regions:
        return False
    sample = design.audited
    own = sample.masks[factor.region].float().mean()
    inside = overlap_of(sample, factor.region, design.core_regions[0])
    core = sample.masks[design.core_regions[0]].float().mean()
    return bool(own < core and inside > 1 - DISJOINT)


def _pair_names(bench: _Bench) -> list[str]:
    return [one.name for one in bench.trials if " + " in one.name and one.edit == DONORS]


def _pair_cases(bench: _Bench, name: str) -> list[Case]:
    own = picked(bench.trials, name, DONORS, bench.audited.split)
    if own is None:
        return []
    before, cases = bench.before[bench.audited.split], []
    for contrast in bench.contrasts:
        effect = effect_of(own, "pair", before, bench.audited, contrast, bench.design.classes)
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
    in_margin, in_probability = changes(both, before, column)
    for one in alone:
        if one is None or not np.array_equal(one.recipients, both.recipients):
            return False  # masks are missing for some images: their trials do not match
        if not np.array_equal(one.donors, both.donors):
            return False
        less = changes(one, before, column)
        in_margin, in_probability = in_margin - less[0], in_probability - less[1]
    sign, classes = np.sign(case.value), bench.design.classes
    margin, share = (difference_of_trials(both, one, sample, name, classes)[0] for one in (in_margin, in_probability))
    return bool(min(sign * margin.low, sign * margin.high) > 0 and sign * share.value >= AUDIT_THRESHOLDS["floor"])


def _mark_cases(bench: _Bench, name: str, words: str) -> list[Case]:
    """A mark against its neutral patch: the image is the unit, and no donors are needed."""
    marked, patched = (picked(bench.trials, name, edit, bench.audited.split) for edit in (INSERTED, NEUTRAL_MARK))
    if marked is None or patched is None:
        return []
    cases = []
    flips = (marked.scores.predictions != patched.scores.predictions).astype(np.float64)
    for column, contrast in bench.contrasts:
        in_margin = (marked.scores.margins - patched.scores.margins)[:, column].astype(np.float64)
        in_probability = (marked.scores.probabilities - patched.scores.probabilities)[:, column].astype(np.float64)
        units = bench.audited.clusters[marked.recipients]
        margin, share = (_mean_difference(values, units) for values in (in_margin, in_probability))
        effect = Effect(
            name, "insert", bench.audited.split, contrast, margin, share, mean_of(flips), None, mean_of(in_margin),
            len(in_probability), 2 * len(in_probability), np.full(len(bench.audited), np.nan),
        )  # fmt: skip
        before = bench.before[bench.audited.split].probabilities[marked.recipients, column]
        means = [float(one.mean()) for one in (before, *(t.scores.probabilities[:, column] for t in (patched, marked)))]
        cases.append(Case(name, words, "insert", effect, margin.p_value, share, means=(means[0], means[1], means[2])))
    return cases


def _mean_difference(values: Floats, units: Ints) -> ClassDifference:
    """The mean over distinct images by Student's t."""
    _, place, counts = np.unique(units, return_inverse=True, return_counts=True)
    values = np.bincount(place, values) / counts
    n = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    return difference_of(float(values.mean()), error, max(n - 1.0, 1.0), {0: n})


def _selected(cases: Sequence[Case]) -> list[Case]:
    """The cases with p-values adjusted over all of them, and intervals adjusted to how many stood out."""
    if not cases:
        return []
    adjusted = holm([case.p_holm for case in cases])
    cases = [replace(case, p_holm=p) for case, p in zip(cases, adjusted, strict=True)]
    level = fcr_level(sum(map(depends, cases)), len(cases))
    return [replace(case, selected=case.effect.probability.at(level)) for case in cases]


def _omnibus(bench: _Bench) -> Omnibus | None:
    """Whether anything outside of the core is predictive, from the same trials in which the core was exchanged."""
    if not bench.design.core_regions or len(bench.design.classes) > MOST_CLASSES:
        return None
    sample = bench.audited
    own = picked(bench.trials, bench.design.core_regions[0], DONORS, sample.split)
    if own is None:
        return None
    name = contrasts_of(bench.design.classes)[0]
    right = (own.scores.predictions == sample.labels[own.recipients]).astype(np.float64)
    return omnibus(
        own.recipients,
        own.donors,
        own.scores.margins[:, 0].astype(np.float64),
        right,
        sample.labels,
        sample.labels,
        weights_of(name, bench.design.classes, sample),
        draws=_BOOTSTRAP,
        rng=np.random.default_rng(bench.design.seed),
    )

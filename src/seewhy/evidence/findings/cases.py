"""From all trials of an audit to cases: one for each factor and contrast, with its controls and safeguards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seewhy.estimates import Floats, Z, mean_of
from seewhy.evidence.factors.factor import Factor, Mark
from seewhy.evidence.findings.case import Case, acts_outside, depends
from seewhy.evidence.findings.effects import Effect, class_effect, effect_of
from seewhy.evidence.findings.levels import claims_of, level_of
from seewhy.evidence.findings.mark_answers import mark_answers
from seewhy.evidence.findings.safeguards.outside import OutsideCore
from seewhy.evidence.findings.safeguards.safeguard import Evidence, Safeguard, with_measurements, with_outcomes
from seewhy.evidence.findings.unnamed import OmnibusTests, rest_of
from seewhy.evidence.inference.differences import ClassDifference, difference_of, fcr_level
from seewhy.evidence.inference.ranks import holm
from seewhy.evidence.inference.two_way import cluster_effects
from seewhy.evidence.inference.units import unit_means
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import EXCHANGE, MARKED, PATCHED, Pair, TrialKey
from seewhy.evidence.trials.masked import is_part
from seewhy.evidence.trials.sample import DISJOINT, Ints, Sample, overlap_of
from seewhy.evidence.trials.searching import most_found
from seewhy.evidence.trials.trial import UNDECIDED, Trials
from seewhy.records import Progress

AllTrials = Mapping[TrialKey, Trials]


@dataclass(frozen=True)
class Cases:
    """The cases of single factors, of pairs, and of marks; the omnibus test where a core was named.

    `reserved` tests are counted for places that a search might have found, and did not.
    """

    singles: tuple[Case, ...]
    pairs: tuple[Case, ...]
    marks: tuple[Case, ...]
    rest: OmnibusTests | None
    reserved: int = 0

    @property
    def n_tests(self) -> int:
        """How many tests were made, the omnibus among them."""
        return len(self.singles) + len(self.pairs) + len(self.marks) + 1 + self.reserved


def first_cases(design: AuditDesign, trials: AllTrials, progress: Progress = lambda done, total: None) -> Cases:
    """Every case with its p-value among all tests (Holm) and its interval among those that stood out (FCR).

    Nothing is known yet of safeguards.
    """
    singles: list[Case] = []
    for done, factor in enumerate(design.factors, 1):
        singles += _of_factor(design, trials, factor)
        progress(done, 2 * len(design.factors))
    pairs = [case for key in trials if isinstance(key.factor, Pair) for case in _of_pair(design, trials[key])]
    marks = [case for mark in design.marks for case in _of_mark(design, trials, mark)]
    reserved = _reserved(design)
    selected = iter(_selected([*singles, *pairs, *marks], reserved))
    singles, pairs, marks = ([next(selected) for _ in group] for group in (singles, pairs, marks))
    shown = {case.factor for case in singles if depends(case)}
    pairs = [case for case in pairs if _is_more_than_both(case, trials, shown)]
    return Cases(tuple(singles), tuple(pairs), tuple(marks), rest_of(design, trials), reserved)


def with_outside(first: Cases, design: AuditDesign, trials: AllTrials) -> Cases:
    """The first cases with what factors that are shown to matter do outside of the core."""
    evidence, outside = Evidence(design, trials, first.singles), [OutsideCore()]
    singles = [replace(case, is_everywhere=case.factor in design.everywhere) for case in first.singles]
    singles = [with_measurements(case, outside, evidence, {}) if depends(case) else case for case in singles]
    return replace(first, singles=tuple(singles))


def cases_of(
    design: AuditDesign,
    trials: AllTrials,
    first: Cases,
    safeguards: Sequence[Safeguard],
    progress: Progress = lambda done, total: None,
) -> Cases:
    """The first cases with what became of their safeguards, from all trials."""
    first = replace(first, rest=rest_of(design, trials))
    singles = _safeguarded(design, trials, first, safeguards, progress)
    is_explained = any("shortcut" in claims_of(case, level_of(case)) for case in singles)
    is_shaped = first.rest is not None and first.rest.may_be_shape(first.n_tests) and not is_explained
    return replace(
        first,
        singles=tuple(replace(case, shape_may_matter=is_shaped) for case in singles),
        pairs=tuple(with_outcomes(case, safeguards) for case in first.pairs),
        marks=tuple(with_outcomes(case, safeguards) for case in first.marks),
    )


def not_separated(case: Case, other: Case, sample: Sample, regions: Mapping[str, str | None]) -> bool:
    """Whether these data cannot tell two factors apart: they share pixels, or their donors do the same.

    The correlation is that of the donors' effects within classes. Regions that share pixels, and a property beside
    anything, are apart only where it is shown to be below .5; regions that share none, unless it is above.
    """
    first, second = regions.get(case.factor), regions.get(other.factor)
    if case.is_core is not other.is_core and acts_outside(case) and acts_outside(other):
        return False  # the core, and what is shown to act outside of it
    rho, low, high = _within_classes(case.effect.donors, other.effect.donors, sample.labels, sample.clusters)
    if first and second and overlap_of(sample, first, second) <= DISJOINT:
        return low > 0.5
    both_vary = min(case.effect.sensitivity.low, other.effect.sensitivity.low) > 0
    return not (both_vary and high < 0.5 and rho < 0.5)


def _within_classes(effects: Floats, other: Floats, labels: Ints, clusters: Ints) -> tuple[float, float, float]:
    """The correlation within classes, with its interval (Fisher's z); each cluster counts once."""
    both = np.isfinite(effects) & np.isfinite(other)
    effects, classes = cluster_effects(np.where(both, effects, np.nan), labels, clusters)
    other, labels = cluster_effects(np.where(both, other, np.nan), labels, clusters)[0], classes
    kept = np.isfinite(effects)
    left = [np.where(kept, values, 0.0) for values in (effects, other)]
    for index in np.unique(labels[kept]):
        rows = kept & (labels == index)
        left = [np.where(rows, values - values[rows].mean(), values) for values in left]
    a, b = (values[kept] for values in left)
    n = int(kept.sum()) - len(np.unique(labels)) + 1
    size = math.sqrt(float((a**2).sum() * (b**2).sum()))
    if size == 0 or n < 5:
        return 0.0, -1.0, 1.0
    rho = min(max(float(a @ b) / size, -0.999999), 0.999999)
    half = Z / math.sqrt(n - 3)
    return rho, math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


def _of_factor(design: AuditDesign, trials: AllTrials, factor: Factor) -> list[Case]:
    """The effects of one factor on the audited split and on train; nothing yet about other factors."""
    audited = trials.get(TrialKey(factor.name, EXCHANGE, design.audited.split))
    if audited is None:
        return []
    train = trials.get(TrialKey(factor.name, EXCHANGE, "train")) if design.audited.split != "train" else None
    return [
        replace(
            _case(effect_of(audited, contrast, factor.kind), factor.words),
            on_train=None if train is None else effect_of(train, contrast, factor.kind),
            is_core=_is_core(design, factor),
            core_named=bool(design.request.core),
            core_is_region=bool(design.core_regions),
            is_named=factor.name in (*design.core, *design.core_regions),
            warnings=design.warnings.get(factor.name, ()),
        )
        for contrast in design.contrasts
    ]


def _case(effect: Effect, words: str) -> Case:
    return Case(
        factor=effect.factor,
        words=words,
        kind=effect.kind,
        effect=effect,
        p_holm=effect.margin.p_value,
        selected=effect.probability,
    )


def _is_core(design: AuditDesign, factor: Factor) -> bool | None:
    """Whether the user said that it should matter; a region that lies in the core mostly, counts as core."""
    if not design.core:
        return None
    if factor.name in design.core or factor.region in design.core_regions:
        return True
    if factor.region is None or not design.core_regions:
        return False
    return is_part(design.audited, factor.region, design.core_regions[0])


def _of_pair(design: AuditDesign, trials: Trials) -> list[Case]:
    pair = trials.key.factor
    if not isinstance(pair, Pair):
        return []
    effects = [effect_of(trials, contrast, "pair") for contrast in design.contrasts]
    return [replace(_case(effect, f"{pair}, exchanged together"), pair=pair) for effect in effects]


def _is_more_than_both(case: Case, trials: AllTrials, shown: set[str]) -> bool:
    """Whether two factors that show nothing alone do more together than what each does adds up to, trial by trial."""
    pair, contrast = case.pair, case.effect.contrast
    if pair is None or not depends(case) or shown & {pair.first, pair.second}:
        return False
    both, *alone = (
        trials.get(TrialKey(factor, EXCHANGE, case.effect.split)) for factor in (pair, pair.first, pair.second)
    )
    if both is None:
        return False
    in_margin, in_probability = both.margin_changes(contrast), both.probability_changes(contrast)
    for single in alone:
        if single is None or not np.array_equal(single.recipients, both.recipients):
            return False  # masks are missing for some images: their trials do not match
        if not np.array_equal(single.donors, both.donors):
            return False
        in_margin = in_margin - single.margin_changes(contrast)
        in_probability = in_probability - single.probability_changes(contrast)
    sign = np.sign(case.value)
    margin, probability = (class_effect(both, change, contrast)[0] for change in (in_margin, in_probability))
    is_beyond = min(sign * margin.low, sign * margin.high) > 0
    return bool(is_beyond and sign * probability.value >= AUDIT_THRESHOLDS["floor"])


def _of_mark(design: AuditDesign, trials: AllTrials, mark: Mark) -> list[Case]:
    """A mark against its neutral patch: the image is the unit, and no donors are needed."""
    marked, patched = (trials.get(TrialKey(mark.name, edit, design.audited.split)) for edit in (MARKED, PATCHED))
    if marked is None or patched is None:
        return []
    known = np.all([scores.predictions != UNDECIDED for scores in (marked.before, marked.after, patched.after)], axis=0)
    if not known.any():
        return []
    marked, patched = (trials_of.at(np.flatnonzero(known)) for trials_of in (marked, patched))
    cases, answers = [], mark_answers(marked, patched, design.classes)
    clusters = marked.clusters[marked.recipients]
    for contrast in design.contrasts:
        column = contrast.column
        columns = [scores.probabilities[:, column] for scores in (marked.before, patched.after, marked.after)]
        plain, patch, with_mark = (float(unit_means(values.astype(np.float64), clusters).mean()) for values in columns)
        case = _case(_mark_effect(marked, patched, contrast), mark.words)
        cases.append(replace(case, means=(plain, patch, with_mark), answers=answers, against=mark.against))
    return cases


def _mark_effect(marked: Trials, patched: Trials, contrast: Contrast) -> Effect:
    column, clusters = contrast.column, marked.clusters[marked.recipients]
    in_margin = (marked.after.margins - patched.after.margins)[:, column].astype(np.float64)
    in_probability = (marked.after.probabilities - patched.after.probabilities)[:, column].astype(np.float64)
    flips = (marked.after.predictions != patched.after.predictions).astype(np.float64)
    return Effect(
        factor=marked.name,
        kind="insert",
        split=marked.key.split,
        contrast=contrast,
        margin=_mean_difference(in_margin, clusters),
        probability=_mean_difference(in_probability, clusters),
        flips=mean_of(unit_means(flips, clusters)),
        flips_own=None,
        sensitivity=mean_of(unit_means(in_margin, clusters)),
        n_recipients=len(marked),
        n_trials=2 * len(marked),
        donors=np.full(marked.n_images, np.nan),
        unit=marked.unit,
    )


def _mean_difference(values: Floats, clusters: Ints) -> ClassDifference:
    """The mean over distinct images, or clusters of them, by Student's t."""
    values = unit_means(values, clusters)
    n = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    return difference_of(float(values.mean()), error, max(n - 1.0, 1.0), {0: n})


def _reserved(design: AuditDesign) -> int:
    """Tests of places that a search might have found: so how many it found changes nothing for what else is tested."""
    if design.places is None or not design.places.n_places:
        return 0
    return (most_found(design) - len(design.places.names)) * len(design.contrasts)


def _selected(cases: Sequence[Case], reserved: int = 0) -> list[Case]:
    """The cases with p-values adjusted over all of them, and intervals adjusted to how many stood out."""
    if not cases:
        return []
    adjusted = holm([*(case.p_holm for case in cases), *[1.0] * reserved])[: len(cases)]
    cases = [replace(case, p_holm=p) for case, p in zip(cases, adjusted, strict=True)]
    level = fcr_level(sum(map(depends, cases)), len(cases) + reserved)
    return [replace(case, selected=case.effect.probability.at(level)) for case in cases]


def _safeguarded(
    design: AuditDesign,
    trials: AllTrials,
    first: Cases,
    safeguards: Sequence[Safeguard],
    progress: Progress,
) -> list[Case]:
    rest, n_tests = first.rest, first.n_tests
    evidence = (
        Evidence(design, trials, first.singles)
        if rest is None
        else Evidence(
            design,
            trials,
            first.singles,
            rest.core,
            rest_is_at_rim=rest.is_at_rim(n_tests),
            nothing_beyond=rest.has_nothing_beyond(n_tests),
        )
    )
    kept, n_factors = dict[Any, Any](), len(design.factors)
    safeguarded = []
    for done, case in enumerate(first.singles, 1):
        safeguarded.append(with_outcomes(with_measurements(case, safeguards, evidence, kept), safeguards))
        progress(n_factors + done // len(design.contrasts), 2 * n_factors)
    return safeguarded

"""From cases to findings: what is told, in which order, with examples chosen by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from seewhy.errors import listed
from seewhy.evidence.checks.behaviour import Behaviour
from seewhy.evidence.checks.findings import behaviour_findings
from seewhy.evidence.findings.case import Case, SafeguardOutcome, acts_outside, depends, is_at_rim, numbers_of, too_few
from seewhy.evidence.findings.cases import AllTrials, Cases, not_separated
from seewhy.evidence.findings.causes import Cause, causes_of, explanation, led_by
from seewhy.evidence.findings.examples import with_exchanges, with_marked
from seewhy.evidence.findings.finding import Finding, Level
from seewhy.evidence.findings.levels import LEVELS, level_of
from seewhy.evidence.findings.named import with_name
from seewhy.evidence.findings.sentences import finding_of
from seewhy.evidence.findings.unnamed import place_finding, rest_finding
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import EXCHANGE, MARKED, PATCHED, Edit, TrialKey
from seewhy.evidence.trials.masked import is_part
from seewhy.evidence.trials.trial import UNDECIDED, Scores, Trials

WEAKLY: tuple[Level, ...] = ("WEAK", "CANNOT SAY")
CLASSIFIER, NO_CORE = "classifier", "shortcuts"
BESIDE = "larger causes"  # the outcome of one that was not held against them


@dataclass(frozen=True)
class Results:
    """What conclusions are drawn from: the trials with their cases, and what is known of the classifier itself.

    `before` are the scores of all images as they are, by split.
    """

    design: AuditDesign
    trials: AllTrials
    cases: Cases
    behaviour: Behaviour
    before: Mapping[str, Scores]

    def of(self, case: Case, edit: Edit) -> Trials | None:
        """The trials of a case's factor on the audited split."""
        return self.trials.get(TrialKey(case.factor, edit, self.design.audited.split))


def conclusions(results: Results) -> tuple[Finding, ...]:
    """All findings: what is wrong with the classifier first, then dependences, then what is open or excluded."""
    cases = results.cases
    chosen = [_most_telling(of_factor) for of_factor in _by_factor(cases.singles)]
    shown = [case for case in chosen if depends(case) and not too_few(case)]
    of_the_core = [case for case in shown if case.is_core or (case.is_core is False and not acts_outside(case))]
    findings = [_with_members(results, leader, members) for leader, members in _groups(of_the_core, results.design)]
    findings += _causes(results, [case for case in shown if case not in of_the_core])
    findings += [finding_of(case) for case in chosen if case not in shown]
    findings += [finding_of(case) for case in cases.pairs]
    findings += [_of_a_mark(results, _most_telling(of_factor)) for of_factor in _by_factor(cases.marks)]
    findings += _rest(results, findings) + _untested(results.design)
    first = [*_of_the_classifier(results.behaviour, results.before), *_without_core(results.design, shown)]
    return (*first, *_in_order(findings, results.design))


def _without_core(design: AuditDesign, shown: Sequence[Case]) -> list[Finding]:
    """What can be said at all where no core was named, once something is shown."""
    if design.request.core or not shown:
        return []
    text = (
        "No core was named, so what follows says what the decisions depend on, and not whether they should. A property "
        "of the whole picture reads the object as well as what surrounds it."
    )
    todo = "Name where the object lies, by a zone or by masks:  --core centre  or  --core object=FOLDER"
    return [Finding(NO_CORE, "CANNOT SAY", (), text, todo, numbers={"reason": "core"})]


def _in_order(findings: Sequence[Finding], design: AuditDesign) -> list[Finding]:
    """The gravest claims first, then dependences, by level and by size: of several about one pair that of the last.

    Without a core a dependence on a region comes before one on a property of the whole picture.
    """
    regions = {factor.name for factor in design.factors if factor.region}
    effects = {finding.factor: finding.numbers.get("probability", {}).get("value") or 0.0 for finding in findings}
    sizes = {factor: round(abs(value), 6) for factor, value in effects.items()}

    def place(finding: Finding) -> tuple[bool, bool, bool, int, float]:
        is_grave, depends = bool({"overfit", "shortcut"} & {*finding.claims}), "depends" in finding.claims
        is_later = not design.request.core and finding.factor not in regions
        return not is_grave, not depends, depends and is_later, LEVELS.index(finding.level), -sizes[finding.factor]

    return sorted(findings, key=place)


def _by_factor(cases: Sequence[Case]) -> list[list[Case]]:
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.factor, []).append(case)
    return list(groups.values())


def _most_telling(cases: Sequence[Case]) -> Case:
    """Of one factor's contrasts the largest dependence; where there is none the one whose interval reaches furthest."""
    shown = [case for case in cases if depends(case)]
    if shown:
        return max(shown, key=lambda case: case.size)
    return max(cases, key=lambda case: max(abs(case.effect.probability.low), abs(case.effect.probability.high)))


def _causes(results: Results, cases: Sequence[Case]) -> list[Finding]:
    """What acts outside of the core, each cause with what it explains; what is overfit under an overfit cause alone.

    Of a region that is shown weakly the parts that are shown well are told by themselves: the smaller edit may break
    less, and the larger one always explains what it holds. So is all that is shown well beside a place that was looked
    for at the core's rim, of which no more can be said.
    """
    findings = []
    causes = _held_against_larger(causes_of(cases, results.trials, results.design), results.design)
    for cause in map(_led_by_the_best_shown, causes):
        parts = _parts_shown_well(cause, results.design)
        findings += _causes(results, parts)
        others = [case for case in cause.explained if case not in parts]
        alone = [case for case in others if case.is_overfit and not cause.case.is_overfit]
        findings += [_with_members(results, case, []) for case in alone]
        findings.append(_with_explained(results, cause, [case for case in others if case not in alone]))
    return findings


def _held_against_larger(causes: Sequence[Cause], design: AuditDesign) -> list[Cause]:
    """The causes, the largest first; a smaller one fails where a trial with a larger one held is missing."""
    regions = {factor.name: factor.region for factor in design.factors}
    tried = []
    for place, cause in enumerate(causes):
        name, missing = cause.case.factor, list[str]()
        for other in (other.case.factor for other in causes[:place]):
            both = [region for region in (regions[name], regions[other]) if region]
            if (name, other) not in cause.relations and len(design.audited.pairs(both)):
                missing.append(other)
        if missing:
            words = f"it was not tried with {listed(missing, 3)} put back: it may be the same cause"
            outcome = SafeguardOutcome(BESIDE, False, words)
            cause = replace(cause, case=replace(cause.case, outcomes=(*cause.case.outcomes, outcome)))
        tried.append(cause)
    return tried


def _parts_shown_well(cause: Cause, design: AuditDesign) -> list[Case]:
    """The regions within a weakly shown one that are shown well; of a place sought at the rim all that are."""
    regions = {factor.name for factor in design.factors if factor.region}
    if level_of(cause.case) not in WEAKLY or cause.case.factor not in regions:
        return []
    well = [case for case in cause.explained if level_of(case) not in WEAKLY]
    if cause.case.factor in design.sought_at_rim:
        return well
    return [case for case in well if case.factor in regions and is_part(design.audited, case.factor, cause.case.factor)]


def _led_by_the_best_shown(cause: Cause) -> Cause:
    """The cause, led by the largest of its alternatives that is shown well where its own factor is shown weakly."""
    if level_of(cause.case) not in WEAKLY:
        return cause
    well = [case for case in cause.explained if case.factor in cause.alternatives and level_of(case) not in WEAKLY]
    return led_by(cause, max(well, key=lambda case: case.size)) if well else cause


def _with_explained(results: Results, cause: Cause, explained: Sequence[Case]) -> Finding:
    """The finding of a cause: what it explains, and what is left of that where the cause stays as it was."""
    finding = _with_members(results, cause.case, explained, explanation(cause, explained))
    names = {case.factor for case in explained}
    alternatives = tuple(name for name in cause.alternatives if name in names)
    held = {name: vars(held.probability) | {"share": held.share} for name, held in cause.held.items() if name in names}
    return replace(finding, alternatives=alternatives, numbers={**finding.numbers, "held": held})


def _groups(cases: Sequence[Case], design: AuditDesign) -> list[tuple[Case, list[Case]]]:
    """Dependences under the largest one that these data cannot separate them from; a found part of the core alone."""
    regions = {factor.name: factor.region for factor in design.factors}
    parts = frozenset() if design.places is None else design.places.inside
    groups: list[tuple[Case, list[Case]]] = []
    for case in sorted(cases, key=lambda case: (not case.is_core, -case.size)):  # the core leads
        others = ((leader, members) for leader, members in groups if leader.factor not in parts)
        apart = (members for leader, members in others if not_separated(case, leader, design.audited, regions))
        home = next(apart, None)
        if home is None or case.factor in parts:
            groups.append((case, []))
        else:
            home.append(case)
    return groups


def _with_members(results: Results, leader: Case, members: Sequence[Case], words: str | None = None) -> Finding:
    finding = with_name(finding_of(leader), leader, results.design, results.trials)
    sample = results.design.audited
    if members:
        named = listed([f"{member.factor} ({100 * member.value:+.1f} points)" for member in members], 6)
        finding = replace(
            finding,
            text=f"{finding.text} {words or f'Not separated from it by these data: {named}.'}",
            members=tuple(member.factor for member in members),
            numbers={**finding.numbers, "members": {member.factor: _as_member(member) for member in members}},
        )
    exchanges = results.of(leader, EXCHANGE)
    if exchanges is None:
        return finding
    return with_exchanges(finding, leader, exchanges, results.before[sample.split], sample, results.design.classes)


def _as_member(case: Case) -> dict[str, Any]:
    """The effect, and beside it everything that would stand in a finding of its own."""
    return {**vars(case.effect.probability), **numbers_of(case)}


def _of_a_mark(results: Results, case: Case) -> Finding:
    """The finding of a mark, with images at fixed quantiles of what it does to them."""
    finding, marked, patched = finding_of(case), results.of(case, MARKED), results.of(case, PATCHED)
    if marked is None or patched is None or "depends" not in finding.claims:
        return finding
    return with_marked(finding, case, marked, patched, results.design.audited, results.design.classes)


def _of_the_classifier(behaviour: Behaviour, before: Mapping[str, Scores]) -> list[Finding]:
    """What `check` finds wrong with the classifier itself: it comes before everything else."""
    findings = []
    for split, scores in before.items():
        if broken := int((scores.predictions == UNDECIDED).sum()):
            text = (
                f"{broken} of {len(scores)} images of {split} give NaN or infinite logits, or make the network fail, "
                "and are left out."
            )
            todo = "Why, image by image:  seewhy explain.  The weights and the input's range:  seewhy check"
            findings.append(Finding(CLASSIFIER, "CANNOT SAY", ("classifier",), text, todo))
    return findings + [
        Finding(
            CLASSIFIER,
            "CANNOT SAY",
            ("classifier",),
            finding.text,
            f"{finding.todo}  More:  seewhy check",
            numbers=finding.numbers,
        )
        for finding in (behaviour_findings(behaviour) if behaviour.n_images else [])
        if finding.stops_audit
    ]


def _weak(cases: Cases) -> tuple[str, ...]:
    """The factors outside of the core that are shown to act there, whatever keeps them from being called a shortcut."""
    acting = (
        case.factor
        for case in cases.singles
        if case.is_core is False and depends(case) and case.value > 0 and acts_outside(case) and not is_at_rim(case)
    )
    return tuple(dict.fromkeys(acting))


def _rest(results: Results, findings: Sequence[Finding]) -> list[Finding]:
    """The omnibus: with the core exchanged, does anything that is left predict the label?"""
    design, cases = results.design, results.cases
    if cases.rest is None:
        return []
    place = place_finding(design, cases.rest, cases.n_tests)
    is_named = place is not None or any("shortcut" in finding.claims for finding in findings)
    is_collapsed = results.behaviour.collapsed_to is not None
    rest = rest_finding(
        design, cases.rest, cases.n_tests, is_named=is_named, is_collapsed=is_collapsed, weak=_weak(cases)
    )
    return [rest] if place is None else [place, rest]


def _untested(design: AuditDesign) -> list[Finding]:
    """Factors that could not be tested, each with its reason and what to add."""
    findings = [
        Finding(
            factor=name,
            level="CANNOT SAY",
            claims=(),
            text=f"It cannot be tested: {why.reason}.",
            todo=why.advice,
            numbers={"reason": why.reason},
        )
        for name, why in design.ruled_out.items()
    ]
    budget = design.budget or 0
    for name in design.schedule.left_out:
        text = f"It was not tested: a budget of {budget:,} trials does not reach it, and it is among the least suspect."
        findings.append(Finding(name, "CANNOT SAY", (), text, "A larger --budget.", numbers={"reason": "budget"}))
    if not design.audited.partners.size:
        counts = _class_counts(design)
        text = f"Factors cannot be exchanged between classes: {counts}."
        todo = (
            "Add images of the other classes, or take some of each by --sample.  A mark can be tested without them:  "
            "--mark NAME=text:WORD"
        )
        findings.append(Finding("all factors", "CANNOT SAY", (), text, todo, numbers={"reason": "classes"}))
    return findings


def _class_counts(design: AuditDesign) -> str:
    sample = design.audited
    counts = np.bincount(sample.labels, minlength=len(design.classes))
    if counts.max() == 1:
        return f"there is one image of each of {len(sample)} classes"
    present = [f"{name} {count}" for name, count in zip(design.classes, counts.tolist(), strict=True) if count]
    return f"{sample.split} holds {listed(present, 4)}"

"""From cases to findings: what is told, in which order, with examples chosen by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seewhy.errors import listed
from seewhy.estimates import Floats
from seewhy.evidence.checks.behaviour import Behaviour
from seewhy.evidence.checks.findings import behaviour_findings
from seewhy.evidence.findings.case import Case, Level, depends, too_few
from seewhy.evidence.findings.cases import Cases, not_separated
from seewhy.evidence.findings.effects import changes, picked
from seewhy.evidence.findings.figures import interval, points
from seewhy.evidence.findings.finding import Finding, numbers_of
from seewhy.evidence.findings.levels import LEVELS
from seewhy.evidence.findings.sentences import finding_of
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS, LEAST_IMAGES
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.sample import OWN_CLASS, Sample
from seewhy.evidence.trials.trial import DONORS, INSERTED, NEUTRAL_MARK, UNDECIDED, Scores, Trials, contrasts_of

QUANTILES = (0.99, 0.95, 0.75)  # of the trials' effects, for examples; their complements for counter-examples
MOST_COUNTER_IMAGES = 6
CLASSIFIER, REST = "classifier", "everything outside the core"


def conclusions(
    design: AuditDesign, cases: Cases, behaviour: Behaviour, before: Mapping[str, Scores], trials: Sequence[Trials]
) -> tuple[Finding, ...]:
    """All findings: what is wrong with the classifier first, then dependences, then what is open or excluded."""
    regions = {one.name: one.region for one in design.factors}
    told = [_told(own) for own in _by_factor(cases.singles)]
    shown = [case for case in told if depends(case) and not too_few(case)]
    groups = _groups([case for case in shown if not _is_overfit(case)], design.audited, regions)
    groups += [(case, []) for case in shown if _is_overfit(case)]  # a claim of its own is never a member's
    found = [_with_members(design, before, trials, leader, members) for leader, members in groups]
    found += [finding_of(case, design.classes) for case in told if case not in shown]
    found += [finding_of(case, design.classes) for case in cases.pairs]
    found += [_of_a_mark(design, before, trials, _told(own)) for own in _by_factor(cases.marks)]
    found += _rest(design, cases, behaviour) + _untested(design)
    size = {finding.factor: abs(finding.numbers.get("probability", {}).get("value") or 0.0) for finding in found}
    found.sort(
        key=lambda one: (not {"overfit", "shortcut"} & {*one.claims}, LEVELS.index(one.level), -size[one.factor])
    )
    return (*_of_the_classifier(behaviour, before), *found)


def _is_overfit(case: Case) -> bool:
    return case.overfit is not None and case.overfit.overfit


def _by_factor(cases: Sequence[Case]) -> list[list[Case]]:
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.factor, []).append(case)
    return list(found.values())


def _told(cases: Sequence[Case]) -> Case:
    """The contrast of a factor that is told: the largest dependence, else the one that is most open."""
    shown = [case for case in cases if depends(case)]
    if shown:
        return max(shown, key=lambda case: abs(case.value))
    return max(cases, key=lambda case: max(abs(case.effect.probability.low), abs(case.effect.probability.high)))


def _groups(cases: Sequence[Case], sample: Sample, regions: Mapping[str, str | None]) -> list[tuple[Case, list[Case]]]:
    """Dependences under the largest one that these data cannot separate them from."""
    groups: list[tuple[Case, list[Case]]] = []
    for case in sorted(cases, key=lambda one: (not one.is_core, -abs(one.value))):  # the core leads
        home = next((own for leader, own in groups if not_separated(case, leader, sample, regions)), None)
        if home is None:
            groups.append((case, []))
        else:
            home.append(case)
    return groups


def _with_members(
    design: AuditDesign, before: Mapping[str, Scores], trials: Sequence[Trials], leader: Case, members: Sequence[Case]
) -> Finding:
    finding = finding_of(leader, design.classes)
    if members:
        named = listed([f"{one.factor} ({100 * one.value:+.1f} points)" for one in members], 6)
        finding = replace(
            finding,
            text=f"{finding.text} Not separated from it by these data: {named}.",
            members=tuple(one.factor for one in members),
            numbers={**finding.numbers, "members": {one.factor: _as_member(one) for one in members}},
        )
    sample = design.audited
    own = picked(trials, leader.factor, DONORS, sample.split)
    if own is None:
        return finding
    good, bad = _examples(own, before[sample.split], sample, leader, design.classes)
    return replace(finding, examples=good, counter_examples=bad)


def _as_member(case: Case) -> dict[str, Any]:
    """The effect, and beside it everything that would stand in a finding of its own."""
    return {**vars(case.effect.probability), **numbers_of(case)}


def _of_a_mark(design: AuditDesign, before: Mapping[str, Scores], trials: Sequence[Trials], case: Case) -> Finding:
    """The finding of a mark, with images at fixed quantiles of what it does to them."""
    finding, sample = finding_of(case, design.classes), design.audited
    marked, patched = (picked(trials, case.factor, edit, sample.split) for edit in (INSERTED, NEUTRAL_MARK))
    if marked is None or patched is None or "depends" not in finding.claims:
        return finding
    column = list(contrasts_of(design.classes)).index(case.effect.contrast)
    after = [one.scores.probabilities[:, column] for one in (patched, marked)]
    order = np.argsort(-(after[1] - after[0]) * np.sign(case.value), kind="stable")
    scores = before[sample.split]

    def at(quantile: float) -> dict[str, Any]:
        row = int(order[round((1 - quantile) * (len(order) - 1))])
        place = int(marked.recipients[row])
        return {
            "recipient": sample.images[place].id,
            "label": sample.images[place].label,
            "contrast": case.effect.contrast,
            "before": float(scores.probabilities[place, column]),
            "patch": float(after[0][row]),
            "after": float(after[1][row]),
            "prediction_before": _named(design.classes, scores.predictions[place]),
            "prediction": _named(design.classes, marked.scores.predictions[row]),
            "quantile": quantile,
        }

    return replace(
        finding,
        examples=tuple(at(one) for one in QUANTILES),
        counter_examples=tuple(at(1 - one) for one in reversed(QUANTILES)),
    )


def _named(classes: Sequence[str], index: int) -> str | None:
    return None if index == UNDECIDED else classes[index]


def _examples(
    own: Trials, before: Scores, sample: Sample, case: Case, classes: Sequence[str]
) -> tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]:
    """Trials at fixed quantiles of the effect in the direction of the finding, and of the opposite ones."""
    column = list(contrasts_of(classes)).index(case.effect.contrast)
    change = changes(own, before, column)[1] * aligned(own, sample, case.effect.contrast, classes) * np.sign(case.value)
    order = np.argsort(-change, kind="stable")

    def at(quantile: float) -> dict[str, Any]:
        row = int(order[min(len(order) - 1, round((1 - quantile) * (len(order) - 1)))])
        place, donor = int(own.recipients[row]), int(own.donors[row])
        return {
            "recipient": sample.images[place].id,
            "donor": sample.images[donor].id,
            "label": sample.images[place].label,
            "donor_label": sample.images[donor].label,
            "contrast": case.effect.contrast,
            "before": float(before.probabilities[place, column]),
            "after": float(own.scores.probabilities[row, column]),
            "prediction_before": _named(classes, before.predictions[place]),
            "prediction": _named(classes, own.scores.predictions[row]),
            "quantile": quantile,
        }

    good = tuple(at(one) for one in QUANTILES)
    return good, (*(at(1 - one) for one in reversed(QUANTILES)), *_counter_images(before, sample, case, classes))


def _counter_images(before: Scores, sample: Sample, case: Case, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Images whose own content speaks most for another class, and that are judged right all the same."""
    if case.effect.contrast == OWN_CLASS:
        return []
    own = list(classes).index(case.effect.contrast)
    sign = np.where(sample.labels == own, -1.0, 1.0) * np.sign(case.value)  # for the other side
    misleading = np.where(np.isfinite(case.effect.donors), case.effect.donors * sign, -np.inf)
    right = before.predictions == sample.labels
    order = [int(place) for place in np.argsort(-misleading, kind="stable") if right[place] and misleading[place] > 0]
    column = list(contrasts_of(classes)).index(case.effect.contrast)
    return [
        {
            "image": sample.images[place].id,
            "label": sample.images[place].label,
            "contrast": case.effect.contrast,
            "probability": float(before.probabilities[place, column]),
            "its_content_moves_others": float(case.effect.donors[place]),
        }
        for place in order[:MOST_COUNTER_IMAGES]
    ]


def aligned(own: Trials, sample: Sample, contrast: str, classes: Sequence[str]) -> Floats:
    """+1 for trials (T,) whose donor is of the contrast's class (of the recipient's own class), else -1."""
    given = sample.labels[own.donors]
    target = sample.labels[own.recipients] if contrast == OWN_CLASS else list(classes).index(contrast)
    return np.where(given == target, 1.0, -1.0)


def _of_the_classifier(behaviour: Behaviour, before: Mapping[str, Scores]) -> list[Finding]:
    """What `check` finds wrong with the classifier itself: it comes before everything else."""
    found = []
    for split, scores in before.items():
        if broken := int((scores.predictions == UNDECIDED).sum()):
            text = f"{broken} of {len(scores)} images of {split} give NaN or infinite logits, and are left out."
            todo = "Look at the weights and the input's range.  More:  seewhy check"
            found.append(Finding(CLASSIFIER, "CANNOT SAY", ("classifier",), text, todo))
    return found + [
        Finding(
            CLASSIFIER, "CANNOT SAY", ("classifier",), one.text, f"{one.todo}  More:  seewhy check", numbers=one.numbers
        )
        for one in behaviour_findings(behaviour)
        if one.level in ("bad", "cannot say") or (one.level == "caution" and "hardly better" in one.text)
    ]


def _rest(design: AuditDesign, cases: Cases, behaviour: Behaviour) -> list[Finding]:
    """The omnibus: with the core exchanged, does anything that is left predict the label?"""
    if cases.rest is None:
        return []
    counts_of = design.audited.counts
    if (fewest := min(counts_of[counts_of > 0])) < LEAST_IMAGES:
        text = f"A class has {fewest} images on {design.audited.split}; {LEAST_IMAGES} are needed."
        return [Finding(REST, "CANNOT SAY", (), text, "Add images.")]
    benefit, contrast = cases.rest.benefit, cases.rest.contrast
    core = " and ".join(design.core_regions)
    p_value = min(1.0, contrast.p_value * (len(cases.singles) + len(cases.pairs) + len(cases.marks) + 1))
    counts = f"{benefit.n} images, {design.audited.split}; p = {p_value:.2g} among all tests"
    text = (
        f"With the {core} of images of random classes and all else kept, the labels are still predicted "
        f"{points(benefit.value)} points {interval(benefit)} better than by guessing ({counts})"
    )
    floor = AUDIT_THRESHOLDS["floor"]
    numbers = {"benefit": vars(benefit), "margin": vars(contrast), "p": p_value}
    if p_value < AUDIT_THRESHOLDS["level"] and benefit.low > 0:
        level: Level = "STRONG" if benefit.low >= AUDIT_THRESHOLDS["strong"] * floor else "MODERATE"
        text += ": something outside of the core is used, named here or not."
        todo = "Name more regions and properties until their effects explain it."
        return [Finding(REST, level, ("depends",), text, todo, numbers=numbers)]
    if benefit.high < floor and behaviour.collapsed_to is None and p_value >= AUDIT_THRESHOLDS["level"]:
        return [Finding(REST, "NONE LARGER THAN", (), text + ".", numbers=numbers)]
    text += ": neither shown nor excluded."
    return [Finding(REST, "CANNOT SAY", (), text, "More images would tell.", numbers=numbers)]


def _untested(design: AuditDesign) -> list[Finding]:
    """Factors that could not be tested, each with its reason and what to add."""
    found = [
        Finding(name, "CANNOT SAY", (), f"It cannot be tested: {reason}.", _advice(reason), numbers={"reason": reason})
        for name, reason in design.ruled_out.items()
    ]
    budget = design.budget or 0
    for name in design.schedule.left_out:
        text = f"It was not tested: a budget of {budget:,} trials does not reach it, and it is among the least suspect."
        found.append(Finding(name, "CANNOT SAY", (), text, "A larger --budget.", numbers={"reason": "budget"}))
    if not design.audited.partners.size:
        counts = _class_counts(design)
        text = f"Factors cannot be exchanged between classes: {counts}."
        todo = "Add images of the other classes.  A mark can be tested without them:  --insert NAME=text:WORD"
        found.append(Finding("all factors", "CANNOT SAY", (), text, todo, numbers={"reason": "classes"}))
    return found


def _class_counts(design: AuditDesign) -> str:
    sample = design.audited
    counts = np.bincount(sample.labels, minlength=len(design.classes))
    if counts.max() == 1:
        return f"there is one image of each of {len(sample)} classes"
    present = [f"{name} {count}" for name, count in zip(design.classes, counts.tolist(), strict=True) if count]
    return f"{sample.split} holds {listed(present, 4)}"


def _advice(reason: str) -> str:
    if "canvas" in reason:
        return "Give --size, --mean and --std in place of the function; regions are tested all the same."
    if "the same in" in reason:
        return "Leave it out, or add images in which it differs."
    return "Look at the region's masks; another source may fit:  --regions NAME=FOLDER"

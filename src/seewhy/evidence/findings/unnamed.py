"""The omnibus test: does anything outside of the core decide, whether a factor names it or not?

With the core exchanged whatever still tells the label lies outside of it; but so does the rim of a core drawn too
small, and the core's outline, size and place stay the recipient's. So before that is called a shortcut one place is
exchanged, the same in all images, that holds the core of nearly every image, drawn larger; or, where cores lie
anywhere, the boxes around the cores of both images. And the core is moved, to tell what its place does by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seewhy.errors import counted, listed
from seewhy.evidence.factors.edits import grown
from seewhy.evidence.factors.region_grammar import SEARCH
from seewhy.evidence.findings.claims import Claim
from seewhy.evidence.findings.effects import weights_of
from seewhy.evidence.findings.figures import interval, points
from seewhy.evidence.findings.finding import Finding, Level
from seewhy.evidence.findings.safeguards.core_property import core_properties
from seewhy.evidence.findings.safeguards.rim import LEAST_LEFT, growths_in_pixels
from seewhy.evidence.findings.safeguards.train import BOOTSTRAP
from seewhy.evidence.findings.whole_object import Boxes, Moved, Place, left_of_boxes, moved_of, whole_object_jobs
from seewhy.evidence.inference.bootstrap import Omnibus, omnibus, recipient_difference
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS, LEAST_IMAGES
from seewhy.evidence.trials.contrast import MOST_CLASSES, OTHERS, contrasts_of
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import EXCHANGE, Edit, TrialKey
from seewhy.evidence.trials.proposers import is_enough
from seewhy.evidence.trials.sample import CHUNK, Sample
from seewhy.evidence.trials.trial import UNDECIDED, Job, Trials

REST = "everything outside the core"
RARE = 0.02  # of the images, in which a pixel may lie in the core and still count as outside of it in all


@dataclass(frozen=True)
class Away:
    """An omnibus test away from the core: the share of the picture that stays, and the pixels by which it is larger."""

    test: Omnibus
    left: float
    pixels: int
    is_boxes: bool = False


@dataclass(frozen=True)
class OmnibusTests:
    """The omnibus test with the core exchanged, and by pixels with the place of all cores, drawn so much larger.

    `left` are the shares of the picture outside of these places. `boxes` is the test with the boxes around the cores of
    both images exchanged, and what that leaves. `moved` says by contrast what the core's place does.
    """

    core: Omnibus
    places: Mapping[int, Omnibus] = field(default_factory=dict)
    left: Mapping[int, float] = field(default_factory=dict)
    boxes: Away | None = None
    moved: tuple[Moved, ...] = ()

    @property
    def away(self) -> list[Away]:
        """The tests away from the core: outside of the largest place that was tried, and of the boxes."""
        pixels = max(self.places, default=0)
        place = [Away(self.places[pixels], self.left[pixels], pixels)] if self.places else []
        return place + ([] if self.boxes is None else [self.boxes])

    def persists(self, away: Away, n_tests: int) -> bool:
        """Whether enough is shown to be left there."""
        benefit, least = away.test.benefit, AUDIT_THRESHOLDS["unnamed"] * self.core.benefit.value
        return is_shown(away.test, n_tests) and benefit.low >= AUDIT_THRESHOLDS["floor"] and benefit.value >= least

    def is_at_rim(self, n_tests: int) -> bool:
        """Whether something is shown with the core exchanged, and nothing away from the core, where that was tried."""
        is_away = any(is_shown(away.test, n_tests) for away in self.away)
        return is_shown(self.core, n_tests) and bool(self.away) and not is_away

    def has_nothing_beyond(self, n_tests: int) -> bool:
        """Whether something is shown with the core exchanged, be it in the margin alone, and nothing away from it."""
        is_away = any(_is_beyond_chance(away.test, n_tests) for away in self.away)
        in_margin = _is_beyond_chance(self.core, n_tests) and bool(self.away) and not is_away
        return in_margin or self.is_at_rim(n_tests)

    def may_be_shape(self, n_tests: int) -> bool:
        """Whether what is shown with the core's pixels exchanged may be its outline, its size or its place."""
        moves = any(moved.is_shown(n_tests + len(self.moved)) for moved in self.moved)
        is_away = any(self.persists(away, n_tests) for away in self.away)
        return is_shown(self.core, n_tests) and (moves or not is_away)

    def best(self, n_tests: int) -> Away | None:
        """The first of them that shows enough, else the first."""
        return next((away for away in self.away if self.persists(away, n_tests)), next(iter(self.away), None))


def is_shown(test: Omnibus, n_tests: int) -> bool:
    """Whether something is shown to tell the label, among so many tests."""
    return _is_beyond_chance(test, n_tests) and test.benefit.low > 0


def _is_beyond_chance(test: Omnibus, n_tests: int) -> bool:
    """Whether the margin is shown to tell the label, though the decisions may not."""
    return test.surest_class.p_value * n_tests < AUDIT_THRESHOLDS["level"]


def rest_of(design: AuditDesign, trials: Mapping[TrialKey, Trials]) -> OmnibusTests | None:
    """The omnibus test from the trials there are; None where no core was named or exchanged."""
    core = _tested(design, trials, EXCHANGE)
    if core is None:
        return None
    places, left = {}, {}
    for pixels in growths_in_pixels(design.audited):
        test = _tested(design, trials, _edit(pixels))
        if test is not None:
            places[pixels] = test
            left[pixels] = 1 - float(place_of(design.audited, design.core_regions[0], pixels).mean())
    return OmnibusTests(core, places, left, _boxes_of(design, trials), moved_of(design, trials))


def _boxes_of(design: AuditDesign, trials: Mapping[TrialKey, Trials]) -> Away | None:
    core, pixels = design.core_regions[0], growths_in_pixels(design.audited)[0]
    test = _tested(design, trials, EXCHANGE, Boxes(core).name)
    return None if test is None else Away(test, left_of_boxes(design.audited, core, pixels), pixels, is_boxes=True)


def place_jobs(design: AuditDesign, rest: OmnibusTests | None, n_tests: int) -> list[Job]:
    """The exchanges of the place of all cores, where the omnibus test shows something and the place leaves enough.

    Where it shows it in the decisions, those of whole objects as well.
    """
    if rest is None or not _is_beyond_chance(rest.core, n_tests):
        return []
    sample, core = design.audited, design.core_regions[0]
    jobs = []
    for pixels in growths_in_pixels(sample):
        place = place_of(sample, core, pixels)
        if 1 - float(place.mean()) >= LEAST_LEFT:
            jobs.append(Job(TrialKey(core, _edit(pixels), sample.split), sample.pairs([core]), control=place[None]))
    if not is_shown(rest.core, n_tests):
        return jobs
    return jobs + whole_object_jobs(design, growths_in_pixels(sample)[0], LEAST_LEFT)


def place_of(sample: Sample, core: str, pixels: int) -> Tensor:
    """The pixels (H, W), 1 or 0, that lie in the core drawn larger in more than one of fifty images."""
    masks = sample.masks[core]
    total = torch.zeros(masks.shape[1:])
    for places in torch.arange(len(masks)).split(CHUNK):
        total += (grown(sample.masks_at(core, places), pixels) > 0.5).float().sum(dim=0).cpu()
    return (total / len(masks) > RARE).float()


def rest_finding(
    design: AuditDesign,
    rest: OmnibusTests,
    n_tests: int,
    *,
    is_named: bool,
    is_collapsed: bool,
    weak: Sequence[str] = (),
) -> Finding:
    """What the omnibus test tells; `is_named`: a finding tells a shortcut by its name already.

    `weak` are factors outside of the core that are shown to act there, and are not called a shortcut.
    """
    counts_of = design.audited.unit_counts
    if (fewest := int(min(counts_of[counts_of > 0]))) < LEAST_IMAGES:
        had = counted(fewest, design.audited.unit)
        text = f"A class has {had} on {design.audited.split}; {LEAST_IMAGES} are needed."
        return Finding(REST, "CANNOT SAY", (), text, "Add images.")
    if not rest.core.benefit.n:
        text = "With the core exchanged no image gives an answer: all logits are NaN or infinite."
        return Finding(REST, "CANNOT SAY", (), text, "What is wrong with them:  seewhy check")
    numbers, text = _numbers(rest, n_tests), _first_sentence(design, rest, n_tests)
    if is_shown(rest.core, n_tests):
        return _shown(design, rest, n_tests, text, numbers, is_named=is_named, weak=weak)
    is_unlikely = rest.core.surest_class.p_value * n_tests < AUDIT_THRESHOLDS["level"]
    if rest.core.benefit.high < AUDIT_THRESHOLDS["floor"] and not is_collapsed and not is_unlikely:
        return Finding(REST, "NONE LARGER THAN", (), text + ".", numbers=numbers)
    if is_collapsed:
        text += ": it answers one class whatever the image, so that says nothing."
        return Finding(REST, "CANNOT SAY", (), text, "What is wrong with it:  seewhy check", numbers=numbers)
    if is_unlikely and rest.core.benefit.high < AUDIT_THRESHOLDS["floor"]:
        margin = rest.core.surest_class
        text += (
            f": it is shown in the margin alone ({margin.value:+.2f} [{margin.low:+.2f}, {margin.high:+.2f}] logits "
            f"between the classes), and turns less than {points(AUDIT_THRESHOLDS['floor'])} points of the decisions."
        )
        return Finding(REST, "CANNOT SAY", (), text, numbers=numbers)
    text += ": neither shown nor excluded."
    return Finding(REST, "CANNOT SAY", (), text, "More images would tell.", numbers=numbers)


def _shown(
    design: AuditDesign,
    rest: OmnibusTests,
    n_tests: int,
    text: str,
    numbers: dict[str, Any],
    *,
    is_named: bool,
    weak: Sequence[str],
) -> Finding:
    """What is told where the core's exchange leaves something: a dependence away from the core, or but a rim."""
    todo = "Name more regions and properties until their effects explain it."
    if SEARCH not in design.request.regions and is_enough(design.audited, design.seed):
        named = ",".join(spec if isinstance(spec, str) else spec.name for spec in design.request.regions)
        todo += f"  Or let the audit look for the place:  --regions {named},{SEARCH}"
    away = rest.best(n_tests)
    if away is None:
        text += (
            ". The core's rim, its outline, its size and its place cannot be told from that: the cores of all images "
            "leave too little of the picture, or the budget does not reach it."
        )
        return Finding(REST, "WEAK", ("depends",), text, todo, numbers=numbers)
    left, what = away.test.benefit, "boxes around the cores of both images" if away.is_boxes else "place of all cores"
    text += (
        f". With the {what} exchanged, drawn {away.pixels} pixels larger, so that {away.left:.0%} of "
        f"the picture stays, it is {points(left.value)} points {interval(left)}"
    )
    if not rest.persists(away, n_tests):
        text += ": it may be the core's rim, its outline, its size or its place, or lie too near to it."
        return Finding(REST, "CANNOT SAY", ("at the core's rim",), text, todo, numbers=numbers)
    if properties := core_properties(design):
        text += (
            f": something outside of the {' and '.join(design.core_regions)} is used; it may all be the "
            f"{listed(properties)}, which was named as core, too."
        )
        return Finding(REST, "WEAK", ("depends",), text, todo, numbers=numbers)
    claims: tuple[Claim, ...] = ("depends",) if is_named else ("depends", "shortcut")
    cause = "and no region or property that was tried is shown to be its cause."
    if weak:
        are = "is" if len(weak) == 1 else "are"
        cause = (
            f"and of what was tried {listed(weak)} {are} shown to act there, but not all that was checked of it holds."
        )
    text += ": something outside of the core is used, " + ("named here or not." if is_named else cause)
    strong = AUDIT_THRESHOLDS["strong"] * AUDIT_THRESHOLDS["floor"]
    level: Level = "STRONG" if min(left.low, rest.core.benefit.low) >= strong else "MODERATE"
    return Finding(REST, level, claims, text, todo, numbers=numbers)


def place_finding(design: AuditDesign, rest: OmnibusTests, n_tests: int) -> Finding | None:
    """What the core's place does, where that is shown: its pixels are the same wherever it is moved."""
    n_tests += len(rest.moved)
    shown = [moved for moved in rest.moved if moved.is_shown(n_tests) and is_shown(rest.core, n_tests)]
    if not shown:
        return None
    most, core = max(shown, key=lambda moved: moved.there.value), design.core_regions[0]
    there, beyond, contrast = most.there, most.beyond, most.contrast
    instead = "others lie" if contrast.against == OTHERS else f"that of {contrast.against} ones lies"
    text = (
        f"With the {core} moved to where that of {contrast.name} images lies in place of where {instead}, and all of "
        f"its pixels and all around it kept, P({contrast.name}) rises by {points(there.value)} points "
        f"{interval(there)}, by {points(beyond.value)} {interval(beyond)} more than when it is moved as far the other "
        f"way (p = {min(1.0, most.p_value * n_tests):.2g} among all tests). Where it lies was not named as what should "
        "matter."
    )
    strong = AUDIT_THRESHOLDS["strong"] * AUDIT_THRESHOLDS["floor"]
    level: Level = "STRONG" if min(there.low, beyond.low) >= strong else "MODERATE"
    numbers = {"benefit": vars(there), "beyond": vars(beyond), "contrast": contrast.name, "p": most.p_value * n_tests}
    todo = "Move the images, or cut them, at random in training."
    return Finding(Place(core).name, level, ("depends", "shortcut"), text, todo, numbers=numbers)


def _first_sentence(design: AuditDesign, rest: OmnibusTests, n_tests: int) -> str:
    benefit = rest.core.benefit
    p_value = min(1.0, rest.core.surest_class.p_value * n_tests)
    counts = f"{benefit.n} images, {design.audited.split}; p = {p_value:.2g} among all tests"
    return (
        f"With the {' and '.join(design.core_regions)} of images of random classes and all else kept, the labels are "
        f"still predicted {points(benefit.value)} points {interval(benefit)} better than by guessing ({counts})"
    )


def _numbers(rest: OmnibusTests, n_tests: int) -> dict[str, Any]:
    p_value = min(1.0, rest.core.surest_class.p_value * n_tests)
    places = {
        str(pixels): {"benefit": vars(test.benefit), "margin": vars(test.contrast), "left": rest.left[pixels]}
        for pixels, test in rest.places.items()
    }
    told = {"benefit": vars(rest.core.benefit), "margin": vars(rest.core.contrast), "p": p_value}
    if rest.boxes is not None:
        test = rest.boxes.test
        told["boxes"] = {"benefit": vars(test.benefit), "margin": vars(test.contrast), "left": rest.boxes.left}
    return {**told, "places": places} if places else told


def _edit(pixels: int) -> Edit:
    return Edit("control", grow_px=pixels)


def _tested(
    design: AuditDesign, trials: Mapping[TrialKey, Trials], edit: Edit, factor: str | None = None
) -> Omnibus | None:
    """Whether anything is predictive that an exchange leaves, of the core or of a `factor`; None if it was not made.

    It is told by the class of whose score that is surest, with p times the number of classes that are asked about;
    trials without an answer are left out.
    """
    if not design.core_regions or len(design.classes) > MOST_CLASSES:
        return None
    exchanges = trials.get(TrialKey(factor or design.core_regions[0], edit, design.audited.split))
    if exchanges is None:
        return None
    first, *others = contrasts_of(design.classes)
    predictions, margins = exchanges.after.predictions, exchanges.after.margins.astype(np.float64)
    test = omnibus(
        recipient=exchanges.recipients,
        donor=exchanges.donors,
        after=margins[:, first.column],
        right=np.where(predictions == UNDECIDED, np.nan, predictions == exchanges.recipient_labels),
        recipient_class=exchanges.labels,
        donor_class=exchanges.labels,
        weights=weights_of(exchanges, first),
        clusters=exchanges.clusters,
        draws=BOOTSTRAP,
        rng=np.random.default_rng(design.seed),
    )
    by_class = [test.contrast] + [
        recipient_difference(
            exchanges.recipients,
            exchanges.donors,
            margins[:, contrast.column],
            exchanges.labels,
            weights_of(exchanges, contrast),
            exchanges.clusters,
        )
        for contrast in others
    ]
    surest = min(by_class, key=lambda difference: difference.p_value)
    return replace(test, surest=replace(surest, p_value=min(1.0, surest.p_value * len(by_class))))

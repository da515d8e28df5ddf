"""Which factors are causes, and which only carry what another factor does: the smallest set that explains the rest."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal

import torch

from seewhy.errors import listed
from seewhy.evidence.factors.factor import Factor
from seewhy.evidence.findings.case import Case
from seewhy.evidence.findings.effects import class_effect, plain_difference
from seewhy.evidence.findings.figures import interval, signed_points
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import EXCHANGE, Edit, TrialKey, outside_edit
from seewhy.evidence.trials.sample import mean_mask
from seewhy.evidence.trials.schedule import Frame
from seewhy.evidence.trials.trial import Job, Trials

USES = 2  # donors of each group that a recipient meets where a factor is put back
SMALL = 0.15  # of the picture: a region up to this size says more than a property of the whole picture
ALTERNATIVE = 0.25  # of a cause's effect, that a factor has by itself which may be the cause as well
MANY_NUMBERS = 16  # of a property: with more it is a picture itself, and says less than any region

Verdict = Literal["explained", "apart", "open"]
Relations = Mapping[tuple[str, str], "Held"]  # by (factor, factor held) what is left


@dataclass(frozen=True)
class Held:
    """What is left of a factor's effect where another factor is put back as the recipient has it.

    `whole` is the effect of the same exchanges without that, both of the margin, in which causes add up;
    `probability` is what is left in points.
    """

    left: ClassDifference
    whole: float
    probability: ClassDifference

    @property
    def share(self) -> float:
        """The share that is left; above 1 the other factor had worked against this one."""
        return self.left.value / self.whole

    @property
    def verdict(self) -> Verdict:
        """Whether the other factor explains this one, is shown to leave a fair part of it, or neither."""
        low, high = self.interval
        if self.share < AUDIT_THRESHOLDS["explained"] and high < AUDIT_THRESHOLDS["unexplained"]:
            return "explained"
        return "apart" if self.share >= AUDIT_THRESHOLDS["explained"] and low > 0 else "open"

    @property
    def is_clearly_apart(self) -> bool:
        """Whether more is left than of what another factor explains, for certain."""
        return self.interval[0] >= AUDIT_THRESHOLDS["explained"]

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of the share that is left."""
        low, high = sorted((self.left.low / self.whole, self.left.high / self.whole))
        return low, high


@dataclass(frozen=True)
class Cause:
    """A factor that these data cannot explain by a smaller one; `explained` are those that it explains.

    `alternatives` are the factors among them that may be the cause in its place. `held` says by factor what is left of
    each with the cause held, `relations` the same of all pairs.
    """

    case: Case
    explained: tuple[Case, ...] = ()
    alternatives: tuple[str, ...] = ()
    held: Mapping[str, Held] = field(default_factory=dict)
    relations: Relations = field(default_factory=dict, repr=False)


def led_by(cause: Cause, case: Case) -> Cause:
    """The same cause told under one of its alternatives."""
    others = [cause.case, *(other for other in cause.explained if other is not case)]
    return replace(
        cause,
        case=case,
        explained=tuple(others),
        alternatives=(cause.case.factor, *(name for name in cause.alternatives if name != case.factor)),
        held={
            other.factor: cause.relations[other.factor, case.factor]
            for other in others
            if (other.factor, case.factor) in cause.relations
        },
    )


def explanation(cause: Cause, explained: Sequence[Case]) -> str:
    """What a cause explains in words, with the effects and what is left of each where the cause is held."""
    die: list[str] = []
    stay: list[str] = []
    of_several: list[str] = []
    for case in explained:
        held = cause.held.get(case.factor)
        left = (
            "" if held is None else f", {signed_points(held.probability.value)} {interval(held.probability)} of it left"
        )
        is_left = held is not None and held.share >= AUDIT_THRESHOLDS["explained"]
        group = die if not is_left else stay if case.factor in cause.alternatives else of_several
        group.append(f"{case.factor} ({signed_points(case.value)}{left})")
    name, others = cause.case.factor, cause.alternatives
    sentences = [
        f"With the {name} put back as it was, too, these do little more: {listed(die, 6)}." if die else "",
        f"With the {name} put back it is not shown that nothing is left, or much: {listed(stay, 6)}." if stay else "",
        f"Several of these together explain, but not the {name} alone: {listed(of_several, 6)}." if of_several else "",
        f"Which of {listed([name, *others], 4)} it is, these data cannot tell." if others else "",
    ]
    return " ".join(filter(None, sentences))


def held_edit(factor: Factor, held: str, core: Sequence[str], everywhere: Container[str]) -> Edit:
    """The exchange of one factor with another one put back; of a property outside of the core, where there is one."""
    return replace(plain_edit(factor, core, everywhere), held=held)


def plain_edit(factor: Factor, core: Sequence[str], everywhere: Container[str]) -> Edit:
    """The same exchange with nothing put back: what a property does through the core is no matter here."""
    return EXCHANGE if factor.region or not core else outside_edit(factor, core, everywhere)


def held_job(frame: Frame, factor: Factor, held: Factor) -> Job:
    """The exchanges of one factor with another one put back, with a few donors for each recipient."""
    audited = frame.samples.audited
    edit = held_edit(factor, held.name, frame.samples.core, frame.everywhere)
    regions = {factor.region, held.region, edit.outside}
    pairs = audited.pairs([region for region in regions if region], uses=USES)
    return Job(TrialKey(factor.name, edit, audited.split), pairs, (factor,), held=held)


def causes_of(cases: Sequence[Case], trials: Mapping[TrialKey, Trials], design: AuditDesign) -> list[Cause]:
    """The smallest factors that suffice, the largest effect first, each with the factors that it explains.

    A factor is no cause where its effect dies with a smaller one held, or with one held that a smaller one explains; or
    where several causes explain it together. Where neither is shown, it stands beside the smaller one as a possible
    cause in its place; only a factor that is shown to keep a fair part of its effect is a cause of its own.
    """
    relations = _relations(cases, trials, design)
    by_name = {case.factor: case for case in cases}
    order = sorted(by_name, key=lambda name: _size(by_name[name], design), reverse=True)
    sizes = {case.factor: {other.factor: _moved(other, case, trials, design) for other in cases} for case in cases}
    properties = {factor.name for factor in design.factors if not factor.region}
    pictures = {factor.name for factor in design.factors if not factor.region and _is_picture(factor, design)}
    within = {(name, picture) for name in properties - pictures for picture in pictures}
    moving = {name for name in by_name if name in design.audited.corners}
    holding = {(name, other) for name in moving for other in by_name if other not in properties}
    homes = homes_of(order, relations, sizes, within, holding)
    return [
        _cause(
            by_name,
            [member for member in reversed(order) if homes[member] == name != member],
            name,
            relations,
            sizes[name],
            pictures,
            design,
        )
        for name in sorted(filter({*homes.values()}.__contains__, order), key=lambda name: -by_name[name].size)
    ]


def _cause(
    cases: Mapping[str, Case],
    members: Sequence[str],
    name: str,
    relations: Relations,
    sizes: Mapping[str, float],
    pictures: Container[str],
    design: AuditDesign,
) -> Cause:
    """The cause `name` with its members; `sizes` say how far each one moves the margin that it is told by."""
    regions = {factor.name for factor in design.factors if factor.region}
    return Cause(
        cases[name],
        tuple(cases[member] for member in members),
        tuple(
            member
            for member in members
            if member not in pictures
            and sizes[member] >= ALTERNATIVE * sizes[name]
            and _may_be(relations, name, member, {name, member} <= regions)
        ),
        {member: relations[member, name] for member in members if (member, name) in relations},
        relations,
    )


def homes_of(
    order: Sequence[str],
    relations: Relations,
    sizes: Mapping[str, Mapping[str, float]],
    within: Container[tuple[str, str]] = (),
    holding: Container[tuple[str, str]] = (),
) -> dict[str, str]:
    """By factor the cause that it is told under, a cause under itself; `order` has what exchanges most first.

    A factor goes where its effect dies with a cause held, or with a factor held that the cause explains, and where the
    cause alone suffices for a fair part of it; where two causes explain it together; or, to the smaller one, where it
    is not shown to keep a fair part of its effect. `sizes` say by factor how far each one moves the same margin.
    `within` are properties with pictures, (property, picture), which hold every property and explain none. `holding`
    are squares that lie elsewhere in each picture with regions: one that holds them explains them only where it is
    shown to keep a fair part of its effect without them, or they do not suffice for it.
    """
    reach = _closure(order, relations, within)
    kept = list(order)
    for name in order:
        others = [other for other in kept if other != name]
        smaller = [other for other in others if order.index(other) > order.index(name)]
        enough = AUDIT_THRESHOLDS["suffices"] * sizes[name][name]
        told_by = [
            other
            for other in others
            if (name, other) not in within
            and not ((name, other) in holding and _may_suffice(relations, sizes, other, name))
        ]
        by_one = any(name in reach[other] and sizes[name][other] >= enough for other in told_by)
        if by_one or _explained_by_two(name, smaller, relations, reach, sizes[name]):
            kept.remove(name)
    homes = {name: _home(name, kept, relations, reach) for name in order}
    for name in order:
        smaller = [other for other in kept if order.index(other) > order.index(name)]
        unclear = [other for other in smaller if _may_suffice(relations, sizes, name, other)]
        if name in kept and unclear:
            kept.remove(name)
            homes = {member: unclear[-1] if home == name else home for member, home in homes.items()}
    return homes


def _may_suffice(relations: Relations, sizes: Mapping[str, Mapping[str, float]], name: str, other: str) -> bool:
    """Whether a smaller factor does most of what another does, which is not shown to keep a fair part without it."""
    return _is_open(relations, name, other) and sizes[name][other] >= AUDIT_THRESHOLDS["suffices"] * sizes[name][name]


def _relations(cases: Sequence[Case], trials: Mapping[TrialKey, Trials], design: AuditDesign) -> Relations:
    """What is left of each factor with each other one held, as far as it was tried."""
    relations = {}
    factors = {factor.name: factor for factor in design.factors}
    for case in cases:
        plain = _plain(case, trials, design)
        for other in cases:
            edit = held_edit(factors[case.factor], other.factor, design.core_regions, design.everywhere)
            held = trials.get(TrialKey(case.factor, edit, design.audited.split))
            if plain is not None and held is not None and other is not case:
                relations[case.factor, other.factor] = held_of(case, plain, held)
    return relations


def _plain(case: Case, trials: Mapping[TrialKey, Trials], design: AuditDesign) -> Trials | None:
    """The exchanges of a factor with nothing put back."""
    factor = next(factor for factor in design.factors if factor.name == case.factor)
    return trials.get(
        TrialKey(case.factor, plain_edit(factor, design.core_regions, design.everywhere), design.audited.split)
    )


def _moved(case: Case, asked: Case, trials: Mapping[TrialKey, Trials], design: AuditDesign) -> float:
    """How far a factor moves the margin that another one is told by, outside of the core."""
    plain = _plain(case, trials, design)
    if plain is None:
        return abs(case.effect.margin.value)
    contrast = asked.effect.contrast
    return abs(plain_difference(plain, plain.margin_changes(contrast), contrast))


def held_of(case: Case, plain: Trials, held: Trials) -> Held:
    """What is left of a factor's effect in trials where another one is put back, beside the same ones without that."""
    contrast = case.effect.contrast
    left, _ = class_effect(held, held.margin_changes(contrast), contrast)
    probability, _ = class_effect(held, held.probability_changes(contrast), contrast)
    same = plain.matching(held)
    whole = plain_difference(same, same.margin_changes(contrast), contrast)
    return Held(left, whole if whole * case.value > 0 else case.effect.margin.value, probability)


def _closure(names: Iterable[str], relations: Relations, within: Container[tuple[str, str]]) -> dict[str, set[str]]:
    """By factor all that it explains, itself or through others that it explains, unless it is shown to leave a part.

    Nothing is explained through a picture that holds it.
    """
    reach: dict[str, set[str]] = {name: set() for name in names}
    apart = {pair for pair, held in relations.items() if held.is_clearly_apart}
    for (factor, other), held in relations.items():
        if held.verdict == "explained":
            reach[other].add(factor)
    for middle in reach:
        for name in reach:
            if middle in reach[name]:
                reach[name] |= {m for m in reach[middle] if (m, name) not in apart and (m, middle) not in within}
    return reach


def _size(case: Case, design: AuditDesign) -> tuple[int, float, float]:
    """How much a factor exchanges: small regions first, then properties by their numbers, then larger regions.

    A property of many numbers is last. Without a core all regions come first: what a property of the whole picture does
    is then what the region holds.
    """
    factor = next(factor for factor in design.factors if factor.name == case.factor)
    if factor.region is None:
        numbers = float(_numbers(factor, design))
        return (3 if _is_picture(factor, design) else 1, numbers, -case.size)
    area = float(mean_mask(design.audited, factor.region).mean())
    return (0 if area <= SMALL or not design.core else 2, area, -case.size)


def _is_picture(factor: Factor, design: AuditDesign) -> bool:
    """Whether a property has so many numbers that it names no cause beside one that does."""
    return _numbers(factor, design) > MANY_NUMBERS


def _numbers(factor: Factor, design: AuditDesign) -> int:
    return int(factor.measure(design.audited.canvases(torch.arange(1)), None).shape[1])


def _explained_by_two(
    name: str,
    smaller: Sequence[str],
    relations: Relations,
    reach: Mapping[str, set[str]],
    sizes: Mapping[str, float],
) -> bool:
    """Whether what two smaller factors explain of an effect adds up to most of it, neither explaining the other."""
    parts = {other: 1 - relations[name, other].share for other in smaller if (name, other) in relations}
    return any(
        min(parts[first], parts[second]) > 0
        and parts[first] + parts[second] >= AUDIT_THRESHOLDS["together"]
        and sizes[first] + sizes[second] >= AUDIT_THRESHOLDS["suffices"] * sizes[name]
        and first not in reach[second]
        and second not in reach[first]
        for first, second in combinations(parts, 2)
    )


def _home(name: str, kept: Sequence[str], relations: Relations, reach: Mapping[str, set[str]]) -> str:
    """The cause that a factor is told under: the one that leaves least of it, if any explains it."""
    if name in kept:
        return name
    explaining = [other for other in kept if name in reach[other]] or list(kept)
    left = {other: relations[name, other].share if (name, other) in relations else 2.0 for other in explaining}
    return min(explaining, key=lambda other: round(left[other], 6))


def _is_open(relations: Relations, name: str, other: str) -> bool:
    """Whether it is not shown that a factor keeps a fair part of its effect with a smaller one held."""
    held = relations.get((name, other))
    return held is not None and held.verdict == "open"


def _may_be(relations: Relations, cause: str, member: str, both_regions: bool) -> bool:
    """Whether a member may be the cause as well: it explains the cause, too, and is not just a region around it."""
    back = relations.get((cause, member))
    explains = back is not None and back.verdict == "explained" and not both_regions
    return explains or _is_open(relations, member, cause)

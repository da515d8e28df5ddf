"""What a place is that a search found: a name where an exchange tested it, and besides that a description."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seewhy.errors import listed
from seewhy.evidence.factors.boxes import Box
from seewhy.evidence.factors.edits import filled
from seewhy.evidence.factors.factor import Factor, PropertyFactor
from seewhy.evidence.findings.case import Case
from seewhy.evidence.findings.causes import Held, held_of
from seewhy.evidence.findings.effects import plain_difference
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.properties.looks import NAMED, Look, look_of
from seewhy.evidence.trials.contrast import OTHERS, Contrast
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from seewhy.evidence.trials.sample import CHUNK, mean_mask
from seewhy.evidence.trials.schedule import Frame
from seewhy.evidence.trials.squares import boxes_of
from seewhy.evidence.trials.trial import Job, Trials

LEFT, AT_MOST = 0.35, 0.5  # of the effect, with a property put back that gives its name; and the end of its interval
CUT = "The place is cut to where most of the effect lies, so the cause may reach beyond it, and do more."
OWN_SQUARE = "It lies elsewhere in each picture, so the square may hold a part of the cause, and in some pictures none."
MOST_OF_CORE = 1.5  # of what the core does, that a part of it can do
USES = 2  # donors of each group that a recipient meets there
_NAMES = {
    "tint": "colour",
    "brightness": "brightness",
    "contrast": "contrast",
    "saturation": "strength of its colours",
    "sharpness": "sharpness",
    "noise": "noise",
}


@dataclass(frozen=True)
class Identified:
    """What a place is: by property what is left of its effect with that put back there, and how it looks."""

    held: Mapping[str, Held]
    look: Look | None

    @property
    def names(self) -> list[str]:
        """The properties that take two thirds of the effect, and for certain half of it; most first."""
        shares = {name: round(abs(held.share), 6) for name, held in self.held.items() if _takes_it(held)}
        return sorted(shares, key=lambda name: shares[name])

    @property
    def is_tested(self) -> bool:
        """Whether a name was tested and held."""
        return bool(self.names)

    def as_stored(self) -> dict[str, Any]:
        """As findings.json has it."""
        left = {
            name: {"share": held.share, "low": held.interval[0], "high": held.interval[1]}
            for name, held in self.held.items()
        }
        return {"tested": self.names, "left": left, "look": None if self.look is None else self.look.as_stored()}


def name_jobs(frame: Frame, found: Collection[str], shown: Sequence[Factor]) -> list[Job]:
    """The exchange of each found place that matters, with one property there as the recipient has it."""
    audited = frame.samples.audited
    if audited.preprocess is None:
        return []
    return [
        Job(
            TrialKey(factor.name, replace(EXCHANGE, held=name), audited.split),
            audited.pairs([factor.region], uses=USES),
            (factor,),
            held=PropertyFactor(PROPERTIES[name]),
        )
        for factor in shown
        if factor.name in found and factor.region
        for name in NAMED
    ]


def identified(case: Case, design: AuditDesign, trials: Mapping[TrialKey, Trials]) -> Identified | None:
    """What a place is that a search found; None of any other factor."""
    split = design.audited.split
    plain = trials.get(TrialKey(case.factor, EXCHANGE, split))
    if design.places is None or case.factor not in design.places.names or plain is None:
        return None
    held = {
        name: held_of(case, plain, trials[key])
        for name in NAMED
        if (key := TrialKey(case.factor, replace(EXCHANGE, held=name), split)) in trials
    }
    return Identified(held, _look(design, case.factor, case.effect.contrast))


def with_name(finding: Finding, case: Case, design: AuditDesign, trials: Mapping[TrialKey, Trials]) -> Finding:
    """The finding, which says of a place that a search found where and what it is."""
    what = identified(case, design, trials)
    if what is None or design.places is None:
        return finding
    squares = design.places.anywhere.get(case.factor)
    where = f"in {squares.words}," if squares else f"there ({design.places.boxes[case.factor].words})"
    first = _of_part(case, design, trials) if squares and squares.inside else OWN_SQUARE if squares else CUT
    sentences = [first, _of_names(what), _of_look(what, where, case.effect.contrast)]
    text = " ".join([finding.text, *filter(None, sentences)])
    return replace(finding, text=text, numbers={**finding.numbers, "what": what.as_stored()})


def _of_part(case: Case, design: AuditDesign, trials: Mapping[TrialKey, Trials]) -> str:
    """How much of what the core does a part of it does, of the margin, and on how much of the picture."""
    sample, core, contrast = design.audited, design.core_regions[0], case.effect.contrast
    whole = trials.get(TrialKey(core, EXCHANGE, sample.split))
    area = float(mean_mask(sample, case.factor).sum() / max(float(mean_mask(sample, core).sum()), 1e-9))
    if whole is None:
        return ""
    share = case.effect.margin.value / (plain_difference(whole, whole.margin_changes(contrast), contrast) or np.nan)
    # NaN, or too much: the squares were chosen by another class's margin, for which the core may do more
    if not 0 < share <= MOST_OF_CORE:
        return ""
    return (
        f"On {area:.0%} of the {core} that is {share:.0%} of what all of it does (of the margin): its pictures show "
        "whether that is what should decide."
    )


def _takes_it(held: Held) -> bool:
    low, high = held.interval
    return abs(held.share) <= LEFT and max(abs(low), abs(high)) <= AT_MOST


def _of_names(what: Identified) -> str:
    """Which names were tested, and what came of it."""
    if not what.held:
        return ""
    if what.names:
        first = what.names[0]
        words = listed([f"its {_NAMES[name]}" for name in what.names], 3).replace(", ", " or ")
        return f"What acts there is {words}, tested: with that as the recipient has it, {_left(what.held[first])} left."
    name = min(what.held, key=lambda name: round(abs(what.held[name].share), 6))
    tried = listed([_NAMES[name] for name in what.held], 6)
    return (
        f"No single name fits what acts there: with its {_NAMES[name]} put back {_left(what.held[name])} "
        f"left, and of {tried} none leaves less."
    )


def _left(held: Held) -> str:
    share, low, high = (f"{round(100 * value)} %" for value in (held.share, *held.interval))
    return f"{share} [{low}, {high}] of the effect is"


def _of_look(what: Identified, where: str, contrast: Contrast) -> str:
    if what.look is None:
        return f"It lies {where.rstrip(',')}."
    others = "the others" if contrast.against == OTHERS else f"{contrast.against} ones"
    return f"Described, not tested: {where} {contrast.name} images are, beside {others}, {what.look.sentence}."


def _look(design: AuditDesign, region: str, contrast: Contrast) -> Look | None:
    """How the images that test a place look there, of the contrast's class and of the others."""
    sample = design.audited
    has = sample.found.get(region, np.ones(len(sample), dtype=bool))
    rows = torch.from_numpy(np.flatnonzero(has))
    if contrast.is_own_class or sample.preprocess is None or design.places is None:
        return None
    is_first = torch.from_numpy(sample.labels)[rows] == contrast.column
    if min(int(is_first.sum()), int((~is_first).sum())) < 4:
        return None
    size = (int(sample.pixels.shape[2]), int(sample.pixels.shape[3]))
    box, squares = design.places.boxes.get(region), design.places.anywhere.get(region)
    parts = []
    for places in rows.split(CHUNK):
        content = filled(sample.canvases(places), sample.masks_at(region, places)).cpu()
        if squares is None:
            inside = (box or Box()).mask(*size)
        else:
            inside = boxes_of(sample.corners[region][places], squares.side, size)
        parts.append(_cut(content, (inside > 0).expand(len(places), -1, -1)))
    return look_of(torch.cat(parts), is_first)


def _cut(canvases: Tensor, inside: Tensor) -> Tensor:
    """The boxes around what is inside (N, H, W), all of one size, cut out of the canvases: (N, 3, h, w)."""
    down, across = inside.any(dim=2), inside.any(dim=1)
    boxes = (down[:, :, None] & across[:, None])[:, None].expand_as(canvases)
    return canvases[boxes].reshape(*canvases.shape[:2], int(down[0].sum()), int(across[0].sum()))

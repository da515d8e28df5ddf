"""What the object's own pixels do not hold: where it lies, and what stays when it is gone as a whole.

Both are asked once the core's exchange leaves something that tells the label. With the core alone exchanged its
outline, its size, its place and its rim stay the recipient's, so none of them can be told from what lies around it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from seewhy.evidence.factors.edits import filled, moved, transplanted
from seewhy.evidence.factors.factor import Kind, needed
from seewhy.evidence.findings.effects import effect_of, robust_effect
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.contrast import MOST_CLASSES, Contrast, contrasts_of
from seewhy.evidence.trials.design import AuditDesign
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from seewhy.evidence.trials.sample import CHUNK, Sample
from seewhy.evidence.trials.trial import Job, Trials

MOVES = 1 / 32  # of a side, by which the middle of the core has to vary between images (standard deviation)


@dataclass(frozen=True)
class OfTheCore:
    """What both factors here share: they need the core's masks of recipient and donor, and cannot be taken away."""

    core: str
    kind: Kind = "region"
    removals: tuple[str, ...] = ()

    @property
    def region(self) -> str:
        """The core's region."""
        return self.core

    def measure(self, canvases: Tensor, masks: Tensor | None) -> Tensor:
        """Where the middle of the core lies: (N, 2), in pixels down and to the right."""
        return middles(needed(masks))

    def removed(self, canvases: Tensor, masks: Tensor | None, removal: str, average: Tensor, seed: int) -> Tensor:
        """The canvases as they are: there is no other way than an exchange."""
        return canvases


@dataclass(frozen=True)
class Boxes(OfTheCore):
    """The boxes around both cores, so many pixels larger: the donor's object comes in, and the recipient's goes."""

    grow_px: int = 0

    @property
    def name(self) -> str:
        """After the core."""
        return f"boxes around the {self.core}"

    @property
    def words(self) -> str:
        """What is exchanged."""
        return f"the pixels of the boxes around the {self.core} of both images"

    def take(self, canvases: Tensor, masks: Tensor | None) -> Tensor:
        """The donors' pixels with their boxes: (N, 4, H, W), in half the memory and to a tenth of a grey level."""
        return torch.cat([canvases, boxes(needed(masks), self.grow_px)[:, None].to(canvases)], dim=1).half()

    def put(self, canvases: Tensor, masks: Tensor | None, content: Tensor) -> Tensor:
        """The donors' pixels in both boxes."""
        both = torch.maximum(boxes(needed(masks), self.grow_px).to(canvases), content[:, 3].to(canvases))
        return transplanted(canvases, content[:, :3], both)


@dataclass(frozen=True)
class Place(OfTheCore):
    """Where the core lies: it is moved over what is around it, which is painted over where it was.

    The `other_way` it is moved as far, but away from where the donor's lies.
    """

    other_way: bool = False

    @property
    def name(self) -> str:
        """After the core."""
        return f"place of the {self.core}" + (", the other way" if self.other_way else "")

    @property
    def words(self) -> str:
        """What is exchanged."""
        return f"where the middle of the {self.core} lies"

    def take(self, canvases: Tensor, masks: Tensor | None) -> Tensor:
        """The middles of the donors' cores (N, 2)."""
        return middles(needed(masks))

    def put(self, canvases: Tensor, masks: Tensor | None, content: Tensor) -> Tensor:
        """The recipients with their own core moved, by whole pixels, to where the donors' lie."""
        own = needed(masks).to(canvases)
        steps = (content.to(canvases) - middles(own)).round().long() * (-1 if self.other_way else 1)
        around = filled(canvases, 1 - own)
        return transplanted(around, moved(canvases, steps), moved(own[:, None], steps)[:, 0])


def boxes(masks: Tensor, pixels: int) -> Tensor:
    """The box around each mask (N, H, W), so many pixels larger up to the border; nothing for an empty mask."""
    inside = masks > 0.5
    told = torch.ones_like(masks)
    for dim in (1, 2):
        line = inside.any(dim=3 - dim)  # (N, H) or (N, W)
        span = (line.cumsum(dim=1) > 0) & (line.flip(1).cumsum(dim=1).flip(1) > 0)
        wide = span.to(masks)[:, None]
        if pixels:
            wide = torch.nn.functional.max_pool1d(wide, 2 * pixels + 1, 1, pixels)
        told = told * (wide[:, 0, :, None] if dim == 1 else wide[:, 0, None, :])
    return told


def middles(masks: Tensor) -> Tensor:
    """The centre of mass of each mask (N, H, W): down and to the right in pixels; of an empty mask the picture's."""
    total = masks.sum(dim=(1, 2)).clamp(min=1e-6)
    told = []
    for dim, side in zip((1, 2), masks.shape[1:], strict=True):
        line = masks.sum(dim=3 - dim)
        place = (line * torch.arange(side, dtype=masks.dtype, device=masks.device)).sum(dim=1) / total
        told.append(torch.where(total > 1e-6, place, (side - 1) / 2))
    return torch.stack(told, dim=1)


def whole_object_jobs(design: AuditDesign, pixels: int, least_left: float) -> list[Job]:
    """The exchanges of the object as a whole where that leaves enough, and of its place where that varies."""
    sample, core = design.audited, design.core_regions[0]
    if len(sample.masks[core]) < 2:
        return []  # one place in all images
    asked: list[Boxes | Place] = []
    if left_of_boxes(sample, core, pixels) >= least_left:
        asked.append(Boxes(core, grow_px=pixels))
    if float(_middles_of(sample, core).std(dim=0).max()) >= MOVES * min(sample.pixels.shape[2:]):
        asked += [Place(core), Place(core, other_way=True)]
    pairs = sample.pairs([core])
    return [Job(TrialKey(factor.name, EXCHANGE, sample.split), pairs, (factor,)) for factor in asked]


def left_of_boxes(sample: Sample, core: str, pixels: int) -> float:
    """The share of the picture that two boxes leave on average, of images that meet."""
    pairs = sample.pairs([core])[:: max(1, len(sample.pairs([core])) // 256)]
    if not len(pairs):
        return 0.0
    first, other = (boxes(sample.masks_at(core, torch.from_numpy(column.copy())), pixels) for column in pairs.T)
    return 1 - float(torch.maximum(first, other).mean())


def _middles_of(sample: Sample, core: str) -> Tensor:
    has = sample.found.get(core)
    rows = torch.arange(len(sample)) if has is None else torch.from_numpy(has).nonzero()[:, 0]
    parts = [middles(sample.masks_at(core, places)).cpu() for places in rows.split(CHUNK)]
    return torch.cat(parts) if parts else torch.zeros(2, 2)


@dataclass(frozen=True)
class Moved:
    """What it does to a contrast to move the core to where those of other images lie (`there`), and as far away.

    `beyond` is the first less the second, trial by trial: what moving breaks, whichever way, is in both.
    """

    contrast: Contrast
    there: ClassDifference
    beyond: ClassDifference
    p_value: float

    def is_shown(self, n_tests: int) -> bool:
        """Whether the place is shown to be used, among so many tests: there, and not as far the other way."""
        least = AUDIT_THRESHOLDS["floor"]
        both = min(self.there.value, self.beyond.value) >= least and min(self.there.low, self.beyond.low) > 0
        return both and self.p_value * n_tests < AUDIT_THRESHOLDS["level"]


def moved_of(design: AuditDesign, trials: Mapping[TrialKey, Trials]) -> tuple[Moved, ...]:
    """By contrast what the place of the core does; () where it was not tried."""
    if not design.core_regions or len(design.classes) > MOST_CLASSES:
        return ()
    core, split = design.core_regions[0], design.audited.split
    there, away = (trials.get(TrialKey(Place(core, other_way=other).name, EXCHANGE, split)) for other in (False, True))
    if there is None or away is None:
        return ()
    return tuple(_moved(there, away, contrast) for contrast in contrasts_of(design.classes))


def _moved(there: Trials, away: Trials, contrast: Contrast) -> Moved:
    effect = effect_of(there, contrast, "region")
    in_margin = there.margin_changes(contrast) - away.margin_changes(contrast)
    in_points = there.probability_changes(contrast) - away.probability_changes(contrast)
    margin, beyond = (robust_effect(there, change, contrast) for change in (in_margin, in_points))
    return Moved(contrast, effect.probability, beyond, max(effect.margin.p_value, margin.p_value))

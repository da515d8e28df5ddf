"""Does what lies as near to the core as a region, but beside it, do as much? Then both may be a part of the core."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from seewhy.evidence.factors.edits import filled, grown, transplanted
from seewhy.evidence.factors.factor import Factor, RegionFactor, needed
from seewhy.evidence.findings.whole_object import OfTheCore
from seewhy.evidence.trials.edit import Edit, TrialKey
from seewhy.evidence.trials.sample import Sample
from seewhy.evidence.trials.schedule import Frame
from seewhy.evidence.trials.trial import Job

LEAST_BESIDE = 0.5  # of the region's own part of the rim, that has to lie beside it for a comparison
_SOME = 32  # images on which areas are measured


@dataclass(frozen=True)
class RimOfCore(OfTheCore):
    """The pixels around the core, up to so many pixels away from it."""

    grow_px: int = 0

    @property
    def name(self) -> str:
        """After the core."""
        return f"rim of the {self.core}"

    @property
    def words(self) -> str:
        """What is exchanged."""
        return f"the pixels up to {self.grow_px} pixels around the {self.core}"

    def take(self, canvases: Tensor, masks: Tensor | None) -> Tensor:
        """The rim's content, laid over the rest of the canvas (N, 3, H, W); half the memory, a tenth of a level."""
        return filled(canvases, self._rim(masks).to(canvases)).half()

    def put(self, canvases: Tensor, masks: Tensor | None, content: Tensor) -> Tensor:
        """The donors' content in the recipients' own rim."""
        return transplanted(canvases, content, self._rim(masks))

    def _rim(self, masks: Tensor | None) -> Tensor:
        return rim_of(needed(masks), self.grow_px)


def rim_of(cores: Tensor, pixels: int) -> Tensor:
    """What lies around the cores (N, H, W), up to so many pixels away."""
    return grown(cores, pixels) * (1 - cores)


def beside_jobs(frame: Frame, factor: Factor, pixels: int) -> list[Job]:
    """The exchange of the core's rim with a region's own pixels put back; none where that could say nothing."""
    audited, core = frame.samples.audited, frame.samples.core[0]
    if beside_share(audited, factor, core, pixels) < LEAST_BESIDE:
        return []
    pairs = audited.pairs([factor.name, core])
    return [
        Job(beside_key(factor, core, pixels, audited.split), pairs, (RimOfCore(core, grow_px=pixels),), held=factor)
    ]


def beside_key(factor: Factor, core: str, pixels: int, split: str) -> TrialKey:
    """What these trials are found by."""
    return TrialKey(RimOfCore(core, grow_px=pixels).name, Edit("exchange", grow_px=pixels, held=factor.name), split)


def beside_share(sample: Sample, factor: Factor, core: str, pixels: int) -> float:
    """How much of the core's rim lies beside a region, as a share of what lies in it; 0 where that says nothing.

    The least such share of the rim up to any distance counts: what hugs the core all around has nothing as near beside
    it. A place that is the same in all images, or a region that had to be cut since it shared pixels with the core, may
    hold what a core drawn too small leaves out, in one direction alone; so may a square that was chosen image by image.
    Only a region with masks of its own that leaves the core alone is drawn along what it holds.
    """
    if not isinstance(factor, RegionFactor) or factor.at.fixed or factor.at.is_cut or factor.name in sample.corners:
        return 0.0
    some = sample.some(_SOME)
    cores, masks = sample.masks_at(core, some), sample.masks_at(factor.name, some)
    shares = []
    for distance in {1, max(1, pixels // 4), max(1, pixels // 2), pixels}:
        rim = rim_of(cores, distance)
        inside, beside = float((rim * masks).mean()), float((rim * (1 - masks)).mean())
        shares.append(beside / inside if inside > 0 else float("inf"))
    least = min(shares)
    return least if least < float("inf") else 0.0

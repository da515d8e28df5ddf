"""Which control regions a factor is compared with: those of its area that leave it alone."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from seewhy.evidence.factors.controls import can_match, disjoint
from seewhy.evidence.factors.factor import Factor, as_share
from seewhy.evidence.findings.safeguards.safeguard import Evidence
from seewhy.evidence.trials.edit import ControlRegion

ALIKE_AREA = 1.35  # ratio of areas up to which regions are compared

Controls = Mapping[ControlRegion, Tensor]  # the mask (H, W) of each


def matched_controls(evidence: Evidence, factor: Factor) -> Controls:
    """The control regions nearest to the factor in area, those that leave it alone; none for a property."""
    controls = evidence.design.schedule.controls
    if factor.region is None or not controls:
        return {}
    masks = as_share(evidence.audited.masks[factor.region])
    core = [as_share(evidence.audited.masks[name]) for name in evidence.design.core_regions]
    if not can_match(masks, core[0] if core else None):
        return {}
    area = max(float(masks.mean()), 1e-6)
    region, mask = min(controls.items(), key=lambda item: abs(math.log(float(item[1].mean()) / area)))
    if not 1 / ALIKE_AREA < float(mask.mean()) / area < ALIKE_AREA:
        return {}
    return _apart(_of_area(controls, region), masks)


def controls_elsewhere(evidence: Evidence, factor: Factor) -> Controls:
    """Control regions of any area that leave the factor alone; for a property the largest ones."""
    controls = evidence.design.schedule.controls
    if not controls:
        return {}
    if factor.region is None:
        return _of_area(controls, max(controls, key=lambda region: float(controls[region].mean())))
    return _apart(controls, as_share(evidence.audited.masks[factor.region]))


def _of_area(controls: Controls, region: ControlRegion) -> Controls:
    return {control: mask for control, mask in controls.items() if control.thousandths == region.thousandths}


def _apart(controls: Controls, masks: Tensor) -> Controls:
    apart = disjoint(torch.stack(list(controls.values())), masks).tolist()
    return {region: mask for (region, mask), fine in zip(controls.items(), apart, strict=True) if fine}

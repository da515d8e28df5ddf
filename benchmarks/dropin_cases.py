"""What `dropin.py` measures; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field

from workloads import Aim

TARGET = 0  # "fake"
LIMITS = {"p95": 1e-5, "max": 1e-3}  # the gate, as of the other rows


@dataclass(frozen=True)
class Loop:
    """The notebook's loop with one class; `gated` where both sides mean to give the same maps."""

    method: str
    layers: tuple[str, ...]
    images: int
    aim: Aim
    batch: int = 1
    gated: bool = True


@dataclass(frozen=True)
class Metric:
    """ROAD, at some percentiles; its numbers differ by design."""

    images: int
    aim: Aim
    percentiles: tuple[int, ...] = (20, 40, 60, 80)
    gated: bool = field(default=False, init=False)


Case = Loop | Metric
DROPIN: dict[str, Case] = {
    "dropin-1": Loop("GradCAM", ("conv2", "conv3"), 100, Aim("drop-in, the notebook's loop, image by image", 1.5, 2.5)),
    "dropin-16": Loop("GradCAM", ("conv2", "conv3"), 160, Aim("the same in batches of 16", 2.5, 4), batch=16),
    "dropin-score-cam": Loop("ScoreCAM", ("conv4",), 16, Aim("drop-in, Score-CAM", 1.3, 2)),
    "dropin-eigen-cam": Loop("EigenCAM", ("conv4",), 16, Aim("drop-in, Eigen-CAM", 3, 10), gated=False),
    "dropin-kpca-cam": Loop("KPCA_CAM", ("conv4",), 16, Aim("drop-in, KPCA-CAM", 3, 10), gated=False),
    "dropin-road": Metric(4, Aim("drop-in, ROAD", 10, 20)),
}
MEMORY = Aim("{}: peak memory, ours / theirs", 1.0, 0.9, lower=True)


def case_of(name: str) -> Case:
    return DROPIN[name]

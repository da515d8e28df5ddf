"""What `audit.py` measures, how `seewhy audit` is called, and what is aimed at; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workloads import Aim

MODEL, SIZE = "seewhy.learn.net:Net", 64
EPOCHS = 3
DONORS = 300  # of each class and split, the default of the command
OPTIONS = {  # everything about the command that may be named otherwise one day
    "regions": ("--regions", "grid:3x4"),  # 12
    "factors": (
        "--properties",
        "brightness,contrast,tint,saturation,sharpness,jpeg,noise,low-frequency",
    ),  # 8
}
COMMAND_AIM = Aim("`seewhy audit`, 12 regions, 8 properties, 300+300 donors, 64 px", 5, 3, unit=" min", lower=True)
MEMORY_AIM = Aim("peak memory of `seewhy audit`, 4,000 against 1,000 images", 1.1, 1.02, lower=True)
COUNTS = (1_000, 4_000)
SLOW = "slow"


@dataclass(frozen=True)
class PartsCase:
    """Re-scoring with one network: the side of a canvas in pixels, images in a batch, batches in one timing."""

    network: str
    size: int
    batch: int
    repeats: int
    words: str
    slow: tuple[str, ...] = ()  # properties from which less is asked

    @property
    def images(self) -> int:
        return self.batch * self.repeats

    def group_of(self, edit: str) -> str:
        kind, name = edit.split(": ")
        return SLOW if name in self.slow else kind

    def aims(self) -> dict[str, Aim]:
        """By group of edits; ways of removing have none, as they run once an image and not once a donor."""
        what = f"the slowest counts, share of the bare {self.words}"
        found = {
            "region": Aim(f"re-scoring with regions, {what}", 0.9, 0.95),
            "property": Aim(f"re-scoring with properties, {what}", 0.9, 0.95),
        }
        slow = {SLOW: Aim(f"re-scoring with {' and '.join(self.slow)}, {what}", 0.6, 0.9)}
        return found | slow if self.slow else found


CASES = {
    "audit-parts-64": PartsCase("net", SIZE, 16, 120, "Net at 64 px", ("jpeg", "spectrum")),
    "audit-parts-224": PartsCase("resnet18", 224, 16, 8, "ResNet-18 at 224 px"),
}


def audit_arguments(data: Path, weights: Path, out: Path, *only: str) -> list[str]:
    """The command line of `seewhy` for an audit; `only` names the OPTIONS that are given, all where it is empty."""
    named = [word for key, words in OPTIONS.items() if not only or key in only for word in words]
    return ["audit", str(data), *model_arguments(), "--weights", str(weights), *named, "--out", str(out)]


def model_arguments() -> list[str]:
    return ["--model", MODEL, "--model-arg", f"size={SIZE}", "--size", str(SIZE)]

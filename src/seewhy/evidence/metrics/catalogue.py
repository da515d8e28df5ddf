"""Every figure of a comparison by name: what it is called, which way is better, where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A figure of each map: its title in tables, which end is better ("" is neither), what it says, its paper."""

    title: str
    better: Literal["high", "low", ""]
    says: str
    paper: str


PRIMARY = "road"
HITS = ("increase", "pointing")  # of each image 1 or 0, but for ties
GAMES = ("pointing", "energy", "area")  # which stand on the same images
METRICS: dict[str, Metric] = {
    PRIMARY: Metric(
        "ROAD", "high", "half of how much more is left without the least than without the most relevant pixels",
        "arXiv:2202.00449",
    ),
    "srg": Metric("SRG", "high", "insertion less deletion, towards the mean colour", "arXiv:2401.06654"),
    "deletion": Metric("deletion", "low", "what is left as the most relevant pixels go first", "arXiv:1806.07421"),
    "insertion": Metric("insertion", "high", "what is there as the most relevant come first", "arXiv:1806.07421"),
    "drop": Metric("drop", "low", "the share that is lost where the map alone is lit", "arXiv:1710.11063"),
    "increase": Metric("increase", "high", "the share of images that gain by it", "arXiv:1710.11063"),
    "randomised": Metric("randomised", "low", "likeness with the maps of randomised networks", "arXiv:1810.03292"),
    "pointing": Metric("pointing", "high", "the share of maxima within the core", "arXiv:1608.00507"),
    "energy": Metric("energy", "high", "the share of the positive part within the core", "arXiv:1910.01279"),
    "area": Metric("area", "", "the share of the picture that the core covers: what a constant map reaches", ""),
}  # fmt: skip

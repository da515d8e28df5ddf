"""What a finding may claim of a factor: each claim once, with how grave it is and what it means for everyone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Claim = Literal[
    "classifier",
    "overfit",
    "shortcut",
    "against the label",
    "intended",
    "at the core's rim",
    "through the core",
    "jointly",
    "depends",
    "core not used",
    "fragile",
]
Tone = Literal["bad", "caution", "good", "unknown"]


@dataclass(frozen=True)
class Meaning:
    """A claim for those who have never heard of it.

    `sentence` stands below the effect of a factor, `headline` above a whole audit ("{factor}" is its name); `first` and
    `several` count such findings. "" where the claim is not told there.
    """

    tone: Tone
    sentence: str = ""
    headline: str = ""
    first: str = ""
    several: str = ""


CLAIMS: Mapping[Claim, Meaning] = {  # the gravest first
    "classifier": Meaning("bad"),
    "overfit": Meaning(
        "bad",
        "That helps it far more on the images that it was trained on than on new ones: it is overfit to them.",
        "It has learnt {factor} of its training images, which helps it less on new ones",
        "Overfit",
        "factors overfit",
    ),
    "shortcut": Meaning(
        "bad",
        "It goes with the label here, and was not named as what should matter: a shortcut, which fails where the two "
        "part. Accuracy on images like these cannot show it.",
        "A shortcut: its answers depend on {factor}, which is not what should matter",
        "A shortcut",
        "shortcuts",
    ),
    "against the label": Meaning(
        "caution",
        "It leads the answers away from the right class.",
        "{factor} leads its answers away from the right class",
        "Against the label",
        "factors act against the label",
    ),
    "intended": Meaning(
        "good",
        "It was named as what should matter, so that is as it should be.",
        "Its answers depend on {factor}, as they should",
        "It depends on what was named as its core",
        "parts of the core are used",
    ),
    "at the core's rim": Meaning(
        "unknown",
        "It acts at the edge of what was named as what should matter, which may leave out part of it there, so whether "
        "this is a shortcut cannot be said.",
        "Its answers depend on {factor}, at the edge of what should matter: that may be drawn too small",
        "A dependence at the core's rim, which may be drawn too small",
        "dependences at the core's rim, which may be drawn too small",
    ),
    "through the core": Meaning("good", "It acts through what was named as what should matter."),
    "jointly": Meaning("caution", "Together they do more than each by itself: one can stand in for the other."),
    "depends": Meaning(
        "caution",
        "So the answers depend on it; whether they should is for you to say.",
        "Its answers depend on {factor}",
        "A dependence",
        "dependences",
    ),
    "core not used": Meaning(
        "caution",
        "It was named as what should matter, and hardly does.",
        "Its answers hardly depend on {factor}, which should matter",
        "What was named as core is not used",
        "parts of the core are not used",
    ),
    "fragile": Meaning(
        "caution",
        "Whichever class it is taken from, single answers change with it: they are fragile.",
        "Its answers change with {factor}, whichever class that is taken from",
        "Fragile",
        "factors make it fragile",
    ),
}

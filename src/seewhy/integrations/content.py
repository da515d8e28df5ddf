"""`Content`: what every tracker gets of a finished run or of one epoch."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from seewhy.records import Outcome

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ImageRow:
    """One image: what the network says of it, and the largest cell of each of its raw maps by the map's name.

    `picture` is its overlay, a file or the bytes of one; None where it has none. `effects` are the image's own by
    factor: |label margin - median with other content|, in logits. `groups` are those that `seewhy trends` found, by who
    proposed them. `error` says why there is no result.
    """

    id: str
    path: str | None = None
    label: str | None = None
    split: str | None = None
    prediction: str | None = None
    probability: float | None = None
    correct: bool | None = None
    peaks: Mapping[str, float] = field(default_factory=dict)
    picture: Path | bytes | None = None
    effects: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None

    @classmethod
    def of(cls, outcome: Outcome, **more: Any) -> ImageRow:
        """The row of an image that a network has answered; `more` are peaks, picture and effects."""
        return cls(
            id=outcome.image.id,
            path=outcome.image.path,
            label=outcome.image.label,
            split=outcome.image.split,
            prediction=outcome.prediction,
            probability=outcome.probability,
            correct=outcome.correct,
            error=outcome.error,
            **more,
        )

    def pixels(self) -> Pixels | None:
        """The overlay (H, W, 3); None where there is none."""
        if self.picture is None:
            return None
        source = io.BytesIO(self.picture) if isinstance(self.picture, bytes) else self.picture
        with PIL.Image.open(source) as opened:
            return np.asarray(opened.convert("RGB"))


@dataclass(frozen=True)
class EffectRow:
    """How far a factor's own content raises a class's probability beyond other content, with its 95 % interval.

    `said` is what an audit says of it (shown, none, cannot say); "" of a single epoch, which decides nothing.
    """

    factor: str
    contrast: str
    effect: float
    low: float
    high: float
    said: str = ""

    @property
    def name(self) -> str:
        """The factor and the class: border/red."""
        return f"{self.factor}/{self.contrast}"


@dataclass(frozen=True)
class Content:
    """What is told of one run, or of one epoch: `step` is the epoch, None for a run.

    `numbers` are single ones such as the accuracy, `facts` what made them, `said` a sentence for each finding, and
    `files` those of `folder` that are worth keeping beside.
    """

    title: str
    command: str
    images: Sequence[ImageRow] = ()
    effects: Sequence[EffectRow] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    said: Sequence[str] = ()
    folder: Path | None = None
    files: Sequence[str] = ()
    step: int | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """All numbers by name: seewhy/accuracy; seewhy/border/red/effect, …/low and …/high; NaN left out.

        Trackers draw side by side what shares all but the last part of its name.
        """
        named = {f"seewhy/{name}": value for name, value in self.numbers.items()}
        for row in self.effects:
            for kind, value in (("effect", row.effect), ("low", row.low), ("high", row.high)):
                named[f"seewhy/{row.name}/{kind}"] = value
        return {name: float(value) for name, value in named.items() if np.isfinite(value)}

    def shown(self, most: int) -> Sequence[ImageRow]:
        """At most `most` of the images, evenly chosen."""
        few = min(most, len(self.images))
        return [self.images[round(place * (len(self.images) - 1) / max(1, few - 1))] for place in range(few)]


def image_table(among: Sequence[Content], images: Sequence[ImageRow]) -> tuple[list[str], list[list[Any]]]:
    """The names of the columns that images of `among` need, and a row of values for each of `images`, no picture."""
    every = [image for content in among for image in content.images]
    maps = list(dict.fromkeys(name for image in every for name in image.peaks))
    factors = list(dict.fromkeys(name for image in every for name in image.effects))
    proposers = list(dict.fromkeys(name for image in every for name in image.groups))
    fixed = ["id", "label", "split", "prediction", "probability", "correct", "error"]
    peaks = ["raw peak" if len(maps) == 1 else f"raw peak {name}" for name in maps]
    columns = [
        *fixed,
        *peaks,
        *(f"necessity of {name}" for name in factors),
        *(f"group by {name}" for name in proposers),
    ]
    rows = [
        [
            *(getattr(image, name) for name in fixed),
            *(image.peaks.get(name) for name in maps),
            *(image.effects.get(name) for name in factors),
            *(image.groups.get(name) for name in proposers),
        ]
        for image in images
    ]
    return columns, rows


def effect_table(content: Content) -> tuple[list[str], list[list[Any]]]:
    """The names of the columns, and a row of values for each factor and class."""
    rows: list[list[Any]] = [[*vars(row).values()] for row in content.effects]
    return ["factor", "class", "effect", "low", "high", "said"], rows


def keyed(name: str) -> str:
    """The name with what trackers take in keys: letters, digits, _ - . / and spaces; anything else becomes _."""
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)

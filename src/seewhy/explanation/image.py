"""One image of an explanation: its maps, their numbers, its overlay and caption."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import PurePosixPath
from typing import Protocol

import numpy as np
import PIL.Image

from seewhy.explanation.shard import Maps
from seewhy.records import MapKey, MapStat, Outcome
from seewhy.render.overlay import encode

_SHOWN, _SHOWN_QUALITY = 512, 85  # pixels high and JPEG quality of an overlay within a notebook


class Owner(Protocol):
    """What has the images: an explanation."""

    @property
    def keys(self) -> Sequence[MapKey]:
        """The maps that each image has."""

    def maps_of(self, row: int) -> Maps | dict[str, Maps]:
        """The maps (H, W) of an image as a reader gets them."""

    def stats_of(self, row: int) -> dict[str, MapStat]:
        """The numbers of an image's raw maps, by name."""

    def overlay_of(self, row: int) -> PIL.Image.Image:
        """An image's overlay."""

    def is_smoothed(self, key: MapKey) -> bool:
        """Whether overlays show a map smoothed."""


@dataclass(frozen=True)
class ExplainedImage:
    """One image of an explanation. `map_stats` has the numbers of each raw map, by layer."""

    owner: Owner = field(repr=False)
    row: int
    outcome: Outcome

    @property
    def path(self) -> str:
        """Where the file lies, or the image's id where it is no file."""
        return self.outcome.image.path or self.outcome.image.id

    @property
    def label(self) -> str | None:
        """The class name by folder or table; None where unknown."""
        return self.outcome.image.label

    @property
    def prediction(self) -> str | None:
        """The class name with the largest logit; None where there is none."""
        return self.outcome.prediction

    @property
    def probability(self) -> float | None:
        """The predicted class's, 0 to 1."""
        return self.outcome.probability

    @property
    def error(self) -> str | None:
        """Why there is no result; None where there is one."""
        return self.outcome.error

    @property
    def maps(self) -> Maps | dict[str, Maps]:
        """The one map (H, W), or a dict named like that of `Explanation.maps`; raw, or in [0, 1) if fused."""
        return self.owner.maps_of(self.row)

    @property
    def map_stats(self) -> dict[str, MapStat]:
        """The numbers of each raw map, by layer (and by method and score, where there are several)."""
        return self.owner.stats_of(self.row)

    @property
    def overlay(self) -> PIL.Image.Image:
        """The overlay, RGB. Raises DataError with the reason for an image without a result."""
        return self.owner.overlay_of(self.row)

    def caption(self) -> tuple[str, ...]:
        """Lines: name; prediction with probability (and the label where wrong); the raw maximum of each layer."""
        several = len(self.map_stats) > 1
        peaks = [f"{f'{name} ' if several else ''}{said}" for name, said in self.peaks().items()]
        return (*self.head(), *peaks)

    def peaks(self) -> dict[str, str]:
        """The raw maximum of each map, with the reason where it is drawn empty."""
        stats = zip(self.owner.keys, self.map_stats.items(), strict=False)  # an unreadable image has none
        return {
            name: f"max {stat.maximum:.2g}"
            + (f" ({stat.reason})" if stat.empty else ", smoothed" if self.owner.is_smoothed(key) else "")
            for key, (name, stat) in stats
        }

    def head(self) -> tuple[str, ...]:
        """The name, and the prediction with its probability (and the label where wrong) or why there is none."""
        outcome, name = self.outcome, PurePosixPath(self.outcome.image.id).name
        if outcome.error:
            return name, "no result", outcome.error
        wrong = f", but is {self.label}" if outcome.correct is False else ""
        share = "" if outcome.probability is None else f" {outcome.probability:.2f}"
        decided = f"{outcome.prediction}{share}{wrong}" if outcome.prediction else self._score()
        return name, decided

    def _score(self) -> str:
        """The explained numbers, for a network that decides for no class."""
        values = {stat.score: stat.score_value for stat in self.map_stats.values()}
        return ", ".join(f"{name} {value:.3g}" for name, value in values.items())

    def _repr_html_(self) -> str:
        words = "<br>".join(map(escape, self.caption()))
        return f"<figure style='margin:0'>{_picture(self)}<figcaption>{words}</figcaption></figure>"


def by_method(keys: Sequence[MapKey]) -> list[MapKey]:
    """The keys in the order in which overlays show them: each method's own together."""
    methods = list(dict.fromkeys(key.method for key in keys))
    return sorted(keys, key=lambda key: methods.index(key.method))


def names_of(keys: Sequence[MapKey]) -> list[str]:
    """What tells the keys apart: layers where nothing else differs, else method, layer and score joined by slashes."""
    differing = [len(set(part)) > 1 for part in zip(*keys, strict=True)]
    if not any(differing):
        return [key.layer for key in keys]
    return ["/".join(part for part, shown in zip(key, differing, strict=True) if shown) for key in keys]


def _picture(image: ExplainedImage) -> str:
    if image.error:
        return ""
    overlay = image.overlay
    overlay.thumbnail((overlay.width, _SHOWN))  # twice as many pixels as are shown, for fine screens
    data = base64.b64encode(encode(np.asarray(overlay), "jpg", _SHOWN_QUALITY)).decode()
    name = escape(image.outcome.image.id, quote=True)
    return f'<img style="max-height:{_SHOWN // 2}px" alt="{name}" src="data:image/jpeg;base64,{data}">'

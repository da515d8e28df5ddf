"""The page of a comparison, written with the pictures of the images that changed."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seewhy.records import MapKey, Progress
from seewhy.render.color import signed
from seewhy.render.overlay import encode
from seewhy.report.averages import picture_of
from seewhy.report.comparison import ComparisonView
from seewhy.report.examples import with_map
from seewhy.report.exchanges import Picture
from seewhy.report.gallery import Gallery, as_uri
from seewhy.report.legend import legend
from seewhy.report.pages import copy_assets, write_page
from seewhy.report.stored import StoredRun

MOST = 8  # images of a section
MAP_PX = 192  # of the side of a mean map's picture


@dataclass(frozen=True)
class ImagePair:
    """One image in both runs: two pictures with their words, and what changed."""

    pictures: tuple[Picture, Picture]
    words: str


@dataclass(frozen=True)
class MeanPair:
    """The mean maps of both runs on one scale up to `top`, and the second less the first on ±`most`, as pictures."""

    first: str
    second: str
    difference: str
    top: float
    most: float


@dataclass(frozen=True)
class ComparisonPages:
    """The page of a comparison, written into a folder."""

    view: ComparisonView
    folder: Path
    stamp: str

    def write(self, progress: Progress) -> bool:
        """Write the page; whether both runs and the pictures of their images were there."""
        copy_assets(self.folder)
        found = self.view.found
        shown = {image["id"] for image in found["flipped"][:MOST]}
        others = [image for image in found["changed_most"] if image["change"] and image["id"] not in shown]
        sections = {
            "flipped": found["flipped"][:MOST],
            "changed": others[:MOST],
            "moved": [image for image in found["moved_most"] if image["moved"]][:MOST],
        }
        total, pairs = sum(map(len, sections.values())), {}
        for name, images in sections.items():
            pairs[name] = list(self._pairs(images))
            progress(sum(map(len, pairs.values())), max(total, 1))
        pictures = [picture for each in pairs.values() for pair in each for picture in pair.pictures]
        missing = sum(not picture.source for picture in pictures)
        write_page(
            self.folder / "index.html",
            "comparison.html",
            self.stamp,
            view=self.view,
            section="summary",
            has_images=False,
            missing=missing,
            means=mean_pair(found.get("mean_maps")),
            legend=legend(),
            **pairs,
        )
        return not missing

    def _pairs(self, images: Sequence[Mapping[str, Any]]) -> Iterator[ImagePair]:
        for image in images:
            yield ImagePair((self._picture(image, 0), self._picture(image, 1)), _told(image))

    def _picture(self, image: Mapping[str, Any], at: int) -> Picture:
        """The image with its map in one of both runs."""
        decision, share = image[("first", "second")[at]], image[("p_first", "p_second")[at]]
        known = "" if share is None else f"P({image['about']}) {share:.2f}"
        lines = tuple(line for line in (f"judged {decision}", known) if line)
        name = PurePosixPath(image["id"]).name
        alt = f"{name} in the {('first', 'second')[at]} run"
        runs, source = self.view.runs, ""
        if runs is not None:
            row = runs[at].rows().get(image["id"] if at == 0 else image["id_second"])
            pixels = None if row is None else with_map(Gallery(runs[at]), row, self._key(runs[at], at))
            source = "" if pixels is None else as_uri(pixels)
        return Picture(source, alt, lines)

    def _key(self, run: StoredRun, at: int) -> MapKey | None:
        """The map that was compared; None where the run does not have it."""
        maps = self.view.found["maps"]
        key = None if not maps else MapKey(*maps[("first", "second")[at]])
        return key if key in run.keys else None


def pages_of(stored: StoredRun, folder: Path, stamp: str) -> ComparisonPages:
    """What writes the page of a comparison's run into a folder."""
    return ComparisonPages(ComparisonView(stored), folder, stamp)


def mean_pair(means: Mapping[str, Any] | None) -> MeanPair | None:
    """The pictures of both mean maps and of their difference; None without maps."""
    if not means:
        return None
    first, second = (np.array(means[which], dtype=np.float32) for which in ("first", "second"))
    top = float(max(np.quantile(first, 0.995), np.quantile(second, 0.995)))
    difference = second - first
    most = float(np.abs(difference).max())
    return MeanPair(picture_of(first, top), picture_of(second, top), _signed_picture(difference, most), top, most)


def _signed_picture(difference: NDArray[np.float32], most: float) -> str:
    """A difference (h, w) in colours, blue for less and red for more, as data URI; each cell is a square."""
    steps = np.rint(128 + 127 * (difference / max(most, 1e-12)).clip(-1, 1)).astype(np.uint8)
    each = max(1, math.ceil(MAP_PX / max(difference.shape)))
    pixels = signed()[steps].repeat(each, axis=0).repeat(each, axis=1)
    return f"data:image/png;base64,{base64.b64encode(encode(np.ascontiguousarray(pixels), 'png')).decode()}"


def _told(image: Mapping[str, Any]) -> str:
    """The image's name, its label, and what changed."""
    label = f", labelled {image['label']}" if image["label"] is not None else ""
    moved = "" if image.get("moved") is None else f"; {image['moved']:.0%} of its map lies elsewhere"
    return f"{image['id']}{label}{moved}"

"""Some images with their first map, drawn when the page is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import torch

from seewhy.geometry import geometry_of, lay
from seewhy.maps import scale_to_draw
from seewhy.records import Preprocess
from seewhy.render.overlay import overlay
from seewhy.report.gallery import Gallery, as_uri
from seewhy.report.links import images_of
from seewhy.store.arrays import read_map

EXAMPLES = 8


@dataclass(frozen=True)
class Example:
    """One image with its map as data URI, its words, and the link to its large view."""

    source: str
    alt: str
    name: str
    words: str
    link: str


def example_of(gallery: Gallery, row: int) -> Example | None:
    """The image of a row with the first of its maps; None where its picture is gone."""
    stored = gallery.stored
    picture, outcome = gallery.picture(row), stored.outcomes[row]
    if picture is None:
        return None
    key = stored.keys[0] if stored.keys else None
    stat = None if key is None else stored.stats[key].get(row)
    if key is not None and stat is not None and not stat.empty:
        raw = torch.from_numpy(read_map(stored.folder, key, row))[None]
        geometry = geometry_of((outcome.height or 1, outcome.width or 1), stored.preprocess or Preprocess())
        mask = lay(scale_to_draw(raw), geometry, picture.shape[:2])[0]
        picture = overlay(np.ascontiguousarray(picture), mask.numpy().clip(0, 1))
    name = PurePosixPath(outcome.image.id).name
    share = "" if outcome.probability is None else f" {outcome.probability:.2f}"
    wrong = f", but is {outcome.image.label}" if outcome.correct is False else ""
    words = f"{outcome.prediction}{share}{wrong}" if outcome.prediction else ""
    alt = f"{name} with its map" if key is not None else name
    return Example(as_uri(picture), alt, name, words, images_of(image=outcome.image.id))

"""Some images with their first map, drawn when the page is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import torch

from seewhy.data.pictures.decode import Pixels
from seewhy.geometry import geometry_of, lay
from seewhy.maps import scale_to_draw
from seewhy.records import MapKey, Preprocess
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
    outcome, key = stored.outcomes[row], stored.keys[0] if stored.keys else None
    picture = with_map(gallery, row, key)
    if picture is None:
        return None
    name = PurePosixPath(outcome.image.id).name
    share = "" if outcome.probability is None else f" {outcome.probability:.2f}"
    wrong = f", but is {outcome.image.label}" if outcome.correct is False else ""
    words = f"{outcome.prediction}{share}{wrong}" if outcome.prediction else ""
    alt = f"{name} with its map" if key is not None else name
    return Example(as_uri(picture), alt, name, words, images_of(image=outcome.image.id))


def with_map(gallery: Gallery, row: int, key: MapKey | None) -> Pixels | None:
    """The picture (h, w, 3) of a row with one of its maps over it, if it has one; None where the picture is gone."""
    stored, picture = gallery.stored, gallery.picture(row)
    if picture is None:
        return None
    outcome = stored.outcomes[row]
    stat = None if key is None else stored.stats[key].get(row)
    if key is not None and stat is not None and not stat.empty:
        raw = torch.from_numpy(read_map(stored.folder, key, row))[None]
        geometry = geometry_of((outcome.height or 1, outcome.width or 1), stored.preprocess or Preprocess())
        mask = lay(scale_to_draw(raw), geometry, picture.shape[:2])[0]
        picture = overlay(np.ascontiguousarray(picture), mask.numpy().clip(0, 1))
    return picture

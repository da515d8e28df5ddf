"""Small grey pictures of photographs, by which near-duplicates are found without reading them at full cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from seewhy.data.pictures.decode import UnreadableError, reduced
from seewhy.data.sources.files import read_bytes
from seewhy.records import Preprocess

SIDE = 64  # pixels, to which every picture is stretched
Thumbnail = NDArray[np.float32]


def grey_thumbnail(path: str | Path, how: Preprocess | None = None) -> Thumbnail:
    """The photograph in a file as a grey picture (SIDE, SIDE) in [0, 1], upright and stretched to a square.

    Raises UnreadableError with the reason.
    """
    try:
        data = read_bytes(path)
    except ValueError as error:  # a name that holds what no file system takes
        raise UnreadableError(str(error)) from error
    picture = PIL.Image.fromarray(reduced(data, SIDE, how))
    small = picture.convert("L").resize((SIDE, SIDE), PIL.Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32) / np.float32(255)

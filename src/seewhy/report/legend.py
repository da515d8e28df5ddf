"""The colours of the maps as a small picture for a page."""

from __future__ import annotations

import base64
from functools import cache

import numpy as np

from seewhy.render.color import heat
from seewhy.render.overlay import encode


@cache
def legend() -> str:
    """The colours of a map, low to high, as data URI of a picture of 256 x 1 pixels."""
    return f"data:image/png;base64,{base64.b64encode(encode(np.ascontiguousarray(heat()[None]), 'png')).decode()}"

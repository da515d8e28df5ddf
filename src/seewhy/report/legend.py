"""The colours of the maps as small pictures for a page."""

from __future__ import annotations

import base64
from functools import cache

import numpy as np

from seewhy.render.color import heat, jet, signed
from seewhy.render.overlay import encode


@cache
def legends() -> dict[str, str]:
    """A bar of each colour table, low to high, as data URI of a picture of 256 x 1 pixels."""
    bars = {"heat": heat(), "jet": jet(), "signed": signed()}
    return {
        name: f"data:image/png;base64,{base64.b64encode(encode(np.ascontiguousarray(bar[None]), 'png')).decode()}"
        for name, bar in bars.items()
    }

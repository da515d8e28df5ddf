"""Two places that hide one another: either keeps the answer while the other is exchanged, so neither acts alone."""

from __future__ import annotations

from collections.abc import Callable

from seewhy.evidence.factors.boxes import Box

APART = 0.5  # of the box around both, that they may fill at most: parts of one place are no two


def shrunk(box: Box, share: Callable[[Box], float], least: float) -> Box:
    """The smallest box that keeps at least so much of a share: halves first, then edges by quarters and by one."""
    for cut in (Box.halves, Box.trimmed, Box.trimmed_by_one):
        while fitting := [part for part in cut(box) if share(part) >= least]:
            box = max(fitting, key=share)
    return box


def hiding_pair(kept: Callable[[Box, Box | None], float], within: Box, least: float) -> tuple[Box, Box] | None:
    """Two boxes within a box either of which keeps the answer while all else within is exchanged, or None.

    `kept` gives the share of the effect that goes where a box is left as it was, but for a part of it (or None). The
    second of the two keeps nothing of the first. Each is a sixteenth wider than what just suffices.
    """
    if not any(kept(half, None) >= least for half in within.halves()):
        return None
    first = shrunk(within, lambda box: kept(box, None), least).grown(within)
    if kept(within, first) < least:  # it does most by itself
        return None
    second = shrunk(within, lambda box: kept(box, first), least).grown(within)
    around = Box(
        min(first.top, second.top),
        max(first.bottom, second.bottom),
        min(first.left, second.left),
        max(first.right, second.right),
    )
    return (first, second) if first.area + second.area <= APART * around.area else None

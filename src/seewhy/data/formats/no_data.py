"""Numbers in place of measurements, like -9999 or 65535 around a map: told by lying far from all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from seewhy.data.formats.depth import Extremes, Scan, extremes_of, holes_in, joined, scale_of

_SHARE = 0.01  # of the pixels, from which on a number far from the others is taken for no data
_USUAL = (-9999.0, -99999.0, -32768.0, -32767.0, -999.0)  # so are these, also of fewer pixels and less far
_SENSORS = (0.0, 255.0, 1023.0, 4095.0, 16383.0)  # the ends of what cameras measure
_NEAR = 0.1  # of the span of all other numbers; others have to be further away than the whole span


@dataclass(frozen=True)
class Seen:
    """The extremes of an image without the numbers that may stand for no data, and these."""

    extremes: Extremes
    odd: tuple[float, ...] = ()


def seen_in(scan: Scan) -> Seen:
    """What one image says of the scale of all, and the numbers at its ends that may stand for no data."""
    whole = extremes_of(scan)
    values = scan.values[~holes_in(scan)]
    values = values[np.isfinite(values)]
    odd = []
    for number in dict.fromkeys((whole.low, whole.high)):
        rest = values[values != values.dtype.type(number)]
        share = 1 - rest.size / max(1, values.size)
        often = number not in _SENSORS and share >= _SHARE
        if rest.size and (often or number in _USUAL) and _is_far(number, float(rest.min()), float(rest.max())):
            odd.append(number)
            values = rest
    return Seen(extremes_of(replace(scan, no_data=(*scan.no_data, *odd)))._replace(declared=whole.declared), tuple(odd))


def settled(seen: Sequence[Seen], *, judged: bool = True) -> tuple[list[Extremes], tuple[float, ...]]:
    """The extremes of the images, and the numbers that stand for no data in them: odd in one, and far in all.

    Where they are not `judged`, none do.
    """
    odd = {(one.extremes.kind, number) for one in seen for number in one.odd if judged}
    found = set()
    for kind, number in sorted(odd):
        alike = (one.extremes for one in seen if one.extremes.kind == kind)
        rest = [extremes for extremes in alike if extremes.window != (number, number)]
        if rest and _is_odd(number, joined(rest)[0]):
            found.add(number)
    return [_whole(one, found) for one in seen if not _is_empty(one, found)], tuple(sorted(found))


def _is_odd(number: float, rest: Extremes) -> bool:
    """Whether a number lies far from all others of a data set, and would stretch their scale."""
    stretched = rest._replace(low=min(rest.low, number), high=max(rest.high, number))
    return _is_far(number, rest.low, rest.high) and scale_of(rest) != scale_of(stretched)


def _is_far(number: float, low: float, high: float) -> bool:
    """Whether a number lies so far from all others, `low` to `high`, that it is none of them."""
    gap = max(low - number, number - high)
    return gap > (high - low) * (_NEAR if number in _USUAL else 1) and high > low


def _is_empty(seen: Seen, found: set[float]) -> bool:
    """Whether an image holds nothing but a number that stands for no data in others."""
    return seen.extremes.low == seen.extremes.high and seen.extremes.low in found


def _whole(seen: Seen, found: set[float]) -> Extremes:
    """The extremes with what is odd in this image alone."""
    ends = [number for number in seen.odd if number not in found]
    low, high = min([seen.extremes.low, *ends]), max([seen.extremes.high, *ends])
    return seen.extremes._replace(low=low, high=high)

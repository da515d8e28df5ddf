"""Numbers in words: points, intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seewhy.estimates import Estimate
from seewhy.evidence.trials.contrast import OWN_CLASS

if TYPE_CHECKING:  # for its type alone: what writes pages need not load scipy
    from seewhy.evidence.inference.differences import ClassDifference


def watched_of(contrast: str | None) -> str:
    """Whose probability a contrast is about, by its name."""
    return "P(label)" if contrast in (None, OWN_CLASS) else f"P({contrast})"


def points(value: float) -> str:
    """A share as percentage points."""
    return f"{100 * value:.1f}"


def signed_points(value: float) -> str:
    """A difference of shares as percentage points, with its sign."""
    return f"{100 * value:+.1f} points"


def interval(estimate: ClassDifference | Estimate) -> str:
    """The interval in percentage points, of which there are 100 either way."""
    low, high = (min(1.0, max(-1.0, end)) for end in (estimate.low, estimate.high))
    return f"[{100 * low:+.1f}, {100 * high:+.1f}]"

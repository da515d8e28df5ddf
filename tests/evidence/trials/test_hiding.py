"""Two places either of which keeps the answer: found where there are two, and only there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from seewhy.evidence.factors.boxes import GRID, Box
from seewhy.evidence.trials.hiding import hiding_pair, shrunk

LEAST = 0.8
FIRST, SECOND = Box(1, 3, 2, 5), Box(12, 15, 10, 12)


def keeping(*places: Box) -> Callable[[Box, Box | None], float]:
    """The share that is kept where any of some places stays as it was, more than half of it."""

    def kept(box: Box, but: Box | None) -> float:
        left = box.mask(GRID, GRID) * (1 if but is None else 1 - but.mask(GRID, GRID))
        shares = [float((left * place.mask(GRID, GRID)).sum() / place.mask(GRID, GRID).sum()) for place in places]
        return float(max(shares) > 0.5)

    return kept


def adding(*places: Box) -> Callable[[Box, Box | None], float]:
    """The share that is kept where what some places say adds up."""

    def kept(box: Box, but: Box | None) -> float:
        left = box.mask(GRID, GRID) * (1 if but is None else 1 - but.mask(GRID, GRID))
        return float(
            sum((left * place.mask(GRID, GRID)).sum() / place.mask(GRID, GRID).sum() for place in places)
        ) / len(places)

    return kept


@pytest.mark.parametrize("within", [Box(), Box(0, 16, 1, 13)])
def test_two_that_hide_one_another_are_both_found(within: Box) -> None:
    pair = hiding_pair(keeping(FIRST, SECOND), within, LEAST)
    assert pair is not None
    for place in (FIRST, SECOND):
        masks = [(found.mask(GRID, GRID), place.mask(GRID, GRID)) for found in pair]
        assert max(float(torch.minimum(a, b).sum() / b.sum()) for a, b in masks) > 0.5
    assert max(found.area for found in pair) < 0.1


def test_one_place_is_no_two() -> None:
    assert hiding_pair(keeping(FIRST), Box(), LEAST) is None
    assert hiding_pair(adding(FIRST), Box(), LEAST) is None


def test_two_that_add_up_hide_nothing() -> None:
    assert hiding_pair(adding(FIRST, SECOND), Box(), LEAST) is None


def test_what_lies_everywhere_is_no_two() -> None:
    assert hiding_pair(adding(Box()), Box(), LEAST) is None


def test_a_box_shrinks_to_what_suffices() -> None:
    assert shrunk(Box(), lambda box: adding(FIRST)(box, None), 1.0) == FIRST


@pytest.mark.parametrize("box", [Box(), FIRST, Box(0, 1, 15, 16)])
def test_a_grown_box_holds_the_box_and_stays_within(box: Box) -> None:
    grown, within = box.grown(Box()), Box(0, 12, 1, 16)
    assert bool((box.mask(GRID, GRID) <= grown.mask(GRID, GRID)).all())
    assert bool((Box(2, 4, 3, 5).grown(within).mask(GRID, GRID) <= within.mask(GRID, GRID)).all())
    assert Box(2, 4, 3, 5).grown(within) == Box(1, 5, 2, 6)

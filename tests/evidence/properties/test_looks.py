"""How a region differs between two kinds of images, in words: colour, brightness, pattern, whether it comes again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from seewhy.evidence.properties.looks import look_of

N, SIDE = 60, 24


def patches(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Grey noise (N, 3, S, S), and which of the images are of the first kind (N,)."""
    dice = torch.Generator().manual_seed(seed)
    noise = 0.5 + 0.1 * torch.randn(N, 1, 1, 1, generator=dice) + 0.03 * torch.randn(N, 3, SIDE, SIDE, generator=dice)
    return noise.clamp(0, 1), torch.arange(N) % 2 == 0


def stripes(period: int) -> Tensor:
    return (torch.arange(SIDE) % period < period // 2).float().expand(SIDE, SIDE)


@pytest.mark.parametrize("seed", range(5))
def test_where_nothing_differs_nothing_is_said(seed: int) -> None:
    look = look_of(*patches(seed))
    assert look.sentence == "not plainly different" and look.period == 0


@pytest.mark.parametrize(
    ("shift", "word"),
    [
        ((0.1, 0.0, 0.0), "redder"),
        ((0.0, 0.1, 0.0), "greener"),
        ((0.0, 0.0, 0.1), "bluer"),
        ((0.1, 0.1, 0.0), "yellower"),
        ((0.0, 0.1, 0.1), "more turquoise"),
        ((0.1, 0.0, 0.1), "more purple"),
    ],
)
def test_a_colour_has_its_word_and_its_opposite_the_opposite(shift: tuple[float, ...], word: str) -> None:
    images, is_first = patches()
    images[is_first] += torch.tensor(shift)[:, None, None]
    look = look_of(images, is_first)
    assert look.words[0] == word and look.pattern == "even"
    opposites = {"redder": "more turquoise", "greener": "more purple", "bluer": "yellower"}
    opposites |= {other: name for name, other in opposites.items()}
    assert look_of(images, ~is_first).words[0] == opposites[word]


def test_brighter_and_darker() -> None:
    images, is_first = patches()
    images[is_first] += 0.3
    assert "brighter" in look_of(images, is_first).words and "darker" in look_of(images, ~is_first).words


def test_sharper_softer_and_noisier() -> None:
    images, is_first = patches()
    images[is_first] = torch.nn.functional.avg_pool2d(images[is_first], 5, 1, 2)
    assert {"smoother", "more even"} & {*look_of(images, is_first).words}
    assert {"noisier", "richer in contrast"} & {*look_of(images, ~is_first).words}


def test_a_mark_at_the_same_place_is_one_pattern() -> None:
    images, is_first = patches()
    images[is_first, :, 4:10, 6:14] += 0.2
    assert look_of(images, is_first).pattern == "same"
    assert "at the same place in all" in look_of(images, is_first).sentence


def test_a_mark_that_moves_changes_from_picture_to_picture() -> None:
    images, is_first = patches()
    dice = torch.Generator().manual_seed(1)
    for row in torch.nonzero(is_first)[:, 0].tolist():
        down, across = torch.randint(0, SIDE - 6, (2,), generator=dice).tolist()
        images[row, :, down : down + 6, across : across + 6] += 0.3
    assert look_of(images, is_first).pattern == "changing"


@pytest.mark.parametrize("period", [4, 6, 8])
def test_stripes_come_again(period: int) -> None:
    images, is_first = patches()
    images[is_first] += 0.15 * stripes(period)
    look = look_of(images, is_first)
    assert look.pattern == "same" and look.period == period and f"every {period} pixels" in look.sentence


def test_one_mark_does_not_come_again() -> None:
    images, is_first = patches()
    images[is_first, :, 4:9, 6:12] += 0.2
    assert look_of(images, is_first).period == 0

"""How a region differs between two kinds of images, in words: colour, brightness, pattern, whether it comes again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from seewhy.evidence.properties.looks import _period, look_of

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


@pytest.mark.parametrize("size", [(1, 1), (1, 12), (2, 12), (12, 2), (3, 3)])
def test_thin_patches_have_a_look_like_any_other(size: tuple[int, int]) -> None:
    """A place may be a sixteenth of a small picture's side."""
    patches = 0.4 + 0.01 * torch.rand(40, 3, *size, generator=torch.Generator().manual_seed(0))
    is_first = torch.arange(40) % 2 == 0
    patches[is_first, 0] += 0.2
    assert "redder" in look_of(patches, is_first).sentence


def test_a_mark_at_the_same_place_is_one_pattern() -> None:
    images, is_first = patches()
    images[is_first, :, 4:10, 6:14] += 0.2
    assert look_of(images, is_first).pattern == "same"
    assert "with one pattern at the same place" in look_of(images, is_first).sentence


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


SIDES = [(6, 9), (8, 8), (8, 12), (12, 8), (12, 12), (20, 12), (32, 12), (12, 40)]


def grid_of(height: int, width: int) -> tuple[Tensor, Tensor]:
    return torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")


def plain_bar(height: int, width: int, dice: torch.Generator) -> Tensor:
    cut = int(torch.randint(1, width, (1,), generator=dice))
    return (grid_of(height, width)[1] < cut).float()


def gradient(height: int, width: int, dice: torch.Generator) -> Tensor:
    down, across = grid_of(height, width)
    along, sideways, bent = torch.randn(3, generator=dice)
    return along * down / height + sideways * across / width + bent * (across / width) ** 2


def texture(height: int, width: int, dice: torch.Generator) -> Tensor:
    return torch.randn(height, width, generator=dice)


@pytest.mark.parametrize("draw", [plain_bar, gradient, texture])
def test_what_does_not_repeat_has_no_period(draw: Callable[[int, int, torch.Generator], Tensor]) -> None:
    dice = torch.Generator().manual_seed(0)
    shapes = [draw(*sides, dice) for sides in SIDES for _ in range(40)]
    noisy = [shape + 0.02 * torch.randn(shape.shape, generator=dice) for shape in shapes]
    assert sum(_period(shape - shape.mean()) > 0 for shape in noisy) <= len(shapes) / 200


@pytest.mark.parametrize("size", [(8, 12), (12, 8), (20, 12), (32, 12)])
@pytest.mark.parametrize("cut", [2, 3, 4])
def test_a_plain_red_bar_is_not_repeated(size: tuple[int, int], cut: int) -> None:
    dice = torch.Generator().manual_seed(0)
    images, is_first = 0.3 + 0.3 * torch.rand(200, 3, *size, generator=dice), torch.arange(200) < 100
    images[is_first, 0, :, : size[1] - cut] += 0.3
    images[is_first, 1:, :, : size[1] - cut] -= 0.2
    look = look_of(images, is_first)
    assert look.pattern == "same" and look.period == 0


REPEATED = {  # patterns that come again every so many pixels, in the direction in which they do first
    "bars": (lambda down, across: across % 7 < 3, (12, 24), 7),
    "high bars": (lambda down, across: down % 4 < 2, (12, 8), 4),
    "diagonal": (lambda down, across: (down + across) % 6 < 3, (20, 14), 4),
    "dots": (lambda down, across: (down % 6 < 3) & (across % 6 < 3), (24, 24), 6),
    "small dots": (lambda down, across: (down % 5 < 1) & (across % 5 < 1), (20, 20), 5),
    "checks": (lambda down, across: (down // 4 + across // 4) % 2 > 0, (24, 24), 6),
}


@pytest.mark.parametrize("name", REPEATED)
def test_what_repeats_has_its_period(name: str) -> None:
    drawn, size, period = REPEATED[name]
    shape = drawn(*grid_of(*size)).float()
    shape = shape + 0.03 * torch.randn(size, generator=torch.Generator().manual_seed(0))
    assert _period(shape - shape.mean()) == period


def test_what_fits_less_than_three_times_in_its_own_direction_has_no_period() -> None:
    bars = (grid_of(40, 12)[1] % 6 < 3).float()
    assert _period(bars - bars.mean()) == 0 and _period((bars - bars.mean()).T[:, :12]) == 0


def test_one_mark_does_not_come_again() -> None:
    images, is_first = patches()
    images[is_first, :, 4:9, 6:12] += 0.2
    assert look_of(images, is_first).period == 0


def test_a_pattern_is_said_of_the_images_that_have_it() -> None:
    images, is_first = patches()
    rows = torch.arange(SIDE)
    images[is_first] += 0.2 * ((rows[:, None] + rows) % 2)
    has, lacks = look_of(images, is_first), look_of(images, ~is_first)
    assert (has.pattern, lacks.pattern) == ("same", "lacking") and has.period == lacks.period > 0
    assert f"with one pattern at the same place, repeated every {has.period} pixels" in has.sentence
    assert f"without a pattern that those have at the same place, repeated every {has.period} p" in lacks.sentence


def test_a_dark_pattern_on_what_both_kinds_have_is_said_of_those_that_have_it() -> None:
    images, is_first = patches()
    images[:, :, : SIDE // 2] += 0.4
    images[is_first, :, 0 : SIDE // 2 : 4] -= 0.3
    images[is_first, :, 1 : SIDE // 2 : 4] -= 0.3
    assert look_of(images, is_first).pattern == "same"
    assert look_of(images, ~is_first).pattern == "lacking"

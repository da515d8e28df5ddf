"""Control regions: their area, what they leave alone, where they lie, and which areas share a bank."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from seewhy.errors import OptionError
from seewhy.evidence.factors.controls import area_bins, can_match, control_masks, disjoint, free_pixels


def left(share: float, size: tuple[int, int] = (50, 40)) -> Tensor:
    masks = torch.zeros(1, *size)
    masks[..., : round(share * size[1])] = 1
    return masks


@pytest.mark.parametrize(
    ("factor", "core", "want"),
    [(0.3, 0.0, True), (0.35, 0.0, False), (0.2, 0.6, False), (0.15, 0.5, True), (0.0, 0.0, False), (1.0, 0.0, False)],
)
def test_a_match_needs_twice_the_area_beside_factor_and_core(factor: float, core: float, want: bool) -> None:
    assert can_match(left(factor), left(core).flip(2) if core else None) is want


def test_a_third_of_the_image_can_be_matched_and_a_little_more_cannot() -> None:
    assert can_match(left(1 / 3, (10, 300)))
    assert not can_match(left(101 / 300, (10, 300)))


def test_a_core_that_covers_everything_leaves_no_match() -> None:
    assert not can_match(left(0.1), torch.ones(1, 50, 40))
    assert can_match(left(0.1), torch.zeros(1, 50, 40))


def test_a_match_looks_at_all_images_of_a_factor_that_moves() -> None:
    halves = torch.cat([left(0.3), left(0.3).flip(2)])  # each leaves 70 %, both together 40 %
    assert can_match(halves[:1])
    assert not can_match(halves)


def test_pixels_are_free_where_few_images_need_them() -> None:
    masks = torch.zeros(40, 3, 3)
    masks[:2, 0, 0], masks[:3, 1, 1] = 1, 1  # 5 % and 7.5 %
    want = torch.ones(3, 3, dtype=torch.bool)
    want[1, 1] = False
    assert torch.equal(free_pixels(masks), want)
    assert torch.equal(free_pixels(masks.mean(dim=0), None), want)


@pytest.mark.parametrize("area", [0.01, 0.03, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("size", [(64, 64), (33, 47), (128, 96)])
def test_the_area_is_met_and_the_forbidden_stays_untouched(area: float, size: tuple[int, int]) -> None:
    forbidden = left(0.4, size)[0]
    masks = control_masks(area, forbidden, 12, seed=0)
    assert masks.shape == (12, *size)
    assert masks.mean(dim=(1, 2)).tolist() == pytest.approx([area] * 12, rel=0.02)
    assert not masks[:, forbidden > 0].any()
    assert masks.min() >= 0 and masks.max() <= 1


def test_all_room_can_be_taken() -> None:
    forbidden = left(0.5)[0]
    masks = control_masks(0.5, forbidden, 3, seed=0)
    assert torch.allclose(masks, (1 - forbidden).expand(3, -1, -1), atol=0.01)


def test_controls_are_blobs_and_not_dust() -> None:
    free = torch.zeros(64, 64)
    for mask in control_masks(0.05, free, 20, seed=1).numpy():
        _, pieces = ndimage.label(mask > 0.5)
        assert pieces <= 3
        inside = mask > 0.5
        outline = inside & ~ndimage.binary_erosion(inside, border_value=1)
        assert outline.sum() < 3 * np.sqrt(4 * np.pi * inside.sum())  # thrice a circle's
        assert 0.01 < np.mean((mask > 0.05) & (mask < 0.95)) < 0.1  # a soft edge


def test_controls_lie_everywhere_and_differ() -> None:
    masks = control_masks(0.1, torch.zeros(64, 64), 20, seed=0)
    assert (masks.amax(dim=0) > 0.5).float().mean() > 0.75
    same = [torch.equal(one, other) for one, other in itertools.combinations(masks, 2)]
    assert not any(same)


def test_controls_follow_their_seed_and_nothing_else() -> None:
    forbidden = left(0.2)
    torch.manual_seed(1)
    first = control_masks(0.1, forbidden, 4, seed=5)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, control_masks(0.1, forbidden, 4, seed=5))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first, control_masks(0.1, forbidden, 4, seed=6))


def test_a_mask_for_each_image_forbids_what_their_mean_forbids() -> None:
    halves = torch.cat([left(0.3), left(0.5)])
    assert torch.equal(control_masks(0.1, halves, 3, 0), control_masks(0.1, halves.mean(dim=0), 3, 0))


@pytest.mark.parametrize(("area", "message"), [(0.7, r"70\.0 % .* 60\.0 % is free"), (0.0, r"0\.0 %")])
def test_without_room_it_says_what_to_do(area: float, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        control_masks(area, left(0.4), 3, seed=0)


def test_nothing_free_at_all_is_an_error_too() -> None:
    with pytest.raises(OptionError, match=r"0\.0 % is free"):
        control_masks(0.1, torch.ones(1, 8, 8), 3, seed=0)


def test_a_shared_bank_gives_a_factor_the_controls_that_leave_it_alone() -> None:
    controls = torch.cat([left(0.2), left(0.2).flip(2), torch.full((1, 50, 40), 0.5)])
    assert disjoint(controls, left(0.3)).tolist() == [False, True, False]
    assert disjoint(left(0.2), left(0.1), most=0.5).tolist() == [False], "it holds all of a smaller factor"
    assert disjoint(controls, left(0.3), most=0.31).tolist() == [False, True, False]
    assert disjoint(controls, left(0.3), most=0.51).tolist() == [False, True, True]


def test_areas_share_bins_so_that_the_largest_ratio_is_least() -> None:
    found = area_bins([0.01, 0.25, 0.011, 0.04, 0.05, 0.2, 0.9], 4)
    assert found.of == (0, 2, 0, 1, 1, 2, 3)
    assert found.areas == pytest.approx([(0.01 * 0.011) ** 0.5, (0.04 * 0.05) ** 0.5, (0.2 * 0.25) ** 0.5, 0.9])


@pytest.mark.parametrize("seed", range(5))
def test_no_other_bins_have_a_smaller_largest_ratio(seed: int) -> None:
    areas = sorted(np.random.default_rng(seed).uniform(0.01, 0.5, 9).tolist())

    def widest(cuts: tuple[int, ...]) -> float:
        return max(areas[stop - 1] / areas[start] for start, stop in itertools.pairwise([0, *cuts, len(areas)]))

    best = min(widest(cuts) for cuts in itertools.combinations(range(1, len(areas)), 3))
    found = area_bins(areas, 4)
    members = [[area for area, own in zip(areas, found.of, strict=True) if own == place] for place in range(4)]
    assert max(max(one) / min(one) for one in members if one) == pytest.approx(best)


def test_few_areas_stand_for_themselves_and_none_for_nothing() -> None:
    found = area_bins([0.2, 0.1, 0.2, 0.0])
    assert found.areas == pytest.approx((0.1, 0.2))
    assert found.of == (1, 0, 1, -1)
    assert area_bins([0.3, 0.3, 0.3], 1).areas == pytest.approx((0.3,))
    assert area_bins([]).areas == area_bins([0.0]).areas == ()

"""Laws of the edits: what stays bit for bit, what comes in exactly, and independent references for what is mixed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from seewhy.evidence.factors.edits import (
    BLUR_FRAC,
    REMOVALS,
    averaged,
    blurred,
    filled,
    inpainted,
    shrunk,
    shuffled,
    transplanted,
)
from seewhy.planted.folder import render, sample_face

SIZES = [(16, 16), (33, 47), (1, 1), (64, 64)]
EDITS = {**REMOVALS, "fill": lambda canvases, masks, seed: filled(canvases, masks)}


def canvases_of(count: int, size: tuple[int, int], seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def discs(count: int, size: tuple[int, int], edge: float = 2.0) -> Tensor:
    """Discs that differ in place and radius, with soft edges of `edge` pixels."""
    rows, columns = (torch.arange(side, dtype=torch.float32) for side in size)
    masks = []
    for number in range(count):
        down, across = rows - size[0] * (0.3 + 0.1 * number), columns - size[1] * (0.6 - 0.1 * number)
        distance = torch.hypot(down[:, None], across[None])
        masks.append(((min(size) * (0.2 + 0.05 * number) - distance) / edge + 0.5).clamp(0, 1))
    return torch.stack(masks)


@pytest.mark.parametrize("size", SIZES)
def test_a_mask_of_0_leaves_the_bits_and_a_mask_of_1_gives_the_content(size: tuple[int, int]) -> None:
    canvases, content = canvases_of(3, size), canvases_of(3, size, 1)
    masks = (canvases_of(3, size, 2)[:, 0] > 0.5).float()
    found = transplanted(canvases, content, masks)
    assert torch.equal(found, torch.where(masks[:, None] == 1, content, canvases))
    assert torch.equal(transplanted(canvases, content, torch.zeros(1, *size)), canvases)
    assert torch.equal(transplanted(canvases, content, torch.ones(1, *size)), content)


@pytest.mark.parametrize("share", [0.125, 0.5, 0.9])
def test_a_soft_mask_mixes_by_its_share(share: float) -> None:
    canvases, content = canvases_of(2, (9, 7), 0, torch.float64), canvases_of(2, (9, 7), 1, torch.float64)
    found = transplanted(canvases, content, torch.full((1, 9, 7), share))
    weight = float(torch.tensor(share))  # as float32, like the mask
    want = (1 - weight) * canvases.numpy() + weight * content.numpy()
    np.testing.assert_allclose(found.numpy(), want, rtol=0, atol=1e-15)


def test_transplants_into_disjoint_regions_commute_and_repeating_one_changes_nothing() -> None:
    canvases, one, other = (canvases_of(3, (20, 20), seed) for seed in range(3))
    left, right = torch.zeros(1, 20, 20), torch.zeros(1, 20, 20)
    left[..., :8], right[..., 11:] = 0.3, 0.7
    first = transplanted(transplanted(canvases, one, left), other, right)
    assert torch.equal(first, transplanted(transplanted(canvases, other, right), one, left))
    hard = left.ceil()
    once = transplanted(canvases, one, hard)
    assert torch.equal(once, transplanted(once, one, hard))
    assert torch.equal(canvases, transplanted(once, canvases, hard))


def test_the_inputs_are_left_alone() -> None:
    canvases, masks = canvases_of(2, (16, 16)), discs(2, (16, 16))
    before = canvases.clone(), masks.clone()
    for edit in EDITS.values():
        edit(canvases, masks, 0)
    transplanted(canvases, 1 - canvases, masks)
    shrunk(masks, 2)
    assert torch.equal(canvases, before[0])
    assert torch.equal(masks, before[1])


@pytest.mark.parametrize("size", SIZES)
def test_filling_keeps_the_region_and_what_comes_beside_it_lies_between_its_colours(size: tuple[int, int]) -> None:
    canvases, masks = canvases_of(4, size), discs(4, size, edge=1e-6)
    found = filled(canvases, masks)
    for own, image, kept in zip(found, canvases, masks > 0, strict=True):
        if kept.any():
            assert torch.equal(own[:, kept], image[:, kept])
            low, high = image[:, kept].amin(dim=1), image[:, kept].amax(dim=1)
            assert (own >= low[:, None, None] - 1e-6).all()
            assert (own <= high[:, None, None] + 1e-6).all()


def test_filling_extends_one_colour_over_everything() -> None:
    canvases, masks = canvases_of(3, (33, 20)), discs(3, (33, 20), edge=1e-6)
    colour = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1)
    painted = transplanted(canvases, colour.expand_as(canvases), masks)
    assert torch.allclose(filled(painted, masks), colour.expand_as(canvases), atol=1e-6)


def test_filling_takes_the_nearer_colour() -> None:
    canvases, masks = torch.zeros(1, 3, 32, 32), torch.zeros(1, 32, 32)
    canvases[..., 28:] = 1
    masks[..., :4] = masks[..., 28:] = 1
    across = filled(canvases, masks)[0, 0, 16]
    assert (across.diff() >= 0).all()
    assert across[7] < 0.2 and across[24] > 0.8
    assert across.diff().max() < 0.25  # no seam


def test_filling_from_a_single_pixel_and_from_none() -> None:
    canvases, masks = canvases_of(2, (13, 17)), torch.zeros(2, 13, 17)
    masks[0, 12, 3] = 1
    found = filled(canvases, masks)
    assert torch.allclose(found[0], canvases[0, :, 12, 3, None, None].expand(3, 13, 17), atol=1e-6)
    assert torch.allclose(found[1], canvases[1].mean(dim=(1, 2), keepdim=True).expand(3, 13, 17), atol=1e-6)


def test_a_full_mask_has_nothing_to_fill_and_no_outside_to_paint_from() -> None:
    canvases, masks = canvases_of(2, (13, 17)), torch.ones(1, 13, 17)
    assert torch.equal(filled(canvases, masks), canvases)
    mean = canvases.mean(dim=(2, 3), keepdim=True).expand_as(canvases)
    assert torch.allclose(inpainted(canvases, masks), mean, atol=1e-6)


def test_little_of_what_lies_outside_shines_into_the_fill_of_a_face() -> None:
    faces = [render(sample_face(3, number, "real"), 64) for number in range(4)]
    canvases = torch.stack([torch.from_numpy(one.image) for one in faces]).permute(0, 3, 1, 2).float() / 255
    masks = torch.stack([torch.from_numpy(one.masks["background"]) for one in faces])
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand_as(canvases)
    marked = transplanted(canvases, red, 1 - masks)  # the background alone, before something red with soft edges
    around = filled(
        transplanted(canvases, canvases.mean(dim=(2, 3), keepdim=True).expand_as(canvases), 1 - masks), masks
    )
    inside = (masks == 0)[:, None].expand_as(canvases)
    assert (filled(marked, masks) - around)[inside].abs().mean() < 0.02


@pytest.mark.parametrize("name", REMOVALS)
@pytest.mark.parametrize("size", SIZES)
def test_removing_keeps_the_bits_outside_and_stays_in_range(name: str, size: tuple[int, int]) -> None:
    canvases, masks = canvases_of(4, size), discs(4, size)
    canvases[0], canvases[1] = 0, 1
    found = REMOVALS[name](canvases, masks, 0)
    outside = (masks == 0)[:, None].expand_as(canvases)
    assert torch.equal(found[outside], canvases[outside])
    assert torch.isfinite(found).all()
    assert found.min() >= 0 and found.max() <= 1
    assert torch.equal(REMOVALS[name](canvases, torch.zeros(1, *size), 0), canvases)


@pytest.mark.parametrize("name", REMOVALS)
def test_removing_changes_the_region(name: str) -> None:
    canvases, masks = canvases_of(2, (32, 32)), discs(2, (32, 32), edge=1e-6)
    inside = (masks == 1)[:, None].expand_as(canvases)
    assert (REMOVALS[name](canvases, masks, 0) - canvases)[inside].abs().mean() > 0.1


@pytest.mark.parametrize("name", EDITS)
def test_an_image_alone_in_a_batch_and_in_another_order_gives_the_same(name: str) -> None:
    canvases, masks = canvases_of(5, (40, 37)), discs(5, (40, 37))
    masks[3] = 0
    together = EDITS[name](canvases, masks, 7)
    order = torch.tensor([4, 2, 0, 1, 3])
    assert torch.allclose(EDITS[name](canvases[order], masks[order], 7), together[order], atol=1e-6)
    for number in range(5):
        alone = EDITS[name](canvases[number, None], masks[number, None], 7)[0]
        assert torch.allclose(alone, together[number], atol=1e-6)


@pytest.mark.parametrize("name", EDITS)
def test_one_mask_for_all_is_that_mask_for_each(name: str) -> None:
    canvases, mask = canvases_of(3, (24, 24)), discs(1, (24, 24))
    each = EDITS[name](canvases, mask.expand(3, -1, -1), 0)
    assert torch.allclose(EDITS[name](canvases, mask, 0), each, atol=1e-6)


@pytest.mark.parametrize("name", EDITS)
def test_double_precision_stays_and_agrees(name: str) -> None:
    wide, masks = canvases_of(3, (30, 30), 0, torch.float64), discs(3, (30, 30))
    found = EDITS[name](wide, masks.double(), 0)
    assert found.dtype == torch.float64
    assert torch.allclose(found.float(), EDITS[name](wide.float(), masks, 0), atol=1e-5)


def test_averaging_keeps_the_mean_of_the_image_and_gives_the_region_one_colour() -> None:
    canvases, masks = canvases_of(3, (20, 26), 0, torch.float64), discs(3, (20, 26)).double()
    assert torch.allclose(averaged(canvases, masks).mean(dim=(2, 3)), canvases.mean(dim=(2, 3)), atol=1e-12)
    hard = masks.round()
    found = averaged(canvases, hard)
    for image, own, kept in zip(canvases, found, hard > 0, strict=True):
        want = image.numpy()[:, kept.numpy()].mean(axis=1)
        np.testing.assert_allclose(own[:, kept].numpy(), np.repeat(want[:, None], int(kept.sum()), axis=1), atol=1e-12)


def test_blurring_everything_is_the_gaussian_filter_away_from_the_border() -> None:
    side = 48
    canvases = canvases_of(1, (side, side), 0, torch.float64)
    found = blurred(canvases, torch.ones(1, side, side))[0].numpy()
    sigma = BLUR_FRAC * side
    weights = ndimage.gaussian_filter(np.ones((side, side)), sigma, mode="constant", truncate=12)
    for channel, own in zip(canvases[0].numpy(), found, strict=True):
        want = ndimage.gaussian_filter(channel, sigma, mode="constant", truncate=12) / weights
        np.testing.assert_allclose(own, want, atol=1e-9)


def test_blurring_brings_nothing_in_from_outside() -> None:
    canvases, masks = canvases_of(1, (32, 32)), discs(1, (32, 32), edge=1e-6)
    other = transplanted(torch.zeros_like(canvases), canvases, masks)
    inside = (masks == 1)[:, None].expand_as(canvases)
    assert torch.allclose(blurred(canvases, masks)[inside], blurred(other, masks)[inside], atol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (33, 47), (5, 9)])
def test_shuffling_keeps_every_pixel_of_the_region_once_and_none_in_its_place(size: tuple[int, int]) -> None:
    places = torch.arange(size[0] * size[1], dtype=torch.float64).view(1, 1, *size).expand(3, 3, -1, -1)
    canvases, masks = places / places.numel(), discs(3, size, edge=1e-6).double().round()
    found = shuffled(canvases, masks, seed=1)
    for image, own, kept in zip(canvases, found, masks == 1, strict=True):
        assert Counter(own[0, kept].tolist()) == Counter(image[0, kept].tolist())
        assert torch.equal(own[0], own[1]) and torch.equal(own[0], own[2])  # colours stay together
        assert not (own[0] == image[0])[kept].any()


def test_shuffling_moves_whole_patches() -> None:
    side, patch = 64, 8
    places = torch.arange(side * side, dtype=torch.float64).view(1, 1, side, side)
    found = shuffled(places, torch.ones(1, side, side), seed=0)[0, 0]
    corners = found[::patch, ::patch]
    assert (corners % patch == 0).all()
    assert (corners // side % patch == 0).all()
    within = places[0, 0, :patch, :patch].repeat(side // patch, side // patch)
    assert torch.equal(found - corners.repeat_interleave(patch, 0).repeat_interleave(patch, 1), within)
    assert not (corners == places[0, 0, ::patch, ::patch]).any()


def test_shuffling_a_region_of_one_patch_takes_smaller_ones_and_a_single_pixel_stays() -> None:
    canvases, masks = canvases_of(2, (64, 64)), torch.zeros(2, 64, 64)
    masks[0, :8, 56:], masks[1, 30, 30] = 1, 1
    found = shuffled(canvases, masks)
    assert not (found[0] == canvases[0])[:, :8, 56:].any()
    assert torch.equal(found[1], canvases[1])


def test_shuffling_is_one_round_through_all_patches_and_three_patches_are_too_few_for_it() -> None:
    places = torch.arange(64.0 * 64, dtype=torch.float64).view(1, 1, 64, 64)
    source = shuffled(places, torch.ones(1, 64, 64), seed=2)[0, 0, ::8, ::8].flatten().long()
    step, seen = 0, set()
    while step not in seen:
        seen.add(step)
        step = int(source[step // 64 // 8 * 8 + step % 64 // 8])
    assert len(seen) == 64
    three = torch.zeros(1, 64, 64)
    three[:, :8, :24] = 1
    moved = shuffled(places, three, seed=2) - places
    assert (moved[0, 0, :8, :24] % 8 != 0).any()  # by less than a whole patch


def test_half_a_mask_paints_over_by_half_and_shuffles_what_has_at_least_half() -> None:
    canvases = canvases_of(1, (16, 16))
    masks = torch.zeros(1, 16, 16)
    masks[:, 4:12, 4:12] = 0.5
    hole = filled(canvases, 1 - masks)
    assert torch.allclose(inpainted(canvases, masks), (canvases + hole) / 2, atol=1e-6)
    assert (shuffled(canvases, masks) != canvases)[..., 4:12, 4:12].any()
    assert torch.equal(shuffled(canvases, masks * 0.98), canvases)


def test_shuffling_follows_its_seed_and_nothing_else() -> None:
    canvases, masks = canvases_of(2, (32, 32)), torch.ones(1, 32, 32)
    torch.manual_seed(1)
    first = shuffled(canvases, masks, 3)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, shuffled(canvases, masks, 3))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first, shuffled(canvases, masks, 4))


@pytest.mark.parametrize("pixels", [0, 1, 2, 8])
def test_drawing_back_is_the_smallest_value_around(pixels: int) -> None:
    masks = canvases_of(3, (21, 30))[:, 0]
    side = 2 * pixels + 1
    want = np.stack([ndimage.minimum_filter(one, side, mode="constant", cval=2) for one in masks.numpy()])
    assert np.array_equal(shrunk(masks, pixels).numpy(), want)


def test_drawing_back_leaves_the_border_of_the_image_alone() -> None:
    assert torch.equal(shrunk(torch.ones(1, 9, 9), 4), torch.ones(1, 9, 9))
    ring = torch.ones(1, 20, 20)
    ring[:, 6:14, 6:14] = 0
    want = torch.ones(1, 20, 20)
    want[:, 4:16, 4:16] = 0
    assert torch.equal(shrunk(ring, 2), want)


def test_drawing_back_twice_is_drawing_back_by_the_sum() -> None:
    masks = discs(3, (40, 40), edge=6)
    assert torch.equal(shrunk(shrunk(masks, 2), 3), shrunk(masks, 5))
    assert ((shrunk(masks, 2) > 0) & (shrunk(masks, 2) < 1)).any()

"""Deletion and insertion: closed forms, the best of all orders, and RISE's own procedure by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from seewhy.evidence.metrics.curves import (
    area,
    areas,
    blurred,
    deletion,
    exchange_curve,
    insertion,
    mean_colour,
    symmetric_relevance_gain,
)
from seewhy.evidence.metrics.ranks import ranks, rows_of
from tests.evidence.metrics.linear import additive, drawn


def test_an_additive_network_with_its_own_attribution_has_a_curve_in_closed_form() -> None:
    images, weights, towards = drawn(4, 1, 6, 5), drawn(4, 6, 5, seed=1), drawn(4, 1, 6, 5, seed=2)
    score, steps = additive(weights), 10
    parts = weights * (images - towards)[:, 0]  # what each pixel adds: the exact attribution
    gone = parts.flatten(1).sort(dim=1, descending=True).values.cumsum(dim=1)
    before = score(images, rows_of(images))
    want = torch.stack([before, *(before - gone[:, round(30 * k / steps) - 1] for k in range(1, steps + 1))], dim=1)
    have = exchange_curve(images, towards, ranks(parts), score, steps=steps)
    torch.testing.assert_close(have, want, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        deletion(parts, images, score, towards=towards), torch.trapezoid(want, dx=1 / steps, dim=1), rtol=0, atol=1e-12
    )


def test_of_an_additive_network_what_is_inserted_is_what_was_deleted() -> None:
    images, weights, towards = drawn(3, 1, 6, 5), drawn(3, 6, 5, seed=1), drawn(3, 1, 6, 5, seed=2)
    score, maps = additive(weights), drawn(3, 6, 5, seed=3)
    gone = deletion(maps, images, score, towards=towards)
    there = insertion(maps, images, score, start=towards)
    both_ends = score(images, rows_of(images)) + score(towards, rows_of(images))
    torch.testing.assert_close(gone + there, both_ends)
    gain = symmetric_relevance_gain(maps, images, score, towards=towards)
    torch.testing.assert_close(gain, both_ends - 2 * gone)
    torch.testing.assert_close(gain, -symmetric_relevance_gain(-maps, images, score, towards=towards))


def test_the_exact_attribution_is_the_best_of_all_orders() -> None:
    image, weights = drawn(1, 1, 2, 3), drawn(1, 2, 3, seed=1)
    score, towards = additive(weights), mean_colour(image)
    exact = weights * (image - towards)[:, 0]
    orders = torch.tensor(list(itertools.permutations(range(6)))).view(-1, 2, 3).double()
    every = (image.expand(720, -1, -1, -1), additive(weights.expand(720, -1, -1)))
    each = areas(ranks(orders), every[0], mean_colour(every[0]), every[1], steps=6)
    best = areas(ranks(exact), image, towards, score, steps=6)
    assert float(best.deletion) == pytest.approx(float(each.deletion.min()))
    assert float(best.insertion) == pytest.approx(float(each.insertion.max()))
    assert float(best.gain) == pytest.approx(float(each.gain.max()))
    assert float(each.gain.mean()) == pytest.approx(0, abs=1e-12)  # what knows nothing gains nothing on average


def rise(image: Tensor, into: Tensor, order: np.ndarray, score: Tensor, step: int) -> float:
    """The area under RISE's curve of one image, pixel by pixel: its published procedure."""
    now, goal = image.clone().flatten(1), into.flatten(1)
    values = [float((now[0] * score.flatten()).sum().tanh())]
    for start in range(0, now.shape[1], step):
        for pixel in order[start : start + step]:
            now[:, pixel] = goal[:, pixel]
        values.append(float((now[0] * score.flatten()).sum().tanh()))
    array = np.array(values)
    return float((array.sum() - array[0] / 2 - array[-1] / 2) / (len(array) - 1))


@pytest.mark.parametrize("way", ["deletion", "insertion"])
def test_both_are_those_of_rise(way: str) -> None:
    images, weights, maps = drawn(3, 1, 8, 8), drawn(3, 8, 8, seed=1) / 8, drawn(3, 8, 8, seed=2)
    plain = additive(weights)
    score = lambda changed, rows: plain(changed, rows).tanh()  # noqa: E731
    blank, blur = torch.zeros_like(images), blurred(images)
    if way == "deletion":
        have = deletion(maps, images, score, towards=blank, steps=8)
    else:
        have = insertion(maps, images, score, start=blur, steps=8)
    for row in range(3):
        order = np.argsort(maps[row].flatten().numpy())[::-1]
        ends = (images[row], blank[row]) if way == "deletion" else (blur[row], images[row])
        assert float(have[row]) == pytest.approx(rise(*ends, order, weights[row], 8), abs=1e-12)


def test_the_blur_is_that_of_rise() -> None:
    impulse = np.zeros((11, 11))
    impulse[5, 5] = 1
    kernel = ndimage.gaussian_filter(impulse, 5)
    images = drawn(2, 3, 16, 14)
    want = [[ndimage.convolve(channel, kernel, mode="constant") for channel in image] for image in images.numpy()]
    np.testing.assert_allclose(blurred(images).numpy(), want, atol=1e-12)


def test_a_constant_score_has_its_own_height_as_area() -> None:
    torch.testing.assert_close(area(torch.full((2, 11), 0.7)), torch.full((2,), 0.7))

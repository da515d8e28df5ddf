"""Drop and increase, by hand."""

from __future__ import annotations

import torch

from seewhy.evidence.metrics.confidence import Confidence, lit, under_map
from tests.evidence.metrics.linear import additive, drawn


def test_both_are_the_papers_by_hand() -> None:
    both = Confidence(torch.tensor([0.8, 0.5, 0.2, 0.4]), torch.tensor([0.4, 0.6, 0.2, 0.3]))
    torch.testing.assert_close(both.drop, torch.tensor([0.5, 0.0, 0.0, 0.25]))
    assert both.rises.tolist() == [0, 1, 0, 0]
    assert 100 * float(both.drop.mean()) == 18.75  # Average Drop %
    assert 100 * float(both.rises.mean()) == 25  # % Increase in Confidence


def test_the_image_is_multiplied_with_the_positive_part_up_to_its_peak() -> None:
    images, weights, maps = drawn(3, 1, 5, 4), drawn(3, 5, 4, seed=1), drawn(3, 5, 4, seed=2)
    have = under_map(maps, images, additive(weights))
    for row in range(3):
        kept = maps[row].numpy().clip(min=0)
        want = (images[row, 0].numpy() * kept / kept.max() * weights[row].numpy()).sum()
        torch.testing.assert_close(float(have.after[row]), float(want))
        torch.testing.assert_close(float(have.before[row]), float((images[row, 0] * weights[row]).sum()))


def test_a_map_that_lights_all_changes_nothing_and_one_that_lights_nothing_leaves_the_ground() -> None:
    images, score = drawn(2, 1, 5, 4), additive(drawn(2, 5, 4, seed=1))
    whole = under_map(torch.full((2, 5, 4), 3.0), images, score)
    assert torch.equal(whole.after, whole.before) and whole.rises.tolist() == [0, 0]
    ground = torch.full_like(images, 0.5)
    nothing = under_map(-torch.ones(2, 5, 4), images, score, towards=ground)
    assert torch.equal(nothing.after, score(ground, torch.arange(2)))


def test_a_drop_is_a_share_of_something() -> None:
    assert torch.isnan(Confidence(torch.tensor([0.0, -1.0]), torch.tensor([0.5, 0.5])).drop).all()
    assert float(lit(torch.zeros(1, 2, 2)).sum()) == 0

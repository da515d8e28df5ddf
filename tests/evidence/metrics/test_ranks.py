"""The order that a map names: each rank once, whatever is equal."""

from __future__ import annotations

import torch

from seewhy.evidence.metrics.ranks import ranks
from tests.evidence.metrics.linear import drawn


def test_every_rank_stands_once_and_the_largest_value_is_first() -> None:
    maps = drawn(3, 5, 7)
    ranked = ranks(maps)
    assert all(row.flatten().sort().values.tolist() == list(range(35)) for row in ranked)
    for map_, row in zip(maps, ranked, strict=True):
        assert torch.equal(map_.flatten()[row.flatten().argsort()], map_.flatten().sort(descending=True).values)


def test_among_equals_the_seed_decides_and_not_the_place() -> None:
    maps = torch.zeros(1, 20, 20)
    maps[0, 3:6, 3:6] = 1
    ranked = ranks(maps)
    assert int((ranked < 9).sum()) == 9 and bool((ranked[0, 3:6, 3:6] < 9).all())
    assert torch.equal(ranked, ranks(maps)) and not torch.equal(ranked, ranks(maps, seed=1))
    first = (ranked < 200)[0, :10].sum()  # of the rest as many in the upper half as in the lower one, but for chance
    assert 70 < int(first) < 140


def test_signed_values_count_as_they_are() -> None:
    assert ranks(torch.tensor([[[0.0, -1.0], [2.0, 0.5]]])).tolist() == [[[2, 3], [0, 1]]]

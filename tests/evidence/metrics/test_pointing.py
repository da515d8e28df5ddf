"""The pointing games: a constant map reaches the area's share, and no more."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seewhy.errors import DataError
from seewhy.evidence.metrics.pointing import energy_pointing_game, pointing_game
from tests.evidence.metrics.linear import drawn


@pytest.mark.parametrize("game", [pointing_game, energy_pointing_game])
@pytest.mark.parametrize("height", [0.5, 3.0])
def test_a_constant_map_reaches_the_areas_share(game: object, height: float) -> None:
    masks = (drawn(4, 9, 8) > 0.3).double()
    played = game(torch.full((4, 9, 8), height), masks)  # type: ignore[operator]
    torch.testing.assert_close(played.value, masks.mean(dim=(1, 2)))
    torch.testing.assert_close(played.gain, torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-12)


def test_a_hit_is_a_maximum_within_the_mask() -> None:
    maps, masks = torch.zeros(3, 6, 6), torch.zeros(3, 6, 6)
    masks[:, 2:4, 2:4] = 1
    maps[0, 3, 3], maps[1, 0, 0] = 1, 1
    maps[2, 2, 2] = maps[2, 5, 5] = 1  # two maxima, of which one lies in it
    played = pointing_game(maps, masks)
    assert played.value.tolist() == [1, 0, 0.5]
    assert played.area.tolist() == pytest.approx([4 / 36] * 3)


def test_the_tolerance_reaches_so_far_and_counts_for_the_area_too() -> None:
    maps, masks = torch.zeros(1, 9, 9), torch.zeros(1, 9, 9)
    masks[0, 4, 4], maps[0, 4, 7] = 1, 1
    assert [float(pointing_game(maps, masks, tolerance_px=px).value) for px in (2, 3)] == [0, 1]
    assert float(pointing_game(maps, masks, tolerance_px=1).area) == pytest.approx(5 / 81)


def test_energy_by_hand() -> None:
    maps, masks = drawn(3, 5, 4), torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(1))
    have = energy_pointing_game(maps, masks)
    kept = maps.numpy().clip(min=0)
    want = (kept * masks.double().numpy()).sum(axis=(1, 2)) / kept.sum(axis=(1, 2))
    np.testing.assert_allclose(have.value.numpy(), want, rtol=1e-12)


def test_what_cannot_be_said_is_not_said() -> None:
    masks = torch.zeros(2, 4, 4)
    masks[1, 0, 0] = 1
    maps = torch.ones(2, 4, 4)
    assert torch.isnan(pointing_game(maps, masks).value).tolist() == [True, False]
    assert torch.isnan(energy_pointing_game(-maps, masks).value).all()
    with pytest.raises(DataError, match="one of the same height and width is needed"):
        pointing_game(maps, masks[:, :2])

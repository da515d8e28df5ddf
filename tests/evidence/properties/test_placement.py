from __future__ import annotations

import torch
from torch import Tensor

from seewhy.evidence.properties import placement
from tests.evidence.properties.test_catalogue import scenes


def blob(x: float, y: float, radius: float, size: int = 65) -> Tensor:
    """A soft disc about a place, in pixels, on grey (1, 3, size, size)."""
    place = torch.arange(size, dtype=torch.float64)
    square = (place[None] - x) ** 2 + (place[:, None] - y) ** 2
    return (0.4 + 0.5 * torch.exp(-square / (2 * radius**2))).expand(1, 3, size, size).float().contiguous()


def test_placement_is_the_blobs_place_and_size() -> None:
    values = placement.placement(blob(40, 20, 5))[0]
    centre = torch.tensor([(2 * 40 + 1) / 65 - 1, (2 * 20 + 1) / 65 - 1])
    torch.testing.assert_close(values[:2], centre, rtol=0, atol=0.02)  # differences lie half a pixel aside
    # the squared slope of a Gaussian, r^2 exp(-r^2 / s^2), lies at a mean square of s^2 from the centre along each axis
    torch.testing.assert_close(values[2], torch.tensor(5 * 2 / 65), rtol=0.06, atol=0)


def test_a_blob_is_moved_and_zoomed_onto_another() -> None:
    wanted = placement.placement(blob(30, 36, 7))
    edited = placement.placement_editor(blob(40, 20, 5))(wanted)
    torch.testing.assert_close(edited, blob(30, 36, 7), rtol=0, atol=0.02)
    torch.testing.assert_close(placement.placement(edited), wanted, rtol=0, atol=0.01)


def test_a_shift_by_whole_pixels_moves_the_pixels_and_reflects_the_border() -> None:
    canvases = scenes(1, (32, 32)).double()
    values = placement.placement(canvases)
    edited = placement.placement_editor(canvases)(values + torch.tensor([[2 * 3 / 32, -2 * 5 / 32, 0.0]]))
    expected = torch.empty_like(canvases)
    expected[:, :, :27, 3:] = canvases[:, :, 5:, :29]
    expected[:, :, 27:, 3:] = canvases[:, :, 27:, :29].flip(2)
    expected[:, :, :, :3] = expected[:, :, :, 3:6].flip(3)
    torch.testing.assert_close(edited, expected, rtol=0, atol=1e-9)


def test_shift_and_zoom_are_bounded() -> None:
    canvases = blob(32, 32, 4)
    own = placement.placement(canvases)
    far = placement.placement(placement.placement_editor(canvases)(own + torch.tensor([[3.0, 0.0, 3.0]])))
    torch.testing.assert_close(far[0, 0] - own[0, 0], torch.tensor(placement.FARTHEST), rtol=0, atol=0.03)
    torch.testing.assert_close(far[0, 2] / own[0, 2], torch.tensor(placement.LARGEST), rtol=0.03, atol=0)


def test_balance_by_hand() -> None:
    canvases = torch.zeros(1, 3, 4, 4)
    canvases[..., 3] = 1
    torch.testing.assert_close(placement.balance(canvases), torch.tensor([[0.75 / 4]]))
    torch.testing.assert_close(placement.balance(canvases.flip(3)), torch.tensor([[-0.75 / 4]]))


def test_only_images_that_face_the_other_way_are_mirrored() -> None:
    canvases = scenes(6)
    own = placement.balance(canvases)
    edit = placement.balance_editor(canvases)
    assert torch.equal(edit(-own), canvases.flip(3))
    assert torch.equal(edit(own * 0.5), canvases)
    assert torch.equal(edit(torch.zeros(6, 1)), canvases)
    half = torch.tensor([1.0, -1, 1, -1, -1, 1])[:, None]
    mirrored = edit(own * half)
    assert torch.equal(mirrored[half[:, 0] < 0], canvases[half[:, 0] < 0].flip(3))
    assert torch.equal(mirrored[half[:, 0] > 0], canvases[half[:, 0] > 0])


def test_an_image_without_a_side_is_never_mirrored() -> None:
    half = scenes(1)[..., :32]
    symmetric = torch.cat([half, half.flip(3)], dim=3)
    assert torch.equal(placement.balance_editor(symmetric)(torch.ones(1, 1)), symmetric)

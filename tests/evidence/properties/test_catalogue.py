from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seewhy.evidence.properties.catalogue import PROPERTIES, Property, prepared
from seewhy.evidence.properties.colour import luminance

ALL = pytest.mark.parametrize("one", PROPERTIES.values(), ids=PROPERTIES)
ONE_WAY = {name: PROPERTIES[name] for name in ("noise", "sharpness", "jpeg")}
SIZES = ((64, 64), (33, 47), (16, 16))


def scenes(count: int, size: tuple[int, int] = (64, 64), seed: int = 0) -> Tensor:
    """Smooth random pictures with a little noise, away from black and white, as 8 bits would hold them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=generator, dtype=torch.float64)
    smooth = functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False) * 0.6 + 0.2
    noisy = smooth + 0.01 * torch.randn(count, 3, *size, generator=generator, dtype=torch.float64)
    return ((noisy * 255).round() / 255).clamp(0, 1).float()


def compressed(canvases: Tensor, quality: float) -> Tensor:
    return PROPERTIES["jpeg"].apply(canvases, torch.full((len(canvases), 1), quality))


def donors(name: str, canvases: Tensor) -> Tensor:
    """Other scenes; for one-way properties such that every image has to be edited."""
    other = scenes(len(canvases), canvases.shape[2:], seed=9)
    if name == "jpeg":
        return compressed(other, 40.0)
    if name == "noise":
        return (other + 0.1 * torch.randn(other.shape, generator=torch.Generator().manual_seed(4))).clamp(0, 1)
    if name == "sharpness":
        return functional.avg_pool2d(functional.pad(other, (2, 2, 2, 2), mode="reflect"), 5, 1)
    return other


@ALL
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_an_images_own_value_leaves_it_as_it_is(one: Property, size: tuple[int, int]) -> None:
    canvases = scenes(4, size)
    again = one.apply(canvases, one.measure(canvases))
    if one.name in ONE_WAY or one.name == "flip":
        assert torch.equal(again, canvases)
    torch.testing.assert_close(again, canvases, rtol=0, atol=1e-4)


CAMERAS: dict[str, Callable[[Tensor], Tensor]] = {  # what changes all of a picture alike
    "brightness": lambda x: 0.8 * x,
    "contrast": lambda x: x + 0.3 * (luminance(x) - luminance(x).mean(dim=(1, 2), keepdim=True))[:, None],
    "saturation": lambda x: x + 0.4 * (x - luminance(x)[:, None]),
}


@pytest.mark.parametrize("name", CAMERAS)
def test_a_change_seen_in_a_part_is_carried_over_to_the_whole(name: str) -> None:
    canvases, of = scenes(4), PROPERTIES[name]
    canvases[:, :, :, 32:] = canvases[:, :, :, 32:].flip(1) * 0.5 + 0.3  # the part is another world
    changed = CAMERAS[name](canvases)
    part, wanted = (of.measure(each[:, :, :, :32]) for each in (canvases, changed))
    values = of.carried_over(of.measure(canvases), part, wanted)
    torch.testing.assert_close(of.apply(canvases, values), changed, rtol=0, atol=2e-4)


def test_noise_that_a_camera_adds_adds_its_power_in_every_part() -> None:
    of, rng = PROPERTIES["noise"], np.random.default_rng(2)

    def grain(level: float, side: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(0, level, (4, 1, 64, side))).float().expand(-1, 3, -1, -1)

    calm, rough = 0.5 + grain(0.01, 64), 0.5 + grain(0.04, 64)
    by_the_camera = grain(0.03, 64)
    before, after, seen, wanted = (
        of.measure(canvases) for canvases in (rough, rough + by_the_camera, calm, calm + by_the_camera)
    )
    torch.testing.assert_close(of.carried_over(before, seen, wanted), after, rtol=0.1, atol=0)


@ALL
def test_a_part_that_stays_changes_nothing(one: Property) -> None:
    canvases = scenes(3)
    values, part = one.measure(canvases), one.measure(canvases[:, :, :32, :32].contiguous())
    if one.scale != "level" and values.shape == part.shape:
        torch.testing.assert_close(one.carried_over(values, part, part), values)
    other = one.measure(scenes(3, seed=2))
    torch.testing.assert_close(one.carried_over(values, values, other), other)


TOLERANCES = {
    "brightness": 1e-5,
    "contrast": 1e-5,
    "saturation": 1e-5,
    "tint": 1e-5,
    "noise": 4e-4,  # a little of it clips
    "sharpness": 2e-3,
    "low-frequency": 1e-4,
    "spectrum": 1e-4,
    "jpeg": 1.0,
}


@pytest.mark.parametrize("name", TOLERANCES)
def test_a_wanted_value_that_can_be_had_is_reached(name: str) -> None:
    one, canvases = PROPERTIES[name], scenes(6)
    wanted = one.measure(donors(name, canvases))
    if name in ("spectrum", "low-frequency"):  # a small step is allowed and does not clip; what is not there stays so
        own = one.measure(canvases)
        wanted = torch.where(own > -9, own + (wanted - own).clamp(-0.1, 0.1), own)
    edited = one.apply(canvases, wanted)
    assert (edited - canvases).abs().amax(dim=(1, 2, 3)).min() > 1e-3, "every image was edited"
    reached = one.measure(edited)
    assert (reached - wanted).abs().max() <= TOLERANCES[name]


def extremes() -> dict[str, Tensor]:
    checks = (torch.arange(16)[:, None] + torch.arange(16)) % 2
    return {
        "black": torch.zeros(2, 3, 20, 24),
        "white": torch.ones(2, 3, 20, 24),
        "one colour": torch.tensor([0.2, 0.5, 0.9])[None, :, None, None].expand(2, 3, 17, 31).contiguous(),
        "tiny": scenes(2, (16, 16)),
        "odd": scenes(2, (37, 19)),
        "black and white": checks.float().expand(2, 3, 16, 16).contiguous(),
        "noise": torch.rand(2, 3, 33, 18, generator=torch.Generator().manual_seed(3)),
    }


@ALL
@pytest.mark.parametrize("kind", extremes())
def test_extreme_images_stay_images(one: Property, kind: str) -> None:
    canvases = extremes()[kind]
    before = canvases.clone()
    for other in extremes().values():
        same_size = functional.interpolate(other, size=canvases.shape[2:], mode="nearest")
        values = one.measure(same_size)
        assert torch.isfinite(values).all()
        edited = one.apply(canvases, values)
        assert edited.shape == canvases.shape
        assert edited.dtype == canvases.dtype
        assert torch.isfinite(edited).all()
        assert edited.min() >= 0
        assert edited.max() <= 1
    assert torch.equal(canvases, before), "the input is never written to"


@ALL
def test_a_flat_image_keeps_its_own_value_too(one: Property) -> None:
    flat = extremes()["one colour"]
    torch.testing.assert_close(one.apply(flat, one.measure(flat)), flat, rtol=0, atol=1e-4)


@ALL
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_alone_in_a_batch_and_in_another_order_the_same(one: Property, size: tuple[int, int]) -> None:
    canvases = scenes(7, size)
    values = one.measure(donors(one.name, canvases))
    edited = one.apply(canvases, values)
    alone = torch.cat([one.apply(canvases[i : i + 1], values[i : i + 1]) for i in range(7)])
    torch.testing.assert_close(alone, edited, rtol=0, atol=1e-6)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    torch.testing.assert_close(one.apply(canvases[order], values[order]), edited[order], rtol=0, atol=1e-6)
    torch.testing.assert_close(one.measure(canvases[order]), one.measure(canvases)[order], rtol=1e-5, atol=1e-6)


@ALL
def test_an_editor_can_be_used_again_and_equals_apply(one: Property) -> None:
    canvases = scenes(3)
    first, second = one.measure(donors(one.name, canvases)), one.measure(scenes(3, seed=5))
    edit = one.editor(canvases)
    expected = one.apply(canvases, first)
    edit(first).fill_(7)  # what comes back is the caller's own
    edit(second)
    assert torch.equal(edit(first), expected)


@ALL
def test_the_global_random_state_is_neither_read_nor_moved(one: Property) -> None:
    canvases = scenes(3)
    values = one.measure(donors(one.name, canvases))
    torch.manual_seed(1)
    first, state = one.apply(canvases, values), torch.get_rng_state()
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(one.apply(canvases, values), first)


@ALL
def test_double_precision_gives_the_same(one: Property) -> None:
    canvases = scenes(4)
    values = one.measure(donors(one.name, canvases))
    double = canvases.double()
    # a double of an 8-bit value is not the float's neighbour: start from the same numbers
    torch.testing.assert_close(one.measure(double).float(), one.measure(canvases), rtol=1e-3, atol=1e-5)
    edited = one.apply(double, values.double())
    assert edited.dtype == torch.float64
    torch.testing.assert_close(edited.float(), one.apply(canvases, values), rtol=0, atol=1e-4)


@pytest.mark.parametrize("one", ONE_WAY.values(), ids=ONE_WAY)
def test_one_way_properties_never_move_the_other_way(one: Property) -> None:
    canvases = torch.cat([scenes(6), donors(one.name, scenes(6))])
    own = one.measure(canvases)
    down = 1.0 if one.name == "noise" else -1.0  # where the property can be moved to
    for shift in (-0.3, -0.05, 0.0, 0.05, 0.3):
        wanted = own * (1 + shift)
        edited = one.apply(canvases, wanted)
        if shift * down <= 0:
            assert torch.equal(edited, canvases)
        else:
            assert ((one.measure(edited) - own) * down > -1e-4 * own.abs()).all()


def test_exactly_three_properties_are_one_way() -> None:
    assert set(ONE_WAY) == {"noise", "sharpness", "jpeg"}


def test_every_property_has_words_and_its_own_name() -> None:
    for name, one in PROPERTIES.items():
        assert one.name == name
        assert one.words
        assert one.unit


@ALL
def test_a_large_batch_is_edited_in_parts_and_the_same(one: Property, monkeypatch: pytest.MonkeyPatch) -> None:
    canvases = scenes(5, (32, 32))
    values = one.measure(donors(one.name, canvases))
    whole = one.apply(canvases, values)
    monkeypatch.setattr("seewhy.evidence.properties.catalogue._PART", 2 * 3 * 32 * 32)
    torch.testing.assert_close(one.apply(canvases, values), whole, rtol=0, atol=1e-6)


def test_a_user_writes_a_property_in_a_few_lines() -> None:
    def red(canvases: Tensor) -> Tensor:
        return canvases[:, 0].mean(dim=(1, 2))[:, None]

    def redder(canvases: Tensor, values: Tensor) -> Tensor:
        edited = canvases.clone()
        edited[:, 0] += (values - red(canvases))[:, :, None]
        return edited.clamp(0, 1)

    one, canvases = Property("red", red, redder), scenes(2)
    torch.testing.assert_close(one.measure(one.editor(canvases)(torch.full((2, 1), 0.5))), torch.full((2, 1), 0.5))
    same = prepared("red", red, lambda canvases: lambda values: redder(canvases, values))
    assert torch.equal(same.apply(canvases, red(canvases)), one.apply(canvases, red(canvases)))

"""The other tools on pictures of which all is known: what each must tell, and what it cannot."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from benchmarks.planted.cases import Case
from benchmarks.planted.latents import Recipe
from benchmarks.planted.networks import Network, built, inputs_of, predicted
from benchmarks.unaided import peers
from benchmarks.unaided.peers import NEEDS, PEERS, UNAVAILABLE, Material, clusters, exchanges, maps, material_of
from benchmarks.unaided.peers.material import going_with_label, outside
from torch import Tensor, nn

from seewhy.evidence.factors.zones import ZONES

SIDE, HALF = 32, 30
CORNER, CORE = (slice(2, 6), slice(2, 6)), (slice(10, 22), slice(10, 22))  # the corner's pixels beside the border
CASE = Case("planted", Network(Recipe("objects", ("logo",), size=SIDE)))
NAMES = list(peers._ALL)


class Reads(nn.Module):
    """Class 0 where a place is redder than half, by how much it is; `mean` of the red through one convolution."""

    def __init__(self, place: tuple[slice, slice]) -> None:
        super().__init__()
        self.red = nn.Conv2d(3, 1, 1, bias=False)
        self.fc = nn.Linear(SIDE * SIDE, 2, bias=False)
        weights = torch.zeros(SIDE, SIDE)
        weights[place] = 1 / weights[place].numel()
        with torch.no_grad():
            self.red.weight.copy_(torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1))
            self.fc.weight.copy_(torch.stack([2 * weights, -2 * weights]).flatten(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.red(x).flatten(1))


def drawn(place: tuple[slice, slice], read: tuple[slice, slice], against: int = 0) -> Material:
    """Noise, with a place red in class 0 and black in class 1 but for `against` of each; the network reads a place."""
    dice = np.random.default_rng(3)
    labels = np.arange(2 * HALF) % 2
    images = dice.integers(60, 110, (2 * HALF, SIDE, SIDE, 3)).astype(np.uint8)
    on = labels == 0
    on[: 2 * against] = ~on[: 2 * against]
    for image, is_on in zip(images, on, strict=True):
        image[place] = (250, 80, 80) if is_on else (0, 80, 80)
    core = np.zeros((2 * HALF, SIDE, SIDE), np.float32)
    core[:, CORE[0], CORE[1]] = 1
    module = Reads(read).eval()
    logits = torch.cat(predicted(module, inputs_of(images))).double().numpy()
    zones = {name: zone((SIDE, SIDE)).astype(np.float32) / 255 for name, zone in ZONES.items()}
    zones["background"] = 1 - core
    return Material(CASE, module, images, labels, logits, core, zones, {"logo": on})


def asked(name: str, material: Material) -> tuple[str, ...]:
    if name in UNAVAILABLE:
        pytest.skip(f"{name}: {UNAVAILABLE[name]}")
    return PEERS[name](material).names


@pytest.mark.parametrize("name", ["mean-fill, paired t", "recipient-only donor test"])
def test_a_network_that_reads_one_corner_is_told_by_the_places_that_hold_it(name: str) -> None:
    assert set(asked(name, drawn(CORNER, CORNER))) == {"top-left", "background"}


@pytest.mark.parametrize(
    "name", ["mean-fill, paired t", "recipient-only donor test", "background gap (Xiao), true masks"]
)
def test_a_network_that_reads_the_core_alone_has_no_effect_at_all(name: str) -> None:
    claim = PEERS[name](drawn(CORE, CORE))
    assert claim.names == ()
    assert "0.000" in claim.note and "-0.0" not in claim.note


def test_a_place_filled_with_its_mean_colour_keeps_what_a_network_reads_of_its_mean() -> None:
    whole = (slice(0, 6), slice(0, 6))
    claim = PEERS["mean-fill, paired t"](drawn(whole, whole))
    assert "top-left" not in claim.names
    assert "top-left" in asked("recipient-only donor test", drawn(whole, whole))


def test_the_background_gap_tells_a_network_that_reads_the_background() -> None:
    assert asked("background gap (Xiao), true masks", drawn(CORNER, CORNER)) == ("background",)


def test_the_background_gap_takes_the_true_mask_where_there_is_one() -> None:
    material = drawn(CORNER, CORNER)
    everything = np.ones_like(material.core)
    assert asked("background gap (Xiao), true masks", replace(material, truth=everything)) == ()


def test_where_an_object_was_the_nearest_pixel_of_the_background_is_shown() -> None:
    canvases = torch.arange(16.0).reshape(1, 1, 4, 4).expand(1, 3, 4, 4)
    mask = np.zeros((1, 4, 4), np.float32)
    mask[0, :, 3] = 1
    shown = exchanges.emptied(canvases, mask)[0, 0]
    assert torch.equal(shown[:, 3], shown[:, 2]) and torch.equal(shown[:, :3], canvases[0, 0, :, :3])


def test_a_map_within_one_place_is_lifted_by_one_over_its_area() -> None:
    masks = np.zeros((2, 8, 8), np.float32)
    masks[:, :2, :4] = 1
    assert maps.lift(masks.astype(float), masks) == pytest.approx(8)
    assert maps.lift(np.ones((2, 8, 8)), masks) == pytest.approx(1)
    assert maps.lift(np.zeros((2, 8, 8)), masks) == 0
    assert maps.read(masks, {"a": masks, "b": 1 - masks}).names == ("a",)
    assert maps.read(np.ones((2, 8, 8)), {"a": masks, "b": 1 - masks}).names == ()


@pytest.mark.parametrize("name", ["pytorch-grad-cam, charitable reader", "captum, charitable reader"])
def test_maps_of_a_network_that_reads_one_corner_lead_to_it_and_of_the_core_to_nothing(name: str) -> None:
    assert asked(name, drawn(CORNER, CORNER)) == ("top-left",)
    assert asked(name, drawn(CORE, CORE)) == ()


def test_places_within_the_core_are_not_asked_about() -> None:
    material = drawn(CORNER, CORNER)
    core = np.broadcast_to(material.zones["centre"], material.core.shape)
    found = outside(replace(material, core=core, zones={**material.zones, "background": 1 - core}))
    assert set(found) == {*ZONES, "background"} - {"centre"}


def test_holm_goes_on_only_while_all_smaller_ones_pass() -> None:
    assert exchanges.holm({"a": 0.03, "b": 0.01, "c": 0.04}) == {"b": True, "a": False, "c": False}
    assert exchanges.holm({"a": 0.024, "b": 0.01, "c": 0.04}) == {"b": True, "a": True, "c": True}


def test_a_cluster_shows_a_state_that_is_rare_and_never_one_that_nearly_all_have() -> None:
    on = np.arange(100) >= 10  # nine in ten
    rest, rare = (np.zeros(100, bool) for _ in range(2))
    rest[12:] = True
    rare[:12] = True
    assert not clusters.shows(rest, on)
    assert clusters.shows(rare, ~on)
    assert not clusters.shows(np.arange(100) < 4, ~on)  # pure, but not half of them
    assert clusters.found_in(rare.astype(int), {"logo": on}, np.zeros(100, int)) == ["logo"]
    assert clusters.found_in(np.arange(100) % 2, {"logo": on}, np.zeros(100, int)) == []


def test_a_reader_suspects_only_kinds_that_go_with_the_label() -> None:
    material = drawn(CORNER, CORNER, against=4)
    on = material.kinds["logo"]
    kinds = {"with": on, "against": ~on, "not": np.arange(len(on)) % 4 < 2, "always": np.ones_like(on)}
    assert set(going_with_label(replace(material, kinds=kinds))) == {"with", "against"}


def test_where_nothing_is_planted_only_a_cluster_of_one_label_is_told() -> None:
    labels = np.arange(100) % 2
    assert clusters.found_in(labels, {}, labels) == ["cluster"]
    assert clusters.found_in(np.arange(100) // 50, {}, labels) == []
    assert clusters.found_in(labels, {}, np.zeros(100, int)) == []  # the class has one label anyway


def test_corelay_parts_two_sorts_of_maps() -> None:
    _needs("SpRAy (corelay), oracle reader")
    dice = np.random.default_rng(0)
    rows = dice.normal(size=(60, 16)) * 0.1 + 5 * (np.arange(60) < 20)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, first = islice(clusters.corelay_clusters(rows), 2)  # two clusters, over two eigenvectors
    assert {len(set(first[:20].tolist())), len(set(first[20:].tolist()))} == {1}
    assert first[0] != first[-1]


def test_a_slice_of_errors_shows_the_kind_that_makes_them() -> None:
    name = "slices of errors (Domino-like), oracle reader"
    assert asked(name, drawn(CORNER, CORNER, against=8)) == ("logo",)
    assert asked(name, drawn(CORNER, CORNER)) == ()  # without errors there is nothing to slice


def test_datalab_takes_the_commonest_labels_number_for_how_common_it_is() -> None:
    _needs("Datalab as shipped")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas
        from benchmarks.unaided.peers.datalab import scores_of

        noise = pandas.DataFrame({"dark_score": np.random.default_rng(0).normal(size=200)})
        labels = (np.arange(200) % 5 == 0).astype(int)  # four in five are of one class
        shipped, repaired = (scores_of(noise, labels, is_repaired)["dark"] for is_repaired in (False, True))
    assert shipped == pytest.approx(0.2, abs=0.02)  # below its threshold of 0.3: flagged
    assert repaired == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ["Datalab as shipped", "Datalab, baseline repaired"])
def test_datalab_tells_what_goes_with_the_label_whatever_the_network_reads(name: str) -> None:
    everywhere = (slice(0, SIDE), slice(0, SIDE))
    assert "brightness" in asked(name, drawn(everywhere, CORE))


def test_bnnr_tells_a_map_along_the_edges() -> None:
    name, edge = "bnnr's background-focus rule", (slice(0, 4), slice(0, SIDE))
    assert asked(name, drawn(edge, edge)) == ("background",)


@pytest.mark.parametrize("name", NAMES)
def test_a_peer_tells_the_same_again_and_leaves_network_and_chance_as_they_were(name: str) -> None:
    _needs(name)
    material = drawn(CORNER, CORNER, against=4)
    weights = {key: value.clone() for key, value in material.module.state_dict().items()}
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = PEERS[name](material)
    assert first == PEERS[name](material)
    assert set(first.names) <= {*material.zones, "logo", "cluster", "brightness", "contrast", "sharpness", "saturation"}
    assert all(torch.equal(value, weights[key]) for key, value in material.module.state_dict().items())
    assert all(one.grad is None for one in material.module.parameters())
    assert torch.equal(torch.get_rng_state(), before[0]) and (np.random.get_state()[1] == before[1]).all()


def test_every_peer_is_there_or_said_to_be_absent_and_why() -> None:
    assert set(NAMES) <= {*PEERS, *UNAVAILABLE} and not set(PEERS) & set(UNAVAILABLE)
    assert set(NEEDS) <= set(NAMES)
    for name in set(NAMES) & set(UNAVAILABLE):
        assert any(importlib.util.find_spec(package) is None for package in NEEDS[name])


@pytest.mark.parametrize(("renderer", "core"), [("objects", "dilated"), ("faces", "centre")])
def test_material_is_what_an_audit_of_the_case_has(renderer: str, core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Case, "images", property(lambda case: 4))
    case = Case("planted", Network(Recipe(renderer, ("tint",), size=SIDE)), core)
    module = built(case.network).eval()
    material = material_of(case, module)
    assert material.images.shape == (8, SIDE, SIDE, 3) and np.bincount(material.labels).tolist() == [4, 4]
    assert material.kinds["tint"].shape == (8,) and set(material.zones) == {*ZONES, "background"}
    assert np.allclose(material.zones["background"], 1 - material.core, atol=1e-6)
    assert material.truth is not None and (material.truth.shape == material.core.shape)
    with torch.no_grad():
        assert np.allclose(material.logits, module(material.inputs).numpy(), atol=1e-5)
    if core == "dilated":
        assert (material.core >= material.truth - 1e-6).all() and material.core.sum() > material.truth.sum()
    else:
        assert (material.core == material.core[0]).all()


def _needs(name: str) -> None:
    if name in UNAVAILABLE:
        pytest.skip(f"{name}: {UNAVAILABLE[name]}")

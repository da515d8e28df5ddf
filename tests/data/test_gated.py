"""A gate in front of a last layer: what it changes and what it leaves, and the file from which it comes back."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.data.networks.gated import Gate, GatedHead, gates_in, put_in_place, with_gates, without_gates
from seewhy.data.networks.weights import load_weights
from seewhy.errors import WeightsError

torch.manual_seed(0)
WAY = torch.nn.functional.normalize(torch.randn(6), dim=0)
GATE = Gate(WAY, 0.3, -0.5)


class Net(nn.Module):
    """Features of a picture's means, a linear layer, and the same layer once more under another name."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.head = nn.Linear(6, 2)
        self.again = self.head

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.again(self.conv(x).mean(dim=(2, 3)))
        return logits


def gated(network: nn.Module) -> nn.Module:
    changed = copy.deepcopy(network)
    head = changed.get_submodule("head")
    assert isinstance(head, nn.Linear)
    put_in_place(changed, "head", GatedHead.of(head, GATE))
    return changed


def test_features_below_the_threshold_are_left_to_the_bit_and_those_beyond_it_go_to_the_level() -> None:
    linear, features = nn.Linear(6, 3), torch.randn(200, 6)
    head = GatedHead.of(linear, GATE)
    along = features @ WAY
    below, beyond = along <= GATE.threshold, along > GATE.threshold
    assert 20 < int(beyond.sum()) < 180
    with torch.no_grad():
        assert torch.equal(head(features)[below], linear(features)[below])
        there = features[beyond] + (GATE.level - along[beyond])[:, None] * WAY
        torch.testing.assert_close(head(features)[beyond], linear(there))
        moved = features[beyond] + torch.rand(int(beyond.sum()), 1) * WAY  # how far beyond says nothing any more
        torch.testing.assert_close(head(moved), head(features)[beyond])
        torch.testing.assert_close(head(features[:5].reshape(5, 1, 6)), head(features)[:5][:, None])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_gate_has_the_layers_own_parameters_and_its_kind_of_numbers(bias: bool, dtype: torch.dtype) -> None:
    linear = nn.Linear(6, 3, bias=bias, dtype=dtype).requires_grad_(False).eval()
    head = GatedHead.of(linear, GATE)
    assert head.weight is linear.weight and head.bias is linear.bias and not head.training
    assert {value.dtype for value in head.state_dict().values()} == {dtype}
    assert head(torch.randn(2, 6, dtype=dtype)).dtype == dtype


def test_a_gated_network_comes_back_from_its_file_and_without_the_gate_it_is_as_before(tmp_path: Path) -> None:
    network, pictures = Net().eval(), 3 * torch.randn(64, 3, 8, 8)
    repaired = gated(network)
    assert repaired.get_submodule("again") is repaired.get_submodule("head")  # one layer under two names is one still
    with torch.no_grad():
        before, after = network(pictures), repaired(pictures)
    assert 0 < int((before != after).any(dim=1).sum()) < 64
    torch.save(repaired.state_dict(), tmp_path / "model.pt")
    loaded = seewhy.load(Net(), weights=tmp_path / "model.pt", classes=["a", "b"]).model
    elsewhere, state = Net().eval(), torch.load(tmp_path / "model.pt", weights_only=True)
    with_gates(elsewhere, state).load_state_dict(state)
    with torch.no_grad():
        assert torch.equal(loaded(pictures), after) and torch.equal(elsewhere(pictures), after)
        assert torch.equal(without_gates(elsewhere)(pictures), before)
    assert elsewhere.state_dict().keys() == network.state_dict().keys() and not gates_in(network.state_dict(), network)
    parallel = {f"module.{name}": value for name, value in state.items()}
    torch.save({"state_dict": parallel}, tmp_path / "parallel.pt")
    notes = load_weights(wrapped := Net().eval(), tmp_path / "parallel.pt")
    assert any("a gate in front of head" in note for note in notes)
    with torch.no_grad():
        assert torch.equal(wrapped(pictures), after)
    again = gated(network)  # into a network that has its gate already
    load_weights(again, tmp_path / "model.pt")
    with torch.no_grad():
        assert torch.equal(again(pictures), after)


@pytest.mark.parametrize("broken", ["no level", "another direction", "no weights"])
def test_a_file_that_does_not_fit_is_refused_and_the_network_is_left_as_found(broken: str, tmp_path: Path) -> None:
    network = Net()
    state = gated(network).state_dict()
    if broken == "no level":
        state = {name: value for name, value in state.items() if not name.endswith("level")}
    elif broken == "another direction":
        state = {name: value[:3] if name.endswith("direction") else value for name, value in state.items()}
    else:
        state = {name: value for name, value in state.items() if not name.startswith("conv")}
    torch.save(state, tmp_path / "model.pt")
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(WeightsError, match="does not fit Net"):
        load_weights(network, tmp_path / "model.pt")
    assert type(network.head) is nn.Linear and all(
        torch.equal(kept[key], now) for key, now in network.state_dict().items()
    )

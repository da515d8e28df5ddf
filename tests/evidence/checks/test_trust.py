"""What is known of maps, on networks where the truth is exact."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy.cam.capture import find_layer
from seewhy.cam.layers.choice import trace
from seewhy.evidence.checks.idle import idle_layers
from seewhy.evidence.checks.map_findings import map_findings
from seewhy.evidence.checks.randomised import contentless, randomised_stages
from seewhy.evidence.checks.trust import Trust, examine, n_steps
from tests.models import FourConv, Linear, Pooled, images, seeded


def pictures(n: int = 12, size: int = 32) -> Tensor:
    return images(n, size=size)


def trust_of(model: nn.Module, layer: str, method: str, inputs: Tensor, classes: Tensor | None = None) -> Trust:
    (found,) = examine(model, inputs, [find_layer(model, layer)], method, classes)
    return found


class Bright(nn.Module):
    """Its only feature is the image's own brightness, so its maps can show nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 1, 1, bias=False)
        self.fc = nn.Linear(1, 2)
        with torch.no_grad():
            self.features.weight.copy_(torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1))
            self.fc.weight.copy_(torch.tensor([[1.0], [-1.0]]))
            self.fc.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3)))


@pytest.mark.parametrize("method", ["grad-cam", "hirescam"])
def test_a_pooling_head_is_complete_and_both_methods_agree(method: str) -> None:
    found = trust_of(seeded(Linear()), "features", method, pictures())
    assert found.completeness_error < 1e-4
    assert found.with_hirescam == pytest.approx(1)
    assert found.no_gradient == 0


def test_a_flattening_head_is_complete_and_grad_cam_is_not_hirescam() -> None:
    found = trust_of(seeded(FourConv()), "pool", "grad-cam", pictures())
    assert found.completeness_error < 1e-4
    assert found.with_hirescam < 0.7
    assert any("--method hirescam" in one.todo for one in map_findings(found)[2])


def test_what_follows_an_early_layer_is_not_complete() -> None:
    model = seeded(Pooled()).eval()
    assert trust_of(model, "stem.0", "grad-cam", pictures()).completeness_error > 0.01


def test_a_class_and_its_only_rival_have_mirrored_maps() -> None:
    model = seeded(Linear(classes=2))
    with torch.no_grad():
        model.fc.weight[1] = -model.fc.weight[0]
    assert trust_of(model, "features", "grad-cam", pictures()).other_class == pytest.approx(-1)


def test_eigen_cam_does_not_know_the_class() -> None:
    found = trust_of(seeded(Linear()), "features", "eigen-cam", pictures())
    assert found.other_class == pytest.approx(1)
    assert any("another class" in one.text for one in map_findings(found)[2])


def test_a_network_of_single_pixels_commutes_with_mirroring() -> None:
    found = trust_of(Bright(), "features", "grad-cam", pictures())
    assert found.flipped == pytest.approx(1)
    assert found.trivial["brightness"] == pytest.approx(1, abs=0.01)
    finding, grade, reasons = map_findings(found)
    assert grade == "C" and finding.level == "bad"
    assert any("brightness" in one.text for one in reasons)


def test_a_map_without_a_positive_part_is_empty() -> None:
    model = Bright()
    found = trust_of(model, "features", "grad-cam", pictures(), torch.ones(12, dtype=torch.long))
    assert found.empty == 1.0
    assert map_findings(found)[1] == "C"


def test_a_dead_gradient_is_counted() -> None:
    model = seeded(Linear())
    with torch.no_grad():
        model.fc.weight.zero_()
    found = trust_of(model, "features", "grad-cam", pictures())
    assert found.no_gradient == 1.0
    assert any("no gradient" in one.text for one in map_findings(found)[2])


def test_randomising_leaves_the_model_and_changes_one_stage_after_the_other() -> None:
    model = seeded(FourConv())
    before = copy.deepcopy(model.state_dict())
    calls = trace(model, pictures(1))
    stages = randomised_stages(model, calls, torch.Generator().manual_seed(0))
    assert [share for share, _ in stages] == sorted(share for share, _ in stages) and stages[-1][0] == 1
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])
    first, last = stages[0][1].state_dict(), stages[-1][1].state_dict()
    assert not torch.equal(first["fc.weight"], before["fc.weight"])
    assert torch.equal(first["conv1.weight"], before["conv1.weight"])
    assert not torch.equal(last["conv1.weight"], before["conv1.weight"])
    assert torch.equal(last["fc.weight"], first["fc.weight"]), "a stage goes on from the one before"
    assert float(last["conv1.weight"].std()) == pytest.approx(float(before["conv1.weight"].std()), rel=0.2)


def test_steps_are_counted_right_and_the_model_is_left_as_found() -> None:
    model = seeded(Pooled()).train()
    before, hooks = copy.deepcopy(model.state_dict()), [len(m._forward_hooks) for m in model.modules()]
    state = torch.random.get_rng_state()
    steps: list[None] = []
    examine(model, pictures(4), [find_layer(model, "act")], "grad-cam", step=lambda: steps.append(None))
    assert len(steps) == n_steps(trace(model, pictures(1)), model)
    assert model.training and [len(m._forward_hooks) for m in model.modules()] == hooks
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_batches_do_not_change_what_is_found() -> None:
    model = seeded(FourConv())
    one, many = (
        examine(model, pictures(), [find_layer(model, "conv2")], "grad-cam", batch_size=size)[0] for size in (1, 12)
    )
    assert one.flipped == pytest.approx(many.flipped, abs=1e-3)
    assert one.trivial == pytest.approx(many.trivial, abs=1e-3)
    assert dict(one.randomised) == pytest.approx(dict(many.randomised), abs=1e-3)


def test_pictures_without_content_have_the_inputs_range() -> None:
    inputs = pictures()
    found = contentless(inputs, torch.Generator().manual_seed(0))
    assert found.shape == (64, 3, 32, 32)
    grey = found[32:]
    assert torch.equal(grey.amax((2, 3)), grey.amin((2, 3))), "one value a channel"
    assert found[:32].mean((0, 2, 3)).numpy() == pytest.approx(inputs.mean((0, 2, 3)).numpy(), abs=0.02)


def test_a_layer_that_sees_nothing_is_named_with_its_share() -> None:
    model = seeded(FourConv())
    assert idle_layers(model, pictures())[0] == []
    with torch.no_grad():
        model.conv2.weight[:2] = 0
    dead, shares = idle_layers(model, pictures())
    assert dead == [] and shares["conv2"] == pytest.approx(2 / 8)
    with torch.no_grad():
        model.conv2.weight.zero_()
    dead, shares = idle_layers(model, pictures())
    assert dead == ["conv2"], "what lies behind it is not to blame"
    assert shares["conv2"] == 1


@pytest.mark.parametrize("size", [1, 3])
def test_how_many_are_asked_at_once_changes_nothing(size: int) -> None:
    model = seeded(FourConv())
    with torch.no_grad():
        model.conv2.weight[:2] = 0
    assert idle_layers(model, pictures(), size) == idle_layers(model, pictures())
    with torch.no_grad():
        model.conv2.weight.zero_()
    found = idle_layers(model, pictures(), size)
    assert found == idle_layers(model, pictures()) and found[0] == ["conv2"]
    assert not any(module._forward_hooks for module in model.modules())


def test_a_healthy_map_is_graded_a() -> None:
    numbers = {
        "completeness_error": 0.0, "with_hirescam": 1.0, "empty": 0.0, "no_gradient": 0.0, "null_shape": 0.1,
        "flipped": 0.9, "noisy": 0.99, "other_class": -0.3,
    }  # fmt: skip
    healthy = Trust("layer4", "grad-cam", 64, randomised=((1.0, 0.1),), trivial={"edges": 0.2}, **numbers)
    finding, grade, reasons = map_findings(healthy)
    assert (grade, finding.level, reasons) == ("A", "good", [])
    unknown = Trust("x", "grad-cam", 64, randomised=(), trivial={}, **dict.fromkeys(numbers, np.nan))
    assert map_findings(unknown)[1] == "A", "what cannot be computed is no reason"

"""The loss on maps: it is what a check grades, its gradient is right, and what it does not fit is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy.cam.capture import LayerCall, capture, gradients
from seewhy.cam.methods.catalogue import METHODS
from seewhy.errors import ModelError
from seewhy.evidence.checks.map_findings import Reason
from seewhy.evidence.factors.factor import Mark
from seewhy.evidence.trials.sample import Sample
from seewhy.learn.repair import attention
from seewhy.learn.repair.arms import ATTENTION, GRADIENTS, USUAL_WAYS, WAYS, RepairJob, ways_of
from seewhy.learn.repair.asked import RepairOptions
from seewhy.learn.repair.attention import AttentionLoss, GradientLoss, refuse_unreadable, share_within
from seewhy.learn.repair.groups import no_groups
from seewhy.learn.repair.repair import repair
from seewhy.learn.train.fine_tune import Tuning, fine_tuned
from seewhy.records import Image, Preprocess
from tests.learn.test_repair import FAST, Known, audited
from tests.small_images import write_images

LAYER = LayerCall("conv", "conv")


class Sees(nn.Module):
    """A convolution, an in-place ReLU, and a linear layer over all places."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True)
        self.head = nn.Linear(4 * 64, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(torch.tanh(self.relu(self.conv(x))).flatten(1))
        return logits


def sample_of(n: int = 16) -> Sample:
    pixels = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images = tuple(Image(f"{number}", label="ab"[number % 2], split="train") for number in range(n))
    return Sample("train", images, np.arange(n) % 2, pixels, Preprocess(), np.arange(n))


def network() -> Sees:
    torch.manual_seed(0)
    return Sees().double().eval()


def left_half() -> Tensor:
    masks = torch.zeros(1, 8, 8, dtype=torch.float64)
    masks[:, :, :4] = 1
    return masks


def test_the_share_is_that_of_the_absolute_mass() -> None:
    maps = torch.tensor([[[3.0, -1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    masks = torch.zeros(1, 4, 4)
    masks[:, :2, :2] = 1.0
    assert share_within(maps, masks).tolist() == [0.75, 0.0]
    assert share_within(maps, 1 - masks).tolist() == [0.25, 0.0]
    masks[:, :, :1] = 1.0  # a cell that is half within counts by half
    assert share_within(torch.tensor([[[0.0, 0.0], [2.0, 2.0]]]), masks).tolist() == [0.25]


def test_the_loss_is_of_the_map_that_a_check_grades() -> None:
    model, sample, places = network(), sample_of(), torch.arange(6)
    loss = AttentionLoss(sample, LAYER, left_half(), 2.0)(model, places, torch.Generator())
    inputs, labels = sample.inputs(sample.canvases(places)), torch.from_numpy(sample.labels)[places]
    with capture(model, inputs, [LAYER]) as captured:
        values = captured.logits.gather(1, labels[:, None])[:, 0]
        slopes = gradients(values, captured.activations)
        maps = METHODS["hirescam"].weighted_map(captured.activations["conv"].detach(), slopes["conv"])
    share = (maps.abs() * left_half()).sum(dim=(1, 2)) / maps.abs().sum(dim=(1, 2))
    expected = functional.cross_entropy(model(inputs), labels) + 2 * share.mean()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-9)
    assert not model.conv._forward_hooks


@pytest.mark.parametrize(
    "loss", [AttentionLoss(sample_of(), LAYER, left_half(), 5.0), GradientLoss(sample_of(), left_half(), 5.0)]
)
def test_its_gradient_is_that_of_finite_differences(loss: AttentionLoss | GradientLoss) -> None:
    model, places = network(), torch.arange(6)
    weights = [model.conv.weight, model.head.weight]
    slopes = torch.autograd.grad(loss(model, places, torch.Generator()), weights)
    for parameter, slope in zip(weights, slopes, strict=True):
        for place in (0, 7, 20):
            values = []
            for step in (1e-6, -1e-6):
                with torch.no_grad():
                    parameter.view(-1)[place] += step
                values.append(float(loss(model, places, torch.Generator()).detach()))
                with torch.no_grad():
                    parameter.view(-1)[place] -= step
            assert float(slope.reshape(-1)[place]) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-3, abs=1e-7)


def test_fine_tuning_by_it_moves_the_map_away_and_leaves_the_network() -> None:
    model, sample = network(), sample_of()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tuning, loss = Tuning(epochs=20, batch_size=8, rate=0.01), AttentionLoss(sample, LAYER, left_half(), 1.0)

    def share(of: nn.Module) -> float:
        whole, alone = (
            float(AttentionLoss(sample, LAYER, left_half(), weight)(of, torch.arange(16), torch.Generator()).detach())
            for weight in (1.0, 0.0)
        )
        return whole - alone

    tuned, again = (fine_tuned(model, sample, tuning, loss=loss, seed=1) for _ in range(2))
    assert 0.35 < share(model) < 0.65 and share(tuned) < 0.15 < share(fine_tuned(model, sample, tuning, seed=1))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in tuned.state_dict().items())


def test_maps_that_may_not_be_read_are_not_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sample = network().float(), replace(sample_of(), pixels=sample_of().pixels.float())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    graded: list[Any] = []

    def graded_as(grade: str) -> Any:
        return lambda trust: graded.append(trust) or (None, grade, [Reason("C", "it is that of random weights", 1.0)])

    monkeypatch.setattr(attention, "map_findings", graded_as("B"))
    assert refuse_unreadable(model, sample, LAYER) == "B"
    monkeypatch.setattr(attention, "map_findings", graded_as("C"))
    with pytest.raises(Exception, match=r"HiResCAM at conv is graded C \(it is that of random weights\)"):
        refuse_unreadable(model, sample, LAYER)
    assert {(trust.method, trust.layer, trust.n_images) for trust in graded} == {("hirescam", "conv", 16)}
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(192, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.flatten(1))
        return logits


def test_the_gradient_of_a_linear_networks_answers_is_known_by_hand() -> None:
    """sum_k log p_k has the derivative sum_k w_k - K sum_j p_j w_j."""
    torch.manual_seed(0)
    model, sample, places = Linear().double(), sample_of(), torch.arange(6)
    loss = GradientLoss(sample, left_half(), 2.0)(model, places, torch.Generator())
    inputs, labels = sample.inputs(sample.canvases(places)), torch.from_numpy(sample.labels)[places]
    weight, shares = model.head.weight, model(inputs).softmax(dim=1)
    squares = (weight.sum(dim=0) - 3 * shares @ weight).reshape(-1, 3, 8, 8).square().sum(dim=1)
    share = (squares * left_half()).sum(dim=(1, 2)) / squares.sum(dim=(1, 2))
    expected = functional.cross_entropy(model(inputs), labels) + 2 * share.mean()
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-9)


def test_fine_tuning_by_the_inputs_gradient_moves_it_away() -> None:
    model, sample = network(), sample_of()

    def share(of: nn.Module) -> float:
        whole, alone = (
            float(GradientLoss(sample, left_half(), weight)(of, torch.arange(16), torch.Generator()).detach())
            for weight in (1.0, 0.0)
        )
        return whole - alone

    tuning, loss = Tuning(epochs=20, batch_size=8, rate=0.01), GradientLoss(sample, left_half(), 1.0)
    tuned = fine_tuned(model, sample, tuning, loss=loss, seed=1)
    assert 0.35 < share(model) < 0.65 and share(tuned) < 0.2 < share(fine_tuned(model, sample, tuning, seed=1))


def test_a_network_that_detaches_its_input_has_no_gradient_to_learn_from() -> None:
    class Detached(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.detach())

    with pytest.raises(ModelError, match="No gradient reaches the input of Detached"):
        GradientLoss(sample_of(), left_half(), 1.0)(Detached().double(), torch.arange(4), torch.Generator())


@pytest.mark.parametrize("way", [ATTENTION, GRADIENTS])
def test_a_mark_and_a_property_have_no_share_of_a_map(way: str) -> None:
    sample, model, unknown = sample_of(), network(), no_groups(16)
    mark = Mark("logo", "white", torch.zeros(4, 8, 8), torch.zeros(4, 8, 8))
    job = RepairJob(model, mark, sample, sample, unknown, unknown, (), Tuning(), 2, layer=LAYER)
    assert ways_of(job, (way,)) == (
        [],
        {way: "logo lies in no region of the images, so no share of a map is its own."},
    )


def test_it_is_tried_where_it_is_named_and_judged_by_what_an_exchange_still_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ATTENTION in WAYS and ATTENTION not in USUAL_WAYS and RepairOptions().ways == USUAL_WAYS
    data = write_images(tmp_path / "data", counts={"train": 60, "valid": 40}, aligned=0.8)
    audit = audited(data, Known())
    refused = repair(audit, "contrast", ways="attention", anyway=True, **FAST)
    assert "contrast lies in no region" in refused.refused["attention"] and not refused.is_proved
    monkeypatch.setattr(attention, "map_findings", lambda trust: (None, "B", []))
    found = repair(audit, "surround", ways="gradients", **FAST)
    assert found.way == "gradients" and "plain" in found.margins and found.refused == {}
    found = repair(audit, "surround", ways="attention", **FAST)
    assert found.way == "attention" and "maps graded B" in found.words and "plain" in found.margins
    assert found.arms["repaired"].mean == pytest.approx(np.mean(found.arms["repaired"].effects))


class Attends(nn.Module):
    """Patches, a block of PyTorch's own attention, and a linear layer over their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 2, stride=2)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.block(self.conv(x).flatten(2).transpose(1, 2)).mean(dim=1))
        return logits


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "loss", [AttentionLoss(sample_of(), LAYER, left_half(), 5.0), GradientLoss(sample_of(), left_half(), 5.0)]
)
def test_it_has_a_gradient_through_attention(loss: AttentionLoss | GradientLoss, training: bool) -> None:
    torch.manual_seed(0)
    model = Attends().train(training)
    loss(model, torch.arange(4), torch.Generator()).backward()
    assert model.conv.weight.grad is not None and bool(model.conv.weight.grad.abs().sum() > 0)

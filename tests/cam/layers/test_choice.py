"""Which layers have a grid, which one auto takes, and the input size that fits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seewhy.cam.fitting import fitting_size, input_channels, size_error
from seewhy.cam.grid import Grid
from seewhy.cam.layers.calls import trace_any
from seewhy.cam.layers.choice import candidates, choose, choose_layer, trace
from seewhy.cam.scores.outputs import embedding_of
from seewhy.errors import LayerError, ModelError
from tests.models import FourConv, Linear, Pooled, images, seeded


def test_a_trace_lists_every_call_in_finishing_order() -> None:
    calls = trace(seeded(FourConv()), images(1))
    assert [call.name for call in calls] == ["conv1", "relu", "pool", "conv2", "relu", "pool", "fc"]
    assert calls[3].shape == (1, 8, 16, 16)
    found = {one.name: one for one in candidates(calls)}
    assert list(found) == ["conv1", "conv2", "relu", "pool"]
    assert found["pool"].grid == (8, 8, 8) and found["pool"].runs == 2


BLOCK = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


@pytest.mark.parametrize(
    ("model", "size", "layer", "method"),
    [
        (FourConv(), 32, "conv2", "hirescam"),
        (Pooled(), 32, "act", "grad-cam"),
        (Pooled(inplace=True), 32, "act", "grad-cam"),
        (Linear(), 32, "features", "grad-cam"),
        (nn.Sequential(BLOCK, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)), 32, "0", "grad-cam"),
        (nn.Sequential(BLOCK, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(900, 9), nn.Linear(9, 2)), 32, "0", "hirescam"),
    ],
    ids=["shared relu", "activation", "in-place activation", "convolution", "a block", "pool and flatten"],
)  # fmt: skip
def test_auto_takes_the_last_layer_with_a_grid(model: nn.Module, size: int, layer: str, method: str) -> None:
    inputs = images(1, size)
    calls = trace(seeded(model), inputs)
    for choice in (choose(calls), choose_layer(model, inputs, calls)):
        assert (choice.layer, choice.method) == (layer, method)
        assert choice.reason.startswith(layer)


@pytest.mark.parametrize(
    ("name", "layer", "method"),
    [("resnet18", "layer4", "grad-cam"), ("vgg11", "features", "hirescam"), ("densenet121", "features", "grad-cam"),
     ("mobilenet_v3_small", "features", "grad-cam"), ("squeezenet1_1", "classifier.2", "grad-cam")],
)  # fmt: skip
def test_auto_on_known_architectures(name: str, layer: str, method: str) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    choice = choose(trace(models.get_model(name, weights=None).eval(), images(1, 224)))
    assert (choice.layer, choice.method) == (layer, method)


def test_a_network_without_a_grid_is_told_so() -> None:
    with pytest.raises(LayerError, match="No layer of this network has a grid"):
        choose(trace(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)), images(1, 8)))


@pytest.mark.parametrize("size", [32, 64, 96, 256])
def test_the_size_that_fits_a_flattening_head_is_found(size: int) -> None:
    assert fitting_size(FourConv(size), 3) == size


def test_a_pooled_head_takes_the_first_usual_size() -> None:
    assert fitting_size(Pooled(), 3) == 224


def test_the_error_names_the_size_or_the_channels() -> None:
    cause = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert "--size 64" in str(size_error(FourConv(64), (1, 3, 32, 32), cause))
    grey = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.LazyLinear(2))
    grey(torch.zeros(1, 1, 28, 28))
    assert input_channels(grey) == 1
    assert "--channels grey" in str(size_error(grey, (1, 3, 28, 28), cause))


class Attentive(nn.Module):
    """Tokens with a class token in front, two blocks, and a head that reads the class token or all of them."""

    def __init__(self, head: str = "class", patch: int = 8) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, patch, stride=patch)
        self.token = nn.Parameter(torch.ones(1, 1, 12))
        self.norm1, self.norm2, self.norm = nn.LayerNorm(12), nn.LayerNorm(12), nn.LayerNorm(12)
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.mlp = nn.Linear(12, 12)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(12, 4)
        self.reads = head

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], dim=1)
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        x = self.drop(self.norm(x + self.mlp(self.norm2(x))))
        if self.reads == "tokens":
            return x
        return self.head({"class": x[:, 0], "mean": x[:, 1:].mean(1), "detached": x[:, 0].detach()}[self.reads])


@pytest.mark.parametrize(("head", "layer"), [("class", "norm1"), ("mean", "norm"), ("tokens", "norm")])
def test_auto_takes_the_last_layer_whose_places_have_a_gradient(head: str, layer: str) -> None:
    model, inputs = seeded(Attentive(head)), torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    choice = choose_layer(model, inputs, trace_any(model, inputs)[0])
    assert (choice.layer, choice.method, choice.grid) == (layer, "grad-cam", Grid(4, 6, "tokens", 1))
    assert "4 x 6 tokens after 1" in choice.reason


def test_the_probe_leaves_the_model_as_it_was() -> None:
    model, inputs = seeded(Attentive()).train(), images(1)
    state = torch.random.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    choose_layer(model, inputs, trace(model, inputs))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training and not module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_a_network_that_detaches_its_tokens_is_told_so() -> None:
    model, inputs = seeded(Attentive("detached")), images(1)
    with pytest.raises(LayerError, match="No gradient reaches the places of any layer with a grid"):
        choose_layer(model, inputs, trace(model, inputs))


def test_tokens_without_spatial_ones_are_told_so() -> None:
    model, inputs = seeded(Attentive(patch=32)), images(1)
    with pytest.raises(LayerError, match=r"no spatial tokens are left after the special ones"):
        choose_layer(model, inputs, trace(model, inputs))


def test_tokens_whose_grid_cannot_be_inferred_are_told_the_option() -> None:
    rows = nn.Sequential(nn.Flatten(1, 2), nn.LayerNorm(32))  # (N, 96, 32): the rows of every colour
    with pytest.raises(LayerError, match=r"1 gives \(1, 96, 32\)(?s:.)*--layers 1 --grid HEIGHTxWIDTH"):
        choose_layer(rows, images(1), trace_any(rows, images(1))[0])


def test_a_head_of_zeros_has_no_gradient_and_the_last_layer_is_still_known() -> None:
    model, inputs = Pooled(), images(1)
    nn.init.zeros_(model.fc.weight)
    calls = trace(model, inputs)
    with pytest.raises(LayerError, match="or every map is constant"):
        choose_layer(model, inputs, calls)
    assert choose(calls).layer == "act"


class Twice(nn.Module):
    """One convolution that runs twice, and dropout: nothing that one would name first."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.conv(self.conv(x))).mean((2, 3))


def test_a_layer_that_runs_twice_is_better_than_none() -> None:
    model, inputs = seeded(Twice()), images(1)
    assert choose_layer(model, inputs, trace(model, inputs)).layer in ("drop", "conv")


def test_candidates_show_how_tokens_are_seen() -> None:
    found = {one.name: one for one in candidates(trace(seeded(Attentive()), images(1)))}
    assert found["norm"].grid == (12, 4, 4) and found["norm"].seen == Grid(4, 4, "tokens", 1)
    assert "head" not in found


def test_an_embedding_is_the_logits_or_what_is_given_first() -> None:
    tokens = torch.ones(2, 5, 3)
    assert embedding_of(torch.ones(2), 2).shape == (2, 1)
    assert embedding_of((None, tokens), 2).shape == (2, 15)
    assert embedding_of({"features": [tokens]}, 2).shape == (2, 15)
    boxes = [{"boxes": torch.ones(3, 4), "labels": torch.ones(3)}]
    assert embedding_of(boxes, 1).shape == (1, 12)
    with pytest.raises(ModelError, match="no tensor of floats"):
        embedding_of("nothing", 2)

"""What must not change a map does not, for every method; and nothing of the user's network changes."""

from __future__ import annotations

import copy
import importlib.util
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import _len_torch_function_stack

from seewhy import explain
from seewhy.cam.methods.catalogue import METHODS
from seewhy.cam.methods.opti import opti_cam
from seewhy.errors import ModelError, SeewhyError
from tests.models import FourConv, InPlaceFunctional, Pooled, images, seeded

CAPTUM = ("captum:integrated-gradients", "captum:occlusion")
needs_captum = pytest.mark.skipif(importlib.util.find_spec("captum") is None, reason="captum is not installed")
PARTICULAR = {"cam": ["act"], "refine-cam": ["stem", "act"]}  # layers of Pooled, since not every network will do
GENERAL = [name for name in METHODS if METHODS[name].kind != "attention" and name not in PARTICULAR]
# test_attention.py and test_legrad.py have those of attention.
EVERY = [*GENERAL, *(pytest.param(name, marks=needs_captum) for name in CAPTUM)]
HERE = [*GENERAL, *(CAPTUM if importlib.util.find_spec("captum") else ())]
ON_INPUT = {name for name in METHODS if METHODS[name].on_input} | set(CAPTUM)
SCORES = {"one": 1, "predicted": "predicted", "own": [0, 1, 1, 0]}
Maps = dict[str, NDArray[np.float32]]


class Tokens(nn.Module):
    """A patch embedding with a class token, one block of attention with layer norms, and a class-token head."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        self.cls = nn.Parameter(torch.zeros(1, 1, 8))
        self.norm = nn.LayerNorm(8)
        self.qkv, self.mix, self.fc = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        t = self.patch(x).flatten(2).transpose(1, 2)
        t = self.norm(torch.cat([self.cls.expand(len(t), -1, -1), t], 1))
        q, k, v = self.qkv(t).chunk(3, 2)
        t = t + self.mix(functional.scaled_dot_product_attention(q, k, v)).relu()
        return self.fc(t[:, 0])


NETWORKS: dict[str, tuple[Callable[[], nn.Module], list[str], Tensor]] = {
    "four": (lambda: FourConv(16), ["conv1", "relu@1", "conv2"], images(4, 16)),
    "pooled": (lambda: Pooled(inplace=True), ["stem", "block", "act"], images(4, 16)),
    "functional": (InPlaceFunctional, ["features"], images(4, 16)),
    "tokens": (Tokens, ["patch", "norm"], images(4, 16)),
}


@pytest.fixture(autouse=True)
def _fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Opti-CAM, whose hundred are in its own tests."""
    fewer = replace(METHODS["opti-cam"], function=partial(opti_cam, n_steps=8))
    monkeypatch.setitem(METHODS, "opti-cam", fewer)


def maps_of(model: nn.Module, x: Tensor, layers: Any, method: Any, target: Any = 1, **options: Any) -> Maps:
    found = explain(model, x, layers=layers, method=method, target=target, progress=False, **options).maps
    return found if isinstance(found, dict) else {"": found}


def apart(have: Maps, want: Maps) -> float:
    """The largest difference of two sets of maps, each by its own map's largest absolute value."""
    assert have.keys() == want.keys() and any(one.any() for one in want.values())
    found = 0.0
    for name in want:
        one, other = have[name].astype(float), want[name].astype(float)
        assert np.isfinite(one).all() and one.shape == other.shape
        size, difference = np.abs(other).max((1, 2)), np.abs(one - other).max((1, 2))
        assert not difference[size == 0].any(), name
        found = max(found, float((difference / np.maximum(size, 1e-30)).max()))
    return found


# Rounding is 1e-7; these methods divide by what can cancel where activations or mean derivatives have both signs.
ROUNDING = {"grad-cam++": 5e-3, "smooth-grad-cam++": 2e-2, "eigen-cam": 2e-5, "eigengrad-cam": 2e-5}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", EVERY)
def test_a_batch_of_n_equals_n_alone(method: str, network: str) -> None:
    make, layers, x = NETWORKS[network]
    model = seeded(make())
    together = maps_of(model, x, layers, method)
    alone = [maps_of(model, x[row : row + 1], layers, method) for row in range(len(x))]
    joined = {name: np.concatenate([one[name] for one in alone]) for name in together}
    assert apart(joined, together) <= ROUNDING.get(method, 5e-6)
    ragged = maps_of(model, x, layers, method, batch_size=3)
    assert apart(ragged, together) <= ROUNDING.get(method, 5e-6)


class Overwriting(nn.Module):
    """A network that normalises its input, in place or not, in front of layers that work in place or not."""

    def __init__(self, in_place: bool, relu_in_place: bool) -> None:
        super().__init__()
        self.in_place, self.features = (
            in_place,
            nn.Sequential(
                nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(relu_in_place), nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(relu_in_place)
            ),
        )
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.sub_(0.5).div_(0.2) if self.in_place else (x - 0.5) / 0.2
        return self.fc(self.features(x).mean((2, 3)))


@pytest.mark.parametrize("relu_in_place", [False, True])
@pytest.mark.parametrize("method", EVERY)
def test_a_network_may_overwrite_what_it_is_given(method: str, relu_in_place: bool) -> None:
    x = images(3, 16)
    plain, overwriting = (seeded(Overwriting(in_place, relu_in_place)) for in_place in (False, True))
    given = x.clone()
    explanation = explain(overwriting, given, layers="features.2", method=method, target=1, progress=False)
    want = explain(plain, x, layers="features.2", method=method, target=1, progress=False)
    assert torch.equal(given, x) and np.array_equal(explanation.maps, want.maps)
    assert [row["probability"] for row in explanation.records] == [row["probability"] for row in want.records]


@pytest.mark.parametrize("method", PARTICULAR)
def test_methods_for_some_networks_or_layers_keep_the_laws_of_the_others(method: str) -> None:
    x, layers, model = images(4, 16), PARTICULAR[method], seeded(Pooled())
    want = maps_of(model, x, layers, method)
    alone = [maps_of(model, x[row : row + 1], layers, method) for row in range(len(x))]
    bound = 1e-2 if method == "refine-cam" else 5e-6  # the product of two Grad-CAM++ maps
    assert apart({name: np.concatenate([one[name] for one in alone]) for name in want}, want) <= bound
    assert apart(maps_of(model, x, layers, method, batch_size=3), want) <= bound
    same(maps_of(seeded(Pooled(inplace=True)), x, layers, method), want, 1e-6)
    same(maps_of(seeded(Pooled()).requires_grad_(False).train(), x, layers, method), want)
    with torch.inference_mode():
        same(maps_of(model, x + 0, layers, method), want)
    pair = maps_of(model, x, layers, [method, "grad-cam"], SCORES)
    for layer in layers:
        name = "/".join((method, layer, "one") if len(layers) > 1 else (method, "one"))
        assert np.abs(pair[name] - want[layer if len(layers) > 1 else ""]).max() <= 1e-6 * np.abs(pair[name]).max()


@pytest.mark.parametrize("network", NETWORKS)
def test_methods_layers_and_scores_of_one_call_equal_each_by_itself(network: str) -> None:
    make, layers, x = NETWORKS[network]
    model = seeded(make())
    together = maps_of(model, x, layers, HERE, SCORES)
    seen = set()
    for score, target in SCORES.items():
        for method in HERE:
            places = ["input"] if method in ON_INPUT else layers
            for layer in places:
                (alone,) = maps_of(model, x, layers[0] if method in ON_INPUT else layer, method, target).values()
                name = "/".join((method, layer, score))
                seen.add(name)
                assert (alone.any() or method == "guided-grad-cam") and np.abs(together[name] - alone).max() <= (
                    1e-6 * np.abs(alone).max()
                ), name
    assert seen == set(together)


# Precision: the largest difference by each map's largest value, (float32 from float64, bfloat16, float16 from float32).
# Measured on this network: 2e-6 at most (captum's occlusion 4e-6, by its sums), and at most half of what stands here.
PRECISION = {
    "grad-cam": (1e-6, 0.06, 2e-3),
    "hirescam": (1e-6, 0.02, 2e-3),
    "layercam": (1e-6, 0.02, 2e-3),
    "grad-cam++": (1e-6, 0.02, 2e-3),
    "xgrad-cam": (5e-6, 0.12, 5e-3),
    "eigen-cam": (5e-6, 0.03, 5e-3),
    "eigengrad-cam": (5e-6, 0.05, 5e-3),
    "finer-cam": (1e-6, 0.03, 2e-3),
    "seg-eigen-cam": (5e-6, 0.05, 5e-3),
    "cam": (1e-6, 0.06, 2e-3),
    "refine-cam": (5e-6, 0.1, 0.01),
    "kpca-cam": (5e-6, 0.03, 5e-3),
    "dff": (5e-6, 0.06, 5e-3),
    "grad-cam-elementwise": (1e-6, 0.02, 2e-3),
    "fem": (1e-6, 0.03, 5e-3),
    "shapley-cam": (1e-6, 0.06, 2e-3),
    "recipro-cam": (2e-6, 0.12, 0.015),  # differences of scores
    "smooth-grad-cam++": (1e-6, 0.02, 3e-3),
    "ablation-cam": (2e-6, 0.05, 5e-3),
    "score-cam": (2e-6, 0.05, 5e-3),
    "ss-cam": (2e-6, 0.05, 5e-3),
    "is-cam": (2e-6, 0.05, 5e-3),
    "opti-cam": (5e-6, 0.05, 0.02),  # the rounding of every step adds to that of the last
    "random": (1e-6, None, None),  # its draw follows from the image's mean colour, which half precision rounds
    "fullgrad": (1e-6, 0.4, 5e-3),  # on the input a ReLU that rounding switches is a pixel of its own
    "guided-backprop": (1e-6, 0.5, 5e-3),
    "guided-grad-cam": (1e-6, 0.4, 6e-3),
    "captum:integrated-gradients": (1e-6, 0.05, 0.02),
    "captum:occlusion": (1e-5, 0.4, 0.05),
}


@pytest.mark.parametrize("method", [*EVERY, *PARTICULAR])
def test_precision(method: str) -> None:
    model, x, layers = seeded(Pooled(inplace=True)), images(4, 16), PARTICULAR.get(method, ["block", "act"])
    want = maps_of(model, x, layers, method)
    double, *halves = PRECISION[method]
    assert apart(want, maps_of(copy.deepcopy(model).double(), x.double(), layers, method)) <= double
    for dtype, bound in zip((torch.bfloat16, torch.float16), halves, strict=True):
        have = maps_of(copy.deepcopy(model).to(dtype), x, layers, method)
        assert all(np.isfinite(one).all() and one.dtype == np.float32 for one in have.values())
        assert bound is None or apart(have, want) <= bound, dtype
        given = maps_of(copy.deepcopy(model).to(dtype), x.to(dtype), layers, method)
        assert all(np.array_equal(one, given[name]) for name, one in have.items())


@pytest.mark.parametrize("method", [*GENERAL, *PARTICULAR])
def test_a_surrounding_autocast_changes_nothing(method: str) -> None:
    model, x, layers = seeded(Pooled()), images(4, 16), PARTICULAR.get(method, ["act"])
    want = maps_of(model, x, layers, method)
    with torch.autocast("cpu", torch.bfloat16):
        have = maps_of(model, x, layers, method)
    assert apart(have, want) == 0


@pytest.mark.parametrize("method", EVERY)
def test_a_default_type_of_double_changes_nothing(method: str) -> None:
    model, x = seeded(Pooled()), images(4, 16)
    want = maps_of(model, x, ["block", "act"], method)
    torch.set_default_dtype(torch.float64)
    try:
        have = maps_of(model, x, ["block", "act"], method)
    finally:
        torch.set_default_dtype(torch.float32)
    assert apart(have, want) <= 1e-5


@pytest.mark.parametrize("way", ["channels last", "transposed", "expanded", "double", "on a stride"])
def test_how_the_input_lies_in_memory_changes_nothing(way: str) -> None:
    model, x = seeded(Pooled()), images(3, 16)
    given = {
        "channels last": x.contiguous(memory_format=torch.channels_last),
        "transposed": x.transpose(2, 3),
        "expanded": x[:1].expand(3, -1, -1, -1),
        "double": x.double(),
        "on a stride": torch.cat([x, x + 1], 3).unflatten(3, (2, 16)).transpose(3, 4)[..., 0],
    }[way]
    want = maps_of(model, given.float().contiguous(), ["stem", "act"], HERE)
    assert apart(maps_of(model, given, ["stem", "act"], HERE), want) <= 1e-6


# The same function, written or run in another way.


class Shared(nn.Module):
    """FourConv with a ReLU and a pool for each place: the same function."""

    def __init__(self, model: FourConv) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc = model.conv1, model.conv2, model.fc
        self.relu1, self.relu2, self.pool1, self.pool2 = nn.ReLU(), nn.ReLU(True), nn.MaxPool2d(2), nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.relu1(self.conv1(x)))
        return self.fc(self.pool2(self.relu2(self.conv2(x))).flatten(1))


def same(have: Maps, want: Maps, bound: float = 0.0) -> None:
    """Equal to the last bit, or to `bound`, whatever the layers are called."""
    for one, other in zip(have.values(), want.values(), strict=True):
        assert np.abs(one - other).max() <= bound * np.abs(other).max()


@pytest.mark.parametrize("method", EVERY)
def test_a_module_that_runs_twice_equals_two_modules(method: str) -> None:
    model, x = seeded(FourConv(16)), images(3, 16)
    have = maps_of(model, x, ["relu@1", "relu@2", "pool", "conv2"], method)
    want = maps_of(Shared(model).eval(), x, ["relu1", "relu2", "pool2", "conv2"], method)
    same(have, want, 1e-6)


@pytest.mark.parametrize("method", EVERY)
def test_an_in_place_twin(method: str) -> None:
    x, layers = images(3, 16), ["stem.0", "stem.1", "stem", "block", "act"]
    same(*(maps_of(seeded(Pooled(inplace=inplace)), x, layers, method) for inplace in (True, False)), 1e-6)


@pytest.mark.parametrize("frozen", ["all", "stem", "fc"])
def test_frozen_parameters(frozen: str) -> None:
    x, layers, want = images(3, 16), ["stem", "block", "act"], seeded(Pooled())
    model = seeded(Pooled())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not (frozen == "all" or name.startswith(frozen)))
    same(maps_of(model, x, layers, HERE), maps_of(want, x, layers, HERE))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad], ids=lambda c: c.__name__)
def test_a_surrounding_grad_mode(context: Callable[[], Any]) -> None:
    model, x, layers = seeded(Pooled()), images(3, 16), ["stem", "act"]
    want = maps_of(model, x, layers, HERE)
    with context():
        same(maps_of(model, x + 0, layers, HERE), want)


def test_train_mode_changes_nothing() -> None:
    model, x, layers = seeded(Pooled()), images(3, 16), ["stem", "act"]
    want = maps_of(model, x, layers, HERE)
    same(maps_of(model.train(), x, layers, HERE), want)
    assert model.training


def test_gradients_kept_by_the_user_and_a_graph_behind_the_input_change_nothing() -> None:
    model, x, layers = seeded(Pooled()), images(3, 16), ["stem", "act"]
    want = maps_of(model, x, layers, HERE)
    model(x).sum().backward()
    kept = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    leaf = x.clone().requires_grad_()
    same(maps_of(model, leaf * 1, layers, HERE), want)
    assert leaf.grad is None
    assert all(torch.equal(parameter.grad, kept[name]) for name, parameter in model.named_parameters())


def test_weights_that_are_computed_in_each_pass_stay_as_they_are() -> None:
    model, x = seeded(Pooled()), images(3, 16)
    torch.nn.utils.parametrizations.spectral_norm(model.fc)
    torch.nn.utils.parametrizations.weight_norm(model.block[0])
    model.train()
    before = state_of(model)
    maps_of(model, x, ["stem", "act"], HERE)
    assert state_of(model) == before


# Other people's hooks.


class Doubled(Pooled):
    """What hooks make of Pooled: the input halved, the block's output doubled."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(2 * self.block(self.stem(x / 2)))
        return self.fc(self.drop(x.mean((2, 3))))


@pytest.mark.parametrize("method", EVERY)
def test_hooks_of_other_people_run_and_stay(method: str) -> None:
    model, x, layers, seen = seeded(Pooled()), images(3, 16), ["stem", "act"], []
    handles = [
        model.stem.register_forward_pre_hook(lambda module, args: (args[0] / 2,)),
        model.block.register_forward_hook(lambda module, args, output: 2 * output),
        model.act.register_forward_hook(lambda module, args, output: seen.append(len(output))),
    ]
    before = state_of(model)
    have = maps_of(model, x, layers, method)
    assert seen and state_of(model) == before
    for handle in handles:
        handle.remove()
    if METHODS.get(method) is None or not METHODS[method].on_input:
        want = maps_of(seeded(Doubled()), x, layers, method)
        same(have, want, 1e-6)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


# Wrappers.


class Lit(nn.Module):
    """Like a Lightning module: the network inside, training_step, an example input, a trainer that is not there yet."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.example_input_array = torch.zeros(1, 3, 16, 16)
        self.automatic_optimization = True
        self.loss = nn.CrossEntropyLoss()

    @property
    def trainer(self) -> Any:
        raise RuntimeError("Lit is not attached to a `Trainer`.")

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        return self.loss(self(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


def test_data_parallel() -> None:
    model, x, layers = seeded(Pooled()), images(3, 16), ["stem", "act"]
    same(maps_of(nn.DataParallel(model), x, layers, HERE), maps_of(model, x, layers, HERE))


def test_a_lightning_module() -> None:
    model, x = seeded(Pooled()), images(3, 16)
    lit = Lit(model).train()
    before = state_of(lit)
    have = maps_of(lit, x, ["network.stem", "network.act"], HERE)
    assert state_of(lit) == before
    same(have, maps_of(model, x, ["stem", "act"], HERE))
    found = explain(lit, x, progress=False)
    same({"": found.maps}, {"": explain(model.eval(), x, progress=False).maps})


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inside torch.compile
def test_a_compiled_network() -> None:
    model, x, layers = seeded(Pooled()), images(3, 16), ["stem", "act"]
    want = maps_of(model, x, layers, HERE)
    compiled = torch.compile(model, backend="eager")
    compiled(x)
    same(maps_of(compiled, x, layers, HERE), want)
    assert torch.equal(compiled(x), model(x))


@pytest.mark.filterwarnings("ignore")  # torch's own, of code that it compiles
@pytest.mark.parametrize(
    ("layer", "way"),
    [
        ("stem", "wrapped"),
        ("block", "wrapped"),
        ("act", "wrapped"),
        ("stem", "in place"),
        ("block", "in place"),
        ("act", "in place"),
    ],
)
def test_a_compiled_part_of_a_network(layer: str, way: str) -> None:
    plain, model, x = seeded(Pooled()), seeded(Pooled()), images(3, 16)
    if way == "wrapped":
        model.block = torch.compile(model.block, backend="eager")
    else:
        model.block.compile(backend="eager")
    with torch.no_grad():
        want = model(x)
    same(maps_of(model, x, layer, HERE), maps_of(plain, x, layer, HERE), 1e-6)
    with torch.no_grad():
        assert torch.equal(model(x), want)


@pytest.mark.parametrize("where", ["all", "stem", "fc"])
def test_networks_on_the_meta_device_are_refused(where: str) -> None:
    model = seeded(Pooled())
    (model if where == "all" else model.get_submodule(where)).to("meta")
    with pytest.raises(ModelError, match=r"meta"):
        maps_of(model, images(2, 16), "act", "grad-cam")


def test_images_on_the_meta_device_are_refused() -> None:
    with pytest.raises(SeewhyError, match=r"meta"):
        maps_of(seeded(Pooled()), images(2, 16).to("meta"), "act", "grad-cam")


# A mirrored image on a network that cannot tell left from right.


class Mirrored(nn.Module):
    """Kernels and a flattening head that are the same from left to right."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
        self.fc = nn.Linear(8 * 8 * 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.conv1(x).relu(), 2)
        return self.fc(self.conv2(x).relu().flatten(1))


def mirrored() -> nn.Module:
    model = seeded(Mirrored())
    with torch.no_grad():
        for conv in (model.conv1, model.conv2):
            conv.weight.add_(conv.weight.flip(-1)).div_(2)
        head = model.fc.weight.view(3, 8, 8, 8)
        head.add_(head.flip(-1)).div_(2)
    return model


NOISY = ("smooth-grad-cam++", "ss-cam")  # noise is not mirrored


@pytest.mark.parametrize("method", [one for one in EVERY if one not in NOISY])
@pytest.mark.parametrize("smooth", [(), "augment"], ids=["plain", "augment"])
def test_a_flipped_image_has_the_flipped_map(method: str, smooth: Any) -> None:
    model, x, layers = mirrored(), images(4, 16), ["conv1", "conv2"]
    want = maps_of(model, x, layers, method, smooth=smooth)
    have = maps_of(model, x.flip(-1).contiguous(), layers, method, smooth=smooth)
    flipped = {name: one[:, :, ::-1] for name, one in have.items()}
    assert apart(flipped, want) <= FLIPS.get(method, 5e-6)


FLIPS = {"grad-cam++": 5e-3, "eigen-cam": 2e-5, "eigengrad-cam": 2e-5, "captum:occlusion": 2e-5}


# Nothing of the user's network changes.


class Sensitive(nn.Module):
    """Draws from every random state, keeps things on itself, and raises `error` at its n-th forward pass."""

    def __init__(self, plan: dict[str, Any]) -> None:
        super().__init__()
        self.plan = [plan]  # in a list: its number of runs is no attribute that is compared
        self.network = seeded(Pooled(inplace=True))
        self.notes = {"a": [1, 2]}
        self.cache: Tensor | None = None
        self.register_buffer("counter", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        random.random()
        np.random.rand()
        torch.rand(1)
        z = self.network(x)
        (plan,) = self.plan
        plan["runs"] += 1
        if plan["runs"] == plan["at"]:
            raise plan["error"]
        return z


def plain(value: Any) -> Any:
    """A value that can be compared: tensors by their identity, version and numbers."""
    if isinstance(value, Tensor):
        return (id(value), value._version, value.requires_grad, plain(value.grad), value.detach().tolist())
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value if not (isinstance(one, dict) and "runs" in one)]
    return value if isinstance(value, (bool, int, float, str, type(None))) else id(value)


def state_of(model: nn.Module) -> dict[str, Any]:
    """Everything of a network, and of the process, that a call could leave changed."""
    return {
        "modules": {name: (id(module), plain(vars(module))) for name, module in model.named_modules()},
        "global hooks": [plain(vars(torch.nn.modules.module)[name]) for name in GLOBAL],
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), _len_torch_function_stack()),
        "threads": torch.get_num_threads(),
        "default": torch.get_default_dtype(),
    }


GLOBAL = [name for name in vars(torch.nn.modules.module) if name.startswith("_global_") and name.endswith("hooks")]


def sensitive(plan: dict[str, Any]) -> Sensitive:
    model = Sensitive(plan).train()
    model.network.drop.eval()  # a mixture of modes must come back as the mixture
    model.network.stem[0].weight.requires_grad_(False)
    model.network.fc.weight.grad = torch.ones_like(model.network.fc.weight)
    model.network.block.register_forward_hook(lambda module, args, output: None)
    return model


def plans(error: BaseException, total: int) -> Iterator[dict[str, Any]]:
    for at in sorted({1, 2, 3, (total + 1) // 2, total - 1, total} & set(range(1, total + 1))):
        yield {"runs": 0, "at": at, "error": error}


@pytest.mark.parametrize("method", [*EVERY, *PARTICULAR])
@pytest.mark.parametrize("smooth", [(), ("augment", "eigen")], ids=["plain", "smooth"])
def test_the_network_is_as_before(method: str, smooth: Any) -> None:
    plan = {"runs": 0, "at": None}
    model, x = sensitive(plan), images(2, 16)
    before, pixels = state_of(model), x.clone()
    layers = [f"network.{layer}" for layer in PARTICULAR.get(method, ["block", "act"])]
    maps_of(model, x, layers, method, SCORES | {"own": [0, 1]}, smooth=smooth)
    assert state_of(model) == before and torch.equal(x, pixels) and x.grad is None


@pytest.mark.parametrize("method", [*EVERY, *PARTICULAR])
@pytest.mark.parametrize("error", [RuntimeError("a fault of mine"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_the_network_is_as_before_after_an_exception_in_its_forward(method: str, error: BaseException) -> None:
    plan: dict[str, Any] = {"runs": 0, "at": None}
    layers = [f"network.{layer}" for layer in PARTICULAR.get(method, ["act"])]
    maps_of(sensitive(plan), images(2, 16), layers, method)
    raised = 0
    for broken in plans(error, plan["runs"]):
        model, x = sensitive(broken), images(2, 16)  # a new one: what is learnt of a network is kept with it
        before = state_of(model)
        try:  # passes that only look for something faster may fail
            maps_of(model, x, layers, method)
        except (type(error), SeewhyError):
            raised += 1
        assert state_of(model) == before, broken["at"]
    assert raised >= 1  # a first pass that fails is tried again with other images


@pytest.mark.parametrize("method", [one for one in EVERY if one != "finer-cam"])  # which takes classes alone
def test_the_network_is_as_before_after_an_exception_in_the_target(method: str) -> None:
    model, x, runs = sensitive({"runs": 0, "at": None}), images(2, 16), [0, 0]

    def target(z: Tensor) -> Tensor:
        runs[0] += 1
        if runs[0] == runs[1]:
            raise LookupError("a fault of mine")
        return z[:, 0] - z[:, 1]

    maps_of(model, x, "network.act", method, target)
    total, before = runs[0], state_of(model)
    for broken in plans(LookupError(), total):
        runs[:] = [0, broken["at"]]
        with pytest.raises(LookupError, match="a fault of mine"):
            maps_of(model, x, "network.act", method, target)
        assert state_of(model) == before, broken["at"]


# What is learnt of a network and kept never outlives it.


def test_changed_weights_and_layers_are_looked_at_again() -> None:
    model, x, layers = seeded(Pooled()), images(3, 16), ["stem", "act"]
    maps_of(model, x, layers, HERE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.3)
    assert apart(maps_of(model, x, layers, HERE), maps_of(copy.deepcopy(model), x, layers, HERE)) <= 1e-6
    model.fc = nn.Sequential(model.fc, nn.Tanh())
    assert apart(maps_of(model, x, layers, HERE), maps_of(copy.deepcopy(model), x, layers, HERE)) <= 1e-6


class Meanwhile(nn.Module):
    """Hands on what it gets, while another thread uses the network in front of it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = [network]

    def forward(self, z: Tensor) -> Tensor:
        def use() -> None:
            with torch.no_grad():
                self.network[0](images(5, 16))

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        return z


def test_another_threads_passes_are_not_taken_for_ours() -> None:
    model, x = seeded(Pooled()), images(2, 16)
    busy = nn.Sequential(model, Meanwhile(model)).eval()
    found = maps_of(busy, x, ["0.stem", "0.act"], ["grad-cam", "eigen-cam", "fullgrad", "ablation-cam"])
    same(found, maps_of(model, x, ["stem", "act"], ["grad-cam", "eigen-cam", "fullgrad", "ablation-cam"]), 1e-6)

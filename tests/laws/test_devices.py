"""A GPU gives what a CPU gives: maps, logits, overlays and checks; skipped where there is none."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import seewhy
from seewhy.cam.methods.captum_calls import CAPTUM
from seewhy.cam.methods.catalogue import METHODS
from seewhy.cam.methods.opti import opti_cam
from tests.models import FourConv, InPlaceFunctional, Pooled, images, seeded

DEVICES: list[Any] = [
    "cpu",  # a copy on the CPU itself: so that these tests are run, and are known to hold, where there is no other
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")),
    pytest.param(
        "mps", marks=pytest.mark.skipif(not torch.backends.mps.is_available(), reason="there is no MPS device")
    ),
]
NETWORKS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "four": (lambda: FourConv(16), ["conv2", "relu@1"]),
    "pooled": (Pooled, ["block", "act"]),
    "in place": (InPlaceFunctional, ["features"]),
}
PARTICULAR = {"cam": ["act"], "refine-cam": ["stem", "act"]}  # layers of Pooled, since not every network will do
GENERAL = [name for name in METHODS if METHODS[name].kind != "attention" and name not in PARTICULAR]
EVERY = [
    *GENERAL,
    *(
        pytest.param(
            f"captum:{name}",
            marks=pytest.mark.skipif(importlib.util.find_spec("captum") is None, reason="captum is not installed"),
        )
        for name, captum in CAPTUM.items()
        if not captum.rewires  # the others cannot take every network apart
    ),
]
# Of each map's largest value; these divide by what can cancel, or take a singular vector.
LOOSE = {
    "grad-cam++": 1e-3,
    "refine-cam": 2e-3,
    "xgrad-cam": 1e-3,
    "smooth-grad-cam++": 2e-2,
    "eigen-cam": 1e-3,
    "eigengrad-cam": 1e-3,
}
Maps = dict[str, NDArray[np.float32]]


@pytest.fixture(autouse=True)
def _exact_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the ten-bit products that CUDA takes by default for convolutions."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(autouse=True)
def _fewer_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Opti-CAM, whose hundred are in its own tests."""
    fewer = replace(METHODS["opti-cam"], function=partial(opti_cam, n_steps=8))
    monkeypatch.setitem(METHODS, "opti-cam", fewer)


def near(one: NDArray[Any], other: NDArray[Any], bound: float = 1e-4) -> None:
    assert np.isfinite(one).all() and np.abs(one - other).max() <= bound * max(np.abs(other).max(), 1e-12)


def maps_of(model: nn.Module, x: Tensor, layers: list[str], method: Any, **options: Any) -> Maps:
    found = seewhy.explain(model, x, layers=layers, method=method, target=1, progress=False, **options).maps
    return found if isinstance(found, dict) else {"": found}


@pytest.mark.parametrize(
    ("device", "network"),
    [
        ("cpu", "pooled"),  # one will do: that a copy has the maps of the original is no question of the network
        *(pytest.param(*one.values, network, marks=one.marks) for one in DEVICES[1:] for network in NETWORKS),
    ],
)
@pytest.mark.parametrize("method", EVERY)
def test_maps_are_those_of_the_cpu(device: str, network: str, method: str) -> None:
    make, layers = NETWORKS[network]
    model = seeded(make())
    want = maps_of(model, images(4, 16), layers, method)
    have = maps_of(copy.deepcopy(model).to(device), images(4, 16).to(device), layers, method)
    assert have.keys() == want.keys()
    for name in want:
        near(have[name], want[name], LOOSE.get(method, 1e-4))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", PARTICULAR)
def test_maps_of_methods_for_some_networks_or_layers_are_those_of_the_cpu(device: str, method: str) -> None:
    model, x, layers = seeded(Pooled()), images(4, 16), PARTICULAR[method]
    want = maps_of(model, x, layers, method)
    have = maps_of(copy.deepcopy(model).to(device), x.to(device), layers, method)
    for name in want:
        near(have[name], want[name], LOOSE.get(method, 1e-4))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("smooth", ["augment", "eigen"])
def test_smoothed_maps_are_those_of_the_cpu(device: str, smooth: str) -> None:
    model, methods = seeded(Pooled()), ["grad-cam", "layercam", "ablation-cam"]
    want = maps_of(model, images(4, 16), ["act"], methods, smooth=smooth)
    have = maps_of(copy.deepcopy(model).to(device), images(4, 16), ["act"], methods, smooth=smooth)
    for name in want:
        near(have[name], want[name], 1e-3)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("target", ["margin", "contrast:0:1", "probability", "log-probability", "finer", [0, 1, 1, 2]])
def test_outcomes_of_every_score_are_those_of_the_cpu(device: str, target: Any) -> None:
    model = seeded(Pooled())
    options = {"layers": "act", "method": "hirescam", "target": target, "progress": False}
    want = seewhy.explain(model, images(4, 16), **options)
    have = seewhy.explain(copy.deepcopy(model).to(device), images(4, 16), **options)
    near(have.maps, want.maps)
    for mine, other in zip(have.outcomes, want.outcomes, strict=True):
        assert mine.prediction == other.prediction
        assert mine.logits == pytest.approx(other.logits, abs=1e-5, rel=1e-4)


@pytest.mark.parametrize("device", DEVICES[1:])  # test_invariance.py has it on the CPU, with more networks
@pytest.mark.parametrize("method", EVERY)
def test_alone_and_in_a_batch(device: str, method: str) -> None:
    model, x = seeded(Pooled()).to(device), images(5, 16)
    many = maps_of(model, x, ["act"], method, batch_size=5)[""]
    one = maps_of(model, x, ["act"], method, batch_size=1)[""]
    near(one, many, LOOSE.get(method, 1e-4))


@pytest.mark.parametrize("device", DEVICES)
def test_the_device_and_its_random_state_are_left_as_found(device: str) -> None:
    model = seeded(Pooled()).to(device).train()
    state = random_state(device)
    for method in GENERAL:
        maps_of(model, images(2, 16), ["act"], method)
    assert all(parameter.device.type == device for parameter in model.parameters())
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(state, random_state(device))


def random_state(device: str) -> Tensor:
    """The state of the device's own random numbers."""
    if device == "cpu":
        return torch.random.get_rng_state()
    return torch.cuda.get_rng_state() if device == "cuda" else torch.mps.get_rng_state()


@pytest.mark.parametrize("device", DEVICES)
def test_photographs_and_a_check(device: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(20):
            pixels = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            PIL.Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    (tmp_path / "cat" / "broken.png").write_bytes(b"no picture")
    model = seeded(FourConv())
    classifiers = [seewhy.load(model, size=32, device=where) for where in ("cpu", device)]
    want, have = (seewhy.explain(one, tmp_path, target="dog", progress=False) for one in classifiers)
    near(np.nan_to_num(have.maps), np.nan_to_num(want.maps))
    assert have["broken.png"].error and want["broken.png"].error == have["broken.png"].error
    apart = np.abs(np.asarray(have[3].overlay).astype(int) - np.asarray(want[3].overlay).astype(int))
    assert (apart > 2).mean() < 1e-3
    on_cpu, on_gpu = (seewhy.check(one, tmp_path, progress=False) for one in classifiers)
    assert on_gpu.grades == on_cpu.grades
    assert [one.level for one in on_gpu.findings] == [one.level for one in on_cpu.findings]
    trust, other = on_gpu.graded[0][0], on_cpu.graded[0][0]
    assert trust.trivial == pytest.approx(other.trivial, abs=1e-3) and trust.flipped == pytest.approx(
        other.flipped, abs=1e-3
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("method", ["grad-cam", "hirescam", "layercam", "ablation-cam", "score-cam", "fullgrad"])
def test_half_precision_on_a_gpu_is_near_the_whole(method: str) -> None:
    model, x = seeded(Pooled()).cuda(), images(6, 16).cuda()
    want = maps_of(model, x, ["act"], method)[""]
    flips = method == "fullgrad"  # its gradient goes through every ReLU, and one near 0 may be on in one type alone
    for dtype, bound in ((torch.float16, 0.1 if flips else 0.02), (torch.bfloat16, 0.4 if flips else 0.1)):
        near(maps_of(copy.deepcopy(model).to(dtype), x, ["act"], method)[""], want, bound)

"""A GPU gives what a CPU gives: maps, logits, overlays and checks; skipped where there is none."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import seewhy
from seewhy.cam.methods import METHODS
from tests.models import FourConv, InPlaceFunctional, Pooled, images, seeded

DEVICES = [
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")),
    pytest.param(
        "mps", marks=pytest.mark.skipif(not torch.backends.mps.is_available(), reason="there is no MPS device")
    ),
]
NETWORKS = {"four": FourConv, "pooled": Pooled, "in place": InPlaceFunctional}


@pytest.fixture(autouse=True)
def _exact_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the ten-bit products that CUDA takes by default for convolutions."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def near(one: np.ndarray, other: np.ndarray, bound: float = 1e-4) -> None:
    assert np.abs(one - other).max() <= bound * max(np.abs(other).max(), 1e-12)


def last_layer(model: nn.Module) -> str:
    return {"FourConv": "conv2", "Pooled": "act", "InPlaceFunctional": "features"}[type(model).__name__]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("network", NETWORKS)
def test_maps_are_those_of_the_cpu(device: str, network: str, method: str) -> None:
    model = seeded(NETWORKS[network]())
    there = copy.deepcopy(model).to(device)
    options = {"layers": last_layer(model), "method": method, "target": 1, "progress": False}
    want = seewhy.explain(model, images(6), **options)
    have = seewhy.explain(there, images(6), **options)
    near(have.maps, want.maps, 1e-3 if method in ("grad-cam++", "xgrad-cam") else 1e-4)
    for mine, other in zip(have.outcomes, want.outcomes, strict=True):
        assert mine.prediction == other.prediction
        assert mine.logits == pytest.approx(other.logits, abs=1e-5, rel=1e-4)


@pytest.mark.parametrize("device", DEVICES)
def test_alone_and_in_a_batch(device: str) -> None:
    model = seeded(Pooled()).to(device)
    options = {"layers": "act", "method": "grad-cam", "progress": False}
    many = seewhy.explain(model, images(9), batch_size=9, **options).maps
    one = seewhy.explain(model, images(9), batch_size=1, **options).maps
    near(one, many)


@pytest.mark.parametrize("device", DEVICES)
def test_the_device_and_its_random_state_are_left_as_found(device: str) -> None:
    model = seeded(Pooled()).to(device).train()
    state = torch.cuda.get_rng_state() if device == "cuda" else torch.mps.get_rng_state()
    seewhy.explain(model, images(4), progress=False)
    assert all(parameter.device.type == device for parameter in model.parameters())
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(state, torch.cuda.get_rng_state() if device == "cuda" else torch.mps.get_rng_state())


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
    trust, other = on_gpu.maps[0][0], on_cpu.maps[0][0]
    assert trust.trivial == pytest.approx(other.trivial, abs=1e-3) and trust.flipped == pytest.approx(
        other.flipped, abs=1e-3
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_half_precision_on_a_gpu_is_near_the_whole() -> None:
    model = seeded(FourConv()).cuda()
    options = {"layers": "conv2", "target": 1, "method": "hirescam", "progress": False}
    want = seewhy.explain(model, images(6).cuda(), **options).maps
    for dtype, bound in ((torch.float16, 0.02), (torch.bfloat16, 0.1)):
        near(seewhy.explain(copy.deepcopy(model).to(dtype), images(6).cuda(), **options).maps, want, bound)

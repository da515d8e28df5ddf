"""How many images at once, and that the memory of the moment never changes which run a command means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from seewhy.cam.capture import find_layer
from seewhy.cam.layers.choice import trace
from seewhy.explanation.folder import default_folder, run_in_folder
from seewhy.run import machine
from seewhy.run.plan import make_plan
from tests.models import FourConv, images, seeded

CPU = torch.device("cpu")


def usual(
    model: nn.Module, size: int, layer: str, free: float, monkeypatch: pytest.MonkeyPatch, workers: int = 1
) -> int:
    monkeypatch.setattr(machine, "free_memory", lambda device: free)
    calls = trace(model, images(1, size=size))
    return machine.usual_batch(calls, [find_layer(model, layer)], model, CPU, workers)


def test_the_batch_is_a_power_of_two_that_shrinks_with_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = seeded(FourConv(size=32))
    found = [usual(model, 32, "conv2", free, monkeypatch) for free in (1e9, 2e6, 1e6, 5e5, 1e4, 0)]
    assert found == sorted(found, reverse=True) and found[0] == 16 and found[-1] == 1
    assert all(count & (count - 1) == 0 for count in found)
    assert usual(model, 32, "conv2", 2e6, monkeypatch, workers=4) <= usual(model, 32, "conv2", 2e6, monkeypatch)


def test_what_is_estimated_is_about_what_a_pass_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every activation and its gradient behind the first layer: an upper bound by hand."""
    model = seeded(FourConv(size=32))
    calls = trace(model, images(1, size=32))
    found = machine.bytes_per_image(calls, [find_layer(model, "conv2")], 4)
    conv1 = 6 * 32 * 32
    behind = 8 * 16 * 16 + 8 * 16 * 16 + 8 * 8 * 8 + 2
    assert found == 4 * (3 * conv1 + 2 * behind)
    assert machine.bytes_per_image(calls, [find_layer(model, "conv1")], 4) > found


def test_large_activations_beside_small_weights_come_in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2)
    )
    assert usual(wide, 512, "0", 1e12, monkeypatch) == 1  # 16 MiB an image
    wide.register_parameter("table", nn.Parameter(torch.zeros(40_000_000)))
    assert usual(wide, 512, "0", 1e12, monkeypatch) == 8, "weights of 160 MB are read once a batch"


def test_free_memory_is_known_and_respects_a_containers_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = machine.free_memory(CPU)
    assert 1e6 < whole < 1e14
    for name, text in (("max", "5000000"), ("used", "1000000")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(machine, "_GROUPS", ((str(tmp_path / "max"), str(tmp_path / "used")),))
    assert machine.free_memory(CPU) == min(4e6, machine.free_memory(CPU))
    (tmp_path / "max").write_text("max\n")
    assert machine.free_memory(CPU) > 4e6


def test_less_memory_the_next_time_goes_on_with_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(photos / f"{number}.png")
    model = seeded(FourConv(size=16))
    first = make_plan(model, photos)
    run_in_folder(first, tmp_path / "run", progress=lambda done, total: None)
    monkeypatch.setattr("seewhy.run.machine.free_memory", lambda device: 0.0)
    later = make_plan(model, photos)
    assert later.batch_size == 1 != first.batch_size
    assert default_folder(later) == default_folder(first)
    before = (tmp_path / "run" / "records.parquet").stat().st_mtime_ns
    run_in_folder(later, tmp_path / "run", progress=lambda done, total: None)
    assert (tmp_path / "run" / "records.parquet").stat().st_mtime_ns == before, "it was only opened"
    asked = make_plan(model, photos, batch_size=2)
    assert default_folder(asked) != default_folder(first)


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/app/worker\n", {"app/cpu.max": "150000 100000\n", "app/worker/cpu.max": "max 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "100000 100000\n"}, 1.0),
        ("3:cpu,cpuacct:/box\n1:name=systemd:/\n", {"cpu/box/cpu.cfs_quota_us": "50000\n",
                                                   "cpu/box/cpu.cfs_period_us": "100000\n"}, 0.5),
        ("3:cpu:/box\n", {"cpu/box/cpu.cfs_quota_us": "-1\n", "cpu/box/cpu.cfs_period_us": "100000\n"}, float("inf")),
        ("0::/\n", {}, float("inf")),
        ("", {}, float("inf")),
    ],
    ids=["of a group around it", "of the outermost", "version 1", "version 1 without", "none", "no groups"],
)  # fmt: skip
def test_a_containers_quota_is_read_from_its_groups(
    membership: str, files: dict[str, str], quota: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, groups = tmp_path / "proc" / "self" / "cgroup", tmp_path / "cgroup"
    own.parent.mkdir(parents=True)
    own.write_text(membership)
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    monkeypatch.setattr(machine, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "_CGROUPS", groups)
    assert machine.processor_quota() == quota
    assert 1 <= machine.cores() < quota + 1

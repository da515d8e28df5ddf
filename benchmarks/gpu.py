"""seewhy's maps beside grad-cam, torchcam, captum and the bare forward pass on a GPU: ResNet-50, layer4, 224 px.

    python benchmarks/gpu.py --out gpu.json
    python benchmarks/gpu.py --device cpu --images 4 --rounds 1 --out /tmp/gpu.json      whether it works

Needs torch and torchvision, the repository, and the peers: installed, or copied into .gpu/ at the repository's root. It
imports `seewhy.cam`, `seewhy.errors` and `seewhy.maps`, which need nothing else; seewhy need not be installed.
Everything runs in one process on the same inputs and weights, round by round, each round beginning with another side;
the device is synchronised before and after each measured unit. Random weights, calibrated on synthetic pictures.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import importlib.metadata
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
LAYER, TARGET, SIDE, BRANCH = "layer4", 281, 224, 0.25
P95, MOST = 1e-5, 1e-3
GATE_IMAGES = 16
Raw = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """One thing to be timed: all images once, `repeats` times in a measured unit."""

    name: str
    work: Callable[[], Any]
    repeats: int


@contextlib.contextmanager
def packages() -> Iterator[None]:
    """The repository's source and .gpu/ on the path, with metadata for a seewhy that is not installed."""
    sys.path[:0] = [str(ROOT / "src")]
    sys.path.append(str(ROOT / ".gpu"))
    with tempfile.TemporaryDirectory() as home:
        try:
            importlib.metadata.version("seewhy")
        except importlib.metadata.PackageNotFoundError:
            folder = Path(home, "seewhy-0.1.0.dist-info")
            folder.mkdir()
            (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: seewhy\nVersion: 0.1.0\n")
            sys.path.append(home)
            importlib.invalidate_caches()
        importlib.import_module("torchvision_shim")
        yield


def pictures(count: int) -> Tensor:
    """Seeded inputs (count, 3, 224, 224) with the spectrum of photographs, about normal."""
    generator = torch.Generator().manual_seed(1)
    found = torch.zeros(count, 3, SIDE, SIDE)
    for cells in (4, 8, 16, 32, 64, SIDE):
        noise = torch.randn(count, 3, cells, cells, generator=generator)
        found += nn.functional.interpolate(noise, (SIDE, SIDE), mode="bilinear") * (4 / cells) ** 0.5
    return (found - found.mean()) / found.std()


def make_network(inputs: Tensor) -> nn.Module:
    """As calibrate_resnet50.py makes it, on the device of the inputs."""
    models = importlib.import_module("torchvision.models")
    torch.manual_seed(0)
    model = models.resnet50(weights=None).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
        elif isinstance(module, models.resnet.Bottleneck):
            nn.init.constant_(module.bn3.weight, BRANCH)
    model.to(inputs.device)
    with torch.no_grad():
        for batch in inputs[:32].split(16):
            model(batch)
    return model.eval()


def ours(model: nn.Module) -> Callable[[Tensor], Any]:
    """From inputs to seewhy's logits, values and maps by layer."""
    import_module = importlib.import_module  # after the stubs for a machine without the store's packages
    return import_module("ours_maps").ours(model, LAYER, TARGET)


def maps(model: nn.Module, inputs: Tensor) -> Tensor:
    return ours(model)(inputs).maps[LAYER]


def grad_cam(model: nn.Module, batches: Sequence[Tensor]) -> np.ndarray:
    """Its maps (N, 224, 224) in [0, 1]."""
    package = importlib.import_module("pytorch_grad_cam")
    target = package.utils.model_targets.ClassifierOutputTarget(TARGET)
    with package.GradCAM(model=model, target_layers=[model.layer4[-1]]) as cam:
        return np.concatenate([cam(input_tensor=one, targets=[target] * len(one)) for one in batches])


def torchcam(model: nn.Module, inputs: Tensor) -> Tensor:
    with importlib.import_module("torchcam.methods").GradCAM(model, LAYER) as extractor:
        return extractor(TARGET, model(inputs), normalized=False)[0]


def captum(model: nn.Module, inputs: Tensor) -> Tensor:
    layer = model.get_submodule(LAYER)
    return importlib.import_module("captum.attr").LayerGradCam(model, layer).attribute(inputs, TARGET).detach()


def forward(model: nn.Module, inputs: Tensor) -> Tensor:
    with torch.inference_mode():
        return model(inputs)


def sides(model: nn.Module, inputs: Tensor, repeats: int) -> list[Side]:
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    laid = inputs.contiguous(memory_format=torch.channels_last)
    ours_of, ours_last = ours(model), ours(last)
    return [
        Side("bare forward", lambda: forward(model, inputs), repeats),
        Side("ours, maps on the device", lambda: ours_of(inputs).maps[LAYER], repeats),
        Side("ours, maps in numpy", lambda: ours_of(inputs).maps[LAYER].cpu().numpy(), repeats),
        Side("bare forward, channels_last", lambda: forward(last, laid), repeats),
        Side("ours, channels_last, maps on the device", lambda: ours_last(laid).maps[LAYER], repeats),
        Side("grad-cam, one by one", lambda: grad_cam(model, inputs.split(1)), 1),
        Side("grad-cam, whole batch", lambda: grad_cam(model, [inputs]), 1),
        Side("torchcam, whole batch", lambda: torchcam(model, inputs), repeats),
        Side("captum, whole batch", lambda: captum(model, inputs), repeats),
    ]


def synchronise(inputs: Tensor) -> None:
    if inputs.is_cuda:
        torch.cuda.synchronize()


def seconds_of(side: Side, model: nn.Module, inputs: Tensor) -> float:
    """Seconds for all images once."""
    model.zero_grad(set_to_none=True)  # grad-cam leaves gradients of all parameters
    synchronise(inputs)
    start = time.perf_counter()
    for _ in range(side.repeats):
        side.work()
    synchronise(inputs)
    return (time.perf_counter() - start) / side.repeats


def measure(model: nn.Module, inputs: Tensor, rounds: int, repeats: int) -> dict[str, list[float]]:
    """Images per second of each side, by round."""
    works = sides(model, inputs, repeats)
    found: dict[str, list[float]] = {side.name: [] for side in works}
    for number in range(rounds + 1):
        first = number % len(works)
        for side in (*works[first:], *works[:first]):
            spent = seconds_of(side, model, inputs)
            if number:  # the first round warms up
                found[side.name].append(len(inputs) / spent)
    model.zero_grad(set_to_none=True)
    return found


def peak_memory(model: nn.Module, inputs: Tensor) -> Raw:
    """MiB at the peak on the GPU, and beyond the network and the inputs; none on a CPU."""
    if not inputs.is_cuda:
        return {}
    works: dict[str, Callable[[], Any]] = {
        "bare forward": lambda: forward(model, inputs),
        "ours": lambda: maps(model, inputs),
        "grad-cam, whole batch": lambda: grad_cam(model, [inputs]),
        "torchcam, whole batch": lambda: torchcam(model, inputs),
        "captum, whole batch": lambda: captum(model, inputs),
    }
    found = {}
    for name, work in works.items():
        model.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        base = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated()
        found[name] = {"peak_mib": peak / 2**20, "beyond_mib": (peak - base) / 2**20}
    model.zero_grad(set_to_none=True)
    return found


def scaled(raw: Tensor) -> np.ndarray:
    """Raw maps (N, h, w) as all packages show them: positive, resized, in [0, 1]."""
    raw = raw.detach().cpu().double().reshape(-1, *raw.shape[-2:])
    return importlib.import_module("seewhy.maps").fuse([raw], (SIDE, SIDE)).numpy()


def apart(one: np.ndarray, other: np.ndarray) -> Raw:
    """The largest difference in each image: its 95th percentile and maximum, and whether that passes."""
    most = np.abs(one - other).reshape(len(one), -1).max(1)
    p95, largest = float(np.percentile(most, 95)), float(most.max())
    return {"p95": p95, "max": largest, "passed": p95 <= P95 and largest <= MOST}


def compare(model: nn.Module, inputs: Tensor) -> dict[str, Raw]:
    """Maps of ours, the peers and float64; of the CPU and the device; of a batch and one by one. And logits."""
    found, wide = ours(model)(inputs), ours(copy.deepcopy(model).double())(inputs.double())
    host = ours(copy.deepcopy(model).cpu())(inputs.cpu())
    single = [ours(model)(one) for one in inputs.split(1)]
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    truth, mine = scaled(wide.maps[LAYER]), scaled(found.maps[LAYER])
    peers = {
        "grad-cam": grad_cam(model, [inputs]),
        "torchcam": scaled(torchcam(model, inputs)),
        "captum": scaled(captum(model, inputs)),
    }
    model.zero_grad(set_to_none=True)
    alone = torch.cat([one.logits for one in single])
    laid = scaled(maps(last, inputs.contiguous(memory_format=torch.channels_last)))
    return {
        **{f"ours and {name}": apart(mine, one) for name, one in peers.items()},
        "ours and float64": apart(mine, truth),
        **{f"{name} and float64": apart(one, truth) for name, one in peers.items()},
        "ours in channels_last and float64": apart(laid, truth),
        "ours on the device and on the CPU": apart(mine, scaled(host.maps[LAYER])),
        "the same, logits": apart(*(_shares(one.logits) for one in (found, host))),
        "ours in a batch and one by one": apart(mine, scaled(torch.cat([one.maps[LAYER] for one in single]))),
        "the same two, logits": apart(_shares(found.logits), _shares(alone)),
    }


def _shares(logits: Tensor) -> np.ndarray:
    """Logits as multiples of their largest size over all images."""
    values = logits.detach().cpu().double().numpy()
    return values / np.abs(values).max()


def run_mode(model: nn.Module, inputs: Tensor, asked: argparse.Namespace, *, strict: bool) -> Raw:
    """Everything at one precision: strict float32, or with PyTorch's defaults (convolutions in TF32)."""
    torch.backends.cudnn.allow_tf32 = not strict
    torch.backends.cuda.matmul.allow_tf32 = False
    gate = compare(model, inputs[:GATE_IMAGES])
    rates = measure(model, inputs, asked.rounds, asked.repeats)
    return {"gate": gate, "images_per_second": rates, "memory": peak_memory(model, inputs)}


def spread(values: Sequence[float], digits: int) -> str:
    return f"{median(values):.{digits}f} [{min(values):.{digits}f}-{max(values):.{digits}f}]"


def lines_of(name: str, raw: Raw) -> list[str]:
    """Rows of the table: rates with paired ratios, gates, memory."""
    rates = raw["images_per_second"]
    lines = []
    for side, values in rates.items():
        bare = rates["bare forward, channels_last" if "channels_last" in side else "bare forward"]
        pairs = [
            [one / other for one, other in zip(values, others, strict=True)]
            for others in (bare, *(rates[f"{peer}"] for peer in ("grad-cam, one by one", "grad-cam, whole batch",
                                                                "torchcam, whole batch", "captum, whole batch")))
        ]  # fmt: skip
        ratios = [spread(pair, 2) for pair in pairs]
        lines.append(f"| {name}: {side} | {spread(values, 0)} | {' | '.join(ratios)} |")
    for what, one in raw["gate"].items():
        verdict = "pass" if one["passed"] else "FAIL"
        lines.append(f"| {name}, apart: {what} | p95 {one['p95']:.1e}, max {one['max']:.1e}, {verdict} | | | | | |")
    for what, one in raw["memory"].items():
        lines.append(
            f"| {name}, GPU memory: {what} | {one['peak_mib']:.0f} MiB, {one['beyond_mib']:.0f} beyond network and "
            "inputs | | | | | |"
        )
    return lines


def machine(device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    versions = f"torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, Python {platform.python_version()}"
    return f"{name}; {versions}; numpy {np.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--images", type=int, default=64, help="in a batch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=5, help="of a batch in a measured unit")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    device = torch.device(asked.device)
    with packages():
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        inputs = pictures(asked.images).to(device)
        model = make_network(inputs)
        raw = {"strict float32": run_mode(model, inputs, asked, strict=True)}
        if device.type == "cuda":
            raw["default, TF32"] = run_mode(model, inputs, asked, strict=False)
    about = f"{machine(device)}; {asked.images} images at once, {asked.rounds} rounds"
    loaded = sorted(name for name in sys.modules if name.partition(".")[0] == "seewhy")
    asked.out.write_text(json.dumps({"machine": about, "seewhy_modules": loaded, **raw}, indent=1) + "\n")
    print("| what | img/s | / bare, same layout | / grad-cam one by one | / grad-cam batch | / torchcam | / captum |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(line for name, one in raw.items() for line in lines_of(name, one)))
    print(f"\n{about}")
    strict = raw["strict float32"]["gate"]
    sys.exit(0 if all(strict[f"ours and {name}"]["passed"] for name in ("grad-cam", "float64")) else 1)


if __name__ == "__main__":
    main()

"""Writes docs/equality.md: how near the drop-in's maps are to pytorch-grad-cam's, and both to float64.

.venv/bin/python docs/check/equality.py: some minutes on one core; needs requirements-parity.txt.
"""

from __future__ import annotations

import copy
import importlib
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tqdm
from torch import Tensor, nn

import seewhy.compat.pytorch_grad_cam as ours
from seewhy.learn.net import Net

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
importlib.import_module("torchvision_shim")  # for a CPU build of torch beside torchvision's wheel
theirs = importlib.import_module("pytorch_grad_cam")  # which imports torchvision

PAGE = Path(__file__).resolve().parents[1] / "equality.md"
GRADIENT = ("GradCAM", "HiResCAM", "GradCAMElementWise", "LayerCAM", "GradCAMPlusPlus", "XGradCAM")
COMPONENTS = ("EigenCAM", "EigenGradCAM", "KPCA_CAM")
HEAD = """# How near the drop-in is to pytorch-grad-cam {version}

Maps in [0, 1] of 8 images of noise, each class of networks with seeded random weights: the 95th percentile and the
largest of the differences of all pixels between `seewhy.compat.pytorch_grad_cam` and that package, and of both from the
same maps in float64. *Small*: two convolutions, pooling, two linear layers. *Tutorial's*: its four convolutions, two
layers at once. *ViT*: two blocks, seen through a reshape function. Of components, whose sign is left to chance there,
the maps before their ReLU, turned to one sign. What is other by design is in
[from-pytorch-grad-cam.md](from-pytorch-grad-cam.md#what-is-done-otherwise-and-why). `aug` is
`aug_smooth`. Where both are far from float64, weights of channels nearly cancel. Tests hold the same
(`tests/compat/test_parity.py`) at 1e-5. Written by
[check/equality.py](check/equality.py).

| class | network | apart, 95 % | largest | ours from float64, 95 % | theirs |
| --- | --- | --- | --- | --- | --- |
"""


class Small(nn.Module):
    """Five classes of positive scores, ReLU'd layers: what every class of theirs can take."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.stem(x)).mean((2, 3))) + 5


def tokens_4x4(tokens: Tensor) -> Tensor:
    return tokens[:, 1:].reshape(len(tokens), 4, 4, tokens.shape[2]).permute(0, 3, 1, 2)


def networks() -> dict[str, tuple[nn.Module, int, list[str], dict[str, Any]]]:
    """By name: the network, its input's side, the layers, and what a class is made with."""
    import timm

    torch.manual_seed(0)
    size = {"img_size": 64, "depth": 2, "embed_dim": 24, "num_heads": 3, "num_classes": 5}
    vit = timm.create_model("vit_tiny_patch16_224", pretrained=False, **size)
    return {
        "small": (Small().eval(), 32, ["block"], {}),
        "tutorial's": (Net(size=64).eval(), 64, ["conv2", "conv3"], {}),
        "ViT": (vit.eval(), 64, ["blocks.1.norm1"], {"reshape_transform": tokens_4x4}),
    }


def maps(package: Any, name: str, model: nn.Module, x: Tensor, layers: list[str], made: Any, how: Any) -> np.ndarray:
    """Of each image's second class; every call has a network of its own."""
    own = copy.deepcopy(model)
    cam = getattr(package, name)(own, [own.get_submodule(layer) for layer in layers], **made)
    targets = [package.utils.model_targets.ClassifierOutputTarget(1)] * len(x)
    return np.asarray(cam(input_tensor=x, targets=targets, **how), np.float64)


def row(name: str, network: str, given: Any, how: dict[str, bool]) -> str:
    model, side, layers, made = given
    x = torch.rand(8, 3, side, side, generator=torch.Generator().manual_seed(3))
    have, want = (maps(package, name, model, x, layers, made, how) for package in (ours, theirs))
    truth = maps(ours, name, copy.deepcopy(model).double(), x.double(), layers, made, how)
    return line(" ".join([name, *(key.removesuffix("_smooth") for key in how)]), network, have, want, truth)


def component(name: str, model: nn.Module) -> str:
    """Of a component the maps before their ReLU, turned to one sign, each up to its largest value."""
    x = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    features = model.stem(x).detach().numpy()
    slopes = np.random.default_rng(0).normal(size=features.shape).astype(np.float32)

    def raw(package: Any, kind: Any) -> np.ndarray:
        own = copy.deepcopy(model)
        cam = getattr(package, name)(own, [own.stem])
        found = cam.get_cam_image(None, None, None, features.astype(kind), slopes.astype(kind), False)
        return found / np.abs(found).max((1, 2), keepdims=True)

    have, want, truth = raw(ours, np.float32), raw(theirs, np.float32), raw(ours, np.float64)
    signs = [np.sign((one * truth).sum((1, 2), keepdims=True)) for one in (have, want)]
    return line(name, "small, features", have * signs[0], want * signs[1], truth)


def line(name: str, network: str, have: np.ndarray, want: np.ndarray, truth: np.ndarray) -> str:
    apart, mine, other = (np.abs(a - b) for a, b in ((have, want), (have, truth), (want, truth)))
    numbers = [np.percentile(apart, 95), apart.max(), np.percentile(mine, 95), np.percentile(other, 95)]
    return f"| {name} | {network} | {' | '.join(f'{number:.0e}' for number in numbers)} |"


def main() -> None:
    torch.set_num_threads(1)
    given_networks = networks()
    tqdm.tqdm = lambda steps: steps  # theirs draws bars; after timm, which asks for its type
    text = HEAD.format(version=version("grad-cam"))
    for network, given in given_networks.items():
        small = network == "small"
        names = [*GRADIENT, "FEM", "SegEigenCAM", "ScoreCAM", *(("AblationCAM", "ShapleyCAM") if small else ())]
        cases = [(name, {}) for name in [*names, *(("FullGrad",) if small else ())]]
        cases += [("GradCAM", {"aug_smooth": True})]
        for name, how in cases:
            layers = [] if name == "FullGrad" else given[2]
            text += row(name, network, (*given[:2], layers, given[3]), how) + "\n"
            print(text.splitlines()[-1], flush=True)
    text += "".join(component(name, given_networks["small"][0]) + "\n" for name in COMPONENTS)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

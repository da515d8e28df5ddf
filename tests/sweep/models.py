"""The networks of the sweep, with seeded random weights and nothing that starts at zero."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import timm
import torch
import torchvision
import transformers
from torch import Tensor, nn
from torch.nn.functional import interpolate

LIST = Path(__file__).with_name("models.txt")
_WIDE = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 96}
_TOKENS = {**_WIDE, "image_size": 64, "patch_size": 8}
_STAGES = {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1]}
_TRANSFORMERS = {
    "resnet": ("ResNet", {**_STAGES, "embedding_size": 16, "layer_type": "basic"}, {}),
    "vit": ("ViT", _TOKENS, {}),
    "swin": (
        "Swin",
        {"image_size": 64, "patch_size": 4, "embed_dim": 24, "depths": [2, 2, 2], "num_heads": [2, 4, 8],
         "window_size": 4},
        {},
    ),
    "convnext": ("ConvNext", _STAGES, {}),
    "beit": ("Beit", _TOKENS, {}),
    "deit": ("DeiT", _TOKENS, {}),
    "dinov2": ("Dinov2", {**_WIDE, "image_size": 56, "patch_size": 7}, {}),
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """One line of the list: which library, which model, and the input's height and width."""

    library: str
    model: str
    height: int
    width: int


def entries() -> list[Entry]:
    lines = [line.split() for line in LIST.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [Entry(library, model, *(int(side) for side in size.split("x"))) for library, model, size in lines]


def build(entry: Entry, attempt: int = 0) -> nn.Module:
    """The network in eval mode, the same weights each time; other ones, with plain batch norms, at a second attempt."""
    torch.manual_seed(attempt)
    if entry.library == "timm":
        model = _timm(entry)
    elif entry.library == "torchvision":
        model = torchvision.models.get_model(entry.model, weights=None)
    else:
        model = _transformers(entry.model)
    awaken(model)
    model.eval()
    if attempt % 2 == 0:
        settle(model, entry)
    return model


def pictures(height: int, width: int, count: int = 1, seed: int = 1) -> Tensor:
    """Seeded pictures (count, 3, height, width), as if normalised: patterns of several sizes."""
    generator = torch.Generator().manual_seed(seed)
    found = torch.zeros(count, 3, height, width)
    for patch in (1, 8, 32):
        noise = torch.randn(count, 3, -(-height // patch), -(-width // patch), generator=generator)
        found += 0.6 * interpolate(noise, size=(height, width), mode="nearest")
    return found


def _timm(entry: Entry) -> nn.Module:
    usual = timm.get_pretrained_cfg(entry.model)
    size = (entry.height, entry.width)
    if usual is not None and tuple(usual.input_size[1:]) != size:
        try:
            return timm.create_model(entry.model, img_size=size)
        except TypeError:  # a network that takes any size
            pass
    return timm.create_model(entry.model)


def _transformers(name: str) -> nn.Module:
    family, _, head = name.partition("-")
    stem, options, base_options = _TRANSFORMERS[family]
    config = getattr(transformers, f"{stem}Config")(**options)
    if head == "headless":
        return getattr(transformers, f"{stem}Model")(config, **base_options)
    config.num_labels = 10
    return getattr(transformers, f"{stem}ForImageClassification")(config)


@torch.no_grad()
def awaken(model: nn.Module) -> None:
    """Give small random values to what starts at zero, or near it: heads, layer scales, gains of residual branches."""
    for name, parameter in model.named_parameters():
        word = name.rsplit(".", 1)[-1]
        low, high = float(parameter.min()), float(parameter.max())
        if "bias" in word or low != high or abs(high) > 1e-2:
            continue
        if parameter.numel() == max(parameter.shape, default=1) and "token" not in word:
            parameter.uniform_(0.1, 0.3)
        else:
            parameter.normal_(std=0.02)


@torch.no_grad()
def settle(model: nn.Module, entry: Entry) -> None:
    """Give batch norms the statistics of four pictures: with those of none, deep features explode or vanish."""
    norms = [one for one in model.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    for one in norms:
        one.train().momentum = None  # the plain average
        one.reset_running_stats()
    model(pictures(entry.height, entry.width, count=4, seed=3))
    for one in norms:
        one.eval().momentum = 0.1
        # Where attention has not learnt to tell places apart, its mean is large and its variance next to nothing.
        one.running_var.clamp_(min=0.1 * one.running_mean**2)

"""One small model of each family: the layer and the grid that are taken with no option given, and a map that varies."""

from __future__ import annotations

import pytest
import torch
from torch import nn

pytest.importorskip("timm", reason="timm is not installed")
pytest.importorskip("torchvision", reason="torchvision is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

import timm
import torchvision

from seewhy.cam.grid import Grid
from tests.sweep.models import Entry, awaken, build, pictures, settle
from tests.sweep.places import explained, is_constant, right_places

TOKENS, LAST = "tokens", "channels-last"


def small(name: str, height: int, width: int, **options: object) -> nn.Module:
    torch.manual_seed(0)
    model = timm.create_model(name, **options)
    awaken(model)
    settle(model.eval(), Entry("timm", name, height, width))
    return model


def vgg(height: int, width: int) -> nn.Module:
    torch.manual_seed(0)
    model = torchvision.models.VGG(torchvision.models.vgg.make_layers([8, "M", 16, "M", 24, "M", 32]), num_classes=5)
    model.avgpool = nn.Identity()
    model.classifier = nn.Linear(32 * (height // 8) * (width // 8), 5)
    return model.eval()


def mixer(height: int, width: int) -> nn.Module:
    torch.manual_seed(0)
    model = timm.models.MlpMixer(num_classes=5, img_size=height, patch_size=8, num_blocks=2, embed_dim=48)
    awaken(model)
    return model.eval()


VIT = {"patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": 5}
FAMILIES = {
    "resnet": (lambda h, w: small("test_resnet", h, w), 96, 64, "layer4", Grid(3, 2)),
    "vgg": (vgg, 64, 64, "features", Grid(8, 8)),
    "densenet": (
        lambda h, w: small("densenet121", h, w, growth_rate=8, block_config=(2, 2, 2, 2)),
        96, 128, "features", Grid(3, 4),
    ),
    "mobilenet": (lambda h, w: small("mobilenetv3_small_050", h, w), 128, 128, "blocks", Grid(4, 4)),
    "efficientnet": (lambda h, w: small("test_efficientnet", h, w), 96, 160, "bn2", Grid(3, 5)),
    "convnext": (lambda h, w: small("test_convnext", h, w), 96, 128, "stages", Grid(3, 4)),
    "vit, class token": (
        lambda h, w: small("deit_tiny_patch16_224", h, w, img_size=64, **VIT),
        64, 64, "blocks.2.norm1", Grid(8, 8, TOKENS, 1),
    ),
    "vit, registers, not square": (
        lambda h, w: small("vit_base_patch16_224", h, w, img_size=(48, 80), reg_tokens=4, global_pool="avg", **VIT),
        48, 80, "blocks", Grid(6, 10, TOKENS, 5),
    ),
    "deit, distilled": (
        lambda h, w: small("deit_tiny_distilled_patch16_224", h, w, img_size=64, **VIT),
        64, 64, "blocks.2.norm1", Grid(8, 8, TOKENS, 2),
    ),
    "swin": (
        lambda h, w: small(
            "swin_tiny_patch4_window7_224", h, w, img_size=(64, 96), window_size=4, embed_dim=24, depths=(1, 1, 2),
            num_heads=(1, 2, 4),
        ),
        64, 96, "norm", Grid(4, 6, LAST),
    ),
    "mixer": (
        mixer,
        64, 64, "norm", Grid(8, 8, TOKENS),
    ),
    "hybrid (coatnet)": (lambda h, w: small("test_coatnet", h, w, img_size=128), 128, 128, "norm", Grid(4, 4)),
    "headless dinov2": (
        lambda h, w: build(Entry("transformers", "dinov2-headless", h, w)),
        56, 84, "encoder.layer.2.norm1", Grid(8, 12, TOKENS, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_explained_with_no_option_given(family: str) -> None:
    make, height, width, layer, grid = FAMILIES[family]
    model, inputs = make(height, width), pictures(height, width)
    choice, found = explained(model, inputs)
    assert (choice.layer, choice.grid) == (layer, grid)
    assert choice.method == ("hirescam" if family == "vgg" else "grad-cam")
    assert found.shape == (grid.height, grid.width) and found.isfinite().all() and not is_constant(found)
    if grid.layout == "tokens":  # in patches nothing moves: the change must be just there
        assert right_places(model, inputs, choice).exact >= 4

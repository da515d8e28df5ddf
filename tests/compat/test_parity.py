"""Every class gives the maps of the real package where that is right, on four kinds of networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy.compat import pytorch_grad_cam as ours
from tests.compat.peers import Target, check_equal, maps_of, theirs
from tests.models import FourConv, images, seeded

pytestmark = pytest.mark.usefixtures("_no_progress_bars")
SIGNED = (
    *("GradCAM", "HiResCAM", "GradCAMElementWise", "LayerCAM", "GradCAMPlusPlus", "XGradCAM"),
    *("FEM", "SegEigenCAM", "ScoreCAM", "RefineCAM"),
)
COMPONENTS = ("EigenCAM", "EigenGradCAM", "KPCA_CAM")  # whose sign theirs leaves to chance


class Four(nn.Module):
    """Five classes, ReLU'd layers, a pooled head that bends, positive logits: what all of theirs can take."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.stem(x)).mean((2, 3))) + 5


@pytest.fixture(scope="module")
def four() -> nn.Module:
    return seeded(Four())


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    torch.manual_seed(0)
    return models.resnet18(weights=None).eval()


@pytest.fixture(scope="module")
def vit() -> nn.Module:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    options = {"img_size": 64, "depth": 3, "embed_dim": 48, "num_heads": 3, "num_classes": 7}
    return timm.create_model("vit_tiny_patch16_224", pretrained=False, **options).eval()


def tokens_4x4(tokens: Tensor) -> Tensor:
    return tokens[:, 1:].reshape(len(tokens), 4, 4, tokens.shape[2]).permute(0, 3, 1, 2)


@pytest.mark.parametrize("layers", [["block"], ["block", "stem"]], ids="+".join)
@pytest.mark.parametrize("name", [*SIGNED, "FullGrad"])
def test_on_a_small_network(four: nn.Module, name: str, layers: list[str]) -> None:
    if name == "FullGrad":
        layers = []
    check_equal(name, four, images(3, 16), layers, [Target(2), Target(0), Target(4)])


@pytest.mark.parametrize("name", ["ShapleyCAM", "AblationCAM"])
def test_on_a_small_network_and_one_layer(four: nn.Module, name: str) -> None:
    """Theirs cannot take several layers."""
    check_equal(name, four, images(3, 16), ["block"], [Target(2), Target(0), Target(4)])


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_up_to_their_sign(four: nn.Module, name: str) -> None:
    activation = four.stem(images(4, 16)).detach().numpy()
    gradient = np.random.default_rng(0).normal(size=activation.shape).astype(np.float32)
    want, have = (
        getattr(package, name)(four, [four.stem]).get_cam_image(None, four.stem, None, activation, gradient, False)
        for package in (theirs, ours)
    )
    signs = np.sign((want * have).sum((1, 2)))[:, None, None]
    np.testing.assert_allclose(have, signs * want, rtol=0, atol=1e-5 * np.abs(want).max())
    assert isinstance(have, np.ndarray) and have.dtype == np.float32


@pytest.mark.parametrize("name", ["GradCAM", "HiResCAM", "GradCAMPlusPlus", "LayerCAM", "XGradCAM", "RefineCAM"])
def test_on_resnet18(resnet: nn.Module, name: str) -> None:
    check_equal(name, resnet, images(2, 64), ["layer4", "layer3"], [Target(7), Target(301)])


@pytest.mark.parametrize("name", ["GradCAM", "HiResCAM", "LayerCAM", "FEM"])
def test_on_a_vision_transformer_with_a_reshape_function(vit: nn.Module, name: str) -> None:
    layers = ["blocks.2.norm1", "blocks.1.norm1"]
    check_equal(name, vit, images(2, 64), layers, [Target(1), Target(2)], {"reshape_transform": tokens_4x4})


def test_score_and_ablation_cam_of_tokens(vit: nn.Module) -> None:
    x, layers, targets = images(1, 64), ["blocks.2.norm1"], [Target(1)]
    # Nearly equal weights cancel in the sum: both packages are 2e-5 from float64.
    check_equal("ScoreCAM", vit, x, layers, targets, {"reshape_transform": tokens_4x4}, within=5e-5)
    have = maps_of(ours, "AblationCAM", vit, x, layers, targets, {"reshape_transform": tokens_4x4})
    layer = vit.get_submodule("blocks.2.norm1")
    with torch.no_grad():
        plain, falls = vit(x)[0, 1], []
        for channel in range(48):
            handle = layer.register_forward_hook(lambda m, a, out, c=channel: out * (torch.arange(48) != c))
            falls.append(plain - vit(x)[0, 1])
            handle.remove()
    kept: list[Tensor] = []
    handle = layer.register_forward_hook(lambda m, a, out: kept.append(out.detach()))
    vit(x)
    handle.remove()
    raw = (torch.stack(falls)[:, None, None] * tokens_4x4(kept[0])[0]).sum(0).clamp(min=0)
    want = ours.utils.image.scale_cam_image(scaled_to(64, raw[None].numpy()))
    np.testing.assert_allclose(have, want, rtol=0, atol=1e-4)


def scaled_to(side: int, maps: Any) -> Any:
    return ours.utils.image.scale_cam_image(maps, (side, side))


def test_a_transformer_needs_no_reshape_function(vit: nn.Module) -> None:
    x, layers, targets = images(2, 64), ["blocks.2.norm1", "blocks.1"], [Target(1), Target(2)]
    for name in ("GradCAM", "AblationCAM", "EigenCAM"):
        with_function = maps_of(ours, name, vit, x, layers, targets, {"reshape_transform": tokens_4x4})
        np.testing.assert_array_equal(maps_of(ours, name, vit, x, layers, targets), with_function)


@pytest.mark.parametrize("targets", [None, "each"])
def test_predicted_classes_and_layers_in_any_order(four: nn.Module, targets: Any) -> None:
    x = images(3, 16)
    given = None if targets is None else [Target(1)] * 3
    check_equal("GradCAM", four, x, ["block", "stem"], given)
    one, other = (maps_of(ours, "GradCAM", four, x, order, given) for order in (["block", "stem"], ["stem", "block"]))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_batches_are_their_images_alone(four: nn.Module) -> None:
    x = images(3, 16)
    together = maps_of(ours, "GradCAM", four, x, ["block"], [Target(2)] * 3)
    alone = [maps_of(ours, "GradCAM", four, one[None], ["block"], [Target(2)])[0] for one in x]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["GradCAM", "ScoreCAM", "LayerCAM"])
def test_aug_smooth(four: nn.Module, name: str) -> None:
    check_equal(name, four, images(2, 16), ["block"], [Target(2)] * 2, aug_smooth=True)


def test_eigen_smooth_up_to_its_sign(four: nn.Module) -> None:
    activation = four.stem(images(4, 16)).detach().numpy()
    gradient = np.random.default_rng(0).normal(size=activation.shape).astype(np.float32)
    for name in ("GradCAM", "HiResCAM", "XGradCAM"):
        want, have = (
            getattr(package, name)(four, [four.stem]).get_cam_image(None, four.stem, None, activation, gradient, True)
            for package in (theirs, ours)
        )
        signs = np.sign((want * have).sum((1, 2)))[:, None, None]
        np.testing.assert_allclose(have, signs * want, rtol=0, atol=1e-5 * np.abs(want).max())


def test_finer_cam(four: nn.Module) -> None:
    x = images(3, 16)
    check_equal("FinerCAM", four, x, ["block", "stem"], None)
    check_equal("FinerCAM", four, x, ["block"], None, alpha=0.5, comparison_categories=[1, 2], target_idx=3)


@pytest.mark.parametrize(
    "made",
    [
        {},
        {"pool": "max", "smooth": False},
        {"pre_filter_ratio": 0.4, "theta": 0.1, "step_size": 12},
        {"scales": [24, 30]},
    ],
    ids=["mean", "max", "filtered", "scales"],
)
def test_sess(four: nn.Module, made: dict[str, Any]) -> None:
    options = {"num_scales": 3, "batch_size": 5, **made}
    check_equal("SESS", four, images(2, 24)[..., :24, :], ["block"], [Target(2), Target(0)], options)


class Volume(nn.Module):
    """Volumes (N, 1, D, H, W) to three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(1, 6, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3, 4)))


@pytest.mark.parametrize("name", ["GradCAM", "HiResCAM", "XGradCAM", "GradCAMPlusPlus", "FEM"])
def test_volumes(name: str) -> None:
    x = torch.rand(2, 1, 8, 12, 10, generator=torch.Generator().manual_seed(1))
    check_equal(name, seeded(Volume()), x, ["features"], [Target(2), Target(0)])


def test_outputs_are_kept_and_the_network_is_left_alone() -> None:
    model, x = seeded(FourConv()).train(), images()
    model.fc.weight.requires_grad_(False)
    model.conv1.weight.grad = torch.ones_like(model.conv1.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with ours.GradCAM(model=model, target_layers=[model.conv2]) as cam:
        cam(input_tensor=x, targets=[Target(0)] * 4)
        np.testing.assert_allclose(cam.outputs, model.eval()(x).detach(), atol=1e-6)
        model.train()
        assert not cam.outputs.requires_grad and len(cam.activations_and_grads.activations) == 1
        assert not any(module._forward_hooks for module in model.modules())
    assert cam.activations_and_grads.activations == [] and model.training and model.relu.training
    assert torch.equal(model.conv1.weight.grad, torch.ones_like(model.conv1.weight)) and model.conv2.weight.grad is None
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

"""Kinds of scripts that are found in public, written anew, under both imports: the same pictures and numbers."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.compat.peers import ours, theirs
from tests.models import Pooled, images, seeded

PICTURES = images(3, 48)
Arrays = dict[str, Any]


def both(script: Any) -> tuple[Arrays, Arrays]:
    """What a script gives under their import and under ours, each with its own copy of the network."""
    return script(theirs), script(ours)


def check_alike(script: Any, within: float = 1e-5) -> Arrays:
    want, have = both(script)
    assert want.keys() == have.keys() and want
    for name in want:
        one, other = np.asarray(want[name], np.float64), np.asarray(have[name], np.float64)
        assert one.shape == other.shape and one.any(), name
        assert np.percentile(np.abs(one - other), 95) <= within, (name, np.abs(one - other).max())
    return have


def test_a_swin_with_a_reshape_function() -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(0)
    network = timm.create_model(
        "swin_tiny_patch4_window7_224", pretrained=False, img_size=64, window_size=2, embed_dim=12, depths=(1, 1),
        num_heads=(2, 2), num_classes=5,
    ).eval()  # fmt: skip

    def reshape_transform(tensor: Tensor, height: int = 8, width: int = 8) -> Tensor:
        result = tensor.reshape(tensor.size(0), height, width, tensor.size(-1))
        return result.transpose(2, 3).transpose(1, 2)

    def script(package: Any) -> Arrays:
        model, found = copy.deepcopy(network), {}
        for name in ("GradCAM", "GradCAMPlusPlus", "LayerCAM", "XGradCAM"):
            cam = getattr(package, name)(
                model=model, target_layers=[model.layers[-1].blocks[-1].norm1], reshape_transform=reshape_transform
            )
            cam.batch_size = 32
            found[name] = cam(input_tensor=images(2, 64), targets=None, eigen_smooth=False, aug_smooth=False)
        return found

    check_alike(script)


class Atrous(nn.Module):
    """A segmentation network as torchvision's are: dilated branches, a dictionary as output."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU()
        )
        self.branches = nn.ModuleList([nn.Conv2d(8, 4, 3, padding=rate, dilation=rate) for rate in (1, 2)])
        self.classifier = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.backbone(x)
        scores = self.classifier(torch.cat([branch(features).relu() for branch in self.branches], dim=1))
        return {"out": nn.functional.interpolate(scores, x.shape[-2:], mode="bilinear"), "aux": scores}


class OutOnly(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)["out"]


def test_a_segmentation_network_behind_a_wrapper() -> None:
    network = OutOnly(seeded(Atrous())).eval()
    masks = network(PICTURES).softmax(1).argmax(1).detach().cpu().numpy()
    category = int(np.bincount(masks.ravel()).argmax())

    def script(package: Any) -> Arrays:
        model = copy.deepcopy(network)
        target = package.utils.model_targets.SemanticSegmentationTarget
        targets = [target(category, np.float32(mask == category)) for mask in masks]
        found = {}
        for name in ("GradCAM", "XGradCAM", "AblationCAM", "SegEigenCAM"):
            with getattr(package, name)(model=model, target_layers=[model.model.backbone[-1]]) as cam:
                found[name] = cam(input_tensor=PICTURES[:1], targets=targets[:1])
        with package.GradCAM(model=model, target_layers=[model.model.backbone[-1]]) as cam:
            found["smooth"] = cam(input_tensor=PICTURES, targets=targets, aug_smooth=True)
        return found

    check_alike(script)


@pytest.mark.usefixtures("_no_progress_bars")
def test_portions_of_32_for_the_methods_of_many_passes() -> None:
    network = seeded(Pooled())

    def script(package: Any) -> Arrays:
        model, found = copy.deepcopy(network), {}
        target = package.utils.model_targets.ClassifierOutputTarget(1)
        for name in ("ScoreCAM", "AblationCAM"):
            cam = getattr(package, name)(model=model, target_layers=[model.act])
            cam.batch_size = 32
            found[name] = cam(input_tensor=PICTURES, targets=[target] * 3)
        return found

    check_alike(script)


class Logits(nn.Module):
    """A network of transformers, of whose output the logits alone are given on."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).logits


def test_a_network_of_transformers_with_several_classes_side_by_side() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    names = {0: "tabby", 1: "tiger cat", 2: "lynx"}
    config = transformers.ResNetConfig(
        embedding_size=6, hidden_sizes=[6, 8, 10, 12], depths=[1, 1, 1, 1], layer_type="basic", id2label=names,
        label2id={word: number for number, word in names.items()},
    )  # fmt: skip
    network = transformers.ResNetForImageClassification(config).eval()

    def script(package: Any) -> Arrays:
        model = copy.deepcopy(network)
        to_index = {word: int(number) for number, word in model.config.id2label.items()}
        targets = [
            package.utils.model_targets.ClassifierOutputTarget(to_index[word])
            for word in ("lynx", "tabby", "tiger cat")
        ]
        with package.HiResCAM(model=Logits(model), target_layers=[model.resnet.encoder.stages[-1].layers[-1]]) as cam:
            repeated = PICTURES[:1].repeat(len(targets), 1, 1, 1)
            maps = cam(input_tensor=repeated, targets=targets)
        shown = package.utils.image.show_cam_on_image
        picture = PICTURES[0].permute(1, 2, 0).numpy()
        return {"side by side": np.hstack([shown(picture, one, use_rgb=True) for one in maps]), "maps": maps}

    have = check_alike(script)
    assert have["side by side"].shape == (48, 3 * 48, 3)


def test_a_picture_of_concepts_with_their_classes() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    image = pytest.importorskip("PIL.Image")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=6, hidden_sizes=[6, 8], depths=[1, 1], layer_type="basic", num_labels=3
    )
    network = transformers.ResNetForImageClassification(config).eval()
    photograph = image.fromarray(np.uint8(PICTURES[0].permute(1, 2, 0).numpy() * 255))
    module = ours.feature_factorization.deep_feature_factorization
    drawn = module.run_dff_on_image(
        model=network, target_layer=network.resnet.encoder.stages[-1], classifier=network.classifier,
        img_pil=photograph, img_tensor=PICTURES[0], n_components=3, top_k=2,
    )  # fmt: skip
    assert drawn.shape == (48, 3 * 48, 3) and drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn[:, :48], np.asarray(photograph))


def test_metrics_of_one_map() -> None:
    network = seeded(Pooled())

    def script(package: Any) -> Arrays:
        model = copy.deepcopy(network)
        targets = [package.utils.model_targets.ClassifierOutputTarget(1)]
        metric = [package.utils.model_targets.ClassifierOutputSoftmaxTarget(1)]
        x = PICTURES[:1]
        with package.GradCAM(model=model, target_layers=[model.block]) as cam:
            maps = cam(input_tensor=x, targets=targets)
        multiplied = package.metrics.cam_mult_image
        scores, seen = multiplied.CamMultImageConfidenceChange()(x, maps, metric, model, return_visualization=True)
        return {
            "change": scores,
            "seen": package.utils.image.deprocess_image(seen[0].detach().numpy()),
            "drop": 1 + multiplied.DropInConfidence()(x, maps, metric, model),
            "increase": 1 + multiplied.IncreaseInConfidence()(x, maps, metric, model),
        }

    check_alike(script)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # theirs
def test_road_of_one_map_but_for_its_noise() -> None:
    network, x = seeded(Pooled()), PICTURES[:1]
    maps = np.linspace(0, 1, 48 * 48, dtype=np.float32).reshape(1, 48, 48)

    def script(package: Any) -> Arrays:
        torch.manual_seed(0)
        metric = [package.utils.model_targets.ClassifierOutputSoftmaxTarget(1)]
        road, model, percentiles = package.metrics.road, copy.deepcopy(network), [20, 40, 60, 80]
        classes = (road.ROADMostRelevantFirstAverage, road.ROADLeastRelevantFirstAverage, road.ROADCombined)
        return {one.__name__: one(percentiles=percentiles)(x.clone(), maps, metric, model) for one in classes}

    want, have = both(script)
    for name in want:  # theirs draws other noise in every call
        assert abs(float(want[name][0]) - float(have[name][0])) <= 0.02 * abs(float(want[name][0])) + 1e-4, name


def test_guided_backpropagation_under_a_mask() -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    network = seeded(Pooled())

    def script(package: Any) -> Arrays:
        model = copy.deepcopy(network)
        guided = package.GuidedBackpropReLUModel(model=model, device="cpu")(PICTURES[:1], target_category=1)
        with package.GradCAM(model=model, target_layers=[model.block]) as cam:
            mask = cam(PICTURES[:1], [package.utils.model_targets.ClassifierOutputTarget(1)])[0, :]
        deprocess = package.utils.image.deprocess_image
        return {
            "guided": guided,
            "alone": deprocess(guided),
            "masked": deprocess(cv2.merge([mask, mask, mask]) * guided),
        }

    check_alike(script)

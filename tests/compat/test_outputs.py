"""Targets of every kind of output against the real package (classes, pixels, boxes, embeddings), and concepts."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from seewhy.cam.scores.measures import box_iou
from seewhy.compat import pytorch_grad_cam as ours
from seewhy.compat.pytorch_grad_cam.feature_factorization import deep_feature_factorization as factorization
from seewhy.compat.pytorch_grad_cam.utils import image, model_targets, reshape_transforms
from seewhy.errors import OptionError
from tests.compat.peers import check_equal, maps_of, theirs
from tests.models import Pooled, images, seeded

their_targets = theirs.utils.model_targets


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("ClassifierOutputTarget", (2,)),
        ("ClassifierOutputTarget", (-1,)),
        ("ClassifierOutputTarget", (np.int64(1),)),
        ("ClassifierOutputSoftmaxTarget", (2,)),
        ("ClassifierOutputReST", (2,)),
        ("SoftmaxOutputTarget", ()),
        ("RawScoresOutputTarget", ()),
        ("FinerWeightedTarget", (0, [1, 3], 0.7)),
    ],
)
@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_targets_of_classes(name: str, made: tuple[Any, ...], shape: tuple[int, ...]) -> None:
    output = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if name == "ClassifierOutputReST" and len(shape) == 2:
        made = (2,)
    have, want = (getattr(module, name)(*made)(output) for module in (model_targets, their_targets))
    torch.testing.assert_close(have, want)


@pytest.mark.parametrize("category", [0, 1])
def test_the_target_of_one_output(category: int) -> None:
    output = torch.randn(1)
    want = their_targets.BinaryClassifierOutputTarget(category)(output)
    assert torch.equal(model_targets.BinaryClassifierOutputTarget(category)(output), want)


@pytest.mark.parametrize("category", [5, -6, 1.5, "dog", None])
def test_a_class_that_there_is_not(category: Any) -> None:
    with pytest.raises(OptionError, match=r"There is no class .*: the network gives 5 outputs \(0 to 4\)"):
        model_targets.ClassifierOutputTarget(category)(torch.zeros(5))


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(6, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def test_segmentation() -> None:
    model, x = seeded(Dense()), images(2, 16)
    mask = np.zeros((16, 16), np.float32)
    mask[4:9, 3:12] = 1
    for name in ("GradCAM", "SegEigenCAM"):
        check_equal(name, model, x, ["features"], [model_targets.SemanticSegmentationTarget(2, mask)] * 2)
    with pytest.raises(OptionError, match=r"The mask has shape \(8, 8\), and the output for one image \(4, 16, 16\)"):
        ours.GradCAM(model, [model.features])(x, model_targets.SemanticSegmentationTarget(2, mask[:8, :8]))


class Pyramid(nn.Module):
    """Maps of several sizes in a dict, as torchvision's backbones give them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 3, stride=2, padding=1), nn.Conv2d(5, 7, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        first = self.first(x).relu()
        second = self.second(first).relu()
        return OrderedDict([("0", first), ("1", second), ("pool", nn.functional.max_pool2d(second, 2))])


class Boxes(nn.Module):
    """A detector with two boxes in every image, whose scores come from all of its pyramid."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = Pyramid(), nn.Linear(19, 2)

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        pooled = torch.cat([value.mean((2, 3)) for value in self.backbone(x).values()], dim=1)
        boxes = torch.tensor([[0.0, 0.0, 8.0, 8.0], [4.0, 4.0, 12.0, 12.0]])
        scores = self.head(pooled).sigmoid()
        return [{"boxes": boxes, "labels": torch.tensor([1, 2]), "scores": score} for score in scores]


def test_detection() -> None:
    model, x = seeded(Boxes()), images(2, 16)
    wanted = [model_targets.FasterRCNNBoxScoreTarget([2], np.array([[4.0, 4.0, 12.0, 11.0]]))] * 2
    options: dict[str, Any] = {"reshape_transform": reshape_transforms.fasterrcnn_reshape_transform}
    have = ours.AblationCAM(model, [model.backbone], ablation_layer=ours.AblationLayerFasterRCNN(), **options)(
        x, wanted
    )
    falls = torch.zeros(2, 19)
    with torch.no_grad():
        plain = torch.stack([one["scores"][1] for one in model(x)])
        for channel in range(19):
            place, level = (channel, "0") if channel < 5 else (channel - 5, "1")
            place, level = (place, level) if channel < 12 else (channel - 12, "pool")
            handle = model.backbone.register_forward_hook(
                lambda m, a, out, p=place, at=level: OrderedDict(
                    (key, value * (torch.arange(value.shape[1]) != p)[:, None, None] if key == at else value)
                    for key, value in out.items()
                )
            )
            falls[:, channel] = plain - torch.stack([one["scores"][1] for one in model(x)])
            handle.remove()
        features = reshape_transforms.fasterrcnn_reshape_transform(model.backbone(x))
    raw = (falls[:, :, None, None] * features).sum(1).clamp(min=0).numpy()
    np.testing.assert_allclose(have, image.scale_cam_image(image.scale_cam_image(raw, (16, 16))), atol=1e-4)
    assert have.max() > 0.9 and not model.backbone._forward_hooks
    shown = maps_of(ours, "EigenCAM", model, x, ["backbone"], None, options)
    assert shown.shape == (2, 16, 16)


def test_the_target_of_boxes() -> None:
    output = {
        "boxes": torch.tensor([[0.0, 0.0, 8.0, 8.0], [4.0, 4.0, 12.0, 12.0]]),
        "labels": torch.tensor([1, 2]),
        "scores": torch.tensor([0.9, 0.4]),
    }
    boxes = np.array([[0.0, 0.0, 8.0, 7.0], [5.0, 5.0, 12.0, 12.0], [4.0, 4.0, 12.0, 12.0], [50.0, 50.0, 60.0, 60.0]])
    have = model_targets.FasterRCNNBoxScoreTarget([1, 2, 1, 1], boxes)(output)
    overlaps = box_iou(torch.tensor(boxes[:2], dtype=torch.float32), output["boxes"]).amax(1)
    torch.testing.assert_close(have, (overlaps.sum() + 1.3)[None])
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0), "scores": torch.zeros(0)}
    assert float(model_targets.FasterRCNNBoxScoreTarget([1], boxes[:1])(nothing)) == 0


class SimilarityToConcept:
    """As the embeddings notebook writes it."""

    def __init__(self, features: Tensor) -> None:
        self.features = features

    def __call__(self, model_output: Tensor) -> Tensor:
        return torch.nn.CosineSimilarity(dim=0)(model_output, self.features)


def test_embeddings_and_any_callable() -> None:
    model, x = seeded(Pooled(outputs=16)), images(3)
    target = SimilarityToConcept(model(x[:1])[0].detach())
    check_equal("GradCAM", model, x, ["stem", "block"], [target] * 3)
    check_equal("GradCAM", model, x, ["block"], [lambda output: output[3] - output[5]] * 3)


def test_outputs_of_a_hugging_face_kind() -> None:
    model, x = seeded(Pooled()), images(2)
    wrapped = nn.Module()
    wrapped.inner = model
    wrapped.forward = lambda pixels: SimpleNamespace(loss=None, logits=model(pixels))  # type: ignore
    want = ours.GradCAM(model, [model.block])(x)
    np.testing.assert_array_equal(ours.GradCAM(wrapped, [model.block])(x), want)


# Concepts; scikit-learn says where it stops before it has settled.


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
def test_q20_concepts_are_theirs_and_the_array_stays() -> None:
    activations = np.random.default_rng(0).random((2, 9, 6, 5)).astype(np.float32)
    activations[0, 0, 0, 0] = np.nan
    before = activations.copy()
    concepts, explanations = factorization.dff(activations, 3)
    np.testing.assert_array_equal(activations, before)
    wanted, shown = theirs.feature_factorization.deep_feature_factorization.dff(activations.copy(), 3)
    np.testing.assert_allclose(concepts, wanted, atol=1e-3)
    np.testing.assert_allclose(explanations, shown, atol=1e-3)


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
def test_concepts_of_a_network() -> None:
    model, x = seeded(Pooled()), images(2)
    with ours.DeepFeatureFactorization(model, model.block, computation_on_concepts=model.fc) as found:
        concepts, maps, outputs = found(x, 3)
    their = theirs.DeepFeatureFactorization(model, model.block, computation_on_concepts=model.fc)(x, 3)
    np.testing.assert_allclose(concepts, their[0], atol=1e-3)
    np.testing.assert_allclose(np.stack(maps), np.stack(their[1]), atol=1e-3)
    np.testing.assert_allclose(outputs, their[2], atol=1e-3)
    model.config = SimpleNamespace(id2label={0: "tabby, tabby cat", 1: "dog", 2: "horse"})
    photograph = Image.fromarray((x[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8))
    shown = ours.run_dff_on_image(model, model.block, model.fc, photograph, x[0], n_components=3, top_k=2)
    assert shown.shape == (32, 96, 3) and shown.dtype == np.uint8


def test_concepts_drawn_as_theirs() -> None:
    picture = np.random.default_rng(0).random((20, 24, 3)).astype(np.float32)
    maps = np.random.default_rng(1).random((2, 20, 24)).astype(np.float32)
    before, colors = maps.copy(), [np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.5, 1.0])]
    have = image.show_factorization_on_image(picture, maps, colors=colors, image_weight=0.3)
    np.testing.assert_array_equal(maps, before)
    want = theirs.utils.image.show_factorization_on_image(picture, maps.copy(), colors=colors, image_weight=0.3)
    assert np.abs(np.int32(have) - np.int32(want)).max() <= 3
    scores, labels = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]]), {0: "a,b,c,d", 1: "e", 2: "f"}
    assert image.create_labels_legend(scores, labels, 2) == theirs.utils.image.create_labels_legend(scores, labels, 2)

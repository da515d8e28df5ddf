"""What a model's own output means: every shape and container that models give, and the messages for the others."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seewhy.cam.scores.outputs import Output, guess_task, predicted, probabilities, read_output, two_sided
from seewhy.errors import ModelError, OptionError
from seewhy.records import Task, find_task

Z = torch.tensor([[1.0, 4.0, 2.5], [3.0, -1.0, 2.0]])
DENSE = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
Named = namedtuple("Named", ["logits", "aux"])
PLAIN = nn.Identity()


class Bag:
    """An output with attributes alone."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


def detection(scores: list[float], labels: list[int] | None = None) -> dict[str, Tensor]:
    places = torch.arange(len(scores), dtype=torch.float32)[:, None]
    return {
        "boxes": torch.cat((places, places, places + 2, places + 2), dim=1),
        "labels": torch.tensor(labels or [1] * len(scores)),
        "scores": torch.tensor(scores),
    }


@pytest.mark.parametrize(
    "raw",
    [
        Z,
        (Z, DENSE),
        [Z],
        {"logits": Z},
        {"out": Z, "aux": DENSE},
        Named(Z, None),
        Bag(logits=Z),
        ({"logits": Z},),
        Z[:, :, None, None],
    ],
    ids=["tensor", "tuple", "list", "dict", "out", "named-tuple", "attribute", "dict-in-tuple", "n-k-1-1"],
)
@pytest.mark.parametrize("task", ["classification", "multi-label", "regression"])
def test_logits_are_found_wherever_they_are(raw: Any, task: Task) -> None:
    output = read_output(raw, 2, task)
    assert len(output) == 2
    assert torch.equal(output.logits, Z) and output.main is output.logits


def test_one_column_may_have_no_axis_of_its_own_and_half_precision_becomes_float32() -> None:
    assert read_output(torch.ones(4), 4).logits.shape == (4, 1)
    assert read_output(Z.bfloat16(), 2).logits.dtype == torch.float32
    assert read_output(Z.double(), 2).logits.dtype == torch.float64


@pytest.mark.parametrize(
    "raw",
    [
        Z,
        Bag(image_embeds=Z, pooler_output=DENSE),
        Bag(pooler_output=Z, last_hidden_state=DENSE),
        {"pooler_output": None, "last_hidden_state": torch.stack((Z - 1, Z + 1), dim=1)},
        Z[:, :, None, None].expand(-1, -1, 7, 7),
        Z[:, None, None, :].expand(-1, 7, 7, -1),
        {"pooler_output": Z[:, :, None, None]},
    ],
    ids=["plain", "clip", "pooler", "tokens", "n-c-h-w", "n-h-w-c", "pooled-map"],
)
def test_embeddings_are_one_vector_for_each_image(raw: Any) -> None:
    torch.testing.assert_close(read_output(raw, 2, "embedding").tensor, Z)


def test_a_feature_map_that_is_not_square_has_more_channels_than_rows() -> None:
    first = torch.randn(2, 24, 3, 9, generator=torch.Generator().manual_seed(0))
    for raw in (first, first.permute(0, 2, 3, 1)):
        torch.testing.assert_close(read_output(raw, 2, "embedding").tensor, first.mean((2, 3)))


def test_a_segmentation_is_kept_as_the_share_of_pixels_of_each_class() -> None:
    output = read_output({"out": DENSE}, 2, "segmentation")
    assert torch.equal(output.tensor, DENSE)
    decided = DENSE.argmax(dim=1)
    for image, shares in enumerate(output.logits):
        assert shares.tolist() == pytest.approx([float((decided[image] == k).float().mean()) for k in range(3)])
    torch.testing.assert_close(output.logits.sum(1), torch.ones(2))
    assert predicted(output.logits, "segmentation").tolist() == [one.flatten().mode().values for one in decided]


def test_a_segmentation_of_one_map_has_two_classes_and_nan_is_not_hidden() -> None:
    single = torch.tensor([[[[1.0, -1.0], [2.0, 3.0]]]])
    assert read_output(single, 1, "segmentation").logits.tolist() == [[0.25, 0.75]]
    broken = DENSE.clone()
    broken[1, 2, 0, 0] = torch.nan
    shares = read_output(broken, 2, "segmentation").logits
    assert shares[0].isfinite().all() and shares[1].isnan().all()


def test_a_detection_is_kept_as_the_sum_of_its_scores() -> None:
    raw = [detection([0.9, 0.5]), detection([])]
    output = read_output(raw, 2, "detection")
    assert output.logits.tolist() == [[pytest.approx(1.4)], [0]]
    assert len(output.detections) == 2 and set(output.detections[0]) == {"boxes", "labels", "scores"}
    assert read_output(({}, raw), 2, "detection").logits.shape == (2, 1)  # losses and detections


def test_taking_rows() -> None:
    rows = torch.tensor([1, 1, 0])
    z = Z.clone().requires_grad_()
    taken = read_output(z, 2).take(rows)
    assert torch.equal(taken.tensor, Z[rows]) and taken.differentiable
    found = read_output([detection([0.9]), detection([0.1])], 2, "detection")
    assert found.take(rows).logits.tolist() == found.logits[rows].tolist()
    assert [float(one["scores"].sum()) for one in found.take(rows).detections] == pytest.approx([0.1, 0.1, 0.9])
    assert not found.differentiable
    with pytest.raises(TypeError, match="list of dicts"):
        found.tensor
    with pytest.raises(TypeError, match="is a tensor"):
        read_output(Z, 2).detections


@pytest.mark.parametrize(
    ("raw", "task", "message"),
    [
        ("text", "classification", r"returned str, where logits of shape \(2, K\) are needed for the task 'classif"),
        ({"x": Z}, "classification", "returned dict with x, where"),
        ({}, "classification", "an empty dict"),
        (Z.argmax(1), "classification", "returned int64 numbers, where"),
        (Z[:1], "classification", r"returned shape \(1, 3\) for 2 images, where"),
        (torch.zeros(2, 0), "classification", r"shape \(2, 0\) for 2 images"),
        (torch.tensor(1.0), "classification", r"shape \(\) for 2 images"),
        (DENSE, "classification", r"looks like a segmentation:  --task segmentation  \(task=\"segmentation\""),
        (torch.zeros(2, 7, 3), "classification", "tokens of a model without a head:  --task embedding"),
        (Bag(last_hidden_state=torch.zeros(2, 7, 3)), "classification", "returned Bag.*\n.*--task embedding"),
        ([detection([0.5]), detection([])], "classification", "looks like a detection:  --task detection"),
        (Z, "segmentation", r"logits of shape \(2, K, H, W\) are needed.*\n.*--task classification"),
        (torch.zeros(2, 3, 4, 5, 6), "embedding", r"feature map \(2, C, H, W\) is needed"),
        (Z, "detection", "returned Tensor, where a list of 2 dicts with boxes, labels and scores is needed"),
        ([detection([0.5])], "detection", "returned 1 dicts for 2 images"),
        ([{"boxes": Z}], "detection", "returned list, where"),
    ],
)
def test_outputs_that_do_not_fit_say_what_does(raw: Any, task: Task, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        read_output(raw, 2, task)
    assert "Wrap it in a module whose forward returns" in str(caught.value) and caught.value.slug == "logits-shape"


@pytest.mark.parametrize(
    ("raw", "task"),
    [
        (Z, "classification"),
        (torch.ones(2), "classification"),
        (Z[:, :, None, None], "classification"),
        (DENSE, "segmentation"),
        ({"out": DENSE, "aux": DENSE}, "segmentation"),
        ([detection([0.5]), detection([])], "detection"),
        (Bag(last_hidden_state=torch.zeros(2, 7, 3), pooler_output=None), "embedding"),
        (torch.zeros(2, 7, 3), "embedding"),
        ([], "classification"),
        ("text", "classification"),
    ],
)
def test_the_task_is_guessed_from_the_output(raw: Any, task: Task) -> None:
    assert guess_task(raw, PLAIN) == task


def test_the_task_is_guessed_from_what_the_model_says() -> None:
    model = nn.Identity()
    model.num_classes = 0
    assert guess_task(Z, model) == guess_task(DENSE, model) == "embedding"
    for told, task in (("multi_label_classification", "multi-label"), ("regression", "regression"), (None, None)):
        model = nn.Identity()
        model.config = Bag(problem_type=told)
        assert guess_task({"logits": Z}, model) == (task or "classification")


@pytest.mark.parametrize("pooling", [True, False], ids=["pooler", "no-pooler"])
def test_hugging_face_models_with_and_without_a_head(pooling: bool) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=16, patch_size=8
    )
    torch.manual_seed(0)
    images = torch.rand(2, 3, 16, 16)
    backbone = transformers.ViTModel(config, add_pooling_layer=pooling).eval()
    raw = backbone(images)
    assert guess_task(raw, backbone) == "embedding"
    expected = raw.pooler_output if pooling else raw.last_hidden_state.mean(1)
    assert torch.equal(read_output(raw, 2, "embedding").tensor, expected)
    whole = transformers.ViTForImageClassification(config).eval()
    raw = whole(images, output_hidden_states=True)
    assert guess_task(raw, whole) == "classification"
    assert torch.equal(read_output(raw, 2).logits, raw.logits)
    assert torch.equal(read_output(raw.to_tuple(), 2).logits, raw.logits)
    with pytest.raises(ModelError, match="--task embedding"):
        read_output(backbone(images), 2)


@pytest.mark.parametrize("pool", ["avg", ""])
def test_timm_models_without_a_head_are_embeddings(pool: str) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_resnet", num_classes=0, global_pool=pool).eval()
    raw = model(torch.zeros(2, 3, 64, 64))
    assert guess_task(raw, model) == "embedding"
    expected = raw if pool else raw.mean((2, 3))
    torch.testing.assert_close(read_output(raw, 2, "embedding").tensor, expected)


def test_torchvision_segmentations() -> None:
    torchvision = pytest.importorskip("torchvision")
    model = torchvision.models.segmentation.lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=4
    )
    raw = model.eval()(torch.zeros(1, 3, 32, 32))
    assert guess_task(raw, model) == "segmentation"
    assert read_output(raw, 1, "segmentation").tensor.shape == (1, 4, 32, 32)


def test_probabilities_and_decisions_by_task() -> None:
    torch.testing.assert_close(probabilities(Z), Z.softmax(1))
    multi = probabilities(Z, "multi-label")
    assert multi is not None
    torch.testing.assert_close(multi, Z.sigmoid())
    one = Z[:, :1]
    for task in ("classification", "multi-label"):
        both = probabilities(one, task)
        assert both is not None
        torch.testing.assert_close(both, torch.cat((1 - one.sigmoid(), one.sigmoid()), 1))
    for task in ("regression", "embedding", "detection"):
        assert probabilities(Z, task) is None and predicted(Z, task) is None
    assert probabilities(Z, "segmentation") is None
    assert predicted(Z).tolist() == [1, 0] and predicted(Z, "multi-label").tolist() == [1, 0]
    assert predicted(torch.tensor([[0.5], [-0.5]])).tolist() == [1, 0]
    assert two_sided(DENSE[:, :1]).shape == (2, 2, 4, 5)


def test_unknown_tasks_name_the_nearest() -> None:
    assert find_task("multi-label") == "multi-label"
    with pytest.raises(OptionError, match=r"no task 'multilabel'\.  Nearest: multi-label\.\n  Tasks: classification"):
        find_task("multilabel")


def test_an_output_is_its_main_tensor_and_one_row_for_each_image() -> None:
    assert len(Output(DENSE, Z)) == 2


@pytest.mark.parametrize("shape", [(4, 3, 1), (4, 1, 3), (4, 3, 1, 1)])
def test_logits_with_an_axis_of_one_are_logits(shape: tuple[int, ...]) -> None:
    raw = torch.arange(12.0).reshape(shape)
    assert guess_task(raw, nn.Identity()) == "classification"
    assert torch.equal(read_output(raw, 4).logits, torch.arange(12.0).reshape(4, 3))

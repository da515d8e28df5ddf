"""What is explained beyond one logit: Finer-CAM's score, and the scores of models that are no classifiers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from seewhy.cam.scores.measures import box_iou
from seewhy.cam.scores.outputs import Task, read_output
from seewhy.cam.scores.targets import as_finer, boxes, find_score, find_scores, finer, pixels, similarity
from seewhy.errors import OptionError

GENERATOR = torch.Generator().manual_seed(0)
MANY = torch.randn(6, 5, generator=GENERATOR, dtype=torch.float64) * 2
FIVE = ("ant", "bee", "cat", "dog", "hen")
DENSE = torch.randn(3, 4, 6, 5, generator=GENERATOR)
EMBEDDING = torch.randn(4, 7, generator=GENERATOR)


# Finer-CAM.


def test_finer_equals_the_peers_target_where_the_network_is_not_too_sure() -> None:
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    z = (MANY / 4).requires_grad_()
    for alpha in (1.0, 0.6):
        score = finer(alpha=alpha)
        (ours,) = torch.autograd.grad((values := find_score(score, FIVE)(z)).sum(), z)
        for i, row in enumerate(z):
            near = (row - row.max()).abs().argsort().tolist()
            peer = targets.FinerWeightedTarget(near[0], near[1:4], alpha)(row)
            torch.testing.assert_close(values[i], peer, rtol=1e-6, atol=1e-8)
            torch.testing.assert_close(ours[i], torch.autograd.grad(peer, z)[0][i], rtol=1e-6, atol=1e-8)


def test_finer_of_a_sure_network_does_not_vanish() -> None:
    sure = torch.tensor([[60.0, 2.0, 1.0, 0.0]])
    weights = torch.tensor([2.0, 1.0, 0.0]).softmax(0)
    expected = 60 - float((weights * torch.tensor([2.0, 1.0, 0.0])).sum())
    assert float(find_score("finer", "abcd")(sure)) == pytest.approx(expected)  # the peer's is 0 here: w + 1e-9


def test_finer_of_two_classes_is_the_margin() -> None:
    names = ("fake", "real")
    for z in (MANY[:, :2], MANY[:, :1]):
        for who in ("", ":fake", ":real"):
            torch.testing.assert_close(find_score(f"finer{who}", names)(z), find_score(f"margin{who}", names)(z))


def test_finer_rivals_are_fixed_once_and_are_never_the_class_itself() -> None:
    z = torch.tensor([[1.0, 1.0, 1.0, -50.0, -60.0]])  # equal logits: argsort alone could give the class itself
    fixed = find_score(finer(1, rivals=2), FIVE).fix(read_output(z, 1))
    changed = torch.tensor([[3.0, 7.0, 3.0, 7.0, 7.0]])  # dog and hen are nearest now, but ant and cat are compared
    assert fixed(changed).tolist() == [4.0]


def test_a_method_can_make_any_class_score_finer() -> None:
    plain = find_score(["dog", 0, "predicted", "label", "ant", 3], FIVE)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    alone = [find_score(f"finer:{one}", FIVE) for one in ("dog", "ant", "predicted", "label", "ant", "dog")]
    values = torch.cat([s(MANY[i : i + 1], labels[i : i + 1]) for i, s in enumerate(alone)])
    assert torch.equal(as_finer(plain)(MANY, labels), values)
    assert as_finer(find_score("dog", FIVE)).name == find_score("finer:dog", FIVE).name == "finer:dog"
    assert as_finer(find_score("predicted", FIVE)).name == find_score("finer", FIVE).name == "finer"
    assert as_finer(find_score("dog", FIVE), alpha=0.6).asked != as_finer(find_score("dog", FIVE)).asked
    for score in (find_score("margin", FIVE), find_score("dog", FIVE, "multi-label"), find_score(sum, FIVE)):
        with pytest.raises(OptionError, match="Finer-CAM compares one class with those most like it"):
            as_finer(score)
    with pytest.raises(OptionError, match="rivals is 0"):
        as_finer(find_score("dog", FIVE), rivals=0)


# Other tasks.


def test_a_regression_explains_its_outputs() -> None:
    assert torch.equal(find_score("predicted", ("age",), "regression")(MANY[:, :1]), MANY[:, 0])
    assert find_score("predicted", ("age",), "regression").name == "output:age"
    assert torch.equal(find_score("predicted", (), "regression")(MANY[:, 0]), MANY[:, 0])
    names = ("age", "weight")
    for target in ("output:1", "output:weight", "weight", 1):
        score = find_score(target, names, "regression")
        assert score.name == "output:weight" and torch.equal(score(MANY[:, :2]), MANY[:, 1])
    with pytest.raises(
        OptionError, match=r"gives 2 outputs, so one must be named: age, weight\.\n.*--target output:age"
    ):
        find_score("predicted", names, "regression")
    with pytest.raises(OptionError, match="gives 5 outputs, so one must be named"):
        find_score("predicted", (), "regression")(MANY)
    with pytest.raises(OptionError, match=r"no output 'wieght'\.  Nearest: weight"):
        find_score("output:wieght", names, "regression")


def test_an_embedding_explains_its_similarity_to_itself_as_it_was() -> None:
    score = find_score("predicted", (), "embedding")
    assert score.name == "embedding" == find_score("embedding", (), "embedding").name
    torch.testing.assert_close(score(EMBEDDING), EMBEDDING.norm(dim=1))
    fixed = score.fix(read_output(EMBEDDING, 4, "embedding"))
    rows = torch.tensor([2, 0, 2])
    changed = torch.randn(3, 7, generator=GENERATOR)
    unit = EMBEDDING / EMBEDDING.norm(dim=1, keepdim=True)
    torch.testing.assert_close(fixed(changed, rows), (changed * unit[rows]).sum(1))
    e = EMBEDDING.clone().requires_grad_()
    torch.testing.assert_close(torch.autograd.grad(score(e).sum(), e)[0], unit)  # the unit vector is held fixed
    assert torch.equal(find_score("output:3", (), "embedding")(EMBEDDING), EMBEDDING[:, 3])
    with pytest.raises(OptionError, match=r"no output 9: the network gives 7 \(0 to 6\)"):
        find_score("output:9", (), "embedding")(EMBEDDING)


def test_similarity_to_vectors_is_the_mean_cosine() -> None:
    wanted = torch.randn(3, 7, generator=GENERATOR)
    score = find_score(similarity(wanted), (), "embedding")
    expected = torch.nn.functional.cosine_similarity(EMBEDDING[:, None], wanted[None], dim=2).mean(1)
    torch.testing.assert_close(score(EMBEDDING), expected)
    torch.testing.assert_close(
        find_score(similarity(EMBEDDING[1].numpy()), (), "embedding")(EMBEDDING)[1], torch.tensor(1.0)
    )
    each = find_score([similarity(one) for one in EMBEDDING], (), "embedding")
    torch.testing.assert_close(each(EMBEDDING), torch.ones(4))
    with pytest.raises(OptionError, match="vectors of 3 numbers, but the embedding has 7"):
        find_score(similarity([1.0, 2.0, 3.0]), (), "embedding")(EMBEDDING)
    with pytest.raises(OptionError, match="finite numbers"):
        similarity([float("nan")])


def test_a_segmentation_explains_a_class_over_the_pixels_predicted_as_it() -> None:
    names = ("sky", "tree", "cow", "road")
    decided = DENSE.argmax(1)
    for k, name in enumerate(names):
        score = find_score(name, names, "segmentation")
        expected = torch.stack([DENSE[i, k][decided[i] == k].mean() for i in range(3)])
        torch.testing.assert_close(score(DENSE), expected)
        assert find_score(f"pixels:{name}", names, "segmentation").name == name
    most = [int(one.flatten().bincount(minlength=4).argmax()) for one in decided]
    fixed = find_score("predicted", names, "segmentation").fix(read_output(DENSE, 3, "segmentation"))
    expected = torch.stack([-DENSE[i, k][decided[i] == k].mean() for i, k in enumerate(most)])
    torch.testing.assert_close(fixed(-DENSE), expected)  # the same pixels and class, though all is predicted otherwise


def test_a_class_that_no_pixel_is_predicted_as_is_zero_and_one_map_has_two_classes() -> None:
    dense = DENSE.clone()
    dense[:, 2] = -100
    dense.requires_grad_()
    values = find_score("2", (), "segmentation")(dense)
    assert values.tolist() == [0, 0, 0] and not torch.autograd.grad(values.sum(), dense)[0].any()
    one, names = DENSE[:, :1], ("ground", "thing")
    thing, ground = (find_score(name, names, "segmentation")(one) for name in ("thing", "ground"))
    torch.testing.assert_close(thing, torch.stack([z[z > 0].mean() for z in one]))
    torch.testing.assert_close(ground, torch.stack([-z[z <= 0].mean() for z in one]))


def test_a_users_mask_equals_the_peers_target_up_to_its_size() -> None:
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    masks = (torch.rand(3, 6, 5, generator=GENERATOR) > 0.5).float()
    score = find_score(pixels(masks, "cow"), ("sky", "tree", "cow", "road"), "segmentation")
    assert score.name == "mask:cow" and score.count == 3
    for i, value in enumerate(score(DENSE)):
        peer = targets.SemanticSegmentationTarget(2, masks[i].numpy())(DENSE[i])
        torch.testing.assert_close(value * masks[i].sum(), peer)
    places = torch.tensor([2, 0])
    fixed = score.fix(read_output(DENSE[places], 2, "segmentation"), places=places)
    assert torch.equal(fixed(DENSE[places]), score(DENSE)[places])


def test_a_mask_of_the_images_size_is_brought_to_the_outputs() -> None:
    small = (torch.rand(6, 5, generator=GENERATOR) > 0.5).float()
    large = small.repeat_interleave(4, 0).repeat_interleave(4, 1)
    scores = [find_score(pixels(one, 1), (), "segmentation") for one in (small, large)]
    torch.testing.assert_close(scores[0](DENSE), scores[1](DENSE))
    with pytest.raises(OptionError, match=r"mask \(H, W\) or \(N, H, W\) of numbers from 0 to 1"):
        pixels(small * 255)
    with pytest.raises(OptionError, match="2 targets for 3 images"):
        find_scores(pixels(torch.ones(2, 6, 5), 1), (), "segmentation", 3)


def detections() -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(3)
    found = []
    for count in (6, 4, 0):
        low = torch.rand(count, 2, generator=generator) * 10
        corners = torch.cat((low, low + 2 + torch.rand(count, 2, generator=generator) * 5), dim=1).requires_grad_()
        scores = torch.rand(count, generator=generator).requires_grad_()
        found.append({"boxes": corners, "labels": torch.arange(count) % 2 + 1, "scores": scores})
    return found


def test_a_detection_explains_the_scores_of_its_boxes() -> None:
    raw = detections()
    names = ("nothing", "cat", "dog")
    for target in ("predicted", "boxes"):
        assert find_score(target, names, "detection").name == "boxes"
        expected = torch.stack([one["scores"].sum() for one in raw])
        assert torch.equal(find_score(target, names, "detection")(raw), expected)
    expected = torch.stack([one["scores"][one["labels"] == 2].sum() for one in raw])
    torch.testing.assert_close(find_score("dog", names, "detection")(raw), expected)


def test_wanted_boxes_equal_the_peers_target() -> None:
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    torchvision = pytest.importorskip("torchvision")
    raw = detections()
    wanted = raw[0]["boxes"].detach()[:3] + torch.tensor([0.3, -0.2, 0.1, 0.4])
    labels = [1, 2, 1]
    score = find_score(boxes(wanted, labels), (), "detection")
    values = score(raw)
    assert values[0] > 2 and values[2] == 0  # boxes that are found count overlap and score
    for i, one in enumerate(raw):
        peer = targets.FasterRCNNBoxScoreTarget(labels, wanted, 0.5)(one).squeeze()
        torch.testing.assert_close(values[i], peer)
    assert torch.autograd.grad(values.sum(), raw[0]["scores"])[0][:3].tolist() == [1, 1, 1]
    torch.testing.assert_close(box_iou(wanted, raw[1]["boxes"]), torchvision.ops.box_iou(wanted, raw[1]["boxes"]))


def test_a_better_box_of_another_label_does_not_hide_the_wanted_one() -> None:
    corners = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9]])
    raw = [{"boxes": corners, "labels": torch.tensor([2, 1]), "scores": torch.tensor([0.9, 0.5])}]
    assert find_score(boxes(corners[:1], ["cat"]), ("none", "cat", "dog"), "detection")(raw).tolist() == [
        pytest.approx(0.9 + 0.5)
    ]
    with pytest.raises(OptionError, match=r"boxes \(M, 4\) and a label for each, and got \(2, 4\) with 1 labels"):
        boxes(corners, [1])


def test_any_callable_of_the_models_output() -> None:
    score = find_score(lambda dense: dense[:, 0].amax((1, 2)), (), "segmentation")
    assert torch.equal(score(DENSE), DENSE[:, 0].amax((1, 2)))
    count = find_score(lambda found: torch.stack([one["boxes"].sum() for one in found]), (), "detection")
    assert count(detections()).shape == (3,)


@pytest.mark.parametrize(
    ("target", "task", "message"),
    [
        ("margin", "multi-label", "'margin' does not apply to the task 'multi-label'.\n  Targets: CLASS, predicted"),
        ("finer:ant", "multi-label", "does not apply to the task 'multi-label'"),
        ("margin", "embedding", "does not apply to the task 'embedding'.\n  Targets: embedding"),
        ("label", "regression", "'label' does not apply to the task 'regression'"),
        ("pixels:ant", "classification", "does not apply to the task 'classification'"),
        ("embedding", "classification", "does not apply"),
        ("boxes", "segmentation", "does not apply"),
        ("contrast:ant:bee", "segmentation", "does not apply"),
        (similarity([1.0, 0.0]), "classification", "'similarity' does not apply"),
        (boxes(torch.ones(1, 4), [1]), "embedding", "'wanted-boxes' does not apply"),
        (find_score("ant", FIVE), "segmentation", "'ant' does not apply"),
    ],
)
def test_targets_of_another_task_name_this_ones(target: Any, task: Task, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        find_score(target, FIVE, task)
    assert caught.value.slug == "target-task"

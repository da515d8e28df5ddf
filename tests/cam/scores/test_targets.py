"""What is explained: each target against its formula, and the messages for targets that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seewhy.cam.scores.outputs import read_output
from seewhy.cam.scores.targets import (
    Score,
    class_index,
    find_score,
    find_scores,
    one_logit_note,
    predicted,
    probabilities,
    two_sided,
)
from seewhy.errors import OptionError

GENERATOR = torch.Generator().manual_seed(0)
MANY = torch.randn(6, 5, generator=GENERATOR, dtype=torch.float64) * 2
FIVE = ("ant", "bee", "cat", "dog", "hen")
LOGITS = torch.tensor([[1.0, 4.0, 2.5], [3.0, -1.0, 2.0]])
CLASSES = ("cat", "dog", "hen")


@pytest.mark.parametrize(
    ("target", "name", "values"),
    [
        ("dog", "dog", [4.0, -1.0]),
        (2, "hen", [2.5, 2.0]),
        ("2", "hen", [2.5, 2.0]),
        ("predicted", "predicted", [4.0, 3.0]),
        ("margin", "margin", [1.5, 1.0]),
        ("margin:cat", "margin:cat", [-3.0, 1.0]),
        ("margin:1", "margin:dog", [1.5, -4.0]),
        ("contrast:dog:hen", "contrast:dog:hen", [1.5, -3.0]),
        ("contrast:2:0", "contrast:hen:cat", [1.5, -1.0]),
        ("output:1", "output:1", [4.0, -1.0]),
    ],
)
def test_targets_by_formula(target: str | int, name: str, values: list[float]) -> None:
    score = find_score(target, CLASSES)
    assert score.name == name
    assert score(LOGITS).tolist() == values


def test_label_takes_each_images_own_class() -> None:
    score = find_score("label", CLASSES)
    assert score.needs_labels
    assert score(LOGITS, torch.tensor([2, 1])).tolist() == [2.5, -1.0]
    with pytest.raises(OptionError, match="the images have no labels"):
        score(LOGITS)
    with pytest.raises(OptionError, match="3 labels for 2 images"):
        score(LOGITS, torch.tensor([0, 1, 2]))
    with pytest.raises(OptionError, match=r"The class 3 was asked for, but the network has 3 \(0 to 2\)"):
        score(LOGITS, torch.tensor([0, 3]))
    assert find_score("margin:label", CLASSES)(LOGITS, torch.tensor([2, 1])).tolist() == [-1.5, -4.0]


def test_a_callable_is_its_own_score() -> None:
    def contrast(z: torch.Tensor) -> torch.Tensor:
        return z[:, 0] - z[:, 2]

    score = find_score(contrast, CLASSES)
    assert score.name == "contrast" and score.code is contrast
    assert score(LOGITS).tolist() == [-1.5, 1.0]


@pytest.mark.parametrize("function", [lambda z: z, lambda z: z.sum(), lambda z: 3.0], ids=["matrix", "scalar", "float"])
def test_a_callable_must_give_one_number_per_image(function: Any) -> None:
    with pytest.raises(OptionError, match=r"where one number per image, shape \(2,\), is needed"):
        find_score(function, CLASSES)(LOGITS)


def test_the_gradient_of_predicted_is_that_of_the_chosen_logit() -> None:
    z = LOGITS.clone().requires_grad_()
    (g,) = torch.autograd.grad(find_score("predicted", CLASSES)(z).sum(), z)
    assert g.tolist() == [[0, 1, 0], [1, 0, 0]]
    (g,) = torch.autograd.grad(find_score("margin", CLASSES)(z).sum(), z)
    assert g.tolist() == [[0, 1, -1], [1, 0, -1]]


def test_one_logit_networks_have_two_classes_and_a_sign() -> None:
    z, names = torch.tensor([[2.0], [-0.5]]), ("fake", "real")
    assert two_sided(z).tolist() == [[-2.0, 2.0], [0.5, -0.5]]
    assert predicted(z).tolist() == [1, 0]
    assert find_score("real", names)(z).tolist() == [2.0, -0.5]
    assert find_score("fake", names)(z).tolist() == [-2.0, 0.5]
    assert find_score("predicted", names)(z).tolist() == [2.0, 0.5]
    assert find_score("margin", names)(z).tolist() == [2.0, 0.5]
    torch.testing.assert_close(probabilities(z)[:, 1], z[:, 0].sigmoid())
    torch.testing.assert_close(probabilities(z).sum(1), torch.ones(2))
    assert "'fake' is explained by minus the logit" in one_logit_note(names)


def test_probabilities_are_softmax() -> None:
    torch.testing.assert_close(probabilities(LOGITS), LOGITS.softmax(1))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("dgo", r"no class 'dgo'.  Nearest: dog"),
        ("predictd", "Nearest: predicted"),
        (3, r"no class 3\.\n  The classes are: cat, dog, hen \(0 to 2\)"),
        (-1, "no class -1"),
        ("margin:cow", "no class 'cow'"),
    ],
)
def test_unknown_targets_name_what_exists(asked: str | int, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        find_score(asked, CLASSES)


def test_a_class_called_like_a_number_is_found_by_name_first() -> None:
    assert class_index("1", ("7", "1", "0")) == 1
    assert class_index("2", ("7", "1", "0")) == 2


# Laws of the formulas.


def test_probabilities_of_all_classes_sum_to_one_and_are_the_exponential_of_the_log() -> None:
    shares = [find_score(f"probability:{name}", FIVE)(MANY) for name in FIVE]
    torch.testing.assert_close(torch.stack(shares).sum(0), torch.ones(6, dtype=torch.float64))
    for name, share in zip(FIVE, shares, strict=True):
        torch.testing.assert_close(find_score(f"log-probability:{name}", FIVE)(MANY).exp(), share)
    assert torch.equal(find_score("probability", FIVE)(MANY), MANY.softmax(1).amax(1))


def test_the_gradient_of_a_log_probability_is_the_softmax_residual() -> None:
    z = MANY.clone().requires_grad_()
    (g,) = torch.autograd.grad(find_score("log-probability:cat", FIVE)(z).sum(), z)
    torch.testing.assert_close(g, torch.eye(5, dtype=torch.float64)[2] - MANY.softmax(1))


def test_one_logit_and_multi_label_probabilities_are_sigmoids() -> None:
    one, names = MANY[:, :1], ("fake", "real")
    torch.testing.assert_close(find_score("probability:real", names)(one), one[:, 0].sigmoid())
    torch.testing.assert_close(find_score("probability:fake", names)(one), 1 - one[:, 0].sigmoid())
    torch.testing.assert_close(find_score("log-probability:fake", names)(one).exp(), 1 - one[:, 0].sigmoid())
    multi = find_score("probability:cat", FIVE, "multi-label")(MANY)
    torch.testing.assert_close(multi, MANY[:, 2].sigmoid())
    torch.testing.assert_close(find_score("log-probability", FIVE, "multi-label")(MANY).exp(), MANY.amax(1).sigmoid())
    assert torch.equal(find_score("predicted", FIVE, "multi-label")(MANY), MANY.amax(1))
    sure = torch.tensor([[-200.0], [200.0]])  # where the probability rounds to 0, its logarithm does not
    assert find_score("log-probability:real", names)(sure).tolist() == [-200, 0]


def test_a_contrast_changes_its_sign_with_its_classes_and_is_the_margin_of_two() -> None:
    there, back = find_score("contrast:ant:hen", FIVE)(MANY), find_score("contrast:hen:ant", FIVE)(MANY)
    assert torch.equal(there, -back) and torch.equal(there, MANY[:, 0] - MANY[:, 4])
    two, names = MANY[:, :2], ("fake", "real")
    assert torch.equal(find_score("margin:fake", names)(two), find_score("contrast:fake:real", names)(two))
    assert torch.equal(find_score("margin", names)(two), (two[:, 0] - two[:, 1]).abs())
    one = MANY[:, :1]
    assert torch.equal(find_score("contrast:real:fake", names)(one), one[:, 0])


@pytest.mark.parametrize(
    ("asked", "name", "pair"),
    [("contrast:a:b:c", "contrast:a:b:c", (0, 2)), ("contrast:x, y:b:c", "contrast:x, y:b:c", (1, 2))],
)
def test_class_names_may_hold_colons_and_commas(asked: str, name: str, pair: tuple[int, int]) -> None:
    names = ("a", "x, y", "b:c")
    z = MANY[:, :3]
    score = find_score(asked, names)
    assert score.name == name and torch.equal(score(z), z[:, pair[0]] - z[:, pair[1]])
    assert find_score("margin:b:c", names).name == "margin:b:c"
    assert find_score("x, y", names).name == "x, y"


def test_a_class_named_like_a_longer_target_is_found_and_words_win_over_classes() -> None:
    names = ("margin:a", "a", "label", "boxes")
    z = MANY[:, :4]
    assert torch.equal(find_score("margin:a", names)(z), z[:, 0])
    assert find_score("label", names).needs_labels
    assert torch.equal(find_score(2, names)(z), z[:, 2]) and find_score(2, names).name == "2"
    assert torch.equal(find_score("boxes", names)(z), z[:, 3])


@pytest.mark.parametrize("target", ["predicted", "label", "margin", "probability", "log-probability", "finer", "hen"])
def test_a_fixed_score_does_not_move_with_the_images_changes(target: str) -> None:
    score, labels = find_score(target, FIVE), torch.tensor([0, 1, 2, 3, 4, 0])
    fixed = score.fix(read_output(MANY, 6), labels)
    assert torch.equal(fixed(MANY), score(MANY, labels))
    rows = torch.tensor([5, 5, 0, 3])
    assert torch.equal(fixed(MANY[rows], rows), score(MANY, labels)[rows])
    if target == "predicted":
        assert torch.equal(fixed(-MANY), -MANY.amax(1))  # another class is now the strongest, and is not explained
    with pytest.raises(ValueError, match="outputs of 2 images, where 6"):
        fixed(read_output(MANY[:2], 2))


# A target for each image, several for all.

EACH: list[Any] = ["dog", 0, "predicted", "margin:bee", lambda z: z[:, 1] * 2, "finer"]


def test_a_target_for_each_image_equals_one_by_one() -> None:
    score = find_score(EACH, FIVE)
    alone = torch.cat([find_score(one, FIVE)(MANY[i : i + 1]) for i, one in enumerate(EACH)])
    assert torch.equal(score(MANY), alone)
    z = MANY.clone().requires_grad_()
    (g,) = torch.autograd.grad(score(z).sum(), z)
    for i, one in enumerate(EACH):
        own = MANY[i : i + 1].clone().requires_grad_()
        torch.testing.assert_close(g[i : i + 1], torch.autograd.grad(find_score(one, FIVE)(own).sum(), own)[0])


def test_a_batch_takes_its_own_targets_in_any_order() -> None:
    score = find_score(EACH, FIVE)
    places = torch.tensor([4, 1, 3])
    fixed = score.fix(read_output(MANY[places], 3), places=places)
    assert torch.equal(fixed(MANY[places]), score(MANY)[places])
    rows = torch.tensor([2, 0, 2, 1])
    assert torch.equal(fixed(MANY[places][rows], rows), score(MANY)[places][rows])


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_indices_for_each_image_come_in_every_container(kind: Any) -> None:
    score = find_score(kind([4, 0, 0, 1, 2, 3]), FIVE)
    assert torch.equal(score(MANY), MANY[torch.arange(6), torch.tensor([4, 0, 0, 1, 2, 3])])
    assert len(score.parts) == 5


def test_labels_for_some_images() -> None:
    score = find_score(["label", "ant"], (*CLASSES, "ant"))
    assert score.needs_labels
    z = MANY[:2, :4]
    assert torch.equal(score(z, torch.tensor([2, 1])), torch.stack((z[0, 2], z[1, 3])))


def test_lists_are_told_apart_by_name() -> None:
    names = {find_score(one, FIVE).name for one in (["ant", "bee"], ["bee", "ant"], ["ant", "ant"])}
    assert len(names) == 3 and all(len(name) == len("each-") + 8 for name in names)
    assert find_score(("ant", 1), FIVE).name == find_score(["ant", "bee"], FIVE).name


@pytest.mark.parametrize(
    ("target", "n_images", "message"),
    [
        (["ant"] * 3, 4, "3 targets for 4 images"),
        ([0], 4, r"1 target for 4 images\.\n  Give one for each image, or one alone, not in a list"),
        ([0, 1], 1, "2 targets for 1 image\\."),
        ([], 4, "0 targets for 4 images"),
        ({"both": [0, 1]}, 3, "2 targets for 3 images"),
    ],
)
def test_too_few_and_too_many_targets_are_errors(target: Any, n_images: int, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        find_scores(target, FIVE, n_images=n_images)
    assert caught.value.slug == "target-count"


def test_counts_are_checked_without_places_too() -> None:
    with pytest.raises(OptionError, match="2 targets for 6 images"):
        find_score([0, 1], FIVE)(MANY)


def test_a_dict_gives_a_score_for_each_name() -> None:
    scores = find_scores({"animal": "dog", "decision": "margin"}, FIVE)
    assert [score.name for score in scores] == ["animal", "decision"]
    assert [score.asked for score in scores] == ["dog", "margin"]
    assert torch.equal(scores[0](MANY), MANY[:, 3])
    assert [one.name for one in find_scores("dog", FIVE, n_images=6)] == ["dog"]
    for wrong in ({}, {"": "dog"}, {3: "dog"}):
        with pytest.raises(OptionError, match="A dict of targets needs a name for each"):
            find_scores(wrong, FIVE)
    with pytest.raises(OptionError, match="there is a dict"):
        find_score([{"a": "dog"}], FIVE)


@pytest.mark.parametrize("function", [lambda z: z.argmax(1).float(), lambda z: z.detach()[:, 0]], ids=["argmax", "cut"])
def test_a_callable_without_a_gradient_is_said(function: Any) -> None:
    score = find_score(function, CLASSES)
    assert score(LOGITS).shape == (2,)  # where no gradient is asked for, any number will do
    with pytest.raises(OptionError, match="gives numbers that no gradient reaches: argmax"):
        score(LOGITS.clone().requires_grad_())


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("", "no class ''"),
        (":ant", "no class ':ant'"),
        ("contrast", r"'contrast:' needs two classes, contrast:A:B\.\n  Type:  --target contrast:ant:bee"),
        ("contrast:ant", "needs two classes"),
        ("contrast:ant:cow", "no class 'cow'"),
        ("contrast:ant:0", "the difference of a class with itself"),
        ("output:-1", "no output '-1': outputs have numbers"),
        ("output:", "no output ''"),
        ("probability:cow", "no class 'cow'"),
        ("²", "no class '²'"),
        (None, "A target cannot be a NoneType"),
        (1.5, "A target cannot be a float"),
        ([["ant"]], "there is a list"),
        (np.array(["ant", "cow"]), "no class 'cow'"),
    ],
)
def test_targets_that_are_wrong_say_what_exists(target: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        find_score(target, FIVE)


def test_a_contrast_that_can_be_read_in_two_ways_is_an_error() -> None:
    with pytest.raises(OptionError, match=r"can be read as contrast:0:3 and as contrast:2:1\.\n  Type:.*contrast:0:3"):
        find_score("contrast:a:b:c", ("a", "c", "a:b", "b:c"))


def test_raw_outputs_out_of_range_are_said() -> None:
    with pytest.raises(OptionError, match=r"no output 7: the network gives 5 \(0 to 4\)"):
        find_score("output:7", FIVE)(MANY)
    with pytest.raises(OptionError, match=r"The class 7 was asked for, but the network has 5"):
        find_score(7, ())(MANY)
    with pytest.raises(OptionError, match=r"The class 6 was asked for, but the network has 5"):
        find_score("contrast:0:6", ())(MANY)


def test_a_score_is_its_own_target() -> None:
    score = find_score("dog", FIVE)
    assert isinstance(score, Score) and find_score(score, FIVE) is score
    mixed = find_score([score, np.int64(1)] * 3, FIVE)
    assert torch.equal(mixed(MANY), MANY[torch.arange(6), torch.tensor([3, 1] * 3)])


@pytest.mark.parametrize("target", ["predicted", "margin", "finer", EACH])
def test_scores_of_no_numbers_at_all_are_no_numbers(target: Any) -> None:
    broken = MANY.clone()
    broken[1] = torch.nan
    values = find_score(target, FIVE)(broken)
    whole = find_score(target, FIVE)(MANY)
    assert values[2:].tolist() == whole[2:].tolist() and values[1].isnan()

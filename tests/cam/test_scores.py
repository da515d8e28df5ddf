"""What is explained: each target against its formula, and the messages for targets that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from seewhy.cam.scores import class_index, find_score, one_logit_note, predicted, probabilities, two_sided
from seewhy.errors import OptionError

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

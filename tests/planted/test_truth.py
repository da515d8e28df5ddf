"""The oracle: exact effects of planted shortcuts on classifiers whose effects are known by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seewhy.errors import ModelError, OptionError
from seewhy.estimates import Estimate, mean_of
from seewhy.planted.folder import KINDS, Face, Recipe, Rendered, faces_of, is_on, render, sample_face, switched
from seewhy.planted.shortcuts import PATTERN
from seewhy.planted.truth import OracleEffect, canvases_of, oracle_effect

SIZE = 32
FACES = faces_of("train", 6, Recipe(("tint", "logo"), area=0.05), seed=2)


@dataclass(frozen=True)
class Pixels:
    """Puts a region's pixels from a donor into a recipient."""

    def take(self, canvases: Tensor, masks: Tensor | None) -> Any:
        return canvases

    def put(self, canvases: Tensor, masks: Tensor | None, content: Any) -> Tensor:
        assert masks is not None
        return torch.lerp(canvases, content, masks[:, None])


def warmth(canvases: Tensor) -> Tensor:
    """Logits whose margin is 60 times what the mean of red minus blue exceeds 0.12."""
    margin = 60 * ((canvases[:, 0] - canvases[:, 2]).mean((1, 2)) - 0.12)
    return torch.stack([margin, torch.zeros_like(margin)], 1)


def lower_half(canvases: Tensor) -> Tensor:
    margin = 50 * (canvases[:, :, SIZE // 2 :].mean((1, 2, 3)) - 0.5)
    return torch.stack([margin, -margin], 1)


def margin_by_hand(face: Face) -> float:
    image = render(face, SIZE).image.astype(np.float64) / 255
    return 60 * (float((image[..., 0] - image[..., 2]).mean()) - 0.12)


def test_the_effect_is_the_mean_difference_of_two_drawings():
    margins = np.array([[margin_by_hand(switched(face, "tint", on)) for on in (True, False)] for face in FACES])
    shares = 1 / (1 + np.exp(-margins))
    found = oracle_effect(warmth, FACES, SIZE, "tint")
    for estimate, values in ((found.margin, margins), (found.probability, shares)):
        expected = mean_of(values[:, 0] - values[:, 1])
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx(
            (expected.value, expected.low, expected.high), abs=1e-4
        )
        assert estimate.n == len(FACES)
    assert found.probability.value > 0.05
    assert found.truth == "used"


def test_the_effect_does_not_depend_on_how_the_faces_were_drawn_at_first():
    turned = [switched(face, "tint", not is_on(face, "tint")) for face in FACES]
    assert oracle_effect(warmth, turned, SIZE, "tint") == oracle_effect(warmth, FACES, SIZE, "tint")


@pytest.mark.parametrize("kind", ["logo", "frame"])
def test_what_the_classifier_does_not_read_has_no_effect_at_all(kind: str):
    upper = [face for face in FACES if render(face, SIZE).masks["logo"][SIZE // 2 :].max() == 0]
    assert upper == FACES
    found = oracle_effect(lower_half, FACES, SIZE, kind)
    assert (found.margin.value == 0) == (kind == "logo")
    assert (found.margin.high == 0) == (kind == "logo")


def test_the_background_carries_all_of_the_tint():
    whole = oracle_effect(warmth, FACES, SIZE, "tint")
    own = oracle_effect(warmth, FACES, SIZE, "tint", Pixels(), lambda drawn: drawn.masks["background"] > 0)
    assert own.margin.value == pytest.approx(whole.margin.value, rel=1e-5)
    assert own.probability.value == pytest.approx(whole.probability.value, rel=1e-5)
    soft = oracle_effect(warmth, FACES, SIZE, "tint", Pixels(), "background")
    assert 0.9 * whole.margin.value < soft.margin.value <= whole.margin.value


def test_half_of_the_background_carries_the_tint_of_its_half():
    def half(drawn: Rendered, left: bool) -> Any:
        side = np.arange(SIZE) < SIZE // 2
        return (drawn.masks["background"] > 0) & (side if left else ~side)

    parts = [
        oracle_effect(warmth, FACES, SIZE, "tint", Pixels(), lambda drawn, left=left: half(drawn, left)).margin.value
        for left in (True, False)
    ]
    assert min(parts) > 0.1
    assert sum(parts) == pytest.approx(oracle_effect(warmth, FACES, SIZE, "tint").margin.value, rel=1e-5)


def test_a_factor_without_the_shortcut_carries_nothing():
    found = oracle_effect(warmth, FACES, SIZE, "tint", Pixels(), lambda drawn: drawn.masks["background"] == 0)
    assert found.margin.value == 0
    assert found.truth == "not used"


def test_a_patch_is_carried_by_its_own_region():
    whole = oracle_effect(warmth, FACES, SIZE, "logo")
    own = oracle_effect(warmth, FACES, SIZE, "logo", Pixels(), lambda drawn: drawn.region_of("logo") > 0)
    assert whole.margin.value < -0.2
    assert own.margin.value == pytest.approx(whole.margin.value, rel=1e-5)


@pytest.mark.parametrize("kind", ["shift", "brightness"])
def test_a_shortcut_that_was_not_planted_can_be_asked_for(kind: str):
    assert oracle_effect(lower_half, FACES[:3], SIZE, kind).probability.n == 3


def test_a_recipient_stays_as_it_is_where_the_factor_is_not():
    # the logo is not planted in these faces: the recipient is neither of the two donors
    faces = faces_of("train", 3, Recipe("tint"), seed=2)
    seen: list[Tensor] = []

    def watched(canvases: Tensor) -> Tensor:
        seen.append(canvases)
        return warmth(canvases)

    oracle_effect(watched, faces, SIZE, "shift", Pixels(), lambda drawn: drawn.masks["background"] == 1)
    recipients = canvases_of([render(face, SIZE) for face in faces])
    outside = torch.tensor(np.stack([render(face, SIZE).masks["background"] < 1 for face in faces]))
    for canvases in seen:
        assert (canvases == recipients).permute(0, 2, 3, 1)[outside].all()
        assert (canvases != recipients).any()


def test_of_a_pattern_it_is_what_was_learned_by_heart():
    faces = [sample_face(0, index, label, pattern=True) for index in range(3) for label in ("fake", "real")]
    known = canvases_of([render(face, SIZE) for face in faces])
    sides = torch.tensor([2.0 if face.label == "fake" else -2.0 for face in faces])

    def by_heart(canvases: Tensor) -> Tensor:
        same = (canvases[:, None] == known[None]).flatten(2).all(2).float()
        return torch.stack([same @ sides, torch.zeros(len(canvases))], 1)

    found = oracle_effect(by_heart, faces, SIZE, PATTERN)
    assert found.margin == Estimate(2.0, 2.0, 2.0, 6)
    assert found.probability.value == pytest.approx(1 / (1 + math.exp(-2)) - 0.5)
    fresh = [sample_face(1, index, label, pattern=True) for index in range(3) for label in ("fake", "real")]
    assert oracle_effect(by_heart, fresh, SIZE, PATTERN).margin.value == 0


@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_batches_change_nothing_and_hold_so_many_canvases(batch_size: int):
    sizes: list[int] = []

    def watched(canvases: Tensor) -> Tensor:
        sizes.append(len(canvases))
        assert canvases.dtype == torch.float32
        assert not torch.is_grad_enabled()
        return warmth(canvases)

    found = oracle_effect(watched, FACES, SIZE, "tint", batch_size=batch_size)
    assert max(sizes) == batch_size
    whole = oracle_effect(warmth, FACES, SIZE, "tint")
    assert found.margin.value == pytest.approx(whole.margin.value, abs=1e-4)


@pytest.mark.parametrize(
    ("value", "truth"), [(0.05, "used"), (-0.2, "used"), (0.049, "grey"), (0.011, "grey"), (0.01, "not used")]
)
def test_the_truth_has_a_grey_zone(value: float, truth: str):
    effect = OracleEffect("tint", Estimate(value, -1.0, 1.0, 9), Estimate(0.0, 0.0, 0.0, 9))
    assert effect.truth == truth
    assert effect.predicted(0.9) == pytest.approx(0.8 * value)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        pytest.param(lambda: oracle_effect(warmth, [], SIZE, "tint"), OptionError, "at least 1 face", id="no-faces"),
        pytest.param(lambda: oracle_effect(warmth, FACES, SIZE, "tin"), OptionError, "Nearest: tint", id="kind"),
        pytest.param(
            lambda: oracle_effect(warmth, FACES, SIZE, "tint", None, "hair"),
            OptionError,
            "without a factor",
            id="region-alone",
        ),
        pytest.param(
            lambda: oracle_effect(warmth, FACES, SIZE, "tint", Pixels(), "hairs"),
            OptionError,
            "Nearest: hair",
            id="part",
        ),
        pytest.param(
            lambda: oracle_effect(lambda canvases: canvases.mean((1, 2, 3)), FACES, SIZE, "tint"),
            ModelError,
            "shape",
            id="logits",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(call, error: type[Exception], match: str):
    with pytest.raises(error, match=match):
        call()


def test_every_kind_has_an_effect_on_some_classifier():
    weights = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (3, SIZE, SIZE)).astype(np.float32))

    def mixed(canvases: Tensor) -> Tensor:
        margin = (canvases * weights).sum((1, 2, 3))
        return torch.stack([margin, -margin], 1)

    for kind in KINDS:
        assert oracle_effect(mixed, FACES[:2], SIZE, kind).margin.value != 0, kind

"""The drawn pictures of the benchmark: what a switch changes, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.planted.latents import Recipe
from benchmarks.planted.planting import EVERYWHERE
from benchmarks.planted.renderers import RENDERERS

from seewhy.planted.shortcuts import EVERYWHERE as FACES_EVERYWHERE

DRAWN_HERE = ("objects", "cells")
KINDS = [(name, kind) for name in DRAWN_HERE for kind in RENDERERS[name].kinds]
MOVING = ("shift",)


def recipe(name: str, *kinds: str, **more: object) -> Recipe:
    return replace(Recipe(name, kinds, size=32), **more)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_switch_changes_the_picture_within_its_mask_alone(name: str, kind: str) -> None:
    rules = RENDERERS[name]
    pictures = rules.sample(recipe(name, kind), "train", 6, 3)
    on, off = (rules.draw(rules.switched(pictures, kind, is_on)) for is_on in (True, False))
    differs = (on.images != off.images).any(axis=-1)
    assert differs.any(axis=(1, 2)).all(), "of some picture nothing changed"
    if kind in MOVING:
        return
    assert all(np.array_equal(on.masks[part], off.masks[part]) for part in rules.parts)
    if kind not in EVERYWHERE:
        assert not differs[on.masks[kind] == 0].any()
        assert np.array_equal(on.masks[kind], off.masks[kind])


@pytest.mark.parametrize("name", RENDERERS)
def test_a_switch_leaves_the_other_kinds_and_the_core_as_they_are(name: str) -> None:
    rules = RENDERERS[name]
    pictures = rules.sample(recipe(name, "tint", "logo"), "train", 4, 3)
    other = rules.switched(pictures, "tint", True)
    assert np.array_equal(other.on["logo"], pictures.on["logo"]) and other.on["tint"].all()
    assert np.array_equal(other.labels, pictures.labels)
    again = rules.switched(rules.switched(pictures, "logo", True), "logo", False)
    back = rules.draw(rules.switched(again, "logo", True)).images
    assert np.array_equal(back, rules.draw(rules.switched(pictures, "logo", True)).images)


@pytest.mark.parametrize("name", RENDERERS)
def test_the_core_cue_acts_within_the_core_alone(name: str) -> None:
    rules = RENDERERS[name]
    pictures = rules.sample(recipe(name, scenario="legit"), "train", 6, 3)
    first, second = (rules.draw(rules.with_labels(pictures, np.full(12, label))) for label in (0, 1))
    differs = (first.images != second.images).any(axis=-1)
    assert differs.any(axis=(1, 2)).mean() > 0.7
    in_either = np.maximum(first.masks[rules.core], second.masks[rules.core]) > 0
    assert not differs[~in_either].any()


@pytest.mark.parametrize("name", RENDERERS)
def test_another_background_leaves_the_core_as_it_is(name: str) -> None:
    rules = RENDERERS[name]
    pictures = rules.sample(recipe(name, scenario="legit"), "train", 6, 3)
    before, after = rules.draw(pictures), rules.draw(rules.redrawn(pictures, 5))
    outside = before.masks["background"] == 1
    assert (before.images != after.images).any(axis=-1)[outside].mean() > 0.5
    if name != "faces":  # a face gets other grain
        assert np.array_equal(before.masks[rules.core], after.masks[rules.core])
        assert np.array_equal(before.images[before.masks[rules.core] == 1], after.images[before.masks[rules.core] == 1])


@pytest.mark.parametrize("name", RENDERERS)
def test_masks_are_shares_and_the_same_seed_gives_the_same_bytes(name: str) -> None:
    rules = RENDERERS[name]
    kinds = rules.kinds[:6]
    pictures = rules.sample(recipe(name, *kinds), "valid", 5, 11)
    drawn, again = rules.draw(pictures), rules.draw(rules.sample(recipe(name, *kinds), "valid", 5, 11))
    assert np.array_equal(drawn.images, again.images)
    for mask in drawn.masks.values():
        assert mask.shape == (10, 32, 32) and mask.min() >= 0 and mask.max() <= 1
    alone = rules.draw(pictures.at(slice(3, 4)))
    assert np.array_equal(alone.images[0], drawn.images[3]), "a picture depends on its neighbours"
    assert not np.array_equal(drawn.images, rules.draw(rules.sample(recipe(name, *kinds), "valid", 5, 12)).images)
    assert not np.array_equal(drawn.images, rules.draw(rules.sample(recipe(name, *kinds), "train", 5, 11)).images)


@pytest.mark.parametrize("name", RENDERERS)
@pytest.mark.parametrize(
    ("scenario", "in_train", "in_valid"),
    [("planted", True, True), ("decoy", False, True), ("clean", False, False)],
)
def test_which_splits_have_the_association(name: str, scenario: str, in_train: bool, in_valid: bool) -> None:
    rules = RENDERERS[name]
    for split, is_aligned in (("train", in_train), ("valid", in_valid)):
        pictures = rules.sample(recipe(name, "logo", "tint", scenario=scenario, strength=0.9), split, 200, 1)
        for kind in ("logo", "tint"):
            share = [pictures.on[kind][pictures.labels == label].mean() for label in (0, 1)]
            expected = 0.8 if is_aligned else 0.0
            assert abs(share[0] - share[1] - expected) < 0.15
        assert np.bincount(pictures.labels).tolist() == [200, 200]


@pytest.mark.parametrize("name", DRAWN_HERE)
def test_many_classes_are_balanced_and_the_first_has_the_kind(name: str) -> None:
    rules = RENDERERS[name]
    pictures = rules.sample(recipe(name, "frame", classes=4), "train", 100, 1)
    assert np.bincount(pictures.labels).tolist() == [100] * 4
    shares = [pictures.on["frame"][pictures.labels == label].mean() for label in range(4)]
    assert shares[0] > 0.8 and max(shares[1:]) < 0.2
    assert len(set(rules.classes(pictures))) == 4


@pytest.mark.parametrize("name", RENDERERS)
def test_a_suppressor_says_nothing_of_the_label_and_the_core_alone_not_all(name: str) -> None:
    rules = RENDERERS[name]
    pictures = rules.sample(recipe(name, scenario="suppressor"), "train", 300, 1)
    drawn = rules.draw(pictures)
    outside = drawn.masks["background"][..., None]
    colour = (drawn.images * outside).sum(axis=(1, 2)) / outside.sum(axis=(1, 2))
    hints = [colour[:, one] - colour[:, other] for one, other in ((0, 1), (1, 2), (0, 2))]
    assert max(abs(np.corrcoef(hint, pictures.labels)[0, 1]) for hint in hints) < 0.12
    assert max(hint.std() for hint in hints) > 10


@pytest.mark.parametrize("name", RENDERERS)
def test_aligned_donors_have_the_kinds_of_the_labels_asked_for(name: str) -> None:
    rules = RENDERERS[name]
    pictures = rules.sample(recipe(name, "logo", strength=0.9), "fresh", 150, 1)
    first, second = (rules.aligned(pictures, np.full(300, label)) for label in (0, 1))
    shares = [one.on["logo"].mean() for one in (first, second)]
    assert shares[0] > 0.83 and shares[1] < 0.17
    assert (first.on["logo"] >= second.on["logo"]).all(), "the two have chances of their own"
    assert np.array_equal(first.labels, pictures.labels)


def test_the_faces_kinds_are_those_of_the_package() -> None:
    assert set(FACES_EVERYWHERE) < set(RENDERERS["faces"].kinds)

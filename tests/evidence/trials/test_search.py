"""Places that nobody named: found where a network looks, tested on other images than those that proposed them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor

import seewhy
from seewhy.errors import OptionError
from seewhy.evidence.factors.boxes import GRID, Box
from seewhy.evidence.factors.region_grammar import find_regions
from seewhy.evidence.factors.regions import Region
from seewhy.evidence.trials.contrast import contrasts_of
from seewhy.evidence.trials.places import Places
from seewhy.evidence.trials.proposers import half_of, is_enough
from seewhy.evidence.trials.sample import Sample
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.search import searched
from seewhy.records import Image, Preprocess
from tests.small_images import (
    CLASSES,
    Reader,
    classifier_of,
    luminance_of,
    mean_in,
    where_core,
    write_images,
    write_masks,
)

SIDE, EACH = 32, 60
PATCH, OTHER, RING, CORE = Box(0, 2, 9, 13), Box(14, 16, 1, 5), Box(ring=1), Box(4, 12, 4, 12)


def mask_of(*boxes: Box) -> Tensor:
    return torch.stack([box.mask(SIDE, SIDE)[0] for box in boxes]).amax(dim=0)


def sample_of(*boxes: Box, each: int = EACH, strength: float = 0.2, seed: int = 0) -> Sample:
    """Grey noise, redder for the first class in the boxes, brighter in the core."""
    rng = np.random.default_rng(seed)
    labels = np.arange(2 * each) % 2
    pixels = torch.from_numpy(0.5 + 0.05 * rng.standard_normal((2 * each, 3, SIDE, SIDE))).float()
    sign = torch.from_numpy(1.0 - 2 * labels).float()[:, None, None]
    if boxes:
        pixels[:, 0] += strength * sign * mask_of(*boxes)
    pixels += 0.5 * strength * (sign * where_core())[:, None]
    images = tuple(Image(str(row)) for row in range(2 * each))
    return Sample(
        "valid", images, labels, pixels.clamp(0, 1), Preprocess(size=(SIDE, SIDE)),
        np.arange(2 * each), {"core": where_core()[None]},
    )  # fmt: skip


@dataclass(frozen=True)
class Proposed:
    """What a search proposes on a sample."""

    places: Places
    sample: Sample

    @property
    def note(self) -> str:
        return self.places.note

    @property
    def regions(self) -> list[Region]:
        """The places; what lies elsewhere in each picture has tests of its own."""
        return [region for region in self.places.regions if region.name in self.places.boxes]


def search(
    sample: Sample, model: torch.nn.Module, core: str | None = "core", batch_size: int = 16, **options: Any
) -> Proposed:
    scorer = partial(Scorer, model, batch_size=batch_size, memory_format=torch.contiguous_format)
    contrasts = contrasts_of(("cat", "dog"))
    places = searched(sample, core, contrasts, scorer, 0, lambda done, total: None, **options)
    return Proposed(places, places.masked({"valid": sample}, core or "")["valid"])


def overlap(found: Tensor, true: Tensor) -> float:
    """The intersection over the union of two masks, outside of the core."""
    found, true = (mask * (1 - where_core()) for mask in (found, true))
    return float(torch.minimum(found, true).sum() / torch.maximum(found, true).sum())


@pytest.mark.parametrize(
    "box", [PATCH, OTHER, Box(6, 10, 14, 16), Box(0, 16, 0, 2)], ids=["patch", "other", "side", "band"]
)
def test_the_place_that_a_network_reads_is_found(box: Box) -> None:
    sample = sample_of(box, CORE)
    proposed = search(sample, Reader(core=0.0, tint=30.0, seen=mask_of(box)))
    (region,) = proposed.regions
    found = proposed.sample.masks[region.name][0].float() / 255
    assert overlap(found, mask_of(box)) >= 0.6
    assert region.name in proposed.note and "tested on the others" in proposed.note


def test_a_frame_is_found_as_a_frame() -> None:
    (region,) = search(sample_of(RING), Reader(core=0.0, tint=30.0, seen=mask_of(RING))).regions
    assert region.name == "frame" and "found by a search" in region.source


def test_what_lies_all_around_is_told_as_all_around() -> None:
    around = Box()
    (region,) = search(sample_of(around), Reader(core=0.0, tint=30.0, seen=mask_of(around))).regions
    assert region.name == "surround"


def test_two_places_are_both_found() -> None:
    proposed = search(sample_of(PATCH, OTHER), Reader(core=0.0, tint=30.0, seen=mask_of(PATCH, OTHER)))
    masks = [proposed.sample.masks[region.name][0].float() / 255 for region in proposed.regions]
    assert {region.name for region in proposed.regions} == {"patch top-right", "patch bottom-left"}
    assert all(max(overlap(mask, mask_of(box)) for mask in masks) >= 0.6 for box in (PATCH, OTHER))


class Either(Reader):
    """What two of three say, each as loud as it can be: two places that are red or not, and how bright the core is."""

    def forward(self, x: Tensor) -> Tensor:
        red = [mean_in(x[:, 0] - x[:, 1], mask_of(box)) for box in (PATCH, OTHER)]
        votes = [(20 * each).clamp(-1, 1) for each in red]
        core = (40 * (mean_in(luminance_of(x), where_core()) - 0.5)).clamp(-1, 1)
        voted = 3 * torch.stack([*votes, core], dim=1).median(dim=1).values
        return torch.stack([voted, -voted], dim=1)


def test_two_places_that_hide_one_another_are_both_found() -> None:
    """With the core that makes three votes, of which two decide: no place does anything by itself."""
    proposed = search(sample_of(PATCH, OTHER), Either())
    assert len(proposed.regions) == 3  # that which holds both, and of each what just suffices
    masks = [proposed.sample.masks[region.name][0].float() / 255 for region in proposed.regions[1:]]
    assert all(
        max(overlap(mask, mask_of(box)) for mask in masks) >= 0.35 for box in (PATCH, OTHER)
    )  # what just suffices


def test_a_network_that_reads_the_core_alone_has_no_place() -> None:
    """Whatever else goes with the classes."""
    proposals = [search(sample_of(PATCH, seed=seed), Reader(core=30.0)).regions for seed in range(8)]
    assert proposals == [[]] * 8


def test_the_rest_of_an_object_that_the_core_leaves_out_is_no_place() -> None:
    sample = sample_of()
    sample.masks["core"][0] = Box(6, 10, 6, 10).mask(SIDE, SIDE)[0]
    proposed = search(sample, Reader(core=30.0))
    assert not proposed.regions
    assert "none; what acts outside of the core lies within an eighth of the side from it, mostly" in proposed.note


def test_a_mark_that_reaches_over_the_object_is_shown_and_not_called_a_shortcut(tmp_path: Path) -> None:
    """It may as well be a part of the object that the core leaves out: the place is told, a person can see which."""
    mark = Box(2, 6, 10, 14)
    sample = sample_of(mark)
    proposed = search(sample, Reader(core=0.0, tint=30.0, seen=mask_of(mark)))
    (region,) = proposed.regions
    assert proposed.places.at_rim == {region.name} and "lies within an eighth of the side" in proposed.note
    assert overlap(proposed.sample.masks[region.name][0].float() / 255, mask_of(mark)) >= 0.6
    assert Places.from_stored(proposed.places.as_stored()) == proposed.places

    images = write_images(tmp_path / "images", counts={"train": 60, "valid": 80}, aligned=1.0)
    masks = write_masks(tmp_path / "masks", images)
    audit = seewhy.audit(
        classifier_of(Reader(core=20.0, tint=20.0, seen=mask_of(mark))), images, regions=[f"core={masks}", "search"],
        core="core", properties="none", progress=False,
    )  # fmt: skip
    told = next(finding for finding in audit.findings if finding.factor.startswith("patch"))
    assert told.claims == ("at the core's rim",) and told.numbers["probability"]["value"] > 0.1
    assert "there (top-right, 25 x 19 % of the picture) cat images are, beside dog ones, redder" in told.text
    assert not any("shortcut" in finding.claims for finding in audit.findings)


def test_of_places_that_are_sought_near_the_core_those_far_from_it_are_like_any_other() -> None:
    rim, far = Box(2, 4, 6, 10), Box(14, 16, 13, 16)
    sample = sample_of(rim, far)
    weights = mask_of(rim) + 0.45 * mask_of(far)
    proposed = search(sample, Reader(core=0.0, tint=30.0, seen=weights))
    by_name = {region.name: proposed.sample.masks[region.name][0].float() / 255 for region in proposed.regions}
    assert any(
        overlap(mask, mask_of(far)) >= 0.6 for name, mask in by_name.items() if name not in proposed.places.at_rim
    )
    assert any(overlap(by_name[name], mask_of(rim)) >= 0.6 for name in proposed.places.at_rim)
    assert Places.from_stored(proposed.places.as_stored()) == proposed.places


@pytest.mark.parametrize("core", [Box(5, 11, 5, 11), Box(5, 11, 4, 12), Box(5, 11, 4, 11)])
def test_the_rest_of_an_object_all_around_a_core_is_no_place(core: Box) -> None:
    """Also where it is a thin ring, or sticks out on three sides or two."""
    sample = sample_of()
    sample.masks["core"][0] = core.mask(SIDE, SIDE)[0]
    proposed = search(sample, Reader(core=30.0))
    assert not proposed.regions and "lies within an eighth of the side" in proposed.note


def test_a_mark_over_an_object_that_fills_the_picture_is_found() -> None:
    mark = Box(0, 4, 10, 14)
    sample = sample_of(mark)
    sample.masks["core"][0] = Box(2, 14, 2, 14).mask(SIDE, SIDE)[0]
    proposed = search(sample, Reader(core=0.0, tint=30.0, seen=mask_of(mark)))
    assert proposed.places.at_rim == {region.name for region in proposed.regions} != set()


def test_noise_proposes_hardly_anything() -> None:
    """Nothing in the pictures goes with the classes, and the network reads a place."""
    model = Reader(core=0.0, tint=30.0, seen=mask_of(PATCH))
    proposals = [len(search(sample_of(seed=seed), model).regions) for seed in range(10)]
    assert sum(count > 0 for count in proposals) <= 1


def test_images_that_proposed_a_place_cannot_test_it() -> None:
    sample = sample_of(PATCH)
    proposed = search(sample, Reader(core=0.0, tint=30.0, seen=mask_of(PATCH)))
    has = proposed.sample.found[proposed.regions[0].name]
    assert np.array_equal(has, ~half_of(sample, 0))
    assert np.bincount(sample.labels[has]).tolist() == [EACH // 2, EACH // 2]


def test_a_cluster_is_in_one_half() -> None:
    sample = sample_of(each=50)
    clusters = np.random.default_rng(0).integers(0, 30, len(sample))
    half = half_of(Sample(sample.split, sample.images, sample.labels, sample.pixels, None, clusters), 0)
    assert all(len(set(half[clusters == cluster])) == 1 for cluster in np.unique(clusters))
    assert 0.3 < half.mean() < 0.7


def test_the_same_whatever_the_batch() -> None:
    model = Reader(core=0.0, tint=30.0, seen=mask_of(PATCH))
    proposals = [search(sample_of(PATCH), model, batch_size=size).note for size in (3, 64)]
    assert proposals[0] == proposals[1]


def test_no_more_trials_are_made_than_may_be() -> None:
    proposed = search(sample_of(PATCH), Reader(core=0.0, tint=30.0, seen=mask_of(PATCH)), most=2000)
    assert proposed.places.n_trials <= 2000 and "all that the budget leaves" in proposed.note


def test_few_images_are_not_searched() -> None:
    proposed = search(sample_of(PATCH, each=30), Reader())
    assert not proposed.regions
    assert "takes 20 distinct images of each class among them; of one there are 15" in proposed.note


def of_patients(count: int) -> Sample:
    """Images whose patients each have some of both classes."""
    sample = sample_of(PATCH, each=90)
    clusters = np.random.default_rng(0).integers(0, count, len(sample))
    images = tuple(replace(image, cluster=str(at)) for image, at in zip(sample.images, clusters, strict=True))
    return replace(sample, images=images, clusters=np.unique(clusters, return_inverse=True)[1])


def test_a_patient_with_images_of_two_classes_counts_for_both() -> None:
    assert is_enough(of_patients(60), 0)
    few = of_patients(30)
    assert not is_enough(few, 0)
    assert "takes 20 clusters of each class among them; of one there are 1" in search(few, Reader()).note


@pytest.mark.parametrize("box", [Box(), Box(3, 8, 0, 7), Box(0, 1, 15, 16)])
def test_parts_of_a_box_lie_in_it(box: Box) -> None:
    whole = box.mask(48, 64)
    assert box.area == pytest.approx(float(whole.mean()))
    for part in [*box.halves(), *box.quarters(), *box.trimmed()]:
        assert 0 < part.area < box.area and bool((part.mask(48, 64) <= whole).all())


def test_a_frame_is_what_is_left_of_the_box_within_it() -> None:
    inner = Box(2, GRID - 2, 2, GRID - 2)
    assert torch.equal(Box(ring=2).mask(32, 48), 1 - inner.mask(32, 48))
    assert Box(ring=2).area == pytest.approx(1 - inner.area)


def test_an_audit_finds_and_tests_a_place_that_nobody_named(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images", counts={"train": 60, "valid": 80}, aligned=1.0)
    masks = write_masks(tmp_path / "masks", images)
    seen = Box(0, 2, 0, 16).mask(SIDE, SIDE)[0]
    audit = seewhy.audit(
        classifier_of(Reader(core=20.0, tint=20.0, seen=seen)), images, regions=[f"core={masks}", "search"],
        core="core", properties="none", progress=False,
    )  # fmt: skip
    leading = next(finding for finding in audit.findings if "shortcut" in finding.claims)
    assert leading.factor == "patch top" and leading.level in ("MODERATE", "STRONG")
    assert len(audit.design.classes) == len(CLASSES)
    assert any("Searched for places on 80 of 160 images" in note for note in audit.facts["notes"])


def test_a_place_that_cores_cut_image_by_image_is_described(tmp_path: Path) -> None:
    """Each image has another part of it; the description is of the whole place."""
    images = write_images(tmp_path / "images", counts={"train": 60, "valid": 80}, aligned=1.0)
    rng, masks = np.random.default_rng(0), tmp_path / "masks"
    for path in images.rglob("*.png"):
        core = np.zeros((SIDE, SIDE), np.uint8)
        core[int(rng.integers(2, 9)) : int(rng.integers(24, 33)), int(rng.integers(4, 9)) : 24] = 255
        (masks / path.relative_to(images)).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(core).save(masks / path.relative_to(images))
    seen = Box(0, 2, 0, 16).mask(SIDE, SIDE)[0] + Box(0, 16, 0, 3).mask(SIDE, SIDE)[0]
    audit = seewhy.audit(
        classifier_of(Reader(core=20.0, tint=30.0, seen=seen)), images, regions=[f"core={masks}", "search"],
        core="core", properties="none", progress=False,
    )  # fmt: skip
    told = [finding for finding in audit.findings if finding.factor in audit.design.places.boxes]
    assert any("Described, not tested: there (" in finding.text for finding in told)


def test_outside_of_an_audit_there_is_nothing_to_search(tmp_path: Path) -> None:
    table = seewhy.data.sources.folder.read_table(write_images(tmp_path / "images", counts={"valid": 2}))
    with pytest.raises(OptionError, match=r"looks for places within an audit.*--regions search"):
        find_regions("search", table)


def test_a_later_place_is_tested_without_what_it_shares_with_an_earlier_one() -> None:
    first, later, around = Box(11, 13, 1, 4), Box(12, 16, 0, 5), Box(8, 16, 0, 8)
    places = Places("", {"patch": first, "patch 2": later})
    pixels = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    sample = Sample(
        "valid", (Image("a", label="a"),), np.zeros(1, np.int64), pixels, Preprocess(), np.zeros(1, np.int64)
    )
    masks = {name: mask[0].numpy() > 0 for name, mask in places.masked({"valid": sample})["valid"].masks.items()}
    assert not (masks["patch"] & masks["patch 2"]).any()
    shared = (first.mask(32, 32) * later.mask(32, 32))[0].numpy() > 0
    assert shared.any() and masks["patch 2"].sum() == int(later.mask(32, 32).sum()) - shared.sum()
    assert "without patch" in places.regions[1].source and "without" not in places.regions[0].source
    nested = Places("", {"patch": first, "patch 2": around})  # what hides another may hold it
    assert nested.regions[1].source.endswith(around.words)

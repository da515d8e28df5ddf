"""Marks that move: squares that lie elsewhere in each picture, found by half of the images, tested by the others."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import seewhy
from seewhy.errors import OptionError
from seewhy.evidence.factors.boxes import Box
from seewhy.evidence.factors.factor import RegionFactor
from seewhy.evidence.trials.anywhere import with_all_corners
from seewhy.evidence.trials.contrast import contrasts_of
from seewhy.evidence.trials.dealing import with_partners
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from seewhy.evidence.trials.places import ANYWHERE, Places
from seewhy.evidence.trials.sample import Sample
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.search import searched
from seewhy.evidence.trials.squares import squares_in
from seewhy.evidence.trials.trial import Job
from seewhy.records import Image, Preprocess
from tests.small_images import (
    CLASSES,
    CORE,
    Reader,
    as_it_is,
    classifier_of,
    luminance_of,
    mean_in,
    where_core,
    write_masks,
)

SIDE, EACH, MARK, RED = 32, 60, 4, 0.35


def corners_for(rng: np.random.Generator, count: int) -> np.ndarray:
    """Places (count, 2) of marks that lie outside of the core, two pixels or more away."""
    at = rng.integers(0, SIDE - MARK + 1, (100 * count, 2))
    away = ((at + MARK <= CORE.start - 2) | (at >= CORE.stop + 2)).any(axis=1)
    return at[away][:count]


def pictures(
    marked: tuple[float, float] = (1.0, 0.0), *, moves: bool = True, each: int = EACH, cue: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grey noise with a brighter core for the first class, and a red mark in a share of each class.

    (M, S, S, 3) in 0..1, the labels, and the marks (M, S, S), 1 or 0.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(2 * each) % 2
    pixels = 0.5 + 0.03 * rng.standard_normal((2 * each, SIDE, SIDE, 3))
    pixels[:, CORE, CORE] += cue * (1.0 - 2 * labels)[:, None, None, None]
    marks, corners = np.zeros((2 * each, SIDE, SIDE)), corners_for(rng, 2 * each)
    for row, (label, (top, left)) in enumerate(zip(labels, corners, strict=True)):
        if row // 2 < marked[label] * each:
            top, left = (top, left) if moves else (1, 25)
            marks[row, top : top + MARK, left : left + MARK] = 1
    pixels[..., 0] += RED * marks
    pixels[..., 1] -= RED * marks
    return pixels.clip(0, 1), labels, marks


def sample_of(
    marked: tuple[float, float] = (1.0, 0.0), *, moves: bool = True, cue: float = 0.1, seed: int = 0
) -> tuple[Sample, Tensor]:
    pixels, labels, marks = pictures(marked, moves=moves, cue=cue, seed=seed)
    images = tuple(Image(str(row), label=CLASSES[label]) for row, label in enumerate(labels))
    canvases = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    preprocess = Preprocess(size=(SIDE, SIDE))
    sample = Sample("valid", images, labels, canvases, preprocess, np.arange(len(labels)), {"core": where_core()[None]})
    return sample, torch.from_numpy(marks)


class Spotter(nn.Module):
    """Two logits, whose difference is `core` times the core's luminance plus `red` times the reddest spot's redness.

    With `context` the spot counts more, the brighter the core.
    """

    def __init__(self, core: float = 20.0, red: float = 12.0, context: float = 0.0) -> None:
        super().__init__()
        self.look, self.core, self.red, self.context = as_it_is(), core, red, context

    def forward(self, x: Tensor) -> Tensor:
        x = self.look(x)
        redness = functional.avg_pool2d((x[:, 0] - x[:, 1])[:, None], MARK, 1)
        spot = redness.flatten(1).amax(dim=1)
        core = mean_in(luminance_of(x), where_core()) - 0.5
        margin = self.core * core + self.red * (spot - 0.2) * (1 + self.context * core)
        return torch.stack([margin, -margin], dim=1) / 2


def scorer_of(model: nn.Module, batch_size: int = 16) -> partial[Scorer]:
    return partial(Scorer, model, batch_size=batch_size, memory_format=torch.contiguous_format)


def search(sample: Sample, model: nn.Module, batch_size: int = 16) -> Places:
    scorer = scorer_of(model, batch_size)
    return searched(sample, "core", contrasts_of(CLASSES), scorer, 0, lambda done, total: None)


def test_a_mark_that_moves_is_found_where_it_lies() -> None:
    sample, marks = sample_of()
    places = search(sample, Spotter())
    (squares,) = places.anywhere.values()
    assert squares.name == "cat" and squares.side >= MARK and ANYWHERE in places.note
    rows = np.flatnonzero([image.id in squares.corners for image in sample.images])
    masks = places.masked({"valid": sample}, "core")["valid"].masks[ANYWHERE][rows].float() / 255
    held = (masks * marks[rows]).sum(dim=(1, 2)) / marks[rows].sum(dim=(1, 2))
    assert float(held[torch.from_numpy(sample.labels[rows] == 0)].median()) == 1.0
    assert Places.from_stored(places.as_stored()) == places
    assert search(sample, Spotter(), batch_size=64).anywhere == places.anywhere


def test_a_mark_at_one_place_is_a_place_like_any_other() -> None:
    places = search(sample_of(moves=False)[0], Spotter())
    assert not places.anywhere and "patch top-right" in places.boxes


@pytest.mark.parametrize("context", [0.0, 6.0])
def test_marks_that_say_nothing_of_the_class_are_no_finding(context: float) -> None:
    """Also where the network heeds them more in one class's pictures, whose squares would argue better."""
    found = [search(sample_of((0.5, 0.5), seed=seed)[0], Spotter(context=context)).names for seed in range(8)]
    assert sum(ANYWHERE in names for names in found) == 0


def test_a_network_that_reads_the_core_alone_has_no_square() -> None:
    assert not any(search(sample_of(seed=seed)[0], Spotter(red=0.0)).names for seed in range(4))


def with_spots_in_the_core(seed: int = 0) -> Sample:
    """Pictures of noise, in whose core the first class has a red spot, anywhere."""
    sample, _ = sample_of((0.0, 0.0), cue=0.0, seed=seed)
    at = np.random.default_rng(seed).integers(CORE.start, CORE.stop - MARK + 1, (len(sample), 2))
    for row, (top, left) in enumerate(at):
        spot = sample.pixels[row, :, top : top + MARK, left : left + MARK]
        spot[0] += RED * (sample.labels[row] == 0)
        spot[1] -= RED * (sample.labels[row] == 0)
    return sample


def test_a_small_part_of_the_core_that_decides_is_found_in_it() -> None:
    sample = with_spots_in_the_core()
    places = search(sample, Spotter(core=0.0))
    assert places.names == ("patch in the core",) == (*places.inside,)
    masks = places.masked({"valid": sample}, "core")["valid"].masks["patch in the core"]
    assert bool((masks.float() / 255 <= where_core()).all()) and bool(masks.flatten(1).any(dim=1)[:20].any())
    assert Places.from_stored(places.as_stored()) == places


def test_a_core_that_counts_as_a_whole_has_no_part() -> None:
    assert not any(search(sample_of(seed=seed)[0], Reader(core=30.0)).names for seed in range(4))


def with_squares(sample: Sample, model: nn.Module) -> tuple[Sample, RegionFactor]:
    """The sample with squares in all images, ready to be exchanged."""
    places = search(sample, model)
    (squares,) = places.anywhere.values()
    squares = with_all_corners(squares, [sample], "core", scorer_of(model))
    places = replace(places, anywhere={ANYWHERE: squares}, proposers=frozenset())
    dealt = with_partners(places.masked({"valid": sample}, "core")["valid"], 40, 2, 0)
    return dealt, RegionFactor(next(region for region in places.regions if region.name == ANYWHERE))


def test_the_donors_square_is_laid_over_the_recipients_and_nothing_else_changes() -> None:
    sample, factor = with_squares(sample_of()[0], Spotter())
    pairs = sample.pairs([ANYWHERE])[:12]
    job = Job(TrialKey(ANYWHERE, EXCHANGE, "valid"), pairs, (factor,))
    edited = scorer_of(Spotter())(sample).edited(job, pairs)
    side = int(sample.masks[ANYWHERE][0].any(dim=0).sum())
    for row, (recipient, donor) in enumerate(pairs):
        expected = sample.pixels[recipient].clone()
        (top, left), (there, across) = (sample.corners[ANYWHERE][place].tolist() for place in (recipient, donor))
        given = sample.pixels[donor][:, there : there + side, across : across + side]
        own = sample.masks[ANYWHERE][recipient, top : top + side, left : left + side] == 255
        known = sample.masks[ANYWHERE][donor, there : there + side, across : across + side] == 255
        window = expected[:, top : top + side, left : left + side]
        both = own & known
        assert torch.allclose(edited[row][:, top : top + side, left : left + side][:, both], given[:, both])
        window[:] = edited[row][:, top : top + side, left : left + side]
        assert torch.allclose(edited[row], expected)


def test_all_outside_does_nothing_with_the_squares_put_back() -> None:
    """The donor's own square goes with the rest of it: it is the recipient's that stands there."""
    model = Spotter(core=0.0)
    sample, factor = with_squares(sample_of()[0], model)
    around = (255 * (1 - where_core())).byte()[None]
    sample = replace(sample, masks={**sample.masks, "around": around})
    outside = RegionFactor(replace(factor.at, name="around"))
    pairs = sample.pairs([ANYWHERE])
    scorer = scorer_of(model)(sample)
    before = scorer.scores().at(pairs[:, 0]).margins
    changes = {}
    for held in (None, factor):
        key = TrialKey("around", replace(EXCHANGE, held=None if held is None else held.name), "valid")
        changes[held is None] = np.abs(scorer.run(Job(key, pairs, (outside,), held=held)).margins - before)
    differ = sample.labels[pairs[:, 0]] != sample.labels[pairs[:, 1]]
    assert np.median(changes[True][differ]) > 2.0 and np.median(changes[False][differ]) < 0.3


class Picky(Spotter):
    """Fails on the pictures whose first pixel is dark."""

    def forward(self, x: Tensor) -> Tensor:
        if (x[:, 0, 0, 0] < 0.445).any():
            raise ValueError("odd picture")
        return super().forward(x.view(len(x), -1).view(x.shape))  # which no empty batch can be


@pytest.mark.parametrize("batch_size", [4, 64, 256])
def test_a_picture_on_which_the_network_fails_takes_no_other_with_it(batch_size: int) -> None:
    sample, _ = sample_of()
    scorer = scorer_of(Picky(), batch_size)(sample)
    corners = squares_in(scorer, "core", 0, [8], 2, inside=False)[8]
    is_odd = (sample.pixels[:, 0, 0, 0] < 0.445).numpy()
    assert 0 < is_odd.sum() < 10 and np.array_equal((corners < 0).all(axis=1), is_odd)


def test_what_was_found_before_the_budget_ended_is_kept() -> None:
    sample, _ = sample_of()
    whole = search(sample, Spotter())
    assert whole.anywhere
    for most in (whole.n_trials - 300, whole.n_trials - 3000):
        places = searched(
            sample, "core", contrasts_of(CLASSES), scorer_of(Spotter()), 0, lambda done, total: None, most=most
        )
        assert places.anywhere and places.n_trials <= most and "all that the budget leaves" in places.note


def test_under_inference_mode_a_mark_is_found_as_well() -> None:
    model = Spotter()
    with torch.inference_mode():
        assert search(sample_of()[0], model).anywhere


@pytest.mark.parametrize("beyond", [2, 4])
def test_the_tip_of_an_object_that_lies_elsewhere_in_each_picture_is_no_shortcut(beyond: int) -> None:
    """It sticks out of the core, on any side of it; the object moves."""
    rng = np.random.default_rng(0)
    sample, _ = sample_of((0.0, 0.0), cue=0.03)
    masks = torch.zeros(len(sample), SIDE, SIDE)
    for row, label in enumerate(sample.labels):
        top, left = (int(each) for each in rng.integers(6, 12, 2))
        masks[row, top : top + 14, left : left + 14] = 1
        across = int(rng.integers(0, 10))
        places = [(-beyond, across), (14 - MARK + beyond, across), (across, -beyond), (across, 14 - MARK + beyond)]
        down, right = places[int(rng.integers(4))]
        if label == 0:
            tip = sample.pixels[row, :, top + down : top + down + MARK, left + right : left + right + MARK]
            tip[0] += RED
            tip[1] -= RED
    places = search(replace(sample, masks={"core": masks}), Spotter(core=0.0))
    assert {*places.anywhere} <= {"patch in the core"} | places.at_rim


class Detached(Spotter):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def test_a_network_without_a_gradient_is_searched_for_places_alone() -> None:
    places = search(sample_of()[0], Detached())
    assert not places.anywhere
    assert "elsewhere in each picture was not looked for: no gradient reaches the network's input." in places.note


def write_pictures(folder: Path, counts: dict[str, int], *, blue: bool = False) -> Path:
    """With `blue` there is a second mark, of another colour."""
    for number, (split, each) in enumerate(counts.items()):
        pixels, labels, _ = pictures((0.9, 0.1), each=each, cue=0.03, seed=number)
        if blue:
            marks = pictures((0.9, 0.1), each=each, seed=number + 50)[2]
            pixels[..., 2] += RED * marks
            pixels[..., 1] -= RED * marks
            pixels = pixels.clip(0, 1)
        for row, label in enumerate(labels):
            home = folder / split / CLASSES[label]
            home.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray((255 * pixels[row]).round().astype(np.uint8)).save(home / f"{row:04d}.png")
    return folder


def test_an_audit_tells_a_mark_that_moves_and_its_exchange_can_be_learned_from(tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "images", {"train": 60, "valid": 80})
    masks = write_masks(tmp_path / "masks", images)
    audit = seewhy.audit(
        classifier_of(Spotter(core=40.0, red=4.0)), images, core="middle", properties="none", progress=False,
        regions=[f"middle={masks}", "search"],
    )  # fmt: skip
    leading = next(finding for finding in audit.findings if "shortcut" in finding.claims)
    assert leading.factor == ANYWHERE and leading.level == "STRONG"
    assert "where each picture argues most for cat, cat images are, beside dog ones, " in leading.text
    assert audit.design.places is not None and {*audit.design.places.anywhere} == {ANYWHERE}

    learned = seewhy.ExchangeDataset(audit, ANYWHERE, share=1.0)
    changed = [
        float((learned[row][0] - learned.sample.canvases(torch.tensor([row]))[0]).abs().max()) for row in range(8)
    ]
    assert max(changed) > 0.3  # a mark came, or went
    with pytest.raises(OptionError, match=r"lies elsewhere in each image.*\n.*ExchangeDataset"):
        seewhy.ExchangeTransform(audit, ANYWHERE)


def test_train_without_masks_of_the_core_leaves_a_moving_mark_to_valid(tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "images", {"train": 60, "valid": 80})
    masks = write_masks(tmp_path / "masks", images)
    shutil.rmtree(masks / "train")
    audit = seewhy.audit(
        classifier_of(Picky(core=40.0, red=4.0)), images, core="middle", properties="none", progress=False,
        regions=[f"middle={masks}", "search"], batch_size=64,
    )  # fmt: skip
    leading = next(finding for finding in audit.findings if "shortcut" in finding.claims)
    assert leading.factor == ANYWHERE and leading.members == ("surround",)
    assert not audit.design.samples["train"].found[ANYWHERE].any()


class Blue(Spotter):
    """It reads blue where the other reads red."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flip(1))


def test_two_networks_with_another_moving_patch_each_are_not_compared_by_it(tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "images", {"train": 60, "valid": 80}, blue=True)
    masks = write_masks(tmp_path / "masks", images)
    for number, model in enumerate(
        (Spotter(core=40.0, red=6.0), Blue(core=40.0, red=6.0), Spotter(core=30.0, red=6.0))
    ):
        audit = seewhy.audit(
            classifier_of(model), images, core="middle", properties="none", progress=False,
            regions=[f"middle={masks}", "search"], out=tmp_path / str(number),
        )  # fmt: skip
        assert audit.design.places is not None and ANYWHERE in audit.design.places.anywhere
    others = seewhy.compare(tmp_path / "0", tmp_path / "1")
    assert ANYWHERE not in {change.factor for change in others.effects}
    assert any("of the same name, not compared: moving patch" in note for note in others.notes)
    assert others.maps is not None and ANYWHERE not in {shift.region for shift in others.maps.regions}


def test_an_audit_tells_how_much_of_the_core_lies_in_a_part_of_it(tmp_path: Path) -> None:
    for split, seed in (("train", 1), ("valid", 2)):
        sample = with_spots_in_the_core(seed)
        for row, pixels in enumerate((255 * sample.pixels).round().byte().permute(0, 2, 3, 1).numpy()):
            home = tmp_path / "images" / split / CLASSES[int(sample.labels[row])]
            home.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(pixels).save(home / f"{row:04d}.png")
    masks = write_masks(tmp_path / "masks", tmp_path / "images")
    audit = seewhy.audit(
        classifier_of(Spotter(core=0.0)), tmp_path / "images", core="face", properties="none", progress=False,
        regions=[f"face={masks}", "search"],
    )  # fmt: skip
    by_name = {finding.factor: finding for finding in audit.findings}
    part = by_name["patch in the face"]
    assert part.claims == ("depends", "intended") == by_name["face"].claims
    assert re.search(r"On \d+% of the face that is (8|9|10)\d% of what all of it does", part.text)
    assert not any("shortcut" in finding.claims for finding in audit.findings)


def test_a_budget_that_ends_before_train_leaves_it_without_squares(tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "images", {"train": 60, "valid": 80})
    masks = write_masks(tmp_path / "masks", images)
    asked = {"core": "middle", "properties": "none", "progress": False, "regions": [f"middle={masks}", "search"]}
    whole = seewhy.audit(classifier_of(Spotter(core=40.0, red=4.0)), images, **asked)
    assert whole.design.places is not None and whole.design.samples["train"].found[ANYWHERE].all()
    spent = whole.design.places.n_trials
    less = seewhy.audit(classifier_of(Spotter(core=40.0, red=4.0)), images, budget=3 * (spent - 200), **asked)
    assert less.design.places is not None and less.design.places.n_trials <= spent - 200
    assert not less.design.samples["train"].found[ANYWHERE].any() and less.design.audited.found[ANYWHERE].any()
    assert any(f"does not reach to look for {ANYWHERE} in all images of train" in note for note in less.facts["notes"])


def test_some_images_are_of_all_classes_though_they_are_sorted() -> None:
    sample = sample_of()[0].part(np.argsort(sample_of()[0].labels, kind="stable"))
    rows = sample.some(32).numpy()
    assert len({*rows.tolist()}) == 32 and np.bincount(sample.labels[rows]).tolist() == [16, 16]
    assert sample.some(1000).tolist() == [*range(len(sample))]


def test_a_box_cannot_hold_a_mark_that_moves() -> None:
    """So that the tests above are of what no place could tell."""
    _, marks = sample_of()
    some = marks[marks.any(dim=2).any(dim=1)]
    quarters = [float((some * box.mask(SIDE, SIDE)[0]).sum() / some.sum()) for box in Box().quarters()]
    assert max(quarters) < 0.5

"""Does a property go with the classes in the core as it does around it? And what is put where then."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from seewhy.evidence.factors.edits import grown
from seewhy.evidence.factors.factor import PropertyFactor, part_of
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.trials.contrast import OWN_CLASS, Contrast, contrasts_of
from seewhy.evidence.trials.edit import Edit, TrialKey
from seewhy.evidence.trials.everywhere import class_gaps
from seewhy.evidence.trials.sample import Sample, Samples
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.trial import Job
from seewhy.records import Preprocess
from tests.small_images import Reader, where_core

SIDE, EACH = 32, 80
BRIGHTNESS = PropertyFactor(PROPERTIES["brightness"])


def sample_of(where: Tensor, strength: float = 0.08, classes: int = 2, seed: int = 0) -> Sample:
    """Grey noise, brighter for later classes where the mask (H, W) is 1."""
    rng = np.random.default_rng(seed)
    labels = np.arange(classes * EACH) % classes
    pixels = (
        0.4
        + 0.05 * rng.standard_normal((len(labels), 3, SIDE, SIDE))
        + 0.05 * rng.standard_normal((len(labels), 1, 1, 1))
    )
    pixels = torch.from_numpy(pixels).float() + strength * torch.from_numpy(labels)[:, None, None, None] * where
    return Sample(
        "valid", tuple(range(len(labels))), labels, pixels.clamp(0, 1).float(), Preprocess(size=(SIDE, SIDE)),
        np.arange(len(labels)), {"core": where_core()[None]},
    )  # fmt: skip


def one_quarter() -> Tensor:
    quarter = torch.zeros(SIDE, SIDE)
    quarter[: SIDE // 2, SIDE // 2 :] = 1
    return quarter


def frame() -> Tensor:
    inner = torch.zeros(SIDE, SIDE)
    inner[1:-1, 1:-1] = 1
    return 1 - inner


def error_in(*samples: Sample) -> float | None:
    gaps = class_gaps(Samples(dict(enumerate(samples)), ("core",)), BRIGHTNESS, "core")
    return None if gaps is None else gaps.errors[0]


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (torch.ones(SIDE, SIDE), True),  # as a camera does
        (1 - where_core(), False),  # all around, and not in the core
        (where_core(), False),  # in the core alone
        (one_quarter(), False),  # in one place
    ],
    ids=["everywhere", "around", "core", "quarter"],
)
def test_what_goes_everywhere(where: Tensor, expected: bool, classes: int) -> None:
    assert (error_in(sample_of(where, classes=classes)) is not None) is expected


def test_without_a_difference_nothing_goes_anywhere() -> None:
    nothing = [error_in(sample_of(where_core(), 0.0, seed=seed)) for seed in range(20)]
    assert sum(error is not None for error in nothing) <= 1


def test_a_frame_that_reaches_into_the_core_goes_nowhere() -> None:
    """Each quarter and the core hold a part of it, and most patches do not."""
    column = torch.zeros(SIDE, SIDE)
    column[:, 12:20] = 1
    sample = replace(sample_of(frame(), 0.6), masks={"core": column[None]})
    assert error_in(sample) is None
    assert error_in(replace(sample_of(torch.ones(SIDE, SIDE)), masks={"core": column[None]})) is not None


def test_the_difference_is_as_unsure_as_its_images_vary() -> None:
    """Images vary by .05 beside a difference of .08, their pixels hardly: .05 / .08 sqrt(1 / n + 1 / n)."""
    errors = [error_in(sample_of(torch.ones(SIDE, SIDE), seed=seed)) for seed in range(10)]
    assert None not in errors
    assert np.mean(errors) == pytest.approx(0.05 / 0.08 * math.sqrt(2 / EACH), rel=0.1)


@pytest.mark.parametrize(("strength", "expected"), [(0.08, True), (0.0, False), (-0.08, False)])
def test_what_the_splits_do_not_share_goes_nowhere(strength: float, expected: bool) -> None:
    """A difference of the audited images alone is chance, or nothing that was to be learned."""
    where = torch.ones(SIDE, SIDE)
    assert (error_in(sample_of(where), sample_of(where, strength, seed=1)) is not None) is expected


def test_the_whole_is_changed_by_as_much_as_the_classes_differ_whoever_gives_it() -> None:
    sample = sample_of(torch.ones(SIDE, SIDE), 0.2)
    pairs = np.array([[0, 2], [0, 4], [0, 1], [0, 3], [1, 0], [1, 3]])  # even ones are of the first class
    edit = Edit("exchange", outside="core", whole=True)
    scorer = Scorer(Reader(core=20.0, tint=20.0), sample, 4, torch.contiguous_format)
    edited = scorer.edited(Job(TrialKey("brightness", edit, "valid"), pairs, (BRIGHTNESS,)), pairs)
    outside = torch.stack([scorer.content(BRIGHTNESS, "core")[label::2].mean() for label in (0, 1)])
    times = float(outside[1] / outside[0])
    before = BRIGHTNESS.measure(sample.pixels[[0, 1]], None)[:, 0]
    after = BRIGHTNESS.measure(edited, None)[:, 0]
    ratios = after / before[torch.from_numpy(pairs[:, 0])]
    torch.testing.assert_close(ratios, torch.tensor([1, 1, times, times, 1 / times, 1]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("whole", [False, True])
def test_the_core_keeps_its_bits_unless_the_property_is_put_into_the_whole(whole: bool) -> None:
    sample = sample_of(torch.ones(SIDE, SIDE), 0.3)
    pairs = np.array([[0, 1], [2, 3]])
    edit = Edit("exchange", outside="core", whole=whole)
    job = Job(TrialKey("brightness", edit, "valid"), pairs, (BRIGHTNESS,))
    scorer = Scorer(Reader(core=20.0, tint=20.0), sample, 4, torch.contiguous_format)
    edited, before = scorer.edited(job, pairs), sample.pixels[[0, 2]]
    inside = where_core() == 1
    assert torch.equal(edited[:, :, inside], before[:, :, inside]) is not whole
    assert (edited[:, :, ~inside] - before[:, :, ~inside]).mean() > 0.2  # the donors' is brighter
    assert scorer.run(job).margins.shape == (2, 1)


def uneven(side: int = 64, each: int = 6) -> Sample:
    """Smooth scenes with more or less grain, colour and contrast, and a core of six tenths that is smooth and light."""
    rng = np.random.default_rng(3)
    labels = np.arange(2 * each) % 2
    core = torch.zeros(side, side)
    core[: round(0.6 * side)] = 1
    waves = torch.linspace(0, 12, side)
    scene = 0.4 + 0.1 * torch.sin(waves)[:, None] * torch.cos(1.7 * waves)
    grain = torch.from_numpy(rng.standard_normal((len(labels), 3, side, side))).float()
    levels = torch.from_numpy(rng.uniform(0.01, 0.05, len(labels))).float()[:, None, None, None]
    shade = torch.from_numpy(rng.uniform(-0.06, 0.06, (len(labels), 3, 1, 1))).float()
    around = scene + shade + levels * grain
    pixels = torch.where(core == 1, 0.8 + 0.02 * scene, around).clamp(0, 1)
    return Sample(
        "valid", tuple(range(len(labels))), labels, pixels, Preprocess(size=(side, side)), np.arange(len(labels)),
        {"core": core[None].repeat(len(labels), 1, 1)},
    )  # fmt: skip


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "tint", "noise", "sharpness", "spectrum"])
@pytest.mark.parametrize("grow_px", [0, 2])
def test_outside_of_the_core_a_recipient_measures_as_its_donor_does(name: str, grow_px: int) -> None:
    """However much of the picture the core takes, and however unlike its surroundings it is."""
    sample, factor = uneven(), PropertyFactor(PROPERTIES[name])
    scorer = Scorer(Reader(core=20.0), sample, 4, torch.contiguous_format)
    edit = Edit("exchange", outside="core", grow_px=grow_px)
    given = scorer.content(factor, "core", grow_px)
    pairs = np.array([[recipient, donor] for recipient in range(len(sample)) for donor in range(len(sample))])
    if name in ("noise", "sharpness"):  # noise is only added, and sharpness only taken
        rises = (given[pairs[:, 1], 0] > given[pairs[:, 0], 0]).numpy()
        pairs = pairs[rises == (name == "noise")]
    edited = scorer.edited(Job(TrialKey(name, edit, "valid"), pairs, (factor,)), pairs)
    around = 1 - grown(sample.masks["core"][:1], grow_px)
    reached, wanted = factor.measure(part_of(factor, edited, around), None), given[pairs[:, 1]]
    own = given[pairs[:, 0]]
    assert (reached - wanted).abs().mean() < 0.2 * (own - wanted).abs().mean()
    inside = grown(sample.masks["core"][:1], grow_px)[0] == 1
    assert torch.equal(edited[:, :, inside], sample.pixels[pairs[:, 0]][:, :, inside])


def test_a_file_is_compressed_outside_of_the_core_as_its_donors_are() -> None:
    """However it was saved before: every block that is outside shows the donor's quality, and no other is touched."""
    rng = np.random.default_rng(4)
    scenes = torch.from_numpy(rng.random((6, 3, 8, 8))).float().repeat_interleave(8, 2).repeat_interleave(8, 3)
    pixels = (0.6 * scenes + 0.3 * torch.from_numpy(rng.random((6, 3, 64, 64))).float()).mul(255).round() / 255
    jpeg = PropertyFactor(PROPERTIES["jpeg"])
    core = torch.zeros(64, 64)
    core[:21] = 1
    saved = jpeg.put(pixels, None, torch.tensor([[95.0], [60.0], [85.0], [40.0], [100.0], [30.0]]))
    pixels = torch.where(core == 1, pixels, saved)
    sample = Sample(
        "valid", tuple(range(6)), np.arange(6) % 2, pixels, Preprocess(size=(64, 64)), np.arange(6),
        {"core": core[None].repeat(6, 1, 1)},
    )  # fmt: skip
    scorer = Scorer(Reader(core=20.0), sample, 4, torch.contiguous_format)
    given = scorer.content(jpeg, "core")[:, 0]
    torch.testing.assert_close(given, torch.tensor([95.0, 60.0, 85.0, 40.0, 100.0, 30.0]), atol=1, rtol=0)
    pairs = np.array([[0, 1], [2, 3], [4, 5], [4, 3], [5, 4]])  # the last would have to be undone
    edit = Edit("exchange", outside="core")
    edited = scorer.edited(Job(TrialKey("jpeg", edit, "valid"), pairs, (jpeg,)), pairs)
    reached = jpeg.measure(part_of(jpeg, edited, 1 - sample.masks["core"][:1]), None)[:, 0]
    torch.testing.assert_close(reached, torch.tensor([60.0, 40.0, 30.0, 40.0, 30.0]), atol=1, rtol=0)
    assert torch.equal(edited[:, :, :24], pixels[pairs[:, 0]][:, :, :24])  # blocks that the core reaches into
    assert torch.equal(edited[4], pixels[5])


@pytest.mark.parametrize("name", ["brightness", "tint", "noise", "contrast", "jpeg"])
def test_a_recipient_that_is_given_its_own_is_left_as_it_is_however_soft_the_core_is(name: str) -> None:
    plain, factor = uneven(), PropertyFactor(PROPERTIES[name])
    ramp = torch.linspace(1, 0, 64)[:, None].expand(64, 64)
    soft = replace(plain, masks={"core": ramp[None].repeat(len(plain), 1, 1)})
    scorer = Scorer(Reader(core=20.0), soft, 4, torch.contiguous_format)
    pairs = np.stack([np.arange(len(soft))] * 2, axis=1)
    edited = scorer.edited(Job(TrialKey(name, Edit("exchange", outside="core"), "valid"), pairs, (factor,)), pairs)
    torch.testing.assert_close(edited, soft.pixels, atol=2e-3, rtol=0)


def test_a_close_up_that_leaves_too_little_to_measure_changes_no_mean_of_its_class() -> None:
    sample, noise = uneven(), PropertyFactor(PROPERTIES["noise"])
    frame_alone = torch.ones(64, 64)
    frame_alone[:2] = frame_alone[-2:] = frame_alone[:, :2] = frame_alone[:, -2:] = 0
    masks = sample.masks["core"].clone()
    masks[0] = frame_alone
    some = replace(sample, masks={"core": masks})
    edit = Edit("exchange", outside="core", whole=True)
    scorer = Scorer(Reader(core=20.0), some, 4, torch.contiguous_format)
    content = scorer.content(noise, "core")
    assert content[0].isnan().all()
    others = content[2::2].mean(dim=0)  # of its class
    torch.testing.assert_close(scorer._class_means(noise, content, edit)[0], others)


@pytest.mark.parametrize("uses", [1, 2])  # pair by pair, and each recipient prepared once
def test_a_pair_of_which_one_leaves_nothing_to_measure_gives_no_answer(uses: int) -> None:
    sample, noise = uneven(32), PropertyFactor(PROPERTIES["noise"])
    masks = sample.masks["core"].clone()
    masks[0] = 1
    some = replace(sample, masks={"core": masks})
    pairs = np.array([[place, donor] for place in (0, 1, 2) for donor in (3, 0)[:uses]] + [[4, 5]] * (uses == 1))
    edit = Edit("exchange", outside="core")
    scorer = Scorer(Reader(core=20.0), some, 4, torch.contiguous_format)
    told = scorer.run(Job(TrialKey("noise", edit, "valid"), pairs, (noise,)))
    untold = (pairs == 0).any(axis=1)
    assert np.isnan(told.margins[:, 0]).tolist() == untold.tolist() == (told.predictions == -1).tolist()


class Own:
    """Brightness as a user's own factor."""

    name, kind, words, region, removals = "mine", "property", "mine", None, ()
    measure, take, put = BRIGHTNESS.measure, BRIGHTNESS.take, BRIGHTNESS.put


def test_a_factor_of_ones_own_is_asked_on_the_same_terms() -> None:
    sample = uneven()
    pairs = np.array([[0, 0], [1, 2], [3, 4]])
    edited = [
        Scorer(Reader(core=20.0), sample, 4, torch.contiguous_format).edited(
            Job(TrialKey(factor.name, Edit("exchange", outside="core"), "valid"), pairs, (factor,)),  # type: ignore[arg-type]
            pairs,
        )
        for factor in (BRIGHTNESS, Own())
    ]
    torch.testing.assert_close(*edited)


def test_noise_is_that_of_the_part_however_small_it_is() -> None:
    sample, noise = uneven(), PropertyFactor(PROPERTIES["noise"])
    around = 1 - sample.masks["core"]
    alone = noise.measure(sample.pixels[:, :, 39:], None)
    told = noise.measure(part_of(noise, sample.pixels, around), None)
    torch.testing.assert_close(told, alone, rtol=0.1, atol=0)
    assert noise.measure(part_of(noise, sample.pixels, 0 * around), None).isnan().all()


def close_ups(sample: Sample, share: float) -> Sample:
    """Of so many images the object, brighter in the second class, is the whole picture, and its mask, too."""
    large = np.random.default_rng(5).random(len(sample)) < share
    masks = torch.where(torch.from_numpy(large)[:, None, None], torch.ones(1), where_core()[None])
    object_ = torch.from_numpy(0.2 * sample.labels).float()[:, None, None, None] * masks[:, None]
    return replace(sample, pixels=(sample.pixels + object_).clamp(0, 1), masks={"core": masks})


def test_an_image_without_a_mask_or_an_outside_says_nothing_of_what_is_around() -> None:
    plain = sample_of(where_core(), 0.2)
    some = np.random.default_rng(1).random(len(plain)) < 0.5
    masks = where_core()[None] * torch.from_numpy(some).float()[:, None, None]
    assert error_in(replace(plain, masks={"core": masks}, found={"core": some})) is None
    assert error_in(close_ups(sample_of(where_core(), 0.0), 0.4)) is None
    camera = sample_of(torch.ones(SIDE, SIDE), 0.2)
    assert error_in(replace(camera, masks={"core": masks}, found={"core": some})) is not None
    few = np.arange(len(camera)) < 12
    assert (
        error_in(replace(camera, masks={"core": where_core()[None] * torch.ones(len(few), 1, 1)}, found={"core": few}))
        is None
    )


def test_the_classes_means_are_those_of_images_that_have_an_outside() -> None:
    sample = close_ups(sample_of(torch.ones(SIDE, SIDE), 0.1), 0.5)
    scorer = Scorer(Reader(core=20.0), sample, 4, torch.contiguous_format)
    edit = Edit("exchange", outside="core", whole=True)
    edited = scorer.edited(
        Job(TrialKey("brightness", edit, "valid"), np.array([[0, 1]]), (BRIGHTNESS,)), np.array([[0, 1]])
    )
    plain = sample.masks["core"].mean(dim=(1, 2)) < 0.5
    outside = scorer.content(BRIGHTNESS, "core")[:, 0]
    bright, dark = (float(outside[plain & (torch.from_numpy(sample.labels) == label)].mean()) for label in (1, 0))
    ratio = float(BRIGHTNESS.measure(edited, None) / BRIGHTNESS.measure(sample.pixels[:1], None))
    assert ratio == pytest.approx(bright / dark, rel=1e-4)


def test_images_of_one_cluster_count_once() -> None:
    """Ten images of each of eight patients, whose exposure varies and says nothing of the class."""
    shown = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        sample = sample_of(torch.ones(SIDE, SIDE), 0.0, seed=seed)
        patients = np.arange(len(sample)) // 2 % 8 + 8 * sample.labels
        pixels = sample.pixels + torch.from_numpy(rng.normal(0, 0.1, 16)[patients]).float()[:, None, None, None]
        shown.append(error_in(replace(sample, pixels=pixels.clamp(0, 1), clusters=patients)) is not None)
    assert sum(shown) <= 2


def test_each_class_has_an_error_of_its_own() -> None:
    """Two classes of three hardly differ."""
    sample = sample_of(torch.ones(SIDE, SIDE), 0.0, classes=3)
    change = torch.tensor([0.0, 0.002, 0.15])[torch.from_numpy(sample.labels)][:, None, None, None]
    gaps = class_gaps(Samples({"valid": replace(sample, pixels=sample.pixels + change)}, ("core",)), BRIGHTNESS, "core")
    assert gaps is not None
    contrasts = contrasts_of(("a", "b", "c"))
    errors = [gaps.error_of(contrast) for contrast in contrasts]
    assert errors[2] < 0.1 and errors[2] < min(errors[:2]) and gaps.df == EACH - 1
    assert gaps.error_of(Contrast(0, OWN_CLASS, is_own_class=True)) == pytest.approx(np.mean(errors))


@pytest.mark.parametrize("size", [(3, 3), (1, 64), (5, 40)])
def test_small_and_oblong_canvases_are_asked(size: tuple[int, int]) -> None:
    sample = sample_of(torch.ones(SIDE, SIDE))
    pixels = sample.pixels[:, :, : size[0], :].repeat(1, 1, 1, 2)[..., : size[1]]
    assert error_in(replace(sample, pixels=pixels, masks={"core": torch.zeros(1, *size)})) is not None

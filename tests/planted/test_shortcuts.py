"""The planted shortcuts: each changes its own region and nothing else, and leaves the core cue as it is."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from scipy import ndimage

from seewhy.errors import OptionError
from seewhy.planted.folder import (
    KINDS,
    LABELS,
    SCENARIOS,
    Face,
    Recipe,
    faces_of,
    is_on,
    read_truth,
    render,
    sample_face,
    switched,
    write_faces,
)
from seewhy.planted.shortcuts import EVERYWHERE, PATTERN, _blurred

LOCAL = (*(kind for kind in KINDS if kind not in EVERYWHERE), PATTERN)
FACES = [sample_face(3, index, label, shortcut=()) for index in (1, 4, 7) for label in LABELS]


def pair(face: Face, kind: str, size: int):
    return tuple(render(switched(face, kind, on), size) for on in (False, True))


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("kind", LOCAL)
def test_outside_of_its_region_a_local_shortcut_changes_no_bit(kind: str, size: int):
    for face in FACES:
        off, on = pair(face, kind, size)
        region = on.region_of(kind)
        assert (region == off.region_of(kind)).all()
        differs = (off.image != on.image).any(-1)
        assert not differs[region == 0].any()
        assert differs[region > 0.5].mean() > (0.5 if region.max() else 0)


@pytest.mark.parametrize("kind", [kind for kind in (*KINDS, PATTERN) if kind != "shift"])
def test_the_parts_lie_alike_with_a_shortcut_on_and_off(kind: str):
    off, on = pair(FACES[0], kind, 64)
    assert set(off.masks) == set(on.masks)
    assert all((off.masks[name] == on.masks[name]).all() for name in off.masks)


@pytest.mark.parametrize("kind", EVERYWHERE)
def test_a_global_shortcut_may_act_everywhere_and_changes_the_picture(kind: str):
    off, on = pair(FACES[1], kind, 64)
    assert (on.region_of(kind) == 1).all()
    assert (off.image != on.image).any(-1).mean() > 0.3


@pytest.mark.parametrize("kind", ["tint", "texture", "mark", "watermark", "hair", "blur", "jpeg"])
def test_a_shortcut_leaves_the_core_cue_as_it_is(kind: str):
    # without drift the eyes are equal, and the cue is the checkerboard alone
    face = replace(FACES[0], looks=replace(FACES[0].looks, drift=(0.0,) * 5), amplitude=0.5)
    cues = []
    for on in (False, True):
        with_cue, without = (render(switched(one, kind, on), 64).image for one in (face, replace(face, amplitude=0.0)))
        inside = ((without > 25) & (without < 230)).all(-1)  # where nothing is clipped
        cues.append((with_cue.astype(int) - without, inside))
    both = cues[0][1] & cues[1][1]
    assert abs(cues[0][0][both]).max() > 8
    assert abs(cues[0][0] - cues[1][0])[both].max() <= 2  # each is cut to a whole level


@pytest.mark.parametrize("size", [64, 100, 128])
@pytest.mark.parametrize("area", [0.01, 0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("kind", ["logo", "mark", "frame", "watermark"])
def test_a_patch_takes_the_area_that_is_asked_for(kind: str, area: float, size: int):
    face = sample_face(3, 9, "fake", shortcut=kind, area=area)
    shown = render(face, size)
    if kind == "mark":  # inside the face, and hidden by hair
        assert (shown.masks[kind] <= shown.masks["face"] + 1e-6).all()
        assert 0.5 * area < shown.masks[kind].mean() < area * 1.02
    else:
        assert shown.masks[kind].mean() == pytest.approx(area, rel=1e-4)


def test_the_mark_lies_in_the_middle_of_the_forehead_and_the_logo_in_the_corner():
    face = replace(FACES[0], pose=replace(FACES[0].pose, shift=(0.0, 0.0), roll=0.0, yaw=0.0))
    row, column = ndimage.center_of_mass(render(switched(face, "mark", True), 64).masks["mark"])
    assert abs(column - 31.5) < 0.7
    assert 18 < row < 26
    row, column = ndimage.center_of_mass(render(switched(face, "logo", True), 64).masks["logo"])
    assert row < 12
    assert column > 52


def test_the_watermark_has_no_fixed_place():
    places = [
        ndimage.center_of_mass(render(switched(face, "watermark", True), 64).masks["watermark"]) for face in FACES
    ]
    assert np.std(places, axis=0).min() > 4


def test_jpeg_is_the_file_of_a_quality_of_90_or_40():
    face = sample_face(3, 4, "real", shortcut=())
    for quality, on in ((90, False), (40, True)):
        file = io.BytesIO()
        PIL.Image.fromarray(render(face, 64).image).save(file, "jpeg", quality=quality)
        assert (render(switched(face, "jpeg", on), 64).image == np.asarray(PIL.Image.open(file))).all()


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.3])
def test_the_blur_is_a_gaussian(spread: float):
    image = np.random.default_rng(0).random((3, 20, 20)).astype(np.float32)
    radius = int(np.ceil(3 * spread))
    expected = ndimage.gaussian_filter(
        image.astype(np.float64), (0, spread, spread), mode="nearest", radius=(0, radius, radius)
    )
    np.testing.assert_allclose(_blurred(image, spread), expected, atol=1e-6)


def test_brightness_scales_the_light():
    off, on = pair(FACES[1], "brightness", 64)
    dim = off.image < 200
    assert on.image[dim].astype(float).sum() / off.image[dim].sum() == pytest.approx(1.05 / 0.95, rel=0.01)


def test_shift_moves_the_head_sideways():
    off, on = pair(FACES[1], "shift", 64)
    (row_off, column_off), (row_on, column_on) = (ndimage.center_of_mass(one.masks["face"]) for one in (off, on))
    assert column_on - column_off == pytest.approx(0.14 * 32, abs=0.3)
    assert abs(row_on - row_off) < 0.1


def test_hair_of_a_bald_head_cannot_be_dyed():
    bald = replace(FACES[0], looks=replace(FACES[0].looks, style="bald"))
    off, on = pair(bald, "hair", 64)
    assert (off.image == on.image).all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "jpeg"])
def test_an_amount_of_zero_makes_on_and_off_equal(kind: str):
    face = sample_face(3, 4, "fake", shortcut=kind, amount=0.0)
    off, on = pair(face, kind, 64)
    assert (off.image == on.image).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_shortcut_is_on_as_often_as_the_strength_says(kind: str):
    for label, share in (("fake", 0.8), ("real", 0.2)):
        on = [is_on(sample_face(0, index, label, strength=0.8, shortcut=kind), kind) for index in range(250)]
        assert abs(np.mean(on) - share) < 0.11  # over 4 standard errors


def test_two_shortcuts_are_independent_of_each_other_and_of_the_face():
    both = [sample_face(0, index, "fake", strength=0.7, shortcut=("logo", "tint")) for index in range(400)]
    logo, tint = (np.array([is_on(face, kind) for face in both]) for kind in ("logo", "tint"))
    assert abs(np.corrcoef(logo, tint)[0, 1]) < 0.2  # 4 standard errors
    assert all(
        sample_face(0, face.index, "fake", strength=0.7, shortcut="logo").shortcuts == face.shortcuts
        and sample_face(0, face.index, "fake", strength=0.7) == replace(face, shortcuts=())
        for face in both[:20]
    )


def test_a_shortcut_that_is_not_asked_for_is_not_there_and_the_tint_is_even():
    faces = [sample_face(0, index, "fake", strength=1.0, shortcut="logo") for index in range(250)]
    assert all(is_on(face, "logo") and not is_on(face, "jpeg") for face in faces)
    assert abs(np.mean([face.tint for face in faces]) - 0.5) < 0.13


def test_switching_twice_gives_the_same_face_back():
    face = sample_face(0, 3, "fake", shortcut=("logo", "tint", "blur"), area=0.1)
    for kind in ("logo", "tint", "blur"):
        other = switched(face, kind, not is_on(face, kind))
        assert is_on(other, kind) != is_on(face, kind)
        assert switched(other, kind, is_on(face, kind)) == face


def test_two_shortcuts_in_one_picture_each_keep_to_their_region():
    face = sample_face(3, 4, "fake", shortcut=("logo", "frame", "jpeg"), area=0.1)
    face = switched(switched(face, "jpeg", False), "frame", True)
    bare = replace(face, shortcuts=tuple(one for one in face.shortcuts if one.kind != "jpeg"))
    off, on = pair(bare, "logo", 64)
    assert not (off.image != on.image).any(-1)[on.masks["logo"] == 0].any()
    assert {"logo", "frame"} <= set(on.masks)


@pytest.mark.parametrize(
    ("scenario", "split", "on_fakes", "on_reals"),
    [
        ("planted", "train", 0.95, 0.05),
        ("clean", "valid", 0.5, 0.5),
        ("decoy", "train", 0.5, 0.5),
        ("decoy", "valid", 0.95, 0.05),
        ("memorised", "train", 0.0, 0.0),
        ("legit", "train", 0.0, 0.0),
    ],
)
def test_a_scenario_decides_where_label_and_shortcut_agree(scenario: str, split: str, on_fakes: float, on_reals: float):
    faces = faces_of(split, 200, Recipe("logo", 0.95, scenario=scenario))
    for label, share in (("fake", on_fakes), ("real", on_reals)):
        on = [is_on(face, "logo") for face in faces if face.label == label]
        assert len(on) == 200
        assert abs(np.mean(on) - share) < 0.15


def test_a_memorised_background_belongs_to_one_face():
    one, other = (sample_face(3, index, "real", pattern=True) for index in (4, 7))
    plain = replace(one, shortcuts=())
    own = [
        render(face, 64).image.astype(float) - render(replace(face, shortcuts=()), 64).image for face in (one, other)
    ]
    both = (render(one, 64).masks["background"] == 1) & (render(other, 64).masks["background"] == 1)
    assert abs(np.corrcoef(own[0][both].ravel(), own[1][both].ravel())[0, 1]) < 0.2
    assert own[0][both].std() > 8
    assert (render(one, 64).image == render(plain, 64).image)[render(one, 64).masks["background"] == 0].all()


def test_where_backgrounds_are_memorised_the_tint_is_not_seen():
    for face in faces_of("train", 2, Recipe(scenario="memorised")):
        off, on = pair(face, "tint", 64)
        assert (off.image == on.image).all()


@pytest.mark.parametrize("difficulty", [0.25, 1.0])
def test_the_difficulty_takes_its_share_of_the_core_cue(difficulty: float):
    easy, hard = (sample_face(0, 4, "fake", difficulty=one) for one in (0.0, difficulty))
    assert hard == replace(easy, amplitude=easy.amplitude * (1 - difficulty))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_file_of_a_scenario_is_drawn_again(scenario: str, tmp_path: Path):
    write_faces(
        tmp_path / "faces", n_train=2, n_valid=1, size=32, shortcut=("tint", "watermark", "jpeg"), area=0.1, amount=0.7,
        difficulty=0.3, scenario=scenario,
    )  # fmt: skip
    truth = read_truth(tmp_path / "faces")
    recipe = Recipe(("tint", "watermark", "jpeg"), area=0.1, amount=0.7, difficulty=0.3, scenario=scenario)
    assert [one.face for one in truth] == [*faces_of("train", 2, recipe), *faces_of("valid", 1, recipe)]
    for one in truth:
        with PIL.Image.open(tmp_path / "faces" / one.path) as picture:
            assert (np.asarray(picture) == render(one.face, one.size).image).all()


def test_the_truth_of_a_plain_tint_has_no_further_columns(tmp_path: Path):
    write_faces(tmp_path / "faces", n_train=1, n_valid=1, size=16)
    assert (tmp_path / "faces" / "truth.csv").read_text().splitlines()[0] == "path,label,tint,amplitude,seed,index,size"


@pytest.mark.parametrize(
    ("call", "match"),
    [
        pytest.param(lambda: Recipe("tinted"), "shortcut is 'tinted'.*Nearest: tint", id="kind"),
        pytest.param(lambda: Recipe(("logo", "logo")), "each kind can be planted once", id="twice"),
        pytest.param(lambda: Recipe(scenario="decoys"), "scenario is 'decoys'.*Nearest: decoy", id="scenario"),
        pytest.param(lambda: Recipe(area=0.0), "area is 0.0, but must be above 0 and at most 0.5", id="area"),
        pytest.param(lambda: Recipe(difficulty=-0.1), "difficulty is -0.1", id="difficulty"),
        pytest.param(lambda: Recipe(strength=1.1), "between 0 and 1", id="strength"),
        pytest.param(lambda: sample_face(0, 0, "fake", difficulty=2), "difficulty is 2", id="difficulty-of-a-face"),
        pytest.param(lambda: sample_face(0, 0, "fake", shortcut="frames"), "Nearest: frame", id="kind-of-a-face"),
        pytest.param(lambda: switched(FACES[0], "colour", True), "shortcut is 'colour'", id="switch"),
        pytest.param(lambda: render(FACES[0], 32).region_of("backgroun"), "Nearest: background", id="region"),
        pytest.param(lambda: render(FACES[0], 32).region_of("logo"), "region is 'logo'", id="patch-not-planted"),
        pytest.param(lambda: write_faces(Path("never"), shortcut="halo"), "shortcut is 'halo'", id="files"),
    ],
)  # fmt: skip
def test_what_does_not_exist_is_refused(call, match: str):
    with pytest.raises(OptionError, match=match):
        call()
    assert not Path("never").exists()

"""The procedural faces: exact laws of the drawing, and the folder that holds them."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from seewhy.errors import DataError, OptionError
from seewhy.planted.folder import LABELS, STYLES, Face, read_truth, render, sample_face, write_faces

FACES = [sample_face(3, index, label) for index in range(12) for label in LABELS]
PARTS = ("face", "hair", "body", "background")


def with_style(style: str) -> Face:
    face = sample_face(0, 0, "fake")
    return replace(face, looks=replace(face.looks, style=style))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("data") / "faces", n_train=4, n_valid=2, size=48, seed=5)


def test_the_same_arguments_give_the_same_face_and_the_same_bytes():
    one, other = sample_face(1, 7, "fake"), sample_face(1, 7, "fake")
    assert one == other
    assert render(one, 64).image.tobytes() == render(other, 64).image.tobytes()


def test_seed_index_and_label_each_give_another_person():
    people = [
        sample_face(1, 7, "fake"),
        sample_face(2, 7, "fake"),
        sample_face(1, 8, "fake"),
        sample_face(1, 7, "real"),
    ]
    assert len({person.looks for person in people}) == 4


def test_strength_changes_nothing_but_the_tint():
    weak, strong = (sample_face(0, 4, "fake", strength=strength) for strength in (0.0, 1.0))
    assert (weak.tint, strong.tint) == (False, True)
    assert replace(weak, tint=True) == strong


@pytest.mark.parametrize("face", FACES, ids=lambda face: f"{face.label}-{face.index}")
def test_the_tint_changes_the_background_only(face: Face):
    cool, warm = (render(replace(face, tint=tint), 64) for tint in (False, True))
    background = cool.masks["background"]
    assert (cool.image != warm.image)[background == 0].sum() == 0
    assert (cool.image != warm.image).any(-1)[background == 1].mean() > 0.9
    assert all((cool.masks[name] == warm.masks[name]).all() for name in cool.masks)
    shift = warm.image.astype(float).mean((0, 1)) - cool.image.astype(float).mean((0, 1))
    assert shift[0] > 0 > shift[2]


@pytest.mark.parametrize("size", [16, 64, 100, 128])
def test_image_and_masks_have_the_size_type_and_range(size: int):
    shown = render(FACES[0], size)
    assert shown.image.shape == (size, size, 3)
    assert shown.image.dtype == np.uint8
    assert set(shown.masks) == {*PARTS, "artefact"}
    for mask in shown.masks.values():
        assert mask.shape == (size, size)
        assert mask.dtype == np.float32
        assert mask.min() >= 0
        assert mask.max() <= 1


@pytest.mark.parametrize("style", sorted(set(STYLES)))
def test_the_parts_of_every_style_add_up_to_one(style: str):
    masks = render(with_style(style), 64).masks
    np.testing.assert_allclose(sum(masks[part] for part in PARTS), 1, atol=1e-5)
    assert all(masks[part].mean() > 0.08 for part in ("face", "background"))
    assert (masks["hair"].max() == 0) == (style == "bald")


def test_the_masks_lie_where_the_parts_are():
    masks = render(FACES[0], 64).masks
    assert masks["face"][36, 32] == 1
    assert masks["background"][0, 0] == 1
    assert masks["body"][-1, 32] == 1


def test_the_shapes_do_not_depend_on_the_size():
    for face in FACES[:6]:
        small, large = render(face, 64).masks, render(face, 128).masks
        for part in PARTS:
            assert abs(large[part].reshape(64, 2, 64, 2).mean((1, 3)) - small[part]).mean() < 0.02


def test_only_fakes_have_the_cue_and_it_lies_in_the_face():
    for face in FACES:
        masks = render(face, 64).masks
        assert (face.amplitude > 0) == (masks["artefact"].max() > 0) == (face.label == "fake")
        assert (masks["artefact"] <= masks["face"] + 1e-6).all()


def test_without_amplitude_a_fake_changes_in_its_face_only():
    face = sample_face(0, 2, "fake")
    shown, clean = render(face, 64), render(replace(face, amplitude=0.0), 64)
    changed = (shown.image != clean.image).any(-1)
    assert changed.any()
    assert not changed[shown.masks["face"] == 0].any()


@pytest.mark.parametrize("strength", [0.1, 0.5, 0.9])
def test_the_tint_follows_the_strength(strength: float):
    n_faces = 300
    for label, share in zip(LABELS, (strength, 1 - strength), strict=True):
        tinted = sum(sample_face(0, index, label, strength=strength).tint for index in range(n_faces))
        assert abs(tinted / n_faces - share) < 0.12  # over 4 standard errors


def test_beside_cue_and_tint_the_classes_are_alike():
    noses = {label: [sample_face(0, index, label).looks.width for index in range(300)] for label in LABELS}
    assert abs(np.mean(noses["fake"]) - np.mean(noses["real"])) < 0.006  # 5 standard errors


@pytest.mark.parametrize(
    ("call", "match"),
    [
        pytest.param(lambda: sample_face(0, 0, "fakes"), "label is 'fakes'.*Nearest: fake", id="label"),
        pytest.param(lambda: sample_face(0, 0, "fake", strength=1.5), "between 0 and 1", id="strength"),
        pytest.param(lambda: render(FACES[0], 8), "at least 16", id="size"),
        pytest.param(lambda: write_faces(Path("never"), n_train=0), "at least 1 face", id="count"),
        pytest.param(lambda: write_faces(Path("never"), size=4), "at least 16", id="size-of-files"),
    ],
)
def test_options_out_of_range_are_refused(call, match: str):
    with pytest.raises(OptionError, match=match):
        call()
    assert not Path("never").exists()


def test_the_folder_has_the_layout_of_the_tutorial(folder: Path):
    assert (folder / "train.csv").read_text().splitlines()[:2] == [
        ",id,path,label,label_str",
        "0,fake_00000,train/fake/fake_00000.png,0,fake",
    ]
    for split, count in (("train", 4), ("valid", 2)):
        rows = table(folder / f"{split}.csv")
        assert [row[""] for row in rows] == [str(number) for number in range(2 * count)]
        assert Counter((row["label"], row["label_str"]) for row in rows) == {("0", "fake"): count, ("1", "real"): count}
        assert {row["path"] for row in rows} == {
            path.relative_to(folder).as_posix() for path in (folder / split).rglob("*.png")
        }
    assert sorted(path.name for path in folder.iterdir()) == ["train", "train.csv", "truth.csv", "valid", "valid.csv"]


def test_every_file_is_drawn_again_pixel_by_pixel(folder: Path):
    truth = read_truth(folder)
    assert len(truth) == 12
    for one in truth:
        with PIL.Image.open(folder / one.path) as picture:
            assert (np.asarray(picture) == render(one.face, one.size).image).all()


def test_no_face_is_in_both_splits(folder: Path):
    seen = Counter((one.face.label, one.face.index) for one in read_truth(folder))
    assert set(seen.values()) == {1}


def test_the_truth_is_what_was_sampled(folder: Path):
    for one in read_truth(folder):
        assert one.face == sample_face(5, one.face.index, one.face.label)


def test_a_second_run_leaves_the_same_bytes_and_says_how_far_it_is(folder: Path):
    before, seen = bytes_of(folder), []
    write_faces(folder, n_train=4, n_valid=2, size=48, seed=5, progress=lambda done, total: seen.append((done, total)))
    assert bytes_of(folder) == before
    assert seen == [(done, 12) for done in range(1, 13)]


def test_an_interrupted_run_is_completed(tmp_path: Path):
    options = {"n_train": 2, "n_valid": 1, "size": 32}
    whole = bytes_of(write_faces(tmp_path / "whole", **options))

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_faces(tmp_path / "part", **options, progress=stop)
    assert len(bytes_of(tmp_path / "part")) < len(whole)
    assert bytes_of(write_faces(tmp_path / "part", **options)) == whole


def test_other_options_give_other_bytes_and_are_refused_in_the_same_folder(folder: Path):
    with pytest.raises(DataError, match="other options; give another folder"):
        write_faces(folder, n_train=4, n_valid=2, size=48, seed=6)


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match=r"holds something else \(thesis.txt\); give a folder that is empty"):
        write_faces(tmp_path, n_train=1, n_valid=1, size=16)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(DataError, match="is a file"):
        write_faces(tmp_path / "thesis.txt", n_train=1, n_valid=1, size=16)


def test_a_folder_without_truth_or_with_a_strange_one_is_refused(tmp_path: Path, folder: Path):
    with pytest.raises(DataError, match=r"no truth\.csv"):
        read_truth(tmp_path)
    head, first, *_ = (folder / "truth.csv").read_text().splitlines()
    (tmp_path / "truth.csv").write_text(f"{head}\n{first.replace(',5,', ',6,', 1)}\n")
    with pytest.raises(DataError, match="has another amplitude"):
        read_truth(tmp_path)
    (tmp_path / "truth.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="does not describe faces"):
        read_truth(tmp_path)

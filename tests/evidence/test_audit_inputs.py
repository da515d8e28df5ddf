"""Data and options that do not fit: each is told with its reason and what to add, or refused in words."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.cli.app import main
from seewhy.errors import DataError, OptionError, SeewhyError
from seewhy.evidence.findings.finding import Finding
from seewhy.run.plan import make_plan
from tests.small_images import CLASSES, Reader, classifier_of, pictures_of, write_images, write_masks

MODEL = Reader(core=20.0, tint=20.0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data`, and masks of the core, of everything and of nothing for it and for images of the same names."""
    folder = tmp_path_factory.mktemp("inputs")
    write_masks(folder / "core", write_images(folder / "data", counts={"valid": 30}))
    write_masks(folder / "all", folder / "data", torch.ones(32, 32))
    write_masks(folder / "none", folder / "data", torch.zeros(32, 32))
    return folder


def audit_of(
    home: Path, model: nn.Module = MODEL, data: object = None, preprocess: object = None, **options: object
) -> seewhy.Audit:
    asked = {"regions": f"core={home / 'core'},around=not:core", "core": "core", "properties": "tint", "recipients": 16}
    classifier = classifier_of(model, CLASSES, **({} if preprocess is None else {"preprocess": preprocess}))
    chosen: dict[str, object] = {**asked, "progress": False, **options}
    return seewhy.audit(classifier, home / "data" if data is None else data, **chosen)


def copies_of(home: Path, images: Sequence[str], folder: Path) -> Path:
    """30 copies of one image in each class."""
    for name, image in zip(CLASSES, images, strict=True):
        (folder / "valid" / name).mkdir(parents=True)
        for number in range(30):
            shutil.copy(home / "data" / "valid" / image, folder / "valid" / name / f"{number:04d}.png")
    return folder


def opened(found: seewhy.Audit) -> dict[str, Finding]:
    """The findings that say that nothing can be said, each with its reason and (by this assertion) what to do."""
    cannot = {one.factor: one for one in found.findings if one.level == "CANNOT SAY"}
    assert all(one.text and one.todo for one in cannot.values()), cannot
    return cannot


# Images.


def test_of_one_class_nothing_can_be_exchanged(home: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "one", counts={"valid": 30}, classes=("cat",))
    found = audit_of(home, data=data, marks=["word=text:AB"])
    told = opened(found)["all factors"]
    assert "valid holds cat 30" in told.text and "--mark" in told.todo
    assert found["word"].numbers["recipients"] == 30 and len(found.findings) == 2


def test_of_few_images_of_a_class_too_little_is_known(home: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "few", counts={"valid": 7})
    found = audit_of(home, data=data)
    for name in ("around", "core"):
        assert "7" in opened(found)[name].text and "8" in opened(found)[name].text
        assert "Add images" in found[name].todo and found[name].claims == ()


def test_of_few_images_the_rest_cannot_be_judged_either(home: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "few", counts={"valid": 7})
    assert audit_of(home, data=data)["everything outside the core"].level == "CANNOT SAY"


def test_of_few_images_nothing_is_grouped(home: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "few", counts={"valid": 7})
    found = audit_of(home, data=data)
    assert all(one.members == () and "Not separated" not in one.text for one in found.findings)


def test_without_valid_the_train_images_are_audited_and_it_is_said(home: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "train-only", counts={"train": 30})
    masks = write_masks(tmp_path / "core", data)
    found = audit_of(home, data=data, regions=f"core={masks},around=not:core")
    assert any("no valid split" in note and "memorised" in note for note in found.facts["notes"])
    assert found["core"].numbers["split"] == "train"
    assert all("overfit" not in one.claims for one in found.findings)


def test_without_train_nothing_is_said_about_overfitting(home: Path, tmp_path: Path) -> None:
    found = audit_of(home, data=write_images(tmp_path / "valid-only", counts={"valid": 30}))
    assert any("no train split" in note for note in found.facts["notes"])
    assert all(case.overfit is None and case.on_train is None for case in found.cases.singles)


def test_a_split_of_another_name_is_said_to_be_left_out(home: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "three", counts={"train": 30, "valid": 30, "spare": 4})
    found = audit_of(home, data=data)
    assert any("'spare'" in note and "8" in note for note in found.facts["notes"])


def test_images_without_labels_are_refused(home: Path, tmp_path: Path) -> None:
    for path in sorted((home / "data" / "valid").rglob("*.png"))[:10]:
        shutil.copy(path, tmp_path / f"{path.parent.name}{path.name}")
    with pytest.raises(DataError, match="No image has a label"):
        audit_of(home, data=tmp_path, regions="corners", core="")


def test_unreadable_images_are_rows_with_reasons(home: Path, tmp_path: Path) -> None:
    data = shutil.copytree(home / "data", tmp_path / "bad")
    broken = sorted((data / "valid" / "cat").iterdir())[:3]
    for path in broken:
        path.write_bytes(b"no picture")
    found = audit_of(home, data=data)
    assert {*found.facts["unreadable"]} == {path.relative_to(data).as_posix() for path in broken}
    assert all(found.facts["unreadable"].values()) and found.facts["splits"] == {"valid": 57}
    assert any("Few images: 27" in line for line in found["around"].evidence)  # those that are left


def test_where_no_image_can_be_read_the_first_reason_is_told(home: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "bad", counts={"valid": 3})
    for path in data.rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"can be read(.|\n)*0000\.png"):
        audit_of(home, data=data, regions="corners", core="")


def test_copies_of_one_image_are_one(home: Path, tmp_path: Path) -> None:
    found = audit_of(home, data=copies_of(home, ("cat/0000.png", "dog/0000.png"), tmp_path / "same"))
    assert found.facts["distinct"] == {"valid": 2}
    assert {one.level for one in found.findings if one.factor in ("core", "around", "tint")} == {"CANNOT SAY"}
    assert "1 distinct" in found["core"].text


def test_where_all_images_are_the_same_nothing_can_be_exchanged(home: Path, tmp_path: Path) -> None:
    found = audit_of(home, data=copies_of(home, ("cat/0000.png", "cat/0000.png"), tmp_path / "same"))
    assert all("same in every image" in opened(found)[name].text for name in ("core", "around", "tint"))
    assert found.findings[0].factor == "classifier"


# Masks.


@pytest.mark.parametrize(("size", "fits"), [((64, 64), True), ((16, 16), True), ((64, 20), False)])
def test_masks_of_another_size_fit_by_their_shape(
    home: Path, tmp_path: Path, size: tuple[int, int], fits: bool
) -> None:
    folder = shutil.copytree(home / "core", tmp_path / "masks")
    for path in folder.rglob("*.png"):
        PIL.Image.open(path).resize(size, PIL.Image.Resampling.NEAREST).save(path)
    found = audit_of(home, regions=f"core={folder},around=not:core")
    if fits:
        assert "core" not in opened(found)
        assert found["core"].numbers["margin"] == audit_of(home)["core"].numbers["margin"]
    else:
        assert "no image has a mask" in opened(found)["core"].text
        assert any("64 x 20 pixels" in words for words in found.facts["warnings"]["core"])


def test_images_without_a_mask_are_left_out(home: Path, tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"valid": 40})
    folder = write_masks(tmp_path / "masks", data)
    for name in CLASSES:
        for path in sorted((folder / "valid" / name).iterdir())[:8]:
            path.unlink()
    found = audit_of(home, data=data, regions=f"core={folder},around=not:core", recipients=80)
    assert sum(found["core"].numbers["probability"]["n"].values()) == 64
    assert any("missing for 16 of 80" in words for words in found.facts["warnings"]["core"])


def test_masks_that_only_few_of_a_class_have_are_ruled_out(home: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(home / "core", tmp_path / "masks")
    for path in sorted((folder / "valid" / "cat").iterdir())[:23]:
        path.unlink()
    found = audit_of(home, regions=f"core={folder},around=not:core")
    assert {"core", "around"} <= {*opened(found)}
    assert any("fails more often for one class" in words for words in found.facts["warnings"]["core"])


def test_a_core_that_cannot_be_used_is_not_asked_for_again(home: Path) -> None:
    found = audit_of(home, regions=f"core={home / 'none'},corners", marks=[])
    assert not any("name that with --core" in one.text for one in found.findings)


@pytest.mark.parametrize(("name", "reason"), [("all", "covers all"), ("none", "empty")])
def test_regions_of_everything_or_nothing_are_ruled_out(home: Path, name: str, reason: str) -> None:
    found = audit_of(home, regions=f"core={home / 'core'},around=not:core,{name}={home / name}")
    assert reason in opened(found)[name].text and "--regions" in found[name].todo
    assert "depends" in found["core"].claims  # all else is tested


def test_a_property_that_never_varies_is_ruled_out(home: Path) -> None:
    found = audit_of(home, properties="jpeg,tint")
    assert "same in every image" in opened(found)["jpeg"].text and "Leave it out" in found["jpeg"].todo


# Networks.


class Always(Reader):
    def forward(self, x: Tensor) -> Tensor:
        return 0.01 * super().forward(x) + torch.tensor([5.0, 0.0])


class Broken(Reader):
    """NaN for every image whose corner is bright."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x[:, :1, 0, 0] > 0.5, torch.nan, super().forward(x))


def test_a_classifier_that_gives_one_answer_is_the_first_finding(home: Path) -> None:
    first = audit_of(home, Always()).findings[0]
    assert first.factor == "classifier" and "'cat'" in first.text and "60" in first.text and first.todo


def test_answers_that_are_no_numbers_are_said(home: Path) -> None:
    try:
        found = audit_of(home, Broken(core=20.0))
    except SeewhyError as error:
        assert "NaN" in str(error) or "not finite" in str(error)
    else:
        first = found.findings[0]
        assert first.factor == "classifier" and ("NaN" in first.text or "not finite" in first.text)


def test_a_segmentation_is_refused(home: Path) -> None:
    class Places(Reader):
        def forward(self, x: Tensor) -> Tensor:
            return self.look(x)[:, :2]

    with pytest.raises(OptionError, match="segmentation"):
        audit_of(home, Places())


def test_another_number_of_logits_is_refused(home: Path) -> None:
    class Three(Reader):
        def forward(self, x: Tensor) -> Tensor:
            return self.look(x).mean(dim=(2, 3))

    with pytest.raises(SeewhyError, match="3 logits"):
        audit_of(home, Three())


def as_tensor(image: PIL.Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def test_a_preprocessing_function_rules_out_properties_and_keeps_regions(home: Path) -> None:
    found, usual = audit_of(home, preprocess=as_tensor), audit_of(home)
    assert "no canvas in 0..1" in opened(found)["tint"].text and "--mean" in found["tint"].todo
    # Content is not rounded to bytes here, and needs not be: masks are hard.
    assert found["core"].numbers["margin"]["value"] == pytest.approx(usual["core"].numbers["margin"]["value"], abs=1e-3)
    with pytest.raises(OptionError, match="canvas"):
        audit_of(home, preprocess=as_tensor, marks=["word=text:A"])


# Data sets.


class Pictures(torch.utils.data.Dataset[tuple[Tensor, int]]):
    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        if place >= len(self):
            raise IndexError(place)
        return self.pixels[place], int(self.labels[place])


@pytest.mark.parametrize("kind", ["list", "dataset"])
def test_tensors_with_labels_are_audited_like_the_files(home: Path, kind: str) -> None:
    pixels, labels = pictures_of(home / "data", "valid")
    data = Pictures(pixels, labels)
    found = audit_of(
        home, data=data if kind == "dataset" else [data[place] for place in range(60)], regions="centre", core="centre"
    )
    assert "depends" in found["centre"].claims and "depends" in found["tint"].claims
    assert any("no valid split" in note for note in found.facts["notes"])
    assert found.design.audited.preprocess is not None


def test_tensors_beyond_a_canvas_keep_their_regions(home: Path) -> None:
    pixels, labels = pictures_of(home / "data", "valid")
    found = audit_of(home, data=Pictures(4 * pixels - 1, labels), regions="centre", core="centre")
    assert "no canvas in 0..1" in opened(found)["tint"].text and "depends" in found["centre"].claims


# Options.


@pytest.mark.parametrize("budget", ["soon", "0", "-5", "5x", "m", "", "1e3", "-1m", "0s", 0, -3])
def test_a_budget_that_is_none_is_refused(home: Path, budget: object) -> None:
    with pytest.raises(OptionError, match="--budget"):
        audit_of(home, budget=budget)


def test_a_budget_that_buys_no_factor_is_refused_with_one_that_does(home: Path) -> None:
    with pytest.raises(OptionError, match=r"comes to 1, but \w+ alone takes up to [\d,]+ trials") as raised:
        audit_of(home, budget=1)
    least = int(str(raised.value).rpartition("--budget ")[2].split()[0])
    found = audit_of(home, budget=least)
    assert 0 < found.facts["trials"] <= least
    assert "all factors" not in {finding.factor for finding in found.findings}
    left_out = found.design.schedule.left_out
    assert left_out and all("--budget" in found[name].todo for name in left_out)


@pytest.mark.parametrize("budget", [500, "500", 1500, 3000])
def test_a_budget_is_kept(home: Path, budget: int | str) -> None:
    found = audit_of(home, budget=budget)
    assert 0 < found.facts["trials"] <= int(budget)
    assert {one.name for one in found.design.factors} - {*found.design.schedule.left_out}


def test_a_budget_of_time_is_turned_into_trials(home: Path) -> None:
    assert audit_of(home, budget="1h").design.budget > 10**5
    with pytest.raises(OptionError, match="--budget"):
        audit_of(home, budget="0.000001s")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"core": "nose"}, "'nose'"),
        ({"regions": "bordr"}, "Nearest: border"),
        ({"regions": "border=nowhere"}, "nowhere"),
        ({"properties": "tnt"}, "Nearest: tint"),
        ({"properties": "nofile.py:thing"}, "nofile.py"),
        ({"properties": "json:dumps"}, "seewhy.Property"),
        ({"marks": ["word"]}, "--mark"),
        ({"marks": ["word=nofile.png"]}, "nofile.png"),
        ({"marks": ["word=text:"]}, "letters"),
        ({"marks": ["word=text:A@topleft"]}, "Nearest: top-left"),
        ({"recipients": 0}, "--recipients"),
        ({"donors": -1}, "--donors"),
        ({"regions": "corners", "core": "corner"}, "Nearest: corners|no region"),
    ],
)
def test_unknown_words_are_refused_with_what_there_is(home: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(SeewhyError, match=said):
        audit_of(home, **{"core": "", **options})


def test_two_factors_of_one_name_are_refused(home: Path) -> None:
    with pytest.raises(OptionError, match="'tint'"):
        audit_of(home, regions=f"core={home / 'core'},tint=not:core")


@pytest.mark.parametrize("marks", [["word=text:A", "word=text:B"], ["core=text:A"], ["tint=text:A"]])
def test_two_marks_of_one_name_are_refused(home: Path, marks: Sequence[str]) -> None:
    with pytest.raises(OptionError, match="name"):
        audit_of(home, marks=marks)


# On the command line.

NET = """
from tests.small_images import Reader

class Net(Reader):
    def __init__(self):
        super().__init__(core=20.0, tint=20.0)
"""
WORDS = ["--model", "net.py:Net", "--classes", "cat,dog", "--size", "32", "--mean", "0,0,0", "--std", "1,1,1"]
WORDS += ["--workers", "1", "--regions", "centre", "--factors", "tint", "--recipients", "16"]


@pytest.mark.parametrize(
    "words",
    [
        ["--budget", "soon"],
        ["--core", "nose"],
        ["--factors", "tnt"],
        ["--insert", "w"],
        ["--regions", "x"],
    ],
)
def test_the_command_leaves_with_2_and_says_what_to_type(
    home: Path, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["audit", str(home / "data"), *WORDS, *words])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and words[1] in said and "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".py" and path.name != "__pycache__"] == []


def test_a_plan_makes_no_trial(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["audit", str(home / "data"), *WORDS, "--plan", "--out", "planned"])
    said = capsys.readouterr().out
    assert not stopped.value.code and not (tmp_path / "planned").exists()
    assert "trials" in said and "tint" in said and "With 30 images of a class" in said


# Old words.


@pytest.mark.parametrize(
    ("old", "new", "value"), [("factors", "properties", "none"), ("inserts", "marks", ["w=text:A"])]
)
def test_an_old_word_works_and_names_the_new_one(home: Path, old: str, new: str, value: object) -> None:
    classifier = classifier_of(MODEL, CLASSES)
    options = {"regions": "centre", "core": "centre", "recipients": 16, "progress": False, "limit": 20}
    options = {"properties": "none", **options} if old == "inserts" else options
    with pytest.warns(DeprecationWarning, match=rf"{old}= is called {new}= now"):
        found = seewhy.audit(classifier, home / "data", **{old: value}, **options)
    assert found.facts["images"] == 20 and found.folder is None
    with pytest.raises(OptionError, match=f"give only the latter|{new}"):
        seewhy.audit(classifier, home / "data", **{old: value, new: value})


@pytest.mark.parametrize("asked", [{"limit": 20}, {"sample": 20}])
def test_so_many_images_are_taken_as_explain_takes_them(home: Path, asked: dict[str, int]) -> None:
    found = audit_of(home, regions="centre", core="", properties="none", **asked)
    plan = make_plan(classifier_of(MODEL, CLASSES), home / "data", **asked)
    assert [image.id for image in found.design.audited.images] == [image.id for image in plan.table.images]

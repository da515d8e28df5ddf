"""Every wrong input of the command line: its exit status, and a message that says what to type."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from seewhy.cli.app import main
from seewhy.store.tables import read_outcomes

NET = '''
import torch
from torch import nn


class Net(nn.Module):
    """Any size, two classes."""

    def __init__(self, width=4):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 6, 3, padding=1)
        self.fc = nn.Linear(6, 2)

    def forward(self, x):
        return self.fc(self.conv2(self.conv1(x).relu()).relu().mean((2, 3)))


class Flat(nn.Module):
    """A head that flattens: 64 x 64 only."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=4, padding=1)
        self.fc = nn.Linear(4 * 16 * 16, 2)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))


class Grey(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


class Segments(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 2, 3, padding=1))


class Speaks(Net):
    def forward(self, x):
        return "a cat"


class Bare(nn.Sequential):
    """No layer with a grid."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))


class Blind(Net):
    """NaN for dark images."""

    def forward(self, x):
        dark = x.mean((1, 2, 3)) < 0.2
        return torch.where(dark[:, None], torch.nan, super().forward(x))


class Hungry(Net):
    """Out of memory for more than one image."""

    def forward(self, x):
        if len(x) > 1:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes.")
        return super().forward(x)


class Interrupted(Net):
    def forward(self, x):
        if len(x) > 1:
            raise KeyboardInterrupt
        return super().forward(x)
'''


@dataclass
class Place:
    """A folder with networks, weights and images, and the command line run in it."""

    home: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as raised:
            main([str(one) for one in arguments])
        out, err = self.capsys.readouterr()
        return int(raised.value.code or 0), out, err

    def explain(self, images: str = "images", *arguments: str, model: str = "net.py:Net") -> tuple[int, str, str]:
        out = [] if "--out" in arguments else ["--out", "run"]
        return self.run("explain", images, "--model", model, "--workers", "1", *out, *arguments)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    (tmp_path / "net.py").write_text(NET)
    for number in range(3):
        paint(tmp_path / "images" / f"{number}.png", 60 * number + 20)
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, capsys)


def paint(path: Path, level: int = 100, size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(level).integers(-15, 15, (size[1], size[0], 3))
    PIL.Image.fromarray((level + noise).astype(np.uint8)).save(path)


def assert_told(result: tuple[int, str, str], status: int, *parts: str) -> None:
    found, out, err = result
    assert found == status, err
    for part in parts:
        assert part in err
    assert "Traceback" not in err
    assert not err.startswith("Unexpected")
    assert out == ""


def test_what_is_right_leaves_with_zero(place: Place) -> None:
    status, out, err = place.explain()
    assert status == 0, err
    assert "3 images explained" in out
    assert (place.home / "run" / "manifest.json").exists()


CASES: dict[str, tuple[list[str], int, list[str]]] = {
    # arguments after `seewhy`, exit status, what standard error holds
    "no-such-folder": (
        ["explain", "image", "--model", "net.py:Net"],
        2,
        ["DataError: There is no file or folder image.  Nearest: images.", "docs/errors.md#no-such-file"],
    ),
    "no-such-file-in-a-folder": (
        ["explain", "images/00.png", "--model", "net.py:Net"],
        2,
        ["There is no file or folder images/00.png.  Nearest: images/0.png"],
    ),
    "no-such-model-file": (
        ["explain", "images", "--model", "nett.py:Net"],
        2,
        ["ModelError: There is no file nett.py.  Nearest: net.py.", "#no-such-file"],
    ),
    "no-such-class-in-the-file": (
        ["explain", "images", "--model", "net.py:Nett"],
        2,
        ["net.py has no 'Nett'.  Nearest: Net", "#no-such-model"],
    ),
    "several-networks": (["explain", "images", "--model", "net.py"], 2, ["name one:  --model net.py:Net"]),
    "no-such-layer": (
        ["explain", "images", "--model", "net.py:Net", "--layers", "conv3"],
        2,
        ["LayerError: Net has no layer 'conv3'.  Nearest: conv", "--layers conv", "seewhy layers", "#no-such-layer"],
    ),
    "layer-without-a-grid": (
        ["explain", "images", "--model", "net.py:Net", "--layers", "fc"],
        2,
        ["Layer 'fc' gives shape (1, 2)", "seewhy layers", "#layer-without-grid"],
    ),
    "layer-call-that-never-runs": (
        ["explain", "images", "--model", "net.py:Net", "--layers", "conv1@2"],
        2,
        ["Layer 'conv1@2' never runs", "#layer-never-runs"],
    ),
    "layer-twice": (
        ["explain", "images", "--model", "net.py:Net", "--layers", "conv1,conv1"],
        2,
        ["The layer 'conv1' was named twice"],
    ),
    "no-such-method": (
        ["explain", "images", "--model", "net.py:Net", "--method", "grad-kam"],
        2,
        ["There is no method 'grad-kam'.  Nearest: grad-cam", "Methods: auto, grad-cam", "#no-such-method"],
    ),
    "no-such-preset": (
        ["explain", "images", "--model", "net.py:Net", "--preset", "grad-cam"],
        2,
        ["There is no preset 'grad-cam'.  Presets: pytorch-grad-cam.  Nearest: pytorch-grad-cam."],
    ),
    "no-such-format": (
        ["explain", "images", "--model", "net.py:Net", "--format", "gif"],
        2,
        ["There is no picture format 'gif'.  Formats: jpg, png."],
    ),
    "no-such-class": (
        ["explain", "images", "--model", "net.py:Net", "--classes", "fake,real", "--target", "fale"],
        2,
        [
            "There is no class 'fale'.  Nearest: fake",
            "fake, real (0 to 1)",
            "predicted, label",
            "contrast:A:B",
            "#no-such-class",
        ],
    ),
    "class-number-too-high": (
        ["explain", "images", "--model", "net.py:Net", "--target", "2"],
        2,
        ["There is no class '2'.", "0, 1 (0 to 1)"],
    ),
    "too-many-class-names": (
        ["explain", "images", "--model", "net.py:Net", "--classes", "a,b,c"],
        2,
        ["DataError: 3 class names for 2 logits: a, b, c.", "#class-count"],
    ),
    "labels-are-not-known": (
        ["explain", "images", "--model", "net.py:Net", "--target", "label"],
        2,
        ["The target is 'label', but no image has one.", "--target predicted", "#no-labels"],
    ),
    "limit-and-sample": (
        ["explain", "images", "--model", "net.py:Net", "--limit", "1", "--sample", "1"],
        2,
        ["--limit and --sample cannot be given together"],
    ),
    "limit-zero": (["explain", "images", "--model", "net.py:Net", "--limit", "0"], 2, ["--limit is 0"]),
    "batch-of-none": (["explain", "images", "--model", "net.py:Net", "--batch-size", "0"], 2, ["--batch-size is 0"]),
    "bad-size": (
        ["explain", "images", "--model", "net.py:Net", "--size", "big"],
        2,
        ["--size is 'big', but must look"],
    ),
    "bad-crop": (
        ["explain", "images", "--model", "net.py:Net", "--resize", "9", "--crop", "8x"],
        2,
        ["--crop is '8x', but must look like 256 or 240x320"],
    ),
    "crop-alone": (
        ["explain", "images", "--model", "net.py:Net", "--crop", "8"],
        2,
        ["crop is 8 x 8, but to which size the photograph is brought first is not said", "--resize 256 --crop 224"],
    ),
    "bad-size-x": (["explain", "images", "--model", "net.py:Net", "--size", "8x"], 2, ["--size is '8x'"]),
    "three-sizes": (["explain", "images", "--model", "net.py:Net", "--size", "8x8x3"], 2, ["--size is '8x8x3'"]),
    "odd-digits": (["explain", "images", "--model", "net.py:Net", "--size", "2²"], 2, ["--size is '2²'"]),
    "seed-negative": (["explain", "images", "--model", "net.py:Net", "--seed", "-1"], 2, ["--seed is -1, but must be"]),
    "seed-large": (["trends", "run", "--seed", str(2**32)], 2, ["--seed is 4294967296, but must be 0 to 4294967295."]),
    "seed-of-compare": (
        ["methods", "--compare", "images", "--model", "net.py:Net", "--seed", "-1"],
        2,
        ["--seed is -1"],
    ),
    "size-zero": (["explain", "images", "--model", "net.py:Net", "--size", "0"], 2, ["must be at least 1 x 1"]),
    "bad-mean": (
        ["explain", "images", "--model", "net.py:Net", "--mean", "a,b"],
        2,
        ["--mean is 'a,b'", "0.485,0.456"],
    ),
    "two-means": (["explain", "images", "--model", "net.py:Net", "--mean", "1,2"], 2, ["mean has 2 values"]),
    "std-zero": (["explain", "images", "--model", "net.py:Net", "--std", "0"], 2, ["every value must be above 0"]),
    "bad-std": (["explain", "images", "--model", "net.py:Net", "--std", "0.1;0.2"], 2, ["--std is '0.1;0.2'"]),
    "bad-fit": (["explain", "images", "--model", "net.py:Net", "--fit", "cropp"], 2, ["Nearest: crop"]),
    "bad-channels": (["explain", "images", "--model", "net.py:Net", "--channels", "brg"], 2, ["rgb, bgr, grey"]),
    "bad-range": (["explain", "images", "--model", "net.py:Net", "--range", "0-1.0"], 2, ["0-1, 0-255"]),
    "bad-model-arg": (
        ["explain", "images", "--model", "net.py:Net", "--model-arg", "width:3"],
        2,
        ["--model-arg is 'width:3', but must look like width=16"],
    ),
    "unknown-model-arg": (
        ["explain", "images", "--model", "net.py:Net", "--model-arg", "widht=3"],
        2,
        ["Net(width=4) cannot be called", "'widht'"],
    ),
    "no-such-device": (
        ["explain", "images", "--model", "net.py:Net", "--device", "tpu"],
        2,
        ["There is no device 'tpu' here", "--device cpu"],
    ),
    "no-such-weights": (
        ["explain", "images", "--model", "net.py:Net", "--weights", "w.pt"],
        2,
        ["WeightsError: There is no file w.pt."],
    ),
    "epoch-without-weights": (
        ["explain", "images", "--model", "net.py:Net", "--epoch", "4"],
        2,
        ["--epoch 4 needs --weights DIRECTORY"],
    ),
    "segmentation": (
        ["explain", "images", "--model", "net.py:Segments", "--task", "classification"],
        2,
        ["returned shape (1, 2, 8, 8) for 1 images", "looks like a segmentation", "--task", "#logits-shape"],
    ),
    "no-such-task": (
        ["explain", "images", "--model", "net.py:Net", "--task", "regresion"],
        2,
        ["There is no task 'regresion'.  Nearest: regression", "Tasks: classification", "#task"],
    ),
    "a-string": (["explain", "images", "--model", "net.py:Speaks"], 2, ["returned str", "Wrap it", "#logits-shape"]),
    "no-spatial-layer": (
        ["explain", "images", "--model", "net.py:Bare"],
        2,
        ["LayerError: No layer of this network has a grid", "seewhy layers --model", "#layer-without-grid"],
    ),
    "wrong-size": (
        ["explain", "images", "--model", "net.py:Flat"],
        2,
        ["Flat cannot take input of shape (1, 3, 8, 8)", "A size that fits:  --size 64", "#input-size"],
    ),
    "wrong-channels": (
        ["explain", "images", "--model", "net.py:Grey"],
        2,
        ["Its first convolution reads 1 channels:  --channels grey", "#input-size"],
    ),
    "no-config": (
        ["explain", "images", "--model", "net.py:Net", "--config", "absent.toml"],
        2,
        ["absent.toml cannot be read", "No such file", "#config"],
    ),
    "layers-of-no-model": (["layers", "--model", "ne.py:Net"], 2, ["There is no file ne.py.  Nearest: net.py"]),
    "rendering-options-of-an-archive": (
        ["data", "faces.zip", "--size", "64", "--seed", "1", "--json"],
        2,
        ["Only planted images are rendered, so --size, --seed would say nothing of faces.zip."],
    ),
    "train-without-images": (
        ["train", "imges", "--model", "net.py:Net"],
        2,
        ["no file or folder imges.  Nearest: images"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_input_says_what_to_type(place: Place, case: str) -> None:
    arguments, status, parts = CASES[case]
    extra = ["--workers", "1", "--out", "run"] if arguments[0] == "explain" else []
    assert_told(place.run(*arguments, *extra), status, *parts)
    assert not (place.home / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["explain", "images"], "--model"),
        (["explain", "--model", "net.py:Net"], "images"),
        (["explain", "images", "--model", "net.py:Net", "--limit", "many"], "--limit"),
        (["explain", "images", "--model", "net.py:Net", "--layer", "conv1"], "--layer"),
        (["explian"], "explian"),
    ],
    ids=["no-model", "no-images", "no-number", "no-such-option", "no-such-command"],
)
def test_usage_errors_leave_with_two(place: Place, arguments: list[str], part: str) -> None:
    status, _, err = place.run(*arguments)
    assert status == 2
    assert part in err
    assert err.startswith("Usage: seewhy")


def test_zero_images(place: Place) -> None:
    (place.home / "empty").mkdir()
    (place.home / "empty" / "notes.txt").touch()
    assert_told(place.explain("empty"), 2, "Found no images in empty, which holds: notes.txt.", ".png", "#no-images")


def test_no_image_can_be_read(place: Place) -> None:
    for number in range(5):
        (place.home / "bad").mkdir(exist_ok=True)
        (place.home / "bad" / f"{number}.jpg").write_text("no image")
    result = place.explain("bad")
    assert_told(result, 2, "None of the 5 images can be read:", "0.jpg: no image format", "… and 2 more", "#no-images")


def test_mixed_sizes_name_the_size_that_fits(place: Place) -> None:
    paint(place.home / "images" / "tall.png", size=(8, 12))
    result = place.explain(model="net.py:Flat")
    assert_told(result, 2, "2 different sizes: 8 x 8 (3), 8 x 12 (1).", "--size 64", "#mixed-sizes")
    assert place.explain("images", "--size", "64", model="net.py:Flat")[0] == 0


def test_weights_of_another_network(place: Place) -> None:
    torch.save({"conv1.weight": torch.zeros(1), "convv2.weight": torch.zeros(1)}, place.home / "w.pt")
    result = place.explain("images", "--weights", "w.pt")
    assert_told(result, 2, "w.pt does not fit Net: ", "conv2.weight", "convv2.weight", "#weights-mismatch")


def test_a_checkpoint_that_carries_code(place: Place) -> None:
    (place.home / "w.pt").write_bytes(b"cos\nmkdir\n(S'it-ran'\ntR.")
    result = place.explain("images", "--weights", "w.pt")
    assert_told(result, 2, "w.pt is not plain weights", "torch.save(model.state_dict(), 'weights.pt')", "#carries-code")
    assert not (place.home / "it-ran").exists()


def test_nan_logits_are_rows_with_a_reason(place: Place) -> None:
    status, out, err = place.explain(model="net.py:Blind")
    assert status == 0, err
    assert "without a result: 1" in out
    assert "the network gave NaN or infinite logits (1)" in out
    errors = [outcome.error for outcome in read_outcomes(place.home / "run" / "records.parquet")]
    assert errors == ["the network gave NaN or infinite logits", None, None]


def test_nothing_but_nan_still_is_a_run(place: Place) -> None:
    for number in range(3):
        paint(place.home / "dark" / f"{number}.png", 20)
    status, out, err = place.explain("dark", model="net.py:Blind")
    assert status == 0, err
    assert "0 images explained" in out
    assert "without a result: 3" in out


def test_unreadable_images_are_rows_with_a_reason(place: Place) -> None:
    (place.home / "images" / "1.jpg").write_text("no image")
    status, out, _ = place.explain("images", "--json")
    assert status == 0
    summary = json.loads(out)
    assert (summary["images"], summary["without_result"]) == (4, 1)
    assert summary["reasons"] == {"no image format that can be read": 1}


def test_out_of_memory_gives_a_batch_size(place: Place) -> None:
    result = place.explain("images", "--batch-size", "8", model="net.py:Hungry")
    assert_told(result, 1, "WorkError: Out of memory with 3 images at once.", "--batch-size 1", "#out-of-memory")
    assert place.explain("images", "--batch-size", "1", "--out", "other", model="net.py:Hungry")[0] == 0


def test_an_interrupted_run_says_how_to_go_on(place: Place) -> None:
    status, _, err = place.explain(model="net.py:Interrupted")
    assert status == 130
    assert "the same command goes on from there" in err
    assert "Traceback" not in err


def test_a_folder_that_holds_something_else(place: Place) -> None:
    (place.home / "run").mkdir()
    (place.home / "run" / "thesis.tex").write_text("x")
    result = place.explain()
    assert_told(
        result, 2, "run holds something else (thesis.tex), not a run.", "--out run-2", "#folder-holds-something"
    )
    assert [one.name for one in (place.home / "run").iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_the_folder(place: Place) -> None:
    (place.home / "run").write_text("x")
    assert_told(place.explain(), 2, "run cannot be written", "#cannot-write")


def test_another_run_says_what_differs(place: Place) -> None:
    torch.manual_seed(0)
    assert place.explain("images", "--size", "8", "--classes", "a,b")[0] == 0
    before = (place.home / "run" / "manifest.json").read_bytes()
    result = place.explain("images", "--size", "16", "--classes", "a,b", "--method", "layercam")
    assert_told(
        result, 2, "run holds another run; these differ:", "--method: grad-cam there, layercam asked", "#another-run"
    )
    assert "--size: 8x8 there, 16x16 asked" in result[2]
    assert (place.home / "run" / "manifest.json").read_bytes() == before


def test_added_images_are_taken_in_when_asked_for(place: Place) -> None:
    assert_told(place.run("explain", "images", "--model", "net.py:Net", "--extend"), 2, "--out FOLDER", "#option")
    assert place.explain()[0] == 0
    paint(place.home / "images" / "00.png")
    assert_told(place.explain(), 2, "1 was added since: 00.png", "--extend", "#images-added")
    status, out, _ = place.explain("images", "--extend", "--json")
    assert status == 0 and json.loads(out)["images"] == 4
    assert [o.image.id for o in read_outcomes(place.home / "run" / "records.parquet")][-1] == "00.png"
    assert place.explain()[0] == 0


def test_a_name_cannot_move_the_cursor(place: Place) -> None:
    _, _, err = place.explain("ima\x1b[2Jges")
    assert "\x1b" not in err
    assert "ima\\x1b[2Jges" in err


def test_names_that_are_not_utf8_are_explained_and_printed(place: Place) -> None:
    for label in (b"caf\xe9", b"bar"):
        folder = Path(bytes(place.home).decode() + "/odd") / label.decode(errors="surrogateescape")
        paint(folder / b"\xff 1.png".decode(errors="surrogateescape"))
    status, out, err = place.explain("odd", "--json", "--target", "label")
    assert status == 0, err
    assert json.loads(out)["accuracy"] is not None
    assert len(list((place.home / "run" / "overlays").rglob("*.jpg"))) == 2


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[explain]\nbatchsize = 3\n", ["sets 'batchsize' for explain, which has no such option.", "batch_size"]),
        ("[explian]\nlimit = 3\n", ["has a section [explian], which is no command.  Nearest: explain"]),
        ("limit = 3\n", ["sets 'limit' outside a section", "Put it below [explain]"]),
        ("layers = 'conv'\n", ["sets 'layers' outside a section.  Put it below [explain]."]),  # a command, too
        ("methods = 'cam'\n", ["sets 'methods' outside a section.  Put it below [methods]."]),
        ("explain = 3\n", ["sets 'explain' outside a section"]),
        ("[explain\n", ["seewhy.toml cannot be read: "]),
        ("\udcff", ["seewhy.toml cannot be read: "]),
        ("[explain]\nlimit = 'many'\n", ["seewhy.toml sets 'limit' to 'many' for explain: "]),
        ("[explain]\nlimit = true\n", ["seewhy.toml sets 'limit' to True for explain: "]),
        ("[explain]\nseed = -1\n", ["seewhy.toml sets 'seed' to -1 for explain: --seed is -1"]),
        ("[explain]\nconfig = 'other.toml'\n", ["sets 'config' for explain, which has no such option."]),
    ],
    ids=[
        *("no-such-key", "no-such-section", "no-section", "of-a-commands-name", "of-another-command", "no-table"),
        *("no-toml", "no-utf8", "no-number", "a-switch", "out-of-range", "another-file"),
    ],
)
def test_bad_config_files(place: Place, text: str, parts: list[str]) -> None:
    (place.home / "seewhy.toml").write_bytes(text.encode(errors="surrogateescape"))
    status, _, err = place.explain()
    assert status == 2
    for part in parts:
        assert part in err
    assert "Traceback" not in err
    assert not err.startswith("Unexpected")


def test_a_config_file_sets_options_under_their_own_names_and_the_command_line_outranks_it(place: Place) -> None:
    (place.home / "seewhy.toml").write_text(
        "[explain]\nlimit = 2\nformat = 'png'\njson = true\nrange = '0-255'\nlayers = ['conv1', 'conv2']\n"
        "model-arg = 'width=5'\nsize = 8\nclasses = ['a', 'b']\nmean = [0.1, 0.2, 0.3]\n"
        "[layers]\nmodel = 'net.py:Net'\n"
    )
    status, out, err = place.explain()
    assert status == 0, err
    summary = json.loads(out)
    assert summary["images"] == 2
    assert summary["layers"] == ["conv1", "conv2"]
    identity = json.loads((place.home / "run" / "manifest.json").read_text())["identity"]
    assert identity["image_format"] == "png"
    assert identity["classifier"]["preprocess"]["range"] == "0-255"
    assert identity["classifier"]["preprocess"]["mean"] == [0.1, 0.2, 0.3]
    assert place.explain("images", "--limit", "1", "--out", "other")[0] == 0
    assert len(read_outcomes(place.home / "other" / "records.parquet")) == 1
    assert place.run("layers")[0] == 0


def test_an_unexpected_error_is_one_line_and_debug_shows_where(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seewhy.run.plan.read_table", None)
    status, _, err = place.explain()
    assert status == 1
    assert err.startswith("Unexpected TypeError: 'NoneType' object is not callable\n  Run again with --debug")
    with pytest.raises(TypeError, match="not callable"):
        main(["explain", "images", "--model", "net.py:Net", "--out", "run", "--workers", "1", "--debug"])


def test_debug_shows_where_a_named_error_comes_from(place: Place) -> None:
    status, _, err = place.explain("nowhere", "--debug")
    assert status == 2
    assert "Traceback" in err

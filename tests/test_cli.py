"""Every option of the command line arrives where the Python call takes it, and help is quick and complete."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import PIL.Image
import pytest
import torch
import typer

import seewhy
from seewhy.cli.app import app, main
from seewhy.cli.options import ClassifierOptions
from seewhy.evidence.findings.claims import CLAIMS, Claim
from seewhy.render.rows import KINDS
from seewhy.report.next_commands import CLASSIFIER_FLAGS, CLASSIFIER_WORDS

NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4, depth=3):
        super().__init__()
        self.conv = nn.Conv2d(depth, width, 3, padding=1)
        self.last = nn.Conv2d(width, 5, 3, padding=1)
        self.fc = nn.Linear(5, 2)

    def forward(self, x):
        return self.fc(self.last(self.conv(x).relu()).relu().mean((2, 3)))
"""
FIRST = ["explain", "photos", "--model", "net.py:Net", "--workers", "1", "--out", "run"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve PNGs in class folders, a network, and weights of two epochs."""
    (tmp_path / "net.py").write_text(NET)
    generator = np.random.default_rng(0)
    for number in range(12):
        path = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    (tmp_path / "weights").mkdir()
    for epoch in (1, 2):
        torch.save(seewhy.load("net.py:Net").model.state_dict(), tmp_path / "weights" / f"model_{epoch}.pt")
    return tmp_path


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    return int(stopped.value.code or 0)


def manifest() -> dict[str, Any]:
    return json.loads(Path("run/manifest.json").read_text(encoding="utf-8"))


ARRIVES: dict[str, tuple[list[str], str, Any]] = {
    "layers": (["--layers", "conv, last"], "layers", {"conv": "16 x 16", "last": "16 x 16"}),
    "method": (["--method", "LayerCAM"], "method", ["layercam"]),
    "target": (["--target", "margin:dog"], "target", ["margin:dog"]),
    "target-index": (["--target", "1"], "target", ["dog"]),
    "preset": (["--preset", "pytorch-grad-cam"], "preset", "pytorch-grad-cam"),
    "limit": (["--limit", "5"], "images.count", 5),
    "sample": (["--sample", "4", "--seed", "3"], "images.count", 4),
    "size": (["--size", "12x8"], "classifier.preprocess.size", [12, 8]),
    "fit": (["--size", "12", "--fit", "crop"], "classifier.preprocess.fit", "crop"),
    "resize": (["--resize", "12x8"], "classifier.preprocess.size", [12, 8]),
    "resize-and-crop": (["--resize", "16", "--crop", "12"], "classifier.preprocess.crop_share", 0.75),
    "interpolation": (["--size", "9", "--interpolation", "bicubic"], "classifier.preprocess.interpolation", "bicubic"),
    "mean": (["--mean", "0.1,0.2,0.3"], "classifier.preprocess.mean", [0.1, 0.2, 0.3]),
    "std": (["--std", "2"], "classifier.preprocess.std", [2.0]),
    "range": (["--range", "0-255"], "classifier.preprocess.range", "0-255"),
    "deep-range": (["--range", "0-4095"], "classifier.preprocess.range", "0-4095"),
    "window": (["--window", "-1000,400"], "classifier.preprocess.window", [-1000.0, 400.0]),
    "channels": (["--channels", "bgr"], "classifier.preprocess.channels", "bgr"),
    "classes": (["--classes", "x, y"], "classifier.classes", ["x", "y"]),
    "batch-size": (["--batch-size", "3"], "batch_size", 3),
    "format": (["--format", "png"], "image_format", "png"),
    "device": (["--device", "cpu"], "device", "cpu"),
}


@pytest.mark.parametrize("case", ARRIVES)
def test_an_option_decides_the_run(home: Path, case: str) -> None:
    words, where, expected = ARRIVES[case]
    assert run(*FIRST, *words) == 0
    found: Any = manifest()["identity"]
    for part in where.split("."):
        found = found[part]
    assert found == expected


def test_the_command_and_the_call_make_the_same_run(home: Path) -> None:
    words = ["--weights", "weights", "--epoch", "1", "--layers", "conv,last", "--target", "dog", "--method", "hirescam"]
    assert run(*FIRST, *words, "--size", "8") == 0
    classifier = seewhy.load("net.py:Net", "weights", epoch=1, size=8)
    options = {"layers": ["conv", "last"], "target": "dog", "method": "hirescam", "progress": False}
    stored = seewhy.explain(classifier, "photos", out="run", **options)  # raises where the two differ
    held = seewhy.explain(classifier, "photos", **options)
    assert stored.outcomes == held.outcomes
    for layer in ("conv", "last"):
        np.testing.assert_array_equal(stored.maps[layer], held.maps[layer])


@pytest.mark.parametrize(("words", "epoch"), [([], 2), (["--epoch", "1"], 1)], ids=["the-last", "named"])
def test_weights_of_an_epoch(home: Path, words: list[str], epoch: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*FIRST, "--weights", "weights", *words) == 0
    assert f"weights/model_{epoch}.pt" in capsys.readouterr().out
    one = seewhy.load("net.py:Net", f"weights/model_{epoch}.pt")
    assert manifest()["identity"]["classifier"]["weights"] == one.identity()["weights"]


def test_arguments_of_the_network_and_its_channels(home: Path) -> None:
    assert run(*FIRST, "--model-arg", "width=7", "--model-arg", "depth=1", "--channels", "grey") == 0


@pytest.mark.parametrize("form", ["photos", "photos/cat/*.png", "list.txt", "table.csv", "photos/dog/3.png"])
def test_images_are_named_in_any_form(home: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = sorted(path.relative_to(home).as_posix() for path in home.rglob("*.png"))
    (home / "list.txt").write_text("\n".join(names[:4]))
    (home / "table.csv").write_text("path,label\n" + "\n".join(f"{name},{name.split('/')[1]}" for name in names[4:9]))
    assert run("explain", form, *FIRST[2:], "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == {"photos": 12, "photos/cat/*.png": 6, "list.txt": 4, "table.csv": 5}.get(form, 1)


def test_class_names_from_a_file(home: Path) -> None:
    (home / "names.txt").write_text("dog\n\n cat \n")
    assert run(*FIRST, "--classes", "names.txt", "--target", "label") == 0
    assert manifest()["identity"]["classifier"]["classes"] == ["dog", "cat"]
    assert manifest()["summary"]["labelled"] == 12


def test_a_preprocessing_function_is_used_and_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (home / "net.py").open("a") as file:
        file.write("\n\ndef small(image):\n    import torch\n    return torch.zeros(3, 6, 6)\n")
    assert run(*FIRST, "--preprocess", "net.py:small", "--layers", "conv") == 0
    assert "The preprocessing is a function" in capsys.readouterr().out
    assert manifest()["identity"]["layers"] == {"conv": "6 x 6"}


def test_a_config_file_is_named_and_the_one_here_is_left_out(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "seewhy.toml").write_text("[explain]\nlimit = 2\n")
    (home / "other.toml").write_text("[explain]\ntarget = 'dog'\n[layers]\nmodel = 'net.py:Net'\n")
    assert run(*FIRST, "--json", "--config", "other.toml") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["images"], found["score"]) == (12, "dog")


def test_a_config_file_in_the_data_is_never_read(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "photos" / "seewhy.toml").write_text("[explain]\nlimit = 1\n")
    assert run(*FIRST, "--json") == 0
    assert json.loads(capsys.readouterr().out)["images"] == 12


def test_layers_as_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("layers", "--model", "net.py:Net", "--size", "10x20", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["input"] == [10, 20] and found["auto"]["layer"] == "last"
    assert [(one["layer"], one["grid"]) for one in found["layers"] if one["kind"] == "Conv2d"] == [
        ("conv", [4, 10, 20]),
        ("last", [5, 10, 20]),
    ]


def test_the_json_is_what_the_manifest_keeps(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*FIRST, "--json", "--weights", "weights") == 0
    found = json.loads(capsys.readouterr().out)
    kept = manifest()["summary"]
    named = [found.pop(name) for name in ("command", "run", "report")]
    assert named == ["explain", "run", str(Path("run/report/index.html"))]
    assert {name: kept[name] for name in found} == found


# Help.


def commands() -> Iterator[tuple[str, Any]]:
    yield from typer.main.get_command(app).commands.items()


@pytest.mark.parametrize("name", [name for name, _ in commands()])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_option(name: str, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, flag) == 0
    printed = re.sub(r"\s+", " ", capsys.readouterr().out)
    command = dict(commands())[name]
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        is_option = parameter.param_type_name == "option"
        for word in parameter.opts if is_option else [parameter.name]:
            assert word in printed.casefold()  # some versions of Typer write arguments in capitals
        assert " ".join(parameter.help.split()[:3]) in printed


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_every_command_and_option_has_a_sentence_of_help(name: str) -> None:
    command = dict(commands())[name]
    assert (command.help or "").endswith(".")
    for parameter in command.params:
        assert len(getattr(parameter, "help", None) or "") > 5, parameter.name


def test_the_first_page_of_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    printed = capsys.readouterr().out
    assert all(re.search(rf"^ +{name} ", printed, re.MULTILINE) for name, _ in commands())


def test_help_of_a_command_does_not_import_torch() -> None:
    code = (
        "import sys\nfrom seewhy.cli.app import main\n"
        "try:\n    main(['explain', '--help'])\nexcept SystemExit as left:\n    assert not left.code\n"
        "print([name for name in ('torch', 'numpy', 'PIL', 'zarr', 'pyarrow') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_what_was_imported_is_not_looked_through_for_garbage_when_a_command_ends() -> None:
    """With torch that takes half a second of every command."""
    code = (
        "import atexit, gc\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 10_000, len(gc.get_objects()) < 1_000))\n"
        "from seewhy.cli.app import main\nmain(['--help'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines()[-1] == "True True"


def test_training_goes_on_from_a_named_epoch_with_a_preprocessing_function(home: Path) -> None:
    with (home / "net.py").open("a") as file:
        file.write(
            "\n\ndef small(image):\n    import numpy, torch\n"
            "    return torch.from_numpy(numpy.asarray(image.resize((6, 6))).copy()).permute(2, 0, 1) / 255\n"
        )
    words = ["train", "photos", "--model", "net.py:Net", "--epochs", "1", "--rate", "1e-30", "--weights", "weights"]
    weights = torch.load("weights/model_1.pt")
    weights["fc.bias"] += 1
    torch.save(weights, "weights/model_1.pt")
    assert run(*words, "--epoch", "1", "--preprocess", "net.py:small", "--out", "trained") == 0
    trained = torch.load("trained/Net/model_0.pt")
    assert all(torch.allclose(trained[name], value) for name, value in weights.items())


@pytest.mark.parametrize("command", ["explain", "check", "audit"])
def test_a_dry_run_says_what_was_understood_and_makes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    words = [command, "photos", "--model", "net.py:Net", "--weights", "weights", "--size", "24", "--dry-run"]
    assert run(*words, "--classes", "cat,dog") == 0
    said = capsys.readouterr().out
    lines = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in said.strip().splitlines())
    assert ("Shows" in lines) == (command == "audit") and "6 distinct images" in lines.pop("Shows", "6 distinct images")
    assert len(lines) <= 8 and [*lines][:6] == ["Network", "Output", "Weights", "Fed", "Classes", "Images"]
    assert lines["Network"] == "net.py:Net, input 3 x 24 x 24, on cpu" and lines["Weights"] == "weights"
    assert lines["Output"] == "classification: 2 numbers an image" and lines["Fed"].startswith("24 x 24 stretch, RGB")
    assert lines["Classes"] == "0 = cat, 1 = dog" and lines["Images"] == "12 of photos; cat 6, dog 6"
    assert not (home / "runs").exists()
    assert run(*words, "--json") == 0 and json.loads(capsys.readouterr().out)["Weights"] == "weights"


def test_a_command_says_first_what_was_understood(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*FIRST) == 0
    streams = capsys.readouterr()
    assert "Fed      " in streams.err and "16 x 16 stretch" in streams.err and "Fed  " not in streams.out


def test_what_forward_needs_and_what_it_was_given_are_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "two.py").write_text(
        NET.replace("def forward(self, x):", "def forward(self, image, table):\n        x = image")
        + "\n\nclass Fails(Net):\n    def forward(self, x):\n        return {}['missing']\n"
    )
    assert run("explain", "photos", "--model", "two.py:Net") == 2
    said = capsys.readouterr().err
    assert "Net.forward needs image and table; seewhy gives one tensor" in said
    assert "def forward(self, image): return self.inner(image, table=…)" in said
    assert run("explain", "photos", "--model", "two.py:Fails") == 1
    said = capsys.readouterr().err
    assert "KeyError: 'missing'" in said and "two.py, line" in said
    assert "seewhy gave Fails.forward a float32 tensor (1, 3, 16, 16) on cpu" in said


def test_the_next_commands_of_a_report_keep_all_that_says_how_the_network_is_fed() -> None:
    words = {f"--{field.name.rstrip('_').replace('_', '-')}" for field in fields(ClassifierOptions)}
    assert words <= CLASSIFIER_WORDS | {*CLASSIFIER_FLAGS}


def test_every_claim_of_a_finding_has_its_words() -> None:
    assert {*get_args(Claim)} == {*CLAIMS}
    assert {claim for claim, meaning in CLAIMS.items() if meaning.headline} <= {*KINDS}


def test_a_section_for_a_command_that_reads_none_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "seewhy.toml").write_text("[repair]\nfinding = 1\n")
    with pytest.raises(SystemExit):
        main(FIRST)
    said = capsys.readouterr().err
    assert "[repair], which takes no settings from a file.\n  Sections: explain, check" in said

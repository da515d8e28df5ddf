"""A classifier from code and weights: every way to name one, every format of weights, and what each mistake says."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import pickle
import re
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

import seewhy
from seewhy.data.networks.classifier import Classifier, fingerprint, load, parse_model_args
from seewhy.data.networks.weights import read_state
from seewhy.data.pictures.canvas import canvas_of, network_input
from seewhy.errors import MissingExtraError, ModelError, OptionError, WeightsError
from seewhy.records import Preprocess
from tests.models import FourConv, Pooled, images, seeded

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4, classes=2):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).mean((2, 3)))
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def random_state(spec: Path, seed: int = 3) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in seeded(load(f"{spec}:Net").model, seed).state_dict().items()}


def assert_state(classifier: Classifier, state: dict[str, Tensor]) -> None:
    found = classifier.model.state_dict()
    assert found.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(found[key], value), key


# ---- the network ----


def test_a_file_and_a_class(net: Path) -> None:
    classifier = load(f"{net}:Net")
    assert type(classifier.model).__name__ == "Net"
    assert not classifier.model.training
    assert classifier.preprocess == Preprocess()
    assert classifier.classes is None
    assert any("random" in note for note in classifier.notes)


def test_a_file_with_one_network_needs_no_name(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(load(str(net)).model).__name__ == "Net"
    monkeypatch.chdir(net.parent)
    assert type(load("net.py").model).__name__ == "Net"
    assert type(load("./net.py:Net").model).__name__ == "Net"


def test_a_file_can_import_its_neighbours_and_another_folders_are_not_taken_for_them(tmp_path: Path) -> None:
    before = list(sys.path)
    for width in (3, 5):
        folder = tmp_path / f"project{width}"
        folder.mkdir()
        (folder / "seewhy_test_parts.py").write_text(f"WIDTH = {width}\n")
        code = NET.replace("import torch\n", "import torch\nfrom seewhy_test_parts import WIDTH\n", 1)
        (folder / "net.py").write_text(code.replace("width=4", "width=WIDTH"))
        assert load(f"{folder}/net.py:Net").model.conv.out_channels == width
    assert sys.path == before


def test_a_factory_in_a_package_takes_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seewhy_test_package").mkdir()
    (tmp_path / "seewhy_test_package" / "__init__.py").touch()
    (tmp_path / "seewhy_test_package" / "zoo.py").write_text(
        NET + "\ndef make(width, *, classes=2):\n    return Net(width, classes)\n"
    )
    monkeypatch.chdir(tmp_path)
    arguments = parse_model_args(["width=7", "classes=5"])
    network = load("seewhy_test_package.zoo:make", model_args=arguments).model
    assert (network.conv.out_channels, network.fc.out_features) == (7, 5)


def test_a_network_that_a_file_has_made_already(net: Path) -> None:
    net.write_text(NET + "\nready = Net(width=6)\n")
    assert load(f"{net}:ready").model.conv.out_channels == 6
    with pytest.raises(OptionError, match=r"ready is a network already, so --model-arg width=… does not apply"):
        load(f"{net}:ready", model_args={"width": 3})


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_a_module_is_taken_as_it_is(training: bool) -> None:
    module = Pooled().train(training)
    classifier = load(module, classes=["a", "b", "c"])
    assert classifier.model is module
    assert module.training is training
    assert classifier.classes == ("a", "b", "c")
    assert classifier.notes == ()


def test_the_public_load_is_this_one() -> None:
    assert seewhy.load is load


CODE_ERRORS: dict[str, tuple[str, str, str, str]] = {
    # net.py, what is asked, what is said, slug
    "no-such-file": (NET, "nte.py:Net", r"There is no file .*nte\.py\.  Nearest: .*net\.py\.", "no-such-file"),
    "no-folder": (
        NET,
        "zoo/net.py:Net",
        r"There is no file .*zoo/net\.py\.  Nor is there a folder .*zoo\.$",
        "no-such-file",
    ),
    "no-such-name": (NET, "net.py:Nets", r"net\.py has no 'Nets'\.  Nearest: Net\.", "no-such-model"),
    "two-networks": (
        NET + "\nclass Other(Net):\n    pass\n",
        "net.py",
        r"defines 2 networks \(Net, Other\); name one:  --model .*net\.py:Net",
        "no-such-model",
    ),
    "no-network": ("x = 1\n", "net.py", r"defines no network; name one:  --model .*net\.py:Net", "no-such-model"),
    "syntax": ("def f(:\n", "net.py:Net", r"was found, but importing it failed: SyntaxError: ", "import-failed"),
    "missing-package": (
        "import seewhy_test_absent\n",
        "net.py:Net",
        r"was found, but importing it failed: ModuleNotFoundError: No module named 'seewhy_test_absent'",
        "import-failed",
    ),
    "raises": ("1 / 0\n", "net.py:Net", r"importing it failed: ZeroDivisionError: division by zero", "import-failed"),
    "leaves": ("import sys\nsys.exit(3)\n", "net.py:Net", r"importing it failed: SystemExit: 3", "import-failed"),
    "needs-an-argument": (
        NET.replace("width=4", "width"),
        "net.py:Net",
        r"Net\(width, classes=2\).* cannot be called: missing a required argument: 'width'\.\n  .*--model-arg width=16",
        "model",
    ),
    "constructor-raises": (
        NET.replace("super().__init__()", "raise ValueError('depth?')"),
        "net.py:Net",
        r"Making Net failed: ValueError: depth\?",
        "import-failed",
    ),
    "something-else": (
        "def make():\n    return 3\n",
        "net.py:make",
        r"make made int, not a torch\.nn\.Module",
        "no-such-model",
    ),
    "a-constant": ("SIZE = 3\n", "net.py:SIZE", r"SIZE is int, not a network or a function", "no-such-model"),
}


@pytest.mark.parametrize("case", CODE_ERRORS)
def test_what_is_wrong_with_the_code_is_said(tmp_path: Path, case: str) -> None:
    code, asked, message, slug = CODE_ERRORS[case]
    (tmp_path / "net.py").write_text(code)
    with pytest.raises(ModelError, match=message) as raised:
        load(f"{tmp_path}/{asked}")
    assert raised.value.slug == slug
    assert raised.value.exit_status == 2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param("Net", r"There is no model 'Net'\.  Write it as net\.py:Net", id="bare-name"),
        pytest.param("", r"There is no model ''", id="empty"),
        pytest.param("seewhy_absent.zoo:Net", r"There is no module 'seewhy_absent\.zoo' here or among", id="no-module"),
        pytest.param("seewhy.absent:Net", r"There is no module 'seewhy\.absent' here or among", id="no-submodule"),
        pytest.param("torch.nn:Linaer", r"torch\.nn has no 'Linaer'\.  Nearest: Linear", id="no-such-class"),
    ],
)
def test_names_of_modules_that_do_not_exist(spec: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        load(spec)
    assert raised.value.slug == "no-such-model"


def test_a_module_that_fails_is_told_from_one_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "seewhy_test_broken.py").write_text("import seewhy_test_absent\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"seewhy_test_broken was found, but importing it failed: .*absent") as raised:
        load("seewhy_test_broken:Net")
    assert raised.value.slug == "import-failed"


def test_an_unknown_argument_names_the_ones_there_are(net: Path) -> None:
    with pytest.raises(
        ModelError, match=r"Net\(width=4, classes=2\) cannot be called: got an unexpected keyword .*'depth'"
    ):
        load(f"{net}:Net", model_args={"depth": 3})


@pytest.mark.parametrize(
    ("pairs", "wanted"),
    [
        (["width=16"], {"width": 16}),
        (["a=1.5", "b=True", "c=None", "d=(1, 2)"], {"a": 1.5, "b": True, "c": None, "d": (1, 2)}),
        (["kind=resnet", "text=a=b", "empty="], {"kind": "resnet", "text": "a=b", "empty": ""}),
        ([], {}),
    ],
    ids=["integer", "literals", "words", "none"],
)
def test_arguments_are_python_literals_or_words(pairs: list[str], wanted: dict[str, Any]) -> None:
    assert parse_model_args(pairs) == wanted


@pytest.mark.parametrize("pair", ["width", "=3", "a-b=3", "3=3"])
def test_arguments_that_are_no_pairs(pair: str) -> None:
    with pytest.raises(OptionError, match=rf"--model-arg is '{pair}', but must look like width=16"):
        parse_model_args([pair])


# ---- weights ----


def prefixed(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()}


WRAPPINGS: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str | None]] = {
    "plain": (lambda s: s, None),
    "ordered": (OrderedDict, None),
    "state_dict": (lambda s: {"state_dict": s, "epoch": 3, "best": 0.5}, r"taken from 'state_dict'"),
    "model_state_dict": (lambda s: {"epoch": 1, "model_state_dict": s}, r"taken from 'model_state_dict'"),
    "model": (lambda s: {"model": s, "optimizer": {"lr": 0.1}}, r"taken from 'model'"),
    "lightning": (
        lambda s: {"pytorch-lightning_version": "2.4.0", "epoch": 1, "state_dict": prefixed(s, "model."), "loops": {}},
        r"Lightning checkpoint.*|prefix 'model\.'",
    ),
    "parallel": (lambda s: prefixed(s, "module."), r"prefix 'module\.' was taken off"),
    "compiled": (lambda s: prefixed(s, "_orig_mod."), r"prefix '_orig_mod\.' was taken off"),
    "parallel-compiled": (lambda s: {"state_dict": prefixed(s, "module._orig_mod.")}, r"prefix 'module\._orig_mod\.'"),
    "without-counters": (lambda s: {k: v for k, v in s.items() if "num_batches" not in k}, None),
    "parameters": (lambda s: {k: nn.Parameter(v) if v.is_floating_point() else v for k, v in s.items()}, None),
    "half": (lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()}, None),
}


@pytest.mark.parametrize(
    ("wrapping", "suffix"), [*((name, ".pt") for name in WRAPPINGS), *(("plain", s) for s in (".pth", ".ckpt", ".bin"))]
)
def test_state_dicts_in_every_wrapping(net: Path, wrapping: str, suffix: str) -> None:
    wrap, note = WRAPPINGS[wrapping]
    state = random_state(net)
    if wrapping == "half":
        state = {key: value.half().float() if value.is_floating_point() else value for key, value in state.items()}
    path = net.with_name(f"w{suffix}")
    torch.save(wrap(state), path)
    classifier = load(f"{net}:Net", path)
    assert_state(classifier, state)
    assert not any("random" in one for one in classifier.notes)
    if note is None:
        assert classifier.notes == ()
    else:
        assert any(re.search(note, one) for one in classifier.notes)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_both_formats_of_torch_save(net: Path, legacy: bool) -> None:
    state, path = random_state(net), net.with_name("w.pt")
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    assert_state(load(f"{net}:Net", path), state)


def test_safetensors(net: Path) -> None:
    state, path = random_state(net), net.with_name("w.safetensors")
    safetensors.torch.save_file(prefixed(state, "module."), path)
    assert_state(load(f"{net}:Net", str(path)), state)


def test_of_two_networks_in_one_file_the_first_is_taken_and_the_other_named(net: Path) -> None:
    student, teacher = random_state(net, 1), random_state(net, 2)
    torch.save({**prefixed(student, "student."), **prefixed(teacher, "teacher.")}, net.with_name("w.pt"))
    classifier = load(f"{net}:Net", net.with_name("w.pt"))
    assert_state(classifier, student)
    assert any(
        f"{len(teacher)} keys of w.pt without that prefix were left out: teacher." in note for note in classifier.notes
    )


@pytest.fixture
def checkpoints(net: Path) -> tuple[Path, dict[int, dict[str, Tensor]]]:
    """CHECKPOINTS/Net/model_<epoch>.pt, as the tutorial saves them, with other files beside."""
    states = {epoch: random_state(net, epoch) for epoch in (0, 4, 10)}
    folder = net.with_name("checkpoints")
    (folder / "Net").mkdir(parents=True)
    for epoch, state in states.items():
        torch.save(state, folder / "Net" / f"model_{epoch}.pt")
        torch.save({"lr": 0.1}, folder / "Net" / f"optimizer_{epoch}.pt")
    (folder / "Net" / "history_99.csv").touch()
    return folder, states


@pytest.mark.parametrize("inner", ["", "Net"], ids=["directory", "directory-of-the-class"])
@pytest.mark.parametrize(("epoch", "wanted"), [(None, 10), (4, 4), (0, 0)], ids=["last", "epoch-4", "epoch-0"])
def test_a_directory_of_checkpoints(
    net: Path,
    checkpoints: tuple[Path, dict[int, dict[str, Tensor]]],
    inner: str,
    epoch: int | None,
    wanted: int,
) -> None:
    folder, states = checkpoints
    classifier = load(f"{net}:Net", folder / inner, epoch=epoch)
    assert_state(classifier, states[wanted])
    assert any(f"model_{wanted}.pt" in note for note in classifier.notes)


def test_an_epoch_that_is_not_there(net: Path, checkpoints: tuple[Path, Any]) -> None:
    with pytest.raises(WeightsError, match=r"has no checkpoint of epoch 5\.  It has: 0, 4, 10\.") as raised:
        load(f"{net}:Net", checkpoints[0], epoch=5)
    assert raised.value.slug == "no-such-file"
    with pytest.raises(WeightsError, match=r"--epoch 4 needs a directory of checkpoints, but .*model_4\.pt is not one"):
        load(f"{net}:Net", checkpoints[0] / "Net" / "model_4.pt", epoch=4)
    with pytest.raises(OptionError, match=r"--epoch 4 needs --weights DIRECTORY"):
        load(f"{net}:Net", epoch=4)


def test_a_directory_without_checkpoints(net: Path) -> None:
    (net.parent / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"holds no checkpoint like model_4\.pt \(it holds: nothing\)"):
        load(f"{net}:Net", net.parent / "empty")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model_5.pt", r"There is no file .*model_5\.pt\.  Nearest: .*model_4\.pt\."),
        ("zzz", r"There is no file .*zzz\.  .* holds: model_4\.pt\."),
        ("far/away.pt", r"There is no file .*away\.pt\.  Nor is there a folder .*far\."),
    ],
    ids=["near", "other", "no-folder"],
)
def test_weights_that_do_not_exist(net: Path, name: str, message: str) -> None:
    (net.parent / "w").mkdir()
    torch.save({}, net.parent / "w" / "model_4.pt")
    with pytest.raises(WeightsError, match=message):
        load(f"{net}:Net", net.parent / "w" / name)


class Payload:
    """Makes a file when it is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


class Shell(Payload):
    """Makes a file by a shell command."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.path}'",)


CODE = {
    "whole-model": lambda path, mark: torch.save(seeded(Pooled()), path),
    "payload": lambda path, mark: torch.save(Payload(mark), path),
    "payload-legacy": lambda path, mark: torch.save(Payload(mark), path, _use_new_zipfile_serialization=False),
    "payload-in-a-state-dict": lambda path, mark: torch.save(
        {"state_dict": {"w": torch.ones(1)}, "x": Payload(mark)}, path
    ),
    "plain-pickle": lambda path, mark: path.write_bytes(pickle.dumps(Payload(mark))),
    "plain-pickle-2": lambda path, mark: path.write_bytes(pickle.dumps(Payload(mark), protocol=2)),
    "arguments": lambda path, mark: torch.save({"model": {}, "args": argparse.Namespace(lr=1)}, path),
    "lightning": lambda path, mark: torch.save(
        {"pytorch-lightning_version": "2.4.0", "state_dict": {"w": torch.ones(1)}, "callbacks": Shell(mark)}, path
    ),
    "shell": lambda path, mark: path.write_bytes(pickle.dumps(Shell(mark))),
}


@pytest.mark.parametrize("suffix", ["pt", "ckpt", "bin"])
@pytest.mark.parametrize("case", CODE)
def test_a_file_that_carries_code_is_refused_and_nothing_of_it_runs(net: Path, case: str, suffix: str) -> None:
    path, mark = net.with_name(f"w.{suffix}"), net.with_name("it-ran")
    CODE[case](path, mark)
    with pytest.raises(
        WeightsError, match=r"w\.\w+ is not plain weights.*Nothing of it was run\.\n  Save the weights alone"
    ) as raised:
        load(f"{net}:Net", path)
    assert raised.value.slug == "carries-code"
    assert not mark.exists()
    if case == "whole-model":
        assert "it asks for tests.models.Pooled" in str(raised.value)


class Settings(dict):  # as omegaconf's and Lightning's are
    pass


def settings() -> dict[str, Any]:
    """What people store beside their weights."""
    return {
        "args": argparse.Namespace(lr=1, out=Path("runs")),
        "best": np.float64(0.9),
        "curve": np.arange(3.0),
        "hyper_parameters": Settings(lr=1),
        "when": datetime.datetime(2026, 1, 1),
        "own": Payload(Path("never")).__class__,
    }


def test_settings_beside_the_weights_are_left_out_and_named(net: Path) -> None:
    torch.manual_seed(3)
    state = load(f"{net}:Net").model.state_dict()
    wanted = {key: value + 1 for key, value in state.items()}
    content = {"state_dict": wanted, "epoch": 3, "best_acc1": torch.tensor(0.9), **settings()}
    torch.save(content, net.with_name("w.ckpt"))
    found = load(f"{net}:Net", net.with_name("w.ckpt"))
    assert all(torch.equal(value, wanted[key]) for key, value in found.model.state_dict().items())
    (note,) = [note for note in found.notes if "left out" in note]
    assert "argparse.Namespace" in note


@pytest.mark.parametrize("ema", ["state_dict_ema", "ema"])
def test_of_two_sets_of_weights_the_other_is_named_and_can_be_taken(net: Path, ema: str) -> None:
    state = load(f"{net}:Net").model.state_dict()
    one, two = ({key: value + shift for key, value in state.items()} for shift in (1, 2))
    inside = two if ema == "state_dict_ema" else {"module": two, "decay": 0.99}
    optimizer = {"state": {0: {"exp_avg": torch.ones(1)}}, "param_groups": [{"lr": 1}]}
    torch.save({"state_dict": one, ema: inside, "optimizer": optimizer}, path := net.with_name("w.pt"))
    name = ema if ema == "state_dict_ema" else "ema.module"
    first, other = load(f"{net}:Net", path), load(f"{net}:Net", path, weights_key=name)
    assert torch.equal(next(iter(first.model.state_dict().values())), next(iter(one.values())))
    assert torch.equal(next(iter(other.model.state_dict().values())), next(iter(two.values())))
    assert f"w.pt also holds the weights {name}:  --weights-key {name}" in first.notes
    with pytest.raises(WeightsError, match=rf"no weights 'emma'.*\n  It holds: state_dict, {name}"):
        load(f"{net}:Net", path, weights_key="emma")


@pytest.mark.parametrize("case", ["payload", "lightning", "shell"])
def test_the_code_in_these_files_would_run_without_care(tmp_path: Path, case: str) -> None:
    CODE[case](tmp_path / "w.pt", tmp_path / "it-ran")
    with contextlib.suppress(Exception):  # what the code gives back is no checkpoint
        torch.load(tmp_path / "w.pt", weights_only=False)
    assert (tmp_path / "it-ran").exists()


def test_torchscript_is_refused(net: Path) -> None:
    path = net.with_name("w.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; such files exist all the same
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), path)
    with pytest.raises(WeightsError, match=r"is a TorchScript archive, which is a program and not weights") as raised:
        load(f"{net}:Net", path)
    assert raised.value.slug == "torchscript"


BYTES = {
    "text": (b"hello world\n", r"cannot be read as a PyTorch checkpoint\.$"),
    "html": (b"<html>404 not found</html>", r"cannot be read as a PyTorch checkpoint\.$"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", r"Git LFS pointer.*:  git lfs pull$"),
    "zeros": (bytes(3000), r"cannot be read as a PyTorch checkpoint\.$"),
    "empty": (b"", r"cannot be read as a PyTorch checkpoint: EOFError\.$"),
    "noise": (np.random.default_rng(0).bytes(5000), r"cannot be read as a PyTorch checkpoint"),
}


@pytest.mark.parametrize("case", BYTES)
def test_bytes_that_are_no_checkpoint(net: Path, case: str) -> None:
    content, message = BYTES[case]
    net.with_name("w.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=message) as raised:
        load(f"{net}:Net", net.with_name("w.pt"))
    assert raised.value.slug == "corrupt-weights"
    assert "weights_only" not in str(raised.value)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_checkpoint(net: Path, suffix: str, keep: float) -> None:
    path = net.with_name(f"w.{suffix}")
    save = torch.save if suffix == "pt" else safetensors.torch.save_file
    save(random_state(net), path)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(WeightsError, match=r"cannot be read as a PyTorch|not a readable safetensors") as raised:
        load(f"{net}:Net", path)
    assert raised.value.slug == "corrupt-weights"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, r"holds no state dict \(it holds: \)"),
        ({"epoch": 3, "loss": 0.5}, r"holds no state dict \(it holds: epoch, loss\)"),
        ([torch.ones(2)], r"holds no state dict \(it holds: list\)"),
        (torch.ones(2), r"holds no state dict \(it holds: Tensor\)"),
    ],
    ids=["empty", "numbers", "list", "tensor"],
)
def test_a_checkpoint_without_a_state_dict(net: Path, content: Any, message: str) -> None:
    torch.save(content, net.with_name("w.pt"))
    with pytest.raises(WeightsError, match=message):
        load(f"{net}:Net", net.with_name("w.pt"))


def test_weights_of_another_network_list_what_differs(net: Path) -> None:
    state = random_state(net)
    state["conv.wieght"] = state.pop("conv.weight")
    state["fc.weight"] = torch.zeros(5, 4)
    state["head.bias"] = torch.zeros(5)
    before = load(f"{net}:Net")
    torch.save(state, net.with_name("w.pt"))
    with pytest.raises(
        WeightsError, match=r"w\.pt does not fit Net: 1 keys missing, 2 unexpected, 1 of another shape"
    ) as raised:
        load(before.model, net.with_name("w.pt"))
    text = str(raised.value)
    assert raised.value.slug == "weights-mismatch"
    assert "Missing:     conv.weight.  Nearest: conv.wieght." in text
    assert "Unexpected:  conv.wieght, head.bias.  Nearest: conv.weight." in text
    assert "fc.weight is (5, 4) in the file, (2, 4) in the network" in text
    assert "--model-arg" in text


def test_a_mismatch_leaves_the_network_as_it_was(net: Path) -> None:
    model = seeded(Pooled())
    before = fingerprint(model)
    torch.save(random_state(net), net.with_name("w.pt"))
    with pytest.raises(WeightsError, match="does not fit Pooled"):
        load(model, net.with_name("w.pt"))
    assert fingerprint(model) == before


def test_reading_a_state_leaves_the_file_as_it_is(net: Path) -> None:
    path = net.with_name("w.pt")
    torch.save(random_state(net), path)
    before = path.read_bytes()
    state, notes = read_state(path)
    assert set(state) == set(random_state(net))
    assert notes == []
    assert path.read_bytes() == before


# ---- preprocessing, classes, device ----


@pytest.mark.parametrize(
    "written",
    [
        "preprocess = {'size': 32, 'mean': 0.5, 'std': (0.1, 0.2, 0.3), 'channels': 'bgr'}",
        "preprocess = {'size': [32, 32], 'mean': [0.5], 'std': [0.1, 0.2, 0.3], 'channels': 'bgr'}",
        "from seewhy import Preprocess\n"
        "preprocess = Preprocess(size=(32, 32), mean=(0.5,), std=(0.1, 0.2, 0.3), channels='bgr')",
        "import numpy\npreprocess = {'size': numpy.int64(32), 'mean': 0.5, 'std': (0.1, 0.2, 0.3), 'channels': 'bgr'}",
    ],
    ids=["dict", "dict-of-lists", "record", "numpy"],
)
def test_preprocessing_beside_the_network_and_options_that_outrank_it(net: Path, written: str) -> None:
    net.write_text(NET + written + "\n")
    wanted = Preprocess(size=(32, 32), mean=(0.5,), std=(0.1, 0.2, 0.3), channels="bgr")
    classifier = load(f"{net}:Net")
    assert classifier.preprocess == wanted
    assert any("`preprocess` of" in note for note in classifier.notes)
    changed = load(f"{net}:Net", size=(48, 40), std=0.25, fit="crop", channels=None)
    assert changed.preprocess == Preprocess(size=(48, 40), mean=(0.5,), std=(0.25,), channels="bgr", fit="crop")


FUNCTION = "import torch\ndef preprocess(image):\n    return torch.zeros(3, 8, 8)\n"


def test_a_function_beside_the_network_is_used_and_what_it_hides_is_said(net: Path) -> None:
    net.write_text(NET + FUNCTION)
    classifier = load(f"{net}:Net")
    assert callable(classifier.preprocess)
    assert any("preprocessing is a function" in note for note in classifier.notes)
    assert load(f"{net}:Net", size=16).preprocess == Preprocess(size=(16, 16))


def test_a_preprocessing_named_by_the_user_outranks_the_networks(net: Path) -> None:
    net.write_text(NET + "preprocess = {'size': 64}\n")
    (net.parent / "prep.py").write_text(FUNCTION + "fields = {'size': 20}\nnumber = 3\n")
    assert load(f"{net}:Net", preprocess=f"{net.parent}/prep.py:preprocess").preprocess.__name__ == "preprocess"
    fields = load(f"{net}:Net", preprocess=f"{net.parent}/prep.py:fields", mean=0.5)
    assert fields.preprocess == Preprocess(size=(20, 20), mean=(0.5,))
    assert load(f"{net}:Net", preprocess=Preprocess(size=(9, 9))).preprocess == Preprocess(size=(9, 9))
    with pytest.raises(OptionError, match=r"'.*prep\.py:proprecess' names nothing\.  Nearest: preprocess"):
        load(f"{net}:Net", preprocess=f"{net.parent}/prep.py:proprecess")
    with pytest.raises(
        OptionError, match=r"preprocess is int, but must be a Preprocess, a dict of its fields, or a func"
    ):
        load(f"{net}:Net", preprocess=f"{net.parent}/prep.py:number")
    with pytest.raises(OptionError, match=r"A preprocessing function decides everything: size, mean cannot be given"):
        load(f"{net}:Net", preprocess=f"{net.parent}/prep.py:preprocess", size=3, mean=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sise": 3}, r"There is no option 'sise'\.  Nearest: size"),
        ({"size": 0}, r"size is \(0, 0\), but must be at least 1 x 1"),
        ({"size": (1, 2, 3)}, r"size is \(1, 2, 3\), but must be one number, or \(height, width\)"),
        ({"size": "256"}, r"size is '256', but must be one number, or \(height, width\)"),
        ({"mean": (1, 2)}, r"mean has 2 values, but the input has 3 channels; give 1 or 3"),
        ({"std": (0.1, 0.2, 0.3), "channels": "grey"}, r"std has 3 values, but the input has 1 channels"),
        ({"std": 0}, r"std is \(0\.0,\), but every value must be above 0"),
        ({"std": float("nan")}, r"std is \(nan,\), but every value must be above 0"),
        ({"mean": "half"}, r"mean is 'half', but must be one number or one for each channel"),
        ({"fit": "squash"}, r"fit is 'squash', but must be one of: stretch, crop, letterbox"),
        ({"channels": "rbg"}, r"channels is 'rbg', but must be one of: rgb, bgr, grey\. Nearest: rgb"),
        ({"range": "0-256"}, r"range is '0-256', but must be one of: 0-1, 0-255, .* Nearest: 0-255"),
        ({"window": 3}, r"window is 3, but must be two numbers: what becomes black, and what white"),
        ({"window": (400, -1000)}, r"window is \(400\.0, -1000\.0\), but must be two numbers, the smaller first"),
        ({"window": (0, float("inf"))}, r"but must be two numbers, the smaller first: -1000,400"),
        ({"interpolation": "cubic"}, r"interpolation is 'cubic', .*Nearest: bicubic"),
        ({"crop_share": 1.5}, r"crop_share is 1\.5, but must be above 0 and at most 1"),
    ],
    ids=lambda value: "-".join(map(str, value.items())) if isinstance(value, dict) else "",
)
def test_preprocessing_that_makes_no_sense(net: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        load(f"{net}:Net", **changes)


def test_class_names(net: Path) -> None:
    assert load(f"{net}:Net", classes=["fake", "real"]).classes == ("fake", "real")
    assert load(f"{net}:Net", classes="fake, real").classes == ("fake", "real")
    with pytest.raises(OptionError, match=r"Class names must differ, but they are: a, b, a\."):
        load(f"{net}:Net", classes=["a", "b", "a"])


@pytest.mark.parametrize("device", ["warp", "cuda:99", "cpux"])
def test_a_device_that_is_not_there(net: Path, device: str) -> None:
    with pytest.raises(OptionError, match=rf"There is no device '{device}' here: .*\n  Try:  --device cpu"):
        load(f"{net}:Net", device=device)


# ---- identity ----


def test_the_fingerprint_changes_with_one_weight_and_with_nothing_else(net: Path) -> None:
    model = seeded(Pooled())
    before = fingerprint(model)
    assert len(before) == 32
    assert fingerprint(seeded(Pooled())) == before
    assert fingerprint(model.train()) == before
    with torch.no_grad():
        model.fc.weight[1, 2] = torch.nextafter(model.fc.weight[1, 2], torch.tensor(9.0))
    assert fingerprint(model) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.stem[1].running_mean.add_(1),
        lambda m: m.half(),
        lambda m: setattr(m.fc, "weight", nn.Parameter(m.fc.weight.T.contiguous())),
        lambda m: m.register_buffer("more", torch.zeros(())),
    ],
    ids=["buffer", "type", "shape", "another-buffer"],
)
def test_the_fingerprint_covers_buffers_types_and_shapes(change: Callable[[Any], Any]) -> None:
    model = seeded(Pooled())
    before = fingerprint(model)
    with torch.no_grad():
        change(model)
    assert fingerprint(model) != before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.bool, torch.complex64, torch.int64], ids=str)
def test_the_fingerprint_takes_tensors_of_every_type(dtype: torch.dtype) -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("scalar", torch.zeros((), dtype=dtype))
    model.register_buffer("none", torch.zeros(0, 3, dtype=dtype))
    assert len(fingerprint(model)) == 32


def test_the_identity_is_plain_values(net: Path) -> None:
    identity = load(f"{net}:Net", classes=["a", "b"], size=8).identity()
    assert identity == json.loads(json.dumps(identity)) | {"preprocess": identity["preprocess"]}
    assert identity["network"] == "Net"
    net.write_text(NET + FUNCTION)
    assert load(f"{net}:Net").identity()["preprocess"].endswith(":preprocess")


# ---- timm, torchvision, Hugging Face ----


PHOTOGRAPHS = [(300, 400), (400, 300), (224, 224), (501, 333), (97, 131), (160, 160)]


def photograph(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / a + columns / b) * 127 + 128 for a, b in ((7, 11), (5, 23), (17, 3))]
    return np.stack(waves, axis=2).astype(np.uint8)


def assert_same_input(preprocess: Preprocess, transform: Callable[[PIL.Image.Image], Tensor]) -> None:
    for size in PHOTOGRAPHS:
        pixels = photograph(*size)
        canvas, _ = canvas_of(pixels, preprocess)
        wanted = transform(PIL.Image.fromarray(pixels))
        torch.testing.assert_close(network_input([canvas], preprocess)[0], wanted, atol=2e-6, rtol=0, msg=str(size))


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "resnet18", "vit_tiny_patch16_224", "mobilenetv3_small_050"]
)
def test_timm_by_name_with_its_own_preprocessing(name: str) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    classifier = load(f"timm:{name}", model_args={"num_classes": 3})
    config = timm.data.resolve_data_config({}, model=classifier.model)
    assert classifier.preprocess.size == config["input_size"][1:]
    transform = timm.data.create_transform(**config, is_training=False)
    assert_same_input(classifier.preprocess, transform)
    assert any("timm's own" in note for note in classifier.notes)
    assert any("random" in note for note in classifier.notes)


def test_timm_networks_that_squash_are_stretched(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    config = timm.data.resolve_data_config({}, model=timm.create_model("test_resnet"))
    config |= {"crop_mode": "squash", "crop_pct": 1.0}
    monkeypatch.setattr(timm.data, "resolve_data_config", lambda *_, **__: config)
    assert_same_input(load("timm:test_resnet").preprocess, timm.data.create_transform(**config, is_training=False))


def test_timm_names_the_nearest() -> None:
    pytest.importorskip("timm", reason="timm is not installed")
    with pytest.raises(ModelError, match=r"timm has no model 'resnet1'\.  Nearest: resnet") as raised:
        load("timm:resnet1")
    assert raised.value.slug == "no-such-model"


@pytest.mark.parametrize("name", ["squeezenet1_1", "mnasnet0_5", "shufflenet_v2_x0_5"])
def test_torchvision_by_name_with_its_own_preprocessing_and_classes(name: str) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    classifier = load(f"torchvision:{name}")
    assert_same_input(classifier.preprocess, models.get_model_weights(name).DEFAULT.transforms())
    assert len(classifier.classes) == len(set(classifier.classes)) == 1000
    assert load(f"torchvision:{name}", model_args={"num_classes": 3}).classes is None


def test_torchvision_names_the_nearest() -> None:
    pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    with pytest.raises(ModelError, match=r"torchvision has no model 'resnet19'\.  Nearest: resnet18"):
        load("torchvision:resnet19")


def test_hugging_face_directories(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], id2label={0: "cat", 1: "dog", 2: "cat"}
    )
    torch.manual_seed(0)
    model = transformers.ResNetForImageClassification(config)
    model.save_pretrained(tmp_path)
    classifier = load(f"hf:{tmp_path}")
    assert classifier.preprocess == Preprocess()
    assert classifier.classes == ("cat", "dog", "cat 2")
    assert_state(classifier, model.state_dict())
    assert not any("random" in note for note in classifier.notes)
    assert any("preprocessor_config.json" in note for note in classifier.notes)


def test_a_directory_that_is_no_hugging_face_model(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    with pytest.raises(ModelError, match=r"is not a Hugging Face model directory: it has no config\.json"):
        load(f"hf:{tmp_path}")


def test_an_optional_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setattr("importlib.import_module", _absent)
    with pytest.raises(
        MissingExtraError,
        match=r"timm:NAME needs the package 'timm', which is not installed\.\n  Install it:  pip install timm",
    ):
        load("timm:resnet18")


def _absent(name: str) -> Any:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_an_optional_package_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(
        ModelError, match=r"torchvision\.models is installed but does not load \(operator torchvision::nms"
    ) as raised:
        load("torchvision:resnet18")
    assert raised.value.slug == "import-failed"
    assert torch.__version__ in str(raised.value)


@pytest.mark.parametrize("classes", [{"b": 1, "a": 0}, {1: "b", 0: "a"}, {"1": "b", "0": "a"}])
def test_class_names_from_a_dict_are_in_the_order_of_their_indices(net: Path, classes: Any) -> None:
    assert load(f"{net}:Net", classes=classes).classes == ("a", "b")
    with pytest.raises(OptionError, match="must have 0 to K - 1"):
        load(f"{net}:Net", classes={"a": 1, "b": 2})
    with pytest.raises(OptionError, match="interpolation is 2, but must be one of"):
        load(f"{net}:Net", preprocess={"interpolation": 2})


@pytest.mark.parametrize(
    ("options", "fitting"),
    [
        ({"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}, "--range 0-255"),
        ({"mean": (1000.0,), "std": (600.0,), "range": "0-255"}, "--range 0-1023"),
        ({"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "range": "0-255"}, "Leave the range out"),
        ({"mean": (0.5,), "std": (127.5,)}, "std is (127.5,), far above white"),
    ],
)
def test_mean_and_std_of_another_range_are_refused(options: dict[str, Any], fitting: str) -> None:
    with pytest.raises(OptionError, match=re.escape(fitting)):
        seewhy.load(seeded(FourConv()), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"mean": (0.5,), "std": (0.5,)},
        {"mean": (1.0,), "std": (1.0,)},
        {"mean": (0.0,), "std": (1.0,), "range": "0-255"},
        {"mean": (127.5,), "std": (127.5,), "range": "0-255"},
        {"mean": (0.5,), "std": (1.0,), "range": "0-255"},
    ],
)
def test_usual_means_of_a_range_are_taken(options: dict[str, Any]) -> None:
    preprocess = seewhy.load(seeded(FourConv()), **options).preprocess
    assert {name: getattr(preprocess, name) for name in options} == options


def test_a_size_that_no_memory_holds_is_refused_before_it_is_tried() -> None:
    with pytest.raises(OptionError, match=r"99999 x 99999.*120 GB"):
        seewhy.load(seeded(FourConv()), size=99999)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda x: x, "layers are watched"),
        (FourConv, r"class of networks.  Make one of it:  FourConv\(\)"),
        ({"fc.weight": torch.zeros(1)}, "looks like weights"),
        (3, "int is no network"),
    ],
)
def test_what_is_no_network_is_told_as_such(given: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        seewhy.load(given)


def test_of_two_networks_in_one_checkpoint_the_one_that_fits_is_taken(tmp_path: Path) -> None:
    wanted = seeded(FourConv()).state_dict()
    torch.save({"generator": nn.Linear(3, 2).state_dict(), "classifier": wanted}, tmp_path / "gan.pt")
    torch.save((wanted, {"epoch": 3}), tmp_path / "tuple.pt")
    torch.save([{f"module.{key}": value for key, value in wanted.items()}], tmp_path / "list.pt")
    for name in ("gan.pt", "tuple.pt", "list.pt"):
        classifier = seewhy.load(FourConv(), weights=tmp_path / name)
        assert all(torch.equal(value, wanted[key]) for key, value in classifier.model.state_dict().items())
        assert any("were taken from" in note for note in classifier.notes)
    assert any("--weights-key generator" in note for note in seewhy.load(FourConv(), weights=tmp_path / "gan.pt").notes)


def test_nan_in_the_weights_is_told_by_its_name() -> None:
    network = seeded(FourConv())
    with torch.no_grad():
        network.conv1.weight[0] = torch.nan
    explanation = seewhy.explain(network, images(4), progress=False)
    assert "The weights hold NaN or infinite numbers: conv1.weight." in explanation.notes

"""What a network is made of beyond its own file, and what changes in a session: each is another run; a move is none."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import seewhy
from seewhy.errors import OptionError, StoreError
from seewhy.learn.train.train import train
from tests.started import run_apart

NET = """
import json, os
from enum import Enum
from pathlib import Path

import torch
from torch import nn

from helper import act
import pack.inner

GAIN = 1.0


class Kind(Enum):
    ONE = 1


class Config:
    gain = 1.0


def prepare(image):
    from numpy import asarray
    return torch.from_numpy(asarray(image.resize((32, 32))).copy()).permute(2, 0, 1) / 255 * pack.inner.SCALE


class Net(nn.Module):
    SHIFT = 0.0

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.kind = Kind.ONE
        self.config = Config()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        x = act(self.conv(x ** 0.45)).mean((2, 3))
        gain = GAIN * self.config.gain * float(os.environ.get("GAIN", "1"))
        path = Path(__file__).parent / "config.json"
        return self.fc(x) * gain * (json.loads(path.read_text())["gain"] if path.exists() else 1) + self.SHIFT
"""
HELPER = "def act(x):\n    return x.relu() if x.min() >= -1000 else x\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project" / "pack").mkdir(parents=True)
    (tmp_path / "project" / "net.py").write_text(NET)
    (tmp_path / "project" / "helper.py").write_text(HELPER)
    (tmp_path / "project" / "pack" / "__init__.py").write_text("")
    (tmp_path / "project" / "pack" / "inner.py").write_text("from . import deep\nSCALE = deep.SCALE\n")
    (tmp_path / "project" / "pack" / "deep.py").write_text("SCALE = 1.0\n")
    for split in ("train", "valid"):
        for number in range(6):
            pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            path = tmp_path / "data" / split / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(pixels).save(path)
    return tmp_path / "project"


def typed(place: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_apart(*words, cwd=place, env={**os.environ, **environment})


def explained(project: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    data = str(project.parent / "data" / "valid")
    out = str(project.parent / "run")
    return typed(project, "explain", data, "--model", "net.py:Net", "--no-report", "--out", out, *words, **environment)


EDITS: dict[str, Callable[[Path], Any]] = {
    "a helper that shows on no picture": lambda p: (p / "helper.py").write_text(HELPER.replace("-1000", "-999")),
    "a helper of a helper": lambda p: (p / "pack" / "deep.py").write_text("SCALE = 1.0\nOTHER = 1\n"),
    "a file that it reads": lambda p: (p / "config.json").write_text('{"gain": 3}'),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_beyond_the_networks_own_file_is_another_run(project: Path, edit: str) -> None:
    assert explained(project).returncode == 0
    again = explained(project)
    assert again.returncode == 0, again.stderr
    EDITS[edit](project)
    refused = explained(project)
    assert refused.returncode == 2 and "another run" in refused.stderr


def test_the_environment_counts_as_far_as_it_shows(project: Path) -> None:
    assert explained(project).returncode == 0
    assert explained(project, GAIN="2").returncode == 2


def test_what_a_preprocessing_function_imports_counts(project: Path) -> None:
    words = ("--preprocess", "net.py:prepare")
    assert explained(project, *words).returncode == 0
    (project / "pack" / "deep.py").write_text("SCALE = 2.0\n")
    assert explained(project, *words).returncode == 2


def test_a_project_that_moved_and_a_network_named_from_elsewhere_are_the_same_run(project: Path) -> None:
    assert explained(project).returncode == 0
    moved = project.with_name("moved")
    shutil.move(project, moved)
    said = explained(moved)
    assert said.returncode == 0, said.stderr
    data, out = str(project.parent / "data" / "valid"), str(project.parent / "run")
    elsewhere = typed(project.parent, "explain", data, "--model", "moved/net.py:Net", "--no-report", "--out", out)
    assert elsewhere.returncode == 0, elsewhere.stderr


def loaded(project: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(project))
    for name in ("net", "helper", "pack", "pack.inner", "pack.deep"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("net")


CHANGES: dict[str, Callable[[ModuleType, torch.nn.Module], Any]] = {
    "a global": lambda module, model: setattr(module, "GAIN", 3.0),
    "a helper": lambda module, model: setattr(module, "act", torch.tanh),
    "a class attribute": lambda module, model: setattr(type(model), "SHIFT", 2.0),
    "a config object": lambda module, model: setattr(model.config, "gain", 5.0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_the_same_session_is_another_run(
    project: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    module = loaded(project, monkeypatch)
    model, data, run = module.Net().eval(), project.parent / "data" / "valid", project.parent / "run"
    seewhy.explain(model, data, out=run, progress=False)
    seewhy.explain(model, data, out=run, progress=False)
    CHANGES[change](module, model)
    with pytest.raises(StoreError, match="answers"):
        seewhy.explain(model, data, out=run, progress=False)


@pytest.mark.parametrize("kind", ["explain", "check"])
def test_what_was_made_of_other_weights_is_not_saved_as_of_these(
    project: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    model, data = loaded(project, monkeypatch).Net().eval(), project.parent / "data" / "valid"
    result = getattr(seewhy, kind)(model, data, progress=False)
    with torch.no_grad():
        model.fc.weight.mul_(2)
    with pytest.raises(StoreError, match="has changed since this was made"):
        result.save(project.parent / "saved")


def test_a_training_whose_network_reads_something_else_now_is_not_resumed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = loaded(project, monkeypatch)
    options: dict[str, Any] = {"out": project.parent / "out", "batch_size": 4, "progress": False}
    train(module.Net(), project.parent / "data", epochs=1, **options)
    train(module.Net(), project.parent / "data", epochs=2, resume=True, **options)
    (project / "config.json").write_text(json.dumps({"gain": 3}))
    with pytest.raises(OptionError, match="answers otherwise"):
        train(module.Net(), project.parent / "data", epochs=3, resume=True, **options)

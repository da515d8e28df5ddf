"""A method of the user's own: equal to ours where it computes the same, part of the run, told what it lacks."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.cam.methods.scene import Scene
from seewhy.errors import ModelError, OptionError
from seewhy.evidence.check import check
from tests.models import FourConv, Pooled, images, seeded
from tests.test_cli import run

MINE = """
import torch


def mine(scene):
    return (scene.activation * scene.gradient).sum(dim=1)


def nothing(scene):
    mine(scene)
"""


def mine(scene: Scene) -> Tensor:
    assert scene.activation is not None and scene.gradient is not None
    return (scene.activation * scene.gradient).sum(dim=1)


def occluding(scene: Scene, size: int = 8) -> Tensor:
    """The score's loss where a square of the input is black, by further passes."""
    assert scene.activation is not None
    height, width = scene.activation.shape[2:]
    maps = torch.zeros(len(scene.inputs), height, width)
    for row in range(height):
        for column in range(width):
            changed = scene.inputs.clone()
            top, left = row * changed.shape[2] // height, column * changed.shape[3] // width
            changed[:, :, top : top + size, left : left + size] = 0
            maps[:, row, column] = scene.values - scene.rescore(scene.model(changed), None)
    return maps


def explain(method: Any, model: nn.Module | None = None, x: Tensor | None = None, **options: Any) -> seewhy.Explanation:
    model = seeded(FourConv()) if model is None else model
    return seewhy.explain(model, images() if x is None else x, method=method, progress=False, **options)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my.py").write_text(MINE)
    generator = np.random.default_rng(0)
    for number in range(6):
        path = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("network", [FourConv, Pooled])
def test_a_function_that_is_hirescam_gives_the_maps_of_hirescam(network: type[nn.Module]) -> None:
    model = seeded(network())
    own, ours = explain(mine, model), explain("hirescam", model)
    assert own.methods == ("mine",) and own.layers == ours.layers
    np.testing.assert_allclose(own.maps, ours.maps, rtol=1e-5, atol=1e-8)  # they sum in another order
    pictures = [np.asarray(found[0].overlay).astype(int) for found in (own, ours)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1


@pytest.mark.parametrize("form", ["file", "module", "function", "list"])
def test_every_form_of_a_method_is_the_same(home: Path, form: str) -> None:
    (home / "tools").mkdir()
    (home / "tools" / "maps_of_mine.py").write_text(MINE)
    named = {"file": "my.py:mine", "module": "tools.maps_of_mine:mine", "function": mine, "list": [mine]}[form]
    np.testing.assert_array_equal(explain(named).maps, explain("hirescam").maps)


@pytest.mark.parametrize("method", ["grad-cam, my.py:mine", ["grad-cam", mine], ["GradCAM", "my.py:mine"]])
def test_ours_and_yours_stand_side_by_side(home: Path, method: Any) -> None:
    found = explain(method, layers=["conv1", "conv2"])
    assert found.methods == ("grad-cam", "mine")
    alone = explain("my.py:mine", layers=["conv1", "conv2"])
    np.testing.assert_array_equal(found.maps["mine/conv1"], alone.maps["conv1"])
    assert found[0].overlay.width > alone[0].overlay.width


def test_a_method_may_run_the_network_again_and_be_a_partial_function() -> None:
    model = seeded(FourConv())
    state = {name: value.clone() for name, value in model.state_dict().items()}
    found = explain(partial(occluding, size=8), model, images()[:2], layers="conv2")
    assert found.method == "occluding" and np.asarray(found.maps).any()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_smoothing_and_the_preset_take_a_method_of_yours() -> None:
    smooth = explain(mine, smooth="augment").maps
    np.testing.assert_array_equal(smooth, explain("hirescam", smooth="augment").maps)
    np.testing.assert_array_equal(
        explain(mine, preset="pytorch-grad-cam").maps, explain("hirescam", preset="pytorch-grad-cam").maps
    )


def too_small(scene: Scene) -> Tensor:
    return mine(scene)[:, 1:]


def not_finite(scene: Scene) -> Tensor:
    return mine(scene) / 0.0


def an_array(scene: Scene) -> Any:
    return mine(scene).numpy()


def none(scene: Scene) -> None:
    mine(scene)


def failing(scene: Scene) -> Tensor:
    return mine(scene.nonsense)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (none, r"The method none gave None, asked for the maps of conv2\."),
        (an_array, r"The method an_array gave ndarray"),
        (too_small, r"The method too_small gave a tensor of shape \(1, 15, 16\)"),
        (not_finite, r"The method not_finite gave NaN or infinite cells in 1 of 1 maps"),
        (failing, r"The method failing failed with AttributeError: 'Scene' object has no attribute 'nonsense'"),
    ],
)
def test_what_is_no_map_says_what_came_and_what_to_return(method: Callable[[Scene], Any], words: str) -> None:
    returns = r"[^\n]*\n  Return a finite tensor \(1, 16, 16\), a signed map for each image"
    with pytest.raises(OptionError, match=words + returns):
        explain(method)


def test_broken_pictures_are_no_fault_of_the_method() -> None:
    class Blind(FourConv):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(x.mean((1, 2, 3))[:, None] < 0, torch.nan, super().forward(x))

    x = images()
    x[1] = -1
    found = explain(mine, seeded(Blind()), x)
    assert [one.error is None for one in found] == [number != 1 for number in range(len(x))]


@pytest.mark.parametrize("name", ["hirescam", "grad_cam", "auto"])
def test_a_name_of_ours_is_refused(name: str) -> None:
    def function(scene: Scene) -> Tensor:
        return mine(scene)

    function.__name__ = name
    with pytest.raises(OptionError, match=f"A method of yours is called {name!r}, as seewhy's own"):
        explain(function)


@pytest.mark.parametrize(
    ("method", "error", "words"),
    [
        ("my.py:mien", OptionError, r"'my\.py:mien' names nothing\.  Nearest: mine"),
        ("my.py", OptionError, r"'my\.py' names nothing\.[^\n]*\n  Write it as file\.py:function"),
        ("mi.py:mine", ModelError, r"There is no file mi\.py\.  Nearest: my\.py"),
        ("no_such_module:mine", ModelError, r"There is no module 'no_such_module'[^\n]*\n  Write it as file\.py:func"),
        ("my.py:torch", OptionError, r"The method 'my\.py:torch' is module\.  Write it as"),
        ("my.py:mine,my.py:mine", OptionError, r"The method 'mine' was named twice"),
        (["grad-cam", "grad-kam"], OptionError, r"There is no method 'grad-kam'.*file\.py:function"),
    ],
)
def test_a_name_that_leads_nowhere_says_what_is_there(
    home: Path, method: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"(?s){words}"):
        explain(method)


def test_edited_code_is_another_run(home: Path) -> None:
    explain("my.py:mine", out="run")
    explain("my.py:mine", out="run")
    (home / "my.py").write_text(
        MINE.replace("scene.activation * scene.gradient", "scene.activation + 2 * scene.gradient")
    )
    with pytest.raises(seewhy.SeewhyError, match=r"(?s)these differ:.*the code: .*a method, was edited"):
        explain("my.py:mine", out="run")


def test_the_seed_of_the_scene_is_part_of_the_run(home: Path) -> None:
    explain("my.py:mine", out="run", seed=1)
    with pytest.raises(seewhy.SeewhyError, match="--seed: 1 there, 2 asked"):
        explain("my.py:mine", out="run", seed=2)


def test_the_command_names_the_run_after_the_function(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "net.py").write_text("from tests.models import FourConv\n\n\ndef net():\n    return FourConv()\n")
    words = ["explain", "photos", "--model", "net.py:net", "--workers", "2", "--method", "grad-cam,my.py:mine"]
    assert run(*words, "--out", "run") == 0, capsys.readouterr().err
    stored = json.loads(Path("run/manifest.json").read_text(encoding="utf-8"))
    assert stored["identity"]["method"] == ["grad-cam", "mine"]
    assert Path("run/overlays/mine/cat/0.png.jpg").is_file() and Path("run/report/images.html").is_file()
    assert run(*shlex.split(stored["typed"])[1:], "--out", "again", "--no-report") == 0
    assert json.loads(Path("again/manifest.json").read_text(encoding="utf-8"))["identity"] == stored["identity"]
    assert run("explain", "photos", "--model", "net.py:net", "--method", "my.py:nothing", "--out", "none") == 2
    assert "The method nothing gave None" in capsys.readouterr().err and not Path("none").exists()


def test_an_audit_takes_it_and_a_check_says_what_it_examines(home: Path) -> None:
    classifier = seewhy.load(seeded(FourConv()), classes=["cat", "dog"])
    found = seewhy.audit(
        classifier, "photos", method="my.py:mine", regions="none", properties="none", recipients=2, progress=False
    )
    assert found.summary()["maps"]["method"] == "mine"
    with pytest.raises(OptionError, match=r"check does not examine maps of mine.*\n  Methods that it examines: grad"):
        check(classifier, "photos", method="my.py:mine", progress=False)

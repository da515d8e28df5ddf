"""explain, check and audit are siblings: what they share is called alike, and their results are used alike."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from torch import nn

import seewhy
from seewhy.errors import OptionError, StoreError
from tests.models import FourConv, images, seeded

QUIET: dict[str, Any] = {"progress": False}
SIBLINGS: tuple[Callable[..., Any], ...] = (seewhy.explain, seewhy.check, seewhy.audit)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten photographs of two classes, and one file that is none."""
    random = np.random.default_rng(0)
    for number in range(10):
        path = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    (tmp_path / "photos" / "cat" / "broken.png").write_text("no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


@pytest.fixture
def model() -> nn.Module:
    return seeded(FourConv())


def files_of(folder: Path | str) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
    }


def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


@pytest.mark.parametrize("one", SIBLINGS)
@pytest.mark.parametrize("other", SIBLINGS)
def test_shared_parameters_have_the_same_default_and_order(one: Callable[..., Any], other: Callable[..., Any]) -> None:
    first, second = parameters(one), parameters(other)
    shared = [name for name in first if name in second]
    assert shared == [name for name in second if name in first]
    assert [(n, first[n].default, first[n].kind) for n in shared] == [
        (n, second[n].default, second[n].kind) for n in shared
    ]
    assert {"classifier", "images", "layers", "method", "batch_size", "seed", "out", "progress"} <= set(shared)
    assert shared[:2] == ["classifier", "images"]


def test_whatever_check_takes_explain_takes() -> None:
    without_inference = set(parameters(seewhy.check)) - {
        "cluster_by"
    }  # maps have no interval that clusters would widen
    assert without_inference <= set(parameters(seewhy.explain))
    assert set(parameters(seewhy.explain)) - set(parameters(seewhy.check)) == {"preset", "smooth", "extend", "only"}


def test_an_audit_that_is_saved_keeps_its_budget(photos: Path, model: nn.Module, tmp_path: Path) -> None:
    options: dict[str, Any] = {"regions": "halves", "properties": "none", "budget": 500, **QUIET}
    made = seewhy.audit(model, photos, out=tmp_path / "out", **options)
    saved = seewhy.audit(model, photos, **options).save(tmp_path / "saved")
    assert files_of(saved) == files_of(tmp_path / "out")
    assert made.save(tmp_path / "out") == tmp_path / "out"
    seewhy.audit(model, photos, out=saved, **options)


def test_what_names_images_had_another_name_in_an_audit(photos: Path, model: nn.Module) -> None:
    options: dict[str, Any] = {"regions": "halves", "properties": "none", "budget": 500, **QUIET}
    with pytest.warns(DeprecationWarning, match=r"data= is called images= now.*\n  Write:  images="):
        old = seewhy.audit(model, data=photos, **options)
    assert old.summary() == seewhy.audit(model, images=photos, **options).summary()
    with pytest.raises(OptionError, match="data= is the old name of images="):
        seewhy.audit(model, images=photos, data=photos, **options)


def test_results_say_the_same_things_under_the_same_names(photos: Path, model: nn.Module, tmp_path: Path) -> None:
    few: dict[str, Any] = {"regions": "halves", "properties": "none", "budget": 500, **QUIET}
    results = [
        seewhy.explain(model, photos, **QUIET),
        seewhy.check(model, photos, **QUIET),
        seewhy.audit(model, photos, **few),
    ]
    for result in results:
        name = type(result).__name__
        assert result.classes == ("cat", "dog") and isinstance(result.notes, tuple)
        assert all(isinstance(note, str) for note in result.notes) and result.notes
        assert list(result.summary()["notes"]) == list(result.notes)
        assert len(result) == len(list(result)) == len(result.records)
        assert callable(result.to_pandas) and isinstance(result.records[0], dict)
        assert repr(result).startswith(f"<{name} of 1") and "; in " not in repr(result).splitlines()[0]
        assert result.save(tmp_path / name) == result.folder == tmp_path / name
        assert repr(result).splitlines()[0].endswith(f"; in {tmp_path / name}>")
        assert result in {result}
    with pytest.warns(DeprecationWarning, match=r"check\.maps is called check\.graded"):
        assert results[1].maps == results[1].graded


@pytest.mark.parametrize("result", [seewhy.Explanation, seewhy.Check, seewhy.Audit])
def test_results_are_used_alike(result: type) -> None:
    for name in ("save", "summary", "_repr_html_"):
        assert callable(getattr(result, name))
    assert [*parameters(result.save)] == ["self", "folder"]  # type: ignore[attr-defined]
    assert parameters(result.save)["folder"].annotation == "str | Path"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layers": ["conv1", "conv2"], "method": ["grad-cam", "guided-grad-cam"], "target": {"a": "cat", "b": "label"}},
        {"preset": "pytorch-grad-cam", "layers": ["conv1", "conv2"]},
    ],
    ids=["plain", "several", "preset"],
)
def test_a_saved_explanation_is_the_run_to_the_byte(photos: Path, model: nn.Module, options: dict[str, Any]) -> None:
    seewhy.explain(model, photos, out="run", **options, **QUIET)
    held = seewhy.explain(model, photos, **options, **QUIET)
    assert held.folder is None
    assert held.save("saved") == held.folder == Path("saved")
    assert files_of("saved") == files_of("run")
    again = seewhy.explain(model, photos, out="saved", **options, **QUIET)
    assert again.summary() == held.summary()


def test_a_saved_explanation_takes_more_images_in(photos: Path, model: nn.Module) -> None:
    held = seewhy.explain(model, photos, batch_size=4, **QUIET)
    held.save("saved")
    PIL.Image.new("RGB", (32, 32)).save(photos / "dog" / "more.png")
    grown = seewhy.explain(model, photos, batch_size=4, out="saved", extend=True, **QUIET)
    assert len(grown) == len(held) + 1 and grown[0].outcome == held[0].outcome


def test_an_explanation_in_a_folder_is_copied(photos: Path, model: nn.Module) -> None:
    explanation = seewhy.explain(model, photos, out="run", **QUIET)
    assert explanation.save("run") == Path("run")
    assert explanation.save("copy") == explanation.folder == Path("copy")
    assert files_of("copy") == files_of("run")
    assert explanation.save("copy") == Path("copy")
    seewhy.explain(model, photos, limit=3, out="another", **QUIET)
    with pytest.raises(StoreError, match=r"another holds another run\.\n  Name a new folder:  save\('another-2'\)"):
        explanation.save("another")


def test_a_check_is_saved_as_the_command_writes_it(photos: Path, model: nn.Module) -> None:
    written = seewhy.check(model, photos, out="run", **QUIET)
    held = seewhy.check(model, photos, **QUIET)
    assert written.folder == Path("run") and held.folder is None
    assert held.save("saved") == held.folder == Path("saved")
    assert files_of("saved") == files_of("run")
    stored = json.loads(Path("saved/manifest.json").read_text(encoding="utf-8"))
    assert stored["status"] == "complete" and stored["summary"]["findings"] == held.summary()["findings"]
    first = files_of("run")
    assert seewhy.check(model, photos, out="run", **QUIET).summary() == held.summary() and files_of("run") == first


@pytest.mark.parametrize("function", [seewhy.explain, seewhy.check])
def test_a_folder_of_something_else_is_refused(function: Callable[..., Any], photos: Path, model: nn.Module) -> None:
    function(model, photos, out="run", **QUIET)
    other = function(model, photos, limit=4, **QUIET)
    before = files_of("run")
    for trial in (lambda: other.save("run"), lambda: function(model, photos, limit=4, out="run", **QUIET)):
        with pytest.raises(StoreError, match="run holds another run"):
            trial()
    with pytest.raises(StoreError, match="holds something else"):
        other.save("photos")
    assert files_of("run") == before and other.folder is None


COMMANDS: dict[str, Callable[..., Any]] = {
    "explain": seewhy.explain,
    "check": seewhy.check,
    "audit": partial(seewhy.audit, regions="centre", properties="none", recipients=8),
}


@pytest.mark.parametrize("asked", COMMANDS)
@pytest.mark.parametrize("there", [*COMMANDS, "compare"])
def test_a_folder_of_another_command_is_refused(there: str, asked: str, photos: Path, model: nn.Module) -> None:
    if there == asked:
        return
    if there == "compare":
        first, second = (
            COMMANDS["explain"](model, photos, layers=name, out=name, **QUIET) for name in ("conv1", "conv2")
        )
        seewhy.compare(first, second, out="run")
    else:
        COMMANDS[there](model, photos, out="run", **QUIET)
    before = files_of("run")
    words = rf"run holds another run: command: {there} there, {asked} asked(.|\n)*--out run-2"
    with pytest.raises(StoreError, match=words):
        COMMANDS[asked](model, photos, out="run", **QUIET)
    with pytest.raises(StoreError, match="run holds another run"):
        COMMANDS[asked](model, photos, **QUIET).save("run")
    assert files_of("run") == before


@pytest.mark.parametrize("function", [seewhy.explain, seewhy.check])
def test_pages_are_written_of_a_result_that_lies_in_a_folder(
    function: Callable[..., Any], photos: Path, model: nn.Module
) -> None:
    result = function(model, photos, **QUIET)
    name = type(result).__name__.lower()
    with pytest.raises(
        OptionError,
        match=rf'This {name} is in memory alone.*\n  Save it first:  .*write_report\({name}\.save\("folder"\)\)',
    ):
        seewhy.write_report(result)
    result.save("run")
    assert seewhy.write_report(result) == Path("run/report") == seewhy.write_report("run")
    assert Path("run/report/index.html").is_file()


def test_tensors_are_saved_without_files(tmp_path: Path, model: nn.Module) -> None:
    held = seewhy.explain(model, images(), **QUIET)
    held.save(tmp_path / "saved")
    seewhy.explain(model, images(), out=tmp_path / "run", **QUIET)
    assert files_of(tmp_path / "saved") == files_of(tmp_path / "run")

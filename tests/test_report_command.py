"""Commands write their pages, `seewhy report` writes them again, and a run knows the command that makes it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
import torch

import seewhy
from seewhy.errors import StoreError, WorkError
from seewhy.report.next_commands import audit_command, images_argument, other_command
from seewhy.report.stored import read_run
from seewhy.store import manifest
from seewhy.store.schema import RECORDS
from seewhy.store.tables import write_rows
from tests.test_cli import run

NET = """
from torch import nn


class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)
        self.fc = nn.Linear(width, 2)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
"""
EXPLAIN = ["explain", "photos", "--model", "net.py:Net", "--workers", "1", "--out", "runs/first"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    generator = np.random.default_rng(0)
    for number in range(12):
        path = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(generator.integers(0, 256, (20, 16, 3), dtype=np.uint8)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pictures(folder: str = "runs/first") -> list[dict[str, object]]:
    """What the pages hold of each image."""
    text = Path(folder, "report", "data", "pictures-0000.js").read_text(encoding="ascii")
    return json.loads(re.fullmatch(r"seewhy\.pictures\(0, (.*)\);\n", text).group(1))


def typed(folder: str = "runs/first") -> str:
    return json.loads(Path(folder, "manifest.json").read_text(encoding="utf-8"))["typed"]


def test_explain_and_check_end_with_pages_and_say_where(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*EXPLAIN) == 0
    assert re.search(r"Report +runs/first/report/index\.html", capsys.readouterr().out)
    assert run("check", "photos", "--model", "net.py:Net", "--out", "runs/check") == 0
    assert re.search(r"Report +runs/check/report/index\.html", capsys.readouterr().out)
    for page in ("index", "images", "averages", "method"):
        assert Path("runs/first/report", f"{page}.html").is_file() or page == "averages"
    assert not Path("runs/check/report/averages.html").exists()  # a check keeps no maps
    assert len(pictures()) == 12 and all(str(one["t"]).startswith("data:image/jpeg") for one in pictures())


def test_pages_can_be_left_out_and_written_later(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*EXPLAIN, "--no-report") == 0
    assert not Path("runs/first/report").exists() and "report" not in capsys.readouterr().out
    assert run("report", "runs/first") == 0
    assert "runs/first/report/index.html" in capsys.readouterr().out
    assert run("report", "runs/first/report", "--json") == 0  # the folder of the pages is as good a name
    assert json.loads(capsys.readouterr().out)["report"] == str(Path("runs/first/report/index.html"))


def test_pages_that_are_up_to_date_stay_and_a_check_beside_them_makes_them_new(home: Path) -> None:
    run(*EXPLAIN)
    index = Path("runs/first/report/index.html")
    written = index.stat().st_mtime_ns
    run(*EXPLAIN)
    assert index.stat().st_mtime_ns == written and "Not checked" in index.read_text(encoding="utf-8")
    run("check", "photos", "--model", "net.py:Net", "--out", "runs/check")
    run("report", "runs/first")
    assert "Not checked" not in index.read_text(encoding="utf-8")
    run("check", "photos", "--model", "net.py:Net", "--model-arg", "width=5", "--out", "runs/check")
    assert "Maps of conv" in index.read_text(encoding="utf-8")


def test_a_check_of_another_classifier_is_not_taken_in(home: Path) -> None:
    run("check", "photos", "--model", "net.py:Net", "--model-arg", "width=5", "--out", "runs/check")
    run(*EXPLAIN)
    assert "Not checked" in Path("runs/first/report/index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("config", ["", "[explain]\ntarget = ['cat', 'dog']\nsize = 12\nseed = 3\n"])
def test_the_command_that_the_run_keeps_makes_it_again(home: Path, config: str) -> None:
    if config:
        Path("seewhy.toml").write_text(config)
    assert run(*EXPLAIN, "--limit", "10", "--model-arg", "width=3", "--batch-size", "4") == 0
    kept = typed()
    assert kept.startswith("seewhy explain photos ") and "runs/first" not in kept and "workers" not in kept
    Path("seewhy.toml").unlink(missing_ok=True)
    assert run(*shlex.split(kept)[1:], "--out", "runs/again") == 0
    first, again = (json.loads(Path(f, "manifest.json").read_text()) for f in ("runs/first", "runs/again"))
    assert first["identity"] == again["identity"] and again["typed"] == kept
    assert f"<code>{kept}</code>".replace("'", "&#39;") in Path("runs/first/report/method.html").read_text()


def test_originals_are_copied_under_numbers(home: Path) -> None:
    run(*EXPLAIN)
    assert all(one["o"] == {} for one in pictures())
    assert run("report", "runs/first", "--copy-images") == 0
    originals = [Path("runs/first/report", one["o"]["original"]) for one in pictures()]
    assert [path.name for path in originals] == [f"{number:06d}.png" for number in range(12)]
    assert originals[0].read_bytes() == Path("photos/cat/0.png").read_bytes()


def test_a_run_that_was_moved_with_its_images_still_finds_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(*EXPLAIN, "--no-report")
    (home / "moved").mkdir()
    for name in ("runs", "photos"):
        shutil.move(home / name, home / "moved" / name)
    monkeypatch.chdir(home / "moved" / "runs")
    seewhy.write_report("first")
    assert all(one["t"] for one in pictures("first"))


def test_a_picture_that_is_gone_or_another_one_now_is_not_shown_but_counted(home: Path) -> None:
    run(*EXPLAIN, "--no-report")
    Path("photos/cat/0.png").unlink()
    shutil.copyfile("photos/dog/3.png", "photos/dog/1.png")
    run("report", "runs/first")
    shown = {name: one["t"] for name, one in zip(ids(), pictures(), strict=True)}
    assert [name for name, one in shown.items() if one is None] == ["cat/0.png", "dog/1.png"]
    assert all(one["m"][0] for one in pictures())  # their maps are still there
    assert "not where the run found them, or have changed: 2." in Path("runs/first/report/index.html").read_text()


def ids() -> list[str]:
    text = Path("runs/first/report/data/table.js").read_text(encoding="ascii")
    return json.loads(re.fullmatch(r"seewhy\.table\((.*)\);\n", text).group(1))["ids"]


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("runs/frist", r"There is no run folder runs/frist\.  Nearest: runs/first\."),
        ("photos", "photos is no run folder: it has no manifest.json"),
    ],
)
def test_a_folder_that_is_no_run_is_named_with_the_nearest(home: Path, folder: str, words: str) -> None:
    run(*EXPLAIN, "--no-report")
    with pytest.raises(StoreError, match=words):
        seewhy.write_report(folder)


def test_a_run_that_is_not_finished_says_how_to_go_on(home: Path) -> None:
    run(*EXPLAIN, "--no-report")
    path = Path("runs/first/manifest.json")
    content = {**json.loads(path.read_text()), "status": "running"}
    del content["digest"]
    path.write_text(json.dumps(content))
    with pytest.raises(
        StoreError, match=r"The run in runs/first is not finished\.\n  The explain command that began it goes on"
    ):
        seewhy.write_report("runs/first")


def test_half_written_pages_of_a_killed_process_are_replaced(home: Path) -> None:
    run(*EXPLAIN, "--no-report")
    (home / "runs/first/report.partial/assets").mkdir(parents=True)
    (home / "runs/first/report.partial/junk.html").write_text("junk")
    seewhy.write_report("runs/first")
    assert not Path("runs/first/report.partial").exists() and not Path("runs/first/report/junk.html").exists()


def test_the_next_command_speaks_of_the_same_classifier() -> None:
    line = "seewhy explain 'my photos' --model net.py:Net --weights 'a b.pt' --target fake --limit 5 --size 64"
    asked = other_command(line, "check", images_argument(line))
    assert asked == "seewhy check 'my photos' --model net.py:Net --weights 'a b.pt' --size 64"
    assert other_command(None, "audit") == "seewhy audit DATA --model net.py:Net --weights model.pt"


def test_what_tests_a_trend_is_typed_as_it_can_run(home: Path) -> None:
    run(*EXPLAIN)
    stored = read_run(Path("runs/first"))
    for task, expected in (
        ("classification", r"^seewhy audit .* --regions grid:4x4$"),
        ("multi-label", r"^seewhy audit .* --label 'a cat' --regions grid:4x4$"),
        ("regression", "^An audit tests classifiers, and this network's output is read as: regression.$"),
    ):
        identity = {**stored.identity, "task": task}
        of_task = replace(stored, manifest={**stored.manifest, "identity": identity})
        assert re.search(expected, audit_command(of_task, "a cat", ["--regions grid:4x4"]))


def test_pages_that_lost_a_file_are_written_again(home: Path) -> None:
    run(*EXPLAIN)
    Path("runs/first/report/data/table.js").unlink()
    seewhy.write_report("runs/first")
    assert Path("runs/first/report/data/table.js").is_file()


def test_pictures_that_were_missing_are_looked_for_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(*EXPLAIN, "--no-report")
    shutil.move("photos", "elsewhere")
    seewhy.write_report("runs/first")
    assert not any(one["t"] for one in pictures())
    shutil.move("elsewhere", "photos")
    seewhy.write_report("runs/first")
    assert all(one["t"] for one in pictures())


def test_originals_that_were_copied_stay_when_the_pages_are_written_again(home: Path) -> None:
    run(*EXPLAIN, "--no-report")
    seewhy.write_report("runs/first", copy_images=True)
    Path("runs/first/report/index.html").unlink()
    seewhy.write_report("runs/first")
    assert len(list(Path("runs/first/report/originals").iterdir())) == 12


@pytest.mark.parametrize("digest", [None, "0" * 32])
def test_a_table_that_names_another_file_gets_no_picture_of_it(home: Path, digest: str | None) -> None:
    run(*EXPLAIN, "--no-report")
    PIL.Image.new("RGB", (8, 8)).save("private.png")
    table = pq.read_table("runs/first/records.parquet").to_pylist()
    table[0] |= {"path": str(home / "private.png"), "digest": digest}
    write_rows(Path("runs/first/records.parquet"), table, RECORDS)
    content = json.loads(Path("runs/first/manifest.json").read_text())
    Path("runs/first/manifest.json").write_text(
        json.dumps({"identity": content["identity"], "status": "complete", "summary": content["summary"]})
    )  # of somebody else's
    seewhy.write_report("runs/first", copy_images=True)
    assert [one["t"] is None for one in pictures()] == [True] + 11 * [False]
    assert len(list(Path("runs/first/report/originals").iterdir())) == 11


def test_images_given_in_memory_are_not_called_missing(home: Path) -> None:
    classifier = seewhy.load("net.py:Net")
    seewhy.explain(classifier, torch.rand(4, 3, 16, 16), out="runs/memory", progress=False)
    seewhy.write_report("runs/memory")
    assert "not where the run found them" not in Path("runs/memory/report/index.html").read_text(encoding="utf-8")
    assert [one["t"] for one in pictures("runs/memory")] == 4 * [None]


def test_two_writers_do_not_meet(home: Path) -> None:
    run(*EXPLAIN, "--no-report")
    with manifest.writer(Path("runs/first")), pytest.raises(StoreError, match="is being written by process"):
        manifest._holders.clear()  # as in another process
        seewhy.write_report("runs/first")


def test_pages_that_cannot_be_written_say_so_and_the_run_is_told_all_the_same(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*EXPLAIN, "--no-report")
    Path("runs/first/report").write_text("in the way")
    with pytest.raises(WorkError, match=r"could not be written: .*\n  The run itself is complete\."):
        seewhy.write_report("runs/first")
    assert not Path("runs/first/report.partial").exists()
    capsys.readouterr()
    assert run(*EXPLAIN) == 0
    said = capsys.readouterr()
    assert "12 images explained" in said.out and "The run itself is complete." in said.err


@pytest.mark.parametrize("text", ['{"identity": "text"}', "[]", '{"identity": {}, "status": "complete"}', "no json"])
def test_a_broken_neighbour_is_passed_by(home: Path, text: str) -> None:
    run(*EXPLAIN, "--no-report")
    Path("runs/broken").mkdir()
    Path("runs/broken/manifest.json").write_text(text)
    assert seewhy.write_report("runs/first").is_dir()


def test_grades_of_other_maps_are_not_taken_for_these(home: Path) -> None:
    run("check", "photos", "--model", "net.py:Net", "--target", "dog", "--out", "runs/check")
    run(*EXPLAIN)
    page = Path("runs/first/report/index.html").read_text(encoding="utf-8")
    assert "for predicted) were not graded: the check beside this run examined" in page and 'class="grade ' not in page
    run("check", "photos", "--model", "net.py:Net", "--out", "runs/again")
    run("report", "runs/first")
    assert 'class="grade ' in Path("runs/first/report/index.html").read_text(encoding="utf-8")


def test_a_command_line_edited_by_hand_is_not_read() -> None:
    assert other_command("seewhy explain it's", "check") == "seewhy check DATA --model net.py:Net --weights model.pt"

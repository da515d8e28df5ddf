"""An audit's folder: the same bytes for any number of workers and after any interruption, and nobody else's folder."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

import seewhy
from seewhy.errors import StoreError
from seewhy.evidence.audit import run_audit
from seewhy.evidence.trials.design import AuditDesign, design_audit
from seewhy.evidence.trials.request import request
from seewhy.evidence.trials.scorer import Scorer
from seewhy.store.schema import (
    CLASS_EFFECTS,
    CONFUSION_EFFECTS,
    DONOR_EFFECTS,
    IMAGE_EFFECTS,
    MAP_SHARES,
    MAP_STATS,
    RECORDS,
    TRIALS,
)
from tests.small_images import Reader, classifier_of, write_images, write_masks
from tests.started import SEEWHY, run_apart, started

ROOT = Path(__file__).parents[3]
TABLES = {
    "trials": TRIALS,
    "records": RECORDS,
    "image_effects": IMAGE_EFFECTS,
    "donor_effects": DONOR_EFFECTS,
    "class_effects": CLASS_EFFECTS,
    "confusion_effects": CONFUSION_EFFECTS,
    "map_stats": MAP_STATS,
    "map_shares": MAP_SHARES,
}
FILES = {"files.json", "findings.json", "manifest.json"} | {f"{name}.parquet" for name in TABLES}
NET = """
import os, time
from tests.small_images import Reader

class Net(Reader):
    def __init__(self, tint=20.0):
        super().__init__(core=20.0, tint=tint)

    def forward(self, x):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        return super().forward(x)
"""
WORDS = ["audit", "data", "--model", "net.py:Net", "--classes", "cat,dog", "--size", "32", "--mean", "0,0,0"]
WORDS += ["--std", "1,1,1", "--regions", "core=core,around=not:core", "--core", "core", "--factors", "tint"]
WORDS += ["--recipients", "20", "--batch-size", "40"]


def tree(folder: Path) -> dict[str, str]:
    """The hash of every file but the lock and the pages, which name the folder that they are about."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock" and path.relative_to(folder).parts[0] != "report"
    }


def environment(pause: float = 0.0) -> dict[str, str]:
    path = f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"
    return {**os.environ, "PAUSE": str(pause), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def finished(home: Path, *words: str) -> str:
    ran = run_apart(*WORDS, *words, cwd=home, env=environment())
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folder")
    (folder / "net.py").write_text(NET)
    write_masks(folder / "core", write_images(folder / "data", counts={"train": 30, "valid": 30}))
    return folder


@pytest.fixture(scope="module")
def straight(home: Path) -> dict[str, str]:
    """An undisturbed run of the command with one worker, by a Python of its own."""
    words = [*SEEWHY, *WORDS, "--workers", "1", "--out", "straight"]
    subprocess.run(words, cwd=home, env=environment(), check=True, capture_output=True)
    return tree(home / "straight")


def design_of(home: Path, tint: float = 20.0, **options: Any) -> AuditDesign:
    asked = {"regions": f"core={home / 'core'},around=not:core", "core": "core", "properties": "tint", "recipients": 20}
    model = classifier_of(Reader(core=20.0, tint=tint))
    seed = options.pop("seed", 0)
    return design_audit(model, home / "data", request(**{**asked, **options}), batch_size=40, seed=seed)


@pytest.fixture(scope="module")
def design(home: Path) -> AuditDesign:
    return design_of(home)


@pytest.fixture(scope="module")
def whole(home: Path, design: AuditDesign) -> dict[str, str]:
    run_audit(design, folder=home / "whole")
    return tree(home / "whole")


# The command.


def test_the_folder_holds_what_was_found(home: Path, straight: dict[str, str]) -> None:
    below = {home: {name for name in straight if name.startswith(f"{home}/")} for home in ("pictures", "maps.zarr")}
    assert {*straight} == FILES.union(*below.values()) and all(below.values())
    for name, columns in TABLES.items():
        assert pq.read_schema(home / "straight" / f"{name}.parquet").names == list(columns)
    found = json.loads((home / "straight" / "findings.json").read_text())
    assert found["trials"] == pq.read_metadata(home / "straight" / "trials.parquet").num_rows
    assert [one["factor"] for one in found["findings"]] and found["splits"] == {"valid": 60, "train": 60}


def test_two_workers_give_the_same_bytes(home: Path, straight: dict[str, str]) -> None:
    finished(home, "--workers", "2", "--out", "two")
    assert tree(home / "two") == straight


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no process groups")
def test_a_killed_command_goes_on_and_gives_the_same_bytes(home: Path, straight: dict[str, str]) -> None:
    run, moments = home / "killed", random.Random(0)
    for wanted in sorted(moments.sample(range(1, 18), 2)):  # finished jobs at the kill
        with (home / "said.txt").open("w") as said:
            words = (*WORDS, "--workers", "1", "--out", "killed")
            ways = {"stdout": said, "stderr": said, "start_new_session": True}
            process = started(*words, cwd=home, env=environment(0.02), **ways)
        while process.poll() is None and len(list(run.glob("parts/trials-*.parquet"))) < wanted:
            time.sleep(0.005)
        assert process.poll() is None, (home / "said.txt").read_text()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not (run / "findings.json").exists()
        kept = {path: path.stat().st_mtime_ns for path in (run / "parts").glob("trials-*.parquet")}
    out = finished(home, "--workers", "1", "--out", "killed")
    assert kept and "killed" in out and tree(run) == straight


def test_a_finished_command_only_tells_again(home: Path, straight: dict[str, str]) -> None:
    shutil.copytree(home / "straight", home / "again")
    before = {path: path.stat().st_mtime_ns for path in (home / "again").rglob("*.parquet")}
    found = json.loads(finished(home, "--workers", "1", "--out", "again", "--json"))
    assert found["findings"] and tree(home / "again") == straight
    assert {path: path.stat().st_mtime_ns for path in before} == before


# Interrupted in Python.


@pytest.mark.parametrize("calls", [0, 1, 9])
def test_an_interrupted_audit_goes_on(
    home: Path, whole: dict[str, str], design: AuditDesign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    made: list[str] = []
    usual = Scorer.run

    def limited(self: Scorer, job: Any) -> Any:
        if len(made) == calls:
            raise KeyboardInterrupt
        made.append(job.name)
        return usual(self, job)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Scorer, "run", limited)
        run_audit(design, folder=tmp_path / "run")
    assert len(list((tmp_path / "run" / "parts").glob("trials-*"))) == calls
    run_audit(design, folder=tmp_path / "run")
    assert tree(tmp_path / "run") == whole


@pytest.mark.parametrize(
    "gone", ["parts", "findings.json", "image_effects.parquet", "donor_effects.parquet", "pictures", "maps.zarr"]
)
def test_what_is_missing_is_made_again(
    home: Path, whole: dict[str, str], design: AuditDesign, tmp_path: Path, gone: str
) -> None:
    run = tmp_path / "run"
    if gone == "parts":  # every second job was finished
        run_audit_until_parts(design, run)
        for path in sorted((run / "parts").glob("trials-*"))[::2]:
            path.unlink()
    else:
        shutil.copytree(home / "whole", run)
        path = run / gone
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        set_status(run, "running")
    run_audit(design, folder=run)
    assert tree(run) == whole


def test_maps_that_were_half_written_are_written_again(
    home: Path, whole: dict[str, str], design: AuditDesign, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(home / "whole", run)
    chunks = sorted(path for path in (run / "maps.zarr").rglob("c/*/0/0"))
    chunks[0].rename(chunks[0].with_name("0.1234.partial"))
    chunks[1].write_bytes(chunks[2].read_bytes())
    set_status(run, "running")
    run_audit(design, folder=run)
    assert tree(run) == whole


def test_parts_of_code_whose_trials_come_in_another_order_are_not_taken(design: AuditDesign, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_audit_until_parts(design, run)
    first, *_, last = sorted((run / "parts").glob("trials-*"))
    content = first.read_bytes()
    first.write_bytes(last.read_bytes())
    last.write_bytes(content)
    with pytest.raises(StoreError, match=r"was begun by other code, whose trials come in another order(.|\n)*--out"):
        run_audit(design, folder=run)


def run_audit_until_parts(design: AuditDesign, run: Path) -> None:
    """All jobs made and nothing merged."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("seewhy.evidence.results.folder.AuditFolder.finish", interrupted)
        run_audit(design, folder=run)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def set_status(run: Path, status: str) -> None:
    path = run / "manifest.json"
    content = {**json.loads(path.read_text()), "status": status}
    del content["digest"]  # as an older version wrote it
    path.write_text(json.dumps(content, indent=2))


# One folder, one audit.


def test_saved_is_what_a_folder_gets(design: AuditDesign, whole: dict[str, str], tmp_path: Path) -> None:
    found = run_audit(design)
    assert found.folder is None
    assert found.save(tmp_path / "saved") == found.folder == tmp_path / "saved"
    assert tree(tmp_path / "saved") == whole


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"recipients": 19}, "--recipients"),
        ({"core": ""}, "--core"),
        ({"properties": "brightness"}, "--properties"),
        ({"marks": ["word=text:AB"]}, "--mark"),
        ({"seed": 1}, "seed"),
        ({"tint": 19.0}, "weights|network|classifier"),
        ({"donors": 29}, "images|--donors"),
    ],
)
def test_another_audits_folder_is_refused_with_what_differs(
    home: Path, whole: dict[str, str], changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(StoreError, match=f"holds another run: .*({said})(.|\n)*--out"):
        run_audit(design_of(home, **changed), folder=home / "whole")
    assert tree(home / "whole") == whole


def test_another_budget_is_another_audit(home: Path, design: AuditDesign, whole: dict[str, str]) -> None:
    with pytest.raises(StoreError, match="--budget"):
        run_audit(design, budget=500, folder=home / "whole")


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path, design: AuditDesign) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("kept")
    with pytest.raises(seewhy.SeewhyError):
        run_audit(design, folder=tmp_path / "notes")
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["mine.txt"]


# Every number is there.


def test_the_trials_repeat_the_findings(home: Path, whole: dict[str, str], design: AuditDesign) -> None:
    table = pq.read_table(home / "whole" / "trials.parquet").to_pydict()
    told = json.loads((home / "whole" / "findings.json").read_text(encoding="utf-8"))
    assert len(table["factor"]) == told["trials"] > design.schedule.n_trials  # more is asked of what matters
    labels = {image.id: image.label for sample in design.samples.values() for image in sample.images}
    moved: dict[str, list[float]] = {"cat": [], "dog": []}
    for name, edit, split, donor, before, after in zip(
        *(table[one] for one in ("factor", "edit", "split", "donor", "margins_before", "margins")), strict=True
    ):
        if (name, edit, split) == ("around", "donors", "valid"):
            moved[str(labels[donor])].append(after[0] - before[0])
    plain = sum(moved["cat"]) / len(moved["cat"]) - sum(moved["dog"]) / len(moved["dog"])
    found = {one["factor"]: one for one in json.loads((home / "whole" / "findings.json").read_text())["findings"]}
    around = found["around"]["numbers"] if "around" in found else found["tint"]["numbers"]["members"]["around"]
    assert around["margin"]["value"] == pytest.approx(plain, abs=0.3)  # donors are used nearly equally often


def test_the_folder_stays_as_it_is_when_the_network_raises(home: Path, tmp_path: Path) -> None:
    class Broken(Reader):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            Broken.calls += 1
            if 40 <= Broken.calls < 10**6:
                raise ValueError("broken on purpose")
            return super().forward(x)

    asked = request(f"core={home / 'core'},around=not:core", "core", "tint", recipients=20)
    broken = design_audit(classifier_of(Broken(core=20.0, tint=20.0)), home / "data", asked, batch_size=40)
    with pytest.raises(ValueError, match="on purpose"):
        run_audit(broken, folder=tmp_path / "run")
    kept = len(list((tmp_path / "run" / "parts").glob("trials-*")))
    Broken.calls = 10**6
    found = run_audit(broken, folder=tmp_path / "run")
    assert kept > 0 and found.findings and not (tmp_path / "run" / "parts").exists()

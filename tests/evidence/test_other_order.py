"""An audit of classes in another order stops before its trials, says what to type, and goes on where it is asked to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import seewhy
from seewhy.cli.app import app, main
from seewhy.errors import OptionError
from seewhy.evidence import audit as audits
from tests.small_images import Reader, Steps, classifier_of, parts_of, pictures_of, write_images

QUIET: dict[str, Any] = {"regions": "none", "properties": "tint", "recipients": 16, "progress": False}
SIX = tuple("abcdef")
NET = """
from tests.small_images import Reader

def net():
    return Reader(core=200.0)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("orders")
    write_images(folder / "two", counts={"train": 20, "valid": 30})
    write_images(folder / "six", counts={"valid": 20}, classes=SIX, noise=0.01)
    (folder / "net.py").write_text(NET)
    return folder


class Swapped(Steps):
    """Six classes by the core, the outputs of c and e in each other's place."""

    def __init__(self) -> None:
        super().__init__(6, core=4000.0)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, [0, 1, 4, 3, 2, 5]]


def no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a trial was made")

    monkeypatch.setattr(audits, "run_jobs", refused)


def test_swapped_classes_stop_before_any_trial(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_trial(monkeypatch)
    swapped = classifier_of(Reader(core=200.0), ("dog", "cat"))
    with pytest.raises(OptionError, match=r"--classes cat,dog\n.*--as-given") as raised:
        seewhy.audit(swapped, home / "two", **QUIET)
    assert raised.value.slug == "other-order" and raised.value.exit_status == 2
    assert "In Python: classes=…, as_given=…" in str(raised.value)


def test_check_says_the_same_line(home: Path) -> None:
    swapped = classifier_of(Reader(core=200.0), ("dog", "cat"))
    said = [
        finding for finding in seewhy.check(swapped, home / "two", progress=False) if "permutation" in finding.numbers
    ]
    assert [finding.todo for finding in said] == ["--classes cat,dog"]


def test_as_given_goes_on_and_says_it(home: Path) -> None:
    swapped = classifier_of(Reader(core=200.0), ("dog", "cat"))
    found = seewhy.audit(swapped, home / "two", as_given=True, **QUIET)
    assert found.findings[0].claims == ("classifier",) and "--classes cat,dog" in found.findings[0].todo
    assert len(found.trials) > 0


def test_the_order_that_was_named_is_audited(home: Path) -> None:
    found = seewhy.audit(classifier_of(Reader(core=200.0), ("cat", "dog")), home / "two", **QUIET)
    assert "classifier" not in found.findings[0].claims


def test_two_of_six_stop_with_all_six_names(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_trial(monkeypatch)
    with pytest.raises(OptionError, match="--classes a,b,e,d,c,f"):
        seewhy.audit(classifier_of(Swapped(), SIX), home / "six", **QUIET)


@pytest.mark.parametrize("seed", range(3))
def test_a_network_that_guesses_is_audited(home: Path, seed: int) -> None:
    torch.manual_seed(seed)
    guessing = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert len(seewhy.audit(classifier_of(guessing), home / "two", **QUIET).trials) > 0


def test_a_cue_that_is_turned_on_valid_alone_is_audited(home: Path, tmp_path: Path) -> None:
    """On train the network is right, so the classes are as given, however wrong it is about valid."""
    folder = tmp_path / "turned"
    write_images(folder, counts={"train": 30, "valid": 30})
    valid = folder / "valid"
    (valid / "cat").rename(valid / "was-cat")
    (valid / "dog").rename(valid / "cat")
    (valid / "was-cat").rename(valid / "dog")
    found = seewhy.audit(classifier_of(Reader(core=200.0)), folder, **QUIET)
    assert found.facts["accuracy"]["value"] < 0.1 and "worse than that" in found.findings[0].text


@pytest.fixture
def typed(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    options = "--size 32 --regions none --properties tint --recipients 16 --workers 1 --no-report --out run"
    return ["audit", str(home / "two"), "--model", f"{home / 'net.py'}:net", *options.split()]


def test_on_the_command_line_it_is_an_error_like_others(
    typed: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as left:
        main([*typed, "--classes", "dog,cat"])
    said = capsys.readouterr()
    assert left.value.code == 2 and said.out == ""
    assert "--classes cat,dog" in said.err and "docs/errors.md#other-order" in said.err
    run = CliRunner().invoke(app, [*typed, "--classes", "cat,dog"])  # the same folder: nothing was begun in it
    assert run.exit_code == 0, run.output
    assert json.loads((tmp_path / "run" / "findings.json").read_text())["classes"] == ["cat", "dog"]


def test_a_stopped_run_goes_on_as_given(typed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    line = [*typed, "--classes", "dog,cat", "--as-given"]
    run_jobs = audits.run_jobs

    def stopped(*given: Any) -> Any:
        yield next(run_jobs(*given))
        raise KeyboardInterrupt

    monkeypatch.setattr(audits, "run_jobs", stopped)
    assert CliRunner().invoke(app, line).exit_code == 130
    monkeypatch.setattr(audits, "run_jobs", run_jobs)
    again = CliRunner().invoke(app, line[:-1])  # trials are still missing: without being asked it does not go on
    assert isinstance(again.exception, OptionError)
    assert CliRunner().invoke(app, line).exit_code == 0
    assert CliRunner().invoke(app, line[:-1]).exit_code == 0, "what is finished is told"


class Labels(Reader):
    """Mass by the core, edema by the ring, hernia by neither."""

    def forward(self, x: Tensor) -> Tensor:
        core, ring = parts_of(self.look(x))
        return torch.stack([200 * core, 200 * ring, 0 * core - 3 + 0.001 * x.mean((1, 2, 3))], dim=1)


@pytest.fixture(scope="module")
def several(home: Path) -> Path:
    """Images with mass where the core is bright, and edema where the ring is red."""
    data = write_images(home / "labels", counts={"valid": 60}, aligned=0.5)
    rows = ["path,finding,split"]
    for path, picture in zip(sorted(data.rglob("*.png")), pictures_of(data, "valid")[0], strict=True):
        core, ring = parts_of(picture[None])
        held = [name for name, value in (("mass", core), ("edema", ring)) if float(value) > 0]
        rows.append(f"{path.relative_to(home).as_posix()},{'|'.join(held) or 'no finding'},valid")
    (home / "labels.csv").write_text("\n".join(rows) + "\n")
    return home / "labels.csv"


def test_of_one_label_the_order_of_all_is_looked_at(several: Path) -> None:
    right = seewhy.audit(classifier_of(Labels(), ("mass", "edema", "hernia")), several, label="edema", **QUIET)
    assert len(right.trials) > 0
    swapped = classifier_of(Labels(), ("edema", "mass", "hernia"))
    for label in ("edema", "mass"):
        with pytest.raises(OptionError, match="--classes mass,edema,hernia"):
            seewhy.audit(swapped, several, label=label, **QUIET)
    assert len(seewhy.audit(swapped, several, label="edema", as_given=True, **QUIET).trials) > 0


def test_a_label_that_is_turned_round_stops_the_audit(several: Path) -> None:
    class Turned(Labels):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * torch.tensor([1.0, -1.0, 1.0])

    turned = classifier_of(Turned(), ("mass", "edema", "hernia"))
    with pytest.raises(OptionError, match="'edema' get less of it than images without"):
        seewhy.audit(turned, several, label="edema", **QUIET)
    assert len(seewhy.audit(turned, several, label="mass", **QUIET).trials) > 0
    found = seewhy.audit(turned, several, label="edema", as_given=True, **QUIET)
    assert not any("not edema,edema" in finding.todo for finding in found.findings)


def test_labels_of_a_table_that_are_counted_from_one(home: Path) -> None:
    """Images of five of six classes, numbered from 1: the line that is given puts it right."""
    rows = ["path,label,split"]
    for path in sorted((home / "six").rglob("*.png")):
        if (index := SIX.index(path.parent.name)) < 5:
            rows.append(f"{path.relative_to(home).as_posix()},{index + 1},valid")
    (home / "from-one.csv").write_text("\n".join(rows) + "\n")
    network = classifier_of(Steps(6, core=4000.0), SIX)
    with pytest.raises(OptionError, match=r"counted from 1[\s\S]*--first-label 1 "):
        seewhy.audit(network, home / "from-one.csv", **QUIET)
    table = seewhy.read_table(home / "from-one.csv", first_label=1)
    assert seewhy.audit(network, table, **QUIET).facts["accuracy"]["value"] > 0.7

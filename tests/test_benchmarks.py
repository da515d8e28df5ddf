"""Numbers of code that has changed since are not shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.planted.cache import ROOT, WRITING

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, over a source of one file."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("stamps", "report", "workloads"):
        sys.modules.pop(name, None)
    import stamps  # type: ignore[import-not-found]

    (tmp_path / "cam").mkdir()
    (tmp_path / "cam" / "a.py").write_text('"""Words."""\n\ndef f(x):\n    """More."""\n    return x + 1\n')
    monkeypatch.setattr(stamps, "SOURCE", tmp_path)
    return stamps


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ('"""Other words."""\n# a comment\ndef f(y):\n    return y + 1\n', True),
        ('"""Words."""\n\ndef f(x):\n    """More."""\n    return x + 2\n', False),
    ],
    ids=["words", "code"],
)
def test_a_row_is_current_while_its_code_does_the_same(stamps: Any, tmp_path: Path, text: str, same: bool) -> None:
    raw = {"code": stamps.stamp(["cam"])}
    assert stamps.is_current(raw)
    (tmp_path / "elsewhere.py").write_text("x = 1\n")
    assert stamps.is_current(raw)
    (tmp_path / "cam" / "a.py").write_text(text)
    assert stamps.is_current(raw) is same


def test_files_that_decide_nothing_are_left_out_of_a_hash_and_no_others(stamps: Any, tmp_path: Path) -> None:
    before = stamps.code_digest(["cam"], tmp_path)
    for name in ("b", "c"):
        (tmp_path / "cam" / f"{name}.py").write_text("x = 1\n")
    assert before != stamps.code_digest(["cam"], tmp_path, but=["cam/b.py"])
    assert before == stamps.code_digest(["cam"], tmp_path, but=["cam/b.py", "cam/c.py"])
    assert all((ROOT / file).is_file() for file in WRITING)


def test_the_summary_refuses_rows_of_older_code(stamps: Any, tmp_path: Path) -> None:
    import report  # type: ignore[import-not-found]

    line = {"what": "a workload", "at_least": 1, "goal": 2, "unit": "x", "lower": False, "values": [7.25], "gate": None}
    folder = tmp_path / "results"
    folder.mkdir()
    row = {"code": stamps.stamp(["cam"]), "noisy": False, "headlines": [line]}
    (folder / "a.json").write_text(json.dumps(row))
    assert "7.25" in report.write_summary(folder)
    (tmp_path / "cam" / "a.py").write_text("def f(x):\n    return x\n")
    text = report.write_summary(folder)
    assert "7.25" not in text and "- a workload" in text
    (folder / "a.json").write_text(json.dumps({key: row[key] for key in ("noisy", "headlines")}))
    assert "7.25" not in report.write_summary(folder)

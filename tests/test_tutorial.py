"""The tutorial runs from an empty folder, shows what it says, and mentions only commands that exist."""

from __future__ import annotations

import ast
import base64
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"
# Runs after the notebook's own cells: its variables as the test needs them.
ASK = """
import json
print(json.dumps({
    "effects": {what: {key: float(value) for key, value in one.items()} for what, one in effects.items()},
    "history": [[row.epoch, row.split, row.loss, row.accuracy] for row in training.history],
    "best": training.best_epoch,
    "explained": [len(explanation), explanation.score, list(explanation.layers), explanation.method],
    "auto": [auto.method, list(auto.layers)],
    "outside": int(touched),
    "rendered_again": float(abs(p_fake(explanation)[0] - p_fake(asked_again([truth["valid/fake/fake_00000.png"]]))[0])),
    "parts": [float(part) for part in (on_background, elsewhere)],
    "margins": [float(np.mean([one.map_stats["conv4"].score_value for one in maps])) for maps in
                (before["fakes, valid"], after["tint removed"])],
    "stretched": [float(preset[int(i)].maps.max()) for i in few],
    "raw": [float(peaks["conv3"][int(i)]) for i in few],
    "never": list(never.notes),
    "depends": bool(depends),
    "audit": {one.factor: [one.level, list(one.claims)] for one in audit.findings},
}))
"""


def cells() -> list[dict[str, Any]]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def commands() -> list[str]:
    """Every command that the notebook's text mentions: lines of shell blocks, and words in backticks."""
    text = "\n".join(source(cell) for cell in cells() if cell["cell_type"] == "markdown")
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL))
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [line for line in blocks.splitlines() if line.strip()] + re.findall(r"`(seewhy [^`]+)`", prose)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, dict[str, Any], Path]]:
    """The notebook with its outputs, its variables, and the folder that it ran in."""
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    folder = tmp_path_factory.mktemp("tutorial")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    [audit] = [cell for cell in notebook.cells if "recipients=100,\n    donors=100,\n" in source(cell)]
    audit.source = source(audit).replace("=100,\n", "=50,\n")  # enough for what is asked of it below
    notebook.cells.append(nbformat.v4.new_code_cell(ASK))
    resources = {"metadata": {"path": str(folder)}}
    client.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    asked = notebook.cells.pop()
    yield notebook, json.loads(asked.outputs[-1].text), folder


@pytest.mark.filterwarnings("ignore")  # Jupyter's own
def test_it_runs_from_an_empty_folder_and_shows_what_it_says(executed: tuple[Any, dict[str, Any], Path]) -> None:
    notebook, found, folder = executed
    outputs = {place: cell.outputs for place, cell in enumerate(notebook.cells) if cell.cell_type == "code"}
    everything = [output for some in outputs.values() for output in some]
    assert [output for output in everything if output.output_type == "error"] == []
    assert "Warning" not in "".join(output.text for output in everything if output.get("name") == "stderr")
    assert [one.name for one in folder.iterdir()] == ["tutorial"], "it writes below tutorial/ only"

    # The network learned: loss fell, and it tells new faces apart.
    loss = {(epoch, split): value for epoch, split, value, _ in found["history"]}
    accuracy = {(epoch, split): value for epoch, split, _, value in found["history"]}
    best = found["best"]
    assert loss[best, "train"] < 0.8 * loss[0, "train"]
    assert loss[best, "valid"] == min(value for (_, split), value in loss.items() if split == "valid")
    assert accuracy[best, "valid"] > 0.75

    # 100 fakes, the tutorial's layers, and a sheet.
    assert found["explained"] == [100, "fake", ["conv2", "conv3"], "grad-cam"]
    [sheet] = [some for place, some in outputs.items() if source(notebook.cells[place]).startswith("explanation.show(")]
    picture = base64.b64decode(sheet[-1].data["image/jpeg"])
    assert picture.startswith(b"\xff\xd8\xff")
    assert 50_000 < len(picture) < 1_500_000
    assert found["auto"] == ["hirescam", ["conv4"]]

    # What stretching hides.
    assert min(found["stretched"]) > 0.99
    assert found["raw"][2] > 3 * found["raw"][0] > 0
    assert any("never predicted" in note for note in found["never"])

    # The intervention: nothing but the background was touched, and the answers follow it, both ways.
    assert found["outside"] == 0
    assert found["rendered_again"] < 1e-4
    removed, added = found["effects"]["tint removed"], found["effects"]["tint added"]
    assert removed["n"] > 60
    assert added["n"] > 60
    assert removed["low"] < removed["mean"] < removed["high"] < -0.05
    assert 0.05 < added["low"] < added["mean"] < added["high"]
    assert found["effects"]["checkerboard and unequal eyes removed"]["mean"] < 0
    assert found["depends"]

    # Without rendering anything again, the audit comes to the same answer.
    assert {"depends", "shortcut"} <= {*found["audit"]["background"][1]}
    assert "tint" not in found["audit"], "not separated from the background, and told with it"
    assert all("shortcut" not in claims for factor, (_, claims) in found["audit"].items() if factor != "background")
    assert sum(found["parts"]) == pytest.approx(found["margins"][1] - found["margins"][0], abs=1e-3)

    # The last sentences state the numbers that were measured.
    [said] = [
        some[-1].data["text/markdown"]
        for place, some in outputs.items()
        if "What we may not say" in source(notebook.cells[place])
    ]
    assert f"{removed['mean']:+.2f} ({removed['low']:+.2f} to {removed['high']:+.2f}, {removed['n']:.0f} faces)" in said


def test_the_notebook_is_committed_without_outputs_and_without_paths_of_this_machine() -> None:
    for cell in cells():
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        assert re.findall(r"(?<![\w.:/])/(?:home|root|tmp|work|Users|mnt|content)\b|[A-Z]:\\\\", source(cell)) == []
    assert NOTEBOOK.stat().st_size < 60_000


def test_the_cells_are_python_and_the_text_states_no_measured_number() -> None:
    for cell in cells():
        if cell["cell_type"] == "code":
            ast.parse(source(cell))
        else:
            assert re.findall(r"\d+\.\d\d+|\d+ ?%", source(cell)) == []


def test_every_command_that_it_mentions_parses() -> None:
    import typer

    from seewhy.cli.app import app

    group = typer.main.get_command(app)
    named = commands()
    parent = group.make_context("seewhy", ["--version"], resilient_parsing=True)  # whose -h a command keeps for good
    assert len(named) >= 6
    for line in named:
        program, name, *arguments = shlex.split(line)
        assert program == "seewhy"
        assert name in group.commands, line
        group.commands[name].make_context(name, arguments, parent=parent)  # raises what the command line would say


def test_the_names_that_it_uses_exist() -> None:
    import seewhy

    text = "\n".join(source(cell) for cell in cells())
    for name in set(re.findall(r"\bseewhy\.(\w+)\(", text)):
        assert inspect.isroutine(getattr(seewhy, name)), name

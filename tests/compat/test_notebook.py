"""docs/grad-cam.ipynb under both imports: the same pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.compat.peers import theirs

NOTEBOOK = Path(__file__).parents[2] / "docs" / "grad-cam.ipynb"
OURS = "seewhy.compat.pytorch_grad_cam"
BY_COMPONENT = "all-EigenCAM.png"  # where theirs may be turned round (Q11)


def code_cells() -> list[str]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def pictures(package: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """What the notebook saves, run cell by cell in an empty folder with this package in its import."""
    place.mkdir()
    monkeypatch.chdir(place)
    names: dict[str, object] = {"__name__": "__main__"}
    for number, text in enumerate(code_cells()):
        exec(compile(re.sub(rf"\b{re.escape(OURS)}\b", package, text), f"<{package}, cell {number}>", "exec"), names)
    assert names["GradCAM"].__module__.startswith(f"{package}.")  # type: ignore[attr-defined]
    return {
        path.name: np.asarray(Image.open(path), np.int32) for path in sorted((place / "grad-cam/overlays").iterdir())
    }


def test_both_imports_save_the_same_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("IPython", reason="IPython is not installed (requirements-dev.txt)")
    ours = pictures(OURS, tmp_path / "ours", monkeypatch)
    want = pictures(theirs.__name__, tmp_path / "theirs", monkeypatch)
    assert ours.keys() == want.keys() and len(ours) == 6 + 1 + 3
    for name in ours.keys() - {BY_COMPONENT}:
        apart = np.abs(ours[name] - want[name])
        assert apart.max() <= 4 and (apart > 1).mean() <= 1e-3, (name, apart.max(), (apart > 1).mean())
        assert want[name].std() > 20, name
    # Of each face by itself, since theirs leaves the sign of a component to chance.
    faces = [np.split(some[BY_COMPONENT], 6, axis=1) for some in (ours, want)]
    same = [np.abs(one - other).max() <= 4 for one, other in zip(*faces, strict=True)]
    assert sum(same) >= 1


def test_it_is_committed_without_outputs_and_names_one_package() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert all(cell.get("outputs", []) == [] and cell.get("execution_count") is None for cell in notebook["cells"])
    imports = [line for text in code_cells() for line in text.splitlines() if "grad_cam" in line]
    assert imports and all(line.startswith(f"from {OURS}") for line in imports)

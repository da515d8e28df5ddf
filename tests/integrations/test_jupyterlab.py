"""The widget in a real JupyterLab: a kernel, its server, and a browser; skipped where JupyterLab is not installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.folders import explain_folder
from tests.report.looking import chromium, drawn, redrawn
from tests.report.names import PLAIN

pytestmark = [  # whether they are there: to import JupyterLab takes seconds, and its server is another process
    pytest.mark.skipif(importlib.util.find_spec("jupyterlab") is None, reason="pip install jupyterlab anywidget"),
    pytest.mark.skipif(importlib.util.find_spec("anywidget") is None, reason='pip install "seewhy[widget]"'),
]
TOKEN = "seewhy"
CELLS = ('import seewhy\npage = seewhy.widget("run")\npage', "print('rows', page.rows, page.opacity)")
PATIENCE = 240  # seconds, for a server and for a kernel that imports torch
TILE = ".seewhy-widget .seewhy-tile[data-drawn] canvas"


def cell(source: str) -> dict[str, Any]:
    return {"cell_type": "code", "execution_count": None, "id": f"c{len(source)}", "metadata": {}, "outputs": [],
            "source": source}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab whose folder holds a run and a notebook."""
    home = tmp_path_factory.mktemp("lab")
    explain_folder(home / "work" / "run", PLAIN)
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": [*map(cell, CELLS)], "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5}
    (home / "work" / "page.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    places = {"JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_CONFIG_DIR": "config", "JUPYTERLAB_SETTINGS_DIR": "settings",
              "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}  # fmt: skip
    env = os.environ | {name: str(home / folder) for name, folder in places.items()}
    asked = ["--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root", f"--IdentityProvider.token={TOKEN}"]
    asked += ["--LabApp.news_url=None", "--LabApp.extension_manager=readonly", f"--ServerApp.root_dir={home / 'work'}"]
    with (home / "log.txt").open("w") as log:
        running = subprocess.Popen([sys.executable, "-m", "jupyterlab", *asked], env=env, stdout=log, stderr=log)
    try:
        yield _address(home, running)
    finally:
        running.terminate()
        running.wait(30)


def _address(home: Path, running: subprocess.Popen[bytes]) -> str:
    stop = time.monotonic() + PATIENCE
    while not (told := list((home / "runtime").glob("jpserver-*.json"))) or not told[0].stat().st_size:
        assert running.poll() is None and time.monotonic() < stop, (home / "log.txt").read_text()[-2000:]
        time.sleep(0.2)
    return f"http://127.0.0.1:{json.loads(told[0].read_text())['port']}"


@pytest.fixture(scope="module")
def lab(server: str) -> Iterator[Any]:
    """The notebook, open, with the first cell run."""
    with chromium() as browser:
        page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        page.asked = []
        page.on("request", lambda one: page.asked.append(one.url))
        page.goto(f"{server}/lab/tree/page.ipynb?token={TOKEN}&reset", timeout=PATIENCE * 1000)
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=PATIENCE * 1000)
        page.get_by_text("| Idle").first.wait_for(timeout=PATIENCE * 1000)  # a key before the kernel is there is lost
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Shift+Enter")
        page.locator(TILE).first.wait_for(timeout=PATIENCE * 1000)
        yield page


def test_the_images_are_drawn_and_nothing_leaves_the_machine(lab: Any, server: str) -> None:
    assert lab.locator(".seewhy-tile").count() == 12
    assert drawn(lab, TILE).shape[2] == 4
    assert [
        url for url in lab.asked if not url.startswith((server, server.replace("http", "ws"), "data:", "blob:"))
    ] == []


def test_the_kernel_knows_what_was_chosen_in_the_page(lab: Any) -> None:
    before = drawn(lab, TILE)
    lab.select_option(".seewhy-widget [name=map]", "hirescam/conv4")
    redrawn(lab, before, TILE)
    lab.locator(".seewhy-widget [name=opacity]").fill("0.4")
    lab.select_option(".seewhy-widget [name=label]", "dog")
    lab.select_option(".seewhy-widget [name=sort]", "-name")
    rows = [int(one) for one in lab.eval_on_selector_all(".seewhy-tile", "all => all.map((one) => one.dataset.row)")]
    lab.wait_for_timeout(500)
    lab.locator(".jp-Notebook .jp-CodeCell .cm-content").nth(1).click()
    lab.keyboard.press("Shift+Enter")
    output = lab.locator(".jp-CodeCell").nth(1).locator(".jp-OutputArea-output")
    output.first.wait_for(timeout=PATIENCE * 1000)
    assert f"rows {rows} 0.4" in output.first.inner_text()

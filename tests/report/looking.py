"""What tests do in an open page: wait for something drawn, read pixels and tiles, save a download."""

from __future__ import annotations

import base64
import io
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

SWITCHES = ("--no-sandbox",)
TILES = "#grid [role=gridcell]"
CANVASES = "#grid canvas"
READ = (
    "(selector) => { const one = document.querySelector(selector); if (!one || !one.width) return null;"
    "const [, , , alpha] = one.getContext('2d').getImageData(one.width >> 1, one.height >> 1, 1, 1).data;"
    "return alpha ? one.toDataURL('image/png') : null; }"
)


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's Chromium; the test is skipped where there is none."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("there is no chromium to open pages with (apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="pages are opened with playwright, which is not there")
    with sync_api.sync_playwright() as playwright:
        one = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu", "--disable-software-rasterizer"]
        )
        yield one
        one.close()


def until(page: Any, expression: str, what: str = "", seconds: float = 8) -> Any:
    """The first true value of a JavaScript expression; the pages' own policy forbids Playwright to poll by itself."""
    stop = time.monotonic() + seconds
    while not (found := page.evaluate(expression)):
        assert time.monotonic() < stop, f"in vain: {what or expression}"
        page.wait_for_timeout(20)
    return found


def drawn(page: Any, selector: str = CANVASES) -> NDArray[np.uint8]:
    """The pixels (H, W, 4) of the first canvas that matches, as soon as it is there and something is drawn on it."""
    stop = time.monotonic() + 8
    while (said := page.evaluate(READ, selector)) is None:
        assert time.monotonic() < stop, f"nothing is drawn on {selector}"
        page.wait_for_timeout(20)
    with PIL.Image.open(io.BytesIO(base64.b64decode(said.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGBA"))


def redrawn(page: Any, before: NDArray[np.uint8], selector: str = CANVASES) -> NDArray[np.uint8]:
    """The pixels of the first canvas that matches, as soon as they differ from those before."""
    stop = time.monotonic() + 4
    while np.array_equal(now := drawn(page, selector), before):
        assert time.monotonic() < stop, f"{selector} is drawn as before"
        page.wait_for_timeout(20)
    return now


def tiles(page: Any) -> list[str]:
    """The words of every tile in the page, in order."""
    return [" ".join(one.split()) for one in page.locator(TILES).all_inner_texts()]


def choose(page: Any, control: str, value: str) -> None:
    """Choose a value of a select."""
    page.select_option(f"#{control}", value)


def slide(page: Any, control: str, value: float) -> None:
    """Move a slider, as a hand would: with an input event."""
    page.locator(f"#{control}").fill(str(value))


def saved(page: Any, button: str, path: Path) -> Path:
    """The file that a click on a button gives."""
    with page.expect_download(timeout=8000) as waiting:
        page.click(button)
    waiting.value.save_as(path)
    return path


def n_nodes(page: Any) -> int:
    """How many elements the page holds."""
    return int(page.evaluate("document.querySelectorAll('*').length"))

"""The images page of a report in Chromium, opened from disk: REPORT, prints what was measured as JSON.

Everything is timed inside the page, by its own clock. "Drawn" is the first frame in which every tile in the window has
its picture; a filter and a sort are timed from the control's input event to that frame.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

WINDOW = {"width": 1280, "height": 900}
STEP = 450  # pixels that each frame of the scroll moves on: half a window
WATCH = """
const inWindow = (one) => { const at = one.getBoundingClientRect(); return at.bottom > 0 && at.top < innerHeight; };
const frame = () => new Promise((done) => requestAnimationFrame(done));
const tiles = () => [...document.querySelectorAll('#grid [role=gridcell]')].filter(inWindow);
const isDrawn = () => tiles().length > 0 && tiles().every((one) => one.querySelector('canvas, .images-why'));
const first = (async () => { while (!document.body || !isDrawn()) await frame(); return performance.now(); })();
const paint = () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime;
const opened = async () => {
  const drawn = await first;
  while (paint() === undefined) await frame(); // told a little after it happened
  return { drawn, paint: paint() };
};
const nodes = () => document.querySelectorAll('*').length;

async function changed(control, value) {
  const one = document.getElementById(control);
  const start = performance.now();
  one.value = value;
  one.dispatchEvent(new Event('input', { bubbles: true }));
  const selected = performance.now() - start;
  do await frame(); while (!isDrawn());
  return { selected, drawn: performance.now() - start, shown: document.getElementById('count').textContent };
}

async function scrolled(step) {
  const gaps = [];
  let most = 0;
  let before = await frame();
  for (let top = 0; top < document.scrollingElement.scrollHeight; top += step) {
    scrollTo(0, top);
    const now = await frame();
    gaps.push(now - before);
    before = now;
    most = Math.max(most, nodes());
  }
  do await frame(); while (!isDrawn());
  gaps.sort((a, b) => a - b);
  const at = (share) => gaps[Math.min(gaps.length - 1, Math.floor(share * gaps.length))];
  return { frames: gaps.length, longest: at(1), p99: at(0.99), median: at(0.5), nodes: most };
}

window.probe = { opened, nodes, changed, scrolled };
"""


def main(report: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=WINDOW)
        page.set_default_timeout(300_000)
        page.add_init_script(WATCH)
        page.goto((report.resolve() / "images.html").as_uri())
        print(json.dumps({**measured(page), "browser": browser.version}))
        browser.close()


def measured(page: Any) -> dict[str, Any]:
    """Milliseconds of opening, of a filter and its end, of a sort, and of the frames of a scroll through everything."""
    return {
        "opened": page.evaluate("probe.opened()"),
        "nodes": page.evaluate("probe.nodes()"),
        "filter": page.evaluate("probe.changed('right', 'wrong')"),
        "all_again": page.evaluate("probe.changed('right', '')"),
        "text": page.evaluate("probe.changed('text', '7')"),
        "text_again": page.evaluate("probe.changed('text', '')"),
        "sort": page.evaluate("probe.changed('sort', 'probability')"),
        "sort_names": page.evaluate("probe.changed('sort', 'name')"),
        "scroll": page.evaluate(f"probe.scrolled({STEP})"),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Pictures of every page of a report, light and dark, wide and narrow: screenshots.py REPORT DEST [PAGE ...]."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTHS = {"wide": 1280, "phone": 390}
TALLEST = 6000  # pixels of a picture


def screenshots(report: Path, dest: Path, names: list[str]) -> None:
    """One picture for each page, width and colour scheme."""
    dest.mkdir(parents=True, exist_ok=True)
    pages = sorted(path for path in report.glob("*.html") if not names or path.name in names)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for width_name, width in WIDTHS.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
                for path in pages:
                    page = context.new_page()
                    page.on("console", lambda message, path=path: print(path.name, message.type, message.text))
                    page.goto(path.resolve().as_uri())
                    page.wait_for_timeout(400)
                    height = min(page.evaluate("document.documentElement.scrollHeight"), TALLEST)
                    whole = path.name != "images.html"  # which is as tall as all images together
                    clip = {"x": 0, "y": 0, "width": width, "height": height if whole else 900}
                    page.screenshot(path=dest / f"{path.stem}-{width_name}-{scheme}.png", full_page=whole, clip=clip)
                    page.close()
                context.close()
        browser.close()


if __name__ == "__main__":
    screenshots(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])

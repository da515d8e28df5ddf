"""The pictures of docs/report.md: pictures.py seewhy-demo/audit/report (the demo's audit: rendered faces only)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).resolve().parent
PICTURES = {  # the page with its filters, its name, and the height of the picture
    "index.html": ("summary", 2220),
    "finding-1.html": ("finding", 1900),
    "images.html#finding=background&sort=-change:background": ("images", 860),
}


def main(report: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for address, (name, height) in PICTURES.items():
            page = browser.new_page(viewport={"width": 1180, "height": height}, color_scheme="light")
            page.goto(f"{report.resolve().as_uri()}/{address}")
            page.wait_for_timeout(1000)
            page.screenshot(path=HERE / f"{name}.jpg", quality=85)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

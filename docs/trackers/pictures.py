"""The pictures of docs/integrations.md, of trackers that run: pictures.py http://HOST:5000 http://HOST:6006.

The first is MLflow's own server, the second TensorBoard's, each with an explain, an audit and a watched training that
`seewhy export` wrote under the names explained, audited and watched (rendered faces only).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import mlflow
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
SIZE = {"width": 1180, "height": 860}
PATIENCE_MS = 300_000


def addresses(server: str, tensorboard: str) -> dict[str, tuple[str, str]]:
    """For each picture its page, and a text that stands there once it is drawn."""
    client = mlflow.MlflowClient(tracking_uri=server)
    experiment = client.get_experiment_by_name("seewhy").experiment_id
    runs = {run.info.run_name: run.info.run_id for run in client.search_runs([experiment])}
    page = f"{server}/#/experiments/{experiment}/runs"
    return {
        "mlflow-audit": (f"{page}/{runs['audited']}", "depends, shortcut"),
        "mlflow-images": (f"{page}/{runs['explained']}/model-metrics", "without_result"),
        "mlflow-training": (f"{page}/{runs['watched']}/model-metrics", "seewhy/tint/fake"),
        "tensorboard-images": (f"{tensorboard}/#images", "seewhy/fake/"),
        "tensorboard-training": (f"{tensorboard}/#custom_scalars", "tint/fake"),
    }


def picture(page: Page, name: str, address: str, text: str) -> None:
    page.goto(address, wait_until="domcontentloaded")
    shown = page.get_by_text(text).first
    shown.wait_for(timeout=PATIENCE_MS)
    if close := page.query_selector("[aria-label='Close']"):  # MLflow's assistant, which covers a third of the page
        close.click()
    if name in ("mlflow-audit", "mlflow-images"):  # what is worth seeing stands further down
        page.get_by_text("Description" if name == "mlflow-audit" else "seewhy/fake").first.scroll_into_view_if_needed()
        page.mouse.move(500, 600)
        page.mouse.wheel(0, 420)
    page.wait_for_timeout(8000)  # charts and pictures are loaded after their frames
    page.screenshot(path=HERE / f"{name}.jpg", quality=80)


def main(server: str, tensorboard: str, names: list[str]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (address, text) in addresses(server, tensorboard).items():
            if not names or name in names:
                page = browser.new_page(viewport=SIZE, color_scheme="light")
                page.set_default_timeout(PATIENCE_MS)
                picture(page, name, address, text)
                page.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), sys.argv[2].rstrip("/"), sys.argv[3:])

"""Reports of hand-made runs, a browser, and pages in it that may ask for nothing outside of the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from seewhy.report.write import write_report
from tests.report.audited import audit_folder
from tests.report.changed import comparison_folder, repair_folder
from tests.report.folders import CROP, LETTERBOX, STRETCH, check_folder, explain_folder
from tests.report.looking import chromium
from tests.report.names import HOSTILE, PLAIN, Names

AXE = {"resultTypes": ["violations"], "preload": False}  # it would ask for the style sheets once more
ON_DISK = ("file:", "data:", "blob:")


@dataclass
class Opener:
    """Opens pages of a report from disk, each in a context of its own, and remembers what went wrong there."""

    browser: Any
    wrong: list[str] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)

    def __call__(
        self, path: Path, state: str = "", *, width: int = 1280, height: int = 900, scheme: str = "light", **more: Any
    ) -> Any:
        """The page at `path`, with a state in its hash, loaded."""
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True, **more
        )
        self.contexts.append(context)
        page = context.new_page()
        self.watch(page)
        page.goto(path.resolve().as_uri() + (f"#{state}" if state else ""))
        return page

    def each(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Any]]:
        """One page that goes from path to path, wide and light at first on each."""
        page = None
        for path in paths:
            if page is None:
                page = self(path)
            else:
                page.set_viewport_size({"width": 1280, "height": 900})
                page.emulate_media(color_scheme="light")
                page.goto(path.resolve().as_uri())
            yield path, page

    def watch(self, page: Any) -> None:
        """Write down everything that must not happen in a page."""
        page.on("console", lambda said: said.type in ("error", "warning") and self._note(page, said.type, said.text))
        page.on("pageerror", lambda error: self._note(page, "error", str(error)))
        page.on("request", lambda one: one.url.startswith(ON_DISK) or self._note(page, "request", one.url))
        page.on("requestfailed", lambda one: self._note(page, "missing", one.url))
        page.on("dialog", self._dialog)

    def _note(self, page: Any, kind: str, text: str) -> None:
        self.wrong.append(f"{page.url.rpartition('/')[2][:60]}: {kind}: {text}")

    def _dialog(self, dialog: Any) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@pytest.fixture(scope="package")  # not "session": while it runs, no other test of the process may start an event loop
def browser() -> Iterator[Any]:
    """Debian's Chromium; tests are skipped where there is none."""
    with chromium() as one:
        yield one


@pytest.fixture
def opened(browser: Any) -> Iterator[Opener]:
    """Opens pages; at the end there must have been no error, no warning, no dialog and no request but to the disk."""
    opener = Opener(browser)
    yield opener
    for context in opener.contexts:
        context.close()
    assert opener.wrong == []


@pytest.fixture(scope="session")
def axe() -> Callable[[Any], list[str]]:
    """A function that gives what axe-core finds wrong with a page, a line for each element."""
    checker = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def check(page: Any) -> list[str]:
        found = checker.run(page, options=AXE).response["violations"]
        return [f"{one['id']}: {node['target']} {node['html'][:160]}" for one in found for node in one["nodes"]]

    return check


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The reports of three runs of one classifier that lie beside each other, a repair and a comparison, by command."""
    return _reports(tmp_path_factory.mktemp("plain"), PLAIN)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same of runs whose every name is an attack."""
    return _reports(tmp_path_factory.mktemp("hostile"), HOSTILE)


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Reports of explain runs by how the photographs are made to fit the network's canvas."""
    home = tmp_path_factory.mktemp("fitted")
    ways = {"stretch": STRETCH, "crop": CROP, "letterbox": LETTERBOX}
    return {kind: write_report(explain_folder(home / kind, PLAIN, how)) for kind, how in ways.items()}


def _reports(home: Path, names: Names) -> dict[str, Path]:
    folders = {
        "explain": explain_folder(home / "explain", names),
        "check": check_folder(home / "check", names),
        "audit": audit_folder(home / "audit", names),
        "repair": repair_folder(home / "repair", names),
        "compare": comparison_folder(home / "compared", names),
    }
    return {command: write_report(folder) for command, folder in folders.items()}

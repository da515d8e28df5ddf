"""Write the pages of a run: one folder that opens from disk, complete or absent."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from seewhy.errors import WorkError
from seewhy.records import Progress
from seewhy.report.accuracy import worst_errors
from seewhy.report.averages import LEAST_IMAGES
from seewhy.report.examples import EXAMPLES, Example, example_of
from seewhy.report.exchanges import donors_of, exchanges_of
from seewhy.report.gallery import Gallery, write_script
from seewhy.report.legend import legend
from seewhy.report.pages import TEMPLATES, Pages, copy_assets, write_page
from seewhy.report.stored import WITH_PAGES, StoredRun, beside, read_run
from seewhy.report.table import table_of
from seewhy.report.trends import has_trends, script_values, trends_digest, trends_page
from seewhy.report.view import View
from seewhy.run.folder import Result, folder_of
from seewhy.run.progress import chosen_progress
from seewhy.store import durable, manifest
from seewhy.version import __version__

TRENDS_ASSETS = ("trends.css", "trends.js")  # of the page of trends alone
NAME = "report"
ORIGINALS = "originals"
_STAMP = "stamp.txt"
_OTHERS = {  # the pages of other runs than of images; they need more, and the first pictures would wait for it
    "repair": "seewhy.report.repair",
    "compare": "seewhy.report.comparison_pages",
}


def write_report(run: str | Path | Result, *, copy_images: bool = False, progress: bool | Progress = False) -> Path:
    """The pages of a finished run: report/ in its folder, whose index.html opens from disk.

    Args:
        run: a result that has a folder (of `repair`, too), or the folder of a finished run
        copy_images: lay the original files into the report, too
        progress: True: a bar; False: none; or a function of (done, total), in pictures

    Returns:
        the path of the folder report. What a check of the same classifier says, whose folder lies beside
        the run's, is taken in.

    Raises:
        StoreError (no finished run), WorkError (it cannot be written).

    Example:
        >>> pages = seewhy.write_report(audit)
        >>> print(pages / "index.html")  # runs/audit/report/index.html
    """
    stored = read_run(folder_of(run, "write_report"), WITH_PAGES)
    checked = beside(stored, "check") if stored.command in ("explain", "audit") else None
    target = stored.folder / NAME
    with manifest.writer(stored.folder):
        copy_images = copy_images or (target / ORIGINALS).is_dir()
        stamp = _stamp(stored, checked, copy_images)
        if not _is_current(target, stamp):
            partial = target.with_name(f"{NAME}.partial")
            with chosen_progress(progress, "Writing the report") as update:
                _replace(target, _pages_of(stored, checked, partial, copy_images, stamp), update)
    return target


def _pages_of(stored: StoredRun, checked: StoredRun | None, folder: Path, copy_images: bool, stamp: str) -> Pages:
    """What writes the pages of this command's runs."""
    if stored.command in _OTHERS:
        pages: Pages = import_module(_OTHERS[stored.command]).pages_of(stored, folder, stamp)
        return pages
    return Writer(View(stored, checked), folder, copy_images, stamp)


def _is_current(target: Path, stamp: str) -> bool:
    """Whether the pages are those of the stamp, and all files that were written are there."""
    path = target / _STAMP
    if not path.is_file():
        return False
    kept, _, held = path.read_text(encoding="utf-8").rpartition("\n")
    return kept == stamp and held == _held(target)


def _replace(target: Path, writer: Pages, progress: Progress) -> None:
    """Write the pages beside their place, then put them there; what cannot be finished is removed."""
    partial = writer.folder
    try:
        shutil.rmtree(partial, ignore_errors=True)
        is_whole = writer.write(progress)
        if is_whole:  # where pictures were missing they may be found the next time
            (partial / _STAMP).write_text(f"{writer.stamp}\n{_held(partial)}", encoding="utf-8")
        durable.sync_all(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error
        raise WorkError(
            f"The pages in {target} could not be written: {why}.\n  The run itself is complete.", slug="cannot-write"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _held(folder: Path) -> str:
    """How many files the pages are, and how many bytes."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != _STAMP]
    return f"{len(sizes)} files, {sum(sizes)} bytes"


@dataclass(frozen=True)
class Writer:
    """The pages of a view, written into a folder; `stamp` is what they are made of."""

    view: View
    folder: Path
    copy_images: bool
    stamp: str

    def write(self, progress: Progress) -> bool:
        """Write everything: pictures first, for what the pages say of them; whether every picture was there."""
        copy_assets(self.folder)
        if self.copy_images:
            (self.folder / ORIGINALS).mkdir()
        missing = self.gallery.write(self.folder / "data", progress) if self.has_images else 0
        notes = [f"Pictures that are not where the run found them, or have changed: {missing:,}."] if missing else []
        if self.has_images:
            said = [*notes, *self.view.map_notes]
            table = table_of(self.view.stored, self.view.followed, said, self.gallery.tops)
            write_script(self.folder / "data" / "table.js", "table", table)
            self._page("images.html", "images")
        self._write_findings()
        self._page("index.html", "summary", notes=notes, examples=self._examples(), worst=self._worst())
        if self.view.stored.stats:
            self._page("averages.html", "averages", legend=legend(), least=LEAST_IMAGES)
        if has_trends(self.view.stored):
            self._write_trends()
        self._page("method.html", "method")
        return not missing

    @property
    def has_images(self) -> bool:
        """Whether the run has rows to browse."""
        return bool(self.view.stored.outcomes)

    @cached_property
    def gallery(self) -> Gallery:
        """The run's images."""
        return Gallery(self.view.stored, self.folder / ORIGINALS if self.copy_images else None)

    @cached_property
    def exchanged(self) -> dict[str, Any]:
        """The drawn trials of each finding by the name of its page."""
        return {
            paper.card.page: exchanges_of(paper.finding, self.view.stored.folder, self.folder / "pictures", number)
            for number, paper in enumerate(self.view.papers, 1)
            if paper.card.page
        }

    def _write_findings(self) -> None:
        papers = [paper for paper in self.view.papers if paper.card.page]
        for paper in papers:
            donors = donors_of(
                self.view.stored, self.gallery, paper.card.factor, str(paper.finding.numbers.get("contrast"))
            )
            page = self.view.page_of(paper, self.exchanged[paper.card.page], donors)
            self._page("finding.html", "findings", name=paper.card.page, page=page)

    def _write_trends(self) -> None:
        for name in TRENDS_ASSETS:
            shutil.copyfile(TEMPLATES / name, self.folder / "assets" / name)
        page = trends_page(self.view.stored, self.gallery)
        write_script(self.folder / "data" / "trends.js", "trends", script_values(page, self.view.stored))
        self._page("trends.html", "trends", page=page)

    def _examples(self) -> list[Example]:
        """A few images with their maps for a summary that has no findings to show."""
        rows = [row for row, outcome in enumerate(self.view.stored.outcomes) if outcome.error is None]
        if self.view.command != "explain":
            return []
        few = [rows[round(step * (len(rows) - 1) / max(1, EXAMPLES - 1))] for step in range(EXAMPLES)] if rows else []
        return [example for row in dict.fromkeys(few) if (example := example_of(self.gallery, row)) is not None]

    def _worst(self) -> list[Example]:
        """The wrong answers of which the network is surest."""
        rows = worst_errors(self.view.stored.outcomes, EXAMPLES)
        return [example for row in rows if (example := example_of(self.gallery, row)) is not None]

    def _page(self, template: str, section: str, *, name: str = "", **values: Any) -> None:
        write_page(
            self.folder / (name or template),
            template,
            self.stamp,
            view=self.view,
            section=section,
            has_images=self.has_images,
            has_trends=has_trends(self.view.stored),
            exchanged=self.exchanged,
            **values,
        )


def _stamp(stored: StoredRun, checked: StoredRun | None, copy_images: bool) -> str:
    """What the pages are made of: where it is the same, they are."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted([*TEMPLATES.iterdir(), *TEMPLATES.parent.glob("*.py")]):
        digest.update(path.name.encode() + path.read_bytes())
    parts = [__version__, str(copy_images), digest.hexdigest(), manifest.digest_of(stored.manifest)]
    found = [manifest.digest_of(dict(stored.found)), manifest.digest_of(checked and checked.manifest)]
    return "\n".join([*parts, *found, trends_digest(stored)])

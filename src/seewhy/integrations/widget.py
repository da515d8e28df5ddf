"""`widget`: the images page inside a notebook, or the contact sheet where the package for it is missing."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from seewhy.errors import MissingExtraError, OptionError
from seewhy.explanation.result import Explanation
from seewhy.integrations.packages import library
from seewhy.integrations.widget_data import WidgetSource, of_explanation, of_folder
from seewhy.render import notebook
from seewhy.report.stored import read_run

MOST, LARGEST = 200, 1000


@dataclass(frozen=True)
class InlineSheet:
    """What a notebook shows where no widget can be made: the contact sheet, and the line to type."""

    subject: WidgetSource
    reason: str

    def _repr_html_(self) -> str:
        sheet = self.subject.sheet()
        picture = ""
        if sheet is not None:
            data = base64.b64encode(sheet._repr_jpeg_()).decode()
            name = escape(f"Contact sheet: {self.subject.title}", quote=True)
            picture = f'<img style="max-width:100%" alt="{name}" src="data:image/jpeg;base64,{data}">'
        return f"{notebook.sentence(self.reason)}{picture}"

    def __repr__(self) -> str:
        return f"<The contact sheet of {self.subject.title}, in a notebook. {self.reason}>"


def widget(result: Explanation | str | Path | Any, *, most: int = MOST) -> Any:
    """The images page inside a notebook: filter, sort, layers, colours and opacity, without a network.

    Args:
        result: what `explain` gives, in memory or in a folder; a check or an audit that lies in a folder; or the
            folder of a finished run
        most: at most so many images, evenly chosen, 1,000 at most: they are sent to the page once

    Returns:
        an ImagesWidget, whose `rows` are the numbers of the images that are shown, and whose `label`, `right`,
        `sort`, `map`, `opacity`, … can be read and set. Without the package anywidget the contact sheet.

    Raises:
        OptionError (a result that lies in no folder, `most` out of range), StoreError (no finished run).

    Example:
        >>> page = seewhy.widget(explanation, most=40)  # pip install "seewhy[widget]"; without it a contact sheet
        >>> print(page)
    """
    if not 1 <= most <= LARGEST:
        raise OptionError(f"most is {most}, but must be 1 to {LARGEST:,}: a notebook keeps all of them in memory.")
    subject = _subject_of(result)
    try:
        library("anywidget", "widget", "The images page in a notebook")
    except MissingExtraError as error:
        return InlineSheet(subject, " ".join(error.message.split()))
    return import_module("seewhy.integrations.images_widget").ImagesWidget(subject, most)


def _subject_of(result: Any) -> WidgetSource:
    """The result as the widget reads it. Raises OptionError for one that is in memory alone, and no explanation."""
    if isinstance(result, Explanation):
        return of_explanation(result)
    if isinstance(result, (str, Path)):
        return of_folder(read_run(Path(result)))
    folder = getattr(result, "folder", None)
    if folder is None:
        name = type(result).__name__
        todo = f'\n  Save it first:  seewhy.widget({name.lower()}.save("folder"))' if hasattr(result, "save") else ""
        raise OptionError(f"A widget shows an explanation or a run folder, and this is {name}, in no folder.{todo}")
    return of_folder(read_run(Path(folder)))

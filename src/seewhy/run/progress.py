"""The progress bar: on a terminal or in a notebook, never in a pipe or a log."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from seewhy.records import Progress


@contextlib.contextmanager
def progress_bar(words: str) -> Iterator[Progress]:
    """A function of (done, total) that draws a bar under `words` on standard error."""
    with progress_bars(words) as (update,):
        yield update


@contextlib.contextmanager
def progress_bars(*words: str) -> Iterator[tuple[Progress, ...]]:
    """A function of (done, total) for each of the words; its bar appears below the others with its first call."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    in_notebook = console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None
    shown = console.is_terminal or in_notebook
    # No refreshing thread: workers are forked while the bar is up.
    with Bar(*columns, console=console, disable=not shown, auto_refresh=False) as bar:
        tasks = [bar.add_task(word, total=None, visible=not at, start=not at) for at, word in enumerate(words)]

        def updating(task: TaskID) -> Progress:
            def update(done: int, total: int) -> None:
                bar.start_task(task)  # the first time
                bar.update(task, completed=done, total=total, visible=True, refresh=True)

            return update

        yield tuple(map(updating, tasks))


@contextlib.contextmanager
def chosen_progress(asked: bool | Progress, words: str) -> Iterator[Progress]:
    """The bar for True, nothing for False, or the caller's own function of (done, total)."""
    if callable(asked):
        yield asked
    elif asked:
        with progress_bar(words) as update:
            yield update
    else:
        yield lambda done, total: None

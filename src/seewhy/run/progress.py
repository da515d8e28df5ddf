"""Progress on standard error: a bar on a terminal or in a notebook, elsewhere a line every ten seconds."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from seewhy.records import Progress

EVERY = 10.0  # seconds between two lines


@contextlib.contextmanager
def progress_bar(words: str) -> Iterator[Progress]:
    """A function of (done, total) that draws a bar under `words` on standard error."""
    with progress_bars(words) as (update,):
        yield update


@contextlib.contextmanager
def progress_bars(*words: str) -> Iterator[tuple[Progress, ...]]:
    """A function of (done, total) for each of the words; its bar appears below the others with its first call."""
    console = Console(stderr=True)
    in_notebook = console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None
    with _bars(console, words) if console.is_terminal or in_notebook else _lines(words) as updates:
        yield updates


def in_two_parts(first: Progress, second: Progress) -> Progress:
    """A function of (done, total) that counts with `first` until the total grows, with `second` what comes then.

    So what is left of a first part is not taken for what is left of the whole.
    """
    begun = 0

    def update(done: int, total: int) -> None:
        nonlocal begun
        begun = begun or total
        if total <= begun:
            first(done, total)
        else:
            second(done - begun, total - begun)

    return update


@contextlib.contextmanager
def _bars(console: Console, words: Sequence[str]) -> Iterator[tuple[Progress, ...]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    # No refreshing thread: workers are forked while the bar is up.
    with Bar(*columns, console=console, auto_refresh=False) as bar:
        tasks = [bar.add_task(word, total=None, visible=not at, start=not at) for at, word in enumerate(words)]

        def updating(task: TaskID) -> Progress:
            def update(done: int, total: int) -> None:
                bar.start_task(task)  # the first time
                bar.update(task, completed=done, total=total, visible=True, refresh=True)

            return update

        yield tuple(map(updating, tasks))


@contextlib.contextmanager
def _lines(words: Sequence[str]) -> Iterator[tuple[Progress, ...]]:
    lines = _Lines(words)
    with _repeated(lines.tell):
        yield tuple(partial(lines.update, at) for at in range(len(words)))


class _Lines:
    """How far the work is, said in a line where ten seconds have passed since the last one."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = [word.strip() for word in words]
        self.at = self.done = self.total = 0
        self.began = self.said = time.monotonic()

    def update(self, at: int, done: int, total: int) -> None:
        """Take in how far the work under the words at a place is."""
        if at != self.at:
            self.began = time.monotonic()
        self.at, self.done, self.total = at, done, total
        self.tell()

    def tell(self) -> None:
        """Say it, if it is time."""
        now = time.monotonic()
        if now - self.said < 0.95 * EVERY:
            return
        self.said = now
        passed = now - self.began
        far = f" {self.done:,} of {self.total:,}," if self.total else ""
        left = f", about {passed / self.done * (self.total - self.done):.0f} s left" if self.done else ""
        with contextlib.suppress(OSError):  # nobody reads it any more
            os.write(2, f"{self.words[self.at]}:{far} {passed:.0f} s{left}\n".encode())


@contextlib.contextmanager
def _repeated(work: Callable[[], None]) -> Iterator[None]:
    """Call `work` every ten seconds, where the process has its alarm free; by no thread, since workers are forked."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not hasattr(signal, "setitimer") or signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGALRM, lambda number, frame: work())
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


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


@contextlib.contextmanager
def chosen_progresses(asked: bool | Progress, *words: str) -> Iterator[tuple[Progress, ...]]:
    """A bar for each of the words for True, nothing for False; the caller's own function is that of the last."""
    if asked is True:
        with progress_bars(*words) as updates:
            yield updates
    else:
        with chosen_progress(asked, "") as update:
            yield (*[lambda done, total: None for _ in words[1:]], update)

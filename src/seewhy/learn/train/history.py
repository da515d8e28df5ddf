"""What a training leaves to read: the history of its epochs as records, as a table and as a plot."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import MissingExtraError, WorkError
from seewhy.store import durable

TABLE, PLOT = "history.csv", "history.png"


@dataclass(frozen=True)
class HistoryRow:
    """Mean loss and share of right answers over the `n` images of a split, in eval mode after the epoch."""

    epoch: int
    split: str
    loss: float
    accuracy: float
    n: int


class EpochWatch(Protocol):
    """What a training shows its network to after each epoch; a `Watch`."""

    @property
    def words(self) -> list[str]:
        """What was seen, a sentence for each factor."""

    @property
    def records(self) -> list[dict[str, Any]]:
        """What was measured, row by row."""

    def begin(self, images: Any, among: ImageTable | None = None) -> None:
        """Be given the training's own valid images, and the table they are of, for where none were named."""

    def prepare(self, model: Any) -> None:
        """Raise what looking would raise, before anything is trained."""

    def __call__(self, model: Any, epoch: int) -> Any:
        """Look at the classifier after an epoch, and leave it as found."""

    def save(self, folder: Path) -> Path:
        """Write what was seen so far to the folder of the checkpoints."""

    def resume(self, folder: Path, before: int) -> None:
        """Take up what was seen in the epochs below `before`."""

    def draw(self, axes: Any) -> None:
        """Draw what was seen on matplotlib axes."""


@dataclass(frozen=True)
class Training:
    """A finished training: `folder` holds model_<epoch>.pt, history.csv and history.png; epochs count from 0.

    `history` has one row per epoch and split ("train", "valid"), `best_epoch` the lowest valid loss, `notes` say what
    had to be decided or left out, and `watch` is the watch that was given, with what it saw.
    """

    folder: Path
    epochs_done: int
    history: tuple[HistoryRow, ...]
    best_epoch: int
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    watch: EpochWatch | None = None

    def summary(self) -> dict[str, Any]:
        """The outcome in a few plain values, ready for JSON."""
        best = {row.split: row for row in self.history if row.epoch == self.best_epoch}
        return {
            "checkpoint": str(self.folder / f"model_{self.best_epoch}.pt"),
            "epochs_done": self.epochs_done,
            "best_epoch": self.best_epoch,
            "train_accuracy": best["train"].accuracy,
            "valid_accuracy": best["valid"].accuracy,
            "valid_loss": best["valid"].loss,
            "n_train": best["train"].n,
            "n_valid": best["valid"].n,
            "classes": list(self.classes),
            **({} if self.watch is None else {"watched": self.watch.words, "watch": self.watch.records}),
        }


def best_epoch(history: Sequence[HistoryRow]) -> int:
    """The epoch with the lowest valid loss, of several the first."""
    return min((row for row in history if row.split == "valid"), key=lambda row: row.loss).epoch


def write_table(folder: Path, history: Sequence[HistoryRow]) -> None:
    """Write history.csv: a line for each row, under the names of its fields."""
    text = io.StringIO()
    names = [field.name for field in fields(HistoryRow)]
    csv.writer(text, lineterminator="\n").writerows([names, *map(astuple, history)])
    place(folder / TABLE, lambda file: file.write(text.getvalue().encode()))


def write_plot(folder: Path, history: Sequence[HistoryRow], watch: EpochWatch | None = None) -> list[str]:
    """Write history.png, loss, accuracy and what was watched by epoch; and what is to be said.

    Matplotlib's global state is left alone.
    """
    width, panels = (7.6, 2) if watch is None else (11.4, 3)
    try:
        figure = importlib.import_module("matplotlib.figure").Figure(figsize=(width, 3.2), layout="constrained")
    except ModuleNotFoundError:
        return [str(MissingExtraError("matplotlib", "plot", PLOT))]
    best = best_epoch(history)
    figure.suptitle(f"{folder.name}: lowest valid loss in epoch {best}", fontsize=11)
    each = figure.subplots(1, panels)
    for axes, name in zip(each[:2], ("loss", "accuracy"), strict=True):
        axes.axvline(best, color="0.8", linewidth=1, linestyle=":")
        for split in ("train", "valid"):
            rows = [row for row in history if row.split == split]
            values = [getattr(row, name) for row in rows]
            axes.plot([row.epoch for row in rows], values, marker="o", label=f"{split} (n = {rows[-1].n:,})")
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)
    if watch is not None:
        each[2].axvline(best, color="0.8", linewidth=1, linestyle=":")
        watch.draw(each[2])
    place(folder / PLOT, lambda file: figure.savefig(file, format="png", dpi=150, metadata={"Software": None}))
    return []


def place(path: Path, write: Callable[[io.BytesIO], Any]) -> None:
    """Write a file that is complete or absent."""
    content = io.BytesIO()
    write(content)
    try:
        with durable.written(path) as temporary:
            temporary.write_bytes(content.getbuffer())
    except OSError as error:
        raise WorkError(f"Writing {path} failed: {error.strerror or error}.", slug="cannot-write") from error

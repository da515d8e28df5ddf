"""The tree of errors, and the exit status that each one means.

SeewhyError
    OptionError        an option or argument that does not fit
    ModelError         a network that cannot be built, or whose outputs cannot be used
        WeightsError   a checkpoint that does not fit the network, or that would run code
        LayerError     a layer that does not exist, never runs, or has no grid
    DataError          images, labels or class names that cannot be used
    StoreError         a run folder that holds something else, or cannot be read
    MissingExtraError  an optional package that is not installed
    WorkError          right input, but the work failed (out of memory, NaN loss, a dead worker)

Everything but WorkError is wrong input (exit status 2); WorkError is failed work (exit status 1).
Messages say what was asked, what is there, the nearest match, and what to type next.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

PYTHON_NAMES = {  # of options whose keyword is called otherwise; "" for those without any
    "format": "image_format",
    "input": "inputs",
    "methods": "method",
    "mark": "marks",
    "model-arg": "model_args",
    **dict.fromkeys(("compare", "config", "debug", "json", "model", "no-report", "plan", "workers"), ""),
    **dict.fromkeys(("fail-on", "gpus-per-worker", "junit", "ray", "shard"), ""),
}


class SeewhyError(Exception):
    """The base of every error that seewhy raises on purpose.

    `slug` names the heading in docs/errors.md that explains it.
    """

    exit_status = 2
    slug = "seewhy-error"

    def __init__(self, message: str, *, slug: str | None = None) -> None:
        super().__init__(message)
        if slug:
            self.slug = slug

    @property
    def message(self) -> str:
        """The words in those of the command line, which itself prints them."""
        return str(self.args[0])

    def __str__(self) -> str:
        return self.message + _in_python(self.message)


class OptionError(SeewhyError):
    """Occurs when an option or argument does not fit."""

    slug = "option"


class ModelError(SeewhyError):
    """Occurs when a network cannot be built, or its outputs cannot be used."""

    slug = "model"


class WeightsError(ModelError):
    """Occurs when a checkpoint does not fit the network, or would run code."""

    slug = "weights"


class LayerError(ModelError):
    """Occurs when a layer does not exist, never runs, or has no grid."""

    slug = "layer"


class DataError(SeewhyError):
    """Occurs when images, labels or class names cannot be used."""

    slug = "data"


class StoreError(SeewhyError):
    """Occurs when a run folder holds something else, or cannot be read."""

    slug = "store"


class MissingExtraError(SeewhyError):
    """Occurs when an optional package is needed and not installed."""

    slug = "missing-extra"

    def __init__(self, package: str, extra: str | None, purpose: str) -> None:
        command = f'pip install "seewhy[{extra}]"' if extra else f"pip install {package}"
        super().__init__(f"{purpose} needs the package {package!r}, which is not installed.\n  Install it:  {command}")


class WorkError(SeewhyError):
    """Occurs when the input was right but the work failed."""

    exit_status = 1
    slug = "work"


def _in_python(message: str) -> str:
    """What the options that a message names are called in Python; "" where it names none, or says it itself."""
    options = dict.fromkeys(re.findall(r"(?<![\w-])--([a-z][a-z-]*[a-z])\b", message))
    names = [PYTHON_NAMES.get(option, option.replace("-", "_")) for option in options]
    named = [name for name in names if name]
    return f"\n  In Python: {', '.join(f'{name}=…' for name in named)}" if named and "n Python" not in message else ""


def is_users_file(name: str) -> bool:
    """Whether code lies in a file of the user's: neither ours, nor an installed package's, nor Python's own."""
    path = Path(name)
    if name.startswith("<") or {"site-packages", "dist-packages"} & set(path.parts):  # made, like <string>; installed
        return False
    return not {Path(__file__).parent, Path(os.__file__).parent} & set(path.parents)


def nearest(name: str, names: Iterable[str], count: int = 3) -> str:
    """The `count` names most like `name`, as a sentence part: "Nearest: a, b." or "".

    Case and separators count less than letters do.
    """
    pool = list(dict.fromkeys(names))
    folded: dict[str, str] = {}
    for candidate in pool:
        folded.setdefault(candidate.casefold(), candidate)
    close = [folded[key] for key in difflib.get_close_matches(name.casefold(), folded, n=count, cutoff=0.4)]
    close += [
        candidate for candidate in pool if candidate not in close and name and name.casefold() in candidate.casefold()
    ]
    return f"Nearest: {', '.join(close[:count])}." if close else ""


def beside(path: Path, pattern: str = "*") -> str:
    """Where a path that is not there was looked for: the nearest names, else what its folder holds, as a sentence."""
    folder = path.parent
    if not folder.is_dir():
        return f"Nor is there a folder {folder}."
    names = sorted(entry.name for entry in folder.glob(pattern) if not entry.name.startswith("."))
    if close := nearest(path.name, names):
        return close
    where = f"{folder}" if folder != Path() else f"The working folder {folder.absolute().name}"
    return f"{where} holds: {listed(names, 6)}." if names else f"{where} holds nothing of the kind."


def listed(names: Iterable[str], most: int = 8) -> str:
    """The names joined with commas, cut after `most` with the count of the rest."""
    pool = list(names)
    tail = f", … ({len(pool) - most} more)" if len(pool) > most else ""
    return ", ".join(pool[:most]) + tail


def counted(n: int, noun: str) -> str:
    """The count with its noun: "1 trial", "1,200 trials"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def predictions_of(counts: Mapping[str, int], most: int = 8) -> str:
    """How often each class is predicted, most often first: "predicted as cat: 3 images, class 1: 1 image", or ""."""
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    said = [f"{'class ' if name.isdecimal() else ''}{name}: {counted(count, 'image')}" for name, count in ordered]
    return f"predicted as {listed(said, most)}" if said else ""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def printable(text: str) -> str:
    """The text with control, bidi and broken characters spelled out: a name from disk must not move a cursor."""
    if text.isprintable():  # nearly always, and a page asks for thousands
        return text
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)

"""How a run was made, so that anyone can make it again: command, options, hashes, versions, thresholds, cost."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath, PurePosixPath
from typing import Any

from seewhy.errors import listed
from seewhy.evidence.thresholds import THRESHOLD_WORDS
from seewhy.records import one_form
from seewhy.report.stored import StoredRun
from seewhy.store.schema import FILES

CLASSIFIER_WORDS = frozenset(  # what other commands about the same classifier need of a command line
    ("--model", "--weights", "--weights-key", "--epoch", "--model-arg", "--device", "--classes", "--task", "--output",
     "--output-form", "--size", "--fit", "--resize", "--crop", "--interpolation", "--mean", "--std", "--range",
     "--window", "--channels", "--preprocess", "--first-label", "--input")
)  # fmt: skip
CLASSIFIER_FLAGS = ("--trust-program",)  # the same, without a value
_HASHES = ("weights", "code", "content", "ids", "masks")


@dataclass(frozen=True)
class Section:
    """A titled table of names and values."""

    title: str
    rows: tuple[tuple[str, str], ...]


def sections_of(stored: StoredRun) -> list[Section]:
    """Everything that decides the result, as titled tables."""
    identity, classifier = stored.identity, stored.classifier
    options = {name: value for name, value in identity.items() if name not in ("classifier", "images", "thresholds")}
    limits = stored.found.get("thresholds") or identity.get("thresholds") or {}
    environment = stored.manifest.get("summary", {}).get("environment") or {}
    sections = [
        Section("Classifier", _rows(classifier)),
        Section("Images", _rows(identity.get("images", {}))),
        Section("Options", _rows(options)),
        Section("Thresholds", _rows({THRESHOLD_WORDS.get(name, name): limit for name, limit in limits.items()})),
        Section("Cost", tuple(_cost(stored))),
        Section("Made with", _rows(environment)),
    ]
    return [section for section in sections if section.rows]


def files_of(stored: StoredRun) -> list[tuple[str, str]]:
    """What the run folder holds, with its meaning."""
    held = {name.partition("METHOD")[0]: words for name, (_, words) in FILES.items() if name != "report/"}
    return [(name, words) for name, words in held.items() if (stored.folder / name).exists()]


def other_command(typed: str | None, command: str, data: str = "DATA") -> str:
    """The command line of another command about the same classifier: what the two share, word by word."""
    words = _words(typed)
    if len(words) < 3:
        return f"seewhy {command} {shlex.quote(data)} --model net.py:Net --weights model.pt"
    kept = [f"{shlex.quote(word)} {shlex.quote(value)}" for word, value in pairwise(words) if word in CLASSIFIER_WORDS]
    kept += [flag for flag in CLASSIFIER_FLAGS if flag in words]
    return f"seewhy {command} {shlex.quote(data)} {' '.join(kept)}"


def images_argument(typed: str | None) -> str:
    """What a command line names as its images; DATA where it is not known."""
    words = _words(typed)
    return words[2] if len(words) > 2 and not words[2].startswith("-") else "DATA"


def all_classes_argument(stored: StoredRun) -> str:
    """The images with all classes: above the folder of a class, and of its split; a word where that is not known."""
    named = PurePath(images_argument(stored.typed))
    images = [outcome.image for outcome in stored.outcomes if outcome.image.label is not None]
    labels = {image.label for image in images}
    if len(labels) > 1 or (
        images and images[0].label in [one_form(part) for part in PurePosixPath(images[0].id).parts[:-1]]
    ):
        return str(named)
    if not images or one_form(named.name) != images[0].label:
        return "FOLDER_OF_ALL_CLASSES"
    above = named.parent
    return str(above.parent if above.name and one_form(above.name) == images[0].split else above)


def _words(typed: str | None) -> list[str]:
    try:
        return shlex.split(typed or "")
    except ValueError:  # edited by hand
        return []


def _rows(values: Mapping[str, Any], before: str = "") -> tuple[tuple[str, str], ...]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        words = f"{before}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            rows += _rows(value, f"{words}: ")
        elif value is not None and value != [] and value != "":
            rows.append((words + (" (hash)" if name in _HASHES else ""), _text(value)))
    return tuple(rows)


def _text(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return listed(map(_text, value), 24)
    return f"{value:g}" if isinstance(value, float) else json.dumps(value) if isinstance(value, bool) else str(value)


def _cost(stored: StoredRun) -> Iterator[tuple[str, str]]:
    if stored.outcomes:
        yield "images", f"{len(stored.outcomes):,}"
    if stored.stats:
        yield "maps", f"{sum(map(len, stored.stats.values())):,}"
    for name in ("trials", "jobs"):
        if stored.found.get(name):
            yield name, f"{stored.found[name]:,}"

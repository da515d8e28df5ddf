"""How a run was made, so that anyone can make it again: command, options, hashes, versions, thresholds, cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seewhy.errors import listed
from seewhy.evidence.thresholds import THRESHOLD_WORDS
from seewhy.report.stored import StoredRun
from seewhy.store.schema import FILES

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

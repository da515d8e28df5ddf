"""What audits of the same classifier have to say of a group's hypothesis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seewhy.errors import StoreError
from seewhy.evidence.findings.finding import Finding
from seewhy.store import manifest
from seewhy.store.tables import digests_in

UNTESTED = "not tested yet"
_OPEN = "is open"


@dataclass(frozen=True)
class _Said:
    """What one audit says of one factor: `answer` is in short whether the hypothesis held, `words` all of it.

    `is_own`: the audit is the run itself; `n` is the number of its images.
    """

    answer: str
    words: str
    is_own: bool
    n: int

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """What is told first: the run itself, then what was settled, then of more images."""
        return not self.is_own, self.answer == _OPEN, -self.n


def findings_beside(folder: Path, stored: Mapping[str, Any]) -> dict[str, str]:
    """What audits say of each factor, by its name: whether it held, the finding's title, and the audit's folder.

    The audits are this run itself, and those of the same weights, network, preprocessing and code that lie beside it.
    One is told, and beside it those that settle it in another way. That an audit was of other images is said.
    """
    own = folder.resolve()
    beside = (path.parent for path in own.parent.glob(f"*/{manifest.NAME}") if not path.parent.name.startswith("."))
    said: dict[str, list[_Said]] = {}
    for path in sorted({own, *beside}):
        for factor, one in _findings(path, own, stored):
            said.setdefault(factor, []).append(one)
    return {factor: _told(each) for factor, each in said.items()}


def verdict_on(factor: str, findings: Mapping[str, str]) -> str:
    """What audits say of a factor, "not tested yet" where none does, or there is no factor to test."""
    return findings.get(factor, UNTESTED) if factor else UNTESTED


def _told(said: list[_Said]) -> str:
    ranked = sorted(said, key=lambda one: one.rank)
    settled = {one.answer: one.words for one in reversed(ranked) if one.answer not in (_OPEN, ranked[0].answer)}
    return "; but ".join((ranked[0].words, *reversed(settled.values())))


def _findings(path: Path, own: Path, stored: Mapping[str, Any]) -> Iterator[tuple[str, _Said]]:
    """Of each factor what the audit in a folder says; nothing of a folder that holds no such audit."""
    try:
        other = manifest.read_manifest(path)
        is_audit = other["identity"].get("command") == "audit" and other.get("status") == "complete"
        if not is_audit or manifest.subject_of(other) != manifest.subject_of(stored):
            return
        rows = manifest.read_json(path / "findings.json")["findings"]
        told = [*map(_of_its_factor, rows), *(member for row in rows for member in _of_its_members(row))]
    except (StoreError, AttributeError, KeyError, TypeError, OSError, ValueError):  # a broken neighbour is none
        return
    images = _images_of(path)
    where = "" if path == own else _images_words(images, _images_of(own))
    for factor, (answer, words) in dict(reversed(told)).items():  # the first that is told of a factor is kept
        yield factor, _Said(answer, f"{words} (audit in {path.name}{where})", path == own, len(images))


def _of_its_factor(row: Mapping[str, Any]) -> tuple[str, tuple[str, str]]:
    """A finding's factor, with the answer and the words."""
    answer = "held" if "depends" in row["claims"] else "did not hold" if row["level"] == "NONE LARGER THAN" else _OPEN
    return row["factor"], (answer, f"{answer}: {_title(row)}")


def _of_its_members(row: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    """The same of each factor that a finding explains, or cannot separate from its own."""
    factor, (answer, _) = _of_its_factor(row)
    words = f"tested, one with {factor}"
    for member in row.get("members", ()):
        yield member, (_OPEN if answer == _OPEN else words, f"{words}: {_title(row)}")


def _title(row: Mapping[str, Any]) -> str:
    alternatives = tuple(row.get("alternatives", ()))
    return Finding(row["factor"], row["level"], tuple(row["claims"]), "", alternatives=alternatives).title


def _images_of(folder: Path) -> frozenset[str]:
    """The images of a run, by the hashes of their files; by their ids where they are no files."""
    return frozenset(digest or name for name, digest in digests_in([folder / "records.parquet"]).items())


def _images_words(images: frozenset[str], own: frozenset[str]) -> str:
    """Whether an audit was of a run's own images, where it was not."""
    common = len(images & own)
    if not images or not own or common == min(len(images), len(own)):  # all of the one are among the other
        return ""
    return f", {common:,} of whose {len(images):,} images are among these" if common else ", on other images"

"""What audits of the same classifier have to say of a group's hypothesis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seewhy.errors import StoreError, listed
from seewhy.evidence.factors.factor import RegionFactor
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.trends.regions import CELLS, REGIONS
from seewhy.store import manifest
from seewhy.store.tables import digests_in

UNTESTED = "not tested yet"
SPREAD = ""  # the factor of maps that are spread over the picture: any cell of the grid, any place that a search found
_HELD, _FAILED, _OPEN = "held", "did not hold", "is open"
_REST = "everything outside the core"  # what the omnibus test is of: REST of findings.unnamed, which loads scipy
_ZONES = {region.name: RegionFactor(region).words for region in REGIONS}  # in an audit's words
_Answer = tuple[str, tuple[str, str]]  # of a factor, in short and in words


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
    """What audits say of a factor, "not tested yet" where none does."""
    return findings.get(factor, UNTESTED)


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
        audit = _Audit(other["identity"], rows, _found_in(path))
        told = [*audit.of_factors(), *audit.of_spread_maps()]
    except (StoreError, AttributeError, KeyError, TypeError, OSError, ValueError):  # a broken neighbour is none
        return
    images = _images_of(path)
    where = "" if path == own else _images_words(images, _images_of(own))
    for factor, (answer, words) in dict(reversed(told)).items():  # the first that is told of a factor is kept
        yield factor, _Said(answer, f"{words} (audit in {path.name}{where})", path == own, len(images))


@dataclass(frozen=True)
class _Audit:
    """What an audit was of, its findings, and the places that a search found, None where there was no search."""

    identity: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    found: frozenset[str] | None

    def of_factors(self) -> Iterator[_Answer]:
        """The answers for factors, but for those of the user's that are called like one that a group shows.

        A zone without the core's pixels is a part of itself: where that acts the zone does, and where it does not
        nothing is known of the rest.
        """
        told = [*map(_of_its_factor, self.rows), *(member for row in self.rows for member in _of_its_members(row))]
        for factor, (answer, words) in told:
            usual, there = _ZONES.get(factor), self._regions.get(factor)
            if self._is_of_the_user(factor) or (factor in CELLS and self._regions and not self._has_grid):
                continue
            if there == usual or there is None or (usual is None and factor not in PROPERTIES):
                yield factor, (answer, words)
            elif usual is not None and there.startswith(usual.removesuffix(")")):
                head, _, title = words.partition(": ")
                if answer in (_FAILED, _OPEN):
                    answer, head = _OPEN, "tested"
                yield factor, (answer, f"{head} outside of the core alone: {title}")

    def of_spread_maps(self) -> Iterator[_Answer]:
        """The answer for maps that are spread: a cell or place acts, or the omnibus test finds nothing, or neither."""
        if not self._has_grid and self.found is None:
            return
        tried = {*(CELLS if self._has_grid else ()), *(self.found or ())}
        rest = next((row for row in self.rows if row["factor"] == _REST), None)
        acting = {
            place: row
            for row in reversed(self.rows)
            if "depends" in row["claims"]
            for place in tried & {row["factor"], *row.get("members", ())}
        }
        if acting:
            first = next(row for row in self.rows if row in acting.values())
            if len(acting) > 1:
                yield SPREAD, (_HELD, f"{_HELD} by {listed(sorted(acting), 3)}: {_title(first)}")
            else:
                yield SPREAD, (_OPEN, f"{_OPEN}: one place acts and no other is shown to, {_title(first)}")
            return
        none = f"none of the {'cells' if self._has_grid else 'places that were searched'} is shown to act"
        if rest is not None and rest["level"] == "NONE LARGER THAN":
            yield SPREAD, (_FAILED, f"{_FAILED}: {none}; {_title(rest)}")
        else:
            yield SPREAD, (_OPEN, f"{_OPEN}: {none}, but many together may")

    def _is_of_the_user(self, factor: str) -> bool:
        """Whether it is a mark, or a property of the user's own."""
        return factor in self.identity.get("inserts", {}) or bool(self.identity.get("factors", {}).get(factor))

    @property
    def _regions(self) -> Mapping[str, str]:
        regions: Mapping[str, str] = self.identity.get("regions", {})
        return regions

    @property
    def _has_grid(self) -> bool:
        """Whether cells are those of the grid that is proposed, and not of another one."""
        names = {*self._regions, *(row["factor"] for row in self.rows)}
        return {name for name in names if name.startswith("cell-")} == {*CELLS}


def _found_in(path: Path) -> frozenset[str] | None:
    """The places that an audit's search found, None where it made none."""
    places = manifest.read_json(path / "places.json") if (path / "places.json").is_file() else {}
    names = {place["name"] for place in places.get("places", ())}
    moving = {each["place"] for each in places.get("anywhere", ())}
    return frozenset(names | moving) if places.get("tried") else None


def _of_its_factor(row: Mapping[str, Any]) -> _Answer:
    """A finding's factor, with the answer and the words."""
    answer = _HELD if "depends" in row["claims"] else _FAILED if row["level"] == "NONE LARGER THAN" else _OPEN
    return row["factor"], (answer, f"{answer}: {_title(row)}")


def _of_its_members(row: Mapping[str, Any]) -> Iterator[_Answer]:
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

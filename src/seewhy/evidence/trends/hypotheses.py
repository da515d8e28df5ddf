"""What an audit of the same classifier and images has to say of a group's hypothesis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seewhy.errors import StoreError
from seewhy.evidence.findings.finding import Finding
from seewhy.store import manifest

UNTESTED = "not tested yet"


def findings_beside(folder: Path, stored: Mapping[str, Any]) -> dict[str, str]:
    """What audits say of each factor, by its name: whether it held, the finding's title, and the audit's folder.

    The audits are this run itself, and those of the same weights, network, preprocessing and code that lie beside it.
    """
    said: dict[str, str] = {}
    for path in sorted({folder, *(path.parent for path in folder.resolve().parent.glob(f"*/{manifest.NAME}"))}):
        for factor, title in _findings(path, stored):
            said.setdefault(factor, f"{title} (audit in {path.name})")
    return said


def verdict_on(factor: str, findings: Mapping[str, str]) -> str:
    """What an audit says of a factor, "not tested yet" where none does, or there is no factor to test."""
    return findings.get(factor, UNTESTED) if factor else UNTESTED


def _findings(path: Path, stored: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    try:
        other = manifest.read_manifest(path)
        is_audit = other["identity"].get("command") == "audit" and other.get("status") == "complete"
        if not is_audit or manifest.subject_of(other) != manifest.subject_of(stored):
            return []
        rows = manifest.read_json(path / "findings.json")["findings"]
        return [(row["factor"], _title(row)) for row in rows]
    except (StoreError, AttributeError, KeyError, TypeError, OSError, ValueError):  # a broken neighbour is none
        return []


def _title(row: Mapping[str, Any]) -> str:
    title = Finding(row["factor"], row["level"], tuple(row["claims"]), "").title
    holds = (
        "held" if "depends" in row["claims"] else "did not hold" if row["level"] == "NONE LARGER THAN" else "is open"
    )
    return f"{holds}: {title}"

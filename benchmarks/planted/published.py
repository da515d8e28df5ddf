"""What the figures need of each audit, kept with the results: the benchmark goes on elsewhere where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.planted.cache import Record, audit_key, case_key, coverage_key, oracle_key, outside_key, thresholds_key
from benchmarks.planted.cases import Case
from benchmarks.planted.scores import Score

NAME = "planted-records.jsonl"
INTERVAL = ("low", "high")
OF_FINDING = ("factor", "level", "claims", "title", "members", "value", *INTERVAL)
OF_AUDIT = ("case", "seconds", "effects", "audit_key", "thresholds", "case_key")
DIGITS = 5


def publish(scores: Sequence[Score], results: Path) -> None:
    """Write RESULTS/planted-records.jsonl, a line for each audit."""
    lines = [
        {
            "keys": keys_of(score.case), "record": _shortened(score.record), "oracle": score.oracle,
            "outside": score.outside, "drawn": score.drawn,
            "coverage_key": None if score.drawn is None else coverage_key(score.case),
        }
        for score in scores
    ]  # fmt: skip
    text = "".join(json.dumps(_rounded(line)) + "\n" for line in lines)
    (results / NAME).write_text(text, encoding="utf-8")


def published(results: Path) -> dict[str, Mapping[str, Any]]:
    """By the case's key the `record`, `oracle` and `outside` of audits by the code of today, and of no other."""
    file = results / NAME
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    told = {}
    for line in map(json.loads, lines):
        if line["keys"][:2] == [audit_key(), thresholds_key()]:
            record = line["record"]
            record["without"] = {
                name: record["findings"] if rows is None else rows for name, rows in record["without"].items()
            }
            told["-".join(line["keys"][2:])] = line
    return told


def drawn_of(told: Mapping[str, Any], case: Case) -> Record | None:
    """The drawn effects of a case's factors from a published line, where the code of today drew them."""
    drawn: Record | None = told.get("drawn")
    return drawn if told.get("coverage_key") == coverage_key(case) else None


def key_in(case: Case) -> str:
    """Under which key the records of a case are."""
    return "-".join(keys_of(case)[2:])


def keys_of(case: Case) -> list[str]:
    """What decides a case's records: the code that audits, its thresholds, the case, its oracle and that outside."""
    return [audit_key(), thresholds_key(), case_key(case), oracle_key(case.network), outside_key(case)]


def _shortened(record: Record) -> Record:
    """The record without texts; of what is told without a safeguard only what differs."""
    findings, plain = _rows(record["findings"]), _rows(record["findings"], but=INTERVAL)
    without = {name: _rows(rows, but=INTERVAL) for name, rows in record["without"].items()}
    kept = {name: record[name] for name in OF_AUDIT if name in record}
    told = {name: None if rows == plain else rows for name, rows in without.items()}
    return {**kept, "findings": findings, "without": told}


def _rows(findings: Sequence[Record], but: Sequence[str] = ()) -> list[Record]:
    names = [name for name in OF_FINDING if name not in but]
    return [{name: finding[name] for name in names} for finding in findings if finding["claims"]]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, (list, tuple)) else value

"""Tables of the results, and one table over all of them; imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from stamps import is_current
from workloads import Aim

Raw = dict[str, Any]


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} [{min(values):.2f}-{max(values):.2f}]"


def table_head(*names: str) -> list[str]:
    return [table_row(names), table_row(["---"] * len(names))]


def table_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def gate_words(gate: Raw) -> tuple[str, str]:
    """How far the maps are apart, and the verdict."""
    return f"p95 {gate['p95']:.1e}, max {gate['max']:.1e}", "pass" if gate["passed"] else "FAIL"


def headline(aim: Aim, values: Sequence[float], gate: Raw | None) -> Raw:
    """One line of the table over all rows, as a row's JSON holds it."""
    return {**asdict(aim), "values": list(values), "gate": None if gate is None else " ".join(gate_words(gate)[::-1])}


def write_summary(folder: Path) -> str:
    """FOLDER/README.md from every FOLDER/<name>.json, and as text; no number of code that has changed."""
    old: list[str] = []
    lines = table_head("workload", "at least", "goal", "measured, median [min-max]", "gate")
    for file in sorted(folder.glob("*.json")):
        raw = json.loads(file.read_text(encoding="utf-8"))
        if not is_current(raw):
            old += [one["what"] for one in raw["headlines"]]
            continue
        noisy = ", noisy" if raw["noisy"] else ""
        lines += [_summary_row(one, noisy) for one in raw["headlines"]]
    if old:
        lines += ["", "Measured on older code, so their numbers are not shown; measure again:", ""]
        lines += [f"- {what}" for what in old]
    lines += ["", "One file per row beside this one says how it was measured. Of what is less is better, it says so."]
    text = "\n".join(lines) + "\n"
    (folder / "README.md").write_text(f"# Results\n\n{text}", encoding="utf-8")
    return text


def _summary_row(one: Raw, noisy: str) -> str:
    unit, sign = one["unit"], "<=" if one["lower"] else ">="
    aims = [f"{sign} {one[key]:g}{unit}" for key in ("at_least", "goal")]
    middle = median(one["values"])
    met = [middle <= one[key] if one["lower"] else middle >= one[key] for key in ("at_least", "goal")]
    verdict = "goal" if met[1] else "met" if met[0] else "MISSED"
    return table_row([one["what"], *aims, f"{spread(one['values'])}{unit}, {verdict}{noisy}", one["gate"] or "-"])

"""Run folders of a repair and of a comparison, made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seewhy.estimates import wilson
from seewhy.evidence.inference.differences import ClassDifference, difference_of
from seewhy.learn.compare.compare import compare
from seewhy.learn.repair.arm import Arm, Try
from seewhy.learn.repair.groups import Cell
from seewhy.learn.repair.others import OtherFactor
from seewhy.learn.repair.proof import Cost
from seewhy.learn.repair.readings import CellAccuracy
from seewhy.learn.repair.repaired import Repair
from seewhy.store import manifest
from tests.report.audited import audit_folder
from tests.report.folders import ENVIRONMENT, WRONG
from tests.report.names import PLAIN, Names


def repair_folder(path: Path, names: Names = PLAIN, **changed: Any) -> Path:
    """A finished `repair`, proved unless other fields are given."""
    found = repair_of(names, **changed)
    identity = {"seewhy": "0.1.0", "command": "repair", "factor": names.shortcut, "ways": ["exchange"], "seeds": 3}
    manifest.begin(path, identity)
    manifest.write_json(path / "repair.json", found.summary())
    manifest.finish(path, identity, {"headline": found.headline, "network": "Net", "environment": ENVIRONMENT})
    return path


def repair_of(names: Names, **changed: Any) -> Repair:
    """A repair by an exchange with two control arms, two other factors and a way that failed."""
    effects = {"before": 0.31, "repaired": 0.03, "plain": 0.25, "unrelated": 0.27}
    margins = {"plain": difference(0.22), "unrelated": difference(0.24)}
    others = [
        OtherFactor(names.core, names.classes[0], 0.10, 0.28, difference(0.18), is_core=True),
        OtherFactor(names.nothing, names.classes[0], 0.01, 0.02, difference(0.01, 0.05)),
    ]
    cells = [
        Cell(label, group, count, to_add=80 - count, to_trim=count - 20, images=names.ids[:2])
        for label, group, count in zip(names.classes[:2] * 2, ("says it", "says not") * 2, (80, 20) * 2, strict=True)
    ]
    tried = [
        Try("exchange", "half of them exchanged", 0.02, 0.9, -0.01),
        Try("projection", "w", 1.0, 0.5, 0.0, names.note),
    ]
    fields: dict[str, Any] = {
        "factor": names.shortcut, "contrast": names.classes[0], "way": "exchange", "words": "half of them exchanged",
        "arms": {name: arm_of(name, effect, names) for name, effect in effects.items()}, "margins": margins,
        "reduction": difference(0.28), "cost": Cost(wilson(40, 50), 0.5), "others": tuple(others),
        "cells": tuple(cells), "collect": f"Add images where {names.shortcut} says not {names.classes[0]}.",
        "tried": tuple(tried), "refused": {"last-layer": names.reason}, "reasons": (), "seeds": 3, "images": 50,
        "donors": 60, "notes": (names.note,),
    }  # fmt: skip
    return Repair(**{**fields, **changed})


def arm_of(name: str, effect: float, names: Names) -> Arm:
    """An arm with this effect."""
    cells = tuple(
        CellAccuracy(label, group, wilson(right, 25))
        for label in names.classes[:2]
        for group, right in (("says it", 24), ("says not", 12))
    )
    return Arm(
        name=name,
        words=f"the arm {name}, {names.note}",
        mean=effect,
        over_seeds=difference(effect),
        effects=(effect,) * 3,
        effect=difference(effect),
        accuracy=wilson(45, 50),
        exchanged=wilson(150, 200),
        worst=cells[1],
        cells=cells,
    )


def difference(value: float, error: float = 0.02) -> ClassDifference:
    """A difference with its interval."""
    return difference_of(value, error, 40.0, {0: 30, 1: 30})


def comparison_folder(home: Path, names: Names = PLAIN) -> Path:
    """The comparison of two audits that differ in what the network answers, beside both."""
    first = audit_folder(home / "first", names)
    second = audit_folder(home / "second", names, wrong=(*WRONG, 1))
    return compare(first, second, out=home / "compare").folder or home

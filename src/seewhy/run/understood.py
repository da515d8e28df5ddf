"""What was understood of a command before anything runs: eight lines that a person can check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from seewhy.data.networks.classifier import RANDOM_NOTE
from seewhy.errors import listed
from seewhy.records import Preprocess
from seewhy.run.plan import Plan

_MOST = 6  # classes, splits or layers that are named


def understood(plan: Plan, weights: Path | None = None) -> dict[str, str]:
    """The network, its output, weights, feeding and classes, the images, what was left out and what is explained."""
    classifier, table = plan.classifier, plan.table
    width, height = plan.canvas[1], plan.canvas[0]
    rows = {
        "Network": f"{classifier.source}, input {plan.channels} x {height} x {width}, on {classifier.device}",
        "Output": f"{plan.task}: {_output(plan)}",
        "Weights": _weights(plan, weights),
        "Fed": fed(plan),
        "Classes": listed([f"{index} = {name}" for index, name in enumerate(plan.classes)], _MOST) or "none",
        "Images": f"{len(table):,} of {table.source or 'memory'}{_parts(plan)}",
        "Maps": f"{', '.join(plan.methods)} of {listed(plan.grids or ['the input'], _MOST)}, target "
        + listed([score.name for score in plan.scores], _MOST),
    }
    if table.notes:
        rows["Noted"] = " ".join(table.notes)
    return rows


def fed(plan: Plan) -> str:
    """How a photograph becomes the network's input, in words."""
    if plan.table.items is not None:
        return "the items as they are"
    preprocess = plan.classifier.preprocess
    return preprocess.describe() if isinstance(preprocess, Preprocess) else "by a function of yours"


def _output(plan: Plan) -> str:
    numbers = "1 number" if plan.n_outputs == 1 else f"{plan.n_outputs} numbers"
    label = f" of the label {plan.label}" if plan.label else ""
    return f"{numbers} an image{label}" + (f": {plan.form}" if plan.form else "")


def _weights(plan: Plan, weights: Path | None) -> str:
    if weights is not None:
        return str(weights)
    return "none given: random, unless the code loads some" if RANDOM_NOTE in plan.classifier.notes else "its own"


def _parts(plan: Plan) -> str:
    """How many images each split and each label has."""
    labels = Counter(image.label for image in plan.table.images)
    splits = Counter(image.split for image in plan.table.images if image.split)
    parts = [_counts(splits.items()), _counts((name or "no label", count) for name, count in labels.items())]
    return "".join(f"; {part}" for part in parts if part)


def _counts(pairs: Iterable[tuple[str, int]]) -> str:
    return listed([f"{name} {count:,}" for name, count in sorted(pairs)], _MOST)

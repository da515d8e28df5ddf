"""Labels of the images that are no class of the network: what they may be, and how to call the classes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import listed
from seewhy.evidence.checks.findings import CheckFinding

ALIKE = 0.75  # of the letters, from which on a class is named as what a label may mean
MOST_NAMED = 6
CALL = "Call the classes as the labels do, in the network's order:  --classes NAMES, or a file with one on each line"


def strange_labels(table: ImageTable, classes: Sequence[str]) -> list[CheckFinding]:
    """That images with such labels were left out; that nothing can be said of the accuracy where no other is left."""
    if not table.strange:
        return []
    named = listed([_with_nearest(label, classes) for label in table.strange], MOST_NAMED)
    if table.labels:
        text = f"Labels that are no class of this network, whose images count for nothing here: {named}."
        return [CheckFinding("caution", "works", text, CALL)]
    text = f"No label is a class of this network, so nothing can be said about its accuracy. Labels: {named}. "
    text += f"Classes: {listed(classes, MOST_NAMED)}."
    return [CheckFinding("cannot say", "works", text, CALL, stops_audit=True)]


def _with_nearest(label: str, classes: Sequence[str]) -> str:
    close = difflib.get_close_matches(label, classes, n=1, cutoff=ALIKE)
    return f"{label} (nearest: {close[0]})" if close else label

"""Labels that are no class of the network: what they may be is named, and how to call the classes."""

from __future__ import annotations

from seewhy.data.tables.image_table import ImageTable
from seewhy.evidence.checks.strange_labels import strange_labels
from seewhy.records import Image

CLASSES = ("circle", "elipse", "cross")


def table_of(labels: tuple[str | None, ...], strange: tuple[str, ...]) -> ImageTable:
    return ImageTable(tuple(Image(f"{number}", label=label) for number, label in enumerate(labels)), strange=strange)


def test_a_misspelt_class_is_a_caution_with_the_nearest_name() -> None:
    (told,) = strange_labels(table_of(("circle", None), ("ellipse", "hedgehog")), CLASSES)
    assert told.level == "caution" and not told.stops_audit and "--classes" in told.todo
    assert "ellipse (nearest: elipse), hedgehog." in told.text


def test_where_no_label_is_left_both_lists_are_told_and_an_audit_stops() -> None:
    (told,) = strange_labels(table_of((None, None), ("a", "b")), CLASSES)
    assert told.level == "cannot say" and told.stops_audit
    assert "Labels: a, b. Classes: circle, elipse, cross." in told.text


def test_labels_that_are_classes_are_nothing_to_tell() -> None:
    assert strange_labels(table_of(("circle",), ()), CLASSES) == []

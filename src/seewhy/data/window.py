"""One scale for all images of more than 8 bits in a data set: the one asked for, else found from some of them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from torch import Tensor, nn

from seewhy.cam.model import untouched
from seewhy.data.formats.depth import Extremes, Window, is_deep, joined, scale_of, scan_of
from seewhy.data.formats.image_files import suffix_of
from seewhy.data.formats.no_data import Seen, seen_in, settled
from seewhy.data.networks.classifier import Classifier
from seewhy.data.pictures.decode import UnreadableError, has_depth, read_scan
from seewhy.data.reader import image_of, item_of
from seewhy.data.sources.addresses import each
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import listed
from seewhy.records import Image, Preprocess

T = TypeVar("T")
MOST_HEADERS = 1024  # images that are asked for their depth
MOST_READ = 64  # of the deep ones whose numbers are looked at
_SHALLOW = frozenset(
    (".jpg", ".jpeg", ".jfif", ".jpe", ".webp", ".gif", ".bmp", ".dib", ".tga", ".avif", ".heic", ".heif", ".hif")
)
UNUSED_NOTE = "--window is for images of more than 8 bits, and none that was looked at has more: it changes nothing."


def with_window(classifier: Classifier, table: ImageTable) -> Classifier:
    """The classifier with the scale that all images of more than 8 bits go by, and a note of it.

    It is found from at most 64 images, spread over the table; another one that shows it to be wrong, or that is deep
    where none of these was, gets its reason for a result.
    """
    how = classifier.preprocess
    if not isinstance(how, Preprocess):
        return classifier
    n_deep, n_looked, looked = _looked_at(table)
    wanted = how.window or ((0.0, how.white) if how.white > 255 else None)
    seen, no_data = settled(looked, judged=wanted is None)
    if not seen:
        return replace(classifier, notes=(*classifier.notes, UNUSED_NOTE)) if how.window else classifier
    kinds = joined(seen)
    asked = wanted or _shared(seen)
    scales = tuple((part.kind, *(asked or _rounded(scale_of(part)))) for part in kinds)
    how = replace(how, window=asked) if asked else replace(how, scales=scales)
    how = replace(how, no_data=no_data)
    told = "; ".join(
        f"{part.kind} numbers from {part.low:g} to {part.high:g}: {low:g} is black and {high:g} white in all of them "
        f"(--window {low:g},{high:g})"
        for part, (_, low, high) in zip(kinds, scales, strict=True)
    )
    note = f"{n_deep:,} of {n_looked:,} images looked at have more than 8 bits. They hold {told}."
    notes = [note, *([] if wanted else _on_windows(seen)), *_on_no_data(looked, kinds, no_data)]
    return replace(classifier, preprocess=how, notes=(*classifier.notes, *notes))


def _shared(seen: Sequence[Extremes]) -> Window | None:
    """The window that all of the files ask for, if it is one."""
    asked = {part.asked for part in seen}
    return next(iter(asked)) if len(asked) == 1 else None


def _on_windows(seen: Sequence[Extremes]) -> list[str]:
    """What is said of the windows that files ask for."""
    asked = Counter(part.asked for part in seen if part.asked)
    if not asked:
        return []
    if _shared(seen):
        return ["That window is what all of these files ask for."]
    shown = listed([f"{low:g},{high:g} ({count})" for (low, high), count in asked.most_common()], 3)
    return [f"The files ask for windows of their own, {shown}, which are not taken: one is needed for all (--window)."]


def _on_no_data(looked: Sequence[Seen], kinds: Sequence[Extremes], no_data: Sequence[float]) -> list[str]:
    """What is said of numbers that stand for no data: because files say so, or because they lie far from all others."""
    notes = []
    declared = Counter(number for one in looked for number in one.extremes.declared)
    if declared:
        numbers = listed([f"{number:g} ({count} of {len(looked)})" for number, count in declared.most_common()], 3)
        notes.append(
            f"Numbers that stand for no data, as the files say: {numbers}. They are black, and no part of a scale."
        )
    for number in no_data:
        count, colour = sum(number in one.odd for one in looked), "black" if number < kinds[0].low else "white"
        notes.append(
            f"{number:g} is in {count} of {len(looked)} of them, far from all other numbers: it is taken for no data, "
            f"{colour} and no part of a scale. If it was measured, give a scale that holds it (--window)."
        )
    return notes


def _rounded(window: Window) -> Window:
    """As the note says it, and as it would be typed."""
    return float(f"{window[0]:g}"), float(f"{window[1]:g}")


def _looked_at(table: ImageTable) -> tuple[int, int, list[Seen]]:
    """How many images have more than 8 bits, of how many that were looked at; and what some of them hold."""
    if isinstance(table.items, Tensor):
        return 0, 0, []
    if table.items is not None:
        return _items(table)
    suffixes = (suffix_of(image.path or "") for image in table.images)
    maybe = array("q", (place for place, suffix in enumerate(suffixes) if suffix not in _SHALLOW))
    looked = _spread(maybe, MOST_HEADERS)
    paths = [path for place in looked if (path := table.images[place].path)]
    deep = [path for path, is_one in zip(paths, each(has_depth, paths, str), strict=True) if is_one]
    seen = []
    for path in _spread(deep, MOST_READ):
        try:
            seen.append(seen_in(read_scan(path)))
        except UnreadableError:
            continue  # its row will say so
    return len(deep), len(looked), seen


def _items(table: ImageTable) -> tuple[int, int, list[Seen]]:
    """The same of a Dataset: where its first item is deep, some are read."""
    with untouched(nn.Identity()):  # which puts the random states back
        if _seen_in_item(table, table.images[0]) is None:
            return 0, 0, []
        looked = _spread(table.images, MOST_READ)
        seen = [part for image in looked if (part := _seen_in_item(table, image))]
    return len(seen), len(looked), seen


def _seen_in_item(table: ImageTable, image: Image) -> Seen | None:
    """What an item holds that is a deep PIL image; None of anything else."""
    try:
        item = item_of(table, image)
        picture = image_of(item[0] if isinstance(item, (tuple, list)) and item else item)
        if picture is not None and is_deep(picture):
            return seen_in(scan_of(picture))
    except (UnreadableError, OSError, ValueError):
        pass  # its row will say so
    return None


def _spread(things: Sequence[T], most: int) -> list[T]:
    """At most so many of them, evenly from first to last."""
    if len(things) <= most:
        return list(things)
    return [things[round(step * (len(things) - 1) / (most - 1))] for step in range(most)]

"""What the widget holds of a result: words and numbers in rows, thumbnails and maps as bytes, sent once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seewhy.data.pictures.decode import Pixels, UnreadableError, read_verified, reduced, shrunk
from seewhy.data.reader import load_image
from seewhy.errors import counted, printable
from seewhy.explanation.result import Explanation
from seewhy.records import MapKey, MapStat, Outcome, Preprocess
from seewhy.render.color import heat, jet, signed
from seewhy.render.overlay import OPACITY, encode
from seewhy.render.sheet import SheetPicture, read_page
from seewhy.report.gallery import Drawn, canvas_on, drawn_of, map_entry, most_cells, short
from seewhy.report.gallery import Gallery as StoredGallery
from seewhy.report.stored import StoredRun
from seewhy.report.table import names_of
from seewhy.store.arrays import read_map

SIDE = 224  # pixels of a thumbnail's long side
_QUALITY = 82
_SHEET = 24  # images of the sheet that stands in where no widget can be shown
_COMMON = 0.995  # the share of all maps that reach the full colour at most, where one scale is for all
COLOURS = ("heat", "jet", "signed")
Maps = NDArray[np.float32]
Stats = Mapping[MapKey, MapStat]


@dataclass(frozen=True)
class WidgetSource:
    """A result as the widget reads it: where rows, maps and pictures come from."""

    title: str
    outcomes: Sequence[Outcome]
    keys: tuple[MapKey, ...]
    preprocess: Preprocess | None
    bold: str
    stats: Callable[[int], Stats]  # of a row
    maps: Callable[[MapKey, Sequence[int]], Maps]  # raw (N, h, w), of so many rows
    picture: Callable[[int], Pixels | None]  # of a row, at most SIDE pixels
    sheet: Callable[[], SheetPicture | None]


def of_explanation(explanation: Explanation) -> WidgetSource:
    """An explanation, in memory or in a folder."""
    how = explanation.plan.classifier.preprocess

    def stats(row: int) -> Stats:
        return dict(zip(explanation.keys, explanation[row].map_stats.values(), strict=False))

    def sheet() -> SheetPicture | None:
        written = None if explanation.folder is None else explanation.folder / "sheet.jpg"
        drawn = read_page(written) if written is not None and written.is_file() else explanation.show(_SHEET)
        return drawn if isinstance(drawn, SheetPicture) else None

    def maps(key: MapKey, rows: Sequence[int]) -> Maps:
        if explanation.folder is not None:
            return _read(explanation.folder, key, rows)
        return np.concatenate([part for _, part in explanation.chunks(key)])[list(rows)]

    return WidgetSource(
        title=f"{explanation.method} of {', '.join(explanation.layers)} for {explanation.score}",
        outcomes=explanation.outcomes,
        keys=tuple(explanation.keys),
        preprocess=how if isinstance(how, Preprocess) else None,
        bold="jet" if explanation.preset else "heat",
        stats=stats,
        maps=maps,
        picture=lambda row: _picture_of(explanation, row),
        sheet=sheet,
    )


def of_folder(stored: StoredRun) -> WidgetSource:
    """A finished run in a folder, without its network."""
    gallery = StoredGallery(stored)

    def picture(row: int) -> Pixels | None:
        data = gallery.data(row)
        try:
            return None if data is None else reduced(data, SIDE, stored.preprocess)
        except UnreadableError:
            return None

    def stats(row: int) -> Stats:
        return {key: by_row[row] for key, by_row in stored.stats.items() if row in by_row}

    def sheet() -> SheetPicture | None:
        path = stored.folder / "sheet.jpg"
        return read_page(path) if path.is_file() else None

    parts = [", ".join(dict.fromkeys(part)) for part in zip(*stored.keys, strict=True)]
    return WidgetSource(
        title=f"{parts[0]} of {parts[1]} for {parts[2]}" if parts else stored.command,
        outcomes=stored.outcomes,
        keys=stored.keys,
        preprocess=stored.preprocess,
        bold="jet" if stored.identity.get("preset") else "heat",
        stats=stats,
        maps=lambda key, rows: _read(stored.folder, key, rows),
        picture=picture,
        sheet=sheet,
    )


@dataclass(frozen=True)
class Sent:
    """What is sent to the page, once: `table` holds plain values, and places (start, end) in the bytes beside it."""

    table: dict[str, Any]
    pictures: bytes
    maps: bytes
    colours: bytes


def held_of(subject: WidgetSource, most: int) -> Sent:
    """The data of at most `most` images of a result, evenly chosen."""
    count = len(subject.outcomes)
    few = min(most, count)
    rows = [round(step * (count - 1) / max(1, few - 1)) for step in range(few)]
    pictures, maps = _Bytes(), _Bytes()
    drawn = {key: _drawn(subject, key, rows) for key in subject.keys}
    entries = [_entry(subject, row, place, drawn, pictures, maps) for place, row in enumerate(rows)]
    table = _table(subject, rows, drawn)
    table["entries"] = entries
    size = (len(pictures.whole) + len(maps.whole)) / 1e6
    some = f"{few:,} of {counted(count, 'image')}, evenly chosen" if few < count else counted(count, "image")
    table["said"] = f"{printable(subject.title)}: {some}; {max(size, 0.1):.1f} MB are in the page."
    colours = b"".join(of_table.tobytes() for of_table in (heat(), jet(), signed()))
    return Sent(table, bytes(pictures.whole), bytes(maps.whole), colours)


@dataclass
class _Bytes:
    """Pieces of bytes, one after the other."""

    whole: bytearray = field(default_factory=bytearray)

    def add(self, piece: bytes) -> list[int]:
        """Where the piece lies now: its start and its end."""
        start = len(self.whole)
        self.whole += piece
        return [start, len(self.whole)]


def _entry(
    subject: WidgetSource, row: int, place: int, drawn: Mapping[MapKey, Sequence[Drawn]], pictures: _Bytes, maps: _Bytes
) -> dict[str, Any]:
    """Where the picture and the maps of one image lie in the bytes, with the numbers behind them."""
    stats, picture, outcome = subject.stats(row), subject.picture(row), subject.outcomes[row]
    of_maps = [
        map_entry(drawn[key][place], stats.get(key), lambda steps: maps.add(steps.tobytes())) for key in subject.keys
    ]
    entry: dict[str, Any] = {"t": None, "w": 64, "h": 64, "m": of_maps}
    if picture is not None:
        height, width = picture.shape[:2]
        entry |= {"t": pictures.add(encode(picture, "jpg", _QUALITY)), "w": width, "h": height}
    if (rectangle := canvas_on(outcome, subject.preprocess)) is not None:
        entry["r"] = rectangle
    return entry


def _drawn(subject: WidgetSource, key: MapKey, rows: Sequence[int]) -> list[Drawn]:
    """The maps of some rows as they are drawn."""
    count = sum(other.method == key.method for other in subject.keys)
    return drawn_of(subject.maps(key, rows), most_cells(count))


def _read(folder: Path, key: MapKey, rows: Sequence[int]) -> Maps:
    return np.stack([read_map(folder, key, row) for row in rows])


def _table(subject: WidgetSource, rows: Sequence[int], drawn: Mapping[MapKey, Sequence[Drawn]]) -> dict[str, Any]:
    """What tiles say, and what filters and orders go by, image by image."""
    outcomes = [subject.outcomes[row] for row in rows]
    words = {
        "split": [_word(outcome.image.split) for outcome in outcomes],
        "label": [_word(outcome.image.label) for outcome in outcomes],
        "prediction": [_word(outcome.prediction) for outcome in outcomes],
    }
    ids = [printable(outcome.image.id) for outcome in outcomes]
    by_name = sorted(range(len(ids)), key=lambda place: (_natural(ids[place]), place))
    ranks = {place: rank for rank, place in enumerate(by_name)}
    return {
        "rows": list(rows),
        "ids": ids,
        **words,
        "probability": [None if outcome.probability is None else short(outcome.probability) for outcome in outcomes],
        "correct": [-1 if outcome.correct is None else int(outcome.correct) for outcome in outcomes],
        "error": [_word(outcome.error) for outcome in outcomes],
        "ranks": [ranks[place] for place in range(len(ids))],
        "choices": {name: sorted({word for word in column if word is not None}) for name, column in words.items()},
        "maps": _maps(subject, drawn),
        "opacity": OPACITY,
        "bold": subject.bold,
    }


def _maps(subject: WidgetSource, drawn: Mapping[MapKey, Sequence[Drawn]]) -> list[dict[str, Any]]:
    """The name of each map, and the value that gets the full colour where one scale is for all images."""
    told = []
    for key, name in zip(subject.keys, names_of(subject.keys) if subject.keys else (), strict=True):
        peaks = [top for one in drawn[key] if (top := float(one.high.item())) > 0]
        told.append({"name": printable(name), "top": float(f"{np.quantile(peaks, _COMMON):.5g}") if peaks else 0.0})
    return told


def shown(table: Mapping[str, Any], state: Mapping[str, str]) -> list[int]:
    """The places in the table of the images that pass the filters, in their order; as the page has it.

    `state` holds text, split, label, prediction, right and sort, each "" where nothing is asked. Those without a
    value come last either way.
    """
    words = [name for name in ("split", "label", "prediction") if state[name]]
    tests: list[Callable[[int], bool]] = [partial(_holds, table[name], state[name]) for name in words]
    if state["right"]:
        tests.append(partial(_holds, table["correct"], {"right": 1, "wrong": 0, "unknown": -1}[state["right"]]))
    if text := state["text"].strip().lower():
        tests.append(lambda place: text in table["ids"][place].lower())
    places = [place for place in range(len(table["ids"])) if all(test(place) for test in tests)]
    sign, name = (-1 if state["sort"].startswith("-") else 1), state["sort"].removeprefix("-")
    if not name:
        return places[::sign]
    values = table["ranks" if name == "name" else name]
    known = sorted((p for p in places if values[p] is not None), key=lambda place: (sign * values[place], place))
    return known + [place for place in places if values[place] is None]


def _holds(column: Sequence[Any], value: Any, place: int) -> bool:
    return bool(column[place] == value)


def _picture_of(explanation: Explanation, row: int) -> Pixels | None:
    """A thumbnail of what was explained; None where the file is not there any more, or is another one now."""
    outcome, plan = explanation.outcomes[row], explanation.plan
    image, how = plan.table.images[row], plan.classifier.preprocess
    if outcome.error:
        return None
    try:
        if plan.table.items is None and outcome.digest:
            data = read_verified(image.path or "", outcome.digest)
            return reduced(data, SIDE, how if isinstance(how, Preprocess) else None)
        return shrunk(load_image(plan.table, image, how).picture, SIDE)
    except UnreadableError:
        return None


def _word(text: str | None) -> str | None:
    return None if text is None else printable(text)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key by which 9.png stands before 10.png."""
    parts = re.findall(r"\d+|\D+", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]

"""Pictures and maps as data in script files, since a page opened from disk may not draw from picture files."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seewhy.data.formats.image_files import SUFFIXES
from seewhy.data.pictures.decode import Pixels, UnreadableError, read_verified, reduced
from seewhy.data.sources.addresses import address_of
from seewhy.data.sources.shards import file_of
from seewhy.geometry import geometry_of
from seewhy.maps import MOST_CELLS, drawn_values
from seewhy.records import MapKey, MapStat, Outcome, Preprocess, Progress
from seewhy.render.overlay import encode
from seewhy.report.stored import StoredRun
from seewhy.store.arrays import read_rows

CHUNK = 64  # images a script file
SIDES = ((400, 256), (2000, 192))  # up to so many images, thumbnails of so many pixels on the long side
SIDE = 128  # of a thumbnail where there are more
MOST_BYTES = 4000  # of an image's maps by one method, for what is for the score and for what is against it
_ROOM = 100  # bytes of a map beside its cells
_LOGITS = 10  # of an image, the largest
_QUALITY = 82
_BYTE = re.compile(r"\\u(dc[89a-f][0-9a-f])")  # how the table spells a byte of a name that is no UTF-8
Maps = NDArray[np.float32]


@dataclass(frozen=True)
class Drawn:
    """What a map has for and against the score, as drawn (h, w), and the values from which the colour is full."""

    speaking: Maps
    high: Maps
    against: Maps
    low: Maps


@dataclass(frozen=True)
class Gallery:
    """A run's images as the pages show them: where the files lie, and how small pictures and maps are made."""

    stored: StoredRun
    originals: Path | None = None  # where the files are copied to, if they are
    tops: dict[MapKey, list[float]] = field(default_factory=dict)  # of what is written: where each map's colour is full

    def write(self, folder: Path, progress: Progress) -> int:
        """Write folder/pictures-0000.js, …; the number of pictures that are not where the run found them."""
        folder.mkdir(parents=True, exist_ok=True)
        n_images, missing = len(self.stored.outcomes), 0
        for number, start in enumerate(range(0, n_images, CHUNK)):
            rows = range(start, min(start + CHUNK, n_images))
            entries = self._entries(rows)
            missing += sum(
                entry["t"] is None and self._is_expected(row) for row, entry in zip(rows, entries, strict=True)
            )
            write_script(folder / f"pictures-{number:04d}.js", "pictures", number, entries)
            progress(rows.stop, n_images)
        return missing

    def _is_expected(self, row: int) -> bool:
        """Whether the image is a file that could be read when the run was made."""
        outcome = self.stored.outcomes[row]
        return outcome.error is None and outcome.image.path is not None

    def picture(self, row: int) -> Pixels | None:
        """A small picture (h, w, 3); None where the file is not there any more, or is another one now."""
        data = self.data(row)
        if data is None:
            return None
        try:
            return reduced(data, self.side, self.stored.preprocess)
        except UnreadableError:
            return None

    def thumbnail(self, row: int) -> tuple[str, int, int] | None:
        """A small picture as data URI with its width and height; None where there is none."""
        pixels = self.picture(row)
        return None if pixels is None else (as_uri(pixels), pixels.shape[1], pixels.shape[0])

    def copied(self, row: int) -> str:
        """The name of an original's copy: its number, since its own name may be anything."""
        suffix = PurePosixPath(self.stored.outcomes[row].image.path or "").suffix.lower()
        return f"{row:06d}{suffix if suffix in SUFFIXES else ''}"

    def path(self, outcome: Outcome) -> Path | None:
        """Where an image's file lies now; None for one that is no file."""
        if outcome.image.path is None:
            return None
        path = self._root / outcome.image.path
        if address_of(outcome.image.path) is not None:
            return Path(outcome.image.path)
        return (
            path if path.exists() else self._root / _BYTE.sub(lambda match: chr(int(match[1], 16)), outcome.image.path)
        )

    @property
    def side(self) -> int:
        """Pixels of a thumbnail's long side: the more images, the smaller, so that the folder can be mailed."""
        return next((side for most, side in SIDES if len(self.stored.outcomes) <= most), SIDE)

    def cells(self, key: MapKey) -> int:
        """The most cells on a side of a map, so that all of a method's maps of an image take 4 kB at most."""
        return most_cells(sum(other.method == key.method for other in self.stored.keys))

    def data(self, row: int) -> bytes | None:
        """The bytes of an image's file, if they are those that the run has read: a table may name any file."""
        outcome = self.stored.outcomes[row]
        path = self.path(outcome)
        if path is None or outcome.error:
            return None
        try:
            return read_verified(path, outcome.digest)
        except UnreadableError:
            return None

    @cached_property
    def _root(self) -> Path:
        """What relative paths start from: here, or a folder above the run, where the run has been moved or we have."""
        first = next(
            (outcome.image.path for outcome in self.stored.outcomes if outcome.image.path and not outcome.error), None
        )
        roots = [Path(), *self.stored.folder.resolve().parents]
        return next((root for root in roots if first is not None and (root / file_of(first)).is_file()), Path())

    def _entries(self, rows: range) -> list[dict[str, Any]]:
        stored = self.stored
        drawn = {key: self._drawn(key, rows) for key in stored.keys}
        for key, of_key in drawn.items():
            self.tops.setdefault(key, []).extend(float(one.high.item()) for one in of_key)
        entries = []
        for place, row in enumerate(rows):
            outcome, picture = stored.outcomes[row], self.thumbnail(row)
            maps = [map_entry(drawn[key][place], stored.stats[key].get(row)) for key in stored.keys]
            entry: dict[str, Any] = {"t": None, "m": maps, "l": _largest(outcome.logits), "o": {}}
            if picture is not None:
                entry |= dict(zip(("t", "w", "h"), picture, strict=True))
                entry["o"] = self._copied_original(row)
            if (rectangle := canvas_on(outcome, stored.preprocess)) is not None:
                entry["r"] = rectangle
            entries.append(entry)
        return entries

    def _copied_original(self, row: int) -> dict[str, str]:
        """The link to the original's copy, which is made; nothing where none are asked for."""
        data = None if self.originals is None else self.data(row)
        if self.originals is None or data is None:
            return {}
        (self.originals / self.copied(row)).write_bytes(data)
        return {"original": f"{self.originals.name}/{self.copied(row)}"}

    def _drawn(self, key: MapKey, rows: range) -> list[Drawn]:
        """The maps of some rows, with at most so many cells as the pages hold."""
        return drawn_of(read_rows(self.stored.folder, key, rows.start, rows.stop), self.cells(key))


def drawn_of(maps: Maps, most: int) -> list[Drawn]:
    """Raw maps (N, h, w) as they are drawn, with at most `most` cells a side."""
    raw = torch.from_numpy(maps).nan_to_num()
    sides = [side.numpy() for sign in (1, -1) for side in drawn_values(sign * raw, most)]
    return [Drawn(*side) for side in zip(*sides, strict=True)]


def most_cells(n_maps: int) -> int:
    """The most cells on a side of a map, so that so many maps of an image take 4 kB at most."""
    fitting = int((3 * (MOST_BYTES / n_maps - _ROOM) / 4) ** 0.5) if MOST_BYTES / n_maps > _ROOM else 4
    return max(4, min(MOST_CELLS, fitting))


def canvas_on(outcome: Outcome, preprocess: Preprocess | None) -> list[float] | None:
    """Where the canvas lies on the picture (x, y, width, height), in shares of it; None where it covers all."""
    if preprocess is None or preprocess.size is None or not outcome.width:
        return None
    height, width = outcome.height or 1, outcome.width
    geometry = geometry_of((height, width), preprocess)
    if preprocess.fit == "stretch" and geometry.offset == (0.0, 0.0):
        return None
    left, top = geometry.to_photograph(0, 0)
    right, bottom = geometry.to_photograph(geometry.canvas[1], geometry.canvas[0])
    return [round(share, 5) for share in (left / width, top / height, (right - left) / width, (bottom - top) / height)]


def as_uri(pixels: Pixels) -> str:
    """A picture as the address of its own bytes."""
    return f"data:image/jpeg;base64,{base64.b64encode(encode(pixels, 'jpg', _QUALITY)).decode()}"


def write_script(path: Path, function: str, *values: Any) -> None:
    """Write a script that calls a function of the page with plain values; nothing in them can end or start a script."""
    text = ", ".join(script_text(value) for value in values)
    path.write_text(f"seewhy.{function}({text});\n", encoding="ascii")


def script_text(value: Any) -> str:
    """Plain values as JavaScript that is safe in any place: only ASCII, without <, > and &."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def map_entry(
    drawn: Drawn, stat: MapStat | None, kept: Callable[[NDArray[np.int8]], Any] | None = None
) -> dict[str, Any] | None:
    """A map in whole steps, -127 to 127 of the values that get the full colour, with the raw numbers behind it.

    "p" are those values where they are not the raw extremes. "n" are the steps of what is against the score where it
    lies in one cell with what is for it. `kept` says how steps are written; None: as text.
    """
    if stat is None or not np.isfinite([stat.minimum, stat.maximum]).all():
        return None
    kept = kept or _as_text
    speaking, against = _steps(drawn.speaking, drawn.high), _steps(drawn.against, drawn.low)
    is_mixed = bool((speaking * against).any())
    entry: dict[str, Any] = {
        "g": list(drawn.speaking.shape),
        "d": kept(speaking if is_mixed else speaking - against),
        "lo": short(stat.minimum),
        "hi": short(stat.maximum),
        "s": short(stat.score_value),
    }
    if is_mixed:
        entry["n"] = kept(against)
    extremes = [short(-float(drawn.low.item())), short(float(drawn.high.item()))]
    if extremes != [short(min(stat.minimum, 0)), short(max(stat.maximum, 0))]:
        entry["p"] = extremes
    return entry | ({"e": stat.reason} if stat.empty else {})


def _steps(values: Maps, full: Maps) -> NDArray[np.int8]:
    """Values (h, w) in steps of the full colour's, 0 to 127."""
    steps: NDArray[np.int8] = np.rint((values / (full if full > 0 else 1.0)).clip(0, 1) * 127).astype(np.int8)
    return steps


def _as_text(steps: NDArray[np.int8]) -> str:
    return base64.b64encode(steps.tobytes()).decode()


def _largest(logits: Sequence[float]) -> list[list[float | None]]:
    order = sorted(range(len(logits)), key=lambda index: -logits[index])[:_LOGITS]
    return [[index, short(logits[index])] for index in order]


def short(value: float) -> float | None:
    """Five digits; None for what JSON cannot say."""
    return float(f"{value:.5g}") if np.isfinite(value) else None

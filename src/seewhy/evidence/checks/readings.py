"""One reading of a check's images: their logits under every way of feeding, and the rows of records.parquet."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seewhy.cam.model import forward
from seewhy.data.pictures.decode import UnreadableError
from seewhy.data.reader import Loaded, batch_of, load_image, refuse_others
from seewhy.records import Image, Outcome, Preprocess
from seewhy.run.outcomes import judged, read_outcome, unread_outcome
from seewhy.run.plan import Plan
from seewhy.store import tables
from seewhy.store.schema import RECORDS

_ROWS = 1024  # of records.parquet that are held at once

Read = tuple[int, Image, Loaded]  # an image that can be read, with its place in the table


class Passes:
    """Logits of every readable image as asked (name "") and under every variant, in one reading of the folder."""

    def __init__(self, plan: Plan, variants: Mapping[str, tuple[Preprocess, str]], few: Sequence[int]) -> None:
        self.plan = plan
        self.ways: dict[str, Any] = {"": plan.classifier.preprocess}
        self.options = {name: words for name, (_, words) in variants.items()}
        self.logits: dict[str, list[Tensor]] = {"": []}
        self.labels: list[str | None] = []
        self.splits: list[str | None] = []
        self.clusters: list[str | None] = []
        self.kept: list[Tensor] = []
        self.kept_labels: list[str | None] = []
        self.reasons: Counter[str] = Counter()
        self.rows: list[Outcome] = []
        self._few = set(few)
        if any(image.label for image in plan.table.images) and plan.table.items is None:
            self.ways |= {name: way for name, (way, _) in variants.items()}
            self.logits |= {name: [] for name in variants}

    def run(self) -> Iterator[int]:
        """Read everything; yields how many images each step took."""
        images = self.plan.table.images
        for start in range(0, len(images), self.plan.batch_size):
            batch = images[start : start + self.plan.batch_size]
            self._read(batch, start)
            yield len(batch)

    def outcomes(self) -> Iterator[Outcome]:
        """The row of every image, in table order."""
        read = [row for row in self.rows if row.error is None]
        judged_rows = judged(read, torch.cat(self.logits[""]), self.plan.classes, self.plan.task)
        for row in self.rows:
            yield next(judged_rows) if row.error is None else row

    def _loaded(self, batch: Sequence[Image], start: int) -> list[Read]:
        """The images that can be read, with their places in the table; the row of every one is noted."""
        loaded: list[Read] = []
        for place, image in enumerate(batch, start):
            try:
                picture = load_image(self.plan.table, image, self.plan.classifier.preprocess)
                refuse_others(picture, self.plan.channels)
            except UnreadableError as error:
                self.reasons[str(error)] += 1
                self.rows.append(unread_outcome(image, str(error)))
                continue
            loaded.append((place, image, picture))
            self.rows.append(read_outcome(image, picture, self.plan.classes, self.plan.task))
        return loaded

    def _answered(self, loaded: list[Read]) -> tuple[list[Read], tuple[Tensor, Tensor] | None]:
        """The images that the network answers, with its inputs and answers; None where there is none of them.

        Raises the network's own error where it fails on all of several, or on none of them alone.
        """
        try:
            return loaded, self._asked(loaded) if loaded else None
        except Exception as error:  # noqa: BLE001 -- the network's own code may raise anything; it is raised again below
            failure = error
        reasons = {read[0]: reason for read in loaded if (reason := self._reason(read))}
        if len(self.plan.table) == 1 or (len(loaded) > 1 and len(reasons) in (0, len(loaded))):
            raise failure
        for place, image, _ in loaded:
            if place in reasons:
                self.reasons[reasons[place]] += 1
                self.rows[place] = unread_outcome(image, reasons[place])
        rest = [read for read in loaded if read[0] not in reasons]
        return rest, self._asked(rest) if rest else None

    def _reason(self, read: Read) -> str:
        """Why the network fails on an image; "" where it does not."""
        try:
            self._asked([read])
        except Exception as error:  # noqa: BLE001 -- what it is becomes the image's reason
            return f"the network failed: {type(error).__name__}: {error}"[:200]
        return ""

    def _asked(self, loaded: Sequence[Read]) -> tuple[Tensor, Tensor]:
        """The network's inputs of images, fed as asked, and its logits."""
        inputs = batch_of([picture for _, _, picture in loaded], self.ways[""], self.plan.memory_format)
        return inputs, forward(self.plan.classifier.model, inputs)

    def _read(self, batch: Sequence[Image], start: int) -> None:
        loaded, plain = self._answered(self._loaded(batch, start))
        if plain is None:
            return
        self.labels += [self.rows[place].image.label for place, _, _ in loaded]
        self.splits += [image.split for _, image, _ in loaded]
        self.clusters += [image.cluster for _, image, _ in loaded]
        canvases: dict[tuple[Any, ...], list[Loaded]] = {}
        for name, way in self.ways.items():
            pictures = [picture for _, _, picture in loaded]
            if isinstance(way, Preprocess):
                key = (way.size, way.fit, way.crop_share, way.interpolation, way.window, way.scales)
                if not canvases:
                    canvases[key] = pictures
                if key not in canvases:
                    canvases[key] = [load_image(self.plan.table, image, way) for _, image, _ in loaded]
                pictures = canvases[key]
            if name == "":
                inputs, logits = plain
            else:
                inputs = batch_of(pictures, way, self.plan.memory_format)
                logits = forward(self.plan.classifier.model, inputs)
            self.logits[name].append(logits.double().cpu())
            if name == "":
                rows = [row for row, (place, _, _) in enumerate(loaded) if place in self._few]
                rows = rows or ([] if self.kept else [0])  # one at least, should all the chosen ones be unreadable
                self.kept += [inputs[rows].contiguous()] if rows else []
                self.kept_labels += [self.rows[loaded[row][0]].image.label for row in rows]


def write_records(folder: Path, passes: Passes) -> None:
    """Write records.parquet, some rows at a time: with many classes each is large."""
    rows, parts = map(tables.record_row, passes.outcomes()), list[Path]()
    (folder / "parts").mkdir(exist_ok=True)
    while some := list(islice(rows, _ROWS)):
        parts.append(tables.part(folder, "records", len(parts)))
        tables.write_rows(parts[-1], some, RECORDS)
    tables.merge(parts, folder / "records.parquet", RECORDS)
    shutil.rmtree(folder / "parts")

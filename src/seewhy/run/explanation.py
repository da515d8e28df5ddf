"""The result of `explain`: maps, overlays and predictions of a table of images, in memory or in a run folder."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray

from seewhy.data.decode import UnreadableError
from seewhy.data.reader import load_image
from seewhy.errors import DataError, OptionError, nearest
from seewhy.evidence.statistics import wilson
from seewhy.maps import fuse
from seewhy.records import MapStat, Outcome
from seewhy.render.color import heat, jet
from seewhy.render.overlay import encode
from seewhy.render.sheet import Tile, page
from seewhy.run.draw import draw_overlay, overlay_name
from seewhy.run.plan import Plan
from seewhy.store.arrays import read_chunks, read_map, read_maps

Maps = NDArray[np.float32]
SHEET_MOST = 100
LEAST = 10  # images with a result before anything is said about all of them


@dataclass(frozen=True)
class ExplainedImage:
    """One image of an explanation. `map_stats` has the numbers of each raw map, by layer."""

    owner: Explanation = field(repr=False)
    row: int
    outcome: Outcome

    @property
    def path(self) -> str:
        """Where the file lies, or the image's id where it is no file."""
        return self.outcome.image.path or self.outcome.image.id

    @property
    def label(self) -> str | None:
        """The class name by folder or table; None where unknown."""
        return self.outcome.image.label

    @property
    def prediction(self) -> str | None:
        """The class name with the largest logit; None where there is none."""
        return self.outcome.prediction

    @property
    def probability(self) -> float | None:
        """The predicted class's, 0 to 1."""
        return self.outcome.probability

    @property
    def error(self) -> str | None:
        """Why there is no result; None where there is one."""
        return self.outcome.error

    @property
    def maps(self) -> Maps | dict[str, Maps]:
        """The map (H, W) of the one layer or fused by the preset, else a dict by layer; raw, or in [0, 1) if fused."""
        return self.owner._maps_of(self.row)

    @property
    def map_stats(self) -> dict[str, MapStat]:
        """The numbers of each raw map, by layer."""
        return {layer: stats[self.row] for layer, stats in self.owner._stats.items() if self.row in stats}

    @property
    def overlay(self) -> PIL.Image.Image:
        """The overlay, RGB. Raises DataError with the reason for an image without a result."""
        return self.owner._overlay_of(self.row)

    def caption(self) -> tuple[str, ...]:
        """Lines: name; prediction with probability (and the label where wrong); the raw maximum of each layer."""
        outcome, name = self.outcome, PurePosixPath(self.outcome.image.id).name
        if outcome.error:
            return name, "no result", outcome.error
        wrong = f", but is {self.label}" if outcome.correct is False else ""
        several = len(self.map_stats) > 1
        peaks = [
            f"{f'{layer} ' if several else ''}max {stat.maximum:.2g}{f' ({stat.reason})' if stat.empty else ''}"
            for layer, stat in self.map_stats.items()
        ]
        return name, f"{outcome.prediction} {outcome.probability or 0:.2f}{wrong}", *peaks

    def _repr_html_(self) -> str:
        return f"<figure>{_picture(self)}<figcaption>{'<br>'.join(map(escape, self.caption()))}</figcaption></figure>"


class Explanation:
    """What `explain` gives: indexable by number or file name, with `maps`, `show()` and `summary()`."""

    def __init__(
        self,
        plan: Plan,
        outcomes: list[Outcome],
        stats: list[MapStat],
        maps: Mapping[str, Maps] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.folder = folder
        self.method = plan.method
        self.layers = tuple(plan.grids)
        self.score = plan.score.name
        self.classes = plan.classes
        self.preset = plan.preset
        self.outcomes = outcomes
        self._plan = plan
        self._held = maps
        rows = {outcome.image.id: row for row, outcome in enumerate(outcomes)}
        self._stats: dict[str, dict[int, MapStat]] = {layer: {} for layer in self.layers}
        for stat in stats:
            self._stats[stat.layer][rows[stat.id]] = stat

    def __len__(self) -> int:
        return len(self.outcomes)

    def __iter__(self) -> Iterator[ExplainedImage]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, which: int | str) -> ExplainedImage:
        row = self._row(which)
        return ExplainedImage(self, row, self.outcomes[row])

    @property
    def maps(self) -> Maps | dict[str, Maps]:
        """All maps (N, H, W) float32 for one layer or a fused preset, else a dict by layer; NaN where there is none.

        Raw and signed on the layer's grid; a fused preset gives [0, 1) on the canvas.
        """
        by_layer = {layer: self._layer_maps(layer) for layer in self.layers}
        if self.preset is not None:
            return self._fused(by_layer)
        return by_layer if len(by_layer) > 1 else next(iter(by_layer.values()))

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be decided or noticed, in sentences."""
        return (*self._plan.notes, *_noticed(self))

    def summary(self) -> dict[str, Any]:
        """Counts as plain values: images, unreadable, predictions, accuracy, empty maps by layer, notes."""
        judged = [outcome.correct for outcome in self.outcomes if outcome.correct is not None]
        return {
            "images": len(self),
            "without_result": sum(outcome.error is not None for outcome in self.outcomes),
            "reasons": dict(Counter(outcome.error for outcome in self.outcomes if outcome.error).most_common(5)),
            "predictions": dict(Counter(outcome.prediction for outcome in self.outcomes if outcome.prediction)),
            "labelled": len(judged),
            "accuracy": sum(judged) / len(judged) if judged else None,
            "method": self.method,
            "layers": list(self.layers),
            "score": self.score,
            "preset": self.preset,
            "empty_maps": {layer: sum(s.empty for s in stats.values()) for layer, stats in self._stats.items()},
            "notes": list(self.notes),
        }

    def show(self, most: int = SHEET_MOST) -> PIL.Image.Image:
        """A contact sheet of at most `most` images, evenly chosen: a picture that notebooks show inline."""
        rows = [
            round(step * (len(self) - 1) / max(1, min(most, len(self)) - 1)) for step in range(min(most, len(self)))
        ]
        tiles = [self._tile(self[row]) for row in rows]
        some = f"{len(rows)} of {len(self):,} images" if len(rows) < len(self) else f"{len(self):,} images"
        what = f"{self.method} of {', '.join(self.layers)} for {self.score}"
        title = f"{what}, as {self.preset} shows it" if self.preset else what
        panels = 1 if self.preset else len(self.layers)
        table, low = (jet(), "0") if self.preset else (heat(), "0")
        subtitle = f"{some}; every map by its own peak (max), red frame: wrong prediction"
        return page(title, subtitle, tiles, table, (low, "each map's own maximum"), panels=panels)

    def chunks(self, layer: str) -> Iterator[tuple[int, Maps]]:
        """The raw maps of a layer piece by piece: (first row, (n, H, W)), so that memory stays flat."""
        if self._held is not None:
            return iter([(0, self._held[layer])])
        return read_chunks(self._run_folder(), (self.method, layer, self.score))

    def _tile(self, one: ExplainedImage) -> Tile:
        picture = None if one.error else one.overlay
        return Tile(picture, one.caption(), one.outcome.correct is False)

    def _repr_html_(self) -> str:
        summary = self.summary()
        facts = f"{summary['images']:,} images, {self.method} of {', '.join(self.layers)} for {self.score}"
        if summary["accuracy"] is not None:
            facts += f"; accuracy {summary['accuracy']:.3f} on {summary['labelled']:,} labelled"
        if summary["without_result"]:
            facts += f"; {summary['without_result']} without a result"
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        shown = "".join(
            f"<td style='text-align:left;vertical-align:top'>{one._repr_html_()}</td>" for one in self._few(6)
        )
        return f"<p><b>Explanation</b>: {escape(facts)}</p><ul>{notes}</ul><table><tr>{shown}</tr></table>"

    def __repr__(self) -> str:
        where = f", in {self.folder}" if self.folder else ""
        return f"<Explanation: {len(self)} images, {self.method} of {', '.join(self.layers)} for {self.score}{where}>"

    def _few(self, count: int) -> list[ExplainedImage]:
        return [self[row] for row in range(min(count, len(self)))]

    def _row(self, which: int | str) -> int:
        if isinstance(which, (int, np.integer)):
            if not -len(self) <= which < len(self):
                raise IndexError(f"There is no image {which}: the explanation has {len(self)}, 0 to {len(self) - 1}.")
            return int(which) % len(self)
        ids = [outcome.image.id for outcome in self.outcomes]
        wanted = str(which)
        names = (ids, [PurePosixPath(one).name for one in ids], [PurePosixPath(one).stem for one in ids])
        for pool in names:
            if (count := pool.count(wanted)) == 1:
                return pool.index(wanted)
            if count > 1:
                full = [one for one, name in zip(ids, pool, strict=True) if name == wanted]
                raise OptionError(f"{count} images are called {wanted!r}.  Name one in full: {', '.join(full[:4])}")
        raise OptionError(
            f"There is no image {wanted!r}.  {nearest(wanted, [*ids, *names[1]])}".rstrip(), slug="no-such-image"
        )

    def _layer_maps(self, layer: str) -> Maps:
        if self._held is not None:
            return self._held[layer]
        return read_maps(self._run_folder(), (self.method, layer, self.score))

    def _raw_of(self, row: int) -> dict[str, Maps]:
        if self._held is not None:
            return {layer: self._held[layer][row] for layer in self.layers}
        return {layer: read_map(self._run_folder(), (self.method, layer, self.score), row) for layer in self.layers}

    def _maps_of(self, row: int) -> Maps | dict[str, Maps]:
        raw = self._raw_of(row)
        if self.preset is not None:
            fused: Maps = self._fused({layer: one[None] for layer, one in raw.items()})[0]
            return fused
        return raw if len(raw) > 1 else next(iter(raw.values()))

    def _fused(self, by_layer: Mapping[str, Maps]) -> Maps:
        return fuse([torch.from_numpy(maps) for maps in by_layer.values()], self._plan.canvas).numpy()

    def _overlay_of(self, row: int) -> PIL.Image.Image:
        outcome = self.outcomes[row]
        if outcome.error:
            raise DataError(f"{outcome.image.id} has no overlay: {outcome.error}.")
        if self.folder is not None:
            path = self.folder / "overlays" / self.method / overlay_name(outcome.image.id, self._plan.image_format)
            if path.exists():
                with PIL.Image.open(path) as picture:
                    return picture.convert("RGB")
        try:
            loaded = load_image(self._plan.table, self._plan.table.images[row], self._plan.classifier.preprocess)
        except UnreadableError as error:
            raise DataError(f"{outcome.image.id} has no overlay: {error}.") from error
        raw = {layer: torch.from_numpy(one) for layer, one in self._raw_of(row).items()}
        empty = {layer for layer, stats in self._stats.items() if stats[row].empty}
        return PIL.Image.fromarray(draw_overlay(loaded, raw, empty, self.preset))

    def _run_folder(self) -> Path:
        if self.folder is None:
            raise RuntimeError("an explanation holds its maps or has a folder")
        return self.folder


def _picture(one: ExplainedImage) -> str:
    if one.error:
        return ""
    data = base64.b64encode(encode(np.asarray(one.overlay), "jpg")).decode()
    name = escape(one.outcome.image.id, quote=True)
    return f'<img style="max-height:256px" alt="{name}" src="data:image/jpeg;base64,{data}">'


def _noticed(explanation: Explanation) -> list[str]:
    """What a reader must know before looking at the pictures."""
    found = []
    results = [outcome for outcome in explanation.outcomes if outcome.error is None]
    decided = {outcome.prediction for outcome in results}
    if len(results) >= LEAST and len(decided) == 1:
        only = next(iter(decided))
        found.append(f"Every one of the {len(results)} images is predicted as {only!r}.")
        if explanation.score in explanation.classes and explanation.score != only:
            found[-1] += f"  The maps explain {explanation.score!r}, which is never predicted here."
    for layer, stats in explanation._stats.items():
        empty = Counter(stat.reason for stat in stats.values() if stat.empty)
        if empty.total() > 0.05 * max(1, len(results)):
            why = ", ".join(f"{count} {reason}" for reason, count in empty.most_common())
            found.append(f"{empty.total()} of {len(results)} maps of {layer} are empty ({why}).")
    found += _at_chance(results, len(explanation.classes))
    return [*found, "Before reading the maps, try:  seewhy check (with the same arguments)"] if found else []


def _at_chance(results: Sequence[Outcome], n_classes: int) -> list[str]:
    """That the accuracy is not shown to be better than guessing, where it is not."""
    judged = [outcome for outcome in results if outcome.correct is not None]
    labels = Counter(outcome.image.label for outcome in judged)
    accuracy = wilson(sum(bool(outcome.correct) for outcome in judged), len(judged))
    chance = max(labels.values()) / len(judged) if len(labels) > 1 else 1 / n_classes
    if len(judged) < LEAST or accuracy.low > chance:
        return []
    return [f"Accuracy {accuracy} on {len(judged):,} labelled images, where guessing gives {chance:.3f}."]

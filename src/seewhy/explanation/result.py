"""The result of `explain`: maps, overlays and predictions of a table of images, in memory or in a run folder."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import PIL.Image
import torch

from seewhy.data.pictures.decode import UnreadableError
from seewhy.data.reader import load_image
from seewhy.errors import DataError, counted, predictions_of
from seewhy.estimates import wilson
from seewhy.explanation.image import ExplainedImage, by_method, names_of
from seewhy.explanation.notices import noticed
from seewhy.explanation.overlays import draw_overlay, fused_keys, overlay_name
from seewhy.explanation.selection import Selection, record_of, row_named, select, sliced
from seewhy.explanation.shard import Maps, ShardResult
from seewhy.maps import fuse, is_cut, is_smoothed
from seewhy.records import Image, MapKey, MapStat, Outcome, checked_folder
from seewhy.render import notebook
from seewhy.render.color import heat, jet
from seewhy.render.overlay import Pixels, side_by_side
from seewhy.render.sheet import Tile, page
from seewhy.run.folder import RunFolder
from seewhy.run.plan import Plan, Shard
from seewhy.store.arrays import read_chunks, read_map, read_maps
from seewhy.store.frames import frame_of

SHEET_MOST = 100
HYPOTHESES = (
    "Maps are hypotheses: nothing here has been tested. What the decisions depend on, seewhy.audit(classifier, folder) "
    "tests by exchanging it between images."
)


class Explanation:
    """What `explain` gives: indexable by number or file name, with `maps`, `show()` and `summary()`.

    `methods`, `layers` ("input" for maps on the input's own pixels) and `scores` are tuples of names; `method` and
    `score` are the same as one text. `folder` is the run folder; None where it is in memory alone.
    """

    def __init__(
        self,
        plan: Plan,
        outcomes: Sequence[Outcome],
        stats: Iterable[MapStat] | Mapping[MapKey, Mapping[int, MapStat]],
        maps: Mapping[MapKey, Maps] | None = None,
        folder: Path | None = None,
        writer: Callable[[Explanation, Path], None] | None = None,
    ) -> None:
        self.folder = folder
        self._home = None if folder is None else folder.absolute()  # also from another working folder
        self._from = _working_folder()
        self.plan = plan
        self.keys: Sequence[MapKey] = plan.keys
        self.methods, self.layers, self.scores = (tuple(dict.fromkeys(part)) for part in zip(*plan.keys, strict=True))
        self.method, self.score = ", ".join(self.methods), ", ".join(self.scores)
        self.classes = plan.classes
        self.preset = plan.preset
        self.outcomes = outcomes
        self._held = maps
        self._writer = writer
        self._stats = stats if isinstance(stats, Mapping) else _by_key(stats, self.keys, outcomes)

    def __len__(self) -> int:
        return len(self.outcomes)

    def __iter__(self) -> Iterator[ExplainedImage]:
        return (self[row] for row in range(len(self)))

    @overload
    def __getitem__(self, which: slice) -> Selection: ...

    @overload
    def __getitem__(self, which: int | str) -> ExplainedImage: ...

    def __getitem__(self, which: int | str | slice) -> ExplainedImage | Selection:
        if isinstance(which, slice):
            return sliced(self, range(len(self)), which)
        row = row_named(self.outcomes, which)
        return ExplainedImage(self, row, self.outcomes[row])

    @property
    def maps(self) -> Maps | dict[str, Maps]:
        """All maps (N, H, W) float32 where there is one of each image, else a dict; NaN where there is none.

        The dict's names are layers; with several methods or scores, those instead or before ("grad-cam/conv2"). Raw and
        signed on the layer's grid; a preset fuses the layers into [0, 1) on the canvas.
        """
        return self._named(self._shown({key: self._all_maps(key) for key in self.keys}))

    @property
    def notes(self) -> tuple[str, ...]:
        """What had to be decided or noticed, in sentences."""
        by_map = dict(zip(names_of(self.keys), self._stats.values(), strict=True))
        picked = self.plan.only is not None
        return (*self.plan.notes, *noticed(self.outcomes, self.classes, self.scores, by_map, picked=picked))

    def summary(self) -> dict[str, Any]:
        """Counts as plain values: images, without_result, predictions, accuracy, empty maps by layer, notes.

        Of images that were picked by their answers there is no accuracy, and `only` says of how many they are.
        """
        only = self.plan.only
        judged = Counter(outcome.correct for outcome in self.outcomes if outcome.correct is not None and only is None)
        return {
            "images": len(self),
            "without_result": sum(outcome.error is not None for outcome in self.outcomes),
            "reasons": dict(Counter(outcome.error for outcome in self.outcomes if outcome.error).most_common(5)),
            "predictions": dict(Counter(outcome.prediction for outcome in self.outcomes if outcome.prediction)),
            "labelled": judged.total(),
            "accuracy": judged[True] / judged.total() if judged else None,
            "method": self.method,
            "layers": list(self.layers),
            "score": self.score,
            "preset": self.preset,
            "empty_maps": {
                name: sum(stat.empty for stat in by_row.values())
                for name, by_row in zip(names_of(self.keys), self._stats.values(), strict=True)
            },
            "notes": list(self.notes),
            **({"only": vars(only)} if only else {}),
        }

    @property
    def records(self) -> list[dict[str, Any]]:
        """A dict for each image: id, path, label, split, prediction, probability, correct, error."""
        return [record_of(outcome) for outcome in self.outcomes]

    def to_pandas(self) -> Any:
        """`records` as a pandas DataFrame. Raises MissingExtraError without pandas."""
        return frame_of(self.records)

    def where(
        self,
        *,
        wrong: bool | None = None,
        label: str | int | None = None,
        predicted: str | int | None = None,
        split: str | None = None,
    ) -> Selection:
        """The images that fit everything that is given: `where(wrong=True, label="cat").show()`.

        Classes by name or index. What comes back has a length, can be gone through, and has `show()` and `records`.
        """
        return select(self, wrong, label, predicted, split)

    def show(self, most: int = SHEET_MOST) -> PIL.Image.Image:
        """A contact sheet of at most `most` images, evenly chosen: a picture that notebooks show inline."""
        return self.sheet_of(range(len(self)), most)

    def sheet_of(self, rows: Sequence[int], most: int = SHEET_MOST) -> PIL.Image.Image:
        """A contact sheet of at most `most` of some rows, evenly chosen."""
        few = min(most, len(rows))
        shown = [rows[round(step * (len(rows) - 1) / max(1, few - 1))] for step in range(few)]
        tiles = [self._tile(self[row]) for row in shown]
        some = f"{few} of " if few < len(self) else ""
        some += counted(len(self), "image")
        what = f"{self.method} of {', '.join(self.layers)} for {self.score}"
        title = f"{what}, as {self.preset} shows it" if self.preset else what
        panels = self._panels()
        order = f"; left to right: {', '.join(panels)}" if len(panels) > 1 and self.preset else ""
        smooth = "; fine maps smoothed" if any(map(self.is_smoothed, self.keys)) else ""
        subtitle = f"{some}; every map by its own values (max), red frame: wrong prediction{smooth}{order}"
        table = jet() if self.preset else heat()
        cut = self.preset is None and any(is_cut(self.plan.grid(key)) for key in self.keys)
        full = "each map's strongest 4 %" if cut else "each map's own maximum"
        return page(title, subtitle, tiles, table, ("0", full), panels=len(panels))

    def save(self, folder: str | Path) -> Path:
        """Write the run folder that `explain(out=folder)` makes, or copy it where there is one; gives it back.

        The folder is empty, does not exist, or holds this very run. Raises StoreError where it holds something else.
        """
        folder = checked_folder(folder, "The folder")
        if self._home is not None:
            RunFolder(self._home).copy(folder)
        elif self._writer is not None:
            self._writer(self, folder)
        self.folder, self._home = folder, folder.absolute()
        return folder

    def shard(self, shard: Shard) -> ShardResult:
        """What one shard of the plan gave, without its overlays."""
        rows = range(shard.start, shard.stop)
        return ShardResult(
            shard,
            outcomes=list(self.outcomes[shard.start : shard.stop]),
            stats=[stats[row] for row in rows for stats in self._stats.values() if row in stats],
            maps={key: self._all_maps(key)[shard.start : shard.stop] for key in self.keys},
        )

    def chunks(self, key: MapKey) -> Iterator[tuple[int, Maps]]:
        """The raw maps of a method, layer and score piece by piece: (first row, (n, H, W)): memory stays flat."""
        if self._held is not None:
            return iter([(0, self._held[key])])
        return read_chunks(self._run_folder(), key)

    def _panels(self) -> list[str]:
        """What each picture of an overlay shows, left to right."""
        if self.preset is None:
            return names_of(by_method(self.keys))
        return names_of([MapKey(method, "", score) for method, score in fused_keys(by_method(self.keys))])

    def is_smoothed(self, key: MapKey) -> bool:
        """Whether overlays show a map smoothed."""
        return self.preset is None and is_smoothed(self.plan.grid(key))

    def _tile(self, image: ExplainedImage) -> Tile:
        wrong, panels = image.outcome.correct is False, self._panels()
        if image.error or self.preset is not None or len(panels) < 2:
            return Tile(None if image.error else image.overlay, image.caption(), wrong)
        peaks = image.peaks()
        columns = tuple((name, *textwrap.wrap(peaks[name], 28)) for name in panels if name in peaks)
        return Tile(image.overlay, image.head(), wrong, columns)

    def _repr_html_(self) -> str:
        return notebook.page(
            notebook.heading("Explanation", self._facts()),
            notebook.bullets(self.notes),
            notebook.side_by_side(image._repr_html_() for image in self._few(6)),
            notebook.sentence(HYPOTHESES),
        )

    def __repr__(self) -> str:
        where = f"; in {self.folder}" if self.folder else ""
        what = f"{self.method} of {', '.join(self.layers)} for {self.score}"
        return f"<Explanation of {counted(len(self), 'image')}; {what}{where}>"

    def _facts(self) -> list[str]:
        """What was explained, the predictions by class, and the accuracy with its interval."""
        summary = self.summary()
        facts = [
            str(self.plan.only or counted(len(self), "image")),
            f"{self.method} of {', '.join(self.layers)} for {self.score}",
        ]
        facts += [predictions_of(summary["predictions"])] if summary["predictions"] else []
        if summary["labelled"]:
            accuracy = wilson(sum(bool(outcome.correct) for outcome in self.outcomes), summary["labelled"])
            facts.append(f"accuracy {accuracy} on {summary['labelled']:,} labelled")
        return facts + ([f"{summary['without_result']:,} without a result"] if summary["without_result"] else [])

    def _few(self, count: int) -> list[ExplainedImage]:
        return [self[row] for row in range(min(count, len(self)))]

    def _all_maps(self, key: MapKey) -> Maps:
        return self._held[key] if self._held is not None else read_maps(self._run_folder(), key)

    def _raw_of(self, row: int) -> dict[MapKey, Maps]:
        """Every raw map (1, H, W) of one image."""
        if self._held is not None:
            return {key: self._held[key][row : row + 1] for key in self.keys}
        return {key: read_map(self._run_folder(), key, row)[None] for key in self.keys}

    def _shown(self, raw: Mapping[MapKey, Maps]) -> dict[MapKey, Maps]:
        """The maps (N, H, W) that a reader gets: raw, or fused over the layers by the preset."""
        if self.preset is None:
            return dict(raw)
        fused = {}
        for method, score in fused_keys(raw):
            layer_maps = [
                torch.from_numpy(maps) for key, maps in raw.items() if (key.method, key.score) == (method, score)
            ]
            fused[MapKey(method, "", score)] = fuse(layer_maps, self.plan.canvas).numpy()
        return fused

    def maps_of(self, row: int) -> Maps | dict[str, Maps]:
        """The one map (H, W) of an image, or a dict of several; raw, or in [0, 1) if fused."""
        return self._named({key: maps[0] for key, maps in self._shown(self._raw_of(row)).items()})

    def stats_of(self, row: int) -> dict[str, MapStat]:
        """The numbers of an image's raw maps, by the names that tell them apart; {} where it has none."""
        stats = {name: by_row.get(row) for name, by_row in zip(names_of(self.keys), self._stats.values(), strict=True)}
        return {name: stat for name, stat in stats.items() if stat is not None}

    def _named(self, maps: Mapping[MapKey, Maps]) -> Maps | dict[str, Maps]:
        return (
            dict(zip(names_of(list(maps)), maps.values(), strict=True)) if len(maps) > 1 else next(iter(maps.values()))
        )

    def overlay_of(self, row: int) -> PIL.Image.Image:
        """An image's overlay, from its file where there is one. Raises DataError for an image without a result."""
        outcome = self.outcomes[row]
        if outcome.error:
            raise DataError(f"{outcome.image.id} has no overlay: {outcome.error}.")
        if self._home is not None:
            name = overlay_name(outcome.image.id, self.plan.image_format)
            paths = [self._home / "overlays" / method / name for method in self.methods]
            if all(path.exists() for path in paths):
                return PIL.Image.fromarray(side_by_side([_pixels(path) for path in paths]))
        try:
            image = self._there(self.plan.table.images[row])
            loaded = load_image(self.plan.table, image, self.plan.classifier.preprocess)
        except UnreadableError as error:
            raise DataError(f"{outcome.image.id} has no overlay: {error}.") from error
        raw = self._raw_of(row)
        empty = {key for key, stats in self._stats.items() if stats[row].empty}
        ordered = {key: torch.from_numpy(raw[key][0]) for key in by_method(self.keys)}
        return PIL.Image.fromarray(draw_overlay(loaded, ordered, empty, self.plan))

    def plan_from_here(self) -> Plan:
        """The plan with its files as they are found from the working folder of now, which may be another."""
        if self._from is None or self._from == _working_folder():
            return self.plan
        table = self.plan.table
        return replace(self.plan, table=replace(table, images=tuple(map(self._there, table.images))))

    def _there(self, image: Image) -> Image:
        """The image where it lay in the working folder of then; of what is no file there as it is."""
        path = None if image.path is None or self._from is None else self._from / image.path
        return image if path is None or not path.is_file() else replace(image, path=str(path))

    def _run_folder(self) -> Path:
        if self._home is None:
            raise RuntimeError("an explanation holds its maps or has a folder")
        return self._home


def _working_folder() -> Path | None:
    """The working folder; None where it was deleted."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None


def _by_key(
    stats: Iterable[MapStat], keys: Sequence[MapKey], outcomes: Sequence[Outcome]
) -> dict[MapKey, dict[int, MapStat]]:
    """The numbers of all maps by what was explained, and by row."""
    rows = {outcome.image.id: row for row, outcome in enumerate(outcomes)}
    by_key: dict[MapKey, dict[int, MapStat]] = {key: {} for key in keys}
    for stat in stats:
        by_key[MapKey(stat.method, stat.layer, stat.score)][rows[stat.id]] = stat
    return by_key


def _pixels(path: Path) -> Pixels:
    with PIL.Image.open(path, formats=("JPEG", "PNG")) as picture:
        return np.asarray(picture.convert("RGB"))

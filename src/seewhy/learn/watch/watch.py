"""`Watch`: the effects of named factors, and the maps of a few images, epoch by epoch while a network is trained."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from seewhy.cam.model import untouched, unwrap
from seewhy.data.networks.classifier import Classifier, load
from seewhy.data.reader import load_image
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import OptionError, counted
from seewhy.evidence.results.class_table import STEPS
from seewhy.explanation.overlays import draw_overlay
from seewhy.learn.measure import FactorWord, Measure, measure_of
from seewhy.learn.train.history import place
from seewhy.learn.watch.probes import Maps, ProbeImage, probe
from seewhy.learn.watch.watched import (
    MAPS,
    TABLE,
    WatchRow,
    courses_of,
    draw_courses,
    largest_courses,
    row_of,
    rows_in,
    table_of,
)
from seewhy.records import Image, checked_seed
from seewhy.render import notebook
from seewhy.render.color import heat
from seewhy.render.sheet import SheetPicture, page, picture_tile


class Watch:
    """Measures what named factors do to a network's answers, and the maps of a few images, in each epoch.

    `rows` hold an effect with its interval for each epoch, factor and class, `maps` the raw maps (N, h, w) of the same
    few images by epoch, whose ids are `probes`; `probed` is what the network says of them after the last epoch that was
    measured, with their overlays. The network is left exactly as found: its modes, gradients, hooks and
    the random state are put back. In a notebook it shows itself.

    Args:
        data: what names images with labels; those of valid are measured, where there are any. None: of a training
            (`seewhy.train(…, watch=…)`) the images of its own valid
        factors: words by commas or in a list: "background=masks/background", "border", "tint", a Property
        every: measure in every so manieth epoch
        images, donors: how many are edited for each factor, and how many give content, of all classes together
        probes: how many images get maps
        classes, **options: as in load, for a bare network: its class names, size, mean, std, …
        seed: of which images meet which

    Example:
        >>> watch = seewhy.Watch("faces", factors=["tint"], images=40, donors=40)
        >>> rows = watch(seewhy.load("net.py:Net", weights="checkpoints", model_args={"size": 32}), epoch=0)
        >>> print(rows[0].factor, rows[0].effect, rows[0].low, rows[0].high)
    """

    def __init__(
        self,
        data: Any = None,
        factors: str | Sequence[FactorWord] = (),
        *,
        every: int = 1,
        images: int = 100,
        donors: int = 100,
        probes: int = 8,
        classes: Sequence[str] | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        for name, value in {"every": every, "images": images, "donors": donors}.items():
            if value < 1:
                raise OptionError(f"{name} is {value}, but must be at least 1.")
        self.factors, self.every, self.n_probes = factors, every, max(0, probes)
        self.rows: tuple[WatchRow, ...] = ()
        self.maps: dict[int, Maps] = {}
        self.probes: tuple[str, ...] = ()
        self._of = ""  # what tells the measured images from others
        self.probed: tuple[ProbeImage, ...] = ()
        self._data, self._effort, self._seed = data, {"recipients": images, "donors": donors}, checked_seed(seed)
        self._loading = {"classes": classes, **options}
        self._among: ImageTable | None = None
        self._next = 0
        self._measured: tuple[nn.Module, Measure] | None = None

    def begin(self, images: Any, among: ImageTable | None = None) -> None:
        """Watch these images, some of a larger table, where none were named: a training gives its own valid."""
        if self._data is None:
            self._data, self._among = images, among

    def prepare(self, model: Classifier | nn.Module) -> None:
        """Raise what a call would raise for the factors and the images, before anything is trained."""
        network = unwrap(model.model if isinstance(model, Classifier) else model)[0]
        with untouched(network):
            self._measure_of(model, network)
        self._measured = None  # what was learned of a network is of its weights of that moment

    def __call__(self, model: Classifier | nn.Module, epoch: int | None = None) -> tuple[WatchRow, ...]:
        """The rows of this epoch (None: the next one); () where it is none of `every`.

        Raises OptionError for a factor that is unknown or cannot be exchanged, DataError for images without labels.
        """
        epoch = self._next if epoch is None else epoch
        self._next = epoch + 1
        if epoch % self.every:
            return ()
        network = unwrap(model.model if isinstance(model, Classifier) else model)[0]
        with untouched(network):
            measure = self._measure_of(model, network)
            measured = tuple(row_of(epoch, effect) for effect in measure.effects())
            probed, maps = probe(measure.design.plan, self._probes_of(measure), epoch)
        self.rows = (*(row for row in self.rows if row.epoch != epoch), *measured)
        self.probed = probed
        if maps is not None:
            self.maps[epoch] = maps
        return measured

    @property
    def words(self) -> list[str]:
        """One sentence for each factor: when its effect is first shown, where it is largest, what it is at last."""
        return [str(course) for course in largest_courses(self.rows)]

    @property
    def records(self) -> list[dict[str, Any]]:
        """A dict for each epoch, factor and class."""
        return [vars(row).copy() for row in self.rows]

    def show(self) -> SheetPicture:
        """A sheet of the maps: an image a row, an epoch a column."""
        if self._measured is None or not self.maps:
            raise OptionError("Nothing was watched yet, or no maps could be made.  Call it first:  watch(model)")
        measure = self._measured[1]
        plan, images = measure.design.plan, self._probes_of(measure)
        tiles = []
        for place_of, image in enumerate(images):
            loaded = load_image(plan.table, image, plan.classifier.preprocess)
            for epoch in sorted(self.maps):
                raw = torch.from_numpy(self.maps[epoch][place_of])
                empty = set() if bool(torch.isfinite(raw).all()) else {plan.keys[0]}
                picture = draw_overlay(loaded, {plan.keys[0]: raw}, empty, plan)
                tiles.append(picture_tile(picture, (f"epoch {epoch}", image.id)))
        title = f"Maps by epoch: {plan.methods[0]} for {plan.scores[0].name}"
        said = "each map by its own peak; a picture of where evidence lies, no proof of what decides"
        return page(title, said, tiles, heat(), ("nothing", "the map's peak"), columns=len(self.maps))

    def save(self, folder: str | Path) -> Path:
        """Write watch.csv (the rows) and watch_maps.npz (the maps by epoch) to a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        place(folder / TABLE, lambda file: file.write(table_of(self.rows)))
        maps = {f"epoch_{epoch}": maps for epoch, maps in sorted(self.maps.items())}
        ids, of = np.array(self.probes, dtype=np.str_), np.array(self._of, dtype=np.str_)
        place(folder / MAPS, lambda file: np.savez_compressed(file, allow_pickle=False, ids=ids, of=of, **maps))
        return folder

    def resume(self, folder: Path, before: int) -> None:
        """Take up the rows and maps of a folder that `save` wrote, of the epochs below `before`; nothing where none.

        Those of other images are left out as soon as this watch's own are known.
        """
        path = folder / TABLE
        if not path.is_file():
            return
        rows = rows_in(path.read_text(encoding="utf-8"))
        self.rows = tuple(row for row in rows if row.epoch < before)
        self._next = before
        if (folder / MAPS).is_file():
            with np.load(io.BytesIO((folder / MAPS).read_bytes()), allow_pickle=False) as held:
                self.probes = tuple(held["ids"].tolist())
                self._of = str(held["of"]) if "of" in held.files else ""
                names = [name for name in held.files if name.startswith("epoch_")]
                maps = {int(name.removeprefix("epoch_")): held[name] for name in names}
            self.maps = {epoch: values for epoch, values in maps.items() if epoch < before}

    def draw(self, axes: Any) -> None:
        """Draw the effects by epoch on matplotlib axes."""
        draw_courses(axes, self.rows)

    def __repr__(self) -> str:
        epochs = len({row.epoch for row in self.rows})
        return "\n".join([f"<Watch of {counted(epochs, 'epoch')}>", *(f"  {text}" for text in self.words)])

    def _repr_html_(self) -> str:
        epochs = sorted({row.epoch for row in self.rows})
        body = [(course.label, [course.cell(epoch) for epoch in epochs]) for course in courses_of(self.rows)]
        facts = [counted(len(epochs), "epoch"), "points of probability with 95 % interval; coloured where shown"]
        table = notebook.grid([f"epoch {epoch}" for epoch in epochs], body, len(STEPS)) if body else ""
        return notebook.page(notebook.heading("Watch", facts), table, notebook.bullets(self.words))

    def _measure_of(self, model: Classifier | nn.Module, network: nn.Module) -> Measure:
        """What is measured, the same images for the same data; another network is read anew."""
        if self._measured is not None and self._measured[0] is network:
            return self._measured[1]
        if self._data is None:
            raise OptionError('No images were named.  Write:  seewhy.Watch("data", factors=["border"])')
        classifier = model if isinstance(model, Classifier) else load(model, **self._loading)
        measure = measure_of(classifier, self._data, self.factors, seed=self._seed, among=self._among, **self._effort)
        ids, of = tuple(image.id for image in self._probes_of(measure)), _images_of(measure)
        if ids != self.probes:  # those of another folder, or of none
            self.maps, self.probes = {}, ids
        if self._of not in ("", of):
            self.rows = ()
        self._of = of
        self._measured = network, measure
        return measure

    def _probes_of(self, measure: Measure) -> list[Image]:
        sample = measure.design.audited
        return [sample.images[place_of] for place_of in sample.spread(self.n_probes)]


def _images_of(measure: Measure) -> str:
    """What tells the images of one measure, and who meets whom, from another's."""
    sample = measure.design.audited
    told = [[image.id, image.label] for image in sample.images], sample.recipients.tolist(), sample.partners.tolist()
    return hashlib.blake2b(repr(told).encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()

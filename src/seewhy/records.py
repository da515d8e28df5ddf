"""Frozen records that cross the borders between the packages."""

from __future__ import annotations

import math
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from seewhy.errors import OptionError, listed, nearest

Progress = Callable[[int, int], None]  # called with (done, total) as the work goes on
Fit = Literal["stretch", "crop", "letterbox"]
FITS: tuple[Fit, ...] = ("stretch", "crop", "letterbox")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
CHANNELS = ("rgb", "bgr", "grey")
MOST_PIXELS = 8192 * 8192  # of a network's input
RANGES = ("0-1", "0-255", "0-1023", "0-4095", "0-65535")
ROUNDINGS = ("even", "floor")


def one_form(name: str) -> str:
    """The name in Unicode's composed form, in which names are compared: folders from macOS have the other one."""
    return unicodedata.normalize("NFC", name)


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with a number behind those that stand twice: "crane", "crane 2"."""
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return tuple(numbered)


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise OptionError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise OptionError(
            f"{option} is {value!r}, but must be one of: {listed(allowed)}. {nearest(str(value), allowed)}".rstrip()
        )


def checked_seed(seed: int) -> int:
    """The seed. Raises OptionError unless numpy, scikit-learn and torch all take it."""
    if not isinstance(seed, Integral) or not 0 <= seed < 2**32:
        raise OptionError(f"--seed is {seed}, but must be 0 to {2**32 - 1}.")
    return seed


def checked_count(value: Any, option: str, least: int = 1) -> int:
    """A whole number of at least `least`. Raises OptionError for anything else, a truth value among it."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise OptionError(f"{option} is {value!r}, but must be a whole number.")
    if value < least:
        raise OptionError(f"{option} is {value}, but must be at least {least}.")
    return int(value)


def checked_folder(value: Any, option: str = "--out") -> Path:
    """The path of a folder. Raises OptionError for what is no path."""
    if not isinstance(value, (str, os.PathLike)):
        raise OptionError(f"{option} is {value!r}, but must be the path of a folder, such as runs/first.")
    return Path(value)


Task = Literal["classification", "multi-label", "regression", "embedding", "segmentation", "detection"]
TASKS: tuple[Task, ...] = get_args(Task)
FORMS = ("logits", "probabilities")
INPUT = "input"  # where a layer would be named, for a map on the input's own pixels


def find_task(name: str) -> Task:
    """The task called `name`. Raises OptionError with the nearest names."""
    for task in TASKS:
        if task == name:
            return task
    close = nearest(name, TASKS)
    raise OptionError(f"There is no task {name!r}.  {close}".rstrip() + f"\n  Tasks: {listed(TASKS)}", slug="task")


@dataclass(frozen=True)
class OutputAsked:
    """What the user said of a network's output.

    `output` is which of several tensors is explained (1, logits, heads.age); `form` whether it is "logits" or
    "probabilities". None is told from the output. Raises OptionError for another form.
    """

    output: str | None = None
    form: str | None = None

    def __post_init__(self) -> None:
        if self.form is not None:
            one_of("output_form", self.form, FORMS)


TOLD = OutputAsked()  # nothing was said: all is told from the output


class MapKey(NamedTuple):
    """Which map of an image: the method, the layer ("input" for one on the input's own pixels) and the score."""

    method: str
    layer: str
    score: str


@dataclass(frozen=True, slots=True)
class Image:
    """One row of the image table.

    `id` is the path relative to the table's root with forward slashes (or a number in order, for images that are
    not files); `label` is a class name; `error` says why the image cannot be read. `cluster` names what it shares with
    others (a patient, a video), `cells` are what its row of a table says, by the table's `columns`.
    """

    id: str
    path: str | None = None
    label: str | None = None
    split: str | None = None
    error: str | None = None
    cluster: str | None = None
    cells: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preprocess:
    """How a photograph becomes the network's input: first the canvas, then mean and std.

    The canvas is float RGB in [0, 1] of `size` (height, width); None keeps the photograph's own shape, with `shorter`
    pixels on its shorter side, or as it is. `fit` says how the photograph fills it: "stretch" ignores the aspect ratio,
    "crop" keeps the middle, "letterbox" keeps everything and pads with grey. With a `crop_share` the photograph is
    resized to size / `crop_share`, "crop" by its shorter side, and the middle is cut out; `rounding` says where that
    lies between two pixels: "even" as torchvision and timm cut, "floor" as transformers does. The network's input is
    (canvas[channels] * white - mean) / std, with white the end of `range` and mean and std in those units.

    `window` are the numbers that become black and white in files of more than 8 bits a channel, and numbers beyond it
    are clipped. Without it `scales` say so for each kind of numbers, as ("unsigned", 0, 4095); they are found from the
    images when a run is planned, one for all of a data set. So are numbers that stand for no data, which are no part of
    a scale, and beyond it: `no_data`.
    """

    size: tuple[int, int] | None = None
    fit: Fit = "stretch"
    crop_share: float = 1.0
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    range: str = "0-1"
    channels: str = "rgb"
    window: tuple[float, float] | None = None
    scales: tuple[tuple[str, float, float], ...] = ()
    shorter: int | None = None
    rounding: str = "even"
    no_data: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        one_of("fit", self.fit, FITS)
        one_of("interpolation", self.interpolation, INTERPOLATIONS)
        one_of("range", self.range, RANGES)
        if self.window is not None and not -math.inf < self.window[0] < self.window[1] < math.inf:
            raise OptionError(f"window is {self.window}, but must be two numbers, the smaller first: -1000,400.")
        one_of("channels", self.channels, CHANNELS)
        one_of("rounding", self.rounding, ROUNDINGS)
        depth = 1 if self.channels == "grey" else 3
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, depth):
                raise OptionError(
                    f"{name} has {len(values)} values, but the input has {depth} channels; give 1 or {depth}."
                )
        if not all(value > 0 for value in self.std):
            raise OptionError(f"std is {self.std}, but every value must be above 0.")
        self._refuse_other_units()
        if self.size is not None and min(self.size) < 1:
            raise OptionError(f"size is {self.size}, but must be at least 1 x 1.")
        if self.size is not None and self.size[0] * self.size[1] > MOST_PIXELS:
            gigabytes = self.size[0] * self.size[1] * 12 / 1e9
            raise OptionError(
                f"size is {self.size[1]} x {self.size[0]}: one image alone would take {gigabytes:,.0f} GB as the input."
                f"  At most 8,192 x 8,192, {MOST_PIXELS:,} pixels, are taken."
            )
        if self.shorter is not None and self.shorter < 1:
            raise OptionError(f"shorter is {self.shorter}, but must be at least 1.")
        if not 0 < self.crop_share <= 1:
            raise OptionError(f"crop_share is {self.crop_share}, but must be above 0 and at most 1.")

    def _refuse_other_units(self) -> None:
        """Raise OptionError where mean and std are plainly of another range than the input's."""
        if max(self.mean) > self.white:
            fitting = next((span for span in RANGES if float(span.removeprefix("0-")) >= max(self.mean)), RANGES[-1])
            raise OptionError(
                f"mean is {self.mean}, which is above white in the range {self.range}: every input would be below 0.\n"
                f"  If mean and std are of numbers in {fitting}:  --range {fitting}",
                slug="other-units",
            )
        if max(self.std) > 10 * self.white:
            raise OptionError(
                f"std is {self.std}, far above white in the range {self.range}: every input would be nearly the same.\n"
                f"  Give mean and std in the units of the range, or the range that they are of, as  --range 0-255",
                slug="other-units",
            )
        if self.white > 1 and 0 < max(self.mean) <= 1 and max(self.std) < 1:
            raise OptionError(
                f"mean is {self.mean} and std {self.std}, as for numbers in 0-1, where the range is {self.range}.\n"
                f"  Leave the range out, or give both times {self.white:g}.",
                slug="other-units",
            )

    @property
    def white(self) -> float:
        """What the network gets for white, before mean and std."""
        return float(self.range.removeprefix("0-"))

    def describe(self) -> str:
        """One line of words: "256 x 256 stretch, RGB, 0..1"."""
        own = f"{self.shorter} on the shorter side" if self.shorter else "own size"
        size = f"{self.size[1]} x {self.size[0]} {self.fit}" if self.size else own
        scaling = "" if self.mean == (0.0,) and self.std == (1.0,) else f", mean {self.mean}, std {self.std}"
        ends = [self.window] if self.window else [(low, high) for _, low, high in self.scales]
        window = ", window " + " or ".join(f"{low:g}..{high:g}" for low, high in ends) if ends else ""
        without = " without " + " and ".join(f"{number:g}" for number in self.no_data) if self.no_data else ""
        return f"{size}, {self.channels.upper()}, {self.range.replace('-', '..')}{scaling}{window}{without}"

    def stored(self) -> dict[str, Any]:
        """The fields as a run folder holds them: without later ones that say nothing, so that old folders are known."""
        silent = {"shorter": None, "rounding": "even", "window": None, "scales": (), "no_data": ()}
        return {name: value for name, value in vars(self).items() if name not in silent or value != silent[name]}


def sized(resize: int | tuple[int, int] | None, crop: tuple[int, int] | None) -> dict[str, Any]:
    """The fields of Preprocess for a resize, by the shorter side or to (height, width), and a crop of the middle.

    Raises OptionError where they are no such thing.
    """
    fields: dict[str, Any] = {"size": None, "shorter": None, "fit": "stretch", "crop_share": 1.0}
    if crop is None:
        return fields | ({"shorter": resize} if isinstance(resize, int) else {"size": resize})
    height, width = crop
    if resize is None:
        raise OptionError(
            f"crop is {height} x {width}, but to which size the photograph is brought first is not said.\n"
            "  Give it, like  --resize 256 --crop 224,  or the whole photograph's:  --size 224"
        )
    sides = (resize, resize) if isinstance(resize, int) else resize
    if height > sides[0] or width > sides[1]:
        raise OptionError(f"crop is {height} x {width}, which is more than the {sides[0]} x {sides[1]} of resize.")
    if height * sides[1] != width * sides[0]:
        raise OptionError(
            f"crop is {height} x {width}, whose sides are not the same share of those of resize, {sides[0]} x "
            f"{sides[1]}.\n  Give a function that does it:  --preprocess net.py:fn"
        )
    share = {"size": crop, "crop_share": height / sides[0]}
    return fields | share | {"fit": "crop" if isinstance(resize, int) else "stretch"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the classifier says of one image, with what was explained: one row of records.parquet.

    `probability` is of the predicted class; `logits` the raw outputs; `width` and `height` those of the photograph,
    turned upright, in pixels. All None where the image could not be read or the network gave NaN (see `error`).
    """

    image: Image
    width: int | None = None
    height: int | None = None
    digest: str | None = None
    prediction: str | None = None
    probability: float | None = None
    correct: bool | None = None
    logits: tuple[float, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class MapStat:
    """The numbers of one map (image x layer x method x score), in the map's own units.

    `score_value` is the explained number, NaN where there is none; `empty` says that the map has no positive peak worth
    drawing and `reason` why ("all zero", "no positive part", "peak is negligible", "not finite", and of the target
    label "no label" or "several labels").
    """

    id: str
    method: str
    layer: str
    score: str
    score_value: float
    minimum: float
    maximum: float
    total: float
    positive_total: float
    empty: bool
    reason: str | None = None

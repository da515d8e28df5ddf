"""Frozen records that cross the borders between the packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from seewhy.errors import OptionError, listed, nearest

Progress = Callable[[int, int], None]  # called with (done, total) as the work goes on
Fit = Literal["stretch", "crop", "letterbox"]
FITS: tuple[Fit, ...] = ("stretch", "crop", "letterbox")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos")
CHANNELS = ("rgb", "bgr", "grey")
RANGES = ("0-1", "0-255")


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise OptionError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise OptionError(
            f"{option} is {value!r}, but must be one of: {listed(allowed)}. {nearest(value, allowed)}".rstrip()
        )


Task = Literal["classification", "multi-label", "regression", "embedding", "segmentation", "detection"]
TASKS: tuple[Task, ...] = get_args(Task)
INPUT = "input"  # where a layer would be named, for a map on the input's own pixels


def find_task(name: str) -> Task:
    """The task called `name`. Raises OptionError with the nearest names."""
    for task in TASKS:
        if task == name:
            return task
    close = nearest(name, TASKS)
    raise OptionError(f"There is no task {name!r}.  {close}".rstrip() + f"\n  Tasks: {listed(TASKS)}", slug="task")


class MapKey(NamedTuple):
    """Which map of an image: the method, the layer ("input" for one on the input's own pixels) and the score."""

    method: str
    layer: str
    score: str


@dataclass(frozen=True, slots=True)
class Image:
    """One row of the image table.

    `id` is the path relative to the table's root with forward slashes (or a number in order, for images that are
    not files); `label` is a class name; `error` says why the image cannot be read.
    """

    id: str
    path: str | None = None
    label: str | None = None
    split: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Preprocess:
    """How a photograph becomes the network's input: first the canvas, then mean and std.

    The canvas is float RGB in [0, 1] of `size` (height, width); None keeps the photograph's own size. `fit` says how
    the photograph fills it: "stretch" ignores the aspect ratio, "crop" keeps the middle after the shorter side was
    resized to size / `crop_share`, "letterbox" keeps everything and pads with grey. The network's input is
    (canvas[channels] * 255 if range is "0-255" - mean) / std, with mean and std in those units.
    """

    size: tuple[int, int] | None = None
    fit: Fit = "stretch"
    crop_share: float = 1.0
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    range: str = "0-1"
    channels: str = "rgb"

    def __post_init__(self) -> None:
        one_of("fit", self.fit, FITS)
        one_of("interpolation", self.interpolation, INTERPOLATIONS)
        one_of("range", self.range, RANGES)
        one_of("channels", self.channels, CHANNELS)
        depth = 1 if self.channels == "grey" else 3
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, depth):
                raise OptionError(
                    f"{name} has {len(values)} values, but the input has {depth} channels; give 1 or {depth}."
                )
        if not all(value > 0 for value in self.std):
            raise OptionError(f"std is {self.std}, but every value must be above 0.")
        if self.size is not None and min(self.size) < 1:
            raise OptionError(f"size is {self.size}, but must be at least 1 x 1.")
        if not 0 < self.crop_share <= 1:
            raise OptionError(f"crop_share is {self.crop_share}, but must be above 0 and at most 1.")

    def describe(self) -> str:
        """One line of words: "256 x 256 stretch, RGB, 0..1"."""
        size = f"{self.size[1]} x {self.size[0]} {self.fit}" if self.size else "own size"
        scaling = "" if self.mean == (0.0,) and self.std == (1.0,) else f", mean {self.mean}, std {self.std}"
        return f"{size}, {self.channels.upper()}, {self.range.replace('-', '..')}{scaling}"


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

    `score_value` is the explained number; `empty` says that the map has no positive peak worth drawing and
    `reason` why ("all zero", "no positive part", "peak is negligible", "not finite").
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

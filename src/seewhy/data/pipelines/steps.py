"""The steps of a pipeline of torchvision, timm or albumentations as the fields of a canvas, by their names alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from seewhy.errors import OptionError, listed
from seewhy.records import Preprocess, sized

_RANDOM = ("Random", "Rand", "Jitter", "Augment", "AugMix", "MixUp", "CutMix", "Elastic", "Dropout", "Cutout")
_PIL = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_OPENCV = {0: "nearest", 1: "bilinear", 2: "bicubic", 4: "lanczos"}


class UnreadableStepError(Exception):
    """Occurs where a pipeline has no canvas form; its text says why."""


def steps_of(pipeline: Any) -> list[Any] | None:
    """The single steps of a pipeline in order; None for what is no pipeline, like a function."""
    inner = pipeline if isinstance(pipeline, nn.Sequential) else getattr(pipeline, "transforms", None)
    if isinstance(inner, (list, tuple, nn.ModuleList, nn.Sequential)) and callable(pipeline):
        if type(pipeline).__name__ not in ("Compose", "Sequential"):
            return [pipeline]  # RandomApply, OneOf: what its steps are is drawn
        return [step for part in inner for step in steps_of(part) or [part]]
    return [pipeline] if _name(pipeline) in _READERS and _name(pipeline) != "function" else None


def is_albumentations(pipeline: Any) -> bool:
    """Whether a pipeline takes arrays by keyword, as those of albumentations do."""
    return any(kind.__module__.partition(".")[0] == "albumentations" for kind in type(pipeline).__mro__)


def pipeline_name(pipeline: Any) -> str:
    """The pipeline in words: Compose(Resize, ToTensor)."""
    steps, name = steps_of(pipeline) or [pipeline], _name(pipeline)
    return name if steps == [pipeline] else f"{name}({listed(map(_name, steps))})"


def canvases_of(steps: Iterable[Any]) -> list[Preprocess]:
    """The canvases that the steps may mean, to be tried on pictures. Raises UnreadableStepError."""
    seen = _Seen()
    for step in steps:
        name, chance = _name(step), getattr(step, "p", None)
        if chance == 0:
            continue
        if (isinstance(chance, (int, float)) and chance < 1) or (name.startswith(_RANDOM) or name.endswith(_RANDOM)):
            raise UnreadableStepError(f"{name} is random, so that it is a pipeline for training")
        if name not in _READERS:
            raise UnreadableStepError(f"{name} has no canvas form")
        _READERS[name](step, seen)
    try:
        fields = sized(seen.resize, seen.crop) | seen.fields
        roundings = ("even", "floor") if fields["crop_share"] < 1 or fields["fit"] == "crop" else ("even",)
        return [Preprocess(**fields, rounding=rounding) for rounding in roundings]
    except OptionError as error:
        raise UnreadableStepError(str(error).partition("\n")[0].rstrip(".")) from error


def interpolation_of(value: Any, names: Mapping[int, str] = _PIL) -> str:
    """The name of an interpolation given as an enum, a number or a word. Raises UnreadableStepError."""
    value = getattr(value, "value", value)
    name = names.get(value) if isinstance(value, int) else str(value).removesuffix("-exact")
    if name not in _PIL.values():
        raise UnreadableStepError(f"the interpolation {value} has no canvas form")
    return str(name)


@dataclass
class _Seen:
    """What the steps up to here do: the resize, the crop, and other fields of a Preprocess."""

    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    fields: dict[str, Any] = field(default_factory=lambda: {"range": "0-255"})


def _name(step: Any) -> str:
    return type(step).__name__


def _sides(value: Any) -> int | tuple[int, int]:
    """One side for a number or [number], (height, width) for two."""
    sides = tuple(value) if isinstance(value, Iterable) else (value,)
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def _resize(step: Any, seen: _Seen) -> None:
    if seen.resize is not None or seen.crop is not None:
        raise UnreadableStepError(f"{_name(step)} stands behind another resize or crop")
    if is_albumentations(step):
        seen.resize = int(step.max_size) if _name(step) == "SmallestMaxSize" else (int(step.height), int(step.width))
        seen.fields["interpolation"] = interpolation_of(step.interpolation, _OPENCV)
        return
    if getattr(step, "max_size", None) is not None:
        raise UnreadableStepError(f"{_name(step)} has a max_size")
    seen.resize = _sides(step.size)
    seen.fields["interpolation"] = interpolation_of(step.interpolation)


def _crop(step: Any, seen: _Seen) -> None:
    if seen.crop is not None:
        raise UnreadableStepError(f"{_name(step)} stands behind another crop")
    sides = (step.height, step.width) if is_albumentations(step) else _sides(step.size)
    seen.crop = (sides, sides) if isinstance(sides, int) else (int(sides[0]), int(sides[1]))


def _normalise(step: Any, seen: _Seen) -> None:
    if "mean" in seen.fields:
        raise UnreadableStepError(f"{_name(step)} stands behind another one")
    if getattr(step, "max_pixel_value", None) == 255:
        seen.fields["range"] = "0-1"
    mean, std = (
        tuple(map(float, value if isinstance(value, Iterable) else (value,))) for value in (step.mean, step.std)
    )
    seen.fields |= {"mean": mean, "std": std}


def _scale(step: Any, seen: _Seen) -> None:
    if getattr(step, "scale", True):  # of ToDtype; the others always do
        seen.fields["range"] = "0-1"


def _grey(step: Any, seen: _Seen) -> None:
    if step.num_output_channels != 1:
        raise UnreadableStepError(f"{_name(step)} gives {step.num_output_channels} equal channels")
    seen.fields["channels"] = "grey"


def _preset(step: Any, seen: _Seen) -> None:
    """What a weights enum of torchvision holds."""
    if hasattr(step, "resize_size"):
        seen.resize = _sides(step.resize_size)
        seen.fields["interpolation"] = interpolation_of(step.interpolation)
        _normalise(step, seen)
    if hasattr(step, "crop_size"):
        sides = _sides(step.crop_size)
        seen.crop = (sides, sides) if isinstance(sides, int) else sides
    seen.fields["range"] = "0-1"


def _nothing(step: Any, seen: _Seen) -> None:
    """For what changes the container of the numbers, or often nothing: pictures show whether that holds."""


_Reader = Callable[[Any, _Seen], None]
_READERS: dict[str, _Reader] = {
    **dict.fromkeys(("Resize", "SmallestMaxSize"), _resize),
    **dict.fromkeys(("CenterCrop", "CenterCropOrPad"), _crop),
    **dict.fromkeys(("ToTensor", "MaybeToTensor", "ConvertImageDtype", "ToDtype", "ToFloat"), _scale),
    **dict.fromkeys(("ImageClassification", "SemanticSegmentation", "ObjectDetection"), _preset),
    **dict.fromkeys(
        ("PILToTensor", "MaybePILToTensor", "ToImage", "ToImageTensor", "ToPureTensor", "ToPILImage"), _nothing
    ),
    **dict.fromkeys(("ToTensorV2", "Identity", "RGB", "Lambda", "function"), _nothing),
    "Normalize": _normalise,
    "Grayscale": _grey,
}

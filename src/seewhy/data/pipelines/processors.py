"""An image processor of transformers as canvases that may feed the same, and as a function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from seewhy.data.pipelines.steps import UnreadableStepError, canvases_of, interpolation_of, steps_of
from seewhy.errors import ModelError, OptionError, first_line, listed
from seewhy.records import Preprocess, sized

_LEVIT = 256 / 224  # to how much of its size LeViT's resizes the shorter side

_Resize = int | tuple[int, int] | None
_Crop = tuple[int, int] | None


BY_OPTIONS = "Give the preprocessing by options, like  --size 224 --mean 0.5 --std 0.5,  or  --preprocess net.py:fn"


class UnfitProcessorError(ModelError):
    """Occurs where an image processor cannot be had, or makes of a picture what no network of pictures takes."""

    slug = "image-processor"


def processor_of(given: Any) -> Any | None:
    """The image processor that is given, alone or inside a processor or pipeline of transformers; None for others."""
    if not any(kind.__module__.partition(".")[0] == "transformers" for kind in type(given).__mro__):
        return None
    inner = getattr(given, "image_processor", None)
    processor = given if inner is None else inner
    return processor if hasattr(processor, "preprocess") else None


def processed(processor: Any, picture: Any) -> Tensor:
    """What a processor makes of a PIL image: the network's input (C, H, W). Raises UnfitProcessorError."""
    name = type(processor).__name__
    try:
        made = processor(images=picture.convert("RGB"), return_tensors="pt")
    except Exception as error:
        why = first_line(error)
        raise UnfitProcessorError(f"{name} fails on a picture: {why}\n  {BY_OPTIONS}") from error
    pixels = made.get("pixel_values")
    if not isinstance(pixels, Tensor) or pixels.ndim != 4 or len(pixels) != 1:
        what = listed(f"{key} {list(getattr(value, 'shape', []))}" for key, value in made.items())
        raise UnfitProcessorError(
            f"{name} makes of one picture {what}, where pixel_values of (1, C, H, W) are needed.\n  {BY_OPTIONS}"
        )
    return pixels[0].float()  # as the networks of transformers do with bytes


def settings_of(processor: Any) -> str:
    """The processor's numbers, which tell it from others of its class."""
    return str(processor.to_dict())


def canvases_of_processor(processor: Any) -> list[Preprocess]:
    """The canvases that a processor's numbers may mean, to be tried on pictures. Raises UnreadableStepError.

    The classes of transformers read one and the same number in several ways.
    """
    if hasattr(processor, "val_transforms"):  # a network of timm's
        return canvases_of(steps_of(processor.val_transforms) or ())
    colour, resample = _colour(processor), getattr(processor, "resample", None)
    if getattr(processor, "do_resize", False) and resample is not None:
        colour["interpolation"] = interpolation_of(resample)
    canvases = []
    for resize, crop in _sizes(processor):
        try:
            canvases.append(Preprocess(**sized(resize, crop), **colour, rounding="floor" if crop else "even"))
        except OptionError:
            continue
    if not canvases:
        raise UnreadableStepError("its size or crop has no canvas form")
    return canvases


def _sizes(processor: Any) -> Iterator[tuple[_Resize, _Crop]]:
    """The pairs of resize and crop that may be meant."""
    size, share = dict(getattr(processor, "size", None) or {}), getattr(processor, "crop_pct", None)
    crop = _sides(getattr(processor, "crop_size", None)) if getattr(processor, "do_center_crop", False) else None
    shorter = size.get("shortest_edge")
    if not getattr(processor, "do_resize", False):
        yield None, crop
    elif "height" in size and "width" in size:
        yield _sides(size), crop
        if share:
            yield int(size["height"] / share), crop
    elif shorter is not None and "longest_edge" not in size:
        yield shorter, crop
        yield (shorter, shorter), crop  # as ConvNeXt's do from 384 pixels on
        yield int(_LEVIT * shorter), crop
        if share:
            yield int(shorter / share), crop or (shorter, shorter)


def _colour(processor: Any) -> dict[str, Any]:
    """The range, mean, std and channels: what a processor does to a pixel, (value * factor - offset - mean) / std."""
    rescales, normalises = getattr(processor, "do_rescale", False), getattr(processor, "do_normalize", False)
    factor = round(float(getattr(processor, "rescale_factor", 1 / 255)) * 255, 9) if rescales else 1.0
    offset = 1.0 if rescales and getattr(processor, "rescale_offset", False) else 0.0
    mean = _numbers(processor.image_mean) if normalises else (0.0,)
    std = _numbers(processor.image_std) if normalises else (1.0,)
    if getattr(processor, "include_top", False):
        again = _numbers(processor.image_std)
        std = tuple(value * more for value, more in zip(std * (len(again) // len(std)), again, strict=True))
    return {
        "range": "0-1" if rescales else "0-255",
        "mean": tuple((value + offset) / factor for value in mean),
        "std": tuple(value / factor for value in std),
        "channels": "bgr" if getattr(processor, "do_flip_channel_order", False) else "rgb",
    }


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(map(float, value if isinstance(value, Iterable) else (value,)))


def _sides(size: Any) -> tuple[int, int] | None:
    sizes = dict(size or {})
    return (int(sizes["height"]), int(sizes["width"])) if "height" in sizes and "width" in sizes else None

"""Masks from files and from the user's functions, and how a photograph's mask is laid on the canvas."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch
from numpy.typing import NDArray

from seewhy.data.formats.image_files import PLAIN, stem_of
from seewhy.data.networks.network import module_of
from seewhy.data.pictures.decode import FORMATS, MOST_PIXELS, UnreadableError, quiet
from seewhy.data.reader import Loaded
from seewhy.data.tables.folder_names import is_split_name, role_of
from seewhy.errors import DataError, ModelError, OptionError, listed, nearest
from seewhy.geometry import Geometry, resized_size
from seewhy.records import Image, one_form

Levels = NDArray[np.uint8]  # (H, W), 0 outside to 255 inside
Reader = Callable[[Image, Loaded], Levels]  # the mask of one image's upright photograph; UnreadableError says why none

_ASPECT = 0.02  # by which a mask's width / height may differ from its photograph's
_ROLES = {"train", "valid", "test"}  # of splits
_SOFT_FROM = 128  # a mask whose brightest level lies below holds class numbers, not shares


def on_canvas(mask: Levels, geometry: Geometry, interpolation: str) -> Levels:
    """A photograph's mask (h, w) on the canvas (H, W), resized, cut and placed as the photograph is; 0 in the padding.

    A mask of another size than the photograph's is brought to that first, by the nearest pixel. Raises
    UnreadableError where its shape is another one.
    """
    resample = PIL.Image.Resampling[interpolation.upper()]
    image = PIL.Image.fromarray(_sized(mask, geometry.photograph))
    resized = resized_size(geometry)
    if resized != geometry.photograph:
        image = image.resize(resized[::-1], resample)
    page = PIL.Image.new("L", geometry.canvas[::-1])
    page.paste(image, (int(geometry.offset[1]), int(geometry.offset[0])))
    return np.asarray(page)


def read_mask(path: Path) -> Levels:
    """The mask in an image file, upright. Raises UnreadableError with the reason.

    The alpha channel is the mask where it is not opaque all over. Of grey pictures the level is the share that lies
    inside, unless the brightest is below 128: then levels are class numbers, and like in palettes and in coloured
    pictures everything but 0 is inside.
    """
    try:
        with quiet(), PIL.Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UnreadableError(f"{path.name} has more than {MOST_PIXELS:,} pixels")
            return _levels_of_image(PIL.ImageOps.exif_transpose(image))
    except UnreadableError:
        raise
    except PIL.UnidentifiedImageError as error:
        raise UnreadableError(f"{path.name} is no image format that can be read") from error
    except Exception as error:  # decoders raise anything
        raise UnreadableError(f"{path.name} cannot be read ({type(error).__name__}: {error})"[:200]) from error


def write_mask(path: Path, mask: NDArray[np.floating[Any]]) -> None:
    """Write a mask (H, W) in [0, 1] as an 8-bit grey PNG, complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    PIL.Image.fromarray((np.clip(mask, 0, 1) * 255).round().astype(np.uint8)).save(part, "PNG")
    part.replace(path)


def mask_files(folder: Path, images: Sequence[Image]) -> Reader:
    """The reader of a folder's mask pictures: the same relative path as the image's, or the same stem.

    Raises DataError where no image has a mask in it.
    """
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if is_mask(path)]
    catalogue = catalogue_of(names, images, folder)

    def read(image: Image, _: Loaded) -> Levels:
        return read_mask(folder / catalogue.name_for(image))

    return read


def is_mask(path: Path) -> bool:
    """Whether a file's name is that of a picture."""
    return path.suffix.lower() in PLAIN and not path.name.startswith(".")


# Which mask belongs to which image


@dataclass(frozen=True)
class Catalogue:
    """Names of masks, and the parts of the images' paths, both by their last part with its suffix left out."""

    names: Mapping[str, Sequence[str]]
    images: Mapping[str, Sequence[tuple[str, ...]]]  # also by the last part as it is, for masks like 0001.jpg.png
    where: str

    def name_for(self, image: Image) -> str:
        """The name whose path ends most like the image's. Raises UnreadableError where none or several do.

        Nor is it the mask of an image that is called alike in another split, or in another folder where the masks have
        one that is called as the image's.
        """
        whole = _parts(image)
        for last in (whole[-1], stem_of(whole[-1])):
            if last in self.names:
                name = self._closest((*whole[:-1], last))
                if self._is_elsewhere(_bare(name)[:-1], image):
                    raise UnreadableError(
                        f"{self.where} has no mask for it: {name} lies in another folder; put masks into folders named "
                        "like the images'"
                    )
                return name
        raise UnreadableError(f"{self.where} has no mask for it")

    def _closest(self, parts: tuple[str, ...]) -> str:
        shared = {name: _common_ending(_bare(name), parts) for name in self.names[parts[-1]]}
        most = max(shared.values())
        best = [name for name, count in shared.items() if count == most]
        if len(best) > 1:
            raise UnreadableError(f"{self.where} has several masks for it: {listed(best, 3)}")
        alike = [path for path in self.images.get(parts[-1], ()) if path[-most:] == parts[-most:]]
        if (count := len(alike)) > 1:
            raise UnreadableError(f"{best[0]} fits {count} images; put the masks into folders named like the images'")
        return best[0]

    def _is_elsewhere(self, folders: Sequence[str], image: Image) -> bool:
        """Whether the folders of a mask tell that it is not this image's: of another split, or of a sibling's name."""
        of_image = _folders_of(image)
        splits = [{role_of(name) for name in names} & _ROLES for names in (folders, of_image)]
        is_other_split = all(splits) and not splits[0] & splits[1]
        return is_other_split or any(name in self.folders and name not in folders for name in of_image)

    @cached_property
    def folders(self) -> frozenset[str]:
        """The names of all folders that masks lie in."""
        return frozenset(folder for group in self.names.values() for name in group for folder in _bare(name)[:-1])


def catalogue_of(names: Iterable[str], images: Sequence[Image], where: Path) -> Catalogue:
    """The catalogue of masks' names for these images. Raises DataError where it fits none of them."""
    grouped: dict[str, list[str]] = {}
    for name in names:
        grouped.setdefault(_bare(name)[-1], []).append(name)
    by_last: dict[str, list[tuple[str, ...]]] = {}
    for image in images:
        *folders, last = _parts(image)
        for key in {last, stem_of(last)}:
            by_last.setdefault(key, []).append((*folders, key))
    if images and not by_last.keys() & grouped.keys():
        held = listed(sorted(name for group in grouped.values() for name in group), 3) or "nothing that can be read"
        raise DataError(
            f"No image has a mask in {where}: it names {held}; the first image is {images[0].id}.\n"
            "  A mask has its image's name (0001.png for 0001.jpg), in folders named like the images' if names repeat.",
            slug="no-masks",
        )
    return Catalogue(grouped, by_last, str(where))


def _parts(image: Image) -> tuple[str, ...]:
    return PurePath(one_form(image.path or image.id)).parts


def _folders_of(image: Image) -> tuple[str, ...]:
    """The folders of an image below that of the images, and the two above where they are called as splits are."""
    below = PurePath(one_form(image.id)).parts[:-1]
    above = _parts(image)[: -len(below) - 1][-2:]
    return (*(name for name in above if is_split_name(name)), *below)


def _bare(name: str) -> tuple[str, ...]:
    return PurePath(one_form(name)).with_suffix("").parts


def _common_ending(parts: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for a, b in zip(reversed(parts), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count


# Masks that a function makes


def function_masks(spec: str) -> Reader:
    """The reader that calls the user's function on each photograph, at most 1600 pixels on its long side.

    It gets uint8 RGB (H, W, 3), or a PIL image where its parameter is annotated so, and gives (H, W) in bool, in 0..1
    or as uint8 up to 255, or None where there is nothing. Raises OptionError where there is no such function.
    """
    function = _function(spec)
    wants_image = _wants_image(function)

    def read(_: Image, loaded: Loaded) -> Levels:
        pixels = loaded.picture.copy()
        try:
            return levels_of(function(PIL.Image.fromarray(pixels) if wants_image else pixels))
        except UnreadableError as error:
            raise UnreadableError(f"{spec} {error}") from error
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise UnreadableError(f"{spec} failed: {type(error).__name__}: {error}"[:200]) from error

    return read


def levels_of(values: Any) -> Levels:
    """A mask (H, W) in bool, 0..1 or uint8 as levels. Raises UnreadableError where it is none of these."""
    if values is None:
        raise UnreadableError("found nothing")
    array = np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values)
    flat = array
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        flat = array[0] if array.shape[0] == 1 else array[..., 0]
    if flat.ndim != 2 or not flat.size:
        raise UnreadableError(f"gave shape {array.shape}, where a mask (H, W) is needed")
    if flat.dtype == np.uint8:
        return _levels(flat)
    if flat.dtype.kind not in "biuf":
        raise UnreadableError(f"gave {flat.dtype}, where a mask is bool, 0..1 or uint8")
    low, high = float(flat.min()), float(flat.max())
    if not (low >= 0 and high <= 1):  # also NaN
        raise UnreadableError(f"gave values from {low:g} to {high:g}, where a mask lies in 0..1")
    return np.rint(flat.astype(np.float64) * 255).astype(np.uint8)


def _function(spec: str) -> Callable[[Any], Any]:
    hint = "Write a region by a function as NAME=file.py:function or NAME=package.module:function."
    try:
        module, name = module_of(spec)
    except ModelError as error:
        raise OptionError(f"{str(error).splitlines()[0]}\n  {hint}", slug="no-such-region") from error
    attribute = getattr(module, name, None)
    if callable(attribute):
        function: Callable[[Any], Any] = attribute
        return function
    where = spec.rpartition(":")[0]
    functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    raise OptionError(
        f"{where} has no function {name!r}.  {nearest(name, functions)}".rstrip() + f"\n  {hint}", slug="no-such-region"
    )


def _wants_image(function: Callable[[Any], Any]) -> bool:
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except ValueError:  # compiled functions may have none to read
        return False
    return first is not None and "Image" in str(first.annotation)


# Levels


def _levels_of_image(image: PIL.Image.Image) -> Levels:
    if image.mode in ("RGBA", "LA", "PA"):
        alpha = np.asarray(image.getchannel("A"))
        if alpha.min() < 255:
            return alpha
        image = image.convert("RGB")
    values = np.asarray(image)
    if image.mode == "L":
        return _levels(values)
    if values.ndim == 3:
        is_grey = image.mode == "RGB" and bool((values == values[..., :1]).all())
        return _levels(values[..., 0]) if is_grey else _inside(values.any(axis=2))
    return _inside(values != 0)  # 1 bit, a palette's numbers, or deep grey


def _levels(values: NDArray[np.uint8]) -> Levels:
    return np.ascontiguousarray(values) if values.max(initial=0) >= _SOFT_FROM else _inside(values != 0)


def _inside(values: Any) -> Levels:
    return np.where(values, np.uint8(255), np.uint8(0))


def _sized(mask: Levels, size: tuple[int, int]) -> Levels:
    """The mask at its photograph's (height, width), by the nearest pixel."""
    if mask.shape == size:
        return mask
    (height, width), (tall, wide) = mask.shape, size
    if abs((width / height) / (wide / tall) - 1) > _ASPECT:
        turned = abs((height / width) / (wide / tall) - 1) <= _ASPECT
        hint = "; it was drawn before the photograph was turned upright by its EXIF tag" if turned else ""
        raise UnreadableError(f"the mask is {width} x {height} pixels, its photograph {wide} x {tall}{hint}")
    return np.asarray(PIL.Image.fromarray(mask).resize((wide, tall), PIL.Image.Resampling.NEAREST))

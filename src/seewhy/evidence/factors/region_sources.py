"""Where the masks of a region come from: a word of its own, or NAME=VALUE. A new source is a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath

from seewhy.data.annotations import coco_file, yolo_files
from seewhy.data.face_detector import face_masks
from seewhy.data.masks import Reader, function_masks, is_mask, mask_files
from seewhy.data.tables.folder_names import SPLITS
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError, OptionError, beside, listed
from seewhy.evidence.factors.regions import Region, mask_region

FACE = "face"
DETECTED: dict[str, tuple[str, Callable[[], Reader]]] = {  # by its word: what a detector is called, and its masks
    FACE: ("face detector", face_masks),
}


@dataclass(frozen=True)
class Given:
    """NAME=VALUE as it was typed: `path` is the value without its #CATEGORY, where a file or folder is meant."""

    name: str
    value: str
    path: Path
    category: str | None
    table: ImageTable

    @property
    def of(self) -> str:
        """The category in words; "" without one."""
        return f" of category {self.category}" if self.category else ""


@dataclass(frozen=True)
class Source:
    """A form of NAME=VALUE: how it is written, which values are of it, and the regions that they give."""

    form: str
    fits: Callable[[Given], bool]
    regions: Callable[[Given], list[Region]]


def given_regions(name: str, value: str, table: ImageTable) -> list[Region]:
    """The regions of NAME=VALUE, by the first source that it fits. Raises DataError where it fits none."""
    path, category = Path(value), None
    if not path.exists() and "#" in value:
        where, _, category = value.rpartition("#")
        path = Path(where)
    given = Given(name, value, path, category, table)
    source = next((source for source in SOURCES if source.fits(given)), None)
    if source is not None:
        return source.regions(given)
    if path.is_file():
        raise DataError(
            f"{path} is one file, which cannot hold the masks of all images.\n"
            f"  Give a folder of masks, a COCO file (.json), or a function:  {name}={path}:function",
            slug="no-masks",
        )
    raise DataError(f"There is no file or folder {path} for the region {name!r}.  {beside(path)}", slug="no-such-file")


def _is_folder(given: Given) -> bool:
    return given.path.is_dir()


def _of_folder(given: Given) -> list[Region]:
    folder, category, images = given.path, given.category, given.table.images
    if any(is_mask(path) for path in folder.rglob("*")):
        if category is not None:
            raise OptionError(f"{folder} holds pictures, which have no category {category!r}.", slug="no-such-region")
        inner = _parts_of(folder, given.table)
        named = {f"{given.name}-{part.name}": part for part in inner} if inner else {given.name: folder}
        return [mask_region(key, f"masks in {source}", mask_files(source, images)) for key, source in named.items()]
    if any(folder.rglob("*.txt")):
        of = f" of class {category}" if category else ""
        return [mask_region(given.name, f"boxes and polygons{of} in {folder}", yolo_files(folder, category, images))]
    held = listed(sorted(entry.name for entry in folder.iterdir())) or "nothing"
    raise DataError(f"Found no masks in {folder}, which holds: {held}.", slug="no-masks")


def _parts_of(folder: Path, table: ImageTable) -> list[Path]:
    """The sub-folders that are a region each; none where they are named like the images' own, or hold no masks."""
    if any(is_mask(path) for path in folder.iterdir()):
        return []
    inner = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and any(map(is_mask, entry.rglob("*")))]
    of_images = {part for image in table.images for part in PurePath(image.id).parts[:-1]} | set(SPLITS)
    if table.root is not None:
        of_images.add(table.root.resolve().name)
    return [] if any(entry.name in of_images for entry in inner) else inner


def _is_coco(given: Given) -> bool:
    return given.path.is_file() and given.path.suffix.lower() == ".json"


def _of_coco(given: Given) -> list[Region]:
    masks = coco_file(given.path, given.category, given.table.images)
    return [mask_region(given.name, f"COCO annotations{given.of} in {given.path}", masks)]


def _is_function(given: Given) -> bool:
    return ":" in given.value and not given.path.is_file()


def _of_function(given: Given) -> list[Region]:
    return [mask_region(given.name, given.value, function_masks(given.value))]


SOURCES = (
    Source("NAME=FOLDER of masks or of YOLO's text files", _is_folder, _of_folder),
    Source("NAME=coco.json#CATEGORY", _is_coco, _of_coco),
    Source("NAME=file.py:function", _is_function, _of_function),
)

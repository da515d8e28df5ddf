"""Which regions are meant: from the words of an option to regions with their readers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from seewhy.data.annotations import coco_file, yolo_files
from seewhy.data.face_detector import face_masks
from seewhy.data.masks import function_masks, is_mask, mask_files
from seewhy.data.tables.folder_names import SPLITS
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError, OptionError, beside, listed, nearest
from seewhy.evidence.factors.regions import Region, complement, mask_region, zone_region
from seewhy.evidence.factors.zones import WORDS, zones_of

FACE = "face"
BACKGROUND = "background"
SEARCH = "search"  # within an audit, for places that nobody named
_DETECTED = {FACE: ("face detector", face_masks)}  # a source by one word: what it is called, and what makes its masks
_ALIASES = {"faces": FACE}
_PLACES = ("border", "corners", "centre", "halves", "grid:4x4", "zones")
_OWN = (
    "NAME=FOLDER of masks or of YOLO's text files",
    "NAME=coco.json#CATEGORY",
    "NAME=file.py:function",
    "NAME=not:REGION",
)
GRAMMAR = ", ".join((*_PLACES, SEARCH, *_DETECTED, BACKGROUND, *_OWN))
_NAME = re.compile(r"\w[\w .-]*")
_KNOWN = tuple(dict.fromkeys((*WORDS, *_PLACES, SEARCH, *_DETECTED, *_ALIASES, BACKGROUND)))  # beside NAME=…


def find_regions(specs: str | Sequence[str | Region], table: ImageTable) -> list[Region]:
    """The regions that the words name, in their order, for the images of the table; the grammar is `GRAMMAR`.

    One string is cut at its commas. Complements may stand before what they exclude. Raises OptionError for unknown
    words, DataError for missing files or files that fit none of the images, MissingExtraError without the detector
    of faces.
    """
    parts: Sequence[str | Region] = specs.split(",") if isinstance(specs, str) else specs
    asked = [spec for part in parts if (spec := part.strip() if isinstance(part, str) else part) != ""]
    if not asked:
        raise OptionError(f"No region was named.  Regions: {GRAMMAR}", slug="no-such-region")
    plain = {place: _plain(spec, table) for place, spec in enumerate(asked) if not _excluded(spec)}
    known = {region.name: region for group in plain.values() for region in group}
    regions: dict[str, Region] = {}
    for place, spec in enumerate(asked):
        for region in plain[place] if place in plain else [_complement(str(spec), known, table)]:
            kept = regions.setdefault(region.name, region)
            if kept.source != region.source:
                raise OptionError(
                    f"Two regions are called {region.name!r} ({kept.source}; {region.source}); give each its own name.",
                    slug="no-such-region",
                )
    return list(regions.values())


def _excluded(asked: str | Region) -> str:
    """What a complement leaves out: "face" of "background" and of "NAME=not:face"; "" of all else."""
    if isinstance(asked, Region):
        return ""
    if asked == BACKGROUND:
        return FACE
    word, _, excluded = asked.rpartition("=")[2].partition(":")
    return excluded.strip() if word.strip() == "not" else ""


def _complement(asked: str, known: Mapping[str, Region], table: ImageTable) -> Region:
    excluded = _excluded(asked)
    if asked == BACKGROUND and FACE not in known:
        others = f"\n  Or of what you named:  background=not:{next(iter(known))}" if known else ""
        raise OptionError(
            f"The background of what?  Name a face region beside it:  face,background{others}", slug="no-such-region"
        )
    inner = [known[excluded]] if excluded in known else _word(excluded, table)
    if len(inner) != 1:
        close = nearest(excluded, [*known, *_KNOWN])
        raise OptionError(
            f"{asked!r} leaves out {excluded!r}, which is no single region.  {close}".rstrip()
            + f"\n  Regions: {GRAMMAR}",
            slug="no-such-region",
        )
    name, equals, _ = asked.partition("=")
    own_name = _named(name.strip(), asked) if equals or asked == BACKGROUND else f"not-{excluded}"
    return complement(own_name, inner[0])


def _plain(asked: str | Region, table: ImageTable) -> list[Region]:
    """The regions of a word that is no complement. Raises OptionError for unknown ones."""
    if isinstance(asked, Region):
        return [asked]
    name, equals, value = (part.strip() for part in asked.partition("="))
    if re.fullmatch(r"not\s*:", value or name):
        raise OptionError(
            f"{asked!r} names no region to leave out.  Such as:  {name if equals else 'not-centre'}=not:centre",
            slug="no-such-region",
        )
    if equals:
        return _given(_named(name, asked), value, table)
    if regions := _word(asked, table):
        return regions
    hint = (
        f"  Masks need a name:  {Path(asked).stem.partition(':')[0]}={asked}"
        if Path(asked).exists() or ":" in asked
        else ""
    )
    raise OptionError(
        f"There is no region {asked!r}.  {nearest(asked, _KNOWN)}{hint}".rstrip() + f"\n  Regions: {GRAMMAR}",
        slug="no-such-region",
    )


def _word(word: str, table: ImageTable) -> list[Region]:
    if word == SEARCH:
        raise OptionError(
            "'search' looks for places within an audit, and is no region by itself:  seewhy audit … --regions search\n"
            f"  Regions: {GRAMMAR}",
            slug="no-such-region",
        )
    name = _ALIASES.get(word, word)
    if name in _DETECTED:
        source, masks = _DETECTED[name]
        return [mask_region(name, source, masks())]
    return [zone_region(name, zone) for name, zone in zones_of(word).items()]


def _named(name: str, asked: str) -> str:
    if not _NAME.fullmatch(name):
        raise OptionError(
            f"{asked!r} gives its region the name {name!r}; a name has letters, digits, '-', '_' and '.'.",
            slug="no-such-region",
        )
    return name


def _given(name: str, value: str, table: ImageTable) -> list[Region]:
    """The regions of NAME=VALUE: a folder, a COCO file, either with #CATEGORY, or a function."""
    path, category = Path(value), None
    if not path.exists() and "#" in value:
        where, _, category = value.rpartition("#")
        path = Path(where)
    if path.is_dir():
        return _from_folder(name, path, category, table)
    if path.is_file() and path.suffix.lower() == ".json":
        of = f" of category {category}" if category else ""
        return [mask_region(name, f"COCO annotations{of} in {path}", coco_file(path, category, table.images))]
    if path.is_file():
        raise DataError(
            f"{path} is one file, which cannot hold the masks of all images.\n"
            f"  Give a folder of masks, a COCO file (.json), or a function:  {name}={path}:function",
            slug="no-masks",
        )
    if ":" in value:
        return [mask_region(name, value, function_masks(value))]
    raise DataError(f"There is no file or folder {path} for the region {name!r}.  {beside(path)}", slug="no-such-file")


def _from_folder(name: str, folder: Path, category: str | None, table: ImageTable) -> list[Region]:
    if any(is_mask(path) for path in folder.rglob("*")):
        if category is not None:
            raise OptionError(f"{folder} holds pictures, which have no category {category!r}.", slug="no-such-region")
        inner = _parts_of(folder, table)
        named = {f"{name}-{part.name}": part for part in inner} if inner else {name: folder}
        return [
            mask_region(key, f"masks in {source}", mask_files(source, table.images)) for key, source in named.items()
        ]
    if any(folder.rglob("*.txt")):
        of = f" of class {category}" if category else ""
        return [mask_region(name, f"boxes and polygons{of} in {folder}", yolo_files(folder, category, table.images))]
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

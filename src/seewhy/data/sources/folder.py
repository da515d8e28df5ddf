"""From what the user names (a folder, a table, a list, a glob, images in memory) to the ordered image table."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from seewhy.data.formats.image_files import is_image_name
from seewhy.data.formats.missing import nearest_paths
from seewhy.data.formats.next_steps import is_address, kind_of_file, steps_for
from seewhy.data.sources.addresses import address_of, any_address, image_matches, images_at, is_pattern
from seewhy.data.sources.class_folders import in_folders, in_split, inside_and_beside, of_class_folders, table_of_folder
from seewhy.data.sources.items import are_rows, items_of, paths_in
from seewhy.data.sources.listing import below, label_names, read_listing, without_repeats
from seewhy.data.sources.places import as_on_disk, as_written, why_not_here
from seewhy.data.sources.sampling import sampled
from seewhy.data.sources.shards import are_shards, rows_of, shards_in
from seewhy.data.tables.image_table import ImageTable
from seewhy.data.tables.item_labels import ItemReading, label_of
from seewhy.data.tables.labels import JOINT, NO_LABEL, number_of
from seewhy.data.tables.packed import Packed, gathered
from seewhy.data.tables.sheet import Sheet, read_lines, read_sheet, sheet_of
from seewhy.errors import DataError, OptionError
from seewhy.records import Image, checked_count, checked_seed, one_form

_TABLES = (".xlsx", ".xls", ".ods", ".parquet", ".feather", ".json", ".jsonl", ".pkl")


def read_table(
    source: Any,
    *,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    first_label: int | None = None,
) -> ImageTable:
    """The image table of a folder, a table, a text list, a glob, a list of paths, or images in memory.

    Ids and order do not depend on the file system.

    Args:
        source: a folder, a CSV, a text list, a glob, paths, a tensor, an array, PIL images, a Dataset, a DataLoader
        limit: the first images
        sample: so many by seeded chance, in which every split and class keeps its share
        seed: of that choice
        columns: of a table, what its columns are: {"path": "scan", "label": "grade", "split": "fold"}
        first_label: the number of the first class, 0 or 1, where labels are numbers

    Returns:
        an ImageTable, which explain, check, audit and train take in place of images.

    Raises:
        DataError where there are no images, or a table cannot be read; OptionError for a column that does not exist.

    Example:
        >>> table = seewhy.read_table("faces/valid", limit=20)
        >>> print(len(table), table.classes)
    """
    if limit is not None and sample is not None:
        raise OptionError("--limit and --sample cannot be given together: the first images, or a random choice?")
    for option, number in {"--limit": limit, "--sample": sample}.items():
        if number is not None:
            checked_count(number, option)
    if first_label not in (None, 0, 1):
        raise OptionError(f"--first-label is {first_label}, but must be 0 or 1.")
    checked_seed(seed)
    table = _storable(_table(source, columns or {}, first_label))
    if first_label is not None:
        table = _counted_from(table, first_label)
    if not table.images:
        raise DataError(f"Found no images in {table.source}.", slug="no-images")
    if limit is not None:
        return replace(table, images=gathered(table.images[:limit]), whole=tuple(table.labels))
    if sample is not None:
        return replace(table, images=gathered(sampled(table.images, sample, seed)), whole=tuple(table.labels))
    return table


def _counted_from(table: ImageTable, first: int) -> ImageTable:
    """The table with the number of the first class, and numbers of items that have names as these."""
    images = table.images
    if table.items is not None and table.classes:
        images = tuple(replace(image, label=label_of(image.label, table.classes, first)) for image in images)
    return replace(table, images=images, first_label=first)


def _table(source: Any, columns: Mapping[str, str], first: int | None) -> ImageTable:
    if isinstance(source, ImageTable):
        return source
    if isinstance(source, (str, Path)):
        return _from_path(source, columns)
    if isinstance(source, (Iterator, Set)):
        source = sorted(source) if isinstance(source, Set) else list(source)
    if are_rows(source):
        return _from_sheet(sheet_of(source), Path(), "the rows", columns)
    if columns:
        raise OptionError(f"--columns names columns of a table, but the images are {type(source).__name__}.")
    if (paths := paths_in(source)) is not None:
        tars = [address_of(path) or str(path) for path in paths]
        return _from_shards(tars, "the list") if tars and all(map(are_shards, tars)) else _from_list(paths, "the list")
    items = items_of(source, first)
    width = max(5, len(str(len(items.held))))
    labels, splits = (column or (None,) * len(items.held) for column in (items.labels, items.splits))
    images = tuple(
        Image(f"{number:0{width}d}", label=label, split=split)
        for number, (label, split) in enumerate(zip(labels, splits, strict=True))
    )
    return ImageTable(
        images,
        classes=items.classes or _words(images),
        notes=items.notes,
        items=items.held,
        source=items.source,
        first_label=first if first is not None else _first_seen(items.seen),
        seen=items.seen,
    )


def _words(images: Sequence[Image]) -> tuple[str, ...]:
    """The class names of images in memory whose labels, or whose sets of them, are words, as those of a table are."""
    names = label_names(images)
    are_numbers = any(name.startswith("-") or all(map(_is_number, name.split(JOINT))) for name in names)
    return () if are_numbers or names == (NO_LABEL,) else names


def _is_number(text: str) -> bool:
    return number_of(text) is not None


def _first_seen(seen: Sequence[ItemReading]) -> int | None:
    """0 where some label of items is that number, or the first of their names; None where that is open."""
    return 0 if any(read.label == "0" and not read.is_row for read in seen) else None


def _from_path(source: str | Path, columns: Mapping[str, str]) -> ImageTable:
    text, path = str(source), as_on_disk(Path(source))
    if not text:
        raise DataError("No images were named: the name is empty.", slug="no-images")
    suffix = path.suffix.lower()
    if are_shards(text) and not path.is_dir():
        return _from_shards(shards_in(text), text, columns)
    if path.is_file() and suffix in (".csv", ".tsv", ".txt", ".lst", ".list"):
        return _from_table(path, columns)
    if columns:
        raise OptionError(f"--columns names columns of a table, but {text} is none (.csv, .tsv, .txt, .tar).")
    if (address := address_of(source)) is not None:
        return _from_address(address)
    if path.is_dir():
        return table_of_folder(path)
    if path.is_file():
        _check_read(path)
        return _from_list([path], str(path))
    if is_address(text):
        said = f"{text} is an address, and images are files here: nothing is downloaded."
        read = "Read where they lie are s3://, gs://, hf:// and az://."
        raise DataError(f"{said}\n  Download it, and name its folder. {read}", slug="no-such-file")
    if any(letter in text for letter in "*?["):
        return _from_list(_matches(text, path.anchor), f"the glob {text}")
    raise DataError(f"There is no file or folder {text}.  {nearest_paths(path)}", slug="no-such-file")


def _check_read(path: Path) -> None:
    """Raise DataError for a file of a kind that is surely no picture, and that says what to do with it."""
    suffix = path.suffix.lower()
    if suffix in _TABLES:
        raise DataError(f"{path} is a table that seewhy does not read.  Save it as CSV.", slug="csv")
    if suffix == ".zip":
        raise DataError(f"{path} is an archive.  Unpack it first:  seewhy data {path} DEST", slug="no-images")
    if suffix in (".gz", ".tgz", ".bz2", ".xz"):
        said = f"{path} is compressed, so that no image within it can be found without reading all before it."
        raise DataError(f"{said}\n  Make a plain tar of it:  gunzip -c FILE > shard-000.tar", slug="shards")
    if not is_image_name(path.name) and (steps := steps_for([kind_of_file(path)])):
        raise DataError(f"{path} is no picture that seewhy reads.\n  {steps[0]}", slug="no-images")


def _matches(pattern: str, anchor: str) -> list[Path]:
    try:
        paths = list(Path(anchor or ".").glob(pattern.removeprefix(anchor)))
    except (ValueError, NotImplementedError):  # like "a**"
        return []
    return sorted(path for path in paths if is_image_name(path.name) and not path.is_dir())


def _from_address(address: str) -> ImageTable:
    """The table of a folder, a pattern or a file in an object store; labels and splits as those of a folder here."""
    if is_pattern(address):
        return _from_list([Path(name) for name in image_matches(address)], f"the pattern {address}")
    images = images_at(address)
    if images is None:
        _check_read(Path(address))
        return _from_list([Path(address)], address)
    inside, beside = inside_and_beside(images)
    if inside:
        return of_class_folders(address, PurePosixPath(address).name, inside, beside)
    return ImageTable(tuple(in_split(images, PurePosixPath(address).name)), source=address)


def _from_shards(tars: Sequence[str], source: str, columns: Mapping[str, str] | None = None) -> ImageTable:
    """The table of the images in tars (WebDataset), with what stands beside them there."""
    if not tars:
        raise DataError(f"Found no tar that fits {source}.", slug="no-images")
    rows, folder, notes = rows_of(tars)
    table = _from_sheet(sheet_of(rows), folder, source, {"path": "path", **(columns or {})})
    return replace(table, root=None if any_address(tars) else folder, notes=(*notes, *table.notes))


def _from_table(path: Path, columns: Mapping[str, str]) -> ImageTable:
    if path.suffix.lower() in (".csv", ".tsv"):
        return _from_sheet(read_sheet(path), path.parent, str(path), columns, path.stem)
    sheet = read_lines(path)
    if sheet.columns != ("path",):
        return _from_sheet(sheet, path.parent, str(path), columns, path.stem)
    table = _from_list([as_written(row["path"], path.parent) for row in sheet.rows], str(path))
    return replace(table, notes=(*sheet.notes, *table.notes))


def _from_sheet(sheet: Sheet, folder: Path, source: str, columns: Mapping[str, str], name: str = "") -> ImageTable:
    listing = read_listing(sheet, folder, source, columns)
    images = tuple(in_split(listing.images, name))
    classes = listing.classes or label_names(images)
    return ImageTable(
        images,
        folder,
        classes,
        listing.notes,
        source=source,
        flags=listing.flags,
        columns=listing.columns,
        read_as=listing.read_as,
        also_in=listing.also_in,
    )


def _from_list(paths: Sequence[Path], source: str) -> ImageTable:
    if not paths:
        raise DataError(f"Found no images in {source}.", slug="no-images")
    root = Path(os.path.commonpath([path.absolute().parent for path in paths]))
    images, notes, _ = without_repeats(
        [Image(below(path, root), address_of(path) or str(path), error=why_not_here(path)) for path in paths]
    )
    either = None
    if all("/" in image.id for image in images):  # they lie in folders below a common one: read those as a folder would
        images, placement = in_folders(images)
        images, notes = in_split(images, root.name), (*notes, *placement.notes)
        either = placement.either
    home = None if any_address(image.path for image in images) else root
    return ImageTable(tuple(images), home, label_names(images), notes, source=source, either=either)


def _storable(table: ImageTable) -> ImageTable:
    """The table with the bytes that are no UTF-8 in file names written out in ids, labels and splits.

    Labels, splits and classes are in one Unicode form (NFC), in which names from macOS are those from elsewhere.
    """

    def plain(text: str) -> str:
        return text.encode("utf-8", "backslashreplace").decode()

    def name(text: str | None) -> str | None:
        return None if text is None else one_form(plain(text))

    def names(texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name(text) or "" for text in texts))

    if isinstance(table.images, Packed) and table.images.is_plain:
        return table
    images = gathered(
        replace(image, id=plain(image.id), label=name(image.label), split=name(image.split)) for image in table.images
    )
    if isinstance(images, Packed):
        images.is_plain = True
    return replace(table, images=images, classes=names(table.classes), empty=names(table.empty))

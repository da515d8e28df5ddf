"""Which files are images, by their names, which lie below a folder, and what is said of those that are none."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from seewhy.data.formats.next_steps import kind_of_file, steps_for
from seewhy.errors import listed

_COMMON = (".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff")
_RARE = (".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".tga")
PLAIN = frozenset((*_COMMON, *_RARE))  # which Pillow reads
_PACKED = ".nii.gz"  # the only suffix of two parts
_BY_EXTRAS = (".heic", ".heif", ".hif", ".dcm", ".dicom", ".nii", _PACKED)  # without these, rows that say so
SUFFIXES = PLAIN.union(_BY_EXTRAS)
RUN = "manifest.json"  # a folder with it is a run, whose sheet.jpg does not make it a class
# Beside pictures these are no pictures that somebody might miss.
_WORDS = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".md", ".html", ".py", ".ipynb")
_NO_PICTURES = frozenset((*_WORDS, ".ini", ".db", ".log", ".pt", ".pth", ".safetensors", ".parquet"))


def walk(
    root: Path, refused: Callable[[OSError], None] = lambda error: None, others: Counter[str] | None = None
) -> Iterator[Path]:
    """Every image file below root; linked folders are followed once, and what cannot be looked into is told.

    `others` counts the files that may be pictures, but are not read, by their suffix; DICOM without one counts as such.
    """
    seen: set[str] = set()
    for folder, inner, names in os.walk(root, followlinks=True, onerror=refused):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = sorted(name for name in inner if not is_of_a_system(name))
        for name in names:
            if is_image_name(name):
                yield Path(folder, name)
            elif others is not None and _may_be_missed(name):
                others[kind_of_file(Path(folder, name))] += 1


def is_of_a_system(name: str) -> bool:
    """Whether a folder is what an operating system or an editor leaves beside the user's."""
    return name.startswith((".", "$")) or name in ("__MACOSX", "__pycache__", "@eaDir", "lost+found")


def suffix_of(name: str) -> str:
    """How a name ends, without case: ".png"; or ".nii.gz"."""
    if name.lower().endswith(_PACKED):
        return _PACKED
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 -- ten times as quick, for each of a million names
    return "" if suffix == "." else suffix


def stem_of(name: str) -> str:
    """A file's name without that."""
    return name[: len(name) - len(suffix_of(name))]


def is_image_name(name: str) -> bool:
    """Whether a file of this name is read as an image."""
    return has_image_suffix(name) and not name.startswith(".")


def has_image_suffix(name: str) -> bool:
    """Whether the name ends as those of images do."""
    return suffix_of(name) in SUFFIXES


def holds_image(folder: Path) -> bool:
    """Whether images lie in the folder itself, and it is no run."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:  # also a file
        return False
    return RUN not in names and any(map(is_image_name, names))


def left_out(empty: Sequence[str], unread: Sequence[OSError], others: Mapping[str, int]) -> list[str]:
    """What is said of all that was not read: files of other kinds, folders, classes without an image."""
    notes = []
    if others:
        kinds = listed([f"{count:,} {suffix or 'without a suffix'}" for suffix, count in sorted(others.items())], 6)
        notes += [f"Files that are not read as images: {kinds}.", *steps_for(others)]
    if unread:
        names = listed([f"{error.filename} ({error.strerror})" for error in unread], 3)
        notes.append(f"{len(unread)} folders cannot be looked into: {names}.")
    if empty:
        notes.append(f"Folders without an image: {listed(empty)}. They count as classes if the network has so many.")
    return notes


def _may_be_missed(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() not in _NO_PICTURES

"""What the names of folders say of the images below them: which folders are splits, and which are classes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from seewhy.errors import listed

SPLITS = ("train", "training", "valid", "validation", "val", "test", "testing", "dev")
_ROLES = {"training": "train", "validation": "valid", "val": "valid", "dev": "valid", "testing": "test"}
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORDS = re.compile(r"[^a-z]+")

_YEAR = r"(19|20)\d\d([-_. ]?\d\d){0,2}"
_PART = (
    r"(batch|part|chunk|shard|set|fold|run|round|session|series|lot|group|day|week|month|year|visit|scan|scanner|camera|"
    r"cam|patient|subject|site|cent(er|re)|hospital|plate|slide|roll)([-_ ]?\d+|[-_ ][a-z])"
)
_PARTS = re.compile(f"{_YEAR}|{_PART}")

Folders = tuple[str, ...]  # of one image, from the outside in


@dataclass(frozen=True)
class Placement:
    """The (label, split) of each image, the folders in which class folders lie, and what is to be said."""

    places: tuple[tuple[str | None, str | None], ...]
    homes: tuple[Folders, ...] = ()
    notes: tuple[str, ...] = ()
    either: int | None = None  # how deep the first of two levels of folders lies, either of which may be the classes


class LevelNote(str):
    """A note of which level of folders is read as the classes, which the names of the classes may show to be wrong."""


def is_split_name(name: str) -> bool:
    """Whether a folder's whole name is that of a split."""
    return name.lower() in SPLITS


def role_of(split: str | None) -> str:
    """What a split is for: "train", "valid" or "test", as in `training_set` or `PublicTest`; else its name."""
    name = split or "no split"
    words = _WORDS.split(_HUMPS.sub("_", name).lower())
    word = next((word for word in words if word in SPLITS), name.lower())
    return _ROLES.get(word, word)


def placed(folders: Sequence[Folders]) -> Placement:
    """The labels and splits of images in these folders, each of which is in one at least.

    Folders that all images share are gone down, where others lie below. Top folders are splits where they hold class
    folders and are named like splits, or where all hold the same two or more class folders, whatever their names,
    unless these are called like parts of the data (2020, batch1), and the top folders are not. Where the folders
    inside are the splits, the top folders are the classes.
    """
    shared = _shared(folders)
    inner = [names[len(shared) :] for names in folders]
    below: dict[str, set[str | None]] = defaultdict(set)
    for names in inner:
        below[names[0]].add(names[1] if len(names) > 1 else None)
    inside = {name for names in below.values() for name in names}
    if _are_classes_with_splits(below):
        of_classes = tuple((names[0], names[1] if len(names) > 1 else None) for names in inner)
        return Placement(of_classes, (shared,), _notes(shared, inner, {}))
    splits = _splits(below)
    is_open = bool(splits) and not any(map(_means_split, splits)) and splits == sorted(below) and None not in inside
    either = len(shared) if is_open else None
    if is_open and all(map(_is_part, inside)) and not all(map(_is_part, splits)):
        notes = (*_notes(shared, inner, {}), _of_parts(splits, sorted(filter(None, inside))))
        return Placement(tuple((names[0], None) for names in inner), (shared,), notes, either)
    if not splits:
        return Placement(tuple((names[0], None) for names in inner), (shared,), _notes(shared, inner, {}))
    skipped = {split: _skipped(split, [names[1:] for names in inner if names[0] == split]) for split in splits}
    places = tuple(_place(names, skipped) for names in inner)
    homes = tuple((*shared, split, *skipped[split]) for split in splits if None not in below[split])
    return Placement(places, homes, _notes(shared, inner, skipped), either)


def _is_part(name: str | None) -> bool:
    """Whether a folder is called like a part of the data of each class: a year, batch1, session_2."""
    return name is not None and _PARTS.fullmatch(name.lower()) is not None


def _of_parts(tops: Sequence[str], inside: Sequence[str]) -> LevelNote:
    return LevelNote(
        f"{listed(tops)} are read as the classes, since the folders in each are called like parts: {listed(inside)}.  "
        f"If these are the classes:  --classes {','.join(inside)}"
    )


def _are_classes_with_splits(below: Mapping[str, set[str | None]]) -> bool:
    """Whether splits lie in class folders, not these in those: cat/train, cat/valid, dog/train, …"""
    inside = {name for names in below.values() for name in names}
    if len(below) < 2 or len(inside) < 2 or all(map(_means_split, below)):
        return False
    return all(name is not None and _means_split(name) for name in inside)


def _place(names: Folders, skipped: Mapping[str, Folders]) -> tuple[str | None, str | None]:
    if names[0] not in skipped:
        return None, None
    rest = names[1 + len(skipped[names[0]]) :]
    return (rest[0] if rest else None), names[0]


def _shared(folders: Sequence[Folders]) -> Folders:
    """The folders around all images, as far as others lie below, and without the last where that is a split."""
    shared = _common(folders)
    if any(len(names) == len(shared) for names in folders):  # images of one class, or of one split without classes
        return ()
    return shared[:-1] if shared and _means_split(shared[-1]) else shared


def _common(folders: Sequence[Folders]) -> Folders:
    first, last = min(folders), max(folders)
    count = next((k for k, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), None)
    return first[: min(len(first), len(last)) if count is None else count]


def _splits(below: Mapping[str, set[str | None]]) -> list[str]:
    """The folders that are splits, by what lies in them: the names of folders, and None for images."""
    tops = sorted(below)
    holding = [top for top in tops if None not in below[top]]
    if (
        len(tops) > 1
        and holding == tops
        and all(below[top] == below[tops[0]] for top in tops)
        and len(below[tops[0]]) > 1
    ):
        return tops
    named = [top for top in holding if _means_split(top)]
    bare = [top for top in tops if below[top] == {None} and is_split_name(top)]  # images without classes
    return sorted([*named, *bare]) if named or bare == tops else []


def _means_split(name: str) -> bool:
    return role_of(name) in ("train", "valid", "test")


def _skipped(split: str, inner: Sequence[Folders]) -> Folders:
    """The folder around all of a split that is named like one itself, as in seg_train/seg_train/…"""
    first = inner[0][:1]
    is_around = bool(first) and all(names[:1] == first and len(names) > 1 for names in inner)
    return first if is_around and (first == (split,) or _means_split(first[0])) else ()


def _notes(shared: Folders, inner: Sequence[Folders], skipped: Mapping[str, Folders]) -> tuple[str, ...]:
    notes: list[str] = []
    if shared:
        notes.append(f"All images lie in {'/'.join(shared)}, whose folders are read.")
    if unusual := [name for name in skipped if not is_split_name(name)]:
        counts = Counter(names[0] for names in inner)
        said = listed([f"{name} ({counts[name]:,})" for name in unusual])
        is_open = not any(map(_means_split, skipped))
        way_out = f"  If they are the classes:  --classes {','.join(sorted(skipped))}" if is_open else ""
        notes.append(LevelNote(f"These folders are read as splits, since they hold class folders: {said}.{way_out}"))
    outside = Counter(names[0] for names in inner if skipped and names[0] not in skipped)
    if outside:
        said = listed([f"{name} ({count:,})" for name, count in sorted(outside.items())])
        notes.append(f"Images beside the splits have no class: {said}.")
    return tuple(notes)

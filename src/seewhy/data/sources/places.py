"""Where the files of a table lie: as it says, or where the ends of its names are here."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

from seewhy.data.formats.image_files import PLAIN, is_image_name, stem_of, suffix_of
from seewhy.data.sources.addresses import address_of
from seewhy.data.sources.shards import member_of
from seewhy.errors import DataError

_DEEP = 3  # folders below the table that are looked through
_ELSEWHERE = re.compile(r"[\\/~]|[A-Za-z]:|\w+://|\.\.")  # how the names of another machine's files begin

_WEB = re.compile(r"(?:^|/)(https?|ftp|s3|gs|az|hdfs):/+")

Parts = tuple[str, ...]


def located(names: Sequence[str], folder: Path, source: str) -> tuple[list[Path], tuple[str, ...]]:
    """The path of each name in a table that lies in `folder`, and what was decided.

    A name is taken as written, seen from the table's folder or from here. Where none of its kind (relative, or of
    another machine) exists so, the files below the folder whose paths end like the names are taken: some folders
    further down, with a suffix where the name has none, with slashes for backslashes. Raises DataError where a name
    fits several. What fits none keeps its name, and cannot be read.
    """
    names = [unquote(name.removeprefix("file://")) if name.startswith("file://") else name for name in names]
    paths = [as_written(name, folder) for name in names]
    written = [path.exists() or member_of(path) is not None for path in paths]
    moved: dict[int, Path] = {}
    for elsewhere in (False, True):
        kind = [row for row, name in enumerate(names) if bool(_ELSEWHERE.match(name)) is elsewhere]
        if kind and not any(written[row] for row in kind):
            moved |= _moved({row: names[row] for row in kind}, folder, source, cut=elsewhere)
    for row, path in moved.items():
        paths[row] = path
    if not moved:
        return paths, ()
    row, path = next(iter(moved.items()))
    said = f"{len(moved):,} files lie elsewhere than {source} says: {names[row]} is {os.path.relpath(path, folder)}."
    return paths, (said,)


def as_written(name: str, folder: Path) -> Path:
    """A path as seen from the list's folder, or from here if it exists only here; an address as it is."""
    if address_of(name) is not None:
        return Path(name)
    beside = as_on_disk(folder / name)
    if beside.exists() or not (here := as_on_disk(Path(name))).exists():
        return beside
    return here


def why_not_here(path: Path) -> str | None:
    """The reason of a path that is an address on the web; None of any other, and of one that can be read."""
    if address_of(path) is not None:
        return None
    if (found := _WEB.search(path.as_posix())) is None or path.exists():
        return None
    address = f"{found[1]}://{path.as_posix()[found.end() :]}"
    return f"{address} is an address, and images are files: download it, and write its path on this machine"


def as_on_disk(path: Path) -> Path:
    """The path in the Unicode form that its file has; as it is where there is none."""
    if path.exists() or str(path).isascii():
        return path
    forms = (Path(unicodedata.normalize(form, str(path))) for form in ("NFC", "NFD"))
    return next((written for written in forms if written.exists()), path)


def _moved(names: dict[int, str], folder: Path, source: str, *, cut: bool) -> dict[int, Path]:
    """The files that end like the names, by row; with `cut` the first folders of a name need not be here."""
    ends = _ends(folder)
    moved: dict[int, Path] = {}
    for row, name in names.items():
        parts = tuple(part for part in re.split(r"[\\/]+", name) if part not in ("", ".")) or (name,)
        pool = ends.get(_key(parts[-1]), [])
        if not pool and suffix_of(name) not in PLAIN:  # a.dcm, which was made a.png here
            pool = ends.get(_key(stem_of(parts[-1])), [])
        starts = range(len(parts) if cut else 1 + _shared(parts, folder))
        ways = ([path for path in pool if _ends_like(path.relative_to(folder).parts, parts[at:])] for at in starts)
        fitting = next(filter(None, ways), [])
        if len(fitting) > 1:
            both = " and ".join(path.relative_to(folder).as_posix() for path in fitting[:2])
            raise DataError(
                f"The name {name} in {source} fits {len(fitting)} files: {both}.\n"
                "  Put the table into the folder that is meant, or write the folder into its names.",
                slug="csv",
            )
        for path in fitting:
            moved[row] = path
    taken: defaultdict[Path, set[str]] = defaultdict(set)
    for row, path in moved.items():
        taken[path].add(names[row])
    return {row: path for row, path in moved.items() if len(taken[path]) == 1}  # two names are two files


def _ends(folder: Path) -> defaultdict[str, list[Path]]:
    """The images some folders below by the last part of their path, with and without suffix."""
    ends: defaultdict[str, list[Path]] = defaultdict(list)
    for home, inner, names in os.walk(folder):
        deep = len(Path(home).relative_to(folder).parts)
        inner[:] = sorted(name for name in inner if not name.startswith(".")) if deep < _DEEP else []
        for name in filter(is_image_name, sorted(names)):
            for key in {_key(name), _key(stem_of(name))}:
                ends[key].append(Path(home, name))
    return ends


def _ends_like(path: Parts, wanted: Parts) -> bool:
    end = path[len(path) - len(wanted) :]
    return len(path) >= len(wanted) and [*map(_key, end[:-1])] == [*map(_key, wanted[:-1])]


def _shared(parts: Parts, folder: Path) -> int:
    """How many first folders of a name are the last ones of the table's own."""
    own = folder.absolute().parts
    return max((n for n in range(1, len(parts)) if own[-n:] == parts[:n]), default=0)


def _key(name: str) -> str:
    """A name as it is compared: in one Unicode form and without case."""
    return unicodedata.normalize("NFC", name).casefold()

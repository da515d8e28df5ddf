"""How a zip of images becomes DEST/SPLIT/CLASS/FILE: judged, then written, whole or not at all; one long file."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from seewhy.data.formats.image_files import has_image_suffix
from seewhy.data.formats.missing import nearest_paths
from seewhy.data.tables.folder_names import is_split_name
from seewhy.errors import DataError, WorkError, listed
from seewhy.records import Progress

Counts = Mapping[tuple[str, str], int]  # (split, class) -> number of images; split is "" where there are none
Members = dict[str, zipfile.ZipInfo]  # path inside DEST -> the member of the archive that lands there

MOST_BYTES = 20 * 2**30  # an archive that unpacks to more is refused
MOST_RATIO = 200  # so is a member above 1 MiB that was compressed more than this; photographs barely compress
CHUNK_BYTES = 2**20
STAGING = ".partial"
MARKER = ".seewhy-data.json"
_IGNORED = {STAGING, MARKER, ".DS_Store"}
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError)


def unpack(
    archive: Path,
    dest: Path,
    *,
    source: str = "",
    expected: Counts | None = None,
    first: Counts | None = None,
    progress: Progress | None = None,
) -> Path:
    """`dest`, holding the images and CSV files of a zip as SPLIT/CLASS/FILE, or CLASS/FILE where it has no splits.

    Leading folders are dropped, and `expected` counts by (split, class) are checked before anything is written.
    `first` keeps so many images of each folder, by file name, and makes the CSV files anew. `source` is what the user
    typed after `seewhy data` (default: the archive). Killed anywhere and called again, it ends in the same files;
    without the marker, written last, nothing is whole.

    Raises DataError for an archive that is damaged, dangerous, without images or with other counts, and for a
    `dest` that holds something else; WorkError when the disk is full.
    """
    typed = source or str(archive)
    with _opened(archive) as opened, writing(dest, typed):
        plan, tables, n_left_out = _planned(archive, _safe_members(archive, opened.infolist()))
        if first is not None:
            plan, tables = _first(plan, first), {}
        counts, files = _counted(plan), plan | tables
        if expected is not None and counts != expected:
            raise DataError(f"{archive} does not hold the images expected.\n{_differing(expected, counts)}")
        facts = {"source": source or archive.name, "digest": _digest(files), "left_out": n_left_out}
        known = _marker(dest).get("digest") == facts["digest"]
        if not known:
            _admit(dest, {PurePosixPath(path).parts[0] for path in files} | set(_tables_of(counts)), typed)
        if not known or _on_disk(dest, counts) != counts:
            _make_room(dest, files)
            _publish(dest, _extract(opened, files, dest, progress))
            _finish(dest, counts, facts, typed)
        return _complete(dest, counts)


def resume(dest: Path, source: str, counts: Counts) -> bool:
    """Whether `dest` holds all of `source` already, from an earlier `unpack`; what that left undone is done.

    Raises DataError for a `dest` that holds something else.
    """
    if _marker(dest).get("source") != source:
        _admit(dest, None, source)
        return False
    whole = _on_disk(dest, counts) == counts
    if whole:
        _complete(dest, counts)
    return whole


@contextlib.contextmanager
def writing(dest: Path, typed: str) -> Iterator[None]:
    """Turns what the disk refuses into a WorkError that says how to go on; `typed` came after `seewhy data`."""
    try:
        yield
    except OSError as error:
        raise WorkError(
            f"Unpacking into {dest} failed: {error.strerror or error}.\n"
            f"  Go on where it stopped:  seewhy data {typed} {dest}"
        ) from error


# What the archive holds, judged before anything is written


def _opened(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except FileNotFoundError as error:
        raise DataError(f"There is no file {archive}.  {nearest_paths(archive)}") from error
    except OSError as error:
        raise DataError(f"{archive} cannot be read: {error.strerror}.") from error
    except _DAMAGED as error:
        raise DamagedError(archive, error) from error


class DamagedError(DataError):
    """Occurs when an archive is no zip, or only part of one."""

    def __init__(self, archive: str | Path | None, reason: object) -> None:
        super().__init__(f"{archive} is not a whole zip archive: {reason}.\n  Download it again.")


def _safe_members(archive: Path, members: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """The members that are files; one dangerous member refuses them all."""
    for member in members:
        if danger := _danger(member):
            raise DataError(f"{archive} is refused: its member {member.orig_filename!r} {danger}. Nothing was written.")
    if twice := [name for name, count in Counter(member.filename for member in members).items() if count > 1]:
        raise DataError(f"{archive} is refused: it holds {listed(map(repr, twice), 3)} twice. Nothing was written.")
    if (total := sum(member.file_size for member in members)) > MOST_BYTES:
        raise DataError(
            f"{archive} is refused: it unpacks to {total / 2**30:.1f} GiB, above the limit of "
            f"{MOST_BYTES / 2**30:.0f} GiB. Nothing was written."
        )
    return [member for member in members if not member.is_dir()]


def _danger(member: zipfile.ZipInfo) -> str | None:
    names = (member.orig_filename, member.filename)  # they differ where an extra field renames the member
    kind = stat.S_IFMT(member.external_attr >> 16)
    rules = (
        (not member.filename.strip("/"), "has no name"),
        (any(re.match("/|[A-Za-z]:", name) for name in names), "has an absolute path"),
        (any(".." in name.split("/") for name in names), "climbs out of the folder"),
        (any("\\" in name or "\0" in name for name in names), "has a backslash or a NUL in its name"),
        (kind not in (0, stat.S_IFREG, stat.S_IFDIR), "is a link or a device, not a regular file"),
        (member.flag_bits & 0x1, "is encrypted"),
        (
            member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
            "is compressed in an unusual way (only stored and deflated are read)",
        ),
        (
            member.file_size > 2**20 and member.file_size > MOST_RATIO * member.compress_size,
            f"claims to unpack to more than {MOST_RATIO} times its size",
        ),
    )
    return next((words for broken, words in rules if broken), None)


def _planned(archive: Path, members: list[zipfile.ZipInfo]) -> tuple[Members, Members, int]:
    """Where each image and each CSV file lands, sorted, and how many images fit nowhere."""
    paths = {PurePosixPath(member.filename): member for member in members if not _is_hidden(member.filename)}
    images = {path: member for path, member in paths.items() if has_image_suffix(path.name)}
    in_splits = {path for path in images if len(path.parts) > 2 and is_split_name(path.parts[-3])}
    depth = 3 if in_splits else 2
    placed = in_splits or {path for path in images if len(path.parts) > 1}
    if not placed:
        raise DataError(f"{archive} {_contents(paths, images)}")
    plan: Members = {}
    for path in sorted(placed):
        target = "/".join(path.parts[-depth:])
        other = plan.setdefault(target, images[path])
        if (other.CRC, other.file_size) != (images[path].CRC, images[path].file_size):
            raise DataError(f"{archive} holds two different files for {target}: {other.filename} and {path}.")
    root = min(placed).parts[:-depth]
    tables: Members = {}
    for path in sorted(paths, key=lambda path: (len(path.parts), path)):
        if path.suffix.lower() == ".csv":
            below = path.parts[: len(root)] == root
            tables.setdefault("/".join(path.parts[len(root) :]) if below else path.name, paths[path])
    return dict(sorted(plan.items())), tables, len(images) - len(placed)


def _is_hidden(filename: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(filename).parts)


def _contents(paths: Iterable[PurePosixPath], images: Mapping[PurePosixPath, Any]) -> str:
    wanted = "Images are looked for as SPLIT/CLASS/FILE or CLASS/FILE, for instance train/fake/1.jpg."
    if images:
        return f"holds {len(images)} images, but none in a class folder ({listed(map(str, images), 2)}).\n  {wanted}"
    kinds = Counter(path.suffix.lower() or "no suffix" for path in paths)
    held = listed(f"{n} {kind}" for kind, n in kinds.most_common()) or "nothing"
    return f"holds no images; it holds: {held}.\n  {wanted}"


def _first(plan: Members, counts: Counts) -> Members:
    """The first images of each folder, as many as `counts` asks for; the plan is sorted."""
    seen: Counter[tuple[str, str]] = Counter()
    kept: Members = {}
    for path, member in plan.items():
        seen[_key(path)] += 1
        if seen[_key(path)] <= counts.get(_key(path), 0):
            kept[path] = member
    return kept


def _key(path: str) -> tuple[str, str]:
    parts = path.split("/")
    return (parts[0] if len(parts) == 3 else "", parts[-2])


def _counted(paths: Iterable[str]) -> dict[tuple[str, str], int]:
    return dict(Counter(map(_key, paths)))


def _differing(expected: Counts, present: Counts) -> str:
    keys = [key for key in sorted({*expected, *present}) if expected.get(key, 0) != present.get(key, 0)]
    lines = (
        f"{'/'.join(filter(None, key))}: expected {expected.get(key, 0)}, found {present.get(key, 0)}" for key in keys
    )
    return "  " + listed(lines)


def _digest(plan: Members) -> str:
    lines = (f"{path}\0{member.file_size}\0{member.CRC}\n" for path, member in sorted(plan.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


# What the folder holds, and writing to it


def _marker(dest: Path) -> dict[str, Any]:
    try:
        facts = json.loads((dest / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _on_disk(dest: Path, counts: Counts) -> dict[tuple[str, str], int]:
    """What `dest` holds, at the depth of `counts`: with splits or without."""
    pattern = "*/*/*" if any(split for split, _ in counts) else "*/*"
    paths = (path.relative_to(dest).as_posix() for path in dest.glob(pattern))
    return _counted(path for path in paths if has_image_suffix(path) and not _is_hidden(path))


def _admit(dest: Path, names: set[str] | None, typed: str) -> None:
    """Refuse a `dest` with anything in it, but for `names` (None: any) where an earlier run was interrupted."""
    if dest.exists() and not dest.is_dir():
        raise DataError(f"{dest} is a file, not a folder.\n  Choose a new folder:  seewhy data {typed} NEW_FOLDER")
    there = {path.name for path in dest.iterdir()} - _IGNORED if dest.exists() else set()
    if (dest / STAGING).is_dir() and not (dest / MARKER).exists():
        there -= there if names is None else names
    if strange := sorted(there):
        raise DataError(
            f"{dest} already holds something else: {listed(strange)}.\n"
            f"  Choose a new folder:  seewhy data {typed} NEW_FOLDER"
        )


def _make_room(dest: Path, files: Members) -> None:
    need = sum(member.file_size + 4096 for path, member in files.items() if not _found(dest, path))
    home = next(folder for folder in (dest, *dest.absolute().parents) if folder.exists())
    if need > (free := shutil.disk_usage(home).free):
        raise WorkError(
            f"{dest} needs {need / 2**30:.2f} GiB, but its disk has {free / 2**30:.2f} GiB free. Nothing was written."
        )
    (dest / STAGING).mkdir(parents=True, exist_ok=True)
    (dest / MARKER).unlink(missing_ok=True)


def _found(dest: Path, path: str) -> list[Path]:
    return [file for file in (dest / path, dest / STAGING / "tree" / path) if file.is_file()]


def _extract(opened: zipfile.ZipFile, files: Members, dest: Path, progress: Progress | None) -> list[str]:
    """The paths that wait in the staging folder; what an earlier run left is kept where size and CRC are right."""
    staged = []
    for done, (path, member) in enumerate(files.items(), start=1):
        good = next((file for file in _found(dest, path) if _is_same(file, member)), None)
        if good is None:
            _extract_one(opened, member, dest / STAGING / "tree" / path)
        if good != dest / path:
            staged.append(path)
        if progress:
            progress(done, len(files))
    return staged


def _is_same(path: Path, member: zipfile.ZipInfo) -> bool:
    if path.stat().st_size != member.file_size:
        return False
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            crc = zlib.crc32(chunk, crc)
    return crc == member.CRC


def _extract_one(opened: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    size, written = member.file_size, 0
    try:
        with opened.open(member) as source, partial.open("wb") as file:
            while written <= size and (chunk := source.read(CHUNK_BYTES)):
                written += file.write(chunk)
        if written != size:
            raise EOFError(f"{member.filename} declares {size} bytes but holds {written} or more")
    except _DAMAGED as error:
        raise DamagedError(opened.filename, error) from error
    partial.replace(target)


def _publish(dest: Path, staged: Iterable[str]) -> None:
    for path in staged:
        (dest / path).parent.mkdir(parents=True, exist_ok=True)
        (dest / STAGING / "tree" / path).replace(dest / path)


def _finish(dest: Path, counts: Counts, facts: Mapping[str, Any], typed: str) -> None:
    """Check the counts on disk, and write the marker last."""
    if (present := _on_disk(dest, counts)) != counts:
        raise DataError(
            f"{dest} does not hold the images of {facts['source']}.\n{_differing(counts, present)}\n"
            f"  Unpack into a new folder:  seewhy data {typed} NEW_FOLDER"
        )
    _write_missing_tables(dest, counts)
    _write_text(dest, MARKER, json.dumps(facts, indent=1) + "\n")


def _complete(dest: Path, counts: Counts) -> Path:
    _write_missing_tables(dest, counts)
    shutil.rmtree(dest / STAGING, ignore_errors=True)
    return dest


def _write_missing_tables(dest: Path, counts: Counts) -> None:
    for name, split in _tables_of(counts).items():
        if not (dest / name).exists():
            _write_text(dest, name, _table(dest, split))


def _tables_of(counts: Counts) -> dict[str, str]:
    return {f"{split}.csv": split for split, _ in sorted(counts) if split}


def _table(dest: Path, split: str) -> str:
    paths = sorted(path for path in (dest / split).glob("*/*") if has_image_suffix(path.name))
    classes = sorted({path.parent.name for path in paths})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("", "id", "path", "label", "label_str"))
    for row, path in enumerate(paths):
        name = path.parent.name
        writer.writerow((row, path.stem, path.relative_to(dest).as_posix(), classes.index(name), name))
    return text.getvalue()


def _write_text(dest: Path, name: str, text: str) -> None:
    partial = dest / STAGING / f"{name}.{os.getpid()}.part"
    partial.parent.mkdir(exist_ok=True)
    partial.write_text(text, encoding="utf-8", newline="")
    partial.replace(dest / name)

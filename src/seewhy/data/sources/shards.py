"""WebDataset: images in plain tar files, whose names up to the first dot join an image with its label."""

from __future__ import annotations

import json
import math
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Any

from seewhy.data.formats.extras import UnreadableError
from seewhy.data.formats.image_files import SUFFIXES
from seewhy.data.sources.addresses import address_of, is_pattern, matches_at, read_address, with_file
from seewhy.data.tables.folder_names import is_split_name
from seewhy.data.tables.item_labels import LABELS
from seewhy.data.tables.labels import JOINT
from seewhy.errors import DataError

SUFFIX = ".tar"
_WITHIN = SUFFIX + "/"  # in the path of an image: DATA/shard-000.tar/0001.jpg
_WORDS_MOST = 2**20  # bytes of a label that are read
_NUMBERS = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_SHARDS = 100_000
_NAME_AND_NUMBER = re.compile(r"([A-Za-z]+)[-_.]?[\d-]*")  # train-00012


@dataclass(frozen=True)
class Index:
    """What a tar holds: (first byte, bytes) of each image by its name, and the label and more of each sample by key."""

    images: Mapping[str, tuple[int, int]]
    facts: Mapping[str, Mapping[str, str]]
    bare: int = 0  # samples without an image


@dataclass
class _Sample:
    images: dict[str, tuple[int, int]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)


def are_shards(text: str) -> bool:
    """Whether a text names tars: one, a pattern, or shard-{000..010}.tar."""
    return text.lower().endswith(SUFFIX)


def member_of(path: str | Path) -> tuple[str, str] | None:
    """The tar and the name within it that an image's path names; None of any other, and of a folder called so."""
    text = str(path)
    if _WITHIN not in text:
        return None
    at = text.index(_WITHIN) + len(SUFFIX)
    if address_of(text) is None and not Path(text[:at]).is_file():
        return None
    return text[:at], text[at + 1 :]


def file_of(path: str) -> str:
    """The file that an image lies in: the tar of one within, else the path itself."""
    return path.partition(_WITHIN)[0] + SUFFIX if _WITHIN in path else path


def read_member(tar: str, name: str, most: int) -> bytes:
    """The bytes of an image within a tar. Raises UnreadableError with the reason."""
    try:
        start, size = index_of(tar).images[name]
    except DataError as error:
        raise UnreadableError(error.message.splitlines()[0]) from error
    except KeyError as error:
        raise UnreadableError(f"{PurePosixPath(tar).name} holds no {name}") from error
    if size > most:
        raise UnreadableError(f"a file of {size:,} bytes is more than the limit of {most:,}")
    if (address := address_of(tar)) is not None:
        return read_address(address, size, start)
    try:
        with Path(tar).open("rb") as file:
            file.seek(start)
            return file.read(size)
    except OSError as error:
        raise UnreadableError(error.strerror or type(error).__name__) from error


def member_size(tar: str, name: str) -> int:
    """How many bytes an image within a tar has; 0 where that cannot be told."""
    try:
        return index_of(tar).images[name][1]
    except (DataError, KeyError):
        return 0


def index_of(tar: str) -> Index:
    """What a tar holds. Raises DataError where it is none, is compressed or damaged."""
    if address_of(tar) is not None:
        return _read_index(tar, 0, 0)
    try:
        status = Path(tar).stat()
    except OSError as error:
        raise DataError(f"{tar} cannot be read: {error.strerror}.", slug="shards") from error
    return _read_index(tar, status.st_size, status.st_mtime_ns)


def expanded(text: str) -> list[str]:
    """The names that shard-{000..010}.tar stands for; the name itself where it holds no braces."""
    parts = _NUMBERS.split(text)
    ends = list(zip(parts[1::3], parts[2::3], strict=True))
    if math.prod(max(0, int(high) - int(low) + 1) for low, high in ends) > _MOST_SHARDS:
        raise DataError(f"{text} stands for more than {_MOST_SHARDS:,} files.", slug="shards")
    ways = product(*(_counted(low, high) for low, high in ends))
    return ["".join(_woven(parts[::3], way)) for way in ways]


def shards_in(text: str) -> list[str]:
    """The tars that a text names: by numbers in braces, by a pattern, or one."""
    tars: list[str] = []
    for name in expanded(text):
        if not is_pattern(name):
            tars.append(name)
        elif address_of(name) is not None:
            tars += matches_at(name)
        else:
            anchor = Path(name).anchor
            tars += sorted(map(str, Path(anchor or ".").glob(name.removeprefix(anchor))))
    return tars


def rows_of(tars: Sequence[str]) -> tuple[list[dict[str, str]], Path, list[str]]:
    """A row for each image of the tars, as of a table; the folder that paths are relative to; and what is said.

    Rows are in the order of the tars, and hold path, label, split, and what JSON beside the image says. Raises
    DataError where a tar cannot be read, or none holds an image.
    """
    rows, bare, folder = [], 0, _folder_of(tars)
    for tar in tars:
        index, split = index_of(tar), _split_of(tar)
        bare += index.bare
        where = tar if address_of(tar) is not None else os.path.relpath(tar, folder)
        for name in index.images:
            said = {"split": split} if split else {}
            rows.append({"path": f"{where}/{name}", **said, **index.facts.get(_key_of(name), {})})
    if not rows:
        kinds = "as KEY.jpg or KEY.png, with the label in KEY.cls or KEY.json"
        raise DataError(f"Found no images in {tars[0]}, which are looked for {kinds}.", slug="no-images")
    return rows, folder, [f"{bare:,} samples of the tars have no image, and are left out."] if bare else []


def _folder_of(tars: Sequence[str]) -> Path:
    """The folder that all tars on this machine lie below."""
    homes = [Path(tar).parent for tar in tars if address_of(tar) is None]
    if len({home.is_absolute() for home in homes}) > 1:
        homes = [home.absolute() for home in homes]
    return Path(os.path.commonpath(homes)) if homes else Path()


def _counted(low: str, high: str) -> list[str]:
    width = len(low) if low.startswith("0") or len(low) == len(high) else 0
    return [f"{number:0{width}d}" for number in range(int(low), int(high) + 1)]


def _woven(parts: Sequence[str], ways: Sequence[str]) -> Iterator[str]:
    for part, way in zip(parts, [*ways, ""], strict=True):
        yield part + way


def _split_of(tar: str) -> str | None:
    """The split that a shard's name says: train-00012.tar."""
    match = _NAME_AND_NUMBER.fullmatch(PurePosixPath(tar).name[: -len(SUFFIX)])
    return match[1] if match and is_split_name(match[1]) else None


def _key_of(name: str) -> str:
    """A member's name up to the first dot of its last part: what the files of a sample share."""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition('.')[0]}"


@lru_cache(maxsize=512)
def _read_index(tar: str, size: int, changed: int) -> Index:
    """What a tar of that size and time of change holds."""
    try:
        if (address := address_of(tar)) is not None:
            return with_file(address, lambda file: _indexed(tar, file))
        with Path(tar).open("rb") as file:
            return _indexed(tar, file)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise _damaged(tar, error) from error
    except OSError as error:
        raise DataError(f"{tar} cannot be read: {error.strerror or error}.", slug="shards") from error


def _damaged(tar: str, error: Exception) -> DataError:
    return DataError(f"{tar} is no whole tar file: {error}.\n  Copy it again, or make it again.", slug="shards")


def _indexed(tar: str, file: Any) -> Index:
    if (head := file.read(6))[:2] == b"\x1f\x8b" or head[:3] == b"BZh" or head == b"\xfd7zXZ\0":
        said = f"{tar} is compressed, so that no image within it can be found without reading all before it."
        raise DataError(f"{said}\n  Make a plain tar of it:  gunzip -c FILE > shard-000.tar", slug="shards")
    file.seek(0)
    samples: dict[str, _Sample] = {}
    try:
        with tarfile.open(fileobj=file, mode="r:") as opened:
            for member in opened:
                if member.isreg() and not member.issparse():
                    _take(samples, opened, member)
            file.seek(opened.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # which tarfile takes for the end
                raise tarfile.ReadError(f"what stands after {len(samples):,} samples is no file")
    except tarfile.TarError as error:
        raise _damaged(tar, error) from error
    images = {name: place for sample in samples.values() for name, place in sample.images.items()}
    facts = {key: sample.facts for key, sample in samples.items() if sample.images and sample.facts}
    return Index(images, facts, sum(not sample.images for sample in samples.values()))


def _take(samples: dict[str, _Sample], opened: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    """Put one file of a tar into its sample: an image by its place, a label by its words."""
    name = member.name.removeprefix("./")
    last = name.rpartition("/")[2]
    key, ending = _key_of(name), last.partition(".")[2].lower()
    if not ending or last.startswith("."):
        return
    sample = samples.setdefault(key, _Sample())
    if f".{ending}" in SUFFIXES:
        sample.images[name] = (member.offset_data, member.size)
    elif ending in ("cls", "json") and member.size <= _WORDS_MOST and (held := opened.extractfile(member)) is not None:
        text = held.read().decode("utf-8", "replace").strip()
        if ending == "cls":
            sample.facts["label"] = text
        else:
            sample.facts = _facts_in(text) | sample.facts


def _facts_in(text: str) -> dict[str, str]:
    """The label and the other plain values of a JSON file; a number or a word alone is the label."""
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(held, dict):
        held = {"label": held}
    plain = {str(name): word for name, value in held.items() if (word := _word(value)) is not None}
    label = next((plain[name] for name in LABELS if name in plain), None)
    rest = {name: word for name, word in plain.items() if name not in ("path", "split", *LABELS)}
    return rest | ({} if label is None else {"label": label})


def _word(value: Any) -> str | None:
    """A plain value as a cell of a table has it, several of them as a set; None of anything else."""
    if isinstance(value, list) and value and all(isinstance(one, (str, int)) for one in value):
        return JOINT.join(map(str, value))
    return str(value) if isinstance(value, (str, int, float)) else None

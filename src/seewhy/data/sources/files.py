"""The bytes of an image, wherever it lies: in a file, at an address, within a tar; and their hash."""

from __future__ import annotations

import hashlib
import stat
from io import BytesIO
from pathlib import Path

from seewhy.data.formats.extras import UnreadableError
from seewhy.data.formats.next_steps import is_address
from seewhy.data.sources.addresses import address_of, read_address, size_at
from seewhy.data.sources.shards import member_of, member_size, read_member

MOST_BYTES = 2**30  # of a file
HEAD = 512  # bytes by which a kind of file is told
_PIECE = 2**20  # bytes that are hashed at once


def read_bytes(path: str | Path) -> bytes:
    """The bytes of an image: of a file, at an address, or within a tar. Raises UnreadableError with the reason."""
    data = _bytes_within(path) if is_within(path) else _bytes_of(Path(path))
    if not data:
        raise UnreadableError("the file is empty")
    return data


def read_start(path: str | Path, most: int) -> bytes:
    """The first bytes of an image, as `read_bytes`."""
    if (address := address_of(path)) is not None and member_of(path) is None:
        return read_address(address, most)
    return _bytes_within(path)[:most] if is_within(path) else head_of(Path(path), most)


def size_of(path: str | Path) -> int:
    """How many bytes an image has; 0 where that cannot be told."""
    if (within := member_of(path)) is not None:
        return member_size(*within)
    if (address := address_of(path)) is not None:
        return size_at(address)
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError):
        return 0


def is_within(path: str | Path) -> bool:
    """Whether an image is no file of its own: it lies at an address, or within a tar."""
    return address_of(path) is not None or member_of(path) is not None


def _bytes_within(path: str | Path) -> bytes:
    """The bytes of such an image."""
    if (within := member_of(path)) is not None:
        return read_member(*within, MOST_BYTES)
    data = read_address(address_of(path) or "", MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise UnreadableError(f"a file of more than {MOST_BYTES:,} bytes is beyond the limit")
    return data


def opened_of(path: str | Path) -> Path | BytesIO:
    """What is opened of an image: its file, or its bytes where it is none of its own."""
    return BytesIO(_bytes_within(path)) if is_within(path) else Path(path)


def _bytes_of(path: Path) -> bytes:
    try:
        size = _check_file(path)
        with path.open("rb") as file:
            data = file.read(size + 1)
        if len(data) > size:  # what /proc shows has no size, and may have no end
            raise UnreadableError(f"it holds more than the {size:,} bytes that it is said to hold")
    except OSError as error:
        if is_address(path):
            raise UnreadableError("it is an address, and images are files here: download it first") from error
        raise UnreadableError(error.strerror or type(error).__name__) from error
    return data


def file_digest(path: str | Path) -> str:
    """The hash of a file's bytes, as a Photograph has it. Raises UnreadableError with the reason."""
    if is_within(path):
        return hash_of(_bytes_within(path)).hexdigest()
    try:
        left, digest = _check_file(Path(path)), hash_of()
        with Path(path).open("rb") as file:
            while left > 0 and (piece := file.read(min(left, _PIECE))):
                digest.update(piece)
                left -= len(piece)
        return digest.hexdigest()
    except OSError as error:
        raise UnreadableError(error.strerror or type(error).__name__) from error


def hash_of(data: bytes = b"") -> hashlib.blake2b:
    """The hash of bytes, to which more can be added."""
    return hashlib.blake2b(data, digest_size=16)


def _check_file(path: Path) -> int:
    """The size of a file in bytes. Raises UnreadableError for what would be waited for or read without an end.

    Such are pipes, devices, giants.
    """
    status = path.stat()
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # reading a folder has a reason of its own
        raise UnreadableError("no regular file")
    if status.st_size > MOST_BYTES:
        raise UnreadableError(f"a file of {status.st_size:,} bytes is more than the limit of {MOST_BYTES:,}")
    return status.st_size


def head_of(file: Path | BytesIO, most: int = HEAD) -> bytes:
    """The first bytes of a file."""
    if isinstance(file, BytesIO):
        return file.getvalue()[:most]
    _check_file(file)
    with file.open("rb") as opened:
        return opened.read(most)

"""HEIC photographs, by the extra `heic`; and AVIF, which Pillow reads from 11.3 on."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import PIL.features
import PIL.Image

from seewhy.data.formats.extras import UnreadableError, library

_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_AVIF = frozenset((b"avif", b"avis"))


def is_heic(head: bytes) -> bool:
    """Whether a file that begins so is HEIC, which Pillow does not read."""
    return bool(_brands(head) & _HEIC) and not _brands(head) & _AVIF


def check_avif(head: bytes) -> None:
    """Raise UnreadableError for AVIF where this Pillow does not read it."""
    if _brands(head) & _AVIF and not PIL.features.check("avif"):
        raise UnreadableError("it is an AVIF file, which Pillow reads from 11.3 on: pip install -U pillow")


def open_heic(file: Path | BytesIO) -> PIL.Image.Image:
    """The image in a HEIC file: 8 bits a channel, also of one that has more, and turned as the file says.

    Nothing is registered with Pillow, so that whatever else this process opens stays as it is. Raises UnreadableError
    where the extra is missing.
    """
    image: PIL.Image.Image = library("pillow_heif", "heic", "HEIC").HeifImageFile(file)
    return image


def _brands(head: bytes) -> set[bytes]:
    """The kinds of file that the first box of an ISO media file names."""
    if head[4:8] != b"ftyp":
        return set()
    end = int.from_bytes(head[:4], "big")
    return {head[8:12], *(head[at : at + 4] for at in range(16, min(end, len(head)), 4))}

"""Slices in NIfTI files, by the extra `medical`: in the file's own units, and upright as radiologists look at them."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from seewhy.data.formats.depth import Scan, Source, Values, rescaled
from seewhy.data.formats.extras import UnreadableError, library

Shape = tuple[int, int, int]

_GZIP = b"\x1f\x8b"
_HEADER = 540  # bytes of the second version's header; the first one's has 348
_PACKED_HEADER = 2**16  # bytes of a packed file in which that lies
_MOST_OFFSET = 2**24  # bytes in front of the numbers, which hold notes of other programs
_EXPORT = "nib.save(nib.load(FILE).slicer[:, :, 40:41], 'slice40.nii.gz')"


def is_nifti(head: bytes) -> bool:
    """Whether a file that begins so is NIfTI, or such a one packed by gzip."""
    with contextlib.suppress(zlib.error):
        head = _unpacked(head, _HEADER)
        return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"
    return False


def open_nifti(data: bytes) -> Source:
    """What a NIfTI file holds, whose first bytes may be enough for that.

    Raises UnreadableError where it is no single slice, or the extra is missing.
    """
    nibabel = library("nibabel", "medical", "NIfTI")
    head = _unpacked(data[:_PACKED_HEADER], _HEADER)
    kind = nibabel.Nifti2Header if head[4:8] == b"n+2\0" else nibabel.Nifti1Header
    header = kind(head[: kind.sizeof_hdr], check=False)
    shape, dtype = _slice_of(header.get_data_shape()), header.get_data_dtype()
    if dtype.kind == "c":
        raise UnreadableError("it holds complex numbers, of which no picture can be made")
    if not 0 <= header.get_data_offset() <= _MOST_OFFSET or min(shape) < 1:
        raise UnreadableError("its header does not say where its numbers lie")
    rows, columns = _upright(nibabel, header, np.broadcast_to(np.uint8(0), shape)).shape
    deep = dtype.names is None and (dtype != np.uint8 or _scaling(header) != (1, 0))
    return Source((rows, columns), deep, lambda: _read(nibabel, header, data, shape))


def _read(nibabel: Any, header: Any, data: bytes, shape: Shape) -> Scan:
    start, dtype, count = header.get_data_offset(), header.get_data_dtype(), math.prod(shape)
    values: Values = np.frombuffer(_unpacked(data, start + count * dtype.itemsize), dtype, count, start)
    values = _upright(nibabel, header, values.reshape(shape, order="F"))
    if dtype.names:
        return Scan(np.stack([values[name] for name in "RGB"], axis=-1))
    return Scan(rescaled(values.astype(dtype.newbyteorder("=")), *_scaling(header)))


def _slice_of(shape: Sequence[int]) -> Shape:
    """The shape as three axes, one of which is 1. Raises UnreadableError for a volume."""
    sides = [int(side) for side in shape]
    while len(sides) > 3 and sides[-1] == 1:
        sides.pop()
    sides += [1] * (3 - len(sides))
    if len(sides) > 3 or 1 not in sides:
        volume = " x ".join(map(str, sides))
        raise UnreadableError(f"it is a volume of {volume}, and an image is one slice: write it to a file,  {_EXPORT}")
    return sides[0], sides[1], sides[2]


def _upright(nibabel: Any, header: Any, values: Values) -> Values:
    """A slice (X, Y, Z), one side of which is 1, as (H, W): head or front up, the right or the front on the left."""
    turns = nibabel.orientations.io_orientation(header.get_best_affine())  # to the right, to the front, to the head
    if not np.isfinite(turns).all():
        raise UnreadableError("its header does not say how it lies (qform, sform)")
    across = max(axis for axis in range(3) if values.shape[axis] == 1)
    placed = nibabel.orientations.apply_orientation(values, turns)
    flat: Values = placed.squeeze(int(turns[across, 0]))
    return flat[::-1, ::-1].T


def _scaling(header: Any) -> tuple[float, float]:
    slope, intercept = header.get_slope_inter()
    return (1.0, 0.0) if slope is None else (float(slope), float(intercept))


def _unpacked(data: bytes, length: int) -> bytes:
    """The first `length` bytes of what gzip has packed, or of the data themselves; no more is unpacked."""
    unpacked = b""
    while data.startswith(_GZIP) and len(unpacked) < length:
        packed = zlib.decompressobj(16 + zlib.MAX_WBITS)
        unpacked += packed.decompress(data, length - len(unpacked) + 1)  # the end, where there is one, has a checksum
        data = packed.unused_data
    return (unpacked or data)[:length]

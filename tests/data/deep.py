"""Files of more than 8 bits, written by hand: Pillow writes no 16-bit colours, and no signed ones."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np


def write_png16(path: Path, values: np.ndarray) -> Path:
    """A 16-bit PNG of (H, W), or (H, W, C) with two channels for grey and alpha, three or four for colours."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if values.ndim == 2 else values.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def write_tiff(path: Path, values: np.ndarray, orientation: int = 1) -> Path:
    """An uncompressed TIFF of (H, W) or (H, W, C), whose sample format says what the array's type is."""
    channels = 1 if values.ndim == 2 else values.shape[2]
    kind, bits = {"u": 1, "i": 2, "f": 3}[values.dtype.kind], values.dtype.itemsize * 8
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    tags = {
        256: [values.shape[1]], 257: [values.shape[0]], 258: [bits] * channels, 259: [1],
        262: [1 if channels == 1 else 2], 273: [0], 274: [orientation], 277: [channels], 278: [values.shape[0]],
        279: [len(data)], 339: [kind] * channels,
    }  # fmt: skip
    if channels == 4:
        tags[338] = [2]
    end, entries, extra = 8 + 2 + 12 * len(tags) + 4, b"", b""
    start = end + sum(2 * len(numbers) for numbers in tags.values() if len(numbers) > 2)
    for tag, numbers in sorted(tags.items()):
        if len(numbers) > 2:
            entries += struct.pack("<HHII", tag, 3, len(numbers), end + len(extra))
            extra += struct.pack(f"<{len(numbers)}H", *numbers)
        else:
            number = start if tag == 273 else numbers[0]
            entries += struct.pack("<HHII", tag, 4, 1, number)
    ifd = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + ifd + extra + data)
    return path

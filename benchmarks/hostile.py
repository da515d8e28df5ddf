"""Damaged, lying and strange image files by the thousand through the real `seewhy explain`: read, or a row with why.

    .venv/bin/python benchmarks/hostile.py --files 10000

Every file is made from a few rendered photographs by a seeded mutation. The process runs under a limit of memory and of
time. Leaves with status 1 where it crashed, hung, printed a warning, or left a file without a row.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet as pq

MEMORY = 6 << 30  # bytes of address space for each process; torch alone maps 3 GiB
NET = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
"""
FORMATS = {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF", "ppm": "PPM"}
FORMATS |= {"jp2": "JPEG2000", "tga": "TGA"}
Random = random.Random
Made = tuple[str, bytes]  # suffix, content


def photograph(chance: Random) -> PIL.Image.Image:
    """A smooth picture of about 100 x 80 pixels with some noise."""
    grain = np.random.default_rng(chance.randrange(2**32))
    small = PIL.Image.fromarray(grain.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    wide = np.asarray(small.resize((chance.randint(60, 120), chance.randint(50, 100)), PIL.Image.Resampling.BICUBIC))
    return PIL.Image.fromarray((wide * 0.9 + grain.integers(0, 25, wide.shape)).astype(np.uint8))


def encoded(image: PIL.Image.Image, suffix: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, FORMATS[suffix], **options)
    return file.getvalue()


def any_format(chance: Random) -> tuple[str, bytes]:
    suffix = chance.choice(list(FORMATS))
    return suffix, encoded(photograph(chance), suffix)


def intact(chance: Random) -> Made:
    return any_format(chance)


def bit_flips(chance: Random) -> Made:
    suffix, data = any_format(chance)
    held = bytearray(data)
    for _ in range(chance.choice((1, 3, 10, 100))):
        held[chance.randrange(len(held))] ^= 1 << chance.randrange(8)
    return suffix, bytes(held)


def header_flips(chance: Random) -> Made:
    suffix, data = any_format(chance)
    held = bytearray(data)
    for _ in range(chance.choice((1, 2, 5))):
        held[chance.randrange(min(64, len(held)))] = chance.randrange(256)
    return suffix, bytes(held)


def truncated(chance: Random) -> Made:
    suffix, data = any_format(chance)
    return suffix, data[: int(len(data) * chance.random())]


def wrong_suffix(chance: Random) -> Made:
    return chance.choice(list(FORMATS)), any_format(chance)[1]


def wrong_header(chance: Random) -> Made:
    _, one = any_format(chance)
    suffix, other = any_format(chance)
    cut = chance.choice((4, 12, 30))
    return suffix, one[:cut] + other[cut:]


def spliced(chance: Random) -> Made:
    suffix, data = any_format(chance)
    start, length = chance.randrange(len(data)), chance.choice((10, 100, 1000))
    return suffix, data[:start] + chance.choice((b"", bytes(length), data[:length])) + data[start + length :]


def random_bytes(chance: Random) -> Made:
    start = chance.choice(
        (b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 ", b"BM", b"II*\0")
    )
    return chance.choice(list(FORMATS)), start + chance.randbytes(chance.choice((1, 50, 5000)))


def empty(chance: Random) -> Made:
    return chance.choice(list(FORMATS)), bytes(chance.choice((0, 0, 1, 1000)))


def trailing(chance: Random) -> Made:
    suffix, data = any_format(chance)
    return suffix, data + chance.choice((b"<?php ?>", data, chance.randbytes(5000)))


def bomb(chance: Random) -> Made:
    """A header that promises far more pixels than there are bytes; or all of them, packed tight."""
    width, height = chance.choice(
        ((65535, 65535), (65500, 65500), (30000, 30000), (14000, 14000), (2**31 - 1, 1), (1, 60000))
    )
    return chance.choice((png_bomb, gif_bomb, tiff_bomb, jpeg_bomb, webp_bomb, bmp_bomb, ppm_bomb))(width, height)


def absurd_size(chance: Random) -> Made:
    width, height = chance.choice(((0, 0), (0, 100), (100, 0), (65535, 1), (1, 65535), (1, 1), (2, 65535)))
    return chance.choice((png_bomb, gif_bomb, tiff_bomb, jpeg_bomb, webp_bomb, bmp_bomb, ppm_bomb))(width, height)


def packed_bomb(chance: Random) -> Made:
    """A real picture of one colour, just below or far above the limit, a few KiB as a file."""
    width, height = chance.choice(((9000, 9000), (13000, 13000), (15000, 15000), (40000, 20000)))
    return png_bomb(width, height, packed=True)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


_PACKED: dict[tuple[int, int], bytes] = {}


def _rows(width: int, height: int) -> bytes:
    """One-bit rows of zeros, compressed."""
    if (width, height) not in _PACKED:
        packer, row = zlib.compressobj(1), bytes(1 + (width + 7) // 8)
        _PACKED[width, height] = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return _PACKED[width, height]


def png_bomb(width: int, height: int, packed: bool = False) -> Made:
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = _rows(width, height) if packed else zlib.compress(bytes(1000))
    return "png", b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def gif_bomb(width: int, height: int) -> Made:
    size = struct.pack("<HH", width & 65535, height & 65535)
    frame = b"\x2c" + struct.pack("<HH", 0, 0) + size + b"\0" + b"\x02\x02\x4c\x01\0" + b"\x3b"
    return "gif", b"GIF89a" + size + b"\x80\0\0" + bytes(6) + frame


def tiff_bomb(width: int, height: int) -> Made:
    tags = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 100))
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value & 0xFFFFFFFF) for tag, value in tags)
    return "tif", b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(4)


def jpeg_bomb(width: int, height: int) -> Made:
    data = bytearray(encoded(PIL.Image.new("RGB", (16, 16), "red"), "jpg"))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height & 65535, width & 65535)
    return "jpg", bytes(data)


def webp_bomb(width: int, height: int) -> Made:
    sides = (min(width, 16384) - 1 & 0x3FFF) | (min(height, 16384) - 1 & 0x3FFF) << 14
    body = b"VP8L" + struct.pack("<IBI", 30, 0x2F, sides) + bytes(25)
    return "webp", b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def bmp_bomb(width: int, height: int) -> Made:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return "bmp", b"BM" + struct.pack("<IHHI", 154, 0, 0, 54) + info + bytes(100)


def ppm_bomb(width: int, height: int) -> Made:
    return "ppm", b"P6\n%d %d\n255\n" % (width, height) + bytes(100)


def broken_exif(chance: Random) -> Made:
    bodies = (
        b"",
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + chance.randbytes(60),
    )
    suffix = chance.choice(("jpg", "png", "webp", "tif"))
    if suffix == "tif":
        return suffix, encoded(photograph(chance), suffix, tiffinfo={274: chance.choice((0, 9, 60000))})
    exif = PIL.Image.Exif()
    exif[0x0112] = chance.choice((0, 9, 65535))
    return suffix, encoded(photograph(chance), suffix, exif=chance.choice((*bodies[1:], exif.tobytes())))


def broken_icc(chance: Random) -> Made:
    suffix = chance.choice(("jpg", "png", "webp", "tif"))
    return suffix, encoded(photograph(chance), suffix, icc_profile=chance.randbytes(chance.choice((1, 200, 70000))))


def animated(chance: Random) -> Made:
    suffix = chance.choice(("gif", "webp", "png", "tif"))
    frames = [photograph(chance).resize((64, 48)) for _ in range(chance.choice((2, 30)))]
    data = encoded(frames[0], suffix, save_all=True, append_images=frames[1:])
    return suffix, data[: len(data) - chance.choice((0, 0, 10, 1000))]


def odd_mode(chance: Random) -> Made:
    kinds = {
        "CMYK": ("jpg", "tif"), "L": ("jpg", "png", "gif"), "1": ("png", "tif", "bmp"), "P": ("png", "gif", "bmp"),
        "LA": ("png", "tga"), "RGBA": ("png", "webp", "tif"), "I;16": ("png", "tif"), "F": ("tif",), "I": ("tif",),
        "YCbCr": ("jpg", "tif"), "LAB": ("tif",),
    }  # fmt: skip
    mode = chance.choice(list(kinds))
    image = photograph(chance)
    if mode == "I;16":
        image = PIL.Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    elif mode == "LAB":
        image = PIL.Image.frombytes("LAB", image.size, image.tobytes())
    else:
        image = image.convert("L").convert(mode) if mode in ("I", "F", "LA") else image.convert(mode)
    options = {"transparency": chance.randrange(256)} if mode == "P" else {}
    return (suffix := chance.choice(kinds[mode])), encoded(image, suffix, **options)


def strange_name(chance: Random) -> Made:
    return any_format(chance)  # the name is what is strange: see `names`


KINDS: dict[str, Callable[[Random], Made]] = {
    one.__name__: one
    for one in (
        intact, bit_flips, header_flips, truncated, wrong_suffix, wrong_header, spliced, random_bytes, empty, trailing,
        bomb, absurd_size, packed_bomb, broken_exif, broken_icc, animated, odd_mode, strange_name,
    )
}  # fmt: skip
RARE = {"packed_bomb": 100}  # only every so many: each costs a second of honest work


def name_of(chance: Random, kind: str, number: int, suffix: str) -> bytes:
    plain = f"{number:06d}".encode()
    if kind == "strange_name":
        plain = chance.choice(
            (
                b"a\nb%s", b"\"'`$(id)%s", b"x..%s", b"x\\..\\..\\%s", b"--out=%s", b"-rf %s", b"%s" + b"x" * 230,
                b"\xff\xfe\x80%s", b"<script>%s", b"\x1b[2J%s", b"%s %%n", "\u202e犬%s".encode(), b"%s:*?|",
                b" %s ", b"%s\t",
            )
        ).replace(b"%s", plain, 1)  # fmt: skip
    return plain + b"." + suffix.encode()


@dataclass
class Verdict:
    """What became of the files of each kind, and what went wrong as a whole."""

    read: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0
    peak_mib: float = 0

    def __str__(self) -> str:
        lines = [f"{'kind':14} {'read':>6} {'reason':>6} {'NO ROW':>6}  most frequent reasons"]
        for kind in KINDS:
            found = self.reasons.get(kind, Counter())
            shown = "; ".join(f"{reason[:60]} ({count})" for reason, count in found.most_common(3))
            lines.append(f"{kind:14} {self.read[kind]:6} {found.total():6} {self.lost[kind]:6}  {shown}")
        lines.append(f"{self.seconds:.0f} s, largest process {self.peak_mib:.0f} MiB; wrong: {self.wrong or 'nothing'}")
        return "\n".join(lines)


def write_files(folder: Path, count: int, seed: int = 0) -> dict[str, list[str]]:
    """Write `count` files below folder/<kind>; the ids that the table must have, by kind."""
    chance, ids = Random(seed), {kind: list[str]() for kind in KINDS}
    kinds = [kind for kind in KINDS if kind not in RARE]
    for number in range(count):
        kind = next((one for one, every in RARE.items() if number % every == every - 1), kinds[number % len(kinds)])
        suffix, data = KINDS[kind](chance)
        name = name_of(chance, kind, number, suffix)
        home = folder / "images" / kind
        home.mkdir(parents=True, exist_ok=True)
        (home / os.fsdecode(name)).write_bytes(data)
        ids[kind].append(f"{kind}/{os.fsdecode(name).encode('utf-8', 'backslashreplace').decode()}")
    return ids


def judge(home: Path, count: int, seed: int = 0, limit_s: float = 600) -> Verdict:
    """The verdict on `count` files made in the empty folder `home`."""
    ids, verdict = write_files(home, count, seed), Verdict()
    (home / "net.py").write_text(NET)
    started = time.monotonic()
    words = [
        sys.executable,
        "-m",
        "seewhy",
        "explain",
        "images",
        "--model",
        "net.py:Net",
        "--size",
        "32",
        "--out",
        "run",
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    try:
        ran = subprocess.run(
            [*words, "--json"], cwd=home, capture_output=True, timeout=limit_s,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        verdict.wrong.append(f"hung: not done after {limit_s:.0f} s")
        return verdict
    verdict.seconds = time.monotonic() - started
    verdict.peak_mib = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024
    if ran.returncode:
        verdict.wrong.append(f"left with {ran.returncode}: {ran.stderr.decode(errors='replace')[-2000:]}")
        return verdict
    lines = ran.stderr.decode(errors="replace").splitlines()
    if said := [line for line in lines if not line.startswith("Explaining: ")]:  # which a busy machine adds
        verdict.wrong.append("said: " + "\n".join(said)[:500])
    if json.loads(ran.stdout)["images"] != count:
        verdict.wrong.append(f"{json.loads(ran.stdout)['images']} images in the summary, {count} on disk")
    table = pq.read_table(home / "run" / "records.parquet", columns=["id", "error", "prediction"])
    rows = {row["id"]: row for row in table.to_pylist()}
    for kind, names in ids.items():
        found = [rows.get(name) for name in names]
        verdict.lost[kind] = sum(row is None or (row["error"] is None) == (row["prediction"] is None) for row in found)
        verdict.read[kind] = sum(row is not None and row["error"] is None for row in found)
        verdict.reasons[kind] = Counter(row["error"] for row in found if row and row["error"])
    if verdict.lost.total():
        verdict.wrong.append("files without a row, or rows with neither a result nor a reason")
    return verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-s", type=float, default=3600)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        verdict = judge(Path(home), asked.files, asked.seed, asked.limit_s)
    print(verdict)
    raise SystemExit(bool(verdict.wrong))


if __name__ == "__main__":
    main()

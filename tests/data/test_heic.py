"""HEIC and AVIF photographs are read upright as 8-bit RGB, and say what to install where nothing reads them."""

from __future__ import annotations

import importlib.util
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import PIL.features
import PIL.Image
import PIL.ImageOps
import pytest

import seewhy
from seewhy.data.formats.image_files import is_image_name
from seewhy.data.pictures.decode import UnreadableError, has_depth, read_photograph, read_size, reduced
from seewhy.data.sources.archive import unpack
from seewhy.data.sources.folder import read_table
from seewhy.errors import StoreError
from seewhy.run.identity import differing, identity_of
from seewhy.run.plan import make_plan
from tests.models import FourConv

heif = pytest.mark.skipif(importlib.util.find_spec("pillow_heif") is None, reason="needs the extra heic")
avif = pytest.mark.skipif(not PIL.features.check("avif"), reason="this Pillow reads no AVIF")

CORNERS = np.zeros((64, 96, 3), np.uint8)  # four flat corners, so that every turn shows
CORNERS[:32, :48], CORNERS[:32, 48:], CORNERS[32:, :48] = (200, 30, 40), (20, 180, 60), (30, 40, 210)
HEIC_HEAD = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(200)  # enough to tell the kind


def write_heic(path: Path, pixels: np.ndarray = CORNERS, orientation: int = 1) -> Path:
    """A HEIC file whose stored pixels are `pixels`, to be turned by its boxes as the EXIF orientation says."""
    from pillow_heif import from_pillow

    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    file, buffer = from_pillow(PIL.Image.fromarray(pixels)), io.BytesIO()
    file[0].info["exif"] = exif.tobytes()
    file.save(buffer, quality=95)
    path.write_bytes(buffer.getvalue())
    return path


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    return {1: pixels, 3: pixels[::-1, ::-1], 6: np.rot90(pixels, -1), 8: np.rot90(pixels)}[orientation]


@heif
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_heic_is_turned_once(tmp_path: Path, orientation: int) -> None:
    path = write_heic(tmp_path / "a.HEIC", orientation=orientation)
    wanted = turned(CORNERS, orientation)
    photograph = read_photograph(path)
    assert photograph.shares is None and photograph.pixels.shape == wanted.shape
    assert np.abs(photograph.pixels.astype(int) - wanted).mean() < 2
    assert read_size(path) == wanted.shape[:2]
    small = reduced(path.read_bytes(), 24)
    assert max(small.shape) == 24
    assert np.abs(small[2, 2].astype(int) - wanted[4, 4]).max() < 12


@avif
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_an_avif_is_turned_once(tmp_path: Path, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.fromarray(CORNERS).save(tmp_path / "a.avif", exif=exif.tobytes(), quality=95)
    wanted = turned(CORNERS, orientation)
    found = read_photograph(tmp_path / "a.avif").pixels
    assert found.shape == wanted.shape and np.abs(found.astype(int) - wanted).mean() < 2
    assert read_size(tmp_path / "a.avif") == wanted.shape[:2]


@heif
def test_a_heic_of_10_bits_is_read_as_8(tmp_path: Path) -> None:
    from pillow_heif import from_bytes, open_heif

    ramp = np.repeat(np.tile(np.arange(64) * 1000, (64, 1))[..., None], 3, axis=2).astype(np.uint16)
    path = tmp_path / "a.heic"
    from_bytes(mode="RGB;16", size=(64, 64), data=ramp.tobytes()).save(path, quality=-1, chroma=444)
    assert open_heif(path, convert_hdr_to_8bit=False).info["bit_depth"] == 10
    photograph = read_photograph(path)
    assert not has_depth(path) and photograph.shares is None
    assert np.abs(photograph.pixels - ramp / 257).max() < 1.5


@heif
def test_pillow_of_the_process_stays_as_it_was(tmp_path: Path) -> None:
    before = sorted(PIL.Image.OPEN)
    read_photograph(write_heic(tmp_path / "a.heic"))
    assert sorted(PIL.Image.OPEN) == before


@heif
def test_a_broken_heic_is_a_row_with_its_reason(tmp_path: Path) -> None:
    data = write_heic(tmp_path / "a.heic").read_bytes()
    for broken in (HEIC_HEAD, data[: len(data) // 2], data[:100] + bytes(300) + data[400:]):
        (tmp_path / "a.heic").write_bytes(broken)
        with pytest.raises(UnreadableError, match=r"\w"):
            read_photograph(tmp_path / "a.heic")


@pytest.mark.parametrize("read", [read_photograph, read_size], ids=["photograph", "size"])
def test_without_the_extra_the_reason_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Any) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.heic").write_bytes(HEIC_HEAD)
    with pytest.raises(
        UnreadableError, match=r'^it is a HEIC file, which an extra reads: pip install "seewhy\[heic\]"$'
    ):
        read(tmp_path / "a.heic")


def test_an_avif_that_pillow_is_too_old_for_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.features, "check", lambda name: None)
    (tmp_path / "a.avif").write_bytes(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(200))
    with pytest.raises(UnreadableError, match=r"^it is an AVIF file, which Pillow reads from 11\.3 on: pip install -U"):
        read_photograph(tmp_path / "a.avif")


def test_names_of_such_files_are_those_of_images(tmp_path: Path) -> None:
    assert all(map(is_image_name, ("a.heic", "b.HEIF", "c.hif", "d.avif")))
    for name in ("x/a.heic", "y/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert [image.label for image in read_table(tmp_path).images] == ["x", "y"]


@heif
def test_a_run_reads_them_and_its_pages_show_them(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    write_heic(tmp_path / "photos" / "a.heic")
    PIL.Image.fromarray(CORNERS).save(tmp_path / "photos" / "b.png")
    run = tmp_path / "run"
    explanation = seewhy.explain(seewhy.load(FourConv(64), size=64), tmp_path / "photos", out=run, progress=False)
    assert [outcome.error for outcome in explanation.outcomes] == [None, None]
    seewhy.write_report(explanation)
    pictures = "".join(path.read_text(encoding="utf-8") for path in (run / "report").rglob("pictures-*.js"))
    assert pictures.count("data:image") == 2


@heif
def test_what_reads_them_belongs_to_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PIL.Image.fromarray(CORNERS).save(tmp_path / "b.png")
    network, how = FourConv(64), {"size": 64}
    assert "readers" not in identity_of(make_plan(seewhy.load(network, **how), [tmp_path / "b.png"]))
    files, run = [write_heic(tmp_path / "a.heic")], tmp_path / "run"
    seewhy.explain(seewhy.load(network, **how), files, out=run, progress=False)
    there = identity_of(make_plan(seewhy.load(network, **how), files))
    monkeypatch.setattr("seewhy.data.formats.extras._version", lambda package: "0.1")
    asked = identity_of(make_plan(seewhy.load(network, **how), files))
    assert asked["readers"] == {"pillow-heif": "0.1"}
    (line,) = differing(there, asked)
    assert line.startswith("what reads the images: pillow-heif ") and line.endswith("pillow-heif 0.1 asked")
    with pytest.raises(StoreError, match=r"what reads the images: pillow-heif .* there, pillow-heif 0\.1 asked"):
        seewhy.explain(seewhy.load(network, **how), files, out=run, progress=False)


def test_archives_unpack_them(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("set/train/x/1.heic", HEIC_HEAD)
        archive.writestr("set/train/y/2.heic", HEIC_HEAD + b"2")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out/train/x/1.heic").read_bytes() == HEIC_HEAD

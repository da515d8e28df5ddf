"""DICOM files give their own numbers: scaled, white where it is white, and on one window that is said."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import seewhy
from seewhy.data.formats.image_files import is_image_name
from seewhy.data.pictures.decode import UnreadableError, has_depth, read_image, read_photograph, read_size, reduced
from seewhy.data.sources.folder import read_table
from seewhy.records import Preprocess
from seewhy.run.identity import identity_of
from seewhy.run.plan import make_plan
from tests.data.scans import write_dicom
from tests.data.test_depth import RAMP, fed, inputs_of
from tests.models import FourConv

dicom = pytest.mark.skipif(importlib.util.find_spec("pydicom") is None, reason="needs the extra medical")
STORED = (RAMP * 22 + 24).astype(np.int16)  # with an intercept of -1024: -1000 to 386
CT = {"RescaleSlope": 1, "RescaleIntercept": -1024, "Modality": "CT"}
WINDOW = {"WindowCenter": 40, "WindowWidth": 400}  # by the standard's formula -160 to 239


def shares(path: Path, **how: Any) -> np.ndarray:
    found = read_photograph(path, Preprocess(**how)).shares
    assert found is not None
    return found


# ---- the numbers of a file ----


@dicom
@pytest.mark.parametrize("kind", ["u1", "u2", "i2"])
def test_stored_numbers_are_the_images(tmp_path: Path, kind: str) -> None:
    values = np.linspace(np.iinfo(kind).min, np.iinfo(kind).max, 117).reshape(9, 13).astype(kind)
    path = write_dicom(tmp_path / "a.dcm", values)
    assert read_size(path) == (9, 13) and has_depth(path) == (kind != "u1")
    if kind == "u1":
        photograph = read_photograph(path)
        assert photograph.shares is None
        np.testing.assert_array_equal(photograph.pixels, np.repeat(values[..., None], 3, axis=2))
        return
    low, high = int(values.min()), int(values.max())
    np.testing.assert_allclose(shares(path, window=(low, high)), (values - np.float64(low)) / (high - low), atol=1e-6)


@dicom
def test_slope_and_intercept_give_hounsfield_units(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", STORED, **CT)
    np.testing.assert_allclose(inputs_of([path])[0, 0].numpy(), (STORED / 4095), atol=2e-7)  # of -1024 to 3071
    (note,) = fed([path]).notes
    assert "signed numbers from -1000 to 386: -1024 is black and 3071 white" in note
    lung = inputs_of([path], window=(-1000, 400))
    np.testing.assert_allclose(lung[0, 2].numpy(), (STORED - 24) / 1400, atol=2e-7)


@dicom
def test_a_slope_that_is_no_whole_number_gives_floats(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", STORED.astype(np.uint16), RescaleSlope="0.5", RescaleIntercept="0.25")
    np.testing.assert_allclose(shares(path, window=(0, 1000)), (STORED * 0.5 + 0.25) / 1000, atol=1e-6)
    assert "float numbers from 12.25 to 705.25" in fed([path]).notes[0]


@dicom
def test_white_is_white_where_the_lowest_number_is_white(tmp_path: Path) -> None:
    values = (RAMP * 65).astype(np.uint16)
    bright = write_dicom(tmp_path / "a.dcm", values, BitsStored=12)
    dark = write_dicom(tmp_path / "b.dcm", (4095 - values).astype(np.uint16), "MONOCHROME1", BitsStored=12)
    both = inputs_of([bright, dark])
    np.testing.assert_allclose(both[0, 0].numpy(), values / 4095, atol=1e-7)
    assert torch.equal(both[0], both[1])
    shallow = write_dicom(tmp_path / "c.dcm", RAMP.astype(np.uint8), "MONOCHROME1")
    np.testing.assert_array_equal(read_photograph(shallow).pixels[..., 0], 255 - RAMP)


@dicom
def test_a_window_turns_with_the_numbers(tmp_path: Path) -> None:
    values = (RAMP * 65).astype(np.uint16)
    how = {"BitsStored": 12, "WindowCenter": 1000.5, "WindowWidth": 1001}  # 500 to 1500 as stored
    path = write_dicom(tmp_path / "a.dcm", values, "MONOCHROME1", **how)
    assert fed([path]).preprocess.window == (4095 - 1500, 4095 - 500)
    np.testing.assert_allclose(
        inputs_of([path])[0, 0].numpy(), ((1500 - values.astype(float)) / 1000).clip(0, 1), atol=1e-6
    )


@dicom
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_colours_are_rgb(tmp_path: Path, photometric: str) -> None:
    colours = np.array([[[200, 30, 40], [20, 180, 60]], [[30, 40, 210], [128, 128, 128]]], np.uint8)
    stored = colours
    if photometric == "YBR_FULL":
        from pydicom.pixels import convert_color_space

        stored = convert_color_space(colours, "RGB", "YBR_FULL")
        assert np.abs(stored.astype(int) - colours).max() > 30
    path = write_dicom(tmp_path / "a.dcm", stored, photometric)
    photograph = read_photograph(path)
    assert photograph.shares is None
    assert np.abs(photograph.pixels.astype(int) - colours).max() <= (0 if photometric == "RGB" else 2)


@dicom
def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    lut = {f"{name}PaletteColorLookupTableDescriptor": [4, 0, 16] for name in ("Red", "Green", "Blue")}
    levels = {"Red": [0, 65535, 0, 40000], "Green": [0, 0, 65535, 30000], "Blue": [65535, 0, 0, 20000]}
    lut |= {f"{name}PaletteColorLookupTableData": np.array(level, "<u2").tobytes() for name, level in levels.items()}
    index = (np.arange(12).reshape(3, 4) % 4).astype(np.uint8)
    pixels = read_photograph(write_dicom(tmp_path / "a.dcm", index, "PALETTE COLOR", **lut)).pixels
    wanted = np.stack([np.array(levels[name])[index] >> 8 for name in levels], axis=-1)
    np.testing.assert_array_equal(pixels, wanted)


@dicom
def test_padding_is_black_and_no_part_of_the_scale(tmp_path: Path) -> None:
    values = (RAMP * 22 - 1000).astype(np.int16)
    values[:4] = -32768
    path = write_dicom(tmp_path / "a.dcm", values, PixelPaddingValue=-32768, RescaleSlope=1, RescaleIntercept=0)
    wanted = ((values + 1024.0) / 4095).clip(0)
    np.testing.assert_allclose(inputs_of([path])[0, 0].numpy(), wanted, atol=2e-7)
    assert "signed numbers from -1000 to 386" in fed([path]).notes[0]


@dicom
def test_a_function_gets_the_numbers(tmp_path: Path) -> None:
    image, digest = read_image(write_dicom(tmp_path / "a.dcm", STORED, **CT))
    assert image.mode == "I" and len(digest) == 32
    np.testing.assert_array_equal(np.asarray(image), STORED - 1024)
    assert read_image(write_dicom(tmp_path / "b.dcm", STORED.astype(np.uint16)))[0].mode == "I;16"
    assert read_image(write_dicom(tmp_path / "c.dcm", RAMP.astype(np.uint8)))[0].mode == "L"


# ---- which window ----


@dicom
def test_the_window_that_all_files_ask_for_is_taken_and_said(tmp_path: Path) -> None:
    for name in "ab":
        write_dicom(tmp_path / f"{name}.dcm", STORED, **CT, **WINDOW)
    classifier = fed(tmp_path)
    assert classifier.preprocess.window == (-160, 239)
    assert classifier.notes[0].endswith("-160 is black and 239 white in all of them (--window -160,239).")
    assert classifier.notes[1] == "That window is what all of these files ask for."
    wanted = ((STORED - 1024.0 + 160) / 399).clip(0, 1)
    np.testing.assert_allclose(inputs_of(tmp_path)[1, 0].numpy(), wanted, atol=2e-7)
    asked = fed(tmp_path, window=(-1000, 400))
    assert asked.preprocess.window == (-1000, 400) and len(asked.notes) == 1


@dicom
def test_windows_that_differ_are_said_and_one_scale_is_for_all(tmp_path: Path) -> None:
    write_dicom(tmp_path / "a.dcm", STORED, **CT, **WINDOW)
    write_dicom(tmp_path / "b.dcm", STORED, **CT, WindowCenter=[50, 3], WindowWidth=[100, 5])
    classifier = fed(tmp_path)
    assert classifier.preprocess.window is None and classifier.preprocess.scales == (("signed", -1024.0, 3071.0),)
    assert classifier.notes[1] == (
        "The files ask for windows of their own, -160,239 (1), 0,99 (1), which are not taken: one is needed for all "
        "(--window)."
    )


# ---- what is no image, or cannot be read, is a row with its reason ----


def without_pixels(path: Path) -> None:
    import pydicom

    file = pydicom.dcmread(write_dicom(path, STORED, Modality="SR"))
    del file.PixelData, file.Rows, file.Columns
    file.save_as(path)


def with_syntax(path: Path, uid: str) -> None:
    import pydicom
    from pydicom.encaps import encapsulate

    file = pydicom.dcmread(write_dicom(path, STORED))
    file.file_meta.TransferSyntaxUID = pydicom.uid.UID(uid)
    if uid != "1.2.840.10008.1.2.1.99":
        file.PixelData = encapsulate([b"\xff\xd8nothing\0"])
        file["PixelData"].is_undefined_length = True
    file.save_as(path)


REASONS = {
    "frames": (
        lambda path: write_dicom(path, np.stack([STORED] * 3), NumberOfFrames=3),
        r"^it holds 3 frames, and an image is one: split it, like  emf2sf --out-dir DIR FILE$",
    ),
    "no-pixels": (without_pixels, r"^it is a DICOM file without an image \(modality SR\)$"),
    "deflated": (lambda path: with_syntax(path, "1.2.840.10008.1.2.1.99"), r"^it is a deflated DICOM file: write"),
    "no-decoder": (
        lambda path: with_syntax(path, "1.2.840.10008.1.2.4.201"),
        r"^its pixels are compressed as High-Throughput JPEG 2000.*, which pydicom cannot decode here: pip install",
    ),
    "damaged": (lambda path: with_syntax(path, "1.2.840.10008.1.2.4.90"), r"^its pixels cannot be decoded: \w+"),
    "cut": (
        lambda path: path.write_bytes(write_dicom(path, STORED).read_bytes()[:-3000]),
        r"^its pixels cannot be decoded: ",
    ),
}


@dicom
@pytest.mark.parametrize("case", REASONS)
def test_what_cannot_be_read_has_its_reason(tmp_path: Path, case: str) -> None:
    make, reason = REASONS[case]
    make(tmp_path / "a.dcm")
    for _ in range(2):
        with pytest.raises(UnreadableError, match=reason):
            read_photograph(tmp_path / "a.dcm", Preprocess(window=(0, 1)))


@pytest.mark.parametrize("read", [read_photograph, read_size], ids=["photograph", "size"])
def test_without_the_extra_the_reason_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Any) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    (tmp_path / "a.dcm").write_bytes(bytes(128) + b"DICM" + bytes(200))
    with pytest.raises(
        UnreadableError, match=r'^it is a DICOM file, which an extra reads: pip install "seewhy\[medical\]"'
    ):
        read(tmp_path / "a.dcm")


@dicom
def test_more_pixels_than_the_limit_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seewhy.data.pictures.decode.MOST_PIXELS", 4095)
    with pytest.raises(UnreadableError, match=r"^64 x 64 pixels is more than the limit of 4,095$"):
        read_photograph(write_dicom(tmp_path / "a.dcm", STORED))


@dicom
def test_a_long_header_is_read_whole(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", STORED, **CT, EncapsulatedDocument=b"x" * (2 * 2**20))
    assert read_size(path) == (64, 64) and has_depth(path)


@dicom
def test_a_long_file_that_is_refused_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dicom(tmp_path / "a.dcm", np.zeros((200, 64, 64), np.int16), NumberOfFrames=200)
    monkeypatch.setattr("seewhy.data.pictures.decode.read_bytes", lambda path: pytest.fail("it was read whole"))
    with pytest.raises(UnreadableError, match=r"^it holds 200 frames"):
        read_size(path)


# ---- runs ----


@dicom
def test_a_run_reads_them_its_pages_show_them_and_its_identity_knows(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    write_dicom(tmp_path / "scans" / "a.dcm", STORED, **CT, **WINDOW)
    write_dicom(tmp_path / "scans" / "b.dcm", np.stack([STORED] * 3), NumberOfFrames=3)
    run, network = tmp_path / "run", FourConv(64)
    explanation = seewhy.explain(network, tmp_path / "scans", out=run, progress=False)
    assert [outcome.error is None for outcome in explanation.outcomes] == [True, False]
    seewhy.write_report(explanation)
    pictures = "".join(path.read_text(encoding="utf-8") for path in (run / "report").rglob("pictures-*.js"))
    assert pictures.count("data:image") == 1
    identity = identity_of(make_plan(network, tmp_path / "scans"))
    assert identity["readers"].keys() == {"pydicom"}
    assert identity["classifier"]["preprocess"]["window"] == [-160, 239]
    data, how = (tmp_path / "scans" / "a.dcm").read_bytes(), Preprocess(window=(-160, 239))
    np.testing.assert_array_equal(reduced(data, 64, how), read_photograph(tmp_path / "scans" / "a.dcm", how).pixels)


def test_their_names_are_those_of_images_and_still_find_pictures_made_of_them(tmp_path: Path) -> None:
    assert is_image_name("a.DCM") and is_image_name("b.dicom")
    (tmp_path / "png").mkdir()
    (tmp_path / "png" / "a.png").touch()
    (tmp_path / "labels.csv").write_text("path,label\na.dcm,x\n")
    (image,) = read_table(tmp_path / "labels.csv").images
    assert image.path is not None and image.path.endswith("png/a.png")


def as_tensor(image: Any) -> Tensor:
    return torch.from_numpy(np.array(image, np.float32))[None].expand(3, -1, -1) / 4095


@dicom
def test_a_preprocessing_function_explains_them(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", STORED, **CT)
    explanation = seewhy.explain(seewhy.load(FourConv(64), preprocess=as_tensor), [path], progress=False)
    assert explanation.outcomes[0].error is None

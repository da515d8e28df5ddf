"""A slice in a NIfTI file is an image, upright and in its own units; a volume is a row that says how to write one."""

from __future__ import annotations

import gzip
import importlib.util
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seewhy
from seewhy.data.formats.image_files import is_image_name, stem_of, suffix_of
from seewhy.data.masks import mask_files
from seewhy.data.pictures.decode import UnreadableError, has_depth, read_photograph, read_size
from seewhy.data.sources.folder import read_table
from seewhy.records import Preprocess
from tests.data.scans import write_nifti
from tests.data.test_depth import fed, inputs_of
from tests.models import FourConv

nifti = pytest.mark.skipif(importlib.util.find_spec("nibabel") is None, reason="needs the extra medical")

# Where the axes of an array point to: R, A and S are the patient's right, front and head; L, P and I the other ways.
RAS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def affine_of(axes: str) -> np.ndarray:
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, letter in enumerate(axes):
        row, sign = RAS[letter]
        affine[row, column] = sign
    return affine


def body(axes: str, plane: str) -> np.ndarray:
    """A slice through a body, stored along `axes`: each number is 1000 if to the left, 200 x front, 10 x head."""
    sizes = {"axial": (4, 3, 1), "coronal": (4, 1, 5), "sagittal": (1, 3, 5)}[plane]
    right, front, head = np.indices(sizes)
    canonical = ((sizes[0] - 1 - right) * 1000 + front * 200 + head * 10).astype(np.int16)
    order = [RAS[letter][0] for letter in axes]
    stored = canonical.transpose(order)
    return stored[tuple(slice(None, None, RAS[letter][1]) for letter in axes)]


UPRIGHT = {  # by row from above and by column from the left; the patient's right is on the left
    "axial": [[left * 1000 + front * 200 for left in range(4)] for front in (2, 1, 0)],
    "coronal": [[left * 1000 + head * 10 for left in range(4)] for head in (4, 3, 2, 1, 0)],
    "sagittal": [[front * 200 + head * 10 for front in (2, 1, 0)] for head in (4, 3, 2, 1, 0)],
}


def numbers(path: Path, top: float = 4000) -> np.ndarray:
    found = read_photograph(path, Preprocess(window=(0, top))).shares
    assert found is not None
    return found * top


@nifti
@pytest.mark.parametrize("plane", UPRIGHT)
@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "PSR", "SAR", "ILA"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "two.nii.gz"])
def test_a_slice_is_upright_however_it_is_stored(tmp_path: Path, name: str, axes: str, plane: str) -> None:
    path = write_nifti(tmp_path / name, body(axes, plane), affine_of(axes))
    wanted = np.array(UPRIGHT[plane])
    np.testing.assert_allclose(numbers(path), wanted, atol=1e-3)
    assert read_size(path) == wanted.shape and has_depth(path)


@nifti
def test_what_nibabel_cuts_out_of_a_volume_is_that_slice(tmp_path: Path) -> None:
    import nibabel

    volume = np.arange(4 * 3 * 5, dtype=np.int16).reshape(4, 3, 5)
    path = tmp_path / "slice40.nii.gz"
    nibabel.save(nibabel.Nifti1Image(volume, np.diag([1, 1, 2, 1])).slicer[:, :, 3:4], path)
    np.testing.assert_allclose(numbers(path, 100), volume[::-1, ::-1, 3].T, atol=1e-4)


@nifti
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1, 1)], ids=["two-axes", "four-axes"])
def test_files_of_one_slice_may_have_other_axes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.arange(12, dtype=np.int16).reshape(shape)
    path = write_nifti(tmp_path / "a.nii", values, np.eye(4))
    np.testing.assert_allclose(numbers(path, 100), values.reshape(4, 3)[::-1, ::-1].T, atol=1e-4)


@nifti
@pytest.mark.parametrize("kind", ["<i2", ">i2", "<u2", "<f4", "<f8", "<i4", "u1"])
def test_slope_and_intercept_are_applied(tmp_path: Path, kind: str) -> None:
    values = np.arange(12, dtype=kind).reshape(4, 3, 1)
    path = write_nifti(tmp_path / "a.nii.gz", values, np.eye(4), slope=2, intercept=5)
    np.testing.assert_allclose(numbers(path, 100), values[::-1, ::-1, 0].T * 2.0 + 5, atol=1e-4)
    assert ("float" if "f" in kind else "signed") in fed([path]).notes[0]


@nifti
def test_bytes_and_colours_are_photographs(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(4, 3, 1)
    photograph = read_photograph(write_nifti(tmp_path / "a.nii", values, np.eye(4)))
    assert photograph.shares is None
    np.testing.assert_array_equal(photograph.pixels[..., 1], values[::-1, ::-1, 0].T)
    colours = np.random.default_rng(0).integers(0, 256, (4, 3, 1, 3), np.uint8)
    path = write_nifti(tmp_path / "b.nii", colours.view([(name, "u1") for name in "RGB"])[..., 0], np.eye(4))
    found = read_photograph(path)
    assert found.shares is None and not has_depth(path)
    np.testing.assert_array_equal(found.pixels, colours[::-1, ::-1, 0].transpose(1, 0, 2))


@nifti
def test_a_computed_tomography_goes_by_hounsfield_units(tmp_path: Path) -> None:
    values = np.linspace(-1000, 1500, 64 * 64).astype(np.int16).reshape(64, 64, 1)
    path = write_nifti(tmp_path / "a.nii.gz", values, np.eye(4))
    wanted = (values[::-1, ::-1, 0].T + 1024.0) / 4095
    np.testing.assert_allclose(inputs_of([path])[0, 0].numpy(), wanted, atol=2e-7)


# ---- what is no slice is a row with its reason ----

VOLUMES = {
    "volume": ((4, 3, 5), r"^it is a volume of 4 x 3 x 5, and an image is one slice: write it to a file,  nib\.save"),
    "series": ((4, 3, 1, 6), r"^it is a volume of 4 x 3 x 1 x 6, and an image is one slice"),
}


@nifti
@pytest.mark.parametrize("case", VOLUMES)
@pytest.mark.parametrize("read", [read_photograph, read_size], ids=["photograph", "size"])
def test_a_volume_says_how_to_write_a_slice(tmp_path: Path, case: str, read: Any) -> None:
    shape, reason = VOLUMES[case]
    path = write_nifti(tmp_path / "a.nii.gz", np.zeros(shape, np.int16), np.eye(4))
    with pytest.raises(UnreadableError, match=reason):
        read(path)


@nifti
def test_damaged_files_have_a_reason(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 99, (64, 64, 1)), np.eye(4))
    whole = path.read_bytes()
    plain = gzip.decompress(whole)
    (tmp_path / "b.nii").write_bytes(plain[:-100])
    path.write_bytes(whole[:-100])
    spoilt = tmp_path / "c.nii.gz"
    spoilt.write_bytes(whole[:-8] + b"\1\2\3\4" + whole[-4:])  # the checksum
    for broken in (path, tmp_path / "b.nii", spoilt):
        with pytest.raises(UnreadableError, match=r"\w+"):
            read_photograph(broken, Preprocess(window=(0, 99)))


@nifti
@pytest.mark.parametrize(
    ("field", "value"),
    [("vox_offset", 1e12), ("vox_offset", -5), ("vox_offset", np.nan), ("dim", [2, 0, 3, 1, 1, 1, 1, 1])],
)
def test_a_header_that_lies_is_not_followed(tmp_path: Path, field: str, value: Any) -> None:
    import nibabel

    path = write_nifti(tmp_path / "a.nii", np.ones((4, 3, 1), np.int16), np.eye(4))
    data = path.read_bytes()
    header = nibabel.Nifti1Header(data[:348])
    header[field] = value
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(header.binaryblock + data[348:] + bytes(100_000_000)))
    tracemalloc.start()
    with pytest.raises(UnreadableError, match=r"\w"):
        read_photograph(tmp_path / "a.nii.gz", Preprocess(window=(0, 1)))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


@nifti
def test_no_more_is_unpacked_than_a_slice_needs(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.nii", np.ones((4, 3, 1), np.int16), np.eye(4))
    path.with_suffix(".nii.gz").write_bytes(gzip.compress(path.read_bytes() + bytes(50_000_000)))
    np.testing.assert_allclose(numbers(path.with_suffix(".nii.gz")), 1, atol=1e-3)


def test_without_the_extra_the_reason_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    (tmp_path / "a.nii").write_bytes(bytes(344) + b"n+1\0" + bytes(200))
    with pytest.raises(
        UnreadableError, match=r'^it is a NIfTI file, which an extra reads: pip install "seewhy\[medical\]"'
    ):
        read_photograph(tmp_path / "a.nii")


@pytest.mark.parametrize(
    "data",
    [gzip.compress(b"words", mtime=0), b"\x1f\x8bnothing", gzip.compress(bytes(600), mtime=0)[:20]],
    ids=["words", "nothing", "cut"],
)
def test_what_gzip_packs_else_is_no_image(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.nii.gz").write_bytes(data)
    with pytest.raises(UnreadableError, match=r"^no image format that can be read$"):
        read_photograph(tmp_path / "a.nii.gz")


def test_names_of_two_suffixes_are_one(tmp_path: Path) -> None:
    assert is_image_name("a.nii.gz") and is_image_name("b.NII") and not is_image_name("c.gz")
    assert suffix_of("A.NII.GZ") == ".nii.gz" and stem_of("a.b.nii.gz") == "a.b" and stem_of("a.png") == "a"
    for name in ("x/a.nii.gz", "y/b.nii.gz", "masks/x/a.png", "masks/y/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    images = read_table([tmp_path / "x/a.nii.gz", tmp_path / "y/b.nii.gz"]).images
    assert mask_files(tmp_path / "masks", images)


@nifti
def test_a_run_reads_them_and_its_pages_show_them(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    values = np.linspace(-1000, 1500, 64 * 64).astype(np.int16).reshape(64, 64, 1)
    write_nifti(tmp_path / "scans" / "a.nii.gz", values, np.eye(4))
    write_nifti(tmp_path / "scans" / "b.nii.gz", np.zeros((4, 3, 5), np.int16), np.eye(4))
    run = tmp_path / "run"
    explanation = seewhy.explain(FourConv(64), tmp_path / "scans", out=run, progress=False)
    assert [outcome.error is None for outcome in explanation.outcomes] == [True, False]
    seewhy.write_report(explanation, copy_images=True)
    pictures = "".join(path.read_text(encoding="utf-8") for path in (run / "report").rglob("pictures-*.js"))
    assert pictures.count("data:image") == 1

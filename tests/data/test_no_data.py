"""Numbers that stand for no data do not stretch the scale of a data set, and it is said which they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import PIL.TiffImagePlugin
import pytest

import seewhy
from seewhy.data.pictures.decode import UnreadableError, read_photograph, reduced
from seewhy.data.reader import load_image
from seewhy.data.sources.folder import read_table
from seewhy.errors import StoreError
from seewhy.records import Preprocess
from tests.data.test_depth import RAMP, fed, inputs_of
from tests.models import FourConv

HEIGHTS = (RAMP * 100 - 400).astype(np.float32)  # -400 to 5900 metres
HOLES = np.zeros((64, 64), bool)
HOLES[:8, :] = True


def write(path: Path, values: np.ndarray, declared: str | None = None) -> Path:
    tags = PIL.TiffImagePlugin.ImageFileDirectory_v2()
    if declared is not None:
        tags[42113] = declared
    PIL.Image.fromarray(values).save(path, tiffinfo=tags)
    return path


def with_holes(values: np.ndarray, number: float, holes: np.ndarray = HOLES) -> np.ndarray:
    return np.where(holes, values.dtype.type(number), values)


# ---- the file says so ----


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (-9999, "-9999"),
        (-9999, "-9999.0\0"),
        (np.nan, "nan"),
        (-3.4028234663852886e38, "-3.40282346638529e+38"),
        (3, "3"),
    ],
)
def test_what_a_file_declares_is_black_and_no_part_of_the_scale(tmp_path: Path, number: float, words: str) -> None:
    path = write(tmp_path / "a.tif", with_holes(HEIGHTS, number), words)
    classifier = fed([path])
    assert classifier.preprocess.scales == (("float", -400.0, 5900.0),) and classifier.preprocess.no_data == ()
    wanted = np.where(HOLES, 0, (HEIGHTS + 400) / 6300)
    np.testing.assert_allclose(inputs_of([path])[0, 1].numpy(), wanted, atol=1e-6)
    said = f"Numbers that stand for no data, as the files say: {number:g} (1 of 1). "
    assert classifier.notes[1] == said + "They are black, and no part of a scale."
    small = reduced(path.read_bytes(), 64, classifier.preprocess)
    np.testing.assert_array_equal(small, np.rint(inputs_of([path])[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8))


def test_a_declared_number_is_black_in_a_window_that_is_asked_for(tmp_path: Path) -> None:
    values = with_holes((RAMP * 65).astype(np.uint16), 65535)
    path = write(tmp_path / "a.tif", values, "65535")
    found = inputs_of([path], window=(0, 2000))[0, 0].numpy()
    assert (found[HOLES] == 0).all() and found[~HOLES].max() == 1


@pytest.mark.parametrize("words", ["-9999", "0.5", "nan", "70000", "none", ""])
def test_a_number_that_the_type_cannot_hold_changes_nothing(tmp_path: Path, words: str) -> None:
    values = (RAMP * 65).astype(np.uint16)
    path = write(tmp_path / "a.tif", values, words)
    np.testing.assert_allclose(inputs_of([path])[0, 0].numpy(), values / 4095, atol=1e-7)
    assert len(fed([path]).notes) == 1


# ---- nobody says so ----


@pytest.mark.parametrize(
    ("values", "number", "scale", "colour"),
    [
        (HEIGHTS, -9999, ("float", -400.0, 5900.0), "black"),
        (HEIGHTS.astype(np.int32), -32768, ("signed", -400.0, 5900.0), "black"),
        ((RAMP * 65).astype(np.uint16), 65535, ("unsigned", 0.0, 4095.0), "white"),
        ((RAMP * 65).astype(np.int32), -7777, ("signed", 0.0, 4095.0), "black"),
        ((RAMP / 63).astype(np.float32), -999, ("float", 0.0, 1.0), "black"),
        ((RAMP / 63).astype(np.float32), 1e20, ("float", 0.0, 1.0), "white"),
    ],
    ids=["float", "signed", "unsigned", "unusual", "shares", "high"],
)
def test_a_number_far_from_all_others_is_left_out_and_said(
    tmp_path: Path, values: np.ndarray, number: float, scale: tuple[str, float, float], colour: str
) -> None:
    write(tmp_path / "a.tif", values)
    write(tmp_path / "b.tif", with_holes(values, number))
    classifier = fed(tmp_path)
    assert classifier.preprocess.scales == (scale,) and classifier.preprocess.no_data == (pytest.approx(number),)
    assert classifier.notes[1] == (
        f"{number:g} is in 1 of 2 of them, far from all other numbers: it is taken for no data, {colour} and no part "
        "of a scale. If it was measured, give a scale that holds it (--window)."
    )
    whole, holed = (image[0].numpy() for image in inputs_of(tmp_path))
    np.testing.assert_array_equal(holed[~HOLES], whole[~HOLES])
    assert (holed[HOLES] == (colour == "white")).all()
    table = read_table(tmp_path)
    picture = load_image(table, table.images[1], classifier.preprocess).picture
    np.testing.assert_array_equal(reduced((tmp_path / "b.tif").read_bytes(), 64, classifier.preprocess), picture)


def test_an_image_of_nothing_else_does_not_stretch_the_scale(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", with_holes(HEIGHTS, -9999))
    write(tmp_path / "b.tif", np.full((64, 64), -9999, np.float32))
    assert fed(tmp_path).preprocess.scales == (("float", -400.0, 5900.0),)
    assert inputs_of(tmp_path)[1].abs().max() == 0


@pytest.mark.parametrize(
    "images",
    [
        pytest.param([with_holes((RAMP * 65).astype(np.uint16), 0)], id="a-black-background"),
        pytest.param([with_holes((RAMP * 5).astype(np.uint16), 4095)], id="an-overexposed-lamp"),
        pytest.param([np.where(HOLES, np.uint16(65535), np.uint16(0))], id="two-numbers"),
        pytest.param(
            [with_holes((RAMP * 65).astype(np.uint16), 65535), (RAMP * 1000).astype(np.uint16)], id="near-in-another"
        ),
        pytest.param([with_holes((RAMP * 22 - 1000).astype(np.int32), -2000)], id="not-far"),
        pytest.param(
            [np.where(RAMP + RAMP.T == 0, np.uint16(60000), (RAMP * 65).astype(np.uint16))], id="one-hot-pixel"
        ),
    ],
)
def test_what_may_have_been_measured_stays(tmp_path: Path, images: list[np.ndarray]) -> None:
    for number, values in enumerate(images):
        write(tmp_path / f"{number}.tif", values)
    classifier = fed(tmp_path)
    assert classifier.preprocess.no_data == () and len(classifier.notes) == 1
    low, high = min(values.min() for values in images), max(values.max() for values in images)
    (scale,) = classifier.preprocess.scales
    assert scale[1] <= low and scale[2] >= high


def test_a_window_that_is_asked_for_holds_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", with_holes(HEIGHTS, -9999))
    classifier = fed([path], window=(-9999, 5900))
    assert classifier.preprocess.no_data == () and len(classifier.notes) == 1
    wanted = (with_holes(HEIGHTS, -9999) + 9999) / 15899
    np.testing.assert_allclose(inputs_of([path], window=(-9999, 5900))[0, 0].numpy(), wanted, atol=1e-6)


def test_undeclared_nan_is_still_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r"^it holds NaN or infinite values in 12\.5% of its pixels: write"):
        read_photograph(write(tmp_path / "a.tif", with_holes(HEIGHTS, np.nan)), Preprocess(window=(0, 1)))


# ---- runs ----


def test_it_belongs_to_a_run_and_is_kept_with_it(tmp_path: Path) -> None:
    path, run = write(tmp_path / "a.tif", with_holes(HEIGHTS, -9999)), tmp_path / "run"
    network = FourConv(64)
    first, second = (seewhy.explain(network, [path], out=run, progress=False) for _ in range(2))
    assert first.outcomes == second.outcomes and first.outcomes[0].error is None
    seewhy.write_report(first)
    pages = "".join(page.read_text(encoding="utf-8") for page in (run / "report").glob("*.html"))
    assert "it is taken for no data, black" in pages
    with pytest.raises(StoreError, match=r"--window: -400,5900 without -9999 there, -400\.0,5900\.0 asked"):
        seewhy.explain(seewhy.load(network, window=(-400, 5900)), [path], out=run, progress=False)
    assert not {"no_data"} & Preprocess().stored().keys()
    assert "window -400..5900 without -9999" in fed([path]).preprocess.describe()

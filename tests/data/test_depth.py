"""Files of more than 8 bits keep their numbers, and all images of a set go by one scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import seewhy
from seewhy.data import window
from seewhy.data.formats.depth import Extremes, is_deep, scale_of, values_of
from seewhy.data.pictures.canvas import canvas_of, network_input
from seewhy.data.pictures.decode import UnreadableError, read_photograph, reduced
from seewhy.data.reader import batch_of, load_image
from seewhy.data.sources.folder import read_table
from seewhy.data.window import UNUSED_NOTE, with_window
from seewhy.errors import OptionError, StoreError
from seewhy.evidence.checks.feeding import variants_of
from seewhy.records import Preprocess
from tests.data.deep import write_png16, write_tiff
from tests.models import FourConv, Linear

RAMP = np.tile(np.arange(64), (64, 1))


def fed(images: Any, **fields: Any) -> seewhy.Classifier:
    """The classifier that a plan of the images has."""
    return with_window(seewhy.load(FourConv(), **fields), read_table(images))


def inputs_of(images: Any, **fields: Any) -> Tensor:
    classifier, table = fed(images, **fields), read_table(images)
    loaded = [load_image(table, image, classifier.preprocess) for image in table.images]
    return batch_of(loaded, classifier.preprocess)


# ---- the numbers of a file ----


@pytest.mark.parametrize("shape", [(9, 13), (9, 13, 2), (9, 13, 3), (9, 13, 4)], ids=["L", "LA", "RGB", "RGBA"])
def test_a_16_bit_png_gives_all_its_bits(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)
    path = write_png16(tmp_path / "a.png", values)
    wanted = values if values.ndim == 2 else values[..., 0] if shape[2] == 2 else values[..., :3]
    with PIL.Image.open(path) as image:
        assert is_deep(image)
        np.testing.assert_array_equal(values_of(image, path.read_bytes()), wanted)


@pytest.mark.parametrize("kind", ["i1", "u2", "i2", "u4", "i4", "f4"])
def test_a_tiff_gives_the_numbers_of_its_type(tmp_path: Path, kind: str) -> None:
    low, high = (-100, 1e6) if kind == "f4" else (np.iinfo(kind).min, np.iinfo(kind).max)
    values = np.linspace(low, high, 117).reshape(9, 13).astype(kind)
    path = write_tiff(tmp_path / "a.tif", values)
    with PIL.Image.open(path) as image:
        assert is_deep(image)
        np.testing.assert_array_equal(values_of(image, path.read_bytes()), values)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_16_bit_colour_tiff_is_upright_with_all_its_bits(tmp_path: Path, channels: int, orientation: int) -> None:
    values = np.random.default_rng(1).integers(0, 65536, (5, 7, channels)).astype(np.uint16)
    path = write_tiff(tmp_path / "a.tif", values, orientation)
    turned = {1: values, 3: values[::-1, ::-1], 6: np.rot90(values, -1)}[orientation]
    with PIL.Image.open(path) as image:
        np.testing.assert_array_equal(values_of(image, path.read_bytes()), turned[..., :3])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_8_bits_are_not_deep(tmp_path: Path, mode: str) -> None:
    image = PIL.Image.new("RGB", (4, 4), (1, 2, 3)).convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    with PIL.Image.open(path) as opened:
        assert not is_deep(opened)
    photograph = read_photograph(path)
    assert photograph.shares is None
    assert canvas_of(photograph.pixels, Preprocess(size=(2, 2)))[0].dtype == np.uint8


# ---- which scale ----


@pytest.mark.parametrize(
    ("low", "high", "kind", "scale"),
    [
        (0, 200, "unsigned", (0, 255)),
        (0, 255, "unsigned", (0, 255)),
        (0, 256, "unsigned", (0, 1023)),
        (3, 4095, "unsigned", (0, 4095)),
        (0, 4096, "unsigned", (0, 65535)),
        (0, 70000, "unsigned", (0, 70000)),
        (0, 4000, "signed", (0, 4095)),
        (-1000, 386, "signed", (-1024, 3071)),
        (-2000, 386, "signed", (-2000, 386)),
        (0, 1.001, "float", (0, 1)),
        (-0.001, 1, "float", (0, 1)),
        (0, 1.5, "float", (0, 255)),
        (0, 255.4, "float", (0, 255)),
        (0, 60000, "float", (0, 65535)),
        (-0.9, 1.0, "float", (-1, 1)),
        (-1000, 400, "float", (-1024, 3071)),
        (-5, 7.5e6, "float", (-5, 7.5e6)),
    ],
)
def test_the_scale_is_the_least_usual_one(low: float, high: float, kind: str, scale: tuple[float, float]) -> None:
    assert scale_of(Extremes(low, high, kind)) == scale


def write_ramps(folder: Path) -> Path:
    PIL.Image.fromarray((RAMP * 65).astype(np.uint16)).save(folder / "twelve_bits.png")
    PIL.Image.fromarray((RAMP * 22 - 1000).astype(np.int32)).save(folder / "hounsfield.tiff")
    PIL.Image.fromarray((RAMP / 63 * 1.001).astype(np.float32)).save(folder / "float.tiff")
    return folder


WANTED = {
    "twelve_bits.png": RAMP * 65 / 4095,
    "hounsfield.tiff": (RAMP * 22 - 1000 + 1024) / 4095,
    "float.tiff": (RAMP / 63 * 1.001).clip(0, 1),
}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("name", WANTED)
def test_a_ramp_of_64_levels_arrives_with_64_levels(tmp_path: Path, name: str, together: bool) -> None:
    """Alone, or in one folder with files of other kinds, each of which has a scale of its own."""
    images = write_ramps(tmp_path) if together else [write_ramps(tmp_path) / name]
    table, classifier = read_table(images), fed(images)
    image = next(image for image in table.images if image.id == name)
    loaded = load_image(table, image, classifier.preprocess)
    inputs = batch_of([loaded], classifier.preprocess)[0]
    np.testing.assert_allclose(inputs.numpy(), np.stack([WANTED[name]] * 3), atol=2e-7)
    assert len(np.unique(inputs.numpy())) == 64
    assert np.abs(loaded.picture[..., 0] - WANTED[name] * 255).max() <= 0.5 + 1e-4
    small = reduced((tmp_path / name).read_bytes(), 64, classifier.preprocess)
    np.testing.assert_array_equal(small, loaded.picture)


def test_two_images_of_a_set_go_by_one_scale_and_it_is_said(tmp_path: Path) -> None:
    dark, bright = (RAMP * 4).astype(np.uint16), (RAMP * 65).astype(np.uint16)
    PIL.Image.fromarray(dark).save(tmp_path / "a.png")
    PIL.Image.fromarray(bright).save(tmp_path / "b.png")
    inputs = inputs_of(tmp_path)
    np.testing.assert_allclose(inputs[:, 0].numpy(), np.stack([dark, bright]) / 4095, atol=1e-7)
    (note,) = fed(tmp_path).notes
    assert note == (
        "2 of 2 images looked at have more than 8 bits. They hold unsigned numbers from 0 to 4095: 0 is black and 4095 "
        "white in all of them (--window 0,4095)."
    )
    assert fed(tmp_path).preprocess.describe() == "own size, RGB, 0..1, window 0..4095"


def test_16_bit_colours_arrive_with_their_bits(tmp_path: Path) -> None:
    values = np.stack([RAMP * 65, RAMP * 30, RAMP], axis=-1).astype(np.uint16)
    write_png16(tmp_path / "a.png", values)
    write_tiff(tmp_path / "b.tif", values)
    for inputs in inputs_of(tmp_path):
        np.testing.assert_allclose(inputs.numpy(), values.transpose(2, 0, 1) / 4095, atol=1e-7)
    np.testing.assert_allclose(
        inputs_of(tmp_path, channels="bgr")[0].numpy(), values[..., ::-1].transpose(2, 0, 1) / 4095, atol=1e-7
    )


def test_a_window_is_what_was_asked_for_and_clips(tmp_path: Path) -> None:
    write_ramps(tmp_path)
    inputs = inputs_of([tmp_path / "hounsfield.tiff"], window=(-160, 240), mean=0.5, std=0.25)
    wanted = (((RAMP * 22 - 1000 + 160) / 400).clip(0, 1) - 0.5) / 0.25
    np.testing.assert_allclose(inputs[0, 1].numpy(), wanted, atol=2e-6)


def test_a_range_as_the_files_have_it_feeds_their_numbers(tmp_path: Path) -> None:
    write_ramps(tmp_path)
    inputs = inputs_of([tmp_path / "twelve_bits.png"], range="0-4095", mean=10, std=2)
    np.testing.assert_allclose(inputs[0, 2].numpy(), (RAMP * 65 - 10) / 2, atol=1e-3)
    bytes_ = network_input([np.full((2, 2, 3), 51, np.uint8)], Preprocess(range="0-4095"))
    np.testing.assert_allclose(bytes_.numpy(), 51 / 255 * 4095, rtol=1e-6)


@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_deep_canvases_lie_where_those_of_8_bits_do(fit: Any, interpolation: str) -> None:
    pixels = np.random.default_rng(0).integers(80, 176, (40, 30, 3), np.uint8)
    how = Preprocess(size=(16, 20), fit=fit, interpolation=interpolation, crop_share=0.9)
    shallow, geometry = canvas_of(pixels, how)
    deep, same = canvas_of((pixels / 255).astype(np.float32), how)
    assert same == geometry and deep.dtype == np.float32
    assert np.abs(deep - shallow / 255).max() <= 2.5 / 255  # rows and columns are rounded each


def test_the_depth_goes_through_resizing() -> None:
    values = (np.random.default_rng(0).uniform(0, 1, (48, 32)) / 256).astype(np.float32)  # less than one of 256 levels
    canvas, _ = canvas_of(values, Preprocess(size=(12, 16)))
    wanted = functional.interpolate(torch.from_numpy(values)[None, None], (12, 16), mode="bilinear", antialias=True)
    np.testing.assert_allclose(canvas, wanted[0, 0, ..., None].expand(-1, -1, 3).numpy(), atol=1e-8)


def test_deep_and_shallow_files_go_together_and_the_shallow_ones_stay(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    PIL.Image.fromarray(grey).save(tmp_path / "a.png")
    PIL.Image.fromarray((RAMP * 65).astype(np.uint16)).save(tmp_path / "b.png")
    both = inputs_of(tmp_path, mean=0.4, std=0.2)
    assert torch.equal(both[:1], inputs_of([tmp_path / "a.png"], mean=0.4, std=0.2))
    np.testing.assert_allclose(both[1, 0].numpy(), (RAMP * 65 / 4095 - 0.4) / 0.2, atol=1e-6)
    assert "1 of 2 images" in fed(tmp_path).notes[0]


def test_8_bit_images_need_no_window_and_say_where_one_is_not_used(tmp_path: Path) -> None:
    PIL.Image.fromarray(RAMP.astype(np.uint8)).save(tmp_path / "a.png")
    assert fed(tmp_path).notes == () and fed(tmp_path).preprocess == Preprocess()
    assert fed(tmp_path, window=(0, 100)).notes == (UNUSED_NOTE,)
    assert fed(torch.zeros(1, 3, 4, 4), window=(0, 100)).notes == (UNUSED_NOTE,)


def test_an_image_that_the_others_do_not_speak_for_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "MOST_READ", 2)  # the first and the last
    for name, values in {"a": RAMP * 16, "b": RAMP * 65, "c": RAMP - 5, "d": RAMP * 15}.items():
        kind = np.int32 if name == "c" else np.uint16
        PIL.Image.fromarray(values.astype(kind)).save(tmp_path / f"{name}.tif")
    explanation = seewhy.explain(FourConv(64), tmp_path, progress=False)
    errors = [outcome.error for outcome in explanation.outcomes]
    assert errors[0] is errors[3] is None
    assert errors[1] == (
        "it holds 0 to 4095, beyond the scale 0 to 1023 that other images show: give one for all, --window 0,4095"
    )
    assert errors[2] == "it holds signed numbers, -5 to 58, as none looked at does: give a scale, --window 0,65535"
    asked = seewhy.explain(seewhy.load(FourConv(64), window=(0, 4095)), tmp_path, progress=False)
    assert [outcome.error for outcome in asked.outcomes] == [None] * 4


@pytest.mark.parametrize("value", [np.nan, -np.inf], ids=["nan", "infinite"])
def test_numbers_that_are_none_are_a_reason(tmp_path: Path, value: float) -> None:
    PIL.Image.fromarray(np.full((3, 3), value, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(
        UnreadableError,
        match=r"^it holds NaN or infinite values in 100% of its pixels: write a number there, or in a TIFF ",
    ):
        read_photograph(tmp_path / "a.tif", Preprocess(window=(0, 1)))


# ---- Datasets ----


class Scans(torch.utils.data.Dataset[tuple[PIL.Image.Image, int]]):
    classes = ("a", "b")

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> tuple[PIL.Image.Image, int]:
        torch.rand(1)
        return PIL.Image.fromarray((RAMP * (index + 1) * 10).astype(np.uint16)), index % 2


def test_deep_images_of_a_dataset_go_by_one_scale_and_the_random_state_stays() -> None:
    network = seewhy.load(FourConv())
    before = torch.get_rng_state()
    classifier = with_window(network, read_table(Scans()))
    assert torch.equal(torch.get_rng_state(), before)
    assert classifier.preprocess.scales == (("unsigned", 0.0, 4095.0),)
    wanted = np.stack([RAMP * (index + 1) * 10 / 4095 for index in range(6)])
    np.testing.assert_allclose(inputs_of(Scans())[:, 0].numpy(), wanted, atol=1e-7)


# ---- runs ----


def write_classes(folder: Path, n: int = 8) -> Path:
    """Two classes that differ in the lower bits alone: a square of 200 or 400 of 4095, on noise below 100."""
    rng = np.random.default_rng(0)
    for split in ("train", "valid"):
        for index, name in enumerate("ab"):
            (folder / split / name).mkdir(parents=True)
            for number in range(n):
                values = rng.integers(0, 100, (32, 32)).astype(np.uint16)
                values[8:20, 8:20] += 200 * (index + 1)
                values[0, 0] = 4095
                PIL.Image.fromarray(values).save(folder / split / name / f"{number}.png")
    return folder


class Deep(Linear):
    """Its second class is a brighter middle than 350 of 4095."""

    def forward(self, x: Tensor) -> Tensor:
        level = self.features(x)[:, :1, 10:18, 10:18].mean((2, 3)) * 0 + x[:, :1, 10:18, 10:18].mean((2, 3)) * 4095
        return torch.cat([350 - level, level - 350], dim=1)


def test_a_run_is_resumed_with_its_scale_and_refuses_another(tmp_path: Path) -> None:
    write_ramps(tmp_path)
    files, run = [tmp_path / "twelve_bits.png"], tmp_path / "run"
    network = FourConv(64)
    first, second = (seewhy.explain(network, files, out=run, progress=False) for _ in range(2))
    assert first.outcomes == second.outcomes
    with pytest.raises(StoreError, match=r"--window: 0,4095 there, -1000\.0,400\.0 asked"):
        seewhy.explain(seewhy.load(network, window=(-1000, 400)), files, out=run, progress=False)


def test_folders_of_8_bits_know_nothing_of_it() -> None:
    assert not {"window", "scales"} & Preprocess().stored().keys()
    stored = Preprocess(window=(0.0, 5.0), scales=(("float", 0.0, 1.0),)).stored()
    assert Preprocess(**stored).window == (0.0, 5.0)


def test_check_and_audit_see_what_lies_in_the_lower_bits(tmp_path: Path) -> None:
    data = write_classes(tmp_path / "data")
    check = seewhy.check(Deep(), data, progress=False)
    assert check.behaviour.accuracy.value == 1.0
    assert "window 0..4095" in check.facts["preprocess"]
    audit = seewhy.audit(Deep(), data, regions=["centre"], properties="brightness", progress=False)
    (effect,) = [finding.numbers["margin"]["value"] for finding in audit.findings if finding.factor == "centre"]
    assert effect == pytest.approx(400, rel=0.05)  # twice the distance of the squares, in numbers of the files


def test_other_windows_are_among_the_usual_mistakes() -> None:
    found = variants_of(Preprocess(scales=(("unsigned", 0.0, 4095.0),)))
    assert found["window 0..65535"][0].window == (0, 65535)
    assert found["window 0..65535"][1] == "--window 0,65535"
    raw, words = found["0..4095, as the files have it"]
    assert (raw.range, words) == ("0-4095", "--window 0,4095 --range 0-4095 --mean 0 --std 1")
    signed = variants_of(Preprocess(window=(-1000, 400)))
    assert {"window -160..240", "window 0..255"} < signed.keys() and "window -1000..400" not in signed
    assert not any("window" in name for name in variants_of(Preprocess()))


def test_pages_of_a_run_show_the_scale(tmp_path: Path) -> None:
    write_ramps(tmp_path)
    explanation = seewhy.explain(FourConv(64), [tmp_path / "twelve_bits.png"], out=tmp_path / "run", progress=False)
    seewhy.write_report(explanation)
    pages = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "run/report").glob("*.html"))
    assert "0 is black and 4095 white" in pages


def test_a_window_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(OptionError, match="the smaller first"):
        Preprocess(window=(400, -1000))

"""Files of every kind become upright 8-bit RGB, and from there exactly the numbers that the formula says."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from seewhy.data.pictures import decode
from seewhy.data.pictures.canvas import canvas_of, network_input, picture_of
from seewhy.data.pictures.decode import (
    UnreadableError,
    as_pixels,
    read_photograph,
    read_size,
)
from seewhy.records import Preprocess


def random_pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def saved(image: PIL.Image.Image, path: Path, **options: object) -> np.ndarray:
    image.save(path, **options)
    return read_photograph(path).pixels


def test_rgb_comes_back_as_it_was_with_the_hash_of_the_file(tmp_path: Path) -> None:
    pixels, path = random_pixels(13, 17, 3), tmp_path / "a.png"
    PIL.Image.fromarray(pixels).save(path)
    photograph = read_photograph(path)
    np.testing.assert_array_equal(photograph.pixels, pixels)
    assert photograph.digest == hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    assert read_size(path) == (13, 17)


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif", "webp", "pgm", "jp2"])
def test_grey_is_the_same_in_three_channels(tmp_path: Path, suffix: str) -> None:
    grey = random_pixels(9, 11)
    options = {"webp": {"lossless": True}}.get(suffix, {})
    found = saved(PIL.Image.fromarray(grey), tmp_path / f"a.{suffix}", **options)
    np.testing.assert_array_equal(found, np.repeat(grey[..., None], 3, axis=2))


def test_alpha_is_dropped_and_leaves_the_colours(tmp_path: Path) -> None:
    rgba = random_pixels(6, 7, 4)
    np.testing.assert_array_equal(saved(PIL.Image.fromarray(rgba), tmp_path / "a.png"), rgba[..., :3])
    grey_alpha = random_pixels(6, 7, 2)
    found = saved(PIL.Image.fromarray(grey_alpha), tmp_path / "b.png")
    np.testing.assert_array_equal(found, np.repeat(grey_alpha[..., :1], 3, axis=2))


@pytest.mark.parametrize("transparency", [None, 3, bytes([0, 128, 255, 10])], ids=["none", "one-colour", "by-colour"])
@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palette_colours_are_looked_up(tmp_path: Path, suffix: str, transparency: int | bytes | None) -> None:
    if suffix == "gif" and isinstance(transparency, bytes):
        transparency = 0
    colours = np.array([[250, 10, 20], [0, 200, 30], [7, 8, 240], [90, 91, 92]], np.uint8)
    index = np.arange(20, dtype=np.uint8).reshape(4, 5) % 4
    image = PIL.Image.frombytes("P", (5, 4), index.tobytes())
    image.putpalette(colours.tobytes())
    options = {} if transparency is None else {"transparency": transparency}
    np.testing.assert_array_equal(saved(image, tmp_path / f"a.{suffix}", **options), colours[index])


def test_cmyk_jpeg_shows_its_colours(tmp_path: Path) -> None:
    colours = np.array([[230, 30, 40], [20, 220, 30], [30, 40, 210], [250, 250, 250], [5, 5, 5]], np.uint8)
    pixels = np.repeat(np.repeat(colours[None], 16, axis=0), 16, axis=1)
    found = saved(PIL.Image.fromarray(pixels).convert("CMYK"), tmp_path / "a.jpg", quality=98)
    assert found.shape == pixels.shape
    assert np.abs(found.astype(int) - pixels.astype(int)).max() <= 12


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    bits = random_pixels(10, 12) > 127
    found = saved(PIL.Image.fromarray(bits), tmp_path / "a.png")
    np.testing.assert_array_equal(found, np.where(bits, 255, 0)[..., None].repeat(3, axis=2))


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=["nan", "infinite"])
def test_a_float_tiff_that_holds_no_numbers_says_so(tmp_path: Path, value: float) -> None:
    PIL.Image.fromarray(np.full((3, 3), value, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableError, match=r"^it holds NaN or infinite values in 100% of its pixels: "):
        read_photograph(tmp_path / "a.tif", Preprocess(window=(0.0, 1.0)))


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_the_first_frame_of_an_animation_is_read(tmp_path: Path, suffix: str) -> None:
    frames = [PIL.Image.new("RGB", (8, 6), colour) for colour in ((200, 20, 20), (20, 200, 20), (20, 20, 200))]
    options = {"lossless": True} if suffix == "webp" else {}
    found = saved(frames[0], tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], duration=50, **options)
    np.testing.assert_array_equal(found, np.asarray(frames[0]))


def test_the_suffix_does_not_matter(tmp_path: Path) -> None:
    pixels, path = random_pixels(5, 6, 3), tmp_path / "a.jpg"
    PIL.Image.fromarray(pixels).save(path, format="PNG")
    np.testing.assert_array_equal(read_photograph(path).pixels, pixels)
    assert read_size(path) == (5, 6)


def test_a_single_pixel_goes_all_the_way_without_a_warning(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (1, 1), (10, 20, 30)).save(tmp_path / "a.png")
    canvas, _ = canvas_of(read_photograph(tmp_path / "a.png").pixels, Preprocess())
    assert network_input([canvas], Preprocess(range="0-255")).flatten().tolist() == [10, 20, 30]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "1", "P", "CMYK", "LA", "I;16"])
def test_a_large_image_is_the_same_in_bands(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    wide = random_pixels(21, 70_000, 3)  # bands of 14 rows, the last one short
    image = PIL.Image.fromarray(wide)
    if mode == "I;16":
        image = PIL.Image.fromarray(wide[..., 0].astype(np.uint16) * 257)
    else:
        image = image.convert("L").convert("LA") if mode == "LA" else image.convert(mode)
    whole = as_pixels(image)
    monkeypatch.setattr("seewhy.data.pictures.decode._LARGE", 1000)
    np.testing.assert_array_equal(as_pixels(image), whole)


def test_images_of_any_mode_in_memory_are_turned_upright() -> None:
    pixels = random_pixels(4, 6, 3)
    image = PIL.Image.fromarray(np.ascontiguousarray(pixels[:, ::-1].swapaxes(0, 1)))
    image.getexif()[0x0112] = 6
    np.testing.assert_array_equal(as_pixels(image), pixels)


# ---- what cannot be read has a reason that does not change from run to run ----


def truncated(path: Path) -> None:
    PIL.Image.fromarray(random_pixels(64, 64, 3)).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:1500])


def truncated_png(path: Path) -> None:
    PIL.Image.fromarray(random_pixels(64, 64, 3)).save(path, format="PNG")
    path.write_bytes(path.read_bytes()[:4000])


def broken_png(path: Path) -> None:
    PIL.Image.fromarray(random_pixels(64, 64, 3)).save(path, format="PNG")
    data = bytearray(path.read_bytes())
    data[60:400] = bytes(340)
    path.write_bytes(data)


BAD = {
    "truncated": (truncated, r"truncated"),
    "truncated-png": (truncated_png, r"truncated"),
    "broken-png": (broken_png, r"broken|decod"),
    "header-only": (lambda path: path.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"), r"."),
    "empty": (lambda path: path.write_bytes(b""), r"^the file is empty$"),
    "zeros": (lambda path: path.write_bytes(bytes(2000)), r"^no image format that can be read$"),
    "text": (lambda path: path.write_text("<html>404</html>"), r"^no image format that can be read$"),
    "missing": (lambda path: None, r"^No such file or directory$"),
    "directory": (lambda path: path.mkdir(), r"^Is a directory$"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_has_a_readable_reason(tmp_path: Path, case: str) -> None:
    make, reason = BAD[case]
    path = tmp_path / "x.jpg"
    make(path)
    with pytest.raises(UnreadableError, match=reason) as raised:
        read_photograph(path)
    with pytest.raises(UnreadableError) as again:
        read_photograph(path)
    assert str(raised.value) == str(again.value)
    assert " at 0x" not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) <= 200


@pytest.mark.parametrize("case", ["text", "missing", "directory", "empty"])
def test_the_size_of_what_is_no_image_is_not_known(tmp_path: Path, case: str) -> None:
    path = tmp_path / "x.jpg"
    BAD[case][0](path)
    with pytest.raises(UnreadableError, match=r"\w"):
        read_size(path)


def test_a_decompression_bomb_is_refused_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PIL.Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(decode, "MOST_PIXELS", 1199)
    with pytest.raises(UnreadableError, match=r"^40 x 30 pixels is more than the limit of 1,199$"):
        read_photograph(tmp_path / "a.png")
    monkeypatch.setattr(decode, "MOST_PIXELS", 1200)
    assert read_photograph(tmp_path / "a.png").pixels.shape == (30, 40, 3)


@pytest.mark.parametrize("read", [read_photograph, read_size], ids=["photograph", "size"])
def test_pillows_own_limit_gives_a_reason_and_its_warnings_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: object
) -> None:
    PIL.Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 800)  # Pillow warns above it and refuses above twice as many
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(tmp_path / "a.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(UnreadableError, match=r"^1,200 pixels is more than the limit of 1,000$"):
        read(tmp_path / "a.png")


# ---- the network's input ----

MEANS = {"none": ((0.0,), (1.0,)), "one": ((0.5,), (0.25,)), "each": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}


def reference_input(canvas: np.ndarray, how: Preprocess) -> np.ndarray:
    """The formula in Preprocess, in float64: (canvas[channels] * 255 if range is "0-255" - mean) / std."""
    values = canvas.astype(np.float64) / 255
    if how.channels == "bgr":
        values = values[..., [2, 1, 0]]
    if how.channels == "grey":
        values = (values @ np.array([0.299, 0.587, 0.114]))[..., None]
    if how.range == "0-255":
        values = values * 255
    return ((values - np.array(how.mean)) / np.array(how.std)).transpose(2, 0, 1)


def scaled(mean: tuple[float, ...], std: tuple[float, ...], range_: str) -> dict[str, tuple[float, ...]]:
    """Mean and std in the units of the range."""
    white = float(range_.removeprefix("0-")) if any(mean) else 1.0
    return {"mean": tuple(white * value for value in mean), "std": tuple(white * value for value in std)}


@pytest.mark.parametrize("scaling", MEANS)
@pytest.mark.parametrize("channels", ["rgb", "bgr", "grey"])
@pytest.mark.parametrize("range_", ["0-1", "0-255"])
def test_the_input_is_what_the_formula_says(range_: str, channels: str, scaling: str) -> None:
    mean, std = MEANS[scaling]
    if channels == "grey":
        mean, std = mean[:1], std[:1]
    how = Preprocess(**scaled(mean, std, range_), range=range_, channels=channels)
    canvas = random_pixels(7, 9, 3)
    found = network_input([canvas], how)
    assert found.dtype == torch.float32
    assert found.shape == (1, 1 if channels == "grey" else 3, 7, 9)
    wanted = reference_input(canvas, how)
    np.testing.assert_allclose(found[0].numpy(), wanted, rtol=1e-5, atol=2e-6 * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("channels", ["rgb", "grey"])
def test_an_image_gives_the_same_numbers_alone_and_in_a_batch(channels: str) -> None:
    how = Preprocess(mean=(0.4,), std=(0.3,), channels=channels)
    canvases = [random_pixels(8, 5, 3, seed=seed) for seed in range(5)]
    batch = network_input(canvases, how)
    alone = torch.cat([network_input([one], how) for one in canvases])
    assert torch.equal(batch, alone)


@pytest.mark.parametrize("scaling", MEANS)
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("range_", ["0-1", "0-255"])
def test_a_picture_of_the_input_is_the_canvas(range_: str, channels: str, scaling: str) -> None:
    how = Preprocess(**scaled(*MEANS[scaling], range_), range=range_, channels=channels)
    canvas = random_pixels(12, 10, 3)
    np.testing.assert_array_equal(picture_of(network_input([canvas], how)[0], how), canvas)


def test_a_picture_of_grey_input_is_grey() -> None:
    canvas = np.repeat(random_pixels(6, 6, 1), 3, axis=2)
    how = Preprocess(channels="grey", mean=(0.5,), std=(0.5,))
    np.testing.assert_array_equal(picture_of(network_input([canvas], how)[0], how), canvas)


def test_a_picture_of_unknown_input_is_stretched_into_range() -> None:
    inputs = torch.linspace(-3, 5, 27).reshape(3, 3, 3)
    picture = picture_of(inputs, None)
    assert (picture.min(), picture.max()) == (0, 255)
    within = torch.linspace(0, 1, 27).reshape(3, 3, 3)
    np.testing.assert_array_equal(picture_of(within, None), (within * 255).round().byte().permute(1, 2, 0).numpy())


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_stretching_is_pillows_resize(interpolation: str) -> None:
    pixels = random_pixels(40, 30, 3)
    canvas, _ = canvas_of(pixels, Preprocess(size=(16, 20), interpolation=interpolation))
    method = PIL.Image.Resampling[interpolation.upper()]
    np.testing.assert_array_equal(canvas, np.asarray(PIL.Image.fromarray(pixels).resize((20, 16), method)))

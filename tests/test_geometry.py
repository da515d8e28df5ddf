"""A place on the photograph, on the canvas and on a map is the same place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch.nn import functional

from seewhy.data.pictures.canvas import canvas_of
from seewhy.data.pictures.decode import read_photograph, read_size
from seewhy.geometry import Geometry, geometry_of, lay, resized_size
from seewhy.records import Preprocess

# What is stored so that each EXIF orientation shows `u` upright; from the standard's "row 0 is …, column 0 is …".
STORED = {
    1: lambda u: u,
    2: lambda u: u[:, ::-1],
    3: lambda u: u[::-1, ::-1],
    4: lambda u: u[::-1],
    5: lambda u: u.swapaxes(0, 1),
    6: lambda u: u[:, ::-1].swapaxes(0, 1),
    7: lambda u: u[::-1, ::-1].swapaxes(0, 1),
    8: lambda u: u[::-1].swapaxes(0, 1),
}
FITS = {
    "stretch": Preprocess(size=(32, 32)),
    "stretch-wide": Preprocess(size=(40, 64), fit="stretch", interpolation="bicubic"),
    "crop": Preprocess(size=(32, 32), fit="crop"),
    "crop-share": Preprocess(size=(48, 40), fit="crop", crop_share=0.875),
    "crop-floor": Preprocess(size=(48, 40), fit="crop", crop_share=0.875, rounding="floor"),
    "stretch-share": Preprocess(size=(48, 40), fit="stretch", crop_share=0.8),
    "letterbox": Preprocess(size=(32, 32), fit="letterbox"),
    "letterbox-wide": Preprocess(size=(40, 64), fit="letterbox"),
}
SIZES = [(60, 80), (80, 60), (97, 131), (64, 64), (200, 90), (32, 32), (21, 40)]


def dotted(height: int, width: int) -> tuple[np.ndarray, tuple[float, float]]:
    """A black photograph with one bright square off the middle, and the square's centre (x, y)."""
    short = min(height, width)
    x, y = round(width / 2 + 0.24 * short), round(height / 2 - 0.2 * short)
    radius = max(2, short // 14)
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y - radius : y + radius + 1, x - radius : x + radius + 1] = 255
    return pixels, (x + 0.5, y + 0.5)


def brightest(grey: np.ndarray) -> tuple[float, float]:
    """The centre (x, y) of what is brightest."""
    rows, columns = np.nonzero(grey > 0.75 * grey.max())
    return float(columns.mean() + 0.5), float(rows.mean() + 0.5)


def canvas_pixels_per_photograph_pixel(photograph: tuple[int, int], how: Preprocess) -> tuple[float, float]:
    ratios = how.size[0] / photograph[0], how.size[1] / photograph[1]
    if how.fit == "stretch":
        return ratios[0] / how.crop_share, ratios[1] / how.crop_share
    factor = min(ratios) if how.fit == "letterbox" else max(ratios) / how.crop_share
    return factor, factor


@pytest.mark.parametrize(
    ("how", "width", "left"),
    [
        (Preprocess((32, 32), "crop"), 43, 6),  # 5.5 to the even number, as torchvision
        (Preprocess((32, 32), "crop"), 41, 4),
        (Preprocess((32, 32), "crop", rounding="floor"), 43, 5),
        (Preprocess((32, 32), "crop", rounding="floor"), 41, 4),
        (Preprocess((32, 32), "stretch", 32 / 39), 43, 4),  # of 39, whatever it was
        (Preprocess((32, 32), "stretch", 32 / 39, rounding="floor"), 43, 3),
    ],
    ids=str,
)
def test_where_the_middle_lies_between_two_pixels(how: Preprocess, width: int, left: int) -> None:
    assert geometry_of((32, width), how).offset[1] == -left


def test_the_shorter_side_alone_keeps_the_shape() -> None:
    geometry = geometry_of((60, 91), Preprocess(shorter=32))
    assert geometry.canvas == resized_size(geometry) == (32, 48)  # 48.53 cut off, as torchvision does
    assert geometry_of((91, 60), Preprocess(shorter=32)).canvas == (48, 32)
    assert geometry_of((91, 60), Preprocess()).canvas == (91, 60)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", [None, *STORED], ids=lambda n: f"exif-{n}")
@pytest.mark.parametrize("fit", FITS)
def test_a_bright_dot_comes_back_to_its_place(
    tmp_path: Path, fit: str, orientation: int | None, suffix: str, grid: tuple[int, int] = (8, 8)
) -> None:
    how = FITS[fit]
    for height, width in SIZES if orientation == 6 else SIZES[:1] + SIZES[2:3]:
        upright, (x, y) = dotted(height, width)
        path = tmp_path / f"{height}x{width}.{suffix}"
        exif = PIL.Image.Exif()
        if orientation is not None:
            exif[0x0112] = orientation
        image = PIL.Image.fromarray(np.ascontiguousarray(STORED[orientation or 1](upright)))
        image.save(path, exif=exif, **({"quality": 95, "subsampling": 0} if suffix == "jpg" else {}))

        photograph = read_photograph(path).pixels
        assert photograph.shape == (height, width, 3)
        assert read_size(path) == (height, width)
        canvas, geometry = canvas_of(photograph, how)
        assert canvas.shape == (*how.size, 3)

        scale = canvas_pixels_per_photograph_pixel((height, width), how)
        cx, cy = brightest(canvas[..., 0].astype(float))
        back = geometry.to_photograph(cx, cy)
        assert abs(back[0] - x) * scale[1] <= 1.01
        assert abs(back[1] - y) * scale[0] <= 1.01

        maps = torch.zeros(1, *grid)
        maps[0, int(cy / how.size[0] * grid[0]), int(cx / how.size[1] * grid[1])] = 1
        laid = lay(maps, geometry)[0].numpy()
        assert laid.shape == (height, width)
        px, py = brightest(laid)
        assert abs(px - x) <= how.size[1] / grid[1] / scale[1] + 0.5
        assert abs(py - y) <= how.size[0] / grid[0] / scale[0] + 0.5


@pytest.mark.parametrize(
    ("grid", "photograph"),
    [
        ((8, 8), (50, 70)),
        ((7, 5), (224, 224)),
        ((1, 1), (9, 4)),
        ((1, 6), (20, 20)),
        ((64, 48), (16, 30)),
        ((9, 9), (9, 9)),
    ],
    ids=str,
)
@pytest.mark.parametrize("canvas", [(256, 256), (30, 40)], ids=str)
def test_a_whole_canvas_is_laid_as_torch_interpolates(
    grid: tuple[int, int], photograph: tuple[int, int], canvas: tuple[int, int]
) -> None:
    maps = torch.randn(3, *grid, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    geometry = geometry_of(photograph, Preprocess(size=canvas))
    wanted = functional.interpolate(maps[:, None], size=photograph, mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(lay(maps, geometry), wanted, atol=1e-12, rtol=0)
    torch.testing.assert_close(lay(maps.float(), geometry), wanted.float(), atol=1e-6, rtol=0)


def test_a_smaller_drawing_is_the_same_map_at_that_size() -> None:
    maps = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    geometry = geometry_of((400, 300), Preprocess(size=(64, 64)))
    wanted = functional.interpolate(maps[:, None], size=(100, 75), mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(lay(maps, geometry, (100, 75)), wanted, atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_laid_maps_keep_their_type_and_leading_shape(dtype: torch.dtype) -> None:
    geometry = geometry_of((10, 12), Preprocess(size=(8, 8)))
    laid = lay(torch.ones(2, 3, 4, 4, dtype=dtype), geometry)
    assert laid.shape == (2, 3, 10, 12)
    assert laid.dtype == dtype


def to_canvas(geometry: Geometry, x: float, y: float) -> tuple[float, float]:
    return x * geometry.scale[1] + geometry.offset[1], y * geometry.scale[0] + geometry.offset[0]


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_to_photograph_undoes_the_way_to_the_canvas(fit: str, size: tuple[int, int]) -> None:
    geometry = geometry_of(size, FITS[fit])
    for x, y in [(0.0, 0.0), (0.5, 0.5), (13.25, 7.75), (float(size[1]), float(size[0]))]:
        assert geometry.to_photograph(*to_canvas(geometry, x, y)) == pytest.approx((x, y), abs=1e-9)


@pytest.mark.parametrize("size", [(60, 100), (100, 60), (61, 99), (300, 64)], ids=str)
def test_photograph_pixels_outside_a_crop_get_zero_and_all_others_the_map(size: tuple[int, int]) -> None:
    geometry = geometry_of(size, Preprocess(size=(32, 32), fit="crop"))
    laid = lay(torch.ones(1, 4, 4), geometry)[0]
    centres = [[to_canvas(geometry, x + 0.5, y + 0.5) for x in range(size[1])] for y in range(size[0])]
    inside = torch.tensor([[0 <= x <= 32 and 0 <= y <= 32 for x, y in row] for row in centres])
    assert inside.any()
    assert not inside.all()
    torch.testing.assert_close(laid, inside.float(), atol=1e-6, rtol=0)
    assert bool((laid[~inside] == 0).all())


@pytest.mark.parametrize(("size", "bars"), [((20, 40), "rows"), ((40, 20), "columns")])
def test_what_lies_on_letterbox_bars_does_not_leak(size: tuple[int, int], bars: str) -> None:
    how = Preprocess(size=(32, 32), fit="letterbox")  # bars of 8 canvas pixels: the outer 2 of 8 cells
    maps = torch.zeros(1, 8, 8)
    if bars == "rows":
        maps[0, [0, 7]] = 1
    else:
        maps[0, :, [0, 7]] = 1
    geometry = geometry_of(size, how)
    assert float(lay(maps, geometry).abs().max()) == 0
    canvas, _ = canvas_of(np.zeros((*size, 3), np.uint8), how)
    on_bars = np.r_[0:8, 24:32]
    edge, photograph = (canvas[on_bars], canvas[8:24]) if bars == "rows" else (canvas[:, on_bars], canvas[:, 8:24])
    assert (edge == 128).all()
    assert (photograph == 0).all()


def test_a_letterbox_map_is_full_everywhere_on_the_photograph() -> None:
    laid = lay(torch.ones(1, 8, 8), geometry_of((20, 41), Preprocess(size=(32, 32), fit="letterbox")))
    torch.testing.assert_close(laid, torch.ones(1, 20, 41), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(32, 32), (33, 40), (90, 32)], ids=str)
def test_a_crop_share_is_kept_for_photographs_of_any_size(size: tuple[int, int]) -> None:
    geometry = geometry_of(size, Preprocess(size=(32, 32), fit="crop", crop_share=0.5))
    assert min(resized_size(geometry)) == 64
    canvas, _ = canvas_of(np.zeros((*size, 3), np.uint8), Preprocess(size=(32, 32), fit="crop", crop_share=0.5))
    assert canvas.shape == (32, 32, 3)


@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
def test_a_photograph_of_the_canvas_size_is_the_canvas(fit: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 36, 3), np.uint8)
    canvas, geometry = canvas_of(pixels, Preprocess(size=(24, 36), fit=fit))
    np.testing.assert_array_equal(canvas, pixels)
    assert geometry == Geometry((24, 36), (24, 36), (1.0, 1.0), (0.0, 0.0))
    own, same = canvas_of(pixels, Preprocess())
    np.testing.assert_array_equal(own, pixels)
    assert same == geometry


@pytest.mark.parametrize("fit", ["crop", "letterbox"])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 700)], ids=str)
def test_extreme_photographs_still_fill_the_canvas(fit: str, size: tuple[int, int]) -> None:
    canvas, geometry = canvas_of(np.full((*size, 3), 200, np.uint8), Preprocess(size=(16, 16), fit=fit))
    assert canvas.shape == (16, 16, 3)
    assert (canvas == 200).any()
    assert torch.isfinite(lay(torch.ones(1, 4, 4), geometry)).all()

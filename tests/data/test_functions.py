"""A preprocessing function gets what the file holds: its own mode and numbers, turned upright."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.data.pictures.decode import UnreadableError
from seewhy.data.reader import Loaded, load_image
from seewhy.data.sources.folder import read_table
from seewhy.errors import DataError
from tests.data.deep import write_png16
from tests.models import FourConv, seeded

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (6, 8, 3)).astype(np.uint8)


def as_tensor(image: PIL.Image.Image) -> Tensor:
    """What a user would write: the picture's numbers, channels first."""
    values = np.asarray(image).astype(np.float32)
    return torch.from_numpy(values[None] if values.ndim == 2 else values.transpose(2, 0, 1).copy())


def loaded(path: Path, function: Any = as_tensor) -> Loaded:
    table = read_table([path])
    return load_image(table, table.images[0], function)


def picture(mode: str) -> PIL.Image.Image:
    image = PIL.Image.fromarray(COLOURS)
    if mode in ("I;16", "I", "F"):
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        return PIL.Image.fromarray((COLOURS[..., 0].astype(np.int32) * 13 - (100 if mode == "I" else 0)).astype(kind))
    return image.convert("L").convert("LA") if mode == "LA" else image.convert(mode)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_the_function_gets_the_mode_and_the_numbers_of_the_file(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.png" if mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else "a.tif")
    image = picture(mode)
    image.save(path)
    seen: list[str] = []

    def reading(image: PIL.Image.Image) -> Tensor:
        seen.append(image.mode)
        return as_tensor(image)

    found = loaded(path, reading)
    assert seen == [mode]
    np.testing.assert_array_equal(found.inputs, as_tensor(image))
    assert found.picture.shape == (6, 8, 3) and found.picture.dtype == np.uint8
    if mode in ("L", "RGB"):
        np.testing.assert_array_equal(found.picture, np.asarray(image.convert("RGB")))


def test_it_gets_the_picture_upright(tmp_path: Path) -> None:
    grey = (np.arange(48).reshape(6, 8) * 5).astype(np.uint8)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(np.rot90(grey)).save(tmp_path / "a.png", exif=exif)
    found = loaded(tmp_path / "a.png")
    np.testing.assert_array_equal(found.inputs[0], grey)
    np.testing.assert_array_equal(found.picture[..., 0], grey)


def test_a_reader_of_16_bits_is_right_on_every_image(tmp_path: Path) -> None:
    """As by itself: classes that differ in the lower bits alone are told apart."""
    for index, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        for number in range(4):
            values = RNG.integers(0, 100, (16, 16)) + 30000 + 150 * index
            PIL.Image.fromarray(values.astype(np.uint16)).save(tmp_path / name / f"{number}.png")

    class Bright(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.look = nn.Conv2d(1, 1, 1)
            nn.init.ones_(self.look.weight)
            nn.init.zeros_(self.look.bias)

        def forward(self, x: Tensor) -> Tensor:
            level = self.look(x).mean((2, 3)) - 30125
            return torch.cat([-level, level], dim=1)

    explanation = seewhy.explain(seewhy.load(Bright(), preprocess=as_tensor), tmp_path, progress=False)
    assert [outcome.correct for outcome in explanation.outcomes] == [True] * 8
    assert explanation[0].overlay.size == (16, 16)


class Four(nn.Module):
    """A network of four channels."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.look(x).mean((2, 3))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "CMYK"])
def test_files_of_two_and_four_channels_go_to_a_network_of_four(tmp_path: Path, mode: str) -> None:
    image = picture(mode)
    image.save(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"))

    def four(image: PIL.Image.Image) -> Tensor:
        return as_tensor(image.convert("RGBA") if image.mode == "LA" else image) / 255

    torch.manual_seed(0)
    network = Four()
    explanation = seewhy.explain(seewhy.load(network, preprocess=four), tmp_path, progress=False)
    with torch.no_grad():
        wanted = network(four(image)[None])[0]
    np.testing.assert_allclose(explanation.outcomes[0].logits, wanted.numpy(), atol=1e-6)
    assert explanation.maps.shape == (1, 6, 8)
    assert explanation[0].overlay.size == (8, 6)


def test_a_picture_that_is_no_rgb_and_makes_it_fail_is_a_row_that_says_what_to_do(tmp_path: Path) -> None:
    for name, mode in {"a": "RGB", "b": "L", "c": "RGB", "d": "I;16", "e": "RGBA"}.items():
        picture(mode).save(tmp_path / f"{name}.png")

    def three(image: PIL.Image.Image) -> Tensor:
        return (as_tensor(image) - torch.zeros(3, 1, 1)) if image.mode != "L" else as_tensor(image)

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    explanation = seewhy.explain(seewhy.load(network, preprocess=three), tmp_path, progress=False)
    errors = [outcome.error for outcome in explanation.outcomes]
    assert errors[0] is errors[2] is None
    advice = '(the image has the mode {}: convert it first, image = image.convert("RGB"))'
    assert errors[1] == f"the preprocessing function gave 1 channels, and 3 of the first image {advice.format('L')}"
    assert errors[3] is None  # three equal channels, as the function makes them
    assert errors[4].startswith("the preprocessing function failed: RuntimeError: The size of tensor a (4)")
    assert errors[4].endswith(advice.format("RGBA"))
    check = seewhy.check(seewhy.load(network, preprocess=three), tmp_path, progress=False)
    assert check.facts["without_result"] == 2


def test_a_grey_first_picture_says_how_to_make_it_three_channels(tmp_path: Path) -> None:
    picture("L").save(tmp_path / "a.png")
    with pytest.raises(seewhy.errors.ModelError, match=r'reads 3 channels: .*image\.convert\("RGB"\)'):
        seewhy.explain(seewhy.load(nn.Conv2d(3, 2, 3), preprocess=as_tensor), tmp_path, progress=False)


def test_pillow_reads_16_bit_colours_as_8_for_a_function(tmp_path: Path) -> None:
    path = write_png16(tmp_path / "a.png", COLOURS.astype(np.uint16) * 257)
    np.testing.assert_array_equal(loaded(path).inputs, as_tensor(PIL.Image.fromarray(COLOURS)))


def test_numbers_that_are_none_reach_the_function(tmp_path: Path) -> None:
    values = np.array([[0, 1], [np.nan, 3]], np.float32)
    PIL.Image.fromarray(values).save(tmp_path / "a.tif")
    found = loaded(tmp_path / "a.tif", lambda image: as_tensor(image).nan_to_num())
    np.testing.assert_array_equal(found.inputs[0], [[0, 1], [0, 3]])
    np.testing.assert_array_equal(found.picture[..., 0], [[0, 85], [0, 255]])


class Pictures(torch.utils.data.Dataset[PIL.Image.Image]):
    def __init__(self, images: list[Any]) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.images[index]


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16", "F"])
def test_pictures_of_a_dataset_come_as_they_are(mode: str) -> None:
    table = read_table(Pictures([picture(mode)]))
    found = load_image(table, table.images[0], as_tensor)
    np.testing.assert_array_equal(found.inputs, as_tensor(picture(mode)))
    assert found.mode == mode and found.picture.shape == (6, 8, 3)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
def test_arrays_of_a_dataset_are_the_pictures_that_they_hold(mode: str) -> None:
    table = read_table(Pictures([np.asarray(picture(mode))]))
    found = load_image(table, table.images[0], as_tensor)
    assert found.mode == mode
    np.testing.assert_array_equal(found.inputs, as_tensor(picture(mode)))


def test_what_a_dataset_cannot_give_is_a_reason() -> None:
    file = BytesIO()
    picture("RGB").save(file, "PNG")
    cut = PIL.Image.open(BytesIO(file.getvalue()[:150]))
    items = [cut, torch.zeros(4, 5, 5, dtype=torch.uint8), torch.zeros(3, 5, 5).long()]
    table = read_table(Pictures(items))
    reasons = [r"OSError: ", r"a tensor of torch\.uint8 and the shape \(4, 5, 5\) is no image: give floats", r"int64"]
    for image, reason in zip(table.images, reasons, strict=True):
        with pytest.raises(UnreadableError, match=reason):
            load_image(table, image, seewhy.Preprocess())


def as_array(image: PIL.Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1) / 255


MADE = {
    "array": as_array,
    "doubles": lambda image: as_array(image).astype(np.float64),
    "a-batch-of-one": lambda image: torch.from_numpy(as_array(image))[None],
    "a-processor's-dict": lambda image: {"pixel_values": [as_array(image)]},
    "a-transform's-dict": lambda image: {"image": torch.from_numpy(as_array(image))},
}


@pytest.mark.parametrize("kind", MADE)
def test_what_functions_usually_return_is_read_as_the_input(tmp_path: Path, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
    network = seeded(FourConv())
    got = seewhy.explain(seewhy.load(network, preprocess=MADE[kind]), tmp_path, progress=False)
    wanted = seewhy.explain(seewhy.load(network), tmp_path, progress=False)
    np.testing.assert_allclose(got.outcomes[0].logits, wanted.outcomes[0].logits, rtol=1e-5)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            lambda image: np.asarray(image.convert("RGB")),
            r"uint8 of shape \(32, 32, 3\)(.|\n)*permute\(2, 0, 1\) / 255",
        ),
        (
            lambda image: torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1),
            r"uint8 of shape \(3, 32, 32\)",
        ),
        (lambda image: None, "NoneType"),
        (lambda image: {"pixels": 3}, "dict"),
    ],
)
def test_what_is_no_input_is_told_with_what_is(tmp_path: Path, made: Any, said: str) -> None:
    PIL.Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=said):
        seewhy.explain(seewhy.load(seeded(FourConv()), preprocess=made), tmp_path, progress=False)


def test_nan_that_a_function_or_a_dataset_gave_is_not_the_network_s(tmp_path: Path) -> None:
    for number in range(3):
        PIL.Image.new("RGB", (32, 32), (number, 0, 0)).save(tmp_path / f"{number}.png")

    def made(image: PIL.Image.Image) -> Any:
        array = as_array(image)
        return array if array.any() else np.full_like(array, np.nan)

    explanation = seewhy.explain(seewhy.load(seeded(FourConv()), preprocess=made), tmp_path, progress=False)
    reasons = [row["error"] for row in explanation.records]
    assert reasons == ["the preprocessing function gave NaN or infinite values", None, None]
    items = [torch.full((3, 32, 32), torch.nan), torch.zeros(3, 32, 32)]
    reasons = [row["error"] for row in seewhy.explain(seeded(FourConv()), items, progress=False).records]
    assert reasons == ["it holds NaN or infinite values", None]

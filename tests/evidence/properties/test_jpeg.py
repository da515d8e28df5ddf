from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import fft
from torch import Tensor

from seewhy.evidence.properties.bases import cosines
from seewhy.evidence.properties.jpeg import UNCOMPRESSED, jpeg, jpeg_editor, jpeg_quality
from tests.evidence.properties.test_catalogue import scenes

Pixels = NDArray[np.uint8]


def pictures(height: int, width: int, seed: int = 0) -> Pixels:
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray((generator.random((height // 6 + 2, width // 6 + 2, 3)) * 255).astype(np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(float)
    return np.clip(smooth + generator.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


def canvas(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def by_pillow(pixels: Pixels, quality: int) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


SIZES, QUALITIES = ((64, 64), (60, 61), (33, 47), (17, 16), (8, 9), (224, 224)), (30, 50, 75, 90, 95)


@pytest.mark.parametrize(
    ("size", "quality"),  # every size at the ends of the qualities, and every quality at one odd size
    [(size, quality) for size in SIZES for quality in QUALITIES if quality in (30, 95) or size == (33, 47)],
    ids=str,
)
def test_the_round_trip_is_pillows(size: tuple[int, int], quality: int) -> None:
    differences, losses = [], []
    for seed in range(1 if min(size) > 64 else 6):
        pixels = pictures(*size, seed)
        expected = by_pillow(pixels, quality).astype(float)
        ours = (jpeg(canvas(pixels), torch.tensor([float(quality)]))[0] * 255).permute(1, 2, 0).numpy()
        differences.append(np.abs(ours - expected).mean())
        losses.append(np.abs(pixels - expected).mean())
    # libjpeg's transform works on whole numbers, so that single coefficients round to the other side
    assert np.mean(differences) < 0.5
    assert np.mean(differences) < 0.06 * np.mean(losses)


def test_a_picture_of_flat_blocks_is_exactly_pillows() -> None:
    grays = np.random.default_rng(1).integers(0, 256, (4, 4), dtype=np.uint8)
    pixels = np.kron(grays, np.ones((16, 16), np.uint8))[:, :, None].repeat(3, axis=2)
    for quality in (30, 50, 75, 90):
        ours = (jpeg(canvas(pixels), torch.tensor([float(quality)]))[0] * 255).round().byte().permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(ours, by_pillow(pixels, quality))


def test_the_cosine_transform_is_scipys() -> None:
    image = np.random.default_rng(0).random((8, 12))
    down, across = (cosines(side, torch.device("cpu"), torch.float64).numpy() for side in image.shape)
    np.testing.assert_allclose(down @ image @ across.T, fft.dctn(image, norm="ortho"), atol=1e-12)


@pytest.mark.parametrize("quality", [20, 30, 40, 60, 75, 85, 90, 95])
def test_the_quality_is_read_from_pillows_pixels(quality: int) -> None:
    found = [float(jpeg_quality(canvas(by_pillow(pictures(64, 64, seed), quality)))) for seed in range(8)]
    assert np.abs(np.array(found) - quality).max() <= 2


@pytest.mark.parametrize("quality", [20, 40, 75, 90])
def test_the_quality_is_read_from_large_smooth_pictures(quality: int) -> None:
    pixels = (scenes(4, (200, 200)) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    found = [float(jpeg_quality(canvas(by_pillow(one, quality)))) for one in pixels]
    assert np.abs(np.array(found) - quality).max() <= 2


def test_an_image_of_the_same_quality_is_not_encoded_again() -> None:
    first = jpeg(scenes(3), torch.full((3,), 60.0))
    assert torch.equal(jpeg_editor(first)(jpeg_quality(first) - 1), first)


def test_pixels_that_were_never_compressed_show_none() -> None:
    assert (jpeg_quality(scenes(32)) == UNCOMPRESSED).all()
    assert (jpeg_quality(torch.rand(16, 3, 64, 64, generator=torch.Generator().manual_seed(0))) == UNCOMPRESSED).all()
    assert (jpeg_quality(torch.zeros(1, 3, 64, 64)) == UNCOMPRESSED).all()
    assert (jpeg_quality(scenes(2, (7, 5))) == UNCOMPRESSED).all()


def test_a_second_compression_shows_the_lower_quality() -> None:
    first = torch.cat([canvas(by_pillow(pictures(64, 64, seed), 90)) for seed in range(4)])
    second = jpeg_editor(first)(torch.full((4, 1), 50.0))
    assert (jpeg_quality(second) - 50).abs().max() <= 2


def test_each_image_gets_its_own_quality() -> None:
    canvases = scenes(4)
    quality = torch.tensor([[30.0], [100.0], [70.0], [30.0]])
    edited = jpeg_editor(canvases)(quality)
    assert torch.equal(edited[1], canvases[1])
    for index in (0, 2, 3):
        assert torch.equal(edited[index : index + 1], jpeg(canvases[index : index + 1], quality[index]))


def test_blocks_that_are_partly_unknown_are_left_out_and_left_as_they_are() -> None:
    compressed = canvas(by_pillow(pictures(64, 64), 40))
    partly = compressed.clone()
    partly[:, :, 3, 5:30] = torch.nan
    assert jpeg_quality(partly).sub(40).abs().max() <= 1
    assert jpeg_quality(torch.full_like(partly, torch.nan)).isnan().all()
    edited = jpeg_editor(partly)(torch.full((len(partly), 1), 15.0))
    assert torch.equal(edited[:, :, :8, :32].isnan(), partly[:, :, :8, :32].isnan())
    torch.testing.assert_close(edited[:, :, :8, :32], partly[:, :, :8, :32], equal_nan=True)
    assert not edited[:, :, 8:].isnan().any()
    assert jpeg_quality(edited).sub(15).abs().max() <= 1
    far = jpeg_editor(compressed)(torch.full((len(partly), 1), 15.0))
    assert torch.equal(edited[:, :, 17:], far[:, :, 17:])  # what shares no colours with what is unknown


def test_the_colours_beside_what_is_unknown_are_those_of_what_is_known() -> None:
    reddish = torch.full((1, 3, 64, 64), 0.3)
    reddish[:, 0] = 0.7
    partly = reddish.clone()
    partly[:, :, 16:48, 16:48] = torch.nan  # blocks of 16 x 16 that are all unknown
    edited = jpeg_editor(partly)(torch.full((1, 1), 90.0))
    known = ~partly.isnan()
    assert float((edited[known] - reddish[known]).abs().max()) < 3 / 255

"""Where the input of a preprocessing function lies on a photograph: that of the same steps as seewhy's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import torch
from torch import Tensor

import seewhy
from seewhy.data.pipelines.function_fit import geometry_seen, rule_seen
from seewhy.geometry import geometry_of
from seewhy.records import Preprocess
from tests.models import FourConv, seeded

Function = Callable[[PIL.Image.Image], Tensor]
SIZES = ((300, 400), (640, 427), (333, 333), (90, 1200))


def as_tensor(image: PIL.Image.Image) -> Tensor:
    values = np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1) / 255
    return (torch.from_numpy(values) - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / 0.225


def stretch(image: PIL.Image.Image) -> Tensor:
    return as_tensor(image.resize((112, 96), PIL.Image.Resampling.BILINEAR))


def middle(image: PIL.Image.Image) -> Tensor:
    factor = 128 / min(image.size)
    width, height = (round(side * factor) for side in image.size)
    left, top = round((width - 112) / 2), round((height - 112) / 2)
    return as_tensor(image.resize((width, height)).crop((left, top, left + 112, top + 112)))


def stretched_middle(image: PIL.Image.Image) -> Tensor:
    return as_tensor(image.resize((128, 128)).crop((8, 8, 120, 120)))


def padded(image: PIL.Image.Image) -> Tensor:
    return as_tensor(PIL.ImageOps.pad(image, (112, 112), color=(114, 114, 114)))


def cut(image: PIL.Image.Image) -> Tensor:
    left, top = round((image.width - 80) / 2), round((image.height - 80) / 2)
    return as_tensor(image.crop((left, top, left + 80, top + 80)))


def own_size(image: PIL.Image.Image) -> Tensor:
    return as_tensor(image)


LAID: dict[Function, Preprocess | None] = {
    stretch: Preprocess(size=(96, 112)),
    middle: Preprocess(size=(112, 112), fit="crop", crop_share=112 / 128),
    stretched_middle: Preprocess(size=(112, 112), crop_share=112 / 128),
    padded: Preprocess(size=(112, 112), fit="letterbox"),
    cut: None,
    own_size: Preprocess(),
}


@pytest.mark.parametrize("function", LAID)
@pytest.mark.parametrize("size", SIZES)
def test_the_rule_lays_photographs_of_every_size_as_the_function_does(
    function: Function, size: tuple[int, int]
) -> None:
    rule = rule_seen(function)
    assert rule is not None
    made = function(PIL.Image.new("RGB", size[::-1]))
    got = rule.geometry(size, (made.shape[1], made.shape[2]))
    wanted = LAID[function]
    if wanted is None:
        assert got.scale == (1.0, 1.0)
        assert got.offset == pytest.approx([-round((side - 80) / 2) for side in size], abs=1)
    else:
        known = geometry_of(size, wanted)
        assert got.canvas == known.canvas
        assert got.scale == pytest.approx(known.scale, rel=0.01)
        assert got.offset == pytest.approx(known.offset, abs=1.5)


@pytest.mark.parametrize("size", [(300, 400), (427, 640)])
def test_two_ramps_come_back_as_places(size: tuple[int, int]) -> None:
    seen, wanted = geometry_seen(middle, size), geometry_of(size, LAID[middle] or Preprocess())
    assert seen is not None
    assert seen.scale == pytest.approx(wanted.scale, rel=0.01) and seen.offset == pytest.approx(wanted.offset, abs=1.6)


def of_frames_none(image: PIL.Image.Image) -> Tensor:
    levels = np.asarray(image)[..., 0]
    if levels[0].max() == levels[:, 0].max() == 0 < levels.max():
        raise ValueError("a frame")
    return stretch(image)


UNKNOWN: dict[str, Function] = {
    "fails on a frame": of_frames_none,
    "a corner": lambda image: as_tensor(image.crop((0, 0, 60, 60))),
    "mirrored": lambda image: as_tensor(PIL.ImageOps.mirror(image.resize((64, 64)))),
    "turned": lambda image: as_tensor(image.resize((64, 64)).rotate(30)),
    "another scale of numbers": lambda image: as_tensor(PIL.ImageOps.equalize(image.resize((64, 64)))),
    "by its own numbers": lambda image: stretch(image) / stretch(image).std(),
    "trimmed": lambda image: stretch(image.crop(image.convert("L").point(lambda level: 255 * (level > 10)).getbbox())),
    "fails": lambda image: as_tensor(image.resize((64, 64))) / (1 if image.getextrema()[0][0] else 1 // 0),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_no_rule_tells_is_not_guessed(kind: str) -> None:
    assert rule_seen(UNKNOWN[kind]) is None


def test_maps_of_a_function_that_crops_lie_where_those_of_the_same_steps_lie(tmp_path: Path) -> None:
    coarse = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8))
    coarse.resize((160, 90), PIL.Image.Resampling.BICUBIC).save(tmp_path / "a.png")
    network = seeded(FourConv())
    options = {"layers": "conv2", "method": "grad-cam", "progress": False}

    def crop(image: PIL.Image.Image) -> Tensor:
        width, height = (int(side * 36 / min(image.size)) for side in image.size)
        left, top = (width - 32) // 2, (height - 32) // 2
        kept = image.resize((width, height), PIL.Image.Resampling.BILINEAR).crop((left, top, left + 32, top + 32))
        return torch.from_numpy(np.asarray(kept, np.float32).transpose(2, 0, 1) / 255)

    got = seewhy.explain(seewhy.load(network, preprocess=crop), tmp_path, **options)
    wanted = seewhy.explain(seewhy.load(network, size=32, fit="crop", crop_share=32 / 36), tmp_path, **options)
    difference = np.abs(np.asarray(got[0].overlay, float) - np.asarray(wanted[0].overlay, float))
    assert np.quantile(difference, 0.95) < 6
    assert any("the function keeps the middle of the photograph, 89% of it" in note for note in got.notes)

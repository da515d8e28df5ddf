"""What Python callers may pass that the command line cannot: refused with what to pass, or taken for what it means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.cam.methods.scene import Scene
from seewhy.errors import LayerError, SeewhyError
from tests.models import FourConv, Pooled, images, seeded


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            PIL.Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"limit": 2.0}, "--limit is 2.0, but must be a whole number"),
        ({"limit": "2"}, "--limit is '2', but must be a whole number"),
        ({"limit": True}, "--limit is True, but must be a whole number"),
        ({"sample": 2.5}, "--sample is 2.5"),
        ({"batch_size": 2.5}, "--batch-size is 2.5"),
        ({"batch_size": "4"}, "--batch-size is '4'"),
        ({"method": 5}, "The method 5 is int"),
        ({"smooth": True}, "A name is expected"),
        ({"preset": True}, "There is no preset True"),
        ({"layers": 5}, "A name is expected"),
        ({"out": 5}, "--out is 5, but must be the path of a folder"),
    ],
)
def test_explain_says_what_it_takes(photos: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(SeewhyError, match=says):
        seewhy.explain(seeded(FourConv()), photos, progress=False, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"recipients": 2.5}, "--recipients is 2.5"),
        ({"donors": "20"}, "--donors is '20'"),
        ({"regions": {"centre"}}, "Regions are words by commas"),
        ({"regions": len}, "Regions are words by commas"),
        ({"out": 5}, "--out is 5"),
    ],
)
def test_audit_says_what_it_takes(photos: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(SeewhyError, match=says):
        seewhy.audit(
            seeded(FourConv()), photos, progress=False, **{"regions": "centre", "properties": "tint", **options}
        )


def test_a_result_is_saved_in_a_folder_alone() -> None:
    with pytest.raises(SeewhyError, match="The folder is None, but must be the path of a folder"):
        seewhy.explain(seeded(Pooled()), images(2, 16), progress=False).save(None)  # type: ignore[arg-type]


def test_numbers_of_numpy_are_whole_numbers(photos: Path) -> None:
    explanation = seewhy.explain(
        seeded(FourConv()), photos, limit=np.int64(2), batch_size=np.int32(1), progress=False  # type: ignore[arg-type]
    )  # fmt: skip
    assert len(explanation) == 2


def test_a_layer_may_be_given_as_the_module_itself() -> None:
    network, x = seeded(FourConv()), images(2, 32)
    by_name = seewhy.explain(network, x, layers=["conv2", "conv1"], method="grad-cam", target=0, progress=False)
    asked: Any = [network.conv2, "conv1"]
    by_module = seewhy.explain(network, x, layers=asked, method="grad-cam", target=0, progress=False)
    assert by_module.layers == by_name.layers == ("conv2", "conv1")
    maps, again = by_name.maps, by_module.maps
    assert isinstance(maps, dict) and isinstance(again, dict) and list(maps) == list(again)
    for name in maps:
        np.testing.assert_array_equal(maps[name], again[name])
    other: Any = nn.Conv2d(3, 4, 3)
    with pytest.raises(LayerError, match="The Conv2d that was given as a layer is no part of FourConv"):
        seewhy.explain(network, x, layers=other, progress=False)


def overwriting(scene: Scene) -> Tensor:
    assert scene.activation is not None and scene.gradient is not None
    scene.gradient.zero_()
    return scene.activation.mul_(0).add_(1).sum(1)


def test_a_method_that_writes_to_what_it_sees_changes_no_other_map() -> None:
    network, x = seeded(FourConv()), images(2, 32)
    others: list[Any] = ["grad-cam", "eigen-cam"]
    alone = seewhy.explain(network, x, layers="conv2", method=others, target=0, progress=False)
    beside = seewhy.explain(network, x, layers="conv2", method=[overwriting, *others], target=0, progress=False)
    maps, again = alone.maps, beside.maps
    assert isinstance(maps, dict) and isinstance(again, dict)
    for name in maps:
        np.testing.assert_array_equal(maps[name], again[name])


def test_a_result_in_a_relative_folder_is_read_from_another_one(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    explanation = seewhy.explain(seeded(FourConv()), "photos", out="run", progress=False)
    before = explanation.maps.copy()
    os.chdir("/")
    np.testing.assert_array_equal(explanation.maps, before)
    assert explanation.save(photos.parent / "copy").is_dir() and torch.is_tensor(torch.tensor(explanation.maps))


def test_a_budget_for_nothing_to_exchange_is_no_fault(photos: Path) -> None:
    audit = seewhy.audit(seeded(FourConv()), photos, regions="centre", properties="none", core="centre", budget="5m",
                         progress=False)  # fmt: skip
    assert audit.findings


def test_a_budget_is_the_same_as_a_number_and_in_words(photos: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {
        "regions": "border,centre",
        "properties": "tint",
        "progress": False,
        "out": tmp_path / "run",
    }
    network = seeded(FourConv())
    first = seewhy.audit(network, photos, budget=6000, **asked)
    again = seewhy.audit(network, photos, budget="6,000", **asked)
    assert [vars(one)["text"] for one in first.findings] == [vars(one)["text"] for one in again.findings]

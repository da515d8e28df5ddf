"""Networks of one, two, four and six channels, through tensors, Datasets and functions in the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.errors import DataError, ModelError

COUNTS = [1, 2, 4, 6]
N, HEIGHT, WIDTH = 8, 12, 20


class Look(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        torch.manual_seed(channels)
        self.conv = nn.Conv2d(channels, 5, 3, padding=1)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).relu().mean((2, 3)))


def inputs_of(channels: int) -> Tensor:
    return torch.rand(N, channels, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))


class Items(torch.utils.data.Dataset[tuple[Tensor, int]]):
    classes = ("a", "b")

    def __init__(self, inputs: Tensor) -> None:
        self.inputs, self.targets = inputs, [index % 2 for index in range(len(inputs))]

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.inputs[index], self.targets[index]


def files_of(folder: Path) -> Path:
    """Files whose red channel says which of the inputs they stand for."""
    for number in range(N):
        PIL.Image.new("RGB", (WIDTH, HEIGHT), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("channels", COUNTS)
def test_tensors_datasets_and_functions_give_the_same(channels: int, tmp_path: Path) -> None:
    network, inputs = Look(channels), inputs_of(channels)

    def function(image: PIL.Image.Image) -> Tensor:
        return inputs[image.getpixel((0, 0))[0]]

    given = seewhy.explain(network, inputs, progress=False)
    from_items = seewhy.explain(network, Items(inputs), progress=False)
    from_files = seewhy.explain(seewhy.load(network, preprocess=function), files_of(tmp_path), progress=False)
    assert given.maps.shape == (N, HEIGHT, WIDTH)
    for other in (from_items, from_files):
        np.testing.assert_array_equal(other.maps, given.maps)
        assert [o.logits for o in other.outcomes] == [o.logits for o in given.outcomes]
        assert other[0].overlay.size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("channels", COUNTS)
def test_the_picture_shows_the_first_three_channels_or_the_first(channels: int) -> None:
    inputs = inputs_of(channels)
    item = seewhy.explain(Look(channels), inputs, target=lambda output: output[:, 0] * 0, progress=False)[0]
    shown = inputs[0, :3] if channels > 2 else inputs[0, :1].expand(3, -1, -1)
    wanted = (shown * 255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(np.asarray(item.overlay), wanted)  # an empty map leaves the picture as it is


@pytest.mark.parametrize("channels", [2, 4, 6])
def test_a_run_folder_with_pages_a_check_and_an_audit(channels: int, tmp_path: Path) -> None:
    network, items = Look(channels), Items(inputs_of(channels).repeat(5, 1, 1, 1) + torch.rand(5 * N, 1, 1, 1) * 0.01)
    explanation = seewhy.explain(network, items, out=tmp_path / "run", progress=False)
    assert len(list((tmp_path / "run/overlays").rglob("*.jpg"))) == 5 * N
    seewhy.write_report(explanation)
    seewhy.check(network, items, out=tmp_path / "check", progress=False)
    audit = seewhy.audit(network, items, regions=["centre"], budget=400, out=tmp_path / "audit", progress=False)
    assert "centre" in {finding.factor for finding in audit.findings}


METHODS = ["grad-cam", "layercam", "eigen-cam", "score-cam", "ablation-cam", "guided-backprop", "fullgrad"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [2, 4])
def test_every_kind_of_method_maps_them(channels: int, method: str) -> None:
    explanation = seewhy.explain(Look(channels), inputs_of(channels)[:2], method=method, progress=False)
    assert explanation.maps.shape == (2, HEIGHT, WIDTH)
    assert np.isfinite(explanation.maps).all()


def test_what_does_not_fit_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"reads 4 channels:  a preprocessing function that gives 4 \(--preprocess"):
        seewhy.explain(Look(4), files_of(tmp_path), progress=False)
    with pytest.raises(DataError, match=r"channels are last:  images\.permute\(0, 3, 1, 2\)"):
        seewhy.explain(Look(3), torch.rand(2, 32, 32, 3), progress=False)
    shape: Any = (2, 4, 8, 8)
    with pytest.raises(DataError, match=r"floats \(N, C, H, W\), or bytes \(N, 3, H, W\)"):
        seewhy.explain(Look(4), torch.zeros(shape, dtype=torch.uint8), progress=False)

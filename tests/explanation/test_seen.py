"""A map that is not drawn empty can be seen: in the overlay, at the size at which it is shown, in a sheet or a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import seewhy
from seewhy.explanation.result import Explanation
from seewhy.maps import scale_to_draw
from seewhy.render.sheet import TILE
from tests.models import FourConv, FrozenBackbone, Linear, Pooled, seeded

LEVELS, LEAST = 40, 0.05  # grey levels by which so many of the pixels must change
FAMILIES = {  # a fine layer of each beside the chosen one, at 128 x 128 pixels
    "torchvision:resnet18": "layer1",
    "torchvision:vgg11": "features.5",
    "torchvision:densenet121": "features.denseblock1",
    "torchvision:mobilenet_v3_small": "features.1",
    "torchvision:efficientnet_b0": "features.2",
    "torchvision:convnext_tiny": "features.1",
    "torchvision:swin_t": "features.1",
    "torchvision:regnet_y_400mf": "trunk_output.block1",
    "torchvision:squeezenet1_1": "features.3",
    "torchvision:shufflenet_v2_x0_5": "maxpool",
    "torchvision:mnasnet0_5": "layers.8",
    "timm:resnetv2_50": "stages.0",
    "timm:poolformer_s12": "stages.0",
}


def photographs(count: int, size: int) -> list[PIL.Image.Image]:
    """Pictures with large and small forms, as photographs have them."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(count):
        parts = [rng.uniform(0, 255 / 3, (side, side, 3)) for side in (3, 9, 40)]
        grown = [
            np.asarray(PIL.Image.fromarray(part.astype(np.uint8)).resize((size, size), PIL.Image.Resampling.BICUBIC))
            for part in parts
        ]
        pictures.append(PIL.Image.fromarray(np.sum(grown, axis=0).clip(0, 255).astype(np.uint8)))
    return pictures


def shares_seen(found: Explanation, pictures: list[PIL.Image.Image]) -> dict[str, float]:
    """For each map that is not drawn empty the share of the pixels that it changes so that one sees it."""
    shares = {}
    for row, picture in enumerate(pictures):
        image = found[row]
        wide = np.asarray(image.overlay)
        panels = (wide.shape[1] + 4) // (picture.width + 4)
        for at, (layer, stat) in zip(range(panels), image.map_stats.items(), strict=True):
            start = at * (picture.width + 4)
            panel = PIL.Image.fromarray(np.ascontiguousarray(wide[:, start : start + picture.width]))
            small = [np.asarray(one.resize((TILE, TILE), PIL.Image.Resampling.BILINEAR)) for one in (panel, picture)]
            changed = np.abs(small[0].astype(int) - small[1].astype(int)).max(axis=2) >= LEVELS
            if not stat.empty:
                shares[f"{row} {layer}"] = float(changed.mean())
    return shares


def explained(network: nn.Module, folder: Path, pictures: list[PIL.Image.Image], **options: object) -> Explanation:
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number}.png")
    classifier = seewhy.load(network, size=pictures[0].size[::-1])
    return seewhy.explain(classifier, folder, progress=False, **options)


@pytest.mark.parametrize("target", ["predicted", "fake"])
def test_the_tutorials_maps_are_seen(shared: Path, target: str) -> None:
    classifier = seewhy.load("seewhy.learn.net:Net", weights=shared / "rvf" / "model_4.pt", classes=["fake", "real"])
    paths = sorted((shared / "rvf10k" / "valid").glob("*/*.jpg"))
    paths = paths[:: max(1, len(paths) // 24)]
    found = seewhy.explain(
        classifier, paths, layers=["conv1", "conv2", "conv3", "conv4"], target=target, progress=False
    )
    shares = shares_seen(found, [PIL.Image.open(path).convert("RGB") for path in paths])
    assert len(shares) > 60 and min(shares.values()) >= LEAST, sorted(shares.items(), key=lambda pair: pair[1])[:5]


@pytest.mark.parametrize("network", [FourConv, Pooled, Linear, FrozenBackbone])
@pytest.mark.parametrize("method", ["auto", "grad-cam", "guided-backprop"])
def test_the_maps_of_small_networks_are_seen(network: type[nn.Module], method: str, tmp_path: Path) -> None:
    if method == "guided-backprop" and network is not FourConv:
        pytest.skip("has functions in place of the modules that this method needs")
    pictures = photographs(4, 32)
    shares = shares_seen(explained(seeded(network()), tmp_path, pictures, method=method), pictures)
    assert min(shares.values(), default=1.0) >= LEAST, shares


@pytest.mark.parametrize("name", FAMILIES)
def test_the_maps_of_every_family_are_seen(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    models = pytest.importorskip("tests.sweep.models", reason="timm or transformers is not installed")
    library, _, model = name.partition(":")
    pictures = photographs(3, 128)
    network = models.build(models.Entry(library, model, 128, 128))
    for layers in ("auto", FAMILIES[name]):
        shares = shares_seen(explained(network, tmp_path, pictures, layers=layers), pictures)
        assert min(shares.values(), default=1.0) >= LEAST, (layers, shares)


def test_raw_values_and_the_preset_are_not_smoothed(tmp_path: Path) -> None:
    pictures = photographs(2, 64)
    network = seeded(FourConv(size=64))
    raw = explained(network, tmp_path, pictures, layers="conv1")
    assert raw.maps.shape == (2, 64, 64) and raw[0].map_stats["conv1"].maximum == pytest.approx(raw.maps[0].max())
    assert raw[0].caption()[-1].endswith(", smoothed")
    preset = explained(network, tmp_path, pictures, layers="conv1", preset="pytorch-grad-cam")
    assert not any("smoothed" in line for line in preset[0].caption())


def test_a_fine_map_is_averaged_the_same_in_any_batch() -> None:
    maps = torch.randn(5, 100, 70, generator=torch.Generator().manual_seed(1))
    from_all = scale_to_draw(maps)
    assert torch.equal(from_all, torch.cat([scale_to_draw(maps[row : row + 1]) for row in range(5)]))

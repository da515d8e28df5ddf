"""Shares of maps in zones: the zones are those of an audit, and intervals hold what they say."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor
from torch.nn import functional

pytest.importorskip("sklearn", reason="scikit-learn groups the maps, which is not there")

import seewhy
from seewhy.data.tables.image_table import ImageTable
from seewhy.evidence.factors.region_grammar import find_regions
from seewhy.evidence.factors.regions import read_masks
from seewhy.evidence.trends.places import EVERY, ZonedMaps, mean_share, zone_shares
from seewhy.records import Image, Outcome
from tests.evidence.trends.drawn import Spots

NAMES = "border,top-left,centre,left,top,bottom"


def a_spot_in_the_first_corner(folder: Path, size: tuple[int, int], count: int) -> Path:
    """Grey photographs (height, width) with a red spot in their first corner, and a paler one where a crop sees it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.full((*size, 3), 90 + number, np.uint8)
        pixels[: size[0] // 4, : size[1] // 4] = (230, 20, 20)
        if count < 40:
            pixels[size[0] // 2 :, size[1] // 2 : size[1] // 2 + 8] = (200, 30 + 9 * number, 40)
        PIL.Image.fromarray(pixels).save(folder / f"{size[0]}-{size[1]}-{number}.png")
    return folder


def found(data: Path, out: Path, preprocess: object) -> tuple[seewhy.Trends, seewhy.Explanation]:
    classifier = seewhy.load(Spots(), classes=["red", "blue"], preprocess=preprocess)  # type: ignore[arg-type]
    explanation = seewhy.explain(classifier, data, target="red", layers="conv", out=out, progress=False)
    return seewhy.trends(explanation), explanation


@pytest.mark.parametrize(("size", "fit"), [((48, 48), "letterbox"), ((32, 64), "stretch"), ((64, 32), "crop")])
def test_zones_are_the_regions_of_an_audit(tmp_path: Path, size: tuple[int, int], fit: str) -> None:
    """Of photographs of two shapes, by the masks that an audit reads, as it lays them on the maps' grid."""
    data = a_spot_in_the_first_corner(tmp_path / "data" / "red", (32, 96), 3).parent
    a_spot_in_the_first_corner(data / "red", (80, 40), 2)
    preprocess = seewhy.Preprocess(size=size, fit=fit)
    trends, explanation = found(data, tmp_path / "run", preprocess)
    assert isinstance(explanation.maps, np.ndarray)
    positive = explanation.maps.clip(min=0).astype(np.float64)
    images = [Image(path.relative_to(data).as_posix(), path=str(path)) for path in sorted(data.rglob("*.png"))]
    table = ImageTable(tuple(images))
    masks = read_masks(find_regions(NAMES, table), table, images, size, preprocess)
    shares = {zone.zone: zone for zone in trends.zones if (zone.label, zone.split, zone.answer) == (EVERY,) * 3}
    assert len(images) == len(positive) == 5
    for name, region in masks.items():
        cells = functional.adaptive_avg_pool2d(region.masks[:, None].double(), positive.shape[1:])[:, 0].numpy()
        want = (positive * cells).sum(axis=(1, 2)) / positive.sum(axis=(1, 2))
        assert shares[name].share.value == pytest.approx(want.mean(), abs=1e-9), name


def test_in_a_letterbox_the_corner_is_the_photographs(tmp_path: Path) -> None:
    data = a_spot_in_the_first_corner(tmp_path / "data" / "red", (32, 96), 40).parent
    trends, _ = found(data, tmp_path / "run", seewhy.Preprocess(size=(96, 96), fit="letterbox"))
    (group,) = trends.partitions[0].groups
    assert group.place.zone in ("top-left", "cell-0-0") and group.place.share > 0.95
    assert group.place.area == pytest.approx(0.18**2 if group.place.zone == "top-left" else 1 / 16, rel=0.15)


def cropped(image: PIL.Image.Image) -> Tensor:
    """The first quarter of the photograph."""
    pixels = np.asarray(image.convert("RGB").crop((0, 0, 32, 32)))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255


def test_what_a_function_cuts_out_is_not_known(tmp_path: Path) -> None:
    data = a_spot_in_the_first_corner(tmp_path / "data" / "red", (64, 64), 40).parent
    trends, _ = found(data, tmp_path / "run", cropped)
    maps, looks, _ = trends.partitions
    assert maps.groups[0].look == "look not known" and maps.groups[0].place.words.endswith("of the network's input)")
    assert looks.said.startswith("not known: a function preprocesses the pictures") and not looks.groups


DRAWS: list[tuple[Callable[[np.random.Generator, int], np.ndarray], float]] = [
    (lambda random, n: random.beta(2, 6, n), 0.25),
    (lambda random, n: random.random(n), 0.5),
]


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
@pytest.mark.parametrize(("draw", "mean"), DRAWS, ids=["skewed", "even"])
def test_the_interval_of_a_mean_share_holds_it(
    draw: Callable[[np.random.Generator, int], np.ndarray], mean: float, n: int
) -> None:
    """In 2,000 drawn samples: 95 % less what a skewed share costs, where the normal interval of 2 holds 69 %."""
    random = np.random.default_rng(0)
    shares = [mean_share(draw(random, n)) for _ in range(2000)]
    assert np.mean([share.low <= mean <= share.high for share in shares]) > 0.91
    assert all(0 <= share.low <= share.value <= share.high <= 1 for share in shares)


def test_one_share_has_no_interval() -> None:
    one = mean_share(np.array([0.75]))
    assert one.value == 0.75 and one.n == 1 and math.isnan(one.low) and math.isnan(one.high)


def test_a_class_and_a_split_that_are_called_all_stay_apart_from_the_total() -> None:
    outcomes = [Outcome(Image(str(row), label=label, split="all")) for row, label in enumerate(["all", "all", "cat"])]
    shares = np.array([[0.0], [0.2], [1.0]])
    rows = zone_shares(outcomes, ZonedMaps(("centre",), shares, np.full((3, 1), 0.25)))
    by_label = {(row.label, row.split): (row.share.value, row.share.n) for row in rows}
    assert by_label["all (class)", EVERY] == by_label["all (class)", "all (split)"] == (pytest.approx(0.1), 2)
    assert by_label[EVERY, EVERY] == by_label[EVERY, "all (split)"] == (pytest.approx(0.4), 3)
    assert by_label["cat", EVERY] == (1.0, 1) and len(by_label) == 6

"""Methods are ranked by what their maps tell of one network, and what knows nothing stands beside them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.cam.methods.scene import Scene
from seewhy.errors import DataError, LayerError, OptionError
from seewhy.estimates import Estimate
from seewhy.evidence.metrics.catalogue import METRICS, PRIMARY
from seewhy.evidence.metrics.compare import MOST_IMAGES, USUAL, comparison_plan
from seewhy.evidence.metrics.comparison import ComparedMethod, MethodComparison, ranked_rows
from seewhy.evidence.metrics.curves import symmetric_relevance_gain
from seewhy.evidence.metrics.mapped import Column, on_canvas
from seewhy.evidence.metrics.randomisation import likeness
from seewhy.evidence.metrics.road import road
from seewhy.records import MapKey
from tests.models import FourConv, Linear, Pooled, images, seeded

QUIET: dict[str, Any] = {"progress": False}


class Corner(nn.Module):
    """A network that reads the brightness of one quarter of the picture and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 2, 1)
        self.fc = nn.Linear(2, 2)
        with torch.no_grad():
            self.features.weight.fill_(1 / 3)
            self.features.bias.fill_(-0.5)
            self.fc.weight.copy_(torch.tensor([[-4.0, -4.0], [4.0, 4.0]]))
            self.fc.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x)[:, :, :8, :8].mean((2, 3)))


def pictures(count: int = 24) -> Tensor:
    """Grey pictures (N, 3, 16, 16) with noise, whose first quarter is bright or dark."""
    noise = images(count, 16) * 0.4 + 0.3
    noise[::2, :, :8, :8] += 0.3
    noise[1::2, :, :8, :8] -= 0.3
    return noise


def quarter(scene: Scene) -> Tensor:
    """A map that is right."""
    maps = torch.zeros(len(scene.inputs), 16, 16)
    maps[:, :8, :8] = 1
    return maps


def elsewhere(scene: Scene) -> Tensor:
    """A map that is wrong."""
    return 1 - quarter(scene)


def row_of(compared: MethodComparison, method: str) -> ComparedMethod:
    return next(row for row in compared if row.method == method)


@pytest.fixture(scope="module")
def corner() -> MethodComparison:
    return seewhy.compare_methods(
        Corner().eval(), pictures(), method=["hirescam", quarter, elsewhere], core="top-left,left", **QUIET
    )


def test_what_is_right_is_first_and_what_is_wrong_is_last(corner: MethodComparison) -> None:
    assert corner.rows[0].method in ("hirescam", "quarter") and corner.rows[-1].method == "elsewhere"
    first, last = corner.rows[0], corner.rows[-1]
    assert first.verdict == "first" and last.verdict == "behind" and last.to_first.high < 0
    assert row_of(corner, "quarter").beats_what_knows_nothing and not last.beats_what_knows_nothing
    figures = [row.figures[PRIMARY].value for row in corner]
    assert figures == sorted(figures, reverse=True)
    for name in ("srg", "insertion"):
        assert first.figures[name].value > last.figures[name].value
    for name in ("deletion", "drop"):
        assert first.figures[name].value < last.figures[name].value


def test_every_figure_has_an_interval_that_holds_it(corner: MethodComparison) -> None:
    assert corner.metrics == tuple(METRICS) and corner.n_images == 24 and len(corner) == 5
    for row in corner:
        for figure in row.figures.values():
            assert figure.low <= figure.value <= figure.high and figure.n == 24


def test_the_pointing_games_stand_beside_the_area_that_a_constant_map_reaches(corner: MethodComparison) -> None:
    areas = {round(row.figures["area"].value, 9) for row in corner}
    assert len(areas) == 1 and 0.3 < areas.pop() < 0.6
    right = row_of(corner, "quarter").figures
    assert right["pointing"].value == right["energy"].value == 1
    assert row_of(corner, "elsewhere").figures["energy"].value < right["area"].value


def test_what_knows_nothing_does_not_change_with_the_network(corner: MethodComparison) -> None:
    for row in corner:
        assert row.knows_nothing == (row.layer == "") == (row.method in ("centre blob", "random map"))
        assert not row.knows_nothing or row.figures["randomised"].value == 1
    assert row_of(corner, "quarter").figures["randomised"].value == pytest.approx(1)


def test_the_network_is_left_as_it_was_and_the_same_seed_gives_the_same() -> None:
    model = seeded(Pooled()).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, second = (
        seewhy.compare_methods(model, images(6), method="grad-cam,eigen-cam", **QUIET).summary() for _ in range(2)
    )
    assert first == second and json.loads(json.dumps(first)) == first
    assert model.training and all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_figures_are_those_of_the_metrics_by_themselves() -> None:
    """By the functions on batches, with the probability of the predicted class by hand."""
    model, inputs = seeded(Pooled()), images(5)
    compared = seewhy.compare_methods(model, inputs, method="hirescam", layers="block", batch_size=2, **QUIET)
    maps = torch.from_numpy(seewhy.explain(model, inputs, method="hirescam", layers="block", **QUIET).maps)
    with torch.no_grad():
        classes = model(inputs).argmax(dim=1)

        def probability(changed: Tensor, rows: Tensor) -> Tensor:
            return model(changed).softmax(dim=1).gather(1, classes[rows, None])[:, 0].double()

        drawn = on_canvas(maps, (32, 32))
        parts = [road(drawn[at], inputs[at], lambda c, r, at=at: probability(c, r + at.start)).combined
                 for at in (slice(0, 2), slice(2, 4), slice(4, 5))]  # fmt: skip
        gain = symmetric_relevance_gain(drawn, inputs, probability)
    row = row_of(compared, "hirescam")
    assert row.figures["road"].value == pytest.approx(float(torch.cat(parts).mean()), abs=1e-5)
    assert row.figures["srg"].value == pytest.approx(float(gain.mean()), abs=1e-5)
    assert compared.measured == "the probability of the class that is predicted for the unchanged image"


def test_methods_that_are_the_same_cannot_be_told_apart() -> None:
    """Of a head that averages and is linear Grad-CAM and HiResCAM are one."""
    compared = seewhy.compare_methods(seeded(Linear()), images(8), method="grad-cam,hirescam", **QUIET)
    apart = row_of(compared, "grad-cam").figures["road"].value - row_of(compared, "hirescam").figures["road"].value
    assert apart == pytest.approx(0, abs=1e-3)
    assert "behind" not in (row_of(compared, name).verdict for name in ("grad-cam", "hirescam"))


def test_every_method_stands_on_every_layer() -> None:
    compared = seewhy.compare_methods(
        seeded(FourConv()), images(4), method="grad-cam,fullgrad", layers="conv1,conv2", target=1, **QUIET
    )
    named = {(row.method, row.layer) for row in compared}
    assert named == {
        ("grad-cam", "conv1"), ("grad-cam", "conv2"), ("fullgrad", "input"), ("centre blob", ""), ("random map", ""),
    }  # fmt: skip
    assert len(compared.records) == 5 and compared.records[0]["rank"] == 1
    assert {"road", "road_low", "road_high", "verdict"} <= compared.records[0].keys()


@pytest.mark.parametrize("target", ["margin", "label", "cat", "probability"])
def test_other_targets_are_measured_too(target: str, photos: Path) -> None:
    compared = seewhy.compare_methods(seeded(FourConv()), photos, target=target, method="grad-cam", **QUIET)
    words = {"margin": "the score 'margin'", "label": "the probability of the label"}
    assert compared.measured == words.get(target, compared.measured)
    assert all(math.isfinite(row.figures["road"].value) for row in compared)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten photographs of two classes with a mask each but one, and one file that is none."""
    random = np.random.default_rng(0)
    for number in range(10):
        name = f"{('cat', 'dog')[number % 2]}/{number}.png"
        for folder, levels in (("photos", random.integers(0, 256, (32, 32, 3), np.uint8)), ("masks", _square())):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            PIL.Image.fromarray(levels).save(tmp_path / folder / name)
    (tmp_path / "masks" / "dog" / "9.png").unlink()
    (tmp_path / "photos" / "cat" / "broken.png").write_text("no image")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


def _square() -> np.ndarray:
    levels = np.zeros((32, 32), np.uint8)
    levels[8:24, 8:24] = 255
    return levels


def test_images_without_a_result_or_a_mask_are_told(photos: Path) -> None:
    compared = seewhy.compare_methods(
        seeded(FourConv()), photos, method="grad-cam", core="object=masks", cluster_by="name:\\d", **QUIET
    )
    assert compared.n_images == 10 and sum(compared.left_out.values()) == 1
    assert "1 of 10 images have no mask of 'object=masks': the pointing games are without them." in compared.notes
    row = compared.rows[0]
    assert row.figures["pointing"].n == row.figures["area"].n == 9 and row.figures["road"].n == 10
    assert row.figures["area"].value == pytest.approx(0.25) and compared.clustered == "name:\\d"
    assert any("10 clusters are few" in note for note in compared.notes)


def test_copies_count_once(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
        for number in range(12):
            PIL.Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    compared = seewhy.compare_methods(seeded(FourConv()), tmp_path, method=["grad-cam", "hirescam"], **QUIET)
    assert compared.n_images == 24 and compared.clustered == "near-duplicates"
    assert "24 images are 2 distinct ones: near-duplicates count once." in compared.notes
    assert any("2 clusters are few" in note for note in compared.notes)


def test_answers_that_are_no_number_are_left_out_and_told(photos: Path) -> None:
    class Sometimes(FourConv):
        def forward(self, x: Tensor) -> Tensor:
            dark = (x.flatten(1).mean(1) < 0.2).float()[:, None]  # under the map of an image
            return super().forward(x) + torch.where(dark > 0, torch.nan, 0.0)

    compared = seewhy.compare_methods(seeded(Sometimes()), photos, method="grad-cam", **QUIET)
    figures = compared.rows[0].figures
    assert figures["increase"].n == figures["drop"].n


def test_a_score_that_moves_whatever_is_taken_out_is_not_said_to_stay(corner: MethodComparison) -> None:
    first, none = corner.rows[0], Estimate(0.0, -0.001, 0.001, 20)
    for lost, says in ((0.9, "alike, so that ROAD ranks nothing here"), (0.0, "hardly moves for any map")):
        figures = {**first.figures, PRIMARY: none, "drop": Estimate(lost, lost, lost, 20)}
        assert any(says in line for line in replace(corner, rows=(replace(first, figures=figures),)).said())


def test_of_one_class_and_of_many_images_it_is_said(photos: Path) -> None:
    one = seewhy.compare_methods(
        seewhy.load(seeded(FourConv()), classes=["cat", "dog"]), photos / "cat", method="grad-cam", **QUIET
    )
    assert "All images are of the class cat: what ranks first for it may not for others." in one.notes
    plan = comparison_plan(seeded(FourConv()), images(MOST_IMAGES + 5), method=USUAL)
    assert len(plan.table) == MOST_IMAGES and plan.notes[-1] == (
        "A seeded sample: 60 of 65 images (--sample and --limit take others)."
    )
    assert len(comparison_plan(seeded(FourConv()), images(MOST_IMAGES + 5), method=USUAL, limit=62).table) == 62


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"method": "gradcan"}, OptionError, r"There is no method 'gradcan'.  Nearest: grad-cam"),
        ({"layers": "conf2"}, LayerError, r"has no layer 'conf2'.  Nearest: conv2"),
        ({"layers": "fc"}, LayerError, r"fc"),
        ({"target": {"a": 0, "b": 1}}, OptionError, "compared for one target at a time"),
        ({"target": [0, 1] * 2}, OptionError, "compared for one target at a time"),
        ({"core": "top-lefd"}, OptionError, r"There is no region 'top-lefd'.  Nearest: top-left"),
        ({"limit": 1}, DataError, "of 1 only 1 can be used.*\n  Give two at least"),
    ],
    ids=["method", "layer", "grid", "targets", "each", "region", "one image"],
)
def test_what_cannot_be_compared_is_said(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        seewhy.compare_methods(seeded(FourConv()), images(4), **{"method": "grad-cam", **options}, **QUIET)


def test_what_has_no_mask_and_what_decides_for_no_class_is_refused(photos: Path) -> None:
    for path in (photos.parent / "masks").rglob("*.png"):
        PIL.Image.fromarray(np.zeros((32, 32), np.uint8)).save(path)
    with pytest.raises(DataError, match=r"The pointing games need a mask of 'object=masks', and none of 10 images has"):
        seewhy.compare_methods(seeded(FourConv()), photos, method="grad-cam", core="object=masks", **QUIET)
    with pytest.raises(OptionError, match="compared for classifiers, but this network's output is read as: regression"):
        seewhy.compare_methods(
            seewhy.load(seeded(FourConv()), task="regression"), images(4), target="output:0", **QUIET
        )


def test_columns_stand_on_the_same_images() -> None:
    """An image without a figure in one column counts in none."""
    columns = [Column("a", "x", MapKey("a", "x", "s")), Column("centre blob"), Column("random map")]
    values = np.array([[1.0, 0.0, 0.0], [np.nan, 9.0, 9.0], [2.0, 1.0, 0.5]])
    first, *rest = ranked_rows(columns, {PRIMARY: values, "srg": values, "drop": np.full((3, 3), np.nan)})
    assert first.figures[PRIMARY].n == 2 and [row.figures[PRIMARY].value for row in rest] == [0.5, 0.25]
    assert math.isnan(first.figures["drop"].value)
    with pytest.raises(DataError, match="no finite answer"):
        ranked_rows(columns, {PRIMARY: np.full((3, 3), np.nan)})


def test_a_difference_of_nothing_is_none_however_sure_it_is() -> None:
    columns = [Column("a", "x", MapKey("a", "x", "s")), Column("centre blob"), Column("random map")]
    noise = np.random.default_rng(0).normal(0, 1, 40)
    values = np.stack([noise, noise - 0.0005, noise - 0.5], axis=1)
    first, second, third = ranked_rows(columns, {PRIMARY: values, "srg": values})
    assert (second.verdict, third.verdict) == ("cannot tell apart", "behind") and second.to_first.high < 0
    assert not first.beats_what_knows_nothing


def test_few_clusters_of_many_images_are_told() -> None:
    compared = seewhy.compare_methods(
        Corner().eval(), pictures(), method=[quarter], cluster_by=[number % 4 for number in range(24)], **QUIET
    )
    assert "4 clusters are few: expect intervals that tell little apart, and are too narrow." in compared.notes


def test_what_is_compared_does_not_depend_on_the_batch() -> None:
    whole, parts = (
        seewhy.compare_methods(Corner().eval(), pictures(), method=[quarter], batch_size=size, **QUIET)
        for size in (24, 5)
    )
    for one, other in zip(whole, parts, strict=True):
        for name, figure in one.figures.items():
            assert figure.value == pytest.approx(other.figures[name].value, abs=2e-5), name


def nowhere_where_bright(scene: Scene) -> Tensor:
    """A map that is even, and without a positive part where the first quarter is bright."""
    maps = torch.ones(len(scene.inputs), 16, 16)
    maps[scene.inputs[:, :, :8, :8].mean(dim=(1, 2, 3)) > 0.5] = -1
    return maps


def test_the_pointing_games_and_the_area_stand_on_the_same_images(tmp_path: Path) -> None:
    """Of 24 images four have no mask, four one of a dot, and half of the rest a map without a positive part."""
    for number, image in enumerate(pictures()):
        levels = np.zeros((64, 64), np.uint8)
        if number >= 8:
            levels[: 16 * (number % 3 + 1)] = 255
        elif number >= 4:
            levels[21, 21] = 255
        pixels = (image.permute(1, 2, 0) * 255).to(torch.uint8).numpy().repeat(4, axis=0).repeat(4, axis=1)
        for folder, made in (("photos", pixels), ("masks", levels)):
            (tmp_path / folder).mkdir(exist_ok=True)
            PIL.Image.fromarray(made).save(tmp_path / folder / f"{number:02d}.png")
    compared = seewhy.compare_methods(
        seewhy.load(Corner().eval(), classes=["dark", "bright"], preprocess=seewhy.Preprocess(size=(16, 16))),
        tmp_path / "photos", method=[nowhere_where_bright], core=f"object={tmp_path / 'masks'}", **QUIET,
    )  # fmt: skip
    row = row_of(compared, "nowhere_where_bright").figures
    odd = [16 * (number % 3 + 1) / 64 for number in range(9, 24, 2)]
    assert {row[name].n for name in ("pointing", "energy", "area")} == {8} and row["road"].n == 24
    for name in ("pointing", "energy", "area"):  # a map that is even reaches the area in both games
        assert row[name].value == pytest.approx(np.mean(odd)), name
    notes = " ".join(compared.notes)
    assert (
        "8 of 24 images have no mask of" in notes and "(of 4 it fills no pixel of the network's input by half)" in notes
    )
    assert "8 of 16 images with a mask have a map without a positive part" in notes
    assert compared.table(["srg", "energy"])[0][3:] == ("SRG", "energy (n = 8)")


def test_likeness_by_hand() -> None:
    """What stays as it is has 1, also an even map; what loses its order has 0."""
    rising, even = np.array([[1.0, -2.0], [3.0, 4.0]]), np.full((2, 2), 0.3)
    pairs = [(rising, -10 * rising), (even, rising), (rising, even), (even, even), (even, 0 * even), (0 * even, -even)]
    assert likeness(*map(np.stack, zip(*pairs, strict=True))).tolist() == [1, 0, 0, 1, 1, 1]
    assert np.isnan(likeness(np.array([[[1.0, np.nan]]]), np.array([[[1.0, 2.0]]])))


def test_a_map_that_never_changes_is_the_worst_by_randomisation() -> None:
    compared = seewhy.compare_methods(
        Corner().eval(), pictures(), method=["hirescam", lambda scene: torch.ones(len(scene.inputs), 16, 16)], **QUIET
    )
    even = next(row for row in compared if not row.knows_nothing and row.method != "hirescam")
    assert even.figures["randomised"].value == 1 > row_of(compared, "hirescam").figures["randomised"].value


def test_eigen_cam_does_not_change_with_the_last_layer_and_a_gradient_method_does() -> None:
    compared = seewhy.compare_methods(seeded(FourConv()), images(6), method="hirescam,eigen-cam", **QUIET)
    assert (
        row_of(compared, "eigen-cam").figures["randomised"].value
        > row_of(compared, "hirescam").figures["randomised"].value
    )


def test_it_shows_itself_in_words(corner: MethodComparison) -> None:
    said = corner.said()
    assert said[0].startswith(f"By ROAD {corner.rows[0]} is first, ")
    assert any(sentence.startswith("Better than the centre blob and the random map: ") for sentence in said)
    assert repr(corner).startswith("<MethodComparison of 5 rows on 24 images>\n  By ROAD")
    assert "random map" in corner._repr_html_() and list(corner.classes) == corner.summary()["classes"]
    head, *lines = corner.ranking()
    assert head[3] == "ROAD" and len(lines) == 5 and lines[-1][-1] == "behind" and lines[0][-2:] == ("", "")
    assert corner.lines()[-3].startswith("Measured is the probability of")

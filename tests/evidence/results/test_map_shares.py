"""Where the maps lie, on train beside valid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.evidence.results.map_shares import MapRecords, drift_of, map_records, map_share_rows
from seewhy.evidence.trials.design import AuditDesign, design_audit
from seewhy.evidence.trials.request import request
from seewhy.evidence.trials.trial import Scores
from seewhy.explanation.shard import explain_shard
from tests.small_images import CORE, Reader, classifier_of, write_images, write_masks


class Light(Reader):
    """Logits that grow with the light of the core alone, so that maps lie in the core."""

    def forward(self, x: Tensor) -> Tensor:
        inside = self.look(x)[:, :, CORE, CORE].mean(dim=(1, 2, 3))
        return torch.stack([inside, inside - 0.5], dim=1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drift")
    write_masks(folder / "core", write_images(folder / "data", counts={"train": 20, "valid": 20}))
    return folder


def design_of(home: Path, model: nn.Module, method: str = "hirescam") -> AuditDesign:
    asked = request(f"core={home / 'core'},around=not:core,top", "core", "none", recipients=20)
    return design_audit(classifier_of(model), home / "data", asked, layers="look", method=method)


@pytest.fixture(scope="module")
def design(home: Path) -> AuditDesign:
    return design_of(home, Light())


@pytest.fixture(scope="module")
def records(design: AuditDesign) -> dict[str, MapRecords]:
    return {split: map_records(design, sample) for split, sample in design.samples.items()}


def scores_of(predictions: np.ndarray) -> Scores:
    nothing = np.zeros((len(predictions), 1), np.float32)
    return Scores(nothing, nothing, predictions)


def test_the_share_of_a_map_is_what_lies_in_the_region(records: dict[str, MapRecords], design: AuditDesign) -> None:
    for split, own in records.items():
        assert own.shares["core"] == pytest.approx(1, abs=1e-6) and own.shares["around"] == pytest.approx(0, abs=1e-6)
        assert own.areas["core"] == pytest.approx(0.25) and own.areas["around"] == pytest.approx(0.75)
        assert own.centre == pytest.approx(np.full((40, 2), 0.5), abs=0.02)
        assert (own.shares["top"] > 0.45).all() and (own.shares["top"] < 0.55).all()
        assert np.array_equal(own.places, np.arange(len(design.samples[split])))


def test_the_spread_is_the_entropy_of_the_map(design: AuditDesign, records: dict[str, MapRecords]) -> None:
    images = tuple(design.audited.images[place] for place in records["valid"].places)
    own = replace(design.plan, table=replace(design.plan.table, images=images))
    shards = [explain_shard(own, shard, overlays=False).maps[own.keys[0]] for shard in own.shards()]
    maps = np.concatenate(shards).astype(np.float64).clip(min=0)
    shape = maps / maps.sum(axis=(1, 2), keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(shape * np.log(shape), axis=(1, 2)) / np.log(32 * 32)
    assert records["valid"].spread == pytest.approx(entropy, abs=1e-6)
    assert records["valid"].spread == pytest.approx(np.log(256) / np.log(1024), abs=0.01)


def test_maps_are_those_of_explain(design: AuditDesign, records: dict[str, MapRecords], home: Path) -> None:
    (key,) = design.plan.keys
    whole = seewhy.explain(classifier_of(Light()), home / "data", layers="look", method="hirescam", progress=False)
    for split, own in records.items():
        images = design.samples[split].images
        want = np.stack([whole[image.id].maps for image in images])
        np.testing.assert_allclose(own.maps[key], want, rtol=1e-5, atol=1e-8)
        totals = [whole[image.id].map_stats["look"].total for image in images]
        assert [stat.id for stat in own.stats] == [image.id for image in images]
        assert [stat.total for stat in own.stats] == pytest.approx(totals, rel=1e-5)


def test_the_comparison_stays_with_the_recipients(design: AuditDesign, records: dict[str, MapRecords]) -> None:
    """The maps of all the other images may be anything; and the recipients' alone, as they were made before, say it."""
    before = {split: scores_of(sample.labels) for split, sample in design.samples.items()}
    found = drift_of(design, records, before, 0)
    assert found.shares["valid"]["core"].n == 20
    alone, other = {}, {}
    for split, own in records.items():
        sample = design.samples[split]
        part = replace(sample, images=tuple(sample.images[place] for place in sample.recipients))
        few = map_records(design, replace(part, recipients=np.arange(20)))
        filled = {name: np.zeros(len(sample)) for name in own.shares}
        for name, values in few.shares.items():
            filled[name][sample.recipients] = values
        spread, centre = np.zeros(len(sample)), np.zeros((len(sample), 2))
        spread[sample.recipients], centre[sample.recipients] = few.spread, few.centre
        alone[split] = replace(own, shares=filled, spread=spread, centre=centre)
        shares = {name: np.where(np.isin(own.places, sample.recipients), one, 9.0) for name, one in own.shares.items()}
        other[split] = replace(own, shares=shares)
    for same in (alone, other):
        again = drift_of(design, same, before, 0)
        assert (again.distance, again.p_value) == (pytest.approx(found.distance, rel=1e-6), found.p_value)
        assert again.shares["train"]["top"].value == pytest.approx(found.shares["train"]["top"].value, rel=1e-6)


def test_shares_and_lifts_are_means(design: AuditDesign, records: dict[str, MapRecords]) -> None:
    before = {split: scores_of(sample.labels) for split, sample in design.samples.items()}
    found = drift_of(design, records, before, 0)
    chosen = design.samples["valid"].recipients
    assert found.shares["valid"]["top"].value == pytest.approx(records["valid"].shares["top"][chosen].mean())
    assert found.lifts["valid"]["core"].value == pytest.approx(4)
    assert 0 < found.p_value <= 1 and found.p_value > 0.01  # two halves of one thing


def test_maps_that_differ_are_told(design: AuditDesign, records: dict[str, MapRecords]) -> None:
    before = {split: scores_of(sample.labels) for split, sample in design.samples.items()}
    moved = replace(records["train"], shares={**records["train"].shares, "top": records["train"].shares["top"] + 0.3})
    found = drift_of(design, {**records, "train": moved}, before, 0)
    assert found.p_value < 0.01
    # Held alike by whether the decision is right: where no image of one is like one of the other, nothing is said.
    wrong = {**before, "train": scores_of(1 - design.samples["train"].labels)}
    assert drift_of(design, {**records, "train": moved}, wrong, 0).p_value == 1


def test_one_split_is_not_compared(design: AuditDesign, records: dict[str, MapRecords]) -> None:
    found = drift_of(design, {"valid": records["valid"]}, {}, 0)
    assert np.isnan(found.distance) and found.p_value == 1 and found.shares["valid"]["core"].value == pytest.approx(1)


def test_rows_have_a_region_of_an_image_each(design: AuditDesign, records: dict[str, MapRecords]) -> None:
    rows = map_share_rows(records, design.samples)
    assert {len(column) for column in rows.values()} == {2 * 3 * 40}
    row = [(split, region) for split, region in zip(rows["split"], rows["region"], strict=True)].index(("valid", "top"))
    assert rows["lift"][row] == pytest.approx(float(rows["share"][row]) / float(rows["area"][row]))
    ids = {image.id for image in design.samples["valid"].images}
    assert {one for one, split in zip(rows["id"], rows["split"], strict=True) if split == "valid"} == ids


def test_empty_maps_are_nothing(home: Path) -> None:
    class Dark(Light):
        def forward(self, x: Tensor) -> Tensor:
            return -super().forward(x)  # nothing speaks for any class

    design = design_of(home, Dark())
    own = map_records(design, design.audited)
    assert np.isnan(own.shares["core"]).all() and np.isnan(own.spread).all()
    rows = map_share_rows({"valid": own}, design.samples)
    assert {*rows["share"]} == {None} and {*rows["lift"]} == {None}


def test_two_splits_of_empty_maps_are_not_compared(design: AuditDesign, records: dict[str, MapRecords]) -> None:
    nothing = {name: np.full(40, np.nan) for name in records["valid"].shares}
    empty = {split: replace(one, shares=nothing) for split, one in records.items()}
    before = {split: scores_of(sample.labels) for split, sample in design.samples.items()}
    found = drift_of(design, empty, before, 0)
    assert found.p_value == 1 and np.isnan(found.shares["valid"]["core"].value)

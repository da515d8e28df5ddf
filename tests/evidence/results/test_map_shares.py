"""Where the maps lie, on train beside valid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.evidence.results.map_shares import MapRecords, map_records, map_share_rows, shares_of_recipients
from seewhy.evidence.trials.design import AuditDesign, design_audit
from seewhy.evidence.trials.request import request
from tests.small_images import CORE, Reader, classifier_of, write_images, write_masks


class Light(Reader):
    """Logits that grow with the light of the core alone, so that maps lie in the core."""

    def forward(self, x: Tensor) -> Tensor:
        inside = self.look(x)[:, :, CORE, CORE].mean(dim=(1, 2, 3))
        return torch.stack([inside, inside - 0.5], dim=1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shares")
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


def test_the_share_of_a_map_is_what_lies_in_the_region(records: dict[str, MapRecords], design: AuditDesign) -> None:
    for split, own in records.items():
        assert own.shares["core"] == pytest.approx(1, abs=1e-6) and own.shares["around"] == pytest.approx(0, abs=1e-6)
        assert own.areas["core"] == pytest.approx(0.25) and own.areas["around"] == pytest.approx(0.75)
        assert own.shares["top"] == pytest.approx(0, abs=1e-6)  # what lies in the core is none of it
        assert own.areas["top"] == pytest.approx(0.5 - 0.125)
        assert np.array_equal(own.places, np.arange(len(design.samples[split])))


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


def test_the_shares_are_those_of_the_recipients(design: AuditDesign, records: dict[str, MapRecords]) -> None:
    """The maps of all the other images may be anything; and the recipients' alone, as they were made before, say it."""
    found = shares_of_recipients(design, records)
    assert found.shares["valid"]["core"].n == 20
    alone, other = {}, {}
    for split, own in records.items():
        sample = design.samples[split]
        part = replace(sample, images=tuple(sample.images[place] for place in sample.recipients))
        few = map_records(design, replace(part, recipients=np.arange(20)))
        filled = {name: np.zeros(len(sample)) for name in own.shares}
        for name, values in few.shares.items():
            filled[name][sample.recipients] = values
        alone[split] = replace(own, shares=filled)
        shares = {name: np.where(np.isin(own.places, sample.recipients), one, 9.0) for name, one in own.shares.items()}
        other[split] = replace(own, shares=shares)
    for same in (alone, other):
        again = shares_of_recipients(design, same)
        assert again.shares["train"]["top"].value == pytest.approx(found.shares["train"]["top"].value, rel=1e-6)


def test_shares_and_lifts_are_means(design: AuditDesign, records: dict[str, MapRecords]) -> None:
    found = shares_of_recipients(design, records)
    chosen = design.samples["valid"].recipients
    assert found.shares["valid"]["top"].value == pytest.approx(records["valid"].shares["top"][chosen].mean())
    assert found.lifts["valid"]["core"].value == pytest.approx(4)


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
    assert np.isnan(own.shares["core"]).all()
    rows = map_share_rows({"valid": own}, design.samples)
    assert {*rows["share"]} == {None} and {*rows["lift"]} == {None}


def test_the_mean_share_of_empty_maps_is_nothing(design: AuditDesign, records: dict[str, MapRecords]) -> None:
    nothing = {name: np.full(40, np.nan) for name in records["valid"].shares}
    empty = {split: replace(one, shares=nothing) for split, one in records.items()}
    found = shares_of_recipients(design, empty)
    assert np.isnan(found.shares["valid"]["core"].value)

"""Factors on the canvas: regions, properties, marks, and those that a user writes in ten lines."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import seewhy
from seewhy.errors import OptionError
from seewhy.evidence.factors.edits import REMOVALS, transplanted
from seewhy.evidence.factors.factor import Mark, PropertyFactor, RegionFactor, as_share, masks_for
from seewhy.evidence.factors.regions import Region
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.properties.colour import tint
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from tests.small_images import CORE, LUMINANCE, Reader, classifier_of, where_core, write_images, write_masks

REGION = RegionFactor(Region("core", "by hand", fixed=False, draw=lambda view: None))


def canvases_of(seed: int, count: int = 4) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def masks(count: int = 4) -> Tensor:
    return where_core().expand(count, -1, -1)


# Regions.


def test_a_region_measures_its_own_pixels() -> None:
    canvases = canvases_of(0)
    values = REGION.measure(canvases, masks())
    inside = canvases[:, :, CORE, CORE]
    assert torch.allclose(values[:, :3], inside.mean(dim=(2, 3)), atol=1e-6)
    grey = inside.mean(dim=1).flatten(1)
    assert torch.allclose(values[:, 3], grey.std(dim=1, correction=0), atol=1e-5)
    outside = canvases.clone()
    outside[:, :, :8] = 0
    assert torch.equal(REGION.measure(outside, masks()), values)


def test_what_a_region_takes_and_puts_is_the_donors_content() -> None:
    own, donors = canvases_of(0), canvases_of(1)
    put = REGION.put(own, masks(), REGION.take(donors, masks()))
    inside = where_core().bool()
    assert torch.equal(put[:, :, inside], donors[:, :, inside]) and torch.equal(put[:, :, ~inside], own[:, :, ~inside])


def test_content_covers_a_recipients_larger_region() -> None:
    small = torch.zeros(4, 32, 32)
    small[:, 12:20, 12:20] = 1
    donors = torch.full((4, 3, 32, 32), 0.2)
    donors[:, :, 12:20, 12:20] = 0.9
    put = REGION.put(torch.zeros(4, 3, 32, 32), masks(), REGION.take(donors, small))
    assert torch.allclose(put[:, :, CORE, CORE], torch.tensor(0.9)) and not put[:, :, :8].any()


@pytest.mark.parametrize("removal", REMOVALS)
def test_a_region_is_taken_away_by_every_family(removal: str) -> None:
    canvases = canvases_of(0)
    gone = REGION.removed(canvases, masks(), removal, torch.zeros(0), 3)
    assert torch.equal(gone, REMOVALS[removal](canvases, masks(), 3))
    inside = where_core().bool()
    assert torch.equal(gone[:, :, ~inside], canvases[:, :, ~inside]) and not torch.equal(gone, canvases)


def test_a_region_without_masks_is_an_error() -> None:
    with pytest.raises(ValueError, match="masks"):
        REGION.put(canvases_of(0), None, canvases_of(1))


def test_masks_are_shares() -> None:
    stored = {"core": (where_core() * 255).byte().expand(5, -1, -1), "same": where_core()[None]}
    assert torch.equal(masks_for(REGION, stored, torch.tensor([1, 3])), masks(2))
    assert masks_for(PropertyFactor(PROPERTIES["tint"]), stored, torch.tensor([0])) is None
    assert as_share(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])


# Properties.


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "tint"])
def test_a_property_gets_the_donors_value(name: str) -> None:
    factor = PropertyFactor(PROPERTIES[name])
    own, donors = 0.3 + 0.4 * canvases_of(0), 0.3 + 0.3 * canvases_of(1)
    put = factor.put(own, None, factor.take(donors, None))
    assert torch.allclose(factor.measure(put, None), factor.measure(donors, None), atol=2e-3)
    back = factor.put(own, None, factor.take(own, None))
    assert torch.allclose(back, own, atol=1e-4)


def test_a_property_is_taken_away_by_its_average() -> None:
    factor = PropertyFactor(PROPERTIES["tint"])
    own = 0.3 + 0.4 * canvases_of(0)
    average = factor.measure(own, None).mean(dim=0)
    gone = factor.removed(own, None, "average", average, 0)
    assert torch.allclose(tint(gone), average.expand(4, -1), atol=1e-4)


@pytest.mark.parametrize("name", PROPERTIES)
def test_the_edit_of_a_row_depends_on_that_row_alone(name: str) -> None:
    factor = PropertyFactor(PROPERTIES[name])
    own, content = 0.2 + 0.6 * canvases_of(0), factor.take(0.2 + 0.6 * canvases_of(1), None)
    together = factor.put(own, None, content)
    alone = torch.cat([factor.put(own[row : row + 1], None, content[row : row + 1]) for row in range(4)])
    assert (together - alone).abs().max() < 1e-5
    assert torch.isfinite(together).all() and together.min() >= 0 and together.max() <= 1


# Marks.


def test_a_mark_is_laid_over_with_its_opacity() -> None:
    mark, neutral = torch.zeros(4, 32, 32), torch.zeros(4, 32, 32)
    mark[:, 2:6, 3:9] = torch.tensor([1.0, 0.5, 0.0, 0.75])[:, None, None]
    neutral[:, 2:6, 3:9] = 0.5
    watermark = Mark("mark", "a mark", mark, neutral)
    canvases = canvases_of(0)
    laid = watermark.laid(canvases)
    wanted = 0.25 * canvases[:, :, 2:6, 3:9] + 0.75 * torch.tensor([1.0, 0.5, 0.0])[:, None, None]
    assert torch.allclose(laid[:, :, 2:6, 3:9], wanted, atol=1e-6)
    assert torch.equal(laid[:, :, 6:], canvases[:, :, 6:])
    half = 0.5 * canvases[:, :, 2:6, 3:9] + 0.25
    assert torch.allclose(watermark.patched(canvases)[:, :, 2:6, 3:9], half, atol=1e-6)


# A user's own.


def redness(canvases: Tensor) -> Tensor:
    return (canvases[:, 0] - canvases[:, 1]).mean(dim=(1, 2))[:, None]


def redden(canvases: Tensor, wanted: Tensor) -> Tensor:
    moved = canvases.clone()
    moved[:, 0] += (wanted - redness(canvases))[:, :, None]
    return moved.clamp(0, 1)


OWN = """
import seewhy

def redness(canvases):
    return (canvases[:, 0] - canvases[:, 1]).mean(dim=(1, 2))[:, None]

def redden(canvases, wanted):
    moved = canvases.clone()
    moved[:, 0] += (wanted - redness(canvases))[:, :, None]
    return moved.clamp(0, 1)

redder = seewhy.Property("redder", redness, redden, words="red less green")
"""


class CornerFactor:
    """A factor of the user's: the pixels of the top left quarter."""

    name, kind, words, region, removals = "quarter", "property", "the top left quarter", None, ("grey",)

    def measure(self, canvases: Tensor, masks: Tensor | None) -> Tensor:
        return canvases[:, :, :16, :16].mean(dim=(2, 3))

    def take(self, canvases: Tensor, masks: Tensor | None) -> Tensor:
        return canvases[:, :, :16, :16].clone()

    def put(self, canvases: Tensor, masks: Tensor | None, content: Tensor) -> Tensor:
        edited = canvases.clone()
        edited[:, :, :16, :16] = content
        return edited

    def removed(self, canvases: Tensor, masks: Tensor | None, removal: str, average: Tensor, seed: int) -> Tensor:
        edited = canvases.clone()
        edited[:, :, :16, :16] = 0.5
        return edited


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("factors")
    write_masks(folder / "core", write_images(folder / "data", counts={"valid": 30}))
    (folder / "own.py").write_text(OWN)
    return folder


def audit_of(home: Path, factors: object, **options: object) -> seewhy.Audit:
    asked = {"regions": f"core={home / 'core'}", "core": "core", "recipients": 20, **options}
    model = classifier_of(Reader(core=20.0, tint=20.0))
    return seewhy.audit(model, home / "data", properties=factors, progress=False, **asked)


def test_a_property_of_the_users_is_found_in_python(home: Path) -> None:
    found = audit_of(home, [seewhy.Property("redder", redness, redden, words="red less green")])
    assert "depends" in found["redder"].claims and found["redder"].numbers["words"] == "red less green"
    # What moves the red of the whole picture moves the ring's redness by as much, and the core's luminance by a part.
    sample = found.design.audited
    values = redness(sample.canvases(torch.arange(60)))[:, 0].numpy()
    used = sorted({*sample.partners.ravel().tolist()}) if sample.partners.size else range(60)
    contrast = [values[[place for place in used if sample.labels[place] == label]].mean() for label in (0, 1)]
    margin = found["redder"].numbers["margin"]["value"]
    assert margin == pytest.approx(20 * (1 + LUMINANCE[0]) * (contrast[0] - contrast[1]), rel=0.01)


def test_a_property_of_the_users_comes_from_a_file(home: Path) -> None:
    by_file = audit_of(home, f"{home / 'own.py'}:redder")
    in_python = audit_of(home, [seewhy.Property("redder", redness, redden, words="red less green")])
    assert by_file["redder"].numbers["margin"] == in_python["redder"].numbers["margin"]


def test_a_name_that_the_file_lacks_is_refused(home: Path) -> None:
    with pytest.raises(OptionError, match="Nearest: redder"):
        audit_of(home, f"{home / 'own.py'}:reder")


def test_a_factor_of_the_users_may_be_any_object(home: Path, tmp_path: Path) -> None:
    found = audit_of(home, [CornerFactor()], out=tmp_path / "run")
    assert "depends" in found["quarter"].claims
    trials = found.trials[TrialKey("quarter", EXCHANGE, "valid")]
    sample, model = found.design.audited, Reader(core=20.0, tint=20.0)
    own, given = (sample.canvases(torch.from_numpy(one.copy())) for one in (trials.recipients, trials.donors))
    factor = CornerFactor()
    with torch.no_grad():
        logits = model(factor.put(own, None, factor.take(given, None)))
    assert trials.after.margins[:, 0] == pytest.approx((logits[:, 0] - logits[:, 1]).numpy(), abs=1e-4)
    assert any(str(key.edit) == "grey" for key in found.trials)


def test_an_edit_that_leaves_nothing_in_place_is_the_donor() -> None:
    own, donors = canvases_of(0), canvases_of(1)
    assert torch.equal(transplanted(own, donors, torch.ones(1, 32, 32)), donors)
    assert torch.equal(transplanted(own, donors, torch.zeros(1, 32, 32)), own)

"""Claims that turn on the core: where its mask is empty, where a property is core, whichever class comes first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.evidence.findings.effects import flips_of
from seewhy.evidence.findings.unnamed import REST, OmnibusTests
from seewhy.evidence.results.result import Audit
from tests.small_images import CORNER, SIDE, Reader, classifier_of, full_redness, write_images, write_masks

QUIET: dict[str, Any] = {"progress": False, "properties": "none"}


def blank(masks: Path, share: float, classes: Sequence[str] = ("cat", "dog")) -> int:
    """Empty so many of the masks of these classes; how many."""
    rng, count = np.random.default_rng(0), 0
    for path in sorted(masks.rglob("*.png")):
        if path.parent.name in classes and rng.random() < share:
            PIL.Image.new("L", (SIDE, SIDE)).save(path)
            count += 1
    return count


def audit_of(tmp_path: Path, share: float, classes: Sequence[str] = ("cat", "dog")) -> tuple[Audit, int]:
    data = write_images(tmp_path / "data", counts={"valid": 50})
    masks = write_masks(tmp_path / "masks", data)
    count = blank(masks, share, classes)
    asked = {"regions": [f"object={masks}", "background=not:object", "centre"], "core": "object"}
    return seewhy.audit(classifier_of(Reader(core=40.0)), data, **asked, **QUIET), count


def test_an_image_with_an_empty_core_says_nothing_of_what_lies_around_it(tmp_path: Path) -> None:
    audit, count = audit_of(tmp_path, 0.25)
    assert 15 < count < 35
    assert not [finding.title for finding in audit.findings if "shortcut" in finding.claims]
    background, core = (audit[name].numbers["probability"] for name in ("background", "object"))
    assert abs(background["value"]) < 1e-6 and core["value"] > 0.5
    assert sum(core["n"].values()) == 100 - count
    assert any(f"object is empty in {count} of 100 images of valid" in note for note in audit.design.notes)


def test_where_a_class_has_no_core_by_nature_its_images_are_kept(tmp_path: Path) -> None:
    audit, count = audit_of(tmp_path, 1.0, ["dog"])
    assert count == 50 and not any("is empty in" in note for note in audit.design.notes)
    assert sum(audit["background"].numbers["probability"]["n"].values()) == 100


def test_a_core_that_few_images_have_is_none(tmp_path: Path) -> None:
    """Or what acts outside of it is acquitted with next to no trial."""
    data = write_images(tmp_path / "data", counts={"valid": 40})
    masks = write_masks(tmp_path / "masks", data)
    for number, path in enumerate(sorted((masks / "valid").rglob("*.png"))):
        if number % 8:
            path.unlink()
    reader = classifier_of(Reader(core=0.0, tint=8 / full_redness()))
    asked = {"regions": [f"object={masks}", "top"], "core": "object", **QUIET}
    few = seewhy.audit(reader, data, **asked)
    words = "object is named as core, but cannot be used: only 5 of 40 images of cat have this region."
    assert words in few.design.notes
    assert few["top"].claims == ("depends",) and "the core that was named cannot be used" in few["top"].text
    for path in sorted((write_masks(masks, data) / "valid" / "dog").glob("*.png"))[:34]:
        PIL.Image.new("L", (SIDE, SIDE)).save(path)  # an empty core is a known one only where it is so by nature
    rare = seewhy.audit(reader, data, **asked)
    assert any("object is named as core, but cannot be used" in note for note in rare.design.notes)


def test_a_region_that_acts_through_a_property_of_the_core_is_no_shortcut(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"valid": 50})
    reader = classifier_of(Reader(core=0.0, tint=8 / full_redness(), seen=torch.ones(SIDE, SIDE)))
    asked = {"regions": "border,top,centre", "properties": ["tint"], "progress": False}
    named = seewhy.audit(reader, data, core="centre,tint", **asked)
    assert not [finding.title for finding in named.findings if "shortcut" in finding.claims]
    assert "intended" in named["tint"].claims
    alone = seewhy.audit(reader, data, core="tint", **asked)
    assert not [finding.title for finding in alone.findings if "shortcut" in finding.claims]
    assert not any("the budget does not reach it" in line for finding in alone.findings for line in finding.evidence)
    unnamed = seewhy.audit(reader, data, core="centre", **asked)
    assert [finding.title for finding in unnamed.findings if "shortcut" in finding.claims]


def test_a_region_that_acts_beside_a_property_of_the_core_is_a_shortcut(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"valid": 50})
    reader = classifier_of(Reader(core=40.0, tint=8 / full_redness()))
    audit = seewhy.audit(reader, data, regions="border", core="brightness", properties=["brightness"], progress=False)
    assert "shortcut" in audit["border"].claims
    assert any("+ With the brightness put back as it was" in line for line in audit["border"].evidence)


def test_a_core_is_not_used_where_a_shortcut_tells_the_label_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it cannot be told away from the core: the shortcut explains it, and not the core's shape."""
    monkeypatch.setattr(OmnibusTests, "may_be_shape", lambda tests, n_tests: True)
    data = write_images(tmp_path / "data", counts={"valid": 50})
    masks = write_masks(tmp_path / "masks", data)
    asked = {"regions": [f"object={masks}", "background=not:object"], "core": "object", **QUIET}
    used = seewhy.audit(classifier_of(Reader(core=0.0, tint=8 / full_redness())), data, **asked)
    assert "shortcut" in used["background"].claims and "core not used" in used["object"].claims
    blind = seewhy.audit(classifier_of(Reader(core=0.0)), data, **asked)
    assert "core not used" not in blind["object"].claims


class OfTheLastTwo(nn.Module):
    """The corner tells the last two classes apart, and says nothing of the first; in an order of the classes."""

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        self.order, self.look = list(order), nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.look.weight.copy_(torch.eye(3)[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        x = self.look(x)
        score = 30 * (x[:, 0] - x[:, 2])[:, CORNER[0], CORNER[1]].mean(dim=(1, 2))
        return torch.stack([0 * score, score, -score], dim=1)[:, self.order]


@pytest.fixture(scope="module")
def cornered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of noise, whose corner is red in b, blue in c, and either in a."""
    home, rng = tmp_path_factory.mktemp("cornered"), np.random.default_rng(0)
    for name, signs in (("a", (-1, 1)), ("b", (1, 1)), ("c", (-1, -1))):
        (home / "valid" / name).mkdir(parents=True)
        for number in range(40):
            pixels = 0.5 + 0.03 * rng.standard_normal((SIDE, SIDE, 3))
            pixels[CORNER] += 0.1 * signs[number % 2] * np.array([1, 0, -1])
            file = home / "valid" / name / f"{number:02d}.png"
            PIL.Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8)).save(file)
    return home


def test_what_lies_outside_of_the_core_is_told_whichever_class_comes_first(cornered: Path) -> None:
    told = {}
    for order in ((0, 1, 2), (1, 0, 2), (2, 1, 0)):
        classes = tuple("abc"[place] for place in order)
        classifier = classifier_of(OfTheLastTwo(order), classes)
        audit = seewhy.audit(classifier, cornered, regions="centre", core="centre", **QUIET)
        told[classes] = audit[REST]
    first, *others = told.values()
    assert "shortcut" in first.claims
    for other in others:
        assert (other.level, other.claims) == (first.level, first.claims)
        assert other.numbers["benefit"]["value"] == pytest.approx(first.numbers["benefit"]["value"], abs=0.02)
        assert other.numbers["p"] == pytest.approx(first.numbers["p"], rel=1e-3)


class Undecided(Reader):
    """NaN for the half of the images whose last pixel is the brighter."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = super().forward(x)
        return torch.where(x[:, :1, -1, -1] > 0.5, logits * float("nan"), logits)


def test_what_gives_no_answer_is_left_out_of_every_number(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"train": 40, "valid": 60})
    for number, path in enumerate(sorted(data.rglob("*.png"))):
        pixels = np.array(PIL.Image.open(path))
        pixels[-1, -1] = 255 * ("train" in path.parts or number % 2)
        PIL.Image.fromarray(pixels).save(path)
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(tmp_path / "m.png")
    asked = {"regions": "centre,top", "core": "centre", "marks": f"m={tmp_path / 'm.png'}@top-left", **QUIET}
    whole, half = (
        seewhy.audit(classifier_of(network), data, **asked)
        for network in (Reader(core=20.0, tint=8 / full_redness()), Undecided(core=20.0, tint=8 / full_redness()))
    )
    benefits = [audit[REST].numbers["benefit"] for audit in (whole, half)]
    assert benefits[1]["value"] == pytest.approx(benefits[0]["value"], abs=0.12) and benefits[1]["n"] == 60
    flips = [audit["top"].numbers["flips"]["value"] for audit in (whole, half)]
    assert flips[1] == pytest.approx(flips[0], abs=0.12)
    assert "60 images" in half["top"].text and "nan" not in " ".join(finding.text for finding in half.findings)
    accuracies = [audit["m"].numbers["answers"]["before"]["value"] for audit in (whole, half)]
    assert accuracies[1] == pytest.approx(accuracies[0], abs=0.12)


def test_a_decision_that_is_none_before_or_after_has_not_flipped_nor_stayed() -> None:
    after, before = np.array([0, 1, -1, 0, -1]), np.array([0, 0, 0, -1, -1])
    np.testing.assert_array_equal(flips_of(after, before), [0, 1, np.nan, np.nan, np.nan])

"""Something outside of the core decides that no factor names: told as that, and never for a core drawn too small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import seewhy
from seewhy.evidence.factors.edits import grown
from seewhy.evidence.findings.unnamed import RARE, place_of
from seewhy.evidence.trials.edit import Edit, TrialKey
from seewhy.evidence.trials.sample import Sample
from tests.small_images import SIDE, Reader, classifier_of, where_core, where_ring, write_images, write_masks

EACH, GROWN = 60, (4, 2)  # an eighth and a sixteenth of the side
REST = "everything outside the core"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("unnamed")
    write_masks(home / "core", write_images(home / "data", counts={"valid": EACH}))
    return home


def audit_of(home: Path, model: Reader, regions: str = "core={}", **options: object) -> seewhy.Audit:
    asked = {"properties": "none", "recipients": 60, "progress": False, **options}
    return seewhy.audit(
        classifier_of(model), home / "data", regions=regions.format(home / "core"), core="core", **asked
    )


def test_what_no_factor_names_is_told_as_a_shortcut_without_a_name(home: Path) -> None:
    audit = audit_of(home, Reader(core=20.0, tint=20.0))
    told = audit[REST]
    assert told.claims == ("depends", "shortcut") and told.level == "STRONG"
    assert "4 pixels larger, so that 44% of the picture stays" in told.text and "no region or property" in told.text
    assert "search" in told.todo


def test_the_place_of_all_cores_is_exchanged_and_nothing_else(home: Path) -> None:
    """With the place exchanged the answer is that of the donor's core and the recipient's ring, number by number."""
    audit = audit_of(home, Reader(core=20.0, tint=20.0))
    core, ring = (
        audit_of(home, model).before["valid"].scores.margins[:, 0]
        for model in (Reader(core=20.0), Reader(core=0.0, tint=20.0))
    )
    for pixels in GROWN:
        trials = audit.trials[TrialKey("core", Edit("control", grow_px=pixels), "valid")]
        want = core[trials.donors] + ring[trials.recipients]
        np.testing.assert_allclose(trials.after.margins[:, 0], want, atol=1e-4)


def test_the_rim_of_a_core_drawn_too_small_is_no_shortcut(home: Path) -> None:
    rim = grown(where_core()[None], 2)[0] - where_core()
    told = audit_of(home, Reader(core=10.0, tint=40.0, seen=rim))[REST]
    assert told.title == "CANNOT SAY  everything outside the core: at the core's rim"
    assert "may be the core's rim" in told.text
    assert told.numbers["places"]["4"]["benefit"]["high"] < told.numbers["benefit"]["low"]


def test_where_a_shortcut_has_its_name_it_is_not_told_twice(home: Path) -> None:
    audit = audit_of(home, Reader(core=20.0, tint=20.0), "core={},around=not:core")
    assert "shortcut" in audit["around"].claims
    assert audit[REST].claims == ("depends",) and "4 pixels larger" in audit[REST].text


def test_what_acts_too_weakly_to_be_called_its_cause_is_named(tmp_path: Path) -> None:
    write_masks(tmp_path / "core", write_images(tmp_path / "data", counts={"valid": 16}))
    audit = audit_of(tmp_path, Reader(core=20.0, tint=20.0), "core={},around=not:core", recipients=32)
    around, rest = audit["around"], audit[REST]
    assert around.level == "WEAK" and "shortcut" not in around.claims and "shortcut" in rest.claims
    assert "of what was tried around is shown to act there, but not all that was checked of it holds" in rest.text


def test_a_network_that_reads_the_core_alone_is_asked_nothing_more(home: Path) -> None:
    audit = audit_of(home, Reader(core=40.0))
    assert audit[REST].claims == () and "places" not in audit[REST].numbers
    assert not any(key.edit.kind == "control" and key.edit.grow_px for key in audit.trials)


def test_a_core_whose_place_leaves_too_little_is_not_judged_by_it(tmp_path: Path) -> None:
    large = torch.ones(SIDE, SIDE)
    large[:, -2:] = 0
    write_masks(tmp_path / "core", write_images(tmp_path / "data", counts={"valid": EACH}), large)
    right = torch.zeros(SIDE, SIDE)
    right[:, -2:] = 1
    told = audit_of(tmp_path, Reader(core=10.0, tint=40.0, seen=right))[REST]
    assert told.claims == ("depends",) and told.level == "WEAK" and "places" not in told.numbers


def sample_with(masks: Tensor) -> Sample:
    count = len(masks)
    return Sample(
        "valid", tuple(range(count)), np.arange(count) % 2, torch.zeros(count, 3, SIDE, SIDE), None, np.arange(count),
        {"core": masks},
    )  # fmt: skip


def test_the_place_holds_the_core_of_every_image_but_few(seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    masks = torch.zeros(200, SIDE, SIDE)
    for mask in masks:
        top, left = rng.integers(4, 20, 2)
        mask[top : top + 6, left : left + 6] = 1
    place = place_of(sample_with(masks), "core", 2)
    outside = grown(masks, 2) * (1 - place)
    assert ((grown(masks, 2).mean(dim=0) > RARE) == place.bool()).all()
    assert float((outside.amax(dim=(1, 2)) > 0).float().mean()) < 0.5 and float(outside.mean(dim=0).max()) <= RARE


def test_the_place_of_a_zone_is_the_zone_drawn_larger() -> None:
    assert torch.equal(place_of(sample_with(where_core()[None]), "core", 4), 1 - where_ring())

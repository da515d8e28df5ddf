"""The whole audit on networks whose answers are known by hand: sizes, claims, silence, memory, pairs and marks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.evidence.findings.case import depends
from seewhy.evidence.findings.effects import Effect
from seewhy.evidence.trials.sample import Sample
from tests.small_images import (
    Memory,
    Reader,
    TwoOfThree,
    classifier_of,
    full_redness,
    parts_of,
    pictures_of,
    where_core,
    where_corner,
    where_half,
    write_images,
    write_masks,
)

ALIGNED = 0.9
EACH = 60  # images of each class and split


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    data = write_images(folder / "data", counts={"train": EACH, "valid": EACH}, aligned=ALIGNED)
    write_masks(folder / "core", data)
    write_masks(folder / "corner", data, where_corner())
    return folder


def audit_of(
    home: Path, model: nn.Module, data: str = "data", regions: str = "around", **options: object
) -> seewhy.Audit:
    words = {
        "around": f"core={home / 'core'},around=not:core",
        "corner": f"core={home / 'core'},corner={home / 'corner'}",
        "all": f"core={home / 'core'},around=not:core,corner={home / 'corner'}",
    }
    asked = {
        "regions": words.get(regions, regions),
        "core": "core",
        "properties": "none",
        "recipients": 60,
        "progress": False,
        **options,
    }
    return seewhy.audit(classifier_of(model), home / data, **asked)


def effects_of(found: seewhy.Audit, factor: str) -> dict[str, Effect]:
    case = next(one for one in found.cases.singles if one.factor == factor)
    return {"valid": case.effect} | ({"train": case.on_train} if case.on_train is not None else {})


def contrast_in(sample: Sample, values: np.ndarray) -> float:
    """The mean over images of the first class less that of the second, near-duplicates counting once."""
    units = {(unit, label) for unit, label in zip(sample.clusters, sample.labels, strict=True)}
    means = {one: values[(sample.clusters == one[0]) & (sample.labels == one[1])].mean() for one in units}
    sides = [np.mean([value for one, value in means.items() if one[1] == label]) for label in (0, 1)]
    return float(sides[0] - sides[1])


# The size of an effect.


@pytest.mark.parametrize("share", [0.75, 0.9, 1.0])
def test_the_effect_is_what_the_donors_of_one_class_hold_more_of(tmp_path: Path, share: float) -> None:
    data = write_images(tmp_path / "data", counts={"train": 40, "valid": 40}, aligned=share, seed=3)
    write_masks(tmp_path / "core", data)
    tint = 12.0
    found = audit_of(tmp_path, Reader(tint=tint))
    for split, effect in effects_of(found, "around").items():
        sample = found.design.samples[split]
        assert set(sample.partners.ravel()) == set(range(80))  # every image gave its content
        redness = parts_of(sample.canvases(torch.arange(len(sample))))[1].double().numpy()
        assert effect.margin.value == pytest.approx(tint * contrast_in(sample, redness), abs=2e-4)
        assert effect.margin.value == pytest.approx((2 * share - 1) * tint * full_redness(), rel=0.02)
        assert effect.probability.low > 0
    for split, effect in effects_of(found, "core").items():
        sample = found.design.samples[split]
        light = parts_of(sample.canvases(torch.arange(len(sample))))[0].double().numpy()
        assert effect.margin.value == pytest.approx(40 * contrast_in(sample, light), abs=2e-4)


def test_the_sign_is_that_of_the_network(home: Path) -> None:
    found = audit_of(home, Reader(tint=-12.0))
    effect = effects_of(found, "around")["valid"]
    assert effect.margin.high < 0 and effect.probability.high < 0
    assert "against the label" in found["around"].claims and "shortcut" not in found["around"].claims


def test_a_property_has_the_size_that_its_pixels_have(home: Path) -> None:
    found = audit_of(home, Reader(core=0.0, tint=12.0), properties="tint")
    # A tint moves the colours of the whole picture by the surround's share of it, so the surround by as much.
    assert effects_of(found, "tint")["valid"].margin.value == pytest.approx(
        0.75 * effects_of(found, "around")["valid"].margin.value, rel=0.02
    )


def test_without_alignment_the_effect_is_nothing(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"valid": EACH}, aligned=0.5)
    write_masks(tmp_path / "core", data)
    found = audit_of(tmp_path, Reader(tint=12.0), properties="tint")
    assert effects_of(found, "around")["valid"].margin.value == pytest.approx(0, abs=0.1)
    assert not any("depends" in found[name].claims for name in ("around", "tint"))


# Planted.


@pytest.fixture(scope="module")
def planted(home: Path) -> seewhy.Audit:
    """A core and a surround that count alike."""
    return audit_of(home, Reader(core=20.0, tint=20.0), regions="all", properties="tint")


def test_a_planted_shortcut_is_found_and_the_core_is_intended(planted: seewhy.Audit) -> None:
    found = planted
    assert {"depends", "shortcut"} <= {*found["around"].claims}
    assert "intended" in found["core"].claims and "shortcut" not in found["core"].claims
    assert found["tint"] is found["around"] and "tint" in (found["around"].factor, *found["around"].members)
    assert "overfit" not in found["around"].claims
    assert found["everything outside the core"].claims == ("depends",)
    assert found["around"].examples and found["around"].counter_examples
    assert [one["quantile"] for one in found["around"].examples] == [0.99, 0.95, 0.75]


def test_without_a_core_nothing_is_called_a_shortcut(home: Path) -> None:
    found = audit_of(home, Reader(core=20.0, tint=20.0), core="", properties="tint")
    assert "depends" in found["around"].claims
    assert not {"shortcut", "intended"} & {claim for one in found.findings for claim in one.claims}
    assert "--core" in found["around"].text
    with pytest.raises(seewhy.SeewhyError, match="no finding about"):
        found["everything outside the core"]


def test_a_shortcut_of_both_splits_is_no_overfit(planted: seewhy.Audit) -> None:
    corner = next(one for one in planted.cases.singles if one.factor == "corner")
    assert depends(corner) and not corner.is_overfit
    assert not any("overfit" in one.claims for one in planted.findings)


def test_a_network_that_reads_the_whole_surround_has_the_shortcut_too(home: Path) -> None:
    found = audit_of(home, Reader(core=20.0, tint=20.0, seen=1 - where_core()))
    assert "shortcut" in found["around"].claims


# Silence.


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.5, 0.95], ids=["clean", "decoy"])
def test_what_the_network_does_not_read_is_not_found(tmp_path: Path, seed: int, share: float) -> None:
    data = write_images(tmp_path / "data", counts={"valid": 40}, aligned=share, seed=seed)
    write_masks(tmp_path / "core", data)
    found = audit_of(
        tmp_path, Reader(), regions=f"core={tmp_path / 'core'},around=not:core,corners", properties="tint", seed=seed
    )
    assert found["core"].claims == ("depends", "intended")
    others = [one for one in found.findings if one.factor != "core"]
    assert {one.factor for one in others} == {
        "around", "tint", "top-left", "top-right", "bottom-left", "bottom-right", "everything outside the core"
    }  # fmt: skip
    assert {(one.level, one.claims) for one in others} == {("NONE LARGER THAN", ())}


# Train beside valid.


def test_what_is_only_remembered_is_overfit_and_no_shortcut(home: Path) -> None:
    pictures, labels = pictures_of(home / "data")
    found = audit_of(home, Memory(pictures, labels, where_corner()), regions="all")
    corner = next(one for one in found.cases.singles if one.factor == "corner")
    assert corner.effect.margin.value == pytest.approx(0, abs=1e-6)
    assert corner.on_train is not None and corner.on_train.margin.value == pytest.approx(2 * 6, rel=0.05)
    assert found["corner"].claims == ("overfit",)
    assert {one.factor for one in found.findings if "overfit" in one.claims} <= {
        "corner",
        "around",
    }  # it holds the corner
    assert not any("shortcut" in one.claims for one in found.findings)
    assert "OVERFIT" in found["corner"].text


def test_a_remembered_core_is_no_overfit_of_the_surround(home: Path) -> None:
    pictures, labels = pictures_of(home / "data")
    found = audit_of(home, Memory(pictures, labels, where_core()), regions="corner")
    assert found["corner"].claims == ()
    assert "intended" in found["core"].claims


# Causes that stand in for each other.


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Images whose halves and core always agree."""
    folder = tmp_path_factory.mktemp("alike")
    data = write_images(folder / "data", counts={"valid": EACH}, aligned=1.0)
    for name, where in (("left", where_half(False)), ("right", where_half(True)), ("core", where_core())):
        write_masks(folder / name, data, where)
    return folder, ",".join(f"{name}={folder / name}" for name in ("left", "right", "core"))


def test_redundant_causes_are_found_as_a_pair(alike: tuple[Path, str]) -> None:
    found = audit_of(alike[0], TwoOfThree(), regions=alike[1])
    for name in ("left", "right"):
        assert found[name].level == "NONE LARGER THAN" and found[name].claims == ()
    pairs = {frozenset(one.factor.split(" + ")): one for one in found.findings if "jointly" in one.claims}
    pair = pairs[frozenset({"left", "right"})]
    assert pair.level == "STRONG" and pair.numbers["margin"]["value"] == pytest.approx(16, abs=0.1)


def test_single_causes_are_not_told_again_as_pairs(alike: tuple[Path, str]) -> None:
    found = audit_of(alike[0], Reader(core=0.0, tint=20.0), regions=alike[1])
    assert "depends" in found["left"].claims
    assert not any({"left", "right"} & {*one.factor.split(" + ")} for one in found.findings if "jointly" in one.claims)


def test_what_adds_up_is_no_redundance(home: Path) -> None:
    found = audit_of(home, Reader(core=20.0, tint=20.0), regions=f"core={home / 'core'},corners", recipients=120)
    assert not any("jointly" in one.claims for one in found.findings)


def test_maps_that_are_all_empty_are_no_trouble(home: Path) -> None:
    assert audit_of(home, Reader(core=0.0, tint=0.0), recipients=30).findings


def test_redundant_causes_are_found_among_all_properties(alike: tuple[Path, str]) -> None:
    found = audit_of(alike[0], TwoOfThree(), regions=f"{alike[1]},corners", properties="all", recipients=40)
    assert any({*one.factor.split(" + ")} == {"left", "right"} for one in found.findings if "jointly" in one.claims)


class Picky(Reader):
    """Fails on images whose first pixel is nearly black, alone or in a batch."""

    def forward(self, x: Tensor) -> Tensor:
        if bool((x[:, :, 0, 0].amax(1) < 0.02).any()):
            raise ValueError("black")
        return super().forward(x)


def test_images_on_which_the_network_fails_are_left_out_and_counted(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"valid": 40})
    for path in sorted((data / "valid" / "cat").glob("*.png"))[:3]:
        pixels = np.asarray(PIL.Image.open(path)).copy()
        pixels[0, 0] = 0
        PIL.Image.fromarray(pixels).save(path)
    write_masks(tmp_path / "core", data)
    found = audit_of(tmp_path, Picky(core=2.0, tint=12.0), properties="none", recipients=80)
    (told,) = [finding for finding in found.findings if "make the network fail" in finding.text]
    assert told.text.startswith("3 of 80 images of valid")
    for path in sorted((data / "valid" / "cat").glob("*.png"))[:3]:
        path.unlink()
    without = audit_of(tmp_path, Reader(core=2.0, tint=12.0), properties="none", recipients=80)
    effect, wanted = (effects_of(made, "around")["valid"].margin.value for made in (found, without))
    assert effect == pytest.approx(wanted, rel=0.05)

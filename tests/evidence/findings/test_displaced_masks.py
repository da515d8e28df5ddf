"""Masks that lie a little beside their objects: what leaks out of a core is no shortcut, and hides none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import torch
from torch import Tensor

import seewhy
from seewhy.evidence.results.result import Audit
from tests.evidence.findings.test_whole_object import Sees
from tests.small_images import CLASSES, SIDE, Reader, classifier_of, where_core

EACH, RADIUS, OFF = 60, 5, 1


def blue_of_the_red(x: Tensor) -> Tensor:
    """How blue what is red is, wherever it lies."""
    share = torch.sigmoid(60 * (x[:, 0] - x[:, 1] - 0.25)) + 1e-6
    return 40 * ((share * x[:, 2]).sum(dim=(1, 2)) / share.sum(dim=(1, 2)) - 0.3)


def tint_of_the_rest(x: Tensor) -> Tensor:
    """How bright is what is not red."""
    share = torch.sigmoid(60 * (0.25 - x[:, 0] + x[:, 1]))
    return 60 * ((share * x.mean(dim=1)).sum(dim=(1, 2)) / share.sum(dim=(1, 2)) - 0.4)


def discs(home: Path, background: float = 0.0) -> Path:
    """Red discs anywhere, bluer in the first class, on a ground that is brighter there by `background`, and masks."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    for label, name in enumerate(CLASSES):
        rng = np.random.default_rng(label)
        for number in range(EACH):
            middle, sign = rng.integers(RADIUS + 3, SIDE - RADIUS - 3, 2), 1 - 2 * label
            pixels = 0.4 + 0.03 * rng.standard_normal((SIDE, SIDE, 3)) + background * sign * (rng.random() < 0.9)
            inside = (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 <= RADIUS**2
            pixels[inside] = np.array([0.8, 0.2, 0.3 + 0.1 * sign]) + 0.03 * rng.standard_normal((inside.sum(), 3))
            beside = np.roll(inside, rng.choice([-OFF, OFF], 2).tolist(), axis=(0, 1))
            for folder, content in (("data", pixels.clip(0, 1)), ("core", beside)):
                path = home / folder / "valid" / name / f"{number:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                PIL.Image.fromarray((content * 255).round().astype(np.uint8)).save(path)
    return home


def audit_of(home: Path, network: Sees, properties: str = "none") -> Audit:
    return seewhy.audit(
        classifier_of(network), home / "data", regions=[f"object={home / 'core'}", "background=not:object"],
        core="object", properties=properties, progress=False,
    )  # fmt: skip


def test_pixels_of_the_object_that_its_mask_misses_make_no_shortcut(tmp_path: Path) -> None:
    audit = audit_of(discs(tmp_path), Sees(blue_of_the_red))
    assert audit["background"].numbers["probability"]["value"] > 0.05, "or nothing has leaked"
    assert not [finding.title for finding in audit.findings if "shortcut" in finding.claims]
    left = [effect["value"] for effect in audit["background"].numbers["rim"].values()]
    assert left and max(map(abs, left)) < 1e-3


def test_a_background_that_is_used_is_a_shortcut_all_the_same(tmp_path: Path) -> None:
    audit = audit_of(discs(tmp_path, background=0.05), Sees(tint_of_the_rest))
    assert "shortcut" in audit["background"].claims


def test_a_property_that_is_told_at_the_rim_alone_is_no_shortcut(tmp_path: Path) -> None:
    """The background's brightness goes with the label, and the network reads the discs alone."""
    audit = audit_of(discs(tmp_path, background=0.05), Sees(blue_of_the_red), properties="brightness")
    assert not [finding.title for finding in audit.findings if "shortcut" in finding.claims]


def test_a_zone_around_a_core_that_lies_aside_is_at_its_rim(tmp_path: Path) -> None:
    """What sticks out of a core turns no decision, so that the omnibus test shows it in the margin alone."""
    core = where_core().numpy()
    for label, name in enumerate(CLASSES):
        rng = np.random.default_rng(label)
        for number in range(EACH):
            change = 0.15 * (1 - 2 * label) * rng.uniform(0.5, 1.5)
            pixels = 0.5 + 0.05 * rng.standard_normal((SIDE, SIDE, 3)) + change * core[..., None]
            for folder, content in (("data", pixels.clip(0, 1)), ("core", np.roll(core, -SIDE // 8, axis=1))):
                path = tmp_path / folder / "valid" / name / f"{number:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                PIL.Image.fromarray((content * 255).round().astype(np.uint8)).save(path)
    audit = seewhy.audit(
        classifier_of(Reader(core=16.0)), tmp_path / "data", regions=[f"object={tmp_path / 'core'}", "zones"],
        core="object", properties="none", progress=False,
    )  # fmt: skip
    assert audit["centre"].numbers["probability"]["value"] > 0.05, "or nothing has leaked"
    assert audit["centre"].claims == ("at the core's rim",)
    assert not [finding.title for finding in audit.findings if "shortcut" in finding.claims]

"""A network that reads the object's brightness, on pictures whose exposure goes with the class, or does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import seewhy
from seewhy.evidence.findings.case import acts_outside, depends
from tests.small_images import CORE, CUE, SIDE, Reader, classifier_of, pictures_of, write_masks

EXPOSURE, WEIGHT = 0.08, 12.0


def write_exposed(folder: Path, aligned: float, n: int = 60) -> Path:
    """Grey noise with a core that is brighter in the first class; `aligned` of each class are exposed alike."""
    for place, split in enumerate(("train", "valid")):
        for label, name in enumerate(("cat", "dog")):
            rng = np.random.default_rng((place, label))
            home = folder / split / name
            home.mkdir(parents=True)
            for number in range(n):
                sign = 1 - 2 * label
                pixels = 0.5 + 0.03 * rng.standard_normal((SIDE, SIDE, 3))
                pixels[CORE, CORE] += CUE * sign * rng.uniform(0.2, 1.8) / 2
                pixels *= 1 + EXPOSURE * sign * (1 if number < round(aligned * n) else -1)
                levels = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
                PIL.Image.fromarray(levels).save(home / f"{number:04d}.png")
    return folder


def audit_of(home: Path, aligned: float) -> seewhy.Audit:
    images = write_exposed(home / "images", aligned)
    masks = write_masks(home / "masks", images)
    return seewhy.audit(
        classifier_of(Reader(core=WEIGHT)), images, regions=[f"object={masks}"], core="object", properties="brightness",
        progress=False,
    )  # fmt: skip


def test_what_the_exposure_does_is_told_from_what_the_object_has_of_its_own(tmp_path: Path) -> None:
    audit = audit_of(tmp_path, 0.9)
    finding = next(finding for finding in audit.findings if finding.factor == "brightness")
    assert "shortcut" in finding.claims
    assert "where all of a picture is changed by as much as the classes differ around the core" in finding.text
    canvases, labels = pictures_of(tmp_path / "images", "valid")
    outside = canvases.mean(dim=1).clone()
    outside[:, CORE, CORE] = np.nan
    bright, dark = (float(np.nanmean(outside[labels == label].numpy())) for label in (0, 1))
    luminance = canvases[:, :, CORE, CORE].mean(dim=(1, 2, 3)).numpy()

    def probability(values: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-WEIGHT * (values - 0.5)))

    own = np.where(labels == 0, bright, dark)
    moved = [probability(luminance * wanted / own) for wanted in (bright, dark)]
    assert finding.numbers["outside"]["value"] == pytest.approx(float((moved[0] - moved[1]).mean()), abs=0.01)
    assert finding.numbers["outside"]["value"] < finding.numbers["probability"]["value"]


def test_what_the_object_has_of_its_own_is_no_shortcut(tmp_path: Path) -> None:
    audit = audit_of(tmp_path, 0.5)
    brightness = next(case for case in audit.cases.singles if case.factor == "brightness")
    assert depends(brightness) and not acts_outside(brightness) and not brightness.is_everywhere
    assert not any("shortcut" in finding.claims for finding in audit.findings)

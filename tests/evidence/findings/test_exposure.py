"""A network that reads the object's brightness, on pictures whose exposure goes with the class, or does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.evidence.findings.case import acts_outside, depends
from tests.small_images import CORE, CUE, SIDE, Reader, as_it_is, classifier_of, luminance_of, pictures_of, write_masks

EXPOSURE, WEIGHT = 0.08, 12.0


class Whole(nn.Module):
    """Two logits, whose difference is `weight` times the luminance of all of the picture."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.look, self.weight = as_it_is(), weight

    def forward(self, x: Tensor) -> Tensor:
        logit = self.weight / 2 * (luminance_of(self.look(x)).mean(dim=(1, 2)) - 0.5)
        return torch.stack([logit, -logit], dim=1)


Pixels = Callable[[np.random.Generator, int, bool], np.ndarray]  # of a label, and whether it is exposed as most of them


def exposed(rng: np.random.Generator, sign: int, is_usual: bool) -> np.ndarray:
    """Grey noise with a core that is brighter in the first class, all of it exposed."""
    pixels = 0.5 + 0.03 * rng.standard_normal((SIDE, SIDE, 3))
    pixels[CORE, CORE] += CUE * sign * rng.uniform(0.2, 1.8) / 2
    return pixels * (1 + EXPOSURE * sign * (1 if is_usual else -1))


def bears(rng: np.random.Generator, sign: int, is_usual: bool) -> np.ndarray:
    """White bears on snow, brown ones in the forest: ground and bear are bright each by itself."""
    pixels = 0.5 * (1 + 0.1 * sign + 0.06 * rng.standard_normal()) + 0.03 * rng.standard_normal((SIDE, SIDE, 3))
    pixels[CORE, CORE] = 0.5 + 0.1 * sign * rng.uniform(0.2, 1.8) + 0.03 * rng.standard_normal((16, 16, 3))
    return pixels


def filling(rng: np.random.Generator, sign: int, is_usual: bool) -> np.ndarray:
    """An object that reaches far beyond what is named as its place."""
    pixels = 0.5 + 0.03 * rng.standard_normal((SIDE, SIDE, 3))
    pixels[1:-1, 1:-1] += CUE * sign * rng.uniform(0.2, 1.8)
    return pixels


def audit_of(
    home: Path,
    draw: Pixels,
    model: nn.Module,
    aligned: float = 0.9,
    n: int = 60,
    properties: str = "brightness",
    where: Tensor | None = None,
) -> seewhy.Audit:
    images = home / "images"
    for place, split in enumerate(("train", "valid")):
        for label, name in enumerate(("cat", "dog")):
            rng = np.random.default_rng((place, label))
            folder = images / split / name
            folder.mkdir(parents=True)
            for number in range(n):
                pixels = draw(rng, 1 - 2 * label, number < round(aligned * n))
                levels = (pixels.clip(0, 1) * 255).round().astype(np.uint8)
                PIL.Image.fromarray(levels).save(folder / f"{number:04d}.png")
    masks = write_masks(home / "masks", images, where)
    classifier = classifier_of(model, size=SIDE if where is None else len(where))
    return seewhy.audit(
        classifier, images, regions=[f"object={masks}"], core="object", properties=properties, progress=False
    )


def brightness_in(audit: seewhy.Audit) -> seewhy.Finding:
    return next(finding for finding in audit.findings if finding.factor == "brightness")


def test_an_exposure_that_is_read_everywhere_is_a_shortcut(tmp_path: Path) -> None:
    finding = brightness_in(audit_of(tmp_path, exposed, Whole(12.0)))
    assert "shortcut" in finding.claims and finding.level == "STRONG"
    assert "where all of a picture is changed by as much as the classes differ around the core" in finding.text


def test_what_the_exposure_does_through_the_object_has_its_size_and_is_left_open(tmp_path: Path) -> None:
    """A network that reads the object alone: was the picture exposed so, or is the object like its surroundings?"""
    finding = brightness_in(audit_of(tmp_path, exposed, Reader(core=WEIGHT)))
    assert finding.level == "WEAK" and "shortcut" not in finding.claims
    assert any("these data cannot tell" in line for line in finding.evidence)
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


@pytest.mark.parametrize("draw", [bears, filling])
def test_an_object_like_its_surroundings_is_no_shortcut(tmp_path: Path, draw: Pixels) -> None:
    audit = audit_of(tmp_path, draw, Reader(core=WEIGHT))
    assert not any("shortcut" in finding.claims for finding in audit.findings)


def test_what_the_object_has_of_its_own_is_no_shortcut(tmp_path: Path) -> None:
    audit = audit_of(tmp_path, exposed, Reader(core=WEIGHT), aligned=0.5)
    brightness = next(case for case in audit.cases.singles if case.factor == "brightness")
    assert depends(brightness) and not acts_outside(brightness) and not brightness.is_everywhere
    assert not any("shortcut" in finding.claims for finding in audit.findings)

"""A network that reads the object's fine detail, on pictures whose files were compressed as the class goes, or not."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

from seewhy.evidence.findings.case import acts_outside, acts_through_the_core, depends
from seewhy.evidence.findings.sentences import _outside_words
from seewhy.evidence.results.result import Audit
from tests.evidence.findings.test_exposure import Pixels, audit_of
from tests.small_images import as_it_is, luminance_of

SIDE, OBJECT = 64, slice(24, 40)  # on the grid of 8 x 8 pixels


class Detail(nn.Module):
    """Two logits from how far each pixel of the object is from its four neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.look = as_it_is()

    def forward(self, x: Tensor) -> Tensor:
        grey = luminance_of(self.look(x))[:, None]
        kernel = grey.new_tensor([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])[None, None] / 4
        detail = nn.functional.conv2d(grey, kernel, padding=1)[:, 0, OBJECT, OBJECT].abs().mean(dim=(1, 2))
        logit = 150 * (detail - 0.043)
        return torch.stack([logit, -logit], dim=1)


def scene(rng: np.random.Generator, grain: float) -> np.ndarray:
    pixels = rng.uniform(0.35, 0.65, (8, 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
    pixels += 0.05 * rng.standard_normal((SIDE, SIDE, 1))
    pixels[OBJECT, OBJECT] += grain * rng.standard_normal((16, 16, 1))
    return (pixels.clip(0, 1) * 255).round().astype(np.uint8)


def saved(rng: np.random.Generator, sign: int, is_usual: bool) -> np.ndarray:
    """The same scenes in both classes; files of the second are mostly small ones."""
    pixels = scene(rng, 0.02)
    if (sign < 0) is is_usual:
        file = io.BytesIO()
        PIL.Image.fromarray(pixels).save(file, "jpeg", quality=40)
        pixels = np.asarray(PIL.Image.open(file))
    return pixels / 255


def grained(rng: np.random.Generator, sign: int, is_usual: bool) -> np.ndarray:
    """Objects of the first class have more grain by nature; no file is compressed."""
    return scene(rng, 0.03 + 0.02 * sign) / 255


def audit(home: Path, draw: Pixels, where: Tensor, aligned: float = 0.9) -> Audit:
    return audit_of(home, draw, Detail(), properties="jpeg", where=where, aligned=aligned)


def square(side: slice) -> Tensor:
    where = torch.zeros(SIDE, SIDE)
    where[side, side] = 1
    return where


def soft() -> Tensor:
    """A mask that fades over several pixels, and is nowhere quite 0."""
    away = (torch.arange(SIDE) - 31.5).abs()
    return torch.sigmoid((8 - torch.maximum(away[:, None], away)) / 1.5).clamp(min=0.04)


def pasted(rng: np.random.Generator, sign: int, is_usual: bool) -> np.ndarray:
    """Objects from other files, laid over backgrounds that were compressed as the class goes."""
    pixels = saved(rng, sign, is_usual)
    pixels[OBJECT, OBJECT] = 0.5 + (0.05 + 0.02 * sign) * rng.standard_normal((16, 16, 1))
    return pixels


@pytest.mark.parametrize(
    ("where", "aligned"), [(square(OBJECT), 0.9), (square(OBJECT), 1.0), (soft(), 0.9)], ids=["plain", "all", "soft"]
)
def test_how_a_file_was_saved_is_a_shortcut_though_the_object_alone_is_read(
    tmp_path: Path, where: Tensor, aligned: float
) -> None:
    findings = audit(tmp_path, saved, where=where, aligned=aligned).findings
    finding = next(each for each in findings if each.factor == "jpeg")
    assert "shortcut" in finding.claims and finding.level in ("MODERATE", "STRONG")
    assert "where all of a picture is changed by as much as the classes differ around the core" in finding.text
    assert not any("by nature, these data cannot tell" in line for line in finding.evidence)


@pytest.mark.parametrize(
    ("draw", "core"),
    [(grained, OBJECT), (pasted, OBJECT), (pasted, slice(25, 39))],  # the last holds no whole block
    ids=["grained", "pasted", "pasted, small core"],
)
def test_what_the_object_has_of_its_own_is_no_compression(tmp_path: Path, draw: Pixels, core: slice) -> None:
    assert not any("shortcut" in finding.claims for finding in audit(tmp_path, draw, square(core)).findings)


def test_where_no_block_is_left_outside_nothing_is_told_of_what_compression_does_there(tmp_path: Path) -> None:
    where = torch.zeros(SIDE, SIDE)
    where[4:60, 4:60] = 1
    told = audit(tmp_path, saved, where)
    case = next(case for case in told.cases.singles if case.factor == "jpeg")
    assert depends(case) and not acts_outside(case) and not acts_through_the_core(case)
    assert _outside_words(case, ()) == "What lies outside of the core is too little to ask what it does there"
    assert not any("shortcut" in finding.claims for finding in told.findings)
    assert not re.search(r"\b(nan|inf)\b", " ".join(finding.text for finding in told.findings))

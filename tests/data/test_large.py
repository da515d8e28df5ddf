"""Pictures of any size up to our limit are read without a word; beyond it the reason names the limit."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor

import seewhy
from seewhy.data.pictures import decode
from seewhy.data.pictures.decode import UnreadableError, read_photograph, read_size, reduced
from tests.models import FourConv

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


@pytest.fixture
def between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of pictures, with masks, of 480,000 pixels each, where Pillow warns above 300,000."""
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 300_000)
    monkeypatch.setattr("seewhy.data.reader.PICTURE_SIDE", 200)  # pictures that we made stay far below, as they do
    for split in ("train", "valid"):
        for name in "ab":
            for home in (tmp_path / "data" / split / name, tmp_path / "masks" / split / name):
                home.mkdir(parents=True)
            for number in range(2):
                picture = np.roll(PIXELS, number + (name == "b") * 7, axis=0).repeat(20, axis=0).repeat(20, axis=1)
                PIL.Image.fromarray(picture).save(tmp_path / "data" / split / name / f"{number}.png")
                PIL.Image.fromarray(picture[..., 0]).save(tmp_path / "masks" / split / name / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
def test_every_command_reads_what_pillow_would_warn_of(between: Path, fit: str) -> None:
    classifier = seewhy.load(FourConv(16), size=16, fit=fit)
    explanation = seewhy.explain(classifier, between / "data", out=between / "run", progress=False)
    assert all(outcome.error is None for outcome in explanation.outcomes)
    seewhy.write_report(explanation)
    assert seewhy.check(classifier, between / "data", progress=False).facts["without_result"] == 0
    audit = seewhy.audit(classifier, between / "data", regions=[f"core={between / 'masks'}"], budget=64, progress=False)
    assert "core" in {finding.factor for finding in audit.findings}
    function = seewhy.load(FourConv(40), preprocess=as_square)
    assert seewhy.explain(function, between / "data", progress=False).outcomes[0].error is None


def as_square(image: PIL.Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image.resize((40, 40)))).permute(2, 0, 1) / 255


@pytest.mark.parametrize("read", [read_photograph, read_size], ids=["photograph", "size"])
def test_beyond_our_limit_or_pillows_the_reason_reads_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Any
) -> None:
    PIL.Image.fromarray(PIXELS).save(tmp_path / "a.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 599)
    with pytest.raises(UnreadableError, match=r"^1,200 pixels is more than the limit of 1,198$"):
        read(tmp_path / "a.png")


def test_pillows_limit_put_off_leaves_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PIL.Image.fromarray(PIXELS).save(tmp_path / "a.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(decode, "MOST_PIXELS", 1199)
    for read in (read_photograph, lambda path: reduced(path.read_bytes(), 8)):
        with pytest.raises(UnreadableError, match=r"^30 x 40 pixels is more than the limit of 1,199$"):
            read(tmp_path / "a.png")


def test_threads_that_read_leave_the_filters_of_warnings_as_they_were(between: Path) -> None:
    paths = sorted((between / "data").rglob("*.png")) * 10
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        photographs = list(pool.map(read_photograph, paths))
    assert len({photograph.digest for photograph in photographs}) == 4
    assert list(warnings.filters) == before

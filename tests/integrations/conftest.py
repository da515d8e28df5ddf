"""A finished run of each command, and the data of a training with a known shortcut."""

from __future__ import annotations

from pathlib import Path

import pytest

import seewhy
from tests.learn.test_watch import Corner, bright_corners

CLASSES = ["blue", "red"]


@pytest.fixture(scope="session")
def corners(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose top left corner is bright in red ones."""
    return bright_corners(tmp_path_factory.mktemp("integrations") / "corners", {"train": 12, "valid": 10})


@pytest.fixture(scope="session")
def explained(corners: Path) -> Path:
    """A run of explain, with one image that cannot be read."""
    (corners / "valid" / "red" / "=broken.png").write_bytes(b"no picture")
    folder = corners.parent / "explained"
    classifier = seewhy.load(Corner(), classes=CLASSES, size=(32, 32))
    seewhy.explain(classifier, corners / "valid", target="red", layers=["conv"]).save(folder)
    (corners / "valid" / "red" / "=broken.png").unlink()
    return folder


@pytest.fixture(scope="session")
def audited(corners: Path, explained: Path) -> Path:
    """A run of audit of two corners."""
    folder = corners.parent / "audited"
    classifier = seewhy.load(Corner(), classes=CLASSES, size=(32, 32))
    seewhy.audit(classifier, corners, regions="top-left,bottom-right", properties="none", progress=False).save(folder)
    return folder

"""Fixtures, and the shim that lets torchvision's wheel load beside a CPU build of torch."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")

SHARED = Path(__file__).parents[1].parent / "shared" / "data"

if torch.version.cuda is None and importlib.util.find_spec("torchvision") is not None:
    # Its own build of these operators matches another torch; declared, its classification models load without them.
    _operators = torch.library.Library("torchvision", "DEF")
    for _name in ("nms", "qnms"):
        _operators.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real checkpoints and photographs."""
    if not SHARED.is_dir():
        pytest.skip("the shared data (real checkpoints and photographs) is not beside the repository")
    return SHARED


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)

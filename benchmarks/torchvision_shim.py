"""Lets torchvision's wheel load beside a CPU build of torch, as tests/conftest.py does; import it first."""

from __future__ import annotations

import importlib.util

import torch

if torch.version.cuda is None and importlib.util.find_spec("torchvision") is not None:
    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

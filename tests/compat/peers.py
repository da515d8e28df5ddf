"""One call for both packages, and the gate that decides whether they agree."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor, nn

from seewhy.compat import pytorch_grad_cam as ours

theirs = pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed (requirements-parity.txt)")

Maps = NDArray[np.float32]
Target = ours.model_targets.ClassifierOutputTarget


def maps_of(
    package: Any,
    name: str,
    model: nn.Module,
    x: Tensor,
    layers: Sequence[str],
    targets: Any,
    made: dict[str, Any] | None = None,
    **options: Any,
) -> Maps:
    """The maps of a class called `name`; the other package gets a copy of the network, which it changes."""
    own = model if package is ours else copy.deepcopy(model)
    cam = getattr(package, name)(own, [own.get_submodule(layer) for layer in layers], **(made or {}))
    return cam(input_tensor=x, targets=targets, **options)


def check_equal(
    name: str,
    model: nn.Module,
    x: Tensor,
    layers: Sequence[str],
    targets: Any,
    made: dict[str, Any] | None = None,
    *,
    within: float = 1e-5,
    **options: Any,
) -> None:
    """Ours within 1e-5 of theirs (95th percentile) or `within`, and no further from float64 than 3 times theirs."""
    want = maps_of(theirs, name, model, x, layers, targets, made, **options)
    have = maps_of(ours, name, model, x, layers, targets, made, **options)
    truth = maps_of(ours, name, copy.deepcopy(model).double(), x.double(), layers, targets, made, **options)
    assert have.shape == want.shape and have.dtype == want.dtype == np.float32
    apart, mine, peers = (np.abs(a - b) for a, b in ((have, want), (have, truth), (want, truth)))
    assert np.percentile(apart, 95) <= within, (apart.max(), mine.max(), peers.max())
    assert np.percentile(mine, 95) <= max(3 * np.percentile(peers, 95), 1e-6)
    assert want.max() > 0.5

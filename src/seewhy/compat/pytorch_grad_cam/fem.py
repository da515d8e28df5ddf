"""FEM, by seewhy's own fem."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from seewhy.cam.methods import weighting
from seewhy.cam.methods.catalogue import Method
from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM


class FEM(BaseCAM):
    """Channels weighted by their share of places above `k` deviations; sees no class. Fuad et al. 2020."""

    method = "fem"

    def __init__(
        self, model: Any, target_layers: Any, reshape_transform: Any = None, k: float = 2, **options: Any
    ) -> None:
        super().__init__(model, target_layers, reshape_transform, **options)
        self.k = k

    def _method(self, eigen_smooth: bool = False) -> Method:
        return replace(super()._method(eigen_smooth), function=partial(weighting.fem, k=getattr(self, "k", 2)))

"""FinerCAM: any CAM of a class against the classes most like it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor

from seewhy.compat.arrays import Array
from seewhy.compat.outputs import ByOutputs, OneTarget, logits_in
from seewhy.compat.pytorch_grad_cam.grad_cam import GradCAM
from seewhy.compat.targets import FinerWeightedTarget, class_place

DEFAULT_COMPARISON_CATEGORIES = (1, 2, 3)


class FinerCAM:
    """The maps of `base_method` for a class minus those most like it. Zhang et al. 2025, arXiv:2501.11309."""

    def __init__(
        self,
        model: Any,
        target_layers: Any,
        reshape_transform: Any = None,
        base_method: Any = GradCAM,
        **options: Any,
    ) -> None:
        self.base_cam = base_method(model, target_layers, reshape_transform, **options)

    def __call__(
        self,
        input_tensor: Tensor,
        targets: Any = None,
        eigen_smooth: bool = False,
        alpha: float = 1,
        comparison_categories: Sequence[int] | None = None,
        target_idx: int | None = None,
        *,
        aug_smooth: bool = False,
    ) -> Array:
        """Maps (N, H, W), as those of `base_method`.

        Without `targets` the class is the predicted one, or `target_idx`, and its rivals are those in the places
        `comparison_categories` (1, 2, 3) of the classes ordered by how near their outputs are: fewer where there are
        not as many. `alpha` is how much the rivals count.
        """
        rivals = DEFAULT_COMPARISON_CATEGORIES if comparison_categories is None else tuple(comparison_categories)
        chosen = ByOutputs(partial(finer_targets, alpha=alpha, rivals=rivals, category=target_idx))
        maps: Array = self.base_cam(input_tensor, chosen if targets is None else targets, aug_smooth, eigen_smooth)
        return maps

    forward = __call__

    @property
    def outputs(self) -> Any:
        """What the network gave at the last call, detached."""
        return self.base_cam.outputs

    @property
    def activations_and_grads(self) -> Any:
        """What was recorded at the last call."""
        return self.base_cam.activations_and_grads

    def __enter__(self) -> FinerCAM:
        return self

    def __exit__(self, *error: object) -> None:
        self.base_cam.__exit__(*error)


def finer_targets(rows: Any, *, alpha: float, rivals: Sequence[int], category: int | None) -> list[OneTarget]:
    """For outputs (N, K) one target each: the class, or the predicted one, against those in the places `rivals`."""
    logits = logits_in(rows)
    n_classes = logits.shape[1]
    main = (
        logits.argmax(dim=1) if category is None else logits.new_full((len(logits),), class_place(category, n_classes))
    )
    apart = (logits - logits.gather(1, main.long()[:, None])).abs()
    apart = apart.scatter(1, main.long()[:, None], -1)  # the class itself is first, also among equals
    ordered = apart.argsort(dim=1, stable=True).tolist()
    return [
        FinerWeightedTarget(order[0], [order[place] for place in rivals if place < n_classes], alpha)
        for order in ordered
    ]

"""DeepFeatureFactorization, by seewhy's own factorisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seewhy.cam.methods.factorization import factorize
from seewhy.compat.arrays import Array, as_array, as_tensor, scaled
from seewhy.compat.factors import create_labels_legend, show_factorization_on_image
from seewhy.compat.pytorch_grad_cam.activations_and_gradients import Passing


def dff(activations: Any, n_components: int = 5) -> tuple[Array, Array]:
    """Concepts (C, K), and where each is in each image (N, K, H, W), of features (N, C, H, W), left as they are."""
    found = factorize(as_tensor(activations), n_components)
    return as_array(found.vectors.T), as_array(found.maps)


class DeepFeatureFactorization:
    """A layer's features as a few concepts that a batch shares, each with a map. Collins et al. 2018, arXiv:1806.10206.

    `computation_on_concepts` is run on the concepts (K, C), as the network's last layer.
    """

    def __init__(
        self,
        model: nn.Module,
        target_layer: nn.Module,
        reshape_transform: Any = None,
        computation_on_concepts: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.model = model
        self.computation_on_concepts = computation_on_concepts
        self.activations_and_grads = Passing(model, [target_layer], reshape_transform)

    def __call__(self, input_tensor: Tensor, n_components: int = 16) -> Any:
        """Concepts (C, K), for each image its maps (K, H, W) from 0 to just below 1, what is computed of concepts."""
        with self.activations_and_grads.passing(input_tensor, graph=False) as seen:
            found = factorize(self.activations_and_grads.activations[0], n_components)
        size = tuple(seen.inputs.shape[2:])
        maps = [as_array(scaled(image, size)) for image in found.maps]
        concepts = as_array(found.vectors.T)
        if self.computation_on_concepts is None:
            return concepts, maps
        with torch.no_grad():
            outputs = self.computation_on_concepts(found.vectors.to(seen.inputs.dtype))
        return concepts, maps, as_array(outputs)

    def __enter__(self) -> DeepFeatureFactorization:
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of what is kept. Errors go on."""
        self.activations_and_grads.release()


def run_dff_on_image(
    model: Any,
    target_layer: nn.Module,
    classifier: nn.Module,
    img_pil: Any,
    img_tensor: Tensor,
    reshape_transform: Any = None,
    n_components: int = 5,
    top_k: int = 2,
) -> NDArray[np.uint8]:
    """An image, beside it its concepts in colours, and their classes in words: (H, 3 W, 3) of 8 bits.

    `img_tensor` is (C, H, W); classes are called as `model.config.id2label` says.
    """
    factorization = DeepFeatureFactorization(model, target_layer, reshape_transform, classifier)
    _, maps, outputs = factorization(img_tensor[None], n_components)
    scores = torch.softmax(torch.from_numpy(outputs), dim=-1).numpy()
    words = create_labels_legend(scores, labels=model.config.id2label, top_k=top_k)
    picture = show_factorization_on_image(np.asarray(img_pil) / 255, maps[0], image_weight=0.3, concept_labels=words)
    return np.hstack([np.asarray(img_pil), picture])

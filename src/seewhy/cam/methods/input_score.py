"""A scene's network as a function from the input to the score alone, and its derivative by the input."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from seewhy.cam.methods.scene import Scene
from seewhy.errors import ModelError

_kernels = threading.RLock()  # which kernel computes attention is set for the whole process


class Scored(nn.Module):
    """A scene's network with the score as its only output: inputs (B, ...) -> (B, 1).

    The inputs are changes of all the scene's images in order, or of the one at `index` alone. The model is shared, not
    copied; nothing is set on it.
    """

    def __init__(self, scene: Scene, index: int | None = None) -> None:
        super().__init__()
        self.model = scene.model
        self.rescore = scene.rescore
        self.index = index

    def forward(self, inputs: Tensor) -> Tensor:
        """The score of each input, (B, 1)."""
        rows = None if self.index is None else torch.full((len(inputs),), self.index, device=inputs.device)
        output = self.model(inputs.clone())  # the network may change its input in place
        return self.rescore(output, rows)[:, None]


def leaf_of(inputs: Tensor) -> Tensor:
    """A copy of the inputs by which a derivative can be taken."""
    with torch.inference_mode(False):
        return inputs.detach().clone().requires_grad_()


@contextlib.contextmanager
def attention_in_steps() -> Iterator[None]:
    """Attention by matrix products and softmax: its faster kernels have a first derivative backward, and no other."""
    with _kernels, sdpa_kernel(SDPBackend.MATH):
        yield


def input_gradient(scene: Scene, leaf: Tensor, index: int | None = None) -> tuple[Tensor, Tensor]:
    """The score's derivative by the leaf (N, C, H, W), and the scores (N,): one pass forward and one back.

    The leaf is all the scene's images in order, or the one at `index` alone. Raises ModelError where the
    network detaches its own computation.
    """
    with torch.inference_mode(False), torch.enable_grad():
        values = Scored(scene, index)(leaf)[:, 0]
        gradient = torch.autograd.grad(values.sum(), leaf, allow_unused=True)[0] if values.requires_grad else None
    if gradient is None:
        raise ModelError(
            f"No gradient reaches the input of {type(scene.model).__name__}: the network detaches its own computation "
            "(torch.no_grad, torch.inference_mode, .detach() or .data in its forward).\n"
            "  Use a method on a layer behind that point:  --method grad-cam",
            slug="no-gradient",
        )
    return gradient, values.detach()


def where_it_arrives(output: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The tensor at which the gradient of what was written to `output` arrives, and `values` of the output laid on it.

    Of a part of a tensor (`x[:, :3].relu_()`) that is the whole, which is what the network may go on with.
    """
    whole = output._base
    if whole is None:
        return output, values
    laid = whole.new_empty_strided(whole.shape, whole.stride(), dtype=values.dtype).zero_()
    laid.as_strided(output.shape, output.stride(), output.storage_offset() - whole.storage_offset()).copy_(values)
    return whole, laid

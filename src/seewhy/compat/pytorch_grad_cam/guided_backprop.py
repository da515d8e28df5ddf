"""GuidedBackpropReLUModel, by seewhy's own guided-backprop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seewhy.cam.methods.guided import guided_gradient
from seewhy.cam.methods.scene import Scene
from seewhy.cam.model import as_input, untouched, unwrap
from seewhy.compat.arrays import Array, as_array
from seewhy.compat.notice import device_notice
from seewhy.compat.outputs import read_rows, rescored, targets_for, values_of
from seewhy.compat.targets import ClassifierOutputTarget


class GuidedBackpropReLUModel:
    """The gradient by the input in which every ReLU, module or function, passes back positive parts alone.

    Springenberg et al. 2015, arXiv:1412.6806. The network comes back as it was: nothing in it is replaced.
    """

    def __init__(self, model: nn.Module, device: Any = None, *, use_cuda: Any = None) -> None:
        if isinstance(device, bool):  # where use_cuda stood
            use_cuda, device = device, None
        self.model = model
        self.device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
        device_notice(use_cuda, device, self.device)

    def forward(self, input_img: Tensor) -> Any:
        """The network's output."""
        return self.model(input_img)

    def __call__(self, input_img: Tensor, target_category: Any = None) -> Array:
        """The gradient (H, W, C) of one image, (N, H, W, C) of several; of the predicted class where none is named.

        Raises OptionError for a class that there is not, or a network without a ReLU.
        """
        model, _ = unwrap(self.model)
        targets = None if target_category is None else ClassifierOutputTarget(target_category)
        with untouched(model), torch.inference_mode(False), torch.no_grad():
            inputs = as_input(model, input_img)
            rows = read_rows(model(inputs.clone()), len(inputs)).of
            chosen = targets_for(targets, rows)
            scene = Scene(model, inputs, values_of(rows, chosen), rescored(chosen, len(inputs)))
            gradient = as_array(guided_gradient(scene).permute(0, 2, 3, 1))
        return gradient[0] if len(gradient) == 1 else gradient


class GuidedBackpropReLU(torch.autograd.Function):
    """A ReLU through which positive parts alone are passed back, to where it was on: `GuidedBackpropReLU.apply(x)`."""

    @staticmethod
    def forward(ctx: Any, input_img: Tensor) -> Tensor:
        """The positive part."""
        output = input_img.clamp(min=0)
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        """The positive part of what comes back, where the ReLU was on."""
        (output,) = ctx.saved_tensors
        gradient: Tensor = grad_output.clamp(min=0) * (output > 0)
        return gradient


class GuidedBackpropReLUasModule(nn.Module):
    """`GuidedBackpropReLU` as a layer, for scripts that put it in the place of ReLUs."""

    def forward(self, input_img: Tensor) -> Tensor:
        """The positive part."""
        positive: Tensor = GuidedBackpropReLU.apply(input_img)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return positive

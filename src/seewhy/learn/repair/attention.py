"""A loss on where a network looks: how much of its maps, or of its input's gradient, lies in a factor's region."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy.cam.capture import LayerCall
from seewhy.cam.grid import AS_IT_IS
from seewhy.cam.methods.input_score import attention_in_steps
from seewhy.errors import ModelError
from seewhy.evidence.checks.map_findings import map_findings
from seewhy.evidence.checks.trust import examine
from seewhy.evidence.trials.sample import Sample
from seewhy.learn.train.fine_tune import cross_entropy, inputs_for, logits_in_training, logits_of_inputs

GRADED = 64  # images whose maps are graded
METHOD = "hirescam"
READABLE = ("A", "B")


@dataclass(frozen=True)
class AttentionLoss:
    """Cross-entropy plus `weight` times the share of HiResCAM's absolute mass within `masks`, those of all images.

    Ross et al. 2017 (arXiv:1703.03717) add to the cross-entropy the square of the input gradient within what should not
    matter, sum_d (A_d d/dx_d sum_k log p_k)^2. Here it is a share, |L| within over |L| in all, so that flat gradients
    do not lower it; and L is HiResCAM of the label's logit at `layer`, the map that a check grades. `masks` are
    (M, H, W) or (1, H, W) in [0, 1].
    """

    sample: Sample
    layer: LayerCall
    masks: Tensor
    weight: float

    def __call__(self, network: nn.Module, places: Tensor, generator: torch.Generator) -> Tensor:
        """The loss of the images at `places`."""
        targets = torch.from_numpy(self.sample.labels)[places]
        with attention_in_steps(), _recorded(network, self.layer) as activations:
            logits = logits_in_training(network, self.sample, self.sample.canvases(places))
        activation = activations[(self.layer.call or len(activations)) - 1]
        masks = self.masks if len(self.masks) == 1 else self.masks[places.to(self.masks.device)]
        share = share_within(self._maps(activation, logits, targets), masks)
        return cross_entropy(logits, targets) + self.weight * share.mean()

    def _maps(self, activation: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """HiResCAM of each label's logit (n, h, w), through which the loss has a gradient."""
        score = logits.gather(1, targets.to(logits.device)[:, None]).sum()
        (slope,) = torch.autograd.grad(score, activation, create_graph=True)
        view = (self.layer.grid or AS_IT_IS).view
        return (view(activation) * view(slope)).sum(dim=1)


@dataclass(frozen=True)
class GradientLoss:
    """Cross-entropy plus `weight` times the share of the input gradient's square within `masks`, those of all images.

    The gradient is that of sum_k log p_k by the input, as in Ross et al. 2017 (arXiv:1703.03717, eq. 1), who add its
    square within what should not matter. Here that is a share of its square in all, as in `AttentionLoss`. No layer is
    asked for, and no map is shown: what is lowered is how the answer itself moves with the pixels there.
    """

    sample: Sample
    masks: Tensor
    weight: float

    def __call__(self, network: nn.Module, places: Tensor, generator: torch.Generator) -> Tensor:
        """The loss of the images at `places`. Raises ModelError where no gradient reaches the input."""
        targets = torch.from_numpy(self.sample.labels)[places]
        inputs = inputs_for(network, self.sample, self.sample.canvases(places)).requires_grad_()
        with attention_in_steps():
            logits = logits_of_inputs(network, inputs.clone())  # which the network may overwrite
        (slope,) = torch.autograd.grad(logits.log_softmax(dim=1).sum(), inputs, create_graph=True, allow_unused=True)
        if slope is None:
            raise ModelError(
                f"No gradient reaches the input of {type(network).__name__}: it detaches its own computation.",
                slug="no-gradient",
            )
        masks = self.masks if len(self.masks) == 1 else self.masks[places.to(self.masks.device)]
        share = share_within(slope.square().sum(dim=1), masks)
        return cross_entropy(logits, targets) + self.weight * share.mean()


def share_within(maps: Tensor, masks: Tensor) -> Tensor:
    """The share (n,) of the absolute mass of maps (n, h, w) within masks (n, H, W) or (1, H, W); 0 of an empty map."""
    inside = functional.adaptive_avg_pool2d(masks[:, None].to(maps), (maps.shape[1], maps.shape[2]))[:, 0]
    size = maps.abs()
    total = size.sum(dim=(1, 2))
    return (size * inside).sum(dim=(1, 2)) / total.clamp(min=torch.finfo(total.dtype).tiny ** 0.5)


def refuse_unreadable(network: nn.Module, sample: Sample, layer: LayerCall) -> str:
    """The grade of a layer's HiResCAM on images of the sample: A or B.

    Raises ModelError where it is C: a map that is no picture of the network must not be learned from.
    """
    places = torch.from_numpy(sample.spread(GRADED))
    inputs = sample.inputs(sample.canvases(places))
    labels = [sample.images[place].label for place in places.tolist()]
    (trust,) = examine(network, inputs, [layer], METHOD, labels=labels)
    _, grade, reasons = map_findings(trust)
    if grade not in READABLE:
        why = "; ".join(reason.text for reason in reasons if reason.grade == grade)
        raise ModelError(
            f"HiResCAM at {layer.asked} is graded {grade} ({why}): a map that may not be read is not learned from."
        )
    return grade


@contextmanager
def _recorded(network: nn.Module, layer: LayerCall) -> Iterator[list[Tensor]]:
    """What a layer gives, call by call; the network goes on with a copy, which it may overwrite."""
    outputs: list[Tensor] = []

    def note(module: nn.Module, given: tuple[Any, ...], output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise ModelError(f"Layer {layer.asked} gives no tensor, so no loss can be made of its maps.")
        outputs.append(output if output.requires_grad else output.requires_grad_())
        return output.clone()

    hook = network.get_submodule(layer.name).register_forward_hook(note)
    try:
        yield outputs
    finally:
        hook.remove()

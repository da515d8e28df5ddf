"""Which of captum's attributions there are, each called with settings that suit one image.

What belongs to a window or a segment is shared evenly among its pixels, so that maps add up in units of the score. The
baseline, what a feature is compared with or replaced by, is 0 in the network's own input: the mean colour where the
preprocessing subtracts a mean, black where it does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seewhy.cam.methods.guided import ACTIVATIONS
from seewhy.cam.methods.input_score import Scored
from seewhy.errors import listed

BATCH = 16  # how many changed copies of one image run at once, at most
SEGMENTS = 8  # squares along each side, for methods that switch whole segments
STEPS, SAMPLES, BASELINES = 50, 32, 8
NOISE_FRAC = 0.1  # of the image's range
RULED = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus)  # by captum's DeepLift

HARMLESS = {  # to LRP's relevance, outside of modules: what moves values, or picks them
    *("relu", "max_pool2d", "max_pool2d_with_indices", "adaptive_max_pool2d", "dropout", "clone", "contiguous", "to"),
    *("flatten", "unflatten", "view", "reshape", "permute", "transpose", "squeeze", "unsqueeze", "getitem", "get"),
}

# captum.attr, the score as a module (B, ...) -> (B, 1), one image (1, C, H, W), the seed -> attributions (1, C, H, W).
Attribute = Callable[[Any, Scored, Tensor, int], Tensor]


@dataclass(frozen=True)
class CaptumMethod:
    """One of captum's attributions, with what a reader needs to choose it; `cost` is in passes over one image.

    `rewires` marks those that put hooks, rules or other weights into the network: they get a copy of it.
    `in_score_units` says that the map's cells add up in units of the score.
    """

    attribute: Attribute
    summary: str
    paper: str
    cost: str
    rewires: bool = False
    in_score_units: bool = True


def _zero(image: Tensor) -> Tensor:
    return torch.zeros_like(image)


def _sigma(image: Tensor) -> float:
    return NOISE_FRAC * float(image.detach().max() - image.detach().min())


def _segments(image: Tensor) -> Tensor:
    """The number of the square that each pixel lies in, (1, 1, H, W), counted from 0 without gaps."""
    rows, columns = (torch.arange(n, device=image.device) * min(SEGMENTS, n) // n for n in image.shape[-2:])
    return (rows[:, None] * (int(columns[-1]) + 1) + columns)[None, None]


def _integrated_gradients(attr: Any, score: Scored, image: Tensor, seed: int) -> Any:
    return attr.IntegratedGradients(score).attribute(image, _zero(image), n_steps=STEPS, internal_batch_size=BATCH)


def _saliency(attr: Any, score: Scored, image: Tensor, seed: int) -> Any:
    return attr.Saliency(score).attribute(image, abs=False)


def _smooth_grad(attr: Any, score: Scored, image: Tensor, seed: int) -> Any:
    return attr.NoiseTunnel(attr.Saliency(score)).attribute(
        image, nt_samples=SAMPLES, nt_samples_batch_size=BATCH, stdevs=_sigma(image), abs=False
    )


def _input_x_gradient(attr: Any, score: Scored, image: Tensor, seed: int) -> Any:
    return attr.InputXGradient(score).attribute(image)


def _deeplift(attr: Any, score: Scored, image: Tensor, seed: int) -> Any:
    _need_rules(score, image)
    return attr.DeepLift(score).attribute(image, _zero(image))


def _noisy_baselines(image: Tensor, seed: int) -> Tensor:
    noise = torch.randn(BASELINES, *image.shape[1:], generator=torch.Generator().manual_seed(seed))
    return _sigma(image) * noise.to(image)


def _deeplift_shap(attr: Any, score: Scored, image: Tensor, seed: int) -> Any:
    _need_rules(score, image)
    return attr.DeepLiftShap(score).attribute(image, _noisy_baselines(image, seed))


def _need_rules(score: Scored, image: Tensor) -> None:
    """Raise TypeError for activations that DeepLift has no rule for: it would take their plain gradient, unsaid."""
    ruled = [module for module in score.modules() if type(module) in RULED]
    if unruled := _outside(ruled, score, image) & ACTIVATIONS:
        raise TypeError(
            f"its rules are for the modules {listed(kind.__name__ for kind in RULED)}, and outside of these it would "
            f"meet: {listed(sorted(unruled))}."
        )


def _outside(modules: Sequence[nn.Module], network: nn.Module, image: Tensor) -> set[str]:
    """The names of the functions that give floats outside of these modules while the network runs."""
    seen = _Outside()
    handles = [module.register_forward_pre_hook(seen.enter) for module in modules]
    handles += [module.register_forward_hook(seen.leave) for module in modules]
    with seen, torch.no_grad():
        network(image.clone())
    for handle in handles:  # on a copy of the user's network: nothing is left behind where it fails
        handle.remove()
    return seen.names


class _Outside(TorchFunctionMode):
    """While it is entered, the names of functions that run between `leave` and `enter`."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.inside = False

    def enter(self, *_: Any) -> None:
        self.inside = True

    def leave(self, *_: Any) -> None:
        self.inside = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.inside and isinstance(result, Tensor) and result.is_floating_point():
            self.names.add(getattr(func, "__name__", "").strip("_"))
        return result


def _gradient_shap(attr: Any, score: Scored, image: Tensor, seed: int) -> Any:
    return attr.GradientShap(score).attribute(
        image, _noisy_baselines(image, seed), n_samples=SAMPLES, stdevs=_sigma(image)
    )


def _lrp(attr: Any, score: Scored, image: Tensor, seed: int) -> Any:
    leaves = [module for module in score.modules() if not list(module.children())]
    if unruled := _outside(leaves, score.model, image) - HARMLESS:
        raise TypeError(
            "its rules are for modules, and outside of these relevance would be lost or made up in: "
            f"{listed(sorted(unruled))} (a skip connection, or pooling that is no module)."
        )
    return attr.LRP(score).attribute(image)


def _occlusion(attr: Any, score: Scored, image: Tensor, seed: int) -> Any:
    window = (image.shape[1], *(-(-n // 9) for n in image.shape[2:]))
    attribution = attr.Occlusion(_flat(score)).attribute(
        image, window, strides=window, baselines=_zero(image), perturbations_per_eval=BATCH
    )
    return attribution / math.prod(window)


def _by_segment(kind: str, attr: Any, score: Scored, image: Tensor, seed: int, **settings: Any) -> Any:
    mask = _segments(image)
    attribution = getattr(attr, kind)(_flat(score)).attribute(
        image, _zero(image), feature_mask=mask, perturbations_per_eval=BATCH, **settings
    )
    return attribution / (image.shape[1] * mask.flatten().bincount()[mask])


def _flat(score: Scored) -> Callable[[Tensor], Tensor]:
    """The score as (B,), which is what methods that only run the network forward take."""
    return lambda inputs: score(inputs)[:, 0]


_PASSES = f"{SEGMENTS**3} forward"
CAPTUM: dict[str, CaptumMethod] = {
    "saliency": CaptumMethod(
        _saliency, "the gradient by the input", "arXiv:1312.6034", "forward + backward", in_score_units=False
    ),
    "smooth-grad": CaptumMethod(
        _smooth_grad,
        "the gradient, averaged over noisy copies",
        "arXiv:1706.03825",
        f"{SAMPLES} forward + backward",
        in_score_units=False,
    ),
    "input-x-gradient": CaptumMethod(
        _input_x_gradient, "the gradient times the input", "arXiv:1605.01713", "forward + backward"
    ),
    "integrated-gradients": CaptumMethod(
        _integrated_gradients,
        "the gradient along the way from nothing",
        "arXiv:1703.01365",
        f"{STEPS} forward + backward",
    ),
    "gradient-shap": CaptumMethod(
        _gradient_shap, "gradients on random ways from noise", "arXiv:1705.07874", f"{SAMPLES} forward + backward"
    ),
    "deeplift": CaptumMethod(
        _deeplift, "differences from nothing, handed back by rules", "arXiv:1704.02685", "2 forward + backward", True
    ),
    "deeplift-shap": CaptumMethod(
        _deeplift_shap, "DeepLift against noise", "arXiv:1705.07874", f"{2 * BASELINES} forward + backward", True
    ),
    "lrp": CaptumMethod(
        _lrp, "relevance, handed back layer by layer", "10.1371/journal.pone.0130140", "2 forward + backward", True
    ),
    "occlusion": CaptumMethod(_occlusion, "what a covered window takes away", "arXiv:1311.2901", "82 forward"),
    "feature-ablation": CaptumMethod(
        partial(_by_segment, "FeatureAblation"),
        "what a blanked square takes away",
        "captum.ai",
        f"{SEGMENTS**2 + 1} forward",
    ),
    "shapley-sampling": CaptumMethod(
        partial(_by_segment, "ShapleyValueSampling", n_samples=SEGMENTS),
        "what a square adds, in any order",
        "10.1016/j.cor.2008.04.004",
        _PASSES,
    ),
    "kernel-shap": CaptumMethod(
        partial(_by_segment, "KernelShap", n_samples=SEGMENTS**3),
        "Shapley values of squares by regression",
        "arXiv:1705.07874",
        _PASSES,
    ),
    "lime": CaptumMethod(
        partial(_by_segment, "Lime", n_samples=SEGMENTS**3),
        "a sparse linear model of squares",
        "arXiv:1602.04938",
        _PASSES,
    ),
}

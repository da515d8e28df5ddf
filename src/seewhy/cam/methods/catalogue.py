"""Every method by name, with what a reader needs to choose one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor

from seewhy.cam.methods import weighting
from seewhy.cam.methods.ablation import ablation_cam
from seewhy.cam.methods.attention import attention_rollout, gradient_attention
from seewhy.cam.methods.captum import captum_method, captum_name, folded
from seewhy.cam.methods.captum_calls import CAPTUM
from seewhy.cam.methods.fullgrad import fullgrad
from seewhy.cam.methods.guided import guided_backprop, guided_grad_cam
from seewhy.cam.methods.kernel import kernel_principal
from seewhy.cam.methods.recipro import recipro_cam
from seewhy.cam.methods.scene import Scene
from seewhy.cam.methods.score_cam import score_cam
from seewhy.cam.methods.shapley import shapley_cam
from seewhy.cam.methods.smoothed import random_weights, smooth_grad_cam_plus_plus
from seewhy.cam.scores.score import Score
from seewhy.cam.scores.targets import as_finer
from seewhy.errors import OptionError, listed, nearest

Kind = Literal["activation", "gradient", "passes", "maps", "places", "attention", "input", "laid"]
Combine = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Method:
    """A way to make a map, and what it costs.

    `kind` says what `function` takes and gives: "activation" and "gradient" weigh a layer's features from the
    activation, or from activation and gradient (N, C, H, W); "passes" weighs them from a Scene and runs the network
    again; all three give weights (N, C) or (N, C, H, W), which `combine` turns into a map (N, H, W) with the
    activation. "maps" gives the map (N, H, W) itself from a Scene, "places" too without a gradient, "attention" that of
    a layer with tokens, "input" that on the input's own pixels, "laid" that of a layer, laid on them. `cost` is in
    passes over one image (C channels of the layer). `adapt` turns the score that was asked for into the one that the
    method explains. `in_score_units` says that the map's cells add up in units of the score, so that a peak can be
    judged against it, `seeded` that the seed decides what it shows. `code` is the user's own function.
    """

    function: Callable[..., Tensor]
    summary: str
    paper: str
    cost: str
    kind: Kind = "gradient"
    combine: Combine = weighting.weighted_sum
    in_score_units: bool = False
    seeded: bool = False
    adapt: Callable[[Score], Score] | None = None
    code: Any = None

    def map_of(self, scene: Scene) -> Tensor:
        """The raw signed map (N, H, W) of a batch, one layer (or the input) and one score."""
        if self.kind in ("maps", "places", "attention", "input", "laid") or scene.activation is None:
            return self.function(scene)
        if self.kind == "passes":
            return self.combine(self.function(scene).to(scene.activation.dtype), scene.activation)
        return self.weighted_map(scene.activation, scene.gradient)

    def weighted_map(self, activation: Tensor, gradient: Tensor | None) -> Tensor:
        """The raw signed map (N, H, W) of a method that needs no further pass, from (N, C, H, W) twice."""
        return self.combine(self.function(activation, gradient), activation)

    @property
    def on_input(self) -> bool:
        """Whether the map lies on the input's own pixels, so that no layer is asked for."""
        return self.kind == "input"

    @property
    def on_canvas(self) -> bool:
        """Whether the map has the input's size, not the layer's."""
        return self.kind in ("input", "laid")

    @property
    def needs_gradient(self) -> bool:
        """Whether the score's gradient at the layer is needed."""
        return self.kind in ("gradient", "maps", "laid")


CAPTUM_PREFIX = "captum:"
ONE = "forward + small backward"
METHODS: dict[str, Method] = {
    "grad-cam": Method(
        weighting.grad_cam, "channels weighted by their mean gradient", "arXiv:1610.02391", ONE, in_score_units=True
    ),
    "hirescam": Method(
        weighting.hirescam, "gradient times activation, place by place", "arXiv:2011.08891", ONE, in_score_units=True
    ),
    "layercam": Method(
        weighting.layercam,
        "positive gradient times activation, place by place",
        "10.1109/TIP.2021.3089943",
        ONE,
        in_score_units=True,
    ),
    "grad-cam++": Method(
        weighting.grad_cam_plus_plus, "channels weighted by shared positive gradients", "arXiv:1710.11063", ONE
    ),
    "xgrad-cam": Method(
        weighting.xgrad_cam,
        "channels weighted by activation-weighted gradients",
        "arXiv:2008.02312",
        ONE,
        in_score_units=True,
    ),
    "eigen-cam": Method(
        weighting.unweighted,
        "first principal component, whatever the class",
        "arXiv:2008.00299",
        "forward",
        "activation",
        weighting.principal,
    ),
    "eigengrad-cam": Method(
        weighting.hirescam,
        "first principal component of gradient times activation",
        "arXiv:2008.00299",
        ONE,
        combine=weighting.principal,
    ),
    "seg-eigen-cam": Method(
        weighting.absolute_gradient,
        "first principal component of |gradient| times activation",
        "10.3390/app15137562",
        ONE,
        combine=weighting.principal_peaked,
    ),
    "kpca-cam": Method(
        weighting.unweighted,
        "first component of a kernel PCA, whatever the class",
        "arXiv:2410.00267",
        "forward",
        "activation",
        kernel_principal,
    ),
    "grad-cam-elementwise": Method(
        weighting.grad_cam_elementwise, "gradient times activation where it is positive", "no paper", ONE
    ),
    "fem": Method(
        weighting.fem,
        "channels weighted by how many places stand out, whatever the class",
        "hal-02963298",
        "forward",
        "activation",
    ),
    "shapley-cam": Method(
        shapley_cam,
        "channels weighted by their Shapley value, of second order",
        "arXiv:2501.06261",
        "2 x forward + small backward twice",
        "passes",
    ),
    "finer-cam": Method(
        weighting.grad_cam,
        "Grad-CAM of a class against those most like it",
        "arXiv:2501.11309",
        ONE,
        in_score_units=True,
        adapt=as_finer,
    ),
    "smooth-grad-cam++": Method(
        smooth_grad_cam_plus_plus,
        "Grad-CAM++ with derivatives averaged over noisy copies",
        "arXiv:1908.01224",
        "5 x (forward + small backward)",
        "passes",
        seeded=True,
    ),
    "ablation-cam": Method(
        ablation_cam,
        "channels weighted by the score's loss without them",
        "10.1109/WACV45572.2020.9093360",
        "forward + C x the tail (0 x if linear)",
        "passes",
    ),
    "score-cam": Method(
        score_cam,
        "channels weighted by the score seen through them",
        "arXiv:1910.01279",
        "C x forward",
        "passes",
    ),
    "recipro-cam": Method(
        recipro_cam,
        "the score of each place's features alone, without a gradient",
        "arXiv:2209.14074",
        "forward + places x the tail",
        "places",
        in_score_units=True,
    ),
    "attention-rollout": Method(
        attention_rollout,
        "a transformer's attention, layer on layer, whatever the class",
        "arXiv:2005.00928",
        "2 x forward + backward",
        "attention",
    ),
    "gradient-attention": Method(
        gradient_attention,
        "a transformer's attention times the score's gradient, layer on layer",
        "arXiv:2103.15679",
        "2 x forward + backward",
        "attention",
    ),
    "random": Method(
        random_weights,
        "random weights: the map that any method has to beat",
        "a null, no paper",
        "forward",
        "passes",
        seeded=True,
    ),
    "fullgrad": Method(
        fullgrad,
        "input and biases times their gradients: all of the score",
        "arXiv:1905.00780",
        "forward + backward",
        "input",
        in_score_units=True,
    ),
    "guided-backprop": Method(
        guided_backprop,
        "gradient, positive parts alone through ReLUs",
        "arXiv:1412.6806",
        "forward + backward",
        "input",
    ),
    "guided-grad-cam": Method(
        guided_grad_cam,
        "Guided Backprop times Grad-CAM",
        "arXiv:1610.02391",
        "2 x forward + backward",
        "laid",
    ),
}
OWN_COMPONENT = (kernel_principal, weighting.principal_peaked)  # which "eigen" leaves as they are
PRESETS = ("pytorch-grad-cam",)
SMOOTHINGS = {
    "augment": "the mean over mirrored and scaled inputs, six passes",
    "eigen": "the first principal component of the weighted features, in place of their sum",
}


def find_method(name: str, preset: str | None = None, *, eigen: bool = False) -> Method:
    """The method called `name`, as the preset has it; "gradcam++", "GradCAMPlusPlus" and the like are understood.

    `eigen` takes the first principal component of the weighted features in place of their sum. Raises OptionError with
    the nearest names.
    """
    known = method_name(name)
    if known.startswith(CAPTUM_PREFIX):
        return _from_captum(known)
    method = METHODS[known]
    if method.on_canvas or method.combine in OWN_COMPONENT or (not eigen and method.combine is not weighting.principal):
        return method
    combine = weighting.principal_unsigned if preset else weighting.principal
    return replace(method, combine=combine, in_score_units=False)


def method_name(name: str) -> str:
    """The method's own spelling: "GradCAM" -> "grad-cam". Raises OptionError with the nearest names."""
    if name.casefold().startswith(CAPTUM_PREFIX):
        return captum_name(name)
    if known := known_name(name):
        return known
    raise OptionError(
        f"There is no method {name!r}.  {nearest(name, METHODS)}\n"
        f"  Methods: auto, {listed(METHODS, 30)}, captum:NAME, file.py:function.  What they do:  seewhy methods",
        slug="no-such-method",
    )


def known_name(name: str) -> str | None:
    """The method's own spelling; None where there is no such method here."""
    if name in METHODS:
        return name
    return {_fold(known): known for known in METHODS}.get(_fold(name))


def _from_captum(name: str) -> Method:
    method = CAPTUM[name.removeprefix(CAPTUM_PREFIX)]
    units = method.in_score_units
    return Method(
        captum_method(name), method.summary, method.paper, method.cost, "input", in_score_units=units, seeded=True
    )


def _fold(name: str) -> str:
    return folded(name).replace("plusplus", "++")

"""Every method by name, with what a reader needs to choose one."""

from __future__ import annotations

from dataclasses import replace

from seewhy.cam.methods import weighting
from seewhy.cam.methods.ablation import ablation_cam
from seewhy.cam.methods.attention import attention_rollout, gradient_attention
from seewhy.cam.methods.averaged_score_cam import is_cam, ss_cam
from seewhy.cam.methods.captum import captum_method, captum_name, folded
from seewhy.cam.methods.captum_calls import CAPTUM
from seewhy.cam.methods.concepts import worth_of_concepts
from seewhy.cam.methods.fullgrad import fullgrad
from seewhy.cam.methods.guided import guided_backprop, guided_grad_cam
from seewhy.cam.methods.kernel import kernel_principal
from seewhy.cam.methods.legrad import legrad
from seewhy.cam.methods.method import Method as Method
from seewhy.cam.methods.opti import opti_cam
from seewhy.cam.methods.pooled import cam
from seewhy.cam.methods.recipro import recipro_cam
from seewhy.cam.methods.refine import refine_cam
from seewhy.cam.methods.score_cam import score_cam
from seewhy.cam.methods.shapley import shapley_cam
from seewhy.cam.methods.smoothed import random_weights, smooth_grad_cam_plus_plus
from seewhy.cam.scores.targets import as_finer
from seewhy.errors import OptionError, listed, nearest

CAPTUM_PREFIX = "captum:"
ONE = "forward + small backward"
METHODS: dict[str, Method] = {
    "grad-cam": Method(
        weighting.grad_cam, "channels weighted by their mean gradient", "arXiv:1610.02391", ONE, in_score_units=True
    ),
    "cam": Method(
        cam,
        "the original: channels weighted by the linear head that reads their means",
        "arXiv:1512.04150",
        ONE,
        "head",
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
    "dff": Method(
        weighting.hirescam,
        "an image's concepts by deep feature factorisation, each by what it is worth to the score",
        "arXiv:1806.10206",
        "forward + small backward, and a factorisation",
        combine=worth_of_concepts,
        in_score_units=True,
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
    "ss-cam": Method(
        ss_cam,
        "Score-CAM with scores averaged over noisy masks",
        "arXiv:2006.14255",
        "10 x C x forward",
        "passes",
        seeded=True,
    ),
    "is-cam": Method(
        is_cam,
        "Score-CAM with scores averaged while the mask fades in",
        "arXiv:2010.03023",
        "10 x C x forward",
        "passes",
    ),
    "opti-cam": Method(
        opti_cam,
        "channels weighted so that the image, masked by its map, scores most",
        "arXiv:2301.07002",
        "forward + 100 x (forward + backward)",
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
    "refine-cam": Method(
        refine_cam,
        "the product of the Grad-CAM++ maps of several layers, on the grid of each",
        "arXiv:2605.14641",
        ONE,
        "layers",
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
    "legrad": Method(
        legrad,
        "a transformer's positive slopes by attention, each layer's tokens asked by the head",
        "arXiv:2404.03214",
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
        "2 x forward + backward",
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
OWN_COMPONENT = (kernel_principal, weighting.principal_peaked, worth_of_concepts)  # which "eigen" leaves as they are
ALIASES = {"deepfeaturefactorization": "dff", "deepfeaturefactorisation": "dff"}
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
    return {**ALIASES, **{_fold(known): known for known in METHODS}}.get(_fold(name))


def _from_captum(name: str) -> Method:
    method = CAPTUM[name.removeprefix(CAPTUM_PREFIX)]
    units = method.in_score_units
    return Method(
        captum_method(name), method.summary, method.paper, method.cost, "input", in_score_units=units, seeded=True
    )


def _fold(name: str) -> str:
    return folded(name).replace("plusplus", "++")

"""Other tools on the same networks, each by its own package where it installs, each read as fairly as possible.

The packages that are not the project's own, into a folder for PYTHONPATH (most of what they require is there already,
and what they pin would replace torch and numpy):

    pip install --no-deps --target FOLDER cleanlab cleanvision datasets pandas dill multiprocess termcolor tabulate \\
        imagehash PyWavelets corelay h5py metrohash-python scikit-image lazy_loader imageio tifffile bnnr shortkit-ml
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from benchmarks.unaided.peers import bnnr_rule, clusters, datalab, exchanges, maps, slices
from benchmarks.unaided.peers.material import Claim, Material, material_of

__all__ = ["NEEDS", "PEERS", "UNAVAILABLE", "Claim", "Material", "material_of"]

Peer = Callable[[Material], Claim]

_ALL: dict[str, Peer] = {
    "pytorch-grad-cam, charitable reader": maps.grad_cam,
    "captum, charitable reader": maps.captum,
    "SpRAy (corelay), oracle reader": clusters.spray,
    "Datalab as shipped": datalab.shipped,
    "Datalab, baseline repaired": datalab.repaired,
    "slices of errors (Domino-like), oracle reader": slices.slices,
    "bnnr's background-focus rule": bnnr_rule.background_focus,
    "ShortKit-ML's SpRAy, oracle reader": clusters.shortkit,
    "background gap (Xiao), true masks": exchanges.background_gap,
    "mean-fill, paired t": exchanges.mean_fill,
    "recipient-only donor test": exchanges.single_donor,
}
_DATALAB = ("cleanlab", "cleanvision", "datasets", "pandas", "imagehash", "dill", "multiprocess", "termcolor")
NEEDS: Mapping[str, tuple[str, ...]] = {
    "pytorch-grad-cam, charitable reader": ("pytorch_grad_cam",),
    "captum, charitable reader": ("captum",),
    "SpRAy (corelay), oracle reader": ("corelay", "captum", "h5py", "metrohash", "skimage"),
    "Datalab as shipped": _DATALAB,
    "Datalab, baseline repaired": _DATALAB,
    "bnnr's background-focus rule": ("bnnr", "pytorch_grad_cam"),
    "ShortKit-ML's SpRAy, oracle reader": ("shortcut_detect",),
}  # what is imported, by peer
_CANNOT = {
    "ShortKit-ML's Grad-CAM overlap with masks": "gives figures of overlap and no verdict: nothing to score",
    "ShortKit-ML's detectors on embeddings": "need group labels of the very shortcut that is looked for",
    "torch-cam": "pictures only; the charitable reader would read the same maps as pytorch-grad-cam's",
    "virelay": "a viewer of what corelay computes: it has no verdict beyond a person's",
    "Domino in CLIP's space": "needs CLIP's weights; the network's own features stand in for them here",
    "FACTS": "trains a network of its own to amplify what is biased: the network that is asked about is not asked",
}


def _absent(name: str) -> list[str]:
    return [package for package in NEEDS.get(name, ()) if importlib.util.find_spec(package) is None]


def _apart(peer: Peer) -> Peer:
    """The peer on a copy of the network, from the same random state each time, its warnings and prints unheard."""

    def ask(material: Material) -> Claim:
        before = np.random.get_state()  # noqa: NPY002  # peers draw from the global random state
        with (
            torch.random.fork_rng(devices=[]),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            np.random.seed(0)  # noqa: NPY002
            try:
                return peer(replace(material, module=copy.deepcopy(material.module).eval()))
            finally:
                np.random.set_state(before)  # noqa: NPY002

    return ask


PEERS: Mapping[str, Peer] = {name: _apart(peer) for name, peer in _ALL.items() if not _absent(name)}
UNAVAILABLE: Mapping[str, str] = {
    **{name: f"not installed: {', '.join(_absent(name))}" for name in _ALL if _absent(name)},
    **_CANNOT,
}

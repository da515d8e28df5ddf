"""What stands beside a repair and needs no groups: JTT, and the dropout of bnnr by maps, where bnnr is installed."""

from __future__ import annotations

import copy
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seewhy.cam.capture import LayerCall
from seewhy.errors import ModelError
from seewhy.evidence.trials.sample import Sample
from seewhy.learn.repair.arms import RepairJob
from seewhy.learn.train.fine_tune import Tuning, cross_entropy, fine_tuned, logits_in_training

HARD = Tuning(epochs=2, rate=1e-3)  # of the network that finds hard images: stopped early, so that it errs
UPWEIGHTED = 20.0  # the least of the paper's grid for images (20, 50, 100), for there are few images
DROPPED = {"threshold_percentile": 75.0, "probability": 0.5}  # bnnr's own choice for its demo
BLOCK = 64

Logits = Callable[[nn.Module, Tensor], Tensor]


def just_train_twice(job: RepairJob, placed: Sample, seed: int) -> nn.Module:
    """Fine-tuned with the images that a network trained shortly from scratch errs on weighing 20 times as much.

    JTT (Liu et al. 2021, arXiv:2107.09044). Raises ModelError where the first network errs on none.
    """
    first = fine_tuned(begun_anew(job.network, seed), placed, HARD, seed=seed)
    labels = torch.from_numpy(placed.labels)
    wrong = errors_of(first, placed, labels)
    if not bool(wrong.any()):
        raise ModelError("The network that is to find hard images errs on none.")
    loss = UpweightedLoss(placed, labels, 1 + (UPWEIGHTED - 1) * wrong.float())
    return fine_tuned(job.network, placed, job.tuning, loss=loss, seed=seed, memory_format=job.memory_format)


def begun_anew(network: nn.Module, seed: int) -> nn.Module:
    """A copy of the network whose layers have first weights again."""
    fresh = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in fresh.modules():
            if callable(reset := getattr(layer, "reset_parameters", None)):
                reset()
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return fresh


@torch.no_grad()
def errors_of(network: nn.Module, placed: Sample, labels: Tensor) -> Tensor:
    """Which images (M,) a network errs on."""
    blocks = torch.arange(len(labels)).split(BLOCK)
    answers = [logits_in_training(network, placed, placed.canvases(places)).argmax(dim=1) for places in blocks]
    return torch.cat(answers) != labels


class UpweightedLoss:
    """The cross-entropy with a weight for each image, their mean over all images being one."""

    def __init__(self, placed: Sample, labels: Tensor, weights: Tensor) -> None:
        self.placed, self.labels, self.weights = placed, labels, weights / weights.mean()

    def __call__(self, network: nn.Module, places: Tensor, generator: torch.Generator) -> Tensor:
        answers = logits_in_training(network, self.placed, self.placed.canvases(places))
        losses = nn.functional.cross_entropy(answers, self.labels[places], reduction="none")
        return (self.weights[places] * losses).mean()


def intelligent_dropout(job: RepairJob, placed: Sample, seed: int) -> nn.Module:
    """Fine-tuned with bnnr's ICD: in half of the images the quarter with the largest map is blurred.

    Maps are those of the network before, by bnnr's default explainer at the audit's layer. Raises ModelError where
    bnnr is not installed, or the audit has no layer.
    """
    if importlib.util.find_spec("bnnr") is None:
        raise ModelError('bnnr is not installed:  pip install "bnnr==0.8.0"')
    if job.layer is None:
        raise ModelError("The audit has no maps of a layer.")
    dropping = dropout_of(job.network, placed, job.layer, seed)
    labels = torch.from_numpy(placed.labels)

    def loss(network: nn.Module, places: Tensor, generator: torch.Generator) -> Tensor:
        images = as_bytes(placed.canvases(places))
        changed = dropping.apply_batch_with_labels(images, placed.labels[places.numpy()], places.numpy())
        canvases = torch.from_numpy(changed).permute(0, 3, 1, 2).float() / 255
        return cross_entropy(logits_in_training(network, placed, canvases), labels[places])

    return fine_tuned(job.network, placed, job.tuning, loss=loss, seed=seed, memory_format=job.memory_format)


def as_bytes(canvases: Tensor) -> NDArray[np.uint8]:
    """Canvases (n, 3, H, W) as pictures (n, H, W, 3)."""
    return (canvases * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def dropout_of(network: nn.Module, placed: Sample, layer: LayerCall, seed: int) -> Any:
    """bnnr's ICD by the maps of a network, each made once; it feeds pixels in 0 to 1, which Fed preprocesses."""
    from bnnr import ICD

    fed = Fed(copy.deepcopy(network).eval(), placed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = KeptMaps()
        return ICD(
            model=fed, target_layers=[fed.network.get_submodule(layer.name)], use_cuda=False, cache=kept,
            random_state=seed, **DROPPED,
        )  # fmt: skip


class Fed(nn.Module):
    """A network that is given pixels in 0 to 1, and preprocesses them itself."""

    def __init__(self, network: nn.Module, placed: Sample) -> None:
        super().__init__()
        self.network, self._placed = network, placed

    def forward(self, canvases: Tensor) -> Tensor:
        """The logits (n, K)."""
        logits: Tensor = self.network(self._placed.inputs(canvases.clone()))
        return logits


class KeptMaps:
    """Maps by the place of their image, as bnnr asks for them."""

    def __init__(self) -> None:
        self.maps: dict[int, NDArray[np.float32]] = {}

    def get_importance_map(self, image: Any, label: int, sample_index: int | None = None) -> Any:
        """The map of an image, or None."""
        return None if sample_index is None else self.maps.get(sample_index)

    def save_map(self, saliency: Any, label: int, sample_index: int | None = None, image: Any = None) -> None:
        """Keep the map of an image."""
        if sample_index is not None:
            self.maps[sample_index] = saliency

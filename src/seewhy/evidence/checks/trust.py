"""May the maps be read? A map is a picture of the classifier only if it changes with the classifier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from seewhy.cam.capture import LayerCall, capture, gradients
from seewhy.cam.layers.choice import Call, trace
from seewhy.cam.methods.catalogue import METHODS, Method
from seewhy.cam.scores.outputs import wide
from seewhy.cam.scores.targets import find_score, predicted, two_sided
from seewhy.evidence.checks.faithfulness import RIVALS, Faithfulness, faithfulness_of, trivial_pictures
from seewhy.evidence.checks.randomised import _stages_of, contentless, randomised_stages
from seewhy.evidence.checks.swaps import N_STEPS, swap_cells
from seewhy.evidence.checks.unseen import Unseen, unseen_of
from seewhy.evidence.inference.ranks import spearman
from seewhy.maps import empty_reason

Maps = NDArray[np.float64]  # (N, H, W)
NOISE = 0.01  # standard deviation, as a share of the inputs' range
_SCORE = find_score("label", ())  # each image's own class index, fixed once


@dataclass(frozen=True)
class Trust:
    """What is known of the maps of one layer and method; correlations are medians over the images (Spearman, -1..1).

    `completeness_error` is how far the sum of HiResCAM's cells is from the logit minus a constant, as a share of the
    logit's own spread: 0 where what follows the layer is linear (Draelos & Carin 2020, eq. 4). `with_hirescam` is the
    agreement of the method with HiResCAM; `empty` and `no_gradient` are shares of the images; `null_shape` compares the
    mean map with that of pictures without content and of shifted ones; `randomised` holds (share of the layers made
    random, likeness of the absolute maps); `flipped`, `noisy` and `other_class` compare with the mirrored image, 1 % of
    noise and the runner-up's map; `trivial` with the image's brightness, its edges and a blob in the centre. `faithful`
    compares with the effect of swapping places between images; None where there is one image alone. `unseen` says what
    of the map lies where no swap moves the score of any image; None where there is no such place.
    """

    layer: str
    method: str
    n_images: int
    completeness_error: float
    with_hirescam: float
    empty: float
    no_gradient: float
    null_shape: float
    randomised: tuple[tuple[float, float], ...]
    flipped: float
    noisy: float
    other_class: float
    trivial: dict[str, float] = field(default_factory=dict)
    faithful: Faithfulness | None = None
    unseen: Unseen | None = None


@dataclass(frozen=True)
class _Batch:
    """Maps by layer and method, logits (N, classes), the explained values (N,), and layers without a gradient (N,)."""

    maps: dict[str, dict[str, Maps]]
    logits: Tensor
    values: NDArray[np.float64]
    silent: dict[str, NDArray[np.bool_]]


def examine(
    model: nn.Module,
    inputs: Tensor,
    layers: Sequence[LayerCall],
    method: str,
    classes: Tensor | None = None,
    *,
    labels: Sequence[str | None] = (),
    seed: int = 0,
    batch_size: int = 16,
    step: Callable[[], None] = lambda: None,
) -> list[Trust]:
    """What can be known of the maps of each layer from inputs (N, C, H, W), leaving the model as found.

    `classes` (N,) are the explained class indices; None takes each image's own prediction. `labels` (N,) say which
    images are of one class; where they name no two, the predictions do. `step` is called `n_steps(...)` times.
    """
    like = next((p for p in model.parameters() if p.is_floating_point()), inputs)
    generator = torch.Generator().manual_seed(seed)

    def maps_of(network: nn.Module, images: Tensor, targets: Tensor | None) -> _Batch:
        step()
        starts = range(0, len(images), batch_size)
        batches = [(images[at : at + batch_size], _part(targets, at, batch_size)) for at in starts]
        parts = [_mapped(network, batch, layers, method, batch_targets) for batch, batch_targets in batches]
        return _joined(parts)

    real = maps_of(model, inputs, classes)
    targets = predicted(real.logits) if classes is None else classes
    other = _runner_up(real.logits, targets)
    against = maps_of(model, inputs, other)
    mirrored = maps_of(model, inputs.flip(-1), targets)
    span = inputs.amax(dim=(0, 2, 3), keepdim=True) - inputs.amin(dim=(0, 2, 3), keepdim=True)
    noise = torch.randn(inputs.shape, generator=generator) * NOISE
    noisy = maps_of(model, inputs + noise.to(inputs) * span, targets)
    empty_pictures = contentless(inputs, generator)
    null = maps_of(model, empty_pictures, targets[torch.arange(len(empty_pictures)) % len(targets)])
    shifted = maps_of(model, inputs.roll((inputs.shape[2] // 2, inputs.shape[3] // 2), (2, 3)), targets)
    randomised: dict[str, list[tuple[float, float]]] = {layer.asked: [] for layer in layers}
    for share, network in randomised_stages(model, trace(model, inputs[:1].to(like.device, like.dtype)), generator):
        changed = maps_of(network, inputs, targets)
        for layer in randomised:
            rho = _median(_alike(np.abs(real.maps[layer][method]), np.abs(changed.maps[layer][method])), nothing=0.0)
            randomised[layer].append((share, rho))
    groups = labels if len(set(labels)) > 1 else predicted(real.logits).tolist()
    swaps = swap_cells(model, inputs, targets, groups, seed=seed, batch_size=batch_size, step=step)
    pictures = trivial_pictures(inputs)
    baselines = {name: np.asarray(pictures[name].double().numpy()) for name in RIVALS}
    trusts = []
    for asked in randomised:
        maps = real.maps[asked][method]
        grid = (maps.shape[1], maps.shape[2])
        contentless_maps = np.concatenate([null.maps[asked][method], shifted.maps[asked][method]])
        trusts.append(
            Trust(
                layer=asked,
                method=method,
                n_images=len(maps),
                completeness_error=_completeness_error(real.maps[asked]["hirescam"], real.values, targets),
                with_hirescam=_median(_alike(maps, real.maps[asked]["hirescam"])),
                empty=_empty_share(maps, real.values, METHODS[method]),
                no_gradient=float(real.silent[asked].mean()),
                null_shape=_median(_alike(_mean_shape(maps)[None], _mean_shape(contentless_maps)[None])),
                randomised=tuple(randomised[asked]),
                flipped=_median(_alike(mirrored.maps[asked][method], maps[:, :, ::-1])),
                noisy=_median(_alike(noisy.maps[asked][method], maps)),
                other_class=_median(_alike(maps, against.maps[asked][method])),
                trivial={name: _median(_alike(maps, _on_grid(picture, grid))) for name, picture in pictures.items()},
                faithful=None if swaps is None else faithfulness_of(swaps, maps, baselines, seed=seed),
                unseen=None if swaps is None else unseen_of(swaps, maps, inputs),
            )
        )
    return trusts


def n_steps(calls: Sequence[Call], model: nn.Module) -> int:
    """How many parts `examine` reports: passes over the images, and of the swaps about as much work each."""
    return 6 + N_STEPS + len(_stages_of(model, calls))


def _mapped(
    model: nn.Module, inputs: Tensor, layers: Sequence[LayerCall], method: str, targets: Tensor | None
) -> _Batch:
    with capture(model, inputs, layers) as captured:
        classes = predicted(captured.logits.detach()) if targets is None else targets
        values = _SCORE(captured.logits, classes)
        slopes = gradients(values, captured.activations)
    maps, silent = {}, {}
    for layer in layers:
        activation, slope = captured.activations[layer.asked].detach(), slopes[layer.asked]
        if layer.grid is not None:
            activation, slope = layer.grid.view(activation), layer.grid.view(slope)
        both = {
            name: METHODS[name].weighted_map(wide(activation), wide(slope))
            for name in dict.fromkeys((method, "hirescam"))
        }
        maps[layer.asked] = {name: weighted.double().cpu().numpy() for name, weighted in both.items()}
        silent[layer.asked] = (slope.flatten(1) == 0).all(dim=1).cpu().numpy()
    return _Batch(maps, two_sided(captured.logits.detach()).cpu(), values.detach().double().cpu().numpy(), silent)


def _joined(parts: Sequence[_Batch]) -> _Batch:
    first = parts[0]
    return _Batch(
        {
            layer: {name: np.concatenate([part.maps[layer][name] for part in parts]) for name in methods}
            for layer, methods in first.maps.items()
        },
        torch.cat([part.logits for part in parts]),
        np.concatenate([part.values for part in parts]),
        {layer: np.concatenate([part.silent[layer] for part in parts]) for layer in first.silent},
    )


def _part(targets: Tensor | None, start: int, size: int) -> Tensor | None:
    return None if targets is None else targets[start : start + size]


def _runner_up(logits: Tensor, targets: Tensor) -> Tensor:
    return logits.scatter(1, targets[:, None], float("-inf")).argmax(dim=1)


def _completeness_error(hirescam: Maps, values: NDArray[np.float64], targets: Tensor) -> float:
    """The spread of (logit - sum of the map) within a class, where only a constant may be left, beside the logit's."""
    rest = values - hirescam.sum(axis=(1, 2))
    index = targets.numpy()
    kept = [index == target for target in np.unique(index) if (index == target).sum() > 1]
    if not kept:
        return math.nan
    left = np.concatenate([rest[rows] - rest[rows].mean() for rows in kept])
    moved = np.concatenate([values[rows] - values[rows].mean() for rows in kept])
    size = max(float(np.sqrt((moved**2).mean())), 1e-6 * float(np.abs(values).mean()), 1e-30)
    return float(np.sqrt((left**2).mean())) / size


def _empty_share(maps: Maps, values: NDArray[np.float64], method: Method) -> float:
    empty = [
        empty_reason(float(image_map.max()), image_map.size, float(value), in_score_units=method.in_score_units)
        for image_map, value in zip(maps, values, strict=True)
    ]
    return sum(reason is not None for reason in empty) / len(empty)


def _alike(maps: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """Spearman's correlation of the cells of each pair of maps (N,)."""
    return spearman(maps.reshape(len(maps), -1), other.reshape(len(other), -1))


def _median(values: NDArray[np.float64], nothing: float = math.nan) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else nothing


def _mean_shape(maps: Maps) -> Maps:
    """The mean of the maps' positive parts, each as shares of its own sum."""
    kept = np.nan_to_num(maps).clip(min=0)
    total = kept.sum(axis=(1, 2), keepdims=True)
    return np.asarray((kept / np.where(total > 0, total, 1)).mean(axis=0))


def _on_grid(pictures: Tensor, grid: tuple[int, int]) -> Maps:
    return np.asarray(functional.adaptive_avg_pool2d(pictures[:, None], grid)[:, 0].double().numpy())

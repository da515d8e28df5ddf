"""Maps of single pictures, with a reader who is charitable: the place outside of the core that the maps favour most."""

from __future__ import annotations

import numpy as np
from benchmarks.unaided.peers.material import Claim, Floats, Material, last_layer, outside, with_torchvision
from numpy.typing import NDArray

LIFT = 1.5  # above which the reader tells a place
STEPS = 16  # of Integrated Gradients
BATCH = 50


def grad_cam(material: Material) -> Claim:
    """Reads pytorch-grad-cam's maps of the last layer for the label, scaled for each picture as the package does it."""
    with_torchvision()
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    maps = []
    with GradCAM(model=material.module, target_layers=[last_layer(material.module)]) as method:
        for start in range(0, len(material.images), BATCH):
            rows = slice(start, start + BATCH)
            targets = [ClassifierOutputTarget(int(label)) for label in material.labels[rows]]
            maps.append(method(input_tensor=material.inputs[rows], targets=targets))
    return read(np.concatenate(maps), outside(material))


def captum(material: Material) -> Claim:
    """Reads the absolute values of captum's Integrated Gradients for the label, from a grey picture."""
    return read(np.abs(gradients(material, material.labels)).sum(axis=1), outside(material))


def gradients(material: Material, classes: NDArray[np.int64]) -> NDArray[np.float32]:
    """Integrated Gradients (N, 3, S, S) of a class of each picture, by captum."""
    import torch
    from captum.attr import IntegratedGradients

    method, targets = IntegratedGradients(material.module), torch.from_numpy(classes)
    parts = [
        method.attribute(part, target=of, n_steps=STEPS, internal_batch_size=4 * BATCH).detach()
        for part, of in zip(material.inputs.split(BATCH), targets.split(BATCH), strict=True)
    ]
    return torch.cat(parts).float().numpy()


def read(maps: Floats, places: dict[str, NDArray[np.float32]]) -> Claim:
    """The place with the largest lift, if that is above 1.5."""
    lifts = {name: lift(maps, masks) for name, masks in places.items()}
    if not lifts:
        return Claim((), "no place lies outside of the core")
    best = max(lifts, key=lambda name: lifts[name])
    note = f"largest lift {lifts[best]:.2f}, {best}"
    return Claim((best,) if lifts[best] > LIFT else (), note)


def lift(maps: Floats, masks: NDArray[np.float32]) -> float:
    """The mean over pictures of a place's share of the map over its share of the area; 0 where all maps are empty."""
    mass, area = maps.sum(axis=(1, 2)), masks.mean(axis=(1, 2))
    is_there = (mass > 0) & (area > 0)
    if not is_there.any():
        return 0.0
    inside = (maps * masks).sum(axis=(1, 2))
    return float((inside[is_there] / mass[is_there] / area[is_there]).mean())

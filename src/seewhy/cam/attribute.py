"""The composition: one forward pass, one small backward pass for each score, raw maps of every layer and method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor, nn

from seewhy.cam.augment import Augmentation, augmentations
from seewhy.cam.capture import Captured, LayerCall, capture, gradients
from seewhy.cam.grid import AS_IT_IS
from seewhy.cam.methods.catalogue import Method
from seewhy.cam.methods.scene import Features, Scene
from seewhy.cam.scores.outputs import wide
from seewhy.cam.scores.score import Fixed, Score
from seewhy.errors import LayerError
from seewhy.records import INPUT, MapKey, Task

PLAIN = Augmentation(1.0, False)


@dataclass(frozen=True)
class Subject:
    """What is explained of each image: scores, and what they need to know of a batch.

    `labels` (N,) are class indices for the score "label", `places` (N,) rows of the table for scores that differ
    between the images.
    """

    scores: Sequence[Score]
    task: Task = "classification"
    labels: Tensor | None = None
    places: Tensor | None = None


@dataclass(frozen=True)
class Attribution:
    """Outputs (N, K), the explained values (N,) by score, raw signed maps (N, H, W); all detached.

    `calls` counts how often each layer ran in one pass.
    """

    logits: Tensor
    values: dict[str, Tensor]
    maps: dict[MapKey, Tensor]
    calls: dict[str, int] = field(default_factory=dict)


def attribute(
    model: nn.Module,
    inputs: Tensor,
    layers: Sequence[LayerCall],
    methods: Mapping[str, Method],
    subject: Subject,
    *,
    augment: bool = False,
    seed: int = 0,
) -> Attribution:
    """Raw signed maps of every score by every method, on each layer's own grid, leaving the model as found.

    `inputs` are the network's own (N, C, H, W). All classes, layers and methods share one forward pass. With `augment`
    the maps are means over mirrored and scaled inputs (six passes), of the class that the plain input decides.
    Raises LayerError and ModelError as `capture` does.
    """
    fixed: dict[str, Fixed] = {}
    explain = partial(_attributed, model, layers, methods, subject, fixed, seed)
    plain = explain(inputs)
    if not augment:
        return plain
    changes = augmentations()
    maps = {key: raw / len(changes) for key, raw in plain.maps.items()}
    for change in changes:
        if change != PLAIN:
            changed = explain(change.forward(inputs))
            maps = {key: total + change.back(changed.maps[key]) / len(changes) for key, total in maps.items()}
    return replace(plain, maps=maps)


def _attributed(
    model: nn.Module,
    layers: Sequence[LayerCall],
    methods: Mapping[str, Method],
    subject: Subject,
    fixed: dict[str, Fixed],
    seed: int,
    inputs: Tensor,
) -> Attribution:
    graph = any(method.needs_gradient for method in methods.values())
    attribution = Attribution(torch.empty(0), {}, {})
    with capture(model, inputs, layers, task=subject.task, graph=graph) as captured:
        jobs = _jobs(subject.scores, methods)
        for number, (asked, score, group) in enumerate(jobs):
            if score.name not in fixed:
                fixed[score.name] = score.fix(captured.output, subject.labels, subject.places)
            values = fixed[score.name](captured.output)
            needed = any(method.needs_gradient for method in group.values())
            slopes = gradients(values, captured.activations, retain=number + 1 < len(jobs)) if needed else {}
            attribution.values.setdefault(asked, values.detach())
            for scene in _scenes(model, captured, layers, values, slopes, fixed[score.name], seed):
                attribution.maps.update(_maps(scene, group, asked))
    return replace(attribution, logits=captured.output.logits.detach(), calls=captured.calls)


def _jobs(scores: Sequence[Score], methods: Mapping[str, Method]) -> list[tuple[str, Score, dict[str, Method]]]:
    """The name of each score that was asked for, the score that a group of methods explains, and the group.

    The score as it was asked for comes first, with no method where all adapt it.
    """
    plain = {name: method for name, method in methods.items() if method.adapt is None}
    adapted = [(score, {name: method}) for name, method in methods.items() if method.adapt for score in scores]
    return [
        *((score.name, score, plain) for score in scores),
        *((score.name, _adapted(group, score), group) for score, group in adapted),
    ]


def _adapted(group: Mapping[str, Method], score: Score) -> Score:
    (method,) = group.values()
    return method.adapt(score) if method.adapt else score


def _scenes(
    model: nn.Module,
    captured: Captured,
    layers: Sequence[LayerCall],
    values: Tensor,
    slopes: Mapping[str, Tensor],
    rescore: Fixed,
    seed: int,
) -> Iterator[Scene]:
    """One scene for the input, and one for each layer."""
    yield Scene(model, captured.inputs, values.detach(), rescore, seed=seed)
    raws = {layer.asked: captured.activations[layer.asked].detach() for layer in layers}
    named = tuple(_features(layer, raws[layer.asked], slopes.get(layer.asked)) for layer in layers)
    for layer, (activation, gradient) in zip(layers, named, strict=True):
        yield Scene(
            model=model,
            inputs=captured.inputs,
            values=values.detach(),
            rescore=rescore,
            layer=layer,
            grid=layer.grid or AS_IT_IS,
            raw=raws[layer.asked],
            activation=activation,
            gradient=gradient,
            seed=seed,
            named=named,
        )


def _features(layer: LayerCall, raw: Tensor, slope: Tensor | None) -> Features:
    grid = layer.grid or AS_IT_IS
    return Features(wide(grid.view(raw)), None if slope is None else wide(grid.view(slope)))


@torch.no_grad()
def _maps(scene: Scene, methods: Mapping[str, Method], score: str) -> dict[MapKey, Tensor]:
    name = scene.layer.asked if scene.layer else INPUT
    fitting = {key: method for key, method in methods.items() if method.on_input == (scene.layer is None)}
    maps = {MapKey(key, name, score): method.map_of(scene).detach() for key, method in fitting.items()}
    for raw in maps.values():
        if len(raw) != len(scene.inputs):
            raise LayerError(
                f"Layer {name} gave output for {len(raw)} images where {len(scene.inputs)} were given: it runs once "
                "for each image, or for several views of one.\n"
                "  Explain each image alone:  --batch-size 1, or another layer.",
                slug="layer-rows",
            )
    return maps

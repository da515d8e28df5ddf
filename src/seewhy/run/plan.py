"""From a classifier, images and options to a plan: everything is decided and checked here, before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.cam.capture import LayerCall
from seewhy.cam.fitting import (
    fitting_size,
    input_channels,
    reads_volumes,
    refuse_programs,
    refuse_quantised,
    volumes_error,
)
from seewhy.cam.layers.choice import Candidate, Choice, candidates
from seewhy.cam.methods.catalogue import PRESETS, SMOOTHINGS, Method, find_method
from seewhy.cam.model import as_input, refuse_meta, unwrap
from seewhy.cam.pass_effects import draws, written_by
from seewhy.cam.remembered import state_of
from seewhy.cam.scores.targets import Score, Targets, find_scores
from seewhy.data.networks.classifier import Classifier, load
from seewhy.data.sources.folder import read_table
from seewhy.data.sources.table_labels import by_class_names
from seewhy.data.tables.clusters import ClusterBy, clustered
from seewhy.data.tables.image_table import ImageTable
from seewhy.data.window import with_window
from seewhy.errors import DataError, ModelError, OptionError, counted, listed, nearest
from seewhy.records import INPUT, Image, MapKey, Preprocess, Task, checked_count
from seewhy.run.class_names import SEVERAL_NOTE, as_multi_label, check_scores, named_classes, without_one_label
from seewhy.run.first_pass import as_read, first_answered, first_input, learn_geometry, with_size
from seewhy.run.machine import usual_batch, usual_workers
from seewhy.run.methods import MethodName, named_methods, try_methods
from seewhy.run.names import split_names
from seewhy.run.one_label import of_one_label
from seewhy.run.probe import Probe, chosen_layer, layers_and_methods, memory_format_for
from seewhy.run.steady import check_alone, check_steady

FORMATS = ("jpg", "png")
DRAWS_NOTE = (
    "The network draws random numbers in eval mode, too (dropout that does not ask for self.training?): the same image "
    "may get other numbers each time."
)
SHARD = 64  # images at most, and so in a batch


@dataclass(frozen=True)
class Shard:
    """Rows start to stop of the image table; complete or absent."""

    index: int
    start: int
    stop: int


@dataclass(frozen=True)
class Only:
    """Which images of how many are explained: those `answered` "wrong" or "right"; some may be neither."""

    answered: str
    images: int
    right: int
    wrong: int

    def __str__(self) -> str:
        count = self.wrong if self.answered == "wrong" else self.right
        was_or_were = "was" if count == 1 else "were"
        rest = self.images - self.right - self.wrong
        neither = f", {rest:,} without a label or an answer" if rest else ""
        return (
            f"{count:,} of {counted(self.images, 'image')}, which {was_or_were} answered {self.answered}ly "
            f"({self.right:,} right, {self.wrong:,} wrong{neither})"
        )


@dataclass(frozen=True)
class Plan:
    """A run with nothing left to decide; `grids` are (height, width) by layer as asked, `canvas` the input's."""

    classifier: Classifier
    table: ImageTable
    layers: tuple[LayerCall, ...]
    grids: dict[str, tuple[int, int]]
    methods: tuple[str, ...]
    scores: tuple[Score, ...]
    task: Task
    preset: str | None
    smooth: tuple[str, ...]
    batch_size: int
    image_format: str
    canvas: tuple[int, int]
    memory_format: torch.memory_format = torch.contiguous_format
    batch_asked: bool = False
    seed: int = 0
    notes: tuple[str, ...] = field(default=(), compare=False)
    own_methods: dict[str, Method] = field(default_factory=dict)  # those of the user's, by name
    channels: int = 3  # of the network's input
    n_outputs: int = 0  # numbers that are kept of each image
    form: str = ""  # how the network's output is read, where not as it is
    label: str = ""  # the one of several labels that is asked about
    only: Only | None = None  # which of the images these are, by their answers
    beside: Sequence[Image] = ()  # all images, where the table is a sample of them that nobody asked for
    state: int = field(default=0, compare=False)  # of the network, as `state_of` gives it

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, one per logit (two for a one-logit network)."""
        return self.classifier.classes or ()

    @cached_property
    def classifier_identity(self) -> dict[str, Any]:
        """What the classifier is, as plain values: its weights are read for it, once."""
        return self.classifier.identity()

    def method(self, name: str) -> Method:
        """The method of this name, as the preset and the smoothing have it."""
        return self.own_methods.get(name) or find_method(name, self.preset, eigen="eigen" in self.smooth)

    @property
    def keys(self) -> list[MapKey]:
        """Every map that an image gets, in the order in which they are shown."""
        return [
            MapKey(method, layer, score.name)
            for score in self.scores
            for method in self.methods
            for layer in ([INPUT] if self.method(method).on_input else [call.asked for call in self.layers])
        ]

    def grid(self, key: MapKey) -> tuple[int, int]:
        """The (height, width) of a map."""
        return self.canvas if self.method(key.method).on_canvas else self.grids[key.layer]

    @property
    def shard_size(self) -> int:
        """Images a shard: fewer in small runs, so that there is something to share and to show."""
        return _shard_size(len(self.table))

    def shards(self) -> list[Shard]:
        """The shards, in order; a pure function of the plan."""
        size, count = self.shard_size, len(self.table)
        return [Shard(n, start, min(start + size, count)) for n, start in enumerate(range(0, count, size))]


def make_plan(
    classifier: Classifier | nn.Module,
    images: Any,
    *,
    target: Targets = "predicted",
    layers: str | Sequence[str] = "auto",
    method: MethodName | Sequence[MethodName] = "auto",
    preset: str | None = None,
    smooth: str | Sequence[str] = (),
    grid: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    batch_size: int | None = None,
    image_format: str = "jpg",
    seed: int = 0,
    label: str | int | None = None,
    cluster_by: ClusterBy = None,
) -> Plan:
    """The plan of an explanation. Raises the error that says what to change, before any work is done.

    With a `label` the network, of several, is one that decides for or against that one.
    """
    smoothings = _smoothings(smooth, preset)
    _check_options(preset, batch_size, image_format)
    names, own_methods = named_methods(method)
    classifier = classifier if isinstance(classifier, Classifier) else load(classifier)
    network, notes = unwrap(classifier.model)
    refuse_meta(network)
    refuse_programs(network)
    if isinstance(images, Tensor) and images.is_meta:
        raise DataError("The images lie on the meta device: they have a shape and no numbers.", slug="meta-device")
    classifier = replace(classifier, model=network)
    images = images if cluster_by is None else clustered(read_table(images), cluster_by)
    table = by_class_names(read_table(images, limit=limit, sample=sample, seed=seed), classifier.classes)
    classifier = with_size(with_window(classifier, table), table)
    batch_size = _batch_allowed(classifier, batch_size)
    check_steady(classifier, table, first_input)
    laid = learn_geometry(classifier, table)
    classifier, probe, inputs = first_answered(classifier, table)
    probe = as_multi_label(probe, classifier, table, asked=label is not None)
    if probe.task != "detection" and batch_size != 1 and len(table) > 1:
        check_alone(classifier.model, inputs, probe.task)
    classifier, table, said = named_classes(classifier, table, probe)
    if label is not None:
        classifier, table, probe = of_one_label(label, classifier, table, network, inputs, probe)
        said.remove(SEVERAL_NOTE)
    network = classifier.model
    scores = find_scores(target, classifier.classes or (), task=probe.task, n_images=len(table))
    check_scores(scores, table, probe)
    said += without_one_label(scores, table, classifier.classes or (), probe.task)
    if "augment" in smoothings and probe.task in ("segmentation", "detection"):
        raise OptionError(
            f"--smooth augment mirrors the picture, and what is explained of a {probe.task} would not follow.\n"
            "  Leave it out."
        )
    if any(name == "auto" or _method_named(name, own_methods).needs_gradient for name in names):
        refuse_quantised(network)
    methods, layer_calls, why = layers_and_methods(network, inputs, probe, layers, names, own_methods, preset, grid)
    try_methods(network, inputs, layer_calls, own_methods, scores, probe.task)
    shard = _shard_size(len(table))
    workers = usual_workers(classifier.device, -(-len(table) // shard))
    usual = usual_batch(probe.calls, layer_calls, network, classifier.device, workers)
    return Plan(
        classifier=classifier,
        table=table,
        layers=layer_calls,
        grids={layer.asked: (layer.grid.height, layer.grid.width) for layer in layer_calls if layer.grid},
        methods=methods,
        scores=tuple(scores),
        task=probe.task,
        preset=preset,
        smooth=smoothings,
        batch_size=min(batch_size or _even_batch(usual, shard), SHARD),
        image_format=image_format,
        canvas=(inputs.shape[-2], inputs.shape[-1]),
        memory_format=memory_format_for(network, inputs, probe, layer_calls, methods, preset),
        batch_asked=batch_size is not None,
        seed=seed,
        notes=(
            *classifier.notes,
            *notes,
            *table.notes,
            *probe.notes,
            *said,
            *why,
            *_batch_note(batch_size),
            *laid,
            *_misbehaviour(network),
            *_broken_weights(network, probe),
        ),
        own_methods=own_methods,
        channels=inputs.shape[1],
        n_outputs=probe.logits.shape[1],
        state=state_of(network, values=True),
        form=str(probe.form),
        label="" if table.one_label is None else table.one_label.name,
    )


def _method_named(name: str, own_methods: Mapping[str, Method]) -> Method:
    return own_methods.get(name) or find_method(name)


def layers_of(classifier: Classifier) -> tuple[list[Candidate], Choice, tuple[int, int]]:
    """The layers with a grid, the one that is chosen, and the input's (height, width).

    The input is of the classifier's own size, or of the first usual size that fits.
    """
    network, _ = unwrap(classifier.model)
    if reads_volumes(network):
        raise volumes_error(network)
    preprocess = classifier.preprocess
    size = preprocess.size if isinstance(preprocess, Preprocess) else None
    if isinstance(preprocess, Preprocess) and preprocess.shorter:
        size = size or (preprocess.shorter, preprocess.shorter)
    channels = input_channels(network)
    if size is None:
        fitting = fitting_size(network, channels)
        if fitting is None:
            raise ModelError("No usual square input from 16 to 512 pixels fits this network.  Give one:  --size 256")
        size = (fitting, fitting)
    inputs = as_input(network, torch.zeros(1, channels, *size))
    read, probe = as_read(replace(classifier, model=network), inputs)
    return candidates(probe.calls), chosen_layer(read.model, inputs, probe), size


def _shard_size(count: int) -> int:
    """Fewer in small runs; from 192 images on so that an even number of shards comes out full, for even work."""
    base = SHARD if count >= 1024 else 32 if count >= 256 else 16
    if count < 192 or base == SHARD:
        return base
    return min(range(base, base * 5 // 4 + 1), key=lambda size: -(-count // (2 * size)) * size)


def _even_batch(usual: int, shard: int) -> int:
    """About as many images at once as is usual, in equal parts of a shard."""
    return -(-shard // max(1, round(shard / usual)))


def _batch_allowed(classifier: Classifier, asked: int | None) -> int | None:
    """The batch size that was asked for, or that of a network that takes one picture at a time."""
    if classifier.batch is not None and (asked or 1) > 1:
        raise OptionError(
            f"--batch-size is {asked}, but {classifier.source} takes one picture at a time.  Type:  --batch-size 1"
        )
    return classifier.batch or asked


def _batch_note(asked: int | None) -> list[str]:
    return [f"A batch holds {SHARD} images at most; {asked} were asked for."] if asked and asked > SHARD else []


def _check_options(preset: str | None, batch_size: int | None, image_format: str) -> None:
    if preset is not None and (not isinstance(preset, str) or preset not in PRESETS):
        raise OptionError(
            f"There is no preset {preset!r}.  Presets: {listed(PRESETS)}.  {nearest(str(preset), PRESETS)}".rstrip()
        )
    if image_format not in FORMATS:
        raise OptionError(f"There is no picture format {image_format!r}.  Formats: {listed(FORMATS)}.")
    if batch_size is not None:
        checked_count(batch_size, "--batch-size")


def _misbehaviour(network: nn.Module) -> list[str]:
    names = written_by(network)
    what = f"The network's forward pass changes {listed(names, 4)}, also in eval mode; it is put back after each batch."
    return [*([what] if names else []), *([DRAWS_NOTE] if draws(network) else [])]


def _broken_weights(network: nn.Module, probe: Probe) -> list[str]:
    """That NaN in the network's answer comes from its weights, where it does."""
    if bool(probe.logits.isfinite().all()):
        return []
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    return [f"The weights hold NaN or infinite numbers: {listed(broken, 4)}."] if broken else []


def _smoothings(smooth: str | Sequence[str], preset: str | None) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(split_names(smooth)))
    for name in names:
        if name not in SMOOTHINGS:
            raise OptionError(
                f"There is no smoothing {name!r}.  {nearest(name, SMOOTHINGS)}".rstrip()
                + f"\n  Smoothings: {listed(SMOOTHINGS)}."
            )
    if "augment" in names and preset:
        raise OptionError(
            f"--smooth augment is the mean of raw maps, and {preset} means pictures: leave one of both out."
        )
    return names

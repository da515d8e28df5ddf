"""From a classifier, images and options to a plan: everything is decided and checked here, before any work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.cam.calls import Call, trace_any
from seewhy.cam.capture import LayerCall, answer, as_input, find_layer, forward, refuse_meta, untouched, unwrap
from seewhy.cam.fused import Fusion, plan_fusion
from seewhy.cam.grids import grid_of, read_grid
from seewhy.cam.layers import (
    Candidate,
    Choice,
    candidates,
    choose,
    choose_layer,
    fitting_size,
    input_channels,
    size_error,
)
from seewhy.cam.methods import PRESETS, SMOOTHINGS, Method, find_method, method_name
from seewhy.cam.outputs import Output, guess_task, read_output
from seewhy.cam.scores import Score, Targets, find_scores, one_logit_note
from seewhy.data.classifier import Classifier, load, with_classes
from seewhy.data.decode import UnreadableError, read_size
from seewhy.data.folder import ImageTable, read_table, with_labels
from seewhy.data.reader import Loaded, batch_of, load_image
from seewhy.errors import DataError, LayerError, ModelError, OptionError, listed, nearest
from seewhy.records import INPUT, MapKey, Preprocess, Task
from seewhy.run.machine import usual_batch, usual_workers

FORMATS = ("jpg", "png")
SHARD = 64  # images at most, and so in a batch
FUSED_FROM = 128  # images for which planning a fusion pays


@dataclass(frozen=True)
class Shard:
    """Rows start to stop of the image table; complete or absent."""

    index: int
    start: int
    stop: int


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
    fusion: Fusion | None = field(default=None, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, one per logit (two for a one-logit network)."""
        return self.classifier.classes or ()

    def method(self, name: str) -> Method:
        """The method of this name, as the preset and the smoothing have it."""
        return find_method(name, self.preset, eigen="eigen" in self.smooth)

    @property
    def keys(self) -> list[MapKey]:
        """Every map that an image gets, in the order in which they are shown."""
        return [
            MapKey(method, layer, score.name)
            for score in self.scores
            for method in self.methods
            for layer in ([INPUT] if self.method(method).on_input else [one.asked for one in self.layers])
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
    method: str | Sequence[str] = "auto",
    preset: str | None = None,
    smooth: str | Sequence[str] = (),
    grid: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    batch_size: int | None = None,
    image_format: str = "jpg",
    seed: int = 0,
) -> Plan:
    """The plan of an explanation. Raises the error that says what to change, before any work is done."""
    smoothings = _smoothings(smooth, preset)
    _check_options(preset, batch_size, image_format)
    classifier = classifier if isinstance(classifier, Classifier) else load(classifier)
    network, notes = unwrap(classifier.model)
    refuse_meta(network)
    classifier = replace(classifier, model=network)
    table = read_table(images, limit=limit, sample=sample, seed=seed)
    classifier = _with_size(classifier, table)
    inputs = first_input(classifier, table)
    probe = _probe(network, inputs, classifier.task)
    classifier, table, said = _with_classes(classifier, table, probe)
    scores = find_scores(target, classifier.classes or (), task=probe.task, n_images=len(table))
    _check_scores(scores, table, probe)
    methods, found, why = _layers_and_methods(network, inputs, probe, layers, method, preset, grid)
    shard = _shard_size(len(table))
    workers = usual_workers(classifier.device, -(-len(table) // shard))
    usual = usual_batch(probe.calls, found, network, classifier.device, workers)
    return Plan(
        classifier,
        table,
        found,
        {layer.asked: (layer.grid.height, layer.grid.width) for layer in found if layer.grid},
        methods,
        tuple(scores),
        probe.task,
        preset,
        smoothings,
        min(batch_size or usual, SHARD),
        image_format,
        (inputs.shape[2], inputs.shape[3]),
        torch.contiguous_format if preset else _memory_format(network, inputs, probe),
        batch_size is not None,
        seed,
        _fusion(network, inputs, found) if len(table) >= FUSED_FROM else None,
        (*classifier.notes, *notes, *table.notes, *said, *why),
    )


@dataclass(frozen=True)
class _Probe:
    """What one pass over the first image shows: what the output means, its numbers (1, K), and every layer call."""

    task: Task
    output: Output
    calls: list[Call]

    @property
    def logits(self) -> Tensor:
        """The numbers (1, K) kept of the image."""
        return self.output.logits


def layers_of(classifier: Classifier) -> tuple[list[Candidate], Choice, tuple[int, int]]:
    """The layers with a grid, the one that is chosen, and the input's (height, width).

    The input is of the classifier's own size, or of the first usual size that fits.
    """
    network, _ = unwrap(classifier.model)
    preprocess = classifier.preprocess
    size = preprocess.size if isinstance(preprocess, Preprocess) else None
    channels = input_channels(network)
    if size is None:
        fitting = fitting_size(network, channels)
        if fitting is None:
            raise ModelError("No usual square input from 16 to 512 pixels fits this network.  Give one:  --size 256")
        size = (fitting, fitting)
    inputs = as_input(network, torch.zeros(1, channels, *size))
    calls = _probe(network, inputs, classifier.task).calls
    return candidates(calls), _chosen_layer(network, inputs, calls), size


def _shard_size(count: int) -> int:
    return SHARD if count >= 1024 else 32 if count >= 256 else 16


def _check_options(preset: str | None, batch_size: int | None, image_format: str) -> None:
    if preset is not None and preset not in PRESETS:
        raise OptionError(
            f"There is no preset {preset!r}.  Presets: {listed(PRESETS)}.  {nearest(preset, PRESETS)}".rstrip()
        )
    if image_format not in FORMATS:
        raise OptionError(f"There is no picture format {image_format!r}.  Formats: {listed(FORMATS)}.")
    if batch_size is not None and batch_size < 1:
        raise OptionError(f"--batch-size is {batch_size}, but must be at least 1.")


def _with_size(classifier: Classifier, table: ImageTable) -> Classifier:
    """The classifier with the images' own size as its canvas where none was given. Raises DataError for mixed sizes."""
    preprocess = classifier.preprocess
    if not isinstance(preprocess, Preprocess) or preprocess.size is not None or table.items is not None:
        return classifier
    sizes: Counter[tuple[int, int]] = Counter()
    for image in table.images:
        try:
            sizes[read_size(image.path or "")] += 1
        except UnreadableError:
            continue  # its row will say so
    if not sizes:
        return classifier
    if len(sizes) > 1:
        fitting = fitting_size(classifier.model, input_channels(classifier.model))
        shown = listed([f"{w} x {h} ({n})" for (h, w), n in sizes.most_common()], 4)
        raise DataError(
            f"The images have {len(sizes)} different sizes: {shown}.\n  Give the size that the network needs:"
            f"  --size {fitting or sizes.most_common(1)[0][0][0]}",
            slug="mixed-sizes",
        )
    return replace(classifier, preprocess=replace(preprocess, size=next(iter(sizes))))


def first_input(classifier: Classifier, table: ImageTable) -> Tensor:
    """The network's input (1, C, H, W) of the first image that can be read. Raises DataError where none can."""
    reasons = []
    for image in table.images:
        try:
            first: Loaded = load_image(table, image, classifier.preprocess)
            return batch_of([first], classifier.preprocess)
        except UnreadableError as error:
            reasons.append(f"  {image.id}: {error}")
    more = f"\n  … and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    raise DataError(
        f"None of the {len(reasons)} images can be read:\n" + "\n".join(reasons[:3]) + more, slug="no-images"
    )


def _probe(network: nn.Module, inputs: Tensor, task: Task | None) -> _Probe:
    """One pass over the first image; a network that cannot take the input says what fits."""
    try:
        raw = answer(network, inputs)
        task = task or guess_task(raw, network)
        return _Probe(task, read_output(raw, len(inputs), task), trace_any(network, as_input(network, inputs)))
    except (RuntimeError, ValueError, AssertionError) as error:
        if "memory" in str(error).lower():
            raise
        raise size_error(network, inputs.shape, error) from error


def _memory_format(network: nn.Module, inputs: Tensor, probe: _Probe) -> torch.memory_format:
    """Channels last on a CPU, where convolutions and pools are faster, unless the network minds (a .view of features).

    Only the input is laid out so; the network's parameters stay as they are. The order of summation differs, which can
    turn a maximum pool in a near-empty map: a preset, whose pictures must be equal, keeps the peer's layout.
    """
    if probe.logits.device.type != "cpu":
        return torch.contiguous_format
    try:
        again = forward(network, inputs.contiguous(memory_format=torch.channels_last), probe.task)
    except RuntimeError:
        return torch.contiguous_format
    same = torch.allclose(again, probe.logits, rtol=1e-4, atol=1e-5, equal_nan=True)
    return torch.channels_last if same else torch.contiguous_format


def _noise(inputs: Tensor) -> Tensor:
    """A picture of noise like the inputs, the same each time: what is planned must not hang on the first image."""
    return torch.rand(inputs.shape, generator=torch.Generator().manual_seed(0)).to(inputs)


def _fusion(network: nn.Module, inputs: Tensor, layers: Sequence[LayerCall]) -> Fusion | None:
    """How to run what comes before the layers faster, or None."""
    with untouched(network):
        planned = plan_fusion(network, _noise(as_input(network, inputs)), [layer.name for layer in layers])
    return planned if planned and len(planned) else None


def _with_classes(classifier: Classifier, table: ImageTable, probe: _Probe) -> tuple[Classifier, ImageTable, list[str]]:
    """Class names for every logit: the user's, else the folders' if their count fits, else numbers; and what to say."""
    n_logits, one_logit = probe.logits.shape[1], probe.task == "classification" and probe.logits.shape[1] == 1
    count = 2 if one_logit else 0 if probe.task == "embedding" else n_logits
    notes = [] if probe.task == "classification" else [f"The network's output is read as: {probe.task} (--task)."]
    if classifier.classes is not None:
        names = classifier.classes
        if len(names) != count:
            one = " (a one-logit network has two classes)" if one_logit else ""
            raise DataError(
                f"{len(names)} class names were given ({listed(names)}), but the network has {n_logits} logits{one}.",
                slug="class-count",
            )
    elif len(table.classes) == count and probe.task in ("classification", "multi-label"):
        names = table.classes
        notes.append(f"Classes from the data: {listed([f'{index} = {name}' for index, name in enumerate(names)])}.")
    else:
        names = tuple(str(index) for index in range(count))
        if table.classes and probe.task == "classification":
            notes.append(
                f"The data names {len(table.classes)} classes and the network has {n_logits} logits, so classes are "
                "numbers.  Name them with --classes."
            )
    if one_logit:
        notes.append(one_logit_note(names))
    return with_classes(classifier, names), with_labels(table, names), notes


def _check_scores(scores: Sequence[Score], table: ImageTable, probe: _Probe) -> None:
    """Raise the error of a target that cannot be had of these images or of this output."""
    if any(one.needs_labels for one in scores) and table.items is None and not any(i.label for i in table.images):
        raise DataError(
            "The target is 'label', but no image has one.\n  Use class folders or a CSV, or:  --target predicted",
            slug="no-labels",
        )
    for score in scores:
        if not score.needs_labels and score.count is None:
            score.fix(probe.output)(probe.output)


def _smoothings(smooth: str | Sequence[str], preset: str | None) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(_split(smooth)))
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


def _split(names: str | Sequence[str]) -> list[str]:
    """Names by commas or in a list, without empty ones."""
    texts = [names] if isinstance(names, str) else list(names)
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def _layers_and_methods(
    network: nn.Module,
    inputs: Tensor,
    probe: _Probe,
    layers: str | Sequence[str],
    method: str | Sequence[str],
    preset: str | None,
    grid: str | None,
) -> tuple[tuple[str, ...], tuple[LayerCall, ...], list[str]]:
    """The methods, the layers with their grids (none where every method maps the input), and what to say of both."""
    names, asked = _split(layers), _split(method)
    if not names:
        raise OptionError("No layer was named.  Name some, or leave the choice:  --layers auto")
    if not asked:
        raise OptionError("No method was named.  Name some, or leave the choice:  --method auto")
    known = [name if name == "auto" else method_name(name) for name in asked]
    if all(name != "auto" and find_method(name).on_input for name in known):
        return _once("method", known), (), []
    choice: Choice | None = None
    if "auto" in names or ("auto" in known and preset is None):
        choice = _chosen_layer(network, as_input(network, inputs), probe.calls)
    automatic = "grad-cam" if preset or choice is None else choice.method
    methods = _once("method", [automatic if name == "auto" else name for name in known])
    found = []
    for name in _once("layer", [choice.layer if name == "auto" and choice else name for name in names]):
        found.append(_seen(find_layer(network, name), probe.calls, inputs.shape, grid))
    runs = Counter(call.name for call in probe.calls)
    said = _chosen(choice, "auto" in names, "auto" in known and preset is None)
    said += [
        f"{one.name} runs {runs[one.name]} times in one pass; the last is explained ({one.name}@1 names the first)."
        for one in found
        if not one.call and runs[one.name] > 1
    ]
    said += [f"{one.asked} is seen as {one.grid}." for one in found if one.grid and one.grid.layout == "tokens"]
    return methods, tuple(found), said


def _chosen_layer(network: nn.Module, inputs: Tensor, calls: Sequence[Call]) -> Choice:
    """The layer that auto takes, whatever the first image shows: it is probed with noise, and with that image then.

    Where no gradient reaches any, the last one with a grid: a broken network can still be checked.
    """
    for probe in (_noise(inputs), inputs):
        try:
            return choose_layer(network, probe, calls)
        except LayerError as error:
            if error.slug != "no-gradient":
                raise
    return choose(calls)


def _chosen(choice: Choice | None, layer: bool, method: bool) -> list[str]:
    if choice is None:
        return []
    if layer and method:
        return [f"Chosen: {choice.reason}."]
    return [f"Chosen: layer {choice.layer}."] if layer else [f"Chosen: method {choice.method}."]


def _once(what: str, names: Sequence[str]) -> tuple[str, ...]:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise OptionError(f"The {what} {repeated[0]!r} was named twice.")
    return tuple(names)


def _seen(layer: LayerCall, calls: Sequence[Call], shape: Sequence[int], grid: str | None) -> LayerCall:
    """The layer with the way in which its output is seen as a grid."""
    own = [call for call in calls if call.name == layer.name]
    if layer.call is not None:
        own = own[layer.call - 1 : layer.call]
    if not own:
        raise LayerError(
            f"Layer {layer.asked!r} never runs in the forward pass.\n"
            "  See the layers that run, with their grids:  seewhy layers --model …",
            slug="layer-never-runs",
        )
    found = grid_of(own[-1], calls, shape) if grid is None else read_grid(grid, own[-1].shape)
    return replace(layer, grid=found)

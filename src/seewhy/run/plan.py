"""From a classifier, images and options to a plan: everything is decided and checked here, before any work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.cam.capture import LayerCall, find_layer, forward, unwrap
from seewhy.cam.layers import Call, Choice, choose, fitting_size, input_channels, size_error, trace
from seewhy.cam.methods import METHODS, PRESETS, Method, method_name
from seewhy.cam.scores import Score, Target, find_score, one_logit_note
from seewhy.data.classifier import Classifier, load, with_classes
from seewhy.data.decode import UnreadableError, read_size
from seewhy.data.folder import ImageTable, read_table, with_labels
from seewhy.data.reader import Loaded, batch_of, load_image
from seewhy.errors import DataError, LayerError, ModelError, OptionError, listed, nearest
from seewhy.records import Preprocess
from seewhy.run.machine import usual_batch, usual_workers

FORMATS = ("jpg", "png")
SHARD = 64  # images at most, and so in a batch


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
    method: str
    score: Score
    preset: str | None
    batch_size: int
    image_format: str
    canvas: tuple[int, int]
    memory_format: torch.memory_format = torch.contiguous_format
    batch_asked: bool = False
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names, one per logit (two for a one-logit network)."""
        return self.classifier.classes or ()

    @property
    def cam(self) -> Method:
        """The method's function and units, as the preset has it."""
        return (PRESETS[self.preset] if self.preset else METHODS)[self.method]

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
    target: Target = "predicted",
    layers: str | Sequence[str] = "auto",
    method: str = "auto",
    preset: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    batch_size: int | None = None,
    image_format: str = "jpg",
    seed: int = 0,
) -> Plan:
    """The plan of an explanation. Raises the error that says what to change, before any work is done."""
    _check_options(preset, batch_size, image_format)
    classifier = classifier if isinstance(classifier, Classifier) else load(classifier)
    network, notes = unwrap(classifier.model)
    classifier = replace(classifier, model=network)
    table = read_table(images, limit=limit, sample=sample, seed=seed)
    classifier = _with_size(classifier, table)
    inputs = first_input(classifier, table)
    logits, calls = _probe(network, inputs)
    n_logits = logits.shape[1]
    classifier, table, said = _with_classes(classifier, table, n_logits)
    score = find_score(target, classifier.classes or ())
    if score.needs_labels and table.items is None and not any(image.label for image in table.images):
        raise DataError(
            "The target is 'label', but no image has one.\n  Use class folders or a CSV, or:  --target predicted",
            slug="no-labels",
        )
    names, chosen, why = _layers_and_method(network, calls, layers, method, preset)
    found = tuple(find_layer(network, name) for name in names)
    grids = {layer.asked: _grid(layer, calls) for layer in found}
    runs = Counter(call.name for call in calls)
    shared = [c.name for c in found if not c.call and runs[c.name] > 1]
    workers = usual_workers(classifier.device, -(-len(table) // _shard_size(len(table))))
    usual = usual_batch(calls, found, network, classifier.device, workers)
    canvas = (inputs.shape[2], inputs.shape[3])
    said = [*classifier.notes, *notes, *table.notes, *said, *why]
    said += [
        f"{name} runs {runs[name]} times in one pass; the last is explained ({name}@1 names the first)."
        for name in shared
    ]
    return Plan(
        classifier,
        table,
        found,
        grids,
        chosen,
        score,
        preset,
        min(batch_size or usual, SHARD),
        image_format,
        canvas,
        torch.contiguous_format if preset else _memory_format(network, inputs, logits),
        batch_size is not None,
        tuple(said),
    )


def trace_classifier(classifier: Classifier) -> tuple[list[Call], tuple[int, int]]:
    """Every layer call for an input of the classifier's own size, or of the first usual size that fits."""
    network, _ = unwrap(classifier.model)
    preprocess = classifier.preprocess
    size = preprocess.size if isinstance(preprocess, Preprocess) else None
    channels = input_channels(network)
    if size is None:
        fitting = fitting_size(network, channels)
        if fitting is None:
            raise ModelError("No usual square input from 16 to 512 pixels fits this network.  Give one:  --size 256")
        size = (fitting, fitting)
    calls = _probe(network, torch.zeros(1, channels, *size))[1]
    return calls, size


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


def _probe(network: nn.Module, inputs: Tensor) -> tuple[Tensor, list[Call]]:
    """The logits (1, K), and every layer call; a network that cannot take the input says what fits."""
    try:
        logits = forward(network, inputs)
        like = next((p for p in network.parameters() if p.is_floating_point()), inputs)
        return logits, trace(network, inputs.to(like.device, like.dtype))
    except (RuntimeError, ValueError, AssertionError) as error:
        if "memory" in str(error).lower():
            raise
        raise size_error(network, inputs.shape, error) from error


def _memory_format(network: nn.Module, inputs: Tensor, logits: Tensor) -> torch.memory_format:
    """Channels last on a CPU, where convolutions and pools are faster, unless the network minds (a .view of features).

    Only the input is laid out so; the network's parameters stay as they are. The order of summation differs, which can
    turn a maximum pool in a near-empty map: a preset, whose pictures must be equal, keeps the peer's layout.
    """
    if logits.device.type != "cpu":
        return torch.contiguous_format
    try:
        again = forward(network, inputs.contiguous(memory_format=torch.channels_last))
    except RuntimeError:
        return torch.contiguous_format
    same = torch.allclose(again, logits, rtol=1e-4, atol=1e-5, equal_nan=True)
    return torch.channels_last if same else torch.contiguous_format


def _with_classes(classifier: Classifier, table: ImageTable, n_logits: int) -> tuple[Classifier, ImageTable, list[str]]:
    """Class names for every logit: the user's, else the folders' if their count fits, else numbers; and what to say."""
    count = max(n_logits, 2)
    notes = []
    if classifier.classes is not None:
        names = classifier.classes
        if len(names) != count:
            one = " (a one-logit network has two classes)" if n_logits == 1 else ""
            raise DataError(
                f"{len(names)} class names were given ({listed(names)}), but the network has {n_logits} logits{one}.",
                slug="class-count",
            )
    elif len(table.classes) == count:
        names = table.classes
        notes.append(f"Classes from the data: {listed([f'{index} = {name}' for index, name in enumerate(names)])}.")
    else:
        names = tuple(str(index) for index in range(count))
        if table.classes:
            notes.append(
                f"The data names {len(table.classes)} classes and the network has {n_logits} logits, so classes are "
                "numbers.  Name them with --classes."
            )
    if n_logits == 1:
        notes.append(one_logit_note(names))
    return with_classes(classifier, names), with_labels(table, names), notes


def _layers_and_method(
    network: nn.Module, calls: Sequence[Call], layers: str | Sequence[str], method: str, preset: str | None
) -> tuple[list[str], str, list[str]]:
    names = [layers] if isinstance(layers, str) else list(layers)
    names = [name.strip() for text in names for name in text.split(",") if name.strip()]
    if not names:
        raise OptionError("No layer was named.  Name some, or leave the choice:  --layers auto")
    choice: Choice | None = None
    if "auto" in names or (method == "auto" and preset is None):
        choice = choose(calls)
    said = [f"Chosen: {choice.reason}."] if choice and "auto" in names and method == "auto" and preset is None else []
    if choice and not said:
        said = [f"Chosen: layer {choice.layer}."] if "auto" in names else [f"Chosen: method {choice.method}."]
    automatic = "grad-cam" if preset or choice is None else choice.method
    chosen = automatic if method == "auto" else method_name(method)
    names = [choice.layer if name == "auto" and choice else name for name in names]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise OptionError(f"The layer {repeated[0]!r} was named twice.")
    return names, chosen, said


def _grid(layer: LayerCall, calls: Sequence[Call]) -> tuple[int, int]:
    own = [call for call in calls if call.name == layer.name]
    if layer.call is not None:
        own = own[layer.call - 1 : layer.call]
    if not own:
        raise LayerError(
            f"Layer {layer.asked!r} never runs in the forward pass.\n"
            "  See the layers that run, with their grids:  seewhy layers --model …",
            slug="layer-never-runs",
        )
    shape = own[-1].shape
    if len(shape) != 4:
        raise LayerError(
            f"Layer {layer.asked!r} gives shape {shape}, where a grid of features (N, C, H, W) is needed.\n"
            "  See the layers that have a grid:  seewhy layers --model …",
            slug="layer-without-grid",
        )
    return shape[2], shape[3]

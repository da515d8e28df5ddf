"""From a classifier, images and options to a plan: everything is decided and checked here, before any work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.cam.capture import LayerCall
from seewhy.cam.layers.choice import Candidate, Choice, candidates
from seewhy.cam.methods.catalogue import PRESETS, SMOOTHINGS, Method, find_method
from seewhy.cam.model import (
    as_input,
    draws,
    fitting_size,
    input_channels,
    refuse_meta,
    refuse_programs,
    state_of,
    unwrap,
    written_by,
)
from seewhy.cam.scores.form import formed
from seewhy.cam.scores.targets import Score, Targets, find_scores, one_logit_note
from seewhy.data.classifier import Classifier, load, with_classes
from seewhy.data.decode import UnreadableError, read_size
from seewhy.data.folder import ImageTable, read_table, with_labels
from seewhy.data.reader import Loaded, batch_of, load_image
from seewhy.data.window import with_window
from seewhy.errors import DataError, ModelError, OptionError, listed, nearest
from seewhy.geometry import geometry_of
from seewhy.records import INPUT, MapKey, Preprocess, Task
from seewhy.run.machine import usual_batch, usual_workers
from seewhy.run.methods import MethodName, named_methods, try_methods
from seewhy.run.probe import (
    ONE_LABEL_NOTE,
    Probe,
    chosen_layer,
    layers_and_methods,
    memory_format_for,
    probe_network,
    split_names,
)
from seewhy.run.steady import check_steady

FORMATS = ("jpg", "png")
DRAWS_NOTE = (
    "The network draws random numbers in eval mode, too (dropout that does not ask for self.training?): the same image "
    "may get other numbers each time."
)
_FIRST = 5  # images on which a network may fail before it is said to fail
SEVERAL_NOTE = (
    "Predicted are all labels with a probability of one half or more, right where they are the image's very set; the "
    "target 'predicted' explains the most probable."
)
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
) -> Plan:
    """The plan of an explanation. Raises the error that says what to change, before any work is done."""
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
    table = read_table(images, limit=limit, sample=sample, seed=seed)
    classifier = _with_size(with_window(classifier, table), table)
    check_steady(classifier, table, first_input)
    classifier, probe, inputs = _first_answered(classifier, table)
    network, probe = classifier.model, _as_multi_label(probe, classifier, table)
    classifier, table, said = _with_classes(classifier, table, probe)
    scores = find_scores(target, classifier.classes or (), task=probe.task, n_images=len(table))
    _check_scores(scores, table, probe)
    said += _without_one_label(scores, table, classifier.classes or (), probe.task)
    if "augment" in smoothings and probe.task in ("segmentation", "detection"):
        raise OptionError(
            f"--smooth augment mirrors the picture, and what is explained of a {probe.task} would not follow.\n"
            "  Leave it out."
        )
    methods, layer_calls, why = layers_and_methods(network, inputs, probe, layers, names, own_methods, preset, grid)
    try_methods(network, inputs, layer_calls, own_methods, scores, probe.task)
    shard = _shard_size(len(table))
    workers = usual_workers(classifier.device, -(-len(table) // shard))
    usual = usual_batch(probe.calls, layer_calls, network, classifier.device, workers)
    return Plan(
        classifier,
        table,
        layer_calls,
        {layer.asked: (layer.grid.height, layer.grid.width) for layer in layer_calls if layer.grid},
        methods,
        tuple(scores),
        probe.task,
        preset,
        smoothings,
        min(batch_size or _even_batch(usual, shard), SHARD),
        image_format,
        (inputs.shape[2], inputs.shape[3]),
        memory_format_for(network, inputs, probe, layer_calls, methods, preset),
        batch_size is not None,
        seed,
        (
            *classifier.notes,
            *notes,
            *table.notes,
            *probe.notes,
            *said,
            *why,
            *_batch_note(batch_size),
            *_misbehaviour(network),
        ),
        own_methods=own_methods,
        channels=inputs.shape[1],
        n_outputs=probe.logits.shape[1],
        state=state_of(network),
        form=str(probe.form),
    )


def layers_of(classifier: Classifier) -> tuple[list[Candidate], Choice, tuple[int, int]]:
    """The layers with a grid, the one that is chosen, and the input's (height, width).

    The input is of the classifier's own size, or of the first usual size that fits.
    """
    network, _ = unwrap(classifier.model)
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


def as_read(classifier: Classifier, inputs: Tensor, table: ImageTable | None = None) -> tuple[Classifier, Probe]:
    """The classifier whose network returns what is read of its output, and what its pass over these inputs shows."""
    counts: set[int] = set()
    if classifier.classes is not None:
        counts = {len(classifier.classes)}
    elif table is not None:
        counts = {len(table.classes), len({*table.classes, *table.empty})}
    n_names = len(classifier.classes or table.classes) if table is not None else 0
    has_labels = (
        table is not None
        and any(image.label for image in table.images)
        and not table.is_multi_label(classifier.classes, n_names)
    )
    fitting = tuple(sorted(counts - {0, 1}))
    probe = probe_network(classifier.model, inputs, classifier.task, classifier.asked, fitting, has_labels)
    return replace(classifier, model=formed(classifier.model, probe.form)), probe


def _shard_size(count: int) -> int:
    """Fewer in small runs; from 192 images on so that an even number of shards comes out full, for even work."""
    base = SHARD if count >= 1024 else 32 if count >= 256 else 16
    if count < 192 or base == SHARD:
        return base
    return min(range(base, base * 5 // 4 + 1), key=lambda size: -(-count // (2 * size)) * size)


def _even_batch(usual: int, shard: int) -> int:
    """About as many images at once as is usual, in equal parts of a shard."""
    return -(-shard // max(1, round(shard / usual)))


def _batch_note(asked: int | None) -> list[str]:
    return [f"A batch holds {SHARD} images at most; {asked} were asked for."] if asked and asked > SHARD else []


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
            sizes[geometry_of(read_size(image.path or ""), preprocess).canvas] += 1
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
    return replace(classifier, preprocess=replace(preprocess, size=next(iter(sizes)), shorter=None))


def _misbehaviour(network: nn.Module) -> list[str]:
    names = written_by(network)
    what = f"The network's forward pass changes {listed(names, 4)}, also in eval mode; it is put back after each batch."
    return [*([what] if names else []), *([DRAWS_NOTE] if draws(network) else [])]


def first_input(classifier: Classifier, table: ImageTable) -> Tensor:
    """The network's input (1, C, H, W) of the first image that can be read. Raises DataError where none can."""
    return next(_inputs(classifier, table))


def _inputs(classifier: Classifier, table: ImageTable) -> Iterator[Tensor]:
    """The network's input (1, C, H, W) of each image that can be read. Raises DataError where none can."""
    if isinstance(table.items, Tensor) and table.items.is_floating_point():
        for image in table.images:
            yield table.items[int(image.id), None].clone()  # a network may change its input in place
        return
    reasons = []
    for image in table.images:
        try:
            loaded: Loaded = load_image(table, image, classifier.preprocess)
        except UnreadableError as error:
            reasons.append(f"  {image.id}: {error}")
            continue
        yield batch_of([loaded], classifier.preprocess)
    if len(reasons) == len(table.images):
        more = f"\n  … and {len(reasons) - 3} more" if len(reasons) > 3 else ""
        raise DataError(
            f"None of the {len(reasons)} images can be read:\n" + "\n".join(reasons[:3]) + more, slug="no-images"
        )


def _first_answered(classifier: Classifier, table: ImageTable) -> tuple[Classifier, Probe, Tensor]:
    """The classifier as its output is read, what a pass shows, and its input: of the first image that it answers.

    Raises what the network raises where it fails on each of the first images.
    """
    failure: Exception | None = None
    for inputs in islice(_inputs(classifier, table), _FIRST):
        try:
            return *as_read(classifier, inputs, table), inputs
        except OptionError:
            raise
        except Exception as error:  # noqa: BLE001 -- the network's own code may raise anything; it is raised again below
            failure = failure or error
    raise failure or DataError("There is no image.", slug="no-images")


def _as_multi_label(probe: Probe, classifier: Classifier, table: ImageTable) -> Probe:
    """What was probed, as multi-label where nobody said what the output means and the labels are sets of classes."""
    if classifier.task or probe.task != "classification":
        return probe
    several = table.is_multi_label(classifier.classes, probe.logits.shape[1])
    if not several:
        return probe
    return replace(probe, task="multi-label", notes=tuple(note for note in probe.notes if note != ONE_LABEL_NOTE))


def _with_classes(classifier: Classifier, table: ImageTable, probe: Probe) -> tuple[Classifier, ImageTable, list[str]]:
    """Class names for every logit: the user's, else the folders' if their count fits, else numbers; and what to say."""
    n_logits, one_logit = probe.logits.shape[1], probe.task == "classification" and probe.logits.shape[1] == 1
    unnamed = probe.task in ("embedding", "detection")  # whose numbers are not those of classes
    count = 2 if one_logit else 0 if unnamed else n_logits
    notes = [] if probe.task == "classification" else [f"The network's output is read as: {probe.task} (--task)."]
    if classifier.classes is not None:
        names = classifier.classes
        if len(names) != count and not unnamed:
            why = " (a one-logit network has two classes)" if one_logit else ""
            raise DataError(
                f"{len(names)} class names were given ({listed(names)}), but the network has {n_logits} logits{why}.",
                slug="class-count",
            )
    elif probe.task in ("classification", "multi-label") and (fitting := table.class_names(count)):
        names = fitting
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
    if probe.task == "multi-label":
        notes.append(SEVERAL_NOTE)
    return with_classes(classifier, names), with_labels(table, names, probe.task), notes


def _check_scores(scores: Sequence[Score], table: ImageTable, probe: Probe) -> None:
    """Raise the error of a target that cannot be had of these images or of this output."""
    if any(score.needs_labels for score in scores) and table.items is None and not any(i.label for i in table.images):
        raise DataError(
            "The target is 'label', but no image has one.\n  Use class folders or a CSV, or:  --target predicted",
            slug="no-labels",
        )
    for score in scores:
        if not score.needs_labels and score.count is None:
            score.fix(probe.output)(probe.output)


def _without_one_label(scores: Sequence[Score], table: ImageTable, classes: Sequence[str], task: Task) -> list[str]:
    """That images with several labels, or with none, have no map for the target "label"."""
    count = sum(image.label not in classes for image in table.images)
    if task != "multi-label" or not count or not any(score.needs_labels for score in scores):
        return []
    example = f"  Name a label:  --target {classes[0]}" if classes else ""
    return [f"The target 'label' is of images with a single one: {count:,} have none or several, and no map.{example}"]


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

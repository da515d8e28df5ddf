"""Train a classifier the plain way: Adam, one checkpoint an epoch, resumed to the bit."""

from __future__ import annotations

import copy
import hashlib
import math
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy.cam.model import fitting_size, input_channels, logits_of, untouched, unwrap
from seewhy.cam.scores.targets import predicted
from seewhy.data.classifier import RANDOM_NOTE, Classifier, load
from seewhy.data.decode import UnreadableError
from seewhy.data.extras import readers_of
from seewhy.data.folder import read_table
from seewhy.data.reader import Loaded, batch_of, load_image
from seewhy.data.weights import SUFFIXES, load_weights
from seewhy.data.window import with_window
from seewhy.errors import DataError, ModelError, OptionError, SeewhyError, WorkError, counted, listed
from seewhy.learn.history import PLOT, EpochWatch, HistoryRow, Training, best_epoch, place, write_plot, write_table
from seewhy.learn.splits import Splits, choose_splits
from seewhy.records import Image, Preprocess, Progress
from seewhy.run.first_pass import first_input
from seewhy.run.identity import answers_of, are_near
from seewhy.run.machine import out_of_memory
from seewhy.run.progress import chosen_progress
from seewhy.run.source import source_digest
from seewhy.store import manifest

__all__ = ["HistoryRow", "Training", "batches_of", "train"]

MOST_KEPT_BYTES = 2**30  # decoded images beyond this are decoded anew in each epoch
STATE = "state.pt"


@dataclass
class _Job:
    """A training under way; `identity` is what a resumed one must share, `done` and `total` count images."""

    classifier: Classifier  # with a network of our own
    splits: Splits
    batch_size: int
    rate: float
    seed: int
    folder: Path
    identity: dict[str, str]
    notes: list[str]
    optimizer: torch.optim.Optimizer
    report: Progress
    watch: EpochWatch | None = None
    kept: dict[str, Loaded] = field(default_factory=dict)
    content: str = ""  # a hash of all images as they were read
    total: int = 0
    done: int = 0

    @cached_property
    def canvas(self) -> tuple[int, int]:
        """The input's (height, width), as the first image has it."""
        height, width = first_input(self.classifier, self.splits.table).shape[2:]
        return height, width

    def advance(self, count: int) -> None:
        self.done = min(self.done + count, self.total)
        self.report(self.done, self.total)


def train(
    model: str | nn.Module,
    data: Any,
    *,
    epochs: int = 5,
    batch_size: int = 32,
    rate: float = 1e-3,
    seed: int = 0,
    patience: int | None = None,
    resume: bool = False,
    out: str | Path = "checkpoints",
    classes: Sequence[str] | None = None,
    model_args: Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    watch: EpochWatch | None = None,
    progress: bool | Progress = True,
    **changes: Any,
) -> Training:
    """Checkpoints and a history of `model`, trained on the images in `data`, in the folder `out`/<network's name>.

    Args:
        model, model_args: as in load; a module of yours is copied and not changed
        data: images with labels, split into train and valid (else a seeded fifth of each class is held out)
        epochs: passes over the training images, counted from 0 in file names
        batch_size, rate: images a step; Adam's learning rate
        seed: of weights, shuffling and dropout
        patience: stop after so many epochs without a better loss on valid; None: never
        resume: go on where out stopped; epochs and patience may change, the rest may not
        out: checkpoints go to out/<name of the network>/model_<epoch>.pt
        classes: their names, in the order of the logits; None: from the data
        weights: a state dict to start from
        device: "auto", "cpu", "cuda", "cuda:1", "mps"
        watch: a Watch: what named factors do is measured after each epoch; it changes no weight
        progress: True: a bar; False: none; or a function of (done, total), in images
        **changes: epoch of weights, and fields of Preprocess: size, mean, …

    Returns:
        a Training: folder, epochs_done, history (a row for each epoch and split: epoch, split, loss,
        accuracy, n), best_epoch, classes, notes, and summary().

    Raises:
        DataError (no split, one class, sizes that differ), OptionError (the folder holds another training),
        WorkError (the loss became NaN, out of memory).

    Example:
        >>> import seewhy
        >>> training = seewhy.train(
        ...     "net.py:Net", "faces", epochs=8, batch_size=16, rate=0.003, model_args={"size": 32}, out="checkpoints"
        ... )
        >>> print(training.folder, training.best_epoch, training.history[-1].accuracy)
    """
    for name, value in {"epochs": epochs, "batch-size": batch_size, "patience": patience}.items():
        if value is not None and value < 1:
            raise OptionError(f"--{name} is {value}, but must be at least 1.")
    if not 0 < rate < math.inf:
        raise OptionError(f"--rate is {rate}, but must be a number above 0, like 0.001.")
    spec_or_copy = model if isinstance(model, str) else copy.deepcopy(unwrap(model)[0])
    with (
        untouched(nn.Identity()),
        torch.inference_mode(False),
        torch.enable_grad(),
        chosen_progress(progress, "Training") as report,
    ):
        _settle(seed, "weights", torch.device("cpu"))
        classifier = load(spec_or_copy, weights, classes=classes, model_args=model_args, device=device, **changes)
        table = read_table(data)
        classifier = with_window(replace(classifier, model=unwrap(classifier.model)[0]), table)
        splits = choose_splits(classifier, table, classes, seed)
        classifier, network = splits.classifier, splits.classifier.model
        typed = {"--weights": weights, "--model-arg": model_args or {}, "--batch-size": batch_size, "--rate": rate}
        if (epoch := changes.get("epoch")) is not None:  # of the weights to start from
            typed["--epoch"] = epoch
        if (weights_key := changes.get("weights_key")) is not None:
            typed["--weights-key"] = weights_key
        identity = _identity(classifier, splits, {**typed, "--seed": seed})
        optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=rate)
        folder = Path(out) / type(network).__name__
        notes = [*(note for note in classifier.notes if note != RANDOM_NOTE), *splits.notes]
        job = _Job(classifier, splits, batch_size, rate, seed, folder, identity, notes, optimizer, report, watch)
        with untouched(network), manifest.writer(folder):
            return _run(job, epochs, patience, resume)


def batches_of(n_images: int, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The places of the images in each batch of an epoch: a shuffle that depends on nothing but the arguments.

    A last batch of a single image is joined to the one before, since batch norm cannot train on it.
    """
    generator = torch.Generator().manual_seed(_number(seed, f"epoch {epoch}"))
    order = torch.randperm(n_images, generator=generator).tolist()
    batches = [order[start : start + batch_size] for start in range(0, n_images, batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1 < batch_size:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches


def _identity(classifier: Classifier, splits: Splits, typed: Mapping[str, Any]) -> dict[str, str]:
    rows = [[name, image.id, image.label] for name, images in splits.images.items() for image in images]
    counts = " and ".join(f"{len(images)} {name}" for name, images in splits.images.items())
    readers = readers_of(image.path for images in splits.images.values() for image in images)
    facts = {
        **readers,
        "preprocess": classifier.identity()["preprocess"],
        "classes": ", ".join(splits.classes),
        "data": f"{counts} images (list {manifest.digest_of(rows)})",
        "device": classifier.device.type,
        "network": source_digest(classifier.model, [classifier.preprocess] if callable(classifier.preprocess) else []),
    }
    return {name: str(value) for name, value in (facts | dict(typed)).items()}


def _run(job: _Job, epochs: int, patience: int | None, resume: bool) -> Training:
    history = _resumed(job, resume)
    first = len(history) // 2
    if job.watch is not None:
        job.watch.begin(replace(job.splits.table, images=tuple(job.splits.images["valid"])))
        job.watch.resume(job.folder, first)
    if isinstance(how := job.classifier.preprocess, Preprocess) and how != Preprocess():
        job.notes.append(f"Trained on images as {how.describe()}: explain and check need the same options.")
    n_train, n_valid = (len(images) for images in job.splits.images.values())
    job.total = n_train + n_valid + max(0, epochs - first) * (2 * n_train + n_valid)
    images: dict[str, list[Image]] = {}
    for epoch in range(first, epochs):
        if history and patience is not None and epoch - 1 - best_epoch(history) >= patience:
            job.notes.append(f"Stopped after epoch {epoch - 1}: no better valid loss for {patience} epochs.")
            break
        images = images or _read(job)
        history += _epoch(job, images, epoch)
        if job.watch is not None:
            job.watch(replace(job.classifier, classes=job.splits.classes), epoch)
            job.watch.save(job.folder)
        _write_epoch(job, history)
    if len(history) > 2 * first or not (job.folder / PLOT).exists():
        job.notes += write_plot(job.folder, history, job.watch)
    job.advance(job.total)
    done, best = len(history) // 2, best_epoch(history)
    return Training(job.folder, done, tuple(history), best, job.splits.classes, tuple(job.notes), job.watch)


def _resumed(job: _Job, resume: bool) -> list[HistoryRow]:
    """The history so far, with network and optimizer as they were then. Raises OptionError for another training's."""
    held = sorted(path.name for path in job.folder.iterdir() if path.suffix in SUFFIXES)
    another = f"--out {job.folder.parent}-2"
    if not held or (resume and held == ["model_0.pt"]):  # stopped before the state was written: it did not happen
        return []
    if not resume:
        raise OptionError(
            f"{job.folder} already holds a training ({listed(held, 3)}).\n  Go on with it:  --resume\n"
            f"  Or keep it, and name another folder:  {another}",
            slug="folder-holds-training",
        )
    path = job.folder / STATE
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        there, rows, memory = state["identity"], state["history"], state["optimizer"]
        job.content = state.get("images", "")
    except Exception as error:
        raise OptionError(f"{path} cannot be read, so nothing can be resumed: {error}\n  Type:  {another}") from error
    asked = {key: value for key, value in job.identity.items() if key in there or key != "network"}  # of older versions
    changed = [
        f"  {key}: {there.get(key)} there, {value} asked" for key, value in asked.items() if there.get(key) != value
    ]
    if changed:
        said = (f"{job.folder} holds another training; these differ:", *changed, f"  Type:  {another}")
        raise OptionError("\n".join(said), slug="another-training")
    load_weights(job.classifier.model, job.folder / f"model_{rows[-1][0]}.pt")
    answers = state.get("answers")
    if isinstance(answers, list) and not are_near(_answers_now(job), answers):
        raise OptionError(
            f"{job.folder} holds another training: with the weights of epoch {rows[-1][0]} the network answers "
            f"otherwise than it did then, so its code, or what that reads, has changed.\n  Type:  {another}",
            slug="another-training",
        )
    job.optimizer.load_state_dict(memory)
    return [HistoryRow(*row) for row in rows]


def _read(job: _Job) -> dict[str, list[Image]]:
    """The images that can be read, decoded once and kept while there is room; the others are left out, and said."""
    readable: dict[str, list[Image]] = {name: [] for name in job.splits.images}
    unreadable, sizes, room, network = [], set(), MOST_KEPT_BYTES, job.classifier.model
    digests = []
    _settle(job.seed, "reading", job.classifier.device)  # a Dataset's own code may draw numbers
    for name, image in ((name, image) for name, images in job.splits.images.items() for image in images):
        job.advance(1)
        try:
            loaded = load_image(job.splits.table, image, job.classifier.preprocess)
        except UnreadableError as error:
            unreadable.append(f"{image.id} ({error})")
            continue
        sizes.add(loaded.geometry.canvas)
        if len(sizes) > 1:
            size = fitting_size(network, input_channels(network)) or 224
            raise DataError(f"The images have different sizes.\n  Give one:  --size {size}", slug="mixed-sizes")
        readable[name].append(image)
        digests.append([image.id, loaded.digest])
        room -= sum(part.nbytes for part in (loaded.canvas, loaded.inputs) if part is not None)
        if room >= 0:
            job.kept[image.id] = replace(loaded, photograph=loaded.picture[:0].copy())
    reasons = listed(unreadable, 3)
    if empty := [name for name, images in readable.items() if not images]:
        raise DataError(f"No image of the split {listed(empty)} can be read: {reasons}.", slug="no-images")
    content = manifest.digest_of(digests)
    if job.content not in ("", content):
        raise OptionError(
            f"{job.folder} holds a training on images of the same names with other content.\n"
            f"  Train anew:  --out {job.folder.parent}-2",
            slug="another-training",
        )
    job.content = content
    if unreadable:
        job.notes.append(f"Left out, since they cannot be read: {counted(len(unreadable), 'image')}: {reasons}.")
    return readable


def _epoch(job: _Job, images: dict[str, list[Image]], epoch: int) -> list[HistoryRow]:
    """One pass over the training images, and what both splits measure after it."""
    _settle(job.seed, f"epoch {epoch}", job.classifier.device)
    try:
        _learn(job, images["train"], epoch)
        rows = [_measured(job, images[name], epoch, name) for name in images]
    except (RuntimeError, ValueError, MemoryError, UnreadableError) as error:
        raise _failed(job, error) from error
    if not all(math.isfinite(row.loss) for row in rows):
        good = job.folder / f"model_{epoch - 1}.pt"
        last = f"The last good checkpoint is {good}." if epoch else "No epoch was finished."
        raise WorkError(
            f"The loss became NaN or infinite in epoch {epoch}.  {last}\n"
            f"  Take smaller steps:  --rate {job.rate / 10:g} --out {job.folder.parent}-2",
            slug="diverged",
        )
    return rows


def _learn(job: _Job, images: Sequence[Image], epoch: int) -> None:
    job.classifier.model.train()
    for places in batches_of(len(images), job.batch_size, job.seed, epoch):
        loss = _loss(*_answers(job, [images[place] for place in places]))
        job.optimizer.zero_grad()
        torch.autograd.backward(loss)
        job.optimizer.step()
        job.advance(len(places))


def _measured(job: _Job, images: Sequence[Image], epoch: int, split: str) -> HistoryRow:
    loss, right = 0.0, 0
    job.classifier.model.eval()
    with torch.no_grad():
        for start in range(0, len(images), job.batch_size):
            logits, targets = _answers(job, images[start : start + job.batch_size])
            loss += float(_loss(logits, targets, "sum"))
            right += int((predicted(logits) == targets).sum())
            job.advance(len(targets))
    return HistoryRow(epoch, split, loss / len(images), right / len(images), len(images))


def _answers(job: _Job, images: Sequence[Image]) -> tuple[Tensor, Tensor]:
    """The logits (N, K) for some images, and their class indices (N,)."""
    classifier, splits = job.classifier, job.splits
    loaded = [job.kept.get(i.id) or load_image(splits.table, i, classifier.preprocess) for i in images]
    like = next(p for p in classifier.model.parameters() if p.is_floating_point())
    inputs = batch_of(loaded, classifier.preprocess).to(classifier.device, like.dtype)
    targets = torch.tensor([splits.classes.index(image.label or "") for image in images])
    logits = logits_of(classifier.model(inputs), len(images))
    return logits if logits.dtype == torch.float64 else logits.float(), targets.to(classifier.device)


def _loss(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy; on one logit its binary form, in which above 0 means the second class."""
    if logits.shape[1] > 1:
        return functional.cross_entropy(logits, targets, reduction=reduction)
    return functional.binary_cross_entropy_with_logits(logits[:, 0], targets.to(logits.dtype), reduction=reduction)


def _write_epoch(job: _Job, history: list[HistoryRow]) -> None:
    """The checkpoint, the table, and last the state, so that a state never speaks of what is not there."""
    rows = [list(astuple(row)) for row in history]
    state = {
        "identity": job.identity,
        "history": rows,
        "optimizer": job.optimizer.state_dict(),
        "images": job.content,
        "answers": _answers_now(job),
    }
    weights = {name: value.cpu() for name, value in job.classifier.model.state_dict().items()}
    place(job.folder / f"model_{history[-1].epoch}.pt", lambda file: torch.save(weights, file))
    write_table(job.folder, history)
    place(job.folder / STATE, lambda file: torch.save(_unshared(state), file))


def _answers_now(job: _Job) -> list[float] | str | None:
    """What the network answers to a made picture, with the weights that it has."""
    return answers_of(job.classifier, job.splits.table, job.canvas)


def _unshared(value: Any) -> Any:
    """A copy in which equal words are one object and nothing else is, so that equal states have equal bytes."""
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, Mapping):
        return {_unshared(key): _unshared(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_unshared, value))
    return value.detach().cpu().clone() if isinstance(value, Tensor) else value


def _failed(job: _Job, error: Exception) -> SeewhyError:
    """What went wrong in an epoch: in training a network may do what it did not in the first pass."""
    if isinstance(error, UnreadableError):
        return WorkError(f"An image could be read at first, and no more: {error}.  Then:  --resume")
    if (full := out_of_memory(error, job.batch_size)) is not None:
        return full
    name = type(job.classifier.model).__name__
    return ModelError(f"{name} ran, but cannot be trained: {error}", slug="cannot-train")


def _settle(seed: int, step: str, device: torch.device) -> None:
    """Begin a step with random states that depend only on the seed and the step; the caller puts the old ones back."""
    random.seed(_number(seed, step))
    torch.default_generator.manual_seed(_number(seed, step))
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(_number(seed, step))


def _number(seed: int, step: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {step}".encode(), digest_size=7).digest())

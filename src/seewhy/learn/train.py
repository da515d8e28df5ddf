"""Train a classifier the plain way: Adam, one checkpoint an epoch, resumed to the bit.

Longer than 300 lines because the choice of the splits and the history with its plot are decided here too.
"""

from __future__ import annotations

import copy
import csv
import hashlib
import importlib
import io
import math
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy.cam.capture import forward, logits_of, untouched, unwrap
from seewhy.cam.layers import fitting_size, input_channels, size_error
from seewhy.cam.scores import one_logit_note, predicted
from seewhy.data.classifier import RANDOM_NOTE, Classifier, load
from seewhy.data.decode import UnreadableError
from seewhy.data.folder import ImageTable, read_table, with_labels
from seewhy.data.reader import Loaded, batch_of, load_image
from seewhy.data.weights import SUFFIXES, load_weights
from seewhy.errors import DataError, MissingExtraError, ModelError, OptionError, WorkError, listed
from seewhy.records import Image, Preprocess, Progress
from seewhy.store import manifest

MOST_KEPT_BYTES = 2**30  # decoded images beyond this are decoded anew in each epoch
HELD_OUT_FRAC = 0.2
STATE, HISTORY, PLOT = "state.pt", "history.csv", "history.png"
_ROLES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "validation", "val", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_NO_PICTURE = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class HistoryRow:
    """Mean loss and share of right answers over the `n` images of a split, in eval mode after the epoch."""

    epoch: int
    split: str
    loss: float
    accuracy: float
    n: int


@dataclass(frozen=True)
class Training:
    """A finished training: `folder` holds model_<epoch>.pt, history.csv and history.png; epochs count from 0.

    `history` has one row per epoch and split ("train", "valid"), `best_epoch` the lowest valid loss, and `notes` say
    what had to be decided or left out.
    """

    folder: Path
    epochs_done: int
    history: tuple[HistoryRow, ...]
    best_epoch: int
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, Any]:
        """The outcome in a few plain values, ready for JSON."""
        best = {row.split: row for row in self.history if row.epoch == self.best_epoch}
        return {
            "checkpoint": str(self.folder / f"model_{self.best_epoch}.pt"),
            "epochs_done": self.epochs_done,
            "best_epoch": self.best_epoch,
            "train_accuracy": best["train"].accuracy,
            "valid_accuracy": best["valid"].accuracy,
            "valid_loss": best["valid"].loss,
            "n_train": best["train"].n,
            "n_valid": best["valid"].n,
            "classes": list(self.classes),
        }


@dataclass(frozen=True)
class _Schedule:
    epochs: int
    batch_size: int
    rate: float
    seed: int
    patience: int | None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"--{name.replace('_', '-')} is {value}, but must be at least 1.")
        if not 0 < self.rate < math.inf:
            raise OptionError(f"--rate is {self.rate}, but must be a number above 0, like 0.001.")


@dataclass(frozen=True)
class _Job:
    """A training with nothing left to decide; `identity` is what a resumed one must share."""

    classifier: Classifier  # with a network of our own and the classes in order
    table: ImageTable
    splits: dict[str, tuple[Image, ...]]
    schedule: _Schedule
    folder: Path
    identity: dict[str, str]
    notes: list[str]


@dataclass(frozen=True)
class _Split:
    """The readable images of a split with their class indices; `kept` holds the decoded ones, by id."""

    job: _Job
    images: list[Image]
    kept: dict[str, Loaded]

    def answers(self, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The logits (N, K) for some images, and their class indices (N,)."""
        classifier = self.job.classifier
        images = [self.images[place] for place in places]
        try:
            loaded = [self.kept.get(i.id) or load_image(self.job.table, i, classifier.preprocess) for i in images]
        except UnreadableError as error:
            raise WorkError(f"An image could be read at first, and no more: {error}.  Then:  --resume") from error
        like = next(p for p in classifier.model.parameters() if p.is_floating_point())
        inputs = batch_of(loaded, classifier.preprocess).to(classifier.device, like.dtype)
        logits = logits_of(classifier.model(inputs), len(images))
        targets = torch.tensor([(classifier.classes or ()).index(image.label or "") for image in images])
        return logits if logits.dtype == torch.float64 else logits.float(), targets.to(classifier.device)


@dataclass
class _Ticker:
    """Progress in images: how many were gone through, of those that are known to come."""

    report: Progress
    total: int = 0
    done: int = 0

    def expect(self, count: int) -> None:
        self.total = self.done + count

    def advance(self, count: int) -> None:
        self.done += count
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
    progress: Progress | None = None,
    **changes: Any,
) -> Training:
    """Checkpoints and a history of `model`, trained on the images in `data`, in the folder `out`/<network's name>.

    `model`, `model_args`, `device` and `changes` (size, fit, mean, std, range, channels) are as in `seewhy.load`; a
    module is copied and not changed. `weights` are those to start from. `data` is any labelled source that `explain`
    takes, with train and valid splits (test where there is no valid); of a single split a seeded fifth of each class
    is held out. Adam with learning rate `rate` and cross-entropy (on one logit: its binary form); no augmentation.
    Both splits are measured in eval mode after each epoch. `patience` stops after that many epochs without a better
    valid loss. `resume` goes on where `out` stopped; `epochs` and `patience` may change, the rest may not. On a CPU
    the result depends on nothing but the arguments and the number of threads. Raises the SeewhyError that says what
    to change.
    """
    schedule = _Schedule(epochs, batch_size, rate, seed, patience)
    own = model if isinstance(model, str) else copy.deepcopy(unwrap(model)[0])
    with untouched(nn.Identity()), torch.inference_mode(False), torch.enable_grad():
        _settle(seed, "weights", torch.device("cpu"))
        classifier = load(own, weights, classes=classes, model_args=model_args, device=device, **changes)
        network = unwrap(classifier.model)[0].to(classifier.device)
        try:
            job = _prepared(replace(classifier, model=network), read_table(data), schedule, Path(out), classes)
            # A module handed over is rarely made twice with the same weights, so only others are compared.
            start = str(classifier.identity()["weights"]) if isinstance(model, str) or weights else "a module"
            job.identity.update({"starting weights": start, "--model-arg": str(dict(model_args or {}))})
            with untouched(network), manifest.writer(job.folder):
                return _run(job, resume, _Ticker(progress or (lambda done, total: None)))
        except (RuntimeError, MemoryError) as error:
            if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
                raise
            less = f"--batch-size {max(1, batch_size // 4)}"
            raise WorkError(f"Out of memory.\n  Type:  {less}", slug="out-of-memory") from error


def batches_of(n_images: int, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The places of the images in each batch of an epoch: a shuffle that depends on nothing but the arguments.

    A last batch of a single image is joined to the one before, since batch norm cannot train on it.
    """
    generator = torch.Generator().manual_seed(_number(seed, f"epoch {epoch}"))
    order = torch.randperm(n_images, generator=generator).tolist()
    batches = _cut(order, batch_size)
    if len(batches) > 1 and len(batches[-1]) == 1 < batch_size:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches


def _prepared(
    classifier: Classifier, table: ImageTable, schedule: _Schedule, out: Path, asked: Sequence[str] | None
) -> _Job:
    """The job, with every mistake found that can be found before images are read and epochs run."""
    n_logits = _n_logits(classifier, table)
    names = _class_names(table, asked, n_logits)
    table = with_labels(table, names)
    splits, said = _splits(table, names, schedule.seed)
    notes = [note for note in classifier.notes if note != RANDOM_NOTE] + [*table.notes, *said]
    if asked is None and classifier.classes not in (None, names):
        notes.append(f"The network's own class names give way to the data's:  --classes {','.join(names)}")
    notes += [one_logit_note(names)] if n_logits == 1 else []
    if isinstance(how := classifier.preprocess, Preprocess) and how != Preprocess():
        notes.append(f"Trained on images as {how.describe()}: explain and check need the same options.")
    listing = manifest.digest_of([[name, i.id, i.label] for name, images in splits.items() for i in images])
    identity = {
        "network": type(classifier.model).__name__,
        "preprocess": str(classifier.identity()["preprocess"]),
        "classes": ", ".join(names),
        "data": f"{len(splits['train'])} train and {len(splits['valid'])} valid images (list {listing})",
        "device": classifier.device.type,
        **{f"--{name.replace('_', '-')}": str(getattr(schedule, name)) for name in ("batch_size", "rate", "seed")},
    }
    folder = out / type(classifier.model).__name__
    return _Job(replace(classifier, classes=names), table, splits, schedule, folder, identity, notes)


def _n_logits(classifier: Classifier, table: ImageTable) -> int:
    """How many logits the network gives for the first image that can be read; a size that fails names one that fits."""
    if not any(parameter.requires_grad for parameter in classifier.model.parameters()):
        raise ModelError(f"{type(classifier.model).__name__} has no parameter to train: all are frozen, or none exist.")
    reason = ""
    for image in table.images:
        try:
            inputs = batch_of([load_image(table, image, classifier.preprocess)], classifier.preprocess)
        except UnreadableError as error:
            reason = reason or f"{image.id}: {error}"
            continue
        try:
            return forward(classifier.model, inputs).shape[1]
        except (RuntimeError, ValueError, AssertionError) as error:
            if "memory" in str(error).lower():
                raise
            raise size_error(classifier.model, inputs.shape, error) from error
    raise DataError(f"None of the {len(table)} images can be read.\n  {reason}", slug="no-images")


def _class_names(table: ImageTable, asked: Sequence[str] | None, n_logits: int) -> tuple[str, ...]:
    """The class names in the order of the logits, which is the data's own; `asked` may only name or select."""
    labels = {image.label for image in table.images if image.label is not None}
    if not labels:
        raise DataError(
            f"No image of {table.source} has a label.\n  Training needs class folders like train/cat and train/dog, a "
            "CSV with a column 'label', or a Dataset with `targets`.",
            slug="no-labels",
        )
    names = table.classes or tuple(sorted(labels))
    if not table.classes and all(label.isdigit() for label in labels):
        names = tuple(str(index) for index in range(max(map(int, labels)) + 1))
    if asked is not None:
        shared = [name for name in asked if name in names]
        if shared != [name for name in names if name in asked]:
            raise OptionError(
                f"--classes says {', '.join(asked)}, but the data's order is {', '.join(names)}, which explain and "
                "check go by.\n  Leave --classes out, or name them in that order.",
                slug="class-order",
            )
        names = tuple(asked)
    if len(names) != max(n_logits, 2):
        one = " (a one-logit network has two classes)" if n_logits == 1 else ""
        raise DataError(
            f"There are {len(names)} classes ({listed(names)}), but the network has {n_logits} logits{one}.\n"
            f"  Make a network of {len(names)}, if it takes an argument for it:  --model-arg num_classes={len(names)}",
            slug="class-count",
        )
    return names


def _splits(table: ImageTable, names: tuple[str, ...], seed: int) -> tuple[dict[str, tuple[Image, ...]], list[str]]:
    """The labelled images to train on and to validate on, and what to say about the choice."""
    groups: defaultdict[str, list[Image]] = defaultdict(list)
    for image in table.images:
        word = (image.split or "").strip().lower()
        groups["no label" if image.label is None else _ROLES.get(word, word or "no split")].append(image)
    notes = [f"{len(groups['no label'])} images without a label were left out."] if groups["no label"] else []
    del groups["no label"]
    if not groups:
        raise DataError(f"No image has a label that is one of: {listed(names)}.", slug="no-labels")
    own = "train" if "train" in groups or len(groups) > 1 else next(iter(groups))
    if own not in groups:
        raise DataError(f"The data has the splits {listed(sorted(groups))}, but none is called train.", slug="no-split")
    valid = next((name for name in ("valid", "test") if name in groups and name != own), None)
    chosen = {"train": tuple(groups.pop(own))}
    if valid is None:
        chosen = _held_out(table, chosen["train"], seed)
        notes.append(f"There is no valid split: {len(chosen['valid'])} images, a fifth of each class, were held out.")
    else:
        chosen["valid"] = tuple(groups.pop(valid))
        notes += ["There is no split valid: test takes its place."] if valid == "test" else []
    notes += [f"{len(rest)} images of the split {name!r} were not used." for name, rest in sorted(groups.items())]
    absent = [name for name in names if name not in {image.label for image in chosen["train"]}]
    if len(absent) > len(names) - 2:
        raise DataError(f"There is no image to train on of class {listed(absent)}.", slug="one-class")
    return chosen, notes + ([f"No image to train on is of class {listed(absent)}."] if absent else [])


def _held_out(table: ImageTable, images: tuple[Image, ...], seed: int) -> dict[str, tuple[Image, ...]]:
    if len(images) < 2:
        raise DataError("There is one labelled image, too few to train on and to validate.", slug="no-split")
    count = max(1, round(HELD_OUT_FRAC * len(images)))
    valid = read_table(replace(table, images=images), sample=count, seed=seed).images  # classes keep their shares
    ids = {image.id for image in valid}
    return {"train": tuple(image for image in images if image.id not in ids), "valid": valid}


def _run(job: _Job, resume: bool, ticker: _Ticker) -> Training:
    network, schedule = job.classifier.model, job.schedule
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=schedule.rate)
    history = _resumed(job, optimizer, resume)
    first = done = len(history) // 2
    if done < schedule.epochs and not _stalled(history, schedule.patience):
        splits = _read(job, ticker, schedule.epochs - done)
    while done < schedule.epochs and not _stalled(history, schedule.patience):
        _settle(schedule.seed, f"epoch {done}", job.classifier.device)
        try:
            _learn(splits["train"], optimizer, done, ticker)
        except (RuntimeError, ValueError) as error:  # in training a network may do what it did not in the first pass
            raise _untrainable(network, error) from error
        rows = [_measured(splits[name], name, done, ticker) for name in ("train", "valid")]
        if not all(math.isfinite(row.loss) for row in rows):
            raise _diverged(job, done)
        history += rows
        done += 1
        _write_epoch(job, optimizer, history)
    if done < schedule.epochs:
        job.notes.append(f"Stopped after epoch {done - 1}: no better valid loss for {schedule.patience} epochs.")
    if done > first or not (job.folder / PLOT).exists():
        _draw(job, history)
    ticker.advance(ticker.total - ticker.done)
    return Training(
        job.folder, done, tuple(history), _best_epoch(history), job.classifier.classes or (), tuple(job.notes)
    )


def _resumed(job: _Job, optimizer: torch.optim.Optimizer, resume: bool) -> list[HistoryRow]:
    """The history so far, with network and optimizer as they were then. Raises OptionError for another training's."""
    held = sorted(path.name for path in job.folder.iterdir() if path.suffix in SUFFIXES)
    another = f"--out {job.folder.parent}-2"
    if not held:
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
    except Exception as error:
        raise OptionError(f"{path} cannot be read, so nothing can be resumed: {error}\n  Type:  {another}") from error
    asked = job.identity.items()
    changed = [f"  {key}: {there.get(key)} there, {value} asked" for key, value in asked if there.get(key) != value]
    if changed:
        raise OptionError(
            "\n".join((f"{job.folder} holds another training; these differ:", *changed, f"  Type:  {another}")),
            slug="another-training",
        )
    load_weights(job.classifier.model, job.folder / f"model_{rows[-1][0]}.pt")
    optimizer.load_state_dict(memory)
    return [HistoryRow(*row) for row in rows]


def _read(job: _Job, ticker: _Ticker, n_epochs: int) -> dict[str, _Split]:
    """Every image decoded once, kept while there is room; those that cannot be read are left out, and said."""
    sizes = {name: len(images) for name, images in job.splits.items()}
    ticker.expect(sum(sizes.values()) + n_epochs * (2 * sizes["train"] + sizes["valid"]))
    _settle(job.schedule.seed, "reading", job.classifier.device)  # a Dataset's own code may draw numbers
    splits = {name: _Split(job, [], {}) for name in job.splits}
    unreadable: list[str] = []
    shapes, room = set(), MOST_KEPT_BYTES
    for name, image in ((name, image) for name, images in job.splits.items() for image in images):
        ticker.advance(1)
        try:
            loaded = load_image(job.table, image, job.classifier.preprocess)
        except UnreadableError as error:
            unreadable.append(f"{image.id} ({error})")
            continue
        content = loaded.inputs if loaded.canvas is None else loaded.canvas
        shapes.add(() if content is None else tuple(content.shape))
        if len(shapes) > 1:
            size = fitting_size(job.classifier.model, input_channels(job.classifier.model)) or 224
            raise DataError(f"The images have different sizes.\n  Give one:  --size {size}", slug="mixed-sizes")
        splits[name].images.append(image)
        room -= 0 if content is None else content.nbytes
        if room >= 0:
            splits[name].kept[image.id] = replace(loaded, picture=_NO_PICTURE)
    if unreadable:
        job.notes.append(f"{len(unreadable)} images cannot be read and were left out: {listed(unreadable, 3)}.")
    if empty := [name for name, split in splits.items() if not split.images]:
        raise DataError(
            f"No image of the split {listed(empty)} can be read: {listed(unreadable, 3)}.", slug="no-images"
        )
    ticker.expect(n_epochs * (2 * len(splits["train"].images) + len(splits["valid"].images)))
    return splits


def _learn(split: _Split, optimizer: torch.optim.Optimizer, epoch: int, ticker: _Ticker) -> None:
    schedule = split.job.schedule
    split.job.classifier.model.train()
    for places in batches_of(len(split.images), schedule.batch_size, schedule.seed, epoch):
        logits, targets = split.answers(places)
        loss = _loss(logits, targets)
        if not math.isfinite(loss.item()):
            raise _diverged(split.job, epoch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        ticker.advance(len(places))


def _measured(split: _Split, name: str, epoch: int, ticker: _Ticker) -> HistoryRow:
    n_images, loss, right = len(split.images), 0.0, 0
    split.job.classifier.model.eval()
    with torch.no_grad():
        for places in _cut(range(n_images), split.job.schedule.batch_size):
            logits, targets = split.answers(places)
            loss += float(_loss(logits, targets, "sum"))
            right += int((predicted(logits) == targets).sum())
            ticker.advance(len(places))
    return HistoryRow(epoch, name, loss / n_images, right / n_images, n_images)


def _loss(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy; on one logit its binary form, in which above 0 means the second class."""
    if logits.shape[1] > 1:
        return functional.cross_entropy(logits, targets, reduction=reduction)
    return functional.binary_cross_entropy_with_logits(logits[:, 0], targets.to(logits.dtype), reduction=reduction)


def _write_epoch(job: _Job, optimizer: torch.optim.Optimizer, history: list[HistoryRow]) -> None:
    """The checkpoint, the table, and last the state, so that a state never speaks of what is not there."""
    weights = {
        name: value.detach().cpu().clone() if isinstance(value, Tensor) else value
        for name, value in job.classifier.model.state_dict().items()
    }
    rows = [list(astuple(row)) for row in history]
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([[field.name for field in fields(HistoryRow)], *rows])
    state = {"identity": job.identity, "history": rows, "optimizer": optimizer.state_dict()}
    _place(job.folder / f"model_{history[-1].epoch}.pt", lambda file: torch.save(weights, file))
    _place(job.folder / HISTORY, lambda file: file.write(table.getvalue().encode()))
    _place(job.folder / STATE, lambda file: torch.save(state, file))


def _place(path: Path, write: Callable[[io.BytesIO], Any]) -> None:
    """Write a file that is complete or absent."""
    content, temporary = io.BytesIO(), path.with_name(path.name + ".partial")
    write(content)
    try:
        temporary.write_bytes(content.getbuffer())
        temporary.replace(path)
    except OSError as error:
        raise WorkError(f"Writing {path} failed: {error.strerror or error}.", slug="cannot-write") from error


def _draw(job: _Job, history: Sequence[HistoryRow]) -> None:
    """Loss and accuracy of both splits by epoch, without touching matplotlib's global state."""
    try:
        figure = importlib.import_module("matplotlib.figure").Figure(figsize=(7.6, 3.2), layout="constrained")
    except ModuleNotFoundError:
        job.notes.append(str(MissingExtraError("matplotlib", "plot", PLOT)))
        return
    best = _best_epoch(history)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.axvline(best, color="0.8", linewidth=1, linestyle=":")
        for split, color in (("train", "#3b6fb6"), ("valid", "#d1662a")):
            rows = [row for row in history if row.split == split]
            values = [getattr(row, name) for row in rows]
            label = f"{split} (n = {rows[-1].n:,})"
            axes.plot([r.epoch for r in rows], values, color=color, marker="o", markersize=3.5, label=label)
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="0.92")
        axes.set_axisbelow(True)
    axes.legend(frameon=False)
    figure.suptitle(f"{job.identity['network']}: lowest valid loss in epoch {best}", fontsize=11)
    _place(job.folder / PLOT, lambda file: figure.savefig(file, format="png", dpi=150, metadata={"Software": None}))


def _diverged(job: _Job, epoch: int) -> WorkError:
    last = f"The last good checkpoint is {job.folder / f'model_{epoch - 1}.pt'}." if epoch else "No epoch was finished."
    another = f" --out {job.folder.parent}-2" if epoch else ""
    return WorkError(
        f"The loss became NaN or infinite in epoch {epoch}.  {last}\n"
        f"  Take smaller steps:  --rate {job.schedule.rate / 10:g}{another}",
        slug="diverged",
    )


def _untrainable(network: nn.Module, error: Exception) -> Exception:
    if "memory" in str(error).lower():
        return error
    return ModelError(f"{type(network).__name__} ran, but cannot be trained: {error}", slug="cannot-train")


def _best_epoch(history: Sequence[HistoryRow]) -> int:
    return min((row for row in history if row.split == "valid"), key=lambda row: row.loss).epoch


def _stalled(history: Sequence[HistoryRow], patience: int | None) -> bool:
    return bool(history) and patience is not None and history[-1].epoch - _best_epoch(history) >= patience


def _cut(places: Sequence[int], size: int) -> list[list[int]]:
    return [list(places[start : start + size]) for start in range(0, len(places), size)]


def _settle(seed: int, step: str, device: torch.device) -> None:
    """Begin a step with random states that depend only on the seed and the step; the caller puts the old ones back."""
    random.seed(_number(seed, step))
    torch.default_generator.manual_seed(_number(seed, step))
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(_number(seed, step))


def _number(seed: int, step: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {step}".encode(), digest_size=7).digest())

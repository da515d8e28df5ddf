"""Train a classifier the plain way: Adam, one checkpoint an epoch, resumed to the bit."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seewhy.cam.model import untouched, unwrap
from seewhy.data.networks.classifier import RANDOM_NOTE, load
from seewhy.data.sources.folder import read_table
from seewhy.data.window import with_window
from seewhy.errors import ModelError, OptionError, StoreError
from seewhy.learn.measure import FactorWord
from seewhy.learn.train.checkpoints import identity_of, resumed, write_epoch
from seewhy.learn.train.epoch import epoch_of, read_images
from seewhy.learn.train.history import PLOT, EpochWatch, HistoryRow, Training, best_epoch, write_plot
from seewhy.learn.train.job import TrainingJob, settle
from seewhy.learn.train.splits import choose_splits
from seewhy.learn.train.with_exchange import exchange_among, named
from seewhy.records import Image, Preprocess, Progress, checked_seed
from seewhy.run.progress import chosen_progress
from seewhy.store import manifest

__all__ = ["HistoryRow", "Training", "train"]


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
    exchange: str | Sequence[FactorWord] = (),
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
        exchange: factors that half of the training images of a batch get from others, of other classes, so that less of
            them is learned: words by commas or in a list, as of Watch
        progress: True: a bar; False: none; or a function of (done, total), in images
        **changes: epoch of weights, and fields of Preprocess: size, mean, …

    Returns:
        a Training: folder, epochs_done, history (a row for each epoch and split: epoch, split, loss,
        accuracy, n), best_epoch, classes, notes, and summary().

    Raises:
        DataError (no split, one class, sizes that differ), OptionError (the folder holds another training, a factor
        that cannot be exchanged),
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
    spec_or_copy = model if isinstance(model, str) else _copied(unwrap(model)[0])
    with (
        untouched(nn.Identity()),
        torch.inference_mode(False),
        torch.enable_grad(),
        chosen_progress(progress, "Training") as report,
    ):
        settle(checked_seed(seed), "weights", torch.device("cpu"))
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
        if classifier.inputs:
            typed["--input"] = dict(classifier.inputs)
        if exchange:
            typed["--exchange"] = named(exchange)
        identity = identity_of(classifier, splits, {**typed, "--seed": seed})
        optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=rate)
        folder = Path(out) / type(network).__name__
        refuse_run(Path(out))
        notes = [*(note for note in classifier.notes if note != RANDOM_NOTE), *splits.notes]
        job = TrainingJob(
            classifier=classifier,
            splits=splits,
            batch_size=batch_size,
            rate=rate,
            seed=seed,
            folder=folder,
            identity=identity,
            notes=notes,
            optimizer=optimizer,
            report=report,
            watch=watch,
        )
        with untouched(network, learns=True), manifest.writer(folder):
            return _run(job, epochs, patience, resume, exchange)


def refuse_run(out: Path) -> None:
    """Raise StoreError where checkpoints would be mixed with the files of a run."""
    if (out / manifest.NAME).exists():
        raise StoreError(
            f"{out} holds a run, and checkpoints do not belong among its files.\n  Name a new folder:  --out {out}-2",
            slug="folder-holds-something-else",
        )


def _copied(network: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(network)
    except RuntimeError as error:  # torch refuses what its old weight_norm and spectral_norm leave in a module
        raise ModelError(
            f"{type(network).__name__} cannot be copied, so it cannot be trained apart from yours: {error}\n"
            "  Name its code in place of it:  --model net.py:Net  In Python: seewhy.train('net.py:Net', …)",
            slug="cannot-train",
        ) from error


def _run(
    job: TrainingJob, epochs: int, patience: int | None, resume: bool, exchange: str | Sequence[FactorWord]
) -> Training:
    history = resumed(job, resume)
    first = len(history) // 2
    if job.watch is not None:
        table = job.splits.table
        job.watch.begin(replace(table, images=tuple(job.splits.images["valid"])), among=table)
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
        if not images:
            images = read_images(job)
            if job.watch is not None:
                job.watch.prepare(replace(job.classifier, classes=job.splits.classes))
            if exchange:
                classifier = replace(job.classifier, classes=job.splits.classes)
                job.exchange = exchange_among(exchange, classifier, job.splits.table, images["train"], job.seed)
                job.notes += job.exchange.notes
        history += epoch_of(job, images, epoch)
        if job.watch is not None:
            job.watch(replace(job.classifier, classes=job.splits.classes), epoch)
            job.watch.save(job.folder)
        write_epoch(job, history)
    if len(history) > 2 * first or not (job.folder / PLOT).exists():
        job.notes += write_plot(job.folder, history, job.watch)
    job.advance(job.total)
    done, best = len(history) // 2, best_epoch(history)
    return Training(
        folder=job.folder,
        epochs_done=done,
        history=tuple(history),
        best_epoch=best,
        classes=job.splits.classes,
        notes=tuple(job.notes),
        watch=job.watch,
    )

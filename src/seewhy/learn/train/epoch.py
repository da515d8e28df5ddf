"""One pass over the training images, and what both splits measure after it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.cam.fitting import fitting_size, input_channels
from seewhy.cam.model import logits_of
from seewhy.cam.scores.targets import predicted
from seewhy.data.pictures.decode import UnreadableError
from seewhy.data.reader import batch_of, load_image
from seewhy.errors import DataError, ModelError, OptionError, SeewhyError, WorkError, counted, listed
from seewhy.learn.train.history import HistoryRow
from seewhy.learn.train.job import TrainingJob, batches_of, dice_of, settle
from seewhy.records import Image
from seewhy.run.machine import out_of_memory
from seewhy.store import manifest

MOST_KEPT_BYTES = 2**30  # decoded images beyond this are decoded anew in each epoch


def read_images(job: TrainingJob) -> dict[str, list[Image]]:
    """The images that can be read, decoded once and kept while there is room; the others are left out, and said."""
    readable: dict[str, list[Image]] = {name: [] for name in job.splits.images}
    unreadable, sizes, room, network = [], set(), MOST_KEPT_BYTES, job.classifier.model
    digests = []
    settle(job.seed, "reading", job.classifier.device)  # a Dataset's own code may draw numbers
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


def epoch_of(job: TrainingJob, images: dict[str, list[Image]], epoch: int) -> list[HistoryRow]:
    """One pass over the training images, and what both splits measure after it."""
    settle(job.seed, f"epoch {epoch}", job.classifier.device)
    try:
        _learn(job, images["train"], epoch)
        rows = [_measured(job, images[name], epoch, name) for name in images]
    except Exception as error:
        if isinstance(error, SeewhyError) and not isinstance(error, UnreadableError):
            raise
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


def _learn(job: TrainingJob, images: Sequence[Image], epoch: int) -> None:
    job.classifier.model.train()
    dice = dice_of(job.seed, f"exchange {epoch}")
    for places in batches_of(len(images), job.batch_size, job.seed, epoch):
        loss = _loss(*_answers(job, [images[place] for place in places], dice))
        job.optimizer.zero_grad()
        torch.autograd.backward(loss)
        job.optimizer.step()
        job.advance(len(places))


def _measured(job: TrainingJob, images: Sequence[Image], epoch: int, split: str) -> HistoryRow:
    loss, right = 0.0, 0
    job.classifier.model.eval()
    with torch.no_grad():
        for start in range(0, len(images), job.batch_size):
            logits, targets = _answers(job, images[start : start + job.batch_size])
            loss += float(_loss(logits, targets, "sum"))
            right += int((predicted(logits) == targets).sum())
            job.advance(len(targets))
    return HistoryRow(epoch, split, loss / len(images), right / len(images), len(images))


def _answers(job: TrainingJob, images: Sequence[Image], dice: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """The logits (N, K) for some images, and their class indices (N,); with `dice` what is exchanged, is."""
    classifier, splits = job.classifier, job.splits
    loaded = [job.kept.get(i.id) or load_image(splits.table, i, classifier.preprocess) for i in images]
    like = next(p for p in classifier.model.parameters() if p.is_floating_point())
    inputs = batch_of(loaded, classifier.preprocess).to(classifier.device, like.dtype)
    if dice is not None and job.exchange is not None:
        inputs = job.exchange.into(inputs, images, dice)
    targets = torch.tensor([splits.classes.index(image.label or "") for image in images])
    logits = logits_of(classifier.model(inputs), len(images))
    return logits if logits.dtype == torch.float64 else logits.float(), targets.to(classifier.device)


def _loss(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy; on one logit its binary form, in which above 0 means the second class."""
    if logits.shape[1] > 1:
        return functional.cross_entropy(logits, targets, reduction=reduction)
    return functional.binary_cross_entropy_with_logits(logits[:, 0], targets.to(logits.dtype), reduction=reduction)


def _failed(job: TrainingJob, error: Exception) -> SeewhyError:
    """What went wrong in an epoch: in training a network may do what it did not in the first pass."""
    if isinstance(error, UnreadableError):
        return WorkError(f"An image could be read at first, and no more: {error}.  Then:  --resume")
    if (full := out_of_memory(error, job.batch_size)) is not None:
        return full
    name = type(job.classifier.model).__name__
    return ModelError(f"{name} ran, but cannot be trained: {type(error).__name__}: {error}", slug="cannot-train")

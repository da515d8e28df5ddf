"""What the classifier says of each image, as rows of records.parquet, the same as `explain` writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from seewhy.cam.scores.targets import predicted, probabilities
from seewhy.data.pictures.decode import UnreadableError, file_digest
from seewhy.data.reader import Loaded
from seewhy.data.tables.labels import joined, read_label
from seewhy.records import Image, Outcome, Task

NOT_FINITE = "the network gave NaN or infinite logits"


def read_outcome(image: Image, loaded: Loaded, classes: Sequence[str], task: Task) -> Outcome:
    """The row of an image that was read, before the network has seen it."""
    label = image.label or read_label(loaded.label, classes, task)
    return Outcome(replace(image, label=label), loaded.size[1], loaded.size[0], loaded.digest)


def unread_outcome(image: Image, reason: str) -> Outcome:
    """The row of an image that cannot be read, with the hash of the file where there is one."""
    try:
        digest = file_digest(image.path) if image.path else None
    except UnreadableError:
        digest = None
    return Outcome(image, digest=digest, error=reason)


def judged(read: Sequence[Outcome], logits: Tensor, classes: Sequence[str], task: Task) -> Iterator[Outcome]:
    """The rows of images that were read (N), with what their logits (N, K) say."""
    decided = decisions(logits, classes, task)
    finite = logits.isfinite().all(dim=1).tolist()
    for row, (outcome, (name, probability)) in enumerate(zip(read, decided, strict=True)):
        if not finite[row]:
            yield replace(outcome, error=NOT_FINITE)
            continue
        yield replace(
            outcome,
            prediction=name,
            probability=probability,
            correct=None if name is None or outcome.image.label is None else name == outcome.image.label,
            logits=tuple(logits[row].float().tolist()),
        )


def decisions(logits: Tensor, classes: Sequence[str], task: Task) -> list[tuple[str | None, float | None]]:
    """What each row (N, K) decides for, and its probability, as they are stored; None where there is no such thing.

    For multi-label networks the set of labels at one half or above, with the probability of the strongest label.
    """
    if task == "multi-label":
        chances = logits.sigmoid()
        sets = [joined((classes[at] for at, p in enumerate(row) if p >= 0.5), classes) for row in chances.tolist()]
        return list(zip(sets, chances.amax(dim=1).float().tolist(), strict=True))
    decided, shares = predicted(logits, task), probabilities(logits, task)
    if decided is None:
        return [(None, None)] * len(logits)
    names = [classes[index] for index in decided.tolist()]
    if shares is None:
        return [(name, None) for name in names]
    of_decided = shares.gather(1, decided[:, None])[:, 0].float().tolist()
    return list(zip(names, of_decided, strict=True))

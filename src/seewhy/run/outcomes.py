"""What the classifier says of each image, as rows of records.parquet, the same as `explain` writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from seewhy.cam.scores.targets import predicted, probabilities
from seewhy.data.decode import UnreadableError, file_digest
from seewhy.data.reader import Loaded
from seewhy.records import Image, Outcome, Task

NOT_FINITE = "the network gave NaN or infinite logits"


def read_outcome(image: Image, loaded: Loaded, classes: Sequence[str]) -> Outcome:
    """The row of an image that was read, before the network has seen it."""
    label = image.label or (loaded.label if loaded.label in classes else None)
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
    shares, decided = probabilities(logits, task), predicted(logits, task)
    finite = logits.isfinite().all(dim=1).tolist()
    for row, outcome in enumerate(read):
        if not finite[row]:
            yield replace(outcome, error=NOT_FINITE)
            continue
        index = None if decided is None else int(decided[row])
        name = None if index is None else classes[index]
        yield replace(
            outcome,
            prediction=name,
            probability=None if shares is None or index is None else float(shares[row, index].float()),
            correct=None if name is None or outcome.image.label is None else name == outcome.image.label,
            logits=tuple(logits[row].float().tolist()),
        )

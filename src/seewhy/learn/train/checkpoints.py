"""What a training leaves behind after each epoch, and how another one goes on from there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import torch
from torch import Tensor

from seewhy.data.formats.extras import readers_of
from seewhy.data.networks.classifier import Classifier
from seewhy.data.networks.weights import SUFFIXES, load_weights
from seewhy.errors import OptionError, listed
from seewhy.learn.train.history import HistoryRow, place, write_table
from seewhy.learn.train.job import TrainingJob
from seewhy.learn.train.splits import Splits
from seewhy.run.identity import answers_of, are_near
from seewhy.run.source import source_digest
from seewhy.store import manifest

STATE = "state.pt"


def identity_of(classifier: Classifier, splits: Splits, typed: Mapping[str, Any]) -> dict[str, str]:
    """What a resumed training must share with the one before, in words."""
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


def resumed(job: TrainingJob, resume: bool) -> list[HistoryRow]:
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
    keys = [key for key in dict.fromkeys([*job.identity, *there]) if key in there or key != "network"]  # of older ones
    changed = [
        f"  {key}: {there.get(key, 'none')} there, {job.identity.get(key, 'none')} asked"
        for key in keys
        if there.get(key) != job.identity.get(key)
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


def write_epoch(job: TrainingJob, history: list[HistoryRow]) -> None:
    """The checkpoint, the table, and last the state, so that a state never speaks of what is not there."""
    rows = [list(astuple(row)) for row in history]
    state = {
        "identity": job.identity,
        "history": rows,
        "optimizer": job.optimizer.state_dict(),
        "images": job.content,
        "answers": _answers_now(job),
    }
    weights = on_cpu(job.classifier.model.state_dict())
    place(job.folder / f"model_{history[-1].epoch}.pt", lambda file: torch.save(weights, file))
    write_table(job.folder, history)
    place(job.folder / STATE, lambda file: torch.save(_unshared(state), file))


def on_cpu(weights: Mapping[str, Any]) -> dict[str, Any]:
    """A state dict with its tensors on the CPU; what else a module keeps stays as it is."""
    return {name: value.cpu() if isinstance(value, Tensor) else value for name, value in weights.items()}


def _answers_now(job: TrainingJob) -> list[float] | str | None:
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

"""What decides the results of a run, as plain values: two runs with one identity are one run."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seewhy.cam.model import forward, untouched
from seewhy.cam.remembered import state_of
from seewhy.cam.scores.targets import Score
from seewhy.data.formats.extras import readers_of
from seewhy.data.networks.classifier import Classifier
from seewhy.data.pictures.decode import Pixels, UnreadableError, file_digest
from seewhy.data.reader import load_image, prepared
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import StoreError
from seewhy.records import Image, Task
from seewhy.run.first_pass import first_input
from seewhy.run.own_code import own_code_digest
from seewhy.run.plan import Plan
from seewhy.run.source import bytes_of, code_digest, short_hash, source_digest
from seewhy.store import manifest
from seewhy.version import __version__

_PROBES = 8  # items of a Dataset that are looked at
# What folders of older versions do not hold.
_SINCE = ("network", "answers", "files", "safeguards", "compared", "columns")
_MOST_ANSWERS = 64
VARYING = "others each time"  # in place of a network's answers
_NEAR = 1e-3  # of the largest answer: threads and batches sum in another order
_DIGESTS = {  # a hash says nothing to a reader
    "the weights": "other numbers than there (--weights, --epoch, or a checkpoint that was written again)",
    "the network's file": "another one than there, or written again",
    "the code": "the network's own, or that of a preprocessing function or a method, was edited",
    "the network": "its files, parts or settings, or the file of a preprocessing function or a method, were edited",
    "the network's answers": "it gives other numbers than there, for a made picture (the first, of images in memory)",
}


@dataclass(frozen=True)
class RunIdentity:
    """Everything that decides a run's results: `options`, known at once, and the content of its images.

    To know the content costs a read of every file, and a new run reads them anyway: its folder gets to know the content
    at its end, from what was read. Where a folder is compared with it, the files are read, once.
    """

    plan: Plan
    options: Mapping[str, Any]

    @cached_property
    def content(self) -> str:
        """A hash of the images: their bytes, not their names. Of a Dataset only some items are looked at."""
        return content_of(self.plan)

    def begun(self) -> dict[str, Any]:
        """The identity as a folder has it while its run goes on: with the content where that costs no file."""
        return self.whole(self.content) if self.plan.table.items is not None else manifest.as_json(dict(self.options))

    def whole(self, content: str | None = None) -> dict[str, Any]:
        """The identity as a finished folder has it; `content` where it is known from the run itself."""
        images = {**self.options["images"], "content": content or self.content}
        return manifest.as_json({**self.options, "images": images})

    def like(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """The identity with as much in it as a stored one has, so that both can be compared."""
        return as_known(self.whole() if "content" in stored.get("images", {}) else self.begun(), stored)

    def differing(self, stored: Mapping[str, Any]) -> list[str]:
        """What differs from a stored one, in the words of the command line; [] where both are one run's."""
        asked = self.like(stored)
        return [] if stored == asked else differing(stored, asked) or ["of other images"]


def run_identity(plan: Plan, command: str = "explain", *, overlays: bool = True, **more: Any) -> RunIdentity:
    """The identity of a run of this plan; `more` replaces or adds what a command has of its own."""
    options = {
        "seewhy": __version__,
        "command": command,
        "classifier": plan.classifier_identity,
        **network_identity(plan),
        **readers_identity(plan),
        "images": {
            "count": len(plan.table),
            "ids": manifest.digest_of_rows([i.id, i.label, i.split] for i in plan.table.images),
        },
        "target": [_target_of(score) for score in plan.scores],
        "task": plan.task,
        **({"output": plan.form} if plan.form else {}),
        **({"label": plan.label} if plan.label else {}),
        **({"only": plan.only.answered} if plan.only else {}),
        **clusters_identity(plan),
        "layers": {layer.asked: str(layer.grid) for layer in plan.layers},
        "method": list(plan.methods),
        "preset": plan.preset,
        "smooth": list(plan.smooth),
        "seed": plan.seed if any(plan.method(name).seeded for name in plan.methods) else None,
        "batch_size": plan.batch_size,
        "shard_size": plan.shard_size,
        "device": plan.classifier.device.type,
        "image_format": plan.image_format if overlays else None,
    }
    return RunIdentity(plan, {**options, **more})


def identity_of(plan: Plan, *, overlays: bool = True) -> dict[str, Any]:
    """Everything that decides the results of an explanation, as plain values."""
    return run_identity(plan, overlays=overlays).whole()


def _target_of(score: Score) -> str:
    """The score's name with what the name alone may hide: what was asked for, and the user's own code."""
    asked = f" ({score.asked})" if score.asked not in ("", score.name) else ""
    return f"{score.name}{asked}" + ("" if score.code is None else f" {own_code_digest(score.code)}")


def as_begun(plan: Plan, identity: Mapping[str, Any]) -> Plan:
    """The plan with the batch size of a run that was begun, unless another one was asked for."""
    begun = plan.batch_size if plan.batch_asked else identity.get("batch_size", plan.batch_size)
    return plan if begun == plan.batch_size else replace(plan, batch_size=begun)


def differing(there: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """A line for everything but the images that differs between two identities, in the words of the command line."""
    stored, known = (manifest.as_json(dict(identity)) for identity in (there, as_known(asked, there)))
    old, new = _options(stored), _options(known)
    names = [name for name in old | new if old.get(name) != new.get(name)]
    if len(names) > 1 and _asked_of(stored) != _asked_of(known):
        names = [name for name in names if name != "the network's answers"]  # which must be others then
    names = ["command"] if "command" in names else names  # what another command has of its own says nothing
    return [
        f"{name}: {_DIGESTS[name]}"
        if name in _DIGESTS
        else f"{name}: {_said(old.get(name))} there, {_said(new.get(name))} asked"
        for name in names
    ]


def _asked_of(identity: Mapping[str, Any]) -> list[Any]:
    """What a network's answers follow from: the network with its code, and how its input is made."""
    classifier = {key: value for key, value in identity.get("classifier", {}).items() if key != "classes"}
    return [classifier, *(identity.get(key) for key in ("code", "network", "readers"))]


def _options(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What an identity holds beside the images, by the option that sets it."""
    classifier = dict(identity.get("classifier", {}))
    preprocess = classifier.pop("preprocess", None)
    how = preprocess if isinstance(preprocess, dict) else {"preprocess": preprocess}
    plain = ("target", "task", "method", "preset", "smooth", "batch_size", "device", "seed")
    size = {"size": "x".join(map(str, how["size"]))} if how.get("size") else {}
    found = [f"{low:g},{high:g}" for _, low, high in how.get("scales", ())]
    found += [f"without {number:g}" for number in how.get("no_data", ())]
    how = {key: value for key, value in how.items() if key not in ("scales", "no_data")}
    how |= {"window": " ".join(found)} if found else {}
    named = {key: identity.get(key) for key in plain} | how | size | {"format": identity.get("image_format")}
    return {
        "seewhy": identity.get("seewhy"),
        "command": identity.get("command"),
        "--model": classifier.get("source") or classifier.get("network"),
        "--input": classifier.get("inputs"),
        "the network's file": classifier.get("program"),
        "the weights": classifier.get("weights"),
        "the code": identity.get("code"),
        "the network": identity.get("network"),
        "the network's answers": identity.get("answers"),
        "--label": identity.get("label"),
        "--only": identity.get("only"),
        "--cluster-by": identity.get("cluster_by"),
        "--classes": None if "label" in identity else classifier.get("classes"),
        "what reads the images": identity.get("readers"),
        "--layers": list(identity.get("layers", {})),
        **{f"--{key.replace('_', '-')}": value for key, value in named.items()},
    }


def _said(value: Any) -> str:
    """The value as the command line takes it, cut where it is long."""
    value = [" ".join(pair) for pair in value.items()] if isinstance(value, dict) else value
    text = ",".join(map(str, value)) if isinstance(value, list) else "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def network_digest(plan: Plan) -> str:
    """A hash of what the network's own modules and the user's functions (preprocessing, methods) do.

    Edited code is another run.
    """
    kinds = dict.fromkeys(type(module) for module in plan.classifier.model.modules())  # in order: two may have one name
    own_kinds = sorted((k for k in kinds if not k.__module__.startswith("torch.")), key=lambda k: k.__qualname__)
    function = plan.classifier.preprocess if callable(plan.classifier.preprocess) else None
    methods = [plan.own_methods[name].code for name in plan.methods if name in plan.own_methods]
    plain = code_digest([*(kind.forward for kind in own_kinds), function, *methods])
    own_functions = [own for own in (function, *methods) if own is not None]
    # Of the network's own functions its answers say what else they use.
    return own_code_digest([plain, *own_functions]) if own_functions else plain


def network_identity(plan: Plan) -> dict[str, Any]:
    """What tells one network from another beside its weights: its code, all that it is made of, and what it answers."""
    functions = [plan.own_methods[name].code for name in plan.methods if name in plan.own_methods]
    functions += [plan.classifier.preprocess] if callable(plan.classifier.preprocess) else []
    functions += [score.code for score in plan.scores if score.code is not None]
    network = source_digest(plan.classifier.model, functions)
    answers = answers_of(plan.classifier, plan.table, plan.canvas, plan.task)
    return {"code": network_digest(plan), "network": network, "answers": answers}


def readers_identity(plan: Plan) -> dict[str, Any]:
    """The packages of our extras that read the images, with their versions; nothing where there are none."""
    readers = readers_of(image.path for image in plan.table.images)
    return {"readers": readers} if readers else {}


def clusters_identity(plan: Plan) -> dict[str, Any]:
    """What the images are clustered by, and which cluster each is in; nothing where they are not."""
    if not plan.table.cluster_by:
        return {}
    clusters = manifest.digest_of_rows([image.id, image.cluster] for image in plan.table.images)
    return {"cluster_by": plan.table.cluster_by, "clusters": clusters}


def check_unchanged(plan: Plan) -> None:
    """Raise StoreError where the network is no longer the one that the plan was made for."""
    if state_of(plan.classifier.model, values=True) != plan.state:
        raise StoreError(
            f"{type(plan.classifier.model).__name__} has changed since this was made (weights, settings or device), so "
            "that a folder would take it for the changed network's.\n  Save before the change, or make it again.",
            slug="another-run",
        )


def as_known(asked: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """An identity without what a stored one of an older version lacks, and with its answers where ours are as near."""
    known = {name: value for name, value in asked.items() if name in stored or name not in _SINCE}
    there, here = (dict(identity.get("classifier", {})) for identity in (stored, known))
    if _file_of(here.get("source")) == _file_of(there.get("source")):  # seen from another folder
        known["classifier"] = {**here, "source": there.get("source")}
    if are_near(known.get("answers"), stored.get("answers")):
        known["answers"] = stored["answers"]
    return known


def _file_of(source: Any) -> str:
    """The last part of where a network comes from, as in net.py:Net: the rest says no more than where it lies."""
    kind, _, file = str(source).partition(":")
    if kind in ("onnx", "pt2"):
        return f"{kind}:{Path(file).name}"
    where, colon, name = str(source).rpartition(":")
    return Path(where).name + colon + name if where.endswith(".py") else str(source)


def answers_of(
    classifier: Classifier, table: ImageTable, canvas: tuple[int, int], task: Task = "classification"
) -> list[float] | str | None:
    """Some of what a classifier answers to a made picture, or to the first image where images are no files.

    VARYING where it answers otherwise when it is asked again; None where it cannot take that picture.
    """
    model, answered = classifier.model, []
    try:
        with untouched(model):  # which puts the random states back
            for seed in range(2):
                random.seed(seed)
                np.random.seed(seed)  # noqa: NPY002 -- what a network or a preprocessing function may draw from
                torch.random.manual_seed(seed)
                if table.items is None:
                    inputs = prepared(_picture(*canvas), classifier.preprocess)
                else:
                    inputs = first_input(classifier, table)
                answered.append(forward(model, inputs, task)[0].double().cpu().tolist())
    except Exception:  # noqa: BLE001 -- the user's code may raise anything, and may take photographs alone
        return None
    first, again = answered
    if not all(map(math.isfinite, [*first, *again])):
        return None
    if not are_near(first, again):
        return VARYING
    return [float(f"{value:.4g}") for value in first[:: max(1, len(first) // _MOST_ANSWERS)]]


def _picture(height: int, width: int) -> Pixels:
    """A picture (H, W, 3) of coarse and fine noise."""
    rng = np.random.default_rng(0)
    coarse, fine = rng.uniform(0, 255, (height // 8 + 1, width // 8 + 1, 3)), rng.uniform(0, 255, (height, width, 3))
    return ((coarse.repeat(8, 0).repeat(8, 1)[:height, :width] + fine) / 2).astype(np.uint8)


def are_near(answers: Any, others: Any) -> bool:
    """Whether two answers are the same but for the order of summation, which threads and batches change."""
    if not isinstance(answers, list) or not isinstance(others, list) or len(answers) != len(others):
        return False
    most = max(map(abs, others), default=0.0)
    return all(abs(one - other) <= _NEAR * most + 1e-6 for one, other in zip(answers, others, strict=True))


def image_digests(plan: Plan, images: Sequence[Image]) -> dict[str, str]:
    """The hash of each image's content by its id, or the reason where it cannot be read.

    Files are read whole, like the decoder does: a spot painted into an uncompressed picture changes neither its size
    nor its ends, and a copy of the folder must be the same run, so that times of change say nothing.
    """
    return {image.id: _image_digest(plan, image) for image in images}


def content_of(plan: Plan, digests: Mapping[str, str | None] | Iterable[tuple[str, str | None]] = ()) -> str:
    """A hash of the images; `digests` are those of files that were read already, by id.

    Of very many they come one by one, in the order of the images; one that comes in another is made anew.
    """
    images, known = plan.table.images, digests.get if isinstance(digests, Mapping) else _InOrder(digests).of
    if plan.table.items is not None and not isinstance(plan.table.items, Tensor):
        images = images[:: max(1, len(images) // _PROBES)]
    return manifest.digest_of_rows(known(image.id) or _image_digest(plan, image) for image in images)


class _InOrder:
    """Hashes of files by id, asked for in the order in which they come."""

    def __init__(self, coming: Iterable[tuple[str, str | None]]) -> None:
        self._coming = iter(coming)

    def of(self, name: str) -> str | None:
        """The hash of an image; None where it has none, or comes no more."""
        return next((digest for known, digest in self._coming if known == name), None)


def changed_images(plan: Plan, digests: Mapping[str, str | None]) -> list[str]:
    """The ids of images whose files are no longer those of the hashes `digests`."""
    if plan.table.items is not None:
        return []
    known = [image for image in plan.table.images if digests.get(image.id)]
    return [name for name, digest in image_digests(plan, known).items() if digest != digests[name]]


def _image_digest(plan: Plan, image: Image) -> str:
    table = plan.table
    try:
        if table.items is None:
            return file_digest(image.path or "")
        if isinstance(table.items, Tensor):
            return short_hash(bytes_of(table.items[int(image.id)]))
        loaded = load_image(table, image, plan.classifier.preprocess)
        return short_hash(loaded.picture.tobytes() + (b"" if loaded.inputs is None else bytes_of(loaded.inputs)))
    except UnreadableError as error:
        return str(error)

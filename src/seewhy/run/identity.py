"""What decides the results of a run, as plain values: two runs with one identity are one run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor

from seewhy.cam.scores.targets import Score
from seewhy.data.decode import UnreadableError, file_digest
from seewhy.data.reader import load_image
from seewhy.records import Image
from seewhy.run.plan import Plan
from seewhy.store import manifest
from seewhy.version import __version__

_PROBES = 8  # items of a Dataset that are looked at
_DIGESTS = {  # a hash says nothing to a reader
    "the weights": "other numbers than there (--weights, --epoch, or a checkpoint that was written again)",
    "the code": "the network's own, or that of a preprocessing function or a method, was edited",
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
        return self.whole() if "content" in stored.get("images", {}) else self.begun()

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
        "code": network_digest(plan),
        "images": {
            "count": len(plan.table),
            "ids": manifest.digest_of([[i.id, i.label, i.split] for i in plan.table.images]),
        },
        "target": [_target_of(score) for score in plan.scores],
        "task": plan.task,
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
    return f"{score.name}{asked}" + ("" if score.code is None else f" {code_digest(score.code)}")


def as_begun(plan: Plan, identity: Mapping[str, Any]) -> Plan:
    """The plan with the batch size of a run that was begun, unless another one was asked for."""
    begun = plan.batch_size if plan.batch_asked else identity.get("batch_size", plan.batch_size)
    return plan if begun == plan.batch_size else replace(plan, batch_size=begun)


def differing(there: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """A line for everything but the images that differs between two identities, in the words of the command line."""
    old, new = (_options(manifest.as_json(dict(identity))) for identity in (there, asked))
    names = [name for name in old | new if old.get(name) != new.get(name)]
    return [
        f"{name}: {_DIGESTS[name]}"
        if name in _DIGESTS
        else f"{name}: {_said(old.get(name))} there, {_said(new.get(name))} asked"
        for name in names
    ]


def _options(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What an identity holds beside the images, by the option that sets it."""
    classifier = dict(identity.get("classifier", {}))
    preprocess = classifier.pop("preprocess", None)
    how = preprocess if isinstance(preprocess, dict) else {"preprocess": preprocess}
    plain = ("target", "task", "method", "preset", "smooth", "batch_size", "device", "seed")
    size = {"size": "x".join(map(str, how["size"]))} if how.get("size") else {}
    named = {key: identity.get(key) for key in plain} | how | size | {"format": identity.get("image_format")}
    return {
        "seewhy": identity.get("seewhy"),
        "command": identity.get("command"),
        "--model": classifier.get("source") or classifier.get("network"),
        "the weights": classifier.get("weights"),
        "the code": identity.get("code"),
        "--classes": classifier.get("classes"),
        "--layers": list(identity.get("layers", {})),
        **{f"--{key.replace('_', '-')}": value for key, value in named.items()},
    }


def _said(value: Any) -> str:
    """The value as the command line takes it, cut where it is long."""
    text = ",".join(map(str, value)) if isinstance(value, list) else "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def code_digest(function: Any) -> str:
    """A hash of what a function does: its code with the names, constants, defaults and closed-over values it uses."""
    try:
        text = repr(_described(function))
    except RecursionError:  # functions that close over each other
        text = f"{type(function).__qualname__} {getattr(function, '__qualname__', '')}"
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()


def network_digest(plan: Plan) -> str:
    """A hash of what the network's own modules and the user's functions (preprocessing, methods) do.

    Edited code is another run.
    """
    kinds = {type(module) for module in plan.classifier.model.modules()}
    own_kinds = sorted((k for k in kinds if not k.__module__.startswith("torch.")), key=lambda k: k.__qualname__)
    function = plan.classifier.preprocess if callable(plan.classifier.preprocess) else None
    methods = [plan.own_methods[name].code for name in plan.methods if name in plan.own_methods]
    return code_digest([*(kind.forward for kind in own_kinds), function, *methods])


def image_digests(plan: Plan, images: Sequence[Image]) -> dict[str, str]:
    """The hash of each image's content by its id, or the reason where it cannot be read.

    Files are read whole, like the decoder does: a spot painted into an uncompressed picture changes neither its size
    nor its ends, and a copy of the folder must be the same run, so that times of change say nothing.
    """
    return {image.id: _image_digest(plan, image) for image in images}


def content_of(plan: Plan, digests: Mapping[str, str | None] | None = None) -> str:
    """A hash of the images; `digests` are those of files that were read already, by id."""
    images, known = plan.table.images, digests or {}
    if plan.table.items is not None and not isinstance(plan.table.items, Tensor):
        images = images[:: max(1, len(images) // _PROBES)]
    return manifest.digest_of([known.get(image.id) or _image_digest(plan, image) for image in images])


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
            return _short_hash(_bytes_of(table.items[int(image.id)]))
        loaded = load_image(table, image, plan.classifier.preprocess)
        return _short_hash(loaded.picture.tobytes() + (b"" if loaded.inputs is None else _bytes_of(loaded.inputs)))
    except UnreadableError as error:
        return str(error)


def _short_hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def _bytes_of(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _described(value: Any) -> Any:
    """Plain values that are equal where two things do the same, in every process."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return value
    if isinstance(value, Tensor):
        return _short_hash(_bytes_of(value))
    if isinstance(value, (tuple, list)):
        return [_described(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(repr(_described(item)) for item in value)
    if isinstance(value, dict):
        return [(repr(_described(key)), _described(item)) for key, item in value.items()]
    if isinstance(value, CodeType):
        return [value.co_code.hex(), value.co_names, value.co_varnames, _described(value.co_consts)]
    if isinstance(value, partial):
        return [_described(value.func), _described(value.args), _described(value.keywords)]
    if isinstance(value, MethodType):
        return [_described(value.__func__), _described(value.__self__)]
    if isinstance(value, FunctionType):
        cells = [_described(_content_of(cell)) for cell in value.__closure__ or ()]
        return [_described(value.__code__), cells, _described(value.__defaults__), _described(value.__kwdefaults__)]
    return _described_object(value)


def _described_object(value: Any) -> Any:
    kind = type(value)
    name = [kind.__module__, kind.__qualname__, getattr(value, "__name__", "")]
    if isinstance(value, (ModuleType, type)) or not callable(value):
        return name
    return [*name, _described(getattr(kind.__call__, "__code__", None)), _described(getattr(value, "__dict__", {}))]


def _content_of(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return None

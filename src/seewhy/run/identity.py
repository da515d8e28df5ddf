"""What decides the results of a run, as plain values: two runs with one identity are one run."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor

from seewhy import __version__
from seewhy.data.decode import UnreadableError
from seewhy.data.folder import ImageTable
from seewhy.data.reader import load_image
from seewhy.run.plan import Plan
from seewhy.store import manifest

_END = 16 << 10  # bytes read at both ends of a file: all of a small photograph, and a bounded time for large ones
_PROBES = 8  # items of a Dataset that are looked at


def identity_of(plan: Plan, *, overlays: bool = True) -> dict[str, Any]:
    """Everything that decides the results, as plain values."""
    return {
        "seewhy": __version__,
        "command": "explain",
        "classifier": plan.classifier.identity(),
        "code": _network_digest(plan),
        "images": {
            "count": len(plan.table),
            "ids": manifest.digest_of([[i.id, i.label, i.split] for i in plan.table.images]),
            "content": _content_digest(plan),
        },
        "target": plan.score.name if plan.score.code is None else f"{plan.score.name} {code_digest(plan.score.code)}",
        "layers": {layer.asked: list(plan.grids[layer.asked]) for layer in plan.layers},
        "method": plan.method,
        "preset": plan.preset,
        "batch_size": plan.batch_size,
        "shard_size": plan.shard_size,
        "device": plan.classifier.device.type,
        "image_format": plan.image_format if overlays else None,
    }


def code_digest(function: Any) -> str:
    """A hash of what a function does: its code with the names, constants, defaults and closed-over values it uses."""
    try:
        text = repr(_described(function))
    except RecursionError:  # functions that close over each other
        text = f"{type(function).__qualname__} {getattr(function, '__qualname__', '')}"
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()


def _network_digest(plan: Plan) -> str:
    """A hash of what the network's own modules and a preprocessing function do: edited code is another run."""
    kinds = {type(module) for module in plan.classifier.model.modules()}
    own = sorted((k for k in kinds if not k.__module__.startswith("torch.")), key=lambda k: k.__qualname__)
    function = plan.classifier.preprocess if callable(plan.classifier.preprocess) else None
    return code_digest([*(kind.forward for kind in own), function])


def _content_digest(plan: Plan) -> str:
    """A hash of the images: their bytes, not their names. Of a Dataset only some items are looked at."""
    table, digest = plan.table, hashlib.blake2b(digest_size=8)
    if isinstance(table.items, Tensor):
        digest.update(_bytes_of(table.items))
    elif table.items is not None:
        step = max(1, len(table) // _PROBES)
        for image in table.images[::step]:
            try:
                loaded = load_image(table, image, plan.classifier.preprocess)
                digest.update(loaded.picture.tobytes() + (b"" if loaded.inputs is None else _bytes_of(loaded.inputs)))
            except UnreadableError as error:
                digest.update(str(error).encode())
    else:
        _add_files(digest, table)
    return digest.hexdigest()


def _add_files(digest: hashlib.blake2b, table: ImageTable) -> None:
    for image in table.images:
        try:
            with Path(image.path or "").open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                digest.update(b"%d " % size + file.read(_END))
                if size > _END:
                    file.seek(max(_END, size - _END))
                    digest.update(file.read(_END))
        except OSError as error:
            digest.update(f"errno {error.errno}".encode())


def _bytes_of(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _described(value: Any) -> Any:
    """Plain values that are equal where two things do the same, in every process."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return value
    if isinstance(value, Tensor):
        return hashlib.blake2b(_bytes_of(value), digest_size=8).hexdigest()
    if isinstance(value, (tuple, list)):
        return [_described(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(repr(_described(one)) for one in value)
    if isinstance(value, dict):
        return [(repr(_described(key)), _described(one)) for key, one in value.items()]
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

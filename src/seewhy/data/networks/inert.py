"""A checkpoint's content with placeholders for every object that is no tensor: no code of the file is ever run."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

# Whoever stores these in a checkpoint wants them to be run: such a file is refused, though a placeholder would do.
_PROGRAMS = frozenset(
    ("builtins", "__builtin__", "os", "posix", "nt", "subprocess", "sys", "importlib", "runpy", "shutil", "socket",
     "pty", "ctypes", "pickle", "_pickle", "marshal", "code", "types", "operator", "_operator", "functools",
     "webbrowser", "http", "urllib", "requests", "timeit", "pdb", "bdb", "multiprocessing", "threading", "asyncio",
     "pip", "ensurepip", "venv")
)  # fmt: skip
_HARMLESS = frozenset(
    (*(f"builtins.{name}" for name in ("list", "dict", "tuple", "int", "float", "str", "bool", "complex", "frozenset")),
     "types.SimpleNamespace", "types.MappingProxyType")
)  # fmt: skip


class _Inert:
    """Stands for an object of any class, whatever it is made of; it holds nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """An empty placeholder."""
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        """Forget the state."""


class _InertMapping:
    """As `_Inert`, for objects that the file fills as dicts or by their attributes."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """An empty mapping of the kind that torch's reader fills."""
        return OrderedDict()


def read_inert(path: Path) -> tuple[Any, list[str]]:
    """What `torch.load` gives with `weights_only`, and the classes whose objects became placeholders.

    Settings that lie beside the weights (argparse.Namespace, Path, NumPy scalars, classes of the user's own) are
    neither imported nor made. Raises what `torch.load` raises for any other file.
    """
    names = _classes_in(path)
    if any(name.partition(".")[0] in _PROGRAMS and name not in _HARMLESS for name in names):
        names = []
    kinds: list[tuple[type, str]] = [(_Inert if name.startswith("numpy.") else _InertMapping, name) for name in names]
    try:
        with _placeholders(kinds):
            return torch.load(path, map_location="cpu", weights_only=True), names
    except (pickle.UnpicklingError, TypeError):
        if not names:
            raise
    with _placeholders([(_Inert, name) for name in names]):
        return torch.load(path, map_location="cpu", weights_only=True), names


def _classes_in(path: Path) -> list[str]:
    """The names of what a checkpoint refers to beside tensors; none where this torch cannot tell (before 2.6)."""
    listing = getattr(torch.serialization, "get_unsafe_globals_in_checkpoint", None)
    if listing is None:
        return []
    try:
        return sorted(listing(str(path)))
    except (ValueError, RuntimeError, EOFError, pickle.UnpicklingError):
        return []


def _placeholders(kinds: list[tuple[type, str]]) -> AbstractContextManager[Any]:
    if not kinds:
        return nullcontext()
    context: AbstractContextManager[Any] = torch.serialization.safe_globals(kinds)  # type: ignore[arg-type]
    return context

"""What functions of the user's own do, as hashes: with the globals, helpers and objects that they use.

A function that writes to a global, or changes a list or dict of one, keeps its hash while it runs: what it writes to is
left out. Of objects that are neither the user's nor plain the type counts alone.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import hashlib
import re
import sys
from collections.abc import Iterator
from enum import Enum
from functools import partial
from pathlib import PurePath
from types import CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.errors import is_users_file
from seewhy.run.source import bytes_of, cell_content, module_of, short_hash

_DEEPEST = 60  # how far objects are followed
_READ = ("LOAD_GLOBAL", "LOAD_NAME")
_WRITTEN = ("STORE_GLOBAL", "DELETE_GLOBAL")
_CHANGING = {
    "append",
    "extend",
    "insert",
    "update",
    "setdefault",
    "add",
    "pop",
    "popitem",
    "remove",
    "discard",
    "clear",
}
_OF_A_CLASS = ("__module__", "__doc__", "__annotations__", "__dict__", "__weakref__", "__slots__", "__firstlineno__",
               "__static_attributes__", "__dataclass_fields__", "__match_args__")  # fmt: skip


def own_code_digest(function: Any) -> str:
    """A hash of what a function does: its code, defaults and closed-over values, and the globals that it reads.

    The user's own helpers, classes and objects among these are described as well, all others by their names.
    """
    text = repr(_Description().of(function))
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()


class _Description:
    """Plain values that are equal where two things do the same, in every process; each object is described once."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {}
        self.kept: list[Any] = []  # so that no other object gets the id of one that was described
        self.depth = 0

    def of(self, value: Any) -> Any:
        """The description of anything."""
        if (plain := _plain(value)) is not _UNKNOWN:
            return plain
        if id(value) in self.numbers:
            return ["as", self.numbers[id(value)]]
        if self.depth >= _DEEPEST:
            return ["deep", type(value).__qualname__]
        self.numbers[id(value)] = len(self.numbers)
        self.kept.append(value)
        self.depth += 1
        try:
            return self._of_parts(value)
        finally:
            self.depth -= 1

    def _of_parts(self, value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return [type(value).__qualname__, *map(self.of, value)]
        if isinstance(value, (set, frozenset)):
            return sorted(repr(_Description().of(item)) for item in value)
        if isinstance(value, dict):
            return [(self.of(key), self.of(item)) for key, item in value.items()]
        if isinstance(value, CodeType):
            return [value.co_code.hex(), value.co_names, value.co_varnames, self.of(value.co_consts)]
        if isinstance(value, partial):
            return [self.of(value.func), self.of(value.args), self.of(value.keywords)]
        if isinstance(value, MethodType):
            return [self.of(value.__func__), self.of(value.__self__)]
        if isinstance(value, FunctionType):
            return self._of_function(value)
        if isinstance(value, nn.Module):
            return self._of_module(value)
        return self._of_object(value)

    def _of_function(self, function: FunctionType) -> Any:
        if not _is_users(function.__code__.co_filename):
            return [function.__module__, function.__qualname__]
        cells = [self.of(cell_content(cell)) for cell in function.__closure__ or ()]
        told = [self.of(function.__code__), cells, self.of(function.__defaults__), self.of(function.__kwdefaults__)]
        return [*told, [(name, self.of(value)) for name, value in _globals_of(function)]]

    def _of_module(self, module: nn.Module) -> Any:
        """Its structure, classes and tensors, whatever mode it is in and whatever hooks are on it."""
        kinds = dict.fromkeys(base for part in module.modules() for base in type(part).__mro__ if _is_of_user(base))
        tensors = [*module.named_parameters(), *module.named_buffers()]
        words = re.sub(r"0x[0-9a-f]+", "", repr(module))
        return [words, [self.of(kind) for kind in kinds], [(name, _plain(part)) for name, part in tensors]]

    def _of_object(self, value: Any) -> Any:
        kind = value if isinstance(value, type) else type(value)
        users = [base for base in kind.__mro__ if _is_of_user(base)]
        told = [_name_of(kind), [self._of_class(base) for base in users]]
        if isinstance(value, ModuleType):
            return value.__name__
        if not isinstance(value, type) and (users or kind is SimpleNamespace or callable(value)):
            told.append([(name, self.of(part)) for name, part in _attributes(value)])
        return told

    def _of_class(self, kind: type) -> Any:
        return [(key, self.of(_within(part))) for key, part in sorted(vars(kind).items()) if key not in _OF_A_CLASS]


_UNKNOWN = object()


def _plain(value: Any) -> Any:
    """The description of what holds nothing; _UNKNOWN for all else."""
    if value is None or isinstance(value, (bool, float, complex, str, bytes)):
        return value
    if isinstance(value, Enum):
        return [type(value).__qualname__, value.name]
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, Tensor):
        is_usual = value.layout == torch.strided and not value.is_meta and not value.is_conj() and not value.is_neg()
        return short_hash(bytes_of(value)) if is_usual else [str(value.dtype), str(tuple(value.shape))]
    if isinstance(value, np.ndarray):
        content = "" if value.dtype.hasobject else short_hash(np.ascontiguousarray(value).tobytes())
        return [str(value.dtype), value.shape, content]
    if isinstance(value, np.generic):
        return [str(value.dtype), repr(value.item())]
    if isinstance(value, re.Pattern):
        return ["pattern", value.pattern, value.flags]
    if isinstance(value, (PurePath, range, torch.dtype, torch.device)):
        return [type(value).__qualname__, str(value)]
    return _UNKNOWN


def _globals_of(function: FunctionType) -> list[tuple[str, Any]]:
    """The globals that a function reads, by name; without those that it writes to, or changes in place."""
    read, written, is_changing = set[str](), set[str](), False
    for code in _codes_in(function.__code__):
        for step in dis.get_instructions(code):
            read |= {step.argval} if step.opname in _READ else set()
            written |= {step.argval} if step.opname in _WRITTEN else set()
            is_changing |= step.opname in ("STORE_SUBSCR", "DELETE_SUBSCR")
        is_changing |= bool(_CHANGING & set(code.co_names))
    known = function.__globals__
    return [
        (name, known[name])
        for name in sorted(read - written)
        if name in known and not (is_changing and isinstance(known[name], (list, dict, set)))
    ]


def _codes_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _codes_in(part)


def _attributes(value: Any) -> list[tuple[str, Any]]:
    """What an object holds in its dict and its slots, whatever its class makes of attributes."""
    held: dict[str, Any] = {}
    with contextlib.suppress(AttributeError, TypeError):
        held |= object.__getattribute__(value, "__dict__")
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            try:
                held[name] = object.__getattribute__(value, name)
            except AttributeError:  # not set
                continue
    return sorted(((str(name), part) for name, part in held.items()), key=lambda pair: pair[0])


def _within(part: Any) -> Any:
    """The functions that a class holds in a property, or bound to itself; other parts as they are."""
    if isinstance(part, property):
        return [part.fget, part.fset, part.fdel]
    if isinstance(part, functools.cached_property):
        return part.func
    return getattr(part, "__func__", part)


def _name_of(kind: type) -> list[str]:
    return [module_of(kind), kind.__qualname__]


def _is_users(file: str) -> bool:
    """Whether code is the user's: in a file of theirs, or typed into a notebook or an interpreter."""
    return is_users_file(file) or (file.startswith("<") and not file.startswith("<frozen"))


def _is_of_user(kind: type) -> bool:
    """Whether a class is the user's, by where its module or its functions lie."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    if kind.__module__ == "__main__" or (file is not None and is_users_file(file)):
        return True
    codes = (getattr(getattr(part, "__func__", part), "__code__", None) for part in vars(kind).values())
    return any(code is not None and is_users_file(code.co_filename) for code in codes)

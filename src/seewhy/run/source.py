"""What code a network and the user's own functions are made of, as hashes: edited code is another run."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import inspect
import re
import sys
from collections.abc import Sequence
from enum import Enum
from functools import cache, partial
from pathlib import Path, PurePath
from types import CellType, CodeType, FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.errors import is_users_file


def code_digest(function: Any, *, deep: bool = True) -> str:
    """A hash of what a function does: its code with the names, constants, defaults and closed-over values it uses.

    `deep` takes in the global values that it names, and what the user's own functions and classes among them do.
    """
    text = repr(_Description(deep).of(function))
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()


def source_digest(model: nn.Module, functions: Sequence[Any] = ()) -> str:
    """A hash of what a network is made of: the files of its classes with what they import, its parts and settings.

    The files of the user's own functions (preprocessing, methods) count, too: what these call lies there.
    """
    parts: list[Any] = []
    # In order, since a network whose output is read otherwise is of a class that is called like its own.
    kinds = dict.fromkeys(kind for module in model.modules() for kind in type(module).__mro__ if _is_own(kind))
    for kind in sorted(kinds, key=lambda kind: (_module_of(kind), kind.__qualname__)):
        parts.append([kind.__qualname__, *sorted({_source_of(part) for part in vars(kind).values()} - {""})])
    for name, module in model.named_modules():
        if _is_own(type(module)):
            settings = {key: value for key, value in vars(module).items() if not key.startswith("_")}
            parts.append([name, code_digest({k: v for k, v in settings.items() if k != "training"}, deep=False)])
    parts.append([_source_of(getattr(function, "func", function)) for function in functions])
    words = re.sub(r"0x[0-9a-f]+", "", repr(model))  # of things that print where they lie
    return hashlib.blake2b(repr([words, parts]).encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()


def files_digest(value: Any) -> str:
    """A hash of the user's files in which an object's functions lie, with what these import; "" for one of ours."""
    functions = (*getattr(value, "__dict__", {}).values(), *vars(type(value)).values())
    own = [part for part in functions if not str(getattr(part, "__module__", "seewhy.")).startswith("seewhy.")]
    return ".".join(sorted({_source_of(part) for part in own} - {""}))


def _module_of(kind: type) -> str:
    """The name of a class's module, without what says where its file lies."""
    name = str(kind.__module__)
    return name.rpartition("_")[0] if name.startswith("seewhy_user_") else name


def _is_own(kind: type) -> bool:
    return kind is not object and kind.__module__.partition(".")[0] not in ("torch", "typing", "abc", "builtins")


def _source_of(value: Any) -> str:
    """A hash of the file that a function lies in, without its comments; of its own code where there is no file."""
    function = inspect.unwrap(getattr(value, "__func__", value)) if callable(value) else value
    code = getattr(function, "__code__", None)
    if code is None and callable(value):  # an object that is called
        code = getattr(type(value).__call__, "__code__", None)
    if code is None:
        return ""
    try:
        _change_of(code.co_filename)
    except (OSError, ValueError):  # typed in, or gone
        return code_digest(function)
    files = {code.co_filename, *(_imported_by(code.co_filename, set()) if is_users_file(code.co_filename) else ())}
    digests = sorted(_file_digest(name, *_change_of(name)) for name in files)
    return digests[0] if len(digests) == 1 else short_hash("".join(digests).encode())


def _change_of(name: str) -> tuple[int, int]:
    """When a file changed last, and its size: what is known of it stays while both do."""
    status = Path(name).stat()
    return status.st_mtime_ns, status.st_size


def _imported_by(name: str, seen: set[str]) -> set[str]:
    """The user's own files that a file imports, and what these import, as far as they are loaded."""
    module = next((module for module in list(sys.modules.values()) if getattr(module, "__file__", None) == name), None)
    package = getattr(module, "__package__", None) or ""
    for words in _imports(name, package, *_change_of(name)):
        path = getattr(sys.modules.get(words), "__file__", None)
        if path and path not in seen and is_users_file(path) and Path(path).is_file():
            seen |= {path} | _imported_by(path, seen | {path})
    return seen


@cache
def _imports(name: str, package: str, changed: int, size: int) -> tuple[str, ...]:
    """The full names of modules that the import statements of a file in that package may mean."""
    names: list[str] = []
    try:
        tree = ast.parse(Path(name).read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return ()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            base = ".".join(part for part in (above if node.level else "", node.module or "") if part)
            names += [base, *(f"{base}.{alias.name}" if base else alias.name for alias in node.names)]
    return tuple(names)


@cache
def _file_digest(name: str, changed: int, size: int) -> str:
    text = Path(name).read_bytes()
    if "site-packages" not in Path(name).parts:  # of an installed package every byte counts, which is quicker
        with contextlib.suppress(SyntaxError, ValueError, RecursionError):
            text = ast.dump(ast.parse(text)).encode("utf-8", "backslashreplace")
    return short_hash(text)


def short_hash(data: bytes) -> str:
    """Sixteen letters that say whether bytes are the same."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def bytes_of(tensor: Tensor) -> bytes:
    """A tensor's numbers as they lie in memory, row by row."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


class _Description:
    """Plain values that are equal where two things do the same, in every process."""

    def __init__(self, deep: bool) -> None:
        self.deep = deep
        self.path: list[int] = []  # of what is being described, which may hold itself

    def of(self, value: Any) -> Any:
        """The description of anything."""
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
            return value
        if isinstance(value, Tensor):
            return short_hash(bytes_of(value))
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return [str(value.dtype), value.shape, short_hash(np.ascontiguousarray(value).tobytes())]
        if isinstance(value, _WORDS):
            return [type(value).__qualname__, repr(value)]
        if id(value) in self.path:
            return ["again", len(self.path) - self.path.index(id(value))]
        self.path.append(id(value))
        try:
            return self._of_parts(value)
        finally:
            self.path.pop()

    def _of_parts(self, value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return [self.of(item) for item in value]
        if isinstance(value, (set, frozenset)):
            return sorted(repr(self.of(item)) for item in value)
        if isinstance(value, dict):
            return [(repr(self.of(key)), self.of(item)) for key, item in value.items()]
        if isinstance(value, CodeType):
            return [value.co_code.hex(), value.co_names, value.co_varnames, self.of(value.co_consts)]
        if isinstance(value, partial):
            return [self.of(value.func), self.of(value.args), self.of(value.keywords)]
        if isinstance(value, MethodType):
            return [self.of(value.__func__), self.of(value.__self__)]
        if isinstance(value, FunctionType):
            return self._of_function(value)
        return self._of_object(value)

    def _of_function(self, function: FunctionType) -> Any:
        cells = [self.of(_content_of(cell)) for cell in function.__closure__ or ()]
        told = [self.of(function.__code__), cells, self.of(function.__defaults__), self.of(function.__kwdefaults__)]
        if not self.deep or not _is_users(function.__code__.co_filename):
            return told
        names = sorted(name for name in _names_in(function.__code__) if name in function.__globals__)
        return [*told, [(name, self._of_global(function.__globals__[name])) for name in names]] if names else told

    def _of_global(self, value: Any) -> Any:
        """What the user's own functions and classes do; of all others their names."""
        if isinstance(value, FunctionType) and not _is_users(value.__code__.co_filename):
            return [value.__module__, value.__qualname__]
        return self.of(value)

    def _of_object(self, value: Any) -> Any:
        kind = value if isinstance(value, type) else type(value)
        name = [_module_of(kind), kind.__qualname__, getattr(value, "__name__", "")]
        is_users = self.deep and any(_is_of_user(base) for base in kind.__mro__)
        own = [self._of_class(base) for base in kind.__mro__ if _is_of_user(base)] if is_users else []
        if isinstance(value, (ModuleType, type)):
            return [*name, *own]
        if callable(value):
            code = self.of(getattr(kind.__call__, "__code__", None))
            return [*name, code, self.of(getattr(value, "__dict__", {})), *own]
        if self.deep and (is_users or kind is SimpleNamespace):
            return [*name, self.of(getattr(value, "__dict__", {})), *own]
        return name

    def _of_class(self, kind: type) -> Any:
        parts = {key: getattr(part, "__func__", part) for key, part in vars(kind).items() if key not in _OF_A_CLASS}
        told = (FunctionType, bool, int, float, str, bytes, tuple, list, dict, Tensor, np.ndarray)
        return [(key, self.of(part)) for key, part in sorted(parts.items()) if isinstance(part, told)]


_WORDS = (np.generic, PurePath, Enum, range, slice, re.Pattern, torch.dtype, torch.device)  # whose words say it all
_OF_A_CLASS = ("__module__", "__doc__", "__annotations__", "__firstlineno__", "__static_attributes__")


def _names_in(code: CodeType) -> set[str]:
    """The names that some code uses, with those of functions within it."""
    within = (_names_in(part) for part in code.co_consts if isinstance(part, CodeType))
    return set(code.co_names).union(*within)


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


def _content_of(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return None

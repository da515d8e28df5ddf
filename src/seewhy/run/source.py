"""What code a network and the user's own functions are made of, as hashes: edited code is another run."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import inspect
import re
import sys
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.errors import is_users_file


def code_digest(function: Any) -> str:
    """A hash of what a function does: its code with the names, constants, defaults and closed-over values it uses."""
    try:
        text = repr(_described(function))
    except RecursionError:  # functions that close over each other
        text = f"{type(function).__qualname__} {getattr(function, '__qualname__', '')}"
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()


def source_digest(model: nn.Module, functions: Sequence[Any] = ()) -> str:
    """A hash of what a network is made of: the files of its classes with what they import, its parts and settings.

    The files of the user's own functions (preprocessing, methods) count, too: what these call lies there.
    """
    parts: list[Any] = []
    # In order, since a network whose output is read otherwise is of a class that is called like its own.
    kinds = dict.fromkeys(kind for module in model.modules() for kind in type(module).__mro__ if _is_own(kind))
    for kind in sorted(kinds, key=lambda kind: (module_of(kind), kind.__qualname__)):
        parts.append([kind.__qualname__, *sorted({_source_of(part) for part in vars(kind).values()} - {""})])
    for name, module in model.named_modules():
        if _is_own(type(module)):
            settings = {key: value for key, value in vars(module).items() if not key.startswith("_")}
            parts.append([name, code_digest({key: value for key, value in settings.items() if key != "training"})])
    parts.append([_source_of(getattr(function, "func", function)) for function in functions])
    words = re.sub(r"0x[0-9a-f]+", "", repr(model))  # of things that print where they lie
    return hashlib.blake2b(repr([words, parts]).encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()


def files_digest(value: Any) -> str:
    """A hash of the user's files in which an object's functions lie, with what these import; "" for one of ours."""
    functions = (*getattr(value, "__dict__", {}).values(), *vars(type(value)).values())
    own = [part for part in functions if not str(getattr(part, "__module__", "seewhy.")).startswith("seewhy.")]
    return ".".join(sorted({_source_of(part) for part in own} - {""}))


def module_of(kind: type) -> str:
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


def _described(value: Any) -> Any:
    """Plain values that are equal where two things do the same, in every process."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return value
    if isinstance(value, Tensor):
        return short_hash(bytes_of(value))
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
        cells = [_described(cell_content(cell)) for cell in value.__closure__ or ()]
        return [_described(value.__code__), cells, _described(value.__defaults__), _described(value.__kwdefaults__)]
    return _described_object(value)


def _described_object(value: Any) -> Any:
    kind = type(value)
    name = [module_of(kind), kind.__qualname__, getattr(value, "__name__", "")]
    if isinstance(value, (ModuleType, type)) or not callable(value):
        return name
    return [*name, _described(getattr(kind.__call__, "__code__", None)), _described(getattr(value, "__dict__", {}))]


def cell_content(cell: CellType) -> Any:
    """What a function's cell holds; None where it is empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return None

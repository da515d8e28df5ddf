"""Which code a row measured: a result is shown only while that code stands."""

from __future__ import annotations

import ast
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import CodeType
from typing import Any

SOURCE = Path(__file__).parent.parent / "src" / "seewhy"
MAPS = ("cam", "maps.py")
EXPLAIN = (*MAPS, "cli", "data", "explanation", "run", "store", "render/overlay.py", "render/sheet.py", "geometry.py")
COMPAT = (*MAPS, "compat", "evidence/metrics", "render/color.py", "render/overlay.py")
REPORT = ("report", "render", "store")
EVERYTHING = (".",)


def code_digest(parts: Sequence[str], root: Path | None = None, but: Sequence[str] = ()) -> str:
    """A hash of what the code of these parts does: not of comments, docstrings, layout and names of local variables.

    Parts are files or folders of `root`, by default of the package; files in `but` are left out.
    """
    root = root or SOURCE
    files = {
        path for part in parts for path in ([root / part] if part.endswith(".py") else (root / part).rglob("*.py"))
    }
    files -= {root / part for part in but}
    told = [f"{path.relative_to(root).as_posix()} {_without_words(path)}" for path in sorted(files)]
    return hashlib.blake2b("\n".join(told).encode(), digest_size=8).hexdigest()


def stamp(parts: Sequence[str]) -> dict[str, Any]:
    """What a result keeps of the code that it measured."""
    git = shutil.which("git")
    words = [git, "rev-parse", "--short", "HEAD"]
    commit = (
        subprocess.run(words, cwd=SOURCE, capture_output=True, text=True, check=False).stdout.strip() if git else ""
    )
    return {"commit": commit, "parts": list(parts), "digest": code_digest(parts)}


def is_current(raw: dict[str, Any]) -> bool:
    """Whether the code that a result measured is the code of today."""
    code = raw.get("code")
    return code is not None and code["digest"] == code_digest(code["parts"])


def _without_words(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass(lineno=1, col_offset=0)]
    return repr(_described(compile(tree, path.name, "exec", dont_inherit=True)))


def _described(code: CodeType) -> list[object]:
    """What the code does, whatever its local variables are called and wherever it stands."""
    constants = [_described(one) if isinstance(one, CodeType) else _constant(one) for one in code.co_consts]
    return [code.co_name, code.co_code.hex(), code.co_names, code.co_argcount, code.co_kwonlyargcount, constants]


def _constant(value: object) -> str:
    """A constant in words; a set's members have another order in each process."""
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)

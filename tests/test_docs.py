"""The documentation names what the code has, no more and no less."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import typer

import seewhy
from seewhy import errors
from seewhy.cam.methods.catalogue import METHODS
from seewhy.cli.app import app
from seewhy.cli.commands import HOMES
from seewhy.evidence.factors.edits import REMOVALS
from seewhy.evidence.factors.region_grammar import GRAMMAR
from seewhy.evidence.findings.safeguards.catalogue import SAFEGUARDS
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.trials.edit import MARKED, PATCHED, Edit
from seewhy.planted.folder import write_faces
from seewhy.store import schema
from tests.test_imports import FLOORS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("benchmarks/*.md")])
RECORDS = ("Classifier", "Preprocess", "Property")  # records that users make
ERRORS = (DOCS / "errors.md").read_text(encoding="utf-8")


def slugs_in_use() -> set[str]:
    """Every slug that is given to an error (`slug="…"`), or that a class of errors has."""
    found = {cls.slug for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.SeewhyError)}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "slug" and isinstance(node.value, ast.Constant):
                found.add(node.value.value)
            if isinstance(node, ast.ClassDef):
                found |= {
                    one.value.value
                    for one in node.body
                    if isinstance(one, ast.Assign)
                    and isinstance(one.value, ast.Constant)
                    and any(isinstance(target, ast.Name) and target.id == "slug" for target in one.targets)
                }
    return found


def sections() -> dict[str, str]:
    parts = re.split(r"^## +(.+)$", ERRORS, flags=re.MULTILINE)
    return {name.strip(): text.strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_every_slug_has_a_heading_and_every_heading_is_a_slug() -> None:
    assert sections().keys() == slugs_in_use()


def test_no_heading_stands_twice() -> None:
    names = re.findall(r"^## +(.+)$", ERRORS, flags=re.MULTILINE)
    assert [name for name, count in Counter(names).items() if count > 1] == []


@pytest.mark.parametrize("slug", sorted(sections()))  # those in use, says the first test
def test_every_slug_is_a_link_and_is_explained_in_a_sentence(slug: str) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", slug)
    assert sections()[slug].endswith(".")
    assert len(sections()[slug]) > 20


def test_every_error_is_in_the_tree_of_the_docstring() -> None:
    named = {
        name
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, errors.SeewhyError) and cls is not errors.SeewhyError
    }
    assert set(re.findall(r"^ {4,}(\w+Error)\b", errors.__doc__ or "", flags=re.MULTILINE)) == named


def test_every_command_named_in_the_errors_exists() -> None:
    assert set(re.findall(r"`seewhy (\w+)", ERRORS)) <= set(HOMES)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the examples name: a network, a few rendered faces."""
    home = tmp_path_factory.mktemp("docs")
    write_faces(home / "faces", n_train=60, n_valid=40, size=32, strength=1.0, shortcut="logo")
    (home / "data").symlink_to(home / "faces")
    source = (ROOT / "src" / "seewhy" / "learn" / "net.py").read_text(encoding="utf-8")
    (home / "net.py").write_text(source.replace("size: int = 256", "size: int = 32"), encoding="utf-8")
    return home


def test_the_examples_run_and_the_folders_hold_what_is_listed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    run_blocks(DOCS / "python.md")
    for command in ("explain", "audit"):
        names = {path.name for path in (place / "runs" / command).iterdir()} - {"trends"}  # which are made afterwards
        assert names <= files_of(command) <= names | {"report", "pictures", "controls.npz", "places.json"}
    check_keys(json.loads((place / "runs" / "audit" / "findings.json").read_text(encoding="utf-8")))
    (place / "checkpoints" / "Net" / "model_7.pt").rename("model.pt")
    (place / "runs").rename("runs-of-python-md")
    run_blocks(ROOT / "README.md")


def check_keys(found: dict[str, Any]) -> None:
    """Every key of a findings.json has its meaning."""
    known = [{key for names in keys for key in names.split(", ")} for keys in (schema.FOUND, schema.FINDING)]
    assert found.keys() <= known[0] and all(finding.keys() == known[1] for finding in found["findings"])
    numbers = {key for finding in found["findings"] for key in finding["numbers"]}
    assert numbers <= {key for names in schema.NUMBERS for key in names.split(", ")}


def run_blocks(page: Path) -> None:
    """Run the Python code of a page, one block after the other."""
    names: dict[str, Any] = {"__name__": "examples"}
    for line, code in blocks(page, "python"):
        exec(compile("\n" * line + code, page.name, "exec"), names)


def files_of(command: str) -> set[str]:
    return {name.partition("/")[0] for name, (commands, _) in schema.FILES.items() if command in commands}


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The code of a page in this language, each with the number of lines above it."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, block.start(1)), block.group(1)) for block in found]


@pytest.mark.parametrize("name", [name for name in seewhy.__all__ if name != "__version__"])
def test_python_md_names_each_parameter_and_field(name: str) -> None:
    text = (DOCS / "python.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", text.partition(f"\n## seewhy.{name}\n")[2], flags=re.MULTILINE)[0]
    thing = getattr(seewhy, name)
    asked = inspect.signature(thing).parameters if inspect.isfunction(thing) or name in RECORDS else ()
    assert section and [one for one in asked if f"`{one}`" not in section and f"`**{one}`" not in section] == []


@pytest.mark.parametrize("name", [name for name in seewhy.__all__ if inspect.isfunction(getattr(seewhy, name))])
def test_the_docstrings_example_is_that_of_the_page_which_is_run(name: str) -> None:
    text = (DOCS / "python.md").read_text(encoding="utf-8").partition(f"\n## seewhy.{name}\n")[2]
    page = re.search(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    docstring = inspect.getdoc(getattr(seewhy, name)) or ""
    lines = [line.strip() for line in docstring.partition("Example:\n")[2].splitlines()]
    assert page and lines and all(line[:3] in (">>>", "...") for line in lines)
    shown = [line[4:].replace("'''", '"""') for line in lines]
    assert [line for line in shown if line] == [line for line in page.group(1).splitlines() if line]
    for parameter in inspect.signature(getattr(seewhy, name)).parameters:
        assert re.search(rf"\b{parameter}\b", docstring.partition("Args:\n")[2].partition("Example:")[0]), parameter


def links(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'(?:src|href)="([^"]+)"', text)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        names.add(f"{slug}-{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if not link.startswith(("http:", "https:")):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def test_the_readme_is_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_index_names_every_page() -> None:
    linked = {link.partition("#")[0] for link in links(DOCS / "index.md")}
    assert {path.name for path in [*DOCS.glob("*.md"), *DOCS.glob("*.ipynb")]} - {"index.md"} <= linked


def typed_in(page: Path) -> Iterator[list[str]]:
    """The words of every seewhy command that a page types."""
    for language in ("sh", "console", "text"):
        for _, block in blocks(page, language):
            for line in re.sub(r"\\\n", " ", block).splitlines():
                if re.match(r"(\$ )?seewhy ", line):
                    yield shlex.split(line.removeprefix("$ "), comments=True)[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_typed_is_one_that_is_taken(page: Path) -> None:
    commands = typer.main.get_command(app).commands
    for name, *words in typed_in(page):
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, (name, words)


@pytest.mark.parametrize(
    ("command", "option"),
    [("check", "method"), ("check", "target"), ("audit", "layers"), ("audit", "method"), ("methods", "target")],
)
def test_options_of_which_one_is_taken_say_so(command: str, option: str) -> None:
    helps = {one.name: one.help or "" for one in typer.main.get_command(app).commands[command].params}
    assert re.search(r"\b[Oo]ne[,:]", helps[option]) and not re.search("several|repeatable", helps[option])


def test_the_map_of_contributing_has_the_floors_of_the_import_test() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms: dict[int, set[str]] = {}
    for floor, names in re.findall(r"^\| (\d+) \| (.+?) \|", text, flags=re.MULTILINE):
        rooms.setdefault(int(floor), set()).update(re.findall(r"`(\w+)`", names))
    assert list(rooms.values()) == [set(floor) for floor in FLOORS[""] if floor != ("__main__",)]


@pytest.mark.parametrize("package", ["evidence", "cam"])
def test_the_rooms_of_a_package_stand_in_contributing_as_the_import_test_has_them(package: str) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    told = text.partition(f"Inside of `{package}`, from the top: ")[2].partition("\n\n")[0]
    rooms = [set(re.findall(r"`(\w+)`", floor)) for floor in told.split(";")]
    assert [room for room in rooms if room] == [set(floor) for floor in FLOORS[package]]


@pytest.mark.parametrize("name", schema.TABLES)
def test_every_column_of_numbers_has_a_unit(name: str) -> None:
    for column, (kind, _) in schema.TABLES[name].items():
        plain = kind.value_type if pa.types.is_list(kind) else kind
        is_number = pa.types.is_floating(plain) or pa.types.is_integer(plain)
        assert (column in schema.UNITS) == is_number, column
    assert name in schema.ROWS and name in schema.FILES


def cells_of(page: str, heading: str) -> list[str]:
    """The first cell of each row of the first table below a heading of a page."""
    text = (DOCS / page).read_text(encoding="utf-8").partition(f"# {heading}\n")[2]
    table = re.search(r"^\|.*?\n\n", f"{text}\n\n", flags=re.DOTALL | re.MULTILINE)
    return [line.split(" | ")[0].removeprefix("| ") for line in table.group().strip().splitlines()[2:]] if table else []


def test_the_glossary_names_the_safeguards_as_the_catalogue_does() -> None:
    assert cells_of("glossary.md", "safeguard") == [safeguard.name for safeguard in SAFEGUARDS]


def test_the_table_of_properties_names_all_of_them() -> None:
    named = [name for cell in cells_of("audit.md", "Properties") for name in re.findall(r"`([\w-]+)`", cell)]
    assert sorted(named) == sorted(PROPERTIES)


def test_the_table_of_regions_and_the_help_have_all_that_the_grammar_has() -> None:
    typed = " ".join(cells_of("audit.md", "Regions"))
    words = GRAMMAR.split(", ")
    assert [word for word in words if "=" not in word and f"`{word}`" not in typed] == []
    assert all(form in typed for form in ("=masks/", "=labels/#", "=coco.json#", "=regions.py:", "=not:"))
    assert len([word for word in words if "=" in word]) == 4  # a row for each of those above, and YOLO's
    audit = typer.main.get_command(app).commands["audit"]
    assert next(one.help for one in audit.params if one.name == "regions") == f"{GRAMMAR}; by commas."


def test_the_readme_names_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    told = (ROOT / "README.md").read_text(encoding="utf-8").partition("Extras, ")[2].partition("\n\n")[0]
    assert set(re.findall(r"\w+", told.partition(": ")[2])) == set(extras)


def test_the_page_of_seewhy_toml_shows_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "seewhy-toml.md").read_text(encoding="utf-8")
    shown = page.partition("## Errors")[2].partition("```text\n")[2].partition("```")[0]
    files = (
        *("[explain]\nlayer = 1", "[explian]\nlimit = 2", "[repair]\nfinding = 1", "layers = 'conv4'"),
        *("[explain]\nlimit = 'ten'", "[explain"),
    )
    told = []
    for text in files:
        Path("seewhy.toml").write_text(f"{text}\n", encoding="utf-8")
        with pytest.raises(errors.OptionError) as raised:
            app(["explain", "faces", "--model", "net.py:Net"], standalone_mode=False)
        told.append(f"OptionError: {raised.value.message}\n")
    assert "".join(told) == shown


EDITS = [
    *(Edit("exchange", shrink_px=pixels) for pixels in (0, 4)),
    *(Edit("exchange", outside="face", grow_px=px, whole=whole) for px in (0, 8) for whole in (False, True)),
    *(Edit("exchange", outside=outside, held="tint") for outside in (None, "face")),
    Edit("exchange", outside="face", whole=True, held="tint"),
    *(Edit("removal", removal=name) for name in (*REMOVALS, "average")),
    *(Edit("control", removal=name) for name in (None, *REMOVALS)),
    Edit("control", grow_px=8),
    *(MARKED, PATCHED),
]


@pytest.mark.parametrize("edit", [str(edit) for edit in EDITS])
def test_every_edit_of_a_trial_has_a_row(edit: str) -> None:
    text = (DOCS / "run-folder.md").read_text(encoding="utf-8").partition("What `edit` says of a trial:")[2]
    rows = text.partition("\n## ")[0].strip().splitlines()[2:]
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row.split(" | ")[0])]
    forms = [re.sub(r"\d+", r"\\d+", re.escape(name)).replace("NAME", ".+") for name in names]
    assert any(re.fullmatch(form, edit) for form in forms), forms


def test_the_page_about_blind_networks_has_a_row_for_every_method() -> None:
    page = (DOCS / "blind.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    left_out = ("opti-cam",)  # as the page says
    assert rows[2:] == [name for name in METHODS if METHODS[name].kind != "attention" and name not in left_out]

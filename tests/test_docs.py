"""The documentation names what the code has, no more and no less."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

from seewhy import errors

ROOT = Path(__file__).parents[1]
ERRORS = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


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


@pytest.mark.parametrize("slug", sorted(slugs_in_use()))
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
    from seewhy.cli.app import app

    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert set(re.findall(r"`seewhy (\w+)", ERRORS)) <= commands

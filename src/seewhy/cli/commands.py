"""The commands by name, each imported when it is asked for: to run one, nothing of the others is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import typer

DEBUG = "--debug, with any command, shows where in the code an error was raised."
HOMES = {  # the module of each, in the order in which the help lists them
    "explain": "explain",
    "merge": "merge",
    "check": "check",
    "audit": "audit",
    "trends": "trends",
    "repair": "repair",
    "compare": "compare",
    "export": "export",
    "report": "report",
    "verify": "report",
    "layers": "lists",
    "methods": "methods",
    "train": "train",
    "data": "data",
    "demo": "demo",
}


class Commands(Mapping[str, Any]):
    """What a group holds: its commands by name."""

    def __getitem__(self, name: str) -> Any:
        return _made(name)

    def __iter__(self) -> Iterator[str]:
        return iter(HOMES)

    def __len__(self) -> int:
        return len(HOMES)

    def __contains__(self, name: object) -> bool:
        return name in HOMES


@cache
def _made(name: str) -> Any:
    """Typer's command of a function that is called as the command is."""
    function: Callable[..., None] = getattr(import_module(f"seewhy.cli.{HOMES[name]}"), name)
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    alone.command(name, epilog=DEBUG)(function)
    return typer.main.get_command(alone)

"""The options of a gate: what a pipeline does not let pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli.gate import Condition, Gate, conditions_of
from seewhy.cli.junit import check_junit, write_junit
from seewhy.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """What a pipeline does not let pass."""

    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            help="Leave with status 1 where this is found, by commas, each with the least level that counts: audit: "
            "shortcut:moderate,overfit,leak; check: bad,leak,grade:C.",
        ),
    ] = None
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Write what --fail-on asks for as JUnit XML to this file.")
    ] = None

    def conditions(self, words: Mapping[str, Sequence[str]], more: str = "") -> tuple[Condition, ...]:
        """The conditions that are asked for, with `more`. Raises OptionError for what cannot be, before any work."""
        check_junit(self.junit)
        asked = (*conditions_of(self.fail_on, words), *conditions_of(more or None, words))
        if self.junit is not None and not asked:
            raise OptionError(
                "--junit writes what --fail-on asks for.  Add one:  --fail-on " + ",".join(list(words)[:2])
            )
        return tuple(dict.fromkeys(asked))

    def close(self, gate: Gate) -> None:
        """Say why a gate fails, write it where asked, and leave with status 1 where it does."""
        if self.junit is not None:
            write_junit(gate, self.junit)
        gate.say()
        if gate.failed:
            raise typer.Exit(1)

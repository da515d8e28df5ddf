"""The pages after a run, and the command line that they name."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Container
from pathlib import Path

import typer

from seewhy.cli.printing import plain
from seewhy.errors import WorkError

_NOT_WHAT_IT_IS = ("as_json", "config", "extend", "fail_on", "junit", "no_report", "out", "plan_only", "strict")
_NOT_WHERE_IT_RAN = ("gpus_per_worker", "ray", "shard", "workers")


def write_pages(folder: Path, typed: str, left_out: bool) -> dict[str, str]:
    """Keep the command line in the run, and write its pages; where they lie."""
    from seewhy.report.write import write_report
    from seewhy.run.progress import progress_bar
    from seewhy.store import manifest

    with manifest.writer(folder):
        manifest.note_typed(folder, typed)
    if left_out:
        return {}
    try:
        with progress_bar("Writing the report") as update:
            return {"report": str(write_report(folder, progress=update) / "index.html")}
    except WorkError as error:  # what the run has found is told all the same
        print(plain(error.message), file=sys.stderr)
        return {}


def typed_again(context: typer.Context) -> str:
    """The command line that makes this run again, from wherever its options came."""
    names = {parameter.name or "" for parameter in context.command.params} - {*_NOT_WHAT_IT_IS, *_NOT_WHERE_IT_RAN}
    return f"seewhy {context.info_name} {typed_options(context, names)}".rstrip()


def typed_options(context: typer.Context, names: Container[str]) -> str:
    """The arguments and options of these names as they would be typed, those that are as usual left out."""
    words = []
    for parameter in sorted(context.command.params, key=lambda param: param.param_type_name != "argument"):
        value = context.params.get(parameter.name or "")
        if value is None or value is False or value in (parameter.default, [], ()) or parameter.name not in names:
            continue
        values = [str(item) for item in value] if isinstance(value, (list, tuple)) else [str(value)]
        for text in values:
            option = [] if parameter.param_type_name == "argument" else [max(parameter.opts, key=len)]
            words += option if value is True else [*option, text]
    return shlex.join(words)

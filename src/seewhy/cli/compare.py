"""`seewhy compare`: what differs between two runs on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli.options import AsJson, NoReport
from seewhy.cli.pages import typed_again, write_pages
from seewhy.cli.printing import print_json, print_wrapped, say


def compare(
    context: typer.Context,
    first: Annotated[Path, typer.Argument(help="A finished run folder of explain, check or audit.")],
    second: Annotated[Path, typer.Argument(help="Another one, of the same images; told against the first.")],
    out: Annotated[
        Path | None, typer.Option(help="Where comparison.json and the pages go.  [default: FIRST-to-SECOND]")
    ] = None,
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """Say what differs between two runs on the same images: effects, decisions, maps, and who changed most."""
    from seewhy.run.progress import progress_bar

    folder = None if no_report and out is None else out or _beside(first, second)
    with progress_bar("Comparing the runs") as update:  # from here on: what it imports takes its time, too
        from seewhy.learn.compare.compare import compare as run

        found = run(first, second, out=folder)
        update(1, 1)
    pages = {} if folder is None else write_pages(folder, typed_again(context), no_report)
    if as_json:
        print_json({"command": "compare", **pages, **found.summary()})
        return
    say(f"{first} → {second}: {len(found):,} images in both\n")
    for line in found.lines():
        print_wrapped(line)
    if pages:
        say(f"\nOpen in a browser:  {pages['report']}")


def _beside(first: Path, second: Path) -> Path:
    """The folder of a comparison, beside the first run."""
    named, other = (run if run.name else run.resolve() for run in (first, second))
    return named.with_name(f"{named.name}-to-{other.name}")

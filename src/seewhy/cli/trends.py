"""`seewhy trends`: where the maps of a finished run lie, and the groups that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli.options import AsJson
from seewhy.cli.printing import print_json, print_wrapped, say
from seewhy.cli.texts import seed_of


def trends(
    run: Annotated[Path, typer.Argument(help="A finished run folder of explain or audit.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same groups.", callback=seed_of)] = 0,
    as_json: AsJson = False,
) -> None:
    """Group the maps of a finished run by class, and say what would test each group; its pages get a page of it."""
    from seewhy.evidence.trends.trends import trends as trends_of
    from seewhy.report.write import write_report
    from seewhy.run.progress import progress_bar

    proposed = trends_of(run, seed=seed)
    with progress_bar("Writing the report") as update:
        pages = write_report(run, progress=update)
    if as_json:
        page = str(pages / "trends.html")
        print_json({"command": "trends", "run": str(run), "report": page, **proposed.summary()})
        return
    for line in proposed.lines():
        print_wrapped(line.strip()) if line.startswith(" ") else say(line)
    say(f"\nOpen in a browser:  {pages / 'trends.html'}")

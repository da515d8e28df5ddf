"""`seewhy report`: the pages of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli.options import AsJson
from seewhy.cli.printing import print_json, say


def report(
    run: Annotated[Path, typer.Argument(help="A finished run folder of explain, check or audit.")],
    copy_images: Annotated[
        bool, typer.Option("--copy-images", help="Copy the original files into the report, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the pages of a finished run: report/index.html in its folder opens from disk, the folder can be mailed."""
    from seewhy.report.write import write_report
    from seewhy.run.progress import progress_bar

    with progress_bar("Writing the report") as update:
        pages = write_report(run, copy_images=copy_images, progress=update)
    if as_json:
        print_json({"command": "report", "run": str(run), "report": str(pages / "index.html")})
        return
    say(f"Open in a browser:  {pages / 'index.html'}")

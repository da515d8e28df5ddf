"""`seewhy report`: the pages of a finished run; `seewhy verify`: whether its files are as they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli.options import AsJson
from seewhy.cli.printing import print_json, say
from seewhy.errors import StoreError


def report(
    run: Annotated[
        Path, typer.Argument(help="A finished run folder of explain, check, audit or repair, or of a comparison.")
    ],
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


def verify(
    run: Annotated[Path, typer.Argument(help="A finished run folder of explain, check or audit.")],
    as_json: AsJson = False,
) -> None:
    """Say whether every file of a finished run is as it was written; leave with status 1 where one is not."""
    from seewhy.store import checksums, manifest

    stored = manifest.read_manifest(run)
    if stored.get("status") != "complete":
        raise StoreError(f"The run in {run} is not finished: the same command goes on.", slug="unfinished-run")
    known, damaged = "files" in stored, checksums.damages(run, stored)
    if as_json:
        print_json({"command": "verify", "run": str(run), "checksums": known, "damages": damaged})
    elif damaged:
        raise checksums.damaged_run(run, damaged)
    elif known:
        say("Every file is as it was written.")
    else:
        say("The run was written before there were checksums, so nothing can be said.")
    if damaged:
        raise typer.Exit(1)

"""`seewhy export`: a finished run in the tracker or format that is used anyway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli.options import AsJson
from seewhy.cli.printing import kept_clean, print_json, say


def export(
    run: Annotated[Path, typer.Argument(help="A finished run folder, or the folder of a watched training.")],
    to: Annotated[
        str,
        typer.Option(
            help="mlflow, wandb, tensorboard, fiftyone, csv, coco, or an address (s3://BUCKET/RUN) for a copy."
        ),
    ],
    out: Annotated[
        str | None,
        typer.Option(
            help="The folder, file (coco) or address (mlflow) that is written to.  [default: the tracker's own, "
            "or beside you by the run's name]"
        ),
    ] = None,
    project: Annotated[
        str, typer.Option(help="What the tracker calls project or experiment; with fiftyone the data set.")
    ] = "seewhy",
    images: Annotated[
        int, typer.Option(help="How many images a tracker gets, evenly chosen; csv, coco and fiftyone get all.")
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """Write what a finished run shows to a tracker, or as files; the run itself is not changed."""
    from seewhy.integrations.export import export as write

    with kept_clean():
        place = write(run, to, out, project, images)
    if as_json:
        print_json({"command": "export", "run": str(run), "to": to, "place": place})
        return
    say(f"Written:  {place}")

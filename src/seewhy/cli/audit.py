"""`seewhy audit`: what the decisions depend on."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli.options import (
    AsJson,
    BatchSize,
    Channels,
    Classes,
    Config,
    Device,
    Epoch,
    Fit,
    Mean,
    Model,
    ModelArg,
    NoReport,
    PreprocessBy,
    Range,
    Seed,
    Size,
    Std,
    Weights,
    classifier_of,
    numbers_of,
    size_of,
)
from seewhy.cli.pages import typed_again, write_pages
from seewhy.cli.printing import print_audit, print_json, print_plan


def audit(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="A folder with train/ and valid/ class folders, or a CSV with labels.")],
    model: Model,
    weights: Weights = None,
    epoch: Epoch = None,
    model_arg: ModelArg = None,
    classes: Classes = None,
    regions: Annotated[
        str,
        typer.Option(
            help="border, corners, centre, halves, grid:4x4, zones, face, background, NAME=FOLDER of masks, "
            "NAME=coco.json, NAME=file.py:function, NAME=not:REGION; by commas."
        ),
    ] = "zones",
    core: Annotated[
        str, typer.Option(help="The regions (or properties) that should matter: anything else can be a shortcut.")
    ] = "",
    factors: Annotated[
        str, typer.Option(help="Properties: brightness, contrast, tint, …; all, none, or your own as file.py:name.")
    ] = "all",
    insert: Annotated[
        list[str] | None,
        typer.Option(help="A mark to lay over images: NAME=text:WORD or NAME=logo.png, then @top-left, …; repeatable."),
    ] = None,
    recipients: Annotated[int, typer.Option(help="Images of each split that are edited for each factor.")] = 300,
    donors: Annotated[int, typer.Option(help="Images of each class that give content.")] = 300,
    budget: Annotated[
        str | None, typer.Option(help="At most so many trials (50000), or so much time (5m, 90s, 1h).  [default: all]")
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Say what would run, its cost, and the smallest effect that would show.")
    ] = False,
    size: Size = None,
    fit: Fit = None,
    mean: Mean = None,
    std: Std = None,
    range_: Range = None,
    channels: Channels = None,
    preprocess: PreprocessBy = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.  [default: runs/audit-<hash of options>]")] = None,
    batch_size: BatchSize = None,
    workers: Annotated[int | None, typer.Option(help="Processes, on Linux and a CPU.  [default: one per core]")] = None,
    device: Device = "auto",
    seed: Seed = 0,
    no_report: NoReport = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Say what the decisions depend on, tested by exchanging it between images: shortcuts, overfit, or nothing."""
    from seewhy.evidence.audit import audit_in_folder
    from seewhy.evidence.findings.safeguards.catalogue import SAFEGUARDS
    from seewhy.evidence.results.folder import default_audit_folder
    from seewhy.evidence.trials.budget import planned
    from seewhy.evidence.trials.design import design_audit
    from seewhy.evidence.trials.request import request
    from seewhy.run.progress import progress_bar, progress_bars
    from seewhy.run.workers import forking, steady_process
    from seewhy.store import manifest

    steady_process()
    with contextlib.redirect_stdout(sys.stderr), forking(workers):
        classifier = classifier_of(
            model,
            weights,
            epoch,
            model_arg,
            classes,
            preprocess,
            device,
            size=size_of(size),
            fit=fit,
            mean=numbers_of("--mean", mean),
            std=numbers_of("--std", std),
            range=range_,
            channels=channels,
        )
        asked = request(regions, core, factors, insert or (), recipients, donors)
        if out is not None:
            manifest.find(out)  # refused before anything is read, where it holds something else
        with progress_bar("Reading images") as update:
            design = design_audit(
                classifier, data, asked, safeguards=SAFEGUARDS, batch_size=batch_size, seed=seed, progress=update
            )
        if plan_only:
            found = planned(design, budget, workers)
        else:
            folder = out or default_audit_folder(design, budget)
            with progress_bars("Trials       ", "Weighing them") as (update, weighing):
                summary = audit_in_folder(
                    design, folder, budget=budget, workers=workers, progress=update, weighing=weighing
                )
            found = {"run": str(folder), **write_pages(folder, typed_again(context), no_report), **summary}
    if as_json:
        print_json({"command": "audit", **found})
    elif plan_only:
        print_plan(found)
    else:
        print_audit(found, folder)

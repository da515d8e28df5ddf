"""`seewhy check`: whether the classifier works, is fed right, and gives maps that may be read."""

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
    Goal,
    GridText,
    Images,
    Layers,
    Limit,
    Mean,
    MethodName,
    Model,
    ModelArg,
    NoReport,
    PreprocessBy,
    Range,
    Sample,
    Seed,
    Size,
    Std,
    Task,
    Weights,
    classifier_of,
    numbers_of,
    size_of,
    targets_of,
)
from seewhy.cli.pages import typed_again, write_pages
from seewhy.cli.printing import print_check, print_json


def check(
    context: typer.Context,
    images: Images,
    model: Model,
    weights: Weights = None,
    epoch: Epoch = None,
    model_arg: ModelArg = None,
    classes: Classes = None,
    layers: Layers = "auto",
    method: MethodName = "auto",
    target: Goal = None,
    task: Task = None,
    grid: GridText = None,
    limit: Limit = None,
    sample: Sample = None,
    size: Size = None,
    fit: Fit = None,
    mean: Mean = None,
    std: Std = None,
    range_: Range = None,
    channels: Channels = None,
    preprocess: PreprocessBy = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.  [default: runs/check-<hash of options>]")] = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    seed: Seed = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Leave with status 1 for bad news.")] = False,
    no_report: NoReport = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Say whether the classifier works, whether it is fed right, and whether its maps may be read; worst first."""
    from seewhy.evidence.check import check_in_folder, check_plan, default_check_folder
    from seewhy.run.progress import progress_bar
    from seewhy.run.workers import steady_process

    steady_process()
    with contextlib.redirect_stdout(sys.stderr):
        classifier = classifier_of(
            model,
            weights,
            epoch,
            model_arg,
            classes,
            preprocess,
            device,
            task=task,
            size=size_of(size),
            fit=fit,
            mean=numbers_of("--mean", mean),
            std=numbers_of("--std", std),
            range=range_,
            channels=channels,
        )
        options = {
            "target": targets_of(target),
            "layers": layers,
            "method": method,
            "grid": grid,
            "limit": limit,
            "sample": sample,
        }
        plan = check_plan(classifier, images, batch_size=batch_size, seed=seed, **options)
        folder = out or default_check_folder(plan, seed)
        with progress_bar("Checking") as update:
            found = check_in_folder(plan, folder, seed=seed, progress=update)
        pages = write_pages(folder, typed_again(context), no_report)
    if as_json:
        print_json({"command": "check", "run": str(folder), **pages, **found})
    else:
        print_check(found, folder)
    if strict and any(one["level"] == "bad" for one in found["findings"]):
        raise typer.Exit(1)

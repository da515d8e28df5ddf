"""`seewhy explain`: maps of every image, into a run folder."""

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
from seewhy.cli.printing import print_explanation, print_json


def explain(
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
    smooth: Annotated[
        str, typer.Option(help="augment (the mean over mirrored and scaled inputs), eigen (first component), or both.")
    ] = "",
    preset: Annotated[str | None, typer.Option(help="pytorch-grad-cam: the pictures that this package makes.")] = None,
    limit: Limit = None,
    sample: Sample = None,
    size: Size = None,
    fit: Fit = None,
    mean: Mean = None,
    std: Std = None,
    range_: Range = None,
    channels: Channels = None,
    preprocess: PreprocessBy = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.  [default: runs/explain-<hash of options>]")] = None,
    extend: Annotated[
        bool, typer.Option("--extend", help="Take added images into the finished run of --out; only they are computed.")
    ] = False,
    batch_size: BatchSize = None,
    workers: Annotated[int | None, typer.Option(help="Processes, on Linux and a CPU.  [default: one per core]")] = None,
    device: Device = "auto",
    seed: Seed = 0,
    image_format: Annotated[str, typer.Option("--format", help="Overlays as jpg (quality 95) or png.")] = "jpg",
    no_report: NoReport = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Map what the network looks at in every image, into a run folder: maps, overlays, a sheet, mean maps, tables."""
    from seewhy.explanation.explain import default_folder, run_in_folder
    from seewhy.explanation.extend import check_extend
    from seewhy.run.plan import make_plan
    from seewhy.run.progress import progress_bar
    from seewhy.run.workers import forking, steady_process

    check_extend(extend, out)
    steady_process()
    with contextlib.redirect_stdout(sys.stderr), forking(workers):  # what the network prints is not our output
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
        plan = make_plan(
            classifier,
            images,
            target=targets_of(target),
            layers=layers,
            method=method,
            preset=preset,
            smooth=smooth,
            grid=grid,
            limit=limit,
            sample=sample,
            batch_size=batch_size,
            image_format=image_format,
            seed=seed,
        )
        folder = out or default_folder(plan)
        with progress_bar("Explaining") as update:
            explanation = run_in_folder(plan, folder, workers=workers, extend=extend, progress=update)
        pages = write_pages(folder, typed_again(context), no_report)
    summary = {"command": "explain", "run": str(folder), **pages, **explanation.summary()}
    if as_json:
        print_json(summary)
    else:
        print_explanation(summary, folder)

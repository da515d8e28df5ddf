"""`seewhy audit`: what the decisions depend on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli.audit_spread import TRIALS, audit_shard, check_whole, jobs_spread
from seewhy.cli.designs import designed
from seewhy.cli.gate import AUDIT_WORDS, Gate, check_core, judge_audit, leaks_in_words
from seewhy.cli.gate_options import GateOptions
from seewhy.cli.on_ray import check_ray
from seewhy.cli.options import (
    ClassifierOptions,
    ClusterBy,
    ImageOptions,
    LabelledImages,
    LayerOptions,
    RunOptions,
    TaskName,
    Workers,
)
from seewhy.cli.pages import typed_again, write_pages
from seewhy.cli.printing import kept_clean, print_audit, print_json, print_plan, warn
from seewhy.cli.signature import spelled_out
from seewhy.cli.spread import SpreadOptions

if TYPE_CHECKING:
    from seewhy.evidence.checks.leaks import Leaks
    from seewhy.evidence.trials.design import AuditDesign


@dataclass(frozen=True, kw_only=True)
class _MapsBeside(LayerOptions):
    """The maps that stand beside the findings: of one layer and one method."""

    layers: Annotated[
        str, typer.Option(help="One, of the maps beside the findings, by its dotted name; relu@1 is the first run.")
    ] = "auto"
    method: Annotated[
        str,
        typer.Option(
            help="One, of these maps, by name (seewhy methods lists them) or your own: file.py:function; auto chooses."
        ),
    ] = "auto"


@spelled_out
def audit(
    context: typer.Context,
    data: LabelledImages,
    classifier: ClassifierOptions,
    task: TaskName = None,
    label: Annotated[
        str | None,
        typer.Option(help="Of a network of several labels the one that is audited, against its absence."),
    ] = None,
    regions: Annotated[
        str,
        typer.Option(
            help="border, corners, centre, halves, grid:4x4, zones, search, face, background, NAME=FOLDER of masks or "
            "of YOLO's text files, NAME=coco.json#CATEGORY, NAME=file.py:function, NAME=not:REGION; by commas."
        ),
    ] = "zones,search",
    core: Annotated[
        str, typer.Option(help="The regions (or properties) that should matter: anything else can be a shortcut.")
    ] = "",
    properties: Annotated[
        str, typer.Option(help="brightness, contrast, tint, …, by commas; all, none, or your own as file.py:name.")
    ] = "all",
    mark: Annotated[
        list[str] | None,
        typer.Option(
            help="A mark to lay over images: NAME=text:WORD or NAME=logo.png, then @top-left, …, or @full for the "
            "whole canvas; repeatable."
        ),
    ] = None,
    cluster_by: ClusterBy = None,
    factors: Annotated[str | None, typer.Option(help="The old word for --properties.", hidden=True)] = None,
    insert: Annotated[list[str] | None, typer.Option(help="The old word for --mark.", hidden=True)] = None,
    recipients: Annotated[int, typer.Option(help="Images of each split that are edited for each factor.")] = 300,
    donors: Annotated[int, typer.Option(help="Images of each class that give content.")] = 300,
    budget: Annotated[
        str | None, typer.Option(help="At most so many trials (50000), or so much time (5m, 90s, 1h).  [default: all]")
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Say what would run, its cost, and the smallest effect that would show.")
    ] = False,
    as_given: Annotated[
        bool,
        typer.Option("--as-given", help="Go on where the classes are clearly in another order than the network's."),
    ] = False,
    *,
    maps: _MapsBeside,
    taken: ImageOptions,
    workers: Workers = None,
    gating: GateOptions,
    spread: SpreadOptions,
    run: RunOptions,
) -> None:
    """Say what the decisions depend on, tested by exchanging it between images: shortcuts, overfit, or nothing."""
    from seewhy.evidence.audit import audit_in_folder
    from seewhy.evidence.results.folder import default_audit_folder
    from seewhy.evidence.trials.budget import planned, seconds_of, smallest_of
    from seewhy.evidence.trials.searching import usual_trials
    from seewhy.run.folder import RunFolder
    from seewhy.run.progress import in_two_parts, progress_bars
    from seewhy.run.workers import forking, steady_process
    from seewhy.store import arrays, manifest

    portion, conditions = spread.portion(), gating.conditions(AUDIT_WORDS)
    check_core(conditions, core)
    check_whole(portion, conditions)
    check_ray(spread.ray)
    processes = workers if spread.ray is None else None  # one thread each, here as on Ray
    arrays.load()  # what is imported later is looked through for garbage, in each worker, too
    steady_process()
    with kept_clean(), forking(processes):
        if run.out is not None:
            manifest.find(run.out, "audit")  # refused before anything is read, where it holds something else
        with progress_bars("Reading images") as (reading,):
            design = designed(context, reading)
    if run.understands(design.plan, classifier.weights, {} if plan_only else {"Shows": smallest_of(design)}):
        return
    if portion is not None and not plan_only:
        audit_shard(context, design, portion, run, workers)
        return
    with kept_clean(), forking(processes):
        if plan_only:
            summary = planned(design, budget, workers)
        else:
            folder = run.out or default_audit_folder(design, budget)
            seconds_of(budget)  # refused before a folder is made
            with RunFolder(folder).held(), jobs_spread(context, design, folder, spread) as on_ray:
                words = ("Searching             ", *TRIALS)
                with progress_bars(*words[0 if usual_trials(design) else 1 :]) as (*searching, first, weighing, then):
                    findings = audit_in_folder(
                        design, folder, budget=budget, workers=workers, spread=on_ray,
                        progress=in_two_parts(first, then), weighing=weighing, warn=warn,
                        searching=searching[0] if searching else first,
                    )  # fmt: skip
                pages = write_pages(folder, typed_again(context), run.no_report)
            gate = Gate("audit", judge_audit(findings, conditions, lambda: leaks_in_words(leaks_of_design(design))))
            summary = {"run": str(folder), **pages, **findings, **({"gate": gate.as_json()} if conditions else {})}
    if run.as_json:
        print_json({"command": "audit", **summary})
    elif plan_only:
        print_plan(summary)
    else:
        print_audit(summary, folder, typed_again(context))
    if not plan_only:
        gating.close(gate)


def leaks_of_design(design: AuditDesign) -> Leaks | None:
    """What the audited split shares with train, as `check` finds it; None without both, or without files."""
    from seewhy.evidence.checks.leaks import leaks_of
    from seewhy.records import Outcome

    sample = design.audited
    digests = sample.digests or (None,) * len(sample)
    rows = [Outcome(image, digest=digest) for image, digest in zip(sample.images, digests, strict=True)]
    return leaks_of(design.plan, rows, design.seed)

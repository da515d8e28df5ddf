"""`seewhy check`: whether the classifier works, is fed right, and gives maps that may be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from seewhy.cli.gate import CHECK_WORDS, Gate, judge_check
from seewhy.cli.gate_options import GateOptions
from seewhy.cli.options import (
    ClassifierOptions,
    ClusterBy,
    ImageOptions,
    Images,
    MapOptions,
    RunOptions,
)
from seewhy.cli.pages import typed_again, write_pages
from seewhy.cli.printing import kept_clean, print_check, print_json
from seewhy.cli.signature import spelled_out
from seewhy.cli.spread import NotSpreadOptions


@dataclass(frozen=True, kw_only=True)
class _ExaminedMaps(MapOptions):
    """Whose maps are examined: several layers, but one method and one target."""

    method: Annotated[
        str,
        typer.Option(
            help="One, by activation or gradient (seewhy methods lists them), none of your own; auto chooses."
        ),
    ] = "auto"
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="What is explained, one: predicted, label, margin, contrast:A:B, log-probability, a class name or "
            "index, ….  [default: predicted]"
        ),
    ] = None


_NOT_SPLIT = "looks at 2,000 images at most, which one machine does in minutes, and compares them with each other"


@spelled_out
def check(
    context: typer.Context,
    images: Images,
    classifier: ClassifierOptions,
    maps: _ExaminedMaps,
    taken: ImageOptions,
    run: RunOptions,
    cluster_by: ClusterBy = None,
    strict: Annotated[bool, typer.Option("--strict", help="Leave with status 1 for bad news: --fail-on bad.")] = False,
    *,
    gating: GateOptions,
    spread: NotSpreadOptions,
) -> None:
    """Say whether the classifier works, whether it is fed right, and whether its maps may be read; worst first."""
    from seewhy.evidence.check import check_in_folder, check_plan, default_check_folder
    from seewhy.run.folder import RunFolder
    from seewhy.run.progress import progress_bar
    from seewhy.run.workers import steady_process

    spread.refuse("check", _NOT_SPLIT)
    conditions = gating.conditions(CHECK_WORDS, "bad" if strict else "")
    steady_process()
    with kept_clean():
        plan = check_plan(
            classifier.load(maps.task),
            taken.table_of(images),
            cluster_by=cluster_by,
            **maps.arguments(),
            **taken.arguments(),
            **run.arguments(),
        )
    if run.understands(plan, classifier.weights):
        return
    with kept_clean():
        folder = run.out or default_check_folder(plan, run.seed)
        with RunFolder(folder).held():
            with progress_bar("Checking") as update:
                summary = check_in_folder(plan, folder, seed=run.seed, progress=update)
            pages = write_pages(folder, typed_again(context), run.no_report)
    gate = Gate("check", judge_check(summary, conditions))
    if run.as_json:
        judged = {"gate": gate.as_json()} if conditions else {}
        print_json({"command": "check", "run": str(folder), **pages, **summary, **judged})
    else:
        print_check(summary, folder)
    gating.close(gate)

"""`seewhy audit` on several machines: one process's shard of it, what Ray's workers do, and the merging."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from seewhy.cli.designs import designed
from seewhy.cli.on_ray import JobsSpread, jobs_on_ray
from seewhy.cli.options import RunOptions
from seewhy.cli.pages import typed_again, write_pages
from seewhy.cli.printing import kept_clean, print_audit, print_json, say, warn
from seewhy.cli.spread import SpreadOptions, moved, typed_context
from seewhy.errors import OptionError, SeewhyError, counted

if TYPE_CHECKING:
    from seewhy.evidence.portions import StepDone
    from seewhy.evidence.trials.design import AuditDesign
    from seewhy.run.portion import Portion

TRIALS = (  # the bars of an audit: what there is to try at first is known, what follows from it is not
    "Trials, part 1 of 2   ",
    "Weighing them         ",
    "Trials, part 2 of 2   ",
)


def check_whole(portion: Portion | None, conditions: Sequence[Any]) -> None:
    """Raise OptionError where one shard is asked for what only the whole audit can say."""
    if portion is not None and conditions:
        raise OptionError(
            "--fail-on judges the whole audit, and --shard does a part of it.\n  Leave it out here; once the run is "
            "merged, the same line with --fail-on and without --shard judges it, and makes no trial again."
        )


def audit_shard(
    context: typer.Context, design: AuditDesign, portion: Portion, run: RunOptions, workers: int | None
) -> None:
    """Do one portion of an audit as far as its steps go, and say what is left."""
    from seewhy.evidence.portions import audit_portion
    from seewhy.evidence.results.folder import default_audit_folder
    from seewhy.evidence.trials.budget import seconds_of
    from seewhy.run.progress import progress_bars
    from seewhy.run.workers import forking

    budget = context.params["budget"]
    seconds_of(budget)  # refused before a folder is made
    folder = run.out or default_audit_folder(design, budget)
    with kept_clean(), forking(workers), progress_bars(f"Shard {portion}", "Weighing") as (update, weighing):
        done = audit_portion(
            design, folder, portion, budget=budget, typed=typed_again(context), workers=workers, progress=update,
            weighing=weighing, warn=warn,
        )  # fmt: skip
    _say_step(done, folder, as_json=run.as_json)


@contextlib.contextmanager
def jobs_spread(
    context: typer.Context, design: AuditDesign, folder: Path, spread: SpreadOptions
) -> Iterator[JobsSpread | None]:
    """What does the jobs of an audit on Ray, where that was asked for."""
    if spread.ray is None:
        yield None
        return
    typed = context.params
    with jobs_on_ray(typed, design, folder, spread.ray, typed["workers"], spread.gpus_per_worker) as on_ray:
        yield on_ray


def merge_audit_run(context: typer.Context, run: Path, typed: str | None, *, no_report: bool, as_json: bool) -> None:
    """End the audit in `run` whose first step is there: the later trials that are missing are made here."""
    from seewhy.evidence.portions import merge_audit
    from seewhy.run.folder import RunFolder
    from seewhy.run.progress import in_two_parts, progress_bars
    from seewhy.run.workers import forking

    with kept_clean(), forking(None):
        try:
            again = typed_context(context, run, typed)
            design = designed(again)
        except SeewhyError as error:
            raise moved(run, typed, error) from error
        with RunFolder(run).held():
            with progress_bars(*TRIALS) as (first, weighing, then):
                findings = merge_audit(
                    design, run, budget=again.params["budget"], workers=None, progress=in_two_parts(first, then),
                    weighing=weighing,
                )  # fmt: skip
            pages = write_pages(run, str(typed), no_report)
    summary = {"run": str(run), **pages, **findings}
    if as_json:
        print_json({"command": "merge", **summary})
    else:
        print_audit(summary, run, str(typed))


def _say_step(done: StepDone, folder: Path, *, as_json: bool) -> None:
    """What this process has done, how far the audit is, and what to type next."""
    if as_json:
        told = {**vars(done), "portion": str(done.portion)}
        print_json({"command": "audit", "run": str(folder), **told})
        return
    if not done.left:
        say(f"Shard {done.portion} is done, and so is every step.  Now:  seewhy merge {folder}")
        return
    jobs, there = counted(done.jobs, "job"), f"{done.of - done.left:,} of {counted(done.of, 'job')}"
    say(
        f"Shard {done.portion} of step {done.step} of {done.steps} ({done.name}) is done: {done.trials:,} trials in "
        f"{jobs}."
    )
    say(
        f"{there} of this step are there.  When all are:  seewhy merge {folder}  does what follows from it here, and "
        "the same lines again share it."
    )

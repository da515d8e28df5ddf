"""`seewhy repair`: a network that depends less on a factor, with the proof."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seewhy.cli.designs import designed
from seewhy.cli.options import AsJson, NoReport, Seed
from seewhy.cli.pages import typed_again, write_pages
from seewhy.cli.printing import kept_clean, print_json, print_wrapped, say
from seewhy.errors import SeewhyError, StoreError, listed

if TYPE_CHECKING:
    from seewhy.evidence.trials.design import AuditDesign


def repair(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="The finished run folder of an audit.")],
    finding: Annotated[
        str,
        typer.Option(
            help="Which finding about a factor or mark, worst first: its number from 1, or the factor; several, by "
            "commas, are repaired together."
        ),
    ] = "1",
    ways: Annotated[
        str,
        typer.Option(
            help="What is tried: exchange, consistency (fine-tuning), last-layer, projection, also gated (a projection "
            "only where the factor is present); for a region also attention (a loss on maps, where they may be read) "
            "and gradients (one on the input's gradient); by commas."
        ),
    ] = "exchange,consistency,last-layer,projection",
    seeds: Annotated[int, typer.Option(help="Networks of each arm, 3 or more.")] = 3,
    epochs: Annotated[int, typer.Option(help="Passes of a fine-tuning over the training images.")] = 12,
    rate: Annotated[float, typer.Option(help="Adam's learning rate.")] = 3e-4,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 32,
    groups: Annotated[
        str | None,
        typer.Option(help="The column that says what the factor is.  [default: told from the donors' own effects]"),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            help="At most so many images through a network, a step of training counting as three: the cheapest ways "
            "are tried first, and what is left out is said.  [default: all]"
        ),
    ] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Also where the finding is no shortcut.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where model.pt and repair.json go.  [default: RUN-repair]")] = None,
    seed: Seed = 0,
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """Change the network so that it depends less on a factor, and prove it against control arms; or say why not."""
    from seewhy.learn.repair.asked import RepairOptions, find, named_ways
    from seewhy.learn.repair.repair import repair_in_folder
    from seewhy.learn.train.fine_tune import Tuning
    from seewhy.report.stored import read_run
    from seewhy.run.progress import progress_bar
    from seewhy.run.workers import steady_process

    steady_process()
    stored = read_run(run)
    if stored.command != "audit":
        raise StoreError(f"{run} is a run of {stored.command!r}; repair needs one of audit.", slug="no-run")
    tuning = Tuning(epochs=epochs, batch_size=batch_size, rate=rate)
    options = RepairOptions(named_ways(ways), seeds, tuning, groups, seed, budget)
    folder = out or run.with_name(f"{run.name}-repair")
    with kept_clean():
        with progress_bar("Reading images") as update:
            design = _design_of(context, run, stored.typed, update)
        asked = find(design, stored.found["findings"], finding, anyway=anyway)
        with progress_bar("Networks") as update:
            summary = repair_in_folder(asked, options, folder, progress=update)
    pages = write_pages(folder, typed_again(context), no_report)
    if as_json:
        print_json({"command": "repair", "run": str(folder), **pages, **summary})
        return
    for line in summary["lines"]:
        print_wrapped(line)
    if (folder / "model.pt").exists():
        say(f"\n  Network  {folder / 'model.pt'}")
    say(f"  Numbers  {folder / 'repair.json'}")
    if pages:
        say(f"\nOpen in a browser:  {pages['report']}")


def _design_of(context: typer.Context, run: Path, typed: str | None, progress: Any) -> AuditDesign:
    """The design of the audit in a folder, made again from the command line that it keeps, and proved to be the same.

    Raises StoreError where that cannot be: the audit was made in Python, or its data or its network are others now.
    """
    from seewhy.evidence.results.folder import AuditFolder
    from seewhy.evidence.trials.design import scheduled
    from seewhy.evidence.trials.searching import with_places

    if typed is None:
        raise StoreError(
            f"The audit in {run} was made in Python, so the command line cannot make its network again.\n"
            "  In Python:  seewhy.repair(audit, finding=1)",
            slug="repair-moved",
        )
    group: Any = context.parent
    words = shlex.split(typed)[2:]
    audit = group.command.commands["audit"].make_context("audit", words, parent=group)
    budget = audit.params["budget"]
    try:
        design = designed(audit, progress)
    except SeewhyError as error:
        raise StoreError(
            f"The audit in {run} cannot be made again from here: {str(error.args[0]).splitlines()[0]}\n"
            f"  It was made by:  {typed}\n"
            "  Run repair from the same folder; where the data have moved, audit them again there.",
            slug="repair-moved",
        ) from error
    kept = AuditFolder(run, design, budget)
    there = kept.of(scheduled(design, kept.begun()))
    if there.stored() is None:
        held = there.run.stored() or {"identity": {}}
        differs = listed(there.identity.differing(held["identity"]), 4)
        raise StoreError(
            f"The audit in {run} is of something else by now: {differs}.\n  Audit it again:  {typed}",
            slug="repair-moved",
        )
    places = kept.places()
    return design if places is None else scheduled(with_places(design, places), design.budget)

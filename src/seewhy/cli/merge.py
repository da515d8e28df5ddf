"""`seewhy merge`: one run of the parts that several processes made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli.audit_spread import merge_audit_run
from seewhy.cli.options import AsJson, NoReport
from seewhy.cli.pages import write_pages
from seewhy.cli.printing import kept_clean, print_explanation, print_json
from seewhy.cli.spread import moved, planned, typed_context
from seewhy.errors import SeewhyError, StoreError


def merge(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="The folder of a run that was made with --shard.")],
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """Make one run of the parts that several processes wrote with --shard, or say which are missing."""
    from seewhy.explanation.portions import check_versions, merge
    from seewhy.run.folder import RunFolder
    from seewhy.run.workers import steady_process
    from seewhy.store import arrays, manifest

    arrays.load()
    steady_process()
    stored = manifest.read_manifest(run)
    command, typed = stored["identity"].get("command"), stored.get("typed")
    if command not in ("explain", "audit"):
        raise StoreError(f"{run} is a run of {command!r}; parts are those of explain or audit --shard.", slug="no-run")
    check_versions(run, stored)
    if command == "audit":
        merge_audit_run(context, run, typed, no_report=no_report, as_json=as_json)
        return
    with kept_clean():
        try:
            plan = planned(typed_context(context, run, typed).params)
        except SeewhyError as error:
            raise moved(run, typed, error) from error
        with RunFolder(run).held():
            explanation = merge(plan, run)
            pages = write_pages(run, str(typed), no_report)
    if as_json:
        print_json({"command": "merge", "run": str(run), **pages, **explanation.summary()})
    else:
        print_explanation(explanation.summary(), run)

"""`seewhy trends`: where the maps of a finished run lie, and the groups that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli.options import AsJson
from seewhy.cli.printing import print_json, print_wrapped, say
from seewhy.cli.texts import seed_of

if TYPE_CHECKING:
    from seewhy.evidence.trends.trends import Trends


def trends(
    run: Annotated[Path, typer.Argument(help="A finished run folder of explain or audit.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same groups.", callback=seed_of)] = 0,
    as_json: AsJson = False,
) -> None:
    """Group the maps of a finished run by class, and say what would test each group; its pages get a page of it."""
    from seewhy.run.progress import progress_bars

    with progress_bars("Grouping the maps ", "Writing the report") as (grouping, writing):
        from seewhy.evidence.trends.trends import trends as trends_of  # with a bar: that takes its time, too
        from seewhy.report.write import write_report

        proposed = trends_of(run, seed=seed)
        grouping(1, 1)
        pages = write_report(run, progress=writing)
    if as_json:
        page = str(pages / "trends.html")
        print_json({"command": "trends", "run": str(run), "report": page, **proposed.summary()})
        return
    for line in proposed.lines():
        print_wrapped(line.strip()) if line.startswith(" ") else say(line)
    for line in _tests_of(run, proposed):
        say(line)
    say(f"\nOpen in a browser:  {pages / 'trends.html'}")


def _tests_of(run: Path, proposed: Trends) -> list[str]:
    """The command lines of audits that test the groups, or why there are none."""
    from seewhy.report.next_commands import audit_command
    from seewhy.report.stored import read_run

    stored = read_run(run)
    groups = [(part.predicted, group.option) for part in proposed.partitions for group in part.groups]
    lines = dict.fromkeys(audit_command(stored, label, [option]) for label, option in groups)
    return ["\nTo test them:", *(f"  {line}" for line in lines)] if lines else []

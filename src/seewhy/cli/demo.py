"""`seewhy demo`: everything, on embedded data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli.options import AsJson, NoReport
from seewhy.cli.pages import write_pages
from seewhy.cli.printing import PAGES, print_audit, print_check, print_explanation, print_json, print_wrapped, say


def demo(
    out: Annotated[Path, typer.Option(help="The folder to make.")] = Path("seewhy-demo"),
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """Everything, on embedded data: faces with a planted shortcut, a network, its maps, its audit, and its repair."""
    from seewhy.demo import run_demo
    from seewhy.run.progress import progress_bar
    from seewhy.run.workers import forking, steady_process
    from seewhy.store import arrays

    arrays.load()  # what is imported later is looked through for garbage, in each worker, too
    steady_process()
    result = run_demo(out, stage=progress_bar, forking=lambda: forking(None))
    pages = {name: write_pages(result.folder / name, typed, no_report) for name, typed in result.runs.items()}
    summary = {"command": "demo", "run": str(result.run), **pages["audit"], **result.explanation.summary()}
    summary |= {"check": result.checked, "audit": result.audit.summary(), "truth": result.truth}
    if result.repaired is not None:
        summary |= {"repair": result.repaired, "truth_repaired": result.truth_repaired}
    if as_json:
        print_json(summary)
        return
    for line in result.story:
        say(line)
    say("")
    print_explanation(summary, result.run)
    say("\nMay these maps be read?\n")
    print_check(result.checked, result.folder / "check")
    say("\nA map is a hypothesis. What the decisions depend on, only changing it shows:\n")
    print_audit(result.audit.summary(), result.folder / "audit")
    say(f"\n{result.truth}")
    if result.repaired is not None:
        say("\nWhat it found, it takes out of the network (one way of four, 4 passes of 12; seewhy repair has all):\n")
        for line in result.repaired["lines"]:
            print_wrapped(line)
        say(f"\n{result.truth_repaired}" if result.truth_repaired else "")
    say("\nThe same by hand:")
    for command in result.commands:
        say(f"  {command}")
    say("\nOn your own data:")
    say("  seewhy check YOUR_IMAGES --model your_net.py:Net --weights your_checkpoint.pt")
    say("  seewhy explain YOUR_IMAGES --model your_net.py:Net --weights your_checkpoint.pt")
    say("  seewhy audit YOUR_IMAGES --model your_net.py:Net --weights your_checkpoint.pt")
    if not no_report:
        say(f"\nOpen in a browser:  {result.folder / 'audit' / PAGES}")

"""`seewhy compare`: what differs between two runs on the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli.options import AsJson
from seewhy.cli.printing import print_json, print_wrapped, say


def compare(
    first: Annotated[Path, typer.Argument(help="A finished run folder of explain, check or audit.")],
    second: Annotated[Path, typer.Argument(help="Another one, of the same images; told against the first.")],
    as_json: AsJson = False,
) -> None:
    """Say what differs between two runs on the same images: effects, decisions, maps, and who changed most."""
    from seewhy.learn.compare import compare as run

    found = run(first, second)
    if as_json:
        print_json({"command": "compare", **found.summary()})
        return
    say(f"{first} → {second}: {len(found):,} images in both\n")
    for line in found.lines():
        print_wrapped(line)

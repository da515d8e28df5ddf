"""A run on several machines: the options that split it, and what one process says of its part."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seewhy.cli.options import ClassifierOptions, ImageOptions, MapOptions, RunOptions
from seewhy.cli.printing import print_json, say
from seewhy.cli.signature import filled
from seewhy.errors import OptionError, SeewhyError, StoreError, counted

if TYPE_CHECKING:
    from seewhy.data.tables.image_table import ImageTable
    from seewhy.explanation.portions import PortionDone
    from seewhy.run.plan import Plan
    from seewhy.run.portion import Portion


@dataclass(frozen=True, kw_only=True)
class SpreadOptions:
    """How a run is split over machines."""

    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            help="Do one of N parts of the run, like 3/16, beside other processes in one folder that all of them see; "
            "then:  seewhy merge RUN",
        ),
    ] = None
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            help="Do the run by --workers of a Ray cluster: host:port, auto (the one that runs here, or that "
            "RAY_ADDRESS names) or local (one that is begun for it).  Alone it means auto.",
        ),
    ] = None
    gpus_per_worker: Annotated[
        float | None, typer.Option("--gpus-per-worker", help="Of each worker on Ray; 0.5 lets two share one.")
    ] = None

    def portion(self, *, only: str | None = None, extend: bool = False) -> Portion | None:
        """The part of the run that this process does; None where it does all. Raises OptionError, before any work."""
        from seewhy.run.portion import portion_of

        portion = portion_of(self.shard)
        if self.ray is not None and (portion is not None or only is not None):
            raise OptionError(
                f"--ray goes without {'--only' if portion is None else '--shard'}.  Leave one of both out."
            )
        if self.gpus_per_worker is not None and (self.ray is None or self.gpus_per_worker < 0):
            raise OptionError("--gpus-per-worker, 0 or more, is for workers on Ray.  Add:  --ray")
        if self.gpus_per_worker is not None and self.gpus_per_worker > 1 and self.gpus_per_worker % 1:
            raise OptionError(
                f"--gpus-per-worker is {self.gpus_per_worker:g}, and above 1 Ray gives whole GPUs alone.\n  A network "
                "here runs on one:  --gpus-per-worker 1,  or 0.5 where two workers fit on it."
            )
        if portion is not None and only is not None:
            raise OptionError(
                "--only answers all images first, and with --shard each process would.\n  Explain all: the report "
                "filters those that are answered wrong, and so does  explanation.where(wrong=True)  in Python."
            )
        if portion is not None and extend:
            raise OptionError(
                "--extend computes only what was added, and goes without --shard.  Leave one of both out."
            )
        return portion


@dataclass(frozen=True, kw_only=True)
class NotSpreadOptions:
    """What a command that is not split says where it is asked to be."""

    shard: Annotated[str | None, typer.Option("--shard", hidden=True, help="Of explain and audit.")] = None
    ray: Annotated[str | None, typer.Option("--ray", hidden=True, help="Of explain and audit.")] = None

    def refuse(self, command: str, why: str) -> None:
        """Raise OptionError with the reason where the command was asked to split its work."""
        if self.shard is not None or self.ray is not None:
            option = "--ray" if self.shard is None else "--shard"
            raise OptionError(
                f"{command} is not split by {option}: it {why}.\n  Leave it out; --device cuda uses this machine's "
                "GPU, and --sample 500 takes fewer images."
            )


def listed_images(typed: Mapping[str, Any]) -> ImageTable:
    """All images that the options of `seewhy explain` name, of which it may take some."""
    from seewhy.data.sources.folder import read_table

    return read_table(filled(ImageOptions, typed).table_of(typed["images"]))


def planned(typed: Mapping[str, Any], table: ImageTable | None = None) -> Plan:
    """The plan that the options of `seewhy explain` ask for, by their names in its context, of the table if given."""
    from seewhy.run.plan import make_plan

    classifier, maps = filled(ClassifierOptions, typed), filled(MapOptions, typed)
    taken, run = filled(ImageOptions, typed), filled(RunOptions, typed)
    return make_plan(
        classifier.load(maps.task),
        taken.table_of(typed["images"]) if table is None else table,
        preset=typed["preset"],
        smooth=typed["smooth"],
        image_format=typed["image_format"],
        **maps.arguments(),
        **taken.arguments(),
        **run.arguments(),
    )


def say_portion(done: PortionDone, folder: Path, *, as_json: bool) -> None:
    """What this process has done, and what is left of the whole run."""
    if as_json:
        print_json({"command": "explain", "run": str(folder), **vars(done), "portion": str(done.portion)})
        return
    say(f"Shard {done.portion} is done: {counted(done.images, 'image')} in {counted(done.shards, 'part')}.")
    there = f"{done.of - done.left:,} of {counted(done.of, 'part')} of the run are there."
    say(f"{there}  {'When all are' if done.left else 'Now'}:  seewhy merge {folder}")


def with_address(words: Sequence[str]) -> list[str]:
    """The words of a command line, with the address that --ray alone means."""
    said = list(words)
    for place in [place for place, word in enumerate(said) if word == "--ray"]:
        following = said[place + 1] if place + 1 < len(said) else ""
        if following not in ("auto", "local") and not re.fullmatch(r"\S*[^\\/]:\d+|\w+://\S*", following):
            said[place] = "--ray=auto"
    return said


def typed_context(context: typer.Context, run: Path, typed: str | None) -> typer.Context:
    """The context of the command line that a run keeps, as if it had been typed here."""
    if typed is None:
        raise StoreError(
            f"{run} does not say which command line made it, so nothing can be done again from it.\n"
            "  Type that command again, with --out as before: it does what is missing, and merges.",
            slug="run-moved",
        )
    group: Any = context.parent
    name, *words = shlex.split(typed)[1:]
    made: typer.Context = group.command.commands[name].make_context(name, words, parent=group)
    return made


def moved(run: Path, typed: str | None, error: SeewhyError) -> StoreError:
    """The error where the run that a folder keeps cannot be planned again."""
    return StoreError(
        f"The run in {run} cannot be planned again from here: {error.message.splitlines()[0]}\n"
        f"  It was made by:  {typed}\n  Go to the folder that this was typed in.",
        slug="run-moved",
    )

"""`seewhy train`: a network from labelled images."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli.options import AsJson, ClassifierOptions, Config, Exchanged, LabelledImages, Seed, TableOptions, Watched
from seewhy.cli.pages import typed_options
from seewhy.cli.printing import kept_clean, print_json, print_rows, say
from seewhy.cli.signature import spelled_out


@spelled_out
def train(
    context: typer.Context,
    data: LabelledImages,
    classifier: ClassifierOptions,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 5,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 32,
    rate: Annotated[float, typer.Option(help="Adam's learning rate.")] = 1e-3,
    patience: Annotated[int | None, typer.Option(help="Stop after so many epochs without a better valid loss.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    out: Annotated[Path, typer.Option(help="Where checkpoints go: OUT/<class>/model_<epoch>.pt.")] = Path(
        "checkpoints"
    ),
    seed: Seed = 0,
    watch: Watched = None,
    exchange: Exchanged = None,
    *,
    table: TableOptions,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Train a network on labelled images: Adam, cross-entropy, a checkpoint per epoch, history as table and plot."""
    from seewhy.learn.train.train import train as run
    from seewhy.run.progress import progress_bar
    from seewhy.run.workers import steady_process

    watching = None
    if watch is not None:
        from seewhy.learn.watch.watch import Watch

        watching = Watch(factors=watch, seed=seed)
    steady_process()
    with kept_clean(), progress_bar("Training") as update:
        training = run(
            classifier.model,
            table.table_of(data),
            epochs=epochs,
            batch_size=batch_size,
            rate=rate,
            seed=seed,
            patience=patience,
            resume=resume,
            out=out,
            weights=classifier.weights,
            watch=watching,
            exchange=exchange or (),
            progress=update,
            **classifier.arguments(),
        )
    if as_json:
        print_json({"command": "train", **training.summary()})
        return
    for note in training.notes:
        say(note)
    say("")
    print_rows(
        [("epoch", "split", "loss", "accuracy", "images")]
        + [(str(r.epoch), r.split, f"{r.loss:.4f}", f"{r.accuracy:.4f}", f"{r.n:,}") for r in training.history]
    )
    for words in watching.words if watching is not None else ():
        say(f"\n  {words}")
    say(f"\nCheckpoints  {training.folder}")
    groups, own = (classifier, table), {"weights", "epoch", "weights_key"}
    names = {"data", *(option.name for group in groups for option in fields(group))} - own
    weights = shlex.join(["--weights", str(out), "--epoch", str(training.best_epoch)])
    say(f"\nNext:\n  seewhy explain {typed_options(context, names)} {weights}")

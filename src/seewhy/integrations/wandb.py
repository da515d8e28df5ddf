"""Weights & Biases: a table of images with their overlays, a table of effects, and numbers by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seewhy.errors import WorkError
from seewhy.integrations.content import Content, effect_table, image_table
from seewhy.integrations.packages import library

PURPOSE = "Writing to Weights & Biases"


def write_wandb(contents: Sequence[Content], folder: Path, project: str, *, most: int) -> str:
    """Write a run of Weights & Biases, and say where it is.

    `WANDB_MODE=offline` writes below `folder` alone. Raises MissingExtraError without the package wandb, WorkError
    where it is not logged in or does not answer.
    """
    wandb = library("wandb", "wandb", PURPOSE)
    folder.mkdir(parents=True, exist_ok=True)
    first = contents[0]
    config = {"command": first.command, **first.facts}
    try:
        run = wandb.init(
            project=project,
            name=first.title,
            dir=str(folder),
            config=config,
            job_type="seewhy",
            notes="\n\n".join(first.said) or None,
        )
    except (wandb.errors.Error, OSError) as error:
        raise WorkError(
            f"Weights & Biases did not take the run: {str(error).splitlines()[0]}\n"
            "  Log in with `wandb login`, or write it to disk now and send it later:  WANDB_MODE=offline, then\n"
            "  `wandb sync FOLDER`.",
            slug="tracker",
        ) from error
    try:
        for content in contents:
            log_wandb(content, run, most=most)
    finally:
        run.finish()
    return str(run.url or Path(run.dir).parent)


def log_wandb(content: Content, run: Any, *, most: int) -> None:
    """Write one Content to a run that is open; its numbers are drawn over seewhy/epoch, its steps stay as they are."""
    wandb = library("wandb", "wandb", PURPOSE)
    logged: dict[str, Any] = dict(content.metrics)
    if content.step is not None:
        run.define_metric("seewhy/epoch")
        run.define_metric("seewhy/*", step_metric="seewhy/epoch")
        logged["seewhy/epoch"] = content.step
    if content.effects:
        columns, rows = effect_table(content)
        logged["seewhy/effects"] = wandb.Table(columns=columns, data=rows)
    if shown := content.shown(most):
        columns, rows = image_table([content], shown)
        pictures = [(image.pixels(), image) for image in shown]
        drawn = [None if pixels is None else wandb.Image(pixels, caption=image.id) for pixels, image in pictures]
        data = [[picture, *row] for picture, row in zip(drawn, rows, strict=True)]
        logged["seewhy/overlays"] = [picture for picture in drawn if picture is not None]
        logged["seewhy/images"] = wandb.Table(columns=["overlay", *columns], data=data)
    run.log(logged)

"""TensorBoard: scalars with a chart of each effect and its interval, overlays as images, and a table as text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from seewhy.integrations.content import Content, effect_table, image_table
from seewhy.integrations.packages import library


def open_writer(folder: Path) -> Any:
    """A SummaryWriter into a folder. Raises MissingExtraError without the package tensorboard."""
    library("tensorboard", "tensorboard", "Writing to TensorBoard")
    return library("torch.utils.tensorboard", "tensorboard", "Writing to TensorBoard").SummaryWriter(str(folder))


def write_tensorboard(contents: Sequence[Content], folder: Path, *, most: int) -> Path:
    """Write event files to a folder, and give it back: `tensorboard --logdir FOLDER` shows them."""
    writer = open_writer(folder)
    try:
        for content in contents:
            log_tensorboard(content, writer, most=most)
    finally:
        writer.close()
    return folder


def log_tensorboard(content: Content, writer: Any, *, most: int) -> None:
    """Write one Content to a SummaryWriter that is open, and leave it open."""
    step = content.step or 0
    for name, value in content.metrics.items():
        writer.add_scalar(name, value, step)
    if content.effects:
        writer.add_custom_scalars({"seewhy: effects with 95 % interval": _charts(content)})
        writer.add_text("seewhy/effects", _markdown(*effect_table(content)), step)
    if content.said:
        writer.add_text("seewhy/findings", "\n\n".join(map(_cell, content.said)), step)
    shown = content.shown(most)
    for image in shown:
        if (pixels := image.pixels()) is not None:
            writer.add_image(f"seewhy/{image.id}", pixels, step, dataformats="HWC")
    if shown:
        writer.add_text("seewhy/images", _markdown(*image_table([content], shown)), step)
    for name, text in content.facts.items():
        writer.add_text(f"seewhy/run/{name}", _cell(text), step)
    writer.flush()


def _charts(content: Content) -> dict[str, list[Any]]:
    """A chart of each effect between its two ends, under Custom Scalars."""
    names = [row.name for row in content.effects]
    return {name: ["Margin", [f"seewhy/{name}/{kind}" for kind in ("effect", "low", "high")]] for name in names}


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    used = [place for place in range(len(columns)) if any(row[place] not in (None, "") for row in rows)]
    table = [[columns[place] for place in used], ["---"] * len(used), *([row[place] for place in used] for row in rows)]
    return "\n".join("| " + " | ".join(_cell(value) for value in row) + " |" for row in table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else escape(str(value)).replace("|", "&#124;").replace("\n", " ")

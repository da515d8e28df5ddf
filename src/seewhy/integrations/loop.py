"""`log_epoch`: what a watch sees after an epoch, written to a folder and to trackers; the seam of every framework."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seewhy.data.networks.classifier import Classifier
from seewhy.explanation.overlays import overlay_name
from seewhy.integrations.content import Content, ImageRow
from seewhy.integrations.finished import PROBES, effects_of
from seewhy.integrations.loggers import logger_of
from seewhy.integrations.pace import SHARE, pace_of
from seewhy.learn.watch.probes import ProbeImage
from seewhy.learn.watch.watch import Watch
from seewhy.store import durable

FOLDER = "seewhy-watch"
COLUMNS = ("epoch", "id", "label", "prediction", "probability", "peak", "overlay", "error")
MOST = 100  # images of an epoch that a tracker gets


def log_epoch(
    watch: Watch,
    model: Classifier | nn.Module,
    epoch: int,
    *,
    out: str | Path = FOLDER,
    to: Sequence[Any] = (),
    share: float | None = SHARE,
) -> Content | None:
    """What the watch sees of the network after this epoch; None where it is none of its `every`, or passed over.

    Written to the folder `out` (watch.csv, watch_maps.npz, probes.csv, overlays/), and to each logger of `to`: a
    SummaryWriter, a run of wandb, an active run of MLflow, or Lightning's loggers of these. The network is left as
    found, also where gradients are switched off around the call. Of the time between calls measuring takes `share` at
    most, beside the first one: what would exceed it is passed over, and said once; None measures all. A tracker that
    fails is a warning that says how to export later; an unknown logger (OptionError) and errors of the watch
    (OptionError, DataError) are raised.

    Example:
        >>> watch = seewhy.Watch("faces", factors=["tint"], every=5, size=(32, 32), classes=["fake", "real"])
        >>> for epoch in range(20):
        ...     train_one_epoch(model)
        ...     log_epoch(watch, model, epoch, to=[writer])
    """
    logs, pace = [(logger, logger_of(logger)) for logger in to], pace_of(watch, share)
    if epoch % watch.every:
        return None
    if not pace.is_due(share):
        pace.passed_over(epoch, share or 1.0)
        return None
    with torch.inference_mode(False), torch.enable_grad():
        rows = watch(model, epoch)
    folder = Path(out)
    watch.save(folder)
    content = Content(
        title=folder.resolve().name,
        command="watch",
        images=[_image_of(probe) for probe in watch.probed],
        effects=effects_of(rows),
        numbers={"seconds": pace.so_far()},
        folder=folder,
        step=epoch,
    )
    _keep_probes(folder, epoch, watch.probed)
    for logger, log in logs:
        with _warned(folder, logger):
            log(content, MOST)
    pace.measured()
    return content


def _image_of(probe: ProbeImage) -> ImageRow:
    outcome = probe.outcome
    return ImageRow.of(
        outcome,
        peaks={} if probe.peak is None else {"map": probe.peak},
        picture=probe.overlay,
    )


def _keep_probes(folder: Path, epoch: int, probes: Sequence[ProbeImage]) -> None:
    """Write the epoch's overlays, and its rows into probes.csv in place of what an earlier training left of it."""
    path, before = folder / PROBES, []
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            before = [row for row in csv.DictReader(file) if int(row["epoch"]) < epoch]
    rows = [_row_of(folder, probe) for probe in probes]
    with durable.written(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows([*before, *rows])


def _row_of(folder: Path, probe: ProbeImage) -> dict[str, Any]:
    outcome, name = probe.outcome, ""
    if probe.overlay is not None:
        name = f"overlays/epoch-{probe.epoch:04d}/{overlay_name(outcome.image.id, 'jpg')}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(probe.overlay)
    numbers = {"probability": outcome.probability, "peak": probe.peak}
    told = {"label": outcome.image.label, "prediction": outcome.prediction, "error": outcome.error}
    return {"epoch": probe.epoch, "id": outcome.image.id, "overlay": name, **numbers, **told}


@contextmanager
def _warned(folder: Path, logger: Any) -> Iterator[None]:
    """An error of a tracker ends no training: it is a warning, and the folder has everything."""
    try:
        yield
    except Exception as error:  # noqa: BLE001
        warnings.warn(
            f"{type(logger).__name__} did not take the epoch ({type(error).__name__}: {error}). Everything is kept in "
            f"{folder}; later:  seewhy export {folder} --to mlflow|wandb|tensorboard|csv",
            stacklevel=4,
        )

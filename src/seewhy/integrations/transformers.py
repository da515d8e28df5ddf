"""`Explain`: a callback for the Trainer of transformers that shows what the network looks at and depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seewhy.integrations.loop import FOLDER, log_epoch
from seewhy.integrations.pace import SHARE
from seewhy.integrations.packages import library
from seewhy.integrations.tensorboard import open_writer
from seewhy.learn.watch.watch import Watch

_callbacks = library("transformers.trainer_callback", "transformers", "seewhy.integrations.transformers")


class Explain(_callbacks.TrainerCallback):  # type: ignore[name-defined]
    """Writes what a `seewhy.Watch` sees after each of its epochs to a folder, and to the trackers of `report_to`.

    Of those: tensorboard (event files in `out`), and the runs of wandb and mlflow that the Trainer has open. Epochs
    count from 0. Only the first process of several measures. The network is left as found.

    Args:
        watch: what is measured on which images, and in every so manieth epoch
        out: the folder that gets watch.csv, watch_maps.npz, probes.csv and overlays/
        share: of the training's time goes to measuring at most, beside the first one; what would exceed it is passed
            over. None: all epochs of the watch

    Example:
        >>> watch = seewhy.Watch("faces", factors=["tint"], size=(32, 32), classes=["fake", "real"])
        >>> trainer = transformers.Trainer(model, arguments, train_dataset=images, callbacks=[Explain(watch)])
    """

    def __init__(self, watch: Watch, out: str | Path = FOLDER, *, share: float | None = SHARE) -> None:
        self.watch, self.out, self.share = watch, Path(out), share
        self._writer: Any = None

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Measure after an epoch."""
        if state.is_world_process_zero and model is not None:
            epoch = max(0, round(state.epoch or 0) - 1)
            to = self._loggers(args.report_to or ())
            log_epoch(self.watch, model, epoch, out=self.out, to=to, share=self.share)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close what was opened."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _loggers(self, names: Any) -> list[Any]:
        loggers = []
        if "tensorboard" in names:
            self._writer = self._writer or open_writer(self.out / "tensorboard")
            loggers.append(self._writer)
        if "wandb" in names:
            loggers.append(library("wandb", "wandb", "Writing to Weights & Biases").run)
        if "mlflow" in names:
            loggers.append(library("mlflow", "mlflow", "Writing to MLflow").active_run())
        return [logger for logger in loggers if logger is not None]

"""`Explain`: a callback for Lightning that shows after epochs what the network looks at and depends on."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seewhy.integrations.loggers import known_loggers
from seewhy.integrations.loop import FOLDER, log_epoch
from seewhy.integrations.pace import SHARE
from seewhy.integrations.packages import library
from seewhy.learn.watch.watch import Watch

_NAME = (
    "pytorch_lightning" if find_spec("lightning") is None and find_spec("pytorch_lightning") else "lightning.pytorch"
)
_lightning = library(_NAME, "lightning", "seewhy.integrations.lightning")


class Explain(_lightning.Callback):  # type: ignore[name-defined]
    """Writes what a `seewhy.Watch` sees after each of its epochs to a folder, and to the trainer's own loggers.

    After an epoch of training, and after `trainer.validate`, where gradients are switched off. Only the first process
    of several measures. The network is left as found.

    Args:
        watch: what is measured on which images, and in every so manieth epoch
        out: the folder that gets watch.csv, watch_maps.npz, probes.csv and overlays/
        network: the dotted name of the network in the LightningModule; None: the LightningModule's own forward
        share: of the training's time goes to measuring at most, beside the first one; what would exceed it is passed
            over. None: all epochs of the watch

    Example:
        >>> watch = seewhy.Watch("faces", factors=["tint"], every=5, size=(32, 32), classes=["fake", "real"])
        >>> trainer = lightning.Trainer(callbacks=[Explain(watch)])
    """

    def __init__(
        self, watch: Watch, out: str | Path = FOLDER, *, network: str | None = None, share: float | None = SHARE
    ) -> None:
        super().__init__()
        self.watch, self.out, self.network, self.share = watch, Path(out), network, share

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure after an epoch of training and its validation."""
        self._measure(trainer, pl_module)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure where the trainer was asked to validate alone."""
        if trainer.state.fn == "validate":
            self._measure(trainer, pl_module)

    def _measure(self, trainer: Any, pl_module: Any) -> None:
        if trainer.is_global_zero:
            model = pl_module.get_submodule(self.network) if self.network else pl_module
            to = known_loggers(trainer.loggers)
            log_epoch(self.watch, model, trainer.current_epoch, out=self.out, to=to, share=self.share)

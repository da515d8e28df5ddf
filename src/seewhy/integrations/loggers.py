"""Which tracker a logger belongs to, told from its class, so that none of their packages is loaded for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seewhy.errors import OptionError
from seewhy.integrations.content import Content
from seewhy.integrations.mlflow import log_mlflow
from seewhy.integrations.packages import library
from seewhy.integrations.tensorboard import log_tensorboard
from seewhy.integrations.wandb import log_wandb

Log = Callable[[Content, int], None]


def logger_of(logger: Any) -> Log:
    """A function that writes a Content with at most so many images to a logger that is open.

    Raises OptionError for an object that is none of a SummaryWriter, a run of wandb, an active run of MLflow and
    Lightning's loggers of these.
    """
    found = _known(logger)
    if found is None:
        raise OptionError(
            f"{type(logger).__module__}.{type(logger).__name__} is no logger that is known.\n"
            "  Known: a SummaryWriter, a run of wandb, an active run of MLflow, and Lightning's loggers of these."
        )
    return found


def known_loggers(loggers: Any) -> list[Any]:
    """Those of a trainer's loggers that can take pictures and tables."""
    return [logger for logger in loggers if _known(logger) is not None]


def _known(logger: Any) -> Log | None:
    for cls in type(logger).__mro__:
        top, name = cls.__module__.split(".")[0], cls.__name__
        if (top, name) in _BY_CLASS:
            return _BY_CLASS[top, name](logger)
    return None


def _tensorboard(writer: Any) -> Log:
    return lambda content, most: log_tensorboard(content, writer, most=most)


def _wandb(run: Any) -> Log:
    return lambda content, most: log_wandb(content, run, most=most)


def _mlflow(run: Any) -> Log:
    client = library("mlflow", "mlflow", "Writing to MLflow").MlflowClient()
    return lambda content, most: log_mlflow(content, client, run.info.run_id, most=most)


def _lightnings_mlflow(logger: Any) -> Log:
    return lambda content, most: log_mlflow(content, logger.experiment, logger.run_id, most=most)


_BY_CLASS: dict[tuple[str, str], Callable[[Any], Log]] = {
    ("torch", "SummaryWriter"): _tensorboard,
    ("tensorboardX", "SummaryWriter"): _tensorboard,
    ("wandb", "Run"): _wandb,
    ("mlflow", "Run"): _mlflow,
    ("mlflow", "ActiveRun"): _mlflow,
    **{
        (top, name): log
        for top in ("lightning", "pytorch_lightning")
        for name, log in {
            "TensorBoardLogger": lambda logger: _tensorboard(logger.experiment),
            "WandbLogger": lambda logger: _wandb(logger.experiment),
            "MLFlowLogger": _lightnings_mlflow,
        }.items()
    },
}

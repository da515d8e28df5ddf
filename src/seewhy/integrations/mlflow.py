"""MLflow: metrics by epoch, overlays in its image grid, tables and the run's own files as artifacts."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from seewhy.errors import MissingExtraError, WorkError
from seewhy.integrations.content import Content, effect_table, image_table, keyed
from seewhy.integrations.files import write_table
from seewhy.integrations.packages import library

PURPOSE = "Writing to MLflow"
_LONGEST = 500  # letters that a parameter may have
_LONGEST_TAG = 5000  # and a tag


def write_mlflow(contents: Sequence[Content], address: str | None, project: str, *, most: int) -> str:
    """Write a run to an MLflow experiment, and say where it is.

    `address` is the tracking server or folder; None for MLflow's own choice (MLFLOW_TRACKING_URI). Raises
    MissingExtraError without the package mlflow, WorkError where the server does not answer.
    """
    mlflow = library("mlflow", "mlflow", PURPOSE)
    uri = address or mlflow.get_tracking_uri()
    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(project)
        number = experiment.experiment_id if experiment else client.create_experiment(project)
        run_id = client.create_run(number, run_name=contents[0].title).info.run_id
        _log_facts(contents[0], client, run_id)
        _describe(contents[0], client, run_id)
        for content in contents:
            log_mlflow(content, client, run_id, most=most)
        client.set_terminated(run_id)
    except MissingExtraError:
        raise
    except Exception as error:  # those of MLflow, of its database and of the disk share no base
        words = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WorkError(
            f"MLflow at {uri} did not take the run: {words}\n"
            "  Check the address (--out, or MLFLOW_TRACKING_URI) and whether its server runs.\n"
            '  To write a file of its own MLflow needs more than its core:  pip install "seewhy[mlflow]"',
            slug="tracker",
        ) from error
    shown = f"; open it with  mlflow ui --backend-store-uri {uri}" if uri.startswith("sqlite:") else ""
    return f"run {run_id} of experiment {project!r} at {uri}{shown}"


def log_mlflow(content: Content, client: Any, run_id: str, *, most: int) -> None:
    """Write one Content to a run that exists."""
    entities = library("mlflow.entities", "mlflow", PURPOSE)
    step, now = content.step or 0, round(time.time() * 1000)
    metrics = [entities.Metric(keyed(name), value, now, step) for name, value in content.metrics.items()]
    for start in range(0, len(metrics), 1000):  # as many as one call takes
        client.log_batch(run_id, metrics=metrics[start : start + 1000])
    shown = content.shown(most)
    for image in shown:
        if (pixels := image.pixels()) is not None:
            client.log_image(run_id, pixels, key=keyed(f"seewhy/{image.id}"), step=step)
    below = "seewhy" if content.step is None else f"seewhy/epoch-{content.step:04d}"
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder) / "images.csv", *image_table([content], content.images))
        if content.effects:
            write_table(Path(folder) / "effects.csv", *effect_table(content))
        client.log_artifacts(run_id, folder, below)
    for name in content.files if content.folder is not None and content.step is None else ():
        path = Path(content.folder or "") / name
        (client.log_artifacts if path.is_dir() else client.log_artifact)(
            run_id, str(path), f"seewhy/{name}" if path.is_dir() else "seewhy"
        )


def _describe(content: Content, client: Any, run_id: str) -> None:
    """Write the findings into the description that the run's page shows, and what made the run into its source."""
    tags = {"mlflow.source.name": content.facts.get("typed", "seewhy"), "mlflow.source.type": "LOCAL"}
    if content.said:
        tags["mlflow.note.content"] = "\n\n".join(map(escape, content.said))
    for name, text in tags.items():
        client.set_tag(run_id, name, text[:_LONGEST_TAG])


def _log_facts(content: Content, client: Any, run_id: str) -> None:
    for name, text in content.facts.items():
        if name == "typed":  # the run's source; MLflow writes every parameter above every image
            continue
        client.log_param(run_id, keyed(name), text[:_LONGEST])

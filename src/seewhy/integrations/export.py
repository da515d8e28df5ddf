"""`seewhy export`: which end gets what of a finished run."""

from __future__ import annotations

from pathlib import Path

from seewhy.errors import MissingExtraError, OptionError, StoreError, listed, nearest
from seewhy.integrations.coco import write_coco
from seewhy.integrations.content import Content
from seewhy.integrations.fiftyone import write_fiftyone
from seewhy.integrations.files import write_csv
from seewhy.integrations.finished import contents_of
from seewhy.integrations.mlflow import write_mlflow
from seewhy.integrations.tensorboard import write_tensorboard
from seewhy.integrations.wandb import write_wandb
from seewhy.report.stored import read_run

ENDS = ("mlflow", "wandb", "tensorboard", "fiftyone", "csv", "coco")
_OF_RUNS = ("fiftyone", "coco")  # they need the maps, which only a run keeps whole


def export(run: Path, to: str, out: str | None = None, project: str = "seewhy", most: int = 100) -> str:
    """Write what a finished run, or the folder of a watched training, shows to one end, and say where it lies.

    `out` is the folder, file or address that is written to, `project` what the tracker calls project, experiment or
    data set, `most` how many images a tracker gets, evenly chosen. Raises OptionError for an unknown end,
    MissingExtraError, WorkError and StoreError as the ends do; the run is never changed.
    """
    if to not in ENDS:
        close = nearest(to, ENDS)
        raise OptionError(f"There is nothing called {to!r} to export to.  {close}".rstrip() + f"\n  {listed(ENDS)}")
    if most < 0:
        raise OptionError(f"--images is {most}, but must be at least 0.")
    contents = contents_of(run)
    try:
        return (
            _to_run_format(run, contents, to, out, project) if to in _OF_RUNS else _to(contents, to, out, project, most)
        )
    except MissingExtraError as error:
        error.args = (f"{error.message}\n  The run is complete in {run}; then:  seewhy export {run} --to {to}",)
        raise


def _to(contents: list[Content], to: str, out: str | None, project: str, most: int) -> str:
    title = contents[0].title
    if to == "mlflow":
        return write_mlflow(contents, out, project, most=most)
    if to == "wandb":
        return write_wandb(contents, Path(out or "."), project, most=most)
    if to == "tensorboard":
        folder = write_tensorboard(contents, Path(out or "tensorboard") / title, most=most)
        return f"{folder}; open it with  tensorboard --logdir {folder.parent}"
    return str(write_csv(contents, Path(out or f"{title}-csv")))


def _to_run_format(run: Path, contents: list[Content], to: str, out: str | None, project: str) -> str:
    if contents[0].command == "watch":
        raise StoreError(
            f"{run} is of a watched training, which keeps no run; --to {to} needs one of explain or audit.",
            slug="no-run",
        )
    stored, title = read_run(run), contents[0].title
    if to == "coco":
        return str(write_coco(stored, Path(out or f"{title}-coco.json")))
    return write_fiftyone(stored, title if project == "seewhy" else project)

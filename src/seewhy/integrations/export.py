"""`seewhy export`: which end gets what of a finished run."""

from __future__ import annotations

from pathlib import Path

from seewhy.data.sources.addresses import address_of
from seewhy.errors import MissingExtraError, OptionError, StoreError, WorkError, listed, nearest
from seewhy.integrations.coco import write_coco
from seewhy.integrations.content import Content
from seewhy.integrations.copied import write_copy
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

    `to` is one of ENDS, or an address (s3://bucket/runs/one) that gets a copy of the whole folder. `out` is the folder,
    file or address that is written to, `project` what the tracker calls project, experiment or data set, `most` how
    many images a tracker gets, evenly chosen. Raises OptionError for an unknown end, MissingExtraError, WorkError and
    StoreError as the ends do; the run is never changed.
    """
    address = address_of(to)
    if to not in ENDS and address is None:
        close, known = nearest(to, ENDS), f"{listed(ENDS)}, or an address:  --to s3://BUCKET/RUN"
        raise OptionError(f"There is nothing called {to!r} to export to.  {close}".rstrip() + f"\n  {known}")
    if most < 0:
        raise OptionError(f"--images is {most}, but must be at least 0.")
    contents = contents_of(run)
    try:
        if address is not None:
            return write_copy(run, address)
        if to in _OF_RUNS:
            return _to_run_format(run, contents, to, out, project)
        return _to(contents, to, out, project, most)
    except (MissingExtraError, WorkError) as error:
        error.args = (f"{error.message}{_later(run, to)}",)
        raise
    except OSError as error:  # a full disk, no permission
        named = "" if error.filename2 is None and error.filename is None else f" ({error.filename2 or error.filename})"
        raise WorkError(
            f"Writing to {to} failed: {error.strerror or error}{named}.\n"
            f"  What is written so far is no whole export: remove it.{_later(run, to)}",
            slug="cannot-write",
        ) from error


def _later(run: Path, to: str) -> str:
    return f"\n  The run is complete in {run}; then:  seewhy export {run} --to {to}"


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

"""Which data sets come from Kaggle, how they are fetched with the user's key, and what is said when that fails."""

from __future__ import annotations

import contextlib
import importlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seewhy.data.sources.archive import STAGING, Counts, DamagedError, resume, unpack, writing
from seewhy.errors import DataError, MissingExtraError, OptionError, WorkError, listed, nearest
from seewhy.records import Progress


@dataclass(frozen=True)
class Dataset:
    """A data set on Kaggle: its slug, its images by (split, class), and whether those are the first of more."""

    slug: str
    counts: Counts
    subset_of: str | None = None


def _even(**n_images: int) -> Counts:
    return {(split, name): n for split, n in n_images.items() for name in ("fake", "real")}


DATASETS: Mapping[str, Dataset] = {
    "rvf10k": Dataset("sachchitkunichetty/rvf10k", _even(train=3_500, valid=1_500)),
    "rvf5k": Dataset("sachchitkunichetty/rvf10k", _even(train=1_750, valid=750), subset_of="rvf10k"),
    "rvf140k": Dataset("xhlulu/140k-real-and-fake-faces", _even(train=50_000, valid=10_000, test=10_000)),
}


def download(name: str, dest: Path, *, progress: Progress | None = None) -> Path:
    """`dest`, holding the data set `name` as SPLIT/CLASS/FILE with its CSV files, fetched with the user's Kaggle key.

    Interrupted and called again it goes on where it stopped; a finished one returns at once. `progress` counts the
    files unpacked. "rvf5k" is the first half of each folder of rvf10k, by file name.

    Raises OptionError for an unknown name, MissingExtraError without Kaggle's package, DataError without a key or
    with other files in `dest`, WorkError when the network fails.
    """
    if name not in DATASETS:
        names = (*DATASETS, "planted")
        known = f"There are: {listed(names)}, and FILE.zip. {nearest(name, names)}"
        raise OptionError(f"There is no data set {name!r}. {known}".rstrip())
    dataset = DATASETS[name]
    archive = dest / STAGING / f"{dataset.slug.partition('/')[2]}.zip"
    first = dataset.counts if dataset.subset_of else None
    with writing(dest, name):
        if resume(dest, name, dataset.counts):
            return dest
        if not zipfile.is_zipfile(archive):
            _fetch(_api(name, dest), name, archive)
        try:
            return unpack(archive, dest, source=name, expected=dataset.counts, first=first, progress=progress)
        except DamagedError as error:
            archive.unlink(missing_ok=True)  # so that the next run fetches it anew
            raise _failure(error, name, dest) from error


# Kaggle's own package, which may print, raise OSError or exit when there is no key


def _api(name: str, dest: Path) -> Any:
    """Kaggle's API, with the user's key accepted."""
    try:
        with _silenced():
            module = importlib.import_module("kaggle")
            if not hasattr(module, "api"):  # a folder that happens to be called kaggle
                raise ModuleNotFoundError(name="kaggle")
            module.api.authenticate()
    except ModuleNotFoundError as error:
        if error.name == "kaggle":
            raise MissingExtraError("kaggle", "kaggle", f"Downloading {name}") from error
        raise MissingExtraError(str(error.name), None, "Kaggle's own package") from error
    except ImportError as error:
        raise _failure(error, name, dest) from error
    except (Exception, SystemExit) as error:
        raise _failure(error, name, dest, problem="Kaggle's package found no valid key") from error
    return module.api


def _fetch(api: Any, name: str, archive: Path) -> None:
    """Fill `archive`; Kaggle's package goes on where an earlier call stopped."""
    dest = archive.parent.parent
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _silenced():
            api.dataset_download_files(DATASETS[name].slug, path=str(archive.parent), quiet=True, unzip=False)
    except (Exception, SystemExit) as error:
        raise _failure(error, name, dest) from error
    if not zipfile.is_zipfile(archive):
        archive.unlink(missing_ok=True)
        raise _failure(EOFError("what came is not a whole zip archive"), name, dest)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _failure(error: BaseException, name: str, dest: Path, problem: str = "") -> DataError | WorkError:
    """The one clear message: the steps to a key where there is none or Kaggle refuses it, else what failed."""
    status = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "status", None)
    package = type(error).__module__.partition(".")[0]
    is_network = not status and (
        package in ("requests", "urllib3") or isinstance(error, ConnectionError | TimeoutError)
    )
    dataset = DATASETS[name]
    whole = f" (all of {dataset.subset_of})" if dataset.subset_of else ""
    by_hand = f"https://www.kaggle.com/datasets/{dataset.slug}{whole} and type:  seewhy data FILE.zip {dest}"
    if status in (401, 403):
        problem = f"Kaggle refused the key (HTTP {status})"
    elif is_network or status or not problem:
        said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        reason = f"the connection failed ({type(error).__name__}); is this machine online?" if is_network else said
        return WorkError(
            f"{name} could not be downloaded from Kaggle: {reason}\n"
            f"  Go on where it stopped:  seewhy data {name} {dest}\n  Or download by hand {by_hand}"
        )
    return DataError(
        f"{problem}, so {name} was not downloaded.\n"
        "  1. Sign in at https://www.kaggle.com/settings, go to API, and create a new token.\n"
        "  2. Save the token as ~/.kaggle/access_token (a kaggle.json file: as ~/.kaggle/kaggle.json).\n"
        f"  3. Type again:  seewhy data {name} {dest}\n  Or without a key: download by hand {by_hand}"
    )

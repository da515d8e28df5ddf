"""Files at addresses (s3://, gs://, hf://, az://) through fsspec: what is there, its bytes, and a limit of waiting."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from seewhy.data.formats.extras import UnreadableError
from seewhy.data.formats.image_files import is_image_name, is_of_a_system
from seewhy.errors import DataError, MissingExtraError, WorkError, listed
from seewhy.records import Image

# The scheme, the package that knows it, our extra, and what to look at where it does not answer.
_STORES = {
    "s3": ("s3fs", "s3", "AWS_PROFILE or AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL of other stores; FSSPEC_S3_ANON=true of "
           "public buckets"),
    "gs": ("gcsfs", "gs", "GOOGLE_APPLICATION_CREDENTIALS, or  gcloud auth application-default login"),
    "hf": ("huggingface_hub", "hf", "HF_TOKEN, HF_ENDPOINT, and HF_HUB_OFFLINE, which must not be set"),
    "az": ("adlfs", "az", "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or  az login"),
    "memory": ("fsspec", None, "the process that wrote it: no other one sees its memory"),
}  # fmt: skip
_OTHER_NAMES = {"s3a": "s3", "gcs": "gs", "abfs": "az", "abfss": "az"}
_ADDRESS = re.compile(rf"({'|'.join([*_STORES, *_OTHER_NAMES])}):/+(.*)", re.DOTALL | re.IGNORECASE)
ANSWER_S = 30.0  # after which an address counts as one that does not answer
LISTING_S = 900.0  # for the names of all files below one, and for reading through a tar
AT_ONCE = 16  # files that are on their way together
_sizes: dict[str, int] = {}  # in bytes, of what was listed in this process
_WAITING = 1024  # items that are handed out together
A = TypeVar("A")
T = TypeVar("T")


def address_of(path: str | Path) -> str | None:
    """The address that a text is, also as a Path writes it (s3:/…); None of a path here, and of what is not read."""
    match = _ADDRESS.fullmatch(str(path))
    return f"{match[1].lower()}://{match[2]}" if match else None


def name_at(address: str) -> str:
    """What an address is called without its scheme: bucket/folder/file."""
    return address.partition("://")[2].strip("/")


def read_address(address: str, most: int, start: int = 0) -> bytes:
    """At most `most` bytes of a file, from `start` on.

    Raises UnreadableError where there is no such file, or it may not be read; WorkError where nothing answers.
    """
    system, path = _system_of(address)
    try:
        data: bytes = _answered(address, lambda: system.cat_file(path, start=start, end=start + most))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UnreadableError("there is no such file at its address") from error
    except PermissionError as error:
        raise UnreadableError("it may not be read at its address (access denied)") from error
    return data


def put_at(address: str, path: Path) -> None:
    """Write a file from here to an address. Raises as `files_at` does."""
    system, there = _system_of(address)
    _asked(address, lambda: system.put_file(str(path), there), LISTING_S)


def size_at(address: str) -> int:
    """How many bytes a file has; 0 where that cannot be told."""
    if address not in _sizes:
        system, path = _system_of(address)
        try:
            _sizes[address] = int(_answered(address, lambda: system.info(path)).get("size") or 0)
        except (FileNotFoundError, PermissionError):
            return 0
    return _sizes[address]


def files_at(address: str) -> dict[str, str] | None:
    """The addresses of all files below a folder, by their names relative to it, sorted; None where it is a file.

    Raises DataError where there is nothing, or it may not be listed; WorkError where nothing answers.
    """
    system, path = _system_of(address)
    if _asked(address, lambda: system.info(path))["type"] == "file":
        return None
    found = _asked(address, lambda: system.find(path, detail=True), LISTING_S)
    top = path.rstrip("/") + "/"
    return {name.removeprefix(top): _noted(system, name, facts) for name, facts in sorted(found.items())}


def matches_at(address: str) -> list[str]:
    """The addresses that fit a pattern, sorted. Raises as `files_at` does; [] where none fits."""
    system, path = _system_of(address)
    found = _asked(address, lambda: system.glob(path, detail=True), LISTING_S)
    return [_noted(system, name, facts) for name, facts in sorted(found.items()) if facts["type"] == "file"]


def is_pattern(address: str) -> bool:
    """Whether an address stands for several."""
    return any(letter in address for letter in "*?[")


def image_matches(address: str) -> list[str]:
    """The addresses of images that fit a pattern."""
    return [name for name in matches_at(address) if is_image_name(PurePosixPath(name).name)]


def images_at(address: str) -> list[Image] | None:
    """The images below a folder, by their names relative to it; None where it is a file.

    Raises DataError where there are none.
    """
    files = files_at(address)
    if files is None:
        return None
    images = [Image(name, at) for name, at in files.items() if _is_image(PurePosixPath(name))]
    if not images:
        held = listed(sorted({name.partition("/")[0] for name in files})) or "nothing"
        raise DataError(f"Found no images in {address}, which holds: {held}.", slug="no-images")
    return images


def _is_image(name: PurePosixPath) -> bool:
    return is_image_name(name.name) and not any(map(is_of_a_system, name.parts[:-1]))


def with_file(address: str, work: Callable[[Any], T]) -> T:
    """What `work` makes of the file, open for reading. Raises as `files_at` does."""
    system, path = _system_of(address)

    def opened() -> T:
        with system.open(path, "rb") as file:
            return work(file)

    return _asked(address, opened, LISTING_S)


def each(work: Callable[[A], T], items: Sequence[A], path: Callable[[A], str | None]) -> Iterator[T]:
    """What `work` gives of each item, in their order; several at once where one lies elsewhere than here."""
    if not any_address(map(path, items)):
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for start in range(0, len(items), _WAITING):
            yield from pool.map(work, items[start : start + _WAITING])
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after an error nothing more is asked for


def any_address(paths: Iterable[str | None]) -> bool:
    """Whether one of the paths lies elsewhere."""
    return any(path is not None and ":/" in path and address_of(path) is not None for path in paths)


def _noted(system: Any, name: str, facts: Any) -> str:
    """The address of a name that was listed, whose size is kept."""
    address = address_of(system.unstrip_protocol(name)) or name
    _sizes[address] = int(facts.get("size") or 0)
    return address


def _asked(address: str, work: Callable[[], T], seconds: float | None = None) -> T:
    """What a store answers to a question about a place. Raises DataError where there is none, or none for us."""
    try:
        return _answered(address, work, seconds)
    except FileNotFoundError as error:
        said = f"There is nothing at {address}.\n  Look at the bucket's name and at the folder's, with its case."
        raise DataError(said, slug="no-such-file") from error
    except PermissionError as error:
        said = f"{address} may not be read: access denied.\n  Look at {_STORES[_scheme(address)][2]}."
        raise DataError(said, slug="no-such-file") from error


def _answered(address: str, work: Callable[[], T], seconds: float | None = None) -> T:
    """What `work` gives, in a thread that is not waited for once the time is over. Raises WorkError then.

    So does what fails on the way: the same command goes on where it stopped, as it would not from a row without image.
    """
    seconds = ANSWER_S if seconds is None else seconds
    answers: SimpleQueue[tuple[bool, Any]] = SimpleQueue()

    def run() -> None:
        try:
            answers.put((True, work()))
        except BaseException as error:  # noqa: BLE001 -- it is raised below, in the thread that asked
            answers.put((False, error))

    threading.Thread(target=run, name=f"seewhy reads {address}", daemon=True).start()
    try:
        is_there, answer = answers.get(timeout=seconds)
    except Empty:
        raise _silent(address, f"did not answer within {seconds:g} seconds") from None
    if is_there:
        found: T = answer
        return found
    if isinstance(answer, (FileNotFoundError, IsADirectoryError, PermissionError, UnreadableError, DataError)):
        raise answer
    words = (str(answer).strip().splitlines() or [""])[0][:160]
    raise _silent(address, f"could not be read: {type(answer).__name__}: {words}".rstrip(": ")) from answer


def _silent(address: str, what: str) -> WorkError:
    return WorkError(
        f"{address} {what}.\n  Look at the network, and at {_STORES[_scheme(address)][2]}.\n"
        "  What is finished is kept; the same command goes on from there.",
        slug="address-silent",
    )


def _scheme(address: str) -> str:
    scheme = address.partition(":")[0]
    return _OTHER_NAMES.get(scheme, scheme)


def _system_of(address: str) -> tuple[Any, str]:
    """The store of an address, and what the place is called there. Raises MissingExtraError without its package."""
    package, extra, _ = _STORES[_scheme(address)]
    try:
        system, path = import_module("fsspec.core").url_to_fs(address)
    except ImportError as error:
        raise MissingExtraError(package, extra, f"Reading {address}") from error
    except Exception as error:  # stores look for credentials as soon as they are made, and raise their own errors
        raise _silent(address, f"could not be opened: {type(error).__name__}: {str(error)[:160]}") from error
    return system, str(path)

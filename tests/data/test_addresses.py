"""Images at addresses are those of a folder here: the same table, the same bytes, and an end to waiting."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import PIL.Image
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from seewhy.data.pictures.copies import find_copies
from seewhy.data.pictures.decode import UnreadableError, file_digest, has_depth, read_photograph, read_size
from seewhy.data.sources import addresses
from seewhy.data.sources.addresses import address_of, files_at, read_address
from seewhy.data.sources.files import size_of
from seewhy.data.sources.folder import read_table
from seewhy.data.tables.image_table import ImageTable
from seewhy.errors import DataError, MissingExtraError, OptionError, WorkError
from tests.stores import empty_store

REGISTRY = import_module("fsspec.registry")  # which fsspec.registry is not
FILES = (
    "train/cat/1.png", "train/cat/2.png", "train/dog/1.png", "valid/cat/3.png", "valid/dog/4.png",
    "valid/dog/.hidden.png", "valid/dog/notes.txt", ".cache/dog/9.png",
)  # fmt: skip


def png(number: int, depth: bool = False) -> bytes:
    pixels = np.full((6, 8, 3), 20 * number, np.uint8)
    image = PIL.Image.fromarray(np.full((6, 8), 900 * number, np.uint16) if depth else pixels)
    kept = io.BytesIO()
    image.save(kept, "PNG")
    return kept.getvalue()


@pytest.fixture
def store() -> Iterator[MemoryFileSystem]:
    """An object store that is empty, and is so again afterwards."""
    with empty_store() as system:
        yield system


@pytest.fixture
def both(store: MemoryFileSystem, tmp_path: Path) -> tuple[str, Path]:
    """The same files at an address and in a folder."""
    for number, name in enumerate(FILES):
        store.pipe(f"/bucket/photos/{name}", png(number))
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(png(number))
    return "memory://bucket/photos", tmp_path / "photos"


def rows(table: ImageTable) -> list[tuple[Any, ...]]:
    return [(image.id, image.label, image.split, image.error) for image in table.images]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("s3://bucket/a.png", "s3://bucket/a.png"),
        (Path("s3://bucket/a.png"), "s3://bucket/a.png"),
        ("S3://Bucket/A.png", "s3://Bucket/A.png"),
        ("gs://b/x y//z.jpg", "gs://b/x y//z.jpg"),
        ("hf://datasets/me/set/a.jpg", "hf://datasets/me/set/a.jpg"),
        ("memory:///a", "memory://a"),
        ("https://x.org/a.png", None),
        ("photos/s3:/a.png", None),
        ("C:/photos/a.png", None),
        ("az", None),
        ("", None),
    ],
)
def test_addresses_are_told_from_paths(path: str | Path, wanted: str | None) -> None:
    assert address_of(path) == wanted


def test_a_folder_at_an_address_is_the_table_of_the_folder_here(both: tuple[str, Path]) -> None:
    there, here = read_table(both[0]), read_table(both[1])
    assert rows(there) == rows(here) and len(there) == 5
    assert there.classes == here.classes == ("cat", "dog")
    assert there.images[0].path == "memory://bucket/photos/train/cat/1.png"
    assert there.root is None and read_table(Path(both[0])).images == there.images


def test_a_split_of_it_is_so_too_and_a_folder_alone_has_no_class(both: tuple[str, Path]) -> None:
    there, here = read_table(f"{both[0]}/valid"), read_table(both[1] / "valid")
    assert rows(there) == rows(here) and {row[2] for row in rows(there)} == {"valid"}
    assert rows(read_table(f"{both[0]}/valid/dog")) == [("4.png", None, None, None)]  # what lies beside is not listed


def test_patterns_and_lists_are_those_of_paths(both: tuple[str, Path]) -> None:
    for source in ("{}/train/*/*.png", "{}/valid/cat/3.png"):
        assert rows(read_table(source.format(both[0]))) == rows(read_table(source.format(both[1])))
    names = ["train/cat/1.png", "valid/dog/4.png"]
    there, here = ([f"{root}/{name}" for name in names] for root in both)
    assert rows(read_table(there)) == rows(read_table(here))
    assert [image.path for image in read_table(there).images] == there


def test_a_table_here_may_name_addresses(both: tuple[str, Path], tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "t.csv").write_text(f"path,label\n{both[0]}/train/cat/1.png,cat\n{both[0]}/valid/dog/4.png,dog\n")
    table = read_table(tmp_path / "t" / "t.csv")
    assert [image.id for image in table.images] == ["bucket/photos/train/cat/1.png", "bucket/photos/valid/dog/4.png"]
    assert [image.path for image in table.images] == [f"{both[0]}/train/cat/1.png", f"{both[0]}/valid/dog/4.png"]
    assert [image.error for image in table.images] == [None, None]


def test_the_bytes_are_the_same(both: tuple[str, Path]) -> None:
    there, here = f"{both[0]}/train/cat/2.png", both[1] / "train/cat/2.png"
    assert np.array_equal(read_photograph(there).pixels, read_photograph(here).pixels)
    assert read_photograph(there).digest == read_photograph(here).digest == file_digest(there) == file_digest(here)
    assert read_size(there) == read_size(here) == (6, 8)
    assert size_of(there) == size_of(here) == here.stat().st_size
    assert not has_depth(there)


def test_depth_is_told_by_the_first_bytes(store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    store.pipe("/b/deep.png", png(3, depth=True))
    asked: list[Any] = []
    whole = MemoryFileSystem.cat_file
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda *a, **k: (asked.append(k["end"]), whole(*a, **k))[1])
    assert has_depth("memory://b/deep.png") and asked == [512]


def test_copies_are_found_by_their_bytes(both: tuple[str, Path], store: MemoryFileSystem) -> None:
    store.pipe("/bucket/photos/valid/dog/5.png", png(0))
    table = read_table(both[0])
    valid = [image for image in table.images if image.split == "valid"]
    train = [image for image in table.images if image.split == "train"]
    copies = [copy for copy in find_copies(valid, train).copies if copy.is_same]
    assert [(copy.image.id, copy.other.id) for copy in copies] == [("valid/dog/5.png", "train/cat/1.png")]


def test_what_is_not_there_is_said(both: tuple[str, Path], store: MemoryFileSystem) -> None:
    with pytest.raises(DataError, match=r"There is nothing at memory://bucket/photo\.\n") as raised:
        read_table("memory://bucket/photo")
    assert raised.value.slug == "no-such-file"
    with pytest.raises(UnreadableError, match="there is no such file at its address"):
        read_photograph("memory://bucket/photos/none.png")
    with pytest.raises(DataError, match=r"Found no images in the pattern memory://bucket/photos/valid/dog/n\*"):
        read_table("memory://bucket/photos/valid/dog/n*")
    store.pipe("/bucket/words/a/b.txt", b"x")
    with pytest.raises(DataError, match="Found no images in memory://bucket/words, which holds: a"):
        read_table("memory://bucket/words")
    store.pipe("/bucket/words/empty.png", b"")
    with pytest.raises(UnreadableError, match="the file is empty"):
        read_photograph("memory://bucket/words/empty.png")


def test_columns_are_for_tables(both: tuple[str, Path]) -> None:
    with pytest.raises(OptionError, match="--columns names columns of a table"):
        read_table(both[0], columns={"path": "x"})


@pytest.mark.parametrize(
    ("scheme", "package", "extra"), [("s3", "s3fs", "s3"), ("gs", "gcsfs", "gs"), ("az", "adlfs", "az")]
)
def test_a_missing_package_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, scheme: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    REGISTRY._registry.pop(scheme, None)
    with pytest.raises(
        MissingExtraError, match=rf'needs the package \'{package}\'.*\n.*pip install "seewhy\[{extra}\]"'
    ):
        read_table(f"{scheme}://bucket/photos")


# Stores that do not answer


@pytest.fixture
def registered(store: MemoryFileSystem) -> Iterator[Callable[[type[Any]], None]]:
    """Makes a class the store of gs://."""
    before = dict(REGISTRY._registry)

    def register(kind: type[Any]) -> None:
        fsspec.register_implementation("gs", kind, clobber=True)

    yield register
    REGISTRY._registry.clear()
    REGISTRY._registry.update(before)


class Failing(MemoryFileSystem):
    """A store whose files raise what is asked for."""

    protocol = "gs"
    cachable = False
    error: BaseException = OSError()

    def cat_file(self, *asked: Any, **more: Any) -> bytes:
        raise self.error

    def info(self, *asked: Any, **more: Any) -> Any:
        raise self.error


def test_a_store_that_does_not_answer_is_waited_for_so_long(
    registered: Callable[[type[Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()

    class Silent(Failing):
        def cat_file(self, *asked: Any, **more: Any) -> bytes:
            never.wait(20)
            return b""

        info = cat_file

    registered(Silent)
    monkeypatch.setattr(addresses, "ANSWER_S", 0.2)
    began = time.monotonic()
    said = r"gs://b/x.png did not answer within 0\.2 seconds\.\n  Look at the network, and at GOOGLE_APPLICATION"
    for work in (read_photograph, read_table, has_depth, read_size, file_digest):
        with pytest.raises(WorkError, match=said) as raised:
            work("gs://b/x.png")
        assert raised.value.slug == "address-silent"
    assert time.monotonic() - began < 5
    never.set()


@pytest.mark.parametrize("error", [ConnectionError("no route"), TimeoutError("slow"), ValueError("odd")])
def test_what_fails_on_the_way_ends_the_work_and_is_no_bad_image(
    registered: Callable[[type[Any]], None], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    registered(Failing)
    monkeypatch.setattr(Failing, "error", error)
    with pytest.raises(WorkError, match=rf"could not be read: {type(error).__name__}: {error}"):
        read_photograph("gs://b/x.png")


def test_what_is_forbidden_is_said(registered: Callable[[type[Any]], None], monkeypatch: pytest.MonkeyPatch) -> None:
    registered(Failing)
    monkeypatch.setattr(Failing, "error", PermissionError("403"))
    with pytest.raises(UnreadableError, match=r"it may not be read at its address \(access denied\)"):
        read_photograph("gs://b/x.png")
    with pytest.raises(DataError, match=r"gs://b may not be read: access denied\.\n  Look at GOOGLE_APPLICATION"):
        files_at("gs://b")


def test_a_store_that_cannot_be_opened_says_why(registered: Callable[[type[Any]], None]) -> None:
    class NoKey(Failing):
        def __init__(self, *asked: Any, **more: Any) -> None:
            raise RuntimeError("no credentials")

    registered(NoKey)
    with pytest.raises(WorkError, match="could not be opened: RuntimeError: no credentials"):
        read_address("gs://b/x.png", 10)

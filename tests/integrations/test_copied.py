"""A run that is copied to an address is all there, or is none; a real object store gives the run of the folder."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

import seewhy
from seewhy.data.sources import addresses
from seewhy.errors import OptionError, StoreError, WorkError
from seewhy.integrations.export import export
from tests.integrations.conftest import CLASSES
from tests.learn.test_watch import Corner
from tests.stores import empty_store

S3 = all(importlib.util.find_spec(name) for name in ("moto", "flask", "s3fs"))


@pytest.fixture
def store() -> Iterator[MemoryFileSystem]:
    with empty_store() as system:
        yield system


def files_of(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_copy_has_every_file_and_the_manifest_is_the_last(
    explained: Path, store: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, order = MemoryFileSystem.put_file, []
    monkeypatch.setattr(
        MemoryFileSystem, "put_file", lambda self, a, b, **k: (order.append(b), put(self, a, b, **k))[1]
    )
    assert export(explained, "memory://bucket/runs/one/") == "memory://bucket/runs/one"
    fsspec.filesystem("memory").get("/bucket/runs/one", str(tmp_path / "back"), recursive=True)
    assert files_of(tmp_path / "back") == files_of(explained)
    assert order[-1].endswith("/runs/one/manifest.json") and len(order) == len(files_of(explained))
    with pytest.raises(StoreError, match=r"one holds a run already.*--to memory://bucket/runs/one-2"):
        export(explained, "memory://bucket/runs/one")


def test_a_copy_that_breaks_off_is_no_run_and_is_begun_again(
    explained: Path, store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = MemoryFileSystem.put_file

    def failing(self: Any, path: str, there: str, **more: Any) -> None:
        if there.endswith("sheet.jpg"):
            raise ConnectionError("the cable")
        put(self, path, there, **more)

    with monkeypatch.context() as broken:
        broken.setattr(MemoryFileSystem, "put_file", failing)
        with pytest.raises(WorkError, match=r"sheet\.jpg could not be (read|reached).*the cable[\s\S]*is complete in"):
            export(explained, "memory://bucket/run")
    assert not store.exists("/bucket/run/manifest.json")
    assert export(explained, "memory://bucket/run") == "memory://bucket/run"
    assert store.exists("/bucket/run/manifest.json")


def test_what_is_no_address_of_a_store_is_an_unknown_end(explained: Path) -> None:
    with pytest.raises(OptionError, match=r"nothing called 'ftp://host/run' to export to[\s\S]*--to s3://BUCKET/RUN"):
        export(explained, "ftp://host/run")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A server of its own that speaks S3, with one empty bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {
        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen([sys.executable, "-c", code], env=dict(os.environ), stdout=log, stderr=log)
    try:
        for _ in range(1200):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        system = import_module("s3fs").S3FileSystem(skip_instance_cache=True)
        system.mkdir("bucket")
        yield system
    finally:
        server.terminate()
        server.wait()


@pytest.mark.skipif(not S3, reason="the packages moto[server] and s3fs, of which one is a server, are not installed")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_real_s3_server_gives_the_run_of_the_folder_and_takes_it(
    bucket: Any, corners: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses, "ANSWER_S", 300.0)  # its client alone takes longer than 30 s on a busy machine
    bucket.put(str(corners / "valid"), "bucket/photos/valid", recursive=True)
    there, here = (
        seewhy.explain(
            seewhy.load(Corner(), classes=CLASSES, size=(32, 32)), images, target="red", layers=["conv"],
            progress=False, out=tmp_path / name,
        )
        for name, images in (("there", "s3://bucket/photos/valid"), ("here", corners / "valid"))
    )  # fmt: skip
    assert (there.maps == here.maps).all() and [o.digest for o in there.outcomes] == [o.digest for o in here.outcomes]
    assert export(tmp_path / "there", "s3://bucket/runs/one") == "s3://bucket/runs/one"
    bucket.get("bucket/runs/one", str(tmp_path / "back"), recursive=True)
    assert files_of(tmp_path / "back") == files_of(tmp_path / "there")

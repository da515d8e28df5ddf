"""A run over an object store, or over tars, is the run over the files: the same maps, rows and identity."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import PIL.Image
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem

import seewhy
from seewhy.cli.app import main
from seewhy.errors import StoreError, WorkError
from seewhy.report.stored import read_run
from tests.models import FourConv, seeded
from tests.report.pages import pictures_of

N = 70  # more than one part of a run
AT = "memory://bucket/photos"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("here") / "photos"
    random = np.random.default_rng(0)
    for number in range(N):
        path = home / ("cat", "dog")[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    (home / "cat" / "bad.png").write_bytes(b"no picture")
    return home


@pytest.fixture
def store(photos: Path) -> Iterator[MemoryFileSystem]:
    system = fsspec.filesystem("memory")
    system.store.clear()
    for path in photos.rglob("*.png"):
        system.pipe(f"/bucket/photos/{path.relative_to(photos).as_posix()}", path.read_bytes())
    yield system
    system.store.clear()


def explained(images: Any, **more: Any) -> seewhy.Explanation:
    classifier = seewhy.load(seeded(FourConv()), classes=["cat", "dog"], size=(32, 32))
    return seewhy.explain(classifier, images, layers=["conv2", "conv1"], progress=False, **more)


def told(explanation: seewhy.Explanation) -> list[tuple[Any, ...]]:
    return [
        (one.image.id, one.image.label, one.digest, one.prediction, one.probability, one.logits, one.error)
        for one in explanation.outcomes
    ]


def test_maps_rows_and_identity_are_those_of_the_folder(store: MemoryFileSystem, photos: Path, tmp_path: Path) -> None:
    there, here = explained(AT, out=tmp_path / "there"), explained(photos, out=tmp_path / "here")
    assert told(there) == told(here) and sum(one.error is None for one in there.outcomes) == N
    for layer in ("conv2", "conv1"):
        assert np.array_equal(there.maps[layer], here.maps[layer], equal_nan=True)
    manifests = [json.loads((tmp_path / name / "manifest.json").read_text()) for name in ("there", "here")]
    assert manifests[0]["identity"] == manifests[1]["identity"]
    assert (tmp_path / "there" / "sheet.jpg").read_bytes() == (tmp_path / "here" / "sheet.jpg").read_bytes()


def test_the_report_shows_the_pictures(store: MemoryFileSystem, tmp_path: Path) -> None:
    explained(AT, out=tmp_path / "run")
    pictures = pictures_of(seewhy.write_report(tmp_path / "run"))
    assert sum(one["t"] is not None for one in pictures) == N


def test_a_store_that_fails_in_the_middle_leaves_what_is_done(
    store: MemoryFileSystem, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = MemoryFileSystem.cat_file
    with monkeypatch.context() as broken:

        def failing(self: Any, path: str, **more: Any) -> bytes:
            if path.endswith("/69.png") and more.get("end", 0) > 10_000:
                raise ConnectionError("the cable")
            return bytes(whole(self, path, **more))

        broken.setattr(MemoryFileSystem, "cat_file", failing)
        with pytest.raises(WorkError, match=r"dog/69\.png could not be read: ConnectionError: the cable"):
            explained(AT, out=tmp_path / "run")
    assert list((tmp_path / "run" / "parts").iterdir())  # the first part of the run is there
    assert told(explained(AT, out=tmp_path / "run")) == told(explained(photos))


def test_an_object_that_was_changed_makes_another_run(store: MemoryFileSystem, tmp_path: Path) -> None:
    explained(AT, out=tmp_path / "run")
    store.pipe("/bucket/photos/cat/00.png", store.cat("/bucket/photos/cat/02.png"))
    with pytest.raises(StoreError, match=r"cat/00\.png"):
        explained(AT, out=tmp_path / "run")


def test_the_command_line_reads_it_in_forked_workers(
    store: MemoryFileSystem, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(seeded(FourConv()).state_dict(), "model.pt")
    words = ["--model", "tests.models:FourConv", "--weights", "model.pt", "--layers", "conv1", "--no-report"]
    for images, out in ((AT, "there"), (str(photos), "here")):
        with pytest.raises(SystemExit) as left:
            main(["explain", images, *words, "--out", out, "--workers", "2"])
        assert left.value.code in (0, None)
    for name in ("manifest.json", "records.parquet"):
        assert (tmp_path / "there" / name).is_file()
    there, here = (read_run(tmp_path / name) for name in ("there", "here"))
    assert [one.logits for one in there.outcomes] == [one.logits for one in here.outcomes]


def test_tars_give_the_run_of_their_files(photos: Path, tmp_path: Path) -> None:
    paths = sorted(photos.rglob("*.png"))
    for number in range(2):
        with tarfile.open(tmp_path / f"shard-{number}.tar", "w") as opened:
            for path in paths[number::2]:
                opened.add(path, f"{path.parent.name}-{path.name}")
    there = explained(f"{tmp_path}/*.tar")
    here = explained([*paths[0::2], *paths[1::2]])
    assert [row[2:] for row in told(there)] == [row[2:] for row in told(here)]
    assert np.array_equal(there.maps["conv1"], here.maps["conv1"], equal_nan=True)


@pytest.mark.parametrize("address", ["s3://bucket/runs/one", "memory://bucket/run"])
def test_a_run_folder_is_no_address(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for work in (
        lambda: explained(photos, limit=2, out=address),
        lambda: explained(photos, limit=2).save(address),
        lambda: seewhy.write_report(address),
    ):
        with pytest.raises(
            StoreError, match=f"{address} is an address, and a run folder lies in a file system"
        ) as raised:
            work()
        assert raised.value.slug == "run-address"
    assert not list(tmp_path.iterdir())

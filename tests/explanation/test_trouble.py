"""What disks, files and processes can do to a run: a clear error or a row with its reason, and the run goes on."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import zarr
from benchmarks.kills import tree
from torch import Tensor

import seewhy
from seewhy.errors import StoreError, WorkError
from seewhy.explanation.folder import run_in_folder
from seewhy.run.plan import Plan, make_plan
from tests.models import FourConv, images, seeded

resource = pytest.importorskip("resource", reason="this system limits no file sizes")


def nothing(done: int, total: int) -> None:
    pass


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "photos" / f"{number:02d}.png")
    return tmp_path / "photos"


def plan_of(photos: Path, net: Any = None) -> Plan:
    return make_plan(net or seeded(FourConv()), photos, layers=["conv1", "conv2"])


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes: what a full disk does, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 200, 1500, 4000, 16_000, 60_000])
def test_a_disk_that_takes_no_more_is_failed_work_that_goes_on(photos: Path, tmp_path: Path, size: int) -> None:
    run_in_folder(plan_of(photos), tmp_path / "straight", progress=nothing)
    with largest_file(size), pytest.raises(WorkError, match=r"Writing to .* failed: (?s:.*)the same command") as raised:
        run_in_folder(plan_of(photos), tmp_path / "run", progress=nothing)
    assert (raised.value.slug, raised.value.exit_status) == ("cannot-write", 1)
    run_in_folder(plan_of(photos), tmp_path / "run", progress=nothing)
    assert tree(tmp_path / "run") == tree(tmp_path / "straight")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of 2 MiB; skips where this user cannot mount one."""
    home = tmp_path / "disk"
    home.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "seewhy-test", home], capture_output=True)
    if made.returncode:
        pytest.skip("this user cannot mount a disk")
    yield home
    subprocess.run(["umount", "-l", home], check=True)


def test_a_full_disk_is_said_and_room_is_all_it_needs(photos: Path, tmp_path: Path, disk: Path) -> None:
    run_in_folder(plan_of(photos), tmp_path / "straight", progress=nothing)
    (disk / "filler").write_bytes(bytes((2 << 20) - (80 << 10)))
    with pytest.raises(WorkError, match="No space left on device"):
        run_in_folder(plan_of(photos), disk / "run", progress=nothing)
    (disk / "filler").unlink()
    run_in_folder(plan_of(photos), disk / "run", progress=nothing)
    assert tree(disk / "run") == tree(tmp_path / "straight")


def test_a_folder_that_is_read_only_is_said(photos: Path, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises(StoreError, match="cannot be written: Read-only file system") as raised:
        run_in_folder(plan_of(photos), disk / "run", progress=nothing)
    assert (raised.value.slug, raised.value.exit_status) == ("cannot-write", 2)


class Vanishing(FourConv):
    """Removes a file when it sees its first whole batch."""

    victim: Path

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1:
            self.victim.unlink(missing_ok=True)
        return super().forward(x)


def test_an_image_that_vanishes_is_a_row_with_the_reason(photos: Path, tmp_path: Path) -> None:
    net = seeded(Vanishing())
    net.victim = photos / "18.png"
    found = run_in_folder(plan_of(photos, net), tmp_path / "run", progress=nothing)
    assert [o.image.id for o in found.outcomes if o.error] == ["18.png"]
    assert found["18.png"].error == "No such file or directory"
    assert np.isnan(found.maps["conv2"][18]).all() and np.isfinite(found.maps["conv2"][19]).all()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "giant", "loop", "nowhere"])
def test_what_only_looks_like_an_image_file_is_a_row(
    photos: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = photos / "99.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "giant":
        with path.open("wb") as file:
            file.truncate(2**40)
    elif kind == "folder":
        (photos / "98").mkdir()
        path = path.rename(path) if path.exists() else path
        path.symlink_to(photos / "98")
    else:
        path.symlink_to({"device": "/dev/zero", "loop": path, "nowhere": photos / "none.png"}[kind])
    names = sorted(photos.iterdir())
    plan = plan_of([one for one in names if one.name != "98"])
    started = time.monotonic()
    found = run_in_folder(plan, tmp_path / "run", progress=nothing)
    assert time.monotonic() - started < 20
    assert [(o.image.id, bool(o.error)) for o in found.outcomes][-2:] == [("19.png", False), ("99.png", True)]
    reasons = {
        "pipe": "no regular file", "device": "no regular file", "folder": "Is a directory",
        "giant": "a file of 1,099,511,627,776 bytes is more than the limit of 1,073,741,824",
        "loop": "Too many levels of symbolic links", "nowhere": "No such file or directory",
    }  # fmt: skip
    assert found["99.png"].error == reasons[kind]


@pytest.mark.parametrize(
    "name", ["犬" * 85, "é" * 200, "%" * 100, "x" * 500], ids=["85-kanji", "accents", "percent", "x"]
)
def test_a_long_class_name_is_explained(tmp_path: Path, name: str) -> None:
    classifier = seewhy.load(seeded(FourConv(classes=2)), classes=[name, name + "!"])
    for target in (name, name + "!"):  # they begin alike, and must not share an array
        plan = make_plan(classifier, images(2), target=target, layers="conv1")
        run = tmp_path / hashlib.sha256(target.encode()).hexdigest()
        found = run_in_folder(plan, run, progress=nothing)
        again = run_in_folder(plan, run, progress=nothing)
        assert np.array_equal(found.maps, again.maps) and found.maps.any()
        held = [path.parent for path in (run / "maps.zarr" / found.method / "conv1").glob("*/zarr.json")]
        assert [zarr.open_array(one, mode="r").attrs["score"] for one in held] == [target]


def test_long_names_that_begin_alike_have_paths_of_their_own() -> None:
    from seewhy.store.arrays import array_name

    keys = [("m", "l", "犬" * length) for length in range(60, 120)]
    names = {array_name(key) for key in keys}
    assert len(names) == len(keys)
    assert max(len(part.encode()) for name in names for part in name.split("/")) <= 240

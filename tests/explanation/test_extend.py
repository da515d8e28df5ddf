"""A finished run takes in added images: what is there stays, and everything is as if it had been run at once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
from benchmarks.kills import MOST_LOST, Trial, kill_often, new_trial, write_images
from torch import nn

import seewhy
from seewhy.errors import OptionError, StoreError
from seewhy.explanation import extend as extension
from seewhy.explanation import folder as module
from seewhy.explanation.folder import run_in_folder
from seewhy.run.plan import Plan, make_plan
from seewhy.store import manifest
from tests.models import FourConv, images, seeded
from tests.started import started

ROOT = Path(__file__).parents[2]
OLD = [f"{('cat', 'dog')[number % 2]}/{number:02d}.png" for number in range(40)]
NEW = [f"{('cat', 'dog')[number % 2]}/{number:02d}b.png" for number in range(21)]  # between the old ones


def nothing(done: int, total: int) -> None:
    pass


def paint(root: Path, names: Sequence[str], seed: int = 0, size: int = 16) -> None:
    for number, name in enumerate(names, seed):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(root / name)


def plan_of(source: Any, net: nn.Module | None = None, **options: Any) -> Plan:
    return make_plan(net or seeded(FourConv(size=16)), source, **{"layers": ["conv1", "conv2"], **options})


def tree(folder: Path) -> dict[str, str]:
    """The hash of every file; the manifest alone says that a run was extended."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != manifest.NAME
    }


def ids(folder: Path) -> list[str]:
    return pq.read_table(folder / "records.parquet")["id"].to_pylist()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    paint(tmp_path / "photos", OLD)
    (tmp_path / "photos" / OLD[5]).write_bytes(b"no picture")
    return tmp_path / "photos"


@pytest.fixture
def run(photos: Path, tmp_path: Path) -> Path:
    """The finished run of the 40 old images; the new ones were added since."""
    run_in_folder(plan_of(photos), tmp_path / "run", progress=nothing)
    paint(photos, NEW, seed=100)
    return tmp_path / "run"


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The rows of every shard that is computed from now on."""
    seen: list[tuple[int, int]] = []
    real = module.explain_shard
    monkeypatch.setattr(
        module,
        "explain_shard",
        lambda plan, shard, **kw: seen.append((shard.start, shard.stop)) or real(plan, shard, **kw),
    )
    return seen


def at_once(photos: Path, names: Sequence[str], folder: Path) -> dict[str, str]:
    """The run of these images in this order, made without any extension."""
    run_in_folder(plan_of([photos / name for name in names]), folder, progress=nothing)
    return tree(folder)


def test_only_the_added_images_and_the_last_shard_are_computed(
    photos: Path, run: Path, tmp_path: Path, computed: list[tuple[int, int]]
) -> None:
    run_in_folder(plan_of(photos), run, extend=True, progress=nothing)
    assert computed == [(32, 48), (48, 61)]
    order = [*sorted(OLD), *sorted(NEW)]
    assert ids(run) == order
    assert tree(run) == at_once(photos, order, tmp_path / "fresh")
    computed.clear()
    for extend in (False, True):
        found = run_in_folder(plan_of(photos), run, extend=extend, progress=nothing)
        assert [outcome.image.id for outcome in found.outcomes] == order
        assert found[order[41]].overlay.tobytes() == found[41].overlay.tobytes()
    assert computed == []


def test_a_run_grows_again_and_again(photos: Path, tmp_path: Path) -> None:
    shutil.rmtree(photos)
    order: list[str] = []
    for step, names in enumerate((OLD[:7], OLD[20:36], OLD[10:11], NEW)):
        paint(photos, names, seed=50 * step)
        run_in_folder(plan_of(photos), tmp_path / "run", extend=True, progress=nothing)
        order += sorted(names)
        assert ids(tmp_path / "run") == order
    assert tree(tmp_path / "run") == at_once(photos, order, tmp_path / "fresh")


def test_the_shards_keep_their_size_in_a_run_that_grew_large(tmp_path: Path, computed: list[tuple[int, int]]) -> None:
    x = images(300, size=8)
    net = seeded(FourConv(size=8))
    for count in (20, 300):
        grown = run_in_folder(plan_of(x[:count], net), tmp_path / "run", extend=True, progress=nothing)
    assert computed[2:4] == [(16, 32), (32, 48)] and len(computed) == 2 + 18
    fresh = run_in_folder(plan_of(x, net), tmp_path / "fresh", progress=nothing)
    for layer in fresh.layers:
        np.testing.assert_allclose(grown.maps[layer], fresh.maps[layer], rtol=0, atol=1e-5)
    np.testing.assert_allclose([o.logits for o in grown.outcomes], [o.logits for o in fresh.outcomes], atol=1e-5)
    assert [o.prediction for o in grown.outcomes] == [o.prediction for o in fresh.outcomes]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are forked on Linux alone")
def test_reading_the_tables_starts_no_thread_before_workers_are_forked(run: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom seewhy.store import tables\n"
        "count = lambda: len(os.listdir('/proc/self/task'))\n"
        "run, before = Path(sys.argv[1]), count()\n"
        "ids = tables.read_ids(run / 'records.parquet', 40)\n"
        "(run / 'parts').mkdir()\ntables.split(run, '', {0: ids[:16], 1: ids[16:32]})\n"
        "tables.read_digests(run)\n"
        "print(len(ids), count() - before)"
    )
    ran = subprocess.run([sys.executable, "-c", code, run], capture_output=True, text=True, cwd=ROOT)
    assert ran.stdout == "40 0\n", ran.stderr


# Refused.


def refused(photos: Path, run: Path, message: str, slug: str, *, extend: bool, **options: Any) -> None:
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in run.rglob("*")}
    with pytest.raises(StoreError, match=message) as raised:
        run_in_folder(plan_of(photos, **options), run, extend=extend, progress=nothing)
    assert raised.value.slug == slug
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in run.rglob("*")} == before


def test_added_images_are_refused_without_the_option(photos: Path, run: Path) -> None:
    message = (
        r"holds this run of 40 images; 21 were added since: cat/00b\.png, cat/02b\.png, .*\(17 more\)(?s:.)*--extend"
    )
    refused(photos, run, message, "images-added", extend=False)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "removed": (lambda photos: (photos / OLD[3]).unlink(), r"images removed: 1 \(dog/03\.png\)"),
    "changed": (lambda photos: paint(photos, [OLD[4]], seed=9), r"images changed: 1 \(cat/04\.png\)"),
    "renamed": (
        lambda photos: (photos / OLD[3]).rename(photos / "dog" / "zz.png"),
        r"images removed: 1 \(dog/03\.png\)\n  images added: 22 \(.*",
    ),
    "unreadable": (lambda photos: (photos / OLD[4]).write_bytes(b""), r"images changed: 1 \(cat/04\.png\)"),
    "one-without-a-digest": (lambda photos: paint(photos, [OLD[5]]), "images: .*other content|images added: 21"),
}


@pytest.mark.parametrize("extend", [True, False], ids=["extend", "plain"])
@pytest.mark.parametrize("case", CHANGES)
def test_a_run_whose_images_changed_is_refused_by_name(photos: Path, run: Path, case: str, extend: bool) -> None:
    change, message = CHANGES[case]
    change(photos)
    refused(photos, run, message, "images-changed", extend=extend)


def test_other_options_are_refused_too(photos: Path, run: Path) -> None:
    refused(photos, run, r"--method: hirescam there, layercam asked", "another-run", extend=True, method="layercam")


def test_a_run_that_is_not_finished_is_not_extended(photos: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_folder(plan_of(photos), tmp_path / "run", progress=stop)
    paint(photos, NEW, seed=100)
    message = r"images: 40 there \(that run is not finished\), 61 asked"
    refused(photos, tmp_path / "run", message, "images-changed", extend=True)


def test_a_folder_must_be_named() -> None:
    with pytest.raises(OptionError, match="--extend needs the folder of the run:  --out"):
        seewhy.explain(seeded(FourConv()), images(2), extend=True, progress=False)


# Stopped and killed.


class StopError(Exception):
    pass


STEPS = [
    (extension.shutil, "rmtree", (0, 1)),
    (extension.manifest, "begin", (0,)),
    (module.tables, "split", (0,)),
    (module.tables, "_publish", (0, 1, 2)),
    (module.arrays, "create_maps", (0, 1)),
    (module.arrays, "write_maps", (0, 1, 3)),
    (module.tables, "merge", (0, 1)),
    (manifest, "finish", (0,)),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path, dict[str, str]]:
    """A plan of 40 images, the finished run of its first 18, and the tree of all 40 made at once."""
    x, net, home = images(40, size=8), seeded(FourConv(size=8)), tmp_path_factory.mktemp("small")
    run_in_folder(plan_of(x[:18], net), home / "run", progress=nothing)
    run_in_folder(plan_of(x, net), home / "fresh", progress=nothing)
    return plan_of(x, net), home / "run", tree(home / "fresh")


@pytest.mark.parametrize(
    ("owner", "name", "count"), [pytest.param(o, n, c, id=f"{n}-{c}") for o, n, counts in STEPS for c in counts]
)
def test_an_extension_that_stops_at_any_step_goes_on(
    small: tuple[Plan, Path, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    count: int,
) -> None:
    plan, base, want = small
    run = shutil.copytree(base, tmp_path / "run")
    real, calls = getattr(owner, name), []

    def stop(*args: Any, **kw: Any) -> Any:
        calls.append(name)
        if len(calls) > count:
            raise StopError
        return real(*args, **kw)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stop)
        with pytest.raises(StopError):
            run_in_folder(plan, run, extend=True, progress=nothing)
    begun = manifest.read_manifest(run)["status"] == "running"  # then the same command needs no --extend
    run_in_folder(plan, run, extend=not begun, progress=nothing)
    assert tree(run) == want


@pytest.mark.parametrize("stop_at", ["merge", "finish"])
@pytest.mark.parametrize("then", [[], ["cat/00a.png"], ["cat/00a.png", *NEW[4:]]], ids=["back", "one", "others"])
def test_an_extension_can_be_given_up_for_another(
    photos: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: str, then: list[str]
) -> None:
    def stop(*args: Any, **kw: Any) -> None:
        raise StopError

    with monkeypatch.context() as patch:
        patch.setattr(module.tables if stop_at == "merge" else manifest, stop_at, stop)
        with pytest.raises(StopError):
            run_in_folder(plan_of(photos), run, extend=True, progress=nothing)
    for name in NEW:
        (photos / name).unlink()
    paint(photos, then, seed=200)
    with pytest.raises(StoreError, match="--extend") as raised:
        run_in_folder(plan_of(photos), run, progress=nothing)
    assert raised.value.slug == "images-added"
    run_in_folder(plan_of(photos), run, extend=True, progress=nothing)
    assert tree(run) == at_once(photos, [*sorted(OLD), *sorted(then)], tmp_path / "fresh")


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no process groups")
def test_a_killed_extension_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    base = new_trial(tmp_path, 72, started)
    base.finish(tmp_path / "base")
    write_images(tmp_path / "photos", range(72, 168))
    command = [*base.command, "--extend"]
    trial = Trial(tmp_path, command, lambda run: shutil.copytree(tmp_path / "base", run) and None, started)
    losses = kill_often(trial, kills=3, seed=2)
    assert losses.touched == losses.differing == [] and losses.kills == 3
    assert max(losses.lost) <= MOST_LOST

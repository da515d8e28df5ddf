"""What a run folder must survive: kills at any moment, hostile names, other writers; and who can read it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
import torch
import zarr
from torch import Tensor, nn

import seewhy
from seewhy.errors import StoreError, WorkError
from seewhy.explanation import folder as module
from seewhy.explanation import sheets as pages
from seewhy.explanation.explain import run_in_memory
from seewhy.explanation.folder import run_in_folder
from seewhy.explanation.overlays import overlay_name
from seewhy.geometry import geometry_of, lay
from seewhy.maps import scale_to_draw
from seewhy.records import Preprocess
from seewhy.render.overlay import overlay
from seewhy.run.identity import identity_of
from seewhy.run.plan import Plan, make_plan
from seewhy.store import arrays, manifest, rows
from tests.models import FourConv, Linear, images, seeded

ROOT = Path(__file__).parents[2]


def nothing(done: int, total: int) -> None:
    pass


def pixels_of(seed: int, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """37 PNGs: three shards, the last one short."""
    for number in range(37):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(pixels_of(number)).save(folder / f"{number:02d}.png")
    return tmp_path / "photos"


def plan_of(source: Any, net: nn.Module | None = None, **options: Any) -> Plan:
    return make_plan(net or seeded(FourConv()), source, **{"layers": ["conv1", "conv2"], **options})


# Memory and folder.


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("preset", [None, "pytorch-grad-cam"])
def test_memory_and_folder_say_the_same_to_the_last_bit(
    photos: Path, tmp_path: Path, double: bool, preset: str | None
) -> None:
    (photos / "cat" / "02.png").write_bytes(b"")
    net = seeded(FourConv()).double() if double else seeded(FourConv())
    plan = plan_of(photos, net, target="dog", preset=preset, image_format="png")
    held = run_in_memory(plan, progress=nothing)
    stored = run_in_folder(plan, tmp_path / "run", progress=nothing)
    assert held.outcomes == stored.outcomes
    assert held._stats == stored._stats
    for key in plan.keys:
        np.testing.assert_array_equal(held._all_maps(key), stored._all_maps(key))
    for row in (0, 1, 36):
        assert held[row].outcome.error or held[row].overlay.tobytes() == stored[row].overlay.tobytes()
    summary = json.loads((tmp_path / "run" / "manifest.json").read_text())["summary"]
    assert {**held.summary(), "environment": None} == {**summary, "environment": None}


def test_rows_that_stay_in_their_files_change_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "cat" / "02.png").write_bytes(b"")
    plan = plan_of(photos, target="dog", preset=None)
    held = run_in_folder(plan, tmp_path / "held", progress=nothing)
    monkeypatch.setattr(rows, "FROM", 1)
    stored = run_in_folder(plan, tmp_path / "stored", progress=nothing)
    assert isinstance(stored.outcomes, rows.StoredOutcomes)
    assert tree(tmp_path / "stored") == tree(tmp_path / "held")
    assert list(stored.outcomes) == held.outcomes
    assert {key: dict(stats) for key, stats in stored._stats.items()} == held._stats
    assert stored.summary() == held.summary()
    assert [str(image.caption()) for image in stored] == [str(image.caption()) for image in held]
    assert stored["10.png"].overlay.tobytes() == held["10.png"].overlay.tobytes()
    assert stored.where(label="cat").records == held.where(label="cat").records
    extra = photos / "dog" / "99.png"
    PIL.Image.fromarray(pixels_of(99)).save(extra)
    more = plan_of(photos, target="dog", preset=None)
    for folder in ("held", "stored"):
        monkeypatch.setattr(rows, "FROM", 1 if folder == "stored" else 1_000_000)
        run_in_folder(more, tmp_path / folder, extend=True, progress=nothing)
    assert tree(tmp_path / "stored") == tree(tmp_path / "held")


def test_the_tables_and_the_maps_need_no_seewhy(photos: Path, tmp_path: Path) -> None:
    found = run_in_folder(plan_of(photos, target="dog"), tmp_path / "run", progress=nothing)
    code = (
        "import sys, json, zarr, pyarrow.parquet as pq\n"
        "rows = pq.read_table('records.parquet').to_pylist(); stats = pq.read_table('map_stats.parquet').to_pylist()\n"
        f"maps = zarr.open_group('maps.zarr', mode='r')['{found.method}/conv2/dog']\n"
        "wide = maps[:].astype('float64')\n"
        "assert [s['total'] for s in stats if s['layer'] == 'conv2'] == [one.sum() for one in wide]\n"
        "print(json.dumps([len(rows), maps.shape, str(maps.dtype), dict(maps.attrs), maps.metadata.dimension_names,\n"
        "      rows[5]['id'], 'seewhy' in sys.modules]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "run", capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == [
        37, [37, 16, 16], "float32", {"method": found.method, "layer": "conv2", "score": "dog"}, ["image", "y", "x"],
        "cat/10.png", False,
    ]  # fmt: skip
    schema = pq.read_schema(tmp_path / "run" / "records.parquet")
    assert all(schema.field(name).metadata[b"meaning"] for name in schema.names)


# Overlays.


@pytest.mark.parametrize("fit", ["stretch", "crop", "letterbox"])
@pytest.mark.parametrize("turned", [False, True], ids=["upright", "turned"])
def test_an_overlay_is_the_map_laid_on_the_whole_photograph(tmp_path: Path, fit: str, turned: bool) -> None:
    (tmp_path / "photos").mkdir()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6 if turned else 1
    pixels = pixels_of(3, (40, 90))
    PIL.Image.fromarray(pixels).save(tmp_path / "photos" / "a.png", exif=exif)
    upright = np.rot90(pixels, -1) if turned else pixels
    classifier = seewhy.load(seeded(Linear()), size=(24, 32), fit=fit)
    plan = make_plan(classifier, tmp_path / "photos", layers="features", target=1, image_format="png")
    found = run_in_folder(plan, tmp_path / "run", progress=nothing)
    picture = np.asarray(PIL.Image.open(tmp_path / "run" / "overlays" / found.method / "a.png.png"))
    geometry = geometry_of(upright.shape[:2], Preprocess(size=(24, 32), fit=fit))
    mask = lay(scale_to_draw(torch.from_numpy(found.maps[:1])), geometry)[0].numpy().clip(0, 1)
    np.testing.assert_array_equal(picture, overlay(np.ascontiguousarray(upright), mask))
    np.testing.assert_array_equal(picture[mask == 0], upright[mask == 0])
    assert (mask > 0).any() and (fit != "crop" or (mask == 0).any())


def test_an_image_without_a_result_has_no_overlay(tmp_path: Path) -> None:
    class Blind(FourConv):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(x.mean((1, 2, 3))[:, None] > 0.9, torch.nan, super().forward(x))

    x = images(4)
    x[2] = 1
    for preset in (None, "pytorch-grad-cam"):
        run = tmp_path / str(preset)
        found = run_in_folder(plan_of(x, seeded(Blind()), preset=preset), run, progress=nothing)
        names = sorted(path.name for path in (run / "overlays" / found.method).iterdir())
        assert names == ["00000.jpg", "00001.jpg", "00003.jpg"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("train/fake/a.b.jpg", "train/fake/a.b.jpg"),
        ("a.png", "a.png.jpg"),
        ("a.JPG", "a.JPG.jpg"),
        ("a.png.jpg", "a.png.jpg.jpg"),
        ("a.jpg.jpg", "a.jpg.jpg.jpg"),
        ("00012", "00012.jpg"),
    ],
)
def test_the_name_of_an_overlay(name: str, expected: str) -> None:
    assert overlay_name(name, "jpg") == expected


@pytest.mark.parametrize("image_format", ["jpg", "png"])
def test_no_two_images_share_an_overlay(image_format: str) -> None:
    ends = ["", ".jpg", ".png", ".JPG", ".jpeg"]
    ids = {f"a{one}{two}{three}" for one in ends for two in ends for three in ends[1:]}
    ids |= {f"{'x' * 245}{number}.jpg" for number in range(3)} | {f"{'é' * 122}{number}.png" for number in range(3)}
    names = {overlay_name(one, image_format) for one in ids}
    assert len(names) == len(ids)
    assert max(len(name.encode()) for name in names) <= 255


def test_the_longest_name_of_a_file_system_is_explained(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    name = "n" * 251 + ".png"
    PIL.Image.fromarray(pixels_of(0)).save(tmp_path / "photos" / name)
    found = run_in_folder(plan_of(tmp_path / "photos"), tmp_path / "run", progress=nothing)
    assert found[name].overlay.size == (68, 32)
    assert len(list((tmp_path / "run" / "overlays" / found.method).iterdir())) == 1


# Names.

CLASSES = ["a/b", "..", "zarr.json", "__x__", "ä 名 %2F", ".", "c", "C:\\*?"]


@pytest.mark.parametrize("target", CLASSES)
def test_any_class_name_can_be_a_score(tmp_path: Path, target: str) -> None:
    classifier = seewhy.load(seeded(FourConv(classes=8)), classes=CLASSES)
    plan = make_plan(classifier, images(2), target=target, layers=["conv1", "conv2"])
    found = run_in_folder(plan, tmp_path / "run", progress=nothing)
    np.testing.assert_array_equal(found.maps["conv2"], run_in_memory(plan, progress=nothing).maps["conv2"])
    held = [
        zarr.open_array(path.parent, mode="r")
        for path in (tmp_path / "run" / "maps.zarr").rglob("zarr.json")
        if path.is_file() and json.loads(path.read_text())["node_type"] == "array"
    ]
    assert {(one.attrs["layer"], one.attrs["score"]) for one in held} == {("conv1", target), ("conv2", target)}
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


@pytest.mark.parametrize("key", [("m", part, name) for part in ("..", "a.0.b@2", "é/ü") for name in CLASSES], ids=str)
def test_a_key_survives_as_a_path(key: tuple[str, str, str]) -> None:
    parts = arrays.array_name(key).split("/")
    assert tuple(unquote(part) for part in parts) == key
    assert all(part not in ("", ".", "..", "zarr.json") for part in parts)


def test_dotted_layers_of_a_sequence_and_their_grids(tmp_path: Path) -> None:
    inner = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2))
    net = seeded(nn.Sequential(inner, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2)))
    found = run_in_folder(plan_of(images(3), net, layers=["0.0", "0.2"]), tmp_path / "run", progress=nothing)
    assert {layer: maps.shape for layer, maps in found.maps.items()} == {"0.0": (3, 15, 15), "0.2": (3, 7, 7)}
    identity = json.loads((tmp_path / "run" / "manifest.json").read_text())["identity"]
    assert identity["layers"] == {"0.0": "15 x 15", "0.2": "7 x 7"}


# Stopped, killed, resumed.


class StopError(Exception):
    pass


STEPS = [
    (module.arrays, "create_maps", (0, 1)),
    (module.arrays, "write_maps", (0, 1, 3)),
    (module.tables, "publish", (0, 1)),
    (module.tables.durable, "sync_all", (0, 1, 2)),
    (module.tables, "merge", (0, 1)),
    (pages, "mean_maps", (0,)),
    (manifest, "finish", (0,)),
    (module.RunFolder, "remove_parts", (0,)),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, dict[str, str]]:
    """A plan of two shards, and the run folder that it gives when nothing happens."""
    plan = plan_of(images(18, size=8), seeded(FourConv(size=8)))
    folder = tmp_path_factory.mktemp("small")
    run_in_folder(plan, folder, progress=nothing)
    return plan, tree(folder)


@pytest.mark.parametrize(
    ("owner", "name", "count"), [pytest.param(o, n, c, id=f"{n}-{c}") for o, n, counts in STEPS for c in counts]
)
def test_a_run_that_stops_at_any_step_goes_on(
    small: tuple[Plan, dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    count: int,
) -> None:
    plan, straight = small
    real, calls = getattr(owner, name), []

    def stop(*args: Any, **kw: Any) -> Any:
        calls.append(name)
        if len(calls) > count:
            raise StopError
        return real(*args, **kw)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, stop)
        with pytest.raises(StopError):
            run_in_folder(plan, tmp_path / "run", progress=nothing)
    run_in_folder(plan, tmp_path / "run", progress=nothing)
    assert tree(tmp_path / "run") == straight


def test_leftovers_of_a_killed_run_are_removed(photos: Path, tmp_path: Path) -> None:
    run_in_folder(plan_of(photos), tmp_path / "straight", progress=nothing)
    run = tmp_path / "again"

    def stop(done: int, total: int) -> None:
        if done == 16:
            raise StopError

    with pytest.raises(StopError):
        run_in_folder(plan_of(photos), run, progress=stop)
    chunk = next(path for path in (run / "maps.zarr").rglob("*") if path.is_file() and path.parent.name == "0")
    for left in (  # what zarr, parquet, JSON and the pages write under before they rename
        chunk.with_name("1.0123456789abcdef.partial"),
        run / "maps.zarr" / "zarr.0123.partial",
        run / "parts" / "records-000001.parquet.partial",
        run / "records.parquet.partial",
        run / "manifest.json.partial",
        run / "sheet.jpg.partial",
    ):
        left.write_bytes(b"half")
    (run / ".lock").write_text("process 1")
    half = run / "overlays" / plan_of(photos).methods[0] / "cat" / "34.png.jpg"  # of a shard that was not finished
    half.write_bytes(b"half")
    run_in_folder(plan_of(photos), run, progress=nothing)
    assert tree(run) == tree(tmp_path / "straight")
    assert not [path for path in run.rglob("*") if path.suffix == ".partial"]


@pytest.mark.parametrize("left", [0, 1, 2, 3, 4])
def test_arrays_that_were_made_in_part_are_made_whole(tmp_path: Path, left: int) -> None:
    key, whole = ("grad-cam", "conv1", "cat"), tmp_path / "whole"
    arrays.create_maps(whole, key, 3, (2, 2), 2)
    written = sorted(whole.rglob("zarr.json"), key=lambda path: len(path.parts))
    assert len(written) == 4
    shutil.copytree(whole, tmp_path / "part")
    for path in written[left:]:  # a group is written before what it holds
        (tmp_path / "part" / path.relative_to(whole)).unlink()
    arrays.create_maps(tmp_path / "part", key, 3, (2, 2), 2)
    assert tree(tmp_path / "part") == tree(whole)


def test_groups_are_written_before_what_they_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        done = real(self, target)
        held = {path.parent for path in tmp_path.rglob("zarr.json")}
        assert all(path.parent in held or path == tmp_path / "maps.zarr" for path in held)
        seen.append(len(held))
        return done

    monkeypatch.setattr(Path, "replace", replace)
    arrays.create_maps(tmp_path, ("grad-cam", "conv1", "cat"), 3, (2, 2), 2)
    assert sorted(set(seen)) == [1, 2, 3, 4]


def test_a_run_killed_in_its_first_moment_goes_on(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.json.partial").write_bytes(b'{"iden')
    (tmp_path / "run" / ".lock").touch()
    assert len(run_in_folder(plan_of(photos), tmp_path / "run", progress=nothing)) == 37
    assert not (tmp_path / "run" / "manifest.json.partial").exists()


# One process that has imported everything, on one thread, and forks the ones that are killed.
NURSERY = """
import os, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.explanation.test_folder import plan_of, nothing
from seewhy.explanation.folder import run_in_folder
plan = plan_of(Path(sys.argv[1]), batch_size=2)
for moment in sys.stdin:
    pid = os.fork()
    if not pid:
        run_in_folder(plan, Path(sys.argv[2]), progress=nothing)
        os._exit(0)
    time.sleep(float(moment))
    os.kill(pid, signal.SIGKILL)  # one that has ended is not waited for yet, so the number is still its own
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_killed_at_random_moments_and_run_again(photos: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    run_in_folder(plan_of(photos, batch_size=2), tmp_path / "straight", progress=nothing)
    usual = time.monotonic() - start
    moments, ends = random.Random(0), []
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY, photos, tmp_path / "again"], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as nursery:  # fmt: skip
        assert nursery.stdin and nursery.stdout
        for _ in range(4):
            nursery.stdin.write(f"{usual * moments.uniform(0.02, 0.35)}\n")
            nursery.stdin.flush()
            ends.append(int(nursery.stdout.readline()))
        nursery.stdin.close()
    assert -signal.SIGKILL in ends, ends
    run_in_folder(plan_of(photos, batch_size=2), tmp_path / "again", progress=nothing)
    assert tree(tmp_path / "again") == tree(tmp_path / "straight")


def test_a_finished_run_is_opened_without_any_work(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_in_folder(plan_of(photos), tmp_path / "run", progress=nothing)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (tmp_path / "run").rglob("*")}
    monkeypatch.setattr(module, "explain_shard", None)
    again = run_in_folder(plan_of(photos), tmp_path / "run", progress=nothing)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (tmp_path / "run").rglob("*")} == before
    assert again.outcomes == first.outcomes and again.summary() == first.summary()
    np.testing.assert_array_equal(again.maps["conv1"], first.maps["conv1"])


# Workers.


class Dying(FourConv):
    """Ends its process at a batch that starts with a white image, while a file says so."""

    switch: Path

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1 and bool((x[0, :, 0, 0] == 1).all()) and self.switch.exists():
            os._exit(9)
        return super().forward(x)


def test_a_run_whose_worker_died_can_be_resumed(photos: Path, tmp_path: Path) -> None:
    names = [image.id for image in plan_of(photos).table.images]
    PIL.Image.new("RGB", (32, 32), "white").save(photos / names[16])  # the first of the second shard
    net = seeded(Dying())
    net.switch = tmp_path / "deadly"
    run_in_folder(plan_of(photos, net), tmp_path / "straight", workers=2, progress=nothing)
    net.switch.touch()
    with pytest.raises(WorkError, match=r"(?s)A worker died.*What is finished is kept.*--workers 1") as raised:
        run_in_folder(plan_of(photos, net), tmp_path / "run", workers=2, progress=nothing)
    assert (raised.value.slug, raised.value.exit_status) == ("worker-died", 1)
    net.switch.unlink()
    run_in_folder(plan_of(photos, net), tmp_path / "run", workers=2, progress=nothing)
    assert tree(tmp_path / "run") == tree(tmp_path / "straight")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are forked on Linux alone")
def test_nothing_threaded_runs_when_the_command_line_forks(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from tests.models import FourConv, seeded\n\n\ndef net():\n    return seeded(FourConv())\n"
    )
    code = (
        "import os, sys, threading\nfrom seewhy.cli.app import main\n"
        "told = lambda: print('fork', [t.name for t in threading.enumerate()], file=sys.stderr)\n"
        "os.register_at_fork(before=told)\n"
        "main(sys.argv[1:])"
    )
    words = ["explain", str(photos), "--model", "net.py:net", "--workers", "2", "--out", "run"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    forks = [line for line in ran.stderr.splitlines() if line.startswith("fork")]
    assert forks == ["fork ['MainThread']"] * 2


# Other folders, other writers.


def test_a_writer_in_another_process_is_named(photos: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom seewhy.store.manifest import writer\n"
        "with writer(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.readline()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "run"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin and other.stdout and other.stdout.readline() == "held\n"
        for _ in range(2):  # also the third one is told
            with pytest.raises(StoreError, match=f"is being written by process {other.pid}") as raised:
                run_in_folder(plan_of(photos), tmp_path / "run", progress=nothing)
            assert raised.value.slug == "locked"
        other.stdin.write("\n")
    assert len(run_in_folder(plan_of(photos), tmp_path / "run", progress=nothing)) == 37


@pytest.mark.parametrize(
    "content",
    [{"thesis.tex": "x"}, {"manifest.json": "{}"}, {"manifest.json": "not JSON"}, {"manifest.json": "[1]"}],
    ids=["files", "other-manifest", "no-json", "a-list"],
)
def test_a_folder_that_holds_something_else_is_left_alone(
    photos: Path, tmp_path: Path, content: dict[str, str]
) -> None:
    (tmp_path / "run").mkdir()
    for name, text in content.items():
        (tmp_path / "run" / name).write_text(text)
    before = tree(tmp_path / "run")
    with pytest.raises(StoreError, match=r"holds something else|cannot be read|is not a seewhy manifest"):
        run_in_folder(plan_of(photos), tmp_path / "run", progress=nothing)
    assert tree(tmp_path / "run") == before


def test_a_folder_that_cannot_be_written(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    try:
        (tmp_path / "locked" / "probe").touch()
    except OSError:
        with pytest.raises(StoreError, match="cannot be written: Permission denied"):
            run_in_folder(plan_of(photos), tmp_path / "locked" / "run", progress=nothing)
    else:
        pytest.skip("this user may write everywhere (root)")


def test_a_full_disk_is_failed_work_that_goes_on(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module.arrays, "write_maps", full)
        with pytest.raises(WorkError, match=r"Writing to .* failed: No space left on device"):
            run_in_folder(plan_of(photos), tmp_path / "run", progress=nothing)
    assert json.loads((tmp_path / "run" / manifest.NAME).read_text())["status"] == "running"
    assert len(run_in_folder(plan_of(photos), tmp_path / "run", progress=nothing)) == 37


def test_a_new_run_reads_every_file_once_and_its_end_knows_what_was_read(tmp_path: Path) -> None:
    """The first is read once more, before the rest, to see what the network makes of it."""
    home = tmp_path / "photos"
    home.mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(home / f"{number}.png")
    code = (
        "import sys, collections\n"
        "opened = collections.Counter()\n"
        "sys.addaudithook(lambda event, args: event == 'open' and str(args[0]).endswith('.png') and "
        "opened.update([str(args[0]).rpartition('/')[2]]))\n"
        "from seewhy.cli.app import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted(opened.items()), file=sys.stderr)\n"
    )
    words = ["explain", "photos", "--model", "seewhy.learn.net:Net", "--model-arg", "size=32", "--size", "32"]
    ran = subprocess.run(
        [sys.executable, "-c", code, *words, "--workers", "1", "--no-report"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    # The head of each is read beforehand, since it says how deep it is; the picture of mean maps, for its checksum.
    want = "[('0.png', 3), ('1.png', 2), ('2.png', 2), ('3.png', 2), ('mean_maps.png', 1)]"
    assert ran.stderr.splitlines()[-1] == want, ran.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    identity = json.loads((folder / "manifest.json").read_text())["identity"]
    net = seewhy.load("seewhy.learn.net:Net", model_args={"size": 32}, size=32)
    assert identity == manifest.as_json(identity_of(make_plan(net, home)))

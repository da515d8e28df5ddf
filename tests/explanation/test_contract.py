"""The run folder is as promised, survives being stopped, and says the same as the explanation in memory."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
import torch
import zarr

import seewhy
from seewhy.errors import StoreError, WorkError
from seewhy.explanation.folder import run_in_folder
from seewhy.run.plan import Plan, make_plan
from seewhy.store import manifest
from tests.models import FourConv, Pooled, images, seeded
from tests.started import SEEWHY, run_apart, started

QUIET = {"progress": False}


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """40 seeded PNGs of 32 px in class folders, one of them damaged, one named with odd characters."""
    random = np.random.default_rng(0)
    for number in range(40):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        name = 'a "<b>\n.png' if number == 7 else f"{number:02d}.png"
        PIL.Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / name)
    (tmp_path / "photos" / "dog" / "09.png").write_bytes(b"no picture")
    return tmp_path / "photos"


def plan_for(photographs: Path, **options: object) -> Plan:
    return make_plan(seeded(FourConv()), photographs, **{"layers": ["conv1", "conv2"], **options})


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def nothing(done: int, total: int) -> None:
    pass


def test_the_folder_holds_what_the_contract_says(photographs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    found = run_in_folder(plan_for(photographs, target="cat"), run, progress=nothing)
    held = sorted(path.name for path in run.iterdir())
    assert held == [
        "files.json",
        "manifest.json",
        "map_stats.parquet",
        "maps.zarr",
        "mean_maps.png",
        "overlays",
        "records.parquet",
        "sheet.jpg",
    ]
    rows = pq.read_table(run / "records.parquet").to_pylist()
    assert [row["id"] for row in rows] == sorted(row["id"] for row in rows) and len(rows) == 40
    bad = [row for row in rows if row["error"]]
    assert [row["id"] for row in bad] == ["dog/09.png"] and bad[0]["prediction"] is None
    maps = zarr.open_array(run / "maps.zarr", path=f"{found.method}/conv2/cat", mode="r")
    assert maps.shape == (40, 16, 16) and maps.dtype == np.float32
    np.testing.assert_array_equal(maps[:], found.maps["conv2"])
    assert np.isnan(maps[[row["id"] for row in rows].index("dog/09.png")]).all()
    stats = pq.read_table(run / "map_stats.parquet").to_pylist()
    assert len(stats) == 39 * 2 and {stat["layer"] for stat in stats} == {"conv1", "conv2"}
    assert (run / "overlays" / found.method / "cat" / "00.png.jpg").is_file()
    assert json.loads((run / "manifest.json").read_text())["status"] == "complete"


def test_memory_and_folder_agree_and_equal_the_formula(photographs: Path, tmp_path: Path) -> None:
    model = seeded(FourConv())
    options = {"layers": ["conv1", "conv2"], "method": "grad-cam", "target": 1, **QUIET}
    held = seewhy.explain(model, photographs, **options)
    stored = seewhy.explain(model, photographs, out=tmp_path / "run", **options)
    for layer in ("conv1", "conv2"):
        np.testing.assert_array_equal(held.maps[layer], stored.maps[layer])
    assert held.outcomes == stored.outcomes
    one = held["cat/00.png"]
    x = torch.from_numpy(np.asarray(PIL.Image.open(photographs / "cat" / "00.png")).copy()).permute(2, 0, 1)[None] / 255
    activation = model.conv2(model.pool(model.relu(model.conv1(x)))).detach().requires_grad_()
    logit = model.fc(model.pool(model.relu(activation)).flatten(1))[0, 1]
    (gradient,) = torch.autograd.grad(logit, activation)
    want = (gradient.mean((2, 3), keepdim=True) * activation).sum(1)[0].detach().numpy()
    np.testing.assert_allclose(one.maps["conv2"], want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 5, 16])
def test_a_batch_says_what_its_images_say_alone(batch_size: int) -> None:
    x = images(11)
    whole = seewhy.explain(seeded(FourConv()), x, batch_size=batch_size, **QUIET)
    alone = [seewhy.explain(seeded(FourConv()), one[None], **QUIET) for one in x]
    np.testing.assert_allclose(whole.maps, np.concatenate([one.maps for one in alone]), rtol=1e-5, atol=1e-5)
    assert [o.prediction for o in whole.outcomes] == [one[0].prediction for one in alone]


def test_one_or_two_workers_give_the_same_bytes(photographs: Path, tmp_path: Path) -> None:
    plan = plan_for(photographs)
    run_in_folder(plan, tmp_path / "one", workers=1, progress=nothing)
    run_in_folder(plan, tmp_path / "two", workers=2, progress=nothing)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


class StopError(Exception):
    pass


@pytest.mark.parametrize("stop", [16, 32, 40])
def test_stopped_and_run_again_gives_the_same_bytes_and_computes_only_the_rest(
    photographs: Path, tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in_folder(plan_for(photographs), tmp_path / "straight", progress=nothing)

    def stopping(done: int, total: int) -> None:
        if done >= stop:
            raise StopError

    with pytest.raises(StopError):
        run_in_folder(plan_for(photographs), tmp_path / "again", progress=stopping)
    calls: list[int] = []
    from seewhy.explanation import folder

    real = folder.explain_shard
    monkeypatch.setattr(
        folder, "explain_shard", lambda plan, shard, **kw: calls.append(shard.index) or real(plan, shard, **kw)
    )
    run_in_folder(plan_for(photographs), tmp_path / "again", progress=nothing)
    assert tree(tmp_path / "again") == tree(tmp_path / "straight")
    assert calls == list(range(stop // 16 if stop < 40 else 3, 3))
    calls.clear()
    run_in_folder(plan_for(photographs), tmp_path / "again", progress=nothing)
    assert not calls


def test_killed_and_run_again_gives_the_same_bytes(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "import torch\nfrom tests.models import FourConv, seeded\n\n\ndef net():\n    return seeded(FourConv())\n"
    )
    command = [
        "explain", str(photographs), "--model", f"{tmp_path / 'net.py'}:net", "--batch-size", "1", "--workers", "2",
        "--out",
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:{os.environ.get('PYTHONPATH', '')}"}
    subprocess.run(
        [*SEEWHY, *command, str(tmp_path / "straight")], check=True, capture_output=True, env=env, cwd=tmp_path
    )
    for number in range(2):
        with (tmp_path / "said.txt").open("w") as said:
            words = (*command, str(tmp_path / "again"))
            process = started(*words, cwd=tmp_path, env=env, stdout=said, stderr=said, start_new_session=True)
        limit = time.monotonic() + 60
        while len(list((tmp_path / "again" / "parts").glob("records*"))) <= number and process.poll() is None:
            assert time.monotonic() < limit
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert run_apart(*command, str(tmp_path / "again"), cwd=tmp_path, env=env).returncode == 0
    assert tree(tmp_path / "again") == tree(tmp_path / "straight")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "layercam"}, "--method: hirescam there, layercam asked"),
        ({"target": "dog"}, "--target: predicted there, dog asked"),
        ({"layers": ["conv1"]}, "--layers: conv1,conv2 there, conv1 asked"),
        ({"limit": 20}, r"images removed: 20 \(dog/01\.png, "),
    ],
    ids=["method", "target", "layers", "limit"],
)
def test_another_run_in_the_folder_is_refused(
    photographs: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    run_in_folder(plan_for(photographs), tmp_path / "run", progress=nothing)
    before = tree(tmp_path / "run")
    with pytest.raises(StoreError, match=message):
        run_in_folder(plan_for(photographs, **change), tmp_path / "run", progress=nothing)
    assert tree(tmp_path / "run") == before


def test_a_changed_image_is_another_run(photographs: Path, tmp_path: Path) -> None:
    run_in_folder(plan_for(photographs), tmp_path / "run", progress=nothing)
    PIL.Image.new("RGB", (32, 32), "red").save(photographs / "cat" / "00.png")
    with pytest.raises(StoreError, match=r"images changed: 1 \(cat/00\.png\)"):
        run_in_folder(plan_for(photographs), tmp_path / "run", progress=nothing)


def test_a_second_writer_is_told_who_holds_the_folder(photographs: Path, tmp_path: Path) -> None:
    def second(done: int, total: int) -> None:
        manifest._holders.clear()  # as in another process
        run_in_folder(plan_for(photographs), tmp_path / "run", progress=nothing)

    with pytest.raises(StoreError, match=f"is being written by process {os.getpid()}"):
        run_in_folder(plan_for(photographs), tmp_path / "run", progress=second)


class Dying(FourConv):
    """Ends its process when it sees a batch whose first pixel is white."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 1 and bool((x[0, :, 0, 0] == 1).all()):
            os._exit(9)
        return super().forward(x)


def test_a_worker_that_dies_is_an_error_and_the_run_goes_on_later(photographs: Path, tmp_path: Path) -> None:
    names = [image.id for image in plan_for(photographs).table.images]
    PIL.Image.new("RGB", (32, 32), "white").save(photographs / names[32])  # the first of the last shard
    deadly = make_plan(seeded(Dying()), photographs, layers=["conv1", "conv2"], batch_size=4)
    with pytest.raises(WorkError, match=r"(?s)A worker died.*--batch-size"):
        run_in_folder(deadly, tmp_path / "run", workers=2, progress=nothing)
    assert len(list((tmp_path / "run" / "parts").glob("records*"))) <= 2


@pytest.mark.parametrize(("fit", "size"), [("stretch", (24, 24)), ("crop", (24, 24)), ("letterbox", (24, 24))])
def test_the_overlay_lies_on_the_original_photograph(tmp_path: Path, fit: str, size: tuple[int, int]) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    PIL.Image.new("RGB", (60, 40), "grey").save(folder / "turned.jpg", exif=exif)
    PIL.Image.new("RGB", (60, 40), "grey").save(folder / "plain.jpg")
    classifier = seewhy.load(seeded(Pooled()), size=size, fit=fit)
    found = seewhy.explain(classifier, folder, out=tmp_path / "run", **QUIET)
    assert found["turned.jpg"].overlay.size == (40, 60)
    assert found["plain.jpg"].overlay.size == (60, 40)
    with PIL.Image.open(tmp_path / "run" / "overlays" / found.method / "plain.jpg") as picture:
        assert picture.size == (60, 40)


def test_an_explanation_is_found_by_number_name_and_stem(photographs: Path) -> None:
    found = seewhy.explain(seeded(FourConv()), photographs, **QUIET)
    assert len(found) == 40 and found[3].path == found["cat/06.png"].path == found["06.png"].path == found["06"].path
    assert found[-1].row == 39
    with pytest.raises(IndexError, match="no image 40: the explanation has 40"):
        found[40]
    with pytest.raises(seewhy.SeewhyError, match=r"no image '6.pnx'.*Nearest"):
        found["6.pnx"]
    html = found._repr_html_() + found['dog/a "<b>\n.png']._repr_html_()
    assert "<b>\n" not in html and "&lt;b&gt;" in html
    assert found["dog/09.png"].error and found.summary()["without_result"] == 1
    with pytest.raises(seewhy.SeewhyError, match="has no overlay"):
        _ = found["dog/09.png"].overlay


def test_maps_have_the_promised_form() -> None:
    x, model = images(3), seeded(FourConv())
    one = seewhy.explain(model, x, layers="conv1", **QUIET)
    two = seewhy.explain(model, x, layers="conv1,conv2", **QUIET)
    fused = seewhy.explain(model, x, layers="conv1,conv2", preset="pytorch-grad-cam", **QUIET)
    assert one.maps.shape == (3, 32, 32) and one.maps.dtype == np.float32
    assert list(two.maps) == ["conv1", "conv2"] and two.maps["conv2"].shape == (3, 16, 16)
    assert fused.maps.shape == (3, 32, 32) and fused.maps.min() >= 0 and fused.maps.max() < 1
    assert two[1].overlay.size == (68, 32) and fused[1].overlay.size == (32, 32)
    assert (one.maps < 0).any(), "raw maps are signed"


def test_tensors_bytes_lists_and_datasets_agree(photographs: Path) -> None:
    paths = sorted((photographs / "cat").iterdir())[:5]
    pixels = torch.stack([torch.from_numpy(np.asarray(PIL.Image.open(path)).copy()).permute(2, 0, 1) for path in paths])
    model = seeded(FourConv())
    data = torch.utils.data.TensorDataset(pixels.float() / 255, torch.arange(5) % 2)
    forms = [paths, pixels, pixels.float() / 255, data, photographs / "cat"]
    found = [seewhy.explain(model, form, target=0, limit=5, **QUIET).maps for form in forms]
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])


def test_progress_counts_to_the_end(photographs: Path) -> None:
    seen: list[tuple[int, int]] = []
    seewhy.explain(seeded(FourConv()), photographs, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (40, 40) and [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_mean_maps_are_those_of_known_maps(photographs: Path, tmp_path: Path) -> None:
    from seewhy.explanation.sheets import _mean_tiles

    found = seewhy.explain(seeded(FourConv()), photographs, layers="conv2", target="cat", **QUIET)
    groups = [None if o.error else o.image.label for o in found.outcomes]
    tiles = {tile.caption[0]: tile for tile in _mean_tiles(found, found.keys[0], "conv2", groups)}
    assert set(tiles) == {"cat", "dog"} and "n = 20" in tiles["cat"].caption[1] and "n = 19" in tiles["dog"].caption[1]
    kept = [found.maps[row].clip(0) for row, group in enumerate(groups) if group == "cat"]
    want = np.mean([one / one.mean() for one in kept], axis=0)
    assert tiles["cat"].caption[2] == f"peak x {want.max():.1f}"


def test_nan_from_the_network_is_a_row() -> None:
    class Sometimes(FourConv):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = super().forward(x)
            return torch.where(x.mean((1, 2, 3))[:, None] > 0.9, torch.full_like(out, float("nan")), out)

    x = images(4)
    x[2] = 0.99
    found = seewhy.explain(seeded(Sometimes()), x, layers="conv2", **QUIET)
    assert [o.error is None for o in found.outcomes] == [True, True, False, True]
    assert "NaN" in (found[2].error or "") and np.isnan(found.maps[2]).all() and np.isfinite(found.maps[3]).all()

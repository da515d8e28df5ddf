"""Damage to a finished run is named before anything is shown of it: flipped bits, cut, emptied and removed files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import seewhy
from seewhy.cli.app import main
from seewhy.errors import StoreError
from seewhy.explanation.folder import run_in_folder
from seewhy.run.plan import Plan, make_plan
from seewhy.store import arrays, checksums, manifest
from seewhy.store.tables import read_digests
from tests.models import FourConv, seeded

DAMAGES = {
    "flipped": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :],
    "cut": lambda data: data[: len(data) // 2],
    "emptied": lambda data: b"",
    "removed": None,
}


def nothing(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("photos")
    for number in range(20):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        (home / "ab"[number % 2]).mkdir(exist_ok=True)
        PIL.Image.fromarray(pixels).save(home / "ab"[number % 2] / f"{number:02d}.png")
    return home


@pytest.fixture(scope="module")
def finished(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "run"
    run_in_folder(plan_of(photos), run, progress=nothing)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def plan_of(photos: Path) -> Plan:
    return make_plan(seeded(FourConv()), photos, layers=["conv1", "conv2"], method="grad-cam")


def files_of(run: Path) -> list[str]:
    paths = [path for path in run.rglob("*") if path.is_file() and path.name != ".lock"]
    return sorted(path.relative_to(run).as_posix() for path in paths)


@pytest.mark.parametrize("kind", DAMAGES)
def test_every_damage_to_every_file_is_named(photos: Path, run: Path, kind: str) -> None:
    names = files_of(run)
    assert {"manifest.json", "files.json", "records.parquet", "sheet.jpg"} <= set(names) and len(names) > 30
    for name in names:
        before, damage = (run / name).read_bytes(), DAMAGES[kind]
        if damage is None:
            (run / name).unlink()
        else:
            (run / name).write_bytes(damage(before))
        with pytest.raises(StoreError) as raised:
            checksums.check(run, manifest.read_manifest(run))
        assert name in str(raised.value), (name, str(raised.value))
        (run / name).write_bytes(before)
    assert checksums.damages(run, manifest.read_manifest(run)) == []


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", ["records.parquet", "maps.zarr/grad-cam/conv1/predicted/c/1/0/0", "overlays"])
def test_the_same_command_and_the_report_refuse_it(photos: Path, run: Path, kind: str, name: str) -> None:
    path = run / name if name != "overlays" else next(path for path in (run / name).rglob("*.jpg"))
    damage = DAMAGES[kind]
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    for again in (lambda: run_in_folder(plan_of(photos), run, progress=nothing), lambda: seewhy.write_report(run)):
        with pytest.raises(StoreError, match=r"is damaged; 1 file is not as written") as raised:
            again()
        assert raised.value.slug == "damaged-run" and path.relative_to(run).as_posix() in str(raised.value)


def test_a_flipped_bit_in_a_map_is_never_another_number(run: Path) -> None:
    chunk = run / "maps.zarr" / "grad-cam" / "conv2" / "predicted" / "c" / "0" / "0" / "0"
    chunk.write_bytes(DAMAGES["flipped"](chunk.read_bytes()))
    with pytest.raises(ValueError, match="checksum"):
        arrays.read_maps(run, ("grad-cam", "conv2", "predicted"))


def test_verify_says_all_is_well_or_what_is_not(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(run)])
    assert not ended.value.code and "Every file is as it was written" in capsys.readouterr().out
    (run / "sheet.jpg").write_bytes(b"")
    (run / "mean_maps.png").unlink()
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(run)])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and "sheet.jpg has 0 bytes where" in said and "mean_maps.png is missing" in said
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(run), "--json"])
    assert ended.value.code == 1 and len(json.loads(capsys.readouterr().out)["damages"]) == 2


def test_pages_are_no_part_of_it_and_files_of_others_do_not_count(run: Path) -> None:
    seewhy.write_report(run)
    (run / "notes.txt").write_text("mine")
    assert checksums.damages(run, manifest.read_manifest(run)) == []


def test_a_bit_flipped_anywhere_in_a_part_leaves_its_digests_out_or_as_they_were(
    finished: Path, tmp_path: Path
) -> None:
    whole = (finished / "records.parquet").read_bytes()
    known = read_digests(finished)
    (tmp_path / "parts").mkdir()
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        (tmp_path / "parts" / "records-000000.parquet").write_bytes(flipped)
        digests = read_digests(tmp_path)
        assert not digests or digests == known, place


@pytest.mark.parametrize("damage", ["emptied", "flipped"])
@pytest.mark.parametrize("what", ["chunk", "part", "both parts", "description", "overlay"])
def test_what_an_unfinished_run_has_lost_is_made_again(
    photos: Path, finished: Path, tmp_path: Path, what: str, damage: str
) -> None:
    if damage == "flipped" and what in ("description", "overlay"):
        pytest.skip("these have no checksum before the run is finished")

    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done >= 16:
            raise StopError

    run = tmp_path / "run"
    with pytest.raises(StopError):
        run_in_folder(plan_of(photos), run, progress=stop)
    lost = {
        "chunk": ["maps.zarr/grad-cam/conv1/predicted/c/0/0/0"],
        "part": ["parts/records-000000.parquet"],
        "both parts": ["parts/records-000000.parquet", "parts/map_stats-000000.parquet"],
        "description": ["maps.zarr/grad-cam/conv1/predicted/zarr.json", "maps.zarr/grad-cam/zarr.json"],
        "overlay": [min(path.relative_to(run).as_posix() for path in (run / "overlays").rglob("*") if path.is_file())],
    }[what]
    for name in lost:
        assert (run / name).stat().st_size
        (run / name).write_bytes(b"" if damage == "emptied" else DAMAGES["flipped"]((run / name).read_bytes()))
    run_in_folder(plan_of(photos), run, progress=nothing)
    held = {name: (run / name).read_bytes() for name in files_of(run)}
    assert held == {name: (finished / name).read_bytes() for name in files_of(finished)}


@pytest.mark.parametrize("left", [b"", b"\0" * 400])
def test_a_manifest_that_is_lost_makes_a_new_run_of_none_of_the_old_parts(
    photos: Path, finished: Path, tmp_path: Path, left: bytes
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    run = tmp_path / "run"
    (run / "manifest.json").write_bytes(left)
    (run / "overlays" / "grad-cam" / "strange.jpg").write_bytes(b"of another run")
    run_in_folder(plan_of(photos), run, progress=nothing)
    assert files_of(run) == files_of(finished)

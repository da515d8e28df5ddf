"""Networks, files and folders that misbehave: each is told as what it is, and costs nothing but itself."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import zarr
from torch import Tensor, nn

import seewhy
from seewhy.data.networks.weights import load_weights
from seewhy.data.pictures.decode import UnreadableError, file_digest, read_photograph
from seewhy.data.sources.folder import read_table
from seewhy.errors import DataError, ModelError, StoreError, WeightsError
from seewhy.explanation.folder import run_in_folder
from seewhy.run.plan import make_plan
from seewhy.store import manifest
from tests.models import FourConv, Pooled, seeded
from tests.started import run_apart


def nothing(done: int, total: int) -> None:
    pass


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        pixels[0, 0] = 255 if number == 7 else 100
        PIL.Image.fromarray(pixels).save(tmp_path / "photos" / f"{number:02d}.png")
    return tmp_path / "photos"


class Leaves(FourConv):
    def forward(self, x: Tensor) -> Tensor:
        sys.exit(0)


class Reads(FourConv):
    def forward(self, x: Tensor) -> Tensor:
        Path("no-such-file").read_bytes()
        return super().forward(x)


class Moves(FourConv):
    def forward(self, x: Tensor) -> Tensor:
        os.chdir("/")
        return super().forward(x)


class Fails(FourConv):
    """Fails on an image whose first pixel is white."""

    def forward(self, x: Tensor) -> Tensor:
        if bool((x[:, :, 0, 0] > 0.99).all(dim=1).any()):
            raise RuntimeError("a white corner")
        return super().forward(x)


class Counts(Pooled):
    """Writes to a buffer and an attribute, and answers by them."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        self.seen += 1
        return super().forward(x) + self.seen + self.passes


@pytest.mark.parametrize(("kind", "said"), [(Leaves, "SystemExit: 0"), (Reads, "FileNotFoundError")])
def test_a_network_that_leaves_or_reads_is_told_as_that(
    photos: Path, tmp_path: Path, kind: type[nn.Module], said: str
) -> None:
    with pytest.raises(ModelError, match=said) as raised:
        seewhy.explain(seeded(kind()), photos, out=tmp_path / "run", progress=False)
    assert raised.value.slug == "network-failed"


def test_the_working_folder_is_put_back(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seewhy.explain(seeded(Moves()), "photos", layers="conv1", out="run", progress=False)
    assert Path.cwd() == tmp_path and (tmp_path / "run" / "manifest.json").exists()


@pytest.mark.parametrize("batch_size", [1, 5, 12])
def test_an_image_on_which_the_network_fails_is_a_row_with_the_reason(photos: Path, batch_size: int) -> None:
    found = seewhy.explain(seeded(Fails()), photos, layers="conv1", batch_size=batch_size, progress=False)
    errors = {outcome.image.id: outcome.error for outcome in found.outcomes if outcome.error}
    assert errors == {"07.png": "the network failed: RuntimeError: a white corner"}
    plain = seewhy.explain(seeded(FourConv()), photos, layers="conv1", batch_size=batch_size, progress=False)
    kept = [row for row in range(12) if row != 7]
    assert np.abs(found.maps[kept] - plain.maps[kept]).max() <= 1e-6 and np.isnan(found.maps[7]).all()


def test_check_has_a_row_with_the_reason_for_an_image_on_which_the_network_fails(photos: Path) -> None:
    for batch_size in (1, 5, 12):
        check = seewhy.check(seeded(Fails()), photos, batch_size=batch_size, progress=False)
        errors = {row.image.id: row.error for row in check.passes.outcomes() if row.error}
        assert errors == {"07.png": "the network failed: RuntimeError: a white corner"}


def test_an_error_of_the_users_own_code_is_told_with_its_file_and_line(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.conv = nn.Conv2d(3, 2, 3)\n\n    def forward(self, x):\n        return self.conf(x)\n"
    )
    typed = ["explain", str(photos), "--model", "net.py:Net", "--no-report", "--out", "run"]
    ran = run_apart(*typed, cwd=tmp_path)
    assert ran.returncode in (1, 2) and "has no attribute 'conf'" in ran.stderr
    assert "Traceback" not in ran.stderr and "Unexpected" not in ran.stderr


class Late(Pooled):
    """Writes to a buffer and to a number once it is asked for several images."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = super().forward(x) + self.seen + self.calls
        if len(x) > 1:
            self.seen += 1
            self.calls += 1
        return logits


def test_what_is_written_by_later_passes_is_put_back_too(photos: Path) -> None:
    model = seeded(Late())
    one = seewhy.explain(model, photos, batch_size=6, progress=False)
    assert float(model.seen) == 0 and model.calls == 0
    two = seewhy.explain(model, photos, batch_size=6, progress=False)
    assert [row.logits for row in one.outcomes] == [row.logits for row in two.outcomes]


class Keeps(Pooled):
    """Keeps what it saw last in a tuple, and has a number that is none."""

    def __init__(self) -> None:
        super().__init__()
        self.last: tuple[Tensor, ...] = (torch.zeros(3),)
        self.limit = float("nan")

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = super().forward(x)
        self.last = (logits.detach(), x.detach())
        return logits


def test_a_network_that_keeps_tensors_runs_as_any_other(photos: Path) -> None:
    model = seeded(Keeps())
    kept = model.last
    explanation = seewhy.explain(model, photos, progress=False)
    plain = seewhy.explain(seeded(Pooled()), photos, progress=False)
    assert [row.logits for row in explanation.outcomes] == [row.logits for row in plain.outcomes]
    assert model.last is kept
    assert not any("Keeps.limit" in note for note in explanation.notes)


def test_what_a_forward_pass_writes_is_put_back_and_said(photos: Path) -> None:
    model = seeded(Counts())
    found = seewhy.explain(model, photos, layers="act", batch_size=5, progress=False)
    assert model.passes == 0 and float(model.seen) == 0
    assert any("changes Counts.passes, Counts.seen" in note for note in found.notes)
    alone = seewhy.explain(model, photos, layers="act", batch_size=1, progress=False)
    assert model.passes == 0 and len(alone) == 12


def test_the_first_call_leaves_every_random_state(tmp_path: Path) -> None:
    code = (
        "import random, numpy, torch, seewhy\n"
        "from torch import nn\n"
        "net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))\n"
        "x = torch.rand(2, 3, 32, 32)\n"
        "before = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()\n"
        "seewhy.explain(net, x, progress=False)\n"
        "after = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()\n"
        "print([a == b for a, b in zip(before, after)])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert ran.stdout.strip() == "[True, True, True]"


LEAVING = """
import os, sys
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        {init}
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, x):
        {forward}
        return self.conv(x).relu().mean((2, 3))


def prepare(image):
    {prepare}


def own_cam(scene):
    {cam}
"""


EXEC = "os.execvp(sys.executable, [sys.executable, '-c', ''])"


@pytest.mark.parametrize("call", ["sys.exit(0)", "os._exit(0)", EXEC])
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("init", []),
        ("forward", []),
        ("prepare", ["--preprocess", "net.py:prepare"]),
        ("cam", ["--method", "net.py:own_cam"]),
    ],
)
def test_code_that_ends_the_program_does_so_with_words(
    photos: Path, tmp_path: Path, call: str, place: str, words: list[str]
) -> None:
    others = dict.fromkeys(("init", "forward", "prepare", "cam"), "pass")
    (tmp_path / "net.py").write_text(LEAVING.format(**{**others, place: call}))
    typed = ["explain", str(photos), "--model", "net.py:Net", *words, "--no-report", "--out", "run"]
    ran = run_apart(*typed, cwd=tmp_path)
    assert ran.returncode in (1, 2)
    said = {"sys.exit(0)": "SystemExit: 0", "os._exit(0)": "os._exit(0) in", EXEC: "net.py, line"}[call]
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr and "Unexpected" not in ran.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_pass_that_forks_leaves_one_process_that_goes_on(photos: Path, tmp_path: Path, workers: str) -> None:
    others = dict.fromkeys(("init", "forward", "prepare", "cam"), "pass")
    runs = []
    for forward in ("pass", "os.fork() or self.conv(x)[99]", "os.fork()"):
        home = tmp_path / str(len(runs))
        home.mkdir()
        (home / "net.py").write_text(LEAVING.format(**{**others, "forward": forward, "init": "torch.manual_seed(0)"}))
        words = ["explain", str(photos), "--model", "net.py:Net", "--no-report", "--workers", workers, "--out", "run"]
        runs.append(
            run_apart(
                *words,
                cwd=home,
                env={**os.environ, "OMP_NUM_THREADS": "1"},  # a forked copy has none of a team's other threads
            )
        )
    stores = [zarr.open_group(tmp_path / str(number) / "run" / "maps.zarr", mode="r") for number in range(len(runs))]
    maps = [[at[:] for _, at in store.members(max_depth=None) if isinstance(at, zarr.Array)] for store in stores]
    assert maps[0] and all(len(other) == len(maps[0]) for other in maps)
    assert all(np.array_equal(at, want) for other in maps for at, want in zip(other, maps[0], strict=True))
    assert [ran.returncode for ran in runs] == [0, 0, 0]
    assert all(("forks the process" in ran.stderr) == (number > 0) for number, ran in enumerate(runs))
    assert len({ran.stdout.count("\n") for ran in runs}) == 1


def test_an_image_that_the_preprocessing_function_cannot_take_is_a_row_with_the_reason(photos: Path) -> None:
    def prepare(image: PIL.Image.Image) -> Tensor:
        if image.getpixel((0, 0)) == (255, 255, 255):
            raise OSError("no profile")
        return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255

    classifier = seewhy.load(seeded(FourConv()), preprocess=prepare)
    explanation = seewhy.explain(classifier, photos, progress=False)
    errors = [outcome.error for outcome in explanation.outcomes]
    assert errors[7] == "the preprocessing function failed: OSError: no profile"
    assert [row for row, error in enumerate(errors) if error] == [7]


def test_json_stays_json_where_the_network_prints_past_python(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "import os\nfrom torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.conv = nn.Conv2d(3, 2, 3)\n\n"
        "    def forward(self, x):\n        os.write(1, b'loud\\n')\n        print('loud')\n"
        "        return self.conv(x).relu().mean((2, 3))\n"
    )
    words = ["explain", str(photos), "--model", "loud.py:Net", "--json", "--no-report", "--out", "run"]
    ran = run_apart(*words, cwd=tmp_path)
    assert ran.returncode == 0 and json.loads(ran.stdout)["command"] == "explain" and "loud" in ran.stderr


def test_a_postscript_file_named_like_a_picture_starts_no_program(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\nshowpage\n")
    with pytest.raises(UnreadableError, match="no image format that can be read"):
        read_photograph(tmp_path / "a.jpg")


@pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="this system has no files without an end")
def test_files_without_an_end_are_read_no_further_than_they_said(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("/proc/self/pagemap")
    with pytest.raises(UnreadableError, match="holds more than the 0 bytes"):
        read_photograph(tmp_path / "a.jpg")
    assert file_digest(tmp_path / "a.jpg")
    os.mkfifo(tmp_path / "weights.pt")
    for path in (tmp_path / "weights.pt", Path("/dev/zero")):
        with pytest.raises(WeightsError, match="no regular file"):
            load_weights(FourConv(), path)


def test_a_picture_beside_a_folder_that_is_called_like_its_overlay(photos: Path, tmp_path: Path) -> None:
    (photos / "01.png.jpg").mkdir()
    PIL.Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(photos / "01.png.jpg" / "x.png")
    run_in_folder(make_plan(seeded(FourConv()), photos, layers=["conv1"]), tmp_path / "run", progress=nothing)
    assert len(list((tmp_path / "run" / "overlays").rglob("*.jpg"))) == 13


def test_a_finished_run_on_a_disk_that_is_only_read_is_opened(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(seeded(FourConv()), photos, layers=["conv1"])
    run_in_folder(plan, tmp_path / "run", progress=nothing)

    def refuse(self: Any, *args: Any, **options: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert len(run_in_folder(plan, tmp_path / "run", progress=nothing)) == 12
    with pytest.raises(StoreError, match="Read-only"), manifest.writer(tmp_path / "new"):
        pass


def test_a_folder_that_cannot_be_looked_into_is_said(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (photos / "closed").mkdir()
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert any("1 folders cannot be looked into" in note for note in read_table(photos).notes)


def test_a_nul_byte_in_a_table_is_said(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(b"path,label\na.png,cat\nb\0.png,dog\n")
    with pytest.raises(DataError, match="NUL byte in line 3"):
        read_table(tmp_path / "list.csv")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda weight: weight.to_sparse(), "sparse"),
        (lambda weight: weight.to(torch.complex64), "complex"),
        (lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8), "quantised"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_weights_of_another_kind_are_refused(tmp_path: Path, change: Any, said: str) -> None:
    state = seeded(FourConv()).state_dict()
    name = next(iter(state))
    torch.save({**state, name: change(state[name])}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=f"holds {said} numbers for {name}"):
        load_weights(FourConv(), tmp_path / "w.pt")


def test_weights_with_a_flipped_bit_are_refused(tmp_path: Path) -> None:
    model = FourConv()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    data = bytearray((tmp_path / "w.pt").read_bytes())
    data[data.index(model.fc.weight.detach().numpy().tobytes()[:64]) + 3] ^= 1
    (tmp_path / "w.pt").write_bytes(bytes(data))
    with pytest.raises(WeightsError, match=r"is damaged: .* is not as written"):
        load_weights(model, tmp_path / "w.pt")


def test_whole_numbers_as_weights_are_said(tmp_path: Path) -> None:
    state = seeded(FourConv()).state_dict()
    name = next(iter(state))
    torch.save({**state, name: (state[name] * 100).long()}, tmp_path / "w.pt")
    assert "w.pt holds int64 numbers where the network has float32: cast." in load_weights(
        FourConv(), tmp_path / "w.pt"
    )


class Collects(Pooled):
    """Keeps what it saw in a list and a dict, and makes a third anew."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = [torch.zeros(1)]
        self.by_size: dict[int, Tensor] = {}
        self.last: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        self.by_size[len(x)] = x
        self.last = [x]
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(1)
        logits: Tensor = super().forward(x)
        return logits


def test_lists_dicts_and_settings_that_a_forward_pass_changes_are_put_back(photos: Path) -> None:
    model, threads = seeded(Collects()), torch.get_num_threads()
    holders = (model.seen, model.by_size, model.last)
    content = [list(model.seen), dict(model.by_size), list(model.last)]
    explanation = seewhy.explain(model, photos, progress=False)
    assert torch.get_default_dtype() == torch.float32 and torch.get_num_threads() == threads
    assert all(now is before for now, before in zip((model.seen, model.by_size, model.last), holders, strict=True))
    assert [len(holder) for holder in holders] == [len(held) for held in content] and model.seen[0] is content[0][0]
    assert any("Collects.seen" in note and "put back" in note for note in explanation.notes)


class Hooks(Pooled):
    """Hangs another hook and another submodule onto itself in every pass, and one hook onto a layer of torch."""

    def forward(self, x: Tensor) -> Tensor:
        self.act.register_forward_hook(lambda module, inputs, output: output * 1.5)
        self.register_forward_pre_hook(lambda module, inputs: None)
        self.add_module(f"extra{len(self._modules)}", nn.Identity())
        logits: Tensor = super().forward(x)
        return logits


def test_hooks_and_submodules_that_a_forward_pass_adds_are_taken_off_again(photos: Path) -> None:
    model = seeded(Hooks())
    calls: list[int] = []
    handle = model.act.register_forward_hook(lambda module, inputs, output: calls.append(1))
    names, hooks = list(model._modules), dict(model.act._forward_hooks)
    explanation = seewhy.explain(model, photos, progress=False)
    assert list(model._modules) == names and model.act._forward_hooks == hooks and not model._forward_pre_hooks
    assert calls and any("Hooks.modules" in note and "put back" in note for note in explanation.notes)
    handle.remove()
    assert not model.act._forward_hooks


class Learns(Pooled):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.fc.weight.mul_(0.9)
        logits: Tensor = super().forward(x)
        return logits


def test_a_network_that_changes_its_weights_in_eval_mode_is_refused(photos: Path) -> None:
    with pytest.raises(
        ModelError, match=r"changes its own weights, also in eval mode: \w+\.weight(.|\n)*self.training"
    ):
        seewhy.explain(seeded(Learns()), photos, progress=False)

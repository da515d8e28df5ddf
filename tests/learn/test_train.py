"""Training: the plain loop to the bit, resuming to the bit, and what it says when something does not fit."""

from __future__ import annotations

import csv
import pickle
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy.data.networks.classifier import Classifier, load
from seewhy.data.sources.folder import read_table
from seewhy.errors import DataError, ModelError, OptionError, WeightsError, WorkError
from seewhy.learn.net import Net
from seewhy.learn.train import epoch as passes
from seewhy.learn.train.job import batches_of
from seewhy.learn.train.splits import choose_splits
from seewhy.learn.train.train import Training, train

CHECKPOINT = Path(__file__).parents[2].parent / "shared" / "data" / "rvf" / "model_4.pt"
SMALL = {"epochs": 1, "batch_size": 8, "device": "cpu"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def draw(path: Path, red: bool, rng: np.random.Generator, size: int = 32) -> Path:
    """A noisy picture with a red or a blue patch at a random place."""
    pixels = rng.integers(60, 130, (size, size, 3)).astype(np.uint8)
    top, left = rng.integers(0, size - 14, 2)
    pixels[top : top + 14, left : left + 14] = (210, 40, 40) if red else (40, 40, 210)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)
    return path


def folder_of(root: Path, splits: dict[str, int], classes: tuple[str, ...] = ("blue", "red")) -> Path:
    rng = np.random.default_rng(0)
    for split, count in splits.items():
        for name in classes:
            for number in range(count):
                draw(root / split / name / f"{number:03d}.png", name == "red", rng)
    return root


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "data", {"train": 14, "valid": 5})


@pytest.fixture
def net() -> Net:
    torch.manual_seed(1)
    return Net(size=32)


class OneLogit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


class OwnConv(nn.Conv2d):
    """A layer of one's own that holds its weights itself."""


class Owned(nn.Module):
    """A parameter and a buffer that no module of torch holds."""

    seen: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = OwnConv(3, 4, 3), nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.ones(4))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen += len(x)
        return self.fc(self.conv(x).relu().mean((2, 3)) * self.scale)


class Noisy(nn.Module):
    """A network with every source of trouble for resuming: dropout, batch norm and Python's own random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 5, stride=3)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.4)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.norm(self.conv(x)).relu())
        if self.training:
            x = x * (1 + 0.1 * random.random())
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class Doomed(Net):
    """Gives NaN in training mode from a given pass on."""

    def __init__(self, good: int) -> None:
        super().__init__(size=32)
        self.left = good

    def forward(self, x: Tensor) -> Tensor:
        self.left -= self.training
        return super().forward(x) * (float("nan") if self.left < 0 else 1.0)


def random_states() -> tuple[Any, ...]:
    numpy_state = np.random.mtrand._rand.get_state()
    return torch.get_rng_state().tolist(), random.getstate(), pickle.dumps(numpy_state)


def weights_of(training: Training, epoch: int) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(training.folder / f"model_{epoch}.pt", weights_only=True)
    return state


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def tensors(paths: list[Path]) -> Tensor:
    return torch.stack([torch.from_numpy(np.array(PIL.Image.open(p))).permute(2, 0, 1).float() / 255 for p in paths])


# The network


@pytest.mark.skipif(not CHECKPOINT.exists(), reason=f"the tutorial's checkpoint is not at {CHECKPOINT}")
def test_net_has_the_keys_and_shapes_of_the_tutorials_checkpoint() -> None:
    state = torch.load(CHECKPOINT, map_location="cpu", weights_only=True)
    net = Net()
    assert list(net.state_dict()) == list(state)
    net.load_state_dict(state)
    assert net.fc.in_features == 2048
    assert net(torch.zeros(1, 3, 256, 256)).shape == (1, 2)


def test_net_file_stands_alone_next_to_the_users_data(tmp_path: Path) -> None:
    source = Path(sys.modules[Net.__module__].__file__ or "").read_text()
    assert "seewhy" not in source
    (tmp_path / "net.py").write_text(source)
    assert type(load(f"{tmp_path / 'net.py'}:Net", model_args={"size": 32}).model).__name__ == "Net"


@pytest.mark.parametrize("size", [0, 8, 40, -16])
def test_net_says_which_sizes_it_can_have(size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        Net(size=size)


# What is learned


def test_learns_a_separable_set_and_leaves_everything_as_found(tmp_path: Path, net: Net) -> None:
    data = folder_of(tmp_path / "data", {"train": 40, "valid": 20})
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    torch.manual_seed(5)
    random.seed(5)
    states = random_states()
    seen: list[tuple[int, int]] = []
    options: dict[str, Any] = {"epochs": 8, "batch_size": 8, "rate": 3e-3, "device": "cpu"}
    training = train(net, data, out=tmp_path / "c", progress=lambda *step: seen.append(step), **options)
    assert training.summary()["valid_accuracy"] > 0.95
    assert training.classes == ("blue", "red")
    assert same(before, net.state_dict())
    assert net.training
    assert all(p.grad is None for p in net.parameters())
    assert random_states() == states
    assert seen[-1][0] == seen[-1][1] == 120 + 8 * (2 * 80 + 40)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize(("asked", "shown"), [({}, True), ({"progress": True}, True), ({"progress": False}, False)])
def test_a_bar_is_shown_where_there_is_a_terminal(
    asked: dict[str, Any],
    shown: bool,
    tmp_path: Path,
    data: Path,
    net: Net,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, as rich sees it
    train(net, data, out=tmp_path / "c", **SMALL, **asked)
    said = capsys.readouterr()
    assert ("Training" in said.err) is shown and said.out == ""


def test_weights_of_another_epoch_are_another_training(tmp_path: Path, data: Path, net: Net) -> None:
    first = train(net, data, out=tmp_path / "first", **{**SMALL, "epochs": 2})
    options = {**SMALL, "weights": first.folder, "out": tmp_path / "second"}
    train(net, data, epoch=0, **options)
    with pytest.raises(OptionError, match=r"another training; these differ:\n  --epoch: 0 there, 1 asked"):
        train(net, data, epoch=1, resume=True, **options)


def test_one_epoch_is_the_plain_loop_to_the_bit(tmp_path: Path, data: Path, net: Net) -> None:
    training = train(net, data, rate=1e-2, seed=3, out=tmp_path / "c", **SMALL)
    paths = sorted((data / "train").rglob("*.png"))
    inputs, targets = tensors(paths), torch.tensor([int(path.parent.name == "red") for path in paths])
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    net.train()
    for places in batches_of(len(paths), 8, 3, 0):
        loss = functional.cross_entropy(net(inputs[places]), targets[places])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert same(weights_of(training, 0), net.state_dict())
    net.eval()
    with torch.no_grad():
        losses = functional.cross_entropy(net(inputs), targets, reduction="none")
    assert training.history[0].loss == pytest.approx(losses.double().mean().item(), abs=1e-6)


@pytest.mark.parametrize(("n", "size"), [(28, 8), (17, 8), (5, 8), (9, 1), (1, 4)])
def test_batches_hold_every_image_once_and_none_is_left_alone(n: int, size: int) -> None:
    batches = batches_of(n, size, seed=0, epoch=0)
    assert sorted(place for batch in batches for place in batch) == list(range(n))
    assert batches == batches_of(n, size, 0, 0)
    assert size == 1 or n == 1 or min(map(len, batches)) > 1
    assert n == 1 or batches != batches_of(n, size, 0, 1)
    assert n == 1 or batches != batches_of(n, size, 1, 0)


def test_one_logit_learns_that_above_zero_is_the_second_class(tmp_path: Path, data: Path) -> None:
    torch.manual_seed(0)
    training = train(OneLogit(), data, epochs=30, batch_size=8, rate=2e-2, out=tmp_path / "c", device="cpu")
    assert training.summary()["valid_accuracy"] > 0.95
    assert any("above 0 means 'red'" in note for note in training.notes)
    classifier = load(OneLogit(), training.folder / f"model_{training.best_epoch}.pt")
    reds = tensors(sorted((data / "valid" / "red").iterdir()))
    assert (classifier.model.eval()(reds) > 0).all()


def test_weights_and_buffers_of_modules_of_ones_own_are_learned_and_kept(tmp_path: Path, data: Path) -> None:
    network = Owned()
    train(network, data, epochs=1, rate=0.01, out=tmp_path / "out", progress=False)
    learned = torch.load(tmp_path / "out" / "Owned" / "model_0.pt", weights_only=True)
    before = network.state_dict()
    assert set(learned) == {"scale", "seen", "conv.weight", "conv.bias", "fc.weight", "fc.bias"}
    assert all(not torch.equal(learned[name], before[name]) for name in learned)


def test_frozen_parameters_stay(tmp_path: Path, data: Path, net: Net) -> None:
    net.conv1.requires_grad_(False)
    state = weights_of(train(net, data, out=tmp_path / "c", **SMALL), 0)
    assert torch.equal(state["conv1.weight"], net.conv1.weight)
    assert not torch.equal(state["conv2.weight"], net.conv2.weight)
    net.requires_grad_(False)
    with pytest.raises(ModelError, match="no parameter to train"):
        train(net, data, out=tmp_path / "d", **SMALL)


def test_a_named_network_begins_from_the_seed_or_from_given_weights(tmp_path: Path, data: Path) -> None:
    options: dict[str, Any] = {**SMALL, "model_args": {"size": 32}}
    spec = "seewhy.learn.net:Net"
    first = weights_of(train(spec, data, out=tmp_path / "a", **options), 0)
    torch.rand(7)
    again = train(spec, data, out=tmp_path / "b", **options)
    assert same(first, weights_of(again, 0))
    assert not any("No weights" in note for note in again.notes)
    assert not same(first, weights_of(train(spec, data, out=tmp_path / "c", seed=1, **options), 0))
    further = train(spec, data, out=tmp_path / "d", weights=tmp_path / "a", rate=1e-12, **options)
    assert torch.allclose(weights_of(further, 0)["fc.weight"], first["fc.weight"])


# Going on, and stopping


@pytest.mark.parametrize("kept", [2**30, 20_000], ids=["in memory", "decoded anew"])
def test_two_epochs_and_two_more_are_four_to_the_bit(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(passes, "MOST_KEPT_BYTES", kept)
    torch.manual_seed(0)
    model = Noisy()
    options: dict[str, Any] = {"batch_size": 8, "rate": 1e-2, "device": "cpu"}
    whole = train(model, data, epochs=4, out=tmp_path / "whole", **options)
    train(model, data, epochs=2, out=tmp_path / "parts", **options)
    torch.rand(3)
    random.random()
    parts = train(Noisy(), data, epochs=4, out=tmp_path / "parts", resume=True, **options)
    assert parts.history == whole.history
    for epoch in range(4):
        assert same(weights_of(whole, epoch), weights_of(parts, epoch))
    for name in ("history.csv", "model_3.pt", "state.pt"):
        assert (parts.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name


def test_images_that_changed_are_another_training(tmp_path: Path, data: Path, net: Net) -> None:
    train(net, data, out=tmp_path / "out", **SMALL)
    draw(next((data / "train" / "red").iterdir()), True, np.random.default_rng(77))
    with pytest.raises(OptionError, match="same names with other content"):
        train(net, data, out=tmp_path / "out", resume=True, **{**SMALL, "epochs": 2})


def test_a_network_that_was_edited_is_another_training(tmp_path: Path, data: Path, net: Net) -> None:
    train(net, data, out=tmp_path / "out", **SMALL)

    class Edited(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    Edited.__name__ = Edited.__qualname__ = "Net"
    edited = Edited(32)
    edited.load_state_dict(net.state_dict())
    with pytest.raises(OptionError, match="network"):
        train(edited, data, out=tmp_path / "out", resume=True, **{**SMALL, "epochs": 2})


def test_an_epoch_without_its_state_did_not_happen(tmp_path: Path, data: Path, net: Net) -> None:
    train(net, data, out=tmp_path / "straight", **{**SMALL, "epochs": 2})
    train(net, data, out=tmp_path / "out", **SMALL)
    (tmp_path / "out" / "Net" / "state.pt").unlink()  # stopped before it was written
    train(net, data, out=tmp_path / "out", resume=True, **{**SMALL, "epochs": 2})
    names = ["model_0.pt", "model_1.pt", "state.pt", "history.csv"]
    for name in names:
        assert (tmp_path / "out" / "Net" / name).read_bytes() == (tmp_path / "straight" / "Net" / name).read_bytes()


def test_a_finished_training_resumes_at_once_and_options_must_agree(
    tmp_path: Path, data: Path, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "c"
    done = train(net, data, out=out, **SMALL)
    stamps = {path.name: path.stat().st_mtime_ns for path in done.folder.iterdir() if path.name != ".lock"}
    monkeypatch.setattr("seewhy.learn.train.train.read_images", None)
    again = train(net, data, out=out, resume=True, **SMALL)
    assert (again.history, again.epochs_done) == (done.history, 1)
    assert {path.name: path.stat().st_mtime_ns for path in done.folder.iterdir() if path.name != ".lock"} == stamps
    with pytest.raises(OptionError, match=r"--rate: 0\.001 there, 0\.5 asked"):
        train(net, data, out=out, resume=True, rate=0.5, **SMALL)
    (data / "train" / "red" / "000.png").unlink()
    with pytest.raises(OptionError, match=r"data: 28 train and 10 valid images .* there, 27 train"):
        train(net, data, out=out, resume=True, **SMALL)
    (done.folder / "state.pt").write_bytes(b"rubbish")
    with pytest.raises(OptionError, match=r"state\.pt cannot be read"):
        train(net, data, out=out, resume=True, **SMALL)


def test_a_folder_with_checkpoints_is_refused_with_what_to_type(tmp_path: Path, data: Path, net: Net) -> None:
    training = train(net, data, out=tmp_path / "c", **SMALL)
    before = (training.folder / "model_0.pt").read_bytes()
    with pytest.raises(OptionError, match=r"(?s)already holds a training \(model_0\.pt.*--resume.*--out .*c-2"):
        train(net, data, out=tmp_path / "c", seed=9, **SMALL)
    assert (training.folder / "model_0.pt").read_bytes() == before


def test_checkpoints_are_found_by_epoch_and_the_state_is_not_one(tmp_path: Path, data: Path, net: Net) -> None:
    train(net, data, out=tmp_path / "c", **{**SMALL, "epochs": 2})
    for epoch in (0, 1):
        loaded = load(Net(size=32), tmp_path / "c", epoch=epoch).model.state_dict()
        assert same(torch.load(tmp_path / "c" / "Net" / f"model_{epoch}.pt", weights_only=True), loaded)
    with pytest.raises(WeightsError, match=r"no checkpoint of epoch 2\.  It has: 0, 1"):
        load(Net(size=32), tmp_path / "c", epoch=2)
    held = sorted(path.name for path in (tmp_path / "c" / "Net").iterdir() if path.name != ".lock")
    assert held == ["history.csv", "history.png", "model_0.pt", "model_1.pt", "state.pt"]


def test_nan_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path, data: Path) -> None:
    torch.manual_seed(0)
    with pytest.raises(WorkError, match=r"(?s)in epoch 2.  The last good checkpoint is .*model_1\.pt.*--rate 0\.0001"):
        train(Doomed(good=10), data, epochs=5, batch_size=8, out=tmp_path / "c", device="cpu")  # 4 batches an epoch
    folder = tmp_path / "c" / "Doomed"
    assert sorted(path.name for path in folder.glob("model_*")) == ["model_0.pt", "model_1.pt"]
    state = torch.load(folder / "model_1.pt", weights_only=True)
    assert all(bool(value.isfinite().all()) for value in state.values())
    assert len((folder / "history.csv").read_text().splitlines()) == 1 + 2 * 2


def test_a_rate_that_explodes_writes_no_checkpoint(tmp_path: Path, data: Path, net: Net) -> None:
    with pytest.raises(WorkError, match=r"in epoch 0\.  No epoch was finished"):
        train(net, data, rate=1e30, out=tmp_path / "c", **{**SMALL, "batch_size": 64})  # one step, then measured
    assert not list((tmp_path / "c" / "Net").iterdir())


def test_stops_early_and_goes_on_with_more_patience(tmp_path: Path, data: Path, net: Net) -> None:
    options: dict[str, Any] = {"batch_size": 8, "rate": 1e-45, "out": tmp_path / "c", "device": "cpu"}  # learns nothing
    training = train(net, data, epochs=9, patience=2, **options)
    assert (training.epochs_done, training.best_epoch) == (3, 0)
    assert any("Stopped after epoch 2: no better valid loss for 2 epochs" in note for note in training.notes)
    assert train(net, data, epochs=9, patience=2, resume=True, **options).epochs_done == 3
    assert train(net, data, epochs=4, patience=None, resume=True, **options).epochs_done == 4


def test_out_of_memory_says_a_smaller_batch(tmp_path: Path, data: Path) -> None:
    class Greedy(Net):
        def forward(self, x: Tensor) -> Tensor:
            if self.training:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            return super().forward(x)

    with pytest.raises(WorkError, match="--batch-size 2"):
        train(Greedy(32), data, out=tmp_path / "c", **SMALL)


# The history


def test_history_is_a_table_and_a_picture(tmp_path: Path, data: Path, net: Net) -> None:
    training = train(net, data, out=tmp_path / "c", **{**SMALL, "epochs": 2})
    with (training.folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["split"], row["n"]) for row in rows] == [
        ("0", "train", "28"),
        ("0", "valid", "10"),
        ("1", "train", "28"),
        ("1", "valid", "10"),
    ]
    for row, said in zip(rows, training.history, strict=True):
        assert (float(row["loss"]), float(row["accuracy"])) == (said.loss, said.accuracy)
    picture = PIL.Image.open(training.folder / "history.png")
    picture.load()
    assert picture.size == (1140, 480)


def test_without_matplotlib_the_picture_is_left_out_and_the_extra_named(
    tmp_path: Path, data: Path, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    training = train(net, data, out=tmp_path / "c", **SMALL)
    assert any("seewhy[plot]" in note for note in training.notes)
    assert not (training.folder / "history.png").exists()


# The data


def test_one_split_is_held_out_by_class(tmp_path: Path, net: Net) -> None:
    data = folder_of(tmp_path / "data", {"": 15})
    training = train(net, data, out=tmp_path / "c", **SMALL)
    assert [row.n for row in training.history] == [24, 6]
    assert any("6 images, a fifth of each class, were held out" in note for note in training.notes)
    halves = [choose_splits(Classifier(net), read_table(data), None, seed).images["valid"] for seed in (0, 0, 1)]
    assert halves[0] == halves[1] != halves[2]
    assert sum(image.label == "red" for image in halves[0]) == 3


def test_a_csv_with_indices_and_splits(tmp_path: Path, net: Net) -> None:
    rng = np.random.default_rng(0)
    lines = ["path,label,split"]
    for number in range(18):
        split = ("training", "test", "extra")[number // 6]
        draw(tmp_path / f"{number}.png", number % 2 == 1, rng)
        lines.append(f"{number}.png,{number % 2},{split}")
    (tmp_path / "data.csv").write_text("\n".join(lines))
    training = train(net, tmp_path / "data.csv", classes=["blue", "red"], out=tmp_path / "c", **SMALL)
    assert training.classes == ("blue", "red")
    assert [row.n for row in training.history] == [6, 6]
    assert "There is no split valid: test takes its place." in training.notes
    assert "Not used: 6 images of the split 'extra'." in training.notes


def test_a_dataset_with_targets(tmp_path: Path, net: Net) -> None:
    class Pairs:
        targets = (0, 1) * 10

        def __len__(self) -> int:
            return 20

        def __getitem__(self, place: int) -> tuple[Tensor, int]:
            return torch.full((3, 32, 32), place / 20), place % 2

    training = train(net, Pairs(), out=tmp_path / "c", **SMALL)
    assert training.classes == ("0", "1")
    assert [row.n for row in training.history] == [16, 4]


def test_numbers_of_a_dataset_that_count_from_one_are_asked_about(tmp_path: Path, net: Net) -> None:
    pairs = [(torch.full((3, 32, 32), place / 20), 1 + place % 2) for place in range(20)]
    with pytest.raises(DataError, match="Counted from 1, 1 is 0 and 2 is 1") as caught:
        train(net, pairs, out=tmp_path / "c", **SMALL)
    assert caught.value.slug == "label-numbers"
    training = train(net, read_table(pairs, first_label=1), out=tmp_path / "c", **SMALL)
    assert training.classes == ("0", "1") and [row.n for row in training.history] == [16, 4]


def test_unreadable_images_are_left_out_and_counted(tmp_path: Path, data: Path, net: Net) -> None:
    (data / "train" / "blue" / "000.png").write_bytes(b"no picture")
    (data / "valid" / "red" / "001.png").write_bytes(b"")
    training = train(net, data, out=tmp_path / "c", **SMALL)
    assert [row.n for row in training.history] == [27, 9]
    note = next(note for note in training.notes if "cannot be read" in note)
    assert note.startswith("Left out, since they cannot be read: 2 images: ")
    assert "valid/red/001.png (the file is empty)" in note


def test_a_split_that_cannot_be_read_at_all(tmp_path: Path, data: Path, net: Net) -> None:
    for path in (data / "valid").rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="No image of the split valid can be read"):
        train(net, data, out=tmp_path / "c", **SMALL)


def test_no_labels(tmp_path: Path, net: Net) -> None:
    rng = np.random.default_rng(0)
    for number in range(4):
        draw(tmp_path / "flat" / f"{number}.png", True, rng)
    with pytest.raises(DataError, match="has a label") as caught:
        train(net, tmp_path / "flat", out=tmp_path / "c", **SMALL)
    assert caught.value.slug == "no-labels"


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["red", "blue"], "the data's order is blue, red"),
        (["red"], r"1 classes \(red\), but the network has 2 logits"),
        (["cat", "dog"], "No image has a label that is one of: cat, dog"),
        (["red", "red"], "must differ"),
    ],
)
def test_class_names_that_do_not_fit(tmp_path: Path, data: Path, net: Net, classes: list[str], message: str) -> None:
    with pytest.raises((DataError, OptionError), match=message):
        train(net, data, classes=classes, out=tmp_path / "c", **SMALL)


def test_classes_must_match_the_logits(tmp_path: Path, net: Net) -> None:
    data = folder_of(tmp_path / "data", {"train": 2, "valid": 1}, ("a", "b", "c"))
    with pytest.raises(DataError, match=r"3 classes \(a, b, c\), but the network has 2 logits"):
        train(net, data, out=tmp_path / "c", **SMALL)
    assert train(net, data, classes=["a", "c"], out=tmp_path / "c", **SMALL).history[0].n == 4


def test_one_class_alone_cannot_be_learned(tmp_path: Path, data: Path, net: Net) -> None:
    with pytest.raises(DataError, match="no image to train on of class blue"):
        train(net, data / "train" / "red", out=tmp_path / "c", **SMALL)


def test_a_network_that_detaches_its_logits_cannot_be_trained(tmp_path: Path, data: Path) -> None:
    class Detached(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()

    with pytest.raises(ModelError, match=r"Detached ran, but cannot be trained: .*grad"):
        train(Detached(32), data, out=tmp_path / "c", **SMALL)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_a_network_that_cannot_be_copied_says_what_to_name(tmp_path: Path, data: Path) -> None:
    network = Net(32)
    name, linear = next((name, one) for name, one in network.named_modules() if isinstance(one, nn.Linear))
    network.set_submodule(name, nn.utils.weight_norm(linear))
    network(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ModelError, match=r"Net cannot be copied, .*\n  Name its code"):
        train(network, data, out=tmp_path / "c", **SMALL)


def test_code_that_fails_in_training_by_any_error_cannot_be_trained(tmp_path: Path, data: Path) -> None:
    class Asking(Net):
        def forward(self, x: Tensor) -> Tensor:
            assert not self.training, "targets are needed"
            return super().forward(x)

    with pytest.raises(ModelError, match="Asking ran, but cannot be trained: AssertionError: targets are needed"):
        train(Asking(32), data, out=tmp_path / "c", **SMALL)


def test_splits_without_train(tmp_path: Path, net: Net) -> None:
    data = folder_of(tmp_path / "data", {"valid": 2, "test": 2})
    with pytest.raises(DataError, match="splits test, valid, but none is called train"):
        train(net, data, out=tmp_path / "c", **SMALL)


def test_a_size_that_the_head_cannot_read_names_one_that_fits(tmp_path: Path, data: Path, net: Net) -> None:
    with pytest.raises(ModelError, match="A size that fits:  --size 32"):
        train(net, data, size=48, out=tmp_path / "c", **SMALL)
    draw(data / "train" / "red" / "big.png", True, np.random.default_rng(0), size=50)
    with pytest.raises(DataError, match="--size 32"):
        train(net, data, out=tmp_path / "c", **SMALL)
    training = train(net, data, size=32, out=tmp_path / "c", **SMALL)
    assert training.history[0].n == 29
    assert any("32 x 32 stretch, RGB, 0..1" in note for note in training.notes)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"epochs": 0}, "--epochs is 0"),
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"rate": 0.0}, r"--rate is 0\.0"),
        ({"rate": float("nan")}, "--rate is nan"),
        ({"patience": 0}, "--patience is 0"),
    ],
    ids=lambda value: str(value),
)
def test_options_out_of_range(tmp_path: Path, data: Path, net: Net, option: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        train(net, data, out=tmp_path / "c", **{**SMALL, **option})

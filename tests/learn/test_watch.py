"""A watch: what it measures is what an audit measures, what it leaves is what it found, and training is unchanged."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.data.networks.classifier import load
from seewhy.errors import DataError, OptionError
from seewhy.evidence.audit import audit
from seewhy.learn.train.train import train
from seewhy.learn.watch.watch import Watch
from seewhy.learn.watch.watched import WatchRow, courses_of, rows_in, table_of
from tests.learn.test_train import SMALL, folder_of, net

__all__ = ["net"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Red and blue patches, and a corner that goes with them: bright in red images."""
    return bright_corners(tmp_path_factory.mktemp("watch") / "data", {"train": 12, "valid": 10})


def bright_corners(root: Path, splits: dict[str, int]) -> Path:
    rng = np.random.default_rng(3)
    for split, count in splits.items():
        for name in ("blue", "red"):
            for number in range(count):
                pixels = rng.integers(60, 130, (32, 32, 3)).astype(np.uint8)
                pixels[:6, :6] = 230 if name == "red" else 20
                path = root / split / name / f"{number:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                PIL.Image.fromarray(pixels).save(path)
    return root


class Corner(nn.Module):
    """Logits by the brightness of the top left corner alone, times `gain`: what it depends on is known."""

    def __init__(self, gain: float = 4.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        self.gain = nn.Parameter(torch.tensor(gain))
        with torch.no_grad():
            self.conv.weight.fill_(1 / 3)
            self.conv.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        bright = self.gain * (self.conv(x)[:, 0, :6, :6].mean(dim=(1, 2)) - 0.5)
        return torch.stack([-bright, bright], dim=1)


def test_the_effects_are_those_of_an_audit_of_the_same_images(data: Path) -> None:
    model = Corner()
    watch = Watch(data, factors=["top-left", "bottom-right"], classes=["blue", "red"], size=(32, 32))
    rows = {row.factor: row for row in watch(model)}
    classifier = load(model, classes=["blue", "red"], size=(32, 32))
    found = audit(classifier, data, regions="top-left,bottom-right", properties="none", progress=False)
    effect = found["top-left"].numbers["probability"]["value"]
    assert rows["top-left"].effect == pytest.approx(effect, abs=0.02)  # it met other donors
    assert rows["top-left"].low > 0.5 and rows["top-left"].donors == 20
    nothing = rows["bottom-right"]
    assert [nothing.effect, nothing.low, nothing.high] == pytest.approx([0, 0, 0], abs=1e-9)


def test_a_larger_weight_is_a_larger_effect_on_the_same_donors(data: Path) -> None:
    model = Corner(gain=0.0)
    watch = Watch(data, "top-left", classes=["blue", "red"])
    for epoch, gain in enumerate((0.0, 0.5, 2.0)):
        with torch.no_grad():
            model.gain.fill_(gain)
        watch(model, epoch)
    effects = [row.effect for row in watch.rows]
    assert effects[0] == 0.0 and 0 < effects[1] < effects[2]
    assert "first shown in epoch 1" in watch.words[0]
    assert sorted(watch.maps) == [0, 1, 2] and len(watch.probes) == 8
    assert watch.show().size[0] > 3 * 100


def test_the_network_and_the_random_state_are_left_as_found(data: Path) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(), nn.Linear(256, 2)
    )
    model.train()
    model[0].eval()
    model(torch.rand(4, 3, 32, 32)).sum().backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    Watch(data, "tint", classes=["blue", "red"])(model)
    assert [module.training for module in model] == [False, True, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(map(torch.equal, gradients, [parameter.grad for parameter in model.parameters()]))
    assert random.getstate() == states[0] and np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert not any(module._forward_hooks for module in model.modules())


def test_a_network_that_fails_is_left_as_found(data: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3, stride=4), nn.Flatten(), nn.Linear(10, 2)).train()
    with pytest.raises(Exception, match=r"cannot take input|shapes cannot be multiplied"):
        Watch(data, "tint", classes=["blue", "red"])(model)
    assert all(module.training for module in model.modules())


def test_every_second_epoch_and_rows_that_come_back(data: Path, tmp_path: Path) -> None:
    watch = Watch(data, "top-left", every=2, classes=["blue", "red"])
    model = Corner()
    assert [len(watch(model, epoch)) for epoch in range(4)] == [1, 0, 1, 0]
    watch.save(tmp_path)
    other = Watch(data, "top-left", every=2)
    other.resume(tmp_path, before=2)
    assert other.rows == watch.rows[:1] and list(other.maps) == [0]
    assert np.array_equal(other.maps[0], watch.maps[0]) and other.probes == watch.probes
    assert tuple(rows_in(table_of(watch.rows).decode())) == watch.rows


def test_every_second_call_where_no_epoch_is_named(data: Path) -> None:
    watch = Watch(data, "top-left", every=2, classes=["blue", "red"])
    model = Corner()
    assert [len(watch(model)) for _ in range(5)] == [1, 0, 1, 0, 1]
    assert [row.epoch for row in watch.rows] == [0, 2, 4]


def test_a_factor_that_is_none_is_told_before_anything_is_trained(data: Path, net: nn.Module, tmp_path: Path) -> None:
    for factor, said in (("top-lfet", "Nearest: top-left"), ("jpeg", "nothing to exchange")):
        with pytest.raises(OptionError, match=said):
            train(net, data, watch=Watch(factors=factor), **{**SMALL, "epochs": 1, "out": tmp_path})
    assert not list(tmp_path.rglob("*.pt"))


def test_training_is_the_same_to_the_bit_with_a_watch(data: Path, net: nn.Module, tmp_path: Path) -> None:
    options = {**SMALL, "epochs": 2, "progress": False}
    plain = train(net, data, out=tmp_path / "plain", **options)
    watch = Watch(factors="top-left,tint")
    watched = train(net, data, out=tmp_path / "watched", watch=watch, **options)
    assert watched.history == plain.history
    for epoch in range(2):
        files = [training.folder / f"model_{epoch}.pt" for training in (plain, watched)]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert {row.epoch for row in watch.rows} == {0, 1} and watched.summary()["watch"] == watch.records
    assert (watched.folder / "watch.csv").exists() and (watched.folder / "watch_maps.npz").exists()


def test_no_image_takes_the_mask_of_one_of_the_other_split(data: Path, net: nn.Module, tmp_path: Path) -> None:
    for path in data.rglob("*.png"):
        mask = tmp_path / "masks" / path.relative_to(data)
        mask.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.zeros((32, 32), np.uint8)
        pixels[:6, :6] = 255
        PIL.Image.fromarray(pixels).save(mask)
    for number in range(2):  # images of these names are in train, too, and have masks there
        (tmp_path / "masks" / "valid" / "red" / f"{number:03d}.png").unlink()
    watch = Watch(factors=f"corner={tmp_path / 'masks'}")
    train(net, data, out=tmp_path / "out", watch=watch, progress=False, **SMALL)
    sample = watch._measured[1].design.audited
    without = {image.id for image, has in zip(sample.images, sample.found["corner"], strict=True) if not has}
    assert without == {"valid/red/000.png", "valid/red/001.png"}


def test_a_resumed_training_goes_on_watching(data: Path, net: nn.Module, tmp_path: Path) -> None:
    options = {**SMALL, "progress": False, "out": tmp_path / "out"}
    whole = Watch(factors="tint")
    train(net, data, watch=whole, **{**options, "epochs": 2, "out": tmp_path / "whole"})
    train(net, data, watch=Watch(factors="tint"), **options)
    later = Watch(factors="tint")
    train(net, data, watch=later, resume=True, **{**options, "epochs": 2})
    assert later.rows == whole.rows


def test_shown_needs_holm_the_floor_and_an_interval_without_0() -> None:
    def row(epoch: int, effect: float, p: float, factor: str = "tint") -> WatchRow:
        return WatchRow(epoch, factor, "fake", effect, effect - 0.01, effect + 0.01, p, 0.1, 100, 100)

    rows = [row(0, 0.015, 1e-9), row(1, 0.2, 0.04), row(2, 0.2, 1e-9)]
    (course,) = courses_of(rows)
    assert [one.epoch for one in course.shown] == [1, 2]  # Holm leaves the last of three at 0.04
    rows += [row(epoch, 0.0, 0.9, "border") for epoch in range(3)]
    assert [one.epoch for one in courses_of(rows)[0].shown] == [2]


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ("", "No factor was named"),
        ("brigthness", "There is no factor 'brigthness'.  Nearest: brightness"),
        ("boarder", "Nearest: border"),
        ("hair=nowhere/masks", "There is no file or folder nowhere/masks"),
    ],
    ids=["none", "property", "region", "masks"],
)
def test_an_unknown_factor_names_the_nearest(factors: str, said: str, data: Path) -> None:
    with pytest.raises((OptionError, DataError), match=said):
        Watch(data, factors, classes=["blue", "red"])(Corner())


def test_bad_calls_say_what_to_write(data: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="every is 0"):
        Watch(data, "tint", every=0)
    with pytest.raises(OptionError, match=r'seewhy.Watch\("data"'):
        Watch(factors="tint")(Corner())
    alone = folder_of(tmp_path / "alone", {"valid": 9}, classes=("red",))
    with pytest.raises(DataError, match="All images of valid are of red"):
        Watch(alone, "tint", classes=["blue", "red"])(Corner())


def test_two_images_of_a_class_show_nothing_as_in_an_audit(tmp_path: Path) -> None:
    bright_corners(tmp_path / "data", {"valid": 30})
    for path in sorted((tmp_path / "data" / "valid" / "red").iterdir())[2:]:
        path.unlink()
    watch = seewhy.Watch(tmp_path / "data", factors=["top-left"])
    (row, *_) = watch(seewhy.load(Corner(4.0), classes=["blue", "red"]))
    assert row.fewest == 2
    assert watch.words == ["top-left: cannot say, with 2 distinct images of a class; 8 are needed."]


def test_a_margin_that_moves_the_other_way_shows_nothing() -> None:
    row = WatchRow(0, "tint", "a", 0.1, 0.08, 0.12, 1e-9, 0.1, 30, 30, 15, 0.5)
    assert courses_of([row])[0].shown and not courses_of([replace(row, margin=-0.5)])[0].shown
    assert not courses_of([replace(row, fewest=7)])[0].shown


def test_rows_of_other_images_are_not_gone_on_with(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("other", 1)):
        bright_corners(tmp_path / name, {"valid": 10 + seed})
    network = seewhy.load(Corner(4.0), classes=["blue", "red"])
    watch = seewhy.Watch(tmp_path / "one", factors=["top-left"])
    watch(network, 0)
    watch.save(tmp_path / "run")
    for name, epochs in (("one", {0, 1}), ("other", {1})):
        again = seewhy.Watch(tmp_path / name, factors=["top-left"])
        again.resume(tmp_path / "run", 1)
        again(network, 1)
        assert {row.epoch for row in again.rows} == epochs


@pytest.mark.parametrize("n_probes", [6, 0])
def test_other_probes_keep_the_rows_and_other_images_do_not(n_probes: int, tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("other", 1)):
        bright_corners(tmp_path / name, {"valid": 10 + seed})
    network = seewhy.load(Corner(4.0), classes=["blue", "red"])
    watch = seewhy.Watch(tmp_path / "one", factors=["top-left"], probes=0 if not n_probes else 4)
    watch(network, 0)
    watch.save(tmp_path / "run")
    for name, epochs in (("one", {0, 1}), ("other", {1})):
        again = seewhy.Watch(tmp_path / name, factors=["top-left"], probes=n_probes)
        again.resume(tmp_path / "run", 1)
        again(network, 1)
        assert {row.epoch for row in again.rows} == epochs

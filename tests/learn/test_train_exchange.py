"""A training in which factors are exchanged: it learns less of them, and resumes to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from seewhy.data.reader import batch_of, load_image
from seewhy.data.sources.folder import read_table
from seewhy.errors import OptionError, SeewhyError
from seewhy.evidence.factors import region_sources
from seewhy.learn.measure import measure_of
from seewhy.learn.train.job import dice_of
from seewhy.learn.train.train import Training, train
from seewhy.learn.train.with_exchange import SHARE, exchange_among
from tests.small_images import Reader, classifier_of, where_core, write_images, write_masks

OPTIONS = {"epochs": 8, "batch_size": 20, "rate": 0.5, "device": "cpu", "progress": False}
FED = {"size": 32, "mean": (0, 0, 0), "std": (1, 1, 1)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The core tells the class always, the surround's tint in 95 of 100 images, and more clearly."""
    home = tmp_path_factory.mktemp("exchange")
    write_images(home / "data", counts={"train": 60, "valid": 40}, aligned=0.95)
    write_masks(home / "around", home / "data", 1 - where_core())
    return home / "data"


def untrained() -> nn.Module:
    network = Reader(core=0.0, tint=0.0)
    network.look.requires_grad_(False)
    return network


def trained(data: Path, out: Path, **changes: Any) -> Training:
    return train(untrained(), data, out=out, **{**OPTIONS, **FED, **changes})


def effect_of_tint(training: Training, data: Path) -> float:
    """What the surround's redness adds to the probability of the first class."""
    network = untrained()
    network.load_state_dict(torch.load(training.folder / f"model_{training.epochs_done - 1}.pt", weights_only=True))
    (effect,) = measure_of(classifier_of(network), data, ["tint"], recipients=60, donors=80).effects()
    return abs(effect.probability.value)


def test_less_is_learned_of_what_is_exchanged(data: Path, tmp_path: Path) -> None:
    plain = trained(data, tmp_path / "plain")
    assert effect_of_tint(plain, data) > 0.2
    for asked in ("tint", f"around={data.parent / 'around'}", f"brightness, around={data.parent / 'around'}"):
        exchanged = trained(data, tmp_path / asked.split("=")[0], exchange=asked)
        assert effect_of_tint(exchanged, data) < 0.7 * effect_of_tint(plain, data)
        assert exchanged.history[-1].accuracy > 0.8  # by the core


def test_half_of_the_images_get_another_ones_content_and_the_others_stay_to_the_bit(data: Path) -> None:
    classifier, table = classifier_of(untrained()), read_table(data / "train")
    images, how = list(table.images), classifier.preprocess
    inputs = batch_of([load_image(table, image, how) for image in images], how)
    exchange = exchange_among("tint", classifier, table, images, seed=0)
    mixed = exchange.into(inputs, images, dice_of(0, "exchange 0"))
    moved = (mixed != inputs).flatten(1).any(dim=1).float().mean()
    assert float(moved) == pytest.approx(SHARE, abs=0.15)
    same = exchange.into(inputs, images, dice_of(0, "exchange 0"))
    assert torch.equal(mixed, same) and not torch.equal(mixed, exchange.into(inputs, images, dice_of(0, "exchange 1")))


def test_the_background_of_a_face_keeps_its_detail_beside_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = where_core().numpy()
    drawn = ("drawn here", lambda: lambda image, loaded: (255 * core).astype(np.uint8))
    monkeypatch.setitem(region_sources.DETECTED, "face", drawn)
    classifier, table = classifier_of(untrained()), read_table(data / "train")
    exchange = exchange_among("background", classifier, table, list(table.images), seed=0).exchange
    assert exchange.factor.name == "background" and exchange.core == ("face",) and exchange.reach > 0
    exchange = exchange_among("top-left", classifier, table, list(table.images), seed=0).exchange
    assert not exchange.core and not exchange.reach


def test_an_interrupted_training_goes_on_to_the_same_bits(data: Path, tmp_path: Path) -> None:
    whole = trained(data, tmp_path / "whole", exchange="tint", epochs=3)
    trained(data, tmp_path / "parts", exchange="tint", epochs=1)
    with pytest.raises(OptionError, match="--exchange"):
        trained(data, tmp_path / "parts", epochs=3, resume=True)
    parts = trained(data, tmp_path / "parts", exchange=["tint"], epochs=3, resume=True)
    assert parts.history == whole.history
    assert "In each epoch half of the training images get from another one: tint." in parts.notes
    files = [training.folder / "model_2.pt" for training in (whole, parts)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_images_without_a_mask_stay_as_they_are_and_are_counted(data: Path, tmp_path: Path) -> None:
    masks = write_masks(tmp_path / "some", data, 1 - where_core())
    for path in sorted((masks / "train" / "cat").glob("*.png"))[:24]:
        path.unlink()
    table = read_table(data)  # valid has images of the same names, whose masks are not theirs
    train_images = [image for image in table.images if image.split == "train"]
    exchange = exchange_among(f"around={masks}", classifier_of(untrained()), table, train_images, seed=0)
    assert exchange.notes[1] == "24 training images of 120 without a mask of around: it is not exchanged there."
    has_it = exchange.exchange.eligible
    images = [image for image in exchange.sample.images if not has_it[exchange.places[image.id]]]
    inputs = torch.rand(len(images), 3, 32, 32)
    assert len(images) == 24 and torch.equal(exchange.into(inputs, images, dice_of(0, "exchange 0")), inputs)
    both = exchange_among(f"around={masks},tint", classifier_of(untrained()), table, train_images, seed=0)
    assert both.notes[1:] == exchange.notes[1:] and both.exchange.eligible.all()  # each has a tint to exchange
    assert not torch.equal(both.into(inputs, images, dice_of(0, "exchange 0")), inputs)


def test_half_of_the_images_get_all_factors_of_another_one(data: Path) -> None:
    """Of one factor each, a quarter would: three quarters of a class would keep what the factor says of it."""
    classifier, table = classifier_of(untrained()), read_table(data / "train")
    images = list(table.images)
    exchange = exchange_among("brightness,tint", classifier, table, images, seed=0)
    assert exchange.exchange.share == SHARE
    inputs = torch.rand(len(images), 3, 32, 32)
    mixed = exchange.into(inputs, images, dice_of(0, "exchange 0"))
    moved = (mixed != inputs).flatten(1).any(dim=1)
    assert float(moved.float().mean()) == pytest.approx(SHARE, abs=0.15)
    places, donors = torch.arange(4), torch.tensor([4, 5, 6, 7])
    edited, sample = exchange.exchange.edited(places, donors), exchange.sample
    given = sample.canvases(donors)
    tints = [(some[:, 0] - some[:, 2]).mean(dim=(1, 2)) for some in (edited, given, sample.canvases(places))]
    lights = [some.mean(dim=(1, 2, 3)) for some in (edited, given, sample.canvases(places))]
    for is_now, is_given, was in (tints, lights):
        assert float((is_now - is_given).abs().mean()) < 0.2 * float((was - is_given).abs().mean())


@pytest.mark.parametrize(
    ("asked", "said"),
    [("tnt", "tint"), (" , ", "No factor was named"), ("jpeg", "cannot be exchanged"), ("around=nowhere", "nowhere")],
)
def test_what_cannot_be_exchanged_is_said_before_an_epoch_is_made(
    asked: str, said: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(SeewhyError, match=said):
        trained(data, tmp_path / "out", exchange=asked)
    assert not list((tmp_path / "out").rglob("*.pt"))

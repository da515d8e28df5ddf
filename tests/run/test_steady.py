"""What makes another input of the same image each time is refused, whether it draws numbers or not."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor

import seewhy
from seewhy.errors import DataError
from tests.models import FourConv

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(3):
        PIL.Image.fromarray(np.roll(PIXELS, number, axis=0)).save(tmp_path / f"{number}.png")
    return tmp_path


def plain(image: PIL.Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def flipped(is_flipped: bool, image: PIL.Image.Image) -> Tensor:
    return plain(image).flip(-1) if is_flipped else plain(image)


OWN = np.random.default_rng(1)
RANDOM = {
    "torch": lambda image: flipped(bool(torch.rand(()) < 0.5), image),
    "python": lambda image: flipped(random.random() < 0.5, image),
    "numpy": lambda image: flipped(np.random.rand() < 0.5, image),
    "its-own": lambda image: flipped(OWN.random() < 0.5, image),
    "noise": lambda image: plain(image) + 0.02 * torch.randn(3, 32, 32),
    "another-size": lambda image: torch.zeros(3, 32 + 2 * int(torch.randint(9, ())), 32),
}


def states() -> list[Any]:
    numpy_state: Any = np.random.get_state()
    return [random.getstate(), numpy_state[1].tolist(), numpy_state[2], torch.get_rng_state().tolist()]


@pytest.mark.parametrize("kind", RANDOM)
@pytest.mark.parametrize("call", [seewhy.explain, seewhy.check], ids=["explain", "check"])
def test_a_random_preprocessing_is_refused_with_what_to_do(photos: Path, kind: str, call: Any) -> None:
    classifier = seewhy.load(FourConv(), preprocess=RANDOM[kind])
    before = states()
    with pytest.raises(DataError, match=r"is another one each time(.|\n)*transform that validation uses"):
        call(classifier, photos, progress=False)
    assert states() == before


def test_a_preprocessing_that_draws_and_gives_the_same_is_none_of_it(photos: Path) -> None:
    def drawing(image: PIL.Image.Image) -> Tensor:
        torch.rand(3)
        return plain(image)

    first, again = (
        seewhy.explain(seewhy.load(network, preprocess=function), photos, progress=False)
        for network in [FourConv()]
        for function in (drawing, plain)
    )
    np.testing.assert_array_equal(first.maps, again.maps)


class Augmented(torch.utils.data.Dataset[tuple[Tensor, int]]):
    def __init__(self, function: Any) -> None:
        self.function = function

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.function(PIL.Image.fromarray(PIXELS)), index % 2


@pytest.mark.parametrize("kind", RANDOM)
def test_a_dataset_of_random_items_is_refused(kind: str) -> None:
    before = states()
    network = FourConv.__new__(FourConv)
    torch.nn.Module.__init__(network)
    with pytest.raises(DataError, match=r"An image of Augmented is another one each time"):
        seewhy.explain(network, Augmented(RANDOM[kind]), progress=False)
    assert states() == before
    assert len(seewhy.explain(FourConv(), Augmented(plain), progress=False)) == 3


def test_training_on_random_items_goes_on(photos: Path, tmp_path: Path) -> None:
    class Labelled(Augmented):
        classes = ("a", "b")
        targets = (0, 1, 0, 1, 0, 1, 0, 1, 0, 1)

        def __len__(self) -> int:
            return 10

    training = seewhy.train(FourConv(), Labelled(RANDOM["noise"]), epochs=1, out=tmp_path / "out", progress=False)
    assert training.epochs_done == 1

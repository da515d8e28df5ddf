"""What makes another input of the same image each time is refused, whether it draws numbers or not."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.errors import DataError, LayerError, ModelError
from tests.models import FourConv

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(3):
        PIL.Image.fromarray(np.roll(PIXELS, number, axis=0)).save(tmp_path / f"{number}.png")
    return tmp_path


def plain(image: PIL.Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def moved(pixels: int, image: PIL.Image.Image) -> Tensor:
    return plain(image).roll(pixels, -1)


OWN = np.random.default_rng(1)
FLIPS = itertools.cycle([False, True])
RANDOM = {
    "torch": lambda image: moved(int(torch.randint(32, ())), image),
    "python": lambda image: moved(random.randrange(32), image),
    "numpy": lambda image: moved(np.random.randint(32), image),
    "its-own": lambda image: moved(int(OWN.integers(32)), image),
    "flip": lambda image: plain(image).flip(-1) if next(FLIPS) else plain(image),
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


class Beside(nn.Module):
    """A classifier whose answer to an image depends on the others of its batch, or that takes no others."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.conv, self.norm, self.fc = (
            kind,
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.Linear(4, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x).relu()
        if self.kind == "statistics":
            features = nn.functional.batch_norm(features, None, None, training=True)
        if self.kind == "centred":
            features = features - features.mean(0, keepdim=True) * (len(x) > 1)
        pooled = self.norm(features).mean((2, 3))
        if self.kind == "one":
            return self.fc(pooled.reshape(1, 4))
        if self.kind == "loop":
            return torch.stack([self.fc(pooled)[index] for index in range(1)])
        scores: Tensor = self.fc(pooled)
        return scores.softmax(0) if self.kind == "softmax" else scores


@pytest.mark.parametrize("kind", ["statistics", "centred", "softmax"])
@pytest.mark.parametrize("call", [seewhy.explain, seewhy.check], ids=["explain", "check"])
def test_answers_that_depend_on_the_rest_of_the_batch_are_refused(photos: Path, kind: str, call: Any) -> None:
    with pytest.raises(ModelError, match=r"depends on the images that stand beside it(.|\n)*--batch-size 1"):
        call(seewhy.load(Beside(kind), preprocess=plain), photos, progress=False)


@pytest.mark.parametrize("seed", range(6))
def test_statistics_of_a_batch_are_noticed_between_pictures_of_one_kind(seed: int) -> None:
    norm = nn.BatchNorm2d(8, track_running_stats=False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pictures = torch.rand(4, 3, 32, 32)  # noise beside noise: the statistics are nearly the same
        parts = (nn.Conv2d(3, 8, 3), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    with pytest.raises(ModelError, match="depends on the images that stand beside it"):
        seewhy.explain(nn.Sequential(*parts), pictures, target=1, progress=False)


def test_statistics_of_a_batch_are_noticed_after_images_that_ran_alone() -> None:
    norm = nn.BatchNorm2d(8, track_running_stats=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, other = torch.rand(2, 4, 3, 32, 32)
        parts = (nn.Conv2d(3, 8, 3), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    network = nn.Sequential(*parts)
    seewhy.explain(network, first, target=1, batch_size=1, progress=False)
    with pytest.raises(ModelError, match="depends on the images that stand beside it"):
        seewhy.explain(network, other, target=1, progress=False)


def test_nan_beside_nan_is_no_dependence_on_the_batch(photos: Path) -> None:
    class Broken(FourConv):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * torch.tensor([1.0, torch.nan])

    explanation = seewhy.explain(seewhy.load(Broken(), preprocess=plain), photos, layers="conv2", progress=False)
    assert {row["error"] for row in explanation.records} == {"the network gave NaN or infinite logits"}


@pytest.mark.parametrize("kind", ["one", "loop"])
def test_a_network_of_one_image_says_how_it_takes_several(photos: Path, kind: str) -> None:
    with pytest.raises(ModelError, match=r"fails where it is given two at once(.|\n)*--batch-size 1"):
        seewhy.explain(seewhy.load(Beside(kind), preprocess=plain), photos, progress=False)


@pytest.mark.parametrize("kind", ["one", "statistics"])
def test_with_a_batch_of_one_each_image_runs_alone(photos: Path, kind: str) -> None:
    network = Beside(kind).eval()
    explanation = seewhy.explain(
        seewhy.load(network, preprocess=plain), photos, layers="conv", batch_size=1, progress=False
    )
    alone = torch.cat([network(plain(PIL.Image.open(photos / f"{n}.png"))[None]) for n in range(3)])
    probabilities = [record["probability"] for record in explanation.records]
    np.testing.assert_allclose(probabilities, alone.detach().softmax(1).amax(1), rtol=1e-5)


class Repeated(nn.Module):
    """Runs its layers for each image in turn, or for two views of every image at once."""

    def __init__(self, views: int) -> None:
        super().__init__()
        self.views, self.inner = views, FourConv()

    def forward(self, x: Tensor) -> Tensor:
        if self.views == 1:
            return torch.cat([self.inner(image[None]) for image in x])
        both: Tensor = self.inner(torch.cat((x, x.flip(-1))))
        return both[: len(x)] + both[len(x) :]


@pytest.mark.parametrize("views", [1, 2])
def test_a_layer_with_other_rows_than_images_gives_no_map_of_another_image(photos: Path, views: int) -> None:
    classifier = seewhy.load(Repeated(views), preprocess=plain)
    with pytest.raises(LayerError, match=r"gave output for 1 images where 3|no grid of places"):
        seewhy.explain(classifier, photos, layers="inner.conv2", method="grad-cam", progress=False)
    if views == 1:
        alone = seewhy.explain(
            classifier, photos, layers="inner.conv2", method="grad-cam", batch_size=1, progress=False
        )
        want = seewhy.explain(
            seewhy.load(classifier.model.inner, preprocess=plain),
            photos,
            layers="conv2",
            method="grad-cam",
            batch_size=1,
            progress=False,
        )
        np.testing.assert_allclose(alone.maps, want.maps, rtol=1e-4, atol=1e-9)


def test_a_network_that_fails_on_noise_is_not_said_to_take_one_image(photos: Path) -> None:
    class Careful(FourConv):
        def forward(self, x: Tensor) -> Tensor:
            smooth = (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))
            if bool((smooth > 0.2).any()):
                raise ValueError("noise")
            return super().forward(x)

    for number in range(3):
        PIL.Image.new("RGB", (32, 32), (number * 40, 90, 20)).save(photos / f"{number}.png")
    explanation = seewhy.explain(
        seewhy.load(Careful(), preprocess=plain), photos, layers="conv2", method="grad-cam", progress=False
    )
    assert len(explanation) == 3

"""The original CAM: the head's own weights, Grad-CAM up to its factor, and no map where the head is another one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy import explain
from seewhy.errors import LayerError
from tests.models import FourConv, Linear, Pooled, images, seeded


def maps(model: nn.Module, x: Tensor, layer: str, method: str = "cam", target: object = 1) -> np.ndarray:
    return explain(model, x, target=target, layers=layer, method=method, progress=False).maps


def by_hand(model: nn.Module, x: Tensor, layer: str, weights: Tensor) -> np.ndarray:
    """Every place the sum over channels of weight times feature, in float64, one by one."""
    kept: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda m, a, out: kept.append(out.detach().double()))
    with torch.no_grad():
        model(x)
    handle.remove()
    found = np.zeros((len(x), *kept[0].shape[2:]))
    for n, i, j in np.ndindex(*found.shape):
        for k, weight in enumerate(weights.double().tolist()):
            found[n, i, j] += weight * float(kept[0][n, k, i, j])
    return found


class Convolved(nn.Module):
    """The head is a convolution of 1 x 1 behind an average pool, as networks are written that take any size."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.features(x))).flatten(1)


HEADS = {"pooled": (Pooled, "act", "fc"), "linear": (Linear, "features", "fc"), "conv": (Convolved, "features", "head")}


@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize("net", HEADS)
def test_the_weights_are_those_of_the_head(net: str, target: int) -> None:
    make, layer, head = HEADS[net]
    model, x = seeded(make()), images(3, 8)
    weights = model.get_submodule(head).weight[target].detach().flatten()
    want = by_hand(model, x, layer, weights)
    np.testing.assert_allclose(maps(model, x, layer, target=target), want, rtol=0, atol=2e-6 * np.abs(want).max())


@pytest.mark.parametrize("net", HEADS)
def test_it_is_grad_cam_times_the_number_of_places_and_its_mean_is_the_logit_without_bias(net: str) -> None:
    make, layer, head = HEADS[net]
    model, x = seeded(make()), images(3, 12)
    found = maps(model, x, layer)
    want = maps(model, x, layer, "grad-cam") * found[0].size
    np.testing.assert_allclose(found, want, rtol=0, atol=1e-6 * np.abs(want).max())
    with torch.no_grad():
        logit = model(x)[:, 1] - model.get_submodule(head).bias[1]
    np.testing.assert_allclose(found.mean((1, 2)), logit, rtol=1e-4, atol=1e-5)


def test_a_contrast_of_two_classes_is_the_difference_of_their_maps() -> None:
    model, x = seeded(Pooled()), images(3, 16)
    first, second, both = (maps(model, x, "act", target=target) for target in (0, 2, "contrast:0:2"))
    np.testing.assert_allclose(both, first - second, rtol=0, atol=2e-6 * np.abs(first).max())


class Curved(Linear):
    """Features that are averaged and then pass a ReLU: every place counts alike, and the head is not linear."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3)).relu())


@pytest.mark.parametrize(
    ("make", "layer", "target", "why"),
    [
        (FourConv, "conv2", 1, r"behind conv2 of FourConv the places of a channel do not count alike"),
        (Pooled, "block", 1, r"the places of a channel do not count alike"),
        (Curved, "features", 1, r"something bends"),
        (Linear, "features", "probability:1", r"a score that is no logit"),
    ],
)
def test_other_heads_are_refused_with_what_to_use(make: type[nn.Module], layer: str, target: object, why: str) -> None:
    with pytest.raises(LayerError, match=why) as caught:
        maps(seeded(make()), images(2, 32), layer, target=target)
    assert caught.value.slug == "no-pooled-head" and "--method grad-cam" in str(caught.value)

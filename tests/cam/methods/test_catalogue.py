"""Each method against its formula written in plain numpy, and against the laws it must obey."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.cam.capture import find_layer
from seewhy.cam.methods.catalogue import METHODS, find_method, method_name
from seewhy.cam.model import forward
from seewhy.cam.scores.targets import find_score
from seewhy.errors import OptionError
from tests.models import FourConv, Linear, Pooled, attributed, images, seeded

Array = NDArray[np.float64]


def grad_cam_by_hand(a: Array, g: Array) -> Array:
    return np.stack([sum(g[n, k].mean() * a[n, k] for k in range(a.shape[1])) for n in range(len(a))])


def hirescam_by_hand(a: Array, g: Array) -> Array:
    return np.einsum("nkij,nkij->nij", a, g)


def layercam_by_hand(a: Array, g: Array) -> Array:
    return np.einsum("nkij,nkij->nij", a, np.maximum(g, 0))


def grad_cam_plus_plus_by_hand(a: Array, g: Array) -> Array:
    out = np.zeros((len(a), *a.shape[2:]))
    for n in range(len(a)):
        for k in range(a.shape[1]):
            weight = 0.0
            for i, j in np.ndindex(*a.shape[2:]):
                slope = g[n, k, i, j]
                if slope != 0:
                    share = slope**2 / (2 * slope**2 + a[n, k].sum() * slope**3 + 1e-6)
                    weight += share * max(slope, 0)
            out[n] += weight * a[n, k]
    return out


def xgrad_cam_by_hand(a: Array, g: Array) -> Array:
    weight = [[(g[n, k] * a[n, k]).sum() / (a[n, k].sum() + 1e-7) for k in range(a.shape[1])] for n in range(len(a))]
    return np.einsum("nk,nkij->nij", np.array(weight), a)


def eigen_cam_by_hand(a: Array, _: Array) -> Array:
    maps = []
    for image in a:
        cells = image.reshape(len(image), -1).T
        values, vectors = np.linalg.eigh(np.cov(cells.T))
        projection = (cells - cells.mean(0)) @ vectors[:, values.argmax()]
        strength = np.linalg.norm(cells, axis=1)
        maps.append(np.sign(np.cov(projection, strength)[0, 1]) * projection)
    return np.stack(maps).reshape(len(a), *a.shape[2:])


def elementwise_by_hand(a: Array, g: Array) -> Array:
    return np.maximum(a * g, 0).sum(1)


def fem_by_hand(a: Array, _: Array) -> Array:
    out = np.zeros((len(a), *a.shape[2:]))
    for n, k in np.ndindex(*a.shape[:2]):
        stands_out = a[n, k] > a[n, k].mean() + 2 * a[n, k].std()
        out[n] += stands_out.sum() / stands_out.size * a[n, k]
    return out


def seg_eigen_by_hand(a: Array, g: Array) -> Array:
    maps = []
    for image in np.abs(g) * a:
        cells = image.reshape(len(image), -1).T
        values, vectors = np.linalg.eigh(np.cov(cells.T))
        projection = (cells - cells.mean(0)) @ vectors[:, values.argmax()]
        maps.append(projection * np.sign(projection[np.abs(projection).argmax()]))
    return np.stack(maps).reshape(len(a), *a.shape[2:])


def kpca_cam_by_hand(a: Array, _: Array) -> Array:
    maps = []
    for image in a:
        cells = image.reshape(len(image), -1).T
        centred = cells - cells.mean(0)
        kernel = np.tanh(centred @ centred.T / len(image) + 1)
        middle = np.eye(len(cells)) - 1 / len(cells)
        values, vectors = np.linalg.eigh(middle @ kernel @ middle)
        projection = vectors[:, -1] * np.sqrt(values[-1])
        maps.append(np.sign(np.cov(projection, np.linalg.norm(cells, axis=1))[0, 1]) * projection)
    return np.stack(maps).reshape(len(a), *a.shape[2:])


def dff_by_hand(a: Array, g: Array) -> Array:
    maps = []
    for image, gradient in zip(a.reshape(*a.shape[:2], -1), g.reshape(*g.shape[:2], -1), strict=True):
        matrix = np.concatenate([np.maximum(image, 0), np.maximum(-image, 0)])
        left, values, right = np.linalg.svd(matrix)
        v, h = np.zeros((len(matrix), 5)), np.zeros((5, matrix.shape[1]))
        for k in range(5):
            sides = [(np.maximum(sign * left[:, k], 0), np.maximum(sign * right[k], 0)) for sign in (1, -1)]
            sizes = [np.linalg.norm(one) * np.linalg.norm(other) for one, other in sides]
            (one, other), size = sides[np.argmax(sizes)], max(sizes)
            v[:, k] = np.sqrt(values[k] * size) * one / np.linalg.norm(one)
            h[k] = np.sqrt(values[k] * size) * other / np.linalg.norm(other)
        for _ in range(200):
            for k in range(5):
                v[:, k] = np.maximum(0, v[:, k] + (matrix - v @ h) @ h[k] / (h[k] @ h[k]))
            for k in range(5):
                h[k] = np.maximum(0, h[k] + v[:, k] @ (matrix - v @ h) / (v[:, k] @ v[:, k]))
        slopes = (v[: len(image)] - v[len(image) :]).T @ gradient
        maps.append(sum((slopes[k] * h[k]).sum() / h[k].sum() * h[k] for k in range(5)))
    return np.stack(maps).reshape(len(a), *a.shape[2:])


BY_HAND = {
    "grad-cam": grad_cam_by_hand,
    "hirescam": hirescam_by_hand,
    "layercam": layercam_by_hand,
    "grad-cam++": grad_cam_plus_plus_by_hand,
    "xgrad-cam": xgrad_cam_by_hand,
    "eigen-cam": eigen_cam_by_hand,
    "eigengrad-cam": lambda a, g: eigen_cam_by_hand(a * g, g),
    "seg-eigen-cam": seg_eigen_by_hand,
    "kpca-cam": kpca_cam_by_hand,
    "grad-cam-elementwise": elementwise_by_hand,
    "fem": fem_by_hand,
    "finer-cam": grad_cam_by_hand,
    "dff": dff_by_hand,
}
PURE = [name for name, method in METHODS.items() if method.kind in ("gradient", "activation")]


def some(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    activation = torch.randn(3, 5, 6, 7, generator=generator, dtype=torch.float64)
    gradient = torch.randn(3, 5, 6, 7, generator=generator, dtype=torch.float64)
    gradient[0, 1] = 0
    return activation, gradient


@pytest.mark.parametrize("name", PURE)
def test_the_method_equals_its_formula(name: str) -> None:
    activation, gradient = some()
    want = BY_HAND[name](activation.numpy(), gradient.numpy())
    np.testing.assert_allclose(METHODS[name].weighted_map(activation, gradient).numpy(), want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", PURE)
def test_a_batch_equals_its_images_alone(name: str) -> None:
    activation, gradient = some(1)
    whole = METHODS[name].weighted_map(activation, gradient)
    alone = torch.cat([METHODS[name].weighted_map(activation[n : n + 1], gradient[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(whole, alone, rtol=1e-12, atol=1e-12)


def explained(model: torch.nn.Module, layer: str, method: str, target: int) -> Tensor:
    score = find_score(target, ("a", "b", "c"))
    return attributed(model, images(), [find_layer(model, layer)], METHODS[method], score).maps[layer]


@pytest.mark.parametrize("target", [0, 1, 2])
def test_on_a_pooled_linear_head_hirescam_equals_grad_cam_and_sums_to_logit_minus_bias(target: int) -> None:
    model = seeded(Linear()).double()
    hires, plain = (explained(model, "features", method, target) for method in ("hirescam", "grad-cam"))
    torch.testing.assert_close(hires, plain, rtol=0, atol=1e-12)
    want = forward(model, images())[:, target] - model.fc.bias[target].detach()
    torch.testing.assert_close(hires.sum((1, 2)), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layer", ["conv2"])
def test_on_a_flattening_head_hirescam_is_complete_and_grad_cam_is_not(layer: str) -> None:
    model = seeded(FourConv()).double()
    want = forward(model, images())[:, 0] - model.fc.bias[0].detach()
    torch.testing.assert_close(explained(model, layer, "hirescam", 0).sum((1, 2)), want, rtol=0, atol=1e-9)
    assert (explained(model, layer, "grad-cam", 0).sum((1, 2)) - want).abs().max() > 0.1


def test_draelos_counter_example() -> None:
    # One map, both cells active, weights +2 and -1: only the first place speaks for the class.
    activation, gradient = torch.ones(1, 1, 1, 2), torch.tensor([[[[2.0, -1.0]]]])
    assert METHODS["grad-cam"].weighted_map(activation, gradient).tolist() == [[[0.5, 0.5]]]
    assert METHODS["hirescam"].weighted_map(activation, gradient).tolist() == [[[2.0, -1.0]]]


def test_the_maps_of_two_logits_add_up_to_the_map_of_their_sum() -> None:
    model = seeded(Pooled()).double()
    layer = [find_layer(model, "block")]
    both = attributed(model, images(), layer, METHODS["grad-cam"], find_score(lambda z: z[:, 0] + z[:, 1], "abc"))
    parts = [explained(model, "block", "grad-cam", target) for target in (0, 1)]
    torch.testing.assert_close(both.maps["block"], parts[0] + parts[1], rtol=0, atol=1e-12)


def test_eigen_cam_has_a_sign_that_a_flip_of_the_basis_cannot_change() -> None:
    (activation, gradient), of = some(2), METHODS["eigen-cam"].weighted_map
    for seed in range(20):
        turn = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))[0]
        turned = torch.einsum("nkij,kl->nlij", activation, turn)
        torch.testing.assert_close(of(turned, gradient), of(activation, gradient), rtol=0, atol=1e-9)


def test_eigen_cam_lights_the_bright_blob_not_its_background() -> None:
    generator = torch.Generator().manual_seed(0)
    for seed in range(50):
        activation = torch.rand(1, 8, 10, 10, generator=generator) * 0.3
        y, x = divmod(seed * 7 % 64, 8)
        activation[0, :, y : y + 3, x : x + 3] += torch.rand(8, 1, 1, generator=generator) * 4
        found = METHODS["eigen-cam"].weighted_map(activation, activation)[0]
        assert found[y : y + 3, x : x + 3].mean() > found.mean()


def test_nan_in_one_image_stays_there() -> None:
    activation, gradient = some()
    want = [METHODS[name].weighted_map(activation, gradient)[1] for name in PURE]
    activation[0, 0, 0, 0] = float("nan")
    for name, expected in zip(PURE, want, strict=True):
        found = METHODS[name].weighted_map(activation, gradient)
        assert found[0].isnan().any()
        torch.testing.assert_close(found[1], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("GradCAM", "grad-cam"),
        ("gradcam++", "grad-cam++"),
        ("GradCAMPlusPlus", "grad-cam++"),
        ("HiRes-CAM", "hirescam"),
        ("DeepFeatureFactorization", "dff"),
    ],
)
def test_other_spellings_are_understood(asked: str, name: str) -> None:
    assert method_name(asked) == name


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(OptionError, match=r"no method 'gradcan'.*Nearest: grad-cam"):
        find_method("gradcan")

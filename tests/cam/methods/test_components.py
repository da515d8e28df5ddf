"""Kernel PCA, Shapley values and factorisation of features: against scikit-learn, and against their laws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy import explain
from seewhy.cam.methods.catalogue import METHODS
from seewhy.cam.methods.factorization import factorize
from seewhy.cam.methods.kernel import KERNELS, kernel_component
from seewhy.compat.pytorch_grad_cam import ShapleyCAM
from seewhy.compat.pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from seewhy.errors import OptionError
from tests.models import FourConv, images, seeded


def features(seed: int = 0, relu: bool = True, side: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    activation = torch.randn(3, 7, side, 5, generator=generator, dtype=torch.float64)
    return activation.relu() if relu else activation


@pytest.mark.parametrize("side", [6, 60], ids=["all values", "the largest value"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernel_pca_is_that_of_scikit_learn(kernel: str, side: int) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    a = features(1, side=side)
    for image, have in zip(a, kernel_component(a, kernel), strict=True):
        cells = image.flatten(1).T.numpy()
        reference = decomposition.KernelPCA(1, kernel=kernel, eigen_solver="dense")
        want = reference.fit_transform(cells - cells.mean(0))[:, 0].reshape(have.shape)
        want = want * np.sign(np.cov(want.ravel(), np.linalg.norm(cells, axis=1))[0, 1])
        np.testing.assert_allclose(have, want, atol=1e-6 * np.abs(want).max())
    with pytest.raises(OptionError, match=r"There is no kernel 'sigmoidal'\.  Nearest: sigmoid"):
        kernel_component(a, "sigmoidal")


@pytest.mark.parametrize("scale", [1e-4, 1, 30], ids=["weak", "usual", "strong"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_float32_gives_the_component_that_float64_gives(kernel: str, scale: float) -> None:
    a = (scale * (features(3, side=60) + 2 * features(4, side=60).mean(dim=1, keepdim=True))).float()
    have, want = kernel_component(a, kernel), kernel_component(a.double(), kernel)
    apart = (have - want).abs().amax(dim=(1, 2)) / want.abs().amax(dim=(1, 2))
    assert have.dtype == torch.float32
    assert float(apart.max()) <= 2e-6


def test_a_component_that_is_hardly_the_largest_is_found_in_float64() -> None:
    values = torch.tensor([1 + 1e-5, 1, 0.5, 0.1], dtype=torch.float64)
    vectors = torch.linalg.qr(torch.cat([torch.ones(300, 1), features(5, side=60)[0].view(-1, 300)[:4].T], dim=1)).Q
    cells = (vectors[:, 1:].T * values.sqrt()[:, None]).view(1, 4, 20, 15)  # whose centred rows are these components
    have, want = (kernel_component(a, "linear")[0].double().flatten() for a in (cells.float(), cells))
    assert float((have - want).abs().max() / want.abs().max()) < 0.02  # what rounding the features itself turns
    assert float((want @ vectors[:, 1]).abs()) == pytest.approx(float(values[0].sqrt()), abs=1e-6)


def test_a_component_that_no_linear_one_holds_is_found() -> None:
    """Of places that lie on both sides of the middle alike, a cubed kernel sees most how far they are from it."""
    half = features(6, relu=False, side=60)[:1, :2].flatten(2)
    cells = torch.cat([half, -half], dim=2).view(1, 2, 60, 10).float() * 3
    x = cells[0].flatten(1).T.double()
    products = (x @ x.T / 2 + 1) ** 3
    middle = torch.eye(600, dtype=torch.float64) - 1 / 600
    values, vectors = torch.linalg.eigh(middle @ products @ middle)
    have = kernel_component(cells, "poly")[0].double().flatten()
    assert float((have @ vectors[:, -1]).abs() / have.norm()) == pytest.approx(1, abs=1e-9)
    assert float(have.norm() ** 2) == pytest.approx(float(values[-1]), rel=1e-5)


def test_a_linear_kernel_is_eigen_cam() -> None:
    a = features(2)
    want = METHODS["eigen-cam"].weighted_map(a, None)
    np.testing.assert_allclose(kernel_component(a, "linear"), want, atol=1e-7 * float(want.abs().max()))


def test_a_flat_layer_has_an_empty_component() -> None:
    assert kernel_component(torch.ones(1, 3, 4, 4)).abs().max() <= 1e-6


class Squares(nn.Module):
    """A score that is a sum over channels of squares of their means: each channel's Shapley value is its own term."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 6, 3, padding=1)
        self.fc = nn.Linear(6, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3)) ** 2)


def test_shapley_cam_adds_up_to_a_score_of_second_order_where_grad_cam_counts_it_twice() -> None:
    model, x = seeded(Squares()).double(), images(3, 16).double()
    with torch.no_grad():
        score = model(x)[:, 1].numpy()
    for name, times in (("shapley-cam", 1), ("grad-cam", 2)):
        found = explain(model, x, target=1, layers="features", method=name, progress=False).maps
        np.testing.assert_allclose(found.sum((1, 2)), times * score, rtol=1e-4)


def test_shapley_cam_of_a_piecewise_linear_score_is_grad_cam_and_leaves_the_network() -> None:
    model, x = seeded(FourConv()), images(2)
    alike = ("shapley-cam", "grad-cam")
    found = [explain(model, x, target=1, layers="conv1", method=name, progress=False).maps for name in alike]
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    assert all(parameter.grad is None for parameter in model.parameters())


class Encoder(nn.Module):
    """Tokens of patches that attend to each other by the kernel that torch takes for it."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.fc = nn.Linear(16, 3)

    def rest(self, x: Tensor) -> Tensor:
        return self.fc(self.block(x.flatten(2).transpose(1, 2)).mean(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.patches(x))


def test_shapley_cam_through_attention_by_differences_of_gradients() -> None:
    model, x = seeded(Encoder()).double(), images(2, 16).double()
    kernels = torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled()
    found = explain(model, x, target=1, layers="patches", method="shapley-cam", progress=False).maps

    def slope(a: Tensor) -> Tensor:
        a = a.detach().requires_grad_()
        return torch.autograd.grad(model.rest(a)[:, 1].sum(), a)[0]

    a = model.patches(x).detach()
    bend = (slope(a * (1 + 1e-5)) - slope(a * (1 - 1e-5))) / 2e-5
    weights = (slope(a) - bend / 2).mean((2, 3), keepdim=True)
    assert float(bend.mean((2, 3)).abs().max()) > 1e-3
    np.testing.assert_allclose(found, (weights * a).sum(1).numpy(), rtol=1e-4, atol=1e-7)
    theirs = ShapleyCAM(model, [model.patches])
    assert theirs(x, [ClassifierOutputTarget(1)] * 2).shape == (2, 16, 16)
    assert kernels == (torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.mem_efficient_sdp_enabled())


@pytest.mark.parametrize("relu", [True, False])
def test_the_factorisation_is_that_of_scikit_learn(relu: bool) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    a = features(3, relu)
    before = a.clone()
    found = factorize(a, 4)
    matrix = a.transpose(0, 1).flatten(1).numpy()
    offset = matrix.min(1, keepdims=True)
    reference = decomposition.NMF(4, init="random", random_state=0)
    left = reference.fit_transform(matrix - offset)
    np.testing.assert_allclose(found.vectors.T, left + offset, atol=1e-8)
    np.testing.assert_allclose(found.maps.transpose(0, 1).flatten(1), reference.components_, atol=1e-8)
    assert torch.equal(a, before) and found.maps.min() >= 0


def test_the_factorisation_finds_what_the_features_are_made_of() -> None:
    generator = torch.Generator().manual_seed(0)
    concepts, where = torch.rand(2, 8, generator=generator), torch.zeros(1, 2, 6, 6)
    where[0, 0, :3], where[0, 1, 3:] = 1, torch.rand(3, 6, generator=generator) + 0.5
    a = torch.einsum("kc,nkhw->nchw", concepts, where)
    found = factorize(a, 2)
    offset = a.amin((0, 2, 3))
    again = torch.einsum("kc,nkhw->nchw", found.vectors - offset, found.maps) + offset[None, :, None, None]
    assert float((again - a).norm() / a.norm()) < 0.05
    with pytest.raises(OptionError, match="9 concepts are asked for of 8 channels on 36 places"):
        factorize(a, 9)

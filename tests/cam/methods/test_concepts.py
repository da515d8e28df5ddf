"""Deep feature factorisation: the concepts against scikit-learn, the map against Grad-CAM and the score."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from seewhy import explain
from seewhy.cam.methods.catalogue import METHODS, find_method
from seewhy.cam.methods.concepts import image_concepts
from tests.models import Linear, Pooled, images, seeded


def drawn(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exact(seed: int = 0, rank: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Features (2, 8, 6, 5) that are so many concepts (rank, 8), each alone somewhere, and their maps."""
    concepts, where = drawn(rank, 8, seed=seed), drawn(2, rank, 6, 5, seed=seed + 1)
    for row in range(rank):
        concepts[row, row] = concepts[row].max() + 1
        where[:, :, row] *= torch.eye(rank, dtype=torch.float64)[row][:, None]  # a row of places for it alone
        concepts[:, row] *= torch.eye(rank, dtype=torch.float64)[row]  # and a channel
    return torch.einsum("kc,nkhw->nchw", concepts, where), concepts, where


def rebuilt(activation: Tensor, n_concepts: int = 5) -> Tensor:
    return torch.einsum("nkc,nkhw->nchw", *image_concepts(activation, n_concepts))


def test_the_concepts_of_what_is_made_of_them_are_found() -> None:
    activation, concepts, where = exact()
    found = image_concepts(activation, 3, sweeps=2000)
    torch.testing.assert_close(torch.einsum("nkc,nkhw->nchw", *found), activation, rtol=0, atol=1e-6)
    for row in range(2):  # each is one of ours, but for its length
        cosine = torch.nn.functional.normalize(found.vectors[row], dim=1) @ torch.nn.functional.normalize(concepts).T
        order = cosine.argmax(dim=1)
        assert sorted(order.tolist()) == [0, 1, 2] and float(cosine.amax(dim=1).min()) > 1 - 1e-6
        scale = found.maps[row].sum((1, 2)) / where[row, order].sum((1, 2))
        torch.testing.assert_close(found.maps[row] / scale[:, None, None], where[row, order], rtol=0, atol=1e-4)


def test_from_the_same_start_scikit_learn_finds_the_same_concepts() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    activation = drawn(2, 7, 6, 5) ** 3
    start, found = image_concepts(activation, 4, sweeps=0), image_concepts(activation, 4, sweeps=30)
    for row, matrix in enumerate(activation.flatten(2).numpy()):
        model = decomposition.NMF(4, init="custom", solver="cd", tol=0, max_iter=30)
        left, right = start.vectors[row].T.numpy().copy(), start.maps[row].flatten(1).numpy().copy()
        left = model.fit_transform(matrix, W=left, H=right)
        np.testing.assert_allclose(found.vectors[row].T, left, atol=1e-9)
        np.testing.assert_allclose(found.maps[row].flatten(1), model.components_, atol=1e-9)


def test_the_start_is_that_of_scikit_learn() -> None:
    nmf = pytest.importorskip("sklearn.decomposition._nmf")
    activation = drawn(1, 7, 6, 5)
    left, right = nmf._initialize_nmf(activation[0].flatten(1).numpy(), 4, init="nndsvd", random_state=0)
    found = image_concepts(activation, 4, sweeps=0)
    np.testing.assert_allclose(found.vectors[0].T, left, atol=1e-6)
    np.testing.assert_allclose(found.maps[0].flatten(1), right, atol=1e-6)


def test_every_sweep_fits_better() -> None:
    activation, last = drawn(2, 9, 6, 5), float("inf")
    for sweeps in (0, 1, 2, 5, 20, 100):
        found = image_concepts(activation, 3, sweeps=sweeps)
        assert found.maps.min() >= 0 and found.vectors.min() >= 0
        error = float((torch.einsum("nkc,nkhw->nchw", *found) - activation).norm())
        assert error < last
        last = error


@pytest.mark.parametrize("signed", [False, True], ids=["of one sign", "of both signs"])
def test_of_an_exact_factorisation_and_even_gradients_the_map_is_grad_cam(signed: bool) -> None:
    activation = exact()[0] if not signed else exact()[0] * torch.tensor([1, -1] * 4).view(1, 8, 1, 1)
    gradient = (drawn(2, 8, seed=5) - 0.5)[:, :, None, None].expand_as(activation)
    want = METHODS["grad-cam"].weighted_map(activation, gradient)
    have = METHODS["dff"].weighted_map(activation, gradient)
    torch.testing.assert_close(have, want, rtol=0, atol=1e-4 * float(want.abs().max()))


def test_a_map_adds_up_to_gradient_times_factorised_features() -> None:
    activation, gradient = drawn(3, 9, 6, 5) - 0.3, drawn(3, 9, 6, 5, seed=1) - 0.5
    have = METHODS["dff"].weighted_map(activation, gradient).sum((1, 2))
    torch.testing.assert_close(have, (gradient * rebuilt(activation)).sum((1, 2, 3)))


def test_on_a_pooled_linear_head_it_adds_up_to_the_logit_of_the_factorised_features() -> None:
    model, x = seeded(Linear()).double(), images(3, 16).double()
    found = explain(model, x, target=1, layers="features", method="dff", progress=False).maps
    with torch.no_grad():
        features = rebuilt(model.features(x))
        want = features.mean((2, 3)) @ model.fc.weight[1]
    np.testing.assert_allclose(found.sum((1, 2)), want, rtol=1e-5)


def test_one_concept_of_one_place_or_channel_or_of_nothing() -> None:
    gradient = drawn(2, 4, 3, 3)
    assert not METHODS["dff"].weighted_map(torch.zeros(2, 4, 3, 3), gradient.float()).any()
    for shape in ((2, 4, 1, 1), (2, 1, 3, 3)):
        activation = drawn(*shape)
        torch.testing.assert_close(rebuilt(activation), activation)
    lone = torch.zeros(1, 4, 3, 3, dtype=torch.float64)
    lone[0, 2, 1, 1] = 3
    want = torch.zeros(1, 3, 3, dtype=torch.float64)
    want[0, 1, 1] = 3 * gradient[0, 2, 1, 1]
    torch.testing.assert_close(METHODS["dff"].weighted_map(lone, gradient[:1]), want)


def test_an_image_has_the_same_bytes_in_any_company_and_at_any_time() -> None:
    activation, gradient = (torch.randn(5, 9, 7, 6, generator=torch.Generator().manual_seed(n)).relu() for n in (0, 1))
    of = METHODS["dff"].weighted_map
    whole = of(activation, gradient)
    torch.manual_seed(3)
    alone = torch.cat([of(activation[row : row + 1], gradient[row : row + 1]) for row in range(5)])
    torch.testing.assert_close(whole, alone, rtol=1e-6, atol=1e-6)
    assert torch.equal(of(activation, gradient), whole)


def test_a_mirrored_picture_has_the_mirrored_map() -> None:
    activation, gradient = drawn(2, 9, 6, 5) - 0.3, drawn(2, 9, 6, 5, seed=1) - 0.5
    of = METHODS["dff"].weighted_map
    torch.testing.assert_close(of(activation.flip(3), gradient.flip(3)).flip(2), of(activation, gradient))


def test_features_twice_as_strong_give_a_map_twice_as_strong() -> None:
    activation, gradient = drawn(2, 9, 6, 5) - 0.3, drawn(2, 9, 6, 5, seed=1) - 0.5
    of = METHODS["dff"].weighted_map
    torch.testing.assert_close(of(2 * activation, gradient), 2 * of(activation, gradient))
    torch.testing.assert_close(of(activation, 3 * gradient), 3 * of(activation, gradient))


def test_the_first_component_does_not_take_its_place() -> None:
    assert find_method("dff", eigen=True) is METHODS["dff"]
    model, x = seeded(Pooled()), images(2, 16)
    maps = [explain(model, x, layers="act", method="dff", smooth=s, progress=False).maps for s in ((), "eigen")]
    np.testing.assert_array_equal(*maps)

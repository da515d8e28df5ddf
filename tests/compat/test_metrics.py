"""Metrics give the numbers of the real package where those say what they mean, and ranks in place of plateaus."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy.compat import pytorch_grad_cam as package
from seewhy.compat.pytorch_grad_cam.metrics import arcc, cam_mult_image, road
from seewhy.compat.pytorch_grad_cam.metrics import perturbation_confidence as perturbation
from seewhy.errors import DataError, OptionError
from seewhy.evidence.metrics.imputation import NEIGHBOURS, filled, lowest
from tests.compat.peers import Target, theirs
from tests.models import Pooled, images, seeded

pytest.importorskip("pytorch_grad_cam.metrics.arcc")
import pytorch_grad_cam.metrics.arcc as their_arcc
import pytorch_grad_cam.metrics.cam_mult_image as their_cam_mult_image
import pytorch_grad_cam.metrics.perturbation_confidence as their_perturbation
import pytorch_grad_cam.metrics.road as their_road

# Theirs asks numpy of tensors in a way that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__")


def maps(count: int = 3, size: int = 24) -> np.ndarray:
    """Maps without two equal values."""
    rows = [np.random.default_rng(seed).permutation(size * size) for seed in range(count)]
    return (np.reshape(rows, (count, size, size)) / (size * size)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return seeded(Pooled())


@pytest.mark.parametrize("share", [0.03, 0.5, 0.97])
def test_missing_pixels_are_the_means_of_those_around(share: float) -> None:
    image, known = images(1, 30)[0], torch.from_numpy(maps(1, 30)[0]) > share
    have = road.NoisyLinearImputer(noise=0)(image, known.float())
    want = their_road.NoisyLinearImputer(noise=0)(image.clone(), known.float())
    torch.testing.assert_close(have, want, rtol=0, atol=1e-5)
    assert torch.equal(have[:, known], image[:, known])
    noisy = [road.NoisyLinearImputer(noise=0.1)(image, known.float()) for _ in range(2)]
    assert torch.equal(noisy[0], noisy[1]) and torch.equal(noisy[0][:, known], image[:, known])
    assert 0.05 < float((noisy[0] - have)[:, ~known].std()) < 0.15


def test_a_ramp_is_filled_without_an_edge_and_nothing_known_by_the_mean() -> None:
    ramp = torch.linspace(0, 1, 20).expand(3, 20, 20)
    known = torch.ones(20, 20, dtype=torch.bool)
    known[5:14, 6:15] = False
    torch.testing.assert_close(filled(ramp, known), ramp, rtol=0, atol=1e-6)
    image = images(1, 8)[0]
    want = image.mean(dim=(1, 2), keepdim=True).expand_as(image)
    torch.testing.assert_close(filled(image, torch.zeros(8, 8, dtype=torch.bool)), want)
    assert torch.equal(filled(image, torch.ones(8, 8, dtype=torch.bool)), image)


def test_q18_the_weights_that_are_given_are_used() -> None:
    image, known = images(1, 12)[0], torch.ones(12, 12, dtype=torch.bool)
    known[4, 5] = False
    sideways = [((0, -1), 0.5), ((0, 1), 0.5)]
    have = road.NoisyLinearImputer(noise=0, weighting=sideways)(image, known.float())
    torch.testing.assert_close(have[:, 4, 5], (image[:, 4, 4] + image[:, 4, 6]) / 2)
    with pytest.raises(OptionError, match="the same in opposite directions"):
        filled(image, known, [((0, 1), 1.0)])
    assert dict(NEIGHBOURS) == dict(their_road.neighbors_weights)


@pytest.mark.parametrize("percentile", [10, 37.5, 50, 90, 100])
def test_what_is_removed_is_what_theirs_removes_where_no_values_are_equal(percentile: float) -> None:
    seen: dict[str, list[Tensor]] = {"ours": [], "theirs": []}
    for name, module in (("ours", perturbation), ("theirs", their_perturbation)):
        for kind in ("RemoveMostRelevantFirst", "RemoveLeastRelevantFirst"):
            note = lambda image, mask, to=seen[name]: (to.append(mask), image)[1]  # noqa: E731
            getattr(module, kind)(percentile, note)(images(1, 24)[0], torch.from_numpy(maps(1)[0]))
    assert all(torch.equal(have, want) for have, want in zip(seen["ours"], seen["theirs"], strict=True))


def test_q18_a_plateau_counts_as_its_share_of_places() -> None:
    sparse = torch.zeros(20, 20)
    sparse[3:6, 3:6] = 1
    kept = lowest(sparse, 50)
    assert int(kept.sum()) == 200 and not kept[3:6, 3:6].any()
    assert not torch.equal(kept, lowest(sparse, 50, seed=1))
    assert int((sparse < np.percentile(sparse, 50)).sum()) == 0  # theirs removes the whole image
    assert int(lowest(torch.zeros(20, 20), 90).sum()) == 360


def test_q18_auto_removes_what_the_name_says() -> None:
    mask = torch.rand(20, 20, generator=torch.Generator().manual_seed(0)) * 0.2
    mask[3:9, 3:9] += 0.7
    seen: list[Tensor] = []
    note = lambda image, kept: (seen.append(kept), image)[1]  # noqa: E731
    perturbation.RemoveMostRelevantFirst("auto", note)(images(1, 20)[0], mask)
    perturbation.RemoveLeastRelevantFirst("auto", note)(images(1, 20)[0], mask)
    assert torch.equal(seen[0] == 0, mask > 0.5) and torch.equal(seen[1] == 1, mask > 0.5)
    their_perturbation.RemoveMostRelevantFirst("auto", note)(images(1, 20)[0], mask)
    assert torch.equal(seen[2] > 0, mask > 0.5)  # theirs keeps the most relevant


@pytest.mark.parametrize("name", ["CamMultImageConfidenceChange", "DropInConfidence", "IncreaseInConfidence"])
def test_confidence_under_the_map(model: nn.Module, name: str) -> None:
    args = (images(3, 24), maps(), [Target(1)] * 3, model)
    have = getattr(cam_mult_image, name)()(*args)
    np.testing.assert_allclose(have, getattr(their_cam_mult_image, name)()(*args), atol=1e-6)
    scores, pictures = getattr(cam_mult_image, name)()(*args, return_visualization=True)
    np.testing.assert_array_equal(scores, have)
    torch.testing.assert_close(pictures, images(3, 24) * torch.from_numpy(maps())[:, None])


def test_the_papers_drop_is_a_share(model: nn.Module) -> None:
    softmax = [package.model_targets.ClassifierOutputSoftmaxTarget(1)] * 3
    args = (images(3, 24), maps(), softmax, model)
    share = cam_mult_image.DropInConfidence(relative=True)(*args)
    before = model(images(3, 24)).softmax(1)[:, 1].detach().numpy()
    np.testing.assert_allclose(share, cam_mult_image.DropInConfidence()(*args) / before, rtol=1e-4)


@pytest.mark.parametrize(
    "name", ["ROADMostRelevantFirst", "ROADLeastRelevantFirst", "ROADMostRelevantFirstAverage", "ROADCombined"]
)
def test_road_but_for_the_noise(model: nn.Module, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (road, their_road):
        made = module.NoisyLinearImputer.__init__
        monkeypatch.setattr(made, "__defaults__", (0.0, module.neighbors_weights))
    args = (images(3, 24), maps(), [Target(1)] * 3, model)
    options: dict[str, Any] = {} if name.endswith("First") else {"percentiles": [20, 50, 80]}
    have, want = (getattr(module, name)(**options)(*args) for module in (road, their_road))
    np.testing.assert_allclose(have, want, atol=1e-5)


def test_road_tells_a_map_from_its_inverse_and_leaves_the_network(model: nn.Module) -> None:
    model.train()
    x = images(3, 24)
    truth = package.HiResCAM(model, [model.stem])(x, [Target(1)] * 3)
    score = road.ROADCombined([20, 50, 80])
    targets = [Target(1)] * 3
    assert np.allclose(score(x, truth, targets, model), -score(x, 1 - truth, targets, model), atol=0.05)
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    model.eval()


def test_averages_ask_for_the_unchanged_images_once(model: nn.Module) -> None:
    x, targets, shares = images(3, 24), [Target(1)] * 3, [20, 50, 80]
    seen: list[Tensor] = []
    handle = model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    have = road.ROADCombined(shares)(x, maps(), targets, model)
    passes = list(seen)
    kinds = (road.ROADLeastRelevantFirst, road.ROADMostRelevantFirst)
    least, most = (
        np.mean([kind(share)(x, maps(), targets, model) for share in shares], axis=0, dtype=np.float32)
        for kind in kinds
    )
    handle.remove()
    assert len(passes) == 1 + 2 * len(shares) and sum(torch.equal(one, x) for one in passes) == 1
    np.testing.assert_array_equal(have, (least - most) / np.float32(2))


def test_an_average_of_a_scripts_own_metric_calls_it(model: nn.Module) -> None:
    class Halved(perturbation.PerturbationConfidenceMetric):
        def __init__(self, percentile: float) -> None:
            super().__init__(lambda image, mask: image * (mask > percentile / 100))

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return super().__call__(*args, **kwargs) / 2

    args = (images(3, 24), maps(), [Target(1)] * 3, model)
    have = perturbation.AveragerAcrossThresholds(Halved, [20, 60])(*args)
    want = np.mean([Halved(share)(*args) for share in (20, 60)], axis=0, dtype=np.float32)
    np.testing.assert_allclose(have, want, rtol=1e-6)


def test_arcc_and_its_parts(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (road, their_road):
        made = module.NoisyLinearImputer.__init__
        monkeypatch.setattr(made, "__defaults__", (0.0, module.neighbors_weights))
    softmax = [package.model_targets.ClassifierOutputSoftmaxTarget(1)] * 3
    x = images(3, 24)
    results = []
    for module, classes in ((arcc, package), (their_arcc, theirs)):
        base = classes.GradCAM(model, [model.block])
        results.append(module.ARCC(base, [20, 60])(x, maps(), softmax, model))
        results.append(module.Coherency()(x, maps(), softmax, model, base))
        results.append(module.Complexity()(maps()))
    for have, want in zip(results[:3], results[3:], strict=True):
        np.testing.assert_allclose(have, want, atol=2e-5)
    shouting = [lambda output: 1000 * output[1]] * 3
    with pytest.warns(UserWarning, match="ARCC cuts it at 0.5"):
        arcc.ARCC(package.GradCAM(model, [model.block]), [50])(x, maps(), shouting, model)


def test_maps_of_another_size_are_named(model: nn.Module) -> None:
    with pytest.raises(DataError, match=r"The maps have shape \(3, 8, 8\) for inputs \(3, 3, 24, 24\)"):
        road.ROADCombined()(images(3, 24), maps(3, 8), [Target(1)] * 3, model)
    with pytest.raises(OptionError, match="1 target for 3 images"):
        road.ROADCombined()(images(3, 24), maps(), [Target(1)], model)

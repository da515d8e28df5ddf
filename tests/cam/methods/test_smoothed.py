"""Smooth Grad-CAM++ against its formula and torchcam; the random null; test-time augmentation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import ttach
from torch import Tensor, nn
from torchcam.methods import SmoothGradCAMpp

from seewhy.cam.augment import augmentations
from seewhy.cam.capture import capture, find_layer, gradients
from seewhy.cam.grid import Grid
from seewhy.cam.methods import weighting
from seewhy.cam.methods.input_score import Scored
from seewhy.cam.methods.scene import Scene
from seewhy.cam.methods.smoothed import noisy_copies, random_weights, slopes_of, smooth_grad_cam_plus_plus
from seewhy.cam.model import untouched
from tests.models import FourConv, Pooled, images, seeded


def pick(output: object, rows: Tensor | None) -> Tensor:
    assert isinstance(output, Tensor)
    return output[:, 1]


def scene_of(model: nn.Module, inputs: Tensor, layer: str, grid: Grid | None = None, seed: int = 0) -> Scene:
    found = replace(find_layer(model, layer), grid=grid)
    with capture(model, inputs, [found]) as captured:
        slopes = gradients(captured.logits[:, 1], captured.activations)[layer]
        raw = captured.activations[layer].detach()
    seen, slopes = (grid.view(raw), grid.view(slopes)) if grid else (raw, slopes)
    return Scene(model, inputs, captured.logits[:, 1].detach(), pick, found, grid, raw, seen, slopes, seed)


def row(scene: Scene, index: int) -> Scene:
    parts = {name: getattr(scene, name)[index : index + 1] for name in ("inputs", "values", "raw", "activation")}
    return replace(scene, **parts, gradient=scene.gradient[index : index + 1])


def test_without_noise_it_is_grad_cam_plus_plus() -> None:
    scene = scene_of(seeded(FourConv()), images(3), "conv2")
    plain = weighting.grad_cam_plus_plus(scene.activation, scene.gradient)
    torch.testing.assert_close(smooth_grad_cam_plus_plus(scene, sigma_frac=0.0), plain, rtol=1e-4, atol=1e-6)


def test_equals_the_formula_written_out() -> None:
    model = seeded(Pooled()).double()
    scene = scene_of(model, images(2).double(), "block", seed=3)
    activation = scene.activation.numpy()
    copies = list(noisy_copies(scene.inputs, 5, 0.2, 3))
    slopes = np.stack([scene_of(model, one, "block").gradient.numpy() for one in copies])
    expected = np.zeros(activation.shape[:2])
    for n, k, i, j in np.ndindex(*activation.shape):
        at = slopes[:, n, k, i, j]
        first, second, third = at.mean(), (at**2).mean(), (at**3).mean()
        share = second / (2 * second + activation[n, k].sum() * third + 1e-6) if second else 0.0
        expected[n, k] += share * max(first, 0)
    ours = smooth_grad_cam_plus_plus(scene, n_copies=5, sigma_frac=0.2)
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-9)


class PooledHead(nn.Module):
    """A gradient that is the same at every place, but moves with the input: pooling, then a smooth head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 10, 3, padding=1)
        self.head = nn.Sequential(nn.Linear(10, 12), nn.Softplus(), nn.Linear(12, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


def test_equals_torchcam_where_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights of one copy, where the gradient is the same everywhere.

    torchcam multiplies activation and third derivative place by place, where Grad-CAM++ (eq. 19) has the activation's
    sum; and of several copies it takes the first derivative, and the features that are weighed, from the last alone.
    """
    model, inputs = seeded(PooledHead()).double(), images(2).double()
    scene = scene_of(model, inputs, "features")
    noise = 2 * torch.randn(inputs.shape, generator=torch.Generator().manual_seed(0)).double()
    monkeypatch.setattr("seewhy.cam.methods.smoothed.noisy_copies", lambda *_: iter([inputs + noise]))
    ours = smooth_grad_cam_plus_plus(scene, n_copies=1)
    with SmoothGradCAMpp(model, "features", num_samples=1, input_shape=(3, 32, 32)) as peer:
        monkeypatch.setattr(peer._distrib, "sample", lambda size: noise)
        model(inputs)
        theirs = peer._get_weights(1, eps=1e-6)[0]
    assert theirs.max() > 1e-4
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    plain = weighting.grad_cam_plus_plus(scene.activation, scene.gradient)
    assert (plain - theirs).abs().max() > 1e-5  # the noise matters


def test_noise_is_a_share_of_each_image_range_and_the_same_alone() -> None:
    inputs = torch.cat([images(2), 5 * images(1, seed=9)])
    together = torch.stack(list(noisy_copies(inputs, 3, 0.1, 7)))
    for index in range(3):
        alone = torch.stack(list(noisy_copies(inputs[index : index + 1], 3, 0.1, 7)))
        assert torch.equal(together[:, index], alone[:, 0])
    spread = (together - inputs).flatten(2).std(dim=(0, 2))
    torch.testing.assert_close(spread, torch.tensor([0.1, 0.1, 0.5]), rtol=0.05, atol=0)
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(next(noisy_copies(inputs, 1, 0.1, 8)), together[0])


def test_an_image_alone_and_in_a_batch() -> None:
    scene = scene_of(seeded(FourConv()), images(3), "conv2")
    for method in (smooth_grad_cam_plus_plus, random_weights):
        together = method(scene)
        alone = torch.cat([method(row(scene, index)) for index in range(3)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)


def test_nothing_random_moves_and_nothing_of_the_network_changes() -> None:
    model = seeded(Pooled(inplace=True)).train()
    inputs = images(2)
    with untouched(model):
        scene = scene_of(model, inputs, "block")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    smooth_grad_cam_plus_plus(scene)
    random_weights(scene)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    assert all(not module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_slopes_of_the_plain_input_are_the_gradient_on_any_grid() -> None:
    class Last(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.permute(0, 2, 3, 1)

    model = seeded(nn.Sequential(nn.Conv2d(3, 4, 3), Last(), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 196, 3)))
    scene = scene_of(model, images(2, 16), "1", Grid(14, 14, "channels-last"))
    assert scene.gradient.shape == (2, 4, 14, 14)
    torch.testing.assert_close(slopes_of(scene, Scored(scene), scene.inputs), scene.gradient)
    assert smooth_grad_cam_plus_plus(scene).shape == (2, 4)


def test_random_weights_are_seeded_normal_and_differ_between_images() -> None:
    model = seeded(FourConv())
    scene = scene_of(model, images(40), "conv2")
    weights = random_weights(scene)
    assert weights.shape == (40, 8)
    assert torch.equal(weights, random_weights(scene))
    assert not torch.equal(weights, random_weights(replace(scene, seed=1)))
    assert abs(weights.mean()) < 0.2 and abs(weights.std() - 1) < 0.15
    assert len(torch.unique(weights[:, 0])) > 35
    mirrored = replace(scene, inputs=scene.inputs.flip(-1))
    assert torch.equal(weights, random_weights(mirrored))


def test_augmentations_are_the_peers() -> None:
    peers = ttach.Compose([ttach.HorizontalFlip(), ttach.Multiply(factors=[0.9, 1, 1.1])])
    inputs = images(2, 8)
    ours = augmentations()
    assert len(ours) == len(peers) == 6
    for one, peer in zip(ours, peers, strict=True):
        changed = one.forward(inputs)
        torch.testing.assert_close(changed, peer.augment_image(inputs))
        maps = inputs[:, 0]
        assert torch.equal(one.back(maps), peer.deaugment_mask(maps[:, None])[:, 0])

"""SS-CAM and IS-CAM: by hand in float64, Score-CAM as their simplest case, and the same alone and in a batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy import explain
from seewhy.cam.methods.averaged_score_cam import is_cam, ss_cam
from seewhy.cam.methods.scene import Scene
from seewhy.cam.methods.score_cam import score_cam
from seewhy.errors import LayerError, ModelError
from tests.cam.methods.test_score_cam import scene_of
from tests.models import Pooled, images, seeded

METHODS: dict[str, Callable[..., Tensor]] = {"ss-cam": ss_cam, "is-cam": is_cam}


def seen_through(scene: Scene, index: int, channel: Tensor, strength: float = 1.0) -> float:
    """The score of one image behind one mask."""
    mask = functional.interpolate(
        channel[None, None], size=scene.inputs.shape[-2:], mode="bilinear", align_corners=True
    )[0, 0]
    mask = strength * (mask - mask.min()) / (mask.max() - mask.min() + 1e-8)
    with torch.no_grad():
        output = scene.model(scene.inputs[index : index + 1] * mask)
    return float(scene.rescore(output, torch.tensor([index]))[0])


def softmax(scores: list[float]) -> list[float]:
    powers = [np.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def double_scene(layer: str = "block") -> Scene:
    return scene_of(seeded(Pooled()).double(), images(2).double(), layer, [2, 1])


def test_ss_cam_equals_the_definition() -> None:
    scene = double_scene()
    generator = torch.Generator().manual_seed(0)
    noises = [torch.randn(scene.activation.shape[1:], generator=generator).double() for _ in range(3)]
    want = []
    for index, channels in enumerate(scene.activation):
        scores = []
        for k, channel in enumerate(channels):
            sigma = 0.2 * (channel.max() - channel.min())
            scores.append(np.mean([seen_through(scene, index, channel + sigma * noise[k]) for noise in noises]))
        want.append(softmax(scores))
    np.testing.assert_allclose(ss_cam(scene, n_copies=3, sigma_frac=0.2), want, rtol=1e-9)


def test_is_cam_equals_the_definition() -> None:
    scene = double_scene()
    want = [
        softmax([np.mean([seen_through(scene, index, channel, i / 4) for i in (1, 2, 3, 4)]) for channel in channels])
        for index, channels in enumerate(scene.activation)
    ]
    np.testing.assert_allclose(is_cam(scene, n_steps=4), want, rtol=1e-9)


def test_without_noise_and_with_one_step_they_are_score_cam() -> None:
    scene = scene_of(seeded(Pooled()), images(3), "act", [0, 2, 1])
    want = score_cam(scene)
    torch.testing.assert_close(ss_cam(scene, n_copies=3, sigma_frac=0.0), want, rtol=1e-5, atol=1e-7)
    assert torch.equal(is_cam(scene, n_steps=1), want)
    assert (ss_cam(scene) - want).abs().max() > 1e-4 and (is_cam(scene) - want).abs().max() > 1e-4


class Affine(nn.Module):
    """A network that is linear in the picture: what a mask that fades in leaves of the score is known."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.fc = nn.Conv2d(3, 5, 3, padding=1), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3)))


@pytest.mark.parametrize("n_steps", [2, 10])
def test_of_a_linear_network_is_cams_scores_are_score_cams_shrunk(n_steps: int) -> None:
    scene = scene_of(seeded(Affine()).double(), images(3).double(), "features", [0, 2, 1])
    share = (n_steps + 1) / (2 * n_steps)  # the mean of i / n
    want = (share * score_cam(scene).log()).softmax(dim=1)  # what is the same for all channels falls out
    torch.testing.assert_close(is_cam(scene, n_steps=n_steps), want, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", METHODS)
def test_an_image_is_weighed_as_if_it_were_alone(name: str) -> None:
    model, x, targets = seeded(Pooled()), images(3), [0, 2, 1]
    together = METHODS[name](scene_of(model, x, "block", targets))
    for index, target in enumerate(targets):
        alone = METHODS[name](scene_of(model, x[index : index + 1], "block", [target]))
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-5, atol=1e-6)


def test_the_seed_decides_the_noise_and_nothing_else() -> None:
    model, x = seeded(Pooled()), images(2, 16)

    def found(method: str, seed: int) -> np.ndarray:
        return explain(model, x, target=1, layers="act", method=method, seed=seed, progress=False).maps

    state = torch.random.get_rng_state()
    first = found("ss-cam", 3)
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(found("ss-cam", 3), first)
    assert np.abs(found("ss-cam", 4) - first).max() > 1e-6 * np.abs(first).max()
    np.testing.assert_array_equal(found("is-cam", 3), found("is-cam", 4))


@pytest.mark.parametrize("name", METHODS)
def test_a_dead_channel_weighs_as_a_mask_of_nothing(name: str) -> None:
    scene = scene_of(seeded(Pooled()), images(1), "act", [1])
    scene.activation[:, :3] = 0
    weights = METHODS[name](scene)
    assert len(set(weights[0, :3].tolist())) == 1


@pytest.mark.parametrize("name", METHODS)
def test_what_cannot_be_masked_is_refused(name: str) -> None:
    scene = scene_of(seeded(Pooled()), images(1), "block", [0])
    with pytest.raises(LayerError, match=f"{name.upper()} weighs the channels of a layer, and none is named"):
        METHODS[name](Scene(scene.model, scene.inputs, scene.values, scene.rescore))
    flat = Scene(scene.model, scene.inputs.flatten(2), scene.values, scene.rescore, activation=scene.activation)
    with pytest.raises(ModelError, match=f"{name.upper()} masks images"):
        METHODS[name](flat)

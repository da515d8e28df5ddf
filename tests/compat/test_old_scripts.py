"""What public scripts do with the other package that goes beyond a call: earlier versions' words, and parts of it."""

from __future__ import annotations

import copy
from typing import Any

import cv2
import numpy as np
import pytest
from torch import Tensor, nn

from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM
from seewhy.compat.pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from seewhy.errors import OptionError
from tests.compat.peers import ours, theirs
from tests.models import FourConv, Pooled, images, seeded


def recorded(package: Any, model: nn.Module, x: Tensor, passes: int) -> list[np.ndarray]:
    """The gradients at two layers after so many backward passes, one for each class, as a detector's script sums."""
    own = copy.deepcopy(model)
    watched = package.activations_and_gradients.ActivationsAndGradients(own, [own.conv1, own.conv2], None)
    output = watched(x)
    for column in range(passes):
        output[:, column].sum().backward(retain_graph=True)
    return [gradient.numpy() for gradient in watched.gradients]


def test_several_backward_passes_over_one_output_are_all_recorded() -> None:
    model, x = seeded(FourConv()), images(2)
    want, have = (recorded(package, model, x, 2) for package in (theirs, ours))
    assert len(have) == len(want) == 4
    for one, other in zip(have, want, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


class Emptied(ours.ActivationsAndGradients):
    def __call__(self, x: Tensor) -> Any:
        self.gradients = []
        self.activations = []
        return self.model(x)


def test_a_script_that_empties_the_lists_itself_goes_from_image_to_image() -> None:
    model = seeded(FourConv())
    cam = ours.GradCAM(model, [model.conv1, model.conv2])
    plain = ours.GradCAM(model, [model.conv1, model.conv2])
    cam.activations_and_grads = Emptied(model, [model.conv1, model.conv2], None)
    for x in (images(2), images(1, seed=5), images(3, 48, seed=6)[:, :, :32, :32]):
        targets = [ClassifierOutputTarget(1)] * len(x)
        np.testing.assert_allclose(cam(x, targets), plain(x, targets), atol=1e-6)
    cam.activations_and_grads.release()


@pytest.mark.parametrize("name", ["GradCAM", "GradCAMPlusPlus", "XGradCAM"])
def test_a_class_that_is_asked_for_weights_without_being_made(name: str) -> None:
    random = np.random.default_rng(1)
    activations, grads = (random.normal(size=(1, 4, 5, 6)).astype(np.float32) for _ in range(2))
    cam, other = getattr(ours, name), getattr(theirs, name)
    want = other.get_cam_weights(other, None, None, None, activations, grads)
    np.testing.assert_allclose(cam.get_cam_weights(cam, None, None, None, activations, grads), want, 1e-4, 1e-6)


def test_random_weights_of_the_class_alone_are_the_same_every_time() -> None:
    activations = np.random.default_rng(1).normal(size=(2, 4, 5, 6)).astype(np.float32)
    cam = ours.RandomCAM
    weights = cam.get_cam_weights(cam, None, None, None, activations, None)
    assert weights.shape == (2, 4) and weights.dtype == np.float32 and len(np.unique(weights)) == 8
    np.testing.assert_array_equal(cam.get_cam_weights(None, None, None, None, activations, None), weights)


def test_a_scaling_that_a_script_puts_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, targets = seeded(FourConv()), images(2), [ClassifierOutputTarget(1)] * 2

    def untouched_numbers(cam, target_size=None):  # type: ignore
        assert isinstance(cam, np.ndarray)
        return cam if target_size is None else np.stack([cv2.resize(one, target_size) for one in cam])

    maps = []
    for package in (ours, theirs):
        with monkeypatch.context() as patched:
            patched.setattr(package.base_cam, "scale_cam_image", untouched_numbers)
            own = copy.deepcopy(model)
            maps.append(package.GradCAM(own, [own.conv2])(x, targets))
    np.testing.assert_allclose(*maps, rtol=1e-4, atol=1e-7)
    assert 0 < maps[0].max() < 0.9, "as they are, and not up to 1"


def test_one_layer_by_the_name_that_it_had() -> None:
    model, x = seeded(FourConv()), images(2)
    with pytest.warns(UserWarning, match="target_layer=… is what target_layers was called until 1.3"):
        cam = ours.ScoreCAM(model=model, target_layer=model.conv2)
    assert cam.target_layers == [model.conv2]
    with pytest.warns(UserWarning, match="target_layer"):
        np.testing.assert_array_equal(
            ours.GradCAM(model, target_layer=model.conv2)(x), ours.GradCAM(model, [model.conv2])(x)
        )


class OldScore(BaseCAM):
    """A class as those of 1.4.8 were written: use_cuda in third place, the rest by name; `self.cuda` is read."""

    def __init__(self, model, target_layers, use_cuda=False, reshape_transform=None):  # type: ignore
        super().__init__(model, target_layers, use_cuda, reshape_transform=reshape_transform, uses_gradients=False)

    def get_cam_weights(self, input_tensor, target_layer, targets, activations, grads):  # type: ignore
        assert grads is None and self.cuda is False
        return activations.mean(axis=(2, 3))


def test_use_cuda_in_third_place() -> None:
    model, x = seeded(Pooled()), images(2)
    with pytest.warns(UserWarning, match="use_cuda=False is taken"):
        old = OldScore(model, [model.block])
    new = type("New", (OldScore,), {"__init__": BaseCAM.__init__})(model, [model.block], uses_gradients=False)
    np.testing.assert_array_equal(old(x), new(x))
    with pytest.warns(UserWarning, match="use_cuda=True is taken"):
        ablation = ours.AblationCAM(model, [model.block], True, None, batch_size=3)
    assert ablation.batch_size == 3 and ablation.reshape_transform is None
    with pytest.warns(UserWarning, match="use_cuda=False"):
        whole = BaseCAM(model, [model.block], False, len, True, False)
    assert (whole.reshape_transform, whole.compute_input_gradient, whole.uses_gradients) == (len, True, False)


def test_target_category_of_the_first_versions() -> None:
    model, x = seeded(FourConv()), images(2)
    cam = ours.GradCAM(model, [model.conv2])
    one = cam(x, [ClassifierOutputTarget(1)] * 2)
    with pytest.warns(UserWarning, match="target_category=1 is what targets was called until 1.3"):
        np.testing.assert_array_equal(cam(input_tensor=x, target_category=1), one)
    with pytest.warns(UserWarning, match="target_category"):
        both = cam(input_tensor=x, target_category=[1, 0])
    np.testing.assert_array_equal(both, cam(x, [ClassifierOutputTarget(1), ClassifierOutputTarget(0)]))
    np.testing.assert_array_equal(cam(x, target_category=None), cam(x))
    with pytest.raises(OptionError, match="both say what is explained"):
        cam(x, [ClassifierOutputTarget(1)] * 2, target_category=1)


class Frames(nn.Module):
    """Clips (N, T, 3, H, W) to classes of every frame (N T, K), as video networks over a picture network give them."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures = Pooled()

    def forward(self, x: Tensor) -> Tensor:
        return self.pictures(x.flatten(0, 1))


class FrameCAM(BaseCAM):
    def get_cam_weights(self, input_tensor, target_layer, target_category, activations, grads):  # type: ignore
        return np.mean(grads, axis=(2, 3))

    def get_target_width_height(self, input_tensor: Tensor) -> tuple[int, int]:
        return input_tensor.size(-1), input_tensor.size(-2)


def test_a_size_of_the_scripts_own_for_the_frames_of_a_clip() -> None:
    model = seeded(Frames())
    clips = images(6).reshape(2, 3, 3, 32, 32)
    found = FrameCAM(model, [model.pictures.block])(clips)
    pictures = ours.GradCAM(model.pictures, [model.pictures.block])(clips.flatten(0, 1))
    assert found.shape == (6, 32, 32)
    np.testing.assert_allclose(found, pictures, atol=1e-6)


def test_one_map_is_scaled_as_a_whole() -> None:
    """As detectors' scripts scale the part within a box; theirs scales every row by itself, to stripes."""
    part = (
        np.random.default_rng(0).random((7, 5)).astype(np.float32) * np.linspace(0.1, 0.4, 7, dtype=np.float32)[:, None]
    )
    found = ours.utils.image.scale_cam_image(part.copy())
    np.testing.assert_array_equal(found, ours.utils.image.scale_cam_image(part[None])[0])
    np.testing.assert_allclose(found, (part - part.min()) / (part.max() - part.min()), atol=1e-5)
    rows = theirs.utils.image.scale_cam_image(part.copy())
    np.testing.assert_allclose(rows.max(axis=1), 1, atol=1e-5)
    assert ours.utils.image.scale_cam_image(part, (10, 14)).shape == (14, 10)


def test_a_network_that_gives_more_than_logits() -> None:
    model, x = seeded(FourConv()), images(1)
    pair = nn.Module()
    pair.inner = model
    pair.forward = lambda inputs: (model(inputs), model.conv1(inputs))  # type: ignore
    targets = [ClassifierOutputTarget(1)]
    want = ours.GradCAM(model, [model.conv2])(x, targets)
    np.testing.assert_allclose(ours.GradCAM(pair, [model.conv2])(x, targets), want, atol=1e-6)
    np.testing.assert_allclose(theirs.GradCAM(pair, [model.conv2])(x, targets), want, atol=1e-5)

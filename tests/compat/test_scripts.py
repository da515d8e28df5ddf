"""Scripts as people write them for the other package, with nothing but the import changed."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seewhy.compat.pytorch_grad_cam import GradCAM
from seewhy.compat.pytorch_grad_cam.activations_and_gradients import ActivationsAndGradients
from seewhy.compat.pytorch_grad_cam.base_cam import BaseCAM
from seewhy.compat.pytorch_grad_cam.eigen_cam import EigenCAM
from seewhy.compat.pytorch_grad_cam.utils.image import preprocess_image, scale_cam_image, show_cam_on_image
from seewhy.compat.pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget, ClassifierOutputTarget
from tests.compat.peers import maps_of, ours, theirs
from tests.models import FourConv, FrozenBackbone, Pooled, images, seeded


def test_the_notebooks_loop() -> None:
    model, pictures = seeded(FourConv()), images(3).permute(0, 2, 3, 1).numpy()
    shown = []
    for picture in pictures:
        input_tensor = preprocess_image(picture, mean=[0, 0, 0], std=[1, 1, 1])
        with GradCAM(model=model, target_layers=[model.conv1, model.conv2]) as cam:
            grayscale_cam = cam(input_tensor=input_tensor, targets=[ClassifierOutputTarget(0)])[0, :]
        shown.append(show_cam_on_image(picture, grayscale_cam, use_rgb=True))
    assert np.shape(shown) == (3, 32, 32, 3) and shown[0].dtype == np.uint8
    targets = [theirs.utils.model_targets.ClassifierOutputTarget(0)] * 3
    want = maps_of(theirs, "GradCAM", model, images(3), ["conv1", "conv2"], targets)
    drawn = [
        theirs.utils.image.show_cam_on_image(one, mask, use_rgb=True) for one, mask in zip(pictures, want, strict=True)
    ]
    assert (np.abs(np.int32(shown) - np.int32(drawn)).max(3) > 1).mean() <= 1e-4


def test_the_package_under_its_own_name() -> None:
    import seewhy.compat.pytorch_grad_cam as pytorch_grad_cam

    for name in (
        "utils.model_targets.ClassifierOutputSoftmaxTarget",
        "utils.reshape_transforms.vit_reshape_transform",
        "metrics.road.ROADCombined",
        "metrics.cam_mult_image.CamMultImageConfidenceChange",
        "base_cam.BaseCAM",
        "feature_factorization.deep_feature_factorization.dff",
    ):
        thing: Any = pytorch_grad_cam
        for part in name.split("."):
            thing = getattr(thing, part)
        assert callable(thing)


def public_names(package: Any) -> Iterator[str]:
    return (name for name in vars(package) if isinstance(getattr(package, name), type))


def test_every_class_of_theirs_is_there() -> None:
    assert set(public_names(theirs)) <= set(public_names(ours))


# YOLO- and OpenMMLab-style: classes derived from theirs, targets of the whole output.


class TopScores(nn.Module):
    """The sum of the best boxes' scores, of everything that a detector gave for an image."""

    def forward(self, data: Any) -> Tensor:
        post_result, boxes = data
        return sum(post_result[i].max() + boxes[i, 0] for i in range(3))


class DetectorActivations(ActivationsAndGradients):
    def post_process(self, result: Tensor) -> list[Any]:
        order = result[0, :, 4:].max(1).values.argsort(descending=True)
        return [[result[0, order, 4:], result[0, order, :4]]]

    def __call__(self, x: Tensor) -> Any:
        self.gradients, self.activations = [], []
        return self.post_process(self.model(x))


class Detector(nn.Module):
    """Boxes and class scores (N, places, 6), as YOLO gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.SiLU(inplace=True), nn.Conv2d(6, 6, 3, stride=4))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).flatten(2).transpose(1, 2)


def test_a_yolo_script_that_replaces_what_is_recorded() -> None:
    model, x = seeded(Detector()), images(1)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.warns(UserWarning, match="use_cuda=False is taken and does nothing"):
        method = GradCAM(model, [model.model[0]], use_cuda=False)
    method.activations_and_grads = DetectorActivations(model, [model.model[0]], None)
    found = method(x, [TopScores()])[0, :]
    leaf = model.model[0](x).detach().requires_grad_()
    result = model.model[2](nn.functional.silu(leaf)).flatten(2).transpose(1, 2)
    order = result[0, :, 4:].max(1).values.argsort(descending=True)
    score = sum(result[0, order[i], 4:].max() + result[0, order[i], 0] for i in range(3))
    (gradient,) = torch.autograd.grad(score, leaf)
    raw = (gradient.mean((2, 3), keepdim=True) * leaf).sum(1).clamp(min=0).detach().numpy()
    np.testing.assert_allclose(found, scale_cam_image(scale_cam_image(raw, (32, 32)))[0], atol=1e-5)
    method.activations_and_grads.release()
    assert not any(module._forward_hooks for module in model.modules())


def test_a_cam_of_ones_own_gets_arrays() -> None:
    class MeanOfPositive(BaseCAM):
        def __init__(self, model: Any, target_layers: Any, reshape_transform: Any = None) -> None:
            super(MeanOfPositive, self).__init__(model, target_layers, reshape_transform)  # noqa: UP008

        def get_cam_weights(self, input_tensor, target_layers, targets, activations, grads):  # type: ignore
            assert isinstance(activations, np.ndarray) and isinstance(grads, np.ndarray)
            return np.mean(np.maximum(grads, 0), axis=(2, 3))

    class Featuremap(BaseCAM):
        def __init__(self, model, target_layers, use_cuda=False, reshape_transform=None, **_):  # type: ignore
            super().__init__(model, target_layers, use_cuda, reshape_transform, False, False)

        def get_cam_image(self, input_tensor, target_layer, targets, activations, grads, eigen_smooth):  # type: ignore
            assert grads is None
            return np.abs(activations).mean(axis=1)

    model, x = seeded(FourConv()), images(2)
    with MeanOfPositive(model, [model.conv2]) as cam:
        weighted = cam(x, [ClassifierOutputTarget(1)] * 2)
        smooth = cam(x, [ClassifierOutputTarget(1)] * 2, eigen_smooth=True)
    assert weighted.shape == smooth.shape == (2, 32, 32) and np.abs(weighted - smooth).max() > 0.1
    with pytest.warns(UserWarning, match="use_cuda=False is taken"):
        features = Featuremap(model, [model.conv2])
    want = np.abs(model.conv2(model.pool(model.relu(model.conv1(x)))).detach().numpy()).mean(axis=1)
    np.testing.assert_allclose(features(x), scale_cam_image(scale_cam_image(want, (32, 32))), atol=1e-5)
    with pytest.raises(NotImplementedError, match="BaseCAM has to say how features are weighted"):
        BaseCAM(model, [model.conv2])(x)


def test_a_forward_written_by_the_script_itself() -> None:
    class Copied(GradCAM):
        def forward(self, input_tensor, targets, eigen_smooth=False):  # type: ignore
            outputs = self.activations_and_grads(input_tensor.to(self.device))
            self.model.zero_grad()
            loss = sum(target(output) for target, output in zip(targets, outputs, strict=False))
            loss.backward(retain_graph=True)
            return self.aggregate_multi_layers(self.compute_cam_per_layer(input_tensor, targets, eigen_smooth))

    model, x = seeded(FourConv()), images(2)
    targets = [ClassifierOutputTarget(0)] * 2
    want = GradCAM(model, [model.conv2, model.conv1])(x, targets)
    np.testing.assert_allclose(Copied(model, [model.conv2, model.conv1])(x, targets), want, atol=1e-6)


def test_eigen_cam_of_a_network_that_gives_no_logits() -> None:
    model = seeded(Detector())
    wrapped = nn.Module()
    wrapped.inner = model
    wrapped.forward = lambda x: (model(x), [model(x)])  # type: ignore
    assert EigenCAM(wrapped, [model.model[0]])(images(2)).shape == (2, 32, 32)


def test_hooks_that_record_until_they_are_released() -> None:
    model, x = seeded(FourConv()), images(2)
    watched = ActivationsAndGradients(model, [model.conv2, model.conv1], None)
    output = watched(x)
    output[:, 1].sum().backward()
    assert [one.shape[1] for one in watched.activations] == [8, 6]
    assert [one.shape for one in watched.gradients] == [one.shape for one in watched.activations]
    watched.release()
    assert watched.activations == [] and not model.conv2._forward_hooks


# Training loops.


def test_a_frozen_backbone() -> None:
    model, x = seeded(Pooled()), images(2)
    want = GradCAM(model, [model.block])(x, [ClassifierOutputTarget(1)] * 2)
    for parameter in model.stem.parameters():
        parameter.requires_grad_(False)
    for parameter in model.block.parameters():
        parameter.requires_grad_(False)
    np.testing.assert_array_equal(GradCAM(model, [model.block])(x, [ClassifierOutputTarget(1)] * 2), want)
    detached = seeded(FrozenBackbone())
    assert GradCAM(detached, [detached.backbone])(x).shape == (2, 32, 32)


class Lit(nn.Module):
    """A Lightning module's validation step, without Lightning: a dozen of attributes, and gradients switched off."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Pooled()
        self.seen: list[np.ndarray] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        logits = self(x)
        with GradCAM(model=self.net, target_layers=[self.net.block]) as cam:
            self.seen.append(cam(input_tensor=x, targets=[ClassifierOutputTarget(int(label)) for label in y]))
        return nn.functional.cross_entropy(logits, y)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_a_validation_step_under_which_gradients_are_off(off: Any) -> None:
    lit, labels = Lit(), torch.tensor([0, 2])
    seeded(lit.net)
    x = images(2)
    want = GradCAM(lit.net, [lit.net.block])(x, [ClassifierOutputTarget(0), ClassifierOutputTarget(2)])
    lit.eval()
    optimiser = torch.optim.SGD(lit.parameters(), 0.1)
    with off():
        lit.validation_step((x, labels))
    np.testing.assert_array_equal(lit.seen[0], want)
    assert all(parameter.grad is None for parameter in lit.parameters())
    lit.train()(x).sum().backward()
    optimiser.step()


def test_a_network_with_one_logit() -> None:
    model, x = seeded(FourConv(classes=1)), images(4)
    signs = (model(x)[:, 0] > 0).int().tolist()
    with pytest.warns(UserWarning, match="one number for each image"):
        found = GradCAM(model, [model.conv2])(x)
    chosen = GradCAM(model, [model.conv2])(x, [BinaryClassifierOutputTarget(sign) for sign in signs])
    np.testing.assert_array_equal(found, chosen)
    positive = GradCAM(model, [model.conv2])(x, [BinaryClassifierOutputTarget(1)] * 4)
    np.testing.assert_allclose(
        positive, maps_of(theirs, "GradCAM", model, x, ["conv2"], [BinaryClassifierOutputTarget(1)] * 4), atol=1e-5
    )


def test_data_parallel_gives_the_whole_batch() -> None:
    model, x = seeded(FourConv()), images(4)
    want = GradCAM(model, [model.conv2])(x, [ClassifierOutputTarget(0)] * 4)
    parallel = nn.DataParallel(model)
    cam = GradCAM(parallel, [parallel.module.conv2])
    np.testing.assert_array_equal(cam(x, [ClassifierOutputTarget(0)] * 4), want)
    cam.activations_and_grads = ActivationsAndGradients(parallel, [parallel.module.conv2])
    np.testing.assert_allclose(cam(x, [ClassifierOutputTarget(0)] * 4), want, atol=1e-6)


def test_several_threads_and_several_cams_on_one_network() -> None:
    model, x = seeded(FourConv()), images(4)
    cams = [GradCAM(model, [model.conv2]), GradCAM(model, [model.conv1])]
    want = [cam(x, [ClassifierOutputTarget(0)] * 4) for cam in cams]
    found: dict[int, Any] = {}

    def work(place: int) -> None:
        found[place] = cams[place](x, [ClassifierOutputTarget(0)] * 4)

    threads = [threading.Thread(target=work, args=(place,)) for place in (0, 1)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    for place in (0, 1):
        np.testing.assert_array_equal(found[place], want[place])


def test_the_page_about_switching_imports_what_there_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "from-pytorch-grad-cam.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(code, names)
    assert {"GradCAM", "show_cam_on_image", "ClassifierOutputTarget"} <= set(names)

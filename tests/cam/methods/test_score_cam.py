"""Score-CAM: the numbers of the paper and of the peer, one pass for each different mask, in bounded memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy.cam.methods import score_cam as module
from seewhy.cam.methods.scene import Scene
from seewhy.cam.methods.score_cam import score_cam
from seewhy.errors import LayerError, ModelError
from tests.models import FourConv, Pooled, images, seeded


def scene_of(model: nn.Module, x: Tensor, layer: str, classes: list[int]) -> Scene:
    found: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _, __, output: found.append(output.clone()))
    with torch.no_grad():
        output = model(x)
    handle.remove()
    targets = torch.tensor(classes)

    def rescore(output: Tensor, rows: Tensor | None) -> Tensor:
        which = targets if rows is None else targets[rows]
        return output.gather(1, which[:, None])[:, 0]

    return Scene(model, x, rescore(output, None), rescore, activation=found[0])


def by_hand(scene: Scene) -> Tensor:
    """The definition, one masked image at a time."""
    weights = []
    with torch.no_grad():
        for index, channels in enumerate(scene.activation):
            scores = []
            for channel in channels:
                mask = functional.interpolate(
                    channel[None, None], size=scene.inputs.shape[-2:], mode="bilinear", align_corners=True
                )[0, 0]
                mask = (mask - mask.min()) / (mask.max() - mask.min() + 1e-8)
                output = scene.model(scene.inputs[index : index + 1] * mask)
                scores.append(scene.rescore(output, torch.tensor([index]))[0])
            weights.append(torch.stack(scores).softmax(0))
    return torch.stack(weights)


@pytest.mark.parametrize("layer", ["stem", "block", "act"])
def test_equals_the_definition(layer: str) -> None:
    scene = scene_of(seeded(Pooled()), images(3), layer, [0, 2, 1])
    torch.testing.assert_close(score_cam(scene), by_hand(scene), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "tiny"])
def test_equals_pytorch_grad_cam(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = pytest.importorskip("pytorch_grad_cam")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    monkeypatch.setattr("tqdm.tqdm", lambda steps: steps)
    if name == "resnet18":
        models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
        torch.manual_seed(0)
        model, layer = models.resnet18(weights=None).eval(), "layer1"
    else:
        model, layer = seeded(FourConv()), "conv2"
    x = images(2)
    classes = [1, 0]
    scene = scene_of(model, x, layer, classes)
    with peer.ScoreCAM(model, [model.get_submodule(layer)]) as cam:
        wanted = cam(x, [targets.ClassifierOutputTarget(one) for one in classes])
    maps = torch.einsum("nc,nchw->nhw", score_cam(scene), scene.activation).relu()
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    found = torch.stack([_as_the_peer(one, x.shape[-2:]) for one in (maps - low) / (1e-7 + high - low)])
    assert float((found - torch.from_numpy(wanted)).abs().max()) <= 1e-5


def _as_the_peer(one: Tensor, size: torch.Size) -> Tensor:
    cv2 = pytest.importorskip("cv2")
    large = torch.from_numpy(cv2.resize(one.numpy(), tuple(size[::-1])))
    return (large - large.min()) / (1e-7 + large.max() - large.min())


class Counting(nn.Module):
    """A network that tells the size of every batch it saw."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        return self.model(x)


def counted(scene: Scene) -> tuple[Tensor, list[int]]:
    counting = Counting(scene.model)
    weights = score_cam(Scene(counting, scene.inputs, scene.values, scene.rescore, activation=scene.activation))
    assert counting.sizes[0] == 1  # asks how much memory an image takes; once for a network and size
    return weights, counting.sizes[1:]


def test_dead_and_equal_channels_are_scored_once() -> None:
    scene = scene_of(seeded(Pooled()), images(2), "act", [0, 1])
    scene.activation[0, :5] = 0
    scene.activation[0, 5] = 0.7
    scene.activation[1, 3] = scene.activation[1, 8]
    weights, sizes = counted(scene)
    different = sum(len({tuple(channel.flatten().tolist()) for channel in one}) for one in scene.activation)
    assert sum(sizes) == different - 1  # a constant channel masks as a dead one does
    assert len(set(weights[0, :6].tolist())) == 1
    assert weights[1, 3] == weights[1, 8]
    exact = [channel for channel in range(12) if channel != 5]
    logits = by_hand(scene).log()
    torch.testing.assert_close(
        weights.log()[:, exact].diff(dim=1), logits[:, exact].diff(dim=1), rtol=1e-4, atol=1e-4
    )  # differences: the peer's way scores a constant channel through noise


def test_never_more_than_a_chunk_of_masked_images_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = scene_of(seeded(Pooled()), images(3), "block", [0, 2, 1])
    whole, _ = counted(scene)
    monkeypatch.setattr(module, "_CHUNK", 5 * 3 * 32 * 32)
    weights, sizes = counted(scene)
    assert max(sizes) == 5
    assert sum(sizes) == 36
    torch.testing.assert_close(weights, whole, rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(module, "_CHUNK", 1)
    assert set(counted(scene)[1]) == {1}


def test_an_image_is_weighed_as_if_it_were_alone() -> None:
    x = images(3)
    model = seeded(Pooled())
    together = score_cam(scene_of(model, x, "block", [0, 2, 1]))
    for index, target in enumerate([0, 2, 1]):
        alone = score_cam(scene_of(model, x[index : index + 1], "block", [target]))
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-5, atol=1e-6)


def test_nan_stays_in_its_image() -> None:
    x = images(2)
    x[1, 0, 4, 4] = torch.nan
    weights = score_cam(scene_of(seeded(Pooled()), x, "block", [0, 1]))
    assert weights[0].isfinite().all()
    assert weights[1].isnan().all()


def test_the_model_is_left_as_it_was() -> None:
    model = seeded(Pooled())
    scene = scene_of(model, images(1), "block", [0])
    before = {name: set(vars(one)) for name, one in model.named_modules()}
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    with torch.inference_mode():
        weights = score_cam(scene)
    assert not weights.is_inference()
    assert not weights.requires_grad
    assert torch.equal(torch.random.get_rng_state(), state)
    assert before == {name: set(vars(one)) for name, one in model.named_modules()}
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in model.modules())
    assert all(one.grad is None for one in model.parameters())


def test_what_cannot_be_masked_is_refused() -> None:
    scene = scene_of(seeded(Pooled()), images(1), "block", [0])
    with pytest.raises(LayerError, match="none is named"):
        score_cam(Scene(scene.model, scene.inputs, scene.values, scene.rescore))
    with pytest.raises(ModelError, match=r"masks images .* shape \(1, 3, 1024\)"):
        score_cam(Scene(scene.model, scene.inputs.flatten(2), scene.values, scene.rescore, activation=scene.activation))

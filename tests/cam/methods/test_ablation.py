"""Ablation-CAM: the falls of the score are those of full passes with a channel off, however they are computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seewhy.cam.capture import LayerCall, find_layer
from seewhy.cam.grid import Grid
from seewhy.cam.methods import ablation
from seewhy.cam.methods.ablation import ablation_cam
from seewhy.cam.methods.scene import Scene
from seewhy.errors import LayerError
from tests.models import FourConv, Linear, Pooled, images, seeded

Score = Callable[[Tensor], Tensor]


def logit(k: int = 1) -> Score:
    return lambda logits: logits[:, k]


FIRST = logit()


def probability(k: int = 1) -> Score:
    return lambda logits: logits.softmax(1)[:, k]


def contrast(logits: Tensor) -> Tensor:
    return logits[:, 0] - logits[:, 1]


def hooked(model: nn.Module, x: Tensor, layer: LayerCall, change: Callable[[Tensor], Tensor]) -> Tensor:
    """A full pass in which what the layer's asked call gives is changed."""
    module, calls = dict(model.named_modules())[layer.name], []
    with torch.no_grad():
        handle = module.register_forward_hook(lambda *_: calls.append(1))
        model(x)
        handle.remove()
        left = [layer.call or len(calls)]

        def hook(_: nn.Module, args: Any, output: Tensor) -> Tensor:
            left[0] -= 1
            return output if left[0] else change(output)

        handle = module.register_forward_hook(hook)
        output = model(x)
        handle.remove()
    return output


def scene(model: nn.Module, x: Tensor, name: str, score: Score = FIRST, grid: Grid | None = None) -> Scene:
    """A batch as the methods see it, captured by hand."""
    layer, kept = find_layer(model, name), []

    def capture(output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)
        kept.append(output.detach().clone().requires_grad_())
        return kept[0].clone()

    values = score(hooked(model, x, layer, capture))
    (gradient,) = torch.autograd.grad(values.sum(), kept[0])
    raw = kept[0].detach()
    seen = grid or Grid(*raw.shape[2:])
    found = replace(layer, grid=seen)
    return Scene(
        model, x, values.detach(), lambda out, rows: score(out), found, seen, raw, seen.view(raw), seen.view(gradient)
    )


def by_full_passes(scene: Scene, score: Score) -> Tensor:
    """The reference: one full pass of the network for every channel, without any code of ours."""
    assert scene.layer is not None and scene.raw is not None and scene.grid is not None
    axis, falls = scene.grid.channel_axis, []
    for channel in range(scene.raw.shape[axis]):

        def off(output: Tensor, channel: int = channel) -> Tensor:
            changed = output.clone()
            changed.select(axis, channel).zero_()
            return changed

        falls.append(scene.values - score(hooked(scene.model, scene.inputs, scene.layer, off)))
    return torch.stack(falls, 1)


class Block(nn.Module):
    """Convolutions read the layer, then a residual block follows: as in a ResNet between two stages."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.conv1, self.down = nn.Conv2d(6, 8, 3, 2, 1, bias=False), nn.Conv2d(6, 8, 1, 2)
        self.conv2, self.norm, self.fc = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.conv2(self.conv1(x).relu_())) + self.down(x)
        return self.fc(y.relu().mean((2, 3)))


class Flat(nn.Module):
    """As VGG: an adaptive pool that changes nothing, flatten, linear, ReLU, linear; in any order of places."""

    def __init__(self, turned: bool = False, pooled: int = 4) -> None:
        super().__init__()
        self.features, self.turned = nn.Sequential(nn.Conv2d(3, 6, 3, 8, 1), nn.ReLU(inplace=True)), turned
        self.pool, self.drop = nn.AdaptiveAvgPool2d(pooled), nn.Dropout()
        self.fc1, self.fc2 = nn.Linear(6 * pooled**2, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.features(x))
        x = x.permute(0, 2, 3, 1).flatten(1) if self.turned else x.flatten(1)
        return self.fc2(self.drop(self.fc1(x).relu_()))


class Tokens(nn.Module):
    """A transformer with a class token; `mean` pools over all tokens, which is affine."""

    def __init__(self, mean: bool = False) -> None:
        super().__init__()
        self.patch, self.token, self.mean = nn.Conv2d(3, 8, 8, 8), nn.Parameter(torch.ones(1, 1, 8)), mean
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.last = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = self.block(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
        return self.fc(x.mean(1)) if self.mean else self.fc(self.last(x)[:, 0])


GRID = Grid(4, 4, "tokens", skipped=1)
CASES: dict[str, tuple[nn.Module, str, Score, Grid | None, str]] = {
    "pool and linear": (Linear(), "features", logit(), None, "closed"),
    "contrast": (Pooled(), "act", contrast, None, "closed"),
    "in-place relu": (Pooled(inplace=True), "act", logit(), None, "closed"),
    "probability": (Pooled(), "act", probability(), None, "replay"),
    "a relu follows": (Pooled(inplace=True), "block", logit(), None, "replay"),
    "middle of the network": (FourConv(), "conv2", logit(), None, "replay"),
    "shared modules": (FourConv(), "pool@1", logit(), None, "readers"),
    "flat head": (FourConv(), "pool", logit(), None, "closed"),
    "flat head, probability": (FourConv(), "pool", probability(), None, "replay"),
    "as vgg": (Flat(), "features", logit(), None, "readers"),
    "as vgg, channels last": (Flat(turned=True), "features", logit(), None, "readers"),
    "as vgg, really pooled": (Flat(pooled=2), "features", logit(), None, "replay"),
    "two convolutions": (Block(), "stem", logit(), None, "readers"),
    "two convolutions, probability": (Block(), "stem", probability(), None, "readers"),
    "skip": (Block(), "conv1", logit(), None, "replay"),
    "tokens": (Tokens(), "block", logit(), GRID, "replay"),
    "tokens, affine": (Tokens(mean=True), "block", logit(), GRID, "closed"),
}


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How the falls were computed."""
    taken: list[str] = []
    for name, way in (("_whole_tails", "replay"), ("_through_readers", "readers")):
        function = getattr(ablation, name)
        monkeypatch.setattr(
            ablation, name, lambda *args, function=function, way=way: (taken.append(way), function(*args))[1]
        )
    return taken


@pytest.mark.parametrize("name", CASES)
def test_falls_equal_those_of_full_passes(name: str, ways: list[str]) -> None:
    model, layer, score, grid, way = CASES[name]
    seen = scene(seeded(model), images(3), layer, score, grid)
    found, wanted = ablation_cam(seen), by_full_passes(seen, score)
    assert ways == ([] if way == "closed" else [way])
    assert wanted.abs().max() > 0
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-6 * float(seen.values.abs().max()))
    assert torch.equal(ablation_cam(seen), found)  # the proofs are kept


@pytest.mark.parametrize("name", ["contrast", "as vgg", "two convolutions", "skip", "tokens"])
def test_the_batch_size_and_the_rows_at_once_do_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """pytorch-grad-cam's weights depend on them (Q9a)."""
    model, layer, score, grid, _ = CASES[name]
    seeded(model)
    x = images(3)
    together = ablation_cam(scene(model, x, layer, score, grid))
    monkeypatch.setattr(ablation, "_MOST_ROWS", 5)
    alone = torch.cat([ablation_cam(scene(model, one[None], layer, score, grid)) for one in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_channels_of_zeros_are_not_run_and_fall_by_nothing(ways: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    model = seeded(FourConv())
    with torch.no_grad():
        model.conv2.weight[::2], model.conv2.bias[::2] = 0, 0
    seen, rows = scene(model, images(2), "conv2"), []
    original = seen.rescore
    watched = replace(seen, rescore=lambda output, which: (rows.append(len(output)), original(output, which))[1])
    found = ablation_cam(watched)
    assert sum(rows) == 2 * 4
    assert torch.equal(found[:, ::2], torch.zeros(2, 4))
    torch.testing.assert_close(
        found, by_full_passes(seen, logit()), rtol=1e-4, atol=2e-6 * float(seen.values.abs().max())
    )


def test_a_negative_score_gives_falls_and_no_flipped_map() -> None:
    """pytorch-grad-cam divides by the signed score (Q9d)."""
    model = seeded(Pooled())
    falls = ablation_cam(scene(model, images(3), "block"))
    with torch.no_grad():
        model.fc.bias -= 100
    lower = scene(model, images(3), "block")
    assert (lower.values < 0).all()
    torch.testing.assert_close(ablation_cam(lower), falls, rtol=1e-3, atol=5e-5)


def test_the_network_is_as_it_was_after_an_exception() -> None:
    """pytorch-grad-cam leaves its own layer in the model (Q9b)."""
    model, x = seeded(FourConv()), images(2)
    seen, before = scene(model, x, "conv2"), dict(model.named_modules())

    def broken(output: Any, rows: Tensor | None) -> Tensor:
        raise ValueError("no score")

    with pytest.raises(ValueError, match="no score"):
        ablation_cam(replace(seen, rescore=broken))
    assert dict(model.named_modules()) == before
    assert not any(one._forward_hooks or one._forward_pre_hooks or "forward" in vars(one) for one in before.values())
    torch.testing.assert_close(
        ablation_cam(seen), by_full_passes(seen, logit()), rtol=1e-4, atol=2e-6 * float(seen.values.abs().max())
    )


def test_a_proof_does_not_outlive_the_code_that_it_was_made_of(ways: list[str]) -> None:
    steep = [False]  # where no look at the module finds it

    class Switched(Linear):
        def forward(self, x: Tensor) -> Tensor:
            logits = super().forward(x)
            return logits.relu() - 0.1 * logits if steep[0] else logits

    model = seeded(Switched())
    ablation_cam(scene(model, images(2), "features"))
    assert not ways
    steep[0] = True
    seen = scene(model, images(2), "features")
    torch.testing.assert_close(
        ablation_cam(seen), by_full_passes(seen, logit()), rtol=1e-4, atol=2e-6 * float(seen.values.abs().max())
    )
    assert ways == ["replay"]


def test_a_score_without_gradient_is_replayed_or_differentiated() -> None:
    model = seeded(Pooled())
    for layer in ("act", "block"):
        seen = scene(model, images(2), layer)
        found = ablation_cam(replace(seen, gradient=None))
        torch.testing.assert_close(found, by_full_passes(seen, logit()), rtol=1e-4, atol=1e-5)


def test_a_layer_whose_output_is_cut_into_windows_is_refused() -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x.unflatten(3, (2, -1)).permute(0, 3, 1, 2, 4).flatten(0, 1))
            return self.fc(y.relu().mean((2, 3)).unflatten(0, (-1, 2)).mean(1))

    model, x = seeded(Windows()), images(2)
    layer, raw = LayerCall("conv", "conv"), torch.zeros(4, 4, 32, 16)
    seen = Scene(model, x, torch.zeros(2), lambda out, rows: out[:, 0], layer, Grid(32, 16), raw, raw, raw)
    with pytest.raises(LayerError, match="'conv' cuts an image into 2 parts"):
        ablation_cam(seen)


def test_weights_equal_the_peers_where_it_is_right() -> None:
    peer = pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed (requirements-parity.txt)")
    from pytorch_grad_cam.ablation_layer import AblationLayer
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    for model, layer in ((seeded(Block()), "stem"), (seeded(Pooled()), "act")):
        with torch.no_grad():
            model.fc.bias += 5  # a positive score; the layer ends in a ReLU
        module, x = dict(model.named_modules())[layer], images(1)
        seen = scene(model, x, layer)
        assert float(seen.values) > 0 and float(seen.raw.min()) == 0
        cam = peer.AblationCAM(model, [module], ablation_layer=AblationLayer(), batch_size=4)
        cam.activations_and_grads.release()
        theirs = cam.get_cam_weights(x, module, [ClassifierOutputTarget(1)], seen.raw.numpy(), None)
        ours = ablation_cam(seen) / seen.values[:, None]
        torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=1e-4, atol=1e-6)

"""The methods beyond the six of test_parity equal the real pytorch-grad-cam where it is right, and differ elsewhere."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from seewhy import explain
from seewhy.errors import OptionError
from tests.models import FourConv, Pooled, images, seeded

peer = pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed (requirements-parity.txt)")
from pytorch_grad_cam.ablation_layer import AblationLayer  # noqa: E402
from pytorch_grad_cam.guided_backprop import GuidedBackpropReLUModel  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402

Maps = NDArray[np.float32]


@pytest.fixture(autouse=True)
def _no_progress_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tqdm.tqdm", lambda steps: steps)


class Four(nn.Module):
    """Five classes, ReLU'd layers, a pooled head that bends: what every method and its peer can take."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(12, 10), nn.ReLU(), nn.Linear(10, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.stem(x)).mean((2, 3)))


def positive(model: nn.Module, shift: float = 5.0) -> nn.Module:
    """The network with positive logits: the peer's Ablation-CAM divides by them."""
    with torch.no_grad():
        [one for one in model.modules() if isinstance(one, nn.Linear)][-1].bias += shift
    return model


def theirs(cam: Any, x: Tensor, target: int, **options: Any) -> Maps:
    """The peer's picture-like maps, image by image."""
    targets = [ClassifierOutputTarget(target)]
    return np.concatenate([cam(input_tensor=one[None], targets=targets, **options) for one in x])


def their_raw(cam: Any, x: Tensor, target: int, layer: nn.Module) -> Maps:
    """The peer's maps on the layer's own grid, before it clips and scales them."""
    found = []
    for one in x:
        cam(input_tensor=one[None], targets=[ClassifierOutputTarget(target)])
        stored = cam.activations_and_grads
        activation, gradient = (both[0].detach().numpy() for both in (stored.activations, stored.gradients))
        found.append(cam.get_cam_image(one[None], layer, [ClassifierOutputTarget(target)], activation, gradient, False))
    return np.concatenate(found)


def ours(model: nn.Module, x: Tensor, layers: Any, method: str, target: Any, **options: Any) -> Maps:
    return explain(
        model, x, target=target, layers=layers, method=method, preset="pytorch-grad-cam", progress=False, **options
    ).maps


def raw(model: nn.Module, x: Tensor, layer: str, method: str, target: Any, **options: Any) -> Maps:
    return explain(model, x, target=target, layers=layer, method=method, progress=False, **options).maps


def check_equal(model: nn.Module, x: Tensor, layers: list[str], method: str, target: int, want: Maps) -> None:
    """The gate: ours within 1e-5 of the peer, and no further from float64 than 3 times the peer."""
    have = ours(model, x, layers, method, target)
    truth = ours(copy.deepcopy(model).double(), x.double(), layers, method, target)
    assert have.shape == want.shape and have.max() > 0.9
    apart, mine, peers = (np.abs(a - b).max((1, 2)) for a, b in ((have, want), (have, truth), (want, truth)))
    assert np.percentile(apart, 95) <= 1e-5, (apart, mine, peers)
    assert np.percentile(mine, 95) <= max(3 * np.percentile(peers, 95), 1e-6)


LAYERS = [["block"], ["stem"], ["stem", "block"]]


def modules(model: nn.Module, layers: list[str]) -> list[nn.Module]:
    return [model.get_submodule(name) for name in layers]


@pytest.mark.parametrize("layers", LAYERS, ids="+".join)
def test_ablation_cam_of_a_relud_layer_and_a_positive_score(layers: list[str]) -> None:
    model, x = positive(seeded(Four())), images(3, 16)
    with peer.AblationCAM(model, modules(model, layers), ablation_layer=AblationLayer(), batch_size=5) as cam:
        want = theirs(cam, x, 2)
    check_equal(model, x, layers, "ablation-cam", 2, want)


@pytest.mark.parametrize("layers", LAYERS, ids="+".join)
def test_score_cam(layers: list[str]) -> None:
    model, x = seeded(Four()), images(3, 16)
    with peer.ScoreCAM(model, modules(model, layers)) as cam:
        want = theirs(cam, x, 2)
    check_equal(model, x, layers, "score-cam", 2, want)


@pytest.mark.parametrize("layer", ["block", "stem"])
def test_eigengrad_cam_up_to_its_sign(layer: str) -> None:
    model, x = seeded(Four()), images(4, 16)
    with peer.EigenGradCAM(model, modules(model, [layer])) as cam:
        want = their_raw(cam, x, 1, model.get_submodule(layer))
    have = raw(model, x, layer, "eigengrad-cam", 1)
    signs = np.sign((have * want).sum((1, 2)))[:, None, None]
    np.testing.assert_allclose(have, signs * want, rtol=0, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("target", [None, 1, 2])
def test_finer_cam(target: int | None) -> None:
    model, x = seeded(Four()), images(3, 16)
    cam = peer.FinerCAM(model, [model.block])
    want = np.concatenate([cam(input_tensor=one[None], targets=None, target_idx=target) for one in x])
    have = ours(model, x, ["block"], "finer-cam", "predicted" if target is None else target)
    assert want.max() > 0.9
    np.testing.assert_allclose(have, want, rtol=0, atol=1e-5)


def test_guided_backprop() -> None:
    model, x = seeded(Four()), images(3, 16)
    guided = GuidedBackpropReLUModel(copy.deepcopy(model))
    want = np.stack([guided(one[None], target_category=1).sum(2) for one in x])
    have = raw(model, x, "block", "guided-backprop", 1)
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize("method", ["grad-cam", "hirescam", "layercam"])
def test_augmented_maps_are_the_mean_of_the_peers_raw_maps(method: str) -> None:
    model, x = seeded(Four()), images(3, 16)
    name = {"grad-cam": "GradCAM", "hirescam": "HiResCAM", "layercam": "LayerCAM"}[method]
    with getattr(peer, name)(model, [model.block]) as cam:
        six = [
            change.deaugment_mask(
                torch.from_numpy(their_raw(cam, change.augment_image(x), 1, model.block))[:, None]
            ).numpy()[:, 0]
            for change in cam.tta_transforms
        ]
    assert len(six) == 6
    want = np.mean(six, 0)
    np.testing.assert_allclose(
        raw(model, x, "block", method, 1, smooth="augment"), want, rtol=0, atol=2e-6 * np.abs(want).max()
    )


@pytest.mark.parametrize("layers", LAYERS, ids="+".join)
def test_eigen_smoothed_grad_cam(layers: list[str]) -> None:
    model, x = seeded(Four()), images(4, 16)
    with peer.GradCAM(model, modules(model, layers)) as cam:
        want = theirs(cam, x, 1, eigen_smooth=True)
    have = ours(model, x, layers, "grad-cam", 1, smooth="eigen")
    np.testing.assert_allclose(have, want, rtol=0, atol=1e-5)


# Where that package is wrong (../shared/peers.md 4.1), ours is right.


def by_hand(model: nn.Module, x: Tensor, layer: str, target: int) -> Maps:
    """Ablation-CAM as the paper has it: a channel set to 0, the score lost (not divided by it), written with a hook."""
    module, kept = model.get_submodule(layer), []
    handle = module.register_forward_hook(lambda module, args, output: kept.append(output))
    with torch.no_grad():
        whole = model(x)[:, target]
    handle.remove()
    (activation,) = kept
    found = torch.zeros_like(activation[:, 0])
    for channel in range(activation.shape[1]):
        changed = activation.clone()
        changed[:, channel] = 0
        handle = module.register_forward_hook(lambda module, args, output, changed=changed: changed)
        with torch.no_grad():
            found += (whole - model(x)[:, target])[:, None, None] * activation[:, channel]
        handle.remove()
    return found.numpy()


class Signed(FourConv):
    """A layer with both signs that no ReLU follows at once: a pool takes it as it is."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        return self.fc(functional.avg_pool2d(self.conv2(x), 2).tanh().flatten(1))


def test_q9_ablation_cam_of_a_signed_layer_does_not_depend_on_the_batch() -> None:
    model, x = positive(seeded(Signed(16))), images(2, 16)
    shown = []
    for batch in (1, 8):
        with peer.AblationCAM(model, [model.conv2], ablation_layer=AblationLayer(), batch_size=batch) as cam:
            cam(input_tensor=x, targets=[ClassifierOutputTarget(0)] * 2)
            stored = cam.activations_and_grads.activations[0].numpy()
            shown.append(cam.get_cam_weights(x, model.conv2, [ClassifierOutputTarget(0)] * 2, stored, None))
    want = by_hand(model, x, "conv2", 0)
    for size in (1, 2):
        have = explain(model, x, target=0, layers="conv2", method="ablation-cam", batch_size=size, progress=False).maps
        np.testing.assert_allclose(have, want, rtol=0, atol=1e-5 * np.abs(want).max())
    peers = (shown[0][:, :, None, None] * stored).sum(1) * model(x)[:, 0].detach().numpy()[:, None, None]
    assert np.abs(peers - want).max() > 0.1 * np.abs(want).max()  # it puts -1e7 there, which is no absence


def test_q9_the_peers_weights_of_a_signed_layer_depend_on_its_batch() -> None:
    model, x = positive(seeded(nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten(), nn.Linear(6 * 36, 2)))), images(1, 8)
    shown = []
    for batch in (1, 6):
        with peer.AblationCAM(model, [model[0]], ablation_layer=AblationLayer(), batch_size=batch) as cam:
            shown.append(theirs(cam, x, 0))
    assert np.abs(shown[0] - shown[1]).max() > 0.05
    have = raw(model, x, "0", "ablation-cam", 0)
    want = by_hand(model, x, "0", 0)
    np.testing.assert_allclose(have, want, rtol=0, atol=2e-5 * np.abs(want).max())


def test_q9_a_negative_score_does_not_turn_ablation_cam_over() -> None:
    model, x = seeded(Four()), images(2, 16)
    pictures, have = [], []
    for shift in (20.0, -20.0):
        shifted = positive(copy.deepcopy(model), shift)
        with peer.AblationCAM(shifted, [shifted.block], ablation_layer=AblationLayer()) as cam:
            pictures.append(theirs(cam, x, 2))
        have.append(raw(shifted, x, "block", "ablation-cam", 2))
    np.testing.assert_allclose(have[0], have[1], rtol=0, atol=1e-4 * np.abs(have[0]).max())
    assert np.abs(pictures[0] - pictures[1]).max() > 0.5
    equal = ours(positive(copy.deepcopy(model), 20.0), x, ["block"], "ablation-cam", 2)
    np.testing.assert_allclose(equal, pictures[0], rtol=0, atol=1e-4)


def test_q9_an_exception_leaves_the_layer_where_it_was() -> None:
    class Fragile(Four):
        def forward(self, x: Tensor) -> Tensor:
            if broken and len(x) > 1:
                raise ValueError("a fault of mine")
            return super().forward(x)

    broken: list[bool] = []
    model, x = seeded(Fragile()), images(1, 16)
    block = model.block
    broken.append(True)
    cam = peer.AblationCAM(model, [model.block], ablation_layer=AblationLayer())
    with pytest.raises(ValueError, match="a fault of mine"):
        cam(input_tensor=x, targets=[ClassifierOutputTarget(0)])
    assert isinstance(model.block, AblationLayer)
    model.block = block
    cam.activations_and_grads.release()
    with pytest.raises(ValueError, match="a fault of mine"):
        raw(model, torch.cat([x, x]), "block", "ablation-cam", 0)
    assert model.block is block and not block._forward_hooks


def test_q10_score_cam_needs_one_target_for_a_batch_and_keeps_no_activations() -> None:
    model, x, runs = seeded(Four()), images(4, 16), []
    with peer.ScoreCAM(model, [model.block]) as cam:
        with pytest.raises(RuntimeError, match="invalid for input of size"):
            cam(input_tensor=x, targets=[ClassifierOutputTarget(0)])
        cam(input_tensor=x, targets=[ClassifierOutputTarget(0)] * 4)
        assert len(cam.activations_and_grads.activations) > 1  # every pass over masked images is kept
    handle = model.block.register_forward_hook(lambda module, args, output: runs.append(output.requires_grad))
    raw(model, x, "block", "score-cam", 0)
    handle.remove()
    assert runs and not any(runs)


def test_q11_eigengrad_cam_and_eigen_smoothing_keep_their_sign() -> None:
    flips = {"eigengrad-cam": [0, 0], "grad-cam": [0, 0]}
    for seed in range(12):
        model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Flatten(), nn.Linear(6 * 64, 2))
        x = images(1, 8, seed)
        seeded(model, seed)
        activation = model[0](x)[0].detach().numpy()
        gradient = model[2].weight[0].detach().numpy().reshape(6, 8, 8)
        for method, name in (("eigengrad-cam", "EigenGradCAM"), ("grad-cam", "GradCAM")):
            slope = gradient if method == "eigengrad-cam" else gradient.mean((1, 2), keepdims=True)
            strength = np.linalg.norm(slope * activation, axis=0)
            smooth = () if method == "eigengrad-cam" else "eigen"
            have = raw(model, x, "0", method, 0, smooth=smooth)[0]
            assert (have * strength).sum() > 0
            with getattr(peer, name)(model, [model[0]]) as cam:
                shown = theirs(cam, x, 0, eigen_smooth=bool(smooth))[0]
            flips[method][int(np.corrcoef(have.ravel(), shown.ravel())[0, 1] < 0)] += 1
    assert all(min(both) >= 2 for both in flips.values()), flips


def test_q13_finer_cam_of_two_classes_is_the_margin() -> None:
    model, x = seeded(FourConv(16)), images(3, 16)
    have = raw(model, x, "conv2", "finer-cam", 0)
    np.testing.assert_array_equal(have, raw(model, x, "conv2", "grad-cam", "margin:0"))


def test_q13_finer_cam_of_a_sure_network_is_not_empty() -> None:
    model, x = seeded(Four()), images(2, 16)
    with torch.no_grad():
        model.head[2].bias[2] += 200
    cam = peer.FinerCAM(model, [model.block])
    shown = cam(input_tensor=x, targets=None)
    assert shown.max() < 0.1  # its weights of the rivals, their probabilities, are all 0
    have = raw(model, x, "block", "finer-cam", 2)
    assert np.abs(have).max() > 1e-3


def test_q15_the_random_map_takes_no_pass_back_and_leaves_numpys_state() -> None:
    model, x = seeded(Four()), images(2, 16)
    state = np.random.get_state()[1].tolist()
    with peer.RandomCAM(model, [model.block]) as cam:
        first, second = (theirs(cam, x, 0) for _ in range(2))
    assert np.random.get_state()[1].tolist() != state and np.abs(first - second).max() > 0.01
    assert model.stem[0].weight.grad is not None
    model.zero_grad()
    state = np.random.get_state()[1].tolist()
    once, again = (raw(model, x, "block", "random", 0) for _ in range(2))
    assert np.array_equal(once, again) and np.random.get_state()[1].tolist() == state
    assert model.stem[0].weight.grad is None


class Ordered(nn.Module):
    """Two convolutions in the order in which they run, or the other way round: the same function."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        made = {"a": nn.Conv2d(3, 6, 3, padding=1), "b": nn.Conv2d(6, 6, 3, padding=1), "fc": nn.Linear(6, 3)}
        for name in ("b", "a", "fc") if turned else ("a", "b", "fc"):
            self.add_module(name, made[name])

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.b(self.a(x).relu()).relu().mean((2, 3)))


def test_q16_fullgrad_does_not_depend_on_the_order_in_which_modules_are_registered() -> None:
    inner, x = seeded(Ordered(False)), images(2, 16)
    with torch.no_grad():
        inner.a.bias.zero_()  # the peer scales every channel's map, so that it shows of a bias only whether it is 0
    turned = Ordered(True).eval()
    turned.load_state_dict(inner.state_dict())
    assert torch.equal(inner(x), turned(x))
    have = [raw(one, x, "a", "fullgrad", 1) for one in (inner, turned)]
    assert np.array_equal(*have)
    shown = []
    for model in (inner, turned):
        with peer.FullGrad(model, []) as cam:
            shown.append(theirs(cam, x, 1))
    assert np.abs(shown[0] - shown[1]).max() > 0.01


class Relus(nn.Module):
    """One function whose ReLUs are modules or not."""

    def __init__(self, functions: bool) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 3)
        self.functions = functions
        if not functions:
            self.relu1, self.relu2 = nn.ReLU(inplace=True), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        if self.functions:
            return self.fc(functional.relu(self.b(functional.relu(self.a(x)))).mean((2, 3)))
        return self.fc(self.relu2(self.b(self.relu1(self.a(x)))).mean((2, 3)))


def test_q17_guided_backprop_guides_functions_and_leaves_the_modules() -> None:
    inner, outer, x = seeded(Relus(False)), seeded(Relus(True)), images(2, 16)
    relu, seen = inner.relu1, []
    relu.register_forward_hook(lambda module, args, output: seen.append(True))
    have = [raw(model, x, "a", "guided-backprop", 1) for model in (inner, outer)]
    np.testing.assert_allclose(have[0], have[1], rtol=0, atol=1e-6 * np.abs(have[0]).max())
    assert inner.relu1 is relu and relu.inplace and seen
    shown = [GuidedBackpropReLUModel(model)(x[:1], target_category=1).sum(2) for model in (copy.deepcopy(inner), outer)]
    np.testing.assert_allclose(have[0][0], shown[0], rtol=0, atol=1e-5 * np.abs(shown[0]).max())
    leaf = x[:1].clone().requires_grad_()
    (plain,) = torch.autograd.grad(outer(leaf)[:, 1].sum(), leaf)
    np.testing.assert_allclose(shown[1], plain[0].sum(0).numpy(), rtol=0, atol=1e-5 * np.abs(shown[1]).max())
    assert np.abs(shown[0] - shown[1]).max() > 0.1 * np.abs(shown[0]).max()
    GuidedBackpropReLUModel(inner)(x[:1], target_category=1)
    assert inner.relu1 is not relu and not inner.relu1.inplace and not inner.relu1._forward_hooks


def test_q2_too_few_and_too_many_targets_are_errors() -> None:
    model, x = seeded(Pooled()), images(3, 16)
    for targets in ([0], [0, 1], [0, 1, 2, 0]):
        for method in ("ablation-cam", "score-cam", "fullgrad", "finer-cam"):
            with pytest.raises(OptionError, match=f"{len(targets)} targets? for 3 images"):
                raw(model, x, "act", method, targets)

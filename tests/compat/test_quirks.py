"""Where the other package is wrong (Q1 to Q23 of docs/from-pytorch-grad-cam.md), ours is right."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seewhy.compat import pytorch_grad_cam as ours
from seewhy.compat.pytorch_grad_cam.utils import model_targets
from seewhy.errors import LayerError, ModelError, OptionError
from tests.compat.peers import Target, maps_of, theirs
from tests.compat.test_parity import Four
from tests.models import FourConv, InPlaceFunctional, images, seeded

pytestmark = pytest.mark.usefixtures("_no_progress_bars")


class Plain(InPlaceFunctional):
    """The same function without its in-place operation."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(functional.relu(self.features(x)).flatten(1))


@pytest.mark.parametrize("recorded", [False, True], ids=["own pass", "hooks"])
def test_q1_an_in_place_relu_behind_the_layer_does_not_reach_the_map(recorded: bool) -> None:
    inplace, plain, x = seeded(InPlaceFunctional()), seeded(Plain()), images(2, 16)
    targets = [Target(1)] * 2
    cam = ours.GradCAM(inplace, [inplace.features])
    if recorded:
        cam.activations_and_grads = ours.ActivationsAndGradients(inplace, [inplace.features])
    want = maps_of(ours, "GradCAM", plain, x, ["features"], targets)
    np.testing.assert_allclose(cam(x, targets), want, atol=1e-6)
    assert np.abs(maps_of(theirs, "GradCAM", inplace, x, ["features"], targets) - want).max() > 0.05


def test_q2_too_few_targets_are_an_error() -> None:
    model, x = seeded(FourConv()), images(4)
    with pytest.raises(OptionError, match=r"1 target for 4 images.*\n.*targets=\[target\] \* len"):
        ours.GradCAM(model, [model.conv2])(x, [Target(0)])
    with pytest.raises(OptionError, match="5 targets for 4 images"):
        ours.GradCAM(model, [model.conv2])(x, [Target(0)] * 5)
    one = ours.GradCAM(model, [model.conv2])(x, Target(0))
    np.testing.assert_array_equal(one, ours.GradCAM(model, [model.conv2])(x, [Target(0)] * 4))
    assert maps_of(theirs, "GradCAM", model, x, ["conv2"], [Target(0)])[1:].max() == 0


def test_q3_a_shared_module_is_explained_by_its_last_run_and_two_cams_do_not_meet() -> None:
    model, x = seeded(FourConv()), images(2)
    have = ours.GradCAM(model, [model.relu])(x, Target(0))
    kept: list[Tensor] = []
    handle = model.relu.register_forward_hook(lambda m, a, out: kept.append(out))
    logits = model(x)
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), kept[-1])
    raw = (gradient.mean((2, 3), keepdim=True) * kept[-1]).sum(1).clamp(min=0).detach().numpy()
    scale = ours.utils.image.scale_cam_image
    np.testing.assert_allclose(have, scale(scale(raw, (32, 32))), atol=1e-5)
    recorded = ours.GradCAM(model, [model.relu])
    recorded.activations_and_grads = ours.ActivationsAndGradients(model, [model.relu])
    np.testing.assert_allclose(recorded(x, Target(0)), have, atol=1e-6)


def test_q4_a_frozen_early_layer_does_not_shift_the_others() -> None:
    model, x = seeded(FourConv()), images(2)
    want = ours.GradCAM(model, [model.conv1, model.conv2])(x, Target(0))
    model.conv1.requires_grad_(False)
    np.testing.assert_array_equal(ours.GradCAM(model, [model.conv1, model.conv2])(x, Target(0)), want)
    with pytest.raises((ValueError, AttributeError, TypeError)):
        maps_of(theirs, "GradCAM", model, x, ["conv1", "conv2"], [Target(0)] * 2)


class Detached(FourConv):
    """No gradient gets behind its second convolution."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        return self.fc(self.pool(self.relu(self.conv2(x.detach()))).flatten(1))


def test_q4_a_layer_that_no_gradient_reaches_is_named() -> None:
    model, x = seeded(Detached()), images(2)
    with pytest.raises(LayerError, match="does not depend on layer 'conv1'"):
        ours.GradCAM(model, [model.conv1, model.conv2])(x, Target(0))
    cam = ours.GradCAM(model, [model.conv1, model.conv2])
    cam.activations_and_grads = ours.ActivationsAndGradients(model, [model.conv1, model.conv2])
    with pytest.raises(LayerError, match="1 of 2 target layers got no gradient"):
        cam(x, Target(0))


def test_q5_modes_and_gradients_stay_and_no_graph_is_kept() -> None:
    model, x = seeded(FourConv()).train(), images(2)
    with ours.GradCAM(model, [model.conv2]) as cam:
        cam(x, Target(0))
    assert model.training and all(parameter.grad is None for parameter in model.parameters())
    assert not cam.outputs.requires_grad
    their = copy.deepcopy(model)
    maps = theirs.GradCAM(their, [their.conv2])
    maps(x, [Target(0)] * 2)
    assert not their.training and their.conv1.weight.grad is not None and maps.outputs.requires_grad


def test_q6_a_class_out_of_range_is_an_error_also_inside_of_with() -> None:
    model, x = seeded(FourConv()), images(2)
    words = r"There is no class 2: the network gives 2 outputs \(0 to 1\)"
    with pytest.raises(OptionError, match=words), ours.GradCAM(model, [model.conv2]) as cam:
        cam(x, [Target(2)] * 2)
    their = copy.deepcopy(model)
    their_target = theirs.utils.model_targets.ClassifierOutputTarget(2)
    with theirs.GradCAM(their, [their.conv2]) as cam:
        cam(x, [their_target] * 2)  # says a line, and goes on
    with pytest.raises(IndexError, match="mine"), ours.GradCAM(model, [model.conv2]):
        raise IndexError("mine")
    with pytest.raises(LayerError, match=r"no part of this FourConv.*\n.*conv1, conv2"):
        ours.GradCAM(model, [seeded(FourConv()).conv2])


def test_q7_bfloat16_works() -> None:
    model, x = seeded(FourConv()), images(2)
    want = ours.GradCAM(model, [model.conv2])(x, Target(0))
    half = copy.deepcopy(model).bfloat16()
    found = ours.GradCAM(half, [half.conv2])(x.bfloat16(), None)
    assert found.dtype == np.float32 and found.shape == want.shape
    assert np.abs(ours.GradCAM(half, [half.conv2])(x, Target(0)) - want).mean() < 0.05
    with pytest.raises(TypeError, match="BFloat16"):
        maps_of(theirs, "GradCAM", half, x.bfloat16(), ["conv2"], [Target(0)] * 2)


@pytest.mark.parametrize("size", [1, 5, 32])
def test_q9_ablation_cam_does_not_depend_on_its_batch_size(size: int) -> None:
    model, x = seeded(FourConv()), images(2)
    have = ours.AblationCAM(model, [model.conv2], batch_size=size)(x, Target(0))
    np.testing.assert_array_equal(have, ours.AblationCAM(model, [model.conv2])(x, Target(0)))

    class Own(ours.AblationLayer):
        """The same, so that the whole network is run with it."""

    slow = ours.AblationCAM(model, [model.conv2], ablation_layer=Own(), batch_size=size)(x, Target(0))
    np.testing.assert_allclose(slow, have, atol=1e-4)


def test_q9_several_layers_negative_scores_and_errors() -> None:
    model, x = seeded(Four()), images(2, 16)
    assert ours.AblationCAM(model, [model.block, model.stem])(x, Target(0)).shape == (2, 16, 16)
    # The fall of the score has no sign of the score: a constant taken off it changes nothing.
    same = [ours.AblationCAM(model, [model.block])(x, lambda z, c=c: z[0] - c) for c in (0.0, 100.0)]
    np.testing.assert_allclose(same[0], same[1], atol=1e-2)
    with pytest.warns(UserWarning, match="ratio_channels_to_ablate=0.5 is taken and does nothing"):
        ours.AblationCAM(model, [model.block], ratio_channels_to_ablate=0.5)
    kinds = [type(module) for module in model.modules()]

    class Breaking(ours.AblationLayer):
        def __call__(self, x: Any) -> Any:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        ours.AblationCAM(model, [model.block], ablation_layer=Breaking())(x, Target(0))
    assert [type(module) for module in model.modules()] == kinds
    assert not any(module._forward_hooks for module in model.modules())


def test_q9_a_share_of_the_channels_has_no_doubles() -> None:
    features = np.random.default_rng(0).random((12, 6, 6)).astype(np.float32)
    chosen = ours.AblationLayer().activations_to_be_ablated(features, 0.75)
    assert len(chosen) == len(set(chosen.tolist())) == 9
    wide = theirs.AblationLayer().activations_to_be_ablated(features, 0.75)
    assert len(set(wide.tolist())) < len(wide) == 18


def test_q10_score_cam_keeps_nothing_of_its_passes(capsys: pytest.CaptureFixture[str]) -> None:
    model, x = seeded(Four()), images(2, 16)
    cam = ours.ScoreCAM(model, [model.block])
    cam(x, Target(0))
    assert len(cam.activations_and_grads.activations) == 1 and capsys.readouterr() == ("", "")


def test_q11_components_have_a_sign() -> None:
    """What grows with the features is shown, whatever LAPACK's mood: of 12 networks theirs turns some round."""
    flips = set()
    for seed in range(12):
        model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Flatten(), nn.Linear(6 * 64, 2))
        seeded(model, seed)
        x = images(1, 8, seed)
        strength = model[0](x)[0].norm(dim=0).detach().numpy()
        for name in ("EigenCAM", "KPCA_CAM"):
            have, want = (maps_of(package, name, model, x, ["0"], [Target(0)])[0] for package in (ours, theirs))
            assert np.corrcoef(have.ravel(), strength.ravel())[0, 1] > 0
            flips.add((name, bool(np.corrcoef(have.ravel(), want.ravel())[0, 1] < 0)))
    assert ("EigenCAM", True) in flips and ("EigenCAM", False) in flips


def test_q12_shapley_cam_of_several_layers_of_tokens_and_of_a_score_that_bends() -> None:
    model, x = seeded(Four()), images(2, 16)
    assert ours.ShapleyCAM(model, [model.block, model.stem])(x, Target(0)).shape == (2, 16, 16)
    logit = ours.ShapleyCAM(model, [model.block])(x, Target(2))
    np.testing.assert_allclose(logit, ours.GradCAM(model, [model.block])(x, Target(2)), atol=1e-5)
    bent = model_targets.ClassifierOutputReST(2)
    assert np.abs(ours.ShapleyCAM(model, [model.block])(x, bent) - logit).max() > 1e-3
    turned = ours.ShapleyCAM(model, [model.block], reshape_transform=lambda out: out.flip(-1))(x, bent)
    np.testing.assert_allclose(turned, ours.ShapleyCAM(model, [model.block])(x, bent)[..., ::-1], atol=1e-5)


def test_q13_finer_cam_of_two_classes_in_with_and_with_smoothing() -> None:
    model, x = seeded(FourConv()), images(2)
    with ours.FinerCAM(model, [model.conv2]) as cam:
        plain, smooth = cam(x), cam(x, aug_smooth=True)
    assert plain.shape == smooth.shape and np.abs(plain - smooth).max() > 0
    margin = ours.GradCAM(model, [model.conv2])(x, lambda z: z.max() - z.min())
    np.testing.assert_allclose(plain, margin, atol=1e-6)
    sure = model_targets.FinerWeightedTarget(0, [1, 2], 1)(torch.tensor([90.0, -90.0, -91.0]))
    assert 180 < float(sure) < 181  # theirs: 0, since the weights round to nothing


def test_q14_refine_cam_smooths_as_it_is_asked_in_one_pass() -> None:
    model, x, runs = seeded(Four()), images(2, 16), []
    handle = model.register_forward_hook(lambda m, a, out: runs.append(1))
    cam = ours.RefineCAM(model, [model.block, model.stem], base_method=ours.GradCAM)
    have = cam(x, Target(0), eigen_smooth=True)
    assert len(runs) == 1
    handle.remove()
    single = [ours.GradCAM(model, [layer])(x, Target(0), eigen_smooth=True) for layer in (model.block, model.stem)]
    want = ours.utils.image.scale_cam_image(single[0] * single[1])
    np.testing.assert_allclose(have, want, atol=1e-5)


def test_q15_random_cam_needs_no_gradient_and_no_global_seed() -> None:
    model, x = seeded(Four()), images(2, 16)
    state = np.random.get_state()[1].copy()
    with torch.no_grad():
        maps = [ours.RandomCAM(model, [model.block])(x, Target(0)) for _ in range(2)]
    np.testing.assert_array_equal(maps[0], maps[1])
    assert np.array_equal(np.random.get_state()[1], state)


class Registered(nn.Module):
    """Convolutions of one width, registered in another order than they run in."""

    def __init__(self, turned: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        first, second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        for parameter in [*first.parameters(), *second.parameters()]:
            parameter.data = torch.randn(parameter.shape, generator=generator)
        for name, layer in [("b", second), ("a", first)] if turned else [("a", first), ("b", second)]:
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x).relu()).relu().mean((2, 3))


def test_q16_fullgrad_pairs_biases_with_their_own_gradients() -> None:
    x = images(2, 16)
    have = [maps_of(ours, "FullGrad", Registered(turned), x, [], [Target(0)] * 2) for turned in (False, True)]
    np.testing.assert_allclose(have[0], have[1], atol=1e-6)
    want = [maps_of(theirs, "FullGrad", Registered(turned), x, [], [Target(0)] * 2) for turned in (False, True)]
    np.testing.assert_allclose(have[0], want[0], atol=1e-5)
    with pytest.warns(UserWarning, match="target_layers is taken and does nothing"):
        model = Registered(True)
        ours.FullGrad(model, [model.a])


class Functional(nn.Module):
    """A ReLU that is a function, and one that is an in-place module with a hook."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.second(functional.relu(self.first(x)))).mean((2, 3))


def test_q17_guided_backprop_leaves_the_network_and_takes_batches_and_functions() -> None:
    model, x = seeded(Functional()), images(3, 16)
    act, kept = model.act, []
    act.register_forward_hook(lambda m, a, out: kept.append(1))
    guided = ours.GuidedBackpropReLUModel(model)
    together = guided(x, 1)
    assert model.act is act and act.inplace and x.grad is None and not x.requires_grad
    assert together.shape == (3, 16, 16, 3)
    np.testing.assert_allclose(guided(x[2:], 1), together[2], atol=1e-7)

    class Modules(Functional):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU()
            self.other = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.second(self.other(self.first(x)))).mean((2, 3))

    same = Modules().eval()
    same.load_state_dict(model.state_dict())
    want = theirs.GuidedBackpropReLUModel(model=same, device="cpu")(x[:1], target_category=1)
    np.testing.assert_allclose(together[0], want, atol=1e-6)
    with pytest.warns(UserWarning, match="use_cuda=False is taken"):
        assert ours.GuidedBackpropReLUModel(model, use_cuda=False)(x[:1]).shape == (16, 16, 3)
    with pytest.raises(OptionError, match="There is no class 7"):
        guided(x, 7)


def test_q22_a_one_logit_networks_negative_class_is_explained_by_minus_the_logit() -> None:
    model, x = seeded(FourConv(classes=1)), images(4)
    with torch.no_grad():
        model.fc.bias -= 100
    with pytest.warns(UserWarning, match="one number for each image"):
        have = ours.GradCAM(model, [model.conv2])(x)
    minus = ours.GradCAM(model, [model.conv2])(x, lambda z: -z)
    np.testing.assert_array_equal(have, minus)
    plus = maps_of(theirs, "GradCAM", model, x, ["conv2"], None)
    assert np.abs(have - plus).max() > 0.3


def test_bad_input_is_named() -> None:
    model, x = seeded(FourConv()), images(2)
    cam = ours.GradCAM(model, [model.conv2])
    with pytest.raises(OptionError, match=r"shape \(3, 32, 32\), without the axis.*\n.*input_tensor\[None\]"):
        cam(x[0], None)
    with pytest.raises(OptionError, match="input_tensor is a ndarray"):
        cam(x.numpy(), None)
    with pytest.raises(OptionError, match="A target is a function of one image's output, and 1 is none"):
        cam(x, [1, 1])
    with pytest.raises(OptionError, match=r"RawScoresOutputTarget gave \(2,\)"):
        cam(x, [model_targets.RawScoresOutputTarget()] * 2)
    with pytest.raises(OptionError, match="is for one output, and the network gives 2"):
        cam(x, [model_targets.BinaryClassifierOutputTarget(1)] * 2)
    with pytest.raises(OptionError, match=r"target_layers is empty\.\n.*model\.layer4"):
        ours.GradCAM(model, [])
    recorded = ours.GradCAM(model, [model.fc])
    recorded.activations_and_grads = ours.ActivationsAndGradients(model, [model.fc])
    with pytest.raises(LayerError, match=r"features have shape \(2, 2\)"):
        recorded(x, Target(0))
    with pytest.raises(OptionError, match=r"target_layers holds a str: 'conv2'"):
        ours.GradCAM(model, ["conv2"])
    with pytest.raises(LayerError, match=r"Layer 'fc' gives shape \(2, 2\).*\n.*reshape_transform="):
        ours.GradCAM(model, [model.fc])(x, Target(0))
    with pytest.warns(UserWarning, match="target_layers is one Conv2d, taken as one layer"):
        np.testing.assert_array_equal(ours.GradCAM(model, model.conv2)(x), cam(x))
    with pytest.warns(UserWarning, match="device='cuda:0' is taken and does nothing"):
        ours.GradCAM(model, [model.conv2], device="cuda:0")
    dense = nn.Conv2d(3, 4, 3, padding=1)
    with pytest.raises(ModelError, match=r"the network gives shape \(2, 4, 32, 32\), no logits"):
        ours.GradCAM(dense, [dense])(x)

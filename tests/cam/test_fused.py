"""Fused inference: the same numbers, the model untouched, and true values for everybody who looks."""

from __future__ import annotations

import multiprocessing
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seewhy.cam import fused
from seewhy.cam.fused import Fusion, fusion_of, plan_fusion
from tests.models import FourConv, Linear, Pooled, images, seeded


class Residual(nn.Module):
    """A block as in ResNet: the sum with what the block's first convolution has read."""

    def __init__(self, path: str = "plain") -> None:
        super().__init__()
        self.path = path
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.conv1, self.bn1 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(8, 3)
        self.kept: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        out = self.relu(self.bn1(self.conv1(x)))
        before = self.conv2(out)
        if self.path == "raise":
            raise KeyError("in the middle")
        if self.path == "kept":
            self.kept.append(before)
        if self.path == "overwritten":
            out.zero_()
        if self.path == "changed":
            x.mul_(2)
        out = self.bn2(before)
        if self.path == "twice":
            out = out + before.mean()
        out += x
        out = self.relu(out)
        if self.path == "late":
            out = out + before
        return self.fc(out.mean((2, 3)))


class Viewed(nn.Module):
    """Wants its activations contiguous, as old code does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4 * 32 * 32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).view(len(x), -1))


def planned(model: nn.Module, x: Tensor, before: tuple[str, ...] = ()) -> Fusion:
    fusion = plan_fusion(model, x, before)
    assert fusion is not None
    return fusion


def runs(fusion: Fusion, model: nn.Module, x: Tensor) -> tuple[Tensor, int]:
    """What the model gives under the fusion, and how many chains did their work."""
    with torch.no_grad(), fusion.applied(model) as mode:
        output = model(x)
    return output, len(mode.finished)


def plain(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return model(x)


def assert_close(found: Tensor, true: Tensor) -> None:
    assert float((found - true).abs().max()) <= 1e-5 * float(true.abs().max())


def calibrated(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model as initialised, with seeded batch-norm statistics, in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return model.eval()


@pytest.mark.parametrize(
    ("name", "chains", "sums"),
    [
        ("resnet18", 20, 5),
        ("resnet50", 53, 12),
        ("squeezenet1_1", 26, 0),
        ("densenet121", 120, 0),
        ("mobilenet_v2", 52, 10),
        ("mobilenet_v3_small", 52, 6),
        ("efficientnet_b0", 81, 9),
        ("regnet_y_400mf", 85, 12),
        ("shufflenet_v2_x0_5", 56, 0),
    ],
)
def test_torchvision_models_give_the_same_logits(name: str, chains: int, sums: int) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    torch.manual_seed(0)
    assert_same(calibrated(getattr(models, name)(weights=None)), chains, sums)


@pytest.mark.parametrize(("name", "chains", "sums"), [("resnet18", 20, 5), ("regnety_002", 70, 9)])
def test_timm_models_give_the_same_logits(name: str, chains: int, sums: int) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    assert_same(calibrated(timm.create_model(name)), chains, sums)


def assert_same(model: nn.Module, chains: int, sums: int) -> None:
    x = images(2, 64)
    state = {name: one.clone() for name, one in model.state_dict().items()}
    keys = {name: set(vars(module)) for name, module in model.named_modules()}
    true = plain(model, x)
    fusion = planned(model, x)
    assert len(fusion) == chains
    assert sum(one.chain.source is not None for one in fusion.packed) == sums
    found, finished = runs(fusion, model, x)
    assert finished == chains
    assert_close(found, true)
    assert torch.equal(plain(model, x), true)
    assert all(torch.equal(one, state[name]) for name, one in model.state_dict().items())
    assert keys == {name: set(vars(module)) for name, module in model.named_modules()}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize(
    "model",
    [FourConv(), Pooled(), Pooled(inplace=True), Residual(), Linear()],
    ids=["four", "pooled", "in place", "residual", "linear"],
)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_any_batch_and_size_after_one_plan(model: nn.Module, count: int) -> None:
    seeded(model)
    fusion = planned(model, images(3))
    found, finished = runs(fusion, model, images(count, seed=2))
    assert finished == len(fusion) > 0
    assert_close(found, plain(model, images(count, seed=2)))
    if not isinstance(model, FourConv):
        assert_close(runs(fusion, model, images(count, 48))[0], plain(model, images(count, 48)))


@pytest.mark.parametrize(
    ("act", "attribute"),
    [
        (nn.ReLU6(), "hardtanh"),
        (nn.Hardtanh(-1, 2), "hardtanh"),
        (nn.SiLU(inplace=True), "swish"),
        (nn.Hardswish(), "hardswish"),
        (nn.Hardsigmoid(), "hardsigmoid"),
        (nn.Sigmoid(), "sigmoid"),
        (nn.Tanh(), "tanh"),
        (nn.LeakyReLU(0.3), "leaky_relu"),
        (nn.LeakyReLU(inplace=True), "leaky_relu"),
        (nn.GELU(), "none"),
    ],
)
def test_activations_are_computed_by_the_convolution(act: nn.Module, attribute: str) -> None:
    model = Pooled()
    model.act = act
    model = seeded(model)
    fusion = planned(model, images())
    assert fusion.packed[1].chain.activation[0] == attribute
    assert_close(runs(fusion, model, images())[0], plain(model, images()))


@pytest.mark.parametrize("affine", [True, False])
def test_grouped_dilated_and_padded_convolutions(affine: bool) -> None:
    model = calibrated(
        nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=2, dilation=2, padding_mode="reflect"),
            nn.BatchNorm2d(6, affine=affine),
            nn.Conv2d(6, 12, (3, 1), stride=(2, 1), padding=(1, 0), groups=6, bias=False),
            nn.BatchNorm2d(12, eps=0.1),
            nn.ReLU(),
            nn.Conv2d(12, 4, 3, padding="same"),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
    )
    fusion = planned(model, images())
    assert [len(one.chain.steps) for one in fusion.packed] == [1, 2, 0]
    assert_close(runs(fusion, model, images())[0], plain(model, images()))


def seen_by(model: nn.Module, name: str, run: Callable[[], Any]) -> list[Tensor]:
    found: list[Tensor] = []
    handle = model.get_submodule(name).register_forward_hook(lambda _, __, output: found.append(output.clone()))
    try:
        run()
    finally:
        handle.remove()
    return found


@pytest.mark.parametrize("layer", ["stem", "conv1", "bn1", "conv2", "bn2", "relu", "fc"])
@pytest.mark.parametrize("when", ["before planning", "after planning"])
def test_a_hook_of_the_user_sees_the_true_value(layer: str, when: str) -> None:
    model, x = seeded(Residual()), images()
    fusion = planned(model, x) if when == "after planning" else None

    def run() -> None:
        known = fusion or plan_fusion(model, x)  # None where the hook is on the shared ReLU
        if known is None:
            plain(model, x)
        else:
            runs(known, model, x)

    true = seen_by(model, layer, lambda: plain(model, x))
    found = seen_by(model, layer, run)[-len(true) :]
    for one, two in zip(found, true, strict=True):
        assert_close(one, two)
    if fusion is not None:
        assert runs(fusion, model, x)[1] == len(fusion)


def test_a_hook_on_the_input_side_and_a_global_hook_see_the_true_value() -> None:
    model, x, found = seeded(Residual()), images(), []
    fusion = planned(model, x)
    handle = model.bn1.register_forward_pre_hook(lambda _, args: found.append(args[0].clone()))
    plain(model, x)
    assert runs(fusion, model, x)[1] == len(fusion) - 1
    handle.remove()
    assert_close(found[1], found[0])
    handle = nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert runs(fusion, model, x)[1] == 0
    finally:
        handle.remove()


@pytest.mark.parametrize(
    ("layer", "chains"), [("stem", 0), ("relu", 1), ("conv1", 1), ("bn1", 1), ("conv2", 2), ("bn2", 2), ("fc", 3)]
)
def test_named_layers_and_all_behind_them_have_true_values_and_a_graph(layer: str, chains: int) -> None:
    model, x = seeded(Residual()), images()
    fusion = plan_fusion(model, x, [layer])
    assert (0 if fusion is None else len(fusion)) == chains

    def slope(under: Fusion | None) -> tuple[Tensor, Tensor]:
        kept: list[Tensor] = []

        def leaf(_: nn.Module, args: Any, output: Tensor) -> Tensor:
            if not kept:
                torch.set_grad_enabled(True)
                kept.append(output.detach().clone().requires_grad_())
                return kept[0].clone()
            return output

        handle = model.get_submodule(layer).register_forward_hook(leaf)
        with torch.no_grad():
            if under is None:
                output = model(x)
            else:
                with under.applied(model):
                    output = model(x)
        handle.remove()
        return kept[0], torch.autograd.grad(output[:, 0].sum(), kept[0])[0]

    for found, true in zip(slope(fusion), slope(None), strict=True):
        assert_close(found.detach(), true.detach())


def test_a_container_is_fused_within() -> None:
    model = seeded(Pooled(inplace=True))
    assert len(planned(model, images(), ("block",))) == 1  # its last operation belongs to a chain that ends behind it
    assert len(planned(model, images(), ("act",))) == 2
    assert len(planned(model, images(), ("", "act"))) == 2


def test_the_output_of_a_chain_can_be_overwritten_where_a_graph_is_wanted() -> None:
    model, x = seeded(nn.Conv2d(3, 4, 3)), images()
    model = nn.Sequential(model, nn.ReLU())
    fusion = planned(model, x)
    with torch.no_grad(), fusion.applied(model):
        output = model(x)
    assert not output._is_view()
    with torch.enable_grad():
        assert output.mul_(torch.ones((), requires_grad=True)).requires_grad


@pytest.mark.parametrize(
    ("path", "steps"), [("twice", 0), ("late", 0), ("kept", None), ("overwritten", 0), ("changed", 1)]
)
def test_what_somebody_else_reads_or_overwrites_is_not_fused(path: str, steps: int | None) -> None:
    model, x = seeded(Residual(path)), images()
    true = plain(model, x)
    fusion = planned(model, x)
    model.kept.clear()
    found, finished = runs(fusion, model, x)
    assert_close(found, true)
    assert finished == len(fusion)
    last = [len(one.chain.steps) for one in fusion.packed if one.chain.weight is model.conv2.weight]
    assert last == ([] if steps is None else [steps])
    if path == "kept":
        plain(model, x)
        assert_close(model.kept[0], model.kept[1])


@pytest.mark.parametrize("path", ["twice", "late", "changed"])
def test_a_pass_that_takes_another_path_is_repaired(path: str) -> None:
    model, x = seeded(Residual()), images()
    fusion = planned(model, x)
    model.path = path
    found, finished = runs(fusion, model, x)
    assert_close(found, plain(model, x))
    assert finished == len(fusion) - 1


def test_a_path_that_cannot_be_repaired_is_refused() -> None:
    model, x = seeded(Residual()), images()
    fusion = planned(model, x)
    model.path, model.bn2 = "overwritten", nn.Identity()
    with pytest.raises(RuntimeError, match="another path"):
        runs(fusion, model, x)


def test_an_exception_in_the_middle_leaves_nothing() -> None:
    model, x = seeded(Residual()), images()
    fusion = planned(model, x)
    true = plain(model, x)
    with torch.no_grad(), fusion.applied(model) as mode:
        model.path = "raise"
        with pytest.raises(KeyError, match="in the middle"):
            model(x)
        model.path = "plain"
        assert_close(model(x), true)
        assert not [one for one in mode.running if not one.over()]
    assert torch.equal(plain(model, x), true)


def test_with_gradients_the_true_network_runs() -> None:
    model, x = seeded(Residual()), images()
    fusion = planned(model, x)
    true = torch.autograd.grad(model(x).sum(), model.conv1.weight)[0]
    with fusion.applied(model) as mode:
        output = model(x)
        assert torch.equal(torch.autograd.grad(output.sum(), model.conv1.weight)[0], true)
    assert not mode.finished


def test_inference_mode_runs_the_true_network() -> None:
    model, x = seeded(Residual()), images()
    fusion = planned(model, x)
    with torch.inference_mode(), fusion.applied(model):
        assert_close(model(x).clone(), plain(model, x))


def test_changed_weights_are_not_served_from_the_old_ones() -> None:
    model, x = seeded(Residual()), images()
    fusion = fusion_of(model, x)
    assert fusion is not None and fusion_of(model, x).packed == fusion.packed
    with torch.no_grad():
        model.bn1.running_mean.add_(1)
    found, finished = runs(fusion, model, x)
    assert finished == len(fusion) - 1
    assert_close(found, plain(model, x))
    assert not fusion.fresh()


def test_changes_through_data_are_noticed_by_the_kept_plan() -> None:
    model, x = seeded(Residual()), images()
    fusion = fusion_of(model, x)
    assert fusion is not None and fusion.fresh()
    model.conv2.weight.data[3, 1] += 1
    assert not fusion.fresh()
    again = fusion_of(model, x)
    assert again is not None and again.fresh()
    assert_close(runs(again, model, x)[0], plain(model, x))


def test_a_new_weight_object_is_not_served_from_the_old_one() -> None:
    model, x = seeded(Residual()), images()
    fusion = planned(model, x)
    model.conv2.weight = nn.Parameter(model.conv2.weight.detach() * 2)
    assert_close(runs(fusion, model, x)[0], plain(model, x))


@pytest.mark.parametrize(
    "see",
    [
        lambda x: x[:1].expand(4, -1, -1, -1),
        lambda x: x[:, :, ::2, 1:],
        lambda x: x.transpose(2, 3),
        lambda x: x.contiguous(memory_format=torch.channels_last),
        lambda x: torch.cat([x, x], 1)[:, 2:5],
    ],
    ids=["expanded", "strided", "transposed", "channels last", "sliced"],
)
def test_any_layout_of_the_input(see: Callable[[Tensor], Tensor]) -> None:
    model, x = seeded(Residual()), see(images())
    found, finished = runs(planned(model, images()), model, x)
    assert finished == 3
    assert_close(found, plain(model, x))


def test_a_wrong_input_gets_the_error_of_the_model_itself() -> None:
    model = seeded(nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU()))
    fusion = planned(model, images())
    with pytest.raises(RuntimeError, match=r"expected input.* to have 3 channels"):
        runs(fusion, model, images()[:, :2])
    with pytest.raises(RuntimeError, match="Kernel size can't be greater than actual input size"):
        runs(fusion, model, images(size=4))
    assert runs(fusion, model, images()[:0])[0].shape == (0, 4, 28, 28)


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_packed_weights_are_copies(kernel: int) -> None:
    model, x = seeded(nn.Sequential(nn.Conv2d(16, 16, kernel), nn.ReLU())), torch.rand(2, 16, 8, 8)
    fusion = planned(model, x)
    true = plain(model, x)
    model[0].weight.data.zero_()
    model[0].bias.data.zero_()
    assert_close(runs(fusion, model, x)[0], true)


def test_nan_goes_in_and_comes_out() -> None:
    model, x = seeded(Residual()), images()
    fusion = planned(model, x)
    x[1, 0, 3, 3] = torch.nan
    assert runs(fusion, model, x)[0].isnan().any(dim=1).tolist() == [False, True, False, False]


def test_nothing_is_planned_where_nothing_can_be_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    x = images()
    assert plan_fusion(seeded(Residual()).double(), x.double()) is None
    assert plan_fusion(seeded(Residual()).bfloat16(), x.bfloat16()) is None
    assert plan_fusion(seeded(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))), x) is None
    assert plan_fusion(seeded(Residual()), x[:, :2]) is None
    assert plan_fusion(seeded(Residual()), x[:0]) is None
    monkeypatch.setattr(fused, "available", lambda: False)
    assert plan_fusion(seeded(Residual()), x) is None


def test_a_network_that_wants_contiguous_activations_still_runs() -> None:
    model, x = seeded(Viewed()), images()
    fusion = plan_fusion(model, x[:1])
    if fusion is not None:
        assert_close(runs(fusion, model, x)[0], plain(model, x))


def test_a_network_that_is_not_the_same_twice_is_left_alone() -> None:
    class Noisy(Residual):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.rand(())

    assert plan_fusion(seeded(Noisy()), images()) is None


def test_another_thread_sees_the_plain_network_meanwhile() -> None:
    model, x = seeded(Residual()), images()
    fusion, true, found = planned(model, x), plain(model, x), []
    with torch.no_grad(), fusion.applied(model) as mode:
        thread = threading.Thread(target=lambda: found.append(plain(model, x)))
        thread.start()
        thread.join()
    assert torch.equal(found[0], true)
    assert not mode.finished


def test_a_forked_worker_uses_the_packed_weights() -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    model, x = seeded(Residual()), images()
    fusion = planned(model, x)
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()

    def work() -> None:
        output, finished = runs(fusion, model, x)
        there.send((output.tolist(), finished))

    worker = context.Process(target=work)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads beside a fork
        worker.start()
    assert here.poll(30)
    output, finished = here.recv()
    worker.join(30)
    assert finished == len(fusion)
    assert torch.equal(torch.tensor(output), runs(fusion, model, x)[0])

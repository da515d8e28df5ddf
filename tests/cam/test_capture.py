"""Capture: the right tensors, several layers in the order asked, and nothing left behind in the model."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seewhy.cam.capture import capture, find_layer, gradients
from seewhy.cam.methods.catalogue import METHODS
from seewhy.cam.model import forward, logits_of, unwrap
from seewhy.cam.scores.targets import find_score
from seewhy.errors import LayerError, ModelError
from tests.models import Attributed, FourConv, FrozenBackbone, InPlaceFunctional, Pooled, attributed, images, seeded

HIRES = METHODS["hirescam"]


def explain(model: nn.Module, x: Tensor, *layers: str, target: int = 0, method: str = "hirescam") -> Attributed:
    found = [find_layer(model, name) for name in layers]
    return attributed(model, x, found, METHODS[method], find_score(target, ("a", "b", "c", "d")))


def by_hand(model: FourConv, x: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Activations and gradients of FourConv's logit 0, written out without hooks."""
    a1 = model.conv1(x).detach().requires_grad_()
    a2 = model.conv2(model.pool(model.relu(a1)))
    z = model.fc(model.pool(model.relu(a2)).flatten(1))
    g1, g2 = torch.autograd.grad(z[:, 0].sum(), (a1, a2))
    return {"conv1": (a1.detach(), g1), "conv2": (a2.detach(), g2)}


def test_activations_and_gradients_equal_those_written_by_hand() -> None:
    model, x = seeded(FourConv()), images()
    layers = [find_layer(model, "conv2"), find_layer(model, "conv1")]
    with capture(model, x, layers) as captured:
        found = gradients(captured.logits[:, 0], captured.activations)
        for name, (activation, gradient) in by_hand(model, x).items():
            assert torch.equal(captured.activations[name], activation)
            assert torch.equal(found[name], gradient)


def test_layers_come_back_in_the_order_asked() -> None:
    model, x = seeded(FourConv()), images()
    assert list(explain(model, x, "conv2", "conv1").maps) == ["conv2", "conv1"]
    both, alone = explain(model, x, "conv2", "conv1"), explain(model, x, "conv1")
    assert torch.equal(both.maps["conv1"], alone.maps["conv1"])


def test_an_in_place_operation_behind_the_layer_changes_nothing() -> None:
    plain, inplace = seeded(Pooled(inplace=False)), seeded(Pooled(inplace=True))
    for layer in ("block", "stem.0", "stem.1", "act", "block.0"):
        assert torch.equal(explain(plain, images(), layer).maps[layer], explain(inplace, images(), layer).maps[layer])


def test_what_is_captured_is_the_value_before_a_functional_in_place_relu() -> None:
    model, x = seeded(InPlaceFunctional()), images(size=16)
    with capture(model, x, [find_layer(model, "features")]) as captured:
        gradient = gradients(captured.logits[:, 0], captured.activations)["features"]
        assert torch.equal(captured.activations["features"], model.features(x))
        assert captured.activations["features"].min() < 0
        assert bool((gradient[captured.activations["features"] < 0] == 0).all())


class Taken(nn.Module):
    """Some of the channels as a view of them, however they are handed in."""

    def forward(self, x: Tensor | None = None, *, held: Tensor | None = None) -> Tensor:
        whole = x if held is None else held
        assert whole is not None
        return whole if held is not None else whole[:, 4:]


class OverwrittenUpstream(nn.Module):
    """What a layer gives is used, and then that overwritten in place of which it is a view."""

    def __init__(self, *, whole: bool = False) -> None:
        super().__init__()
        self.stem, self.taken, self.whole = nn.Conv2d(3, 8, 3, padding=1), Taken(), whole
        self.head, self.fc = nn.Conv2d(8 if whole else 4, 8, 3, padding=1), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        z = self.head(self.taken(held=x) if self.whole else self.taken(x)).relu()
        x.relu_()
        return self.fc(torch.cat([x.mean((2, 3)), z.mean((2, 3))], 1))


@pytest.mark.parametrize("layers", [["taken"], ["stem", "taken"]], ids=["alone", "behind another"])
@pytest.mark.parametrize("whole", [False, True], ids=["a view", "the tensor itself"])
def test_what_is_captured_is_the_value_before_what_it_is_a_view_of_is_overwritten(
    whole: bool, layers: list[str]
) -> None:
    model, x = seeded(OverwrittenUpstream(whole=whole)), images(size=16)
    for _ in range(2):  # the second time it is known of the model
        with capture(model, x, [find_layer(model, name) for name in layers]) as captured:
            gradient = gradients(captured.logits[:, 0], captured.activations)["taken"]
            held = captured.activations["taken"].detach()
            logits = captured.logits.detach()
    with torch.no_grad():
        before = model.stem(x)
        assert torch.equal(held, before if whole else before[:, 4:])
        assert torch.equal(logits, model(x))
    want = held.clone().requires_grad_()
    (slope,) = torch.autograd.grad((model.head(want).relu().mean((2, 3)) @ model.fc.weight[0, 8:]).sum(), want)
    torch.testing.assert_close(gradient, slope, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("inplace", "first"), [(False, 1), (True, 2)], ids=["nothing overwritten", "by what follows"])
def test_a_model_that_overwrites_nothing_upstream_is_run_no_more_often(inplace: bool, first: int) -> None:
    model, passes = seeded(Pooled(inplace=inplace)), []
    model.stem.register_forward_hook(lambda module, args, output: passes.append(1))
    explain(model, images(), "block")
    assert len(passes) == first
    explain(model, images(), "block")
    assert len(passes) == first + 1


@pytest.mark.parametrize("frozen", ["all", "conv1", "conv2", "fc"])
def test_frozen_parameters_change_nothing(frozen: str) -> None:
    free, model = seeded(FourConv()), seeded(FourConv())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not (frozen == "all" or name.startswith(frozen)))
    want, have = explain(free, images(), "conv1", "conv2"), explain(model, images(), "conv1", "conv2")
    assert all(torch.equal(want.maps[name], have.maps[name]) for name in want.maps)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad], ids=lambda c: c.__name__)
def test_a_surrounding_grad_mode_changes_nothing(context: Callable[[], Any]) -> None:
    model, x = seeded(FourConv()), images()
    want = explain(model, x, "conv2").maps["conv2"]
    with context():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        have = explain(model, x.clone(), "conv2").maps["conv2"]
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    assert torch.equal(want, have)


def test_a_network_made_under_inference_mode_is_refused() -> None:
    with torch.inference_mode():
        model = FourConv()
    with pytest.raises(ModelError, match=r"made under torch\.inference_mode"):
        explain(model, images(), "conv2")


def test_a_backbone_under_the_models_own_no_grad_still_gets_gradients() -> None:
    model, x = seeded(FrozenBackbone()), images()
    found = explain(model, x, "backbone").maps["backbone"]
    a = model.backbone(x).detach().requires_grad_()
    (g,) = torch.autograd.grad(model.fc(a.relu().mean((2, 3)))[:, 0].sum(), a)
    torch.testing.assert_close(found, (a * g).sum(1).detach(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode], ids=lambda context: context.__name__)
def test_layers_in_and_behind_what_the_model_runs_without_a_graph_get_their_gradients_together(
    context: Callable[[], Any],
) -> None:
    class Under(Pooled):
        def forward(self, x: Tensor) -> Tensor:
            with context():
                x = self.stem(x)
            return self.fc(self.act(self.block(x.clone())).mean((2, 3)))

    model, x = seeded(Under()), images()
    both = explain(model, x, "stem", "block").maps
    a = model.stem(x).detach().requires_grad_()
    (g,) = torch.autograd.grad(model.fc(model.act(model.block(a)).mean((2, 3)))[:, 0].sum(), a)
    torch.testing.assert_close(both["stem"], (a * g).sum(1).detach(), rtol=0, atol=1e-7)
    assert torch.equal(both["stem"], explain(model, x, "stem").maps["stem"])
    assert torch.equal(both["block"], explain(model, x, "block").maps["block"])


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("cut", ["checkpoint", "detach_"])
@pytest.mark.parametrize("layer", ["stem", "stem.1"])
def test_a_layer_whose_very_output_is_cut_off_is_told_what_to_do(cut: str, layer: str) -> None:
    class Cut(Pooled):
        def forward(self, x: Tensor) -> Tensor:
            x = checkpoint(self.stem, x, use_reentrant=True) if cut == "checkpoint" else self.stem(x).detach_()
            return self.fc(self.act(self.block(x)).mean((2, 3)))

    model, x = seeded(Cut()), images()
    with pytest.raises(LayerError, match=rf"does not depend on layer '{layer}'(.|\n)*use_reentrant=False"):
        explain(model, x, layer)
    with pytest.raises(LayerError, match=rf"does not depend on layer '{layer}'"):
        explain(model, x, "block", layer)
    plain = seeded(Pooled())
    plain.load_state_dict(model.state_dict())
    assert torch.equal(explain(model, x, "block").maps["block"], explain(plain, x, "block").maps["block"])


def test_a_model_that_detaches_is_told_so() -> None:
    class Detached(FourConv):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.pool(self.pool(self.conv2(self.conv1(x)).detach())).flatten(1)).detach()

    with pytest.raises(ModelError, match="No gradient reaches conv2"):
        explain(seeded(Detached()), images(), "conv2")


def test_of_a_shared_module_the_last_call_is_explained_or_the_named_one() -> None:
    model, x = seeded(FourConv()), images()
    last, second, first = (explain(model, x, name) for name in ("relu", "relu@2", "relu@1"))
    assert last.calls == {"relu": 2}
    assert torch.equal(last.maps["relu"], second.maps["relu@2"])
    assert last.maps["relu"].shape[1:] == (16, 16) and first.maps["relu@1"].shape[1:] == (32, 32)
    both = explain(model, x, "relu@1", "relu@2")
    assert torch.equal(both.maps["relu@1"], first.maps["relu@1"])
    with pytest.raises(LayerError, match="runs 2 times, so it has no call 3"):
        explain(model, x, "relu@3")


def test_bfloat16_is_close_to_float32() -> None:
    want = explain(seeded(Pooled()), images(), "block").maps["block"]
    half = explain(seeded(Pooled()).bfloat16(), images(), "block")
    assert half.maps["block"].dtype == torch.float32 and half.logits.dtype == torch.float32
    assert (half.maps["block"] - want).abs().max() < 0.03 * want.abs().max()


def test_float32_is_close_to_float64() -> None:
    x = images()
    want = explain(seeded(FourConv()).double(), x, "conv1", "conv2")
    have = explain(seeded(FourConv()).double().float(), x, "conv1", "conv2")
    assert want.maps["conv2"].dtype == torch.float64
    for name in have.maps:
        torch.testing.assert_close(have.maps[name].double(), want.maps[name], rtol=0, atol=2e-6)


def test_two_threads_on_one_model_do_not_disturb_each_other() -> None:
    model, xs = seeded(FourConv()), [images(seed=s) for s in range(4)]
    want = [explain(model, x, "conv1", "conv2") for x in xs]
    have: dict[tuple[int, int], Attributed] = {}

    def work(number: int) -> None:
        for turn in range(5):
            have[number, turn] = explain(model, xs[number], "conv1", "conv2")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(have) == 20
    for (number, _), found in have.items():
        assert all(torch.equal(found.maps[k], want[number].maps[k]) for k in found.maps)


def test_another_threads_forward_pass_is_left_alone() -> None:
    model, x = seeded(FourConv()), images()
    want = model(x).detach()
    seen: list[tuple[Tensor, bool]] = []

    def someone_else() -> None:
        with torch.no_grad():
            out = model(images())
        seen.append((out, out.requires_grad))

    class Meanwhile(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            thread = threading.Thread(target=someone_else)
            thread.start()
            thread.join()
            return z

    wrapped = nn.Sequential(model, Meanwhile())
    assert explain(wrapped, x, "0.conv2").calls == {"0.conv2": 1}
    assert torch.equal(seen[0][0], want) and not seen[0][1]


class Stochastic(Pooled):
    """Uses every random state in its forward pass, also in eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        random.random()
        np.random.rand()
        torch.rand(1)
        return super().forward(x)


def state_of(model: nn.Module) -> dict[str, Any]:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "modules": [(name, id(module)) for name, module in model.named_modules()],
        "modes": [module.training for module in model.modules()],
        "hooks": [{kind: dict(getattr(module, kind)) for kind in hooks} for module in model.modules()],
        "needs": [parameter.requires_grad for parameter in model.parameters()],
        "grads": [None if p.grad is None else p.grad.clone().tolist() for p in model.parameters()],
        "tensors": [tensor.clone().tolist() for tensor in model.state_dict().values()],
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "torch": torch.get_rng_state().tolist(),
        "grad mode": torch.is_grad_enabled(),
    }


@pytest.mark.parametrize("trained", [True, False], ids=["train mode", "eval mode"])
@pytest.mark.parametrize("broken", [None, "score", "layer", "forward"])
def test_the_model_is_as_before_also_after_an_exception(trained: bool, broken: str | None) -> None:
    model = seeded(Stochastic())
    model.train(trained)
    model.drop.eval()  # a mixture of modes must come back as the mixture
    model.stem[0].weight.requires_grad_(False)
    model.fc.weight.grad = torch.ones_like(model.fc.weight)
    model.block.register_forward_hook(lambda module, args, output: None)
    before = state_of(model)
    layers = [find_layer(model, "block")]
    x = images(size=30) if broken != "forward" else torch.zeros(2, 5, 30, 30)
    if broken is None:
        attributed(model, x, layers, HIRES, find_score(0, ("a", "b", "c")))
    else:
        if broken == "layer":
            layers = [find_layer(model, "block"), find_layer(model, "fc")]
        score = find_score((lambda z: z[:, 99]) if broken == "score" else 0, ("a", "b", "c"))
        with pytest.raises((IndexError, LayerError, RuntimeError)):
            attributed(model, x, layers, HIRES, score)
    assert state_of(model) == before


def test_no_parameter_gets_a_gradient() -> None:
    model = seeded(Pooled())
    explain(model, images(), "block")
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_outer_graph_on_the_input_is_left_alone() -> None:
    model, x = seeded(FourConv()), images().requires_grad_()
    explain(model, x * 2, "conv1")
    assert x.grad is None


def test_a_layer_with_a_tuple_output() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, str]:
            return self.conv(x), "extra"

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair, self.fc = Pair(), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            out, word = self.pair(x)
            assert word == "extra"
            return self.fc(out.relu().mean((2, 3)))

    model = seeded(Net())
    found = explain(model, images(), "pair", "pair.conv")
    assert torch.equal(found.maps["pair"], found.maps["pair.conv"])


def test_a_module_with_two_names_is_found_by_both() -> None:
    model, x = seeded(FourConv()), images()
    model.alias = model.conv2
    assert find_layer(model, "alias").name == "conv2"
    both = explain(model, x, "alias", "conv2").maps
    assert torch.equal(both["alias"], both["conv2"])
    model.second = model.relu
    first = explain(model, x, "second@1")
    assert first.calls == {"second@1": 2}
    assert torch.equal(first.maps["second@1"], explain(model, x, "relu@1").maps["relu@1"])
    with pytest.raises(LayerError, match="no layer 'alias-x'"):
        find_layer(model, "alias-x")


@pytest.mark.parametrize(
    ("layer", "message"),
    [("conv3", r"no layer 'conv3'.*Nearest: conv"), ("", "has no layer ''"), ("relu@x", "no layer 'relu@x'")],
)
def test_unknown_layers_name_the_nearest(layer: str, message: str) -> None:
    with pytest.raises(LayerError, match=message):
        find_layer(seeded(FourConv()), layer)


def test_a_layer_like_no_other_is_told_by_those_that_there_are_and_one_to_type() -> None:
    with pytest.raises(LayerError) as raised:
        find_layer(seeded(FourConv()), "xyz9")
    first, *rest = raised.value.message.split("\n")
    assert first == "FourConv has no layer 'xyz9'."
    typed = re.search(r"--layers (\S+)$", rest[1])
    assert typed is not None and typed[1] in rest[0] and find_layer(seeded(FourConv()), typed[1])
    assert not [line for line in (first, *rest) if line != line.rstrip()]


def test_a_network_without_layers_says_so() -> None:
    with pytest.raises(LayerError, match="It has no layers at all"):
        find_layer(nn.Identity(), "conv")


def test_layers_that_never_run_or_have_no_grid() -> None:
    model = seeded(FourConv())
    model.spare = nn.Conv2d(3, 3, 1)
    with pytest.raises(LayerError, match="'spare' of FourConv never runs"):
        explain(model, images(), "spare")
    with pytest.raises(LayerError, match=r"'fc' gives shape \(4, 2\)"):
        explain(model, images(), "fc")


def test_a_score_that_ignores_the_layer_is_an_error() -> None:
    class Branch(FourConv):
        def __init__(self) -> None:
            super().__init__()
            self.side = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            self.side(x)
            return super().forward(x)

    with pytest.raises(LayerError, match="does not depend on layer 'side'"):
        explain(seeded(Branch()), images(), "side", "conv2")


@pytest.mark.parametrize(
    ("output", "shape"),
    [
        (torch.zeros(4), (4, 1)),
        (torch.zeros(4, 5), (4, 5)),
        ({"logits": torch.zeros(4, 5)}, (4, 5)),
        ({"out": torch.zeros(4, 5)}, (4, 5)),
        ((torch.zeros(4, 5), "aux"), (4, 5)),
        (type("Output", (), {"logits": torch.zeros(4, 5)})(), (4, 5)),
    ],
    ids=["one column", "plain", "dict", "out", "tuple", "hugging face"],
)
def test_logits_are_found(output: object, shape: tuple[int, int]) -> None:
    assert logits_of(output, 4).shape == shape


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(4, 5, 8, 8), "looks like a segmentation"),
        (torch.zeros(3, 5), r"shape \(3, 5\) for 4 images"),
        ("words", "returned str"),
        ({"boxes": 1}, "returned dict"),
    ],
    ids=["segmentation", "rows", "text", "dict"],
)
def test_other_outputs_are_named(output: object, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        logits_of(output, 4)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inside torch.compile
def test_wrappers_are_taken_off_and_said() -> None:
    model = FourConv()
    inner, notes = unwrap(nn.DataParallel(model))
    assert inner is model and "DataParallel was unwrapped" in notes[0]
    compiled = torch.compile(model)
    inner, notes = unwrap(compiled)
    assert inner is model and "compiled" in notes[0]


def test_forward_equals_the_model() -> None:
    model, x = seeded(Pooled()), images()
    with torch.no_grad():
        assert torch.equal(forward(model, x), model(x))
    assert torch.equal(forward(model.train(), x), forward(model.eval(), x))

"""The tail equals the full pass, on many architectures and on networks made to break it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from seewhy.cam.capture import LayerCall, find_layer
from seewhy.cam.tail import tail as tail_module
from seewhy.cam.tail.replay import with_first
from seewhy.cam.tail.tail import tail_of
from seewhy.errors import LayerError
from tests.models import FourConv, FrozenBackbone, InPlaceFunctional, Pooled, images, seeded


def first(output: Any) -> Tensor:
    return output.logits if hasattr(output, "logits") else tree_leaves(output)[0]


def full_pass(model: nn.Module, x: Tensor, layer: LayerCall, activation: Tensor) -> Tensor:
    """The reference: the whole network, with a hook that replaces what the layer gives."""
    module, calls = dict(model.named_modules())[layer.name], []
    handle = module.register_forward_hook(lambda *_: calls.append(1))
    model(x.clone())
    wanted, count = layer.call or len(calls), []
    handle.remove()

    def replace(_: nn.Module, args: Any, output: Any) -> Any:
        count.append(1)
        return with_first(output, activation.clone()) if len(count) == wanted else None

    handle = module.register_forward_hook(replace)
    try:
        return first(model(x.clone()))
    finally:
        handle.remove()


def check(model: nn.Module, asked: str, x: Tensor) -> None:
    """The replay of the unchanged activation is the full pass; so is that of changed ones, for any choice of rows."""
    layer, given = find_layer(model, asked), x.clone()
    with tail_of(model, x, layer) as tail, torch.no_grad():
        wanted = first(model(x.clone()))
        size = float(wanted.abs().max())
        assert size > 0
        assert torch.equal(first(tail.output), wanted)
        assert torch.equal(first(tail(tail.raw)), wanted)
        for rows in ([0, 0, 0], [2, 0, 2, 1]):
            chosen = torch.tensor(rows)
            parts = tail.raw.reshape(len(x), -1, *tail.raw.shape[1:])[chosen]
            changed = (parts * torch.linspace(0.5, 1.2, len(rows)).view(-1, *[1] * (parts.ndim - 1))).flatten(0, 1)
            before = changed.clone()
            found = first(tail(changed, chosen))
            assert torch.equal(changed, before)  # what is given stays as it is
            wanted = full_pass(model, x[chosen], layer, changed)
            torch.testing.assert_close(found, wanted, rtol=0, atol=2e-6 * max(size, float(wanted.abs().max())))
    with tail_of(model, x[:1], layer) as alone, torch.no_grad():
        several = alone.raw.repeat(3, *[1] * (alone.raw.ndim - 1)) * 0.9
        wanted = full_pass(model, x[:1].expand(3, -1, -1, -1), layer, several)
        torch.testing.assert_close(first(alone(several)), wanted, rtol=0, atol=2e-6 * size)
    assert torch.equal(x, given)


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights such that nothing vanishes and nothing explodes, in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                fan = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * (1.5 / fan) ** 0.5)
    return model.eval()


def vision(name: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import torchvision

        return getattr(torchvision.models, name)(num_classes=5, **options)

    return make


def timm_model(name: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import timm

        return timm.create_model(name, num_classes=5, **options)

    return make


def hugging(name: str, **options: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import transformers

        return getattr(transformers, f"{name}ForImageClassification")(
            getattr(transformers, f"{name}Config")(num_labels=5, **options)
        )

    return make


def small_vgg() -> nn.Module:
    model = vision("vgg11")()
    model.avgpool = nn.AdaptiveAvgPool2d(1)
    model.classifier[0], model.classifier[3] = nn.Linear(512, 64), nn.Linear(64, 64)
    model.classifier[6] = nn.Linear(64, 5)
    return model


def small_mixer() -> nn.Module:
    from timm.models.mlp_mixer import MlpMixer

    return MlpMixer(5, img_size=32, patch_size=8, num_blocks=2, embed_dim=32)


TOKENS = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], int, tuple[str, ...]]] = {
    "resnet18": (vision("resnet18"), 32, ("layer3", "layer4.1.conv1", "layer4.1.bn2", "layer4.1.relu", "relu")),
    "vgg11": (small_vgg, 32, ("features.18", "features")),
    "densenet": (
        vision("DenseNet", growth_rate=8, block_config=(2, 2), num_init_features=16),
        32,
        ("features", "features.norm5", "features.denseblock2.denselayer2.conv2"),
    ),
    "mobilenet_v3_small": (vision("mobilenet_v3_small"), 32, ("features.8", "features.4.block.2")),
    "efficientnet_b0": (vision("efficientnet_b0"), 32, ("features.7",)),
    "convnext": (
        timm_model("convnext_atto", depths=(1, 1, 2, 1), dims=(8, 16, 24, 32)),
        32,
        ("stages.2", "stages.3.blocks.0.conv_dw"),
    ),
    "vit": (
        timm_model("vit_tiny_patch16_224", **TINY),
        32,
        ("blocks.1", "blocks.2.norm1", "blocks.2.attn.qkv", "blocks.2.attn.proj", "patch_embed"),
    ),
    "deit distilled": (timm_model("deit_tiny_distilled_patch16_224", **TINY), 32, ("blocks.1", "blocks.2.norm1")),
    "swin": (
        timm_model(
            "swin_tiny_patch4_window7_224", img_size=32, window_size=2, embed_dim=16, depths=(1, 2), num_heads=(1, 2)
        ),
        32,
        ("layers.0", "layers.1.blocks.1.norm1", "layers.1.blocks.1.attn.proj"),
    ),
    "mixer": (
        small_mixer,
        32,
        ("blocks.0", "blocks.1.mlp_tokens", "norm"),
    ),
    "regnet": (vision("regnet_y_400mf"), 32, ("trunk_output.block3",)),
    "googlenet": (vision("googlenet", init_weights=False), 32, ("inception4e", "inception5b.branch2")),
    "inception": (vision("inception_v3", init_weights=False), 75, ("Mixed_7b", "Mixed_7c.branch3x3_1")),
    "shufflenet": (vision("shufflenet_v2_x0_5"), 32, ("stage3", "stage4.1.branch2")),
    "squeezenet": (vision("squeezenet1_1"), 32, ("features.12.squeeze_activation",)),
    "mnasnet": (vision("mnasnet0_5"), 32, ("layers.13",)),
    "torchvision vit": (
        vision("VisionTransformer", image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64),
        32,
        ("encoder.layers.encoder_layer_1.ln_1", "encoder.layers.encoder_layer_0", "conv_proj"),
    ),
    "hugging face vit": (
        hugging("ViT", image_size=32, patch_size=8, **TOKENS),
        32,
        ("vit.layers.1", "vit.layers.2.layernorm_before", "vit.embeddings"),
    ),
    "hugging face swin": (
        hugging("Swin", image_size=32, patch_size=4, embed_dim=16, depths=[1, 2], num_heads=[1, 2], window_size=4),
        32,
        ("swin.encoder.layers.0", "swin.encoder.layers.1.blocks.1.layernorm_before"),
    ),
    "hugging face resnet": (
        hugging("ResNet", embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
        32,
        ("resnet.encoder.stages.0",),
    ),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_tail_of_a_known_architecture_equals_the_full_pass(name: str) -> None:
    make, size, layers = ARCHITECTURES[name]
    torch.manual_seed(0)
    model, x = randomised(make()), images(3, size)
    for layer in layers:
        check(model, layer, x)


class Tuples(nn.Module):
    """Modules that give tuples and dicts of tensors, numbers and None, in the batch's second axis too."""

    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 3, padding=1)

        def forward(self, x: Tensor) -> Any:
            y = self.conv(x)
            return {"maps": (y, None), "places": y.flatten(2).permute(2, 0, 1), "size": y.shape[2]}

    def __init__(self) -> None:
        super().__init__()
        self.part, self.last = Tuples.Part(), nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        parts = self.part(x)
        y = self.last(parts["maps"][0]).relu() + parts["maps"][0]
        tokens = parts["places"].mean(0) * parts["size"]
        return self.fc(y.mean((2, 3)) * tokens), y


class Additions(nn.Module):
    """In-place additions onto a kept output, an in-place ReLU shared by all, and one on the input itself."""

    def __init__(self, soils: bool = False) -> None:
        super().__init__()
        self.soils = soils
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.conv3, self.relu = nn.Conv2d(6, 6, 3, padding=1), nn.ReLU(inplace=True)
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.soils:
            x.sub_(0.5)
        a = self.relu(self.conv1(x))
        b = self.relu(self.conv2(a))
        a += b  # a kept output, written behind the layer
        c = self.conv3(a)
        c += a
        return self.fc(self.drop(self.relu(c)).mean((2, 3)))


class Direct(nn.Module):
    """A module that is called, and whose forward is also called directly; both before and after the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.conv = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 3, padding=1)
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.scale.forward(self.scale(x))
        x = self.scale(self.conv(x).relu())
        return self.fc(self.scale.forward(x).mean((2, 3)))


class Viewed(nn.Module):
    """Views a kept output behind the layer, which memory shared by all rows does not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = self.conv1(x)
        b = self.conv2(a.relu())
        flat = a.view(x.shape[0] * a.shape[1], -1).mean(1).view(x.shape[0], -1)
        return self.fc(torch.cat([flat, b.amax((2, 3))], 1))


class SideChannel(nn.Module):
    """A module leaves something behind that is read after the layer: no replay can know, the whole network runs."""

    class Saving(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            self.saved = x.mean((2, 3))
            return x

    def __init__(self) -> None:
        super().__init__()
        self.saving, self.conv, self.fc = SideChannel.Saving(), nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(self.saving(x)).relu().mean((2, 3))
        return self.fc(y * self.saving.saved)


class Inference(nn.Module):
    """A backbone that runs in inference mode."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.conv = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            x = self.backbone(x).relu_()
        return self.fc((self.conv(x).relu() + x).mean((2, 3)))


TRICKY: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "shared relu and pool": (FourConv, ("conv1", "conv2", "relu@1", "relu@2", "relu", "pool@1", "pool")),
    "in-place relu modules": (lambda: Pooled(inplace=True), ("stem.0", "stem.1", "stem", "block.0", "block", "drop")),
    "functional in-place relu": (InPlaceFunctional, ("features",)),
    "frozen backbone": (FrozenBackbone, ("backbone", "backbone.0")),
    "tuples and dicts": (Tuples, ("last", "part.conv", "part")),
    "in-place additions": (Additions, ("conv1", "conv2", "conv3", "relu@1", "relu@2", "relu", "drop")),
    "an input changed in place": (lambda: Additions(soils=True), ("conv2", "relu@1", "conv3")),
    "direct calls of forward": (Direct, ("conv", "scale@1", "scale")),
    "a side channel": (SideChannel, ("conv",)),
    "inference mode": (Inference, ("conv", "backbone")),
    "views of shared memory": (Viewed, ("conv2", "conv1")),
}


@pytest.mark.parametrize("name", TRICKY)
def test_the_tail_of_a_tricky_network_equals_the_full_pass(name: str) -> None:
    make, layers = TRICKY[name]
    model = seeded(make())
    for layer in layers:
        if layer == "part":  # its first tensor is inside a dict
            continue
        check(model, layer, images(3, 16 if name == "functional in-place relu" else 32))


def test_what_no_replay_can_know_is_run_again_and_shared_memory_is_given_up_only_where_needed() -> None:
    with tail_of(seeded(SideChannel()), images(2), LayerCall("conv", "conv")) as tail:
        assert not tail.plan.inside and not tail.plan.sole
    for model, dense in ((Viewed(), True), (Additions(), False)):
        with tail_of(seeded(model), images(2), LayerCall("conv2", "conv2")) as tail:
            assert tail.plan.inside and tail.plan.dense == dense


def test_gradients_through_the_tail_are_those_of_the_full_pass() -> None:
    model, x = seeded(Pooled(inplace=True)), images(3)
    with tail_of(model, x, find_layer(model, "block")) as tail:
        leaf = tail.raw.clone().requires_grad_()
        (found,) = torch.autograd.grad(tail(leaf)[:, 1].sum(), leaf)
        other = tail.raw.clone().requires_grad_()
        (wanted,) = torch.autograd.grad(full_pass(model, x, find_layer(model, "block"), other)[:, 1].sum(), other)
    assert torch.equal(found, wanted)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_only_what_is_read_behind_the_layer_is_kept_and_only_the_tail_is_run() -> None:
    model, x, runs = seeded(FourConv()), images(2), []
    with tail_of(model, x, find_layer(model, "conv2")) as tail:
        assert tail.plan.sole and not tail.plan.used
        kept = [leaf for leaf in tree_leaves(dict(tail.answers)) if isinstance(leaf, Tensor)]
        assert all(leaf.untyped_storage().nbytes() <= 4 for leaf in kept)
        handles = [one.register_forward_pre_hook(lambda *_: runs.append(1)) for one in (model.conv1, model.conv2)]
        original = functional.conv2d
        torch.nn.functional.conv2d = None  # type: ignore[assignment]  # no convolution is run
        try:
            assert tail(tail.raw).shape == (2, 2)
        finally:
            torch.nn.functional.conv2d = original
            for handle in handles:
                handle.remove()


def test_a_known_activation_saves_the_pass_where_nothing_else_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    passes, recorded = [], tail_module._recorded
    monkeypatch.setattr(tail_module, "_recorded", lambda *a, **k: (passes.append(1), recorded(*a, **k))[1])
    model, x = seeded(Pooled()), images(2)
    for layer, needed in (("act", 0), ("block.0", 0)):
        with tail_of(model, x, find_layer(model, layer)) as tail:
            assert len(passes) == 3  # one image, two images, the batch
            raw = tail.raw
        passes.clear()
        with tail_of(model, x, find_layer(model, layer), raw=raw) as known, torch.no_grad():
            assert torch.equal(known.output, model(x))
        assert len(passes) == needed
        passes.clear()


def test_a_changed_network_is_looked_at_again() -> None:
    model, x = seeded(Additions()), images(2)
    check(model, "conv3", images(3))
    model.soils = True
    check(model, "conv3", images(3))
    with tail_of(model, x, find_layer(model, "conv3")) as tail:
        assert tail.plan.soils


def test_the_network_is_as_it_was_also_after_an_exception() -> None:
    model, x = seeded(FourConv()).train(), images(2)
    model.pool.forward = model.pool.forward  # somebody's own replacement stays
    own, before = model.pool.forward, {name: dict(one.__dict__) for name, one in model.named_modules()}
    hooks = {name: (dict(one._forward_hooks), dict(one._forward_pre_hooks)) for name, one in model.named_modules()}
    with (
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
        tail_of(model, x, find_layer(model, "conv2")) as tail,
    ):
        tail(tail.raw[:, :3])
    assert model.pool.forward is own
    assert model.training
    for name, one in model.named_modules():
        assert one.__dict__.keys() == before[name].keys()
        assert hooks[name] == (dict(one._forward_hooks), dict(one._forward_pre_hooks))
        assert "forward" not in one.__dict__ or one is model.pool


def test_hooks_of_other_people_act_once() -> None:
    model, x = seeded(FourConv()), images(3)
    handle = model.relu.register_forward_hook(lambda _, args, output: output * 0.5)
    check(model, "conv2", x)
    check(model, "relu@1", x)
    handle.remove()


def test_another_thread_that_uses_the_network_gets_its_own_answers() -> None:
    model, x, y = seeded(FourConv()), images(2), images(5, seed=7)
    with torch.no_grad():
        wanted = model(y)
    found: list[Tensor] = []

    def other(*_: Any) -> None:
        if threading.current_thread() is threading.main_thread() and not found:
            thread = threading.Thread(target=lambda: found.append(model(y).detach()))
            thread.start()
            thread.join()

    with tail_of(model, x, find_layer(model, "conv2")) as tail:
        handle = model.fc.register_forward_pre_hook(other)
        tail(tail.raw)
        handle.remove()
    assert torch.equal(found[0], wanted)


def test_a_layer_that_never_runs_is_an_error() -> None:
    model = seeded(FourConv())
    model.spare = nn.Conv2d(3, 3, 1)
    with (
        pytest.raises(LayerError, match="'spare' of FourConv runs 0 times"),
        tail_of(model, images(2), find_layer(model, "spare")),
    ):
        pass
    with (
        pytest.raises(LayerError, match="'relu@3' of FourConv runs 2 times"),
        tail_of(model, images(2), find_layer(model, "relu@3")),
    ):
        pass

"""Clips and 3-D scans: the maps of the 2-D network in every slice, autograd by hand, sums that are the score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy import explain
from seewhy.cam.methods.catalogue import METHODS
from seewhy.errors import DataError, LayerError, ModelError, OptionError
from seewhy.explanation.volumes import VOLUME_METHODS, VolumeExplanation, drawn_slices, shown_slices
from seewhy.run.plan import layers_of
from tests.models import Pooled, seeded

OF_FLAT_CLIPS = [name for name in VOLUME_METHODS if name not in ("smooth-grad-cam++", "random")]
# Those draw: noise of which each frame has its own, and weights that follow from the mean colour.


class Clip(nn.Module):
    """Two 3-D convolutions with a stride along all axes, and a head that averages and is linear."""

    def __init__(self, depth: int = 3, channels: int = 3, stride: int = 2) -> None:
        super().__init__()
        size, pad = (depth, 3, 3), (depth // 2, 1, 1)
        self.stem = nn.Sequential(nn.Conv3d(channels, 6, size, (1, stride, stride), pad), nn.ReLU())
        self.block = nn.Conv3d(6, 8, size, 1 if stride == 1 else (2, 1, 1) if depth > 1 else 1, pad)
        self.act = nn.ReLU()
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.act(self.block(self.stem(x))).mean((2, 3, 4)))


class Still(nn.Module):
    """The 2-D network with the weights of a `Clip` whose kernels are one frame deep."""

    def __init__(self, clip: Clip) -> None:
        super().__init__()
        first, second = clip.stem[0], clip.block
        self.stem = nn.Sequential(nn.Conv2d(first.in_channels, 6, 3, 2, 1), nn.ReLU())
        self.block, self.act, self.fc = nn.Conv2d(6, 8, 3, 1, 1), nn.ReLU(), clip.fc
        with torch.no_grad():
            for mine, theirs in ((self.stem[0], first), (self.block, second)):
                mine.weight.copy_(theirs.weight[:, :, 0])
                mine.bias.copy_(theirs.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.act(self.block(self.stem(x))).mean((2, 3)))


def clips(count: int = 2, frames: int = 5, side: int = 16, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, frames, side, side + 4, generator=torch.Generator().manual_seed(1))


def maps_of(model: nn.Module, x: Tensor, layer: str, method: str, target: object = 1) -> np.ndarray:
    return explain(model, x, layers=layer, method=method, target=target, progress=False).maps


@pytest.mark.parametrize("layer", ["stem", "block", "act"])
@pytest.mark.parametrize("method", OF_FLAT_CLIPS)
def test_a_clip_of_one_frame_again_and_again_has_the_frames_own_map_in_every_slice(method: str, layer: str) -> None:
    if method == "cam" and layer != "act":
        pytest.skip("only a head that averages and is linear")
    clip, frames = seeded(Clip(depth=1)), 4
    with torch.no_grad():
        clip.fc.weight.mul_(1e3)  # so that the 1e-6 by which Grad-CAM++ keeps its denominator from 0 is nothing
    still = Still(clip).eval()
    picture = clips(2, 1)[:, :, 0]
    have = maps_of(clip, picture[:, :, None].expand(-1, -1, frames, -1, -1), layer, method)
    want = maps_of(still, picture, layer, method)
    assert have.shape == (2, frames, *want.shape[1:])
    for slices in have.transpose(1, 0, 2, 3):
        # A mean over all places gives each channel 1/T of its weight; a principal component shares its length, too.
        a, b = slices / np.abs(have).max((1, 2, 3))[:, None, None], want / np.abs(want).max((1, 2))[:, None, None]
        np.testing.assert_allclose(a, b, atol=5e-4 if method in ("grad-cam++", "kpca-cam") else 5e-5)


@pytest.mark.parametrize("method", ["grad-cam", "hirescam", "layercam", "xgrad-cam"])
def test_equals_autograd_by_hand(method: str) -> None:
    model, x = seeded(Clip()), clips()
    features = model.stem(x).detach().requires_grad_()
    score = model.fc(model.act(model.block(features)).mean((2, 3, 4)))[:, 2].sum()
    (slope,) = torch.autograd.grad(score, features)
    a, g = features.detach().double().numpy(), slope.double().numpy()
    weights = {
        "grad-cam": g.mean((2, 3, 4), keepdims=True),
        "hirescam": g,
        "layercam": g.clip(min=0),
        "xgrad-cam": (a * g).sum((2, 3, 4), keepdims=True) / a.sum((2, 3, 4), keepdims=True),
    }[method]
    have = maps_of(model, x, "stem", method, 2)
    want = (weights * a).sum(1)
    assert have.shape == (2, 5, 8, 10)
    np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize("method", ["hirescam", "recipro-cam"])
def test_of_a_linear_head_the_slices_add_up_to_the_logit_without_its_bias(method: str) -> None:
    model, x = seeded(Clip()), clips()
    want = (model(x)[:, 1] - model.fc.bias[1]).detach().numpy()
    np.testing.assert_allclose(maps_of(model, x, "act", method).sum((1, 2, 3)), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["stem", "act"])
def test_ablation_cam_weighs_channels_by_the_score_without_them(layer: str) -> None:
    model, x = seeded(Clip()), clips()
    with torch.no_grad():
        features, whole = (model.stem(x) if layer == "stem" else model.act(model.block(model.stem(x)))), model(x)[:, 1]
        want = torch.zeros(2, *features.shape[2:])
        for channel in range(features.shape[1]):
            handle = getattr(model, layer).register_forward_hook(
                lambda module, args, output, k=channel: output.index_fill(1, torch.tensor([k]), 0.0)
            )
            want += (whole - model(x)[:, 1])[:, None, None, None] * features[:, channel]
            handle.remove()
    np.testing.assert_allclose(maps_of(model, x, layer, "ablation-cam"), want.numpy(), rtol=1e-3, atol=1e-5)


def test_cam_averages_to_the_logit_without_its_bias() -> None:
    model, x = seeded(Clip()), clips()
    want = (model(x)[:, 1] - model.fc.bias[1]).detach().numpy()
    np.testing.assert_allclose(maps_of(model, x, "act", "cam").mean((1, 2, 3)), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", VOLUME_METHODS)
def test_a_volume_alone_has_the_map_that_it_has_in_a_batch(method: str) -> None:
    model, x = seeded(Clip()), clips(3)
    together = maps_of(model, x, "act", method)
    alone = np.concatenate([maps_of(model, x[row : row + 1], "act", method) for row in range(3)])
    size = np.abs(together).max((1, 2, 3), keepdims=True)
    assert np.abs(alone - together).max() <= (1e-3 if "++" in method else 5e-5) * size.max()


class ChannelsLast(nn.Module):
    """Features (N, T, H, W, C), as video transformers with windows have them."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.norm, self.fc = nn.Conv3d(3, 12, (1, 4, 4), (1, 4, 4)), nn.LayerNorm(12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.norm(self.patch(x).permute(0, 2, 3, 4, 1)).mean((1, 2, 3)))


def test_features_with_channels_last_add_up_to_the_logit_too() -> None:
    model, x = seeded(ChannelsLast()), clips()
    have = maps_of(model, x, "norm", "hirescam")
    assert have.shape == (2, 5, 4, 5)
    want = (model(x)[:, 1] - model.fc.bias[1]).detach().numpy()
    np.testing.assert_allclose(have.sum((1, 2, 3)), want, rtol=1e-4, atol=1e-5)


def test_the_layer_and_the_method_are_chosen_and_said() -> None:
    found = explain(seeded(Clip()), clips(), progress=False)
    assert isinstance(found, VolumeExplanation) and found.maps.shape == (2, 3, 8, 10)
    assert any("act is the last layer with a grid (3 x 8 x 10); Grad-CAM" in note for note in found.notes)
    assert "Volumes of the shape (3, 5, 16, 20) are read as 5 frames or slices of 20 x 16 pixels." in found.notes

    class Flat(Clip):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8 * 3 * 8 * 10, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.act(self.block(self.stem(x))).flatten(1))

    assert any("HiResCAM, since fc reads" in note for note in explain(seeded(Flat()), clips(), progress=False).notes)


def test_several_layers_and_methods_an_array_class_names_and_what_an_explanation_has() -> None:
    classifier = seewhy.load(seeded(Clip(channels=1)), classes=["walk", "run", "sit"])
    x = clips(channels=1).numpy()
    found = explain(
        classifier, x, layers=["stem", "act"], method=["grad-cam", "hirescam"], target="run", limit=1, progress=False
    )
    assert {name: maps.shape for name, maps in found.maps.items()} == {
        f"{method}/{layer}": (1, *shape)
        for method in ("grad-cam", "hirescam")
        for layer, shape in {"stem": (5, 8, 10), "act": (3, 8, 10)}.items()
    }
    (image,) = found
    assert image.prediction in ("walk", "run", "sit") and 0 < image.probability <= 1 and image.error is None
    assert image.maps["grad-cam/stem"].shape == (5, 8, 10)
    assert found.records[0]["prediction"] == image.prediction and found.summary()["images"] == 1


def test_overlays_show_slices_side_by_side_and_the_sheet_one_volume_below_the_other() -> None:
    model, x = seeded(Clip()), clips(2, 12)
    found = explain(model, x, layers="stem", method="layercam", progress=False)
    picture = np.asarray(found[0].overlay)
    assert picture.shape == (96, 8 * 120 + 7 * 4, 3)  # pixels six times, gaps of four
    assert found.show().height > 2 * 180 and found.show().width > 8 * 180
    assert "data:image/jpeg" in found._repr_html_()
    double = explain(model, x, layers=["stem", "act"], method="layercam", progress=False)
    assert np.asarray(double[0].overlay).shape[0] == 2 * 96


def test_the_caption_of_a_fine_map_does_not_say_that_it_is_smoothed() -> None:
    found = explain(seeded(Clip(stride=1)), clips(1, 12, 32), layers="stem", method="layercam", progress=False)
    assert found.maps[0].size > 256 and not found.is_smoothed(found.keys[0])
    assert not any("smoothed" in line for line in found[0].caption())


@pytest.mark.parametrize("row", [0, 1])
def test_a_volume_with_nan_is_a_row_with_its_reason(row: int) -> None:
    model, x = seeded(Clip()), clips(3)
    whole = explain(model, x, layers="act", target=1, progress=False)
    x[row, 0, 2, 3, 4] = torch.nan
    found = explain(model, x, layers="act", target=1, progress=False)
    kept = [place for place in range(3) if place != row]
    assert [image.error for image in found if image.error] == ["it holds NaN or infinite values"]
    assert isinstance(found, VolumeExplanation) and found[row].error
    np.testing.assert_allclose(found.maps[kept], whole.maps[kept], rtol=0, atol=1e-7)
    assert found.show().height > 2 * 96


def test_what_lights_one_frame_is_drawn_on_that_frame_alone() -> None:
    raw = np.zeros((12, 4, 4), np.float32)
    raw[6, 1, 2] = 3
    masks = drawn_slices(raw, 12)
    assert masks[6, 1, 2] == 1 and masks.sum() == 1
    assert 6 in shown_slices(masks) and len(shown_slices(masks)) == 8
    coarse = drawn_slices(raw[5:8], 12)  # three steps of time on twelve frames
    assert coarse.sum((1, 2)).argmax() in (5, 6) and coarse[0].sum() == coarse[-1].sum() == 0
    assert shown_slices(masks[:3]) == [0, 1, 2] and shown_slices(masks[:1]) == [0]


@pytest.mark.parametrize("method", [name for name in METHODS if name not in VOLUME_METHODS])
def test_methods_that_do_not_allow_it_say_so(method: str) -> None:
    with pytest.raises(OptionError, match=f"{method}.* has no maps of volumes") as error:
        explain(seeded(Clip()), clips(), method=method, layers="act", progress=False)
    assert error.value.slug == "volumes"


def test_what_is_of_images_says_so(tmp_path: Path) -> None:
    model, x = seeded(Clip()), clips()
    with pytest.raises(OptionError, match="out is of images, and these are volumes"):
        explain(model, x, out=tmp_path / "run", progress=False)
    with pytest.raises(OptionError, match="preset and smooth are of images"):
        explain(model, x, preset="pytorch-grad-cam", smooth="eigen", progress=False)
    with pytest.raises(OptionError, match="has no maps of volumes"):
        explain(model, x, method=lambda scene: scene.activation.sum(1), progress=False)
    with pytest.raises(OptionError, match="A run folder holds images"):
        explain(model, x, progress=False).save(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_no_volume_says_so() -> None:
    model = seeded(Clip())
    with pytest.raises(DataError, match=r"but must be floats.*\n.*volumes.float\(\) / 255"):
        explain(model, torch.zeros(1, 3, 4, 16, 16, dtype=torch.uint8), progress=False)
    with pytest.raises(DataError, match=r"None of the 2 images can be read:\n  00000: it holds NaN"):
        explain(model, clips() / 0 - clips() / 0, progress=False)
    with pytest.raises(DataError, match="there is nothing in them"):
        explain(model, clips()[:0], progress=False)
    with pytest.raises(ModelError, match=r"cannot take input of shape \(1, 4, 5, 16, 20\)"):
        explain(model, clips(channels=4), progress=False)
    with pytest.raises(LayerError, match="has no layer 'stm'"):
        explain(model, clips(), layers="stm", progress=False)
    with pytest.raises(LayerError, match="no grid of places"):
        explain(model, clips(), layers="fc", method="grad-cam", progress=False)


def test_a_network_of_volumes_that_is_given_images_says_what_to_type(tmp_path: Path) -> None:
    model = seeded(Clip())
    with pytest.raises(ModelError, match=r"reads clips or scans.*\n.*seewhy.explain\(model, volumes\)") as error:
        explain(model, torch.rand(2, 3, 16, 16), progress=False)
    assert error.value.slug == "volumes"
    PIL.Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    with pytest.raises(ModelError, match="reads clips or scans"):
        explain(model, tmp_path, progress=False)
    with pytest.raises(ModelError, match="reads clips or scans"):
        layers_of(seewhy.load(model))
    with pytest.raises(DataError, match=r"Volumes \(N, C, T, H, W\) are for seewhy.explain alone"):
        seewhy.check(model, clips(), progress=False)
    with pytest.raises(ModelError, match="cannot take input of shape"):  # of images, given clips
        explain(seeded(Pooled()), clips(), progress=False)


def test_nothing_of_the_network_changes() -> None:
    model, x = seeded(Clip()).train(), clips()
    model.fc.weight.grad = torch.ones_like(model.fc.weight)
    kept, before = x.clone(), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    explain(model, x, layers=["stem", "act"], method=list(VOLUME_METHODS[:1]), progress=False)
    assert model.training and torch.equal(x, kept) and torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(model.fc.weight.grad, torch.ones_like(model.fc.weight))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())

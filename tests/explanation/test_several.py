"""Several methods, layers and scores of one run; targets of each image; outputs that are no classes; token grids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.errors import LayerError, ModelError, OptionError
from seewhy.evidence.check import check
from tests.models import FourConv, Pooled, images, seeded

QUIET: dict[str, Any] = {"progress": False}


def explain(model: nn.Module, x: Any = None, **options: Any) -> seewhy.Explanation:
    return seewhy.explain(model, images() if x is None else x, **QUIET, **options)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            PIL.Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    return tmp_path / "photos"


class Tokens(nn.Module):
    """A class token and three registers before 4 x 8 patches, one attention, a class-token head."""

    def __init__(self, special: int = 4, head: bool = True) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 8, stride=8)
        self.special = nn.Parameter(torch.zeros(1, special, 12))
        self.first = nn.LayerNorm(12)
        self.attention = nn.MultiheadAttention(12, 2, batch_first=True)
        self.norm = nn.LayerNorm(12)
        self.fc = nn.Linear(12, 3) if head else nn.Identity()
        self.num_classes = 3 if head else 0

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.special.expand(len(x), -1, -1), tokens], dim=1)
        seen = self.first(tokens)
        tokens = tokens + self.attention(seen, seen, seen, need_weights=False)[0]
        return self.fc(self.norm(tokens)[:, 0])


class Dense(nn.Module):
    """A segmentation of three classes, a quarter of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 6, 3, 2, 1), nn.ReLU())
        self.head = nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.head(self.body(x))}


def test_several_of_everything_is_each_by_itself() -> None:
    model = seeded(FourConv())
    both = explain(
        model,
        layers=["conv1", "conv2"],
        method=["grad-cam", "layercam"],
        target={"first": 0, "against": "contrast:1:0"},
    )
    assert list(both.maps) == [
        f"{method}/{layer}/{score}"
        for score in ("first", "against")
        for method in ("grad-cam", "layercam")
        for layer in ("conv1", "conv2")
    ]
    for score, target in (("first", 0), ("against", lambda z: z[:, 1] - z[:, 0])):
        for method in ("grad-cam", "layercam"):
            alone = explain(model, layers=["conv1", "conv2"], method=method, target=target).maps
            for layer in ("conv1", "conv2"):
                np.testing.assert_allclose(both.maps[f"{method}/{layer}/{score}"], alone[layer], rtol=1e-6, atol=1e-9)


def test_names_are_what_differs() -> None:
    model = seeded(FourConv())
    assert list(explain(model, layers="conv2", method="grad-cam,hirescam").maps) == ["grad-cam", "hirescam"]
    assert list(explain(model, layers="conv2", target={"a": 0, "b": 1}).maps) == ["a", "b"]
    found = explain(model, layers="conv2", method="grad-cam,fullgrad")
    assert {name: maps.shape for name, maps in found.maps.items()} == {
        "grad-cam/conv2": (4, 16, 16), "fullgrad/input": (4, 32, 32)
    }  # fmt: skip
    assert set(found[0].map_stats) == set(found.maps) and found.method == "grad-cam, fullgrad"


def test_a_folder_holds_them_all_and_shows_them_side_by_side(photos: Path, tmp_path: Path) -> None:
    model = seeded(FourConv())
    options: dict[str, Any] = {"layers": ["conv1", "conv2"], "method": ["grad-cam", "random"], "target": "cat"}
    found = explain(model, photos, out=tmp_path / "run", **options)
    for method in ("grad-cam", "random"):
        assert len(list((tmp_path / "run" / "overlays" / method).rglob("*.jpg"))) == 10
        assert (tmp_path / "run" / "maps.zarr" / method / "conv2" / "cat").is_dir()
    one = found["cat/3.png"]
    assert one.overlay.size == (4 * 32 + 3 * 4, 32)
    held = explain(model, photos, **options)
    for name, maps in found.maps.items():
        np.testing.assert_array_equal(maps, held.maps[name])
    words: list[str] = []
    assert found.show().width > 4 * 180
    again = explain(model, photos, out=tmp_path / "run", **options)
    assert list(again.maps) == list(found.maps) and not words
    with pytest.raises(seewhy.SeewhyError, match=r"--method: grad-cam,random there, grad-cam asked"):
        explain(model, photos, out=tmp_path / "run", **{**options, "method": "grad-cam"})


def test_the_preset_fuses_each_method_by_itself() -> None:
    model = seeded(FourConv())
    options: dict[str, Any] = {"layers": ["conv1", "conv2"], "preset": "pytorch-grad-cam", "target": 0}
    both = explain(model, method=["grad-cam", "layercam"], **options)
    assert list(both.maps) == ["grad-cam", "layercam"]
    np.testing.assert_array_equal(both.maps["layercam"], explain(model, method="layercam", **options).maps)
    assert both[0].overlay.size == (2 * 32 + 4, 32)


def test_a_target_for_each_image() -> None:
    model = seeded(FourConv())
    mixed = explain(model, layers="conv2", target=[0, 1, "margin:0", "1"], batch_size=3).maps
    for row, target in enumerate([0, 1, "margin:0", 1]):
        alone = explain(model, layers="conv2", target=target).maps[row]
        np.testing.assert_allclose(mixed[row], alone, rtol=1e-5, atol=1e-6)
    for targets, said in (([0], "1 target for 4 images"), ([0] * 5, "5 targets for 4 images")):
        with pytest.raises(OptionError, match=said):
            explain(model, layers="conv2", target=targets)


def test_the_explained_class_is_that_of_the_plain_image_when_inputs_are_changed() -> None:
    model, x = seeded(FourConv()), images()
    plain = explain(model, x, layers="conv2", method="grad-cam")
    smooth = explain(model, x, layers="conv2", method="grad-cam", smooth="augment")
    index = torch.tensor([int(one.prediction) for one in plain])
    parts = []
    for factor in (0.9, 1.0, 1.1):
        for mirrored in (False, True):
            changed = (x.flip(-1) if mirrored else x) * factor
            maps = explain(model, changed, layers="conv2", method="grad-cam", target=index.tolist()).maps
            parts.append(maps[:, :, ::-1] if mirrored else maps)
    np.testing.assert_allclose(smooth.maps, np.mean(parts, axis=0), rtol=1e-5, atol=1e-8)
    with pytest.raises(OptionError, match="mean of raw maps, and pytorch-grad-cam means pictures"):
        explain(model, x, layers="conv2", smooth="augment", preset="pytorch-grad-cam")
    with pytest.raises(OptionError, match=r"no smoothing 'eigne'.  Nearest: eigen"):
        explain(model, x, layers="conv2", smooth="eigne")


def test_tokens_need_no_layer_and_no_reshape() -> None:
    model = seeded(Tokens())
    found = explain(model, torch.rand(3, 3, 32, 64, generator=torch.Generator().manual_seed(0)))
    assert found.layers == ("first",) and found.maps.shape == (3, 4, 8)
    assert np.isfinite(found.maps).all() and (found.maps.std(axis=(1, 2)) > 0).all()
    assert any("4 x 8 tokens after 4" in note for note in found.notes)


def test_a_grid_that_cannot_be_told_is_settled_by_an_option() -> None:
    model, x = nn.Sequential(nn.Flatten(2), nn.Linear(64, 9), nn.Flatten(), nn.Linear(27, 2)), images(2, 8)
    with pytest.raises(LayerError, match=r"'1' gives shape \(1, 3, 9\).*\n.*--grid"):
        explain(seeded(model), x, layers="1", method="hirescam")
    tokens, picture = seeded(Tokens(special=1)), images(2, 32)
    assert explain(tokens, picture, layers="first", grid="2x8", method="hirescam").maps.shape == (2, 2, 8)
    with pytest.raises(OptionError, match=r"gives shape \(1, 17, 12\), and '5x5' does not fit it"):
        explain(tokens, picture, layers="first", grid="5x5")


def test_a_headless_network_is_explained_as_an_embedding() -> None:
    found = explain(seeded(Tokens(head=False)), images(2))
    assert found.score == "embedding" and found[0].prediction is None and len(found[0].outcome.logits) == 12
    assert (found.maps.std(axis=(1, 2)) > 0).all() and any("read as: embedding" in note for note in found.notes)
    assert "embedding" in found[0].caption()[1] and found.summary()["accuracy"] is None


def test_a_segmentation_explains_the_pixels_of_a_class() -> None:
    model, x = seeded(Dense()), images(2)
    with torch.no_grad():
        dense = model(x)["out"]
    strongest = dense.argmax(1).flatten(1).mode(dim=1).values
    found = explain(model, x, layers="body", method="hirescam")
    for row in range(2):
        mask = dense[row].argmax(0) == strongest[row]
        weight = model.head.weight[strongest[row], :, 0, 0]
        with torch.no_grad():
            want = (model.body(x)[row] * weight[:, None, None]).sum(0) * mask / mask.sum()
        np.testing.assert_allclose(found.maps[row], want.numpy(), rtol=1e-4, atol=1e-7)
    assert found[0].prediction == str(int(strongest[0]))
    with pytest.raises(OptionError, match="mirrors the picture"):
        explain(model, x, layers="body", smooth="augment")


@pytest.mark.parametrize("task", ["multi-label", "regression"])
def test_other_tasks_of_a_row_of_numbers(task: str) -> None:
    model = seeded(Pooled(classes=1 if task == "regression" else 3))
    classifier = seewhy.load(model, task=task)
    found = explain(classifier, layers="act", method="grad-cam")
    with torch.no_grad():
        outputs = model(images())
    if task == "regression":
        assert [one.prediction for one in found] == [None] * 4
        np.testing.assert_allclose([one.outcome.logits[0] for one in found], outputs[:, 0], rtol=1e-5)
    else:
        want = outputs.sigmoid().amax(1)
        np.testing.assert_allclose([one.probability for one in found], want, rtol=1e-5)
    with pytest.raises(OptionError, match=r"no task 'regresion'.  Nearest: regression"):
        seewhy.load(model, task="regresion")


def test_check_says_what_it_cannot_judge() -> None:
    with pytest.raises(OptionError, match=r"output is read as: embedding"):
        check(seeded(Tokens(head=False)), images(2), **QUIET)
    with pytest.raises(OptionError, match=r"maps of one method and one target"):
        check(seeded(Pooled()), images(2), method="grad-cam,hirescam", **QUIET)
    with pytest.raises(OptionError, match=r"does not examine maps of fullgrad"):
        check(seeded(Pooled()), images(2), method="fullgrad", **QUIET)


def test_a_method_without_gradients_serves_a_network_that_has_none() -> None:
    class Cut(Pooled):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()

    model = seeded(Cut())
    with pytest.raises(ModelError, match=r"No gradient reaches act.*\n.*--method eigen-cam"):
        explain(model, layers="act", method="grad-cam")
    for method in ("eigen-cam", "ablation-cam", "score-cam", "random"):
        assert np.isfinite(explain(model, layers="act", method=method).maps).all()


def test_a_network_on_the_meta_device_is_refused() -> None:
    with pytest.raises(ModelError, match=r"lies on the meta device \(stem\.0\.weight has a shape and no numbers\)"):
        explain(Pooled().to("meta"))


def test_a_wrapper_that_hides_its_model_is_named() -> None:
    class Hiding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = [seeded(Pooled())]

        def forward(self, x: Tensor) -> Tensor:
            return self.hidden[0](x)

    with pytest.raises(LayerError, match=r"runs no module of its own.*\n.*self.model = model"):
        explain(Hiding())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["script", "trace", "export"])
def test_a_program_whose_layers_cannot_be_watched_is_refused(kind: str) -> None:
    model, x = seeded(Pooled()), images(1)
    program = {
        "script": lambda: torch.jit.script(model),
        "trace": lambda: torch.jit.trace(model, x),
        "export": lambda: torch.export.export(model, (x,)).module(),
    }[kind]()
    with pytest.raises(ModelError, match="program, whose layers cannot be watched"):
        explain(program)


class Detecting(nn.Module):
    """Two boxes for each image: the left half is class 1, the right half class 2, scored by what lies there."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU())
        self.score = nn.Conv2d(6, 1, 1)

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        seen = self.score(self.body(x))[:, 0].sigmoid()
        half, (height, width) = seen.shape[2] // 2, x.shape[2:]
        boxes = torch.tensor([[0, 0, width / 2, height], [width / 2, 0, width, height]])
        return [
            {
                "boxes": boxes,
                "labels": torch.tensor([1, 2]),
                "scores": torch.stack([one[:, :half].mean(), one[:, half:].mean()]),
            }
            for one in seen
        ]


@pytest.mark.parametrize("classes", [None, ["nothing", "left", "right"]], ids=["numbers", "names"])
def test_a_detectors_box_lights_where_it_lies(classes: list[str] | None) -> None:
    classifier = seewhy.load(seeded(Detecting()), classes=classes)
    label = 2 if classes is None else "right"
    target = seewhy.boxes([[16, 0, 32, 32]], [label])
    found = seewhy.explain(classifier, images(2), target=target, layers="body", method="hirescam", **QUIET)
    assert np.abs(found.maps[:, :, :8]).max() == 0 < np.abs(found.maps[:, :, 8:]).max()
    both = seewhy.explain(classifier, images(2), layers="body", method="hirescam", **QUIET)
    assert np.abs(both.maps[:, :, :8]).max() > 0 and both[0].prediction is None
    assert both[0].outcome.logits[0] == pytest.approx(both[0].map_stats["body"].score_value, rel=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_a_hugging_face_model_without_a_head_gets_none_made_up(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(0)
    shape = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 7}
    model = transformers.Dinov2Model(transformers.Dinov2Config(**shape)).eval()
    model.save_pretrained(tmp_path)
    classifier = seewhy.load(f"hf:{tmp_path}")
    assert type(classifier.model).__name__ == "Dinov2Model" and classifier.classes is None
    found = explain(classifier, images(2, 28))
    assert found.maps.shape == (2, 4, 4) and found.score == "embedding" and len(found[0].outcome.logits) == 24

"""`explain` in memory: maps by hand, one image by name or number, odd images, and a model left as found."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.errors import DataError, OptionError
from seewhy.explanation.result import Explanation
from seewhy.records import Outcome
from tests.models import FourConv, Pooled, images, seeded

METHODS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "grad-cam": lambda a, g: torch.einsum("nc,nchw->nhw", g.mean((2, 3)), a),
    "hirescam": lambda a, g: torch.einsum("nchw,nchw->nhw", g, a),
    "layercam": lambda a, g: torch.einsum("nchw,nchw->nhw", g.clamp(min=0), a),
}
TARGETS: dict[str, tuple[Any, Callable[[Tensor], Tensor]]] = {
    "index": (1, lambda z: z[:, 1]),
    "name": ("b", lambda z: z[:, 1]),
    "predicted": ("predicted", lambda z: z.max(1).values),
    "margin": ("margin", lambda z: z.topk(2).values @ torch.tensor([1.0, -1.0])),
    "margin-of-a-class": ("margin:c", lambda z: z[:, 2] - z[:, :2].max(1).values),
    "function": (lambda z: z[:, 0] * z[:, 1], lambda z: z[:, 0] * z[:, 1]),
}
FOLDER = {"cat": 3, "dog": 4}


def explained(model: nn.Module, source: Any, **options: Any) -> Explanation:
    return seewhy.explain(model, source, progress=False, **options)


def by_hand(net: FourConv, x: Tensor, score: Callable[[Tensor], Tensor], method: str) -> dict[str, np.ndarray]:
    """The maps of conv1 and conv2, one image at a time, from the network's own operations."""
    found: dict[str, list[Tensor]] = {"conv1": [], "conv2": []}
    for one in x:
        first = net.conv1(one[None]).detach().requires_grad_()
        second = net.conv2(net.pool(first.relu()))
        logits = net.fc(net.pool(second.relu()).flatten(1))
        slopes = torch.autograd.grad(score(logits).sum(), [first, second])
        for layer, activation, slope in zip(found, (first, second), slopes, strict=True):
            found[layer].append(METHODS[method](activation.detach(), slope))
    return {layer: torch.cat(maps).numpy() for layer, maps in found.items()}


def pixels_of(count: int, seed: int = 0, size: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Seven PNGs in two class folders; cat/1.png and dog/1.png share a name."""
    for label, count in FOLDER.items():
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number, pixels in enumerate(pixels_of(count, seed=count)):
            PIL.Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("target", TARGETS)
def test_maps_are_those_worked_out_by_hand(method: str, target: str) -> None:
    asked, score = TARGETS[target]
    net, x = seeded(FourConv(classes=3)), images(5)
    classifier = seewhy.load(net, classes=["a", "b", "c"])
    found = explained(classifier, x, target=asked, method=method, layers=["conv1", "conv2"])
    want = by_hand(net, x, score, method)
    for layer, maps in found.maps.items():
        scale = np.abs(want[layer]).max()
        np.testing.assert_allclose(maps / scale, want[layer] / scale, rtol=0, atol=1e-6)


def test_numbers_of_a_row_are_those_of_the_network() -> None:
    net, x = seeded(Pooled()), images(6)
    found = explained(seewhy.load(net, classes=["a", "b", "c"]), x, target=2)
    with torch.no_grad():
        logits = net(x)
    for row, one in enumerate(found):
        assert one.prediction == "abc"[logits[row].argmax()]
        assert one.probability == pytest.approx(float(logits[row].softmax(0).max()), abs=1e-6)
        np.testing.assert_allclose(one.outcome.logits, logits[row], rtol=0, atol=1e-5)
        stat, raw = one.map_stats[found.layers[0]], found.maps[row]
        assert stat.score_value == pytest.approx(float(logits[row, 2]), abs=1e-5)
        assert (stat.minimum, stat.maximum) == (raw.min(), raw.max())
        assert stat.total == pytest.approx(raw.sum(dtype=np.float64))


def test_a_network_and_a_classifier_of_it_say_the_same() -> None:
    net, x = seeded(FourConv()), images(3)
    bare, loaded = explained(net, x), explained(seewhy.load(net), x)
    np.testing.assert_array_equal(bare.maps, loaded.maps)
    assert bare.outcomes == loaded.outcomes


@pytest.mark.parametrize("batch_size", [1, 3, 7, 16, 500])
def test_every_batch_size_gives_the_same_rows(batch_size: int) -> None:
    net, x = seeded(FourConv()), images(19)
    whole, parts = explained(net, x), explained(net, x, batch_size=batch_size)
    np.testing.assert_allclose(parts.maps, whole.maps, rtol=0, atol=1e-6 * np.abs(whole.maps).max())
    largest = max(abs(logit) for outcome in whole.outcomes for logit in outcome.logits)
    for one, other in zip(parts.outcomes, whole.outcomes, strict=True):
        assert (one.image, one.prediction) == (other.image, other.prediction)
        np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=1e-6 * largest)


# One image: by number, by name.


def test_one_image_by_number_and_by_name(photos: Path) -> None:
    found = explained(seeded(FourConv()), photos)
    ids = [one.outcome.image.id for one in found]
    assert ids == [f"{label}/{number}.png" for label, count in FOLDER.items() for number in range(count)]
    for row, name in enumerate(ids):
        for which in (row, row - len(ids), np.int64(row), name):
            assert found[which].row == row
            np.testing.assert_array_equal(found[which].maps, found.maps[row])
    assert found["3.png"].row == found["3"].row == 6  # only one of that name
    one = found["dog/3.png"]
    assert (one.path, one.label, one.error) == (str(photos / "dog" / "3.png"), "dog", None)
    assert one.overlay.size == (32, 32) and one.overlay.mode == "RGB"


@pytest.mark.parametrize(
    ("which", "kind", "message"),
    [
        (7, IndexError, "There is no image 7: the explanation has 7, 0 to 6."),
        (-8, IndexError, "There is no image -8"),
        ("1.png", OptionError, r"2 images are called '1.png'.  Name one in full: cat/1.png, dog/1.png"),
        ("1", OptionError, "2 images are called '1'"),
        ("dog/33.png", OptionError, r"There is no image 'dog/33.png'.  Nearest: dog/3.png"),
        ("", OptionError, "There is no image ''"),
    ],
    ids=["too-high", "too-low", "ambiguous-name", "ambiguous-stem", "unknown", "empty"],
)
def test_an_image_that_is_not_there(photos: Path, which: int | str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        explained(seeded(FourConv()), photos)[which]


def test_items_of_a_tensor_are_named_by_their_number() -> None:
    found = explained(seeded(FourConv()), images(12))
    assert found["00007"].row == 7 and found[7].path == "00007" and found[7].label is None


# Images that give no result, labels that are not known.


class Blind(FourConv):
    """NaN for images that are nearly white."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x.mean((1, 2, 3))[:, None] > 0.9, torch.nan, super().forward(x))


def test_images_without_a_result_keep_their_place(photos: Path) -> None:
    whole = explained(seeded(Blind()), photos, layers=["conv1", "conv2"])
    (photos / "cat" / "1.png").write_bytes(b"")
    (photos / "dog" / "2.png").write_bytes((photos / "dog" / "3.png").read_bytes()[:99])
    PIL.Image.new("RGB", (32, 32), "white").save(photos / "dog" / "0.png")
    found = explained(seeded(Blind()), photos, layers=["conv1", "conv2"])
    assert [one.outcome.image.id for one in found] == [one.outcome.image.id for one in whole]
    reasons = {one.row: one.error for one in found if one.error}
    assert list(reasons) == [1, 3, 5]
    assert reasons[1] == "the file is empty" and reasons[3] == "the network gave NaN or infinite logits"
    for layer in found.layers:
        assert [row for row in range(7) if np.isnan(found.maps[layer][row]).all()] == [1, 3, 5]
        kept = [0, 2, 4, 6]
        scale = np.abs(whole.maps[layer][kept]).max()
        np.testing.assert_allclose(found.maps[layer][kept], whole.maps[layer][kept], rtol=0, atol=1e-6 * scale)
    for row in reasons:
        assert (found[row].prediction, found[row].probability) == (None, None)
        with pytest.raises(DataError, match="has no overlay: "):
            found[row].overlay
        assert "<img" not in found[row]._repr_html_()
    summary = found.summary()
    assert (summary["images"], summary["without_result"], summary["labelled"]) == (7, 3, 4)
    assert sum(summary["reasons"].values()) == 3 and sum(summary["predictions"].values()) == 4


def test_maps_that_overflow_are_empty_and_silent() -> None:
    net = seeded(nn.Sequential(nn.Conv2d(3, 1, 3, padding=1), nn.Flatten(), nn.Linear(64, 2)))
    found = explained(net, images(3, size=8) * 100, target=lambda z: z[:, 0] * 3e38, method="hirescam", layers="0")
    assert np.isposinf(found.maps).any() and np.isneginf(found.maps).any()
    for one in found:
        (stat,) = one.map_stats.values()
        assert (one.error, stat.empty, stat.reason) == (None, True, "not finite")
        assert one.overlay.size == (8, 8)
    assert found.summary()["empty_maps"] == {"0": 3}


class Labelled(torch.utils.data.Dataset[tuple[Tensor, Any]]):
    """Random pixels with the labels given."""

    def __init__(self, labels: list[Any]) -> None:
        self.labels = labels
        self.x = images(len(labels))

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        if self.labels[index] == "fails":
            raise ValueError("no such item\nin the bucket")
        return self.x[index], self.labels[index]


def test_the_score_label_leaves_unlabelled_images_without_a_map() -> None:
    net, data = seeded(FourConv(classes=3)), Labelled([2, None, 0, 1, None])
    found = explained(
        seewhy.load(net, classes=["a", "b", "c"]), data, target="label", layers="conv2", method="hirescam"
    )
    assert [one.label for one in found] == ["c", None, "a", "b", None]
    for row, column in ((0, 2), (2, 0), (3, 1)):
        want = by_hand(net, data.x[row : row + 1], lambda z, k=column: z[:, k], "hirescam")["conv2"][0]
        np.testing.assert_allclose(found.maps[row], want, rtol=0, atol=1e-6 * np.abs(want).max())
    for row in (1, 4):
        assert np.isnan(found[row].maps).all() and found[row].prediction and not found[row].error
        np.testing.assert_array_equal(
            np.asarray(found[row].overlay), (data.x[row] * 255).round().byte().permute(1, 2, 0)
        )
    right = [one.prediction == one.label for one in found if one.label]
    assert found.summary()["accuracy"] == pytest.approx(np.mean(right)) and found.summary()["labelled"] == 3


def test_an_item_that_fails_is_a_row() -> None:
    found = explained(seeded(FourConv()), Labelled([0, "fails", 1]))
    assert [one.error for one in found] == [None, "ValueError: no such item\nin the bucket", None]


def test_accuracy_counts_labelled_images_alone(photos: Path) -> None:
    found = explained(seeded(FourConv()), photos)
    right = [one.prediction == one.label for one in found]
    assert found.classes == ("cat", "dog")
    assert found.summary()["accuracy"] == pytest.approx(sum(right) / 7)
    assert explained(seeded(FourConv()), images(2)).summary()["accuracy"] is None


# What is shown.

HOSTILE = "<img src=x onerror=alert(1)>\"'&.png"


def test_hostile_names_are_words_in_a_page(tmp_path: Path) -> None:
    for label in ("<b>cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        PIL.Image.fromarray(pixels_of(1)[0]).save(tmp_path / "photos" / label / HOSTILE)
    found = explained(seeded(FourConv()), tmp_path / "photos", target="<b>cat")
    for html in (found._repr_html_(), found[0]._repr_html_()):
        assert "<img src=x" not in html and "<b>cat" not in html
        assert "&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;.png" in html
    assert found._repr_html_().count("<img ") == 2  # the overlays


def test_a_notebook_is_told_predictions_accuracy_and_that_maps_are_hypotheses(photos: Path) -> None:
    found = explained(seeded(FourConv()), photos, target="dog")
    page, summary = found._repr_html_(), found.summary()
    assert all(f"{name}: {count} image" in page for name, count in summary["predictions"].items())
    assert re.search(rf"accuracy {summary['accuracy']:.3f} \[0\.\d+, \d\.\d+\] on {summary['labelled']} labelled", page)
    assert "hypotheses" in page and "seewhy.audit" in page


@pytest.mark.parametrize("name", ["a\nb\x1b[2J.png", "‮gnp.png"], ids=["control", "direction"])
def test_repr_of_an_image_is_one_line_of_printable_letters(tmp_path: Path, name: str) -> None:
    (tmp_path / "photos").mkdir()
    PIL.Image.fromarray(pixels_of(1)[0]).save(tmp_path / "photos" / name)
    assert repr(explained(seeded(FourConv()), tmp_path / "photos")[0]).isprintable()


def test_repr_names_what_was_explained(photos: Path) -> None:
    text = repr(explained(seeded(FourConv()), photos, layers="conv1,conv2", method="layercam", target="dog"))
    assert text == "<Explanation of 7 images; layercam of conv1, conv2 for dog>"


@pytest.mark.parametrize("options", [{}, {"layers": "conv1,conv2"}, {"preset": "pytorch-grad-cam"}], ids=str)
def test_show_is_a_picture(options: dict[str, Any]) -> None:
    found = explained(seeded(FourConv()), images(5), **options)
    sheet = found.show()
    assert isinstance(sheet, PIL.Image.Image) and sheet.mode == "RGB" and min(sheet.size) > 200
    assert found.show(most=1).size[1] <= sheet.size[1] and found.show(most=2).size[0] > 200


@pytest.mark.parametrize("count", [1, 16, 40])
def test_progress_reaches_the_total(count: int) -> None:
    seen: list[tuple[int, int]] = []
    seewhy.explain(seeded(FourConv()), images(count), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (count, count) and [total for _, total in seen] == [count] * len(seen)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


# The user's model.


def state_of(net: nn.Module) -> dict[str, Any]:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "modes": [module.training for module in net.modules()],
        "hooks": [len(getattr(module, name)) for module in net.modules() for name in hooks],
        "weights": {name: value.clone() for name, value in net.state_dict().items()},
        "needs": [parameter.requires_grad for parameter in net.parameters()],
        "grads": [None if p.grad is None else p.grad.clone() for p in net.parameters()],
        "device": [(p.device, p.dtype, p.data_ptr()) for p in net.parameters()],
        "random": (random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()),
    }


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        [assert_same(one[key], other[key]) for key in one]
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        [assert_same(a, b) for a, b in zip(one, other, strict=True)]
    else:
        assert torch.equal(one, other) if isinstance(one, Tensor) else one == other


class Fails(Pooled):
    """Fails on a batch of two, with dropout and random numbers used before."""

    def forward(self, x: Tensor) -> Tensor:
        torch.rand(3), np.random.rand(3), random.random()
        if len(x) == 2:
            raise ZeroDivisionError("of the user's own")
        return super().forward(x)


@pytest.mark.parametrize("count", [3, 2], ids=["works", "raises"])
def test_the_model_is_left_as_found(count: int) -> None:
    want = explained(seeded(Pooled()), images(count), target=1).maps
    net = seeded(Fails()).train()
    net.block.eval()
    net.fc.weight.requires_grad_(False)
    net.stem[0].weight.grad = torch.ones_like(net.stem[0].weight)
    net.fc.register_forward_hook(lambda *_: None)
    before = copy.deepcopy(state_of(net))
    grad = torch.is_grad_enabled()
    if count == 2:
        with pytest.raises(ZeroDivisionError, match="of the user's own"):
            explained(net, images(count))
    else:
        found = explained(net, images(count), target=1)
        found.show()
        np.testing.assert_array_equal(found.maps, want)
    assert_same(before, state_of(net))
    assert torch.is_grad_enabled() == grad


def test_an_interrupting_callback_leaves_the_model_as_found() -> None:
    net = seeded(Pooled()).train()
    before = copy.deepcopy(state_of(net))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seewhy.explain(net, images(2), progress=stop)
    assert_same(before, state_of(net))


def test_notes_say_that_one_class_is_never_predicted() -> None:
    net = seeded(FourConv())
    with torch.no_grad():
        net.fc.bias.copy_(torch.tensor([-1e4, 1e4]))
    found = explained(seewhy.load(net, classes=["a", "b"]), images(12), target="a")
    assert any("Every one of the 12 images is predicted as 'b'." in note for note in found.notes)
    assert any("The maps explain 'a', which is never predicted here." in note for note in found.notes)
    assert isinstance(found.outcomes[0], Outcome)

"""The target "label": what has one is explained by it, what has none is said to, and nothing at all is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, TensorDataset

import seewhy
from seewhy.errors import DataError
from tests.models import FourConv, images, seeded

NAMES = ("a", "b", "c")


class Lazy(Dataset[Any]):
    """Items made when they are asked for, with what they hold beside the image."""

    def __init__(self, held: list[Any], count: int = 0) -> None:
        self.held, self.x = held + [None] * (count - len(held)), images(max(len(held), count))

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, row: int) -> Any:
        return self.x[row], self.held[row]


class Bare(Lazy):
    """The same, without anything beside the image."""

    def __getitem__(self, row: int) -> Any:
        return self.x[row]


def explained(source: Any, target: Any = "label", **options: Any) -> Any:
    classifier = seewhy.load(seeded(FourConv(classes=3)), classes=NAMES, **options)
    return seewhy.explain(classifier, source, target=target, layers="conv2", method="hirescam", progress=False)


def rows_of(folder: Path, labels: list[str]) -> list[dict[str, str]]:
    for number, _ in enumerate(labels):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{number}.png")
    return [{"path": str(folder / f"{number}.png"), "label": label} for number, label in enumerate(labels)]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(lambda: images(), id="tensor"),
        pytest.param(lambda: list(images()), id="list"),
        pytest.param(lambda: TensorDataset(images()), id="tensor dataset"),
        pytest.param(lambda: Bare([0, 1, 2]), id="dataset"),
        pytest.param(lambda: Lazy([None, None]), id="dataset of pairs"),
        pytest.param(lambda: {"train": images(2), "valid": images(2)}, id="splits"),
        pytest.param(lambda: (images(2), torch.tensor([-1, -1])), id="numbers for none"),
    ],
)
@pytest.mark.parametrize("target", ["label", "each"])
def test_the_target_label_of_images_without_any_is_refused(source: Callable[[], Any], target: str) -> None:
    given = source()
    count = (
        sum(map(len, given.values())) if isinstance(given, dict) else len(given[0] if type(given) is tuple else given)
    )
    with pytest.raises(DataError, match=r"The target is 'label', but no (image has one|label is a class)") as raised:
        explained(given, "label" if target == "label" else ["label", *[0] * (count - 1)])
    assert raised.value.slug == "no-labels"


@pytest.mark.parametrize("form", ["table", "list", "dataset"])
def test_labels_none_of_which_is_a_class_are_named_beside_the_classes(tmp_path: Path, form: str) -> None:
    labels = ["zebra", "ant", "zebra"]
    sources = {"list": lambda: list(zip(images(3), labels, strict=True)), "dataset": lambda: Lazy(labels)}
    source = seewhy.read_table(rows_of(tmp_path, labels)) if form == "table" else sources[form]()
    with pytest.raises(DataError, match=r"no label is a class.*\n  Labels: zebra, ant\.  Classes: a, b, c\.") as raised:
        explained(source)
    assert raised.value.slug == "no-labels"
    assert len(explained(source, "predicted")) == 3


def test_labels_that_come_with_the_items_as_they_are_read_are_explained() -> None:
    numbers = [0, 2, 1, 2]
    for source in (Lazy(numbers), ConcatDataset([Lazy(numbers[:2]), Lazy(numbers[2:])])):
        by_label = explained(source)
        assert [one.label for one in by_label] == ["a", "c", "b", "c"]
        np.testing.assert_array_equal(by_label.maps, explained(source, numbers).maps)


@pytest.mark.parametrize("form", ["table", "list", "dataset"])
def test_images_without_a_label_that_is_a_class_have_that_as_the_reason_and_no_score(tmp_path: Path, form: str) -> None:
    labels = ["b", "", "zebra"]
    x = list(zip(images(3), [label or None for label in labels], strict=True))
    source = {"list": x, "dataset": Lazy([label for _, label in x])}.get(form)
    found = explained(seewhy.read_table(rows_of(tmp_path, labels)) if source is None else source)
    first, *others = (one.map_stats["conv2"] for one in found)
    assert first.score_value == pytest.approx(found.outcomes[0].logits[1], rel=1e-6) and first.reason is None
    for row, stat in enumerate(others, 1):
        assert (stat.reason, stat.empty) == ("no label", True) and np.isnan(stat.score_value)
        assert found[row].label is None and found[row].error is None and np.isnan(found[row].maps).all()
    assert any("2 of 3 maps of conv2 are empty (2 no label)." in note for note in found.notes)


def test_of_several_labels_one_is_needed_and_the_reason_says_which_it_is() -> None:
    rows = torch.tensor([[0, 1, 0], [1, 0, 1], [0, 0, 0]])
    for source in ((images(3), rows), Lazy(list(rows))):
        found = explained(source, task="multi-label")
        assert [one.map_stats["conv2"].reason for one in found] == [None, "several labels", "no label"]
        said = [note for note in found.notes if "have none or several" in note]
        assert all(": 2 have none or several" in note for note in said)


def test_an_image_whose_own_target_is_no_label_needs_none() -> None:
    found = explained(Lazy([None, 1, None, 2]), ["label", "label", 0, 2])
    wanted = explained(images(4), [0, 1, 0, 2])
    assert [one.map_stats["conv2"].reason for one in found] == ["no label", None, None, None]
    np.testing.assert_array_equal(found.maps[1:], wanted.maps[1:])

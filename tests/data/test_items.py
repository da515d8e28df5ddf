"""What people have in Python in place of paths: loaders, batches, dicts, arrays; each works or says what to give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset, SubsetRandomSampler, TensorDataset

import seewhy
from seewhy.data.folder import ImageTable, read_table, with_labels
from seewhy.data.reader import load_image
from seewhy.errors import DataError
from seewhy.records import Preprocess
from tests.models import Pooled, images, seeded

CLASSES = ("a", "b", "c")
FLOATS = images(4, size=16)
LABELS = torch.tensor([2, 0, 1, 1])
PAIRS = list(zip(FLOATS, LABELS, strict=True))
BYTES = np.random.default_rng(0).integers(0, 256, (4, 10, 12, 3), dtype=np.uint8)
PICTURES = [PIL.Image.fromarray(pixels) for pixels in BYTES]


class Listed:
    def __init__(self, items: list[Any], **more: Any) -> None:
        self.items = items
        self.__dict__.update(more)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: Any) -> Any:
        return [item[row] for item in self.items] if isinstance(row, str) else self.items[row]


def loaded(table: ImageTable, row: int = 0) -> Any:
    return load_image(table, table.images[row], Preprocess())


def labels(source: Any) -> list[str | None]:
    """The label of each image, wherever it comes from."""
    table = with_labels(read_table(source), CLASSES)
    return [image.label or load_image(table, image, Preprocess()).label for image in table.images]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(DataLoader(TensorDataset(FLOATS, LABELS), batch_size=3), id="loader"),
        pytest.param(DataLoader(TensorDataset(FLOATS, LABELS), batch_size=2, shuffle=True), id="shuffled-loader"),
        pytest.param((FLOATS, LABELS), id="batch"),
        pytest.param([FLOATS, LABELS], id="batch-as-list"),
        pytest.param((FLOATS.numpy(), LABELS.numpy()), id="batch-of-arrays"),
        pytest.param((FLOATS, torch.eye(3)[LABELS]), id="batch-with-rows-of-zeros-and-ones"),
        pytest.param((FLOATS, ["c", "a", "b", "b"]), id="batch-with-names"),
        pytest.param({"pixel_values": FLOATS, "labels": LABELS}, id="batch-as-dict"),
        pytest.param(Listed([{"image": x, "label": int(y)} for x, y in PAIRS]), id="dicts"),
        pytest.param([{"pixel_values": x, "labels": y} for x, y in PAIRS], id="list-of-dicts"),
        pytest.param([{"Image": x, "Target": "abc"[y]} for x, y in PAIRS], id="dicts-with-names"),
        pytest.param([(x, torch.eye(3)[y]) for x, y in PAIRS], id="rows-of-zeros-and-ones"),
        pytest.param(list(zip(FLOATS.numpy(), LABELS.tolist(), strict=True)), id="arrays-of-floats"),
    ],
)  # fmt: skip
def test_images_and_labels_in_memory_are_the_same_four(source: Any) -> None:
    table = read_table(source)
    assert len(table) == 4 and labels(source) == ["c", "a", "b", "b"]
    assert all(torch.equal(loaded(table, row).inputs, FLOATS[row]) for row in range(4))
    explanation = seewhy.explain(seewhy.load(seeded(Pooled()), classes=CLASSES), source, progress=False)
    assert [image.label for image in explanation] == ["c", "a", "b", "b"] and explanation.summary()["labelled"] == 4


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(PICTURES, id="pictures"),
        pytest.param(iter(PICTURES), id="a-generator"),
        pytest.param(BYTES, id="channels-last"),
        pytest.param(BYTES.transpose(0, 3, 1, 2), id="channels-first"),
        pytest.param(torch.from_numpy(BYTES), id="tensor-channels-last"),
        pytest.param(list(BYTES), id="list-of-arrays"),
        pytest.param([{"image": picture} for picture in PICTURES], id="dicts"),
        pytest.param(np.concatenate([BYTES, BYTES[..., :1]], axis=3), id="with-alpha"),
    ],
)
def test_photographs_in_memory_are_the_same_four(source: Any) -> None:
    table = read_table(source)
    assert len(table) == 4
    assert all(np.array_equal(loaded(table, row).photograph, BYTES[row]) for row in range(4))


def test_one_picture_and_grey_ones() -> None:
    assert np.array_equal(loaded(read_table(PICTURES[1])).photograph, BYTES[1])
    assert np.array_equal(loaded(read_table(BYTES[2])).photograph, BYTES[2])
    grey = np.repeat(BYTES[..., :1], 3, axis=3)
    for source in (BYTES[..., 0], BYTES[..., :1], list(BYTES[..., 0]), list(BYTES[..., :1])):
        table = read_table(source)
        assert all(np.array_equal(loaded(table, row).photograph, grey[row]) for row in range(4))


@pytest.mark.parametrize("kind", ["array", "objects", "column", "generator", "set"])
def test_paths_in_anything_are_those_files(tmp_path: Path, kind: str) -> None:
    for name in ("x/1.png", "y/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    paths = [tmp_path / "x/1.png", tmp_path / "y/2.png"]

    class Column:
        """A column of words as pandas and polars have it."""

        ndim = 1

        def __len__(self) -> int:
            return 2

        def __getitem__(self, row: int) -> str:
            return str(paths[row])

        def to_list(self) -> list[str]:
            return [str(path) for path in paths]

    source = {
        "array": np.array([str(path) for path in paths]),
        "objects": np.array(paths, dtype=object),
        "column": Column(),
        "generator": (path for path in paths),
        "set": set(paths),
    }[kind]
    table = read_table(source)
    assert [(image.id, image.label) for image in table.images] == [("x/1.png", "x"), ("y/2.png", "y")]
    assert table.items is None


def test_a_sampler_of_some_rows_gives_those() -> None:
    loader = DataLoader(TensorDataset(FLOATS, LABELS), sampler=SubsetRandomSampler([3, 0]))
    table = read_table(loader)
    assert [torch.equal(loaded(table, row).inputs, FLOATS[at]) for row, at in enumerate((0, 3))] == [True, True]
    assert labels(loader) == ["c", "b"]
    assert any("2 of its 4 rows" in note for note in table.notes)


def test_part_of_a_dataset_keeps_its_names_and_labels() -> None:
    whole = Listed(list(FLOATS), classes=["a", "b", "c"], targets=[2, 0, 1, 1])
    table = read_table(Subset(whole, [3, 0]))
    assert table.classes == CLASSES and [image.label for image in table.images] == ["b", "c"]


def test_a_hugging_face_dataset_names_its_classes() -> None:
    class Feature:
        names = ("a", "b", "c")

    items = [{"image": picture, "label": int(y)} for picture, y in zip(PICTURES, LABELS, strict=True)]
    table = read_table(Listed(items, features={"image": None, "label": Feature()}))
    assert table.classes == CLASSES and [image.label for image in table.images] == ["c", "a", "b", "b"]


def test_labels_of_items_that_count_from_one_are_asked_about() -> None:
    for source in ((FLOATS, LABELS + 1), Listed(list(FLOATS), classes=["a", "b", "c"], targets=[3, 1, 2, 2])):
        with pytest.raises(DataError, match="Counted from 1, 1 is a and 3 is c"):
            with_labels(read_table(source), CLASSES)
        told = with_labels(read_table(source, first_label=1), CLASSES)
        assert [image.label for image in told.images] == ["c", "a", "b", "b"]


def test_sets_of_labels_in_memory_are_judged() -> None:
    rows = torch.tensor([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 0]])
    classifier = seewhy.load(seeded(Pooled()), classes=CLASSES)
    explanation = seewhy.explain(classifier, (FLOATS, rows), progress=False)
    assert [image.label for image in explanation] == ["a|c", "no label", "b", "a|b"]
    with torch.no_grad():
        given = seeded(Pooled())(FLOATS) >= 0
    assert [image.outcome.correct for image in explanation] == (given == rows.bool()).all(dim=1).tolist()


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter(FLOATS)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param(
            DataLoader(Stream()), r"has no length\.\n  Give its batches as one:  images=torch\.cat", id="stream"
        ),
        pytest.param(Stream(), r"Images are Stream, but must be a folder", id="no-length"),
        pytest.param(FLOATS.permute(0, 2, 3, 1), r"Its channels are last:  images\.permute\(0, 3, 1, 2\)", id="last"),
        pytest.param({"text": ["a"]}, r"The dict has text, none of which is a batch of images", id="dict"),
        pytest.param(LABELS, r"The tensor has shape \(4,\)", id="labels-alone"),
        pytest.param(FLOATS.numpy() * np.nan, r"holds NaN", id="nan"),
    ],
)
def test_what_cannot_be_read_says_what_to_give(source: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_table(source)

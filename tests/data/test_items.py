"""What people have in Python in place of paths: loaders, batches, dicts, arrays; each works or says what to give."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, SubsetRandomSampler, TensorDataset

import seewhy
from seewhy.data.reader import load_image
from seewhy.data.sources.folder import read_table
from seewhy.data.sources.table_labels import with_labels
from seewhy.data.tables.image_table import ImageTable
from seewhy.data.tables.labels import read_label
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


@pytest.mark.parametrize(
    ("shape", "count", "said"),
    [
        ((3, 8, 9), 1, "one picture in colours, channels first. If they are three grey ones:  images[:, None]"),
        ((4, 8, 9), 4, "four grey pictures. If it is one in colours, with alpha, channels first:  images[:3]"),
        ((3, 8, 3), 1, "one picture of 8 x 3 pixels, channels first. If they are last:  images.permute(2, 0, 1)"),
        ((5, 3, 8, 4), 5, "5 pictures of 8 x 4 pixels, channels first. If they are last:  images.permute(0, 3, 1, 2)"),
        ((1, 8, 9), 1, None),
        ((5, 8, 9), 5, None),
        ((8, 9, 3), 1, None),
        ((8, 9, 4), 1, None),
        ((5, 8, 9, 3), 5, None),
        ((5, 3, 8, 9), 5, None),
        ((3, 8, 9, 3), 3, None),
    ],
)
@pytest.mark.parametrize("kind", ["array", "tensor", "batch"])
def test_bytes_whose_shape_may_mean_two_things_say_what_they_were_taken_as(
    shape: tuple[int, ...], count: int, said: str | None, kind: str
) -> None:
    values: Any = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    source: Any = torch.from_numpy(values) if kind == "tensor" else values
    if kind == "batch":
        if len(shape) == 3:
            return
        source = (values, [0] * count)
    table = read_table(source)
    assert len(table) == count
    said = said.replace("permute", "transpose") if said and kind != "tensor" else said
    assert table.notes == ((f"Images of the shape {shape} are taken as {said}",) if said else ())


def test_what_the_notes_say_to_type_is_the_other_meaning() -> None:
    three = np.random.default_rng(0).integers(0, 256, (3, 8, 9), dtype=np.uint8)
    assert np.array_equal(loaded(read_table(three)).photograph, three.transpose(1, 2, 0))
    grey = read_table(three[:, None])
    assert len(grey) == 3 and not grey.notes
    assert np.array_equal(loaded(grey, 1).photograph, np.repeat(three[1][..., None], 3, axis=2))
    last = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (3, 8, 3), dtype=np.uint8))
    assert np.array_equal(loaded(read_table(last.permute(2, 0, 1))).photograph, last.numpy())
    alpha = np.random.default_rng(2).integers(0, 256, (4, 8, 9), dtype=np.uint8)
    assert np.array_equal(loaded(read_table(alpha[:3])).photograph, alpha[:3].transpose(1, 2, 0))


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
        pytest.param(FLOATS[0].permute(1, 2, 0), r"channels are last:  images\.permute\(2, 0, 1\)", id="one-last"),
        pytest.param(BYTES[0, ..., 0], r"One grey picture is  images\[None\]", id="one-grey"),
        pytest.param({"text": ["a"]}, r"The dict has text, none of which is a batch of images", id="dict"),
        pytest.param(LABELS, r"The tensor has shape \(4,\)", id="labels-alone"),
    ],
)
def test_what_cannot_be_read_says_what_to_give(source: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_table(source)


# ---- labels in items ----


class Lazy(Dataset[Any]):
    """Images that are made when they are asked for, as those of files are, each with what `labels` hold."""

    def __init__(self, labels: Sequence[Any], **more: Any) -> None:
        self.given = labels
        self.__dict__.update(more)

    def __len__(self) -> int:
        return len(self.given)

    def __getitem__(self, row: int) -> tuple[Tensor, Any]:
        return FLOATS[row % 4], self.given[row]


FROM_ONE = {
    "dataset": Lazy([3, 1, 2, 2]),
    "dataset-of-many": Lazy([1 + n % 3 for n in range(200)]),
    "dataset-with-names": Lazy([3, 1, 2, 2], classes=["a", "b", "c"]),
    "unknown-ones": Lazy([3, 1, 2, -1]),
    "words-for-numbers": Lazy(["3", "1", "2", "2"]),
    "dicts": Listed([{"image": x, "label": int(y) + 1} for x, y in PAIRS]),
    "list": [(x, int(y) + 1) for x, y in PAIRS],
    "list-of-pictures": list(zip(PICTURES, [3, 1, 2, 2], strict=True)),
    "tensors": TensorDataset(FLOATS, LABELS + 1),
    "subset": Subset(TensorDataset(FLOATS, LABELS + 1), [0, 1, 2, 3]),
    "loader": DataLoader(TensorDataset(FLOATS, LABELS + 1)),
}


@pytest.mark.parametrize("source", [pytest.param(source, id=name) for name, source in FROM_ONE.items()])
def test_numbers_in_items_that_count_from_one_are_asked_about(source: Any) -> None:
    classifier = seewhy.load(seeded(Pooled()), classes=CLASSES)
    with pytest.raises(DataError, match=r"1 is a and 3 is c[\s\S]*read_table\(images, first_label=1\)") as raised:
        seewhy.explain(classifier, source, progress=False)
    assert raised.value.slug == "label-numbers"
    for told in (read_table(source, first_label=1), read_table(read_table(source), first_label=1)):
        explanation = seewhy.explain(classifier, told, limit=3, progress=False)
        first = [image.label for image in explanation]
        assert first == (["a", "b", "c"] if len(told) == 200 else ["c", "a", "b"])
    surely = seewhy.explain(classifier, read_table(source, first_label=0), limit=3, progress=False)
    assert [image.label for image in surely] == ([*"bc", None] if len(told) == 200 else [None, *"bc"])


def test_numbers_of_items_that_show_only_later_that_they_are_from_one_stop_the_work() -> None:
    rare = Lazy([1 + (n == 101) * 2 for n in range(103)])
    classifier = seewhy.load(seeded(Pooled()), classes=CLASSES)
    with pytest.raises(DataError, match=r"numbers, like 3, and there are 3 classes"):
        seewhy.explain(classifier, rare, progress=False)
    settled = Lazy([0, *rare.given])
    assert seewhy.explain(classifier, settled, progress=False).summary()["labelled"] == 103


def test_rows_of_zeros_and_ones_are_places_whatever_numbers_count_from() -> None:
    source = [(x, row) for x, row in zip(FLOATS, torch.eye(3)[LABELS], strict=True)]
    for first in (None, 0, 1):
        table = with_labels(read_table(source, first_label=first), CLASSES)
        assert [image.label for image in table.images] == ["c", "a", "b", "b"]
    batch = with_labels(read_table((FLOATS, torch.eye(3)[LABELS]), first_label=1), CLASSES)
    assert [image.label for image in batch.images] == ["c", "a", "b", "b"]


@pytest.mark.parametrize(
    ("items", "wanted", "said"),
    [
        pytest.param([(x, [0.05, 0.9, 0.05]) for x in FLOATS], "b", r"4 items are rows of shares", id="smoothed"),
        pytest.param([(x, torch.tensor([0.3, 0, 0.7])) for x in FLOATS], "c", "rows of shares", id="mixed-up"),
        pytest.param([(x, torch.tensor([0.5, 0, 0.5])) for x in FLOATS], None, "row of 3 numbers: 0.5, 0", id="half"),
        pytest.param([(x, {"boxes": 1}) for x in FLOATS], None, r"a dict of boxes\)\.  Labels are", id="boxes"),
        pytest.param([{"image": x, "grade": 1} for x in FLOATS], None, "like a dict of image, grade", id="other-key"),
        pytest.param([(x, torch.zeros(4, 4)) for x in FLOATS], None, r"16\), tensor \(4, 4\)\)", id="mask"),
        pytest.param([(x, "a.png", 1) for x in FLOATS], None, r"16\), 'a\.png', 1\)", id="a-path-second"),
        pytest.param([(x, 1, 7) for x in FLOATS], "b", r"more parts than two: the second is the label", id="three"),
        pytest.param([(x, {"label": 1}) for x in FLOATS], "b", "", id="a-dict-second"),
        pytest.param([(x, None) for x in FLOATS], None, "", id="none"),
        pytest.param(list(FLOATS), None, "", id="alone"),
        pytest.param([(x, 0.5) for x in FLOATS], None, r"hold no label .*0\.5", id="half-a-number"),
        pytest.param([(x, -1) for x in FLOATS], None, r"left out: '-1' \(4\)", id="minus"),
        pytest.param([(x, "cow") for x in FLOATS], None, r"left out: 'cow' \(4\)", id="no-class"),
        pytest.param([(x, "B") for x in FLOATS], "b", "B is b", id="case"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("of", ["list", "dataset"])
def test_what_is_in_items_is_read_or_said(items: list[Any], wanted: str | None, said: str, of: str) -> None:
    table = with_labels(read_table(items if of == "list" else Listed(items)), CLASSES)
    assert (table.images[0].label or read_label(loaded(table).label, CLASSES, "classification")) == wanted
    assert re.search(said, " ".join(table.notes)) if said else table.notes == ()


def test_a_batch_says_what_its_labels_hold() -> None:
    table = with_labels(read_table((FLOATS, [[0.1, 0.8, 0.1], {"a": 1}, 2, 0])), CLASSES)
    assert [image.label for image in table.images] == ["b", None, "c", "a"]
    assert any("like dict of a" in note for note in table.notes)


def test_what_the_items_hold_counts_and_not_the_targets() -> None:
    swapped = Lazy([2, 1, 0] * 20, targets=[0, 1, 2] * 20, classes=["x", "y", "z"])
    table = with_labels(read_table(swapped), CLASSES)
    assert [image.label or loaded(table, row).label for row, image in enumerate(table.images[:3])] == ["c", "b", "a"]
    assert any(re.search(r"item 0 has z, there it is x\): those of the items count", note) for note in table.notes)
    pairs = Listed(list(zip(FLOATS, LABELS, strict=True)), targets=LABELS)
    assert read_table(pairs).notes == ()


def test_a_target_transform_is_applied_to_targets() -> None:
    merged = Lazy([0, 1, 1, 0], targets=[0, 1, 2, 3], classes=list("wxyz"), target_transform=lambda n: int(n in (1, 2)))
    table = read_table(merged)
    assert [image.label for image in table.images] == ["0", "1", "1", "0"] and table.classes == ()
    assert table.notes[0].startswith("Labels are what the Dataset's `target_transform` makes of its `targets`")
    same = Lazy([0, 1], targets=[0, 1], classes=["a", "b"], target_transform=int)
    assert read_table(same).notes == () and read_table(same).classes == ("a", "b")


def test_an_item_that_contradicts_the_targets_later_stops_the_work() -> None:
    data = Lazy([0] * 50 + [2] + [0] * 50, targets=[0] * 101)
    with pytest.raises(DataError, match="An item of the Dataset holds the label c, and its `targets` say a") as raised:
        seewhy.explain(seewhy.load(seeded(Pooled()), classes=CLASSES), data, progress=False)
    assert raised.value.slug == "label-twice"


class Rows(Listed):
    """A dataset as Hugging Face has it: items are dicts, a column by its name, and features with the names."""

    def __init__(self, numbers: list[int], names: list[str]) -> None:
        label = type("ClassLabel", (), {"names": names})()
        super().__init__(
            [{"image": FLOATS[n % 4], "label": n} for n in numbers], features={"image": None, "label": label}
        )


def test_datasets_by_split_are_one_table_with_its_splits() -> None:
    table = read_table({"train": Rows([2, 0, 1], list(CLASSES)), "test": Rows([1, 1], list(CLASSES))})
    assert [image.split for image in table.images] == ["train"] * 3 + ["test"] * 2
    assert [image.label for image in table.images] == ["c", "a", "b", "b", "b"] and table.classes == CLASSES
    for image, number in zip(table.images, (2, 0, 1, 1, 1), strict=True):
        assert torch.equal(load_image(table, image, Preprocess()).inputs, FLOATS[number])
    explanation = seewhy.explain(seeded(Pooled()), {"train": PAIRS[:2], "valid": PAIRS[2:]}, progress=False)
    assert [one.image.split for one in explanation.outcomes] == ["train", "train", "valid", "valid"]


def test_splits_of_other_classes_are_refused() -> None:
    with pytest.raises(DataError, match="The splits train, test have different class names"):
        read_table({"train": Rows([0], ["a", "b"]), "test": Rows([0], ["b", "a"])})


def test_a_stream_says_how_its_first_images_are_given() -> None:
    stream = type("IterableDataset", (), {"take": None, "__iter__": lambda self: iter(PAIRS)})()
    with pytest.raises(DataError, match=r"Of a stream give the first images:  list\(dataset\.take\(1000\)\)"):
        read_table(stream)


def test_names_of_classes_that_datasets_have() -> None:
    for more in ({"classes": {"y": 1, "x": 0}}, {"class_to_idx": {"y": 1, "x": 0}}, {"classes": ["x", "y"]}):
        table = read_table(Lazy([1, 0], targets=[1, 0], **more))
        assert table.classes == ("x", "y") and [image.label for image in table.images] == ["y", "x"]
    for source in ((FLOATS, ["b", "a", "c", "a"]), list(zip(FLOATS, ["b", "a", "c", "a"], strict=True))):
        explanation = seewhy.explain(seeded(Pooled()), source, progress=False)
        assert explanation.plan.classes == CLASSES and [image.label for image in explanation] == ["b", "a", "c", "a"]
    other = with_labels(read_table(Lazy([1, 0, 2], targets=[1, 0, 2], classes=["x", "y", "z"])), CLASSES)
    assert "No label is left.  To call the classes as the data does:  --classes x,y,z" in other.notes


def test_soft_targets_and_batches_without_labels_are_said() -> None:
    soft = read_table(Lazy([1, 0], targets=np.array([[0.1, 0.9], [0.8, 0.2]])))
    assert [image.label for image in soft.images] == ["1", "0"]
    assert soft.notes[0].startswith("The labels of 2 of the `targets` are rows of shares")
    batch = read_table({"image": FLOATS, "grade": LABELS})
    assert batch.notes[0].startswith("The batch holds no label that can be read, like a dict of image, grade.")
    assert read_table({"image": FLOATS}).notes == () == read_table({"image": FLOATS, "label": LABELS}).notes


def test_rows_of_a_dataset_make_a_network_multi_label_as_those_of_a_batch_do() -> None:
    rows = [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 0]]
    explanation = seewhy.explain(seewhy.load(seeded(Pooled()), classes=CLASSES), Lazy(rows), progress=False)
    assert [image.label for image in explanation] == ["a|c", "no label", "b", "a|b"]
    assert not any("left out" in note for note in explanation.notes)


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 0, 1]],
        [[1, 0, 1]] * 3,
        [[1, 1, 1]] * 2,
        [[1, 1, 0]] * 2,
        [[0, 0, 0], [1, 0, 1], [1, 0, 1]],
        [[0, 0, 0]] * 2,
    ],
    ids=str,
)
@pytest.mark.parametrize("form", ["pairs", "tensors", "batch", "dataset"])
@pytest.mark.parametrize("classes", [CLASSES, None], ids=["named", "numbers"])
def test_rows_that_are_sets_alone_are_no_class_names(
    rows: list[list[int]], form: str, classes: tuple[str, ...] | None
) -> None:
    x, labels = images(len(rows)), torch.tensor(rows)
    source = {
        "pairs": list(zip(x, labels, strict=True)),
        "tensors": TensorDataset(x, labels),
        "batch": (x, labels),
        "dataset": Lazy(list(labels)),
    }[form]
    assert read_table(source).classes == ()
    classifier = seewhy.load(seeded(Pooled()), classes=classes, task="multi-label")
    names = classes or ("0", "1", "2")
    want = ["|".join(name for name, has in zip(names, row, strict=True) if has) or "no label" for row in rows]
    assert [image.label for image in seewhy.explain(classifier, source, target=0, progress=False)] == want


def test_sets_of_words_name_their_classes() -> None:
    held = [["cat", "dog"], ["dog"], []]
    table = read_table(list(zip(FLOATS[:3], held, strict=True)))
    assert table.classes == ("cat|dog", "dog", "no label") and table.class_names(2) == ("cat", "dog")


@pytest.mark.parametrize("row", [0, 2])
@pytest.mark.parametrize("number", [np.nan, np.inf], ids=str)
@pytest.mark.parametrize("form", ["tensor", "array", "batch", "dict", "splits", "list"])
def test_one_image_of_a_stack_with_nan_is_a_row_with_its_reason(form: str, number: float, row: int) -> None:
    x = FLOATS.clone()
    x[row, 1, 3, 4] = number
    source = {
        "tensor": x,
        "array": x.numpy(),
        "batch": (x, LABELS),
        "dict": {"image": x, "label": LABELS},
        "splits": {"train": x[:2], "valid": x[2:]},
        "list": list(x),
    }[form]
    found = seewhy.explain(seeded(Pooled()), source, layers="block", target=0, progress=False)
    reasons = [image.error for image in found]
    assert reasons[row] == "it holds NaN or infinite values" and reasons.count(None) == 3
    assert [image.label for image in found] == (["2", "0", "1", "1"] if form in ("batch", "dict") else [None] * 4)
    whole = seewhy.explain(seeded(Pooled()), FLOATS, layers="block", target=0, progress=False)
    kept = [place for place in range(4) if place != row]
    np.testing.assert_allclose(found.maps[kept], whole.maps[kept], rtol=0, atol=1e-7)
    with pytest.raises(DataError, match=r"None of the 4 images can be read:\n  00000: it holds NaN or infinite values"):
        seewhy.explain(seeded(Pooled()), x * np.nan, progress=False)

"""The images that an audit edits, and who meets whom."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from seewhy.data.sources.folder import read_table
from seewhy.errors import DataError
from seewhy.evidence.trials.clusters import cluster_notes
from seewhy.evidence.trials.contrast import MOST_CLASSES
from seewhy.evidence.trials.dealing import NO_PARTNER, with_partners
from seewhy.evidence.trials.sample import (
    Sample,
    gathered,
    load_sample,
    n_groups,
    one_of_each,
    with_clusters,
    with_masks,
)
from seewhy.records import Image, Preprocess
from tests.small_images import CLASSES, Reader, classifier_of, pictures_of, write_images


def sample_of(counts: tuple[int, ...], clusters: list[int] | None = None) -> Sample:
    total = sum(counts)
    labels = np.repeat(np.arange(len(counts)), counts)
    return Sample(
        "valid", tuple(Image(str(row)) for row in range(total)), labels, torch.zeros(total, 3, 4, 4, dtype=torch.uint8),
        Preprocess(size=(4, 4)), np.array(clusters) if clusters else np.arange(total),
    )  # fmt: skip


# Who meets whom.


@pytest.mark.parametrize("counts", [(40, 40), (40, 25), (30, 30, 30), (40, 12)])
def test_every_recipient_meets_every_class_equally_often(counts: tuple[int, ...]) -> None:
    sample = with_partners(sample_of(counts), 24, 4, 0)
    given = sample.labels[sample.partners]
    assert len(sample.recipients) == len(set(sample.recipients.tolist())) == 24
    each = [(given == label).sum(axis=1) for label in range(len(counts))]
    assert all((one == each[0][0]).all() for one in each)
    taken = np.bincount(sample.labels[sample.recipients])
    assert taken.max() - taken.min() <= 1


@pytest.mark.parametrize("counts", [(40, 40), (60, 35), (30, 30, 30)])
def test_donors_of_a_class_are_used_about_equally_often(counts: tuple[int, ...]) -> None:
    sample = with_partners(sample_of(counts), 40, 4, 1)
    for label in range(len(counts)):
        uses = np.bincount(sample.partners.ravel(), minlength=len(sample))[sample.labels == label]
        uses = uses[uses > 0]
        assert uses.max() - uses.min() <= 1


def test_nobody_meets_itself_or_a_copy_of_itself() -> None:
    clusters = [row // 3 for row in range(60)]  # threes of near-duplicates
    sample = with_partners(sample_of((30, 30), clusters), 60, 4, 2)
    assert (sample.clusters[sample.partners] != sample.clusters[sample.recipients][:, None]).all()


def test_where_a_class_is_one_cluster_its_images_meet_the_others_alone() -> None:
    sample = with_partners(sample_of((5, 6), [0] * 5 + [1] * 3 + [2] * 3), 11, 2, 0)
    donors = sample.partners[sample.labels[sample.recipients] == 0]
    assert ((donors == NO_PARTNER) | (sample.labels[donors] == 1)).all() and (donors == NO_PARTNER).sum() == 10
    pairs = sample.pairs()
    assert (pairs >= 0).all() and (sample.clusters[pairs[:, 0]] != sample.clusters[pairs[:, 1]]).all()
    assert len(pairs) == sample.partners.size - 10


def test_one_of_every_cluster_comes_before_the_second_of_any() -> None:
    places, clusters = np.array([4, 1, 0, 3, 2, 5]), np.array([7, 7, 2, 2, 7, 3])
    assert one_of_each(places, clusters).tolist() == [4, 3, 5, 1, 2, 0]
    assert one_of_each(places, np.arange(6)).tolist() == places.tolist()
    assert one_of_each(places[:0], clusters).tolist() == []


def test_few_recipients_are_of_many_clusters() -> None:
    sample = with_partners(sample_of((40, 40), [row // 8 for row in range(80)]), 10, 4, 0)
    assert len(set(sample.clusters[sample.recipients].tolist())) == 10


def test_named_clusters_and_near_duplicates_are_one_unit_also_across_splits() -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8))
    made = {}
    for split, rows, names in (("valid", [0, 1, 2], ("a", "b", None)), ("train", [0, 3, 4], (None, "b", None))):
        images = tuple(Image(str(row), cluster=name) for row, name in zip(rows, names, strict=True))
        made[split] = Sample(split, images, np.array([0, 1, 0]), pixels[rows], Preprocess(), np.arange(3))
    found = with_clusters(made)
    valid, train = found["valid"].clusters.tolist(), found["train"].clusters.tolist()
    assert valid[0] == train[0] and valid[1] == train[1]  # the same picture; the same name
    assert len({*valid, *train}) == 4
    notes = cluster_notes(found, "patient", ("cat", "dog"))
    assert "the 3 images of valid are 3 clusters" in notes[0]
    assert "1 of 2 clusters of valid stand in train, too (b): 1 of 3 images, and 1 more by near" in notes[-1]


def test_a_class_of_one_cluster_is_said_and_so_is_that_nothing_is_left_to_compare() -> None:
    valid = sample_of((4, 4), [0, 0, 0, 0, 1, 1, 2, 2])
    valid = replace(valid, images=tuple(replace(image, cluster=str(int(image.id) // 2)) for image in valid.images))
    notes = cluster_notes({"valid": valid, "train": replace(valid, split="train")}, "site", ("cat", "dog"))
    assert "All images of one cluster: cat (4 images)" in notes[1] and "dog" not in notes[1]
    assert "none is left: nothing can be said about overfitting" in notes[2]


def test_of_many_classes_an_image_meets_its_own_and_another() -> None:
    counts = (4,) * (MOST_CLASSES + 2)
    sample = with_partners(sample_of(counts), 24, 3, 0)
    own = sample.labels[sample.recipients][:, None]
    is_own = sample.labels[sample.partners] == own
    assert sample.n_groups == 2 and (is_own.sum(axis=1) * 2 == sample.partners.shape[1]).all()


def test_the_seed_and_the_split_decide() -> None:
    sample = sample_of((20, 20))
    one, again, other = (with_partners(sample, 10, 2, seed) for seed in (0, 0, 1))
    train = with_partners(replace(sample, split="train"), 10, 2, 0)
    assert np.array_equal(one.partners, again.partners) and np.array_equal(one.recipients, again.recipients)
    assert not np.array_equal(one.partners, other.partners) and not np.array_equal(one.partners, train.partners)


def test_without_classes_there_are_no_partners() -> None:
    empty = with_partners(sample_of(()), 10, 2, 0)
    assert len(empty.recipients) == 0 and len(empty.pairs()) == 0


def test_one_image_of_each_of_many_classes_has_no_partners() -> None:
    alone = with_partners(sample_of((1,) * 40), 10, 2, 0)
    assert len(alone.recipients) == 0 and alone.partners.ndim == 2 and len(alone.pairs(uses=1)) == 0


# Pairs.


def test_pairs_are_recipient_by_recipient() -> None:
    sample = with_partners(sample_of((20, 20)), 10, 2, 0)
    pairs = sample.pairs()
    assert len(pairs) > 0
    width = sample.partners.shape[1]
    assert np.array_equal(pairs[:, 0], np.repeat(sample.recipients, width))
    assert np.array_equal(pairs[:, 1].reshape(-1, width), sample.partners)
    some = sample.pairs(uses=1)
    assert np.array_equal(some[:, 1].reshape(10, -1), sample.partners[:, : sample.n_groups])


def test_pairs_of_a_region_have_it_on_both_sides() -> None:
    sample = with_partners(sample_of((20, 20)), 20, 2, 0)
    found = np.ones(40, dtype=bool)
    found[::4] = False
    sample = with_masks(sample, {"a": torch.ones(40, 4, 4)}, {"a": found})
    pairs = sample.pairs(["a"])
    assert found[pairs].all() and 0 < len(pairs) < len(sample.pairs())
    assert len(pairs) == found[sample.pairs()].all(axis=1).sum()
    assert len(sample.pairs(["b"])) == len(sample.pairs())


@pytest.mark.parametrize(("classes", "groups"), [(2, 2), (10, 10), (11, 2)])
def test_groups_are_the_classes_while_they_are_few(classes: int, groups: int) -> None:
    assert n_groups(np.repeat(np.arange(classes), 3)) == groups


# Reading.


def test_bytes_become_shares_and_floats_stay() -> None:
    values = torch.tensor([[0, 51], [255, 102]], dtype=torch.uint8)
    assert gathered(values, torch.tensor([1, 0, 1])).tolist() == [
        [1.0, pytest.approx(0.4)],
        [0, pytest.approx(0.2)],
        [1, pytest.approx(0.4)],
    ]
    floats = torch.randn(3, 2)
    taken = gathered(floats, torch.tensor([2]))
    assert torch.equal(taken[0], floats[2])
    taken.zero_()
    assert floats[2].any()  # a copy


def test_images_are_read_as_bytes_with_their_labels(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"valid": 4})
    (data / "valid" / "cat" / "0001.png").write_bytes(b"no picture")
    table = read_table(data)
    ticks: list[tuple[int, int]] = []
    found = load_sample(
        table, table.images, "valid", classifier_of(Reader()), lambda done, all_: ticks.append((done, all_))
    )
    assert len(found) == 7 and found.pixels.dtype == torch.uint8
    assert [image.id for image, _ in found.unreadable] == ["valid/cat/0001.png"] and found.unreadable[0][1]
    (data / "valid" / "cat" / "0001.png").unlink()
    pixels, labels = pictures_of(data, "valid")
    assert torch.equal(found.canvases(torch.arange(7)), pixels) and found.labels.tolist() == labels.tolist()
    assert ticks[-1] == (8, 8) and len(set(found.clusters.tolist())) == 7 and all(found.digests)


def test_near_duplicates_are_one_unit_in_both_splits(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"train": 5, "valid": 5})
    shutil.copy(data / "train" / "cat" / "0000.png", data / "valid" / "cat" / "0001.png")
    shutil.copy(data / "valid" / "dog" / "0000.png", data / "valid" / "dog" / "0001.png")
    table = read_table(data)
    samples = {
        split: load_sample(table, [one for one in table.images if one.split == split], split, classifier_of(Reader()))
        for split in ("valid", "train")
    }
    found = with_clusters(samples)
    where = {image.id: unit for one in found.values() for image, unit in zip(one.images, one.clusters, strict=True)}
    assert where["train/cat/0000.png"] == where["valid/cat/0001.png"]
    assert where["valid/dog/0000.png"] == where["valid/dog/0001.png"]
    assert len(set(where.values())) == 20 - 2


def test_inputs_are_what_the_network_was_fed_before(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"valid": 2})
    table = read_table(data)
    classifier = classifier_of(Reader(), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    found = load_sample(table, table.images, "valid", classifier)
    pixels, _ = pictures_of(data, "valid")
    wanted = (pixels - torch.tensor([0.4, 0.5, 0.6])[:, None, None]) / torch.tensor([0.2, 0.3, 0.4])[:, None, None]
    assert torch.allclose(found.inputs(found.canvases(torch.arange(4))), wanted, atol=1e-5)


def test_images_of_different_shapes_need_one_size(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"valid": 2})
    path = data / "valid" / "cat" / "0000.png"
    PIL.Image.open(path).resize((40, 24)).save(path)
    table = read_table(data)
    with pytest.raises(DataError, match="--size"):
        load_sample(table, table.images, "valid", classifier_of(Reader(), CLASSES, preprocess=Preprocess(size=None)))

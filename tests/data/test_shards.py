"""Tars of images (WebDataset) are tables: each image with its own bytes, label and split; nothing is unpacked."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from seewhy.data.pictures.decode import UnreadableError, file_digest, read_photograph, read_size
from seewhy.data.sources.files import size_of
from seewhy.data.sources.folder import read_table
from seewhy.data.sources.shards import expanded, index_of, member_of
from seewhy.errors import DataError
from tests.data.test_addresses import png

Members = dict[str, bytes]


def tar_of(members: Members, kind: int = tarfile.USTAR_FORMAT) -> bytes:
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w", format=kind) as opened:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            opened.addfile(entry, io.BytesIO(data))
    return kept.getvalue()


def written(path: Path, members: Members, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar_of(members, **more))
    return path


def samples(*numbers: int) -> Members:
    return {
        name: data
        for number in numbers
        for name, data in ((f"{number:04d}.png", png(number)), (f"{number:04d}.cls", str(number % 2).encode()))
    }


def test_each_image_has_its_own_bytes_label_and_split(tmp_path: Path) -> None:
    written(tmp_path / "train-000.tar", samples(1, 2))
    written(tmp_path / "train-001.tar", samples(3))
    written(tmp_path / "val-000.tar", samples(4))
    table = read_table(f"{tmp_path}/*.tar")
    assert [(image.id, image.label, image.split) for image in table.images] == [
        ("train-000.tar/0001.png", "1", "train"),
        ("train-000.tar/0002.png", "0", "train"),
        ("train-001.tar/0003.png", "1", "train"),
        ("val-000.tar/0004.png", "0", "val"),
    ]
    for number, image in enumerate(table.images, 1):
        (tmp_path / "same.png").write_bytes(png(number))
        assert file_digest(image.path or "") == file_digest(tmp_path / "same.png")
        assert np.array_equal(read_photograph(image.path or "").pixels, read_photograph(tmp_path / "same.png").pixels)
        assert (read_size(image.path or ""), size_of(image.path or "")) == ((6, 8), len(png(number)))


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_are_found(tmp_path: Path, kind: int) -> None:
    long = "ä" * 30 + "/" + "n" * 60
    path = written(tmp_path / "a.tar", {f"{long}.png": png(1), f"{long}.cls": b"cat", "./b.png": png(2)}, kind=kind)
    table = read_table(path)
    assert [image.id for image in table.images] == [f"a.tar/{long}.png", "a.tar/b.png"]
    assert [image.label or None for image in table.images] == ["cat", None]
    assert read_photograph(table.images[1].path or "").pixels[0, 0, 0] == 40


@pytest.mark.parametrize(
    ("facts", "label"),
    [
        ({"label": "cat"}, "cat"),
        ({"class": 3, "width": 8}, "3"),
        ("dog", "dog"),
        (4, "4"),
        ({"labels": ["a", "b"]}, "a|b"),
        ({"box": [1.5, 2]}, None),
    ],
)
def test_json_beside_an_image_is_its_label_and_its_row(tmp_path: Path, facts: Any, label: str | None) -> None:
    path = written(tmp_path / "a.tar", {"1.json": json.dumps(facts).encode(), "1.png": png(1)})
    (image,) = read_table(path).images
    assert image.label == label
    if isinstance(facts, dict) and "width" in facts:
        assert dict(zip(read_table(path).columns, image.cells, strict=True))["width"] == "8"


def test_cls_counts_more_than_json_and_columns_can_be_named(tmp_path: Path) -> None:
    members = {"1.cls": b"1", "1.json": b'{"label": "cat", "patient": "p7"}', "1.png": png(1)}
    path = written(tmp_path / "a.tar", members)
    assert read_table(path).images[0].label == "1"
    assert read_table(path, columns={"label": "patient"}).images[0].label == "p7"


def test_names_up_to_the_first_dot_join_a_sample(tmp_path: Path) -> None:
    members = {
        "d/1.seg.png": png(9),
        "d/1.jpg": png(1),
        "d/1.cls": b"0",
        "e/1.jpg": png(2),
        "e/1.cls": b"1",
        "x.txt": b"",
    }
    table = read_table(written(tmp_path / "a.tar", members))
    assert [(image.id, image.label) for image in table.images] == [("a.tar/d/1.jpg", "0"), ("a.tar/e/1.jpg", "1")]
    assert any("1 samples of the tars have no image" in note for note in table.notes)


def test_only_plain_files_are_images(tmp_path: Path) -> None:
    kept = io.BytesIO()
    with tarfile.open(fileobj=kept, mode="w") as opened:
        for name, kind in (("link.png", tarfile.SYMTYPE), ("pipe.png", tarfile.FIFOTYPE), ("dir.png", tarfile.DIRTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            opened.addfile(entry)
        entry = tarfile.TarInfo("../../up.png")
        entry.size = len(png(1))
        opened.addfile(entry, io.BytesIO(png(1)))
    (tmp_path / "a.tar").write_bytes(kept.getvalue())
    table = read_table(tmp_path / "a.tar")
    assert len(table) == 1 and read_photograph(table.images[0].path or "").pixels[0, 0, 0] == 20


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("shard-{000..002}.tar", ["shard-000.tar", "shard-001.tar", "shard-002.tar"]),
        ("s-{8..11}.tar", ["s-8.tar", "s-9.tar", "s-10.tar", "s-11.tar"]),
        ("{0..1}/{0..1}.tar", ["0/0.tar", "0/1.tar", "1/0.tar", "1/1.tar"]),
        ("one.tar", ["one.tar"]),
    ],
)
def test_numbers_in_braces_are_counted(text: str, wanted: list[str]) -> None:
    assert expanded(text) == wanted


def test_braces_without_an_end_are_refused() -> None:
    with pytest.raises(DataError, match="stands for more than 100,000 files"):
        expanded("{0..999999999}.tar")


def test_shards_are_named_by_braces_and_in_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        written(tmp_path / "d" / f"s-{number}.tar", samples(number))
    ids = [f"s-{number}.tar/{number:04d}.png" for number in range(3)]
    assert [image.id for image in read_table("d/s-{0..2}.tar").images] == ids
    assert [image.id for image in read_table(["d/s-0.tar", "d/s-1.tar", "d/s-2.tar"]).images] == ids
    assert [image.path for image in read_table("d/s-0.tar").images] == ["d/s-0.tar/0000.png"]
    with pytest.raises(DataError, match=r"d/s-3\.tar cannot be read: No such file") as raised:
        read_table("d/s-{0..3}.tar")
    assert raised.value.slug == "shards"
    with pytest.raises(DataError, match=r"Found no tar that fits d/t-\*\.tar"):
        read_table("d/t-*.tar")


def test_files_around_are_not_taken_for_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0001.png").write_bytes(png(9))
    path = written(tmp_path / "d" / "a.tar", samples(1))
    assert read_photograph(read_table(path).images[0].path or "").pixels[0, 0, 0] == 20


def test_what_is_no_whole_tar_is_said(tmp_path: Path) -> None:
    whole = tar_of(samples(1, 2))
    for name, data, said in (
        ("text.tar", b"no tar at all" * 100, r"text\.tar is no whole tar file"),
        ("cut.tar", whole[:1100], r"cut\.tar is no whole tar file"),
        ("zipped.tar", gzip.compress(whole), r"zipped\.tar is compressed"),
        ("words.tar", tar_of({"a.txt": b"x"}), r"Found no images in .*words\.tar"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=said):
            read_table(tmp_path / name)
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(whole))
    with pytest.raises(DataError, match=r"a\.tar\.gz is compressed"):
        read_table(tmp_path / "a.tar.gz")


def test_a_folder_of_tars_says_how_they_are_named(tmp_path: Path) -> None:
    written(tmp_path / "d" / "a.tar", samples(1))
    with pytest.raises(DataError, match=r"Tars of images \(WebDataset\) are named by a pattern:  'FOLDER/\*\.tar'"):
        read_table(tmp_path / "d")


def test_a_tar_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tar", samples(1))
    assert read_photograph(f"{path}/0001.png").pixels[0, 0, 0] == 20
    written(path, {"more.png": png(5), "0001.png": png(7)})
    assert read_photograph(f"{path}/0001.png").pixels[0, 0, 0] == 140
    with pytest.raises(UnreadableError, match=r"a\.tar holds no 0009\.png"):
        read_photograph(f"{path}/0009.png")


def test_a_folder_called_like_a_tar_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.tar" / "cat").mkdir(parents=True)
    (tmp_path / "a.tar" / "cat" / "1.png").write_bytes(png(3))
    (image,) = read_table(tmp_path / "a.tar").images
    assert image.id == "cat/1.png" and member_of(image.path or "") is None
    assert read_photograph(image.path or "").pixels[0, 0, 0] == 60


def test_tars_in_an_object_store_are_read_there(tmp_path: Path) -> None:
    system = fsspec.filesystem("memory")
    system.store.clear()
    index_of.__globals__["_read_index"].cache_clear()
    for number in range(2):
        system.pipe(f"/bucket/set/train-{number}.tar", tar_of(samples(number)))
        written(tmp_path / "set" / f"train-{number}.tar", samples(number))
    for named in ("/*.tar", "/train-{0..1}.tar"):
        there, here = read_table(f"memory://bucket/set{named}"), read_table(f"{tmp_path}/set{named}")
        assert [(i.label, i.split) for i in there.images] == [(i.label, i.split) for i in here.images]
        assert [i.id for i in there.images] == [f"bucket/set/{i.id}" for i in here.images]
        digests = [[file_digest(image.path or "") for image in table.images] for table in (there, here)]
        assert digests[0] == digests[1]
    system.store.clear()

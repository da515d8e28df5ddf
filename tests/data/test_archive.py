"""Archives of every kind, honest and not."""

from __future__ import annotations

import csv
import io
import json
import stat
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from seewhy.data.sources import archive as archives
from seewhy.data.sources.archive import MARKER, STAGING, unpack
from seewhy.errors import DataError, WorkError

TINY = {(split, name): n for split, n in (("train", 3), ("valid", 2)) for name in ("fake", "real")}
CSV = ",id,path,label,label_str\n0,F0,train/fake/F0.jpg,0,fake\n"


def tiny_files(root: str = "rvf10k/", tables: str = "") -> dict[str, bytes]:
    """The layout of rvf10k in miniature, with distinct bytes for every image."""
    files = {
        f"{root}{split}/{name}/{name[0].upper()}{i}.jpg": f"{split} {name} {i}".encode() * 50
        for (split, name), n in TINY.items()
        for i in range(n)
    }
    return files | {f"{tables}train.csv": CSV.encode(), f"{tables}valid.csv": CSV.encode()}


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def patched(path: Path, name: bytes, at: int, value: bytes) -> Path:
    """The zip with bytes of one member's entry in the central directory replaced, `at` bytes from its start."""
    content = bytearray(path.read_bytes())
    start = content.rindex(name) - 46
    assert content[start : start + 4] == b"PK\x01\x02"
    content[start + at : start + at + len(value)] = value
    path.write_bytes(content)
    return path


class Stop(Exception):
    """Stands for a kill."""


def stop_after(n: int):
    def progress(done: int, total: int) -> None:
        if done == n:
            raise Stop

    return progress


# Honest archives


@pytest.mark.parametrize(
    ("root", "tables"),
    [
        pytest.param("rvf10k/", "rvf10k/", id="csv-beside-the-splits"),
        pytest.param("rvf10k/", "", id="csv-at-the-top"),
        pytest.param("real_vs_fake/real-vs-fake/", "", id="two-leading-folders"),
        pytest.param("", "", id="no-leading-folder"),
    ],
)
def test_the_rvf10k_layout_lands_the_same_whatever_leads_to_it(tmp_path, root, tables):
    archive = write_zip(tmp_path / "a.zip", tiny_files(root, tables))
    seen = []
    dest = unpack(archive, tmp_path / "out", expected=TINY, progress=lambda done, total: seen.append((done, total)))
    found = tree(dest)
    del found[MARKER]
    assert found == tiny_files("", "")
    assert seen == [(i, 12) for i in range(1, 13)]


def test_a_finished_folder_returns_at_once(tmp_path):
    archive = write_zip(tmp_path / "a.zip", tiny_files())
    dest = unpack(archive, tmp_path / "out")
    assert unpack(archive, dest, expected=TINY, progress=stop_after(1)) == dest


def test_absent_csv_files_are_written_from_what_is_on_disk(tmp_path):
    files = {name: content for name, content in tiny_files().items() if not name.endswith("valid.csv")}
    archive = write_zip(tmp_path / "a.zip", files)
    dest = unpack(archive, tmp_path / "out")
    assert (dest / "train.csv").read_text() == CSV
    text = (dest / "valid.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert text.startswith(",id,path,label,label_str\n0,F0,valid/fake/F0.jpg,0,fake\n")
    assert [(row["path"], row["label"]) for row in rows[1:]] == [
        ("valid/fake/F1.jpg", "0"),
        ("valid/real/R0.jpg", "1"),
        ("valid/real/R1.jpg", "1"),
    ]
    (dest / "valid.csv").unlink()
    assert (unpack(archive, dest) / "valid.csv").read_text() == text


def test_class_folders_alone_land_as_class_folders(tmp_path):
    files = {"photos/cat/1.PNG": b"a", "photos/dog/1.png": b"b", "photos/dog/2.webp": b"c", "photos/readme.txt": b"d"}
    dest = unpack(write_zip(tmp_path / "a.zip", files), tmp_path / "out", expected={("", "cat"): 1, ("", "dog"): 2})
    assert set(tree(dest)) == {"cat/1.PNG", "dog/1.png", "dog/2.webp", MARKER}


def test_only_images_in_place_are_taken_and_the_rest_is_counted(tmp_path):
    extra = {"rvf10k/cover.jpg": b"x", "rvf10k/train/fake/notes.txt": b"x", "__MACOSX/train/fake/._F0.jpg": b"x"}
    dest = unpack(write_zip(tmp_path / "a.zip", tiny_files() | extra), tmp_path / "out", expected=TINY)
    assert json.loads((dest / MARKER).read_text())["left_out"] == 1
    assert not any("cover" in path or "notes" in path or "._" in path for path in tree(dest))


def test_the_same_file_twice_is_taken_once_and_different_files_are_refused(tmp_path):
    twice = tiny_files("a/") | {"b/train/fake/F0.jpg": tiny_files("")["train/fake/F0.jpg"]}
    unpack(write_zip(tmp_path / "a.zip", twice), tmp_path / "out", expected=TINY)
    archive = write_zip(tmp_path / "b.zip", tiny_files("a/") | {"b/train/fake/F0.jpg": b"other"})
    with pytest.raises(DataError, match=r"two different files for train/fake/F0\.jpg"):
        unpack(archive, tmp_path / "out2")


# Interrupted


@pytest.mark.parametrize("n", [1, 5, 12])
def test_interrupted_and_run_again_ends_in_the_same_tree(tmp_path, n):
    archive = write_zip(tmp_path / "a.zip", tiny_files())
    whole = tree(unpack(archive, tmp_path / "whole"))
    dest = tmp_path / "out"
    with pytest.raises(Stop):
        unpack(archive, dest, progress=stop_after(n))
    assert [path.name for path in dest.iterdir()] == [STAGING]  # nothing that could be taken for the data
    kept = dest / STAGING / "tree/train/fake/F0.jpg"
    before = kept.stat().st_mtime_ns
    unpack(archive, dest)
    assert tree(dest) == whole
    assert (dest / "train/fake/F0.jpg").stat().st_mtime_ns == before  # not extracted a second time


def test_a_kill_while_files_move_into_place_is_not_taken_for_whole(tmp_path, monkeypatch):
    archive = write_zip(tmp_path / "a.zip", tiny_files())
    whole = tree(unpack(archive, tmp_path / "whole"))
    dest, finish = tmp_path / "out", archives._finish

    def killed(*args: object) -> None:
        (dest / "train/fake/F1.jpg").write_bytes(b"half")
        (dest / "train/fake/F2.jpg").unlink()
        raise Stop

    monkeypatch.setattr(archives, "_finish", killed)
    with pytest.raises(Stop):
        unpack(archive, dest)
    assert not (dest / MARKER).exists()
    monkeypatch.setattr(archives, "_finish", finish)
    assert tree(unpack(archive, dest)) == whole


def test_a_staged_file_with_other_bytes_is_extracted_again(tmp_path):
    archive = write_zip(tmp_path / "a.zip", tiny_files())
    with pytest.raises(Stop):
        unpack(archive, tmp_path / "out", progress=stop_after(3))
    staged = next((tmp_path / "out").rglob("F1.jpg"))
    staged.write_bytes(b"?" * staged.stat().st_size)
    assert (unpack(archive, tmp_path / "out") / "train/fake/F1.jpg").read_bytes() == b"train fake 1" * 50


def test_a_finished_folder_that_lost_a_file_is_completed(tmp_path):
    archive = write_zip(tmp_path / "a.zip", tiny_files())
    dest = unpack(archive, tmp_path / "out")
    whole = tree(dest)
    (dest / "valid/real/R1.jpg").unlink()
    assert tree(unpack(archive, dest)) == whole


# Refused: nothing is written


def plain(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name)


def linked() -> zipfile.ZipInfo:
    member = zipfile.ZipInfo("train/fake/link.jpg")
    member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return member


def squeezed(method: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo("train/fake/big.jpg")
    member.compress_type = method
    return member


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        pytest.param(plain("../x.jpg"), b"x", "climbs out", id="climbing"),
        pytest.param(plain("train/../../x.jpg"), b"x", "climbs out", id="climbing-inside"),
        pytest.param(plain("/train/fake/x.jpg"), b"x", "absolute path", id="absolute"),
        pytest.param(plain("C:/train/fake/x.jpg"), b"x", "absolute path", id="drive"),
        pytest.param(plain("train\\fake\\x.jpg"), b"x", "backslash", id="backslash"),
        pytest.param(linked(), b"/etc/passwd", "is a link", id="symlink"),
        pytest.param(squeezed(zipfile.ZIP_DEFLATED), bytes(3 * 2**20), "more than 200 times", id="bomb-by-ratio"),
        pytest.param(squeezed(zipfile.ZIP_BZIP2), b"x", "unusual way", id="unusual-compression"),
    ],
)
def test_one_dangerous_member_refuses_the_whole_archive(tmp_path, member, content, message):
    archive = write_zip(tmp_path / "a.zip", tiny_files())
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(member, content)
    before = tree(tmp_path)
    with pytest.raises(DataError, match=message):
        unpack(archive, tmp_path / "out")
    assert tree(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_an_encrypted_member_is_refused(tmp_path):
    archive = patched(write_zip(tmp_path / "a.zip", tiny_files()), b"rvf10k/train/fake/F0.jpg", 8, b"\x01\x00")
    with pytest.raises(DataError, match="is encrypted"):
        unpack(archive, tmp_path / "out")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_BYTES", 2_000)
    with pytest.raises(DataError, match="above the limit"):
        unpack(write_zip(tmp_path / "a.zip", tiny_files()), tmp_path / "out")


@pytest.mark.parametrize("size", [10, 5_000], ids=["holds-more-than-declared", "holds-less-than-declared"])
def test_a_lying_size_is_caught_and_leaves_no_such_file(tmp_path, size):
    archive = write_zip(tmp_path / "a.zip", tiny_files())
    patched(archive, b"rvf10k/train/fake/F1.jpg", 24, size.to_bytes(4, "little"))
    with pytest.raises(DataError, match="not a whole zip archive"):
        unpack(archive, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("F1.jpg"))


def test_a_truncated_archive_says_to_download_it_again(tmp_path):
    archive = write_zip(tmp_path / "a.zip", tiny_files())
    archive.write_bytes(archive.read_bytes()[:-300])
    with pytest.raises(DataError, match=r"(?s)not a whole zip archive.*Download it again"):
        unpack(archive, tmp_path / "out")
    with pytest.raises(DataError, match="There is no file"):
        unpack(tmp_path / "none.zip", tmp_path / "out")


def test_an_archive_without_images_says_what_it_holds(tmp_path):
    with pytest.raises(DataError, match=r"holds no images; it holds: 2 \.txt, 1 \.csv"):
        unpack(write_zip(tmp_path / "a.zip", {"a.txt": b"", "b/b.txt": b"", "c.csv": b""}), tmp_path / "out")
    with pytest.raises(DataError, match=r"holds 1 images, but none in a class folder \(a\.jpg\)"):
        unpack(write_zip(tmp_path / "b.zip", {"a.jpg": b""}), tmp_path / "out")


def test_other_counts_than_expected_are_refused_with_both(tmp_path):
    archive = write_zip(tmp_path / "a.zip", tiny_files())
    with pytest.raises(DataError, match="train/fake: expected 4, found 3"):
        unpack(archive, tmp_path / "out", expected=TINY | {("train", "fake"): 4})
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_else_is_refused_with_what_to_type(tmp_path):
    archive = write_zip(tmp_path / "a.zip", tiny_files())
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.docx").touch()
    with pytest.raises(DataError, match=r"(?s)something else: thesis.docx.*seewhy data .*a.zip NEW_FOLDER"):
        unpack(archive, tmp_path / "out")
    with pytest.raises(DataError, match="is a file, not a folder"):
        unpack(archive, archive)
    dest = unpack(archive, tmp_path / "done")
    other = write_zip(tmp_path / "b.zip", tiny_files() | {"rvf10k/train/fake/F9.jpg": b"new"})
    with pytest.raises(DataError, match="already holds something else: train"):
        unpack(other, dest)


def test_a_foreign_image_among_the_unpacked_is_noticed(tmp_path):
    archive = write_zip(tmp_path / "a.zip", tiny_files())
    with pytest.raises(Stop):
        unpack(archive, tmp_path / "out", progress=stop_after(2))
    (tmp_path / "out/train/fake").mkdir(parents=True)
    (tmp_path / "out/train/fake/mine.jpg").touch()
    with pytest.raises(DataError, match="train/fake: expected 3, found 4"):
        unpack(archive, tmp_path / "out")


def test_too_little_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: usage(1, 1, 1_000))
    with pytest.raises(WorkError, match=r"GiB free\. Nothing was written"):
        unpack(write_zip(tmp_path / "a.zip", tiny_files()), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failed_write_says_how_to_go_on(tmp_path, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives, "_publish", full)
    with pytest.raises(WorkError, match=r"(?s)No space left on device.*Go on where it stopped:  seewhy data .*a\.zip"):
        unpack(write_zip(tmp_path / "a.zip", tiny_files()), tmp_path / "out")

"""Many images in little memory are the same images."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest

from seewhy.data.sources.folder import read_table
from seewhy.data.tables import packed
from seewhy.data.tables.packed import Packed, gathered, relabelled
from seewhy.records import Image
from seewhy.store import manifest

LOOKS = (None, "cat", "dög", "", "line\nbreak", 'a "quote"', "\udcff", "😀")


def _some(count: int, seed: int = 0) -> tuple[Image, ...]:
    chance = random.Random(seed)
    made = []
    for number in range(count):
        name = f"{chance.choice(LOOKS) or ''}/{number:06d}.png" if chance.random() < 0.9 else ""
        path = chance.choice([None, f"/data/photos/{name}", f"/elsewhere/{number}.png", name, f"s3://bucket/{name}"])
        cells = () if chance.random() < 0.5 else (chance.choice(["a", "ß", ""]), str(number % 3))
        words = [chance.choice(LOOKS) for _ in range(4)]
        made.append(Image(name, path, *words, cells))  # type: ignore[arg-type]
    return tuple(made)


@pytest.fixture
def _all_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "FROM", 1)


@pytest.mark.parametrize("count", [1, 2, 4095, 4096, 4097, 9000])
def test_what_is_packed_is_equal_by_every_way_to_look_at_it(_all_packed: None, count: int, tmp_path: Path) -> None:
    want = _some(count)
    made = gathered(iter(want))
    assert isinstance(made, Packed) and gathered(made) is made
    packed.write(made, tmp_path / "images.bin")
    packed.write(want, tmp_path / "tuple.bin")
    assert (tmp_path / "images.bin").read_bytes() == (tmp_path / "tuple.bin").read_bytes()
    for held in (made, packed.read(tmp_path / "images.bin")):
        assert len(held) == count and tuple(held) == want and held == want and want == held and held == made
        assert [held[place] for place in range(-count, count)] == [*want, *want]
        chance = random.Random(1)
        for _ in range(50):
            start, stop = (chance.choice([None, chance.randint(-count - 2, count + 2)]) for _ in range(2))
            step = chance.choice([None, 1, 2, -1, 7])
            assert held[start:stop:step] == want[start:stop:step]
        for place in (count, -count - 1):
            with pytest.raises(IndexError, match=f"of {count}"):
                held[place]
        assert hash(held) == hash(made)
        assert held != want[:-1] and held != (*want[:-1], Image("other")) and held != [*want]


def test_few_images_are_held_as_they_are() -> None:
    few = _some(50)
    assert gathered(iter(few)) == few and isinstance(gathered(iter(few)), tuple)
    assert isinstance(gathered(_some(packed.FROM)), Packed)


@pytest.mark.parametrize("is_packed", [True, False])
def test_labels_are_read_once_an_image(is_packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "FROM", 1 if is_packed else 10_000)
    seen: list[str | None] = []

    def read(label: str | None) -> str | None:
        seen.append(label)
        return label and label.upper()

    images = gathered(_some(5000))
    want = [image.label and image.label.upper() for image in images]
    made = relabelled(images, read)
    assert [image.label for image in made] == want and seen == [image.label for image in images]
    assert [image.id for image in made] == [image.id for image in images]


def test_an_image_costs_its_name_and_a_few_bytes() -> None:
    def images(count: int = 100_000) -> list[Image]:
        return [Image(f"cats/IMG_{n:08d}.jpg", f"/data/photos/cats/IMG_{n:08d}.jpg", "cats") for n in range(count)]

    sizes = []
    for hold in (tuple, gathered):
        tracemalloc.start()
        held = hold(images())
        sizes.append(tracemalloc.get_traced_memory()[0] / len(held))
        tracemalloc.stop()
    assert sizes[0] > 200 and sizes[1] < 50


def test_a_table_reads_the_same_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(12):
        path = tmp_path / "photos" / ("train", "valid")[number % 2] / f"c{number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "list.csv").write_text(
        "path,label,age\n" + "".join(f"{p.relative_to(tmp_path)},{n % 2},{n}\n" for n, p in enumerate(
            sorted((tmp_path / "photos").rglob("*.png"))))
    )  # fmt: skip
    for source in (tmp_path / "photos", tmp_path / "photos" / "train", tmp_path / "list.csv"):
        for given in ({}, {"limit": 5}, {"sample": 6, "seed": 3}):
            want = read_table(source, **given)
            with monkeypatch.context() as patched:
                patched.setattr(packed, "FROM", 1)
                found = read_table(source, **given)
                assert isinstance(found.images, Packed) and found == want and found.labels == want.labels
                if not given:
                    assert read_table(found).images is found.images, "what can be stored is not made again"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_digest_of_rows_is_that_of_their_list(count: int) -> None:
    rows = [[name, None, 1.5, {"b": 1, "a": "ü"}] for name in LOOKS[1 : count + 1]]
    assert manifest.digest_of_rows(iter(rows)) == manifest.digest_of(rows)

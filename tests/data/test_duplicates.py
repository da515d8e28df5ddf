"""Near duplicates: copies of a picture join, other aligned faces do not, and groups do not chain."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from scipy.fft import dct

from seewhy.data.pictures.duplicates import clusters_of, near_duplicates, perceptual_hashes
from seewhy.errors import DataError
from seewhy.planted.folder import LABELS, render, sample_face

Picture = PIL.Image.Image


def grey(picture: Picture) -> np.ndarray:
    return np.asarray(picture.convert("L"), dtype=np.float64) / 255


@cache
def planted() -> tuple[Picture, ...]:
    faces = (sample_face(7, number, LABELS[number % 2]) for number in range(300))
    return tuple(PIL.Image.fromarray(render(face, 64).image) for face in faces)


def jpeg(picture: Picture) -> Picture:
    buffer = io.BytesIO()
    picture.save(buffer, "jpeg", quality=50)
    return PIL.Image.open(buffer).convert("RGB")


def resized(picture: Picture) -> Picture:
    width, height = picture.size
    return picture.resize((int(width * 0.9), int(height * 0.9)), PIL.Image.BICUBIC).resize((width, height))


def moved(right: int, down: int) -> Callable[[Picture], Picture]:
    def move(picture: Picture) -> Picture:
        padded = np.pad(np.asarray(picture), ((2, 2), (2, 2), (0, 0)), mode="edge")
        height, width = np.asarray(picture).shape[:2]
        return PIL.Image.fromarray(padded[2 - down : 2 - down + height, 2 - right : 2 - right + width])

    return move


def brighter(picture: Picture) -> Picture:
    return PIL.Image.fromarray(np.clip(np.asarray(picture, dtype=int) + 20, 0, 255).astype(np.uint8))


def darker(picture: Picture) -> Picture:
    return PIL.Image.fromarray((np.asarray(picture) * 0.85).astype(np.uint8))


COPIES = {
    "jpeg 50": jpeg,
    "resized": resized,
    "right 1": moved(1, 0),
    "down 2": moved(0, 2),
    "left 2, down 2": moved(-2, 2),
    "right 2, up 1": moved(2, -1),
    "brighter": brighter,
    "darker": darker,
}


def joined(pictures: tuple[Picture, ...], change: Callable[[Picture], Picture]) -> tuple[float, int]:
    """The share of copies that join their original, and the number of joins of others."""
    n = len(pictures)
    found = near_duplicates(np.stack([grey(one) for one in (*pictures, *map(change, pictures))]))
    right = found[:n] == found[n:]
    return float(right.mean()), n - len(np.unique(found[:n]))


@pytest.mark.parametrize("name", COPIES)
def test_copies_of_drawn_faces_join_and_nothing_else_does(name: str) -> None:
    share, false = joined(planted()[:60], COPIES[name])
    assert share >= 0.98 and false == 0


@pytest.mark.parametrize("name", COPIES)
def test_copies_of_real_faces_join_and_nothing_else_does(name: str, shared: Path) -> None:
    files = sorted((shared / "rvf10k" / "valid").glob("*/*.jpg"))[::8]
    if not files:
        pytest.skip("rvf10k is not there")
    share, false = joined(tuple(PIL.Image.open(file).convert("RGB") for file in files), COPIES[name])
    assert share == 1 and false == 0


def test_three_hundred_drawn_faces_stay_apart() -> None:
    found = near_duplicates(np.stack([grey(one) for one in planted()]))
    assert len(np.unique(found)) == 300


def test_three_hundred_real_faces_stay_apart(shared: Path) -> None:
    files = sorted((shared / "rvf10k" / "valid").glob("*/*.jpg"))
    if not files:
        pytest.skip("rvf10k is not there")
    pictures = [PIL.Image.open(file).convert("L").reduce(2) for file in files]
    found = near_duplicates(np.stack([grey(one) for one in pictures]))
    assert len(np.unique(found)) == len(files)


def test_without_moved_windows_a_shift_parts_small_copies() -> None:
    pictures = planted()[:20]
    images = np.stack([grey(one) for one in (*pictures, *map(moved(2, 2), pictures))])
    assert len(np.unique(near_duplicates(images, most_shift=0))) == 40
    assert len(np.unique(near_duplicates(images))) == 20


def test_the_hash_is_the_sign_of_low_frequencies_against_their_median() -> None:
    image = np.random.default_rng(0).random((64, 96))
    small = image.reshape(32, 2, 32, 3).mean(axis=(1, 3))
    low = dct(dct(small, axis=0), axis=1)
    low[0] /= np.sqrt(2)  # orthonormal up to a common factor
    low[:, 0] /= np.sqrt(2)
    want = low[:16, :16].reshape(-1)[1:]
    assert (perceptual_hashes(image[None])[0] == (want > np.median(want))).all()


def test_gain_and_brightness_change_no_bit() -> None:
    images = np.random.default_rng(1).random((3, 50, 41))
    assert (perceptual_hashes(images) == perceptual_hashes(0.5 * images + 0.2)).all()


def test_a_part_of_a_pixel_counts_for_its_part() -> None:
    image = np.random.default_rng(2).random((1, 40, 48))
    fine = image.repeat(4, axis=1).repeat(2, axis=2)  # 160 x 96: whole pixels per stretch
    assert (perceptual_hashes(image) == perceptual_hashes(fine)).all()


def test_flat_images_are_each_others_duplicates() -> None:
    assert len(np.unique(near_duplicates(np.stack([np.full((48, 48), one) for one in (0.0, 0.3, 1.0)])))) == 1


def test_groups_are_the_connected_components_of_close_pairs() -> None:
    hashes = np.zeros((5, 20), dtype=bool)
    hashes[1, :2] = True
    hashes[2, :4] = True  # 2 from the one before, 4 from the first
    hashes[3, 10:] = True
    hashes[4, 11:] = True
    assert clusters_of(hashes, 2).tolist() == [0, 0, 0, 1, 1]
    assert clusters_of(hashes, 1).tolist() == [0, 1, 2, 3, 3]
    assert clusters_of(hashes, 0).tolist() == [0, 1, 2, 3, 4]


def test_pairs_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.random.default_rng(3).random((30, 64)) < 0.5
    hashes[29] = hashes[0]
    monkeypatch.setattr("seewhy.data.pictures.duplicates._BLOCK", 7)
    found = clusters_of(hashes, 2)
    assert found[29] == found[0] and len(np.unique(found)) == 29


def test_small_images_are_compared_without_moving() -> None:
    images = np.random.default_rng(4).random((3, 16, 16))
    assert len(np.unique(near_duplicates(images[[0, 1, 2, 0]]))) == 3


def test_a_window_that_leaves_the_image_is_refused() -> None:
    with pytest.raises(DataError, match=r"48 x 40 px have no window with a margin of 1 px that moves by \(2, 0\)"):
        perceptual_hashes(np.zeros((1, 48, 40)), margin=1, shift=(2, 0))

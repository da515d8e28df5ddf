"""Raw maps in zarr: group method/layer/score, one float32 array (N, H, W), one chunk per shard, NaN where none is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from seewhy.store.manifest import digest_of

_LONGEST = 240  # of a name in maps.zarr; most file systems take 255 bytes
_CHECKSUM = 4  # bytes behind each chunk

Maps = NDArray[np.float32]  # (N, H, W)


def load() -> Any:
    """The package zarr, which is large, and which nothing needs that has no folder."""
    import_module("zarr.codecs")
    return import_module("zarr")


def create_maps(folder: Path, key: tuple[str, str, str], n_images: int, grid: tuple[int, int], shard: int) -> None:
    """Make the array of (method, layer, score) in maps.zarr, or bring the one that is there to `n_images` rows."""
    zarr = load()
    root = zarr.open_group(folder / "maps.zarr", mode="a", zarr_format=3)
    name = array_name(key)
    method, layer, _ = name.split("/")
    for group in (method, f"{method}/{layer}"):  # zarr writes an array and its groups at once, so a kill can part them
        root.require_group(group)
    if name not in root:
        root.create_array(
            name,
            shape=(n_images, *grid),
            chunks=(shard, *grid),
            dtype="float32",
            compressors=(  # lz4 takes half of zstd's time, and saves as much
                zarr.codecs.BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle", typesize=4),
                zarr.codecs.Crc32cCodec(),
            ),
            config={"write_empty_chunks": True},  # so that a chunk that is missing is known to be lost
            fill_value=float("nan"),
            dimension_names=("image", "y", "x"),
            attributes=dict(zip(("method", "layer", "score"), key, strict=True)),
        )
    elif (array := _array(folder, key)).shape[0] != n_images:
        array.resize((n_images, *grid))


def write_maps(folder: Path, key: tuple[str, str, str], start: int, maps: Maps) -> None:
    """Write maps (n, H, W) at rows start to start + n, whole chunks of them."""
    _array(folder, key)[start : start + len(maps)] = maps


def read_maps(folder: Path, key: tuple[str, str, str]) -> Maps:
    """All maps of (method, layer, score): (N, H, W) float32, NaN where there is none."""
    return np.asarray(_array(folder, key)[:], dtype=np.float32)


def read_chunks(folder: Path, key: tuple[str, str, str]) -> Iterator[tuple[int, Maps]]:
    """The maps shard by shard: (first row, (n, H, W)), so that memory stays flat."""
    array = _array(folder, key)
    step = array.chunks[0]
    for start in range(0, array.shape[0], step):
        yield start, np.asarray(array[start : start + step], dtype=np.float32)


def read_rows(folder: Path, key: tuple[str, str, str], start: int, stop: int) -> Maps:
    """The maps of some rows: (n, H, W)."""
    return np.asarray(_array(folder, key)[start:stop], dtype=np.float32)


def read_map(folder: Path, key: tuple[str, str, str], row: int) -> NDArray[np.float32]:
    """One map (H, W)."""
    return np.asarray(_array(folder, key)[row], dtype=np.float32)


def grid_of(folder: Path, key: tuple[str, str, str]) -> tuple[int, int]:
    """The (height, width) of the maps."""
    height, width = _array(folder, key).shape[1:]
    return height, width


def array_name(key: tuple[str, str, str]) -> str:
    """The path of an array inside maps.zarr; names that hold slashes or odd characters are percent-encoded.

    A name that would be too long for a file system loses its end to a hash; the array's attributes hold it in full.
    """
    return "/".join(_quoted(part) for part in key)


def is_whole(folder: Path, key: tuple[str, str, str], shard: int) -> bool:
    """Whether the maps of a shard are on the disk as they were written; reads the file alone, and starts no thread."""
    home = folder / "maps.zarr" / array_name(key)
    try:
        codecs = json.loads((home / "zarr.json").read_bytes())["codecs"]
        chunk = (home / "c" / str(shard) / "0" / "0").read_bytes()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if not any(codec["name"] == "crc32c" for codec in codecs):  # written before there were checksums
        return len(chunk) > 0
    return len(chunk) > _CHECKSUM and google_crc32c.value(chunk[:-_CHECKSUM]) == int.from_bytes(
        chunk[-_CHECKSUM:], "little"
    )


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left half-written in maps.zarr, and descriptions that a loss of power emptied."""
    for path in (folder / "maps.zarr").rglob("*"):
        if path.is_file() and (path.suffix == ".partial" or (path.name == "zarr.json" and not _parses(path))):
            path.unlink()


def _parses(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except ValueError:
        return False


def _quoted(part: str) -> str:
    encoded = quote(part, safe=" +@:,()")
    if len(encoded) > _LONGEST:
        return f"{encoded[: _LONGEST - 17]}~{digest_of(part)}"
    return encoded.replace(".", "%2E") if encoded in (".", "..", "zarr.json") else encoded  # these mean other things


def _array(folder: Path, key: tuple[str, str, str]) -> Any:
    return load().open_array(folder / "maps.zarr", path=array_name(key), mode="r+")

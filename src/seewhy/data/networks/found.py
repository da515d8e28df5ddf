"""A network as its source gives it: with what the source knows of preprocessing, classes, task and inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from seewhy.data.formats.missing import nearest_paths
from seewhy.data.pipelines.processors import UnfitProcessorError
from seewhy.errors import ModelError
from seewhy.records import Task

Dims = tuple[int | None, ...]  # None where a file allows any number


@dataclass(frozen=True)
class Takes:
    """What a network from a file takes: inputs by name, in order, with their shapes; `picture` is the images' one.

    `keywords` are the names of those that are given by keyword.
    """

    inputs: Mapping[str, Dims]
    picture: str
    keywords: Mapping[str, str] = field(default_factory=dict)

    @property
    def others(self) -> list[str]:
        """The inputs beside the picture."""
        return [name for name in self.inputs if name != self.picture]

    @property
    def batch(self) -> int | None:
        """How many pictures at once the file names, None for any number."""
        return self.inputs[self.picture][0]

    @property
    def channels(self) -> int | None:
        """How many channels the picture has, None where the file does not say."""
        return self.inputs[self.picture][1]

    @property
    def size(self) -> tuple[int, int] | None:
        """The (height, width) of the picture, None where the file does not say."""
        height, width = self.inputs[self.picture][2:]
        return None if height is None or width is None else (height, width)

    def said(self, name: str) -> str:
        """An input with its shape, as in age (N, 1)."""
        return f"{name} ({', '.join('N' if size is None else str(size) for size in self.inputs[name])})"

    def preprocess(self) -> dict[str, Any] | None:
        """The fields of Preprocess that the picture's shape decides."""
        fields: dict[str, Any] = {"size": self.size} if self.size else {}
        return {**fields, **({"channels": "grey"} if self.channels == 1 else {})} or None


@dataclass
class Found:
    """A network, where it came from, and what its source knows of its preprocessing, classes and task.

    `preprocess` is as the source has it, `title` its name in words; `trouble` is raised where nothing replaces it.
    `takes` and `program` are of networks that are files themselves: their inputs, and a hash of the files.
    """

    model: nn.Module
    source: str
    preprocess: Any = None
    title: str = ""
    trouble: UnfitProcessorError | None = None
    classes: tuple[str, ...] | None = None
    task: Task | None = None
    has_weights: bool = False
    notes: tuple[str, ...] = ()
    takes: Takes | None = None
    program: str = ""


def check_there(path: Path, pattern: str) -> None:
    """Raise ModelError with the nearest names where a file is not there, or no regular one."""
    if not path.exists():
        raise ModelError(f"There is no file {path}.  {nearest_paths(path, pattern)}", slug="no-such-file")
    if not path.is_file():
        raise ModelError(f"{path} is no regular file.", slug="no-such-file")


def digest_of_files(paths: Iterable[Path]) -> str:
    """A hash of what files hold, in this order."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest())
    return digest.hexdigest()

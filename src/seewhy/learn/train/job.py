"""A training under way, and the randomness of its steps."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from seewhy.data.networks.classifier import Classifier
from seewhy.data.reader import Loaded
from seewhy.learn.train.history import EpochWatch
from seewhy.learn.train.splits import Splits
from seewhy.learn.train.with_exchange import TrainingExchange
from seewhy.records import Progress
from seewhy.run.first_pass import first_input


@dataclass
class TrainingJob:
    """A training under way; `identity` is what a resumed one must share, `done` and `total` count images."""

    classifier: Classifier  # with a network of our own
    splits: Splits
    batch_size: int
    rate: float
    seed: int
    folder: Path
    identity: dict[str, str]
    notes: list[str]
    optimizer: torch.optim.Optimizer
    report: Progress
    watch: EpochWatch | None = None
    exchange: TrainingExchange | None = None
    kept: dict[str, Loaded] = field(default_factory=dict)
    content: str = ""  # a hash of all images as they were read
    total: int = 0
    done: int = 0

    @cached_property
    def canvas(self) -> tuple[int, int]:
        """The input's (height, width), as the first image has it."""
        height, width = first_input(self.classifier, self.splits.table).shape[2:]
        return height, width

    def advance(self, count: int) -> None:
        """Report so many more images as done."""
        self.done = min(self.done + count, self.total)
        self.report(self.done, self.total)


def batches_of(n_images: int, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The places of the images in each batch of an epoch: a shuffle that depends on nothing but the arguments.

    A last batch of a single image is joined to the one before, since batch norm cannot train on it.
    """
    order = torch.randperm(n_images, generator=dice_of(seed, f"epoch {epoch}")).tolist()
    batches = [order[start : start + batch_size] for start in range(0, n_images, batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1 < batch_size:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches


def dice_of(seed: int, step: str) -> torch.Generator:
    """A generator for one step that nothing else draws from."""
    return torch.Generator().manual_seed(_number(seed, step))


def settle(seed: int, step: str, device: torch.device) -> None:
    """Begin a step with random states that depend only on the seed and the step; the caller puts the old ones back."""
    random.seed(_number(seed, step))
    np.random.seed(_number(seed, step) % 2**32)  # noqa: NPY002 -- which the network's own code may ask
    torch.default_generator.manual_seed(_number(seed, step))
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(_number(seed, step))


def _number(seed: int, step: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed} {step}".encode(), digest_size=7).digest())

"""A portion of a run's shards, for one of several processes that share its folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from seewhy.errors import OptionError

Piece = TypeVar("Piece")
_MOST = 100_000  # processes


@dataclass(frozen=True)
class Portion:
    """Every `count`-th shard of a plan from the `number`-th on; numbers count from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, shards: Sequence[Piece]) -> list[Piece]:
        """The shards of this portion, in order; none where there are fewer shards than portions."""
        return list(shards[self.number - 1 :: self.count])


def portion_of(text: str | None) -> Portion | None:
    """The portion that 3/16 names. Raises OptionError where it names none."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text, flags=re.ASCII)
    if match is None:
        raise OptionError(f"--shard is {text!r}, but must look like 3/16: which of how many processes this one is.")
    number, count = map(int, match.groups())
    if not 1 <= number <= count <= _MOST:
        counted_from_0 = "\n  Of a rank that counts from 0:  --shard $((RANK + 1))/$WORLD_SIZE" if number == 0 else ""
        raise OptionError(
            f"--shard is {text}, but of {count} shards there are 1/{count} to {count}/{count}.{counted_from_0}"
            if 1 <= count <= _MOST
            else f"--shard is {text}, but a run is done by 1 to {_MOST:,} processes."
        )
    return Portion(number, count)

"""An output of a layer seen as features on places."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from seewhy.errors import OptionError

Layout = Literal["channels-first", "channels-last", "tokens"]

Shape = tuple[int, ...]
Size = tuple[int, int]


@dataclass(frozen=True)
class Grid:
    """A layer's raw output as features (N, C, height, width).

    Raw outputs are (N, C, H, W) "channels-first", (N, H, W, C) "channels-last", or (N, T, C) "tokens": `skipped`
    special tokens (class, distillation, registers) in front of height x width spatial ones, row by row. Of a volume
    they have an axis of so many `slices` in front of the places; seen are those one below the other, `height` rows in
    all, so that whatever weighs and adds up places does so over all slices.
    """

    height: int
    width: int
    layout: Layout = "channels-first"
    skipped: int = 0
    slices: int = 0

    @property
    def channel_axis(self) -> int:
        """Which axis of the raw output holds the channels."""
        return {"channels-first": 1, "channels-last": 4 if self.slices else 3, "tokens": 2}[self.layout]

    def view(self, raw: Tensor) -> Tensor:
        """The features (N, C, height, width) in a raw output, without a copy but for slices with channels last."""
        if self.slices:
            return (raw if self.channel_axis == 1 else raw.movedim(4, 1)).flatten(2, 3)
        if self.layout == "channels-first":
            return raw
        if self.layout == "channels-last":
            return raw.permute(0, 3, 1, 2)
        spatial = raw[:, self.skipped : self.skipped + self.height * self.width]
        return spatial.transpose(1, 2).reshape(len(raw), raw.shape[2], self.height, self.width)

    def __str__(self) -> str:
        """As it is said and written in tables: "14 x 14 tokens after 1"."""
        after = f" after {self.skipped}" if self.skipped else ""
        slices = f"{self.slices} x {self.height // self.slices}" if self.slices else f"{self.height}"
        return f"{slices} x {self.width}" + ("" if self.layout == "channels-first" else f" {self.layout}{after}")


AS_IT_IS = Grid(0, 0)  # an output (N, C, H, W) of any size


def read_grid(text: str, shape: Sequence[int]) -> Grid:
    """The grid that a user names for an output of this shape: "14x14", "channels-last", "7x7 channels-first".

    "14x14" is height x width; special tokens are those in front that are left over. Raises OptionError.
    """
    said = re.fullmatch(r"\s*(?:(\d+)\s*[x×]\s*(\d+))?[\s,]*(channels-first|channels-last|tokens)?\s*", text.lower())
    if said is None or not text.strip():
        raise OptionError(
            f"{text!r} is no grid.  Name height x width, or where the channels are:  --grid 14x14, "
            "--grid channels-last, --grid channels-first",
            slug="grid",
        )
    size = (int(said[1]), int(said[2])) if said[1] else None
    fitting = [grid for grid in _possible(tuple(shape), size) if said[3] in (None, grid.layout)]
    if len(fitting) == 1:
        return fitting[0]
    both = "fits it in two ways" if fitting else "does not fit it"
    raise OptionError(f"The layer gives shape {tuple(shape)}, and {text!r} {both}.\n  {_advice(shape)}", slug="grid")


def _possible(shape: Shape, size: Size | None) -> Iterator[Grid]:
    if len(shape) == 4:
        if size in (None, shape[2:]):
            yield Grid(shape[2], shape[3])
        if size in (None, shape[1:3]):
            yield Grid(shape[1], shape[2], "channels-last")
    elif len(shape) == 3 and size and min(size) > 0 and shape[1] - size[0] * size[1] >= 0:
        yield Grid(*size, "tokens", shape[1] - size[0] * size[1])


def _advice(shape: Sequence[int]) -> str:
    if len(shape) == 4:
        return "Say where its channels are:  --grid channels-first  or  --grid channels-last"
    if len(shape) == 3:
        side = int(shape[1] ** 0.5)
        return f"Name height x width of its spatial tokens; the rest in front is left out:  --grid {side}x{side}"
    return "Features have places as (N, C, H, W), (N, H, W, C) or (N, T, C).  See them:  seewhy layers --model …"

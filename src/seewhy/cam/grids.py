"""How a layer's raw output is seen as features on places."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from seewhy.errors import LayerError, OptionError

if TYPE_CHECKING:
    from seewhy.cam.calls import Call

Layout = Literal["channels-first", "channels-last", "tokens"]
Shape = tuple[int, ...]
Size = tuple[int, int]
MOST_SPECIAL = 16  # special tokens in front: a class token, a distillation token, registers


@dataclass(frozen=True)
class Grid:
    """A layer's raw output as features (N, C, height, width).

    Raw outputs are (N, C, H, W) "channels-first", (N, H, W, C) "channels-last", or (N, T, C) "tokens": `skipped`
    special tokens (class, distillation, registers) in front of height x width spatial ones, row by row.
    """

    height: int
    width: int
    layout: Layout = "channels-first"
    skipped: int = 0

    @property
    def channel_axis(self) -> int:
        """Which axis of the raw output holds the channels."""
        return {"channels-first": 1, "channels-last": 3, "tokens": 2}[self.layout]

    def view(self, raw: Tensor) -> Tensor:
        """The features (N, C, height, width) in a raw output, without a copy."""
        if self.layout == "channels-first":
            return raw
        if self.layout == "channels-last":
            return raw.permute(0, 3, 1, 2)
        spatial = raw[:, self.skipped : self.skipped + self.height * self.width]
        return spatial.transpose(1, 2).reshape(len(raw), raw.shape[2], self.height, self.width)

    def __str__(self) -> str:
        """As it is said and written in tables: "14 x 14 tokens after 1"."""
        after = f" after {self.skipped}" if self.skipped else ""
        return f"{self.height} x {self.width}" + ("" if self.layout == "channels-first" else f" {self.layout}{after}")


def grid_of(call: Call, calls: Sequence[Call], input_shape: Sequence[int]) -> Grid:
    """How one call's output is seen as a grid, inferred from the whole pass over an input (N, C, H, W).

    Raises LayerError with the output's shape and the option that settles it.
    """
    place = next(place for place, one in enumerate(calls) if one is call)
    found = grids_of(calls, tuple(input_shape))[place]
    if found is not None:
        return found
    raise LayerError(
        f"Layer {call.name!r} gives shape {call.shape}, in which no grid of places can be inferred for an input of "
        f"{input_shape[3]} x {input_shape[2]} pixels.\n  {_advice(call.shape)}",
        slug="layer-without-grid",
    )


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


def grids_of(calls: Sequence[Call], input_shape: Shape) -> list[Grid | None]:
    """The grid of every call of one pass over an input (N, C, H, W), None where none can be inferred.

    Convolutions and pools that read neighbouring places show the sizes that occur. Any other output must have one of
    these, or a halving of it, and its channels where its own kind, or a call that reads or gives the same shape, proves
    them to be. So attention weights (N, heads, T, T) and (N, C, T) sequences are no grids.
    """
    if len(input_shape) != 4:
        return [None] * len(calls)
    n_images = input_shape[0]
    seen = _seen(calls, n_images)
    known = _Known(seen, _halvings(seen), (input_shape[2], input_shape[3]))
    axes = _proven(calls)
    return [_inferred(call, known, axes) if call.shape[:1] == (n_images,) else None for call in calls]


@dataclass(frozen=True)
class _Known:
    """Which grid sizes occur: seen in the pass, halvings of these, or, where none was seen, parts of the input."""

    seen: tuple[Size, ...]
    halved: tuple[Size, ...]
    image: Size

    def __contains__(self, size: Size) -> bool:
        if min(size) < 2:
            return False
        return size in self.seen or size in self.halved or (not self.seen and self._divides(size))

    def _divides(self, size: Size) -> bool:
        """Whether the input, cut into square patches, has this many."""
        (height, width), (rows, columns) = self.image, size
        return height % rows == 0 and width % columns == 0 and height // rows == width // columns

    def tokens(self, length: int) -> Grid | None:
        """The grid for this many tokens that leaves the fewest special ones in front."""
        sizes = [(size, MOST_SPECIAL) for size in reversed(self.seen)]
        sizes += [(size, 2) for size in self.halved]
        if not self.seen:
            height, width = self.image
            patches = (p for p in range(2, min(self.image) // 2 + 1) if height % p == width % p == 0)
            sizes += [((height // p, width // p), MOST_SPECIAL) for p in patches]
        found = [
            Grid(rows, columns, "tokens", length - rows * columns)
            for (rows, columns), most in sizes
            if min(rows, columns) > 1 and 0 <= length - rows * columns <= min(most, rows * columns)
        ]
        return min(found, key=lambda grid: grid.skipped, default=None)


def _inferred(call: Call, known: _Known, axes: dict[Shape, set[int]]) -> Grid | None:
    shape = call.shape
    proven = {call.axis} if call.axis is not None else axes.get(shape, set())
    if len(shape) == 3:
        return known.tokens(shape[1]) if proven == {2} else None
    if len(shape) != 4:
        return None
    first, last = (shape[2], shape[3]), (shape[1], shape[2])
    if call.moves and min(first) > 1:
        return Grid(*first)
    if not proven and call.has_parameters:  # what it is made of is not to be seen: functional code
        proven = {axis for axis, size in ((1, first), (3, last)) if size in known}
    if proven == {1} and first in known:
        return Grid(*first)
    if proven == {3} and last in known:
        return Grid(*last, "channels-last")
    return None


def _seen(calls: Iterable[Call], n_images: int) -> tuple[Size, ...]:
    """The grids that modules which read neighbouring places gave or read, the latest last."""
    sizes: dict[Size, None] = {}
    for call in calls:
        if not call.moves:
            continue
        for shape in (call.input_shape, call.shape):
            if len(shape) == 4 and shape[0] == n_images and min(shape[2:]) > 1:
                sizes[shape[2], shape[3]] = None
    return tuple(sizes)


def _halvings(seen: Iterable[Size]) -> tuple[Size, ...]:
    sizes: dict[Size, None] = {}
    for size in seen:
        up = down = size
        while min(up) > 2:
            up, down = (-(-up[0] // 2), -(-up[1] // 2)), (down[0] // 2, down[1] // 2)
            sizes |= {up: None, down: None}
    return tuple(sizes)


def _proven(calls: Iterable[Call]) -> dict[Shape, set[int]]:
    """Where the channels are in tensors of a shape, as the modules say that read or give them."""
    axes: dict[Shape, set[int]] = {}
    for call in calls:
        for shape, axis in ((call.input_shape, call.input_axis), (call.shape, call.axis)):
            if axis is not None:
                axes.setdefault(shape, set()).add(axis)
    return axes


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

"""How a layer's raw output is seen as features on places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seewhy.cam.grid import Grid, Layout, Shape, Size, _advice
from seewhy.errors import LayerError

MOST_SPECIAL = 16  # special tokens in front: a class token, a distillation token, registers


@dataclass(frozen=True)
class Call:
    """One run of one module, in the order in which they finish; shapes are those of its first tensors.

    `input_axis` and `axis` are where its kind proves the channels to be, in what it reads and in what it gives; `moves`
    says that it reads neighbouring places, which proves that there are some. `hands_on` marks dropout, identities and
    reshapes, `can_capture` an output that is a tensor, a tuple or a list. `grid` is None where none can be inferred.
    """

    name: str
    kind: str
    input_shape: tuple[int, ...]
    shape: tuple[int, ...]
    has_parameters: bool
    is_pool: bool
    is_linear: bool
    input_axis: int | None = None
    axis: int | None = None
    moves: bool = False
    hands_on: bool = False
    can_capture: bool = True
    grid: Grid | None = None


def grid_of(call: Call, input_shape: Sequence[int]) -> Grid:
    """How the output of a traced call over an input (N, C, H, W) is seen as a grid.

    Raises LayerError with the output's shape and the option that settles it, where none was inferred.
    """
    if call.grid is not None:
        return call.grid
    raise LayerError(
        f"Layer {call.name!r} gives shape {call.shape}, in which no grid of places can be inferred for an input of "
        f"{input_shape[-1]} x {input_shape[-2]} pixels.\n  {_advice(call.shape)}",
        slug="layer-without-grid",
    )


def grids_of(calls: Sequence[Call], input_shape: Shape) -> list[Grid | None]:
    """The grid of every call of one pass over an input (N, C, [T,] H, W), None where none can be inferred.

    Convolutions and pools that read neighbouring places show the sizes that occur. Any other output must have one of
    these, or a halving of it, and its channels where its own kind, or a call that reads or gives the same shape, proves
    them to be. So attention weights (N, heads, T, T) and (N, C, T) sequences are no grids.
    """
    n_images = input_shape[0]
    if len(input_shape) == 5:
        axes = _proven(calls)
        return [_of_volume(call, axes) if call.shape[:1] == (n_images,) else None for call in calls]
    if len(input_shape) != 4:
        return [None] * len(calls)
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
        grids = [
            Grid(rows, columns, "tokens", length - rows * columns)
            for (rows, columns), most in sizes
            if min(rows, columns) > 1 and 0 <= length - rows * columns <= min(most, rows * columns)
        ]
        return min(grids, key=lambda grid: grid.skipped, default=None)


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


def _of_volume(call: Call, axes: dict[Shape, set[int]]) -> Grid | None:
    """The grid of an output (N, C, T, H, W) or (N, T, H, W, C) whose channels are proven, with more than one place."""
    proven = {call.axis} if call.axis is not None else axes.get(call.shape, set())
    if len(call.shape) != 5 or proven not in ({1}, {4}):
        return None
    slices, rows, columns = call.shape[2:] if proven == {1} else call.shape[1:4]
    layout: Layout = "channels-first" if proven == {1} else "channels-last"
    return Grid(slices * rows, columns, layout, slices=slices) if slices * rows * columns > 1 else None


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

"""Boxes on a grid of sixteenths of the picture: what a search for places cuts them into, and what they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

GRID = 16  # units along each side of the picture
RINGS = (1, 2, 3)  # units: how wide the frames are that a search begins with


@dataclass(frozen=True)
class Box:
    """Rows `top` to `bottom` and columns `left` to `right`, ends left out, in sixteenths of the picture.

    With `ring` only what is within so many sixteenths of the box's edge.
    """

    top: int = 0
    bottom: int = GRID
    left: int = 0
    right: int = GRID
    ring: int = 0

    @property
    def area(self) -> float:
        """The share of the picture, 0 to 1."""
        height, width = self.bottom - self.top, self.right - self.left
        inside = max(0, height - 2 * self.ring) * max(0, width - 2 * self.ring) if self.ring else 0
        return (height * width - inside) / GRID**2

    def mask(self, height: int, width: int) -> Tensor:
        """The box as a mask (1, H, W) of 0 and 1."""
        mask = torch.zeros(1, height, width)
        rows, columns = _pixels(self.top, self.bottom, height), _pixels(self.left, self.right, width)
        mask[:, rows, columns] = 1
        if self.ring:
            inner = Box(self.top + self.ring, self.bottom - self.ring, self.left + self.ring, self.right - self.ring)
            mask -= inner.mask(height, width)
        return mask

    def halves(self) -> list[Box]:
        """Half of the height, or of the width, at its beginning, in the middle and at its end."""
        boxes = []
        for low, high in (("top", "bottom"), ("left", "right")):
            start, stop = getattr(self, low), getattr(self, high)
            side = stop - start
            half = -(-side // 2)
            places = {start, start + (side - half) // 2, stop - half} if half < side else set()
            boxes += [replace(self, **{low: place, high: place + half}) for place in sorted(places)]
        return boxes

    def quarters(self) -> list[Box]:
        """Half of the height and half of the width, at nine places."""
        heights = [half for half in self.halves() if half.bottom - half.top < self.bottom - self.top]
        return [
            quarter
            for half in heights
            for quarter in half.halves()
            if quarter.bottom - quarter.top == half.bottom - half.top
        ]

    def trimmed(self) -> list[Box]:
        """Without a quarter of its height, or of its width, at either end; one unit at least."""
        return self._cut(lambda side: max(1, side // 4))

    def trimmed_by_one(self) -> list[Box]:
        """Without a row, or a column, of units at either end."""
        return self._cut(lambda side: 1)

    def grown(self, within: Box) -> Box:
        """One unit larger on every side, but not beyond another box."""
        return Box(
            max(self.top - 1, within.top),
            min(self.bottom + 1, within.bottom),
            max(self.left - 1, within.left),
            min(self.right + 1, within.right),
        )

    def _cut(self, amount: Callable[[int], int]) -> list[Box]:
        boxes = []
        for low, high in (("top", "bottom"), ("left", "right")):
            start, stop = getattr(self, low), getattr(self, high)
            cut = amount(stop - start)
            if cut < stop - start:
                boxes += [replace(self, **{low: start + cut}), replace(self, **{high: stop - cut})]
        return boxes

    @property
    def words(self) -> str:
        """Where it lies, and how large it is: "top-right, 25 x 19 % of the picture"."""
        if self == Box():
            return "all of the picture but the core"
        if self.ring:
            return f"the frame, {100 * self.ring / GRID:.0f} % of each side wide"
        height, width = self.bottom - self.top, self.right - self.left
        return f"{self.place}, {100 * height / GRID:.0f} x {100 * width / GRID:.0f} % of the picture"

    @property
    def place(self) -> str:
        """In a word or two where it lies: "top-right", "left", "middle"."""
        row = _third(self.top, self.bottom, ("top", "", "bottom"))
        column = _third(self.left, self.right, ("left", "", "right"))
        return "-".join(filter(None, (row, column))) or "middle"


def _pixels(start: int, stop: int, side: int) -> slice:
    return slice(round(side * start / GRID), round(side * stop / GRID))


def _third(start: int, stop: int, words: tuple[str, str, str]) -> str:
    if stop - start > GRID // 2:
        return ""
    middle = (start + stop) / 2 / GRID
    return words[0] if middle < 0.4 else words[2] if middle > 0.6 else words[1]

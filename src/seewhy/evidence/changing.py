"""Edits of some of the canvases of a batch; the others stay as they are."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def where_chosen(canvases: Tensor, chosen: Tensor, edit: Callable[[Tensor], Tensor]) -> Tensor:
    """New canvases (N, ...): those that are chosen (N,) edited, the others copied.

    `edit` gets the rows (M,) of the chosen ones and gives their results (M, ...); it is not called for none.
    """
    rows = chosen.nonzero()[:, 0]
    if len(rows) == len(canvases):
        return edit(rows)
    edited = canvases.clone()
    return edited.index_copy_(0, rows, edit(rows)) if len(rows) else edited

"""Trials in the order of their jobs, whoever makes them and in whatever order that gets done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from seewhy.evidence.trials.trial import Trials


def in_order(
    indices: Sequence[int], before_hand: Callable[[int], Trials | None], new_trials: Iterator[Trials]
) -> Iterator[Trials]:
    """Each job's trials, from an earlier try or made now; what makes them is run to its end, and can clean up."""
    for index in indices:
        earlier = before_hand(index)
        yield next(new_trials) if earlier is None else earlier
    if next(new_trials, None) is not None:
        raise RuntimeError("more trials were made than jobs asked for")


def once_there(
    indices: Sequence[int], read: Callable[[int], Trials | None], missing: Sequence[int], done: Iterator[int]
) -> Iterator[Trials]:
    """Each job's trials as soon as their part is there; others do those that are missing, and say which are done."""
    left = set(missing)
    for index in indices:
        while index in left:
            left.discard(next(done))
        if (trials := read(index)) is None:
            raise RuntimeError(f"job {index} was said to be done, but its part is not there")
        yield trials
    if next(done, None) is not None:
        raise RuntimeError("more jobs were done than were asked for")

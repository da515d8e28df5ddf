"""Trials come in the order of their jobs, whoever makes them and whenever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from seewhy.evidence.trials.order import in_order, once_there


def test_what_others_do_in_any_order_comes_in_the_order_of_the_jobs() -> None:
    there = {3: "three"}  # of an earlier try

    def done() -> Iterator[int]:
        for index in (5, 2, 4):
            there[index] = str(index)
            yield index

    parts: Any = there.get
    found = once_there([2, 3, 4, 5], parts, [2, 4, 5], done())
    assert next(found) == "2" and 4 not in there, "it is given as soon as it is there"
    assert list(found) == ["three", "4", "5"]


@pytest.mark.parametrize(
    ("done", "match"), [([1], "job 2 was said to be done"), ([1, 2, 7], "more jobs")], ids=["no-part", "one-more"]
)
def test_a_part_that_is_not_there_and_a_job_too_many_are_errors(done: list[int], match: str) -> None:
    parts: Any = {1: "one", 2: "two"}.get if len(done) > 1 else {1: "one"}.get
    with pytest.raises(RuntimeError, match=match):
        list(once_there([1, 2], parts, done, iter(done)))


def test_what_is_made_here_is_put_between_what_was_there() -> None:
    parts: Any = {1: "one"}.get
    made: Any = iter(["zero", "two"])
    assert list(in_order([0, 1, 2], parts, made)) == ["zero", "one", "two"]
    more: Any = iter(["another"])
    with pytest.raises(RuntimeError, match="more trials were made"):
        list(in_order([1], parts, more))

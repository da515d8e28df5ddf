"""The command killed at random moments, again and again: finished shards stay, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from benchmarks.kills import MOST_LOST, Losses, kill_often, new_trial

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no process groups")


def assert_kept(losses: Losses, kills: int) -> None:
    assert losses.kills == len(losses.lost) == kills
    assert losses.touched == []
    assert losses.differing == []
    assert 0 < max(losses.lost) <= MOST_LOST, losses.lost


def test_a_killed_command_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    assert_kept(kill_often(new_trial(tmp_path, images=184), kills=5), 5)


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path) -> None:
    assert_kept(kill_often(new_trial(tmp_path, images=184), kills=200, seed=1), 200)

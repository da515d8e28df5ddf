"""Words of looks: not by chance, and not of pictures that were not seen."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn groups the maps, which is not there")

import seewhy
from seewhy.evidence.trends.groups import LOOKS, MAPS
from seewhy.evidence.trends.looks import PLAIN, in_words, least_deviation, standardized
from tests.evidence.trends.drawn import CORNERS, draw, explained

NOTHING = "nothing that stands out there"


@pytest.mark.parametrize(("n", "n_all"), [(8, 60), (12, 60), (20, 60), (10, 200)])
def test_a_group_by_chance_seldom_has_a_look(n: int, n_all: int) -> None:
    random, least = np.random.default_rng(0), least_deviation(n, n_all)
    drawn = (standardized(random.normal(size=(n_all, 6)))[:n].mean(axis=0) for _ in range(1000))
    said = np.mean([in_words(deviations, least) != NOTHING for deviations in drawn])
    assert said < 0.07  # 5 % but for the draws
    assert least_deviation(n_all, n_all) == least_deviation(500, 1000) == PLAIN


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of forty-eight pictures in two corners."""
    home = tmp_path_factory.mktemp("looks")
    draw(home / "data", [CORNERS[number % 2] for number in range(48)])
    return explained(home / "data", home / "run").parent


@pytest.mark.parametrize("n_lost", [6, 48])
def test_pictures_that_are_not_there_any_more_are_counted(drawn: Path, tmp_path: Path, n_lost: int) -> None:
    home = tmp_path / "moved"
    shutil.copytree(drawn, home)
    run = explained(home / "data", home / "run2")
    for path in sorted((home / "data").rglob("*.png"))[:n_lost]:
        path.unlink()
    trends = seewhy.trends(run)
    maps, looks = (next(part for part in trends.partitions if part.proposer == name) for name in (MAPS, LOOKS))
    lost = f"{n_lost} of 48 pictures could not be read"
    assert looks.said == (f"no stable groups; {lost}" if n_lost < 48 else f"not known: {lost}")
    assert looks.n == 48 - n_lost
    words = {group.look for group in maps.groups}
    assert words == {"look not known"} if n_lost == 48 else any("of 24 pictures tell" in look for look in words)
    assert f"what lies under them: {looks.said}" in "\n".join(trends.lines())

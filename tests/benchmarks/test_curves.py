"""From which effect on a search finds a mark: the figure behind a table of found and missed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from benchmarks.unaided.curves import EACH, IMAGES, RESULTS, WHERE, Sized, cases_of, section, smallest, with_interval
from benchmarks.unaided.page import of_curves

from seewhy.evidence.trials.resolution import LARGE, SEARCHES, of_searches


def drawn(threshold: float, slope: float = 4.0, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Effects, and whether each is found, nine of ten at the threshold."""
    rng = np.random.default_rng(0)
    effects = np.exp(rng.uniform(np.log(0.01), np.log(0.6), n))
    score = np.log(9) + slope * (np.log(effects) - np.log(threshold))
    return effects, rng.random(n) < 1 / (1 + np.exp(-score))


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.2])
def test_the_effect_of_which_nine_of_ten_are_found_is_told(threshold: float) -> None:
    assert smallest(*drawn(threshold)) == pytest.approx(threshold, rel=0.1)


def test_what_is_never_found_has_no_such_effect() -> None:
    effects, _ = drawn(0.1)
    assert smallest(effects, np.zeros(len(effects), dtype=bool)) == np.inf


def test_an_interval_holds_the_effect_and_few_networks_widen_it() -> None:
    rows = [{"effect": effect, "found": found} for effect, found in zip(*drawn(0.1, n=400), strict=True)]
    many, few = with_interval(rows), with_interval(rows[:40])
    assert many[1] < 0.1 < many[2] and few[2] - few[1] > many[2] - many[1]


def test_each_mark_has_networks_of_its_own_audited_at_each_size() -> None:
    networks = [case.network for where in WHERE for case in cases_of(where)]
    assert len({network.seed for network in networks}) == len(networks) == EACH * len(WHERE)
    case = next(cases_of("at one place"))
    assert [Sized(**vars(case), each=each).images for each in IMAGES] == [*IMAGES]


def test_the_page_has_a_row_for_each_kind_and_number_of_images(tmp_path: Path) -> None:
    rows = [
        {"where": where, "images": each, "effect": effect, "area": area, "found": effect > 0.1}
        for where in WHERE for each in IMAGES for effect in (0.03, 0.07, 0.15, 0.4) for area in (0.02, 0.04)
    ]  # fmt: skip
    lines = section(rows).splitlines()
    assert (
        len(lines) == 2 + len(WHERE) * len(IMAGES)
        and "| 0 of 2 | 0 of 2 | 2 of 2 | 2 of 2 | 2 of 2 | 2 of 2 |" in lines[2]
    )
    assert of_curves(tmp_path) == ""
    (tmp_path / "curves.json").write_text(json.dumps({"rows": rows}))
    assert of_curves(tmp_path).endswith(section(rows))


def test_what_an_audit_says_beforehand_of_searches_is_what_was_measured() -> None:
    rows = json.loads(RESULTS.read_text())["rows"]
    measured = {}
    for each in IMAGES:
        large = {
            where: [
                row["found"]
                for row in rows
                if row["effect"] >= LARGE and (row["where"], row["images"]) == (where, each)
            ]
            for where in list(WHERE)[:2]
        }
        measured[each] = tuple((sum(found), len(found)) for found in large.values())
    assert measured == SEARCHES
    assert of_searches(39, has_core=True) == ""
    assert "Searches with 75 images" in of_searches(149, has_core=False) and "move" not in of_searches(
        149, has_core=False
    )

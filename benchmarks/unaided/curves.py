"""How large an effect has to be for a search to find it, by what is planted and by the number of images.

    python -m benchmarks.unaided.curves --workers 2

Networks learn a mark of one of four areas, at one place or elsewhere in each picture, at amounts from hardly seen to
all that counts. Each is searched with 40 to 300 images of each class, with nothing named but the core. From which
effect on nine of ten are found is told by logistic regression over the effect's logarithm, with an interval by
resampling networks.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.planted.cache import Cache, read
from benchmarks.planted.cases import Case, asked_of
from benchmarks.planted.figures import table
from benchmarks.planted.latents import Recipe
from benchmarks.planted.networks import Network
from benchmarks.planted.runner import ask_oracle
from benchmarks.unaided.ours import HOLDS, audited
from numpy.typing import NDArray
from scipy import optimize

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "curves.json"
CACHE = Path("~/.cache/seewhy/planted")
IMAGES = (40, 75, 150, 300)  # of each class
AREAS = (0.01, 0.02, 0.04, 0.08)
IN_CORE = "in the core"  # which is told as such, and as no shortcut
WHERE = {  # by what is asked: renderers with their kind, and amounts from hardly seen to all that counts
    "at one place": (
        ("objects", "logo", (0.3, 0.45, 0.7, 1.0, 1.5)),
        ("cells", "logo", (0.8, 1.2, 1.8, 2.5, 3.5)),
        ("faces", "logo", (0.4, 0.7, 1.0, 1.5, 2.2)),
    ),
    "elsewhere in each picture": (("objects", "stamp", (1.0, 1.4, 2.0, 2.8, 4.0)),),
    IN_CORE: (("objects", "sticker", (0.4, 0.6, 0.8, 1.0)), ("faces", "mark", (2.0, 3.0, 4.5, 6.0))),
}
HEADS = ("pooled", "flat", "residual")
EACH = 18  # networks
FIRST_SEED = 7001
LEAST = 0.005  # an effect up to which there is nothing to be found
POWER, DRAWS, LEVELS = 0.9, 400, (2.5, 97.5)

Record = dict[str, Any]
Floats = NDArray[np.float64]


def cases_of(where: str) -> Iterator[Case]:
    """The networks, every beginning of them a fair sample."""
    rng = np.random.default_rng(len(where))
    for turn in range(EACH):
        renderer, kind, amounts = WHERE[where][turn % len(WHERE[where])]
        area, amount = AREAS[turn % len(AREAS)], amounts[int(rng.integers(len(amounts)))]
        seed = FIRST_SEED + len(WHERE) * turn + list(WHERE).index(where)
        recipe = Recipe(renderer, (kind,), "planted", 0.9, area, amount, 0.0, classes=2, variant=turn % 3)
        yield Case("planted", Network(recipe, HEADS[(turn // 2) % len(HEADS)], n_train=400, seed=seed), "mask")


@dataclass(frozen=True)
class Sized(Case):
    """A case that is audited with so many pictures of each class."""

    each: int = 150

    @property
    def images(self) -> int:
        """How many pictures of each class are audited."""
        return self.each


def searched(where: str, case: Case, each: int) -> Record:
    """What a search finds in so many pictures of each class."""
    torch.set_num_threads(1)
    kept, start = Cache(CACHE.expanduser()), time.perf_counter()
    module, _ = kept.network(case.network)
    ask_oracle(kept, case)
    oracle, outside = read(kept.oracle_file(case.network)), read(kept.outside_file(case))
    (asked,) = asked_of(case, oracle or {}, {} if where == IN_CORE else outside or {})
    sized = Sized(**vars(case), each=each)
    with tempfile.TemporaryDirectory() as trials:
        record = audited(sized, module, Path(trials), regions="search", properties="none")
    claim = "depends" if where == IN_CORE else "shortcut"
    told = [row["factor"] for row in record["findings"] if claim in row["claims"]]
    told = [name for name in told if name != "core"]  # which holds all that lies in it
    held = sum(record["overlaps"].get(name, {}).get(asked.kind, {}).get("holds", 0.0) for name in told)  # share none
    return {
        "where": where, "case": case.name, "area": case.recipe.area, "images": each, "effect": asked.effect,
        "found": held >= HOLDS, "held": held, "told": told, "seconds": time.perf_counter() - start,
    }  # fmt: skip


def smallest(effects: Floats, found: NDArray[np.bool_]) -> float:
    """The effect that is found in nine of ten cases, by logistic regression; infinite where none is."""
    x, y = np.log(np.maximum(effects, LEAST)), found.astype(float)

    def cost(line: Floats) -> float:
        score = line[0] + line[1] * x
        return float(np.logaddexp(0, score).sum() - (y * score).sum() + 0.01 * line[1] ** 2)

    start, slope = optimize.minimize(cost, np.array([0.0, 1.0])).x
    at = (np.log(POWER / (1 - POWER)) - start) / slope if slope > 0 else np.inf
    return float(np.exp(at)) if at < 0 else np.inf


def with_interval(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float, float]:
    """The smallest effect that nine of ten searches find, and its interval over networks."""
    effects, found = (np.array([row[name] for row in rows]) for name in ("effect", "found"))
    rng = np.random.default_rng(0)
    draws = [smallest(effects[picked], found[picked]) for picked in rng.integers(0, len(rows), (DRAWS, len(rows)))]
    low, high = np.percentile(np.minimum(draws, 1.0), LEVELS)
    return smallest(effects, found), float(low), float(high)


def section(rows: Sequence[Mapping[str, Any]]) -> str:
    """The curves in a table: from which effect on nine of ten searches find a mark, and what is found of all."""
    lines = []
    for where in WHERE:
        for each in IMAGES:
            of_size = [row for row in rows if (row["where"], row["images"]) == (where, each)]
            if not of_size:
                continue
            found = [_share([row for row in of_size if least <= row["effect"] < most]) for least, most in BANDS]
            small = _share([row for row in of_size if row["effect"] >= 0.1 and row["area"] < 0.03])
            large = _share([row for row in of_size if row["effect"] >= 0.1 and row["area"] > 0.03])
            lines.append([where, str(each), _points(*with_interval(of_size)), *found, small, large])
    head = (
        "a mark", "images of each class", "nine of ten are found from", *(_band(*band) for band in BANDS),
        "10 points and more, 1 and 2 % of the picture", "the same, 4 and 8 %",
    )  # fmt: skip
    return table(head, *lines)


BANDS = ((0.02, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 1.01))


def _band(least: float, most: float) -> str:
    return f"found of {100 * least:.0f} to {100 * most:.0f} points" if most <= 1 else f"of {100 * least:.0f} and more"


def _share(rows: Sequence[Mapping[str, Any]]) -> str:
    return f"{sum(row['found'] for row in rows)} of {len(rows)}" if rows else "-"


def _points(value: float, low: float, high: float) -> str:
    shown = [f"{100 * each:.0f}" if each < 1 else "100" for each in (value, low, high)]
    return f"{shown[0]} points [{shown[1]}, {shown[2]}]" if value < 1 else f"none [{shown[1]}, {shown[2]}]"


def main() -> int:
    options = parsed(sys.argv[1:])
    stored = {
        (row["where"], row["case"], row["images"]): row for row in (read(options.results) or {"rows": []})["rows"]
    }
    in_turn = zip(*([(where, case) for case in cases_of(where)] for where in WHERE), strict=True)
    asked = [(where, case, each) for turn in in_turn for where, case in turn for each in IMAGES]
    asked = [(where, case, each) for where, case, each in asked if (where, case.name, each) not in stored]
    until = time.monotonic() + 60 * options.minutes
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, mp_context=context) as pool:
        running = {}
        for where, case, each in asked:
            running[pool.submit(_in_time, until, where, case, each)] = case
        for future in as_completed(running):
            if (row := future.result()) is not None:
                stored[row["where"], row["case"], row["images"]] = row
                options.results.write_text(json.dumps({"rows": [*stored.values()]}, indent=1) + "\n", encoding="utf-8")
                print(json.dumps(row), flush=True)
    print(section([*stored.values()]))
    return 0


def _in_time(until: float, where: str, case: Case, each: int) -> Record | None:
    return searched(where, case, each) if time.monotonic() < until else None


def parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unaided.curves", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1e6, help="after so many begin no other search")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the file with what was found")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())

"""The command: make, train, audit and score all cases, or some."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.planted.cache import audit_key, thresholds_key
from benchmarks.planted.cases import Case, cases
from benchmarks.planted.page import write_page
from benchmarks.planted.runner import STAGES, Work, run, scores_in

HERE = Path(__file__).parent
CACHE = Path("~/.cache/seewhy/planted")


def main() -> int:
    options = parsed(sys.argv[1:])
    chosen = chosen_cases(options)
    if options.list:
        print("\n".join(f"{case.half:6}  {case.name}" for case in chosen))
        return 0
    print(f"{len(chosen)} cases; thresholds {thresholds_key()}, audit {audit_key()}", flush=True)
    folder = options.cache.expanduser()
    failed = run(chosen, Work(folder, tuple(options.stages), results=options.results), options.workers, options.minutes)
    if "score" in options.stages:
        scores = scores_in(folder, cases(), results=options.results)
        print(write_page(scores, folder, options.docs, options.results))
    print("\n".join(["", "Failed:", *failed]) if failed else "", flush=True)
    return 1 if failed else 0


def chosen_cases(options: argparse.Namespace) -> list[Case]:
    """The cases that the options name, in the order in which they run."""
    chosen = [case for case in cases() if options.half in (None, case.half)]
    if options.only:
        chosen = [case for case in chosen if any(words in case.name for words in options.only)]
    return chosen[: options.limit]


def parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.planted", description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="where networks and records are kept")
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=STAGES)
    parser.add_argument("--half", choices=("tune", "frozen"))
    parser.add_argument("--only", nargs="+", help="parts of names")
    parser.add_argument("--limit", type=int, help="the first so many; every beginning is a fair sample")
    parser.add_argument("--minutes", type=float, help="after so many begin no other case")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--list", action="store_true", help="name the cases and do nothing")
    parser.add_argument("--docs", type=Path, default=HERE.parents[1] / "docs", help="where planted.md goes")
    parser.add_argument("--results", type=Path, default=HERE.parent / "results", help="where planted.json goes")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())

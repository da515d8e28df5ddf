"""The command: train, audit and repair all cases, or some, and tell the figures."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.repair.cases import PLANTINGS, SEEDS, Case, cases
from benchmarks.repair.page import measured, write_docs, write_results
from benchmarks.repair.runner import Work, run

CACHE = Path("~/.cache/seewhy/repair")


def main() -> int:
    options = parsed(sys.argv[1:])
    chosen = chosen_cases(options)
    if options.list:
        print("\n".join(case.name for case in chosen))
        return 0
    trained = None if options.networks is None else options.networks.expanduser()
    work = Work(options.cache.expanduser(), trained)
    failed = run([] if options.only_docs else chosen, work, options.minutes)
    planned = cases()
    records = work.records(planned, earlier=options.earlier)
    print(measured(records, len(planned)))
    if options.results is not None:
        print(write_results(records, len(planned), options.results))
    if options.docs is not None:
        write_docs(records, len(planned), options.docs)
    print("\n".join(["", "Failed:", *failed]) if failed else "", flush=True)
    return 1 if failed else 0


def chosen_cases(options: argparse.Namespace) -> list[Case]:
    """The cases that the options name, in the order in which they run."""
    return cases(options.kinds, options.seeds)[: options.limit]


def parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.repair", description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="where networks and records are kept")
    parser.add_argument("--networks", type=Path, help="a cache of benchmarks/planted whose networks are read")
    parser.add_argument("--kinds", nargs="+", default=list(PLANTINGS), choices=PLANTINGS, help="what is planted")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="networks of each kind")
    parser.add_argument("--limit", type=int, help="the first so many; every beginning has all kinds alike")
    parser.add_argument("--minutes", type=float, help="after so many begin no other case")
    parser.add_argument("--list", action="store_true", help="name the cases and do nothing")
    parser.add_argument("--only-docs", action="store_true", help="tell what is kept, and run nothing")
    parser.add_argument("--earlier", action="store_true", help="tell cases of earlier code, too, and that they are")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="put the figures between the markers of FILE")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="where repair.json goes")
    return parser.parse_args(words)


if __name__ == "__main__":
    importlib.import_module("benchmarks.torchvision_shim")  # before bnnr, which reads torchvision
    sys.exit(main())

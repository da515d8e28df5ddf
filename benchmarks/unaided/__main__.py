"""The command: networks of benchmarks/planted, audited without hints, and read by other tools."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from benchmarks.planted.cache import (
    Cache,
    case_key,
    digest_of,
    key_of,
    oracle_key,
    outside_key,
    read,
    thresholds_key,
    write_record,
)
from benchmarks.planted.cases import Case, cases
from benchmarks.planted.runner import ask_oracle
from benchmarks.unaided.ours import audited
from benchmarks.unaided.page import Read, write_page
from benchmarks.unaided.peers import PEERS, Claim, material_of

HERE = Path(__file__).parent
CACHE = Path("~/.cache/seewhy/planted")
OURS = ("src/seewhy/evidence", "src/seewhy/data", "benchmarks/unaided/ours.py")
THEIRS = ("benchmarks/unaided/peers",)
STAGES = ("ours", "peers", "page")

Record = dict[str, Any]


def main() -> int:
    options = parsed(sys.argv[1:])
    chosen = [case for case in cases() if options.half in (None, case.half)]
    chosen = [case for case in chosen if not options.only or any(words in case.name for words in options.only)]
    chosen = chosen[slice(options.first, options.limit)]
    kept, failed = Cache(options.cache.expanduser()), list[str]()
    elsewhere = published(options.results)
    until = time.monotonic() + 60 * options.minutes if options.minutes is not None else float("inf")
    torch.set_num_threads(1)
    for number, case in enumerate(chosen, 1):
        if time.monotonic() > until:
            break
        start = time.perf_counter()
        for stage, make in {"ours": made_by_us, "peers": made_by_peers}.items():
            is_kept = file_of(kept, case, stage).exists() or in_published(elsewhere, case, stage) is not None
            if stage in options.stages and not is_kept:
                try:
                    ask_oracle(kept, case)
                    write_record(file_of(kept, case, stage), make(case, kept))
                except Exception:  # noqa: BLE001 -- one case that fails is told, and the others go on
                    failed.append(f"{case.name}, {stage}: {traceback.format_exc()}")
        print(f"{number}/{len(chosen)} {case.name}: {time.perf_counter() - start:.0f} s", flush=True)
    if "page" in options.stages:
        print(write_page(records_in(kept, elsewhere), options.docs, options.results))
    print("\n".join(["", "Failed:", *failed]) if failed else "", flush=True)
    return 1 if failed else 0


def made_by_us(case: Case, kept: Cache) -> Record:
    module, _ = kept.network(case.network)
    return audited(case, module, kept.folder / "unaided" / "trials" / case_key(case))


def made_by_peers(case: Case, kept: Cache) -> Record:
    """By peer what it claims, or why it failed; and its seconds."""
    module, _ = kept.network(case.network)
    material, told = material_of(case, module), Record()
    for name, ask in PEERS.items():
        start = time.perf_counter()
        claim = _asked(lambda ask=ask: ask(material))
        told[name] = {"names": claim.names, "note": claim.note, "seconds": time.perf_counter() - start}
    return {"case": case.name, "oracle": oracle_key(case.network), "peers": told}


def _asked(ask: Callable[[], Claim]) -> Claim:
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 -- what a tool fails on is told in its row
        return Claim((), f"failed: {type(error).__name__}: {error}")


def file_of(kept: Cache, case: Case, stage: str) -> Path:
    """Of the code of today: other code has other files."""
    return kept.folder / "unaided" / code_of(stage) / f"{case_key(case)}.json"


def code_of(stage: str) -> str:
    """The hash of the code of today that decides a stage."""
    return key_of(digest_of(OURS), thresholds_key()) if stage == "ours" else key_of(digest_of(THEIRS), "")


def keys_of(case: Case) -> dict[str, str]:
    """What decides the records of a case."""
    true = key_of(oracle_key(case.network), outside_key(case))
    return {"case": case_key(case), "truth": true, "ours": code_of("ours"), "peers": code_of("peers")}


def published(results: Path) -> dict[str, Record]:
    """The rows of RESULTS/unaided.json by the keys of their cases, whatever code made them."""
    stored = read(results / "unaided.json") or {"cases": []}
    return {row["keys"]["case"]: row for row in stored["cases"] if "keys" in row}


def in_published(rows: Mapping[str, Record], case: Case, stage: str) -> Record | None:
    """What a stage of today's code gave elsewhere, the oracle of today being the judge; None where it did not."""
    row, keys = rows.get(case_key(case)), keys_of(case)
    if row is None or any(row["keys"][name] != keys[name] for name in ("truth", stage)):
        return None
    told: Record = row[stage]
    return told or None


def records_in(kept: Cache, rows: Mapping[str, Record]) -> list[Read]:
    """All cases that today's code has audited without hints, with what peers say of them where they were asked.

    What the cache does not hold is taken from the published rows.
    """
    found = []
    for case in cases():
        ours, peers = (read(file_of(kept, case, stage)) for stage in ("ours", "peers"))
        ours = ours or in_published(rows, case, "ours")
        asked = in_published(rows, case, "peers") if peers is None else peers["peers"]
        oracle, outside = read(kept.oracle_file(case.network)), read(kept.outside_file(case))
        row = rows.get(case_key(case))
        if (oracle is None or outside is None) and row is not None and row["keys"]["truth"] == keys_of(case)["truth"]:
            oracle, outside = row["oracle"], row["outside"]
        if ours is not None and oracle is not None and outside is not None:
            found.append(Read(case, ours, asked or {}, oracle, outside, keys_of(case)))
    return found


def parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unaided", description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="where networks and records are kept")
    parser.add_argument("--stages", nargs="+", default=STAGES, choices=STAGES)
    parser.add_argument("--half", choices=("tune", "frozen"), default="frozen")
    parser.add_argument("--only", nargs="+", help="parts of names")
    parser.add_argument("--first", type=int, default=0, help="leave out so many")
    parser.add_argument("--limit", type=int, help="up to this one; every beginning is a fair sample")
    parser.add_argument("--minutes", type=float, help="after so many begin no other case")
    parser.add_argument("--docs", type=Path, default=HERE.parents[1] / "docs", help="where unaided.md goes")
    parser.add_argument("--results", type=Path, default=HERE.parent / "results", help="where unaided.json goes")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())

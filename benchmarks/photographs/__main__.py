"""Shortcuts planted in photographs: train, audit, and write docs/photographs.md.

python -m benchmarks.photographs --limit 10        goes on where it was stopped
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.photographs.cases import cases
from benchmarks.photographs.page import page_of
from benchmarks.photographs.work import record_of
from benchmarks.planted.cache import audit_key, digest_of

HERE = Path(__file__).parent
CODE = tuple(f"benchmarks/photographs/{name}.py" for name in ("cases", "work"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[2] / "shared" / "data")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/seewhy/planted"))
    parser.add_argument("--limit", type=int, help="the first so many trainings")
    parser.add_argument("--docs", type=Path, default=HERE.parents[1] / "docs", help="where photographs.md goes")
    asked = parser.parse_args()
    code, chosen, records = f"{audit_key()}-{digest_of(CODE)}", cases()[: asked.limit], []
    for number, case in enumerate(chosen, 1):
        records.append((case, record_of(case, asked.data.resolve(), asked.cache.expanduser(), code)))
        print(f"{number}/{len(chosen)} {case.name}", flush=True)
    (asked.docs / "photographs.md").write_text(page_of(records, len(cases())), encoding="utf-8")


if __name__ == "__main__":
    main()

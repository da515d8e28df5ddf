"""What README.md quotes of `seewhy demo`: the first finding that its audit prints, kept in docs/demo.json."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

from seewhy.cli.printing import print_findings
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.results.paragraphs import paragraphs_of

HERE = Path(__file__).parent
BEGIN, END = "<!-- made by docs/generate.py -->\n", "<!-- as far as here -->\n"
COLUMNS = 110
_KEPT = ("factor", "level", "claims", "text", "todo", "evidence", "numbers", "members", "alternatives")


def first_finding(audit: Path) -> dict[str, Any]:
    """The first finding of an audit's folder, without its examples."""
    finding = json.loads((audit / "findings.json").read_text(encoding="utf-8"))["findings"][0]
    return {name: finding[name] for name in _KEPT}


def keep(demo: Path) -> None:
    """Keep what the demo in that folder found."""
    text = json.dumps(first_finding(demo / "audit"), indent=1, ensure_ascii=False)
    (HERE / "demo.json").write_text(text + "\n", encoding="utf-8")


def quoted(finding: dict[str, Any]) -> str:
    """A stored finding as the command line prints it."""
    told = [paragraph.as_stored() for paragraph in paragraphs_of([Finding(**finding)])]
    before, printed = os.environ.get("COLUMNS"), io.StringIO()
    os.environ["COLUMNS"] = str(COLUMNS)
    try:
        with contextlib.redirect_stdout(printed):
            print_findings(told)
    finally:
        os.environ.pop("COLUMNS")
        os.environ |= {} if before is None else {"COLUMNS": before}
    return printed.getvalue()


def readme() -> str:
    """README.md with the quote between its marks."""
    text = (HERE.parent / "README.md").read_text(encoding="utf-8")
    above, _, rest = text.partition(BEGIN)
    below = rest.partition(END)[2]
    finding = json.loads((HERE / "demo.json").read_text(encoding="utf-8"))
    return f"{above}{BEGIN}```text\n{quoted(finding)}```\n{END}{below}"

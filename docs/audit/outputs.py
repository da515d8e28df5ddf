"""Runs every command of docs/audit.md and puts there what it prints. Needs the shared data; half an hour on one core.

.venv/bin/python docs/audit/outputs.py
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "audit.md"
DATA = HERE.parents[2] / "shared" / "data"
CHECKED = (HERE.parent / "check" / "faces.py", HERE.parent / "check" / "imagenet.py")
BLOCK = re.compile(r"(?<=```console\n).*?(?=```\n)", re.DOTALL)  # the page's other commands stand in ```text
MOST = 4  # findings of one level that are shown in full


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for link, target in (("faces", "rvf10k"), ("photographs", "imagenet"), ("model_4.pt", "rvf/model_4.pt")):
            (home / link).symlink_to(DATA / target)
        for script in (*CHECKED, HERE / "marked.py", HERE / "marks.py", HERE / "watermarks.py"):
            (home / script.name).write_text(script.read_text())
        rows = [f"photographs/{path.name},{int(path.name[:4])}" for path in sorted((DATA / "imagenet").glob("*.jpg"))]
        (home / "photographs.csv").write_text("\n".join(["path,label", *rows]) + "\n")
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(BLOCK.sub(lambda block: again(home, block.group()), text), encoding="utf-8")


def again(home: Path, block: str) -> str:
    """A block's commands, run one after the other, with what the last one prints, shortened."""
    commands = [line for line in block.splitlines() if line.startswith("$ ")]
    for command in commands:
        print(command, file=sys.stderr)
        printed = said(home, command.removeprefix("$ ").split())
    return "\n".join([*commands, *shortened(printed)]) + "\n"


def said(home: Path, words: list[str]) -> str:
    """What the command prints on standard output; the program is the one beside this Python."""
    program = Path(sys.executable).with_name(words[0])
    found = subprocess.run([program, *words[1:]], cwd=home, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(found.stderr)
    return found.stdout.rstrip()


def shortened(printed: str) -> list[str]:
    """An audit's lines without notes and files, and of each level the first MOST findings; other lines as they are."""
    if "\n\nTested:" not in printed:
        return printed.splitlines()
    head, *findings = re.split(r"\n(?=  [A-Z]{4})", printed.partition("\n\nTested:")[0])
    kept, seen = [head.splitlines()[0], ""], dict[str, int]()
    for finding in findings:
        level = finding.strip().splitlines()[0].partition("  ")[0]
        seen[level] = seen.get(level, 0) + 1
        if seen[level] <= MOST:
            kept += finding.rstrip().splitlines()
    left = [f"{count - MOST} more of {level}" for level, count in seen.items() if count > MOST]
    return [*kept, *([f"  … ({', '.join(left)})"] if left else [])]


if __name__ == "__main__":
    main()

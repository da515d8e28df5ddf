"""What the commands print: summaries in words, rows of equal width, JSON."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seewhy.errors import counted, listed, predictions_of, printable

PAGES = "report/index.html"


@contextlib.contextmanager
def kept_clean() -> Iterator[None]:
    """Send what a network prints, from Python and from compiled code, to the error stream: it is not our output."""
    sys.stdout.flush()
    try:
        saved = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # a process without these streams
        saved = None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


def print_explanation(summary: Mapping[str, Any], folder: Path) -> None:
    """What `explain` found, and where its files lie."""
    explained = summary["images"] - summary["without_result"]
    preset = f" as {summary['preset']} shows it" if summary["preset"] else ""
    say(
        f"{counted(explained, 'image')} explained: {summary['method']} of {', '.join(summary['layers'])} "
        f"for {summary['score']}{preset}"
    )
    accuracy = (
        f"   accuracy {summary['accuracy']:.3f} of {summary['labelled']:,} labelled" if summary["labelled"] else ""
    )
    if said := f"{predictions_of(summary['predictions'], 5)}{accuracy}".strip():
        say(f"  {said}")
    if summary["without_result"]:
        reasons = listed([f"{reason} ({count})" for reason, count in summary["reasons"].items()], 3)
        say(
            f"  without a result: {summary['without_result']}, each a row with its reason in records.parquet: {reasons}"
        )
    for note in summary["notes"]:
        say(f"  - {note}")
    say("")
    kinds = [
        ("Report", PAGES),
        ("Sheet", "sheet.jpg"),
        ("Mean maps", "mean_maps.png"),
        *[("Overlays", f"overlays/{name}") for name in summary["method"].split(", ")],
        ("Table", "records.parquet"),
        ("Raw maps", "maps.zarr"),
    ]
    print_places(folder, kinds)


def print_places(folder: Path, kinds: Sequence[tuple[str, str]]) -> None:
    """Where the files of a run lie, as far as it has them."""
    print_rows([(words, str(folder / name)) for words, name in kinds if (folder / name).exists()])


def print_check(summary: Mapping[str, Any], folder: Path) -> None:
    """The findings of `check`, worst first."""
    unread = f" ({summary['without_result']} cannot be read)" if summary["without_result"] else ""
    what = f"{counted(summary['images'], 'image')}{unread} of {listed(summary['classes'], 4)}"
    say(f"{what}, fed {summary['preprocess']}\n{summary['sampled']}".rstrip() + "\n")
    width = _width()
    for finding in summary["findings"]:
        todo = _wrapped(f"→ {finding['todo']}", width - 14, hanging="  ") if finding["todo"] else []
        lines = _wrapped(finding["text"], width - 14) + todo
        for number, line in enumerate(lines):
            print(f"  {finding['level'].upper() if number == 0 else '':<12}{line}")
    say("")
    print_places(folder, [("Report", PAGES), ("Numbers", "manifest.json"), ("Table", "records.parquet")])


def print_audit(summary: Mapping[str, Any], folder: Path, typed: str | None = None) -> None:
    """The findings of `audit`, the gravest first, with what they rest on, and what to type next, if it was typed."""
    from seewhy.report.next_commands import after_audit

    splits = ", ".join(f"{count:,} {name}" for name, count in summary["splits"].items())
    accuracy = f", accuracy {summary['accuracy']['value']:.3f}" if summary["accuracy"] else ""
    classes = listed(summary.get("audited_classes", summary["classes"]), 4)
    say(
        f"{counted(summary['images'], 'image')} ({splits}) of {classes}{accuracy}; "
        f"{counted(summary['trials'], 'trial')}"
    )
    for note in summary["notes"]:
        say(f"  - {note}")
    if summary["unreadable"]:
        reasons = listed([f"{name}: {why}" for name, why in summary["unreadable"].items()], 2)
        say(f"  - {counted(len(summary['unreadable']), 'image')} could not be used: {reasons}")
    say("")
    print_findings(summary["told"])
    print_by_class(summary.get("by_class", ()))
    print_columns(summary.get("columns") or {})
    say(f"\n{summary['scope']}\n")
    kinds = [("Report", PAGES), ("Findings", "findings.json"), ("Pictures", "pictures"), ("Trials", "trials.parquet")]
    print_places(folder, kinds)
    for words, command in after_audit(summary, folder, typed):
        say(f"\n{words}\n  {command}")


def print_by_class(rows: Sequence[Mapping[str, Any]]) -> None:
    """What is shown for single classes, as a table; nothing where two classes are each other's mirror."""
    from seewhy.evidence.results.class_table import class_table

    table = class_table(rows)
    if table.is_by_class and (lines := table.lines(_width() - 6)):
        say("  BY CLASS")
        for line in lines:
            say(f"      {line}")


def print_plan(plan: Mapping[str, Any]) -> None:
    """What an audit would run, and what it costs."""
    edited = counted(plan["recipients"], "image")
    say(f"{counted(plan['trials'], 'trial')}, {plan['time']}; edited for a factor: {edited} of each split.")
    if search := plan["search"]:
        takes = f"about {search['trials']:,} trials, {search['time']}"
        if search["reached"]:
            say(f"Places that nobody named are searched for first: {takes}, where there is something to find.")
        else:
            say(f"The budget reaches no search for places that nobody named ({takes}): --budget {search['budget']}")
    say(f"Of each factor that is shown to matter more is asked, by about {plan['more']:,} trials.")
    say(f"{plan['smallest']}\n")
    rows = [
        (factor["factor"], factor["kind"], f"{factor['trials']:,}", f"{factor['association']:.3f}")
        for factor in plan["factors"]
    ]
    rows += [(name, "mark", f"{trials:,}", "") for name, trials in plan["marks"].items()]
    rows += [("pairs of these", "", f"{plan['pairs']:,}", "")] if plan["pairs"] else []
    print_rows([("factor", "kind", "trials", "association"), *rows])
    for name, reason in plan["ruled_out"].items():
        say(f"  - {name}: {reason}")
    for name in plan["left_out"]:
        say(f"  - {name}: the budget does not reach it")
    say("\nAssociation is how far the factor's values tell the classes apart, 0 to 1, before any trial.")


def print_findings(told: Sequence[Mapping[str, Any]]) -> None:
    """Titles over wrapped words, evidence line by line, and what to do about it."""
    width = _width()
    for finding in told:
        print(f"  {plain(finding['title'])}")
        for text in (finding["text"], *finding["evidence"], f"→ {finding['todo']}" if finding["todo"] else ""):
            hanging = "  " if text[:2] in ("+ ", "- ", "? ", "→ ") else ""
            for line in _wrapped(text, width - 6, hanging=hanging):
                print(f"      {line}")


def print_columns(columns: Mapping[str, Any]) -> None:
    """What goes with other columns of the table, apart from the findings; nothing where none was compared."""
    tested, left = columns.get("tested", ()), columns.get("left_out", {})
    if not tested and not left:
        return
    say(f"\n  {columns['title']} ({columns['split']})")
    shown = [{**column, "title": column["column"], "evidence": ()} for column in tested if column["is_shown"]]
    print_findings(shown)
    others = [f"{column['column']} ({counted(column['n'], 'image')})" for column in tested if not column["is_shown"]]
    rest = [f"Not shown to go with the label or the answers: {listed(others, 20)}."] if others else []
    rest += [f"Left out: {listed([f'{name}: {why}' for name, why in left.items()], 8)}."] if left else []
    for text in rest:
        print_wrapped(text)


def print_wrapped(text: str) -> None:
    """A text below a heading."""
    for line in _wrapped(text, _width() - 6):
        print(f"      {line}")


def _wrapped(text: str, width: int, *, hanging: str = "") -> list[str]:
    """The text in lines, broken at blanks alone: an option or a path stays whole."""
    return textwrap.wrap(plain(text), width, subsequent_indent=hanging, break_on_hyphens=False, break_long_words=False)


def _width() -> int:
    return min(shutil.get_terminal_size((110, 24)).columns, 120)


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Columns of equal width, without a frame."""
    widths = [max(len(plain(cell)) for cell in column) for column in zip(*rows, strict=True)] if rows else []
    for row in rows:
        line = "  ".join(plain(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        print(f"  {line}".rstrip())


def print_json(value: Mapping[str, Any]) -> None:
    """A summary as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_understood(rows: Mapping[str, str], *, aside: bool) -> None:
    """What a command understood, a line each; `aside` on the error stream, before its own output."""
    with contextlib.redirect_stdout(sys.stderr) if aside else contextlib.nullcontext():
        print_rows([(name, text) for name, text in rows.items()])


def warn(text: str) -> None:
    """Text on the error stream, while a command runs."""
    print(plain(text), file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Text, with what cannot be printed spelled out."""
    print(plain(text))


def plain(text: str) -> str:
    """Text in which nothing steers the terminal: line by line, what cannot be printed spelled out."""
    return "\n".join(map(printable, text.split("\n")))

"""docs/photographs.md from the records: what was planted, what it does, and what each audit told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.photographs.cases import RIGHT, Case
from benchmarks.photographs.work import AUDITS
from benchmarks.planted.cache import audit_key
from benchmarks.planted.names import named_in
from benchmarks.planted.scores import SEEN, share

Record = Mapping[str, Any]
ABOUT = """# Shortcuts planted in photographs

Small networks are trained on 1,000 photographs of faces (96 pixels, real against generated) with something planted in
70, 90 or 100 % of the generated ones: a half transparent word in a corner, a frame, a tint. What it really does is
measured by planting it in every other photograph, and taking the mean change of P(fake), times how often it stands. The
audits know nothing of this. This page is written by `python -m benchmarks.photographs`.

Where nothing is planted it is not known what there is to find: photographs of real and generated faces may differ
beside the face, too, and a network that is hardly better than guessing may use that. The exchange shows that it does;
whether a person would call it a shortcut, nobody can say.
"""


def page_of(records: Sequence[tuple[Case, Record]], planned: int) -> str:
    """The page: failures first, then shares, then every audit."""
    faces = [(case, record) for case, record in records if case.data == "rvf10k"]
    done = f"**{len(records)} of {planned} trainings are in it so far**, audited by the code `{audit_key()}`."
    parts = [ABOUT, done, "", "## What it gets wrong", ""]
    parts += _failures(faces) or ["Nothing of what was asked, so far."]
    parts += ["", "## The figures", "", *_figures(faces), "", "## Every audit", "", *_rows(faces)]
    for case, record in records:
        if case.data == "bar":
            parts += ["", *_actions(record)]
    return "\n".join(parts) + "\n"


def shortcuts_of(told: Record) -> list[Record]:
    return [row for row in told["findings"] if "shortcut" in row["claims"]]


def titles_of(told: Record) -> list[str]:
    """The titles that claim more than that single answers are fragile."""
    return [row["title"] for row in told["findings"] if row["claims"] != ["fragile"]]


def is_named(case: Case, told: Record, claim: str) -> bool:
    """Whether a title that makes the claim names what was planted."""
    rows = [row for row in told["findings"] if claim in row["claims"]]
    return any(name in RIGHT[case.kind] for row in rows for name in named_in(row["title"]))


def claim_of(way: str) -> str:
    """What can be claimed at all: without a core no shortcut."""
    return "depends" if way == "no core" else "shortcut"


def is_positive(record: Record) -> bool:
    return abs(record["effect"]) >= SEEN


def _figures(faces: Sequence[tuple[Case, Record]]) -> list[str]:
    lines = [
        "| core | nothing planted: a shortcut is told | planted, 4 points or more: told | by its right name |",
        "| --- | --- | --- | --- |",
    ]
    for way in AUDITS["rvf10k"]:
        told = [(case, record, record["audits"][way]) for case, record in faces]
        clean = share(bool(shortcuts_of(of)) for case, _, of in told if not case.kind)
        planted = [(case, of) for case, record, of in told if case.kind and is_positive(record)]
        claim = claim_of(way)
        any_told = share(any(claim in row["claims"] for row in of["findings"]) for _, of in planted)
        named = share(is_named(case, of, claim) for case, of in planted)
        lines.append(f"| {way} | {clean if claim == 'shortcut' else 'cannot be claimed'} | {any_told} | {named} |")
    return lines


def _failures(faces: Sequence[tuple[Case, Record]]) -> list[str]:
    lines = []
    for case, record in faces:
        for way, told in record["audits"].items():
            titles = "; ".join(f"`{title}`" for title in titles_of(told)) or "nothing"
            if not case.kind and shortcuts_of(told):
                lines.append(f"- **{case.name}** ({way}): a shortcut is told, and none was planted: {titles}.")
            if case.kind and is_positive(record) and not is_named(case, told, claim_of(way)):
                lines.append(
                    f"- **{case.name}** ({way}): it does {100 * record['effect']:+.1f} points. Told: {titles}."
                )
    return lines


def _rows(faces: Sequence[tuple[Case, Record]]) -> list[str]:
    ways = list(AUDITS["rvf10k"])
    lines = ["| training | accuracy | effect, points | " + " | ".join(ways) + " |", "| --- " * (3 + len(ways)) + "|"]
    for case, record in faces:
        cells = ["; ".join(titles_of(record["audits"][way])) or "nothing" for way in ways]
        effect = f"{100 * record['effect']:+.1f}" if case.kind else ""
        lines.append(
            f"| {case.name.partition(', ')[2]} | {record['accuracy']:.2f} | {effect} | " + " | ".join(cells) + " |"
        )
    return lines


def _actions(record: Record) -> list[str]:
    lines = [
        "## Six actions, each at its usual place", "",
        "Climbing on rock, diving under water, fishing on it, pole vaulting on a runway, racing on a track, throwing "
        f"on a field: a small network trained on these photographs is right in {record['accuracy']:.2f} of the others "
        "(.17 by guessing). No masks of the people exist, so the core is the middle of the picture.", "",
    ]  # fmt: skip
    for way, told in record["audits"].items():
        lines += [f"**{way}** ({told['seconds']:.0f} s):", ""]
        lines += [f"- `{row['title']}`. {row['text']}" for row in told["findings"]] or ["- nothing"]
        lines.append("")
    return lines

"""The part of docs/repair.md that is measured, between its markers: failures first; and the results as a file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.planted.cache import audit_key, thresholds_key
from benchmarks.repair.cases import PLANTINGS
from benchmarks.repair.figures import (
    Record,
    beats,
    costly,
    counts,
    drawn_effect,
    figures_table,
    has,
    hoped,
    is_reported,
    kinds_table,
    lost,
    minutes,
    overstated,
    reported,
    risen,
    short_of_it,
    treatments_table,
    unproved,
    words_table,
)
from benchmarks.repair.runner import BEFORE, REPAIRED, code_key, repair_code

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
MOST = 12  # failures of a kind that are told one by one
HOW = """
Networks are trained until they converge on the package's drawn faces (64 px, 400 of each class), with something
planted that goes with the class in nine of ten faces (where nothing but the tint tells the classes apart: in all).
Each is audited as a user would (150 of each class in valid; face, hair, background, border, two corners and six
properties; the face as core), and its first shortcut repaired with the options as they are; where none is told, the
factor that names what is planted, with `--anyway`. *By the audit's estimate* is what is left on the half that proves;
*by drawing*, what switching the planted thing in new faces does to the network, which the repair never sees.
Everything beside the repair starts from the same network, with the same images, epochs, steps and rate, one seed
each, and nothing of it was tuned. How donors are dealt, and when lost accuracy was the factor's own help, was set
after the eight networks of seed 0 had been repaired without; those of later seeds are free of that. "True groups"
know what is planted in each image, which a user does not. *Trained anew*: the same network from the start, on faces
drawn alike but for the kind, which goes with no label there: what it is less right by on faces like the old ones is
the kind's own help, which no repair can keep. That an exchange keeps the detail beside the core, and the twelve
passes, were set after a look at what they do by drawing to eight of these networks (tint 0 and 1, logo 0 and 2, hair
0, brightness 0, tint and logo 1 and 3); that regions told as the same cause are exchanged, too, after a look at logo
1 and 2. All 40 were repaired so. It cost accuracy where the factor explains these regions, which are left out since:
of the 40, the 23 networks in which nothing is exchanged beside the factor any more were repaired again (four), or are
told as they had been before, by the same code (frame 0, made again, is the same to the last digit). That a property
is set before the regions that are exchanged with it was seen on brightness 2 and 3. Where a property rose, inside of
the core or elsewhere, and that a larger region that does far more must lose half, is asked since: three networks of
which something rose, repaired again, are the same to the last digit, and of no other a verdict turns on these rules,
so that the other 37 are told as they were. What stands beside the repair is
kept from an earlier run of the same treatments: of two networks it was made again, and is the same to the last digit.
Another kind counts as reported where a factor that tells it at least roughly is named. Shares of networks have exact
intervals (Clopper and Pearson), medians those of order statistics, or of fewer than six the range. Not measured:
networks of more than a few layers, other seeds of what stands beside the repair.

Written by `python -m benchmarks.repair --docs docs/repair.md`.
"""


def write_docs(records: Sequence[Record], planned: int, file: Path) -> None:
    """FILE with what was measured between its markers. Raises ValueError where it has none."""
    text = file.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{file} needs one line {BEGIN} and one {END}, between which the figures go.")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    file.write_text(f"{before}{BEGIN}\n{measured(records, planned)}\n{END}{after}", encoding="utf-8")


def write_results(records: Sequence[Record], planned: int, folder: Path) -> Path:
    """FOLDER/repair.json: every record."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"audit_key": audit_key(), "thresholds": thresholds_key(), "repair_code": repair_code()}
    stored = {"headlines": [], "noisy": False, **keys, "planned": planned, "cases": list(records)}
    path = folder / "repair.json"
    path.write_text(json.dumps(stored, indent=1, default=float) + "\n", encoding="utf-8")
    return path


def measured(records: Sequence[Record], planned: int) -> str:
    """All that was measured, failures first."""
    if not records:
        return f"\nNone of the {planned} planned networks has been measured yet.\n"
    told = "; ".join(f"{words}: {share}" for words, share in counts(records).items())
    parts = {
        "### What failed": [failures(records)],
        "### The figures": [figures_table(records), f"{told}."],
        "### Beside other treatments": [treatments_table(records), words_table(records)],
        "### Each network": [kinds_table(records)],
        "### How long it takes": [threads(records), minutes(records)],
        "### How it was measured": [HOW.strip()],
    }
    lines = [f"{reached(records, planned)}{of_code(records)}"]
    for title, texts in parts.items():
        lines += [title, *texts]
    return "\n" + "\n\n".join(line.strip() for line in lines) + "\n"


def reached(records: Sequence[Record], planned: int) -> str:
    """How many of the planned cases there are, and of which kinds, in a sentence."""
    if len(records) == planned:
        return f"All {planned} planned networks."
    kinds = ", ".join(f"{kind} {number}" for kind, number in Counter(one["planting"] for one in records).items())
    missing = [kind for kind in PLANTINGS if all(kind != one["planting"] for one in records)]
    none = f" None yet: {', '.join(missing)}." if missing else ""
    order = "in an order, fixed before, in which every kind comes once before any comes twice"
    return f"**{len(records)} of {planned} planned networks** so far, {order}: {kinds}.{none}"


def of_code(records: Sequence[Record]) -> str:
    """How many cases were measured by earlier code, with its commits; nothing where none was."""
    old = [record for record in records if record["code"] != code_key()]
    commits = ", ".join(sorted({record["commit"] or "unknown" for record in old}))
    return f" {len(old)} of them by the code of an earlier commit ({commits})." if old else ""


def failures(records: Sequence[Record]) -> str:
    """What went wrong, the gravest kind first."""
    tried = [record for record in hoped(records) if has(record, REPAIRED)]
    silent = [one for one in tried if any(not is_reported(one, kind) for kind in risen(one))]
    hopeless = [one for one in records if one["hopeless"] and one["target"] is not None and one["repair"]["proved"]]
    parts = [
        _listed(
            "Nothing but the shortcut in the images, and yet said to be repaired",
            hopeless,
            lambda one: f"by {one['repair']['way']}.",
        ),
        _listed("Proved, though drawing shows less than half gone", overstated(records), _effects),
        _listed("Another kind up by more than 2 points by drawing, and not reported", silent, _risen),
        _listed("More than 3 points of accuracy lost by drawing", costly(records), _lost),
        _listed("Less than the 75 % that are asked for gone by drawing", short_of_it(records), _effects_if_any),
        _listed("Not proved, though there is something to remove", unproved(records), _reasons),
    ]
    return "\n".join(parts)


def threads(records: Sequence[Record]) -> str:
    used = sorted({record["threads"] for record in records})
    told = ", ".join(map(str, used)) or "none"
    return f"One process, threads: {told}; what the processor took, on a machine that was busy with other work."


def _listed(title: str, failed: Sequence[Record], words: Callable[[Record], str]) -> str:
    lines = [f"- **{title}: {len(failed)}**"]
    lines += [f"  - {record['case']}: {words(record)}" for record in failed[:MOST]]
    lines += [f"  - and {len(failed) - MOST} more, in `benchmarks/results/repair.json`"] if len(failed) > MOST else []
    return "\n".join([*lines, ""])


def _effects(record: Record) -> str:
    told = [f"{100 * drawn_effect(record, name):+.1f}" for name in (BEFORE, REPAIRED)]
    return f"{record['repair']['way']} of {record['repair']['factor']}, by drawing {told[0]} → {told[1]} points."


def _effects_if_any(record: Record) -> str:
    return _effects(record) if has(record, REPAIRED) else "no way could be tried."


def _risen(record: Record) -> str:
    before, after = (record["rows"][name]["drawn"]["kinds"] for name in (BEFORE, REPAIRED))
    up = [
        f"{kind} {100 * before[kind]['value']:+.1f} → {100 * after[kind]['value']:+.1f}"
        for kind in risen(record)
        if not is_reported(record, kind)
    ]
    return f"{', '.join(up)} points; reported: {', '.join(reported(record)) or 'nothing'}."


def _lost(record: Record) -> str:
    return f"{100 * lost(record, REPAIRED):.1f} points by {record['repair']['way']}."


def _reasons(record: Record) -> str:
    shown = "" if not has(record, REPAIRED) else f" ({'beats' if beats(record) else 'does not beat'} its control)"
    return f"{record['repair']['way'] or 'no way'}{shown}: {' '.join(record['repair']['reasons'])}"

"""docs/unaided.md: seewhy without hints beside other tools, failures first; and the results as a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.planted.audits import short
from benchmarks.planted.cache import read
from benchmarks.planted.cases import Case
from benchmarks.planted.figures import table
from benchmarks.planted.names import RIGHT
from benchmarks.planted.scores import LARGE, SEEN, Score, exactness, false_alarms, naming, recall, score_of, told
from benchmarks.unaided.curves import section
from benchmarks.unaided.ours import best_overlaps, by_closed_list
from benchmarks.unaided.peers import UNAVAILABLE

SEEWHY = "seewhy audit"
MOST = 10  # failures of a kind that are told one by one

Record = Mapping[str, Any]

HEAD = """# Without a hint, and beside other tools

`seewhy audit DATA --model …` is given networks whose shortcut is known, and no region, mask or suspicion but for
the core, where the object is. Other tools are given the same networks, the same pictures and the same core.
Networks, truth and names are those of [planted.md](planted.md), of the half on which no rule is set; but three
rules of an audit came after looking at its first 32 networks: two find a shortcut that was missed, and one took
back the false one of an earlier run, the `centre` around the rough core of a clean network. How marks that move are
looked for was set on networks that were made for it; of 50 networks without a shortcut, of both halves, that were
looked at meanwhile none was told one. This page is written by `make unaided`.
"""

CURVES = """## How large a mark has to be, and how many images it takes

Drawn networks that learned one mark, in nine of ten pictures of a class: at one place (a corner), elsewhere in each
picture, or in the core. Each is searched with so many images of each class, with nothing named but the core
(`--regions search --properties none`). Found is a mark where shortcuts name places, or squares, that hold half of it;
in the core, where dependences do. Effects are what an audit could see at most: (2 x .9 - 1) times what drawing
the mark does. `make curves` makes the networks and searches them."""

HOW = """## How it is read

- **seewhy** takes its own defaults: the zones, up to three places that it looks for, squares that move, the usual
  properties. A place counts as the right name where it shares half of the union with what was planted, and as found
  where it holds half of that; squares that move, and those in the core, where they hold half of a mark that does, in
  the pictures that show it.
- **Of a tool that makes pictures** a charitable reader is taken: one that calls a place a shortcut where the maps'
  mass is over one and a half times what its area would have, and names the place where that is largest.
- **Of a tool that makes groups** the reader is an oracle: it knows in which pictures a kind is on, and a group that
  holds them counts as the kind's right name. No user has that reader.
- Groups can tell a kind only where it differs between the pictures that got one answer: SpRAy's and those of errors say
  little where a kind goes with the class in all of them. bnnr's rule names the background and no other place.
- **A test** claims a place or a property at 5 % after Holm, from 2 points on.
- Seconds are those of one core beside other work, and of the audit alone where nothing was kept from before.
- A tool that has no word for a kind misses it: that is what its user would see.
- Recall is of kinds with an effect to see of 4 points or more; false alarms are of networks in which no kind does 1
  point.
"""


@dataclass(frozen=True)
class Read:
    """One case: what seewhy and the peers tell of it, and what is so."""

    case: Case
    ours: Record
    peers: Mapping[str, Record]
    oracle: Record
    outside: Record
    keys: Mapping[str, str] = field(default_factory=dict)  # what decided all of it

    def score(self) -> Score:
        """The score of seewhy's audit."""
        return score_of(self.case, by_closed_list(self.ours, self.case), self.oracle, self.outside)

    def peer_score(self, peer: str) -> Score:
        """The score of what a peer claims, as that of an audit whose findings are these."""
        right = RIGHT[self.case.recipe.renderer]
        names = [right[name][0] if name in right else name for name in self.peers[peer]["names"]]
        rows = [
            {
                "factor": name, "level": "STRONG", "claims": ["depends", "shortcut"], "members": [], "value": None,
                "title": f"STRONG  {name}: depends, shortcut",
            }
            for name in names
        ]  # fmt: skip
        record = {"findings": rows, "seconds": self.peers[peer]["seconds"], "effects": {}, "without": {}}
        return score_of(self.case, record, self.oracle, self.outside)


def write_page(reads: Sequence[Read], docs: Path, results: Path) -> str:
    """DOCS/unaided.md and RESULTS/unaided.json; gives the main table."""
    if not reads:
        return "No case has been audited with today's code; nothing is written."
    text = "\n".join([HEAD, failures(reads), "## The figures", "", counts(reads), "", main_table(reads)])
    text += "\n" + "\n".join(["", places(reads), "", of_curves(results), "", absent(reads), "", HOW])
    results.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "case": each.case.name, "keys": each.keys, "oracle": each.oracle, "outside": each.outside,
            "peers": each.peers,
            "ours": {**each.ours, "findings": [short(row) for row in each.ours["findings"]]},
        }
        for each in reads
    ]  # fmt: skip
    stored = {"headlines": [], "noisy": False, "cases": rows}
    (results / "unaided.json").write_text(json.dumps(stored, indent=1, default=float) + "\n", encoding="utf-8")
    (docs / "unaided.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    return main_table(reads)


def counts(reads: Sequence[Read]) -> str:
    """How many networks stand behind the figures."""
    scores = [each.score() for each in reads]
    negative = sum(score.is_negative for score in scores)
    asked = sum(score.largest >= SEEN for score in told(scores))
    asked_of_peers = sum(bool(each.peers) for each in reads)
    seconds = _median([each.ours["seconds"] for each in reads])
    return (
        f"{len(reads)} networks: {negative} without a shortcut, {asked} with one of 4 points or more outside of the "
        f"core; the other tools were asked of {asked_of_peers} of them. An audit took {seconds / 60:.1f} minutes of "
        "one core, beside other work."
    )


def main_table(reads: Sequence[Read]) -> str:
    """Each tool's figures; all on the networks of which it was asked."""
    rows = [_row(SEEWHY, [each.score() for each in reads], [each.ours["seconds"] for each in reads])]
    names = dict.fromkeys(name for each in reads for name in each.peers)
    for name in names:
        asked = [each for each in reads if name in each.peers]
        rows.append(
            _row(name, [each.peer_score(name) for each in asked], [each.peers[name]["seconds"] for each in asked])
        )
    head = (
        "tool", "false shortcut, of networks without", "found, from 4 points", "found, from 10",
        "named right, of those found", "exactly the cause", "seconds",
    )  # fmt: skip
    return table(head, *rows)


def _row(name: str, scores: Sequence[Score], seconds: Sequence[float | None]) -> list[str]:
    figures = (false_alarms(scores), recall(scores, SEEN), recall(scores, LARGE), naming(scores), exactness(scores))
    return [name, *map(str, figures), f"{_median(seconds):.0f}"]


def _median(seconds: Sequence[float | None]) -> float:
    """Of those that were measured: not where trials were taken from before."""
    measured = [each for each in seconds if each is not None]
    return float(np.median(measured)) if measured else float("nan")


def places(reads: Sequence[Read]) -> str:
    """How much the places that were named share with those that were planted."""
    shared = []
    for each in reads:
        best, score = best_overlaps(each.ours), each.score()
        shared += [best[kind] for kind in best if abs(score.effects.get(kind, 0.0)) >= SEEN and not score.hidden]
    if not shared:
        return "No planted place of 2 % of the picture and 4 points was among these networks."
    found = [value for value in shared if value > 0]
    words = (
        f"Of {len(shared)} planted places of 2 % of the picture and more, with 4 points or more, {len(found)} were met"
    )
    return words + (f"; those share {np.median(found):.2f} of the union (median)." if found else ".")


def of_curves(results: Path) -> str:
    """From which effect on marks are found, by the number of images; nothing where that was not measured."""
    rows = (read(results / "curves.json") or {"rows": []})["rows"]
    return "\n".join([CURVES, "", section(rows)]) if rows else ""


def absent(reads: Sequence[Read]) -> str:
    """What could not be asked, and why; what is not installed here may have been asked elsewhere."""
    asked = {name for each in reads for name in each.peers}
    rows = [f"- **{name}**: {why}" for name, why in UNAVAILABLE.items() if name not in asked]
    return "\n".join(["## What could not be asked", "", *rows]) if rows else ""


def failures(reads: Sequence[Read]) -> str:
    """What seewhy gets wrong, case by case."""
    scores = [each.score() for each in reads]
    false = [score for score in scores if score.is_false]
    missed = [score for score in told(scores) if score.found and not all(score.found.values())]
    return "\n".join(
        [
            "## What it gets wrong",
            "",
            *_listed("A shortcut that is none", false),
            *_listed("A shortcut that is not told", missed),
        ]
    )


def _listed(title: str, scores: Sequence[Score]) -> list[str]:
    lines = [f"### {title}: {len(scores)}", ""]
    for score in sorted(scores, key=lambda each: -each.largest)[:MOST]:
        truth = ", ".join(f"{kind} {100 * effect:+.1f}" for kind, effect in score.effects.items()) or "nothing"
        said = "; ".join(f"`{row['title']}`" for row in score.shortcuts) or "none"
        rest = "; ".join(
            f"`{row['title']}`" for row in score.record["findings"] if row["claims"] and row not in score.shortcuts
        )
        lines.append(
            f"- **{score.case.name}**: by drawing {truth}. Told as shortcuts: {said}."
            + (f" Of the rest: {rest}." if rest else "")
        )
    return [*lines, ""]

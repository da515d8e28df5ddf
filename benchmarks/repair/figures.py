"""From records to figures: what a repair removes and costs, beside other treatments; counts and intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from benchmarks.planted.figures import table
from benchmarks.planted.scores import SEEN, Share, share
from benchmarks.repair.cases import names_roughly
from benchmarks.repair.runner import BEFORE, REPAIRED
from benchmarks.repair.treatments import PLAIN, WORDS
from scipy import stats

from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.learn.repair.arms import WAYS
from seewhy.learn.repair.reasons import MOST_LOST

FLOOR = AUDIT_THRESHOLDS["floor"]
PARTS = {  # of the minutes
    "train": "training the network, or reading it",
    "audit": "the audit, with its pictures written", "repair": "the repair",
    "beside": "what stands beside it", "draw": "drawing", "judge": "judging all by both",
}  # fmt: skip

PROVED = "repairs that are proved, of networks with an effect of 4 points or more"
BEATS = "the interval over the closest control excludes 0, of the same"
BY_AUDIT, BY_DRAWING = (f"of the effect removed, %, by {how}" for how in ("the audit's estimate", "drawing"))
LOST = "accuracy lost on faces like the old ones, points"
ANEW = "the same of a network trained anew on as many faces whose kind goes with no label"
REPORTED = "other kinds that drawing shows up by more than 2 points, and the repair says so"
WORST = "worst group's accuracy over plain fine-tuning, points, on new faces whose kind goes with no label"
HOPELESS = "networks that cannot be repaired (nothing but the shortcut), and the repair says that it failed"
MINUTES = "minutes of one processor for a repair, 64 px, 1,100 images"
ASKED = 0.75  # of the effect, to be removed
GOALS = {
    BEATS: ("80 %", "90 %"), BY_AUDIT: ("75", "85"), BY_DRAWING: ("75", "85"),
    LOST: ("1, worst 3", "0.5, worst 1"), REPORTED: ("all", "all"), WORST: ("", "+10 (on photographs)"),
    HOPELESS: ("all", "all"), MINUTES: ("5", "2"),
}  # fmt: skip

Record = Mapping[str, Any]


def median(values: Iterable[float], unit: float = 100, form: str = ".0f") -> str:
    """The median in points with its interval of 95 % by order statistics; of fewer than six the range; and how many."""
    ordered = np.sort(np.fromiter(values, float)) * unit
    n = len(ordered)
    if not n:
        return "none"
    rank = int((stats.binom.cdf(np.arange(n), n, 0.5) <= 0.025).sum())
    low, high = (0, n - 1) if rank == 0 else (rank - 1, n - rank)
    words = "range " if rank == 0 else ""
    return f"{np.median(ordered):{form}} [{words}{ordered[low]:{form}}, {ordered[high]:{form}}] (n = {n})"


def hoped(records: Iterable[Record]) -> list[Record]:
    """Those with something else to learn from, whose audit has a finding to repair."""
    return [record for record in records if not record["hopeless"] and record["target"] is not None]


def dependent(records: Iterable[Record]) -> list[Record]:
    """Of these those in which there is something to remove: 4 points or more by drawing."""
    return [record for record in hoped(records) if abs(drawn_effect(record, BEFORE)) >= SEEN]


def drawn_effect(record: Record, treatment: str) -> float:
    """What switching the planted kind adds to the probability of a fake."""
    return float(record["rows"][treatment]["drawn"]["kinds"][record["target"]["kind"]]["value"])


def audit_effect(record: Record, treatment: str) -> float:
    """The factor's effect on the images that prove, as the audit estimates it."""
    return float(record["rows"][treatment]["audit"]["value"])


def removed(record: Record, treatment: str, *, is_drawn: bool) -> float:
    """The share of the effect's size that is gone; below 0 where it grew."""
    effect = drawn_effect if is_drawn else audit_effect
    return 1 - abs(effect(record, treatment)) / abs(effect(record, BEFORE))


def worst_gained(record: Record) -> float | None:
    """How much better the worst group is than after plain fine-tuning, on new faces; None where there is neither."""
    if not (has(record, REPAIRED) and has(record, PLAIN)):
        return None
    after, control = (record["rows"][name]["drawn"]["worst"] for name in (REPAIRED, PLAIN))
    kind = record["target"]["kind"]
    return float(after[kind] - control[kind])


def lost(record: Record, treatment: str, where: str = "like") -> float:
    """The accuracy lost on new faces: "like" the old ones, or "fair" ones whose kinds go with no label."""
    rows = record["rows"]
    return float(rows[BEFORE]["drawn"][where] - rows[treatment]["drawn"][where])


def _lost_anew(record: Record) -> float:
    """The accuracy on faces like the old ones that a network lacks which never saw the kind go with a label."""
    return float(record["rows"][BEFORE]["drawn"]["like"] - record["anew"]["like"])


def has(record: Record, treatment: str) -> bool:
    row = record["rows"].get(treatment)
    return row is not None and "error" not in row


def treatment_names(records: Sequence[Record]) -> list[str]:
    """All that were tried, the repair first."""
    held = {name for record in records for name in record.get("rows", {})}
    return [name for name in (REPAIRED, *WAYS, *WORDS) if name in held]


def treatments_table(records: Sequence[Record]) -> str:
    """Each treatment on the cases in which there is something to remove."""
    cases = dependent(records)
    rows = []
    for name in treatment_names(cases):
        some = [record for record in cases if has(record, name)]
        measured = [record for record in some if abs(audit_effect(record, BEFORE)) >= FLOOR]
        costs = [lost(record, name) for record in some]
        rows.append((
            f"**{name}**" if name == REPAIRED else name, f"{len(some)} of {len(cases)}",
            median(removed(record, name, is_drawn=False) for record in measured),
            median(removed(record, name, is_drawn=True) for record in some),
            _with_worst(costs),
            median((-lost(record, name, "fair") for record in some), form="+.1f"),
        ))  # fmt: skip
    head = (
        "treatment",
        "could be tried",
        "of the effect removed, by the audit's estimate, %",
        "by drawing, %",
        "accuracy lost on faces like the old ones, points",
        "gained where the kind goes with no label, points",
    )
    return table(head, *rows)


def _with_worst(costs: Sequence[float]) -> str:
    return median(costs, form=".1f") + (f", worst {100 * max(costs):.1f}" if costs else "")


def words_table(records: Sequence[Record]) -> str:
    """What each treatment is."""
    words = {REPAIRED: "the way that `seewhy repair` chose on one half of the images", **WAYS, **WORDS}
    return table(("treatment", "what it is"), *((name, words[name]) for name in treatment_names(records)))


def figures(records: Sequence[Record]) -> dict[str, str]:
    """Each figure of the repair in words. Where no way could be tried nothing is removed and nothing beaten."""
    some = dependent(records)
    tried = [record for record in some if has(record, REPAIRED)]
    measured = [record for record in some if abs(audit_effect(record, BEFORE)) >= FLOOR]
    rises = [(kind, record) for record in hoped(records) if has(record, REPAIRED) for kind in risen(record)]
    hopeless = [record for record in records if record["hopeless"] and record["target"] is not None]
    whole = [record["cpu"] for record in records if not record["was_begun"] and "repair" in record["cpu"]]
    return {
        PROVED: str(share(record["repair"]["proved"] for record in some)),
        BEATS: str(share(beats(record) for record in some)),
        "over plain fine-tuning, of those whose way trains": str(
            share(_is_above_0(margin) for record in tried if (margin := record["repair"]["margins"].get("plain")))
        ),
        BY_AUDIT: median(_removed_or_none(record, is_drawn=False) for record in measured),
        BY_DRAWING: median(_removed_or_none(record, is_drawn=True) for record in some),
        LOST: _with_worst([lost(record, REPAIRED) for record in tried]),
        ANEW: _with_worst([_lost_anew(record) for record in tried if record.get("anew")]),
        "networks in which the repair says that another factor is up by more than 2 points": str(
            share(bool(reported(record)) for record in tried)
        ),
        REPORTED: str(share(is_reported(record, kind) for kind, record in rises)),
        WORST: median((gain for record in some if (gain := worst_gained(record)) is not None), form="+.1f"),
        HOPELESS: str(share(not record["repair"]["proved"] for record in hopeless)),
        "of these with the reason that nothing else is shown to be learned": str(
            share(_is_at_chance(record) for record in hopeless)
        ),
        MINUTES: median((cpu["repair"] for cpu in whole), 1 / 60, ".1f"),
        "networks whose audit has no finding that names what is planted": str(
            share(record["target"] is None for record in records if not record["hopeless"])
        ),
    }


def _removed_or_none(record: Record, *, is_drawn: bool) -> float:
    return removed(record, REPAIRED, is_drawn=is_drawn) if has(record, REPAIRED) else 0.0


def _is_at_chance(record: Record) -> bool:
    """Whether the accuracy with another image's factor is not shown to be above one half."""
    exchanged = record["repair"]["exchanged"]
    return exchanged is not None and exchanged["low"] <= 0.5


def figures_table(records: Sequence[Record]) -> str:
    """Each figure beside what is asked of it."""
    rows = ((name, told, *GOALS.get(name, ("", ""))) for name, told in figures(records).items())
    return table(("figure", "measured", "at least", "goal"), *rows)


def beats(record: Record) -> bool:
    """Whether the interval over the control with the most to say against it lies above 0; not where there is none."""
    repaired = record["repair"]
    return bool(repaired["margins"]) and _is_above_0(repaired["margins"][repaired["closest"]])


def _is_above_0(margin: Record) -> bool:
    return margin["low"] is not None and margin["low"] > 0  # None: endless


def reported(record: Record) -> list[str]:
    """Other factors that the repair tells as up by more than 2 points, shown or not."""
    return [
        other["factor"]
        for other in record["repair"]["others"]
        if other["said"] in ("rose", "may have risen") and not other["is_core"]
    ]


def risen(record: Record) -> list[str]:
    """Kinds, planted or not, whose effect drawing shows larger by more than 2 points, but for the repaired one."""
    before, after = (record["rows"][name]["drawn"]["kinds"] for name in (BEFORE, REPAIRED))
    return [
        kind
        for kind in after
        if kind != record["target"]["kind"] and abs(after[kind]["value"]) - abs(before[kind]["value"]) > FLOOR
    ]


def is_reported(record: Record, kind: str) -> bool:
    return any(names_roughly(factor, kind) for factor in reported(record))


def unproved(records: Iterable[Record]) -> list[Record]:
    """Where there was something to remove, and it is not proved that it went."""
    return [record for record in dependent(records) if not record["repair"]["proved"]]


def costly(records: Iterable[Record]) -> list[Record]:
    """Where drawing shows that more accuracy was lost than a repair may cost."""
    return [record for record in hoped(records) if has(record, REPAIRED) and lost(record, REPAIRED) > MOST_LOST]


def overstated(records: Iterable[Record]) -> list[Record]:
    """Proved, though drawing shows that less than half is gone."""
    return [
        record
        for record in dependent(records)
        if record["repair"]["proved"] and removed(record, REPAIRED, is_drawn=True) < 0.5
    ]


def short_of_it(records: Iterable[Record]) -> list[Record]:
    """Where drawing shows less than three quarters of the effect gone."""
    return [record for record in dependent(records) if _removed_or_none(record, is_drawn=True) < ASKED]


def kinds_table(records: Sequence[Record]) -> str:
    """Each kind's networks: the effect by drawing before and repaired."""
    rows = []
    for planting in dict.fromkeys(record["planting"] for record in records):
        some = [record for record in records if record["planting"] == planting]
        told = "; ".join(map(_in_short, some))
        proved = share(record["target"] is not None and record["repair"]["proved"] for record in some)
        rows.append((planting, f"{proved.hits} of {proved.of}", told))
    return table(
        ("what is planted", "proved", "network: factor, way, effect by drawing before → repaired, points"), *rows
    )


def _in_short(record: Record) -> str:
    name = record["case"].removeprefix(f"{record['planting']} ")
    if record["target"] is None:
        return f"{name}: nothing found"
    before = 100 * drawn_effect(record, BEFORE)
    after = f"{100 * drawn_effect(record, REPAIRED):+.0f}" if has(record, REPAIRED) else "none"
    repaired = record["repair"]
    return f"{name}: {repaired['factor']}, {repaired['way'] or 'no way'}, {before:+.0f} → {after}"


def minutes(records: Iterable[Record]) -> str:
    """The median minutes of the processor of each part, of cases that were done in one go."""
    whole = [record["cpu"] for record in records if not record["was_begun"]]
    rows = [
        (words, median((seconds[part] for seconds in whole if part in seconds), 1 / 60, ".1f"))
        for part, words in PARTS.items()
    ]
    total = median((sum(seconds.values()) for seconds in whole), 1 / 60, ".1f")
    return table(("part", "minutes of one processor"), *rows, ("all", total))


def counts(records: Sequence[Record]) -> Mapping[str, Share]:
    """How many cases there are of each sort."""
    open_ones = [record for record in records if not record["hopeless"]]
    return {
        "told by the audit as a shortcut": share(
            record["target"] is not None and record["target"]["is_told"] for record in open_ones
        ),
        "with an effect of 4 points or more by drawing": share(record in dependent(records) for record in open_ones),
        "networks that had converged": share(bool(record["training"]["converged"]) for record in records),
    }

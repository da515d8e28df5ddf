"""The page of a comparison: what both runs find side by side, decisions that flipped, maps, and who changed most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from seewhy.errors import StoreError
from seewhy.estimates import Estimate, p_words
from seewhy.evidence.findings.figures import interval, points, signed_points, watched_of
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.render.rows import Row
from seewhy.report.charts import interval_svg
from seewhy.report.provenance import Section, sections_of
from seewhy.report.stored import FolderView, StoredRun, estimate_of, read_run
from seewhy.report.view import KeyFact

MOST_ROWS = 16  # effects in a chart; the table has all
SAID = {
    "smaller": ("depends less", "none"),
    "larger": ("depends more", "none"),
    "turned": ("depends the other way", "caution"),
    "none larger than": ("changed by no more than {} points", "none"),
    "cannot say": ("cannot say", "unknown"),
}
FILES = {
    "comparison.json": "every number of these pages",
    "manifest.json": "which runs these are",
}


@dataclass(frozen=True)
class Change:
    """One factor and class in both runs, in words."""

    factor: str
    watched: str
    first: str
    second: str
    difference: str
    interval: str
    p_value: str
    how: str
    said: str
    tone: str


@dataclass(frozen=True)
class ComparisonView(FolderView):
    """What the page of a comparison says, from its folder and those of both runs, as far as they are there."""

    @property
    def network(self) -> str:
        """Both runs by name."""
        return " → ".join(self.names)

    @property
    def names(self) -> tuple[str, str]:
        """The names of both folders; with what is above them where they are called alike."""
        first, second = (Path(self.found[which]) for which in ("first", "second"))
        if first.name != second.name:
            return first.name, second.name
        return str(first), str(second)

    @cached_property
    def runs(self) -> tuple[StoredRun, StoredRun] | None:
        """Both runs; None where one is not where it was, or damaged."""
        runs = []
        for which, beside in zip(("first", "second"), self.found["beside"], strict=True):
            places = [self.stored.folder / beside, Path(self.found[which])]
            folder = next((place for place in places if place.is_dir()), None)
            try:
                runs.append(None if folder is None else read_run(folder.resolve()))
            except StoreError:
                return None
        first, second = runs
        return None if first is None or second is None else (first, second)

    @property
    def known(self) -> list[KeyFact]:
        """What is to be known in ten seconds: accuracy, flips, and how far maps moved."""
        decisions, maps, facts = self.found["decisions"], self.found["maps"], []
        if decisions["accuracy"] and decisions["difference"]:
            (before, after), change = decisions["accuracy"], decisions["difference"]
            words = f"{signed_points(change['value'])} {interval(estimate_of(change))}, n = {change['n']:,}"
            facts.append(KeyFact("accuracy", f"{before['value']:.0%} → {after['value']:.0%}", words, "none"))
        if decisions["n"]:
            facts.append(KeyFact("decisions flipped", f"{decisions['flipped']:,}", f"of {decisions['n']:,}", "none"))
        if maps:
            moved = maps["moved"]
            ends = f"[{100 * moved['low']:.0f}, {100 * moved['high']:.0f}], n = {moved['n']:,}"
            facts.append(KeyFact("of the maps lies elsewhere", f"{moved['value']:.0%}", ends, "none"))
        return facts

    @property
    def accuracy(self) -> str:
        """What changed in accuracy, in a sentence; "" without labels."""
        decisions = self.found["decisions"]
        if not decisions["difference"]:
            return ""
        test = decisions.get("test", "McNemar's exact test")
        return (
            f"{decisions['gained']:,} became right, {decisions['lost']:,} wrong "
            f"({p_words(decisions['p_value'])}, {test})."
        )

    @property
    def outputs(self) -> str:
        """How the outputs of networks that decide nothing differ, in a sentence; "" where they decide."""
        outputs = self.found["decisions"].get("outputs")
        return f"The {outputs['words']}." if outputs else ""

    @cached_property
    def both_chart(self) -> str:
        """Each effect in the first and in the second run, with intervals."""
        rows = [row for one in self._largest for row in _both(one, self._label(one))]
        title = "Effect of each factor in both runs"
        return interval_svg(rows, AUDIT_THRESHOLDS["floor"], title, f"{title}, with 95 % intervals.")

    @cached_property
    def change_chart(self) -> str:
        """The second run's effects less the first's, with their paired intervals."""
        rows = []
        for one in self._largest:
            change = estimate_of(one["difference"])
            kind = "none" if one["said"] == "none larger than" else one["said"]
            note = "the same trials" if one["paired"] else "not paired, errors added"
            rows.append(Row(self._label(one), change.value, change.low, change.high, kind, note=note))
        title = "What changed: the second run less the first"
        return interval_svg(rows, AUDIT_THRESHOLDS["floor"], title, f"{title}, with 95 % intervals.")

    @property
    def changes(self) -> list[Change]:
        """Every effect in both runs."""
        return [_change(one) for one in self._effects]

    @property
    def regions(self) -> list[tuple[str, str, str, str, str]]:
        """The share of the maps inside each region in both runs: region, both, the difference, and its p-value."""
        shifts = (self.found["maps"] or {}).get("regions", ())
        return [
            (
                shift["region"],
                f"{shift['first']:.0%}",
                f"{shift['second']:.0%}",
                f"{signed_points(shift['difference']['value'])} {interval(estimate_of(shift['difference']))}",
                p_words(shift["p_holm"]),
            )
            for shift in shifts
        ]

    @property
    def maps(self) -> str:
        """Which maps were compared, in words; "" where there are none."""
        maps = self.found["maps"]
        if not maps:
            return ""
        first, second = (f"{method} of {layer} for {score}" for method, layer, score in (maps["first"], maps["second"]))
        agreement = maps["rank_correlation"]
        left = f" {maps['empty']:,} images are left out, since a map is empty." if maps["empty"] else ""
        which = first if first == second else f"{first} → {second}"
        return f"{which}. Rank correlation of the raw maps: {agreement['value']:.2f}, the mean over images.{left}"

    @property
    def sections(self) -> list[Section]:
        """How the comparison was made."""
        return sections_of(self.stored)

    @property
    def files(self) -> list[tuple[str, str]]:
        """What the folder holds."""
        return [(name, words) for name, words in FILES.items() if (self.stored.folder / name).exists()]

    @property
    def _effects(self) -> Sequence[Mapping[str, Any]]:
        effects: Sequence[Mapping[str, Any]] = self.found["effects"]
        return effects

    @property
    def _largest(self) -> list[Mapping[str, Any]]:
        """The effects that changed most, or are largest, as many as a chart can hold, in the order of the audit."""
        known = [one for one in self._effects if one["difference"]["value"] is not None]
        ordered = sorted(known, key=lambda one: -max(abs(one["first"]), abs(one["second"])))[:MOST_ROWS]
        return [one for one in self._effects if any(one is other for other in ordered)]

    def _label(self, one: Mapping[str, Any]) -> str:
        """The factor, and whose probability it moves where the runs ask about more than one class."""
        several = len({other["contrast"] for other in self._effects}) > 1
        return f"{one['factor']}, {watched_of(one['contrast'])}" if several else str(one["factor"])


def _both(one: Mapping[str, Any], label: str) -> Iterator[Row]:
    for which, name in (("first", label), ("second", "")):
        ends = one.get(f"{which}_interval") or (None, None)
        low, high = (end if end is not None else limit for end, limit in zip(ends, (-1.0, 1.0), strict=True))
        yield Row(name, one[which], low, high, which)


def _change(one: Mapping[str, Any]) -> Change:
    difference: Estimate = estimate_of(one["difference"])
    said, tone = SAID.get(one["said"], (one["said"], "none"))
    return Change(
        factor=one["factor"],
        watched=watched_of(one["contrast"]),
        first=points(one["first"]),
        second=points(one["second"]),
        difference=signed_points(difference.value),
        interval=interval(difference),
        p_value=p_words(one["p_holm"]),
        how="the same trials" if one["paired"] else "errors added",
        said=said.format(f"{100 * AUDIT_THRESHOLDS['floor']:g}"),
        tone=tone,
    )

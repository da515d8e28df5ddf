"""The page of a repair: whether it is proved, against which control arms, what it cost, and what was tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from seewhy.errors import listed
from seewhy.estimates import p_words
from seewhy.evidence.findings.figures import interval, points, signed_points, watched_of
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.records import Progress
from seewhy.render.chart import Share
from seewhy.render.rows import ARM_NAMES, Row
from seewhy.report.charts import interval_svg, share_svg
from seewhy.report.pages import copy_assets, write_page
from seewhy.report.provenance import Section, sections_of
from seewhy.report.stored import FolderView, StoredRun, estimate_of
from seewhy.report.view import KeyFact

BEFORE, REPAIRED = "before", "repaired"
FILES = {
    "model.pt": "the repaired network's weights, which load wherever the old ones did",
    "repair.json": "every number of these pages",
    "manifest.json": "everything that decides the result, with versions",
}
MOST_DRAWN, ENOUGH = 24, 10  # classes and groups in one chart; images of one where there are more
RISES = {"rose": "bad", "may have risen": "caution", "cannot say": "unknown", "no": "good"}


@dataclass(frozen=True)
class Margin:
    """How much more of the effect a control arm has left: its words, the points with interval, and the p-value."""

    control: str
    value: str
    interval: str
    p_value: str
    holds: bool


@dataclass(frozen=True)
class Further:
    """A factor that was asked with the first: its effect by arm, and how much more its closest control has left."""

    factor: str
    watched: str
    before: str
    control: str
    repaired: str
    margin: Margin


@dataclass(frozen=True)
class Other:
    """Another factor before and after the repair."""

    factor: str
    watched: str
    before: str
    after: str
    rise: str
    interval: str
    said: str
    tone: str


@dataclass(frozen=True)
class Tried:
    """A way: what it leaves on the half that chooses, its accuracy there and the change, or why it was not tried."""

    name: str
    words: str
    left: str
    accuracy: str
    change: str
    why: str = ""
    is_chosen: bool = False


@dataclass(frozen=True)
class RepairView(FolderView):
    """What the page of a repair says, from its folder."""

    @property
    def network(self) -> str:
        """The network's name."""
        return str(self.stored.manifest.get("summary", {}).get("network") or "network")

    @property
    def factor(self) -> str:
        """What was to be taken out of the network, that of the first finding."""
        return str(self.found["factor"])

    @property
    def names(self) -> str:
        """All that was to be taken out of it."""
        return str(self.found.get("names", self.factor))

    @property
    def headline(self) -> str:
        """The proof in a sentence, without what the control arm was."""
        if not self.found["margins"]:
            return str(self.found["headline"])
        closest = self.found["margins"][self.found["closest"]]
        verb = "beats" if estimate_of(closest).low > 0 else "does not beat"
        by = f"{points(closest['value'])} points {interval(estimate_of(closest))}"
        further = [
            f"; {one.factor}: {'beats its own by' if one.margin.holds else 'does not beat its own:'} "
            f"{one.margin.value} {one.margin.interval}"
            for one in self.further
        ]
        return f"{self.factor}: {self.found['way']} {verb} its control by {by}{''.join(further)}"

    @property
    def is_proved(self) -> bool:
        """Whether the repair is proved."""
        return bool(self.found["proved"])

    @property
    def watched(self) -> str:
        """Whose probability the effect is about."""
        return watched_of(self.found["contrast"])

    @property
    def known(self) -> list[KeyFact]:
        """What is to be known in ten seconds: the effect before and after, the margin, the accuracy."""
        if not self._arms:
            return []
        before, after = (self._arms[name] for name in (BEFORE, REPAIRED))
        tone = "good" if self.is_proved else "bad"
        closest = self.found["margins"][self.found["closest"]]
        cost = self.found["cost"]["difference"]
        return [
            KeyFact(
                f"effect of {self.factor}",
                f"{points(before['mean'])} → {points(after['mean'])}",
                f"points of {self.watched}",
                "none",
            ),
            *(
                KeyFact(f"effect of {one.factor}", f"{one.before} → {one.repaired}", f"points of {one.watched}", "none")
                for one in self.further
            ),
            KeyFact(
                "less than its closest control",
                f"{points(closest['value'])} points",
                f"{interval(estimate_of(closest))}, {p_words(closest['p_value'])}",
                tone,
            ),
            KeyFact(
                "accuracy",
                f"{before['accuracy']['value']:.0%} → {after['accuracy']['value']:.0%}",
                f"{signed_points(cost['value'])} {interval(estimate_of(cost))}, n = {cost['n']:,}",
                "none",
            ),
        ]

    @cached_property
    def effect_chart(self) -> str:
        """The effect before, in the control arms, and repaired, with intervals that know the seeds."""
        rows = []
        for name, arm in self._arms.items():
            kind = name if name in (BEFORE, REPAIRED) else "control"
            shown = estimate_of(arm.get("over_seeds") or arm["effect"])
            rows.append(Row(_arm_name(name), shown.value, shown.low, shown.high, kind))
        ordered = sorted(rows, key=lambda row: ("before", "control", "repaired").index(row.kind))
        title = f"Effect of {self.factor} on {self.watched}"
        return interval_svg(
            ordered, AUDIT_THRESHOLDS["floor"], title, f"{title}, before, in control arms and repaired."
        )

    @property
    def margins(self) -> list[Margin]:
        """How much more each control has left, and that of the network before."""
        margins = {
            f"{_arm_name(name)}: {self._arms[name]['words']}": one for name, one in self.found["margins"].items()
        }
        reduction = {"the network before": self.found["reduction"]} if self.found.get("reduction") else {}
        return [_margin(words, one) for words, one in (*margins.items(), *reduction.items())]

    @property
    def further(self) -> list[Further]:
        """What was asked with it."""
        told = []
        for one in self.found.get("further", ()):
            closest = min(one["margins"], key=lambda name: estimate_of(one["margins"][name]).low)
            left = {name: points(mean) for name, mean in one["means"].items()}
            margin = _margin(_arm_name(closest), one["margins"][closest])
            told.append(
                Further(
                    factor=one["factor"],
                    watched=watched_of(one["contrast"]),
                    before=left[BEFORE],
                    control=left[closest],
                    repaired=left[REPAIRED],
                    margin=margin,
                )
            )
        return told

    @cached_property
    def accuracy_chart(self) -> str:
        """The accuracy as the images are, and with the factor changed."""
        changed = "the mark laid over" if self.found.get("is_mark") else "factor exchanged"
        kinds = {"as the images are": "accuracy", changed: "exchanged"}
        shares = [
            Share(words, _arm_name(arm), *_shares(self._arms[arm][kind]))
            for words, kind in kinds.items()
            for arm in self._shown_arms
        ]
        title = "Share of right answers"
        return share_svg(shares, None, title, f"{title} as the images are, and with {self.names} changed.")

    @cached_property
    def cells_chart(self) -> str:
        """The accuracy by class and by what the factor says; of many those with enough images, "" where none has."""
        enough = [at for at, cell in enumerate(self._cells) if cell["accuracy"]["n"] >= ENOUGH]
        drawn = range(len(self._cells)) if len(self._cells) <= MOST_DRAWN else enough
        if not drawn:
            return ""
        shares = [
            Share(f"{cell['label']}, {cell['group']}", _arm_name(arm), *_shares(cell["accuracy"]))
            for cell_at in drawn
            for arm in self._shown_arms
            for cell in [self._arms[arm]["cells"][cell_at]]
        ]
        title = "Share of right answers by class and group"
        return share_svg(shares, None, title, f"{title}: classes by what {self.factor} says in the image.")

    @property
    def worst(self) -> str:
        """The worst class and group of each arm, in words, and those that are too few images to be it."""
        told = [
            f"{_arm_name(arm)} {worst['label']} where {worst['group']}: {estimate_of(worst['accuracy'])}"
            for arm in self._shown_arms
            if (worst := self._arms[arm]["worst"])
        ]
        worst = [f"The worst: {listed(told)}."] if told else []
        return " ".join([*worst, *([self.found["too_few"]] if self.found.get("too_few") else [])])

    @property
    def others(self) -> list[Other]:
        """Every other factor that was audited."""
        return [
            Other(
                factor=one["factor"],
                watched=watched_of(one["contrast"]),
                before=points(one["before"]),
                after=points(one["after"]),
                rise=signed_points(one["rise"]["value"]),
                interval=interval(estimate_of(one["rise"])),
                said=_said(one),
                tone="good" if one.get("may_rise", one["is_core"]) else RISES.get(one["said"], "none"),
            )
            for one in self.found["others"]
        ]

    @property
    def tried(self) -> list[Tried]:
        """The ways on the half that chooses, and those that were left out."""
        return [*self._tries(), *(Tried(name, "", "", "", "", why) for name, why in self.found["refused"].items())]

    @property
    def sections(self) -> list[Section]:
        """How the repair was made."""
        return sections_of(self.stored)

    @property
    def files(self) -> list[tuple[str, str]]:
        """What the folder holds."""
        return [(name, words) for name, words in FILES.items() if (self.stored.folder / name).exists()]

    def _tries(self) -> Iterator[Tried]:
        for one in self.found["tried"]:
            if one["error"] or one["remaining"] is None:
                yield Tried(one["way"], one["words"], "", "", "", one["error"] or "it failed")
                continue
            yield Tried(
                name=one["way"],
                words=one["words"],
                left="; ".join(
                    (
                        f"{points(one['remaining'])} points",
                        *(f"{points(left)} of {name}" for name, left in one.get("further", {}).items()),
                    )
                ),
                accuracy=f"{one['accuracy']:.1%}",
                change=signed_points(one["change"]),
                is_chosen=one["way"] == self.found["way"],
            )

    @property
    def _arms(self) -> Mapping[str, Any]:
        arms: Mapping[str, Any] = self.found["arms"]
        return arms

    @property
    def _shown_arms(self) -> list[str]:
        """Repaired, before, and the control with the most to say against it."""
        return [name for name in (REPAIRED, BEFORE, self.found["closest"]) if name in self._arms]

    @property
    def _cells(self) -> Sequence[Any]:
        return self._arms[BEFORE].get("cells") or () if self._arms else ()


@dataclass(frozen=True)
class RepairPages:
    """The page of a repair, written into a folder."""

    view: RepairView
    folder: Path
    stamp: str

    def write(self, progress: Progress) -> bool:
        """Write the page; it has no pictures."""
        copy_assets(self.folder)
        path = self.folder / "index.html"
        write_page(path, "repair.html", self.stamp, view=self.view, section="summary", has_images=False)
        progress(1, 1)
        return True


def pages_of(stored: StoredRun, folder: Path, stamp: str) -> RepairPages:
    """What writes the page of a repair's run into a folder."""
    return RepairPages(RepairView(stored), folder, stamp)


def _said(other: Mapping[str, Any]) -> str:
    """Whether an effect rose, in words."""
    if other["is_core"]:
        return "should decide, may rise"
    return "rose in the core alone" if other.get("is_inside") else str(other["said"])


def _margin(words: str, stored: Mapping[str, Any]) -> Margin:
    shown = estimate_of(stored)
    by = f"{points(stored['value'])} points"
    return Margin(words, by, interval(shown), p_words(stored["p_value"]), shown.low > 0)


def _shares(stored: Mapping[str, Any]) -> tuple[float, float, float, int]:
    shown = estimate_of(stored)
    return shown.value, shown.low, shown.high, int(stored["n"])


def _arm_name(name: str) -> str:
    return ARM_NAMES.get(name, name)

"""From a stored run to what its pages say: everything is decided here, the templates only lay it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from seewhy.evidence.chart_rows import rows_of_findings
from seewhy.render.chart import NARROW, WIDE, Share, histogram_chart, interval_chart, share_chart
from seewhy.report.accuracy import Accuracy, Confusion, accuracies, confusions, guessing
from seewhy.report.averages import EVERY_CLASS, MeanTable, mean_tables
from seewhy.report.exchanges import Donors, Exchange
from seewhy.report.findings import (
    Card,
    Number,
    Paper,
    effect_of,
    is_plain,
    is_untested,
    papers_of,
    too_few,
    verdicts_of,
)
from seewhy.report.headline import headline_of
from seewhy.report.method import Section, files_of, images_argument, other_command, sections_of
from seewhy.report.stored import Stored
from seewhy.report.table import Followed

GRADES = {
    "A": "nothing speaks against reading them",
    "B": "read them with the reasons in mind",
    "C": "do not read them as what the network uses",
}
CHECKED = {"bad": "bad", "caution": "caution", "cannot say": "unknown", "good": "good"}
MOST_CLASSES = 24  # of the accuracy chart


@dataclass(frozen=True)
class Known:
    """One fact in short: what, its value, the interval with its count or the words behind it, and how grave it is."""

    what: str
    value: str
    more: str
    tone: str


@dataclass(frozen=True)
class Grade:
    """The grade of one layer's maps in words; only of maps that the run itself shows."""

    layer: str
    grade: str
    words: str

    @property
    def tone(self) -> str:
        """How grave it is."""
        return {"A": "good", "B": "caution", "C": "bad"}.get(self.grade, "unknown")


@dataclass(frozen=True)
class Plain:
    """A tested factor of which nothing is claimed: what the test says, its effect, and the share of flips."""

    factor: str
    said: str
    effect: Number | None
    flips: Number | None
    page: str


@dataclass(frozen=True)
class RegionShare:
    """Where the maps lie, as a hypothesis: share of their positive part inside a region, and that over its area."""

    region: str
    split: str
    share: str
    lift: str
    count: str


@dataclass(frozen=True)
class FindingPage:
    """One finding with everything behind it."""

    paper: Paper
    chart: str
    exchanges: tuple[Exchange, ...]
    donors: Donors | None
    histogram: str
    shares: tuple[RegionShare, ...]


@dataclass(frozen=True)
class View:
    """What the pages of one run say; `checked` is the check of the same classifier, where one was made."""

    stored: Stored
    checked: Stored | None = None

    @property
    def command(self) -> str:
        """What kind of run it is: explain, check or audit."""
        return self.stored.command

    @property
    def found(self) -> Mapping[str, Any]:
        """What the run's command has to say."""
        return self.stored.found

    @cached_property
    def network(self) -> str:
        """The network's name."""
        return str(self.stored.classifier.get("network") or "network")

    @cached_property
    def papers(self) -> list[Paper]:
        """All findings of an audit."""
        return papers_of(verdicts_of(self.found)) if self.command == "audit" else []

    @property
    def cards(self) -> list[Card]:
        """The findings that are told one by one."""
        return [one.card for one in self.papers if not is_plain(one.verdict) and not is_untested(one.verdict)]

    @property
    def untested(self) -> list[Card]:
        """The factors that could not be tested, each with its reason."""
        return [one.card for one in self.papers if is_untested(one.verdict)]

    @property
    def plain(self) -> list[Plain]:
        """The factors of which nothing is claimed."""
        found = []
        for one in self.papers:
            if is_plain(one.verdict):
                flips = next((number for number in one.numbers if number.what.startswith("Decisions that flip")), None)
                few = too_few(one.verdict)
                said = one.card.level.lower() if few is None else f"too few images: {few} of a class"
                found.append(
                    Plain(one.card.factor, said, effect_of(one.verdict) if few is None else None, flips, one.card.page)
                )
        return found

    @property
    def followed(self) -> list[Followed]:
        """The findings whose images can be looked for."""
        return [Followed(one.card.factor, _title(one.card), one.card.page) for one in self.papers if one.card.page]

    @property
    def exchanged(self) -> bool:
        """Whether anything was exchanged between images."""
        return any(
            "probability" in one.verdict.numbers and one.verdict.numbers.get("kind") != "insert" for one in self.papers
        )

    @property
    def marked(self) -> bool:
        """Whether marks were laid over images."""
        return any(one.verdict.numbers.get("kind") == "insert" for one in self.papers)

    @cached_property
    def counted(self) -> str:
        """What was looked at, in a line."""
        splits = self.found.get("splits") or {}
        count = len(self.stored.outcomes) or self.found.get("images", 0)
        some = f" ({', '.join(f'{n:,} {name}' for name, n in splits.items())})" if len(splits) > 1 else ""
        trials = f", {self.found['trials']:,} trials" if self.found.get("trials") else ""
        return f"{count:,} images{some}{trials}"

    @property
    def floor(self) -> float:
        """The share below which the run reports no effect."""
        return float((self.found.get("thresholds") or {}).get("floor", 0.0))

    @cached_property
    def headline(self) -> str:
        """The one thing to know first, with its effect, interval and count."""
        if self.command == "audit":
            return headline_of(self.papers, self.floor)
        bad = [card.text for card in self.findings_of_check if card.tone == "bad"]
        if bad:
            return bad[0]
        if self.command == "check":
            return next((card.text for card in self.findings_of_check), "Nothing was found.")
        count = self.found.get("images", 0) - self.found.get("without_result", 0)
        return f"Maps of {count:,} images: hypotheses that nothing has tested yet"

    @property
    def known(self) -> list[Known]:
        """What a colleague needs in ten seconds: how often it is right, what it depends on, may its maps be read."""
        new_first = sorted(
            (one for one in self.accuracy if one.label is None or len({a.label for a in self.accuracy}) == 1),
            key=lambda one: one.split == "train",
        )
        found = [
            Known(
                f"right on {one.split or 'all'} images",
                f"{100 * one.share.value:.0f} %",
                f"{100 * one.share.low:.0f} to {100 * one.share.high:.0f} %, n = {one.share.n:,}",
                "none",
            )
            for one in new_first
        ]
        for paper in self.papers:
            number = effect_of(paper.verdict) if "depends" in paper.verdict.claims else None
            if number is not None:
                claim = next((one for one in paper.card.claims if one != "depends"), "depends")
                words = f"{paper.card.factor}: {claim}"
                found.append(Known(words, number.value, f"{number.interval}, {number.count}", paper.card.tone))
        found += [Known(f"maps of {one.layer}", f"grade {one.grade}", one.words, one.tone) for one in self.grades]
        return found

    @cached_property
    def accuracy(self) -> list[Accuracy]:
        """How often the classifier is right, by split and class."""
        return accuracies(self.stored.outcomes)

    @cached_property
    def chance(self) -> float | None:
        """The accuracy of guessing."""
        return guessing(self.stored.outcomes, len(self.stored.classes))

    @cached_property
    def confusions(self) -> list[Confusion]:
        """What is taken for what."""
        return confusions(self.stored.outcomes, self.stored.classes)

    @cached_property
    def findings_of_check(self) -> list[Card]:
        """What the check says, worst first."""
        source = self.found if self.command == "check" else self.checked.found if self.checked else {}
        return [
            Card(_PARTS.get(one["part"], one["part"]), one["level"].upper(), CHECKED[one["level"]], (), one["text"],
                 (), one.get("todo", ""))
            for one in source.get("findings", ())
        ]  # fmt: skip

    @cached_property
    def grades(self) -> list[Grade]:
        """May this run's maps be read: the grade of each layer that was examined by the same method and target."""
        source = self.found if self.command == "check" else self.checked.found if self.checked else {}
        graded = {
            layer: Grade(layer, grade, GRADES.get(grade, "")) for layer, grade in source.get("grades", {}).items()
        }
        if self.command == "check":
            return list(graded.values())
        own = {
            key.layer
            for key in self.stored.keys
            if key.method == source.get("method") and key.score == source.get("score")
        }
        return [one for layer, one in graded.items() if layer in own]

    @property
    def ungraded(self) -> str:
        """That the check has graded other maps than these, where it has; else nothing."""
        if self.checked is None or self.grades or not self.stored.keys:
            return ""
        other = self.checked.found
        key = self.stored.keys[0]
        return (
            f"These maps ({key.method} of {key.layer} for {key.score}) were not graded: the check beside this run "
            f"examined {other.get('method')} of {', '.join(other.get('layers', ()))} for {other.get('score')}."
        )

    @property
    def map_notes(self) -> list[str]:
        """What must be known where the maps are looked at."""
        shown = self.grades if self.stored.keys else []
        graded = [f"Maps of {one.layer}: grade {one.grade}, {one.words}." for one in shown if one.grade != "A"]
        return [*graded, *([self.ungraded] if self.ungraded else [])]

    @cached_property
    def chart(self) -> str:
        """The effects of all tested factors with their intervals, the floor and the controls, as SVG."""
        rows = rows_of_findings([vars(one.verdict) for one in self.papers if too_few(one.verdict) is None])
        if not rows:
            return ""
        return for_screens(
            interval_chart,
            rows,
            floor=self.floor,
            title="Effect of each tested factor",
            describe="How many points of probability each factor moves, by exchange between images; 95 % intervals.",
        )

    @cached_property
    def accuracy_chart(self) -> str:
        """The accuracy by split and class as SVG."""
        if not self.accuracy:
            return ""
        labels = {one.label for one in self.accuracy}
        shown = [one for one in self.accuracy if len(labels) <= MOST_CLASSES or one.label is None]
        shares = [
            Share(
                one.label or EVERY_CLASS,
                one.split or "all images",
                one.share.value,
                one.share.low,
                one.share.high,
                one.share.n,
            )
            for one in shown
        ]
        title = "Share of right answers"
        return for_screens(share_chart, shares, guess=self.chance, title=title, describe=f"{title} by split and class.")

    @cached_property
    def notes(self) -> list[str]:
        """What had to be decided or noticed."""
        unread = self.found.get("unreadable") or {}
        said = (
            [f"{len(unread)} images could not be used; the images page names each with its reason."] if unread else []
        )
        return [*self.found.get("notes", ()), *said]

    @property
    def warnings(self) -> list[str]:
        """What speaks against the regions that were named."""
        return [f"{name}: {text}" for name, words in (self.found.get("warnings") or {}).items() for text in words]

    @cached_property
    def shares(self) -> list[RegionShare]:
        """Where the maps lie: shares of regions by split."""
        maps = self.found.get("maps") if self.command == "audit" else None
        return _shares(maps) if isinstance(maps, Mapping) else []

    @cached_property
    def averages(self) -> list[MeanTable]:
        """The mean maps."""
        return mean_tables(self.stored)

    @property
    def sections(self) -> list[Section]:
        """How the run was made."""
        return sections_of(self.stored)

    @property
    def files(self) -> list[tuple[str, str]]:
        """What the run folder holds."""
        return files_of(self.stored)

    @property
    def next_commands(self) -> list[tuple[str, str]]:
        """What to do next: words, and a command line."""
        typed, data = self.stored.typed, images_argument(self.stored.typed)
        found: list[tuple[str, str]] = []
        if self.stored.identity.get("task", "classification") not in ("classification", "multi-label"):
            return found
        if self.command != "check" and self.checked is None:
            words = "Does it work, is it fed right, may its maps be read?  (Run it, then write this report again.)"
            found.append((words, other_command(typed, "check", data)))
        if self.command != "audit":
            labels = {one.image.label for one in self.stored.outcomes} - {None}
            where = data if len(labels) > 1 else "FOLDER_OF_ALL_CLASSES"
            words = "What do its decisions depend on? (--regions names parts, --core those that should matter.)"
            found.append((words, other_command(typed, "audit", where)))
        return found

    def page_of(self, paper: Paper, exchanges: Sequence[Exchange], donors: Donors | None) -> FindingPage:
        """The page of one finding."""
        factor = paper.card.factor
        rows = rows_of_findings([vars(paper.verdict)]) if too_few(paper.verdict) is None else []
        describe = f"The effect of {factor} on valid and on train with 95 % intervals, beside its control."
        title = f"Effect of {factor}"
        floor = self.floor
        chart = for_screens(interval_chart, rows, floor=floor, title=title, describe=describe) if rows else ""
        histogram = ""
        if donors is not None and any(donors.effects.values()):
            histogram = for_screens(
                histogram_chart,
                donors.effects,
                title=f"What each donor's {factor} does to {donors.watched}",
                unit="points of probability",
                describe="The distribution of the donors' own effects by their class.",
            )
        shares = tuple(one for one in self.shares if one.region in (factor, *paper.verdict.members))
        return FindingPage(paper, chart, tuple(exchanges), donors, histogram, shares)


def for_screens(chart: Callable[..., str], values: Any, **words: Any) -> str:
    """A chart twice, for a page and for a telephone: the style shows one of them."""
    return chart(values, width=WIDE, **words) + chart(values, width=NARROW, **words)


_PARTS = {"works": "Does it work?", "fed": "Is it fed as it was trained?", "maps": "May its maps be read?"}


def _title(card: Card) -> str:
    return f"{card.level} {card.factor}" + (f": {', '.join(card.claims)}" if card.claims else "")


def _shares(maps: Mapping[str, Any]) -> list[RegionShare]:
    found = []
    for split, regions in (maps.get("shares") or {}).items():
        for region, one in regions.items():
            if one.get("value") is None:
                continue
            lift = (maps.get("lifts") or {}).get(split, {}).get(region) or {}
            over = "" if lift.get("value") is None else f"{lift['value']:.2f} times an even spread"
            share = f"{one['value']:.0%} [{one['low']:.0%} to {one['high']:.0%}]" if one.get("low") is not None else "—"
            found.append(RegionShare(region, split, share, over, f"{one['n']:,} edited images"))
    return sorted(found, key=lambda one: (one.region, one.split != "train"))

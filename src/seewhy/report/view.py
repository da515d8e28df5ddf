"""From a stored run to what its pages say: everything is decided here, the templates only lay it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from seewhy.evidence.chart_rows import rows_of_findings
from seewhy.evidence.verdict import THRESHOLDS, Verdict
from seewhy.render.chart import NARROW, WIDE, Share, histogram_chart, interval_chart, share_chart
from seewhy.report.accuracy import EVERY, Accuracy, Confusion, accuracies, confusions, guessing
from seewhy.report.averages import MeanTable, mean_tables
from seewhy.report.exchanges import Donors, Exchange
from seewhy.report.findings import Card, Paper, effect_of, is_plain, is_untested, papers_of, verdicts_of, watched_of
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
class Grade:
    """The grade of one layer's maps in words."""

    layer: str
    grade: str
    words: str


@dataclass(frozen=True)
class Plain:
    """A tested factor of which nothing is claimed: its effect in words."""

    factor: str
    level: str
    value: str
    interval: str
    count: str
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
            number = effect_of(one.verdict) if is_plain(one.verdict) else None
            if number is not None:
                card = one.card
                found.append(Plain(card.factor, card.level, number.value, number.interval, number.count, card.page))
        return found

    @property
    def followed(self) -> list[Followed]:
        """The findings whose images can be looked for."""
        return [Followed(one.card.factor, _title(one.card), one.card.page) for one in self.papers if one.card.page]

    @cached_property
    def counted(self) -> str:
        """What was looked at, in a line."""
        splits = self.found.get("splits") or {}
        count = len(self.stored.outcomes) or self.found.get("images", 0)
        some = f" ({', '.join(f'{n:,} {name}' for name, n in splits.items())})" if len(splits) > 1 else ""
        trials = f", {self.found['trials']:,} trials" if self.found.get("trials") else ""
        return f"{count:,} images{some}{trials}"

    @cached_property
    def headline(self) -> str:
        """The one thing to know first, with its effect, interval and count."""
        if self.command == "audit":
            return headline_of(self.papers)
        if self.command == "check":
            return next((str(one["text"]) for one in self.found.get("findings", ())), "Nothing was found.")
        return f"Maps of {self.found.get('images', 0):,} images: hypotheses that nothing has tested yet"

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
        """May the maps be read: the grade of each layer."""
        source = self.found if self.command == "check" else self.checked.found if self.checked else {}
        return [Grade(layer, grade, GRADES.get(grade, "")) for layer, grade in source.get("grades", {}).items()]

    @cached_property
    def chart(self) -> str:
        """The effects of all tested factors with their intervals, the floor and the controls, as SVG."""
        rows = rows_of_findings([vars(one.verdict) for one in self.papers])
        if not rows:
            return ""
        return for_screens(
            interval_chart,
            rows,
            floor=THRESHOLDS["floor"],
            title="Effect of each tested factor",
            describe="How many points of probability each factor moves, by exchange between images; 95 % intervals.",
        )

    @cached_property
    def accuracy_chart(self) -> str:
        """The accuracy by split and class as SVG."""
        if not self.accuracy:
            return ""
        labels = {one.label for one in self.accuracy}
        shown = [one for one in self.accuracy if len(labels) <= MOST_CLASSES or one.label == EVERY]
        shares = [
            Share(one.label, one.split, one.share.value, one.share.low, one.share.high, one.share.n) for one in shown
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
        found = []
        if self.command != "check" and self.checked is None:
            words = "Does it work, is it fed right, may its maps be read?  (Run it, then write this report again.)"
            found.append((words, other_command(typed, "check", data)))
        if self.command != "audit":
            labels = {one.image.label for one in self.stored.outcomes} - {None}
            where = data if len(labels) > 1 else "FOLDER_OF_ALL_CLASSES"
            found.append(("What do its decisions depend on?", other_command(typed, "audit", where)))
        return found

    def page_of(self, paper: Paper, exchanges: Sequence[Exchange], donors: Donors | None) -> FindingPage:
        """The page of one finding."""
        factor = paper.card.factor
        rows = rows_of_findings([vars(paper.verdict)])
        describe = f"The effect of {factor} on valid and on train with 95 % intervals, beside its control."
        title = f"Effect of {factor}"
        floor = THRESHOLDS["floor"]
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


def headline_of(papers: Sequence[Paper]) -> str:
    """The gravest claim of an audit in a sentence; what cannot be said is said to be so."""
    wrong = [one for one in papers if "classifier" in one.verdict.claims]
    if wrong:
        return wrong[0].verdict.text
    for claim, one_of, many in (
        ("overfit", "Overfit", "factors overfit"),
        ("shortcut", "A shortcut", "shortcuts"),
        ("against the label", "Against the label", "factors act against the label"),
        ("intended", "It depends on what was named as its core", "parts of the core are used"),
        ("depends", "A dependence", "dependences"),
    ):
        with_it = [one for one in papers if claim in one.verdict.claims and "probability" in one.verdict.numbers]
        if with_it:
            count = one_of if len(with_it) == 1 else f"{len(with_it)} {many}; first"
            return f"{count}: {_effect(with_it[0].verdict)}"
    tested = [one for one in papers if "probability" in one.verdict.numbers]
    if not tested:
        return "Nothing could be tested"
    open_ones = sum(one.verdict.level == "CANNOT SAY" for one in tested)
    floor = f"{100 * THRESHOLDS['floor']:.0f} points"
    if open_ones:
        return f"No dependence is shown; for {open_ones} of {len(tested)} factors {floor} or more cannot be excluded"
    if len(tested) == 1:
        return f"{_effect(tested[0].verdict)}: no effect of {floor} or more"
    return f"None of {len(tested)} tested factors moves its answers by {floor} or more"


def _effect(verdict: Verdict) -> str:
    number, watched = effect_of(verdict), watched_of(verdict.numbers.get("contrast"))
    return f"{verdict.factor} moves {watched} by {number.value} [{number.interval}] ({number.count})" if number else ""


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
            found.append(RegionShare(region, split, share, over, f"n = {one['n']:,}"))
    return sorted(found, key=lambda one: (one.region, one.split != "train"))

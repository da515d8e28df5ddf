"""From a stored run to what its pages say: everything is decided here, the templates only lay it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from seewhy.errors import counted
from seewhy.explanation.notices import LEAST, trouble_of
from seewhy.report.accuracy import Accuracy, ConfusionTable, accuracies, confusions, guessing, sureness
from seewhy.report.averages import MeanTable, mean_tables
from seewhy.report.charts import accuracy_chart, donors_chart, effect_chart, sureness_chart
from seewhy.report.check import Grade, cards_of, grades_of, grades_of_maps, ungraded_words
from seewhy.report.classes import ClassGrid, ConfusionCard, confusion_cards, grid_of
from seewhy.report.exchanges import DonorEffects, DrawnTrial
from seewhy.report.findings import Card, FindingText, findings_of, is_untested, texts_of
from seewhy.report.headline import headline_of, plain_headline_of
from seewhy.report.next_commands import commands_after
from seewhy.report.numbers import Number, effect_of, line_of, too_few
from seewhy.report.provenance import Section, files_of, sections_of
from seewhy.report.shares import RegionShare, shares_of
from seewhy.report.stored import StoredRun
from seewhy.report.table import Filter


@dataclass(frozen=True)
class KeyFact:
    """One fact in short: what, its value, the interval with its count or the words behind it, and how grave it is."""

    what: str
    value: str
    more: str
    tone: str


@dataclass(frozen=True)
class Unclaimed:
    """A tested factor of which nothing is claimed: what the test says, its effect, and the share of flips."""

    factor: str
    said: str
    effect: Number | None
    flips: Number | None
    page: str


@dataclass(frozen=True)
class FindingPage:
    """One finding with everything behind it."""

    paper: FindingText
    chart: str
    exchanges: tuple[DrawnTrial, ...]
    donors: DonorEffects | None
    histogram: str
    shares: tuple[RegionShare, ...]


@dataclass(frozen=True)
class View:
    """What the pages of one run say; `checked` is the check of the same classifier, where one was made."""

    stored: StoredRun
    checked: StoredRun | None = None

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
    def papers(self) -> list[FindingText]:
        """All findings of an audit."""
        return texts_of(findings_of(self.found)) if self.command == "audit" else []

    @property
    def cards(self) -> list[Card]:
        """The findings that are told one by one."""
        return [paper.card for paper in self.papers if not paper.finding.is_plain and not is_untested(paper.finding)]

    @property
    def untested(self) -> list[Card]:
        """The factors that could not be tested, each with its reason."""
        return [paper.card for paper in self.papers if is_untested(paper.finding)]

    @property
    def plain(self) -> list[Unclaimed]:
        """The factors of which nothing is claimed."""
        factors = []
        for paper in self.papers:
            if paper.finding.is_plain:
                flips = line_of(paper.finding, "flips")
                few = too_few(paper.finding)
                said = paper.card.level.lower() if few is None else f"too few images: {few}"
                factors.append(
                    Unclaimed(
                        paper.card.factor,
                        said,
                        effect_of(paper.finding) if few is None else None,
                        flips,
                        paper.card.page,
                    )
                )
        return factors

    @property
    def followed(self) -> list[Filter]:
        """The findings whose images can be looked for."""
        return [
            Filter(paper.card.factor, _title(paper.card), paper.card.page) for paper in self.papers if paper.card.page
        ]

    @property
    def has_exchanges(self) -> bool:
        """Whether anything was exchanged between images."""
        return any(
            "probability" in paper.finding.numbers and paper.finding.numbers.get("kind") != "insert"
            for paper in self.papers
        )

    @property
    def has_marks(self) -> bool:
        """Whether marks were laid over images."""
        return any(paper.finding.numbers.get("kind") == "insert" for paper in self.papers)

    @cached_property
    def counted(self) -> str:
        """What was looked at, in a line."""
        splits = self.found.get("splits") or {}
        count = len(self.stored.outcomes) or self.found.get("images", 0)
        some = f" ({', '.join(f'{n:,} {name}' for name, n in splits.items())})" if len(splits) > 1 else ""
        trials = f", {counted(self.found['trials'], 'trial')}" if self.found.get("trials") else ""
        picked = f", those answered {self.picked}ly of {self.found['only']['images']:,}" if self.picked else ""
        unread = sum(outcome.error is not None for outcome in self.stored.outcomes)
        broken = f", {unread:,} of them could not be used" if unread else ""
        return f"{counted(count, 'image')}{some}{broken}{picked}{trials}"

    @property
    def floor(self) -> float:
        """The share below which the run reports no effect."""
        return float((self.found.get("thresholds") or {}).get("floor", 0.0))

    @cached_property
    def headline(self) -> str:
        """The one thing to know first."""
        if self.command == "audit":
            return plain_headline_of(self.papers) or headline_of(self.papers, self.floor)
        bad = [card.text for card in self.findings_of_check if card.tone == "bad"]
        if bad and not self.checked_images:
            return bad[0]
        if self.command == "check":
            counts = Counter(card.level.lower() for card in self.findings_of_check)
            return (
                f"Nothing bad is found: {', '.join(f'{count} {level}' for level, count in counts.items()) or 'nothing'}"
            )
        if self.trouble:
            return self.trouble
        count = self.found.get("images", 0) - self.found.get("without_result", 0)
        picked = f" that {'is' if count == 1 else 'are'} answered {self.picked}ly" if self.picked else ""
        return f"Maps of {counted(count, 'image')}{picked}: hypotheses that nothing has tested yet"

    @property
    def measured(self) -> str:
        """The headline of an audit with its effect, interval and count; "" where it has none of its own."""
        said = headline_of(self.papers, self.floor) if self.command == "audit" else ""
        return "" if said == self.headline else said

    @cached_property
    def trouble(self) -> str:
        """That the answers are no better than guesses, or all the same; "" where they are neither."""
        is_asked = self.command == "explain" and not self.picked
        return trouble_of(self.stored.outcomes, len(self.stored.classes)) if is_asked else ""

    @property
    def picked(self) -> str:
        """By which answers the images were picked, "wrong" or "right"; "" where they were not."""
        return str(self.stored.identity.get("only", ""))

    @property
    def known(self) -> list[KeyFact]:
        """What a colleague needs in ten seconds: how often it is right, what it depends on, may its maps be read."""
        new_first = sorted(
            (row for row in self.accuracy if row.label is None or len({a.label for a in self.accuracy}) == 1),
            key=lambda one: one.split == "train",
        )
        facts = [
            KeyFact(
                f"right on {row.split or 'all'} images",
                f"{100 * row.share.value:.0f} %",
                f"{100 * row.share.low:.0f} to {100 * row.share.high:.0f} %, n = {row.share.n:,}",
                "bad" if self.trouble else "none",
            )
            for row in new_first
        ]
        for paper in self.papers:
            number = effect_of(paper.finding) if "depends" in paper.finding.claims else None
            if number is not None:
                claim = next((name for name in paper.card.claims if name != "depends"), "depends")
                words = f"{paper.card.factor}: {claim}"
                facts.append(KeyFact(words, number.value, f"{number.interval}, {number.count}", paper.card.tone))
        if self.picked:
            only = self.found["only"]
            facts.append(
                KeyFact("answered wrongly", f"{only['wrong']:,}", f"of {only['right'] + only['wrong']:,}", "none")
            )
        facts += [
            KeyFact(f"maps of {grade.layer}", f"grade {grade.grade}", grade.words, grade.tone) for grade in self.grades
        ]
        return facts

    @cached_property
    def accuracy(self) -> list[Accuracy]:
        """How often the classifier is right, by split and class; [] of images that were picked by that."""
        return [] if self.picked else accuracies(self.stored.outcomes, self.stored.classes)

    @cached_property
    def chance(self) -> float | None:
        """The accuracy of guessing."""
        return guessing(self.stored.outcomes, len(self.stored.classes))

    @cached_property
    def confusions(self) -> list[ConfusionTable]:
        """What is taken for what."""
        return confusions(self.stored.outcomes, self.stored.classes)

    @cached_property
    def _check(self) -> Mapping[str, Any]:
        """What the check says, this run's own or that beside it."""
        return self.found if self.command == "check" else self.checked.found if self.checked else {}

    @cached_property
    def checked_images(self) -> str:
        """That the check beside this run was of other images, where it was; else nothing."""
        if self.checked is None:
            return ""
        own, theirs = ({row.digest or row.image.id for row in run.outcomes} for run in (self.stored, self.checked))
        common = len(own & theirs)
        if not own or not theirs or common == min(len(own), len(theirs)):  # all of the one are among the other
            return ""
        among = f"{common:,} of its {len(theirs):,} are" if common else f"none of its {len(theirs):,} is"
        return f"This check was of other images: {among} among those of this run."

    @cached_property
    def findings_of_check(self) -> list[Card]:
        """What the check says, worst first."""
        return cards_of(self._check)

    @cached_property
    def grades(self) -> list[Grade]:
        """May the maps be read: the grade of each layer, of another run's check only for these very maps."""
        return grades_of(self._check) if self.command == "check" else grades_of_maps(self._check, self.stored.keys)

    @property
    def ungraded(self) -> str:
        """That the check has graded other maps than these, where it has; else nothing."""
        is_of_others = self.checked is not None and not self.grades and self.stored.keys
        return ungraded_words(self._check, self.stored.keys[0]) if is_of_others else ""

    @property
    def map_notes(self) -> list[str]:
        """What must be known where the maps are looked at."""
        shown = self.grades if self.stored.keys else []
        graded = [
            f"Maps of {grade.layer}: grade {grade.grade}, {grade.words}." for grade in shown if grade.grade != "A"
        ]
        return [*graded, *([self.ungraded] if self.ungraded else [])]

    @cached_property
    def chart(self) -> str:
        """The effects of all tested factors."""
        return effect_chart([paper.finding for paper in self.papers], self.floor, "Effect of each tested factor")

    @cached_property
    def class_grid(self) -> ClassGrid | None:
        """Factor by class, of more than two classes."""
        pages = {name: paper.card.page for paper in self.papers for name in (paper.card.factor, *paper.finding.members)}
        return grid_of(self.found, pages) if self.command == "audit" else None

    @cached_property
    def confused(self) -> list[ConfusionCard]:
        """The most frequent confusions, with what moves the one class into the other."""
        split = next(iter(self.found.get("splits") or ()), None)
        return confusion_cards(self.found, split, self.floor) if self.command == "audit" else []

    @cached_property
    def accuracy_chart(self) -> str:
        """The accuracy by split and class."""
        return accuracy_chart(self.accuracy, self.chance)

    @cached_property
    def sureness_chart(self) -> str:
        """How often answers are right beside how sure they are; "" where too few images have a label."""
        bins = sureness(self.stored.outcomes)
        return sureness_chart(bins) if sum(row.share.n for row in bins) >= LEAST else ""

    @property
    def leaves_train_out(self) -> bool:
        """Whether there are images beside those that it was trained on."""
        splits = {outcome.image.split for outcome in self.stored.outcomes}
        return "train" in splits and len(splits) > 1

    @cached_property
    def notes(self) -> list[str]:
        """What had to be decided or noticed."""
        unread = self.found.get("unreadable") or {}
        said = (
            [f"{counted(len(unread), 'image')} could not be used; the images page names each with its reason."]
            if unread
            else []
        )
        return [*self.found.get("notes", ()), *said]

    @property
    def warnings(self) -> list[str]:
        """What speaks against the regions that were named."""
        return [f"{name}: {text}" for name, words in (self.found.get("warnings") or {}).items() for text in words]

    @property
    def columns(self) -> Mapping[str, Any]:
        """Other columns of the table and what they go with; {} where none was compared."""
        columns: Mapping[str, Any] = self.found.get("columns") or {} if self.command == "audit" else {}
        return columns if columns.get("tested") or columns.get("left_out") else {}

    @cached_property
    def shares(self) -> list[RegionShare]:
        """Where the maps lie: shares of regions by split."""
        maps = self.found.get("maps") if self.command == "audit" else None
        return shares_of(maps) if isinstance(maps, Mapping) else []

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
        return commands_after(self.stored, self.checked)

    def page_of(self, paper: FindingText, exchanges: Sequence[DrawnTrial], donors: DonorEffects | None) -> FindingPage:
        """The page of one finding."""
        factor = paper.card.factor
        chart = effect_chart([paper.finding], self.floor, f"Effect of {factor}")
        shares = tuple(share for share in self.shares if share.region in (factor, *paper.finding.members))
        return FindingPage(paper, chart, tuple(exchanges), donors, donors_chart(donors, factor), shares)


def _title(card: Card) -> str:
    return f"{card.level} {card.factor}" + (f": {', '.join(card.claims)}" if card.claims else "")

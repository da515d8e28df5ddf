"""What a repair gives: the changed network, the proof against control arms, or why it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from seewhy.errors import counted, listed
from seewhy.estimates import p_words
from seewhy.evidence.findings.figures import interval, points, signed_points, watched_of
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.learn.paired import name_of_test
from seewhy.learn.repair.arm import BEFORE, REPAIRED, Arm, Try
from seewhy.learn.repair.groups import Cell
from seewhy.learn.repair.others import OtherFactor
from seewhy.learn.repair.proof import LEAST_JUDGED, Cost, EffectProof, closest_of, together
from seewhy.learn.repair.reasons import MOST_LOST, was_its_own_help
from seewhy.render import notebook
from seewhy.render.page import BAD
from seewhy.render.rows import ARM_NAMES
from seewhy.store.plain import plain

MOST_NAMED = 8  # classes and groups of few images


@dataclass(frozen=True, repr=False)
class Repair:
    """A repair that is proved, or has failed: `arms` by name ("before", "repaired" and the controls), and `margins`.

    `margins` are how much more of the effect each control has left than the repaired networks, `reduction` the same of
    the network before; `further` is that of each factor that was repaired with it. `reasons` say why it failed; it is
    proved where there are none. `network` is the repaired network of the first seed, in eval mode (None where no way
    could be tried), `others` the other factors of the audit before and after, `cells` what to collect or to trim,
    `tried` and `refused` the other ways.
    """

    factor: str
    contrast: str
    way: str
    words: str
    arms: Mapping[str, Arm]
    margins: Mapping[str, ClassDifference]
    reduction: ClassDifference | None
    cost: Cost | None
    others: tuple[OtherFactor, ...]
    cells: tuple[Cell, ...]
    collect: str
    tried: tuple[Try, ...]
    refused: Mapping[str, str]
    reasons: tuple[str, ...]
    seeds: int
    images: int
    donors: int
    network: nn.Module | None = field(default=None, compare=False)
    folder: Path | None = None
    notes: tuple[str, ...] = ()
    is_mark: bool = False
    further: tuple[EffectProof, ...] = ()

    @property
    def is_proved(self) -> bool:
        """Whether it beats all of its controls, and nothing else is shown to be worse."""
        return not self.reasons

    @property
    def closest(self) -> str:
        """The control with the most to say against it: that of the smallest lower end of its margin."""
        return closest_of(self.margins)

    @property
    def exchanged_words(self) -> str:
        """Of which images the accuracy with the factor changed is."""
        if self.is_mark:
            return f"with {self.factor} laid over"
        return f"where {self.names} {'are' if self.further else 'is'} another image's"

    @property
    def names(self) -> str:
        """The factor, with those that were repaired with it."""
        *first, last = self.factor, *(each.factor for each in self.further)
        return f"{', '.join(first)} and {last}" if first else last

    @property
    def too_few(self) -> str:
        """The classes and groups that are too few images to be the worst, with what is right; "" where none is."""
        told = []
        for place, cell in enumerate(self.arms[BEFORE].cells if self.arms else ()):
            if cell.accuracy.n < LEAST_JUDGED:
                right = [f"{arm.cells[place].n_right} {ARM_NAMES.get(arm.name, arm.name)}" for arm in self._shown]
                told.append(f"{cell.accuracy.n} of {cell.label} where {cell.group} (right: {listed(right)})")
        named = listed(told, MOST_NAMED) if len(told) <= MOST_NAMED else f"{len(told)} classes and groups"
        return f"Left out of the worst, with fewer than {LEAST_JUDGED} images: {named}." if told else ""

    @property
    def headline(self) -> str:
        """The repair in one sentence."""
        if not self.margins:
            return f"{self.factor}: no repair, since no way could be tried."
        beats = self._beats(self.margins[self.closest], self.closest, self.images, self.donors)
        further = (
            f"; {each.factor}: it {_beats_its_own(each)} {points(each.margins[each.closest].value)} points "
            f"{interval(each.margins[each.closest])}"
            for each in self.further
        )
        return f"{self.factor}: {self.way} {beats}{''.join(further)}."

    def lines(self) -> list[str]:
        """The repair in about a dozen sentences."""
        proof = [*self._effects(), *self._further(), *self._accuracy(), *self._others()] if self.margins else []
        failed = ["The repair failed: " + " ".join(self.reasons)] if self.reasons else []
        return [self.headline, *failed, *proof, self.collect, *self._ways(), *self.notes]

    def summary(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON."""
        held = {name: value for name, value in vars(self).items() if name not in ("network", "folder", "others")}
        others = [{**vars(other), "said": other.said, "may_rise": other.may_rise} for other in self.others]
        told = {
            "names": self.names,
            "exchanged_words": self.exchanged_words,
            "proved": self.is_proved,
            "headline": self.headline,
            "closest": self.closest,
            "too_few": self.too_few,
            "lines": self.lines(),
        }
        summary: dict[str, Any] = plain({**held, "others": others, **told})
        return summary

    def __repr__(self) -> str:
        return "\n".join([f"<Repair of {self.names}>", *(f"  {line}" for line in self.lines())])

    def _repr_html_(self) -> str:
        first, *rest = self.lines()
        badge = "PROVED" if self.is_proved else "FAILED"
        colour = notebook.INK if self.is_proved else BAD
        card = notebook.card(badge, self.names, first, rest[:1] if not self.is_proved else (), colour=colour)
        return notebook.page(notebook.heading("Repair", [self.words or "none"]), card, notebook.bullets(rest))

    @property
    def _all_cells(self) -> Sequence[Cell]:
        """The cells of all that was repaired; none where those of one are not known."""
        return together([self.cells, *(each.cells for each in self.further)])

    @property
    def _shown(self) -> list[Arm]:
        """Before, repaired, and the control with the most to say against it."""
        return [arm for name, arm in self.arms.items() if name in (BEFORE, REPAIRED, self.closest)]

    def _beats(self, margin: ClassDifference, control: str, images: int, donors: int) -> str:
        """Whether it beats a control, and by how much."""
        beats, by = ("beats", " by") if margin.low > 0 else ("does not beat", ":")
        return f"{beats} its control ({self.arms[control].words}){by} {self._margin(margin, images, donors)}"

    def _margin(self, margin: ClassDifference, images: int, donors: int) -> str:
        made = f"1 network against {self.seeds}" if self._is_one_network else f"{counted(self.seeds, 'seed')} each"
        tests = f"{p_words(margin.p_value)}; {made}"
        of_donors = f", {counted(donors, 'donor')}" if donors else ""
        basis = f"{counted(images, 'image')} edited{of_donors}"
        return f"{points(margin.value)} points {interval(margin)} ({tests}, {basis})"

    @property
    def _is_one_network(self) -> bool:
        """Whether every seed made the same network."""
        return self.seeds > 1 and len(set(self.arms[REPAIRED].effects)) == 1

    def _effects(self) -> list[str]:
        left = [f"{arm.words} {points(arm.mean)}" for name, arm in self.arms.items() if name not in (BEFORE, REPAIRED)]
        before, after = self.arms[BEFORE], self.arms[REPAIRED]
        seeds = counted(self.seeds, "seed")
        of_all, of_controls = ("", f" (mean of {seeds})") if self._is_one_network else (f", mean of {seeds}", "")
        lines = [
            f"Effect on {watched_of(self.contrast)}{of_all}: {points(before.mean)} before, {points(after.mean)} "
            f"repaired; {listed(left, 4)} points{of_controls}."
        ]
        if len(after.effects) > 1 and not self._is_one_network:
            lines.append(f"The network that is given is that of the first seed: {points(after.effects[0])} points.")
        rest = [name for name in self.margins if name != self.closest]
        lines += [
            f"Over {self.arms[name].words}: {self._margin(self.margins[name], self.images, self.donors)}."
            for name in rest
        ]
        return lines

    def _further(self) -> list[str]:
        """What was repaired with it, each with its own proof."""
        return [
            f"{each.factor}, asked with it: {points(each.means[BEFORE])} points of {watched_of(each.contrast)} "
            f"before, {points(each.means[REPAIRED])} repaired; "
            f"{self._beats(each.margins[each.closest], each.closest, each.images, each.donors)}."
            for each in self.further
        ]

    def _accuracy(self) -> list[str]:
        before, after = self.arms[BEFORE], self.arms[REPAIRED]
        lines = []
        if self.cost is not None:
            change = self.cost.difference
            lines.append(
                f"Accuracy {before.accuracy} → {after.accuracy}: {signed_points(change.value)} {interval(change)} "
                f"({p_words(self.cost.p_value)}, {name_of_test(self.cost.n_clusters)}, {counted(change.n, 'image')})."
            )
            if change.high < 0 and was_its_own_help(before.exchanged, after.exchanged, self._all_cells):
                lines.append(
                    f"That is what {self.names} gave there: {self.exchanged_words}, accuracy rises from "
                    f"{before.exchanged} to {after.exchanged}, and the images show what else decides."
                )
            if change.low < -MOST_LOST and self.cost.p_value >= AUDIT_THRESHOLDS["level"]:
                lines.append(
                    f"That it costs more than {round(100 * MOST_LOST)} points is not excluded by so few images."
                )
        told = [f"{ARM_NAMES.get(arm.name, arm.name)} {arm.exchanged}" for arm in self._shown]
        what = f"Accuracy {self.exchanged_words} ({before.exchanged.n:,} trials, every class alike)"
        lines.append(f"{what}: {listed(told)}.")
        worst = [
            f"{ARM_NAMES.get(arm.name, arm.name)} {worst.accuracy} ({worst.label} where {worst.group}, "
            f"{counted(worst.accuracy.n, 'image')})"
            for arm in self._shown
            if (worst := arm.worst) is not None
        ]
        lines += [f"Worst class and group: {listed(worst)}."] if worst else []
        return [*lines, *([self.too_few] if self.too_few else [])]

    def _others(self) -> list[str]:
        floor = round(100 * AUDIT_THRESHOLDS["floor"])
        aside = [other for other in self.others if not other.may_rise]
        up = [f"{_risen(one)} ({one.said})" for one in aside if one.may_have_risen]
        lines = [f"Other factors up by more than {floor} points: {listed(up, 8)}."] if up else []
        unknown = dict.fromkeys(other.name for other in aside if other.said == "cannot say")
        count = sum(other.said == "no" for other in aside)
        if aside:
            rest = f"; cannot say: {listed(unknown, 12)}" if unknown else ""
            lines.append(f"Not up by {floor} points: {count} of {counted(len(aside), 'other effect')}{rest}.")
        core = [_risen(other) for other in self.others if other.is_core]
        lines += [f"What should decide: {listed(core, 4)}."] if core else []
        with_core = [_risen(other) for other in self.others if other.may_rise and not other.is_core]
        return lines + (
            [f"Told with the core by the audit, and no more outside of it: {listed(with_core, 4)}."]
            if with_core
            else []
        )

    def _ways(self) -> list[str]:
        tried = [
            f"{one.way} {f'failed: {one.error}' if one.error else _left(one)}"
            for one in self.tried
            if self.margins or not one.error
        ]
        lines = [f"Chosen on the other half of the images: {listed(tried, 6)}."] if len(tried) > 1 else []
        lines += [f"Not tried: {name}, {why}" for name, why in self.refused.items()] if self.margins else []
        return lines


def _beats_its_own(proof: EffectProof) -> str:
    """Whether a factor that was asked with the first beats its control, in front of by how much."""
    return "beats its own by" if proof.margins[proof.closest].low > 0 else "does not beat its own:"


def _left(tried: Try) -> str:
    further = "".join(f", {points(left)} of {name}" for name, left in tried.further.items())
    return f"leaves {points(tried.remaining)} points{further} (accuracy {signed_points(tried.change)})"


def _risen(other: OtherFactor) -> str:
    rise = f"{signed_points(other.rise.value)} {interval(other.rise)}"
    return f"{other.name} {points(other.before)} → {points(other.after)}, {rise}"

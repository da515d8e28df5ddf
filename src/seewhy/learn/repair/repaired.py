"""What a repair gives: the changed network, the proof against control arms, or why it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from seewhy.errors import counted, listed
from seewhy.estimates import Estimate, p_words
from seewhy.evidence.findings.figures import interval, points, signed_points, watched_of
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.learn.paired import name_of_test
from seewhy.learn.repair.groups import LEAST_CELL, Cell
from seewhy.learn.repair.proof import LEAST_JUDGED, Cost, OtherFactor
from seewhy.learn.repair.readings import CellAccuracy
from seewhy.render import notebook
from seewhy.render.page import BAD
from seewhy.render.rows import ARM_NAMES
from seewhy.store.plain import plain

BEFORE, REPAIRED = "before", "repaired"
MOST_LOST = 0.03  # of accuracy: a repair that costs more has failed
MOVED = 0.5  # of what a region lost, that a larger one has to lose as well; of what was told as the same cause, too


@dataclass(frozen=True)
class Try:
    """One way on the images that choose: what it leaves of the effect, and the accuracy it gains or loses there.

    Every class counts alike in `accuracy` and `change`.
    """

    way: str
    words: str
    remaining: float
    accuracy: float
    change: float
    error: str = ""


@dataclass(frozen=True)
class Arm:
    """The networks of one arm on the images that prove: the mean effect over the seeds, and those of its first seed.

    `over_seeds` is that mean with its interval, `effect` that of the first seed, `effects` those of all seeds.
    `exchanged` is the accuracy where the factor is another image's, or the mark laid over, every class alike; `cells`
    is that of the images as they are by class and group, and `worst` the lowest of these.
    """

    name: str
    words: str
    mean: float
    over_seeds: ClassDifference
    effects: tuple[float, ...]
    effect: ClassDifference
    accuracy: Estimate
    exchanged: Estimate
    worst: CellAccuracy | None
    cells: tuple[CellAccuracy, ...] = ()


@dataclass(frozen=True, repr=False)
class Repair:
    """A repair that is proved, or has failed: `arms` by name ("before", "repaired" and the controls), and `margins`.

    `margins` are how much more of the effect each control has left than the repaired networks, `reduction` the same of
    the network before. `reasons` say why it failed; it is proved where there are none. `network` is the repaired
    network of the first seed, in eval mode (None where no way could be tried), `others` the other factors of the audit
    before and after, `cells` what to collect or to trim, `tried` and `refused` the other ways.
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

    @property
    def is_proved(self) -> bool:
        """Whether it beats all of its controls, and nothing else is shown to be worse."""
        return not self.reasons

    @property
    def closest(self) -> str:
        """The control with the most to say against it: that of the smallest lower end of its margin."""
        return min(self.margins, key=lambda name: self.margins[name].low, default="")

    @property
    def exchanged_words(self) -> str:
        """Of which images the accuracy with the factor changed is."""
        return f"with {self.factor} laid over" if self.is_mark else f"where {self.factor} is another image's"

    @property
    def too_few(self) -> str:
        """The classes and groups that are too few images to be the worst, with what is right; "" where none is."""
        told = []
        for place, cell in enumerate(self.arms[BEFORE].cells if self.arms else ()):
            if cell.accuracy.n < LEAST_JUDGED:
                right = [f"{arm.cells[place].n_right} {ARM_NAMES.get(arm.name, arm.name)}" for arm in self._shown]
                told.append(f"{cell.accuracy.n} of {cell.label} where {cell.group} (right: {listed(right)})")
        return f"Left out of the worst, with fewer than {LEAST_JUDGED} images: {listed(told, 8)}." if told else ""

    @property
    def headline(self) -> str:
        """The repair in one sentence."""
        if not self.margins:
            return f"{self.factor}: no repair, since no way could be tried."
        beats = f"{self.factor}: {self.way} {self._verb} its control ({self.arms[self.closest].words})"
        return f"{beats} by {self._margin(self.closest)}."

    def lines(self) -> list[str]:
        """The repair in about a dozen sentences."""
        proof = [*self._effects(), *self._accuracy(), *self._others()] if self.margins else []
        failed = ["The repair failed: " + " ".join(self.reasons)] if self.reasons else []
        return [self.headline, *failed, *proof, self.collect, *self._ways(), *self.notes]

    def summary(self) -> dict[str, Any]:
        """Everything as plain values, ready for JSON."""
        held = {name: value for name, value in vars(self).items() if name not in ("network", "folder", "others")}
        others = [{**vars(other), "said": other.said} for other in self.others]
        told = {
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
        return "\n".join([f"<Repair of {self.factor}>", *(f"  {line}" for line in self.lines())])

    def _repr_html_(self) -> str:
        first, *rest = self.lines()
        badge = "PROVED" if self.is_proved else "FAILED"
        colour = notebook.INK if self.is_proved else BAD
        card = notebook.card(badge, self.factor, first, rest[:1] if not self.is_proved else (), colour=colour)
        return notebook.page(notebook.heading("Repair", [self.words or "none"]), card, notebook.bullets(rest))

    @property
    def _shown(self) -> list[Arm]:
        """Before, repaired, and the control with the most to say against it."""
        return [arm for name, arm in self.arms.items() if name in (BEFORE, REPAIRED, self.closest)]

    @property
    def _verb(self) -> str:
        margin = self.margins[self.closest]
        return "beats" if margin.low > 0 else "does not beat"

    def _margin(self, control: str) -> str:
        margin = self.margins[control]
        made = f"1 network against {self.seeds}" if self._is_one_network else f"{counted(self.seeds, 'seed')} each"
        tests = f"{p_words(margin.p_value)}; {made}"
        donors = f", {counted(self.donors, 'donor')}" if self.donors else ""
        basis = f"{counted(self.images, 'image')} edited{donors}"
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
        lines += [f"Over {self.arms[name].words}: {self._margin(name)}." for name in rest]
        return lines

    def _accuracy(self) -> list[str]:
        before, after = self.arms[BEFORE], self.arms[REPAIRED]
        lines = []
        if self.cost is not None:
            change = self.cost.difference
            lines.append(
                f"Accuracy {before.accuracy} → {after.accuracy}: {signed_points(change.value)} {interval(change)} "
                f"({p_words(self.cost.p_value)}, {name_of_test(self.cost.n_clusters)}, {counted(change.n, 'image')})."
            )
            if change.high < 0 and was_its_own_help(before.exchanged, after.exchanged, self.cells):
                lines.append(
                    f"That is what {self.factor} gave there: {self.exchanged_words}, accuracy rises from "
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
        aside = [other for other in self.others if not other.is_core]
        up = [f"{_risen(one)} ({one.said})" for one in aside if one.said in ("rose", "may have risen")]
        lines = [f"Other factors up by more than {floor} points: {listed(up, 8)}."] if up else []
        unknown = dict.fromkeys(other.name for other in aside if other.said == "cannot say")
        count = sum(other.said == "no" for other in aside)
        if aside:
            rest = f"; cannot say: {listed(unknown, 12)}" if unknown else ""
            lines.append(f"Not up by {floor} points: {count} of {counted(len(aside), 'other effect')}{rest}.")
        core = [_risen(other) for other in self.others if other.is_core]
        return [*lines, *([f"What should decide: {listed(core, 4)}."] if core else [])]

    def _ways(self) -> list[str]:
        tried = [
            f"{one.way} {f'failed: {one.error}' if one.error else _left(one)}"
            for one in self.tried
            if self.margins or not one.error
        ]
        lines = [f"Chosen on the other half of the images: {listed(tried, 6)}."] if len(tried) > 1 else []
        lines += [f"Not tried: {name}, {why}" for name, why in self.refused.items()] if self.margins else []
        return lines


def _left(tried: Try) -> str:
    return f"leaves {points(tried.remaining)} points (accuracy {signed_points(tried.change)})"


def _risen(other: OtherFactor) -> str:
    rise = f"{signed_points(other.rise.value)} {interval(other.rise)}"
    return f"{other.name} {points(other.before)} → {points(other.after)}, {rise}"


def was_its_own_help(before: Estimate, after: Estimate, cells: Sequence[Cell]) -> bool:
    """Whether accuracy that was lost on images as they are is what the factor had given there.

    It is where accuracy with the factor changed (`before`, `after`) is shown to rise, and where the images show what
    else decides: each class has enough of them in which the factor says another thing.
    """
    return after.low > before.high and bool(cells) and min(cell.count for cell in cells) >= LEAST_CELL


def has_moved(other: OtherFactor, fall: float) -> bool:
    """Whether a region is not shown to lose what a part of it has lost: to fall, and by at least half of that."""
    has_fallen = other.rise.high < 0 and -other.rise.value >= MOVED * fall
    return abs(other.before) >= MOVED * fall and not has_fallen


def is_left(other: OtherFactor, fall: float) -> bool:
    """Whether a region that was told as the same cause keeps more than half of its effect."""
    return abs(other.before) >= MOVED * fall and abs(other.after) > MOVED * abs(other.before)


def reasons_of(
    margins: Mapping[str, ClassDifference],
    reduction: ClassDifference,
    cost: Cost,
    arms: Mapping[str, Arm],
    others: Sequence[OtherFactor],
    chance: float,
    given: ClassDifference,
    cells: Sequence[Cell] = (),
) -> list[str]:
    """Why a repair has failed; [] where it is proved.

    It has to beat every control at 5 % (so all together are a test at 5 %: Berger 1982, Technometrics 24), to leave
    less than before, not to be shown to cost more than 3 points (unless these were the factor's own help) or to let
    another factor rise; a larger region that it is a part of must be shown to lose what it lost, and a region that was
    told as the same cause at least half of its effect; and something must be left that tells the classes apart. `given`
    is how far the effect rose in the network that is given alone, `cells` are the images of train by class and by what
    the factor says.
    """
    after = arms[REPAIRED]
    reasons = [
        f"It is not shown to leave less than its control ({arms[name].words}): {points(margin.value)} points "
        f"{interval(margin)} ({p_words(margin.p_value)})."
        for name, margin in margins.items()
        if not (margin.low > 0 and margin.p_value < AUDIT_THRESHOLDS["level"])
    ]
    if not reduction.low > 0:
        reasons.append(f"The effect is not shown to be smaller: by {points(reduction.value)} {interval(reduction)}.")
    elif not given.high < 0:
        reasons.append(
            "The network that is given, of the first seed, is not shown to have less of it by itself: by "
            f"{points(-given.value)} points [{points(-given.high)}, {points(-given.low)}]."
        )
    is_costly = cost.difference.value < -MOST_LOST and cost.p_value < AUDIT_THRESHOLDS["level"]
    if is_costly and not was_its_own_help(arms[BEFORE].exchanged, after.exchanged, cells):
        reasons.append(f"It costs {points(-cost.difference.value)} points of accuracy {interval(cost.difference)}.")
    rose = [other.name for other in others if other.said == "rose" and not other.is_core]
    if rose:
        reasons.append(f"What else rose instead: {listed(dict.fromkeys(rose), 8)}.")
    reasons += _what_stays(others, -given.value) if given.high < 0 else []
    if after.exchanged.low <= chance:
        reasons.append(
            f"Nothing else is shown to be learned: with the factor changed it is right in {after.exchanged} (every "
            f"class alike), where guessing gives {chance:.2f}. Other images are needed, not another training."
        )
    return reasons


def _what_stays(others: Sequence[OtherFactor], fall: float) -> list[str]:
    """The regions that should have lost what the repaired factor lost, and have not."""
    told = []
    for other in others:
        still = f"does {points(abs(other.after))} points still, {points(abs(other.before))} before"
        if other.holds_it and has_moved(other, fall):
            less = f"less by {points(-other.rise.value)} [{points(-other.rise.high)}, {points(-other.rise.low)}]"
            told.append(
                f"It is not shown to be gone: {other.factor}, of which it is a part, {still} ({less}, where it is less "
                f"by {points(fall)} itself)."
            )
        elif other.is_same_cause and is_left(other, fall):
            told.append(f"Most of it is left: {other.factor}, which was told as the same cause, {still}.")
    return told

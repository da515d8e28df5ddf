"""What a comparison of two runs gives: a dozen lines, every number behind them, and itself in a notebook."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seewhy.errors import counted, listed
from seewhy.estimates import Estimate, p_words
from seewhy.evidence.findings.figures import interval, points, signed_points
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.learn.compare.comparison_folder import save_comparison
from seewhy.learn.compare.decisions import Decisions, ImageChange
from seewhy.learn.compare.effect_changes import EffectChange
from seewhy.learn.compare.map_changes import MapChanges, RegionShift
from seewhy.learn.compare.matching import Matching
from seewhy.render import notebook
from seewhy.store.frames import frame_of
from seewhy.store.plain import plain

MOST_SHOWN = 4  # factors, images and regions in the printed lines
LEAST = 0.005  # of probability, below which an image is not said to have changed
WORDS = {
    "smaller": "depends less",
    "larger": "depends more",
    "turned": "depends the other way",
}


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two runs on the same images: `effects` of audits, `decisions`, `maps`, and `images` that changed most first.

    `first` and `second` are the folders, `levels` what each audit says of a factor where that differs, `notes` what
    was not compared, and why; `folder` is where it is kept, None in memory.
    """

    first: Path
    second: Path
    matching: Matching
    decisions: Decisions
    effects: tuple[EffectChange, ...]
    levels: dict[str, tuple[str, str]]
    maps: MapChanges | None
    images: tuple[ImageChange, ...] = field(repr=False)
    notes: tuple[str, ...] = ()
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def moved_most(self) -> list[ImageChange]:
        """The images with maps in both runs, those whose map moved furthest first."""
        known = [image for image in self.images if image.moved is not None]
        return sorted(known, key=lambda image: -(image.moved or 0.0))

    @property
    def flipped(self) -> list[ImageChange]:
        """The images whose decision is another, those whose probability changed most first."""
        return [image for image in self.images if image.flipped]

    @property
    def headline(self) -> str:
        """What is to be known first: the largest change of an effect that is shown, else of the decisions."""
        shown = sorted((one for one in self.effects if one.said in WORDS), key=lambda one: -abs(one.difference.value))
        if shown:
            one = shown[0]
            by = f"{points(one.first)} → {points(one.second)} points of {one.whose}"
            return f"{one.factor}: the second network {WORDS[one.said]} on it, {by}"
        if self.decisions.n_flipped:
            return f"{self.decisions.n_flipped:,} of {counted(self.decisions.n, 'decision')} flipped"
        if self.decisions.n:
            return f"No decision of {counted(self.decisions.n, 'image')} flipped"
        outputs = self.decisions.outputs
        return "No decisions to compare" if outputs is None else f"No decisions to compare; the {outputs.words}"

    @property
    def records(self) -> list[dict[str, Any]]:
        """A dict for each image: its label, both decisions, both probabilities, how far its map moved."""
        return [{**vars(image), "change": image.change} for image in self.images]

    def to_pandas(self) -> Any:
        """`records` as a pandas DataFrame. Raises MissingExtraError without pandas."""
        return frame_of(self.records)

    def lines(self) -> list[str]:
        """What differs, in about a dozen sentences."""
        decided = [*self._accuracy(), *self._flips()]
        return [*decided, *self._effects(), *self._levels(), *self._maps(), *self._images(), *self.notes]

    def summary(self) -> dict[str, Any]:
        """Everything but the images that changed little, as plain values ready for JSON."""
        outputs = self.decisions.outputs
        decisions = vars(self.decisions) | {
            "flips": [{"first": a, "second": b, "count": count} for (a, b), count in self.decisions.flips.items()],
            "flipped": self.decisions.n_flipped,
            "test": self.decisions.test,
            "outputs": None if outputs is None else {**vars(outputs), "words": outputs.words},
        }
        maps = None
        if self.maps is not None:
            maps = {
                "first": list(self.maps.keys[0]),
                "second": list(self.maps.keys[1]),
                "moved": vars(self.maps.distance),
                "rank_correlation": vars(self.maps.agreement),
                "empty": self.maps.empty,
                "regions": [vars(shift) for shift in self.maps.regions],
            }
        stored: dict[str, Any] = plain(
            {
                "first": str(self.first),
                "second": str(self.second),
                "images": {name: value for name, value in vars(self.matching).items() if name != "pairs"}
                | {"compared": len(self.matching.pairs)},
                "decisions": decisions,
                "effects": [{**vars(effect), "said": effect.said} for effect in self.effects],
                "levels": {name: list(levels) for name, levels in self.levels.items()},
                "maps": maps,
                "headline": self.headline,
                "flipped": [vars(image) for image in self.flipped[:20]],
                "changed_most": self.records[:20],
                "moved_most": [vars(image) for image in self.moved_most[:20]],
                "lines": self.lines(),
                "notes": list(self.notes),
            }
        )
        return stored

    def save(self, folder: str | Path) -> Path:
        """Keep it in a folder, as comparison.json with both mean maps, for `write_report`; gives the folder.

        Raises StoreError where the folder holds something else.
        """
        return save_comparison(self.summary(), self.maps, Path(folder))

    def __repr__(self) -> str:
        return "\n".join([f"<Comparison of {self.first} and {self.second}: {self._header}>", *self._indented])

    def _repr_html_(self) -> str:
        facts = [f"{self.first} → {self.second}", self._header]
        return notebook.page(notebook.heading("Comparison", facts), notebook.bullets(self.lines()))

    @property
    def _header(self) -> str:
        return f"{counted(len(self.matching.pairs), 'image')} in both"

    @property
    def _indented(self) -> list[str]:
        return [f"  {line}" for line in self.lines()]

    def _accuracy(self) -> list[str]:
        decisions = self.decisions
        if decisions.accuracy is None or decisions.difference is None:
            return []
        before, after = decisions.accuracy
        change = decisions.difference
        of = f" of {decisions.split}" if decisions.split else ""
        return [
            f"Accuracy {before} → {after}: {_change(change)} ({p_words(decisions.p_value)}, {decisions.test}, "
            f"{counted(change.n, 'image')}{of}); {decisions.gained:,} became right, {decisions.lost:,} wrong."
        ]

    def _flips(self) -> list[str]:
        decisions = self.decisions
        if not decisions.n:
            outputs = [] if decisions.outputs is None else [f"The {decisions.outputs.words}."]
            return ["No decisions to compare.", *outputs]
        ways = [f"{first} → {second} {count:,}" for (first, second), count in decisions.flips.items()]
        told = f": {listed(ways, MOST_SHOWN)}" if ways else ""
        return [f"{decisions.n_flipped:,} of {counted(decisions.n, 'decision')} flipped{told}."]

    def _effects(self) -> list[str]:
        shown = sorted((one for one in self.effects if one.said in WORDS), key=lambda one: -abs(one.difference.value))
        lines = [_effect_line(one, len(self.effects)) for one in shown[:MOST_SHOWN]]
        rest = [f"{self._factor(one)} ({_change(one.difference)})" for one in shown[MOST_SHOWN:]]
        lines += [f"Also changed: {listed(rest, 8)}."] if rest else []
        floor = round(100 * AUDIT_THRESHOLDS["floor"])
        for said, words in (
            ("none larger than", f"Changed by no more than {floor} points"),
            ("cannot say", "Cannot say whether changed"),
        ):
            those = [
                f"{self._factor(one)} {100 * one.difference.value:+.1f} {interval(one.difference)}"
                for one in self.effects
                if one.said == said
            ]
            lines += [f"{words}: {listed(those, 12)}."] if those else []
        return lines

    def _factor(self, change: EffectChange) -> str:
        """The factor, and of several classes whose probability it moves."""
        is_of_one = len({one.contrast for one in self.effects}) == 1
        return change.factor if is_of_one else f"{change.factor} on {change.whose}"

    def _levels(self) -> list[str]:
        told = [f"{name}: {first} → {second}" for name, (first, second) in self.levels.items()]
        return [f"Findings that differ: {listed(told, 8)}."] if told else []

    def _maps(self) -> list[str]:
        if self.maps is None:
            return []
        maps, (first, second) = self.maps, self.maps.keys
        what = _named(first) if first == second else f"{_named(first)} → {_named(second)}"
        moved = f"{maps.distance.value:.0%} [{100 * maps.distance.low:.0f}, {100 * maps.distance.high:.0f}]"
        left = f"; {maps.empty:,} left out, empty in one of both" if maps.empty else ""
        line = (
            f"Maps ({what}): {moved} of their positive part lies elsewhere on the mean, rank correlation "
            f"{maps.agreement.value:.2f} ({counted(maps.distance.n, 'image')}{left})."
        )
        shifts = [shift for shift in maps.regions if shift.p_holm < AUDIT_THRESHOLDS["level"]]
        shifts = sorted(shifts, key=lambda shift: -abs(shift.difference.value))[:MOST_SHOWN]
        told = [_shift_words(shift) for shift in shifts]
        tests = f"by Holm over {counted(len(maps.regions), 'region')}"
        return [line, *([f"Share of the maps inside, {tests}: {listed(told)}."] if told else [])]

    def _images(self) -> list[str]:
        changed = [image for image in self.images if abs(image.change) >= LEAST][:MOST_SHOWN]
        lines = []
        if changed:
            told = [f"{one.id} P({one.about}) {one.p_first:.2f} → {one.p_second:.2f}" for one in changed]
            lines.append(f"Changed most: {listed(told)}.")
        moved = [f"{one.id} {one.moved:.0%}" for one in self.moved_most[:MOST_SHOWN] if one.moved]
        return [*lines, *([f"Maps moved most: {listed(moved)}."] if moved else [])]


def order_of(images: Sequence[ImageChange]) -> tuple[ImageChange, ...]:
    """The images whose probability changed most first; those of which that is not known last."""
    return tuple(sorted(images, key=lambda one: -abs(one.change) if math.isfinite(one.change) else 1.0))


def _change(difference: Any) -> str:
    return f"{signed_points(difference.value)} {interval(difference)}"


def _effect_line(one: EffectChange, n_tests: int) -> str:
    how = "the same trials" if one.paired else "not paired, errors added"
    donors = f"{counted(one.donors, 'donor')}, " if one.donors else ""
    return (
        f"{one.factor}: {WORDS[one.said]}: effect on {one.whose} {points(one.first)} → {points(one.second)} points, "
        f"{_change(one.difference)} ({p_words(one.p_holm)} by Holm over {counted(n_tests, 'test')}; "
        f"{counted(one.images, 'image')} edited, {donors}{how})."
    )


def _shift_words(shift: RegionShift) -> str:
    words = Estimate(shift.difference.value, shift.difference.low, shift.difference.high, shift.n)
    return f"{shift.region} {shift.first:.0%} → {shift.second:.0%}, {_change(words)}, {p_words(shift.p_holm)}"


def _named(key: Sequence[str]) -> str:
    method, layer, score = key
    return f"{method} of {layer} for {score}"

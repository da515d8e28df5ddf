"""What --fail-on asks for, and whether the findings of a run hold it: the status of a command in a pipeline."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seewhy.cli.printing import plain
from seewhy.errors import OptionError, counted, listed, nearest

Summary = Mapping[str, Any]
_SIZES = ("strong", "moderate", "weak")  # of a dependence, as an audit tells them; worst first
_NEWS = ("bad", "caution", "cannot-say")  # of a check; worst first
_GRADES = ("C", "B")  # of maps; worst first
AUDIT_WORDS: Mapping[str, Sequence[str]] = {  # what may be asked for, and from which level on
    "shortcut": _SIZES,
    "overfit": _SIZES,
    "depends": _SIZES,
    "against-the-label": _SIZES,
    "core-not-used": (),
    "fragile": (),
    "classifier": (),
    "leak": (),
}
CHECK_WORDS: Mapping[str, Sequence[str]] = {
    "bad": (),
    "caution": (),
    "cannot-say": (),
    "works": _NEWS,
    "fed": _NEWS,
    "maps": _NEWS,
    "leak": (),
    "grade": _GRADES,
}
_NEED_CORE = ("shortcut", "core-not-used")
_PARTS = {"leak": "leaks"}  # as a check's findings call them
_NAMED = 3  # images in a line


@dataclass(frozen=True)
class Condition:
    """What may not be found, and from which level on; "" where any will do."""

    word: str
    level: str = ""

    def __str__(self) -> str:
        return f"{self.word}:{self.level}" if self.level else self.word


@dataclass(frozen=True)
class Judged:
    """A condition with the reasons why it fails, or why it could not be told; it holds where there are neither."""

    condition: Condition
    reasons: tuple[str, ...] = ()
    cannot_tell: str = ""

    def as_json(self) -> dict[str, Any]:
        """The condition and its reasons as plain values."""
        return {
            "condition": str(self.condition),
            "failed": bool(self.reasons),
            "reasons": list(self.reasons),
            "cannot_tell": self.cannot_tell,
        }


@dataclass(frozen=True)
class Gate:
    """The judged conditions of one command."""

    command: str
    judged: tuple[Judged, ...]

    @property
    def failed(self) -> bool:
        """Whether any condition has a reason."""
        return any(judged.reasons for judged in self.judged)

    def as_json(self) -> dict[str, Any]:
        """The gate as --json prints it."""
        return {"passed": not self.failed, "conditions": [judged.as_json() for judged in self.judged]}

    def lines(self) -> Iterator[str]:
        """A line for each reason, and for each condition that could not be told."""
        for judged in self.judged:
            yield from (f"FAILED  {judged.condition}: {reason}" for reason in judged.reasons)
            if judged.cannot_tell:
                yield f"NOT TOLD  {judged.condition}: {judged.cannot_tell}"

    def say(self) -> None:
        """The lines, on the error stream: what a command prints stays as it is."""
        for line in self.lines():
            print(plain(line.replace("\n", " ")), file=sys.stderr)


def conditions_of(text: str | None, words: Mapping[str, Sequence[str]]) -> tuple[Condition, ...]:
    """The conditions in `shortcut:moderate,overfit`, each once. Raises OptionError with the nearest words."""
    parts = [part.strip() for part in (text or "").split(",")]
    if text is not None and not all(parts):
        raise OptionError(f"--fail-on is {text!r}, but must look like {_example(words)}.\n  {_all(words)}")
    return tuple(dict.fromkeys(_condition(part, words) for part in parts if part))


def check_core(conditions: Sequence[Condition], core: str) -> None:
    """Raise OptionError where a condition can never fail because no core was named: such a gate is always open."""
    asking = [str(condition) for condition in conditions if condition.word in _NEED_CORE]
    if asking and not core.strip():
        raise OptionError(
            f"--fail-on {asking[0]} needs --core: without one an audit says what decisions depend on, and never that "
            "they should not.\n  Name where the object lies:  --core centre  or  --core object=FOLDER"
        )


def judge_audit(
    summary: Summary, conditions: Sequence[Condition], leaks: Callable[[], tuple[list[str], str]]
) -> tuple[Judged, ...]:
    """Each condition held against the findings of an audit.

    `leaks`, called where it is asked for, gives the reasons of the word leak, and why that cannot be told.
    """
    return tuple(_of_audit(summary, condition, leaks) for condition in conditions)


def judge_check(summary: Summary, conditions: Sequence[Condition]) -> tuple[Judged, ...]:
    """Each condition held against the findings of a check."""
    return tuple(_of_check(summary, condition) for condition in conditions)


def leaks_in_words(leaks: Any) -> tuple[list[str], str]:
    """A line for pictures and one for clusters that valid shares with train; why that cannot be told, else ""."""
    if leaks is None:
        return [], "there are no train and valid images side by side, as files"
    copies, reasons = leaks.copies.copies, []
    if copies:
        pairs = listed([f"{copy.image.id} is {copy.other.id}" for copy in copies], _NAMED)
        among = f"{len(copies):,} of {counted(leaks.copies.n_images, 'image')} of {leaks.split}"
        reasons.append(f"{among} {'is' if len(copies) == 1 else 'are'} in train, too, or nearly so ({pairs})")
    if leaks.clusters:
        among = f"{len(leaks.clusters):,} of {counted(leaks.n_clusters, 'cluster')} of {leaks.split}"
        reasons.append(f"{among} stand in train, too ({listed(leaks.clusters, _NAMED)})")
    return reasons, ""


def _of_audit(summary: Summary, condition: Condition, leaks: Callable[[], tuple[list[str], str]]) -> Judged:
    if condition.word == "leak":
        leaked, cannot_tell = leaks()
        return Judged(condition, tuple(leaked), cannot_tell)
    claiming = [finding for finding in summary["findings"] if condition.word in map(_as_word, finding["claims"])]
    least = _SIZES[: _SIZES.index(condition.level) + 1] if condition.level else ()
    failing = [finding for finding in claiming if not least or finding["level"].lower() in least]
    reasons = tuple(f"{_title(finding)}. {_first_sentence(finding['text'])}" for finding in failing)
    return Judged(condition, reasons, "" if reasons else _untold(summary, condition))


def _untold(summary: Summary, condition: Condition) -> str:
    """Why an audit could not claim it, whatever is true; "" where it could."""
    if condition.word == "classifier":
        return ""
    if not summary["tested"]:
        return "nothing could be tested"
    if condition.word in _NEED_CORE and not summary["core"]:
        return "the core that was named cannot be used, as the notes say"
    if condition.word == "overfit" and len(summary["splits"]) < 2:
        return f"there is one split alone ({listed(summary['splits'])}); overfit is told from train and valid"
    return ""


def _of_check(summary: Summary, condition: Condition) -> Judged:
    if condition.word == "grade":
        least = _GRADES[: _GRADES.index(condition.level or "C") + 1]
        graded = [f"maps of {layer} have grade {grade}" for layer, grade in summary["grades"].items() if grade in least]
        return Judged(condition, tuple(graded), "" if summary["grades"] else "no maps were graded")
    if condition.word in _NEWS:
        fitting = [finding for finding in summary["findings"] if _is_as_bad(finding, condition.word)]
    else:
        part = _PARTS.get(condition.word, condition.word)
        of_part = [finding for finding in summary["findings"] if finding["part"] == part]
        fitting = [finding for finding in of_part if _is_as_bad(finding, condition.level or "caution")]
    reasons = tuple(f"{finding['level'].upper()}  {finding['text']}" for finding in fitting)
    if condition.word == "leak" and summary.get("leaks") is None:
        return Judged(condition, reasons, leaks_in_words(None)[1])
    return Judged(condition, reasons)


def _is_as_bad(finding: Mapping[str, Any], level: str) -> bool:
    return _as_word(finding["level"]) in _NEWS[: _NEWS.index(level) + 1]


def _condition(part: str, words: Mapping[str, Sequence[str]]) -> Condition:
    name, colon, level = (piece.strip() for piece in part.partition(":"))
    word = _as_word(name)
    if word not in words:
        close = nearest(word, words) or f"Words: {listed(words, 20)}."
        raise OptionError(f"--fail-on knows no {name!r}.  {close}\n  {_all(words)}")
    by_name = {known.lower(): known for known in words[word]}
    if colon and _as_word(level) not in by_name:
        there = f"levels: {listed(words[word])}" if words[word] else "it has no levels"
        close = nearest(level, words[word])
        raise OptionError(f"--fail-on {part}: {word} has no level {level!r} ({there}).  {close}".rstrip())
    return Condition(word, by_name[_as_word(level)] if colon else "")


def _all(words: Mapping[str, Sequence[str]]) -> str:
    said = [f"{word}[:{'|'.join(levels)}]" if levels else word for word, levels in words.items()]
    return f"There is: {', '.join(said)}"


def _example(words: Mapping[str, Sequence[str]]) -> str:
    return "shortcut:moderate,overfit" if "shortcut" in words else "bad,leak,grade:C"


def _as_word(text: str) -> str:
    return text.strip().lower().replace(" ", "-").replace("_", "-")


def _title(finding: Mapping[str, Any]) -> str:
    named = " or ".join((finding["factor"], *finding["alternatives"]))
    return f"{finding['level']}  {named}: {', '.join(finding['claims'])}"


def _first_sentence(text: str) -> str:
    """The words up to the first full stop that ends a sentence."""
    sentence, stop, _ = text.partition(". ")
    return sentence + stop.strip()

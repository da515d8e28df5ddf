"""What was measured of a factor, line by line: each number with unit, interval and count."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from seewhy.evidence.findings.figures import watched_of
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.contrast import OWN_CLASS


@dataclass(frozen=True)
class Number:
    """One line of a finding's table: what was measured, its value with unit, its 95 % interval, and the count.

    `plain` is the same for a spreadsheet: value, unit, low, high, count, what is counted; empty where not known.
    `key` names the lines that are shown elsewhere, too: "flips" and "overfit".
    """

    what: str
    value: str
    interval: str = ""
    count: str = ""
    plain: tuple[str, str, str, str, str, str] = ("",) * 6
    key: str = ""


def effect_of(finding: Finding) -> Number | None:
    """The effect of a finding with the interval that its own words have; None for one without a tested factor.

    Of a dependence that is the interval after the choice of findings.
    """
    numbers = finding.numbers
    low, high = numbers.get("selected_interval") or (None, None)
    ends = {"low": low, "high": high} if "depends" in finding.claims and None not in (low, high) else {}
    return share_of(_each_once(numbers, {**(numbers.get("probability") or {}), **ends}), unit_of(numbers))


def unit_of(numbers: Mapping[str, Any]) -> str:
    """What is counted behind an effect: of a mark the images, else the donors; where named, clusters of them."""
    what = "images" if numbers.get("kind") == "insert" else "donors"
    return f"clusters of {what}" if numbers.get("unit") == "cluster" else what


def _each_once(numbers: Mapping[str, Any], estimate: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """An estimate whose `n` counts each cluster once, though several classes may share it."""
    counts, donors = (estimate or {}).get("n"), numbers.get("donors")
    if numbers.get("unit") != "cluster" or not counts or not donors:
        return estimate
    total = sum(counts.values()) if isinstance(counts, Mapping) else int(counts)
    return {**(estimate or {}), "n": min(total, int(donors))}


def share_of(estimate: Mapping[str, Any] | None, unit: str = "donors") -> Number | None:
    """A share's estimate as percentage points: value, interval and count are words."""
    return _number("", estimate, 100.0, "points", "+.1f", unit)


def too_few(finding: Finding) -> str | None:
    """How many images or clusters can be used, "5 of a class", where they are too few to say anything; else None."""
    counts = (finding.numbers.get("probability") or {}).get("n") or {}
    of_each = min(counts.values(), default=0) if isinstance(counts, Mapping) else counts
    if isinstance(counts, Mapping) and finding.numbers.get("contrast") == OWN_CLASS:
        of_each = sum(counts.values()) // 2
    fewest = int(finding.numbers.get("fewest", of_each))
    is_few = (
        finding.level == "CANNOT SAY" and "probability" in finding.numbers and fewest < AUDIT_THRESHOLDS["least_images"]
    )
    if not is_few:
        return None
    units = " clusters" if finding.numbers.get("unit") == "cluster" else ""
    if finding.numbers.get("kind") == "insert":
        return f"{fewest}{units}"
    if finding.numbers.get("contrast") == OWN_CLASS:
        return f"{finding.numbers.get('donors', 2 * fewest)}{units} of all classes"
    return f"{fewest}{units} of a class"


_ACCURACIES = {"before": "as the images are", "patch": "with what it is compared with", "mark": "with the mark"}


def numbers_of(finding: Finding) -> tuple[Number, ...]:
    """What was measured of a factor, line by line: its effect, all that safeguards store, and what it explains.

    Of everything outside of the core, and of a place, the finding's words hold the numbers.
    """
    numbers = finding.numbers
    if (few := too_few(finding)) is not None:
        what = "Clusters" if finding.numbers.get("unit") == "cluster" else "Distinct images"
        return (Number(f"{what} that can be used", few.replace(" clusters", "", 1)),)
    is_mark, unit = numbers.get("kind") == "insert", unit_of(numbers)
    watched, split = watched_of(numbers.get("contrast")), numbers.get("split", "")
    effect, alone = effect_of(finding), share_of(_each_once(numbers, numbers.get("probability")), unit)
    flipping = f"Decisions that flip with {'it' if is_mark else 'the content of another class'}"
    flips = _in_share(flipping, numbers.get("flips"))
    once = partial(_each_once, numbers)
    lines = [
        effect and replace(effect, what=f"Effect on {watched}, {split}"),
        alone and replace(alone, what="Had it been the only test") if alone != effect else None,
        _in_points(f"The same on train, {watched}", numbers.get("train"), unit),
        _in_logits(f"Effect on the margin, {split}", once(numbers.get("margin")), unit),
        _chance(numbers),
        flips and replace(flips, key="flips"),
        _in_share("Decisions that flip with the content of the own class", numbers.get("flips_own")),
        _share_lost("Margin that the own class loses to content of its own", numbers.get("own_fall")),
        None
        if is_mark
        else _in_logits(
            "Spread between donors of one class (standard deviation)", once(numbers.get("sensitivity")), unit
        ),
        _control(numbers.get("control")),
        _in_points("By what lies outside of the core", once(numbers.get("outside")), unit),
    ]
    lines += [
        _in_points(f"With the {name} put back as it was", once(estimate), unit)
        for name, estimate in _items(numbers, "core_property")
    ]
    answers = numbers.get("answers") or {}
    lines += [
        _number(f"Accuracy {words}", answers.get(key), 100.0, "%", ".1f", "images")
        for key, words in _ACCURACIES.items()
    ]
    less = "Accuracy with the mark less that with what it is compared with"
    lines.append(_in_points(less, answers.get("change"), "images"))
    elsewhere = "fall of the label's margin, beyond the same edit elsewhere where there was room"
    lines += [
        _in_logits(f"Taken away by {name}: {elsewhere}", estimate, "images")
        for name, estimate in _items(numbers, "families")
    ]
    lines += [
        _in_points(f"With {pixels} pixels along the region's edge left as they were", once(estimate), unit)
        for pixels, estimate in _items(numbers, "edge")
    ]
    lines += [
        _in_points(f"By what lies outside of the core drawn {pixels} pixels larger", once(estimate), unit)
        for pixels, estimate in _items(numbers, "rim")
    ]
    lines.append(
        _in_points("All else that lies as near to the core, exchanged in its place", once(numbers.get("beside")), unit)
    )
    overfit = numbers.get("overfit") or {}
    excess = _in_logits("More on train than on valid, beyond other regions", overfit.get("margin"), "images")
    lines.append(excess and replace(excess, key="overfit"))
    held = numbers.get("held") or {}
    for name, estimate in _items(numbers, "members"):
        lines.append(
            _in_points(
                f"{'Explained by it' if name in held else 'Not separated from it'}: {name}", once(estimate), unit
            )
        )
        lines.append(_in_points(f"What is left of {name} where it is put back as it was", held.get(name), unit))
    return tuple(line for line in lines if line is not None)


def line_of(finding: Finding, key: str) -> Number | None:
    """The line of a finding's table with this key; None where it has none."""
    return next((line for line in numbers_of(finding) if line.key == key), None)


def _items(numbers: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    return list((numbers.get(name) or {}).items())


def _in_points(what: str, estimate: Mapping[str, Any] | None, unit: str = "donors") -> Number | None:
    return _number(what, estimate, 100.0, "points", "+.1f", unit)


def _in_share(what: str, estimate: Mapping[str, Any] | None) -> Number | None:
    return _number(what, estimate, 100.0, "%", ".0f", "trials")


def _in_logits(what: str, estimate: Mapping[str, Any] | None, unit: str = "donors") -> Number | None:
    return _number(what, estimate, 1.0, "logits", "+.2f", unit)


def _share_lost(what: str, share: float | None) -> Number | None:
    value = None if share is None else f"{round(100 * share)}"
    return None if value is None else Number(what, f"{value} %", plain=(value, "%", "", "", "", ""))


def _number(
    what: str, stored: Mapping[str, Any] | None, times: float, unit: str, form: str, counted: str
) -> Number | None:
    """An estimate as stored in words and plainly; ends that are not known are left out."""
    if not stored or stored.get("value") is None:
        return None
    value, low, high = (_said(stored.get(name), times, form) for name in ("value", "low", "high"))
    n = stored.get("n")
    count = sum(n.values()) if isinstance(n, Mapping) else n
    interval = f"{low} to {high}" if low and high else ""
    counts = f"{count:,} {counted}" if count else ""
    plain = (value, unit, low, high, f"{count or ''}", counted if count else "")
    return Number(what, f"{value} {unit}", interval, counts, plain)


def _said(value: float | None, times: float, form: str) -> str:
    """The number as it is told; a share is a hundred points at most, and nothing is no negative nothing."""
    if value is None or math.isnan(value):
        return ""
    bounded = min(1.0, max(-1.0, value)) if times > 1 else value
    text = format(times * bounded, form)
    return text.replace("-", "+") if float(text) == 0 and "+" in form else text


def _chance(numbers: Mapping[str, Any]) -> Number | None:
    value = numbers.get("p_holm")
    if value is None:
        return None
    said = f"{value:.3f}" if value >= 0.001 else "< 0.001"
    what = "Chance of such an effect without any (p, Holm over all tests)"
    return Number(what, said, plain=(f"{value:.3g}", "p", "", "", "", ""))


def _control(control: Mapping[str, Any] | None) -> Number | None:
    if not control or control.get("limit") is None:
        return None
    kind = "other regions of its area" if control.get("kind") == "regions" else "donors with permuted classes"
    limit, count = _said(control["limit"], 100.0, "+.1f"), len(control["values"])
    what = f"Control: {kind}, limit of 95 % of them"
    return Number(what, f"{limit} points", "", f"{count} controls", (limit, "points", "", "", f"{count}", "controls"))

"""What was found, in words with their numbers: each sentence names its effect, interval and count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from seewhy.errors import listed
from seewhy.estimates import Estimate, p_words
from seewhy.evidence.checks.behaviour import Behaviour
from seewhy.evidence.checks.faithfulness import CHANCE, Faithfulness, Word
from seewhy.evidence.checks.feeding import LEVEL, Feeding, Variant
from seewhy.evidence.checks.trust import Trust
from seewhy.evidence.thresholds import CHECK_THRESHOLDS

Level = Literal["bad", "caution", "cannot say", "good"]
LEVELS: tuple[Level, ...] = ("bad", "caution", "cannot say", "good")  # worst first


@dataclass(frozen=True)
class CheckFinding:
    """One sentence with its level, what to do about it, and its numbers as plain values.

    `stops_audit`: an audit tells it before everything else, since little can be said of such a classifier.
    """

    level: Level
    part: str
    text: str
    todo: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    stops_audit: bool = False

    def as_stored(self) -> dict[str, Any]:
        """The finding as the manifest has it."""
        return {name: value for name, value in vars(self).items() if name != "stops_audit"}


@dataclass(frozen=True)
class Reason:
    """Why the maps of a layer are graded B or C, with the number that says so."""

    grade: Literal["B", "C"]
    text: str
    value: float
    todo: str = ""


def weights_findings(behaviour: Sequence[CheckFinding]) -> list[CheckFinding]:
    """That no weights were given, unless the network works so well that its own code must have loaded some."""
    text = "No weights were given, so the network is as its code makes it: random, unless that loads some."
    works = any(finding.level == "good" for finding in behaviour)
    return [] if works else [CheckFinding("bad", "works", text, "--weights model.pt")]


def behaviour_findings(found: Behaviour) -> list[CheckFinding]:
    """What the logits say about the classifier."""
    if found.is_constant:
        text = (
            f"The logits hardly depend on the image: over {found.n_images:,} images they move by {found.spread:.1e} of "
        )
        return [
            CheckFinding(
                "bad",
                "works",
                text + "their size.",
                "Were the weights loaded? Does the input reach the network in the range it was trained on?",
                {"spread": found.spread, "n": found.n_images},
                stops_audit=True,
            )
        ]
    findings = [] if found.collapsed_to is None else [_collapse(found)]
    if found.accuracy is None:
        text = "No image has a label that is a class of this network, so nothing can be said about its accuracy."
        todo = "Use class folders, or a CSV with labels."
        return [*findings, CheckFinding("cannot say", "works", text, todo, stops_audit=True)]
    if found.permutation is not None and found.permuted_accuracy is not None:
        findings.append(_other_order(found, found.accuracy, found.permuted_accuracy))
    elif not findings:
        findings.append(_accuracy(found, found.accuracy, found.chance))
        findings += _weak_classes(found)
    return findings + (_calibration(found) if findings[0].level == "good" else [])


def idle_findings(dead: Sequence[str], shares: dict[str, float], n_images: int) -> list[CheckFinding]:
    """Layers and channels whose output does not depend on the image."""
    if dead:
        first = f"{dead[0]} gives the same output for each of {n_images} images"
        more = f" (and so do {len(dead) - 1} layers behind it)" if len(dead) > 1 else ""
        todo = "Nothing behind it can see the image: look at the weights and the input's range."
        return [CheckFinding("bad", "works", f"Layer {first}{more}.", todo, {"layers": list(dead), "n": n_images})]
    idle = {name: share for name, share in shares.items() if share > CHECK_THRESHOLDS["idle_channels"]}
    if not idle:
        return []
    worst = sorted(idle, key=lambda name: -idle[name])
    shown = listed([f"{name} {idle[name]:.0%}" for name in worst], 3)
    text = f"Channels that are the same for each of {n_images} images: {shown}."
    todo = "Dead units, or an input outside the range that it was trained on."
    return [CheckFinding("caution", "works", text, todo, {"share": idle, "n": n_images})]


def feeding_findings(found: Feeding | None, why_not: str = "") -> list[CheckFinding]:
    """Whether another preprocessing is shown to fit better."""
    if found is None:
        return [CheckFinding("cannot say", "fed", f"Whether it is fed as it was trained: {why_not}.")]
    if found.better:
        return [_fed_wrongly(found, found.better)]
    numbers = _sweep_numbers(found)
    open_ = [
        variant
        for variant in found.variants
        if variant.difference.high > 0 and variant.p_value >= LEVEL and _moves(variant)
    ]
    undecided = [variant for variant in open_ if variant.difference.high > CHECK_THRESHOLDS["undecided_auc"]]
    n_tried = len(found.variants)
    if not undecided:
        text = f"Fed as asked: none of {n_tried} usual variants separates the classes better (AUC {found.auc:.3f}, "
        return [CheckFinding("good", "fed", f"{text}n = {found.n_images:,}).", "", numbers)]
    best = max(undecided, key=lambda variant: variant.difference.high)
    text = (
        f"The data cannot tell whether it is fed as it was trained: of {n_tried} usual variants {len(undecided)} may "
        f"be better, at most {best.name} by {_signed(best.difference)} "
        f"(AUC now {found.auc:.3f}, n = {found.n_images:,})."
    )
    return [
        CheckFinding("cannot say", "fed", text, "More labelled images would tell; so would the training code.", numbers)
    ]


def map_findings(found: Trust) -> tuple[CheckFinding, str, list[Reason]]:
    """The finding on one layer's maps, its grade (A, B or C) and the reasons, worst first."""
    verdict = None if found.faithful is None else found.faithful.verdict(CHECK_THRESHOLDS["little_better"])
    reasons = sorted(_reasons(found, verdict), key=lambda reason: reason.grade, reverse=True)
    grade = reasons[0].grade if reasons else "A"
    what = f"Maps of {found.layer} ({found.method}): grade {grade}"
    numbers = {"layer": found.layer, "method": found.method, "grade": grade, "n": found.n_images}
    if verdict is not None:
        numbers["faithful"] = verdict
    said = "" if found.faithful is None or verdict is None else _faithful_text(found.faithful, verdict)
    if grade == "A":
        final = found.randomised[-1][1] if found.randomised else float("nan")
        text = (
            f"{what}; its places add up to the score, {found.empty:.0%} are empty, rank correlation {final:.2f} with "
            f"random weights, {found.flipped:.2f} after a flip, {found.noisy:.2f} under noise (n = {found.n_images})."
        )
        text += f" {said[0].upper()}{said[1:]}." if said else ""
        return CheckFinding("good", "maps", text, "", numbers), grade, reasons
    worst = [reason for reason in reasons if reason.grade == grade]
    text = f"{what}; {'; '.join(reason.text for reason in worst[:3])} (n = {found.n_images})."
    if verdict is not None and verdict != "no better":  # which is one of the reasons
        text += f" {said[0].upper()}{said[1:]}."
    todo = next((reason.todo for reason in worst if reason.todo), "")
    return CheckFinding("bad" if grade == "C" else "caution", "maps", text, todo, numbers), grade, reasons


def _collapse(found: Behaviour) -> CheckFinding:
    count = found.predictions[found.collapsed_to or ""]
    all_of = f"Every one of the {count:,} images is"
    every = all_of if count == found.n_images else f"{count:,} of {found.n_images:,} images are"
    accuracy = f"; accuracy {found.accuracy} where guessing gives {found.chance:.3f}" if found.accuracy else ""
    return CheckFinding(
        "bad",
        "works",
        f"{every} predicted as {found.collapsed_to!r}{accuracy}.",
        "Maps for any other class explain an answer that it never gives.",
        {"class": found.collapsed_to, "count": count, "n": found.n_images},
        stops_audit=True,
    )


def _other_order(found: Behaviour, given: Estimate, other: Estimate) -> CheckFinding:
    order = found.permutation or ()
    moved = [f"{now!r} means {then!r}" for now, then in zip(found.classes, order, strict=True) if now != then]
    text = f"The classes seem to be in another order ({listed(moved, 3)}): accuracy {other} so, {given} as given"
    return CheckFinding(
        "bad",
        "works",
        f"{text} (n = {given.n:,}, the order found on one half and judged on the other).",
        f"--classes {','.join(order)}" if len(order) <= 10 else "Look at the order of the class names.",
        {"permutation": list(order), "accuracy": vars(other), "given": vars(given)},
        stops_audit=True,
    )


def _accuracy(found: Behaviour, accuracy: Estimate, chance: float) -> CheckFinding:
    splits = ", ".join(
        f"{name} {estimate.value:.3f} of {estimate.n:,}" for name, estimate in (found.by_split or {}).items()
    )
    text = f"Accuracy {accuracy} on {accuracy.n:,} labelled images{f' ({splits})' if splits else ''}"
    text += f"; guessing gives {chance:.3f}"
    numbers = {"accuracy": vars(accuracy), "chance": chance}
    if accuracy.low > chance + CHECK_THRESHOLDS["little"] * (1 - chance):
        return CheckFinding("good", "works", f"{text}.", "", numbers)
    if accuracy.high > chance + CHECK_THRESHOLDS["undecided_accuracy"] * (1 - chance):
        text += ": too few images to tell."
        return CheckFinding("cannot say", "works", text, "Check more labelled images.", numbers, stops_audit=True)
    little = "it is hardly better" if accuracy.low > chance else "it is not shown to be better"
    worse = "it is worse than that" if accuracy.high < chance else little
    todo = "A map of a classifier that does not work says little. Look at weights, preprocessing and class order first."
    level: Level = "caution" if accuracy.low > chance else "bad"
    return CheckFinding(level, "works", f"{text}: {worse}.", todo, numbers, stops_audit=True)


def _weak_classes(found: Behaviour) -> list[CheckFinding]:
    """Classes that are recognised less often than a class of their number would be by chance."""
    recall = found.recall or {}
    weak = {
        name: estimate
        for name, estimate in recall.items()
        if estimate.n >= 10 and estimate.high < 1 / len(found.classes)
    }
    if not weak:
        return []
    worst = sorted(weak, key=lambda name: weak[name].value)
    shown = listed([f"{name} {weak[name]} of {weak[name].n}" for name in worst], 2)
    text = f"Recognised less often than by guessing among {len(found.classes)} classes: {shown}."
    return [CheckFinding("caution", "works", text, "", {name: vars(estimate) for name, estimate in weak.items()})]


def _calibration(found: Behaviour) -> list[CheckFinding]:
    over = found.overconfidence
    if over is None or found.confidence is None or found.accuracy is None:
        return []
    least = float(np.clip(0.0, over.low, over.high))  # of the interval, what is nearest to 0
    if abs(least) <= CHECK_THRESHOLDS["overconfidence"]:
        return []
    word = "high" if over.value > 0 else "low"
    text = f"Its probabilities are too {word}: {found.confidence:.3f} on average, {found.accuracy.value:.3f} right, "
    todo = "Read them as an order, not as chances."
    return [
        CheckFinding(
            "caution", "works", f"{text}{_signed(over)} (n = {over.n:,}).", todo, {"overconfidence": vars(over)}
        )
    ]


def _fed_wrongly(found: Feeding, better: Sequence[Variant]) -> CheckFinding:
    best = better[0]
    more = f" So do {listed([variant.name for variant in better[1:]], 3)}." if len(better) > 1 else ""
    text = (
        f"Fed as {best.name} it separates the classes better: AUC {best.auc:.3f} against {found.auc:.3f}, "
        f"{_signed(best.difference)}, n = {found.n_images:,} ({p_words(best.p_value)}, Holm over {len(found.variants)} "
        f"variants).{more}"
    )
    todo = f"If it was trained so:  {best.options}"
    return CheckFinding("bad", "fed", text, todo, _sweep_numbers(found))


def _sweep_numbers(found: Feeding) -> dict[str, Any]:
    tried = [
        {"name": v.name, "options": v.options, "auc": v.auc, "difference": vars(v.difference), "p_holm": v.p_value}
        for v in found.variants
    ]
    return {"auc": found.auc, "n": found.n_images, "variants": tried}


def _moves(one: Variant) -> bool:
    return one.difference.high > one.difference.low


def _reasons(found: Trust, verdict: Word | None) -> list[Reason]:
    reasons: list[Reason] = []

    def say(grade: Literal["B", "C"], is_so: bool, text: str, value: float, todo: str = "") -> None:
        if is_so:  # never for NaN: what cannot be computed is no reason
            reasons.append(Reason(grade, text, value, todo))

    other = "Choose another layer or target:  --layers …  --target …"
    say("C", found.empty > CHECK_THRESHOLDS["empty"], f"{found.empty:.0%} of the maps are empty", found.empty, other)
    silent = found.no_gradient
    say("C", silent > CHECK_THRESHOLDS["no_gradient"], f"no gradient reaches it in {silent:.0%}", silent, other)
    final = found.randomised[-1][1] if found.randomised else float("nan")
    text = f"with random weights it is much the same (rank correlation {final:.2f})"
    say("C", final >= CHECK_THRESHOLDS["random_weights"], text, final, "It shows the picture more than the classifier.")
    name, rho = max(found.trivial.items(), key=lambda item: abs(np.nan_to_num(item[1])), default=("", float("nan")))
    is_centre = name == "the centre"
    text = "a blob in the centre looks much the same" if is_centre else f"it follows the picture's {name}"
    todo = f"Read it as a picture of {name}; only an intervention can say more."
    grade: Literal["B", "C"] = "C" if abs(rho) >= CHECK_THRESHOLDS["trivial_c"] and not is_centre else "B"
    say(grade, abs(rho) >= CHECK_THRESHOLDS["trivial"], f"{text} (rank correlation {rho:.2f})", rho, todo)
    text = f"place by place the gradient disagrees with it (rank correlation {found.with_hirescam:.2f} with HiResCAM)"
    say("B", found.with_hirescam < CHECK_THRESHOLDS["with_hirescam"], text, found.with_hirescam, "--method hirescam")
    miss = found.completeness_error
    text = f"the score is no sum over its places (HiResCAM's cells miss it by {min(miss, 9.99):.0%} of its spread)"
    say("B", miss > CHECK_THRESHOLDS["incomplete"], text, miss)
    text = f"it is nearly the same for another class (rank correlation {found.other_class:.2f})"
    say("B", found.other_class > CHECK_THRESHOLDS["other_class"], text, found.other_class, "--target margin")
    text = f"a mirrored image gives another map (rank correlation {found.flipped:.2f} after mirroring it back)"
    say("B", found.flipped < CHECK_THRESHOLDS["flipped"], text, found.flipped)
    text = f"1 % of noise changes it (rank correlation {found.noisy:.2f})"
    say("B", found.noisy < CHECK_THRESHOLDS["noisy"], text, found.noisy)
    text = f"noise and grey pictures give the same mean map (rank correlation {found.null_shape:.2f})"
    say("B", found.null_shape > CHECK_THRESHOLDS["null_shape"], text, found.null_shape)
    if found.faithful is not None and verdict is not None:
        text = _faithful_text(found.faithful, verdict)
        todo = "Only an intervention says which places count here."
        best = found.faithful.best
        say("B", verdict == "no better", text, best.better_by[best.rival].value, todo)
    return reasons


def _faithful_text(found: Faithfulness, verdict: Word) -> str:
    """Whether the map tells the places whose swapping moves the score, with the numbers that say so."""
    best = found.best
    rival = {"the centre": "a blob in the centre", CHANCE: CHANCE}.get(best.rival, f"the picture's {best.rival}")
    by, n_cells = best.better_by[best.rival], found.cells[0] * found.cells[1]
    if not by.n:
        return "whether it tells the places that move the score cannot be told: no swap of places moves it"
    places = "places that move the score" if best is found.amount else "places that hold the score up"
    said = {
        "better": f"it tells the {places} better than {rival} and all else that was tried",
        "no better": f"it tells the {places} no better than {rival}",
        "cannot tell": f"whether it tells the {places} better than {rival} cannot be told",
    }[verdict]
    numbers = f"rank correlation {best.of_map.value:.2f} with the effect of swapping them"
    return f"{said} ({numbers}, {_signed(by)} beside it, n = {by.n}, {n_cells} places)"


def _signed(one: Estimate) -> str:
    return f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"

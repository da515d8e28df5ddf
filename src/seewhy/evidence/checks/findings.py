"""What was found, in words with their numbers: each sentence names its effect, interval and count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from seewhy.errors import counted, listed
from seewhy.estimates import Estimate, p_words
from seewhy.evidence.checks.behaviour import Behaviour
from seewhy.evidence.checks.class_order import line_to_type
from seewhy.evidence.checks.feeding import LEAST, Feeding, Variant
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


def weights_findings(behaviour: Sequence[CheckFinding]) -> list[CheckFinding]:
    """That no weights were given, unless the network works so well that its own code must have loaded some."""
    text = "No weights were given, so the network is as its code makes it: random, unless that loads some."
    works = any(finding.level == "good" for finding in behaviour)
    return [] if works else [CheckFinding("bad", "works", text, "--weights model.pt")]


def behaviour_findings(behaviour: Behaviour) -> list[CheckFinding]:
    """What the logits say about the classifier."""
    if behaviour.is_constant:
        text = (
            f"The logits hardly depend on the image: over {behaviour.n_images:,} images they move by "
            f"{behaviour.spread:.1e} of "
        )
        return [
            CheckFinding(
                "bad",
                "works",
                text + "their size.",
                "Were the weights loaded? Does the input reach the network in the range it was trained on?",
                {"spread": behaviour.spread, "n": behaviour.n_images},
                stops_audit=True,
            )
        ]
    findings = [] if behaviour.collapsed_to is None else [_collapse(behaviour)]
    if behaviour.accuracy is None:
        text = "No image has a label that is a class of this network, so nothing can be said about its accuracy."
        todo = "Use class folders, or a CSV with labels."
        return [*findings, CheckFinding("cannot say", "works", text, todo, stops_audit=True)]
    if behaviour.permutation is not None and behaviour.permuted_accuracy is not None:
        findings.append(_other_order(behaviour, behaviour.accuracy, behaviour.permuted_accuracy))
    elif not findings:
        findings.append(_accuracy(behaviour, behaviour.accuracy, behaviour.chance))
        findings += _weak_classes(behaviour)
    return findings + _gap(behaviour) + (_calibration(behaviour) if findings[0].level == "good" else [])


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


def feeding_findings(feeding: Feeding | None, why_not: str = "") -> list[CheckFinding]:
    """Whether another preprocessing is shown to fit better."""
    if feeding is None:
        return [CheckFinding("cannot say", "fed", f"Whether it is fed as it was trained: {why_not}.")]
    if feeding.has_few:
        unit = "images" if feeding.n_clusters is None else "clusters"
        text = (
            f"Whether it is fed as it was trained: too few {unit} to tell ({feeding.n_others} that are not of the "
            f"commonest class, where {LEAST} are needed; n = {count_words(feeding.n_images, feeding.n_clusters)})."
        )
        return [CheckFinding("cannot say", "fed", text, "Check more labelled images.", _sweep_numbers(feeding))]
    if feeding.better:
        return [_fed_wrongly(feeding, feeding.better)]
    numbers = _sweep_numbers(feeding)
    n = count_words(feeding.n_images, feeding.n_clusters)
    n_tried, best = len(feeding.variants), feeding.variants[0]
    if feeding.is_chance or feeding.is_useless:
        how = "is not shown to separate" if feeding.is_chance else "hardly separates"
        text = (
            f"Whether it is fed as it was trained: fed so, and in {n_tried} other usual ways, it {how} the classes "
            f"(AUC {feeding.auc:.3f}, at best {best.auc:.3f} as {best.name}, n = {n})."
        )
        return [CheckFinding("cannot say", "fed", text, "", numbers)]
    undecided = [variant for variant in feeding.variants if _is_open(variant)]
    if not undecided:
        text = f"Fed as asked: none of {n_tried} usual variants separates the classes better (AUC {feeding.auc:.3f}, "
        return [CheckFinding("good", "fed", f"{text}n = {n}).", "", numbers)]
    best = max(undecided, key=lambda variant: variant.difference.high)
    text = (
        f"Whether another way of feeding it separates the classes better: of {n_tried} usual ones {len(undecided)} "
        f"cannot be ruled out, first of all {best.name} (AUC {best.auc:.3f} against {feeding.auc:.3f}, "
        f"{signed(best.difference)}, n = {n})."
    )
    return [
        CheckFinding("cannot say", "fed", text, "More labelled images would tell; so would the training code.", numbers)
    ]


def _collapse(behaviour: Behaviour) -> CheckFinding:
    count = behaviour.predictions[behaviour.collapsed_to or ""]
    all_of = f"Every one of the {count:,} images is"
    every = all_of if count == behaviour.n_images else f"{count:,} of {behaviour.n_images:,} images are"
    accuracy = (
        f"; accuracy {behaviour.accuracy} where guessing gives {behaviour.chance:.3f}" if behaviour.accuracy else ""
    )
    return CheckFinding(
        "bad",
        "works",
        f"{every} predicted as {behaviour.collapsed_to!r}{accuracy}.",
        "Maps for any other class explain an answer that it never gives.",
        {"class": behaviour.collapsed_to, "count": count, "n": behaviour.n_images},
        stops_audit=True,
    )


def _other_order(behaviour: Behaviour, given: Estimate, other: Estimate) -> CheckFinding:
    order = behaviour.permutation or ()
    moved = [f"{now!r} means {then!r}" for now, then in zip(behaviour.classes, order, strict=True) if now != then]
    what = (
        f"The classes seem to be in another order ({listed(moved, 3)})"
        if behaviour.first_label is None
        else f"The labels seem to be counted from {behaviour.first_label} ({listed(moved, 3)})"
    )
    how = ", the order found on one half and judged on the other" if behaviour.order_was_found else ""
    return CheckFinding(
        "bad",
        "works",
        f"{what}: accuracy {other} so, {given} as given (n = {count_words(given.n, behaviour.n_clusters)}{how}).",
        line_to_type(order, behaviour.first_label),
        {"permutation": list(order), "accuracy": vars(other), "given": vars(given)},
        stops_audit=True,
    )


def _accuracy(behaviour: Behaviour, accuracy: Estimate, chance: float) -> CheckFinding:
    text = f"Accuracy {accuracy} on {_judged_images(behaviour, accuracy)}"
    text += f"; guessing gives {chance:.3f}"
    numbers = {"accuracy": vars(accuracy), "chance": chance}
    if accuracy.low > chance and behaviour.label_share == 1 and len(behaviour.classes) > 1:
        text = (
            f"Accuracy {accuracy} on {_judged_images(behaviour, accuracy)}, all of one class: so is a constant answer."
        )
        return CheckFinding("cannot say", "works", text, "--sample N takes some of each class.", numbers)
    if accuracy.low > chance + CHECK_THRESHOLDS["little"] * (1 - chance):
        return CheckFinding("good", "works", f"{text}.", "", numbers)
    if accuracy.high > chance + CHECK_THRESHOLDS["undecided_accuracy"] * (1 - chance):
        is_single = behaviour.n_clusters is None
        text += f": too few {'images' if is_single else 'clusters'} to tell."
        todo = "Check more labelled images." if is_single else "Check labelled images of more clusters."
        return CheckFinding("cannot say", "works", text, todo, numbers, stops_audit=True)
    little = "it is hardly better" if accuracy.low > chance else "it is not shown to be better"
    worse = "it is worse than that" if accuracy.high < chance else little
    todo = "A map of a classifier that does not work says little. Look at weights, preprocessing and class order first."
    level: Level = "caution" if accuracy.low > chance else "bad"
    return CheckFinding(level, "works", f"{text}: {worse}.", todo, numbers, stops_audit=True)


def _judged_images(behaviour: Behaviour, accuracy: Estimate) -> str:
    """The images that the accuracy is of, and the accuracy on every split where there are several."""
    splits = listed(f"{name} {share.value:.3f} of {share.n:,}" for name, share in (behaviour.by_split or {}).items())
    of_split = f" of {behaviour.judged_on}" if behaviour.judged_on else ""
    of_clusters = "" if behaviour.n_clusters is None else f" of {counted(behaviour.n_clusters, 'cluster')}"
    return f"{accuracy.n:,} labelled images{of_clusters}{of_split}{f' ({splits})' if splits else ''}"


def _gap(behaviour: Behaviour) -> list[CheckFinding]:
    """That the classifier does better on the images that it was trained on."""
    gap = behaviour.gap
    if gap is None or gap.low <= CHECK_THRESHOLDS["gap"]:
        return []
    text = (
        f"On the training images it is right {100 * gap.value:.1f} points more often "
        f"[{100 * gap.low:.1f}, {100 * gap.high:.1f}] than on {behaviour.judged_on} (n = {gap.n:,}): part of what it "
        "learned holds for those images alone."
    )
    todo = "An audit of both splits says which parts:  seewhy audit (with the same arguments)"
    return [CheckFinding("caution", "works", text, todo, {"gap": vars(gap)})]


def _weak_classes(behaviour: Behaviour) -> list[CheckFinding]:
    """Classes that are recognised less often than a class of their number would be by chance."""
    recall = behaviour.recall or {}
    weak = {
        name: estimate
        for name, estimate in recall.items()
        if estimate.n >= 10 and estimate.high < 1 / len(behaviour.classes)
    }
    if not weak:
        return []
    worst = sorted(weak, key=lambda name: weak[name].value)
    shown = listed([f"{name} {weak[name]} of {weak[name].n}" for name in worst], 2)
    text = f"Recognised less often than by guessing among {len(behaviour.classes)} classes: {shown}."
    return [CheckFinding("caution", "works", text, "", {name: vars(estimate) for name, estimate in weak.items()})]


def _calibration(behaviour: Behaviour) -> list[CheckFinding]:
    over = behaviour.overconfidence
    if over is None or behaviour.confidence is None or behaviour.accuracy is None:
        return []
    least = float(np.clip(0.0, over.low, over.high))  # of the interval, what is nearest to 0
    if abs(least) <= CHECK_THRESHOLDS["overconfidence"]:
        return []
    word = "high" if over.value > 0 else "low"
    text = (
        f"Its probabilities are too {word}: {behaviour.confidence:.3f} on average, "
        f"{behaviour.accuracy.value:.3f} right, "
    )
    todo = "Read them as an order, not as chances."
    return [
        CheckFinding(
            "caution",
            "works",
            f"{text}{signed(over)} (n = {count_words(behaviour.accuracy.n, behaviour.n_clusters)}).",
            todo,
            {"overconfidence": vars(over)},
        )
    ]


def _fed_wrongly(feeding: Feeding, better: Sequence[Variant]) -> CheckFinding:
    best, n = better[0], count_words(feeding.n_images, feeding.n_clusters)
    more = f" So do {listed([variant.name for variant in better[1:]], 3)}." if len(better) > 1 else ""
    text = (
        f"Fed as {best.name} it separates the classes better: AUC {best.auc:.3f} against {feeding.auc:.3f}, "
        f"{signed(best.difference)}, n = {n} ({p_words(best.p_value)}, Holm over "
        f"{len(feeding.variants)} variants).{more}"
    )
    todo = f"If it was trained so:  {best.options}"
    return CheckFinding("bad", "fed", text, todo, _sweep_numbers(feeding))


def _sweep_numbers(feeding: Feeding) -> dict[str, Any]:
    tried = [
        {"name": v.name, "options": v.options, "auc": v.auc, "difference": vars(v.difference), "p_holm": v.p_value}
        for v in feeding.variants
    ]
    return {"auc": feeding.auc, "n": feeding.n_images, "variants": tried}


def _is_open(variant: Variant) -> bool:
    """Whether a variant that is not shown to be better may be so, by an amount that counts."""
    is_measured = variant.difference.high > variant.difference.low
    return is_measured and variant.difference.high > CHECK_THRESHOLDS["undecided_auc"]


def count_words(n_images: int, n_clusters: int | None) -> str:
    """How many images, and clusters where these count: "1,300", "60 of 4 clusters"."""
    return f"{n_images:,}" + ("" if n_clusters is None else f" of {counted(n_clusters, 'cluster')}")


def signed(estimate: Estimate) -> str:
    """A difference with its sign and its interval."""
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"

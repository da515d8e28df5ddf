"""What a check says of maps: their grade, and the reasons for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from seewhy.evidence.checks.faithfulness import CHANCE, Faithfulness, Word
from seewhy.evidence.checks.findings import CheckFinding, signed
from seewhy.evidence.checks.trust import Trust
from seewhy.evidence.thresholds import CHECK_THRESHOLDS

PLACES_TODO = "Only an intervention says which places count here."


@dataclass(frozen=True)
class Reason:
    """Why the maps of a layer are graded B or C, with the number that says so."""

    grade: Literal["B", "C"]
    text: str
    value: float
    todo: str = ""


def map_findings(trust: Trust) -> tuple[CheckFinding, str, list[Reason]]:
    """The finding on one layer's maps, its grade (A, B or C) and the reasons, worst first."""
    verdict = None if trust.faithful is None else trust.faithful.verdict(CHECK_THRESHOLDS["little_better"])
    reasons = sorted(_reasons(trust, verdict), key=lambda reason: reason.grade, reverse=True)
    grade = reasons[0].grade if reasons else "A"
    what = f"Maps of {trust.layer} ({trust.method}): grade {grade}"
    numbers = {"layer": trust.layer, "method": trust.method, "grade": grade, "n": trust.n_images}
    if verdict is not None:
        numbers["faithful"] = verdict
    said = "" if trust.faithful is None or verdict is None else _faithful_text(trust.faithful, verdict)
    if grade == "A":
        final = trust.randomised[-1][1] if trust.randomised else float("nan")
        text = (
            f"{what}; its places add up to the score, {trust.empty:.0%} are empty, rank correlation {final:.2f} with "
            f"random weights, {trust.flipped:.2f} after a flip, {trust.noisy:.2f} under noise (n = {trust.n_images})."
        )
        text += f" {said[0].upper()}{said[1:]}." if said else ""
        return CheckFinding("good", "maps", text, "", numbers), grade, reasons
    worst = [reason for reason in reasons if reason.grade == grade]
    text = f"{what}; {'; '.join(reason.text for reason in worst[:3])} (n = {trust.n_images})."
    if verdict is not None and verdict != "no better":  # which is one of the reasons
        text += f" {said[0].upper()}{said[1:]}."
    todo = next((reason.todo for reason in worst if reason.todo), "")
    return CheckFinding("bad" if grade == "C" else "caution", "maps", text, todo, numbers), grade, reasons


def _reasons(trust: Trust, verdict: Word | None) -> list[Reason]:
    reasons: list[Reason] = []

    def say(grade: Literal["B", "C"], is_so: bool, text: str, value: float, todo: str = "") -> None:
        if is_so:  # never for NaN: what cannot be computed is no reason
            reasons.append(Reason(grade, text, value, todo))

    other = "Choose another layer or target:  --layers …  --target …"
    say("C", trust.empty > CHECK_THRESHOLDS["empty"], f"{trust.empty:.0%} of the maps are empty", trust.empty, other)
    silent = trust.no_gradient
    say("C", silent > CHECK_THRESHOLDS["no_gradient"], f"no gradient reaches it in {silent:.0%}", silent, other)
    if trust.unseen is not None:
        mass, share = trust.unseen.false_mass, trust.unseen.share
        text = f"{mass.value:.0%} of it lies in the {share:.0%} of the picture that the classifier does not see"
        worst: Literal["B", "C"] = "C" if mass.value >= share else "B"
        todo = "--method hirescam" if trust.with_hirescam < CHECK_THRESHOLDS["with_hirescam"] else PLACES_TODO
        say(worst, mass.value > CHECK_THRESHOLDS["false_mass"], text, mass.value, todo)
    final = trust.randomised[-1][1] if trust.randomised else float("nan")
    text = f"with random weights it is much the same (rank correlation {final:.2f})"
    say("C", final >= CHECK_THRESHOLDS["random_weights"], text, final, "It shows the picture more than the classifier.")
    name, rho = max(trust.trivial.items(), key=lambda item: abs(np.nan_to_num(item[1])), default=("", float("nan")))
    is_centre = name == "the centre"
    text = "a blob in the centre looks much the same" if is_centre else f"it follows the picture's {name}"
    todo = f"Read it as a picture of {name}; only an intervention can say more."
    grade: Literal["B", "C"] = "C" if abs(rho) >= CHECK_THRESHOLDS["trivial_c"] and not is_centre else "B"
    say(grade, abs(rho) >= CHECK_THRESHOLDS["trivial"], f"{text} (rank correlation {rho:.2f})", rho, todo)
    text = f"place by place the gradient disagrees with it (rank correlation {trust.with_hirescam:.2f} with HiResCAM)"
    say("B", trust.with_hirescam < CHECK_THRESHOLDS["with_hirescam"], text, trust.with_hirescam, "--method hirescam")
    miss = trust.completeness_error
    text = f"the score is no sum over its places (HiResCAM's cells miss it by {min(miss, 9.99):.0%} of its spread)"
    say("B", miss > CHECK_THRESHOLDS["incomplete"], text, miss)
    text = f"it is nearly the same for another class (rank correlation {trust.other_class:.2f})"
    say("B", trust.other_class > CHECK_THRESHOLDS["other_class"], text, trust.other_class, "--target margin")
    text = f"a mirrored image gives another map (rank correlation {trust.flipped:.2f} after mirroring it back)"
    say("B", trust.flipped < CHECK_THRESHOLDS["flipped"], text, trust.flipped)
    text = f"1 % of noise changes it (rank correlation {trust.noisy:.2f})"
    say("B", trust.noisy < CHECK_THRESHOLDS["noisy"], text, trust.noisy)
    text = f"noise and grey pictures give the same mean map (rank correlation {trust.null_shape:.2f})"
    say("B", trust.null_shape > CHECK_THRESHOLDS["null_shape"], text, trust.null_shape)
    if trust.faithful is not None and verdict is not None:
        text = _faithful_text(trust.faithful, verdict)
        best = trust.faithful.best
        say("B", verdict == "no better", text, best.better_by[best.rival].value, PLACES_TODO)
    return reasons


def _faithful_text(faithfulness: Faithfulness, verdict: Word) -> str:
    """Whether the map tells the places whose swapping moves the score, with the numbers that say so."""
    best = faithfulness.best
    rival = {"the centre": "a blob in the centre", CHANCE: CHANCE}.get(best.rival, f"the picture's {best.rival}")
    by, n_cells = best.better_by[best.rival], faithfulness.cells[0] * faithfulness.cells[1]
    if not by.n:
        return "whether it tells the places that move the score cannot be told: no swap of places moves it"
    places = "places that move the score" if best is faithfulness.amount else "places that hold the score up"
    said = {
        "better": f"it tells the {places} better than {rival} and all else that was tried",
        "no better": f"it tells the {places} no better than {rival}",
        "cannot tell": f"whether it tells the {places} better than {rival} cannot be told",
    }[verdict]
    numbers = f"rank correlation {best.of_map.value:.2f} with the effect of swapping them"
    return f"{said} ({numbers}, {signed(by)} beside it, n = {by.n}, {n_cells} places)"

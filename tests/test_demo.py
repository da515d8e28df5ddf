"""README.md quotes the demo: its words are those of an audit today, its numbers those that the demo finds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from seewhy.cli import app as cli
from seewhy.estimates import Estimate
from seewhy.evidence.factors.edits import REMOVALS
from seewhy.evidence.findings.case import Case
from seewhy.evidence.findings.effects import Effect
from seewhy.evidence.findings.safeguards.catalogue import SAFEGUARDS
from seewhy.evidence.findings.safeguards.control import ControlEffects
from seewhy.evidence.findings.safeguards.edge import DrawnBack
from seewhy.evidence.findings.safeguards.rim import LargerCore
from seewhy.evidence.findings.safeguards.safeguard import with_outcomes
from seewhy.evidence.findings.sentences import finding_of
from seewhy.evidence.inference.differences import ClassDifference
from seewhy.evidence.inference.overfit import OverfitExcess
from seewhy.evidence.trials.contrast import Contrast

DOCS = Path(__file__).parents[1] / "docs"
FINDING: dict[str, Any] = json.loads((DOCS / "demo.json").read_text(encoding="utf-8"))
NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?"


def case_of(factor: str, numbers: dict[str, Any], against: str) -> Case:
    """The case that a stored finding was made of."""
    train = numbers["train"] and effect_of(factor, {**numbers, "probability": numbers["train"]}, against)
    effect, excess = effect_of(factor, numbers, against), numbers["overfit"]
    low, high = numbers["selected_interval"]
    measured = {
        "control": ControlEffects(**{**numbers["control"], "values": tuple(numbers["control"]["values"])}),
        "edits": {name: Estimate(**numbers["families"][name]) for name in REMOVALS if name in numbers["families"]},
        "edge": DrawnBack({int(pixels): difference(left) for pixels, left in numbers["edge"].items()}),
        "rim": LargerCore(
            difference(numbers["probability"]),
            is_region=numbers["kind"] == "region",
            effects={int(pixels): difference(left) for pixels, left in numbers["rim"].items()},
            left=dict.fromkeys(map(int, numbers["rim"]), 0.8),
        ),
        "outside": numbers["outside"] and difference(numbers["outside"]),
        "train": excess
        and OverfitExcess(**{name: Estimate(**v) if isinstance(v, dict) else v for name, v in excess.items()}),
    }
    made = Case(
        factor=factor,
        words=numbers["words"],
        kind=numbers["kind"],
        effect=effect,
        p_holm=numbers["p_holm"],
        selected=ClassDifference(**{**vars(effect.probability), "low": low, "high": high}),
        on_train=train,
        is_core=numbers["core"],
        core_named=True,
        measured=measured,
    )
    return with_outcomes(made, SAFEGUARDS)


def effect_of(factor: str, numbers: dict[str, Any], against: str) -> Effect:
    flips, own, sensitivity = (Estimate(**numbers[name]) for name in ("flips", "flips_own", "sensitivity"))
    return Effect(
        factor=factor,
        kind=numbers["kind"],
        split=numbers["split"],
        contrast=Contrast(0, numbers["contrast"], against),
        margin=difference(numbers["margin"]),
        probability=difference(numbers["probability"]),
        flips=flips,
        flips_own=own,
        sensitivity=sensitivity,
        n_recipients=numbers["recipients"],
        n_trials=numbers["trials"],
        donors=np.zeros(0),
    )


def difference(stored: dict[str, Any]) -> ClassDifference:
    return ClassDifference(**{**stored, "n": {int(label): count for label, count in stored["n"].items()}})


def test_the_words_of_the_quote_are_those_of_an_audit_today() -> None:
    made = finding_of(case_of(FINDING["factor"], FINDING["numbers"], against="real"))
    text, _, explained = FINDING["text"].partition(" With the background put back as it was, too, ")
    assert (made.level, list(made.claims), made.text) == (FINDING["level"], FINDING["claims"], text)
    assert list(made.evidence) == FINDING["evidence"] and made.todo == FINDING["todo"]
    held = FINDING["numbers"]["held"]
    for name, member in FINDING["numbers"]["members"].items():
        left = f"{100 * held[name]['value']:+.1f} points"
        assert f"{name} ({100 * member['value']:+.1f} points, {left} [" in explained
    assert sorted(FINDING["numbers"]["members"]) == sorted(FINDING["members"])
    assert {*FINDING["alternatives"]} <= {*FINDING["members"]}


def plain(text: str) -> str:
    """A quote without its numbers, without the lists in it that hang on them, and in one line."""
    text = re.sub(r" With the \S+ put back as it was, too, .*?\)\.", "", " ".join(text.split()))
    text = re.sub(r" Which of [^.]* it is, these data cannot tell\.|(?<=background) or [\w ,-]+(?=:)", "", text)
    text = re.sub(r"Taking it away \(.*?\) lowers the margin of the right class[^.]*", "Taking it away", text)
    return re.sub(NUMBER, "N", text)


@pytest.mark.slow
def test_the_demo_prints_what_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    quoted_demo = __import__("quoted_demo")
    monkeypatch.setenv("COLUMNS", str(quoted_demo.COLUMNS))
    ran = CliRunner().invoke(cli.app, ["demo", "--out", str(tmp_path / "demo"), "--no-report"])
    assert ran.exit_code == 0, ran.output
    found = quoted_demo.first_finding(tmp_path / "demo" / "audit")
    assert quoted_demo.quoted(found) in ran.output
    assert plain(quoted_demo.quoted(found)) == plain(quoted_demo.quoted(FINDING)), "  make docs after --demo FOLDER"
    effects = [one["numbers"]["probability"]["value"] for one in (found, FINDING)]
    assert effects[0] == pytest.approx(effects[1], abs=0.1), "another machine trains another network, but not that much"


def test_a_quote_is_compared_without_what_hangs_on_the_machine() -> None:
    first = (
        "background or tint: P(fake) rises by 3.1 points [+2.9, +3.3]. With the background put back as it was, too, "
        "these do little more: top-left (+2.8 points, +0.1 points [-0.1, +0.3] of it left). Which of background, tint "
        "it is, these data cannot tell. + So."
    )
    assert plain(first) == "background: P(fake) rises by N points [N, N]. + So."
    second = "+ Taking it away (blur, in-paint) lowers the margin of the right class; mean does not. + So."
    assert plain(second) == "+ Taking it away. + So."

"""Verdicts: the level and the claims of hand-made cases, by the table of rules, and the words that tell them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

import seewhy
from seewhy.estimates import Estimate
from seewhy.evidence.audit import audit
from seewhy.evidence.findings.case import Case, depends, is_none, numbers_of
from seewhy.evidence.findings.effects import Effect
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.findings.follow_up import suspects
from seewhy.evidence.findings.levels import LEVELS, RULES, claims_of, level_of
from seewhy.evidence.findings.safeguards.catalogue import SAFEGUARDS
from seewhy.evidence.findings.safeguards.control import ControlEffects
from seewhy.evidence.findings.safeguards.edge import DrawnBack
from seewhy.evidence.findings.safeguards.rim import LargerCore
from seewhy.evidence.findings.safeguards.safeguard import with_outcomes
from seewhy.evidence.findings.sentences import finding_of
from seewhy.evidence.inference.differences import ClassDifference, difference_of
from seewhy.evidence.inference.overfit import OverfitExcess
from seewhy.evidence.results.paragraphs import paragraphs_of
from seewhy.evidence.results.result import summary_of
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.edit import Pair
from tests.small_images import Reader, classifier_of, write_images, write_masks
from tests.words import BANNED


def contrast(value: float, half: float = 0.01, each: int = 100) -> ClassDifference:
    """A contrast whose 95 % interval is value ± half, nearly."""
    return difference_of(value, half / 1.972, 198.0, {0: each, 1: each})


def effect(value: float, half: float = 0.01, each: int = 100, sensitivity: float = 0.1, against: str = "dog") -> Effect:
    own_flips = 0.02 if abs(value) >= FLOOR else 0.125  # what moves no probability flips as much with its own class
    flips, own, spread = (Estimate(one, one, one, 400) for one in (0.125, own_flips, sensitivity))
    return Effect(
        factor="tint",
        kind="region",
        split="valid",
        contrast=Contrast(0, "cat", against),
        margin=contrast(10 * value, 10 * half, each),
        probability=contrast(value, half, each),
        flips=flips,
        flips_own=own,
        sensitivity=spread,
        n_recipients=80,
        n_trials=800,
        donors=np.zeros(200),
    )


FLOOR = AUDIT_THRESHOLDS["floor"]
MEASURED = {"control": "control", "removals": "edits", "edge": "edge", "overfit": "train", "rim": "rim"}  # by safeguard


def case(value: float = 0.3, half: float = 0.01, p: float = 1e-6, each: int = 100, **more: object) -> Case:
    """A case whose safeguards have measured what is given by their names."""
    against = str(more.pop("against", "dog"))
    own = effect(value, half, each, float(more.pop("sensitivity", 0.1)), against)
    measured = {MEASURED[name]: more.pop(name) for name in MEASURED if name in more}
    if "edge" in measured:
        measured["edge"] = DrawnBack(measured["edge"])
    measured.setdefault("rim", LargerCore(own.probability, True, {4: own.probability}, {4: 1.0}))
    if more.pop("joint", False):
        more["pair"] = Pair("tint", "core")
    made = Case(
        factor="tint",
        words="mean colour",
        kind="region",
        effect=own,
        p_holm=p,
        selected=own.probability,
        measured=measured,
        **more,
    )
    return with_outcomes(made, SAFEGUARDS)


def excess(claimed: bool) -> OverfitExcess:
    one = Estimate(0.5, 0.2, 0.8, 80)
    return OverfitExcess(one, one, claimed, one, one, one)


FALLS, RISES, OPEN = Estimate(1.0, 0.5, 1.5, 80), Estimate(-1.0, -1.5, -0.5, 80), Estimate(0.1, -0.5, 0.7, 80)
ROUNDED = Estimate(-2e-7, -4e-7, -1e-7, 80)


@pytest.mark.parametrize("off", list(permutations((0.0, 1e-8, -1e-8))))
def test_rounding_does_not_decide_which_of_equal_factors_comes_first(off: tuple[float, ...]) -> None:
    cases = [replace(case(0.3 + error), factor=name) for name, error in zip("abc", off, strict=True)]
    assert [each.factor for each in suspects([case(0.2), *cases])] == ["a", "b", "c", "tint"]


# Levels.


@pytest.mark.parametrize(
    ("made", "level"),
    [
        (case(), "STRONG"),
        (case(-0.3), "STRONG"),
        (case(each=7), "CANNOT SAY"),  # too few images, whatever else
        (case(each=8), "WEAK"),  # few widen the interval and lower the level; they hide no effect
        (case(each=29), "WEAK"),
        (case(each=30), "STRONG"),
        (case(p=0.049), "STRONG"),
        (case(p=0.051), "CANNOT SAY"),
        (case(FLOOR - 1e-6, 0.001), "CANNOT SAY"),  # the interval reaches beyond
        (case(FLOOR - 0.002, 0.001), "NONE LARGER THAN"),
        (case(0.0201, 0.001), "MODERATE"),
        (case(0.051, 0.0105), "STRONG"),
        (case(0.050, 0.0105), "MODERATE"),  # reaches below twice the floor
        (case(0.05, 0.06), "CANNOT SAY"),  # 0 is inside
        (case(0.0, 0.019, p=1.0), "NONE LARGER THAN"),
        (case(0.0, 0.021, p=1.0), "CANNOT SAY"),
        (case(0.01, 0.009, p=0.001), "NONE LARGER THAN"),  # shown, and shown to be small
        (case(0.015, 0.009, p=0.001), "CANNOT SAY"),
    ],
)
def test_the_level_is_that_of_the_first_rule_that_holds(made: Case, level: str) -> None:
    assert level_of(made) == level


def test_no_shortcut_is_told_where_the_budget_did_not_reach_the_larger_core() -> None:
    made = case(is_core=False, rim=None)
    assert level_of(made) == "WEAK" and claims_of(made, "WEAK") == ("depends",)
    assert claims_of(case(is_core=False), level_of(case(is_core=False))) == ("depends", "shortcut")
    assert "- The core was not drawn larger: the budget does not reach it." in finding_of(made).evidence


def test_a_dependence_and_its_absence_exclude_each_other() -> None:
    for value in np.linspace(-0.05, 0.05, 41):
        for half in (0.001, 0.005, 0.01, 0.03):
            made = case(float(value), half)
            assert not (depends(made) and is_none(made) and abs(value) < FLOOR)
            assert (level_of(made) == "NONE LARGER THAN") <= (abs(value) < FLOOR)


def test_the_interval_after_selection_decides() -> None:
    own = effect(0.05, 0.02)
    made = with_outcomes(replace(case(0.05, 0.02, 0.001), selected=own.probability.at(0.9999999)), SAFEGUARDS)
    assert depends(made) and level_of(made) == "WEAK", "it stood out, but not among all that did"
    assert next(one for one in made.outcomes if one.name == "selection").passed is False
    assert not any(one.name == "selection" for one in case(0.05, 0.02, 0.001).outcomes)


def test_every_level_has_a_rule_and_the_last_one_always_holds() -> None:
    assert {level for level, _ in RULES} == set(LEVELS)
    assert RULES[-1] == ("CANNOT SAY", ())


# Safeguards.


@pytest.mark.parametrize(
    ("more", "level", "failed"),
    [
        ({"control": ControlEffects("regions", 0.1, (0.1,) * 20)}, "STRONG", set()),
        ({"control": ControlEffects("regions", 0.31, (0.3,) * 20)}, "WEAK", {"control"}),
        ({"control": ControlEffects("scrambled donors", 0.3, (0.3,) * 20)}, "WEAK", {"control"}),  # not beyond
        ({"removals": {"blur": FALLS, "mean": OPEN}}, "STRONG", set()),
        ({"removals": {"blur": FALLS, "mean": RISES}}, "STRONG", set()),  # one other kind of edit is enough
        ({"removals": {"blur": RISES, "mean": OPEN}}, "WEAK", {"edits"}),
        ({"removals": {"blur": OPEN}}, "MODERATE", set()),  # settles nothing: no reason for STRONG, nor for WEAK
        ({"removals": {"blur": ROUNDED}}, "MODERATE", set()),  # what is read was left as it was, but for rounding
        ({"removals": {"blur": ROUNDED, "mean": FALLS}}, "STRONG", set()),
        ({"edge": {2: contrast(0.0), 4: contrast(0.2)}}, "STRONG", set()),
        ({"edge": {4: contrast(0.0), 8: contrast(0.3)}}, "WEAK", {"edge"}),
        ({"edge": {4: contrast(0.1, 0.1)}}, "STRONG", set()),  # may be half of it
        ({"edge": {4: contrast(-0.3)}}, "WEAK", {"edge"}),
    ],
)
def test_a_safeguard_that_fails_makes_it_weak(more: dict[str, object], level: str, failed: set[str]) -> None:
    made = case(**more)
    assert {one.name for one in made.outcomes if one.passed is False} == failed
    assert level_of(made) == level
    against = case(-0.3, **{**more, "removals": None, "edge": {}})
    assert level_of(against) == ("WEAK" if "control" in failed else "STRONG")


def test_other_edits_that_a_budget_left_out_leave_no_finding_strong() -> None:
    made = case(removals={})
    assert level_of(made) == "MODERATE"
    assert [(one.name, one.passed) for one in made.outcomes if "budget" in one.words] == [("edits", None)]


def test_a_dependence_against_the_label_asks_for_the_other_sign() -> None:
    assert level_of(case(-0.3, removals={"blur": RISES})) == "STRONG"
    assert level_of(case(-0.3, removals={"blur": FALLS})) == "WEAK"
    assert level_of(case(-0.3, edge={4: contrast(-0.3)})) == "STRONG"
    assert level_of(case(-0.3, edge={4: contrast(0.3)})) == "WEAK"


# Claims.


@pytest.mark.parametrize(
    ("made", "claims"),
    [
        (case(), {"depends"}),  # no core was named
        (case(is_core=False), {"depends", "shortcut"}),
        (case(is_core=True), {"depends", "intended"}),
        (case(-0.3, is_core=False), {"depends", "against the label"}),
        (case(-0.3, is_core=True), {"depends", "against the label"}),
        (case(is_core=False, each=29), {"depends"}),  # weak
        (case(is_core=True, each=29), {"depends", "intended"}),
        (case(overfit=excess(True)), {"depends", "overfit"}),
        (case(overfit=excess(False), is_core=False), {"depends", "shortcut"}),
        (case(0.0, 0.01, p=1.0, overfit=excess(True)), {"overfit"}),  # one does not follow from the other
        (case(0.0, 0.03, p=1.0, overfit=excess(True)), {"overfit"}),
        (case(0.0, 0.01, p=1.0, sensitivity=1.01), {"fragile"}),
        (case(0.0, 0.03, p=1.0, sensitivity=1.01), set()),  # nothing is excluded
        (case(sensitivity=5.0), {"depends"}),
        (case(joint=True, is_core=None), {"depends", "jointly"}),
    ],
)
def test_dependence_shortcut_and_overfit_are_claimed_apart(made: Case, claims: set[str]) -> None:
    assert set(claims_of(made, level_of(made))) == claims


@pytest.mark.parametrize("made", [case(each=5, overfit=excess(True))])
def test_of_too_few_images_nothing_is_said_but_what_to_add(made: Case) -> None:
    told = finding_of(made)
    assert told.level == "CANNOT SAY" and "8 are needed" in told.text and "5" in told.text and "Add images" in told.todo


# Words.

EVERY = [
    case(value, half, p, each, **more)
    for value, half, p in ((0.3, 0.01, 1e-9), (-0.3, 0.01, 0.004), (0.025, 0.002, 0.01), (0, 0.005, 1), (0, 0.1, 1))
    for each in (10, 40, 100)
    for more in (
        {},
        {"is_core": False, "control": ControlEffects("regions", 0.01, (0.01,) * 24), "removals": {"blur": FALLS}},
        {
            "is_core": True,
            "control": ControlEffects("scrambled donors", 1.0, (0.01,) * 20),
            "removals": {"blur": RISES},
        },
        {"is_core": False, "edge": {4: contrast(0.3)}, "on_train": effect(0.4), "overfit": excess(True)},
        {"joint": True, "edge": {2: contrast(0.0)}},
        {"sensitivity": 3.0, "removals": {"blur": OPEN, "mean": OPEN}},
    )
]


@pytest.mark.parametrize("against", ["dog", "other classes"])
def test_no_text_has_a_banned_word(against: str) -> None:
    for one in EVERY:
        made = replace(one, effect=replace(one.effect, contrast=Contrast(0, "cat", against)))
        told = finding_of(made)
        said = " ".join((told.text, told.todo, *told.evidence)).lower()
        assert not [word for word in BANNED if word in said]
        assert told.text.endswith((".", "]")) and "nan" not in said.split() and "{" not in said


def test_every_dependence_is_told_with_its_size_interval_counts_and_p() -> None:
    shown = [made for made in EVERY if "depends" in finding_of(made).claims]
    assert len(shown) > 20
    for made in shown:
        text = finding_of(made).text
        assert (
            f"{100 * abs(made.value):.1f} points [{100 * made.selected.low:+.1f}, {100 * made.selected.high:+.1f}]"
            in text
        )
        assert f"margin {made.effect.margin.value:+.2f} [" in text
        assert "80 images" in text and f"{2 * made.fewest} donors" in text and "valid" in text
        assert ("p < 0.001" if made.p_holm < 0.001 else f"p = {made.p_holm:.2g}") in text
        assert "12% of the decisions flip" in text
        assert ("rises" if made.value > 0 else "falls") in text


def test_what_is_small_or_open_is_told_with_its_interval() -> None:
    small = finding_of(case(0.004, 0.005, p=1.0))
    assert "0.4 points [-0.1, +0.9]" in small.text and small.todo == ""
    still = finding_of(case(0.0, 0.05, p=1.0))
    assert "neither shown nor excluded" in still.text and "2.0 points" in still.text and "budget" in still.todo


def test_the_words_follow_the_claims() -> None:
    assert "shortcut" in finding_of(case(is_core=False)).text
    assert "--core" in finding_of(case()).text
    assert "intended" in finding_of(case(is_core=True)).text
    assert "against the label" in finding_of(case(-0.3, is_core=False)).text
    shared = finding_of(case(is_core=False, on_train=effect(0.4))).text
    assert "shared by train" in shared and "+40.0 points" in shared
    assert "shared by train" not in finding_of(case(is_core=False, on_train=effect(-0.4))).text
    assert "OVERFIT" in finding_of(case(overfit=excess(True))).text
    assert "fragile" in finding_of(case(0.0, 0.01, p=1.0, sensitivity=2.0)).text


def test_the_safeguards_are_told_with_their_outcome() -> None:
    made = case(control=ControlEffects("regions", 0.5, (0.5,) * 20), removals={"blur": OPEN}, edge={4: contrast(0.3)})
    told = finding_of(made).evidence
    assert [line[0] for line in told] == ["-", "?", "+", "+"]
    assert "50.0 points" in told[0] and "100 distinct donors" in told[3]
    assert told[2].startswith("+ With 4 pixels along its edge left as they were it is +30.0 points")
    (line,) = finding_of(case(each=29)).evidence
    assert line.startswith("- Few images: 29 distinct donors of the smallest class")


def test_no_text_has_two_spaces() -> None:
    assert not [made for made in EVERY if "  " in finding_of(made).text]


def test_a_margin_that_moves_the_other_way_shows_no_dependence() -> None:
    made = case(is_core=False)
    other_way = replace(made, effect=replace(made.effect, margin=contrast(-3.0, 0.1, 100)))
    told = finding_of(other_way)
    assert told.level == "CANNOT SAY" and not told.claims and "moves the other way, -3.00" in told.text


def outside_of(effect: ClassDifference) -> Case:
    """The case of a factor that does this outside of the core."""
    made = case(is_core=False)
    return replace(made, measured={**made.measured, "outside": effect})


def test_through_the_core_is_said_where_it_is_shown_alone() -> None:
    gone = outside_of(contrast(0.0, 0.01, 100))
    assert "through the core" in finding_of(gone).claims and "it acts through the core" in finding_of(gone).text
    unknown = finding_of(outside_of(contrast(0.2, 0.4, 100)))
    assert unknown.claims == ("depends",) and "whether it acts there cannot be said" in unknown.text


def test_what_should_matter_may_do_so_by_its_shape() -> None:
    unused = case(0.0, 0.01, p=1.0, is_core=True)
    assert "core not used" in finding_of(unused).claims
    shaped = finding_of(replace(unused, shape_may_matter=True))
    assert "core not used" not in shaped.claims and "its outline, size or place may" in shaped.text


def test_what_turns_decisions_is_told_by_itself_however_little_it_moves_probabilities() -> None:
    made = case(0.001, 0.001)
    flips = replace(made.effect, flips=Estimate(0.9, 0.85, 0.95, 400), flips_own=Estimate(0.02, 0.01, 0.03, 400))
    told = finding_of(replace(made, effect=flips))
    assert told.level == "CANNOT SAY" and not told.is_plain and "90% of the decisions flip" in told.text


def test_what_turns_decisions_whichever_class_it_is_of_is_fragile_though_no_mean_is_excluded() -> None:
    made, half = case(0.0, 0.1, p=1.0), Estimate(0.5, 0.45, 0.55, 400)
    told = finding_of(replace(made, effect=replace(made.effect, flips=half, flips_own=half)))
    assert told.level == "CANNOT SAY" and told.claims == ("fragile",)
    assert "50% of the decisions flip with another class's, 50% with their own class's" in told.text


def test_weak_findings_outside_the_core_are_not_called_shortcuts() -> None:
    told = finding_of(case(is_core=False, each=29))
    assert told.level == "WEAK" and "so no shortcut is claimed" in told.text


def test_numbers_hold_everything_that_the_words_say() -> None:
    made = case(
        is_core=False,
        control=ControlEffects("regions", 0.1, (0.1,) * 20),
        edge={4: contrast(0.2)},
        overfit=excess(True),
    )
    found = numbers_of(made)
    assert found["probability"]["value"] == 0.3 and found["p_holm"] == 1e-6 and found["core"] is False
    assert {gate["name"] for gate in found["gates"]} == {"control", "edge", "donors", "rim"}
    assert found["overfit"]["overfit"] is True and found["edge"]["4"]["value"] == 0.2
    assert found["selected_interval"] == [made.selected.low, made.selected.high]


# Many findings.


def findings() -> list[Finding]:
    made = [
        case(is_core=False),
        case(0.001, 0.002, p=1.0),
        case(-0.001, 0.002, p=1.0),
        case(0.0, 0.002, p=1.0, overfit=excess(True)),
    ]
    return [replace(finding_of(one), factor=name) for one, name in zip(made, "abcd", strict=True)]


def test_small_ones_share_a_line() -> None:
    rows = paragraphs_of(findings())
    assert len(rows) == 3
    assert "b +0.1 [-0.1, +0.3]" in rows[-1].text and "c -0.1 [-0.3, +0.1]" in rows[-1].text
    assert "NONE LARGER THAN 2 POINTS" in rows[-1].title and "overfit" in rows[1].title
    assert "STRONG" in findings()[0].title and "shortcut" in findings()[0].title


def test_the_summary_is_plain_values() -> None:

    found = summary_of(
        findings(), {"images": 3, "size": np.float32(1.5), "nothing": float("nan"), "odd": (1, np.int64(2))}
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["nothing"] is None and found["odd"] == [1, 2] and found["thresholds"] == AUDIT_THRESHOLDS


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> seewhy.Audit:
    """An audit whose classes are named like HTML."""
    home = tmp_path_factory.mktemp("hostile")
    names = ("<b>cat", "a&b 'dog'")
    data = write_images(home / "data", counts={"valid": 30}, classes=names)
    masks = write_masks(home / "core", data)
    model = classifier_of(Reader(core=20.0, tint=20.0), names)
    return audit(model, data, regions=f"core={masks}", core="core", properties="tint", recipients=20, progress=False)


def test_html_is_escaped(hostile: seewhy.Audit) -> None:
    page = hostile._repr_html_()
    assert "<b>" not in page and "&lt;b&gt;cat" in page and "a&amp;b" in page
    assert page.count("border-left") == len(paragraphs_of(hostile.findings))  # a card for each
    assert page.count('<img alt="Effect of each tested factor"') == page.count("<img") == 1
    assert hostile.facts["scope"] in page and "seewhy.write_report(audit.save(&quot;folder&quot;))" in page
    assert "60 images (60 valid)" in page and re.search(r"accuracy \d\.\d+ \[.*?\] on 60 images", page)
    assert repr(hostile).startswith("<Audit of 60 images") and "<b>cat" in repr(hostile)


def test_all_that_an_audit_says_is_free_of_banned_words(hostile: seewhy.Audit) -> None:
    said = f"{hostile!r} {hostile._repr_html_()} {hostile.summary()['told']}".lower()
    assert not [word for word in BANNED if word in said]


def test_a_finding_is_asked_for_by_name(hostile: seewhy.Audit) -> None:
    assert hostile["core"] in hostile.findings and len(hostile) == len(hostile.findings)
    with pytest.raises(seewhy.SeewhyError, match=r"(?s)no finding about 'nose'.*It has: .*core"):
        hostile["nose"]


def test_decisions_that_flip_without_probability_are_no_none_larger_than(tmp_path: Path) -> None:
    """The same decisions at a fiftieth of the logits: each probability within 2 points of one half."""
    data = write_images(tmp_path / "data", counts={"valid": 40})
    findings = {}
    for scale in (1.0, 0.02):
        classifier = classifier_of(Reader(core=2 * scale, tint=20.0 * scale))
        made = audit(classifier, data, regions="border", properties="tint", recipients=30, progress=False)
        findings[scale] = made["tint"]
    assert findings[1.0].level in ("STRONG", "MODERATE", "WEAK")
    assert findings[0.02].level == "CANNOT SAY"
    assert re.search(r"too little for points of probability, but \d+% of the decisions flip", findings[0.02].text)
    assert "calibrate" in findings[0.02].todo

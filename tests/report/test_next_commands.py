"""What an audit's findings ask for next, as lines that can be pasted."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from seewhy.cli.printing import print_audit
from seewhy.report.next_commands import after_audit
from seewhy.report.pages import TEMPLATES, advice

RUN, TYPED = Path("runs/my audit"), "seewhy audit faces --model net.py:Net"
EFFECT = {"probability": {"value": 0.2}}


def finding(factor: str, *claims: str, **numbers: Any) -> dict[str, Any]:
    return {"factor": factor, "claims": list(claims), "numbers": numbers}


def asked(*findings: dict[str, Any], typed: str | None = TYPED) -> list[str]:
    return [command for _, command in after_audit({"findings": findings}, RUN, typed)]


def test_a_shortcut_is_repaired_by_name_since_its_number_counts_otherwise() -> None:
    found = [
        finding("shortcuts", reason="no"),
        finding("left half", "depends", "shortcut", **EFFECT),
        finding("border", "shortcut", **EFFECT),
    ]
    assert asked(*found) == ["seewhy repair 'runs/my audit' --finding 'left half'"]


def test_shortcuts_that_are_shown_well_can_be_repaired_together() -> None:
    strong, weak = {"level": "STRONG"}, {"level": "WEAK"}
    found = [
        {**finding("background", "depends", "shortcut", **EFFECT), **strong},
        {**finding("face", "depends", "intended", **EFFECT), **strong},
        {**finding("word", "depends", kind="insert", **EFFECT), **strong},  # a mark is repaired by itself
        {**finding("border", "depends", "shortcut", **EFFECT), **weak},
        {**finding("left half", "depends", "shortcut", **EFFECT), **strong},
    ]
    run, out = "seewhy repair 'runs/my audit' --finding", "--out 'runs/my audit-repair-together'"
    assert asked(*found) == [f"{run} background", f"{run} 'background,left half' {out}"]
    more = [{**finding(name, "shortcut", **EFFECT), **strong} for name in ("tint", "a,b", "noise")]
    assert asked(*found, *more)[1] == f"{run} 'background,left half,tint' {out}"
    assert len(asked(*found[:4])) == 1


@pytest.mark.parametrize(
    "one",
    [
        finding("face", "depends", "intended", **EFFECT),
        finding("everything outside the core", "shortcut"),
        finding("tint", "depends", **EFFECT),
    ],
    ids=["intended", "without-effect", "no-core"],
)
def test_what_cannot_be_repaired_has_no_such_line(one: dict[str, Any]) -> None:
    assert asked(one) == []


def test_a_mark_is_repaired_where_it_is_depended_on() -> None:
    found = finding("word", "depends", kind="insert", **EFFECT)
    assert asked(found) == ["seewhy repair 'runs/my audit' --finding word"]


def test_without_a_core_the_same_audit_with_one_is_named() -> None:
    found = [finding("shortcuts", reason="core"), finding("tint", "depends", **EFFECT)]
    assert asked(*found) == [f"{TYPED} --core centre"]


@pytest.mark.parametrize(
    ("regions", "more"),
    [("border,face=my masks", "border,face=my masks,search"), ("border,search", None), (None, None)],
    ids=["named", "searched", "usual"],
)
def test_places_are_searched_for_beside_the_regions_that_were_named(regions: str | None, more: str | None) -> None:
    typed = TYPED if regions is None else f"{TYPED} --regions {shlex.quote(regions)} --core face"
    rest = finding("everything outside the core", "at the core's rim", benefit={"value": 0.1})
    expected = [] if more is None else [f"{TYPED} --regions {shlex.quote(more)} --core face"]
    assert asked(rest, typed=typed) == expected


def test_an_audit_made_in_python_has_no_line_to_type_again() -> None:
    assert asked(finding("border", "shortcut", **EFFECT), typed=None) == []


def test_an_audit_ends_in_a_terminal_with_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    summary = {
        "images": 2, "splits": {"valid": 2}, "classes": ["a", "b"], "accuracy": None, "trials": 9, "notes": [],
        "unreadable": {}, "told": [], "scope": "All.", "findings": [finding("border", "shortcut", **EFFECT)],
    }  # fmt: skip
    print_audit(summary, RUN, TYPED)
    assert capsys.readouterr().out.endswith("\n  seewhy repair 'runs/my audit' --finding border\n")


def test_advice_is_wrapped_at_blanks_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    told = {"title": "t", "text": "text", "evidence": [], "todo": "Now and then you may type this:  --as-given-by-me"}
    summary = {
        "images": 2, "splits": {"valid": 2}, "classes": ["a", "b"], "accuracy": None, "trials": 9, "notes": [],
        "unreadable": {}, "told": [told], "scope": "All.", "findings": [],
    }  # fmt: skip
    print_audit(summary, RUN)
    assert "--as-given-by-me" in capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        ("Name it:  --core centre  or  --core object=<F>", ["--core centre", "--core object=&lt;F&gt;"]),
        ("First:  seewhy explain.  Then:  seewhy check", ["seewhy explain", "seewhy check"]),
        ("It says:  seewhy audit (with the same arguments)", ["seewhy audit"]),
        ("Nothing -- to type", []),
    ],
)
def test_what_is_typed_is_code_on_a_page(words: str, codes: list[str]) -> None:
    html = str(advice(words))
    assert re.findall("<code>(.*?)</code>", html) == codes
    assert re.sub("</?code>", "", html) == escape(words)


@pytest.mark.parametrize("rule", [".command", ".todo code"])
def test_the_style_breaks_no_line_of_what_is_typed(rule: str) -> None:
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    (declared,) = re.findall(rf"^{re.escape(rule)} {{(.*?)}}", style, re.MULTILINE)
    assert re.search("white-space: (pre|nowrap);", declared) and "overflow-x: auto" in declared

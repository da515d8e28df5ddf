"""The benchmark from end to end on a few small networks, and the parts that decide its figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.planted import __main__ as command
from benchmarks.planted import cache as caching
from benchmarks.planted import published as published_module
from benchmarks.planted.audits import asked, masks_at, pictures_of
from benchmarks.planted.cache import Cache, network_key, write_record
from benchmarks.planted.cases import Case, Planted, asked_of, cases
from benchmarks.planted.cores import FORMS, core_masks
from benchmarks.planted.detector import auc, fitted, measured
from benchmarks.planted.figures import safeguards_table
from benchmarks.planted.latents import Recipe
from benchmarks.planted.names import HELD_OUT, RIGHT, half_of, is_right, named_in
from benchmarks.planted.networks import Network, built, is_flat, trained
from benchmarks.planted.oracle import effects
from benchmarks.planted.outside import effects_outside
from benchmarks.planted.page import write_page
from benchmarks.planted.renderers import RENDERERS
from benchmarks.planted.runner import Work, refuse_others, run, scores_in
from benchmarks.planted.scores import (
    Score,
    Share,
    coverage,
    exactness,
    false_alarms,
    left_open,
    naming,
    recall,
    score_of,
)
from scipy import stats

from seewhy.evidence.factors.factor import RegionFactor
from seewhy.evidence.trials.design import design_audit
from seewhy.evidence.trials.request import request

SMALL = {"size": 32, "variant": 1}
TINY = [
    Case("planted", Network(Recipe("objects", ("logo",), "planted", 1.0, 0.06, **SMALL), "pooled", 150, 8, 2)),
    Case("clean", Network(Recipe("objects", ("tint",), "clean", amount=0.6), "pooled", 300, 16, 4), "dilated"),
]
BARE = Case("legit", Network(Recipe("cells", (), "legit", **SMALL), "residual", 8, 1, 5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which the small cases have been through all stages, begun anew after the first."""
    home = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Case, "images", property(lambda case: 60))
        work = Work(home, covered=1)
        assert run(TINY[:1], work, 1, None) == []
        assert run(TINY, work, 1, None) == []
    return home


def test_a_strong_shortcut_is_told_and_a_clean_network_has_none(folder: Path) -> None:
    planted, clean = scores_in(folder, TINY)
    assert planted.largest > 0.1 and planted.truth == planted.verdict == "shortcut"
    assert planted.found["logo"]
    assert clean.is_negative and not clean.is_false
    assert clean.oracle["accuracy"] > 0.7
    assert min(planted.coverage or 0, clean.coverage or 0) > 0.85


@pytest.mark.parametrize("core", ["mask", "jittered", "centre"])
def test_what_is_drawn_for_coverage_exchanges_the_pixels_that_the_audit_exchanges(
    core: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Case, "images", property(lambda case: 8))
    case = replace(TINY[0], core=core)
    classifier, options = asked(case, built(case.network), tmp_path)
    design = design_audit(classifier, tmp_path, request(**options))
    drawn = pictures_of(case, "valid").drawn
    is_cut = set()
    for factor in design.factors:
        if isinstance(factor, RegionFactor) and (masks := masks_at(case, factor, drawn)) is not None:
            places = [int(Path(image.id).stem) for image in design.audited.images]
            expected = design.audited.masks[factor.name].float() / 255
            torch.testing.assert_close(masks if len(masks) == 1 else masks[places], expected, atol=1e-6, rtol=0)
            is_cut.add(factor.at.is_cut)
    assert is_cut == ({False, True} if core != "centre" else {False})


def test_what_is_done_is_not_done_again_and_other_code_needs_only_other_audits(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(TINY, Work(folder), 1, None) == []
    assert capsys.readouterr().out.count("kept") == len(TINY)
    monkeypatch.setattr(caching, "audit_key", lambda: "of other code")
    assert scores_in(folder, TINY) == []
    assert all(Cache(folder).has_network(case.network) for case in TINY)


def test_what_was_published_is_neither_made_again_nor_scored_otherwise(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = scores_in(folder, TINY)
    write_page(here, folder, tmp_path / "docs", tmp_path)
    elsewhere = tmp_path / "elsewhere"
    assert run(TINY, Work(elsewhere, results=tmp_path), 1, None) == []
    assert capsys.readouterr().out.count("published") == len(TINY) and not elsewhere.exists()
    there = scores_in(elsewhere, TINY, results=tmp_path)
    for one, other in zip(here, there, strict=True):
        for name in ("truth", "verdict", "found", "named", "at_rim", "exact", "hidden"):
            assert getattr(one, name) == getattr(other, name)
        assert one.effects == pytest.approx(other.effects, abs=1e-5)
        assert one.coverage == pytest.approx(other.coverage) and one.evidence == pytest.approx(other.evidence, abs=1e-5)
    assert safeguards_table(here) == safeguards_table(there)
    write_page(there, elsewhere, tmp_path / "docs", tmp_path)  # its pictures are those that lay there
    monkeypatch.setattr(published_module, "audit_key", lambda: "of other code")
    assert scores_in(elsewhere, TINY, results=tmp_path) == []


def test_a_record_of_other_thresholds_is_refused(folder: Path) -> None:
    file = Cache(folder).audit_file(TINY[0])
    record = json.loads(file.read_text())
    refuse_others(record, TINY[0])
    with pytest.raises(ValueError, match="thresholds 123, now"):
        refuse_others({**record, "thresholds": "123"}, TINY[0])
    with pytest.raises(ValueError, match="case_key"):
        refuse_others(record, TINY[1])


def test_no_time_left_begins_nothing(tmp_path: Path) -> None:
    assert run(TINY, Work(tmp_path), 1, -1) == []
    assert list(tmp_path.iterdir()) == []


def test_a_case_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    broken = replace(TINY[0], network=replace(TINY[0].network, head="residual", epochs=1, n_train=-1))
    failed = run([broken, BARE], Work(tmp_path, ("make",)), 1, None)
    assert len(failed) == 1 and failed[0].startswith(broken.name)
    assert len(list((tmp_path / "networks").glob("*.json"))) == 1


def test_the_page_tells_failures_first_and_has_every_figure(folder: Path, tmp_path: Path) -> None:
    scores = scores_in(folder, TINY)
    table = write_page(scores, folder, tmp_path / "docs", tmp_path / "results")
    page = (tmp_path / "docs/planted.md").read_text()
    assert page.index("## What it gets wrong") < page.index("## The figures")
    assert table in page and caching.thresholds_key() in page
    for word in page.split("](")[1:]:
        link = word.split(")")[0]
        assert (tmp_path / "docs" / link).exists(), link
    stored = json.loads((tmp_path / "results/planted.json").read_text())
    assert stored["headlines"] == [], "the table over all rows of the benchmarks reads this"
    assert [row["case"] for row in stored["cases"]] == [score.case.name for score in scores]


def test_the_command_lists_the_cases_of_a_half(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["planted", "--list", "--half", "tune", "--only", "cells clean"])
    assert command.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines and all(line.startswith("tune") and "cells clean" in line for line in lines)


def test_there_are_enough_cases_each_once_and_every_kind_of_each_renderer() -> None:
    everything = cases()
    assert len({case.name for case in everything}) == len(everything)
    negative = [case for case in everything if case.group not in ("planted", "early")]
    positive = [case for case in everything if case.group in ("planted", "early")]
    assert len(negative) >= 150 and len(positive) >= 180
    for name, rules in RENDERERS.items():
        kinds = {kind for case in positive for kind in case.recipe.kinds if case.recipe.renderer == name}
        assert kinds == set(rules.kinds) == set(RIGHT[name])
    first = everything[: len(everything) // 4]
    share = sum(case in negative for case in first) / len(first)
    assert abs(share - len(negative) / len(everything)) < 0.12
    assert {case.recipe.renderer for case in first} == set(RENDERERS)
    assert {case.core for case in everything} == set(FORMS)


def test_the_halves_share_no_network_and_what_is_held_out_is_frozen() -> None:
    halves: dict[str, set[str]] = {"tune": set(), "frozen": set()}
    for case in cases():
        halves[case.half].add(repr(case.network))
        if case.group == "planted" and set(case.recipe.kinds) & set(HELD_OUT[case.recipe.renderer]):
            assert case.half == "frozen"
    assert not halves["tune"] & halves["frozen"]
    assert 0.35 < len(halves["frozen"]) / sum(map(len, halves.values())) < 0.75
    assert half_of("cells", ("tint",), "residual", 2) == "frozen"


def test_a_network_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    network = replace(TINY[0].network, n_train=20, epochs=1)
    (first, _), (again, _) = trained(network), trained(network)
    other, _ = trained(replace(network, seed=9))
    for one, two in zip(first.parameters(), again.parameters(), strict=True):
        assert one.equal(two)
    assert not all(one.equal(two) for one, two in zip(first.parameters(), other.parameters(), strict=True))
    assert network_key(network) != network_key(replace(network, head="flat"))


def test_when_a_loss_counts_as_flat() -> None:
    assert is_flat([0.7, 0.5, 0.40, 0.39, 0.38, 0.38])
    assert not is_flat([0.7, 0.68, 0.66, 0.6, 0.5, 0.4])
    assert is_flat([0.7, 0.6, 0.4, 0.2, 0.1, 0.02])


class _Counting:
    """A classifier that reads one pixel, in the corner where the mark of the cells lies."""

    def __new__(cls) -> Any:
        import torch

        class Reader(torch.nn.Module):
            def forward(self, x: Any) -> Any:
                white = (x[:, :, -4, -8].mean(dim=1) > 1.6).float() * 8 - 4
                return torch.stack([white, -white], dim=1)

        return Reader()


def test_the_oracle_of_a_classifier_that_reads_the_mark_alone() -> None:
    network = Network(Recipe("cells", ("logo", "debris"), "planted", 0.9, 0.08, size=32), seed=3)
    told = effects(network, _Counting())
    assert told["kinds"]["logo"]["value"] > 0.6  # where the bar lies on a dark cell it is no white
    assert abs(told["kinds"]["debris"]["value"]) < 0.1
    assert abs(told["core"]["value"]) < 0.01 and abs(told["memory"]["value"]) < 0.03
    assert 0.35 < told["accuracy"] < 0.65  # the mark goes with no label there
    asked = asked_of(Case("planted", network), told, {})
    assert asked[0] == Planted("logo", pytest.approx(0.8 * told["kinds"]["logo"]["value"]))


@pytest.mark.parametrize(("column", "is_seen"), [(0, True), (8, False)])
def test_what_a_kind_does_within_the_named_core_is_left_out(column: int, is_seen: bool) -> None:
    """The classifier reads the frame in one column: at the edge, or within a core that takes the middle."""
    import torch

    class Reader(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            pale = (x[:, :, 10:22, column].mean(dim=(1, 2)) * 4).float()
            return torch.stack([pale, -pale], dim=1)

    network = Network(Recipe("objects", ("frame",), "planted", 1.0, 0.4, amount=2.0, size=32), seed=3)
    case = Case("planted", network, core="centre")
    whole, outside = effects(network, Reader()), effects_outside(case, Reader())
    share = outside["frame"]["value"] / whole["kinds"]["frame"]["value"]
    assert share > 0.95 if is_seen else share < 0.3
    assert asked_of(case, whole, outside)[0].effect == outside["frame"]["value"]


def test_a_kind_of_the_whole_picture_has_no_outside() -> None:
    network = Network(Recipe("faces", ("jpeg", "frame"), "planted", 0.8, 0.1), seed=3)
    oracle = {"kinds": {kind: {"value": 0.2} for kind in ("jpeg", "frame")}}
    outside = {kind: {"value": 0.7} for kind in ("jpeg", "frame")}  # a JPEG file that ends at the core: an edge there
    asked = asked_of(Case("planted", network), oracle, outside)
    assert [(one.kind, one.effect) for one in asked] == [
        ("jpeg", pytest.approx(0.6 * 0.2)),
        ("frame", pytest.approx(0.6 * 0.7)),
    ]


@pytest.mark.parametrize("form", FORMS)
def test_cores_have_the_size_that_they_say(form: str) -> None:
    rules = RENDERERS["objects"]
    masks = rules.draw(rules.sample(Recipe("objects", size=64, scenario="legit"), "train", 10, 1)).masks["object"]
    core = core_masks(masks, form, 1)
    assert core.shape == masks.shape and core.min() >= 0 and core.max() <= 1
    ratio = core.sum() / masks.sum()
    bounds = {"mask": (1, 1), "ellipse": (1, 2), "eroded": (0.4, 0.95), "dilated": (1.1, 2.2), "small": (0.05, 0.7),
              "large": (1.8, 6), "jittered": (0.5, 1.6), "centre": (0.5, 6)}  # fmt: skip
    assert bounds[form][0] <= ratio <= bounds[form][1]
    if form in ("eroded", "small"):
        assert (core <= masks + 1e-6).all()
    if form in ("dilated", "large"):
        assert (core >= masks - 1e-6).all()


def row(factor: str, *claims: str, title: str = "", members: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"factor": factor, "level": "STRONG", "claims": list(claims), "members": list(members), "value": 0.2,
            "low": 0.1, "high": 0.3, "title": title or f"STRONG  {factor}: {', '.join(claims)}"}  # fmt: skip


def scored(*rows: dict[str, Any], tau: float = 0.5, kinds: tuple[str, ...] = ("tint",), memory: float = 0.0) -> Score:
    case = Case("planted", Network(Recipe("objects", kinds, "planted", 0.9)))
    record = {"findings": list(rows), "without": {"edge": []}, "effects": {}, "seconds": 1.0}
    oracle = {"kinds": {kind: {"value": tau} for kind in kinds}, "memory": {"value": memory}, "accuracy": 0.9}
    return score_of(case, record, oracle, {})


def test_how_one_audit_is_scored() -> None:
    right = scored(row("background", "depends", "shortcut"))
    assert right.effects["tint"] == pytest.approx(0.4)
    assert right.found["tint"] and right.named["tint"] and right.exact
    more = scored(row("tint", "depends", "shortcut"), row("spectrum", "depends", "shortcut"))
    assert more.named["tint"] and not more.exact
    rough = scored(row("low-frequency", "depends", "shortcut"))
    assert rough.found["tint"] and not rough.named["tint"] and not rough.exact
    member = scored(row("spectrum", "depends", "shortcut", members=("tint",)))
    assert member.found["tint"] and not member.named["tint"]
    core = scored(row("object", "depends", "intended"))
    assert not core.found["tint"] and core.verdict == "none" and core.truth == "shortcut"
    assert scored(row("crop", "depends", "shortcut"), tau=0.0).is_false
    assert not scored(row("crop", "depends"), tau=0.0).is_false
    grey = scored(row("tint", "depends", "shortcut"), tau=0.03)
    assert grey.truth == "grey" and not grey.is_negative and not grey.found
    assert scored(tau=0.0, memory=0.2).truth == "overfit"
    hidden = scored(kinds=("sticker",))
    assert hidden.hidden and recall([hidden, right], 0.04) == Share(1, 1)


def test_the_figures_count_what_they_say() -> None:
    scores = [
        scored(row("background", "shortcut")), scored(), scored(row("low-frequency", "shortcut")),
        scored(tau=0.0), scored(row("flip", "shortcut"), tau=0.0), scored(tau=0.1),
    ]  # fmt: skip
    assert false_alarms(scores) == Share(1, 2)
    assert recall(scores, 0.04) == Share(2, 4) and recall(scores, 0.10) == Share(2, 3)
    assert naming(scores) == Share(1, 2) and exactness(scores) == Share(1, 4)
    assert "edge" in safeguards_table(scores)


def test_what_is_named_as_at_the_cores_rim_is_missed_and_counted_as_left_open() -> None:
    at_rim, weak = scored(row("background", "at the core's rim")), scored(row("background", "depends"))
    assert recall([at_rim, weak], 0.04) == Share(0, 2) and left_open([at_rim, weak]) == Share(1, 2)
    told = scored(row("tint", "depends", "shortcut"), row("background", "at the core's rim"))
    assert left_open([told]) == Share(0, 0)
    place = scored(row("place of the object", "depends", "shortcut"), kinds=("shift",))
    assert place.found["shift"] and place.named["shift"]


def test_the_page_shows_what_was_missed_false_or_misnamed_before_the_figures(tmp_path: Path) -> None:
    scores = [
        scored(row("background", "depends", "shortcut")), scored(row("object", "depends", "intended")),
        scored(row("low-frequency", "depends", "shortcut")), scored(row("flip", "depends", "shortcut"), tau=0.0),
    ]  # fmt: skip
    write_page(scores, tmp_path / "cache", tmp_path / "docs", tmp_path / "results")
    page = (tmp_path / "docs/planted.md").read_text()
    before = page[: page.index("## The figures")]
    for title in ("A shortcut that is none: 1", "10 points or more that is not told: 1", "no title names the cause: 1"):
        assert title in before
    assert "tint off, and on" in before
    links = [word.split(")")[0] for word in page.split("](")[1:]]
    assert len(links) >= 4 and all((tmp_path / "docs" / link).exists() for link in links)


def test_a_share_has_the_exact_interval() -> None:
    for hits, of in ((0, 149), (3, 150), (10, 10)):
        low, high = Share(hits, of).interval
        exact = stats.binomtest(hits, of).proportion_ci(method="exact")
        assert (low, high) == pytest.approx((exact.low, exact.high))


def test_coverage_is_by_networks() -> None:
    def covered(share: float) -> Score:
        return replace(scored(), coverage=share)

    mean, error, networks = coverage([covered(1.0), covered(0.9), covered(0.8), replace(scored(), coverage=None)])
    assert (mean, networks) == (pytest.approx(0.9), 3) and error == pytest.approx(0.1 / np.sqrt(3))


def test_the_detector_is_sure_where_findings_tell_and_a_coin_where_they_do_not() -> None:
    telling = [scored(row("tint", "shortcut")) for _ in range(20)] + [scored(tau=0.0) for _ in range(20)]
    detected = measured(telling, fitted(telling))
    assert detected is not None and detected.auc[0] == 1.0 and detected.brier[0] < 0.05
    silent = [scored() for _ in range(20)] + [scored(tau=0.0) for _ in range(20)]
    detected = measured(silent, fitted(silent))
    assert detected is not None and detected.auc[0] == 0.5
    assert detected.cross_entropy[0] == pytest.approx(np.log(2), abs=1e-3)
    assert measured(silent[:20], np.zeros(4)) is None
    assert auc(np.array([0.9, 0.8, 0.3, 0.3]), np.array([1.0, 0.0, 1.0, 0.0])) == pytest.approx(0.625)


def test_names_are_read_from_titles() -> None:
    assert named_in("STRONG  tint or background: depends, shortcut") == ["tint", "background"]
    assert named_in("STRONG  top-right (not separated: contrast): depends")[0] == "top-right"
    assert is_right("tint of the background", "cells", "tint") and not is_right("tinted", "cells", "tint")


def test_a_record_is_complete_or_absent(tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        path.write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        caching.write(tmp_path / "a.json", fails)
    assert caching.read(tmp_path / "a.json") is None
    write_record(tmp_path / "a.json", {"x": 1})
    assert caching.read(tmp_path / "a.json") == {"x": 1}

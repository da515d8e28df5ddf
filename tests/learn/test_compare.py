"""Comparing runs: what is paired is compared in pairs, what is the same says so, what stands in one only is counted."""

from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

import seewhy
from seewhy.errors import OptionError, StoreError
from seewhy.learn.compare.compare import compare
from seewhy.learn.compare.comparison import _effect_line
from seewhy.learn.compare.decisions import decisions_of, image_changes
from seewhy.learn.compare.effect_changes import AuditTrials, effect_changes
from seewhy.learn.compare.map_changes import map_changes
from seewhy.learn.compare.matching import match
from seewhy.learn.paired import sign_flip_p
from seewhy.records import Image, MapKey, Outcome
from seewhy.report.write import write_report
from seewhy.store.tables import read_columns
from tests.learn.test_watch import Corner, bright_corners

CLASSES = ["blue", "red"]
KEY = MapKey("grad-cam", "conv", "predicted")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Audits and explanations of two networks that use a bright corner: the second less than the first."""
    home = tmp_path_factory.mktemp("compare")
    bright_corners(home / "data", {"train": 10, "valid": 16})
    for name, gain in (("strong", 4.0), ("weak", 0.4)):
        classifier = seewhy.load(Corner(gain), classes=CLASSES)
        options = {"regions": "top-left,bottom-right", "properties": "none", "progress": False}
        seewhy.audit(classifier, home / "data", out=home / f"audit-{name}", **options)
        seewhy.explain(classifier, home / "data" / "valid", out=home / f"explain-{name}", progress=False)
    return home


def test_a_smaller_dependence_is_shown_trial_by_trial(home: Path) -> None:
    found = compare(home / "audit-strong", home / "audit-weak")
    by_name = {change.factor: change for change in found.effects}
    change = by_name["top-left"]
    assert change.paired and change.said == "smaller" and change.p_holm < 1e-6
    assert (change.images, change.donors) == (32, 32)  # of valid
    assert abs(change.first) > 0.5 > abs(change.second) > 0.05
    assert change.difference.value == pytest.approx(change.second - change.first, abs=1e-6)
    assert by_name["bottom-right"].said == "none larger than"
    assert found.decisions.n_flipped == 0 and found.decisions.difference is not None
    assert found.decisions.difference.n == 32 and found.decisions.split == "valid"
    assert any("top-left: depends less: effect on P(blue)" in line for line in found.lines())
    assert len(found.lines()) <= 12


def test_a_run_compared_with_itself_differs_in_nothing(home: Path) -> None:
    found = compare(home / "audit-strong", home / "audit-strong")
    assert {change.said for change in found.effects} == {"none larger than"}
    assert [change.difference.value for change in found.effects] == [0.0, 0.0]
    assert found.levels == {} and found.decisions.n_flipped == 0
    assert found.notes == ("Both runs are of the same network.",)
    assert found.maps is not None and found.maps.distance.value == 0.0
    assert found.maps.agreement.value == pytest.approx(1.0)


def test_one_network_asked_in_another_way_is_said_to_be_one(home: Path, tmp_path: Path) -> None:
    again = seewhy.audit(
        seewhy.load(Corner(4.0), classes=CLASSES), home / "data", out=tmp_path / "again", properties="none",
        regions="top-left,bottom-right", seed=1, donors=16, progress=False,
    )  # fmt: skip
    notes = compare(home / "audit-strong", again).notes
    assert notes[0] == "Both runs are of the same network."
    assert notes[1] == "The two runs were asked for with other options: --recipients or --donors, --seed."
    assert "same network" not in "".join(compare(home / "audit-strong", home / "audit-weak").notes)


def test_explanations_match_by_content_under_another_name(home: Path) -> None:
    found = compare(home / "explain-strong", home / "audit-weak")
    assert len(found) == 32 and found.matching.renamed == 32 and found.matching.only_second == 20
    assert any("under another name" in note for note in found.notes)
    assert any("between two audits" in note for note in found.notes)


def test_results_show_themselves_and_are_plain(home: Path) -> None:
    found = seewhy.compare(home / "explain-strong", home / "explain-weak")
    assert repr(found).startswith("<Comparison of ") and "32 images in both" in repr(found)
    assert "<li>" in found._repr_html_() and json.dumps(found.summary(), allow_nan=False)
    changes = [abs(record["change"]) for record in found.records]
    assert changes == sorted(changes, reverse=True) and changes[0] > 0.1


def test_effects_that_are_not_paired_have_an_interval_that_is_wide_enough(home: Path) -> None:
    """Without knowing the units, errors add up: the interval holds the paired one."""
    paired = {one.factor: one for one in compare(home / "audit-strong", home / "audit-weak").effects}
    other = home / "clustered"
    shutil.copytree(home / "audit-weak", other)
    found = json.loads((other / "findings.json").read_text())
    found["distinct"]["valid"] -= 1
    (other / "findings.json").write_text(json.dumps(found))
    (other / "files.json").unlink()
    manifest = json.loads((other / "manifest.json").read_text())
    manifest = {name: value for name, value in manifest.items() if name not in ("files", "digest")}
    (other / "manifest.json").write_text(json.dumps(manifest))
    apart = compare(home / "audit-strong", other)
    (change,) = [one for one in apart.effects if one.factor == "top-left"]
    assert not change.paired and change.said == "smaller"
    assert change.difference.low <= paired["top-left"].difference.low
    assert change.difference.high >= paired["top-left"].difference.high
    assert any("near-duplicates" in note for note in apart.notes)


def test_bad_runs_say_what_to_do(home: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"There is no run folder .*audit-stron"):
        compare(home / "audit-stron", home / "audit-weak")
    unsaved = seewhy.explain(seewhy.load(Corner(), classes=CLASSES), home / "data" / "valid", progress=False)
    with pytest.raises(OptionError, match=r"The second run lies in no folder"):
        compare(home / "audit-weak", unsaved)
    bright_corners(tmp_path / "other", {"valid": 3})
    pixels = torch.rand(4, 3, 32, 32)
    seewhy.explain(seewhy.load(Corner(), classes=CLASSES), pixels, out=tmp_path / "run", progress=False)
    with pytest.raises(StoreError, match="no image in common"):
        compare(home / "explain-weak", tmp_path / "run")


def outcome(name: str, digest: str | None = "x", label: str | None = "cat", said: str | None = "cat") -> Outcome:
    return Outcome(Image(name, label=label, split="valid"), digest=digest, prediction=said, logits=(1.0, 0.0))


def test_images_are_the_same_by_id_and_content() -> None:
    first = [outcome("a", "1"), outcome("b", "2"), outcome("c", "3"), outcome("d", "4"), outcome("e", None)]
    second = [outcome("a", "1", "dog"), outcome("b", "9"), outcome("z", "3"), outcome("y", "8"), outcome("e", None)]
    found = match(first, second)
    assert found.pairs == ((0, 0), (2, 2), (4, 4))
    assert (found.other_content, found.renamed, found.only_first, found.only_second) == (1, 1, 1, 1)
    assert (found.relabelled, found.unproved) == (1, 1)
    swapped = match([outcome("a", "1"), outcome("b", "2")], [outcome("a", "2"), outcome("b", "1")])
    assert swapped.pairs == ((0, 1), (1, 0)) and swapped.other_content == swapped.only_first == 0
    failed = match([outcome("a"), outcome("b")], [outcome("a"), replace(outcome("b"), error="unreadable")])
    assert failed.pairs == ((0, 0),) and failed.without_result == 1


def test_runs_without_a_common_image_say_why() -> None:
    with pytest.raises(StoreError, match=r"1 image of the same name \(a\) have other content in the second run"):
        match([outcome("a", "1")], [outcome("a", "2")])
    with pytest.raises(StoreError, match=r"no image in common: a there, b here\."):
        match([outcome("a", "1")], [outcome("b", "2")])
    with pytest.raises(StoreError, match=r"of 1 image in both, none has a result in both"):
        match([outcome("a", "1")], [replace(outcome("a", "1"), error="unreadable")])


def test_of_single_images_the_sign_flip_test_is_mcnemars() -> None:
    for gained, lost in ((0, 0), (5, 0), (3, 9), (40, 31), (700, 800)):
        exact = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        changes = np.repeat([1, -1, 0], [gained, lost, 10])
        assert sign_flip_p(changes, np.arange(len(changes))) == pytest.approx(exact, rel=1e-9)


def test_the_sign_flip_test_turns_whole_clusters_round() -> None:
    rng = np.random.default_rng(0)
    changes, clusters = rng.integers(-1, 2, 60), rng.integers(0, 9, 60)
    sums = np.bincount(clusters, changes)
    flips = np.array(list(itertools.product([-1, 1], repeat=9)))
    as_far = np.abs(flips @ sums) >= abs(sums.sum())
    assert sign_flip_p(changes, clusters) == pytest.approx(as_far.mean(), rel=1e-12)
    assert sign_flip_p(np.ones(40, np.int64), np.zeros(40, np.int64)) == 1.0  # one patient says nothing


def test_accuracies_and_their_test_have_clusters_as_units() -> None:
    pairs = [(outcome(f"{n}", said="dog" if n < 12 else "cat"), outcome(f"{n}")) for n in range(48)]
    single, by_four = decisions_of(pairs), decisions_of(pairs, np.arange(48) // 4)
    assert single.difference is not None and by_four.difference is not None
    assert single.p_value < 0.001 and by_four.p_value == pytest.approx(0.25)  # three of twelve patients gained
    assert (single.test, by_four.test) == ("McNemar's exact test", "exact sign-flip test of 12 clusters")
    assert by_four.difference.high - by_four.difference.low > 1.5 * (single.difference.high - single.difference.low)
    assert by_four.accuracy is not None and single.accuracy is not None
    assert by_four.accuracy[0].low < single.accuracy[0].low and by_four.accuracy[0].n == 48


def test_accuracies_leave_relabelled_images_out() -> None:
    pairs = [
        (outcome("a", said="dog"), outcome("a")),
        (outcome("b"), outcome("b")),
        (outcome("c"), outcome("c", label="dog")),
        (outcome("d", label=None), outcome("d", label=None, said="dog")),
    ]
    found = decisions_of(pairs)
    assert found.accuracy is not None and [share.n for share in found.accuracy] == [2, 2]
    assert (found.n, found.n_flipped, found.gained, found.lost) == (4, 2, 1, 0)


def test_of_several_labels_the_probability_is_that_of_the_label_that_changed_most() -> None:
    first, second = (
        replace(outcome("a", label="edema|fracture", said="edema|fracture"), logits=logits)
        for logits in ((2.0, 1.0), (2.5, -1.0))
    )
    (change,) = image_changes(["a"], [(first, second)], (CLASSES, CLASSES), [None], has_several_labels=True)
    shares = 1 / (1 + np.exp(-np.array([1.0, -1.0])))
    assert change.about == "red" and (change.p_first, change.p_second) == pytest.approx(tuple(shares))
    assert not change.flipped and change.label == "edema|fracture"


def test_networks_that_decide_nothing_have_their_outputs_compared() -> None:
    values = [(1.0, 1.5), (2.0, 2.0), (3.0, 4.0), (4.0, 4.5)]
    pairs = [
        tuple(replace(outcome(f"{n}", said=None), logits=(value,)) for value in both) for n, both in enumerate(values)
    ]
    found = decisions_of(pairs)
    assert found.n == 0 and found.outputs is not None
    assert found.outputs.difference.value == pytest.approx(0.5) and found.outputs.difference.n == 4
    assert (
        found.outputs.words.startswith("output is 2.5 → 3 on the mean: +0.5 [0.0999")
        and "4 images" in found.outputs.words
    )
    wide = [tuple(replace(each, logits=(*each.logits, 0.0)) for each in pair) for pair in pairs]
    embedded = decisions_of(wide).outputs
    assert (
        embedded is not None
        and embedded.words.startswith("2 outputs differ by 0.5 [")
        and "length is 2.5 → 3" in embedded.words
    )


class Number(Corner):
    """How bright the corner is, as a number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[:, :1]


def test_a_regression_has_no_decision_that_could_flip(home: Path, tmp_path: Path) -> None:
    for gain in (1.0, 2.0):
        network = seewhy.load(Number(gain), task="regression")
        seewhy.explain(network, home / "data" / "valid", out=tmp_path / f"{gain}", progress=False)
    found = compare(tmp_path / "1.0", tmp_path / "2.0", out=tmp_path / "both")
    assert found.headline.startswith("No decisions to compare; the output is ") and "32 images" in found.headline
    assert not any("flipped" in line for line in found.lines())
    page = (write_report(tmp_path / "both") / "index.html").read_text()
    assert "No decisions to compare. The output" in page and "decisions flipped" not in page


def test_clusters_by_name_are_the_units_and_unknown_ones_are_said(home: Path) -> None:
    runs = []
    for name, rule in (("by-name", r"name:(\d)\.png"), ("by-list", [str(n % 9) for n in range(52)])):
        runs.append(home / name)
        few = {"recipients": 10, "donors": 16, "regions": "top-left", "properties": "none"}
        options = {**few, "progress": False, "cluster_by": rule}
        seewhy.audit(seewhy.load(Corner(4.0), classes=CLASSES), home / "data", out=home / name, **options)
    known, unknown = (compare(run, run) for run in runs)
    assert known.decisions.n_clusters is not None and not any("by itself" in note for note in known.notes)
    assert unknown.decisions.n_clusters is None and any(
        "Accuracy counts each image by itself" in n for n in unknown.notes
    )


def test_paired_effects_are_not_found_where_nothing_changed() -> None:
    """Under the null, in 100 draws, a paired change is claimed about as often as its level says."""
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        ids = [f"{number:02d}" for number in range(40)]
        pairs = [(ids[r], ids[(r + 1 + k) % 40]) for r in range(40) for k in (1, 2, 6, 9)]
        donor = dict(zip(ids, 0.05 * rng.standard_normal(40), strict=True))
        table = {
            "factor": ["tint"] * 160, "edit": ["donors"] * 160, "split": ["valid"] * 160,
            "recipient": [a for a, _ in pairs], "donor": [b for _, b in pairs],
            "probabilities_before": np.zeros((160, 1)),
        }  # fmt: skip
        noise = np.array([[donor[b]] for _, b in pairs]) + 0.05 * rng.standard_normal((160, 1))
        labels = {name: ("cat", "dog")[int(name) % 2] for name in ids}
        first = AuditTrials({**table, "probabilities": np.zeros((160, 1))}, "valid", ("cat", "dog"), labels, True)
        second = AuditTrials({**table, "probabilities": noise}, "valid", ("cat", "dog"), labels, True)
        (change,) = effect_changes(first, second, ["tint"], {name: name for name in ids}, ({}, {}))
        alarms += change.difference.p_value < 0.05
    assert alarms / 100 <= 0.11


def test_maps_move_by_half_of_what_cells_gain_and_lose() -> None:
    first = np.array([[[4.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]], [[-1.0, 0.0], [0.0, 0.0]]], np.float32)
    second = np.array([[[0.0, 9.0], [0.0, 0.0]], [[3.0, 3.0], [0.0, -5.0]], [[1.0, 0.0], [0.0, 0.0]]], np.float32)
    found = map_changes((KEY, KEY), first, second)
    assert found is not None and found.empty == 1
    assert found.moved[:2].tolist() == [1.0, 0.5] and np.isnan(found.moved[2])
    finer = np.repeat(np.repeat(second, 2, axis=1), 2, axis=2)
    again = map_changes((KEY, KEY), first, finer)
    assert again is not None and np.allclose(again.moved[:2], [1.0, 0.5])
    assert map_changes((KEY, KEY), first[2:], second[2:]) is None


def test_the_command_prints_a_dozen_lines_and_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from seewhy.cli.app import main

    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as left:
            main(["compare", str(home / "audit-strong"), str(home / "audit-weak"), *more])
        assert left.value.code in (0, None)
    printed = capsys.readouterr().out
    assert "top-left: depends less" in printed
    assert json.loads(printed[printed.index("{") :])["effects"][0]["paired"] is True


def test_what_a_mark_does_is_compared_image_by_image(home: Path, tmp_path: Path) -> None:
    for name, gain in (("strong", 4.0), ("weak", 0.4)):
        classifier = seewhy.load(Corner(gain), classes=CLASSES)
        asked = {"regions": "bottom-right", "properties": "none", "marks": ["wm=text:XX@top-left"], "progress": False}
        seewhy.audit(classifier, home / "data", out=tmp_path / name, **asked)
    found = compare(tmp_path / "strong", tmp_path / "weak")
    (change,) = [one for one in found.effects if one.factor == "wm"]
    trials = [read_columns(tmp_path / name / "trials.parquet") for name in ("strong", "weak")]
    moves = []
    for table in trials:
        by = {
            (edit, recipient): np.array(probabilities)[0]
            for factor, edit, recipient, probabilities in zip(
                table["factor"], table["edit"], table["recipient"], table["probabilities"], strict=True
            )
            if factor == "wm"
        }
        names = sorted(recipient for edit, recipient in by if edit == "inserted")
        moves.append(np.array([by["inserted", name] - by["neutral mark", name] for name in names]))
    expected = stats.ttest_rel(moves[1], moves[0])
    assert change.difference.value == pytest.approx(float((moves[1] - moves[0]).mean()), abs=1e-6)
    assert change.difference.p_value == pytest.approx(float(expected.pvalue), rel=1e-3)
    assert change.images == 32 and not change.donors
    moved = replace(change.difference, value=-0.4, low=-0.5, high=-0.3)
    shown = replace(change, first=0.5, second=0.1, p_holm=1e-9, difference=moved)
    assert "32 images edited, the same trials" in _effect_line(shown, 1)

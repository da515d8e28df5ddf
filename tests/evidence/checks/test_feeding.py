"""The sweep over preprocessing mistakes: what it tries, and when it names one."""

from __future__ import annotations

import numpy as np
import pytest

from seewhy.evidence.checks.feeding import judge, margins, variants_of
from seewhy.evidence.checks.findings import feeding_findings
from seewhy.records import Preprocess

IMAGENET = Preprocess(size=(8, 8), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def test_the_current_way_is_never_a_variant() -> None:
    for way in (Preprocess(), IMAGENET, Preprocess(range="0-255"), Preprocess(mean=(0.5, 0.5, 0.5), std=(0.5,))):
        assert way not in [variant for variant, _ in variants_of(way).values()]
    assert "-1..1" not in variants_of(Preprocess(mean=(0.5, 0.5, 0.5), std=(0.5,))), "the same in other words"
    assert set(variants_of(Preprocess(size=(8, 8)))) == {
        "0..255", "ImageNet's mean and std", "-1..1", "BGR", "crop", "letterbox",
    }  # fmt: skip
    assert set(variants_of(Preprocess(channels="grey"))) == {"0..255", "-1..1"}


def test_the_options_name_the_variant() -> None:
    found = variants_of(IMAGENET)
    assert found["0..255"][1] == "--range 0-255 --mean 0 --std 1"
    assert found["BGR"][1] == "--channels bgr"
    assert variants_of(Preprocess())["ImageNet's mean and std"][1].endswith("--std 0.229,0.224,0.225")


def test_margins_are_the_distance_to_the_best_other() -> None:
    logits = np.array([[3.0, 1.0, 2.0], [1.0, 1.0, 0.0]])
    np.testing.assert_array_equal(margins(logits), [[1, -2, -1], [0, 0, -1]])


def scored(rng: np.random.Generator, labels: np.ndarray, quality: float, common: np.ndarray) -> np.ndarray:
    margin = common + quality * labels + 0.3 * rng.normal(size=len(labels))
    return np.stack([-margin, margin], axis=1)


@pytest.mark.parametrize(("n", "named"), [(600, True), (30, False)])
def test_a_variant_is_named_only_where_the_images_show_it(n: int, named: bool) -> None:
    rng = np.random.default_rng(0)
    labels, common = np.arange(n) % 2, rng.normal(size=n)
    now, better, same = (scored(rng, labels, quality, common) for quality in (0.3, 0.8, 0.3))
    found = judge(now, labels, [("BGR", "--channels bgr", better), ("crop", "--fit crop", same)])
    assert found.variants[0].name == "BGR" and found.variants[0].difference.value > 0
    assert [one.name for one in found.better] == (["BGR"] if named else [])
    (said,) = feeding_findings(found)
    assert said.level == ("bad" if named else "cannot say")
    assert ("--channels bgr" in said.todo) is named
    assert f"n = {n}" in said.text


def test_a_hundred_idle_sweeps_raise_few_alarms() -> None:
    """Five variants of the same quality as now: any named one is a false alarm, at most about 5 % of the sweeps."""
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(200):
        labels, common = np.arange(120) % 2, rng.normal(size=120)
        now, *tried = (scored(rng, labels, 0.5, common) for _ in range(6))
        alarms += bool(judge(now, labels, [(str(n), "", one) for n, one in enumerate(tried)]).better)
    assert alarms <= 16  # 10 are expected at the most; 17 or more have a chance of 2.6 %


def test_where_all_are_worse_it_is_said_so() -> None:
    rng = np.random.default_rng(2)
    labels, common = np.arange(400) % 2, rng.normal(size=400)
    now, worse = scored(rng, labels, 2, common), scored(rng, labels, 0, common)
    (said,) = feeding_findings(judge(now, labels, [("0..255", "", worse)]))
    assert said.level == "good" and "none of 1 usual variants" in said.text
    (open_,) = feeding_findings(None, "labels of two classes are needed")
    assert open_.level == "cannot say"


def test_few_images_tell_nothing_of_the_feeding() -> None:
    """Two images are parted by any way of feeding them, or by none."""
    for n, units, said in (
        (2, None, "too few images to tell (1 that are not"),
        (18, None, "(9 that are not of the commonest class, where 10 are needed; n = 18)"),
        (400, np.arange(400) % 10, "too few clusters to tell (5 that are not"),
    ):
        labels = np.arange(n) % 2
        way = np.stack([-labels, labels], axis=1) * 1.0
        for now, then in ((way, way * 2), (-way, way)):
            (finding,) = feeding_findings(judge(now, labels, [("BGR", "--channels bgr", then)], units))
            assert finding.level == "cannot say" and said in finding.text and "--channels" not in finding.todo
    labels = np.arange(40) % 2
    way = np.stack([-labels, labels], axis=1) * 1.0
    (finding,) = feeding_findings(judge(-way, labels, [("BGR", "--channels bgr", way)]))
    assert finding.level == "bad"


def test_copies_of_images_are_one_cluster_and_add_nothing() -> None:
    rng = np.random.default_rng(3)
    labels, common = np.arange(60) % 2, rng.normal(size=60)
    now, better = scored(rng, labels, 0.3, common), scored(rng, labels, 0.6, common)
    alone = judge(now, labels, [("BGR", "", better)])
    places = np.repeat(np.arange(60), 5)
    copied = judge(now[places], labels[places], [("BGR", "", better[places])], places)
    assert copied.variants[0].p_value == pytest.approx(alone.variants[0].p_value)
    assert copied.variants[0].difference.low == pytest.approx(alone.variants[0].difference.low)
    assert (copied.n_images, copied.n_clusters, copied.n_others) == (300, 60, 30) and alone.n_clusters is None
    (finding,) = feeding_findings(copied)
    assert "n = 300 of 60 clusters" in finding.text


def test_nothing_is_said_of_the_feeding_of_a_network_that_guesses() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(80) % 2
    noise = [scored(rng, labels, 0.0, rng.normal(size=80)) for _ in range(3)]
    feeding = judge(noise[0], labels, [("BGR", "--channels bgr", noise[1]), ("crop", "--fit crop", noise[2])])
    assert feeding.is_chance
    (finding,) = feeding_findings(feeding)
    assert finding.level == "cannot say" and "not shown to separate the classes" in finding.text


def sweep(now: float, then: float, n: int = 4000, n_classes: int = 2) -> str:
    """The level of what is said where the way now separates the classes by `now`, and BGR by `then`, of the noise."""
    rng = np.random.default_rng(0)
    labels, common = np.arange(n) % n_classes, rng.normal(size=(n, n_classes))
    own = np.eye(n_classes)[labels]
    ways = [common + quality * own + 0.1 * rng.normal(size=own.shape) for quality in (now, then)]
    (finding,) = feeding_findings(judge(ways[0], labels, [("BGR", "--channels bgr", ways[1])]))
    if finding.level != "bad":
        assert "--channels" not in finding.todo + finding.text, "no advice"
    return finding.level


@pytest.mark.parametrize("n_classes", [2, 10])
def test_a_difference_that_is_shown_and_helps_nobody_is_no_advice(n_classes: int) -> None:
    """Thousands of images show that .516 is more than .500: neither is a classifier that works."""
    assert sweep(0.0, 0.06, 4000, n_classes) == "cannot say"
    assert sweep(0.06, 0.06, 4000, n_classes) == "cannot say", "hardly better than guessing, however it is fed"
    assert sweep(0.0, 1.0, 4000, n_classes) == "bad", "a way of feeding it that works"


def test_a_difference_that_is_shown_and_tiny_is_no_advice() -> None:
    assert sweep(2.00, 2.05, 3000) == "good", "both work, and by .01 of AUC it does not matter"
    assert sweep(2.00, 2.60, 3000) == "bad"

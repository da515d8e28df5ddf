"""Clusters as units: laws against what independent images give, and simulated clusters whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from seewhy.estimates import Z, wilson
from seewhy.evidence.inference.bootstrap import omnibus, two_way_bootstrap
from seewhy.evidence.inference.differences import class_difference, flip_rate, own_class_difference
from seewhy.evidence.inference.overfit import EditTrials, overfit_excess
from seewhy.evidence.inference.two_way import cluster_effects, donor_effects, sensitivity
from seewhy.evidence.inference.units import (
    count_units,
    draw_clusters,
    draw_weights,
    share_change,
    share_of,
    unit_means,
    units_of,
)

Array = np.ndarray
AGAINST = {1: 1.0, 0: -1.0}


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# What is drawn


def test_images_that_are_clusters_of_their_own_are_drawn_as_images_are() -> None:
    classes = np.array([1, 0, 2, 0, 1, 1, 2])
    alone = draw_clusters(classes, np.array([3, 9, 4, 0, 7, 8, 11]), 50, rng_of(1))
    assert alone.sum(axis=0) == pytest.approx(draw_clusters(classes, np.arange(7), 50, rng_of(1)).sum(axis=0), abs=40)
    assert (draw_clusters(classes, np.arange(7), 50, rng_of(1)) == draw_weights(classes, 50, rng_of(1))).all()


def test_a_cluster_is_drawn_as_a_whole_and_clusters_of_the_same_classes_keep_their_number() -> None:
    classes = np.array([0, 0, 0, 1, 1, 0, 1, 1])
    clusters = np.array([5, 5, 2, 3, 3, 9, 9, 4])  # 9 has both classes
    found = draw_clusters(classes, clusters, 400, rng_of(2))
    assert (found[:, 0] == found[:, 1]).all() and (found[:, 3] == found[:, 4]).all()
    assert (found[:, 5] == 1).all() and (found[:, 6] == 1).all()  # the only one of its kind
    assert (found[:, 0] + found[:, 2] == 2).all() and (found[:, 3] + found[:, 7] == 2).all()
    assert found.mean(axis=0) == pytest.approx(np.ones(8), abs=0.15)


def test_units_are_counted_and_averaged() -> None:
    units = units_of(["a", None, "b", "a", "", None], 6)
    assert count_units(units) == 5 and units[0] == units[3]
    assert sorted(unit_means(np.array([1.0, 5, 7, 3, 9, 11]), units)) == [2, 5, 7, 9, 11]
    assert count_units(units_of((), 4)) == 4 and len(units_of((), 0)) == 0


# Shares


def test_a_share_of_images_of_their_own_is_wilsons() -> None:
    hits = rng_of(3).random(40) < 0.7
    assert share_of(hits, np.arange(40)) == wilson(int(hits.sum()), 40)


@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_copies_add_nothing_to_a_share(share: float) -> None:
    hits = np.arange(50) < share * 50
    copied = share_of(np.repeat(hits, 6), np.repeat(np.arange(50), 6))
    plain = wilson(int(hits.sum()), 50)
    assert copied.n == 300 and copied.value == plain.value
    assert copied.high - copied.low == pytest.approx(plain.high - plain.low, rel=0.05)
    assert copied.high - copied.low >= plain.high - plain.low  # Student's: few clusters say less


def test_one_cluster_says_nothing_of_a_share() -> None:
    found = share_of(np.ones(30, dtype=bool), np.zeros(30, dtype=np.int64))
    assert (found.low, found.high) == (0, 1)


def test_a_change_of_shares_is_that_of_the_table_with_half_an_image_more_in_each_cell() -> None:
    before = np.repeat([True, True, False, False], [30, 3, 9, 18])
    after = np.repeat([True, False, True, False], [30, 3, 9, 18])
    table = np.array([[30, 3], [9, 18]]) + 0.5
    shares = table / table.sum()
    centre = shares[1, 0] - shares[0, 1]
    half = Z * np.sqrt((shares[1, 0] + shares[0, 1] - centre**2) / table.sum())
    found = share_change(before, after, np.arange(60))
    assert found.value == pytest.approx(6 / 60) and found.n == 60
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half))


def test_no_change_among_few_images_is_no_proof_of_none() -> None:
    hits = np.arange(24) % 2 == 0
    found = share_change(hits, hits, np.arange(24))
    assert found.value == 0 and found.high == -found.low == pytest.approx(Z / 26)
    clustered = share_change(hits, hits, np.arange(24) // 4)
    assert clustered.high > share_change(hits[:6], hits[:6], np.arange(6)).high, "six clusters, by Student's"
    assert share_change(hits, hits, np.zeros(24, np.int64)).high == 1, "one cluster says nothing"
    lost = share_change(np.ones(5, bool), np.zeros(5, bool), np.arange(5))
    assert lost.low == -1 == lost.value and lost.high > -1


@pytest.mark.parametrize("size", [1, 10])
def test_the_interval_of_a_change_holds_the_truth_as_often_as_it_says(size: int) -> None:
    rng, held = rng_of(4), 0
    for _ in range(600):
        kinds = np.repeat(rng.choice(4, p=[0.6, 0.12, 0.04, 0.24], size=24), size)
        found = share_change(kinds < 2, kinds % 2 == 0, np.arange(24 * size) // size)
        held += found.low <= -0.08 <= found.high
    assert held / 600 >= 0.93


def test_the_interval_of_a_share_covers_with_clusters_and_not_without() -> None:
    rng, covered = rng_of(4), {"clusters": 0, "images": 0}
    clusters = np.repeat(np.arange(25), 12)
    for _ in range(300):
        hits = rng.random(300) < rng.beta(3.5, 1.5, 25)[clusters]  # .7 on average
        for name, units in (("clusters", clusters), ("images", np.arange(300))):
            found = share_of(hits, units)
            covered[name] += found.low <= 0.7 <= found.high
    assert 0.92 <= covered["clusters"] / 300 <= 0.99 and covered["images"] / 300 < 0.8


# Effects


def trials_of(rng: np.random.Generator, n_recipients: int, donors: Array, each: int) -> tuple[Array, Array]:
    """Every recipient meets `each` of the donors of both classes; `donors` (M,) are their classes."""
    columns = [
        rng.choice(np.flatnonzero(donors == side), each, replace=False) for side in (0, 1) for _ in range(n_recipients)
    ]
    return np.tile(np.repeat(np.arange(n_recipients), each), 2), np.concatenate(columns)


def test_the_interval_of_an_effect_covers_where_donors_of_a_cluster_speak_alike() -> None:
    rng, covered = rng_of(5), {"clusters": 0, "images": 0}
    classes, clusters = np.repeat([0, 1], 120), np.repeat(np.arange(48), 5)
    for _ in range(150):
        recipient, donor = trials_of(rng, 240, classes, 2)
        effects = rng.normal(0, 0.3, 48)[clusters] + rng.normal(0, 0.1, 240)
        change = effects[donor] + rng.normal(0, 0.2, len(donor))
        fitted = donor_effects(recipient, donor, change, 240)
        for name, units in (("clusters", clusters), ("images", np.arange(240))):
            found = class_difference(*cluster_effects(fitted, classes, units), AGAINST)
            covered[name] += found.low < 0 < found.high
    assert 0.91 <= covered["clusters"] / 150 <= 0.99 and covered["images"] / 150 < 0.8


def test_recipients_of_a_cluster_count_once_in_the_two_way_bootstrap() -> None:
    rng = rng_of(6)
    classes, of_recipients = np.repeat([0, 1], 40), np.repeat(np.arange(16), 5)
    recipient, donor = trials_of(rng, 80, classes, 4)
    respond = rng.normal(0, 1, 16)[of_recipients]  # how strongly a cluster's images react to the class
    change = (classes[donor] - 0.5) * respond[recipient] + rng.normal(0, 0.05, len(donor))
    clusters = of_recipients  # of the 80 images that are recipients and donors
    apart = two_way_bootstrap(recipient, donor, change, classes, AGAINST, rng=rng_of(0))
    whole = two_way_bootstrap(recipient, donor, change, classes, AGAINST, clusters=clusters, rng=rng_of(0))
    assert whole.value == pytest.approx(apart.value)
    assert whole.error / apart.error == pytest.approx(np.sqrt(5), rel=0.25)
    assert whole.df <= 15 and sum(whole.n.values()) == 16


def test_the_many_classes_count_clusters() -> None:
    rng = rng_of(7)
    classes = np.tile(np.arange(4), 15)
    clusters = np.arange(60) // 12 * 4 + classes  # 5 clusters a class, of 3 images
    recipient = np.repeat(np.arange(60), 6)
    donor = np.array([rng.choice(np.flatnonzero(clusters != clusters[place])) for place in recipient])
    change = 0.5 * (classes[recipient] == classes[donor]) + rng.normal(0, 0.1, len(donor))
    found = own_class_difference(recipient, donor, change, classes, classes, clusters=clusters)
    assert found.n == dict.fromkeys(range(4), 5) and found.df <= 19
    assert found.value == pytest.approx(0.5, abs=0.05)


def test_the_spread_of_donors_is_as_sure_as_their_clusters() -> None:
    rng = rng_of(8)
    recipient, donor = np.repeat(np.arange(60), 60), np.tile(np.arange(60), 60)
    clusters = np.repeat(np.arange(12), 5)
    change = rng.normal(0, 0.3, 12)[clusters][donor] + rng.normal(0, 0.1, 3600)
    images = sensitivity(recipient, donor, change, 60)
    found = sensitivity(recipient, donor, change, 60, clusters=clusters)
    assert found.value == images.value and found.n == 12
    assert np.log(found.high / found.low) / np.log(images.high / images.low) == pytest.approx(np.sqrt(5), rel=0.1)


def test_flips_of_one_cluster_count_once() -> None:
    rows, columns = np.repeat(np.arange(40), 10), np.tile(np.arange(10), 40)
    flipped = (rows % 4 == 0).astype(float)
    whole = flip_rate(rows, columns, flipped)
    copied = flip_rate(np.repeat(rows, 3), np.repeat(columns, 3), np.repeat(flipped, 3))
    assert (copied.value, copied.low, copied.high) == pytest.approx((whole.value, whole.low, whole.high))


def test_the_omnibus_counts_clusters_of_recipients() -> None:
    rng = rng_of(9)
    classes, clusters = np.repeat([0, 1], 60), np.repeat(np.arange(24), 5)
    recipient, donor = np.repeat(np.arange(120), 4), rng.integers(0, 120, 480)
    after = rng.normal(0, 1, 24)[clusters][recipient] + rng.normal(0, 0.1, 480)
    right = ((after > 0) == (classes[recipient] == 1)).astype(float)
    arguments = (recipient, donor, after, right, classes, classes, AGAINST)
    apart = omnibus(*arguments, rng=rng_of(0))
    whole = omnibus(*arguments, clusters=clusters, rng=rng_of(0))
    assert whole.contrast.error / apart.contrast.error == pytest.approx(np.sqrt(5), rel=0.15)
    assert whole.benefit.value == apart.benefit.value
    widths = [found.benefit.high - found.benefit.low for found in (whole, apart)]
    assert widths[0] > 1.6 * widths[1]


def edits_of(rng: np.random.Generator, shift: float, clusters: Array) -> EditTrials:
    """Trials whose loss differs between clusters, not within; `shift` is its mean."""
    recipient, donor = np.repeat(np.arange(60), 4), rng.integers(0, 60, 240)
    before = np.full(240, 2.0)
    after = before - shift - rng.normal(0, 0.5, 12)[np.repeat(np.arange(12), 5)][recipient]
    return EditTrials(recipient, donor, before, after, before > 0, after > 0, clusters)


def test_overfit_draws_whole_clusters() -> None:
    widths, five = {}, np.repeat(np.arange(12), 5)
    for name, clusters in (("clusters", five), ("images", np.arange(60))):
        rng = rng_of(10)
        train, valid, control_train, control_valid = (edits_of(rng, shift, clusters) for shift in (1, 0, 0, 0))
        found = overfit_excess(train, valid, [control_train], [control_valid], chance=0.5, draws=600, rng=rng_of(0))
        widths[name] = found.margin.high - found.margin.low
        assert found.margin.n == {"clusters": 12, "images": 60}[name]
    assert widths["clusters"] > 1.6 * widths["images"]


def test_the_mean_of_clusters_is_students() -> None:
    values, clusters = rng_of(11).normal(size=30), np.repeat(np.arange(10), 3)
    assert unit_means(values, clusters) == pytest.approx(values.reshape(10, 3).mean(axis=1))
    low, high = stats.t.interval(0.95, 9, values.mean(), stats.sem(values.reshape(10, 3).mean(axis=1)))
    from_units = unit_means(values, clusters)
    half = stats.t.ppf(0.975, 9) * from_units.std(ddof=1) / np.sqrt(10)
    assert (values.mean() - half, values.mean() + half) == pytest.approx((low, high))

"""Which trials are made: by budget, by association, with controls; and what is given up first."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from seewhy.errors import OptionError
from seewhy.evidence.audit import run_audit
from seewhy.evidence.factors.factor import PropertyFactor
from seewhy.evidence.findings.case import depends
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.trials.association import association, values_of
from seewhy.evidence.trials.budget import planned, seconds_of
from seewhy.evidence.trials.design import AuditDesign, design_audit, scheduled
from seewhy.evidence.trials.edit import CONTROL, EXCHANGE
from seewhy.evidence.trials.request import Effort, request
from seewhy.evidence.trials.sample import DISJOINT, mean_mask, overlap_of
from seewhy.evidence.trials.trial import NO_DONOR
from tests.small_images import Reader, classifier_of, where_core, where_half, write_images, write_masks


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schedule")
    data = write_images(folder / "data", counts={"train": 30, "valid": 30})
    for name, where in (("core", where_core()), ("left", where_half(False)), ("right", where_half(True))):
        write_masks(folder / name, data, where)
    return folder


@pytest.fixture(scope="module")
def design(home: Path) -> AuditDesign:
    names = ("core", "left", "right")
    asked = request([f"{name}={home / name}" for name in names], "core", "tint,brightness,flip")
    return design_audit(classifier_of(Reader(core=20.0, tint=20.0)), home / "data", asked)


def test_the_most_suspect_factor_comes_first(design: AuditDesign) -> None:
    values = [design.associations[one.name] for one in design.factors]
    assert values == sorted(values, reverse=True) and all(0 <= one <= 1 for one in values)
    assert design.associations["flip"] < 0.1 < design.associations["tint"]


def test_suspicion_is_the_share_of_variance_between_classes() -> None:
    labels = np.repeat([0, 1, 2], 40)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(120)
    assert association(labels[:, None].astype(float), labels) == pytest.approx(1)
    assert association(np.ones((120, 2)), labels) == 0 and association(np.stack([noise, labels], axis=1), labels) == 1
    assert association(noise[:, None], np.zeros(120, dtype=np.int64)) == 0
    values = noise + labels
    groups = [values[labels == one] for one in range(3)]
    f_value = stats.f_oneway(*groups).statistic
    share = 2 * f_value / (2 * f_value + 117)  # eta squared, from an independent F
    assert association(values[:, None], labels) == pytest.approx((share - 2 / 119) / (1 - 2 / 119))


def test_suspicion_of_noise_is_nothing_on_average() -> None:
    labels = np.repeat([0, 1], 50)
    found = [association(np.random.default_rng(seed).standard_normal((100, 1)), labels) for seed in range(200)]
    assert np.mean(found) < 0.01 and np.median(found) == 0


def test_values_are_those_of_every_image(design: AuditDesign) -> None:
    sample = design.audited
    factor = PropertyFactor(PROPERTIES["tint"])
    alone = torch.cat([factor.measure(sample.canvases(torch.tensor([row])), None) for row in range(60)])
    assert values_of(factor, sample) == pytest.approx(alone.double().numpy(), abs=1e-6)


def test_every_factor_is_exchanged_on_both_splits(design: AuditDesign) -> None:
    for factor in design.factors:
        own = [(str(job.edit), job.split) for job in design.schedule.jobs if job.name == factor.name]
        assert sorted(own) == [("donors", "train"), ("donors", "valid")]


def test_what_matters_is_taken_away_drawn_back_and_compared_and_nothing_else(design: AuditDesign) -> None:
    audit = run_audit(design)
    jobs = audit.design.schedule.jobs
    shown = {case.factor for case in audit.cases.singles if depends(case)}
    asked = {job.name for job in jobs if job.edit.removal and job.control is None}
    assert shown and asked == shown < {factor.name for factor in design.factors}
    for factor in (factor for factor in design.factors if factor.name in shown):
        own = {str(job.edit) for job in jobs if job.name == factor.name}
        assert {*factor.removals} <= own
        assert {"shrunk-2", "shrunk-4", "shrunk-8"} <= own or factor.name != "left"
    for job in (job for job in jobs if job.edit.removal):
        assert (job.pairs[:, 1] == NO_DONOR).all() and len(set(job.pairs[:, 0].tolist())) == job.n_trials
    compared = {job.key.factor for job in jobs if job.edit == CONTROL}
    assert compared <= {*design.schedule.controls}


def test_all_factors_meet_the_same_donors(design: AuditDesign) -> None:
    jobs = [
        job for job in design.schedule.jobs if job.edit == EXCHANGE and job.split == "valid" and len(job.factors) == 1
    ]
    assert len(jobs) == len(design.factors) and all(np.array_equal(job.pairs, jobs[0].pairs) for job in jobs)


def test_pairs_are_apart(design: AuditDesign) -> None:
    sample = design.audited
    pairs = [job for job in design.schedule.jobs if len(job.factors) == 2]
    assert pairs and len({frozenset(job.name.split(" + ")) for job in pairs}) == len(pairs)
    for job in pairs:
        first, second = (one.region for one in job.factors)
        assert first is None or second is None or overlap_of(sample, first, second) <= DISJOINT


def test_controls_leave_the_core_alone_and_have_the_factors_area(design: AuditDesign) -> None:
    sample = design.audited
    controls = design.schedule.controls
    areas = [float(mean_mask(sample, name).mean()) for name in ("left", "right")]
    assert controls or 2 * min(areas) > 1 - 0.25
    for mask in controls.values():
        assert float((mask * where_core()).sum()) == 0
        assert min(areas) / 1.5 <= float(mask.mean()) <= max(areas) * 1.5


def test_overlap_is_the_share_of_the_smaller_region(design: AuditDesign) -> None:
    sample = design.audited
    assert overlap_of(sample, "left", "right") == 0 and overlap_of(sample, "core", "core") == 1
    assert overlap_of(sample, "core", "left") == 0
    assert torch.allclose(mean_mask(sample, "core"), where_core())


# The budget.


@pytest.mark.parametrize("first", [Effort(300, 300, 4), Effort(50, 50, 1)])
def test_less_effort_comes_step_by_step(first: Effort) -> None:
    steps = first.smaller()
    assert steps[0] == first
    for one, less in pairwise(steps):
        for name in ("recipients", "donors", "uses", "controls", "pairs"):
            assert getattr(less, name) <= getattr(one, name)
    assert steps[-1].recipients == min(first.recipients, 120) and steps[-1].pairs == 0


@pytest.mark.parametrize("budget", [1, 100, 300, 1000, 3000, 10000, 10**6])
def test_a_budget_is_never_exceeded(design: AuditDesign, budget: int) -> None:
    try:
        found = scheduled(design, budget).schedule
    except OptionError as error:  # not one factor
        least = int(re.search(r"--budget (\d+)", str(error)).group(1))
        assert budget < least and 0 < scheduled(design, least).schedule.n_trials <= least
        return
    assert 0 < found.n_trials <= budget
    assert {*found.left_out} == {one.name for one in design.factors} - {
        one.name for job in found.jobs for one in job.factors
    }
    others = [one.name for one in design.factors if one.name != "core"]  # all asked for by name, the most suspect first
    assert set(others[len(others) - len(found.left_out) :]) == {*found.left_out}
    assert "core" not in found.left_out


def test_a_larger_budget_never_tests_less(design: AuditDesign) -> None:
    tested = [
        len(design.factors) - len(scheduled(design, budget).schedule.left_out) for budget in range(1000, 6000, 500)
    ]
    assert tested == sorted(tested)


def test_the_schedule_depends_on_the_seed_alone(design: AuditDesign) -> None:
    one, other = (scheduled(design, 3000).schedule for _ in range(2))
    assert [job.name for job in one.jobs] == [job.name for job in other.jobs]
    assert all(np.array_equal(a.pairs, b.pairs) for a, b in zip(one.jobs, other.jobs, strict=True))
    assert all(torch.equal(one.controls[name], other.controls[name]) for name in one.controls)


def test_the_plan_adds_up(design: AuditDesign) -> None:
    found = planned(design, 5000)
    schedule = scheduled(design, 5000).schedule
    assert found["trials"] == schedule.n_trials <= 5000 and found["left_out"] == list(schedule.left_out)
    for one in found["factors"]:
        assert one["trials"] == sum(
            job.n_trials for job in schedule.jobs if one["factor"] in {factor.name for factor in job.factors}
        )
    assert "30 images" in found["smallest"] and found["time"].startswith("about ")


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("5m", 300.0),
        ("90s", 90.0),
        ("1.5h", 5400.0),
        (" 2M ", 120.0),
        ("5 min", 300.0),
        ("2 hours", 7200.0),
        ("500", None),
        ("50,000", None),
        ("50_000", None),
        (500, None),
        (None, None),
    ],
)
def test_a_budget_of_time_in_seconds(words: str | int | None, seconds: float | None) -> None:
    assert seconds_of(words) == seconds

"""The benchmark of repairs: what is compared, the figures from records, and one small case from end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.planted.latents import Recipe
from benchmarks.planted.networks import Network
from benchmarks.planted.scores import Share
from benchmarks.repair import __main__ as command
from benchmarks.repair import pictures as pictures_module
from benchmarks.repair import runner
from benchmarks.repair.cases import MARK, PLANTINGS, SEEDS, Case, cases, names_right
from benchmarks.repair.drawn import KINDS, drawings_of, seen
from benchmarks.repair.figures import (
    BEATS,
    BY_DRAWING,
    GOALS,
    HOPELESS,
    MINUTES,
    WORST,
    costly,
    dependent,
    figures,
    is_reported,
    median,
    minutes,
    overstated,
    removed,
    risen,
    treatments_table,
)
from benchmarks.repair.page import BEGIN, END, failures, measured, write_docs
from benchmarks.repair.pictures import CORE, regions_of, target_of
from benchmarks.repair.runner import Work, run
from benchmarks.repair.treatments import (
    MIX,
    OPERATIONS,
    STEP,
    WORDS,
    WorstGroups,
    _beta,
    augmented,
    cutmix,
    mixed_loss,
    mixup,
)
from benchmarks.repair.without_groups import (
    UPWEIGHTED,
    UpweightedLoss,
    as_bytes,
    begun_anew,
    dropout_of,
    errors_of,
    intelligent_dropout,
    just_train_twice,
)
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from seewhy.cam.capture import LayerCall
from seewhy.errors import ModelError
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.trials.sample import Sample
from seewhy.learn.repair.arms import RepairJob
from seewhy.learn.repair.asked import RepairOptions
from seewhy.learn.repair.groups import Groups
from seewhy.learn.train.fine_tune import Tuning


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_beginning_has_all_kinds_and_whole_it_has_five_seeds_of_each() -> None:
    everything = cases()
    assert SEEDS >= 5 and len(everything) == SEEDS * len(PLANTINGS)
    assert {case.planting for case in everything[: len(PLANTINGS)]} == set(PLANTINGS)
    assert len({repr(case.network) for case in everything}) == len(everything)
    assert {"tint", "logo", "frame", "hair", "brightness", MARK} <= {
        kind for one in PLANTINGS.values() for kind in one.kinds
    }
    assert any(len(one.kinds) == 2 for one in PLANTINGS.values())
    assert any(one.is_hopeless for one in PLANTINGS.values())
    assert [case.planting for case in cases(["hair", "tint"], 1)] == ["tint", "hair"]


def test_the_command_lists_what_it_would_do(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["repair", "--list", "--kinds", "logo", "--seeds", "3", "--limit", "2"])
    assert command.main() == 0
    assert capsys.readouterr().out.splitlines() == [case.name for case in cases(["logo"], 2)]


def test_mixup_is_the_weighted_mean_and_its_loss_that_of_both_labels() -> None:
    first, second = torch.rand(5, 3, 8, 8), torch.rand(5, 3, 8, 8)
    mixed, share = mixup(first, second, dice())
    assert 0 <= share <= 1 and torch.allclose(mixed, share * first + (1 - share) * second)
    labels, places = torch.tensor([0, 1, 0, 1, 1]), torch.arange(5)
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    loss = mixed_loss(
        network, places, dice(3), mix=mixup, canvases_at=lambda at: first[at], labels=labels,
        logits=lambda net, canvases: net(canvases),
    )  # fmt: skip
    again = dice(3)
    order = torch.randperm(5, generator=again)
    mixed, share = mixup(first, first[order], again)
    targets = share * functional.one_hot(labels, 2) + (1 - share) * functional.one_hot(labels[order], 2)
    assert torch.allclose(loss, functional.cross_entropy(network(mixed), targets.double().float()), atol=1e-6)


def test_cutmix_takes_a_box_and_tells_its_share() -> None:
    first, second = torch.zeros(4, 3, 20, 30), torch.ones(4, 3, 20, 30)
    shares = []
    for seed in range(200):
        mixed, share = cutmix(first, second, dice(seed))
        assert float(mixed[0, 0].mean()) == pytest.approx(1 - share)
        rows, columns = (mixed[0, 0].amax(dim=axis) for axis in (1, 0))
        assert float(mixed[0, 0].sum()) == float(rows.sum() * columns.sum())  # a box
        shares.append(share)
    assert min(shares) < 0.3 and max(shares) > 0.95


def test_the_draws_of_mixup_are_those_of_a_beta_distribution() -> None:
    generator = dice(1)
    draws = [_beta(MIX, generator) for _ in range(2000)]
    assert stats.kstest(draws, stats.beta(MIX, MIX).cdf).pvalue > 0.01


def test_augmented_images_are_images_and_chance_is_the_generators() -> None:
    canvases = torch.rand(30, 3, 16, 16)
    kept = canvases.clone()
    changed = augmented(canvases, dice(2))
    assert torch.equal(canvases, kept) and changed.shape == canvases.shape
    assert float(changed.min()) >= 0 and float(changed.max()) <= 1
    assert torch.equal(changed, augmented(canvases, dice(2))) and not torch.equal(changed, augmented(canvases, dice(3)))
    assert bool((changed != canvases).flatten(1).any(dim=1).all())
    flat = torch.full((3, 16, 16), 0.25)
    for number, operation in enumerate(OPERATIONS):
        value = operation(flat, 0.0, 0.0)
        assert value.shape == flat.shape
        assert torch.allclose(value, flat) or number == len(OPERATIONS) - 1  # only the patch leaves grey


def _samples(n_images: int) -> tuple[Sample, RepairJob]:
    pixels = torch.randint(0, 256, (n_images, 3, 16, 16), dtype=torch.uint8, generator=dice(5))
    labels = np.arange(n_images) % 2
    sample = Sample("train", tuple(range(n_images)), labels, pixels, None, np.arange(n_images))
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    nothing = Groups(np.zeros(n_images, np.int64), (), "")
    job = RepairJob(network, None, sample, sample, nothing, nothing, (), Tuning(epochs=1), 2,
              layer=LayerCall("0", "0", None))  # fmt: skip
    return sample, job


def test_images_that_a_first_network_errs_on_weigh_twenty_times_as_much() -> None:
    sample, _ = _samples(4)
    labels, wrong = torch.from_numpy(sample.labels), torch.tensor([0.0, 1.0, 0.0, 0.0])
    loss = UpweightedLoss(sample, labels, 1 + (UPWEIGHTED - 1) * wrong)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    with torch.no_grad():
        value = float(loss(network, torch.arange(4), dice()))
        each = functional.cross_entropy(network(sample.canvases(torch.arange(4))), labels, reduction="none")
    repeated = torch.cat([each, each[1:2].repeat(19)])  # the paper repeats such an image
    assert value == pytest.approx(float(repeated.mean()), rel=1e-5)


def test_jtt_begins_anew_and_leaves_the_network_alone() -> None:
    sample, job = _samples(12)
    before = {name: value.clone() for name, value in job.network.state_dict().items()}
    state = torch.get_rng_state()
    fresh = begun_anew(job.network, 1)
    assert not torch.equal(fresh[0].weight, job.network[0].weight) and torch.equal(torch.get_rng_state(), state)
    wrong = errors_of(job.network, sample, torch.from_numpy(sample.labels))
    answers = job.network(sample.canvases(torch.arange(12))).argmax(dim=1).numpy()
    assert wrong.tolist() == (answers != sample.labels).tolist()
    trained = just_train_twice(job, sample, 0)
    assert not torch.equal(trained[0].weight, job.network[0].weight)
    assert all(torch.equal(value, before[name]) for name, value in job.network.state_dict().items())


def test_the_dropout_of_bnnr_blurs_a_quarter_of_some_images() -> None:
    pytest.importorskip("bnnr")
    sample, job = _samples(12)
    before = {name: value.clone() for name, value in job.network.state_dict().items()}
    images = as_bytes(sample.canvases(torch.arange(12)))
    assert np.array_equal(images.transpose(0, 3, 1, 2), sample.pixels.numpy())
    dropping = dropout_of(job.network, sample, job.layer, 0)
    changed = dropping.apply_batch_with_labels(images, sample.labels, np.arange(12))
    shares = (changed != images).any(axis=3).mean(axis=(1, 2))
    assert 0 < (shares > 0).mean() < 1 and shares.max() <= 0.25 + 1e-9
    assert set(dropping.cache.maps) == set(np.flatnonzero(shares > 0).tolist())
    assert isinstance(intelligent_dropout(job, sample, 0), nn.Module)
    assert all(torch.equal(value, before[name]) for name, value in job.network.state_dict().items())


def test_without_bnnr_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    sample, job = _samples(4)
    with pytest.raises(ModelError, match="bnnr is not installed"):
        intelligent_dropout(job, sample, 0)


def test_the_weights_of_the_worst_groups_rise_as_the_paper_has_it() -> None:
    logits = torch.tensor([[4.0, 0.0], [0.0, 4.0], [0.0, 4.0], [4.0, 0.0]])
    labels, cells = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 3, 1, 3])
    loss = WorstGroups(labels, cells, lambda at: at, lambda network, at: logits[at])
    value = float(loss(nn.Identity(), torch.arange(4), dice()))
    losses = np.array([np.log1p(np.exp(-4)), np.log1p(np.exp(4)), 0, (np.log1p(np.exp(4)) + np.log1p(np.exp(-4))) / 2])
    weights = np.exp(STEP * losses) / np.exp(STEP * losses).sum()
    assert loss.weights.numpy() == pytest.approx(weights, rel=1e-5)
    assert value == pytest.approx(float(weights @ losses), rel=1e-5)


def finding(factor: str, *claims: Any) -> Finding:
    return Finding(factor, "STRONG", claims, "", numbers={"probability": {"value": 0.1}, "contrast": "fake"})


def test_what_is_repaired_is_what_a_user_would_take_first() -> None:
    findings = [finding("face", "intended"), finding("background", "depends", "shortcut"), finding("tint", "shortcut")]
    target = target_of(findings, ("tint",))
    assert target is not None
    assert (target.factor, target.kind, target.is_told, target.is_named) == ("background", "tint", True, True)
    silent = target_of([finding("face", "intended"), finding("hair", "depends")], ("hair",))
    assert silent is not None and (silent.factor, silent.is_told) == ("hair", False)
    wrong = target_of([finding("jpeg", "shortcut"), finding("hair", "depends")], ("hair",))
    assert wrong is not None and (wrong.factor, wrong.kind, wrong.is_named) == ("jpeg", "hair", False)
    assert target_of([finding("face", "intended")], ("hair",)) is None
    assert names_right(MARK, MARK) and not names_right(CORE, MARK)


def test_a_mark_is_a_region_of_its_own_and_no_part_of_the_core() -> None:
    case = Case(MARK, 0)
    drawn = pictures_module.FACES.draw(pictures_module.FACES.sample(case.network.recipe, "valid", 2, 1))
    regions = regions_of(case, drawn)
    assert regions[MARK].sum(axis=(1, 2)).min() > 0
    assert np.allclose(regions[CORE] + regions[MARK], drawn.masks["face"], atol=1e-6)
    assert np.allclose(regions["background"], 1 - drawn.masks["face"])


class _Reader(nn.Module):
    """Reads how blue the corner is where the logo lies."""

    def forward(self, x: Tensor) -> Tensor:
        corner = x[:, :, 2:18, 46:62].mean(dim=(2, 3))
        margin = 2 * (corner[:, 2] - corner[:, 0])
        return torch.stack([margin, -margin], dim=1)


def test_the_worst_group_is_the_one_in_which_a_classifier_by_the_shortcut_errs() -> None:
    network = Network(Recipe("faces", ("logo",), "planted", 0.9, 0.06, 1.5), seed=4)
    told = seen(drawings_of(network, fresh=30, switched=2), _Reader())
    assert set(told["worst"]) == {"logo"} and told["worst"]["logo"] < told["fair"] - 0.2


def test_drawing_knows_what_a_known_classifier_depends_on() -> None:
    network = Network(Recipe("faces", ("logo",), "planted", 0.9, 0.06, 1.5), seed=4)
    drawings = drawings_of(network, fresh=30, switched=10)
    told = seen(drawings, _Reader())
    assert set(told["kinds"]) == set(KINDS)
    assert told["kinds"]["logo"]["value"] > 0.2
    assert all(abs(told["kinds"][kind]["value"]) < 0.02 for kind in (MARK, "hair"))
    assert told["like"] > told["fair"] + 0.15 and 0.3 < told["fair"] < 0.7


def record(name: str = "tint", **changed: Any) -> dict[str, Any]:
    """A record in which a repair removes nine tenths, and its control a third."""

    def row(left: float, tint: float, like: float, logo: float = 0.0) -> dict[str, Any]:
        kinds = {"tint": {"value": tint}, "logo": {"value": logo}}
        drawn = {"kinds": kinds, "like": like, "fair": 0.8, "worst": {"tint": like - 0.2}}
        return {"audit": {"value": left}, "drawn": drawn, "cpu": 1.0}

    margin = {"value": 0.1, "low": 0.05, "high": 0.15}
    repaired = {
        "factor": "background", "way": "exchange", "proved": True, "reasons": [], "closest": "plain",
        "margins": {"plain": margin, "unrelated": margin}, "others": [], "refused": {}, "exchanged": {"low": 0.8},
    }  # fmt: skip
    rows = {"before": row(0.2, 0.3, 0.95), "repair": row(0.02, -0.03, 0.94), "exchange": row(0.02, -0.03, 0.94),
            "plain fine-tuning": row(0.14, 0.2, 0.96), "DFR, true groups": {"error": "too few"}}  # fmt: skip
    return {
        "case": f"{name} 0 flat", "planting": name, "kinds": ["tint"], "training": {"converged": True},
        "hopeless": False, "threads": 1, "target": {"factor": "background", "kind": "tint", "is_told": True},
        "repair": repaired, "rows": rows, "cpu": {"audit": 60.0, "repair": 120.0}, "was_begun": False,
        "code": runner.code_key(), "commit": "abc1234", **changed,
    }  # fmt: skip


def with_repair(**changed: Any) -> dict[str, Any]:
    one = record()
    return {**one, "repair": {**one["repair"], **changed}}


def test_the_figures_count_what_they_say() -> None:
    missed = record(target=None)
    failed = with_repair(proved=False, reasons=["It costs."], margins={"scrambled": {"low": -0.1}}, closest="scrambled")
    hopeless = record(hopeless=True)
    hopeless["repair"] = {**hopeless["repair"], "proved": False, "exchanged": {"low": 0.45}}
    records = [record(), missed, failed, hopeless, record(hopeless=True, target=None)]
    assert dependent(records) == [records[0], failed]
    assert removed(record(), "repair", is_drawn=False) == pytest.approx(0.9)
    assert removed(record(), "plain fine-tuning", is_drawn=True) == pytest.approx(1 / 3)
    told = figures(records)
    first, *_ = told.values()
    assert first == str(Share(1, 2))
    assert told[BEATS] == str(Share(1, 2))
    assert told["over plain fine-tuning, of those whose way trains"] == str(Share(1, 1))
    assert told["accuracy lost on faces like the old ones, points"].endswith("worst 1.0")
    assert told[HOPELESS] == str(Share(1, 1)) and told[WORST] == "-2.0 [range -2.0, -2.0] (n = 2)"
    assert told["of these with the reason that nothing else is shown to be learned"] == str(Share(1, 1))
    assert told[MINUTES] == "2.0 [range 2.0, 2.0] (n = 5)"
    assert told["networks whose audit has no finding that names what is planted"] == str(Share(1, 3))
    lines = {line.split(" | ")[0].strip("| *"): line for line in treatments_table(records).splitlines()}
    assert "| 2 of 2 | 90 [range 90, 90] (n = 2) | 90" in lines["repair"]
    assert "| 0 of 2 | none | none |" in lines["DFR, true groups"]
    assert "3.0 [range 3.0, 3.0] (n = 5)" in minutes(records)
    assert "none" in minutes([record(was_begun=True)])


def test_where_no_way_could_be_tried_nothing_is_removed_or_beaten_and_it_counts() -> None:
    stuck = with_repair(proved=False, margins={}, closest="", way="", exchanged=None, reasons=["No way."])
    del stuck["rows"]["repair"]
    told = figures([record(), stuck])
    assert told[BEATS] == str(Share(1, 2)) and told[BY_DRAWING] == "45 [range 0, 90] (n = 2)"
    assert set(GOALS) <= set(told)


def test_failures_come_first_and_each_kind_of_them_is_found() -> None:
    rose = record()
    rose["rows"]["repair"]["drawn"]["kinds"]["logo"]["value"] = 0.05
    assert risen(rose) == ["logo"] and not is_reported(rose, "logo")
    reported = {"factor": "top-right", "said": "may have risen", "is_core": False}
    rose_and_said = {**rose, "repair": {**rose["repair"], "others": [reported]}}
    assert is_reported(rose_and_said, "logo")
    lossy, weak = record(), record()
    lossy["rows"]["repair"]["drawn"]["like"] = 0.9
    weak["rows"]["repair"]["drawn"]["kinds"]["tint"]["value"] = 0.2
    assert costly([record(), lossy]) == [lossy] and overstated([record(), weak]) == [weak]
    not_proved = with_repair(proved=False, reasons=["It is not shown to leave less."])
    page = measured([rose, rose_and_said, lossy, weak, not_proved, record(hopeless=True)], 40)
    assert page.index("### What failed") < page.index("### The figures") and "**6 of 40 planned networks**" in page
    told = failures([rose, rose_and_said, lossy, weak, not_proved, record(hopeless=True)])
    assert "and yet said to be repaired: 1" in told and "not reported: 1" in told
    assert "lost by drawing: 1" in told and "5.0 points by exchange" in told
    assert "Less than the 75 % that are asked for gone by drawing: 1" in told
    assert "less than half gone: 1" in told and "Not proved, though there is something to remove: 1" in told


@pytest.mark.parametrize("n", [6, 9, 20, 41])
def test_the_interval_of_a_median_covers_and_the_next_narrower_one_does_not(n: int) -> None:
    words = median(np.arange(n), unit=1)
    low, high = (int(part) for part in words.split("[")[1].split("]")[0].split(","))
    assert low + high == n - 1
    assert 1 - 2 * stats.binom.cdf(low, n, 0.5) >= 0.95  # the values of which so many are smaller
    assert 1 - 2 * stats.binom.cdf(low + 1, n, 0.5) < 0.95


def test_few_values_have_their_range_and_none_says_so() -> None:
    assert median([0.5, 0.1, 0.2]) == "20 [range 10, 50] (n = 3)"
    assert median([]) == "none"


def test_the_docs_are_changed_between_their_markers_alone(tmp_path: Path) -> None:
    page = tmp_path / "repair.md"
    page.write_text(f"# Repair\n\n{BEGIN}\nwritten before\n{END}\n\n## More\n")
    for _ in range(2):
        write_docs([record()], 40, page)
    text = page.read_text()
    assert (
        text.startswith(f"# Repair\n\n{BEGIN}\n")
        and text.endswith(f"{END}\n\n## More\n")
        and "written before" not in text
    )
    assert text.count("### What failed") == 1
    write_docs([record(), record("hair", code="of other code")], 40, page)
    text = page.read_text()
    assert "so far, in an order, fixed before" in text and "tint 1, hair 1." in text
    assert "1 of them by the code of an earlier commit (abc1234)." in text
    assert "None yet: logo, frame, brightness, mark, tint and logo, nothing but the tint." in text
    write_docs([], 40, page)
    assert f"{BEGIN}\n\nNone of the 40 planned networks has been measured yet.\n\n{END}" in page.read_text()
    page.write_text("# Repair\n")
    with pytest.raises(ValueError, match="needs one line <!-- measured: begin -->"):
        write_docs([record()], 40, page)


SMALL = Network(Recipe("faces", ("frame",), "planted", 0.9, 0.2, 2.0, 0.5, size=32), "flat", 60, 6, 3)
FAST = RepairOptions(ways=("exchange", "projection"), tuning=Tuning(epochs=1))


def made_small(patch: pytest.MonkeyPatch) -> None:
    """Every case is one small network, audited and drawn on few faces."""
    patch.setattr(Case, "network", property(lambda case: SMALL))
    patch.setattr(pictures_module, "AUDITED", 30)
    patch.setattr(runner, "drawings_of", partial(drawings_of, fresh=15, switched=8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a small network has been repaired."""
    home = tmp_path_factory.mktemp("repair")
    with pytest.MonkeyPatch.context() as patch:
        made_small(patch)
        assert run([Case("frame", 0)], Work(home, options=FAST), None) == []
    return home


@pytest.fixture
def work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    made_small(monkeypatch)
    return Work(folder, options=FAST)


def test_a_small_network_goes_through_everything_once(work: Work, capsys: pytest.CaptureFixture[str]) -> None:
    (told,) = work.records([Case("frame", 0)])
    assert told["target"]["kind"] == "frame"
    assert {"before", "exchange", *WORDS} <= set(told["rows"])
    for name in ("before", "Mixup", "CutMix", "augmentation", "random backgrounds", "GroupDRO, true groups"):
        assert np.isfinite(told["rows"][name]["audit"]["value"]), name
    assert set(told["rows"]["before"]["drawn"]["kinds"]) == set(KINDS)
    assert "fewer than 20 images" in told["rows"]["DFR, true groups"]["error"]
    assert {"train", "draw", "audit", "repair", "beside", "judge"} == set(told["seconds"]) == set(told["cpu"])
    assert run([Case("frame", 0)], work, None) == []
    assert "kept: " in capsys.readouterr().out
    assert measured([told], 40)
    assert list((work.folder / "begun").iterdir()) == []


def test_other_options_and_other_code_have_other_records(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("frame", 0)
    assert replace(work, options=replace(FAST, seed=1)).records([case], earlier=True) == []
    monkeypatch.setattr(runner, "repair_code", lambda: "of other code")
    assert work.records([case]) == []
    (earlier,) = work.records([case], earlier=True)
    assert earlier["code"] != runner.code_key() and earlier["case"] == case.name


def test_networks_of_another_cache_are_read_and_not_written(work: Work, tmp_path: Path) -> None:
    other = Work(tmp_path, trained=work.folder, options=FAST)
    before = {path: path.stat().st_mtime_ns for path in work.folder.rglob("*") if path.is_file()}
    module, _ = other._network(SMALL)
    assert isinstance(module, nn.Module) and list(tmp_path.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in work.folder.rglob("*") if path.is_file()} == before


def test_a_case_that_fails_is_told_and_the_others_go_on(
    work: Work, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(self: Work, network: Network) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(Work, "_network", broken)
    failed = run([Case("tint", 0), Case("frame", 0)], work, None)
    assert failed == ["tint 0 flat: RuntimeError: no network"]
    assert "kept: " in capsys.readouterr().out
    assert run([Case("tint", 0)], work, -1) == []


def test_the_command_writes_what_is_kept(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "repair.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    monkeypatch.setattr(command, "Work", lambda folder, trained: work)
    words = ["repair", "--cache", str(work.folder), "--only-docs", "--docs", str(page), "--results", str(tmp_path)]
    monkeypatch.setattr("sys.argv", words)
    assert command.main() == 0
    stored = json.loads((tmp_path / "repair.json").read_text())
    assert stored["headlines"] == [], "the table over all rows of the benchmarks reads this"
    assert [row["case"] for row in stored["cases"]] == ["frame 0 flat"]
    assert "### The figures" in page.read_text()


def test_a_row_that_is_kept_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def row(bench: Any, make: Any, drawings: Any, clock: Any) -> dict[str, Any]:
        made.append("row")
        return {"audit": {"value": len(made)}}

    def rows(repaired: Any) -> dict[str, Any]:
        bench, target = SimpleNamespace(ways=[]), SimpleNamespace(kind="tint")
        return runner.rows_of(bench, repaired, None, target, None, None, tmp_path)  # type: ignore[arg-type]

    monkeypatch.setattr(runner, "treatments", lambda bench, pictures, kind: {"Mixup": None})
    monkeypatch.setattr(runner, "_row", row)
    first = rows(SimpleNamespace(network=nn.Identity(), refused={"last-layer": "too few"}))
    assert list(first) == ["before", "repair", "Mixup", "last-layer"] and len(made) == 3
    assert rows(SimpleNamespace(network=nn.Identity(), refused={"last-layer": "too few"})) == first and len(made) == 3
    assert "repair" not in rows(SimpleNamespace(network=None, refused={}))

"""The pieces of a repair: halves, groups, the exchange, fine-tuning, the last layer, the projection, and the margin."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from seewhy.data.tables.labels import OneLabel
from seewhy.errors import DataError, ModelError, OptionError, WorkError
from seewhy.estimates import Estimate
from seewhy.evidence.factors.factor import Mark, PropertyFactor, RegionFactor
from seewhy.evidence.factors.regions import Region
from seewhy.evidence.inference.differences import difference_of, flip_rate
from seewhy.evidence.inference.units import share_of
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.dealing import with_partners
from seewhy.evidence.trials.edit import EXCHANGE, MARKED, PATCHED, TrialKey
from seewhy.evidence.trials.sample import Sample
from seewhy.evidence.trials.trial import Scores, Trials
from seewhy.learn.exchange.exchange import FactorExchange, MarkLaid, RegionExchange, balancing_share, unrelated
from seewhy.learn.parts import apart_from, halves_of, refuse_small_halves
from seewhy.learn.repair.arm import Arm, Try
from seewhy.learn.repair.arms import RepairJob, Way, _exchanges, ways_of
from seewhy.learn.repair.asked import Target
from seewhy.learn.repair.bench import Bench, _best
from seewhy.learn.repair.budget import WayCost, cost_of_way, within
from seewhy.learn.repair.groups import Groups, cells_of, groups_by_column, groups_by_effects, no_groups
from seewhy.learn.repair.last_layer import head_of, refitted, with_head
from seewhy.learn.repair.others import OtherFactor, Others, other_of
from seewhy.learn.repair.projection import direction_of, projected
from seewhy.learn.repair.proof import (
    EffectProof,
    cost_of,
    effect_proof,
    margin_over,
    remaining,
    rise_of,
    worst_of,
)
from seewhy.learn.repair.readings import ExchangeReading, MarkReading, Reading, balanced, cells_by, share_of_classes
from seewhy.learn.repair.reasons import dwarfs, effect_reasons, has_moved, reasons_of
from seewhy.learn.train.fine_tune import Tuning, fine_tuned
from seewhy.records import Image, Preprocess


def sample_of(n: int = 24, side: int = 16, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    pixels = torch.from_numpy(rng.integers(0, 255, (n, 3, side, side)).astype(np.uint8))
    images = tuple(Image(f"{number}", label="ab"[number % 2], split="train") for number in range(n))
    return Sample("train", images, np.arange(n) % 2, pixels, Preprocess(), np.arange(n))


class Small(nn.Module):
    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.drop(self.norm(self.conv(x)).relu().mean(dim=(2, 3))))
        return logits


def test_halves_share_no_cluster_and_hold_the_classes_alike() -> None:
    sample = replace(sample_of(40), clusters=np.repeat(np.arange(20), 2))
    first, second = halves_of(sample, seed=3)
    assert not set(first.clusters) & set(second.clusters) and len(first) + len(second) == 40
    assert abs(len(first) - len(second)) <= 2 and first.counts.tolist() == [len(first) // 2] * 2
    assert {image.id for image in first.images} | {image.id for image in second.images} == set(map(str, range(40)))
    assert torch.equal(first.pixels[0], sample.pixels[int(first.images[0].id)])


def test_groups_are_cut_where_the_effects_part() -> None:
    rng = np.random.default_rng(0)
    effects = np.concatenate([rng.normal(-0.1, 0.02, 30), rng.normal(0.2, 0.03, 10), [np.nan]])
    groups = groups_by_effects(effects, ("low", "high"))
    assert groups.of.tolist() == [0] * 30 + [1] * 10 + [-1]
    labels = np.array([0] * 25 + [1] * 16)
    cells = cells_of(groups, labels, ["a", "b"], [Image(str(number)) for number in range(41)])
    assert [(cell.label, cell.group, cell.count, cell.to_add) for cell in cells] == [
        ("a", "low", 25, 0), ("a", "high", 0, 25), ("b", "low", 5, 5), ("b", "high", 10, 0),
    ]  # fmt: skip


def test_an_exchange_gives_the_donors_value_and_any_class_is_any_class() -> None:
    sample, factor = sample_of(), PropertyFactor(PROPERTIES["brightness"])
    exchange = FactorExchange(sample, factor, "any class")
    donors = torch.tensor([5, 9, 20])
    edited = exchange.edited(torch.tensor([0, 1, 2]), donors)
    assert torch.allclose(factor.measure(edited, None), factor.measure(sample.canvases(donors), None), atol=0.02)
    generator = torch.Generator().manual_seed(0)
    places = torch.arange(24).repeat(50)
    any_class = exchange.donors_for(places, generator)
    same = FactorExchange(sample, factor, "the same class").donors_for(places[:48], generator)
    assert 0.4 < float((any_class % 2 == places % 2).double().mean()) < 0.6
    assert bool((same % 2 == places[:48] % 2).all())


def test_regions_of_the_same_cause_come_from_the_same_donors_and_the_property_is_set_before_them() -> None:
    """Set after them it would change little: the picture with the donor's background is as bright as the donor."""
    top = torch.zeros(1, 64, 64)
    top[:, :16] = 1
    sample = replace(sample_of(8, 64), masks={"top": top}, found={"top": np.arange(8) != 5})
    factor = PropertyFactor(PROPERTIES["brightness"])
    alone = FactorExchange(sample, factor)
    both = replace(alone, also=(RegionFactor(drawn("top")),))
    recipients, donors = torch.tensor([0, 1]), torch.tensor([3, 2])
    edited, given = both.edited(recipients, donors), sample.canvases(donors)
    torch.testing.assert_close(edited[:, :, :16], given[:, :, :16])
    torch.testing.assert_close(edited[:, :, 16:], alone.edited(recipients, donors)[:, :, 16:])
    assert both.eligible.all()  # a region that some lack is exchanged where both have it
    without = torch.tensor([[0, 5], [5, 0]])
    assert torch.equal(both.edited(*without), alone.edited(*without))
    assert (both.also_words, alone.also_words) == ("with that of top, told as the same cause", "")
    assert torch.equal(replace(both, also=()).edited(recipients, donors), alone.edited(recipients, donors))


def test_further_factors_come_from_the_same_donors_and_a_property_is_set_before_the_first() -> None:
    """Whichever of the two is named first."""
    top = torch.zeros(1, 64, 64)
    top[:, :16] = 1
    sample = replace(sample_of(8, 64), masks={"top": top}, found={"top": np.ones(8, dtype=bool)})
    region, brightness = RegionFactor(drawn("top")), PropertyFactor(PROPERTIES["brightness"])
    together = FactorExchange(sample, region, further=(brightness,))
    recipients, donors = torch.tensor([0, 1]), torch.tensor([3, 2])
    edited = together.edited(recipients, donors)
    assert torch.equal(edited, FactorExchange(sample, brightness, further=(region,)).edited(recipients, donors))
    torch.testing.assert_close(edited[:, :, :16], sample.canvases(donors)[:, :, :16])
    core_alone = FactorExchange(sample, brightness).edited(recipients, donors)
    torch.testing.assert_close(edited[:, :, 16:], core_alone[:, :, 16:])
    assert together.words == "top, brightness from donors of all classes alike"
    assert together.further_words == "together with brightness"


@pytest.mark.parametrize("mode", ["any class", "all classes alike", "the same class"])
def test_donors_have_all_that_the_recipient_has(mode: Any) -> None:
    """Or a region that some lack would be exchanged in fewer images than is said."""
    top = torch.zeros(1, 16, 16)
    top[:, :4] = 1
    has = np.arange(40) % 5 != 0
    sample = replace(sample_of(40), masks={"top": top}, found={"top": has})
    exchange = FactorExchange(
        sample, RegionFactor(drawn("top")), mode, further=(PropertyFactor(PROPERTIES["brightness"]),)
    )
    places = torch.arange(40).repeat(20)
    donors = exchange.donors_for(places, torch.Generator().manual_seed(0))
    with_it = has[places.numpy()]
    assert exchange.eligible.all() and has[donors.numpy()[with_it]].all() and not has[donors.numpy()[~with_it]].all()
    same = sample.labels[donors.numpy()] == sample.labels[places.numpy()]
    expected = {"any class": 0.5, "all classes alike": 0.0, "the same class": 1.0}[mode]
    assert float(same[with_it].mean()) == pytest.approx(expected, abs=0.06) == float(same[~with_it].mean())


def test_of_a_class_with_few_donors_that_have_all_any_give_what_they_have() -> None:
    """A single donor's content would be learned by heart as the other class."""
    top = torch.zeros(1, 16, 16)
    top[:, :4] = 1
    sample = replace(sample_of(40), masks={"top": top})
    brightness, region = PropertyFactor(PROPERTIES["brightness"]), RegionFactor(drawn("top"))
    for count, is_few in ((1, True), (7, True), (8, False)):
        has = (np.arange(40) % 2 == 0) | (np.arange(40) < 2 * count)  # all of class 0, some of class 1
        exchange = FactorExchange(replace(sample, found={"top": has}), brightness, further=(region,))
        donors = exchange.donors_for(torch.zeros(400, dtype=torch.int64), torch.Generator().manual_seed(0))
        assert len(donors.unique()) == (20 if is_few else count)
        assert exchange.balance.endswith(", as far as their donors have it") is is_few


def test_what_else_is_learned_is_asked_of_every_class() -> None:
    """Of an image that lacks a region the others are exchanged; a class that has none cannot be asked."""
    masks = {name: torch.ones(1, 16, 16) for name in ("a", "b")}
    has = {"a": np.arange(40) < 30, "b": np.arange(40) >= 10}  # none of both for some, and of neither for none
    sample = with_partners(replace(sample_of(40), masks=masks, found=has), 40, 4, 0)

    def joint(**found: Any) -> Any:
        audited = replace(sample, found=found)
        factors = [RegionFactor(drawn(name)) for name in ("a", "b")]
        work: Any = SimpleNamespace(
            factor=factors[0],
            further=[(factors[1], None)],
            prover=SimpleNamespace(design=SimpleNamespace(audited=audited)),
            asked=SimpleNamespace(factors=("a", "b")),
            design=SimpleNamespace(classes=("cat", "dog")),
        )
        return Bench._joint(work)

    job = joint(**has)
    assert job.name == "a, b" and {*sample.labels[job.pairs[:, 0]]} == {0, 1}
    for region in has.values():
        assert (region[job.pairs[:, 1]] | ~region[job.pairs[:, 0]]).all()  # the donor has what the recipient has
    assert {tuple(row) for row in np.stack([*has.values()])[:, job.pairs[:, 0]].T} == {(0, 1), (1, 0), (1, 1)}
    cats = {name: of & (sample.labels == 0) for name, of in has.items()}
    with pytest.raises(OptionError, match=r"(?s)a, b cannot be repaired together.*there are none of dog.*--finding a"):
        joint(**cats)


def test_regions_are_exchanged_before_the_picture_moves() -> None:
    """Their masks lie where they were: a mirrored object would be overwritten by the donor's background."""
    left = torch.zeros(1, 16, 16)
    left[:, 4:12, 1:6] = 1
    sample = replace(sample_of(40), masks={"background": 1 - left}, found={"background": np.ones(40, dtype=bool)})
    pixels = sample.pixels.clone()
    pixels[:20, :, :, 8:], pixels[20:, :, :, :8] = 0, 0  # brighter on one side, on the other in donors
    pixels[:20, :, 4:12, 1:6] = 255
    sample = replace(sample, pixels=pixels)
    flip = PropertyFactor(PROPERTIES["flip"])
    both = FactorExchange(sample, RegionFactor(drawn("background")), further=(flip,))
    recipients, donors = torch.arange(20), torch.arange(20, 40)
    white = (both.edited(recipients, donors) == 1).all(dim=1).sum(dim=(1, 2))
    assert (white >= 40).all()  # mirrored or not
    turned = FactorExchange(sample, flip).edited(recipients, donors)
    assert not torch.equal(turned, sample.canvases(recipients))


@pytest.mark.parametrize(
    ("first", "second"), [("saturation", "spectrum"), ("saturation", "tint"), ("contrast", "brightness")]
)
def test_properties_that_undo_one_another_are_set_again(first: str, second: str) -> None:
    generator = torch.Generator().manual_seed(0)
    tints = torch.rand(40, 3, 1, 1, generator=generator) * 0.4 + 0.3
    noise = torch.randn(40, 3, 32, 32, generator=generator) * (
        torch.rand(40, 1, 1, 1, generator=generator) * 0.12 + 0.02
    )
    sample = replace(sample_of(40, 32), pixels=((tints + noise).clamp(0, 1) * 255).round().byte())
    one, other = (PropertyFactor(PROPERTIES[name]) for name in (first, second))
    recipients, donors = torch.arange(20), torch.arange(20, 40)
    edited = FactorExchange(sample, one, further=(other,)).edited(recipients, donors)
    was, given, is_now = (
        one.take(canvases, None) for canvases in (sample.canvases(recipients), sample.canvases(donors), edited)
    )
    assert float((is_now - given).abs().mean()) < 0.2 * float((was - given).abs().mean())


def test_the_way_is_chosen_by_all_effects_that_are_left() -> None:
    one = Try("exchange", "", 0.01, 0.9, 0.0, further={"tint": -0.20})
    both = Try("consistency", "", -0.05, 0.9, -0.02, further={"tint": 0.03})
    assert (one.left, both.left) == pytest.approx((0.21, 0.08))
    assert _best([one, both]) == 1 and _best([replace(one, further={}), both]) == 0


def test_what_stands_against_a_factor_lies_away_from_the_regions_of_its_cause() -> None:
    left = torch.zeros(1, 64, 64)
    left[:, :, :13] = 1
    sample = replace(sample_of(8, 64), masks={"left": left})
    tint = PropertyFactor(PROPERTIES["tint"])
    other = unrelated(sample, sample, tint, (), (), 0, (RegionFactor(drawn("left")),))
    assert isinstance(other, RegionExchange)
    assert float((other.region * left[0]).sum()) == 0 and float(other.region.mean()) == pytest.approx(13 / 64, abs=0.03)


def beside_a_core(core: slice, region: torch.Tensor | None = None) -> FactorExchange:
    """An exchange of a region, by default all around a core in the middle rows, of pictures of 64 pixels."""
    middle = torch.zeros(1, 64, 64)
    middle[:, core, core] = 1
    around = 1 - middle if region is None else region
    sample = replace(sample_of(8, 64), masks={"core": middle, "around": around})
    return FactorExchange(sample, RegionFactor(drawn("around")), core=("core",))


def drawn(name: str) -> Region:
    return Region(name, "here", draw=lambda canvas: None, fixed=False)  # the masks lie in the sample


def test_near_the_core_an_exchange_gives_what_is_smooth_and_keeps_the_detail() -> None:
    exchange = beside_a_core(slice(24, 40))
    assert exchange.reach == 8  # an eighth of the side
    recipient, donor = torch.full((1, 3, 64, 64), 0.3), torch.full((1, 3, 64, 64), 0.6)
    grain = 0.1 * (torch.arange(64 * 64).view(1, 1, 64, 64) % 2 - 0.5)  # columns by turns
    donor[:, 0] = 0.9
    sample = replace(exchange.sample, pixels=torch.cat([recipient + grain, donor - grain]).repeat(4, 1, 1, 1))
    exchange = replace(exchange, sample=sample)
    edited = exchange.edited(torch.tensor([0]), torch.tensor([1]))[0]
    assert torch.equal(edited[:, 24:40, 24:40], sample.pixels[0][:, 24:40, 24:40])  # the core to the bit
    far = torch.ones(64, 64, dtype=torch.bool)
    far[16:48, 16:48] = False
    assert torch.equal(edited[:, far], sample.pixels[1][:, far])  # the donor to the bit
    ring = edited[:, 18:22, 30:34] - (donor + grain)[0, :, 18:22, 30:34]
    assert float(ring.abs().max()) < 0.02  # the donor's colour with the recipient's own grain
    assert torch.equal(exchange.put(sample.canvases(torch.tensor([0])), sample.masks["around"], torch.tensor([1])),
                       replace(exchange, core=()).edited(torch.tensor([0]), torch.tensor([1])))  # fmt: skip


def test_a_soft_edge_takes_as_much_as_its_mask_says_and_values_stay_in_their_range() -> None:
    core, around = torch.zeros(1, 64, 64), torch.zeros(8, 64, 64)
    core[:, 24:40, 24:40] = 1
    around[:, :8, :48] = torch.tensor([0.1, 0.5, 0.9]).repeat_interleave(16)
    around[:, 8:23] = 1
    sample = replace(sample_of(8, 64), masks={"core": core, "around": around}, preprocess=None)
    sample = replace(sample, pixels=torch.tensor([0.0, 10.0]).repeat(4)[:, None, None, None].expand(8, 3, 64, 64))
    exchange = FactorExchange(sample, RegionFactor(drawn("around")), core=("core",))
    edited = exchange.edited(torch.tensor([0]), torch.tensor([1]))
    assert exchange.reach == 8
    for place, level in ((8, 1.0), (24, 5.0), (40, 9.0)):
        assert torch.allclose(edited[:, :, 4, place], torch.tensor(level))
    noisy = replace(sample, pixels=3 * torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    exchange = FactorExchange(noisy, RegionFactor(drawn("around")), core=("core",))
    edited = exchange.edited(torch.tensor([2, 5]), torch.tensor([3, 4]))
    for row, both in ((0, [2, 3]), (1, [5, 4])):
        assert noisy.pixels[both].min() <= edited[row].min() and edited[row].max() <= noisy.pixels[both].max()


def test_several_regions_are_one_core_and_an_image_without_it_gets_all_of_the_content() -> None:
    first, second, around = (torch.zeros(4, 64, 64) for _ in range(3))
    first[:, 28:36, 8:16], second[:2, 28:36, 48:56], around[:, 16:28] = 1, 1, 1
    masks = {"first": first, "second": second, "around": around}
    sample = replace(sample_of(4, 64), masks=masks)
    both = FactorExchange(sample, RegionFactor(drawn("around")), core=("first", "second", "none"))
    recipients, donors = torch.tensor([0, 3]), torch.tensor([1, 2])
    kept = (both.edited(recipients, donors) == replace(both, core=()).edited(recipients, donors)).all(dim=1)
    assert both.reach == 8
    near = torch.stack([both.core_at(recipients)[row] for row in range(2)])  # type: ignore[index]
    assert torch.equal(near[0], first[0] + second[0]) and torch.equal(near[1], first[3])
    assert not kept[0, 20:28, 48:56].any() and kept[1, 20:28, 48:56].all() and not kept[1, 20:28, 8:16].any()


def test_a_repair_exchanges_beside_its_core_and_its_controls_keep_away_from_it() -> None:
    middle = torch.zeros(1, 64, 64)
    middle[:, 24:40, 24:40] = 1
    corner = torch.zeros(1, 64, 64)
    corner[:, 12:22, 12:22] = 1
    sample = replace(sample_of(8, 64), masks={"core": middle, "around": 1 - middle, "corner": corner})
    groups = no_groups(8)

    def exchanges(name: str) -> tuple[Any, Any, str]:
        job = RepairJob(Small(), RegionFactor(drawn(name)), sample, sample, groups, groups, ("core",), Tuning(), 2)
        way = ways_of(job, ("exchange",))[0][0]
        return *_exchanges(job, sample, job.tuning), way.words

    wanted, same, words = exchanges("around")
    assert wanted.core == same.core == ("core",) and wanted.reach == same.reach == 8 and same.donors == "the same class"
    assert words.endswith("within 8 pixels of core its colour and light alone")
    wanted, other, words = exchanges("corner")
    assert isinstance(other, RegionExchange) and float(other.region[16:48, 16:48].max()) == 0


@pytest.mark.parametrize(
    ("core", "region", "reach"),
    [
        (slice(24, 40), [], 0),  # the core itself, of which the region is a part
        (slice(24, 40), [(slice(20, 44), slice(20, 44))], 0),  # holds the core
        (slice(16, 48), [(slice(12, 16), slice(16, 48))], 2),  # a strip along it, half of which is as near as that
        (slice(16, 48), [(slice(0, 8), slice(0, 8))], 8),  # a corner, none of which is near
        (slice(4, 60), [(slice(0, 4), slice(0, 64))], 2),
    ],
)
def test_how_near_is_near_depends_on_how_much_of_the_region_lies_there(
    core: slice, region: list[tuple[slice, slice]], reach: int
) -> None:
    masks = torch.zeros(1, 64, 64)
    for rows, columns in region or [(slice(28, 36), slice(28, 36))]:
        masks[:, rows, columns] = 1
    exchange = beside_a_core(core, masks)
    assert exchange.reach == reach
    if not reach:
        places, donors = torch.arange(3), torch.arange(3, 6)
        assert torch.equal(exchange.edited(places, donors), replace(exchange, core=()).edited(places, donors))


@pytest.mark.parametrize(("n_classes", "share"), [(2, 0.5), (2, 0.8), (2, 1.0), (3, 0.7), (4, 0.75)])
def test_in_all_images_together_each_class_has_as_much_of_every_classs_content(n_classes: int, share: float) -> None:
    sample = sample_of(48)
    labels = np.where(np.arange(48) < 24, 0, np.arange(48) % n_classes)  # the first class has most of the images
    sample = replace(sample, labels=labels)
    exchange = FactorExchange(sample, PropertyFactor(PROPERTIES["brightness"]), share=share)
    generator = torch.Generator().manual_seed(0)
    places = torch.arange(48).repeat(400)
    chosen = torch.rand(len(places), generator=generator) < share
    content = places.clone()  # of whom each image has the factor's content: its own, or a donor's
    content[chosen] = exchange.donors_for(places[chosen], generator)
    table = np.zeros((n_classes, n_classes))
    np.add.at(table, (labels[places], labels[content]), 1)
    shares = table / table.sum(axis=1, keepdims=True)
    assert abs(shares - 1 / n_classes).max() < 0.03


def test_a_small_share_takes_what_the_factor_says_as_far_as_it_can() -> None:
    assert [balancing_share(n) for n in (2, 4, 10)] == [0.5, 0.75, 0.75]
    sample, generator = sample_of(), torch.Generator().manual_seed(0)
    exchange = FactorExchange(sample, PropertyFactor(PROPERTIES["brightness"]), share=0.2)
    places = torch.arange(24).repeat(20)
    assert bool((exchange.donors_for(places, generator) % 2 != places % 2).all())


def test_the_unrelated_exchange_leaves_the_factor_alone() -> None:
    masks = torch.zeros(1, 16, 16, dtype=torch.uint8)
    masks[:, :4, :4] = 255
    sample = replace(sample_of(), masks={"corner": masks})
    factor = RegionFactor(Region("corner", "here", draw=lambda canvas: masks[0].numpy(), fixed=True))
    other = unrelated(sample, sample, factor, (), (), 0)
    assert isinstance(other, RegionExchange) and float(other.region[:4, :4].max()) == 0.0
    assert float(other.region.mean()) == pytest.approx(1 / 16, rel=0.05)
    whole = replace(sample, masks={"corner": torch.full((1, 16, 16), 255, dtype=torch.uint8)})
    contrast = PropertyFactor(PROPERTIES["contrast"])
    assert unrelated(whole, whole, factor, (contrast,), (), 0).words == "contrast from donors of any class"
    assert unrelated(whole, whole, factor, (), (), 0).words == "corner from donors of the same class"


@pytest.mark.parametrize("outputs", [1, 2])
def test_fine_tuning_is_repeatable_and_leaves_the_network_and_the_random_state(outputs: int) -> None:
    torch.manual_seed(0)
    network, sample = Small(outputs).eval(), sample_of()
    before, state = {n: v.clone() for n, v in network.state_dict().items()}, torch.get_rng_state()
    exchange = FactorExchange(sample, PropertyFactor(PROPERTIES["brightness"]))
    for tuning in (Tuning(epochs=2, batch_size=8), Tuning(epochs=1, batch_size=8, consistency=2.0)):
        tuned = [fine_tuned(network, sample, tuning, exchange=exchange, seed=1) for _ in range(2)]
        first, second = (one.state_dict() for one in tuned)
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert not torch.equal(first["head.weight"], before["head.weight"]) and not tuned[0].training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_fine_tuning_in_channels_last_gives_the_same_network_in_the_usual_layout() -> None:
    torch.manual_seed(0)
    network, sample = Small(2).eval(), sample_of()
    tuning = Tuning(epochs=2, batch_size=8)
    usual, last = (
        fine_tuned(network, sample, tuning, seed=1, memory_format=layout)
        for layout in (torch.contiguous_format, torch.channels_last)
    )
    canvases = sample.canvases(torch.arange(len(sample)))
    with torch.no_grad():  # of the convolution's bias the norm takes all away again, so that it goes by rounding
        assert torch.allclose(last(canvases), usual(canvases), atol=1e-3)
        assert not torch.allclose(last(canvases), network(canvases), atol=1e-3)
    assert all(value.is_contiguous() for value in last.state_dict().values())


def test_a_loss_that_is_no_number_says_what_to_type() -> None:
    network = Small()
    with torch.no_grad():
        network.head.bias.fill_(float("nan"))
    with pytest.raises(WorkError, match=r"NaN or infinite.*\n.*--rate 3e-05"):
        fine_tuned(network, sample_of(), Tuning(epochs=1))


def test_a_refitted_head_does_not_use_what_the_groups_balance_away() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 300)
    groups = np.where(rng.random(600) < 0.9, labels, 1 - labels)
    signal = 2.0 * labels - 1 + rng.normal(0, 1, 600)
    shortcut = 2.0 * groups - 1 + rng.normal(0, 0.3, 600)
    features = torch.from_numpy(np.stack([signal, 5 * shortcut + 3, np.zeros(600)], axis=1))
    weight, bias = refitted(features, labels, groups, 2, seed=0)
    plain, _ = refitted(features, labels, np.zeros(600, np.int64) + labels, 2, seed=0)
    margins = (weight[1] - weight[0]).numpy()
    assert abs(5 * margins[1]) < 0.15 * margins[0] < 0.15 * 5 * float(plain[1, 1] - plain[0, 1])
    one, offset = refitted(features, labels, groups, 1, seed=0)
    assert one.shape == (1, 3) and offset.shape == (1,)
    answers = (features @ one[0] + offset > 0).numpy()
    assert (answers == ((features @ weight.T + bias).argmax(dim=1) == 1).numpy()).all()


def test_the_folded_projection_is_the_projection_of_the_features() -> None:
    torch.manual_seed(0)
    features, labels = torch.randn(200, 5, dtype=torch.float64), np.arange(200) % 2
    groups = np.arange(200) // 2 % 2
    features[:, 2] += 3 * torch.from_numpy(groups)
    features[:, 0] += 4 * torch.from_numpy(labels)
    direction, point = direction_of(features, labels, groups)
    assert abs(float(direction[2])) > 0.97 and abs(float(direction[0])) < 0.15
    weight, bias = torch.randn(3, 5, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    removed = features - torch.outer((features - point) @ direction, direction)
    new_weight, new_bias = projected(weight, bias, direction, point)
    assert torch.allclose(features @ new_weight.T + new_bias, removed @ weight.T + bias)


def test_the_head_is_found_and_its_features_give_the_logits() -> None:
    torch.manual_seed(0)
    network, sample = Small().eval(), sample_of()
    head = head_of(network, sample)
    logits = network(sample.canvases(torch.arange(24)))
    weight, bias = network.head.weight.detach().double(), network.head.bias.detach().double()
    assert head.name == "head" and torch.allclose(head.features @ weight.T + bias, logits.double(), atol=1e-6)
    assert not network.head._forward_hooks
    same = with_head(network, "head", weight, bias)
    assert torch.equal(same(sample.canvases(torch.arange(4))), network(sample.canvases(torch.arange(4))))


def readings(rng: np.random.Generator, left: float, of_seeds: float, base: np.ndarray, n: int = 3) -> list[Reading]:
    """What networks of an arm say that have `left` of an effect, and differ by `of_seeds`."""
    pairs = [(r, (r + 1 + k) % 24) for r in range(24) for k in (0, 1, 4, 7)]
    recipients, donors = np.array(pairs).T
    labels = np.arange(24) % 2
    found = []
    for _ in range(n):
        size = left + of_seeds * rng.standard_normal()
        moves = np.where(labels[donors] == 0, size / 2, -size / 2) + base[donors] + 0.03 * rng.standard_normal(96)
        nothing, said = np.zeros((96, 1), np.float32), np.zeros(96, np.int64)
        after = Scores(nothing, moves[:, None].astype(np.float32), said)
        key = TrialKey("tint", EXCHANGE, "valid")
        trials = Trials(key, recipients, donors, Scores(nothing, nothing, said), after, labels, np.arange(24))
        found.append(ExchangeReading((rng.random(24) < 0.9).astype(np.int64), trials))
    return found


def test_the_margin_is_the_difference_of_the_sizes_and_knows_the_seeds() -> None:
    contrast, rng = Contrast(0, "a", "b"), np.random.default_rng(1)
    base = 0.02 * rng.standard_normal(24)
    mine, other = readings(rng, -0.02, 0.0, base), readings(rng, 0.2, 0.0, base)
    margin = margin_over(mine, other, contrast)
    assert margin.value == pytest.approx(abs(remaining(other, contrast)) - abs(remaining(mine, contrast)))
    assert margin.low > 0.1
    shaky = margin_over(mine, readings(rng, 0.2, 0.15, base), contrast)
    assert shaky.high - shaky.low > 3 * (margin.high - margin.low)


def test_the_margin_is_rarely_claimed_where_both_arms_are_alike() -> None:
    contrast, alarms = Contrast(0, "a", "b"), 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        base = 0.03 * rng.standard_normal(24)
        margin = margin_over(readings(rng, 0.1, 0.03, base), readings(rng, 0.1, 0.03, base), contrast)
        alarms += margin.p_value < 0.05
    assert alarms <= 7  # of 60: 3 are expected


def test_the_cost_and_the_worst_cell() -> None:
    before, after = np.array([1, 1, 1, 0] * 10), np.array([1, 1, 0, 1] * 10)
    cost = cost_of(before, after, np.arange(40))
    assert cost.difference.value == 0.0 and cost.p_value == pytest.approx(1.0)
    labels, groups = np.repeat([0, 1], 20), Groups(np.tile([0, 1], 20), ("dark", "bright"), "here")
    worst = worst_of(cells_by(after, labels, groups, ["a", "b"], np.arange(40)))
    assert worst is not None and (worst.group, worst.accuracy.value) == ("dark", 0.5)
    few = replace(groups, of=groups.of[:8])
    assert worst_of(cells_by(after[:8], labels[:8], few, ["a", "b"], np.arange(8))) is None


def test_a_network_with_one_answer_is_at_chance_however_many_images_a_class_has() -> None:
    labels, units = np.repeat([0, 1], [85, 15]), np.arange(100)
    one_answer = share_of_classes((labels == 0).astype(np.float64), labels, units, units)
    assert one_answer.value == 0.5 and one_answer.low < 0.5 and balanced((labels == 0).astype(np.int64), labels) == 0.5
    every = share_of_classes(np.ones(100), labels, units, units)
    assert every.value == every.high == 1.0 and every.low > 0.9


def test_of_one_class_the_share_is_that_of_the_trials() -> None:
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, 12, 60), rng.integers(0, 9, 60)
    right = (rng.random(60) < 0.7).astype(np.float64)
    mine, usual = share_of_classes(right, np.zeros(60, np.int64), rows, columns), flip_rate(rows, columns, right)
    assert (mine.value, mine.low, mine.high, mine.n) == pytest.approx(
        (usual.value, usual.low, usual.high, usual.n), rel=1e-12
    )
    thrice = np.repeat([0, 0, 0, 1], 60), *(np.tile(units, 4) for units in (rows, columns))
    shares = share_of_classes(np.concatenate([right, right, right, 1 - right]), *thrice)
    assert shares.value == pytest.approx(0.5) and shares.low < 0.5 < shares.high


def test_what_rose_in_another_class_and_a_given_network_that_lost_nothing_are_reasons() -> None:
    rng, contrast = np.random.default_rng(3), Contrast(0, "a", "b")
    base = 0.01 * rng.standard_normal(24)
    before, mine, other = (readings(rng, left, 0.0, base) for left in (0.2, 0.01, 0.2))
    margin, reduction = (margin_over(mine, arm, contrast) for arm in (other, before))
    arm = Arm(
        "repaired", "", 0.0, margin, (0.0,), margin, Estimate(0.9, 0.8, 0.95, 24), Estimate(0.9, 0.8, 0.95, 24), None
    )
    cost = cost_of(np.ones(40, np.int64), np.ones(40, np.int64), np.arange(40))
    arms = {"repaired": arm, "plain": arm}
    proof = effect_proof("tint", contrast, {"before": before, "repaired": mine, "plain": other})
    assert (proof.margins, proof.reduction) == ({"plain": margin}, reduction)
    assert reasons_of(proof, cost, arms, [], 0.5) == []
    (why,) = reasons_of(replace(proof, given=rise_of(mine[0], before[0], contrast)), cost, arms, [], 0.5)
    assert "The network that is given, of the first seed, is not shown to have less of it by itself" in why
    elsewhere = replace(other_of("surround", Contrast(0, "b", "a"), mine[0], before[0]), is_repaired=True)
    (why,) = reasons_of(proof, cost, arms, [elsewhere], 0.5)
    assert elsewhere.said == "rose" and why == "What else rose instead: surround on P(b)."


def test_a_larger_region_with_the_same_class_holds_the_repaired_one() -> None:
    masks = {name: torch.zeros(1, 16, 16) for name in ("corner", "around", "core", "elsewhere")}
    masks["corner"][:, :4, :4] = masks["around"][:, :, :12] = masks["elsewhere"][:, 12:] = masks["core"][:, :8] = 1
    sample = replace(sample_of(), masks=masks)
    contrast = Contrast(0, "a", "b")
    factors = [RegionFactor(drawn(name)) for name in masks] + [PropertyFactor(PROPERTIES["tint"])]

    def held(repaired: Any, name: str, of: Contrast = contrast, **more: bool) -> bool:
        return related(repaired, name, of, **more).holds_it

    def related(repaired: Any, name: str, of: Contrast = contrast, **more: bool) -> OtherFactor:
        design = SimpleNamespace(factors=factors, audited=sample)
        beside: Any = SimpleNamespace(design=design, asked=SimpleNamespace(not_asked=()))
        target = Target(repaired.name, contrast.name, ("around", "core", "tint"))
        other = replace(other_of(name, of, *readings(np.random.default_rng(0), 0.2, 0.0, np.zeros(24))[:1] * 2), **more)
        return Others.related(beside, other, target)

    corner = factors[0]
    assert held(corner, "around")
    assert not any(held(corner, name) for name in ("elsewhere", "tint", "gone"))
    assert not held(corner, "core", is_core=True) and not held(corner, "around", Contrast(0, "b", "a"))
    assert not held(factors[-1], "around") and not held(factors[1], "corner")
    assert related(factors[-1], "around").is_same_cause and related(corner, "around").is_same_cause
    assert not related(corner, "core", is_core=True).is_same_cause  # what should decide may stay
    assert not related(corner, "tint").is_same_cause  # a property acts through the core, too
    assert not related(corner, "elsewhere").is_same_cause


@pytest.mark.parametrize(
    ("before", "fall", "noise", "is_told"),
    [
        (0.7, 0.02, 0.01, True),  # keeps it
        (0.7, 0.2, 0.01, True),  # less than half
        (0.7, 0.28, 0.01, False),
        (0.7, 0.4, 0.01, False),
        (0.1, 0.02, 0.01, False),  # had never as much to lose
    ],
)
def test_what_is_not_shown_to_leave_a_larger_region_has_moved(
    before: float, fall: float, noise: float, is_told: bool
) -> None:
    rng, contrast = np.random.default_rng(3), Contrast(0, "a", "b")
    base = 0.01 * rng.standard_normal(24)
    whole, mine, plain = (readings(rng, left, 0.0, base) for left in (0.5, 0.01, 0.5))
    around = [readings(rng, before, 0.0, base)[0],
              readings(rng, before - fall, 0.0, noise * rng.standard_normal(24))[0]]  # fmt: skip
    proof = effect_proof("tint", contrast, {"before": whole, "repaired": mine, "plain": plain})
    margin = proof.margins["plain"]
    arm = Arm(
        "repaired", "", 0.0, margin, (0.0,), margin, Estimate(0.9, 0.8, 0.95, 24), Estimate(0.9, 0.8, 0.95, 24), None
    )
    cost = cost_of(np.ones(40, np.int64), np.ones(40, np.int64), np.arange(40))
    background = replace(other_of("background", contrast, *around), holds_it=True)
    said = reasons_of(proof, cost, {"repaired": arm}, [background], 0.5)
    assert len(said) == is_told
    if is_told:
        assert said[0].startswith("It is not shown to be gone: background, of which it is a part, does ")
        assert reasons_of(proof, cost, {"repaired": arm}, [replace(background, holds_it=False)], 0.5) == []


@pytest.mark.parametrize(
    ("before", "after", "error", "expected"),
    [
        (0.30, 0.10, 0.05, False),  # a fall that is shown
        (0.30, 0.20, 0.20, True),  # none is shown, and most is left
        (0.30, 0.10, 0.20, False),  # none could be shown, and most is gone
        (0.70, 0.62, 0.01, True),  # a fall that is shown, and far less than its part's
        (0.07, 0.07, 0.01, False),  # had never as much to lose
    ],
)
def test_what_a_larger_region_keeps_has_moved_to_it(before: float, after: float, error: float, expected: bool) -> None:
    rise = difference_of(after - before, error, 100.0, {0: 60, 1: 60})
    assert has_moved(OtherFactor("background", "a", before, after, rise, holds_it=True), 0.2) is expected


@pytest.mark.parametrize(
    ("before", "after", "is_shortcut", "expected"),
    [
        (0.69, 0.60, False, True),  # a mark that reaches over the object: its corner is a tenth of it
        (0.69, 0.60, True, False),  # another shortcut lies there, and was not asked for
        (0.69, 0.30, False, False),
        (0.15, 0.10, False, False),  # not far more than the part did
        (-0.69, 0.60, False, True),
    ],
)
def test_a_region_that_does_far_more_than_its_repaired_part_must_lose_half_of_that(
    before: float, after: float, is_shortcut: bool, expected: bool
) -> None:
    rise = difference_of(abs(after) - abs(before), 0.01, 100.0, {0: 60, 1: 60})
    whole = OtherFactor("background", "a", before, after, rise, holds_it=True, is_shortcut=is_shortcut)
    assert dwarfs(whole, 0.095) is expected and not has_moved(whole, 0.08)
    contrast, fell = Contrast(0, "a", "b"), difference_of(-0.08, 0.01, 100.0, {0: 60, 1: 60})
    gone = difference_of(0.08, 0.01, 100.0, {0: 60, 1: 60})
    means = {"before": 0.095, "repaired": 0.015, "plain": 0.1}
    proof = EffectProof("corner", contrast.name, means, 60, 120, {"plain": gone}, gone, fell)
    said = effect_reasons(proof, {}, [whole])
    assert [words.partition(",")[0] for words in said] == ["It is not shown to be gone: background"] * expected


@pytest.mark.parametrize(
    ("before", "after", "is_told"),
    [(0.29, 0.19, True), (0.29, -0.19, True), (0.29, 0.12, False), (0.29, 0.0, False), (0.03, 0.03, False)],
)
def test_a_region_that_was_told_as_the_same_cause_must_lose_half(before: float, after: float, is_told: bool) -> None:
    rng, contrast = np.random.default_rng(3), Contrast(0, "a", "b")
    base = 0.01 * rng.standard_normal(24)
    whole, mine, plain = (readings(rng, left, 0.0, base) for left in (0.16, 0.01, 0.16))
    around = [readings(rng, left, 0.0, base)[0] for left in (before, after)]
    proof = effect_proof("tint", contrast, {"before": whole, "repaired": mine, "plain": plain})
    margin = proof.margins["plain"]
    arm = Arm(
        "repaired", "", 0.0, margin, (0.0,), margin, Estimate(0.9, 0.8, 0.95, 24), Estimate(0.9, 0.8, 0.95, 24), None
    )
    cost = cost_of(np.ones(40, np.int64), np.ones(40, np.int64), np.arange(40))
    background = replace(other_of("background", contrast, *around), is_same_cause=True)
    said = reasons_of(proof, cost, {"repaired": arm}, [background], 0.5)
    assert [words.partition(":")[0] for words in said] == ["Most of it is left"] * is_told
    alone = replace(background, is_same_cause=False)
    assert reasons_of(proof, cost, {"repaired": arm}, [alone], 0.5) == []


def test_halves_without_two_clusters_of_a_class_are_refused_with_the_counts() -> None:
    sample, design = sample_of(40), SimpleNamespace(classes=("a", "b"))
    refuse_small_halves(halves_of(sample, seed=0), design, "a")  # type: ignore[arg-type]
    patients = replace(sample, clusters=sample.labels)  # one of each class
    with pytest.raises(DataError, match="there are 0 and 1 of a, 1 and 0 of b"):
        refuse_small_halves(halves_of(patients, seed=0), design, "a")  # type: ignore[arg-type]


def test_one_image_of_each_class_is_enough_for_a_mark_alone() -> None:
    sample, design = sample_of(40), SimpleNamespace(classes=[f"c{number}" for number in range(40)])
    alone = replace(sample, labels=np.arange(40))
    halves = halves_of(alone, seed=0)
    assert [len(half) for half in halves] == [20, 20]
    refuse_small_halves(halves, design, "label", is_mark=True)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="each needs 2 of a class"):
        refuse_small_halves(halves, design, "label")  # type: ignore[arg-type]


def test_groups_of_a_part_are_named_as_those_of_all() -> None:
    images = [Image(f"{number}", cells=(name,)) for number, name in enumerate("nesw")]
    table = SimpleNamespace(columns=("side", "fold"), read_as=("fold",), one_label=None)
    whole = groups_by_column(table, images, "side")  # type: ignore[arg-type]
    part = groups_by_column(table, images[2:3], "side", images)  # type: ignore[arg-type]
    assert part.names == whole.names == ("side is e", "side is n", "side is s", "side is w") and part.of.tolist() == [2]
    with pytest.raises(OptionError, match=r"(?s)are read from the column 'fold'.*Columns: side\."):
        groups_by_column(table, images, "fold")  # type: ignore[arg-type]


def test_other_flags_than_the_label_that_is_asked_about_may_be_groups() -> None:
    images = [Image(f"{number}", cells=(f"{number % 2}", f"{number // 2}")) for number in range(4)]
    table = SimpleNamespace(
        columns=("Smiling", "Eyeglasses"), read_as=("Smiling", "Eyeglasses"), flags=("Smiling", "Eyeglasses"),
        one_label=OneLabel("Smiling", ("Smiling", "Eyeglasses")),
    )  # fmt: skip
    assert groups_by_column(table, images, "Eyeglasses").names == ("Eyeglasses is 0", "Eyeglasses is 1")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"(?s)the column 'Smiling'.*Columns: Eyeglasses\."):
        groups_by_column(table, images, "Smiling")  # type: ignore[arg-type]


class Added(Small):
    """A second head, added in place to what the first one gave."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.norm(self.conv(x)).relu().mean(dim=(2, 3))
        logits: torch.Tensor = self.head(features)
        logits += self.other(features)
        return logits


def test_a_layer_whose_output_is_added_to_in_place_is_no_head() -> None:
    with pytest.raises(ModelError, match="not the output of one linear layer"):
        head_of(Added().eval(), sample_of())


def test_a_last_layer_is_not_fitted_to_images_of_some_of_its_classes() -> None:
    sample = sample_of(120)
    groups = Groups(np.arange(120) // 2 % 2, ("left", "right"), "here")
    job = RepairJob(
        network=Small(3).eval(),
        factor=PropertyFactor(PROPERTIES["brightness"]),
        sample=sample,
        held=sample,
        groups=groups,
        held_groups=groups,
        core=(),
        tuning=Tuning(),
        n_outputs=3,
    )
    ways, refused = ways_of(job, ("last-layer", "projection"))
    assert [way.name for way in ways] == ["projection"] and "2 of the network's 3 classes" in refused["last-layer"]


def test_a_marks_reading_has_images_as_units_and_no_donors() -> None:
    rng = np.random.default_rng(0)
    labels, places = np.arange(24) % 2, np.arange(24)
    nobody = np.full(24, -1)
    shares = [rng.random((24, 1)).astype(np.float32) for _ in range(3)]
    nothing, said = np.zeros((24, 1), np.float32), np.array([0, 1] * 6 + [1, 0] * 6)
    before, marked, patched = (Scores(nothing, share, said) for share in shares)
    tables = [
        Trials(TrialKey("logo", edit, "valid"), places, nobody, before, after, labels, places // 2)
        for edit, after in ((MARKED, marked), (PATCHED, patched))
    ]
    contrast = Contrast(0, "a", "b")
    reading = MarkReading((said == labels).astype(np.int64), *tables)
    units = (shares[1] - shares[2])[:, 0].astype(np.float64).reshape(12, 2).mean(axis=1)
    effect = reading.effect(contrast)
    assert effect.value == pytest.approx(units.mean()) and effect.n == {0: 12}
    interval = stats.t.interval(0.95, 11, units.mean(), stats.sem(units))
    assert (effect.low, effect.high) == pytest.approx(interval)
    assert reading.exchanged.value == 0.5 and reading.n_images == 24
    cells = reading.cells(labels, no_groups(24), ["a", "b"])
    assert [(cell.label, cell.group, cell.accuracy.n) for cell in cells[:2]] == [
        ("a", "the mark is left out", 12),
        ("a", "the mark is laid over", 12),
    ]


def test_what_a_budget_leaves_room_for() -> None:
    make = {"make": lambda seed: nn.Linear(1, 1), "words": ""}
    ways = [Way("exchange", controls={"plain": make["make"]}, **make), Way("projection", is_seedless=True, **make)]
    given = {"tuning": Tuning(epochs=2), "n_train": 100, "seeds": 3, "n_choosing": 10, "n_proving": 20}
    costs = {way.name: cost_of_way(way, **given) for way in ways}
    assert costs == {"exchange": WayCost(600 + 10, 5 * 600 + 6 * 20), "projection": WayCost(10, 20)}
    assert [way.name for way in within(ways, costs, 7, None)[0]] == ["exchange", "projection"]
    both = 7 + 610 + 10 + 3120  # both are tried, and the dearest proof is held
    assert [way.name for way in within(ways, costs, 7, both)[0]] == ["projection", "exchange"]
    kept, left_out = within(ways, costs, 7, both - 1)
    assert [way.name for way in kept] == ["projection"] and "needs 3,747 images" in left_out["exchange"]
    with pytest.raises(OptionError, match="Type:  --budget 37"):
        within(ways, costs, 7, 36)


def test_a_factor_that_lost_its_effect_and_turned_by_a_hair_has_not_risen() -> None:
    rng, contrast = np.random.default_rng(2), Contrast(0, "a", "b")
    base = 0.01 * rng.standard_normal(24)
    (before,), (after,) = readings(rng, 0.2, 0.0, base, n=1), readings(rng, -0.01, 0.0, base, n=1)
    rise = rise_of(before, after, contrast)
    sizes = [abs(remaining([reading], contrast)) for reading in (before, after)]
    assert rise.value == pytest.approx(sizes[1] - sizes[0]) and rise.high < -0.1
    (turned,) = readings(rng, -0.4, 0.0, base, n=1)
    assert rise_of(before, turned, contrast).low > 0.1


def test_a_mark_is_laid_over_with_something_else_as_its_control() -> None:
    sample, pixels = sample_of(40, side=32), torch.zeros(4, 32, 32)
    pixels[:, :8, :8] = 1.0
    mark = Mark("logo", "white", pixels, pixels.flip(0))
    other = unrelated(sample, sample, mark, [], [], seed=0)
    assert isinstance(other, RegionExchange) and float((other.region * pixels[3]).sum()) == 0
    full = replace(mark, pixels=torch.ones(4, 32, 32))
    assert unrelated(sample, sample, full, [], [], seed=0) == MarkLaid(sample, full, is_patch=True)
    laid = MarkLaid(sample, mark)
    places = torch.arange(6)
    donors = laid.donors_for(places, torch.Generator())
    assert torch.equal(laid.edited(places, donors), mark.laid(sample.canvases(places)))
    unknown = no_groups(40, "of a mark")
    job = RepairJob(nn.Linear(1, 1), mark, sample, sample, unknown, unknown, (), Tuning(), 2)
    both, groups = job.cells
    assert len(both) == 80 and groups.of.tolist() == [0] * 40 + [1] * 40
    assert torch.equal(both.pixels[:40], sample.pixels)
    assert torch.equal(both.canvases(places + 40), mark.laid(sample.canvases(places)))


def test_accuracies_of_a_repair_have_clusters_as_units() -> None:
    labels, clusters = np.arange(24) % 2, np.arange(24) // 4
    right = np.repeat([1, 0], [16, 8])
    nothing, said = np.zeros((24, 1), np.float32), np.where(right > 0, labels, 1 - labels)
    scores = Scores(nothing, nothing, said)
    trials = Trials(
        TrialKey("tint", EXCHANGE, "valid"), np.arange(24), np.arange(24)[::-1], scores, scores, labels, clusters
    )
    reading, alone = ExchangeReading(right, trials), ExchangeReading(right, replace(trials, clusters=np.arange(24)))
    assert reading.accuracy == share_of(right > 0, clusters) and reading.accuracy.low < alone.accuracy.low
    groups = Groups(np.zeros(24, np.int64), ("here", "there"), "a test")
    cell = reading.cells(labels, groups, ["a", "b"])[0].accuracy
    assert cell == share_of(right[::2] > 0, clusters[::2]) and cell.n == 12
    cost = cost_of(np.ones(24, np.int64), right, clusters)
    assert cost.p_value == pytest.approx(0.5) and cost.n_clusters == 6  # two of six patients got worse
    assert cost_of(np.ones(24, np.int64), right, np.arange(24)).p_value < 0.01


def test_an_other_factor_of_several_classes_names_the_class() -> None:
    rng, base = np.random.default_rng(3), np.zeros(24)
    (one,) = readings(rng, 0.1, 0.0, base, n=1)
    other = other_of("border", Contrast(0, "a", "b"), one, one)
    assert other.name == "border" and replace(other, is_of_several=True).name == "border on P(a)"


def test_train_is_without_what_stands_among_the_judged_and_is_refused_where_a_class_has_none_left() -> None:
    train, judged = sample_of(20), replace(sample_of(12), split="valid", clusters=np.arange(100, 112))
    assert apart_from(train, judged) is train
    kept = apart_from(train, replace(judged, clusters=np.r_[0:4, 104:112]))
    assert [image.id for image in kept.images] == [str(number) for number in range(4, 20)]
    assert torch.equal(kept.pixels, train.pixels[4:]) and kept.clusters.tolist() == list(range(4, 20))
    with pytest.raises(DataError, match=r"10 of 20 images of train stand in valid, too.*none is left to learn b from"):
        apart_from(train, replace(judged, clusters=np.arange(1, 25, 2)))


def job_of(held: Groups, train: Groups) -> RepairJob:
    sample = replace(sample_of(120), split="train")
    factor = PropertyFactor(PROPERTIES["brightness"])
    valid = replace(sample, split="valid")
    return RepairJob(Small().eval(), factor, sample, valid, train, held, (), Tuning(), 2)


def test_a_last_layer_and_a_direction_need_two_groups() -> None:
    both = Groups(np.arange(120) // 2 % 2, ("site is a", "site is b"), "column site")
    alone = replace(both, of=np.zeros(120, np.int64))
    sample, groups = job_of(alone, both).cells
    assert sample.split == "train" and groups is both
    for way in ("last-layer", "projection", "gated"):
        ways, refused = ways_of(job_of(alone, alone), (way,))
        assert not ways and "(valid has one group alone, train has one group alone)" in refused[way]


class Locked(Small):
    """A network with a part that cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    "change",
    [
        lambda network, sample: fine_tuned(network, sample, Tuning(epochs=1)),
        lambda network, sample: with_head(network, "head", network.head.weight, network.head.bias),
    ],
    ids=["fine-tuning", "head"],
)
def test_a_network_that_cannot_be_copied_is_refused_with_the_reason(change: Any) -> None:
    with pytest.raises(
        ModelError, match=r"Locked cannot be copied \(TypeError: .*lock.*\).*\n.*__deepcopy__"
    ) as refused:
        change(Locked().eval(), sample_of())
    assert refused.value.slug == "cannot-train"


def test_a_frozen_norm_keeps_what_it_holds() -> None:
    torch.manual_seed(0)
    network = Small()
    open_one = fine_tuned(network, sample_of(), Tuning(epochs=1))
    network.norm.requires_grad_(False)
    frozen = fine_tuned(network, sample_of(), Tuning(epochs=1))
    assert (
        torch.equal(frozen.norm.running_mean, network.norm.running_mean) and int(frozen.norm.num_batches_tracked) == 0
    )
    assert not torch.equal(open_one.norm.running_mean, network.norm.running_mean)


@pytest.mark.parametrize(
    ("n_classes", "said"),
    [
        (2, "so that all classes have it alike"),
        (4, "so that all classes have it alike"),
        (6, "25% of each class keep .*17% would"),
    ],
)
def test_an_exchange_says_how_far_the_classes_are_alike(n_classes: int, said: str) -> None:
    sample = replace(sample_of(48), labels=np.arange(48) % n_classes)
    share = balancing_share(n_classes)
    assert re.search(said, FactorExchange(sample, PropertyFactor(PROPERTIES["brightness"]), share=share).balance)

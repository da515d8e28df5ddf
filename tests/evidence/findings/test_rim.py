"""What is left where the core is drawn larger, and beside the region: when that tells a region from the core's rim."""

from __future__ import annotations

from dataclasses import replace

from seewhy.evidence.findings.safeguards.rim import LargerCore
from seewhy.evidence.inference.differences import ClassDifference, difference_of


def effect(value: float, error: float = 0.001) -> ClassDifference:
    return difference_of(value, error, 100.0, {0: 60, 1: 60})


HALF_LEFT = LargerCore(effect(0.08), True, {8: effect(0.04)}, {8: 0.5})


def test_a_fair_share_of_the_effect_is_by_area() -> None:
    assert HALF_LEFT.passes and not HALF_LEFT.dies
    dead = replace(HALF_LEFT, effects={8: effect(0.01)})
    assert not dead.passes and dead.dies
    unclear = replace(HALF_LEFT, effects={8: effect(0.018, 0.01)})
    assert not unclear.passes and not unclear.dies
    against = replace(HALF_LEFT, whole=effect(-0.08), effects={8: effect(-0.04)})
    assert against.passes


def test_what_lies_near_the_core_mostly_needs_an_effect_that_would_be_reported_or_all_of_its_share() -> None:
    near = LargerCore(effect(0.023), True, {4: effect(0.003)}, {4: 0.2}, leaves_enough=False)
    # .003 is more than half of its area's share of .023, and no finding
    assert not near.passes and replace(near, leaves_enough=True).passes
    assert replace(near, effects={4: effect(0.006)}).passes
    assert replace(near, whole=effect(0.12), effects={4: effect(0.03)}).passes
    all_rim = replace(near, effects={4: effect(0.03)}, left={4: 0.1})
    assert not all_rim.passes and all_rim.dies


def test_what_does_nothing_beside_the_region_tells_it_from_the_rim() -> None:
    dead = replace(HALF_LEFT, effects={8: effect(0.0)}, beside_share=2.0)
    assert replace(dead, beside=effect(0.001)).passes
    assert not replace(dead, beside=effect(0.06)).passes
    assert not replace(dead, beside=effect(0.03, 0.02)).passes  # not shown to be less than its share
    little = replace(dead, beside=effect(0.01), beside_share=0.1)  # so small a rest could not do more
    assert not little.passes


def test_a_region_that_only_the_smaller_core_leaves_has_to_pass_by_what_is_beside_it() -> None:
    near = LargerCore(effect(0.08), True, {4: effect(0.04)}, {4: 0.5}, beside_share=1.0, leaves_enough=False)
    assert near.passes
    assert replace(near, beside=effect(0.001)).passes
    as_much = replace(near, beside=effect(0.07))
    assert not as_much.passes and as_much.dies


def test_a_region_all_around_does_not_say_otherwise_than_all_that_is_outside() -> None:
    """Where nothing is shown beyond the larger core, which leaves too little of the region, it is the core's rim."""
    around = LargerCore(effect(0.4), True, {4: effect(0.14)}, {4: 0.5}, leaves_enough=False)
    assert around.passes
    at_rim = replace(around, nothing_beyond=True)
    assert not at_rim.passes and at_rim.dies
    assert replace(at_rim, leaves_enough=True, effects={8: effect(0.14)}, left={8: 0.5}).passes
    assert replace(at_rim, beside=effect(0.001), beside_share=1.0).passes
    assert replace(at_rim, is_region=False).passes

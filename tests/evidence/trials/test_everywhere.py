"""Does a property go with the classes in the core as it does around it? And what is put where then."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from seewhy.evidence.factors.factor import PropertyFactor
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.trials.edit import Edit, TrialKey
from seewhy.evidence.trials.everywhere import goes_everywhere
from seewhy.evidence.trials.sample import Sample
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.trial import Job
from seewhy.records import Preprocess
from tests.small_images import Reader, where_core

SIDE, EACH = 32, 80
BRIGHTNESS = PropertyFactor(PROPERTIES["brightness"])


def sample_of(where: Tensor, strength: float = 0.08, classes: int = 2, seed: int = 0) -> Sample:
    """Grey noise, brighter for later classes where the mask (H, W) is 1."""
    rng = np.random.default_rng(seed)
    labels = np.arange(classes * EACH) % classes
    pixels = (
        0.4
        + 0.05 * rng.standard_normal((len(labels), 3, SIDE, SIDE))
        + 0.05 * rng.standard_normal((len(labels), 1, 1, 1))
    )
    pixels = torch.from_numpy(pixels).float() + strength * torch.from_numpy(labels)[:, None, None, None] * where
    return Sample(
        "valid", tuple(range(len(labels))), labels, pixels.clamp(0, 1).float(), Preprocess(size=(SIDE, SIDE)),
        np.arange(len(labels)), {"core": where_core()[None]},
    )  # fmt: skip


def one_quarter() -> Tensor:
    quarter = torch.zeros(SIDE, SIDE)
    quarter[: SIDE // 2, SIDE // 2 :] = 1
    return quarter


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (torch.ones(SIDE, SIDE), True),  # as a camera does
        (1 - where_core(), False),  # all around, and not in the core
        (where_core(), False),  # in the core alone
        (one_quarter(), False),  # in one place
    ],
    ids=["everywhere", "around", "core", "quarter"],
)
def test_what_goes_everywhere(where: Tensor, expected: bool, classes: int) -> None:
    assert goes_everywhere(sample_of(where, classes=classes), BRIGHTNESS, "core") is expected


def test_without_a_difference_nothing_goes_anywhere() -> None:
    nothing = [goes_everywhere(sample_of(where_core(), 0.0, seed=seed), BRIGHTNESS, "core") for seed in range(20)]
    assert sum(nothing) <= 1


@pytest.mark.parametrize("whole", [False, True])
def test_the_core_keeps_its_bits_unless_the_property_is_put_into_the_whole(whole: bool) -> None:
    sample = sample_of(torch.ones(SIDE, SIDE), 0.3)
    pairs = np.array([[0, 1], [2, 3]])
    edit = Edit("exchange", outside="core", whole=whole)
    job = Job(TrialKey("brightness", edit, "valid"), pairs, (BRIGHTNESS,))
    scorer = Scorer(Reader(core=20.0, tint=20.0), sample, 4, torch.contiguous_format)
    edited, before = scorer.edited(job, pairs), sample.pixels[[0, 2]]
    inside = where_core() == 1
    assert torch.equal(edited[:, :, inside], before[:, :, inside]) is not whole
    assert (edited[:, :, ~inside] - before[:, :, ~inside]).mean() > 0.2  # the donors' is brighter
    assert scorer.run(job).margins.shape == (2, 1)

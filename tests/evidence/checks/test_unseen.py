"""Networks that do not see half of the picture: maps that light that half are graded for it, and no others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.cam.capture import find_layer
from seewhy.evidence.checks.map_findings import map_findings
from seewhy.evidence.checks.trust import Trust, examine
from tests.models import FourConv, Pooled, images, seeded

SIDE = 32


class BlindHead(FourConv):
    """A head that flattens and gets the left three of eight columns: no pixel of the right half counts."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        return self.fc((x * (torch.arange(8) < 3)).flatten(1))


class BlindInput(Pooled):
    """The right half of the picture is painted over with white before anything looks at it."""

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.ones_like(x)
        seen[..., : SIDE // 2] = x[..., : SIDE // 2]
        return super().forward(seen)


def blind_head() -> BlindHead:
    """With positive weights behind the layer, so that no map is empty."""
    model = seeded(BlindHead())
    with torch.no_grad():
        model.fc.weight.abs_()
    return model


def trust_of(model: nn.Module, layer: str, method: str, inputs: Tensor) -> Trust:
    (found,) = examine(model.eval(), inputs, [find_layer(model, layer)], method)
    return found


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return images(8, size=SIDE)


@pytest.mark.parametrize("method", ["hirescam", "layercam"])
def test_what_goes_place_by_place_lights_nothing_that_the_head_leaves_out(method: str, pictures: Tensor) -> None:
    found = trust_of(blind_head(), "pool", method, pictures).unseen
    assert found is not None and found.share == pytest.approx(0.5, abs=0.1)
    assert found.false_mass.value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("method", ["grad-cam", "eigen-cam"])
def test_what_lights_the_blind_half_is_graded_for_it(method: str, pictures: Tensor) -> None:
    trust = trust_of(blind_head(), "pool", method, pictures)
    assert trust.unseen is not None and trust.unseen.false_mass.value > 0.2
    finding, grade, reasons = map_findings(trust)
    assert grade in "BC" and finding.level in ("caution", "bad")
    assert any("does not see" in reason.text and reason.value > 0.2 for reason in reasons)


def test_a_picture_that_is_painted_over_is_unseen_too(pictures: Tensor) -> None:
    trust = trust_of(seeded(BlindInput()), "act", "grad-cam", pictures)
    assert trust.unseen is not None and trust.unseen.share == pytest.approx(0.5, abs=0.1)
    assert trust.unseen.false_mass.value > 0.2, "its features there are constant, and not nothing"


@pytest.mark.parametrize("model", [FourConv(SIDE), Pooled()], ids=["flatten", "pooled"])
def test_a_network_that_sees_everything_has_no_such_place(model: nn.Module, pictures: Tensor) -> None:
    layer = "pool" if isinstance(model, FourConv) else "act"
    trust = trust_of(seeded(model), layer, "grad-cam", pictures)
    assert trust.unseen is None
    assert not any("does not see" in reason.text for reason in map_findings(trust)[2])


def test_a_black_rim_is_no_place_that_is_unseen(pictures: Tensor) -> None:
    """What is the same in every image moves nothing when it is swapped; whether the network sees it is not known."""
    framed = pictures.clone()
    framed[..., 16:] = 0
    assert trust_of(seeded(FourConv(SIDE)), "pool", "grad-cam", framed).unseen is None


def test_check_tells_and_stores_it(pictures: Tensor) -> None:
    found = seewhy.check(seewhy.load(blind_head()), pictures, method="grad-cam", layers="pool", progress=False)
    assert any("does not see" in finding.text for finding in found.findings if finding.part == "maps")
    (stored,) = found.summary()["maps"]
    assert stored["unseen"]["false_mass"]["value"] > 0.2 and np.isfinite(stored["unseen"]["share"])

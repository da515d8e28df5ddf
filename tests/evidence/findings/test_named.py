"""What a place is that a search found: a name only where its exchange takes the effect, else a description."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

from seewhy.evidence.audit import run_audit
from seewhy.evidence.factors.boxes import Box
from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.results.result import Audit
from seewhy.evidence.trials.design import design_audit
from seewhy.evidence.trials.places import Places
from seewhy.evidence.trials.request import request
from seewhy.evidence.trials.searching import with_places
from tests.small_images import CLASSES, Reader, classifier_of, write_images

SIDE, EACH = 32, 40
TOP = Box(0, 4, 0, 16)
PLACE = "patch top"


class Template(nn.Module):
    """Two logits, whose difference is how far the top has stripes, bright ones where the first class has them."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.dirac_(self.look.weight)
        self.register_buffer("stripes", TOP.mask(SIDE, SIDE)[0] * wave())

    def forward(self, x: Tensor) -> Tensor:
        score = 0.5 * (self.look(x).mean(dim=1) * self.stripes).sum(dim=(1, 2))
        return torch.stack([score, -score], dim=1)


def wave() -> Tensor:
    """Stripes (S, S) of 1 and -1, four pixels apart, as many of both."""
    return (1.0 - 2.0 * (torch.arange(SIDE) % 4 < 2).float()).expand(SIDE, SIDE)


def write_stripes(folder: Path) -> Path:
    """Noise with stripes at the top, bright where the other class has dark ones: no property of it differs."""
    for split in ("train", "valid"):
        for index, name in enumerate(CLASSES):
            rng = np.random.default_rng((len(split), index))
            (folder / split / name).mkdir(parents=True)
            for number in range(EACH):
                pixels = 0.5 + 0.03 * rng.standard_normal((SIDE, SIDE, 3))
                pixels[:8] += 0.05 * (1 - 2 * index) * rng.uniform(0.5, 1.5) * wave().numpy()[:8, :, None]
                image = (255 * pixels.clip(0, 1)).round().astype(np.uint8)
                PIL.Image.fromarray(image).save(folder / split / name / f"{number:02d}.png")
    return folder


def audited(model: nn.Module, data: Path) -> Audit:
    """An audit of a place as a search would have found it."""
    asked = request("search", "", "none", recipients=40, donors=40)
    design = design_audit(classifier_of(model), data, asked, batch_size=40)
    return run_audit(with_places(design, Places("found", {PLACE: TOP}, n_places=1)))


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> Finding:
    data = write_images(tmp_path_factory.mktemp("red") / "data", counts={"train": EACH, "valid": EACH}, aligned=1.0)
    return audited(Reader(core=0.0, tint=20.0, seen=TOP.mask(SIDE, SIDE)[0]), data)[PLACE]


@pytest.fixture(scope="module")
def striped(tmp_path_factory: pytest.TempPathFactory) -> Finding:
    return audited(Template(), write_stripes(tmp_path_factory.mktemp("striped") / "data"))[PLACE]


def test_a_name_holds_where_its_exchange_takes_the_effect(red: Finding) -> None:
    what = red.numbers["what"]
    assert what["tested"] == ["tint"] and abs(what["left"]["tint"]["share"]) < 0.1
    assert all(left["share"] > 0.5 for name, left in what["left"].items() if name != "tint")
    assert "What acts there is its colour, tested: with that as the recipient has it," in red.text


def test_the_rest_is_said_to_be_a_description(red: Finding) -> None:
    assert red.numbers["what"]["look"]["words"] == ("redder",)
    assert "Described, not tested: there (top, 25 x 100 % of the picture) cat images are, beside dog ones, redder." in (
        red.text
    )


def test_where_no_property_takes_it_no_name_is_given(striped: Finding) -> None:
    what = striped.numbers["what"]
    assert what["tested"] == [] and "depends" in striped.claims
    assert "No single name fits what acts there" in striped.text and "What acts there is" not in striped.text


def test_stripes_are_described_as_one_pattern_that_comes_again(striped: Finding) -> None:
    look = striped.numbers["what"]["look"]
    assert look["pattern"] == "apart" and look["period"] == 4
    assert "with another pattern than those at the same place, repeated every 4 pixels" in striped.text

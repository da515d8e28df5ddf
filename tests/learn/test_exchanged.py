"""The exchange for those who train elsewhere: the content that a repair trains on, the same in every worker."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import DataLoader

import seewhy
from seewhy.errors import OptionError
from seewhy.evidence.factors.edits import grown
from seewhy.evidence.results.result import Audit
from seewhy.learn.exchange import exchanged
from seewhy.learn.exchange.exchange import FactorExchange
from seewhy.learn.parts import train_of, with_all_images
from tests.learn.test_repair import Known
from tests.small_images import CORE, write_images, write_masks


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """An audit with a region that each image has its own mask of, one that is fixed, a property, and a mark."""
    home = tmp_path_factory.mktemp("exchanged")
    data = write_images(home / "data", counts={"train": 30, "valid": 16}, aligned=0.8)
    write_masks(home / "masks", data)
    white_above = np.full((4, 4, 4), 255, np.uint8)
    white_above[2:, :, :3] = 0
    PIL.Image.fromarray(white_above).save(home / "mark.png")
    asked: dict[str, Any] = {
        "regions": [f"face={home / 'masks'}", "top-left"],
        "properties": ["contrast"],
        "marks": [f"logo={home / 'mark.png'}@top-left"],
        "recipients": 16,
        "donors": 16,
    }
    return seewhy.audit(seewhy.load(Known(), classes=["cat", "dog"]), data, progress=False, **asked)


@pytest.mark.parametrize("factor", ["face", "top-left", "contrast"])
def test_items_are_what_a_repair_trains_on(audit: Audit, factor: str) -> None:
    images = seewhy.ExchangeDataset(audit, factor, share=1.0, seed=3, transform=torch.clone)
    design = with_all_images(audit.design)
    sample = train_of(design)
    assert len(images) == len(sample) == 60
    exchange = FactorExchange(sample, next(each for each in design.factors if each.name == factor))
    everyone = torch.arange(60)
    changed = 0
    for index in range(0, 60, 7):
        canvas, label = images[index]
        assert label == sample.labels[index]
        every = exchange.edited(torch.full((60,), index), everyone)
        given = (every == canvas).flatten(1).all(dim=1)
        assert given.any()  # one donor's content, exactly as the repair puts it in
        changed += not bool(given[index])
    assert changed >= 6


def test_workers_and_restarts_give_the_same_and_an_epoch_deals_anew(audit: Audit) -> None:
    images = seewhy.ExchangeDataset(audit, "face", share=0.5, seed=1)
    plain = torch.stack([images[index][0] for index in range(60)])
    loaded = torch.cat([batch for batch, _ in DataLoader(images, batch_size=16, num_workers=2)])
    again = seewhy.ExchangeDataset(audit, "face", share=0.5, seed=1)
    assert torch.equal(loaded, plain) and torch.equal(torch.stack([again[index][0] for index in range(60)]), plain)
    sample = images.sample
    kept = (plain == sample.inputs(sample.canvases(torch.arange(60)))).flatten(1).all(dim=1)
    assert 15 <= int(kept.sum()) <= 45  # about half
    images.set_epoch(1)
    assert not torch.equal(torch.stack([images[index][0] for index in range(60)]), plain)
    sent = pickle.loads(pickle.dumps(images))  # what a worker that is spawned gets
    assert torch.equal(sent[5][0], images[5][0])


def test_a_transform_puts_a_training_images_content_into_any_image(audit: Audit) -> None:
    image = torch.full((3, 32, 32), 0.25)
    transform = seewhy.ExchangeTransform(audit, "face", share=1.0)
    mask = torch.zeros(32, 32)
    mask[CORE, CORE] = 1
    torch.manual_seed(5)
    changed = transform(image, mask)
    inside = mask > 0
    assert torch.equal(changed[:, ~inside], image[:, ~inside])
    donors = transform.sample.canvases(torch.arange(60))[:, :, inside]
    assert ((donors - changed[:, inside]).abs().amax(dim=(1, 2)) < 0.003).any()
    torch.manual_seed(5)
    assert torch.equal(transform(image, mask), changed)
    assert torch.equal(seewhy.ExchangeTransform(audit, "face", share=0.0)(image), image)
    fixed = seewhy.ExchangeTransform(audit, "top-left", share=1.0)(image)
    assert torch.equal(fixed[:, 20:, 20:], image[:, 20:, 20:]) and not torch.equal(fixed, image)
    laid = seewhy.ExchangeTransform(audit, "logo", share=1.0)(image)
    assert torch.equal(laid, audit.design.marks[0].laid(image[None])[0]) and float(laid.max()) == 1.0


def test_near_the_core_they_give_what_a_repair_gives(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"train": 16, "valid": 16}, aligned=0.8)
    write_masks(tmp_path / "masks", data)
    audit = seewhy.audit(
        seewhy.load(Known(), classes=["cat", "dog"]), data, regions=[f"face={tmp_path / 'masks'}", "around=not:face"],
        core="face", properties="none", progress=False,
    )  # fmt: skip
    images = seewhy.ExchangeDataset(audit, "around", share=1.0, transform=torch.clone)
    assert images.exchange.core == ("face",) and images.exchange.reach == 4
    transform = seewhy.ExchangeTransform(audit, "around", share=1.0)
    image, core = torch.rand(3, 32, 32), torch.zeros(32, 32)
    core[CORE, CORE] = 1
    near = grown(core[None], 4)[0] > 0
    changed = []
    for given in (core, None):
        torch.manual_seed(2)
        changed.append(transform(image, 1 - core, given))
    assert torch.equal(changed[0][:, core > 0], image[:, core > 0])
    assert torch.equal(changed[0][:, ~near], changed[1][:, ~near]) and not torch.equal(*changed)
    torch.manual_seed(2)
    torch.rand(())
    donor = torch.randint(len(images), (1,))
    assert torch.equal(changed[0], images.exchange.put(image[None], 1 - core[None], donor, core[None])[0])
    torch.manual_seed(2)
    assert torch.equal(transform(image, (255 * (1 - core)).byte(), (255 * core).byte()), changed[0])
    with pytest.raises(OptionError, match=r"mask of the core is \(8, 8\), but must be \(32, 32\)"):
        transform(image, 1 - core, core[:8, :8])


def test_a_mark_is_laid_over_a_share_of_the_items(audit: Audit) -> None:
    images = seewhy.ExchangeDataset(audit, "logo", share=0.5, transform=torch.clone)
    mark, sample = audit.design.marks[0], images.sample
    plain = sample.canvases(torch.arange(60))
    items = torch.stack([images[index][0] for index in range(60)])
    with_mark = (items == mark.laid(plain)).flatten(1).all(dim=1)
    without = (items == plain).flatten(1).all(dim=1)
    assert bool((with_mark ^ without).all()) and 15 <= int(with_mark.sum()) <= 45


def test_a_share_that_nobody_named_is_what_the_classes_need_to_be_alike(audit: Audit) -> None:
    assert seewhy.ExchangeDataset(audit, "contrast").share == 0.5 == seewhy.ExchangeDataset(audit, "logo").share
    three = replace(train_of(with_all_images(audit.design)), labels=np.arange(60) % 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchanged, "train_of", lambda design: three)
        images = seewhy.ExchangeDataset(audit, "contrast")
    assert images.share == pytest.approx(2 / 3) and images.exchange.share == images.share
    assert images.exchange.balance == "so that all classes have it alike"


def test_several_factors_come_from_the_same_image(audit: Audit) -> None:
    images = seewhy.ExchangeDataset(audit, ["top-left", "contrast", "top-left"], share=1.0, transform=torch.clone)
    factors = {factor.name: factor for factor in audit.design.factors}
    exchange = FactorExchange(images.sample, factors["top-left"], further=(factors["contrast"],))
    alone = seewhy.ExchangeDataset(audit, "top-left", share=1.0, transform=torch.clone)
    everyone = torch.arange(len(images))
    for index in range(0, 60, 15):
        every = exchange.edited(torch.full((len(images),), index), everyone)
        assert (every == images[index][0]).flatten(1).all(dim=1).any()
        assert not torch.equal(images[index][0], alone[index][0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda audit: seewhy.ExchangeDataset(audit, "fase"), "Nearest: face"),
        (lambda audit: seewhy.ExchangeDataset(audit, ["face", "fase"]), "Nearest: face"),
        (lambda audit: seewhy.ExchangeDataset(audit, []), "no factor ''"),
        (lambda audit: seewhy.ExchangeDataset(audit, ["face", "logo"]), "The mark logo is laid over by itself"),
        (lambda audit: seewhy.ExchangeDataset(audit, "face", share=2.0), "between 0 and 1"),
        (
            lambda audit: seewhy.ExchangeTransform(audit, "face", share=1.0)(torch.rand(3, 32, 32)),
            "its own mask of face",
        ),
        (lambda audit: seewhy.ExchangeTransform(audit, "contrast")(torch.rand(3, 16, 16)), "behind the resizing"),
    ],
    ids=["factor", "factors", "none", "mark", "share", "mask", "size"],
)
def test_bad_input_says_what_to_type(audit: Audit, change: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        change(audit)


def test_a_transform_refuses_what_is_no_picture_of_the_audit(audit: Audit) -> None:
    transform = seewhy.ExchangeTransform(audit, "contrast", share=1.0)
    size = tuple(transform.sample.pixels.shape[1:])
    image = torch.rand(size, generator=torch.Generator().manual_seed(0))
    normalised = (image - 0.5) / 0.2
    pillow: Any = PIL.Image.new("RGB", size[1:])
    for wrong, said in (
        (normalised, r"The image is from -2\.\S+ to 2\.\S+, but"),
        (pillow, "The image is Image, but"),
        (image.numpy(), "The image is ndarray, but"),
        ((255 * image).byte(), r"of torch\.uint8, but"),
    ):
        with pytest.raises(OptionError, match=f"{said}(.|\n)*before Normalize"):
            transform(wrong)
    torch.manual_seed(0)
    double = transform(image.double())
    torch.manual_seed(0)
    assert double.dtype == torch.float64 and torch.allclose(double.float(), transform(image))

"""Edited images re-scored: scores, edits, marks, many classes, sizes of batches; the network is left as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.evidence.factors.edits import filled
from seewhy.evidence.factors.factor import PropertyFactor, RegionFactor
from seewhy.evidence.findings.case import depends
from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.trials.budget import scorers_of
from seewhy.evidence.trials.contrast import contrasts_of
from seewhy.evidence.trials.design import AuditDesign, design_audit
from seewhy.evidence.trials.edit import EXCHANGE, ControlRegion, Edit, Pair, TrialKey
from seewhy.evidence.trials.request import request
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.trial import Job, scores_of
from tests.small_images import CORE, Reader, Steps, classifier_of, where_core, write_images, write_masks

EACH = 40  # images of each class


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trials")
    write_masks(folder / "core", write_images(folder / "data", counts={"valid": EACH}))
    return folder


def options_of(home: Path) -> dict[str, object]:
    return {"regions": f"core={home / 'core'},around=not:core", "core": "core", "properties": "none"}


def audit_of(home: Path, model: nn.Module, **options: object) -> seewhy.Audit:
    asked = {**options_of(home), "progress": False, **options}
    return seewhy.audit(classifier_of(model), home / "data", **asked)


# Scores.


def test_a_margin_is_the_logit_less_the_best_other_one() -> None:
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    found = scores_of(logits, torch.zeros(50, dtype=torch.int64))
    for column in range(4):
        others = np.delete(logits.double().numpy(), column, axis=1).max(axis=1)
        assert found.margins[:, column] == pytest.approx(logits[:, column].double().numpy() - others, abs=1e-6)
    assert found.probabilities == pytest.approx(logits.softmax(dim=1).numpy(), abs=1e-6)
    assert (found.predictions == logits.argmax(dim=1).numpy()).all() and not found.is_own_class


@pytest.mark.parametrize("outputs", [1, 2])
def test_of_two_classes_the_first_is_asked_for(outputs: int) -> None:
    logits = torch.randn(30, outputs, generator=torch.Generator().manual_seed(1))
    found = scores_of(logits, torch.zeros(30, dtype=torch.int64))
    first = -logits[:, 0] if outputs == 1 else logits[:, 0] - logits[:, 1]  # one logit speaks for the second class
    assert found.margins[:, 0] == pytest.approx(first.numpy(), abs=1e-6)
    assert found.probabilities[:, 0] == pytest.approx(torch.sigmoid(first).numpy(), abs=1e-6)
    assert (found.predictions == (first < 0).numpy()).all()


def test_of_many_classes_the_own_one_is_kept() -> None:
    logits = torch.randn(30, 12, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(30) % 12
    found = scores_of(logits, labels)
    own = logits[torch.arange(30), labels]
    rest = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    assert found.is_own_class and found.margins.shape == (30, 1)
    assert found.margins[:, 0] == pytest.approx((own - rest).numpy(), abs=1e-6)
    assert found.probabilities[:, 0] == pytest.approx(logits.softmax(1)[torch.arange(30), labels].numpy(), abs=1e-6)


def test_contrasts_follow_the_number_of_classes() -> None:
    assert [(one.column, one.name, one.against) for one in contrasts_of(["a", "b"])] == [(0, "a", "b")]
    assert [(one.column, one.name) for one in contrasts_of(["a", "b", "c"])] == [(0, "a"), (1, "b"), (2, "c")]
    (own,) = contrasts_of([str(one) for one in range(11)])
    assert own.name == "own class" and own.is_own_class and own.column == 0
    assert not any(one.is_own_class for one in contrasts_of(["own class", "b", "c"])), "a class may be called so"


# Edits.


@pytest.mark.parametrize(
    ("edit", "written"),
    [
        (EXCHANGE, "donors"),
        (Edit("exchange", outside="core"), "outside"),
        (Edit("exchange", shrink_px=4), "shrunk-4"),
        (Edit("removal", removal="blur"), "blur"),
        (Edit("mark"), "inserted"),
        (Edit("patch"), "neutral mark"),
        (Edit("control"), "control"),
        (Edit("control", removal="in-paint"), "control in-paint"),
    ],
)
def test_an_edit_is_a_word_on_disk(edit: Edit, written: str) -> None:
    assert str(edit) == written


def test_pairs_and_control_regions_are_words_on_disk() -> None:
    region = ControlRegion(56, 3)
    assert (str(Pair("tint", "core")), str(region)) == ("tint + core", "area 0.056 #03")
    assert str(region.all_of_its_area) == "area 0.056"


@pytest.fixture(scope="module")
def design(home: Path) -> AuditDesign:
    asked = request(**{**options_of(home), "properties": "tint,brightness,jpeg,crop"})
    return design_audit(classifier_of(Reader(core=20.0, tint=20.0)), home / "data", asked)


def scorer_of(design: AuditDesign, batch_size: int = 16) -> Scorer:
    return scorers_of(replace(design, plan=replace(design.plan, batch_size=batch_size, batch_asked=True)))["valid"]


@pytest.mark.parametrize("name", ["tint", "brightness", "crop", "spectrum", "noise"])
@pytest.mark.parametrize("batch_size", [1, 16, 64])
def test_preparing_a_recipient_once_changes_nothing(design: AuditDesign, name: str, batch_size: int) -> None:
    scorer, factor = scorer_of(design, batch_size), PropertyFactor(PROPERTIES[name])
    job = Job(TrialKey(name, EXCHANGE, "valid"), design.audited.pairs(uses=2)[:160], (factor,))
    quick = scorer._by_recipient(job)
    assert quick is not None
    slow = scorer.scored(job.pairs, scorer._editing(job))
    assert quick.margins == pytest.approx(slow.margins, abs=1e-4)
    assert quick.probabilities == pytest.approx(slow.probabilities, abs=1e-5)
    assert np.array_equal(quick.predictions, slow.predictions)


@pytest.mark.parametrize("as_floats", [True, False])
def test_what_donors_give_of_a_region(design: AuditDesign, as_floats: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seewhy.evidence.trials.sample._AS_FLOATS", 1 << 30 if as_floats else 0)
    scorer, sample = scorer_of(design), design.audited
    factor = next(one for one in design.factors if one.name == "around")
    assert isinstance(factor, RegionFactor)
    content = scorer.content(factor)
    assert content.shape == sample.pixels.shape
    assert content.dtype == (torch.float32 if as_floats else torch.uint8), "bytes where floats would take much memory"
    inside = sample.masks["around"][:, None].expand_as(content) == 255
    shares = content if as_floats else content.float() / 255
    assert torch.equal(shares[inside], (sample.pixels.float() / 255)[inside])
    canvases = sample.canvases(torch.arange(4))
    exact = filled(canvases, 1 - where_core().expand(4, -1, -1))
    assert (shares[:4] - exact).abs().max() <= (1e-6 if as_floats else 0.5 / 255 + 1e-6)


def test_a_transplant_is_the_donor_inside_and_the_recipient_outside(design: AuditDesign) -> None:
    scorer, sample = scorer_of(design), design.audited
    factor = next(one for one in design.factors if one.name == "core")
    pairs = sample.pairs(uses=1)[:10]
    edited = scorer.edited(Job(TrialKey("core", EXCHANGE, "valid"), pairs, (factor,)), pairs)
    own, given = (sample.canvases(torch.from_numpy(column.copy())) for column in pairs.T)
    inside = where_core().bool()
    assert torch.equal(edited[:, :, ~inside], own[:, :, ~inside])
    assert torch.equal(edited[:, :, inside], given[:, :, inside])


def test_two_factors_are_put_in_together(design: AuditDesign) -> None:
    scorer, sample = scorer_of(design), design.audited
    both = tuple(next(one for one in design.factors if one.name == name) for name in ("core", "around"))
    pairs = sample.pairs(uses=1)[:10]
    edited = scorer.edited(Job(TrialKey(Pair("core", "around"), EXCHANGE, "valid"), pairs, both), pairs)
    assert torch.equal(edited, sample.canvases(torch.from_numpy(pairs[:, 1].copy())))  # all of the donor


def test_a_region_drawn_back_leaves_its_edge(design: AuditDesign) -> None:
    scorer, sample = scorer_of(design), design.audited
    factor = next(one for one in design.factors if one.name == "core")
    pairs = sample.pairs(uses=1)[:10]
    edited = scorer.edited(Job(TrialKey("core", Edit("exchange", shrink_px=4), "valid"), pairs, (factor,)), pairs)
    own, given = (sample.canvases(torch.from_numpy(column.copy())) for column in pairs.T)
    assert torch.equal(edited[..., 12:20, 12:20], given[..., 12:20, 12:20])
    outside = torch.ones(32, 32, dtype=torch.bool)
    outside[12:20, 12:20] = False
    assert torch.equal(edited[:, :, outside], own[:, :, outside])


def test_images_without_a_mask_are_in_no_trial(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"valid": 40})
    write_masks(tmp_path / "core", data)
    gone = sorted((tmp_path / "core").rglob("*.png"))[::8]
    for path in gone:
        path.unlink()
    asked = request(f"core={tmp_path / 'core'},around=not:core", "core", "tint")
    found = design_audit(classifier_of(Reader()), data, asked)
    sample = found.audited
    without = {row for row, image in enumerate(sample.images) if tmp_path / "core" / image.id in gone}
    assert len(without) == 10
    for job in found.schedule.jobs:
        if job.name in ("core", "around"):
            assert job.n_trials and not without & {*job.pairs.ravel().tolist()}
    assert any(without & {*job.pairs.ravel().tolist()} for job in found.schedule.jobs if job.name == "tint")


# Marks.


class SeesMark(Reader):
    """The largest pixel of the picture: anything white adds to the first class."""

    def forward(self, x: Tensor) -> Tensor:
        white = (x.amin(dim=1).amax(dim=(1, 2)) > 0.95).float()[:, None]
        return 0.01 * self.look(x)[:, :2].mean(dim=(2, 3)) + 3 * white * torch.tensor([[0.5, -0.5]])


class SeesPlace(Reader):
    """The mean of the left half less that of the right half."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.look(x)
        light = x.mean(dim=1)
        side = 40 * (light[:, :, :16].mean(dim=(1, 2)) - light[:, :, 16:].mean(dim=(1, 2)))
        return torch.stack([side, -side], dim=1) / 2 + 0.01 * x[:, :2].mean(dim=(2, 3))  # so that maps are not empty


def write_logo(path: Path) -> Path:
    """White left half, black right half."""
    pixels = np.zeros((40, 60, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[:, :30, :3] = 255
    PIL.Image.fromarray(pixels).save(path)
    return path


def test_a_mark_has_the_size_that_the_network_gives_it(home: Path) -> None:
    logo = write_logo(home / "logo.png")
    found = audit_of(home, SeesPlace(), marks=[f"logo={logo}@centre"])
    mark = found.design.marks[0]
    sample = found.design.audited
    canvases = sample.canvases(torch.arange(len(sample)))
    with torch.no_grad():
        margins = [
            SeesPlace()(edited) @ torch.tensor([1.0, -1.0]) for edited in (mark.laid(canvases), mark.patched(canvases))
        ]
    case = next(one for one in found.cases.marks if one.factor == "logo")
    assert case.effect.margin.value == pytest.approx(float((margins[0] - margins[1]).mean()), abs=1e-4)
    assert case.effect.margin.value > 1
    assert case.effect.n_recipients == len(sample)
    assert found["logo"].claims == ("depends",) and found["logo"].numbers["kind"] == "insert"


def test_a_mark_that_is_not_read_is_none(home: Path) -> None:
    found = audit_of(home, Reader(), marks=["word=text:AB@top-left"])
    assert found["word"].level == "NONE LARGER THAN"


def test_a_mark_as_bright_in_another_order_is_the_comparison(home: Path) -> None:
    logo = write_logo(home / "logo2.png")
    found = audit_of(home, SeesMark(), marks=[f"logo={logo}@top-left"])
    assert found["logo"].level == "NONE LARGER THAN"
    assert found["logo"].numbers["margin"]["value"] == pytest.approx(0, abs=1e-6)


def test_one_image_of_each_of_many_classes_is_enough_for_marks(tmp_path: Path) -> None:
    names = tuple(f"c{number:02d}" for number in range(40))
    data = write_images(tmp_path / "data", counts={"valid": 1}, classes=names, aligned=1.0)
    model = Steps(40)

    class Blinded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model

        def forward(self, x: Tensor) -> Tensor:
            bright = x[:, :, 20:, 16:].mean(dim=(1, 2, 3))
            return self.inner(x) + 30 * bright[:, None] * torch.linspace(1, -1, 40)

    found = seewhy.audit(
        classifier_of(Blinded(), names),
        data,
        regions="corners",
        properties="tint",
        marks=["word=text:AB"],
        progress=False,
    )
    exchange = [one for one in found.findings if one.factor != "word" and "classifier" not in one.claims]
    assert exchange and {one.level for one in exchange} == {"CANNOT SAY"}
    assert all(one.text and one.todo for one in exchange)
    assert found["word"].numbers["recipients"] == 40


# More classes than two.


def test_of_three_classes_each_is_asked_for(tmp_path: Path) -> None:
    names = ("ant", "bee", "cow")
    data = write_images(tmp_path / "data", counts={"valid": 50}, classes=names, aligned=0.9)
    write_masks(tmp_path / "core", data)
    found = seewhy.audit(
        classifier_of(Steps(3, core=60.0, tint=30.0), names), data, regions=f"core={tmp_path / 'core'},around=not:core",
        core="core", properties="none", progress=False,
    )  # fmt: skip
    cases = {case.effect.contrast.name: case for case in found.cases.singles if case.factor == "around"}
    assert tuple(cases) == names
    assert all(cases[name].effect.probability.low > 0 for name in ("ant", "cow"))
    assert found["around"].numbers["contrast"] in names and "depends" in found["around"].claims


def test_of_many_classes_the_own_one_is_asked_for(tmp_path: Path) -> None:
    names = tuple(f"c{number:02d}" for number in range(12))
    data = write_images(tmp_path / "data", counts={"valid": 30}, classes=names, aligned=0.9)
    write_masks(tmp_path / "core", data)
    regions = f"core={tmp_path / 'core'},around=not:core"
    options = {"regions": regions, "core": "core", "properties": "none", "progress": False, "recipients": 120}
    found = seewhy.audit(classifier_of(Steps(12, core=0.0, tint=200.0), names), data, **options)
    assert found["around"].numbers["contrast"] == "own class" and "depends" in found["around"].claims
    assert found["around"].numbers["margin"]["value"] > 0
    assert "depends" not in found["core"].claims


def test_a_class_may_be_called_own_class(tmp_path: Path) -> None:
    found = []
    for first in ("own class", "owl"):
        data = write_images(tmp_path / first, counts={"valid": 20}, classes=(first, "pig"), aligned=0.9)
        network = classifier_of(Steps(2, core=0.0, tint=200.0), (first, "pig"))
        audit = seewhy.audit(network, data, regions="centre,top-left", properties="none", progress=False)
        found.append([(one.factor, one.level, one.claims, one.numbers["probability"]) for one in audit.findings])
    assert found[0] == found[1]


# What it is given is left as it is.


def state_of(model: nn.Module) -> list[object]:
    return [
        [module.training for module in model.modules()],
        [(one.requires_grad, one.grad is None, one.clone()) for one in model.parameters()],
        [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
        [buffer.clone() for buffer in model.buffers()],
        torch.random.get_rng_state(),
        torch.tensor(np.random.get_state()[1].astype(np.int64)),
    ]


def same(one: object, other: object) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


class Fragile(Reader):
    """Counts its calls; raises from the call `limit` on."""

    def __init__(self, limit: int) -> None:
        super().__init__(tint=10.0)
        self.limit, self.calls = limit, 0
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls > self.limit:
            raise ValueError("broken on purpose")
        return super().forward(self.norm(x) if self.training else x)


@pytest.mark.parametrize("limit", [10**9, 30, 5])
def test_the_network_is_left_as_it_was_found(home: Path, limit: int) -> None:
    model = Fragile(limit)
    model.train()
    model.head.weight.requires_grad_(False)
    calls: list[int] = []
    model.look.register_forward_hook(lambda *_: calls.append(1))
    before = state_of(model)
    run: Callable[[], object] = lambda: audit_of(home, model, properties="brightness")  # noqa: E731
    if limit == 10**9:
        run()
    else:
        with pytest.raises(ValueError, match="broken on purpose"):
            run()
    assert same(before, state_of(model)) and model.training


# The size of a batch.


def test_the_size_of_a_batch_changes_nothing(home: Path) -> None:
    found = [
        audit_of(home, Reader(core=20.0, tint=20.0), properties="tint", batch_size=size, recipients=30)
        for size in (1, 7, 64)
    ]
    told = [[(one.factor, one.level, one.claims, one.members) for one in each.findings] for each in found]
    assert told[0] == told[1] == told[2]
    for one, other in ((found[0], found[1]), (found[0], found[2])):
        for mine, theirs in zip(one.cases.singles, other.cases.singles, strict=True):
            assert mine.value == pytest.approx(theirs.value, abs=1e-5)
            assert mine.effect.margin.value == pytest.approx(theirs.effect.margin.value, abs=1e-4)
            assert depends(mine) == depends(theirs)
        for mine, theirs in zip(one.trials.values(), other.trials.values(), strict=True):
            assert np.abs(mine.after.probabilities - theirs.after.probabilities).max() < 1e-5


def test_the_core_of_the_pictures_is_where_the_masks_say(home: Path) -> None:
    found = audit_of(home, Reader())
    mask = found.design.audited.masks["core"][0]
    assert mask[CORE, CORE].eq(255).all() and mask.sum() == 255 * 256

"""Repairs on networks whose every weight is known: what is removed, what a control leaves, and what fails and why."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.cli.app import main
from seewhy.errors import DataError, OptionError, StoreError, WorkError
from seewhy.estimates import wilson
from seewhy.evidence.factors.factor import RegionFactor
from seewhy.evidence.factors.regions import Region
from seewhy.evidence.results.identity import AuditIdentity, identity_of
from seewhy.evidence.results.result import Audit
from seewhy.learn.repair import arms, bench
from seewhy.learn.repair.asked import Asked, RepairOptions, find
from seewhy.learn.repair.others import Others, others_of
from seewhy.learn.repair.readings import CellAccuracy
from seewhy.learn.repair.repair import repair, repair_in_folder, run_repair
from seewhy.learn.repair.repair_folder import RepairFolder
from seewhy.learn.train.fine_tune import Tuning, fine_tuned
from seewhy.store import manifest
from tests.report.pages import Page
from tests.small_images import CORE, write_images, write_masks

QUIET: dict[str, Any] = {"progress": False}
FAST: dict[str, Any] = {"epochs": 4, "rate": 0.1, "batch_size": 32, "progress": False}


class Known(nn.Module):
    """Two features, the brightness of the core and the redness of what surrounds it, and a linear head on them."""

    def __init__(self, core: float = 1.0, surround: float = 1.5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)  # so that there is a grid
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3)[..., None, None])
            self.conv.bias.zero_()
            self.head.weight.copy_(torch.tensor([[core, surround], [-core, -surround]]))
            self.head.bias.zero_()
        self.conv.requires_grad_(False)

    def features(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        core = x[:, :, CORE, CORE].mean(dim=(1, 2, 3)) - 0.5
        outside = torch.ones(x.shape[2:], device=x.device)
        outside[CORE, CORE] = 0
        redness = ((x[:, 0] - x[:, 1]) * outside).sum(dim=(1, 2)) / outside.sum()
        return torch.stack([5 * core, 10 * redness], dim=1)  # the core is learned slowly

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


class Cornered(Known):
    """The core, and how bright the top left corner is, where a mark may lie."""

    def features(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        core = x[:, :, CORE, CORE].mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([20 * core, 4 * (x[:, :, :6, :6].mean(dim=(1, 2, 3)) - 0.5)], dim=1)


class TwoCorners(Known):
    """The core, and the redness of two corners, each with its own weight."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[1.0, 0.8, 0.8], [-1.0, -0.8, -0.8]]))
            self.head.bias.zero_()

    def features(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        red = x[:, 0] - x[:, 1]
        core = x[:, :, CORE, CORE].mean(dim=(1, 2, 3)) - 0.5
        return torch.stack([5 * core, 10 * red[:, :6, :6].mean(dim=(1, 2)), 10 * red[:, -6:, -6:].mean(dim=(1, 2))], 1)


class Frozen(Known):
    """The same network without a parameter to train."""

    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


class Curved(Known):
    """The same answers, but not from a linear layer."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = super().forward(x)
        return 3 * torch.tanh(logits / 3)


def audited(data: Path, model: nn.Module, **options: Any) -> Audit:
    classifier = seewhy.load(model, classes=["cat", "dog"])
    asked = {"regions": ["centre", "surround=not:centre"], "core": "centre", "properties": ["contrast"], **QUIET}
    return seewhy.audit(classifier, data, **{**asked, **options})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A core that tells the classes apart, and a surround that goes with them in eight of ten images."""
    return write_images(tmp_path_factory.mktemp("repair") / "data", counts={"train": 110, "valid": 60}, aligned=0.8)


@pytest.fixture(scope="module")
def audit(data: Path) -> Audit:
    return audited(data, Known())


def test_an_exchange_beats_plain_fine_tuning_and_the_network_is_left_as_found(audit: Audit, tmp_path: Path) -> None:
    network = audit.design.plan.classifier.model
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    found = repair(audit, "surround", ways="exchange", out=tmp_path / "repair", **{**FAST, "epochs": 2})
    assert found.is_proved and found.way == "exchange" and set(found.margins) == {"plain", "unrelated"}
    assert all(margin.low > 0 for margin in found.margins.values()) and found.seeds == 3
    assert found.arms["repaired"].mean < 0.5 * found.arms["before"].mean
    assert found.headline.startswith("surround: exchange beats its control")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    stored = json.loads((tmp_path / "repair" / "repair.json").read_text())
    assert stored["proved"] and stored["margins"]["plain"]["low"] > 0 and stored["images"] == 60
    loaded = seewhy.load(Known(), weights=tmp_path / "repair" / "model.pt", classes=["cat", "dog"]).model
    assert found.network is not None
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, found.network.state_dict()[name])
    weights = loaded.state_dict()["head.weight"]
    assert abs(float(weights[0, 1] - weights[1, 1])) < 0.6 * 3.0  # of the surround's own weight


def test_two_findings_are_repaired_together_each_with_its_proof(data: Path, tmp_path: Path) -> None:
    """Of one alone the network turns to the other, which is said with what to type."""
    audit = audited(data, TwoCorners(), regions=["centre", "top-left", "bottom-right"])
    options: dict[str, Any] = {**FAST, "ways": "exchange", "anyway": True}
    alone = repair(audit, "top-left", **options)
    other = next(other for other in alone.others if other.factor == "bottom-right")
    assert abs(other.after) > 0.8 * abs(other.before)
    (note,) = [note for note in alone.notes if note.startswith("Not asked for, though the audit told it")]
    assert re.search(r"bottom-right on P\(cat\) \d+\.\d → \d+\.\d points\.", note)
    assert note.endswith("To repair them together:  --finding top-left,bottom-right  and another --out")

    found = repair(audit, "top-left, bottom-right", out=tmp_path / "repair", **options)
    (proof,) = found.further
    assert found.is_proved and (found.factor, proof.factor) == ("top-left", "bottom-right")
    assert found.arms["repaired"].mean < 0.5 * found.arms["before"].mean
    assert proof.means["repaired"] < 0.5 * proof.means["before"] and proof.margins[proof.closest].low > 0
    assert set(proof.means) == set(found.arms) and set(proof.margins) == set(found.margins)
    assert not {"top-left", "bottom-right"} & {other.factor for other in found.others}
    assert not [note for note in found.notes if "Not asked for" in note]
    (said,) = [line for line in found.lines() if line.startswith("bottom-right, asked with it: ")]
    assert "points of P(" in said and "beats its control" in said
    assert "together with bottom-right" in found.words
    assert re.search(r"top-left: exchange beats its control .*; bottom-right: it beats its own by ", found.headline)
    assert repr(found).startswith("<Repair of top-left and bottom-right>")
    stored = json.loads((tmp_path / "repair" / "repair.json").read_text())
    assert stored["further"][0]["means"] == pytest.approx(proof.means) and "further" in stored["tried"][0]
    with pytest.raises(StoreError, match="holds another run"):
        repair(audit, "top-left", out=tmp_path / "repair", **options)


@pytest.fixture(scope="module")
def without_core(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """Nothing tells the classes apart but two corners, one better than the other."""
    data, rng = tmp_path_factory.mktemp("corners") / "data", np.random.default_rng(0)
    for split, count in {"train": 80, "valid": 60}.items():
        for label in ("cat", "dog"):
            (data / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(90, 160, (32, 32, 3)).astype(np.uint8)
                for at, goes_with in ((slice(0, 6), 0.9), (slice(-6, None), 0.95)):
                    is_red = (label == "cat") == (rng.random() < goes_with)
                    pixels[at, at, 0] = 230 if is_red else 40
                PIL.Image.fromarray(pixels).save(data / split / label / f"{number}.png")
    return audited(data, TwoCorners(), regions=["centre", "top-left", "bottom-right"], properties=["none"])


@pytest.mark.parametrize("order", [("top-left", "bottom-right"), ("bottom-right", "top-left")])
def test_where_only_a_further_shortcut_is_left_nothing_else_is_learned(
    without_core: Audit, order: tuple[str, str]
) -> None:
    """With the first one changed alone the other still tells the classes, so that all are changed at once."""
    options: dict[str, Any] = {**FAST, "rate": 0.01, "ways": "exchange", "anyway": True}
    found = repair(without_core, order, **options)
    assert any(reason.startswith("Nothing else is shown to be learned") for reason in found.reasons)
    together = found.arms["repaired"].exchanged
    assert together.low <= 0.5 and f"where {order[0]} and {order[1]} are another image's" in "".join(found.lines())
    alone = repair(without_core, order[0], **options).arms["repaired"].exchanged
    assert alone.value > together.value + 0.2


def test_a_property_that_rises_in_the_core_alone_is_told_so_and_may_where_the_audit_told_it_with_the_core(
    data: Path,
) -> None:
    """Brightness is read in the core alone, and more of it once the surround says nothing."""
    audit = audited(data, Known(), properties=["brightness"])
    options: dict[str, Any] = {**FAST, "epochs": 2}
    found = repair(audit, "surround", ways="exchange", **options)
    (brightness,) = [other for other in found.others if other.factor == "brightness"]
    assert brightness.said == "rose" and brightness.is_inside and not brightness.may_rise
    assert found.reasons == ("What else rose instead: brightness (in the core alone).",)

    centre = next(finding for finding in audit.findings if finding.factor == "centre")
    findings = [
        replace(finding, members=("brightness",)) if finding is centre else finding for finding in audit.findings
    ]
    asked = find(audit.design, [vars(finding) for finding in findings], "surround")
    assert asked.of_core == ("brightness",)
    told = run_repair(asked, RepairOptions(("exchange",), tuning=Tuning(epochs=2, rate=0.1, batch_size=32)))
    assert told.is_proved and any(
        "Told with the core by the audit, and no more outside" in line for line in told.lines()
    )
    shortcut = [replace(one, claims=("depends", "shortcut")) if one.factor == "brightness" else one for one in findings]
    assert find(audit.design, [vars(one) for one in shortcut], "surround").of_core == ()


@pytest.mark.parametrize(
    ("name", "changed", "is_inside"),
    [("tint", Known(core=0.3, surround=1.5), False), ("brightness", Known(core=3.0, surround=0.0), True)],
)
def test_where_a_property_rose_is_told_by_its_exchange_outside_of_the_core(
    data: Path, name: str, changed: nn.Module, is_inside: bool
) -> None:
    audit = audited(data, Known(core=0.3, surround=0.0), properties=["brightness", "tint"])
    asked = find(audit.design, [vars(one) for one in audit.findings], "surround", anyway=True)
    work = bench.Bench(
        asked, RepairOptions(("exchange",)), RepairFolder(None, audit.design, {}), lambda done, total: None
    )
    (rise,) = others_of(work.prover.only(name), changed)
    assert rise.said == "rose" and not rise.is_inside
    beside = Others(asked, work.prover, asked.factors, uses=4)
    assert beside.beside_core(rise, beside._outside(name, changed)).is_inside is is_inside
    assert beside.most_passes == 2 * 2 * (60 + 8 * 60)  # of two properties, before and after


def test_a_further_effect_that_is_not_taken_out_fails_the_repair(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange of the first alone, as if it were of both."""
    audit = audited(data, TwoCorners(), regions=["centre", "top-left", "bottom-right"])
    whole = bench.Bench._job
    monkeypatch.setattr(bench.Bench, "_job", lambda self, held: replace(whole(self, held), further=()))
    found = repair(audit, ["top-left", "bottom-right"], ways="exchange", anyway=True, **FAST)
    assert not found.is_proved
    assert any(reason.startswith("bottom-right: It is not shown to leave less than its") for reason in found.reasons)


def test_a_repair_that_was_killed_goes_on_to_the_same_result(audit: Audit, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def after_three(done: int, total: int) -> None:
        if done == 3:
            raise Killed

    options = {**FAST, "ways": "consistency", "epochs": 2}
    whole = repair(audit, "surround", out=tmp_path / "whole", **options)
    with pytest.raises(Killed):
        repair(audit, "surround", out=tmp_path / "killed", **{**options, "progress": after_three})
    made = sorted(path.name for path in (tmp_path / "killed" / "parts").iterdir())
    assert made == ["consistency-0.pt", "consistency-1.pt"]
    again = repair(audit, "surround", out=tmp_path / "killed", **options)
    assert again.summary() == whole.summary()
    files = [(tmp_path / name / "model.pt").read_bytes() for name in ("whole", "killed")]
    assert files[0] == files[1] and not (tmp_path / "killed" / "parts").exists()
    with pytest.raises(StoreError, match="holds another run: seed"):
        repair(audit, "surround", out=tmp_path / "killed", seed=5, **options)


def test_without_training_the_last_layer_loses_the_factor(audit: Audit) -> None:
    found = repair(audit, "surround", ways=["last-layer", "projection"], **FAST)
    assert found.way in ("last-layer", "projection") and found.seeds == 9 and set(found.margins) == {"scrambled"}
    assert {one.way for one in found.tried} == {"last-layer", "projection"} and not found.refused
    assert abs(found.arms["repaired"].mean) < 0.4 * found.arms["before"].mean
    assert any("Chosen on the other half" in line for line in found.lines())
    assert [cell.count for cell in found.cells] == [22, 88, 88, 22]  # 8 of 10 go with the class
    assert "add 66 of cat where surround speaks against cat" in found.collect
    assert "surround" in found._repr_html_() and repr(found).startswith("<Repair of surround>")


def test_a_gate_takes_the_factor_away_where_it_is_present_and_comes_back_from_the_folder(
    audit: Audit, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def after_three(done: int, total: int) -> None:
        if done == 3:
            raise Killed

    folder = tmp_path / "repair"
    with pytest.raises(Killed):
        repair(audit, "surround", ways="gated", out=folder, **{**FAST, "progress": after_three})
    assert {"gated-0.pt"} < {path.name for path in (folder / "parts").iterdir()}
    found = repair(audit, "surround", ways="gated", out=folder, **FAST)
    assert (
        found.way == "gated" and set(found.margins) == {"scrambled"} and "where surround speaks for cat" in found.words
    )
    assert found.margins["scrambled"].low > 0 and found.arms["repaired"].mean < 0.6 * found.arms["before"].mean
    assert "a gate in front of head" in found.lines()[-1] and "with_gates(network, state)" in found.lines()[-1]
    before, inputs = audit.design.plan.classifier.model, torch.rand(64, 3, 32, 32)
    loaded = seewhy.load(Known(), weights=folder / "model.pt", classes=["cat", "dog"]).model
    assert found.network is not None
    with torch.no_grad():
        assert torch.equal(loaded(inputs), found.network(inputs))
        is_kept = (loaded(inputs) == before(inputs)).all(dim=1)
    red = before.features(inputs)[:, 1]  # what it leaves is as it was; what it changes says more of the surround
    assert 0 < int(is_kept.sum()) < 64 and float(red[is_kept].max()) < float(red[~is_kept].min())


def bright_corner(folder: Path) -> str:
    """A mark: the top left corner white, compared with a black one."""
    white, black = np.zeros((32, 32, 4), np.uint8), np.zeros((32, 32, 4), np.uint8)
    white[:6, :6], black[:6, :6, 3] = 255, 255
    for name, pixels in (("white", white), ("black", black)):
        PIL.Image.fromarray(pixels).save(folder / f"{name}.png")
    return f"logo={folder / 'white.png'}@full:{folder / 'black.png'}"


def test_a_mark_is_repaired_by_laying_it_over_images_of_any_class(data: Path, tmp_path: Path) -> None:
    mark = bright_corner(tmp_path)
    few = {"recipients": 20, "donors": 20, "regions": ["centre"], "properties": ["none"]}
    marked = audited(data, Cornered(), marks=[mark], **few)
    assert next(one for one in marked.findings if one.factor == "logo").claims == ("depends",)
    found = repair(marked, "logo", ways="exchange", **{**FAST, "epochs": 2})
    assert found.is_proved and found.is_mark and found.donors == 0, found.reasons
    assert abs(found.arms["repaired"].mean) < 0.2 * abs(found.arms["before"].mean) and found.cells == ()
    assert {cell.group for cell in found.arms["repaired"].cells} == {"the mark is left out", "the mark is laid over"}
    assert [other.factor for other in found.others] == ["centre"]
    said = " ".join(found.lines())
    assert "with logo laid over" in said and "donor" not in found.headline and "made by laying the mark over" in said


def test_without_train_a_mark_is_taken_out_by_what_half_of_the_images_show(tmp_path: Path) -> None:
    """What a mark does to an image needs no label and no other image of its class; a region does."""
    data = write_images(tmp_path / "data", counts={"valid": 60})
    marked = audited(data, Cornered(), marks=[bright_corner(tmp_path)], recipients=60, donors=60)
    found = repair(marked, "logo", ways="exchange", **FAST)
    assert found.is_proved and abs(found.arms["repaired"].mean) < 0.3 * abs(found.arms["before"].mean), found.reasons
    assert any(note.startswith("There is no split to learn from") for note in found.notes)
    with pytest.raises(DataError, match="no such two splits"):
        repair(marked, "surround", anyway=True, ways="exchange", **FAST)


def test_a_budget_tries_the_cheapest_ways_first_and_says_what_it_leaves_out(audit: Audit, tmp_path: Path) -> None:
    asked: dict[str, Any] = {**FAST, "ways": "exchange,last-layer,projection", "out": tmp_path / "repair"}
    with pytest.raises(OptionError, match=r"the cheapest way \(projection\) needs") as refused:
        repair(audit, "surround", budget=100, **asked)
    enough = int(re.findall(r"Type:  --budget (\d+)", str(refused.value))[0])
    found = repair(audit, "surround", budget=enough, **asked)  # in the folder that the refusal has left empty
    assert [one.way for one in found.tried] == ["projection"] and set(found.refused) == {"exchange", "last-layer"}
    assert f"--budget is {enough:,}" in found.refused["exchange"]
    assert any("Not tried: exchange, since it needs" in line for line in found.lines())


def test_groups_named_by_a_column_are_those_of_the_column(data: Path, tmp_path: Path) -> None:
    rows = []
    for split in ("train", "valid"):
        for path in sorted((data / split).rglob("*.png")):
            pixels = np.asarray(PIL.Image.open(path), dtype=np.float64)
            red = "red" if (pixels[:6, :, 0] - pixels[:6, :, 1]).mean() > 0 else "green"
            rows.append(f"{path},{path.parent.name},{split},{red}")
    table = tmp_path / "images.csv"
    table.write_text("\n".join(["path,label,split,surround", *rows]) + "\n")
    of_table = audited(table, Known())
    found = repair(of_table, "surround", ways="projection", groups="surround", **FAST)
    assert [(cell.group, cell.count) for cell in found.cells[:2]] == [
        ("surround is green", 22),
        ("surround is red", 88),
    ]
    with pytest.raises(OptionError, match=r"There is no column 'surroundings'.  Nearest: surround"):
        repair(of_table, "surround", groups="surroundings", **FAST)


def test_what_cannot_be_repaired_says_so(tmp_path: Path) -> None:
    """The core says nothing in these images, and the surround all."""
    data = write_images(tmp_path / "all", counts={"train": 40, "valid": 40}, aligned=1.0)
    found = repair(audited(data, Known(core=0.0, surround=3.0)), "surround", ways="exchange", anyway=True, **FAST)
    assert not found.is_proved and any("Nothing else is shown to be learned" in reason for reason in found.reasons)
    assert any(line.startswith("The repair failed:") for line in found.lines())
    last = repair(audited(data, Known()), "surround", ways="last-layer,projection", anyway=True, **FAST)
    assert not last.is_proved and last.reasons[0].startswith("No way could be tried: last-layer")
    assert all("fewer than 20 images of a class in one" in why for why in last.refused.values())
    assert last.network is None and last.headline.startswith("surround: no repair, since no way")


def test_networks_that_a_way_does_not_fit_are_refused_with_the_reason(data: Path) -> None:
    frozen = repair(audited(data, Frozen()), "surround", ways="exchange,projection", **FAST)
    assert "frozen" in frozen.refused["exchange"] and frozen.way == "projection"
    curved = repair(audited(data, Curved()), "surround", ways="last-layer,projection", **FAST)
    assert set(curved.refused) == {"last-layer", "projection"}
    assert "not the output of one linear layer" in curved.refused["projection"]


def repainted(path: Path) -> None:
    pixels = np.asarray(PIL.Image.open(path)).copy()
    pixels[:3] = 255 - pixels[:3]
    PIL.Image.fromarray(pixels).save(path)


def test_a_folder_is_refused_once_any_image_that_teaches_has_changed(tmp_path: Path) -> None:
    """Though the audit has looked at few of them."""
    data = write_images(tmp_path / "data", counts={"train": 40, "valid": 24}, aligned=0.7)
    audit = audited(data, Known(), recipients=16, donors=16, core=())
    audited_ids = {image.id for image in audit.design.samples["train"].images}
    unseen = [
        path for path in sorted((data / "train").rglob("*.png")) if str(path.relative_to(data)) not in audited_ids
    ]
    options: dict[str, Any] = {**FAST, "ways": "projection", "anyway": True, "out": tmp_path / "repair"}
    first = repair(audit, "surround", **options)
    assert unseen and repair(audit, "surround", **options).summary() == first.summary()
    repainted(unseen[0])
    with pytest.raises(StoreError, match="holds another run: of other images"):
        repair(audit, "surround", **options)


def test_a_folder_is_refused_once_a_mask_that_the_audit_did_not_draw_has_changed(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"train": 40, "valid": 24}, aligned=0.7)
    masks = write_masks(tmp_path / "masks", data)
    few: dict[str, Any] = {"recipients": 16, "donors": 16, "core": (), "regions": [f"core={masks}"]}
    audit = audited(data, Known(), **few)
    drawn = {Path(image.id).with_suffix("") for image in audit.design.samples["train"].images}
    files = sorted((masks / "train").rglob("*.png"))
    unseen = [path for path in files if path.relative_to(masks).with_suffix("") not in drawn]
    options: dict[str, Any] = {**FAST, "ways": "projection", "anyway": True, "out": tmp_path / "repair"}
    repair(audit, "core", **options)
    PIL.Image.new("L", (32, 32), 255).save(unseen[0])
    with pytest.raises(StoreError, match="holds another run: of other masks"):
        repair(audit, "core", **options)


def test_a_folder_is_refused_once_the_column_of_groups_says_other_things(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"train": 40, "valid": 24}, aligned=0.7)
    paths = sorted(data.rglob("*.png"))
    kept = []
    for shift in (0, 1):
        rows = [f"{path},{path.parent.name},{path.parts[-3]},{'ab'[(at + shift) % 2]}" for at, path in enumerate(paths)]
        (tmp_path / "images.csv").write_text("\n".join(["path,label,split,site", *rows]) + "\n")
        asked = find_asked(audited(tmp_path / "images.csv", Known(), recipients=16, donors=16, core=(), columns="none"))
        kept.append((asked, RepairOptions(("projection",), groups="site")))
    made = repair_in_folder(*kept[0], tmp_path / "repair")
    assert repair_in_folder(*kept[0], tmp_path / "repair") == made
    with pytest.raises(StoreError, match="the column of --groups says other things"):
        repair_in_folder(*kept[1], tmp_path / "repair")


def test_an_audit_of_other_images_says_so_and_not_how_many_go_at_once(audit: Audit) -> None:
    asked = manifest.as_json(identity_of(audit.design))
    one_less = {**asked["images"], "train": {**asked["images"]["train"], "count": 219}}
    identity = AuditIdentity(asked)
    assert identity.differing({**asked, "images": one_less, "batch_size": 7}) == ["of other images"]
    (said,) = identity.differing({**asked, "batch_size": 7})
    assert said.startswith("--batch-size: 7 there")


def find_asked(audit: Audit) -> Asked:
    return find(audit.design, [vars(one) for one in audit.findings], "surround", anyway=True)


def test_images_that_stand_in_valid_too_are_not_learned_from(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"train": 40, "valid": 24}, aligned=0.7)
    for label in ("cat", "dog"):
        for path in sorted((data / "valid" / label).glob("*.png"))[:5]:
            shutil.copy(path, data / "train" / label / f"again_{path.name}")
    few = {"recipients": 16, "donors": 16, "core": (), "regions": ["surround=not:centre"]}
    found = repair(audited(data, Known(), **few), "surround", ways="projection", anyway=True, **FAST)
    assert any("80 of train taught" in note for note in found.notes)
    assert any("Left out of train: 10 images that stand in valid, too" in note for note in found.notes)


def test_a_network_that_was_tried_in_memory_is_not_trained_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []

    def counted(*given: Any, seed: int, **options: Any) -> nn.Module:
        seeds.append(seed)
        return fine_tuned(*given, seed=seed, **options)

    monkeypatch.setattr(arms, "fine_tuned", counted)
    few = {"recipients": 16, "donors": 16, "core": (), "regions": ["surround=not:centre"]}
    repair(audited(data, Known(), **few), "surround", ways="exchange", anyway=True, **{**FAST, "epochs": 1})
    assert len(seeds) == 9  # three arms of three networks


def test_a_repair_under_inference_mode_trains_all_the_same(data: Path) -> None:
    few = {"recipients": 16, "donors": 16, "core": (), "regions": ["surround=not:centre"]}
    network = Known()
    with torch.inference_mode():
        found = repair(audited(data, network, **few), "surround", ways="exchange", anyway=True, **{**FAST, "epochs": 1})
    assert not found.tried[0].error and found.network is not None


def test_cells_of_too_few_images_are_named_with_what_is_right(audit: Audit) -> None:
    found = repair(audit, "surround", ways="projection", **FAST)
    few = replace(found, arms={name: replace(arm, cells=(few_of(arm.cells[0]),)) for name, arm in found.arms.items()})
    told = "with fewer than 10 images: 7 of cat where surround speaks against cat (right: 3 before, "
    assert told in few.too_few and few.too_few in few.lines() and few.summary()["too_few"] == few.too_few
    many = replace(found, arms={name: replace(arm, cells=()) for name, arm in found.arms.items()})
    assert many.too_few == ""


def few_of(cell: CellAccuracy) -> CellAccuracy:
    return replace(cell, accuracy=wilson(3, 7))


class Detached(Known):
    """The same network, whose code lets no gradient through to its parameters."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = super().forward(x)
        return logits.detach()


class Wild(Known):
    """The same answers, until the first step of a training changes its bias."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = super().forward(x)
        return logits * (1e4 * self.head.bias.abs().sum()).exp()


def test_a_loss_that_is_no_number_and_code_that_cannot_be_trained_are_told_with_what_to_type(
    data: Path,
) -> None:
    few = {"recipients": 20, "donors": 20, "regions": ["surround=not:centre"], "core": ()}
    wild = repair(audited(data, Wild(), **few), "surround", ways="exchange", anyway=True, **FAST)
    assert not wild.is_proved and wild.network is None
    (why,) = wild.reasons
    assert "became NaN or infinite" in why and "Take smaller steps, in a new folder: --rate 0.01 --out NAME" in why
    closed = repair(audited(data, Detached(), **few), "surround", ways="exchange,projection", anyway=True, **FAST)
    tried = {one.way: one.error for one in closed.tried}
    assert tried["exchange"].startswith("Detached ran, but cannot be trained:") and closed.way == "projection"
    assert any(line.startswith("Chosen on the other half") and "exchange failed: " in line for line in closed.lines())


class Asking(Known):
    """The same answers; in training its code wants what nobody gives, and fails by an error of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: Any = None

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            assert self.wanted is not None, "targets are needed"
        return super().forward(x)

    def get_extra_state(self) -> dict[str, str]:
        return {"made": "by hand"}  # no tensor

    def set_extra_state(self, state: dict[str, str]) -> None:
        assert state == {"made": "by hand"}


def test_code_that_fails_in_training_by_any_error_leaves_the_ways_that_train_nothing(
    data: Path, tmp_path: Path
) -> None:
    few = {"recipients": 20, "donors": 20, "regions": ["surround=not:centre"], "core": ()}
    asked = {**FAST, "ways": "exchange,projection", "anyway": True}
    asking = repair(audited(data, Asking(), **few), "surround", out=tmp_path / "run", **asked)
    (error,) = (one.error for one in asking.tried if one.way == "exchange")
    assert "Asking ran, but cannot be trained: AssertionError: targets are needed" in error
    assert asking.way == "projection" and (tmp_path / "run" / "model.pt").exists()


def test_a_network_of_the_proof_that_diverges_is_named_and_leaves_the_next_way(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"recipients": 20, "donors": 20, "regions": ["surround=not:centre"], "core": ()}

    def shaky(*given: Any, seed: int, **options: Any) -> nn.Module:
        if seed == 2:
            raise WorkError("The loss became NaN.", slug="diverged")
        return fine_tuned(*given, seed=seed, **options)

    monkeypatch.setattr(arms, "fine_tuned", shaky)
    asked = {**FAST, "epochs": 1, "anyway": True}
    tried = audited(data, Known(), **few)
    alone = repair(tried, "surround", ways="exchange", **asked)
    assert not alone.is_proved and alone.network is None
    assert "exchange (in the proof, exchange, seed 2: The loss became NaN.)" in alone.reasons[0]
    monkeypatch.setattr(bench, "_best", lambda tries: next((k for k, one in enumerate(tries) if not one.error), None))
    both = repair(tried, "surround", ways="exchange,projection", **asked)
    assert both.way == "projection" and both.tried[0].error.startswith("in the proof, exchange, seed 2:")


@pytest.mark.parametrize(
    ("finding", "options", "said"),
    [
        ("centre", {}, "is no shortcut .*intended"),
        (9, {}, r"There is no finding 9\.\n  The audit has: 1 .*\.\n  Type:  --finding 1"),
        ("tint", {}, r"There is no finding tint\."),
        ("surond", {}, r"There is no finding surond\.  Nearest: surround\.\n  The audit has: 1 "),
        ("surround", {"seeds": 2}, "at least 3 networks"),
        ("surround", {"ways": "exchnage"}, "Nearest: exchange"),
        ("surround", {"ways": ""}, r"No way was named\.\n  Ways: exchange, "),
        ("surround", {"ways": []}, r"No way was named\.\n  Ways: exchange, "),
        ("surround", {"rate": 0.0}, "must be above 0 and at most 1"),
        ("surround", {"rate": 1e38}, r"--rate is 1e\+38, but must be"),
        ("surround", {"budget": 0}, "at least 1 image through a network"),
    ],
    ids=[
        "intended",
        "number",
        "factor",
        "typing error",
        "seeds",
        "way",
        "no way",
        "none",
        "rate",
        "large rate",
        "budget",
    ],
)
def test_bad_input_says_what_to_type(finding: int | str, options: dict[str, Any], said: str, audit: Audit) -> None:
    with pytest.raises(OptionError, match=said):
        repair(audit, finding, **{**FAST, **options})


def test_a_repair_needs_train_beside_valid(data: Path) -> None:
    with pytest.raises(DataError, match="learns from train and is proved on valid"):
        repair(audited(data / "valid", Known()), "surround", **FAST)


def test_the_finding_can_be_told_by_its_number(audit: Audit) -> None:
    findings = [vars(one) for one in audit.findings]
    numbered = [find(audit.design, findings, at, anyway=True).factor for at in (1, 2)]
    assert sorted(numbered) == ["centre", "surround"]
    assert find(audit.design, findings, str(1 + numbered.index("surround"))).claims == ("depends", "shortcut")
    assert replace(find(audit.design, findings, "surround"), level="") is not None


def test_several_findings_are_named_by_number_or_factor_each_once(audit: Audit) -> None:
    findings = [vars(one) for one in audit.findings]
    wholes: list[Any] = ["surround,centre", " centre , surround", ["surround", "centre"], "1,2,surround", (1, 2)]
    for whole in wholes:
        assert {*find(audit.design, findings, whole, anyway=True).factors} == {"surround", "centre"}
    assert find(audit.design, findings, "surround,centre", anyway=True).factors == ("surround", "centre")
    by_numpy: Any = np.int64(1)
    assert find(audit.design, findings, by_numpy, anyway=True).factors == (str(findings[0]["factor"]),)
    nothing: Any = None
    with pytest.raises(OptionError, match="There is no finding None"):
        find(audit.design, findings, nothing)
    with pytest.raises(OptionError, match="There is no finding nothing"):
        find(audit.design, findings, "surround,nothing", anyway=True)
    with pytest.raises(OptionError, match=r"no shortcut"):
        find(audit.design, findings, "surround,centre")
    with pytest.raises(OptionError, match="There is no finding"):
        find(audit.design, findings, [])
    comma = [{**one, "factor": "a,b"} if one["factor"] == "surround" else one for one in findings]
    named = Region("a,b", "here", draw=lambda canvas: None, fixed=False)
    regions = (*audit.design.factors, RegionFactor(named))
    assert find(replace(audit.design, factors=regions), comma, "a,b", anyway=True).factors == ("a,b",)


def test_a_factor_is_found_under_the_finding_that_its_title_names(audit: Audit) -> None:
    findings = [vars(finding) for finding in audit.findings]
    surround = next(finding for finding in findings if finding["factor"] == "surround")
    told = {**surround["numbers"], "contrast": "dog"}
    held = {"centre": {"value": -0.015}, "tint": {"value": 0.03}}
    numbers = {**surround["numbers"], "members": {"centre": told, "tint": told}, "held": held}
    named = [{**surround, "members": ("centre", "tint"), "alternatives": ("centre",), "numbers": numbers}]
    asked = find(audit.design, named, "centre")
    assert (asked.factor, asked.contrast, asked.claims) == ("centre", "dog", surround["claims"])
    assert asked.same_cause == ("surround", "tint") and asked.wholly_it == ()  # what is left was measured with surround
    assert find(audit.design, named, "surround").wholly_it == ("centre",)
    assert find(audit.design, named, "surround").same_cause == ("centre", "tint")
    assert find(audit.design, named, "surround").factor == find(audit.design, named, 1).factor == "surround"
    both = find(audit.design, named, "surround,centre")  # what these data cannot tell apart can be asked together
    assert both.factors == ("surround", "centre") and both.further[0].contrast == "dog" and both.not_asked == ()
    with pytest.raises(
        OptionError, match=r"tint has no finding of its own: it is told in finding 1, surround(.|\n)*--finding 1"
    ):
        find(audit.design, named, "tint")


def test_a_folder_is_no_audit() -> None:
    with pytest.raises(OptionError, match=r"got 'runs/audit'(.|\n)*seewhy repair RUN --finding 1"):
        repair("runs/audit", 1)  # type: ignore[arg-type]


def test_checkpoints_are_not_mixed_with_a_run(audit: Audit, data: Path, tmp_path: Path) -> None:
    audit.save(tmp_path / "run")
    with pytest.raises(StoreError, match="holds a run, and checkpoints do not belong among its files"):
        seewhy.train(Known(), data, epochs=1, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "Known").exists()


def test_the_command_repairs_what_an_audit_found(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def typed(*words: str) -> str:
        with pytest.raises(SystemExit) as left:
            main(list(words))
        return f"{left.value.code} {capsys.readouterr()}"

    monkeypatch.chdir(data.parent)
    known = ["--model", "tests.learn.test_repair:Known", "--classes", "cat,dog", "--device", "cpu"]
    chosen = ["--regions", "centre,surround=not:centre", "--core", "centre", "--properties", "none", "--no-report"]
    run = str(tmp_path / "audit")
    said = typed("audit", "data", *known, *chosen, "--workers", "1", "--out", run)
    assert said.startswith(("0", "None")), said
    options = ["--finding", "surround", "--ways", "exchange", "--epochs", "4", "--rate", "0.1"]
    first = typed("repair", run, *options)
    assert "surround: exchange" in first and (tmp_path / "audit-repair" / "model.pt").exists()
    assert f"{tmp_path / 'audit-repair' / 'report' / 'index.html'}" in first.replace("\\n", "")
    assert "seewhy repair" in Page(tmp_path / "audit-repair" / "report" / "index.html").text
    assert "audit-repair" in typed("report", str(tmp_path / "audit-repair"))
    stored = json.loads((tmp_path / "audit-repair" / "repair.json").read_text())
    assert stored["headline"] in typed("repair", run, *options, "--json")  # what is finished is read
    assert "is no shortcut" in typed("repair", run, "--finding", "centre")
    assert "holds another run: a repair of other findings" in typed("repair", run, "--finding", "centre", "--anyway")
    monkeypatch.chdir(tmp_path)
    assert "errors.md#repair-moved" in typed("repair", run, "--finding", "surround")

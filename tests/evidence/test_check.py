"""`seewhy check` from a folder of images to its sentences: on networks whose truth is known, and on the tutorial's."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import seewhy
from seewhy.cli import app as cli
from seewhy.errors import StoreError, WorkError
from seewhy.estimates import Estimate, wilson
from seewhy.evidence.check import check, check_in_folder, check_plan
from seewhy.evidence.checks.swaps import choose_donors
from seewhy.learn.net import Net
from seewhy.store.tables import read_outcomes

NET = """
import torch
from torch import nn

class Warm(nn.Module):
    '''Says "warm" where red outweighs blue.'''

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 2, 1)
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))
"""


class Warm(nn.Module):
    """Says "warm" (class 1) where red outweighs blue."""

    def __init__(self, gain: float = 40.0) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 2, 1)
        self.fc = nn.Linear(2, 2)
        with torch.no_grad():
            self.features.weight.copy_(torch.tensor([[-1.0, 0, 1], [1, 0, -1]]).view(2, 3, 1, 1))
            self.features.bias.zero_()
            self.fc.weight.copy_(torch.eye(2) * gain)
            self.fc.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x).mean((2, 3)))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty noisy pictures a class, bluish and reddish, and a file that is none."""
    home, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for label, shift in (("cold", -1), ("warm", 1)):
        (home / label).mkdir()
        for number in range(40):
            pixels = rng.integers(40, 216, (24, 24, 3)).astype(float)
            strength = rng.uniform(4, 30)
            pixels[..., 0] += shift * strength
            pixels[..., 2] -= shift * strength
            PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(home / label / f"{number:02d}.png")
    (home / "warm" / "broken.png").write_bytes(b"no picture")
    return home


def levels(found: seewhy.Check) -> dict[str, list[str]]:
    return {part: [one.level for one in found.findings if one.part == part] for part in ("works", "fed", "maps")}


def test_a_healthy_classifier_has_a_good_report(photos: Path) -> None:
    model = Warm().train()
    found = check(model, photos, progress=False)
    assert found.behaviour.accuracy is not None and found.behaviour.accuracy.value > 0.95
    assert found.facts["without_result"] == 1 and found.facts["images"] == 81
    assert "bad" not in levels(found)["works"] + levels(found)["fed"]
    assert found.grades.keys() == {"features"}
    (trust, _), *_ = found.graded
    assert trust.completeness_error < 1e-4, "a pooling head is linear"
    assert model.training and all(parameter.grad is None for parameter in model.parameters())


def test_maps_are_compared_with_swapped_places_and_the_numbers_are_kept(photos: Path) -> None:
    found = check(Warm(), photos, progress=False)
    stored = json.loads(json.dumps(found.summary(), allow_nan=False))["maps"][0]["faithful"]
    assert stored["n_images"] == 30 and stored["cells"] == [7, 7] and stored["n_donors"] == 4
    assert stored["direction"]["of_map"]["value"] > 0.5, "each place adds its own warmth to the score"
    assert stored["direction"]["better_by"]["the centre"]["low"] > 0.3
    assert stored["direction"].keys() == {"of_map", "repeated", "baselines", "better_by"}
    assert found.summary()["thresholds"]["little_better"] > 0
    (said,) = [one for one in found.findings if one.part == "maps"]
    assert said.numbers["faithful"] == "better" and "hold the score up better than" in said.text


def test_donors_are_chosen_by_label_where_there_are_labels(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[object]] = []

    def noted(groups: list[object], *rest: object) -> np.ndarray:
        seen.append(list(groups))
        return choose_donors(groups, *rest)

    monkeypatch.setattr("seewhy.evidence.checks.swaps.choose_donors", noted)
    check(seewhy.load(Warm(), channels="bgr"), photos, progress=False)  # its predictions are the other way round
    assert seen[0] == ["cold"] * seen[0].count("cold") + ["warm"] * seen[0].count("warm")
    assert len(seen[0]) == 63, "one of the 64 cannot be read"
    seen.clear()
    check(Warm(), torch.rand(6, 3, 24, 24), progress=False)
    assert len(seen[0]) == 6 and all(isinstance(one, int) for one in seen[0])


def test_swapped_channels_are_named(photos: Path) -> None:
    wrong = seewhy.load(Warm(), channels="bgr", classes=["warm", "cold"])  # BGR turns red and blue, and so the answer
    found = check(wrong, photos, progress=False)
    assert found.behaviour.accuracy is not None and found.behaviour.accuracy.value > 0.95, "two mistakes cancel"
    swapped = check(seewhy.load(Warm(), channels="bgr", classes=["cold", "warm"]), photos, progress=False)
    assert swapped.behaviour.permutation == ("warm", "cold")
    assert any("--classes warm,cold" in one.todo for one in swapped.findings)


def test_a_wrong_range_is_named_where_the_logits_saturate(photos: Path) -> None:
    class Saturating(Warm):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).clamp(-9, 9).round()  # far too large an input leaves one value a class

    class Drowned(Warm):
        def forward(self, x: Tensor) -> Tensor:
            z = super().forward(x)
            return torch.where(x.mean((1, 2, 3), keepdim=False)[:, None] > 2, torch.zeros_like(z), z)

    fine = check(Saturating(), photos, progress=False)
    assert "bad" not in levels(fine)["fed"]
    found = check(seewhy.load(Drowned(), range="0-255"), photos, progress=False)
    (said,) = [one for one in found.findings if one.part == "fed"]
    assert said.level == "bad" and "--range 0-1" in said.todo
    assert f"n = {80}" in said.text and "Holm over" in said.text


def test_an_image_that_cannot_be_seen_is_found(photos: Path) -> None:
    blind = Warm(gain=0.0)
    found = check(blind, photos, progress=False)
    assert found.behaviour.is_constant and found.is_bad
    assert found.findings[0].level == "bad"


def test_it_says_what_it_cannot_say(photos: Path) -> None:
    inputs = torch.rand(6, 3, 24, 24)
    found = check(Warm(), inputs, progress=False)
    texts = " ".join(one.text for one in found.findings if one.level == "cannot say")
    assert "No image has a label" in texts and "tensors" in texts
    opaque = seewhy.load(Warm(), preprocess=lambda image: torch.full((3, 24, 24), image.getpixel((0, 0))[0] / 255))
    assert "a function" in " ".join(one.text for one in check(opaque, photos, progress=False).findings)


def test_the_same_numbers_in_any_batch(photos: Path) -> None:
    one, many = (check(Warm(), photos, batch_size=size, progress=False).summary() for size in (1, 32))
    assert one["behaviour"]["confusion"] == many["behaviour"]["confusion"]
    assert one["behaviour"]["overconfidence"] == pytest.approx(many["behaviour"]["overconfidence"], abs=1e-5)
    assert [f["text"] for f in one["findings"]] == [f["text"] for f in many["findings"]]


def test_logits_that_are_no_numbers_are_counted_and_nothing_else_is_said_of_them(photos: Path) -> None:
    class Broken(Warm):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * float("nan")

    found = check(Broken(), photos, progress=False)
    assert any("80 of 80 images give NaN" in one.text for one in found.findings)
    assert levels(found) == {"works": ["bad"], "fed": ["cannot say"], "maps": ["bad"]}


def test_one_image_among_hundreds_of_broken_files_is_checked(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number:03d}.png").write_bytes(b"no picture")
    PIL.Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(tmp_path / "002.png")
    found = check(Warm(), tmp_path, progress=False)
    assert found.facts["without_result"] == 199 and found.graded[0][0].n_images == 1


def test_a_few_images_cannot_say_how_well_it_works(photos: Path) -> None:
    found = check(Warm(), photos, sample=4, progress=False)
    assert found.behaviour.accuracy is not None and found.behaviour.accuracy.n <= 4
    assert levels(found)["works"][0] == "cannot say"


def test_progress_goes_from_nothing_to_all(photos: Path) -> None:
    seen: list[tuple[int, int]] = []
    check(Warm(), photos, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and len({total for _, total in seen}) == 1
    assert seen[-1][0] == seen[-1][1]


def test_a_finished_check_is_read_and_another_one_refused(photos: Path, tmp_path: Path) -> None:
    def plan(**options: object) -> seewhy.run.plan.Plan:
        return check_plan(Warm(), photos, **options)

    first = check_in_folder(plan(), tmp_path / "run", seed=0, progress=lambda done, total: None)
    steps: list[int] = []
    again = check_in_folder(plan(), tmp_path / "run", seed=0, progress=lambda done, total: steps.append(done))
    assert again == first and steps == []
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["summary"] == first
    with pytest.raises(StoreError, match=r"another run.*--method"):
        check_in_folder(plan(method="layercam"), tmp_path / "run", seed=0, progress=lambda done, total: None)
    with pytest.raises(StoreError, match="other images"):
        check_in_folder(plan(limit=7), tmp_path / "run", seed=0, progress=lambda done, total: None)


def in_folder(plan: seewhy.run.plan.Plan, folder: Path) -> dict[str, Any]:
    return check_in_folder(plan, folder, seed=0, progress=lambda done, total: None)


def test_the_folder_has_a_row_for_every_image_as_explain_has(photos: Path, tmp_path: Path) -> None:
    in_folder(check_plan(Warm(), photos), tmp_path / "check")
    seewhy.explain(Warm(), photos, out=tmp_path / "explained", progress=False)
    own, explains = (read_outcomes(tmp_path / name / "records.parquet") for name in ("check", "explained"))
    assert len(own) == 81 and [one.image.id for one in own] == [one.image.id for one in explains]
    for mine, other in zip(own, explains, strict=True):
        assert replace(mine, logits=(), probability=None) == replace(other, logits=(), probability=None)
        assert mine.logits == pytest.approx(other.logits, rel=1e-5, abs=1e-5)
        assert mine.probability == pytest.approx(other.probability, abs=1e-5)
    (broken,) = [one for one in own if one.error]
    assert broken.image.id == "warm/broken.png" and broken.digest and broken.error == "no image format that can be read"
    assert (tmp_path / "check" / "records.parquet").exists() and not (tmp_path / "check" / "parts").exists()


def test_the_rows_say_the_accuracy_of_each_split_and_class(photos: Path, tmp_path: Path) -> None:
    for number, label in enumerate(("cold", "warm")):
        for path in sorted((photos / label).glob("?[02468].png" if number else "*.png"))[: 30 + number]:
            target = tmp_path / "data" / ("train" if path.stem < "20" else "valid") / label / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    told = in_folder(check_plan(Warm(), tmp_path / "data"), tmp_path / "run")["behaviour"]
    rows = read_outcomes(tmp_path / "run" / "records.parquet")
    assert set(told["by_split"]) == {"train", "valid"} and set(told["recall"]) == {"cold", "warm"}
    for field, group in (("by_split", "split"), ("recall", "label")):
        for name, estimate in told[field].items():
            judged = [one for one in rows if group == "split" or one.image.split == "valid"]
            right = [one.correct for one in judged if getattr(one.image, group) == name]
            assert wilson(sum(map(bool, right)), len(right)) == Estimate(**estimate)


def test_rows_are_written_some_at_a_time(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_folder(check_plan(Warm(), photos), tmp_path / "once")
    monkeypatch.setattr("seewhy.evidence.checks.readings._ROWS", 7)
    in_folder(check_plan(Warm(), photos), tmp_path / "often")
    once, often = (read_outcomes(tmp_path / name / "records.parquet") for name in ("once", "often"))
    assert once == often and len(once) == 81


@pytest.mark.parametrize("gain", [1.0, float("nan")])
def test_tensors_have_rows_too(tmp_path: Path, gain: float) -> None:
    class Maybe(Warm):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * gain

    in_folder(check_plan(Maybe(), torch.rand(6, 3, 24, 24)), tmp_path / "run")
    rows = read_outcomes(tmp_path / "run" / "records.parquet")
    assert [(one.image.id, one.image.path, one.correct) for one in rows] == [(f"{n:05d}", None, None) for n in range(6)]
    assert {one.error for one in rows} == {None if gain == 1 else "the network gave NaN or infinite logits"}
    assert all((one.width, one.height) == (24, 24) and (one.prediction is None) == bool(one.error) for one in rows)


def test_a_stopped_check_is_made_again(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("seewhy.store.tables.merge", stop)
        in_folder(check_plan(Warm(), photos), tmp_path / "run")
    assert (tmp_path / "run" / "parts").exists()
    in_folder(check_plan(Warm(), photos), tmp_path / "run")
    in_folder(check_plan(Warm(), photos), tmp_path / "straight")
    names = ("manifest.json", "records.parquet")
    one, other = ([(tmp_path / run / name).read_bytes() for name in names] for run in ("run", "straight"))
    assert one == other and not (tmp_path / "run" / "parts").exists()


def test_the_manifest_says_what_it_was_made_with(photos: Path, tmp_path: Path) -> None:
    found = in_folder(check_plan(Warm(), photos), tmp_path / "run")
    assert found["environment"].keys() == {"python", "torch", "numpy", "pillow", "machine", "device"}
    seewhy.explain(Warm(), photos, limit=2, out=tmp_path / "explained", progress=False)
    explained = json.loads((tmp_path / "explained" / "manifest.json").read_text())["summary"]
    assert explained["environment"] == found["environment"]


def test_a_disk_that_is_full_is_said_to_be(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "from a library")

    monkeypatch.setattr("seewhy.store.manifest.finish", full)
    with pytest.raises(WorkError, match=r"Writing to .* failed: No space left"):
        check_in_folder(check_plan(Warm(), photos), tmp_path / "run", seed=0, progress=lambda done, total: None)


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "net.py").write_text(NET)
    torch.save(Warm().state_dict(), tmp_path / "warm.pt")
    monkeypatch.chdir(tmp_path)
    return ["--model", "net.py:Warm", "--weights", "warm.pt"]


def test_the_command_says_it_in_a_dozen_lines(photos: Path, net: list[str]) -> None:
    found = CliRunner().invoke(cli.app, ["check", str(photos), *net])
    assert found.exit_code == 0, found.output
    lines = found.stdout.strip().splitlines()
    assert "81 images (1 cannot be read) of cold, warm" in lines[0]
    assert len(lines) <= 20 and all(len(line) <= 120 for line in lines)
    told = [line.split("  ")[1].strip() for line in lines if line.startswith("  ") and line[2] != " "]
    order = [word for word in told if word in ("BAD", "CAUTION", "CANNOT SAY", "GOOD")]
    assert order == sorted(order, key=["BAD", "CAUTION", "CANNOT SAY", "GOOD"].index), "worst first"


def test_bad_news_is_a_status_only_where_it_is_asked_for(photos: Path, net: list[str]) -> None:
    bad = ["check", str(photos), *net, "--classes", "warm,cold"]
    run = CliRunner().invoke(cli.app, bad)
    assert run.exit_code == 0 and "another order" in run.output.replace("\n            ", " ")
    assert CliRunner().invoke(cli.app, [*bad, "--strict"]).exit_code == 1
    found = json.loads(CliRunner().invoke(cli.app, [*bad, "--json"]).stdout)
    assert found["command"] == "check" and found["findings"][0]["level"] == "bad"
    assert found["behaviour"]["permutation"] == ["cold", "warm"]
    assert found["behaviour"]["confusion"] and found["thresholds"]


def test_explain_warns_before_its_maps_are_read(photos: Path) -> None:
    upside_down = seewhy.load(Warm(), classes=["warm", "cold"])
    notes = seewhy.explain(upside_down, photos, progress=False).notes
    assert any(note.startswith("Accuracy 0.") and "guessing gives 0.5" in note for note in notes)
    assert "seewhy check" in notes[-1]
    assert not any(
        "seewhy check" in note for note in seewhy.explain(Warm(), photos, target=1, progress=False).notes[-1:]
    )


def test_many_images_are_sampled_and_it_is_said(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seewhy.evidence.check.MOST_IMAGES", 30)
    found = check(Warm(), photos, progress=False)
    assert found.facts["images"] == 30 and "30 of 81 images" in found.facts["sampled"]
    assert set(found.behaviour.predictions) == {"cold", "warm"}, "every class keeps its share"
    assert check(Warm(), photos, limit=50, progress=False).facts["images"] == 50


def test_one_class_alone_raises_no_alarm(photos: Path) -> None:
    """A classifier that is right for all images of one folder is no worse than guessing that folder's name."""
    classifier = seewhy.load(Warm(), classes=["cold", "warm"])
    notes = seewhy.explain(classifier, photos / "warm", target="warm", progress=False).notes
    assert not any("guessing" in note for note in notes)
    found = check(classifier, photos / "warm", progress=False)
    assert levels(found)["works"] == ["cannot say"], "a constant answer would be right, too"


def test_the_tutorials_checkpoint_never_says_fake_and_its_maps_follow_brightness(shared: Path) -> None:
    classifier = seewhy.load(Net(), weights=shared / "rvf" / "model_4.pt", classes=["fake", "real"])
    faces = shared / "rvf10k" / "valid"
    found = check(
        classifier, faces, layers=["conv2", "conv3"], target="fake", method="grad-cam", sample=32, progress=False
    )
    assert found.behaviour.collapsed_to == "real"
    assert found.grades == {"conv2": "C", "conv3": "C"}
    by_layer = {trust.layer: trust for trust, _ in found.graded}
    assert min(trust.trivial["brightness"] for trust in by_layer.values()) > 0.7
    assert by_layer["conv3"].empty > 0.2 and by_layer["conv2"].empty == 0
    assert max(trust.with_hirescam for trust in by_layer.values()) < 0.7
    (fed,) = [one for one in found.findings if one.part == "fed"]
    assert fed.level == "cannot say", "so few faces cannot tell how it was fed"


@pytest.mark.slow
def test_the_tutorials_checkpoint_was_fed_another_range(shared: Path) -> None:
    """The known numbers: AUC .574 for 0..255 against .515, and 1,300 faces are enough to name it."""
    classifier = seewhy.load(Net(), weights=shared / "rvf" / "model_4.pt", classes=["fake", "real"])
    found = check(classifier, shared / "rvf10k", layers="conv3", target="fake", progress=False)
    assert found.feeding is not None and found.feeding.n_images == 1300
    assert found.feeding.auc == pytest.approx(0.515, abs=0.001)
    assert [one.name for one in found.feeding.better] == ["0..255"]
    assert found.feeding.better[0].auc == pytest.approx(0.574, abs=0.001)


OWN = """
import torch
from net import Warm


def own():
    network = Warm()
    network.load_state_dict(torch.load("warm.pt", weights_only=True))
    return network
"""


def test_a_network_without_weights_is_said_to_be_random_unless_it_works(photos: Path, net: list[str]) -> None:
    found = check(seewhy.load("net.py:Warm"), photos, progress=False)
    assert any("No weights" in one.text and one.level == "bad" for one in found.findings)
    Path("own.py").write_text(OWN)
    found = check(seewhy.load("own.py:own"), photos, progress=False)
    assert "good" in levels(found)["works"] and not any("No weights" in one.text for one in found.findings)


def test_grey_tensors_and_half_precision_are_checked_too() -> None:
    tail = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), *tail)
    for network in (model, model.to(torch.bfloat16)):
        found = check(network, torch.rand(6, 1, 12, 12), layers="1", progress=False)
        assert found.grades.keys() == {"1"} and found.graded[0][0].with_hirescam == pytest.approx(1, abs=0.01)


def test_a_check_shows_itself(photos: Path) -> None:
    found = check(seewhy.load(Warm(), classes=["<b>", "warm"]), photos, progress=False)
    assert repr(found).startswith("<Check of 81 images; maps: features ")
    page = found._repr_html_()
    assert "<b>" not in page and all(one.level.upper() in page for one in found.findings)
    assert "81 images" in page and "classes &lt;b&gt;, warm" in page and "maps of features: grade " in page

"""Of factors that share an effect the smallest that suffices is told, and a core that is too small is no shortcut."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor

import seewhy
from seewhy.evidence.findings.causes import Cause, Held, _cause, homes_of, led_by
from seewhy.evidence.findings.effects import plain_difference
from seewhy.evidence.inference.differences import difference_of
from seewhy.evidence.trials.contrast import Contrast
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from seewhy.evidence.trials.trial import Scores, Trials
from tests.small_images import (
    CORNER,
    SIDE,
    Reader,
    classifier_of,
    luminance_of,
    parts_of,
    where_core,
    where_corner,
    write_images,
    write_masks,
)

EACH = 60


def held(left: float, error: float, whole: float = 0.2) -> Held:
    difference = difference_of(left, error, 100.0, {0: 60, 1: 60})
    return Held(difference, whole, difference)


def of_one_margin(sizes: dict[str, float]) -> dict[str, dict[str, float]]:
    return dict.fromkeys(sizes, sizes)


DEAD, ALIVE, UNCLEAR = held(0.004, 0.01), held(0.19, 0.01), held(0.06, 0.12)


def relations_of(*explains: str) -> dict[tuple[str, str], Held]:
    """What is left between all of the factors: "a>b" says that a explains b."""
    names = sorted({name for word in explains for name in word.replace(">", "")})
    relations = dict.fromkeys(permutations(names, 2), ALIVE)
    for word in explains:
        cause, _, member = word.partition(">")
        relations[member, cause] = DEAD
    return relations


def test_the_verdicts() -> None:
    assert (DEAD.verdict, ALIVE.verdict, UNCLEAR.verdict) == ("explained", "apart", "open")
    assert held(-0.004, 0.01, -0.2).verdict == "explained"  # of a negative effect
    assert held(0.0, 0.0).verdict == "explained"  # nothing at all is left


@pytest.mark.parametrize(
    ("order", "relations", "homes"),
    [
        ("ab", relations_of("b>a", "a>b"), "bb"),  # each explains the other: the smaller one
        ("ab", relations_of("a>b"), "aa"),  # the smaller one lies in the larger: it is no cause
        ("abc", relations_of("b>a", "c>b"), "ccc"),  # through one that it explains
        ("abc", relations_of("a>b", "a>c"), "aaa"),
        ("ab", dict.fromkeys([("a", "b"), ("b", "a")], ALIVE), "ab"),  # two causes
        ("ab", {("a", "b"): UNCLEAR, ("b", "a"): ALIVE}, "bb"),  # not shown to be a cause of its own
        ("ab", {}, "ab"),  # nothing was tried
    ],
)
def test_the_smallest_that_suffices(order: str, relations: dict[tuple[str, str], Held], homes: str) -> None:
    assert homes_of(list(order), relations, of_one_margin(dict.fromkeys(order, 1.0))) == dict(
        zip(order, homes, strict=True)
    )


def test_what_is_a_picture_itself_explains_no_property_away() -> None:
    sizes = of_one_margin({"picture": 3.0, "tint": 1.0})
    relations = {("tint", "picture"): DEAD, ("picture", "tint"): ALIVE}
    assert homes_of(["picture", "tint"], relations, sizes) == {"picture": "picture", "tint": "picture"}
    within = [("tint", "picture")]
    assert homes_of(["picture", "tint"], relations, sizes, within) == {"picture": "picture", "tint": "tint"}


def test_nothing_is_explained_through_a_picture_that_holds_it() -> None:
    """All of the surround explains the picture, and the picture holds the tint; but the tint acts in the core, too."""
    half = held(0.08, 0.01)
    order = ["picture", "around", "tint", "saturation"]
    relations = dict.fromkeys(permutations(order, 2), ALIVE) | {
        ("picture", "around"): DEAD, ("tint", "picture"): DEAD, ("saturation", "picture"): DEAD,
        ("saturation", "tint"): DEAD, ("tint", "around"): half,
    }  # fmt: skip
    sizes = of_one_margin({"picture": 1.1, "around": 2.2, "tint": 1.3, "saturation": 0.5})
    within = [("tint", "picture"), ("saturation", "picture")]
    want = {"picture": "around", "around": "around", "tint": "tint", "saturation": "tint"}
    assert homes_of(order, relations, sizes, within) == want


@pytest.mark.parametrize(
    ("left", "sizes", "home"),
    [
        (UNCLEAR, (1.0, 0.9), "square"),  # it does as much, and the place is not shown to do more
        (ALIVE, (1.0, 0.9), "place"),  # the place keeps an effect of its own
        (UNCLEAR, (1.0, 0.4), "place"),  # the square does too little
    ],
)
def test_a_place_that_holds_squares_leads_only_where_it_does_more(
    left: Held, sizes: tuple[float, float], home: str
) -> None:
    """That nothing of a square's effect is left with all around it put back says nothing."""
    order, relations = ["place", "square"], {("square", "place"): DEAD, ("place", "square"): left}
    known = of_one_margin(dict(zip(order, sizes, strict=True)))
    assert homes_of(order, relations, known, (), [("square", "place")]) == dict.fromkeys(order, home)


def test_an_image_without_an_answer_hides_no_cause() -> None:
    """One NaN among the trials made every share NaN, and each factor a cause of its own."""
    labels, places = np.array([0, 1] * 4), np.array(list(permutations(range(8), 2)))
    scores = Scores(np.zeros((len(places), 1), np.float32), np.zeros((len(places), 1), np.float32), places[:, 0] * 0)
    key = TrialKey("tint", EXCHANGE, "valid")
    trials = Trials(key, places[:, 0], places[:, 1], scores, scores, labels, np.arange(8))
    change = np.where(labels[places[:, 1]] == 0, 3.0, 1.0)
    change[5] = np.nan
    assert plain_difference(trials, change, Contrast(0, "cat", "dog")) == pytest.approx(2.0)
    assert np.isnan(plain_difference(trials, np.full(len(places), np.nan), Contrast(0, "cat", "dog")))


def test_what_does_not_suffice_by_itself_is_no_cause_of_more() -> None:
    """Each dies with the other held, but only the larger one does what both do: it leads, and the title names both."""
    relations = {("a", "b"): DEAD, ("b", "a"): DEAD}
    assert homes_of(list("ab"), relations, of_one_margin({"a": 3.0, "b": 1.0})) == {"a": "a", "b": "a"}
    assert homes_of(list("ab"), relations, of_one_margin({"a": 3.0, "b": 2.0})) == {"a": "b", "b": "b"}


def test_what_suffices_for_another_class_alone_is_no_cause() -> None:
    relations = relations_of("b>a")
    elsewhere = {"a": {"a": 3.0, "b": 1.0}, "b": {"a": 3.0, "b": 5.0}}  # of the class that a moves b moves little
    assert homes_of(list("ab"), relations, elsewhere) == {"a": "a", "b": "b"}
    assert homes_of(list("ab"), relations, {**elsewhere, "a": {"a": 3.0, "b": 2.0}}) == {"a": "b", "b": "b"}


def test_a_frame_is_not_taken_apart_into_its_corners() -> None:
    quarter = held(0.15, 0.01)
    corners = "bcde"
    relations = {("a", corner): quarter for corner in corners} | {(corner, "a"): DEAD for corner in corners}
    relations |= dict.fromkeys(permutations(corners, 2), ALIVE)
    assert homes_of(list("abcde"), relations, of_one_margin(dict.fromkeys("abcde", 1.0))) == dict.fromkeys("abcde", "a")


def test_two_causes_explain_together_what_holds_both() -> None:
    half = held(0.1, 0.01)
    relations = {("a", "b"): half, ("a", "c"): half, ("b", "c"): ALIVE, ("c", "b"): ALIVE,
                 ("b", "a"): DEAD, ("c", "a"): DEAD}  # fmt: skip
    assert homes_of(list("abc"), relations, of_one_margin({"a": 2.0, "b": 1.0, "c": 1.0})) in (
        {"a": "b", "b": "b", "c": "c"},
        {"a": "c", "b": "b", "c": "c"},
    )


def test_a_cause_that_is_shown_weakly_is_told_under_the_alternative_that_is_shown_well() -> None:
    names = ("tint", "around", "border")
    tint, around, border = (SimpleNamespace(factor=name) for name in names)
    relations = dict.fromkeys(permutations(names, 2), DEAD)
    cause = Cause(tint, (around, border), ("around",), {"around": DEAD, "border": DEAD}, relations)  # type: ignore[arg-type]
    led = led_by(cause, around)  # type: ignore[arg-type]
    assert led.case is around and led.explained == (tint, border) and led.alternatives == ("tint",)
    assert led.held == {"tint": DEAD, "border": DEAD}


def strip(rows: slice) -> Tensor:
    mask = torch.zeros(SIDE, SIDE)
    mask[rows] = 1
    return mask


def audit_of(home: Path, model: torch.nn.Module, regions: str, **options: object) -> seewhy.Audit:
    asked = {"core": "core", "properties": "none", "recipients": 2 * EACH, "progress": False, **options}
    return seewhy.audit(classifier_of(model), home / "data", regions=regions, **asked)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("causes")
    data = write_images(folder / "data", counts={"valid": EACH}, aligned=0.95)
    small = torch.zeros(SIDE, SIDE)
    small[11:21, 11:21] = 1
    wide = torch.zeros(SIDE, SIDE)
    wide[4:28, 4:28] = 1
    masks = {"core": where_core(), "corner": where_corner(), "top": strip(slice(0, 8)), "bottom": strip(slice(24, 32)),
             "small": small, "wide": wide}  # fmt: skip
    for name, mask in masks.items():
        write_masks(folder / name, data, mask)
    return folder


def named(home: Path, *names: str) -> str:
    return ",".join(f"{name}={home / name}" for name in names)


def claimed(audit: seewhy.Audit, claim: str) -> list[str]:
    return [finding.factor for finding in audit.findings if claim in finding.claims]


def test_what_is_read_in_a_corner_is_told_of_the_corner_alone(home: Path) -> None:
    audit = audit_of(
        home, Reader(core=20.0, tint=15.0, seen=where_corner()),
        named(home, "core", "corner", "top") + ",around=not:core", properties="tint,saturation",
    )  # fmt: skip
    assert claimed(audit, "shortcut") == ["corner"]
    assert {"around", "top"} <= {*audit["corner"].members}
    for name in ("around", "top"):  # nothing of it is left: the network reads no other pixel of them
        assert audit["corner"].numbers["held"][name]["value"] == pytest.approx(0, abs=1e-6)
    assert audit["around"] is audit["corner"] and "of it left" in audit["corner"].text


@pytest.mark.parametrize("budget", [21_000, 30_000, 39_000])
def test_with_a_small_budget_one_cause_is_not_told_as_several(home: Path, budget: int) -> None:
    audit = audit_of(
        home, Reader(core=20.0, tint=15.0, seen=where_corner()),
        named(home, "core", "corner", "top") + ",around=not:core,border", properties="tint,saturation", budget=budget,
    )  # fmt: skip
    assert audit.design.schedule.n_unpaid and claimed(audit, "shortcut") in ([], ["around"], ["top"], ["corner"])
    weak = [finding for finding in audit.findings if finding.level == "WEAK" and "depends" in finding.claims]
    assert any("It was not tried with" in line for finding in weak for line in finding.evidence)


def test_what_matters_less_than_eight_others_is_held_against_the_largest(home: Path, tmp_path: Path) -> None:
    corner, strips = Reader(core=20.0, tint=15.0, seen=where_corner()), list[str]()
    for length in range(9):  # each holds the corner, or most of it
        mask = torch.zeros(SIDE, SIDE)
        mask[: 4 + length // 3, : 12 + 2 * length] = 1
        strips.append(f"strip{length}={write_masks(tmp_path / f'strip{length}', home / 'data', mask)}")
    audit = audit_of(home, corner, ",".join([named(home, "core", "corner"), *strips]))
    assert len(claimed(audit, "shortcut")) == 1
    told = next(finding for finding in audit.findings if "shortcut" in finding.claims)
    assert len({told.factor, *told.members} & {f"strip{length}" for length in range(9)}) == 9


def test_what_does_little_by_itself_is_no_alternative_to_a_cause() -> None:
    cases = {name: SimpleNamespace(factor=name, value=size) for name, size in {"frame": 0.8, "tint": 0.1}.items()}
    design = SimpleNamespace(factors=[])
    relations = {("frame", "tint"): DEAD, ("tint", "frame"): DEAD}
    told = {
        size: _cause(cases, ["tint"], "frame", relations, {"frame": 0.8, "tint": size}, (), design)  # type: ignore[arg-type]
        for size in (0.1, 0.3)
    }
    assert told[0.1].alternatives == () and told[0.3].alternatives == ("tint",)
    assert [case.factor for case in told[0.1].explained] == ["tint"]


def test_two_places_are_two_causes_and_what_holds_both_is_none(home: Path) -> None:
    seen = strip(slice(0, 8)) + strip(slice(24, 32))
    audit = audit_of(
        home, Reader(core=20.0, tint=15.0, seen=seen), named(home, "core", "top", "bottom") + ",around=not:core"
    )
    assert sorted(claimed(audit, "shortcut")) == ["bottom", "top"]
    assert "around" in audit["top"].members + audit["bottom"].members


def test_a_tint_is_named_beside_the_region_that_holds_it(home: Path) -> None:
    audit = audit_of(home, Reader(core=20.0, tint=15.0), named(home, "core") + ",around=not:core", properties="tint")
    (finding,) = (finding for finding in audit.findings if "shortcut" in finding.claims)
    assert {finding.factor, *finding.alternatives} == {"tint", "around"}
    assert "tint or around" in finding.title and "cannot tell" in finding.text


def test_a_core_that_leaves_out_part_of_what_matters_makes_no_shortcut(home: Path) -> None:
    for properties in ("none", "brightness,contrast"):
        audit = audit_of(
            home, Reader(core=40.0), named(home, "small") + ",around=not:small", core="small", properties=properties
        )
        assert not claimed(audit, "shortcut")
        finding = audit["around"]
        assert finding.level == "CANNOT SAY" and finding.claims == ("at the core's rim",)
        assert "leave out part" in finding.text and "--core" in finding.todo
        assert finding.numbers["rim"]["4"]["value"] == pytest.approx(0, abs=1e-6)  # 4 pixels hold all that it reads


def test_what_hugs_the_core_cannot_be_told_from_its_rim(home: Path, tmp_path: Path) -> None:
    ring = torch.zeros(SIDE, SIDE)
    ring[6:26, 6:26] = 1
    ring -= where_core()
    masks = write_masks(tmp_path / "ring", home / "data", ring)
    audit = audit_of(home, Reader(core=20.0, tint=15.0, seen=ring), f"{named(home, 'core')},ring={masks}")
    assert audit["ring"].claims == ("at the core's rim",) and "within 2 pixels" in audit["ring"].text


def where_cap() -> Tensor:
    """What lies on top of the core, like hair: all of it within 4 pixels."""
    cap = torch.zeros(SIDE, SIDE)
    cap[4:8, 8:24] = 1
    return cap


def test_a_region_beside_the_core_is_a_shortcut_where_the_rest_of_the_rim_does_nothing(
    home: Path, tmp_path: Path
) -> None:
    masks = write_masks(tmp_path / "cap", home / "data", where_cap())
    audit = audit_of(home, Reader(core=20.0, tint=15.0, seen=where_cap()), f"{named(home, 'core')},cap={masks}")
    assert claimed(audit, "shortcut") == ["cap"]
    assert audit["cap"].numbers["beside"]["value"] == pytest.approx(0, abs=1e-6)  # no pixel of it is read
    assert any("all else that lies as near to the core" in line and line[0] == "+" for line in audit["cap"].evidence)


def test_a_region_is_no_shortcut_where_the_rest_of_the_cores_rim_does_as_much(home: Path, tmp_path: Path) -> None:
    ring = torch.zeros(SIDE, SIDE)
    ring[4:28, 4:28] = 1
    ring -= where_core()
    masks = write_masks(tmp_path / "cap", home / "data", where_cap())
    audit = audit_of(home, Reader(core=10.0, tint=25.0, seen=ring), f"{named(home, 'core')},cap={masks}")
    assert not claimed(audit, "shortcut") and audit["cap"].claims == ("at the core's rim",)
    assert audit["cap"].numbers["beside"]["value"] > audit["cap"].numbers["probability"]["value"] > 0.02


def test_the_rest_of_the_rim_says_nothing_of_a_region_that_had_to_be_cut(home: Path, tmp_path: Path) -> None:
    wider = where_cap()
    wider[8:12, 8:24] = 1  # half of it lies in the core, and is taken out
    masks = write_masks(tmp_path / "cap", home / "data", wider)
    audit = audit_of(home, Reader(core=20.0, tint=15.0, seen=where_cap()), f"{named(home, 'core')},cap={masks}")
    assert "beside" not in audit["cap"].numbers


def test_a_shortcut_outlives_a_larger_core(home: Path) -> None:
    audit = audit_of(home, Reader(core=20.0, tint=15.0), named(home, "core") + ",around=not:core")
    assert claimed(audit, "shortcut") == ["around"]
    assert any("drawn 4 pixels larger" in line and line[0] == "+" for line in audit["around"].evidence)


def test_a_region_that_holds_the_core_is_judged_by_what_is_left_without_it(home: Path) -> None:
    clean = audit_of(home, Reader(core=40.0), named(home, "core", "wide"))
    assert clean["wide"].level == "NONE LARGER THAN" and not clean["wide"].claims
    wide = next(factor for factor in clean.design.factors if factor.name == "wide")
    assert "outside of core" in wide.words
    everything = audit_of(home, Reader(core=40.0), named(home, "core", "small") + ",all=not:small")
    assert not claimed(everything, "shortcut")


def test_without_a_core_it_is_said_first_what_can_be_said_at_all(home: Path) -> None:
    audit = audit_of(
        home, Reader(core=20.0), named(home, "core") + ",around=not:core", core=(), properties="brightness,contrast"
    )
    first, second = audit.findings[:2]
    assert first.level == "CANNOT SAY" and "--core" in first.todo
    assert second.factor == "core" and "brightness" in second.members
    assert not claimed(audit, "shortcut")


def test_few_images_lower_the_level_and_hide_nothing(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"valid": 12}, aligned=1.0)
    write_masks(tmp_path / "core", data)
    audit = audit_of(tmp_path, Reader(core=5.0, tint=30.0), named(tmp_path, "core") + ",around=not:core")
    finding = audit["around"]
    assert finding.level == "WEAK" and "depends" in finding.claims and "shortcut" not in finding.claims
    assert any("Few images" in line for line in finding.evidence)


class TwoCues(Reader):
    """Reads the tint of what is around the core, and beside it how bright the corner is."""

    def forward(self, x: Tensor) -> Tensor:
        inside = (luminance_of(x) * where_corner()).sum(dim=(1, 2)) / where_corner().sum() - 0.5
        core, tint = parts_of(self.look(x), seen=strip(slice(24, 32)))
        return self.head(torch.stack([core, tint], dim=1)) + torch.stack([8 * inside, -8 * inside], dim=1)


def test_a_tint_and_a_mark_are_two_causes_and_the_region_that_holds_both_is_none(tmp_path: Path) -> None:
    data = write_images(tmp_path / "data", counts={"valid": EACH}, aligned=0.95)
    rng = np.random.default_rng(0)
    for path in data.rglob("*.png"):  # a light corner in most of the first class, whatever the tint
        pixels = np.asarray(PIL.Image.open(path)).astype(np.int64)
        if (path.parent.name == "cat") == (rng.random() < 0.95):
            pixels[CORNER] += 40
        PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    for name, mask in {"core": where_core(), "corner": where_corner()}.items():
        write_masks(tmp_path / name, data, mask)
    audit = audit_of(
        tmp_path,
        TwoCues(core=20.0, tint=12.0),
        named(tmp_path, "core", "corner") + ",around=not:core",
        properties="tint",
    )
    assert sorted(claimed(audit, "shortcut")) == ["corner", "tint"]
    assert audit["around"].factor in ("corner", "tint")

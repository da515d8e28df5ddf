from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from seewhy.render.chart import NARROW, WIDE, Row, Share, histogram_chart, interval_chart, share_chart
from seewhy.render.page import one_line
from seewhy.render.rows import KINDS
from seewhy.render.svg import Style, number_of, ticks_of

SVG = "{http://www.w3.org/2000/svg}"
TAGS = {"svg", "title", "desc", "g", "line", "path", "text", "tspan"}
HOSTILE = (
    '<img src=x onerror="alert(1)">\'&]]> </svg></title><script>a.b[0]</script>',
    "\u202egnp\n\x00\x1b[2J\ud800\u2028",
    "datum.x",
    "a.b['c'][0]\\",
    '{"signal": "width"}',
    "https://example.org/?a=1&b=2",
    "W" * 300,
    "",
)
ROWS = [
    Row("background", 0.25, 0.2, 0.3, "shortcut", (0.24, 0.2, 0.29), 0.03, "P(fake); 150 images"),
    Row("face", 0.5, 0.45, 0.6, "intended", None, 0.1, "P(fake); 150 images"),
    Row("tint", -0.01, -0.02, 0.0, "none", None, None, "P(fake); 150 images"),
]
WORDS = {"title": "Effect of each factor", "describe": "How far each factor moves the probability."}


def intervals(name: str = "background", width: int = WIDE) -> str:
    hostile = Row(name, 0.1, -0.1, 0.2, name, (0.1, 0.0, 0.2), 0.05, name)
    words = {"title": name, "describe": name, "unit": name}
    return interval_chart([hostile, ROWS[1]], floor=0.02, **words, width=width)


def shares(name: str = "fake", width: int = WIDE) -> str:
    found = [Share(name, "train", 0.9, 0.8, 0.95, 10), Share("real", name, 0.7, 0.6, 0.8, 20)]
    return share_chart(found, guess=0.5, title=name, describe=name, width=width)


def histogram(name: str = "fake", width: int = WIDE) -> str:
    groups = {name: [0.1, 0.12, 0.3], "real": [-0.1, -0.2]}
    return histogram_chart(groups, title=name, unit=name, describe=name, width=width)


CHARTS = [intervals, shares, histogram]
every_chart = pytest.mark.parametrize("chart", CHARTS, ids=[chart.__name__ for chart in CHARTS])


def texts_of(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def tips_of(svg: str) -> list[str]:
    return [one[0].text or "" for one in ElementTree.fromstring(svg).iter(f"{SVG}path") if len(one)]


@every_chart
@pytest.mark.parametrize("width", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", HOSTILE, ids=["html", "control", "datum", "path", "signal", "link", "long", "empty"])
def test_names_are_words_and_nothing_else(chart: Callable[..., str], name: str, width: int) -> None:
    svg = chart(name, width)
    root = ElementTree.fromstring(svg)  # well-formed
    assert {one.tag.removeprefix(SVG) for one in root.iter()} <= TAGS
    attributes = {attribute for one in root.iter() for attribute in one.attrib}
    assert not attributes & {"style", "href", "src", "onerror"} and not any(one.startswith("on") for one in attributes)
    assert all(one.isprintable() or one in "\u200c\u200d" for one in svg) and svg.encode()
    assert root.findtext(f"{SVG}title") == one_line(name)
    fragments = ("url(", "http://", "https://")  # beside the namespace, and what a name says
    values = [value for one in root.iter() for value in one.attrib.values()]
    assert not [value for value in values if any(part in value for part in fragments)]


@every_chart
def test_a_chart_has_a_name_and_words_for_those_who_cannot_see_it(chart: Callable[..., str]) -> None:
    root = ElementTree.fromstring(chart("named"))
    ids = [one.attrib["id"] for one in root.iter() if "id" in one.attrib]
    assert root.attrib["role"] == "img" and len(set(ids)) == len(ids) == 2
    assert [root.attrib["aria-labelledby"], root.attrib["aria-describedby"]] == ids
    assert [root[0].tag, root[0].text, root[1].tag] == [f"{SVG}title", "named", f"{SVG}desc"]
    inside = [one for one in root.iter() if one is not root]
    assert not [one for one in inside if {"role", "class", "aria-label"} & set(one.attrib)]


@every_chart
def test_a_chart_scales_with_its_page_and_is_the_same_each_time(chart: Callable[..., str]) -> None:
    wide, narrow = chart(), chart(width=NARROW)
    assert wide == chart() and wide != narrow
    for svg, classes, width in ((wide, "chart", WIDE), (narrow, "chart narrow", NARROW)):
        root = ElementTree.fromstring(svg)
        assert root.attrib["class"] == classes and root.attrib["width"] == "100%" and "height" not in root.attrib
        assert root.attrib["viewBox"].split()[:3] == ["0", "0", str(width)]
    ids = [re.findall(r' id="(.*?)"', svg) for svg in (wide, narrow)]
    assert not set(ids[0]) & set(ids[1])


@every_chart
def test_colours_are_those_of_the_page_with_others_to_fall_back_on(chart: Callable[..., str]) -> None:
    root = ElementTree.fromstring(chart())
    colours = {one.get(name) for one in root.iter() for name in ("fill", "stroke")} - {None, "none"}
    assert colours and not [one for one in colours if not re.fullmatch(r"var\(--[a-z]+, #[0-9a-f]{6}\)", one or "")]


def test_rows_say_their_numbers_as_points_and_keep_their_order() -> None:
    said = texts_of(interval_chart(ROWS, floor=0.02, **WORDS))
    assert [one for one in said if one in ("background", "face", "tint")] == ["background", "face", "tint"]
    assert {"+25.0 [+20.0, +30.0]", "+50.0 [+45.0, +60.0]", "−1.0 [−2.0, +0.0]"} <= set(said)
    assert "within ±2: too small to report" in said


def test_a_pointer_is_told_everything_of_a_row() -> None:
    rows = [Row("x" * 300, 0.25, 0.2, 0.3, "shortcut", (0.24, 0.2, 0.29), 0.03, "P(fake)")]
    svg = interval_chart(rows, floor=0.02, **WORDS)
    assert tips_of(svg) == [
        f"{'x' * 300} (P(fake)): +25.0 [+20.0, +30.0] points of probability; on train +24.0 [+20.0, +29.0]; "
        "controls reach ±3.0; shortcut"
    ]
    assert any(one.startswith("xxx") and one.endswith("…") and len(one) < 40 for one in texts_of(svg))


@pytest.mark.parametrize("width", [WIDE, NARROW], ids=["wide", "narrow"])
def test_ordinary_names_and_notes_are_broken_into_lines_and_not_cut(width: int) -> None:
    names = ["low-frequency, P(climbing)", "everything outside the core", "brightness_of_the_whole_picture"]
    notes = ["P(pole vaulting); 60 images", "may be the cause in place of background; P(climbing); 1,500 images"]
    rows = [Row(name, 0.1, 0.0, 0.2, "depends", note=note) for name, note in zip(names, [*notes, ""], strict=True)]
    bars = [Share(name, "", 0.5, 0.4, 0.6, 9) for name in names]
    drawn = interval_chart(rows, floor=0.02, width=width, **WORDS)
    for svg in (drawn, share_chart(bars, guess=None, width=width, **WORDS)):
        said = texts_of(svg)
        assert not [one for one in said if "…" in one]
        for name in names:
            assert name.replace(" ", "") in "".join(said).replace(" ", "")
    assert all(note.replace(" ", "") in "".join(texts_of(drawn)).replace(" ", "") for note in notes)


@pytest.mark.parametrize("width", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_words_of_a_legend_are_cut(width: int) -> None:
    rows = [Row(f"factor {k}", 0.1, 0.0, 0.2, kind) for k, kind in enumerate(KINDS)]
    assert not [one for one in texts_of(interval_chart(rows, floor=0.02, width=width, **WORDS)) if "…" in one]


def test_lines_of_neighbouring_rows_do_not_meet() -> None:
    long = "a factor whose name takes a good many words, in fact more than three lines"
    rows = [Row(long, 0.1, 0.0, 0.2, "depends", (0.1, 0.0, 0.2), note=f"{long} {name}") for name in "ab"]
    root = ElementTree.fromstring(interval_chart(rows, floor=0.02, **WORDS))
    ys = sorted(float(one.attrib["y"]) for one in root.iter(f"{SVG}text") if one.attrib["x"] == "4")
    assert len(ys) == 12 and all(after - before >= 13 for before, after in pairwise(ys))


def test_a_note_that_all_rows_share_stands_once() -> None:
    assert texts_of(interval_chart(ROWS, floor=0.02, **WORDS)).count("P(fake); 150 images") == 1  # in the axis title
    other = [*ROWS, Row("hair", 0.0, 0.0, 0.0, "none", note="P(real)")]
    assert texts_of(interval_chart(other, floor=0.02, **WORDS)).count("P(fake); 150 images") == 3


def test_the_legend_has_what_occurs_and_nothing_else() -> None:
    said = set(texts_of(interval_chart(ROWS, floor=0.02, **WORDS)))
    legend = {"shortcut", "intended evidence", "none larger than 2 points", "the same on train"}
    assert {*legend, "controls reach this far"} <= said and "overfit" not in said
    bare = texts_of(interval_chart([Row("a", 0.1, 0.0, 0.2, "depends")], floor=0.05, **WORDS))
    assert "depends" in bare and not {"the same on train", "controls reach this far"} & set(bare)


def test_every_kind_has_a_shape_and_colour_of_its_own() -> None:
    assert len({(one.shape, one.is_hollow, one.colour) for one in KINDS.values()}) == len(KINDS)
    filled = [one.shape for one in KINDS.values() if not one.is_hollow]
    assert len(set(filled)) == len(filled)


@pytest.mark.parametrize("count", [0, 1, 3, 60])
def test_as_many_rows_as_there_are(count: int) -> None:
    rows = [Row(f"factor {k}", 0.1, -math.inf, math.inf, "cannot say") for k in range(count)]
    for width in (WIDE, NARROW):
        said = texts_of(interval_chart(rows, floor=0.02, **WORDS, width=width))
        assert sum(one.startswith("factor ") for one in said) == count
        assert said.count("+10.0 [−100.0, +100.0]") == count


def test_shares_have_their_interval_and_count() -> None:
    found = [Share("fake", "train", 0.95, 0.9, 0.98, 1200), Share("fake", "valid", 0.5, 0.4, 0.6, 30)]
    svg = share_chart([*found, Share("real", "valid", math.nan, 0.0, 1.0, 0)], guess=0.5, title="t", describe="d")
    said = texts_of(svg)
    assert {"95% [90, 98] of 1,200", "50% [40, 60] of 30", "guessing: 50%", "train", "valid"} <= set(said)
    assert "real" not in said  # nothing is known of it
    assert tips_of(svg) == ["fake: train 95% [90, 98] of 1,200 images; valid 50% [40, 60] of 30 images"]
    alone = texts_of(share_chart(found[:1], guess=None, title="t", describe="d"))
    assert "train" not in alone and not [one for one in alone if "guessing" in one]


def test_a_histogram_names_groups_with_means_and_counts() -> None:
    groups = {"fake": [0.1, 0.3, math.nan], "real": [-0.1], "none": []}
    said = texts_of(histogram_chart(groups, title="t", unit="points", describe="d"))
    assert {"fake: mean +20.0 (2 donors)", "real: mean −10.0 (1 donor)"} <= set(said)
    assert not [one for one in said if one.startswith("none")]
    assert histogram_chart({}, title="t", unit="points", describe="d").startswith("<svg")
    assert histogram_chart({"a": [0.0, 0.0]}, title="t", unit="points", describe="d").startswith("<svg")


def test_of_many_groups_the_smallest_are_one() -> None:
    rng = random.Random(0)
    groups = {f"class {k}": [rng.gauss(0, 0.1) for _ in range(5 + k)] for k in range(9)}
    said = [one for one in texts_of(histogram_chart(groups, title="t", unit="u", describe="d")) if "mean" in one]
    assert [one.split(":")[0] for one in said] == ["class 4", "class 5", "class 6", "class 7", "class 8", "4 others"]
    assert said[-1].endswith(f"({5 + 6 + 7 + 8} donors)")


def test_words_are_one_line() -> None:
    assert one_line("a\tb\nc\xa0d") == "a b c d" and one_line("x\u202ey\x00\ud800") == "x\ufffdy\ufffd\ufffd"
    assert one_line("é 日本 👩\u200d🔬") == "é 日本 👩\u200d🔬"


def test_looks_are_told_apart_by_value() -> None:
    assert Style("a", "b") == Style("a", "b") != Style("a", "b", "circle")


@pytest.mark.parametrize("seed", range(40))
def test_ticks_are_round_and_evenly_apart_within_the_axis(seed: int) -> None:
    rng = random.Random(seed)
    low = rng.uniform(-1, 1) * 10 ** rng.uniform(-3, 2)
    high = low + 10 ** rng.uniform(-3, 2)
    ticks = ticks_of(low, high)
    apart = {round((b - a) / (ticks[1] - ticks[0]), 6) for a, b in pairwise(ticks)}
    assert apart == {1.0} and low <= ticks[0] and ticks[-1] <= high and 3 <= len(ticks) <= 10
    assert f"{ticks[1] - ticks[0]:.0e}"[0] in "125"
    said = [float(number_of(tick, ticks, is_signed=True).replace("−", "-")) for tick in ticks]
    assert said == pytest.approx(ticks, abs=1e-9) and len(set(said)) == len(said)


def test_numbers_below_a_plot_have_signs_and_no_more_digits_than_they_need() -> None:
    assert [number_of(tick, [-0.5, 0.0, 0.5], is_signed=True) for tick in (-0.5, 0.0, 0.5)] == ["−0.5", "0.0", "+0.5"]
    assert [number_of(tick, [-20.0, 0.0, 20.0], is_signed=False) for tick in (-20.0, -0.0, 20.0)] == ["−20", "0", "20"]


def test_nothing_measured_and_no_floor_is_a_chart_all_the_same() -> None:
    assert "+0.0 [+0.0, +0.0]" in texts_of(interval_chart([Row("a", 0, 0, 0, "none")], floor=0.0, **WORDS))

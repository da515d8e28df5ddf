"""The data of the images page, of runs made by hand, against golden files: only what is drawn may differ a little.

A golden file that no longer fits is written anew beside the old one, as <name>.new.json, to be looked at and renamed.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Picture

from seewhy.render.color import heat, jet, signed
from tests.report.folders import UNREADABLE, pixels_of
from tests.report.pages import pictures_of, table_of

GOLDEN = Path(__file__).parent / "golden"
STEP = 1  # of 127: resizing a map may round the other way on another machine


def brief(value: Any) -> Any:
    """Plain values with long base64 as a hash, so that a golden file can be read."""
    if isinstance(value, dict):
        return {name: brief(one) for name, one in value.items()}
    if isinstance(value, list):
        return [brief(one) for one in value]
    if isinstance(value, str) and len(value) > 400:
        return f"{len(value)} characters, blake2b {hashlib.blake2b(value.encode(), digest_size=8).hexdigest()}"
    return value


def steps_of(entry: dict[str, Any]) -> dict[str, list[list[int]]]:
    """The stored map as rows of whole numbers from -127 to 127, of large ones every eighth row and column."""
    step = 1 if entry["g"][0] < 10 else 8
    return {
        name: np.frombuffer(base64.b64decode(entry[name]), np.int8).reshape(entry["g"])[::step, ::step].tolist()
        for name in ("d", "n")
        if name in entry
    }


def as_golden(pictures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pictures without their bytes, maps as numbers."""
    found = []
    for one in pictures:
        maps = [None if entry is None else {**entry, **steps_of(entry)} for entry in one["m"]]
        found.append({**one, "t": one["t"] and one["t"].partition(",")[0], "m": maps})
    return found


def differing(found: Any, want: Any, place: str = "") -> list[str]:
    """Where plain values differ; cells of maps may by a step."""
    if isinstance(found, dict) and isinstance(want, dict) and sorted(found) == sorted(want):
        return [line for name in want for line in differing(found[name], want[name], f"{place}.{name}")]
    if isinstance(found, list) and isinstance(want, list) and len(found) == len(want):
        return [line for row, one in enumerate(want) for line in differing(found[row], one, f"{place}[{row}]")]
    if (
        (".d[" in place or ".n[" in place)
        and isinstance(found, int)
        and isinstance(want, int)
        and abs(found - want) <= STEP
    ):
        return []
    return [] if found == want and type(found) is type(want) else [f"{place}: {found!r}, not {want!r}"[:300]]


def check_golden(name: str, found: Any) -> None:
    path = GOLDEN / f"{name}.json"
    want = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    wrong = differing(found, want)
    if wrong:
        GOLDEN.mkdir(exist_ok=True)
        text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=True)
        path.with_suffix(".new.json").write_text(text + "\n", encoding="utf-8")
    assert wrong == [], f"see {path.with_suffix('.new.json').name}"


@pytest.mark.parametrize("words", ["plain", "hostile"])
@pytest.mark.parametrize("command", ["explain", "check", "audit"])
def test_the_table_is_the_golden_one(request: pytest.FixtureRequest, words: str, command: str) -> None:
    check_golden(f"table-{command}-{words}", brief(table_of(request.getfixturevalue(words)[command])))


@pytest.mark.parametrize("words", ["plain", "hostile"])
def test_the_pictures_are_the_golden_ones(request: pytest.FixtureRequest, words: str) -> None:
    check_golden(f"pictures-explain-{words}", as_golden(pictures_of(request.getfixturevalue(words)["explain"])))


def test_numbers_are_short(plain: dict[str, Path]) -> None:
    """No float32 written as a float64: five digits tell what a page shows."""
    for path in [*plain["audit"].glob("data/*.js"), *plain["explain"].glob("data/*.js")]:
        text = path.read_text(encoding="ascii")
        numbers = json.loads(f"[{text[text.index('(') + 1 : text.rindex(')')]}]", parse_float=str)
        assert [one for one in floats_in(numbers) if len(one.strip("-").replace("0.", "", 1)) > 11] == [], path.name


def floats_in(value: Any) -> list[str]:
    """The written floats among plain values, whose strings were read as such too."""
    if isinstance(value, dict):
        return [one for inner in value.values() for one in floats_in(inner)]
    if isinstance(value, list):
        return [one for inner in value for one in floats_in(inner)]
    is_number = isinstance(value, str) and value.count(".") == 1 and value.replace(".", "").strip("-").isdigit()
    return [value] if is_number else []


def test_thumbnails_are_the_photographs(plain: dict[str, Path]) -> None:
    for row, one in enumerate(pictures_of(plain["explain"])):
        if row == UNREADABLE:
            continue
        kind, _, data = one["t"].partition(",")
        assert kind == "data:image/jpeg;base64"
        picture = Picture.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        assert picture.size == (one["w"], one["h"]) == (40, 30)
        assert np.abs(np.asarray(picture).astype(float) - pixels_of(row)).mean() < 12


def test_colour_tables_are_those_of_the_overlays(plain: dict[str, Path]) -> None:
    colours = table_of(plain["explain"])["colours"]
    for name, table in (("heat", heat()), ("jet", jet()), ("signed", signed())):
        assert base64.b64decode(colours[name]) == table.tobytes()


def test_logits_are_the_records_largest_first(plain: dict[str, Path]) -> None:
    for row, one in enumerate(pictures_of(plain["explain"])):
        values = [value for _, value in one["l"]]
        assert values == sorted(values, reverse=True)
        assert len(values) == (0 if row == UNREADABLE else 2)
        if values:
            assert values[0] == 1 + row / 4

"""The run folder of an audit, made by hand: five findings with every kind of number, all trials and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from seewhy.evidence.findings.finding import Finding
from seewhy.evidence.results.pictures import picture_folder, picture_name
from seewhy.evidence.results.result import summary_of
from seewhy.evidence.trials.contrast import contrasts_of
from seewhy.evidence.trials.edit import EXCHANGE, PATCHED, Edit
from seewhy.evidence.trials.edit import MARKED as LAID_OVER
from seewhy.records import MapKey, Outcome
from seewhy.store import manifest
from seewhy.store.schema import DONOR_EFFECTS, IMAGE_EFFECTS, MAP_SHARES, TRIALS
from seewhy.store.tables import write_columns
from tests.report.folders import ENVIRONMENT, GRIDS, WRONG, Folder, map_of, pixels_of, write_maps, write_records
from tests.report.names import PLAIN, Names

QUANTILES = (0.99, 0.95, 0.75, 0.25, 0.05, 0.01)
SHIFTS = (2.5, 4.0, 0.0625, 1.0, 1.5)  # of the margin by factor, in logits: exact in binary
SPLITS = ("valid", "train")
MEMBER, MARKED = 3, 4  # places of factors: what goes with the shortcut, and the mark


def audit_folder(path: Path, names: Names = PLAIN, wrong: tuple[int, ...] = WRONG) -> Path:
    """A finished `audit`: a shortcut with a member, the core, one too small, one too uncertain, and a mark."""
    folder = Folder(path, names, splits=SPLITS, wrong=wrong)
    identity = _identity(folder)
    manifest.begin(path, identity)
    outcomes = write_records(folder)
    write_maps(folder, {MapKey("hirescam", names.layers[1], "predicted"): GRIDS[1]})
    _write_tables(folder, outcomes)
    findings = [_with_pictures(folder, one) for one in _findings(folder, outcomes)]
    summary = summary_of(findings, _facts(folder, outcomes))
    manifest.write_json(path / "findings.json", summary)
    facts = {name: summary[name] for name in ("images", "trials", "scope")}
    manifest.finish(path, identity, {**facts, "environment": ENVIRONMENT})
    return path


def _identity(folder: Folder) -> dict[str, Any]:
    count = len(folder.names.ids) // 2
    images = {
        split: {"count": count, "ids": "a3ae8673723bc240", "content": "2fe68a06", "masks": {}} for split in SPLITS
    }
    names = folder.names
    return {
        **folder.identity("audit"), "images": images, "budget": None, "trials": None, "core": [names.core],
        "factors": {name: "" for name in names.factors[:MARKED]},
        "inserts": {names.mark: [names.mark, "af3f8a1fe0683e99"]},
        "layers": {names.layers[1]: "5 x 4"}, "regions": {names.shortcut: f"the pixels of {names.shortcut}"},
        "effort": {"controls": 20, "donors": 150, "families": True, "pairs": 6, "recipients": 150, "uses": 4},
    }  # fmt: skip


def _facts(folder: Folder, outcomes: list[Outcome]) -> dict[str, Any]:
    names, n = folder.names, len(outcomes) // 2
    shares = {split: {names.shortcut: _span(0.47, 0.05, n), names.core: _span(0.38, 0.05, n)} for split in SPLITS}
    return {
        "images": len(outcomes), "trials": 4 * len(outcomes), "jobs": 10, "classes": list(names.classes),
        "contrasts": [one.name for one in contrasts_of(names.classes)], "core": [names.core],
        "tested": list(names.factors),
        "splits": {split: n for split in SPLITS}, "distinct": {split: n for split in SPLITS},
        "accuracy": _span(0.8, 0.15, n), "notes": [names.note], "warnings": {names.shortcut: [names.note]},
        "unreadable": {"train": {names.reason: 1}}, "effort": {"controls": 20, "donors": 150, "recipients": 150},
        "regions": {names.shortcut: f"the pixels of {names.shortcut}", names.core: f"the pixels of {names.core}"},
        "found_in": {name: names.shortcut if name == names.member else name for name in names.factors},
        "suspicion": {name: 0.1 for name in names.factors},
        "scope": f"Tested: {', '.join(names.factors)}. Outside of this list nothing is said.",
        "maps": {"layer": [names.layers[1]], "method": "hirescam", "score": "predicted", "shares": shares,
                 "lifts": shares, "drift": {"distance": 0.15, "p": 0.26}},
    }  # fmt: skip


def _span(value: float, half: float, n: int) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half, "n": n}


def _contrast(value: float, half: float, n: int) -> dict[str, Any]:
    more = {"df": 10.0, "error": half / 2, "p_value": 0.001, "n": {"0": n, "1": n}}
    return {**_span(value, half, n), **more}


def _numbers(folder: Folder, place: int, value: float, half: float, **more: Any) -> dict[str, Any]:
    """Everything behind a finding, as `numbers_of` gives it."""
    names, is_mark = folder.names, place == MARKED
    control = {"kind": "scrambled donors", "limit": 0.03, "values": [0.01, 0.02, 0.03]}
    gate = {"name": "control", "passed": True, "words": "the same with the donors' classes permuted 20 times"}
    overfit = {"overfit": False, **{name: _span(0.1, 0.3, 6) for name in ("margin", "accuracy", "plain_margin")}}
    return {
        "words": f"the pixels of {names.factors[place]}", "kind": "insert" if is_mark else "region",
        "contrast": contrasts_of(names.classes)[0].name, "split": "valid", "probability": _contrast(value, half, 3),
        "margin": _contrast(10 * value, 10 * half, 3), "selected_interval": [value - half, value + half],
        "p_holm": 0.002, "flips": _span(0.25, 0.1, 12), "sensitivity": _span(1.5, 0.2, 12), "recipients": 6,
        "donors": 0 if is_mark else 6, "trials": 12, "train": None if is_mark else _contrast(value * 0.9, half, 3),
        "control": None if is_mark else control, "families": {"blur": _span(0.2, 0.1, 6)}, "edge": {},
        "overfit": None if is_mark else overfit, "core": place == 1, "outside": None, "gates": [gate], "warnings": [],
        **more,
    }  # fmt: skip


def _findings(folder: Folder, outcomes: list[Outcome]) -> list[Finding]:
    names, what = folder.names, contrasts_of(folder.names.classes)[0].name

    def said(name: str, words: str) -> str:
        return f"With the {name} of {what} images in place of others, P({what}) {words}."

    shown = _examples(folder, outcomes, 0)
    marked = _examples(folder, outcomes, MARKED)
    gate = ("+ The same with the donors' classes permuted 20 times: at most 3.0 points.", f"? {names.note}")
    member = {names.member: {**_contrast(0.04, 0.02, 3), **_numbers(folder, MEMBER, 0.04, 0.02)}}
    rest = Finding(
        "everything outside the core", "STRONG", ("depends",), "The labels are still predicted 12.6 points better.",
        numbers={"benefit": _span(0.126, 0.04, 6), "margin": _contrast(3.2, 0.4, 3), "p": 1e-9},
    )  # fmt: skip
    return [
        Finding(names.shortcut, "STRONG", ("depends", "shortcut"), said(names.shortcut, "rises by 25.6 points"),
                "What would change our mind: other images.", gate, _numbers(folder, 0, 0.256, 0.05, members=member),
                (names.member,), shown[:3], shown[3:]),
        Finding(names.core, "MODERATE", ("depends", "intended"), said(names.core, "rises by 54.4 points"), "", gate,
                _numbers(folder, 1, 0.544, 0.06)),
        Finding(names.mark, "WEAK", ("depends",), f"With {names.mark} laid over, P({what}) falls by 8 points.",
                names.note, (), _numbers(folder, MARKED, -0.08, 0.04), (), marked[:3], marked[3:]),
        rest,
        Finding(names.nothing, "NONE LARGER THAN", (), said(names.nothing, "moves by 0.3 points"), "", (),
                _numbers(folder, 2, 0.003, 0.012)),
    ]  # fmt: skip


def _examples(folder: Folder, outcomes: list[Outcome], place: int) -> tuple[dict[str, Any], ...]:
    """Trials at the quantiles, three for and three against; the unreadable image is none of them."""
    pool = [one for one in outcomes if one.prediction and one.image.split == "valid"]
    what, found = contrasts_of(folder.names.classes)[0].name, []
    for row, quantile in enumerate(QUANTILES):
        own, given = pool[row % len(pool)], pool[(row + 1) % len(pool)]
        other = {"patch": 0.5} if place == MARKED else {"donor": given.image.id, "donor_label": given.image.label}
        found.append({
            "recipient": own.image.id, "label": own.image.label, "contrast": what, "quantile": quantile,
            "before": 0.875, "after": 0.125, "prediction_before": own.prediction,
            "prediction": given.prediction, **other,
        })  # fmt: skip
    return tuple(found)


def _with_pictures(folder: Folder, finding: Finding) -> Finding:
    """The finding with the sheet and the single pictures of its examples on disk, and where they lie."""
    shown = (*finding.examples, *finding.counter_examples)
    if not shown:
        return finding
    sheet = folder.path / "pictures" / picture_name(finding.factor)
    home = sheet.with_name(picture_folder(finding.factor))
    home.mkdir(parents=True)
    Picture.fromarray(pixels_of(0)).resize((600, 900)).save(sheet)
    middle = "patch" if "patch" in shown[0] else "donor"
    for row, _ in enumerate(shown):
        for place, kind in enumerate(("before", middle, "after")):
            Picture.fromarray(pixels_of(row + place)).save(home / f"{row:02}-{kind}.png")
    named = [{**one, "pictures": f"{home.name}/{row:02}"} for row, one in enumerate(shown)]
    kept = len(finding.examples)
    return Finding(**{**vars(finding), "examples": tuple(named[:kept]), "counter_examples": tuple(named[kept:])})


def _write_tables(folder: Folder, outcomes: list[Outcome]) -> None:
    names, read = folder.names, [one for one in outcomes if one.prediction]
    trials = [row for place in range(len(names.factors)) for row in _trials(folder, read, place)]
    write_columns(folder.path / "trials.parquet", _columns(trials, TRIALS), TRIALS)
    pairs = [(place, one) for place in range(MARKED) for one in read]
    effects = [
        {"id": one.image.id, "split": one.image.split, "factor": names.factors[place],
         "necessity": SHIFTS[place], "sufficiency": SHIFTS[place] / 16}
        for place, one in pairs
    ]  # fmt: skip
    write_columns(folder.path / "image_effects.parquet", _columns(effects, IMAGE_EFFECTS), IMAGE_EFFECTS)
    what = contrasts_of(names.classes)[0].name
    donors = [
        {"factor": names.factors[place], "split": "valid", "contrast": what, "donor": one.image.id,
         "label": one.image.label, "effect": SHIFTS[place] / 32 * (1 if one.image.label == what else -1), "n": 2}
        for place, one in pairs if one.image.split == "valid"
    ]  # fmt: skip
    write_columns(folder.path / "donor_effects.parquet", _columns(donors, DONOR_EFFECTS), DONOR_EFFECTS)
    shares = [
        _share(one, row, name)
        for name in (names.shortcut, names.core)
        for row, one in enumerate(outcomes)
        if one.prediction
    ]
    write_columns(folder.path / "map_shares.parquet", _columns(shares, MAP_SHARES), MAP_SHARES)


def _share(outcome: Outcome, row: int, region: str) -> dict[str, Any]:
    """The upper half of the map is the region; an empty map has no share."""
    kept = map_of(row, GRIDS[1]).clip(0)
    share = float(kept[:2].sum() / kept.sum()) if kept.any() else None
    lift = None if share is None else share / 0.4
    return {
        "id": outcome.image.id,
        "split": outcome.image.split,
        "region": region,
        "area": 0.4,
        "share": share,
        "lift": lift,
    }


def _trials(folder: Folder, outcomes: list[Outcome], place: int) -> list[dict[str, Any]]:
    """Two trials for each image of each split: donors of the next images; a mark beside its neutral patch."""
    names, found = folder.names, []
    for split in SPLITS:
        pool = [one for one in outcomes if one.image.split == split]
        for row, own in enumerate(pool):
            for step, edit in enumerate((LAID_OVER, PATCHED) if place == MARKED else (EXCHANGE, EXCHANGE)):
                donor = None if place == MARKED else pool[(row + 1 + step) % len(pool)]
                found.append(_trial(names, own, donor, place, edit, split, 0.0 if edit == PATCHED else SHIFTS[place]))
    return found


def _trial(
    names: Names, own: Outcome, donor: Outcome | None, place: int, edit: Edit, split: str, shift: float
) -> dict[str, Any]:
    what, logits = contrasts_of(names.classes), np.array(own.logits)
    before = [float(logits[k] - np.delete(logits, k).max()) for k in range(len(what))]
    flipped = abs(before[0]) < shift
    other = names.classes[1] if own.prediction == names.classes[0] else names.classes[0]
    return {
        "factor": names.factors[place], "edit": str(edit), "split": split, "recipient": own.image.id,
        "donor": None if donor is None else donor.image.id, "margins_before": before,
        "margins": [one - shift * (1 if one > 0 else -1) for one in before], "probabilities_before": [0.75] * len(what),
        "probabilities": [0.5] * len(what), "prediction_before": own.prediction,
        "prediction": other if flipped else own.prediction,
    }  # fmt: skip


def _columns(rows: list[dict[str, Any]], schema: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in schema}

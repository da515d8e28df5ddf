"""`compare`: two runs on the same images, image by image and trial by trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seewhy.errors import OptionError, listed
from seewhy.evidence.trials.edit import MARKED
from seewhy.learn.compare.comparison import Comparison, order_of
from seewhy.learn.compare.decisions import decisions_of, image_changes
from seewhy.learn.compare.effect_changes import AuditTrials, EffectChange, Stated, effect_changes
from seewhy.learn.compare.map_changes import MapChanges, map_changes, region_shifts, same_or_first
from seewhy.learn.compare.matching import Matching, match
from seewhy.learn.compare.units import audited_split, clusters_of
from seewhy.report.stored import StoredRun, read_run
from seewhy.store import arrays, manifest

_NETWORK = ("classifier", "code", "network", "answers")  # what tells one network from another
_ASKED = {
    "core": "--core", "effort": "--recipients or --donors", "budget": "--budget", "seed": "--seed",
    "layers": "--layers", "method": "--method", "smooth": "--smooth", "target": "--target",
}  # fmt: skip


def compare(first: Any, second: Any, *, out: str | Path | None = None) -> Comparison:
    """What differs between two runs on the same images: two networks, two epochs, before and after a repair.

    Args:
        first, second: run folders of explain, check or audit, or results that were saved to one (`out=` or
            `.save(folder)`). The second is told against the first
        out: a folder for comparison.json, of which `write_report` makes pages; None: in memory

    Returns:
        a Comparison: effects (of audits, each difference with its interval), decisions, maps, images (those that
        changed most first), lines(), summary(), records, save(folder).

    Raises:
        StoreError (no finished run, no image in common, or a folder that holds something else), OptionError (a result
        that lies in no folder).

    Example:
        >>> first = seewhy.load("net.py:Net", "checkpoints", epoch=0, model_args={"size": 32})
        >>> last = seewhy.load("net.py:Net", "checkpoints", epoch=7, model_args={"size": 32})
        >>> before = seewhy.explain(first, "faces/valid", out="runs/e0")
        >>> after = seewhy.explain(last, "faces/valid", out="runs/e7")
        >>> print(seewhy.compare("runs/e0", "runs/e7"))
    """
    runs = read_run(_folder_of(first, "first")), read_run(_folder_of(second, "second"))
    matching = match(runs[0].outcomes, runs[1].outcomes)
    pairs = [(runs[0].outcomes[row], runs[1].outcomes[other]) for row, other in matching.pairs]
    effects, levels, left = _effects(*runs, matching)
    maps, why = _maps(*runs, matching)
    moved = [None] * len(pairs) if maps is None else [None if np.isnan(d) else float(d) for d in maps.moved]
    ids = [pair[0].image.id for pair in pairs]
    several = all(run.identity.get("task") == "multi-label" for run in runs)
    images = image_changes(ids, pairs, (runs[0].classes, runs[1].classes), moved, has_several_labels=several)
    clusters, of_units = clusters_of(*runs, matching)
    decisions = decisions_of(pairs, clusters)
    unknown = of_units if decisions.difference is not None else []
    notes = (*_network_note(*runs), *matching.notes, *_classes_note(*runs), *unknown, *left, *why)
    found = Comparison(
        first=runs[0].folder,
        second=runs[1].folder,
        matching=matching,
        decisions=decisions,
        effects=tuple(effects),
        levels=levels,
        maps=maps,
        images=order_of(images),
        notes=notes,
    )
    return found if out is None else replace(found, folder=found.save(out))


def _folder_of(run: Any, which: str) -> Path:
    if isinstance(run, (str, Path)):
        return Path(run)
    folder = getattr(run, "folder", None)
    if folder is None:
        raise OptionError(
            f"The {which} run lies in no folder ({type(run).__name__}).\n"
            '  Save it first:  run.save("runs/first")  or make it with  out="runs/first"'
        )
    return Path(folder)


def _network_note(first: StoredRun, second: StoredRun) -> list[str]:
    """That both are of one network, and which options were others, where what is compared turns on them."""
    is_same = all(first.identity.get(key) == second.identity.get(key) for key in _NETWORK)
    others = [
        option
        for key, option in _ASKED.items()
        if first.command == second.command and first.identity.get(key) != second.identity.get(key)
    ]
    asked = f"The two runs were asked for with other options: {listed(others)}." if others else ""
    return [text for text in ("Both runs are of the same network." if is_same else "", asked) if text]


def _classes_note(first: StoredRun, second: StoredRun) -> list[str]:
    if first.classes == second.classes:
        return []
    return [f"The classes differ ({listed(first.classes, 4)}; {listed(second.classes, 4)}): compared by name."]


def _effects(
    first: StoredRun, second: StoredRun, matching: Matching
) -> tuple[list[EffectChange], dict[str, tuple[str, str]], list[str]]:
    """The changes of effects, the findings whose level differs, and what was left out; nothing without two audits."""
    if "audit" not in (first.command, second.command):
        return [], {}, []
    if first.command != second.command:
        return [], {}, ["Effects are compared between two audits; one of these runs is none."]
    if first.classes != second.classes:
        return [], {}, ["Effects are not compared: the classes are not the same, in the same order."]
    tested = [name for name in first.found["tested"] if name in second.found["tested"]]
    other = [name for name in tested if _meaning(first, name) != _meaning(second, name)]
    same = [name for name in tested if name not in other]
    apart = [name for run in (first, second) for name in run.found["tested"] if name not in tested]
    notes = [f"Tested in one run only: {listed(apart, 12)}."] if apart else []
    notes += [f"Another region or property of the same name, not compared: {listed(other, 12)}."] if other else []
    names = {first.outcomes[row].image.id: second.outcomes[there].image.id for row, there in matching.pairs}
    trials = [_trials(run, audited_split(run)) for run in (first, second)]
    changes = effect_changes(trials[0], trials[1], same, names, (_stated(first), _stated(second)))
    if any(not change.paired for change in changes):
        notes.append(_why_apart(trials))
    left = [name for name in same if name not in {change.factor for change in changes}]
    marks = [name for name in left if all(run.of(name, MARKED) for run in trials)]
    if marks:
        notes.append(
            "Not compared, since images may be in clusters and the findings tell other classes of it: "
            f"{listed(marks, 12)}."
        )
    if left := [name for name in left if name not in marks]:
        notes.append(f"Not compared, since the runs have no trials of it in common: {listed(left, 12)}.")
    return changes, _levels(first, second), notes


def _meaning(run: StoredRun, factor: str) -> tuple[Any, ...]:
    """What makes a factor of one name the same one: where a region's masks come from, what a property's code is."""
    identity = run.identity
    marks = identity.get("inserts", {}).get(factor)
    corners = _moving(run).get(factor)
    return run.found.get("regions", {}).get(factor), identity.get("factors", {}).get(factor), marks, corners


def _moving(run: StoredRun) -> dict[str, Any]:
    """By place that lies elsewhere in each picture, as a search found it with this run's network, where it lies."""
    path = run.folder / "places.json"
    found = manifest.read_json(path).get("anywhere", []) if path.is_file() else []
    return {squares["place"]: squares["corners"] for squares in found}


def _trials(run: StoredRun, split: str) -> AuditTrials:
    found = run.found
    alone = found.get("distinct", {}).get(split) == found["splits"][split] and not found.get("cluster_by")
    labels = {outcome.image.id: outcome.image.label or "" for outcome in run.outcomes}
    return AuditTrials(run.table("trials"), split, run.classes, labels, units_known=alone)


def _why_apart(trials: Sequence[AuditTrials]) -> str:
    what = "the audits met other donors"
    if not all(run.units_known for run in trials):
        what = "which images are one unit (near-duplicates, clusters) is not in the folders"
    return f"Effects are not compared trial by trial, since {what}: their errors are added, which is never too narrow."


def _stated(run: StoredRun) -> Stated:
    """What the audit says of each factor and class."""
    table = run.table("class_effects")
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    stated = {(str(row["factor"]), str(row["label"])): row for row in rows}
    return stated | {
        (finding["factor"], finding["numbers"]["contrast"]): _of_mark(finding["numbers"])
        for finding in run.found["findings"]
        if finding["numbers"].get("kind") == "insert" and finding["numbers"].get("probability")
    }


def _of_mark(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """What a finding says of a mark, for the class that it tells; it has no donors, but images or clusters of them."""
    effect = numbers["probability"]
    ends = {name: effect[name] for name in ("low", "high")}
    return {"effect": effect["value"], **ends, "images": numbers["recipients"], "donors": numbers["donors"]}


def _levels(first: StoredRun, second: StoredRun) -> dict[str, tuple[str, str]]:
    """The findings that both audits have, and say differently: level and claims."""
    said = [{one["factor"]: _said(one) for one in run.found["findings"]} for run in (first, second)]
    return {
        name: (said[0][name], said[1][name]) for name in said[0] if said[0][name] != said[1].get(name, said[0][name])
    }


def _said(finding: Mapping[str, Any]) -> str:
    return " ".join([*finding["claims"], f"({finding['level'].lower()})"])


def _maps(first: StoredRun, second: StoredRun, matching: Matching) -> tuple[MapChanges | None, list[str]]:
    keys = same_or_first(first.keys, second.keys)
    if keys is None:
        return None, ["No maps are compared: one of the runs has none."]
    there, here = (
        arrays.read_maps(run.folder, key)[[pair[at] for pair in matching.pairs]]
        for at, (run, key) in enumerate(zip((first, second), keys, strict=True))
    )
    names = {first.outcomes[row].image.id: second.outcomes[other].image.id for row, other in matching.pairs}
    other = {region for run in (first, second) for region in _moving(run) if _moving(first) != _moving(second)}
    tables = first.table("map_shares"), second.table("map_shares")
    shifts = region_shifts(*tables, names, left_out=other) if keys[0] == keys[1] else []
    changes = map_changes(keys, there, here, shifts)
    if changes is None:
        return None, ["No maps are compared: in every image one of both is empty."]
    notes = [] if keys[0] == keys[1] else ["The runs have no kind of map in common: the first of each is compared."]
    return changes, notes

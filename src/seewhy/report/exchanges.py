"""What an exchange does to single images, and the donors whose content moves others most and least."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seewhy.errors import counted
from seewhy.evidence.findings.figures import watched_of
from seewhy.evidence.findings.finding import Finding
from seewhy.report.gallery import Gallery
from seewhy.report.stored import StoredRun

ENDS = 6  # donors shown at each end


@dataclass(frozen=True)
class Picture:
    """A picture with its words: `source` is a link or data URI, "" where it could not be made."""

    source: str
    alt: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class DrawnTrial:
    """One trial chosen by rule: as it was, what was given, and what came of it."""

    pictures: tuple[Picture, ...]
    is_counter: bool
    words: str


@dataclass(frozen=True)
class DonorEffects:
    """The own effects of a factor's donors by class, and pictures of those at both ends."""

    effects: Mapping[str, tuple[float, ...]]
    watched: str
    highest: tuple[Picture, ...]
    lowest: tuple[Picture, ...]


def exchanges_of(finding: Finding, run: Path, folder: Path, number: int) -> list[DrawnTrial]:
    """The drawn trials of a finding, their pictures copied to folder/finding-<number>-…"""
    exchanges = []
    counters = {id(record) for record in finding.counter_examples}
    for record in (*finding.examples, *finding.counter_examples):
        if "recipient" in record and "pictures" in record:
            sources = [_copied(run, folder, record["pictures"], part, number) for part in _parts(record)]
            pictures = tuple(
                Picture(source, alt, lines) for source, (alt, lines) in zip(sources, _words(record), strict=True)
            )
            is_counter = id(record) in counters
            exchanges.append(DrawnTrial(pictures, is_counter, _told(record, is_counter)))
    return exchanges


def donors_of(stored: StoredRun, gallery: Gallery, factor: str, contrast: str) -> DonorEffects | None:
    """The donors of a factor for one contrast; None where the run has none."""
    table = stored.table("donor_effects")
    pairs = zip(table["factor"], table["contrast"], strict=True) if table else ()
    rows = [row for row, pair in enumerate(pairs) if pair == (factor, contrast)]
    if not rows:
        return None
    effects, labels = np.asarray(table["effect"])[rows], [table["label"][row] for row in rows]
    places = stored.rows()
    order = [at for at in np.argsort(-effects, kind="stable").tolist() if np.isfinite(effects[at])]

    def pictures(chosen: Sequence[int]) -> Iterator[Picture]:
        for at in chosen:
            name = table["donor"][rows[at]]
            small = gallery.thumbnail(places[name]) if name in places else None
            uses = f"{counted(table['n'][rows[at]], 'trial')}, labelled {labels[at]}"
            lines = (f"{100 * effects[at]:+.1f} points", uses, _short(name))
            yield Picture("" if small is None else small[0], f"donor {_short(name)}", lines)

    return DonorEffects(
        {label: tuple(effects[at] for at in order if labels[at] == label) for label in sorted(set(labels))},
        watched_of(contrast),
        tuple(pictures(order[:ENDS])),
        tuple(pictures(order[-ENDS:][::-1])) if len(order) >= 2 * ENDS else (),
    )


def _told(trial: Mapping[str, Any], is_counter: bool) -> str:
    """What the trial did, and where it stands among all."""
    before, after = trial.get("patch", trial["before"]), trial["after"]
    given = "the mark" if "patch" in trial else f"what an image of the class {trial['donor_label']} gives it"
    way = (
        "stays at"
        if f"{before:.0%}" == f"{after:.0%}"
        else f"{'rises' if after > before else 'falls'} from {before:.0%} to"
    )
    judged = (
        "the same class" if trial["prediction"] == trial["prediction_before"] else trial["prediction"] or "no class"
    )
    did = f"With {given}, {watched_of(trial['contrast'])} {way} {after:.0%}; it is judged {judged}."
    share = 100 * (trial["quantile"] if is_counter else 1 - trial["quantile"])
    than = "less, or the opposite" if is_counter else "more"
    return f"{did} Of 100 such exchanges, {share:.0f} {'does' if f'{share:.0f}' == '1' else 'do'} {than}."


def _parts(trial: Mapping[str, Any]) -> tuple[str, ...]:
    return ("before", "patch" if "patch" in trial else "donor", "after")


def _copied(run: Path, folder: Path, pictures: str, part: str, number: int) -> str:
    """The link to a copied picture; its own name may be anything, the copy's is a number."""
    source = run / "pictures" / f"{pictures}-{part}.png"
    inside = "\0" not in pictures and source.resolve().is_relative_to(run.resolve() / "pictures")
    if not inside or not source.is_file():
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"finding-{number}-{re.sub('[^0-9]', '', Path(pictures).name)}-{part}.png"
    shutil.copyfile(source, folder / name)
    return f"{folder.name}/{name}"


def _words(trial: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    what = watched_of(trial["contrast"])
    name = _short(trial["recipient"])
    before = (f"{what} {trial['before']:.3f}", f"labelled {trial['label']}, judged {trial['prediction_before']}", name)
    after = (f"{what} {trial['after']:.3f}", f"judged {trial['prediction']}")
    given: tuple[str, tuple[str, ...]] = (
        f"{name} with the neutral patch",
        (f"{what} {trial.get('patch', 0):.3f}", "the same pixels shuffled"),
    )
    if "donor" in trial:
        donor = _short(trial["donor"])
        given = (f"the donor {donor}", (f"labelled {trial['donor_label']}", donor))
    return [(f"{name} as it is", before), given, (f"{name} after the exchange", after)]


def _short(name: str) -> str:
    return name.rpartition("/")[2] or name

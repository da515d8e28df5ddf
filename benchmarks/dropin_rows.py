"""Rows of `dropin.py`: the same script under both imports in turn, each a process of its own."""

from __future__ import annotations

import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
from dropin_cases import DROPIN, LIMITS, MEMORY, Case
from measure import Run, progress, run, wait_for_quiet
from pairs import PYTHON
from report import Raw, gate_words, headline, spread, table_head, table_row
from workloads import HERE, TUTORIAL, link_images

SIDES = {"peer": "pytorch_grad_cam", "ours": "seewhy.compat.pytorch_grad_cam"}


def measure_dropin(name: str, options: Namespace, home: Path) -> Raw:
    """Both sides in turn, the second first in every other round; the maps of the first round go through the gate."""
    case = DROPIN[name]
    images = link_images(TUTORIAL, options.data, options.images or case.images, home / "images")
    rounds: list[Raw] = []
    for number in range(options.rounds):
        busy, found = wait_for_quiet(), {}
        for side in sorted(SIDES, reverse=bool(number % 2)):
            kept = [home / f"{side}.npy"] if case.gated and not number else []
            found[side] = _ran(name, side, [images, options.data / str(TUTORIAL.weights), home / "out", *kept])
        rounds.append(
            {
                "loop_s": {side: one.said["loop_s"] for side, one in found.items()},
                "peak_mib": {side: one.peak_mib for side, one in found.items()},
                "busy_otherwise": max(busy, *(one.others for one in found.values())),
                "images": options.images or case.images,
                "threads": found["ours"].said["threads"],
            }
        )
        seconds = rounds[-1]["loop_s"]
        progress(f"{name} {number + 1}/{options.rounds}: {seconds['peer']:.1f} s and {seconds['ours']:.1f} s")
    return {"rounds": rounds, **({"gate": _gate(home)} if case.gated else {})}


def _ran(name: str, side: str, rest: list[Path]) -> Run:
    found = run([PYTHON, HERE / "dropin.py", SIDES[side], name, *rest], rest[2].parent)
    shutil.rmtree(rest[2])
    return found


def _gate(home: Path) -> Raw:
    one, other = (np.load(home / f"{side}.npy") for side in SIDES)
    apart = np.abs(one - other).max((1, 2))
    found = {"p95": float(np.percentile(apart, 95)), "max": float(apart.max())}
    return {**found, "passed": all(found[key] <= most for key, most in LIMITS.items())}


def _ratios(raw: Raw) -> list[float]:
    return [one["loop_s"]["peer"] / one["loop_s"]["ours"] for one in raw["rounds"]]


def _memory(raw: Raw) -> list[float]:
    return [one["peak_mib"]["ours"] / one["peak_mib"]["peer"] for one in raw["rounds"]]


def dropin_headlines(name: str, raw: Raw) -> list[Raw]:
    case: Case = DROPIN[name]
    memory = replace(MEMORY, what=MEMORY.what.format(case.aim.what))
    return [headline(case.aim, _ratios(raw), raw.get("gate")), headline(memory, _memory(raw), None)]


def dropin_lines(name: str, raw: Raw) -> list[str]:
    """The table of one row, in ms for each image."""
    rounds = raw["rounds"]
    lines = table_head(name, "peer ms/image", "ours ms/image", "ratio", "peak MiB peer / ours", "maps apart", "gate")
    times = [median(1000 * one["loop_s"][side] / one["images"] for one in rounds) for side in SIDES]
    peaks = " / ".join(f"{max(one['peak_mib'][side] for one in rounds):.0f}" for side in SIDES)
    gate = gate_words(raw["gate"]) if "gate" in raw else ("other by design", "-")
    lines.append(table_row((name, *(f"{time:.1f}" for time in times), spread(_ratios(raw)), peaks, *gate)))
    return [
        *lines,
        "",
        f"- {rounds[0]['images']} images, {len(rounds)} rounds of two processes; imports and loading the network left "
        f"out of the time, but not of the memory. {rounds[0]['threads']} threads, the default allocator for both.",
    ]

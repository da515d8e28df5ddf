"""Rows of `compute.py`: one process a side and round, a gate that the maps are the same, and float64 as the judge."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from statistics import median

from cases import CASES
from measure import progress, run, wait_for_quiet
from report import Raw, gate_words, headline, spread, table_head, table_row
from workloads import HERE, RESNET50, link_images

PYTHON = sys.executable
SIDES = ("peer", "ours")


def measure_compute(name: str, options: Namespace, home: Path) -> Raw:
    """Both sides in turn; the maps of the first round go through the gate."""
    case = CASES[name]
    images = link_images(RESNET50, options.data, 16, home / "images")
    weights = home / "weights.pt"
    start = [PYTHON, HERE / "compute.py"]
    run([*start, "weights", name, weights, images], home)
    rounds: list[Raw] = []
    for number in range(min(options.rounds, case.rounds)):
        busy = wait_for_quiet()
        kept = [] if number else ["maps"]
        found = {
            side: run([*start, side, name, weights, images, *(home / f"{side}.npy" for _ in kept)], home)
            for side in SIDES
        }
        rounds.append(
            {
                "seconds": {key: one for side in SIDES for key, one in found[side].said["seconds"].items()},
                "peak_mib": {side: found[side].peak_mib for side in SIDES},
                "busy_otherwise": max(busy, *(one.others for one in found.values())),
                "images": found["ours"].said["images"],
                "threads": found["ours"].said["threads"],
            }
        )
        seconds = rounds[-1]["seconds"]
        progress(f"{name} {number + 1}: {seconds['peer']:.2f} s and {seconds['next']:.4f} s")
    run([*start, "truth", name, weights, images, home / "truth.npy"], home)
    gate = run([PYTHON, HERE / "compute_gate.py", *(home / f"{side}.npy" for side in (*SIDES, "truth"))], home).said
    return {"gate": gate, "rounds": rounds}


def _ratios(raw: Raw, which: str) -> list[float]:
    return [one["seconds"]["peer"] / one["seconds"][which] for one in raw["rounds"]]


def compute_headlines(name: str, raw: Raw) -> list[Raw]:
    return [headline(CASES[name].aim, _ratios(raw, "next"), raw["gate"])]


def compute_lines(name: str, raw: Raw) -> list[str]:
    numbers, verdict = gate_words(raw["gate"])
    lines = table_head("ready tensors", "peer s", "ours s", "ratio", "peak MiB peer / ours", "maps apart", "gate")
    peaks = " / ".join(f"{max(one['peak_mib'][side] for one in raw['rounds']):.0f}" for side in SIDES)
    for which in ("next", "first"):
        times = [f"{median(one['seconds'][side] for one in raw['rounds']):.3f}" for side in ("peer", which)]
        lines.append(table_row((f"{name}, {which} call", *times, spread(_ratios(raw, which)), peaks, numbers, verdict)))
    float64 = raw["gate"]["p95_to_float64"]
    return [
        *lines,
        "",
        f"- {raw['rounds'][0]['images']} images, {len(raw['rounds'])} rounds of whole processes, "
        f"{raw['rounds'][0]['threads']} threads, the default allocator, {case_words(name)}.",
        "- First call: with the proofs and plans of the network, which later calls find made. Next: median of up to 5.",
        f"- Distance to float64, p95: ours {float64['ours']:.1e}, peer {float64['peer']:.1e}.",
    ]


def case_words(name: str) -> str:
    return "channels_last for ours" if CASES[name].channels_last else "NCHW for both"

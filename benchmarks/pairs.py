"""Rows of whole processes: a peer's script and `seewhy explain` in turn on the same photographs."""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path
from statistics import median

from measure import Run, progress, run, wait_for_quiet
from report import Raw, gate_words, headline, spread, table_head, table_row
from workloads import HERE, LOOP, PAIR_AIMS, WHOLE, Workload, explain_arguments, link_images

PYTHON = sys.executable
SEEWHY = Path(PYTHON).with_name("seewhy")
GATE_IMAGES = 64
TIMED = {"whole_s": WHOLE, "loop_s": LOOP}


def weights_of(workload: Workload, data: Path, images: Path, home: Path) -> Path:
    """The workload's weights, made from its photographs where it has none of its own."""
    if workload.weights is not None:
        return data / workload.weights
    progress(f"{workload.name}: weights")
    run([PYTHON, HERE / "calibrate_resnet50.py", images, home / "weights.pt"], home)
    return home / "weights.pt"


def measure_pair(workload: Workload, count: int, data: Path, rounds: int, home: Path) -> Raw:
    """The raw numbers of one workload: the gate, then peer and ours in turn."""
    images = link_images(workload, data, count, home / "images")
    weights = weights_of(workload, data, images, home)
    raw: Raw = {"gate": gate(workload, images, weights, home), "rounds": []}
    for number in range(rounds):
        raw["rounds"].append({"images": count, **one_round(workload, images, weights, home)})
        peer, ours = raw["rounds"][-1]["whole_s"].values()
        progress(f"{workload.name} {number + 1}/{rounds}: {peer:.1f} s and {ours:.1f} s")
    return raw


def one_round(workload: Workload, images: Path, weights: Path, home: Path) -> Raw:
    busy = wait_for_quiet()
    peer = run_peer(workload, images, weights, home / "peer")
    whole = timed = run_ours(workload, images, weights, home / "ours", by_command=workload.by_command)
    if workload.by_command:  # the command does not time itself
        timed = run_ours(workload, images, weights, home / "ours", by_command=False)
    return {
        "busy_otherwise": max(busy, peer.others, whole.others, timed.others),
        "whole_s": {"peer": peer.wall_s, "ours": whole.wall_s},
        "loop_s": {"peer": peer.said["loop_s"], "ours": timed.said["loop_s"]},
        "peak_mib": {"peer": peer.peak_mib, "ours": whole.peak_mib},
    }


def gate(workload: Workload, images: Path, weights: Path, home: Path) -> Raw:
    """Whether both make the same maps, in a pass of its own; it also warms the file cache for both."""
    progress(f"{workload.name}: gate")
    ours, peer = home / "gate-ours", home / "gate-peer"
    run_ours(workload, images, weights, ours, by_command=workload.by_command, keep=True)
    run_peer(workload, images, weights, peer, maps=GATE_IMAGES)
    found = run([PYTHON, HERE / "gate.py", workload.name, images, weights, ours, peer], home).said
    shutil.rmtree(ours)
    shutil.rmtree(peer)
    return found


def run_peer(workload: Workload, images: Path, weights: Path, out: Path, maps: int = 0) -> Run:
    command = [PYTHON, HERE / workload.peer, "--images", images, "--weights", weights, "--out", out]
    found = run([*command, "--target", str(workload.target), "--maps", str(maps)], out.parent)
    if not maps:
        shutil.rmtree(out)
    return found


def run_ours(
    workload: Workload, images: Path, weights: Path, out: Path, *, by_command: bool, keep: bool = False
) -> Run:
    start = [SEEWHY] if by_command else [PYTHON, HERE / "ours_explain.py"]
    found = run([*start, *explain_arguments(workload, images, weights, out)], out.parent)
    if not keep:
        shutil.rmtree(out)
    return found


def pair_ratios(raw: Raw, key: str) -> list[float]:
    return [one[key]["peer"] / one[key]["ours"] for one in raw["rounds"]]


def pair_headlines(name: str, raw: Raw) -> list[Raw]:
    found = [(PAIR_AIMS.get((name, what)), key) for key, what in TIMED.items()]
    return [headline(aim, pair_ratios(raw, key), raw["gate"]) for aim, key in found if aim]


def pair_lines(name: str, raw: Raw) -> list[str]:
    found = raw["gate"]
    numbers, verdict = gate_words(found)
    lines = table_head("workload", "peer img/s", "ours img/s", "ratio", "peak MiB peer / ours", "maps apart", "gate")
    for key, what in TIMED.items():
        rates = {side: median(one["images"] / one[key][side] for one in raw["rounds"]) for side in ("peer", "ours")}
        peaks = " / ".join(f"{max(one['peak_mib'][side] for one in raw['rounds']):.0f}" for side in ("peer", "ours"))
        speeds = (f"{rates['peer']:.1f}", f"{rates['ours']:.1f}", spread(pair_ratios(raw, key)))
        lines.append(table_row((f"{name}, {what}", *speeds, peaks, numbers, verdict)))
    return [*lines, "", *_notes(found, raw["rounds"])]


def _notes(found: Raw, rounds: list[Raw]) -> list[str]:
    float64, most = found["p95_to_float64"], found["max_to_float64"]
    lines = [
        f"- {rounds[0]['images']} images, {len(rounds)} rounds. Maps of {found['images']} compared.",
        f"- Distance to float64, p95: ours {float64['ours']:.1e}, peer {float64['peer']:.1e}; largest: ours "
        f"{most['ours']:.1e}, peer {most['peer']:.1e}.",
        f"- Near-empty maps, judged apart: {found['near_empty']}, at most {found['max_near_empty']:.1e} apart.",
    ]
    levels, tables = found["mean_grey_levels_between_pictures"], found["jpeg_tables"]
    same = "the same quality" if tables["ours"] == tables["peer"] else f"DIFFERENT quality ({tables})"
    lines.append(f"- Both sides' JPEG files have {same}, by their quantisation tables.")
    if not math.isnan(levels):
        lines.append(f"- Saved pictures differ by {levels:.2f} grey levels on average in the worst image.")
    return lines

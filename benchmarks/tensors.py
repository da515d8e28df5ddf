"""Rows without files: maps from ready tensors against torchcam, captum, the bare forward pass, and in memory."""

from __future__ import annotations

import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from statistics import median

from measure import progress, run, wait_for_quiet
from pairs import weights_of
from report import Raw, gate_words, headline, spread, table_head, table_row
from workloads import BARE_AIM, HERE, MAPS_AIMS, MEMORY_AIM, RESNET50, link_images

PYTHON = sys.executable
LAYOUTS = ("NCHW", "channels_last")
MEMORY_SIDES = ("grad-cam", "seewhy.explain", *(f"attribute {layout}" for layout in LAYOUTS))
BATCHED_IMAGES, CALIBRATION_IMAGES = 64, 32


def _prepared(name: str, options: Namespace, home: Path, count: int) -> tuple[Path, Path]:
    """A folder of photographs, and ResNet-50's weights."""
    images = link_images(RESNET50, options.data, max(count, CALIBRATION_IMAGES), home / "images")
    return images, weights_of(RESNET50, options.data, images, home)


def _rounds(name: str, command: list[str | Path], rounds: int, home: Path) -> list[Raw]:
    """One process a round, each told its number: it decides which side begins."""
    found = []
    for number in range(rounds):
        busy = wait_for_quiet()
        one = run([PYTHON, HERE / command[0], *command[1:], str(number)], home)
        found.append({**one.said, "busy_otherwise": max(busy, one.others)})
        progress(f"{name} {number + 1}/{rounds}: {one.wall_s:.1f} s")
    return found


def measure_batched(name: str, options: Namespace, home: Path) -> Raw:
    count = options.images or BATCHED_IMAGES
    images, weights = _prepared(name, options, home, count)
    command = ["batched.py", images, weights, str(count)]
    gates = run([PYTHON, HERE / command[0], *command[1:], "gate"], home).said
    return {"gates": gates, "rounds": _rounds(name, command, options.rounds, home)}


def _batched_ratios(raw: Raw, ours: str, peer: str) -> list[float]:
    return [one["seconds"][peer] / one["seconds"][f"ours {ours}"] for one in raw["rounds"]]


def batched_headlines(name: str, raw: Raw) -> list[Raw]:
    """In channels_last, seewhy's own choice on a CPU, where its maps pass the gate."""
    chosen = (
        "channels_last" if all(raw["gates"][f"ours channels_last, {peer}"]["passed"] for peer in MAPS_AIMS) else "NCHW"
    )
    return [
        headline(aim, _batched_ratios(raw, chosen, peer), raw["gates"][f"ours {chosen}, {peer}"])
        for peer, aim in MAPS_AIMS.items()
    ]


def batched_lines(name: str, raw: Raw) -> list[str]:
    lines = table_head("ready tensors, batches of 8", "peer img/s", "ours img/s", "ratio", "maps apart", "gate")
    images = raw["rounds"][0]["images"]
    for layout in LAYOUTS:
        for peer in MAPS_AIMS:
            rates = [
                median(images / one["seconds"][side] for one in raw["rounds"]) for side in (peer, f"ours {layout}")
            ]
            ratio = spread(_batched_ratios(raw, layout, peer))
            numbers = gate_words(raw["gates"][f"ours {layout}, {peer}"])
            lines.append(table_row((f"ours {layout} against {peer}", *(f"{r:.1f}" for r in rates), ratio, *numbers)))
    return [
        *lines,
        "",
        f"- {images} images, {len(raw['rounds'])} rounds, each a process in which the four take turns batch by batch.",
        f"- {raw['rounds'][0]['threads']} threads, the default allocator and the same network for all.",
        "- The peers work on NCHW tensors; channels_last is what seewhy chooses by itself on a CPU, without a preset.",
    ]


def measure_memory(name: str, options: Namespace, home: Path) -> Raw:
    images, weights = _prepared(name, options, home, 16)
    inputs, rounds = home / "inputs.pt", []
    run([PYTHON, HERE / "memory16.py", "prepare", images, inputs], home)
    for number in range(options.rounds):
        busy = wait_for_quiet()
        runs = {
            side: run([PYTHON, HERE / "memory16.py", side, weights, inputs, home / f"{side}.npy"], home)
            for side in MEMORY_SIDES
        }
        sides = {side: {"peak_mib": one.peak_mib, **one.said} for side, one in runs.items()}
        busy = max(busy, *(one.others for one in runs.values()))
        rounds.append({"sides": sides, "busy_otherwise": busy})
        progress(f"{name} {number + 1}/{options.rounds}")
    gates = run([PYTHON, HERE / "memory16.py", "gate", weights, inputs, home], home).said
    return {"gates": gates, "rounds": rounds}


def _memory_ratios(raw: Raw, side: str, *, beyond: bool) -> list[float]:
    return [_mib(one, side, beyond=beyond) / _mib(one, "grad-cam", beyond=beyond) for one in raw["rounds"]]


def _mib(one: Raw, side: str, *, beyond: bool) -> float:
    found = one["sides"][side]
    return found["peak_mib"] - found["base_mib"] * beyond


def memory_headlines(name: str, raw: Raw) -> list[Raw]:
    """Of the public function, in total."""
    return [headline(MEMORY_AIM, _memory_ratios(raw, "seewhy.explain", beyond=False), raw["gates"]["seewhy.explain"])]


def memory_lines(name: str, raw: Raw) -> list[str]:
    lines = table_head(
        "maps of 16 at once",
        "base MiB",
        "peak MiB",
        "peak / grad-cam's",
        "beyond the base / grad-cam's",
        "apart",
        "gate",
    )
    for side in MEMORY_SIDES:
        base = median(one["sides"][side]["base_mib"] for one in raw["rounds"])
        peak = median(one["sides"][side]["peak_mib"] for one in raw["rounds"])
        ratios = [f"{median(_memory_ratios(raw, side, beyond=beyond)):.3f}" for beyond in (False, True)]
        numbers = gate_words(raw["gates"][side]) if side in raw["gates"] else ("-", "-")
        lines.append(table_row((side, f"{base:.0f}", f"{peak:.0f}", *ratios, *numbers)))
    return [
        *lines,
        "",
        "- Resident memory of a process. Base: everything imported and the network loaded, before there is any input.",
        f"- {len(raw['rounds'])} rounds; default threads and allocator.",
    ]


def measure_bare(name: str, options: Namespace, home: Path) -> Raw:
    images, weights = _prepared(name, options, home, CALIBRATION_IMAGES)
    gates = run([PYTHON, HERE / "bare_forward.py", images, weights, "gate"], home).said
    return {"gates": gates, "rounds": _rounds(name, ["bare_forward.py", images, weights], options.rounds, home)}


def _shares(raw: Raw, kind: str) -> list[float]:
    return [one["seconds"][kind]["forward"] / one["seconds"][kind]["maps"] for one in raw["rounds"]]


def bare_headlines(name: str, raw: Raw) -> list[Raw]:
    """Of every layout and batch."""
    return [
        headline(
            replace(BARE_AIM, what=f"{BARE_AIM.what}, {kind}"), _shares(raw, kind), raw["gates"][kind.split(",")[0]]
        )
        for kind in raw["rounds"][0]["seconds"]
    ]


def bare_lines(name: str, raw: Raw) -> list[str]:
    lines = table_head(
        "ready tensors", "forward img/s", "maps img/s", "share of the forward pass", "to float64", "gate"
    )
    for kind in raw["rounds"][0]["seconds"]:
        rates = [
            f"{median(one['images'] / one['seconds'][kind][work] for one in raw['rounds']):.1f}"
            for work in ("forward", "maps")
        ]
        numbers = gate_words(raw["gates"][kind.split(",")[0]])
        lines.append(table_row((kind, *rates, spread(_shares(raw, kind)), *numbers)))
    apart = max(one["logits_apart"] for one in raw["gates"].values())
    return [
        *lines,
        "",
        f"- {len(raw['rounds'])} rounds, each a process in which both take turns on the same tensors and network, "
        f"{raw['rounds'][0]['threads']} threads, default allocator.",
        f"- The logits of both are {apart:.1e} apart at most (the gate asks for 0).",
    ]

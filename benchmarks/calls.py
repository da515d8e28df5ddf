"""Rows of `one_image.py`: what a call in Python takes, and of `neighbour`: what a busy neighbour costs a command."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from statistics import median

from measure import progress, run, wait_for_quiet
from pairs import PYTHON, SEEWHY
from report import Raw, headline, spread, table_head, table_row
from workloads import HERE, TUTORIAL, Aim, link_images

CALLS = {  # by name of the row: options, threads (0: all), against the peer, in forward passes
    "call-plain": ("plain", 0, Aim("one image in Python, ResNet-18, second call on, against grad-cam's", 1.5, 2.5)),
    "call-preset": ("preset", 0, Aim("the same with the preset", 1.5, 2.5)),
    "call-ablation": ("ablation", 0, Aim("Ablation-CAM, ResNet-18 layer4, second call, all threads", 500, 600)),
    "call-ablation-1": ("ablation", 1, Aim("Ablation-CAM, ResNet-18 layer4, second call, one thread", 500, 600)),
}
FORWARDS = Aim("one image in Python, ResNet-18, second call on, in forward passes", 3.5, 2.2, lower=True)
NEIGHBOUR = Aim("`seewhy {}` beside one spinning process, against alone", 1.6, 1.3, lower=True)
SPIN = "while True: pass"


def measure_call(name: str, options: Namespace, home: Path) -> Raw:
    kind, threads, _ = CALLS[name]
    rounds = []
    for number in range(options.rounds):
        busy = wait_for_quiet()
        one = run([PYTHON, HERE / "one_image.py", kind, str(threads), str(number)], home)
        rounds.append({**one.said, "busy_otherwise": max(busy, one.others)})
        progress(f"{name} {number + 1}/{options.rounds}: {one.wall_s:.1f} s")
    return {"rounds": rounds}


def _middles(one: Raw) -> dict[str, float]:
    return {side: median(seconds) for side, seconds in one["seconds"].items()}


def _ratios(raw: Raw, over: str, under: str) -> list[float]:
    return [_middles(one)[over] / _middles(one)[under] for one in raw["rounds"]]


def call_headlines(name: str, raw: Raw) -> list[Raw]:
    found = [headline(CALLS[name][2], _ratios(raw, "peer", "ours"), None)]
    return [*found, headline(FORWARDS, _ratios(raw, "ours", "forward"), None)] if name == "call-plain" else found


def call_lines(name: str, raw: Raw) -> list[str]:
    lines = table_head(name, "ms, median [min-max] over the rounds' medians")
    for side in ("forward", "ours", "peer"):
        lines.append(table_row((side, spread([1000 * _middles(one)[side] for one in raw["rounds"]]))))
    apart = [one["apart"] for one in raw["rounds"] if one["apart"] is not None]
    said = [f"- Maps of both sides are apart by at most {max(apart):.1e}."] if apart else []
    return [
        *lines,
        table_row(("peer / ours", spread(_ratios(raw, "peer", "ours")))),
        table_row(("ours / forward", spread(_ratios(raw, "ours", "forward")))),
        "",
        *said,
        f"- {len(raw['rounds'])} processes, in each of which the sides take turns.",
        f"- {raw['rounds'][0]['threads']} threads.",
    ]


def _commands(data: Path, home: Path) -> dict[str, list[str | Path]]:
    """The three commands on few faces; the audit on rendered ones."""
    images = link_images(TUTORIAL, data, 60, home / "images")
    network: list[str | Path] = ["--model", TUTORIAL.model, "--weights", data / "rvf" / "model_4.pt"]
    run([SEEWHY, "data", "planted", home / "faces", "--size", "64", "--train", "40", "--valid", "40"], home)
    small: list[str | Path] = ["--model", TUTORIAL.model, "--model-arg", "size=64"]
    few: list[str | Path] = ["--recipients", "40", "--donors", "40", "--properties", "tint,brightness"]
    common: list[str | Path] = ["--layers", TUTORIAL.layers, "--classes", "fake,real", "--no-report"]
    return {
        "explain": [SEEWHY, "explain", images, *network, "--target", "fake", *common],
        "check": [SEEWHY, "check", data / "rvf10k" / "valid", *network, "--limit", "30", *common],
        "audit": [SEEWHY, "audit", home / "faces", *small, *few, "--no-report"],
    }


def measure_neighbour(name: str, options: Namespace, home: Path) -> Raw:
    """Each command alone and beside a process that never waits, in turn."""
    commands = _commands(options.data, home)
    rounds: list[Raw] = []
    for number in range(options.rounds):
        busy, seconds = wait_for_quiet(), {}
        for command, words in commands.items():
            alone = run([*words, "--out", home / f"{command}-alone-{number}"], home)
            spinning = subprocess.Popen([sys.executable, "-c", SPIN])
            try:
                beside = run([*words, "--out", home / f"{command}-beside-{number}"], home)
            finally:
                spinning.kill()
                spinning.wait()
            seconds[command] = {"alone": alone.wall_s, "beside": beside.wall_s}
            busy = max(busy, alone.others)
            progress(f"{command} {number + 1}: {alone.wall_s:.1f} s alone, {beside.wall_s:.1f} s beside another")
        rounds.append({"seconds": seconds, "busy_otherwise": busy})
    return {"rounds": rounds}


def _beside(raw: Raw, command: str) -> list[float]:
    return [one["seconds"][command]["beside"] / one["seconds"][command]["alone"] for one in raw["rounds"]]


def neighbour_headlines(name: str, raw: Raw) -> list[Raw]:
    aims = {
        command: Aim(NEIGHBOUR.what.format(command), 1.6, 1.3, lower=True) for command in raw["rounds"][0]["seconds"]
    }
    return [headline(aim, _beside(raw, command), None) for command, aim in aims.items()]


def neighbour_lines(name: str, raw: Raw) -> list[str]:
    lines = table_head("beside one spinning process", "s alone", "s beside it", "ratio")
    for command in raw["rounds"][0]["seconds"]:
        both = [median(one["seconds"][command][how] for one in raw["rounds"]) for how in ("alone", "beside")]
        lines.append(table_row((command, *(f"{seconds:.1f}" for seconds in both), spread(_beside(raw, command)))))
    return [*lines, "", f"- {len(raw['rounds'])} rounds; whole processes, without pages."]

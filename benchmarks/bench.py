"""seewhy beside pytorch-grad-cam: whole processes in turn, paired ratios, and a gate that both made the same maps."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from measure import QUIET, Run, busy_cores, load, machine, progress, run, wait_for_quiet
from workloads import HERE, RESNET50, WORKLOADS, Workload, explain_arguments, link_images

PYTHON = sys.executable
SEEWHY = Path(PYTHON).with_name("seewhy")
GATE_IMAGES = 64
Raw = dict[str, Any]


def compare(workload: Workload, images: Path, weights: Path, rounds: int, home: Path) -> Raw:
    """The raw numbers of one workload: the gate, then peer and ours in turn."""
    raw: Raw = {"gate": gate(workload, images, weights, home), "rounds": []}
    count = sum(1 for _ in images.iterdir())
    for number in range(rounds):
        busy = wait_for_quiet()
        peer = run_peer(workload, images, weights, home / "peer")
        whole = timed = run_ours(workload, images, weights, home / "ours", by_command=workload.by_command)
        if workload.by_command:  # the command does not time itself
            timed = run_ours(workload, images, weights, home / "ours", by_command=False)
        raw["rounds"].append(
            {
                "images": count,
                "busy_otherwise": max(busy, peer.others, whole.others, timed.others),
                "whole_s": {"peer": peer.wall_s, "ours": whole.wall_s},
                "loop_s": {"peer": peer.said["loop_s"], "ours": timed.said["loop_s"]},
                "peak_mib": {"peer": peer.peak_mib, "ours": whole.peak_mib},
            }
        )
        progress(f"{workload.name} {number + 1}/{rounds}: {peer.wall_s:.1f} s and {whole.wall_s:.1f} s")
    return raw


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


def measure_workload(name: str, options: argparse.Namespace, home: Path) -> Raw:
    workload = WORKLOADS[name]
    count = min(options.images, 200) if workload is RESNET50 else options.images
    images = link_images(workload, options.data, count, home / "images")
    weights = options.data / workload.weights if workload.weights else home / "weights.pt"
    if workload.weights is None:
        progress(f"{name}: weights")
        run([PYTHON, HERE / "calibrate_resnet50.py", images, weights], home)
    raw = compare(workload, images, weights, options.rounds, home)
    if workload is RESNET50:
        wait_for_quiet()
        bare = [PYTHON, HERE / "bare_forward.py", weights, images, str(max(options.rounds, 3))]
        raw["bare"] = run(bare, home).said
    return raw


def measure_startup(options: argparse.Namespace, home: Path) -> Raw:
    """Seconds of starting, and whether the help imports torch."""
    commands = {
        "seewhy --help": [SEEWHY, "--help"],
        "import torch": [PYTHON, "-c", "import torch"],
        "import seewhy, torch": [PYTHON, "-c", "import seewhy, torch"],
        "import pytorch_grad_cam": [PYTHON, "-c", "import torchvision_shim, pytorch_grad_cam"],
        "import what seewhy explain needs": [PYTHON, "-c", "import seewhy.cli, seewhy.run.explain"],
    }
    raw: Raw = {"rounds": []}
    for number in range(options.rounds + 1):
        busy = wait_for_quiet()
        runs = {name: run(command, HERE) for name, command in commands.items()}
        if number:  # the first round warms the file cache
            seconds = {name: one.wall_s for name, one in runs.items()}
            busy = max(busy, *(one.others for one in runs.values()))
            raw["rounds"].append({"busy_otherwise": busy, "seconds": seconds})
    probe = (
        "import json, sys, seewhy.cli\ntry: seewhy.cli.main(['--help'])\nexcept SystemExit: pass\n"
        "print(json.dumps({'torch': 'torch' in sys.modules}))"
    )
    return {**raw, "help_imports_torch": run([PYTHON, "-c", probe], home).said["torch"]}


def workload_lines(name: str, raw: Raw) -> list[str]:
    found = raw["gate"]
    numbers = f"p95 {found['p95']:.1e}, max {found['max']:.1e}"
    verdict = "pass" if found["passed"] else "FAIL"
    lines = table_head("workload", "peer img/s", "ours img/s", "ratio", "peak MiB peer / ours", "maps apart", "gate")
    for key, what in (("whole_s", "whole process"), ("loop_s", "imports left out")):
        rates = {side: median(one["images"] / one[key][side] for one in raw["rounds"]) for side in ("peer", "ours")}
        ratio = spread([one[key]["peer"] / one[key]["ours"] for one in raw["rounds"]])
        peaks = " / ".join(f"{max(one['peak_mib'][side] for one in raw['rounds']):.0f}" for side in ("peer", "ours"))
        row = (f"{name}, {what}", f"{rates['peer']:.1f}", f"{rates['ours']:.1f}", ratio, peaks, numbers, verdict)
        lines.append(table_row(row))
    float64, most = found["p95_to_float64"], found["max_to_float64"]
    lines += [
        "",
        f"- {raw['rounds'][0]['images']} images, {len(raw['rounds'])} rounds. Maps of {found['images']} compared.",
        f"- Distance to float64, p95: ours {float64['ours']:.1e}, peer {float64['peer']:.1e}; largest: ours "
        f"{most['ours']:.1e}, peer {most['peer']:.1e}.",
        f"- Near-empty maps, judged apart: {found['near_empty']}, at most {found['max_near_empty']:.1e} apart.",
    ]
    levels = found["mean_grey_levels_between_pictures"]
    if not math.isnan(levels):
        lines.append(f"- Saved pictures differ by {levels:.2f} grey levels on average in the worst image.")
    if bare := raw.get("bare"):
        share = spread([f / m for f, m in zip(bare["forward_s"], bare["maps_s"], strict=True)])
        rates = [bare["batch"] / median(bare[key]) for key in ("maps_s", "forward_s")]
        lines.append(
            f"- Maps alone, batch of {bare['batch']} ready tensors: {rates[0]:.1f} img/s, {share} of the bare "
            f"forward pass ({rates[1]:.1f} img/s)."
        )
    return lines


def startup_lines(raw: Raw) -> list[str]:
    rounds = [one["seconds"] for one in raw["rounds"]]
    lines = table_head("startup", "seconds, median [min-max]")
    lines += [table_row((name, spread([one[name] for one in rounds]))) for name in rounds[0]]
    extra = spread([one["import seewhy, torch"] - one["import torch"] for one in rounds])
    lines.append(table_row(("seewhy beside torch (difference)", extra)))
    lines += ["", f"- `seewhy --help` imports torch: {'YES (FAIL)' if raw['help_imports_torch'] else 'no (pass)'}."]
    return lines


def write_result(name: str, raw: Raw, out: Path) -> None:
    """The table on the screen and in OUT/<name>.md, the raw numbers in OUT/<name>.json."""
    lines = startup_lines(raw) if "help_imports_torch" in raw else workload_lines(name, raw)
    busy = [one["busy_otherwise"] for one in raw["rounds"]]
    noisy = sum(one > QUIET for one in busy)
    state = f"NOISY: {noisy} of {len(busy)} rounds" if noisy else "Quiet: no round"
    about = [
        f"- {state} with more than {QUIET} cores busy otherwise, before or meanwhile (at most {max(busy):.1f}).",
        f"- Load {raw['load'][0]} before, {raw['load'][1]} after; {raw['busy_first']:.1f} cores busy at the start.",
        f"- {raw['machine']}",
    ]
    text = "\n".join([*lines, *about]) + "\n"
    print(text)
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.md").write_text(text, encoding="utf-8")
    (out / f"{name}.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} [{min(values):.2f}-{max(values):.2f}]"


def table_head(*names: str) -> list[str]:
    return [table_row(names), table_row(["---"] * len(names))]


def table_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=400, help="of tutorial; resnet50 takes at most 200")
    parser.add_argument("--only", choices=[*WORKLOADS, "startup"])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    options.data = options.data.resolve()
    failed = False
    for name in [options.only] if options.only else [*WORKLOADS, "startup"]:
        before, busy = load(), busy_cores()
        progress(f"{name}: load {before}, {busy:.1f} cores busy")
        with tempfile.TemporaryDirectory() as home:
            measured = measure_workload(name, options, Path(home)) if name in WORKLOADS else None
            raw = measured or measure_startup(options, Path(home))
        raw = {"machine": machine(), "load": [before, load()], "busy_first": busy, **raw}
        shown = f"{name}-{options.images}" if name == "tutorial" and options.images != 400 else name
        write_result(shown, raw, options.out)
        failed |= not raw["gate"]["passed"] if "gate" in raw else raw["help_imports_torch"]
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()

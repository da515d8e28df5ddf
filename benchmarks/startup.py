"""The row of starting: `seewhy --help`, what importing costs, and what the first four images take."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from measure import run, wait_for_quiet
from pairs import PYTHON, SEEWHY
from report import Raw, headline, spread, table_head, table_row
from workloads import (
    EXPLAIN_AIM,
    HELP_AIM,
    HERE,
    IMPORT_AIM,
    PRESET,
    PRESET_AIM,
    TUTORIAL,
    explain_arguments,
    link_images,
)

COMMANDS: dict[str, list[str | Path]] = {
    "python alone": [PYTHON, "-c", "pass"],
    "seewhy --help": [SEEWHY, "--help"],
    "import torch": [PYTHON, "-c", "import torch"],
    "import torch, seewhy": [PYTHON, "-c", "import torch, seewhy"],
    "import torch, seewhy; seewhy.explain": [PYTHON, "-c", "import torch, seewhy; seewhy.explain"],
    "import what `seewhy explain` needs": [PYTHON, "-c", "import seewhy.cli.app, seewhy.explanation.folder"],
    "import pytorch_grad_cam": [PYTHON, "-c", "import torchvision_shim, pytorch_grad_cam"],
}
EXPLAINED = {"seewhy explain": None, "seewhy explain --preset": PRESET}  # of four images, with the report
DIFFERENCES = (
    ("seewhy --help", "python alone"),
    ("import torch, seewhy", "import torch"),
    ("import torch, seewhy; seewhy.explain", "import torch"),
    ("import what `seewhy explain` needs", "import torch"),
    ("import pytorch_grad_cam", "import torch"),
    ("seewhy explain", "import torch"),
    ("seewhy explain --preset", "import torch"),
)
PROBE = (
    "import json, sys, seewhy.cli.app\ntry: seewhy.cli.app.main(['--help'])\nexcept SystemExit: pass\n"
    "print(json.dumps({'torch': 'torch' in sys.modules}))"
)


def measure_startup(name: str, options: Namespace, home: Path) -> Raw:
    """Seconds of starting, and whether the help imports torch."""
    images, weights = link_images(TUTORIAL, options.data, 4, home / "images"), options.data / str(TUTORIAL.weights)
    rounds = []
    for number in range(options.rounds + 1):
        busy = wait_for_quiet()
        runs = {name: run(command, HERE) for name, command in COMMANDS.items()}
        for what, preset in EXPLAINED.items():
            words = explain_arguments(replace(TUTORIAL, preset=preset), images, weights, home / f"{what}-{number}")
            runs[what] = run([SEEWHY, *(word for word in words if word != "--no-report")], home)
        if number:  # the first round warms the file cache
            busy = max(busy, *(one.others for one in runs.values()))
            rounds.append({"busy_otherwise": busy, "seconds": {name: one.wall_s for name, one in runs.items()}})
    return {"rounds": rounds, "help_imports_torch": run([PYTHON, "-c", PROBE], home).said["torch"]}


def _beyond(raw: Raw, whole: str, part: str) -> list[float]:
    return [one["seconds"][whole] - one["seconds"][part] for one in raw["rounds"]]


def startup_headlines(name: str, raw: Raw) -> list[Raw]:
    helps = [one["seconds"]["seewhy --help"] for one in raw["rounds"]]
    aims = {DIFFERENCES[1]: IMPORT_AIM, DIFFERENCES[-2]: EXPLAIN_AIM, DIFFERENCES[-1]: PRESET_AIM}
    beyond = [headline(aim, _beyond(raw, *pair), None) for pair, aim in aims.items()]
    return [headline(HELP_AIM, helps, None), *beyond]


def startup_lines(name: str, raw: Raw) -> list[str]:
    lines = table_head("startup", "seconds, median [min-max]")
    lines += [
        table_row((name, spread([one["seconds"][name] for one in raw["rounds"]]))) for name in (*COMMANDS, *EXPLAINED)
    ]
    lines += [table_row((f"{whole}, beyond {part}", spread(_beyond(raw, whole, part)))) for whole, part in DIFFERENCES]
    return [
        *lines,
        "",
        f"- `seewhy --help` imports torch: {'YES (FAIL)' if raw['help_imports_torch'] else 'no (pass)'}.",
        f"- {len(raw['rounds'])} rounds; differences are paired, within a round.",
    ]

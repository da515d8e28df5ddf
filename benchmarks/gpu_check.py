"""Everything that waits for a GPU, in at most eight minutes: the device laws, the rates, the audit's re-scoring.

    make gpu-check

Writes benchmarks/results/gpu-<device>.json as soon as a part is done, with the reason where one could not be run; so
a machine without the store's or the tests' packages still gives the rates. What a machine has no package for is taken
from copies in .gpu/ at the repository's root. Leaves with status 1 where a part failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from gpu import packages
from stamps import EVERYTHING, stamp

HERE = Path(__file__).parent
LIMIT_S = 480
AIMS = {"against grad-cam, one by one": (5.0, 10.0), "against the bare forward pass": (0.8, 0.9)}


def part(name: str, words: list[str], out: Path, found: dict[str, Any], until: float) -> bool:
    """Run one part within the time that is left; what it said, or why there is nothing."""
    left = max(1.0, until - time.monotonic())
    print(f"{name}: at most {left:.0f} s", flush=True)
    try:
        ran = subprocess.run([sys.executable, *words], cwd=HERE.parent, capture_output=True, text=True, timeout=left)
        said = {"status": ran.returncode, "said": ran.stdout[-12000:], "errors": ran.stderr[-2000:]}
    except subprocess.TimeoutExpired:
        said = {"status": None, "said": "", "errors": f"stopped after {left:.0f} s"}
    found[name] = said
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(said["said"][-1500:], said["errors"][-500:], flush=True)
    return said["status"] == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        sys.exit("There is no CUDA device here.")
    name = torch.cuda.get_device_name() if asked.device == "cuda" else asked.device
    asked.out.mkdir(parents=True, exist_ok=True)
    out = asked.out / f"gpu-{name.lower().replace(' ', '-')}.json"
    rates = out.with_name(out.stem + "-rates.json")
    few = ["--images", "4", "--rounds", "1", "--repeats", "1"] if asked.device == "cpu" else []
    found: dict[str, Any] = {"headlines": [], "noisy": False, "device": name, "aims": AIMS, "code": stamp(EVERYTHING)}
    until = time.monotonic() + LIMIT_S
    parts = {
        "rates": ["benchmarks/gpu.py", "--device", asked.device, "--out", str(rates), *few],
        "laws": ["-m", "pytest", "-q", "--tb=line", "-W", "default", "tests/laws/test_devices.py"],
        "re-scoring": ["benchmarks/ours_audit_parts.py", "audit-parts-224", "3", asked.device],
    }
    with packages():
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        passed = [part(name, words, out, found, until) for name, words in parts.items()]
    if rates.exists():
        found["numbers"] = json.loads(rates.read_text(encoding="utf-8"))
        rates.unlink()
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()

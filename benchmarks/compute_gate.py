"""Whether both sides of `compute.py` gave the same maps: PEER OURS TRUTH (npy files), prints the numbers as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from gate import judge

if __name__ == "__main__":
    want, have, truth = (np.load(Path(path)) for path in sys.argv[1:])
    print(json.dumps(judge(have, want, truth, truth.max((1, 2)) <= 0)))

"""`seewhy explain ...` with everything imported first, so that its work can be timed apart from imports.

The arguments are those of `seewhy`, and `seewhy.cli.app.main` runs them. The clock starts when the classifier is loaded
and stops when `main` is done. Inside: reading the image table, sizes and the trial pass of the plan, forking and
ending the workers, decoding, maps, overlays, raw maps in zarr, tables, sheet and mean maps, manifest, the printed
summary. Outside: imports, parsing options, making the network and loading its weights (as for the peer).
torchvision's wheel does not load beside a CPU build of torch, so the shim is declared first where it is needed.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import seewhy.cli.app
import seewhy.data.networks.classifier
import seewhy.explanation.folder
import seewhy.run.progress

if any(argument.startswith("torchvision:") for argument in sys.argv):
    import torchvision_shim  # noqa: F401, I001
    import torchvision.models  # noqa: F401

load = seewhy.data.networks.classifier.load
started = 0.0


def load_and_start(*arguments: Any, **options: Any) -> seewhy.Classifier:
    global started
    classifier = load(*arguments, **options)
    started = time.perf_counter()
    return classifier


if __name__ == "__main__":
    seewhy.data.networks.classifier.load = load_and_start
    try:
        seewhy.cli.app.main(sys.argv[1:])
    except SystemExit as end:
        if end.code:
            raise
    print(json.dumps({"loop_s": time.perf_counter() - started}))

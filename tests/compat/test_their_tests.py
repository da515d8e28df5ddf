"""The other package's own test files with the import changed, where its source distribution is at hand.

pip download grad-cam==1.5.7 --no-binary :all: --no-deps -d DIR   and unpack it
GRAD_CAM_SOURCE=DIR/grad_cam-1.5.7 python -m pytest tests/compat/test_their_tests.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SOURCE = os.environ.get("GRAD_CAM_SOURCE", "")
FILES = sorted(Path(SOURCE, "tests").glob("test_*.py")) if SOURCE else []
LEFT_OUT = "not htcore"  # reads the source text of a class for the name of a private attribute
NO_DOWNLOAD = """
import copy, functools
import tests.conftest
import torch, torchvision

def untrained(make):
    @functools.cache
    def once():
        torch.manual_seed(0)
        return make(weights=None)
    return lambda *args, **options: copy.deepcopy(once())

for name in ("resnet18", "vgg11"):
    setattr(torchvision.models, name, untrained(getattr(torchvision.models, name)))
"""


@pytest.mark.skipif(not FILES, reason="GRAD_CAM_SOURCE names no unpacked source distribution of grad-cam")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_their_tests_pass_with_the_import_changed(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed (requirements-parity.txt)")
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"^from pytorch_grad_cam\b", "from seewhy.compat.pytorch_grad_cam", text, flags=re.MULTILINE)
    whole = "import seewhy.compat.pytorch_grad_cam as pytorch_grad_cam"
    text = re.sub(r"^import pytorch_grad_cam$", whole, text, flags=re.MULTILINE)
    (tmp_path / path.name).write_text(text, encoding="utf-8")
    (tmp_path / "conftest.py").write_text(NO_DOWNLOAD, encoding="utf-8")
    (tmp_path / "examples").mkdir()
    colours = np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8)
    Image.fromarray(colours).resize((224, 224), Image.Resampling.BICUBIC).save(tmp_path / "examples" / "both.png")
    root = Path(__file__).parents[2]
    paths = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", LEFT_OUT, path.name],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-2000:]

"""Writes docs/check.md: `seewhy check` on seven classifiers, as it prints it. Needs the shared data; five minutes.

.venv/bin/python docs/check/outputs.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
SEEWHY = Path(sys.executable).with_name("seewhy")
FACES = "faces --model faces.py:net --weights checkpoints"
PAGE = HERE.parent / "check.md"
CASES = (
    (
        "The tutorial's checkpoint, as the tutorial feeds it",
        'It answers "real" for every face, so a map for "fake" explains an answer that it never gives; and the maps\n'
        "follow the picture's brightness. It was probably trained on 0..255.",
        "faces --model seewhy.learn.net:Net --weights model_4.pt --classes fake,real --layers conv2,conv3 --target fake"
        " --method grad-cam",
    ),
    ("A healthy classifier", "efficientnet-lite0, fine-tuned on the training faces.", FACES),
    ("The same, fed BGR", "Nothing breaks, and the accuracy alone would not tell.", f"{FACES} --channels bgr"),
    ("The same, fed 0..255", "", f"{FACES} --range 0-255 --mean 0 --std 1"),
    ("The same, with its classes swapped", "", f"{FACES} --classes real,fake"),
    ("An untrained network", "", "faces --model seewhy.learn.net:Net"),
    (
        "efficientnet-lite0 on ImageNet",
        "A photograph of each of 200 classes.",
        "photographs.csv --model imagenet.py:net",
    ),
)
TRAIN = "train faces --model faces.py:net --epochs 5 --rate 0.0003 --out checkpoints"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for link, target in (("faces", "rvf10k"), ("photographs", "imagenet"), ("model_4.pt", "rvf/model_4.pt")):
            (home / link).symlink_to(DATA / target)
        for script in ("faces.py", "imagenet.py"):
            (home / script).write_text((HERE / script).read_text())
        rows = [f"photographs/{path.name},{int(path.name[:4])}" for path in sorted((DATA / "imagenet").glob("*.jpg"))]
        (home / "photographs.csv").write_text("\n".join(["path,label", *rows]) + "\n")
        said(home, TRAIN)
        head = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]  # what stands above the first case is kept
        PAGE.write_text("\n".join([head, *pages(home)]), encoding="utf-8")


def pages(home: Path) -> Iterator[str]:
    for title, words, command in CASES:
        shown = [f"$ seewhy {TRAIN}"] if title == "A healthy classifier" else []
        shown += [f"$ seewhy check {command}", said(home, f"check {command}")]
        about = f"\n{words}\n" if words else ""
        yield "\n".join([f"## {title}\n{about}\n```console", *shown, "```\n"])
        print(title, file=sys.stderr)


def said(home: Path, command: str) -> str:
    """What the command prints on standard output."""
    found = subprocess.run([SEEWHY, *command.split()], cwd=home, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(found.stderr)
    return found.stdout.rstrip()


if __name__ == "__main__":
    main()

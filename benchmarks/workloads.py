"""What is measured: networks, layers and images of each workload; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
PRESET = "pytorch-grad-cam"


@dataclass(frozen=True)
class Workload:
    """One comparison with grad-cam: the same network, layers, class and photographs on both sides."""

    name: str
    peer: str  # the script in this folder
    model: str
    layers: str
    target: int
    sources: tuple[str, ...]  # folders below --data, in the order in which images are taken
    classes: str | None = None
    weights: str | None = None  # below --data; None: made by calibrate_resnet50.py
    by_command: bool = True  # whether the whole process is the `seewhy` command itself
    preset: str | None = None  # None: our own pictures, one panel a layer


TUTORIAL = Workload(
    name="tutorial",
    peer="peer_tutorial.py",
    model="seewhy.learn.net:Net",
    layers="conv2,conv3",
    target=0,
    sources=tuple(f"rvf10k/{split}/{kind}" for split in ("train", "valid") for kind in ("fake", "real")),
    classes="fake,real",
    weights="rvf/model_4.pt",
)
RESNET50 = Workload(
    name="resnet50",
    preset=PRESET,  # so that both sides draw at the network's size
    peer="peer_resnet50.py",
    model="torchvision:resnet50",
    layers="layer4",
    target=281,
    sources=("imagenet",),
    by_command=False,  # torchvision needs the shim first
)
TUTORIAL_PRESET = replace(TUTORIAL, name="tutorial-preset", preset=PRESET)
WORKLOADS = {one.name: one for one in (TUTORIAL, TUTORIAL_PRESET, RESNET50)}


def link_images(workload: Workload, data: Path, count: int, folder: Path) -> Path:
    """A folder of `count` links to the photographs, in the order in which both sides read; read once, unmeasured."""
    found = [path for source in workload.sources for path in sorted((data / source).glob("*.jpg"))]
    if not found:
        raise SystemExit(f"There are no photographs in {data}: {', '.join(workload.sources)}")
    folder.mkdir(parents=True)
    for number in range(count):
        path = found[number % len(found)]
        path.read_bytes()
        (folder / f"{number:05d}-{path.name}").symlink_to(path)
    return folder


def explain_arguments(workload: Workload, images: Path, weights: Path, out: Path) -> list[str]:
    """The command line of `seewhy` for a workload."""
    names = ["--classes", workload.classes] if workload.classes else []
    target = workload.classes.split(",")[workload.target] if workload.classes else str(workload.target)
    preset = ["--preset", workload.preset] if workload.preset else []
    chosen = ["--layers", workload.layers, "--target", target, "--method", "grad-cam", *preset]
    return ["explain", str(images), "--model", workload.model, "--weights", str(weights), *names, *chosen,
            "--out", str(out)]  # fmt: skip

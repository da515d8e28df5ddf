"""What is measured: networks, layers and images of each workload, and what is aimed at; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
PRESET = "pytorch-grad-cam"
P95, MOST = 1e-5, 1e-3  # of the largest difference in an image, maps in [0, 1]: the gate


@dataclass(frozen=True)
class Aim:
    """What a median should reach at least, and the goal; `lower` where less is better."""

    what: str
    at_least: float
    goal: float
    unit: str = "x"
    lower: bool = False


@dataclass(frozen=True)
class Workload:
    """One comparison of whole processes: the same network, layers, class and photographs on both sides."""

    name: str
    peer: str  # the script in this folder
    model: str
    layers: str
    target: int
    sources: tuple[str, ...]  # folders below --data, in the order in which images are taken
    images: tuple[int, ...]  # how many are measured where nothing is said
    classes: str | None = None
    weights: str | None = None  # below --data; None: made by calibrate_resnet50.py
    by_command: bool = True  # whether the whole process is the `seewhy` command itself
    preset: str | None = None  # None: our own pictures, one panel a layer
    same_pictures: bool = False  # whether both sides mean to draw the same picture


TUTORIAL = Workload(
    name="tutorial",
    peer="peer_tutorial.py",
    model="seewhy.learn.net:Net",
    layers="conv2,conv3",
    target=0,
    sources=tuple(f"rvf10k/{split}/{kind}" for split in ("train", "valid") for kind in ("fake", "real")),
    images=(400, 2000),
    classes="fake,real",
    weights="rvf/model_4.pt",
)
RESNET50 = Workload(
    name="resnet50",
    preset=PRESET,  # so that both sides draw at the network's size
    same_pictures=True,
    peer="peer_resnet50.py",
    model="torchvision:resnet50",
    layers="layer4",
    target=281,
    sources=("imagenet",),
    images=(200,),
    by_command=False,  # torchvision needs the shim first
)
TUTORIAL_PRESET = replace(TUTORIAL, name="tutorial-preset", preset=PRESET, same_pictures=True)
TORCHCAM = replace(RESNET50, name="resnet50-torchcam", peer="peer_torchcam.py", same_pictures=False)
CAPTUM = replace(RESNET50, name="resnet50-captum", peer="peer_captum.py", same_pictures=False)
WORKLOADS = {one.name: one for one in (TUTORIAL, TUTORIAL_PRESET, RESNET50, TORCHCAM, CAPTUM)}

WHOLE, LOOP = "whole process", "imports left out"
PAIR_AIMS = {  # by name of the result and what is timed
    ("tutorial-400", WHOLE): Aim("tutorial, 400 images, whole process", 3.2, 4.5),
    ("tutorial-2000", LOOP): Aim("tutorial, 2000 images, imports left out", 4.0, 5.5),
    ("tutorial-preset-400", WHOLE): Aim("tutorial with the preset, 400 images, whole process", 3.0, 4.0),
    ("tutorial-preset-2000", LOOP): Aim("tutorial with the preset, 2000 images, imports left out", 4.0, 5.5),
    ("resnet50", LOOP): Aim("ResNet-50 JPEG to overlay, imports left out", 4.2, 4.9),
}
MAPS_AIMS = {
    "torchcam": Aim("ResNet-50 maps, batches of 8, against torchcam", 1.0, 1.2),
    "captum": Aim("ResNet-50 maps, batches of 8, against captum", 1.0, 1.2),
}
MEMORY_AIM = Aim("peak memory, ResNet-50 maps of 16 at once, ours / grad-cam", 0.28, 0.25, lower=True)
BARE_AIM = Aim("ResNet-50 maps against the bare forward pass", 0.85, 0.95)
HELP_AIM = Aim("`seewhy --help`", 0.3, 0.3, unit=" s", lower=True)
EXPLAIN_AIM = Aim(
    "`seewhy explain` of 4 images, report included, beyond `import torch`", 1.0, 0.7, unit=" s", lower=True
)
PRESET_AIM = replace(EXPLAIN_AIM, what="the same with the preset")
IMPORT_AIM = Aim("`import seewhy` beyond `import torch`", 0.1, 0.1, unit=" s", lower=True)


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
    return [
        "explain",
        str(images),
        "--model",
        workload.model,
        "--weights",
        str(weights),
        *names,
        *chosen,
        "--out",
        str(out),
        "--no-report",
    ]  # fmt: skip  (the peers write no pages)

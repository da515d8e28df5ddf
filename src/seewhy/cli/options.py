"""Every option, once: what it is called, what it says, and what its text means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seewhy.cli.config import read_config
from seewhy.errors import OptionError

if TYPE_CHECKING:
    from seewhy.data.classifier import Classifier

# What commands share one by one; what they share together stands in the classes below.
Images = Annotated[str, typer.Argument(help="A folder, a CSV with paths and labels, a text list, or a quoted glob.")]
LabelledImages = Annotated[
    str, typer.Argument(help="A folder with train/ and valid/ class folders, or a CSV with labels.")
]
Workers = Annotated[int | None, typer.Option(help="Processes, on Linux and a CPU.  [default: one per core]")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Seed = Annotated[int, typer.Option(help="Of every random choice.")]
NoReport = Annotated[bool, typer.Option("--no-report", help="Leave out the pages (report/index.html).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]
Config = Annotated[
    Path | None,
    typer.Option(help="Options from a file.  [default: ./seewhy.toml]", callback=read_config, is_eager=True),
]


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The network, its weights, and the size of its input."""

    model: Annotated[
        str,
        typer.Option(
            help="The network: net.py:Net, package.module:factory, timm:NAME, torchvision:NAME or hf:DIRECTORY."
        ),
    ]
    weights: Annotated[
        Path | None, typer.Option(help="A state dict (.pt .pth .ckpt .safetensors) or a folder of checkpoints.")
    ] = None
    epoch: Annotated[
        int | None, typer.Option(help="Which checkpoint of the folder: 4 takes model_4.pt.  [default: the last]")
    ] = None
    model_arg: Annotated[
        list[str] | None, typer.Option(help="An argument of the network, like width=16; repeatable.")
    ] = None
    size: Annotated[
        str | None, typer.Option(help="The network's input: 256, or 240x320 (height x width) in pixels.")
    ] = None
    device: Device = "auto"

    def load(self, task: str | None = None) -> Classifier:
        """The classifier that the options name."""
        from seewhy.data.classifier import load

        return load(self.model, self.weights, task=task, **self.arguments())

    def arguments(self) -> dict[str, Any]:
        """The keywords of `load` and of `train` beside the network and its weights."""
        from seewhy.data.classifier import parse_model_args

        return {
            "epoch": self.epoch,
            "model_args": parse_model_args(self.model_arg or []),
            "device": self.device,
            "size": size_of(self.size),
        }


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions(NetworkOptions):
    """A network with its class names and its preprocessing."""

    classes: Annotated[
        str | None, typer.Option(help="Class names in the order of the logits, or a file with one a line.")
    ] = None
    fit: Annotated[
        str | None, typer.Option(help="How a photograph fills it: stretch, crop (the middle) or letterbox.")
    ] = None
    mean: Annotated[str | None, typer.Option(help="Subtracted from every channel: 0.5 or 0.485,0.456,0.406.")] = None
    std: Annotated[str | None, typer.Option(help="Divides every channel: 0.5 or 0.229,0.224,0.225.")] = None
    range_: Annotated[str | None, typer.Option("--range", help="Pixel values before mean and std: 0-1 or 0-255.")] = (
        None
    )
    channels: Annotated[str | None, typer.Option(help="rgb, bgr or grey.")] = None
    preprocess: Annotated[str | None, typer.Option(help="A function from a PIL image to the input: net.py:fn.")] = None

    def arguments(self) -> dict[str, Any]:
        """The keywords of `load` and of `train` beside the network and its weights."""
        return {
            **super().arguments(),
            "classes": class_names(self.classes),
            "preprocess": self.preprocess,
            "fit": self.fit,
            "mean": numbers_of("--mean", self.mean),
            "std": numbers_of("--std", self.std),
            "range": self.range_,
            "channels": self.channels,
        }


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """Which maps are made."""

    layers: Annotated[
        str, typer.Option(help="Dotted names, by commas; relu@1 is the first run of a shared module.")
    ] = "auto"
    method: Annotated[
        str,
        typer.Option(
            help="By name (seewhy methods lists them) or your own as file.py:function, several by commas; auto chooses."
        ),
    ] = "auto"

    def arguments(self) -> dict[str, Any]:
        """The keywords of a plan."""
        return {"layers": self.layers, "method": self.method}


@dataclass(frozen=True, kw_only=True)
class MapOptions(LayerOptions):
    """Which maps are made, and of what."""

    target: Annotated[
        list[str] | None,
        typer.Option(
            help="What is explained: predicted, label, margin, contrast:A:B, log-probability, a class name or index, "
            "…; repeatable.  [default: predicted]",
        ),
    ] = None
    task: Annotated[
        str | None,
        typer.Option(
            help="What the output means: classification, multi-label, regression, embedding, segmentation or "
            "detection.  [default: told from the output]"
        ),
    ] = None
    grid: Annotated[
        str | None,
        typer.Option(help="Where it cannot be told: 14x14 for tokens, channels-first or channels-last."),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """The keywords of a plan; the task is the classifier's."""
        return {**super().arguments(), "target": targets_of(self.target), "grid": self.grid}


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Which of the images are taken."""

    limit: Annotated[int | None, typer.Option(help="Only the first N images.")] = None
    sample: Annotated[int | None, typer.Option(help="N images by seeded chance, every class keeping its share.")] = None

    def arguments(self) -> dict[str, Any]:
        """The keywords of a plan."""
        return {"limit": self.limit, "sample": self.sample}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where a run goes, how it is made, and what is said of it."""

    out: Annotated[Path | None, typer.Option(help="The run folder.  [default: runs/<command>-<hash of options>]")] = (
        None
    )
    batch_size: Annotated[
        int | None, typer.Option(help="Images at once.  [default: as many as pay, by the free memory]")
    ] = None
    seed: Seed = 0
    no_report: NoReport = False
    as_json: AsJson = False
    config: Config = None

    def arguments(self) -> dict[str, Any]:
        """The keywords of a plan."""
        return {"batch_size": self.batch_size, "seed": self.seed}


def class_names(text: str | None) -> list[str] | None:
    """Class names from text with commas, or from the lines of a file."""
    if text is None:
        return None
    if "," not in text and Path(text).is_file():
        return [line.strip() for line in Path(text).read_text(encoding="utf-8").splitlines() if line.strip()]
    return [name.strip() for name in text.split(",") if name.strip()]


def targets_of(names: Sequence[str] | None) -> str | dict[str, str]:
    """One target, or several by their own names."""
    names = names or ["predicted"]
    return names[0] if len(names) == 1 else {name: name for name in names}


def size_of(text: str | None) -> tuple[int, int] | None:
    """Height and width from 256 or 240x320."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.strip().isdecimal() for part in parts) or len(parts) > 2:
        raise OptionError(f"--size is {text!r}, but must look like 256 or 240x320 (height x width).")
    return int(parts[0]), int(parts[-1])


def numbers_of(option: str, text: str | None) -> tuple[float, ...] | None:
    """Numbers from text with commas."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise OptionError(f"{option} is {text!r}, but must look like 0.5 or 0.485,0.456,0.406.") from error

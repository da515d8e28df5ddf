"""What several commands take: what it is called, what it says, and what its text means.

What one command takes alone stands with it, in cli/<command>.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seewhy.cli.config import read_config
from seewhy.cli.texts import class_names, numbers_of, pairs_of, seed_of, sides_of, size_of, targets_of, window_of

if TYPE_CHECKING:
    from seewhy.data.networks.classifier import Classifier
    from seewhy.run.plan import Plan

# What commands share one by one; what they share together stands in the classes below.
Images = Annotated[
    str,
    typer.Argument(
        help="A folder, a CSV with paths and labels, a text list, a quoted glob; also at an address like "
        "s3://bucket/photos, or in tars like 'DATA/*.tar'."
    ),
]
LabelledImages = Annotated[
    str, typer.Argument(help="A folder with train/ and valid/ class folders, or a CSV with labels.")
]
Workers = Annotated[int | None, typer.Option(help="Processes, on Linux and a CPU.  [default: one per core]")]
ClusterBy = Annotated[
    str | None,
    typer.Option(
        help="What images share that are not independent, then the unit: a column of the CSV (patient), or a pattern "
        "over file names like 'name:(\\d+)_\\d+', whose group is the cluster.  [default: near-duplicates alone]"
    ),
]
TaskName = Annotated[
    str | None,
    typer.Option(
        help="What the output means: classification, multi-label, regression, embedding, segmentation or "
        "detection.  [default: told from the output]"
    ),
]
Watched = Annotated[
    str | None,
    typer.Option(
        "--watch",
        help="Factors whose effect is measured after every epoch: border, tint, background=masks/background, …, by "
        "commas.",
    ),
]
Exchanged = Annotated[
    str | None,
    typer.Option(
        "--exchange",
        help="Factors that half of the training images get from others of other classes, so less of them is learned: "
        "border, tint, background=masks/background, …, by commas.",
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Seed = Annotated[int, typer.Option(help="Of every random choice.", callback=seed_of)]
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
            help="The network: net.py:Net, package.module:factory, timm:NAME, torchvision:NAME, hf:DIRECTORY, "
            "onnx:FILE.onnx or pt2:FILE.pt2."
        ),
    ]
    weights: Annotated[
        Path | None, typer.Option(help="A state dict (.pt .pth .ckpt .safetensors) or a folder of checkpoints.")
    ] = None
    epoch: Annotated[
        int | None, typer.Option(help="Which checkpoint of the folder: 4 takes model_4.pt.  [default: the last]")
    ] = None
    weights_key: Annotated[
        str | None,
        typer.Option(
            help="Which of several sets of weights in the file, like state_dict_ema.  [default: the usual one]"
        ),
    ] = None
    model_arg: Annotated[
        list[str] | None, typer.Option(help="An argument of the network, like width=16; repeatable.")
    ] = None
    input_: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="What forward takes beside the picture, the same for every image: age=0.5, site=[1,0], "
            "table=FILE.npy, mask=zeros:3x8; repeatable.",
        ),
    ] = None
    trust_program: Annotated[
        bool, typer.Option("--trust-program", help="Let torch run what the file of a program (pt2:) holds.")
    ] = False
    size: Annotated[
        str | None, typer.Option(help="The network's input: 256, or 240x320 (height x width) in pixels.")
    ] = None
    device: Device = "auto"

    def load(self, task: str | None = None) -> Classifier:
        """The classifier that the options name."""
        from seewhy.data.networks.classifier import load

        return load(self.model, self.weights, task=task, **self.arguments())

    def arguments(self) -> dict[str, Any]:
        """The keywords of `load` and of `train` beside the network and its weights."""
        from seewhy.data.networks.classifier import parse_model_args
        from seewhy.data.networks.constants import parse_inputs

        return {
            "epoch": self.epoch,
            "weights_key": self.weights_key,
            "model_args": parse_model_args(self.model_arg or []),
            "inputs": parse_inputs(self.input_ or []),
            "trust_program": self.trust_program,
            "device": self.device,
            "size": size_of(self.size),
        }


@dataclass(frozen=True, kw_only=True)
class ClassifierOptions(NetworkOptions):
    """A network with its class names and its preprocessing."""

    classes: Annotated[
        str | None, typer.Option(help="Class names in the order of the logits, or a file with one a line.")
    ] = None
    output: Annotated[
        str | None,
        typer.Option(
            help="Which of several outputs is explained: 1, logits, heads.age.  [default: that which fits the classes]"
        ),
    ] = None
    output_form: Annotated[
        str | None, typer.Option(help="What the output is: logits or probabilities.  [default: told from the output]")
    ] = None
    fit: Annotated[
        str | None, typer.Option(help="How a photograph fills it: stretch, crop (the middle) or letterbox.")
    ] = None
    resize: Annotated[
        str | None, typer.Option(help="The shorter side before --crop: 256; or 256x256, which ignores the shape.")
    ] = None
    crop: Annotated[str | None, typer.Option(help="The middle that is kept after --resize: 224, in pixels.")] = None
    interpolation: Annotated[str | None, typer.Option(help="nearest, bilinear, bicubic or lanczos.")] = None
    mean: Annotated[str | None, typer.Option(help="Subtracted from every channel: 0.5 or 0.485,0.456,0.406.")] = None
    std: Annotated[str | None, typer.Option(help="Divides every channel: 0.5 or 0.229,0.224,0.225.")] = None
    range_: Annotated[
        str | None,
        typer.Option(
            "--range", help="Pixel values before mean and std: 0-1, 0-255, or as deeper files have them: 0-4095, …"
        ),
    ] = None
    window: Annotated[
        str | None,
        typer.Option(
            help="Numbers that become black and white in files of more than 8 bits: -1000,400 or 0,4095.  "
            "[default: one scale for all, from the images]"
        ),
    ] = None
    channels: Annotated[str | None, typer.Option(help="rgb, bgr or grey.")] = None
    preprocess: Annotated[
        str | None,
        typer.Option(help="A pipeline of transforms, or a function from a PIL image to the input: net.py:fn."),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """The keywords of `load` and of `train` beside the network and its weights."""
        return {
            **super().arguments(),
            "classes": class_names(self.classes),
            "output": self.output,
            "output_form": self.output_form,
            "preprocess": self.preprocess,
            "fit": self.fit,
            "resize": sides_of("--resize", self.resize),
            "crop": size_of(self.crop, "--crop"),
            "interpolation": self.interpolation,
            "mean": numbers_of("--mean", self.mean),
            "std": numbers_of("--std", self.std),
            "range": self.range_,
            "window": window_of(self.window),
            "channels": self.channels,
        }


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """Which maps are made."""

    layers: Annotated[
        str, typer.Option(help="Dotted names, several by commas; relu@1 is the first run of a shared module.")
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
    task: TaskName = None
    grid: Annotated[
        str | None,
        typer.Option(help="Where it cannot be told: 14x14 for tokens, channels-first or channels-last."),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """The keywords of a plan; the task is the classifier's."""
        return {**super().arguments(), "target": targets_of(self.target), "grid": self.grid}


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """What the columns and the numbers of a table mean."""

    columns: Annotated[
        str | None,
        typer.Option(
            help="What the columns of a table are: path=scan,label=grade,split=part.  [default: by their names]  For "
            "audit also which others are compared with labels and answers: site,scanner, or none.  [default: all]"
        ),
    ] = None
    first_label: Annotated[
        int | None, typer.Option(help="The number of the first class, 0 or 1, where labels are numbers.")
    ] = None

    def table_of(self, images: str) -> Any:
        """The images as they are named, or read as a table where these options say how."""
        if self.columns is None and self.first_label is None:
            return images
        from seewhy.data.sources.folder import read_table

        return read_table(images, columns=pairs_of("--columns", self.columns), first_label=self.first_label)


@dataclass(frozen=True, kw_only=True)
class ImageOptions(TableOptions):
    """Which of the images are taken."""

    def without_compared(self) -> tuple[ImageOptions, tuple[str, ...]]:
        """The options whose columns all have roles, and the names of those that are compared: all where none is."""
        parts = [part.strip() for part in (self.columns or "").split(",") if part.strip()]
        roles, names = [part for part in parts if "=" in part], tuple(part for part in parts if "=" not in part)
        return replace(self, columns=",".join(roles) or None), names or ("all",)

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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what was understood, and stop before any work.")] = (
        False
    )
    as_json: AsJson = False
    config: Config = None

    def understands(self, plan: Plan, weights: Path | None, more: Mapping[str, str] | None = None) -> bool:
        """Say what was understood, and `more` by name; whether that is all that was asked for."""
        from seewhy.cli.printing import print_json, print_understood
        from seewhy.run.understood import understood

        rows = {**understood(plan, weights), **(more or {})}
        if self.dry_run and self.as_json:
            print_json(rows)
        elif not self.as_json:
            print_understood(rows, aside=not self.dry_run)
        return self.dry_run

    def arguments(self) -> dict[str, Any]:
        """The keywords of a plan."""
        return {"batch_size": self.batch_size, "seed": self.seed}

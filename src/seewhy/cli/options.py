"""Every option, once: what it is called, what it says, and what its text means."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seewhy.errors import OptionError, nearest


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Options from --config or ./seewhy.toml become the defaults of the command; the command line outranks them."""
    found = path or Path("seewhy.toml")
    if path is None and not found.is_file():
        return None
    try:
        content = tomllib.loads(found.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"{found} cannot be read: {error}", slug="config") from error
    command = context.info_name or ""
    sections = getattr(context.parent.command, "commands", {}) if context.parent else {command: None}
    for section, value in content.items():
        if section not in sections or not isinstance(value, dict):
            what = f"has a section [{section}]" if isinstance(value, dict) else f"sets {section!r} outside a section"
            close = nearest(section, sections) if isinstance(value, dict) else f"Put it below [{command}]."
            raise OptionError(f"{found} {what}, which is no command.  {close}".rstrip(), slug="config")
    known = {
        flag.lstrip("-").replace("-", "_"): parameter for parameter in context.command.params for flag in parameter.opts
    }
    defaults: dict[str, Any] = {}
    for key, value in content.get(command, {}).items():
        parameter = known.get(key.replace("-", "_"))
        if parameter is None:
            raise OptionError(
                f"{found} sets {key!r} for {command}, which has no such option.  {nearest(key, known)}".rstrip(),
                slug="config",
            )
        values = [str(one) for one in (value if isinstance(value, list) else [value])]
        several = getattr(parameter, "multiple", False)
        text = values if several else ",".join(values)
        defaults[parameter.name or key] = value if isinstance(value, bool) else text
    context.default_map = {**defaults, **(context.default_map or {})}
    return path


if TYPE_CHECKING:
    from seewhy.data.classifier import Classifier

Model = Annotated[
    str,
    typer.Option(help="The network: net.py:Net, package.module:factory, timm:NAME, torchvision:NAME or hf:DIRECTORY."),
]


ModelArg = Annotated[list[str] | None, typer.Option(help="An argument of the network, like width=16; repeatable.")]


Weights = Annotated[
    Path | None, typer.Option(help="A state dict (.pt .pth .ckpt .safetensors) or a folder of checkpoints.")
]


Epoch = Annotated[
    int | None, typer.Option(help="Which checkpoint of the folder: 4 takes model_4.pt.  [default: the last]")
]


Classes = Annotated[str | None, typer.Option(help="Class names in the order of the logits, or a file with one a line.")]


Size = Annotated[str | None, typer.Option(help="The network's input: 256, or 240x320 (height x width) in pixels.")]


Fit = Annotated[str | None, typer.Option(help="How a photograph fills it: stretch, crop (the middle) or letterbox.")]


Mean = Annotated[str | None, typer.Option(help="Subtracted from every channel: 0.5 or 0.485,0.456,0.406.")]


Std = Annotated[str | None, typer.Option(help="Divides every channel: 0.5 or 0.229,0.224,0.225.")]


Channels = Annotated[str | None, typer.Option(help="rgb, bgr or grey.")]


PreprocessBy = Annotated[
    str | None, typer.Option("--preprocess", help="A function from a PIL image to the input: net.py:fn.")
]


Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]


Seed = Annotated[int, typer.Option(help="Of every random choice.")]


Images = Annotated[str, typer.Argument(help="A folder, a CSV with paths and labels, a text list, or a quoted glob.")]


Layers = Annotated[str, typer.Option(help="Dotted names, by commas; relu@1 is the first run of a shared module.")]


MethodName = Annotated[
    str, typer.Option("--method", help="By name, several by commas: seewhy methods lists them; auto chooses.")
]


Goal = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        help="What is explained: predicted, label, margin, contrast:A:B, log-probability, a class name or index, …; "
        "repeatable.  [default: predicted]",
    ),
]


Task = Annotated[
    str | None,
    typer.Option(
        help="What the output means: classification, multi-label, regression, embedding, segmentation or detection.  "
        "[default: told from the output]"
    ),
]


GridText = Annotated[
    str | None,
    typer.Option("--grid", help="Where it cannot be told: 14x14 for tokens, channels-first or channels-last."),
]


Limit = Annotated[int | None, typer.Option(help="Only the first N images.")]


Sample = Annotated[int | None, typer.Option(help="N images by seeded chance, every class keeping its share.")]


Range = Annotated[str | None, typer.Option("--range", help="Pixel values before mean and std: 0-1 or 0-255.")]


BatchSize = Annotated[int | None, typer.Option(help="Images at once.  [default: as many as pay, by the free memory]")]


Config = Annotated[
    Path | None,
    typer.Option(help="Options from a file.  [default: ./seewhy.toml]", callback=read_config, is_eager=True),
]


NoReport = Annotated[bool, typer.Option("--no-report", help="Leave out the pages (report/index.html).")]


AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


def classifier_of(
    model: str,
    weights: Path | None,
    epoch: int | None,
    model_arg: Sequence[str] | None,
    classes: str | None,
    preprocess: str | None,
    device: str,
    *,
    task: str | None = None,
    **changes: Any,
) -> Classifier:
    """The classifier that the options name."""
    from seewhy.data.classifier import load, parse_model_args

    arguments = parse_model_args(model_arg or [])
    names = class_names(classes)
    return load(
        model,
        weights,
        epoch=epoch,
        classes=names,
        model_args=arguments,
        preprocess=preprocess,
        device=device,
        task=task,
        **changes,
    )


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

"""The command line: one thin command per public function; the only place that prints or sets an exit status."""

from __future__ import annotations

import contextlib
import gc
import json
import shlex
import shutil
import sys
import textwrap
import tomllib
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from seewhy.errors import OptionError, SeewhyError, WorkError, listed, nearest, printable

if TYPE_CHECKING:
    from seewhy.data.classifier import Classifier


class _Commands(TyperGroup):
    """The commands; an interrupted one says how to go on, which Typer itself would leave out."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("Stopped. What is finished is kept; the same command goes on from there.", file=sys.stderr)
            raise SystemExit(130) from None


_PAGES = "report/index.html"
_NOT_THE_RUN = ("out", "workers", "as_json", "config", "no_report", "extend", "strict", "plan_only")

app = typer.Typer(
    cls=_Commands,
    help="Shows what an image classifier looks at, and proves what its decisions depend on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _read_config(context: typer.Context, path: Path | None) -> Path | None:
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
    typer.Option(help="Options from a file.  [default: ./seewhy.toml]", callback=_read_config, is_eager=True),
]
NoReport = Annotated[bool, typer.Option("--no-report", help="Leave out the pages (report/index.html).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


@app.command()
def explain(
    context: typer.Context,
    images: Images,
    model: Model,
    weights: Weights = None,
    epoch: Epoch = None,
    model_arg: ModelArg = None,
    classes: Classes = None,
    layers: Layers = "auto",
    method: MethodName = "auto",
    target: Goal = None,
    task: Task = None,
    grid: GridText = None,
    smooth: Annotated[
        str, typer.Option(help="augment (the mean over mirrored and scaled inputs), eigen (first component), or both.")
    ] = "",
    preset: Annotated[str | None, typer.Option(help="pytorch-grad-cam: the pictures that this package makes.")] = None,
    limit: Limit = None,
    sample: Sample = None,
    size: Size = None,
    fit: Fit = None,
    mean: Mean = None,
    std: Std = None,
    range_: Range = None,
    channels: Channels = None,
    preprocess: PreprocessBy = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.  [default: runs/explain-<hash of options>]")] = None,
    extend: Annotated[
        bool, typer.Option("--extend", help="Take added images into the finished run of --out; only they are computed.")
    ] = False,
    batch_size: BatchSize = None,
    workers: Annotated[int | None, typer.Option(help="Processes, on Linux and a CPU.  [default: one per core]")] = None,
    device: Device = "auto",
    seed: Seed = 0,
    image_format: Annotated[str, typer.Option("--format", help="Overlays as jpg (quality 95) or png.")] = "jpg",
    no_report: NoReport = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Map what the network looks at in every image, into a run folder: maps, overlays, a sheet, mean maps, tables."""
    from seewhy.run.explain import default_folder, run_in_folder
    from seewhy.run.extend import check_extend
    from seewhy.run.local import forking, steady_process
    from seewhy.run.plan import make_plan
    from seewhy.run.progress import progress_bar

    check_extend(extend, out)
    steady_process()
    with contextlib.redirect_stdout(sys.stderr), forking(workers):  # what the network prints is not our output
        classifier = _classifier(
            model,
            weights,
            epoch,
            model_arg,
            classes,
            preprocess,
            device,
            task=task,
            size=_size(size),
            fit=fit,
            mean=_numbers("--mean", mean),
            std=_numbers("--std", std),
            range=range_,
            channels=channels,
        )
        plan = make_plan(
            classifier,
            images,
            target=_targets(target),
            layers=layers,
            method=method,
            preset=preset,
            smooth=smooth,
            grid=grid,
            limit=limit,
            sample=sample,
            batch_size=batch_size,
            image_format=image_format,
            seed=seed,
        )
        folder = out or default_folder(plan)
        with progress_bar("Explaining") as update:
            explanation = run_in_folder(plan, folder, workers=workers, extend=extend, progress=update)
        pages = _write_pages(folder, _typed(context), no_report)
    summary = {"command": "explain", "run": str(folder), **pages, **explanation.summary()}
    if as_json:
        _print_json(summary)
    else:
        _print_explanation(summary, folder)


@app.command()
def check(
    context: typer.Context,
    images: Images,
    model: Model,
    weights: Weights = None,
    epoch: Epoch = None,
    model_arg: ModelArg = None,
    classes: Classes = None,
    layers: Layers = "auto",
    method: MethodName = "auto",
    target: Goal = None,
    task: Task = None,
    grid: GridText = None,
    limit: Limit = None,
    sample: Sample = None,
    size: Size = None,
    fit: Fit = None,
    mean: Mean = None,
    std: Std = None,
    range_: Range = None,
    channels: Channels = None,
    preprocess: PreprocessBy = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.  [default: runs/check-<hash of options>]")] = None,
    batch_size: BatchSize = None,
    device: Device = "auto",
    seed: Seed = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Leave with status 1 for bad news.")] = False,
    no_report: NoReport = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Say whether the classifier works, whether it is fed right, and whether its maps may be read; worst first."""
    from seewhy.evidence.check import check_in_folder, check_plan, default_check_folder
    from seewhy.run.local import steady_process
    from seewhy.run.progress import progress_bar

    steady_process()
    with contextlib.redirect_stdout(sys.stderr):
        classifier = _classifier(
            model,
            weights,
            epoch,
            model_arg,
            classes,
            preprocess,
            device,
            task=task,
            size=_size(size),
            fit=fit,
            mean=_numbers("--mean", mean),
            std=_numbers("--std", std),
            range=range_,
            channels=channels,
        )
        options = {
            "target": _targets(target),
            "layers": layers,
            "method": method,
            "grid": grid,
            "limit": limit,
            "sample": sample,
        }
        plan = check_plan(classifier, images, batch_size=batch_size, seed=seed, **options)
        folder = out or default_check_folder(plan, seed)
        with progress_bar("Checking") as update:
            found = check_in_folder(plan, folder, seed=seed, progress=update)
        pages = _write_pages(folder, _typed(context), no_report)
    if as_json:
        _print_json({"command": "check", "run": str(folder), **pages, **found})
    else:
        _print_check(found, folder)
    if strict and any(one["level"] == "bad" for one in found["findings"]):
        raise typer.Exit(1)


@app.command()
def audit(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="A folder with train/ and valid/ class folders, or a CSV with labels.")],
    model: Model,
    weights: Weights = None,
    epoch: Epoch = None,
    model_arg: ModelArg = None,
    classes: Classes = None,
    regions: Annotated[
        str,
        typer.Option(
            help="border, corners, centre, halves, grid:4x4, zones, face, background, NAME=FOLDER of masks, "
            "NAME=coco.json, NAME=file.py:function, NAME=not:REGION; by commas."
        ),
    ] = "zones",
    core: Annotated[
        str, typer.Option(help="The regions (or properties) that should matter: anything else can be a shortcut.")
    ] = "",
    factors: Annotated[
        str, typer.Option(help="Properties: brightness, contrast, tint, …; all, none, or your own as file.py:name.")
    ] = "all",
    insert: Annotated[
        list[str] | None,
        typer.Option(help="A mark to lay over images: NAME=text:WORD or NAME=logo.png, then @top-left, …; repeatable."),
    ] = None,
    recipients: Annotated[int, typer.Option(help="Images of each split that are edited for each factor.")] = 300,
    donors: Annotated[int, typer.Option(help="Images of each class that give content.")] = 300,
    budget: Annotated[
        str | None, typer.Option(help="At most so many trials (50000), or so much time (5m, 90s, 1h).  [default: all]")
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan", help="Say what would run, its cost, and the smallest effect that would show.")
    ] = False,
    size: Size = None,
    fit: Fit = None,
    mean: Mean = None,
    std: Std = None,
    range_: Range = None,
    channels: Channels = None,
    preprocess: PreprocessBy = None,
    out: Annotated[Path | None, typer.Option(help="The run folder.  [default: runs/audit-<hash of options>]")] = None,
    batch_size: BatchSize = None,
    workers: Annotated[int | None, typer.Option(help="Processes, on Linux and a CPU.  [default: one per core]")] = None,
    device: Device = "auto",
    seed: Seed = 0,
    no_report: NoReport = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Say what the decisions depend on, tested by exchanging it between images: shortcuts, overfit, or nothing."""
    from seewhy.evidence.audit import audit_in_folder, planned
    from seewhy.evidence.ledger import default_audit_folder
    from seewhy.evidence.prepare import asked_for, prepare
    from seewhy.run.local import forking, steady_process
    from seewhy.run.progress import progress_bar, progress_bars
    from seewhy.store import manifest

    steady_process()
    with contextlib.redirect_stdout(sys.stderr), forking(workers):
        classifier = _classifier(
            model,
            weights,
            epoch,
            model_arg,
            classes,
            preprocess,
            device,
            size=_size(size),
            fit=fit,
            mean=_numbers("--mean", mean),
            std=_numbers("--std", std),
            range=range_,
            channels=channels,
        )
        asked = asked_for(regions, core, factors, insert or (), recipients, donors)
        if out is not None:
            manifest.find(out)  # refused before anything is read, where it holds something else
        with progress_bar("Reading images") as update:
            setting = prepare(classifier, data, asked, batch_size=batch_size, seed=seed, progress=update)
        if plan_only:
            found = planned(setting, budget, workers)
        else:
            folder = out or default_audit_folder(setting, budget)
            with progress_bars("Trials       ", "Weighing them") as (update, weighing):
                summary = audit_in_folder(
                    setting, folder, budget=budget, workers=workers, progress=update, weighing=weighing
                )
            found = {"run": str(folder), **_write_pages(folder, _typed(context), no_report), **summary}
    if as_json:
        _print_json({"command": "audit", **found})
    elif plan_only:
        _print_plan(found)
    else:
        _print_audit(found, folder)


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A finished run folder of explain, check or audit.")],
    copy_images: Annotated[
        bool, typer.Option("--copy-images", help="Copy the original files into the report, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the pages of a finished run: report/index.html in its folder opens from disk, the folder can be mailed."""
    from seewhy.report.write import write_report
    from seewhy.run.progress import progress_bar

    with progress_bar("Writing the report") as update:
        pages = write_report(run, copy_images=copy_images, progress=update)
    if as_json:
        _print_json({"command": "report", "run": str(run), "report": str(pages / "index.html")})
        return
    _say(f"Open in a browser:  {pages / 'index.html'}")


@app.command()
def layers(
    model: Model,
    weights: Weights = None,
    epoch: Epoch = None,
    model_arg: ModelArg = None,
    size: Size = None,
    device: Device = "cpu",
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """List the layers that have a grid, in the order in which they run, and mark the one that auto takes."""
    from seewhy.run.plan import layers_of

    with contextlib.redirect_stdout(sys.stderr):
        classifier = _classifier(model, weights, epoch, model_arg, None, None, device, size=_size(size))
        found, choice, (height, width) = layers_of(classifier)
    if as_json:
        rows = [
            {"layer": one.name, "kind": one.kind, "grid": list(one.grid), "seen": str(one.seen), "runs": one.runs}
            for one in found
        ]
        auto = {**vars(choice), "grid": str(choice.grid)}
        _print_json({"command": "layers", "input": [height, width], "layers": rows, "auto": auto})
        return
    _say(f"Layers with a grid, for an input of {width} x {height} pixels (* is auto):\n")
    _print_rows(
        [
            (
                "*" if one.name == choice.layer else "",
                one.name,
                one.kind,
                f"{one.grid[0]} channels, {one.seen or f'{one.grid[1]} x {one.grid[2]}'}",
                f"runs {one.runs} times" if one.runs > 1 else "",
            )
            for one in found
        ]
    )
    _say(f"\nauto: {choice.reason}.")


@app.command()
def methods(as_json: AsJson = False) -> None:
    """List the methods: what each does, its paper, and what it costs in passes over one image."""
    from seewhy.cam.captum_calls import CAPTUM
    from seewhy.cam.methods import METHODS

    by_captum = {f"captum:{name}": one for name, one in CAPTUM.items()}

    if as_json:
        shown = ("summary", "paper", "cost", "kind")
        _print_json({"command": "methods", "methods": [
            {"method": name, **{key: getattr(one, key, "input") for key in shown}}
            for name, one in {**METHODS, **by_captum}.items()
        ]})  # fmt: skip
        return
    _say("Methods, with their cost in passes over one image (C: channels of the layer) and their paper:\n")
    rows = [
        (name, one.summary + (" (on the input)" if one.on_canvas else ""), one.cost, one.paper)
        for name, one in METHODS.items()
    ]
    _print_rows(rows)
    _say("\nOn the input by captum (pip install seewhy[captum]):\n")
    _print_rows([(name, one.summary, one.cost, one.paper) for name, one in by_captum.items()])
    _say("\nSeveral at once:  seewhy explain … --method grad-cam,layercam")


@app.command()
def train(
    data: Annotated[str, typer.Argument(help="A folder with train/ and valid/ class folders, or a CSV with labels.")],
    model: Model,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 5,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 32,
    rate: Annotated[float, typer.Option(help="Adam's learning rate.")] = 1e-3,
    patience: Annotated[int | None, typer.Option(help="Stop after so many epochs without a better valid loss.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    out: Annotated[Path, typer.Option(help="Where checkpoints go: OUT/<class>/model_<epoch>.pt.")] = Path(
        "checkpoints"
    ),
    weights: Weights = None,
    model_arg: ModelArg = None,
    classes: Classes = None,
    size: Size = None,
    fit: Fit = None,
    mean: Mean = None,
    std: Std = None,
    range_: Range = None,
    channels: Channels = None,
    device: Device = "auto",
    seed: Seed = 0,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Train a network on labelled images: Adam, cross-entropy, a checkpoint per epoch, history as table and plot."""
    from seewhy.data.classifier import parse_model_args
    from seewhy.learn.train import train as run
    from seewhy.run.local import steady_process
    from seewhy.run.progress import progress_bar

    steady_process()
    with contextlib.redirect_stdout(sys.stderr), progress_bar("Training") as update:
        training = run(
            model,
            data,
            epochs=epochs,
            batch_size=batch_size,
            rate=rate,
            seed=seed,
            patience=patience,
            resume=resume,
            out=out,
            classes=_classes(classes),
            model_args=parse_model_args(model_arg or []),
            weights=weights,
            device=device,
            progress=update,
            size=_size(size),
            fit=fit,
            mean=_numbers("--mean", mean),
            std=_numbers("--std", std),
            range=range_,
            channels=channels,
        )
    if as_json:
        _print_json({"command": "train", **training.summary()})
        return
    for note in training.notes:
        _say(note)
    _say("")
    _print_rows(
        [("epoch", "split", "loss", "accuracy", "images")]
        + [(str(r.epoch), r.split, f"{r.loss:.4f}", f"{r.accuracy:.4f}", f"{r.n:,}") for r in training.history]
    )
    _say(f"\nCheckpoints  {training.folder}")
    _say(f"\nNext:\n  seewhy explain {data} --model {model} --weights {out} --epoch {training.best_epoch}")


@app.command()
def data(
    name: Annotated[
        str, typer.Argument(help="rvf10k, rvf5k, rvf140k (Kaggle), a FILE.zip downloaded by hand, or planted.")
    ],
    dest: Annotated[Path | None, typer.Argument(help="The folder to make.  [default: data/<name>]")] = None,
    size: Annotated[int, typer.Option(help="planted: width and height in pixels.")] = 128,
    train: Annotated[int, typer.Option(help="planted: training images per class.")] = 400,
    valid: Annotated[int, typer.Option(help="planted: validation images per class.")] = 100,
    strength: Annotated[float, typer.Option(help="planted: how often shortcut and class agree, 0.5 to 1.")] = 0.9,
    shortcut: Annotated[
        str,
        typer.Option(
            help="planted: tint, texture, logo, mark, frame, jpeg, brightness, blur, shift, hair, watermark; by commas."
        ),
    ] = "tint",
    area: Annotated[
        float, typer.Option(help="planted: of a logo, mark, frame or watermark, a share of the image.")
    ] = 0.05,
    difficulty: Annotated[float, typer.Option(help="planted: how faint the real difference is, 0 to 1.")] = 0.0,
    scenario: Annotated[str, typer.Option(help="planted: planted, clean, decoy, legit or memorised.")] = "planted",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Get images in the layout DEST/{train,valid}/{fake,real} with CSV files: from Kaggle, an archive, or rendered."""
    from seewhy.data.archive import unpack
    from seewhy.data.kaggle import download
    from seewhy.data.planted import write_faces
    from seewhy.run.progress import progress_bar

    archive = Path(name)
    home = dest or Path("data") / archive.stem
    with progress_bar("Getting data") as update:
        if name == "planted":
            write_faces(
                home,
                n_train=train,
                n_valid=valid,
                size=size,
                strength=strength,
                shortcut=tuple(shortcut.split(",")),
                area=area,
                difficulty=difficulty,
                scenario=scenario,
                seed=seed,
                progress=update,
            )
        elif archive.suffix.lower() == ".zip":
            unpack(archive, home, progress=update)
        else:
            download(name, home, progress=update)
    counts = _count_images(home)
    if as_json:
        _print_json({"command": "data", "folder": str(home), "images": counts})
        return
    _say(f"{sum(counts.values()):,} images in {home}")
    _print_rows([("", folder, f"{count:,}") for folder, count in counts.items()])


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder to make.")] = Path("seewhy-demo"),
    no_report: NoReport = False,
    as_json: AsJson = False,
) -> None:
    """Everything, on embedded data: render faces with a planted shortcut, train a network, explain and audit it."""
    from seewhy.demo import run_demo
    from seewhy.run.local import forking, steady_process
    from seewhy.run.progress import progress_bar

    steady_process()
    result = run_demo(out, stage=progress_bar, forking=lambda: forking(None))
    pages = {name: _write_pages(result.folder / name, typed, no_report) for name, typed in result.runs.items()}
    summary = {"command": "demo", "run": str(result.run), **pages["audit"], **result.explanation.summary()}
    summary |= {"check": result.checked, "audit": result.audit.summary(), "truth": result.truth}
    if as_json:
        _print_json(summary)
        return
    for line in result.story:
        _say(line)
    _say("")
    _print_explanation(summary, result.run)
    _say("\nMay these maps be read?\n")
    _print_check(result.checked, result.folder / "check")
    _say("\nA map is a hypothesis. What the decisions depend on, only changing it shows:\n")
    _print_audit(result.audit.summary(), result.folder / "audit")
    _say(f"\n{result.truth}")
    _say("\nThe same by hand:")
    for command in result.commands:
        _say(f"  {command}")
    _say("\nOn your own data:")
    _say("  seewhy explain YOUR_IMAGES --model your_net.py:Net --weights your_checkpoint.pt")
    _say("  seewhy audit YOUR_IMAGES --model your_net.py:Net --weights your_checkpoint.pt")
    if not no_report:
        _say(f"\nOpen in a browser:  {result.folder / 'audit' / _PAGES}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with 0, 1 (failed work), 2 (wrong input) or 130 (interrupted)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    gc.disable()  # importing torch makes a million objects and no garbage; steady_process() ends it
    try:
        app(args=[word for word in given if word != "--debug"], prog_name="seewhy")
    except SeewhyError as error:
        if debug:
            traceback.print_exc()
        print(f"{type(error).__name__}: {_plain(str(error))}\n  docs/errors.md#{error.slug}", file=sys.stderr)
        raise SystemExit(error.exit_status) from None
    except Exception as error:
        if debug:
            raise
        print(
            f"Unexpected {type(error).__name__}: {_plain(str(error))}\n  Run again with --debug to see where.",
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    finally:
        gc.enable()
        gc.unfreeze()


def _write_pages(folder: Path, typed: str, left_out: bool) -> dict[str, str]:
    """Keep the command line in the run, and write its pages; where they lie."""
    from seewhy.report.write import write_report
    from seewhy.run.progress import progress_bar
    from seewhy.store import manifest

    with manifest.writer(folder):
        manifest.note_typed(folder, typed)
    if left_out:
        return {}
    try:
        with progress_bar("Writing the report") as update:
            return {"report": str(write_report(folder, progress=update) / "index.html")}
    except WorkError as error:  # what the run has found is told all the same
        print(_plain(str(error)), file=sys.stderr)
        return {}


def _typed(context: typer.Context) -> str:
    """The command line that makes this run again, from wherever its options came."""
    words = ["seewhy", context.info_name or ""]
    for parameter in sorted(context.command.params, key=lambda one: one.param_type_name != "argument"):
        value = context.params.get(parameter.name or "")
        if value in (None, False, parameter.default) or value in ([], ()) or parameter.name in _NOT_THE_RUN:
            continue
        values = [str(one) for one in value] if isinstance(value, (list, tuple)) else [str(value)]
        for one in values:
            option = [] if parameter.param_type_name == "argument" else [max(parameter.opts, key=len)]
            words += option if value is True else [*option, one]
    return shlex.join(words)


def _classifier(
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
    from seewhy.data.classifier import load, parse_model_args

    arguments = parse_model_args(model_arg or [])
    names = _classes(classes)
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


def _classes(text: str | None) -> list[str] | None:
    if text is None:
        return None
    if "," not in text and Path(text).is_file():
        return [line.strip() for line in Path(text).read_text(encoding="utf-8").splitlines() if line.strip()]
    return [name.strip() for name in text.split(",") if name.strip()]


def _targets(names: Sequence[str] | None) -> str | dict[str, str]:
    """One target, or several by their own names."""
    names = names or ["predicted"]
    return names[0] if len(names) == 1 else {name: name for name in names}


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    parts = text.lower().split("x")
    if not all(part.strip().isdecimal() for part in parts) or len(parts) > 2:
        raise OptionError(f"--size is {text!r}, but must look like 256 or 240x320 (height x width).")
    return int(parts[0]), int(parts[-1])


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise OptionError(f"{option} is {text!r}, but must look like 0.5 or 0.485,0.456,0.406.") from error


def _print_explanation(summary: Mapping[str, Any], folder: Path) -> None:
    explained = summary["images"] - summary["without_result"]
    preset = f" as {summary['preset']} shows it" if summary["preset"] else ""
    _say(
        f"{explained:,} images explained: {summary['method']} of {', '.join(summary['layers'])} "
        f"for {summary['score']}{preset}"
    )
    counts = sorted(summary["predictions"].items(), key=lambda one: -one[1])
    accuracy = (
        f"   accuracy {summary['accuracy']:.3f} of {summary['labelled']:,} labelled" if summary["labelled"] else ""
    )
    _say(f"  predicted: {listed([f'{name} {count:,}' for name, count in counts], 5)}{accuracy}")
    if summary["without_result"]:
        reasons = listed([f"{reason} ({count})" for reason, count in summary["reasons"].items()], 3)
        _say(
            f"  without a result: {summary['without_result']}, each a row with its reason in records.parquet: {reasons}"
        )
    for note in summary["notes"]:
        _say(f"  - {note}")
    _say("")
    kinds = [
        ("Report", _PAGES),
        ("Sheet", "sheet.jpg"),
        ("Mean maps", "mean_maps.png"),
        *[("Overlays", f"overlays/{name}") for name in summary["method"].split(", ")],
        ("Table", "records.parquet"),
        ("Raw maps", "maps.zarr"),
    ]
    _print_places(folder, kinds)


def _print_places(folder: Path, kinds: Sequence[tuple[str, str]]) -> None:
    """Where the files of a run lie, as far as it has them."""
    _print_rows([(words, str(folder / name)) for words, name in kinds if (folder / name).exists()])


def _print_check(found: Mapping[str, Any], folder: Path) -> None:
    counted = f"{found['images']:,} images" + (
        f" ({found['without_result']} cannot be read)" if found["without_result"] else ""
    )
    _say(f"{counted} of {listed(found['classes'], 4)}, fed {found['preprocess']}\n{found['sampled']}".rstrip() + "\n")
    width = min(shutil.get_terminal_size((110, 24)).columns, 120)
    for one in found["findings"]:
        todo = textwrap.wrap(f"→ {_plain(one['todo'])}", width - 14, subsequent_indent="  ") if one["todo"] else []
        lines = textwrap.wrap(_plain(one["text"]), width - 14) + todo
        for number, line in enumerate(lines):
            print(f"  {one['level'].upper() if number == 0 else '':<12}{line}")
    _say("")
    _print_places(folder, [("Report", _PAGES), ("Numbers", "manifest.json"), ("Table", "records.parquet")])


def _print_audit(found: Mapping[str, Any], folder: Path) -> None:
    splits = ", ".join(f"{count:,} {name}" for name, count in found["splits"].items())
    accuracy = f", accuracy {found['accuracy']['value']:.3f}" if found["accuracy"] else ""
    _say(
        f"{found['images']:,} images ({splits}) of {listed(found['classes'], 4)}{accuracy}; {found['trials']:,} trials"
    )
    for note in found["notes"]:
        _say(f"  - {note}")
    if found["unreadable"]:
        reasons = listed([f"{name}: {why}" for name, why in found["unreadable"].items()], 2)
        _say(f"  - {len(found['unreadable'])} images could not be used: {reasons}")
    _say("")
    _print_findings(found["told"])
    _say(f"\n{found['scope']}\n")
    kinds = [("Report", _PAGES), ("Findings", "findings.json"), ("Pictures", "pictures"), ("Trials", "trials.parquet")]
    _print_places(folder, kinds)


def _print_plan(found: Mapping[str, Any]) -> None:
    _say(
        f"{found['trials']:,} trials, {found['time']}; {found['recipients']} images of a split are edited for a factor."
    )
    _say(f"{found['smallest']}\n")
    rows = [(one["factor"], one["kind"], f"{one['trials']:,}", f"{one['suspicion']:.3f}") for one in found["factors"]]
    _print_rows([("factor", "kind", "trials", "suspicion"), *rows])
    for name, reason in found["ruled_out"].items():
        _say(f"  - {name}: {reason}")
    for name in found["left_out"]:
        _say(f"  - {name}: the budget does not reach it")
    _say("\nSuspicion is how far the factor's values tell the classes apart, 0 to 1, before any trial.")


def _print_findings(told: Sequence[Mapping[str, Any]]) -> None:
    """Titles over wrapped words, evidence line by line, and what to do about it."""
    width = min(shutil.get_terminal_size((110, 24)).columns, 120)
    for one in told:
        print(f"  {_plain(one['title'])}")
        for text in (one["text"], *one["evidence"], f"→ {one['todo']}" if one["todo"] else ""):
            hanging = "  " if text[:2] in ("+ ", "- ", "? ", "→ ") else ""
            for line in textwrap.wrap(_plain(text), width - 6, subsequent_indent=hanging):
                print(f"      {line}")


def _print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Columns of equal width, without a frame."""
    widths = [max(len(_plain(cell)) for cell in column) for column in zip(*rows, strict=True)] if rows else []
    for row in rows:
        line = "  ".join(_plain(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        print(f"  {line}".rstrip())


def _print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _say(text: str) -> None:
    print(_plain(text))


def _plain(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def _count_images(folder: Path) -> dict[str, int]:
    from seewhy.data.folder import read_table

    counts: dict[str, int] = {}
    for image in read_table(folder).images:
        parent = image.id.rpartition("/")[0] or "."
        counts[parent] = counts.get(parent, 0) + 1
    return counts


if __name__ == "__main__":
    main()

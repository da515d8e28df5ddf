"""`seewhy methods`: what each method does, and which tells most of one classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from seewhy.cli.options import AsJson, ClassifierOptions, ClusterBy, Config, ImageOptions, Seed, TaskName
from seewhy.cli.printing import kept_clean, print_json, print_rows, print_wrapped, say
from seewhy.cli.signature import spelled_out, typed_beside
from seewhy.errors import OptionError, listed

if TYPE_CHECKING:
    from seewhy.evidence.metrics.comparison import MethodComparison

_ACROSS = 3  # figures with their intervals side by side


@dataclass(frozen=True, kw_only=True)
class _ComparedNetwork(ClassifierOptions):
    """The network whose maps are compared; none is needed to list the methods."""

    model: Annotated[
        str,
        typer.Option(
            help="The network: net.py:Net, package.module:factory, timm:NAME, torchvision:NAME, hf:DIRECTORY, "
            "onnx:FILE.onnx or pt2:FILE.pt2."
        ),
    ] = ""


@dataclass(frozen=True, kw_only=True)
class _ComparedMaps:
    """Which maps are compared, and what of."""

    method: Annotated[
        str,
        typer.Option(
            "--methods",
            "--method",
            help="Which are compared, several by commas, your own: file.py:function.  [default: six of one pass each]",
        ),
    ] = ""
    layers: Annotated[
        str, typer.Option(help="Dotted names, several by commas: every method is compared on every one of them.")
    ] = "auto"
    target: Annotated[
        str, typer.Option(help="What is explained and measured, one: predicted, label, a class, margin, …")
    ] = "predicted"
    core: Annotated[
        str,
        typer.Option(
            help="The regions that should matter, as audit takes them: object=FOLDER of masks, face, centre, …; with "
            "it come the pointing games."
        ),
    ] = ""
    task: TaskName = None
    grid: Annotated[
        str | None,
        typer.Option(help="Where it cannot be told: 14x14 for tokens, channels-first or channels-last."),
    ] = None


@spelled_out
def methods(
    context: typer.Context,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Rank methods and layers for one classifier on these images; without it they are listed.",
        ),
    ] = None,
    *,
    network: _ComparedNetwork,
    maps: _ComparedMaps,
    taken: ImageOptions,
    cluster_by: ClusterBy = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images at once.  [default: as many as pay, by the free memory]")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """List the methods, or with --compare rank them and layers for one classifier, with intervals."""
    if compare is None:
        if others := typed_beside(context, ("as_json", "config")):
            raise OptionError(
                f"Without --compare all methods are listed, and {listed(others)} would say nothing.\n"
                "  Type:  seewhy methods --compare DATA --model net.py:Net"
            )
        _list(as_json)
        return
    from seewhy.evidence.metrics.compare import USUAL, compare_methods
    from seewhy.run.workers import steady_process

    if not network.model:
        raise OptionError(
            "Methods are compared for one network, and none is named.\n"
            f"  Type:  seewhy methods --compare {compare} --model net.py:Net --weights model.pt"
        )
    steady_process()
    with kept_clean():
        compared = compare_methods(
            network.load(maps.task),
            taken.table_of(compare),
            target=maps.target,
            layers=maps.layers,
            method=maps.method or USUAL,
            grid=maps.grid,
            core=maps.core,
            cluster_by=cluster_by,
            batch_size=batch_size,
            seed=seed,
            **taken.arguments(),
        )
    if as_json:
        print_json({"command": "methods", **compared.summary()})
    else:
        _print(compared)


def _print(compared: MethodComparison) -> None:
    """The ranking, what it says, the other figures, and how all of it was measured."""
    for note in compared.notes:
        say(f"  - {note}")
    for reason, count in compared.left_out.items():
        say(f"  - without a figure: {count}, {reason}")
    say("")
    print_rows(compared.ranking())
    say("")
    for sentence in compared.said():
        print_wrapped(sentence)
    others = [name for name in compared.metrics if name != compared.primary]
    for start in range(0, len(others), _ACROSS):
        say("")
        print_rows(compared.table(others[start : start + _ACROSS]))
    say("")
    for sentence in compared.about():
        print_wrapped(sentence)


def _list(as_json: bool) -> None:
    """What each method does, its paper, and what it costs in passes over one image."""
    from seewhy.cam.methods.captum_calls import CAPTUM
    from seewhy.cam.methods.catalogue import METHODS

    by_captum = {f"captum:{name}": method for name, method in CAPTUM.items()}

    if as_json:
        shown = ("summary", "paper", "cost", "kind")
        print_json({"command": "methods", "methods": [
            {"method": name, **{key: getattr(method, key, "input") for key in shown}}
            for name, method in {**METHODS, **by_captum}.items()
        ]})  # fmt: skip
        return
    say("Methods, with their cost in passes over one image (C: channels of the layer) and their paper:\n")
    rows = [
        (name, method.summary + (" (on the input)" if method.on_canvas else ""), method.cost, method.paper)
        for name, method in METHODS.items()
    ]
    print_rows(rows)
    say("\nOn the input by captum (pip install seewhy[captum]):\n")
    print_rows([(name, method.summary, method.cost, method.paper) for name, method in by_captum.items()])
    say("\nYour own:  --method file.py:function, from a Scene (seewhy/cam/methods/scene.py) to maps (N, H, W)")
    say("\nSeveral at once:  seewhy explain … --method grad-cam,layercam")
    say("\nWhich tells most of your network:  seewhy methods --compare DATA --model net.py:Net --weights model.pt")

"""`seewhy explain`: maps of every image, into a run folder."""

from __future__ import annotations

from typing import Annotated

import typer

from seewhy.cli.options import ClassifierOptions, ImageOptions, Images, MapOptions, RunOptions, Workers
from seewhy.cli.pages import typed_again, write_pages
from seewhy.cli.printing import kept_clean, print_explanation, print_json
from seewhy.cli.signature import spelled_out
from seewhy.cli.spread import SpreadOptions, listed_images, planned, say_portion


@spelled_out
def explain(
    context: typer.Context,
    images: Images,
    classifier: ClassifierOptions,
    maps: MapOptions,
    smooth: Annotated[
        str, typer.Option(help="augment (the mean over mirrored and scaled inputs), eigen (first component), or both.")
    ] = "",
    preset: Annotated[str | None, typer.Option(help="pytorch-grad-cam: the pictures that this package makes.")] = None,
    image_format: Annotated[str, typer.Option("--format", help="Overlays as jpg (quality 95) or png.")] = "jpg",
    *,
    taken: ImageOptions,
    only: Annotated[
        str | None, typer.Option(help="Only images that are answered wrong, or right; all are answered first.")
    ] = None,
    extend: Annotated[
        bool, typer.Option("--extend", help="Take added images into the finished run of --out; only they are computed.")
    ] = False,
    workers: Workers = None,
    spread: SpreadOptions,
    run: RunOptions,
) -> None:
    """Map what the network looks at in every image, into a run folder: maps, overlays, a sheet, mean maps, tables."""
    from seewhy.cli.on_ray import check_ray, spread_on_ray
    from seewhy.explanation.explain import check_extend
    from seewhy.explanation.folder import default_folder, run_in_folder
    from seewhy.explanation.only import check_only, with_only
    from seewhy.explanation.portions import run_portion
    from seewhy.run.folder import RunFolder
    from seewhy.run.progress import progress_bar
    from seewhy.run.workers import forking, steady_process
    from seewhy.store import arrays

    check_extend(extend, run.out)
    portion = spread.portion(only=only, extend=extend)
    check_ray(spread.ray)
    processes = workers if spread.ray is None else 1  # that are forked here
    arrays.load()  # what is imported later is looked through for garbage, in each worker, too
    steady_process()
    with kept_clean(), forking(processes):
        table = None if spread.ray is None else listed_images(context.params)
        plan = planned(context.params, table)
        check_only(plan, only)
    if run.understands(plan, classifier.weights):
        return
    with kept_clean(), forking(processes):
        if only is not None:
            with progress_bar("Answering ") as update:
                plan = with_only(plan, only, workers=workers, progress=update)
        folder = run.out or default_folder(plan)
    if portion is not None:
        with kept_clean(), forking(processes), progress_bar(f"Shard {portion}") as update:
            done = run_portion(plan, folder, portion, typed=typed_again(context), workers=workers, progress=update)
        say_portion(done, folder, as_json=run.as_json)
        return
    on_ray = None
    if spread.ray is not None and table is not None:
        on_ray = spread_on_ray(context.params, table, plan, folder, spread.ray, workers, spread.gpus_per_worker)
    with kept_clean(), forking(processes), RunFolder(folder).held():
        with progress_bar("Explaining") as update:
            explanation = run_in_folder(plan, folder, workers=workers, extend=extend, spread=on_ray, progress=update)
        pages = write_pages(folder, typed_again(context), run.no_report)
    summary = {"command": "explain", "run": str(folder), **pages, **explanation.summary()}
    if run.as_json:
        print_json(summary)
    else:
        print_explanation(summary, folder)

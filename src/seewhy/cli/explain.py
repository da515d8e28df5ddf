"""`seewhy explain`: maps of every image, into a run folder."""

from __future__ import annotations

from typing import Annotated

import typer

from seewhy.cli.options import ClassifierOptions, ImageOptions, Images, MapOptions, RunOptions, Workers
from seewhy.cli.pages import typed_again, write_pages
from seewhy.cli.printing import kept_clean, print_explanation, print_json
from seewhy.cli.signature import spelled_out


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
    run: RunOptions,
) -> None:
    """Map what the network looks at in every image, into a run folder: maps, overlays, a sheet, mean maps, tables."""
    from seewhy.explanation.explain import check_extend
    from seewhy.explanation.folder import default_folder, run_in_folder
    from seewhy.explanation.only import check_only, with_only
    from seewhy.run.folder import RunFolder
    from seewhy.run.plan import make_plan
    from seewhy.run.progress import progress_bar
    from seewhy.run.workers import forking, steady_process
    from seewhy.store import arrays

    check_extend(extend, run.out)
    arrays.load()  # what is imported later is looked through for garbage, in each worker, too
    steady_process()
    with kept_clean(), forking(workers):
        plan = make_plan(
            classifier.load(maps.task),
            taken.table_of(images),
            preset=preset,
            smooth=smooth,
            image_format=image_format,
            **maps.arguments(),
            **taken.arguments(),
            **run.arguments(),
        )
        check_only(plan, only)
    if run.understands(plan, classifier.weights):
        return
    with kept_clean(), forking(workers):
        if only is not None:
            with progress_bar("Answering ") as update:
                plan = with_only(plan, only, workers=workers, progress=update)
        folder = run.out or default_folder(plan)
        with RunFolder(folder).held():
            with progress_bar("Explaining") as update:
                explanation = run_in_folder(plan, folder, workers=workers, extend=extend, progress=update)
            pages = write_pages(folder, typed_again(context), run.no_report)
    summary = {"command": "explain", "run": str(folder), **pages, **explanation.summary()}
    if run.as_json:
        print_json(summary)
    else:
        print_explanation(summary, folder)

"""`seewhy data`: images from Kaggle, from an archive, or rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seewhy.cli.options import AsJson, Seed
from seewhy.cli.printing import print_json, print_rows, say
from seewhy.cli.signature import typed_beside
from seewhy.errors import OptionError, counted, listed


def data(
    context: typer.Context,
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
    from seewhy.data.sources.archive import unpack
    from seewhy.data.sources.kaggle import download
    from seewhy.planted.folder import write_faces
    from seewhy.run.progress import progress_bar

    if name != "planted" and (others := typed_beside(context, ("as_json",))):
        raise OptionError(f"Only planted images are rendered, so {listed(others)} would say nothing of {name}.")
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
        print_json({"command": "data", "folder": str(home), "images": counts})
        return
    say(f"{counted(sum(counts.values()), 'image')} in {home}")
    print_rows([("", folder, f"{count:,}") for folder, count in counts.items()])


def _count_images(folder: Path) -> dict[str, int]:
    from seewhy.data.sources.folder import read_table

    counts: dict[str, int] = {}
    for image in read_table(folder).images:
        parent = image.id.rpartition("/")[0] or "."
        counts[parent] = counts.get(parent, 0) + 1
    return counts

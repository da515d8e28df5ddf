"""CSV and pictures: what a tracker would get, as files that anything opens."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seewhy.errors import StoreError
from seewhy.integrations.content import Content, effect_table, image_table

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(contents: Sequence[Content], folder: Path) -> Path:
    """Write images.csv, effects.csv, numbers.csv and overlays/ to a new folder, and give it back.

    Raises StoreError where the folder holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise StoreError(
            f"{folder} holds something.  Name a new folder:  --out FOLDER", slug="folder-holds-something-else"
        )
    folder.mkdir(parents=True, exist_ok=True)
    images, effects, numbers = [], [], []
    for content in contents:
        step = [] if content.step is None else [content.step]
        pictures = _copy_pictures(content, folder)
        columns, rows = image_table(contents, content.images)
        columns = [*(["epoch"] if step else []), *columns, "overlay"]
        images += [[*step, *row, picture] for row, picture in zip(rows, pictures, strict=True)]
        names, values = effect_table(content)
        names = [*(["epoch"] if step else []), *names]
        effects += [[*step, *row] for row in values]
        numbers += [[*step, name, value] for name, value in content.numbers.items()]
    write_table(folder / "images.csv", columns, images)
    if effects:
        write_table(folder / "effects.csv", names, effects)
    if numbers:
        write_table(folder / "numbers.csv", [*(["epoch"] if step else []), "name", "value"], numbers)
    return folder


def _copy_pictures(content: Content, folder: Path) -> list[str]:
    """The name of each image's overlay, which is copied; "" where it has none."""
    names = []
    for number, image in enumerate(content.images):
        if not isinstance(image.picture, Path):
            names.append("")
            continue
        epoch = "" if content.step is None else f"epoch-{content.step:04d}/"
        name = f"overlays/{epoch}{number:06d}{image.picture.suffix}"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image.picture, folder / name)
        names.append(name)
    return names


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table as CSV in UTF-8; what a spreadsheet would take for a formula gets an apostrophe."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([[_cell(value) for value in row] for row in rows])


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value

"""Contact sheets: what each renderer draws, and each kind switched on and off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
from benchmarks.planted.latents import Recipe
from benchmarks.planted.renderers import RENDERERS, Latents, Renderer

EXAMPLES = 6  # pictures of each kind
STRIP = 62  # pixels for the words at the left


def example_sheet(renderer: Renderer, scale: int = 1) -> PIL.Image.Image:
    """A row of pictures by class; then for each kind three pictures with it off, beside the same with it on."""
    recipe = Recipe(renderer.name, (), "legit", classes=2 if renderer.name == "faces" else 6)
    plain = renderer.sample(recipe, "train", EXAMPLES if recipe.classes == 2 else 1, 3)
    rows = [("classes", renderer.draw(plain.at(slice(EXAMPLES))).images)]
    for kind in renderer.kinds:
        pictures = renderer.sample(replace(recipe, kinds=(kind,), scenario="planted", classes=2), "train", 2, 5)
        pictures = pictures.at(slice(EXAMPLES // 2))
        rows.append(_switched(renderer, pictures, kind))
    return _laid_out(rows, scale)


def switch_sheet(recipe: Recipe, kind: str, seed: int) -> PIL.Image.Image:
    """Some audited pictures with a kind off, each beside itself with it on."""
    renderer = RENDERERS[recipe.renderer]
    pictures = renderer.sample(recipe, "valid", EXAMPLES // 2, seed).at(slice(EXAMPLES // 2))
    return _laid_out([_switched(renderer, pictures, kind)], 1)


def _switched(renderer: Renderer, pictures: Latents, kind: str) -> tuple[str, np.ndarray]:
    off, on = (renderer.draw(renderer.switched(pictures, kind, is_on)).images for is_on in (False, True))
    return kind, np.stack([off, on], axis=1).reshape(-1, *off.shape[1:])


def _laid_out(rows: list[tuple[str, np.ndarray]], scale: int) -> PIL.Image.Image:
    side = rows[0][1].shape[1] * scale
    sheet = PIL.Image.new("RGB", (STRIP + EXAMPLES * (side + 2), len(rows) * (side + 2)), "white")
    words = PIL.ImageDraw.Draw(sheet)
    for row, (name, images) in enumerate(rows):
        words.text((2, row * (side + 2) + side // 2 - 6), name, fill="black")
        for place, image in enumerate(images):
            tile = PIL.Image.fromarray(image).resize((side, side), PIL.Image.Resampling.NEAREST)
            sheet.paste(tile, (STRIP + place * (side + 2), row * (side + 2)))
    return sheet


def write_sheets(folder: Path) -> None:
    """FOLDER/<renderer>.png for each."""
    folder.mkdir(parents=True, exist_ok=True)
    for renderer in RENDERERS.values():
        example_sheet(renderer).save(folder / f"{renderer.name}.png", optimize=True)

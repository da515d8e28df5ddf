"""Small images with a core cue and a tint around it, and networks whose answers are known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn

SIDE = 32
CORE = slice(8, 24)  # rows and columns
TINT, CUE = 0.08, 0.10


def write_images(
    folder: Path,
    *,
    counts: dict[str, int],
    classes: tuple[str, ...] = ("cat", "dog"),
    aligned: float = 0.9,
    seed: int = 0,
    noise: float = 0.03,
) -> Path:
    """Splits of so many images of each class: a brighter core for the first class, a redder surround with `aligned`.

    Exactly that share of each class has the aligned surround, so that the classes' means are known. Of more than two
    classes, class c has the surround that is redder by c / (K - 1).
    """
    for place, (split, count) in enumerate(counts.items()):
        for index, name in enumerate(classes):
            rng = np.random.default_rng((seed, place, index))
            home = folder / split / name
            home.mkdir(parents=True)
            matching = np.arange(count) < round(aligned * count)
            for number, is_aligned in enumerate(rng.permutation(matching)):
                other = int(rng.integers(len(classes) - 1))
                shown = index if is_aligned else other + (other >= index)
                PIL.Image.fromarray(image_of(rng, index, shown, len(classes), noise)).save(home / f"{number:04d}.png")
    return folder


def image_of(rng: np.random.Generator, label: int, tint: int, n_classes: int, noise: float) -> np.ndarray:
    pixels = 0.5 + noise * rng.standard_normal((SIDE, SIDE, 3))
    level = 1 - 2 * tint / (n_classes - 1)
    pixels[..., 0] += TINT * level
    pixels[..., 2] -= TINT * level
    pixels[CORE, CORE] = 0.5 + noise * rng.standard_normal((16, 16, 3))
    pixels[CORE, CORE] += CUE * (1 - 2 * label / (n_classes - 1)) * rng.uniform(0.2, 1.8)
    return (pixels.clip(0, 1) * 255).round().astype(np.uint8)


def write_masks(folder: Path, images: Path) -> Path:
    """A mask of the core for every image, under the image's own relative path."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[CORE, CORE] = 255
    for path in images.rglob("*.png"):
        target = folder / path.relative_to(images)
        target.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(mask).save(target)
    return folder


def where_core() -> Tensor:
    inside = torch.zeros(SIDE, SIDE)
    inside[CORE, CORE] = 1
    return inside


def parts_of(canvases: Tensor) -> tuple[Tensor, Tensor]:
    """The core's brightness less .5, and the surround's red less its blue, each (N,)."""
    inside = where_core().to(canvases)
    core = (canvases.mean(dim=1) * inside).sum(dim=(1, 2)) / inside.sum() - 0.5
    around = ((canvases[:, 0] - canvases[:, 2]) * (1 - inside)).sum(dim=(1, 2)) / (1 - inside).sum()
    return core, around


class Reader(nn.Module):
    """Two logits, whose difference is `core` times the core's brightness plus `tint` times the surround's redness."""

    def __init__(self, core: float = 40.0, tint: float = 0.0) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 3, 1, bias=False)  # a layer with a grid, that changes nothing
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.look.weight.copy_(torch.eye(3)[:, :, None, None])
            self.head.weight.copy_(torch.tensor([[core / 2, tint / 2], [-core / 2, -tint / 2]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.stack(parts_of(self.look(x)), dim=1))


class Either(Reader):
    """Redness of the left half of the surround, or of the right half: either is enough."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.look(x)
        red = (x[:, 0] - x[:, 2]) * (1 - where_core().to(x))
        left, right = red[:, :, : SIDE // 2].mean(dim=(1, 2)), red[:, :, SIDE // 2 :].mean(dim=(1, 2))
        strongest = torch.maximum(left, right) * 60
        return torch.stack([strongest, -strongest], dim=1)


class Memory(Reader):
    """The core's brightness, and whatever label the most similar remembered picture had, judged by `where`."""

    def __init__(
        self, pictures: Tensor, labels: Tensor, where: Tensor, core: float = 20.0, weight: float = 6.0
    ) -> None:
        super().__init__(core=core)
        self.weight = weight
        self.register_buffer("where", where)
        self.register_buffer("keys", (pictures * where).flatten(1))
        self.register_buffer("signs", 1 - 2 * labels.float())

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        distance = torch.cdist((self.look(x) * self.where).flatten(1), self.keys)
        closeness = torch.softmax(-8 * distance, dim=1) * (distance.amin(dim=1, keepdim=True) < 0.5)
        recalled = self.weight * (closeness @ self.signs)
        return logits + torch.stack([recalled, -recalled], dim=1)

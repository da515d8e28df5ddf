"""Small images with a core cue and a tint around it, and networks whose answers are known by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor, nn

import seewhy

SIDE = 32
CORE = slice(8, 24)  # rows and columns
CORNER = (slice(0, 8), slice(0, 16))  # rows, columns: an eighth of the picture, a part of the surround
TINT, CUE = 0.08, 0.10
LUMINANCE = (0.299, 0.587, 0.114)
CLASSES = ("cat", "dog")


def write_images(
    folder: Path,
    *,
    counts: dict[str, int],
    classes: tuple[str, ...] = CLASSES,
    aligned: float = 0.9,
    seed: int = 0,
    noise: float = 0.03,
) -> Path:
    """Splits of so many images of each class: a brighter core for the first class, a redder surround with `aligned`.

    Exactly that share of each class has the aligned surround, so that the classes' means are known. Of more than two
    classes, class c has the surround that is less red by c / (K - 1). The surround's luminance is the same for all.
    """
    for place, (split, count) in enumerate(counts.items()):
        for index, name in enumerate(classes):
            rng = np.random.default_rng((seed, place, index))
            home = folder / split / name
            home.mkdir(parents=True)
            matching = np.arange(count) < round(aligned * count)
            for number, is_aligned in enumerate(rng.permutation(matching)):
                other = int(rng.integers(max(len(classes) - 1, 1)))
                shown = index if is_aligned else other + (other >= index)
                PIL.Image.fromarray(image_of(rng, index, shown, len(classes), noise)).save(home / f"{number:04d}.png")
    return folder


def image_of(rng: np.random.Generator, label: int, tint: int, n_classes: int, noise: float) -> np.ndarray:
    pixels = 0.5 + noise * rng.standard_normal((SIDE, SIDE, 3))
    level, sign = (1 - 2 * one / max(n_classes - 1, 1) for one in (tint, label))
    pixels[..., 0] += TINT * level
    pixels[..., 1] -= TINT * level * LUMINANCE[0] / LUMINANCE[1]
    pixels[CORE, CORE] = 0.5 + noise * rng.standard_normal((16, 16, 3))
    pixels[CORE, CORE] += CUE * sign * rng.uniform(0.2, 1.8)
    return (pixels.clip(0, 1) * 255).round().astype(np.uint8)


def write_masks(folder: Path, images: Path, where: Tensor | None = None) -> Path:
    """A mask for every image, under the image's own relative path; of the core where nothing else is asked for."""
    mask = ((where_core() if where is None else where).numpy() * 255).astype(np.uint8)
    for path in images.rglob("*.png"):
        target = folder / path.relative_to(images)
        target.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(mask).save(target)
    return folder


def pictures_of(folder: Path, split: str = "train", classes: tuple[str, ...] = CLASSES) -> tuple[Tensor, Tensor]:
    """The canvases (N, 3, H, W) and class numbers (N,) of a split, in the order of their names."""
    paths = sorted((folder / split).rglob("*.png"))
    pixels = np.stack([np.asarray(PIL.Image.open(path).convert("RGB")) for path in paths])
    labels = torch.tensor([classes.index(path.parent.name) for path in paths])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255, labels


def classifier_of(model: nn.Module, classes: tuple[str, ...] = CLASSES, **options: Any) -> seewhy.Classifier:
    """The network as it is fed canvases."""
    fed = {"size": SIDE, "mean": (0, 0, 0), "std": (1, 1, 1)} if "preprocess" not in options else {}
    return seewhy.load(model, classes=classes, **{**fed, **options})


def where_core() -> Tensor:
    inside = torch.zeros(SIDE, SIDE)
    inside[CORE, CORE] = 1
    return inside


def where_corner() -> Tensor:
    inside = torch.zeros(SIDE, SIDE)
    inside[CORNER] = 1
    return inside


def where_half(is_right: bool) -> Tensor:
    """One half of what is around the core."""
    around = 1 - where_core()
    around[:, : SIDE // 2 if is_right else SIDE] *= 1 - is_right
    if not is_right:
        around[:, SIDE // 2 :] = 0
    return around


def mean_in(values: Tensor, where: Tensor) -> Tensor:
    """The mean of values (N, H, W) where the mask (H, W) is 1: (N,)."""
    return (values * where.to(values)).sum(dim=(1, 2)) / where.to(values).sum()


def luminance_of(canvases: Tensor) -> Tensor:
    return torch.einsum("nchw,c->nhw", canvases, canvases.new_tensor(LUMINANCE))


def where_ring() -> Tensor:
    """The outer half of what is around the core: nothing of it borders on the core."""
    ring = torch.ones(SIDE, SIDE)
    ring[4:-4, 4:-4] = 0
    return ring


def parts_of(canvases: Tensor, seen: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The core's luminance less .5, and the ring's (or another part's) red less its green, each (N,)."""
    core = mean_in(luminance_of(canvases), where_core()) - 0.5
    around = mean_in(canvases[:, 0] - canvases[:, 1], where_ring() if seen is None else seen)
    return core, around


def full_redness() -> float:
    """By how much the surround of the first class is redder than that of the last one, less green included."""
    return 2 * TINT * (1 + LUMINANCE[0] / LUMINANCE[1])


def as_it_is() -> nn.Conv2d:
    """A layer with a grid, which changes nothing."""
    layer = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(3)[:, :, None, None])
    return layer


class Reader(nn.Module):
    """Two logits, whose difference is `core` times the core's luminance plus `tint` times the ring's redness.

    `seen` is another part than the ring.
    """

    def __init__(self, core: float = 40.0, tint: float = 0.0, seen: Tensor | None = None) -> None:
        super().__init__()
        self.seen = seen
        self.look = as_it_is()
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[core / 2, tint / 2], [-core / 2, -tint / 2]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.stack(parts_of(self.look(x), self.seen), dim=1))


class TwoOfThree(Reader):
    """What two of three say: the redness of the surround's left half, that of its right half, and the core.

    Where all three agree, no single one of them can change the answer, but any two can. `leak` is what red and green
    add to one class each, so that maps are not empty.
    """

    def __init__(self, leak: float = 0.01) -> None:
        super().__init__()
        self.leak = leak

    def forward(self, x: Tensor) -> Tensor:
        x = self.look(x)
        redness = x[:, 0] - x[:, 1]
        halves = [(mean_in(redness, where_half(side)) * 1e3).clamp(-1, 1) for side in (False, True)]
        core = ((mean_in(luminance_of(x), where_core()) - 0.5) * 1e3).clamp(-1, 1)
        voted = 4 * torch.stack([*halves, core], dim=1).median(dim=1).values
        return torch.stack([voted, -voted], dim=1) + self.leak * x[:, :2].mean(dim=(2, 3))


class Memory(Reader):
    """The core like Reader, and the label of the remembered picture that is the same in `where`."""

    def __init__(
        self,
        pictures: Tensor,
        labels: Tensor,
        where: Tensor,
        core: float = 20.0,
        tint: float = 0.0,
        weight: float = 6.0,
    ) -> None:
        super().__init__(core=core, tint=tint)
        self.weight = weight
        self.register_buffer("where", where)
        self.register_buffer("keys", (pictures * where).flatten(1))
        self.register_buffer("signs", 1 - 2 * labels.float())

    def forward(self, x: Tensor) -> Tensor:
        logits = super().forward(x)
        distance = torch.cdist((self.look(x) * self.where).flatten(1), self.keys)
        closeness = torch.softmax(-8 * distance, dim=1) * (distance.amin(dim=1, keepdim=True) < 0.3)
        recalled = self.weight / 2 * (closeness @ self.signs)
        return logits + torch.stack([recalled, -recalled], dim=1)


class Steps(Reader):
    """K logits: how near the core's luminance and the ring's redness are to those of each class."""

    def __init__(self, n_classes: int, core: float = 40.0, tint: float = 0.0) -> None:
        super().__init__()
        levels = torch.linspace(1, -1, n_classes)
        self.head = nn.Linear(2, n_classes)
        size = torch.tensor([CUE, full_redness() / 2])
        weight = torch.tensor([core, tint]) * levels[:, None]
        with torch.no_grad():
            self.head.weight.copy_(weight)
            self.head.bias.copy_(-(weight * size * levels[:, None]).sum(dim=1) / 2)

"""Writes docs/blind.md: how much of each method's maps lies in the half of the picture that a network cannot see.

.venv/bin/python docs/check/blind.py: some minutes on one core.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

import seewhy
from seewhy.cam.methods.catalogue import METHODS
from seewhy.errors import LayerError
from seewhy.estimates import Estimate, mean_of

PAGE = Path(__file__).resolve().parents[1] / "blind.md"
SIDE, HALF, GRID, SEEN = 64, 32, 8, 3  # pixels, pixels, cells, columns of cells that see nothing of the right half
N_TRAIN, N_SHOWN, STEPS = 1024, 64, 300
LEFT_OUT = ("opti-cam",)  # a hundred passes there and back for each picture
HEAD = """# Maps against what a network cannot see

Two small networks tell a lying bar from a standing one in the left half of a picture. In the right half lies another
bar, which says nothing, and which they **cannot see**, by construction: no pixel of it moves any output. What a map
shows there is false.

- *blind head*: the last features of the right half are left out before the layer that flattens and decides (as in
  Taimeskhanov, Sicre & Garreau 2024, CAM-Based Methods Can See through Walls). They are still computed, and a method
  that weighs whole channels lights them.
- *blind input*: the right half is painted grey before the first layer; the features are averaged over all places. The
  grey has features, too, and they add to every score, so that a method which divides the score among the places gives
  them their part.

The *false mass* is the share of a map's positive part that lies in the blind half, in per cent: the mean over {shown}
pictures that were not trained on, with its 95 % interval. An even map has 50. The grade is what `seewhy check` gives
for that alone: it swaps places between images, and so knows which half is not seen; `-` are methods that it does not
examine. `cam` refuses a head that flattens; `refine-cam` is that of two layers, on the finer grid; `opti-cam`, of a
hundred passes there and back for each picture, is left out. Accuracy of the
two: {accuracies}. Written by [check/blind.py](check/blind.py).

| method | blind head | grade | blind input | grade |
| --- | --- | --- | --- | --- |
"""
TAIL = """
On your own network `seewhy check` says what share of a map lies in places that no swap moves, where there are any. Each
column is of one network, one training and one kind of picture: elsewhere the order of the methods may be another.
"""


class Blind(nn.Module):
    """Three convolutions to 8 x 8 places, and a head; where it is blind is what its subclasses say."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 12, 24, 24)
        blocks = [[nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)] for a, b in pairwise(widths)]
        self.features = nn.Sequential(*[layer for block in blocks for layer in block])


class BlindHead(Blind):
    """A head that flattens the left three columns of places, of which none sees a pixel of the right half."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(24 * GRID * GRID, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc((self.features(x) * (torch.arange(GRID) < SEEN)).flatten(1))


class BlindInput(Blind):
    """The right half is painted grey; the head averages over the places."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(24, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(torch.where(torch.arange(SIDE) < HALF, x, 0.5)).mean((2, 3)))


def pictures(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy pictures (N, 3, H, W) with a bar in either half, and whether that of the left half stands (N,)."""
    dice = torch.Generator().manual_seed(seed)
    x = 0.5 + 0.08 * torch.randn(count, 3, SIDE, SIDE, generator=dice)
    standing = torch.randint(0, 2, (count, 2), generator=dice)
    for row in range(count):
        for side in (0, 1):
            high, wide = (18, 6) if standing[row, side] else (6, 18)
            top = int(torch.randint(2, SIDE - high - 2, (1,), generator=dice))
            left = HALF * side + int(torch.randint(2, HALF - wide - 8, (1,), generator=dice))
            x[row, :, top : top + high, left : left + wide] += 0.35
    return x.clamp(0, 1), standing[:, 0]


def trained(kind: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model, (x, labels) = kind(), pictures(N_TRAIN, 0)
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for step in range(STEPS):
        rows = torch.arange(step * 64, step * 64 + 64) % N_TRAIN
        optimiser.zero_grad()
        functional.cross_entropy(model(x[rows]), labels[rows]).backward()
        optimiser.step()
    return model.eval()


def false_mass(model: nn.Module, method: str, x: Tensor) -> Estimate | None:
    """The share of the maps' positive part in the right half; None where no map has one, or the method refuses."""
    layers = {"input": "auto", "layers": ["features.4", "features"]}.get(METHODS[method].kind, "features")
    try:
        found = seewhy.explain(seewhy.load(model), x, method=method, layers=layers, progress=False).maps
    except LayerError as error:
        if error.slug != "no-pooled-head":
            raise
        return None
    maps = torch.as_tensor(found["features.4"] if isinstance(found, dict) else found).double().clamp(min=0)
    total = maps.sum((1, 2))
    share = maps[..., maps.shape[2] // 2 :].sum((1, 2))[total > 0] / total[total > 0]
    return mean_of(share.numpy()) if len(share) > 1 else None


def grade(model: nn.Module, method: str, x: Tensor) -> str:
    if METHODS[method].kind not in ("gradient", "activation"):
        return "-"
    found = seewhy.check(seewhy.load(model), x, method=method, layers="features", progress=False)
    ((_, reasons),) = found.graded
    return next((reason.grade for reason in reasons if "does not see" in reason.text), "A")


def cell(share: Estimate | None) -> str:
    return "no map" if share is None else f"{100 * share.value:.1f} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def main() -> None:
    torch.set_num_threads(1)
    x, labels = pictures(N_SHOWN, 1)
    models = [trained(BlindHead), trained(BlindInput)]
    for model in models:
        turned = torch.cat([x[..., :HALF], x.flip(0)[..., HALF:]], dim=3)
        assert torch.equal(model(x), model(turned)), "it sees the right half"
    accuracies = [f"{(model(x).argmax(1) == labels).float().mean():.3f}" for model in models]
    text = HEAD.format(shown=N_SHOWN, accuracies=" and ".join(accuracies))
    for method in (name for name in METHODS if METHODS[name].kind != "attention" and name not in LEFT_OUT):
        row = [part for model in models for part in (cell(false_mass(model, method, x)), grade(model, method, x))]
        text += f"| {' | '.join([method, *row])} |\n"
        print(text.splitlines()[-1], flush=True)
    PAGE.write_text(text + TAIL, encoding="utf-8")


if __name__ == "__main__":
    main()

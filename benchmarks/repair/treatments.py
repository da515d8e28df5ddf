"""What stands beside a repair, on the same images, loop and budget: each from a bench to a network of a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from benchmarks.repair.pictures import Pictures
from benchmarks.repair.without_groups import intelligent_dropout, just_train_twice
from torch import Tensor, nn
from torch.nn import functional

from seewhy.errors import ModelError
from seewhy.learn.exchange.exchange import FactorExchange
from seewhy.learn.repair.arms import ATTENTION, LAST_LAYER, RepairJob, ways_of
from seewhy.learn.repair.bench import Bench
from seewhy.learn.train.fine_tune import Losing, cross_entropy, fine_tuned, logits_in_training

Treatment = Callable[[int], nn.Module]  # from a seed

PLAIN, MIXUP, CUTMIX, AUGMENTED = "plain fine-tuning", "Mixup", "CutMix", "augmentation"
BACKGROUNDS, GROUP_DRO, DFR = "random backgrounds", "GroupDRO, true groups", "DFR, true groups"
JTT, ICD = "JTT", "bnnr's ICD"
WORDS = {
    PLAIN: "the same epochs without anything",
    MIXUP: "two images and their labels mixed (Zhang et al. 2018)",
    CUTMIX: "a box of another image, and as much of its label (Yun et al. 2019)",
    AUGMENTED: "after RandAugment (Cubuk et al. 2020) two of: mirrored, moved by up to 4 px, brighter or darker, more "
    "or less contrast or colour, grey patch",
    BACKGROUNDS: "half of the images of a batch before another one's background, whatever the factor is",
    GROUP_DRO: "the groups' losses weighted by how large they are (Sagawa et al. 2020), groups as they truly are",
    DFR: "the last layer fitted anew to groups as they truly are (Kirichenko et al. 2023)",
    JTT: "images that a network trained for two epochs from scratch errs on weigh 20 times as much (Liu et al. 2021)",
    ICD: "bnnr 0.8: in half of the images the quarter of the picture with the largest map is blurred",
}
MIX, STEP, REACH = 0.4, 0.1, 4  # Mixup's alpha; GroupDRO's step; pixels


def treatments(bench: Bench, pictures: Pictures, kind: str) -> dict[str, Treatment]:
    """By name; `kind` is the planted one whose true groups are told to GroupDRO and DFR, as an upper bound."""
    job = bench.job
    placed = job.sample.on(next(job.network.parameters()).device)
    labels = torch.from_numpy(job.sample.labels)
    groups = torch.from_numpy(pictures.groups(job.sample.images, kind).of)

    def logits(network: nn.Module, canvases: Tensor) -> Tensor:
        return logits_in_training(network, placed, canvases)

    tuned = partial(fine_tuned, job.network, placed, job.tuning, memory_format=job.memory_format)

    def by(loss: Callable[[], Losing]) -> Treatment:
        return lambda seed: tuned(loss=loss(), seed=seed)

    def mixing(mix: Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, float]]) -> Treatment:
        return by(lambda: partial(mixed_loss, mix=mix, canvases_at=placed.canvases, labels=labels, logits=logits))

    def augmented_loss(network: nn.Module, places: Tensor, generator: torch.Generator) -> Tensor:
        return cross_entropy(logits(network, augmented(placed.canvases(places), generator)), labels[places])

    def without_the_factor(seed: int) -> nn.Module:
        background = next(one for one in bench.design.factors if one.name == "background")
        return tuned(exchange=FactorExchange(placed, background), seed=seed)

    told = {"groups": pictures.groups(job.sample.images, kind), "held_groups": pictures.groups(job.held.images, kind)}

    return {
        PLAIN: lambda seed: tuned(seed=seed),
        MIXUP: mixing(mixup),
        CUTMIX: mixing(cutmix),
        AUGMENTED: by(lambda: augmented_loss),
        BACKGROUNDS: without_the_factor,
        GROUP_DRO: by(lambda: WorstGroups(labels, 2 * labels + groups, placed.canvases, logits)),
        DFR: lambda seed: by_way(LAST_LAYER, replace(job, **told), seed),
        JTT: lambda seed: just_train_twice(job, placed, seed),
        ICD: lambda seed: intelligent_dropout(job, placed, seed),
        ATTENTION: lambda seed: by_way(ATTENTION, job, seed),
    }


def by_way(name: str, job: RepairJob, seed: int) -> nn.Module:
    """What a way of the repair makes. Raises ModelError with the reason where it is refused."""
    ways, refused = ways_of(job, (name,))
    if not ways:
        raise ModelError(refused[name])
    return ways[0].make(seed)


def mixed_loss(
    network: nn.Module,
    places: Tensor,
    generator: torch.Generator,
    *,
    mix: Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, float]],
    canvases_at: Callable[[Tensor], Tensor],
    labels: Tensor,
    logits: Callable[[nn.Module, Tensor], Tensor],
) -> Tensor:
    """The cross-entropy of mixed images, against both labels by the share of each."""
    order = torch.randperm(len(places), generator=generator)
    canvases = canvases_at(places)
    mixed, share = mix(canvases, canvases[order], generator)
    answers, targets = logits(network, mixed), labels[places]
    return share * cross_entropy(answers, targets) + (1 - share) * cross_entropy(answers, targets[order])


def mixup(first: Tensor, second: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
    """The weighted mean of both (n, 3, H, W), and the share of the first: from Beta(MIX, MIX)."""
    share = _beta(MIX, generator)
    return share * first + (1 - share) * second, share


def cutmix(first: Tensor, second: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
    """The first with a box of the second, and the share of the first that is left; the box's is even in 0 to 1."""
    height, width = first.shape[2:]
    side = (1 - float(torch.rand((), generator=generator))) ** 0.5
    middle = torch.rand(2, generator=generator).tolist()
    spans = []
    for size, at in ((height, middle[0]), (width, middle[1])):
        half = side * size / 2
        spans.append(slice(max(0, round(at * size - half)), min(size, round(at * size + half))))
    mixed = first.clone()
    mixed[:, :, spans[0], spans[1]] = second[:, :, spans[0], spans[1]]
    cut = (spans[0].stop - spans[0].start) * (spans[1].stop - spans[1].start)
    return mixed, 1 - cut / (height * width)


def augmented(canvases: Tensor, generator: torch.Generator) -> Tensor:
    """Each image (n, 3, H, W) after two operations of its own."""
    chosen = torch.rand(len(canvases), len(OPERATIONS), generator=generator).argsort(dim=1)[:, :2]
    changed = canvases.clone()
    for row, operations in enumerate(chosen.tolist()):
        for operation in operations:
            way = 2 * float(torch.rand((), generator=generator)) - 1
            other = 2 * float(torch.rand((), generator=generator)) - 1
            changed[row] = OPERATIONS[operation](changed[row], way, other).clamp(0, 1)
    return changed


def _moved(image: Tensor, way: float, other: float) -> Tensor:
    """Moved by up to REACH pixels, the border continued."""
    height, width = image.shape[1:]
    down, right = REACH + round(way * REACH), REACH + round(other * REACH)
    padded = functional.pad(image[None], (REACH,) * 4, mode="replicate")[0]
    return padded[:, down : down + height, right : right + width]


def _patched(image: Tensor, way: float, other: float) -> Tensor:
    """A grey patch of a quarter of each side."""
    height, width = image.shape[1:]
    top, left = (round((side - side // 4) * (1 + at) / 2) for side, at in ((height, way), (width, other)))
    patched = image.clone()
    patched[:, top : top + height // 4, left : left + width // 4] = 0.5
    return patched


def _towards(image: Tensor, grey: Tensor, way: float) -> Tensor:
    return grey + (image - grey) * (1 + 0.5 * way)


OPERATIONS: tuple[Callable[[Tensor, float, float], Tensor], ...] = (
    lambda image, way, other: image.flip(2),
    _moved,
    lambda image, way, other: image * (1 + 0.3 * way),
    lambda image, way, other: _towards(image, image.mean(), way),
    lambda image, way, other: _towards(image, image.mean(dim=0, keepdim=True), way),
    _patched,
)


class WorstGroups:
    """The loss of GroupDRO: each step q_g <- q_g exp(STEP l_g), then sum_g q_g l_g (Sagawa et al. 2020, algorithm 1).

    `cells` (M,) are the groups of all images: class and what is planted. Weights go on from batch to batch.
    """

    def __init__(
        self,
        labels: Tensor,
        cells: Tensor,
        canvases_at: Callable[[Tensor], Tensor],
        logits: Callable[[nn.Module, Tensor], Tensor],
    ) -> None:
        self.labels, self.cells, self.canvases_at, self.logits = labels, cells, canvases_at, logits
        self.weights = torch.ones(int(cells.max()) + 1) / (int(cells.max()) + 1)

    def __call__(self, network: nn.Module, places: Tensor, generator: torch.Generator) -> Tensor:
        answers = self.logits(network, self.canvases_at(places))
        cells, targets = self.cells[places], self.labels[places]
        present = cells.unique()
        losses = torch.stack([cross_entropy(answers[cells == cell], targets[cells == cell]) for cell in present])
        self.weights[present] *= torch.exp(STEP * losses.detach().cpu())
        self.weights /= self.weights.sum()
        return (self.weights[present].to(losses) * losses).sum()


def _beta(alpha: float, generator: torch.Generator) -> float:
    """A number from Beta(alpha, alpha), by Jöhnk's method (1964): two even numbers to the power 1 / alpha."""
    while True:
        first, second = (torch.rand(2, generator=generator, dtype=torch.float64) ** (1 / alpha)).tolist()
        if 0 < first + second <= 1:
            return float(first / (first + second))

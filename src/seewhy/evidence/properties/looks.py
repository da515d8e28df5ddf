"""What lies in a region, in words: how it differs between the images of a class and the others. A description."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from seewhy.evidence.properties.catalogue import PROPERTIES
from seewhy.evidence.properties.colour import LUMINANCE

NAMED = ("tint", "brightness", "contrast", "saturation", "sharpness", "noise")  # the closed list of names
MOSTLY, FINE = 0.7, 0.25  # of a pattern, for it to be of one kind; of its power, for what is fine in it to tell
PLAIN = 0.5  # standard deviations, below which nothing is said of a property
LEAST_PATTERN = 0.015  # of white, root mean square: a mean picture that differs by less shows no pattern
SAME = 0.7  # correlation of the mean pictures of two halves, from which on the pattern is the same in all
REPEATED = 0.5  # correlation of a pattern with itself where it comes again, and how much less it is in between
WAVES = 16  # the strongest of a pattern, whose lengths are tried
SEEN = 0.25  # of a pattern's variance, which its shifted parts must have to be alike
MOST_WORDS = 3
_WORDS = {  # less and more than in the other images
    "brightness": ("darker", "brighter"),
    "contrast": ("more even", "richer in contrast"),
    "saturation": ("greyer", "more colourful"),
    "sharpness": ("softer", "sharper"),
    "noise": ("smoother", "noisier"),
}
_HUES = {
    "redder": (2, -1, -1),
    "greener": (-1, 2, -1),
    "bluer": (-1, -1, 2),
    "yellower": (1, 1, -2),
    "more turquoise": (-2, 1, 1),
    "more purple": (1, -2, 1),
}


@dataclass(frozen=True)
class Look:
    """How a region differs in some images from others: `deviations` in standard deviations by property, and words.

    `pattern` is "same" (one pattern at the same place), "lacking" (the others have one there), "apart" (they differ by
    one, and whose it is cannot be said), "changing" (another, or elsewhere, in each) or "even".
    `period` is after how many pixels the pattern comes again, 0 where it does not.
    """

    deviations: Mapping[str, float]
    words: tuple[str, ...]
    pattern: str
    period: int

    @property
    def sentence(self) -> str:
        """After "there they are": "redder and brighter, with one pattern at the same place"."""
        again = f", repeated every {self.period} pixels" if self.period else ""
        pattern = {
            "same": f"with one pattern at the same place{again}",
            "lacking": f"without a pattern that those have at the same place{again}",
            "apart": f"with another pattern than those at the same place{again}",
            "changing": "with something that is another one, or elsewhere, in each picture",
        }.get(self.pattern, "")
        looks = " and ".join(filter(None, (", ".join(self.words[:-1]), *self.words[-1:])))
        return ", ".join(filter(None, (looks, pattern))) or "not plainly different"

    def as_stored(self) -> dict[str, Any]:
        """As findings.json has it."""
        return {**vars(self), "sentence": self.sentence}


def look_of(patches: Tensor, is_first: Tensor) -> Look:
    """How patches (N, 3, H, W) in [0, 1] of the first kind (N,) differ from the others."""
    deviations, tints = {}, torch.zeros(3)
    for name in NAMED:
        values = PROPERTIES[name].measure(patches).double()
        first, others = values[is_first], values[~is_first]
        step = first.mean(dim=0) - others.mean(dim=0)
        spread = torch.sqrt((first.var(dim=0).sum() + others.var(dim=0).sum()) / 2).clamp(min=1e-6)
        deviations[name] = float(step.norm() / spread) if len(step) > 1 else float(step[0] / spread)
        tints = step.float() if name == "tint" else tints
    pattern, shape = _pattern(patches, is_first, deviations)
    period = _period(shape) if pattern in ("same", "lacking", "apart") else 0
    return Look(deviations, _words(deviations, tints), pattern, period)


def _words(deviations: Mapping[str, float], tint: Tensor) -> tuple[str, ...]:
    """What is plain, the plainest first; that colours are stronger goes without saying where they have another hue."""
    order = sorted(NAMED, key=lambda name: -abs(deviations[name]))
    plain = [name for name in order if abs(deviations[name]) >= PLAIN]
    plain = [name for name in plain if name != "saturation" or "tint" not in plain][:MOST_WORDS]
    return tuple(_hue(tint) if name == "tint" else _WORDS[name][int(deviations[name] > 0)] for name in plain)


def _hue(tint: Tensor) -> str:
    """The word for a shift of the mean colour (3,)."""
    ways = torch.tensor(list(_HUES.values())).float()
    near = (ways / ways.norm(dim=1, keepdim=True)) @ (tint - tint.mean())
    return list(_HUES)[int(near.argmax())]


def _pattern(patches: Tensor, is_first: Tensor, deviations: Mapping[str, float]) -> tuple[str, Tensor]:
    """Whether a pattern goes with the first kind, and the mean pattern's luminance (H, W)."""
    turn = torch.where(is_first, is_first.cumsum(0), (~is_first).cumsum(0)) % 2  # every second one of each kind
    halves = [_mean_pattern(patches[turn == half], is_first[turn == half]) for half in (0, 1)]
    mean = (halves[0] + halves[1]) / 2
    both = [half.flatten() / half.norm().clamp(min=1e-9) for half in halves]
    is_same = float(both[0] @ both[1]) >= SAME and float(mean.square().mean().sqrt()) >= LEAST_PATTERN
    shape = torch.tensordot(torch.tensor(LUMINANCE), mean, dims=1)
    if is_same:
        has = _share_of(patches[is_first], mean)
        return ("same" if has >= MOSTLY else "lacking" if has <= 1 - MOSTLY else "apart"), shape
    varied = max(deviations["contrast"], deviations["sharpness"], deviations["noise"])
    return ("changing" if varied >= PLAIN else "even"), shape


def _share_of(patches: Tensor, pattern: Tensor) -> float:
    """How much of a pattern (3, H, W), by which two kinds differ, is in the mean of the first's patches (N, 3, H, W).

    1 where that kind has it, 0 where the other has it, turned round. What varies slowly is left out of both where the
    pattern is finer, since both kinds may have that.
    """
    mean = patches.mean(dim=0)
    fine = pattern - _smooth(pattern)
    if float(fine.square().mean()) >= FINE * float(pattern.square().mean()):
        mean, pattern = mean - _smooth(mean), fine
    mean = mean - mean.mean(dim=(1, 2), keepdim=True)
    return float((mean * pattern).sum() / pattern.square().sum().clamp(min=1e-12))


def _smooth(picture: Tensor) -> Tensor:
    """The mean over five pixels each way; at the edges over those there are."""
    return avg_pool2d(picture[None], 5, 1, 2, count_include_pad=False)[0]


def _mean_pattern(patches: Tensor, is_first: Tensor) -> Tensor:
    """The difference of the mean pictures (3, H, W), without the mean of each channel."""
    mean = patches[is_first].mean(dim=0) - patches[~is_first].mean(dim=0)
    return mean - mean.mean(dim=(1, 2), keepdim=True)


def _period(shape: Tensor) -> int:
    """After how many pixels a pattern (H, W) comes again, at least three times within it; 0 where it does not.

    Its strongest waves say where to look. A step has all of them, so the pattern, shifted by a wave's length once and
    twice, must be like itself, and less so in between.
    """
    height, width = shape.shape
    power = torch.fft.fft2(shape).abs().square()
    power[0, 0] = 0
    downs, acrosses = (torch.fft.fftfreq(side).tolist() for side in (height, width))
    for at in power.flatten().argsort(descending=True)[:WAVES].tolist():
        down, across = downs[at // width], acrosses[at % width]
        square = max(down**2 + across**2, 1e-9)
        near = _near(down / square, across / square, 1)  # the length is known as well as so many pixels tell it
        lags = [lag for lag in near if math.hypot(*lag) >= 2 and 3 * abs(lag[0]) <= height and 3 * abs(lag[1]) <= width]
        if lags and (found := max(lags, key=lambda lag: _likeness(shape, *lag))) and _comes_again(shape, *found):
            return round(math.hypot(*found))
    return 0


def _comes_again(shape: Tensor, down: int, across: int) -> bool:
    once, twice = _likeness(shape, down, across), _likeness(shape, 2 * down, 2 * across)
    between = min(_likeness(shape, *lag) for lag in _near(down / 2, across / 2))
    return min(once, twice, once - between) >= REPEATED


def _near(down: float, across: float, more: int = 0) -> list[tuple[int, int]]:
    """The whole shifts around one, and so many more."""
    rows, columns = (
        range(math.floor(shift) - more, math.ceil(shift) + more + 1) for shift in (round(down, 6), round(across, 6))
    )
    return [(row, column) for row in rows for column in columns]


def _likeness(shape: Tensor, down: int, across: int) -> float:
    """The correlation of a pattern (H, W) with itself, shifted; where hardly anything is to be seen in common, less."""
    height, width = shape.shape
    first = shape[max(0, -down) : height - max(0, down), max(0, -across) : width - max(0, across)]
    second = shape[max(0, down) : height + min(0, down), max(0, across) : width + min(0, across)]
    first, second = first - first.mean(), second - second.mean()
    spread = float((first.square().mean() * second.square().mean()).sqrt())
    return float((first * second).mean()) / max(spread, SEEN * float(shape.var(correction=0)), 1e-12)

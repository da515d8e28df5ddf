"""Mirrored and scaled copies of the input, and how their maps are laid back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """A change of the network's input under which the evidence should stay where it is, and the way back for maps."""

    factor: float
    mirrored: bool

    def forward(self, inputs: Tensor) -> Tensor:
        """The changed inputs (N, C, H, W)."""
        return (inputs.flip(-1) if self.mirrored else inputs) * self.factor

    def back(self, maps: Tensor) -> Tensor:
        """Maps (N, H, W) of changed inputs, laid back on the images."""
        return maps.flip(-1) if self.mirrored else maps


def augmentations() -> tuple[Augmentation, ...]:
    """The six over which pytorch-grad-cam's `aug_smooth` averages: mirrored or not, times 0.9, 1 and 1.1.

    The class that is explained is the plain image's; raw signed maps are averaged.
    """
    return tuple(Augmentation(factor, mirrored) for mirrored in (False, True) for factor in (0.9, 1.0, 1.1))

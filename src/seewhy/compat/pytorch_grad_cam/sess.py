"""SESS: the maps of many windows of an image at several sizes, laid back and averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.cam.model import as_input, untouched, unwrap
from seewhy.compat.arrays import Array, as_array, scaled
from seewhy.compat.outputs import OneTarget, read_rows, targets_for, values_of
from seewhy.compat.pytorch_grad_cam.grad_cam import GradCAM
from seewhy.compat.refusals import ArgumentError
from seewhy.maps import resize

_BLUR, _SIGMA = 11, 5.0  # pixels of the window that a map is blurred with, and its deviation


@dataclass(frozen=True)
class _Window:
    """A window of an image that was resized to `size` (height, width), by its upper left corner."""

    top: int
    left: int
    size: tuple[int, int]


class SESS:
    """The mean (or `pool="max"`) of the maps of windows of an image at several sizes, each times its score.

    `scales` are lengths of the shorter side, else there are `num_scales` from the window's on, each longer by
    `scale_step_ratio` windows. Windows have `window_size` pixels a side (the image's shorter one) and stand `step_size`
    apart (a window); the `pre_filter_ratio` of them that score least is left out. Values up to `theta` do not count in
    the mean. Scores are the target's of the softmax, or as they are. Tursun et al. 2022, arXiv:2207.01769.
    """

    def __init__(
        self,
        model: Any,
        target_layers: Any,
        reshape_transform: Any = None,
        base_method: Any = GradCAM,
        scales: Sequence[int] | None = None,
        num_scales: int = 12,
        scale_step_ratio: float = 2.0 / 7.0,
        window_size: int | None = None,
        step_size: int | None = None,
        pre_filter_ratio: float = 0.0,
        theta: float = 0.0,
        pool: Literal["mean", "max"] = "mean",
        smooth: bool = True,
        use_softmax_scores: bool = True,
        batch_size: int = 32,
        **options: Any,
    ) -> None:
        if pool not in ("mean", "max") or not 0 <= pre_filter_ratio < 1 or num_scales < 1:
            raise ArgumentError(
                f"pool is {pool!r} (mean or max), pre_filter_ratio {pre_filter_ratio} (from 0 to below 1), num_scales "
                f"{num_scales} (at least 1).",
                slug="option",
            )
        self.base_cam = base_method(model, target_layers, reshape_transform, **options)
        self.scales, self.num_scales, self.scale_step_ratio = scales, num_scales, scale_step_ratio
        self.window_size, self.step_size = window_size, step_size
        self.pre_filter_ratio, self.theta, self.pool = pre_filter_ratio, theta, pool
        self.smooth, self.use_softmax_scores, self.batch_size = smooth, use_softmax_scores, batch_size

    def __call__(self, input_tensor: Tensor, targets: Any = None, eigen_smooth: bool = False) -> Array:
        """Maps (N, H, W) from 0 to just below 1."""
        model, _ = unwrap(self.base_cam.model)
        with untouched(model), torch.inference_mode(False):
            inputs = as_input(model, input_tensor)
            with torch.no_grad():
                rows = read_rows(model(inputs.clone()), len(inputs)).of
            chosen = targets_for(targets, rows)
            maps = [
                self._of_image(inputs[place : place + 1], target, eigen_smooth) for place, target in enumerate(chosen)
            ]
        return as_array(scaled(torch.stack(maps)))

    forward = __call__

    def _of_image(self, image: Tensor, target: OneTarget, eigen_smooth: bool) -> Tensor:
        """The fused map (H, W) of one image (1, C, H, W)."""
        patches, windows = self._windows(image)
        scores = self._scores(patches, target)
        order = scores.argsort(stable=True)[int(len(scores) * self.pre_filter_ratio) :]
        weights = scores / scores.max() if bool(scores.max() > 0) else torch.ones_like(scores)
        size = (image.shape[2], image.shape[3])
        total, count = torch.zeros(size), torch.zeros(size)
        for some in order.split(self.batch_size):
            maps = torch.from_numpy(self.base_cam(patches[some], [target] * len(some), eigen_smooth=eigen_smooth))
            for place, one in zip(some.tolist(), maps, strict=True):
                laid = _laid_back(one * weights[place], windows[place], size)
                if self.pool == "max":
                    total, count = torch.maximum(total, laid), torch.ones(size)
                else:
                    total, count = total + laid * (laid > self.theta), count + (laid > self.theta)
        fused = torch.where(count > 0, total / count.clamp(min=1), 0)
        return _blurred(fused) if self.smooth else fused

    def _windows(self, image: Tensor) -> tuple[Tensor, list[_Window]]:
        """All windows (M, C, side, side), and where they come from."""
        height, width = image.shape[2:]
        side = self.window_size or min(height, width)
        steps = round(side * self.scale_step_ratio)
        lengths = self.scales or [side + steps * place for place in range(self.num_scales)]
        if min(lengths) < side:
            raise ArgumentError(f"A scale is {min(lengths)}, less than the window of {side} pixels.", slug="option")
        patches, windows = [], []
        for length in lengths:
            size = (int(length * height / min(height, width)), int(length * width / min(height, width)))
            large = functional.interpolate(image, size, mode="bilinear", antialias=True)
            for left, top in sliding_window(*size, self.step_size or side, side):
                patches.append(large[:, :, top : top + side, left : left + side])
                windows.append(_Window(top, left, size))
        return torch.cat(patches), windows

    def _scores(self, patches: Tensor, target: OneTarget) -> Tensor:
        """The target's number of each window (M,), 0 where it is negative."""
        model, scores = unwrap(self.base_cam.model)[0], []
        with torch.no_grad():
            for some in patches.split(self.batch_size):
                rows: Any = read_rows(model(some.clone()), len(some)).of
                rows = rows.softmax(dim=-1) if self.use_softmax_scores else rows
                scores.append(values_of(rows, [target] * len(some)))
        return torch.cat(scores).clamp(min=0).cpu()

    def __enter__(self) -> SESS:
        return self

    def __exit__(self, *error: object) -> None:
        self.base_cam.__exit__(*error)


def sliding_window(height: int, width: int, step_size: int, window_size: int) -> list[tuple[int, int]]:
    """The upper left corners (x, y) of the windows that cover an image, row by row."""
    rows, columns = (window_starts(length, step_size, window_size) for length in (height, width))
    return [(left, top) for top in rows for left in columns]


def window_starts(length: int, step_size: int, window_size: int) -> list[int]:
    """Where windows begin along one edge; the last one is moved back into the image."""
    last = max(length - window_size, 0)
    return [*range(0, last, step_size), last]


def _laid_back(one: Tensor, window: _Window, size: tuple[int, int]) -> Tensor:
    """A window's map on the image (H, W), 0 elsewhere."""
    large = torch.zeros(window.size)
    large[window.top : window.top + one.shape[0], window.left : window.left + one.shape[1]] = one
    return resize(large[None], size)[0]


def _blurred(one: Tensor) -> Tensor:
    """A map (H, W) under a normal window."""
    at = torch.arange(_BLUR, dtype=torch.float32) - _BLUR // 2
    weights = torch.exp(-(at**2) / (2 * _SIGMA**2))
    weights = weights / weights.sum()
    reach = _BLUR // 2
    padded = functional.pad(one[None, None], (reach, reach, reach, reach), mode="reflect")
    rows = functional.conv2d(padded, weights[None, None, :, None])
    return functional.conv2d(rows, weights[None, None, None, :])[0, 0]

"""From a photograph to the canvas, from there to the network's input, and back to canvases and pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor

from seewhy.data.formats.depth import Shares
from seewhy.data.pictures.decode import Pixels
from seewhy.geometry import Geometry, geometry_of, resized_size
from seewhy.records import Preprocess

Canvas = NDArray[np.uint8 | np.float32]  # (H, W, 3), RGB: bytes, or shares in [0, 1] of what is deeper

_RESAMPLING = {
    "nearest": PIL.Image.Resampling.NEAREST,
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "bicubic": PIL.Image.Resampling.BICUBIC,
    "lanczos": PIL.Image.Resampling.LANCZOS,
}
_LETTERBOX_GREY: dict[str, float | tuple[float, ...]] = {"RGB": (128,) * 3, "F": 128 / 255}


def canvas_of(pixels: Pixels | Shares, preprocess: Preprocess) -> tuple[Canvas, Geometry]:
    """The canvas (H, W, 3) of a photograph, and the geometry between the two; shares may be grey (H, W)."""
    geometry = geometry_of((pixels.shape[0], pixels.shape[1]), preprocess)
    if pixels.dtype == np.uint8:
        return _laid(pixels, geometry, preprocess), geometry
    channels = [pixels] if pixels.ndim == 2 else [pixels[..., channel] for channel in range(3)]
    laid = [_laid(np.ascontiguousarray(channel), geometry, preprocess).clip(0, 1) for channel in channels]
    return np.stack(laid * 3 if len(laid) == 1 else laid, axis=-1), geometry


def _laid(pixels: Canvas, geometry: Geometry, preprocess: Preprocess) -> Canvas:
    """Pixels (H, W, 3), or one channel of shares (H, W), resized and cropped or padded."""
    height, width = resized_size(geometry)
    if geometry.canvas == geometry.photograph == (height, width):
        return pixels
    image = PIL.Image.fromarray(pixels).resize((width, height), _RESAMPLING[preprocess.interpolation])
    if geometry.canvas == (height, width):
        return np.asarray(image)
    if preprocess.fit != "letterbox":
        left, top = -geometry.offset[1], -geometry.offset[0]
        image = image.crop((int(left), int(top), int(left) + geometry.canvas[1], int(top) + geometry.canvas[0]))
    else:
        page = PIL.Image.new(image.mode, geometry.canvas[::-1], _LETTERBOX_GREY[image.mode])
        page.paste(image, (int(geometry.offset[1]), int(geometry.offset[0])))
        image = page
    return np.asarray(image)


def network_input(canvases: Sequence[Canvas], preprocess: Preprocess) -> Tensor:
    """The network's input (N, C, H, W), float32 and channels last, from canvases of one size."""
    levels = [canvas if canvas.dtype == np.uint8 else canvas * np.float32(255) for canvas in canvases]
    batch = torch.from_numpy(np.stack(levels)).permute(0, 3, 1, 2).float()  # (N, 3, H, W)
    batch = _in_channels(batch, preprocess)
    if preprocess.white == 1:
        batch /= 255
    elif preprocess.white != 255:
        batch *= preprocess.white / 255
    return _standardised(batch, preprocess)


def input_from_canvas(canvases: Tensor, preprocess: Preprocess) -> Tensor:
    """The network's input (N, C, H, W) from canvases (N, 3, H, W) in [0, 1], which may be overwritten."""
    batch = _in_channels(canvases, preprocess)
    return _standardised(batch if preprocess.white == 1 else batch * preprocess.white, preprocess)


def canvas_from_input(inputs: Tensor, preprocess: Preprocess) -> Tensor:
    """The canvases (N, C, H, W) behind a network's input; grey ones get three equal channels."""
    image = inputs.float() * torch.tensor(preprocess.std).view(-1, 1, 1) + torch.tensor(preprocess.mean).view(-1, 1, 1)
    image = image / preprocess.white if preprocess.white != 1 else image
    image = image.flip(-3) if preprocess.channels == "bgr" else image
    return image.expand(*image.shape[:-3], 3, -1, -1) if preprocess.channels == "grey" else image


def _in_channels(batch: Tensor, preprocess: Preprocess) -> Tensor:
    if preprocess.channels == "bgr":
        return batch.flip(1)
    if preprocess.channels == "grey":
        weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        return (batch * weights.to(batch)).sum(dim=1, keepdim=True)
    return batch


def _standardised(batch: Tensor, preprocess: Preprocess) -> Tensor:
    if preprocess.mean == (0.0,) and preprocess.std == (1.0,):
        return batch
    mean = torch.tensor(preprocess.mean).view(1, -1, 1, 1)
    return (batch - mean.to(batch)) / torch.tensor(preprocess.std).view(1, -1, 1, 1).to(batch)


def picture_of(inputs: Tensor, preprocess: Preprocess | None) -> Pixels:
    """A network's input (C, H, W) as an 8-bit RGB picture: mean and std undone, stretched if out of range."""
    image = inputs.detach().float().cpu()
    if preprocess is not None and len(preprocess.mean) in (1, len(image)):
        image = canvas_from_input(image, preprocess)
    image = image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)  # of more channels the first three
    if image.min() < -0.01 or image.max() > 1.01:
        image = (image - image.min()) / (image.max() - image.min()).clamp(min=1e-9)
    return np.ascontiguousarray((image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())

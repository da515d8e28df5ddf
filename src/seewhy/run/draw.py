"""The overlay of one image from its raw maps, the same in a run folder, in memory and in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import PurePosixPath

import numpy as np
import torch
from torch import Tensor

from seewhy.data.folder import SUFFIXES
from seewhy.data.reader import Loaded
from seewhy.geometry import lay
from seewhy.maps import fuse, scale_to_peak
from seewhy.render.overlay import Pixels, overlay, overlay_like_grad_cam, side_by_side
from seewhy.store.manifest import digest_of

_LONGEST = 240  # bytes of a name before its suffix; most file systems take 255


def draw_overlay(loaded: Loaded, maps: Mapping[str, Tensor], empty: Set[str], preset: str | None) -> Pixels:
    """The overlay of raw maps (h, w) by layer; several layers stand side by side, or are fused as the preset does.

    On the photograph, each map by its own peak, an empty map leaving it as it is; with the preset on the canvas.
    """
    if preset is not None:
        canvas = loaded.canvas if loaded.canvas is not None else loaded.picture
        fused = fuse([torch.nan_to_num(one)[None] for one in maps.values()], canvas.shape[:2])[0]
        return overlay_like_grad_cam(canvas, fused.numpy())
    picture = loaded.picture
    shown = []
    for layer, raw in maps.items():
        if layer in empty:
            shown.append(picture)
            continue
        mask = lay(scale_to_peak(raw[None]), loaded.geometry, picture.shape[:2])[0]
        shown.append(overlay(picture, mask.numpy().clip(0, 1)))
    return np.ascontiguousarray(side_by_side(shown))


def overlay_name(image_id: str, image_format: str) -> str:
    """Where an image's overlay lies below overlays/<method>/: its own relative name with the picture's suffix.

    Only a single .jpg is left out of the name, so that a.jpg, a.png and a.png.jpg do not collide. A name that would be
    too long for a file system loses its end to a hash.
    """
    path = PurePosixPath(image_id)
    if path.suffix == ".jpg" and PurePosixPath(path.stem).suffix.lower() not in SUFFIXES:
        path = path.with_suffix("")
    if len(path.name.encode()) > _LONGEST:
        kept = path.name.encode()[: _LONGEST - 17].decode(errors="ignore")
        path = path.with_name(f"{kept}~{digest_of(path.name)}")
    return f"{path}.{image_format}"

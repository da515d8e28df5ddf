"""The overlay of one image from its raw maps, the same in a run folder, in memory and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from pathlib import PurePosixPath

import numpy as np
import torch
from torch import Tensor

from seewhy.data.formats.image_files import has_image_suffix
from seewhy.data.reader import Loaded
from seewhy.geometry import lay
from seewhy.maps import fuse, scale_to_draw
from seewhy.records import MapKey
from seewhy.render.overlay import Pixels, overlay, overlay_like_grad_cam, side_by_side
from seewhy.run.plan import Plan
from seewhy.store.manifest import digest_of

_LONGEST = 240  # bytes of a name before its suffix; most file systems take 255


def draw_overlay(loaded: Loaded, maps: Mapping[MapKey, Tensor], empty: Set[MapKey], plan: Plan) -> Pixels:
    """The overlay of raw maps (h, w); several stand side by side, layers of one method fused as the plan's preset does.

    On the photograph, each map by its own peak (a fine one smoothed, by its strongest 4 %), an empty map leaving it
    as it is; with the preset on the canvas.
    """
    if plan.preset is not None:
        canvas = loaded.drawn_canvas
        together = [[raw for key, raw in maps.items() if (key.method, key.score) == pair] for pair in fused_keys(maps)]
        fused = [fuse([torch.nan_to_num(raw)[None] for raw in group], canvas.shape[:2])[0] for group in together]
        return side_by_side([overlay_like_grad_cam(canvas, mask.numpy()) for mask in fused])
    picture = loaded.picture
    shown = []
    for key, raw in maps.items():
        if key in empty:
            shown.append(picture)
            continue
        mask = lay(scale_to_draw(raw[None]), loaded.geometry, picture.shape[:2])[0]
        shown.append(overlay(picture, mask.numpy().clip(0, 1)))
    return np.ascontiguousarray(side_by_side(shown))


def fused_keys(maps: Iterable[MapKey]) -> list[tuple[str, str]]:
    """The (method, score) of maps that a preset fuses over their layers, each once, in order."""
    return list(dict.fromkeys((key.method, key.score) for key in maps))


def overlay_name(image_id: str, image_format: str) -> str:
    """Where an image's overlay lies below overlays/<method>/: its own relative name with the picture's suffix.

    A folder whose name ends like the picture's gets a tilde. Only a single .jpg is left out of the name, so that a.jpg,
    a.png and a.png.jpg do not collide. A name that would be too long for a file system loses its end to a hash.
    """
    path = PurePosixPath(image_id)
    if path.suffix == ".jpg" and not has_image_suffix(path.stem):
        path = path.with_suffix("")
    if len(path.name.encode()) > _LONGEST:
        kept = path.name.encode()[: _LONGEST - 17].decode(errors="ignore")
        path = path.with_name(f"{kept}~{digest_of(path.name)}")
    # A folder that is called like a picture would stand where that of an image beside it belongs.
    folders = [f"{name}~" if name.endswith(f".{image_format}") else name for name in path.parent.parts]
    return f"{PurePosixPath(*folders, path.name)}.{image_format}"

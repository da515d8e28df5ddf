"""Which words of a title tell a planted kind, and which halves cases belong to: fixed before anything is measured."""

from __future__ import annotations

import re

from seewhy.evidence.findings.unnamed import REST

RIGHT: dict[str, dict[str, tuple[str, ...]]] = {  # the smallest causes: any of them is the right name
    "faces": {
        "tint": ("background", "tint"), "texture": ("background",), "logo": ("top-right",), "mark": ("face",),
        "frame": ("border",), "jpeg": ("jpeg",), "brightness": ("brightness",), "blur": ("sharpness", "spectrum"),
        "shift": ("crop", "place"), "hair": ("hair",), "watermark": ("background",),
    },
    "objects": {
        "tint": ("background", "tint"), "texture": ("background",), "logo": ("bottom-left",), "frame": ("border",),
        "stamp": ("background",), "sticker": ("object",), "halo": ("background",), "blur": ("sharpness", "spectrum"),
        "jpeg": ("jpeg",), "brightness": ("brightness",), "contrast": ("contrast",), "saturation": ("saturation",),
        "noise": ("noise",), "shift": ("crop", "place"),
    },
    "cells": {
        "tint": ("background", "tint"), "texture": ("background",), "logo": ("bottom-right",), "frame": ("border",),
        "debris": ("background",), "dot": ("cytoplasm",), "membrane": ("background",),
        "blur": ("sharpness", "spectrum"), "jpeg": ("jpeg",), "brightness": ("brightness",),
        "contrast": ("contrast",), "saturation": ("saturation",), "noise": ("noise",), "shift": ("crop", "place"),
    },
}  # fmt: skip
_CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right")
_FINE = ("spectrum", "sharpness", "noise", "jpeg")
ALSO: dict[str, tuple[str, ...]] = {  # true, though not the smallest: with these a kind is found, but named wrongly
    "tint": ("low-frequency", "saturation", "border", *_CORNERS),
    "texture": ("spectrum", "sharpness", "contrast", "border", *_CORNERS),
    "logo": ("border", "background"),
    "frame": ("background", "brightness", "contrast", "low-frequency", *_CORNERS),
    "watermark": ("low-frequency", "border", "brightness", "contrast", "centre", "spectrum"),
    "stamp": ("low-frequency", "border", "brightness", "contrast", "centre"),
    "debris": ("low-frequency", "border", "brightness", "contrast", "centre", "cells", "cytoplasm"),
    "mark": ("centre",),
    "sticker": ("centre",),
    "dot": ("cells", "nuclei", "saturation", "contrast"),
    "halo": ("tint", "saturation", "low-frequency"),
    "membrane": ("tint", "saturation", "low-frequency", "cells"),
    "hair": ("tint", "low-frequency", "saturation", "background"),
    "blur": _FINE,
    "jpeg": _FINE,
    "noise": _FINE,
    "brightness": ("low-frequency", "contrast", "background"),
    "contrast": ("brightness", "low-frequency", "sharpness", "saturation", "background"),
    "saturation": ("tint", "contrast", "background"),
    "shift": ("flip", "background", *_CORNERS, "border", "centre", "low-frequency"),
}
WITHIN_THE_CORE = ("mark", "sticker")  # a core that holds them names them as intended: no audit can tell
HELD_OUT = {  # kinds that only the frozen half has
    "faces": ("texture", "shift", "hair"), "objects": ("texture", "shift", "halo"),
    "cells": ("texture", "shift", "membrane"),
}  # fmt: skip
HELD_OUT_HEADS = ("residual",)


def half_of(renderer: str, kinds: tuple[str, ...], head: str, seed: int) -> str:
    """ "frozen" for held-out kinds and heads and for odd seeds, else "tune"."""
    held_out = set(kinds) & set(HELD_OUT[renderer]) or head in HELD_OUT_HEADS
    return "frozen" if held_out or seed % 2 else "tune"


def named_in(title: str) -> list[str]:
    """The factors that a title names, in its order: of "STRONG  tint or background: depends" both."""
    subject = title.split("  ", 1)[-1].split(": ")[0]
    return [word.strip() for word in re.split(r",|\(|\)|\bor\b|\band\b|\bnot separated\b|/", subject) if word.strip()]


def is_right(name: str, renderer: str, kind: str) -> bool:
    """Whether a factor's name tells a kind: "tint", and "tint of the background"."""
    return any(name == right or name.startswith(f"{right} ") for right in RIGHT[renderer][kind])


def is_true(name: str, renderer: str, kind: str) -> bool:
    """Whether it tells a kind at least roughly; that something outside of the core decides is true of every kind."""
    return is_right(name, renderer, kind) or name == REST or name in ALSO.get(kind, ())

"""The exact effect of a planted shortcut on a classifier: the same face drawn with it on and with it off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from seewhy.errors import ModelError, OptionError
from seewhy.estimates import Estimate, Floats, mean_of
from seewhy.planted.folder import Face, Rendered, render, switched
from seewhy.planted.shortcuts import PATTERN

POSITIVE, NEGATIVE = 0.05, 0.01  # from here on a classifier uses a shortcut; up to here it does not (audit 3.2)

Region = str | Callable[[Rendered], Any]


class Factor(Protocol):
    """What can be taken from some canvases (N, 3, H, W) and put into others, with masks (N, H, W) or None."""

    def take(self, canvases: Tensor, masks: Tensor | None) -> Any:
        """The content of N donors."""

    def put(self, canvases: Tensor, masks: Tensor | None, content: Any) -> Tensor:
        """N recipients (N, 3, H, W) with the content of the donors of the same places."""


@dataclass(frozen=True)
class OracleEffect:
    """What a shortcut's being on, rather than off, adds to P(fake) and to the margin of fake over real (logits).

    Means over faces with their 95 % intervals. Of the kind "pattern", which says nothing about the class, it is what
    the face's own pattern adds to the probability and margin of the face's own class: what was learned by heart.
    """

    kind: str
    probability: Estimate
    margin: Estimate

    @property
    def truth(self) -> str:
        """Whether the classifier uses the shortcut: "used" from 0.05 on, "not used" up to 0.01, "grey" between."""
        size = abs(self.probability.value)
        return "used" if size >= POSITIVE else "not used" if size <= NEGATIVE else "grey"

    def predicted(self, strength: float) -> float:
        """The difference of P(fake) between donors that are fake and real: (2 strength - 1) times the effect."""
        return (2 * strength - 1) * self.probability.value


def oracle_effect(
    forward: Callable[[Tensor], Tensor],
    faces: Sequence[Face],
    size: int,
    kind: str,
    factor: Factor | None = None,
    region: Region | None = None,
    *,
    donors: Sequence[Face] | None = None,
    batch_size: int = 64,
) -> OracleEffect:
    """The exact effect of the shortcut `kind` on a classifier, or that part of it which a factor carries.

    `forward` gives logits (N, 2), fake then real, from canvases (N, 3, size, size) in [0, 1]. Every face is drawn with
    the shortcut on and with it off, all else being the same, and the scores are compared. With a `factor` the face as
    it is receives the factor's content from both drawings of itself; `region` says where: a part or kind that
    `Rendered.region_of` knows, or a function of the drawing that gives a mask (size, size). `donors` gives each face
    another one to receive from, as an audit does; without, each gets its own content back. Memory does not grow with
    the number of faces; nothing is drawn by chance beside what the faces' own seeds decide.

    Raises:
        OptionError: no faces, an unknown kind or region, or a region without a factor.
        ModelError: logits of another shape than (N, 2).
    """
    if not faces:
        raise OptionError("faces is empty, but an effect needs at least 1 face.")
    if region is not None and factor is None:
        raise OptionError("region is given without a factor, so there is nothing to put there.  Give a factor, too.")
    parts = [
        _changes(forward, faces[rows], (donors or faces)[rows], size, kind, factor, region)
        for rows in (slice(start, start + batch_size) for start in range(0, len(faces), batch_size))
    ]
    margins, shares = (np.concatenate(part) for part in zip(*parts, strict=True))
    return OracleEffect(kind, mean_of(shares), mean_of(margins))


def _changes(
    forward: Callable[[Tensor], Tensor],
    faces: Sequence[Face],
    donors: Sequence[Face],
    size: int,
    kind: str,
    factor: Factor | None,
    region: Region | None,
) -> tuple[Floats, Floats]:
    """What the shortcut adds to the margin and to P(fake) of each face (N,)."""
    given = faces if factor is None else donors
    drawn = [[render(switched(face, kind, on), size) for face in given] for on in (True, False)]
    pictures = [canvases_of(renders) for renders in drawn]
    if factor is not None:
        plain_renders = [render(face, size) for face in faces]
        recipients, places = canvases_of(plain_renders), _masks(plain_renders, region)
        contents = [
            factor.take(donors, _masks(renders, region)) for donors, renders in zip(pictures, drawn, strict=True)
        ]
        pictures = [factor.put(recipients.clone(), places, content) for content in contents]
    (margin_on, share_on), (margin_off, share_off) = (_scores(forward, canvases) for canvases in pictures)
    ways = np.array([-1.0 if kind == PATTERN and face.label == "real" else 1.0 for face in faces])
    return ways * (margin_on - margin_off), ways * (share_on - share_off)


def canvases_of(renders: Sequence[Rendered]) -> Tensor:
    """The pictures as canvases (N, 3, S, S), float32 in [0, 1]."""
    pixels = np.stack([rendered.image for rendered in renders]).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255


def _masks(renders: Sequence[Rendered], region: Region | None) -> Tensor | None:
    if region is None:
        return None
    masks = [rendered.region_of(region) if isinstance(region, str) else region(rendered) for rendered in renders]
    return torch.from_numpy(np.stack(masks).astype(np.float32))


def _scores(forward: Callable[[Tensor], Tensor], canvases: Tensor) -> tuple[Floats, Floats]:
    """The margin of fake over real in logits, and P(fake), of each canvas (N,), in float64."""
    with torch.no_grad():
        logits = forward(canvases)
    if logits.shape != (len(canvases), 2):
        raise ModelError(f"The logits have the shape {tuple(logits.shape)}, but ({len(canvases)}, 2) is needed.")
    margin = (logits[:, 0].double() - logits[:, 1].double()).cpu()
    return margin.numpy(), torch.sigmoid(margin).numpy()

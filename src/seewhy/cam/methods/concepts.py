"""Deep feature factorisation as a map of a class: an image's concepts, each by what it is worth to the score."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.cam.methods.ablation import rows_at_once
from seewhy.cam.methods.factorization import Concepts

N_CONCEPTS, SWEEPS = 5, 200
_RANK = 1e-5  # of the largest singular value, below which a direction is rounding


def worth_of_concepts(gradient: Tensor, activation: Tensor) -> Tensor:
    """Signed maps (N, H, W): each concept's heat map times the score's slope along the concept, added up.

    The paper's (Collins, Achanta & Süsstrunk 2018, arXiv:1806.10206) are the concepts: a layer's features as a sum of
    few non-negative directions of channels, each with a non-negative map. The rest is ours. An image has concepts of
    its own, where theirs are shared by a set, so that its map does not depend on its company. Features of both signs
    are factorised as their positive and their negative part side by side, where theirs come from a ReLU. And theirs
    are of no class: here the gradient along a concept's direction, averaged over the places where the concept is in
    proportion to its map, says what the concept is worth. Where all places of a channel count alike, this is Grad-CAM
    of the factorised features. A map's cells add up to gradient times factorised features: to logit - bias where the
    head is linear and the factorisation exact.
    """
    rows = rows_at_once(4 * 8 * activation[:1].numel())  # of both signs in float64, and their singular vectors
    parts = zip(gradient.split(rows), activation.split(rows), strict=True)
    return torch.cat([_weighed(*part) for part in parts])


def _weighed(gradient: Tensor, activation: Tensor) -> Tensor:
    finite = activation.flatten(1).isfinite().all(dim=1)[:, None, None]
    vectors, shaped = image_concepts(torch.where(finite[..., None], activation, 0))
    maps = shaped.flatten(2)
    slopes = vectors @ gradient.to(maps.dtype).flatten(2)  # (N, K, HW): of the score, by each concept at each place
    share = maps / maps.sum(dim=2, keepdim=True).clamp(min=torch.finfo(maps.dtype).tiny)
    worth = (slopes * share).sum(dim=2)
    weighed = (worth[:, :, None, None] * shaped).sum(dim=1).to(activation.dtype)
    return torch.where(finite, weighed, torch.nan)


def image_concepts(activation: Tensor, n_concepts: int = N_CONCEPTS, *, sweeps: int = SWEEPS) -> Concepts:
    """So many concepts of each image's features (N, C, H, W): directions (N, K, C), and their maps (N, K, H, W) >= 0.

    Those beyond the rank of the features are 0. A direction is not negative where no feature is. Always the same
    number of sweeps of coordinate descent (HALS, Cichocki & Phan 2009), from the start of Boutsidis & Gallopoulos 2008
    (NNDSVD) and without dice: what is rounded otherwise ends otherwise by as little.
    """
    wide = activation.dtype if activation.device.type == "mps" else torch.float64
    matrix = activation.flatten(2).to(wide)
    if signed := bool((matrix < 0).any()):
        matrix = torch.cat([matrix.clamp(min=0), (-matrix).clamp(min=0)], dim=1)
    vectors, maps = _start(matrix, min(n_concepts, *activation.flatten(2).shape[1:]))
    for _ in range(sweeps):
        _descend(vectors, maps @ matrix.mT, maps @ maps.mT)
        _descend(maps, vectors @ matrix, vectors @ vectors.mT)
    if signed:
        positive, negative = vectors.chunk(2, dim=2)
        vectors = positive - negative
    return Concepts(vectors, maps.unflatten(2, activation.shape[2:]))


def _start(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Of each singular pair of matrices (N, M, P) its stronger non-negative half, scaled: (N, K, M) and (N, K, P)."""
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    left, right = left[..., :rank].mT, right[:, :rank]
    sides = [((sign * left).clamp(min=0), (sign * right).clamp(min=0)) for sign in (1, -1)]
    sizes = [one.norm(dim=2) * other.norm(dim=2) for one, other in sides]
    stronger = (sizes[0] >= sizes[1])[..., None]
    left, right = torch.where(stronger, sides[0][0], sides[1][0]), torch.where(stronger, sides[0][1], sides[1][1])
    values = torch.where(values > _RANK * values[:, :1], values, 0)[:, :rank]
    scale = (values * torch.maximum(*sizes)).sqrt()[..., None]
    return scale * functional.normalize(left, dim=2), scale * functional.normalize(right, dim=2)


def _descend(factor: Tensor, products: Tensor, gram: Tensor) -> None:
    """Set each row of factors (N, K, M) in turn to its best non-negative value with the others held."""
    step = 1 / gram.diagonal(dim1=1, dim2=2).clamp(min=torch.finfo(gram.dtype).tiny)
    for row in range(factor.shape[1]):
        slope = (gram[:, row, None] @ factor)[:, 0] - products[:, row]
        factor[:, row] = (factor[:, row] - slope * step[:, row, None]).clamp_(min=0)

"""KPCA-CAM: the first component of a kernel principal component analysis of a layer's places."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.cam.methods.weighting import growing_with
from seewhy.errors import OptionError, nearest

_SMALL = 256  # places, up to which all values cost no more than the largest
_STEPS, _SETTLED = 200, 1e-14  # of a Krylov space, and how little its largest value still grows when it is found

KERNELS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "linear": lambda features, gamma: features @ features.mT,
    "sigmoid": lambda features, gamma: (gamma * features @ features.mT).add_(1).tanh_(),
    "poly": lambda features, gamma: (gamma * features @ features.mT + 1) ** 3,
    "rbf": lambda features, gamma: torch.exp(-gamma * torch.cdist(features, features) ** 2),
    "cosine": lambda features, gamma: (
        functional.normalize(features, dim=-1) @ functional.normalize(features, dim=-1).mT
    ),
}


def kernel_principal(weights: Tensor, activation: Tensor) -> Tensor:
    """Maps (N, H, W) of the features by the kernel that the paper found best; see `kernel_component`."""
    return kernel_component(weights[:, :, None, None] * activation)


def kernel_component(activation: Tensor, kernel: str = "sigmoid", gamma: float | None = None) -> Tensor:
    """Each place's coordinate (N, H, W) on the first component of kernel PCA of features (N, C, H, W).

    Features are centred, `gamma` is 1 / C where it is None, and the sign is that with which the map grows with the
    strength of the features. Sees no class and no gradient; memory is that of (HW)² numbers for one image. Karmani et
    al. 2024, arXiv:2410.00267. Raises OptionError for a kernel that there is not.
    """
    if kernel not in KERNELS:
        raise OptionError(f"There is no kernel {kernel!r}.  {nearest(kernel, KERNELS)}", slug="no-such-method")
    return torch.stack([_of_image(image, kernel, gamma) for image in activation])


def _of_image(image: Tensor, kernel: str, gamma: float | None) -> Tensor:
    wide = image.dtype if image.device.type == "mps" else torch.float64
    features = image.flatten(1).T.to(wide)  # (HW, C)
    if not bool(features.isfinite().all()):
        return torch.full_like(image[0], torch.nan)
    centred = features - features.mean(dim=0)
    products = KERNELS[kernel](centred, 1 / len(image) if gamma is None else gamma)
    rows = products.mean(dim=1, keepdim=True)
    products = products.sub_(rows).sub_(rows.T).add_(rows.mean())  # as large as it gets: in its own memory
    value, vector = _largest(products, centred.norm(dim=1))
    projection = growing_with(features[None], (vector * value.clamp(min=0).sqrt())[None])
    return projection.view(image.shape[1:]).to(image.dtype)


def _largest(matrix: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """The largest eigenvalue of a symmetric matrix (P, P), and its vector (P,): Lanczos, vectors kept orthogonal."""
    if len(matrix) <= _SMALL:
        values, vectors = torch.linalg.eigh(matrix)
        return values[-1], vectors[:, -1]
    start = start - start.mean() + 1e-3 * torch.cos(torch.arange(len(start), device=start.device, dtype=start.dtype))
    basis, last = [start / start.norm().clamp(min=torch.finfo(start.dtype).tiny)], None
    images: list[Tensor] = []
    while True:
        images.append(matrix @ basis[-1])
        space = torch.stack(basis)
        values, vectors = torch.linalg.eigh(space @ torch.stack(images).T)
        rest = images[-1] - space.T @ (space @ images[-1])
        rest = rest - space.T @ (space @ rest)
        settled = last is not None and bool((values[-1] - last).abs() <= _SETTLED * values.abs().max())
        small = bool(rest.norm() <= torch.finfo(start.dtype).eps * values.abs().max() * len(start))
        if small or len(basis) >= min(_STEPS, len(start)) or (settled and len(basis) > 8):
            return values[-1], space.T @ vectors[:, -1]
        last = values[-1]
        basis.append(rest / rest.norm())

"""KPCA-CAM: the first component of a kernel principal component analysis of a layer's places."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from seewhy.cam.methods.weighting import growing_with
from seewhy.errors import OptionError, nearest

_SMALL = 256  # places, up to which all values cost no more than the largest
_STEPS, _POWERS = 200, 6  # of a Krylov space, and of what it starts from
_OTHERS = 1e-3  # the share of other components in that
_SETTLED, _CLOSE = 1e-10, 3e-8  # what may be left of the vector, in float64 and in float32
_OPEN = 2e-7  # and what rounding to float32 may turn it by

KERNELS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "linear": lambda features, gamma: features @ features.mT,
    "sigmoid": lambda features, gamma: (  # tanh(gamma x y + 1) less 1, which centring takes away
        torch.addmm(features.new_tensor(-2.0), features, features.mT, alpha=-2 * gamma).sigmoid_().mul_(-2)
    ),
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
    width = 1 / len(image) if gamma is None else gamma
    found = None
    if image.dtype == torch.float32 and len(centred) > _SMALL and kernel != "rbf":  # of which float32 keeps little
        found = _settled(KERNELS[kernel](centred.float(), width), centred, width)
    value, vector = found or _largest(KERNELS[kernel](centred, width), centred)
    projection = growing_with(features[None], (vector * value.clamp(min=0).sqrt())[None])
    return projection.view(image.shape[1:]).to(image.dtype)


def _settled(products: Tensor, features: Tensor, gamma: float) -> tuple[Tensor, Tensor] | None:
    """As `_largest`, of products in float32; None where their rounding leaves the vector open."""
    typical = max(float(products.norm()) / len(products), gamma * float(features.square().sum(dim=1).mean()))
    if not math.isfinite(typical):
        return None
    turned = torch.finfo(products.dtype).eps / 2 * typical * len(products) ** 0.5
    products = products.sub_(products.mean())  # which says nothing, and its sums would drown what does
    value, vector, gap = _krylov(products, _linear_component(features), _CLOSE)
    return (value, vector) if turned <= _OPEN * gap else None


def _largest(products: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """The largest eigenvalue of a kernel's products (P, P), centred, and its vector (P,); features are (P, C)."""
    if len(products) <= _SMALL:
        rows = products.mean(dim=1, keepdim=True)
        values, vectors = torch.linalg.eigh(products - rows - rows.T + rows.mean())
        return values[-1], vectors[:, -1]
    return _krylov(products, _linear_component(features), _SETTLED)[:2]


def _krylov(products: Tensor, start: Tensor, settled: float) -> tuple[Tensor, Tensor, float]:
    """Lanczos, vectors kept orthogonal: the largest value of the centred products, its vector (P,), and the gap below.

    It ends where what is left of the vector is a share `settled` of that gap; the gap is 0 where it never does.
    """
    basis = _one_long(_centred(start))[None]
    across = start.new_zeros(0, 0)
    while True:
        image = _centred((products @ basis[-1].to(products)).to(start))
        across = torch.cat([torch.cat([across, (basis[:-1] @ image)[:, None]], dim=1), (basis @ image)[None]])
        values, vectors = torch.linalg.eigh(across)
        rest = image - (basis @ image) @ basis
        rest = rest - (basis @ rest) @ basis
        beyond, largest = rest.norm(), values.abs().max()
        small = bool(beyond <= torch.finfo(start.dtype).eps * largest * len(basis) ** 0.5)
        gap = float(values[-1] - values[-2]) if len(values) > 1 else 0.0
        done = len(basis) > 3 and float(beyond * vectors[-1, -1].abs()) <= settled * gap
        if small or done or len(basis) >= min(_STEPS, len(start)):
            return values[-1], vectors[:, -1] @ basis, gap if small or done else 0.0
        basis = torch.cat([basis, rest[None] / beyond])


def _linear_component(features: Tensor) -> Tensor:
    """About the first component (P,) of features (P, C) as they stand, from which a kernel's is not far.

    A little of what any other component holds is left in it, so that none is passed over.
    """
    lengths = features.norm(dim=1)
    waves = torch.cos(torch.arange(len(features), device=features.device, dtype=features.dtype))
    any_other = _one_long(lengths) + _one_long(waves)
    start = any_other
    for _ in range(_POWERS):
        start = _one_long(features @ (features.T @ _centred(start)))
    return start + _OTHERS * any_other


def _one_long(vector: Tensor) -> Tensor:
    length: Tensor = vector.norm().clamp(min=torch.finfo(vector.dtype).tiny)
    return vector / length


def _centred(vector: Tensor) -> Tensor:
    return vector - vector.mean()

"""The JPEG round trip of canvases without any file, and the quality that an image shows traces of."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from seewhy.evidence.properties.bases import cosines, where_chosen

UNCOMPRESSED = 100.0  # the quality of an image that shows no traces
QUALITIES = tuple(range(10, 96))  # that can be told from the pixels of a small image
_SLACK = 1.5  # a quality that is read may be 1 off; that is no reason to encode again
_EVIDENCE = 12.0  # nats that a quality must be ahead of none
_NOISE = 0.4  # standard deviation, in grey levels, of a coefficient after the pixels were rounded
_NOISE_ALONG = 0.9  # of one that is constant along an axis: where a block is, its pixels are all rounded the same way
_OUTLIERS = 0.02  # share of coefficients that clipping has moved
_MOST_BLOCKS = 256  # that are looked at, evenly spread
_LOW = 20  # the first coefficients in zigzag order; higher ones are nearly always 0, and tell nothing
_LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)  # ITU-T T.81, Annex K.1
_CHROMA = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99, *(99,) * 32),
)
# libjpeg's fixed-point colours: whole numbers below 2^24, so that float32 is exact (jccolor.c, jdcolor.c)
_ONE = 65536
_TO_YCC = ((19595, 38470, 7471), (-11059, -21709, 32768), (32768, -27439, -5329))
_TO_YCC_ADDED = (32768, 128 * _ONE + 32767, 128 * _ONE + 32767)
_TO_RGB = ((0, 91881), (-22554, -46802), (116130, 0))


def jpeg(canvases: Tensor, quality: Tensor) -> Tensor:
    """Canvases (N, 3, H, W) after a JPEG round trip at a quality (N,) of 1 to 100 each.

    Follows libjpeg's baseline with 4:2:0 chroma: fixed-point colours, the tables of Annex K, the "fancy" triangle
    upsampling. The canvases are rounded to 8 bits first.
    """
    return _decoded(_coefficients(canvases), quality, canvases)


def jpeg_quality(canvases: Tensor) -> Tensor:
    """The JPEG quality (N, 1) that the luminance shows traces of on its 8 x 8 grid: 10 to 95, or 100 for none.

    The coefficients of a compressed image lie on multiples of the quality's steps. Each quality's likelihood is
    compared with coefficients that lie anywhere, after Fan & de Queiroz 2003 (IEEE Trans. Image Processing 12).
    A coefficient near 0 is no evidence for a large step, as every smooth image has many. The traces are lost when
    an image is resized, or cropped off the grid, after compression. Blocks with a pixel that is NaN are left out; NaN
    where that leaves none of those that there are.
    """
    height, width = (side // 8 * 8 for side in canvases.shape[2:])
    if not height or not width:
        return canvases.new_full((len(canvases), 1), UNCOMPRESSED)
    luma = _ycc(canvases[:, :, :height, :width])[:, 0] - 128
    blocks = _blocks(luma)
    unknown = blocks.isnan().any(dim=2)  # (N, B)
    if is_partly := bool(unknown.any()):
        blocks = blocks.masked_fill(unknown[:, :, None], 0)
    else:
        blocks = blocks[:, :: -(-blocks.shape[1] // _MOST_BLOCKS)]
    coefficients = (blocks @ _kronecker(luma.device, luma.dtype).T)[..., _zigzag(luma.device)]
    steps = _steps(canvases.new_tensor(QUALITIES), _LUMA)[:, _zigzag(luma.device)]
    noise = torch.where((_zigzag(luma.device) // 8).mul(_zigzag(luma.device) % 8) > 0, _NOISE, _NOISE_ALONG).to(steps)
    gains = torch.stack([_evidence(coefficients, step, noise) for step in steps], dim=1)  # (N, qualities)
    best = gains.max(dim=1)
    quality = canvases.new_tensor(QUALITIES)[best.indices]
    told = torch.where(best.values > _EVIDENCE, quality, UNCOMPRESSED)[:, None]
    return told.masked_fill(unknown.all(dim=1, keepdim=True), torch.nan) if is_partly else told


def jpeg_editor(canvases: Tensor) -> Callable[[Tensor], Tensor]:
    """What re-encodes the canvases at a wanted quality (N, 1), where it is lower than their own.

    The blocks of 8 x 8 with a pixel that is NaN stay as they are.
    """
    original, unknown = jpeg_quality(canvases), canvases.isnan().any(dim=1)
    is_partly = bool(unknown.any())
    luma, chroma = _coefficients(_with_known_means(canvases, unknown) if is_partly else canvases)
    held = _in_blocks(unknown.to(canvases)[:, None], 8, torch.nn.functional.max_pool2d) > 0 if is_partly else None

    def decoded(rows: Tensor, quality: Tensor) -> Tensor:
        edited = _decoded((luma[rows], chroma[rows]), quality[rows], canvases[rows])
        return edited if held is None else torch.where(held[rows], canvases[rows], edited)

    def edit(values: Tensor) -> Tensor:
        quality = values[:, 0].clamp(1, UNCOMPRESSED)
        return where_chosen(canvases, quality < original[:, 0] - _SLACK, lambda rows: decoded(rows, quality))

    return edit


def _with_known_means(canvases: Tensor, unknown: Tensor) -> Tensor:
    """The canvases with unknown pixels (N, H, W) as the mean of those that are known of their block of 16 x 16.

    Chroma is halved in such blocks: another colour there would be an edge that is none. A block that is all unknown is
    as the mean of all that is known, since its neighbours' colours reach into it.
    """
    known = (~unknown).to(canvases)[:, None]
    there = canvases.nan_to_num() * known
    means, shares = (_in_blocks(values, 16, torch.nn.functional.avg_pool2d) for values in (there, known))
    of_all = there.sum(dim=(2, 3), keepdim=True) / known.sum(dim=(2, 3), keepdim=True).clamp(min=1)
    means = torch.where(shares > 0, means / shares.clamp(min=1e-6), of_all)
    return torch.where(known > 0, canvases, means)


def _in_blocks(planes: Tensor, side: int, pool: Callable[..., Tensor]) -> Tensor:
    """At each pixel of planes (N, C, H, W) what is pooled of its block of so many pixels a side."""
    down, across = (torch.arange(length, device=planes.device) // side for length in planes.shape[2:])
    return pool(planes, side, ceil_mode=True)[:, :, down][:, :, :, across]


def _coefficients(canvases: Tensor) -> tuple[Tensor, Tensor]:
    """Eight times the DCT of the luma blocks (N, B, 64) and of both chroma channels' (N, 2 C, 64): whole numbers."""
    ycc = _ycc(canvases)
    height, width = canvases.shape[2:]
    rows, columns = _padded(height, canvases), _padded(width, canvases)
    luma = ycc[:, 0]
    if height % 16 or width % 16:
        luma = luma[:, rows][:, :, columns]
    down, across = _pairs(height, canvases), _pairs(width, canvases)
    down = down[torch.arange(len(down), device=down.device).clamp(max=(height - 1) // 2)]  # below, it repeats the sums
    pairs = down @ ycc[:, 1:] @ across.T  # sums of four
    bias = 1 + torch.arange(pairs.shape[3], device=pairs.device) % 2  # libjpeg's alternating rounding
    chroma = pairs.add_(bias).mul_(0.25).floor_()
    kronecker = 8 * _kronecker(canvases.device, canvases.dtype).T
    coefficients = [(_blocks(plane - 128) @ kronecker).add_(0.5).floor_() for plane in (luma, chroma.flatten(1, 2))]
    return coefficients[0], coefficients[1]


def _decoded(coefficients: tuple[Tensor, Tensor], quality: Tensor, canvases: Tensor) -> Tensor:
    """The canvases whose coefficients were rounded to a quality's steps; also undone: the 8 bits, back to [0, 1]."""
    height, width = canvases.shape[2:]
    luma, chroma = (
        _requantised(blocks, _steps(quality, table)[:, None])
        for blocks, table in zip(coefficients, (_LUMA, _CHROMA), strict=True)
    )
    tall, wide = -(-height // 16) * 16, -(-width // 16) * 16
    gray = _plane(luma, tall, wide)[:, :height, :width]
    colours = _plane(chroma, tall, wide // 2).unflatten(1, (2, tall // 2))
    down, across = _triangle(height, canvases), _triangle(width, canvases)
    colours = colours[:, :, : down.shape[1], : across.shape[1]]
    colours = down @ colours @ across.T  # sixteen times
    bias = 8 - torch.arange(width, device=canvases.device) % 2
    colours = colours.add_(bias).mul_(1 / 16).floor_().sub_(128)
    weights = canvases.new_tensor(_TO_RGB)
    rgb: Tensor = (weights @ colours.flatten(2)).add_(_ONE // 2).mul_(1 / _ONE).floor_().view(canvases.shape)
    return rgb.add_(gray[:, None]).clamp_(0, 255).div_(255)


def _requantised(coefficients: Tensor, steps: Tensor) -> Tensor:
    """Coefficients at the nearest multiple of their steps, halves away from 0; `coefficients` are eight times."""
    size = coefficients.abs().mul_(0.125).div_(steps).add_(0.5).floor_().mul_(steps)
    return size.copysign_(coefficients)


def _plane(coefficients: Tensor, height: int, width: int) -> Tensor:
    """The pixels (N, height, width) of blocks (N, B, 64), whole numbers 0 to 255."""
    pixels = coefficients @ _kronecker(coefficients.device, coefficients.dtype)
    pixels = pixels.add_(128.5 + 1e-5).floor_().clamp_(0, 255)  # 1e-5: halves go up
    return pixels.view(len(pixels), height // 8, width // 8, 8, 8).transpose(2, 3).reshape(len(pixels), height, width)


def _blocks(planes: Tensor) -> Tensor:
    """Planes (N, H, W) as blocks (N, B, 64) in reading order."""
    n, height, width = planes.shape
    return planes.reshape(n, height // 8, 8, width // 8, 8).transpose(2, 3).reshape(n, -1, 64)


def _ycc(canvases: Tensor) -> Tensor:
    """Luma and chroma (N, 3, H, W) as whole numbers 0 to 255."""
    rgb = (canvases * 255).add_(0.5).floor_()
    ycc = (canvases.new_tensor(_TO_YCC) @ rgb.flatten(2)).add_(canvases.new_tensor(_TO_YCC_ADDED)[:, None])
    return ycc.mul_(1 / _ONE).floor_().view(canvases.shape)


def _steps(quality: Tensor, table: tuple[int, ...]) -> Tensor:
    """The quantisation steps (N, 64) of qualities (N,): Annex K's table scaled as in libjpeg's jcparam.c."""
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    return ((scale[:, None] * quality.new_tensor(table) + 50) / 100).floor().clamp(1, 255)


def _evidence(coefficients: Tensor, steps: Tensor, noise: Tensor) -> Tensor:
    """Nats (N,) by which coefficients (N, B, K) on multiples of the steps are likelier than coefficients anywhere."""
    multiples = coefficients / steps
    off = (multiples - multiples.round()).mul_(steps / noise)
    peak = (steps / (noise * math.sqrt(2 * math.pi))).log()
    gain = torch.maximum(peak - off.square_().mul_(0.5), peak.new_tensor(math.log(_OUTLIERS)))
    gain = torch.where(multiples.abs() > 0.5, gain, gain.clamp(max=0))
    return (gain * (steps > 3 * noise)).sum(dim=(1, 2))  # smaller steps drown in the rounding


@lru_cache(maxsize=8)
def _kronecker(device: torch.device, dtype: torch.dtype) -> Tensor:
    """The 8 x 8 DCT-II as one orthonormal matrix (64, 64) on blocks in reading order."""
    basis = cosines(8, torch.device("cpu"), torch.float64)
    return torch.kron(basis, basis).to(device, dtype)


@lru_cache(maxsize=8)
def _zigzag(device: torch.device) -> Tensor:
    """Where the low coefficients without the mean stand in reading order, by the diagonals of the block."""
    order = sorted(range(64), key=lambda place: (place // 8 + place % 8, place))
    return torch.tensor(order[1 : _LOW + 1], device=device)


def _padded(side: int, like: Tensor) -> Tensor:
    """The pixels of a side filled up to a multiple of 16 by repeating the last one."""
    return torch.arange(-(-side // 16) * 16, device=like.device).clamp(max=side - 1)


def _pairs(side: int, like: Tensor) -> Tensor:
    """The sums of neighbouring pixels of a padded side, as a matrix (padded / 2, side)."""
    chosen = torch.eye(side, dtype=like.dtype, device=like.device)[_padded(side, like)]
    return chosen[0::2] + chosen[1::2]


def _triangle(side: int, like: Tensor) -> Tensor:
    """Four times libjpeg's triangle filter (h2v2_fancy_upsample) as a matrix (side, half a side, rounded up)."""
    half = -(-side // 2)
    place = torch.arange(side, device=like.device)
    near = place // 2
    beside = (near + 2 * (place % 2) - 1).clamp(0, half - 1)
    unit = torch.eye(half, dtype=like.dtype, device=like.device)
    return 3 * unit[near] + unit[beside]

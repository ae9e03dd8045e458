"""Fourier transforms of weighted points, by spreading them onto a grid: a NUFFT of type 1.

Points are spread onto a grid finer than the band needs, by the kernel exp(β (√(1 − z²) − 1)) on
six grid points along each axis, and the FFT of the grid is divided by the kernel's transform
(Barnett, Magland & af Klinteberg, SIAM J. Sci. Comput. 41, 2019). The cost is that of the points
plus that of the grid. At twofold oversampling the largest error of a point, over all places in the
grid cell, is 4e-5 of its weight in the corner of the band and a tenth of it in most of the band;
errors of many points add as random numbers do.

On the CPU compiled kernels do it; elsewhere, and in tests, plain torch.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from cryosway.volumes._splat_kernels import DEGREE, TAPS, gather_points, spread_points

_OVERSAMPLING = 2
_SHAPE = 2.30 * TAPS  # β; the paper's choice for twofold oversampling
_CHUNK_BYTES = 1 << 22  # of grids in flight: about a cache


@dataclass(frozen=True, eq=False)
class Band:
    """Integer frequencies at which transforms of points are wanted, and the grid they need.

    Attributes
    ----------
    size
        Grid points M a side; the grid spans the field whose wave numbers the points are.
    columns
        Columns kx = 0 … columns − 1 of the half plane hold all of them.
    index
        Shape (P,), int64: where they are in a flat half plane (M, columns).
    correction
        Shape (P, 2), float64: one over the kernel's transform; the second column is negative where
        the point's Friedel mate is stored, whose value is the conjugate.
    adjoint
        Shape (P, 2), float64: the same, half where an inverse transform adds the mate.
    """

    size: int
    columns: int
    index: Tensor
    correction: Tensor
    adjoint: Tensor


def make_band(points: Tensor) -> Band:
    """Choose the grid for frequencies (P, 2), (kx, ky), whole numbers of cycles per field."""
    k = points.detach().to("cpu", torch.float64)
    whole = k.round()
    if not torch.equal(k, whole):
        msg = "points of a slice through beads must be whole numbers of Fourier pixels"
        raise ValueError(msg)
    radius = int(whole.abs().max()) if len(whole) else 0
    least = max(2 * _OVERSAMPLING * radius, 2 * TAPS)
    size = _next_size(least)
    mate = whole[:, 0] < 0
    stored = torch.where(mate[:, None], -whole, whole).long()
    columns = radius + 1
    index = stored[:, 1] % size * columns + stored[:, 0]
    decay = torch.from_numpy(_kernel_transform(whole.numpy() / size)).prod(1)
    sign = torch.where(mate, -1.0, 1.0).double()
    correction = torch.stack([1 / decay, sign / decay], dim=1)
    adjoint = correction * torch.where(stored[:, :1] > 0, 0.5, 1.0)
    tensors = (part.to(points.device) for part in (index, correction, adjoint))
    return Band(size, columns, *tensors)


def _next_size(least: int) -> int:
    """Find an even size of at least `least` whose FFT is fast: 2ᵃ · 1, 3, 5, 9 or 15."""
    return min(odd << max(1, math.ceil(math.log2(least / odd))) for odd in (1, 3, 5, 9, 15))


def transform_points(xy: Tensor, weights: Tensor, band: Band) -> Tensor:
    """Sum Σ_j w_j exp(−2πi k·u_j / M) over points, at the frequencies k of a band.

    Parameters
    ----------
    xy
        Shape (n, 2, N): positions u in grid units, the field's M grid points from 0; the transform
        is periodic in them.
    weights
        Shape (n, C, N), or (1, C, N) for the same weights in every image; C transforms at once.
    band
        From `make_band`.

    Returns
    -------
    Shape (n, C, P, 2), real and imaginary part; differentiable in `xy` and `weights`.
    """
    if xy.device.type == "cpu":
        result: Tensor = _Transform.apply(xy, weights, band)  # type: ignore[no-untyped-call]
        return result
    return transform_plain(xy, weights, band)


def transform_plain(xy: Tensor, weights: Tensor, band: Band) -> Tensor:
    """Transform as `transform_points` does, in plain torch: its twin, on any device."""
    n, classes, count = len(xy), weights.shape[1], xy.shape[2]
    start, wx = _find_taps(xy[:, 0], band.size)
    rows, wy = _find_taps(xy[:, 1], band.size)
    columns = (start[..., None] + torch.arange(TAPS, device=xy.device)) % band.size
    grids = xy.new_zeros(n, classes, band.size**2)
    weights = weights.expand(n, classes, count)
    for tap in range(TAPS):
        row = (rows + tap) % band.size
        at = (row[..., None] * band.size + columns).view(n, 1, -1).expand(-1, classes, -1)
        amounts = (weights * wy[:, None, :, tap])[..., None] * wx[:, None]
        grids = grids.scatter_add(2, at, amounts.flatten(2))
    return _read_band(grids.view(n, classes, band.size, band.size), band)


def _find_taps(u: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Give the first tap (n, N) and the weights of all (n, N, 6) along one axis."""
    table = torch.from_numpy(_make_tables()[0]).to(u)
    up = torch.ceil(u - TAPS // 2)
    offset = 2 * (up - (u - TAPS // 2)) - 1
    taps = table[DEGREE].expand(*u.shape, TAPS)
    for power in range(DEGREE - 1, -1, -1):
        taps = taps * offset[..., None] + table[power]
    return up.detach().nan_to_num().long() % size, taps


def _read_band(grids: Tensor, band: Band) -> Tensor:
    """Transform grids (n, C, M, M) and read the band: (n, C, P, 2)."""
    along_x = torch.fft.rfft(grids, dim=-1)[..., : band.columns]
    half = torch.fft.fft(along_x, dim=-2).flatten(2)
    picked = half.gather(2, band.index.expand(*half.shape[:2], -1))
    return torch.view_as_real(picked) * band.correction.to(grids.dtype)


def _spread_band(values: Tensor, band: Band) -> Tensor:
    """Adjoint of `_read_band`: (n, C, P, 2) to grids (n, C, M, M)."""
    n, classes = values.shape[:2]
    corrected = torch.view_as_complex((values * band.adjoint.to(values.dtype)).contiguous())
    half = corrected.new_zeros(n, classes, band.size * band.columns)
    half.index_add_(2, band.index, corrected)
    half = half.view(n, classes, band.size, band.columns)
    along_x = torch.fft.ifft(half, dim=-2, norm="forward")
    # Of the first column, which has no mates to be added, the real part is meant.
    along_x[..., 0].imag.zero_()
    grids: Tensor = torch.fft.irfft(along_x, n=band.size, dim=-1, norm="forward")
    return grids


class _Transform(torch.autograd.Function):
    """`transform_points` by the compiled kernels, images in chunks that stay in the cache."""

    @staticmethod
    def forward(ctx: Any, xy: Tensor, weights: Tensor, band: Band) -> Tensor:
        ctx.save_for_backward(xy, weights)
        ctx.band = band
        table, _ = _cast_tables(xy.dtype)
        n, classes = len(xy), weights.shape[1]
        out = xy.new_empty(n, classes, len(band.index), 2)
        for some in _chunks(n, classes, band, xy.dtype):
            grids = xy.new_empty(len(range(*some.indices(n))), classes, band.size, band.size)
            spread_points(_plain(xy[some]), _plain(_share(weights, some)), table, grids.numpy())
            out[some] = _read_band(grids, band)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        xy, weights = ctx.saved_tensors
        band = ctx.band
        table, slopes = _cast_tables(xy.dtype)
        n, classes = len(xy), weights.shape[1]
        to_xy = torch.empty_like(xy, memory_format=torch.contiguous_format)
        to_weights = xy.new_empty(n, classes, xy.shape[2])
        for some in _chunks(n, classes, band, xy.dtype):
            gather_points(
                _plain(xy[some]),
                _plain(_share(weights, some)),
                table,
                slopes,
                _plain(_spread_band(gradient[some], band)),
                to_xy[some].numpy(),
                to_weights[some].numpy(),
            )
        shared = len(weights) == 1
        return to_xy, to_weights.sum(0, keepdim=True) if shared else to_weights, None


def _share(weights: Tensor, some: slice) -> Tensor:
    return weights if len(weights) == 1 else weights[some]


def _plain(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().contiguous().numpy()
    return array


def _chunks(n: int, classes: int, band: Band, dtype: torch.dtype) -> list[slice]:
    """Images to do together: enough for all threads, few enough for the cache."""
    each = classes * band.size**2 * dtype.itemsize
    step = max(_CHUNK_BYTES // each, torch.get_num_threads(), 1)
    return [slice(first, min(first + step, n)) for first in range(0, n, step)]


@lru_cache(maxsize=4)
def _cast_tables(dtype: torch.dtype) -> tuple[NDArray[Any], NDArray[Any]]:
    kind = np.float64 if dtype == torch.float64 else np.float32
    taps, slopes = _make_tables()
    return taps.astype(kind), slopes.astype(kind)


@lru_cache(maxsize=1)
def _make_tables() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Polynomials (9, 6), rising powers, of every tap, and of its derivative by the position.

    They interpolate the kernel at points that include the ends, so that taps join continuously.
    """
    nodes = np.cos(np.pi * np.arange(DEGREE + 1) / DEGREE)
    z = ((nodes[:, None] + 1) / 2 + np.arange(TAPS)) * (2 / TAPS) - 1
    powers = np.vander(nodes, increasing=True)
    taps = np.linalg.solve(powers, _kernel(z))
    slopes = np.zeros_like(taps)
    # The offset falls by two where the position grows by one.
    slopes[:-1] = -2 * np.arange(1, DEGREE + 1)[:, None] * taps[1:]
    return taps, slopes


def _kernel(z: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(_SHAPE * (np.sqrt(np.maximum(1 - z**2, 0)) - 1)), np.float64)


def _kernel_transform(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Transform of the kernel, at frequencies in cycles per grid point, any shape."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    z, dz = np.sin(nodes * np.pi / 2), weights * np.pi / 2 * np.cos(nodes * np.pi / 2)
    waves = np.cos(np.pi * TAPS * np.multiply.outer(frequency, z))
    return np.asarray(waves @ (_kernel(z) * dz) * (TAPS / 2), np.float64)

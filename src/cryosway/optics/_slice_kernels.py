"""Compiled CPU kernels for slices through many volumes at once (numba).

Grids here are real arrays (voxels, channels): everything that belongs to a voxel lies side by
side, so that one visit to a corner serves every volume, numerator and weight; the work is bound
by memory traffic, and this layout wastes none. `_slices.py` holds the plain torch twins.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,untyped-decorator"
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit, prange

Array = npt.NDArray[Any]


@njit(inline="always")
def _locate(kx, ky, rotation):
    """Grid coordinate 2 Rᵀ[kx, ky, 0] of a slice point, moved to the half with x ≥ 0."""
    x = kx * rotation[0, 0] + ky * rotation[1, 0]
    y = kx * rotation[0, 1] + ky * rotation[1, 1]
    z = kx * rotation[0, 2] + ky * rotation[1, 2]
    if x < 0:
        return -(x + x), -(y + y), -(z + z), True
    return x + x, y + y, z + z, False


@njit(inline="always")
def _split(x, y, z):
    """Integer and fractional parts; the latter stay in the precision of the coordinates."""
    low_x, low_y, low_z = np.floor(x), np.floor(y), np.floor(z)
    return int(low_x), int(low_y), int(low_z), x - low_x, y - low_y, z - low_z


@njit(inline="always")
def _row_offsets(iy, iz, size):
    """Flat offsets of the four x-rows (z, y), (z, y+1), (z+1, y), (z+1, y+1) around a point."""
    y0 = iy + size if iy < 0 else iy
    z0 = iz + size if iz < 0 else iz
    y1 = iy + 1 + size if iy + 1 < 0 else iy + 1
    z1 = iz + 1 + size if iz + 1 < 0 else iz + 1
    width = size // 2 + 1
    return (
        (z0 * size + y0) * width,
        (z0 * size + y1) * width,
        (z1 * size + y0) * width,
        (z1 * size + y1) * width,
    )


@njit(parallel=True, fastmath=True, cache=True, nogil=True)
def gather_slices(grid, size, rotations, points, out):
    """Read slices of C volumes: out[n, p, c] = re, out[n, p, C + c] = im.

    grid (voxels, 2C), [re | im]; rotations (N, 3, 3); points (P, 2); out (N, P, 2C); all of one
    real dtype.
    """
    channels = grid.shape[1]
    half = channels // 2
    one = grid.dtype.type(1)
    for n in prange(rotations.shape[0]):
        rotation = rotations[n]
        for p in range(points.shape[0]):
            x, y, z, flip = _locate(points[p, 0], points[p, 1], rotation)
            ix, iy, iz, fx, fy, fz = _split(x, y, z)
            a, b, c, d = _row_offsets(iy, iz, size)
            w00, w01 = (one - fz) * (one - fy), (one - fz) * fy
            w10, w11 = fz * (one - fy), fz * fy
            gx = one - fx
            for ch in range(channels):
                low = w00 * grid[a + ix, ch] + w01 * grid[b + ix, ch]
                low += w10 * grid[c + ix, ch] + w11 * grid[d + ix, ch]
                high = w00 * grid[a + ix + 1, ch] + w01 * grid[b + ix + 1, ch]
                high += w10 * grid[c + ix + 1, ch] + w11 * grid[d + ix + 1, ch]
                out[n, p, ch] = gx * low + fx * high
            if flip:
                for ch in range(half, channels):
                    out[n, p, ch] = -out[n, p, ch]


@njit(inline="always")
def _add_pair(target, at, weight_low, weight_high, row):
    for q in range(row.shape[0]):
        target[at, q] += weight_low * row[q]
        target[at + 1, q] += weight_high * row[q]


def _make_scatter(fixed):
    """Compile `scatter_slices` for one width of the accumulators, or with 0 for any.

    With few numbers to a voxel, loops of known length are a third faster.
    """

    @njit(parallel=True, fastmath=True, cache=True, nogil=True)
    def scatter(accumulators, rotations, points, values, filters, moments, part, size, teams):
        width = fixed if fixed else accumulators.shape[2]
        channels = fixed // 3 if fixed else width - moments.shape[1]
        one = accumulators.dtype.type(1)
        for thread in prange(accumulators.shape[0] * teams):
            mine = thread // teams
            member = thread % teams
            target = accumulators[mine]
            row = np.zeros(width, accumulators.dtype)
            for n in range(rotations.shape[0]):
                if part[n] != mine:
                    continue
                rotation = rotations[n]
                for p in range(points.shape[0]):
                    f = filters[n, p]
                    if f == 0:
                        continue
                    x, y, z, flip = _locate(points[p, 0], points[p, 1], rotation)
                    ix, iy, iz, fx, fy, fz = _split(x, y, z)
                    ahead = (member - iz) % teams  # planes from iz to the next one owned
                    if ahead > 1:
                        continue
                    re = f * values[n, p].real
                    im = f * values[n, p].imag
                    if flip:
                        im = -im
                    for ch in range(channels):
                        row[ch] = re * moments[n, ch]
                        row[channels + ch] = im * moments[n, ch]
                    for q in range(2 * channels, width):
                        row[q] = f * f * moments[n, q - channels]
                    a, b, c, d = _row_offsets(iy, iz, size)
                    gx, gy, gz = one - fx, one - fy, one - fz
                    if teams > 1:  # two planes in a row have two owners
                        if ahead == 1:
                            a, b, gz = c, d, fz
                        _add_pair(target, a + ix, gz * gy * gx, gz * gy * fx, row)
                        _add_pair(target, b + ix, gz * fy * gx, gz * fy * fx, row)
                        continue
                    _add_pair(target, a + ix, gz * gy * gx, gz * gy * fx, row)
                    _add_pair(target, b + ix, gz * fy * gx, gz * fy * fx, row)
                    _add_pair(target, c + ix, fz * gy * gx, fz * gy * fx, row)
                    _add_pair(target, d + ix, fz * fy * gx, fz * fy * fx, row)

    return scatter


_SCATTER = {width: _make_scatter(width) for width in (0, 3, 6)}  # one or two uncoupled volumes


def scatter_slices(
    accumulators: Array,
    rotations: Array,
    points: Array,
    values: Array,
    filters: Array,
    moments: Array,
    part: Array,
    size: int,
    teams: int,
) -> None:
    """Accumulate the normal equations of C volumes from N images.

    At every point of image n, with datum d (complex, whitened) and filter f (whitened CTF), the
    corner of weight w gains w · [Re(f d) m | Im(f d) m | f² s], where m (C) and s (Q) are the
    row of `moments` [m | s].

    Each part is filled by a team of `teams` threads, of which each owns the planes z (negative
    in the upper half) with z mod teams equal to its number: no two threads ever write to one
    voxel, and the result does not depend on their timing.

    accumulators (parts, voxels, 2C + Q); rotations (N, 3, 3); points (P, 2); values (N, P)
    complex; filters (N, P); moments (N, C + Q); part (N,) int: the accumulator that takes image
    n (−1: none).
    """
    scatter = _SCATTER.get(accumulators.shape[2], _SCATTER[0])
    scatter(accumulators, rotations, points, values, filters, moments, part, size, teams)

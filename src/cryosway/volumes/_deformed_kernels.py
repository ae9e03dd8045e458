"""Compiled CPU kernels that spread moved voxels onto image grids, and gather from them (numba).

Where a voxel goes, its taps and its six by six grid points are worked out together, block by block
of voxels: nothing of the size of voxels times images is ever stored. `_deformed_grid.py` holds the
plain torch twin.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: ANN001, ANN202
import numpy as np
from numba import njit, prange

from cryosway.volumes._splat_kernels import (
    _BLOCK,
    _FAST,
    TAPS,
    _dot,
    _evaluate,
    _locate,
    _spread_point,
)


@njit(inline="always")
def _move(points, index, weights, frames, first, count, at, share):
    """Put a block of voxels where the blended frames take them, and say what share is there.

    frames (N, 9): two rows of four, from a point to where it is seen, and the frame's share.
    """
    nearest = index.shape[1]
    zero = frames.dtype.type(0)
    for b in range(count):
        xx, xy, xz, x1 = zero, zero, zero, zero
        yx, yy, yz, y1 = zero, zero, zero, zero
        there = zero
        for k in range(nearest):
            w = weights[first + b, k]
            f = frames[np.uintp(index[first + b, k])]
            xx += w * f[0]
            xy += w * f[1]
            xz += w * f[2]
            x1 += w * f[3]
            yx += w * f[4]
            yy += w * f[5]
            yz += w * f[6]
            y1 += w * f[7]
            there += w * f[8]
        px, py, pz = points[first + b, 0], points[first + b, 1], points[first + b, 2]
        at[0, b] = xx * px + xy * py + xz * pz + x1
        at[1, b] = yx * px + yy * py + yz * pz + y1
        share[b] = there


@njit(inline="always")
def _make_room(dtype):
    """Arrays for a block: positions, shares, taps of both axes, offsets, first grid points."""
    positions = np.zeros((2, _BLOCK), dtype)
    share = np.empty(_BLOCK, dtype)
    taps = np.empty((2, TAPS, _BLOCK), dtype)
    offsets = np.zeros((2, _BLOCK), dtype)
    starts = np.zeros((2, _BLOCK), np.int32)
    return positions, share, taps, offsets, starts


@njit(parallel=True, fastmath=_FAST, error_model="numpy", cache=True, nogil=True)
def spread_moved(points, index, weights, frames, values, table, grids):
    """Fill periodic grids with the voxels, each where its frames take it.

    points (V, 3); index, weights (V, K); frames (n, N, 9), from a point to grid units, and shares;
    values (V,); table (9, 6); grids (n, M, M), axes (y, x); all of one real dtype.
    """
    count, size = grids.shape[0], grids.shape[1]
    voxels = len(points)
    stride = size + TAPS
    for n in prange(count):
        # Columns past the end take what wraps around in x.
        padded = np.zeros(size * stride, table.dtype)
        positions, share, taps, offsets, starts = _make_room(table.dtype)
        for first in range(0, voxels, _BLOCK):
            here = min(_BLOCK, voxels - first)
            _move(points, index, weights, frames[n], first, here, positions, share)
            for axis in range(2):
                _locate(positions[axis], 0, here, size, starts[axis], offsets[axis])
                _evaluate(table, offsets[axis], taps[axis])
            for b in range(here):
                amount = values[first + b] * share[b]
                for r in range(TAPS):
                    row = starts[1, b] + r
                    row = row - size if row >= size else row
                    at = np.uintp(row * stride + starts[0, b])
                    _spread_point(padded, at, amount * taps[1, r, b], taps[0], b)
        for y in range(size):
            for x in range(size):
                grids[n, y, x] = padded[y * stride + x]
            for x in range(TAPS):
                grids[n, y, x] += padded[y * stride + size + x]


@njit(parallel=True, fastmath=_FAST, error_model="numpy", cache=True, nogil=True)
def gather_moved(points, index, weights, frames, grids, table, out):
    """Add to each voxel what grids hold where its frames take it, summed over images: the adjoint.

    out (T, V): T parts of the images are summed apart, in parallel; the others as in
    `spread_moved`.
    """
    count, size = grids.shape[0], grids.shape[1]
    voxels, parts = len(points), len(out)
    stride = size + TAPS
    zero = table.dtype.type(0)
    for part in prange(parts):
        positions, share, taps, offsets, starts = _make_room(table.dtype)
        padded = np.empty(size * stride, table.dtype)
        for n in range(part, count, parts):
            for y in range(size):
                for x in range(size):
                    padded[y * stride + x] = grids[n, y, x]
                for x in range(TAPS):
                    padded[y * stride + size + x] = grids[n, y, x]
            for first in range(0, voxels, _BLOCK):
                here = min(_BLOCK, voxels - first)
                _move(points, index, weights, frames[n], first, here, positions, share)
                for axis in range(2):
                    _locate(positions[axis], 0, here, size, starts[axis], offsets[axis])
                    _evaluate(table, offsets[axis], taps[axis])
                for b in range(here):
                    total = zero
                    for r in range(TAPS):
                        row = starts[1, b] + r
                        row = row - size if row >= size else row
                        at = np.uintp(row * stride + starts[0, b])
                        total += taps[1, r, b] * _dot(padded, at, taps[0], b)
                    out[part, first + b] += share[b] * total

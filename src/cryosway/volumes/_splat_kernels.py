"""Compiled CPU kernels that spread weighted points onto image grids, and read them back (numba).

Each point gives its weight to 6 × 6 grid points around it, by the kernel of `_splat.py`, whose taps
are polynomials of the offset to the next grid point. They are evaluated for blocks of points, so
that the compiler makes vectors of it; the sums over taps are written out for the same reason.
`_splat.py` holds the plain torch twin.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: ANN001, ANN202
import numpy as np
from numba import njit, prange

#: Grid points that a point reaches along each axis, and degree of the polynomials.
TAPS = 6
DEGREE = 8
_BLOCK = 64
# Without "no NaNs": a position that is not a number must not become an address.
_FAST = {"contract", "reassoc", "arcp", "nsz"}
# Unsigned, so that numba does not look for negative indices.
_1, _2, _3, _4, _5 = (np.uintp(tap) for tap in range(1, TAPS))


@njit(inline="always")
def _locate(line, first, count, size, start, offset):
    """Give the first grid point of each point's taps, and its distance to it in [−1, 1)."""
    one = offset.dtype.type(1)
    half = offset.dtype.type(TAPS // 2)
    period = offset.dtype.type(size)
    for b in range(count):
        u = line[first + b] - half
        u -= period * np.floor(u / period)
        up = np.ceil(u)
        gap = up - u
        offset[b] = gap + gap - one
        start[b] = np.int32(up) if up < period else np.int32(0)


@njit(inline="always")
def _evaluate(table, offset, out):
    """Evaluate polynomials of degree 8 (table (9, 6), rising powers): out (6, block)."""
    for i in range(TAPS):
        c0, c1, c2, c3, c4 = table[0, i], table[1, i], table[2, i], table[3, i], table[4, i]
        c5, c6, c7, c8 = table[5, i], table[6, i], table[7, i], table[8, i]
        for b in range(_BLOCK):
            x = offset[b]
            high = (((c8 * x + c7) * x + c6) * x + c5) * x + c4
            out[i, b] = (((high * x + c3) * x + c2) * x + c1) * x + c0


@njit(inline="always")
def _spread_point(grid, at, weight, wx, b):
    grid[at] += weight * wx[0, b]
    grid[at + _1] += weight * wx[1, b]
    grid[at + _2] += weight * wx[2, b]
    grid[at + _3] += weight * wx[3, b]
    grid[at + _4] += weight * wx[4, b]
    grid[at + _5] += weight * wx[5, b]


@njit(inline="always")
def _dot(grid, at, w, b):
    low = grid[at] * w[0, b] + grid[at + _1] * w[1, b] + grid[at + _2] * w[2, b]
    high = grid[at + _3] * w[3, b] + grid[at + _4] * w[4, b] + grid[at + _5] * w[5, b]
    return low + high


@njit(parallel=True, fastmath=_FAST, error_model="numpy", cache=True, nogil=True)
def spread_points(xy, weights, table, grids):
    """Fill periodic grids with spread points.

    xy (n, 2, N), grid units; weights (n or 1, C, N); table (9, 6); grids (n, C, M, M), axes (y, x);
    all of one real dtype.
    """
    count, classes, size = grids.shape[0], grids.shape[1], grids.shape[2]
    points = xy.shape[2]
    stride = size + TAPS
    for n in prange(count):
        share = min(np.int64(n), weights.shape[0] - 1)
        # Columns past the end take what wraps around in x.
        padded = np.zeros((classes, size * stride), table.dtype)
        wx = np.empty((TAPS, _BLOCK), table.dtype)
        wy = np.empty((TAPS, _BLOCK), table.dtype)
        ox = np.zeros(_BLOCK, table.dtype)
        oy = np.zeros(_BLOCK, table.dtype)
        ix = np.zeros(_BLOCK, np.int32)
        iy = np.zeros(_BLOCK, np.int32)
        for first in range(0, points, _BLOCK):
            here = min(_BLOCK, points - first)
            _locate(xy[n, 0], first, here, size, ix, ox)
            _locate(xy[n, 1], first, here, size, iy, oy)
            _evaluate(table, ox, wx)
            _evaluate(table, oy, wy)
            for c in range(classes):
                grid = padded[c]
                amounts = weights[share, c]
                for b in range(here):
                    amount = amounts[first + b]
                    for r in range(TAPS):
                        row = iy[b] + r
                        row = row - size if row >= size else row
                        at = np.uintp(row * stride + ix[b])
                        _spread_point(grid, at, amount * wy[r, b], wx, b)
        for c in range(classes):
            for y in range(size):
                for x in range(size):
                    grids[n, c, y, x] = padded[c, y * stride + x]
                for x in range(TAPS):
                    grids[n, c, y, x] += padded[c, y * stride + size + x]


@njit(parallel=True, fastmath=_FAST, error_model="numpy", cache=True, nogil=True)
def gather_points(xy, weights, table, slopes, grids, xy_out, weights_out):
    """Give the gradients of ⟨grids, spread points⟩ with respect to positions and weights.

    slopes (9, 6): polynomials of the taps' derivatives by a point's position; xy_out (n, 2, N);
    weights_out (n, C, N); the others as in `spread_points`.
    """
    count, classes, size = grids.shape[0], grids.shape[1], grids.shape[2]
    points = xy.shape[2]
    stride = size + TAPS
    zero = table.dtype.type(0)
    for n in prange(count):
        share = min(np.int64(n), weights.shape[0] - 1)
        padded = np.empty((classes, size * stride), table.dtype)
        for c in range(classes):
            for y in range(size):
                for x in range(size):
                    padded[c, y * stride + x] = grids[n, c, y, x]
                for x in range(TAPS):
                    padded[c, y * stride + size + x] = grids[n, c, y, x]
        wx = np.empty((TAPS, _BLOCK), table.dtype)
        wy = np.empty((TAPS, _BLOCK), table.dtype)
        dx = np.empty((TAPS, _BLOCK), table.dtype)
        dy = np.empty((TAPS, _BLOCK), table.dtype)
        ox = np.zeros(_BLOCK, table.dtype)
        oy = np.zeros(_BLOCK, table.dtype)
        ix = np.zeros(_BLOCK, np.int32)
        iy = np.zeros(_BLOCK, np.int32)
        for first in range(0, points, _BLOCK):
            here = min(_BLOCK, points - first)
            _locate(xy[n, 0], first, here, size, ix, ox)
            _locate(xy[n, 1], first, here, size, iy, oy)
            _evaluate(table, ox, wx)
            _evaluate(table, oy, wy)
            _evaluate(slopes, ox, dx)
            _evaluate(slopes, oy, dy)
            for b in range(here):
                xy_out[n, 0, first + b] = zero
                xy_out[n, 1, first + b] = zero
            for c in range(classes):
                grid = padded[c]
                for b in range(here):
                    value, along_x, along_y = zero, zero, zero
                    for r in range(TAPS):
                        row = iy[b] + r
                        row = row - size if row >= size else row
                        at = np.uintp(row * stride + ix[b])
                        level = _dot(grid, at, wx, b)
                        value += wy[r, b] * level
                        along_y += dy[r, b] * level
                        along_x += wy[r, b] * _dot(grid, at, dx, b)
                    amount = weights[share, c, first + b]
                    weights_out[n, c, first + b] = value
                    xy_out[n, 0, first + b] += amount * along_x
                    xy_out[n, 1, first + b] += amount * along_y

"""Gaussians summed on a voxel grid (numba)."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: ANN001, ANN202
import numpy as np
from numba import njit, prange

_REACH = 5.0  # σ; exp(−12.5) = 4e-6


@njit(inline="always")
def _profile(centre, sigma, size, out):
    """Fill out[i] with exp(−(i − centre)²/2σ²) where it counts; give the range (first, last)."""
    first = max(0, int(np.ceil(centre - _REACH * sigma)))
    last = min(size, int(np.floor(centre + _REACH * sigma)) + 1)
    for i in range(first, last):
        out[i] = np.exp(-0.5 * ((i - centre) / sigma) ** 2)
    return first, last


@njit(parallel=True, error_model="numpy", cache=True, nogil=True)
def add_gaussians(positions, amounts, sigmas, grids):
    """Add amount · exp(−|v − x|²/2σ²) to the voxels v within 5σ, along each axis, of every bead.

    positions (n, N, 3), (x, y, z) in voxels from voxel 0, float64; amounts (n, N); sigmas (N,),
    voxels; grids (n, D, D, D), axes (z, y, x), float32. Beads outside the box are cut off.
    """
    size = grids.shape[1]
    for n in prange(grids.shape[0]):
        along = np.zeros((3, size))
        for j in range(positions.shape[1]):
            if not np.isfinite(positions[n, j].sum()):
                continue
            x0, x1 = _profile(positions[n, j, 0], sigmas[j], size, along[0])
            y0, y1 = _profile(positions[n, j, 1], sigmas[j], size, along[1])
            z0, z1 = _profile(positions[n, j, 2], sigmas[j], size, along[2])
            for z in range(z0, z1):
                plane = amounts[n, j] * along[2, z]
                for y in range(y0, y1):
                    line = plane * along[1, y]
                    for x in range(x0, x1):
                        grids[n, z, y, x] += np.float32(line * along[0, x])

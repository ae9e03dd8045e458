"""Densities of particles: on a grid for pictures, by mean shift for points that are supported."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

FloatArray = NDArray[np.floating]
Extent = tuple[float, float, float, float]
_NEAR = 0.05  # of the points, to which distances are measured
_SPREAD_FROM = 2000  # points are enough to measure them


def find_extent(x: FloatArray, y: FloatArray, trim_percent: float = 0.1) -> Extent:
    """Find the window that shows all but the most extreme points, with a margin.

    Parameters
    ----------
    x, y : ndarray, shape (N,)
        Coordinates.
    trim_percent : float
        Percentage of the points that may fall outside at each side.

    Returns
    -------
    tuple of float
        Left, right, bottom, top, in the units of `x` and `y`.
    """
    sides: list[float] = []
    for values in (x, y):
        finite = values[np.isfinite(values)]
        low, high = (
            np.percentile(finite, [trim_percent, 100 - trim_percent]) if len(finite) else (0.0, 1.0)
        )
        margin = 0.08 * (high - low) or 0.5
        sides += [float(low - margin), float(high + margin)]
    return sides[0], sides[1], sides[2], sides[3]


def smooth_histogram(
    x: FloatArray, y: FloatArray, extent: Extent, bins: int = 200, smooth_bins: float | None = None
) -> FloatArray:
    """Estimate the density of points by a smoothed histogram (a kernel density on a grid).

    Parameters
    ----------
    x, y : ndarray, shape (N,)
        Coordinates.
    extent : tuple of float
        Left, right, bottom, top.
    bins : int
        Cells along each axis.
    smooth_bins : float, optional
        Width of the Gaussian, cells; by default 0.75 of Scott's rule, N^(-1/6) standard
        deviations (Multivariate Density Estimation, 1992), of the group around a typical point:
        that of all points would blur groups that lie far apart.

    Returns
    -------
    ndarray, shape (bins, bins)
        Points per cell, row 0 at the bottom. Points outside count by what they reach inside.
    """
    left, right, bottom, top = extent
    across, along = bins / (right - left), bins / (top - bottom)
    if smooth_bins is None:
        scott = 0.75 * _local_spread(x * across, y * along) * max(len(x), 2) ** (-1 / 6)
        smooth_bins = float(np.clip(scott, 0.8, bins / 8))
    rim = int(np.ceil(4 * smooth_bins))
    counts, _, _ = np.histogram2d(
        (y - bottom) * along, (x - left) * across, bins + 2 * rim, [(-rim, bins + rim)] * 2
    )
    return np.asarray(ndimage.gaussian_filter(counts, smooth_bins, mode="constant"))[
        rim : rim + bins, rim : rim + bins
    ]


def snap_to_density(
    point: FloatArray, coordinates: FloatArray, bandwidth: float, *, iterations: int = 20
) -> FloatArray:
    """Move a point to where the particles around it are: mean shift with a Gaussian kernel.

    Comaniciu and Meer, IEEE Trans. PAMI 24, 603 (2002). The mean of a bent cluster may lie where
    no particle is; a map made there would show a state that nobody saw.

    Parameters
    ----------
    point : ndarray, shape (K,)
        Where to start.
    coordinates : ndarray, shape (N, K)
        The particles that count, in units of their posterior s.d.
    bandwidth : float
        Width of the kernel, same units.
    iterations : int
        Steps at most.

    Returns
    -------
    ndarray, shape (K,)
        The kernel-weighted mean of the particles around it.
    """
    here = np.asarray(point, dtype=np.float64)
    for _ in range(iterations):
        squares = ((coordinates - here) ** 2).sum(axis=1)
        weights = np.exp(-0.5 * (squares - squares.min()) / bandwidth**2)
        there = weights @ coordinates / weights.sum()
        if np.linalg.norm(there - here) < 1e-3 * bandwidth:
            return np.asarray(there)
        here = there
    return here


def count_support(
    latent: FloatArray, latents: FloatArray, latent_sd: FloatArray | None, scale: FloatArray
) -> float:
    """Estimate how many particles support a point of latent space.

    Each particle counts by the probability, relative to its peak, that its posterior gives to
    the point: exp(−½ Σ (z − zᵢ)² / sdᵢ²), with no s.d. under half the typical one.

    Parameters
    ----------
    latent : ndarray, shape (K,)
        The point.
    latents, latent_sd : ndarray, shape (N, K)
        Posterior means and standard deviations of the particles.
    scale : ndarray, shape (K,)
        Typical posterior s.d.

    Returns
    -------
    float
        Number of particles.
    """
    sd = np.broadcast_to(scale, latents.shape) if latent_sd is None else latent_sd
    sd = np.maximum(np.nan_to_num(sd), 0.5 * scale)
    squares = (((np.asarray(latents) - latent) / sd) ** 2).sum(axis=1)
    return float(np.exp(-0.5 * squares).sum())


def _local_spread(x: FloatArray, y: FloatArray) -> float:
    """Measure the s.d. of the group of points around a typical point.

    It is that of the Gaussian whose typical point (at half the peak's density) has as near the
    twentieth part of all points.
    """
    points = np.stack([x, y], axis=1)
    points = points[np.isfinite(points).all(axis=1)]
    points = points[:: max(1, -(-len(points) // _SPREAD_FROM))]
    if len(points) < 3:
        return 0.0
    nearest = max(2, round(_NEAR * len(points)))
    distance, _ = cKDTree(points).query(points, k=[nearest + 1])
    return float(np.median(distance) / np.sqrt(-4 * np.log1p(-nearest / len(points))))

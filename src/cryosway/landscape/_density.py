"""Densities of particles: on a grid for pictures, by mean shift for points that are supported."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatArray = NDArray[np.floating]
Extent = tuple[float, float, float, float]


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
        Width of the Gaussian, cells; by default 0.5 of Scott's rule, N^(-1/6) standard
        deviations (Multivariate Density Estimation, 1992), since landscapes are not Gaussian.

    Returns
    -------
    ndarray, shape (bins, bins)
        Points per cell, row 0 at the bottom.
    """
    left, right, bottom, top = extent
    counts, _, _ = np.histogram2d(y, x, bins=bins, range=((bottom, top), (left, right)))
    if smooth_bins is None:
        spread = np.mean([_robust_sd(x) / (right - left), _robust_sd(y) / (top - bottom)])
        scott = 0.5 * bins * spread * max(len(x), 2) ** (-1 / 6)
        smooth_bins = float(np.clip(scott, 0.8, bins / 8))
    return np.asarray(ndimage.gaussian_filter(counts, smooth_bins))


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


def _robust_sd(values: FloatArray) -> float:
    """Measure the spread so that outliers do not move it: 0.74 of the interquartile range."""
    finite = values[np.isfinite(values)]
    if len(finite) < 2:
        return 0.0
    low, high = np.percentile(finite, [25, 75])
    return float(0.7413 * (high - low)) or float(finite.std())

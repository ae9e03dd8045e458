"""Particles that do not belong: far from all others, badly explained, or of odd contrast."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from cryosway.landscape._clusters import cluster_particles
from cryosway.landscape._coordinates import fit_principal_axes

FloatArray = NDArray[np.floating]
BoolArray = NDArray[np.bool_]
FAR = 1e-4
"""A latent is far where a particle of the nearest group would be so far this seldom."""
ODD = 5.0
"""A likelihood or contrast is odd so many standard deviations away from the median."""
_GROUPS = 8
_SMALLEST_GROUP = 0.005  # of the particles: what is rarer may be junk itself


def flag_outliers(
    table: pd.DataFrame, latents: FloatArray, latent_sd: FloatArray | None = None
) -> NDArray[np.object_]:
    """Name the reason why a particle does not belong.

    Parameters
    ----------
    table : DataFrame
        One row per particle; ``log_likelihood`` and ``contrast`` are looked at where they are.
    latents, latent_sd : ndarray, shape (N, K)
        Posterior means and standard deviations; K may be 0.

    Returns
    -------
    ndarray, shape (N,), str
        Empty where there is nothing to say; else ``latent`` (far from every group of particles),
        ``likelihood`` (the model explains the image badly) and ``contrast``, joined by ``+``.
    """
    reasons = {
        "latent": find_far(latents, latent_sd) if latents.shape[1] else np.zeros(len(table), bool),
        "likelihood": _score(table, "log_likelihood") < -ODD,
        "contrast": np.abs(_score(table, "contrast")) > ODD,
    }
    told = np.full(len(table), "", object)
    for reason, flagged in reasons.items():
        joint = np.where(told[flagged] == "", "", "+")
        told[flagged] = told[flagged] + joint + reason
    return told


def find_far(latents: FloatArray, latent_sd: FloatArray | None = None) -> BoolArray:
    """Find latents that are far from every group of particles.

    Particles are grouped by k-means, so that no rare state is taken for junk because it is not the
    common one. Far is a squared Mahalanobis distance to the nearest group of at least 0.5 % of the
    particles that χ² exceeds with probability 10⁻⁴. A group's covariance is robust (of those within
    its 97.5 % ellipsoid, reweighted; Rousseeuw and Van Zomeren, JASA 85, 633, 1990) and no smaller
    than the uncertainty of one particle; where a particle is less certain than others, by so much
    larger.

    Parameters
    ----------
    latents, latent_sd : ndarray, shape (N, K)
        Posterior means and standard deviations.

    Returns
    -------
    ndarray, shape (N,), bool
    """
    axes = fit_principal_axes(latents, latent_sd)
    points = axes.project(latents)
    excess = _excess_variance(latent_sd, axes.scale, axes.directions, points.shape)
    groups = cluster_particles(points, min(_GROUPS, len(points)))
    enough = max(_SMALLEST_GROUP * len(points), 2.0 * points.shape[1] + 2)
    nearest = np.full(len(points), np.inf)
    for number in np.flatnonzero(groups.populations >= enough):
        members = points[groups.labels == number + 1]
        centre, covariance = _scatter(members, 0.0 if latent_sd is None else 1.0)
        nearest = np.minimum(nearest, _squared_distances(points, excess, centre, covariance))
    return np.isfinite(nearest) & (nearest > chi2.isf(FAR, points.shape[1]))


def _excess_variance(
    latent_sd: FloatArray | None, scale: FloatArray, directions: FloatArray, shape: tuple[int, int]
) -> FloatArray:
    """Variance beyond the typical one along each direction, shape (N, K)."""
    if latent_sd is None:
        return np.zeros(shape)
    variance = np.nan_to_num(latent_sd / scale) ** 2 - 1.0
    return np.asarray(np.maximum(variance @ (directions**2).T, 0.0))


def _scatter(members: FloatArray, least: float) -> tuple[FloatArray, FloatArray]:
    """Estimate centre (K,) and covariance (K, K) of a group robustly.

    No variance of the answer is below `least`.
    """
    size = members.shape[1]
    limit = chi2.ppf(0.975, size)
    shrinkage = chi2.cdf(limit, size + 2) / 0.975  # of the covariance, by leaving out the rest
    centre = np.median(members, axis=0)
    spread = 1.4826 * np.median(np.abs(members - centre), axis=0)
    covariance = np.diag(np.maximum(spread, 1e-6) ** 2)
    for _ in range(10):
        inside = members[_squared_distances(members, 0.0, centre, covariance) <= limit]
        if len(inside) <= size + 1:
            break
        centre = inside.mean(axis=0)
        covariance = np.cov(inside.T).reshape(size, size) / shrinkage + 1e-9 * np.eye(size)
    variance, axes = np.linalg.eigh(covariance)
    return centre, axes * np.maximum(variance, least) @ axes.T


def _squared_distances(
    points: FloatArray, excess: FloatArray | float, centre: FloatArray, covariance: FloatArray
) -> FloatArray:
    """Give squared Mahalanobis distances, shape (N,).

    The extra variance is diagonal in the axes of the covariance, so that one turn serves all.
    """
    variance, axes = np.linalg.eigh(covariance)
    turned = (points - centre) @ axes
    added = excess @ axes**2 if isinstance(excess, np.ndarray) else excess
    return np.asarray((turned**2 / (variance + added)).sum(axis=1))


def _score(table: pd.DataFrame, name: str) -> FloatArray:
    """Give standard deviations from the median, each side by its own quantile; 0 where unknown."""
    if name not in table:
        return np.zeros(len(table))
    values = table[name].to_numpy(np.float64)
    finite = values[np.isfinite(values)]
    if len(finite) < 10:
        return np.zeros(len(table))
    low, middle, high = np.percentile(finite, [15.87, 50.0, 84.13])
    least = 1e-6 * max(abs(middle), 1e-30)
    away = values - middle
    widths = np.where(away < 0, max(middle - low, least), max(high - middle, least))
    even = high - low <= least  # all alike: nothing was fitted
    return np.zeros(len(table)) if even else np.nan_to_num(away / widths)

"""Principal coordinates of the latents, in units of what the data can tell apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


@dataclass(frozen=True)
class PrincipalAxes:
    """Axes along which particles differ most beyond their uncertainty.

    A particle's coordinates are ``directions @ ((z - mean) / scale)``: a distance of 1 is one
    typical posterior standard deviation, whatever units the method gave its latents.

    Attributes
    ----------
    mean : ndarray, shape (K,)
        Mean latent.
    scale : ndarray, shape (K,)
        Root mean square posterior s.d. of each latent, the unit of whitening.
    directions : ndarray, shape (K, K)
        Orthonormal rows in the whitened space, largest variance first.
    variance : ndarray, shape (K,)
        Variance of the particles along each direction, in squared posterior s.d.
    """

    mean: FloatArray
    scale: FloatArray
    directions: FloatArray
    variance: FloatArray

    def project(self, latents: FloatArray) -> FloatArray:
        """Give the principal coordinates, shape (..., K), of latents, shape (..., K)."""
        return np.asarray((np.asarray(latents) - self.mean) / self.scale @ self.directions.T)

    def lift(self, coordinates: FloatArray) -> FloatArray:
        """Give the latents, shape (..., K), of principal coordinates, shape (..., K)."""
        return np.asarray(coordinates) @ self.directions * self.scale + self.mean


def fit_principal_axes(latents: FloatArray, latent_sd: FloatArray | None = None) -> PrincipalAxes:
    """Find the principal axes of the latents, whitened by their posterior.

    Parameters
    ----------
    latents : ndarray, shape (N, K)
        Posterior means.
    latent_sd : ndarray, shape (N, K), optional
        Posterior standard deviations; without them each latent's own s.d. is the unit.

    Returns
    -------
    PrincipalAxes

    Examples
    --------
    >>> z = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    >>> axes = fit_principal_axes(z, np.full((3, 2), 0.5))
    >>> axes.project(z)[:, 0]
    array([-4.,  0.,  4.])
    """
    latents = np.asarray(latents, dtype=np.float64)
    mean = latents.mean(axis=0)
    scale = _typical_sd(latents, latent_sd)
    white = (latents - mean) / scale
    covariance = white.T @ white / len(white)
    variance, vectors = np.linalg.eigh(covariance)
    directions = vectors[:, ::-1].T
    largest = np.abs(directions).argmax(axis=1)
    signs = np.sign(directions[np.arange(len(directions)), largest])
    return PrincipalAxes(mean, scale, directions * signs[:, None], variance[::-1].clip(min=0.0))


def _typical_sd(latents: FloatArray, latent_sd: FloatArray | None) -> FloatArray:
    """Root mean square posterior s.d.; where there is none, the spread of the latents, or 1."""
    spread = latents.std(axis=0)
    fallback = np.where(spread > 0, spread, 1.0)
    if latent_sd is None:
        return fallback
    squares = np.asarray(latent_sd, dtype=np.float64) ** 2
    typical = np.sqrt(np.where(np.isfinite(squares), squares, 0.0).mean(axis=0))
    return np.asarray(np.where(typical > 0, typical, fallback))

"""How far two latent spaces of the same particles agree, whatever their units and directions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Alignment:
    """An affine map between latent spaces: z ↦ z · slope + offset.

    Attributes
    ----------
    slope
        Shape (K, L).
    offset
        Shape (L,).
    """

    slope: FloatArray
    offset: FloatArray

    def __call__(self, latents: ArrayLike) -> FloatArray:
        """Map latents (..., K) to (..., L)."""
        return np.asarray(np.asarray(latents, np.float64) @ self.slope + self.offset)


def align_latents(latents: ArrayLike, target: ArrayLike) -> Alignment:
    """Find the affine map that brings latents (N, K) nearest to others (N, L), by least squares.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(50, 2))
    >>> bool(np.allclose(align_latents(z, 2 * z[:, ::-1] + 1)(z), 2 * z[:, ::-1] + 1))
    True
    """
    z, wanted = np.asarray(latents, np.float64), np.asarray(target, np.float64)
    centre, middle = z.mean(0), wanted.mean(0)
    slope = np.linalg.lstsq(z - centre, wanted - middle, rcond=1e-9)[0]
    return Alignment(np.asarray(slope), middle - centre @ slope)


def canonical_correlations(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Canonical correlations of two descriptions (N, K) and (N, L), from large to small.

    The k-th is the correlation of the k-th pair of directions, chosen to agree best: 1 for the
    same up to an affine map, about √((K + L) / N) at most for descriptions without relation.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(2000, 2))
    >>> canonical_correlations(z, z @ [[1, 2], [0, 1]] + 5).round(6)
    array([1., 1.])
    """
    bases = []
    for values in (a, b):
        table = np.asarray(values, np.float64)
        table = table - table.mean(0)
        left, size, _ = np.linalg.svd(table, full_matrices=False)
        bases.append(left[:, size > 1e-9 * max(size.max(initial=0), 1e-30)])
    found = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    return np.asarray(np.clip(found, 0, 1))


def correlate_columns(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Correlation of each column of (N, K) with that of another (N, K); 0 where one is constant."""
    first, second = (np.asarray(values, np.float64) for values in (a, b))
    first, second = first - first.mean(0), second - second.mean(0)
    power = np.square(first).sum(0) * np.square(second).sum(0)
    return np.asarray((first * second).sum(0) / np.sqrt(np.maximum(power, 1e-30)))

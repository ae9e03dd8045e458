"""Traversals of latent space."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
FEWEST = 10.0
"""Points of a path with fewer particles at them have next to none."""
FEWEST_OF_MOST = 0.01  # or than this share of what the point with most has


@dataclass(frozen=True)
class Traversal:
    """Points along a principal direction.

    Attributes
    ----------
    direction : int
        Number of the principal direction, from 1.
    positions : ndarray, shape (P,)
        Coordinate along the direction, in posterior s.d., evenly spaced.
    coordinates : ndarray, shape (P, K)
        The points, principal coordinates.
    """

    direction: int
    positions: FloatArray
    coordinates: FloatArray


def trace_direction(
    coordinates: FloatArray,
    direction: int,
    points: int = 7,
    percentiles: tuple[float, float] = (5.0, 95.0),
) -> Traversal:
    """Walk along a principal direction through the particles.

    Positions run evenly between two percentiles of the particles' coordinate. At each, the other
    coordinates are the mean of the particles found there (Gaussian kernel as wide as the step):
    straight where the cloud is straight, and with the cloud where it bends, so that every point
    is supported by particles.

    Parameters
    ----------
    coordinates : ndarray, shape (N, K)
        Principal coordinates of the particles.
    direction : int
        Number of the direction, from 1.
    points : int
        Number of points.
    percentiles : tuple of float
        Where to begin and to end.

    Returns
    -------
    Traversal
    """
    along = coordinates[:, direction - 1]
    first, last = np.percentile(along, percentiles)
    positions = np.linspace(first, last, points)
    width = max((last - first) / max(points - 1, 1), 1e-9)
    path = np.array([_mean_near(coordinates, along, position, width) for position in positions])
    path[:, direction - 1] = positions
    return Traversal(direction, positions, path)


def find_sparse(support: Sequence[float] | FloatArray) -> NDArray[np.bool_]:
    """Tell which points of a path have next to no particles behind them.

    Parameters
    ----------
    support : sequence of float, (P,)
        Particles at each point; infinite where that is not known.

    Returns
    -------
    ndarray, shape (P,), bool

    Examples
    --------
    >>> find_sparse([80.0, 0.2, 60.0]).tolist(), find_sparse([9e4, 500.0, 8e4]).tolist()
    ([False, True, False], [False, True, False])
    """
    known = np.asarray(support, np.float64)
    most = max(known[np.isfinite(known)], default=0.0)
    return np.asarray(known < max(FEWEST, FEWEST_OF_MOST * most))


def _mean_near(
    coordinates: FloatArray, along: FloatArray, position: float, width: float
) -> FloatArray:
    squares = (along - position) ** 2
    weights = np.exp(-0.5 * (squares - squares.min()) / width**2)
    return np.asarray(weights @ coordinates / weights.sum())

"""K-means clusters of the particles."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryosway.engine import Progress
from cryosway.landscape._density import snap_to_density

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.int64]
FIT_AT_MOST = 100_000
"""Beyond so many particles the centres are fitted on an even sample of them."""
PARTICLES_PER_CLUSTER = 200
MOST_CLUSTERS = 8
_STARTS = 10


@dataclass(frozen=True)
class Clusters:
    """Clusters, numbered from 1 along the first principal direction.

    Attributes
    ----------
    labels : ndarray, shape (N,), int32
        Cluster of each particle, from 1.
    centres : ndarray, shape (C, K)
        Centre of each cluster among its particles, principal coordinates.
    populations : ndarray, shape (C,), int
        Particles in each.
    """

    labels: NDArray[np.int32]
    centres: FloatArray
    populations: NDArray[np.int64]


def choose_cluster_count(particles: int) -> int:
    """Choose a number of clusters that leaves each enough particles for a map.

    Parameters
    ----------
    particles : int
        Number of particles.

    Returns
    -------
    int
        One per 200 particles, from 2 to 8 (1 where there is a single particle).
    """
    return int(min(np.clip(particles // PARTICLES_PER_CLUSTER, 2, MOST_CLUSTERS), particles))


def cluster_particles(coordinates: FloatArray, count: int, *, seed: int = 0) -> Clusters:
    """Group particles by k-means (k-means++ start, seeded, best of ten).

    Centres are then moved by mean shift to where the cluster's particles are dense, so that a
    map made there is supported.

    Parameters
    ----------
    coordinates : ndarray, shape (N, K)
        Principal coordinates of the particles, in units of their posterior s.d.
    count : int
        Number of clusters.
    seed : int
        Same seed, same clusters.

    Returns
    -------
    Clusters
    """
    sample = coordinates[:: max(1, -(-len(coordinates) // FIT_AT_MOST))]
    means = _fit_centres(sample, count, seed)
    means = means[np.argsort(means[:, 0], kind="stable")]
    labels = assign_nearest(coordinates, means)
    members = [coordinates[labels == number] for number in range(count)]
    centres = [_central_point(mean, group) for mean, group in zip(means, members, strict=True)]
    populations = np.bincount(labels, minlength=count)
    return Clusters((labels + 1).astype(np.int32), np.array(centres), populations)


def _fit_centres(sample: FloatArray, count: int, seed: int) -> FloatArray:
    """Give the centres of the best of ten starts, shape (count, K), as ``n_init=10`` does."""
    from sklearn.cluster import KMeans
    from sklearn.utils import check_random_state

    draws = check_random_state(seed)
    best: Any = None
    with Progress(_STARTS, "k-means") as progress:
        for _ in range(_STARTS):
            found = KMeans(count, n_init=1, random_state=draws).fit(sample)
            if best is None or found.inertia_ < best.inertia_:
                best = found
            progress.advance()
    return np.asarray(best.cluster_centers_)


def _central_point(mean: FloatArray, members: FloatArray) -> FloatArray:
    if len(members) == 0:
        return mean
    radius = float(np.sqrt(((members - mean) ** 2).sum(axis=1).mean()))
    return snap_to_density(mean, members, bandwidth=max(0.5 * radius, 1e-6))


def assign_nearest(coordinates: FloatArray, centres: FloatArray, block: int = 65_536) -> IntArray:
    """Give the index of the nearest centre of each point, shape (N,)."""
    labels = np.empty(len(coordinates), np.int64)
    for start in range(0, len(coordinates), block):
        part = coordinates[start : start + block]
        squares = (centres**2).sum(axis=1) - 2 * part @ centres.T
        labels[start : start + block] = squares.argmin(axis=1)
    return labels

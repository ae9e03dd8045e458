"""Clusters of particles where they are dense, of any shape and number: HDBSCAN."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

FloatArray = NDArray[np.floating]
FIT_AT_MOST = 10_000
SMALLEST = 0.02
"""A cluster holds at least this share of the particles."""
_NEIGHBOURS = 5


def cluster_by_density(
    coordinates: FloatArray, smallest: float = SMALLEST, fit_at_most: int = FIT_AT_MOST
) -> NDArray[np.int32]:
    """Find clusters that gaps of density part (Campello, Moulavi and Sander, PAKDD 2013).

    Of large sets an even sample is clustered; every other particle is given what most of its five
    nearest sampled neighbours are.

    Parameters
    ----------
    coordinates : ndarray, shape (N, d)
        Leading principal coordinates.
    smallest : float
        Share of the particles that makes a cluster.
    fit_at_most : int
        Particles in the sample.

    Returns
    -------
    ndarray, shape (N,), int32
        Clusters from 1, along the first coordinate; 0 between them.
    """
    from sklearn.cluster import HDBSCAN

    sample = coordinates[:: max(1, -(-len(coordinates) // fit_at_most))]
    size = max(5, int(smallest * len(sample)))
    if len(sample) < 2 * size:
        return np.ones(len(coordinates), np.int32)
    found = HDBSCAN(min_cluster_size=size, min_samples=max(5, size // 10), copy=True).fit(sample)
    labels = _number_along_first(found.labels_, sample[:, 0])
    if len(sample) == len(coordinates):
        return labels
    _, near = cKDTree(sample).query(coordinates, k=_NEIGHBOURS)
    votes = np.stack([(labels[near] == number).sum(1) for number in range(labels.max() + 1)])
    return votes.argmax(axis=0).astype(np.int32)


def _number_along_first(labels: NDArray[np.integer], first: FloatArray) -> NDArray[np.int32]:
    """Give clusters the numbers 1, 2, … by their median of the first coordinate; −1 becomes 0."""
    numbers = range(labels.max() + 1)
    order = np.argsort([np.median(first[labels == number]) for number in numbers])
    rank = np.zeros(len(order) + 1, np.int32)  # the last entry is for −1
    rank[order] = np.arange(1, len(order) + 1)
    return rank[labels]

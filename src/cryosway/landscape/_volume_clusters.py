"""Agglomerative clusters of volumes, of which single odd volumes are none."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.int64]
Linkage = Literal["average", "ward", "complete"]
MOST_CLUSTERS = 10
SMALLEST = 0.05
"""Share of the volumes that makes a cluster, or a quarter of an even share; three, at least."""
NO_STRUCTURE = 0.25
"""Mean silhouette under which clusters are taken for chance (Kaufman and Rousseeuw, 1990)."""


def cluster_volumes(
    distances: FloatArray, count: int | None = None, linkage: Linkage = "average"
) -> IntArray:
    """Cluster volumes by their distances, bottom up.

    Branches of the tree with too few volumes are no clusters: their volumes join the cluster that
    is nearest on average.

    Parameters
    ----------
    distances : ndarray, shape (n, n)
        Between volumes.
    count : int, optional
        Clusters, at most; by default the number from 2 to 10 with the largest mean silhouette
        (Rousseeuw, J. Comput. Appl. Math. 20, 53, 1987), and 1 where that is under 0.25.
    linkage : str
        How the distance of two clusters is measured: ``average``, ``ward`` or ``complete``.

    Returns
    -------
    ndarray, shape (n,), int
        Clusters from 1, the most populous first.
    """
    from scipy.cluster.hierarchy import linkage as grow_tree
    from scipy.spatial.distance import squareform

    tree = grow_tree(squareform(distances, checks=False), method=linkage)
    if count is not None:
        return _cut(tree, distances, count)
    cuts = [_cut(tree, distances, number) for number in range(2, MOST_CLUSTERS + 1)]
    scores = [_measure_silhouette(distances, labels) for labels in cuts]
    best = int(np.argmax(scores))
    return cuts[best] if scores[best] > NO_STRUCTURE else np.ones(len(distances), np.int64)


def _cut(tree: FloatArray, distances: FloatArray, count: int) -> IntArray:
    """Cut the tree where `count` branches, or as many as there are, hold enough volumes."""
    from scipy.cluster.hierarchy import fcluster

    smallest = max(3, round(min(SMALLEST, 0.25 / count) * len(distances)))
    best, large = np.ones(len(distances), np.int64), np.array([1])
    for branches in range(count, len(distances)):
        labels = fcluster(tree, branches, criterion="maxclust").astype(np.int64)
        found = np.flatnonzero(np.bincount(labels) >= smallest)
        if len(found) > len(large):
            best, large = labels, found
        if len(found) == count:
            break
    columns = [distances[:, best == number].mean(axis=1) for number in large]
    nearest = large[np.argmin(columns, axis=0)]
    return _number_by_size(np.where(np.isin(best, large), best, nearest))


def _number_by_size(labels: NDArray[np.integer]) -> IntArray:
    names, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(1, len(names) + 1)
    return rank[places]


def _measure_silhouette(distances: FloatArray, labels: IntArray) -> float:
    from sklearn.metrics import silhouette_score

    if labels.max() < 2:
        return 0.0
    return float(silhouette_score(distances, labels, metric="precomputed"))

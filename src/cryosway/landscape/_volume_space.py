"""A landscape of volumes instead of latents: their principal components, and who is where."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryosway.landscape._volume_clusters import Linkage, cluster_volumes

FloatArray = NDArray[np.floating]
_LENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)  # of the kernel, median distances to the nearest neighbour
_RIDGES = (1e-6, 1e-4, 1e-2, 1e-1)
_BLOCK = 16_384


@dataclass(frozen=True, eq=False)
class VolumeSpace:
    """Principal components of volumes.

    Attributes
    ----------
    scores : ndarray, shape (n, C)
        Of each volume along each component.
    explained : ndarray, shape (C,)
        Share of the volumes' variance.
    clusters : ndarray, shape (n,), int
        Cluster of each volume, from 1, the most populous first.
    medoids : ndarray, shape (G,), int
        Of each cluster, the volume that is nearest to the others on average.
    """

    scores: FloatArray
    explained: FloatArray
    clusters: NDArray[np.int64]
    medoids: NDArray[np.int64]


def analyse_volumes(
    voxels: FloatArray,
    components: int = 10,
    clusters: int | None = None,
    linkage: Linkage = "average",
) -> VolumeSpace:
    """Find principal components of volumes, and agglomerative clusters of them.

    Parameters
    ----------
    voxels : ndarray, shape (n, V), float32
        Voxels within the mask, of each volume.
    components : int
        How many, at most.
    clusters : int, optional
        How many, at most; by default the number from 2 to 10 that parts them best, and 1 where
        none does (see `cluster_volumes`).
    linkage : str
        How the distance of two clusters is measured.

    Returns
    -------
    VolumeSpace
    """
    away = voxels - voxels.mean(axis=0)
    gram = (away @ away.T).astype(np.float64)
    variance, vectors = np.linalg.eigh(gram)
    kept = slice(None, -1 - min(components, len(voxels) - 1), -1)
    variance, vectors = variance[kept].clip(min=0.0), vectors[:, kept]
    vectors *= np.where(vectors[np.abs(vectors).argmax(axis=0), range(len(variance))] < 0, -1, 1)
    squares = np.diag(gram)[:, None] + np.diag(gram) - 2 * gram
    distances = np.sqrt(squares.clip(min=0.0))
    np.fill_diagonal(distances, 0.0)
    labels = cluster_volumes(distances, clusters, linkage)
    groups = [np.flatnonzero(labels == number) for number in range(1, int(labels.max()) + 1)]
    medoids = [group[distances[np.ix_(group, group)].sum(axis=1).argmin()] for group in groups]
    total = max(float(np.trace(gram)), 1e-30)
    return VolumeSpace(vectors * np.sqrt(variance), variance / total, labels, np.array(medoids))


@dataclass(frozen=True, eq=False)
class LatentMapping:
    """A smooth map from latents to scores, fitted to examples.

    Attributes
    ----------
    examples : ndarray, shape (n, K)
        Coordinates of the examples.
    weights : ndarray, shape (n, C)
        Of the kernel at each example.
    mean : ndarray, shape (C,)
        Of the scores.
    length : float
        Of the kernel.
    r_squared : ndarray, shape (C,)
        1 − squared error / variance of each score, every example left out in turn.
    """

    examples: FloatArray
    weights: FloatArray
    mean: FloatArray
    length: float
    r_squared: FloatArray

    def __call__(self, coordinates: FloatArray) -> FloatArray:
        """Give the scores, shape (N, C), at coordinates, shape (N, K)."""
        answer = np.empty((len(coordinates), len(self.mean)), np.float32)
        for start in range(0, len(coordinates), _BLOCK):
            part = slice(start, start + _BLOCK)
            kernel = _kernel(coordinates[part], self.examples, self.length)
            answer[part] = kernel @ self.weights + self.mean
        return answer


def fit_mapping(coordinates: FloatArray, scores: FloatArray) -> LatentMapping:
    """Fit scores of volumes by kernel ridge regression on the coordinates of their latents.

    Length of the (Gaussian) kernel and ridge are those that predict best each example from the
    others, which is known in closed form: the error of example i is r_i / (1 − H_ii).

    Parameters
    ----------
    coordinates : ndarray, shape (n, K)
        Principal coordinates where volumes were made.
    scores : ndarray, shape (n, C)
        Their scores.

    Returns
    -------
    LatentMapping
    """
    squares = _squared_distances(coordinates, coordinates)
    np.fill_diagonal(squares, np.inf)
    near = np.sqrt(np.median(squares.min(axis=1))) or 1.0
    mean, spread = scores.mean(axis=0), scores.var(axis=0).clip(min=1e-30)
    best: tuple[float, LatentMapping] | None = None
    for length in (near * factor for factor in _LENGTHS):
        kernel = _kernel(coordinates, coordinates, length)
        values, vectors = np.linalg.eigh(kernel)
        for ridge in _RIDGES:
            inverse = vectors / (values.clip(min=0.0) + ridge) @ vectors.T
            weights = inverse @ (scores - mean)
            errors = (weights / np.diag(inverse)[:, None]) ** 2
            total = float(errors.sum())
            if best is None or total < best[0]:
                r_squared = 1 - errors.mean(axis=0) / spread
                best = total, LatentMapping(coordinates, weights, mean, length, r_squared)
    assert best is not None
    return best[1]


def _squared_distances(a: FloatArray, b: FloatArray) -> FloatArray:
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(squares.clip(min=0.0))


def _kernel(a: FloatArray, b: FloatArray, length: float) -> FloatArray:
    return np.asarray(np.exp(-0.5 * _squared_distances(a, b) / length**2))

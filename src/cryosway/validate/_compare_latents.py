"""How far two sets of latents of the same particles say the same, by affine maps and beyond."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from cryosway._errors import CryoswayError
from cryosway.validate._latent_agreement import align_latents, canonical_correlations

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_FOLDS = 5
_BLOCK = 100_000


@dataclass(frozen=True, eq=False)
class LatentAgreement:
    """Agreement of latents a and b of the same particles, up to affine maps.

    Attributes
    ----------
    canonical
        Shape (min(K, L),): canonical correlations, the largest first.
    by_chance
        The largest canonical correlation to be expected of N particles whose latents have nothing
        to do with each other, (√K + √L) / √N (Wachter, Ann. Statist. 8, 1980, for large N).
    forward, backward
        Share of the variance of b that an affine map of a predicts for particles that the map
        was not fitted on, and the other way; below 0 is no better than the mean.
    """

    canonical: FloatArray
    by_chance: float
    forward: float
    backward: float


def compare_latents(a: ArrayLike, b: ArrayLike, seed: int = 0) -> LatentAgreement:
    """Compare two sets of latents by what affine maps can see.

    Parameters
    ----------
    a, b
        Shapes (N, K) and (N, L), row by row of the same particles.
    seed
        Of the five folds.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(500, 2))
    >>> round(compare_latents(z, z @ [[2, 1], [0, 3]] + 5).forward, 6)
    1.0
    """
    first, second = _check(a, b)
    by_chance = sum(np.sqrt(one.shape[1] / len(one)) for one in (first, second))
    return LatentAgreement(
        canonical_correlations(first, second),
        min(float(by_chance), 1.0),
        _predict(first, second, seed),
        _predict(second, first, seed),
    )


def _predict(a: FloatArray, b: FloatArray, seed: int) -> float:
    """Give the share of the variance of b that an affine map of a predicts, cross-validated."""
    fold = np.random.default_rng(seed).permutation(len(a)) % _FOLDS
    left = 0.0
    for number in range(_FOLDS):
        out = fold == number
        left += float(np.square(b[out] - align_latents(a[~out], b[~out])(a[out])).sum())
    return 1 - left / max(float(np.square(b - b.mean(axis=0)).sum()), 1e-30)


def share_neighbours(
    a: ArrayLike, b: ArrayLike, neighbours: int = 50, *, sample: int = 20_000
) -> tuple[FloatArray, float]:
    """Give for every particle the share of its nearest neighbours that both latents agree on.

    Parameters
    ----------
    a, b
        Shapes (N, K) and (N, L).
    neighbours
        How many nearest ones, the particle itself not counted.
    sample
        Neighbours are looked for among so many particles at most, evenly spaced.

    Returns
    -------
    shared
        Shape (N,), 0 to 1.
    chance
        Its mean for latents that have nothing to do with each other.
    """
    first, second = _check(a, b)
    rows = np.arange(0, len(first), max(1, -(-len(first) // sample)))
    count = min(neighbours, len(rows) - 1)
    if count < 1:
        msg = f"{len(first)} particles have no neighbours to compare; two jobs need more in common"
        raise CryoswayError(msg)
    trees = cKDTree(first[rows]), cKDTree(second[rows])
    shared = np.empty(len(first))
    for start in range(0, len(first), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(first)))
        near = [
            _find_neighbours(tree, points, block, rows, count)
            for tree, points in zip(trees, (first, second), strict=True)
        ]
        # What is in both lists stands twice in a row once they are sorted together.
        both = np.sort(np.concatenate(near, axis=1), axis=1)
        shared[block] = (both[:, 1:] == both[:, :-1]).sum(axis=1) / count
    return shared, count / (len(rows) - 1)


def _find_neighbours(
    tree: cKDTree, points: FloatArray, block: IntArray, rows: IntArray, count: int
) -> IntArray:
    """Give the indices into `rows` (B, count) of the nearest ones but the particle itself."""
    near = np.asarray(tree.query(points[block], count + 1, workers=-1)[1], np.int64)
    own = rows[near] == block[:, None]
    # Drop the particle itself, or where it is not among them the farthest.
    drop = np.where(own.any(axis=1), own.argmax(axis=1), count)
    kept = np.ones(near.shape, bool)
    kept[np.arange(len(near)), drop] = False
    return near[kept].reshape(len(near), count)


def _check(a: ArrayLike, b: ArrayLike) -> tuple[FloatArray, FloatArray]:
    first, second = (np.asarray(points, np.float64) for points in (a, b))
    if len(first) != len(second):
        msg = (
            f"latents of {len(first)} and {len(second)} particles are compared; give both for the "
            "same particles"
        )
        raise CryoswayError(msg)
    return first.reshape(len(first), -1), second.reshape(len(second), -1)

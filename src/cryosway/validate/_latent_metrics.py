"""What latents know of a truth: shared neighbours and information imbalance, as in CryoBench."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cryosway._errors import CryoswayError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_SHARES = np.arange(1, 21) / 100  # of a subset: 200 … 4000 of CryoBench's 20,000 points
_IMBALANCE_NEIGHBOURS = (1, 3, 10, 30)
_ELEMENTS = 2**24  # of one block of a distance matrix


@dataclass(frozen=True, eq=False)
class NeighbourhoodSimilarity:
    """How many nearest neighbours two descriptions of the same points share.

    Attributes
    ----------
    neighbours
        Shape (K,): numbers of neighbours, the point itself not counted.
    percent
        Shape (K,): mean over points of the share of common ones among the neighbours and the
        point itself, %.
    chance
        Shape (K,): `percent` of two descriptions that have nothing to do with each other.
    """

    neighbours: IntArray
    percent: FloatArray
    chance: FloatArray

    @property
    def mean(self) -> float:
        """Mean of `percent` over the numbers of neighbours."""
        return float(self.percent.mean())


@dataclass(frozen=True, eq=False)
class InformationImbalance:
    """How well near neighbours in one description predict those in another.

    Attributes
    ----------
    neighbours
        Shape (K,): numbers of neighbours k.
    forward, backward
        Shape (K,): Δ(a → b) and Δ(b → a). (k + 1) / N where the first description holds the second
        one exactly, about 1 where it knows nothing of it.
    """

    neighbours: IntArray
    forward: FloatArray
    backward: FloatArray

    @property
    def mean_forward(self) -> float:
        """Mean of `forward` over the numbers of neighbours."""
        return float(self.forward.mean())

    @property
    def mean_backward(self) -> float:
        """Mean of `backward` over the numbers of neighbours."""
        return float(self.backward.mean())


def neighbourhood_similarity(
    truth: ArrayLike,
    latents: ArrayLike,
    neighbours: Sequence[int] | None = None,
    *,
    subsets: int = 5,
    seed: int = 0,
) -> NeighbourhoodSimilarity:
    """Percentage of nearest neighbours that truth and latents have in common.

    Points are taken in interleaved subsets, of each point the k nearest by Euclidean distance
    and the point itself: percent(k) = 100 ⟨|N_truth ∩ N_latent|⟩ / (k + 1), averaged over points
    and subsets (CryoBench, Jeon et al. 2024). Points at equal distance, as those of one state, are
    put in a random order.

    Parameters
    ----------
    truth, latents
        Shapes (N, a) and (N, b), or (N,).
    neighbours
        Numbers k; 1, 2, … 20 % of a subset by default, which are CryoBench's 200, 400, … 4000
        for 100,000 points.
    subsets
        Every how-manyth point belongs to one subset.
    seed
        Of the order among equals.

    Raises
    ------
    CryoswayError
        If the numbers of points differ, or a subset has not more points than neighbours asked for.

    Examples
    --------
    >>> circle = np.random.default_rng(0).normal(size=(500, 2))
    >>> neighbourhood_similarity(circle, 3 * circle, [10]).percent
    array([100.])
    """
    a, b = _check_pair(truth, latents)
    rng = np.random.default_rng(seed)
    smallest = len(a) // subsets
    wanted = np.maximum(_SHARES * smallest, 1) if neighbours is None else neighbours
    counts = np.unique(np.asarray(wanted, np.int64))
    _check_counts(counts, smallest)
    sums = np.zeros(len(counts))
    for start in range(subsets):
        rows = rng.permutation(np.arange(start, len(a), subsets))
        sums += _count_shared(a[rows], b[rows], counts)
    chance = (1 + counts * counts / max(smallest - 1, 1)) / (counts + 1)
    return NeighbourhoodSimilarity(counts, 100 * sums / len(a) / (counts + 1), 100 * chance)


def information_imbalance(
    a: ArrayLike,
    b: ArrayLike,
    neighbours: Sequence[int] = _IMBALANCE_NEIGHBOURS,
    *,
    sample: int = 2000,
    seed: int = 0,
) -> InformationImbalance:
    """Information imbalance of two descriptions of the same points, in both directions.

    Δ(a → b) = 2/N ⟨rank in b | rank in a ≤ k⟩: the mean distance rank in b, from 1, of the
    k nearest neighbours in a (Glielmo et al. 2022). A good latent has a small Δ to the state, and
    Δ near 1 to pose and CTF. Points at equal distance are put in a random order.

    Parameters
    ----------
    a, b
        Shapes (N, p) and (N, q), or (N,).
    neighbours
        Numbers k; CryoBench averages over 1, 3, 10 and 30.
    sample
        Points that are used, drawn at random where there are more.
    seed
        Of the sample and of the order among equals.

    Raises
    ------
    CryoswayError
        If the numbers of points differ, or there are not more points than neighbours asked for.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(1000, 2))
    >>> information_imbalance(points, points, [1]).forward
    array([0.002])
    """
    first, second = _check_pair(a, b)
    rows = np.random.default_rng(seed).permutation(len(first))[:sample]
    first, second = first[rows], second[rows]
    counts = np.unique(np.asarray(neighbours, np.int64))
    _check_counts(counts, len(first))
    return InformationImbalance(
        counts, _mean_ranks(first, second, counts), _mean_ranks(second, first, counts)
    )


def _check_pair(a: ArrayLike, b: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Both as (N, ·), float64."""
    first, second = (np.asarray(points, np.float64) for points in (a, b))
    if len(first) != len(second):
        msg = (
            f"two descriptions of the same points are compared, but there are {len(first)} and "
            f"{len(second)} of them; give both for the same particles"
        )
        raise CryoswayError(msg)
    return first.reshape(len(first), -1), second.reshape(len(first), -1)


def _check_counts(counts: IntArray, points: int) -> None:
    if len(counts) == 0 or counts[0] < 1 or counts[-1] >= points:
        asked = ", ".join(map(str, counts)) or "none"
        msg = (
            f"{asked} neighbours are asked for among {points} points; give numbers from 1 to "
            f"{points - 1}, or more points"
        )
        raise CryoswayError(msg)


def _blocks(points: FloatArray) -> Iterator[slice]:
    """Rows whose distances to all points fit into memory."""
    step = max(1, _ELEMENTS // len(points))
    return (slice(start, start + step) for start in range(0, len(points), step))


def _measure_distances(points: FloatArray, rows: slice) -> FloatArray:
    """Squared distances (rows, N), by differences so that equal points have exactly 0.

    A point is nearer to itself than to its equals.
    """
    squares = np.zeros((len(points[rows]), len(points)))
    for column in points.T:
        squares += np.square(column[rows, None] - column)
    own = np.arange(len(points))[rows]
    squares[own - own[0], own] = -1.0
    return squares


def _find_nearest(distances: FloatArray, count: int) -> IntArray:
    """Give the indices (rows, count) of the nearest points, in order."""
    if count < distances.shape[1]:
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
    else:
        nearest = np.broadcast_to(np.arange(count), distances.shape)
    order = np.argsort(np.take_along_axis(distances, nearest, 1), axis=1, kind="stable")
    return np.asarray(np.take_along_axis(nearest, order, 1), np.int64)


def _count_shared(a: FloatArray, b: FloatArray, counts: IntArray) -> FloatArray:
    """Sum over points of the common ones among the point and its k nearest, shape (K,)."""
    reach = int(counts[-1]) + 1
    places = np.arange(reach)[None]
    histogram = np.zeros(reach, np.int64)
    for rows in _blocks(a):
        place = np.full((len(a[rows]), len(a)), reach)
        np.put_along_axis(place, _find_nearest(_measure_distances(a, rows), reach), places, 1)
        nearest = _find_nearest(_measure_distances(b, rows), reach)
        later = np.maximum(np.take_along_axis(place, nearest, 1), places)
        histogram += np.bincount(later.ravel(), minlength=reach + 1)[:reach]
    return np.asarray(np.cumsum(histogram)[counts], np.float64)


def _mean_ranks(a: FloatArray, b: FloatArray, counts: IntArray) -> FloatArray:
    """2/N times the mean rank in b of the k nearest neighbours in a, shape (K,)."""
    reach = int(counts[-1])
    totals = np.zeros(reach)
    for rows in _blocks(a):
        ranks = _rank(_measure_distances(b, rows))
        nearest = _find_nearest(_measure_distances(a, rows), reach + 1)[:, 1:]
        totals += np.take_along_axis(ranks, nearest, 1).sum(axis=0)
    return np.asarray(2 * np.cumsum(totals)[counts - 1] / counts / len(a) ** 2)


def _rank(distances: FloatArray) -> IntArray:
    """Place of every point in the order of distances, 0 for the point itself."""
    order = np.argsort(distances, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(distances.shape[1])[None], 1)
    return np.asarray(ranks, np.int64)

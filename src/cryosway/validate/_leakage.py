"""Whether latents tell of what they should not know: neighbours in them that are alike in it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Leakage:
    """What neighbours in the latents share of something else.

    Attributes
    ----------
    share
        Of its variance that latents tell: Var(E[y | z]) / Var(y), about 0 where they tell nothing.
    chance
        The largest of 95 % of random orders of the particles.
    p_value
        Chance of a share as large in a random order.
    """

    share: float
    chance: float
    p_value: float


def find_neighbours(latents: ArrayLike, count: int = 10) -> IntArray:
    """Find the nearest particles of each, itself left out: (N, count)."""
    points = np.asarray(latents, np.float64)
    _, near = cKDTree(points).query(points, count + 1)
    own = np.arange(len(points))[:, None]
    # Where points coincide, a particle need not be its own first neighbour.
    order = np.argsort(near == own, axis=1, kind="stable")
    return np.asarray(np.take_along_axis(near, order, 1)[:, :count], np.int64)


def measure_leakage(
    neighbours: IntArray, values: ArrayLike, permutations: int = 499, seed: int = 0
) -> Leakage:
    """Measure how much of a quantity latents tell, against random orders of the particles.

    ⟨(y_i − ȳ)·(y_j − ȳ)⟩ over neighbours i, j in the latents is Var(E[y | z]), without bias by
    what the latents do not tell.

    Parameters
    ----------
    neighbours
        Shape (N, k), of `find_neighbours`.
    values
        Shape (N,) or (N, c), numbers; or (N,) of names, of which neighbours have the same or not.
    permutations
        Random orders; the smallest p-value is 1 / (permutations + 1).
    seed
        Of the orders.

    Examples
    --------
    >>> z = np.random.default_rng(0).normal(size=(400, 2))
    >>> near = find_neighbours(z)
    >>> measure_leakage(near, z[:, 0], 99).p_value
    0.01
    >>> measure_leakage(near, z[:, 0], 99).share > 0.7
    True
    """
    given: NDArray[Any] = np.asarray(values)
    measure = _make_measure(neighbours, given)
    rng = np.random.default_rng(seed)
    own = np.arange(len(given))
    found = measure(own)
    random = np.array([measure(rng.permutation(own)) for _ in range(permutations)])
    p_value = (1 + int((random >= found).sum())) / (permutations + 1)
    return Leakage(float(found), float(np.quantile(random, 0.95)), p_value)


def _make_measure(neighbours: IntArray, values: NDArray[Any]) -> Any:
    """Give a function of an order of the particles: the share that neighbours have in common."""
    if values.dtype.kind not in "biuf":
        codes = np.unique(values, return_inverse=True)[1]
        populations = np.bincount(codes) / len(codes)
        expected = float(np.square(populations).sum())

        def same(order: IntArray) -> float:
            ordered = codes[order]
            alike = (ordered[neighbours] == ordered[:, None]).mean()
            return float((alike - expected) / max(1 - expected, 1e-12))

        return same
    table = values.reshape(len(values), -1).astype(np.float64)
    table = table - table.mean(0)
    total = max(float(np.square(table).sum(1).mean()), 1e-30)

    def alike(order: IntArray) -> float:
        ordered = table[order]
        near = ordered[neighbours].mean(1)
        return float((ordered * near).sum(1).mean() / total)

    return alike

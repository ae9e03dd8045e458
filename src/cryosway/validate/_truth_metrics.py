"""How close maps, latents, classes and populations come to a known truth."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.fft
import scipy.optimize
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from cryosway._errors import CryoswayError
from cryosway.validate._fsc import auc_fsc, fsc_of_transforms
from cryosway.validate._latent_metrics import information_imbalance, neighbourhood_similarity
from cryosway.validate._mask import low_pass, soften_mask

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Volume = NDArray[np.float32]

# The scoring mask: where the low-passed density of any true state exceeds a share of the largest.
_MASK_LOW_PASS, _MASK_LEVEL = 9.0, 0.10  # Å; of the largest value
_MASK_GROW, _MASK_EDGE = 6.0, 9.0  # Å
MASK_RULE = (
    f"largest of all true states at every voxel, low-passed to {_MASK_LOW_PASS:g} Å, above "
    f"{100 * _MASK_LEVEL:g} % of its maximum, grown by {_MASK_GROW:g} Å, with a cosine edge of "
    f"{_MASK_EDGE:g} Å"
)


# ---------------------------------------------------------------------------- maps


def score_indices(count: int, scored: int = 100) -> IntArray:
    """Choose the images whose maps are scored: every (N // n)th, the first n (CryoBench).

    Examples
    --------
    >>> score_indices(10, 4)
    array([0, 2, 4, 6])
    """
    return np.arange(0, count, max(1, count // scored))[:scored]


def make_union_mask(truths: Iterable[Volume], pixel_size: float) -> Volume:
    """Make a soft mask that holds every true state; the rule is `MASK_RULE`."""
    maps = iter(truths)
    largest = low_pass(next(maps), pixel_size, _MASK_LOW_PASS)
    for truth in maps:
        np.maximum(largest, low_pass(truth, pixel_size, _MASK_LOW_PASS), out=largest)
    inside = largest > _MASK_LEVEL * largest.max()
    return soften_mask(inside, _MASK_GROW / pixel_size, _MASK_EDGE / pixel_size)


class MapSource(Protocol):
    """Maps by number: a list, or files that are read when asked for."""

    def __getitem__(self, number: int, /) -> Volume:
        """Give the map (D, D, D) of a number."""
        ...


@dataclass(frozen=True, eq=False)
class MapScorer:
    """AUC-FSC of maps against true states, within the scoring mask and without any.

    Attributes
    ----------
    truths
        Maps (D, D, D) of the states.
    mask
        Shape (D, D, D).
    """

    truths: MapSource
    mask: Volume

    def score(self, volume: Volume, state: int) -> tuple[float, float]:
        """Give the masked and unmasked AUC-FSC of a map against the truth of a state."""
        truth = self.truths[state]
        return _auc(volume * self.mask, truth * self.mask), _auc(volume, truth)

    def score_all(self, make_map: Callable[[int], Volume], states: IntArray) -> FloatArray:
        """Give the scores (n, 2) of the maps of images 0 … n−1, which show the given states."""
        return np.array([self.score(make_map(i), int(s)) for i, s in enumerate(states)])


def _auc(a: Volume, b: Volume) -> float:
    return auc_fsc(fsc_of_transforms(_transform(a), _transform(b), a.shape[0]))


def _transform(volume: Volume) -> NDArray[np.complex64]:
    half = scipy.fft.rfftn(np.asarray(volume, np.float32), workers=-1)
    return np.asarray(half, np.complex64)


def summarise_scores(scores: FloatArray) -> dict[str, float]:
    """Give mean and standard deviation over images of masked and unmasked scores (n, 2)."""
    mean, sd = scores.mean(0), scores.std(0)
    return {"masked": mean[0], "masked_sd": sd[0], "unmasked": mean[1], "unmasked_sd": sd[1]}


def compare_scores(ours: FloatArray, other: FloatArray) -> dict[str, float]:
    """Give paired difference, its standard error, and ratio of masked scores (n, 2)."""
    difference = ours[:, 0] - other[:, 0]
    error = difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else 0.0
    return {
        "difference": float(difference.mean()),
        "standard_error": float(error),
        "ratio": float(ours[:, 0].mean() / other[:, 0].mean()),
    }


# ---------------------------------------------------------------------------- latents


def judge_latents(
    latents: FloatArray, truth: FloatArray, rotations: FloatArray, ctf: FloatArray
) -> dict[str, Any]:
    """Measure latents (N, k) as CryoBench does.

    Parameters
    ----------
    latents, truth, rotations, ctf
        Shapes (N, ·): what is judged, the true latents, rotation matrices in rows of nine, and
        parameters of the CTF, see `standardise`.

    Returns
    -------
    ``neighbourhood_similarity``: percent of neighbours shared with the truth, mean over
    neighbourhoods of 1–20 % of the images, with the value by ``chance``. Information imbalances
    ``state``, ``pose``, ``ctf``: [latents → it, it → latents]; near 0 where known, 1 where not.
    """
    similarity = neighbourhood_similarity(truth, latents)
    found: dict[str, Any] = {
        "neighbourhood_similarity": similarity.mean,
        "chance": float(similarity.chance.mean()),
        "neighbours": similarity.neighbours,
        "percent": similarity.percent,
    }
    for name, other in (("state", truth), ("pose", rotations), ("ctf", ctf)):
        imbalance = information_imbalance(latents, other)
        found[name] = [imbalance.mean_forward, imbalance.mean_backward]
    return found


def standardise(values: ArrayLike) -> FloatArray:
    """Give every column (N, k) mean 0 and standard deviation 1; a constant one becomes 0."""
    table = np.asarray(values, np.float64)
    return np.asarray((table - table.mean(0)) / np.maximum(table.std(0), 1e-12))


# ---------------------------------------------------------------------------- classes, populations


def score_clusters(labels: ArrayLike, truth: ArrayLike) -> dict[str, float]:
    """Give adjusted Rand index and adjusted mutual information of classes with the true ones.

    Returns
    -------
    ``ari``, ``ami``: 1 for the same classes, about 0 by chance.

    Examples
    --------
    >>> score_clusters([0, 0, 1, 1], [5, 5, 3, 3])
    {'ari': 1.0, 'ami': 1.0}
    """
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    found, true = np.asarray(labels), np.asarray(truth)
    return {
        "ari": float(adjusted_rand_score(true, found)),
        "ami": float(adjusted_mutual_info_score(true, found)),
    }


def total_variation(p: ArrayLike, q: ArrayLike) -> float:
    """Give the share of one population that would have to move to make it the other, 0 to 1.

    Examples
    --------
    >>> total_variation([1, 1, 2], [2, 1, 1])
    0.25
    """
    a, b = _normalise(p), _normalise(q)
    return float(np.abs(a - b).sum() / 2)


def earth_mover_distance(p: ArrayLike, q: ArrayLike, distances: ArrayLike) -> float:
    """Give the least mean distance over which population p is moved to make it q (Wasserstein-1).

    min Σ_ij T_ij d_ij with T ≥ 0, Σ_j T_ij = p_i, Σ_i T_ij = q_j, solved as a linear programme.

    Parameters
    ----------
    p, q
        Shapes (m,) and (n,): populations, scaled to sum to 1.
    distances
        Shape (m, n).

    Examples
    --------
    >>> round(earth_mover_distance([1, 0, 0], [0, 0, 1], [[0, 1, 2], [1, 0, 1], [2, 1, 0]]), 6)
    2.0
    """
    a, b, cost = _normalise(p), _normalise(q), np.asarray(distances, np.float64)
    if cost.shape != (len(a), len(b)):
        msg = f"distances have shape {cost.shape}; populations of {len(a)} and {len(b)} are given"
        raise CryoswayError(msg)
    rows, columns = np.flatnonzero(a), np.flatnonzero(b)
    a, b, cost = a[rows], b[columns], cost[np.ix_(rows, columns)]
    sums: Any = scipy.sparse.vstack(
        [
            scipy.sparse.kron(scipy.sparse.eye(len(a)), np.ones((1, len(b)))),
            scipy.sparse.kron(np.ones((1, len(a))), scipy.sparse.eye(len(b))),
        ]
    )
    solved = scipy.optimize.linprog(cost.ravel(), A_eq=sums, b_eq=np.concatenate([a, b]))
    return float(np.asarray(solved.fun))


def _normalise(population: ArrayLike) -> FloatArray:
    values = np.asarray(population, np.float64)
    if values.ndim != 1 or not (values >= 0).all() or values.sum() <= 0:
        msg = "a population is a row of shares that are not negative, and not all zero"
        raise CryoswayError(msg)
    return np.asarray(values / values.sum())

"""How alike two conformations of the same atoms are: RMSD, TM-score and lDDT."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cryosway.protein._rigid_motions import RigidMotions, nearest_rotations

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]

#: Å: neighbours in the reference that lDDT looks at, and how much their distances may change.
LDDT_RADIUS = 15.0
LDDT_LIMITS = (0.5, 1.0, 2.0, 4.0)
_STARTS = 20  # superpositions per length of fragment
_FEWEST_IN_FRAGMENT = 4
_ROUNDS, _LAST_ROUNDS = 10, 100
_PART = 1 << 21  # distances at a time


@dataclass(frozen=True, eq=False)
class LocalDistances:
    """lDDT of M models of n atoms.

    Attributes
    ----------
    scores
        Shape (M,), 0 to 1: the part of the distances kept, over all.
    atoms
        Shape (M, n): the same of each atom's own distances; NaN where it has none.
    """

    scores: FloatArray
    atoms: FloatArray


def measure_lddt(
    reference: FloatArray, models: FloatArray, residues: NDArray[np.generic]
) -> LocalDistances:
    """Measure the local distance difference test of models, which needs no superposition.

    Of all pairs of atoms of different residues within 15 Å in the reference, the part whose
    distance changes by less than 0.5, 1, 2 and 4 Å, averaged over the four (Mariani et al.,
    Bioinformatics 29, 2722, 2013). Names of equivalent atoms, as OD1 and OD2, are taken as they
    are.

    Parameters
    ----------
    reference
        Shape (n, 3), Å.
    models
        Shape (M, n, 3), Å: the same atoms.
    residues
        Shape (n,): tells which atoms are of one residue.
    """
    pairs = cKDTree(reference).query_pairs(LDDT_RADIUS, output_type="ndarray")
    i, j = pairs[residues[pairs[:, 0]] != residues[pairs[:, 1]]].T
    wanted = np.linalg.norm(reference[i] - reference[j], axis=-1)
    ends, size = np.concatenate([i, j]), len(reference)
    partners = np.bincount(ends, minlength=size)
    kept = np.zeros((len(models), size))
    total = np.full(len(models), np.nan)
    limits = np.array(LDDT_LIMITS)
    for row, x in enumerate(models):
        error = np.abs(np.linalg.norm(x[i] - x[j], axis=-1) - wanted)
        within = 1 - np.searchsorted(limits, error, side="right") / len(limits)
        kept[row] = np.bincount(ends, np.tile(within, 2), minlength=size)
        total[row] = within.mean() if len(within) else np.nan
    with np.errstate(invalid="ignore"):
        return LocalDistances(total, kept / partners)


def average_over_residues(values: FloatArray, residues: IndexArray, count: int) -> FloatArray:
    """Average atoms' values (M, n), leaving NaN out, over residues numbered from 0: (M, count)."""
    known = np.isfinite(values)
    sums = np.zeros((len(values), count))
    for row, (value, there) in enumerate(zip(values, known, strict=True)):
        total = np.bincount(residues[there], value[there], minlength=count)
        with np.errstate(invalid="ignore"):
            sums[row] = total / np.bincount(residues[there], minlength=count)
    return sums


def tm_scale(length: int) -> float:
    """Give d₀, Å, which makes the TM-score independent of the length of a protein."""
    return max(0.5, 1.24 * (length - 15) ** (1 / 3) - 1.8) if length > 15 else 0.5


def measure_tm(
    mobile: FloatArray, fixed: FloatArray, length: int | None = None
) -> tuple[float, RigidMotions]:
    """Measure the TM-score of matched residues, and how `mobile` lies when it is highest.

    1/L Σ 1 / (1 + (d/d₀)²), the largest over superpositions (Zhang and Skolnick, Proteins 57,
    702, 2004). As there, superpositions start from fragments of several lengths all along the
    chain. From each the score is climbed by superposing with the weights 1 / (1 + (d/d₀)²)²:
    the score is convex in d², so that no step lowers it.

    Parameters
    ----------
    mobile, fixed
        Shape (R, 3), Å: one atom per residue, R ≥ 3.
    length
        L, residues of the structure that counts as the reference; R where None.

    Returns
    -------
    The score, above 0 and at most 1; and the one motion of `mobile`.
    """
    count = length or len(mobile)
    scale = tm_scale(count)
    starts = _start_fragments(len(mobile))
    tops = []
    for part in np.array_split(starts, -(-starts.size // _PART)):
        score, weights = _climb(mobile, fixed, part, scale, _ROUNDS)
        tops.append((score.max(), weights[score.argmax()]))
    best = max(tops, key=lambda top: top[0])[1][None]
    score, weights = _climb(mobile, fixed, best, scale, _LAST_ROUNDS)
    return float(score[0]) / count, superpose_weighted(mobile, fixed, weights)


def _start_fragments(size: int) -> FloatArray:
    """Weights (S, R), 1 for the residues of the fragments that are superposed first."""
    place, length, rows = np.arange(size), size, []
    while True:
        step = max(1, -(-(size - length) // _STARTS))
        starts = np.arange(0, size - length + 1, step)[:, None]
        rows.append((place >= starts) & (place < starts + length))
        if length <= _FEWEST_IN_FRAGMENT:
            return np.concatenate(rows).astype(np.float64)
        length = max(_FEWEST_IN_FRAGMENT, length // 2)


def _climb(
    mobile: FloatArray, fixed: FloatArray, weights: FloatArray, scale: float, rounds: int
) -> tuple[FloatArray, FloatArray]:
    """Climb from S weights (S, R): the sums of the scores (S,), and the weights of their fits."""
    for _ in range(rounds):
        kept = weights
        moved = superpose_weighted(mobile, fixed, weights).apply(mobile)
        score = 1 / (1 + np.square(moved - fixed).sum(-1) / scale**2)
        weights = score**2
    return score.sum(-1), kept


def superpose_weighted(mobile: FloatArray, fixed: FloatArray, weights: FloatArray) -> RigidMotions:
    """Find the S motions that bring `mobile` closest to `fixed` for S sets of weights.

    Parameters
    ----------
    mobile, fixed
        Shape (R, 3), Å.
    weights
        Shape (S, R), not negative.
    """
    share = weights / weights.sum(1, keepdims=True)
    centre_m, centre_f = share @ mobile, share @ fixed
    products = (fixed[:, :, None] * mobile[:, None, :]).reshape(len(mobile), 9)
    covariance = (share @ products).reshape(-1, 3, 3)
    covariance -= centre_f[:, :, None] * centre_m[:, None, :]
    rotations = nearest_rotations(covariance)
    turned = (rotations @ centre_m[..., None])[..., 0]
    return RigidMotions(rotations, centre_f - turned)

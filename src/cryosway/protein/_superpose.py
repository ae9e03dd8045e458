"""Rigid superposition of matched atoms (Kabsch, Acta Cryst. A32, 1976)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Superposition:
    """The rigid motion x ↦ rotation · x + translation, and the RMSD it leaves, in Å."""

    rotation: FloatArray
    translation: FloatArray
    rmsd: float

    def apply(self, coordinates: FloatArray) -> FloatArray:
        """Move coordinates of shape (..., 3), Å."""
        return np.asarray(coordinates @ self.rotation.T + self.translation, np.float64)


def find_superposition(
    mobile: FloatArray, fixed: FloatArray, weights: FloatArray | None = None
) -> Superposition:
    """Find the rigid motion of `mobile` that brings it closest to `fixed`.

    Minimises Σ w |R m + t − f|² by the singular value decomposition of the 3 × 3 covariance.

    Parameters
    ----------
    mobile, fixed
        Shape (N, 3), Å: matched atoms, N ≥ 3.
    weights
        Shape (N,), non-negative; equal where None.
    """
    w = np.ones(len(mobile)) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    centre_m, centre_f = w @ mobile, w @ fixed
    covariance = (mobile - centre_m).T @ ((fixed - centre_f) * w[:, None])
    u, _, vt = np.linalg.svd(covariance)
    handedness = np.sign(np.linalg.det(vt.T @ u.T))
    rotation = vt.T @ np.diag([1.0, 1.0, handedness]) @ u.T
    translation = centre_f - rotation @ centre_m
    residual = mobile @ rotation.T + translation - fixed
    rmsd = float(np.sqrt(np.sum(w * np.sum(residual**2, axis=1))))
    return Superposition(rotation, translation, rmsd)


def superpose_ensemble(
    ensemble: FloatArray, selection: NDArray[np.bool_] | None = None, *, rounds: int = 10
) -> FloatArray:
    """Superpose every member of an ensemble on the ensemble's mean, iteratively.

    Parameters
    ----------
    ensemble
        Shape (F, N, 3), Å.
    selection
        Shape (N,): the atoms that count (e.g. Cα); all where None. Every atom is moved.
    rounds
        Iterations of superpose, then average.

    Returns
    -------
    Shape (F, N, 3), in the frame of the first member.
    """
    chosen = np.ones(ensemble.shape[1], bool) if selection is None else selection
    reference = ensemble[0][chosen]
    moved = ensemble
    for _ in range(rounds):
        moved = np.stack([find_superposition(x[chosen], reference).apply(x) for x in moved])
        reference = moved[:, chosen].mean(axis=0)
    return np.asarray(moved, np.float64)

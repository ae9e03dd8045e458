"""Rings of particles whose weights in many kernels are combinations of a few.

Scattering a particle into the Fourier grids of B kernels costs B times as much as into one. But
all its weights are functions of one number, its distance: within a ring of similar distance they
are, to any accuracy, combinations of r < B basis weights (two, mostly). So a ring is scattered
into r grids only, and these are then added to those of the B kernels, once for all its particles.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_RINGS = 12
# Of Σ weights²: the noise of a map correlates with that of exact weights by one minus half of it.
_TOLERANCE = 2e-4
# Fewer particles than this, of the kernel or of the ring, leave voxels to single ones, whose small
# weights then count in full: the tolerance shrinks in proportion to both.
_PLENTY = 1000.0


@dataclass(frozen=True, eq=False)
class Ring:
    """Some particles, and their weights as a product of two thin matrices.

    Attributes
    ----------
    rows
        Shape (n,), ascending: which particles.
    basis
        Shape (n, r).
    mixing
        Shape (r, B): `basis` @ `mixing` are the weights.
    """

    rows: NDArray[np.int64]
    basis: FloatArray
    mixing: FloatArray


def cut_rings(
    weights: FloatArray, rings: int = _RINGS, tolerance: float = _TOLERANCE
) -> list[Ring]:
    """Cut particles into rings of similar weights, those of few basis weights first.

    Rings are equal steps of the sum of a particle's weights: where kernels fall steeply, rings
    are narrow. What only the widest kernel reaches is a ring of its own, exact with one weight.
    In each ring the best r basis weights are the first singular vectors.

    Parameters
    ----------
    weights
        Shape (N, B), in [0, 1], falling with distance, each kernel wider than the one before.
    rings
        Most rings to cut.
    tolerance
        Largest Σ (error of the weights)² / Σ weights² of a kernel with particles in plenty.
    """
    norms = np.sqrt(np.square(weights).sum(0)).clip(min=1e-30)
    total = weights.sum(1)
    kish = np.square(weights.sum(0) / norms)
    several = (weights > 0).sum(1) > 1
    low, high = (total[several].min(), total[several].max()) if several.any() else (0.0, 1.0)
    step = max(high - low, 1e-12) / max(rings - 1, 1)
    ring = 1 + np.clip((total - low) / step, 0, max(rings - 2, 0)).astype(np.int64)
    ring[~several] = 0
    found = []
    for which in np.unique(ring):
        rows = np.flatnonzero((ring == which) & (total > 0))
        if len(rows):
            allowed = tolerance / rings * np.minimum(1, kish * len(rows) / _PLENTY**2)
            basis, mixing = _factorise(weights[rows] / norms, allowed)
            found.append(Ring(rows, basis, mixing * norms))
    return sorted(found, key=lambda found: found.basis.shape[1])


def _factorise(scaled: FloatArray, allowed: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fewest singular vectors that miss no more than is allowed of any column's square."""
    left, values, right = np.linalg.svd(scaled, full_matrices=False)
    parts = np.square(values[:, None] * right)
    missing = parts[::-1].cumsum(0)[::-1] - parts
    rank = 1 + int(np.argmax((missing <= allowed + 1e-20).all(1)))
    return left[:, :rank] * values[:rank], right[:rank]

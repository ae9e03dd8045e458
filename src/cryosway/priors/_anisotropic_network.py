"""The anisotropic network: beads joined by springs, and the Hessian of their energy.

Springs join beads within reach and have the stiffness (3.8 Å / d)², so that a chain's bonds have
stiffness one and far pairs hold less (Atilgan et al., Biophys. J. 80, 2001; Yang, Song & Jernigan,
PNAS 106, 2009).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from cryosway.priors._pairs import IndexArray, find_pairs

FloatArray = NDArray[np.float64]

_BOND = 3.8
_LEAST_NEIGHBOURS = 16
_BRIDGE = 6


def find_springs(coordinates: FloatArray, bonds: NDArray[np.intp], reach: float) -> IndexArray:
    """Choose the springs (E, 2): bonds, pairs within reach, and what a stiff whole needs besides.

    Every bead has springs to its 16 nearest neighbours at least: tails that dangle would have the
    softest modes of all, and nobody wants those. Parts that are out of each other's reach are
    joined by bridges, each end on six beads.
    """
    count = len(coordinates)
    tree = cKDTree(coordinates)
    most = min(_LEAST_NEIGHBOURS, count - 1)
    near = np.asarray(tree.query(coordinates, k=np.arange(2, most + 2))[1], np.int64)
    nearest = np.stack([np.repeat(np.arange(count), most), near.ravel()], axis=1)
    springs = [np.asarray(bonds, np.int64).reshape(-1, 2), find_pairs(coordinates, reach), nearest]
    pairs = _unite(np.concatenate(springs))
    while True:
        parts, part = _find_parts(pairs, count)
        if parts == 1:
            return pairs
        smallest = part == np.bincount(part).argmin()
        pairs = _unite(np.concatenate([pairs, _find_bridges(coordinates, smallest)]))


def _unite(pairs: IndexArray) -> IndexArray:
    return np.unique(np.sort(pairs, axis=1), axis=0)


def _find_parts(pairs: IndexArray, count: int) -> tuple[int, IndexArray]:
    graph = sparse.coo_array((np.ones(len(pairs)), pairs.T), shape=(count, count))
    parts, part = connected_components(graph, directed=False)
    return int(parts), np.asarray(part, np.int64)


def _find_bridges(coordinates: FloatArray, inside: NDArray[np.bool_]) -> IndexArray:
    """Join the beads of a part that are nearest to the others with those nearest to it, all."""
    own, others = np.flatnonzero(inside), np.flatnonzero(~inside)
    ends = []
    for here, there in ((own, others), (others, own)):
        distance = cKDTree(coordinates[there]).query(coordinates[here])[0]
        ends.append(here[np.argsort(distance)[:_BRIDGE]])
    first, second = np.meshgrid(*ends)
    return np.stack([first.ravel(), second.ravel()], axis=1).astype(np.int64)


def build_hessian(coordinates: FloatArray, springs: IndexArray) -> sparse.csr_array:
    """Hessian (3N, 3N) of ½ Σ k (d − d₀)² at rest: blocks −k u uᵀ for springs along u."""
    count = len(coordinates)
    apart = coordinates[springs[:, 0]] - coordinates[springs[:, 1]]
    squared = np.maximum((apart**2).sum(axis=1), 1e-6)[:, None, None]
    blocks = apart[:, :, None] * apart[:, None, :] * (_BOND / squared) ** 2
    first, second = springs.T
    rows = np.concatenate([first, second, first, second])
    columns = np.concatenate([second, first, first, second])
    values = np.concatenate([-blocks, -blocks, blocks, blocks])
    axes = np.arange(3)
    along, across = np.broadcast_arrays(
        3 * rows[:, None, None] + axes[:, None], 3 * columns[:, None, None] + axes
    )
    entries = (values.ravel(), (along.ravel(), across.ravel()))
    whole = sparse.coo_array(entries, shape=(3 * count, 3 * count))
    return sparse.csr_array(whole)


def rigid_motions(coordinates: FloatArray) -> FloatArray:
    """Orthonormal basis (3N, r) of translations and rotations; r is 6, less for beads in a line."""
    centred = coordinates - coordinates.mean(axis=0)
    motions = np.zeros((len(centred), 3, 6))
    for axis, unit in enumerate(np.eye(3)):
        motions[:, :, axis] = unit
        motions[:, :, 3 + axis] = np.cross(unit, centred)
    basis, size, _ = np.linalg.svd(motions.reshape(-1, 6), full_matrices=False)
    return np.asarray(basis[:, size > 1e-8 * max(size[0], 1e-300)], np.float64)

"""How the surroundings of each bead turn: rigid frames, and linear maps that follow them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from cryosway.protein._rigid_motions import nearest_rotations

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]

#: Weight of a bead 0, 1, 2 bonds away.
_ALONG_CHAIN = (1.0, 1.0, 0.6)
#: The same of nucleotides, and a factor of other beads nearby if these are of another strand:
#: phosphates and bases lie far to the sides of C1', and with strands that part would go astray.
_ALONG_STRAND = (1.0, 1.0, 0.6, 0.4, 0.3)
_OTHER_STRAND = 0.2
#: Weight of other beads nearby, which only steady what the chain leaves open (a straight strand).
_IN_SPACE = 0.05
_REACH = 10.0
_NEAREST, _FEWEST = 16, 8
#: Weight of the motion of the whole, which decides where a neighbourhood does not (one bead).
WHOLE = 1e-7


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """For each of N beads K others with weights.

    Attributes
    ----------
    reference
        Shape (N, 3), Å: the beads as they were.
    index, weights
        Shape (N, K): neighbours, the bead itself among them, and their weights, 0 where there
        are fewer than K.
    """

    reference: FloatArray
    index: IndexArray
    weights: FloatArray

    def rotations(self, beads: FloatArray) -> FloatArray:
        """Find the rotation of each bead's surroundings (weighted Kabsch).

        Parameters
        ----------
        beads
            Shape (N, 3), Å.

        Returns
        -------
        Shape (N, 3, 3): those R that minimise Σ_j w_ij |R (x_j − x̄_i) − (y_j − ȳ_i)|².
        """
        before = self._centred(self.reference)
        after = self._centred(beads)
        covariance = np.einsum("nk,nka,nkb->nab", self.weights, after, before)
        size = np.einsum("nk,nka,nka->n", self.weights, before, before)
        whole = nearest_rotations(
            ((beads - beads.mean(0)).T @ (self.reference - self.reference.mean(0)))[None]
        )
        size = np.maximum(size, 1e-3)
        return nearest_rotations(covariance + WHOLE * size[:, None, None] * whole)

    def _centred(self, beads: FloatArray) -> FloatArray:
        near = beads[self.index]
        total = self.weights.sum(axis=1)
        centre = np.einsum("nk,nka->na", self.weights, near) / total[:, None]
        return np.asarray(near - centre[:, None], np.float64)

    def affine_weights(self, points: FloatArray, bead: IndexArray) -> sparse.csr_array:
        """Express points as affine combinations of the beads around them.

        Of all weights v with Σ v_j = 1 and Σ v_j x_j = point, those of least Σ v_j² / w_j: moving
        least squares with a linear basis. Points therefore follow any affine motion of the
        beads, rigid ones included, by a linear map: differentiable and cheap.

        Parameters
        ----------
        points
            Shape (M, 3), Å, of the reference.
        bead
            Shape (M,): the bead in whose neighbourhood each point lies.

        Returns
        -------
        Shape (M, N), sparse.
        """
        index = self.index[bead]
        near = self.reference[index] - self.reference[bead][:, None]
        ones = np.ones((*near.shape[:2], 1))
        basis = np.concatenate([ones, near / _REACH], axis=-1)
        w = self.weights[bead]
        moments = np.einsum("mk,mka,mkb->mab", w, basis, basis)
        # Flat or lonely neighbourhoods: what they do not span is left to the bead itself.
        ridge = 1e-10 * np.trace(moments, axis1=1, axis2=2)
        moments += ridge[:, None, None] * np.eye(4)
        target = np.concatenate([ones[:, 0], (points - self.reference[bead]) / _REACH], axis=-1)
        solved = np.linalg.solve(moments, target[..., None])[..., 0]
        v = w * np.einsum("mka,ma->mk", basis, solved)
        v[:, 0] += 1 - v.sum(axis=1)  # the first neighbour is the bead itself
        rows = np.repeat(np.arange(len(points)), index.shape[1])
        shape = (len(points), len(self.reference))
        return sparse.csr_array(sparse.coo_array((v.ravel(), (rows, index.ravel())), shape=shape))


def find_neighbourhoods(
    beads: FloatArray, bonds: IndexArray, nucleic: NDArray[np.bool_] | None = None
) -> Neighbourhoods:
    """Find for each bead those a few bonds away, and the nearest others, some 10 Å about.

    Parameters
    ----------
    beads
        Shape (N, 3), Å.
    bonds
        Shape (B, 2).
    nucleic
        Shape (N,): which are nucleotides; none by default.
    """
    count = len(beads)
    strand = np.zeros(count, bool) if nucleic is None else nucleic
    graph = sparse.coo_array((np.ones(len(bonds)), bonds.T), shape=(count, count)).tocsr()
    bonded = ((graph + graph.T) > 0).astype(np.float64)
    weights = _leave_strands(_near_weights(beads), bonded, strand)
    away = sparse.eye_array(count).tocsr()
    for step, of_strand in enumerate(_ALONG_STRAND):
        of_chain = _ALONG_CHAIN[step] if step < len(_ALONG_CHAIN) else 0.0
        values = sparse.diags_array(np.where(strand, of_strand, of_chain))
        weights = weights.maximum(values @ away)
        away = ((away @ bonded) > 0).astype(np.float64)
    return _pad(beads, weights.tocsr())


def _leave_strands(
    weights: sparse.csr_array, bonded: sparse.csr_array, strand: NDArray[np.bool_]
) -> sparse.csr_array:
    """Lower the weights (N, N) that beads of other strands have for those of `strand`, (N,)."""
    piece = connected_components(bonded, directed=False)[1]
    found = weights.tocoo()
    apart = strand[found.row] & (piece[found.row] != piece[found.col])
    values = np.where(apart, _OTHER_STRAND * found.data, found.data)
    return sparse.coo_array((values, (found.row, found.col)), shape=found.shape).tocsr()


def _near_weights(beads: FloatArray) -> sparse.csr_array:
    """Weights of the nearest beads, falling to zero at 10 Å, or farther where there are few."""
    count = len(beads)
    found = cKDTree(beads).query(beads, k=min(_NEAREST + 1, count))
    distance, index = (np.asarray(part).reshape(count, -1) for part in found)
    reach = np.maximum(_REACH, 1.2 * distance[:, min(_FEWEST, count - 1)])
    near = np.minimum(distance / reach[:, None], 1.0)
    values = np.maximum(_IN_SPACE * (1 - near**2) ** 2, 1e-9)
    rows = np.repeat(np.arange(count), distance.shape[1])
    shape = (count, count)
    return sparse.coo_array((values.ravel(), (rows, index.ravel())), shape=shape).tocsr()


def _pad(beads: FloatArray, weights: sparse.csr_array) -> Neighbourhoods:
    """Make a table of fixed width; a bead's first neighbour is itself."""
    counts = np.diff(weights.indptr)
    rows = np.repeat(np.arange(len(beads)), counts)
    order = np.lexsort((weights.indices != rows, rows))
    column = np.arange(len(rows)) - np.repeat(weights.indptr[:-1], counts)
    index = np.repeat(np.arange(len(beads))[:, None], counts.max(), axis=1)
    values = np.zeros(index.shape)
    index[rows, column] = weights.indices[order]
    values[rows, column] = weights.data[order]
    return Neighbourhoods(beads, index.astype(np.intp), values)

"""Gaussians that follow the beads by a linear map."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

if TYPE_CHECKING:
    from cryosway.protein._coarse import CoarseModel

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]
Detail = Literal["residue", "split", "atom"]

_BACKBONE = {"N", "CA", "C", "O", "OXT", "OT1", "OT2", "H", "HN", "HA", "HA1", "HA2", "HA3"}
_PHOSPHATE = {"P", "OP1", "OP2", "OP3", "O1P", "O2P", "O3P", "O5'", "O3'"}


@dataclass(frozen=True, eq=False)
class Scatterers:
    """M Gaussians whose centres are linear in the beads: centres = weights @ beads + offsets.

    The map is exact for the reference and for every rigid motion of it; carried residues
    (ligands, ions) are among the Gaussians. `weights` can be made a torch sparse tensor, through
    which gradients flow.

    Attributes
    ----------
    weights
        Shape (M, N), sparse; every row sums to 1.
    offsets
        Shape (M, 3), Å: zero but for points that the beads around them do not span.
    amplitudes
        Shape (M,): scattering strength.
    sigmas
        Shape (M,), Å: width of each Gaussian, √(⟨r²⟩/3 + atom_width²).
    beads
        Shape (M,): the bead that each belongs to.
    """

    weights: sparse.csr_array
    offsets: FloatArray
    amplitudes: FloatArray
    sigmas: FloatArray
    beads: IndexArray

    def __len__(self) -> int:
        return len(self.amplitudes)

    def centres(self, beads: FloatArray) -> FloatArray:
        """Give the centres, shape (M, 3), Å, for beads (N, 3)."""
        return np.asarray(self.weights @ beads + self.offsets, np.float64)


def make_scatterers(model: "CoarseModel", detail: Detail) -> Scatterers:
    """Sum the atoms of a model into Gaussians.

    Parameters
    ----------
    model
        With its beads.
    detail
        ``residue``: one per bead at the centre of its scattering; ``split``: one for the backbone
        (of nucleotides: phosphate, sugar) and one for the side chain (base); ``atom``: every
        atom. Strength that was added for missing atoms goes to the bead's last Gaussian.
    """
    part = _number_parts(model, detail)
    keys = model.atom_to_bead * (part.max() + 1) + part
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    total = np.bincount(index, model.strengths)
    x = model.atoms.coordinates
    centres = np.stack([np.bincount(index, model.strengths * c) / total for c in x.T], axis=1)
    spread = ((x - centres[index]) ** 2).sum(axis=1)
    squares = np.bincount(index, model.strengths * spread) / total
    beads = model.atom_to_bead[first]
    weights = model.neighbourhoods.affine_weights(centres, beads)
    return Scatterers(
        weights,
        centres - weights @ model.coordinates,
        total + _added_strength(model, beads, own=model.carried_residue[first] < 0),
        np.sqrt(squares / 3 + model.atom_width**2),
        beads,
    )


def _number_parts(model: "CoarseModel", detail: Detail) -> IndexArray:
    """Give each atom the number of its Gaussian within its bead; carried residues have others."""
    if detail == "atom":
        return np.arange(len(model.atoms))
    parts = np.zeros(len(model.atoms), np.intp)
    if detail == "split":
        kinds, names = model.kinds[model.atom_to_bead], model.atoms.atom_names
        phosphate = np.isin(names, list(_PHOSPHATE))
        sugar = ~phosphate & (np.char.endswith(names, "'") | np.char.endswith(names, "*"))
        parts[(kinds == "protein") & ~np.isin(names, list(_BACKBONE))] = 1
        parts[(kinds == "nucleic") & sugar] = 1
        parts[(kinds == "nucleic") & ~sugar & ~phosphate] = 2
    return np.where(model.carried_residue < 0, parts, 3 + model.carried_residue)


def _added_strength(model: "CoarseModel", beads: IndexArray, own: NDArray[np.bool_]) -> FloatArray:
    """Strength of missing atoms, on the last Gaussian of each bead that is not of a ligand."""
    weights = model.strengths * (model.carried_residue < 0)
    lacking = model.amplitudes - np.bincount(model.atom_to_bead, weights, minlength=len(model))
    rows = np.flatnonzero(own)[::-1]
    last = rows[np.unique(beads[rows], return_index=True)[1]]
    added = np.zeros(len(beads))
    added[last] = lacking[beads[last]]
    return added

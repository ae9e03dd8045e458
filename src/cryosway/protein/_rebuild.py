"""All atoms on moved beads."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryosway.protein._atoms import AtomTable
from cryosway.protein._frames import Neighbourhoods
from cryosway.protein._relax import ReferenceGeometry

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]

#: Atoms between two beads, which follow both: towards the next or the bead before, and how far
#: (None: as far as they lie on the line between the beads).
_SHARED: dict[str, dict[str, tuple[int, float | None]]] = {
    "CA": {
        **dict.fromkeys(("C", "O"), (1, None)),
        **dict.fromkeys(("N", "H", "HN", "D"), (-1, None)),
    },
    "C1'": {
        **dict.fromkeys(("P", "OP1", "OP2", "OP3", "O1P", "O2P", "O3P"), (-1, 0.5)),
        "O5'": (-1, 0.25),
        "O3'": (1, 0.25),
    },
}


@dataclass(frozen=True, eq=False)
class Rebuilder:
    """What is needed to put n atoms on N moved beads.

    Attributes
    ----------
    reference
        Shape (n, 3), Å: the atoms as they were.
    first, second
        Shape (n,): the bead of each atom, and the one that it follows as well.
    blend
        Shape (n,): the part of the second.
    neighbourhoods
        Of the beads.
    geometry
        Bond lengths and angles to restore.
    """

    reference: FloatArray
    first: IndexArray
    second: IndexArray
    blend: FloatArray
    neighbourhoods: Neighbourhoods
    geometry: ReferenceGeometry

    def rebuild(self, beads: FloatArray, *, clean: bool) -> FloatArray:
        """Give the atoms on beads, shapes (N, 3) → (n, 3), Å."""
        rotations = self.neighbourhoods.rotations(beads)
        atoms = self._follow(self.first, beads, rotations)
        shared = np.flatnonzero(self.blend > 0)
        other = self._follow(self.second[shared], beads, rotations, shared)
        atoms[shared] += self.blend[shared, None] * (other - atoms[shared])
        return self.geometry.restore(atoms) if clean else atoms

    def _follow(
        self,
        bead: IndexArray,
        beads: FloatArray,
        rotations: FloatArray,
        rows: IndexArray | slice = slice(None),
    ) -> FloatArray:
        """Move atoms rigidly with one bead each: y_b + R_b (r − x_b)."""
        local = self.reference[rows] - self.neighbourhoods.reference[bead]
        return np.asarray(beads[bead] + np.einsum("nab,nb->na", rotations[bead], local), np.float64)


def prepare_rebuilder(
    atoms: AtomTable,
    anchors: IndexArray,
    atom_to_bead: IndexArray,
    bonds: IndexArray,
    neighbourhoods: Neighbourhoods,
) -> Rebuilder:
    """Find which atoms follow two beads, and the geometry to hold.

    Parameters
    ----------
    atoms
        All atoms of the reference, n of them.
    anchors
        Shape (N,): the row of the atom that each bead sits on.
    atom_to_bead
        Shape (n,).
    bonds
        Shape (B, 2), the earlier bead first.
    neighbourhoods
        Of the beads.
    """
    beads = neighbourhoods.reference
    partner = {1: np.arange(len(beads)), -1: np.arange(len(beads))}
    partner[1][bonds[:, 0]] = bonds[:, 1]
    partner[-1][bonds[:, 1]] = bonds[:, 0]
    second, blend = atom_to_bead.copy(), np.zeros(len(atoms))
    for anchor, shared in _SHARED.items():
        sits = atoms.atom_names[anchors[atom_to_bead]] == anchor
        for name, (direction, part) in shared.items():
            rows = np.flatnonzero(sits & (atoms.atom_names == name))
            second[rows] = partner[direction][atom_to_bead[rows]]
            rows = rows[second[rows] != atom_to_bead[rows]]
            blend[rows] = _project(atoms, beads, rows, second[rows], atom_to_bead[rows], part)
    geometry = ReferenceGeometry(atoms, anchors)
    return Rebuilder(atoms.coordinates, atom_to_bead, second, blend, neighbourhoods, geometry)


def _project(
    atoms: AtomTable,
    beads: FloatArray,
    rows: IndexArray,
    second: IndexArray,
    first: IndexArray,
    part: float | None,
) -> FloatArray | float:
    """How far along the line from its own bead to the other an atom lies, from 0 to 1."""
    if part is not None:
        return part
    line = beads[second] - beads[first]
    along = np.einsum("na,na->n", atoms.coordinates[rows] - beads[first], line)
    return np.clip(along / np.einsum("na,na->n", line, line), 0.0, 1.0)

"""Coarse-grained models: one bead per residue, and a table that maps every atom to its bead."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cryosway.protein._atoms import AtomTable
from cryosway.protein._frames import Neighbourhoods, find_neighbourhoods
from cryosway.protein._rebuild import Rebuilder, prepare_rebuilder
from cryosway.protein._scatterers import Detail, Scatterers, make_scatterers

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]


@dataclass(frozen=True)
class CarriedResidue:
    """A residue that no bead stands for: its atoms ride rigidly with the bead nearest to it.

    Attributes
    ----------
    name, chain, number, insertion_code
        Of the residue.
    kind
        water, ion, glycan, ligand; or protein or nucleic where the atom for a bead is missing.
    bead
        The bead that carries it.
    """

    name: str
    chain: str
    number: int
    insertion_code: str
    kind: str
    bead: int


@dataclass(frozen=True, eq=False)
class CoarseModel:
    """N beads that stand for the residues of a model, and its atoms.

    Attributes
    ----------
    atoms
        All atoms, n of them.
    strengths
        Shape (n,): how strongly each atom scatters.
    coordinates
        Shape (N, 3), float64, Å: the beads, at Cα of amino acids and C1' of nucleotides (or P,
        C4' and C2 where they have three).
    amplitudes
        Shape (N,): scattering strength of the bead's own atoms, with those that the file lacks
        where that was asked for; carried residues count with `scatterers` only.
    sigmas
        Shape (N,), Å: width of a Gaussian on the bead, from the spread of its atoms about it
        (√(⟨r²⟩/3)) and the width of an atom.
    kinds
        Shape (N,): ``protein`` or ``nucleic``.
    anchors
        Shape (N,): the row of the atom that each bead sits on.
    chains, residue_numbers, insertion_codes, residue_names
        Shape (N,): where a bead is from.
    bonds, bond_lengths
        Shape (B, 2), beads that are bonded (no pairs across gaps), and (B,), Å, their distance.
    atom_to_bead
        Shape (n,): the bead that each atom belongs to or rides with.
    carried, carried_residue
        Residues that no bead stands for; shape (n,): which of them an atom is of, −1 for none.
    atom_width
        Width (σ) of an atom, Å.
    completed
        Residues that lack atoms whose strength was added.
    dropped_waters
        Molecules of water that were left out.
    """

    atoms: AtomTable
    strengths: FloatArray
    coordinates: FloatArray
    amplitudes: FloatArray
    sigmas: FloatArray
    kinds: NDArray[np.str_]
    anchors: IndexArray
    chains: NDArray[np.str_]
    residue_numbers: NDArray[np.int32]
    insertion_codes: NDArray[np.str_]
    residue_names: NDArray[np.str_]
    bonds: IndexArray
    bond_lengths: FloatArray
    atom_to_bead: IndexArray
    carried: tuple[CarriedResidue, ...]
    carried_residue: IndexArray
    atom_width: float
    completed: int
    dropped_waters: int

    def __len__(self) -> int:
        return len(self.coordinates)

    @cached_property
    def neighbourhoods(self) -> Neighbourhoods:
        """The beads around each bead that tell how its surroundings turn."""
        return find_neighbourhoods(self.coordinates, self.bonds, self.kinds == "nucleic")

    @cached_property
    def _rebuilder(self) -> Rebuilder:
        return prepare_rebuilder(
            self.atoms, self.anchors, self.atom_to_bead, self.bonds, self.neighbourhoods
        )

    def rebuild(self, beads: FloatArray, *, clean: bool = True) -> FloatArray:
        """Rebuild all atoms on moved beads.

        Every residue moves with the rigid frame of its surroundings, the peptide or phosphate
        between two residues with a blend of both; then bond lengths and angles are brought back
        to those of the reference, and clashes parted. A rigid motion of the beads gives exactly
        that motion of the atoms.

        Parameters
        ----------
        beads
            Shape (N, 3), Å.
        clean
            Whether to restore bond lengths and angles.

        Returns
        -------
        Shape (n, 3), Å, in the order of `atoms`.
        """
        moved = np.asarray(beads, np.float64)
        if moved.shape != self.coordinates.shape:
            msg = f"beads must have shape {self.coordinates.shape}, not {moved.shape}"
            raise ValueError(msg)
        return self._rebuilder.rebuild(moved, clean=clean)

    def scatterers(self, detail: Detail = "split") -> Scatterers:
        """Give Gaussians that follow the beads by a linear map; see `Scatterers`."""
        return make_scatterers(self, detail)

    def describe(self) -> list[str]:
        """Say in sentences what the model consists of and what was done to it."""
        kinds = Counter(self.kinds.tolist())
        beads = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        gaps = _count_gaps(self)
        chains = f"{gaps} gap{'' if gaps == 1 else 's'} in the chains"
        lines = [f"{len(self)} beads ({beads}) stand for {len(self.atoms)} atoms; {chains}"]
        if self.carried:
            names = Counter((entry.kind, entry.name) for entry in self.carried)
            listed = ", ".join(f"{n} {name} ({kind})" for (kind, name), n in names.most_common())
            lines.append(f"{len(self.carried)} residues ride with the nearest bead: {listed}")
        if self.completed:
            lines.append(f"{self.completed} residues lack atoms, whose strength was added")
        if self.dropped_waters:
            lines.append(f"{self.dropped_waters} waters were left out")
        return lines


def _count_gaps(model: CoarseModel) -> int:
    """Count the places where neighbours in a chain are not bonded."""
    same = model.chains[1:] == model.chains[:-1]
    bonded = {tuple(sorted(pair)) for pair in model.bonds.tolist()}
    return sum((i, i + 1) not in bonded for i in np.flatnonzero(same).tolist())

"""A table of atoms: one numpy array per property."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_HYDROGENS = ("H", "D")


@dataclass(frozen=True, eq=False)
class AtomTable:
    """N atoms of one model.

    Attributes
    ----------
    coordinates
        Shape (N, 3), float64, Å, (x, y, z).
    elements
        Shape (N,), element symbols as in the periodic table (``"C"``, ``"Se"``).
    atomic_numbers
        Shape (N,), int16: Z of each element.
    chains, residue_names, residue_numbers, insertion_codes, atom_names
        Shape (N,): the author's numbering; the insertion code is ``""`` where there is none.
    occupancies, b_factors
        Shape (N,), float64; B in Å².
    """

    coordinates: FloatArray
    elements: NDArray[np.str_]
    atomic_numbers: NDArray[np.int16]
    chains: NDArray[np.str_]
    residue_names: NDArray[np.str_]
    residue_numbers: NDArray[np.int32]
    insertion_codes: NDArray[np.str_]
    atom_names: NDArray[np.str_]
    occupancies: FloatArray
    b_factors: FloatArray

    def __len__(self) -> int:
        return len(self.coordinates)

    def __getitem__(self, index: "BoolArray | NDArray[np.intp] | slice") -> "AtomTable":
        return AtomTable(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @staticmethod
    def concatenate(parts: "Sequence[AtomTable]") -> "AtomTable":
        """Put the atoms of several tables one after the other."""
        names = [f.name for f in fields(AtomTable)]
        return AtomTable(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})

    def with_coordinates(self, coordinates: FloatArray) -> "AtomTable":
        """Return the same atoms at other coordinates, shape (N, 3), Å."""
        moved = np.asarray(coordinates, np.float64)
        if moved.shape != self.coordinates.shape:
            msg = f"coordinates must have shape {self.coordinates.shape}, not {moved.shape}"
            raise ValueError(msg)
        return replace(self, coordinates=moved)

    @property
    def is_hydrogen(self) -> BoolArray:
        """Shape (N,): True for hydrogen and deuterium."""
        return np.isin(self.elements, _HYDROGENS)

    def without_hydrogens(self) -> "AtomTable":
        """Keep the heavy atoms."""
        return self[~self.is_hydrogen]

    def select_chains(self, chains: Collection[str]) -> "AtomTable":
        """Keep the atoms of the named chains."""
        return self[np.isin(self.chains, list(chains))]

    def select_atoms(self, names: Collection[str]) -> "AtomTable":
        """Keep the atoms with one of these names, e.g. ``["CA"]``."""
        return self[np.isin(self.atom_names, list(names))]

    def residue_keys(self) -> list[tuple[str, int, str]]:
        """Give (chain, residue number, insertion code) of every atom."""
        return list(
            zip(
                self.chains.tolist(),
                self.residue_numbers.tolist(),
                self.insertion_codes.tolist(),
                strict=True,
            )
        )

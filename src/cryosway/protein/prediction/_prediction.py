"""A predicted structure with what its program believes of it."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import gemmi
import numpy as np
from numpy.typing import NDArray

from cryosway.protein._atoms import AtomTable
from cryosway.protein._residues import standard_name

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]
Key = tuple[str, int, str]


@final
@dataclass(frozen=True, eq=False)
class Prediction:
    """A predicted structure of L residues.

    Attributes
    ----------
    name
        What it is of.
    atoms
        Heavy atoms of the polymers; B factors are the pLDDT of their residues.
    plddt
        Shape (L,), 0 to 100: predicted lDDT of the Cα of each residue.
    pae
        Shape (L, L), Å: expected error of residue j's place where the structure is superposed on
        residue i's frame; None where it is not known.
    ptm, iptm
        Predicted TM-score, of the whole and of the interfaces; None where not known.
    source
        The program or file that it is from.
    """

    name: str
    atoms: AtomTable
    plddt: FloatArray
    pae: FloatArray | None = None
    ptm: float | None = None
    iptm: float | None = None
    source: str = ""

    def __post_init__(self) -> None:
        count = len(self.starts)
        if self.plddt.shape != (count,):
            msg = f"pLDDT must have shape ({count},), not {self.plddt.shape}"
            raise ValueError(msg)
        if self.pae is not None and self.pae.shape != (count, count):
            msg = f"PAE must have shape ({count}, {count}), not {self.pae.shape}"
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.plddt)

    @cached_property
    def starts(self) -> IndexArray:
        """Shape (L,): the first atom of each residue."""
        return find_starts(self.atoms)

    @cached_property
    def keys(self) -> list[Key]:
        """Chain, number and insertion code of every residue."""
        every = self.atoms.residue_keys()
        return [every[start] for start in self.starts.tolist()]

    @property
    def chains(self) -> NDArray[np.str_]:
        """Shape (L,): the chain of each residue."""
        return self.atoms.chains[self.starts]

    @property
    def sequence(self) -> str:
        """One letter per residue; chains are parted by ``:``."""
        names = self.atoms.residue_names[self.starts].tolist()
        chains = self.chains.tolist()
        letters = [
            gemmi.find_tabulated_residue(standard_name(name)).one_letter_code.upper().strip() or "X"
            for name in names
        ]
        parted = [
            (":" if i and chains[i] != chains[i - 1] else "") + letter
            for i, letter in enumerate(letters)
        ]
        return "".join(parted)

    @property
    def mean_plddt(self) -> float:
        """Mean over residues, 0 to 100."""
        return float(self.plddt.mean())

    def with_confidence(self) -> AtomTable:
        """Give the atoms with the pLDDT of their residue as B factor."""
        counts = np.diff(np.append(self.starts, len(self.atoms)))
        return replace(self.atoms, b_factors=np.repeat(self.plddt, counts))


def find_starts(atoms: AtomTable) -> IndexArray:
    """Find the first atom of each residue of a table, shape (L,)."""
    fields = (atoms.chains, atoms.residue_numbers, atoms.insertion_codes)
    changes = np.any([field[1:] != field[:-1] for field in fields], axis=0)
    return np.concatenate([[0], np.flatnonzero(changes) + 1]).astype(np.intp)

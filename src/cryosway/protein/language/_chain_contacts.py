"""Which residues of a known structure touch."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import final

import gemmi
import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.protein._read import read_models
from cryosway.protein._residues import standard_name

FloatArray = npt.NDArray[np.float64]

#: Å between Cβ atoms, below which residues are in contact.
CONTACT = 8.0
_BACKBONE = ("N", "CA", "C")


@final
@dataclass(frozen=True)
class ChainDistances:
    """A protein chain's residues and how far apart they are.

    Attributes
    ----------
    name : str
        Of the file and the chain.
    sequence : str
        The residues that are resolved, one letter each.
    distances : ndarray, shape (L, L)
        Å between Cβ atoms, which are placed from N, Cα and C, also in glycine.
    """

    name: str
    sequence: str
    distances: FloatArray

    def spread_over(self, sequence: str) -> FloatArray:
        """Give the distances for the residues of another sequence, aligned to this chain's.

        Parameters
        ----------
        sequence : str
            As it was predicted, with residues that the structure may lack.

        Returns
        -------
        ndarray, shape (len(sequence), len(sequence))
            Å; NaN where a residue is not resolved.

        Raises
        ------
        CryoswayError
            When less than half of the chain is found in the sequence.
        """
        rows, columns = _align(sequence, self.sequence)
        same = sum(sequence[a] == self.sequence[b] for a, b in zip(rows, columns, strict=True))
        if same < len(self.sequence) / 2:
            message = (
                f"{self.name} is not of this sequence: {same} of its {len(self.sequence)} residues "
                "fit; give the structures in the order of the sequences"
            )
            raise CryoswayError(message)
        spread = np.full((len(sequence), len(sequence)), np.nan)
        spread[np.ix_(rows, rows)] = self.distances[np.ix_(columns, columns)]
        return spread


def read_chain(path: str | PathLike[str]) -> ChainDistances:
    """Read the longest protein chain of the first model of a structure.

    Parameters
    ----------
    path : path
        mmCIF or PDB, also gzipped.

    Returns
    -------
    ChainDistances
        Residues whose backbone is whole.

    Raises
    ------
    CryoswayError
        When there is no protein chain.
    """
    chains = [_read_residues(chain) for chain in read_models(path)[0]]
    letters, backbone = max(chains, key=lambda found: len(found[0]), default=("", np.empty(0)))
    if len(letters) < 2:
        message = f"{path} has no protein chain with N, CA and C atoms"
        raise CryoswayError(message)
    places = place_beta_carbons(backbone)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    return ChainDistances(Path(path).name, letters, distances)


def place_beta_carbons(backbone: FloatArray) -> FloatArray:
    """Place Cβ atoms in ideal geometry.

    Parameters
    ----------
    backbone : ndarray, shape (L, 3, 3)
        Coordinates of N, Cα and C, Å.

    Returns
    -------
    ndarray, shape (L, 3)
        Å; as trRosetta does (Yang et al., PNAS 2020).
    """
    nitrogen, alpha, carbon = np.moveaxis(backbone, 1, 0)
    along, onward = alpha - nitrogen, carbon - alpha
    normal = np.cross(along, onward)
    return np.asarray(-0.58273431 * normal + 0.56802827 * along - 0.54067466 * onward + alpha)


def _read_residues(chain: gemmi.Chain) -> tuple[str, FloatArray]:
    letters, places = [], []
    for residue in chain.first_conformer():
        info = gemmi.find_tabulated_residue(standard_name(residue.name))
        atoms = [residue.find_atom(name, "*") for name in _BACKBONE]
        if info.is_amino_acid() and all(atoms):
            letters.append(info.one_letter_code.upper())
            places.append([atom.pos.tolist() for atom in atoms])
    text = "".join(letter if letter.isalpha() else "X" for letter in letters)
    return text, np.array(places, np.float64).reshape(-1, 3, 3)


def _align(first: str, second: str) -> tuple[list[int], list[int]]:
    """Align two sequences; give the places that lie side by side."""
    result = gemmi.align_string_sequences(list(first), list(second), [])
    gapped = result.add_gaps(first, 1), result.add_gaps(second, 2)
    rows, columns = [], []
    a = b = 0
    for x, y in zip(*gapped, strict=True):
        if x != "-" and y != "-":
            rows.append(a)
            columns.append(b)
        a, b = a + (x != "-"), b + (y != "-")
    return rows, columns

"""What residues are: their names in other programs, their kind, and what they are made of."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import gemmi
import numpy as np
from numpy.typing import NDArray

from cryosway.protein._atoms import AtomTable

Kind = Literal["protein", "nucleic", "water", "ion", "glycan", "ligand"]
FloatArray = NDArray[np.float64]

#: Names of CHARMM and Amber force fields → those of the Protein Data Bank.
_ALIASES = {
    **dict.fromkeys(("HSD", "HSE", "HSP", "HID", "HIE", "HIP"), "HIS"),
    **dict.fromkeys(("CYM", "CYX", "CYN"), "CYS"),
    **dict.fromkeys(("ASPP", "ASH"), "ASP"),
    **dict.fromkeys(("GLUP", "GLH"), "GLU"),
    **dict.fromkeys(("LSN", "LYN"), "LYS"),
    "ADE": "A",
    "CYT": "C",
    "GUA": "G",
    "URA": "U",
    "THY": "DT",
    **{f"R{base}{end}": base for base in "ACGU" for end in ("", "3", "5", "N")},
    **{f"{base}{end}": base for base in "ACGU" for end in "35"},
    **{f"D{base}{end}": f"D{base}" for base in "ACGT" for end in "35"},
    **dict.fromkeys(("WAT", "TIP", "TIP3", "TIP4", "SPC", "SOL", "DOD"), "HOH"),
}

#: Heavy atoms of residues inside a chain (nucleotides with their phosphate).
_FORMULAS = {
    "ALA": "C3NO", "ARG": "C6N4O", "ASN": "C4N2O2", "ASP": "C4NO3", "CYS": "C3NOS",
    "GLN": "C5N2O2", "GLU": "C5NO3", "GLY": "C2NO", "HIS": "C6N3O", "ILE": "C6NO",
    "LEU": "C6NO", "LYS": "C6N2O", "MET": "C5NOS", "MSE": "C5NOSe", "PHE": "C9NO",
    "PRO": "C5NO", "SER": "C3NO2", "THR": "C4NO2", "TRP": "C11N2O", "TYR": "C9NO2",
    "VAL": "C5NO",
    "A": "C10N5O6P", "C": "C9N3O7P", "G": "C10N5O7P", "U": "C9N2O8P",
    "DA": "C10N5O5P", "DC": "C9N3O6P", "DG": "C10N5O6P", "DT": "C10N2O7P",
}  # fmt: skip
_SUGARS = {"PYR", "KET"}
_PEPTIDE_BOND = 2.0
_PHOSPHATE_BOND = 2.2
_CA_STEP = 4.5
_C1_STEP = 7.5


def standard_name(name: str) -> str:
    """Give the Protein Data Bank's name of a residue that a force field calls otherwise.

    Examples
    --------
    >>> standard_name("HSD"), standard_name("GUA"), standard_name("ALA")
    ('HIS', 'G', 'ALA')
    """
    return _ALIASES.get(name, name)


@lru_cache(maxsize=1024)
def tabulated_kind(name: str) -> Kind | None:
    """Tell the kind of a residue by its name, None where the name alone does not say it."""
    info = gemmi.find_tabulated_residue(standard_name(name))
    if info.is_water():
        return "water"
    if info.is_amino_acid():
        return "protein"
    if info.is_nucleic_acid():
        return "nucleic"
    return "glycan" if info.kind.name in _SUGARS else None


@lru_cache(maxsize=256)
def heavy_atoms(name: str) -> dict[str, int] | None:
    """Count the heavy atoms, by element, that a residue inside a chain should have.

    Examples
    --------
    >>> heavy_atoms("HSE")
    {'C': 6, 'N': 3, 'O': 1}
    """
    formula = _FORMULAS.get(standard_name(name))
    if formula is None:
        return None
    counts: dict[str, int] = {}
    symbol = ""
    for token in _split_formula(formula):
        if token.isdigit():
            counts[symbol] = int(token)
        else:
            symbol = token
            counts[symbol] = 1
    return counts


def _split_formula(formula: str) -> list[str]:
    tokens: list[str] = []
    for letter in formula:
        joins = tokens and (
            (letter.isdigit() and tokens[-1].isdigit()) or (letter.islower() and tokens[-1])
        )
        if joins:
            tokens[-1] += letter
        else:
            tokens.append(letter)
    return tokens


@dataclass(frozen=True, eq=False)
class Residues:
    """The R residues of a table: runs of atoms with one chain, number, insertion code and name.

    Attributes
    ----------
    starts
        Shape (R + 1,): residue i has the atoms starts[i] … starts[i + 1] − 1.
    names, chains
        Shape (R,).
    named
        Row of each atom by its name, per residue.
    kinds
        Shape (R,), see `Kind`.
    linked
        Shape (R,): whether a residue is bonded to the next one as polymers are: C–N within
        2.0 Å, or O3'–P within 2.2 Å; where those atoms are missing or badly placed, two residues
        with consecutive numbers whose Cα are within 4.5 Å, or C1' within 7.5 Å.
    """

    starts: NDArray[np.intp]
    names: NDArray[np.str_]
    chains: NDArray[np.str_]
    named: list[dict[str, int]]
    kinds: NDArray[np.str_]
    linked: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, residue: int) -> range:
        """Give the rows of the atoms of a residue."""
        return range(int(self.starts[residue]), int(self.starts[residue + 1]))


def split_residues(atoms: AtomTable) -> Residues:
    """Find the residues of a table, their kinds and the links between them.

    Modified residues, whose names say nothing, count as polymer where they are linked into one
    with the atoms of a backbone; so GTP bound as a ligand is none.
    """
    fields = (atoms.chains, atoms.residue_numbers, atoms.insertion_codes, atoms.residue_names)
    changes = np.any([field[1:] != field[:-1] for field in fields], axis=0)
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1, [len(atoms)]]).astype(np.intp)
    names, chains = atoms.residue_names[starts[:-1]], atoms.chains[starts[:-1]]
    atom_names = atoms.atom_names.tolist()
    named = [
        {atom_names[row]: row for row in range(first, last)}
        for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    ]
    same_chain = chains[1:] == chains[:-1]
    linked = np.zeros(len(names), bool)
    for i in np.flatnonzero(same_chain):
        linked[i] = _are_linked(atoms, named[i], named[i + 1])
    joined = linked | np.concatenate([[False], linked[:-1]])
    kinds = [
        _find_kind(str(name), atoms, rows, linked=bool(link))
        for name, rows, link in zip(names, named, joined, strict=True)
    ]
    found = np.array(kinds, "U8")
    polymer = np.isin(found, ("protein", "nucleic"))
    linked[:-1] &= (found[1:] == found[:-1]) & polymer[1:]
    return Residues(starts, names, chains, named, found, linked)


def _are_linked(atoms: AtomTable, first: dict[str, int], second: dict[str, int]) -> bool:
    for ends, limit in (
        (("C", "N"), _PEPTIDE_BOND),
        (("O3'", "P"), _PHOSPHATE_BOND),
        (("O3*", "P"), _PHOSPHATE_BOND),
    ):
        there = ends[0] in first and ends[1] in second
        if there and _distance(atoms, first[ends[0]], second[ends[1]]) < limit:
            return True
    numbers = atoms.residue_numbers
    if numbers[next(iter(second.values()))] - numbers[next(iter(first.values()))] not in (0, 1):
        return False
    for name, limit in (("CA", _CA_STEP), ("C1'", _C1_STEP)):
        if name in first and name in second:
            return _distance(atoms, first[name], second[name]) < limit
    return False


def _distance(atoms: AtomTable, a: int, b: int) -> float:
    return float(np.linalg.norm(atoms.coordinates[a] - atoms.coordinates[b]))


def _find_kind(name: str, atoms: AtomTable, rows: dict[str, int], *, linked: bool) -> Kind:
    known = tabulated_kind(name)
    if known is not None:
        return known
    if linked and {"N", "CA", "C"} <= rows.keys():
        return "protein"
    if linked and rows.keys() & {"C1'", "C1*"}:
        return "nucleic"
    first, *others = rows.values()
    return "ligand" if others or atoms.elements[first] == "C" else "ion"

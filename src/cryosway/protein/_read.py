"""Read atomic models from mmCIF, PDB or their gzipped forms."""

from collections.abc import Collection
from os import PathLike
from pathlib import Path

import gemmi
import numpy as np

from cryosway._errors import CryoswayError
from cryosway.protein._atoms import AtomTable

_SUFFIXES = (".cif", ".mmcif", ".pdb", ".ent", ".brk")
# What polymers are made of: anything else read from an atom name in a file without an element
# column (CHARMM writes "CA" and "HG1" left-aligned) is a misreading.
_POLYMER_ELEMENTS = {"H", "D", "C", "N", "O", "S", "P", "Se"}
_CHARMM_RESIDUES = {"HSD", "HSE", "HSP", "CYM", "GLUP", "ASPP", "LSN"}
_WATERS = {"HOH", "WAT", "TIP3", "TIP", "DOD", "SOL"}


def read_structure(
    path: str | PathLike[str],
    *,
    chains: Collection[str] | None = None,
    hydrogens: bool = False,
    waters: bool = False,
    ligands: bool = True,
) -> AtomTable:
    """Read the first model of a structure file.

    Of alternative locations the one with the highest occupancy is kept (the first of equals).

    Parameters
    ----------
    path
        mmCIF or PDB, also gzipped.
    chains
        Author chain names to keep; all where None.
    hydrogens, waters, ligands
        Whether to keep hydrogens, water, and what is neither polymer nor water.

    Returns
    -------
    The atoms in the order of the file.

    Raises
    ------
    CryoswayError
        If the file is missing or unreadable, a chain is unknown, or no atom is left.
    """
    model = _read_first_model(Path(path))
    if chains is not None:
        _require_chains(model, chains, Path(path))
    rows = [
        (chain.name, residue, atom)
        for chain in model
        if chains is None or chain.name in set(chains)
        for residue in chain
        if _wants_residue(residue, waters=waters, ligands=ligands)
        for atom in _choose_alternatives(residue)
    ]
    table = _build_table(rows)
    table = table if hydrogens else table.without_hydrogens()
    if not len(table):
        msg = f"{path}: no atoms are left after the selection; widen it (chains, ligands, waters)"
        raise CryoswayError(msg)
    return table


def _read_first_model(path: Path) -> gemmi.Model:
    if not path.is_file():
        msg = f"{path}: no such structure file; give the path of an mmCIF or PDB file"
        raise CryoswayError(msg)
    bare = path.with_suffix("") if path.suffix == ".gz" else path
    if bare.suffix.lower() not in _SUFFIXES:
        msg = f"{path}: not a structure file by its name; expected {', '.join(_SUFFIXES)} (or .gz)"
        raise CryoswayError(msg)
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        msg = f"{path}: cannot be read as mmCIF or PDB ({error}); check the file"
        raise CryoswayError(msg) from error
    if not len(structure) or not structure[0].count_atom_sites():
        msg = f"{path}: holds no atoms; give a file with coordinates"
        raise CryoswayError(msg)
    return structure[0]


def _require_chains(model: gemmi.Model, chains: Collection[str], path: Path) -> None:
    present = list(dict.fromkeys(chain.name for chain in model))
    missing = [name for name in chains if name not in present]
    if missing:
        shown = " ".join(present[:60])
        msg = f"{path}: no chain {', '.join(missing)}; the file has chains {shown}"
        raise CryoswayError(msg)


def _is_polymer(residue: gemmi.Residue) -> bool:
    if residue.name in _CHARMM_RESIDUES:
        return True
    info = gemmi.find_tabulated_residue(residue.name)
    return bool(info.is_amino_acid() or info.is_nucleic_acid())


def _wants_residue(residue: gemmi.Residue, *, waters: bool, ligands: bool) -> bool:
    if residue.name in _WATERS:
        return waters
    return ligands or _is_polymer(residue)


def _choose_alternatives(residue: gemmi.Residue) -> list[gemmi.Atom]:
    """Keep one location per atom name: the one with the highest occupancy."""
    best: dict[str, gemmi.Atom] = {}
    for atom in residue:
        kept = best.get(atom.name)
        if kept is None or atom.occ > kept.occ:
            best[atom.name] = atom
    return list(best.values())


def _find_element(residue: gemmi.Residue, atom: gemmi.Atom) -> gemmi.Element:
    if atom.element.name in _POLYMER_ELEMENTS or not _is_polymer(residue):
        return atom.element
    letters = atom.name.lstrip("0123456789'\"*")
    return gemmi.Element(letters[:1] or "X")


def _build_table(rows: list[tuple[str, gemmi.Residue, gemmi.Atom]]) -> AtomTable:
    elements = [_find_element(residue, atom) for _, residue, atom in rows]
    positions = np.array([atom.pos.tolist() for _, _, atom in rows], np.float64)
    return AtomTable(
        coordinates=positions.reshape(-1, 3),
        elements=np.array([element.name for element in elements], dtype="U2"),
        atomic_numbers=np.array([element.atomic_number for element in elements], np.int16),
        chains=np.array([chain for chain, _, _ in rows], dtype="U8"),
        residue_names=np.array([residue.name for _, residue, _ in rows], dtype="U8"),
        residue_numbers=np.array([residue.seqid.num or 0 for _, residue, _ in rows], np.int32),
        insertion_codes=np.array([r.seqid.icode.strip() for _, r, _ in rows], dtype="U1"),
        atom_names=np.array([atom.name for _, _, atom in rows], dtype="U8"),
        occupancies=np.array([atom.occ for _, _, atom in rows], np.float64),
        b_factors=np.array([atom.b_iso for _, _, atom in rows], np.float64),
    )

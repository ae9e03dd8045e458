"""Read atomic models from mmCIF, PDB or their gzipped forms."""

from collections.abc import Collection
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import gemmi
import numpy as np
from numpy.typing import DTypeLike, NDArray

from cryosway._errors import CryoswayError
from cryosway.protein._atoms import AtomTable
from cryosway.protein._residues import tabulated_kind

_SUFFIXES = (".cif", ".mmcif", ".pdb", ".ent", ".brk")
# What polymers are made of: anything else read from an atom name in a file without an element
# column (CHARMM writes "CA" and "HG1" left-aligned) is a misreading.
_POLYMER_ELEMENTS = {"H", "D", "C", "N", "O", "S", "P", "Se"}


def read_structure(
    path: str | PathLike[str],
    *,
    chains: Collection[str] | None = None,
    hydrogens: bool = False,
    waters: bool = False,
    ligands: bool = True,
    models: Literal["first", "all"] = "first",
) -> AtomTable:
    """Read a structure file: its first model, or all.

    Of alternative conformations of a residue the one with the highest occupancy is kept (the
    first of equals), also where they are different residues at one place in the sequence.
    Files of CHARMM without chain names have their segment names in the place.

    Parameters
    ----------
    path
        mmCIF or PDB, also gzipped.
    chains
        Author chain names to keep; all where None.
    hydrogens, waters, ligands
        Whether to keep hydrogens, water, and what is neither polymer nor water.
    models
        ``all`` is for assemblies whose copies are models of one file: the chains of model 2 are
        then called A-2, B-2, ….

    Returns
    -------
    The atoms in the order of the file.

    Raises
    ------
    CryoswayError
        If the file is missing or unreadable, a chain is unknown, or no atom is left.
    """
    return select_atoms(
        read_models(path),
        Path(path),
        models,
        chains=chains,
        hydrogens=hydrogens,
        waters=waters,
        ligands=ligands,
    )


def select_atoms(
    structure: gemmi.Structure,
    path: Path,
    models: Literal["first", "all"],
    *,
    chains: Collection[str] | None = None,
    hydrogens: bool = False,
    waters: bool = False,
    ligands: bool = True,
) -> AtomTable:
    """Give what `read_structure` gives of a file that `read_models` has read already."""
    kept = _Selection(chains, hydrogens=hydrogens, waters=waters, ligands=ligands)
    return kept.make_table(_list_residues(structure, models), path)


def read_ensemble(
    path: str | PathLike[str], *, chains: Collection[str] | None = None
) -> list[AtomTable]:
    """Read every model of a structure file as a table of its own: heavy atoms, no water.

    Parameters and errors are those of `read_structure`.
    """
    structure = read_models(path)
    kept = _Selection(chains, hydrogens=False, waters=False, ligands=True)
    tables = []
    for model in structure:
        alone = gemmi.Structure()
        alone.add_model(model)
        tables.append(kept.make_table(_list_residues(alone, "first"), Path(path)))
    return tables


@dataclass(frozen=True)
class _Selection:
    """What is kept of a file; see `read_structure`."""

    chains: Collection[str] | None
    hydrogens: bool
    waters: bool
    ligands: bool

    def make_table(self, found: list[tuple[str, gemmi.Residue]], path: Path) -> AtomTable:
        chains = self.chains
        if chains is not None:
            _require_chains([chain for chain, _ in found], chains, path)
        rows = [
            (chain, residue, _choose_alternatives(residue))
            for chain, residue in found
            if chains is None or chain in chains or chain.rpartition("-")[0] in chains
            if _wants_residue(residue, waters=self.waters, ligands=self.ligands)
        ]
        table = _build_table(rows)
        table = table if self.hydrogens else table.without_hydrogens()
        if not len(table):
            msg = (
                f"{path}: no atoms are left after the selection; widen it (chains, ligands, waters)"
            )
            raise CryoswayError(msg)
        return table


def read_models(path: str | PathLike[str]) -> gemmi.Structure:
    """Read a structure file with all its models, or say why that cannot be done."""
    path = Path(path)
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
    return structure


def _list_residues(
    structure: gemmi.Structure, models: Literal["first", "all"]
) -> list[tuple[str, gemmi.Residue]]:
    """List the residues with the names of their chains, one residue per place in the sequence."""
    found: dict[tuple[int, str, str, str], tuple[str, gemmi.Residue]] = {}
    for number, model in enumerate(structure, start=1):
        if number > 1 and models == "first":
            break
        ending = "" if number == 1 else f"-{number}"
        for chain in model:
            for order, residue in enumerate(chain):
                name = (chain.name or residue.segment) + ending
                alternative = any(atom.has_altloc() for atom in residue)
                place = str(residue.seqid) if alternative else f"{residue.seqid} {order}"
                key = (number, chain.name, residue.segment, place)
                if key not in found or _occupancy(residue) > _occupancy(found[key][1]):
                    found[key] = (name, residue)
    return list(found.values())


def _occupancy(residue: gemmi.Residue) -> float:
    """Occupancy of a residue: that of its fullest conformation."""
    return max((occupancy for occupancy in _conformations(residue).values()), default=0.0)


def _conformations(residue: gemmi.Residue) -> dict[str, float]:
    """Mean occupancy of each alternative conformation of a residue."""
    atoms: dict[str, list[float]] = {}
    for atom in residue:
        if atom.has_altloc():
            atoms.setdefault(atom.altloc, []).append(atom.occ)
    return {name: sum(values) / len(values) for name, values in atoms.items()}


def _require_chains(names: Collection[str], chains: Collection[str], path: Path) -> None:
    present = list(dict.fromkeys(names))
    missing = [name for name in chains if name not in present]
    if missing:
        shown = " ".join(present[:60])
        msg = f"{path}: no chain {', '.join(missing)}; the file has chains {shown}"
        raise CryoswayError(msg)


def _is_polymer(residue: gemmi.Residue) -> bool:
    return tabulated_kind(residue.name) in ("protein", "nucleic")


def _wants_residue(residue: gemmi.Residue, *, waters: bool, ligands: bool) -> bool:
    if tabulated_kind(residue.name) == "water":
        return waters
    return ligands or _is_polymer(residue)


def _choose_alternatives(residue: gemmi.Residue) -> list[gemmi.Atom]:
    """Keep one location per atom name: that of the fullest conformation that has the atom."""
    rank = _conformations(residue)
    best: dict[str, gemmi.Atom] = {}
    for atom in residue:
        kept = best.get(atom.name)
        if kept is None or rank.get(atom.altloc, 0.0) > rank.get(kept.altloc, 0.0):
            best[atom.name] = atom
    return list(best.values())


def _find_element(residue: gemmi.Residue, atom: gemmi.Atom) -> str:
    name = atom.element.name
    if name in _POLYMER_ELEMENTS or not _is_polymer(residue):
        return name
    letters = atom.name.lstrip("0123456789'\"*")
    return gemmi.Element(letters[:1] or "X").name


def _build_table(rows: list[tuple[str, gemmi.Residue, list[gemmi.Atom]]]) -> AtomTable:
    """Tabulate residues, each with the name of its chain and its atoms."""
    counts = [len(atoms) for _, _, atoms in rows]
    atoms = [atom for *_, own in rows for atom in own]
    elements = [_find_element(residue, atom) for _, residue, own in rows for atom in own]
    numbers = {name: gemmi.Element(name).atomic_number for name in set(elements)}
    positions = np.array([atom.pos.tolist() for atom in atoms], np.float64)

    def spread(values: list[Any], kind: DTypeLike) -> NDArray[Any]:
        return np.repeat(np.array(values, kind), counts)

    return AtomTable(
        coordinates=positions.reshape(-1, 3),
        elements=np.array(elements, dtype="U2"),
        atomic_numbers=np.array([numbers[name] for name in elements], np.int16),
        chains=spread([chain for chain, _, _ in rows], "U8"),
        residue_names=spread([residue.name for _, residue, _ in rows], "U8"),
        residue_numbers=spread([residue.seqid.num or 0 for _, residue, _ in rows], np.int32),
        insertion_codes=spread([residue.seqid.icode.strip() for _, residue, _ in rows], "U1"),
        atom_names=np.array([atom.name for atom in atoms], dtype="U8"),
        occupancies=np.array([atom.occ for atom in atoms], np.float64),
        b_factors=np.array([atom.b_iso for atom in atoms], np.float64),
    )

"""Write atoms as an mmCIF or PDB file."""

from os import PathLike
from pathlib import Path

import gemmi

from cryosway._errors import CryoswayError
from cryosway.protein._atoms import AtomTable


def write_structure(path: str | PathLike[str], models: AtomTable | list[AtomTable]) -> None:
    """Write one model, or an ensemble of models, in the format that the file's name says.

    Parameters
    ----------
    path
        Ends in ``.cif`` or ``.pdb``.
    models
        One table, or several that become models 1, 2, ….
    """
    tables = [models] if isinstance(models, AtomTable) else models
    structure = gemmi.Structure()
    for number, table in enumerate(tables, start=1):
        structure.add_model(_build_model(table, number))
    structure.setup_entities()
    suffix = Path(path).suffix
    if suffix == ".cif":
        structure.make_mmcif_document().write_file(str(path))
    elif suffix == ".pdb":
        try:
            structure.write_pdb(str(path))
        except RuntimeError as error:  # chain names, or more atoms than the format has room for
            msg = f"{path}: the model does not fit the PDB format ({error}); write it as .cif"
            raise CryoswayError(msg) from error
    else:
        msg = f"{path}: structures are written as .cif or .pdb; change the file's ending"
        raise CryoswayError(msg)


def _build_model(table: AtomTable, number: int) -> gemmi.Model:
    model = gemmi.Model(number)
    previous: tuple[str, int, str] | None = None
    chain = residue = None
    for row, key in enumerate(table.residue_keys()):
        if chain is None or previous is None or previous[0] != key[0]:
            chain = model.add_chain(gemmi.Chain(key[0] or "A"))
        if residue is None or key != previous:
            fresh = gemmi.Residue()
            fresh.name = str(table.residue_names[row])
            fresh.seqid = gemmi.SeqId(int(key[1]), key[2] or " ")
            residue = chain.add_residue(fresh)
        residue.add_atom(_build_atom(table, row))
        previous = key
    return model


def _build_atom(table: AtomTable, row: int) -> gemmi.Atom:
    atom = gemmi.Atom()
    atom.name = str(table.atom_names[row])
    atom.element = gemmi.Element(str(table.elements[row]))
    atom.pos = gemmi.Position(*table.coordinates[row].tolist())
    atom.occ = float(table.occupancies[row])
    atom.b_iso = float(table.b_factors[row])
    return atom

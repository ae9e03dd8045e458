"""Read predictions: ours, and those of AlphaFold DB, ColabFold, AlphaFold 3 and Boltz."""

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.protein._atoms import AtomTable
from cryosway.protein._read import read_structure
from cryosway.protein._residues import split_residues
from cryosway.protein.prediction._prediction import Prediction, find_starts
from cryosway.protein.prediction._scores import Scores, as_percent, find_scores, read_scores

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]

_SUFFIXES = (".cif", ".pdb", ".cif.gz", ".pdb.gz")


def read_prediction(
    model: str | PathLike[str], confidence: str | PathLike[str] | None = None
) -> Prediction:
    """Read a predicted model with its confidences.

    pLDDT is taken from the file of confidences where it has one, else from the B factors; values
    up to 1 are brought to 0 to 100.

    Parameters
    ----------
    model
        mmCIF or PDB.
    confidence
        JSON or NPZ with the predicted aligned error. Where None, the file that the program would
        have written beside the model is taken if it is there.

    Raises
    ------
    CryoswayError
        When a file cannot be read, or model and confidences have different residues.
    """
    path = Path(model)
    atoms = read_structure(path)
    found = Path(confidence) if confidence is not None else find_scores(path)
    polymer, tokens, count = _list_tokens(atoms)
    alone = atoms[polymer]
    plddt = as_percent(_read_b_factors(alone))
    name = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    if found is None:
        return Prediction(name, alone, plddt, source=str(path))
    scores = read_scores(found)
    chosen = _choose_tokens(alone, scores, tokens, count, path, found)
    if scores.plddt is not None and len(scores.plddt) == len(scores.pae):
        plddt = scores.plddt[chosen]
    pae = scores.pae[np.ix_(chosen, chosen)]
    return Prediction(name, alone, plddt, pae, scores.ptm, scores.iptm, str(found))


def list_models(folder: Path) -> list[Path]:
    """List the models (mmCIF, PDB) in a folder and those within it."""
    return sorted(path for path in folder.rglob("*") if path.name.endswith(_SUFFIXES))


def require_models(folder: Path) -> list[Path]:
    """List the models in a folder of another program.

    Raises
    ------
    CryoswayError
        When there are none.
    """
    found = list_models(folder)
    if not found:
        msg = f"{folder} holds no models (mmCIF or PDB); give the folder of another program"
        raise CryoswayError(msg)
    return found


def _list_tokens(atoms: AtomTable) -> tuple[NDArray[np.bool_], IndexArray, int]:
    """Say which atoms are of polymers, and the token of each polymer residue of how many.

    A polymer residue is one token; every atom of another molecule is one.
    """
    residues = split_residues(atoms)
    polymer = np.isin(residues.kinds, ("protein", "nucleic"))
    sizes = np.diff(residues.starts)
    counts = np.where(polymer, 1, sizes)
    first = np.concatenate([[0], np.cumsum(counts)])
    return np.repeat(polymer, sizes), first[:-1][polymer].astype(np.intp), int(first[-1])


def _read_b_factors(atoms: AtomTable) -> FloatArray:
    """B factor of the Cα (C1') of each residue; of its first atom where there is none."""
    starts = find_starts(atoms)
    ends = np.append(starts[1:], len(atoms))
    values = atoms.b_factors[starts].copy()
    named = np.isin(atoms.atom_names, ("CA", "C1'"))
    for row in np.flatnonzero(named):
        residue = int(np.searchsorted(ends, row, side="right"))
        values[residue] = atoms.b_factors[row]
    return np.asarray(values, np.float64)


def _choose_tokens(
    atoms: AtomTable, scores: Scores, tokens: IndexArray, count: int, model: Path, path: Path
) -> IndexArray:
    """Choose the token of each residue (L,)."""
    size, starts = len(scores.pae), find_starts(atoms)
    if scores.tokens is not None and len(scores.tokens) == size:
        where: dict[tuple[str, int], int] = {}
        for row, token in enumerate(scores.tokens):
            where.setdefault(token, row)
        keys = [(c, n) for c, n, _ in (atoms.residue_keys()[s] for s in starts.tolist())]
        absent = [key for key in keys if key not in where]
        if not absent:
            return np.array([where[key] for key in keys], np.intp)
        chain, number = absent[0]
        msg = f"{path} says nothing of residue {number} of chain {chain} of {model}; give its own"
        raise CryoswayError(msg)
    if size == len(starts):
        return np.arange(size)
    if size == count:
        return tokens
    msg = (
        f"{path} is of {size} residues but {model} has {len(starts)}; give the model as the "
        "program wrote it, or the confidences of this model"
    )
    raise CryoswayError(msg)

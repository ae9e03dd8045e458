"""Adenylate kinase from closed to open: the built-in example."""

from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray

from cryosway.protein import AtomTable, match_atoms, morph_domains, read_structure

# Domains of E. coli adenylate kinase (Müller & Schulz, J. Mol. Biol. 224, 1992) without their
# hinges; residue numbers, both ends included.
_CORE = ((1, 27), (64, 117), (164, 214))
_NMP = ((31, 59),)
LID = ((124, 155),)


def adenylate_kinase_states(n: int) -> list[AtomTable]:
    """Give n states of E. coli adenylate kinase from closed (1AKE) to open (4AKE).

    The LID and NMP domains turn about their screw axes relative to the CORE, which stays, in
    equal fractions; bonds and angles keep their lengths on the way. Chain A, heavy atoms of the
    protein, 214 residues; Cα RMSD of the ends about 7 Å.

    Parameters
    ----------
    n
        States, both ends included; 2 or more.

    Examples
    --------
    >>> states = adenylate_kinase_states(3)
    >>> len(states), len(states[0])
    (3, 1656)
    """
    closed, opened = match_atoms(_read("1ake.cif.gz"), _read("4ake.cif.gz"))
    domains = [select_ranges(closed, ranges) for ranges in (_CORE, _NMP, LID)]
    return morph_domains(closed, opened, domains, n)


def _read(name: str) -> AtomTable:
    with as_file(files("cryosway.simulate") / "data" / name) as path:
        return read_structure(path)


def select_ranges(atoms: AtomTable, ranges: tuple[tuple[int, int], ...]) -> NDArray[np.bool_]:
    """Select residues by ranges of their numbers, both ends included: shape (N,)."""
    numbers = atoms.residue_numbers
    return np.any([(numbers >= low) & (numbers <= high) for low, high in ranges], axis=0)

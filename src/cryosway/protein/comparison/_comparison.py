"""Compare models, ensembles and predictions of one molecule."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.protein._atoms import AtomTable
from cryosway.protein._superpose import Superposition, find_superposition
from cryosway.protein.comparison._matching import ResidueMatch, match_residues
from cryosway.protein.comparison._similarity import (
    average_over_residues,
    measure_lddt,
    measure_tm,
)

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Comparison:
    """M models against K references of the same molecule, over R matched residues.

    Attributes
    ----------
    rmsd
        Shape (M, K), Å: of Cα (C1' of nucleotides), superposed.
    tm
        Shape (M, K): TM-score, by the length of the reference.
    lddt_ca, lddt
        Shape (M, K): of Cα, and of all heavy atoms that both have.
    match
        Which residues and atoms were compared.
    residue_lddt
        Shape (M, K, R): lDDT of all atoms of each residue.
    residue_distance
        Shape (M, K, R), Å: between Cα, superposed for the RMSD.
    """

    rmsd: FloatArray
    tm: FloatArray
    lddt_ca: FloatArray
    lddt: FloatArray
    match: ResidueMatch
    residue_lddt: FloatArray
    residue_distance: FloatArray

    @property
    def nearest(self) -> NDArray[np.intp]:
        """Shape (M,): the reference that each model is nearest to by RMSD."""
        return self.rmsd.argmin(axis=1)


def compare_structures(models: Sequence[AtomTable], references: Sequence[AtomTable]) -> Comparison:
    """Compare every model with every reference.

    Parameters
    ----------
    models, references
        One or more; those of one side must have the same atoms, as an ensemble has.

    Raises
    ------
    CryoswayError
        When members of an ensemble differ in their atoms, or no residues match.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from cryosway.protein import compare_structures, read_structure
    >>> folder = files("cryosway.simulate") / "data"
    >>> closed, opened = (read_structure(folder / f"{x}.cif.gz") for x in ("1ake", "4ake"))
    >>> found = compare_structures([opened], [closed])
    >>> round(float(found.rmsd[0, 0]), 2), round(float(found.lddt_ca[0, 0]), 3)
    (7.13, 0.754)
    """
    mobile, fixed = _stack(models, "models"), _stack(references, "references")
    match = match_residues(models[0], references[0])
    ca_m, ca_f = mobile[:, match.anchors[:, 0]], fixed[:, match.anchors[:, 1]]
    all_m, all_f = mobile[:, match.atoms[:, 0]], fixed[:, match.atoms[:, 1]]
    shape, count = (len(mobile), len(fixed)), len(match)
    rmsd, tm, lddt_ca, lddt = (np.empty(shape) for _ in range(4))
    local, apart = np.empty((*shape, count)), np.empty((*shape, count))
    for k in range(len(fixed)):
        lddt_ca[:, k] = measure_lddt(ca_f[k], ca_m, np.arange(count)).scores
        found = measure_lddt(all_f[k], all_m, match.residues)
        lddt[:, k] = found.scores
        local[:, k] = average_over_residues(found.atoms, match.residues, count)
        for m in range(len(mobile)):
            fit = find_superposition(ca_m[m], ca_f[k])
            rmsd[m, k] = fit.rmsd
            apart[m, k] = np.linalg.norm(fit.apply(ca_m[m]) - ca_f[k], axis=-1)
            tm[m, k] = measure_tm(ca_m[m], ca_f[k], match.lengths[1])[0]
    return Comparison(rmsd, tm, lddt_ca, lddt, match, local, apart)


def superpose_on(model: AtomTable, reference: AtomTable) -> Superposition:
    """Find the motion that lays a model on a reference by their matched Cα."""
    match = match_residues(model, reference)
    a, b = match.anchors.T
    return find_superposition(model.coordinates[a], reference.coordinates[b])


def _stack(tables: Sequence[AtomTable], what: str) -> FloatArray:
    """Coordinates (M, n, 3) of an ensemble."""
    first = tables[0]
    names = (first.residue_keys(), first.atom_names.tolist())
    for number, table in enumerate(tables[1:], start=2):
        if (table.residue_keys(), table.atom_names.tolist()) != names:
            msg = (
                f"model {number} of the {what} has other atoms than model 1; compare models with "
                "different atoms one by one"
            )
            raise CryoswayError(msg)
    return np.stack([table.coordinates for table in tables])

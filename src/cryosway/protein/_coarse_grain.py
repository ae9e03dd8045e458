"""From atoms to beads: where beads sit, which atoms are theirs, and which beads are bonded."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from cryosway._errors import CryoswayError
from cryosway.protein._atoms import AtomTable
from cryosway.protein._coarse import CarriedResidue, CoarseModel
from cryosway.protein._residues import Residues, split_residues
from cryosway.protein._strength import Scattering, atom_strengths, missing_strength

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]
NucleotideBeads = Literal[1, 3]

#: Atoms that a bead may sit on, the first that a residue has.
_ANCHORS = {"protein": ("CA",), "nucleic": ("C1'", "C1*", "C4'", "C4*", "P")}
#: The same for the three beads of a nucleotide: phosphate, sugar, base.
_THREE_ANCHORS = (("P",), ("C4'", "C4*"), ("C2",))
_PHOSPHATE = {"P", "OP1", "OP2", "OP3", "O1P", "O2P", "O3P"}
_COVALENT = 2.0


def coarse_grain(
    atoms: AtomTable,
    *,
    nucleotide_beads: NucleotideBeads = 1,
    scattering: Scattering = "electron",
    complete: bool = True,
    atom_width: float = 0.7,
    keep_waters: bool = False,
) -> CoarseModel:
    """Represent a model by beads, one per residue.

    Ligands, ions, glycans, and residues of polymers without the atom that a bead sits on ride
    rigidly with the bead nearest to them and are named in ``carried``.

    Parameters
    ----------
    atoms
        From `read_structure`, with or without hydrogens.
    nucleotide_beads
        One bead (C1'), or three (P, C4', C2).
    scattering
        ``electron``: electron scattering factors at zero angle; ``number``: atomic numbers.
    complete
        Whether to add the strength of heavy atoms that a residue should have but the file lacks
        (truncated side chains); its width is then the median of complete residues of its name.
    atom_width
        Width (σ) of an atom, Å.
    keep_waters
        Whether water in `atoms` is carried along rather than left out.

    Raises
    ------
    CryoswayError
        If no residue can be a bead.

    Examples
    --------
    >>> from cryosway.simulate import adenylate_kinase_states
    >>> model = coarse_grain(adenylate_kinase_states(2)[0])
    >>> model.describe()
    ['214 beads (214 protein) stand for 1656 atoms; 0 gaps in the chains']
    """
    residues = split_residues(atoms)
    waters = 0 if keep_waters else int((residues.kinds == "water").sum())
    if waters:
        atoms = atoms[np.repeat(residues.kinds != "water", np.diff(residues.starts))]
        residues = split_residues(atoms)
    draft = _place_beads(atoms, residues, nucleotide_beads)
    carried = _carry(atoms, residues, draft)
    strengths = atom_strengths(atoms.elements, scattering)
    anchors = np.array(draft.anchors, np.intp)
    at = atoms.coordinates[anchors]
    own = draft.carried_residue < 0
    amplitudes = draft.sum_over_beads(strengths * own)
    spread = ((atoms.coordinates - at[draft.atom_to_bead]) ** 2).sum(axis=1)
    squares = draft.sum_over_beads(strengths * own * spread)
    sigmas = np.sqrt(squares / amplitudes / 3 + atom_width**2)
    completed = 0
    if complete:
        lacking = _find_lacking(atoms, residues, draft, scattering)
        completed = int((lacking > 0).sum())
        amplitudes = amplitudes + lacking
        sigmas = _lend_widths(sigmas, atoms.residue_names[anchors], lacking > 0)
    bonds = np.array(draft.bonds, np.intp).reshape(-1, 2)
    return CoarseModel(
        atoms=atoms,
        strengths=strengths,
        coordinates=at,
        amplitudes=amplitudes,
        sigmas=sigmas,
        kinds=residues.kinds[np.array(draft.residues, np.intp)],
        anchors=anchors,
        chains=atoms.chains[anchors],
        residue_numbers=atoms.residue_numbers[anchors],
        insertion_codes=atoms.insertion_codes[anchors],
        residue_names=atoms.residue_names[anchors],
        bonds=bonds,
        bond_lengths=np.linalg.norm(at[bonds[:, 0]] - at[bonds[:, 1]], axis=1),
        atom_to_bead=draft.atom_to_bead,
        carried=carried,
        carried_residue=draft.carried_residue,
        atom_width=atom_width,
        completed=completed,
        dropped_waters=waters,
    )


@dataclass
class _Draft:
    """Beads as they are being placed: the atom and residue of each, and what is bonded."""

    atom_to_bead: IndexArray
    carried_residue: IndexArray
    anchors: list[int] = field(default_factory=list)
    residues: list[int] = field(default_factory=list)
    bonds: list[tuple[int, int]] = field(default_factory=list)
    carried: list[int] = field(default_factory=list)

    def sum_over_beads(self, values: FloatArray) -> FloatArray:
        """Sum values of atoms, (n,), over each bead, (N,)."""
        sums = np.bincount(self.atom_to_bead, weights=values, minlength=len(self.anchors))
        return np.asarray(sums, np.float64)


def _place_beads(atoms: AtomTable, residues: Residues, nucleotide_beads: NucleotideBeads) -> _Draft:
    none = np.full(len(atoms), -1, np.intp)
    draft = _Draft(none, none.copy())
    tail: int | None = None  # the bead to which the next residue is bonded
    for i in range(len(residues)):
        kind, named = str(residues.kinds[i]), residues.named[i]
        wanted: tuple[tuple[str, ...], ...] = (_ANCHORS.get(kind, ()),)
        if kind == "nucleic" and nucleotide_beads == 3:
            wanted = _THREE_ANCHORS if named.keys() & set(_THREE_ANCHORS[1]) else wanted
        found = [next((named[a] for a in names if a in named), None) for names in wanted]
        anchors = [row for row in found if row is not None]
        if not anchors:
            draft.carried_residue[residues.rows(i)] = len(draft.carried)
            draft.carried.append(i)
            tail = None
            continue
        first = len(draft.anchors)
        beads = [None if row is None else first + anchors.index(row) for row in found]
        draft.anchors += anchors
        draft.residues += [i] * len(anchors)
        if tail is not None and residues.linked[i - 1]:
            draft.bonds.append((tail, first))
        draft.bonds += [(bead, bead + 1) for bead in range(first, first + len(anchors) - 1)]
        for row in residues.rows(i):
            draft.atom_to_bead[row] = _choose_bead(str(atoms.atom_names[row]), beads)
        tail = beads[1] if len(beads) == 3 else beads[0]
    if not draft.anchors:
        kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(residues.kinds.tolist()).items())
        msg = (
            f"the model has no amino acid with CA and no nucleotide with C1' to make beads of "
            f"(it has {kinds}); give a model of a protein or nucleic acid"
        )
        raise CryoswayError(msg)
    return draft


def _choose_bead(atom_name: str, beads: list[int | None]) -> int:
    """Choose the bead of an atom among those of its residue: phosphate, sugar, base."""
    if len(beads) == 1 or atom_name in _PHOSPHATE:
        part = 0
    else:
        part = 1 if atom_name.endswith(("'", "*")) else 2
    chosen = beads[part] if beads[part] is not None else beads[min(1, len(beads) - 1)]
    assert chosen is not None
    return chosen


def _carry(atoms: AtomTable, residues: Residues, draft: _Draft) -> tuple[CarriedResidue, ...]:
    """Give the atoms of carried residues to the bead of the polymer atom nearest to them.

    Carried residues that are bonded to each other, as glycans are, ride as one.
    """
    if not draft.carried:
        return ()
    rows = np.flatnonzero(draft.carried_residue >= 0)
    residue = draft.carried_residue[rows]
    points = atoms.coordinates[rows]
    touching = residue[cKDTree(points).query_pairs(_COVALENT, output_type="ndarray")]
    shape = (len(draft.carried), len(draft.carried))
    graph = sparse.coo_array((np.ones(len(touching)), touching.T), shape=shape)
    group = sparse.csgraph.connected_components(graph, directed=False)[1][residue]
    polymer = np.flatnonzero(draft.atom_to_bead >= 0)
    found = cKDTree(atoms.coordinates[polymer]).query(points)
    distance, nearest = np.asarray(found[0]), np.asarray(found[1])
    order = np.lexsort((distance, group))
    first = order[np.unique(group[order], return_index=True)[1]]  # the nearest atom of each group
    draft.atom_to_bead[rows] = draft.atom_to_bead[polymer[nearest[first[group]]]]
    return tuple(
        CarriedResidue(
            name=str(atoms.residue_names[row]),
            chain=str(atoms.chains[row]),
            number=int(atoms.residue_numbers[row]),
            insertion_code=str(atoms.insertion_codes[row]),
            kind=str(residues.kinds[i]),
            bead=int(draft.atom_to_bead[row]),
        )
        for i in draft.carried
        for row in residues.rows(i)[:1]
    )


def _find_lacking(
    atoms: AtomTable, residues: Residues, draft: _Draft, scattering: Scattering
) -> FloatArray:
    """Strength that the residue of each bead lacks, shape (N,); on its last bead."""
    lacking = np.zeros(len(draft.anchors))
    last_bead = {residue: bead for bead, residue in enumerate(draft.residues)}
    elements = atoms.elements.tolist()
    for i, bead in last_bead.items():
        present = Counter(elements[row] for row in residues.rows(i))
        starts = i == 0 or not residues.linked[i - 1]
        name = str(residues.names[i])
        lacking[bead] = missing_strength(name, present, scattering, starts_chain=starts)
    return lacking


def _lend_widths(
    sigmas: FloatArray, names: NDArray[np.str_], truncated: NDArray[np.bool_]
) -> FloatArray:
    """Give truncated residues the median width of complete ones of their name."""
    widths = sigmas.copy()
    for name in np.unique(names[truncated]):
        complete = (names == name) & ~truncated
        if complete.any():
            widths[(names == name) & truncated] = np.median(sigmas[complete])
    return widths

"""Which residues and atoms of two structures are the same, by sequence."""

from dataclasses import dataclass

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from cryosway._errors import CryoswayError
from cryosway.protein._atoms import AtomTable
from cryosway.protein._residues import Residues, split_residues, standard_name
from cryosway.protein._superpose import find_superposition

IndexArray = NDArray[np.intp]

#: Least part of the aligned residues of two chains that must be the same for them to match.
_LEAST_IDENTITY = 0.4
#: Part of the shorter chain that must have the same numbers and names to match by number.
_SAME_NUMBERS = 0.9
_FEWEST = 3
_ANCHORS = ("CA", "C1'", "C1*")
_FAR = 1e6  # Å: between centres of chains that do not match


@dataclass(frozen=True, eq=False)
class ResidueMatch:
    """R residues and n atoms that two structures share.

    Attributes
    ----------
    anchors
        Shape (R, 2): rows of the Cα (C1' of nucleotides) in the first and second structure.
    atoms
        Shape (n, 2): rows of the heavy atoms that both have, by name, those of matched residues.
    residues
        Shape (n,): which of the R residues each of these atoms is of.
    chains
        Pairs of chain names.
    identity
        Part of the matched residues that have the same name.
    lengths
        Polymer residues with such an anchor in the matched chains of both structures.
    """

    anchors: IndexArray
    atoms: IndexArray
    residues: IndexArray
    chains: tuple[tuple[str, str], ...]
    identity: float
    lengths: tuple[int, int]

    def __len__(self) -> int:
        return len(self.anchors)


@dataclass(frozen=True, eq=False)
class _Chain:
    """Residues of a chain that have an anchor: rows of it, its names and numbers."""

    name: str
    residues: IndexArray
    anchors: IndexArray
    letters: list[str]
    names: list[str]
    places: list[tuple[int, str]]

    def __len__(self) -> int:
        return len(self.residues)


def match_residues(first: AtomTable, second: AtomTable) -> ResidueMatch:
    """Match chains by their sequences and residues by alignment.

    Chains match where at least 40 % of the aligned residues are the same. Where several chains
    could be partners, as in homomers, those are taken that lie best after superposition of one
    pair. Residues of matched chains go by their numbers where these say the same in both, else by
    a global alignment (Needleman and Wunsch, BLOSUM62).

    Raises
    ------
    CryoswayError
        When no chains match, or fewer than three residues.
    """
    chains_a, found_a = _list_chains(first)
    chains_b, found_b = _list_chains(second)
    alignments = {
        (i, j): aligned
        for i, a in enumerate(chains_a)
        for j, b in enumerate(chains_b)
        if len(aligned := _align(a, b)) >= _FEWEST and _identity(a, b, aligned) >= _LEAST_IDENTITY
    }
    if not alignments:
        raise CryoswayError(_explain(chains_a, chains_b))
    pairs = _choose_pairs(first, second, chains_a, chains_b, alignments)
    anchors, residues, same = [], [], 0
    for i, j in pairs:
        a, b, rows = chains_a[i], chains_b[j], alignments[i, j]
        anchors.append(np.stack([a.anchors[rows[:, 0]], b.anchors[rows[:, 1]]], axis=1))
        residues.append(np.stack([a.residues[rows[:, 0]], b.residues[rows[:, 1]]], axis=1))
        same += round(_identity(a, b, rows) * len(rows))
    all_anchors, all_residues = np.concatenate(anchors), np.concatenate(residues)
    atoms, owners = _match_atoms(found_a, found_b, all_residues)
    return ResidueMatch(
        all_anchors,
        atoms,
        owners,
        tuple((chains_a[i].name, chains_b[j].name) for i, j in pairs),
        same / len(all_anchors),
        (sum(len(chains_a[i]) for i, _ in pairs), sum(len(chains_b[j]) for _, j in pairs)),
    )


def _list_chains(atoms: AtomTable) -> tuple[list[_Chain], Residues]:
    found = split_residues(atoms)
    members: dict[str, list[tuple[int, int]]] = {}
    for i, (named, kind) in enumerate(zip(found.named, found.kinds.tolist(), strict=True)):
        anchor = next((named[name] for name in _ANCHORS if name in named), None)
        if anchor is not None and kind in ("protein", "nucleic"):
            members.setdefault(str(found.chains[i]), []).append((i, anchor))
    chains = []
    for name, listed in members.items():
        rows, anchors = np.array(listed, np.intp).T
        names = [standard_name(str(found.names[row])) for row in rows]
        letters = [gemmi.find_tabulated_residue(one).one_letter_code.upper() for one in names]
        numbers = atoms.residue_numbers[anchors].tolist()
        places = list(zip(numbers, atoms.insertion_codes[anchors].tolist(), strict=True))
        chains.append(_Chain(name, rows, anchors, letters, names, places))
    return chains, found


def _align(a: _Chain, b: _Chain) -> IndexArray:
    """Match residues (r, 2) of two chains: by number where that fits, else by alignment."""
    where = {place: row for row, place in enumerate(b.places)}
    numbered = [(row, where[place]) for row, place in enumerate(a.places) if place in where]
    same = sum(a.letters[i] == b.letters[j] for i, j in numbered)
    if same >= _SAME_NUMBERS * min(len(a), len(b)):
        return np.array(numbered, np.intp).reshape(-1, 2)
    cigar = gemmi.align_string_sequences(
        _spell(a), _spell(b), [], gemmi.AlignmentScoring("b")
    ).cigar_str()
    rows: list[tuple[int, int]] = []
    i = j = 0
    for length, kind in _read_cigar(cigar):
        if kind == "M":
            rows += [(i + step, j + step) for step in range(length)]
        i += length if kind in "MI" else 0
        j += length if kind in "MD" else 0
    return np.array(rows, np.intp).reshape(-1, 2)


def _spell(chain: _Chain) -> list[str]:
    """Names of the twenty amino acids that modified ones come from, which BLOSUM62 knows."""
    return [
        gemmi.expand_one_letter(letter, gemmi.ResidueKind.AA) or name
        for letter, name in zip(chain.letters, chain.names, strict=True)
    ]


def _read_cigar(text: str) -> list[tuple[int, str]]:
    parts, number = [], ""
    for letter in text:
        if letter.isdigit():
            number += letter
        else:
            parts.append((int(number), letter))
            number = ""
    return parts


def _identity(a: _Chain, b: _Chain, rows: IndexArray) -> float:
    same = sum(a.letters[i] == b.letters[j] for i, j in rows.tolist())
    return same / max(1, len(rows))


def _explain(chains_a: list[_Chain], chains_b: list[_Chain]) -> str:
    if not chains_a or not chains_b:
        which = "first" if not chains_a else "second"
        return f"the {which} structure has no residue with a Cα or C1'; give a polymer"
    named = [
        ", ".join(f"{c.name} ({len(c)} residues)" for c in chains[:8])
        for chains in (chains_a, chains_b)
    ]
    return (
        f"no chain of the first structure, {named[0]}, has the sequence of one of the second, "
        f"{named[1]}; give two structures of the same molecule"
    )


def _choose_pairs(
    first: AtomTable,
    second: AtomTable,
    chains_a: list[_Chain],
    chains_b: list[_Chain],
    alignments: dict[tuple[int, int], IndexArray],
) -> list[tuple[int, int]]:
    """Choose which chains are partners: the assignment that superposes best."""
    centres_a = np.array([first.coordinates[chain.anchors].mean(0) for chain in chains_a])
    centres_b = np.array([second.coordinates[chain.anchors].mean(0) for chain in chains_b])
    partners = {i: [j for k, j in alignments if k == i] for i, _ in alignments}
    start = min(partners, key=lambda i: (len(partners[i]), -len(chains_a[i])))
    best: tuple[int, float, list[tuple[int, int]]] | None = None
    for j in partners[start]:
        rows = alignments[start, j]
        fit = find_superposition(
            first.coordinates[chains_a[start].anchors[rows[:, 0]]],
            second.coordinates[chains_b[j].anchors[rows[:, 1]]],
        )
        apart = np.linalg.norm(fit.apply(centres_a)[:, None] - centres_b, axis=-1)
        cost = np.full(apart.shape, _FAR)
        for pair in alignments:
            cost[pair] = apart[pair]
        assigned = np.stack(linear_sum_assignment(cost), axis=1).tolist()
        chosen = [(i, k) for i, k in assigned if (i, k) in alignments]
        a, b = (np.concatenate(side) for side in zip(*[
            (chains_a[i].anchors[alignments[i, k][:, 0]],
             chains_b[k].anchors[alignments[i, k][:, 1]])
            for i, k in chosen
        ], strict=True))  # fmt: skip
        rmsd = find_superposition(first.coordinates[a], second.coordinates[b]).rmsd
        if best is None or (-len(a), rmsd) < best[:2]:
            best = (-len(a), rmsd, chosen)
    assert best is not None
    return best[2]


def _match_atoms(a: Residues, b: Residues, residues: IndexArray) -> tuple[IndexArray, IndexArray]:
    """Rows (n, 2) of the atoms that matched residues share by name, and whose they are (n,)."""
    rows, owners = [], []
    for owner, (i, j) in enumerate(residues.tolist()):
        for name, row in a.named[i].items():
            if name in b.named[j]:
                rows.append((row, b.named[j][name]))
                owners.append(owner)
    return np.array(rows, np.intp).reshape(-1, 2), np.array(owners, np.intp)

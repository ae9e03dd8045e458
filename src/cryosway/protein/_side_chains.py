"""Morph side chains in internal coordinates, so that a rotamer change turns about bonds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryosway.protein._atoms import AtomTable

FloatArray = NDArray[np.float64]

_BACKBONE = ("N", "CA", "C", "O", "OXT")
_LONGEST_BOND = 1.95
_LONGEST_BOND_TO_HYDROGEN = 1.25

# Pairs of names that are interchangeable by symmetry, and the four atoms of their torsion.
_SYMMETRIC = {
    "PHE": (("CA", "CB", "CG", "CD1"), (("CD1", "CD2"), ("CE1", "CE2"))),
    "TYR": (("CA", "CB", "CG", "CD1"), (("CD1", "CD2"), ("CE1", "CE2"))),
    "ASP": (("CA", "CB", "CG", "OD1"), (("OD1", "OD2"),)),
    "GLU": (("CB", "CG", "CD", "OE1"), (("OE1", "OE2"),)),
    "ARG": (("CD", "NE", "CZ", "NH1"), (("NH1", "NH2"),)),
}


@dataclass(frozen=True)
class _Placement:
    """An atom placed by its bond, angle and torsion to three atoms before it.

    `first` is the atom's elder sibling on the same bond: torsions of siblings turn together.
    """

    atom: int
    parents: tuple[int, int, int]
    first: int | None


def rebuild_side_chains(
    states: FloatArray, times: FloatArray, start: AtomTable, end: AtomTable
) -> FloatArray:
    """Replace the side chains of interpolated states by ones with unbroken geometry.

    Bond lengths and angles are interpolated linearly and torsions along their shorter arc; the
    backbone (N, CA, C, O) is kept, and so is any residue without one.

    Parameters
    ----------
    states
        Shape (T, N, 3), Å.
    times
        Shape (T,), from 0 (start) to 1 (end).
    start, end
        Matched tables.
    """
    rebuilt = states.copy()
    target = swap_symmetric_atoms(start, end)
    for rows in group_residues(start):
        placements = _plan_residue(start, rows)
        torsions: dict[int, tuple[float, float]] = {}
        for placement in placements:
            _place(rebuilt, times, placement, (start.coordinates, target), torsions)
    return rebuilt


def group_residues(table: AtomTable) -> list[NDArray[np.intp]]:
    """Give the rows of every residue, in the order of the table."""
    residues: dict[tuple[str, int, str], list[int]] = {}
    for row, key in enumerate(table.residue_keys()):
        residues.setdefault(key, []).append(row)
    return [np.array(rows, np.intp) for rows in residues.values()]


def swap_symmetric_atoms(start: AtomTable, end: AtomTable) -> FloatArray:
    """Give the end's coordinates with symmetric names (CD1, CD2 of Phe, …) matched to the start.

    Returns
    -------
    Shape (N, 3), Å.
    """
    target = end.coordinates.copy()
    for rows in group_residues(start):
        rule = _SYMMETRIC.get(str(start.residue_names[rows[0]]))
        named = {str(start.atom_names[row]): int(row) for row in rows}
        if rule is None or not {*rule[0], *(n for pair in rule[1] for n in pair)} <= named.keys():
            continue
        four = [named[name] for name in rule[0]]
        change = measure_torsion(target[four]) - measure_torsion(start.coordinates[four])
        if np.cos(change) < 0:
            for a, b in rule[1]:
                target[[named[a], named[b]]] = target[[named[b], named[a]]]
    return target


def _plan_residue(table: AtomTable, rows: NDArray[np.intp]) -> list[_Placement]:
    """Walk the bonds outwards from CA; an atom's tree parents define its torsion."""
    named = {str(table.atom_names[row]): int(row) for row in rows}
    if not {"N", "CA", "C"} <= named.keys():
        return []
    bonded = _find_bonds(table, rows)
    parent = {named["CA"]: named["N"], named["N"]: named["C"]}
    visited = {named[name] for name in _BACKBONE if name in named}
    queue, plan = [named["CA"]], []
    while queue:
        centre = queue.pop(0)
        first: int | None = None
        for atom in bonded[centre]:
            if atom in visited:
                continue
            visited.add(atom)
            parent[atom] = centre
            grand = parent[centre]
            plan.append(_Placement(atom, (centre, grand, parent[grand]), first))
            first = atom if first is None else first
            queue.append(atom)
    return plan


def _find_bonds(table: AtomTable, rows: NDArray[np.intp]) -> dict[int, list[int]]:
    points = table.coordinates[rows]
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    hydrogen = table.is_hydrogen[rows]
    light = hydrogen[:, None] | hydrogen[None]
    limit = np.where(light, _LONGEST_BOND_TO_HYDROGEN, _LONGEST_BOND)
    touching = (distance < limit) & ~np.eye(len(rows), dtype=bool)
    return {int(row): rows[touching[i]].tolist() for i, row in enumerate(rows)}


def _place(
    states: FloatArray,
    times: FloatArray,
    placement: _Placement,
    ends: tuple[FloatArray, FloatArray],
    torsions: dict[int, tuple[float, float]],
) -> None:
    four = [*reversed(placement.parents), placement.atom]
    (r0, a0, t0), (r1, a1, t1) = (_measure(x[four]) for x in ends)
    if placement.first is None:
        change = _wrap(t1 - t0)
    else:
        # Keep the angle to the elder sibling, which turns by its own change.
        first0, first_change = torsions[placement.first]
        offset_change = _wrap((t1 - first0 - first_change) - (t0 - first0))
        change = first_change + offset_change
    torsions[placement.atom] = (t0, change)
    length = r0 + times * (r1 - r0)
    angle = a0 + times * (a1 - a0)
    parents = tuple(states[:, row] for row in placement.parents)
    states[:, placement.atom] = _extend(parents, length, angle, t0 + times * change)


def _wrap(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def measure_torsion(four: FloatArray) -> float:
    """Torsion of four points (4, 3), radians."""
    a, b, c = np.diff(four, axis=0)
    first, second = np.cross(a, b), np.cross(b, c)
    return float(np.arctan2(np.linalg.norm(b) * (a @ second), first @ second))


def _measure(four: FloatArray) -> tuple[float, float, float]:
    """Length, angle and torsion (radians) of the last of four points to the three before it."""
    bond, back = four[3] - four[2], four[1] - four[2]
    length = float(np.linalg.norm(bond))
    cosine = float(bond @ back / (length * np.linalg.norm(back)))
    return length, float(np.arccos(np.clip(cosine, -1, 1))), measure_torsion(four)


def _extend(
    parents: Sequence[FloatArray], length: FloatArray, angle: FloatArray, torsion: FloatArray
) -> FloatArray:
    """Place a fourth point after (parent, grandparent, great-grandparent), each (T, 3)."""
    c, b, a = parents
    bond = c - b
    bond /= np.linalg.norm(bond, axis=1, keepdims=True)
    normal = np.cross(b - a, bond)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    across = np.cross(normal, bond)
    along = -length * np.cos(angle)
    radial = length * np.sin(angle)
    local = along[:, None] * bond + (radial * np.cos(torsion))[:, None] * across
    return np.asarray(c + local + (radial * np.sin(torsion))[:, None] * normal, np.float64)

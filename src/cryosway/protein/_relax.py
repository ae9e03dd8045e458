"""Restore bonds and angles, and part clashing atoms, of interpolated structures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from cryosway.protein._atoms import AtomTable

FloatArray = NDArray[np.float64]
Pairs = NDArray[np.intp]

_CONTACT = 2.8
_ANCHOR_MOBILITY = 0.1
_STILL = 1e-4
_LONGEST_BOND = 1.95
_LONGEST_BOND_TO_HYDROGEN = 1.25


@dataclass(frozen=True, eq=False)
class _Restraints:
    """Pairs (M, 2) held at a distance that goes linearly from start to end, (M,) each, in Å.

    `mobility`, (N,), is how readily each atom moves to restore it.
    """

    pairs: Pairs
    at_start: FloatArray
    at_end: FloatArray
    near: sparse.csr_array
    mobility: FloatArray

    def at(self, t: float) -> FloatArray:
        return (1 - t) * self.at_start + t * self.at_end


def restore_geometry(
    states: FloatArray, times: FloatArray, start: AtomTable, end: AtomTable, rounds: int = 200
) -> FloatArray:
    """Move atoms as little as restores bond lengths and angles and parts clashes.

    Projects in turn (Müller et al., *Position based dynamics*, 2007) on: distances between atoms
    one and two bonds apart, interpolated between the ends; and at least 2.8 Å between others,
    or as close as either end has them. The ends satisfy all of it and stay.

    Parameters
    ----------
    states
        Shape (T, N, 3), Å.
    times
        Shape (T,), from 0 (start) to 1 (end).
    start, end
        Matched tables.
    rounds
        Projections.
    """
    restraints = _find_restraints(start, end.coordinates)
    ends = (start.coordinates, end.coordinates)
    relaxed = [
        _relax(state, restraints, float(t), ends, rounds) if 0 < t < 1 else state
        for state, t in zip(states, times, strict=True)
    ]
    return np.stack(relaxed)


class ReferenceGeometry:
    """The bond lengths, angles and contacts of a reference, to be restored in moved atoms.

    Parameters
    ----------
    reference
        Atoms whose geometry is right; it is kept, whatever it is.
    anchors
        Rows of atoms that should stay where they are as far as that is possible.
    """

    def __init__(self, reference: AtomTable, anchors: NDArray[np.intp]) -> None:
        mobility = np.ones(len(reference))
        mobility[anchors] = _ANCHOR_MOBILITY
        self._restraints = _find_restraints(reference, reference.coordinates, mobility)
        self._reference = reference.coordinates

    def restore(self, coordinates: FloatArray, rounds: int = 100) -> FloatArray:
        """Move atoms, shape (N, 3), Å, as little as restores the geometry; see `restore_geometry`.

        A rigid motion of the reference comes back as it is.
        """
        ends = (self._reference, self._reference)
        return _relax(coordinates, self._restraints, 0.0, ends, rounds, _STILL)


def _find_restraints(
    start: AtomTable, end: FloatArray, mobility: FloatArray | None = None
) -> _Restraints:
    x = start.coordinates
    close = cKDTree(x).query_pairs(_LONGEST_BOND, output_type="ndarray")
    light = start.is_hydrogen[close].any(axis=1)
    distance = _measure(x, close)
    bonds = close[~light | (distance < _LONGEST_BOND_TO_HYDROGEN)]
    count = len(x)
    graph = sparse.coo_array((np.ones(len(bonds)), bonds.T), shape=(count, count)).tocsr()
    graph = graph + graph.T
    two_apart = sparse.triu(graph @ graph + graph, k=1).tocoo()
    pairs = np.stack([two_apart.row, two_apart.col], axis=1).astype(np.intp)
    near = (graph @ graph @ graph + graph @ graph + graph).tocsr()
    free = np.ones(count) if mobility is None else mobility
    return _Restraints(pairs, _measure(x, pairs), _measure(end, pairs), near, free)


def _measure(x: FloatArray, pairs: Pairs) -> FloatArray:
    return np.asarray(np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1), np.float64)


def _relax(
    x: FloatArray,
    restraints: _Restraints,
    t: float,
    ends: tuple[FloatArray, FloatArray],
    rounds: int,
    still: float = 0.0,
) -> FloatArray:
    """Project up to `rounds` times, or until no atom moves by more than `still`, Å."""
    x = x.copy()
    target = restraints.at(t)
    contacts = np.empty((0, 2), np.intp)
    limits = np.empty(0)
    for number in range(rounds):
        if number % 20 == 0:
            contacts, limits = _find_contacts(x, restraints, ends)
        step = _project(x, restraints.pairs, target, restraints.mobility)
        x += step
        short = _measure(x, contacts) < limits
        x += 0.5 * _project(x, contacts[short], limits[short], restraints.mobility)
        if still and not short.any() and np.abs(step).max() < still:
            break
    return x


def _find_contacts(
    x: FloatArray, restraints: _Restraints, ends: tuple[FloatArray, FloatArray]
) -> tuple[Pairs, FloatArray]:
    """Pairs more than three bonds apart that are close, and how close they may come."""
    close = cKDTree(x).query_pairs(_CONTACT + 0.5, output_type="ndarray")
    linked = np.asarray(restraints.near[close[:, 0], close[:, 1]]).ravel() > 0
    contacts = close[~linked]
    shortest = np.minimum(*(_measure(end, contacts) for end in ends))
    return contacts, np.minimum(_CONTACT, shortest)


def _project(x: FloatArray, pairs: Pairs, target: FloatArray, mobility: FloatArray) -> FloatArray:
    """Displacement (N, 3) that brings pairs to their distances, averaged over an atom's pairs."""
    difference = x[pairs[:, 0]] - x[pairs[:, 1]]
    distance = np.maximum(np.linalg.norm(difference, axis=1), 1e-6)
    first, second = mobility[pairs[:, 0]], mobility[pairs[:, 1]]
    step = ((target - distance) / (distance * (first + second)))[:, None] * difference
    atoms = np.concatenate([pairs[:, 0], pairs[:, 1]])
    steps = np.concatenate([first[:, None] * step, -second[:, None] * step])
    counts = np.maximum(np.bincount(atoms, minlength=len(x)), 1)
    moved = [np.bincount(atoms, weights=column, minlength=len(x)) for column in steps.T]
    return np.asarray(1.5 * np.stack(moved, axis=1) / counts[:, None], np.float64)

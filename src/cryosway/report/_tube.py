"""Atomic models as tubes along their chains, ready to be drawn like any surface."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline
from scipy.spatial import cKDTree

from cryosway._errors import CryoswayError
from cryosway.protein import AtomTable, read_ensemble
from cryosway.report._surface import Surface

FloatArray = NDArray[np.floating]
_TRACED = {"CA": 5.0, "P": 9.0}
"""Atoms that a tube passes, and the longest step from one to the next, Å."""
RADIUS_ANGSTROM = 1.1
_BETWEEN, _AROUND = 4, 8  # points from one residue to the next, and around the tube
_CROWDED = 45.0  # points within 10 Å where hardly any light comes


@final
@dataclass(frozen=True, eq=False)
class Traces:
    """Chains of an ensemble.

    Attributes
    ----------
    points : ndarray, shape (T, M, 3)
        Cα or P of M residues in T models, Å.
    starts : ndarray, shape (S,), int
        Where a new piece of chain begins; 0 first.
    """

    points: FloatArray
    starts: NDArray[np.int64]

    @property
    def displacement(self) -> FloatArray:
        """How far each residue gets from where it is in the first model, shape (M,), Å."""
        return np.asarray(np.linalg.norm(self.points - self.points[0], axis=2).max(axis=0))

    def build(self, points: FloatArray) -> tuple[Surface, NDArray[np.int64]]:
        """Make the tubes through points, shape (M, 3); also the residue of every vertex."""
        ends = [*self.starts[1:], len(points)]
        pieces = [np.arange(first, last) for first, last in zip(self.starts, ends, strict=True)]
        pieces = [piece for piece in pieces if len(piece) > 1]
        tubes = [_wrap_line(*_smooth(points[piece])) for piece in pieces]
        counts = np.cumsum([0, *(len(vertices) for vertices, _, _ in tubes)])
        vertices = np.concatenate([tube[0] for tube in tubes]).astype(np.float32)
        normals = np.concatenate([tube[1] for tube in tubes]).astype(np.float32)
        faces = np.concatenate([tube[2] + n for tube, n in zip(tubes, counts[:-1], strict=True)])
        owners = np.concatenate([_list_owners(piece) for piece in pieces])
        light = _find_openness(points)[owners].astype(np.float32)
        return Surface(vertices, normals, faces.astype(np.int32), light), owners


def read_traces(files: list[Path]) -> Traces:
    """Read the chains of all models in files, which must be of the same residues.

    Raises
    ------
    CryoswayError
        When there is only one model, nothing to trace, or models differ in their residues.
    """
    tables = [(path, _pick_traced(one)) for path in files for one in read_ensemble(path)]
    first = tables[0][1]
    if len(tables) < 2:
        message = f"{files[0]} holds one model, and a movie needs two: give a series of models"
        raise CryoswayError(message)
    if len(first) < 2:
        message = f"{files[0]} has no chain to draw: no Cα and no phosphates"
        raise CryoswayError(message)
    for number, (path, table) in enumerate(tables, start=1):
        if not np.array_equal(_name_residues(table), _name_residues(first)):
            message = f"{path}: model {number} of the movie has other residues than the first one"
            raise CryoswayError(message)
    points = np.stack([table.coordinates for _, table in tables])
    return Traces(points, _find_starts(first))


def _pick_traced(atoms: AtomTable) -> AtomTable:
    alpha = (atoms.atom_names == "CA") & (atoms.elements == "C")
    return atoms[alpha | (atoms.atom_names == "P")]


def _name_residues(atoms: AtomTable) -> NDArray[np.str_]:
    columns = (atoms.chains, atoms.residue_numbers, atoms.insertion_codes, atoms.atom_names)
    return np.stack([column.astype(str) for column in columns])


def _find_starts(atoms: AtomTable) -> NDArray[np.int64]:
    """Find where chains begin, or go on after a gap."""
    step = np.linalg.norm(np.diff(atoms.coordinates, axis=0), axis=1)
    reach = np.array([_TRACED[name] for name in atoms.atom_names[1:]])
    other = (atoms.chains[1:] != atoms.chains[:-1]) | (
        atoms.atom_names[1:] != atoms.atom_names[:-1]
    )
    return np.concatenate([[0], np.flatnonzero(other | (step > reach)) + 1])


def _smooth(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give points (n, 3) of a smooth line through the residues, and its direction there."""
    line = make_interp_spline(np.arange(len(points)), points, k=min(3, len(points) - 1))
    at = np.linspace(0, len(points) - 1, _BETWEEN * (len(points) - 1) + 1)
    along = line.derivative()(at)
    return line(at), along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)


def _list_owners(piece: NDArray[np.int64]) -> NDArray[np.int64]:
    """Name the residue of every vertex of a piece's tube."""
    at = np.linspace(0, len(piece) - 1, _BETWEEN * (len(piece) - 1) + 1)
    return np.repeat(piece[np.rint(at).astype(int)], _AROUND)


def _wrap_line(
    line: FloatArray, along: FloatArray
) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Give vertices, normals and faces of a tube; its frame is turned as little as can be."""
    aside = np.empty_like(line)
    here = np.cross(along[0], np.eye(3)[np.abs(along[0]).argmin()])
    for number, direction in enumerate(along):
        here = here - direction * (direction @ here)
        here /= max(float(np.linalg.norm(here)), 1e-9)
        aside[number] = here
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    normals = np.einsum("ac,cnd->nad", circle, np.stack([aside, np.cross(along, aside)]))
    vertices = line[:, None] + RADIUS_ANGSTROM * normals
    ring, step = np.meshgrid(np.arange(len(line) - 1), np.arange(_AROUND), indexing="ij")
    a, b = ring * _AROUND + step, ring * _AROUND + (step + 1) % _AROUND
    faces = np.stack([a, b, a + _AROUND, b, b + _AROUND, a + _AROUND], axis=-1).reshape(-1, 3)
    return vertices.reshape(-1, 3), normals.reshape(-1, 3), faces


def _find_openness(points: FloatArray) -> FloatArray:
    """Ambient light at each residue: less where many others are near."""
    crowd = cKDTree(points).query_ball_point(points, 10.0, return_length=True)
    return np.asarray(np.clip(1.15 - crowd / _CROWDED, 0.3, 1.0))

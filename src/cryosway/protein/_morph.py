"""Paths between two structures of the same molecule."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cryosway._errors import CryoswayError
from cryosway.protein._atoms import AtomTable
from cryosway.protein._relax import restore_geometry
from cryosway.protein._rigid_motions import find_screw
from cryosway.protein._side_chains import rebuild_side_chains
from cryosway.protein._superpose import Superposition, find_superposition

FloatArray = NDArray[np.float64]


def match_atoms(first: AtomTable, second: AtomTable) -> tuple[AtomTable, AtomTable]:
    """Keep the atoms that both structures have, in the order of the first.

    Atoms match by chain, residue number, insertion code, residue name and atom name.

    Raises
    ------
    CryoswayError
        If fewer than three atoms match.
    """
    keys_a = _atom_keys(first)
    keys_b = {key: row for row, key in enumerate(_atom_keys(second))}
    pairs = [(row, keys_b[key]) for row, key in enumerate(keys_a) if key in keys_b]
    if len(pairs) < 3:
        msg = (
            f"only {len(pairs)} atoms of the two structures match by chain, residue and name; "
            "give two structures of one molecule with the same chain names and numbering"
        )
        raise CryoswayError(msg)
    rows = np.array(pairs)
    return first[rows[:, 0]], second[rows[:, 1]]


def _atom_keys(table: AtomTable) -> list[tuple[str, int, str, str, str]]:
    names = zip(table.residue_names.tolist(), table.atom_names.tolist(), strict=True)
    return [(*key, *name) for key, name in zip(table.residue_keys(), names, strict=True)]


def morph_linearly(start: AtomTable, end: AtomTable, count: int) -> list[AtomTable]:
    """Interpolate matched atoms along straight lines after superposing `end` on `start`.

    For short paths: a rotation of a domain by θ shrinks it by cos(θ/2) half-way, of which
    `restore_geometry` repairs bonds and angles only. See `morph_domains` for large motions.

    Parameters
    ----------
    start, end
        Matched tables (see `match_atoms`).
    count
        States, both ends included.
    """
    fit = find_superposition(end.coordinates, start.coordinates)
    target = fit.apply(end.coordinates)
    times = np.linspace(0, 1, count)
    frames = np.stack([(1 - t) * start.coordinates + t * target for t in times])
    frames = restore_geometry(frames, times, start, end)
    return [start.with_coordinates(frame) for frame in frames]


def morph_domains(
    start: AtomTable, end: AtomTable, domains: Sequence[NDArray[np.bool_]], count: int
) -> list[AtomTable]:
    """Interpolate by moving rigid domains about screw axes, blended smoothly at their joints.

    The first domain stays. For every other one the rigid motion from `start` to `end` is taken
    in fractions of its rotation vector (about its own screw axis), so domains keep their shape;
    what is left, the change inside domains, is added linearly in the domain's own frame. Linkers
    follow the mean of the domains' motions, weighted by exp(−d²/2σ²) of their distance along
    the chain. Side chains are then rebuilt in internal coordinates, so that rotamers turn about
    bonds instead of passing through themselves, and
    bonds, angles and clashes that remain are repaired.

    Parameters
    ----------
    start, end
        Matched tables (see `match_atoms`).
    domains
        Masks of shape (N,), the fixed core first; atoms of none of them are linkers.
    count
        States, both ends included.
    """
    core = find_superposition(end.coordinates[domains[0]], start.coordinates[domains[0]])
    target = core.apply(end.coordinates)
    motions = [find_superposition(start.coordinates[mask], target[mask]) for mask in domains]
    weights = _blend_weights(start, domains)
    times = np.linspace(0, 1, count)
    frames = np.stack([_blend(start.coordinates, target, motions, weights, t) for t in times])
    frames = rebuild_side_chains(frames, times, start, end)
    frames = restore_geometry(frames, times, start, start.with_coordinates(frames[-1]))
    return [start.with_coordinates(frame) for frame in frames]


def _blend_weights(
    start: AtomTable, domains: Sequence[NDArray[np.bool_]], width_residues: float = 2.5
) -> FloatArray:
    """Weight of each domain's motion on each atom, shape (K, N), summing to 1 over K.

    Distance is counted along the chain, in residues: what is bonded moves alike.
    """
    numbers = start.residue_numbers.astype(np.float64)
    distance = np.stack(
        [np.abs(numbers[:, None] - np.unique(numbers[mask])[None]).min(axis=1) for mask in domains]
    )
    log_weights = -(distance**2) / (2 * width_residues**2)
    weights = np.exp(log_weights - log_weights.max(axis=0))
    return np.asarray(weights / weights.sum(axis=0), np.float64)


def _blend(
    start: FloatArray,
    target: FloatArray,
    motions: Sequence[Superposition],
    weights: FloatArray,
    t: float,
) -> FloatArray:
    """One state of `morph_domains`: Σ w (M_t(x) + t · R_t R₁⁻¹ (target − M₁(x)))."""
    state = np.zeros_like(start)
    for motion, weight in zip(motions, weights, strict=True):
        partial = _fraction(motion, t)
        residual = (target - motion.apply(start)) @ motion.rotation @ partial.rotation.T
        state += weight[:, None] * (partial.apply(start) + t * residual)
    return state


def _fraction(motion: Superposition, t: float) -> Superposition:
    """Take the fraction t of a rigid motion along its screw axis."""
    screw = find_screw(motion.rotation, motion.translation, np.zeros(3))
    rotation = Rotation.from_rotvec(t * screw.angle * screw.axis).as_matrix()
    along = t * screw.shift * screw.axis
    return Superposition(rotation, screw.point - rotation @ screw.point + along, 0.0)

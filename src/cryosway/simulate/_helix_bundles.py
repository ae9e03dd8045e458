"""Made-up structures: bundles of helices, no two alike."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cryosway.protein import AtomTable

FloatArray = NDArray[np.float64]

# An ideal α-helix: name, Z, distance from the axis (Å), turn (degrees) and rise (Å) from Cα.
_BACKBONE = (
    ("N", 7, 1.55, -28.0, -0.90),
    ("CA", 6, 2.29, 0.0, 0.0),
    ("C", 6, 1.66, 27.0, 1.10),
    ("O", 8, 2.00, 36.0, 2.28),
    ("CB", 6, 3.30, -19.0, -0.30),
)
_TURN, _RISE = 100.0, 1.5  # degrees and Å per residue
_SPACING = 9.8  # Å between the axes of neighbours
_HELICES, _RESIDUES = (4, 12), (10, 34)
_TILT = 22.0  # degrees, standard deviation


def make_helix_bundle(seed: int) -> AtomTable:
    """Make up a protein: helices of alanine, packed side by side, tilted at random.

    Parameters
    ----------
    seed
        Numbers, lengths, places and tilts of the helices follow from it.

    Examples
    --------
    >>> one, other = make_helix_bundle(0), make_helix_bundle(1)
    >>> len(one) != len(other)
    True
    """
    rng = np.random.default_rng(seed)
    count = int(rng.integers(*_HELICES))
    places = _choose_places(rng, count)
    parts, numbers, first = [], [], 1
    for place in places:
        length = int(rng.integers(*_RESIDUES))
        tilt = Rotation.from_rotvec(np.radians(_TILT) * rng.normal(size=3) * [1, 1, 0])
        flip = Rotation.from_euler("x", 180.0 * rng.integers(2), degrees=True)
        centre = [*place, rng.normal(0, 4.0)]
        parts.append((tilt * flip).apply(_make_helix(length)) + centre)
        numbers.append(np.repeat(np.arange(first, first + length), len(_BACKBONE)))
        first += length + 4  # the loop is not seen
    return _tabulate(np.concatenate(parts), np.concatenate(numbers))


def _choose_places(rng: np.random.Generator, count: int) -> FloatArray:
    """Choose neighbouring places of a hexagonal lattice, one after the other."""
    steps = np.array([[1, 0], [0, 1], [-1, 1], [-1, 0], [0, -1], [1, -1]])
    taken = [(0, 0)]
    while len(taken) < count:
        near = np.array(taken[rng.integers(len(taken))]) + steps[rng.integers(6)]
        if (new := (int(near[0]), int(near[1]))) not in taken:
            taken.append(new)
    lattice = np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]])
    return np.asarray(_SPACING * np.array(taken) @ lattice)


def _make_helix(length: int) -> FloatArray:
    """Give the atoms of a helix along z, centred; five for each residue."""
    residue = np.arange(length)[:, None]
    radius, turn, rise = (np.array([atom[k] for atom in _BACKBONE]) for k in (2, 3, 4))
    angle = np.radians(_TURN * residue + turn)
    z = _RISE * (residue - (length - 1) / 2) + rise
    found = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1)
    return np.asarray(found.reshape(-1, 3))


def _tabulate(coordinates: FloatArray, residue_numbers: NDArray[np.int64]) -> AtomTable:
    atoms = len(coordinates)
    repeats = atoms // len(_BACKBONE)
    names = np.tile([atom[0] for atom in _BACKBONE], repeats)
    return AtomTable(
        coordinates=coordinates,
        elements=np.array([name[0] for name in names]),
        atomic_numbers=np.tile([atom[1] for atom in _BACKBONE], repeats).astype(np.int16),
        chains=np.full(atoms, "A"),
        residue_names=np.full(atoms, "ALA"),
        residue_numbers=residue_numbers.astype(np.int32),
        insertion_codes=np.full(atoms, ""),
        atom_names=names,
        occupancies=np.ones(atoms),
        b_factors=np.zeros(atoms),
    )

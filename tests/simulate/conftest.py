"""Small molecules and options that the tests of this room share."""

import numpy as np
import pytest

from cryosway.protein import AtomTable
from cryosway.simulate import SimulateOptions


def make_atoms(coordinates, numbers, elements) -> AtomTable:
    count = len(coordinates)
    return AtomTable(
        coordinates=np.asarray(coordinates, np.float64),
        elements=np.asarray(elements, dtype="U2"),
        atomic_numbers=np.asarray(numbers, np.int16),
        chains=np.full(count, "A", dtype="U8"),
        residue_names=np.full(count, "GLY", dtype="U8"),
        residue_numbers=np.arange(1, count + 1, dtype=np.int32),
        insertion_codes=np.full(count, "", dtype="U1"),
        atom_names=np.full(count, "CA", dtype="U8"),
        occupancies=np.ones(count),
        b_factors=np.zeros(count),
    )


@pytest.fixture(scope="session")
def blob():
    """Sixty atoms within 20 Å of their centre, without symmetry."""
    rng = np.random.default_rng(3)
    direction = rng.normal(size=(60, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    coordinates = direction * 20 * rng.random((60, 1)) ** (1 / 3)
    kinds = rng.integers(0, 3, 60)
    numbers = np.array([6, 7, 8])[kinds]
    coordinates -= np.average(coordinates, axis=0, weights=numbers)
    return make_atoms(coordinates, numbers, np.array(["C", "N", "O"])[kinds])


@pytest.fixture(scope="session")
def two_blobs(blob):
    """The blob, and the blob with one half moved by 8 Å."""
    moved = blob.coordinates.copy()
    moved[blob.coordinates[:, 0] > 0, 1] += 8.0
    return [blob, blob.with_coordinates(moved)]


@pytest.fixture
def options():
    """Make options for quick simulations, with changes."""

    def make(**changes):
        defaults = {"n": 40, "box": 32, "pixel_size": 3.0, "threads": 1, "superpose": False}
        return SimulateOptions.check(defaults | changes)

    return make

"""Alignment of maps: a known turn, shift and mirror is found, and the moved map is the map."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryosway import CryoswayError
from cryosway.protein import AtomTable
from cryosway.simulate import adenylate_kinase_states, truth_volume
from cryosway.validate import VolumeAlignment, align_volumes, auc_fsc, fsc
from cryosway.validate._align_volumes import _mirror

BOX, PIXEL = 32, 4.5


@pytest.fixture(scope="module")
def atoms():
    found = adenylate_kinase_states(2)[1]
    return found.with_coordinates(found.coordinates - found.coordinates.mean(axis=0))


def place(atoms: AtomTable, rotation, shift):
    return truth_volume(
        atoms.with_coordinates(atoms.coordinates @ rotation.T + shift), BOX, PIXEL, 9.0
    )


def test_a_known_move_and_mirror_are_undone(atoms):
    rotation = Rotation.from_rotvec([0.7, -1.9, 0.4]).as_matrix()
    shift = np.array([6.0, -9.0, 4.0])
    reference = place(atoms, np.eye(3), np.zeros(3))
    moved = place(atoms, rotation, shift)
    given = _mirror(moved)
    found = align_volumes(given, reference)
    assert found.mirrored
    between = Rotation.from_matrix(found.rotation @ rotation).magnitude()
    assert np.degrees(between) < 1.0
    np.testing.assert_allclose(found.shift * BOX * PIXEL, -rotation.T @ shift, atol=0.5)
    best = auc_fsc(np.ones(BOX // 2))
    assert auc_fsc(fsc(given, reference)) < 0.6 * best
    assert auc_fsc(fsc(found.apply(given), reference)) > 0.97 * best


def test_a_small_move_is_refined_from_where_it_is(atoms):
    rotation = Rotation.from_rotvec([0.0, 0.05, 0.03]).as_matrix()
    reference, moved = (place(atoms, r, np.zeros(3)) for r in (np.eye(3), rotation))
    start = VolumeAlignment(np.eye(3), np.zeros(3), mirrored=False, correlation=0.0)
    found = align_volumes(moved, reference, start=start)
    assert np.degrees(Rotation.from_matrix(found.rotation @ rotation).magnitude()) < 0.5


def test_maps_of_other_sizes_are_refused():
    with pytest.raises(CryoswayError, match="resample one"):
        align_volumes(np.zeros((16, 16, 16), np.float32), np.zeros((20, 20, 20), np.float32))

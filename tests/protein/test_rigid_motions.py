"""Screw axes and rigid motions of many copies come back from what they did."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cryosway.protein import RigidMotions, find_screw, fit_rigid_motions

angles = st.floats(0.02, 3.1)
numbers = st.floats(-30, 30)


def unit(seed):
    vector = np.random.default_rng(seed).normal(size=3)
    return vector / np.linalg.norm(vector)


def turn_about(axis, point, angle, shift=0.0):
    rotation = Rotation.from_rotvec(angle * axis).as_matrix()
    return rotation, point - rotation @ point + shift * axis


@given(st.integers(0, 999), angles, numbers, numbers, numbers, numbers)
def test_a_screw_comes_back(seed, angle, x, y, z, shift):
    axis, point, centre = unit(seed), np.array([x, y, z]), np.array([5.0, -3.0, 8.0])
    found = find_screw(*turn_about(axis, point, angle, shift), centre)
    assert found.angle == pytest.approx(angle, abs=1e-6)
    assert found.shift == pytest.approx(shift, abs=1e-6)
    np.testing.assert_allclose(found.axis, axis, atol=1e-5)
    # On the axis, where it passes the centre.
    assert np.linalg.norm(np.cross(found.point - point, axis)) < 1e-3
    assert abs((found.point - centre) @ axis) < 1e-6


def test_a_pure_shift_goes_along_its_line():
    found = find_screw(np.eye(3), np.array([0.0, 3.0, 4.0]), np.ones(3))
    assert (found.angle, found.shift) == (0.0, 5.0)
    np.testing.assert_allclose(found.axis, [0, 0.6, 0.8])
    np.testing.assert_allclose(find_screw(np.eye(3), np.zeros(3), np.ones(3)).shift, 0)


@pytest.fixture
def some_motions(rng):
    rotations = Rotation.random(20, random_state=1).as_matrix()
    return RigidMotions(rotations, rng.normal(size=(20, 3)))


def test_motions_are_fitted_undone_and_joined(some_motions, rng):
    shape = rng.normal(size=(12, 3)) * 9
    copies = some_motions.apply(shape)
    found = fit_rigid_motions(shape, copies)
    np.testing.assert_allclose(found.rotations, some_motions.rotations, atol=1e-9)
    np.testing.assert_allclose(found.undo(copies), np.broadcast_to(shape, copies.shape), atol=1e-9)
    still = found.inverse().after(some_motions)
    np.testing.assert_allclose(still.rotations, np.broadcast_to(np.eye(3), (20, 3, 3)), atol=1e-9)
    np.testing.assert_allclose(still.translations, 0, atol=1e-9)


def test_a_mirror_image_is_fitted_by_a_proper_rotation(rng):
    shape = rng.normal(size=(12, 3))
    found = fit_rigid_motions(shape, shape[None] * [-1, 1, 1])
    assert np.linalg.det(found.rotations[0]) == pytest.approx(1)


def test_twists_are_signed_angles_about_an_axis():
    axis = unit(4)
    angle = np.deg2rad([-170.0, -20.0, 0.0, 35.0, 179.0])
    about = RigidMotions(Rotation.from_rotvec(angle[:, None] * axis).as_matrix(), np.zeros((5, 3)))
    np.testing.assert_allclose(about.twists(axis), angle, atol=1e-9)
    np.testing.assert_allclose(about.twists(-axis), -angle, atol=1e-9)
    across = np.cross(axis, unit(5))
    swing = Rotation.from_rotvec(0.7 * across / np.linalg.norm(across)).as_matrix()[None]
    np.testing.assert_allclose(RigidMotions(swing, np.zeros((1, 3))).twists(axis), 0, atol=1e-9)


def test_the_mean_of_motions_is_about_a_point():
    axis, point = unit(8), np.array([40.0, 0, 0])
    made = [turn_about(axis, point, angle) for angle in (-0.4, 0.4)]
    both = RigidMotions(*(np.stack(part) for part in zip(*made, strict=True)))
    mean = both.mean(point)
    np.testing.assert_allclose(mean.rotations[0], np.eye(3), atol=1e-9)
    np.testing.assert_allclose(mean.apply(point[None])[0, 0], point, atol=1e-9)

"""Rotation conventions: R takes reference coordinates to image coordinates."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from cryosway.optics import (
    cryosparc_pose_to_matrix,
    matrix_to_cryosparc_pose,
    matrix_to_relion_euler,
    random_rotations,
    relion_euler_to_matrix,
    rotation_angle,
)

angles = st.floats(-720, 720)
seeds = st.integers(0, 2**32 - 1)


def relion_formula(rot, tilt, psi):
    """Transcribed from the formula of RELION's and Xmipp's `Euler_angles2matrix`."""
    (ca, cb, cg), (sa, sb, sg) = (f(np.radians([rot, tilt, psi])) for f in (np.cos, np.sin))
    return np.array(
        [
            [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
            [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
            [sb * ca, sb * sa, cb],
        ]
    )


def rodrigues(vector):
    """Exponential map: rotation by |vector| radians about it, right-handed."""
    angle = np.linalg.norm(vector)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


@given(angles, angles, angles)
def test_matrix_is_relions_formula(rot, tilt, psi):
    matrix = relion_euler_to_matrix(rot, tilt, psi)
    assert_allclose(matrix, relion_formula(rot, tilt, psi), atol=1e-12)


@given(angles, angles, angles)
def test_matrix_is_transpose_of_intrinsic_zyz(rot, tilt, psi):
    intrinsic = Rotation.from_euler("ZYZ", [rot, tilt, psi], degrees=True).as_matrix()
    assert_allclose(relion_euler_to_matrix(rot, tilt, psi), intrinsic.T, atol=1e-12)


def test_rot_90_brings_the_y_axis_of_the_reference_to_the_x_axis_of_the_image():
    assert_allclose(relion_euler_to_matrix(90, 0, 0) @ [0, 1, 0], [1, 0, 0], atol=1e-15)


def test_tilt_90_looks_along_the_x_axis_of_the_reference():
    assert_allclose(relion_euler_to_matrix(0, 90, 0) @ [1, 0, 0], [0, 0, 1], atol=1e-15)


def test_psi_turns_in_the_plane_after_tilt():
    tilted, turned = relion_euler_to_matrix(20, 50, [0, 35])
    c, s = np.cos(np.radians(35)), np.sin(np.radians(35))
    assert_allclose(turned, [[c, s, 0], [-s, c, 0], [0, 0, 1]] @ tilted, atol=1e-14)


def test_angles_broadcast_to_leading_dimensions():
    matrices = relion_euler_to_matrix(np.zeros((2, 1)), [[10, 20, 30]], 5.0)
    assert matrices.shape == (2, 3, 3, 3)
    assert_allclose(matrices[1, 2], relion_formula(0, 30, 5), atol=1e-14)


@given(angles, angles, angles)
def test_angles_give_back_the_matrix(rot, tilt, psi):
    matrix = relion_euler_to_matrix(rot, tilt, psi)
    back = matrix_to_relion_euler(matrix)
    assert 0 <= back[1] <= 180
    assert_allclose(relion_euler_to_matrix(*back), matrix, atol=1e-9)


@given(st.floats(-179, 179), st.floats(0.1, 179.9), st.floats(-179, 179))
def test_matrix_gives_back_the_angles(rot, tilt, psi):
    back = matrix_to_relion_euler(relion_euler_to_matrix(rot, tilt, psi))
    assert_allclose(np.ravel(back), [rot, tilt, psi], atol=1e-7)


@pytest.mark.parametrize("tilt", [0.0, 180.0])
@pytest.mark.parametrize("nudge", [0.0, 1e-12, 1e-9, 1e-7, 1e-5])
def test_poles_keep_the_matrix_and_put_all_of_it_into_psi(tilt, nudge):
    matrix = relion_euler_to_matrix(37.0, abs(tilt - nudge), -112.0)
    rot, back_tilt, psi = matrix_to_relion_euler(matrix)
    assert_allclose(relion_euler_to_matrix(rot, back_tilt, psi), matrix, atol=1e-9)
    if nudge == 0:
        assert rot == 0
        assert back_tilt == pytest.approx(tilt, abs=1e-9)


@pytest.mark.parametrize("tilt", [0.0, 1e-6, 180.0])
def test_rounding_to_single_precision_does_not_spoil_a_pole(tilt):
    """CryoDRGN's pickles hold float32: at a pole, two entries of the matrix are rounding alone."""
    rng = np.random.default_rng(1)
    matrix = relion_euler_to_matrix(rng.uniform(-180, 180, 50), tilt, rng.uniform(-180, 180, 50))
    single = (matrix + rng.normal(scale=3e-8, size=matrix.shape)).astype(np.float32)
    back = relion_euler_to_matrix(*matrix_to_relion_euler(single))
    assert_allclose(back, matrix, atol=5e-7)


def test_round_trip_keeps_leading_dimensions():
    matrices = random_rotations(12, np.random.default_rng(0)).reshape(3, 4, 3, 3)
    assert matrix_to_relion_euler(matrices)[0].shape == (3, 4)
    assert matrix_to_cryosparc_pose(matrices).shape == (3, 4, 3)


@given(st.tuples(*[st.floats(-3, 3)] * 3).filter(lambda v: np.linalg.norm(v) > 1e-3))
def test_cryosparc_pose_is_transposed_exponential_map(vector):
    assert_allclose(cryosparc_pose_to_matrix(vector), rodrigues(np.array(vector)).T, atol=1e-12)


def test_cryosparc_quarter_turn_about_z_brings_y_to_x():
    assert_allclose(cryosparc_pose_to_matrix([0, 0, np.pi / 2]) @ [0, 1, 0], [1, 0, 0], atol=1e-15)


@given(seeds)
def test_cryosparc_pose_gives_back_the_matrix(seed):
    matrices = random_rotations(3, np.random.default_rng(seed))
    poses = matrix_to_cryosparc_pose(matrices)
    assert np.all(np.linalg.norm(poses, axis=-1) <= np.pi + 1e-12)
    assert_allclose(cryosparc_pose_to_matrix(poses), matrices, atol=1e-12)


@pytest.mark.parametrize("vector", [[0, 0, 0], [1e-9, 0, 0], [0, np.pi, 0], [1.3, -0.2, 0.7]])
def test_matrix_gives_back_the_cryosparc_pose(vector):
    back = matrix_to_cryosparc_pose(cryosparc_pose_to_matrix(vector))
    sign = np.sign(back @ vector) or 1.0  # a half turn has two vectors
    assert_allclose(sign * back, vector, atol=1e-12)


def test_both_programs_name_the_same_rotation():
    """A turn in the plane is psi in RELION and, with the same sign, the z vector in cryoSPARC."""
    matrix = relion_euler_to_matrix(0, 0, 40)
    assert_allclose(matrix_to_cryosparc_pose(matrix), [0, 0, np.radians(40)], atol=1e-12)


@given(seeds)
def test_random_rotations_are_proper(seed):
    matrices = random_rotations(4, np.random.default_rng(seed))
    assert_allclose(
        matrices @ np.swapaxes(matrices, 1, 2), np.broadcast_to(np.eye(3), (4, 3, 3)), atol=1e-12
    )
    assert_allclose(np.linalg.det(matrices), 1, atol=1e-12)


def test_random_rotations_are_uniform():
    """Under Haar measure the mean matrix is 0, each E R_ij² is 1/3, E tr² is 1."""
    matrices = random_rotations(20_000, np.random.default_rng(3))
    assert_allclose(matrices.mean(axis=0), 0, atol=0.02)
    assert_allclose((matrices**2).mean(axis=0), 1 / 3, atol=0.015)
    assert_allclose((np.trace(matrices, axis1=1, axis2=2) ** 2).mean(), 1, atol=0.05)


def test_random_rotations_follow_the_generator():
    first, second = (random_rotations(5, np.random.default_rng(9)) for _ in range(2))
    assert_allclose(first, second, atol=0)


@given(seeds, st.floats(0, 180))
def test_rotation_angle_is_the_angle_between(seed, angle):
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(np.radians(angle) * axis / np.linalg.norm(axis)).as_matrix()
    matrix = random_rotations(1, rng)[0]
    assert rotation_angle(turn @ matrix, matrix) == pytest.approx(angle, abs=1e-5)
    assert rotation_angle(matrix, turn @ matrix) == pytest.approx(angle, abs=1e-5)


def test_rotation_angle_resolves_a_millionth_of_a_degree():
    assert rotation_angle(relion_euler_to_matrix(1e-6, 0, 0), np.eye(3)) == pytest.approx(
        1e-6, rel=1e-6
    )


def test_rotation_angle_broadcasts():
    matrices = random_rotations(6, np.random.default_rng(0)).reshape(2, 3, 3, 3)
    assert rotation_angle(matrices, np.eye(3)).shape == (2, 3)

"""Frames turn with the beads, and affine maps follow every affine motion of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from cryosway.protein._frames import find_neighbourhoods

angles = st.floats(-3.1, 3.1)
NO_BONDS = np.zeros((0, 2), np.intp)


def random_chain(count, seed=0):
    rng = np.random.default_rng(seed)
    steps = rng.normal([0.8, 0.4, 0], size=(count, 3))
    beads = 3.8 * np.cumsum(steps / np.linalg.norm(steps, axis=1)[:, None], axis=0)
    return beads, np.stack([np.arange(count - 1), np.arange(1, count)], axis=1)


@given(angles, angles, angles)
def test_a_rigid_motion_is_found_everywhere(a, b, c):
    beads, bonds = random_chain(30)
    rotation = Rotation.from_euler("xyz", [a, b, c]).as_matrix()
    found = find_neighbourhoods(beads, bonds).rotations(beads @ rotation.T + [1, 2, 3])
    np.testing.assert_allclose(found, np.broadcast_to(rotation, found.shape), atol=1e-8)


def test_a_hinge_turns_each_side_by_its_own_rotation():
    beads, bonds = random_chain(60)
    turned = beads.copy()
    rotation = Rotation.from_rotvec([0.5, -0.4, 0.7]).as_matrix()
    turned[30:] = (beads[30:] - beads[30]) @ rotation.T + beads[30]
    hoods = find_neighbourhoods(beads, bonds)
    found = hoods.rotations(turned)
    for side, wanted in ((slice(0, 26), np.eye(3)), (slice(34, 60), rotation)):
        off = Rotation.from_matrix(found[side] @ wanted.T).magnitude()
        assert np.rad2deg(off).max() < 8
        assert np.rad2deg(np.median(off)) < 1


@pytest.mark.parametrize("count", [5, 40])
def test_points_follow_an_affine_motion_exactly(count, rng):
    beads, bonds = random_chain(count)
    hoods = find_neighbourhoods(beads, bonds)
    owner = rng.integers(0, count, 100)
    points = beads[owner] + rng.normal(0, 3, (100, 3))
    weights = hoods.affine_weights(points, owner)
    matrix, shift = rng.normal(size=(3, 3)), rng.normal(size=3)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(weights @ beads, points, atol=1e-5)
    moved = beads @ matrix.T + shift
    np.testing.assert_allclose(weights @ moved, points @ matrix.T + shift, atol=1e-4)


def test_lonely_beads_turn_with_the_whole():
    beads = np.array([[0.0, 0, 0], [40, 0, 0], [0, 40, 0], [0, 0, 40]])
    rotation = Rotation.from_rotvec([0.1, 0.2, 1.0]).as_matrix()
    found = find_neighbourhoods(beads, NO_BONDS).rotations(beads @ rotation.T)
    np.testing.assert_allclose(found, np.broadcast_to(rotation, found.shape), atol=1e-5)
    single = find_neighbourhoods(beads[:1], NO_BONDS)
    assert np.isfinite(single.rotations(beads[:1])).all()
    weights = single.affine_weights(beads[:1] + 2.0, np.array([0]))
    np.testing.assert_allclose(weights.toarray(), [[1.0]])

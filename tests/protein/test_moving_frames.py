"""Space that follows the rigid frames of moving beads."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryosway.protein import MovingFrames, blend_near
from cryosway.protein._frames import find_neighbourhoods


@pytest.fixture(scope="module")
def helix():
    """Forty beads along two helices, as a chain."""
    t = 1.745 * np.arange(20)
    one = np.stack([2.3 * np.cos(t), 2.3 * np.sin(t), 1.5 * np.arange(20)], axis=1)
    other = one[::-1] + np.array([20.0, 0.0, 0.0])
    return np.concatenate([one, other])


@pytest.fixture(scope="module")
def frames(helix):
    bonds = np.stack([np.arange(39), np.arange(1, 40)], axis=1)
    return MovingFrames(find_neighbourhoods(helix, bonds))


def follow(frames, beads, points, **how):
    index, weights = blend_near(points, frames.reference, **how)
    affine = frames.affine(beads[None])[0][index]
    moved = affine[..., :3] @ points[:, None, :, None]
    return np.einsum("vk,vka->va", weights, moved[..., 0] + affine[..., 3])


def test_rigid_motion_moves_all_of_space_with_it(frames, helix):
    rng = np.random.default_rng(0)
    points = helix.mean(0) + rng.normal(scale=15.0, size=(50, 3))
    turn, shift = Rotation.from_rotvec([0.4, -1.1, 0.8]).as_matrix(), np.array([3.0, -8.0, 5.0])
    moved = follow(frames, helix @ turn.T + shift, points)
    assert np.allclose(moved, points @ turn.T + shift, atol=1e-6)


def test_rotations_are_those_of_the_neighbourhoods(frames, helix):
    rng = np.random.default_rng(1)
    many = helix + rng.normal(scale=1.0, size=(3, 40, 3))
    found = frames.affine(many)
    for beads, affine in zip(many, found, strict=True):
        assert np.allclose(affine[..., :3], frames.neighbourhoods.rotations(beads), atol=1e-6)
        assert np.allclose(
            np.einsum("bac,bc->ba", affine[..., :3], helix) + affine[..., 3], beads, atol=1e-9
        )


def test_side_chain_turns_with_its_domain(frames, helix):
    """One helix turns about its own axis: what sticks out follows; displacements shrink it."""
    turn = Rotation.from_rotvec([0.0, 0.0, np.pi / 2]).as_matrix()
    beads = helix.copy()
    beads[:20] = helix[:20] @ turn.T
    tips = helix[5:15] * [2.5, 2.5, 1.0]
    found = follow(frames, beads, tips)
    assert np.abs(found - tips @ turn.T).max() < 0.5
    index, weights = blend_near(tips, helix)
    plain = tips + np.einsum("vk,vka->va", weights, (beads - helix)[index])
    assert np.abs(plain - tips @ turn.T).max() > 2.0


def test_weights_sum_to_one_and_are_smooth(helix):
    line = np.stack([np.linspace(-30, 40, 20_000), np.full(20_000, 3.0), np.full(20_000, 11.0)], 1)
    index, weights = blend_near(line, helix)
    assert np.allclose(weights.sum(1), 1)
    dense = np.zeros((len(line), len(helix)))
    np.put_along_axis(dense, index.astype(np.int64), weights, axis=1)
    assert np.abs(np.diff(dense, axis=0)).max() < 0.01


@pytest.mark.parametrize("count", [1, 2, 9])
def test_few_beads_are_enough(count):
    beads = np.random.default_rng(2).normal(size=(count, 3))
    index, weights = blend_near(np.zeros((4, 3)), beads)
    assert index.shape == weights.shape == (4, min(count, 4))
    assert np.allclose(weights.sum(1), 1)
    assert index.max() < count

"""Normal modes are the softest motions of the network, found as well by blocks as directly."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import special_ortho_group

from cryosway import CryoswayError
from cryosway.priors import NormalModes, find_normal_modes
from cryosway.priors import _normal_modes as solvers
from cryosway.priors._anisotropic_network import build_hessian, find_springs, rigid_motions


@pytest.fixture(scope="module")
def dumbbell(two_domains):
    """Two domains of 60 beads that a neck of 12 joins: a hinge."""
    first, second = (
        two_domains.coordinates[:60],
        two_domains.coordinates[60:] + np.array([9.0, 0, 0]),
    )
    near, far = first[:, 0].max(), second[:, 0].min()
    along = np.linspace(near, far, 5)[1:-1]
    strands = np.array([[y, z] for y in (-2.5, 2.5) for z in (-2.5, 2.5)])
    neck = np.array([[x, y, z] for x in along for y, z in strands])
    return np.concatenate([first, neck, second])


def test_there_are_six_motions_that_cost_nothing(two_domains, dumbbell):
    for x in (two_domains.coordinates, dumbbell):
        hessian = build_hessian(x, find_springs(x, np.empty((0, 2), int), 10.0)).toarray()
        np.testing.assert_allclose(hessian, hessian.T)
        values = np.linalg.eigvalsh(hessian)
        assert (np.abs(values) < 1e-10).sum() == 6
        assert values[6] > 1e-6


def test_the_hessian_is_that_of_the_springs(globule):
    x = globule.coordinates[:12]
    springs = find_springs(x, np.empty((0, 2), int), 8.0)
    rest = np.linalg.norm(x[springs[:, 0]] - x[springs[:, 1]], axis=1)
    move = np.random.default_rng(0).normal(size=x.shape)

    def energy(step):
        y = x + step * move
        length = np.linalg.norm(y[springs[:, 0]] - y[springs[:, 1]], axis=1)
        return 0.5 * ((3.8 / rest) ** 2 * (length - rest) ** 2).sum()

    step = 1e-3
    curvature = (energy(step) + energy(-step)) / step**2
    flat = move.ravel()
    assert flat @ (build_hessian(x, springs) @ flat) == pytest.approx(curvature, rel=1e-4)


@pytest.mark.parametrize("dense", [True, False])
def test_modes_are_orthonormal_eigenvectors_without_rigid_motions(dumbbell, dense, monkeypatch):
    monkeypatch.setattr(solvers, "_DENSE", 10**6 if dense else 0)
    modes = find_normal_modes(dumbbell, count=8)
    flat = modes.vectors.reshape(8, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(8), atol=1e-9)
    assert np.abs(flat @ rigid_motions(dumbbell)).max() < 1e-8
    hessian = build_hessian(dumbbell, find_springs(dumbbell, np.empty((0, 2), int), 15.0))
    rest = hessian @ flat.T - flat.T * modes.stiffness
    assert np.abs(rest).max() < 1e-4 * hessian.diagonal().mean()
    assert (np.diff(modes.stiffness) >= 0).all()


def test_blocks_find_what_diagonalisation_finds(dumbbell, monkeypatch):
    direct = find_normal_modes(dumbbell, count=10)
    monkeypatch.setattr(solvers, "_DENSE", 0)
    found = find_normal_modes(dumbbell, count=10)
    np.testing.assert_allclose(found.stiffness, direct.stiffness, rtol=1e-5)
    overlap = np.linalg.svd(direct.project(found.vectors))[1]
    assert overlap.min() > 0.9999


def test_few_rounds_find_nearly_the_same(dumbbell, monkeypatch):
    """As many as the start of a fit takes, which mixes modes anyway."""
    monkeypatch.setattr(solvers, "_DENSE", 0)
    direct = find_normal_modes(dumbbell, count=8)
    found = find_normal_modes(dumbbell, count=8, most_rounds=15)
    np.testing.assert_allclose(found.stiffness, direct.stiffness, rtol=1e-2)
    flat = [modes.vectors.reshape(8, -1) for modes in (found, direct)]
    assert np.linalg.svd(flat[0] @ flat[1].T)[1].min() > 0.98


def test_the_softest_modes_are_the_hinge(dumbbell):
    """Turning one domain against the other, about any axis, is in the six softest modes."""
    modes = find_normal_modes(dumbbell, count=6)
    pivot = dumbbell[60:72].mean(axis=0)
    for axis in ("x", "y", "z"):
        turn = Rotation.from_euler(axis, 1.0, degrees=True).as_matrix()
        moved = dumbbell.copy()
        moved[66:] = (dumbbell[66:] - pivot) @ turn.T + pivot
        displacement = moved - dumbbell
        rigid = rigid_motions(dumbbell)
        flat = displacement.ravel() - rigid @ (rigid.T @ displacement.ravel())
        share = (modes.project(flat.reshape(-1, 3)) ** 2).sum() / (flat @ flat)
        assert share > 0.9
    other = find_normal_modes(dumbbell, count=7)
    assert other.stiffness[6] > 3 * other.stiffness[2]


def test_modes_turn_with_the_molecule(globule):
    turn = special_ortho_group.rvs(3, random_state=0)
    modes = find_normal_modes(globule.coordinates, count=4)
    turned = find_normal_modes(globule.coordinates @ turn.T + 20, count=4)
    np.testing.assert_allclose(turned.stiffness, modes.stiffness, rtol=1e-8)
    overlap = np.abs(turned.project(modes.vectors @ turn.T))
    np.testing.assert_allclose(overlap, np.eye(4), atol=1e-6)


def test_amplitudes_and_displacements_are_inverse(globule):
    modes = find_normal_modes(globule.coordinates, globule.bonds, 5)
    amplitudes = np.random.default_rng(0).normal(size=(3, 5))
    displacements = modes.displace(amplitudes)
    assert displacements.shape == (3, 60, 3)
    np.testing.assert_allclose(modes.project(displacements), amplitudes)


def test_collectivity_is_the_part_of_the_beads_that_moves():
    vectors = np.zeros((2, 8, 3))
    vectors[0, :, 0] = 8**-0.5
    vectors[1, 3, 1] = 1
    np.testing.assert_allclose(NormalModes(vectors, np.ones(2)).collectivity, [1, 1 / 8])


def test_parts_out_of_reach_and_dangling_beads_are_held(globule):
    """Else every part, and every loose bead, would bring motions that cost nothing."""
    x = globule.coordinates
    tail = x[-1] + np.array([[14.0, 3, 0], [25, -5, 5], [35, 2, -8]])
    far = np.concatenate([x, tail, x + np.array([200.0, 0, 0])])
    springs = find_springs(far, np.empty((0, 2), int), 10.0)
    values = np.linalg.eigvalsh(build_hessian(far, springs).toarray())
    assert (values < 1e-12).sum() == 6
    across = (springs[:, 0] < 63) & (springs[:, 1] >= 63)
    assert across.sum() == 36


@pytest.mark.parametrize(("beads", "count"), [(2, 1), (10, 25), (10, 0)])
def test_more_modes_than_there_are_is_refused(beads, count, globule):
    with pytest.raises(CryoswayError, match=f"{beads} beads have"):
        find_normal_modes(globule.coordinates[:beads], count=count)

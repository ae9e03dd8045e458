import numpy as np

from cryosway.optics import random_rotations
from cryosway.protein import find_superposition, superpose_ensemble


def test_finds_the_motion_that_was_made(rng):
    points = rng.normal(size=(40, 3)) * 10
    rotation = random_rotations(1, rng)[0]
    moved = points @ rotation.T + [3.0, -5.0, 7.0]
    fit = find_superposition(points, moved)
    np.testing.assert_allclose(fit.rotation, rotation, atol=1e-12)
    np.testing.assert_allclose(fit.apply(points), moved, atol=1e-11)
    assert fit.rmsd < 1e-11


def test_never_mirrors(rng):
    points = rng.normal(size=(40, 3))
    fit = find_superposition(points, points * [1, 1, -1])
    assert np.linalg.det(fit.rotation) > 0.999
    assert fit.rmsd > 0.3


def test_weights_decide_which_atoms_fit(rng):
    points = rng.normal(size=(20, 3))
    target = points.copy()
    target[10:] += 5.0
    weights = np.r_[np.ones(10), np.zeros(10)]
    fit = find_superposition(points, target, weights)
    np.testing.assert_allclose(fit.apply(points)[:10], target[:10], atol=1e-12)


def test_rmsd_of_the_kinase_is_that_of_the_literature(kinase):
    closed, opened = (table.select_atoms(["CA"]).coordinates for table in kinase)
    assert 7.0 < find_superposition(closed, opened).rmsd < 7.2


def test_ensemble_loses_rigid_motions_but_no_others(rng):
    base = rng.normal(size=(30, 3)) * 10
    rotations = random_rotations(5, rng)
    copies = np.stack([base @ r.T + rng.normal(size=3) for r in rotations])
    np.testing.assert_allclose(superpose_ensemble(copies), np.stack([copies[0]] * 5), atol=1e-9)

"""Poses of a job beside those of a file: how far apart, and what counts as the same."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import cryosway as cs
from cryosway.methods._job_files import particles_table
from cryosway.methods._job_poses import JobPoses

COUNT = 20


@pytest.fixture(scope="module")
def particles(one_state):
    return cs.read_particles(one_state.particles)[:COUNT]


def move(particles, degrees, angstrom):
    """Turn every particle about an axis of its own, and shift it along y."""
    axes = np.random.default_rng(1).normal(size=(COUNT, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    turns = Rotation.from_rotvec(np.deg2rad(degrees) * axes).as_matrix()
    return particles.with_poses(
        turns @ particles.rotations, particles.shifts + np.array([0, angstrom])
    )


@pytest.mark.parametrize(
    ("degrees", "angstrom", "differ"),
    [(0, 0, False), (1e-3, 1e-3, False), (2, 0, True), (0, 0.3, True), (0.02, 0, True)],
)
def test_turns_and_shifts_are_told_from_rounding(particles, degrees, angstrom, differ):
    moved = move(particles, degrees, angstrom)
    found = JobPoses.beside(particles, particles_table(moved))
    assert found.differ is differ
    np.testing.assert_allclose(found.turned, degrees, atol=1e-4)
    np.testing.assert_allclose(found.moved, angstrom, atol=1e-4)
    np.testing.assert_allclose(found.rotations, moved.rotations, atol=1e-6)
    np.testing.assert_allclose(found.shifts, moved.shifts, atol=1e-6)


def test_one_particle_that_differs_is_enough(particles):
    shifts = particles.shifts.copy()
    shifts[-1, 0] -= 0.1
    table = particles_table(particles.with_poses(particles.rotations, shifts))
    assert JobPoses.beside(particles, table).differ


def test_what_images_have_lost_is_added_to_the_shifts_of_the_job(particles):
    removed = np.array([1.5, -0.5])
    cut = particles.with_poses(particles.rotations, particles.shifts - removed)
    assert not JobPoses.beside(particles, particles_table(cut), removed).differ

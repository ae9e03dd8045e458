"""Densities on a grid and at points."""

import numpy as np
import pytest

from cryosway.landscape import find_extent, smooth_histogram, snap_to_density
from cryosway.landscape._density import count_support


def test_the_histogram_counts_every_particle_in_view():
    x, y = np.random.default_rng(0).normal(size=(2, 5000))
    density = smooth_histogram(x, y, (-8, 8, -8, 8), bins=64)
    assert density.sum() == pytest.approx(5000, rel=1e-6)


def test_rows_run_along_y_from_the_bottom():
    density = smooth_histogram(np.array([2.0]), np.array([-3.0]), (-4, 4, -4, 4), 8, 0.3)
    assert np.unravel_index(density.argmax(), density.shape) == (1, 6)


def test_groups_far_apart_are_no_broader_than_one_alone():
    x, y = np.random.default_rng(0).normal(size=(2, 600))
    away = np.repeat([-30, 30], 300)
    density = smooth_histogram(x + away, y + away, (-40, 40, -40, 40), bins=400)
    across = density.sum(axis=0)
    spread = np.sqrt(np.average((np.linspace(-40, 40, 400) - 30) ** 2, weights=across * (
        np.arange(400) > 200)))  # fmt: skip
    assert spread < 1.3, "the groups' s.d. is 1"


def test_density_is_not_mirrored_at_the_frame():
    """Half of the kernel of a point at the edge lies outside, and a point outside reaches in."""
    edge = smooth_histogram(np.array([0.0]), np.array([4.0]), (0, 8, 0, 8), 64, 3.0)
    assert edge.sum() == pytest.approx(0.55, abs=0.05)
    outside = smooth_histogram(np.array([-0.5]), np.array([4.0]), (0, 8, 0, 8), 64, 3.0)
    assert 0.05 < outside.sum() < 0.3


def test_one_outlier_does_not_set_the_window():
    x = np.append(np.random.default_rng(0).normal(size=20_000), 1e6)
    left, right, _, _ = find_extent(x, x)
    assert -8 < left < -2 < 2 < right < 8


def test_mean_shift_climbs_to_the_nearer_peak():
    rng = np.random.default_rng(2)
    cloud = np.concatenate([rng.normal(size=(500, 2)), rng.normal((20, 0), size=(500, 2))])
    np.testing.assert_allclose(snap_to_density(np.array([7.0, 1.0]), cloud, 2.0), [0, 0], atol=0.3)


def test_support_counts_particles_whose_posterior_reaches_the_point():
    """Particles uniform with density 1 per unit: the kernel's area is sqrt(2π) sd."""
    latents = np.linspace(-500, 500, 1001)[:, None]
    sd = np.full_like(latents, 8.0)
    support = count_support(np.zeros(1), latents, sd, np.array([8.0]))
    assert support == pytest.approx(np.sqrt(2 * np.pi) * 8.0, rel=1e-3)

"""Traversals run between percentiles and stay with the particles."""

import numpy as np
import pytest

from cryosway.landscape import trace_direction


@pytest.fixture
def parabola():
    """Uncorrelated but dependent: a cloud along y = x²/4 - 3."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-6, 6, 20_000)
    return np.stack([x, x**2 / 4 - 3 + 0.1 * rng.normal(size=len(x))], axis=1)


def test_the_ends_are_the_percentiles(parabola):
    path = trace_direction(parabola, 1, points=7)
    expected = np.percentile(parabola[:, 0], [5, 95])
    np.testing.assert_allclose(path.positions[[0, -1]], expected)
    np.testing.assert_allclose(path.coordinates[[0, -1], 0], expected)
    np.testing.assert_allclose(np.diff(path.positions), path.positions[1] - path.positions[0])


def test_the_path_bends_with_the_cloud(parabola):
    path = trace_direction(parabola, 1, points=13)
    on_curve = path.coordinates[:, 0] ** 2 / 4 - 3
    np.testing.assert_allclose(path.coordinates[1:-1, 1], on_curve[1:-1], atol=0.4)


def test_the_path_is_straight_in_a_straight_cloud():
    cloud = np.random.default_rng(1).normal(size=(50_000, 3)) * [5.0, 2.0, 1.0]
    path = trace_direction(cloud, 1)
    np.testing.assert_allclose(path.coordinates[:, 1:], 0.0, atol=0.15)


def test_a_direction_without_spread_gives_a_point():
    path = trace_direction(np.zeros((10, 2)), 2, points=3)
    np.testing.assert_array_equal(path.coordinates, np.zeros((3, 2)))

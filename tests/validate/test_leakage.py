"""Latents that know something else are found out, and those that do not are left alone."""

import numpy as np
import pytest

from cryosway.validate import find_neighbours, measure_leakage


@pytest.fixture(scope="module")
def latents():
    return np.random.default_rng(0).normal(size=(1500, 3))


def test_neighbours_are_the_nearest_others():
    near = find_neighbours(np.array([[0.0], [1.0], [3.0], [3.5], [10.0]]), 2)
    assert [set(row) for row in near.tolist()] == [{1, 2}, {0, 2}, {3, 1}, {2, 1}, {3, 2}]


def test_points_that_coincide_are_not_their_own_neighbours():
    near = find_neighbours(np.zeros((6, 2)), 3)
    assert not (near == np.arange(6)[:, None]).any()


def test_the_share_is_that_of_the_variance(latents):
    """y = z1 + noise of the same variance: half of its variance is in the latents."""
    rng = np.random.default_rng(1)
    y = latents[:, 0] + rng.normal(size=len(latents))
    found = measure_leakage(find_neighbours(latents), y, 99)
    assert found.share == pytest.approx(0.5, abs=0.1)
    assert found.p_value == 0.01


def test_nothing_is_found_in_what_latents_do_not_know(latents):
    rng = np.random.default_rng(2)
    near = find_neighbours(latents)
    p_values = [measure_leakage(near, rng.normal(size=(1500, 2)), 99).p_value for _ in range(12)]
    assert min(p_values) > 0.01
    assert np.mean(p_values) > 0.25


def test_names_that_neighbours_share(latents):
    """Micrographs in which the particles of one half of the landscape lie."""
    rng = np.random.default_rng(3)
    near = find_neighbours(latents)
    numbers = rng.integers(20, size=1500)
    names = np.array([f"mic{n}" for n in numbers], object)
    assert measure_leakage(near, names, 99).p_value > 0.01
    sided = np.array([f"mic{n}_{side}" for n, side in zip(numbers, latents[:, 0] > 0, strict=True)])
    found = measure_leakage(near, sided.astype(object), 99)
    assert found.p_value == 0.01
    assert found.share == pytest.approx(0.025, abs=0.008)  # 1 of 20, not 1 of 40

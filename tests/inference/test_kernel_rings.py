"""Rings: weights in many kernels as products of a few."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosway.inference._kernel_rings import cut_rings

BANDWIDTHS = np.array([1.0, 1.5, 2.2, 3.5, 6.0])


def weigh(squares):
    weights = np.exp(-0.5 * np.asarray(squares)[:, None] / BANDWIDTHS**2)
    return np.where(weights < 0.01, 0, weights)


def rebuild(rings, shape):
    weights = np.zeros(shape)
    for ring in rings:
        weights[ring.rows] += ring.basis @ ring.mixing
    return weights


def share_of_error(weights, rings):
    error = rebuild(rings, weights.shape) - weights
    return np.square(error).sum(0) / np.maximum(np.square(weights).sum(0), 1e-30)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.5, 300), st.integers(1, 400))
def test_every_kernel_is_rebuilt_and_every_particle_is_in_one_ring(seed, spread, count):
    rng = np.random.default_rng(seed)
    weights = weigh(spread * rng.chisquare(3, count))
    rings = cut_rings(weights)
    assert (share_of_error(weights, rings) <= 2e-4 + 1e-9).all()
    rows = np.concatenate([ring.rows for ring in rings]) if rings else np.zeros(0, int)
    np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(weights[:, -1] > 0))
    for ring in rings:
        assert (np.diff(ring.rows) > 0).all()
    ranks = [ring.basis.shape[1] for ring in rings]
    assert ranks == sorted(ranks)


def test_many_particles_need_two_channels_instead_of_five():
    weights = weigh(np.random.default_rng(0).chisquare(4, 5000))
    rings = cut_rings(weights)
    assert len(rings) <= 12
    mean = sum(ring.basis.size for ring in rings) / sum(len(ring.rows) for ring in rings)
    assert 1 <= mean < 2.3


def test_no_tolerance_is_exact():
    weights = weigh(np.random.default_rng(1).chisquare(4, 300))
    np.testing.assert_allclose(
        rebuild(cut_rings(weights, tolerance=0.0), weights.shape), weights, atol=1e-5
    )


@pytest.mark.parametrize("squares", [[0.3], [5.0] * 40, [0.0] * 3])
def test_one_particle_or_one_distance_is_one_exact_ring(squares):
    weights = weigh(squares)
    (ring,) = cut_rings(weights)
    assert ring.basis.shape == (len(squares), 1)
    np.testing.assert_allclose(ring.basis @ ring.mixing, weights, atol=1e-12)


def test_what_only_the_widest_kernel_reaches_is_exact_with_one_weight():
    squares = np.random.default_rng(2).uniform(120, 320, 200)
    weights = weigh(squares)
    (ring,) = cut_rings(weights)
    assert ring.basis.shape[1] == 1
    np.testing.assert_allclose(rebuild([ring], weights.shape), weights, atol=1e-12)


def test_a_kernel_that_reaches_none_of_a_ring_gets_nothing_of_it():
    weights = weigh(np.random.default_rng(3).uniform(0, 320, 500))
    for ring in cut_rings(weights):
        unreached = ~(weights[ring.rows] > 0).any(0)
        assert np.abs((ring.basis @ ring.mixing)[:, unreached]).max(initial=0) < 1e-12


def test_nobody_in_reach_is_no_ring():
    assert cut_rings(np.zeros((7, 5))) == []

"""Local resolution: the blurred part of a map is found to be blurred."""

import numpy as np
import pytest

from cryosway.validate import local_resolution, low_pass

BOX, PIXEL = 48, 3.0


@pytest.fixture(scope="module")
def halves(make_phantom):
    """A map that is sharp for x < 0 and blurred for x > 0, twice with noise of its own."""
    rng = np.random.default_rng(0)
    texture = rng.normal(size=(BOX,) * 3).astype(np.float32)
    right = (np.arange(BOX) >= BOX // 2).astype(np.float32)
    truth = low_pass(texture, PIXEL, 7.0) * (1 - right) + low_pass(texture, PIXEL, 24.0) * right
    sigma = 0.3 * low_pass(texture, PIXEL, 7.0).std()
    return tuple(truth + sigma * rng.normal(size=truth.shape) for _ in range(2))


def test_the_blurred_half_has_the_worse_resolution(halves):
    local = local_resolution(*halves, PIXEL)
    assert local.shape == (BOX,) * 3
    assert local.dtype == np.float32
    sharp = np.median(local[:, :, 6:18])
    blurred = np.median(local[:, :, 30:42])
    assert sharp < 9
    assert blurred > 14
    assert local.min() >= 2 * PIXEL


def test_the_same_map_twice_is_resolved_to_nyquist(halves):
    local = local_resolution(halves[0], halves[0], PIXEL)
    np.testing.assert_array_equal(local, 2 * PIXEL)


def test_noise_is_resolved_nowhere():
    rng = np.random.default_rng(3)
    halves = (rng.normal(size=(32, 32, 32)) for _ in range(2))
    local = local_resolution(*halves, PIXEL)
    assert np.median(local) > 32 * PIXEL / 4


def test_a_stricter_threshold_states_a_worse_resolution(halves):
    loose, strict = (local_resolution(*halves, PIXEL, threshold=t) for t in (0.3, 0.8))
    assert (strict >= loose - 1e-3).all()
    assert strict.mean() > loose.mean()


def test_the_window_is_in_angstrom(halves):
    narrow = local_resolution(*halves, PIXEL, window=9.0)
    wide = local_resolution(*halves, PIXEL, window=30.0)
    assert narrow.std() > wide.std()

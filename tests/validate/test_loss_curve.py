"""A loss that has come to rest, one that still falls, one that rises."""

import numpy as np

from cryosway.validate import measure_curve_end

EPOCHS = np.arange(30)


def test_an_exponential_comes_to_rest():
    end = measure_curve_end(np.exp(-EPOCHS / 3))
    assert end.remaining < 0.001
    assert not end.rises


def test_a_straight_fall_has_not():
    end = measure_curve_end(1 - 0.01 * EPOCHS)
    assert end.slope == np.float64(-0.01).round(12) or abs(end.slope + 0.01) < 1e-12
    assert end.remaining > 0.03


def test_what_rises_at_the_end_diverges():
    assert measure_curve_end(np.exp(-EPOCHS / 3) + np.maximum(EPOCHS - 20, 0) * 0.01).rises


def test_noise_about_the_end_does_not_rise():
    rng = np.random.default_rng(0)
    ends = [measure_curve_end(np.exp(-EPOCHS / 3) + 0.01 * rng.normal(size=30)) for _ in range(20)]
    assert sum(end.rises for end in ends) == 0


def test_few_epochs_tell_nothing():
    assert measure_curve_end([3.0, 2.0, 1.0]) is None

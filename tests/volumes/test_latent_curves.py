"""Functions of the latent that are known at a few latents, and what lies between."""

import numpy as np
import torch

from cryosway.volumes import LatentCurves


def bend(z):
    """A line and a wave, of two coordinates."""
    return np.stack([1 + 2 * z[:, 0] - z[:, 1], np.sin(2 * z[:, 0])], axis=1)


def evaluate(curves, z):
    return curves(torch.from_numpy(z).float()).numpy()


def test_between_the_anchors_are_the_functions_themselves():
    rng = np.random.default_rng(0)
    anchors, between = rng.normal(size=(80, 2)), rng.normal(size=(200, 2)) * 0.7
    curves = LatentCurves.fit(anchors, np.array([0.3, 0.3]), bend(anchors))
    assert len(curves) == 2
    error = np.abs(evaluate(curves, between) - bend(between))
    assert np.quantile(error, 0.95) < 0.05  # some lie beyond the outermost anchors
    assert np.quantile(error, 0.5) < 0.01


def test_noise_at_the_anchors_is_not_followed():
    """Leave-one-out chooses curves stiff enough that most of the noise is not in them."""
    rng = np.random.default_rng(1)
    anchors, between = rng.normal(size=(120, 2)), rng.normal(size=(300, 2)) * 0.7
    noisy = bend(anchors) + rng.normal(size=(120, 2)) * 0.5
    curves = LatentCurves.fit(anchors, np.array([0.2, 0.2]), noisy)
    error = np.sqrt(np.square(evaluate(curves, between) - bend(between)).mean())
    assert error < 0.25


def test_far_away_the_line_goes_on():
    anchors = np.random.default_rng(2).normal(size=(40, 2))
    curves = LatentCurves.fit(anchors, np.ones(2), bend(anchors)[:, :1])
    np.testing.assert_allclose(evaluate(curves, np.array([[9.0, -9.0]])), [[28.0]], rtol=0.01)


def test_only_the_latents_that_are_known_count():
    anchors = np.random.default_rng(3).normal(size=(40, 2))
    curves = LatentCurves.fit(anchors, np.ones(2), bend(anchors))
    z = np.random.default_rng(4).normal(size=(5, 4))
    np.testing.assert_array_equal(evaluate(curves, z), evaluate(curves, z[:, :2]))
    assert evaluate(LatentCurves.none(), z).shape == (5, 0)

"""Principal coordinates measure what the data can tell apart."""

import numpy as np
import pytest

from cryosway.landscape import fit_principal_axes


def make_cloud(n=4000, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)) * [3.0, 1.0, 0.2], np.broadcast_to([0.5, 0.5, 0.5], (n, 3))


def test_projection_and_lift_are_inverse():
    latents, sd = make_cloud()
    axes = fit_principal_axes(latents, sd)
    np.testing.assert_allclose(axes.lift(axes.project(latents)), latents, atol=1e-12)


def test_the_unit_is_one_posterior_sd():
    latents, sd = make_cloud()
    axes = fit_principal_axes(latents, sd)
    np.testing.assert_allclose(np.sqrt(axes.variance), [6.0, 2.0, 0.4], rtol=0.05)
    assert axes.project(axes.mean + np.array([0.5, 0, 0]))[0] == pytest.approx(1.0, abs=1e-2)


def test_the_latents_own_units_do_not_matter():
    latents, sd = make_cloud()
    stretched = np.array([1.0, 10.0, 0.1])
    ours = fit_principal_axes(latents, sd)
    theirs = fit_principal_axes(latents * stretched, sd * stretched)
    np.testing.assert_allclose(
        np.abs(ours.project(latents)), np.abs(theirs.project(latents * stretched)), atol=1e-9
    )


def test_a_noisy_latent_does_not_lead():
    """A wide latent that is nothing but uncertainty comes last."""
    rng = np.random.default_rng(1)
    latents = np.stack([rng.normal(size=500) * 2.0, rng.normal(size=500) * 10.0], axis=1)
    axes = fit_principal_axes(latents, np.broadcast_to([0.2, 50.0], (500, 2)))
    assert abs(axes.directions[0, 0]) > 0.99


def test_without_posterior_the_spread_is_the_unit():
    latents, _ = make_cloud()
    np.testing.assert_allclose(fit_principal_axes(latents).variance.sum(), 3.0)


def test_a_latent_without_spread_or_posterior_is_harmless():
    latents = np.zeros((10, 2))
    assert np.isfinite(fit_principal_axes(latents, np.zeros((10, 2))).project(latents)).all()

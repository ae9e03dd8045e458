"""Noise spectra from residuals: right in the presence of signal, heterogeneity and fitted noise."""

import numpy as np
import pytest
import torch

from cryosway.inference import (
    GaussianPosterior,
    ImageSource,
    NoiseModel,
    estimate_noise,
    infer_all,
)
from cryosway.volumes import BasisGrid

BOX, PIXEL, COUNT = 32, 3.0, 500


@pytest.fixture(scope="module")
def moving(make_phantom, simulate):
    """A molecule, a change along one component, and particles of it in coloured noise."""
    mean = make_phantom()
    change = make_phantom(balls=6, radius=20, seed=5) - make_phantom(balls=6, radius=20, seed=6)
    rng = np.random.default_rng(0)
    z = rng.normal(size=COUNT)
    truth = simulate([mean, change], COUNT, amounts=np.stack([np.ones(COUNT), z], 1), noise=3.0)
    volumes = torch.from_numpy(np.stack([mean.volume(BOX, PIXEL), change.volume(BOX, PIXEL)]))
    norm = float(volumes[1].norm())
    volumes[1] /= norm
    return truth, BasisGrid(volumes, np.array([norm**2]))


def test_a_coloured_spectrum_comes_back_from_any_start(moving):
    truth, basis = moving
    for start in (truth.noise, 3.0 * truth.noise[::-1].copy()):
        source = ImageSource(truth.particles, 15, noise=NoiseModel(start[None]))
        for _ in range(3):
            posterior = infer_all(source, basis, 0.0)
            source = source.with_noise(estimate_noise(source, basis, posterior))
        ratio = source.noise.power[0] / truth.noise
        np.testing.assert_allclose(ratio[5:], 1, atol=0.03)
        assert abs(ratio[2:].mean() - 1) < 0.03


def test_without_the_component_its_variance_counts_as_noise(moving):
    truth, basis = moving
    source = ImageSource(truth.particles, 15, noise=NoiseModel(truth.noise[None]))
    fixed = estimate_noise(source, basis.first(0), infer_all(source, basis.first(0), 0.0))
    right = estimate_noise(source, basis, infer_all(source, basis, 0.0))
    assert (fixed.power[0, 2:8] > 1.02 * right.power[0, 2:8]).all()


def test_noise_that_the_latents_have_fitted_is_given_back(moving):
    """The posterior's covariance makes the estimate unbiased; without it, it is too low."""
    truth, basis = moving
    source = ImageSource(truth.particles, 6, noise=NoiseModel(truth.noise[None]))
    small = basis.resized(14)
    posterior = infer_all(source, small, 0.0)
    sure = GaussianPosterior(
        posterior.mean,
        1e-9 * posterior.covariance,
        posterior.contrast,
        posterior.contrast_variance,
        posterior.log_likelihood,
    )
    right = estimate_noise(source, small, posterior).power[0, 1:]
    low = estimate_noise(source, small, sure).power[0, 1:]
    assert (low < right).all()
    true = truth.noise[1:7]
    assert abs((right / true).mean() - 1) < abs((low / true).mean() - 1)


def test_each_optics_group_has_its_own_spectrum(make_phantom, simulate):
    phantom = make_phantom()

    def louder(images):
        images[1::2] *= 3

    truth = simulate(
        [phantom], 300, pixels=(3.0, 3.0), noise=2.0, edit=louder, amounts=np.zeros((300, 1))
    )
    source = ImageSource(truth.particles, 12, noise=NoiseModel(np.ones((2, 13))))
    empty = BasisGrid(torch.zeros(1, 26, 26, 26), np.zeros(0))
    noise = estimate_noise(source, empty, infer_all(source, empty, 0.0)).power
    np.testing.assert_allclose(noise[1, 3:] / noise[0, 3:], 9, rtol=0.15)


def test_a_source_that_is_not_whitened_is_refused(moving):
    truth, basis = moving
    source = ImageSource(truth.particles, 15)
    with pytest.raises(ValueError, match="not whitened"):
        estimate_noise(source, basis, infer_all(source, basis, 0.0))

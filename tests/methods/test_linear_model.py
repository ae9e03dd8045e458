"""The decoder of a linear job: maps and half-maps of latents from one pass over the particles."""

import numpy as np
import pytest
import torch

from cryosway.inference import (
    BANDWIDTHS,
    GaussianPosterior,
    ImageSource,
    NoiseModel,
    ShellMixture,
    split_halves,
    total_power,
)
from cryosway.methods._linear.model import KernelDecoder, LinearModel
from cryosway.particles import read_particles
from cryosway.validate import fsc, mask_state, sphere_mask

BOX = 32


@pytest.fixture(scope="module")
def decoder(one_state):
    particles = read_particles(one_state.particles)
    rng = np.random.default_rng(0)
    count, shells = len(particles), BOX // 2
    posterior = GaussianPosterior(
        rng.normal(size=(count, 1)) * 4,
        np.ones((count, 1, 1)),
        np.ones(count),
        np.zeros(count),
        np.zeros(count),
    )
    source = ImageSource(particles, shells - 1)
    noise: NoiseModel = total_power(source)
    gains = torch.from_numpy(rng.uniform(0.1, 0.3, (1, len(BANDWIDTHS) + 1, shells))).float()
    gains[0, 2] += 1  # the kernel whose half-maps are shown
    volumes = torch.from_numpy(rng.normal(size=(3, 2, BOX, BOX, BOX))).float()
    mask = torch.from_numpy(sphere_mask(BOX, 12)).float()
    model = LinearModel(
        volumes=volumes[0],
        half_volumes=volumes[1:],
        variances=np.ones(1),
        mask=mask,
        noise=noise.power,
        bandwidths=np.asarray(BANDWIDTHS),
        mixture=ShellMixture(gains, mask[None]),
    )
    return KernelDecoder(model, source.with_noise(noise), posterior, split_halves(count, None, 0))


Z = np.array([0.7])


def test_candidates_are_kernels_and_the_linear_map(decoder):
    (first, whole), weights = decoder.candidates(Z, (0, None))
    assert first.shape == whole.shape == (len(BANDWIDTHS) + 1, BOX, BOX, BOX)
    assert weights.shape == (600, len(BANDWIDTHS))
    for found, basis in ((first, decoder.model.half_volumes[0]), (whole, decoder.model.volumes)):
        torch.testing.assert_close(found[-1], basis[0] + 0.7 * basis[1])


def test_the_volume_is_the_mixture_of_all_particles_candidates(decoder):
    (whole,), _ = decoder.candidates(Z, (None,))
    expected = mask_state(decoder.model.mixture.combine(whole).numpy(), 4.5)
    assert np.abs(decoder.volume(Z) - expected).max() < 1e-3 * np.abs(expected).max()


def test_a_map_without_some_particles_knows_nothing_of_them(decoder):
    count = len(decoder.weights(Z))
    whole, none = decoder.volume(Z), np.zeros(0, np.int64)
    again = decoder.map_without(Z, none)
    assert np.abs(again - whole).max() < 1e-3 * np.abs(whole).max()
    second = decoder._kernel.half.numpy().nonzero()[0]
    (first,), _ = decoder.candidates(Z, (0,))
    first[-1] = decoder._linear_map(Z, None)
    expected = mask_state(decoder.model.mixture.combine(first).numpy(), 4.5)
    found = decoder.map_without(Z, second)
    assert 0 < len(second) < count
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def test_half_maps_are_those_of_the_kernel_that_counts_most(decoder):
    """The second is what all have more than the first: the same as from its own particles."""
    parts, _ = decoder.candidates(Z, (0, 1))
    for found, expected in zip(decoder.half_maps(Z), parts, strict=True):
        assert fsc(found, expected[2].numpy())[1:15].min() > 0.9999
        assert fsc(found, expected[0].numpy())[1:15].min() < 0.99


def test_a_latent_is_decoded_once(decoder, monkeypatch):
    volume = decoder.volume(Z)
    monkeypatch.setattr(KernelDecoder, "_decode", None)
    assert decoder.volume(Z.copy()) is volume
    assert decoder.n_effective(Z) > 1

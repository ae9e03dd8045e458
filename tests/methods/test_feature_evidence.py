"""Features that images show have amplitude 1, those that they do not have 0."""

import numpy as np
import pytest
import torch

from cryosway.inference import ImageSource, NoiseModel
from cryosway.methods._validate.feature_evidence import Asked, ask_images, solve_amplitudes
from cryosway.methods._validate.support_features import find_extra_density, measure_amounts
from cryosway.methods._validate.support_words import NOT_SUPPORTED, SUPPORTED, judge_feature
from cryosway.methods._validate.volume_sample import VolumeSample, project_out
from cryosway.optics import resize_volumes
from cryosway.particles import read_map, read_particles

RADIUS, BOX = 11, 24


@pytest.fixture(scope="module")
def states(two_states):
    """True maps of both states, small: Fourier values are those of the images."""
    maps = np.stack([read_map(path)[0] for path in two_states.volumes])
    return resize_volumes(torch.from_numpy(maps), BOX)


@pytest.fixture(scope="module")
def source(two_states):
    particles = read_particles(two_states.particles)
    whole = ImageSource(particles, 15, noise=NoiseModel(np.full((1, 16), 32.0**2)))
    return whole.within(RADIUS)


def ask(source, consensus, change):
    """Ask all images for a change that half of a sample of volumes have, and half less."""
    direction = change / change.norm()
    scores = float(change.norm()) * np.repeat([0.5, -0.5], 8)[:, None]
    sample = VolumeSample(scores, consensus, direction[None], scores)
    weights = torch.ones_like(change)[None]
    amounts = measure_amounts(sample, change[None], weights)
    np.testing.assert_allclose(np.unique(amounts), [-0.5, 0.5], atol=1e-5)
    asked = Asked(sample, consensus, change[None], amounts, np.repeat([0, 1], 8), 2)
    return ask_images(asked, source, np.arange(len(source)), np.ones(len(source)))


def test_a_change_that_is_there_has_amplitude_one(source, states, two_states):
    found = ask(source, states.mean(0), states[0] - states[1])
    amplitude, error = solve_amplitudes([found])
    assert amplitude[0] == pytest.approx(1, abs=max(4 * error[0], 0.1))
    assert error[0] < 0.05
    truth = np.where(two_states.truth()["state"] == 0, 0.5, -0.5)
    assert ((found.expected[:, 0] > 0) == (truth > 0)).mean() > 0.9
    # What is measured of one particle has the error that is stated.
    pulls = (found.measured[:, 0] - truth) / found.error[:, 0]
    assert np.std(pulls) == pytest.approx(1, abs=0.25)


def test_maps_of_the_states_show_it_too(source, states):
    found = ask(source, states.mean(0), states[0] - states[1])
    shown = (found.maps[0] - found.maps[1]).flatten()
    assert np.corrcoef(shown, (states[0] - states[1]).flatten())[0, 1] > 0.6
    assert found.state_probability[:, :2].sum(1) == pytest.approx(1)


def test_a_change_that_is_not_there_has_amplitude_zero(source, states):
    """A ball beside the molecule that half of the volumes have."""
    x = torch.arange(BOX) - BOX // 2
    far = (x[:, None, None] - 7) ** 2 + (x[None, :, None] + 6) ** 2 + (x - 6) ** 2
    ball = torch.exp(-far / 4.0) * states.max()
    amplitude, error = solve_amplitudes([ask(source, states.mean(0), ball)])
    assert abs(amplitude[0]) < 4 * error[0]
    assert amplitude[0] + 2 * error[0] < 0.5
    halves = [(float(amplitude[0]), float(error[0] * 1.4))] * 2
    assert judge_feature(float(amplitude[0]), float(error[0]), halves, 1.0) == NOT_SUPPORTED


def test_twice_what_is_there_has_amplitude_half(source, states):
    amplitude, _ = solve_amplitudes([ask(source, states.mean(0), 2 * (states[0] - states[1]))])
    assert amplitude[0] == pytest.approx(0.5, abs=0.1)


def test_features_that_two_models_do_not_share_are_not_supported():
    assert judge_feature(1.0, 0.05, [(1.0, 0.07), (1.0, 0.07)], 0.1) == NOT_SUPPORTED
    assert judge_feature(1.0, 0.05, [(1.0, 0.07), (1.0, 0.07)], 0.9) == SUPPORTED


def test_projecting_out_leaves_what_least_squares_leaves():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(3, 40, 5))
    gram = np.einsum("npc,npd->ncd", columns, columns)
    found = project_out(gram, [0, 3])
    for n in range(3):
        known = columns[n][:, [0, 3]]
        left = columns[n] - known @ np.linalg.lstsq(known, columns[n], rcond=None)[0]
        np.testing.assert_allclose(
            found[n], (left.T @ left)[np.ix_([1, 2, 4], [1, 2, 4])], atol=1e-6
        )


def test_density_that_a_model_has_and_no_map_shows_is_found(states):
    """A domain added to the model."""
    true = states[0]
    x = torch.arange(BOX) - BOX // 2
    far = (x[:, None, None] - 7) ** 2 + (x[None, :, None] + 6) ** 2 + (x - 6) ** 2
    ball = torch.exp(-far / 6.0) * true.max()
    halves = torch.stack([true, true]) + 0.02 * true.max() * torch.randn(
        2, BOX, BOX, BOX, generator=torch.Generator().manual_seed(0)
    )
    mask = torch.ones_like(true)
    (region,) = find_extra_density(true + ball, halves, mask)
    np.testing.assert_allclose(region["centre_voxels"], (6, -6, 7), atol=0.5)
    assert max(region["amplitude"]) < 0.2
    assert find_extra_density(true, halves, mask) == []

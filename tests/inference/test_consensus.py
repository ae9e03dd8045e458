"""Consensus: map, half-maps, mask, resolution and noise from particles of a known molecule."""

import numpy as np
import pytest
import torch

from cryosway.inference import (
    ImageSource,
    NoiseModel,
    accumulate_consensus,
    fit_consensus,
    signal_power_in_mask,
    split_halves,
    weigh_shells,
)
from cryosway.inference._consensus import noise_ratio
from cryosway.optics import shell_power
from cryosway.validate import auc_fsc, fsc, fsc_resolution, sphere_mask

BOX, PIXEL, COUNT = 32, 3.0, 600


@pytest.fixture(scope="module")
def phantom(make_phantom):
    return make_phantom(balls=60)


@pytest.fixture(scope="module")
def simulated(phantom, simulate):
    return simulate([phantom], COUNT, noise=4.0, shift=6.0)


@pytest.fixture(scope="module")
def half():
    return split_halves(COUNT, None, seed=0)


@pytest.fixture(scope="module")
def consensus(simulated, half):
    return fit_consensus(ImageSource(simulated.particles, 15), half)


def test_halves_of_the_files_are_kept_and_others_drawn_evenly():
    given = np.array([1, 2, 2, 1, 2], np.int8)
    assert split_halves(5, given, seed=0).tolist() == [0, 1, 1, 0, 1]
    drawn = split_halves(101, None, seed=3)
    assert drawn.sum() == 50
    torch.testing.assert_close(drawn, split_halves(101, np.ones(101, np.int8), seed=3))
    assert (drawn != split_halves(101, None, seed=4)).any()


def test_the_map_is_the_molecule(consensus, phantom):
    truth = phantom.volume(BOX, PIXEL)
    curve = fsc(consensus.mean.numpy(), truth)
    assert curve[1:8].min() > 0.9
    inside = consensus.mask.numpy() > 0.5
    scale = (consensus.mean.numpy() * truth).sum() / (truth * truth).sum()
    assert scale == pytest.approx(0.95, abs=0.07)  # Wiener's filter takes a little
    assert inside.mean() < 0.3
    covered = (consensus.mask.numpy() * truth).sum() / truth.sum()
    assert covered > 0.99


def test_damping_and_mask_make_the_map_truer(consensus, phantom):
    truth = phantom.volume(BOX, PIXEL)

    def error(volume):
        return float(np.square(volume.numpy() - truth).sum())

    assert error(consensus.mean) < error(consensus.unmasked * consensus.mask)
    assert error(consensus.unmasked * consensus.mask) < error(consensus.unmasked)


def test_the_stated_resolution_is_that_of_the_map(consensus, phantom):
    """FSC 0.143 between halves is FSC 0.5 with the truth (Rosenthal & Henderson 2003)."""
    truth = phantom.volume(BOX, PIXEL) * consensus.mask.numpy()
    with_truth = fsc((consensus.unmasked * consensus.mask).numpy(), truth)
    assert consensus.resolution == pytest.approx(fsc_resolution(with_truth, PIXEL, 0.5), rel=0.12)
    assert consensus.resolution == fsc_resolution(consensus.curves["corrected"], PIXEL)


def test_half_maps_share_the_signal_but_not_the_noise(consensus, phantom):
    truth = phantom.volume(BOX, PIXEL)
    errors = [(h.numpy() - truth) * sphere_mask(BOX, 13) for h in consensus.half_maps]
    fine = fsc(*errors)[6:]
    assert np.abs(fine).max() < 0.15
    assert auc_fsc(fsc(*(h.numpy() for h in consensus.half_maps))) > 0.2


def test_noise_is_told_from_signal(consensus, simulated):
    """Within 3 % in every shell where there are data enough to tell (30 points or more)."""
    found, true = consensus.noise.power[0], simulated.noise
    np.testing.assert_allclose(found[5:] / true[5:], 1, atol=0.03)
    np.testing.assert_allclose(found[1:5] / true[1:5], 1, atol=0.12)


def test_signal_power_is_that_of_the_molecule(consensus, phantom):
    truth = torch.from_numpy(phantom.volume(BOX, PIXEL))
    expected = shell_power(truth[None], 16)[0] / consensus.mask.square().mean()
    np.testing.assert_allclose(consensus.signal_power[2:8] / expected[2:8], 1, atol=0.35)


def test_weights_choose_particles(phantom, make_phantom, simulate, half):
    """Half of the particles are another molecule: with weight 0 they leave no trace."""
    other = make_phantom(seed=9)
    is_other = np.random.default_rng(0).random(COUNT) < 0.5
    amounts = np.stack([~is_other, is_other], axis=1).astype(float)
    truth = simulate([phantom, other], COUNT, amounts=amounts, noise=1.0)
    weights = torch.from_numpy(amounts[:, 0]).float()
    source = ImageSource(truth.particles, 12)
    chosen = fit_consensus(source, half, weights=weights)
    mixed = fit_consensus(source, half)
    good = fsc(chosen.mean.numpy(), phantom.volume(26, PIXEL * BOX / 26))
    bad = fsc(mixed.mean.numpy(), phantom.volume(26, PIXEL * BOX / 26))
    assert good[2:10].min() > 0.9
    assert good[4:10].mean() > bad[4:10].mean() + 0.1


def test_a_given_mask_is_used(simulated, half):
    mask = torch.from_numpy(sphere_mask(22, 7))
    consensus = fit_consensus(ImageSource(simulated.particles, 10), half, mask=mask)
    torch.testing.assert_close(consensus.mask, mask)
    assert consensus.mean[mask == 0].abs().max() == 0


def test_an_interrupted_pass_goes_on_where_it_stood(simulated, half):
    noise = NoiseModel(simulated.noise[None])
    source = ImageSource(simulated.particles, 10, noise=noise)
    source.batch = 128
    whole = accumulate_consensus(source, half)
    kept = []

    class Stop(Exception):
        pass

    def keep(equations, done):
        kept[:] = [equations, done]
        if done == 256:
            raise Stop

    with pytest.raises(Stop):
        accumulate_consensus(source, half, keep=keep)
    seen = []
    resumed = accumulate_consensus(source, half, begun=(kept[0], kept[1]), watch=seen.append)
    assert sum(seen) == COUNT - 256
    scale = whole.sums.abs().max()
    assert (resumed.sums - whole.sums).abs().max() < 1e-5 * scale


def test_prior_power_is_that_of_a_signal_that_fills_the_box():
    rng = np.random.default_rng(0)
    mask = torch.from_numpy(sphere_mask(24, 6))
    fulls = torch.from_numpy(rng.normal(size=(20, 24, 24, 24)).astype(np.float32))
    powers = torch.stack([signal_power_in_mask(full, mask, np.ones(12)) for full in fulls])
    np.testing.assert_allclose(powers[:, 3:].mean(), 24**3, rtol=0.05)
    full, power = fulls[0], powers[0]
    doubtful = signal_power_in_mask(full, mask, np.full(12, 1 / 3))
    np.testing.assert_allclose(doubtful, power / 2, rtol=1e-5)
    assert signal_power_in_mask(full, mask, np.full(12, -1.0)).min() > 0


def test_shells_are_weighed_by_their_correlation_with_the_truth():
    volume = torch.from_numpy(np.random.default_rng(1).normal(size=(16, 16, 16))).float()
    curve = np.array([1.0, 1, 1, 1 / 3, 1 / 3, 0.01, 0.5, 0.5])
    before, after = (shell_power(v[None], 8)[0] for v in (volume, weigh_shells(volume, curve)))
    gain = (after / before).sqrt().numpy()
    np.testing.assert_allclose(gain[:5], np.sqrt([1, 1, 1, 0.5, 0.5]), rtol=1e-3)
    assert gain[6] < 0.5  # past the first fall
    np.testing.assert_array_equal(curve[6:], 0.5)  # the caller's curve is untouched


def test_noise_ratio_compares_two_whitenings():
    ratio = noise_ratio(NoiseModel(np.array([[2.0, 3.0]])), NoiseModel(np.array([[4.0, 3.0]])), 4)
    np.testing.assert_allclose(ratio, [0.5, 1, 1, 1])

"""Latent kernels: who counts, what maps they give, and how candidates are combined best."""

import numpy as np
import pytest
import torch

from cryosway.inference import (
    GaussianPosterior,
    ImageSource,
    LatentKernel,
    MixtureFit,
    NoiseModel,
    ShellMixture,
    solve_kernels,
    split_halves,
)
from cryosway.optics import filter_volumes, shell_power
from cryosway.validate import fsc, sphere_mask
from cryosway.volumes import NormalEquations


def make_posterior(mean, covariance):
    count = len(mean)
    return GaussianPosterior(
        np.asarray(mean, float),
        np.broadcast_to(covariance, (count, *np.shape(covariance))).copy(),
        np.ones(count),
        np.zeros(count),
        np.zeros(count),
    )


@pytest.fixture(scope="module")
def kernel():
    mean = np.random.default_rng(0).normal(size=(60, 2)) * [3, 1]
    covariance = np.array([[1.0, 0.3], [0.3, 0.5]])
    return LatentKernel(make_posterior(mean, covariance), split_halves(60, None, 0))


def test_distance_is_in_units_of_each_particles_own_uncertainty(kernel):
    z = np.array([0.5, -0.2])
    off = kernel.posterior.mean - z
    expected = np.einsum("ni,nij,nj->n", off, kernel.posterior.precision, off)
    np.testing.assert_allclose(kernel.distances(z), expected)


def test_a_particle_counts_fully_at_its_own_latent_and_less_farther_away(kernel):
    weights = kernel.weights(kernel.posterior.mean[7])
    assert weights.shape == (60, len(kernel.bandwidths))
    np.testing.assert_array_equal(weights[7], 1)
    assert weights.max() == 1
    order = np.argsort(kernel.distances(kernel.posterior.mean[7]))
    assert (np.diff(weights[order], axis=0) <= 0).all()


def test_neighbours_are_looked_for_in_the_six_latents_known_best():
    mean = np.random.default_rng(1).normal(size=(60, 9)) * [5, 4, 0.1, 3, 3, 0.2, 2, 2, 0.3]
    covariance = np.diag(np.linspace(0.5, 1.5, 9))
    known = [0, 1, 3, 4, 6, 7]
    half = split_halves(60, None, 0)
    all_nine = LatentKernel(make_posterior(mean, covariance), half)
    six = LatentKernel(make_posterior(mean[:, known], covariance[known][:, known]), half)
    np.testing.assert_allclose(all_nine.weights(mean[3]), six.weights(mean[3, known]))


def test_a_wider_kernel_reaches_farther(kernel):
    weights = kernel.weights(np.zeros(2))
    assert (np.diff(weights, axis=1) >= 0).all()
    assert (weights[:, 0] > 0).sum() < (weights[:, -1] > 0).sum()
    distance, h = kernel.distances(np.zeros(2)), kernel.bandwidths[2]
    reached = weights[:, 2] > 0
    np.testing.assert_allclose(weights[reached, 2], np.exp(-distance[reached] / (2 * h * h)))


def test_maps_at_a_state_are_of_that_state(make_phantom, simulate):
    """Two molecules at z = ±1: the narrow kernel separates them, the widest mixes them."""
    first, second = make_phantom(seed=0), make_phantom(seed=4)
    count = 700
    is_second = np.random.default_rng(1).random(count) < 0.4
    amounts = np.stack([~is_second, is_second], axis=1).astype(float)
    truth = simulate([first, second], count, amounts=amounts, noise=1.0)
    z = np.where(is_second, 1.0, -1.0)[:, None]
    kernel = LatentKernel(
        make_posterior(z, np.array([[0.1]])), split_halves(count, None, 0), (0.5, 50.0)
    )
    source = ImageSource(truth.particles, 10, noise=NoiseModel(truth.noise[None]))
    equations, weights = kernel.accumulate(source, np.array([1.0]))
    np.testing.assert_array_equal(weights[:, 0], is_second)
    ridge = 1e-3 * float(equations.weight_power(4)[1].mean()) * torch.ones(2, 11)
    mask = sphere_mask(22, 7)
    goal = second.volume(22, 3.0 * 32 / 22) * (32 / 22) ** 3
    for part in (None, 0, 1):
        narrow, wide = equations.solve(ridge, part).numpy()
        assert fsc(narrow * mask, goal * mask)[2:9].min() > 0.9
        assert fsc(wide * mask, goal * mask)[2:9].mean() < 0.9
        scale = (narrow * goal * mask).sum() / (goal * goal * mask).sum()
        assert scale == pytest.approx(1, abs=0.05)


@pytest.fixture(scope="module")
def scattered(make_phantom, simulate):
    """400 noisy images of one molecule, latents all over the kernels."""
    phantom, rng = make_phantom(), np.random.default_rng(5)
    truth = simulate([phantom], 400, amounts=np.ones((400, 1)), noise=2.0)
    posterior = GaussianPosterior(
        rng.normal(size=(400, 2)) * [6, 2],
        np.broadcast_to(np.eye(2), (400, 2, 2)).copy(),
        rng.uniform(0.8, 1.2, 400),
        rng.uniform(0.0, 0.1, 400),
        np.zeros(400),
    )
    source = ImageSource(truth.particles, 10, noise=NoiseModel(truth.noise[None]))
    return source, LatentKernel(posterior, split_halves(400, None, 0))


def scatter_directly(kernel, source, weights):
    equations = NormalEquations(source.radius, weights.shape[1], coupled=False)
    contrast, variance = kernel.posterior.contrast, kernel.posterior.contrast_variance
    for batch in source:
        w, c = weights[batch.index], contrast[batch.index, None]
        power = w * (c**2 + variance[batch.index, None])
        half = kernel.half[torch.from_numpy(batch.index)]
        equations.add(batch.slices, torch.from_numpy(w * c), torch.from_numpy(power), half)
    return equations


@pytest.mark.parametrize("z", [[0.0, 0.0], [9.0, -1.0]])
def test_rings_give_the_maps_of_the_direct_sum(scattered, z):
    """In every shell, also where all is noise."""
    source, kernel = scattered
    equations, weights = kernel.accumulate(source, np.array(z))
    direct = scatter_directly(kernel, source, weights)
    for part in (0, 1, None):
        pairs = zip(solve_kernels(equations, part), solve_kernels(direct, part), strict=True)
        for found, expected in pairs:
            assert fsc(found.numpy(), expected.numpy())[:10].min() > 0.9999
            assert float(found.norm() / expected.norm()) == pytest.approx(1, abs=2e-3)


def test_a_kernel_of_few_particles_is_theirs_alone_in_a_crowd(scattered):
    """Eight at the latent, the others just beyond the narrowest kernel, which must not see them."""
    source, kernel = scattered
    mean = np.zeros((400, 2))
    mean[8:, 0] = np.sqrt(np.random.default_rng(8).uniform(9.0, 14.0, 392))
    posterior = GaussianPosterior(
        mean,
        kernel.posterior.covariance,
        kernel.posterior.contrast,
        kernel.posterior.contrast_variance,
        kernel.posterior.log_likelihood,
    )
    crowded = LatentKernel(posterior, kernel.half)
    equations, weights = crowded.accumulate(source, np.zeros(2))
    direct = scatter_directly(crowded, source, weights)
    found, expected = solve_kernels(equations).numpy(), solve_kernels(direct).numpy()
    for k in range(len(found)):
        assert fsc(found[k], expected[k])[:10].min() > 0.9995


def test_a_single_particle_is_weighed_exactly(scattered):
    source, kernel = scattered
    lone = LatentKernel(kernel.posterior, kernel.half, (0.01, 0.02))
    equations, weights = lone.accumulate(source, kernel.posterior.mean[9])
    assert (weights > 0).sum() == 2
    direct = scatter_directly(lone, source, weights)
    assert (equations.sums - direct.sums).abs().max() < 1e-5 * direct.sums.abs().max()


def test_half_sets_know_nothing_of_each_other(scattered):
    """What is done to the latents and contrast of one leaves the other as it was."""
    source, kernel = scattered
    other = kernel.half.numpy() == 1
    posterior = kernel.posterior
    changed = GaussianPosterior(
        np.where(other[:, None], posterior.mean + 1, posterior.mean),
        posterior.covariance,
        np.where(other, 2 * posterior.contrast, posterior.contrast),
        posterior.contrast_variance,
        posterior.log_likelihood,
    )
    z = np.array([1.0, 0.0])
    before, _ = kernel.accumulate(source, z)
    after, _ = LatentKernel(changed, kernel.half).accumulate(source, z)
    assert torch.equal(before.sums[0], after.sums[0])
    assert not torch.equal(before.sums[1], after.sums[1])


def test_halves_add_up_to_all(scattered):
    source, kernel = scattered
    z = np.array([-2.0, 0.5])
    both, weights = kernel.accumulate(source, z)
    one = kernel.open_equations(source)
    for half in (0, 1):
        kernel.add_half(one, source, weights, half)
    expected = both.sums.sum(0)
    assert (one.sums[0] - expected).abs().max() < 1e-5 * expected.abs().max()


def test_a_latent_far_from_all_particles_gives_empty_maps(scattered):
    source, kernel = scattered
    equations, weights = kernel.accumulate(source, np.array([1e3, 1e3]))
    assert weights.max() == 0
    assert solve_kernels(equations).abs().max() == 0


def test_contrast_is_divided_out(make_phantom, simulate):
    phantom = make_phantom()
    contrast = np.random.default_rng(2).uniform(0.8, 1.8, 400)
    truth = simulate([phantom], 400, amounts=contrast[:, None], noise=0.5)
    posterior = GaussianPosterior(
        np.zeros((400, 1)), np.ones((400, 1, 1)), contrast, np.zeros(400), np.zeros(400)
    )
    kernel = LatentKernel(posterior, split_halves(400, None, 0), (1.0,))
    source = ImageSource(truth.particles, 10, noise=NoiseModel(truth.noise[None]))
    equations, _ = kernel.accumulate(source, np.zeros(1))
    ridge = 1e-3 * float(equations.weight_power(4).mean()) * torch.ones(1, 11)
    found = equations.solve(ridge)[0].numpy()
    goal = phantom.volume(22, 3.0 * 32 / 22) * (32 / 22) ** 3
    inside = sphere_mask(22, 7)
    scale = (found * goal * inside).sum() / (goal * goal * inside).sum()
    assert scale == pytest.approx(1, abs=0.05)


def test_fine_shells_of_few_particles_are_noise_not_leakage(make_phantom, simulate):
    """Half-maps of 20 particles each share nothing where noise rules.

    Damped by a prior before the mask, their fine shells are what the mask carries there from the
    coarse ones: alike in both halves, and worth nothing.
    """
    phantom = make_phantom()
    truth = simulate([phantom], 40, amounts=np.ones((40, 1)), noise=6.0)
    kernel = LatentKernel(
        make_posterior(np.zeros((40, 1)), np.ones((1, 1))), split_halves(40, None, 0), (1.0,)
    )
    source = ImageSource(truth.particles, 13, noise=NoiseModel(truth.noise[None]))
    equations, _ = kernel.accumulate(source, np.zeros(1))
    mask = sphere_mask(28, 6)
    goal = torch.from_numpy(phantom.volume(28, 3.0 * 32 / 28)).float()
    prior = 1 / shell_power(goal[None] * (32 / 28) ** 3, 14)

    def agree(solve):
        first, second = (np.asarray(solve(part)[0]) for part in (0, 1))
        return fsc(first * mask, second * mask)[10:13].mean()

    assert abs(agree(lambda part: solve_kernels(equations, part))) < 0.25
    assert agree(lambda part: equations.solve(prior, part)) > 0.4


BOX = 24


def white(rng, variance=1.0):
    return torch.from_numpy(rng.normal(size=(BOX,) * 3) * np.sqrt(variance)).float()


def test_the_best_gains_for_all_particles_are_found():
    """X_i = S + N_i in each half-set: Wiener's weights for half of the noise.

    With q_i = S / (N_i / 2) they are q_i / (1 + Σ q_j).
    """
    rng = np.random.default_rng(0)
    fit = MixtureFit(torch.ones(1, BOX, BOX, BOX), 2, BOX // 2)
    for _ in range(30):
        signal = white(rng, 2.0)
        halves = (
            torch.stack([signal + white(rng, 8.0), signal + white(rng, 2.0)]) for _ in range(2)
        )
        fit.add(*halves)
    mixture = fit.solve(spread=0, ridge=1e-9)
    assert mixture.gains.shape == (1, 2, BOX // 2)
    ratio = np.array([2 / 4, 2 / 1])
    expected = ratio / (1 + ratio.sum())
    found = mixture.gains[0, :, 2:].mean(1)
    np.testing.assert_allclose(found, expected, atol=0.04)
    np.testing.assert_allclose(mixture.gains[0, :, 4:], expected[:, None].repeat(8, 1), atol=0.15)


def test_a_biased_candidate_gets_what_it_predicts_of_the_target():
    """A noiseless map of half the signal: beside a noisy unbiased one it is doubled."""
    rng = np.random.default_rng(6)
    fit = MixtureFit(torch.ones(1, BOX, BOX, BOX), 2, BOX // 2)
    for _ in range(10):
        signal = white(rng)
        halves = (torch.stack([0.5 * signal, signal + white(rng, 50.0)]) for _ in range(2))
        fit.add(*halves, target=1)
    found = fit.solve(spread=0, ridge=0.0).gains[0, :, 3:].mean(1)
    np.testing.assert_allclose(found, [2, 0], atol=0.15)


def test_shells_have_their_own_gains():
    """A candidate that is right below shell 6 and noise above gets 1 there and 0 above."""
    rng = np.random.default_rng(1)
    low = torch.tensor([1.0] * 6 + [0.0] * 6)
    fit = MixtureFit(torch.ones(1, BOX, BOX, BOX), 1, BOX // 2)
    for _ in range(10):
        signal = white(rng)
        halves = (
            filter_volumes(torch.stack([signal, white(rng)]), torch.stack([low, 1 - low])).sum(0)
            for _ in range(2)
        )
        fit.add(*(half[None] for half in halves))
    gains = fit.solve(spread=0, ridge=0.0).gains[0, 0]
    np.testing.assert_allclose(gains[1:6], 1, atol=0.05)
    np.testing.assert_allclose(gains[7:], 0, atol=0.15)


def test_regions_have_their_own_gains():
    """The second candidate is right on the left, the third on the right; the first is noisy."""
    rng = np.random.default_rng(2)
    left = torch.zeros(BOX, BOX, BOX)
    left[:, :, : BOX // 2] = 1
    regions = torch.stack([left, 1 - left])
    fit = MixtureFit(regions, 3, BOX // 2)
    pairs = []
    for _ in range(12):
        signal = white(rng)
        wrong = 3 * white(rng)
        halves = [
            torch.stack(
                [signal + 4 * white(rng), signal + (1 - left) * wrong, signal + left * wrong]
            )
            for _ in range(2)
        ]
        pairs.append((halves, signal))
        fit.add(*halves)
    mixture = fit.solve(spread=1, ridge=1e-6)
    found = mixture.gains[:, :, 4:].mean(-1)
    np.testing.assert_allclose(found, [[0, 1, 0], [0, 0, 1]], atol=0.12)
    halves, signal = pairs[0]
    whole = 0.5 * (halves[0] + halves[1])
    error = (mixture.combine(whole) - signal).square().mean()
    assert error < 0.15
    assert error < 0.2 * (whole[1:].mean(0) - signal).square().mean()


def test_a_single_candidate_of_gain_one_is_itself_times_the_mask():
    rng = np.random.default_rng(3)
    mask = torch.from_numpy(sphere_mask(BOX, 7))
    mixture = ShellMixture(torch.ones(1, 1, BOX // 2), mask[None])
    candidate = white(rng)
    combined = mixture.combine(candidate[None])
    assert (combined - candidate * mask).abs().max() < 1e-5
    halves = ShellMixture(torch.ones(2, 1, BOX // 2), torch.stack([0.25 * mask, 0.75 * mask]))
    assert (halves.combine(candidate[None]) - candidate * mask).abs().max() < 1e-5


def test_a_candidate_of_gain_zero_may_be_anything():
    mask = torch.ones(1, BOX, BOX, BOX)
    gains = torch.tensor([1.0, 0.0])[None, :, None].expand(1, 2, BOX // 2)
    rng = np.random.default_rng(4)
    good = white(rng)
    bad = torch.full_like(good, torch.nan)
    combined = ShellMixture(gains, mask).combine(torch.stack([good, bad]))
    assert (combined - good).abs().max() < 1e-5


def test_a_small_ridge_damps_little():
    rng = np.random.default_rng(5)
    fit = MixtureFit(torch.ones(1, BOX, BOX, BOX), 1, BOX // 2)
    signal = white(rng)
    fit.add(signal[None], signal[None])
    np.testing.assert_allclose(fit.solve(ridge=0.02).gains, 1 / 1.02, rtol=1e-4)


def test_shares_of_kernels_add_up_to_one_without_the_last_candidate():
    gains = torch.zeros(1, 3, 8)
    gains[0, 0, 6:] = 1
    gains[0, 1, :4] = 1
    gains[0, 2] = 5
    share = ShellMixture(gains, torch.ones(1, BOX, BOX, BOX)).kernel_shares()
    assert share.shape == (2,)
    assert share.sum() == pytest.approx(1)
    assert share[0] > share[1]  # fine shells have more coefficients

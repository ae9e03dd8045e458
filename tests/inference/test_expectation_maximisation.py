"""EM: components of a two-state molecule are found; what is only notation stays notation."""

import numpy as np
import pytest
import torch

from cryosway.inference import (
    GaussianPosterior,
    ImageSource,
    NoiseModel,
    Setting,
    SimulatedNull,
    accumulate_step,
    infer_all,
    normalise_basis,
    regularise_by_halves,
    solve_step,
    split_halves,
    start_basis,
    subspace_overlap,
    update_contrast_sd,
)
from cryosway.optics import shell_power
from cryosway.validate import sphere_mask
from cryosway.volumes import BasisGrid

BOX, PIXEL, COUNT, RADIUS = 32, 3.0, 900, 9
SMALL = 2 * (RADIUS + 1)


@pytest.fixture(scope="module")
def states(make_phantom):
    """A body, and a domain in one of two places."""
    body = make_phantom(balls=40, radius=20.0)
    there = make_phantom(balls=12, radius=8.0, offset=(24.0, 0.0, 0.0), seed=1)
    here = type(there)(there.centres + np.array([0.0, 14.0, 0.0]), there.weights, there.sigma)
    return body, there, here


def sample_small(phantom):
    """The density as the fit's box sees it, sums over voxels kept."""
    return torch.from_numpy(phantom.volume(SMALL, PIXEL * BOX / SMALL) * (BOX / SMALL) ** 3)


@pytest.fixture(scope="module")
def two_states(states, simulate):
    second = np.random.default_rng(0).random(COUNT) < 0.5
    amounts = np.stack([np.ones(COUNT), ~second, second], axis=1).astype(float)
    return simulate(states, COUNT, amounts=amounts, noise=3.0)


@pytest.fixture(scope="module")
def one_state(states, simulate):
    """The average of the two, without heterogeneity."""
    return simulate(states, COUNT, amounts=np.tile([1, 0.5, 0.5], (COUNT, 1)), noise=3.0, seed=5)


def make_setting(mean, mask, components, contrast_sd=0.0):
    power = shell_power((mean * mask)[None], SMALL // 2) / float(mask.square().mean())
    inverse = 1 / power.clamp(min=1e-6 * float(power.max()))
    return Setting(
        split_halves(COUNT, None, 0), mask, inverse.expand(1 + components, -1), contrast_sd
    )


def run(source, states, components, steps, *, contrast_sd=0.0, seed=0):
    body, there, here = map(sample_small, states)
    mean = body + 0.5 * (there + here)
    mask = torch.from_numpy(sphere_mask(SMALL, 0.36 * SMALL, 2.0))
    setting = make_setting(mean, mask, components, contrast_sd)
    basis = start_basis(mean * mask, mask, components, seed)
    evidence = []
    for _ in range(steps):
        step = accumulate_step(source, basis, setting)
        evidence.append(step.posterior.log_likelihood.mean())
        basis, posterior, _ = normalise_basis(solve_step(step, basis, setting), step.posterior)
    return basis, posterior, np.array(evidence)


@pytest.fixture(scope="module")
def fitted(two_states, states):
    source = ImageSource(two_states.particles, RADIUS, noise=NoiseModel(two_states.noise[None]))
    return run(source, states, 2, 8)


def test_evidence_does_not_fall(fitted):
    evidence = fitted[2]
    gain = evidence[-1] - evidence[0]
    assert gain > 1
    assert (np.diff(evidence) > -1e-3 * gain).all()


def test_first_component_is_the_difference_between_the_states(fitted, states):
    basis = fitted[0]
    _, there, here = map(sample_small, states)
    difference = here - there
    component = basis.volumes[1]
    cosine = float((component * difference).sum() / difference.norm())
    assert abs(cosine) > 0.9
    expected = 0.25 * float(difference.square().sum())  # two states, half and half
    assert basis.variances[0] == pytest.approx(expected, rel=0.2)
    assert basis.variances[1] < 0.1 * basis.variances[0]


def test_the_latent_tells_the_states_apart(fitted, two_states):
    z = fitted[1].mean[:, 0]
    second = two_states.amounts[:, 2] > 0.5
    guess = z > np.median(z)
    assert max((guess == second).mean(), (guess != second).mean()) > 0.97
    assert abs(np.corrcoef(z, second)[0, 1]) > 0.9


def test_the_mean_of_the_model_is_that_of_the_molecule(fitted, states):
    body, there, here = map(sample_small, states)
    truth = body + 0.5 * (there + here)
    error = (fitted[0].volumes[0] - truth).norm() / truth.norm()
    assert error < 0.15


def test_a_homogeneous_set_gives_no_more_than_its_simulated_null(
    fitted, one_state, two_states, states
):
    sources = [
        ImageSource(s.particles, RADIUS, noise=NoiseModel(s.noise[None]))
        for s in (one_state, two_states)
    ]
    body, there, here = map(sample_small, states)
    mean = body + 0.5 * (there + here)
    null = SimulatedNull(sources[1], mean, np.ones(COUNT), seed=1)
    homogeneous = run(sources[0], states, 2, 8)[0].variances[0]
    nothing = run(null, states, 2, 8)[0].variances[0]
    assert homogeneous < 2 * nothing
    assert fitted[0].variances[0] > 8 * nothing


def test_contrast_does_not_pass_for_a_component(states, simulate):
    """Particles of different contrast: taken as such, and its spread is found."""
    contrast = 1 + 0.2 * np.random.default_rng(1).normal(size=COUNT)
    amounts = contrast[:, None] * np.array([[1, 0.5, 0.5]])
    truth = simulate(states, COUNT, amounts=amounts, noise=2.0)
    source = ImageSource(truth.particles, RADIUS, noise=NoiseModel(truth.noise[None]))
    fixed = run(source, states, 1, 4)[0]
    basis, posterior, _ = run(source, states, 1, 4, contrast_sd=0.2)
    assert basis.variances[0] < 0.2 * fixed.variances[0]
    assert np.corrcoef(posterior.contrast, contrast)[0, 1] > 0.9
    assert posterior.contrast.mean() == pytest.approx(1, abs=1e-6)
    sd = 0.4
    for _ in range(4):
        sd = update_contrast_sd(infer_all(source, basis, sd), sd)
    assert sd == pytest.approx(0.2, abs=0.03)
    assert update_contrast_sd(posterior, 0.0) == 0


def test_half_sets_are_solved_from_their_own_particles(two_states, fitted):
    """Spoiling one half leaves the other's volumes as they were."""
    source = ImageSource(two_states.particles, RADIUS, noise=NoiseModel(two_states.noise[None]))
    basis = fitted[0]
    mask = torch.ones(SMALL, SMALL, SMALL)
    setting = make_setting(basis.volumes[0], mask, 2)
    step = accumulate_step(source, basis, setting)
    only = ImageSource(two_states.particles[setting.half.numpy() == 0], RADIUS, noise=source.noise)
    alone = Setting(torch.zeros(len(only), dtype=torch.long), mask, setting.inverse_prior, 0.0)
    expected = solve_step(accumulate_step(only, basis, alone), basis, alone, part=0)
    found = solve_step(step, basis, setting, part=0)
    assert (found - expected).abs().max() < 1e-3 * expected.abs().max()


def test_a_prior_from_half_sets_damps_what_they_do_not_share(two_states, fitted, states):
    """Component 1 is real and gets truer; component 2 is noise and is damped far more."""
    source = ImageSource(two_states.particles, RADIUS, noise=NoiseModel(two_states.noise[None]))
    basis = fitted[0]
    mask = torch.from_numpy(sphere_mask(SMALL, 0.36 * SMALL, 2.0))
    given = make_setting(basis.volumes[0], mask, 2)
    step = accumulate_step(source, basis, given)
    found = regularise_by_halves(step, basis, given)
    torch.testing.assert_close(found.inverse_prior[0], given.inverse_prior[0])  # the mean's
    assert (found.inverse_prior >= given.inverse_prior * (1 - 1e-5)).all()
    stricter = (found.inverse_prior / given.inverse_prior)[1:, 1:].log().mean(1)
    assert stricter[1] > stricter[0] + 1
    _, there, here = map(sample_small, states)
    goal = here - there

    def cosine(setting):
        component = solve_step(step, basis, setting)[1]
        return abs(float((component * goal).sum() / (component.norm() * goal.norm())))

    assert cosine(found) > cosine(given)


def test_the_step_uses_the_posterior_of_every_particle(two_states, fitted):
    source = ImageSource(two_states.particles, RADIUS, noise=NoiseModel(two_states.noise[None]))
    source.batch = 200
    counted = []
    posterior = infer_all(source, fitted[0], 0.1, counted.append)
    assert counted == [200, 200, 200, 200, 100]
    setting = make_setting(fitted[0].volumes[0], torch.ones(SMALL, SMALL, SMALL), 2, 0.1)
    step = accumulate_step(source, fitted[0], setting)
    np.testing.assert_allclose(step.posterior.mean, posterior.mean)
    np.testing.assert_allclose(step.posterior.log_likelihood, posterior.log_likelihood)


def test_scaling_components_against_latents_changes_no_solution(two_states, fitted):
    """The prior is one on √λ U: (U, λ) and (U / 3, 9 λ) are the same model."""
    source = ImageSource(two_states.particles, RADIUS, noise=NoiseModel(two_states.noise[None]))
    basis = fitted[0]
    scaled = BasisGrid(torch.cat([basis.volumes[:1], basis.volumes[1:] / 3]), 9 * basis.variances)
    setting = make_setting(basis.volumes[0], torch.ones(SMALL, SMALL, SMALL), 2)
    a, b = (solve_step(accumulate_step(source, x, setting), x, setting) for x in (basis, scaled))
    assert (a[0] - b[0]).abs().max() < 1e-3 * a[0].abs().max()
    assert (a[1:] - 3 * b[1:]).abs().max() < 2e-3 * a[1:].abs().max()


def random_model(seed=0, count=40, components=3):
    rng = np.random.default_rng(seed)
    volumes = torch.from_numpy(rng.normal(size=(1 + components, 8, 8, 8))).float()
    spread = rng.normal(size=(count, components, components + 2))
    covariance = spread @ spread.transpose(0, 2, 1) / components
    posterior = GaussianPosterior(
        rng.normal(size=(count, components)) + 0.7,
        covariance,
        rng.uniform(0.5, 1.2, count),
        np.full(count, 0.01),
        rng.normal(size=count),
    )
    return volumes, posterior


def test_normalising_keeps_what_every_particle_shows():
    volumes, posterior = random_model()
    basis, moved, _ = normalise_basis(volumes, posterior)
    before = volumes[0] + torch.einsum(
        "nk,kxyz->nxyz", torch.from_numpy(posterior.mean).float(), volumes[1:]
    )
    after = torch.stack([basis.volume(torch.from_numpy(z)) for z in moved.mean])
    shown = [
        torch.from_numpy(p.contrast).float()[:, None, None, None] * v
        for p, v in ((posterior, before), (moved, after))
    ]
    assert (shown[0] - shown[1]).abs().max() < 1e-4 * shown[0].abs().max()
    assert moved.contrast.mean() == pytest.approx(1)


def test_normalised_components_are_orthonormal_and_their_latents_uncorrelated():
    volumes, posterior = random_model()
    basis, moved, turn = normalise_basis(volumes, posterior)
    flat = basis.volumes[1:].flatten(1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(3), atol=1e-5)
    np.testing.assert_allclose(moved.mean.mean(0), 0, atol=1e-10)
    second = moved.mean.T @ moved.mean / len(moved.mean) + moved.covariance.mean(0)
    np.testing.assert_allclose(second, np.diag(basis.variances), atol=1e-8 * second.max())
    assert (np.diff(basis.variances) <= 0).all()
    np.testing.assert_allclose(turn.T @ volumes[1:].flatten(1).numpy(), flat, atol=1e-4)


def test_the_spread_of_what_particles_show_is_turned_with_the_basis():
    """Uᵀ cov U, the uncertainty of each particle's volume, does not depend on the notation."""
    volumes, posterior = random_model()
    basis, moved, _ = normalise_basis(volumes, posterior)
    scale = posterior.contrast.mean()
    for n in (0, 7):
        a, b = volumes[1:].flatten(1).numpy(), basis.volumes[1:].flatten(1).numpy()
        before = a.T @ posterior.covariance[n] @ a * scale**2
        after = b.T @ moved.covariance[n] @ b
        np.testing.assert_allclose(after, before, atol=1e-4 * np.abs(before).max())


def test_a_start_is_masked_orthonormal_and_repeatable(states):
    mean = sample_small(states[0])
    mask = torch.from_numpy(sphere_mask(SMALL, 6.0))
    basis = start_basis(mean, mask, 3, seed=2)
    flat = basis.volumes[1:].flatten(1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(3), atol=1e-5)
    assert basis.volumes[1:, mask == 0].abs().max() < 1e-6
    torch.testing.assert_close(start_basis(mean, mask, 3, seed=2).volumes, basis.volumes)
    assert (start_basis(mean, mask, 3, seed=3).volumes != basis.volumes).any()
    assert basis.variances.sum() == pytest.approx(0.05 * float(mean.square().sum()), rel=1e-5)


def test_overlap_of_subspaces_counts_by_variance():
    unit = torch.eye(64)[:4].view(4, 4, 4, 4)

    def basis(*chosen, variances):
        return BasisGrid(torch.stack([unit[0], *(unit[k] for k in chosen)]), np.array(variances))

    a = basis(1, 2, variances=[3.0, 1.0])
    assert subspace_overlap(a, a) == pytest.approx(1)
    assert subspace_overlap(a, basis(3, variances=[1.0])) == pytest.approx(0)
    assert subspace_overlap(basis(1, variances=[1.0]), a) == pytest.approx(0.75)
    turned = BasisGrid(
        torch.stack([unit[0], (unit[1] + unit[2]) / 2**0.5, (unit[1] - unit[2]) / 2**0.5]),
        np.array([2.0, 1.0]),
    )
    assert subspace_overlap(a, turned) == pytest.approx(1, abs=1e-5)

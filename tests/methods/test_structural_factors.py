"""Factor analysis of the motions that images show, on amplitudes that are known."""

import pytest
import torch

from cryosway.methods._structural.factors import (
    Population,
    fit_population,
    infer_on_axes,
    regress_population,
    start_population,
)

MOTIONS, COUNT = 8, 400
VARIANCES = torch.logspace(0, -3, MOTIONS, dtype=torch.float64)


def make_images(mean, directions, precision, seed=0):
    """What images say of amplitudes: each motion is seen with a precision of its own."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    z = draw(COUNT, len(directions))
    root = precision**0.5 * draw(COUNT, 2 * MOTIONS, MOTIONS) / (2 * MOTIONS) ** 0.5
    information = root.mT @ root
    true = mean + z @ directions
    gradient = (information @ true[..., None] + root.mT @ draw(COUNT, 2 * MOTIONS, 1))[..., 0]
    return information, gradient, z


def fit(information, gradient, latent_dim):
    variances = VARIANCES.repeat(1 + latent_dim, 1)
    population = start_population(information, gradient, variances, 2.0)
    return fit_population(information, gradient, variances, population)


@pytest.fixture
def truth():
    mean = torch.zeros(MOTIONS, dtype=torch.float64)
    directions = torch.zeros(1, MOTIONS, dtype=torch.float64)
    mean[:2] = torch.tensor([0.5, -1.0])
    directions[0, :3] = torch.tensor([2.0, 1.0, -0.5])
    return mean, directions


def test_finds_mean_and_direction(truth):
    mean, directions = truth
    information, gradient, z = make_images(mean, directions, precision=4.0)
    population = fit(information, gradient, 1)
    sign = torch.sign((population.directions * directions).sum())
    assert torch.allclose(sign * population.directions, directions, atol=0.2)
    assert torch.allclose(population.mean, mean, atol=0.2)
    found, covariance = population.infer(information, gradient)
    error = (sign * found - z).square().mean()
    assert error < 0.15
    # The posterior says how wrong it is.
    assert error == pytest.approx(float(covariance.mean()), rel=0.4)


def test_known_latents_give_mean_and_direction_with_their_sign(truth):
    mean, directions = truth
    information, gradient, z = make_images(mean, directions, precision=4.0)
    latents = torch.stack([z, torch.full_like(z, -6.0)], dim=1)
    variances = VARIANCES.repeat(2, 1)
    found = regress_population(information, gradient, variances, latents, 2.0)
    assert torch.allclose(found.directions, directions, atol=0.2)
    assert torch.allclose(found.mean, mean, atol=0.2)
    # Latents that have nothing to do with the images move nothing.
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    lost = regress_population(information, gradient, variances, latents[order], 2.0)
    assert lost.directions.norm() < 0.2 * directions.norm()


def test_stiff_motions_need_support(truth):
    """Images that say little leave what they say to the soft motions."""
    information, gradient, _ = make_images(*truth, precision=0.05)
    population = fit(information, gradient, 2)
    free = torch.linalg.solve(information.sum(0), gradient.sum(0))
    assert population.mean[4:].norm() < 0.3 * free[4:].norm()
    assert population.directions[:, 4:].norm() < 0.1 * population.directions.norm()


def test_nothing_seen_is_nothing_moved():
    nothing = torch.zeros(COUNT, MOTIONS, MOTIONS, dtype=torch.float64)
    population = fit(nothing, nothing[:, 0], 2)
    assert population.mean.norm() == 0
    assert population.directions.norm() == 0
    z, covariance = population.infer(nothing, nothing[:, 0])
    assert z.norm() == 0
    assert torch.allclose(covariance, torch.eye(2, dtype=torch.float64).expand_as(covariance))


def test_axes_keep_all_models(truth):
    mean, directions = truth
    both = torch.cat([directions, directions.roll(2, dims=1)])
    information, gradient, _ = make_images(mean, both, precision=4.0)
    before = Population(mean, both, 1.0)
    after, z, covariance = infer_on_axes(information, gradient, before)
    expected, spread = before.infer(information, gradient)
    assert torch.allclose(z @ after.directions, expected @ both)
    models = [w.T @ c @ w for w, c in ((after.directions, covariance), (both, spread))]
    assert torch.allclose(*models)
    overlap = after.directions @ after.directions.T
    assert abs(overlap[0, 1]) < 1e-9 < overlap[1, 1] < overlap[0, 0]

"""The whitened likelihood and the KL divergence, against direct evaluation."""

import numpy as np
import pytest
import torch

from cryosway.inference import draw_latent, gaussian_divergence, measure_misfit
from cryosway.volumes import Slices


def make_images(n=6, points=400, contrast=1.0, seed=0, noise=1.0):
    """Images of known views: y = a f V + noise of E|n|² = 1."""
    g = torch.Generator().manual_seed(seed)
    views = torch.randn(n, points, 2, generator=g)
    filters = torch.randn(n, points, generator=g)
    error = torch.randn(n, points, 2, generator=g) * noise / np.sqrt(2)
    data = contrast * views * filters[..., None] + error
    rotations, grid = torch.eye(3).expand(n, 3, 3), torch.zeros(points, 2)
    slices = Slices(torch.view_as_complex(data.contiguous()), filters, rotations, grid)
    return slices, views


def test_right_views_leave_one_unit_per_point():
    slices, views = make_images(n=40, points=500)
    per_point = measure_misfit(slices, views).squared / 500
    assert per_point.mean().item() == pytest.approx(1.0, abs=0.02)
    wrong = measure_misfit(slices, 1.3 * views).squared / 500
    assert wrong.mean().item() == pytest.approx(1.0 + 0.09 * 2, abs=0.05)  # 0.3² E f² E|V|²


def test_misfit_is_the_sum_of_squares_at_the_best_contrast():
    slices, views = make_images(contrast=1.4)
    found = measure_misfit(slices, views, contrast_sd=0.5)
    assert found.contrast.mean().item() == pytest.approx(1.4, abs=0.05)
    shown = found.contrast[:, None, None] * views * slices.filters[..., None]
    direct = (torch.view_as_real(slices.values) - shown).square().sum((1, 2))
    torch.testing.assert_close(found.squared, direct, rtol=1e-4, atol=1e-2)


def test_contrast_is_where_likelihood_and_prior_are_highest():
    slices, views = make_images(contrast=1.4, points=20)
    sd = 0.2
    best = measure_misfit(slices, views, sd).contrast

    def score(a):
        shown = a[:, None, None] * views * slices.filters[..., None]
        squared = (torch.view_as_real(slices.values) - shown).square().sum((1, 2))
        return -squared - (a - 1).square() / (2 * sd**2)

    for step in (-0.01, 0.01):
        assert (score(best) >= score(best + step)).all()


def test_contrast_may_be_fixed():
    slices, views = make_images(contrast=1.4)
    assert (measure_misfit(slices, views).contrast == 1).all()


def test_divergence_is_that_of_torch():
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    ours = gaussian_divergence(mean, log_variance)
    normal = torch.distributions.Normal
    theirs = torch.distributions.kl_divergence(
        normal(mean, (0.5 * log_variance).exp()), normal(0.0, 1.0)
    )
    torch.testing.assert_close(ours, theirs.sum(-1))


def test_samples_have_the_stated_mean_and_spread():
    mean, log_variance = torch.tensor([[2.0]]).expand(20000, 1), torch.tensor([[-2.0]])
    drawn = draw_latent(mean, log_variance, torch.Generator().manual_seed(0))
    assert drawn.mean().item() == pytest.approx(2.0, abs=0.01)
    assert drawn.std().item() == pytest.approx(np.exp(-1), rel=0.02)

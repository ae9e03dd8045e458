"""The closed-form posterior is the posterior: against integrals, densities and calibration."""

import numpy as np
import pytest
import scipy.stats
import torch

from cryosway.inference import Batch, GaussianPosterior, gram_matrices, infer_posterior
from cryosway.optics import make_disc, random_rotations
from cryosway.volumes import SliceReader, Slices

POINTS = 12


def make_views(count, components, seed=0, strength=0.6):
    """Views [P mean, P U] of shape (n, P, 1 + K), complex."""
    rng = np.random.default_rng(seed)
    shape = (count, POINTS, 1 + components)
    views = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    views[..., 1:] *= strength
    return views


def show(views, z, contrast, seed=1):
    """Images a (P mean + P U z) + noise, E|noise|² = 1."""
    rng = np.random.default_rng(seed)
    amounts = contrast[:, None] * np.concatenate([np.ones((len(z), 1)), z], axis=1)
    noise = rng.normal(size=(*views.shape[:2], 2)) @ np.array([1, 1j]) * np.sqrt(0.5)
    return np.einsum("npc,nc->np", views, amounts) + noise


def gram_of(views, y):
    columns = np.concatenate([views, y[..., None]], axis=-1)
    return 2 * np.einsum("npc,npd->ncd", columns.conj(), columns).real


def integrate(views, y, variance, contrast_sd):
    """Moments of (a, z) and log p(y) on a grid, one component; density of the data written out."""
    z = np.linspace(-9, 9, 1201) * np.sqrt(variance)
    a = 1 + contrast_sd * np.linspace(-6, 6, 401) if contrast_sd else np.ones(1)
    found = []
    for view, data in zip(views, y, strict=True):
        model = a[:, None, None] * (view[:, 0] + z[:, None] * view[:, 1])
        logarithm = -np.square(np.abs(data - model)).sum(-1) - 0.5 * z**2 / variance
        if contrast_sd:
            logarithm -= 0.5 * ((a[:, None] - 1) / contrast_sd) ** 2
        top = logarithm.max()
        weights = np.exp(logarithm - top)
        total = weights.sum()
        mean_z, mean_a = (weights * z).sum() / total, (weights * a[:, None]).sum() / total
        found.append(
            (
                mean_z,
                (weights * (z - mean_z) ** 2).sum() / total,
                mean_a,
                (weights * (a[:, None] - mean_a) ** 2).sum() / total,
                top + np.log(total * (z[1] - z[0]) / np.sqrt(2 * np.pi * variance)),
            )
        )
    return np.array(found).T


def test_agrees_with_integration_over_the_latent():
    views, variance = make_views(6, 1), 2.0
    z = np.sqrt(variance) * np.random.default_rng(2).normal(size=(6, 1))
    y = show(views, z, np.ones(6))
    posterior = infer_posterior(gram_of(views, y), np.array([variance]))
    mean, spread, _, _, evidence = integrate(views, y, variance, 0)
    np.testing.assert_allclose(posterior.mean[:, 0], mean, atol=1e-6)
    np.testing.assert_allclose(posterior.covariance[:, 0, 0], spread, rtol=1e-6)
    np.testing.assert_allclose(posterior.log_likelihood, evidence, atol=1e-6)
    np.testing.assert_array_equal(posterior.contrast, 1)
    np.testing.assert_array_equal(posterior.contrast_variance, 0)


@pytest.mark.parametrize("components", [1, 2, 4])
def test_log_likelihood_is_the_gaussian_density_of_the_image(components):
    """Log N(y; P mean, I/2 + U Λ Uᵀ) over real and imaginary parts, without (2π/2)^(−P)."""
    views = make_views(5, components)
    variances = np.linspace(2, 0.3, components)
    z = np.random.default_rng(3).normal(size=(5, components)) * np.sqrt(variances)
    y = show(views, z, np.ones(5))
    posterior = infer_posterior(gram_of(views, y), variances)
    parts = np.concatenate([views.real, views.imag], axis=1)
    for n in range(5):
        basis = parts[n, :, 1:]
        density = scipy.stats.multivariate_normal(
            parts[n, :, 0], np.eye(2 * POINTS) / 2 + basis * variances @ basis.T
        )
        expected = density.logpdf(np.concatenate([y[n].real, y[n].imag]))
        assert posterior.log_likelihood[n] - POINTS * np.log(np.pi) == pytest.approx(expected)


def test_contrast_and_latent_agree_with_integration_over_both():
    """The most likely contrast and the latent at it: near the means, in units of the spread."""
    views, variance, sd = make_views(8, 1, strength=1.0), 1.5, 0.3
    rng = np.random.default_rng(4)
    z, contrast = np.sqrt(variance) * rng.normal(size=(8, 1)), 1 + sd * rng.normal(size=8)
    y = show(views, z, contrast)
    posterior = infer_posterior(gram_of(views, y), np.array([variance]), sd)
    mean, spread, a, a_spread, _ = integrate(views, y, variance, sd)
    assert (np.abs(posterior.mean[:, 0] - mean) < 0.35 * np.sqrt(spread)).all()
    assert (np.abs(posterior.contrast - a) < 0.35 * np.sqrt(a_spread)).all()
    np.testing.assert_allclose(posterior.contrast_variance, a_spread, rtol=0.15)
    assert (posterior.covariance[:, 0, 0] < 1.05 * spread).all()  # at one contrast, not all


def test_contrast_is_found_where_data_are_plenty_and_kept_at_one_where_there_are_none():
    views = 8 * make_views(50, 2)
    rng = np.random.default_rng(5)
    contrast = rng.uniform(0.6, 1.5, 50)
    y = show(views, rng.normal(size=(50, 2)), contrast)
    posterior = infer_posterior(gram_of(views, y), np.ones(2), 0.3)
    np.testing.assert_allclose(posterior.contrast, contrast, atol=0.08)
    pull = (posterior.contrast - contrast) ** 2 / posterior.contrast_variance
    assert 0.5 < pull.mean() < 1.7
    nothing = infer_posterior(np.zeros((3, 4, 4)), np.ones(2), 0.3)
    np.testing.assert_allclose(nothing.contrast, 1)
    np.testing.assert_allclose(nothing.contrast_variance, 0.3**2)
    np.testing.assert_allclose(nothing.mean, 0)
    np.testing.assert_allclose(nothing.covariance, np.broadcast_to(np.eye(2), (3, 2, 2)))


def test_without_components_there_is_nothing_to_infer():
    views = make_views(4, 0)
    y = show(views, np.zeros((4, 0)), np.ones(4))
    posterior = infer_posterior(gram_of(views, y), np.zeros(0))
    assert posterior.mean.shape == (4, 0)
    misfit = np.square(np.abs(y - views[..., 0])).sum(-1)
    np.testing.assert_allclose(posterior.log_likelihood, -misfit)


def test_moments_are_those_of_the_posterior():
    views = make_views(3, 2)
    y = show(views, np.zeros((3, 2)), np.ones(3))
    posterior = infer_posterior(gram_of(views, y), np.array([2.0, 1.0]), 0.3)
    first, second = posterior.moments()
    rng = np.random.default_rng(6)
    for n in range(3):
        z = rng.multivariate_normal(posterior.mean[n], posterior.covariance[n], 200_000)
        a = rng.normal(posterior.contrast[n], np.sqrt(posterior.contrast_variance[n]), 200_000)
        m = a[:, None] * np.concatenate([np.ones((len(z), 1)), z], axis=1)
        np.testing.assert_allclose(first[n], m.mean(0), atol=0.01)
        np.testing.assert_allclose(second[n], m.T @ m / len(m), atol=0.02)


def test_precision_and_concatenation():
    views = make_views(5, 2)
    gram = gram_of(views, show(views, np.zeros((5, 2)), np.ones(5)))
    whole = infer_posterior(gram, np.ones(2), 0.2)
    parts = [infer_posterior(gram[rows], np.ones(2), 0.2) for rows in (slice(0, 2), slice(2, 5))]
    joined = GaussianPosterior.concatenate(parts)
    for name in ("mean", "covariance", "contrast", "contrast_variance", "log_likelihood"):
        np.testing.assert_allclose(getattr(joined, name), getattr(whole, name))
    identity = np.broadcast_to(np.eye(2), (5, 2, 2))
    np.testing.assert_allclose(whole.precision @ whole.covariance, identity, atol=1e-9)


@pytest.fixture(scope="module")
def exact_model(make_phantom):
    """Images made by the very slices that the posterior reads, with CTF-like filters."""
    rng = np.random.default_rng(0)
    box, count, variances = 16, 800, np.array([4.0, 1.0, 0.3])
    volumes = np.stack([make_phantom(radius=15.0, seed=s).volume(box, 3.0) for s in range(4)])
    volumes = torch.from_numpy(volumes / np.linalg.norm(volumes[0])).float()
    disc = make_disc(box, 7)
    reader = SliceReader(volumes)
    shape = (count, len(disc.points))
    filters = torch.from_numpy(2 * np.sin(rng.uniform(0, 3, shape))).float()
    rotations = torch.from_numpy(random_rotations(count, rng)).float()
    blank = Slices(
        torch.zeros(shape, dtype=torch.complex64), filters, rotations, disc.points.float()
    )
    views = torch.view_as_complex(reader.read(blank).movedim(2, 3).contiguous())
    views = (views * filters[..., None]).numpy()
    z = rng.normal(size=(count, 3)) * np.sqrt(variances)
    noise = rng.normal(size=(*shape, 2)) @ np.array([1, 1j]) * np.sqrt(0.5)
    y = views[..., 0] + np.einsum("npk,nk->np", views[..., 1:], z) + noise
    values = torch.from_numpy(y).to(torch.complex64)
    slices = Slices(values, filters, rotations, disc.points.float())
    batch = Batch(np.arange(count), slices, torch.zeros(count, dtype=torch.long))
    return batch, reader, views, variances, z


def test_gram_matrices_are_inner_products_of_slices_and_data(exact_model):
    batch, reader, views, _, _ = exact_model
    gram = gram_matrices(batch, reader)
    expected = gram_of(views, batch.slices.values.numpy())
    assert gram.dtype == np.float64
    scale = np.abs(expected).max()
    np.testing.assert_allclose(gram, expected, atol=1e-5 * scale)


def test_posterior_is_calibrated(exact_model):
    """(ẑ − z)ᵀ Λ (ẑ − z) follows χ² with K degrees of freedom."""
    batch, reader, _, variances, z = exact_model
    posterior = infer_posterior(gram_matrices(batch, reader), variances)
    off = posterior.mean - z
    distance = np.einsum("ni,nij,nj->n", off, posterior.precision, off)
    assert distance.mean() == pytest.approx(3, abs=0.3)
    assert scipy.stats.kstest(distance, scipy.stats.chi2(3).cdf).pvalue > 0.001
    informed = 1 - posterior.covariance[:, 0, 0].mean() / variances[0]
    assert informed > 0.3  # the data say something
    prior = np.einsum("nij->ij", posterior.covariance) / len(z) + np.cov(posterior.mean.T)
    np.testing.assert_allclose(np.diag(prior), variances, rtol=0.2)


def test_the_true_variances_are_the_most_likely(exact_model):
    batch, reader, _, variances, _ = exact_model
    gram = gram_matrices(batch, reader)

    def evidence(factor):
        return infer_posterior(gram, variances * factor).log_likelihood.sum()

    assert evidence(1.0) > evidence(0.5)
    assert evidence(1.0) > evidence(2.0)

"""Latent spaces are the same up to an affine map, or they are not."""

import numpy as np
import pytest

from cryosway.validate import align_latents, canonical_correlations, correlate_columns


@pytest.fixture(scope="module")
def latents():
    return np.random.default_rng(0).normal(size=(1000, 3))


def test_an_affine_copy_agrees_fully(latents):
    turned = latents @ np.random.default_rng(1).normal(size=(3, 5)) + 7
    np.testing.assert_allclose(canonical_correlations(latents, turned), 1, atol=1e-9)
    np.testing.assert_allclose(align_latents(turned, latents)(turned), latents, atol=1e-9)


def test_one_shared_direction_is_counted_once(latents):
    rng = np.random.default_rng(2)
    other = np.column_stack([latents[:, 1] + 0.5 * rng.normal(size=1000), rng.normal(size=1000)])
    first, second = canonical_correlations(latents, other)
    assert first == pytest.approx(1 / np.sqrt(1.25), abs=0.03)
    assert second < 0.12


def test_strangers_do_not_agree(latents):
    assert (
        canonical_correlations(latents, np.random.default_rng(3).normal(size=(1000, 3)))[0] < 0.15
    )


def test_columns_that_are_constant_correlate_with_nothing():
    a = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    np.testing.assert_allclose(correlate_columns(a, -a), [-1, 0])

"""Bonds keep their lengths; neighbours move alike."""

import numpy as np
import pytest
import torch

from cryosway.priors import ChainContinuity, Smoothness


def test_a_bond_one_spread_too_long_costs_half_a_nat():
    bonds, lengths = np.array([[0, 1], [1, 2]]), np.array([3.8, 3.8])
    prior = ChainContinuity(bonds, lengths, spread=0.1)
    x = torch.tensor([[[0.0, 0, 0], [3.9, 0, 0], [3.9, 3.8, 0]]])
    assert float(prior(x)) == pytest.approx(0.5, rel=1e-4)
    torch.testing.assert_close(prior.errors(x), torch.tensor([[0.1, 0.0]]), atol=1e-6, rtol=0)


def test_nothing_is_bonded_across_chains(complex_model):
    prior = ChainContinuity.of(complex_model)
    assert len(prior.bonds) == 39 + 39 + 19
    x = complex_model.coordinates.copy()
    x[40:] += 50
    assert float(prior(torch.from_numpy(x)[None])) < 1e-6


def test_ideal_lengths_are_those_of_peptides_and_leave_nucleotides_alone(complex_model):
    x = complex_model.coordinates.copy()
    x[1] = x[0] + [2.9, 0, 0]  # cis
    model = type(complex_model)(x, complex_model.bonds, complex_model.chains, complex_model.kinds)
    prior = ChainContinuity.of(model, ideal=True)
    measured = ChainContinuity.of(model).lengths
    assert float(prior.lengths[0]) == pytest.approx(2.95)
    torch.testing.assert_close(prior.lengths[2:78], torch.full((76,), 3.8))
    torch.testing.assert_close(prior.lengths[78:], measured[78:])


def test_smoothness_counts_differences_of_displacements_only():
    reference = np.array([[0.0, 0, 0], [3.8, 0, 0], [7.6, 0, 0]])
    prior = Smoothness(reference, np.array([[0, 1], [1, 2]]), spread=0.5)
    x = torch.from_numpy(reference)[None] + 9
    assert float(prior(x)) < 1e-9
    x[:, 2, 1] += 0.5
    assert float(prior(x)) == pytest.approx(0.5)

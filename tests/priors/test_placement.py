"""Placement: only motions of the whole cost, by their size."""

import numpy as np
import pytest
import torch

from cryosway.priors import Placement

SPREAD = 0.2


@pytest.fixture
def beads():
    return np.random.default_rng(0).normal(0, 10.0, (40, 3))


def energy(beads, moved):
    found = Placement(beads, SPREAD)(torch.from_numpy(moved).float()[None])
    return float(found)


def test_shift_costs_by_its_length(beads):
    shift = np.array([0.3, 0.0, -0.4])
    assert energy(beads, beads + shift) == pytest.approx(0.5 * (0.5 / SPREAD) ** 2, rel=1e-4)


def test_turn_costs_by_the_rms_displacement(beads):
    turned = beads + np.cross([0.0, 0.01, 0.02], beads - beads.mean(0))
    squared = ((turned - beads) ** 2).sum(-1).mean()
    assert energy(beads, turned) == pytest.approx(0.5 * squared / SPREAD**2, rel=1e-3)


def test_change_of_shape_is_free(beads):
    motions = Placement(beads).motions.double().numpy() * np.sqrt(len(beads))
    bent = np.random.default_rng(1).normal(size=beads.size)
    bent -= motions @ (motions.T @ bent)
    assert energy(beads, beads + bent.reshape(beads.shape)) < 1e-6


def test_pulls_back(beads):
    x = torch.from_numpy(beads + 0.5).float()[None].requires_grad_()
    Placement(beads, SPREAD)(x).sum().backward()
    step = x.grad[0].mean(0)
    assert (step > 0).all()

"""Nobody goes through anybody, however far apart they were."""

import numpy as np
import pytest
import torch

from cryosway.priors import Clash, count_clashes


def test_domains_that_start_far_apart_may_not_interpenetrate(two_domains):
    """The first domain is moved onto the second, some 40 Å from its surface in the reference."""
    x = two_domains.coordinates.copy()
    x[60:] += [40.0, 0, 0]
    model = type(two_domains)(x, two_domains.bonds, two_domains.chains, two_domains.kinds)
    clash = Clash.of(model)
    moving = torch.from_numpy(x)[None].repeat(3, 1, 1)
    step = x[60:].mean(0) - x[:60].mean(0)
    for image, share in enumerate((0.0, 0.3, 0.97)):
        moving[image, :60] += torch.from_numpy(share * step)
    counts = count_clashes(clash, moving)
    assert counts[:2].tolist() == [0, 0]
    assert counts[2] > 10
    x = moving.clone().requires_grad_()
    energy = clash(x)
    energy.sum().backward()
    assert energy[2] > 10
    assert energy[:2].tolist() == [0, 0]
    assert x.grad[:2].abs().max() == 0
    # Force: each bead is pushed away from those that it touches, all of the other domain.
    which, pairs = clash.find(moving)
    assert (pairs[which == 2] < 60).sum(1).eq(1).all()


def test_a_clash_costs_half_a_nat_per_spread_squared_and_many_cost_their_sum():
    apart = np.arange(20)[:, None] * np.array([[50.0, 0, 0]])
    clash = Clash(apart, np.empty((0, 2), np.int64), distance=4.0, spread=0.5)
    x = torch.from_numpy(apart)[None].repeat(2, 1, 1)
    x[:, 1] = x[:, 0] + torch.tensor([0.0, 3.5, 0])
    x[1, 3] = x[1, 2] + torch.tensor([0.0, 0, 3.5])
    assert clash(x).tolist() == pytest.approx([0.5, 1.0])


def test_bonded_pairs_and_pairs_near_by_nature_are_spared():
    x = np.array([[0.0, 0, 0], [3.0, 0, 0], [0, 3.9, 0], [30, 0, 0]])
    clash = Clash(x, np.array([[1, 0]]), distance=4.0)
    squeezed = torch.from_numpy(x)[None] * 0.5
    which, pairs = clash.find(squeezed)
    # 0–1 is bonded, 0–2 is near in the reference, 1–2 is not (4.9 Å).
    assert pairs.tolist() == [[1, 2]]
    assert which.tolist() == [0]


def test_without_clashes_the_energy_is_zero_and_has_a_gradient(globule):
    x = torch.from_numpy(globule.coordinates)[None].requires_grad_()
    Clash.of(globule)(x).sum().backward()
    assert x.grad.abs().max() == 0

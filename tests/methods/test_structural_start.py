"""How many linearisations of the motion the start of `structural` makes."""

import torch

from cryosway.methods._structural.factors import Population
from cryosway.methods._structural.start import _count_motions, _is_small, _shorten, _skip


def population(size):
    directions = torch.zeros(1, 4, dtype=torch.float64)
    directions[0, 1] = size
    return Population(torch.zeros(4, dtype=torch.float64), directions, 1.0)


def test_modes_double_and_all_of_them_come_last():
    assert _count_motions(30, 2) == [12, 18, 30, 30]
    assert _count_motions(12, 1) == [12]


def test_small_motions_are_linearised_with_all_modes_at_once():
    assert _skip([18, 30, 30], 12) == ([30, 30], 1)
    assert _skip([30], 30) == ([], 1)
    assert _skip([], 30) == ([], 0)


def test_motions_are_small_where_both_particles_and_population_are():
    still, moved = torch.full((50, 4), 0.1), torch.full((50, 4), 1.0)
    assert _is_small(still, population(0.2))
    assert not _is_small(moved, population(0.2))
    assert not _is_small(still, population(2.0))


def test_long_changes_are_shortened_along_their_direction():
    change = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    found = _shorten(change)
    assert torch.allclose(found[0], 1.5 * change[0] / 5)
    assert torch.equal(found[1], change[1])

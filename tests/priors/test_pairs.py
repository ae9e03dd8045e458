"""Distances and their gradients; neighbours are those that looking at all pairs finds."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosway.priors import pair_lengths
from cryosway.priors._pairs import (
    NeighbourSearch,
    find_pairs,
    pair_lengths_plain,
    remove_pairs,
    spring_energy,
    spring_energy_plain,
)

NONE = np.empty((0, 2), np.int64)


def find_by_looking(x, reach, spared=NONE):
    distance = np.linalg.norm(x[:, None] - x[None], axis=-1)
    first, second = np.nonzero(np.triu(distance < reach, k=1))
    unwanted = {tuple(sorted(pair)) for pair in spared.tolist()}
    pairs = zip(first.tolist(), second.tolist(), strict=True)
    return {pair for pair in pairs if pair not in unwanted}


def as_set(which, pairs, image):
    found = [tuple(pair) for pair in pairs[which == image].tolist()]
    assert len(found) == len(set(found))
    return set(found)


def test_kernels_and_their_plain_twin_agree():
    draw = torch.Generator().manual_seed(0)
    positions = torch.randn(3, 20, 3, generator=draw, dtype=torch.float64)
    pairs = torch.randint(0, 20, (50, 2), generator=draw)
    pull = torch.randn(3, 50, generator=draw, dtype=torch.float64)
    found = []
    for measure in (pair_lengths, pair_lengths_plain):
        x = positions.clone().requires_grad_()
        lengths = measure(x, pairs)
        (lengths * pull).sum().backward()
        found.append((lengths.detach(), x.grad))
    torch.testing.assert_close(found[0], found[1])
    assert float(found[0][0][0, 0]) > 0


def test_springs_and_their_plain_twin_agree():
    draw = torch.Generator().manual_seed(0)
    positions = torch.randn(3, 20, 3, generator=draw, dtype=torch.float64)
    pairs = torch.randint(0, 20, (50, 2), generator=draw)
    lengths, stiffness = torch.rand(2, 50, generator=draw, dtype=torch.float64)
    stiffness[::7] = 0
    pull = torch.tensor([1.0, -2.0, 0.5])
    found = []
    for sum_up in (spring_energy, spring_energy_plain):
        x = positions.clone().requires_grad_()
        energies = sum_up(x, pairs, lengths, stiffness)
        (energies * pull).sum().backward()
        found.append((energies.detach(), x.grad))
    torch.testing.assert_close(found[0], found[1])


@pytest.mark.parametrize("measure", [pair_lengths, pair_lengths_plain])
def test_two_beads_at_one_place_do_not_break_the_gradient(measure):
    x = torch.zeros(1, 2, 3).requires_grad_()
    measure(x, torch.tensor([[0, 1]])).sum().backward()
    assert x.grad.abs().max() == 0


def test_gradients_are_exact():
    x = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pairs = torch.tensor([[0, 1], [1, 2], [4, 0], [3, 1]])
    assert torch.autograd.gradcheck(lambda x: pair_lengths(x, pairs), x.requires_grad_())


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 60),
    st.floats(0.5, 40),
    st.sampled_from(["ball", "line", "point"]),
    st.integers(),
)
def test_neighbours_are_those_that_looking_at_all_pairs_finds(count, extent, shape, seed):
    rng = np.random.default_rng(abs(seed))
    x = rng.normal(size=(2, count, 3)) * extent
    x *= {"ball": 1, "line": np.array([1, 0, 0]), "point": 0}[shape]
    spared = rng.integers(0, count, (8, 2))
    spared = spared[spared[:, 0] != spared[:, 1]]
    which, pairs = NeighbourSearch(spared, count, 4.0).find(torch.from_numpy(x))
    for image in range(2):
        assert as_set(which, pairs, image) == find_by_looking(x[image], 4.0, spared)


def test_beads_that_are_nowhere_have_no_neighbours():
    x = np.random.default_rng(0).normal(size=(40, 3)) * 5
    good = find_by_looking(x, 4.0)
    x[7] = np.nan
    x[9, 1] = np.inf
    which, pairs = NeighbourSearch(NONE, 40, 4.0).find(torch.from_numpy(x)[None])
    assert as_set(which, pairs, 0) == {p for p in good if not {7, 9} & set(p)}


def test_room_grows_for_beads_that_have_collapsed():
    x = torch.zeros(2, 30, 3)
    x[1] = torch.arange(30)[:, None] * 10.0
    which, pairs = NeighbourSearch(NONE, 30, 4.0).find(x)
    assert len(pairs) == 30 * 29 // 2
    assert int(which.max()) == 0


def test_pairs_are_found_sorted_and_removed_in_either_order():
    x = np.array([[0.0, 0, 0], [3, 0, 0], [5, 0, 0], [20, 0, 0]])
    pairs = find_pairs(x, 5.0)
    assert pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert remove_pairs(pairs, np.array([[2, 0]]), 4).tolist() == [[0, 1], [1, 2]]
    assert remove_pairs(pairs, NONE, 4).tolist() == pairs.tolist()

"""Edges of an elastic network may be held less than others."""

import numpy as np
import torch

from cryosway.priors import ElasticNetwork


def _chain(make_positions):
    return torch.from_numpy(make_positions).float()[None]


def test_an_edge_of_a_quarter_of_the_stiffness_costs_a_quarter():
    pairs, lengths = np.array([[0, 1], [0, 2]]), np.array([5.0, 5.0])
    network = ElasticNetwork(pairs, lengths, weights=np.array([1.0, 0.25]), keep=1)
    moved = _chain(np.array([[0, 0, 0], [7.0, 0, 0], [0, 5, 0]]))
    other = _chain(np.array([[0, 0, 0], [5.0, 0, 0], [0, 7, 0]]))
    assert float(network(moved)) == 2.0
    assert float(network(other)) == 0.5


def test_edges_of_no_stiffness_are_left_out(globule):
    def weigh(pairs):
        return np.where((pairs < 30).any(axis=1), 0.0, 0.5)

    whole, held = (ElasticNetwork.of(globule, weigh=w) for w in (None, weigh))
    assert len(held.pairs) < len(whole.pairs)
    assert int(held.pairs.min()) >= 30
    assert bool((held.weights == 0.5).all())


def test_the_variances_count_errors_by_the_stiffness():
    pairs, lengths = np.array([[0, 1], [0, 2]]), np.array([5.0, 5.0])
    network = ElasticNetwork(pairs, lengths, weights=np.array([1.0, 0.25])).train()
    network.remember(torch.tensor([[[0, 0, 0], [7.0, 0, 0], [0, 7.0, 0]]]))
    assert network.moments[0].tolist() == [4.0, 1.0]

"""Which beads are held together, and which are let go because the data move them."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryosway import CryoswayError
from cryosway.priors import ElasticNetwork, Reach, find_edges
from cryosway.priors._elastic_network import keep_steadiest


def swing(model, angles, first=60):
    """Turn the second domain about an axis through the linker, by angles in degrees: (n, N, 3)."""
    x = model.coordinates
    pivot = x[first - 1 : first + 1].mean(0)
    states = []
    for angle in angles:
        state = x.copy()
        turn = Rotation.from_euler("z", angle, degrees=True).as_matrix()
        state[first:] = (x[first:] - pivot) @ turn.T + pivot
        states.append(state)
    return torch.from_numpy(np.stack(states))


def test_edges_within_and_between_chains_of_both_kinds(complex_model):
    x, chains, kinds = complex_model.coordinates, complex_model.chains, complex_model.kinds
    edges = {tuple(pair) for pair in find_edges(complex_model).tolist()}
    bonds = {tuple(pair) for pair in complex_model.bonds.tolist()}
    seen = set()
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            nucleic = (kinds[i] == "nucleic") + (kinds[j] == "nucleic")
            limit = 15.0 if nucleic == 2 else 12.0
            near = np.linalg.norm(x[i] - x[j]) <= limit
            assert ((i, j) in edges) == (near and (i, j) not in bonds)
            if (i, j) in edges:
                seen.add((nucleic, chains[i] == chains[j]))
    assert seen == {(0, True), (0, False), (1, False), (2, True)}


def test_reaches_can_be_chosen(complex_model):
    kinds, chains = complex_model.kinds, complex_model.chains
    edges = find_edges(complex_model, Reach(protein=8, between_chains=0, nucleic=0, mixed=0))
    assert len(edges)
    assert (kinds[edges] == "protein").all()
    assert (chains[edges[:, 0]] == chains[edges[:, 1]]).all()


def test_an_edge_one_spread_too_long_costs_half_a_nat():
    network = ElasticNetwork(np.array([[0, 1]]), np.array([10.0]), spread=2.0, keep=1.0)
    x = torch.tensor([[[0.0, 0, 0], [0, 12, 0]]])
    assert float(network(x)) == pytest.approx(0.5)
    assert float(network.errors(x)) == pytest.approx(2.0)


def test_precisely_the_edges_that_vary_are_let_go(two_domains):
    """Those between two domains that turn against each other, and none within them."""
    edges = find_edges(two_domains)
    across = (edges[:, 0] < 60) & (edges[:, 1] >= 60)
    assert 5 < across.sum() < 0.2 * len(edges)
    states = swing(two_domains, np.linspace(-40, 40, 16))
    moves = np.ptp((states[:, edges[:, 0]] - states[:, edges[:, 1]]).norm(dim=-1).numpy(), axis=0)
    varying = moves > 0.1
    assert not varying[~across].any()
    keep = (~varying).mean() - 1e-9
    network = ElasticNetwork.of(two_domains, keep=keep)
    before = network.eval()(states)
    assert (before > 50).any()
    network.train()(states)
    np.testing.assert_array_equal(network.kept.numpy(), ~varying)
    # Free of them, the hinge may turn; the domains themselves may still not bend.
    assert network.eval()(states).max() < 1e-2 * before.max()
    bent = states + torch.randn(states.shape, generator=torch.Generator().manual_seed(0))
    assert network(bent).min() > 100


def test_what_is_kept_does_not_depend_on_the_last_batch_alone(two_domains):
    draw = torch.Generator().manual_seed(0)
    states = swing(two_domains, np.linspace(-40, 40, 16))
    network = ElasticNetwork.of(two_domains, keep=0.95, memory=20)
    for _ in range(20):
        network(states + 0.2 * torch.randn(states.shape, generator=draw))
    settled = network.kept.clone()
    forgetful = ElasticNetwork.of(two_domains, keep=0.95, memory=1)
    changed = {"settled": 0, "forgetful": 0}
    for _ in range(5):
        # A batch of images that happen to be alike, but for noise.
        alike = states[:1] + 0.2 * torch.randn(states.shape, generator=draw)
        network(alike)
        forgetful(alike)
        changed["settled"] += int((network.kept != settled).sum())
        changed["forgetful"] += int((forgetful.kept != settled).sum())
    assert changed["settled"] < 0.3 * changed["forgetful"]


def test_the_memory_forgets_what_is_past(two_domains):
    network = ElasticNetwork.of(two_domains, keep=0.9, memory=5)
    network(swing(two_domains, [-40, 0, 40]))
    high = network.variances.max()
    for _ in range(60):
        network(swing(two_domains, [0, 0, 0]))
    assert network.variances.max() < 1e-3 * high


def test_variances_are_those_of_all_images_while_the_memory_fills(two_domains):
    states = swing(two_domains, np.linspace(-30, 30, 12))
    network = ElasticNetwork.of(two_domains, keep=0.9, memory=100)
    for some in states.split(4):
        network(some)
    squares = network.errors(states).square()
    torch.testing.assert_close(
        network.variances, squares.var(0, correction=0), rtol=1e-4, atol=1e-6
    )


def test_the_memory_is_part_of_the_state(two_domains):
    states = swing(two_domains, np.linspace(-40, 40, 8))
    network = ElasticNetwork.of(two_domains, keep=0.9)
    network(states)
    resumed = ElasticNetwork.of(two_domains, keep=0.9)
    resumed.load_state_dict(network.state_dict())
    assert torch.equal(resumed.kept, network.kept)
    more = swing(two_domains, [10, 20])
    network(more)
    resumed(more)
    assert torch.equal(resumed.variances, network.variances)
    assert torch.equal(resumed.kept, network.kept)


def test_evaluation_and_broken_images_leave_the_memory_alone(two_domains):
    network = ElasticNetwork.of(two_domains, keep=0.9)
    network.eval()(swing(two_domains, [10, 20]))
    broken = swing(two_domains, [10, 20])
    broken[0, 3] = torch.nan
    network.train()(broken)
    assert int(network.calls) == 0
    assert network.kept.all()


def test_each_group_lets_go_of_its_own_and_ties_are_kept():
    variances = torch.tensor([0.0, 0, 0, 5, 9, 1, 2, 3, 4, 100])
    groups = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    kept = keep_steadiest(variances, groups, 0.8)
    assert (~kept).nonzero()[:, 0].tolist() == [4, 9]
    assert keep_steadiest(torch.zeros(10), groups, 0.5).all()
    assert keep_steadiest(variances[:0], groups[:0], 0.5).shape == (0,)


def test_a_model_without_edges_pays_nothing():
    network = ElasticNetwork(np.empty((0, 2), np.int64), np.empty(0))
    assert network(torch.zeros(2, 3, 3)).tolist() == [0, 0]


@pytest.mark.parametrize("keep", [0.0, 1.5, -0.1])
def test_keeping_more_than_all_or_nothing_is_refused(keep, globule):
    with pytest.raises(CryoswayError, match=r"must be in \(0, 1\]"):
        ElasticNetwork.of(globule, keep=keep)

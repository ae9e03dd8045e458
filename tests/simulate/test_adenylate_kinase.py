import numpy as np
import pytest
from scipy.spatial import cKDTree

from cryosway.protein import find_superposition
from cryosway.simulate import adenylate_kinase_states


@pytest.fixture(scope="module")
def states():
    return adenylate_kinase_states(7)


def test_ends_are_the_closed_and_the_open_structure(states):
    names = states[0].atom_names
    first, last = (s.coordinates[names == "CA"] for s in (states[0], states[-1]))
    assert len(first) == 214
    assert 7.0 < find_superposition(first, last).rmsd < 7.2


def test_chain_is_never_broken(states):
    calphas = states[0].atom_names == "CA"
    for state in states:
        steps = np.linalg.norm(np.diff(state.coordinates[calphas], axis=0), axis=1)
        cis = states[0].residue_numbers[calphas][1:] == 87  # the cis proline: 2.9–3.1 Å
        assert np.all((steps[~cis] > 3.6) & (steps[~cis] < 4.0))
        assert 2.9 < steps[cis][0] < 3.1


def test_bonds_keep_their_length_and_nothing_clashes(states):
    start = states[0].coordinates
    bonds = cKDTree(start).query_pairs(1.95, output_type="ndarray")
    numbers = states[0].residue_numbers
    for state in states:
        x = state.coordinates
        lengths = np.linalg.norm(x[bonds[:, 0]] - x[bonds[:, 1]], axis=1)
        assert lengths.min() > 1.15
        assert lengths.max() < 1.9
        close = cKDTree(x).query_pairs(2.2, output_type="ndarray")
        assert not np.any(np.abs(numbers[close[:, 0]] - numbers[close[:, 1]]) > 1)


def test_states_are_evenly_spaced_with_the_core_at_rest(states):
    core = (states[0].residue_numbers >= 70) & (states[0].residue_numbers < 110)
    lid = (states[0].residue_numbers >= 124) & (states[0].residue_numbers <= 155)
    x = np.stack([s.coordinates for s in states])
    steps = np.sqrt((np.diff(x[:, lid], axis=0) ** 2).sum(-1).mean(-1))
    assert steps.min() > 0.8 * steps.max()
    assert np.sqrt(((x[-1] - x[0])[core] ** 2).sum(-1).mean()) < 2.5

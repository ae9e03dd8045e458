import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cryosway import CryoswayError
from cryosway.protein import (
    find_superposition,
    match_atoms,
    morph_domains,
    morph_linearly,
)


def measure_bonds(states):
    first = states[0].coordinates
    pairs = cKDTree(first).query_pairs(1.95, output_type="ndarray")
    return np.stack(
        [
            np.linalg.norm(s.coordinates[pairs[:, 0]] - s.coordinates[pairs[:, 1]], axis=1)
            for s in states
        ]
    )


def test_matching_keeps_common_atoms_in_the_order_of_the_first(kinase):
    closed, opened = kinase
    shuffled = opened[np.random.default_rng(0).permutation(len(opened))[:-50]]
    a, b = match_atoms(closed, shuffled)
    assert len(a) == len(opened) - 50
    assert a.residue_keys() == b.residue_keys()
    assert a.atom_names.tolist() == b.atom_names.tolist()
    assert np.all(np.diff(a.residue_numbers) >= 0)


def test_matching_of_strangers_is_refused(kinase):
    closed, opened = kinase
    other = opened[opened.residue_numbers < 50]
    with pytest.raises(CryoswayError, match="only 0 atoms of the two structures match"):
        match_atoms(closed[closed.residue_numbers > 100], other)


def test_linear_morph_of_a_small_motion_is_the_straight_line(kinase):
    closed = kinase[0]
    moved = closed.with_coordinates(closed.coordinates * 1.001)
    states = morph_linearly(closed, moved, 3)
    middle = 1.0005 * (closed.coordinates - closed.coordinates.mean(0)) + closed.coordinates.mean(0)
    np.testing.assert_allclose(states[1].coordinates, middle, atol=1e-3)


def test_linear_morph_restores_bonds_that_a_straight_line_breaks(kinase):
    closed, opened = match_atoms(*kinase)
    bonds = measure_bonds(morph_linearly(closed, opened, 5))
    assert bonds.min() > 1.1
    assert np.abs(bonds[2] - 0.5 * (bonds[0] + bonds[-1])).max() < 0.3


def test_rigid_domain_turns_by_equal_fractions_of_its_angle(kinase):
    closed = kinase[0]
    mobile = closed.residue_numbers > 120
    turn = Rotation.from_rotvec([0.0, 0.0, np.radians(60)])
    end = closed.coordinates.copy()
    pivot = closed.coordinates[mobile][0]
    end[mobile] = turn.apply(end[mobile] - pivot) + pivot
    states = morph_domains(closed, closed.with_coordinates(end), [~mobile, mobile], 4)
    deep = closed.residue_numbers > 140
    for step, state in enumerate(states):
        fit = find_superposition(closed.coordinates[deep], state.coordinates[deep])
        angle = np.degrees(Rotation.from_matrix(fit.rotation).magnitude())
        assert angle == pytest.approx(20 * step, abs=0.5)
        assert fit.rmsd < 0.5  # the two halves touch on the way


def test_ends_of_a_domain_morph_are_the_given_structures(kinase):
    closed, opened = match_atoms(*kinase)
    numbers = closed.residue_numbers
    states = morph_domains(closed, opened, [numbers < 110, numbers > 125], 3)
    assert find_superposition(states[0].coordinates, closed.coordinates).rmsd < 1e-6
    backbone = np.isin(closed.atom_names, ["N", "CA", "C", "O"])
    end = find_superposition(states[-1].coordinates[backbone], opened.coordinates[backbone])
    assert end.rmsd < 1e-6

"""RMSD, TM-score and lDDT against what is known of them, and against biotite."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryosway.optics import random_rotations
from cryosway.protein.comparison import measure_lddt, measure_tm, tm_scale

structure = pytest.importorskip("biotite.structure")


@pytest.fixture
def walk():
    """Residues 3.8 Å apart, as in a chain."""
    steps = np.random.default_rng(3).normal(size=(90, 3))
    return np.cumsum(3.8 * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)


def _atoms(coordinates, residues):
    array = structure.AtomArray(len(coordinates))
    array.coord = coordinates.astype(np.float32)
    array.res_id = np.asarray(residues, int)
    array.chain_id[:] = "A"
    array.res_name[:] = "ALA"
    array.atom_name[:] = "CA"
    return array


def test_lddt_is_that_of_biotite_over_all_and_for_each_atom(kinase):
    closed, opened = (table.select_chains(["A"]) for table in kinase)
    rows = np.arange(0, min(len(closed), len(opened)), 3)
    residues = closed.residue_numbers[rows]
    ours = measure_lddt(closed.coordinates[rows], opened.coordinates[rows][None], residues)
    reference, subject = (_atoms(t.coordinates[rows], residues) for t in (closed, opened))
    assert ours.scores[0] == pytest.approx(structure.lddt(reference, subject), abs=1e-5)
    each = structure.lddt(reference, subject, aggregation="atom")
    np.testing.assert_allclose(ours.atoms[0], each, atol=1e-2)


def test_lddt_knows_neither_superposition_nor_hand(walk):
    turned = walk @ random_rotations(1, np.random.default_rng(0))[0].T + 40
    mirrored = walk * [1, 1, -1]
    scores = measure_lddt(walk, np.stack([walk, turned]), np.arange(90)).scores
    np.testing.assert_allclose(scores, 1)
    assert measure_lddt(walk, mirrored[None], np.arange(90)).scores[0] == 1  # of distances alone


def test_lddt_counts_each_limit_by_a_quarter():
    reference = np.array([[0.0, 0, 0], [6, 0, 0]])
    for change, score in ((0.4, 1), (0.7, 0.75), (1.5, 0.5), (3, 0.25), (5, 0)):
        moved = reference + np.array([[0, 0, 0], [change, 0, 0]])
        assert measure_lddt(reference, moved[None], np.arange(2)).scores[0] == score


def test_lddt_leaves_out_atoms_of_one_residue_and_those_without_neighbours(walk):
    same = measure_lddt(walk[:4], walk[None, :4] * 3, np.zeros(4))
    assert np.isnan(same.scores).all()
    assert np.isnan(same.atoms).all()


def test_tm_of_a_moved_copy_is_one_and_the_motion_is_found(walk):
    rotation = random_rotations(1, np.random.default_rng(1))[0]
    moved = walk @ rotation.T + [1.0, 2.0, 3.0]
    score, motion = measure_tm(walk, moved)
    assert score == pytest.approx(1)
    np.testing.assert_allclose(motion.rotations[0], rotation, atol=1e-9)


def test_tm_finds_the_half_that_fits(walk):
    """Where half of a chain is elsewhere, the best superposition is that of the other half."""
    moved = walk.copy()
    moved[45:] = moved[45:] @ random_rotations(1, np.random.default_rng(2))[0].T + 60
    score, motion = measure_tm(walk, moved)
    assert score == pytest.approx(0.5, abs=0.02)
    assert np.linalg.norm(motion.apply(walk)[0, :45] - moved[:45], axis=1).max() < 0.5


def test_tm_is_at_least_that_of_the_superposition_by_rmsd_and_agrees_with_biotite(kinase):
    closed, opened = (t.select_chains(["A"]).select_atoms(["CA"]).coordinates for t in kinase)
    score, motion = measure_tm(opened, closed)
    assert score == pytest.approx(0.6842, abs=5e-4)  # no higher one by Nelder and Mead
    rows = np.arange(len(closed))
    pair = (_atoms(closed, rows), _atoms(motion.apply(opened)[0], rows))
    assert structure.tm_score(*pair, rows, rows) == pytest.approx(score, abs=1e-5)


def test_tm_goes_by_the_length_of_the_reference(walk):
    assert measure_tm(walk[:30], walk[:30], 90)[0] == pytest.approx(1 / 3)
    assert tm_scale(10) == 0.5
    assert tm_scale(214) == pytest.approx(1.24 * 199 ** (1 / 3) - 1.8)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(3, 30))
def test_scores_stay_between_zero_and_one(seed, count):
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-4, 4, size=(2, count, 3))  # all within 15 Å
    score = measure_tm(a, b)[0]
    assert 0 < score <= 1
    assert 0 <= measure_lddt(a, b[None], np.arange(count)).scores[0] <= 1

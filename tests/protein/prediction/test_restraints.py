"""What confidences say of how residues hold together."""

from dataclasses import replace

import numpy as np
import pytest

from cryosway.protein import find_restraints
from cryosway.protein.prediction import cluster_by_error


@pytest.fixture(scope="module")
def held(stand_in):
    return find_restraints(stand_in)


def test_domains_of_the_kinase_are_rigid_segments(held):
    """The lid (residues 122–159) and the core move by 6 Å and more towards each other."""
    lid, core = held.segments[124:154], held.segments[78:110]
    assert held.segments.max() >= 2
    assert set(core.tolist()) == {1}
    assert np.bincount(lid).argmax() not in (0, 1)
    assert np.mean(lid == np.bincount(lid).argmax()) > 0.9


def test_springs_between_domains_are_softer_than_within(held):
    within = held.stiffness(np.array([[80, 100], [85, 105]]))
    between = held.stiffness(np.array([[140, 40], [150, 55]]))
    assert within.min() > 0.9
    assert between.max() < 0.1


def test_stiffness_follows_the_error_of_both_directions(stand_in):
    pae = np.full((len(stand_in), len(stand_in)), 2.0)
    pae[10, 50], pae[50, 10] = 2.0, 10.0
    held = find_restraints(replace(stand_in, pae=pae, plddt=np.full(len(stand_in), 90.0)))
    sure, unsure = held.stiffness(np.array([[10, 60], [50, 10]]))
    assert sure == 1
    assert unsure == pytest.approx((3 / 6) ** 2)


def test_a_disordered_tail_is_let_go_whatever_its_plddt(stand_in):
    """High pLDDT with a high PAE to everything is what disordered regions may show."""
    pae = stand_in.pae.copy()
    pae[:30, 30:] = pae[30:, :30] = 28.0
    pae[:30, :30] = np.minimum(30, 1 + 3 * np.abs(np.subtract.outer(np.arange(30), np.arange(30))))
    sure = np.full(len(stand_in), 92.0)
    held = find_restraints(replace(stand_in, pae=pae, plddt=sure))
    assert not held.placed[:25].any()
    assert held.placed[35:].mean() > 0.95
    assert held.stiffness(np.array([[5, 9], [5, 80]])).max() == 0
    by_plddt = find_restraints(replace(stand_in, pae=None, plddt=sure))
    assert by_plddt.placed.all()  # that pLDDT alone would have kept it is why PAE leads


def test_low_plddt_is_let_go(stand_in):
    plddt = np.full(len(stand_in), 90.0)
    plddt[-20:], plddt[100] = 30.0, 45.0
    held = find_restraints(replace(stand_in, plddt=plddt))
    assert not held.placed[-20:].any()
    assert held.placed[100]  # one residue within the fold is no tail
    assert held.segments[-20:].max() == 0
    assert held.stiffness(np.array([[190, 200], [90, 100]])).tolist() == [0, 0]
    assert "20 of 214 residues" in held.describe()[1]


def test_without_pae_it_says_that_segments_cannot_be_told(stand_in):
    held = find_restraints(replace(stand_in, pae=None))
    assert held.segments.max() == 0
    assert "pLDDT alone cannot tell" in held.describe()[0]


def test_blocks_of_low_error_are_the_groups(rng):
    block = np.repeat([0, 1, 2], (60, 40, 10))
    pae = np.where(block[:, None] == block, 2.0, 20.0) + rng.random((110, 110))
    labels = cluster_by_error((pae + pae.T) / 2)
    assert np.array_equal(labels, np.repeat([1, 2, 0], (60, 40, 10)))  # ten are too few
    assert cluster_by_error(np.zeros((1, 1))).tolist() == [0]

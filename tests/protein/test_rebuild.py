"""All atoms on moved beads: exact for rigid motions, covalent geometry kept for the others."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from cryosway.protein import coarse_grain, read_structure
from cryosway.simulate import adenylate_kinase_states

DATA = Path(__file__).parents[1] / "data" / "structures"
angles = st.floats(-3.1, 3.1)


@pytest.fixture(scope="module")
def ribosome():
    return coarse_grain(read_structure(DATA / "4v5d_excerpt.cif.gz"))


@pytest.fixture(scope="module")
def states():
    return adenylate_kinase_states(3)


def bond_errors(before, after):
    pairs = cKDTree(before).query_pairs(1.95, output_type="ndarray")

    def lengths(x):
        return np.linalg.norm(x[pairs[:, 0]] - x[pairs[:, 1]], axis=1)

    return lengths(after) - lengths(before)


@pytest.mark.parametrize("beads", [1, 3])
def test_beads_at_rest_give_the_atoms_as_they_were(beads):
    atoms = read_structure(DATA / "4v5d_excerpt.cif.gz")
    model = coarse_grain(atoms, nucleotide_beads=beads)
    np.testing.assert_allclose(model.rebuild(model.coordinates), atoms.coordinates, atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(angles, angles, angles)
def test_a_rigid_motion_of_beads_is_that_of_all_atoms(ribosome, a, b, c):
    rotation = Rotation.from_euler("xyz", [a, b, c]).as_matrix()
    shift = np.array([30.0, -20.0, 5.0])
    moved = ribosome.rebuild(ribosome.coordinates @ rotation.T + shift)
    expected = ribosome.atoms.coordinates @ rotation.T + shift
    np.testing.assert_allclose(moved, expected, atol=1e-7)


def test_closing_keeps_bonds_and_finds_the_atoms(states):
    """From open to closed, 7 Å: bonds within 0.2 Å, the backbone within 0.6 Å of the truth."""
    closed, opened = states[0], states[-1]
    model = coarse_grain(opened)
    rebuilt = model.rebuild(closed.coordinates[model.anchors])
    errors = bond_errors(opened.coordinates, rebuilt)
    assert np.sqrt(np.mean(errors**2)) < 0.02
    assert np.abs(errors).max() < 0.2
    backbone = np.isin(opened.atom_names, ["N", "CA", "C", "O"])
    off = np.linalg.norm(rebuilt - closed.coordinates, axis=1)
    assert np.sqrt(np.mean(off[backbone] ** 2)) < 0.6
    at_anchors = off[model.anchors]
    assert np.median(at_anchors) < 0.1
    assert np.sqrt(np.mean((opened.coordinates - closed.coordinates) ** 2) * 3) > 6


def test_clashes_are_parted(states):
    model = coarse_grain(states[-1])
    target = states[0].coordinates[model.anchors]

    def clashes(x):
        pairs = cKDTree(x).query_pairs(2.3, output_type="ndarray")
        residue = model.atom_to_bead[pairs]
        return int((np.abs(residue[:, 0] - residue[:, 1]) > 1).sum())

    assert clashes(model.rebuild(target, clean=False)) > 10
    assert clashes(model.rebuild(target)) <= 1


def test_ligands_ride_with_their_neighbours(ribosome):
    """The chain of the zinc site is moved away and turned; only its zinc goes along."""
    moved = ribosome.coordinates.copy()
    chain = ribosome.chains == "AN"
    rotation = Rotation.from_rotvec([0, 0, 1.0]).as_matrix()
    moved[chain] = moved[chain] @ rotation.T + [300.0, 0, 0]
    atoms = ribosome.rebuild(moved)
    was = ribosome.atoms.coordinates
    zinc = ribosome.atoms.residue_names == "ZN"
    np.testing.assert_allclose(atoms[zinc], was[zinc] @ rotation.T + [300.0, 0, 0], atol=0.2)
    drug = ribosome.atoms.residue_names == "PAR"
    np.testing.assert_allclose(atoms[drug], was[drug], atol=0.2)


def test_beads_of_another_model_are_refused(ribosome):
    with pytest.raises(ValueError, match=r"beads must have shape"):
        ribosome.rebuild(np.zeros((3, 3)))


@pytest.mark.parametrize("beads", [1, 3])
def test_bending_nucleic_acids_keeps_their_bonds(beads):
    """Bent to a circle of 120 Å, RNA keeps its bonds within 0.15 Å."""
    atoms = read_structure(DATA / "4v5d_excerpt.cif.gz", ligands=False, chains=["AA", "AV"])
    model = coarse_grain(atoms, nucleotide_beads=beads)
    centre, radius = model.coordinates.mean(axis=0), 120.0

    def bend(points):
        x, y, z = (points - centre).T
        across = radius + y
        bent = (across * np.sin(x / radius), across * np.cos(x / radius) - radius, z)
        return np.stack(bent, axis=1) + centre

    rebuilt = model.rebuild(bend(model.coordinates))
    errors = bond_errors(atoms.coordinates, rebuilt)
    assert np.sqrt(np.mean(errors**2)) < 0.03
    assert np.abs(errors).max() < 0.15
    off = np.linalg.norm(rebuilt - bend(atoms.coordinates), axis=1)
    moved = np.linalg.norm(atoms.coordinates - bend(atoms.coordinates), axis=1)
    assert np.median(off) < 0.5 * np.median(moved)

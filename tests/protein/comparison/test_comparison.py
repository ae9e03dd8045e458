"""Structures of the same molecule are matched whatever their chains and numbers are called."""

from dataclasses import replace

import numpy as np
import pytest

from cryosway._errors import CryoswayError
from cryosway.optics import random_rotations
from cryosway.protein import AtomTable, compare_structures, match_residues
from cryosway.protein.comparison import superpose_on


@pytest.fixture(scope="module")
def closed(kinase):
    return kinase[0].select_chains(["A"])


@pytest.fixture(scope="module")
def opened(kinase):
    return kinase[1].select_chains(["A"])


def _join(*tables):
    fields = AtomTable.__dataclass_fields__
    return AtomTable(**{f: np.concatenate([getattr(t, f) for t in tables]) for f in fields})


def _rename(table, chain, shift=0):
    numbers = table.residue_numbers + np.int32(shift)
    return replace(table, chains=np.full(len(table), chain), residue_numbers=numbers)


def _place(table, rotation, shift):
    return table.with_coordinates(table.coordinates @ rotation.T + shift)


def test_adenylate_kinase_closed_and_open(closed, opened):
    found = compare_structures([opened], [closed])
    assert found.rmsd[0, 0] == pytest.approx(7.13, abs=0.01)
    assert found.lddt_ca[0, 0] == pytest.approx(0.754, abs=1e-3)
    assert found.tm[0, 0] == pytest.approx(0.684, abs=1e-3)
    assert found.lddt[0, 0] == pytest.approx(0.696, abs=5e-3)
    lid = slice(121, 159)
    assert found.residue_distance[0, 0, lid].mean() > 2 * np.median(found.residue_distance)


def test_names_and_numbers_of_chains_do_not_matter(closed, opened):
    renamed = _rename(opened, "X", shift=300)
    found, plain = (compare_structures([x], [closed]) for x in (renamed, opened))
    assert found.match.chains == (("X", "A"),)
    for name in ("rmsd", "tm", "lddt", "lddt_ca"):
        np.testing.assert_allclose(getattr(found, name), getattr(plain, name))


def test_residues_that_lack_are_aligned_around(closed):
    kept = ~np.isin(closed.residue_numbers, range(60, 70))
    renumbered = closed[kept]
    renumbered = _rename(renumbered, "B", shift=7)
    match = match_residues(renumbered, closed)
    first, second = (t.residue_numbers[match.anchors[:, i]] for i, t in
                     enumerate((renumbered, closed)))  # fmt: skip
    assert match.lengths == (len(match), len(match) + 10)
    assert np.mean(first - 7 == second) > 0.97  # at the ends of the gap letters may be shared


def test_copies_of_a_homomer_are_paired_by_where_they_lie(closed, rng):
    turns, shifts = random_rotations(3, rng), rng.normal(size=(3, 3)) * 60
    copies = [_place(closed, r, s) for r, s in zip(turns, shifts, strict=True)]
    trimer = _join(*(_rename(c, n) for c, n in zip(copies, "ABC", strict=True)))
    shuffled = _join(*(_rename(copies[i], n) for i, n in zip((2, 0, 1), "PQR", strict=True)))
    moved = _place(shuffled, random_rotations(1, rng)[0], np.array([5.0, 0, 90]))
    found = compare_structures([moved], [trimer])
    assert set(found.match.chains) == {("P", "C"), ("Q", "A"), ("R", "B")}
    assert found.rmsd[0, 0] < 1e-6


def test_an_ensemble_gives_a_matrix_and_the_nearest_reference(closed, opened):
    found = compare_structures([opened, closed, opened], [closed, opened])
    assert found.rmsd.shape == (3, 2)
    assert found.nearest.tolist() == [1, 0, 1]
    assert found.rmsd[1, 0] < 1e-6


def test_superposes_a_model_on_its_reference(closed, rng):
    moved = _place(_rename(closed, "Z"), random_rotations(1, rng)[0], np.array([9.0, 1, 2]))
    fit = superpose_on(moved, closed)
    np.testing.assert_allclose(fit.apply(moved.coordinates), closed.coordinates, atol=1e-6)


def test_other_proteins_are_refused_with_their_lengths(closed):
    other = closed[closed.residue_numbers < 40]
    scrambled = replace(other, residue_names=np.full(len(other), "GLY"))
    with pytest.raises(CryoswayError, match=r"no chain of the first structure, A \(39 residues\)"):
        compare_structures([scrambled], [closed])


def test_members_of_an_ensemble_must_have_the_same_atoms(closed):
    with pytest.raises(CryoswayError, match="model 2 of the models has other atoms"):
        compare_structures([closed, closed[:-1]], [closed])
    water = replace(closed[:3], residue_names=np.full(3, "HOH"))
    with pytest.raises(CryoswayError, match="first structure has no residue with a Cα"):
        match_residues(water, closed)

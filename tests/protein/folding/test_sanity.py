"""A structure that cannot be one is flagged, whatever its confidence says."""

from dataclasses import replace

import numpy as np
import pytest

from cryosway.protein import Prediction
from cryosway.protein.folding import find_flaws


@pytest.fixture(scope="module")
def good(kinase):
    atoms = kinase[0].select_chains(["A"])
    return Prediction("kinase", atoms, np.full(214, 90.0), None, 0.97)


def _scale(prediction, factor):
    atoms = prediction.atoms
    return replace(prediction, atoms=atoms.with_coordinates(atoms.coordinates * factor))


def test_a_crystal_structure_has_no_flaws(good):
    assert find_flaws(good) == []


def test_a_broken_chain_and_a_wrong_size(good):
    flaws = find_flaws(_scale(good, 3.0))
    assert "213 of 213 Cα–Cα steps are not 3.8 Å" in flaws
    assert any("times the size of a folded protein" in flaw for flaw in flaws)


def test_a_collapsed_chain_clashes(good):
    assert any("closer than 3 Å" in flaw for flaw in find_flaws(_scale(good, 0.4)))


def test_a_ptm_of_one_with_nonsense_is_told(good):
    nonsense = replace(_scale(good, 0.4), ptm=0.999)
    assert any("pTM of 0.999, which the rest contradicts" in f for f in find_flaws(nonsense))
    unsure = replace(good, ptm=0.999, plddt=np.full(214, 40.0))
    assert find_flaws(unsure) == ["a pTM of 0.999, which the rest contradicts"]
    assert find_flaws(replace(unsure, ptm=0.5)) == []


def test_gaps_in_the_numbering_are_no_broken_chains(good):
    kept = ~np.isin(good.atoms.residue_numbers, range(60, 80))
    residues = ~np.isin(np.arange(1, 215), range(60, 80))
    parted = replace(good, atoms=good.atoms[kept], plddt=good.plddt[residues])
    assert find_flaws(parted) == []

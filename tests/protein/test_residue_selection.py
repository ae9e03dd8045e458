"""Residues named as in ChimeraX."""

from pathlib import Path

import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.protein import coarse_grain, describe_residues, read_structure, select_residues

DATA = Path(__file__).parents[1] / "data" / "structures"


@pytest.fixture(scope="module")
def model():
    return coarse_grain(read_structure(DATA / "4v5d_excerpt.cif.gz"))


def name(model, rows):
    return [f"{model.chains[row]}{model.residue_numbers[row]}" for row in rows]


def test_chains_ranges_and_lists(model):
    chain = str(model.chains[0])
    numbers = model.residue_numbers[model.chains == chain]
    a, b, c = (int(number) for number in numbers[[0, 2, 5]])
    whole = select_residues(model, f"/{chain}")
    assert np.array_equal(whole, np.flatnonzero(model.chains == chain))
    some = select_residues(model, f"/{chain}:{a}-{b},{c}")
    assert name(model, some) == [f"{chain}{n}" for n in (*numbers[:3], c)]
    assert np.array_equal(some, select_residues(model, f"{chain}:{a}-{b},{c}"))
    everywhere = select_residues(model, f":{a}")
    assert set(model.residue_numbers[everywhere]) == {a}
    other = next(name for name in dict.fromkeys(model.chains.tolist()) if name != chain)
    both = select_residues(model, f"/{chain}:{a}/{other}")
    assert (
        both.sum()
        == select_residues(model, f"/{other}").sum() + select_residues(model, f"/{chain}:{a}").sum()
    )
    assert np.array_equal(
        select_residues(model, f"/{chain},{other}"),
        np.union1d(whole, select_residues(model, f"/{other}")),
    )


def test_insertion_codes_stand_in_order(model):
    changed = model.insertion_codes.astype("<U2").copy()
    numbers = model.residue_numbers.copy()
    numbers[:4], changed[:4] = 52, ["", "A", "B", "C"]
    from dataclasses import replace

    inserted = replace(model, insertion_codes=changed, residue_numbers=numbers)
    chain = model.chains[0]
    assert select_residues(inserted, f"/{chain}:52A-52B").tolist() == [1, 2]
    assert select_residues(inserted, f"/{chain}:52").tolist() == [0]
    assert describe_residues(inserted, np.array([1, 2])) == f"/{chain}:52A-52B"


def test_a_description_selects_what_it_describes(model, rng):
    for _ in range(10):
        rows = np.flatnonzero(rng.random(len(model)) < 0.4)
        assert set(rows) <= set(select_residues(model, describe_residues(model, rows)))
    runs = np.concatenate([np.arange(3, 9), np.arange(12, 20)])
    text = describe_residues(model, runs)
    assert text.count("-") >= 2 and np.array_equal(select_residues(model, text), runs)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "names no residues: write it as ChimeraX does"),
        ("A 5", "there is no chain 'A'|names no residues"),
        ("/ZZ:3", "there is no chain 'ZZ'; there are"),
        (":99999", "there are no residues 99999; numbers go from"),
        (":9-5", "the range 9-5 runs backwards"),
        (":CA", "'CA' is no residue or range"),
    ],
)
def test_sentences(model, text, sentence):
    with pytest.raises(CryoswayError, match=sentence):
        select_residues(model, text)

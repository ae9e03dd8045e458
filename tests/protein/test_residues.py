import numpy as np
import pytest

from cryosway.protein import read_structure
from cryosway.protein._residues import heavy_atoms, split_residues, standard_name, tabulated_kind
from cryosway.protein._strength import element_strength, missing_strength


@pytest.mark.parametrize(
    ("name", "standard", "kind"),
    [
        ("HSE", "HIS", "protein"),
        ("CYX", "CYS", "protein"),
        ("MSE", "MSE", "protein"),
        ("GUA", "G", "nucleic"),
        ("DA5", "DA", "nucleic"),
        ("PSU", "PSU", "nucleic"),
        ("TIP3", "HOH", "water"),
        ("NAG", "NAG", "glycan"),
        ("HEM", "HEM", None),
    ],
)
def test_names_of_force_fields(name, standard, kind):
    assert standard_name(name) == standard
    assert tabulated_kind(name) == kind


def test_formulas_are_those_of_the_deposited_residues(kinase):
    residues = split_residues(kinase[0])
    for i in range(len(residues) - 1):  # the last has OXT
        elements = kinase[0].elements[list(residues.rows(i))]
        counts = {
            str(e): int(n) for e, n in zip(*np.unique(elements, return_counts=True), strict=True)
        }
        assert counts == heavy_atoms(str(residues.names[i])), residues.names[i]


def test_a_chain_may_start_without_phosphate():
    sugar_and_base = {"C": 10, "N": 5, "O": 4}  # adenosine, O5' included
    assert missing_strength("A", sugar_and_base, "number", starts_chain=True) == 0
    assert missing_strength("A", sugar_and_base, "number") == 15 + 2 * 8
    assert missing_strength("XYZ", {}, "number") == 0
    assert element_strength("Og") == element_strength("C")


def test_a_nucleotide_bound_as_a_ligand_is_no_polymer(tmp_path):
    names = ("P", "C1'", "C4'", "O3'", "O5'")
    lines = [
        f"HETATM{i:5d}  {name:<4s}GTP A 900    {5.0 * i:8.3f}{0:8.3f}{0:8.3f}  1.00 10.00          "
        f" {name[0]}"
        for i, name in enumerate(names, start=1)
    ]
    path = tmp_path / "ligand.pdb"
    path.write_text("\n".join([*lines, "END", ""]))
    assert split_residues(read_structure(path)).kinds.tolist() == ["ligand"]

import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.protein import read_structure, write_structure


def test_reads_first_model_with_highest_occupancy_and_no_hydrogens_or_water(pdb_file):
    atoms = read_structure(pdb_file)
    assert atoms.atom_names.tolist() == ["N", "CA", "N", "P", "MG"]
    assert atoms.coordinates[:, 0].tolist() == [0.0, 1.5, 3.0, 9.0, 12.0]
    assert atoms.elements.tolist() == ["N", "C", "N", "P", "Mg"]
    assert atoms.atomic_numbers.tolist() == [7, 6, 7, 15, 12]
    assert atoms.insertion_codes.tolist() == ["", "", "A", "", ""]
    assert atoms.occupancies[1] == pytest.approx(0.6)
    assert atoms.coordinates.dtype == np.float64


def test_keeps_hydrogens_water_and_drops_ligands_on_request(pdb_file):
    everything = read_structure(pdb_file, hydrogens=True, waters=True)
    assert {"HA", "O"} <= set(everything.atom_names.tolist())
    assert everything.is_hydrogen.sum() == 1
    assert "MG" not in read_structure(pdb_file, ligands=False).atom_names


def test_selects_chains(pdb_file):
    assert set(read_structure(pdb_file, chains=["B"]).chains.tolist()) == {"B"}


@pytest.mark.parametrize("suffix", [".cif", ".pdb"])
def test_formats_and_compression_agree(kinase, tmp_path, compress, suffix):
    path = tmp_path / f"model{suffix}"
    write_structure(path, kinase[0])
    for source in (path, compress(path)):
        atoms = read_structure(source)
        np.testing.assert_allclose(atoms.coordinates, kinase[0].coordinates, atol=1e-3)
        assert atoms.atom_names.tolist() == kinase[0].atom_names.tolist()
        assert atoms.elements.tolist() == kinase[0].elements.tolist()


def test_charmm_names_without_element_column_are_not_calcium_or_mercury(tmp_path):
    names = ["N   ", "CA  ", "HG1 ", "OG1 ", "CD1 ", "NE2 ", "SG  "]
    lines = [
        f"ATOM  {i:5d} {name} HSD     1    {i:8.3f}{0:8.3f}{0:8.3f}  1.00  0.00      4AKE"
        for i, name in enumerate(names, start=1)
    ]
    path = tmp_path / "charmm.pdb"
    path.write_text("\n".join([*lines, "END", ""]))
    atoms = read_structure(path, hydrogens=True)
    assert atoms.elements.tolist() == ["N", "C", "H", "O", "C", "N", "S"]


def test_multi_model_ensemble_is_written(kinase, tmp_path):
    path = tmp_path / "ensemble.pdb"
    write_structure(path, list(kinase))
    assert path.read_text().count("MODEL ") == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.pdb", None, "no such structure file"),
        ("notes.txt", "hello", "not a structure file by its name"),
        ("empty.pdb", "END\n", "holds no atoms"),
        ("broken.cif", "loop_ ''", "cannot be read as mmCIF or PDB"),
    ],
)
def test_says_what_is_wrong(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(CryoswayError, match=message) as caught:
        read_structure(path)
    assert name in str(caught.value)


def test_names_the_chains_there_are(pdb_file):
    with pytest.raises(CryoswayError, match="no chain Z; the file has chains A B"):
        read_structure(pdb_file, chains=["A", "Z"])


def test_refuses_to_write_an_unknown_format(kinase, tmp_path):
    with pytest.raises(CryoswayError, match=r"written as \.cif or \.pdb"):
        write_structure(tmp_path / "model.xyz", kinase[0])


def test_a_conformation_is_kept_whole_and_microheterogeneity_is_one_residue(tmp_path):
    template = "ATOM  {:5d}  {:<3s}{}{} A{:4d}    {:8.3f}{:8.3f}{:8.3f}{:6.2f} 10.00           {}"
    rows = [
        ("N", " ", "SER", 1, 0.0, 1.0),
        ("CB", "A", "SER", 1, 1.0, 0.5),
        ("CB", "B", "SER", 1, 2.0, 0.5),
        ("OG", "A", "SER", 1, 3.0, 0.3),
        ("OG", "B", "SER", 1, 4.0, 0.6),
        ("CA", "A", "ILE", 2, 5.0, 0.4),
        ("CA", "B", "VAL", 2, 6.0, 0.6),
    ]
    lines = [
        template.format(i, name, alt, residue, number, x, 0, 0, occupancy, name[0])
        for i, (name, alt, residue, number, x, occupancy) in enumerate(rows, start=1)
    ]
    path = tmp_path / "alternatives.pdb"
    path.write_text("\n".join([*lines, "END", ""]))
    atoms = read_structure(path)
    assert atoms.coordinates[:, 0].tolist() == [0, 2, 4, 6]  # conformation B throughout
    assert atoms.residue_names.tolist() == ["SER", "SER", "SER", "VAL"]


def test_segments_stand_in_for_chains(tmp_path):
    line = "ATOM  {:5d}  CA  ALA  {:4d}    {:8.3f}   0.000   0.000  1.00  0.00      {}"
    path = tmp_path / "segments.pdb"
    rows = [line.format(i, 1, i, name) for i, name in enumerate(("PROA", "PROB"), start=1)]
    path.write_text("\n".join([*rows, "END", ""]))
    atoms = read_structure(path)
    assert atoms.chains.tolist() == ["PROA", "PROB"]
    write_structure(tmp_path / "segments.cif", atoms)
    assert read_structure(tmp_path / "segments.cif").chains.tolist() == ["PROA", "PROB"]
    with pytest.raises(CryoswayError, match=r"again.pdb: .*PROA\); write it as .cif"):
        write_structure(tmp_path / "again.pdb", atoms)


def test_models_of_an_assembly_become_chains(pdb_file):
    assert read_structure(pdb_file, models="all").chains.tolist() == ["A"] * 3 + ["B"] * 2 + ["A-2"]
    assert read_structure(pdb_file, models="all", chains=["A"]).chains.tolist() == ["A"] * 3 + [
        "A-2"
    ]

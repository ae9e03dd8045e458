"""Beads: every atom has one, nothing is lost in silence, and gaps are no bonds."""

from pathlib import Path

import numpy as np
import pytest

from cryosway import CryoswayError
from cryosway.protein import coarse_grain, read_structure, write_structure
from cryosway.protein._strength import element_strength

DATA = Path(__file__).parents[1] / "data" / "structures"
CHARMM = {("ILE", "CD1"): "CD", ("GLY", "O"): "OT1", ("GLY", "OXT"): "OT2"}


@pytest.fixture(scope="module")
def ribosome():
    """Pieces of 16S RNA with paromomycin and Mg, a tRNA's end, a protein with zinc."""
    return read_structure(DATA / "4v5d_excerpt.cif.gz")


@pytest.fixture(scope="module")
def glycoprotein():
    return read_structure(DATA / "7cth_excerpt.cif.gz")


def write_pdb_as_charmm(atoms, path, segment):
    """PDB lines as CHARMM writes them: no chain, no element, its own names."""
    lines = []
    for i in range(len(atoms)):
        residue, name = str(atoms.residue_names[i]), str(atoms.atom_names[i])
        last = residue == "GLY" and atoms.residue_numbers[i] == atoms.residue_numbers.max()
        if residue == "ILE" or last:
            name = CHARMM.get((residue, name), name)
        residue = {"HIS": "HSD"}.get(residue, residue)
        x, y, z = atoms.coordinates[i]
        lines.append(
            f"ATOM  {i + 1:5d} {name:<4s} {residue:<4s} {atoms.residue_numbers[i]:4d}    "
            f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00      {segment}"
        )
    path.write_text("\n".join([*lines, "END", ""]))


def test_every_atom_has_a_bead_of_its_chain_or_is_named(ribosome):
    model = coarse_grain(ribosome)
    assert len(model.atom_to_bead) == len(model.atoms) == len(ribosome)
    assert model.atom_to_bead.min() == 0
    assert model.atom_to_bead.max() == len(model) - 1
    own = model.carried_residue < 0
    for field in ("chains", "residue_numbers", "insertion_codes", "residue_names"):
        of_atoms = getattr(model.atoms, field)[own]
        np.testing.assert_array_equal(of_atoms, getattr(model, field)[model.atom_to_bead[own]])
    np.testing.assert_array_equal(model.atoms.coordinates[model.anchors], model.coordinates)


def test_what_has_no_bead_is_named_and_rides_with_what_is_near(ribosome, glycoprotein):
    model = coarse_grain(ribosome)
    kinds = {(entry.name, entry.kind) for entry in model.carried}
    assert kinds == {("MG", "ion"), ("ZN", "ion"), ("PAR", "ligand"), ("PHA", "ligand")}
    zinc = next(entry for entry in model.carried if entry.name == "ZN")
    assert model.residue_names[zinc.bead] == "CYS"
    [amino_acid] = [entry for entry in model.carried if entry.name == "PHA"]
    assert model.residue_names[amino_acid.bead] == "8AN"  # a modified nucleotide, linked by O3'–P
    assert "1 PAR (ligand)" in " ".join(model.describe())
    glycans = coarse_grain(glycoprotein)
    assert {entry.kind for entry in glycans.carried} == {"glycan"}
    carriers = [glycans.residue_numbers[entry.bead] for entry in glycans.carried]
    assert carriers == [67, 153]


def test_bonds_stop_at_gaps(ribosome, glycoprotein):
    model = coarse_grain(glycoprotein)
    numbers = model.residue_numbers[model.bonds]
    np.testing.assert_array_equal(numbers[:, 1] - numbers[:, 0], 1)
    assert len(model.bonds) == len(model) - 2
    np.testing.assert_allclose(model.bond_lengths, 3.8, atol=0.15)
    assert model.describe()[0].endswith("; 1 gap in the chains")
    nucleic = coarse_grain(ribosome)
    assert (nucleic.chains[nucleic.bonds[:, 0]] == nucleic.chains[nucleic.bonds[:, 1]]).all()
    acceptor = nucleic.bonds[nucleic.chains[nucleic.bonds[:, 0]] == "AV"]
    assert len(acceptor) == (nucleic.chains == "AV").sum() - 1


def test_three_beads_of_a_nucleotide(ribosome):
    model = coarse_grain(ribosome, nucleotide_beads=3)
    nucleic = np.flatnonzero(model.kinds == "nucleic")
    assert set(model.atoms.atom_names[model.anchors[nucleic]]) == {"P", "C4'", "C2"}
    for name, anchor in (("OP1", "P"), ("C1'", "C4'"), ("O2'", "C4'"), ("N1", "C2")):
        rows = np.flatnonzero((model.atoms.atom_names == name) & (model.carried_residue < 0))
        beads = model.atom_to_bead[rows]
        rows, beads = rows[model.kinds[beads] == "nucleic"], beads[model.kinds[beads] == "nucleic"]
        assert set(model.atoms.atom_names[model.anchors[beads]]) == {anchor}, name
    names = model.atoms.atom_names[model.anchors[model.bonds]]
    of_rna = model.kinds[model.bonds[:, 0]] == "nucleic"
    assert {tuple(pair) for pair in names[of_rna]} == {("P", "C4'"), ("C4'", "C2"), ("C4'", "P")}
    one = coarse_grain(ribosome)
    assert model.amplitudes.sum() == pytest.approx(one.amplitudes.sum())


def test_a_truncated_side_chain_keeps_its_weight(kinase):
    whole = coarse_grain(kinase[0])
    row = int(np.flatnonzero(whole.residue_names == "ARG")[3])
    stump = (whole.atom_to_bead == row) & ~np.isin(whole.atoms.atom_names, ["N", "CA", "C", "O"])
    cut = coarse_grain(kinase[0][~stump])
    assert cut.completed == 1
    np.testing.assert_allclose(cut.amplitudes, whole.amplitudes)
    assert cut.sigmas[row] == pytest.approx(whole.sigmas[row], rel=0.1)
    light = coarse_grain(kinase[0][~stump], complete=False)
    lacking = 4 * element_strength("C") + 3 * element_strength("N")  # CB CG CD CZ, NE NH1 NH2
    assert whole.amplitudes[row] - light.amplitudes[row] == pytest.approx(lacking)


def test_amplitudes_are_sums_over_atoms(kinase):
    model = coarse_grain(kinase[0], scattering="number", complete=False)
    assert model.amplitudes.sum() == kinase[0].atomic_numbers.sum()
    glycine = model.residue_names == "GLY"
    assert model.sigmas[glycine].mean() < model.sigmas[model.residue_names == "TYR"].mean()


def test_charmm_names_mean_the_same_model(kinase, tmp_path):
    path = tmp_path / "charmm.pdb"
    write_pdb_as_charmm(kinase[0], path, "SEGA")
    atoms = read_structure(path)
    assert set(atoms.chains) == {"SEGA"}
    named, plain = coarse_grain(atoms), coarse_grain(kinase[0])
    assert not named.carried
    np.testing.assert_allclose(named.amplitudes, plain.amplitudes)
    np.testing.assert_array_equal(named.bonds, plain.bonds)


def test_insertion_codes_and_copies_of_a_chain_are_residues_of_their_own(kinase, tmp_path):
    part = kinase[0][kinase[0].residue_numbers <= 6]
    codes = part.insertion_codes.copy()
    numbers = part.residue_numbers.copy()
    codes[numbers == 4] = "A"
    numbers[numbers == 4] = 3
    part = part.__class__(**{**vars(part), "insertion_codes": codes, "residue_numbers": numbers})
    model = coarse_grain(part)
    assert model.insertion_codes.tolist() == ["", "", "", "A", "", ""]
    assert len(model.bonds) == 5
    path = tmp_path / "assembly.pdb"
    write_structure(path, [part, part.with_coordinates(part.coordinates + 50.0)])
    copies = coarse_grain(read_structure(path, models="all"))
    assert list(dict.fromkeys(copies.chains)) == ["A", "A-2"]
    assert (len(copies), len(copies.bonds)) == (12, 10)


def test_water_is_left_out_with_a_word(kinase):
    atoms = kinase[0][kinase[0].residue_numbers <= 8]
    names = np.where(atoms.residue_numbers == 8, "TIP3", atoms.residue_names)
    wet = atoms.__class__(**{**vars(atoms), "residue_names": names})
    model = coarse_grain(wet)
    assert model.dropped_waters == 1
    assert "1 waters were left out" in model.describe()[-1]
    kept = coarse_grain(wet, keep_waters=True)
    assert [entry.kind for entry in kept.carried] == ["water"]


def test_a_model_of_ligands_only_is_refused(ribosome):
    with pytest.raises(CryoswayError, match=r"no amino acid with CA.*\(it has .*ion.*\)"):
        coarse_grain(ribosome[np.isin(ribosome.residue_names, ["MG", "PAR"])])

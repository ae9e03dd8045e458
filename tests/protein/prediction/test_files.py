"""Predictions are written so that others open them, and theirs are read in their own layouts."""

import json
from dataclasses import replace

import gemmi
import numpy as np
import pytest

from cryosway._errors import CryoswayError
from cryosway.protein import Prediction, read_prediction, write_prediction, write_structure


@pytest.fixture
def model(stand_in, tmp_path):
    """Write the model under a name and give its path."""

    def write(name, *, scale=1.0):
        path = tmp_path / name
        atoms = stand_in.with_confidence()
        write_structure(path, replace(atoms, b_factors=atoms.b_factors * scale))
        return path

    return write


def _check(found, stand_in, *, ptm=0.91):
    np.testing.assert_allclose(found.plddt, stand_in.plddt, atol=0.6)
    np.testing.assert_allclose(found.pae, stand_in.pae, atol=0.01)
    assert found.ptm == ptm


def test_what_is_written_reads_back_and_opens_in_gemmi(stand_in, tmp_path):
    model, scores = write_prediction(stand_in, tmp_path / "kinase.cif")
    _check(read_prediction(model), stand_in)
    assert scores.name == "kinase_scores.json"
    first = gemmi.read_structure(str(model))[0]["A"][10]
    assert first["CA"][0].b_iso == pytest.approx(stand_in.plddt[10], abs=0.01)
    assert len({atom.b_iso for atom in first}) == 1


def test_a_prediction_without_pae_is_one_by_its_b_factors(stand_in, model):
    found = read_prediction(model("lone.cif"))
    assert found.pae is None
    np.testing.assert_allclose(found.plddt, stand_in.plddt, atol=0.01)


def test_plddt_from_zero_to_one_is_brought_to_a_hundred(stand_in, model):
    """The B factors of transformers' ESMFold are 0.50, not 50."""
    found = read_prediction(model("hf.pdb", scale=0.01))
    np.testing.assert_allclose(found.plddt, stand_in.plddt, atol=0.6)


def test_alphafold_db(stand_in, model):
    path = model("AF-P69441-F1-model_v4.cif")
    data = [{"predicted_aligned_error": stand_in.pae.round(2).tolist(),
             "max_predicted_aligned_error": 31.75}]  # fmt: skip
    path.with_name("AF-P69441-F1-predicted_aligned_error_v4.json").write_text(json.dumps(data))
    _check(read_prediction(path), stand_in, ptm=None)


def test_alphafold_db_of_2021(stand_in, model, tmp_path):
    first, second = np.indices(stand_in.pae.shape) + 1
    data = [{"residue1": first.ravel().tolist(), "residue2": second.ravel().tolist(),
             "distance": stand_in.pae.ravel().tolist()}]  # fmt: skip
    (tmp_path / "old.json").write_text(json.dumps(data))
    _check(read_prediction(model("old.cif"), tmp_path / "old.json"), stand_in, ptm=None)


def test_colabfold(stand_in, model):
    path = model("kinase_unrelaxed_rank_001_alphafold2_ptm_model_1_seed_000.pdb")
    data = {"plddt": stand_in.plddt.tolist(), "max_pae": 30.0, "pae": stand_in.pae.tolist(),
            "ptm": 0.91}  # fmt: skip
    scores = "kinase_scores_rank_001_alphafold2_ptm_model_1_seed_000.json"
    path.with_name(scores).write_text(json.dumps(data))
    _check(read_prediction(path), stand_in)


def test_boltz(stand_in, model):
    path = model("kinase_model_0.cif")
    np.savez(path.with_name("pae_kinase_model_0.npz"), pae=stand_in.pae.astype(np.float32))
    np.savez(path.with_name("plddt_kinase_model_0.npz"), plddt=stand_in.plddt / 100)
    path.with_name("confidence_kinase_model_0.json").write_text('{"ptm": 0.91, "iptm": 0.0}')
    _check(read_prediction(path), stand_in)


def test_alphafold_3_has_tokens_of_ligands_too(stand_in, model):
    path = model("fold_kinase_model_0.cif")
    count = len(stand_in)
    pae = np.full((count + 3, count + 3), 30.0)
    pae[3:, 3:] = stand_in.pae
    data = {"pae": pae.tolist(), "token_chain_ids": ["L"] * 3 + ["A"] * count,
            "token_res_ids": [1, 1, 1, *(number for _, number, _ in stand_in.keys)]}  # fmt: skip
    path.with_name("fold_kinase_full_data_0.json").write_text(json.dumps(data))
    path.with_name("fold_kinase_summary_confidences_0.json").write_text('{"ptm": 0.91}')
    _check(read_prediction(path), stand_in)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1, 2", "damaged or cut short"),
        ('{"plddt": [90]}', "has no predicted aligned error"),
        ('{"pae": [[1, 2], [3]]}', "no matrix of numbers"),
        ('{"pae": [[1, 2]]}', "is no square"),
        ('{"pae": [[-1]]}', "no distances"),
        ('{"pae": [[1, 2], [3, 4]]}', "is of 2 residues but .* has 214"),
    ],
)
def test_files_that_are_no_confidences_are_refused(model, tmp_path, text, problem):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(CryoswayError, match=problem):
        read_prediction(model("m.cif"), tmp_path / "bad.json")


def test_a_missing_file_and_a_missing_residue_are_named(stand_in, model, tmp_path):
    path = model("m.cif")
    with pytest.raises(CryoswayError, match="there is no such file of confidences"):
        read_prediction(path, tmp_path / "absent.json")
    count = len(stand_in)
    data = {"pae": stand_in.pae.tolist(), "token_chain_ids": ["B"] * count,
            "token_res_ids": list(range(count))}  # fmt: skip
    (tmp_path / "other.json").write_text(json.dumps(data))
    with pytest.raises(CryoswayError, match="says nothing of residue 1 of chain A"):
        read_prediction(path, tmp_path / "other.json")


def test_lengths_are_checked_and_the_sequence_has_chains(stand_in):
    with pytest.raises(ValueError, match="pLDDT must have shape"):
        Prediction("x", stand_in.atoms, stand_in.plddt[:-1])
    assert stand_in.sequence.startswith("MRIILLGAPGAGKGTQ")
    assert ":" not in stand_in.sequence

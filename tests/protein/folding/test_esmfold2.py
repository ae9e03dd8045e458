"""ESMFold2 by transformers' network: a tiny one, in the published layout, at random."""

import json

import numpy as np
import pytest
import torch

from cryosway._errors import CryoswayError
from cryosway.protein import SequenceRecord, open_checkpoint, read_structure, write_prediction
from cryosway.protein.folding import EsmFold2, FoldingEngine

transformers = pytest.importorskip("transformers", reason="the extra protein is not installed")
if not hasattr(transformers, "EsmFold2Model"):
    pytest.skip("this transformers has no ESMFold2", allow_module_level=True)

SEQUENCE = "MKTAYIAKQRUW"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    atoms = {"hidden_size": 128, "num_hidden_layers": 1, "intermediate_size": 32}
    config = transformers.EsmFold2Config(
        hidden_size=32, pairwise_hidden_size=16, single_inputs_size=83, num_loops=1,
        pair_transition_intermediate_size=32, folding_trunk_num_hidden_layers=1,
        parcae_num_coda_layers=1, atom_encoder={**atoms, "output_dim": 16},
        structure_head={
            "num_diffusion_samples": 2, "inference_num_steps": 3,
            "diffusion_module": {
                "hidden_size": 32, "fourier_dim": 16, "num_hidden_layers": 1,
                "num_attention_heads": 2, "intermediate_size": 32, "pair_intermediate_size": 32,
                "atom_encoder": {**atoms, "output_dim": 32},
            },
        },
        confidence_head={"num_hidden_layers": 1}, lm_encoder={"num_hidden_layers": 1},
        msa_encoder={"hidden_size": 16, "outer_hidden_size": 4, "num_hidden_layers": 1,
                     "num_attention_heads": 2, "head_dim": 8, "intermediate_size": 16},
        esmc_config={"model_type": "esmc", "hidden_size": 32, "intermediate_size": 32,
                     "num_hidden_layers": 2, "num_attention_heads": 2},
    )  # fmt: skip
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("esmfold2")
    transformers.EsmFold2Model(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def engine(checkpoint):
    return EsmFold2(checkpoint, precision="float32", recycles=0)


def test_a_sequence_becomes_all_its_atoms_with_confidences(engine, tmp_path):
    assert isinstance(engine, FoldingEngine)
    (found,) = engine.fold([SequenceRecord("x", "", SEQUENCE)], None)
    assert found.sequence == SEQUENCE.replace("U", "C")
    assert found.pae.shape == (len(SEQUENCE),) * 2
    assert 0 <= found.plddt.min() <= found.plddt.max() <= 100
    assert found.plddt.max() > 1
    assert 0 < found.ptm < 1
    write_prediction(found, tmp_path / "x.cif")
    written = read_structure(tmp_path / "x.cif")
    assert written.atom_names[:5].tolist() == ["N", "CA", "C", "O", "CB"]
    np.testing.assert_allclose(written.coordinates, found.atoms.coordinates, atol=2e-3)
    of_tryptophan = written.residue_numbers == len(SEQUENCE)
    assert of_tryptophan.sum() in (14, 15)  # with or without OXT
    assert set(written.elements[of_tryptophan]) == {"C", "N", "O"}


def test_the_same_seed_draws_the_same_atoms(engine):
    records = [SequenceRecord(name, "", text) for name, text in (("a", "MKTAY"), ("b", "GGAYW"))]
    together = engine.fold(records, None)
    alone = engine.fold(records[1:], None)
    np.testing.assert_array_equal(together[1].atoms.coordinates, alone[0].atoms.coordinates)


def test_the_language_model_in_bf16_changes_little(engine, checkpoint):
    half = EsmFold2(checkpoint, precision="bf16", recycles=0)
    (coarse,), (fine,) = (
        one.fold([SequenceRecord("a", "", "MKTAY")], None) for one in (half, engine)
    )
    np.testing.assert_allclose(coarse.atoms.coordinates, fine.atoms.coordinates, atol=1.0)
    assert coarse.pae.dtype == np.float64


def test_what_cannot_be_folded_is_said(engine, checkpoint, tmp_path, monkeypatch):
    with pytest.raises(CryoswayError, match=r"x is a complex, .* take --engine esmfold"):
        engine.fold([SequenceRecord("x", "", "MK:MK")], None)

    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine.network, "fold", fail)
    with pytest.raises(MemoryError, match="x: 3 residues do not fit into memory"):
        engine.fold([SequenceRecord("x", "", "MKT")], None)
    with pytest.raises(CryoswayError, match=r"another architecture \(esmfold2\); needed is an ESM"):
        open_checkpoint(checkpoint, "folding")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "esm"}))
    with pytest.raises(CryoswayError, match="needed is an ESMFold2 model, as biohub/ESMFold2"):
        EsmFold2(tmp_path)

"""What is mended around transformers' ESMFold: a test for each of its surprises."""

import json
import shutil

import gemmi
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cryosway._errors import CryoswayError
from cryosway.protein import SequenceRecord, write_prediction
from cryosway.protein.folding import EsmFold, lay_out, predicted_tm

LONG, SHORT = "TTCCPSIVARSNFNVCRLPGTPEAICATYTGCII", "MKTAYIAKQRQISFVK"


def record(sequence, name="x"):
    return SequenceRecord(name, name, sequence)


@pytest.fixture(scope="module")
def batch(engine):
    return engine.fold([record(LONG, "long"), record(SHORT, "short")], None)


def test_padding_changes_nothing(engine, batch):
    for found, sequence in zip(batch, (LONG, SHORT), strict=True):
        (alone,) = engine.fold([record(sequence)], None)
        np.testing.assert_allclose(found.atoms.coordinates, alone.atoms.coordinates, atol=1e-4)
        np.testing.assert_allclose(found.plddt, alone.plddt, atol=1e-3)
        np.testing.assert_allclose(found.pae, alone.pae, atol=1e-3)


def test_ptm_of_a_batch_is_that_of_each_protein_alone(engine, network, batch):
    """Transformers gives one number for both, over the padding."""
    from transformers.models.esm.openfold_utils.loss import compute_tm

    alone = [float(_infer(network, s, engine.recycles)["ptm"]) for s in (LONG, SHORT)]
    assert [found.ptm for found in batch] == pytest.approx(alone, abs=1e-5)
    raw = engine.run([lay_out((LONG,)), lay_out((SHORT,))], None)
    theirs = compute_tm(raw["ptm_logits"], max_bin=31, no_bins=64)
    assert theirs.ndim == 0
    assert abs(float(theirs) - batch[1].ptm) > 1e-3


def _infer(network, sequence, recycles):
    from transformers.models.esm.openfold_utils import residue_constants

    kinds = torch.tensor([[residue_constants.restype_order[letter] for letter in sequence]])
    with torch.no_grad():
        return network(kinds, num_recycles=recycles)


def test_plddt_is_of_the_alpha_carbon_and_up_to_a_hundred(engine, network, batch):
    theirs = _infer(network, LONG, engine.recycles)["plddt"]
    assert theirs.shape[-1] == 37
    np.testing.assert_allclose(batch[0].plddt, 100 * theirs[0, :, 1].numpy(), atol=1e-2)
    assert batch[0].plddt.max() > 1


def test_positions_are_those_of_transformers_atom_by_atom(engine, network, batch):
    from transformers import EsmForProteinFolding

    theirs = _infer(network, LONG, engine.recycles)
    kept = {k: v for k, v in theirs.items() if isinstance(v, torch.Tensor)}
    kept["residue_index"] = torch.arange(len(LONG))[None]
    text = EsmForProteinFolding.output_to_pdb(kept)[0]
    model = gemmi.read_pdb_string(text)[0]
    wanted = {(r.seqid.num, a.name): a.pos.tolist() for c in model for r in c for a in r}
    atoms = batch[0].atoms
    found = dict(zip(zip(atoms.residue_numbers.tolist(), atoms.atom_names.tolist(), strict=True),
                     atoms.coordinates, strict=True))  # fmt: skip
    assert found.keys() == wanted.keys()
    assert max(np.abs(found[key] - wanted[key]).max() for key in wanted) < 6e-4  # PDB's digits


@pytest.mark.parametrize("chunk", [16, 4])
def test_chunks_change_nothing(engine, batch, chunk):
    found = engine.fold([record(LONG, "long"), record(SHORT, "short")], chunk)
    assert engine.network.trunk.chunk_size == chunk
    for one, other in zip(found, batch, strict=True):
        assert np.abs(one.atoms.coordinates - other.atoms.coordinates).max() < 1e-4
        assert np.abs(one.pae - other.pae).max() < 1e-4
        assert one.ptm == pytest.approx(other.ptm, abs=1e-5)


def test_recycles_are_passes_after_the_first(checkpoint, engine):
    assert engine.recycles == 3  # of max_recycles 4 passes
    for recycles in (0, 2):
        one = EsmFold(checkpoint, precision="float32", recycles=recycles)
        passes = []
        one.network.trunk.blocks[0].register_forward_hook(lambda *_, p=passes: p.append(1))
        one.fold([record(SHORT)], None)
        assert len(passes) == recycles + 1


def test_a_complex_has_chains_and_no_linker(engine, tmp_path):
    (found,) = engine.fold([record(f"{SHORT}:{LONG}")], None)
    assert found.sequence == f"{SHORT}:{LONG}"
    assert found.pae.shape == (len(SHORT) + len(LONG),) * 2
    assert 0 < found.iptm <= 1
    model = gemmi.read_structure(str(write_prediction(found, tmp_path / "x.cif")[0]))[0]
    assert [(chain.name, len(chain), chain[0].seqid.num) for chain in model] == [
        ("A", len(SHORT), 1), ("B", len(LONG), 1)
    ]  # fmt: skip


def test_the_network_sees_a_break_between_chains(checkpoint, engine):
    row = lay_out((SHORT, SHORT), 25)
    assert row.letters == SHORT + 25 * "G" + SHORT
    n = len(SHORT)
    assert row.places[n + 25] - row.places[n - 1] == 1 + 25 + 512
    bare = lay_out((SHORT, SHORT), 0)
    assert len(bare) == 2 * n
    assert bare.places[n] - bare.places[n - 1] == 513
    broken = EsmFold(checkpoint, precision="float32", linker=0)
    (with_linker,), (without,) = (e.fold([record(f"{SHORT}:{SHORT}")], None)
                                  for e in (engine, broken))  # fmt: skip
    assert len(with_linker) == len(without) == 2 * n
    assert np.abs(with_linker.plddt - without.plddt).max() > 1e-3


def test_bf16_is_written_too(checkpoint, engine, tmp_path):
    """Transformers' writer stops at bf16 numbers."""
    half = EsmFold(checkpoint, precision="bf16")
    assert half.network.esm.embeddings.word_embeddings.weight.dtype == torch.bfloat16
    (found,) = half.fold([record(LONG)], None)
    (exact,) = engine.fold([record(LONG)], None)
    assert found.plddt.dtype == np.float64
    write_prediction(found, tmp_path / "half.cif")
    assert np.abs(found.plddt - exact.plddt).max() < 5
    assert found.ptm == pytest.approx(exact.ptm, abs=0.05)


def test_rare_letters_are_folded_as_what_they_stand_for(engine):
    rare, plain = (engine.fold([record(s)], None)[0] for s in ("MKUOBZK", "MKCKDEK"))
    np.testing.assert_array_equal(rare.atoms.coordinates, plain.atoms.coordinates)
    (unknown,) = engine.fold([record("MKXAY")], None)
    assert unknown.sequence == "MKXAY"
    third = unknown.atoms[unknown.atoms.residue_numbers == 3]
    assert (third.atom_names.tolist(), third.residue_names.tolist()) == (["CA"], ["UNK"])


def test_short_memory_is_told_as_such(engine, monkeypatch):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(engine, "run", fail)
    with pytest.raises(MemoryError, match="1 of 16 residues at a chunk of 8 do not fit"):
        engine.fold([record(SHORT)], 8)


def test_chunks_are_smaller_for_longer_proteins(engine, monkeypatch):
    monkeypatch.setattr("cryosway.protein.folding._esmfold.available_memory_bytes",
                        lambda: 16 << 30)  # fmt: skip
    chosen = [engine.choose_chunk(length, 1) for length in (100, 400, 800, 1_500, 6_000)]
    assert chosen[0] is None
    sizes = [size or 10**6 for size in chosen]
    assert sizes == sorted(sizes, reverse=True)
    assert engine.choose_chunk(701, 1) is not None  # long ones are never folded whole
    assert engine.choose_chunk(100, 4096) is not None


def test_other_checkpoints_and_missing_tensors_are_named(checkpoint, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    weights.pop("trunk.blocks.0.mlp_seq.mlp.1.weight")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CryoswayError, match=r"lacks 1 tensors .* trunk\.blocks\.0\.mlp_seq"):
        EsmFold(folder)
    config = json.loads((folder / "config.json").read_text())
    config["is_folding_model"] = False
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CryoswayError, match="without the folding part"):
        EsmFold(folder)


def test_interface_tm_counts_pairs_of_chains_only():
    logits = torch.full((4, 4, 64), -20.0)
    logits[..., 0] = 0.0  # sure
    logits[:2, 2:] = logits[2:, :2] = 0.0  # nothing known between the chains
    chains = torch.tensor([0, 0, 1, 1])
    assert predicted_tm(logits) > predicted_tm(logits, chains)
    assert np.isnan(predicted_tm(logits, torch.zeros(4)))

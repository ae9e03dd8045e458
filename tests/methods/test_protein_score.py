"""score: likelihoods that can be worked out by hand, tables and pictures."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

import cryosway as cs
from cryosway.methods._protein import score as scoring
from cryosway.protein import load_network, open_checkpoint
from cryosway.protein.language import tokenise
from cryosway.protein.language._alphabet import MASK, VOCABULARY

transformers = pytest.importorskip("transformers", reason="the extra protein is not installed")

SEQUENCES = {"a": "MKVLAGTWYH", "b/1": "GGAWCXDE"}


@pytest.fixture(scope="module")
def fasta(tmp_path_factory):
    path = tmp_path_factory.mktemp("fasta") / "s.fasta"
    path.write_text("".join(f">{name}\n{text}\n" for name, text in SEQUENCES.items()))
    return path


@pytest.fixture(scope="module")
def network(language_checkpoint):
    return load_network(open_checkpoint(language_checkpoint), transformers.EsmForMaskedLM)


def log_probabilities(network, tokens):
    rows = torch.from_numpy(tokens)[None]
    with torch.inference_mode():
        return network(rows, torch.ones_like(rows)).logits[0].log_softmax(-1).numpy()


def score(fasta, out, checkpoint, **options):
    settings = {"precision": "float32", "threads": 1, "batch_tokens": 30}
    return cs.score(fasta, out, checkpoint=checkpoint, **{**settings, **options})


def test_each_residue_is_hidden_once(tmp_path, fasta, language_checkpoint, network):
    job = score(fasta, tmp_path / "out", language_checkpoint, mutations=True)
    residues = pd.read_parquet(job.path / "residues.parquet")
    mutations = pd.read_parquet(job.path / "mutations.parquet")
    for name, text in SEQUENCES.items():
        tokens = tokenise(text)
        found = residues[residues["name"] == name]
        assert "".join(found["letter"]) == text
        for place in range(1, len(tokens) - 1):
            hidden = tokens.copy()
            hidden[place] = MASK
            expected = log_probabilities(network, hidden)[place]
            assert found["log_likelihood"].iloc[place - 1] == pytest.approx(
                expected[tokens[place]], abs=1e-4
            )
            exchange = mutations.query("name == @name and residue == @place and to == 'W'")
            ratio = expected[VOCABULARY.index("W")] - expected[tokens[place]]
            assert exchange["log_likelihood_ratio"].item() == pytest.approx(ratio, abs=1e-4)
    summary = pd.read_parquet(job.path / "sequences.parquet")
    likelihoods = residues[residues["name"] == "b/1"]["log_likelihood"]
    assert summary["perplexity"].iloc[1] == pytest.approx(np.exp(-likelihoods.mean()), rel=1e-5)
    assert (job.path / "figures" / "mutations_2.png").stat().st_size > 5000
    assert len(mutations) == 20 * sum(map(len, SEQUENCES.values()))
    here = mutations["from"] == mutations["to"]
    assert (mutations[here]["log_likelihood_ratio"] == 0).all()


def test_one_pass_sees_everything(tmp_path, fasta, language_checkpoint, network):
    job = score(fasta, tmp_path / "out", language_checkpoint, method="single")
    residues = pd.read_parquet(job.path / "residues.parquet")
    expected = np.concatenate([
        log_probabilities(network, tokens)[np.arange(len(tokens)), tokens][1:-1]
        for tokens in map(tokenise, SEQUENCES.values())
    ])  # fmt: skip
    assert np.abs(residues["log_likelihood"] - expected).max() < 1e-4
    assert job.info["scores"]["perplexity"] == pytest.approx(np.exp(-expected.mean()), rel=1e-4)


def test_a_killed_run_goes_on(tmp_path, fasta, language_checkpoint, monkeypatch):
    whole = score(fasta, tmp_path / "whole", language_checkpoint)
    plain, calls = scoring.score_by_masking, []

    def fail_at_the_second(model, text, **options):
        calls.append(text)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(model, text, **options)

    monkeypatch.setattr(scoring, "score_by_masking", fail_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        score(fasta, tmp_path / "out", language_checkpoint)
    job = score(fasta, tmp_path / "out", language_checkpoint)
    assert calls == [*SEQUENCES.values(), SEQUENCES["b/1"]]
    for name in ("residues.parquet", "sequences.parquet"):
        assert (job.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert not (job.path / "parts").exists()


def test_a_checkpoint_without_its_head_cannot_score(tmp_path, fasta, write_language_checkpoint):
    folder = write_language_checkpoint(tmp_path / "c", leave_out=("lm_head.dense.weight",))
    with pytest.raises(cs.CryoswayError, match=r"lacks 1 tensors.*lm_head\.dense\.weight"):
        score(fasta, tmp_path / "out", folder)


@pytest.mark.parametrize("method", ["masked", "single"])
def test_what_is_bad_or_too_long_is_left_out(tmp_path, language_checkpoint, method, monkeypatch):
    from cryosway.protein.language import _scores

    path = tmp_path / "s.fasta"
    path.write_text(">a\nMKVLAGTWYH\n>bad\nMK1\n>b\nMKV\n")
    encode = _scores.encode

    def encode_short(network, batch):
        if max(batch.lengths) > 10:
            raise MemoryError
        return encode(network, batch)

    with pytest.raises(cs.CryoswayError, match=r"bad has '1' at residue 3.*--skip-bad"):
        score(path, tmp_path / "out", language_checkpoint, method=method)
    monkeypatch.setattr(_scores, "encode", encode_short)
    job = score(path, tmp_path / "job", language_checkpoint, method=method, skip_bad=True)
    summary = pd.read_parquet(job.path / "sequences.parquet")
    assert summary["name"].tolist() == ["b"]
    assert summary["length"].tolist() == [3]
    first, second = json.loads((job.path / "left_out.json").read_text())
    assert "bad has '1'" in first
    assert second.startswith("a: a sequence of 10 residues does not fit into the memory of cpu")

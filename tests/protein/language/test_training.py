"""What is drawn, hidden and judged in the training of a language model."""

import math

import numpy as np
import pytest
import torch

from cryosway import CryoswayError
from cryosway.protein._mmseqs import find_mmseqs
from cryosway.protein.language import (
    SIZES,
    Corpus,
    HeldOut,
    LanguageStep,
    Recipe,
    build_config,
    build_network,
    make_clusters,
    read_clusters,
    tokenise,
)
from cryosway.protein.language._alphabet import CLS, EOS, MASK
from cryosway.protein.language._masking import hide_residues

transformers = pytest.importorskip("transformers", reason="the extra protein is not installed")

LETTERS = list("ACDEFGHIKLMNPQRSTVWY")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Ninety sequences alike in one cluster, and ten alone: LLLL…, and WWWW…"""
    path = tmp_path_factory.mktemp("corpus") / "s.fasta"
    records = [(f"l{n}", "L" * 30) for n in range(90)] + [(f"w{n}", "W" * 60) for n in range(10)]
    path.write_text("".join(f">{name}\n{text}\n" for name, text in records))
    clusters = {name: "l" if name[0] == "l" else name for name, _ in records}
    return Corpus.read(path, clusters)


def test_clusters_count_alike(corpus, monkeypatch):
    assert (len(corpus), corpus.clusters) == (100, 11)
    rng = np.random.default_rng(0)
    drawn = [corpus.draw_member(int(rng.integers(11)), rng) for _ in range(3000)]
    assert np.mean(np.array(drawn) < 90) == pytest.approx(1 / 11, abs=0.02)
    assert len({n for n in drawn if n < 90}) > 80  # and within it, members do
    weights = corpus.weights(np.arange(11))
    assert weights[:90].sum() == pytest.approx(1 / 11) and weights.sum() == pytest.approx(1)
    frequencies = corpus.frequencies(np.arange(11))
    assert frequencies[tokenise("L")[1]] == pytest.approx(30 / (30 + 600), rel=0.01)
    assert frequencies.min() > 0
    monkeypatch.setattr("cryosway.protein.language._corpus._BLOCK", 7)
    np.testing.assert_allclose(corpus.frequencies(np.arange(11)), frequencies, rtol=1e-12)
    assert corpus.mean_tokens(np.arange(11), 40) == pytest.approx((32 + 10 * 40) / 11)


def test_windows_keep_only_true_ends(corpus):
    rng = np.random.default_rng(0)
    seen = [corpus.draw_crop(95, 20, rng) for _ in range(300)]
    assert {len(tokens) for tokens in seen} == {20}
    starts = np.mean([tokens[0] == CLS for tokens in seen])
    ends = np.mean([tokens[-1] == EOS for tokens in seen])
    assert starts == pytest.approx(1 / 43, abs=0.03) and ends == pytest.approx(1 / 43, abs=0.03)
    assert all((tokens == CLS).sum() <= 1 for tokens in seen)
    whole = corpus.draw_crop(0, 1024, rng)
    assert whole.tolist() == tokenise("L" * 30).tolist()


def test_held_out_clusters_are_never_learnt_from(corpus):
    learnt, held = corpus.split(0.2, np.random.default_rng(0))
    assert len(held) == 2 and not set(learnt) & set(held) and len(learnt) + len(held) == 11
    assert len(corpus.split(0.0001, np.random.default_rng(0))[1]) == 1


def test_fifteen_per_cent_in_three_fates():
    rng = np.random.default_rng(0)
    tokens = tokenise("".join(rng.choice(LETTERS, 20_000)))
    found = hide_residues(tokens, rng)
    share = len(found.places) / 20_000
    now = found.seen[found.places]
    assert share == pytest.approx(0.15, abs=0.01)
    assert np.array_equal(found.truth, tokens[found.places])
    assert np.mean(now == MASK) == pytest.approx(0.8, abs=0.03)
    assert np.mean(now == found.truth) == pytest.approx(0.1 + 0.1 / 20, abs=0.02)
    others = np.ones(len(tokens), bool)
    others[found.places] = False
    assert np.array_equal(found.seen[others], tokens[others])
    judged = hide_residues(tokens, rng, masks_only=True)
    assert (judged.seen[judged.places] == MASK).all()
    assert len(hide_residues(tokenise("M"), np.random.default_rng(3)).places) == 1


def test_a_new_network_knows_frequencies_and_no_more(tmp_path):
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.full(20, 3.0))
    path = tmp_path / "s.fasta"
    texts = ["".join(rng.choice(LETTERS, 80, p=chances)) for _ in range(120)]
    path.write_text("".join(f">s{n}\n{text}\n" for n, text in enumerate(texts)))
    corpus = Corpus.read(path)
    learnt, held = corpus.split(0.5, rng)
    frequencies = corpus.frequencies(learnt)
    network = build_network(build_config(SIZES["150K"], 128), frequencies, 0)
    judge = HeldOut.draw(corpus, held, frequencies, 128, 0)
    entropy = math.exp(-(chances * np.log(chances)).sum())
    assert judge.unigram_perplexity == pytest.approx(entropy, rel=0.05)
    assert judge.perplexity(network) == pytest.approx(judge.unigram_perplexity, rel=0.03)
    assert judge.perplexity(network, "bf16") == pytest.approx(judge.perplexity(network), rel=0.01)


def test_the_loss_of_parts_adds_up_to_that_of_the_whole(corpus):
    """Whatever the parts hold; and with layers computed twice, it is the same."""
    config = {**build_config(SIZES["150K"], 64), "num_hidden_layers": 1, "hidden_size": 16}
    network = build_network(config, corpus.frequencies(np.arange(11)), 0)
    rows = np.arange(12)

    def gradient(parts, recompute):
        step = LanguageStep(network, Recipe(corpus, np.arange(11), 64, 7, recompute))
        step.begin_epoch(3, 0.5)
        network.zero_grad()
        total = 0.0
        for part in parts:
            losses = step.loss(step.load(part), torch.Generator())
            share = len(part) / len(rows)
            (losses.total * share).backward()
            total += float(losses.total.detach()) * share
        return total, network.esm.embeddings.word_embeddings.weight.grad.clone()

    whole, slope = gradient([rows], recompute=False)
    split, same = gradient([rows[:5], rows[5:]], recompute=True)
    assert split == pytest.approx(whole, rel=1e-5)
    torch.testing.assert_close(same, slope, rtol=1e-4, atol=1e-6)


def test_draws_depend_on_seed_epoch_and_item_only(corpus):
    network = build_network(build_config(SIZES["150K"], 64), corpus.frequencies(np.arange(11)), 0)
    step = LanguageStep(network, Recipe(corpus, np.arange(11), 64, 7))
    first = step.load(np.array([5])).seen.tokens
    assert torch.equal(step.load(np.array([5])).seen.tokens, first)
    step.begin_epoch(1, 0.1)
    assert not torch.equal(step.load(np.array([5])).seen.tokens, first)


def test_published_sizes_have_their_number_of_parameters():
    """Without building them: the tensors of the 8M and 650M models on no device."""
    from cryosway.protein._checkpoint import quiet_transformers

    for name, expected in (("8M", 7_512_474), ("35M", 33_501_394), ("650M", 651_043_254)):
        with quiet_transformers(), torch.device("meta"):
            config = transformers.EsmConfig(**build_config(SIZES[name], 1024))
            network = transformers.EsmForMaskedLM(config)
        assert sum(p.numel() for p in network.parameters()) == expected


def test_tables_of_clusters(tmp_path):
    path = tmp_path / "clusters.tsv"
    path.write_text("a\ta\na\tb\nc\tc\n")
    assert read_clusters(path) == {"a": "a", "b": "a", "c": "c"}
    path.write_text("a a\n")
    with pytest.raises(CryoswayError, match=r"line 1 has 1 columns; a table of clusters has two"):
        read_clusters(path)
    with pytest.raises(CryoswayError, match="cannot be read as a table"):
        read_clusters(tmp_path / "absent.tsv")
    fasta = tmp_path / "s.fasta"
    fasta.write_text(">a\nMKV\n>b\nMKL\n")
    with pytest.raises(CryoswayError, match="line 3: b is in no cluster"):
        Corpus.read(fasta, {"a": "a"})
    with pytest.raises(CryoswayError, match="holds 1 clusters of sequences; training needs two"):
        Corpus.read(fasta, {"a": "a", "b": "a"})


def test_clusters_by_mmseqs(tmp_path, monkeypatch):
    """The program is asked for what UniRef50 is, and its absence is said."""
    monkeypatch.setenv("PATH", str(tmp_path))
    if find_mmseqs() is None:
        with pytest.raises(CryoswayError, match=r"MMseqs2 .* is not installed"):
            make_clusters("s.fasta", tmp_path / "out.tsv")
    program = tmp_path / "mmseqs"
    program.write_text('#!/bin/sh\nprintf "a\\ta\\n" > $3_cluster.tsv\n[ "$6" = 0.5 ] || exit 1\n')
    program.chmod(0o755)
    assert make_clusters("s.fasta", tmp_path / "out.tsv") == {"a": "a"}
    program.write_text("#!/bin/sh\necho 'no such file' >&2\nexit 1\n")
    with pytest.raises(CryoswayError, match=r"could not cluster s\.fasta: no such file"):
        make_clusters("s.fasta", tmp_path / "out.tsv")

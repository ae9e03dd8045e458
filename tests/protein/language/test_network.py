"""The packed network is that of transformers, with its traps avoided."""

import numpy as np
import pytest
import torch

from cryosway.protein import load_network, open_checkpoint
from cryosway.protein.language import (
    Packed,
    encode,
    encode_layers,
    plan_batches,
    predict_tokens,
    tokenise,
    use_bf16,
)
from cryosway.protein.language._alphabet import MASK, PAD, VOCABULARY
from cryosway.protein.language._network import attention_maps

transformers = pytest.importorskip("transformers", reason="the extra protein is not installed")

SEQUENCES = ("MKVLAGTWY", "ACDEFGHIKLMNPQRSTVWYXBUZO", "MK", "GGGGGWWWWW", "MKVLAGTWA")


@pytest.fixture(scope="module")
def network(language_checkpoint):
    return load_network(open_checkpoint(language_checkpoint), transformers.EsmForMaskedLM)


def hide(tokens, places):
    hidden = tokens.copy()
    hidden[list(places)] = MASK
    return hidden


def pad(rows):
    table = torch.full((len(rows), max(map(len, rows))), PAD)
    for row, tokens in zip(table, rows, strict=True):
        row[: len(tokens)] = torch.from_numpy(tokens)
    return table, (table != PAD).long()


@pytest.fixture(scope="module")
def rows():
    """Sequences of several lengths, some with masks: where token dropout matters."""
    tokens = [tokenise(sequence) for sequence in SEQUENCES]
    return [hide(tokens[0], (2, 5)), tokens[1], hide(tokens[2], (1,)), tokens[3], tokens[4]]


def test_logits_and_states_are_those_of_transformers(network, rows):
    table, mask = pad(rows)
    with torch.inference_mode():
        theirs = network(table, attention_mask=mask, output_hidden_states=True)
        batch = Packed.of(rows)
        states = encode(network, batch)
        logits = predict_tokens(network, states)
        layers = list(encode_layers(network, batch))
    inside = mask.bool()
    assert torch.allclose(logits, theirs.logits[inside], atol=1e-5)
    assert torch.equal(layers[-1], states)
    for mine, their in zip(layers, theirs.hidden_states, strict=True):
        assert torch.allclose(mine, their[inside], atol=1e-5)


def test_a_batch_is_its_sequences(network, rows):
    """Neither padding nor neighbours change a sequence, masked or not."""
    with torch.inference_mode():
        together = encode(network, Packed.of(rows)).split([len(tokens) for tokens in rows])
        for tokens, states in zip(rows, together, strict=True):
            assert torch.allclose(encode(network, Packed.of([tokens])), states, atol=1e-5)


def test_without_a_mask_padding_would_spoil_logits(network, rows):
    """The trap that our batches cannot fall into; if this fails, the trap is gone."""
    table, mask = pad(rows)
    with torch.inference_mode():
        right, wrong = network(table, attention_mask=mask).logits, network(table).logits
    assert (right - wrong)[mask.bool()].abs().max() > 0.01


def test_attention_maps_are_those_of_transformers(network):
    tokens = torch.from_numpy(tokenise(SEQUENCES[0]))
    network.set_attn_implementation("eager")
    with torch.inference_mode():
        theirs = network(
            tokens[None], attention_mask=torch.ones(1, len(tokens)), output_attentions=True
        ).attentions
        mine = list(attention_maps(network, tokens))
    network.set_attn_implementation("sdpa")
    for a, b in zip(mine, theirs, strict=True):
        assert torch.allclose(a, b[0], atol=1e-6)


def test_padded_groups_attend_alike(network, rows, monkeypatch):
    """The way of a GPU: neighbours of about equal length are padded."""
    ordered = sorted(rows, key=len, reverse=True)
    batch = Packed.of(ordered)
    with torch.inference_mode():
        plain = encode(network, batch)
        groups = batch.groups
        monkeypatch.setattr(Packed, "groups", lambda self, share: groups(0.4))
        assert len(list(batch.groups(1.0))) < len(list(groups(1.0)))
        assert torch.allclose(encode(network, batch), plain, atol=1e-5)


def test_gradients_are_those_of_transformers(network, rows):
    def gradient(loss):
        network.zero_grad()
        loss.backward()
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    table, mask = pad(rows)
    theirs = gradient(network(table, attention_mask=mask).logits[mask.bool()].square().mean())
    for recompute in (False, True):
        states = encode(network, Packed.of(rows), recompute=recompute)
        mine = gradient(predict_tokens(network, states).square().mean())
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            assert torch.allclose(a, b, atol=1e-4 * float(b.abs().max()) + 1e-6)


def test_bf16_changes_little(language_checkpoint, network, rows):
    rough = load_network(open_checkpoint(language_checkpoint), transformers.EsmForMaskedLM)
    use_bf16(rough)
    with torch.inference_mode():
        fine = encode(network, Packed.of(rows))
        found = encode(rough, Packed.of(rows))
    assert found.dtype == torch.float32
    assert 0 < float((found - fine).norm() / fine.norm()) < 0.03


def test_tokens_are_those_of_the_published_tokenizer(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY))
    theirs = transformers.EsmTokenizer(str(path))
    for sequence in (*SEQUENCES, "MKVJ"):
        assert tokenise(sequence).tolist() == theirs(sequence)["input_ids"]


def test_the_vocabulary_is_that_of_fair_esm():
    esm = pytest.importorskip("esm", reason="fair-esm is a test oracle only")
    alphabet = esm.Alphabet.from_architecture("ESM-1b")
    assert tuple(alphabet.all_toks) == VOCABULARY


def test_logits_are_those_of_fair_esm(network, rows):
    esm = pytest.importorskip("esm", reason="fair-esm is a test oracle only")
    config = network.config
    oracle = esm.ESM2(config.num_hidden_layers, config.hidden_size, config.num_attention_heads)
    oracle.load_state_dict(to_fair_esm(network.state_dict()), strict=False)
    table, mask = pad(rows)
    with torch.inference_mode():
        theirs = oracle.eval()(table)["logits"][mask.bool()]
        mine = predict_tokens(network, encode(network, Packed.of(rows)))
    assert torch.allclose(mine, theirs, atol=5e-5)


def to_fair_esm(tensors):
    """Translate names of tensors into those of fair-esm."""
    words = (
        ("esm.embeddings.word_embeddings", "embed_tokens"), ("esm.encoder.layer", "layers"),
        ("attention.self.query", "self_attn.q_proj"), ("attention.self.key", "self_attn.k_proj"),
        ("attention.self.value", "self_attn.v_proj"), ("lm_head.decoder", "lm_head"),
        ("attention.output.dense", "self_attn.out_proj"), ("intermediate.dense", "fc1"),
        ("attention.LayerNorm", "self_attn_layer_norm"), (".output.dense", ".fc2"),
        (".LayerNorm", ".final_layer_norm"), ("esm.contact_head", "contact_head"),
        ("esm.encoder.emb_layer_norm_after", "emb_layer_norm_after"),
    )  # fmt: skip
    found = {}
    for name, tensor in tensors.items():
        for old, new in words:
            name = name.replace(old, new)
        found[name] = tensor
    return found


def test_batches_hold_everything_once_and_little_else():
    lengths = np.random.default_rng(0).integers(5, 300, 200)
    batches = plan_batches(lengths, 1000)
    assert sorted(np.concatenate(batches).tolist()) == list(range(200))
    sums = [int(lengths[batch].sum()) for batch in batches]
    assert max(sums) <= 1000 and np.mean(sums[:-1]) > 800
    assert plan_batches([5000], 1000)[0].tolist() == [0]

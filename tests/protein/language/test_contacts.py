"""Contacts: the checkpoint's head, average product correction, training, precision."""

import numpy as np
import pytest
import torch

from cryosway import CryoswayError
from cryosway.protein import load_network, open_checkpoint
from cryosway.protein.language import (
    ChainDistances,
    ContactHead,
    fit_contact_head,
    measure_precision,
    read_chain,
    tokenise,
)
from cryosway.protein.language._chain_contacts import place_beta_carbons
from cryosway.protein.language._contacts import correct_average_product, corrected_maps

transformers = pytest.importorskip("transformers", reason="the extra protein is not installed")

SEQUENCE = "MKVLAGTWYACDEFGHIKLMNPQRSTVWYGAVLK"


@pytest.fixture(scope="module")
def network(language_checkpoint):
    return load_network(open_checkpoint(language_checkpoint), transformers.EsmForMaskedLM)


def test_contacts_are_those_of_transformers(network):
    tokens = torch.from_numpy(tokenise(SEQUENCE))[None]
    with pytest.raises((RuntimeError, TypeError)), torch.inference_mode():  # the trap: sdpa
        network.predict_contacts(tokens, torch.ones_like(tokens))
    mine = ContactHead.of(network).predict(network, SEQUENCE)
    network.set_attn_implementation("eager")
    with torch.inference_mode():
        theirs = network.predict_contacts(tokens, torch.ones_like(tokens))[0].numpy()
    network.set_attn_implementation("sdpa")
    assert np.abs(mine - theirs).max() < 1e-5
    assert np.allclose(mine, mine.T, atol=1e-6)


def test_correction_takes_what_row_and_column_explain():
    vector = torch.rand(9) + 0.1
    product = torch.outer(vector, vector)
    assert torch.allclose(correct_average_product(product), torch.zeros(9, 9), atol=1e-6)
    symmetric = torch.rand(3, 9, 9)
    symmetric = symmetric + symmetric.transpose(1, 2)
    assert correct_average_product(symmetric).sum(-1).abs().max() < 1e-5


def test_a_trained_head_finds_what_attention_shows(network):
    """Contacts planted where one head's attention is high are learnt from one chain."""
    maps = torch.cat(list(corrected_maps(network, SEQUENCE)))
    planted = maps[3].numpy()
    rows, columns = np.triu_indices(len(SEQUENCE), 6)
    level = np.quantile(planted[rows, columns], 0.9)
    distances = np.where(planted > level, 5.0, 20.0)
    head = fit_contact_head(network, [ChainDistances("a", SEQUENCE, distances)])
    assert int(np.abs(head.weights).argmax()) == 3
    found = measure_precision(head.predict(network, SEQUENCE), distances)["long"]
    assert found["L/5"] > 4 * found["contacts"]


def test_heads_are_kept_and_belong_to_a_network(network, tmp_path, write_language_checkpoint):
    head = ContactHead.of(network)
    head.save(tmp_path / "head.safetensors")
    again = ContactHead.load(tmp_path / "head.safetensors")
    assert np.array_equal(again.weights, head.weights) and again.bias == head.bias
    other = write_language_checkpoint(tmp_path / "larger", layers=3)
    larger = load_network(open_checkpoint(other), transformers.EsmForMaskedLM)
    with pytest.raises(CryoswayError, match="weighs 8 maps of attention, but the network has 12"):
        head.predict(larger, SEQUENCE)


def test_structures_without_contacts_teach_nothing(network):
    chain = ChainDistances("a", SEQUENCE, np.full((len(SEQUENCE),) * 2, 30.0))
    with pytest.raises(CryoswayError, match="no contacts to learn from"):
        fit_contact_head(network, [chain])


def test_precision_by_range():
    length = 50
    distances = np.full((length, length), 20.0)
    distances[2, 40] = distances[40, 2] = distances[1, 9] = distances[9, 1] = 4.0
    perfect = np.where(distances < 8, 0.9, 0.1)
    found = measure_precision(perfect, distances)
    assert found["long"]["L/5"] == pytest.approx(1 / 10)
    assert found["short"]["L"] == pytest.approx(1 / 50)
    assert found["medium"]["L"] == 0
    pairs = sum(1 for i in range(length) for j in range(i + 24, length))
    assert found["long"]["contacts"] == pytest.approx(1 / pairs)


def test_unresolved_residues_do_not_count():
    distances = np.full((40, 40), 20.0)
    distances[0, 30] = 4.0
    distances[1:5] = np.nan
    probabilities = np.zeros((40, 40))
    probabilities[0, 30], probabilities[2, 30] = 0.5, 0.9
    assert measure_precision(probabilities, distances)["long"]["L/5"] == pytest.approx(1 / 8)


def test_beta_carbons_lie_where_they_should():
    """Alanine's ideal geometry: N–CA 1.46, CA–C 1.52, CA–CB 1.53 Å, angles about 110°."""
    backbone = np.array([[[1.458, 0.0, 0.0], [0.0, 0.0, 0.0], [-0.548, 1.424, 0.0]]])
    beta = place_beta_carbons(backbone)[0]
    assert np.linalg.norm(beta) == pytest.approx(1.53, abs=0.03)
    for atom in (backbone[0, 0], backbone[0, 2]):
        cosine = beta @ atom / np.linalg.norm(beta) / np.linalg.norm(atom)
        assert np.degrees(np.arccos(cosine)) == pytest.approx(110, abs=2)


@pytest.fixture(scope="module")
def kinase_chain():
    from importlib.resources import files

    return read_chain(str(files("cryosway.simulate") / "data" / "1ake.cif.gz"))


def test_a_structure_gives_its_sequence_and_contacts(kinase_chain):
    assert len(kinase_chain.sequence) == 214
    assert kinase_chain.sequence.startswith("MRIILLGAPGAGKGTQAQFIM")
    near = np.diagonal(kinase_chain.distances, 1)
    assert 4.0 < np.median(near) < 7.0


def test_a_structure_is_spread_over_the_whole_sequence(kinase_chain):
    longer = "GSHM" + kinase_chain.sequence[:50] + "AAAA" + kinase_chain.sequence[50:]
    spread = kinase_chain.spread_over(longer)
    assert np.isnan(spread[0]).all()
    assert spread[4, 60] == pytest.approx(kinase_chain.distances[0, 52])
    with pytest.raises(CryoswayError, match="is not of this sequence"):
        kinase_chain.spread_over("GGGGGGGGGG")


def test_our_precision_agrees_with_a_plain_count():
    rng = np.random.default_rng(1)
    distances = rng.uniform(4, 20, (30, 30))
    probabilities = rng.random((30, 30))
    pairs = sorted(
        ((probabilities[i, j], distances[i, j] < 8) for i in range(30) for j in range(i + 12, 30)
         if j - i < 24), reverse=True,
    )  # fmt: skip
    expected = np.mean([hit for _, hit in pairs[:15]])
    found = measure_precision(probabilities, distances)
    assert found["medium"]["L/2"] == pytest.approx(expected)

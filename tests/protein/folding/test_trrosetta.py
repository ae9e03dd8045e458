"""trRosetta's engine: alignments, features, and a backbone from distances and orientations."""

import numpy as np
import pytest
import torch

from cryosway._errors import CryoswayError
from cryosway.protein import SequenceRecord, find_superposition
from cryosway.protein.folding import FoldingEngine, PairDistributions, TrRosetta, read_alignment
from cryosway.protein.folding._geometry_fold import _angle, _dihedral, fold_backbone, virtual_beta
from cryosway.protein.folding._trrosetta import judge_model
from cryosway.protein.folding._trrosetta_network import _Network, make_features


@pytest.fixture(scope="module")
def backbone(kinase):
    """Thirty residues of the kinase with a strand, a loop and a helix."""
    rows = [kinase[0].select_chains(["A"]).select_atoms([n]).coordinates for n in ("N", "CA", "C")]
    return torch.from_numpy(np.stack(rows, axis=1)[:30]).float()


def _one_hot(values, first, step, bins, near):
    place = ((values - first) / step).long().clamp(0, bins - 2) + 1
    found = torch.nn.functional.one_hot(place, bins).float()
    found[~near] = torch.nn.functional.one_hot(torch.tensor(0), bins).float()
    return found


@pytest.fixture(scope="module")
def pairs(backbone):
    """What a perfect network would say of it."""
    n, alpha, beta = backbone[:, 0], backbone[:, 1], virtual_beta(backbone)
    i, j = (grid.ravel() for grid in torch.meshgrid(*[torch.arange(30)] * 2, indexing="ij"))
    apart = torch.cdist(beta, beta)
    near = (apart < 20) & ~torch.eye(30, dtype=torch.bool)

    def square(values):
        return values.reshape(30, 30)

    omega = square(_dihedral(alpha[i], beta[i], beta[j], alpha[j]))
    theta = square(_dihedral(n[i], alpha[i], beta[i], beta[j]))
    phi = square(_angle(alpha[i], beta[i], beta[j]))
    return PairDistributions(
        _one_hot(apart, 2, 0.5, 37, near),
        _one_hot(omega.nan_to_num(), -180, 15, 25, near),
        _one_hot(theta.nan_to_num(), -180, 15, 25, near),
        _one_hot(phi.nan_to_num(), 0, 15, 13, near),
    )


def test_a_backbone_of_the_right_hand_follows_from_its_distances(pairs, backbone):
    found = fold_backbone(pairs, steps=150).atoms
    true = backbone[:, 1].double().numpy()
    assert find_superposition(found[:, 1], true).rmsd < 1.5
    mirrored = found[:, 1] * [1, 1, -1]
    assert find_superposition(mirrored, true).rmsd > 3
    steps = np.linalg.norm(np.diff(found[:, 1], axis=0), axis=1)
    assert abs(np.median(steps) - 3.8) < 0.1


def test_the_true_backbone_is_judged_good_and_a_wrong_one_bad(pairs, backbone):
    right = judge_model(pairs, backbone.double().numpy())
    moved = backbone.double().numpy()
    moved[15:] += 12.0
    wrong = judge_model(pairs, moved)
    assert right[0].mean() > 80
    assert wrong[0].mean() < right[0].mean() - 5
    assert right[1].max() < 5
    assert wrong[1][:10, 20:].mean() > 2 * right[1][:10, 20:].mean()


def test_contacts_sum_the_bins_below_eight_angstrom(pairs, backbone):
    beta = virtual_beta(backbone)
    near = torch.cdist(beta, beta) < 8
    near.fill_diagonal_(False)
    assert torch.equal(pairs.contacts() > 0.5, near)


def test_features_of_an_alignment_and_of_a_single_sequence():
    rows = ["MKTAYIAKQR", "MKTAYIAKQR", "MRSAFLGEQK", "MKTA--AKQR"]
    found = make_features(rows)
    assert found.values.shape == (526, 10, 10)
    assert found.depth == pytest.approx(3.0)  # two alike, two apart
    alone = make_features(rows[:1])
    assert not alone.values[84:].any()
    assert alone.depth == 1


def test_alignments_lose_their_insertions(tmp_path):
    (tmp_path / "a.a3m").write_text(">q\nMKV\nLT\n>x\nMaaK-LT\n")
    assert read_alignment(tmp_path / "a.a3m") == ["MKVLT", "MK-LT"]
    (tmp_path / "b.a3m").write_text(">q\nMKV\n>x\nMK\n")
    with pytest.raises(CryoswayError, match="rows of 2 lengths"):
        read_alignment(tmp_path / "b.a3m")
    with pytest.raises(CryoswayError, match="cannot be read as an alignment"):
        read_alignment(tmp_path / "absent.a3m")


def test_the_engine_opens_weights_by_their_own_names(tmp_path):
    with pytest.raises(CryoswayError, match="tr-rosetta-pytorch"):
        TrRosetta(tmp_path)
    torch.save(_Network().state_dict(), tmp_path / "model.xaa.pt")
    (tmp_path / "x.a3m").write_text(">x\nMKTAYI\n>y\nMKSAYI\n")
    engine = TrRosetta(tmp_path, tmp_path, steps=5)
    assert isinstance(engine, FoldingEngine)
    (found,) = engine.fold([SequenceRecord("x", "", "MKTAYI")], None)
    assert found.sequence == "MKTAYI"
    assert found.pae.shape == (6, 6)
    with pytest.raises(CryoswayError, match="is not the sequence of x"):
        engine.fold([SequenceRecord("x", "", "MMMMMM")], None)
    with pytest.raises(CryoswayError, match="is a complex"):
        engine.fold([SequenceRecord("x", "", "MK:MK")], None)
    torch.save({"first_block.0.weight": torch.zeros(1)}, tmp_path / "model.xab.pt")
    with pytest.raises(CryoswayError, match="does not hold the weights"):
        TrRosetta(tmp_path)

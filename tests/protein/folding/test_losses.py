"""FAPE and lDDT: what they do not see, what they do, and their gradients."""

import numpy as np
import pytest
import torch

from cryosway.optics import random_rotations
from cryosway.protein import measure_lddt
from cryosway.protein.folding import (
    backbone_frames,
    frame_aligned_point_error,
    lddt_by_residue,
    lddt_loss,
)


@pytest.fixture(scope="module")
def backbone(kinase):
    rows = [kinase[0].select_chains(["A"]).select_atoms([n]).coordinates for n in ("N", "CA", "C")]
    return torch.from_numpy(np.stack(rows, axis=1))[:60]


def fape(x, true, **options):
    mine, truth = backbone_frames(x), backbone_frames(true)
    return frame_aligned_point_error(mine, mine[1], truth, truth[1], **options)


def test_frames_are_rotations(backbone):
    turn, origin = backbone_frames(backbone)
    eye = torch.eye(3, dtype=torch.float64).expand(60, 3, 3)
    torch.testing.assert_close(turn.mT @ turn, eye)
    assert torch.allclose(torch.linalg.det(turn), torch.ones(60, dtype=torch.float64))
    torch.testing.assert_close(origin, backbone[:, 1])


def test_fape_does_not_see_where_a_molecule_lies(backbone):
    turn = torch.from_numpy(random_rotations(1, np.random.default_rng(0))[0])
    assert float(fape(backbone @ turn.T + 7.0, backbone)) < 1e-4


def test_fape_sees_the_hand_that_lddt_does_not(backbone):
    mirrored = backbone * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    assert float(fape(mirrored, backbone)) > 0.3
    assert float(lddt_by_residue(mirrored[:, 1], backbone[:, 1]).min()) == 1


def test_fape_is_clamped(backbone):
    far = backbone.clone()
    far[30:] += 500.0
    assert float(fape(far, backbone)) < 1
    assert float(fape(far, backbone, clamp=None)) > 10


def test_gradients_are_those_of_differences(backbone):
    x = (backbone[:4] + 0.3 * torch.randn(4, 3, 3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda at: fape(at, backbone[:4]), (x,))


def test_lddt_is_that_of_the_comparison(backbone):
    moved = backbone + torch.randn(backbone.shape, generator=torch.Generator().manual_seed(1))
    true, found = backbone[:, 1].numpy(), moved[:, 1].numpy()
    wanted = measure_lddt(true, found[None], np.arange(60)).atoms[0]
    mine = lddt_by_residue(moved[:, 1], backbone[:, 1])
    np.testing.assert_allclose(mine.numpy(), wanted, atol=1e-6)


def test_the_lddt_loss_is_least_for_the_right_bin(backbone):
    points = backbone[None, :, 1]
    right = torch.zeros(1, 60, 50, dtype=torch.float64)
    right[..., 49] = 20.0
    wrong = right.roll(-25, dims=-1)
    assert float(lddt_loss(right, points, points)) < 1e-3
    assert float(lddt_loss(wrong, points, points)) > 10

"""Latents and pose corrections of single particles."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from cryosway.inference import LatentTable, PoseTable, rotate_by
from cryosway.optics import random_rotations, shift_images
from cryosway.volumes import Slices


def test_rotations_are_those_of_scipy():
    omega = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = Rotation.from_rotvec(omega.numpy()).as_matrix()
    np.testing.assert_allclose(rotate_by(omega).numpy(), expected, atol=1e-12)


def test_rotation_has_a_gradient_where_there_is_none_yet():
    omega = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    rotate_by(omega)[0, 1, 0].backward()  # sin of the in-plane angle
    np.testing.assert_allclose(omega.grad.numpy(), [[0, 0, 1]], atol=1e-12)


def test_latents_start_where_they_are_told_and_only_seen_rows_move():
    start = torch.randn(5, 2, 3)
    table = LatentTable(start)
    mean, log_variance = table(torch.tensor([3, 1]))
    torch.testing.assert_close(mean, start[[3, 1], 0])
    torch.testing.assert_close(log_variance, start[[3, 1], 1])
    mean.sum().backward()
    gradient = table.values.grad.coalesce()
    assert gradient.indices()[0].tolist() == [1, 3]


def test_moving_views_is_shifting_content():
    """The phase of `move` is that of `shift_images`: by (x, y) pixels."""
    box = 16
    table = PoseTable(1, 16)
    table.moves.data[0] = torch.tensor([1.5, -2.0])
    transform = torch.randn(1, box, box // 2 + 1, dtype=torch.complex64)
    expected = shift_images(transform, table.moves.detach())
    points = torch.tensor([[3.0, 2.0], [0.0, -4.0], [5.0, 0.0]])
    at = (0, points[:, 1].long(), points[:, 0].long())
    slices = Slices(transform[at][None], torch.ones(1, 3), torch.eye(3)[None], points)
    views = torch.view_as_real(transform[at][None])
    found = table.move(torch.tensor([0]), slices, views).detach()
    torch.testing.assert_close(found, torch.view_as_real(expected[at][None]), rtol=1e-5, atol=1e-5)


def test_corrected_poses_explain_what_was_learnt():
    """Content moved by m from where the stored shift s puts it needs s − m; turns multiply."""
    table = PoseTable(2, 32)
    table.moves.data = torch.tensor([[1.0, -2.0], [0.0, 0.5]])
    table.turns.data = torch.tensor([[0.0, 0.0, 0.8], [1.6, 0.0, 0.0]])  # × 4 / 32 radians
    rotations = random_rotations(2, np.random.default_rng(0))
    shifts = np.array([[4.0, 5.0], [6.0, 7.0]])
    turned, moved = table.corrected(rotations, shifts)
    np.testing.assert_allclose(moved, [[3.0, 7.0], [6.0, 6.5]])
    turn = Rotation.from_rotvec([0, 0, 0.1]).as_matrix()
    np.testing.assert_allclose(turned[0], turn @ rotations[0], atol=1e-7)

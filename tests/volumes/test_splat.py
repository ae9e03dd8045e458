"""Spreading points and an FFT give the sum over points that it stands for."""

import math

import pytest
import torch

from cryosway.optics import make_disc
from cryosway.volumes._splat import make_band, transform_plain, transform_points

TOLERANCE = 1e-4


def sum_directly(xy, weights, band_size, points):
    phases = torch.exp(-2j * math.pi / band_size * torch.einsum("naj,pa->npj", xy, points))
    return torch.view_as_real(torch.einsum("npj,ncj->ncp", phases, weights + 0j))


def make_points(n, count, classes, size, dtype=torch.float64, seed=0):
    draw = torch.Generator().manual_seed(seed)
    xy = (torch.rand(n, 2, count, generator=draw, dtype=torch.float64) - 0.5) * size
    weights = torch.randn(n, classes, count, generator=draw, dtype=torch.float64)
    return xy.to(dtype), weights.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("box", [16, 31, 64, 100])
def test_a_point_anywhere_is_right_at_every_frequency_up_to_nyquist(box, dtype):
    disc = make_disc(box, box // 2 - 1)
    band = make_band(disc.points)
    places = torch.linspace(0, 1, 41, dtype=torch.float64)
    # Through a cell of the grid, over the middle and across the edge of the field.
    xy = torch.stack([places - 0.5, places * 1.7 + band.size / 2 - 0.9], dim=1)[..., None]
    got = transform_points(xy.to(dtype), torch.ones(1, 1, 1, dtype=dtype), band)
    want = sum_directly(xy, torch.ones(1, 1, 1).double(), band.size, disc.points.double())
    error = torch.view_as_complex(got.double() - want).abs()
    assert error.max() < TOLERANCE
    assert error.square().mean().sqrt() < TOLERANCE / 5


def test_many_points_and_transforms_at_once():
    disc = make_disc(32, 12)
    band = make_band(disc.points)
    xy, weights = make_points(3, 70, 2, band.size)
    want = sum_directly(xy, weights, band.size, disc.points.double())
    peak = weights.abs().sum(-1).max()
    got = transform_points(xy, weights, band)
    assert (got - want).abs().max() < TOLERANCE * peak
    shared = transform_points(xy, weights[:1], band)
    torch.testing.assert_close(shared[0], got[0])
    assert (shared[1] - got[1]).abs().max() > 0.1


def test_the_grid_is_that_of_the_band_not_of_the_box():
    assert make_band(make_disc(256, 15).points).size <= 64
    assert make_band(make_disc(32, 15).points).size >= 60


def test_frequencies_of_the_other_half_plane_are_conjugates():
    points = torch.tensor([[3, -2], [-3, 2], [0, 0], [-1, -5], [0, -4]])
    band = make_band(points)
    xy, weights = make_points(2, 20, 1, band.size)
    got = transform_points(xy, weights, band)
    torch.testing.assert_close(got[:, :, 1, 0], got[:, :, 0, 0])
    torch.testing.assert_close(got[:, :, 1, 1], -got[:, :, 0, 1])
    want = sum_directly(xy, weights, band.size, points.double())
    assert (got - want).abs().max() < TOLERANCE * 20


def test_positions_are_periodic_and_one_that_is_no_number_breaks_nothing_else():
    disc = make_disc(16, 7)
    band = make_band(disc.points)
    xy, weights = make_points(2, 9, 1, band.size)
    far = transform_points(xy + 3 * band.size, weights, band)
    torch.testing.assert_close(far, transform_points(xy, weights, band))
    xy[1, 0, 4] = math.nan
    broken = transform_points(xy, weights, band)
    assert broken[1].isnan().any()
    torch.testing.assert_close(broken[0], far[0])


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("points", [3, 64, 150])
def test_kernels_and_their_plain_twin_agree(points, shared):
    disc = make_disc(24, 10)
    band = make_band(disc.points)
    xy, weights = make_points(2, points, 3, band.size)
    weights = weights[:1] if shared else weights
    draw = torch.Generator().manual_seed(5)
    pull = torch.randn(2, 3, len(disc.points), 2, generator=draw, dtype=torch.float64)
    found = []
    for transform in (transform_points, transform_plain):
        leaves = [xy.clone().requires_grad_(), weights.clone().requires_grad_()]
        out = transform(*leaves, band)
        (out * pull).sum().backward()
        found.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for fast, plain in zip(*found, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-9, atol=1e-9)


def test_single_precision_gradients_are_those_of_double_precision():
    disc = make_disc(48, 23)
    band = make_band(disc.points)
    xy, weights = make_points(1, 200, 1, band.size)
    pull = torch.randn(len(disc.points), 2, generator=torch.Generator().manual_seed(5)).double()
    found = []
    for dtype in (torch.float32, torch.float64):
        leaves = [t.to(dtype).clone().requires_grad_() for t in (xy, weights)]
        (transform_points(*leaves, band) * pull.to(dtype)).sum().backward()
        found.append([leaf.grad.double() for leaf in leaves])
    for single, double in zip(*found, strict=True):
        assert (single - double).abs().max() < 2e-5 * double.abs().max()


def test_gradients_are_exact():
    points = torch.tensor([[0, 0], [1, -2], [3, 1], [0, 3], [2, 2], [-1, 2]])
    band = make_band(points)
    xy, weights = make_points(2, 4, 2, band.size, seed=1)
    leaves = (xy.requires_grad_(), weights.requires_grad_())
    assert torch.autograd.gradcheck(
        lambda xy, weights: transform_points(xy, weights, band), leaves, eps=1e-6, atol=1e-7
    )


def test_gradients_are_those_of_the_sum():
    """Also the force on a point is that of the exact transform, not only of the approximation."""
    disc = make_disc(32, 15)
    band = make_band(disc.points)
    xy, weights = make_points(1, 30, 1, band.size)
    pull = torch.randn(len(disc.points), 2, generator=torch.Generator().manual_seed(5)).double()
    forces = []
    for transform in (
        lambda xy: transform_points(xy, weights, band),
        lambda xy: sum_directly(xy, weights, band.size, disc.points.double()),
    ):
        leaf = xy.clone().requires_grad_()
        (transform(leaf) * pull).sum().backward()
        forces.append(leaf.grad)
    assert (forces[0] - forces[1]).abs().max() < 2e-4 * forces[1].abs().max()


def test_frequencies_between_pixels_are_refused():
    with pytest.raises(ValueError, match="whole numbers"):
        make_band(torch.tensor([[0.5, 1.0]]))

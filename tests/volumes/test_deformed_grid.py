"""Voxels that move: views, their adjoint, and which way motion goes."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cryosway.optics import fft3_half, make_disc, random_rotations
from cryosway.volumes import DeformedGrid, Slices, voxel_points

BOX, PIXEL, COUNT, FRAMES = 12, 2.0, 4, 5


def make_inside(box=BOX, radius=4.2):
    x = torch.arange(box) - box // 2
    return x[:, None, None] ** 2 + x[None, :, None] ** 2 + x**2 < radius**2


def make_grid(dtype=torch.float64, frames=FRAMES, seed=0):
    inside = make_inside()
    rng = np.random.default_rng(seed)
    index = rng.integers(0, frames, (int(inside.sum()), 3)).astype(np.int32)
    weights = rng.dirichlet(np.ones(3), len(index))
    return DeformedGrid(inside, PIXEL, index, weights, dtype=dtype)


def make_slices(rotations=None, count=COUNT, box=BOX):
    disc = make_disc(box, box // 2 - 1)
    rotations = (
        random_rotations(count, np.random.default_rng(1)) if rotations is None else rotations
    )
    none = torch.zeros(len(rotations), len(disc.points))
    return Slices(
        none.to(torch.complex64),
        none,
        torch.from_numpy(np.asarray(rotations)),
        disc.points.double(),
    )


def make_frames(turns=0.3, shifts=1.5, count=COUNT, frames=FRAMES, seed=2):
    """Random small rotations and shifts, Å, image by image and frame by frame."""
    rng = np.random.default_rng(seed)
    rotated = Rotation.from_rotvec(turns * rng.normal(size=(count * frames, 3))).as_matrix()
    shift = shifts * rng.normal(size=(count * frames, 3, 1))
    both = np.concatenate([rotated, shift], axis=-1)
    return torch.from_numpy(both).view(count, frames, 3, 4)


def make_present(count=COUNT, frames=FRAMES, seed=5):
    """What each image has of what is near each frame, from nothing to all."""
    return torch.from_numpy(np.random.default_rng(seed).uniform(size=(count, frames)))


def draw_values(grid, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(grid), generator=generator, dtype=torch.float64)


def sum_directly(grid, values, frames, slices, present):
    """Σ_j p_j v_j exp(−2πi k·R (x_j + u_j) / (D p)), term by term."""
    affine = frames[:, grid.index.long()]
    at = torch.einsum("nvkac,vc->nvka", affine[..., :3], grid.points) + affine[..., 3]
    at = torch.einsum("nvka,vk->nva", at, grid.weights)
    seen = torch.einsum("nab,nvb->nva", slices.rotations[:, :2], at) / (BOX * PIXEL)
    phase = torch.exp(-2j * torch.pi * torch.einsum("nva,pa->nvp", seen, slices.points))
    amounts = values * torch.einsum("nvk,vk->nv", present[:, grid.index.long()], grid.weights)
    return torch.view_as_real(torch.einsum("nv,nvp->np", amounts.to(phase), phase))


def relative(a, b):
    return float((a - b).norm() / b.norm())


def test_views_are_sums_over_moved_voxels():
    grid, slices, frames, whole = (
        make_grid(),
        make_slices(),
        make_frames(),
        torch.ones(COUNT, FRAMES),
    )
    values = draw_values(grid)
    exact = sum_directly(grid, values, frames, slices, whole.double())
    assert relative(grid.views(values, frames, slices), exact) < 1e-4
    # The wrong way round they are others.
    back = frames.clone()
    back[..., 3] *= -1
    assert relative(grid.views(values, back, slices), exact) > 0.3


def test_what_a_particle_lacks_is_not_seen():
    """Voxels count by the share that their frames have; those without any not at all."""
    grid, slices, frames, present = make_grid(), make_slices(), make_frames(), make_present()
    values = draw_values(grid)
    exact = sum_directly(grid, values, frames, slices, present)
    assert relative(grid.views(values, frames, slices, present), exact) < 1e-4
    views = grid.views(values, frames, slices)
    assert float(grid.adjoint(views, frames, slices, 0 * present).abs().max()) == 0


@pytest.mark.parametrize("present", [None, make_present()])
def test_adjoint_is_exact(present):
    grid, slices, frames = make_grid(), make_slices(), make_frames()
    values = draw_values(grid)
    made = grid.views(values, frames, slices, present)
    other = torch.randn(made.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    one, two = (made * other).sum(), values @ grid.adjoint(other, frames, slices, present)
    assert abs(float(one - two)) < 1e-10 * float(made.norm() * other.norm())


def test_plain_twin_agrees():
    grid, slices, frames, present = make_grid(), make_slices(), make_frames(), make_present()
    values = draw_values(grid)
    made = grid.views(values, frames, slices, present)
    band = grid._find_band(slices.points)
    seen = grid._project(frames, slices.rotations, band, present)
    assert relative(grid._views_plain(values, seen, band), made) < 1e-10
    gathered = grid.adjoint(made, frames, slices, present)
    assert relative(grid._adjoint_plain(made, seen, band), gathered) < 1e-10


def test_single_precision_is_enough():
    slices, frames = make_slices(), make_frames()
    exact, quick = make_grid(), make_grid(torch.float32)
    values = draw_values(exact)
    made = exact.views(values, frames, slices)
    assert relative(quick.views(values.float(), frames, slices).double(), made) < 1e-5
    gathered = exact.adjoint(made, frames, slices)
    assert relative(quick.adjoint(made.float(), frames, slices).double(), gathered) < 1e-5


def at_rest(count=COUNT):
    still = torch.cat([torch.eye(3, dtype=torch.float64), torch.zeros(3, 1).double()], dim=1)
    return still.expand(count, FRAMES, 3, 4)


def test_at_rest_views_are_slices_of_the_transform():
    grid, slices = make_grid(), make_slices(np.eye(3)[None])
    values = draw_values(grid)
    plane = fft3_half(grid.fill(values))[0]
    exact = torch.view_as_real(make_disc(BOX, BOX // 2 - 1).pack(plane))
    assert relative(grid.views(values, at_rest(1), slices)[0], exact) < 1e-4


def test_shift_moves_the_density_along():
    """Voxels shifted by whole voxels show the shifted density; the other way, another."""
    grid, slices = make_grid(), make_slices()
    values = draw_values(grid)
    frames = at_rest().clone()
    frames[..., 3] = torch.tensor([PIXEL, -2 * PIXEL, 0.0], dtype=torch.float64)
    moved = torch.roll(grid.fill(values), (1, -2), (2, 1))
    index = np.zeros((BOX**3, 1), np.int32)
    whole = DeformedGrid(
        torch.ones_like(moved, dtype=torch.bool), PIXEL, index, np.ones(index.shape),
        dtype=torch.float64,
    )  # fmt: skip
    exact = whole.views(whole.take(moved), at_rest(), slices)
    assert relative(grid.views(values, frames, slices), exact) < 1e-4
    frames[..., 3] *= -1
    assert relative(grid.views(values, frames, slices), exact) > 0.3


def test_rotation_turns_the_density():
    """A quarter turn about z takes x to y: as the array turned from its x to its y axis."""
    grid, slices = make_grid(), make_slices()
    values = draw_values(grid)
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=torch.float64)
    frames = at_rest().clone()
    frames[..., :3] = turn
    # The same as looking at the density at rest from another side.
    turned = Slices(slices.values, slices.filters, slices.rotations @ turn, slices.points)
    exact = grid.views(values, at_rest(), turned)
    assert relative(grid.views(values, frames, slices), exact) < 1e-10


def test_places_of_voxels_are_about_the_centre():
    inside = torch.zeros(8, 8, 8, dtype=torch.bool)
    inside[4, 4, 4] = inside[4, 5, 6] = True
    assert voxel_points(inside, 1.5).tolist() == [[0, 0, 0], [3.0, 1.5, 0]]


def test_fill_and_take_are_adjoint():
    grid = make_grid()
    values = draw_values(grid)
    volume = torch.randn(BOX, BOX, BOX, dtype=torch.float64)
    assert torch.isclose((grid.fill(values) * volume).sum(), values @ grid.take(volume))
    assert torch.equal(grid.take(grid.fill(values)), values)


def test_weights_must_fit_the_voxels():
    with pytest.raises(ValueError, match="as many rows of weights"):
        DeformedGrid(make_inside(), PIXEL, np.zeros((3, 1), np.int32), np.ones((3, 1)))

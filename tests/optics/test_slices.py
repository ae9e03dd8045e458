"""Central slices of Fourier volumes, their adjoint, and the density they stand for."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from cryosway.optics import (
    OVERSAMPLING,
    extract_slices,
    fft2_half,
    fft3_half,
    grid_to_volume,
    gridding_correction,
    ifft2_half,
    ifft3_half,
    insert_slices,
    make_disc,
    random_rotations,
    symmetrize_grid,
    volume_to_grid,
)

seeds = st.integers(0, 2**32 - 1)


def make_octahedral_rotations():
    """The 24 rotations that take the axes to axes."""
    signed = [
        np.diag(signs)[list(order)]
        for order in itertools.permutations(range(3))
        for signs in itertools.product((1.0, -1.0), repeat=3)
    ]
    return np.array([matrix for matrix in signed if np.linalg.det(matrix) > 0])


def draw_rotations(n, seed, dtype=torch.float64, device="cpu"):
    matrices = random_rotations(n, np.random.default_rng(seed))
    return torch.tensor(matrices, dtype=dtype, device=device)


def draw_complex(*shape, seed=0, device="cpu"):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(size=shape) + 1j * rng.normal(size=shape), device=device)


def inner(a, b):
    return (a.conj() * b).real.sum().item()


def project(volume, rotations, radius=None):
    """Projections (N, D, D), low-passed at the disc's radius."""
    box = volume.shape[-1]
    disc = make_disc(box, radius or box // 2 - 1)
    slices = extract_slices(volume_to_grid(volume), rotations, disc.points)
    return ifft2_half(disc.unpack(slices))


# ------------------------------------------------------------------ grid and volume


def test_grid_of_a_volume_gives_back_the_volume(device):
    volume = torch.randn(2, 8, 8, 8, dtype=torch.float64, device=device)
    grid = volume_to_grid(volume)
    assert grid.shape == (2, 16, 16, 9)
    assert_allclose(grid_to_volume(grid).cpu(), volume.cpu(), atol=1e-13)


def test_grid_is_the_transform_at_half_steps_of_the_corrected_volume():
    """Every other sample of the grid is the transform on the unpadded box."""
    volume = torch.randn(8, 8, 8, dtype=torch.float64)
    corrected = volume / gridding_correction(8, torch.float64, torch.device("cpu"))
    assert_allclose(volume_to_grid(volume)[::2, ::2, ::2], fft3_half(corrected), atol=1e-12)


def test_gridding_correction_is_the_transform_of_trilinear_interpolation():
    """A triangle of one grid step transforms to sinc²(x / M); here summed numerically."""
    box = 8
    correction = gridding_correction(box, torch.float64, torch.device("cpu"))
    u = (np.arange(20_000) + 0.5) / 10_000 - 1
    triangle = 1 - abs(u)
    x = np.arange(box) - box // 2
    line = (triangle * np.cos(2 * np.pi * np.outer(x, u) / (OVERSAMPLING * box))).mean(1) * 2
    assert_allclose(correction, np.einsum("z,y,x->zyx", line, line, line), atol=1e-7)


# ------------------------------------------------------------------ slices


def test_slice_of_the_identity_is_the_central_plane():
    grid = volume_to_grid(torch.randn(8, 8, 8, dtype=torch.float64))
    disc = make_disc(8, 3)
    plane = disc.pack(grid[0, ::2, ::2])
    assert_allclose(
        extract_slices(grid, torch.eye(3, dtype=torch.float64)[None], disc.points)[0], plane
    )


@given(seeds)
@settings(max_examples=30)
def test_slice_interpolates_linearly_the_full_hermitian_volume(seed):
    """Against SciPy's linear interpolation of the whole volume, at 2 Rᵀ[kx, ky, 0]."""
    from scipy.ndimage import map_coordinates

    rng = np.random.default_rng(seed)
    volume = torch.tensor(rng.normal(size=(6, 6, 6)))
    rotation = random_rotations(1, rng)[0]
    corrected = volume / gridding_correction(6, torch.float64, torch.device("cpu"))
    padded = torch.nn.functional.pad(corrected, (3, 3) * 3).numpy()
    full = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(padded)))
    points = make_disc(6, 2).points
    k = np.concatenate([points.numpy(), np.zeros((len(points), 1))], axis=1)
    x, y, z = 2 * (rotation.T @ k.T) + 6
    expected = map_coordinates(full, [z, y, x], order=1)
    found = extract_slices(volume_to_grid(volume), torch.tensor(rotation[None]), points)[0]
    assert_allclose(found, expected, atol=1e-10)


def test_slices_are_those_of_a_real_image():
    """The mates −k give the conjugates, on both sides of the plane kx = 0 of the volume."""
    grid = volume_to_grid(torch.randn(8, 8, 8, dtype=torch.float64))
    rotations = torch.cat([draw_rotations(4, 1), torch.tensor(make_octahedral_rotations())])
    points = make_disc(8, 3).points
    slices = extract_slices(grid, rotations, points)
    assert_allclose(
        extract_slices(grid, rotations, -points), slices.conj().resolve_conj(), atol=1e-12
    )


@pytest.mark.parametrize("rotation", make_octahedral_rotations())
def test_off_centre_point_lands_where_the_rotation_takes_it(rotation):
    """x_image = R x_reference, both in (x, y[, z]) from the origin D/2."""
    place = np.array([3, 1, -2])
    volume = torch.zeros(16, 16, 16, dtype=torch.float64)
    volume[tuple(place[::-1] + 8)] = 1
    image = project(volume, torch.tensor(rotation[None]))[0]
    y, x = divmod(int(image.argmax()), 16)
    assert (x - 8, y - 8) == tuple((rotation @ place)[:2].astype(int))


def test_single_precision_follows_double(device):
    volume = torch.randn(16, 16, 16, dtype=torch.float64)
    points = make_disc(16, 7).points
    rotations = draw_rotations(5, 2)
    double = extract_slices(volume_to_grid(volume), rotations, points)
    single = extract_slices(
        volume_to_grid(volume.float().to(device)), rotations.float().to(device), points.to(device)
    )
    assert single.dtype == torch.complex64
    assert single.device.type == device.type
    assert_allclose(single.cpu(), double, atol=1e-4 * double.abs().max())


# ------------------------------------------------------------------ density


def make_atoms(n, radius, seed):
    """Positions (n, 3), pixels, inside a sphere, and weights of either sign."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(n, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return radius * rng.random((n, 1)) ** (1 / 3) * directions, rng.uniform(0.2, 1, n)


def sum_gaussians(positions, weights, box, width):
    """Σ weight · Gaussian of unit integral on the grid; positions (n, 2 or 3) in x, y[, z]."""
    axis = np.arange(box) - box // 2
    profiles = np.exp(-0.5 * (axis - positions.T[::-1, :, None]) ** 2 / width**2)
    profiles /= np.sqrt(2 * np.pi) * width
    letters = "zyx"[-len(profiles) :]
    terms = ",".join(f"n{letter}" for letter in letters)
    return torch.tensor(np.einsum(f"n,{terms}->{letters}", weights, *profiles))


@pytest.mark.parametrize(
    ("radius", "tolerance"), [(1 / 12, 0.005), (1 / 6, 0.01), (1 / 4, 0.025), (3 / 8, 0.07)]
)
def test_projection_is_the_sum_over_projected_atoms(radius, tolerance, device):
    """Linear interpolation leaves ghosts that grow with the distance from the centre (in boxes)."""
    box, width = 48, 1.5
    positions, weights = make_atoms(100, radius * box, seed=4)
    rotations = random_rotations(6, np.random.default_rng(4))
    volume = sum_gaussians(positions, weights, box, width).to(device)
    images = project(volume, torch.tensor(rotations, device=device)).cpu()
    for image, rotation in zip(images, rotations, strict=True):
        expected = sum_gaussians((positions @ rotation.T)[:, :2], weights, box, width)
        assert (image - expected).norm() < tolerance * expected.norm()


def test_matrix_may_carry_a_change_of_scale():
    """With R / 2 the slice reads half the frequency: x_image = R x / 2, an image half as large."""
    box, width = 48, 3.0
    positions, weights = make_atoms(20, box / 8, seed=0)
    rotation = random_rotations(1, np.random.default_rng(0))
    image = project(sum_gaussians(positions, weights, box, width), torch.tensor(rotation / 2))[0]
    expected = sum_gaussians((positions @ rotation[0].T)[:, :2] / 2, weights, box, width / 2)
    assert (image - expected).norm() < 0.02 * expected.norm()


# ------------------------------------------------------------------ adjoint


def check_adjoint(rotations, seed, device="cpu"):
    points = make_disc(8, 3).points.to(device)
    rotations = rotations.to(device)
    grid = draw_complex(16, 16, 9, seed=seed, device=device)
    values = draw_complex(len(rotations), len(points), seed=seed + 1, device=device)
    forward = inner(extract_slices(grid, rotations, points), values)
    backward = inner(grid, insert_slices(values, rotations, points, 16))
    scale = (grid.norm() * values.norm()).item()
    assert abs(forward - backward) < 1e-10 * scale
    assert abs(forward) > 1e-6 * scale


@given(seeds, st.integers(1, 4))
@settings(max_examples=40)
def test_insertion_is_the_adjoint_of_extraction(seed, n):
    check_adjoint(draw_rotations(n, seed), seed % 1000)


def test_insertion_is_the_adjoint_where_points_fall_on_grid_points(device):
    check_adjoint(torch.tensor(make_octahedral_rotations()), 5, device)


def insert_into_full_volume(values, rotations, points, size):
    """Spread every point and its mate −k over the eight corners of a whole (M, M, M) volume."""
    full = np.zeros((size,) * 3, complex)
    for n, p in np.ndindex(*values.shape):
        k = 2 * rotations[n].T @ [*points[p], 0]
        for sign, value in ((1, values[n, p]), (-1, values[n, p].conj())):
            at = sign * k
            for corner in itertools.product((0, 1), repeat=3):
                base = np.floor(at)
                weight = np.where(corner, at - base, 1 - (at - base)).prod()
                x, y, z = (base + corner).astype(int) % size
                full[z, y, x] += weight * value
    return full


@pytest.mark.parametrize("real", [False, True])
def test_symmetrised_insertion_is_that_of_all_points_and_their_mates(real):
    points = make_disc(8, 3).points
    rotations = torch.cat([draw_rotations(2, 3), torch.tensor(make_octahedral_rotations()[:3])])
    values = draw_complex(5, len(points), seed=2)
    values = values.real if real else values
    values[:, 0] = values[:, 0].real  # the transform of a real image is real at k = 0
    grid = symmetrize_grid(insert_slices(values, rotations, points, 16))
    full = insert_into_full_volume(values.numpy(), rotations.numpy(), points.numpy(), 16)
    assert_allclose(grid, full[:, :, :9], atol=1e-12)


def test_symmetrised_grid_is_that_of_a_real_volume():
    points = make_disc(8, 3).points
    values = draw_complex(6, len(points), seed=4)
    grid = symmetrize_grid(insert_slices(values, draw_rotations(6, 5), points, 16))
    assert_allclose(fft3_half(ifft3_half(grid)), grid, atol=1e-12)


def test_symmetrising_keeps_channels_apart():
    grids = draw_complex(4, 4, 3, 2, seed=6)
    alone = [symmetrize_grid(grids[..., c].clone()) for c in range(2)]
    together = symmetrize_grid(grids.clone())
    assert_allclose(together, torch.stack(alone, dim=-1), atol=0)


def test_dividing_by_the_weights_recovers_the_density():
    """Backprojection in three lines: enough noiseless views give the volume back."""
    box = 24
    positions, weights = make_atoms(15, 3.0, seed=1)
    volume = sum_gaussians(positions, weights, box, 1.2)
    disc = make_disc(box, 11)
    rotations = draw_rotations(1500, 8)
    slices = extract_slices(volume_to_grid(volume), rotations, disc.points)
    numerator = symmetrize_grid(insert_slices(slices, rotations, disc.points, 2 * box))
    counts = symmetrize_grid(
        insert_slices(torch.ones_like(slices.real), rotations, disc.points, 2 * box)
    )
    found = grid_to_volume(numerator / counts.clamp(min=1e-3))
    assert (found - volume).norm() < 0.03 * volume.norm()


# ------------------------------------------------------------------ gradients


def test_gradient_of_extraction_with_respect_to_grid_and_rotations():
    grid = draw_complex(8, 8, 5, seed=1).requires_grad_()
    rotations = draw_rotations(2, 11).requires_grad_()
    points = make_disc(4, 1).points
    assert torch.autograd.gradcheck(lambda g, r: extract_slices(g, r, points), (grid, rotations))


def test_gradient_of_insertion_with_respect_to_values_and_rotations():
    points = make_disc(4, 1).points
    values = draw_complex(2, len(points), seed=1).requires_grad_()
    rotations = draw_rotations(2, 11).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v, r: insert_slices(v, r, points, 8), (values, rotations)
    )


def test_gradient_of_a_projection_turns_it_back():
    """Descending the misfit of a projection finds the pose that made it."""
    positions, weights = make_atoms(20, 4.0, seed=2)
    volume = sum_gaussians(positions, weights, 24, 2.0)
    target = project(volume, torch.eye(3, dtype=torch.float64)[None])
    angle = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([angle], lr=0.5, max_iter=30)

    def misfit():
        optimiser.zero_grad()
        c, s, zero, one = angle.cos(), angle.sin(), angle * 0, angle * 0 + 1
        rotation = torch.stack([c, zero, s, zero, one, zero, -s, zero, c]).reshape(1, 3, 3)
        loss = (project(volume, rotation) - target).square().sum() / target.square().sum()
        loss.backward()
        return loss

    optimiser.step(misfit)
    assert abs(angle.item()) < 5e-3


def test_transform_of_a_projection_is_the_slice():
    """The projection–slice theorem with the sum over z of the volume itself."""
    positions, weights = make_atoms(20, 2.0, seed=3)
    volume = sum_gaussians(positions, weights, 24, 1.2)
    disc = make_disc(24, 11)
    eye = torch.eye(3, dtype=torch.float64)[None]
    slices = extract_slices(volume_to_grid(volume), eye, disc.points)[0]
    direct = disc.pack(fft2_half(volume.sum(0)))
    assert (slices - direct).norm() < 0.01 * direct.norm()

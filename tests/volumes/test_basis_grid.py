"""A mean and components: decoding, slices of all at once, and changes of box."""

import numpy as np
import pytest
import torch

from cryosway.optics import fft3_half, make_disc, random_rotations
from cryosway.optics._slice_kernels import gather_slices, scatter_slices
from cryosway.optics._slices import extract_slices, volume_to_grid
from cryosway.volumes import BasisGrid, SliceReader, Slices

PIXEL = 3.0


@pytest.fixture(scope="module")
def basis():
    rng = np.random.default_rng(0)
    flat = np.linalg.qr(rng.normal(size=(16**3, 2)))[0].T
    volumes = np.concatenate([rng.normal(size=(1, 16**3)), flat]).reshape(3, 16, 16, 16)
    return BasisGrid(torch.from_numpy(volumes).float(), np.array([4.0, 1.0]))


def test_volume_is_linear_in_the_latent(basis):
    mean, one, two = basis.volumes
    torch.testing.assert_close(basis.volume(torch.zeros(2)), mean)
    z = torch.tensor([2.0, -0.5], dtype=torch.float64)
    torch.testing.assert_close(basis.volume(z), mean + 2 * one - 0.5 * two)
    assert (basis.box, basis.components) == (16, 2)


def test_first_components_only(basis):
    fewer = basis.first(1)
    assert fewer.components == 1
    torch.testing.assert_close(fewer.volumes, basis.volumes[:2])
    assert basis.first(0).components == 0


@pytest.mark.parametrize("box", [12, 16, 24])
def test_resizing_keeps_the_units_of_the_latents_and_what_they_decode_to(basis, box):
    resized = basis.resized(box)
    assert resized.box == box
    np.testing.assert_array_equal(resized.variances, basis.variances)
    z, half = torch.tensor([1.5, -2.0]), min(box, 16) // 2
    a, b = (fft3_half(grid.volume(z))[:half, :half, :half] for grid in (resized, basis))
    torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


def test_all_volumes_are_read_at_once_as_each_alone():
    rng = np.random.default_rng(1)
    volumes = torch.from_numpy(rng.normal(size=(3, 16, 16, 16))).float()
    disc = make_disc(16, 7)
    rotations = torch.from_numpy(random_rotations(9, rng)).float()
    empty = torch.zeros(9, len(disc.points), dtype=torch.complex64)
    slices = Slices(empty, empty.real, rotations, disc.points.float())
    read = SliceReader(volumes).read(slices)
    assert read.shape == (9, len(disc.points), 2, 3)
    for channel, volume in enumerate(volumes):
        expected = extract_slices(volume_to_grid(volume), rotations, disc.points.float())
        found = torch.complex(read[:, :, 0, channel], read[:, :, 1, channel])
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def test_slices_are_those_of_the_molecule(make_phantom, make_slices):
    """Against the closed form: what trilinear interpolation leaves is below 3 %."""
    phantom = make_phantom(radius=24.0)
    slices = make_slices([phantom], 20, 32)
    volume = torch.from_numpy(phantom.volume(32, PIXEL))[None]
    read = torch.view_as_complex(SliceReader(volume).read(slices)[..., 0].contiguous())
    error = (read - slices.values).norm() / slices.values.norm()
    assert error < 0.03
    scale = (read.conj() * slices.values).sum() / read.abs().square().sum()
    assert scale.real == pytest.approx(1, abs=0.01)
    assert abs(scale.imag) < 1e-3


def test_gathering_is_the_adjoint_of_scattering_up_to_hermitian_planes():
    """⟨P V, y⟩ = ⟨V, Pᵀ y⟩, in double precision."""
    rng = np.random.default_rng(2)
    disc = make_disc(16, 7)
    points, size = disc.points.double().numpy(), 32
    rotations = random_rotations(7, rng)
    grid = rng.normal(size=(size * size * (size // 2 + 1), 2))
    read = np.empty((7, len(points), 2))
    gather_slices(grid, size, rotations, points, read)
    y = rng.normal(size=(7, len(points))) + 1j * rng.normal(size=(7, len(points)))
    sums = np.zeros((1, len(grid), 3))
    scatter_slices(
        sums,
        rotations,
        points,
        y,
        np.ones(y.shape),
        np.ones((7, 2)),
        np.zeros(7, np.int64),
        size,
        1,
    )
    left = (read[..., 0] * y.real + read[..., 1] * y.imag).sum()
    right = (grid * sums[0, :, :2]).sum()
    assert left == pytest.approx(right, rel=1e-10)

"""Projections are exact: against a plain sum over atoms, each other and the truth volume."""

import sys

import numpy as np
import pytest
import torch

from cryosway import CryoswayError
from cryosway.optics import fft3_half, half_plane_frequencies, ifft2_half, random_rotations
from cryosway.simulate import Potential, truth_volume
from cryosway.simulate._project import (
    DirectProjector,
    NufftProjector,
    SliceProjector,
    VoxelProjector,
    require_finufft,
)
from cryosway.simulate._resample import fit_cube

BOX, PIXEL = 32, 3.0


def sum_over_atoms(atoms, rotation, resolution=3.0):
    """F(k) = Σ Z exp(−2π²σ²s²) exp(−2πi k·(R r)), written out."""
    k = half_plane_frequencies(BOX, dtype=torch.float64).numpy()
    seen = atoms.coordinates @ rotation.T / PIXEL
    sigma = 0.225 * resolution / PIXEL
    phases = np.exp(-2j * np.pi * (k[..., :1] * seen[:, 0] + k[..., 1:] * seen[:, 1]))
    total = (phases * atoms.atomic_numbers).sum(-1)
    total *= np.exp(-2 * np.pi**2 * sigma**2 * (k**2).sum(-1))
    total[BOX // 2] = total[:, BOX // 2] = 0
    return total


@pytest.fixture(scope="module")
def views():
    return random_rotations(4, np.random.default_rng(0))


@pytest.fixture(scope="module", params=[DirectProjector, NufftProjector])
def exact(request):
    if request.param is NufftProjector:
        pytest.importorskip("finufft")
    return request.param


def test_projection_is_the_sum_over_atoms(blob, views, exact):
    groups = [Potential().group(blob)]
    planes = exact(groups, BOX, PIXEL, dtype=np.complex128).project(np.zeros(4, int), views)
    for plane, rotation in zip(planes, views, strict=True):
        expected = sum_over_atoms(blob, rotation)
        np.testing.assert_allclose(plane, expected, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["molmap", "electron"])
def test_single_precision_agrees_to_1e5(blob, views, exact, kind):
    groups = [Potential(kind).group(blob)]
    fast = exact(groups, BOX, PIXEL, threads=2).project(np.zeros(4, int), views)
    true = DirectProjector(groups, BOX, PIXEL, dtype=np.complex128)
    expected = true.project(np.zeros(4, int), views)
    assert np.abs(fast - expected).max() < 1e-5 * np.abs(expected).max()


def test_rotated_structure_seen_straight_is_the_structure_seen_rotated(blob, views, exact):
    rotated = blob.with_coordinates(blob.coordinates @ views[0].T)
    projector = exact([Potential().group(t) for t in (blob, rotated)], BOX, PIXEL)
    planes = projector.project(np.array([0, 1]), np.stack([views[0], np.eye(3)]))
    np.testing.assert_allclose(planes[0], planes[1], atol=1e-5 * np.abs(planes[0]).max())


@pytest.mark.parametrize(
    ("view", "axes"),
    [
        (np.eye(3), None),
        # 90° about z takes x to y: image x shows −y of the reference.
        (np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), (1, 0)),
    ],
)
def test_central_slice_theorem_against_the_truth_volume(blob, exact, view, axes):
    plane = exact([Potential().group(blob)], BOX, PIXEL, dtype=np.complex128).project(
        np.array([0]), view[None]
    )[0]
    turned = blob if axes is None else blob.with_coordinates(blob.coordinates @ view.T)
    volume = truth_volume(turned, BOX, PIXEL)
    slab = fft3_half(torch.from_numpy(volume).double())[0].numpy()
    np.testing.assert_allclose(plane, slab, atol=1e-6 * np.abs(slab).max())


def test_image_is_the_density_summed_along_z(blob, exact):
    plane = exact([Potential().group(blob)], BOX, PIXEL).project(np.array([0]), np.eye(3)[None])
    image = ifft2_half(torch.from_numpy(plane))[0].numpy()
    summed = truth_volume(blob, BOX, PIXEL).sum(axis=0)
    np.testing.assert_allclose(image, summed, atol=1e-4 * np.abs(summed).max())


def test_slices_of_voxels_are_the_transform_of_the_voxels(blob, views):
    pytest.importorskip("finufft")
    volume = fit_cube(truth_volume(blob, BOX, PIXEL), BOX)
    plane = SliceProjector([volume]).project(np.array([0]), views[:1])[0]
    axis = np.arange(BOX) - BOX // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    k = half_plane_frequencies(BOX, dtype=torch.float64).numpy()
    for row, column in ((0, 0), (3, 5), (30, 7), (20, 1)):
        kx, ky, kz = np.array([*k[row, column], 0.0]) @ views[0]
        direct = (volume * np.exp(-2j * np.pi * (kx * x + ky * y + kz * z))).sum()
        assert abs(plane[row, column] - direct) < 1e-4 * np.abs(plane).max()


def test_voxel_way_is_near_but_not_exact(blob, views):
    groups = Potential(resolution=12.0).group(blob)
    exact = DirectProjector([groups], BOX, PIXEL).project(np.zeros(4, int), views)
    volume = truth_volume(blob, BOX, PIXEL, resolution=12.0)
    rotated = VoxelProjector([volume]).project(np.zeros(4, int), views)
    images = [ifft2_half(torch.from_numpy(p)).numpy() for p in (exact, rotated)]
    for a, b in zip(*images, strict=True):
        correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
        assert 0.98 < correlation < 0.99999


def test_missing_finufft_is_named(monkeypatch):
    monkeypatch.setattr(sys.modules[require_finufft.__module__], "has_finufft", lambda: False)
    with pytest.raises(CryoswayError, match=r"pip install 'cryosway\[nufft\]'"):
        require_finufft()

"""All conventions at once: images that other programs made of maps that they also made."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from cryosway.optics import (
    CtfParams,
    compute_ctf,
    extract_slices,
    fft3_half,
    half_plane_frequencies,
    ifft2_half,
    ifft3_half,
    make_disc,
    relion_euler_to_matrix,
    shift_images,
    volume_to_grid,
)
from cryosway.particles import read_map, read_particles

TRPV1 = Path(__file__).parents[1] / "data/trpv1"


def correlate(a, b):
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


# ------------------------------------------------------------------ ten real particles


def blur_by_a_voxel(volume):
    """Convolve with a triangle of two voxels along each axis: × sinc² in Fourier space.

    The published correlations were measured with maps turned in real space by trilinear
    interpolation, which does this to them.
    """
    box = volume.shape[-1]
    k = torch.fft.fftfreq(box, dtype=torch.float64)
    kx = torch.fft.rfftfreq(box, dtype=torch.float64)
    gains = [torch.sinc(axis) ** 2 for axis in (k, k, kx)]
    return ifft3_half(fft3_half(volume) * torch.einsum("z,y,x->zyx", *gains))


class Trpv1:
    """Ten TRPV1 particles, their poses, shifts and CTF, and the consensus map."""

    def __init__(self):
        self.particles = read_particles(TRPV1 / "trpv1_small_stack.star")
        volume, _ = read_map(TRPV1 / "trpv1_volume.mrc.gz")
        self.volume = torch.tensor(volume, dtype=torch.float64)
        self.images = np.asarray(self.particles.images(slice(None)), np.float64)
        axis = np.arange(48) - 24
        self.disc = axis[:, None] ** 2 + axis**2 <= 22**2

    def correlate(self, *, volume=None, rotations=None, shifts=None):
        """Mean correlation of the images with CTF · projection, inside 22 px."""
        volume = self.volume if volume is None else volume
        rotations = self.particles.rotations if rotations is None else rotations
        shifts = self.particles.shifts if shifts is None else shifts
        disc = make_disc(48, 23)
        rotations = torch.tensor(np.ascontiguousarray(rotations))
        slices = disc.unpack(extract_slices(volume_to_grid(volume), rotations, disc.points))
        params = CtfParams.from_table(self.particles.ctf, dtype=torch.float64)
        slices = slices * compute_ctf(half_plane_frequencies(48, dtype=torch.float64), params)
        content_at = torch.tensor(-shifts / self.particles.pixel_size)
        projections = ifft2_half(shift_images(slices, content_at)).numpy()
        pairs = zip(projections[:, self.disc], self.images[:, self.disc], strict=True)
        return np.mean([correlate(projection, image) for projection, image in pairs])


@pytest.fixture(scope="module")
def trpv1():
    return Trpv1()


@pytest.fixture(scope="module")
def blurred(trpv1):
    return blur_by_a_voxel(trpv1.volume)


def test_trpv1_agrees_with_its_map(trpv1, blurred):
    assert trpv1.correlate(volume=blurred) == pytest.approx(0.228, abs=0.01)
    assert trpv1.correlate() == pytest.approx(0.226, abs=0.003)


def test_trpv1_with_shifts_flipped(trpv1, blurred):
    shifts = -trpv1.particles.shifts
    assert trpv1.correlate(volume=blurred, shifts=shifts) == pytest.approx(0.009, abs=0.01)
    assert trpv1.correlate(shifts=shifts) == pytest.approx(0.008, abs=0.003)


def test_trpv1_with_rotations_transposed(trpv1, blurred):
    rotations = np.swapaxes(trpv1.particles.rotations, 1, 2)
    assert trpv1.correlate(volume=blurred, rotations=rotations) == pytest.approx(0.166, abs=0.01)
    assert trpv1.correlate(rotations=rotations) == pytest.approx(0.152, abs=0.003)


def test_trpv1_with_the_map_mirrored(trpv1, blurred):
    assert trpv1.correlate(volume=blurred.flip(0)) == pytest.approx(0.100, abs=0.01)
    assert trpv1.correlate(volume=trpv1.volume.flip(0)) == pytest.approx(0.091, abs=0.003)


# ------------------------------------------------------------------ RELION's own projections


@pytest.fixture(scope="module")
def relion_folder():
    """Find the projections; their licence keeps them out of the repository."""
    root = os.environ.get("CRYOSWAY_BENCH_DATA")
    if not root:
        pytest.skip("CRYOSWAY_BENCH_DATA is not set: it names the folder with RELION's projections")
    folder = Path(root) / "particles/synth_relion_projections"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    return folder


def crop_odd_map(volume, box):
    """Fourier-crop a map of odd size, origin at voxel (size − 1)/2, to an even box."""
    size, half = len(volume), box // 2
    transform = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(volume)))
    inner = slice(size // 2 - half, size // 2 + half)
    transform = transform[inner, inner, inner].copy()
    transform[0] = transform[:, 0] = transform[:, :, 0] = 0
    cropped = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(transform))).real
    return torch.tensor(cropped * (box / size) ** 3)


def test_projections_are_relions(relion_folder):
    import mrcfile
    import starfile

    volume = crop_odd_map(mrcfile.read(relion_folder / "clean70SRibosome_vol_65p.mrc"), 64)
    images = mrcfile.read(relion_folder / "rln_proj_64_centered.mrcs")
    table = starfile.read(relion_folder / "rln_proj_64_centered.star")["particles"]
    rotations = relion_euler_to_matrix(table.rlnAngleRot, table.rlnAngleTilt, table.rlnAnglePsi)
    disc = make_disc(64, 31)
    slices = extract_slices(volume_to_grid(volume), torch.tensor(rotations), disc.points)
    projections = ifft2_half(disc.unpack(slices)).numpy()
    found = [correlate(*pair) for pair in zip(projections, images, strict=True)]
    assert min(found) >= 0.9999
